/* SPDX-License-Identifier: MIT */
/* The live view: rates from counters, the picture of them, and keys (B10). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/watch/top.h"

#define ESC "\033"

/* ---- a daemon ----------------------------------------------------------------------------------
 */

static int add_connection(struct smx_status *st, uint64_t id, const char *key, uint64_t age_s,
	uint64_t in, uint64_t out)
{
	return smx_status_add_connection(st, &(struct smx_status_connection){ .id = id,
						     .key = key,
						     .state = "ready",
						     .age_s = age_s,
						     .channels = 2,
						     .bytes_in = in,
						     .bytes_out = out,
						     .rtt_ms = 14,
						     .idle_left_s = -1,
						     .lifetime_left_s = 43139 });
}

static int add_channel(struct smx_status *st, uint64_t id, const char *kind, uint64_t age_s,
	uint64_t in, uint64_t out)
{
	return smx_status_add_channel(st, &(struct smx_status_channel){ .id = id,
						  .connection = strcmp(kind, "tunnel") ? 5 : 3,
						  .client = 9,
						  .route = strcmp(kind, "tunnel") ? "web" : "",
						  .kind = kind,
						  .state = "open",
						  .age_s = age_s,
						  .bytes_in = in,
						  .bytes_out = out });
}

/* Connection 5 runs through 3, the jump host's: its bytes are in there, too. */
static int fill(struct smx_status *st, uint64_t in)
{
	int r;

	smx_status_init(st);
	st->pid = 4711;
	st->uptime_s = 3725;
	st->port = 2222;
	(void)((r = smx_status_set_daemon(
			st, "0.1.0", "/home/u/.ssh", "refused", "landlock v7, seccomp")) != 0 ||
		(r = smx_status_add_route(st,
			 &(struct smx_status_route){
				 .name = "web", .target = "u@web:22", .via = "u@jump:22" })) != 0 ||
		(r = add_connection(st, 3, "u@jump:22", 61, in + in / 10, 500)) != 0 ||
		(r = add_connection(st, 5, "u@web:22 via u@jump:22", 60, in, 400)) != 0 ||
		(r = add_channel(st, 5, "tunnel", 60, in, 400)) != 0 ||
		(r = add_channel(st, 11, "session", 59, in, 12)) != 0 ||
		(r = add_channel(st, 12, "direct-streamlocal@openssh.com", 58, 0, 0)) != 0 ||
		(r = smx_status_add_client(st, &(struct smx_status_client){ .id = 9,
						       .route = "web",
						       .age_s = 60,
						       .channels = 1,
						       .pid = 4800 })) != 0);
	return r;
}

static void take(struct top_model *m, uint64_t in, uint64_t now_ms)
{
	struct smx_status st;

	assert_int_equal(fill(&st, in), 0);
	assert_int_equal(top_model_take(m, &st, now_ms), 0);
	assert_null(st.connections);
	smx_status_release(&st);
}

/* ---- rates -------------------------------------------------------------------------------------
 */

static void B10_rates_are_differences(void **state)
{
	struct top_model m;

	(void)state;
	top_model_init(&m);
	take(&m, 1000000, 10000);
	/* What was there before nobody knows the age of. */
	assert_int_equal(top_model_rate(&m, 0, 5)->in_rate, 0);
	take(&m, 1500000, 12000);
	assert_int_equal(top_model_rate(&m, 0, 5)->in_rate, 250000);
	assert_int_equal(top_model_rate(&m, 0, 5)->out_rate, 0);
	assert_int_equal(top_model_rate(&m, 1, 11)->in_rate, 250000);
	assert_int_equal(top_model_rate(&m, 0, 3)->in_rate, 275000);
	/* The tunnel is in both connections: once is right. */
	assert_int_equal(m.total.in_rate, 275000);
	assert_null(top_model_rate(&m, 1, 3));
	assert_null(top_model_rate(&m, 0, 11));
	/* No time went by, or it went back, or a counter did: no rate, and nothing bad. */
	take(&m, 1600000, 12000);
	assert_int_equal(top_model_rate(&m, 0, 5)->in_rate, 0);
	take(&m, 1600000, 11000);
	take(&m, 5, 13000);
	assert_int_equal(top_model_rate(&m, 0, 5)->in_rate, 0);
	top_model_forget(&m);
	assert_null(top_model_rate(&m, 0, 5));
	take(&m, 1600000, 14000);
	assert_int_equal(m.total.in_rate, 0);
	top_model_release(&m);
}

