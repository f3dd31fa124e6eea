/* SPDX-License-Identifier: MIT */
/* The SSH directory and the files of ours in it (S1, S2, S4). */
#include "cli/doctor/doctor.h"
#include "os/file.h"
#include "os/path.h"
#include "os/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "mux/doors/local_key.h"

#define ERR_MAX (4 * SMX_OS_PATH_MAX)

static void check_dir(struct doctor *d)
{
	struct smx_buf err;
	int r;

	if (smx_buf_len(&d->dir_warning) > 0) {
		struct smx_buf *w = &d->dir_warning;

		doctor_say_err(d, DOCTOR_WARN, w, 0,
			"set SSH_MUX_SSH_DIR to a directory that only you can change, or unset it");
	}
	smx_buf_init(&err, ERR_MAX);
	r = smx_os_dir_check(d->ssh_dir, &err);
	if (r == SMX_ENOTFOUND)
		doctor_say(d, DOCTOR_FAIL,
			doctor_advice(d, SMX_OS_ADVICE_MAKE_DIR, d->ssh_dir, NULL),
			"the SSH directory %s does not exist", d->ssh_dir);
	else if (r != 0)
		doctor_say_err(d, DOCTOR_FAIL, &err, r,
			doctor_advice(d, SMX_OS_ADVICE_REPAIR_DIR, d->ssh_dir, NULL));
	else
		doctor_say(d, DOCTOR_OK, NULL, "SSH directory %s%s", d->ssh_dir,
			getenv("SSH_MUX_SSH_DIR") && smx_buf_len(&d->dir_warning) == 0
				? " (from SSH_MUX_SSH_DIR)"
				: "");
	smx_buf_release(&err);
}

/* ---- routes ------------------------------------------------------------------------------------
 */

/* A daemon in direct mode (R6) serves any name, and needs no file. */
static int is_direct_mode(const struct doctor *d)
{
	return d->has_daemon && d->status.route_count == 1 &&
	       strcmp(d->status.routes[0].name, "*") == 0;
}

static void no_routes_file(struct doctor *d)
{
	if (is_direct_mode(d))
		doctor_say(d, DOCTOR_NOTE, "none is needed while it runs like that",
			"there is no %s: the daemon serves one server only", d->routes_path);
	else if (d->config_option)
		doctor_say(d, DOCTOR_FAIL, "name the file that is meant: --config FILE",
			"the routes file %s does not exist", d->routes_path);
	else
		doctor_say(d, DOCTOR_FAIL,
			"to make it from your ssh config, run: ssh-mux import-config --write",
			"the routes file %s does not exist: ssh-mux knows no server",
			d->routes_path);
}

static void say_routes(struct doctor *d)
{
	size_t n = d->routes->n_routes;

	if (n == 0)
		doctor_say(d, DOCTOR_WARN,
			"add one like: [routes.web] host = \"web.example.com\" user = \"me\", each "
			"in "
			"a line of its own",
			"%s has no routes", d->routes_path);
	else
		doctor_say(d, DOCTOR_OK, NULL, "%zu route%s in %s", n, n == 1 ? "" : "s",
			d->routes_path);
}

static const char *nearest_route(const struct doctor *d, const char *name)
{
	const char *names[256];
	size_t n = 0;

	for (; n < d->routes->n_routes && n < SMX_ARRAY_LEN(names); n++)
		names[n] = d->routes->routes[n].name;
	return smx_cli_nearest(name, names, n);
}

static void find_route(struct doctor *d)
{
	const char *near;

	if (!d->route_name || !d->routes)
		return;
	if ((d->route = smx_routes_find(d->routes, d->route_name)) != NULL) {
		const struct smx_hop *to = smx_route_target(d->route);

		doctor_say(d, DOCTOR_OK, NULL, "route %s: %s@%s port %u, %s", d->route_name,
			to->user, to->host, to->port,
			d->route->n_hops > 1 ? "through a jump host" : "direct");
		return;
	}
	near = nearest_route(d, d->route_name);
	doctor_say(d, DOCTOR_FAIL,
		near ? doctor_fix(d, "did you mean: ssh-mux doctor %s", near)
		     : doctor_fix(
			       d, "add [routes.%s] to it, or run: ssh-mux status", d->route_name),
		"there is no route %s in %s", d->route_name, d->routes_path);
}

