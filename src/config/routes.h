/* SPDX-License-Identifier: MIT */
/*
 * Routes (R1–R6, B1): the text of ssh-mux-routes.toml → an immutable table of routes.
 *
 *	default_allow_remote_loopback_any_port = false
 *	allow_other_users = false			# of this machine, at the local server (U9)
 *	identity = "~/.ssh/id_ed25519"			# or an array
 *	identity_agent = "/run/user/1000/agent"
 *	send_env = ["EDITOR"]
 *	pinentry = "/usr/bin/pinentry-gnome3"		# or "none"
 *	update_host_keys = true				# K6; unset: true unless known_hosts is set
 *	algorithms = "+hmac-sha1"			# offered besides (A16)
 *	dead_after = 900				# seconds, 45 to 86400
 *	pace = true					# false: windows of a fixed size
 *	spare = true					# false: no channels in advance
 *	prompter = "native"				# or "powershell"; Windows
 *
 *	[jump]						# the default jump host
 *	host = "bastion.example"			# required, as is user
 *	user = "me"
 *	port = 22
 *	transport, identity, certificate, identities_only, identity_agent, unattended, prompter,
 *	host_key_alias, known_hosts, dead_after, pace, spare, update_host_keys, algorithms
 *
 *	[routes.web]					# ssh web
 *	host = "10.0.0.5"				# required, as is user
 *	user = "deploy"
 *	port = 22
 *	direct = true					# no jump host
 *	jump = "other"					# through another route, or "none", or a
 *							# chain: ["first", "second"]
 *	allow_remote_loopback_any_port = true
 *	forwards = ["db:5432", "10.0.0.0/8:*"]		# config/forward.h
 *	remote_forwards = ["8080"]
 *	jump_through = true				# or routes and items of `forwards`
 *	agent_forward = ["SHA256:…", "confirm"]		# or true
 *	transport = ["nc", "%h", "%p"]			# config/transport.h
 *	send_env, and what [jump] may have
 *
 * However a route is written, what comes out is an array of hops: jump hosts in the order they are
 * dialled, the target last; hops[i + 1] is reached through a channel of hops[i].
 *
 * jump = "name" goes wherever route `name` goes, through its own jump hosts, and then on. In an
 * array that holds for the first name; each further one is dialled from the one before it. Without
 * `jump` and `direct`, a route goes through [jump] if there is one. "none" always means no jump
 * host.
 */
#ifndef SMX_CONFIG_ROUTES_H
#define SMX_CONFIG_ROUTES_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/wire.h"
#include "config/forward.h"
#include "config/names.h"

#define SMX_ROUTES_TEXT_MAX     (1024 * 1024) /* bytes of the file */
#define SMX_ROUTES_MAX          4096 /* routes in a table */
#define SMX_HOPS_MAX            8 /* hops of a route, the target included */
#define SMX_IDENTITIES_MAX      16 /* key files of a hop */
#define SMX_SEND_ENV_MAX        64 /* names in a send_env */
#define SMX_AGENT_NAMES_MAX     64 /* keys in an agent_forward */
#define SMX_ROUTES_ERROR_MAX    1024 /* good cap for an error buffer */
#define SMX_ROUTES_ERRORS_MAX   50 /* that smx_routes_check tells of */
#define SMX_TRANSPORT_WORDS_MAX 32
#define SMX_CONFIG_PATH_MAX     1024 /* bytes in a path of the file */
#define SMX_DEFAULT_SSH_PORT    22
#define SMX_DEAD_AFTER_S        900 /* dead_after where the file does not say it (U3) */
#define SMX_DEAD_AFTER_MIN_S    45
#define SMX_DEAD_AFTER_MAX_S    86400

/* What a window of ours is, on a system that has them (A4: Windows); of no meaning elsewhere. */
enum smx_prompter {
	SMX_PROMPTER_NATIVE, /* a dialogue box */
	SMX_PROMPTER_POWERSHELL,
};