static void B10_new_ones_began_at_nought(void **state)
{
	struct smx_status st;
	struct top_model m;

	(void)state;
	top_model_init(&m);
	take(&m, 0, 100000);
	assert_int_equal(fill(&st, 0), 0);
	assert_int_equal(add_channel(&st, 20, "session", 1, 3000, 30), 0);
	assert_int_equal(add_channel(&st, 21, "session", 50, 3000, 30), 0); /* old, and not seen? */
	assert_int_equal(top_model_take(&m, &st, 103000), 0);
	assert_int_equal(top_model_rate(&m, 1, 20)->in_rate, 1000);
	assert_int_equal(top_model_rate(&m, 1, 20)->out_rate, 10);
	assert_int_equal(top_model_rate(&m, 1, 21)->in_rate, 0);
	smx_status_release(&st);
	top_model_release(&m);
}

static uint64_t sum(const struct top_rate *r, uint64_t now_ms, unsigned n)
{
	uint64_t parts[60], all = 0;

	top_rate_history(r, now_ms, n, parts);
	for (unsigned i = 0; i < n; i++)
		all += parts[i];
	return all;
}

/* Every byte is in one second, whatever the interval; a minute later it is gone. */
static void B10_the_last_minute_adds_up(void **state)
{
	static const unsigned intervals[] = { 200, 333, 1000, 2500, 7777, 30000, 59999, 60000 };
	static const unsigned widths[] = { 1, 6, 10, 20, 30, 60 };
	uint64_t now, in, begun = 5000123;
	struct top_model m;

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(intervals); i++) {
		top_model_init(&m);
		now = begun;
		in = 0;
		take(&m, in, now);
		while (now + intervals[i] < begun + 59000) {
			now += intervals[i];
			take(&m, in += 1000003, now);
		}
		/* All seconds of it are over. */
		for (size_t w = 0; w < SMX_ARRAY_LEN(widths); w++)
			assert_int_equal(
				sum(top_model_rate(&m, 0, 5), (now / 1000 + 1) * 1000, widths[w]),
				in);
		for (unsigned k = 0; k < 70; k++)
			take(&m, in, now += 1000);
		assert_int_equal(sum(top_model_rate(&m, 0, 5), now, 10), 0);
		/* After a sleep of a day, what came meanwhile is mostly older than a minute. */
		take(&m, in + 86400 * 100, now += 86400 * 1000);
		assert_in_range(sum(top_model_rate(&m, 0, 5), now, 60), 5800, 6100);
		top_model_release(&m);
	}
}

/* ---- the picture -------------------------------------------------------------------------------
 */

static void text_is(const struct top_model *m, size_t width, int is_ascii, const char *expected)
{
	struct top_ui ui = { .look = { .width = width, .is_ascii = is_ascii } };
	struct smx_buf out;

	smx_buf_init(&out, 1 << 20);
	assert_int_equal(top_view_text(m, &ui, &out), 0);
	assert_string_equal(smx_buf_cstr(&out), expected);
	smx_buf_release(&out);
}

