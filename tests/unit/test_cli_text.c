/* SPDX-License-Identifier: MIT */
/* What the command line understands and what it prints (D1, R6, P8, L5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"

/* ---- a daemon that only remembers what it was asked for -----------------------------------------
 */

static struct {
	int calls, result;
	struct smx_serve_options opts;
	char ssh_dir[256], routes_path[256], remote_host[256], remote_user[256];
} daemon_seen;

static void remember(char out[256], const char *s)
{
	(void)snprintf(out, 256, "%s", s ? s : "");
}

int smx_daemon_run(const struct smx_serve_options *opts)
{
	daemon_seen.calls++;
	daemon_seen.opts = *opts;
	remember(daemon_seen.ssh_dir, opts->ssh_dir);
	remember(daemon_seen.routes_path, opts->routes_path);
	remember(daemon_seen.remote_host, opts->remote_host);
	remember(daemon_seen.remote_user, opts->remote_user);
	return daemon_seen.result;
}

/* ---- running the command line -------------------------------------------------------------------
 */

static char out_text[16384], err_text[16384];

static void slurp(FILE *f, char *text, size_t size)
{
	size_t n;

	rewind(f);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	fclose(f);
}

/* Words separated by blanks; "''" is an empty one. */
static int run(const char *words)
{
	FILE *out = tmpfile(), *err = tmpfile();
	int saved_out = dup(1), saved_err = dup(2), argc = 0, code;
	char text[1024], *argv[32], *word, *rest = text;

	(void)snprintf(text, sizeof(text), "%s", words);
	while ((word = strsep(&rest, " ")) != NULL && argc < 31)
		argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
	argv[argc] = NULL;
	fflush(stdout);
	fflush(stderr);
	assert_true(dup2(fileno(out), 1) == 1 && dup2(fileno(err), 2) == 2);
	optind = 0; /* glibc, musl: start anew */
	code = smx_cli_main(argc, argv);
	fflush(stdout);
	fflush(stderr);
	assert_true(dup2(saved_out, 1) == 1 && dup2(saved_err, 2) == 2);
	close(saved_out);
	close(saved_err);
	slurp(out, out_text, sizeof(out_text));
	slurp(err, err_text, sizeof(err_text));
	return code;
}

static void expect_error(int code, const char *words, const char *says)
{
	int got = run(words);
	char *newline = strchr(err_text, '\n');

	if (got != code || !strstr(err_text, says))
		print_message("%s\n%d %s%s", words, got, err_text, out_text);
	assert_int_equal(got, code);
	assert_non_null(strstr(err_text, says));
	assert_memory_equal(err_text, "ssh-mux: ", 9);
	assert_true(newline && newline[1] == '\0'); /* one line */
	assert_string_equal(out_text, "");
}

static char dir[64];

