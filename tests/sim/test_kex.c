/* SPDX-License-Identifier: MIT */
/*
 * Identification and key exchange between two of ours: every algorithm, any piece size, strict
 * kex and its violations (N2), guesses, EXT_INFO, host keys (RFC 4253, 4419, 8308; B9).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "util_pair.h"

static void copy_name(struct smx_view name, char out[64])
{
	assert_in_range(name.len, 1, 63);
	memcpy(out, name.p, name.len);
	out[name.len] = '\0';
}

/* A login and a keepalive through one suite. */
static void use_suite(
	const char *kex, const char *cipher, const char *mac, struct smx_key *host, size_t chunk)
{
	struct smx_transport_config one = { .kex = kex, .ciphers = cipher, .macs = mac };
	struct pair_config config = { one, one };
	struct pair p;

	assert_int_equal(pair_init(&p, &config, host), 0);
	p.chunk = chunk;
	pair_login(&p);
	assert_true(smx_transport_is_strict(p.c.t) && smx_transport_is_strict(p.s.t));
	assert_string_equal(smx_transport_algs(p.c.t)->kex->name, kex);
	assert_string_equal(smx_transport_algs(p.s.t)->cipher_c2s->name, cipher);
	if (smx_transport_algs(p.c.t)->mac_s2c)
		assert_string_equal(smx_transport_algs(p.c.t)->mac_s2c->name, mac);
	assert_int_equal(smx_conn_keepalive(&p.c.conn), 0);
	assert_int_equal(smx_conn_keepalive(&p.s.conn), 0);
	pair_run(&p);
	assert_int_equal(p.c.n_pongs, 1);
	assert_int_equal(p.s.n_pongs, 1);
	assert_int_equal(p.c.host_keys_asked, 1);
	pair_release(&p);
}

static void every_suite(void **state)
{
	const char *kex_list = smx_kex_names();
	struct smx_view kexes = smx_view_of(kex_list, strlen(kex_list)), ciphers, macs, v;
	char kex[64], cipher[64], mac[64];
	const struct smx_cipher_alg *alg;

	(void)state;
	while (smx_namelist_next(&kexes, &v)) {
		copy_name(v, kex);
		/* Those cost a second under sanitizers if met with each cipher. */
		int is_big = strstr(kex, "group18") || strstr(kex, "sntrup");

		ciphers = smx_view_of(smx_cipher_names(), strlen(smx_cipher_names()));
		while (smx_namelist_next(&ciphers, &v)) {
			copy_name(v, cipher);
			alg = smx_cipher_find(v);
			macs = smx_view_of(smx_mac_names(), strlen(smx_mac_names()));
			while (smx_namelist_next(&macs, &v)) {
				copy_name(v, mac);
				use_suite(kex, cipher, mac, NULL, 0);
				if (alg->is_aead || is_big)
					break;
			}
			if (is_big)
				break;
		}
	}
}

static void every_host_key_type(void **state)
{
	static const char *const files[] = { "ed25519", "ecdsa_256", "ecdsa_384", "ecdsa_521",
		"rsa_2048" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(files); i++) {
		struct smx_key *key = pair_key_file(files[i]);

		use_suite("curve25519-sha256", "aes128-gcm@openssh.com", "hmac-sha2-256", key, 0);
		use_suite("diffie-hellman-group-exchange-sha256", "aes256-ctr", "hmac-sha2-512",
			key, SIZE_MAX);
		smx_key_free(key);
	}
}

static void any_piece_size(void **state)
{
	static const size_t chunks[] = { 1, 2, 3, 5, 7, 16, 31, 1000, SIZE_MAX };
	static const char *const ciphers[] = { "chacha20-poly1305@openssh.com",
		"aes256-gcm@openssh.com", "aes192-ctr" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(chunks); i++) {
		for (size_t k = 0; k < SMX_ARRAY_LEN(ciphers); k++) {
			use_suite(
				"ecdh-sha2-nistp256", ciphers[k], "hmac-sha2-256", NULL, chunks[i]);
			use_suite("curve25519-sha256", ciphers[k], "hmac-sha2-512-etm@openssh.com",
				NULL, chunks[i]);
		}
		use_suite("diffie-hellman-group-exchange-sha256", "aes128-gcm@openssh.com",
			"hmac-sha2-256", NULL, chunks[i]);
	}
}

