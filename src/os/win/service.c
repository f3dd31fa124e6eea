/* SPDX-License-Identifier: MIT */
/*
 * The daemon from login on (C6). There is no manager of a user's own here: a script in the Startup
 * folder starts the daemon at logon, and install starts it by CreateProcess, not by the script.
 */
#include "os/file.h"
#include "os/path.h"
#include "os/service.h"
#include "os/win/spawn.h"

#include <shellapi.h>
#include <shlobj.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <winternl.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/random.h"

#define SCRIPT_FILE   "ssh-mux.vbs"
#define SCRIPT_MAX    (64u << 10)
#define STARTUP_BELOW "Microsoft\\Windows\\Start Menu\\Programs\\Startup"
#define READY_NAME    L"SSH_MUX_READY"
#define READY_WAIT_MS 20000
#define PATH_UNITS    32768

struct smx_os_service {
	char *path; /* of the script */
};

/* ---- where it is -------------------------------------------------------------------------------
 */

/* S8: the environment is asked only where the system does not tell. */
static int startup_folder(char **ret_path)
{
	char *roaming;
	int r = smx_win_known_folder(&FOLDERID_Startup, ret_path);

	if (r != SMX_ENOTFOUND || (r = smx_win_getenv("APPDATA", &roaming)) != 0)
		return r;
	r = smx_os_path_is_absolute(roaming) ? smx_os_path_join(roaming, STARTUP_BELOW, ret_path)
					     : SMX_ENOTFOUND;
	smx_free(roaming);
	return r;
}

int smx_os_service_new(struct smx_os_service **ret, struct smx_buf *err)
{
	struct smx_os_service *s;
	char *folder = NULL;
	int r;

	if ((s = smx_calloc(1, sizeof(*s))) == NULL)
		return SMX_ENOMEM;
	r = startup_folder(&folder);
	if (r == SMX_ENOTFOUND)
		smx_win_say(err, "the system has no Startup folder for this user");
	if (r == 0)
		r = smx_os_path_join(folder, SCRIPT_FILE, &s->path);
	smx_free(folder);
	if (r != 0)
		smx_os_service_free(s);
	else
		*ret = s;
	return r;
}

void smx_os_service_free(struct smx_os_service *s)
{
	if (!s)
		return;
	smx_free(s->path);
	smx_free(s);
}

enum smx_os_service_kind smx_os_service_kind(const struct smx_os_service *s)
{
	(void)s;
	return SMX_OS_SERVICE_STARTUP;
}

const char *smx_os_service_manager(const struct smx_os_service *s)
{
	(void)s;
	return "the Startup folder";
}

const char *smx_os_service_path(const struct smx_os_service *s)
{
	return s->path;
}

const char *smx_os_service_restart_command(const struct smx_os_service *s)
{
	(void)s;
	return "ssh-mux install";
}

/* VBScript is a part of Windows that newer versions can do without. */
int smx_os_service_is_usable(struct smx_os_service *s, struct smx_buf *why)
{
	static const wchar_t *const parts[] = { L"wscript.exe", L"vbscript.dll" };
	wchar_t path[MAX_PATH + 16];
	UINT n;

	(void)s;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		n = GetSystemDirectoryW(path, MAX_PATH);
		if (n == 0 || n >= MAX_PATH)
			return SMX_ESYS;
		(void)swprintf(path + n, 16, L"\\%ls", parts[i]);
		if (GetFileAttributesW(path) == INVALID_FILE_ATTRIBUTES) {
			smx_win_say(why, "this Windows has no VBScript, which starts it at logon");
			return SMX_ENOTFOUND;
		}
	}
	return 0;
}

/* ---- the script --------------------------------------------------------------------------------
 */

int smx_os_service_put(
	struct smx_os_service *s, struct smx_view text, int *ret_changed, struct smx_buf *err)
{
	struct smx_buf old;
	char *folder = NULL;
	int r, is_same;

	smx_buf_init(&old, SCRIPT_MAX);
	r = smx_os_file_read(s->path, SCRIPT_MAX, SMX_OS_FILE_PLAIN, &old, NULL);
	is_same = r == 0 && smx_view_eq_view(smx_buf_as_view(&old), text);
	smx_buf_release(&old);
	if (is_same)
		return 0;
	if ((r = smx_os_path_dir(s->path, &folder)) == 0 &&
		(r = smx_os_dir_ensure(folder, err)) == 0 &&
		(r = smx_os_file_write_atomic(s->path, text.p, text.len, 0600, err)) == 0)
		*ret_changed = 1;
	smx_free(folder);
	return r;
}

int smx_os_service_remove(struct smx_os_service *s, int *ret_changed, struct smx_buf *err)
{
	int r = smx_os_file_remove(s->path, NULL);

	if (r == SMX_ENOTFOUND)
		return 0;
	if (r != 0) /* once more, for its words */
		return smx_os_file_remove(s->path, err);
	*ret_changed = 1;
	return 0;
}

/* ---- the process -------------------------------------------------------------------------------
 */

typedef LONG NTAPI query_process_fn(HANDLE, PROCESSINFOCLASS, void *, ULONG, ULONG *);

