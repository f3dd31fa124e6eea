/* SPDX-License-Identifier: MIT */
// fuzzes: src/mux/pool/greeting.c
/*
 * B13: the file of what is known of logins, which the daemon reads and its helper is sent. The first
 * line is ours, so that the rest is read; a first byte of 0 has none of it. What is read is written
 * the same again.
 */
#include "fuzz_ssh.h"
#include "mux/pool/greeting.h"

static char host[] = "host", user[] = "user";
static const struct smx_hop hop = { .host = host, .port = 22, .user = user };

/* What is learnt on top of it is what counts, and may be written. */
static void learn(struct greetings *g)
{
	const struct smx_view key = smx_view_of("key", 3);
	struct smx_algs algs = { .peer_host_key = "ssh-ed25519" };
	const char *kex, *host_key;
	struct smx_buf out;

	algs.kex = algs.peer_kex = smx_kex_find(smx_view_of("curve25519-sha256", 17));
	greeting_note_algs(g, &hop, 1, &algs);
	greeting_note_key(g, &hop, 1, key, GREETING_ASKS);
	fuzz_check(greeting_is_key(g, &hop, 1, key) && g->has_changed);
	fuzz_check(greeting_then(g, &hop, 1) == GREETING_ASKS);
	fuzz_check(greeting_guess(g, &hop, 1, &kex, &host_key));
	greeting_forget_algs(g, &hop, 1);
	fuzz_check(!greeting_guess(g, &hop, 1, &kex, &host_key));
	greeting_note_in_turns(g, &hop, 1);
	fuzz_check(greeting_is_in_turns(g, &hop, 1) && g->n <= GREETINGS_MAX);
	smx_buf_init(&out, GREETINGS_TEXT_MAX);
	fuzz_check(greetings_write(g, &out) == 0);
	smx_buf_release(&out);
}

static void read_and_write(struct smx_view text)
{
	struct greetings g, again;
	struct smx_buf out, twice;
	unsigned line;

	greetings_init(&g);
	if (greetings_read(&g, text, &line) == 0) {
		greetings_init(&again);
		smx_buf_init(&out, GREETINGS_TEXT_MAX);
		smx_buf_init(&twice, GREETINGS_TEXT_MAX);
		fuzz_check(greetings_write(&g, &out) == 0);
		fuzz_check(greetings_read(&again, smx_buf_as_view(&out), &line) == 0);
		fuzz_check(greetings_write(&again, &twice) == 0);
		fuzz_check(smx_view_eq_view(smx_buf_as_view(&out), smx_buf_as_view(&twice)));
		smx_buf_release(&out);
		smx_buf_release(&twice);
		greetings_release(&again);
		learn(&g);
	} else {
		fuzz_check(g.n == 0 && line > 0);
	}
	greetings_release(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct greetings none;
	struct smx_buf text;

	if (size == 0 || size > GREETINGS_TEXT_MAX / 2)
		return 0;
	smx_buf_init(&text, GREETINGS_TEXT_MAX);
	greetings_init(&none);
	fuzz_check(data[0] == 0 || greetings_write(&none, &text) == 0);
	fuzz_check(smx_buf_put(&text, data + (data[0] == 0), size - (data[0] == 0)) == 0);
	read_and_write(smx_buf_as_view(&text));
	smx_buf_release(&text);
	return 0;
}
