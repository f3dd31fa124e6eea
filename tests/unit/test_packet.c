/* SPDX-License-Identifier: MIT */
/*
 * The binary packet protocol (RFC 4253 section 6) without ciphers: limits, padding, blocks.
 * Sealed packets are in the simulation tests (S7: nothing is allocated by a claimed length).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "ssh/packet.h"

struct fixture {
	struct smx_pool pool;
	struct smx_packets p;
};

static int setup(void **state)
{
	static struct fixture f;

	smx_pool_init(&f.pool, 2);
	smx_packets_init(&f.p, &f.pool);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	smx_packets_release(&f->p);
	smx_pool_release(&f->pool);
	return smx_mem_alive() == 0 ? 0 : -1;
}

static void feed(struct smx_packets *p, const void *bytes, size_t n)
{
	const uint8_t *from = bytes;
	uint8_t *to;
	size_t space;

	while (n) {
		assert_int_equal(smx_packets_rx_space(p, &to, &space), 0);
		assert_true(space > 0);
		space = space < n ? space : n;
		memcpy(to, from, space);
		smx_packets_rx_commit(p, space);
		from += space;
		n -= space;
	}
}

static void lengths_and_padding(void **state)
{
	static const struct {
		uint32_t len;
		uint8_t pad;
		int r;
	} cases[] = {
		{ 12, 4, 0 }, /* 7 bytes of payload */
		{ 12, 10, 0 }, /* 1 byte */
		{ 12, 11, SMX_EFORMAT }, /* none */
		{ 12, 12, SMX_EFORMAT },
		{ 12, 255, SMX_EFORMAT },
		{ 12, 3, SMX_EFORMAT }, /* less than RFC 4253 asks for */
		{ 12, 0, SMX_EFORMAT },
		{ 11, 4, SMX_EFORMAT }, /* not whole blocks */
		{ 13, 4, SMX_EFORMAT },
		{ 4, 4, SMX_EFORMAT }, /* whole blocks, no room for anything */
		{ 0, 4, SMX_EFORMAT },
		{ 65532, 4, 0 },
		{ SMX_PACKET_MAX, 4, SMX_EFORMAT },
		{ SMX_PACKET_MAX + 1, 4, SMX_ETOOBIG },
		{ 0x7fffffff, 4, SMX_ETOOBIG },
		{ 0xfffffffc, 4, SMX_ETOOBIG },
		{ 0xffffffff, 4, SMX_ETOOBIG },
	};
	static uint8_t bytes[4 + SMX_PACKET_MAX];
	struct smx_view payload;
	uint32_t seq = 77;

	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct fixture *f = *state;
		size_t n = cases[i].len <= SMX_PACKET_MAX ? 4 + cases[i].len : 100;

		n = n < 16 ? 16 : n;
		memset(bytes, 0x11, sizeof(bytes));
		smx_set_u32(bytes, cases[i].len);
		bytes[4] = cases[i].pad;
		feed(&f->p, bytes, n);
		assert_int_equal(smx_packets_next(&f->p, &payload, &seq), cases[i].r);
		if (cases[i].r == 0) {
			assert_int_equal(payload.len, cases[i].len - 1 - cases[i].pad);
			assert_int_equal(seq, 0);
		} else {
			assert_int_equal(seq, 77); /* untouched */
		}
		seq = 77;
		smx_packets_release(&f->p);
	}
}

static void any_pieces(void **state)
{
	struct fixture *f = *state;
	struct smx_packets tx;
	struct smx_tx_block *list, *b;
	struct smx_view payload;
	uint8_t msg[3000];
	uint32_t seq;
	size_t want = 1, at = 0, got = 0;

	smx_packets_init(&tx, &f->pool);
	for (size_t n = 1; n < sizeof(msg); n += 97) {
		/* In parts, one of them empty. */
		struct smx_view parts[4] = { { msg, n / 3 }, { NULL, 0 }, { msg + n / 3, n / 2 },
			{ msg + n / 3 + n / 2, n - n / 3 - n / 2 } };

		for (size_t i = 0; i < n; i++)
			msg[i] = (uint8_t)(n + i);
		assert_int_equal(smx_packets_send(&tx, parts, 4), 0);
		/* Whole blocks of 8. */
		assert_int_equal(tx.tx_len % 8, 0);
	}
	list = smx_packets_tx_take(&tx);
	assert_null(smx_packets_tx_take(&tx));
	assert_int_equal(tx.tx_len, 0);
	for (b = list; b; b = b->next) {
		for (at = 0; at < b->len; at += 13) {
			feed(&f->p, b->data + at, b->len - at < 13 ? b->len - at : 13);
			while (smx_packets_next(&f->p, &payload, &seq) == 0) {
				assert_int_equal(payload.len, want);
				assert_int_equal(payload.p[want - 1], (uint8_t)(2 * want - 1));
				assert_int_equal(seq, got++);
				want += 97;
			}
			smx_packets_rx_idle(&f->p);
		}
	}
	assert_int_equal(got, tx.tx_seq);
	assert_null(f->p.rx); /* given back when empty */
	smx_packets_tx_free(&tx, list);
	smx_packets_release(&tx);
}