/* B7, B8: of each way that is known what may be under way; not in a narrow terminal. */
static void B8_windows_where_there_is_room(void **state)
{
	struct top_ui ui = { .look = { .width = 160, .is_ascii = 1 } };
	struct smx_status_connection c = { .id = 3,
		.key = "u@web:22",
		.state = "ready",
		.path = { .paced = 1, .least_rtt_us = 40123, .down_window = 98304 } };
	struct smx_status st;
	struct top_model m;
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, 1 << 20);
	top_model_init(&m);
	smx_status_init(&st);
	assert_int_equal(smx_status_add_connection(&st, &c), 0);
	c.id = 4;
	c.path.paced = 0;
	c.path.down_window = 0;
	assert_int_equal(smx_status_add_connection(&st, &c), 0);
	assert_int_equal(top_model_take(&m, &st, 1000), 0);
	assert_int_equal(top_view_text(&m, &ui, &out), 0);
	assert_non_null(strstr(smx_buf_cstr(&out), "40.1ms in 96.0K\n"));
	assert_non_null(strstr(smx_buf_cstr(&out), "40.1ms unpaced\n"));
	smx_buf_reset(&out);
	ui.look.width = 80;
	assert_int_equal(top_view_text(&m, &ui, &out), 0);
	assert_null(strstr(smx_buf_cstr(&out), "40.1ms"));
	smx_buf_release(&out);
	top_model_release(&m);
}

static void B10_the_view_as_text(void **state)
{
	struct top_model m;

	(void)state;
	top_model_init(&m);
	text_is(&m, 80, 1, "ssh-mux\n");
	take(&m, 0, 100000);
	take(&m, 10 << 20, 101000);
	text_is(&m, 80, 1,
		"ssh-mux 0.1.0  up 1h02m  port 2222  unlocked\n"
		"2 connections, 3 channels, 1 client  in 11.0M/s  out 0B/s  _________#\n"
		"\n"
		"ID ROUTE  CONNECTION         STATE    AGE CH   RTT   LEFT  IN/s OUT/s MINUTE\n"
		" 3 (jump) u@jump:22          ready  1m01s  2  14ms 11h58m 11.0M     - "
		"_________#\n"
		" 5 web    u@web:22 via u@ju~ ready  1m00s  2  14ms 11h58m 10.0M     - "
		"_________#\n"
		"\n"
		"ID CHANNEL  KIND        STATE CONN CLIENT    AGE    IN   OUT  IN/s OUT/s\n"
		"11 web      session     open     5   4800    59s 10.0M   12B 10.0M     -\n"
		"12 web      streamlocal open     5   4800    58s    0B    0B     -     -\n"
		" 5 (conn 5) tunnel      open     3      -  1m00s 10.0M  400B 10.0M     -\n");
	text_is(&m, 40, 0,
		"ssh-mux 0.1.0  up 1h02m  port 2222\n"
		"2 conn, 3 chan  in 11.0M/s  out 0B/s\n"
		"\n"
		"ROUTE  CONNECTION      STATE  IN/s OUT/s\n"
		"(jump) u@jump:22       ready 11.0M     -\n"
		"web    u@web:22 via u… ready 10.0M     -\n"
		"\n"
		"CHANNEL  KIND           AGE  IN/s OUT/s\n"
		"web      session        59s 10.0M     -\n"
		"web      streamlocal    58s     -     -\n"
		"(conn 5) tunnel       1m00s 10.0M     -\n");
	top_model_release(&m);
}

/* Places what top_view_screen gave on a grid; checks that it stays within. */
static char grid[64][512];

static void show_on(const struct smx_buf *out, size_t columns, size_t rows)
{
	const char *p = (const char *)smx_buf_view(out), *end = p + smx_buf_len(out);
	size_t row = 0, column = 0, bytes = 0;

	memset(grid, 0, sizeof(grid));
	while (p < end) {
		unsigned n = 0;

		if (*p != '\033') {
			assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
			assert_true(row >= 1 && row <= rows);
			column += ((unsigned char)*p & 0xc0) != 0x80;
			assert_true(column <= columns);
			grid[row][bytes++] = *p++;
			continue;
		}
		assert_true(*++p == '[');
		p++;
		if (*p == '?')
			p++;
		while (*p >= '0' && *p <= '9')
			n = n * 10 + (unsigned)(*p++ - '0');
		assert_non_null(strchr("HKhlm;", *p));
		while (*p == ';' || (*p >= '0' && *p <= '9'))
			p++;
		if (*p++ == 'H') {
			row = n;
			column = bytes = 0;
		}
	}
}

