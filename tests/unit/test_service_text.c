/* SPDX-License-Identifier: MIT */
/* C5, C6: what the service managers are told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/service_text.h"

typedef int text_fn(const struct smx_service_spec *spec, struct smx_buf *out);

static const struct smx_service_spec plain = { .program = "/home/me/.ssh/ssh-mux" };
static const struct smx_service_spec full = {
	.program = "/home/me/.ssh/ssh-mux",
	.ssh_dir = "/srv/ssh dir",
	.routes_path = "/home/me/r.toml",
	.port = 2300,
	.idle_timeout_s = 60,
};

/* The text, owned by the caller. */
static char *text_of(text_fn *fn, const struct smx_service_spec *spec)
{
	struct smx_buf out;
	char *text;

	smx_buf_init(&out, SMX_SERVICE_TEXT_MAX);
	assert_int_equal(fn(spec, &out), 0);
	text = smx_strdup(smx_buf_cstr(&out));
	smx_buf_release(&out);
	return text;
}

/* The rest of the one line that starts with `name`. */
static void assert_line(const char *text, const char *name, const char *wanted)
{
	char found[1024];
	const char *at;
	char start[64];

	(void)snprintf(start, sizeof(start), "\n%s", name);
	at = strstr(text, start);
	assert_non_null(at);
	assert_null(strstr(at + 1, start));
	at += strlen(start);
	(void)snprintf(found, sizeof(found), "%.*s", (int)strcspn(at, "\n"), at);
	assert_string_equal(found, wanted);
}

static void assert_exec(const struct smx_service_spec *spec, const char *wanted)
{
	char *text = text_of(smx_service_unit_text, spec);

	assert_line(text, "ExecStart=", wanted);
	smx_free(text);
}

static void c6_unit_runs_the_daemon_with_its_options(void **state)
{
	char *text;

	(void)state;
	assert_exec(&plain, "\"/home/me/.ssh/ssh-mux\" \"daemon\" \"--foreground\"");
	text = text_of(smx_service_unit_text, &plain);
	assert_line(text, "Type=", "notify");
	assert_line(text, "WantedBy=", "default.target");
	assert_line(text, "Restart=", "on-failure");
	assert_null(strstr(text, "Environment="));
	smx_free(text);
	text = text_of(smx_service_unit_text, &full);
	assert_line(text, "Environment=", "\"SSH_MUX_SSH_DIR=/srv/ssh dir\"");
	assert_line(text, "ExecStart=",
		"\"/home/me/.ssh/ssh-mux\" \"daemon\" \"--foreground\" \"--config\" "
		"\"/home/me/r.toml\" \"--port\" \"2300\" \"--timeout\" \"60\"");
	smx_free(text);
}

/* Specifiers, variables and quotes; the program's own path has no variables, Environment neither.
 */
static void c6_unit_paths_are_escaped(void **state)
{
	struct smx_service_spec spec = { .program = "/a b/%h/$HOME/\xc3\xa9/ssh-mux",
		.routes_path = "/r %i $X \"q\" \\ 'z'",
		.ssh_dir = "/d $Y %u \"\\" };
	char *text;

	(void)state;
	assert_exec(&spec,
		"\"/a b/%%h/$HOME/\xc3\xa9/ssh-mux\" \"daemon\" \"--foreground\" \"--config\" "
		"\"/r %%i $$X \\\"q\\\" \\\\ 'z'\"");
	text = text_of(smx_service_unit_text, &spec);
	assert_line(text, "Environment=", "\"SSH_MUX_SSH_DIR=/d $Y %%u \\\"\\\\\"");
	smx_free(text);
	/* systemd refuses a program with a quote in its path, so a shell runs it. */
	spec = (struct smx_service_spec){ .program = "/it's $x/ssh-mux" };
	assert_exec(&spec,
		"/bin/sh -c \"exec \\\"$$0\\\" \\\"$$@\\\"\" \"/it's $$x/ssh-mux\" \"daemon\" "
		"\"--foreground\"");
}

