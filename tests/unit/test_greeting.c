/* SPDX-License-Identifier: MIT */
/* B13: how a login was begun that worked, and what a later daemon knows of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/key.h"
#include "mux/pool/greeting_file.h"
#include "os/path.h"

#define KEX "curve25519-sha256"

static char host[] = "h", other_host[] = "g", user[] = "u";
static const struct smx_hop here = { .host = host, .port = 22, .user = user };
static const struct smx_hop there = { .host = other_host, .port = 22, .user = user };
static struct smx_algs algs;

static struct smx_view view(const char *s)
{
	return smx_view_of(s, strlen(s));
}

static void use(const char *kex, const char *peer_kex, const char *peer_host_key)
{
	algs = (struct smx_algs){ .kex = smx_kex_find(view(kex)),
		.peer_kex = smx_kex_find(view(peer_kex)) };
	(void)strncpy(algs.peer_host_key, peer_host_key, sizeof(algs.peer_host_key) - 1);
}

/* As it is written; of a buffer of its own. */
static struct smx_buf written(const struct greetings *g)
{
	struct smx_buf b;

	smx_buf_init(&b, GREETINGS_TEXT_MAX);
	assert_int_equal(greetings_write(g, &b), 0);
	return b;
}

static void take_over(struct greetings *from, struct greetings *to)
{
	struct smx_buf b = written(from);
	unsigned line;

	greetings_init(to);
	assert_int_equal(greetings_read(to, smx_buf_as_view(&b), &line), 0);
	smx_buf_release(&b);
}

static void B13_a_later_daemon_knows_the_same(void **state)
{
	struct greetings g, later;
	const char *kex, *host_key;

	(void)state;
	greetings_init(&g);
	greeting_note_key(&g, &here, 1, view("key"), GREETING_ENOUGH);
	use(KEX, KEX, "ssh-ed25519");
	greeting_note_algs(&g, &here, 1, &algs);
	greeting_note_key(&g, &there, 1, view("other"), GREETING_ASKS);
	take_over(&g, &later);
	assert_int_equal(later.n, 2);
	assert_false(later.has_changed);
	assert_true(greeting_is_key(&later, &here, 1, view("key")));
	assert_false(greeting_is_key(&later, &here, 1, view("other")));
	assert_int_equal(greeting_then(&later, &here, 1), GREETING_ENOUGH);
	assert_true(greeting_is_key(&later, &there, 1, view("other")));
	assert_int_equal(greeting_then(&later, &there, 1), GREETING_ASKS);
	assert_true(greeting_guess(&later, &here, 1, &kex, &host_key));
	assert_string_equal(kex, KEX);
	assert_string_equal(host_key, "ssh-ed25519");
	assert_false(greeting_guess(&later, &there, 1, &kex, &host_key));
	greetings_release(&g);
	greetings_release(&later);
}

/* What was learnt since the start is newer than the file. */
static void B13_the_file_is_older_than_what_is_known(void **state)
{
	struct greetings g, later;
	struct smx_buf b;
	unsigned line;

	(void)state;
	greetings_init(&g);
	greeting_note_key(&g, &here, 1, view("old"), GREETING_ENOUGH);
	b = written(&g);
	greetings_init(&later);
	greeting_note_key(&later, &here, 1, view("new"), GREETING_ENOUGH);
	assert_int_equal(greetings_read(&later, smx_buf_as_view(&b), &line), 0);
	assert_true(greeting_is_key(&later, &here, 1, view("new")));
	assert_int_equal(later.n, 1);
	smx_buf_release(&b);
	greetings_release(&g);
	greetings_release(&later);
}

/* A guess puts its names first, so only what is chosen without one is guessed. */
static void B13_what_a_guess_would_change_is_not_kept(void **state)
{
	struct greetings g;
	const char *kex, *host_key;
	struct smx_buf b;

	(void)state;
	greetings_init(&g);
	use(KEX, "ecdh-sha2-nistp256", "ssh-ed25519");
	greeting_note_algs(&g, &here, 1, &algs);
	assert_false(greeting_guess(&g, &here, 1, &kex, &host_key));
	b = written(&g);
	assert_null(strstr(smx_buf_cstr(&b), "ecdh"));
	assert_null(strstr(smx_buf_cstr(&b), KEX));
	smx_buf_release(&b);
	greetings_release(&g);
}

