/* SPDX-License-Identifier: MIT */
/* A14: how a question looks, and that no text of a server's can make it look like one of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/text.h"
#include "mux/ask/question.h"

#define COLUMNS 80
#define ROWS    24
#define TEXTS   10000
#define WHOM    "me@bastion"
#define HEAD    "ssh-mux: login to " WHOM

/* --- a screen of 80 columns and 24 rows ---------------------------------------------------------
 */

struct screen {
	uint32_t cells[ROWS][COLUMNS]; /* 0: empty; the right half of a wide one is a blank */
	size_t row, column, n_scrolled;
	int is_full[ROWS]; /* it went on in the next one by itself */
};

static void feed_line(struct screen *s)
{
	s->column = 0;
	if (s->row + 1 < ROWS) {
		s->row++;
		return;
	}
	memmove(s->cells, s->cells + 1, sizeof(s->cells) - sizeof(s->cells[0]));
	memmove(s->is_full, s->is_full + 1, sizeof(s->is_full) - sizeof(s->is_full[0]));
	memset(s->cells[ROWS - 1], 0, sizeof(s->cells[0]));
	s->is_full[ROWS - 1] = 0;
	s->n_scrolled++;
}

/* As far as the texts below go. */
static size_t columns_of(uint32_t c)
{
	if (c >= 0x300 && c <= 0x36f)
		return 0;
	return 1 + ((c >= 0x1100 && c <= 0x115f) || (c >= 0x3000 && c <= 0x9fff) ||
			   (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xff01 && c <= 0xff60) ||
			   (c >= 0x1f300 && c <= 0x1faff));
}

static void put_char(struct screen *s, uint32_t c)
{
	size_t width = columns_of(c);

	if (c == '\n') { /* ONLCR */
		feed_line(s);
		return;
	}
	if (c == '\r') {
		s->column = 0;
		return;
	}
	/* A7: nothing else acts on a terminal. */
	assert_true(c >= 0x20 && c != 0x7f && !(c >= 0x80 && c <= 0x9f));
	assert_false((c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069));
	if (width == 0)
		return;
	if (s->column + width > COLUMNS) {
		s->is_full[s->row] = 1;
		feed_line(s);
	}
	s->cells[s->row][s->column++] = c;
	if (width == 2)
		s->cells[s->row][s->column++] = ' ';
}

static void show(struct screen *s, const char *text)
{
	size_t n = strlen(text), len;
	uint32_t c;

	while (n) {
		len = smx_utf8_decode((const uint8_t *)text, n, &c);
		assert_true(len > 0);
		put_char(s, c);
		text += len;
		n -= len;
	}
}

/* What is not ASCII as '?'; without the blanks at its end. */
static void row_text(const struct screen *s, size_t row, char out[COLUMNS + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < COLUMNS; i++) {
		uint32_t c = s->cells[row][i];

		out[i] = c == 0 ? ' ' : c < 0x7f ? (char)c : '?';
		if (out[i] != ' ')
			n = i + 1;
	}
	out[n] = '\0';
}

/* --- questions ----------------------------------------------------------------------------------
 */

struct texts {
	const char *name, *instruction, *prompts[3];
};

static struct question *of_server(const char *whom, const struct texts *t)
{
	struct smx_auth_info_request request = { .n_prompts = 0 };
	struct question *q;

	request.name = smx_view_of(t->name, strlen(t->name));
	request.instruction = smx_view_of(t->instruction, strlen(t->instruction));
	for (size_t i = 0; i < 3 && t->prompts[i]; i++)
		request.prompts[request.n_prompts++].text =
			smx_view_of(t->prompts[i], strlen(t->prompts[i]));
	q = question_of_server(whom, &request);
	assert_non_null(q);
	return q;
}

static char *terminal(const struct question *q, size_t at)
{
	struct smx_buf out;
	char *s;

	smx_buf_init(&out, QUESTION_TEXT_MAX);
	assert_int_equal(question_put_terminal(q, at, QUESTION_COLUMNS, &out), 0);
	s = smx_strdup(smx_buf_cstr(&out));
	smx_buf_release(&out);
	return s;
}

static void assert_terminal(struct question *q, size_t at, const char *want)
{
	char *s = terminal(q, at);

	assert_string_equal(s, want);
	smx_free(s);
}

/* --- how it looks -------------------------------------------------------------------------------
 */

