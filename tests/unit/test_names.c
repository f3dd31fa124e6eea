/* SPDX-License-Identifier: MIT */
/* R3, L8: names of routes, hosts, users and variables. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "config/names.h"

/* A string literal as a view, embedded NUL included. */
/* clang-format off */
#define V(s) { (const uint8_t *)(s), sizeof(s) - 1 }
/* clang-format on */

typedef const char *fault_fn(struct smx_view name);

static void all_good(fault_fn *fault_of, const struct smx_view *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *fault = fault_of(names[i]);

		if (fault)
			fail_msg(
				"\"%.*s\": %s", (int)names[i].len, (const char *)names[i].p, fault);
	}
}

static void all_bad(fault_fn *fault_of, const struct smx_view *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!fault_of(names[i]))
			fail_msg(
				"\"%.*s\" was let in", (int)names[i].len, (const char *)names[i].p);
	}
}

static void r3_route_names(void **state)
{
	static const struct smx_view good[] = { V("a"), V("web"), V("Web-1.example_2"), V("0"),
		V("."), V(".."), V("_"), V("a-"), V("none"),
		V("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") };
	static const struct smx_view bad[] = { V(""), V("-"), V("-a"), V("-oProxyCommand=x"),
		V("a b"), V(" a"), V("a "), V("a\n"), V("a\r"), V("a\0b"), V("\0"), V("a\t"),
		V("a/b"), V("a\\b"), V("a;b"), V("a$b"), V("a`b"), V("a|b"), V("a&b"), V("a'b"),
		V("a\"b"), V("a*"), V("a?"), V("!a"), V("a,b"), V("a@b"), V("a:b"), V("a%b"),
		V("a=b"), V("a#b"), V("a\x1b[2Jb"), V("\xc3\xa9"), V("a\x7f"), V("a\x80") };

	(void)state;
	all_good(smx_route_name_fault, good, SMX_ARRAY_LEN(good));
	all_bad(smx_route_name_fault, bad, SMX_ARRAY_LEN(bad));
}

static void r3_hosts(void **state)
{
	static const struct smx_view good[] = { V("h"), V("host.example.com"), V("host.example."),
		V("10.0.0.1"), V("::1"), V("2001:db8::1"), V("fe80::1%eth0"), V("FE80::1%Eth0.1"),
		V("xn--bcher-kva.example"), V("under_score.example"), V("_srv.example"), V("a-b"),
		V("1.2.3"), V("localhost") };
	static const struct smx_view bad[] = { V(""), V("-h"), V("-oProxyCommand=x"),
		V("-"), /* options */
		V(" h"), V("h "), V("h\n"), V("\nh"), V("h\r"), V("h\0"), V("a\0b"), V("\th"),
		V("a b"), V("h\x1b"), V("h\x7f"), /* blanks and controls */
		V("a'b"), V("a`b"), V("a\"b"), V("a$b"), V("a\\b"), V("a;b"), V("a&b"), V("a<b"),
		V("a>b"), V("a|b"), V("a(b"), V("a)b"), V("a{b"), V("a}b"),
		V("a,b"), /* what OpenSSH refuses */
		V("*"), V("a?"), V("!a"), V("[a]"), V("[::1]"), V("[a]:22"), V("#a"), V("@a"),
		V("|1|a"), /* known_hosts would read more into it */
		V("user@host"), V("host:22"), V("a%b"), V("::1%a%b"), V("a/b"), V("a=b"), V("a~b"),
		V("a^b"), V("a+b"), /* no host either */
		V(".h"), V("%h"), V("\xc3\xa9.example"), V("h\x80"), V("h\xe2\x80\xae") };

	(void)state;
	all_good(smx_host_fault, good, SMX_ARRAY_LEN(good));
	all_bad(smx_host_fault, bad, SMX_ARRAY_LEN(bad));
}

