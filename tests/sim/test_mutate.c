/* SPDX-License-Identifier: MIT */
/*
 * Every message damaged: each bit or byte changed, cut at each length, in the clear, under each
 * cipher, and as payloads handed to the layers. Nothing may crash, hang or be accepted (N8, S7).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../clear_transport.h"
#include "base/mem.h"
#include "util_pair.h"

/* Short lists make short messages, of which each bit can be tried. */
static const struct pair_config short_lists = {
	.c = { .kex = "curve25519-sha256",
		.ciphers = "aes128-gcm@openssh.com",
		.macs = "hmac-sha2-256",
		.host_key_algs = "ssh-ed25519" },
	.s = { .kex = "curve25519-sha256",
		.ciphers = "aes128-gcm@openssh.com",
		.macs = "hmac-sha2-256" },
};

/* --- in the clear, on the way --- */

static struct {
	uint64_t at; /* which byte of the stream */
	uint8_t flip; /* 0: cut the stream here */
	uint8_t clear[8192]; /* the stream as it was sent */
	size_t clear_len;
} damage;

static void do_damage(struct side *s, uint8_t *p, size_t n, uint64_t at)
{
	(void)s;
	for (size_t i = 0; i < n && at + i < sizeof(damage.clear); i++) {
		damage.clear[at + i] = p[i];
		damage.clear_len = (size_t)at + i + 1;
	}
	if (damage.flip && damage.at >= at && damage.at < at + n)
		p[damage.at - at] ^= damage.flip;
}

/* Whether the byte at `pos` of a clear stream is padding: the only bytes the hash leaves out. */
static int is_padding(const uint8_t *p, size_t len, size_t pos)
{
	const uint8_t *lf = memchr(p, '\n', len);
	size_t at, n;

	assert_non_null(lf);
	for (at = (size_t)(lf - p) + 1; at + 5 <= len; at += 4 + n) {
		n = smx_get_u32(p + at);
		if (pos < at + 4 + n)
			return pos >= at + 4 + n - p[at + 4];
	}
	return 0;
}

/* The length of what a side says before its first byte under keys. */
static size_t clear_stream_len(int from_server)
{
	struct pair p;
	size_t n;

	assert_int_equal(pair_init(&p, &short_lists, NULL), 0);
	p.c.no_layers = p.s.no_layers = 1;
	pair_run(&p);
	assert_true(p.c.is_ready && p.s.is_ready);
	n = (size_t)(from_server ? p.s.wire_total - p.s.t->pk.tx_bytes : p.c.wire_total);
	pair_release(&p);
	return n;
}

static void flip_in_the_clear(int from_server)
{
	size_t len = clear_stream_len(from_server), n_padding = 0;
	struct pair p;
	struct side *s;

	for (damage.at = 0; damage.at < len; damage.at++) {
		for (int bit = 0; bit < 9; bit++) {
			damage.flip = bit < 8 ? (uint8_t)(1 << bit) : 0xff;
			assert_int_equal(pair_init(&p, &short_lists, NULL), 0);
			s = from_server ? &p.s : &p.c;
			p.c.no_layers = p.s.no_layers = 1;
			s->tamper = do_damage;
			pair_run(&p);
			if (p.c.is_ready && p.s.is_ready) {
				assert_true(is_padding(
					damage.clear, damage.clear_len, (size_t)damage.at));
				n_padding++;
			}
			/* The receiver is never ready with what was not sent. */
			if (s->peer->is_ready)
				assert_true(is_padding(
					damage.clear, damage.clear_len, (size_t)damage.at));
			pair_release(&p);
		}
	}
	/* KEXINIT, INIT or REPLY, NEWKEYS: at least 4 bytes each. */
	assert_true(n_padding >= 9 * 12);
}

static void each_bit_of_a_server_s_handshake(void **state)
{
	(void)state;
	flip_in_the_clear(1);
}

static void each_bit_of_a_client_s_handshake(void **state)
{
	(void)state;
	flip_in_the_clear(0);
}

static void handshake_cut_anywhere(void **state)
{
	(void)state;
	for (int from_server = 0; from_server < 2; from_server++) {
		size_t len = clear_stream_len(from_server);

		for (size_t cut = 0; cut < len; cut++) {
			struct pair p;
			struct side *s;
			size_t sent = 0;

			assert_int_equal(pair_init(&p, &short_lists, NULL), 0);
			p.c.no_layers = p.s.no_layers = 1;
			s = from_server ? &p.s : &p.c;
			for (int i = 0; i < 8; i++) {
				side_deliver(s->peer);
				side_take(s);
				if (sent + s->wire_len > cut)
					s->wire_len = cut - sent;
				sent += s->wire_len;
				side_deliver(s);
			}
			assert_int_equal(s->peer->r, 0);
			assert_false(s->peer->is_ready);
			pair_release(&p);
		}
	}
}

