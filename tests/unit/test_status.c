/* SPDX-License-Identifier: MIT */
/* Status snapshots: there and back (docs/PROTOCOL.md section 6; P2, P8, L5 shown). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "control/protocol.h"
#include "control/status.h"

static struct smx_view view(const char *s)
{
	return smx_view_of(s, strlen(s));
}

/* B7, B8 */
static const struct smx_status_path path = { .paced = 1,
	.least_rtt_us = 40123,
	.down_rate = 2400000,
	.up_rate = 7,
	.down_window = 96000,
	.up_window = 16000,
	.down_mode = "steady",
	.up_mode = "startup" };
#define PATH_TEXT                                                                           \
	"\"path\":{\"paced\":true,\"least_rtt_us\":40123,\"down_rate\":2400000,"            \
	"\"up_rate\":7,\"down_window\":96000,\"up_window\":16000,\"down_mode\":\"steady\"," \
	"\"up_mode\":\"startup\"}"

/* 0 or SMX_ENOMEM. */
static int fill(struct smx_status *st)
{
	int r;

	smx_status_init(st);
	st->pid = 4711;
	st->uptime_s = 12;
	st->locked = 1;
	st->port = 2222;
	(void)((r = smx_status_set_daemon(
			st, "0.1.0", "/home/u/.ssh", "refused", "landlock v7, seccomp")) != 0 ||
		(r = smx_status_add_warning(st, "downgrade: \"id_*.pub\" are taken")) != 0 ||
		(r = smx_status_add_route(st, &(struct smx_status_route){ .name = "web",
						      .target = "u@web:22",
						      .via = "u@jump:22",
						      .loopback = 1,
						      .control = "/run/web=u@web:22" })) != 0 ||
		(r = smx_status_add_route(st,
			 &(struct smx_status_route){ .name = "db", .target = "u@db:22" })) != 0 ||
		(r = smx_status_add_connection(st, &(struct smx_status_connection){ .id = 3,
							   .key = "u@web:22 via u@jump:22",
							   .state = "ready",
							   .age_s = 61,
							   .channels = 1,
							   .bytes_in = 1024,
							   .bytes_out = 99,
							   .rtt_ms = 14,
							   .path = path,
							   .idle_left_s = -1,
							   .lifetime_left_s = 43139 })) != 0 ||
		(r = smx_status_add_client(st, &(struct smx_status_client){ .id = 9,
						       .route = "web",
						       .age_s = 60,
						       .channels = 1,
						       .pid = -1 })) != 0 ||
		(r = smx_status_add_channel(st, &(struct smx_status_channel){ .id = 11,
							.connection = 3,
							.client = 9,
							.route = "web",
							.kind = "session",
							.state = "open",
							.age_s = 59,
							.bytes_in = 900,
							.bytes_out = 12 })) != 0);
	return r;
}

/* Feeds lines to a new snapshot; returns what the last one gave. */
static int read_back(struct smx_status *st, struct smx_buf *lines)
{
	size_t left = smx_buf_len(lines), used, longest = 0;
	const uint8_t *p = smx_buf_view(lines);
	struct smx_control_reader rd;
	struct smx_view line;
	int r = 0, last = 0;

	smx_control_reader_init(&rd);
	for (; left > 0; p += used, left -= used) {
		assert_int_equal(last, 0); /* nothing behind the last line */
		r = smx_control_reader_feed(&rd, p, left, &used, &line);
		assert_int_equal(r, 1);
		longest = used > longest ? used : longest;
		r = last = smx_status_from_line(st, line);
		assert_true(r >= 0);
	}
	smx_control_reader_release(&rd);
	assert_true(longest <= SMX_CONTROL_LINE_MAX);
	return r;
}

