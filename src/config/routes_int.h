/* SPDX-License-Identifier: MIT */
/* What the parts of the routes code share. Private to src/config/routes*.c. */
#ifndef SMX_CONFIG_ROUTES_INT_H
#define SMX_CONFIG_ROUTES_INT_H

#include "base/attr.h"
#include "base/err.h"
#include "config/forward.h"
#include "config/routes.h"
#include "config/toml.h"

struct smx_strings {
	char **v;
	size_t n;
};

/* Hops of a route, as places in the list of drafts; the table [jump] is ROUTE_HOP_JUMP. */
#define ROUTE_HOP_JUMP SIZE_MAX

/* A table of the file as it is written: the top level, [jump] or a route. */
struct route_draft {
	const struct smx_toml *node;
	char name[SMX_ROUTE_NAME_MAX + 1]; /* "" for the top level and [jump] */
	unsigned present; /* bit of each key that was given */
	char *host, *user, *host_key_alias, *identity_agent, *pinentry, *algorithms;
	unsigned port, dead_after;
	enum smx_prompter prompter;
	int direct, identities_only, allow_loopback, unattended, allow_other_users, pace, spare;
	int update_host_keys;
	struct smx_strings identity, certificate, known_hosts, transport, send_env, agent_keys;
	const struct smx_toml *transport_at;
	const struct smx_toml *jump, *jump_through;
	struct smx_forward_rules forwards, remote_forwards, through;
	int agent_is_allowed, agent_must_confirm;
	/* B1: filled in by smx_routes_resolve. */
	enum { DRAFT_NEW, DRAFT_VISITING, DRAFT_DONE } state;
	size_t hops[SMX_HOPS_MAX];
	size_t n_hops;
};

struct routes_parser {
	const char *file_name;
	struct smx_buf *error;
	int wants_all; /* errors are collected, as lines, and reading goes on where it can */
	unsigned n_errors;
	struct route_draft top, jump;
	int has_jump;
	struct route_draft *drafts;
	size_t n_drafts;
};

/*
 * Appends "file:line:column: [routes.web] key "prot": what" and returns SMX_ESYNTAX. The
 * section comes from draft, the place from at (key NULL: of the section itself).
 */
int smx_routes_fail(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *at, const char *fmt, ...) SMX_PRINTF(4, 5);

/* Whether reading goes on after r; errors of the text were counted by smx_routes_fail. */
static inline int smx_routes_goes_on(const struct routes_parser *p, int r)
{
	return r == 0 || (r == SMX_ESYNTAX && p->wants_all && p->n_errors < SMX_ROUTES_ERRORS_MAX);
}

/* routes_keys.c: reads the keys of a draft from its node. */
enum { SECTION_TOP = 1, SECTION_JUMP = 2, SECTION_ROUTE = 4 };
enum {
	KEY_HOST = 1 << 0,
	KEY_PORT = 1 << 1,
	KEY_USER = 1 << 2,
	KEY_DIRECT = 1 << 3,
	KEY_JUMP = 1 << 4,
	KEY_LOOPBACK = 1 << 5,
	KEY_SEND_ENV = 1 << 6,
	KEY_IDENTITY = 1 << 7,
	KEY_IDENTITIES_ONLY = 1 << 8,
	KEY_IDENTITY_AGENT = 1 << 9,
	KEY_ALIAS = 1 << 10,
	KEY_TABLE_JUMP = 1 << 11,
	KEY_TABLE_ROUTES = 1 << 12,
	KEY_PINENTRY = 1 << 13,
	KEY_UNATTENDED = 1 << 14,
	KEY_PROMPTER = 1 << 15,
	KEY_DEAD_AFTER = 1 << 16,
	KEY_OTHER_USERS = 1 << 17,
	KEY_PACE = 1 << 18,
	KEY_SPARE = 1 << 19,
	KEY_KNOWN_HOSTS = 1 << 20,
	KEY_FORWARDS = 1 << 21,
	KEY_REMOTE_FORWARDS = 1 << 22,
	KEY_JUMP_THROUGH = 1 << 23,
	KEY_CERTIFICATE = 1 << 24,
	KEY_AGENT_FORWARD = 1 << 28,
	KEY_TRANSPORT = 1 << 25,
	KEY_UPDATE_HOST_KEYS = 1 << 26,
	KEY_ALGORITHMS = 1 << 27,
};
int smx_routes_read_keys(struct routes_parser *p, struct route_draft *draft, unsigned section);

/* routes_chain.c: fills in the hops of every draft (B1). */
int smx_routes_resolve(struct routes_parser *p);

/* routes_forward.c: what may be forwarded (B4). */
int smx_routes_read_forwards(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, enum smx_forward_side side, struct smx_forward_rules *to);
/* Only its shape; the names are looked up when all routes are there, by the second. */
int smx_routes_read_through(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, const struct smx_toml **to);
int smx_routes_resolve_through(struct routes_parser *p);

/* routes_variant.c: of one that nobody holds any more. */
void smx_routes_variant_release(struct smx_routes *variant);

/* routes.c */
void smx_strings_release(struct smx_strings *s);
int smx_strings_push(struct smx_strings *s, const char *str);
int smx_strings_add(struct smx_strings *s, const char *str); /* unless it is there already */
void smx_hop_release(struct smx_hop *hop);
/* "a-z" of a copy of s; up to a '%' (IPv6 zones are case sensitive). */
char *smx_host_dup(const char *s);

#endif