static void A14_a_menu_of_three_lines_is_three_lines(void **state)
{
	static const struct texts t = { "Duo", "Two-step login\r\n\r\n\r\n",
		{ "\n 1. Push\n 2. Phone call\r\n\tcode\n\n\nPasscode or option (1-2): " } };
	struct question *q = of_server(WHOM, &t);

	(void)state;
	assert_terminal(q, 0,
		HEAD "\n"
		     " | Duo\n"
		     " | Two-step login\n"
		     " |  1. Push\n"
		     " |  2. Phone call\n"
		     " |  code\n"
		     " | \n"
		     "(" WHOM ") Passcode or option (1-2): ");
	question_free(q);
}

static void A14_each_prompt_of_a_round_has_a_head(void **state)
{
	static const struct texts t = { "", "Both of them", { "User: ", "Token\nPIN: ", "" } };
	struct question *q = of_server(WHOM, &t);

	(void)state;
	assert_terminal(q, 0, HEAD ", question 1 of 3\n | Both of them\n(" WHOM ") User: ");
	assert_terminal(q, 1, HEAD ", question 2 of 3\n | Token\n(" WHOM ") PIN: ");
	assert_terminal(q, 2, HEAD ", question 3 of 3\n(" WHOM ") ? ");
	question_free(q);
}

static void A14_a_wrong_answer_is_said(void **state)
{
	static const struct texts t = { "", "", { "Code: ", "PIN: " } };
	struct question *q = of_server(WHOM, &t);

	(void)state;
	assert_int_equal(question_set_note(q, "that answer was not accepted"), 0);
	q->try = 2;
	q->tries = 3;
	assert_terminal(q, 0,
		"ssh-mux: that answer was not accepted (try 2 of 3)\n" HEAD
		", question 1 of 2\n(" WHOM ") Code: ");
	assert_terminal(q, 1, HEAD ", question 2 of 2\n(" WHOM ") PIN: ");
	question_free(q);
}

static void A14_a_picture_stays_one_and_blanks_do_not(void **state)
{
	static const struct texts t = { "", "   _   _\n  / \\ / \\\n ( j | P )   \n",
		{ "\xc2\xa0\xe3\x80\x80Letters:  \xe2\xa0\x80\n\n \n" } };
	struct question *q = of_server(WHOM, &t);

	(void)state;
	assert_terminal(q, 0,
		HEAD "\n"
		     " |    _   _\n"
		     " |   / \\ / \\\n"
		     " |  ( j | P )\n"
		     "(" WHOM ") Letters:");
	question_free(q);
}

static void A14_long_lines_are_broken_by_us(void **state)
{
	char drawn[120], address[110], text[400];
	struct texts t = { "", text,
		{ "one two three four five six seven eight nine ten eleven "
		  "twelve thirteen fourteen: " } };
	struct question *q;
	char want[1000];

	(void)state;
	memset(drawn, '=', sizeof(drawn));
	memset(address, 'a', sizeof(address));
	memcpy(address, "https://", 8);
	(void)snprintf(text, sizeof(text), "%.100s\nGo to %.100s now", drawn, address);
	q = of_server(WHOM, &t);
	(void)snprintf(want, sizeof(want),
		HEAD "\n | %.76s\n | Go to\n | %.100s\n | now\n"
		     " | one two three four five six seven eight nine ten eleven twelve thirteen\n"
		     "(" WHOM ") fourteen: ",
		drawn, address);
	assert_terminal(q, 0, want);
	question_free(q);
}

static void A14_there_is_a_screen_of_it_at_most(void **state)
{
	char text[600] = "", want[600];
	struct texts t = { "", text, { "Code: " } };
	struct question *q;
	size_t n = 0;

	(void)state;
	for (int i = 1; i <= 40; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "line %d\n", i);
	q = of_server(WHOM, &t);
	n = (size_t)snprintf(want, sizeof(want), HEAD "\n");
	for (int i = 1; i <= 40; i++) {
		if (i <= 8 || i > 32)
			n += (size_t)snprintf(want + n, sizeof(want) - n, " | line %d\n", i);
		if (i == 8)
			n += (size_t)snprintf(want + n, sizeof(want) - n, " | (24 more lines)\n");
	}
	(void)snprintf(want + n, sizeof(want) - n, "(" WHOM ") Code: ");
	assert_terminal(q, 0, want);
	question_free(q);
}