static const char lines_text[] =
	"{\"id\":1,\"ok\":true,\"more\":true,\"daemon\":{\"version\":\"0.1.0\",\"pid\":4711,"
	"\"uptime_s\":12,\"locked\":true,\"other_users\":\"refused\","
	"\"confined\":\"landlock v7, seccomp\",\"ssh_dir\":\"/home/u/"
	".ssh\",\"omitted\":0,\"port\":2222}}\n"
	"{\"id\":1,\"ok\":true,\"more\":true,\"warning\":\"downgrade: \\\"id_*.pub\\\" are "
	"taken\"}\n"
	"{\"id\":1,\"ok\":true,\"more\":true,\"route\":{\"name\":\"web\",\"target\":\"u@web:22\","
	"\"via\":\"u@jump:22\",\"loopback\":true,\"control\":\"/run/web=u@web:22\"}}\n"
	"{\"id\":1,\"ok\":true,\"more\":true,\"route\":{\"name\":\"db\",\"target\":\"u@db:22\","
	"\"via\":\"\",\"loopback\":false,\"control\":\"\"}}\n"
	"{\"id\":1,\"ok\":true,\"more\":true,\"connection\":{\"id\":3,\"key\":\"u@web:22 via "
	"u@jump:22\",\"identity\":\"\",\"state\":\"ready\",\"stalled_s\":0,\"age_s\":61,"
	"\"channels\":1,\"spares\":0,\"bytes_in\":"
	"1024,"
	"\"bytes_out\":99,\"rtt_ms\":14,\"idle_left_s\":-1,\"lifetime_left_s\":43139," PATH_TEXT
	"}}\n"
	"{\"id\":1,\"ok\":true,\"more\":true,\"client\":{\"id\":9,\"route\":\"web\",\"age_s\":60,"
	"\"channels\":1,\"pid\":-1}}\n"
	"{\"id\":1,\"ok\":true,\"more\":true,\"channel\":{\"id\":11,\"connection\":3,\"client\":9,"
	"\"route\":\"web\",\"kind\":\"session\",\"state\":\"open\",\"age_s\":59,\"bytes_in\":900,"
	"\"bytes_out\":12}}\n"
	"{\"id\":1,\"ok\":true}\n";

static const char json_text[] =
	"{\"version\":\"0.1.0\",\"pid\":4711,\"uptime_s\":12,\"locked\":true,\"other_users\":"
	"\"refused\",\"confined\":\"landlock v7, seccomp\",\"ssh_dir\":"
	"\"/home/u/.ssh\",\"omitted\":0,\"port\":2222,\"warnings\":[\"downgrade: \\\"id_*.pub\\\" "
	"are taken\"],\"routes\":[{\"name\":\"web\",\"target\":\"u@web:22\",\"via\":\"u@jump:22\","
	"\"loopback\":true,\"control\":\"/run/web=u@web:22\"},{\"name\":\"db\",\"target\":"
	"\"u@db:22\",\"via\":\"\",\"loopback\":false,\"control\":\"\"}],\"connections\":[{\"id\":3,"
	"\"key\":\"u@web:22 via "
	"u@jump:22\",\"identity\":\"\",\"state\":\"ready\",\"stalled_s\":0,"
	"\"age_s\":61,\"channels\":1,\"spares\":0,\"bytes_in\":1024,\"bytes_out\":99,\"rtt_ms\":14,"
	"\"idle_left_s\":-1,\"lifetime_left_s\":43139," PATH_TEXT
	"}],\"clients\":[{\"id\":9,\"route\":\"web\","
	"\"age_s\":60,\"channels\":1,\"pid\":-1}],\"channels\":[{\"id\":11,\"connection\":3,"
	"\"client\":9,\"route\":\"web\",\"kind\":\"session\",\"state\":\"open\",\"age_s\":59,"
	"\"bytes_in\":900,\"bytes_out\":12}]}";

static void there_and_back(void **state)
{
	struct smx_status st, got;
	struct smx_buf out, again;

	(void)state;
	smx_buf_init(&out, SMX_STATUS_LINES_MAX);
	smx_buf_init(&again, SMX_STATUS_LINES_MAX);
	assert_int_equal(fill(&st), 0);
	assert_int_equal(smx_status_to_lines(&out, 1, &st), 0);
	assert_string_equal(smx_buf_cstr(&out), lines_text);
	smx_status_init(&got);
	assert_int_equal(read_back(&got, &out), 1);
	assert_int_equal(got.locked, 1);
	assert_int_equal(got.port, 2222);
	assert_int_equal(got.route_count, 2);
	assert_int_equal(got.connections[0].idle_left_s, -1);
	assert_string_equal(got.connections[0].key, "u@web:22 via u@jump:22");
	assert_int_equal(got.connections[0].path.paced, 1);
	assert_int_equal(got.connections[0].path.least_rtt_us, 40123);
	assert_string_equal(got.connections[0].path.up_mode, "startup");
	assert_int_equal(smx_status_to_lines(&again, 1, &got), 0);
	assert_string_equal(smx_buf_cstr(&again), lines_text);
	smx_buf_reset(&again);
	assert_int_equal(smx_status_to_json(&again, &got), 0);
	assert_string_equal(smx_buf_cstr(&again), json_text);
	smx_status_release(&got);
	smx_status_release(&st);
	smx_buf_release(&out);
	smx_buf_release(&again);
}