/* --- under keys --- */

#define SEALED_MAX 400

/* Opens what is at `wire` with fresh keys; how many good packets came before the end. */
static int open_all(struct smx_pool *pool, const struct smx_cipher_alg *cipher,
	const struct smx_mac_alg *mac, const uint8_t *keys, const uint8_t *wire, size_t n,
	int *ret_r)
{
	struct smx_protect *protect;
	struct smx_packets rx;
	struct smx_view payload;
	size_t space;
	uint32_t seq;
	uint8_t *to;
	int good = 0, r;

	assert_int_equal(smx_protect_new(&protect, cipher, mac, 0, keys, keys + 64, keys + 80), 0);
	smx_packets_init(&rx, pool);
	smx_packets_set_rx_keys(&rx, protect, 0);
	assert_int_equal(smx_packets_rx_space(&rx, &to, &space), 0);
	memcpy(to, wire, n);
	smx_packets_rx_commit(&rx, n);
	while ((r = smx_packets_next(&rx, &payload, &seq)) == 0)
		good++;
	smx_packets_release(&rx);
	*ret_r = r;
	return good;
}

static void mutate_sealed(const struct smx_cipher_alg *cipher, const struct smx_mac_alg *mac)
{
	static uint8_t wire[SMX_PACKET_MAX + 1000];
	uint8_t keys[160], payload[61];
	struct smx_view part = { payload, sizeof(payload) };
	struct smx_protect *protect;
	struct smx_packets tx;
	struct smx_tx_block *b;
	struct smx_pool pool;
	size_t len, first;
	int r;

	for (size_t i = 0; i < sizeof(keys); i++)
		keys[i] = (uint8_t)(i * 7 + 1);
	memset(payload, SMX_MSG_IGNORE, sizeof(payload));
	smx_pool_init(&pool, 2);
	assert_int_equal(smx_protect_new(&protect, cipher, mac, 1, keys, keys + 64, keys + 80), 0);
	smx_packets_init(&tx, &pool);
	smx_packets_set_tx_keys(&tx, protect, 0);
	assert_int_equal(smx_packets_send(&tx, &part, 1), 0);
	b = smx_packets_tx_take(&tx);
	first = b->len;
	memset(wire, 0xa5, sizeof(wire));
	memcpy(wire, b->data, first);
	smx_packets_tx_free(&tx, b);
	part.len = 3;
	assert_int_equal(smx_packets_send(&tx, &part, 1), 0);
	b = smx_packets_tx_take(&tx);
	memcpy(wire + first, b->data, b->len);
	len = first + b->len;
	assert_in_range(len, 40, SEALED_MAX);
	smx_packets_tx_free(&tx, b);
	smx_packets_release(&tx);

	assert_int_equal(open_all(&pool, cipher, mac, keys, wire, len, &r), 2);
	assert_int_equal(r, SMX_EAGAIN);
	/* Enough behind it that a longer length is believed to be complete. */
	for (size_t i = 0; i < len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			wire[i] ^= (uint8_t)(1 << bit);
			assert_int_equal(open_all(&pool, cipher, mac, keys, wire, sizeof(wire), &r),
				i < first ? 0 : 1);
			assert_true(r == SMX_EMAC || r == SMX_EFORMAT || r == SMX_ETOOBIG);
			wire[i] ^= (uint8_t)(1 << bit);
		}
	}
	for (size_t cut = 0; cut < len; cut++) {
		assert_int_equal(open_all(&pool, cipher, mac, keys, wire, cut, &r), cut >= first);
		assert_int_equal(r, SMX_EAGAIN);
	}
	/* The same packet twice, the second first, one left out. */
	memcpy(wire + len, wire, first);
	assert_int_equal(
		open_all(&pool, cipher, mac, keys, wire + first, sizeof(wire) - first, &r), 0);
	assert_true(r == SMX_EMAC || r == SMX_EFORMAT || r == SMX_ETOOBIG);
	assert_int_equal(open_all(&pool, cipher, mac, keys, wire, sizeof(wire), &r), 2);
	assert_true(r == SMX_EMAC || r == SMX_EFORMAT || r == SMX_ETOOBIG);
	smx_pool_release(&pool);
}

