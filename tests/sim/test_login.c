/* SPDX-License-Identifier: MIT */
/*
 * Logins of a client of ours at a server of ours: L2 (publickey only), L5 (key types), N1 (messages
 * from 80 up before the login, a server's authentication messages from a client), N3 (a key other
 * than the one that signed, a changed user name).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "util_pair.h"

static void L2_publickey_is_the_only_method(void **state)
{
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.n_probe = 0; /* it gives up when asked to choose */
	pair_run(&p);
	assert_int_equal(p.c.r, SMX_EDENIED);
	assert_string_equal(p.c.ac.methods, "publickey");
	assert_false(p.s.is_authed || p.s.as.is_done);
	pair_release(&p);
}

static void L5_every_key_type_logs_in(void **state)
{
	static const char *const files[] = { "ed25519", "ecdsa_256", "ecdsa_384", "ecdsa_521",
		"rsa_2048" };
	char fingerprint[SMX_FINGERPRINT_SIZE];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(files); i++) {
		for (int sha256 = 0; sha256 < (i == 4 ? 2 : 1); sha256++) {
			struct smx_key *key = pair_key_file(files[i]);
			struct pair p;

			assert_int_equal(pair_init(&p, NULL, NULL), 0);
			p.probe[0] = key;
			p.sigalg = sha256 ? "rsa-sha2-256" : NULL;
			p.chunk = 1 + i;
			pair_authorise(&p, key);
			pair_login(&p);
			assert_string_equal(p.s.as.user, "route");
			assert_int_equal(
				smx_blob_fingerprint((struct smx_view){ smx_buf_view(&p.authorised),
							     smx_buf_len(&p.authorised) },
					fingerprint),
				0);
			assert_string_equal(p.s.as.fingerprint, fingerprint);
			pair_release(&p);
			smx_key_free(key);
		}
	}
}

static void an_unknown_key_is_refused(void **state)
{
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.probe[0] = pair_key(2);
	pair_run(&p);
	assert_int_equal(p.c.r, SMX_EDENIED);
	assert_false(p.s.is_authed);
	pair_release(&p);
	/* Nobody at all may log in. */
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	pair_authorise(&p, NULL);
	pair_run(&p);
	assert_int_equal(p.c.r, SMX_EDENIED);
	pair_release(&p);
}

static void the_right_key_after_wrong_ones(void **state)
{
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.probe[0] = pair_key(2);
	p.probe[1] = pair_key(3);
	p.probe[2] = pair_key(1);
	p.n_probe = 3;
	pair_login(&p);
	pair_release(&p);
}

/* The key in the request is the authorised one, the signature is another's. */
static void signature_by_another_key(void **state)
{
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	p.sign[0] = pair_key(2);
	pair_run(&p);
	assert_int_equal(p.c.r, SMX_EDENIED);
	assert_false(p.s.is_authed || p.s.as.is_done);
	pair_release(&p);
}

/* --- messages made by hand --- */

static void put_request(struct smx_buf *b, const char *user, const char *service)
{
	assert_int_equal(smx_put_u8(b, SMX_MSG_USERAUTH_REQUEST), 0);
	assert_int_equal(smx_put_cstr(b, user), 0);
	assert_int_equal(smx_put_cstr(b, service), 0);
	assert_int_equal(smx_put_cstr(b, "publickey"), 0);
}

/*
 * A publickey request whose parts may contradict each other: the signature is by `signer`
 * over what a request for (sign_user, sign_blob) would be.
 */
static void forged_request(struct pair *p, const char *user, const char *sign_user,
	const struct smx_key *key, const struct smx_key *sign_blob, const struct smx_key *signer,
	struct smx_view session_id)
{
	struct smx_buf msg, data, blob, other, sig;
	struct smx_view alg = smx_view_of("ssh-ed25519", 11);