static void nothing_in_common(void **state)
{
	static const struct pair_config configs[] = {
		{ .c = { .kex = "curve25519-sha256" }, .s = { .kex = "ecdh-sha2-nistp256" } },
		{ .c = { .ciphers = "aes128-ctr" }, .s = { .ciphers = "aes256-ctr" } },
		{ .c = { .ciphers = "aes128-ctr", .macs = "hmac-sha2-256" },
			.s = { .ciphers = "aes128-ctr", .macs = "hmac-sha2-512" } },
		{ .c = { .host_key_algs = "rsa-sha2-512" }, .s = { 0 } },
		/* The marks are no algorithms, though both may have them in the list. */
		{ .c = { .kex = "kex-strict-s-v00@openssh.com,ext-info-c" },
			.s = { .kex = "ext-info-c,kex-strict-s-v00@openssh.com" } },
	};
	static const char *const what[] = { "key exchange", "cipher", "MAC", "host key",
		"key exchange" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(configs); i++) {
		struct pair p;

		assert_int_equal(pair_init(&p, &configs[i], NULL), 0);
		pair_run(&p);
		assert_int_equal(p.c.r, SMX_ENEGOTIATION);
		assert_true(p.s.r == SMX_ENEGOTIATION || p.s.r == SMX_EDISCONNECTED);
		assert_string_equal(smx_transport_reason(p.c.t), what[i]);
		assert_false(p.c.is_ready || p.s.is_ready);
		pair_release(&p);
	}
}

/* --- identification (RFC 4253 section 4.2) --- */

struct ident_case {
	const char *text; /* what is sent before the KEXINIT */
	int as_client_ok, as_server_ok; /* taken by a client; by a server */
};

/* Sends text as one side's first line(s); the exchange hash has what the last one says. */
static void try_ident(const char *text, size_t len, int from_server, int is_ok)
{
	struct pair p;
	struct side *s;
	const char *last;
	size_t n;

	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	s = from_server ? &p.s : &p.c;
	side_restart(s, NULL, 1, 0);
	s->wire_len = 0;
	for (last = text + len; last > text && last[-1] != '\n';)
		last--;
	n = strcspn(last, "\r\n");
	if (n > (size_t)(text + len - last))
		n = (size_t)(text + len - last);
	if (n > SMX_IDENT_MAX)
		n = SMX_IDENT_MAX;
	smx_free(s->t->ident_self);
	assert_non_null(s->t->ident_self = smx_strndup(last, n));
	side_inject_raw(s, text, len);
	side_inject_raw(s, "\r\n", 2);
	side_send_kexinit(s);
	pair_run(&p);
	if (is_ok) {
		assert_true(p.c.is_authed && p.s.is_authed);
		assert_string_equal(smx_transport_peer_software(s->peer->t),
			strchr(strchr(s->t->ident_self, '-') + 1, '-') + 1);
	} else {
		assert_int_equal(s->peer->r, SMX_EIDENT);
	}
	pair_release(&p);
}