static int group_setup(void **state)
{
	char path[128];
	FILE *f;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/smx-cli-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(setenv("SSH_MUX_SSH_DIR", dir, 1), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
	(void)snprintf(path, sizeof(path), "%s/other.toml", dir);
	assert_non_null(f = fopen(path, "w"));
	fclose(f);
	return 0;
}

static int group_teardown(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

/* ---- D1 -----------------------------------------------------------------------------------------
 */

static void d1_help_and_version_everywhere(void **state)
{
	static const char *const commands[] = { "serve", "status", "stop", "lock", "unlock",
		"proxy", "connect", "daemon" };
	char words[64], usage[64];

	(void)state;
	assert_int_equal(run("ssh-mux --help"), 0);
	for (size_t i = 0; i < SMX_ARRAY_LEN(commands); i++) {
		(void)snprintf(words, sizeof(words), "\n  %s ", commands[i]);
		assert_non_null(strstr(out_text, words));
	}
	assert_string_equal(err_text, "");
	assert_int_equal(run("ssh-mux --version"), 0);
	assert_string_equal(out_text, "ssh-mux " SMX_VERSION "\n");
	for (size_t i = 0; i < SMX_ARRAY_LEN(commands); i++) {
		(void)snprintf(usage, sizeof(usage), "usage: ssh-mux %s", commands[i]);
		for (int k = 0; k < 2; k++) {
			(void)snprintf(words, sizeof(words), "ssh-mux %s %s", commands[i],
				k ? "--help" : "-h");
			assert_int_equal(run(words), 0);
			assert_memory_equal(out_text, usage, strlen(usage));
			for (const char *line = out_text; line; line = strchr(line + 1, '\n'))
				assert_true(strcspn(line + 1, "\n") <= 100);
			(void)snprintf(words, sizeof(words), "ssh-mux %s %s", commands[i],
				k ? "--version" : "-V");
			assert_int_equal(run(words), 0);
			assert_string_equal(out_text, "ssh-mux " SMX_VERSION "\n");
		}
	}
	assert_int_equal(run("ssh-mux"), SMX_EXIT_USAGE);
	assert_string_equal(out_text, "");
}

static void d1_unknown_words_suggest_the_nearest(void **state)
{
	(void)state;
	expect_error(64, "ssh-mux statsu", "did you mean: ssh-mux status");
	expect_error(64, "ssh-mux stauts", "did you mean: ssh-mux status");
	expect_error(64, "ssh-mux unlok", "did you mean: ssh-mux unlock");
	expect_error(64, "ssh-mux serv", "did you mean: ssh-mux serve");
	expect_error(64, "ssh-mux frobnicate", "unknown command frobnicate; see: ssh-mux --help");
	expect_error(64, "ssh-mux conect", "did you mean: ssh-mux connect");
	expect_error(64, "ssh-mux connect", "connect takes a route, or user@host[:port]");
	expect_error(64, "ssh-mux connect -x t", "connect: unknown option -x");
	expect_error(64, "ssh-mux connect a/b", "may only have letters");
	expect_error(64, "ssh-mux connect u@h:99999", "write it as user@host:port");
	expect_error(64, "ssh-mux connect -- -u@h", "the user name -u must not start with '-'");
	expect_error(64, "ssh-mux daemon --port 0", "daemon: --port must be a number");
	expect_error(64, "ssh-mux daemon --no-lisen", "did you mean --no-listen?");
	expect_error(64, "ssh-mux daemon now", "daemon: unexpected argument now");
	expect_error(64, "ssh-mux ''", "see: ssh-mux --help");
	expect_error(64, "ssh-mux --bogus", "unknown option --bogus");
	expect_error(64, "ssh-mux status --jsn", "unknown option --jsn; did you mean --json?");
	expect_error(64, "ssh-mux serve --time-out=5", "did you mean --timeout?");
	expect_error(64, "ssh-mux serve --prot 5", "did you mean --port?");
	expect_error(64, "ssh-mux serve --listen 0.0.0.0", "see: ssh-mux serve --help");
	expect_error(64, "ssh-mux lock -x", "lock: unknown option -x");
	expect_error(64, "ssh-mux lock now", "lock: unexpected argument now");
	expect_error(64, "ssh-mux lock now --bogus", "unexpected argument now");
	expect_error(64, "ssh-mux stop --help=1", "--help takes no value");
	expect_error(64, "ssh-mux serve --port", "--port needs a value");
	expect_error(64, "ssh-mux serve -p", "-p needs a value");
	expect_error(64, "ssh-mux \x1b[2J\nx", "unknown command ?[2J?x");
}

static void d1_no_daemon(void **state)
{
	static const char *const words[] = { "ssh-mux status", "ssh-mux status --json",
		"ssh-mux stop", "ssh-mux lock", "ssh-mux unlock" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(words); i++) {
		expect_error(69, words[i], "no daemon is running");
		assert_non_null(strstr(err_text, "; start one: ssh-mux serve"));
	}
}

/* ---- serve --------------------------------------------------------------------------------------
 */

static void r6_serve_direct(void **state)
{
	const struct smx_serve_options *o = &daemon_seen.opts;

	(void)state;
	daemon_seen.calls = daemon_seen.result = 0;
	assert_int_equal(run("ssh-mux serve --remote example.com:2200 -u me"), 0);
	assert_int_equal(daemon_seen.calls, 1);
	assert_null(o->routes_path);
	assert_string_equal(daemon_seen.remote_host, "example.com");
	assert_string_equal(daemon_seen.remote_user, "me");
	assert_string_equal(daemon_seen.ssh_dir, dir);
	assert_int_equal(o->remote_port, 2200);
	assert_int_equal(o->port, 2222);
	assert_int_equal(o->idle_timeout_s, 600);
	assert_int_equal(o->max_lifetime_s, 43200);
	assert_int_equal(o->log_level, SMX_LOG_INFO);
	assert_int_equal(
		run("ssh-mux serve -p 99 --remote [fe80::1]:1 --user=u@corp.com --timeout 5 "
		    "--max-lifetime 0 --log-level debug"),
		0);
	assert_string_equal(daemon_seen.remote_host, "fe80::1");
	assert_string_equal(daemon_seen.remote_user, "u@corp.com");
	assert_int_equal(o->remote_port, 1);
	assert_int_equal(o->port, 99);
	assert_int_equal(o->idle_timeout_s, 5);
	assert_int_equal(o->max_lifetime_s, 0);
	assert_int_equal(o->log_level, SMX_LOG_DEBUG);
	assert_int_equal(run("ssh-mux serve --remote [::1] -u u"), 0);
	assert_int_equal(o->remote_port, 22);
	assert_string_equal(daemon_seen.remote_host, "::1");
	assert_int_equal(run("ssh-mux serve --remote host -u u"), 0);
	assert_int_equal(o->remote_port, 22);
	assert_int_equal(daemon_seen.calls, 4);
}

static void serve_routed(void **state)
{
	char words[256], expected[256];

	(void)state;
	daemon_seen.calls = daemon_seen.result = 0;
	expect_error(66, "ssh-mux serve", "there is no routes file");
	assert_non_null(strstr(err_text, "--remote host:port -u user"));
	(void)snprintf(words, sizeof(words), "ssh-mux serve --config %s/missing.toml", dir);
	expect_error(66, words, "missing.toml");
	assert_int_equal(daemon_seen.calls, 0);
	(void)snprintf(words, sizeof(words), "ssh-mux serve --config %s/./other.toml", dir);
	(void)snprintf(expected, sizeof(expected), "%s/other.toml", dir);
	assert_int_equal(run(words), 0);
	assert_string_equal(daemon_seen.routes_path, expected);
	assert_null(daemon_seen.opts.remote_host);
	(void)snprintf(expected, sizeof(expected), "%s/" SMX_ROUTES_FILE, dir);
	assert_int_equal(rename(daemon_seen.routes_path, expected), 0);
	assert_int_equal(run("ssh-mux serve"), 0);
	assert_string_equal(daemon_seen.routes_path, expected);
	assert_int_equal(daemon_seen.calls, 2);
}

static void serve_refuses(void **state)
{
	(void)state;
	daemon_seen.calls = 0;
	expect_error(64, "ssh-mux serve --remote h:1", "add -u USER");
	expect_error(64, "ssh-mux serve -u me", "-u goes with --remote");
	expect_error(64, "ssh-mux serve --remote h:1 -u u --config x", "exclude each other");
	expect_error(64, "ssh-mux serve --remote u@h:1 -u u", "give the user with -u");
	expect_error(64, "ssh-mux serve --remote fe80::1 -u u", "[address]:port");
	expect_error(64, "ssh-mux serve --remote [::1 -u u", "[address]:port");
	expect_error(64, "ssh-mux serve --remote [::1]x -u u", "[address]:port");
	expect_error(64, "ssh-mux serve --remote h:0 -u u", "port of --remote");
	expect_error(64, "ssh-mux serve --remote h:65536 -u u", "port of --remote");
	expect_error(64, "ssh-mux serve --remote h: -u u", "port of --remote");
	expect_error(64, "ssh-mux serve --remote :22 -u u", "the host of --remote");
	expect_error(64, "ssh-mux serve --remote -oProxyCommand=x:22 -u u", "the host of --remote");
	expect_error(64, "ssh-mux serve --remote h;x:22 -u u", "the host of --remote");
	expect_error(64, "ssh-mux serve --remote h:1 -u -x", "user name -x");
	expect_error(64, "ssh-mux serve --remote h:1 -u ''", "user name");
	expect_error(64, "ssh-mux serve --port 0", "from 1 to 65535, not 0");
	expect_error(64, "ssh-mux serve --port 65536", "from 1 to 65535");
	expect_error(64, "ssh-mux serve --port 22x", "from 1 to 65535");
	expect_error(64, "ssh-mux serve --port +22", "from 1 to 65535");
	expect_error(64, "ssh-mux serve --port ''", "from 1 to 65535");
	expect_error(64, "ssh-mux serve --timeout 0", "--timeout must be");
	expect_error(64, "ssh-mux serve --timeout 4294967296", "--timeout must be");
	expect_error(64, "ssh-mux serve --max-lifetime -1", "--max-lifetime must be");
	expect_error(64, "ssh-mux serve --log-level loud", "error, warn, info or debug");
	expect_error(64, "ssh-mux serve x", "unexpected argument x");
	assert_int_equal(daemon_seen.calls, 0);
}

/* S4: an override that can't be trusted is not followed, and that is said. */
static void s4_bad_ssh_dir_is_warned_about(void **state)
{
	(void)state;
	daemon_seen.calls = daemon_seen.result = 0;
	assert_int_equal(setenv("SSH_MUX_SSH_DIR", "relative", 1), 0);
	assert_int_equal(run("ssh-mux serve --remote h -u u"), 0);
	assert_int_equal(setenv("SSH_MUX_SSH_DIR", dir, 1), 0);
	assert_non_null(strstr(err_text, "ssh-mux: warning: SSH_MUX_SSH_DIR is ignored"));
	assert_string_not_equal(daemon_seen.ssh_dir, "relative");
}

static void d1_exit_codes(void **state)
{
	static const struct {
		int err, code;
	} cases[] = {
		{ 0, 0 },
		{ SMX_EINVAL, 64 },
		{ SMX_ENOTFOUND, 66 },
		{ SMX_EEXISTS, 69 },
		{ SMX_ECRYPTO, 70 },
		{ SMX_ENOMEM, 71 },
		{ SMX_EFORMAT, 76 },
		{ SMX_EUNSAFE, 77 },
		{ SMX_ESYNTAX, 78 },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		daemon_seen.result = cases[i].err;
		assert_int_equal(run("ssh-mux serve --remote h -u u"), cases[i].code);
		assert_string_equal(err_text, ""); /* the daemon has said it */
	}
	daemon_seen.result = 0;
}

/* ---- texts --------------------------------------------------------------------------------------
 */

static void ages_and_bytes(void **state)
{
	static const struct {
		uint64_t n;
		const char *age, *bytes;
	} cases[] = {
		{ 0, "0s", "0 B" },
		{ 59, "59s", "59 B" },
		{ 60, "1m00s", "60 B" },
		{ 192, "3m12s", "192 B" },
		{ 1023, "17m03s", "1023 B" },
		{ 1024, "17m04s", "1.0 KiB" },
		{ 3599, "59m59s", "3.5 KiB" },
		{ 3600, "1h00m", "3.5 KiB" },
		{ 86399, "23h59m", "84.3 KiB" },
		{ 86400, "1d00h", "84.3 KiB" },
		{ 1048575, "12d03h", "1023.9 KiB" },
		{ 1048576, "12d03h", "1.0 MiB" },
		{ 12897485, "149d06h", "12.3 MiB" },
		{ UINT64_MAX, "213503982334601d07h", "15.9 EiB" },
	};
	char text[SMX_CLI_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		assert_string_equal(smx_cli_text_age(cases[i].n, text), cases[i].age);
		assert_string_equal(smx_cli_text_bytes(cases[i].n, text), cases[i].bytes);
	}
}

static const struct smx_cli_look plain;

/* 0 or SMX_ENOMEM. */
static int fill(struct smx_status *st)
{
	int r;

	smx_status_init(st);
	st->pid = 4711;
	st->uptime_s = 5025;
	st->port = 2222;
	(void)((r = smx_status_set_daemon(
			st, "0.1.0", "/home/u/.ssh", "refused", "landlock v7, seccomp")) != 0 ||
		(r = smx_status_add_route(st, &(struct smx_status_route){ .name = "web",
						      .target = "u@web.example:22",
						      .via = "u@jump:22",
						      .loopback = 1 })) != 0 ||
		(r = smx_status_add_route(st, &(struct smx_status_route){ .name = "b\xc3\xbc"
										  "cher",
						      .target = "u@db:2200" })) != 0 ||
		(r = smx_status_add_connection(st, &(struct smx_status_connection){ .id = 3,
							   .key = "u@web.example:22 via u@jump:22",
							   .state = "ready",
							   .age_s = 192,
							   .channels = 12,
							   .bytes_in = 12897485,
							   .bytes_out = 99,
							   .rtt_ms = 14,
							   .path = { .paced = 1,
								   .least_rtt_us = 13951,
								   .down_rate = 2411725,
								   .down_window = 98304 },
							   .idle_left_s = -1,
							   .lifetime_left_s = 43008 })) != 0 ||
		(r = smx_status_add_connection(st, &(struct smx_status_connection){ .id = 10,
							   .key = "u@jump:22",
							   .state = "login",
							   .rtt_ms = -1,
							   .idle_left_s = 597,
							   .lifetime_left_s = -1 })) != 0 ||
		(r = smx_status_add_client(st, &(struct smx_status_client){ .id = 9,
						       .route = "web",
						       .age_s = 60,
						       .channels = 1,
						       .pid = 4800 })) != 0);
	return r;
}

static void status_table(void **state)
{
	struct smx_status st;
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, 65536);
	assert_int_equal(fill(&st), 0);
	assert_int_equal(smx_cli_status_text(&st, &plain, &out), 0);
	assert_string_equal(smx_buf_cstr(&out),
		"ssh-mux 0.1.0, process 4711, up 1h23m, 127.0.0.1 port 2222\n"
		"SSH directory /home/u/.ssh\n"
		"confined: landlock v7, seccomp\n"
		"\n"
		"Routes: 2\n"
		"  NAME    TARGET            VIA        LOOPBACK PORTS\n"
		"  web     u@web.example:22  u@jump:22  any\n"
		"  b\xc3\xbc"
		"cher  u@db:2200         direct     denied\n"
		"\n"
		"Connections: 2\n"
		"  ID  CONNECTION                      STATE    AGE  CHANNELS        IN   OUT    "
		"RTT"
		"  IDLE LEFT  LIFE LEFT  PATH\n"
		"   3  u@web.example:22 via u@jump:22  ready  3m12s        12  12.3 MiB  99 B  14 "
		"ms"
		"     in use     11h56m  13.9ms in 2.3M/s\n"
		"  10  u@jump:22                       login     0s         0       0 B   0 B      "
		"-"
		"      9m57s   no limit  -\n"
		"\n"
		"Clients: 1\n"
		"  ID  ROUTE    AGE  CHANNELS  PROCESS\n"
		"   9  web    1m00s         1     4800\n");
	smx_status_release(&st);
	smx_buf_release(&out);
}

/* U3: for how long, beside the state. */
static void u3_stalled_since_when(void **state)
{
	const struct smx_status_connection c = { .id = 1,
		.key = "u@web:22",
		.state = "stalled",
		.stalled_s = 83,
		.age_s = 500,
		.rtt_ms = -1,
		.idle_left_s = -1,
		.lifetime_left_s = -1 };
	struct smx_status st;
	struct smx_buf out;

	(void)state;
	smx_buf_init(&out, 65536);
	smx_status_init(&st);
	assert_int_equal(smx_status_add_connection(&st, &c), 0);
	assert_int_equal(smx_cli_status_text(&st, &plain, &out), 0);
	assert_non_null(strstr(smx_buf_cstr(&out), "u@web:22    stalled 1m23s  8m20s"));
	smx_status_release(&st);
	smx_buf_release(&out);
}

/* P8 and L5: what changes how it behaves stands out, above the tables. */
static void p8_l5_lock_and_warnings_are_prominent(void **state)
{
	struct smx_status st;
	struct smx_buf out;
	const char *text;

	(void)state;
	smx_buf_init(&out, 65536);
	smx_status_init(&st);
	st.locked = 1;
	st.omitted = 7;
	assert_int_equal(smx_status_add_warning(&st, "all id_*.pub are authorised"), 0);
	assert_int_equal(smx_status_add_warning(&st, "\x1b[2Jsecond"), 0);
	assert_int_equal(smx_cli_status_text(&st, &plain, &out), 0);
	text = smx_buf_cstr(&out);
	assert_non_null(strstr(text,
		"\n\nLOCKED: new sessions are refused; to accept them: ssh-mux unlock\n"
		"\nWARNING: all id_*.pub are authorised\nWARNING: ?[2Jsecond\n"));
	assert_true(strstr(text, "WARNING") < strstr(text, "Routes: none"));
	assert_non_null(strstr(text, "\n7 more are not shown\n"));
	smx_status_release(&st);
	smx_buf_release(&out);
}

static void failing_allocations(void **state)
{
	long before = smx_mem_alive(), n;
	struct smx_status st;
	int r;

	(void)state;
	assert_int_equal(fill(&st), 0);
	for (n = 0, r = -1; r != 0; n++) {
		long filled = smx_mem_alive();
		struct smx_buf out;

		smx_buf_init(&out, 65536);
		smx_mem_fail_after(n);
		r = smx_cli_status_text(&st, &plain, &out);
		smx_mem_fail_after(-1);
		smx_buf_release(&out);
		assert_int_equal(smx_mem_alive(), filled);
		assert_true(r == 0 || r == SMX_ENOMEM);
	}
	assert_true(n > 30);
	smx_status_release(&st);
	for (n = 0, r = -1; r != 0; n++) {
		smx_mem_fail_after(n);
		r = run("ssh-mux serve --remote h -u u");
		smx_mem_fail_after(-1);
		assert_int_equal(smx_mem_alive(), before);
		assert_true(r == 0 || r == SMX_EXIT_OSERR);
	}
	assert_true(n > 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(d1_help_and_version_everywhere),
		cmocka_unit_test(d1_unknown_words_suggest_the_nearest),
		cmocka_unit_test(d1_no_daemon),
		cmocka_unit_test(r6_serve_direct),
		cmocka_unit_test(serve_routed),
		cmocka_unit_test(serve_refuses),
		cmocka_unit_test(s4_bad_ssh_dir_is_warned_about),
		cmocka_unit_test(d1_exit_codes),
		cmocka_unit_test(ages_and_bytes),
		cmocka_unit_test(status_table),
		cmocka_unit_test(u3_stalled_since_when),
		cmocka_unit_test(p8_l5_lock_and_warnings_are_prominent),
		cmocka_unit_test(failing_allocations),
	};

	return cmocka_run_group_tests_name("cli_text", tests, group_setup, group_teardown);
}