static void A14_our_own_have_neither_marks_nor_what_a_server_gets(void **state)
{
	struct question *q;

	(void)state;
	q = question_of_passphrase(WHOM, "/home/me/.ssh/id\n\x1b[2J");
	assert_terminal(q, 0, HEAD "\nEnter passphrase for key '/home/me/.ssh/id ': ");
	assert_false(question_is_permission(q));
	question_free(q);
	q = question_of_password(WHOM);
	assert_terminal(q, 0, HEAD "\n" WHOM "'s password: ");
	question_free(q);
	q = question_of_host_key(WHOM, "ssh-mux: the authenticity\nAre you sure (yes/no)? ", "The");
	assert_terminal(q, 0, "ssh-mux: the authenticity\nAre you sure (yes/no)? ");
	assert_false(
		question_is_permission(q)); /* as OpenSSH: there is a fingerprint to be typed */
	question_free(q);
	q = question_of_permission(WHOM, "ssh-mux: x\nAllow it (yes/no)? ");
	assert_true(question_is_permission(q));
	question_free(q);
}

static void assert_askpass(struct question *q, size_t at, const char *want)
{
	struct smx_buf out;

	smx_buf_init(&out, QUESTION_TEXT_MAX);
	assert_int_equal(question_put_askpass(q, at, &out), 0);
	assert_string_equal(smx_buf_cstr(&out), want);
	smx_buf_release(&out);
}

static void A14_to_an_askpass_go_openssh_s_own_words(void **state)
{
	static const struct texts t = { "Name", "Do it",
		{ "Duo login for me\n\n 1. Push\n\nOption (1-1): ", "Verification code: ", "" } };
	struct question *q = of_server(WHOM, &t);

	(void)state;
	assert_askpass(q, 0, "(" WHOM ") Duo login for me\n\n 1. Push\n\nOption (1-1): ");
	assert_askpass(q, 1, "(" WHOM ") Verification code: ");
	assert_askpass(q, 2, "(" WHOM ") ");
	question_free(q);
	q = question_of_password(WHOM);
	assert_askpass(q, 0, WHOM "'s password: ");
	question_free(q);
	q = question_of_passphrase(WHOM, "/k");
	assert_askpass(q, 0, "Enter passphrase for key '/k': ");
	question_free(q);
	q = question_of_host_key(WHOM, "ours", "The authenticity of host");
	assert_askpass(q, 0, "The authenticity of host");
	question_free(q);
}

static void assert_window(
	const struct question *q, size_t at, int is_own, const char *desc, const char *label)
{
	struct smx_buf d, l;

	smx_buf_init(&d, QUESTION_TEXT_MAX);
	smx_buf_init(&l, QUESTION_TEXT_MAX);
	assert_int_equal(question_put_window(q, at, is_own, &d, &l), 0);
	assert_string_equal(smx_buf_cstr(&d), desc);
	assert_string_equal(smx_buf_cstr(&l), label);
	smx_buf_release(&d);
	smx_buf_release(&l);
}

/* The place can't be told when it comes. */
static void A12_a_window_shows_what_was_said_before(void **state)
{
	static const struct texts t = { "", "Two-step login", { "Code: " } };
	static const char said[] = "Visit:\n  https://login.example/a\n\nssh-mux: \x1b[2Jyes\n";
	static const char rows[] = " | Visit:\n |   https://login.example/a\n | \n"
				   " | ssh-mux: yes\n";
	struct question *q = of_server(WHOM, &t);
	char desc[400];

	(void)state;
	assert_int_equal(question_set_said(q, said), 0);
	(void)snprintf(desc, sizeof(desc), "%s\n%s | Two-step login\n", HEAD, rows);
	assert_window(q, 0, 0, desc, "(" WHOM ") Code: ");
	/* Who is asked elsewhere has been told. */
	assert_terminal(q, 0, HEAD "\n | Two-step login\n(" WHOM ") Code: ");
	assert_int_equal(question_set_said(q, ""), 0);
	assert_window(q, 0, 0, HEAD "\n | Two-step login\n", "(" WHOM ") Code: ");
	question_free(q);
	q = question_of_password(WHOM);
	assert_int_equal(question_set_said(q, said), 0);
	(void)snprintf(desc, sizeof(desc), "%s\n%s", WHOM, rows);
	assert_window(q, 0, 1, desc, WHOM "'s password: ");
	question_free(q);
}