struct smx_hop {
	char *name; /* of the route it is written in; NULL for [jump] and in direct mode */
	char *host; /* lower case */
	uint16_t port;
	char *user;
	char *host_key_alias; /* name in known_hosts, or NULL */
	char **known_hosts; /* files in the place of the user's own (K7), as identity; the first
			       one gets new keys */
	size_t n_known_hosts; /* 0: the defaults */
	char *algorithms; /* old ones to offer besides (A16, config/algorithms.h), or NULL */
	int update_host_keys; /* keys that the server proves to have are written there (K6) */
	char **identity; /* key file paths as written (a leading "~/" is the caller's to expand);
			    the order decides which key is offered first */
	size_t n_identity; /* 0: the defaults */
	char **transport; /* a program and its arguments, in the place of a TCP connection (R7) */
	size_t n_transport; /* 0: TCP */
	char **certificate; /* files of certificates besides those beside the keys (A9), as
			       identity */
	size_t n_certificate;
	int identities_only; /* only these keys, also of those in the agent */
	uint32_t dead_after_s; /* silence after which its connection is given up (U3) */
	int pace; /* what is under way follows its path (B7, B8) */
	int spare; /* the next session's channel is opened beforehand (B12) */
	int unattended; /* nobody is asked, by design: logins without a person only (K2) */
	enum smx_prompter prompter; /* the window that asks for its logins */
	char *identity_agent; /* socket, "none", "SSH_AUTH_SOCK", "$NAME" of a variable (A10), or
				 NULL for the usual order (A1) */
};

/* B4: what a client may lend to the remote of its agent, if it asks to. All zero: nothing. */
struct smx_agent_forward {
	int is_allowed;
	int must_confirm; /* a person is asked before each signature */
	char **keys; /* no other key is shown or used: fingerprints "SHA256:…", or public key files
			(a leading "~/" is the caller's to expand, as is putting the fingerprint in
			the place of a file: what is no fingerprint names no key) */
	size_t n_keys; /* 0: all that the agent has */
};

struct smx_route {
	char *name; /* "*" in direct mode; of a variant "root@web" */
	const char *base; /* W1: the name of the route that this is a variant of; else NULL */
	struct smx_hop *hops; /* jump hosts first, the target last */
	size_t n_hops; /* >= 1 */
	int allow_remote_loopback_any_port; /* effective (R5: route OR top level) */
	struct smx_forward_rules forwards; /* B4: more that may be connected to */
	struct smx_forward_rules remote_forwards; /* and listened at */
	struct smx_forward_rules jump_through; /* hosts that clients may reach through it */
	char **send_env; /* effective: route and top level */
	size_t n_send_env;
	struct smx_agent_forward agent;
	unsigned line, column; /* of NAME in [routes.NAME]; 0 in direct mode */
};

struct smx_routes {
	struct smx_route *routes; /* in the order of the file */
	size_t n_routes;
	char *pinentry; /* the program that asks on a desktop (A6), "none", or NULL: what is found
			 */
	int allow_other_users; /* U9: the local server takes connections of other users too */
	int match_any; /* direct mode: the one route serves every user name (R6) */
	struct smx_routes *parent; /* of a variant (W1): whose memory most of it is; else NULL */
	unsigned refs;
};

static inline const struct smx_hop *smx_route_target(const struct smx_route *route)
{
	return &route->hops[route->n_hops - 1];
}

/*
 * 0, SMX_ENOMEM, or SMX_ESYNTAX with one line (no newline) appended to ret_error:
 *
 *	routes.toml:7:1: [routes.web] key "prot": unknown key; did you mean "port"?
 */
int smx_routes_parse(struct smx_view text, const char *file_name, struct smx_routes **ret,
	struct smx_buf *ret_error);

/*
 * As that, but tells of every error (at most SMX_ROUTES_ERRORS_MAX), each as such a line with a
 * newline: for who corrects a file. What is no TOML has one error.
 */
int smx_routes_check(struct smx_view text, const char *file_name, struct smx_routes **ret,
	struct smx_buf *ret_errors);