	smx_buf_init(&msg, SMX_AUTH_MSG_MAX);
	smx_buf_init(&data, SMX_AUTH_MSG_MAX);
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&other, SMX_KEY_BLOB_MAX);
	smx_buf_init(&sig, SMX_SIG_MAX);
	assert_int_equal(smx_key_to_blob(key, &blob), 0);
	assert_int_equal(smx_key_to_blob(sign_blob, &other), 0);
	assert_int_equal(
		smx_auth_put_pubkey_request(&data, session_id,
			&(struct smx_auth_pubkey){
				.user = sign_user, .alg = alg, .blob = smx_buf_as_view(&other) }),
		0);
	assert_int_equal(
		smx_key_sign(signer, "ssh-ed25519",
			(struct smx_view){ smx_buf_view(&data), smx_buf_len(&data) }, &sig),
		0);
	put_request(&msg, user, "ssh-connection");
	assert_int_equal(smx_put_bool(&msg, 1), 0);
	assert_int_equal(smx_put_view(&msg, alg), 0);
	assert_int_equal(smx_put_string(&msg, smx_buf_view(&blob), smx_buf_len(&blob)), 0);
	assert_int_equal(smx_put_string(&msg, smx_buf_view(&sig), smx_buf_len(&sig)), 0);
	side_inject(&p->c, smx_buf_view(&msg), smx_buf_len(&msg));
	smx_buf_release(&msg);
	smx_buf_release(&data);
	smx_buf_release(&blob);
	smx_buf_release(&other);
	smx_buf_release(&sig);
}

/* Both ready and the service accepted; the client says nothing by itself from here on. */
static void start_auth(struct pair *p)
{
	static const uint8_t service[] = "\x05\0\0\0\x0cssh-userauth";

	assert_int_equal(pair_init(p, NULL, NULL), 0);
	p->c.no_layers = 1;
	pair_run(p);
	side_inject(&p->c, service, sizeof(service) - 1);
	pair_run(p);
	assert_int_equal(p->s.r, 0);
	assert_int_equal(p->c.last[0], SMX_MSG_SERVICE_ACCEPT);
	/* The client takes what its server says, as after SERVICE_ACCEPT. */
	smx_transport_set_phase(p->c.t, SMX_PHASE_AUTH);
}

static void forged_requests(void **state)
{
	struct pair p;
	uint8_t other_id[32] = { 1 };

	(void)state;
	for (int i = 0; i < 6; i++) {
		struct smx_view id;

		start_auth(&p);
		id = smx_transport_session_id(p.c.t);
		switch (i) {
		case 0: /* all right: this way of making it works */
			forged_request(&p, "u", "u", pair_key(1), pair_key(1), pair_key(1), id);
			break;
		case 1: /* signed for another user */
			forged_request(&p, "u", "v", pair_key(1), pair_key(1), pair_key(1), id);
			break;
		case 2: /* the authorised key named, another signs for itself */
			forged_request(&p, "u", "u", pair_key(1), pair_key(2), pair_key(2), id);
			break;
		case 3: /* the other way round */
			forged_request(&p, "u", "u", pair_key(2), pair_key(1), pair_key(1), id);
			break;
		case 4: /* of another connection */
			forged_request(&p, "u", "u", pair_key(1), pair_key(1), pair_key(1),
				(struct smx_view){ other_id, sizeof(other_id) });
			break;
		case 5: /* no session id at all */
			forged_request(&p, "u", "u", pair_key(1), pair_key(1), pair_key(1),
				(struct smx_view){ NULL, 0 });
			break;
		}
		pair_run(&p);
		assert_int_equal(p.s.r, 0);
		assert_int_equal(p.s.as.is_done, i == 0);
		assert_int_equal(
			p.c.last[0], i == 0 ? SMX_MSG_USERAUTH_SUCCESS : SMX_MSG_USERAUTH_FAILURE);
		pair_release(&p);
	}
}

static void put_none(struct pair *p, const char *method, const char *tail)
{
	struct smx_buf msg;

	smx_buf_init(&msg, SMX_AUTH_MSG_MAX);
	assert_int_equal(smx_put_u8(&msg, SMX_MSG_USERAUTH_REQUEST), 0);
	assert_int_equal(smx_put_cstr(&msg, "u"), 0);
	assert_int_equal(smx_put_cstr(&msg, "ssh-connection"), 0);
	assert_int_equal(smx_put_cstr(&msg, method), 0);
	assert_int_equal(smx_buf_put_str(&msg, tail), 0);
	side_inject(&p->c, smx_buf_view(&msg), smx_buf_len(&msg));
	smx_buf_release(&msg);
	pair_run(p);
}

