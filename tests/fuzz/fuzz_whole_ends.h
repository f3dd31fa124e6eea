/* SPDX-License-Identifier: MIT */
/* The two ends of fuzz_whole.h and what their layers do. */
#ifndef SMX_FUZZ_WHOLE_ENDS_H
#define SMX_FUZZ_WHOLE_ENDS_H

#include "fuzz_channels.h"
#include "fuzz_random.h"
#include "ssh/auth_client.h"
#include "ssh/auth_server.h"

/*
 * Which key exchange, cipher and MAC the client offers; bits (FUZZ_SLOW …); how the client begins
 * its login; bit 0: whoever gets global requests is told of them; bit 1: the server lets the client
 * wait before it lets him in.
 */
#define FUZZ_SETTING_LEN 6
#define FUZZ_SLOW        1 /* all arithmetic is work for a thread */
#define FUZZ_PIECES      2 /* bytes come in small pieces */
#define FUZZ_REKEYS      4 /* after a few KiB */
#define FUZZ_NO_KEY      8 /* the host key is refused */
#define FUZZ_ROUNDS_MAX  400
#define FUZZ_MESSAGE_MAX 40000
#define FUZZ_WINDOW      5000

enum fuzz_op {
	FUZZ_INSERT, /* the data, as a message, whatever the peer's state */
	FUZZ_REPLACE, /* the next message */
	FUZZ_XOR, /* its bytes, from where the first byte of the data says */
	FUZZ_CUT, /* it to so many bytes, with the rest of the data behind them */
	FUZZ_DROP,
	FUZZ_TWICE,
	FUZZ_ACT, /* the end that is looked at does something: fuzz_act */
	FUZZ_REKEY, /* the peer does */
	FUZZ_N_OPS,
};

struct fuzz_record {
	uint8_t wait, op;
	struct smx_view data;
	int is_there;
};

struct fuzz_end {
	struct fuzz_whole *w;
	enum smx_role role;
	struct smx_transport *t, *layers; /* what its layers speak into: t, or a clear one */
	struct smx_auth_server as;
	struct smx_auth_client ac;
	struct smx_conn conn;
	int has_auth, has_conn, is_dead;
	unsigned turn; /* of the methods */
};

struct fuzz_whole {
	struct fuzz_end us, peer; /* us: the end that is looked at */
	struct smx_pool *pool;
	struct smx_rd rd;
	struct fuzz_record next;
	uint8_t setting[FUZZ_SETTING_LEN];
	uint64_t now_ms;
	struct smx_buf clear; /* of the peer, until its first NEWKEYS has been seen */
	int is_sealed, has_ident;
	/* The client has signed, with the key that may log in; and that has come as he said it. */
	int has_signed, is_signature_true;
};

static struct smx_key *fuzz_host_key, *fuzz_user_key;
static struct smx_buf fuzz_host_blob, fuzz_user_blob;

/* --- the layers of either end --- */

static inline int fuzz_whole_key_ok(void *arg, struct smx_view blob)
{
	(void)arg;
	return smx_view_eq_view(blob, smx_buf_as_view(&fuzz_user_blob));
}

static inline int fuzz_sign(struct fuzz_end *e)
{
	struct smx_buf data, sig;
	int r;

	smx_buf_init(&data, SMX_AUTH_MSG_MAX);
	smx_buf_init(&sig, SMX_SIG_MAX);
	if ((r = smx_auth_client_sign_data(&e->ac, &data)) == 0) {
		r = smx_key_sign(fuzz_user_key, "ssh-ed25519", smx_buf_as_view(&data), &sig);
		e->w->has_signed = 1;
	}
	if (r == 0)
		r = smx_auth_client_send_signature(&e->ac, smx_buf_as_view(&sig));
	smx_buf_release(&data);
	smx_buf_release(&sig);
	return r;
}

static inline int fuzz_choose(struct fuzz_end *e)
{
	if (e->turn == 0 && !smx_auth_client_can(&e->ac, "publickey"))
		e->turn++;
	switch (e->turn++) {
	case 0:
		return smx_auth_client_probe_key(
			&e->ac, smx_view_of("ssh-ed25519", 11), smx_buf_as_view(&fuzz_user_blob));
	case 1:
		return smx_auth_client_kbdint(&e->ac);
	case 2:
		return smx_auth_client_password(&e->ac, smx_view_of("secret", 6));
	case 3:
		return smx_auth_client_none(&e->ac);
	default:
		return SMX_EDENIED;
	}
}

static inline int fuzz_answer(struct fuzz_end *e, const struct smx_auth_info_request *ask)
{
	struct smx_view answers[SMX_AUTH_PROMPTS_MAX];

	fuzz_check(ask->n_prompts <= SMX_AUTH_PROMPTS_MAX);
	for (size_t i = 0; i < ask->n_prompts; i++)
		answers[i] = ask->prompts[i].text; /* reads what the views point to */
	return smx_auth_client_send_answers(&e->ac, answers, ask->n_prompts);
}

