/* SPDX-License-Identifier: MIT */
/* Who may use the local server, and whether the keys that clients offer are among them (L5). */
#include "cli/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "mux/keyring.h"
#include "ssh/agent.h"

#define ERR_MAX      (4 * SMX_OS_PATH_MAX)
#define WARNINGS_MAX 4096

/* What a client would offer: of the agent, and of the id_* files. */
struct offers {
	struct doctor *d;
	size_t count, allowed;
	char first_pub[SMX_OS_PATH_MAX]; /* a .pub file of a key that is not allowed */
};

static void offer(struct offers *o, struct smx_view blob, const char *path)
{
	o->count++;
	if (smx_authorized_keys_has(o->d->authorized, blob))
		o->allowed++;
	else if (path && !o->first_pub[0])
		(void)snprintf(o->first_pub, sizeof(o->first_pub), "%s", path);
}

/* ---- the list ----------------------------------------------------------------------------------
 */

/* "name:3: what" lines: the first is said, the others counted. */
static void say_skipped(struct doctor *d, struct smx_buf *warnings)
{
	const char *text = smx_buf_len(warnings) > 0 ? smx_buf_cstr(warnings) : NULL;
	size_t n = smx_authorized_keys_skipped(d->authorized);

	if (!text || n == 0)
		return;
	doctor_say(d, DOCTOR_WARN,
		"a key counts only without options in front of it, and if its type is one ssh-mux "
		"verifies",
		"%zu line%s left out: %.*s", n, n == 1 ? " is" : "s are", (int)strcspn(text, "\n"),
		text);
}

