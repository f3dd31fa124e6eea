/* SPDX-License-Identifier: MIT */
/* What the parts of setup-config share. Private to src/cli/sshconf/setup_*.c. */
#ifndef SMX_CLI_SSHCONF_SETUP_H
#define SMX_CLI_SSHCONF_SETUP_H

#include "base/buf.h"
#include "base/wire.h"
#include "cli/cli.h"
#include "config/routes.h"
#include "os/file.h"

#define SMX_SETUP_KEY_LINE_MAX 1024 /* of the local server's key as text */
#define SMX_SETUP_KNOWN_MAX    (1u << 20) /* longest ssh-mux-known-hosts */

/* How the list of those that we make begins. */
#define SMX_SETUP_KEYS_TOP "# Who may log in to the local server of ssh-mux: these public keys.\n"

/* What a line of text in a buffer says, or the text of the code. */
const char *smx_setup_said(struct smx_buf *err, int r);

/*
 * Appends a list of authorised keys: that top, and the id_*.pub of the SSH directory (L5), whose
 * names are added to names. One that can't be read is a warning.
 */
int smx_setup_public_keys(
	const char *ssh_dir, struct smx_buf *out, struct smx_buf *names, struct smx_buf *err);

/* The argument of smx_setup_local_edit. */
struct smx_setup_local {
	const char *ssh_dir;
	struct smx_view blob; /* of the key of our own (W5) */
};
/*
 * The edit of ssh-mux-authorized-keys: the key of our own in it once, an older one of ours gone,
 * all else as it is. A missing list is made with the keys that count without one.
 */
smx_os_edit_fn smx_setup_local_edit;
/* Takes it out. arg: int, set where nobody is left in a list that we made. */
smx_os_edit_fn smx_setup_local_cut;

/* The argument of smx_setup_known_edit. */
struct smx_setup_known {
	const char *path; /* for messages */
	const char *alias;
	struct smx_view blob; /* the local server's public key */
	int is_replaced; /* set: there was another one under its name */
};

/*
 * The edit of ssh-mux-known-hosts: the key under its alias, every other line as it is. Another key
 * of the same type under the alias alone is replaced, for the file is our own and says what the
 * local server's key is now; one that stands there together with other names, or a line that
 * revokes the key, was somebody's intention and is an error.
 */
smx_os_edit_fn smx_setup_known_edit;

/*
 * One warning that lists the routes which blocks of the user's match too (C2): in config and what
 * that includes, except for what we wrote. What can't be read is ssh's to complain about.
 */
void smx_setup_warn_overlaps(
	const struct smx_routes *routes, const char *config_path, const char *hosts_path);

/*
 * W3: sets ret_has[i] for each route that the configuration has a Host line with its name for, and
 * ret_left[i] for those that a ControlPath of the user's own was written for.
 */
void smx_setup_own_blocks(const struct smx_routes *routes, const char *config_path,
	const char *hosts_path, unsigned char *ret_has, unsigned char *ret_left);
/* Warnings: one for each of these, and one that lists the ControlPath lines for all hosts that ours
 * take the place of. scratch: a byte per route. */
void smx_setup_warn_control_paths(const struct smx_routes *routes, const char *config_path,
	const char *hosts_path, unsigned char *scratch);

/* W6: what a program that reads no configuration of ssh needs. */
struct smx_setup_app {
	uint16_t port;
	const char *key_path; /* of the private key that logs in locally */
	struct smx_view host_key; /* blob of the local server's */
	const struct smx_routes *routes;
};
/* On stdout. Errors of a blob that is none, SMX_ENOMEM, SMX_ELIMIT. */
int smx_setup_print_app(const struct smx_setup_app *app, int as_json);

/*
 * Where scripts are cmd.exe's: cursor-ssh.cmd and cursor-askpass.cmd, and what to set in an editor
 * (C7). ssh: the one to run, NULL: that of PATH. What fails is a warning: ssh itself needs none of
 * it. *ret_changed is set where something was written.
 */
void smx_setup_cursor(const struct smx_cli_setup *o, const char *ssh, int *ret_changed);

#endif