static void empty_one(void **state)
{
	struct smx_status st, got;
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, SMX_STATUS_LINES_MAX);
	smx_status_init(&st);
	assert_int_equal(smx_status_to_lines(&out, 0, &st), 0);
	smx_status_init(&got);
	assert_int_equal(read_back(&got, &out), 1);
	assert_int_equal(got.pid, -1);
	assert_string_equal(got.version, "");
	smx_status_release(&got);
	smx_status_release(&st);
	smx_buf_release(&out);
}

/* The worst texts still make lines within the limit, and none of them reaches a terminal. */
static void s7_long_and_hostile_texts(void **state)
{
	static char text[5000];
	struct smx_status st, got;
	struct smx_buf out;
	static const char *const units[] = { "\"", "\\", "\x1b", "\n", "\xff", "\xe2\x80\xa8",
		"\xf0\x9f\x98\x80", "\xc2\x9b" };

	(void)state;
	smx_buf_init(&out, SMX_STATUS_LINES_MAX);
	for (size_t i = 0; i < SMX_ARRAY_LEN(units); i++) {
		size_t unit = strlen(units[i]);

		for (size_t k = 0; k + unit < sizeof(text); k += unit)
			memcpy(text + k, units[i], unit + 1);
		smx_status_init(&st);
		assert_int_equal(smx_status_set_daemon(&st, text, text, text, text), 0);
		assert_int_equal(smx_status_add_warning(&st, text), 0);
		assert_int_equal(smx_status_add_route(&st,
					 &(struct smx_status_route){
						 .name = text, .target = text, .via = text }),
			0);
		assert_int_equal(smx_status_add_connection(&st,
					 &(struct smx_status_connection){ .key = text,
						 .state = text,
						 .id = UINT64_MAX,
						 .age_s = UINT64_MAX,
						 .channels = UINT64_MAX,
						 .bytes_in = UINT64_MAX,
						 .bytes_out = UINT64_MAX,
						 .rtt_ms = INT64_MAX,
						 .path = { 1, UINT64_MAX, UINT64_MAX, UINT64_MAX,
							 UINT64_MAX, UINT64_MAX, text, text },
						 .idle_left_s = INT64_MIN,
						 .lifetime_left_s = INT64_MAX }),
			0);
		assert_int_equal(smx_status_add_channel(&st,
					 &(struct smx_status_channel){
						 .route = text, .kind = text, .state = text }),
			0);
		assert_int_equal(smx_status_to_lines(&out, (int64_t)1 << 52, &st), 0);
		smx_status_init(&got);
		assert_int_equal(read_back(&got, &out), 1);
		assert_true(strlen(got.routes[0].via) <= SMX_STATUS_TEXT_MAX);
		assert_true(strlen(got.routes[0].via) > SMX_STATUS_TEXT_MAX - 4);
		assert_null(strpbrk(got.routes[0].via, "\x1b\n\xff\x9b"));
		assert_true(got.connections[0].bytes_in == ((uint64_t)1 << 53) - 1);
		assert_int_equal(got.connections[0].idle_left_s, -1);
		smx_status_release(&got);
		smx_status_release(&st);
		smx_buf_reset(&out);
	}
	smx_buf_release(&out);
}

static void counts_are_capped(void **state)
{
	struct smx_status st;

	(void)state;
	smx_status_init(&st);
	for (int i = 0; i < SMX_STATUS_WARNINGS_MAX + 3; i++)
		assert_int_equal(smx_status_add_warning(&st, "w"), 0);
	for (int i = 0; i < SMX_STATUS_ROUTES_MAX + 2; i++)
		assert_int_equal(
			smx_status_add_route(&st, &(struct smx_status_route){ .name = "r" }), 0);
	assert_int_equal(st.warning_count, SMX_STATUS_WARNINGS_MAX);
	assert_int_equal(st.route_count, SMX_STATUS_ROUTES_MAX);
	assert_int_equal(st.omitted, 5);
	smx_status_release(&st);
}

static void unknown_things_are_skipped(void **state)
{
	struct smx_status st;

	(void)state;
	smx_status_init(&st);
	assert_int_equal(smx_status_from_line(&st,
				 view("{\"id\":1,\"ok\":true,\"more\":true,\"tunnel\":{\"x\":1}}")),
		0);
	assert_int_equal(
		smx_status_from_line(&st,
			view("{\"id\":1,\"ok\":true,\"more\":true,\"connection\":{\"new\":[]}}")),
		0);
	assert_int_equal(st.connection_count, 1);
	assert_int_equal(st.connections[0].rtt_ms, -1); /* what a missing one means */
	assert_int_equal(st.connections[0].age_s, 0);
	assert_int_equal(st.connections[0].path.paced, 0); /* of an older daemon */
	assert_string_equal(st.connections[0].path.down_mode, "");
	assert_string_equal(st.connections[0].state, "");
	assert_int_equal(smx_status_from_line(&st, view("{\"ok\":true,\"more\":false}")), 1);
	smx_status_release(&st);
}

