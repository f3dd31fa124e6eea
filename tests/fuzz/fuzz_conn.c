/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/conn.c
/*
 * Channel messages in any order against channels in any state. A message of type 0 to 15 is
 * not the peer's but tells us what to do, so that our own sending is part of it.
 */
#include "fuzz_channels.h"

static int act(struct smx_conn *c, struct smx_view cmd)
{
	struct smx_view none = { NULL, 0 }, data = { cmd.p, cmd.len };
	struct smx_chan *chan;
	int r;

	if (cmd.p[0] == 0)
		return smx_conn_open(c, smx_view_of("session", 7), none, 3000, &chan) == SMX_ENOMEM;
	if (cmd.p[0] == 1)
		return smx_conn_keepalive(c) == SMX_ENOMEM;
	if (cmd.len < 2 || cmd.p[1] >= c->n_slots || !(chan = c->chans[cmd.p[1]]))
		return 0;
	if (chan->state == SMX_CHAN_ASKED)
		return cmd.p[0] % 2 ? smx_conn_open_confirm(c, chan, 2000, none)
				    : smx_conn_open_fail(c, chan, SMX_OPEN_CONNECT_FAILED, "x");
	switch (cmd.p[0]) {
	case 2:
		r = smx_conn_send_close(c, chan);
		break;
	case 3:
		r = smx_conn_send_eof(c, chan);
		break;
	case 4:
		r = smx_conn_send_reply(c, chan, 1);
		break;
	case 5:
		r = smx_conn_grant(c, chan, 100);
		break;
	case 6:
		if (chan->state != SMX_CHAN_OPEN || chan->close_sent)
			return 0;
		r = smx_conn_send_request(c, chan, "exec", 1, data);
		return r == SMX_ELIMIT ? 0 : r;
	default:
		if (chan->state != SMX_CHAN_OPEN || chan->close_sent || chan->eof_sent ||
			data.len > chan->send_window || data.len > chan->send_packet)
			return 0;
		return smx_conn_send_data(c, chan, cmd.p[0] % 2, data);
	}
	/* Refused while the open is not answered, and only then. */
	fuzz_check((r == SMX_ESTATE) == (chan->state != SMX_CHAN_OPEN));
	return r == SMX_ESTATE ? 0 : r;
}

/* Every other answer waits for the one behind it. */
static int answer(struct smx_conn *c, uint64_t number)
{
	int r = 0;

	if (number % 2 == 0)
		return 0;
	r = smx_conn_answer_global(c, number, 1, 1, 22);
	fuzz_check(r != 0 || c->n_told == number - 1);
	if (r == 0)
		r = smx_conn_answer_global(c, number - 1, 0, 0, 0);
	fuzz_check(r != 0 || c->n_told == number + 1);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct smx_key *host_key;
	struct smx_rd rd = smx_rd_from(data, size);
	struct smx_conn_event ev;
	struct smx_transport *t;
	struct smx_view payload;
	struct smx_conn c;
	int r = 0;

	if (!host_key)
		fuzz_check(smx_key_generate_ed25519(&host_key) == 0);
	t = clear_transport(fuzz_pool(), SMX_SERVER, SMX_PHASE_CONNECTION, host_key);
	fuzz_check(t != NULL);
	smx_conn_init(&c, t);
	c.takes_globals = size % 2 == 1;
	while (r == 0 && fuzz_next(&rd, &payload)) {
		uint8_t *copy = fuzz_copy(payload);

		payload.p = copy;
		if (payload.p[0] < 16) {
			r = act(&c, payload);
		} else if ((r = smx_conn_handle(&c, payload, &ev)) == 0) {
			fuzz_check_event(&c, &ev, payload.len);
			r = smx_conn_done(&c, &ev);
			if (r == 0 && ev.type == SMX_CONN_GLOBAL_REQUEST && ev.want_reply)
				r = answer(&c, ev.number);
		}
		free(copy);
		if (r == 0)
			fuzz_check_channels(&c);
		fuzz_drop_output(t);
	}
	fuzz_check(t->r == 0); /* nothing of this is the transport's end */
	smx_conn_release(&c);
	smx_transport_free(t);
	fuzz_check_pool();
	return 0;
}
