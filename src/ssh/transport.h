/* SPDX-License-Identifier: MIT */
/*
 * The SSH transport (RFC 4253), either role, without I/O: received bytes go in, events
 * come out; payloads go in, bytes to be written come out. It runs identification, key
 * exchange (strict kex where the peer knows it), rekeying, EXT_INFO (RFC 8308) and
 * ping@openssh.com by itself, and enforces which messages may come in which phase.
 *
 *	receiving	smx_transport_rx_space / _rx_commit, then
 *			smx_transport_next until SMX_EAGAIN
 *	sending		smx_transport_send, then smx_transport_tx_take
 *			when the socket is free
 *
 * After any error but SMX_EAGAIN the transport is dead: write what smx_transport_tx_take
 * still gives (a DISCONNECT), close.
 */
#ifndef SMX_SSH_TRANSPORT_H
#define SMX_SSH_TRANSPORT_H

#include "crypto/key.h"
#include "ssh/kexinit.h"
#include "ssh/msg.h"
#include "ssh/packet.h"

#define SMX_SESSION_ID_MAX SMX_HASH_MAX
/*
 * Identification with its CR LF. RFC 4253 section 4.2 allows 255 bytes, which is what we send at
 * most; OpenSSH takes 8192, and as many in each of 1024 lines that a server may send before (A16).
 */
#define SMX_IDENT_OWN_MAX   255
#define SMX_IDENT_MAX       8192
#define SMX_IDENT_LINES_MAX 1024
/* Messages sent while a key exchange runs wait; more of them than this end the connection. */
#define SMX_HELD_MAX (1024 * 1024)
/*
 * Payload bytes that a peer may send behind its KEXINIT of a second or later exchange, where RFC
 * 4253 section 7.1 allows none: what a server had in its queues comes so from some (U2). Nothing of
 * it is kept here; the limit is there because all of it comes under the old keys.
 */
#define SMX_LATE_MAX (64u * 1024 * 1024)

struct smx_transport;
struct smx_work;

struct smx_transport_config {
	enum smx_role role;
	struct smx_pool *pool; /* outlives the transport */
	const char *software; /* after "SSH-2.0-" */
	const char *kex, *host_key_algs, *ciphers, *macs; /* name-lists or NULL; copied */
	const struct smx_key *host_key; /* server; outlives the transport */
	/*
	 * Client: what the server is guessed to have first in its lists of key exchanges and host
	 * keys, which go first in ours, and the exchange begins at once (RFC 4253 section 7); both
	 * or neither. A name that we don't offer, or an exchange with a group of the server's, is
	 * not guessed. A wrong guess costs its bytes.
	 */
	const char *guess_kex, *guess_host_key;
	uint64_t rekey_bytes, rekey_ms; /* 0: the defaults, 8 GiB and an hour */
	/*
	 * Server: a client of the proxy mode of OpenSSH's connection sharing (PROTOCOL.mux), which
	 * is in SMX_PHASE_CONNECTION from the first byte: packets without padding, no
	 * identification, key exchange and cipher. Its carrier is a socket of our own user.
	 * host_key is not needed.
	 */
	int is_bare;
	int is_all_work_slow; /* each key exchange's arithmetic is a SMX_EV_WORK, a fast one too */
};

/* What the peer may send and we accept now (set by the authentication layer). */
enum smx_phase {
	/*
	 * Of a server's peer, until the last of these: it is a stranger (U9), whose packets are
	 * small and whose pings are not answered.
	 */
	SMX_PHASE_TRANSPORT, /* only transport messages and the service messages 5, 6 */
	SMX_PHASE_AUTH, /* 50 to 79 as well */
	SMX_PHASE_CONNECTION, /* 80 and up; what is left of the login, 6 and 50 to 79, is dropped */
};

enum smx_event_type {
	SMX_EV_PACKET, /* payload: a message for the layers above; may be written into */
	SMX_EV_HOST_KEY, /* client: payload is the host key blob; answer with _host_key_decided */
	SMX_EV_WORK, /* run `work` on a thread (smx_work_run), then smx_transport_work_done */
	SMX_EV_READY, /* the first key exchange is done */
	SMX_EV_PONG, /* to a ping of ours; payload: what the peer says it was, empty if it said
			UNIMPLEMENTED */
};

struct smx_event {
	enum smx_event_type type;
	struct smx_view payload;
	struct smx_work *work;
};

int smx_transport_new(
	struct smx_transport **ret, const struct smx_transport_config *config, uint64_t now_ms);
void smx_transport_free(struct smx_transport *t);

int smx_transport_rx_space(struct smx_transport *t, uint8_t **ret_p, size_t *ret_len);
void smx_transport_rx_commit(struct smx_transport *t, size_t n);
/*
 * The next event; views live until the next call. SMX_EAGAIN: bytes are needed, or, if
 * smx_transport_is_waiting, an answer to HOST_KEY or WORK is.
 */
