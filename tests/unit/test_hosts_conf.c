/* SPDX-License-Identifier: MIT */
/* C1, C2: what ssh is told about the routes, as text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/kex.h"
#include "sshconf/hosts_conf.h"
#include "util_data.h"

static struct smx_routes *routes_of(const char *text)
{
	struct smx_routes *routes = NULL;
	struct smx_buf err;

	smx_buf_init(&err, SMX_ROUTES_ERROR_MAX);
	assert_int_equal(smx_routes_parse(test_str(text), "routes.toml", &routes, &err), 0);
	smx_buf_release(&err);
	return routes;
}

static struct smx_routes *three(void)
{
	return routes_of("[routes.web]\nhost = \"h\"\nuser = \"u\"\n"
			 "[routes.db]\nhost = \"h\"\nuser = \"u\"\n"
			 "[routes.\"app.corp\"]\nhost = \"h\"\nuser = \"u\"\n");
}

static const struct smx_hosts_conf plain = {
	.routes_path = "/home/me/.ssh/ssh-mux-routes.toml",
	.known_path = "/home/me/.ssh/ssh-mux-known-hosts",
	.key_alias = "ssh-mux",
	.port = 2222,
};

/* The text, NUL-terminated; lives in b. */
static const char *written(const struct smx_hosts_conf *o, struct smx_buf *b)
{
	struct smx_routes *routes = three();

	smx_buf_init(b, SMX_HOSTS_CONF_MAX);
	assert_int_equal(smx_hosts_conf_write(routes, o, b), 0);
	smx_routes_unref(routes);
	return smx_buf_cstr(b);
}