/* D2: "none" will do for whom the carrier has told who is there, and for nobody else. */
static void D2_no_key_only_for_the_trusted(void **state)
{
	struct pair p;

	(void)state;
	for (int is_trusted = 0; is_trusted < 2; is_trusted++) {
		start_auth(&p);
		p.s.as.is_trusted = is_trusted;
		/* Not what looks like it. */
		put_none(&p, "none", "x");
		put_none(&p, "nonesuch", "");
		put_none(&p, "", "");
		assert_false(p.s.as.is_done);
		assert_int_equal(p.c.last[0], SMX_MSG_USERAUTH_FAILURE);
		put_none(&p, "none", "");
		assert_int_equal(p.s.r, 0);
		assert_int_equal(p.s.as.is_done, is_trusted);
		assert_int_equal(p.c.last[0],
			is_trusted ? SMX_MSG_USERAUTH_SUCCESS : SMX_MSG_USERAUTH_FAILURE);
		assert_int_equal(smx_transport_get_phase(p.s.t),
			is_trusted ? SMX_PHASE_CONNECTION : SMX_PHASE_AUTH);
		pair_release(&p);
	}
}

static void a_changed_user_ends_it(void **state)
{
	struct pair p;

	(void)state;
	start_auth(&p);
	forged_request(&p, "alice", "alice", pair_key(2), pair_key(2), pair_key(2),
		smx_transport_session_id(p.c.t));
	pair_run(&p);
	assert_int_equal(p.s.r, 0);
	forged_request(&p, "bob", "bob", pair_key(1), pair_key(1), pair_key(1),
		smx_transport_session_id(p.c.t));
	pair_run(&p);
	assert_int_equal(p.s.r, SMX_EDENIED);
	assert_false(p.s.as.is_done);
	pair_release(&p);
}

/* A probe of an authorised key grants nothing to the request that follows. */
static void a_probe_authorises_nothing(void **state)
{
	struct smx_buf msg, blob;
	struct pair p;

	(void)state;
	smx_buf_init(&msg, SMX_AUTH_MSG_MAX);
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	start_auth(&p);
	assert_int_equal(smx_key_to_blob(pair_key(1), &blob), 0);
	assert_int_equal(
		smx_auth_put_pubkey_probe(&msg, &(struct smx_auth_pubkey){ .user = "u",
							.alg = smx_view_of("ssh-ed25519", 11),
							.blob = smx_buf_as_view(&blob) }),
		0);
	side_inject(&p.c, smx_buf_view(&msg), smx_buf_len(&msg));
	pair_run(&p);
	assert_int_equal(p.c.last[0], SMX_MSG_USERAUTH_PK_OK);
	/* Its own, unauthorised key signs. */
	forged_request(&p, "u", "u", pair_key(2), pair_key(2), pair_key(2),
		smx_transport_session_id(p.c.t));
	pair_run(&p);
	assert_int_equal(p.c.last[0], SMX_MSG_USERAUTH_FAILURE);
	assert_false(p.s.as.is_done);
	smx_buf_release(&msg);
	smx_buf_release(&blob);
	pair_release(&p);
}

static void attempts_are_counted(void **state)
{
	static const char *const methods[] = { "publickey", "none", "password" };
	struct smx_buf msg;
	struct pair p;
	int n;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(methods); i++) {
		start_auth(&p);
		for (n = 0; p.s.r == 0 && n < 1000; n++) {
			if (i == 0) {
				forged_request(&p, "u", "u", pair_key(2), pair_key(2), pair_key(2),
					smx_transport_session_id(p.c.t));
			} else {
				smx_buf_init(&msg, SMX_AUTH_MSG_MAX);
				if (i == 1)
					assert_int_equal(smx_auth_put_none(&msg, "u"), 0);
				else
					assert_int_equal(smx_auth_put_password(
								 &msg, "u", smx_view_of("x", 1)),
						0);
				side_inject(&p.c, smx_buf_view(&msg), smx_buf_len(&msg));
				smx_buf_release(&msg);
			}
			pair_run(&p);
		}
		assert_int_equal(p.s.r, SMX_EDENIED);
		assert_int_equal(n, SMX_AUTH_ATTEMPTS_MAX + 1);
		assert_int_equal(p.c.r, SMX_EDISCONNECTED);
		pair_release(&p);
	}
}