static void check_routes(struct doctor *d)
{
	struct smx_buf text, err;
	int r;

	smx_buf_init(&text, DOCTOR_FILE_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = smx_os_file_read(d->routes_path, DOCTOR_FILE_MAX, SMX_OS_FILE_PLAIN, &text, &err);
	if (r == 0)
		r = smx_routes_parse(smx_buf_as_view(&text), d->routes_path, &d->routes, &err);
	if (r == 0)
		say_routes(d);
	else if (r == SMX_ENOTFOUND)
		no_routes_file(d);
	else if (r == SMX_ESYNTAX)
		doctor_say(d, DOCTOR_FAIL,
			"repair that line, then run: ssh-mux check-config (a daemon that runs goes "
			"on with the routes it has)",
			"%s", smx_errtext(r, &err));
	else
		doctor_say_err(d, DOCTOR_FAIL, &err, r, "make it a file that only you can change");
	smx_buf_release(&text);
	smx_buf_release(&err);
	find_route(d);
}

/* ---- the host key of the local server (L4) ------------------------------------------------------
 */

static int read_host_key(struct doctor *d, const char *path, struct smx_buf *err)
{
	struct smx_key *key = NULL;
	struct smx_buf text;
	int r;

	smx_buf_init_secret(&text, SMX_KEYFILE_MAX);
	r = smx_os_file_read(path, SMX_KEYFILE_MAX, SMX_OS_FILE_HOST_KEY, &text, err);
	if (r == 0 && (r = smx_keyfile_parse(smx_buf_as_view(&text), NULL, &key, NULL)) == 0)
		r = smx_key_to_blob(key, &d->host_key);
	smx_key_free(key);
	smx_buf_release(&text);
	return r;
}

static const char *remake_key(struct doctor *d, const char *path)
{
	char bad[SMX_OS_PATH_MAX], move[DOCTOR_TEXT_MAX];

	(void)snprintf(bad, sizeof(bad), "%s.bad", path);
	smx_os_advice(SMX_OS_ADVICE_MOVE, path, bad, move, sizeof(move));
	return doctor_fix(d, "for a new one, %s%s%s (and restart the daemon)", move, smx_os_then(),
		doctor_command(d, "setup-config"));
}

static void check_host_key(struct doctor *d)
{
	char print[SMX_FINGERPRINT_SIZE], *path;
	struct smx_buf err;
	int r;

	if (smx_os_path_join(d->ssh_dir, HOST_KEY_FILE, &path) != 0)
		return;
	smx_buf_init(&err, ERR_MAX);
	r = read_host_key(d, path, &err);
	if (r == 0 && smx_blob_fingerprint(smx_buf_as_view(&d->host_key), print) == 0)
		doctor_say(d, DOCTOR_OK, NULL, "host key of the local server %s", print);
	else if (r == SMX_ENOTFOUND)
		doctor_say(d, DOCTOR_NOTE,
			doctor_fix(d, "it is made by: %s", doctor_command(d, "setup-config")),
			"the local server has no host key yet (%s)", path);
	else if (r != 0 && smx_buf_len(&err) > 0)
		doctor_say_err(d, DOCTOR_FAIL, &err, r,
			doctor_advice(d, SMX_OS_ADVICE_MAKE_PRIVATE, path, NULL));
	else
		doctor_say(d, DOCTOR_FAIL, remake_key(d, path), "the host key %s is damaged: %s",
			path, smx_strerror(r));
	smx_buf_release(&err);
	smx_free(path);
}

static void say_known(struct doctor *d, const char *path, const struct smx_known_hosts *known)
{
	struct smx_known_verdict verdict;

	if (smx_known_hosts_check(
		    known, SMX_HOST_KEY_ALIAS, 22, smx_buf_as_view(&d->host_key), &verdict) != 0)
		return;
	switch (verdict.status) {
	case SMX_KNOWN_MATCH:
		doctor_say(d, DOCTOR_OK, NULL, "that key is what clients expect (%s)", path);
		return;
	case SMX_KNOWN_REVOKED:
		doctor_say(d, DOCTOR_FAIL, doctor_fix(d, "remove line %u of it", verdict.line),
			"%s revokes the host key of the local server", path);
		return;
	case SMX_KNOWN_UNKNOWN:
		doctor_say(d, DOCTOR_WARN, doctor_setup(d),
			"%s does not hold the host key of the local server", path);
		return;
	default:
		doctor_say(d, DOCTOR_FAIL, doctor_setup(d),
			"%s holds another host key than the local server has, so clients say "
			"\"Host "
			"key verification failed\"",
			path);
	}
}

static void check_known_file(struct doctor *d)
{
	struct smx_known_hosts *known = NULL;
	struct smx_buf text, err;
	char *path = NULL;
	int r;

	if (d->via == DOCTOR_VIA_CONTROL)
		return; /* ssh does not come to the local server */
	smx_buf_init(&text, DOCTOR_FILE_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = doctor_read(d, SMX_KNOWN_FILE, DOCTOR_FILE_MAX, SMX_OS_FILE_PLAIN, &path, &text, &err);
	if (r == 0 && (r = smx_known_hosts_new(&known)) == 0)
		r = smx_known_hosts_add_text(known, path, smx_buf_as_view(&text), NULL);
	if (r == SMX_ENOTFOUND)
		doctor_say(d, DOCTOR_WARN, doctor_setup(d),
			"%s is missing, so ssh asks about the local server's key", path);
	else if (r != 0)
		doctor_say_err(d, DOCTOR_FAIL, &err, r, "make it a file that only you can change");
	else if (smx_buf_len(&d->host_key) > 0)
		say_known(d, path, known);
	smx_known_hosts_free(known);
	smx_free(path);
	smx_buf_release(&text);
	smx_buf_release(&err);
}

void doctor_check_files(struct doctor *d)
{
	doctor_area(d, "Files");
	check_dir(d);
	check_routes(d);
	check_host_key(d);
	check_known_file(d);
}