static void c6_unspeakable_paths_are_refused(void **state)
{
	static const char *const bad[] = { "/a\nExecStartPre=/bin/x", "/a\tb", "/a\x7f", "/\xff",
		"/\xc0\xaf", "/\xed\xa0\x80", "/\xc2\x85", "/\xe2\x82" };
	text_fn *const fns[] = { smx_service_unit_text, smx_service_plist_text };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad) * SMX_ARRAY_LEN(fns); i++) {
		const char *b = bad[i / 2];
		const struct smx_service_spec specs[] = { { .program = b },
			{ .program = "/p", .ssh_dir = b }, { .program = "/p", .routes_path = b } };

		for (size_t k = 0; k < SMX_ARRAY_LEN(specs); k++) {
			struct smx_buf out;

			smx_buf_init(&out, SMX_SERVICE_TEXT_MAX);
			assert_int_equal(smx_buf_put_str(&out, "before"), 0);
			assert_int_equal(fns[i % 2](&specs[k], &out), SMX_EUNSUPPORTED);
			assert_int_equal(smx_buf_len(&out), strlen("before"));
			smx_buf_release(&out);
		}
	}
}

/* A user's manager enforces none of these, or fails by them: see docs/DESIGN.md. */
static void c6_unit_has_no_options_that_need_a_namespace(void **state)
{
	static const char *const bad[] = { "PrivateUsers", "ProtectSystem", "ProtectHome",
		"PrivateTmp", "PrivateDevices", "ProtectClock", "ProtectKernel",
		"CapabilityBoundingSet", "ReadWritePaths", "PrivateMounts", "ProtectProc",
		"DynamicUser", "PrivateNetwork" };
	char *text = text_of(smx_service_unit_text, &full);

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++)
		assert_null(strstr(text, bad[i]));
	assert_line(text, "NoNewPrivileges=", "yes");
	/* H3: and what the daemon confines itself by. */
	assert_line(text, "SystemCallFilter=",
		"@system-service seccomp landlock_create_ruleset landlock_add_rule "
		"landlock_restrict_self");
	smx_free(text);
}

static void c6_plist_is_escaped_xml(void **state)
{
	struct smx_service_spec spec = {
		.program = "/a & <b>/\xc3\xa9 \"q\"", .ssh_dir = "/d & </string>", .port = 2222
	};
	char *text = text_of(smx_service_plist_text, &spec);

	(void)state;
	assert_non_null(strstr(text, "\t<array>\n"
				     "\t\t<string>/a &amp; &lt;b&gt;/\xc3\xa9 \"q\"</string>\n"
				     "\t\t<string>daemon</string>\n"
				     "\t\t<string>--foreground</string>\n"
				     "\t\t<string>--port</string>\n"
				     "\t\t<string>2222</string>\n"
				     "\t</array>\n"));
	assert_non_null(strstr(text, "\t\t<key>SSH_MUX_SSH_DIR</key>\n"
				     "\t\t<string>/d &amp; &lt;/string&gt;</string>\n"));
	assert_non_null(strstr(text, "<key>RunAtLoad</key>\n\t<true/>\n"));
	smx_free(text);
	text = text_of(smx_service_plist_text, &plain);
	assert_null(strstr(text, "EnvironmentVariables"));
	smx_free(text);
}

static void c6_command_is_for_a_shell(void **state)
{
	struct smx_service_spec spec = { .program = "/it's/ssh-mux",
		.ssh_dir = "/d $x",
		.routes_path = "/r.toml",
		.port = 2223 };
	char *text = text_of(smx_service_command_text, &spec);

	(void)state;
	assert_string_equal(text,
		"SSH_MUX_SSH_DIR='/d $x' '/it'\\''s/ssh-mux' daemon --config /r.toml --port 2223");
	smx_free(text);
	text = text_of(smx_service_command_text, &plain);
	assert_string_equal(text, "/home/me/.ssh/ssh-mux daemon");
	smx_free(text);
}

