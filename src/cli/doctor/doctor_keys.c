/* SPDX-License-Identifier: MIT */
/* Who may use the local server, and whether the keys that clients offer are among them (L5). */
#include "cli/doctor/doctor.h"
#include "os/agent.h"
#include "os/file.h"
#include "os/path.h"
#include "os/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "mux/doors/keyring.h"
#include "mux/doors/local_key.h"
#include "ssh/agent.h"

#define ERR_MAX      (4 * SMX_OS_PATH_MAX)
#define WARNINGS_MAX 4096

/* What a client would offer: of the agent, and of the id_* files. */
struct offers {
	struct doctor *d;
	size_t count, allowed;
	char first_pub[SMX_OS_PATH_MAX]; /* a .pub file of a key that is not allowed */
	int is_open_line; /* the list does not end with a newline: what is added must begin with one
			   */
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
		"ssh-mux honours no options: write the key alone (an ed25519, ecdsa, rsa or sk- "
		"one)",
		"%zu line%s left out: %.*s", n, n == 1 ? " is" : "s are", (int)strcspn(text, "\n"),
		text);
}

/* ret_is_open (may be NULL): the last line of the file has no end. */
static int add_file(struct doctor *d, const char *path, struct smx_buf *warnings, int *ret_is_open)
{
	struct smx_buf text, err;
	int r;

	smx_buf_init(&text, SMX_AUTHORIZED_KEYS_TEXT_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = smx_os_file_read(path, SMX_AUTHORIZED_KEYS_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, &err);
	if (r == 0)
		r = smx_authorized_keys_add_text(
			d->authorized, path, smx_buf_as_view(&text), warnings);
	if (r == 0 && ret_is_open && smx_buf_len(&text) > 0)
		*ret_is_open = smx_buf_view(&text)[smx_buf_len(&text) - 1] != '\n';
	if (r != 0 && r != SMX_ENOTFOUND)
		doctor_say_err(d, DOCTOR_FAIL, &err, r, "make it a file that only you can change");
	smx_buf_release(&text);
	smx_buf_release(&err);
	return r;
}

static void add_public_keys(struct doctor *d, const char *list, struct smx_buf *warnings)
{
	char **names = NULL, *path, copy[DOCTOR_TEXT_MAX];
	size_t n = 0;

	if (smx_os_list_public_keys(d->ssh_dir, &names, &n, NULL) != 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		if (smx_os_path_join(d->ssh_dir, names[i], &path) != 0)
			continue;
		(void)add_file(d, path, warnings, NULL);
		smx_free(path);
	}
	if (n > 0 && smx_os_path_join(d->ssh_dir, names[0], &path) == 0) {
		smx_os_advice(SMX_OS_ADVICE_COPY, path, list, copy, sizeof(copy));
		smx_free(path);
		doctor_say(d, DOCTOR_WARN, doctor_fix(d, "for this key alone, %s", copy),
			"there is no %s, so whoever has the key of any id_*.pub next to it may log "
			"in (%zu of them)",
			list, n);
	}
	smx_os_names_free(names, n);
}

static void check_list(struct doctor *d, struct offers *o)
{
	struct smx_buf warnings;
	char *path;
	size_t n;
	int r;

	if (smx_authorized_keys_new(&d->authorized) != 0 ||
		smx_os_path_join(d->ssh_dir, KEYRING_FILE, &path) != 0)
		return;
	smx_buf_init(&warnings, WARNINGS_MAX);
	r = add_file(d, path, &warnings, &o->is_open_line);
	if (r == SMX_ENOTFOUND)
		add_public_keys(d, path, &warnings);
	say_skipped(d, &warnings);
	n = smx_authorized_keys_count(d->authorized);
	if (r == 0 && n > 0)
		doctor_say(d, DOCTOR_OK, NULL, "%zu key%s in %s may use the local server", n,
			n == 1 ? "" : "s", path);
	else if (n == 0 && (r == 0 || r == SMX_ENOTFOUND))
		doctor_say(d, d->via == DOCTOR_VIA_CONTROL ? DOCTOR_NOTE : DOCTOR_FAIL,
			doctor_advice(d, SMX_OS_ADVICE_ADD_KEY, NULL, path),
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
	/* With IdentitiesOnly the agent signs for the files that are named, and those are counted
	 * by themselves. */
	if (!o->d->identities_only)
		offer(o, blob, NULL);
	return 0;
}

/* The agent that ssh asks: IdentityAgent's, else that of SSH_AUTH_SOCK. */
static void ask_agent(struct offers *o)
{
	struct doctor *d = o->d;
	const char *name = d->identity_agent, *where = "IdentityAgent in your ssh config", *env;
	char *path = NULL;
	int r;

	if (strcmp(name, "none") == 0) {
		doctor_say(d, DOCTOR_OK, NULL, "ssh uses no agent (IdentityAgent none)");
		return;
	}
	if (!name[0] || strcmp(name, SMX_OS_AGENT_USUAL) == 0)
		name = NULL;
	if (smx_os_agent_path(name, &path) != 0) {
		doctor_say(d, DOCTOR_OK, NULL, "no agent here (SSH_AUTH_SOCK is not set)");
		return;
	}
	if (!name) {
		env = smx_os_getenv("SSH_AUTH_SOCK");
		where = env && env[0] ? "SSH_AUTH_SOCK" : NULL;
	}
	if ((r = doctor_agent(path, on_agent_key, o)) == SMX_ENOTFOUND && !where)
		doctor_say(d, DOCTOR_OK, NULL, "no agent here (nobody listens at %s)", path);
	else if (r == 0)
		doctor_say(d, DOCTOR_OK, NULL, "agent with %zu key%s", d->agent_keys,
			d->agent_keys == 1 ? "" : "s");
	else
		doctor_say(d, DOCTOR_WARN, doctor_advice(d, SMX_OS_ADVICE_START_AGENT, NULL, NULL),
			"the agent of %s does not answer: %s: %s", where ? where : "this system",
			path, r == SMX_ENOTFOUND ? "nobody listens there" : smx_strerror(r));
	smx_free(path);
}

/* Of a .pub file, or of a private key in OpenSSH's format, which has it in clear. */
static int read_public(const char *path, int is_private, struct smx_buf *blob)
{
	struct smx_view line, rest;
	struct smx_buf text;
	int r;

	smx_buf_init_secret(&text, SMX_KEYFILE_MAX);
	r = smx_os_file_read(path, SMX_KEYFILE_MAX,
		is_private ? SMX_OS_FILE_USER_KEY : SMX_OS_FILE_PLAIN, &text, NULL);
	line = smx_buf_as_view(&text);
	while (line.len > 0 && (line.p[line.len - 1] == '\n' || line.p[line.len - 1] == '\r'))
		line.len--;
	if (r == 0)
		r = is_private ? smx_keyfile_public_blob(smx_buf_as_view(&text), blob)
			       : smx_pubkey_line_parse(line, blob, &rest);
	smx_buf_release(&text);
	return r;
}

/* private_path: of the pair. */
static void offer_file(struct offers *o, const char *private_path)
{
	char path[SMX_OS_PATH_MAX];
	struct smx_os_stamp stamp;
	struct smx_buf blob;
	int has_pub = 0;

	if (smx_os_file_stamp(private_path, &stamp) != 0)
		return; /* one of the defaults that is not there */
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	if (snprintf(path, sizeof(path), "%s.pub", private_path) < (int)sizeof(path))
		has_pub = read_public(path, 0, &blob) == 0;
	if (has_pub || read_public(private_path, 1, &blob) == 0)
		offer(o, smx_buf_as_view(&blob), has_pub ? path : NULL);
	smx_buf_release(&blob);
}

/* Where ssh could not be asked: what it offers by itself. */
static void offer_defaults(struct offers *o)
{
	static const char *const names[] = { "id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519",
		"id_ed25519_sk" };
	char *dir = NULL, *path;

	if (!o->d->home || smx_os_path_join(o->d->home, ".ssh", &dir) != 0)
		return;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++)
		if (smx_os_path_join(dir, names[i], &path) == 0) {
			offer_file(o, path);
			smx_free(path);
		}
	smx_free(dir);
}

static void say_offers(struct doctor *d, const struct offers *o)
{
	char *list = NULL;

	if (smx_authorized_keys_count(d->authorized) == 0)
		return; /* said already */
	if (!d->knows_offers && d->via != DOCTOR_VIA_NONE)
		return; /* why ssh could not be asked is said already, too */
	if (o->allowed > 0) {
		if (o->count == 1)
			doctor_say(d, DOCTOR_OK, NULL, "the key that ssh offers may log in");
		else
			doctor_say(d, DOCTOR_OK, NULL,
				"%zu of the %zu keys that ssh offers may log in", o->allowed,
				o->count);
		return;
	}
	if (smx_os_path_join(d->ssh_dir, KEYRING_FILE, &list) != 0)
		return;
	if (o->count == 0)
		doctor_say(d, DOCTOR_WARN,
			"if there is none: ssh-keygen -t ed25519; else add an IdentityFile line "
			"for "
			"it to your ssh config",
			"no key was found that ssh would offer by itself (the agent's, or "
			"~/.ssh/id_*)");
	else
		doctor_say(d, DOCTOR_FAIL,
			o->first_pub[0] ? doctor_advice(d,
						  o->is_open_line ? SMX_OS_ADVICE_APPEND_LINE
								  : SMX_OS_ADVICE_APPEND,
						  o->first_pub, list)
					: doctor_advice(d,
						  o->is_open_line ? SMX_OS_ADVICE_APPEND_AGENT_LINE
								  : SMX_OS_ADVICE_APPEND_AGENT,
						  NULL, list),
			"%s in %s, so ssh ends in \"Permission denied (publickey)\"",
			o->count == 1 ? "the key that ssh offers is not"
				      : "none of the keys that ssh offers is",
			list);
	smx_free(list);
}

/* W5: whether the key that blocks of ours name is there, is one, and may log in. */
static void check_client_key(struct doctor *d)
{
	struct smx_buf blob, err;
	struct smx_key *key = NULL;
	size_t i = 0;
	int r;

	while (i < d->n_identities &&
		strcmp(smx_os_path_name(d->identities[i]), CLIENT_KEY_FILE) != 0)
		i++;
	if (i == d->n_identities)
		return; /* blocks of an older version */
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = local_key_peek(d->ssh_dir, LOCAL_KEY_CLIENT, &key, &err);
	if (r == 0)
		r = smx_key_to_blob(key, &blob);
	if (r == SMX_ENOTFOUND)
		doctor_say(d, DOCTOR_FAIL, doctor_setup(d),
			"%s is missing, the key that ssh logs in at the local server with",
			d->identities[i]);
	else if (r != 0)
		doctor_say_err(d, DOCTOR_FAIL, &err, r, doctor_setup(d));
	else if (!smx_authorized_keys_has(d->authorized, smx_buf_as_view(&blob)))
		doctor_say(d, DOCTOR_FAIL, doctor_setup(d),
			"%s, the key that ssh logs in at the local server with, is not among the "
			"authorised keys",
			d->identities[i]);
	smx_key_free(key);
	smx_buf_release(&blob);
	smx_buf_release(&err);
}

void doctor_check_keys(struct doctor *d)
{
	struct offers o = { .d = d };

	doctor_area(d, "Keys for the local server");
	check_list(d, &o);
	if (!d->authorized)
		return;
	ask_agent(&o);
	if (d->via == DOCTOR_VIA_CONTROL)
		return; /* at the control sockets ssh offers none */
	check_client_key(d);
	for (size_t i = 0; i < d->n_identities; i++)
		offer_file(&o, d->identities[i]);
	if (!d->knows_offers)
		offer_defaults(&o);
	say_offers(d, &o);
}
