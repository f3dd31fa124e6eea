/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/conn.c
// dictionary: conn
/*
 * Our client's reader against our server's writer (U1): what one writes, the other reads back equal
 * and whole. The first byte of the input: whether the channel is refused (odd) with the rest as the
 * reason. Else messages: a byte that says what the server sends, and what is in it.
 */
#include "fuzz_ssh.h"
#include "ssh/conn.h"

#define WINDOW (1u << 20)

struct end {
	struct smx_transport *t;
	struct smx_conn c;
	struct smx_chan *chan;
};

static uint8_t copy[1 << 17]; /* of the message, which the events point to */

/* The one message that was written goes across. */
static void deliver(struct end *from, struct end *to, struct smx_conn_event *ret)
{
	struct smx_tx_block *b = smx_transport_tx_take(from->t);
	struct smx_view payload = { NULL, 0 }, more;
	size_t off = 0;

	fuzz_check(clear_next(b, &off, &payload) && payload.len <= sizeof(copy));
	memcpy(copy, payload.p, payload.len);
	payload.p = copy;
	fuzz_check(!clear_next(b, &off, &more));
	smx_transport_tx_free(from->t, b);
	fuzz_check(smx_conn_handle(&to->c, payload, ret) == 0);
	fuzz_check(!ret->is_slip && !ret->broken);
}

/* The name of a request is one: printable, and not too long. */
static void name_of(struct smx_view v, char name[33])
{
	size_t n = v.len < 32 ? v.len : 32;

	for (size_t i = 0; i < n; i++)
		name[i] = (char)('!' + v.p[i] % 94);
	name[n] = '\0';
}

static void data(struct end *s, struct end *c, uint32_t code, struct smx_view v)
{
	struct smx_conn_event ev;

	if (s->chan->eof_sent || v.len > s->chan->send_window || v.len > s->chan->send_packet)
		return;
	fuzz_check(smx_conn_send_data(&s->c, s->chan, code, v) == 0);
	deliver(s, c, &ev);
	fuzz_check(ev.type == SMX_CONN_DATA && ev.chan == c->chan && ev.code == code);
	fuzz_check(smx_view_eq_view(ev.data, v));
	fuzz_check(smx_conn_done(&c->c, &ev) == 0);
}

static void request(struct end *s, struct end *c, int want_reply, struct smx_view v)
{
	struct smx_conn_event ev;
	char name[33];

	name_of(v, name);
	if (smx_conn_send_request(&s->c, s->chan, name, want_reply, v) != 0)
		return; /* SMX_ELIMIT, SMX_ETOOBIG: nothing was sent */
	deliver(s, c, &ev);
	fuzz_check(ev.type == SMX_CONN_REQUEST && ev.chan == c->chan);
	fuzz_check(ev.kind.len == strlen(name) && memcmp(ev.kind.p, name, ev.kind.len) == 0);
	fuzz_check(smx_view_eq_view(ev.data, v) && !ev.want_reply == !want_reply);
	fuzz_check(smx_conn_done(&c->c, &ev) == 0);
	if (!want_reply)
		return;
	fuzz_check(smx_conn_send_reply(&c->c, c->chan, v.len % 2) == 0);
	deliver(c, s, &ev);
	fuzz_check(ev.type == SMX_CONN_REPLY && ev.chan == s->chan);
	fuzz_check(!ev.success == (v.len % 2 == 0) && smx_conn_done(&s->c, &ev) == 0);
}

static void grant(struct end *s, struct end *c, uint32_t n)
{
	uint32_t before = c->chan->send_window;
	struct smx_conn_event ev;

	fuzz_check(smx_conn_grant(&s->c, s->chan, n) == 0);
	deliver(s, c, &ev);
	fuzz_check(ev.type == SMX_CONN_WINDOW && ev.chan == c->chan);
	fuzz_check(c->chan->send_window == before + n && smx_conn_done(&c->c, &ev) == 0);
}

