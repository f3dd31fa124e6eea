/* SPDX-License-Identifier: MIT */
/* Words of ssh_config, answers of ssh -G, and ProxyJump lists (C3, C4). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "sshconf/ssh_config.h"

static struct smx_view view(const char *s)
{
	return smx_view_of(s, strlen(s));
}

/* "H 1: word@column word@column" for every line, or "H 1! column fault". */
static int describe(struct smx_view text, char *out, size_t size)
{
	static const char kinds[] = "OHMI";
	struct smx_ssh_config_reader rd;
	struct smx_ssh_config_line line;
	size_t at = 0;
	int r;

	out[0] = '\0';
	smx_ssh_config_reader_init(&rd, text);
	while ((r = smx_ssh_config_next(&rd, &line)) == 1) {
		at += (size_t)snprintf(out + at, size - at, "%s%c %u%s", at ? "\n" : "",
			kinds[line.kind], line.number, line.fault ? "!" : ":");
		if (line.fault)
			at += (size_t)snprintf(
				out + at, size - at, " %u %s", line.fault_column, line.fault);
		for (size_t i = 0; i < line.n_words; i++)
			at += (size_t)snprintf(out + at, size - at, " %s@%u", line.words[i].text,
				line.words[i].column);
	}
	smx_ssh_config_reader_release(&rd);
	return r;
}

/* C3: lines are cut as OpenSSH cuts them. The right column was compared with what ssh -G makes of
 * such a line (tests/interop/test_import.py does it again). */
static void c3_words(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "", "" }, { "\n\n  \n\t\r\n# Host no\n  # Host no\n", "" },
		{ "Host a", "H 1: a@6" }, { "Host a\r\nHost b\r\n", "H 1: a@6\nH 2: b@6" },
		{ "\n\nhost a b\tc  d ", "H 3: a@6 b@8 c@10 d@13" }, { "HOST=a", "H 1: a@6" },
		{ "Host = a", "H 1: a@8" }, { "Host =a", "H 1: a@7" }, { "Host= a", "H 1: a@7" },
		{ "Host == a", "H 1: =@7 a@9" }, { "\tHost\ta", "H 1: a@7" },
		{ "\"Host\" a", "H 1: a@8" }, { "Host \"a b\" 'c d'", "H 1: a b@6 c d@12" },
		{ "Host \"a\"b'c'", "H 1: abc@6" },
		{ "Host a\\ b \"c\\\"d\" e\\\\f g\\h", "H 1: a b@6 c\"d@11 e\\f@18 g\\h@23" },
		{ "Host a # b c", "H 1: a@6" }, { "Host a#b #c", "H 1: a#b@6" },
		{ "Host \"# no comment\"", "H 1: # no comment@6" },
		{ "Host \"\" a", "H 1: @6 a@9" },
		{ "Host caf\xc3\xa9 x", "H 1: caf\xc3\xa9@6 x@12" }, { "Host a\f", "H 1: a@6" },
		{ "Match host x exec \"y z\"", "M 1: host@7 x@12 exec@14 y z@19" },
		{ "Include ~/a \"b c\"", "I 1: ~/a@9 b c@13" }, { "include=x", "I 1: x@9" },
		{ "HostName a", "O 1: a@10" }, { "Hosts a", "O 1: a@7" },
		{ "Host \"a", "H 1! 6 has a quote that does not end" },
		{ "Host a 'b\nHost c", "H 1! 8 has a quote that does not end\nH 2: c@6" },
		{ "Host", "H 1! 1 has nothing behind its keyword" },
		{ "Host   \t ", "H 1! 1 has nothing behind its keyword" },
		{ "Host=", "H 1! 1 has nothing behind its keyword" },
		{ "\"Host a\nHost b", "H 2: b@6" }, /* ssh passes over such a line too */
	};
	char got[512];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		assert_int_equal(describe(view(cases[i].text), got, sizeof(got)), 0);
		assert_string_equal(got, cases[i].expected);
	}
}

