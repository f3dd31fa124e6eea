/* SPDX-License-Identifier: MIT */
/* The client's side of logging in with questions and passwords (A2, A3): what a server may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../clear_transport.h"
#include "base/mem.h"
#include "ssh/auth_client.h"

struct box {
	struct smx_pool pool;
	struct smx_transport *t;
	struct smx_auth_client a;
	struct smx_buf msg;
	struct smx_auth_event ev;
};

static void drop_output(struct box *x)
{
	smx_transport_tx_free(x->t, smx_transport_tx_take(x->t));
}

/* A server's message of a number and strings, and (u8 or none) a last byte. */
static int say(struct box *x, uint8_t type, const char *const *strings, int last)
{
	int r;

	smx_buf_reset(&x->msg);
	assert_int_equal(smx_put_u8(&x->msg, type), 0);
	for (; *strings; strings++)
		assert_int_equal(smx_put_cstr(&x->msg, *strings), 0);
	if (last >= 0)
		assert_int_equal(smx_put_u8(&x->msg, (uint8_t)last), 0);
	r = smx_auth_client_handle(&x->a, smx_buf_as_view(&x->msg), &x->ev);
	drop_output(x);
	return r;
}

static void set_up(struct box *x)
{
	static const char *const service[] = { "ssh-userauth", NULL };
	static const char *const methods[] = { "keyboard-interactive,password", NULL };

	smx_pool_init(&x->pool, 1);
	x->t = clear_transport(&x->pool, SMX_CLIENT, SMX_PHASE_TRANSPORT, NULL);
	assert_non_null(x->t);
	smx_buf_init(&x->msg, 2 * SMX_AUTH_TEXT_MAX);
	assert_int_equal(smx_auth_client_init(&x->a, x->t, "user"), 0);
	assert_int_equal(smx_auth_client_begin(&x->a), 0);
	drop_output(x);
	assert_int_equal(say(x, SMX_MSG_SERVICE_ACCEPT, service, -1), 0);
	assert_int_equal(say(x, SMX_MSG_USERAUTH_FAILURE, methods, 0), 0);
	assert_int_equal(x->ev.type, SMX_AUTH_EV_CHOOSE);
}

static void tear_down(struct box *x)
{
	smx_auth_client_release(&x->a);
	smx_transport_free(x->t);
	smx_pool_release(&x->pool);
	smx_buf_release(&x->msg);
}

/* An INFO_REQUEST; text_len of each prompt. */
static int info_request(struct box *x, uint32_t n, size_t text_len)
{
	static char text[SMX_AUTH_TEXT_MAX + 2];
	int r;

	memset(text, 'p', sizeof(text));
	smx_buf_reset(&x->msg);
	assert_int_equal(smx_put_u8(&x->msg, SMX_MSG_USERAUTH_INFO_REQUEST), 0);
	assert_int_equal(smx_put_cstr(&x->msg, "name"), 0);
	assert_int_equal(smx_put_cstr(&x->msg, "instruction"), 0);
	assert_int_equal(smx_put_cstr(&x->msg, "de-DE"), 0);
	assert_int_equal(smx_put_u32(&x->msg, n), 0);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(smx_put_string(&x->msg, text, text_len), 0);
		assert_int_equal(smx_put_bool(&x->msg, i % 2), 0);
	}
	r = smx_auth_client_handle(&x->a, smx_buf_as_view(&x->msg), &x->ev);
	drop_output(x);
	return r;
}

static void A2_rounds_of_questions(void **state)
{
	static const char *const none[] = { NULL };
	struct smx_view answers[SMX_AUTH_PROMPTS_MAX];
	struct box x;

	(void)state;
	set_up(&x);
	for (size_t i = 0; i < SMX_AUTH_PROMPTS_MAX; i++)
		answers[i] = smx_view_of("a", 1);
	assert_int_equal(smx_auth_client_kbdint(&x.a), 0);
	/* Any number of rounds, of none to 16 prompts; as many answers as prompts, no more or less.
	 */
	for (uint32_t n = 0; n <= SMX_AUTH_PROMPTS_MAX; n++) {
		assert_int_equal(info_request(&x, n, 8), 0);
		assert_int_equal(x.ev.type, SMX_AUTH_EV_ASK);
		assert_int_equal(x.ev.ask.n_prompts, n);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(x.ev.ask.prompts[i].echo, i % 2);
		assert_true(smx_view_eq(x.ev.ask.instruction, "instruction"));
		assert_int_equal(smx_auth_client_send_answers(&x.a, answers, n + 1), SMX_EINVAL);
		if (n)
			assert_int_equal(
				smx_auth_client_send_answers(&x.a, answers, n - 1), SMX_EINVAL);
		/* The server has to wait for them. */
		assert_int_equal(say(&x, SMX_MSG_USERAUTH_SUCCESS, none, -1), SMX_EUNEXPECTED);
		assert_int_equal(smx_auth_client_send_answers(&x.a, answers, n), 0);
		drop_output(&x);
	}
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_SUCCESS, none, -1), 0);
	assert_int_equal(x.ev.type, SMX_AUTH_EV_DONE);
	tear_down(&x);
}