static void malformed(void **state)
{
	static const char *const lines[] = {
		"",
		"[]",
		"{\"id\":1}",
		"{\"id\":1,\"ok\":false}",
		"{\"id\":1,\"ok\":true,\"more\":1}",
		"{\"id\":1,\"ok\":true,\"daemon\":1}",
		"{\"id\":1,\"ok\":true,\"daemon\":{\"port\":65536}}",
		"{\"id\":1,\"ok\":true,\"daemon\":{\"locked\":1}}",
		"{\"id\":1,\"ok\":true,\"warning\":{}}",
		"{\"id\":1,\"ok\":true,\"route\":[]}",
		"{\"id\":1,\"ok\":true,\"route\":{\"name\":1}}",
		"{\"id\":1,\"ok\":true,\"connection\":{\"id\":-1}}",
		"{\"id\":1,\"ok\":true,\"connection\":{\"rtt_ms\":-2}}",
		"{\"id\":1,\"ok\":true,\"connection\":{\"bytes_in\":1e3}}",
		"{\"id\":1,\"ok\":true,\"connection\":{\"path\":1}}",
		"{\"id\":1,\"ok\":true,\"connection\":{\"path\":{\"up_rate\":-1}}}",
		"{\"id\":1,\"ok\":true,\"client\":\"x\"}",
		"{\"id\":1,\"ok\":true,\"channel\":{\"connection\":\"x\"}}",
	};
	struct smx_status st;

	(void)state;
	smx_status_init(&st);
	for (size_t i = 0; i < SMX_ARRAY_LEN(lines); i++)
		assert_int_equal(smx_status_from_line(&st, view(lines[i])), SMX_EFORMAT);
	assert_int_equal(
		st.route_count + st.connection_count + st.client_count + st.channel_count, 0);
	smx_status_release(&st);
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
	struct smx_status st;
	struct smx_buf out;

	(void)state;
	assert_int_equal(fill(&st), 0);
	smx_buf_init(&out, 400);
	assert_int_equal(smx_buf_put_str(&out, "before"), 0);
	assert_int_equal(smx_status_to_lines(&out, 1, &st), SMX_ELIMIT);
	assert_string_equal(smx_buf_cstr(&out), "before");
	assert_int_equal(smx_status_to_json(&out, &st), SMX_ELIMIT);
	assert_string_equal(smx_buf_cstr(&out), "before");
	smx_buf_release(&out);
	smx_status_release(&st);
}

static int build_both(void)
{
	struct smx_status st;
	struct smx_buf out;
	int r;

	smx_buf_init(&out, 65536);
	if ((r = fill(&st)) == 0 && (r = smx_status_to_lines(&out, 1, &st)) == 0)
		r = smx_status_to_json(&out, &st);
	smx_buf_release(&out);
	smx_status_release(&st);
	return r;
}

static int parse_all(void)
{
	char text[sizeof(lines_text)], *line = text, *end;
	struct smx_status st;
	int r = 0;

	memcpy(text, lines_text, sizeof(text));
	smx_status_init(&st);
	for (; r == 0 && (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		r = smx_status_from_line(&st, view(line));
	}
	smx_status_release(&st);
	return r;
}

static void failing_allocations(void **state)
{
	long before = smx_mem_alive(), n;
	int r;

	(void)state;
	for (n = 0, r = -1; r != 0; n++) {
		smx_mem_fail_after(n);
		r = build_both();
		smx_mem_fail_after(-1);
		assert_int_equal(smx_mem_alive(), before);
		assert_true(r == 0 || r == SMX_ENOMEM);
	}
	assert_true(n > 50);
	for (n = 0, r = -1; r < 0; n++) {
		smx_mem_fail_after(n);
		r = parse_all();
		smx_mem_fail_after(-1);
		assert_int_equal(smx_mem_alive(), before);
		assert_true(r == 1 || r == SMX_ENOMEM);
	}
	assert_true(n > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(empty_one),
		cmocka_unit_test(s7_long_and_hostile_texts),
		cmocka_unit_test(counts_are_capped),
		cmocka_unit_test(unknown_things_are_skipped),
		cmocka_unit_test(malformed),
		cmocka_unit_test(a_full_buffer_is_left_as_it_was),
		cmocka_unit_test(failing_allocations),
	};

	return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