static void B10_every_size_of_terminal(void **state)
{
	struct top_model m;
	struct smx_buf out;

	(void)state;
	top_model_init(&m);
	take(&m, 0, 100000);
	take(&m, 123456789, 101000);
	m.st.locked = 1;
	for (int i = 0; i < 5; i++)
		assert_int_equal(smx_status_add_warning(&m.st, ESC "[2Jlook\tout: \xff there"), 0);
	smx_buf_init(&out, 1 << 20);
	for (size_t columns = 1; columns <= 150; columns++) {
		for (size_t rows = 1; rows <= 40; rows++) {
			struct top_ui ui = { .look = { .width = columns, .color = rows & 1 },
				.rows = rows,
				.scroll = rows * 7 % 5,
				.note = rows % 3 ? "the daemon has not answered for 3s" : "",
				.sort = rows % TOP_SORT_COUNT };

			assert_int_equal(top_view_screen(&m, &ui, &out), 0);
			show_on(&out, columns, rows);
			assert_true(grid[rows][0] == 'q' || columns < 2); /* the keys */
			smx_buf_reset(&out);
		}
	}
	smx_buf_release(&out);
	top_model_release(&m);
}

static void B10_scrolling_and_sorting(void **state)
{
	struct top_ui ui = { .look = { .width = 80, .is_ascii = 1 }, .rows = 8, .scroll = 1000 };
	struct top_model m;
	struct smx_buf out;

	(void)state;
	top_model_init(&m);
	take(&m, 0, 100000);
	take(&m, 10 << 20, 101000);
	smx_buf_init(&out, 1 << 20);
	assert_int_equal(top_view_screen(&m, &ui, &out), 0);
	show_on(&out, 80, 8);
	/* Seven lines, five of them shown: the last ones, however far somebody scrolled. */
	assert_int_equal(ui.page, 5);
	assert_int_equal(ui.scroll, 2);
	assert_memory_equal(grid[7], " 5 (conn 5)", 11); /* tunnels are below the sessions */
	assert_non_null(strstr(grid[8], "lines 3 to 7 of 7"));
	ui.scroll = 0;
	ui.sort = TOP_SORT_AGE;
	smx_buf_reset(&out);
	assert_int_equal(top_view_screen(&m, &ui, &out), 0);
	show_on(&out, 80, 8);
	assert_memory_equal(grid[4], " 5 web    u@web", 15); /* the younger one */
	assert_memory_equal(grid[7], "12 web ", 7);
	ui.sort = TOP_SORT_TRAFFIC;
	smx_buf_reset(&out);
	assert_int_equal(top_view_screen(&m, &ui, &out), 0);
	show_on(&out, 80, 8);
	assert_memory_equal(grid[4], " 3 (jump) u@jump", 16);
	smx_buf_release(&out);
	top_model_release(&m);
}

/* ---- tables ------------------------------------------------------------------------------------
 */

