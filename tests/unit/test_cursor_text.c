/* SPDX-License-Identifier: MIT */
/* C7: the scripts between an editor and ssh.exe. What cmd.exe makes of them: test_windows_install.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "sshconf/cursor_text.h"

static int ssh_text(const char *ssh, char *text, size_t size)
{
	struct smx_buf out;
	int r;

	smx_buf_init(&out, SMX_CURSOR_TEXT_MAX);
	r = ssh ? smx_cursor_ssh_text(strcmp(ssh, "PATH") == 0 ? NULL : ssh, &out)
		: smx_cursor_askpass_text(&out);
	assert_true(smx_buf_len(&out) < size);
	if (smx_buf_len(&out) > 0)
		memcpy(text, smx_buf_view(&out), smx_buf_len(&out));
	text[smx_buf_len(&out)] = '\0';
	smx_buf_release(&out);
	return r;
}

/* C7: ASCII, every line with CR and LF, no path but that of ssh.exe, and nothing expanded twice. */
static void c7_scripts_are_plain(void **state)
{
	static const char *const of[] = { "PATH", "C:\\Windows\\System32\\OpenSSH\\ssh.exe", NULL };
	char text[4096];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(of); i++) {
		assert_int_equal(ssh_text(of[i], text, sizeof(text)), 0);
		for (const char *s = text; *s; s++) {
			assert_true((unsigned char)*s < 0x80);
			assert_true((*s == '\n') == (s > text && s[-1] == '\r'));
		}
		assert_non_null(strstr(text, "DisableDelayedExpansion\r\n"));
		assert_null(strstr(text, "\r\ncall "));
		assert_null(strstr(text, "chcp"));
		assert_true(smx_cursor_is_ours(smx_view_of(text, strlen(text))));
	}
	assert_false(smx_cursor_is_ours(smx_view_of("@echo off\r\nrem mine\r\n", 21)));
	assert_true(smx_cursor_is_ours(smx_view_of("", 0)));
}

/* C7: ssh.exe by the path it was found at, percent signs doubled; one that is not ASCII by PATH. */
static void c7_ssh_is_named(void **state)
{
	char text[4096];

	(void)state;
	assert_int_equal(ssh_text("C:\\a & b\\100%\\ssh.exe", text, sizeof(text)), 0);
	assert_non_null(strstr(text, "set \"SSH_MUX_SSH=C:\\a & b\\100%%\\ssh.exe\"\r\n"));
	assert_int_equal(ssh_text("C:\\J\xc3\xb6rg\\ssh.exe", text, sizeof(text)), 0);
	assert_non_null(strstr(text, "set \"SSH_MUX_SSH=ssh.exe\"\r\n"));
	assert_non_null(strstr(text, "NoDefaultCurrentDirectoryInExePath"));
	assert_int_equal(ssh_text("C:\\a\"b\\ssh.exe", text, sizeof(text)), SMX_EINVAL);
	assert_int_equal(ssh_text("C:\\a\r\nb\\ssh.exe", text, sizeof(text)), SMX_EINVAL);
	assert_string_equal(text, "");
	assert_true(smx_cursor_path_is_fit("C:\\dev\\.ssh\\" SMX_CURSOR_SSH_FILE));
	assert_false(smx_cursor_path_is_fit("C:\\Users\\\xed\x95\x9c\\.ssh\\cursor-ssh.cmd"));
}

static void c7_out_of_memory_and_room(void **state)
{
	long before = smx_mem_alive();
	struct smx_buf out;
	int r = SMX_ENOMEM;

	(void)state;
	for (long n = 0; r != 0; n++) {
		smx_buf_init(&out, SMX_CURSOR_TEXT_MAX);
		smx_mem_fail_after(n);
		r = smx_cursor_ssh_text("C:\\ssh.exe", &out);
		if (r == 0)
			r = smx_cursor_askpass_text(&out);
		smx_mem_fail_after(-1);
		smx_buf_release(&out);
		assert_int_equal(smx_mem_alive(), before);
	}
	smx_buf_init(&out, 40);
	assert_int_equal(smx_cursor_ssh_text("C:\\ssh.exe", &out), SMX_ELIMIT);
	assert_int_equal(smx_cursor_askpass_text(&out), SMX_ELIMIT);
	assert_int_equal(smx_buf_len(&out), 0);
	smx_buf_release(&out);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c7_scripts_are_plain),
		cmocka_unit_test(c7_ssh_is_named),
		cmocka_unit_test(c7_out_of_memory_and_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