static void each_bit_under_each_cipher(void **state)
{
	struct smx_view ciphers = smx_view_of(smx_cipher_names(), strlen(smx_cipher_names())), c, m,
			macs;

	(void)state;
	while (smx_namelist_next(&ciphers, &c)) {
		const struct smx_cipher_alg *cipher = smx_cipher_find(c);

		if (cipher->is_aead) {
			mutate_sealed(cipher, NULL);
			continue;
		}
		macs = smx_view_of(smx_mac_names(), strlen(smx_mac_names()));
		while (smx_namelist_next(&macs, &m))
			mutate_sealed(cipher, smx_mac_find(m));
	}
}

/* The same in a live connection: it ends with the right DISCONNECT and nothing was acted on. */
static void damage_in_a_live_connection(void **state)
{
	static uint8_t ignore[30000] = { SMX_MSG_IGNORE, 0, 0, 0, 1 };
	size_t len = 1;

	(void)state;
	for (size_t i = 0; i < len; i++) {
		struct pair p;

		assert_int_equal(pair_init(&p, &short_lists, NULL), 0);
		pair_login(&p);
		assert_int_equal(smx_conn_keepalive(&p.c.conn), 0);
		side_take(&p.c);
		len = p.c.wire_len;
		assert_in_range(len, 30, 100);
		p.c.wire[p.c.wire_off + i] ^= 1;
		p.s.n_packets = 0;
		/* So much follows that any length is complete. */
		for (int k = 0; k < 4; k++)
			side_inject(&p.c, ignore, sizeof(ignore));
		pair_run(&p);
		assert_int_equal(p.s.n_packets, 0);
		assert_true(p.s.r == SMX_EMAC || p.s.r == SMX_EFORMAT || p.s.r == SMX_ETOOBIG);
		assert_int_equal(p.c.r, SMX_EDISCONNECTED);
		assert_string_equal(smx_transport_reason(p.c.t), smx_strerror(p.s.r));
		pair_release(&p);
	}
}

/* --- payloads, as the layers get them --- */

#define RECORDS_MAX 64

static struct record {
	uint8_t p[2048];
	size_t len;
} records[RECORDS_MAX];
static size_t n_records;

typedef void try_payload(size_t which, const uint8_t *p, size_t n, int is_changed, void *arg);

/* Each message with each bit changed, cut at each length, and longer than it was. */
static void mutate_records(try_payload *try, void *arg)
{
	for (size_t k = 0; k < n_records; k++) {
		struct record *rec = &records[k];
		/* Exact memory: a byte read beyond it is a finding. */
		uint8_t *copy = malloc(rec->len + 1);

		assert_non_null(copy);
		memcpy(copy, rec->p, rec->len);
		try(k, copy, rec->len, 0, arg);
		for (size_t i = 0; i < rec->len; i++) {
			for (int bit = 0; bit < 9; bit++) {
				memcpy(copy, rec->p, rec->len);
				copy[i] ^= bit < 8 ? (uint8_t)(1 << bit) : 0xff;
				try(k, copy, rec->len, 1, arg);
			}
		}
		memcpy(copy, rec->p, rec->len);
		copy[rec->len] = 0;
		try(k, copy, rec->len + 1, 1, arg);
		free(copy);
		for (size_t n = 1; n < rec->len; n++) {
			copy = malloc(n);
			assert_non_null(copy);
			memcpy(copy, rec->p, n);
			try(k, copy, n, 1, arg);
			free(copy);
		}
	}
}

static void record(const void *p, size_t n)
{
	assert_in_range(n_records, 0, RECORDS_MAX - 1);
	assert_in_range(n, 1, sizeof(records[0].p));
	memcpy(records[n_records].p, p, n);
	records[n_records++].len = n;
}

#define RECORD(text) record(text, sizeof(text) - 1)

static int one_key_ok(void *arg, struct smx_view blob)
{
	struct smx_buf *good = arg;

	return smx_view_eq_view(blob, (struct smx_view){ smx_buf_view(good), smx_buf_len(good) });
}

struct auth_arg {
	struct smx_transport *t;
	struct smx_buf blob;
	size_t n_ok;
};