static void B10_tables_fit_their_width(void **state)
{
	static const uint8_t drops[] = { 2 };
	struct smx_cli_table t;
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, 4096);
	smx_cli_table_init(&t, 3, 0x4);
	for (int i = 0; i < 2; i++) {
		smx_cli_table_cell(&t, "b\xc3\xbc"
				       "cher-and-more");
		smx_cli_table_styled(&t, SMX_STYLE_GOOD, "ok");
		smx_cli_table_cell(&t, "%d", i ? 7 : 1234);
	}
	t.shrink_mask = 0x1;
	t.min_width[0] = 6;
	t.drops = drops;
	t.drop_count = 1;
	t.width = 20;
	assert_int_equal(smx_cli_table_print(&t, " ", &out), 0);
	assert_string_equal(smx_buf_cstr(&out), " b\xc3\xbc"
						"cher-a\xe2\x80\xa6  ok  1234\n b\xc3\xbc"
						"cher-a\xe2\x80\xa6  ok     7\n");
	smx_buf_reset(&out);
	t.width = 13; /* the last column goes */
	t.is_ascii = 1;
	t.color = 1;
	assert_int_equal(smx_cli_table_print(&t, " ", &out), 0);
	assert_string_equal(smx_buf_cstr(&out), " b\xc3\xbc"
						"cher-~  " ESC "[32mok" ESC "[0m\n b\xc3\xbc"
						"cher-~  " ESC "[32mok" ESC "[0m\n");
	smx_buf_reset(&out);
	t.width = 4; /* cut at the edge */
	t.color = 0;
	assert_int_equal(smx_cli_table_print(&t, " ", &out), 0);
	assert_string_equal(smx_buf_cstr(&out), " b\xc3\xbc~\n b\xc3\xbc~\n");
	smx_cli_table_release(&t);
	smx_buf_release(&out);
}

static void rates_in_five_columns(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} cases[] = { { 0, "0B" }, { 999, "999B" }, { 1000, "0.9K" }, { 1024, "1.0K" },
		{ 99 * 1024 + 1023, "99.9K" }, { 100 * 1024, "100K" }, { 1000 * 1024, "0.9M" },
		{ 1 << 20, "1.0M" }, { UINT64_MAX, "15.9E" } };
	char text[SMX_CLI_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++)
		assert_string_equal(smx_cli_text_rate(cases[i].n, text), cases[i].text);
	for (uint64_t n = 1; n < UINT64_MAX / 3; n = n * 2 + n / 3 + 1)
		assert_true(strlen(smx_cli_text_rate(n, text)) <= 5);
}

/* ---- keys --------------------------------------------------------------------------------------
 */

static void B10_keys_and_sequences(void **state)
{
	static const struct {
		const char *typed;
		enum top_key last;
	} cases[] = {
		{ "q", TOP_KEY_QUIT },
		{ "\x03", TOP_KEY_QUIT },
		{ ESC "[A", TOP_KEY_UP },
		{ ESC "OB", TOP_KEY_DOWN },
		{ ESC "[5~", TOP_KEY_PAGE_UP },
		{ ESC "[6~", TOP_KEY_PAGE_DOWN },
		{ ESC "[H", TOP_KEY_HOME },
		{ ESC "[4~", TOP_KEY_END },
		{ ESC "[1;5A", TOP_KEY_UP }, /* with Ctrl */
		{ ESC ESC "[A", TOP_KEY_UP },
		{ ESC "[99999999999999999999~", TOP_KEY_NONE },
		{ ESC "[200~", TOP_KEY_NONE },
		{ ESC "q", TOP_KEY_QUIT },
		{ ESC "[\x03", TOP_KEY_QUIT },
		{ "\xff", TOP_KEY_OTHER },
		{ "x", TOP_KEY_OTHER },
		{ "y", TOP_KEY_YES },
		{ "s", TOP_KEY_SORT },
		{ "l", TOP_KEY_LOCK },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct top_keys keys = { 0, 0 };
		enum top_key key = TOP_KEY_NONE;

		for (const char *s = cases[i].typed; *s; s++) {
			assert_int_equal(key, TOP_KEY_NONE); /* nothing before the last byte */
			key = top_keys_take(&keys, (uint8_t)*s);
		}
		assert_int_equal(key, cases[i].last);
		assert_int_equal(top_keys_take(&keys, 'j'), TOP_KEY_DOWN); /* and it is over */
	}
}

/* Routes of a connection: of its channels, else those that lead there, not of a twin's keys; and
 * the question before a lock. */