static inline int fuzz_open_session(struct fuzz_end *e)
{
	struct smx_view none = { NULL, 0 };
	struct smx_chan *chan;

	return smx_conn_open(&e->conn, smx_view_of("session", 7), none, FUZZ_WINDOW, &chan);
}

static inline void fuzz_logged_in(struct fuzz_end *e)
{
	smx_conn_init(&e->conn, e->layers);
	e->has_conn = 1;
	e->conn.takes_globals = e->w->setting[5] & 1;
}

static inline int fuzz_login_client(struct fuzz_end *e, struct smx_view payload)
{
	struct smx_auth_event ev;
	int r;

	if ((r = smx_auth_client_handle(&e->ac, payload, &ev)) != 0)
		return r;
	switch (ev.type) {
	case SMX_AUTH_EV_CHOOSE:
	case SMX_AUTH_EV_EXPIRED:
		return fuzz_choose(e);
	case SMX_AUTH_EV_SIGN:
		return fuzz_sign(e);
	case SMX_AUTH_EV_ASK:
		return fuzz_answer(e, &ev.ask);
	case SMX_AUTH_EV_DONE:
		fuzz_check(payload.len == 1 && payload.p[0] == SMX_MSG_USERAUTH_SUCCESS);
		fuzz_logged_in(e);
		return fuzz_open_session(e);
	case SMX_AUTH_EV_BANNER:
		fuzz_check(ev.text.len <= SMX_AUTH_TEXT_MAX);
		return 0;
	case SMX_AUTH_EV_NONE:
		return 0;
	}
	return 0;
}

static inline int fuzz_login_server(struct fuzz_end *e, struct smx_view payload)
{
	int r = smx_auth_server_handle(&e->as, payload);

	/* L2: nobody is let in without a signature by the key that may. */
	fuzz_check((!e->as.is_done && !e->as.is_proved) ||
		   (e == &e->w->us ? e->w->is_signature_true : e->w->has_signed));
	if (r == 0 && e->as.is_proved)
		r = smx_auth_server_admit(&e->as);
	if (r == 0 && e->as.is_done && !e->has_conn)
		fuzz_logged_in(e);
	return r;
}

static inline int fuzz_send(
	struct fuzz_end *e, struct smx_chan *chan, uint32_t code, struct smx_view data)
{
	if (chan->state != SMX_CHAN_OPEN || chan->eof_sent || chan->close_sent)
		return 0;
	data.len = data.len < chan->send_window ? data.len : chan->send_window;
	data.len = data.len < chan->send_packet ? data.len : chan->send_packet;
	return smx_conn_send_data(&e->conn, chan, code, data);
}

/* What a server does about "exec", all at once. */
static inline int fuzz_run_command(struct fuzz_end *e, struct smx_chan *chan)
{
	static const uint8_t status[4] = { 0, 0, 0, 3 };
	int r;

	if (chan->close_sent)
		return 0;
	if ((r = fuzz_send(e, chan, 0, smx_view_of("some output of it", 17))) != 0 ||
		(r = fuzz_send(e, chan, 1, smx_view_of("and an error", 12))) != 0 ||
		(r = smx_conn_send_request(&e->conn, chan, "exit-status", 0,
			 (struct smx_view){ status, sizeof(status) })) != 0 ||
		(r = smx_conn_send_eof(&e->conn, chan)) != 0)
		return r == SMX_ELIMIT ? 0 : r;
	return smx_conn_send_close(&e->conn, chan);
}

static inline int fuzz_request(struct fuzz_end *e, const struct smx_conn_event *ev)
{
	int r = 0;

	if (ev->want_reply)
		r = smx_conn_send_reply(&e->conn, ev->chan, 1);
	if (r == 0 && e->role == SMX_SERVER && smx_view_eq(ev->kind, "exec"))
		r = fuzz_run_command(e, ev->chan);
	return r;
}

static inline int fuzz_channel_event(struct fuzz_end *e, const struct smx_conn_event *ev)
{
	struct smx_view none = { NULL, 0 }, ls = { (const uint8_t *)"\0\0\0\2ls", 6 };
	int r;

	switch (ev->type) {
	case SMX_CONN_OPEN:
		if (ev->kind.len % 3 == 0)
			return smx_conn_open_fail(&e->conn, ev->chan, SMX_OPEN_CONNECT_FAILED, "x");
		return smx_conn_open_confirm(&e->conn, ev->chan, FUZZ_WINDOW, none);
	case SMX_CONN_OPEN_CONFIRM:
		r = smx_conn_send_request(&e->conn, ev->chan, "exec", 1, ls);
		return r == 0 ? fuzz_send(e, ev->chan, 0, smx_view_of("input", 5)) : r;
	case SMX_CONN_DATA:
		return smx_conn_grant(&e->conn, ev->chan, (uint32_t)ev->data.len);
	case SMX_CONN_REQUEST:
		return fuzz_request(e, ev);
	case SMX_CONN_EOF:
		return smx_conn_send_eof(&e->conn, ev->chan);
	case SMX_CONN_GLOBAL_REQUEST:
		return ev->want_reply ? smx_conn_answer_global(&e->conn, ev->number, 1, 1, 22) : 0;
	case SMX_CONN_CLOSE:
		return smx_conn_keepalive(&e->conn);
	default:
		return 0;
	}
}