static void limits_of_sending(void **state)
{
	static uint8_t big[SMX_PAYLOAD_MAX + 1];
	struct fixture *f = *state;
	struct smx_view part = { big, sizeof(big) };
	struct smx_tx_block *list;
	size_t n = 0, total = 0, one;

	assert_int_equal(smx_packets_send(&f->p, &part, 1), SMX_ETOOBIG);
	assert_int_equal(smx_packets_send_raw(&f->p, big, sizeof(big)), SMX_ETOOBIG);
	assert_int_equal(f->p.tx_seq, 0);
	part.len = SMX_PAYLOAD_MAX;
	assert_int_equal(smx_packets_send(&f->p, &part, 1), 0);
	one = f->p.tx_len;
	for (int i = 1; i < 30; i++)
		assert_int_equal(smx_packets_send(&f->p, &part, 1), 0);
	list = smx_packets_tx_take(&f->p);
	for (struct smx_tx_block *b = list; b; b = b->next) {
		assert_in_range(b->len, 1, SMX_TX_BLOCK_CAP);
		assert_int_equal(b->len % one, 0);
		total += b->len;
		n++;
	}
	assert_int_equal(total, 30 * one);
	/* As many to a block as go in. */
	assert_int_equal(n, (30 + SMX_TX_BLOCK_CAP / one - 1) / (SMX_TX_BLOCK_CAP / one));
	smx_packets_tx_free(&f->p, list);
	smx_pool_release(&f->pool); /* no idle block to fall back on */
	smx_mem_fail_after(0);
	assert_int_equal(smx_packets_send(&f->p, &part, 1), SMX_ENOMEM);
	smx_mem_fail_after(-1);
}

/* U8: what waits in little pieces costs what it holds: one message must not keep a whole block. */
static void U8_little_blocks_that_wait_share_one(void **state)
{
	struct fixture *f = *state;
	struct smx_tx_block *first = NULL, *last = NULL;
	static uint8_t bytes[SMX_PAYLOAD_MAX];
	uint8_t next = 0, want = 0;
	size_t total = 0;

	for (int i = 0; i < 20000; i++) {
		size_t n = i % 1000 == 999 ? sizeof(bytes) : 1 + (size_t)i % 60;

		for (size_t j = 0; j < n; j++)
			bytes[j] = next++;
		assert_int_equal(smx_packets_send_raw(&f->p, bytes, n), 0);
		total += n;
		smx_tx_append(&f->pool, &first, &last, smx_packets_tx_take(&f->p));
	}
	assert_in_range(f->pool.n_used, 1, 2 * total / SMX_BLOCK_LEN + 2);
	assert_null(last->next);
	for (struct smx_tx_block *b = first; b; b = b->next) {
		assert_in_range(b->len, 1, SMX_TX_BLOCK_CAP);
		for (size_t i = 0; i < b->len; i++)
			if (b->data[i] != want++)
				fail_msg("a byte is not where it was put");
		total -= b->len;
	}
	assert_int_equal(total, 0);
	smx_packets_tx_free(&f->p, first);
}