static void r3_users(void **state)
{
	static const struct smx_view good[] = { V("me"), V("user@corp.com"), V("DOM\\user"),
		V("first.last"), V("first last"), V("a-b"), V("me+tag"), V("a%b"), V("a#b"),
		V("a:b"), V("a/b"), V("a,b"), V("a=b"), V("jump@user@host"), V("j\xc3\xb6rg"),
		V("\xe5\xb1\xb1\xe7\x94\xb0"), V("a[b]"), V("root!") };
	static const struct smx_view bad[] = { V(""), V("-a"), V("-oProxyCommand=x"), V(" a"),
		V("a "), V("\ta"), V("a\t"), V("a\n"), V("a\r"), V("a\nb"), V("a\0b"), V("\0"),
		V("a\x1b[2J"), V("a\x7f"), V("a'b"), V("a`id`"), V("a\"b"), V("a;b"), V("a&b"),
		V("a<b"), V("a>b"), V("a|b"), V("a(b"), V("a)b"), V("a{b"), V("a}b"), V("$(id)"),
		V("$HOME"), V("a -oX"), V("a\\"), V("\\"), V("a\xc2\x9b"), V("a\xe2\x80\xae"),
		V("a\xe2\x81\xa6"), V("a\xe2\x80\xa8"), V("\xef\xbb\xbf"), V("a\xe2\x80\x8b") };

	(void)state;
	all_good(smx_user_fault, good, SMX_ARRAY_LEN(good));
	all_bad(smx_user_fault, bad, SMX_ARRAY_LEN(bad));
}

/* R3: what OpenSSH's ssh refuses of its command line (9.6 and later), wherever it stands. */
static void r3_what_openssh_refuses(void **state)
{
	static const char hosts[] = "'`\"$\\;&<>|(){}, \t\n\v\f\r", users[] = "'`\";&<>|(){}";

	(void)state;
	for (size_t at = 0; at < 3; at++) {
		for (size_t i = 0; i < sizeof(hosts); i++) {
			char name[] = "abc";

			name[at] = hosts[i];
			assert_non_null(smx_host_fault(smx_view_of(name, 3)));
			assert_non_null(smx_route_name_fault(smx_view_of(name, 3)));
		}
		for (size_t i = 0; i < sizeof(users); i++) {
			char name[] = "abc";

			name[at] = users[i];
			assert_non_null(smx_user_fault(smx_view_of(name, 3)));
		}
	}
	assert_string_equal(
		smx_user_fault(smx_view_of("a -oX", 5)), "must not have a '-' after white space");
	assert_string_equal(smx_user_fault(smx_view_of("a\\", 2)), "must not end with '\\'");
	assert_null(smx_user_fault(smx_view_of("DOM\\user", 8)));
}