static inline int fuzz_channels(struct fuzz_end *e, struct smx_view payload)
{
	struct smx_conn_event ev;
	int r;

	if ((r = smx_conn_handle(&e->conn, payload, &ev)) != 0)
		return r;
	fuzz_check_event(&e->conn, &ev, payload.len);
	r = fuzz_channel_event(e, &ev);
	if (r == SMX_ELIMIT || r == SMX_ESTATE)
		r = 0;
	if (r == 0 && (r = smx_conn_done(&e->conn, &ev)) == 0)
		fuzz_check_channels(&e->conn);
	return r;
}

static inline int fuzz_message(struct fuzz_end *e, struct smx_view payload)
{
	int r;

	/* N1, N2: this is what the phases promise. */
	fuzz_check(e->has_auth && payload.len > 0);
	fuzz_check(payload.p[0] < SMX_MSG_GLOBAL_REQUEST || e->t->phase == SMX_PHASE_CONNECTION);
	fuzz_check(payload.p[0] < SMX_MSG_USERAUTH_REQUEST || e->t->phase >= SMX_PHASE_AUTH);
	if (e->has_conn)
		r = fuzz_channels(e, payload);
	else if (e->role == SMX_CLIENT)
		r = fuzz_login_client(e, payload);
	else
		r = fuzz_login_server(e, payload);
	return r;
}

/* Keys and server are proven: the login begins. */
static inline int fuzz_ready(struct fuzz_end *e)
{
	struct smx_view alg = smx_view_of("ssh-ed25519", 11);
	int r;

	e->has_auth = 1;
	if (e->layers != e->t) {
		memcpy(e->layers->session_id, e->t->session_id, sizeof(e->t->session_id));
		e->layers->session_id_len = e->t->session_id_len;
	}
	if (e->role == SMX_SERVER) {
		smx_auth_server_init(&e->as, e->layers, fuzz_whole_key_ok, NULL);
		e->as.is_held = e->w->setting[5] >> 1 & 1;
		return 0;
	}
	fuzz_check(smx_view_eq_view(
		smx_transport_host_key_blob(e->t), smx_buf_as_view(&fuzz_host_blob)));
	if ((r = smx_auth_client_init(&e->ac, e->layers, "user")) != 0)
		return r;
	if (e->w->setting[4] % 3 == 1) {
		r = smx_auth_client_begin_with_key(&e->ac, alg, smx_buf_as_view(&fuzz_user_blob));
		return r == 0 ? fuzz_sign(e) : r;
	}
	return e->w->setting[4] % 3 == 2 ? smx_auth_client_begin_in_turns(&e->ac)
					 : smx_auth_client_begin(&e->ac);
}

static inline int fuzz_event(struct fuzz_end *e, const struct smx_event *ev)
{
	switch (ev->type) {
	case SMX_EV_PACKET:
		return fuzz_message(e, ev->payload);
	case SMX_EV_HOST_KEY:
		fuzz_check(smx_view_eq_view(ev->payload, smx_buf_as_view(&fuzz_host_blob)));
		smx_transport_host_key_decided(
			e->t, e->w->setting[3] & FUZZ_NO_KEY ? SMX_EHOSTKEY : 0);
		return 0;
	case SMX_EV_WORK:
		smx_work_run(ev->work);
		smx_transport_work_done(e->t, ev->work);
		return 0;
	case SMX_EV_READY:
		return fuzz_ready(e);
	case SMX_EV_PONG:
		return 0;
	}
	return 0;
}

static inline void fuzz_end_events(struct fuzz_end *e)
{
	struct smx_event ev;
	int r;

	while (!e->is_dead) {
		if ((r = smx_transport_next(e->t, &ev)) == SMX_EAGAIN)
			return;
		if (r == 0)
			r = fuzz_event(e, &ev);
		e->t->phase = e->layers->phase;
		if (r == 0)
			continue;
		e->is_dead = 1;
		smx_transport_disconnect(e->t, SMX_DISCONNECT_PROTOCOL_ERROR, smx_strerror(r));
	}
}

static inline void fuzz_receive(struct fuzz_end *e, const uint8_t *p, size_t n)
{
	size_t piece = e->w->setting[3] & FUZZ_PIECES ? 7 : FUZZ_MESSAGE_MAX, space, k;
	uint8_t *to;

	while (n && !e->is_dead) {
		if (smx_transport_rx_space(e->t, &to, &space) != 0)
			return;
		fuzz_check(space > 0);
		k = n < piece ? n : piece;
		k = k < space ? k : space;
		memcpy(to, p, k);
		smx_transport_rx_commit(e->t, k);
		p += k;
		n -= k;
		fuzz_end_events(e);
	}
}

#endif