/* C3: no line is too long to be refused, and a NUL hides nothing. */
static void c3_limits(void **state)
{
	static char text[SMX_SSH_CONFIG_LINE_MAX + 64];
	char got[256];
	int n;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "Host ", 5);
	/* As long as it may be. */
	{
		struct smx_ssh_config_reader rd;
		struct smx_ssh_config_line line;

		smx_ssh_config_reader_init(&rd, smx_view_of(text, SMX_SSH_CONFIG_LINE_MAX));
		assert_int_equal(smx_ssh_config_next(&rd, &line), 1);
		assert_null(line.fault);
		assert_int_equal(line.n_words, 1);
		assert_int_equal(strlen(line.words[0].text), SMX_SSH_CONFIG_LINE_MAX - 5);
		smx_ssh_config_reader_release(&rd);
	}
	n = snprintf(text + SMX_SSH_CONFIG_LINE_MAX + 1, 32, "\nHost b");
	text[SMX_SSH_CONFIG_LINE_MAX] = 'x';
	assert_int_equal(describe(smx_view_of(text, SMX_SSH_CONFIG_LINE_MAX + 1 + (size_t)n), got,
				 sizeof(got)),
		0);
	assert_string_equal(got, "H 1! 1 is longer than 65536 bytes\nH 2: b@6");
	assert_int_equal(describe(smx_view_of("Host a\0b\nHost c", 15), got, sizeof(got)), 0);
	assert_string_equal(got, "H 1! 1 has a NUL byte in it\nH 2: c@6");
}

/* C3: wildcards and negations are no names. */
static void c3_literal(void **state)
{
	(void)state;
	assert_true(smx_ssh_config_is_literal("web"));
	assert_true(smx_ssh_config_is_literal("a!b"));
	assert_true(smx_ssh_config_is_literal("-oProxyCommand=x")); /* refused by its name later */
	assert_false(smx_ssh_config_is_literal("*"));
	assert_false(smx_ssh_config_is_literal("w?b"));
	assert_false(smx_ssh_config_is_literal("web*"));
	assert_false(smx_ssh_config_is_literal("!web"));
}

static void expect_view(struct smx_view v, const char *s)
{
	if (!s) {
		assert_null(v.p);
		return;
	}
	assert_non_null(v.p);
	assert_int_equal(v.len, strlen(s));
	assert_memory_equal(v.p, s, v.len);
}

/* C3: what ssh -G says, in the spellings of several versions. */
static void c3_answer(void **state)
{
	static const char text[] = "host web\nuser my name\nhostname 10.0.0.1\nport 22\n"
				   "canonicalizePermittedcnames none\r\n"
				   "IdentityFile ~/.ssh/a b\nidentityfile ~/.ssh/c\n"
				   "identitiesonly yes\nproxycommand none\nproxyjump NONE\n"
				   "hostkeyalias k\nsendenv LANG\nsendenv X\nsetenv A=b c\n"
				   "user second\nlonely\n\nuserknownhostsfile /a /b";
	struct smx_ssh_answer a;

	(void)state;
	assert_int_equal(smx_ssh_answer_parse(view(text), &a), 0);
	expect_view(a.host, "10.0.0.1");
	expect_view(a.user, "my name");
	expect_view(a.port, "22");
	expect_view(a.proxy_command, NULL);
	expect_view(a.proxy_jump, NULL);
	expect_view(a.host_key_alias, "k");
	expect_view(a.identities_only, "yes");
	expect_view(a.identity_agent, NULL);
	expect_view(a.known_hosts, "/a /b");
	assert_int_equal(a.identities.n, 2);
	expect_view(a.identities.v[0], "~/.ssh/a b");
	assert_int_equal(a.send_env.n, 2);
	assert_int_equal(a.set_env.n, 1);
	expect_view(a.set_env.v[0], "A=b c");
	assert_int_equal(smx_ssh_answer_parse(view("user x\nport 22\n"), &a), SMX_ESYNTAX);
	assert_int_equal(smx_ssh_answer_parse(view("hostname x\nport 22\n"), &a), SMX_ESYNTAX);
	assert_int_equal(smx_ssh_answer_parse(view("hostname x\nuser u\n"), &a), SMX_ESYNTAX);
	assert_int_equal(smx_ssh_answer_parse(view(""), &a), SMX_ESYNTAX);
	expect_view(a.set_env.v[0], "A=b c"); /* untouched by what failed */
	/* CRLF of ssh on Windows; a CR of the value itself stays for the judge of names. */
	assert_int_equal(
		smx_ssh_answer_parse(view("hostname a\rb\r\nuser u\r\nport 1\r\n"), &a), 0);
	expect_view(a.host, "a\rb");
	expect_view(a.user, "u");
}