static void try_auth_server(size_t which, const uint8_t *p, size_t n, int is_changed, void *arg)
{
	struct auth_arg *a = arg;
	struct smx_auth_server as;
	int r;

	smx_transport_set_phase(a->t, which == 0 ? SMX_PHASE_TRANSPORT : SMX_PHASE_AUTH);
	smx_auth_server_init(&as, a->t, one_key_ok, &a->blob);
	as.has_service = which > 0;
	r = smx_auth_server_handle(&as, (struct smx_view){ p, n });
	assert_true(r <= 0);
	if (which < 3 || !is_changed) {
		/* Only the one signed request logs in. */
		assert_int_equal(as.is_done, which == 3);
		a->n_ok += r == 0;
	} else if (as.is_done) {
		/* RFC 4251 section 5: any non-zero boolean is true, and true is what was signed. */
		size_t at = 1 + 4 + 5 + 4 + 14 + 4 + 9;

		assert_true(n == records[which].len && p[at] != 0);
		assert_memory_equal(p, records[which].p, at);
		assert_memory_equal(p + at + 1, records[which].p + at + 1, n - at - 1);
	}
	if (!as.is_done)
		assert_int_not_equal(a->t->phase, SMX_PHASE_CONNECTION);
	smx_transport_tx_free(a->t, smx_transport_tx_take(a->t));
}

static void payloads_of_the_server_s_login(void **state)
{
	struct smx_view alg = smx_view_of("ssh-ed25519", 11), blob;
	struct smx_buf b, sig, data;
	struct smx_auth_pubkey key;
	struct auth_arg a = { 0 };
	struct smx_pool pool;

	(void)state;
	smx_pool_init(&pool, 2);
	smx_buf_init(&a.blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&b, SMX_AUTH_MSG_MAX);
	smx_buf_init(&sig, SMX_SIG_MAX);
	smx_buf_init(&data, SMX_AUTH_MSG_MAX);
	a.t = clear_transport(&pool, SMX_SERVER, SMX_PHASE_AUTH, pair_key(0));
	assert_non_null(a.t);
	assert_int_equal(smx_key_to_blob(pair_key(1), &a.blob), 0);
	blob = (struct smx_view){ smx_buf_view(&a.blob), smx_buf_len(&a.blob) };
	key = (struct smx_auth_pubkey){ .user = "route", .alg = alg, .blob = blob };
	n_records = 0;
	RECORD("\x05\0\0\0\x0cssh-userauth");
	assert_int_equal(smx_auth_put_none(&b, "route"), 0);
	record(smx_buf_view(&b), smx_buf_len(&b));
	smx_buf_reset(&b);
	assert_int_equal(smx_auth_put_pubkey_probe(&b, &key), 0);
	record(smx_buf_view(&b), smx_buf_len(&b));
	smx_buf_reset(&b);
	assert_int_equal(
		smx_auth_put_pubkey_request(&data, smx_transport_session_id(a.t), &key), 0);
	assert_int_equal(
		smx_key_sign(pair_key(1), "ssh-ed25519",
			(struct smx_view){ smx_buf_view(&data), smx_buf_len(&data) }, &sig),
		0);
	assert_int_equal(smx_auth_put_pubkey_request(&b, (struct smx_view){ NULL, 0 }, &key), 0);
	assert_int_equal(smx_put_string(&b, smx_buf_view(&sig), smx_buf_len(&sig)), 0);
	record(smx_buf_view(&b), smx_buf_len(&b));
	mutate_records(try_auth_server, &a);
	assert_true(a.n_ok >= 3);
	smx_transport_free(a.t);
	smx_buf_release(&a.blob);
	smx_buf_release(&b);
	smx_buf_release(&sig);
	smx_buf_release(&data);
	smx_pool_release(&pool);
}