static void end_of_data(struct end *s, struct end *c)
{
	struct smx_conn_event ev;

	if (s->chan->eof_sent)
		return;
	fuzz_check(smx_conn_send_eof(&s->c, s->chan) == 0);
	deliver(s, c, &ev);
	fuzz_check(ev.type == SMX_CONN_EOF && ev.chan == c->chan && smx_conn_done(&c->c, &ev) == 0);
}

static void converse(struct end *s, struct end *c, struct smx_rd *rd)
{
	struct smx_conn_event ev;
	struct smx_view v;

	while (fuzz_next(rd, &v)) {
		uint8_t what = v.p[0] % 6;

		v.p++;
		v.len--;
		if (what < 2)
			data(s, c, what, v);
		else if (what < 4)
			request(s, c, what % 2, v);
		else if (what == 4)
			grant(s, c, (uint32_t)v.len + 1);
		else
			end_of_data(s, c);
	}
	fuzz_check(smx_conn_send_close(&s->c, s->chan) == 0);
	deliver(s, c, &ev);
	fuzz_check(ev.type == SMX_CONN_CLOSE && ev.chan == c->chan);
	fuzz_check(smx_conn_done(&c->c, &ev) == 0 && c->c.n_chans == 0);
	deliver(c, s, &ev);
	fuzz_check(ev.type == SMX_CONN_CLOSE && ev.chan == s->chan);
	fuzz_check(smx_conn_done(&s->c, &ev) == 0 && s->c.n_chans == 0);
}

/* The server's answer to the channel that the client asks for. */
static void answer(struct end *s, struct end *c, int is_refused, struct smx_rd *rd)
{
	struct smx_view none = { NULL, 0 };
	struct smx_conn_event ev;
	char text[33];

	fuzz_check(smx_conn_open(&c->c, smx_view_of("session", 7), none, WINDOW, &c->chan) == 0);
	deliver(c, s, &ev);
	fuzz_check(ev.type == SMX_CONN_OPEN && smx_view_eq(ev.kind, "session"));
	s->chan = ev.chan;
	if (is_refused) {
		name_of((struct smx_view){ rd->p, rd->left }, text);
		fuzz_check(smx_conn_open_fail(&s->c, s->chan, SMX_OPEN_CONNECT_FAILED, text) == 0);
		deliver(s, c, &ev);
		fuzz_check(ev.type == SMX_CONN_OPEN_FAIL && ev.code == SMX_OPEN_CONNECT_FAILED);
		fuzz_check(
			ev.data.len == strlen(text) && memcmp(ev.data.p, text, ev.data.len) == 0);
		fuzz_check(smx_conn_done(&c->c, &ev) == 0 && c->c.n_chans == 0);
		return;
	}
	fuzz_check(smx_conn_open_confirm(&s->c, s->chan, WINDOW / 2, none) == 0);
	deliver(s, c, &ev);
	fuzz_check(ev.type == SMX_CONN_OPEN_CONFIRM && ev.chan == c->chan);
	fuzz_check(c->chan->send_window == WINDOW / 2 && s->chan->send_window == WINDOW);
	fuzz_check(smx_conn_done(&c->c, &ev) == 0);
	converse(s, c, rd);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	static struct smx_key *host_key;
	struct smx_rd rd = smx_rd_from(in, size);
	struct end s = { .chan = NULL }, c = { .chan = NULL };
	uint8_t how;

	if (smx_rd_u8(&rd, &how) != 0)
		return 0;
	if (!host_key)
		fuzz_check(smx_key_generate_ed25519(&host_key) == 0);
	s.t = clear_transport(fuzz_pool(), SMX_SERVER, SMX_PHASE_CONNECTION, host_key);
	c.t = clear_transport(fuzz_pool(), SMX_CLIENT, SMX_PHASE_CONNECTION, NULL);
	fuzz_check(s.t && c.t);
	smx_conn_init(&s.c, s.t);
	smx_conn_init(&c.c, c.t);
	answer(&s, &c, how & 1, &rd);
	smx_conn_release(&s.c);
	smx_conn_release(&c.c);
	smx_transport_free(s.t);
	smx_transport_free(c.t);
	fuzz_check_pool();
	return 0;
}