int smx_transport_next(struct smx_transport *t, struct smx_event *ret);
int smx_transport_is_waiting(const struct smx_transport *t);

/*
 * One payload as a concatenation of at most 6 parts. While a key exchange runs, and until the
 * host key is accepted, it is held back (SMX_ELIMIT over SMX_HELD_MAX); bulk data should
 * wait for smx_transport_can_send. SMX_ETOOBIG: it is longer than SMX_PAYLOAD_MAX (what one
 * peer may send us, another need not take); SMX_ESTATE: a message of the connection protocol before
 * SMX_PHASE_CONNECTION (but for smx_transport_set_early). Neither does anything to the connection.
 */
int smx_transport_send(struct smx_transport *t, const struct smx_view *parts, size_t n);
int smx_transport_can_send(const struct smx_transport *t);
/* Sealed and held bytes not taken yet. */
size_t smx_transport_tx_len(const struct smx_transport *t);
size_t smx_transport_held_len(const struct smx_transport *t);
struct smx_tx_block *smx_transport_tx_take(struct smx_transport *t);
void smx_transport_tx_free(struct smx_transport *t, struct smx_tx_block *list);

/* r 0: go on; else the connection ends with SMX_EHOSTKEY. */
void smx_transport_host_key_decided(struct smx_transport *t, int r);
/* Hands finished work back. Work whose transport is gone goes to smx_work_free instead. */
void smx_transport_work_done(struct smx_transport *t, struct smx_work *work);
void smx_work_run(struct smx_work *work); /* on any thread */
void smx_work_free(struct smx_work *work);

/*
 * Client: whether a request for the login is out that will probably succeed. If so, messages of the
 * connection protocol may be sent behind it; a server that refuses it says UNIMPLEMENTED to them.
 */
void smx_transport_set_early(struct smx_transport *t, int is_early);
/* Client: its guess is out, the server's KEXINIT has come, and the exchange is not over: the server
 * may have taken it amiss. */
int smx_transport_awaits_guess(const struct smx_transport *t);
void smx_transport_set_phase(struct smx_transport *t, enum smx_phase phase);
enum smx_phase smx_transport_get_phase(const struct smx_transport *t);
/* To be called now and then (seconds): rekeys by time. */
int smx_transport_tick(struct smx_transport *t, uint64_t now_ms);
int smx_transport_rekey(struct smx_transport *t);
/* Queues a DISCONNECT; text is shown to a person. */
void smx_transport_disconnect(struct smx_transport *t, enum smx_disconnect code, const char *text);
/*
 * ping@openssh.com: SMX_EUNSUPPORTED unless the peer announced it (nothing happened). The answer is
 * SMX_EV_PONG, also when the peer says UNIMPLEMENTED to it; however many are unanswered, the next
 * goes out (U4).
 */
int smx_transport_ping(struct smx_transport *t, struct smx_view data);

struct smx_view smx_transport_session_id(const struct smx_transport *t);
const struct smx_algs *smx_transport_algs(const struct smx_transport *t);
struct smx_view smx_transport_host_key_blob(const struct smx_transport *t);
int smx_transport_is_strict(const struct smx_transport *t);
uint64_t smx_transport_n_kex(const struct smx_transport *t); /* exchanges done */
/* Software version of the peer ("OpenSSH_9.2p1 …"), "" before it is known. */
const char *smx_transport_peer_software(const struct smx_transport *t);
/* Whether that is OpenSSH's. */
int smx_transport_is_openssh(const struct smx_transport *t);
/* Longest payload that this peer is sure to take: SMX_PAYLOAD_MAX of OpenSSH, else SMX_PAYLOAD_ANY.
 */
size_t smx_transport_payload_max(const struct smx_transport *t);
/* Longest string within a payload that this peer is sure to take. */
size_t smx_transport_string_max(const struct smx_transport *t);
/* Client: the server's signature of the session id, which proves whose session it is. */
struct smx_view smx_transport_session_signature(const struct smx_transport *t);
/* The server has said that it knows publickey-hostbound-v00@openssh.com. */
int smx_transport_takes_hostbound(const struct smx_transport *t);
/* server-sig-algs of the peer's EXT_INFO; "" if it sent none. */
const char *smx_transport_server_sig_algs(const struct smx_transport *t);
/*
 * After SMX_ENEGOTIATION: the list with nothing in common ("MAC", static) and the peer's names in
 * it, as far as they are kept; else NULL. Not sanitised.
 */
const char *smx_transport_lack(const struct smx_transport *t, const char **ret_offer);
/* Why it failed: text of the peer's DISCONNECT, or what could not be agreed. Not sanitised. */
const char *smx_transport_reason(const struct smx_transport *t);

#endif