static const struct smx_service_spec windows = {
	.program = "C:\\Users\\J\xc3\xb6rg & Co\\.ssh\\ssh-mux.exe",
	.ssh_dir = "D:\\it's \xf0\x9f\x98\x80",
	.routes_path = "C:\\100%TEMP%\\r.toml",
	.port = 2300,
	.idle_timeout_s = 60,
};

/* C6 [W]: ASCII, quotes doubled, and no % for Run to expand but ours. */
static void c6_script_for_the_startup_folder(void **state)
{
	char *text = text_of(smx_service_script_text, &windows);

	(void)state;
	for (const char *s = text; *s; s++)
		assert_true((unsigned char)*s < 0x80);
	assert_non_null(
		strstr(text, "shell.Environment(\"Process\").Item(\"SSH_MUX_SSH_DIR\") = "
			     "\"D:\\it's \" & ChrW(55357) & ChrW(56832)\r\n"
			     "shell.Environment(\"Process\").Item(\"SSH_MUX_ARG4\") = "
			     "\"C:\\100%TEMP%\\r.toml\"\r\n"
			     "command = command & \"\"\"\" & \"C:\\Users\\J\" & ChrW(246) & "
			     "\"rg & Co\\.ssh\\ssh-mux.exe\" & \"\"\"\"\r\n"
			     "command = command & \" \"\"\" & \"daemon\" & \"\"\"\"\r\n"
			     "command = command & \" \"\"\" & \"--foreground\" & \"\"\"\"\r\n"
			     "command = command & \" \"\"\" & \"--config\" & \"\"\"\"\r\n"
			     "command = command & \" \"\"\" & \"%SSH_MUX_ARG4%\" & \"\"\"\"\r\n"));
	assert_non_null(strstr(text, "shell.Run command, 0, False\r\n"));
	smx_free(text);
	text = text_of(smx_service_script_text, &plain);
	assert_null(strstr(text, "Environment"));
	smx_free(text);
}

static void c6_script_takes_no_quotes_and_line_breaks(void **state)
{
	static const char *const bad[] = { "C:\\a\"b", "C:\\a\r\nb", "C:\\\xff" };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(bad); i++) {
		const struct smx_service_spec specs[] = { { .program = bad[i] },
			{ .program = "C:\\p", .ssh_dir = bad[i] },
			{ .program = "C:\\p", .routes_path = bad[i] } };

		for (size_t k = 0; k < SMX_ARRAY_LEN(specs); k++) {
			struct smx_buf out;

			smx_buf_init(&out, SMX_SERVICE_TEXT_MAX);
			assert_int_equal(
				smx_service_script_text(&specs[k], &out), SMX_EUNSUPPORTED);
			assert_int_equal(smx_buf_len(&out), 0);
			smx_buf_release(&out);
		}
	}
}

static void c6_command_for_powershell(void **state)
{
	struct smx_service_spec spec = { .program = "C:\\it's $x\\ssh-mux.exe",
		.ssh_dir = "D:\\\xe2\x80\x98q\xe2\x80\x99",
		.port = 2223 };
	char *text = text_of(smx_service_powershell_text, &spec);

	(void)state;
	assert_string_equal(text, "$env:SSH_MUX_SSH_DIR = "
				  "'D:\\\xe2\x80\x98\xe2\x80\x98q\xe2\x80\x99\xe2\x80\x99'; "
				  "& 'C:\\it''s $x\\ssh-mux.exe' daemon --port 2223");
	smx_free(text);
}

static int ours(const char *text)
{
	return smx_service_is_ours(smx_view_of(text, strlen(text)));
}

