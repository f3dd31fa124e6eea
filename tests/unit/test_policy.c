/* SPDX-License-Identifier: MIT */
/* L7, L8, R4, R5, B3: what a client may ask for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "config/policy.h"

/* clang-format off */
#define V(s) { (const uint8_t *)(s), sizeof(s) - 1 }
/* clang-format on */

static char *no_env[] = { NULL };
static const struct smx_route open_route = { .allow_remote_loopback_any_port = 1,
	.send_env = no_env };
static const struct smx_route closed_route = { .allow_remote_loopback_any_port = 0,
	.send_env = no_env };

static enum smx_policy forward(const struct smx_route *route, struct smx_view host, uint32_t port)
{
	return smx_policy_forward(route, SMX_CHAN_KIND_TCPIP, host, port);
}

static enum smx_policy streamlocal(const struct smx_route *route, struct smx_view path)
{
	return smx_policy_forward(route, SMX_CHAN_KIND_STREAMLOCAL, path, 0);
}

static void l7_r4_the_three_loopback_names(void **state)
{
	static const struct smx_view hosts[] = { V("127.0.0.1"), V("::1"), V("localhost"),
		V("LOCALHOST"), V("LocalHost") };
	static const uint32_t ports[] = { 1, 22, 8080, 65535 };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(hosts); i++) {
		for (size_t j = 0; j < SMX_ARRAY_LEN(ports); j++) {
			assert_int_equal(
				forward(&open_route, hosts[i], ports[j]), SMX_POLICY_ALLOW);
			/* L7: default deny. */
			assert_int_equal(
				forward(&closed_route, hosts[i], ports[j]), SMX_POLICY_DENY_ROUTE);
		}
		assert_int_equal(forward(&open_route, hosts[i], 0), SMX_POLICY_DENY_PORT);
		assert_int_equal(forward(&open_route, hosts[i], 65536), SMX_POLICY_DENY_PORT);
		assert_int_equal(forward(&open_route, hosts[i], 65536 + 22), SMX_POLICY_DENY_PORT);
		assert_int_equal(forward(&open_route, hosts[i], UINT32_MAX), SMX_POLICY_DENY_PORT);
	}
}

/* L7: no other spelling of a loopback address decides like these three. */
static void l7_other_spellings_are_denied(void **state)
{
	static const struct smx_view hosts[] = { V(""), V("localhost."), V(".localhost"),
		V("localhost "), V(" localhost"), V("localhost\0"), V("localhost\0x"),
		V("\0localhost"), V("localhos"), V("localhostx"), V("loca1host"), V("x.localhost"),
		V("localhost.localdomain"), V("localhost4"), V("localhost6"), V("ip6-localhost"),
		V("ip6-loopback"), V("LOCALHOST."), V("loc\x41lhost\0"), V("127.1"), V("127.0.1"),
		V("127.0.0.1."), V("127.0.0.2"), V("127.0.0.01"), V("127.000.000.001"),
		V("0127.0.0.1"), V("127.0.0.1\0"), V("127.0.0.1 "), V(" 127.0.0.1"),
		V("127.0.0.1\n"), V("127.0.0.1:80"), V("127.255.255.255"), V("0177.0.0.1"),
		V("0x7f.0.0.1"), V("0x7f000001"), V("0X7F000001"), V("2130706433"),
		V("017700000001"), V("0.0.0.0"), V("0"), V("0.0.0.1"), V("::"),
		V("::ffff:127.0.0.1"), V("::FFFF:7f00:1"), V("::127.0.0.1"), V("[::1]"),
		V("[127.0.0.1]"), V("::1%lo"), V("::1%1"), V("::01"), V("::0001"), V("0::1"),
		V("0:0:0:0:0:0:0:1"), V("0000:0000:0000:0000:0000:0000:0000:0001"), V("::1 "),
		V("::1\0"), V("::2"), V("fe80::1"), V("10.0.0.1"), V("169.254.169.254"),
		V("example.com"), V("*"), V("/var/run/docker.sock"), V("-"),
		V("\xef\xbc\x91\x32\x37.0.0.1"),
		V("l\xc5\x8d"
		  "calhost"),
		V("127\xe3\x80\x82\x30.0.1") };
	static char long_name[70000];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(hosts); i++) {
		if (forward(&open_route, hosts[i], 22) != SMX_POLICY_DENY_TARGET)
			fail_msg("\"%.*s\" was allowed", (int)hosts[i].len,
				(const char *)hosts[i].p);
		assert_int_equal(forward(&closed_route, hosts[i], 22), SMX_POLICY_DENY_TARGET);
	}
	memset(long_name, 'a', sizeof(long_name));
	memcpy(long_name, "localhost", 9);
	assert_int_equal(forward(&open_route, smx_view_of(long_name, sizeof(long_name)), 22),
		SMX_POLICY_DENY_TARGET);
	/* A reader with an empty string has no pointer to speak of. */
	assert_int_equal(
		forward(&open_route, (struct smx_view){ NULL, 0 }, 22), SMX_POLICY_DENY_TARGET);
}

