/* SPDX-License-Identifier: MIT */
/*
 * In the place of powershell.exe, for test_windows_prompt.py: writes down what it was told and by
 * which way, does what the script would do with the pipe, and answers as the test says. The test
 * judges.
 *
 * In the directory SMX_FAKE_POWERSHELL, for its Nth start: N.command (its command line), N.script
 * (what -EncodedCommand means), N.environment (all of it), N.question (the line that came by the
 * pipe); and it waits for N.answer:
 *	answer TEXT	as the script says it
 *	raw TEXT	TEXT and the end of the line
 *	long		more than a line may have
 *	exit		it ends (at once, if this is there before it starts)
 *	restricted	the script may not make its end of the pipe (if this is there before)
 *	hang		it neither says anything nor ends
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>
#include <wincrypt.h>

#define LINE_MAX_LEN 65536

static wchar_t dir[512];
static int number;

static void fail(const char *what)
{
	(void)fprintf(stderr, "fake_powershell: %s: %lu\n", what, GetLastError());
	ExitProcess(70);
}

static void name(const wchar_t *ending, wchar_t *out, size_t size)
{
	(void)swprintf(out, size, L"%ls\\%d.%ls", dir, number, ending);
}

/* Whole, under its name: whoever sees it can read all of it. */
static void record(const wchar_t *ending, const void *p, size_t len)
{
	wchar_t path[600], part[600];
	FILE *f;

	name(ending, path, 600);
	(void)swprintf(part, 600, L"%ls.part", path);
	if (!(f = _wfopen(part, L"wb")) || fwrite(p, 1, len, f) != len || fclose(f) != 0)
		fail("record");
	if (!MoveFileExW(part, path, MOVEFILE_REPLACE_EXISTING))
		fail("rename");
}

static void record_wide(const wchar_t *ending, const wchar_t *text, size_t n)
{
	static char utf8[4 * LINE_MAX_LEN];
	int len =
		WideCharToMultiByte(CP_UTF8, 0, text, (int)n, utf8, (int)sizeof(utf8), NULL, NULL);

	if (len == 0)
		fail("UTF-8");
	record(ending, utf8, (size_t)len);
}

static int read_plan(char *plan, size_t size)
{
	wchar_t path[600];
	size_t n;
	FILE *f;

	name(L"answer", path, 600);
	if (!(f = _wfopen(path, L"rb")))
		return 0;
	n = fread(plan, 1, size - 1, f);
	(void)fclose(f);
	plan[n] = '\0';
	return 1;
}

static void take_number(void)
{
	for (;; number++) {
		wchar_t path[600];
		HANDLE h;

		name(L"taken", path, 600);
		h = CreateFileW(path, GENERIC_WRITE, 0, NULL, CREATE_NEW, 0, NULL);
		if (h != INVALID_HANDLE_VALUE) {
			(void)CloseHandle(h);
			return;
		}
		if (GetLastError() != ERROR_FILE_EXISTS)
			fail("take a number");
	}
}

static void record_script(int argc, wchar_t **argv)
{
	static BYTE bytes[LINE_MAX_LEN];
	DWORD n = sizeof(bytes);

	for (int i = 1; i + 1 < argc; i++)
		if (_wcsicmp(argv[i], L"-EncodedCommand") == 0) {
			if (!CryptStringToBinaryW(
				    argv[i + 1], 0, CRYPT_STRING_BASE64, bytes, &n, NULL, NULL))
				fail("base64");
			record_wide(L"script", (wchar_t *)bytes, n / sizeof(wchar_t));
			return;
		}
	fail("no -EncodedCommand");
}

static void record_environment(void)
{
	wchar_t *all = GetEnvironmentStringsW();
	size_t n = 0;

	while (all[n])
		n += wcslen(all + n) + 1;
	record_wide(L"environment", all, n);
}

static HANDLE connect_pipe(void)
{
	wchar_t pipe[256], path[300];
	HANDLE h;

	if (!GetEnvironmentVariableW(L"SSH_MUX_PROMPT_PIPE", pipe, 256))
		fail("no SSH_MUX_PROMPT_PIPE");
	(void)swprintf(path, 300, L"\\\\.\\pipe\\%ls", pipe);
	h = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
		SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
	if (h == INVALID_HANDLE_VALUE)
		fail("connect");
	return h;
}

static void record_question(HANDLE pipe)
{
	static char line[LINE_MAX_LEN];
	DWORD n, len = 0;

	do {
		if (!ReadFile(pipe, line + len, LINE_MAX_LEN - len, &n, NULL) || n == 0)
			fail("read");
		len += n;
	} while (line[len - 1] != '\n');
	record(L"question", line, len);
}

static void say(HANDLE pipe, const char *text)
{
	DWORD n;

	(void)WriteFile(pipe, text, (DWORD)strlen(text), &n, NULL);
}

static void say_answer(HANDLE pipe, const char *text)
{
	say(pipe, "{\"answer\":\"");
	for (; *text; text++) {
		char one[3] = { *text, '\0', '\0' };

		if (*text == '"' || *text == '\\') {
			one[0] = '\\';
			one[1] = *text;
		}
		say(pipe, one);
	}
	say(pipe, "\"}\n");
}

int wmain(int argc, wchar_t **argv)
{
	static char plan[LINE_MAX_LEN], long_line[20000];
	HANDLE pipe;

	if (!GetEnvironmentVariableW(L"SMX_FAKE_POWERSHELL", dir, 512))
		fail("no SMX_FAKE_POWERSHELL");
	take_number();
	record_wide(L"command", GetCommandLineW(), wcslen(GetCommandLineW()));
	record_environment();
	record_script(argc, argv);
	if (read_plan(plan, sizeof(plan)) && strcmp(plan, "exit") == 0)
		return 0;
	if (strcmp(plan, "restricted") == 0)
		return 71;
	pipe = connect_pipe();
	record_question(pipe);
	while (!read_plan(plan, sizeof(plan)))
		Sleep(20);
	if (strncmp(plan, "answer ", 7) == 0)
		say_answer(pipe, plan + 7);
	if (strncmp(plan, "raw ", 4) == 0) {
		say(pipe, plan + 4);
		say(pipe, "\n");
	}
	if (strcmp(plan, "long") == 0) {
		memset(long_line, 'x', sizeof(long_line) - 1);
		say(pipe, long_line);
	}
	while (strcmp(plan, "hang") == 0)
		Sleep(1000);
	(void)FlushFileBuffers(pipe);
	return 0;
}
