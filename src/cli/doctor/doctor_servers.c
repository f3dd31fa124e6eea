/* SPDX-License-Identifier: MIT */
/* What logging in to the servers of the routes needs: their host keys, keys of ours, a way there.
 */
#include "cli/doctor/doctor.h"
#include "os/agent.h"
#include "os/file.h"
#include "os/ipc.h"
#include "os/look.h"
#include "os/path.h"
#include "os/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "mux/pool/identity.h"
#include "mux/pool/known_files.h"

#define ERR_MAX          (4 * SMX_OS_PATH_MAX)
#define REACH_TIMEOUT_MS 3000
#define PATHS_MAX        256 /* different files that routes name */
#define AUTH_TRIES       5 /* keys a server takes before it hangs up: MaxAuthTries, less one */

/* ---- host keys ---------------------------------------------------------------------------------
 */

struct hosts {
	struct smx_known_hosts *known;
	size_t total, revoked;
	struct doctor_names unknown, skipped, revoking;
};

static int add_known(struct doctor *d, struct smx_known_hosts *known, const char *path)
{
	struct smx_buf text, err, warnings;
	int r;

	smx_buf_init(&text, SMX_KNOWN_HOSTS_TEXT_MAX);
	smx_buf_init(&err, ERR_MAX);
	smx_buf_init(&warnings, SMX_KNOWN_WARNINGS_MAX);
	r = smx_os_file_read(path, SMX_KNOWN_HOSTS_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, &err);
	if (r == 0)
		r = smx_known_hosts_add_text(known, path, smx_buf_as_view(&text), &warnings);
	if (r != 0 && r != SMX_ENOTFOUND)
		doctor_say_err(d, DOCTOR_FAIL, &err, r, "make it a file that only you can change");
	else if (smx_buf_len(&warnings) > 0 && smx_buf_cstr(&warnings))
		doctor_say(d, DOCTOR_NOTE, "repair or remove what can't be used", "left out: %.*s",
			(int)strcspn(smx_buf_cstr(&warnings), "\n"), smx_buf_cstr(&warnings));
	smx_buf_release(&text);
	smx_buf_release(&err);
	smx_buf_release(&warnings);
	return r == SMX_ENOTFOUND ? 0 : r;
}

/* Names of what was seen, each once: routes share their jump hosts. */
struct seen {
	char *paths[PATHS_MAX];
	size_t count;
};

/* 1 if it is new. */
static int see(struct seen *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->paths[i], name) == 0)
			return 0;
	if (s->count < PATHS_MAX && (s->paths[s->count] = smx_strdup(name)) != NULL)
		s->count++;
	return 1;
}

static void seen_release(struct seen *s)
{
	while (s->count > 0)
		smx_free(s->paths[--s->count]);
}

/* What decides about hop; NULL: about hops that name no files. *ret is the caller's to free. */
static int read_known(struct doctor *d, const struct smx_hop *hop, struct smx_known_hosts **ret)
{
	struct known_files files;
	int r;

	if ((r = smx_known_hosts_new(ret)) != 0 ||
		(r = known_files_find(d->ssh_dir, hop, &files)) != 0)
		return r;
	for (size_t i = 0; r == 0 && i < files.n; i++)
		r = add_known(d, *ret, files.paths[i]);
	known_files_release(&files);
	return r;
}

static void look_up(struct hosts *h, const struct smx_known_hosts *known, const struct smx_hop *hop,
	struct seen *seen)
{
	char name[SMX_KNOWN_NAME_MAX];
	struct smx_known_entry entry;
	size_t cursor = 0, plain = 0, skipped = 0, revoked = 0;
	const char *host;
	uint16_t port;

	smx_hop_known_name(hop, &host, &port);
	if (smx_known_hosts_name(host, port, name, sizeof(name)) != 0 || !see(seen, name))
		return;
	h->total++;
	while (smx_known_hosts_next(known, host, port, &cursor, &entry) == 1) {
		plain += entry.marker == SMX_KNOWN_PLAIN || entry.marker == SMX_KNOWN_CA;
		skipped += entry.marker == SMX_KNOWN_SKIPPED;
		revoked += entry.marker == SMX_KNOWN_REVOKED_KEY;
	}
	if (revoked > 0)
		doctor_name_add(&h->revoking, name);
	if (plain == 0 && skipped > 0)
		doctor_name_add(&h->skipped, name);
	else if (plain == 0)
		doctor_name_add(&h->unknown, name);
}

static int check_hop(
	struct doctor *d, struct hosts *h, const struct smx_hop *hop, struct seen *seen)
{
	struct smx_known_hosts *own = NULL;
	int r = 0;