static unsigned times(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

static void C1_one_block_a_route_with_all_that_keeps_others_out(void **state)
{
	static const char *const each[] = { "HostName 127.0.0.1", "Port 2222", "ProxyJump none",
		"ProxyCommand none", "PreferredAuthentications publickey",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"UserKnownHostsFile \"/home/me/.ssh/ssh-mux-known-hosts\"",
		"GlobalKnownHostsFile \"/home/me/.ssh/ssh-mux-known-hosts\"",
		"StrictHostKeyChecking yes", "HostKeyAlias ssh-mux",
		"HostKeyAlgorithms ssh-ed25519", "KexAlgorithms ecdh-sha2-nistp256,",
		"Ciphers aes128-gcm@openssh.com,", "MACs hmac-sha2-256-etm@openssh.com,",
		"NoHostAuthenticationForLocalhost no", "ControlPath none", "ControlMaster no",
		"IdentitiesOnly no", "Compression no", "BindAddress 127.0.0.1",
		"AddressFamily inet", "CanonicalizeHostname no" };
	char line[128];
	struct smx_buf b;
	const char *text;

	(void)state;
	text = written(&plain, &b);
	assert_non_null(strstr(text, "\nHost web\n    HostName 127.0.0.1\n    Port 2222\n"
				     "    User web\n"));
	assert_non_null(strstr(text, "\nHost app.corp\n"));
	assert_int_equal(times(text, "\nHost "), 3);
	for (size_t i = 0; i < SMX_ARRAY_LEN(each); i++) {
		(void)snprintf(line, sizeof(line), "\n    %s", each[i]);
		assert_int_equal(times(text, line), 3);
	}
	/* What an old ssh could not read is not there unasked. */
	assert_null(strstr(text, "IgnoreUnknown"));
	assert_null(strstr(text, "ObscureKeystrokeTiming"));
	assert_null(strstr(text, "WarnWeakCrypto"));
	assert_true(smx_hosts_conf_is_ours(smx_buf_as_view(&b)));
	assert_true(smx_hosts_conf_is_ours(test_str("")));
	assert_false(smx_hosts_conf_is_ours(test_str("Host web\n")));
	smx_buf_release(&b);
}

/* Every line of a block is indented, and no option is said twice: ssh would take the first. */
static void C1_no_option_twice(void **state)
{
	static const char *const keys[] = { "/k/id_a" };
	struct smx_hosts_conf o = plain;
	char seen[64][48];
	size_t n = 0;
	struct smx_buf b;
	const char *at;

	(void)state;
	o.identity = keys;
	o.n_identity = 1;
	o.identities_only = 1;
	o.known = (1u << SMX_HOSTS_OPTIONS) - 1;
	at = strstr(written(&o, &b), "\nHost web\n") + 10;
	for (; strncmp(at, "    ", 4) == 0; at = strchr(at, '\n') + 1) {
		size_t len = strcspn(at + 4, " \n");

		assert_true(n < SMX_ARRAY_LEN(seen) && len < sizeof(seen[0]));
		memcpy(seen[n], at + 4, len);
		seen[n][len] = '\0';
		for (size_t i = 0; i < n; i++)
			assert_string_not_equal(seen[i], seen[n]);
		n++;
	}
	assert_true(n > 30 && *at == '\n');
	smx_buf_release(&b);
}

static void C1_accept_new_only_while_the_key_is_not_there(void **state)
{
	struct smx_hosts_conf o = plain;
	struct smx_buf b;
	const char *text;

	(void)state;
	o.accept_new = 1;
	text = written(&o, &b);
	assert_int_equal(times(text, "\n    StrictHostKeyChecking accept-new\n"), 3);
	assert_int_equal(times(text, "StrictHostKeyChecking"), 3);
	smx_buf_release(&b);
}

static void C1_options_that_this_ssh_knows(void **state)
{
	struct smx_hosts_conf o = plain;
	int have = smx_kex_find(test_str("mlkem768x25519-sha256")) != NULL;
	struct smx_buf b;
	const char *text;

	(void)state;
	for (int i = 0; i < SMX_HOSTS_OPTIONS; i++)
		assert_non_null(strchr(smx_hosts_option_probe((enum smx_hosts_option)i), '='));
	o.known = 1u << SMX_HOSTS_OBSCURE_KEYSTROKES | 1u << SMX_HOSTS_KNOWN_HOSTS_COMMAND |
		  1u << SMX_HOSTS_PKCS11 | 1u << SMX_HOSTS_MLKEM;
	text = written(&o, &b);
	assert_int_equal(times(text, "\n    ObscureKeystrokeTiming no\n"), 3);
	assert_int_equal(times(text, "\n    KnownHostsCommand none\n"), 3);
	assert_null(strstr(text, "PKCS11Provider")); /* a token's key may be the one */
	assert_null(strstr(text, "GSSAPI"));
	/* It does not warn, so the cheapest stays first. */
	assert_int_equal(times(text, "KexAlgorithms ecdh-sha2-nistp256,"), 3);
	smx_buf_release(&b);

	o.known |= 1u << SMX_HOSTS_WARN_WEAK_CRYPTO;
	o.identities_only = 1;
	text = written(&o, &b);
	assert_int_equal(times(text, "\n    PKCS11Provider none\n"), 3);
	assert_int_equal(times(text, "WarnWeakCrypto no-pq-kex"), have ? 0 : 3);
	assert_int_equal(times(text, "KexAlgorithms mlkem768x25519-sha256,ecdh"), have ? 3 : 0);
	smx_buf_release(&b);

	/* One that warns and can't either: silence, also where we could. */
	o.known &= ~(1u << SMX_HOSTS_MLKEM);
	text = written(&o, &b);
	assert_int_equal(times(text, "\n    WarnWeakCrypto no-pq-kex\n"), 3);
	assert_null(strstr(text, "mlkem"));
	smx_buf_release(&b);
}

static void C1_identities(void **state)
{
	static const char *const keys[] = { "/k/id_a", "/k d/100%/id_\"b\"" };
	struct smx_hosts_conf o = plain;
	struct smx_buf b;
	const char *text;

	(void)state;
	o.identity = keys;
	o.n_identity = 2;
	o.identities_only = 1;
	text = written(&o, &b);
	assert_int_equal(times(text, "\n    IdentitiesOnly yes\n    IdentityFile \"/k/id_a\"\n"
				     "    IdentityFile \"/k d/100%%/id_\\\"b\\\"\"\n"),
		3);
	smx_buf_release(&b);
}

struct proxy_case {
	const char *program, *ssh_dir, *line;
};

static const struct proxy_case proxy_cases[] = {
	{ "/usr/bin/ssh-mux", NULL, "\"/usr/bin/ssh-mux\" proxy web" },
	{ "/a b/ssh-mux", NULL, "\"/a b/ssh-mux\" proxy web" },
	{ "/100%h/ssh-mux", NULL, "\"/100%%h/ssh-mux\" proxy web" },
	{ "/it's/ssh-mux", NULL, "\"/it's/ssh-mux\" proxy web" },
	{ "/a\"b/ssh-mux", NULL, "'/a\"b/ssh-mux' proxy web" },
	{ "/$HOME/`x`/ssh-mux", NULL, "'/$HOME/`x`/ssh-mux' proxy web" },
	{ "/it's $5/ssh-mux", NULL, "'/it'\\''s $5/ssh-mux' proxy web" },
	{ "/back\\slash", NULL, "'/back\\slash' proxy web" },
	{ "/p", "/d e/x", "env \"SSH_MUX_SSH_DIR=/d e/x\" \"/p\" proxy web" },
	/* Windows: no shell, quotes only where they are needed, slashes that every ssh there takes.
	 */
	{ "C:\\Users\\me\\.ssh\\ssh-mux.exe", NULL, "C:/Users/me/.ssh/ssh-mux.exe proxy web" },
	{ "C:\\a b & c\\100%\\ssh-mux.exe", NULL, "\"C:/a b & c/100%%/ssh-mux.exe\" proxy web" },
	{ "/p", "/d'$e", "env 'SSH_MUX_SSH_DIR=/d'\\''$e' \"/p\" proxy web" },
};

static void B5_proxy_command_is_quoted_for_ssh_and_the_shell(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(proxy_cases); i++) {
		const struct proxy_case *c = &proxy_cases[i];
		struct smx_hosts_conf o = plain;
		char want[256];
		struct smx_buf b;
		const char *text;

		o.program = c->program;
		o.program_ssh_dir = c->ssh_dir;
		text = written(&o, &b);
		/* It has to come before ProxyJump, or that would win. Windows' ssh runs no shell
		 * (W1). */
		(void)snprintf(want, sizeof(want),
			"\n    HostName h\n    Port 22\n    User u\n    ProxyCommand %s %s %%h "
			"%%p\n"
			"    ProxyJump none\n    ProxyUseFdpass no\n",
			c->line, c->program[0] == 'C' ? "%r" : "'%r'");
		if (!strstr(text, want))
			fail_msg("case %zu: %s not in\n%s", i, want, text);
		assert_null(strstr(text, "ProxyCommand none"));
		smx_buf_release(&b);
	}
}

