/* SPDX-License-Identifier: MIT */
/*
 * What ssh is told about the routes (C1, C2): the text of ssh-mux-hosts.conf, and the one Include
 * line in the user's own config. Text in, text out; cli/sshconf/setup_config.c does the files.
 */
#ifndef SMX_SSHCONF_HOSTS_CONF_H
#define SMX_SSHCONF_HOSTS_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/wire.h"
#include "config/routes.h"

#define SMX_HOSTS_CONF_MAX (16u << 20) /* good cap for its text: SMX_ROUTES_MAX blocks fit */
#define SMX_USER_CONF_MAX  (4u << 20) /* longest config of a user that is touched */

/* ---- ssh-mux-hosts.conf ------------------------------------------------------------------------
 */

/*
 * Options that not every ssh knows, and one that it does not know ends ssh: the caller asks the
 * ssh at hand for each and sets bit i of `known` for those that it takes. Never IgnoreUnknown,
 * which an older ssh in turn would apply to what the user has misspelled elsewhere.
 */
enum smx_hosts_option {
	SMX_HOSTS_PUBKEY_ALGORITHMS, /* 8.5 */
	SMX_HOSTS_KNOWN_HOSTS_COMMAND, /* 8.5 */
	SMX_HOSTS_OBSCURE_KEYSTROKES, /* 9.5 */
	SMX_HOSTS_GSSAPI_KEX, /* a patch that many distributions have */
	SMX_HOSTS_PKCS11, /* not every build has it */
	SMX_HOSTS_WARN_WEAK_CRYPTO, /* 10.1 */
	SMX_HOSTS_MLKEM, /* 9.9; no line of its own */
	SMX_HOSTS_OPTIONS,
};
/* "Option=value" to ask ssh -G for with -o. */
const char *smx_hosts_option_probe(enum smx_hosts_option option);

struct smx_hosts_conf {
	const char *routes_path; /* for the comment on top */
	const char *known_path; /* absolute: the file with the local server's key */
	const char *key_alias; /* its name there */
	uint16_t port;
	int accept_new; /* the key could not be put there yet */
	/* The private keys of those that the local server takes, absolute; only these? */
	const char *const *identity;
	size_t n_identity;
	int identities_only;
	unsigned known; /* bits of enum smx_hosts_option */
	/*
	 * Not NULL: W3, ssh finds the control sockets in this directory, whose names may have
	 * control_room bytes; of the rest only routes_path is used then. Of each route, has_block:
	 * whether the user's own configuration has a block for it, which says where it leads.
	 */
	const char *control_dir;
	size_t control_room;
	const unsigned char *has_block;
	const unsigned char *is_left; /* of each route: it gets no block at all; may be NULL */
	/* NULL: ssh connects to the port. Else it runs this: an absolute path. */
	const char *program;
	const char *program_ssh_dir; /* SSH_MUX_SSH_DIR for it, or NULL */
};

/*
 * Appends the file: one Host block per route, by name. SMX_EINVAL if a path can't be written (see
 * smx_conf_path_fault), SMX_ENOMEM, SMX_ELIMIT.
 */
int smx_hosts_conf_write(
	const struct smx_routes *routes, const struct smx_hosts_conf *o, struct smx_buf *out);

/* Whether a text begins as that file does; an empty one counts. */
int smx_hosts_conf_is_ours(struct smx_view text);
/* Whether a text of it, NUL-terminated, says that the route is left to ssh (is_left). */
int smx_hosts_conf_is_left(const char *text, const char *route);
/* Whether it is one for the control sockets. */
int smx_hosts_conf_is_control(struct smx_view text);

/*
 * NULL, or what keeps a path from being written into ssh_config so that every ssh reads the same:
 * "has a control character". in_include: as the argument of Include, where a '%' is a token for
 * newer ones and itself for older ones.
 */
const char *smx_conf_path_fault(const char *path, int in_include);

/* ---- the Include line --------------------------------------------------------------------------
 */

struct smx_include {
	const char *path; /* of the file to include, absolute */
	const char *name; /* the last part of it */
	/*
	 * Its directory is ~/.ssh, against which ssh resolves relative names even with -F: the bare
	 * name will do.
	 */
	int is_home;
};

/* Appends the line, without its end. SMX_EINVAL as above, SMX_ENOMEM, SMX_ELIMIT. */
int smx_include_line(const struct smx_include *inc, struct smx_buf *out);

enum smx_include_place {
	SMX_INCLUDE_NONE,
	SMX_INCLUDE_TOP, /* nothing but other Includes is before it */
	SMX_INCLUDE_LATE, /* global options before it win over ours */
	SMX_INCLUDE_CONDITIONAL, /* below a Host or Match, it only counts for what that matches */
};

struct smx_include_found {
	enum smx_include_place place; /* of the first */
	unsigned line, count; /* line of the first; how many there are */
	int has_bom; /* the text starts with a byte order mark */
};

/* Where the text has our Include: by its bare name or "~/.ssh/" if is_home, or by its path.
 * SMX_ENOMEM. */
int smx_include_find(
	const struct smx_include *inc, struct smx_view text, struct smx_include_found *ret);

/*
 * Appends the text with the line before all else (behind a byte order mark, for who reads such
 * files at all wants it first), ended as the first line of the text is. Every other byte stays.
 */
int smx_include_prepend(const struct smx_include *inc, struct smx_view text, struct smx_buf *out);

/* ---- blocks of the user's for the same names ---------------------------------------------------
 */

/*
 * A Host line matches the name of routes->routes[route], which it may have by the letter. Anything
 * but 0 ends the search.
 */
typedef int smx_overlap_fn(void *arg, size_t route, unsigned line, int is_literal);
/* The text includes what a word of ssh_config says. Anything but 0 ends the search. */
typedef int smx_overlap_include_fn(void *arg, const char *word);

/*
 * Tells of each, but for patterns that match every host, and of what is included, in the order of
 * the text. 0, SMX_ENOMEM, or what a function returned.
 */
int smx_overlap_find(const struct smx_routes *routes, struct smx_view text, smx_overlap_fn *found,
	smx_overlap_include_fn *include, void *arg);
/*
 * The same for each ControlPath: for every route that its block names, with is_literal 1; and once,
 * with 0, if it holds for all hosts, or may (Match).
 */
int smx_control_path_find(const struct smx_routes *routes, struct smx_view text,
	smx_overlap_fn *found, smx_overlap_include_fn *include, void *arg);

#endif