/* All strings that differ from an allowed one in a single byte. */
static void l7_one_byte_off_is_denied(void **state)
{
	static const char *const names[] = { "127.0.0.1", "::1", "localhost" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		size_t n = strlen(names[i]);

		for (size_t at = 0; at < n; at++) {
			for (unsigned c = 0; c < 256; c++) {
				char name[16];
				int is_case_only = (names[i][at] ^ (int)c) == 0x20 && i == 2;

				memcpy(name, names[i], n);
				name[at] = (char)c;
				if (name[at] == names[i][at] || is_case_only)
					continue;
				assert_int_equal(forward(&open_route, smx_view_of(name, n), 22),
					SMX_POLICY_DENY_TARGET);
			}
		}
	}
}

static void b3_streamlocal(void **state)
{
	static const struct smx_view good[] = { V("/tmp/x"), V("/run/user/1000/vscode-1.sock"),
		V("/a b/c") };
	static const struct smx_view bad[] = { V(""), V("x"), V("tmp/x"), V("./x"), V("~/x"),
		V("../x"), V("/tmp/x\0"), V("/tmp\0/x"), V("\0/tmp/x"), V("@abstract"), V(" /x"),
		V("C:/x"), V("127.0.0.1") };
	char path[SMX_STREAMLOCAL_PATH_MAX + 1];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(good); i++) {
		assert_int_equal(streamlocal(&open_route, good[i]), SMX_POLICY_ALLOW);
		assert_int_equal(streamlocal(&closed_route, good[i]), SMX_POLICY_DENY_ROUTE);
	}
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++) {
		assert_int_equal(streamlocal(&open_route, bad[i]), SMX_POLICY_DENY_PATH);
		assert_int_equal(streamlocal(&closed_route, bad[i]), SMX_POLICY_DENY_PATH);
	}
	memset(path, '/', sizeof(path));
	assert_int_equal(
		streamlocal(&open_route, smx_view_of(path, sizeof(path) - 1)), SMX_POLICY_ALLOW);
	assert_int_equal(
		streamlocal(&open_route, smx_view_of(path, sizeof(path))), SMX_POLICY_DENY_PATH);
}