static void identification(void **state)
{
	static const struct ident_case cases[] = {
		{ "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", 1, 1 },
		{ "SSH-2.0-x", 1, 1 },
		{ "SSH-1.99-Cisco-1.25", 1, 1 }, /* section 5.1 */
		{ "SSH-1.5-OpenSSH_1.2", 0, 0 },
		{ "SSH-3.0-future", 0, 0 },
		{ "SSH-2.0-", 0, 0 },
		{ "SSH-2.0", 0, 0 },
		{ "SSH-", 0, 0 },
		/* Only a server may talk first. */
		{ "Welcome\r\n\r\nno SSH-1.5- here\nSSH-2.0-x", 1, 0 },
		{ "HTTP/1.1 400 Bad Request\r\nSSH-1.5-x", 0, 0 },
		{ "GET / HTTP/1.1", -1, 0 },
	};
	char line[SMX_IDENT_MAX + 4];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].text);

		if (cases[i].as_client_ok >= 0)
			try_ident(cases[i].text, n, 1, cases[i].as_client_ok);
		try_ident(cases[i].text, n, 0, cases[i].as_server_ok);
	}
	try_ident("SSH-2.0-a\0b", 11, 1, 0);
	/* A16: 8192 bytes with CR LF are allowed, as OpenSSH does, 8193 are not. */
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	memcpy(line, "SSH-2.0-", 8);
	for (int from_server = 0; from_server < 2; from_server++) {
		try_ident(line, SMX_IDENT_MAX - 2, from_server, 1);
		try_ident(line, SMX_IDENT_MAX - 1, from_server, 0);
		try_ident(line, SMX_IDENT_MAX + 3, from_server, 0);
	}
}

/* A server that never stops greeting is left before it costs memory. */
static void endless_banner(void **state)
{
	/* A16: OpenSSH's limits, 1024 lines of 8 KiB each. */
	static const struct {
		const char *text;
		size_t least, most;
	} rows[] = { { "hello\r\n", 1024 * 7, 1024 * 7 }, { "\n", 1024, 1024 },
		{ "a line that has no end ", 8192, 8192 + 23 } };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(rows); i++) {
		struct pair p;
		size_t sent = 0;

		assert_int_equal(pair_init(&p, NULL, NULL), 0);
		side_restart(&p.s, NULL, 1, 0);
		p.s.wire_len = 0;
		while (p.c.r == 0 && sent < 100000) {
			side_inject_raw(&p.s, rows[i].text, strlen(rows[i].text));
			sent += strlen(rows[i].text);
			pair_run(&p);
		}
		assert_int_equal(p.c.r, SMX_EIDENT);
		assert_in_range(sent, rows[i].least, rows[i].most);
		pair_release(&p);
	}
}

/* Also where the identification comes in the end, and all of it in one piece. */
static void a_banner_that_is_too_long(void **state)
{
	static const char ident[] = "SSH-2.0-x\r\n";
	static char text[17000 + sizeof(ident)];
	struct pair p;

	(void)state;
	for (size_t i = 0; i < 17000; i++)
		text[i] = i % 10 == 9 ? '\n' : 'b';
	memcpy(text + 17000, ident, sizeof(ident));
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	side_restart(&p.s, NULL, 1, 0);
	p.s.wire_len = 0;
	side_inject_raw(&p.s, text, strlen(text));
	pair_run(&p);
	assert_int_equal(p.c.r, SMX_EIDENT);
	pair_release(&p);
}

/* --- strict kex (OpenSSH PROTOCOL 1.10) and its violations --- */

