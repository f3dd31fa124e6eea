/* SPDX-License-Identifier: MIT */
/* What the parts of import share. Private to src/sshconf/import*.c. */
#ifndef SMX_SSHCONF_IMPORT_INT_H
#define SMX_SSHCONF_IMPORT_INT_H

#include "config/routes_int.h"
#include "sshconf/import.h"
#include "sshconf/ssh_config.h"

#define IMPORT_NONE  SIZE_MAX
#define IMPORT_LISTS 4 /* options that are lists of algorithms */

#define IMPORT_EXCEPT "is left to ssh, as --except says" /* also how a routes file remembers it */

/* A host that ssh is asked about: an alias, or a jump host that is none. */
struct import_host {
	char *ask_host, *ask_user; /* ask_host: the alias */
	unsigned ask_port;
	int is_alias; /* found in the configuration, not only as somebody's jump host */
	int is_jump; /* somebody's jump host */
	unsigned depth; /* of jump hosts of jump hosts: 0 for aliases */
	char *file; /* where it was found; of a jump host, where whom it is for was */
	unsigned line, column;
	char *why; /* left out, for this reason; else NULL */
	int is_why_of_ssh;

	/* The answer. */
	char *host, *user, *host_key_alias, *identity_agent;
	unsigned port;
	int identities_only;
	struct smx_strings identity, certificate, known_hosts, transport, send_env;
	struct smx_strings notes; /* comments: what has no place in a route */
	struct smx_strings needs; /* what it asks for besides a login, for people (W3) */
	unsigned needs_what; /* bits of enum smx_import_need_kind */
	struct smx_strings forwards, remote_forwards; /* items that would allow it */
	char *algorithms; /* likewise (A16), or NULL */
	size_t jumps[SMX_HOPS_MAX];
	size_t n_jumps;

	/* smx_import_finish. */
	size_t same_as; /* the host that stands for this one: mostly itself */
	int needs_name; /* a route names it as its jump host */
	char *name; /* of the route; NULL: it needs none */
	size_t users; /* routes that would have it as [jump] */
};

struct smx_import {
	struct smx_import_options o; /* strings owned */
	struct import_host *hosts;
	size_t n_hosts, cap;
	struct smx_strings default_identity;
	char *default_known_hosts, *local_user;
	char *usual[IMPORT_LISTS]; /* the algorithms where nothing is configured */
	struct smx_strings jump_names; /* of smx_import_jump */
	size_t jump; /* the host that is [jump], or IMPORT_NONE */
	size_t *order; /* hosts with a name, sorted */
	size_t n_order;
};

/* import_needs.c. text: of ssh -G. SMX_ENOMEM. */
int import_needs_baseline(struct smx_import *im, struct smx_view text);
int import_take_needs(struct smx_import *im, struct import_host *h, struct smx_view text);
/* Whether the configuration uses it as a jump host, by its name. */
int import_is_jump(const struct smx_import *im, const struct import_host *h);

/* import_answer.c */

/* Sets the reason, unless there is one. SMX_ENOMEM. */
int import_refuse(struct import_host *h, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Finds or adds a host to ask about. SMX_ENOMEM, SMX_ELIMIT. */
int import_find_or_add(
	struct smx_import *im, const char *host, const char *user, unsigned port, size_t *ret_at);

#endif
