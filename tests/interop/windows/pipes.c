/* SPDX-License-Identifier: MIT */
/*
 * Runs the rest of its command line with pipes of Windows as standard input and output, and carries
 * bytes between them and its own: those of a native ssh are no such pipes to a program under wine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>

struct way {
	HANDLE from, to;
};

static DWORD WINAPI carry(void *arg)
{
	struct way *w = arg;
	char bytes[16384];
	DWORD n, put;

	while (ReadFile(w->from, bytes, sizeof(bytes), &n, NULL) && n > 0)
		for (DWORD at = 0; at < n; at += put)
			if (!WriteFile(w->to, bytes + at, n - at, &put, NULL))
				goto out;
out:
	(void)CloseHandle(w->to);
	return 0;
}

/* What stands behind our own name. */
static wchar_t *rest_of_line(void)
{
	wchar_t *line = GetCommandLineW(), *p = line;
	int is_quoted = 0;

	for (; *p && (is_quoted || (*p != L' ' && *p != L'\t')); p++)
		if (*p == L'"')
			is_quoted = !is_quoted;
	while (*p == L' ' || *p == L'\t')
		p++;
	return _wcsdup(p);
}

int wmain(void)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa), .bInheritHandle = TRUE };
	STARTUPINFOW si = { .cb = sizeof(si), .dwFlags = STARTF_USESTDHANDLES };
	PROCESS_INFORMATION pi;
	struct way in = { .from = GetStdHandle(STD_INPUT_HANDLE) };
	struct way out = { .to = GetStdHandle(STD_OUTPUT_HANDLE) };
	DWORD code = 70;
	HANDLE back;

	if (!CreatePipe(&si.hStdInput, &in.to, &sa, 0) ||
		!CreatePipe(&out.from, &si.hStdOutput, &sa, 0) ||
		!SetHandleInformation(in.to, HANDLE_FLAG_INHERIT, 0) ||
		!SetHandleInformation(out.from, HANDLE_FLAG_INHERIT, 0))
		return 71;
	si.hStdError = GetStdHandle(STD_ERROR_HANDLE);
	if (!CreateProcessW(NULL, rest_of_line(), NULL, NULL, TRUE, 0, NULL, NULL, &si, &pi))
		return 72;
	(void)CloseHandle(si.hStdInput);
	(void)CloseHandle(si.hStdOutput);
	(void)CreateThread(NULL, 0, carry, &in, 0, NULL);
	back = CreateThread(NULL, 0, carry, &out, 0, NULL);
	(void)WaitForSingleObject(pi.hProcess, INFINITE);
	(void)GetExitCodeProcess(pi.hProcess, &code);
	(void)WaitForSingleObject(back, 5000);
	ExitProcess(code); /* the other thread may wait for its input for ever */
}