struct place_case {
	const char *host, *user; /* of the routes file */
	const char *lines;
};

/* W1: what ssh resolves must be what the route says, and the user must come through its shell. */
static const struct place_case place_cases[] = {
	{ "10.0.0.5", "deploy", "    HostName 10.0.0.5\n    Port 2200\n    User deploy\n" },
	{ "fe80::1%eth0", "deploy", "    HostName fe80::1%%eth0\n    Port 2200\n" },
	{ "h", "a b", "    User \"a b\"\n" },
	{ "h", "a#b", "    User \"a#b\"\n" },
	{ "h", "=b", "    User \"=b\"\n" },
	{ "h", "u@corp.com", "    User u@corp.com\n" },
	/* Which ssh it is decides how it would read these: the route's name it is, as ever. */
	{ "h", "a%r",
		"    HostName 127.0.0.1\n    Port 2222\n    User web\n"
		"    ProxyCommand \"/p\" proxy web\n" },
	{ "h", "DOM\\\\u", "    User DOM\\u\n    ProxyCommand \"/p\" proxy web '%r' %h %p\n" },
	{ "h", "DOM\\\\\\\\u", "    User web\n    ProxyCommand \"/p\" proxy web\n" },
};

static void W1_proxy_block_says_what_the_route_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(place_cases); i++) {
		const struct place_case *c = &place_cases[i];
		struct smx_hosts_conf o = plain;
		struct smx_routes *routes;
		struct smx_buf b;
		char text[256];

		(void)snprintf(text, sizeof(text),
			"[routes.web]\nhost = \"%s\"\nuser = \"%s\"\nport = 2200\n", c->host,
			c->user);
		routes = routes_of(text);
		o.program = "/p";
		smx_buf_init(&b, SMX_HOSTS_CONF_MAX);
		assert_int_equal(smx_hosts_conf_write(routes, &o, &b), 0);
		if (!strstr(smx_buf_cstr(&b), c->lines))
			fail_msg("case %zu: %s not in\n%s", i, c->lines, smx_buf_cstr(&b));
		smx_buf_release(&b);
		smx_routes_unref(routes);
	}
}