static void try_auth_client(size_t which, const uint8_t *p, size_t n, int is_changed, void *arg)
{
	static const enum smx_auth_wait waits[] = { SMX_AUTH_WAIT_SERVICE, SMX_AUTH_WAIT_NONE,
		SMX_AUTH_WAIT_PROBE, SMX_AUTH_WAIT_KBDINT, SMX_AUTH_WAIT_PUBKEY,
		SMX_AUTH_WAIT_PASSWORD, SMX_AUTH_WAIT_CHOICE };
	struct smx_transport *t = arg;
	struct smx_auth_client ac;
	struct smx_auth_event ev;
	int r;

	/* In every state, whether it fits there or not. */
	for (size_t i = 0; i < SMX_ARRAY_LEN(waits); i++) {
		smx_transport_set_phase(t, SMX_PHASE_AUTH);
		assert_int_equal(smx_auth_client_init(&ac, t, "user"), 0);
		assert_int_equal(smx_buf_put(&ac.key_blob, "blob", 4), 0);
		ac.wait = waits[i];
		ac.service_due = waits[i] == SMX_AUTH_WAIT_SERVICE;
		r = smx_auth_client_handle(&ac, (struct smx_view){ p, n }, &ev);
		assert_true(r <= 0);
		/* Done by nothing but the one byte of a success, to a question it can answer. */
		if (r == 0 && ev.type == SMX_AUTH_EV_DONE) {
			assert_int_equal(n, 1);
			assert_int_equal(p[0], SMX_MSG_USERAUTH_SUCCESS);
			assert_true(waits[i] != SMX_AUTH_WAIT_SERVICE &&
				    waits[i] != SMX_AUTH_WAIT_PROBE &&
				    waits[i] != SMX_AUTH_WAIT_CHOICE);
		} else {
			assert_int_not_equal(t->phase, SMX_PHASE_CONNECTION);
		}
		if (!is_changed && i == which && which < 5)
			assert_int_equal(r, 0);
		if (r == 0 && ev.type == SMX_AUTH_EV_SIGN)
			assert_int_equal(waits[i], SMX_AUTH_WAIT_PROBE);
		smx_auth_client_release(&ac);
		smx_transport_tx_free(t, smx_transport_tx_take(t));
	}
}

static void payloads_of_the_client_s_login(void **state)
{
	struct smx_transport *t;
	struct smx_pool pool;

	(void)state;
	smx_pool_init(&pool, 2);
	t = clear_transport(&pool, SMX_CLIENT, SMX_PHASE_AUTH, NULL);
	assert_non_null(t);
	n_records = 0;
	RECORD("\x06\0\0\0\x0cssh-userauth");
	RECORD("\x33\0\0\0\x12publickey,password\0");
	RECORD("\x3c\0\0\0\x0bssh-ed25519\0\0\0\4blob");
	RECORD("\x3c\0\0\0\4name\0\0\0\5instr\0\0\0\0\0\0\0\2\0\0\0\3OTP\0\0\0\0\3PIN\1");
	RECORD("\x34");
	RECORD("\x35\0\0\0\6banner\0\0\0\2en");
	mutate_records(try_auth_client, t);
	smx_transport_free(t);
	smx_pool_release(&pool);
}

/* A connection with channels in every state: 0 open, 1 opening, 2 asked, 3 EOF both, 4 closing. */
static void make_conn(struct smx_conn *c, struct smx_transport *t)
{
	struct smx_view kind = smx_view_of("session", 7), none = { NULL, 0 };
	uint8_t open[] = "\x5a\0\0\0\7session\0\0\0\x11\0\0\x10\0\0\0\x80\0";
	struct smx_conn_event ev;
	struct smx_chan *chan;

	smx_conn_init(c, t);
	for (uint32_t i = 0; i < 5; i++) {
		if (i == 1) {
			assert_int_equal(smx_conn_open(c, kind, none, 1000, &chan), 0);
			continue;
		}
		assert_int_equal(
			smx_conn_handle(c, (struct smx_view){ open, sizeof(open) - 1 }, &ev), 0);
		assert_int_equal(ev.chan->id, i);
		if (i == 2)
			continue;
		assert_int_equal(smx_conn_open_confirm(c, ev.chan, 1000, none), 0);
		ev.chan->n_replies_due = 1;
		ev.chan->eof_received = i == 3;
		if (i == 4)
			assert_int_equal(smx_conn_send_close(c, ev.chan), 0);
	}
	c->n_globals_due = 1;
}

static void try_conn(size_t which, const uint8_t *p, size_t n, int is_changed, void *arg)
{
	struct smx_transport *t = arg;
	struct smx_conn_event ev;
	struct smx_conn c;
	int r;

	make_conn(&c, t);
	r = smx_conn_handle(&c, (struct smx_view){ p, n }, &ev);
	assert_true(r <= 0);
	if (!is_changed)
		assert_int_equal(r, 0);
	if (r == 0 && ev.type != SMX_CONN_NONE && ev.type != SMX_CONN_GLOBAL_REPLY) {
		assert_non_null(ev.chan);
		/* Sound: inside the payload, inside the window. */
		assert_true(ev.data.len <= n);
		if (ev.type == SMX_CONN_DATA)
			assert_true(ev.data.len <= 1100 && !ev.chan->eof_received);
		if (ev.type == SMX_CONN_OPEN)
			assert_int_equal(smx_conn_open_fail(
						 &c, ev.chan, SMX_OPEN_UNKNOWN_CHANNEL_TYPE, "no"),
				0);
		assert_int_equal(smx_conn_done(&c, &ev), 0);
	}
	(void)which;
	assert_in_range(c.n_chans, 4, 5);
	smx_conn_release(&c);
	smx_transport_tx_free(t, smx_transport_tx_take(t));
	assert_int_equal(t->r, 0);
}

