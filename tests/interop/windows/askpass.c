/* SPDX-License-Identifier: MIT */
/*
 * An SSH_ASKPASS for test_windows_prompt.py: writes what it was asked, and how, to the file
 * SMX_ASKPASS_LOG and says SMX_ASKPASS_ANSWER; without one it refuses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

static void log_utf8(FILE *f, const wchar_t *text)
{
	static char utf8[32768];

	if (WideCharToMultiByte(CP_UTF8, 0, text, -1, utf8, (int)sizeof(utf8), NULL, NULL))
		(void)fputs(utf8, f);
	(void)fputc('\n', f);
}

int wmain(int argc, wchar_t **argv)
{
	const wchar_t *path = _wgetenv(L"SMX_ASKPASS_LOG"),
		      *answer = _wgetenv(L"SMX_ASKPASS_ANSWER");
	const wchar_t *hint = _wgetenv(L"SSH_ASKPASS_PROMPT");
	FILE *f = path ? _wfopen(path, L"ab") : NULL;

	if (!f)
		return 70;
	(void)fprintf(f, "asked with %d arguments, prompt %ls\n", argc - 1, hint ? hint : L"none");
	for (int i = 1; i < argc; i++)
		log_utf8(f, argv[i]);
	(void)fclose(f);
	if (!answer)
		return 1;
	(void)printf("%ls\r\n", answer);
	return 0;
}
