/* SPDX-License-Identifier: MIT */
/*
 * A client and a server of ours, connected in memory. Bytes go from one to the other in
 * pieces of any size, can be looked at and changed on the way; every layer's answer can
 * be replaced, and messages no sane peer sends can be injected.
 */
#ifndef SMX_TESTS_UTIL_PAIR_H
#define SMX_TESTS_UTIL_PAIR_H

#include "ssh/agent.h"
#include "ssh/auth_client.h"
#include "ssh/auth_server.h"
#include "ssh/conn.h"
#include "ssh/transport_int.h"

#define PAIR_FLOWS_MAX 16
#define PAIR_KEYS_MAX  80

/* Bytes of one direction of a channel: a pattern to send, and a check of what comes. */
struct flow {
	struct smx_chan *chan;
	uint64_t to_send, sent, received, ext_received;
	uint64_t sent_sum, received_sum;
	uint32_t code; /* sent as extended data of this type */
	int eof_when_sent, got_eof, got_close, is_open, was_refused, n_success, n_failure;
	int no_grant;
	uint32_t fail_reason;
	char fail_text[64], request[64];
};

struct side {
	struct pair *pair;
	struct side *peer;
	const char *name;
	struct smx_transport *t;
	struct smx_auth_server as;
	struct smx_auth_client ac;
	struct smx_conn conn;
	int has_auth;
	uint8_t *wire; /* sent, not delivered yet */
	size_t wire_off, wire_len, wire_cap;
	uint64_t wire_total; /* bytes ever put on the wire */

	int r; /* what ended it; 0: alive */
	int is_ready, is_authed, host_keys_asked;
	int host_key_verdict, defer_host_key, defer_work;
	struct smx_work *work;
	unsigned n_pongs, n_packets, n_banners, n_asked;
	struct flow flows[PAIR_FLOWS_MAX];
	size_t n_flows;
	int refuse_opens, no_layers;
	uint32_t window; /* granted to a new channel */
	/* Changes bytes on their way out of this side; may be NULL. */
	void (*tamper)(struct side *s, uint8_t *p, size_t n, uint64_t at);
	/* The last message before CONNECTION, or of it. */
	uint8_t last[64];
	size_t last_len;
};

struct pair {
	struct smx_pool pool;
	struct side c, s;
	struct smx_key *host_key;
	uint64_t now_ms;
	size_t chunk; /* bytes moved at once: 0 all, 1 …; SIZE_MAX random */
	uint64_t rng;
	uint64_t limit; /* turns of pair_run before it gives up: a hang */
	/* The login: keys probed in turn, the one that signs (NULL: the probed one). */
	const char *user;
	const struct smx_key *probe[PAIR_KEYS_MAX], *sign[PAIR_KEYS_MAX];
	size_t n_probe, at_probe;
	const char *sigalg; /* NULL: from the key's type */
	struct smx_buf authorised; /* the blob that may log in */
	void *arg;
};

struct pair_config {
	struct smx_transport_config c, s; /* role, pool and host key are filled in */
};

/* host_key and authorised: borrowed; NULL: one made once a process. */
int pair_init(struct pair *p, const struct pair_config *config, struct smx_key *host_key);
void pair_release(struct pair *p);
/* Until nothing moves any more. Fails the test when that never happens. */
void pair_run(struct pair *p);
/* Runs, and asserts that both logged in. */
void pair_login(struct pair *p);
/* Events of one side that are there without further bytes. */
void side_events(struct side *s);
/* Moves what a side wants written onto its wire. */
void side_take(struct side *s);
/* Moves one piece to the peer, which acts on it. Returns whether anything moved. */
int side_deliver(struct side *s);
/* A message straight into the packet layer, whatever the state. */
void side_inject(struct side *s, const void *payload, size_t n);
/* Bytes onto the wire as they are. */
void side_inject_raw(struct side *s, const void *bytes, size_t n);
/*
 * Begins a side's output anew with an identification line (NULL: its own) and makes its
 * KEXINIT again: with the marks of strict kex and EXT_INFO or not, with the flag
 * first_kex_packet_follows or not. side_send_kexinit sends it.
 */
void side_restart(struct side *s, const char *ident, int with_marks, int follows);
void side_send_kexinit(struct side *s);

uint64_t pair_random(struct pair *p);
/* Opens a session from one side; its flow is flows[n_flows - 1] of both once it is answered. */
struct flow *pair_open(struct side *s);
struct flow *flow_of(struct side *s, const struct smx_chan *chan);

struct smx_key *pair_key(int n); /* ed25519 keys, made once a process: 0 host, 1 user, 2 … */
struct smx_key *pair_key_file(const char *name); /* of tests/data/keys; the caller's to free */
void pair_keys_free(void);
void pair_authorise(struct pair *p, const struct smx_key *key);

/* Group teardown: frees the keys; fails if any block is still alive. */
int pair_teardown(void **state);

#endif