/* W3: a jump host's user that ssh or its shell would take for something else. */
static const struct place_case jump_cases[] = {
	{ "g", "deploy", "    ProxyJump deploy@g:22\n" },
	{ "::1", "u@corp.com", "    ProxyJump u@corp.com@[::1]:22\n" },
	{ "g", "a b", "    ProxyCommand false\n" },
	{ "g", "a,b", "    ProxyCommand false\n" },
	{ "g", "a#b", "    ProxyCommand false\n" },
	{ "g", "a%r", "    ProxyCommand false\n" },
	{ "g", "=b", "    ProxyCommand false\n" },
	{ "g", "ssh://b", "    ProxyCommand false\n" },
	{ "g", "DOM\\\\u", "    ProxyCommand false\n" },
	{ "fe80::1%eth0", "u", "    ProxyCommand false\n" },
};

static void W3_jump_hosts_that_ssh_cannot_be_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(jump_cases); i++) {
		const struct place_case *c = &jump_cases[i];
		struct smx_hosts_conf o = plain;
		struct smx_routes *routes;
		struct smx_buf b;
		char text[256];

		(void)snprintf(text, sizeof(text),
			"[jump]\nhost = \"%s\"\nuser = \"%s\"\n"
			"[routes.web]\nhost = \"w\"\nuser = \"u\"\n",
			c->host, c->user);
		routes = routes_of(text);
		o.control_dir = "/run/x";
		o.control_room = 90;
		smx_buf_init(&b, SMX_HOSTS_CONF_MAX);
		assert_int_equal(smx_hosts_conf_write(routes, &o, &b), 0);
		if (!strstr(smx_buf_cstr(&b), c->lines))
			fail_msg("case %zu: %s not in\n%s", i, c->lines, smx_buf_cstr(&b));
		assert_int_equal(times(smx_buf_cstr(&b), "Proxy"), 1);
		assert_int_equal(times(smx_buf_cstr(&b), "ControlPath"), 1);
		smx_buf_release(&b);
		smx_routes_unref(routes);
	}
}

static void C1_paths_that_ssh_would_read_otherwise(void **state)
{
	static const char *const bad[] = { "/a\nHost *", "/a\rb", "/a\tb", "/a\x7f", "/${HOME}" };
	struct smx_routes *routes = three();
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, SMX_HOSTS_CONF_MAX);
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++) {
		struct smx_hosts_conf known = plain, from = plain, key = plain;
		struct smx_include inc = { .path = bad[i], .name = bad[i] };

		known.known_path = from.routes_path = bad[i];
		key.identity = &bad[i];
		key.n_identity = 1;
		assert_non_null(smx_conf_path_fault(bad[i], 0));
		assert_int_equal(smx_hosts_conf_write(routes, &known, &b), SMX_EINVAL);
		assert_int_equal(smx_hosts_conf_write(routes, &from, &b), SMX_EINVAL);
		assert_int_equal(smx_hosts_conf_write(routes, &key, &b), SMX_EINVAL);
		assert_int_equal(smx_include_line(&inc, &b), SMX_EINVAL);
	}
	assert_int_equal(smx_buf_len(&b), 0);
	for (size_t i = 0; i < 2; i++) {
		struct smx_hosts_conf o = plain;

		o.program = i ? "/a\nb" : "/a";
		o.program_ssh_dir = i ? "/a" : "/a\nb";
		assert_int_equal(smx_hosts_conf_write(routes, &o, &b), SMX_EINVAL);
	}
	assert_null(smx_conf_path_fault("/a %h $x \"\\*[?]", 0));
	assert_non_null(smx_conf_path_fault("/a%b", 1));
	smx_routes_unref(routes);
	smx_buf_release(&b);
}