/* A peer that sends faster than it is read gets no more than a block of memory. */
static void a_full_block_waits(void **state)
{
	struct fixture *f = *state;
	static uint8_t packet[24] = { 0, 0, 0, 20, 4 };
	struct smx_view payload;
	size_t space, sent = 0, got = 0;
	uint32_t seq;
	uint8_t *to;

	for (;;) {
		assert_int_equal(smx_packets_rx_space(&f->p, &to, &space), 0);
		if (space == 0)
			break;
		for (size_t i = 0; i < space; i++)
			to[i] = packet[sent++ % sizeof(packet)];
		smx_packets_rx_commit(&f->p, space);
	}
	assert_int_equal(sent, SMX_BLOCK_LEN);
	while (smx_packets_next(&f->p, &payload, &seq) == 0)
		got++;
	assert_int_equal(got, SMX_BLOCK_LEN / sizeof(packet));
	/* The tail moves to the front, and there is room again. */
	assert_int_equal(smx_packets_rx_space(&f->p, &to, &space), 0);
	assert_int_equal(space, SMX_BLOCK_LEN - SMX_BLOCK_LEN % sizeof(packet));
}

static void the_largest_packet_wherever_it_starts(void **state)
{
	struct fixture *f = *state;
	static uint8_t big[65536] = { 0, 0, 0xff, 0xfc, 4 };
	static const uint8_t small[16] = { 0, 0, 0, 12, 4 };
	struct smx_view payload;
	uint32_t seq;

	for (int i = 0; i < 50; i++) {
		for (int k = 0; k < i; k++)
			feed(&f->p, small, sizeof(small));
		feed(&f->p, big, 40000);
		for (int k = 0; k < i; k++)
			assert_int_equal(smx_packets_next(&f->p, &payload, &seq), 0);
		assert_int_equal(smx_packets_next(&f->p, &payload, &seq), SMX_EAGAIN);
		feed(&f->p, big + 40000, sizeof(big) - 40000);
		assert_int_equal(smx_packets_next(&f->p, &payload, &seq), 0);
		assert_int_equal(payload.len, 65532 - 5);
	}
}

/* W2: the packets of the proxy mode. What we send is not padded, and no shorter than OpenSSH's
 * client takes. */
static void W2_bare_packets(void **state)
{
	static const uint8_t sent[] = { 0, 0, 0, 5, 0, 81, 0, 0, 0, /* nothing but a type */
		0, 0, 0, 5, 0, 'a', 'b', 'c', 'd' };
	static const uint8_t came[] = { 0, 0, 0, 2, 0, 82, /* as short as can be */
		0, 0, 0, 6, 2, 'a', 'b', 'c', 9, 9 }; /* padded all the same */
	static const uint8_t bad[][6] = { { 0, 0, 0, 1, 0, 0 }, { 0, 0, 0, 0, 0, 0 },
		{ 0, 0, 0, 2, 1, 0 }, { 0, 4, 0, 1, 0, 0 } };
	struct fixture *f = *state;
	struct smx_view one = { (const uint8_t *)"Q", 1 }, four = { (const uint8_t *)"abcd", 4 };
	struct smx_view payload;
	uint32_t seq;

	f->p.is_bare = 1;
	assert_int_equal(smx_packets_send(&f->p, &one, 1), 0);
	assert_int_equal(smx_packets_send(&f->p, &four, 1), 0);
	assert_int_equal(f->p.tx_len, sizeof(sent));
	assert_memory_equal(f->p.tx_first->data, sent, sizeof(sent));
	feed(&f->p, came, sizeof(came));
	assert_int_equal(smx_packets_next(&f->p, &payload, &seq), 0);
	assert_true(payload.len == 1 && payload.p[0] == 82 && seq == 0);
	assert_int_equal(smx_packets_next(&f->p, &payload, &seq), 0);
	assert_true(payload.len == 3 && memcmp(payload.p, "abc", 3) == 0 && seq == 1);
	assert_int_equal(smx_packets_next(&f->p, &payload, &seq), SMX_EAGAIN);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		smx_packets_release(&f->p);
		f->p.is_bare = 1;
		feed(&f->p, bad[i], sizeof(bad[i]));
		assert_int_equal(smx_packets_next(&f->p, &payload, &seq),
			i == 3 ? SMX_ETOOBIG : SMX_EFORMAT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lengths_and_padding, setup, teardown),
		cmocka_unit_test_setup_teardown(any_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_of_sending, setup, teardown),
		cmocka_unit_test_setup_teardown(
			U8_little_blocks_that_wait_share_one, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_block_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(W2_bare_packets, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_largest_packet_wherever_it_starts, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
