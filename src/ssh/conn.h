/* SPDX-License-Identifier: MIT */
/*
 * The connection protocol (RFC 4254), either role: channel numbers, the two windows of
 * each channel and its life cycle. Sans I/O, on top of a transport in
 * SMX_PHASE_CONNECTION.
 *
 * Every rule of the RFC that a peer could break is checked here, so the layer above sees only sound
 * events. What breaks one costs as little as can be (U2; docs/DESIGN.md has the table): late
 * and superfluous messages are ignored (unknown channel numbers, data after EOF, anything after
 * CLOSE, answers to nothing), what can't be made sense of ends its channel, and hardly anything the
 * connection. A number is given again only after 2^22 others, so that no late message is taken for
 * one about another channel.
 * Global requests are answered here and never passed on: keepalives and all unknown ones
 * with a failure, as OpenSSH does. A server may be told of them and answer later
 * (takes_globals, smx_conn_answer_global); answers go out in the order of the requests.
 */
#ifndef SMX_SSH_CONN_H
#define SMX_SSH_CONN_H

#include "base/list.h"
#include "ssh/transport.h"

#define SMX_CHANNELS_MAX   1024 /* of one connection */
#define SMX_CHANNEL_PACKET 32768 /* largest data we accept and send in one message */
#define SMX_REPLIES_MAX    128 /* want-reply requests of one channel awaiting answers */
#define SMX_GLOBALS_MAX    256 /* global requests of a peer awaiting ours */

enum smx_chan_state {
	SMX_CHAN_OPENING, /* we asked */
	SMX_CHAN_ASKED, /* the peer asked and awaits our answer */
	SMX_CHAN_OPEN,
};

struct smx_chan {
	uint32_t id, peer_id;
	enum smx_chan_state state;
	uint32_t send_window, send_packet; /* what the peer granted and takes at once */
	uint32_t recv_window; /* what we granted and has not come yet */
	uint32_t recv_peak, recv_excess; /* the most it ever was; what came beyond it, since it was
					    last kept */
	unsigned eof_sent : 1, eof_received : 1, close_sent : 1, close_received : 1;
	unsigned n_replies_due; /* answers that the peer owes us */
	void *user;
};

struct smx_conn {
	struct smx_transport *t; /* borrowed */
	struct smx_chan **chans; /* by the low bits of the id; NULL: free */
	uint32_t *ids; /* by slot: of the channel there, or of the next one */
	uint32_t n_slots, n_chans, first_free;
	unsigned n_globals_due; /* answers to our global requests */
	uint64_t n_globals_answered; /* those that came */
	/* The peer's global requests. */
	int takes_globals; /* they are GLOBAL_REQUEST events */
	struct smx_global_answer *answers; /* a ring, once one had to wait */
	uint64_t n_asked, n_told; /* those that want an answer; those that have it */
};

enum smx_conn_event_type {
	SMX_CONN_NONE, /* nothing to be done; is_slip: it had no business here */
	SMX_CONN_OPEN, /* the peer asks for a channel: _open_confirm or _open_fail */
	SMX_CONN_OPEN_CONFIRM, /* ours is open */
	SMX_CONN_OPEN_FAIL, /* ours was refused; chan is freed after the event */
	SMX_CONN_DATA,
	SMX_CONN_WINDOW, /* the peer granted more */
	SMX_CONN_EOF,
	SMX_CONN_CLOSE, /* answered, and chan freed, by smx_conn_done */
	SMX_CONN_REQUEST,
	SMX_CONN_REPLY, /* to a request of ours on chan */
	SMX_CONN_GLOBAL_REPLY, /* to a global request of ours (a keepalive, say), by number */
	SMX_CONN_GLOBAL_REQUEST, /* of the peer, with takes_globals: _answer_global */
};

struct smx_conn_event {
	enum smx_conn_event_type type;
	struct smx_chan *chan;
	struct smx_view
		payload; /* the whole message; byte 1 to 4 of channel messages may be rewritten */
	struct smx_view kind; /* OPEN: channel type; REQUEST, GLOBAL_REQUEST: request type */
	struct smx_view data; /* DATA: the bytes; OPEN, REQUEST, GLOBAL_REQUEST, GLOBAL_REPLY: what
				 is specific to the kind; OPEN_FAIL: description */
	uint64_t number; /* GLOBAL_REPLY, and GLOBAL_REQUEST that wants an answer: of the request */
	uint32_t code; /* DATA: 0, or the extended data type; OPEN_FAIL: reason */
	int want_reply; /* REQUEST, GLOBAL_REQUEST */
	int success; /* REPLY, GLOBAL_REPLY */
	int keep; /* CLOSE: set by a handler that answers later, by smx_conn_finish */
	int broken; /* CLOSE, OPEN_FAIL: not the peer's word, it broke a rule of the channel: the
		       error; our CLOSE is sent */
	int is_slip; /* NONE */
};