static void A14_in_a_window(void **state)
{
	static const struct texts t = { "", "Both",
		{ "User: ", "This prompt is too long to stand before the field of a window: " } };
	static const char host_key[] = "ssh-mux: the authenticity\nContinue (yes/no/[fp])? ";
	struct question *q = of_server(WHOM, &t);

	(void)state;
	assert_window(q, 0, 0, HEAD ", question 1 of 2\n | Both\n", "(" WHOM ") User: ");
	assert_window(q, 1, 1,
		WHOM ", question 2 of 2\n | Both\n"
		     " | This prompt is too long to stand before the field of a window:\n",
		"Answer: ");
	question_free(q);
	q = question_of_passphrase(WHOM, "/k");
	assert_window(q, 0, 0, HEAD "\n", "Enter passphrase for key '/k': ");
	question_free(q);
	q = question_of_host_key(WHOM, host_key, "The");
	assert_window(q, 0, 0, host_key, "");
	assert_window(q, 0, 1, WHOM "\nssh-mux: the authenticity\nContinue?", "");
	question_free(q);
}

/* --- hostile texts ------------------------------------------------------------------------------
 */

static const char *const ours[] = { HEAD, HEAD ", question 2 of 2", "ssh-mux: login to bank@vault",
	"ssh-mux: that answer was not accepted (try 2 of 3)",
	"ssh-mux: wrong passphrase, try again",
	"Enter passphrase for key '/home/me/.ssh/id': ", "me@bastion's password: ",
	"ssh-mux: the authenticity of host 'bank' (bank port 22) can't be established: the key is "
	"not known.",
	"ssh-ed25519 key fingerprint is SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
	"Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
	"Please type 'yes', 'no', 'art' for a picture of the key, or its fingerprint: ",
	"+--[ED25519 256]--+", "|      .o=+.      |", "+----[SHA256]-----+",
	"WARNING: this host has a certificate authority in known_hosts. Accepting this key gives "
	"up "
	"the protection of its certificates.",
	"Known for this host: ssh-rsa SHA256:47DEQpj8HBSa (/home/me/.ssh/known_hosts:3)",
	"ssh-mux: me@bastion asks your agent for a signature",
	"purpose: to log in somewhere as \"me\"", "key: ED25519 SHA256:47DEQpj8HBSa me@home",
	"Allow it (yes/no)? ", "The authenticity of host 'bank' can't be established.",
	"ssh-mux: waiting for the login to me@bastion: the password is asked for at a window" };

static const char *const pieces[] = { " ", "  ", "\t", "\n", "\r\n", "\r", "\n\n\n", "\v", "\f",
	"\b", "\x7f", "\x1b[2J", "\x1b[1;1H", "\x1b[31m", "\x1b[8m", "\x1b]0;t\x07",
	"\x1b]8;;http://x\x1b\\", "\x1bP1;2|x\x1b\\", "\x1b]2;", "\x1b[", "\x1b",
	"\x1b"
	"7",
	"\x1b"
	"c",
	"\xc2\x9b"
	"2J",
	"\x9b"
	"K",
	"\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa9",
	"\xe2\x80\x8b", "\xef\xbb\xbf", "\xc2\xa0", "\xe3\x80\x80", "\xe2\x80\x83", "\xe2\xa0\x80",
	"\xc2\xad", "\xcc\x81", "\xe5\xaf\x86\xe7\xa0\x81", "\xed\x95\x9c\xea\xb8\x80",
	"\xf0\x9f\x94\x91", "\xef\xbc\xa1", "\xff", "\xc0\x80", "\xe5\xaf", "x", "a b c ", "yes",
	"(me@bastion) ", " | ", "|", "ssh-mux: ", "https://example.org/a ", "https://" };

static uint64_t seed = 0x9e3779b97f4a7c15;

static size_t pick(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (size_t)(seed % n);
}

struct text {
	char *out;
	size_t size, used;
};

static void add(struct text *t, const char *text)
{
	size_t n = strlen(text);

	if (t->used + n < t->size) {
		memcpy(t->out + t->used, text, n + 1);
		t->used += n;
	}
}

static void add_run(struct text *t, const char *unit, size_t n)
{
	while (n--)
		add(t, unit);
}

/* One of ours at the beginning of a row, if rows were broken by the terminal, or by lines. */
static void add_fake(struct text *t)
{
	static const char *const fillers[] = { " ", "x", "\xc2\xa0", "\xe3\x80\x80", ".", "x " };
	size_t n = pick(3) ? 60 + pick(30) : pick(2000);

	if (pick(4) == 0)
		add(t, "https://");
	add_run(t, fillers[pick(SMX_ARRAY_LEN(fillers))], n);
	add(t, ours[pick(SMX_ARRAY_LEN(ours))]);
	if (pick(2))
		add(t, "\n");
}