static void B10_P8_names_of_routes_and_the_question(void **state)
{
	struct smx_status_connection c = { .id = 3, .key = "u@web:22", .state = "ready" };
	struct smx_status_route r = { .target = "u@web:22", .via = "" };
	struct top_ui ui = { .look = { .is_ascii = 1 }, .rows = 24, .is_asking = 1 };
	static const char *const names[] = { "a", "ab", "b" };
	struct smx_status st;
	struct top_model m;
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, 1 << 20);
	top_model_init(&m);
	smx_status_init(&st);
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		r.name = names[i];
		r.via = i == 2 ? "u@jump:22" : "";
		assert_int_equal(smx_status_add_route(&st, &r), 0);
	}
	assert_int_equal(smx_status_add_connection(&st, &c), 0);
	c.key = "u@web:22 via u@jump:22";
	assert_int_equal(smx_status_add_connection(&st, &c), 0);
	c.key = "u@web:2222";
	assert_int_equal(smx_status_add_connection(&st, &c), 0);
	assert_int_equal(top_model_take(&m, &st, 1000), 0);
	assert_int_equal(top_view_text(&m, &ui, &out), 0);
	assert_non_null(strstr(smx_buf_cstr(&out), " 3  a,ab   u@web:22 "));
	assert_non_null(strstr(smx_buf_cstr(&out), " 3  b      u@web:22 via u@jump:22 "));
	assert_non_null(strstr(smx_buf_cstr(&out), " 3  -      u@web:2222 "));
	smx_buf_reset(&out);
	/* With other keys to the same place: which route is whose only channels tell. */
	c.key = "u@web:22";
	c.identity = "key other";
	c.id = 4;
	assert_int_equal(smx_status_add_connection(&m.st, &c), 0);
	assert_int_equal(smx_status_add_channel(&m.st, &(struct smx_status_channel){ .id = 7,
							       .connection = 4,
							       .route = "ab",
							       .kind = "session",
							       .state = "open" }),
		0);
	assert_int_equal(top_view_text(&m, &ui, &out), 0);
	assert_non_null(strstr(smx_buf_cstr(&out), " 3  -      u@web:22 (default keys)"));
	assert_non_null(strstr(smx_buf_cstr(&out), " 4  ab     u@web:22 (key other)"));
	smx_buf_reset(&out);
	ui.look.width = 80;
	assert_int_equal(top_view_screen(&m, &ui, &out), 0);
	show_on(&out, 80, 24);
	assert_string_equal(grid[24], "Lock, so that new sessions are refused? y/n");
	smx_buf_release(&out);
	top_model_release(&m);
}

static void failing_allocations(void **state)
{
	struct top_ui ui = { .look = { .width = 80, .color = 1 }, .rows = 24 };
	long before = smx_mem_alive(), n;
	struct smx_status st;
	int r;

	(void)state;
	for (n = 0, r = -1; r != 0; n++) {
		struct top_model m;
		struct smx_buf out;

		top_model_init(&m);
		smx_buf_init(&out, 1 << 20);
		smx_mem_fail_after(n);
		if ((r = fill(&st, 1000)) == 0 && (r = top_model_take(&m, &st, 1000)) == 0)
			r = top_view_screen(&m, &ui, &out);
		smx_mem_fail_after(-1);
		smx_status_release(&st);
		top_model_release(&m);
		smx_buf_release(&out);
		assert_int_equal(smx_mem_alive(), before);
		assert_true(r == 0 || r == SMX_ENOMEM);
	}
	assert_true(n > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B10_rates_are_differences),
		cmocka_unit_test(B10_new_ones_began_at_nought),
		cmocka_unit_test(B10_the_last_minute_adds_up),
		cmocka_unit_test(B10_the_view_as_text),
		cmocka_unit_test(B8_windows_where_there_is_room),
		cmocka_unit_test(B10_every_size_of_terminal),
		cmocka_unit_test(B10_scrolling_and_sorting),
		cmocka_unit_test(B10_tables_fit_their_width),
		cmocka_unit_test(rates_in_five_columns),
		cmocka_unit_test(B10_keys_and_sequences),
		cmocka_unit_test(B10_P8_names_of_routes_and_the_question),
		cmocka_unit_test(failing_allocations),
	};

	return cmocka_run_group_tests_name("cli_top", tests, NULL, NULL);
}