/* One connection that broke at the wrong moment is no reason to be slow for ever. */
static void B13_one_message_at_a_time_is_of_this_daemon_alone(void **state)
{
	struct greetings g, later;

	(void)state;
	greetings_init(&g);
	greeting_note_key(&g, &here, 1, view("key"), GREETING_ENOUGH);
	greeting_note_in_turns(&g, &here, 1);
	assert_true(greeting_is_in_turns(&g, &here, 1));
	take_over(&g, &later);
	assert_int_equal(later.n, 0);
	greetings_release(&g);
	greetings_release(&later);
}

static void B13_it_is_written_when_something_has_changed(void **state)
{
	struct greetings g;

	(void)state;
	greetings_init(&g);
	use(KEX, KEX, "ssh-ed25519");
	for (int i = 0; i < 2; i++) {
		greeting_note_key(&g, &here, 1, view("key"), GREETING_ENOUGH);
		assert_int_equal(g.has_changed, i == 0);
		g.has_changed = 0;
		greeting_note_algs(&g, &here, 1, &algs);
		assert_int_equal(g.has_changed, i == 0);
		g.has_changed = 0;
	}
	greeting_note_key(&g, &here, 1, view("key"), GREETING_MORE);
	assert_true(g.has_changed);
	g.has_changed = 0;
	greeting_note_key(&g, &here, 1, view("yek"), GREETING_MORE);
	assert_true(g.has_changed);
	g.has_changed = 0;
	for (int i = 0; i < 2; i++) {
		greeting_forget_algs(&g, &here, 1);
		assert_int_equal(g.has_changed, i == 0);
		g.has_changed = 0;
	}
	greetings_release(&g);
}

/* A better algorithm of a later version must not wait behind a remembered one. */
static void B13_of_a_program_that_offers_others_nothing_is_taken(void **state)
{
	struct greetings g, later;
	struct smx_buf b;
	unsigned line;
	uint8_t *digit;

	(void)state;
	greetings_init(&g);
	greeting_note_key(&g, &here, 1, view("key"), GREETING_ENOUGH);
	b = written(&g);
	digit = memchr(b.data + b.off, '\n', smx_buf_len(&b));
	assert_non_null(digit);
	digit[-1] = digit[-1] == '0' ? '1' : '0';
	greetings_init(&later);
	assert_int_equal(greetings_read(&later, smx_buf_as_view(&b), &line), 1);
	assert_int_equal(later.n, 0);
	smx_buf_release(&b);
	greetings_release(&g);
	greetings_release(&later);
}

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void B13_a_line_that_is_not_ours_is_named(void **state)
{
	static const char *const bad[] = {
		"\n",
		DIGEST "\n",
		DIGEST " - -  \n",
		DIGEST " - - - -", /* cut off */
		DIGEST " - - - - -\n",
		DIGEST " - - - \n",
		DIGEST " - enough - -\n",
		DIGEST " " DIGEST " - - -\n",
		DIGEST " " DIGEST " much - -\n",
		DIGEST "0 " DIGEST " more - -\n",
		"G" DIGEST " - - - -\n",
		DIGEST " - - " KEX " -x,y\n",
		DIGEST " - - " KEX " \x01\n",
		DIGEST " - - " KEX " \n",
		DIGEST " - - rot13 ssh-ed25519\n",
		DIGEST " - - " KEX " " DIGEST "\n",
		DIGEST " - - - ssh-ed25519\n",
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++) {
		struct greetings g;
		struct smx_buf b;
		unsigned line = 0;

		greetings_init(&g);
		greeting_note_key(&g, &here, 1, view("key"), GREETING_ENOUGH);
		b = written(&g);
		greetings_release(&g);
		assert_int_equal(smx_buf_put_str(&b, bad[i]), 0);
		greetings_init(&g);
		if (greetings_read(&g, smx_buf_as_view(&b), &line) != SMX_ESYNTAX)
			fail_msg("%zu: %s", i, bad[i]);
		assert_int_equal(line, 3);
		assert_int_equal(g.n, 0); /* not the good one either */
		smx_buf_release(&b);
		greetings_release(&g);
	}
}

static void B13_a_head_that_is_not_ours(void **state)
{
	static const char *const bad[] = { "", "\n", "ssh-mux-greetings 1 " DIGEST,
		"ssh-mux-greetings 1 x" DIGEST "\n", "ssh-mux-greetings 2 " DIGEST "\n",
		"ssh-mux-greetings 1 ################################################################\n",
		"ssh-mux-greetings 1 " DIGEST "0\n" };
	struct greetings g;
	unsigned line;

	(void)state;
	greetings_init(&g);
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++) {
		line = 0;
		assert_int_equal(greetings_read(&g, view(bad[i]), &line), SMX_ESYNTAX);
		assert_int_equal(line, 1);
	}
	greetings_release(&g);
}