/* C1 on Windows: forward slashes, which mean the same to all versions of ssh there. */
static void C1_paths_of_windows_have_forward_slashes(void **state)
{
	static const char *const key[] = { "\\\\srv\\x y\\id_ed25519" };
	struct smx_hosts_conf o = plain;
	struct smx_buf b;
	const char *text;

	(void)state;
	o.known_path = "C:\\J\xc3\xb6rg & Co\\100%\\ssh-mux-known-hosts";
	o.identity = key;
	o.n_identity = 1;
	text = written(&o, &b);
	assert_non_null(strstr(text,
		"    UserKnownHostsFile \"C:/J\xc3\xb6rg & Co/100%%/ssh-mux-known-hosts\"\n"));
	assert_non_null(strstr(text, "    IdentityFile \"//srv/x y/id_ed25519\"\n"));
	smx_buf_release(&b);
}

/* ---- Include ----------------------------------------------------------------------------------
 */

static const struct smx_include home = {
	.name = "ssh-mux-hosts.conf", .path = "/home/me/.ssh/ssh-mux-hosts.conf", .is_home = 1
};
static const struct smx_include other = { .name = "ssh-mux-hosts.conf",
	.path = "/o d/[x]/ssh-mux-hosts.conf" };
static const struct smx_include windows = { .name = "ssh-mux-hosts.conf",
	.path = "C:\\dev\\x y\\ssh-mux-hosts.conf" };

static void C1_include_is_bare_only_below_home(void **state)
{
	struct smx_buf b;

	(void)state;
	smx_buf_init(&b, 1024);
	assert_int_equal(smx_include_line(&home, &b), 0);
	assert_string_equal(smx_buf_cstr(&b), "Include ssh-mux-hosts.conf");
	smx_buf_reset(&b);
	assert_int_equal(smx_include_line(&other, &b), 0);
	assert_string_equal(smx_buf_cstr(&b), "Include \"/o d/\\\\[x\\\\]/ssh-mux-hosts.conf\"");
	smx_buf_reset(&b);
	assert_int_equal(smx_include_line(&windows, &b), 0);
	assert_string_equal(smx_buf_cstr(&b), "Include \"C:/dev/x y/ssh-mux-hosts.conf\"");
	smx_buf_release(&b);
}

struct find_case {
	const struct smx_include *inc;
	const char *text;
	enum smx_include_place place;
	unsigned line, count;
};

#define OURS "Include ssh-mux-hosts.conf\n"