static void l8_environment(void **state)
{
	static const struct smx_view always[] = { V("LANG"), V("LC_ALL"), V("LC_CTYPE"), V("LC_X"),
		V("TERM"), V("COLORTERM"), V("NO_COLOR"), V("TZ"), V("GIT_PROTOCOL") };
	static const struct smx_view never[] = { V(""), V("LANGUAGE"), V("lang"), V("LANG "),
		V("LANG\0"), V("LC_"), V("LC"), V("LC_*"), V("LC_A=B"), V("LC_A\n"), V("LC_A\0B"),
		V("XLC_ALL"), V("TERMINFO"), V("TERM2"), V("PATH"), V("LD_PRELOAD"), V("BASH_ENV"),
		V("SSH_AUTH_SOCK"), V("GIT_PROTOCOL_X"), V("GIT_SSH"), V("TZDIR"), V("FOO"),
		V("FO"), V("FOOO"), V("DISPLAY"), V("EDITOR"), V("VISUAL"), V("PAGER"), V("LESS"),
		V("COLUMNS"), V("LINES"), V("HOSTNAME"), V("LS_COLORS"), V("GREP_OPTIONS"),
		V("GIT_AUTHOR_NAME"), V("WAYLAND_DISPLAY"), V("TERM_PROGRAM"), V("CLICOLOR"),
		V("FORCE_COLOR"), V("INPUTRC"), V("http_proxy"), V("PROMPT"), V("PWD") };
	static char foo[] = "FOO", bar[] = "BAR";
	char *names[] = { foo, bar };
	const struct smx_route with_env = { .send_env = names, .n_send_env = 2 };
	static char long_name[300];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(always); i++) {
		assert_true(smx_policy_env_ok(&closed_route, always[i]));
		assert_true(smx_policy_env_ok(&with_env, always[i]));
	}
	for (size_t i = 0; i < SMX_ARRAY_LEN(never); i++) {
		if (smx_policy_env_ok(&open_route, never[i]))
			fail_msg("\"%.*s\" was passed on", (int)never[i].len,
				(const char *)never[i].p);
	}
	assert_true(smx_policy_env_ok(&with_env, smx_view_of("FOO", 3)));
	assert_true(smx_policy_env_ok(&with_env, smx_view_of("BAR", 3)));
	assert_false(smx_policy_env_ok(&with_env, smx_view_of("BAZ", 3)));
	assert_false(smx_policy_env_ok(&with_env, smx_view_of("foo", 3)));
	assert_false(smx_policy_env_ok(&with_env, smx_view_of("FOO\0", 4)));
	memset(long_name, 'A', sizeof(long_name));
	memcpy(long_name, "LC_", 3);
	assert_false(smx_policy_env_ok(&open_route, smx_view_of(long_name, sizeof(long_name))));
}

/* "Exactly": of all names of two to four letters there are three. */
static void l8_short_names_exactly(void **state)
{
	char name[5] = "";
	unsigned n = 0, left;

	(void)state;
	for (size_t len = 2; len <= 4; len++) {
		for (unsigned all = 0; all < (len == 4          ? 456976u
						     : len == 3 ? 17576u
								: 676u);
			all++) {
			left = all;
			for (size_t i = 0; i < len; i++, left /= 26)
				name[i] = (char)('A' + left % 26);
			n += smx_policy_env_ok(&open_route, smx_view_of(name, len)) != 0;
		}
	}
	assert_int_equal(n, 3); /* TZ, LANG, TERM */
}

static void l7_each_denial_says_why(void **state)
{
	(void)state;
	for (int p = SMX_POLICY_ALLOW; p <= SMX_POLICY_DENY_PATH; p++) {
		for (int q = SMX_POLICY_ALLOW; q < p; q++)
			assert_string_not_equal(smx_policy_text((enum smx_policy)p),
				smx_policy_text((enum smx_policy)q));
	}
	assert_non_null(
		strstr(smx_policy_text(SMX_POLICY_DENY_ROUTE), "allow_remote_loopback_any_port"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(l7_r4_the_three_loopback_names),
		cmocka_unit_test(l7_other_spellings_are_denied),
		cmocka_unit_test(l7_one_byte_off_is_denied),
		cmocka_unit_test(b3_streamlocal),
		cmocka_unit_test(l8_environment),
		cmocka_unit_test(l8_short_names_exactly),
		cmocka_unit_test(l7_each_denial_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