static void c5_our_files_are_known(void **state)
{
	char *unit = text_of(smx_service_unit_text, &plain);
	char *plist = text_of(smx_service_plist_text, &plain);
	char *script = text_of(smx_service_script_text, &windows);

	(void)state;
	assert_true(ours(script));
	smx_free(script);
	assert_true(ours(unit));
	assert_true(ours(plist));
	assert_false(ours(""));
	assert_false(ours("[Service]\nExecStart=/usr/bin/ssh-mux daemon\n"));
	assert_true(smx_service_program_is_ours(
		smx_view_of(smx_service_program_mark, strlen(smx_service_program_mark))));
	assert_false(smx_service_program_is_ours(
		smx_view_of(smx_service_program_mark, strlen(smx_service_program_mark) - 1)));
	assert_false(smx_service_program_is_ours(smx_view_of("#!/bin/sh\n", 10)));
	smx_free(unit);
	smx_free(plist);
}

static void c6_a_systems_program_is_used_in_place(void **state)
{
	static const struct {
		const char *path, *wanted;
	} cases[] = {
		{ "/usr/bin/ssh-mux", "/usr/bin/ssh-mux" },
		{ "/usr/local/bin/ssh-mux", "/usr/local/bin/ssh-mux" },
		{ "/opt/homebrew/Cellar/ssh-mux/0.1.0/bin/ssh-mux", "/opt/homebrew/bin/ssh-mux" },
		{ "/usr/local/Cellar/ssh-mux/0.1.0/bin/ssh-mux", "/usr/local/bin/ssh-mux" },
		{ "/home/me/build/ssh-mux", NULL },
		{ "/home/me/usr/bin/ssh-mux", NULL },
		{ "/tmp/Cellar/ssh-mux", NULL },
		{ "/root/.ssh/ssh-mux", NULL },
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(cases); i++) {
		char *found = NULL;
		int r = smx_service_system_program(cases[i].path, &found);

		assert_int_equal(r, cases[i].wanted ? 0 : SMX_ENOTFOUND);
		if (r == 0)
			assert_string_equal(found, cases[i].wanted);
		smx_free(found);
	}
}

static void c6_out_of_memory_and_room(void **state)
{
	text_fn *const fns[] = { smx_service_unit_text, smx_service_plist_text,
		smx_service_command_text, smx_service_script_text, smx_service_powershell_text };

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(fns); i++) {
		long before = smx_mem_alive();
		struct smx_buf out;
		int r = SMX_ENOMEM;

		for (long n = 0; r != 0; n++) {
			smx_buf_init(&out, SMX_SERVICE_TEXT_MAX);
			smx_mem_fail_after(n);
			r = fns[i](&full, &out);
			smx_mem_fail_after(-1);
			if (r != 0) {
				assert_int_equal(r, SMX_ENOMEM);
				assert_int_equal(smx_buf_len(&out), 0);
			}
			smx_buf_release(&out);
			assert_int_equal(smx_mem_alive(), before);
		}
		smx_buf_init(&out, 40);
		assert_int_equal(fns[i](&full, &out), SMX_ELIMIT);
		assert_int_equal(smx_buf_len(&out), 0);
		smx_buf_release(&out);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c6_unit_runs_the_daemon_with_its_options),
		cmocka_unit_test(c6_unit_paths_are_escaped),
		cmocka_unit_test(c6_unspeakable_paths_are_refused),
		cmocka_unit_test(c6_unit_has_no_options_that_need_a_namespace),
		cmocka_unit_test(c6_plist_is_escaped_xml),
		cmocka_unit_test(c6_command_is_for_a_shell),
		cmocka_unit_test(c6_script_for_the_startup_folder),
		cmocka_unit_test(c6_script_takes_no_quotes_and_line_breaks),
		cmocka_unit_test(c6_command_for_powershell),
		cmocka_unit_test(c5_our_files_are_known),
		cmocka_unit_test(c6_a_systems_program_is_used_in_place),
		cmocka_unit_test(c6_out_of_memory_and_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