/* C3: a list is as long as it is, without harm. */
static void c3_answer_lists(void **state)
{
	struct smx_ssh_answer a;
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 65536);
	assert_int_equal(smx_buf_put_str(&b, "hostname h\nuser u\nport 1\n"), 0);
	for (int i = 0; i < SMX_SSH_ANSWER_LIST_MAX + 1; i++)
		assert_int_equal(smx_buf_printf(&b, "identityfile /k%d\n", i), 0);
	assert_int_equal(smx_ssh_answer_parse(smx_buf_as_view(&b), &a), 0);
	assert_int_equal(a.identities.n, SMX_SSH_ANSWER_LIST_MAX);
	assert_true(a.identities.has_more);
	assert_false(a.send_env.has_more);
	smx_buf_release(&b);
}

/* C4: every form that ProxyJump has. */
static void c4_jumps(void **state)
{
	static const struct {
		const char *list, *expected; /* "user|host|port …", NULL: not understood */
	} cases[] = {
		{ "gate", "|gate|0" },
		{ "me@gate:2222", "me|gate|2222" },
		{ "a,b@c,d:5", "|a|0 b|c|0 |d|5" },
		{ "[::1]:23", "|::1|23" },
		{ "me@[2001:db8::1]", "me|2001:db8::1|0" },
		{ "2001:db8::1", "|2001:db8::1|0" },
		{ "[10.0.0.1]:22", "|10.0.0.1|22" },
		{ "ssh://me@gate:24", "me|gate|24" },
		{ "ssh://gate/", "|gate|0" },
		{ "me@corp.com@gate", "me@corp.com|gate|0" },
		{ "", "" },
		{ "gate,", NULL },
		{ ",gate", NULL },
		{ "a,,b", NULL },
		{ "@gate", NULL },
		{ "me@", NULL },
		{ "gate:", NULL },
		{ "gate:0", NULL },
		{ "gate:65536", NULL },
		{ "gate:22x", NULL },
		{ "gate:-1", NULL },
		{ "[::1", NULL },
		{ "[::1]x", NULL },
		{ "[]", NULL },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		struct smx_view list = view(cases[i].list);
		struct smx_ssh_jump j;
		char got[256] = "";
		size_t at = 0;
		int r;

		while ((r = smx_ssh_jump_next(&list, &j)) == 1)
			at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%.*s|%.*s|%u",
				at ? " " : "", (int)j.user.len,
				j.user.p ? (const char *)j.user.p : "", (int)j.host.len,
				(const char *)j.host.p, j.port);
		if (cases[i].expected) {
			assert_int_equal(r, 0);
			assert_string_equal(got, cases[i].expected);
		} else {
			assert_int_equal(r, SMX_ESYNTAX);
		}
	}
}

/* C3: memory that runs out is said, and none of it is lost. */
static void c3_memory(void **state)
{
	static const char text[] = "Host a b c d e f g h i j k l m n o p q r\nInclude x y\n";
	long before = smx_mem_alive();
	char got[512];
	int r = SMX_ENOMEM;

	(void)state;
	for (long n = 0; r != 0; n++) {
		smx_mem_fail_after(n);
		r = describe(view(text), got, sizeof(got));
		smx_mem_fail_after(-1);
		assert_int_equal(smx_mem_alive(), before);
		assert_true(r == 0 || r == SMX_ENOMEM);
		assert_true(n < 100);
	}
	assert_non_null(strstr(got, "q@38 r@40\nI 2: x@9 y@11"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_words),
		cmocka_unit_test(c3_limits),
		cmocka_unit_test(c3_literal),
		cmocka_unit_test(c3_answer),
		cmocka_unit_test(c3_answer_lists),
		cmocka_unit_test(c4_jumps),
		cmocka_unit_test(c3_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