/*
 * Direct mode (R6): a table whose one route serves any user name. SMX_EINVAL with a line appended
 * to ret_error if host, port or user can't be one. allow_loopback: the route's loopback flag.
 */
int smx_routes_direct(const char *host, uint32_t port, const char *user, int allow_loopback,
	struct smx_routes **ret, struct smx_buf *ret_error);

/*
 * W1: a table with one route, which is `of` of `table` but logs in to its end as another user or at
 * another port (NULL, 0: as `of`). Jump hosts, keys and policy are the same. It holds `table`.
 * Names are not checked here. SMX_ENOMEM.
 */
int smx_routes_variant(struct smx_routes *table, const struct smx_route *of, const char *user,
	uint16_t port, struct smx_routes **ret);

/*
 * Tables are counted, because connections outlive a re-read of the file: a route is
 * valid while its table is held. New tables have one reference.
 */
struct smx_routes *smx_routes_ref(struct smx_routes *routes);
void smx_routes_unref(struct smx_routes *routes); /* NULL works */

/* NULL if there is none. Names are compared exactly. */
const struct smx_route *smx_routes_find(const struct smx_routes *routes, const char *name);

/*
 * The first route of the table that leads to the target's user, host and port, with its jump hosts
 * and keys; or NULL. *ret_rival: one that leads there as well and logs in with other keys, so that
 * the choice between them is a person's (P1); or NULL.
 */
const struct smx_route *smx_routes_find_target(const struct smx_routes *routes,
	const struct smx_hop *target, const struct smx_route **ret_rival);

/*
 * P1: 1 if both lead to the same place as the same person: user, host, port, transport (and with
 * one the name, which may stand in its words), host_key_alias, known_hosts, algorithms, identity
 * and certificate (lists, in their order), identities_only and identity_agent of each hop, and
 * their number. That is the pool's key. What decides when and how one is asked (unattended,
 * prompter) or how its connection is kept and used (dead_after, pace, spare, update_host_keys) is
 * no part of it.
 *
 * Paths are compared as text. Two spellings of one file cost a second login, and never make two
 * people one; mux/pool/prepare.h has put the home in the place of "~/" before.
 */
int smx_hops_equal(const struct smx_hop *a, size_t n_a, const struct smx_hop *b, size_t n_b);
/*
 * What smx_hops_equal compares as bytes, the same ones for hops that are equal and no others:
 * for a digest that outlives the routes. Appended. SMX_ENOMEM, SMX_ELIMIT.
 */
int smx_hops_write(const struct smx_hop *hops, size_t n_hops, struct smx_buf *out);
/* The same without the identities: user, host, port, host_key_alias, known_hosts and so on of each
 * hop. */
int smx_hops_same_place(const struct smx_hop *a, size_t n_a, const struct smx_hop *b, size_t n_b);
/*
 * The first route before this one that leads to the same place with other identities, so that the
 * two log in separately, though they may look alike to a person. NULL: there is none, or one before
 * it is the same as this one, and was told of.
 */
const struct smx_route *smx_routes_twin(
	const struct smx_routes *routes, const struct smx_route *route);
/*
 * Appends what smx_hops_equal compares besides the place, for people: "/home/u/.ssh/id_a, only
 * these, agent none via default keys". Nothing if no hop has any of it. SMX_ENOMEM, SMX_ELIMIT.
 */
int smx_hops_identity(const struct smx_hop *hops, size_t n_hops, struct smx_buf *out);
/*
 * A10: the environment variable that says where the agent listens, for a value of identity_agent
 * ("SSH_AUTH_SOCK" for NULL); into `named` or static. NULL: none does, it is a path or "none".
 */
const char *smx_agent_variable(const char *named);
/* What to pass to trust/known_hosts.h: the alias (port 22, as OpenSSH does) or host and port. */
void smx_hop_known_name(const struct smx_hop *hop, const char **ret_host, uint16_t *ret_port);

#endif