	if (hop->n_known_hosts)
		r = read_known(d, hop, &own);
	if (r == 0)
		look_up(h, own ? own : h->known, hop, seen);
	smx_known_hosts_free(own);
	return r;
}

static void say_hosts(struct doctor *d, struct hosts *h)
{
	size_t missing = h->unknown.count + h->skipped.count;

	if (h->unknown.count > 0)
		doctor_say(d, DOCTOR_NOTE,
			"you are asked at the first login (ssh-mux connect NAME): compare the "
			"fingerprint",
			"no host key is known of %s", doctor_names_text(&h->unknown));
	if (h->skipped.count > 0)
		doctor_say(d, DOCTOR_WARN, "repair the line, or remove it",
			"known_hosts has only lines that can't be used for %s",
			doctor_names_text(&h->skipped));
	if (h->revoking.count > 0)
		doctor_say(d, DOCTOR_NOTE,
			"a server that still shows a revoked key is refused, and should be",
			"known_hosts revokes keys of %s", doctor_names_text(&h->revoking));
	if (h->total > missing)
		doctor_say(d, DOCTOR_OK, NULL, "host keys are known of %zu of %zu server%s",
			h->total - missing, h->total, h->total == 1 ? "" : "s");
}

static void check_hosts(struct doctor *d)
{
	struct hosts h = { 0 };
	struct seen seen = { .count = 0 };
	int r = read_known(d, NULL, &h.known);

	for (size_t i = 0; r == 0 && i < doctor_route_count(d); i++)
		for (size_t k = 0; r == 0 && k < doctor_route(d, i)->n_hops; k++)
			r = check_hop(d, &h, &doctor_route(d, i)->hops[k], &seen);
	if (r == 0)
		say_hosts(d, &h);
	smx_known_hosts_free(h.known);
	seen_release(&seen);
}

/* ---- keys to log in with -----------------------------------------------------------------------
 */

struct key_files {
	struct seen seen, agents;
	struct doctor_names locked, of_agents;
	size_t good, bad, agents_good, hops_without;
};

static int read_private(const char *path, struct smx_buf *ret_text, struct smx_buf *err)
{
	smx_buf_reset(ret_text);
	return smx_os_file_read(path, SMX_KEYFILE_MAX, SMX_OS_FILE_USER_KEY, ret_text, err);
}

static void check_key(struct doctor *d, struct key_files *k, const char *path, const char *route)
{
	struct smx_key *key = NULL;
	struct smx_buf text, err;
	int r;

	smx_buf_init_secret(&text, SMX_KEYFILE_MAX);
	smx_buf_init(&err, ERR_MAX);
	if (identity_read_public(path, &text) == 0) {
		r = 0;
		doctor_name_add(&k->of_agents, path);
	} else if ((r = read_private(path, &text, &err)) != 0 && !route) {
		if (r != SMX_ENOTFOUND) /* a default key need not be there */
			doctor_say_err(d, DOCTOR_FAIL, &err, r,
				doctor_advice(d, SMX_OS_ADVICE_MAKE_PRIVATE, path, NULL));
	} else if (r == SMX_ENOTFOUND) {
		doctor_say(d, DOCTOR_FAIL,
			doctor_fix(d, "correct `identity` in %s, or put the key there",
				d->routes_path),
			"the key file %s of route %s does not exist", path, route);
	} else if (r != 0) {
		doctor_say_err(d, DOCTOR_FAIL, &err, r, "make it a file with mode 600");
	} else if ((r = smx_keyfile_parse(smx_buf_as_view(&text), NULL, &key, NULL)) == 0) {
		k->good++;
	} else if (r == SMX_EPASSPHRASE) {
		doctor_name_add(&k->locked, path);
	} else {
		doctor_say(d, route ? DOCTOR_FAIL : DOCTOR_WARN,
			doctor_fix(d,
				"see what it is: ssh-keygen -l -f %s (a key in a token is for "
				"the agent)",
				doctor_quote(d, path)),
			"the key file %s can't be used: %s", path, smx_strerror(r));
	}
	k->bad += r != 0 && r != SMX_EPASSPHRASE && (route || r != SMX_ENOTFOUND);
	d->is_default_key_there |= !route && (r == 0 || r == SMX_EPASSPHRASE);
	smx_key_free(key);
	smx_buf_release(&text);
	smx_buf_release(&err);
}

static int ignore_key(void *arg, struct smx_view blob, struct smx_view comment)
{
	(void)arg;
	(void)blob;
	(void)comment;
	return 0;
}