static void generate(char *out, size_t size)
{
	struct text t = { out, size, 0 };

	*out = '\0';
	for (size_t n = pick(12); n; n--)
		switch (pick(5)) {
		case 0:
			add_fake(&t);
			break;
		case 1:
			add(&t, ours[pick(SMX_ARRAY_LEN(ours))]);
			break;
		case 2:
			add_run(&t, pieces[pick(SMX_ARRAY_LEN(pieces))], pick(400));
			break;
		default:
			add(&t, pieces[pick(SMX_ARRAY_LEN(pieces))]);
			break;
		}
}

static int starts_with(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static void check_none_is_ours(const char *row)
{
	char want[COLUMNS + 1];

	for (size_t i = 0; i < SMX_ARRAY_LEN(ours); i++) {
		(void)snprintf(want, sizeof(want), "%s", ours[i]);
		for (size_t n = strlen(want); n && want[n - 1] == ' '; n--)
			want[n - 1] = '\0';
		assert_string_not_equal(row, want);
	}
}

static void check_terminal(const struct question *q, size_t at)
{
	char row[COLUMNS + 1], head[COLUMNS + 1], prompt[COLUMNS + 1];
	struct screen s = { .row = 0 };
	char *text = terminal(q, at);
	size_t i;

	(void)snprintf(head, sizeof(head),
		q->n > 1 ? "ssh-mux: login to %.30s, question %zu of %zu"
			 : "ssh-mux: login to %.60s",
		q->whom, at + 1, q->n);
	(void)snprintf(prompt, sizeof(prompt), "(%.60s)", q->whom);
	show(&s, "\n");
	show(&s, text);
	smx_free(text);
	/* All of it is seen, and there is room to type. */
	assert_int_equal(s.n_scrolled, 0);
	assert_true(s.column < COLUMNS);
	row_text(&s, 0, row);
	assert_string_equal(row, "");
	row_text(&s, 1, row);
	assert_string_equal(row, head);
	row_text(&s, s.row, row);
	assert_false(s.is_full[s.row - 1]);
	assert_true(starts_with(row, prompt));
	check_none_is_ours(row);
	for (i = 2; i < s.row; i++) {
		row_text(&s, i, row);
		check_none_is_ours(row);
		if (!s.is_full[i - 1])
			assert_true(starts_with(row, *row && row[2] ? QUESTION_MARK : " |"));
		else
			assert_null(strchr(row, ' ')); /* a web address goes on */
	}
}

/* The rows as a terminal shows them that is told one after the other. */
static void check_said(const char *text)
{
	char row[COLUMNS + 1], line[QUESTION_TEXT_MAX];
	struct smx_buf out;
	struct screen s;
	size_t n = 0;

	smx_buf_init(&out, QUESTION_TEXT_MAX);
	assert_int_equal(question_put_said(WHOM, smx_view_of(text, strlen(text)), &out), 0);
	for (const char *p = smx_buf_cstr(&out), *end; *p; p = end + 1, n++) {
		end = strchr(p, '\n');
		assert_non_null(end);
		assert_int_equal(n > 0, starts_with(p, SMX_NOTICE_MARK));
		(void)snprintf(line, sizeof(line), "%s%.*s\r\n",
			n > 0 ? "" : "ssh-mux: ", (int)(end - p), p);
		memset(&s, 0, sizeof(s));
		show(&s, line);
		row_text(&s, 0, row);
		if (n == 0)
			assert_string_equal(row, "ssh-mux: " WHOM " says:");
		for (size_t i = 0; i < s.row; i++) {
			row_text(&s, i, row);
			check_none_is_ours(row);
			if (i > 0) {
				assert_true(s.is_full[i - 1]);
				assert_null(strchr(row, ' ')); /* a web address */
			}
		}
	}
	assert_true(n <= ROWS);
	smx_buf_release(&out);
}

/* A box of 74 columns breaks no row of them, but for a web address. */
static void check_box(const char *rows)
{
	char line[QUESTION_TEXT_MAX];
	struct screen s;

	for (const char *p = rows, *end; *p; p = end + 1) {
		end = strchr(p, '\n');
		assert_non_null(end);
		assert_true(starts_with(p, QUESTION_MARK));
		(void)snprintf(line, sizeof(line), "%.*s", (int)(end - p), p);
		memset(&s, 0, sizeof(s));
		show(&s, line);
		assert_true((s.row == 0 && s.column <= QUESTION_BOX) ||
			    !strchr(line + strlen(QUESTION_MARK), ' '));
	}
}

static void check_window(const struct question *q, size_t at)
{
	struct smx_buf desc, label;
	char prompt[COLUMNS + 1];
	const char *p;

	smx_buf_init(&desc, QUESTION_TEXT_MAX);
	smx_buf_init(&label, QUESTION_TEXT_MAX);
	assert_int_equal(question_put_window(q, at, 0, &desc, &label), 0);
	(void)snprintf(prompt, sizeof(prompt), "(%.60s) ", q->whom);
	p = smx_buf_cstr(&label);
	assert_true(starts_with(p, prompt) || strcmp(p, "Answer: ") == 0);
	p = smx_buf_cstr(&desc);
	assert_true(starts_with(p, "ssh-mux: login to "));
	assert_true(strlen(p) < 800);
	check_box(strchr(p, '\n') + 1);
	smx_buf_reset(&desc);
	assert_int_equal(question_put_terminal(q, at, QUESTION_BOX, &desc), 0);
	/* The last line is the label. */
	p = smx_buf_cstr(&desc);
	smx_buf_truncate(&desc, (size_t)(strrchr(p, '\n') + 1 - p));
	check_box(strchr(smx_buf_cstr(&desc), '\n') + 1);
	smx_buf_release(&desc);
	smx_buf_release(&label);
}

static void check_askpass(const struct question *q, size_t at)
{
	char prompt[COLUMNS + 1];
	struct smx_buf out;
	size_t n = 0;

	smx_buf_init(&out, QUESTION_TEXT_MAX);
	assert_int_equal(question_put_askpass(q, at, &out), 0);
	(void)snprintf(prompt, sizeof(prompt), "(%.60s) ", q->whom);
	assert_true(starts_with(smx_buf_cstr(&out), prompt));
	for (const char *p = smx_buf_cstr(&out); *p; p++) {
		n += *p == '\n';
		assert_true(*p == '\n' || (unsigned char)*p >= 0x20);
	}
	assert_true(n < 20);
	smx_buf_release(&out);
}

static void A14_no_server_makes_a_line_that_is_ours(void **state)
{
	static const char *const whoms[] = { WHOM, "a.rather.long.name@bastion.example.org",
		"somebody.with.a.name@a.host.whose.name.is.long.example.org" };
	static char name[8192], instruction[8192], prompts[3][1024];
	struct question *q;

	(void)state;
	for (int i = 0; i < TEXTS; i++) {
		struct texts t = { name, instruction, { prompts[0] } };

		generate(name, pick(8) ? 200 : sizeof(name));
		generate(instruction, pick(8) ? 1000 : sizeof(instruction));
		for (size_t n = 1 + pick(3), j = 0; j < n; j++) {
			generate(prompts[j], sizeof(prompts[j]));
			t.prompts[j] = prompts[j];
		}
		q = of_server(whoms[pick(t.prompts[1] ? 1 : SMX_ARRAY_LEN(whoms))], &t);
		assert_int_equal(question_set_said(q, pick(2) ? name : ""), 0);
		for (size_t at = 0; at < q->n; at++) {
			check_terminal(q, at);
			check_window(q, at);
			check_askpass(q, at);
		}
		question_free(q);
		check_said(instruction);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A14_a_menu_of_three_lines_is_three_lines),
		cmocka_unit_test(A14_each_prompt_of_a_round_has_a_head),
		cmocka_unit_test(A14_a_wrong_answer_is_said),
		cmocka_unit_test(A14_a_picture_stays_one_and_blanks_do_not),
		cmocka_unit_test(A14_long_lines_are_broken_by_us),
		cmocka_unit_test(A14_there_is_a_screen_of_it_at_most),
		cmocka_unit_test(A14_our_own_have_neither_marks_nor_what_a_server_gets),
		cmocka_unit_test(A14_to_an_askpass_go_openssh_s_own_words),
		cmocka_unit_test(A12_a_window_shows_what_was_said_before),
		cmocka_unit_test(A14_in_a_window),
		cmocka_unit_test(A14_no_server_makes_a_line_that_is_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