/* R3: beyond ASCII, in users; hosts and routes have no such characters at all. */
static void r3_beyond_ascii(void **state)
{
	static const struct smx_view control[] = { V("a\xc2\x80z"), V("a\xc2\x85"), V("\xc2\x9b") };
	static const struct smx_view space[] = { V("a\xc2\xa0"),
		V("\xc2\xa0"
		  "a"),
		V("a\xe1\x9a\x80z"), V("a\xe2\x80\x80"), V("a\xe2\x80\x8a"), V("a\xe2\x80\xa8"),
		V("a\xe2\x80\xa9"), V("a\xe2\x80\xaf"), V("a\xe2\x81\x9f"), V("\xe3\x80\x80z") };
	static const struct smx_view unseen[] = { V("a\xc2\xadz"), V("a\xcd\x8fz"), V("a\xd8\x9cz"),
		V("a\xe1\x85\x9f"), V("a\xe1\xa0\x8e"), V("a\xe2\x80\x8b"), V("a\xe2\x80\x8f"),
		V("a\xe2\x80\xaa"), V("a\xe2\x80\xae"), V("a\xe2\x81\xa0"), V("a\xe2\x81\xa9"),
		V("a\xe3\x85\xa4"), V("a\xef\xb8\x8f"), V("\xef\xbb\xbfz"), V("a\xef\xbe\xa0"),
		V("a\xef\xbf\xb9"), V("a\xf0\x9d\x85\xb3"), V("a\xf3\xa0\x80\x81"),
		V("a\xf3\xa0\x84\x80") };
	static const struct smx_view broken[] = { V("a\x80"), V("\xff"), V("a\xc3"), V("a\xc3z"),
		V("a\xe2\x80"), V("a\xc0\xaf"), V("a\xed\xa0\x80"), V("a\xf4\x90\x80\x80") };
	static const struct smx_view good[] = { V("j\xc3\xb6rg"), V("\xe5\xb1\xb1\xe7\x94\xb0"),
		V("\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd"), V("\xf0\x9f\x98\x80") };
	static const struct {
		const struct smx_view *names;
		size_t n;
		const char *fault;
	} cases[] = {
		{ control, SMX_ARRAY_LEN(control), "must not have control characters" },
		{ space, SMX_ARRAY_LEN(space),
			"must not have white space other than plain blanks" },
		{ unseen, SMX_ARRAY_LEN(unseen),
			"must not have invisible or directional characters" },
		{ broken, SMX_ARRAY_LEN(broken), "must be UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		all_bad(smx_user_fault, cases[i].names, cases[i].n);
		all_bad(smx_host_fault, cases[i].names, cases[i].n);
		all_bad(smx_route_name_fault, cases[i].names, cases[i].n);
		for (size_t k = 0; k < cases[i].n; k++)
			assert_string_equal(smx_user_fault(cases[i].names[k]), cases[i].fault);
	}
	all_good(smx_user_fault, good, SMX_ARRAY_LEN(good));
	all_bad(smx_host_fault, good, SMX_ARRAY_LEN(good));
}

static void r3_lengths(void **state)
{
	char longest[400];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	assert_true(smx_route_name_ok(smx_view_of(longest, SMX_ROUTE_NAME_MAX)));
	assert_false(smx_route_name_ok(smx_view_of(longest, SMX_ROUTE_NAME_MAX + 1)));
	assert_true(smx_host_ok(smx_view_of(longest, SMX_HOST_MAX)));
	assert_false(smx_host_ok(smx_view_of(longest, SMX_HOST_MAX + 1)));
	assert_true(smx_user_ok(smx_view_of(longest, SMX_USER_MAX)));
	assert_false(smx_user_ok(smx_view_of(longest, SMX_USER_MAX + 1)));
}

/* Every single control character, at every place, in each kind of name. */
static void r3_no_control_character_anywhere(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		if (c >= 0x20 && c != 0x7f)
			continue;
		for (size_t at = 0; at < 3; at++) {
			char name[] = "abc";

			name[at] = (char)c;
			assert_false(smx_route_name_ok(smx_view_of(name, 3)));
			assert_false(smx_host_ok(smx_view_of(name, 3)));
			assert_false(smx_user_ok(smx_view_of(name, 3)));
		}
	}
}

static void l8_send_env(void **state)
{
	static const struct smx_view good[] = { V("EDITOR"), V("MY_VAR"), V("_x"), V("a1"),
		V("GIT_AUTHOR_NAME"), V("LANG"), V("AWS_PROFILE"), V("PATHS"), V("LDX"), V("SSH"),
		V("ENVIRONMENT"), V("HOMEBREW") };
	static const struct smx_view bad[] = { V(""), V("1a"), V("A*"), V("*"), V("A?"), V("A B"),
		V("A=B"), V("A\0B"), V("A-B"), V("A\n"), V("\xc3\xa9"), V("LD_PRELOAD"), V("LD_X"),
		V("LD_"), V("ld_preload"), V("DYLD_INSERT_LIBRARIES"), V("PATH"), V("Path"),
		V("IFS"), V("ENV"), V("BASH_ENV"), V("BASH_FUNC_x"), V("SHELLOPTS"), V("BASHOPTS"),
		V("SSH_AUTH_SOCK"), V("SSH_ASKPASS"), V("PYTHONPATH"), V("PYTHONSTARTUP"),
		V("PERL5LIB"), V("PERL5OPT"), V("NODE_OPTIONS"), V("RUBYOPT"),
		V("JAVA_TOOL_OPTIONS"), V("GIT_SSH_COMMAND"), V("GIT_EXEC_PATH"), V("PS4"),
		V("PROMPT_COMMAND"), V("GLIBC_TUNABLES"), V("GCONV_PATH"), V("HOME"), V("SHELL"),
		V("TERMINFO"), V("LESSOPEN") };

	(void)state;
	all_good(smx_send_env_fault, good, SMX_ARRAY_LEN(good));
	all_bad(smx_send_env_fault, bad, SMX_ARRAY_LEN(bad));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(r3_route_names),
		cmocka_unit_test(r3_hosts),
		cmocka_unit_test(r3_users),
		cmocka_unit_test(r3_what_openssh_refuses),
		cmocka_unit_test(r3_beyond_ascii),
		cmocka_unit_test(r3_lengths),
		cmocka_unit_test(r3_no_control_character_anywhere),
		cmocka_unit_test(l8_send_env),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
