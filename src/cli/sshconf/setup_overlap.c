/* SPDX-License-Identifier: MIT */
/* setup-config: which blocks of the user's own are for the same names (C2). */
#include "cli/sshconf/setup.h"
#include "os/file.h"
#include "os/path.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "sshconf/hosts_conf.h"
#include "sshconf/ssh_config.h"

#define FILES_MAX       256
#define LISTED_MAX      40 /* places in the warning */
#define LISTED_TEXT_MAX 6000

typedef int search_fn(const struct smx_routes *routes, struct smx_view text, smx_overlap_fn *found,
	smx_overlap_include_fn *include, void *arg);

struct search {
	search_fn *find;
	smx_overlap_fn *on_found;
	unsigned char *has_block; /* of on_own_host */
	unsigned char *is_left; /* of on_own_path */
	int is_silent;
	const struct smx_routes *routes;
	const char *config_path, *hosts_path;
	const char *file; /* being read */
	unsigned depth;
	size_t n_files, found, listed;
	struct smx_buf text;
};

static int read_file(struct search *s, const char *path);

/* From the directory of config on, if it is below. */
static const char *shown(const struct search *s)
{
	size_t n = (size_t)(smx_os_path_name(s->config_path) - s->config_path);

	return strncmp(s->file, s->config_path, n) == 0 ? s->file + n : s->file;
}

static int on_host(void *arg, size_t route, unsigned line, int is_literal)
{
	struct search *s = arg;
	int r;

	(void)is_literal;
	s->found++;
	if (s->listed == LISTED_MAX)
		return 0;
	r = smx_buf_printf(&s->text, "%s%s (%s:%u)", s->listed ? ", " : "",
		s->routes->routes[route].name, shown(s), line);
	s->listed += r == 0;
	return r == SMX_ELIMIT ? 0 : r;
}

static int on_own_host(void *arg, size_t route, unsigned line, int is_literal)
{
	struct search *s = arg;

	(void)line;
	s->has_block[route] |= is_literal != 0;
	return 0;
}

/* A socket of the user's own for that host is his to command (ssh -M, ssh -O exit). */
static int on_own_path(void *arg, size_t route, unsigned line, int is_literal)
{
	struct search *s = arg;

	if (!is_literal || s->is_left[route])
		return 0;
	s->is_left[route] = 1;
	if (!s->is_silent)
		smx_cli_warn("%s is left to ssh: %s:%u gives it a ControlPath of its own",
			s->routes->routes[route].name, shown(s), line);
	return 0;
}

static int on_control_path(void *arg, size_t route, unsigned line, int is_literal)
{
	struct search *s = arg;
	int r;

	(void)route;
	if (is_literal)
		return 0;
	s->found++;
	if (s->listed == LISTED_MAX)
		return 0;
	r = smx_buf_printf(&s->text, "%s%s:%u", s->listed ? ", " : "", shown(s), line);
	s->listed += r == 0;
	return r == SMX_ELIMIT ? 0 : r;
}

static int on_include(void *arg, const char *word)
{
	struct search *s = arg;
	const char *file = s->file;
	struct smx_buf pattern;
	char **paths = NULL;
	size_t n = 0;
	int r = 0;

	if (s->depth == SMX_SSH_CONFIG_DEPTH)
		return 0;
	smx_buf_init(&pattern, SMX_OS_PATH_MAX);
	/* As ssh does it, wherever the file is. */
	if (word[0] != '~' && !smx_os_path_is_absolute(word))
		r = smx_buf_put_str(&pattern, "~/.ssh/");
	if (r == 0 && smx_buf_put_str(&pattern, word) == 0 && smx_buf_cstr(&pattern) &&
		smx_os_glob(smx_buf_cstr(&pattern), &paths, &n) != 0)
		n = 0;
	s->depth++;
	for (size_t i = 0; r == 0 && i < n; i++)
		if (!smx_os_path_same(paths[i], s->hosts_path))
			r = read_file(s, paths[i]);
	s->depth--;
	s->file = file;
	smx_os_names_free(paths, n);
	smx_buf_release(&pattern);
	return r;
}

static int read_file(struct search *s, const char *path)
{
	struct smx_buf text;
	int r = 0;

	if (s->n_files++ >= FILES_MAX)
		return 0;
	s->file = path;
	smx_buf_init(&text, SMX_SSH_CONFIG_FILE_MAX);
	if (smx_os_file_read(path, SMX_SSH_CONFIG_FILE_MAX, SMX_OS_FILE_USER_CONFIG, &text, NULL) ==
		0)
		r = s->find(s->routes, smx_buf_as_view(&text), s->on_found, on_include, s);
	smx_buf_release(&text);
	return r;
}

void smx_setup_warn_overlaps(
	const struct smx_routes *routes, const char *config_path, const char *hosts_path)
{
	struct search s = { .find = smx_overlap_find,
		.on_found = on_host,
		.routes = routes,
		.config_path = config_path,
		.hosts_path = hosts_path };
	char more[48] = "";

	smx_buf_init(&s.text, LISTED_TEXT_MAX);
	(void)read_file(&s, config_path);
	if (s.found > s.listed)
		(void)snprintf(more, sizeof(more), " and %zu more", s.found - s.listed);
	if (s.listed && smx_buf_cstr(&s.text))
		smx_cli_warn("blocks of your own match routes too: %s%s; the routes' options win, "
			     "but what adds up (LocalForward, RemoteForward, DynamicForward, "
			     "SendEnv) and what they leave open (RemoteCommand, RequestTTY) still "
			     "applies",
			smx_buf_cstr(&s.text), more);
	smx_buf_release(&s.text);
}

void smx_setup_own_blocks(const struct smx_routes *routes, const char *config_path,
	const char *hosts_path, unsigned char *ret_has, unsigned char *ret_left)
{
	struct search s = { .find = smx_overlap_find,
		.on_found = on_own_host,
		.has_block = ret_has,
		.is_left = ret_left,
		.is_silent = 1,
		.routes = routes,
		.config_path = config_path,
		.hosts_path = hosts_path };

	(void)read_file(&s, config_path);
	s.find = smx_control_path_find;
	s.on_found = on_own_path;
	s.n_files = 0;
	(void)read_file(&s, config_path);
}

void smx_setup_warn_control_paths(const struct smx_routes *routes, const char *config_path,
	const char *hosts_path, unsigned char *scratch)
{
	struct search s = { .find = smx_control_path_find,
		.on_found = on_control_path,
		.routes = routes,
		.config_path = config_path,
		.hosts_path = hosts_path };

	memset(scratch, 0, routes->n_routes);
	s.is_left = scratch;
	s.on_found = on_own_path;
	(void)read_file(&s, config_path);
	s.on_found = on_control_path;
	s.n_files = 0;
	smx_buf_init(&s.text, LISTED_TEXT_MAX);
	(void)read_file(&s, config_path);
	if (s.listed && smx_buf_cstr(&s.text))
		smx_cli_warn("your own ControlPath (%s%s) no longer holds for the routes: ssh-mux "
			     "shares their connections instead, and without its daemon each ssh "
			     "has its own",
			smx_buf_cstr(&s.text), s.found > s.listed ? ", and more" : "");
	smx_buf_release(&s.text);
}