static const uint8_t ignore_msg[] = { SMX_MSG_IGNORE, 0, 0, 0, 1, 'x' };
static const uint8_t debug_msg[] = { SMX_MSG_DEBUG, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
static const uint8_t unimplemented_msg[] = { SMX_MSG_UNIMPLEMENTED, 0, 0, 0, 0 };

static void before_kexinit(int from_server, int with_marks, const uint8_t *msg, size_t n)
{
	struct pair p;
	struct side *s, *other;

	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	s = from_server ? &p.s : &p.c;
	other = s->peer;
	side_restart(s, NULL, with_marks, 0);
	if (!with_marks)
		side_restart(other, NULL, with_marks, 0);
	if (!with_marks)
		side_send_kexinit(other);
	side_inject(s, msg, n);
	side_send_kexinit(s);
	pair_run(&p);
	if (with_marks) {
		assert_int_equal(other->r, SMX_EUNEXPECTED);
		assert_false(p.c.is_ready || p.s.is_ready);
	} else {
		assert_true(p.c.is_authed && p.s.is_authed);
		assert_false(smx_transport_is_strict(p.c.t) || smx_transport_is_strict(p.s.t));
		/* Without strict kex sequence numbers run on. */
		assert_true(p.s.t->pk.tx_seq > 4 && p.c.t->pk.tx_seq > 4);
	}
	pair_release(&p);
}

static void strict_kexinit_comes_first(void **state)
{
	(void)state;
	for (int from_server = 0; from_server < 2; from_server++) {
		for (int strict = 0; strict < 2; strict++) {
			before_kexinit(from_server, strict, ignore_msg, sizeof(ignore_msg));
			before_kexinit(from_server, strict, debug_msg, sizeof(debug_msg));
			before_kexinit(
				from_server, strict, unimplemented_msg, sizeof(unimplemented_msg));
		}
	}
}

static void strict_nothing_between(void **state)
{
	static const uint8_t types[] = { 0, 2, 3, 4, 5, 6, 7, 8, 19, 20, 22, 29, 32, 33, 34, 49, 50,
		60, 80, 90, 94, 100, 192, 193, 255 };
	uint8_t msg[16] = { 0 };

	(void)state;
	for (int from_server = 0; from_server < 2; from_server++) {
		for (size_t i = 0; i < SMX_ARRAY_LEN(types); i++) {
			struct pair p;
			struct side *s;

			assert_int_equal(pair_init(&p, NULL, NULL), 0);
			s = from_server ? &p.s : &p.c;
			msg[0] = types[i];
			side_inject(s, msg, sizeof(msg)); /* behind its KEXINIT */
			pair_run(&p);
			assert_int_equal(s->peer->r, SMX_EUNEXPECTED);
			assert_false(s->peer->is_ready);
			assert_int_equal(s->peer->n_packets, 0);
			pair_release(&p);
		}
	}
}

/* Not even without strict kex does anything but 1 to 4 and the key exchange get through. */
static void nothing_of_higher_layers_before_newkeys(void **state)
{
	(void)state;
	for (int from_server = 0; from_server < 2; from_server++) {
		for (int type = 0; type < 256; type++) {
			uint8_t msg[16] = { (uint8_t)type };
			struct pair p;
			struct side *s;

			assert_int_equal(pair_init(&p, NULL, NULL), 0);
			s = from_server ? &p.s : &p.c;
			side_restart(&p.c, NULL, 0, 0);
			side_restart(&p.s, NULL, 0, 0);
			side_inject(s, msg, sizeof(msg));
			pair_run(&p);
			if (type == SMX_MSG_DISCONNECT)
				assert_int_equal(s->peer->r, SMX_EDISCONNECTED);
			else if (type >= 2 && type <= 4)
				assert_int_equal(s->peer->r, 0);
			else
				assert_true(s->peer->r < 0);
			assert_int_equal(s->peer->n_packets, 0);
			pair_release(&p);
		}
	}
}

/* Without strict kex messages in the clear are bounded: sequence numbers can't be moved far. */
static void flood_in_the_clear(void **state)
{
	struct pair p;
	int sent = 0;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	side_restart(&p.s, NULL, 0, 0);
	while (p.c.r == 0 && sent < 10000) {
		side_inject(&p.s, ignore_msg, sizeof(ignore_msg));
		pair_run(&p);
		sent++;
	}
	assert_int_equal(p.c.r, SMX_EUNEXPECTED);
	assert_in_range(sent, 10, 1000);
	pair_release(&p);
}

/* The bytes of one packet in the clear. */
static size_t clear_bytes(struct pair *p, const void *payload, size_t n, uint8_t out[64])
{
	struct smx_view part = { payload, n };
	struct smx_packets forge;
	struct smx_tx_block *b;
	size_t len;

	smx_packets_init(&forge, &p->pool);
	assert_int_equal(smx_packets_send(&forge, &part, 1), 0);
	b = smx_packets_tx_take(&forge);
	len = b->len;
	memcpy(out, b->data, len);
	smx_packets_tx_free(&forge, b);
	smx_packets_release(&forge);
	return len;
}

/*
 * The prefix truncation attack (Terrapin): an IGNORE goes in in the clear, so that the first
 * packet under the keys can go missing without the numbers telling. Strict kex sees the first
 * half; without that half the second breaks the MAC.
 */
static void prefix_truncation(void **state)
{
	static const char *const ciphers[] = { "chacha20-poly1305@openssh.com",
		"aes128-gcm@openssh.com", "aes128-ctr" };
	uint8_t ignore[64];
	struct pair p;
	size_t n;

	(void)state;
	for (size_t i = 0; i < 2 * SMX_ARRAY_LEN(ciphers); i++) {
		int insert = i % 2;
		struct smx_transport_config one = { .ciphers = ciphers[i / 2],
			.macs = "hmac-sha2-256-etm@openssh.com" };
		struct pair_config config = { one, one };

		assert_int_equal(pair_init(&p, &config, NULL), 0);
		p.c.no_layers = p.s.no_layers = 1;
		side_take(&p.s);
		if (insert) {
			n = clear_bytes(&p, ignore_msg, sizeof(ignore_msg), ignore);
			side_inject_raw(&p.s, ignore, n);
		}
		while (p.c.r == 0 && !p.s.t->sent_newkeys) {
			side_deliver(&p.c);
			if (!p.s.t->sent_newkeys)
				side_deliver(&p.s);
		}
		if (insert) {
			assert_int_equal(p.c.r, SMX_EUNEXPECTED);
			pair_release(&p);
			continue;
		}
		/* EXT_INFO answers the client's NEWKEYS: the client's TCP must not be kept waiting.
		 */
		assert_int_equal(p.s.t->pk.tx_seq, 0);
		while (p.c.r == 0 && p.s.r == 0 && p.s.t->n_kex == 0) {
			side_deliver(&p.s);
			side_deliver(&p.c);
		}
		/* Cut EXT_INFO off: all that the server has written under its keys. */
		assert_int_equal(p.s.t->pk.tx_seq, 1);
		n = (size_t)p.s.t->pk.tx_bytes;
		side_take(&p.s);
		assert_in_range(n, 16, p.s.wire_len);
		p.s.wire_len -= n;
		side_inject(&p.s, ignore_msg, sizeof(ignore_msg));
		pair_run(&p);
		/* The next packet does not verify; with chacha20 not even its length makes sense.
		 */
		if (i / 2 == 0)
			assert_true(
				p.c.r == SMX_EMAC || p.c.r == SMX_ETOOBIG || p.c.r == SMX_EFORMAT);
		else
			assert_int_equal(p.c.r, SMX_EMAC);
		pair_release(&p);
	}
}

/* Strict kex: numbers begin anew with each NEWKEYS, in both directions, on rekeys too. */
static void sequence_numbers_reset(void **state)
{
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.c.no_layers = p.s.no_layers = 1;
	pair_run(&p);
	assert_int_equal(p.c.t->pk.tx_seq, 0);
	assert_int_equal(p.s.t->pk.tx_seq, 1); /* EXT_INFO */
	assert_int_equal(p.c.t->pk.rx_seq, 1);
	for (int i = 0; i < 3; i++) {
		side_inject(&p.c, ignore_msg, sizeof(ignore_msg));
		pair_run(&p);
		assert_int_equal(p.s.t->pk.rx_seq, 1);
		assert_int_equal(smx_transport_rekey(p.c.t), 0);
		pair_run(&p);
		assert_int_equal(p.c.t->pk.tx_seq + p.s.t->pk.rx_seq, 0);
		assert_int_equal(p.s.t->pk.tx_seq + p.c.t->pk.rx_seq, 0);
		assert_int_equal(smx_transport_n_kex(p.s.t), 2 + (uint64_t)i);
	}
	assert_int_equal(p.c.r | p.s.r, 0);
	pair_release(&p);
}

/* --- first_kex_packet_follows (RFC 4253 section 7) --- */

static void guess(int from_server, int is_right, const char *kex)
{
	static const uint8_t wrong[40] = { SMX_MSG_KEX_INIT, 0, 0, 0, 4, 1, 2, 3, 4 };
	struct pair_config config = { .c = { .kex = kex }, .s = { .kex = kex } };
	struct pair p;
	struct side *s;

	/* The guesser's first name differs from the other's: wrong whatever is chosen. */
	if (!is_right && from_server)
		config.s.kex = "ecdh-sha2-nistp521,curve25519-sha256,diffie-hellman-group-exchange-"
			       "sha256";
	else if (!is_right)
		config.s.kex = "curve25519-sha256,diffie-hellman-group-exchange-sha256";
	if (!is_right && !from_server)
		config.c.kex = "ecdh-sha2-nistp521,curve25519-sha256,diffie-hellman-group-exchange-"
			       "sha256";
	assert_int_equal(pair_init(&p, &config, NULL), 0);
	s = from_server ? &p.s : &p.c;
	side_restart(s, NULL, 1, 1);
	side_send_kexinit(s);
	if (!is_right)
		side_inject(s, wrong, sizeof(wrong));
	pair_login(&p);
	pair_release(&p);
}

static void guesses(void **state)
{
	(void)state;
	guess(0, 1, "curve25519-sha256");
	guess(0, 1, "diffie-hellman-group-exchange-sha256");
	guess(0, 0, "curve25519-sha256");
	guess(1, 0, "curve25519-sha256");
	guess(1, 0, "diffie-hellman-group-exchange-sha256");
}

/*
 * B13: the client's own guess. Its first message of the exchange is out before the server has said a
 * word, and there is no second one if the guess was right.
 */
static void own_guess(
	const char *kex, const char *host_key, const char *server_kex, int is_right, int is_slow)
{
	struct pair_config config = {
		.c = { .guess_kex = kex, .guess_host_key = host_key, .is_all_work_slow = is_slow },
		.s = { .kex = server_kex },
	};
	struct pair p;

	assert_int_equal(pair_init(&p, &config, NULL), 0);
	p.c.no_layers = p.s.no_layers = 1;
	side_events(&p.c);
	assert_int_equal(p.c.t->pk.tx_packets, 2);
	assert_false(smx_transport_awaits_guess(p.c.t));
	(void)side_deliver(&p.s); /* its KEXINIT */
	assert_true(smx_transport_awaits_guess(p.c.t));
	side_events(&p.c);
	assert_int_equal(p.c.t->pk.tx_packets, is_right ? 2 : 3);
	pair_run(&p);
	assert_int_equal(p.c.r | p.s.r, 0);
	assert_int_equal(smx_transport_n_kex(p.c.t), 1);
	assert_string_equal(smx_transport_algs(p.c.t)->peer_host_key, "ssh-ed25519");
	assert_string_equal(smx_transport_algs(p.c.t)->peer_kex->name, server_kex);
	assert_false(smx_transport_awaits_guess(p.c.t));
	assert_int_equal(smx_transport_rekey(p.c.t), 0); /* in which nothing is guessed */
	pair_run(&p);
	assert_int_equal(smx_transport_n_kex(p.c.t), 2);
	pair_release(&p);
}

static void b13_own_guesses(void **state)
{
	static const char *const odd[][2] = { { "no-such-kex", "ssh-ed25519" },
		{ "curve25519-sha256", "no-such-key" },
		{ "diffie-hellman-group-exchange-sha256", "ssh-ed25519" },
		{ "curve25519-sha256", NULL }, { NULL, "ssh-ed25519" } };

	(void)state;
	for (int slow = 0; slow < 2; slow++) {
		own_guess("curve25519-sha256", "ssh-ed25519", "curve25519-sha256", 1, slow);
		own_guess("ecdh-sha2-nistp521", "ssh-ed25519", "ecdh-sha2-nistp521", 1, slow);
		/* The other's first is another one, of either list. */
		own_guess("curve25519-sha256", "ssh-ed25519", "ecdh-sha2-nistp521", 0, slow);
		own_guess("curve25519-sha256", "rsa-sha2-512", "curve25519-sha256", 0, slow);
	}
	/* What can't be guessed is not. */
	for (size_t i = 0; i < SMX_ARRAY_LEN(odd); i++) {
		struct pair_config config = {
			.c = { .guess_kex = odd[i][0], .guess_host_key = odd[i][1] },
		};
		struct pair p;

		assert_int_equal(pair_init(&p, &config, NULL), 0);
		assert_int_equal(p.c.t->pk.tx_packets, 1);
		pair_login(&p);
		pair_release(&p);
	}
}

/* --- EXT_INFO (RFC 8308) --- */

static void ext_info(void **state)
{
	static const uint8_t changed[] = { SMX_MSG_EXT_INFO, 0, 0, 0, 1, 0, 0, 0, 15, 's', 'e', 'r',
		'v', 'e', 'r', '-', 's', 'i', 'g', '-', 'a', 'l', 'g', 's', 0, 0, 0, 1, 'x' };
	static const uint8_t huge[] = { SMX_MSG_EXT_INFO, 0xff, 0xff, 0xff, 0xff };
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	pair_login(&p);
	assert_non_null(strstr(smx_transport_server_sig_algs(p.c.t), "rsa-sha2-256"));
	assert_string_equal(smx_transport_server_sig_algs(p.s.t), "");
	/* After the login it is too late. */
	side_inject(&p.s, changed, sizeof(changed));
	pair_run(&p);
	assert_int_equal(p.c.r, 0);
	assert_null(strstr(smx_transport_server_sig_algs(p.c.t), "x,"));
	assert_non_null(strstr(smx_transport_server_sig_algs(p.c.t), "rsa-sha2-256"));
	pair_release(&p);

	/* Before it, and twice. */
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.c.no_layers = p.s.no_layers = 1;
	pair_run(&p);
	side_inject(&p.s, changed, sizeof(changed));
	pair_run(&p);
	assert_string_equal(smx_transport_server_sig_algs(p.c.t), "x");
	side_inject(&p.s, huge, sizeof(huge));
	pair_run(&p);
	assert_int_equal(p.c.r, SMX_ETOOBIG);
	pair_release(&p);
}

/* --- host keys --- */

static void refused_host_key(void **state)
{
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.c.host_key_verdict = SMX_EHOSTKEY;
	pair_run(&p);
	assert_int_equal(p.c.r, SMX_EHOSTKEY);
	assert_int_equal(p.s.r, SMX_EDISCONNECTED);
	assert_string_equal(smx_transport_reason(p.s.t), "host key rejected");
	/* The server has not seen a single message of the login. */
	assert_int_equal(p.s.n_packets, 0);
	pair_release(&p);
}

/* While the key is judged nothing is sent and nothing else is given out; bytes wait. */
static void slow_host_key_verdict(void **state)
{
	struct smx_view hello = smx_view_of("\x05\0\0\0\0", 5);
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.c.defer_host_key = 1;
	pair_run(&p);
	assert_int_equal(p.c.host_keys_asked, 1);
	assert_false(p.c.is_ready);
	assert_true(smx_transport_is_waiting(p.c.t));
	assert_false(smx_transport_can_send(p.c.t));
	assert_int_equal(smx_transport_rekey(p.c.t), SMX_ESTATE);
	/* A flood from the server fills the block and stops there. */
	for (int i = 0; i < 20000; i++)
		side_inject(&p.s, ignore_msg, sizeof(ignore_msg));
	pair_run(&p);
	assert_true(p.s.wire_len > 0);
	assert_int_equal(p.c.r, 0);
	/* What is sent now waits for the verdict. */
	assert_int_equal(smx_transport_send(p.c.t, &hello, 1), 0);
	pair_run(&p);
	assert_int_equal(p.s.n_packets, 0);
	smx_transport_host_key_decided(p.c.t, 0);
	assert_true(smx_transport_can_send(p.c.t));
	pair_run(&p);
	assert_true(p.c.is_ready);
	assert_int_equal(p.s.wire_len, 0);
	assert_true(p.s.n_packets > 0); /* it came, refused as a service nobody has */
	assert_int_equal(p.s.r, SMX_EUNEXPECTED);
	pair_release(&p);
}

static void host_key_of_a_rekey_must_be_the_first(void **state)
{
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	pair_login(&p);
	p.s.t->host_key = pair_key(2);
	assert_int_equal(smx_transport_rekey(p.s.t), 0);
	pair_run(&p);
	assert_int_equal(p.c.r, SMX_EHOSTKEY);
	assert_int_equal(p.c.host_keys_asked, 1);
	pair_release(&p);
}

static struct smx_buf shown_blob, other_blob;

static void swap_blob(struct side *s, uint8_t *p, size_t n, uint64_t at)
{
	size_t len = smx_buf_len(&shown_blob);

	(void)s;
	(void)at;
	for (size_t i = 0; i + len <= n; i++)
		if (memcmp(p + i, smx_buf_view(&shown_blob), len) == 0)
			memcpy(p + i, smx_buf_view(&other_blob), len);
}

/* A server that shows one key and signs with another. */
static void signature_by_another_key(void **state)
{
	struct pair p;

	(void)state;
	smx_buf_init(&shown_blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&other_blob, SMX_KEY_BLOB_MAX);
	assert_int_equal(smx_key_to_blob(pair_key(0), &shown_blob), 0);
	assert_int_equal(smx_key_to_blob(pair_key(2), &other_blob), 0);
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.s.tamper = swap_blob;
	pair_run(&p);
	assert_int_equal(p.c.r, SMX_ESIGNATURE);
	assert_int_equal(p.c.host_keys_asked, 0);
	pair_release(&p);
	smx_buf_release(&shown_blob);
	smx_buf_release(&other_blob);
}

/* --- DISCONNECT --- */

/* What it says is kept for people, cut to size; the terminal's safety is the shower's (A7). */
static void hostile_disconnect_text(void **state)
{
	uint8_t msg[2000] = { SMX_MSG_DISCONNECT, 0, 0, 0, 2 };
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	pair_login(&p);
	smx_set_u32(msg + 5, 1900);
	memset(msg + 9, '\x1b', 1900);
	side_inject(&p.s, msg, sizeof(msg));
	pair_run(&p);
	assert_int_equal(p.c.r, SMX_EDISCONNECTED);
	assert_int_equal(strlen(smx_transport_reason(p.c.t)), REASON_SIZE - 1);
	pair_release(&p);

	/* A length that lies, or nothing at all: a DISCONNECT all the same. */
	for (size_t n = 1; n < 12; n++) {
		assert_int_equal(pair_init(&p, NULL, NULL), 0);
		side_inject(&p.c, msg, n);
		pair_run(&p);
		assert_int_equal(p.s.r, SMX_EDISCONNECTED);
		assert_string_equal(smx_transport_reason(p.s.t), "");
		pair_release(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_suite),
		cmocka_unit_test(every_host_key_type),
		cmocka_unit_test(any_piece_size),
		cmocka_unit_test(nothing_in_common),
		cmocka_unit_test(identification),
		cmocka_unit_test(endless_banner),
		cmocka_unit_test(a_banner_that_is_too_long),
		cmocka_unit_test(strict_kexinit_comes_first),
		cmocka_unit_test(strict_nothing_between),
		cmocka_unit_test(nothing_of_higher_layers_before_newkeys),
		cmocka_unit_test(flood_in_the_clear),
		cmocka_unit_test(prefix_truncation),
		cmocka_unit_test(sequence_numbers_reset),
		cmocka_unit_test(guesses),
		cmocka_unit_test(b13_own_guesses),
		cmocka_unit_test(ext_info),
		cmocka_unit_test(refused_host_key),
		cmocka_unit_test(slow_host_key_verdict),
		cmocka_unit_test(host_key_of_a_rekey_must_be_the_first),
		cmocka_unit_test(signature_by_another_key),
		cmocka_unit_test(hostile_disconnect_text),
	};

	return cmocka_run_group_tests(tests, NULL, pair_teardown);
}
