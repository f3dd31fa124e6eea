/* SPDX-License-Identifier: MIT */
/*
 * Runs a program at a console of its own, and ends it by Ctrl-C, as a person does there, when a
 * line comes on the standard input. Exits as the program does. end_by_console PROGRAM [ARGUMENT…]
 * (Ctrl-Break is not among what wine can pass on.)
 */
#include <stdio.h>
#include <wchar.h>
#include <windows.h>

static BOOL WINAPI ignore(DWORD event)
{
	(void)event;
	return TRUE; /* it comes to us, too */
}

int main(void)
{
	STARTUPINFOW start = { .cb = sizeof(start), .dwFlags = STARTF_USESTDHANDLES };
	wchar_t *command = wcschr(GetCommandLineW(), L' ');
	PROCESS_INFORMATION child;
	char line[16] = "";
	DWORD code = 70;

	start.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
	start.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
	start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
	(void)FreeConsole();
	if (!command || !AllocConsole())
		return 69;
	command += wcsspn(command, L" ");
	if (!SetConsoleCtrlHandler(ignore, TRUE) ||
		!CreateProcessW(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &start, &child))
		return 71;
	if (!fgets(line, sizeof(line), stdin) || !GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0) ||
		WaitForSingleObject(child.hProcess, 30000) != WAIT_OBJECT_0) {
		(void)TerminateProcess(child.hProcess, 73);
		return 73;
	}
	return GetExitCodeProcess(child.hProcess, &code) ? (int)code : 74;
}
