/* SPDX-License-Identifier: MIT */
/*
 * From the hosts of a client configuration to the text of a routes file (C3, C4). No I/O: the
 * caller finds the names (sshconf/ssh_config.h), asks ssh what each stands for, and gives the
 * answers here, in any order:
 *
 *	smx_import_baseline	what ssh -G says where nothing is configured
 *	smx_import_add		each literal Host alias, as it is found
 *	smx_import_ask		what to ask ssh about: 0, 1, 2 … < smx_import_count,
 *				which grows, since jump hosts are asked about too
 *	smx_import_answer	or smx_import_no_answer, for each
 *	smx_import_finish	when all are answered
 *	smx_import_toml		the text; smx_import_left_out: which are no routes, and why
 *
 * What reaches ssh's command line was judged before (config/names.h, R3), and so is every
 * value that comes back.
 */
#ifndef SMX_SSHCONF_IMPORT_H
#define SMX_SSHCONF_IMPORT_H

#include <stddef.h>

#include "base/buf.h"
#include "base/wire.h"
#include "config/routes.h"

#define SMX_IMPORT_HOSTS_MAX SMX_ROUTES_MAX /* aliases and jump hosts */
#define SMX_IMPORT_TEXT_MAX  (16u << 20) /* good cap for the text */
#define SMX_IMPORT_ERROR_MAX 512 /* good cap for what smx_import_no_answer is told */

struct smx_import_options {
	const char *source; /* path of the configuration, for the text */
	const char *home; /* what %d stands for */
	const char *own_key_alias; /* a HostKeyAlias that nobody but our own listener has */
	/* $NAME in IdentityFile and IdentityAgent; NULL: not set. */
	const char *(*env)(const char *name);
	int transports; /* R7: a ProxyCommand that needs no shell becomes a `transport` */
	int no_jump_table; /* every jump host is a route of its own, none is [jump] */
};

struct smx_import_place {
	const char *file;
	unsigned line, column;
};

/* ssh -G [-l user] [-p port] host. Valid until the next call that adds one. */
struct smx_import_ask {
	const char *host; /* NULL: there is nothing to ask, it is left out already */
	const char *user; /* NULL: none */
	unsigned port; /* 0: none */
};

struct smx_import_left_out {
	const char *name; /* as it is written: not fit for a terminal */
	struct smx_import_place place;
	const char *why; /* fit for a terminal: "has a ProxyCommand, …" */
	int is_of_ssh; /* the reason is what smx_import_no_answer was told */
};

struct smx_import_counts {
	size_t routes; /* in the text */
	size_t direct, via_jump; /* of them: without a jump host, through [jump] */
	size_t via_others; /* through another jump host, or several */
	size_t made_up; /* for jump hosts that are no alias themselves; one of the above as well */
	size_t left_out;
	const char *jump_view; /* what [jump] is called in the configuration; NULL: there is none */
};

struct smx_import;

/* Borrows nothing. SMX_ENOMEM. */
int smx_import_new(const struct smx_import_options *o, struct smx_import **ret);
void smx_import_free(struct smx_import *im); /* NULL works */

/* SMX_ENOMEM, SMX_ESYNTAX. */
int smx_import_baseline(struct smx_import *im, struct smx_view text);
/* A name that is there already is no error and changes nothing. SMX_ENOMEM, SMX_ELIMIT. */
int smx_import_add(struct smx_import *im, const char *alias, const struct smx_import_place *place);

size_t smx_import_count(const struct smx_import *im);
struct smx_import_ask smx_import_ask(const struct smx_import *im, size_t i);
/* text: the output of ssh -G. SMX_ENOMEM, SMX_ELIMIT. */
int smx_import_answer(struct smx_import *im, size_t i, struct smx_view text);
/* It is left out, for this reason, of which the first line that can be shown is taken. SMX_ENOMEM.
 */
int smx_import_no_answer(struct smx_import *im, size_t i, const char *why);

/* SMX_ENOMEM. */
int smx_import_finish(struct smx_import *im);
struct smx_import_counts smx_import_counts(const struct smx_import *im);
/*
 * The routes file: commented, sorted by name, and byte for byte the same for the same answers.
 * SMX_ENOMEM, SMX_ELIMIT.
 */
int smx_import_toml(const struct smx_import *im, struct smx_buf *out);
/* 1 and the next of those left out, in the order they were found; 0 at the end. *at: 0 at first. */
int smx_import_left_out(const struct smx_import *im, size_t *at, struct smx_import_left_out *ret);
/* What a host asks for besides a login (W3). */
enum smx_import_need_kind {
	SMX_IMPORT_NEEDS_FORWARD = 1, /* -L, -D */
	SMX_IMPORT_NEEDS_LISTEN = 2, /* -R */
	SMX_IMPORT_NEEDS_AGENT = 4,
	SMX_IMPORT_NEEDS_ALGORITHMS = 16, /* A16: old ones */
	SMX_IMPORT_NEEDS_OTHER = 8, /* what no key of a route allows */
};
struct smx_import_need {
	const char *name; /* of the route */
	unsigned what;
	char text[256]; /* fit for a terminal: "ForwardAgent, RemoteForward" */
};
/* As smx_import_left_out, of the routes that need something. */
int smx_import_needs(const struct smx_import *im, size_t *at, struct smx_import_need *ret);
/* The configuration goes through a host of that name for hosts that are no alias: a pattern's
 * ProxyJump, an ssh -W. Such a route is a jump host for clients, too. SMX_ENOMEM. */
int smx_import_jump(struct smx_import *im, const char *name);
/* Leaves an alias out because the user says so. SMX_ENOMEM. */
int smx_import_except(struct smx_import *im, const char *name);
/*
 * Appends, to the text of a routes file, those routes that it does not have (smx_routes_find), and
 * nothing else; *ret_n: how many. Those that its text says were left out by smx_import_except stay
 * so. Needs no_jump_table. SMX_ENOMEM, SMX_ELIMIT.
 */
int smx_import_merge(const struct smx_import *im, const struct smx_routes *old,
	struct smx_view text, struct smx_buf *out, size_t *ret_n);

/* What ssh said of every alias, if it refused all of them with the same words; else NULL. */
const char *smx_import_common_fault(const struct smx_import *im);

#endif
