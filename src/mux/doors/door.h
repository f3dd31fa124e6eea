/* SPDX-License-Identifier: MIT */
/*
 * The door: the local SSH server on 127.0.0.1 (L1) and its clients. The user name picks the
 * route (L3); a client's handshake never waits for the remote, only its channels do (L11).
 */
#ifndef SMX_MUX_DOORS_DOOR_H
#define SMX_MUX_DOORS_DOOR_H

#include "mux/core/link.h"
#include "mux/core/mux.h"
#include "ssh/auth_server.h"

#define CLIENTS_MAX          1024
#define CLIENTS_UNAUTH_MAX   256 /* of callers that are known */
#define STRANGERS_UNAUTH_MAX 64 /* and of others (U9) */
#define STRANGERS_PER_S      20 /* let in, where the system tells who is one, … */
#define STRANGERS_BURST      64 /* … and at once after a rest */
#define CLIENT_GRACE_MS      (30 * 1000) /* to authenticate (S7, L2) */
#define CLIENT_UNAUTH_BACKLOG_MAX \
	(64 * 1024) /* bytes that a client which has not authenticated need not read */
#define CLIENT_KEEPALIVE_MS (15 * 1000) /* L10 */
#define CLIENT_MISSED_MAX   3

struct hold;
struct request;

struct client {
	struct smx_list node; /* mux->clients */
	struct mux *mux;
	struct link *link;
	struct smx_auth_server auth;
	int is_known; /* the control endpoint or the system told that it is our own user's (U9) */
	struct attach *attach; /* it came through the control endpoint; else NULL */
	char *route; /* what it asked for, in words; NULL: its user name says it (L3) */
	struct request *asked; /* the same, or NULL: the user name or the one-off */
	struct smx_routes *routes; /* a one-off: where it goes, which is no part of mux->routes */
	struct smx_list forwards; /* what the remote listens at for it (client_forward.h) */
	struct hold *hold; /* `proxy`: it is let in when its login is there (W7); or NULL */
	int is_bare; /* it speaks the proxy mode (guest_proxy.h) */
	int64_t pid; /* of its process; -1: not known */
	uint64_t held_until_ms; /* its time to authenticate counts from then on */
};

/* How an attached client came in. */
struct door_way {
	const struct request *asked; /* where its channels go; copied. NULL: */
	struct smx_routes *routes; /* the table of a one-off (a reference is taken) */
	const char *name; /* for the log and status; copied */
	int is_trusted; /* `connect`: the peer's user id is proof enough, no key is asked for */
	int is_batch; /* W7: nobody is to be asked */
	int is_bare; /* `ssh -O proxy`: is_trusted, and no key exchange either (ssh/transport.h) */
	int64_t pid; /* of its process, where there is no attach: it tells */
};

/* What it asked for, in words (unchecked). */
const char *client_route(const struct client *c);
/* Where that leads by the routes of now, in *ret_route, and its table with a reference; NULL: there
 * is none. */
struct smx_routes *client_find_route(const struct client *c, const struct smx_route **ret_route);

/*
 * Listens, unless the options say not to. Writes the log line when it can't: SMX_EEXISTS if the
 * port is taken, unless that is all right (port_is_optional).
 */
int door_open(struct mux *m);
/*
 * A client on a carrier instead of a socket. 0 or SMX_ENOMEM (the carrier stays the caller's then).
 */
int door_attach(
	struct mux *m, struct carrier *carrier, struct attach *attach, const struct door_way *way);
/* The program that carries it has its answer: from now on it may be asked something. */
void door_begin(struct client *c);
/* For hold.c: its login is there, and it has proved who it is. */
void door_let_in(struct client *c);
/* No more clients; those that are there stay. */
void door_close(struct mux *m);
/* Once a second: grace time and keepalives; accepting again after a failure (U10). */
void door_tick(struct mux *m);
/* For status: what becomes of connections of other users: "refused", "admitted", "unchecked" (the
 * system does not tell whose they are); "" without a port. */
const char *door_other_users(const struct mux *m);

#endif