/* H3: what the helper writes for a daemon that may be somebody else's by now. */
static void H3_that_file_and_that_text_alone(void **state)
{
	struct greetings g;
	struct smx_buf b;
	char *path;

	(void)state;
	assert_int_equal(smx_os_path_join("/h/.ssh", GREETINGS_FILE, &path), 0);
	greetings_init(&g);
	greeting_note_key(&g, &here, 1, view("key"), GREETING_ENOUGH);
	b = written(&g);
	assert_true(greeting_file_may_be("/h/.ssh", path, smx_buf_as_view(&b)));
	assert_false(
		greeting_file_may_be("/h/.ssh", "/h/.ssh/authorized_keys", smx_buf_as_view(&b)));
	assert_false(
		greeting_file_may_be("/h/.ssh", "/h/.ssh/../" GREETINGS_FILE, smx_buf_as_view(&b)));
	assert_false(greeting_file_may_be(
		"/h/.ssh", path, view("ssh-mux-greetings 1 " DIGEST "\nevil\n")));
	assert_int_equal(smx_buf_put_str(&b, "evil\n"), 0);
	assert_false(greeting_file_may_be("/h/.ssh", path, smx_buf_as_view(&b)));
	smx_free(path);
	smx_buf_release(&b);
	greetings_release(&g);
}

/* The one not used for longest goes, and a file never brings more. */
static void B13_they_are_bounded(void **state)
{
	struct greetings g, later;
	struct smx_buf b;
	unsigned line;

	(void)state;
	greetings_init(&g);
	use(KEX, KEX, "ssh-ed25519");
	for (unsigned i = 1; i <= GREETINGS_MAX + 1; i++) {
		struct smx_hop hop = here;

		hop.port = (uint16_t)i;
		greeting_note_algs(&g, &hop, 1, &algs);
		greeting_note_key(&g, &hop, 1, view("key"), GREETING_ENOUGH);
	}
	assert_int_equal(g.n, GREETINGS_MAX);
	b = written(&g);
	for (unsigned i = 1; i <= GREETINGS_MAX + 1; i++) {
		struct smx_hop hop = here;

		hop.port = (uint16_t)i;
		assert_int_equal(greeting_is_key(&g, &hop, 1, view("key")), i > 1);
	}
	greetings_init(&later);
	greeting_note_key(&later, &there, 1, view("key"), GREETING_ENOUGH);
	assert_int_equal(greetings_read(&later, smx_buf_as_view(&b), &line), 0);
	assert_int_equal(later.n, GREETINGS_MAX);
	assert_true(greeting_is_key(&later, &there, 1, view("key")));
	smx_buf_release(&b);
	greetings_release(&g);
	greetings_release(&later);
}

static void B13_no_memory(void **state)
{
	struct greetings g, later;
	struct smx_buf b;
	unsigned line;
	int r, n = 0;

	(void)state;
	greetings_init(&g);
	greeting_note_key(&g, &here, 1, view("key"), GREETING_ENOUGH);
	greeting_note_key(&g, &there, 1, view("key"), GREETING_ENOUGH);
	do {
		smx_buf_init(&b, GREETINGS_TEXT_MAX);
		greetings_init(&later);
		smx_mem_fail_after(n++);
		if ((r = greetings_write(&g, &b)) == 0 &&
			(r = greetings_read(&later, smx_buf_as_view(&b), &line)) == 0)
			greeting_note_key(&later, &here, 1, view("more"), GREETING_MORE);
		smx_mem_fail_after(-1);
		assert_true(r == 0 || (r == SMX_ENOMEM && later.n == 0));
		smx_buf_release(&b);
		greetings_release(&later);
	} while (r != 0);
	assert_true(n > 3);
	greetings_release(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B13_a_later_daemon_knows_the_same),
		cmocka_unit_test(B13_the_file_is_older_than_what_is_known),
		cmocka_unit_test(B13_what_a_guess_would_change_is_not_kept),
		cmocka_unit_test(B13_one_message_at_a_time_is_of_this_daemon_alone),
		cmocka_unit_test(B13_it_is_written_when_something_has_changed),
		cmocka_unit_test(B13_of_a_program_that_offers_others_nothing_is_taken),
		cmocka_unit_test(B13_a_line_that_is_not_ours_is_named),
		cmocka_unit_test(B13_a_head_that_is_not_ours),
		cmocka_unit_test(H3_that_file_and_that_text_alone),
		cmocka_unit_test(B13_they_are_bounded),
		cmocka_unit_test(B13_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