void smx_conn_init(struct smx_conn *c, struct smx_transport *t);
/* Frees all channels; user pointers are the caller's. */
void smx_conn_release(struct smx_conn *c);

/*
 * One message of SMX_PHASE_CONNECTION. Errors end the connection: SMX_ETRUNCATED (a channel message
 * without a number), SMX_EUNEXPECTED (no message of this protocol), SMX_ENOMEM and those of
 * smx_transport_send. smx_conn_done must be
 * called with the event once it was dealt with: it answers a CLOSE and frees the channel of
 * a CLOSE or OPEN_FAIL.
 */
int smx_conn_handle(struct smx_conn *c, struct smx_view payload, struct smx_conn_event *ret);
int smx_conn_done(struct smx_conn *c, const struct smx_conn_event *ev);
/* Answers a CLOSE that was kept, and frees the channel. */
int smx_conn_finish(struct smx_conn *c, struct smx_chan *chan);

/* Asks for a channel; specific is the tail of the message for this kind. SMX_ELIMIT. */
int smx_conn_open(struct smx_conn *c, struct smx_view kind, struct smx_view specific,
	uint32_t recv_window, struct smx_chan **ret);
int smx_conn_open_confirm(
	struct smx_conn *c, struct smx_chan *chan, uint32_t recv_window, struct smx_view specific);
/* Refuses and frees chan; text is cut to 1024 bytes. */
int smx_conn_open_fail(
	struct smx_conn *c, struct smx_chan *chan, enum smx_open_failure reason, const char *text);

/* Frees a channel of ours that the peer has not opened, and will not: it never took the message. */
void smx_conn_forget(struct smx_conn *c, struct smx_chan *chan);

/*
 * n bytes as data (code 0) or extended data; the caller has checked send_window and
 * send_packet (an assert guards it).
 */
int smx_conn_send_data(
	struct smx_conn *c, struct smx_chan *chan, uint32_t code, struct smx_view data);
/*
 * A whole channel message (DATA, EXTENDED_DATA, REQUEST, EOF …) whose bytes 1 to 4 are
 * rewritten to the channel's number: the relay's straight path. Not for CLOSE. The caller
 * has checked send_window, send_packet and eof_sent for data (asserts guard them), and
 * close_sent for all. SMX_ETOOBIG (over SMX_PAYLOAD_MAX) and SMX_ELIMIT (SMX_REPLIES_MAX answers
 * are due): nothing happened, the connection lives on. The same two for smx_conn_send_request.
 */
int smx_conn_send_message(struct smx_conn *c, struct smx_chan *chan, struct smx_view payload,
	uint32_t data_len, int want_reply);
int smx_conn_send_request(struct smx_conn *c, struct smx_chan *chan, const char *kind,
	int want_reply, struct smx_view specific);
/* These four: SMX_ESTATE (nothing happened) while the channel's opening is not answered. */
int smx_conn_send_reply(struct smx_conn *c, struct smx_chan *chan, int success);
int smx_conn_send_eof(struct smx_conn *c, struct smx_chan *chan);
/* Sends CLOSE once, whatever still comes is the caller's to drop. The channel lives until the
 * peer's CLOSE comes. */
int smx_conn_send_close(struct smx_conn *c, struct smx_chan *chan);
/* Grants n more bytes. */
int smx_conn_grant(struct smx_conn *c, struct smx_chan *chan, uint32_t n);
/* A keepalive@openssh.com; its answer comes as GLOBAL_REPLY, a peer's UNIMPLEMENTED too. However
 * many are unanswered, the next goes out (U4). */
int smx_conn_keepalive(struct smx_conn *c);
/* A global request that wants an answer, which comes as GLOBAL_REPLY with *ret_number. */
int smx_conn_global_request(
	struct smx_conn *c, const char *kind, struct smx_view specific, uint64_t *ret_number);
/*
 * Answers a GLOBAL_REQUEST that wants it, as soon as those before it have their answers. has_port:
 * the success of a tcpip-forward for port 0 says which port it is (RFC 4254 section 7.1).
 */
int smx_conn_answer_global(
	struct smx_conn *c, uint64_t number, int success, int has_port, uint32_t port);

#endif
