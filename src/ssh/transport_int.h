/* SPDX-License-Identifier: MIT */
/* Shared by transport.c (identification, phases, messages 1 to 7) and kexrun.c (20 to 49). */
#ifndef SMX_SSH_TRANSPORT_INT_H
#define SMX_SSH_TRANSPORT_INT_H

#include "ssh/probes.h"
#include "ssh/transport.h"

#define REASON_SIZE 256
#define LACK_SIZE   1024 /* what is longer is cut */

enum kex_step {
	KEX_IDLE,
	KEX_WAIT_KEXINIT, /* ours is sent */
	KEX_WAIT_GEX_GROUP, /* client */
	KEX_WAIT_GEX_REQUEST, /* server */
	KEX_WAIT_INIT, /* server */
	KEX_WAIT_REPLY, /* client */
	KEX_COMPUTING, /* work is out, or the host key is being judged */
	KEX_WAIT_NEWKEYS,
};

enum work_op { WORK_START, WORK_FINISH, WORK_RESPOND };

/* One piece of key agreement arithmetic; owns the smx_kex while it is out. */
struct smx_work {
	enum work_op op;
	int result;
	struct smx_kex *kex;
	struct smx_buf peer_public, own_public, secret;
};

struct smx_transport {
	enum smx_role role;
	enum smx_phase phase;
	int r; /* not 0: dead, of this */
	uint64_t now_ms, last_kex_ms, rekey_bytes, rekey_ms;
	struct smx_packets pk;
	const struct smx_key *host_key;
	char *offer_kex, *offer_host_key, *offer_ciphers, *offer_macs;

	char *ident_self; /* without CR LF */
	char *ident_peer; /* as that, once has_ident */
	int has_ident;
	unsigned n_pre_ident; /* lines before it */

	enum kex_step step;
	size_t late_bytes; /* of other messages behind the peer's KEXINIT */
	int sent_kexinit, sent_newkeys, strict;
	uint64_t n_kex;
	struct smx_algs algs;
	const struct smx_kex_alg *guess; /* of the first exchange; NULL: none, or it was wrong */
	char guess_host_key[SMX_ALG_NAME_SIZE]; /* "": nothing was ever guessed */
	struct smx_buf kexinit_self, kexinit_peer;
	struct smx_kex *kex;
	struct smx_buf gex; /* min n max p g as they go into the hash */
	struct smx_buf client_public, server_public, signature;
	struct smx_buf host_key_blob, new_host_key_blob;
	struct smx_protect *next_rx;
	uint8_t session_id[SMX_SESSION_ID_MAX];
	size_t session_id_len;
	struct smx_work *work_out; /* to be handed out as an event */
	int is_all_work_slow;
	int is_bare; /* no key exchange, ever */
	int waiting_work, waiting_host_key, host_key_event, ready_event;

	struct smx_buf held; /* u32 length, payload; while a key exchange runs */
	char *server_sig_algs;
	int takes_hostbound; /* said in EXT_INFO */
	struct smx_buf session_signature; /* of the first exchange hash, by the server */
	int peer_pings;
	int is_early; /* messages of the connection protocol may go before the login's success */
	unsigned n_pings_due; /* answers the peer owes us */
	struct smx_probes probes;
	char reason[REASON_SIZE];
	const char *lack; /* the list with nothing in common, and the peer's */
	char lack_offer[LACK_SIZE];
};

/* Takes a guess that can be made; does nothing with another. */
void kex_take_guess(struct smx_transport *t, const struct smx_transport_config *config);
/* kexrun.c. All return 0 or the error that ends the connection. */
int kex_begin(struct smx_transport *t); /* sends our KEXINIT */
int kex_handle(struct smx_transport *t, struct smx_view payload);
/* Whether the exchange, or its beginning, has a use for a message 20 to 49 now. */
int kex_expects(const struct smx_transport *t, uint8_t type);
int kex_work_apply(struct smx_transport *t, struct smx_work *work); /* frees work */

/* transport.c */
int transport_flush_held(struct smx_transport *t); /* if it may send now */
int transport_send_ext_info(struct smx_transport *t);
void transport_set_reason(struct smx_transport *t, struct smx_view text);

#endif