static void check_agent(struct doctor *d, struct key_files *k, const char *agent, const char *route)
{
	char *name, *path;
	int r;

	if (!agent || strcmp(agent, "none") == 0 || smx_agent_variable(agent) ||
		!see(&k->agents, agent) || !(name = doctor_expand(d, agent)))
		return;
	r = smx_os_agent_path(name, &path);
	smx_free(name);
	if (r != 0)
		return;
	if ((r = doctor_agent(path, ignore_key, NULL)) == 0)
		k->agents_good++;
	else
		doctor_say(d, DOCTOR_FAIL,
			doctor_fix(d, "start that agent, or correct `identity_agent` in %s",
				d->routes_path),
			"the agent of route %s does not answer: %s: %s", route, path,
			r == SMX_ENOTFOUND ? "nobody listens there" : smx_strerror(r));
	smx_free(path);
}

static void check_hop_keys(
	struct doctor *d, struct key_files *k, const struct smx_hop *hop, const char *route)
{
	static const char *const defaults[] = { "id_ed25519", "id_ecdsa", "id_rsa" };
	char *path;

	check_agent(d, k, hop->identity_agent, route);
	for (size_t i = 0; i < hop->n_identity; i++) {
		if (!(path = doctor_expand(d, hop->identity[i])))
			continue;
		if (see(&k->seen, path))
			check_key(d, k, path, route);
		smx_free(path);
	}
	if (hop->n_identity > 0)
		return;
	k->hops_without++;
	for (size_t i = 0; i < SMX_ARRAY_LEN(defaults); i++) {
		if (smx_os_path_join(d->ssh_dir, defaults[i], &path) != 0)
			continue;
		if (see(&k->seen, path))
			check_key(d, k, path, NULL);
		smx_free(path);
	}
}

static void say_keys(struct doctor *d, struct key_files *k)
{
	if (k->good > 0)
		doctor_say(d, DOCTOR_OK, NULL, "%zu key file%s to log in with", k->good,
			k->good == 1 ? "" : "s");
	if (k->locked.count > 0)
		doctor_say(d, DOCTOR_NOTE,
			"you are asked for the passphrase; to be asked once only, use ssh-add",
			"encrypted: %s", doctor_names_text(&k->locked));
	if (k->of_agents.count > 0)
		doctor_say(d, DOCTOR_NOTE, "ssh-add -L lists what your agent has",
			"public keys, for which an agent has to have the private ones: %s",
			doctor_names_text(&k->of_agents));
	/* One that can't be used was said to be. */
	if (k->hops_without > 0 && k->bad == 0 && !d->is_default_key_there && d->agent_keys == 0 &&
		k->agents_good == 0)
		doctor_say(d, DOCTOR_WARN,
			doctor_fix(d, "add `identity = \"~/.ssh/KEY\"` to %s, or run: ssh-add KEY",
				d->routes_path),
			"no key to log in to servers with: only passwords and codes are left");
	if (k->hops_without > 0 && d->agent_keys > AUTH_TRIES)
		doctor_say(d, DOCTOR_NOTE,
			doctor_fix(d,
				"name the key: add `identity` and `identities_only = true` in %s",
				d->routes_path),
			"your agent has %zu keys, and most servers hang up after %d wrong ones "
			"(\"Too "
			"many authentication failures\")",
			d->agent_keys, AUTH_TRIES + 1);
}

static void check_keys(struct doctor *d)
{
	struct key_files k = { 0 };

	for (size_t i = 0; i < doctor_route_count(d); i++) {
		const struct smx_route *route = doctor_route(d, i);

		for (size_t n = 0; n < route->n_hops; n++)
			check_hop_keys(d, &k, &route->hops[n], route->name);
	}
	say_keys(d, &k);
	seen_release(&k.seen);
	seen_release(&k.agents);
}

/* ---- the way there -----------------------------------------------------------------------------
 */

/* Of one route, on request only: nobody wants a hundred servers rung up. */
static void check_reach(struct doctor *d)
{
	const struct smx_hop *first = &d->route->hops[0];
	struct smx_buf err;
	int fd, r;

	smx_buf_init(&err, 512);
	r = smx_os_tcp_connect(first->host, first->port, REACH_TIMEOUT_MS, &fd, &err);
	if (r == 0) {
		smx_os_ipc_close(fd);
		doctor_say(d, DOCTOR_OK, NULL,
			"%s port %u can be reached (no login was tried; for that: ssh-mux connect "
			"%s)",
			first->host, first->port, d->route->name);
	} else {
		doctor_say(d, DOCTOR_FAIL,
			"compare host and port with what you were given; is a VPN needed, or up?",
			"%s port %u can't be reached: %s", first->host, first->port,
			smx_errtext(r, &err));
	}
	smx_buf_release(&err);
}

void doctor_check_servers(struct doctor *d)
{
	doctor_area(d, "Servers");
	if (doctor_route_count(d) == 0)
		return;
	check_hosts(d);
	check_keys(d);
	if (d->route)
		check_reach(d);
}