static int add_file(struct doctor *d, const char *path, struct smx_buf *warnings)
{
	struct smx_buf text, err;
	int r;

	smx_buf_init(&text, SMX_AUTHORIZED_KEYS_TEXT_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = smx_os_file_read(path, SMX_AUTHORIZED_KEYS_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, &err);
	if (r == 0)
		r = smx_authorized_keys_add_text(
			d->authorized, path, smx_buf_as_view(&text), warnings);
	if (r != 0 && r != SMX_ENOTFOUND)
		doctor_say_err(d, DOCTOR_FAIL, &err, r, "make it a file that only you can change");
	smx_buf_release(&text);
	smx_buf_release(&err);
	return r;
}

static void add_public_keys(struct doctor *d, const char *list, struct smx_buf *warnings)
{
	char **names = NULL, *path, first[SMX_OS_PATH_MAX];
	size_t n = 0;

	if (smx_os_list_public_keys(d->ssh_dir, &names, &n, NULL) != 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		if (smx_os_path_join(d->ssh_dir, names[i], &path) != 0)
			continue;
		(void)add_file(d, path, warnings);
		smx_free(path);
	}
	(void)snprintf(first, sizeof(first), "%s/%s", d->ssh_dir, n > 0 ? names[0] : "");
	if (n > 0)
		doctor_say(d, DOCTOR_WARN,
			doctor_fix(d, "for this key alone, run: (umask 077; cp %s %s)",
				doctor_quote(d, first), doctor_quote(d, list)),
			"there is no %s, so whoever has the key of any id_*.pub beside it may log "
			"in (%zu of them)",
			list, n);
	smx_os_names_free(names, n);
}

static void check_list(struct doctor *d)
{
	struct smx_buf warnings;
	char *path;
	size_t n;
	int r;

	if (smx_authorized_keys_new(&d->authorized) != 0 ||
		smx_os_path_join(d->ssh_dir, KEYRING_FILE, &path) != 0)
		return;
	smx_buf_init(&warnings, WARNINGS_MAX);
	r = add_file(d, path, &warnings);
	if (r == SMX_ENOTFOUND)
		add_public_keys(d, path, &warnings);
	say_skipped(d, &warnings);
	n = smx_authorized_keys_count(d->authorized);
	if (r == 0 && n > 0)
		doctor_say(d, DOCTOR_OK, NULL, "%zu key%s in %s may use the local server", n,
			n == 1 ? "" : "s", path);
	else if (n == 0 && (r == 0 || r == SMX_ENOTFOUND))
		doctor_say(d, DOCTOR_FAIL,
			doctor_fix(d, "put your public key there, like: cat KEY.pub >> %s",
				doctor_quote(d, path)),
			"no key may use the local server: %s %s", path,
			r == 0 ? "has none" : "and id_*.pub are missing");
	smx_buf_release(&warnings);
	smx_free(path);
}

/* ---- what is offered ---------------------------------------------------------------------------
 */

static int on_agent_key(void *arg, struct smx_view blob, struct smx_view comment)
{
	struct offers *o = arg;

	(void)comment;
	o->d->agent_keys++;
	offer(o, blob, NULL);
	return 0;
}

static void ask_agent(struct offers *o)
{
	const char *path = getenv("SSH_AUTH_SOCK");
	struct doctor *d = o->d;
	int r;

	if (!path || !path[0]) {
		doctor_say(d, DOCTOR_OK, NULL, "no agent here (SSH_AUTH_SOCK is not set)");
		return;
	}
	if ((r = doctor_agent(path, on_agent_key, o)) == 0)
		doctor_say(d, DOCTOR_OK, NULL, "agent with %zu key%s", d->agent_keys,
			d->agent_keys == 1 ? "" : "s");
	else
		doctor_say(d, DOCTOR_WARN,
			"start an agent and log in anew, or run: unset SSH_AUTH_SOCK",
			"the agent of SSH_AUTH_SOCK does not answer: %s: %s", path,
			r == SMX_ENOTFOUND ? "nobody listens there" : smx_strerror(r));
}

static void offer_file(struct offers *o, const char *dir, const char *name)
{
	struct smx_view line, rest;
	struct smx_buf text, blob;
	char *path;

	if (smx_os_path_join(dir, name, &path) != 0)
		return;
	smx_buf_init(&text, SMX_KEYFILE_MAX);
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	if (smx_os_file_read(path, SMX_KEYFILE_MAX, SMX_OS_FILE_PLAIN, &text, NULL) == 0) {
		line = smx_buf_as_view(&text);
		while (line.len > 0 &&
			(line.p[line.len - 1] == '\n' || line.p[line.len - 1] == '\r'))
			line.len--;
		if (smx_pubkey_line_parse(line, &blob, &rest) == 0)
			offer(o, smx_buf_as_view(&blob), path);
	}
	smx_buf_release(&text);
	smx_buf_release(&blob);
	smx_free(path);
}

static void offer_files(struct offers *o, const char *dir)
{
	char **names = NULL;
	size_t n = 0;

	if (smx_os_list_public_keys(dir, &names, &n, NULL) != 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (!strstr(names[i], "-cert.pub")) /* its key is offered, too */
			offer_file(o, dir, names[i]);
	smx_os_names_free(names, n);
}

static void say_offers(struct doctor *d, const struct offers *o)
{
	char *list = NULL;

	if (smx_authorized_keys_count(d->authorized) == 0)
		return; /* said already */
	if (o->allowed > 0) {
		doctor_say(d, DOCTOR_OK, NULL,
			"%zu of the %zu key%s that ssh would offer may log in", o->allowed,
			o->count, o->count == 1 ? "" : "s");
		return;
	}
	if (smx_os_path_join(d->ssh_dir, KEYRING_FILE, &list) != 0)
		return;
	if (o->count == 0)
		doctor_say(d, DOCTOR_WARN,
			"if there is none: ssh-keygen -t ed25519; else add an IdentityFile line "
			"for "
			"it to your ssh config",
			"no key was found that ssh would offer by itself (agent, id_*.pub)");
	else if (o->first_pub[0])
		doctor_say(d, DOCTOR_FAIL,
			doctor_fix(d, "run: cat %s >> %s", doctor_quote(d, o->first_pub),
				doctor_quote(d, list)),
			"none of the %zu keys that ssh would offer is in %s, so it ends in "
			"\"Permission denied (publickey)\"",
			o->count, list);
	else
		doctor_say(d, DOCTOR_FAIL,
			doctor_fix(d, "run: ssh-add -L | head -n 1 >> %s", doctor_quote(d, list)),
			"none of the agent's %zu keys is in %s, so ssh ends in \"Permission denied "
			"(publickey)\"",
			o->count, list);
	smx_free(list);
}

void doctor_check_keys(struct doctor *d)
{
	struct offers o = { .d = d };
	char *home_dir = NULL;

	doctor_area(d, "Keys for the local server");
	check_list(d);
	if (!d->authorized)
		return;
	ask_agent(&o);
	offer_files(&o, d->ssh_dir);
	if (d->is_other_dir && d->home && smx_os_path_join(d->home, ".ssh", &home_dir) == 0) {
		offer_files(&o, home_dir);
		smx_free(home_dir);
	}
	say_offers(d, &o);
}