/* Every message number, from either side, at each stage of a login. */
static void wrong_messages_at_each_stage(void **state)
{
	(void)state;
	for (int stage = 0; stage < 3; stage++) {
		for (int from_server = 0; from_server < 2; from_server++) {
			for (int type = 0; type < 256; type++) {
				uint8_t msg[32] = { (uint8_t)type };
				struct pair p;
				struct side *s, *to;

				if (stage < 2) {
					/* 0: keys are there; 1: the service is accepted too */
					start_auth(&p);
					if (stage == 0) {
						pair_release(&p);
						assert_int_equal(pair_init(&p, NULL, NULL), 0);
						p.c.no_layers = 1;
						pair_run(&p);
					}
				} else {
					assert_int_equal(pair_init(&p, NULL, NULL), 0);
					pair_login(&p);
				}
				s = from_server ? &p.s : &p.c;
				to = s->peer;
				/* The client's own layer judges what the server sends. */
				if (stage == 1 && from_server) {
					assert_int_equal(
						smx_auth_client_init(&p.c.ac, p.c.t, "u"), 0);
					p.c.ac.wait = SMX_AUTH_WAIT_CHOICE;
					p.c.has_auth = 1;
					p.c.no_layers = 0;
				}
				to->n_packets = 0;
				side_inject(s, msg, sizeof(msg));
				pair_run(&p);
				/* No login came of it, and nothing of a later phase got through. */
				if (stage < 2)
					assert_false(p.s.is_authed || p.c.is_authed);
				if (stage < 2 && type >= SMX_MSG_GLOBAL_REQUEST &&
					type != SMX_MSG_PING && type != SMX_MSG_PONG) {
					assert_int_equal(to->r, SMX_EUNEXPECTED);
					assert_int_equal(to->n_packets, 0);
				}
				if (stage == 0 && type >= SMX_MSG_USERAUTH_REQUEST &&
					type < SMX_MSG_GLOBAL_REQUEST) {
					assert_int_equal(to->r, SMX_EUNEXPECTED);
					assert_int_equal(to->n_packets, 0);
				}
				/* Server-side messages from a client, and the reverse. */
				if (stage == 1 && !from_server && type > SMX_MSG_USERAUTH_REQUEST &&
					type < SMX_MSG_GLOBAL_REQUEST)
					assert_int_equal(to->r, SMX_EUNEXPECTED);
				if (stage == 1 && from_server &&
					(type == SMX_MSG_USERAUTH_REQUEST ||
						type == SMX_MSG_USERAUTH_INFO_RESPONSE))
					assert_int_equal(to->r, SMX_EUNEXPECTED);
				/* U2: dropped after the login, whoever says it. */
				if (stage == 2 && type >= SMX_MSG_USERAUTH_REQUEST &&
					type < SMX_MSG_GLOBAL_REQUEST) {
					assert_int_equal(to->r, 0);
					assert_int_equal(to->n_packets, 0);
				}
				pair_release(&p);
			}
		}
	}
}

/* RFC 4253 section 11.4: what nobody knows is answered, with its number, and harms nothing. */
static void unknown_messages_are_answered(void **state)
{
	static const uint8_t types[] = { 0, 8, 19, 83, 89, 101, 127, 191, 194, 255 };
	struct pair p;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	pair_login(&p);
	for (size_t i = 0; i < SMX_ARRAY_LEN(types); i++) {
		uint64_t before = p.c.t->pk.rx_packets;

		side_inject(&p.c, &types[i], 1);
		pair_run(&p);
		assert_int_equal(p.s.r | p.c.r, 0);
		assert_int_equal(p.c.t->pk.rx_packets, before + 1);
	}
	assert_int_equal(smx_conn_keepalive(&p.c.conn), 0);
	pair_run(&p);
	assert_int_equal(p.c.n_pongs, 1);
	pair_release(&p);
}