static void S7_questions_are_bounded(void **state)
{
	static const struct {
		uint32_t n;
		size_t len;
		int r;
	} rows[] = {
		{ SMX_AUTH_PROMPTS_MAX, 8192, 0 },
		{ 1, SMX_AUTH_TEXT_MAX, 0 },
		{ SMX_AUTH_PROMPTS_MAX + 1, 1, SMX_ETOOBIG },
		{ 1, SMX_AUTH_TEXT_MAX + 1, SMX_ETOOBIG },
	};
	static const uint8_t many[] = { SMX_MSG_USERAUTH_INFO_REQUEST, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0xff, 0xff, 0xff, 0xff };
	struct box x;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(rows); i++) {
		set_up(&x);
		assert_int_equal(smx_auth_client_kbdint(&x.a), 0);
		assert_int_equal(info_request(&x, rows[i].n, rows[i].len), rows[i].r);
		tear_down(&x);
	}
	set_up(&x);
	assert_int_equal(smx_auth_client_kbdint(&x.a), 0);
	assert_int_equal(
		smx_auth_client_handle(&x.a, (struct smx_view){ many, sizeof(many) }, &x.ev),
		SMX_ETOOBIG);
	tear_down(&x);
}

static void A3_a_password_that_must_be_changed(void **state)
{
	static const char *const expired[] = { "too old", "en", NULL };
	static const char *const cut[] = { "too old", NULL };
	struct box x;

	(void)state;
	set_up(&x);
	/* Only as the answer to a password (RFC 4252 section 8). */
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_PASSWD_CHANGEREQ, expired, -1), SMX_EUNEXPECTED);
	assert_int_equal(smx_auth_client_password(&x.a, smx_view_of("x", 1)), 0);
	drop_output(&x);
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_PASSWD_CHANGEREQ, expired, -1), 0);
	assert_int_equal(x.ev.type, SMX_AUTH_EV_EXPIRED);
	assert_true(smx_view_eq(x.ev.text, "too old"));
	/* Nothing is under way now: another method may be tried, and no success can come. */
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_SUCCESS, expired + 2, -1), SMX_EUNEXPECTED);
	assert_int_equal(smx_auth_client_kbdint(&x.a), 0);
	tear_down(&x);

	set_up(&x);
	assert_int_equal(smx_auth_client_password(&x.a, smx_view_of("x", 1)), 0);
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_PASSWD_CHANGEREQ, cut, -1), SMX_ETRUNCATED);
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_PASSWD_CHANGEREQ, expired, 1), SMX_ETRAILING);
	tear_down(&x);
}

static void A2_partial_success_is_told(void **state)
{
	static const char *const then[] = { "password", NULL };
	struct box x;

	(void)state;
	set_up(&x);
	assert_int_equal(smx_auth_client_kbdint(&x.a), 0);
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_FAILURE, then, 1), 0);
	assert_int_equal(x.ev.type, SMX_AUTH_EV_CHOOSE);
	assert_true(x.ev.is_partial);
	assert_true(smx_auth_client_can(&x.a, "password"));
	assert_false(smx_auth_client_can(&x.a, "keyboard-interactive"));
	tear_down(&x);
}

/* A server that says yes to another key than the one it was asked about gets no signature. */
static void A1_only_the_key_that_was_asked_about_is_taken(void **state)
{
	static const char *const other[] = { "ssh-ed25519", "another key", NULL };
	static const char *const same[] = { "ssh-ed25519", "the key", NULL };
	struct box x;

	(void)state;
	set_up(&x);
	assert_int_equal(smx_auth_client_probe_key(
				 &x.a, smx_view_of("ssh-ed25519", 11), smx_view_of("the key", 7)),
		0);
	drop_output(&x);
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_PK_OK, other, -1), SMX_EPROTOCOL);
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_PK_OK, same, -1), 0);
	assert_int_equal(x.ev.type, SMX_AUTH_EV_SIGN);
	tear_down(&x);
}

/* --- B13: questions asked for behind a key --- */

static const char *const kbdint[] = { "keyboard-interactive", NULL };
static const char *const keys_only[] = { "publickey", NULL };
static const char *const nothing[] = { NULL };

/* A key's signature and the request for questions are out. */
static void go_ahead(struct box *x)
{
	static const char *const key[] = { "ssh-ed25519", "blob", NULL };

	set_up(x);
	assert_int_equal(smx_auth_client_kbdint_ahead(&x->a), SMX_ESTATE);
	assert_int_equal(smx_auth_client_probe_key(
				 &x->a, smx_view_of("ssh-ed25519", 11), smx_view_of("blob", 4)),
		0);
	assert_int_equal(smx_auth_client_kbdint_ahead(&x->a), SMX_ESTATE);
	assert_int_equal(say(x, SMX_MSG_USERAUTH_PK_OK, key, -1), 0);
	assert_int_equal(smx_auth_client_send_signature(&x->a, smx_view_of("s", 1)), 0);
	drop_output(x);
	assert_int_equal(smx_auth_client_kbdint_ahead(&x->a), 0);
	assert_true(smx_transport_tx_len(x->t) > 0);
	drop_output(x);
	assert_int_equal(smx_auth_client_kbdint_ahead(&x->a), SMX_ESTATE);
}

