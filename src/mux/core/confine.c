/* SPDX-License-Identifier: MIT */
#include "mux/core/confine.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "mux/pool/known_files.h"
#include "mux/pool/prepare.h"
#include "os/confine.h"
#include "os/file.h"
#include "os/path.h"

#define PLACES_MAX   1024 /* directories, each once */
#define WARNING_SIZE 1024

/*
 * A rule is about a directory and all below it: the files themselves are replaced by others of
 * their name, and a rule about a file would be about the old one.
 */
struct confine {
	struct smx_os_place places[PLACES_MAX];
	size_t n;
	int is_full;
	struct smx_os_confined result;
	char warning[WARNING_SIZE];
};

static int is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 &&
	       (path[n] == '\0' || path[n] == '/' || (n && dir[n - 1] == '/'));
}

static int is_allowed(const struct confine *c, const char *path, enum smx_os_use use)
{
	for (size_t i = 0; i < c->n; i++)
		if (is_below(path, c->places[i].path) && c->places[i].use >= use)
			return 1;
	return 0;
}

static void add(struct confine *c, const char *dir, enum smx_os_use use)
{
	struct smx_os_stamp stamp;
	char *copy;

	/* What is not there yet can't be allowed. */
	if (is_allowed(c, dir, use) || smx_os_file_stamp(dir, &stamp) != 0)
		return;
	if (c->n == PLACES_MAX || !(copy = smx_strdup(dir))) {
		c->is_full = 1;
		return;
	}
	c->places[c->n++] = (struct smx_os_place){ copy, use };
}

/* The directory of a file, and of what it is a link to. */
typedef void visit(void *arg, const char *dir, enum smx_os_use use);

static void visit_file(const char *path, enum smx_os_use use, visit *cb, void *arg)
{
	char *dir = NULL, *expanded = prepare_expand(path);
	uv_fs_t real;

	if (!expanded)
		return;
	if (smx_os_path_dir(expanded, &dir) == 0)
		cb(arg, dir, use);
	smx_free(dir);
	dir = NULL;
	if (uv_fs_realpath(NULL, &real, expanded, NULL) == 0 &&
		smx_os_path_dir(real.ptr, &dir) == 0)
		cb(arg, dir, use);
	uv_fs_req_cleanup(&real);
	smx_free(dir);
	smx_free(expanded);
}

static void visit_hop(const struct smx_hop *hop, visit *cb, void *arg)
{
	for (size_t i = 0; i < hop->n_known_hosts; i++)
		visit_file(hop->known_hosts[i], SMX_OS_USE_READ, cb, arg);
	for (size_t i = 0; i < hop->n_identity; i++) {
		char public_part[SMX_OS_PATH_MAX];

		(void)snprintf(public_part, sizeof(public_part), "%s.pub", hop->identity[i]);
		visit_file(hop->identity[i], SMX_OS_USE_READ, cb, arg);
		visit_file(public_part, SMX_OS_USE_READ, cb, arg);
	}
	for (size_t i = 0; i < hop->n_certificate; i++)
		visit_file(hop->certificate[i], SMX_OS_USE_READ, cb, arg);
}

static void visit_routes(const struct smx_routes *routes, visit *cb, void *arg)
{
	for (size_t i = 0; i < routes->n_routes; i++) {
		const struct smx_route *route = &routes->routes[i];

		for (size_t j = 0; j < route->n_hops; j++)
			visit_hop(&route->hops[j], cb, arg);
		for (size_t j = 0; j < route->agent.n_keys; j++)
			visit_file(route->agent.keys[j], SMX_OS_USE_READ, cb, arg);
	}
}

static void add_cb(void *arg, const char *dir, enum smx_os_use use)
{
	add(arg, dir, use);
}

/* Usual keys and known_hosts of the SSH directory may be links to files elsewhere. */
static void add_links(struct confine *c, const char *ssh_dir)
{
	static const char *const names[] = { "id_rsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk",
		"id_ed25519_sk", "known_hosts", "known_hosts2", "config" };
	char *path;

	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		if (smx_os_path_join(ssh_dir, names[i], &path) != 0)
			continue;
		visit_file(path, SMX_OS_USE_READ, add_cb, c);
		smx_free(path);
	}
}

static void add_own(struct confine *c, const struct mux *m)
{
	char *path = NULL, *dir = NULL;

	add(c, m->opts->ssh_dir, SMX_OS_USE_READ);
	add_links(c, m->opts->ssh_dir);
	if (smx_os_control_path(m->opts->ssh_dir, &path, NULL) == 0 &&
		smx_os_path_dir(path, &dir) == 0)
		add(c, dir, SMX_OS_USE_WRITE);
	smx_free(dir);
	smx_free(path);
	if (m->opts->routes_path)
		visit_file(m->opts->routes_path, SMX_OS_USE_READ, add_cb, c);
}

void confine(struct mux *m)
{
	struct confine *c;

	if (!m->opts->is_confined)
		return;
	if (!(c = smx_calloc(1, sizeof(*c)))) {
		log_warn("confined: %s", confine_text(m));
		return;
	}
	add_own(c, m);
	visit_routes(m->routes, add_cb, c);
	smx_os_confine(c->places, c->n, &c->result);
	m->confined = c;
	for (size_t i = 0; i < c->n; i++)
		log_debug("confined: %s %s",
			c->places[i].use == SMX_OS_USE_WRITE ? "writes and reads" : "reads",
			c->places[i].path);
	if (c->is_full)
		log_error("the routes name files in more than %d directories: those of the others "
			  "can't be read while the daemon is confined",
			PLACES_MAX);
	if (c->result.is_whole)
		log_info("confined: %s", c->result.text);
	else
		log_warn("confined: %s", c->result.text);
}

void confine_free(struct mux *m)
{
	struct confine *c = m->confined;

	for (size_t i = 0; c && i < c->n; i++)
		smx_free((void *)(uintptr_t)c->places[i].path);
	smx_free(c);
	m->confined = NULL;
}

struct check {
	const struct confine *confine;
	char dir[SMX_OS_PATH_MAX]; /* the first that is not allowed, or "" */
	enum smx_os_use use;
};

static void check_cb(void *arg, const char *dir, enum smx_os_use use)
{
	struct smx_os_stamp stamp;
	struct check *k = arg;

	if (k->dir[0] || (use == SMX_OS_USE_READ && smx_os_confine_reads(dir)) ||
		is_allowed(k->confine, dir, use) || smx_os_file_stamp(dir, &stamp) != 0)
		return;
	(void)snprintf(k->dir, sizeof(k->dir), "%s", dir);
	k->use = use;
}

void confine_check(struct mux *m)
{
	struct confine *c = m->confined;
	struct check k = { .confine = c };

	if (!c || !c->result.landlock)
		return;
	visit_routes(m->routes, check_cb, &k);
	c->warning[0] = '\0';
	if (!k.dir[0])
		return;
	(void)snprintf(c->warning, sizeof(c->warning),
		"the routes name files in %.512s, which the daemon gave up to %s when it started; "
		"to "
		"use them, start it again: ssh-mux stop, then ssh-mux daemon (or restart its "
		"service)",
		k.dir, k.use == SMX_OS_USE_WRITE ? "write" : "read");
	log_error("confined: %s", c->warning);
}

const char *confine_warning(const struct mux *m)
{
	return m->confined ? m->confined->warning : "";
}

const char *confine_text(const struct mux *m)
{
	if (m->confined)
		return m->confined->result.text;
	return !m->opts->is_confined ? "no (SSH_MUX_CONFINE=yes confines it)"
				     : "no (out of memory)";
}