static void payloads_of_channels(void **state)
{
	struct smx_transport *t;
	struct smx_pool pool;

	(void)state;
	smx_pool_init(&pool, 4);
	t = clear_transport(&pool, SMX_SERVER, SMX_PHASE_CONNECTION, pair_key(0));
	assert_non_null(t);
	n_records = 0;
	RECORD("\x50\0\0\0\x0dtcpip-forward\1\0\0\0\0\0\0\0\x16");
	RECORD("\x51\0\0\0\1");
	RECORD("\x52");
	RECORD("\x5a\0\0\0\x0c"
	       "direct-tcpip\0\0\0\5\0\1\0\0\0\0\x80\0\0\0\0\1h\0\0\0\x16\0\0\0\1"
	       "h\0\0\0\x17");
	RECORD("\x5b\0\0\0\1\0\0\0\5\0\1\0\0\0\0\x80\0");
	RECORD("\x5c\0\0\0\1\0\0\0\1\0\0\0\3why\0\0\0\0");
	RECORD("\x5d\0\0\0\0\0\0\1\0");
	RECORD("\x5e\0\0\0\0\0\0\0\4data");
	RECORD("\x5f\0\0\0\4\0\0\0\1\0\0\0\4data");
	RECORD("\x60\0\0\0\0");
	RECORD("\x61\0\0\0\0");
	RECORD("\x61\0\0\0\4");
	RECORD("\x62\0\0\0\3\0\0\0\4exec\1\0\0\0\2ls");
	RECORD("\x63\0\0\0\0");
	RECORD("\x64\0\0\0\4");
	mutate_records(try_conn, t);
	smx_transport_free(t);
	smx_pool_release(&pool);
}

static int count_key(void *arg, struct smx_view blob, struct smx_view comment)
{
	uint64_t *sum = arg;

	/* Read every byte: they must all be there. */
	for (size_t i = 0; i < blob.len; i++)
		*sum += blob.p[i];
	for (size_t i = 0; i < comment.len; i++)
		*sum += comment.p[i];
	return 0;
}

static void try_agent(size_t which, const uint8_t *p, size_t n, int is_changed, void *arg)
{
	struct smx_view v = { p, n }, message, sig;
	uint64_t *sum = arg;
	size_t used;
	int r;

	if (smx_agent_frame(v, &message, &used) != 0)
		return;
	assert_true(used <= n && message.len + 4 == used && message.len > 0);
	r = smx_agent_parse_list(message, count_key, sum);
	assert_true(r <= 0);
	if (!is_changed)
		assert_int_equal(r, which == 0 ? 0 : which == 2 ? SMX_EREFUSED : SMX_EPROTOCOL);
	r = smx_agent_parse_signature(message, &sig);
	assert_true(r <= 0);
	if (!is_changed)
		assert_int_equal(r, which == 1 ? 0 : which == 2 ? SMX_EREFUSED : SMX_EPROTOCOL);
}

static void payloads_of_an_agent(void **state)
{
	uint64_t sum = 0;

	(void)state;
	n_records = 0;
	RECORD("\0\0\0\x1d\x0c\0\0\0\2\0\0\0\3key\0\0\0\1c\0\0\0\3kez\0\0\0\1d");
	records[0].p[3] = (uint8_t)(records[0].len - 4);
	RECORD("\0\0\0\x0a\x0e\0\0\0\5sigs.");
	RECORD("\0\0\0\1\5");
	mutate_records(try_agent, &sum);
	assert_true(sum > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_bit_of_a_server_s_handshake),
		cmocka_unit_test(each_bit_of_a_client_s_handshake),
		cmocka_unit_test(handshake_cut_anywhere),
		cmocka_unit_test(each_bit_under_each_cipher),
		cmocka_unit_test(damage_in_a_live_connection),
		cmocka_unit_test(payloads_of_the_server_s_login),
		cmocka_unit_test(payloads_of_the_client_s_login),
		cmocka_unit_test(payloads_of_channels),
		cmocka_unit_test(payloads_of_an_agent),
	};

	return cmocka_run_group_tests(tests, NULL, pair_teardown);
}