/* Our own mistakes are stopped where they are made. */
static void nothing_of_channels_is_sent_before_the_login(void **state)
{
	static const uint8_t global[] = { SMX_MSG_GLOBAL_REQUEST, 0, 0, 0, 1, 'x', 1 };
	struct smx_view part = { global, sizeof(global) };
	struct pair p;

	(void)state;
	start_auth(&p);
	assert_int_equal(smx_transport_send(p.c.t, &part, 1), SMX_ESTATE);
	pair_run(&p);
	assert_int_equal(p.s.r | p.c.r, 0);
	pair_release(&p);
}

/* U9: a server sends no stranger's bytes back to him; a client's server is none. */
static void U9_a_stranger_is_not_ponged(void **state)
{
	static uint8_t ping[20005] = { SMX_MSG_PING, 0, 0, 0x4e, 0x20 };
	static const uint8_t unasked[] = { SMX_MSG_PONG, 0, 0, 0, 0 };
	struct smx_view data = smx_view_of("abc", 3);
	uint64_t before;
	struct pair p;

	(void)state;
	start_auth(&p);
	assert_int_equal(smx_transport_ping(p.s.t, data), SMX_EUNSUPPORTED);
	before = p.s.wire_total;
	for (int i = 0; i < 20; i++)
		side_inject(&p.c, ping, sizeof(ping));
	pair_run(&p);
	assert_int_equal(p.s.r | p.c.r, 0);
	/* UNIMPLEMENTED for each, no more. */
	assert_in_range(p.s.wire_total - before, 20 * 16, 20 * 64);
	side_inject(&p.s, unasked, sizeof(unasked));
	pair_run(&p);
	assert_int_equal(p.c.n_pongs, 0);
	assert_int_equal(p.c.r, 0);
	pair_release(&p);

	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	pair_login(&p);
	for (int i = 0; i < 40; i++)
		assert_int_equal(smx_transport_ping(p.c.t, data), 0);
	pair_run(&p);
	assert_int_equal(p.c.n_pongs, 40);
	before = p.s.wire_total;
	side_inject(&p.c, ping, sizeof(ping));
	pair_run(&p);
	assert_true(p.s.wire_total - before > 20000);
	pair_release(&p);
}

/* U9: 35,000 bytes of packet_len from a stranger and not one block more; of a user, a lot. */
static void U9_a_strangers_packets_are_small(void **state)
{
	static uint8_t ignore[200000] = { SMX_MSG_IGNORE };
	static const size_t fits = 34900; /* with its string's length and padding */
	struct pair p;

	(void)state;
	start_auth(&p);
	smx_set_u32(ignore + 1, (uint32_t)(fits - 5));
	side_inject(&p.c, ignore, fits);
	pair_run(&p);
	assert_int_equal(p.s.r, 0);
	side_inject(&p.c, ignore, 35200);
	pair_run(&p);
	assert_int_equal(p.s.r, SMX_ETOOBIG);
	pair_release(&p);

	/* Before the first keys too. */
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	side_inject(&p.c, ignore, 35200);
	pair_run(&p);
	assert_int_equal(p.s.r, SMX_ETOOBIG);
	pair_release(&p);

	/* A server that we log in to is chosen by us, whoever it is. */
	start_auth(&p);
	side_inject(&p.s, ignore, sizeof(ignore));
	pair_run(&p);
	assert_int_equal(p.c.r, 0);
	pair_release(&p);

	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	pair_login(&p);
	side_inject(&p.c, ignore, sizeof(ignore));
	pair_run(&p);
	assert_int_equal(p.s.r, 0);
	pair_release(&p);
}

