/* SPDX-License-Identifier: MIT */
/* A pinentry of our own (A4, A6): against the client of pinentry/dialogue.h, and against nonsense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "pinentry/dialogue.h"
#include "pinentry/server.h"

static struct smx_view view(const char *s)
{
	return smx_view_of(s, strlen(s));
}

/* Lets both talk until the server is asked, or the client has its answer. */
static int talk(struct smx_pinentry *client, struct smx_pinentry_server *server, int *ret_client)
{
	int r = SMX_EAGAIN;

	*ret_client = SMX_EAGAIN;
	while (r == SMX_EAGAIN && *ret_client == SMX_EAGAIN &&
		(smx_buf_len(&server->out) || smx_buf_len(&client->out))) {
		if (smx_buf_len(&server->out)) {
			*ret_client = smx_pinentry_feed(client, smx_buf_as_view(&server->out));
			smx_buf_reset(&server->out);
		}
		if (smx_buf_len(&client->out)) {
			r = smx_pinentry_server_feed(server, smx_buf_as_view(&client->out));
			smx_buf_reset(&client->out);
		}
	}
	return r;
}

static void ask(const char *prompt, int answer_r, const char *answer, int wanted, const char *text)
{
	struct smx_pinentry_question q = { .title = "ssh-mux OTP",
		.description = "me@host says:\n100% \\ \x01 sure?",
		.prompt = prompt };
	struct smx_pinentry_server server;
	struct smx_pinentry client;
	int r;

	assert_int_equal(smx_pinentry_init(&client, &q), 0);
	assert_int_equal(smx_pinentry_server_init(&server), 0);
	assert_int_equal(talk(&client, &server, &r), 0);
	assert_int_equal(server.is_confirm, prompt == NULL);
	assert_string_equal(smx_buf_cstr(&server.title), q.title);
	assert_string_equal(smx_buf_cstr(&server.description), q.description);
	assert_string_equal(smx_buf_cstr(&server.prompt), prompt ? prompt : "");
	assert_string_equal(smx_buf_cstr(&server.ok), prompt ? "" : "Yes");
	assert_int_equal(smx_pinentry_server_answer(&server, answer_r, view(answer)), 0);
	(void)talk(&client, &server, &r);
	assert_int_equal(r, wanted);
	if (wanted == 0)
		assert_string_equal(smx_pinentry_answer(&client), text);
	smx_pinentry_release(&client);
	smx_pinentry_server_release(&server);
}

static void A4_A6_answers_reach_the_client(void **state)
{
	char longest[SMX_PINENTRY_ANSWER_MAX + 1];

	(void)state;
	ask("Code: ", 0, "123456", 0, "123456");
	ask("Code: ", 0, "", 0, "");
	ask("Code: ", 0, " a%41\\b\tc ", 0, " a%41\\b\tc ");
	ask("Code: ", SMX_ECANCELLED, "", SMX_ECANCELLED, NULL);
	ask("Code: ", SMX_ESYS, "", SMX_ENOTFOUND, NULL);
	/* This way there is none, which is no fault of the dialogue. */
	ask("Code: ", SMX_ENOTFOUND, "", SMX_EUNSUPPORTED, NULL);
	ask(NULL, SMX_ENOTFOUND, "", SMX_EUNSUPPORTED, NULL);
	ask(NULL, 0, "", 0, "yes");
	ask(NULL, SMX_ECANCELLED, "", 0, "no");
	memset(longest, '%', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	ask("Code: ", 0, longest, 0, longest);
}

static void A6_nonsense_is_refused(void **state)
{
	static const struct {
		const char *said;
		int wanted;
		const char *out; /* behind the greeting */
	} cases[] = {
		{ "", SMX_EAGAIN, "" },
		{ "\n\r\n# remark\n", SMX_EAGAIN, "" },
		{ "OPTION grab\nNOP\n", SMX_EAGAIN, "OK\nOK\n" },
		{ "GETPINS\n", SMX_EAGAIN, "ERR 83886355 Unknown command\n" },
		{ "getpin\n", SMX_EAGAIN, "ERR 83886355 Unknown command\n" },
		{ "SETDESC a%0\n", SMX_EFORMAT, "" },
		{ "SETDESC a%00b\n", SMX_EFORMAT, "" },
		{ "SETDESC\nGETPIN\n", 0, "OK\n" },
		{ "CONFIRM --one-button\r\n", 0, "" },
		{ "BYE\n", SMX_EEOF, "OK closing connection\n" },
		{ "GETPIN\nBYE\n", 0, "" },
	};
	char big[SMX_ASSUAN_LINE_MAX + 2];
	struct smx_pinentry_server s;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		assert_int_equal(smx_pinentry_server_init(&s), 0);
		smx_buf_reset(&s.out);
		assert_int_equal(
			smx_pinentry_server_feed(&s, view(cases[i].said)), cases[i].wanted);
		if (cases[i].wanted != SMX_EFORMAT)
			assert_string_equal(smx_buf_cstr(&s.out), cases[i].out);
		smx_pinentry_server_release(&s);
	}
	memset(big, 'x', sizeof(big));
	assert_int_equal(smx_pinentry_server_init(&s), 0);
	assert_int_equal(smx_pinentry_server_feed(&s, smx_view_of(big, sizeof(big))), SMX_ETOOBIG);
	smx_pinentry_server_release(&s);
}

static void A6_what_follows_a_question_waits(void **state)
{
	struct smx_pinentry_server s;

	(void)state;
	assert_int_equal(smx_pinentry_server_init(&s), 0);
	assert_int_equal(smx_pinentry_server_feed(&s, view("GETPIN\nSETDESC x\nCONFIRM\n")), 0);
	assert_int_equal(smx_buf_len(&s.description), 0);
	assert_int_equal(smx_pinentry_server_answer(&s, 0, view("1")), 0);
	assert_int_equal(smx_pinentry_server_feed(&s, view("")), 0);
	assert_int_equal(s.is_confirm, 1);
	assert_string_equal(smx_buf_cstr(&s.description), "x");
	smx_pinentry_server_release(&s);
}

static int without_memory(long n)
{
	struct smx_pinentry_server s;
	int r;

	if (n >= 0)
		smx_mem_fail_after(n);
	r = smx_pinentry_server_init(&s);
	if (r == 0)
		r = smx_pinentry_server_feed(&s, view("SETTITLE t\nSETDESC d\nGETPIN\n"));
	if (r == 0)
		r = smx_pinentry_server_answer(&s, 0, view("123456"));
	smx_mem_fail_after(-1);
	smx_pinentry_server_release(&s);
	return r;
}

static void A6_failing_allocations(void **state)
{
	long before = smx_mem_alive(), n;
	int r = SMX_ENOMEM;

	(void)state;
	for (n = 0; n < 100 && r == SMX_ENOMEM; n++) {
		r = without_memory(n);
		assert_int_equal(smx_mem_alive(), before);
	}
	assert_int_equal(r, 0);
	assert_true(n > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A4_A6_answers_reach_the_client),
		cmocka_unit_test(A6_nonsense_is_refused),
		cmocka_unit_test(A6_what_follows_a_question_waits),
		cmocka_unit_test(A6_failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