static const struct find_case find_cases[] = {
	{ &home, "", SMX_INCLUDE_NONE, 0, 0 },
	{ &home, OURS, SMX_INCLUDE_TOP, 1, 1 },
	{ &home, "Include ssh-mux-hosts.conf", SMX_INCLUDE_TOP, 1, 1 },
	{ &home, "\xef\xbb\xbf" OURS, SMX_INCLUDE_TOP, 1, 1 },
	{ &home, "include = \"ssh-mux-hosts.conf\"\r\nHost a\r\n", SMX_INCLUDE_TOP, 1, 1 },
	{ &home, "INCLUDE\tconf.d/* ~/.ssh/ssh-mux-hosts.conf # x\n", SMX_INCLUDE_TOP, 1, 1 },
	{ &home, "Include /home/me/.ssh/ssh-mux-hosts.conf\n", SMX_INCLUDE_TOP, 1, 1 },
	{ &home, "# a\n\n  # b\nInclude other\n  " OURS "Host a\n", SMX_INCLUDE_TOP, 5, 1 },
	{ &home, "# " OURS, SMX_INCLUDE_NONE, 0, 0 },
	{ &home, "Include x # ssh-mux-hosts.conf\n", SMX_INCLUDE_NONE, 0, 0 },
	{ &home, "Include ssh-mux-hosts.conf.bak\n", SMX_INCLUDE_NONE, 0, 0 },
	{ &home, "Include /elsewhere/ssh-mux-hosts.conf\n", SMX_INCLUDE_NONE, 0, 0 },
	{ &home, "Host ssh-mux-hosts.conf\n", SMX_INCLUDE_NONE, 0, 0 },
	{ &home, "Compression yes\n" OURS, SMX_INCLUDE_LATE, 2, 1 },
	{ &home, "Host *\n" OURS, SMX_INCLUDE_LATE, 2, 1 },
	{ &home, "Host a\nMatch all\n" OURS, SMX_INCLUDE_LATE, 3, 1 },
	{ &home, "Host a *\n" OURS, SMX_INCLUDE_CONDITIONAL, 2, 1 },
	{ &home, "Host a\n  User x\n" OURS, SMX_INCLUDE_CONDITIONAL, 3, 1 },
	{ &home, "Match host a\n" OURS OURS, SMX_INCLUDE_CONDITIONAL, 2, 2 },
	{ &home, OURS "Host a\n" OURS, SMX_INCLUDE_TOP, 1, 2 },
	{ &windows, "Include \"C:/dev/x y/ssh-mux-hosts.conf\"\r\n", SMX_INCLUDE_TOP, 1, 1 },
	{ &windows, "Include C:/dev/x/ssh-mux-hosts.conf\n", SMX_INCLUDE_NONE, 0, 0 },
	/* Elsewhere the bare name is another file's. */
	{ &other, OURS, SMX_INCLUDE_NONE, 0, 0 },
	{ &other, "Include \"/o d/\\\\[x\\\\]/ssh-mux-hosts.conf\"\n", SMX_INCLUDE_TOP, 1, 1 },
};

static void C2_the_include_is_found_wherever_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(find_cases); i++) {
		const struct find_case *c = &find_cases[i];
		struct smx_include_found found;

		assert_int_equal(smx_include_find(c->inc, test_str(c->text), &found), 0);
		if (found.place != c->place || found.line != c->line || found.count != c->count)
			fail_msg("case %zu: place %d line %u count %u of %s", i, (int)found.place,
				found.line, found.count, c->text);
		assert_int_equal(found.has_bom, c->text[0] == '\xef');
	}
}

static const char *const texts[][2] = {
	{ "", OURS },
	{ "Host a", OURS "Host a" },
	{ "Host a\n  User b\n", OURS "Host a\n  User b\n" },
	{ "Host a\r\n  User b\n", "Include ssh-mux-hosts.conf\r\nHost a\r\n  User b\n" },
	{ "Host a\n  User b\r\n", OURS "Host a\n  User b\r\n" },
	{ "\n\n", OURS "\n\n" },
	{ "\xef\xbb\xbfHost a\n", "\xef\xbb\xbf" OURS "Host a\n" },
	{ "\xef\xbb\xbf", "\xef\xbb\xbf" OURS },
	{ "# \xff\xfe not UTF-8\n", OURS "# \xff\xfe not UTF-8\n" },
};

static void C2_one_line_more_and_every_other_byte_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(texts); i++) {
		struct smx_include_found found;
		struct smx_buf b;

		smx_buf_init(&b, 4096);
		assert_int_equal(smx_include_prepend(&home, test_str(texts[i][0]), &b), 0);
		assert_string_equal(smx_buf_cstr(&b), texts[i][1]);
		assert_int_equal(smx_include_find(&home, smx_buf_as_view(&b), &found), 0);
		assert_int_equal(found.place, SMX_INCLUDE_TOP);
		smx_buf_release(&b);
	}
}