/* U9: nor may he send them for ever: all that a login takes, and then no more. */
static void U9_a_stranger_has_said_enough(void **state)
{
	static uint8_t ignore[30000] = { SMX_MSG_IGNORE };
	struct pair p;
	size_t n;

	(void)state;
	for (int is_big = 0; is_big < 2; is_big++) {
		start_auth(&p);
		for (n = 0; p.s.r == 0 && n < 1000; n++) {
			side_inject(&p.c, ignore, is_big ? sizeof(ignore) : 5);
			side_deliver(&p.c);
		}
		assert_int_equal(p.s.r, SMX_ELIMIT);
		if (is_big)
			assert_in_range(n, 512 / 30 - 1, 512 / 29 + 1);
		else
			assert_in_range(n, 500, 513);
		pair_release(&p);
	}
	/* Once known, no end of it. */
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	pair_login(&p);
	for (n = 0; n < 1000; n++) {
		side_inject(&p.c, ignore, sizeof(ignore));
		pair_run(&p);
	}
	assert_int_equal(p.s.r, 0);
	pair_release(&p);
}

/* U9: what is held of a stranger, read and not understood yet, is small too. */
static void U9_little_of_a_stranger_is_held(void **state)
{
	uint8_t *at;
	struct pair p;
	size_t n;

	(void)state;
	assert_int_equal(pair_init(&p, NULL, NULL), 0);
	assert_int_equal(smx_transport_rx_space(p.s.t, &at, &n), 0);
	assert_int_equal(n, 64 * 1024);
	assert_int_equal(smx_transport_rx_space(p.c.t, &at, &n), 0);
	assert_int_equal(n, SMX_BLOCK_LEN);
	pair_login(&p);
	assert_int_equal(smx_transport_rx_space(p.s.t, &at, &n), 0);
	assert_int_equal(n, SMX_BLOCK_LEN);
	pair_release(&p);
}

/* U9: of a stranger each exchange is work for another thread, also one that is quick. */
static void U9_a_strangers_exchange_is_all_work(void **state)
{
	static const char *const lists[] = { "curve25519-sha256", "ecdh-sha2-nistp256",
		"diffie-hellman-group14-sha256" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(lists); i++) {
		for (int is_stranger = 0; is_stranger < 2; is_stranger++) {
			struct pair_config config = { .c.kex = lists[i],
				.s.is_all_work_slow = is_stranger };
			struct pair p;

			assert_int_equal(pair_init(&p, &config, NULL), 0);
			p.s.defer_work = 1;
			pair_run(&p);
			assert_int_equal(p.s.work != NULL, is_stranger || i == 2);
			assert_int_equal(p.s.is_ready, !(is_stranger || i == 2));
			if (p.s.work) {
				smx_work_run(p.s.work);
				smx_transport_work_done(p.s.t, p.s.work);
				p.s.work = NULL;
				side_events(&p.s);
				pair_login(&p);
			}
			pair_release(&p);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(L2_publickey_is_the_only_method),
		cmocka_unit_test(L5_every_key_type_logs_in),
		cmocka_unit_test(an_unknown_key_is_refused),
		cmocka_unit_test(the_right_key_after_wrong_ones),
		cmocka_unit_test(signature_by_another_key),
		cmocka_unit_test(forged_requests),
		cmocka_unit_test(D2_no_key_only_for_the_trusted),
		cmocka_unit_test(a_changed_user_ends_it),
		cmocka_unit_test(a_probe_authorises_nothing),
		cmocka_unit_test(attempts_are_counted),
		cmocka_unit_test(wrong_messages_at_each_stage),
		cmocka_unit_test(unknown_messages_are_answered),
		cmocka_unit_test(nothing_of_channels_is_sent_before_the_login),
		cmocka_unit_test(U9_a_stranger_is_not_ponged),
		cmocka_unit_test(U9_a_strangers_packets_are_small),
		cmocka_unit_test(U9_a_stranger_has_said_enough),
		cmocka_unit_test(U9_little_of_a_stranger_is_held),
		cmocka_unit_test(U9_a_strangers_exchange_is_all_work),
	};

	return cmocka_run_group_tests(tests, NULL, pair_teardown);
}