/* From where a process keeps what it was started with. */
static int read_command_line(HANDLE process, wchar_t *line, size_t units)
{
	HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
	FARPROC found = ntdll ? GetProcAddress(ntdll, "NtQueryInformationProcess") : NULL;
	RTL_USER_PROCESS_PARAMETERS params;
	PROCESS_BASIC_INFORMATION basic;
	query_process_fn *query;
	PEB peb;

	if (!found)
		return 0;
	memcpy(&query, &found, sizeof(query));
	if (query(process, ProcessBasicInformation, &basic, sizeof(basic), NULL) != 0 ||
		!ReadProcessMemory(process, basic.PebBaseAddress, &peb, sizeof(peb), NULL) ||
		!ReadProcessMemory(process, peb.ProcessParameters, &params, sizeof(params), NULL) ||
		params.CommandLine.Length / sizeof(*line) >= units ||
		!ReadProcessMemory(
			process, params.CommandLine.Buffer, line, params.CommandLine.Length, NULL))
		return 0;
	line[params.CommandLine.Length / sizeof(*line)] = L'\0';
	return 1;
}

/* The arguments of a process; LocalFree. NULL: the system does not tell. */
static wchar_t **arguments_of(HANDLE process, int *ret_count)
{
	wchar_t *line = smx_calloc(PATH_UNITS, sizeof(*line)), **args = NULL;

	if (line && read_command_line(process, line, PATH_UNITS))
		args = CommandLineToArgvW(line, ret_count);
	smx_free(line);
	return args;
}

static int is_same_text(const wchar_t *wide, const char *text, int ignore_case)
{
	wchar_t *other;
	int same;

	if (smx_win_wide(text, &other) != 0)
		return 0;
	same = CompareStringOrdinal(wide, -1, other, -1, ignore_case) == CSTR_EQUAL;
	smx_free(other);
	return same;
}

/* Whether it runs this program. */
static int is_program_of(HANDLE process, const char *program)
{
	wchar_t *path = smx_calloc(PATH_UNITS, sizeof(*path));
	DWORD n = PATH_UNITS;
	int same = path && QueryFullProcessImageNameW(process, 0, path, &n) &&
		   is_same_text(path, program, 1);

	smx_free(path);
	return same;
}

int smx_os_service_pid(struct smx_os_service *s, const struct smx_os_service_run *run,
	int64_t *ret_pid, struct smx_buf *err)
{
	HANDLE process;
	wchar_t **args;
	int count = 0, same;

	(void)s;
	(void)err;
	*ret_pid = 0;
	if (run->daemon_pid <= 0)
		return 0;
	process = OpenProcess(
		PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, FALSE, (DWORD)run->daemon_pid);
	if (!process)
		return 0;
	same = is_program_of(process, run->args[0]);
	if (same && (args = arguments_of(process, &count)) != NULL) {
		for (int i = 1; same && i < count; i++)
			same = run->args[i] && is_same_text(args[i], run->args[i], 0);
		same = same && count > 0 && !run->args[count];
		(void)LocalFree(args);
	}
	(void)CloseHandle(process);
	if (same)
		*ret_pid = run->daemon_pid;
	return 0;
}

/* An event that the new daemon sets when it is ready, by a name in its environment. */
static int make_ready_event(HANDLE *ret)
{
	uint64_t random[2];
	wchar_t name[64];
	int r;

	if ((r = smx_random(random, sizeof(random))) != 0)
		return r;
	(void)swprintf(name, 64, L"Local\\ssh-mux-ready-%016llx%016llx",
		(unsigned long long)random[0], (unsigned long long)random[1]);
	if ((*ret = CreateEventW(NULL, TRUE, FALSE, name)) == NULL)
		return SMX_ESYS;
	if (SetEnvironmentVariableW(READY_NAME, name))
		return 0;
	(void)CloseHandle(*ret);
	return SMX_ESYS;
}

int smx_os_service_start(
	struct smx_os_service *s, const struct smx_os_service_run *run, struct smx_buf *err)
{
	const DWORD flags = DETACHED_PROCESS | CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP;
	const struct smx_win_streams nowhere = { NULL, NULL, NULL };
	const char *program = run->args[0];
	PROCESS_INFORMATION pi;
	HANDLE wait[2];
	DWORD code = 0;
	int r;

	(void)s;
	if ((r = make_ready_event(&wait[0])) != 0) {
		smx_win_say(err, "cannot make an event");
		return r;
	}
	/* Out of the job of a terminal that ends what it has started, if it lets us. */
	r = smx_win_start(
		program, run->args, flags | CREATE_BREAKAWAY_FROM_JOB, &nowhere, &pi, NULL);
	if (r != 0)
		r = smx_win_start(program, run->args, flags, &nowhere, &pi, err);
	(void)SetEnvironmentVariableW(READY_NAME, NULL);
	if (r == 0) {
		wait[1] = pi.hProcess;
		if (WaitForMultipleObjects(2, wait, FALSE, READY_WAIT_MS) == WAIT_OBJECT_0 + 1) {
			(void)GetExitCodeProcess(pi.hProcess, &code);
			smx_win_say(err, "%s ended with exit code %lu", program, code);
			r = SMX_ESYS;
		}
		(void)CloseHandle(pi.hThread);
		(void)CloseHandle(pi.hProcess);
	}
	(void)CloseHandle(wait[0]);
	return r;
}

void smx_os_service_tell_ready(void)
{
	wchar_t name[96];
	DWORD n = GetEnvironmentVariableW(READY_NAME, name, 96);
	HANDLE event;

	if (n == 0 || n >= 96)
		return;
	if ((event = OpenEventW(EVENT_MODIFY_STATE, FALSE, name)) != NULL) {
		(void)SetEvent(event);
		(void)CloseHandle(event);
	}
	/* The programs that we start are no services. */
	(void)SetEnvironmentVariableW(READY_NAME, NULL);
}

int smx_os_has_cmd_scripts(void)
{
	return 1;
}