/* ---- overlaps ---------------------------------------------------------------------------------
 */

static int note(void *arg, size_t route, unsigned line, int is_literal)
{
	(void)is_literal;
	return smx_buf_printf(arg, "%zu:%u ", route, line);
}

static int note_include(void *arg, const char *word)
{
	return smx_buf_printf(arg, "<%s> ", word);
}

static void C2_blocks_for_the_same_names_are_found(void **state)
{
	static const char *const lines[][2] = {
		{ "Host web", "0:1 " }, { "host = \"web\" x db", "0:1 1:1 " }, { "Host *", "" },
		{ "Host **", "" }, { "Host *.corp", "2:1 " }, { "Host w?b", "0:1 " },
		{ "Host * !web", "" }, { "Host d* !db", "" }, { "Host WEB", "" },
		{ "# Host web\nMatch host web\nHost other\n", "" },
		{ "\xef\xbb\xbfHost a\r\n\r\nHost web\r\n", "0:3 " },
		{ "Host web\nInclude \"a b\" c*\nHost web\n", "0:1 <a b> <c*> 0:3 " },
		{ "Host \"web", "" }, /* ssh does not take it either */
	};
	struct smx_routes *routes = three();

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(lines); i++) {
		struct smx_buf b;

		smx_buf_init(&b, 256);
		assert_int_equal(
			smx_overlap_find(routes, test_str(lines[i][0]), note, note_include, &b), 0);
		assert_string_equal(smx_buf_cstr(&b), lines[i][1]);
		smx_buf_release(&b);
	}
	smx_routes_unref(routes);
}

/* ---- failing memory ---------------------------------------------------------------------------
 */

static void failing_memory(void **state)
{
	struct smx_routes *routes = three();
	struct smx_include_found found;
	long before = smx_mem_alive();
	struct smx_hosts_conf o = plain;
	int r = SMX_ENOMEM;

	(void)state;
	o.program = "/p";
	for (long n = 0; r == SMX_ENOMEM; n++) {
		struct smx_buf b;

		smx_buf_init(&b, SMX_HOSTS_CONF_MAX);
		smx_mem_fail_after(n);
		(void)((r = smx_hosts_conf_write(routes, &o, &b)) != 0 ||
			(r = smx_include_find(
				 &home, test_str("Host a b\nInclude c d\n"), &found)) != 0 ||
			(r = smx_include_prepend(&home, test_str("Host a\n"), &b)) != 0 ||
			(r = smx_overlap_find(routes, test_str("Host web\nInclude x\n"), note,
				 note_include, &b)) != 0);
		smx_mem_fail_after(-1);
		smx_buf_release(&b);
		assert_int_equal(smx_mem_alive(), before);
		assert_true(n < 1000);
	}
	assert_int_equal(r, 0);
	smx_routes_unref(routes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(C1_one_block_a_route_with_all_that_keeps_others_out),
		cmocka_unit_test(C1_no_option_twice),
		cmocka_unit_test(C1_accept_new_only_while_the_key_is_not_there),
		cmocka_unit_test(C1_options_that_this_ssh_knows),
		cmocka_unit_test(C1_identities),
		cmocka_unit_test(B5_proxy_command_is_quoted_for_ssh_and_the_shell),
		cmocka_unit_test(W1_proxy_block_says_what_the_route_says),
		cmocka_unit_test(W3_jump_hosts_that_ssh_cannot_be_told),
		cmocka_unit_test(C1_paths_that_ssh_would_read_otherwise),
		cmocka_unit_test(C1_paths_of_windows_have_forward_slashes),
		cmocka_unit_test(C1_include_is_bare_only_below_home),
		cmocka_unit_test(C2_the_include_is_found_wherever_it_is),
		cmocka_unit_test(C2_one_line_more_and_every_other_byte_the_same),
		cmocka_unit_test(C2_blocks_for_the_same_names_are_found),
		cmocka_unit_test(failing_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