static void B13_questions_asked_for_ahead_are_taken_up(void **state)
{
	struct smx_view answer = smx_view_of("123456", 6);
	struct box x;

	(void)state;
	go_ahead(&x);
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_FAILURE, kbdint, 1), 0);
	assert_true(x.ev.type == SMX_AUTH_EV_CHOOSE && x.ev.is_partial);
	assert_int_equal(smx_auth_client_kbdint(&x.a), 0);
	assert_int_equal(smx_transport_tx_len(x.t), 0); /* it is out already */
	assert_int_equal(info_request(&x, 1, 8), 0);
	assert_int_equal(x.ev.type, SMX_AUTH_EV_ASK);
	assert_int_equal(smx_auth_client_send_answers(&x.a, &answer, 1), 0);
	drop_output(&x);
	/* A second try is asked for as ever. */
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_FAILURE, kbdint, 0), 0);
	assert_int_equal(smx_auth_client_kbdint(&x.a), 0);
	assert_true(smx_transport_tx_len(x.t) > 0);
	drop_output(&x);
	assert_int_equal(info_request(&x, 0, 0), 0);
	assert_int_equal(x.ev.type, SMX_AUTH_EV_ASK);
	tear_down(&x);
}

/* The key was refused, and another is tried: what the server says to the request is no answer to it. */
static void B13_questions_asked_for_ahead_are_given_up(void **state)
{
	static const char *const key[] = { "ssh-ed25519", "other", NULL };
	struct box x;

	(void)state;
	for (int is_asked = 0; is_asked < 2; is_asked++) {
		go_ahead(&x);
		assert_int_equal(say(&x, SMX_MSG_USERAUTH_FAILURE, keys_only, 0), 0);
		assert_int_equal(x.ev.type, SMX_AUTH_EV_CHOOSE);
		assert_int_equal(smx_auth_client_probe_key(&x.a, smx_view_of("ssh-ed25519", 11),
					 smx_view_of("other", 5)),
			0);
		drop_output(&x);
		assert_int_equal(is_asked ? info_request(&x, 1, 8)
					  : say(&x, SMX_MSG_USERAUTH_FAILURE, kbdint, 0),
			0);
		assert_int_equal(x.ev.type, SMX_AUTH_EV_NONE);
		assert_true(smx_auth_client_can(&x.a, "publickey"));
		assert_int_equal(say(&x, SMX_MSG_USERAUTH_PK_OK, key, -1), 0);
		assert_int_equal(x.ev.type, SMX_AUTH_EV_SIGN);
		assert_int_equal(info_request(&x, 1, 8), SMX_EUNEXPECTED); /* one, not two */
		tear_down(&x);
	}
}

/* While the user makes up its mind: it has to ask once more then. */
static void B13_an_answer_before_the_choice(void **state)
{
	struct box x;

	(void)state;
	for (int is_asked = 0; is_asked < 2; is_asked++) {
		go_ahead(&x);
		assert_int_equal(say(&x, SMX_MSG_USERAUTH_FAILURE, kbdint, 1), 0);
		assert_int_equal(is_asked ? info_request(&x, 1, 8)
					  : say(&x, SMX_MSG_USERAUTH_FAILURE, kbdint, 0),
			0);
		assert_int_equal(x.ev.type, SMX_AUTH_EV_NONE);
		assert_int_equal(info_request(&x, 1, 8), SMX_EUNEXPECTED);
		assert_int_equal(smx_auth_client_kbdint(&x.a), 0);
		assert_true(smx_transport_tx_len(x.t) > 0);
		drop_output(&x);
		assert_int_equal(info_request(&x, 1, 8), 0);
		assert_int_equal(x.ev.type, SMX_AUTH_EV_ASK);
		tear_down(&x);
	}
}

static void B13_the_key_is_enough_after_all(void **state)
{
	struct box x;

	(void)state;
	go_ahead(&x);
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_SUCCESS, nothing, -1), 0);
	assert_int_equal(x.ev.type, SMX_AUTH_EV_DONE);
	assert_int_equal(say(&x, SMX_MSG_USERAUTH_FAILURE, kbdint, 0), SMX_EUNEXPECTED);
	tear_down(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A2_rounds_of_questions),
		cmocka_unit_test(S7_questions_are_bounded),
		cmocka_unit_test(A3_a_password_that_must_be_changed),
		cmocka_unit_test(A2_partial_success_is_told),
		cmocka_unit_test(A1_only_the_key_that_was_asked_about_is_taken),
		cmocka_unit_test(B13_questions_asked_for_ahead_are_taken_up),
		cmocka_unit_test(B13_questions_asked_for_ahead_are_given_up),
		cmocka_unit_test(B13_an_answer_before_the_choice),
		cmocka_unit_test(B13_the_key_is_enough_after_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
