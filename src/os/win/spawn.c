/* SPDX-License-Identifier: MIT */
/* Other processes: the daemon of our own, and programs that are run to their end (D1). */

#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/random.h"
#include "os/path.h"
#include "os/process.h"
#include "os/service.h"
#include "os/spawn.h"
#include "os/win/dacl.h"
#include "os/win/spawn.h"

#define COMMAND_MAX  32767 /* UTF-16 units that CreateProcessW takes */
#define PIPE_SIZE    (64u << 10)
#define TURN_MS      50
#define TURN_READS   64 /* one that writes without end must not keep us from the clock */
#define LEFTOVER_MS  200
#define READ_CHUNK   16384
#define TIMEOUT_EXIT 1
#define SELF_MAX     SMX_OS_PATH_MAX

/* ---- command lines -----------------------------------------------------------------------------
 */

/*
 * Where nothing needs quoting it is not quoted: cmd.exe would see the difference. It is cmd.exe
 * that runs a batch file, and takes more apart than blanks.
 */
static int is_plain(const char *arg)
{
	return arg[0] != '\0' && strpbrk(arg, " \t\n\v\"&|<>^()@!,;=") == NULL;
}

/* The rules of CommandLineToArgvW: backslashes count only before a quote. */
static int put_argument(struct smx_buf *out, const char *arg)
{
	size_t slashes = 0;
	int r = 0;

	if (is_plain(arg))
		return smx_buf_put_str(out, arg);
	r = smx_buf_put(out, "\"", 1);
	for (; r == 0 && *arg; arg++) {
		if (*arg == '\\') {
			slashes++;
			continue;
		}
		if (*arg == '"')
			slashes = 2 * slashes + 1;
		for (; r == 0 && slashes > 0; slashes--)
			r = smx_buf_put(out, "\\", 1);
		if (r == 0)
			r = smx_buf_put(out, arg, 1);
	}
	for (slashes *= 2; r == 0 && slashes > 0; slashes--)
		r = smx_buf_put(out, "\\", 1);
	return r == 0 ? smx_buf_put(out, "\"", 1) : r;
}

int smx_win_command_line(const char *const *args, wchar_t **ret)
{
	struct smx_buf text;
	int r = 0;

	smx_buf_init(&text, 4 * COMMAND_MAX);
	for (size_t i = 0; r == 0 && args[i]; i++) {
		if (i > 0)
			r = smx_buf_put(&text, " ", 1);
		if (r == 0)
			r = put_argument(&text, args[i]);
	}
	if (r == 0)
		r = smx_buf_cstr(&text) ? smx_win_wide(smx_buf_cstr(&text), ret) : SMX_ENOMEM;
	smx_buf_release(&text);
	if (r == 0 && wcslen(*ret) >= COMMAND_MAX) {
		smx_free(*ret);
		r = SMX_EINVAL;
	}
	return r;
}

/* ---- starting ----------------------------------------------------------------------------------
 */

/* An inheritable copy, or the null device. */
static int inheritable(HANDLE h, DWORD access, HANDLE *ret)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa), .bInheritHandle = TRUE };

	if (h) {
		HANDLE self = GetCurrentProcess();

		return DuplicateHandle(self, h, self, ret, 0, TRUE, DUPLICATE_SAME_ACCESS)
			       ? 0
			       : SMX_ESYS;
	}
	*ret = CreateFileW(
		L"NUL", access, FILE_SHARE_READ | FILE_SHARE_WRITE, &sa, OPEN_EXISTING, 0, NULL);
	return *ret != INVALID_HANDLE_VALUE ? 0 : SMX_ESYS;
}

static int start_with(const wchar_t *program, wchar_t *line, DWORD flags, HANDLE handles[3],
	PROCESS_INFORMATION *ret)
{
	STARTUPINFOEXW si = { .StartupInfo = {
				      .cb = sizeof(si), .dwFlags = STARTF_USESTDHANDLES } };
	wchar_t system[MAX_PATH], *dir = NULL;
	SIZE_T size = 0;
	DWORD e = ERROR_SUCCESS;
	UINT n;

	/* A daemon does not keep the directory that it happened to be started in, where others may
	 * put a library in its way besides. */
	if (flags & DETACHED_PROCESS) {
		n = GetSystemDirectoryW(system, MAX_PATH);
		dir = n > 0 && n < MAX_PATH ? system : NULL;
	}
	si.StartupInfo.hStdInput = handles[0];
	si.StartupInfo.hStdOutput = handles[1];
	si.StartupInfo.hStdError = handles[2];
	(void)InitializeProcThreadAttributeList(NULL, 1, 0, &size);
	if (size == 0 || (si.lpAttributeList = smx_calloc(1, size)) == NULL)
		return ERROR_NOT_ENOUGH_MEMORY;
	if (!InitializeProcThreadAttributeList(si.lpAttributeList, 1, 0, &size)) {
		e = GetLastError();
	} else {
		/* Handles that are inheritable for another child's sake stay out of this one. */
		if (!UpdateProcThreadAttribute(si.lpAttributeList, 0,
			    PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles, 3 * sizeof(handles[0]),
			    NULL, NULL) ||
			!CreateProcessW(program, line, NULL, NULL, TRUE,
				flags | EXTENDED_STARTUPINFO_PRESENT, NULL, dir, &si.StartupInfo,
				ret))
			e = GetLastError();
		DeleteProcThreadAttributeList(si.lpAttributeList);
	}
	smx_free(si.lpAttributeList);
	return (int)e;
}

int smx_win_start(const char *program, const char *const *args, DWORD flags,
	const struct smx_win_streams *streams, PROCESS_INFORMATION *ret, struct smx_buf *err)
{
	HANDLE handles[3] = { INVALID_HANDLE_VALUE, INVALID_HANDLE_VALUE, INVALID_HANDLE_VALUE };
	wchar_t *wide = NULL, *line = NULL;
	DWORD e;
	int r;

	if ((r = smx_win_wide(program, &wide)) != 0 ||
		(r = smx_win_command_line(args, &line)) != 0 ||
		(r = inheritable(streams->in, GENERIC_READ, &handles[0])) != 0 ||
		(r = inheritable(streams->out, GENERIC_WRITE, &handles[1])) != 0 ||
		(r = inheritable(streams->err, GENERIC_WRITE, &handles[2])) != 0) {
		smx_win_say(err, "cannot start %s", program);
	} else if ((e = (DWORD)start_with(wide, line, flags, handles, ret)) != ERROR_SUCCESS) {
		r = smx_win_fail(err, "cannot start", program, e);
	}
	for (int i = 0; i < 3; i++)
		if (handles[i] != INVALID_HANDLE_VALUE)
			(void)CloseHandle(handles[i]);
	smx_free(line);
	smx_free(wide);
	return r;
}

int smx_win_output_pipe(HANDLE *ret_ours, HANDLE *ret_theirs)
{
	PSECURITY_DESCRIPTOR sd;
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa) };
	uint64_t random[2];
	wchar_t name[96];
	HANDLE ours, theirs;
	int r;

	/* Anonymous pipes can't be waited for with a time limit; a name nobody can guess is one. */
	if ((r = smx_random(random, sizeof(random))) != 0 ||
		(r = smx_win_private_sd_of_pipe(&sd)) != 0)
		return r;
	(void)swprintf(name, sizeof(name) / sizeof(name[0]),
		L"\\\\.\\pipe\\ssh-mux-out-%016llx%016llx", (unsigned long long)random[0],
		(unsigned long long)random[1]);
	sa.lpSecurityDescriptor = sd;
	ours = CreateNamedPipeW(name,
		PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
		PIPE_TYPE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, 1, 0, PIPE_SIZE, 0, &sa);
	(void)LocalFree(sd);
	if (ours == INVALID_HANDLE_VALUE)
		return SMX_ESYS;
	theirs = CreateFileW(name, GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
	if (theirs == INVALID_HANDLE_VALUE) {
		(void)CloseHandle(ours);
		return SMX_ESYS;
	}
	*ret_ours = ours;
	*ret_theirs = theirs;
	return 0;
}

/* ---- where programs are ------------------------------------------------------------------------
 */

int smx_os_self_path(char **ret_path)
{
	wchar_t *wide = smx_calloc(SELF_MAX, sizeof(*wide));
	char *path;
	DWORD n;
	int r = SMX_ESYS;

	if (!wide)
		return SMX_ENOMEM;
	n = GetModuleFileNameW(NULL, wide, SELF_MAX);
	if (n > 0 && n < SELF_MAX && (r = smx_win_utf8(wide, &path)) == 0) {
		r = smx_os_path_absolute(path, ret_path);
		smx_free(path);
	}
	smx_free(wide);
	return r;
}

int smx_os_self_read(struct smx_buf *out, struct smx_buf *err)
{
	size_t before = smx_buf_len(out);
	wchar_t *wide = NULL;
	char *path;
	uint8_t *to;
	HANDLE h;
	DWORD n;
	int r;

	/* The file of a running program can't be replaced here, only renamed. */
	if ((r = smx_os_self_path(&path)) != 0)
		return r;
	if ((r = smx_win_wide_path(path, &wide)) == 0) {
		h = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
			OPEN_EXISTING, 0, NULL);
		if (h == INVALID_HANDLE_VALUE) {
			r = smx_win_fail(err, "cannot open", path, GetLastError());
		} else {
			do {
				n = 0;
				if ((r = smx_buf_reserve(out, READ_CHUNK, &to)) != 0)
					break;
				if (!ReadFile(h, to, READ_CHUNK, &n, NULL))
					r = smx_win_fail(err, "cannot read", path, GetLastError());
				smx_buf_commit(out, n);
			} while (r == 0 && n > 0);
			(void)CloseHandle(h);
		}
	}
	if (r != 0)
		smx_buf_truncate(out, before);
	smx_free(wide);
	smx_free(path);
	return r;
}

static int is_program(const char *path)
{
	DWORD attributes = INVALID_FILE_ATTRIBUTES;
	wchar_t *wide;

	if (smx_win_wide_path(path, &wide) == 0) {
		attributes = GetFileAttributesW(wide);
		smx_free(wide);
	}
	return attributes != INVALID_FILE_ATTRIBUTES && !(attributes & FILE_ATTRIBUTE_DIRECTORY);
}

/* dir\name, or dir\name.exe. 1: found. */
static int try_dir(const char *dir, const char *name, char **ret_path)
{
	char with[300], *path;
	size_t n = strlen(name);
	int has_extension = n > 4 && _stricmp(name + n - 4, ".exe") == 0;

	if (n > 255 || !smx_os_path_is_absolute(dir))
		return 0;
	(void)snprintf(with, sizeof(with), "%s%s", name, has_extension ? "" : ".exe");
	if (smx_os_path_join(dir, with, &path) != 0)
		return 0;
	if (is_program(path)) {
		*ret_path = path;
		return 1;
	}
	smx_free(path);
	return 0;
}

/* That of Windows itself, where it is installed, before one that some directory of PATH has. */
static int try_system_ssh(const char *name, char **ret_path)
{
	wchar_t wide[MAX_PATH];
	UINT n = GetSystemDirectoryW(wide, MAX_PATH);
	char *system, *dir;
	int found = 0;

	if ((_stricmp(name, "ssh") != 0 && _stricmp(name, "ssh.exe") != 0) || n == 0 ||
		n >= MAX_PATH || smx_win_utf8(wide, &system) != 0)
		return 0;
	if (smx_os_path_join(system, "OpenSSH", &dir) == 0) {
		found = try_dir(dir, name, ret_path);
		smx_free(dir);
	}
	smx_free(system);
	return found;
}

int smx_os_find_program(const char *name, char **ret_path)
{
	char *dirs, *dir, *end;
	int r, found = 0;

	if (smx_os_path_is_absolute(name)) {
		if (!is_program(name))
			return SMX_ENOTFOUND;
		return smx_os_path_absolute(name, ret_path);
	}
	/* Never from where we happen to be, which is what the system would do. */
	if (name[0] == '\0' || strpbrk(name, "\\/:"))
		return SMX_ENOTFOUND;
	if (try_system_ssh(name, ret_path))
		return 0;
	if ((r = smx_win_getenv("PATH", &dirs)) != 0)
		return r;
	for (dir = dirs; dir && !found; dir = end) {
		if ((end = strchr(dir, ';')) != NULL)
			*end++ = '\0';
		if (dir[0] == '"' && dir[strlen(dir) - 1] == '"') {
			dir[strlen(dir) - 1] = '\0';
			dir++;
		}
		found = try_dir(dir, name, ret_path);
	}
	smx_free(dirs);
	return found ? 0 : SMX_ENOTFOUND;
}

/* ---- running to the end ------------------------------------------------------------------------
 */

struct stream {
	HANDLE h;
	struct smx_buf *to;
	OVERLAPPED o;
	int is_open, is_pending;
	uint8_t piece[READ_CHUNK];
};

static void take(struct stream *s, DWORD n, int *ret_error)
{
	size_t room = s->to ? s->to->max - smx_buf_len(s->to) : 0;

	if (room > n)
		room = n;
	if (room > 0 && smx_buf_put(s->to, s->piece, room) == SMX_ENOMEM)
		*ret_error = SMX_ENOMEM;
}

/* Reads on until there is nothing at the moment, or much was. */
static void pump(struct stream *s, int *ret_error)
{
	DWORD n;

	for (int i = 0; s->is_open && i < 2 * TURN_READS; i++) {
		if (s->is_pending) {
			if (!GetOverlappedResult(s->h, &s->o, &n, FALSE)) {
				if (GetLastError() == ERROR_IO_INCOMPLETE)
					return;
				s->is_open = 0;
			} else {
				take(s, n, ret_error);
			}
			s->is_pending = 0;
			continue;
		}
		(void)ResetEvent(s->o.hEvent);
		if (!ReadFile(s->h, s->piece, sizeof(s->piece), NULL, &s->o) &&
			GetLastError() != ERROR_IO_PENDING)
			s->is_open = 0; /* a broken pipe is its end */
		else
			s->is_pending = 1;
	}
}

static void stream_end(struct stream *s)
{
	DWORD n;

	if (s->is_pending) {
		(void)CancelIoEx(s->h, &s->o);
		(void)GetOverlappedResult(s->h, &s->o, &n, TRUE);
	}
	if (s->h)
		(void)CloseHandle(s->h);
	if (s->o.hEvent)
		(void)CloseHandle(s->o.hEvent);
}

static int attend(HANDLE process, HANDLE job, unsigned timeout_ms, const atomic_int *stop,
	struct stream *streams, int *ret_exit)
{
	uint64_t end = smx_os_monotonic_ms() + timeout_ms, now, left;
	int is_gone = 0, error = 0;
	DWORD code = 0;

	for (;;) {
		HANDLE wait[3];
		DWORD count = 0;

		for (int i = 0; i < 2; i++) {
			pump(&streams[i], &error);
			if (streams[i].is_open)
				wait[count++] = streams[i].o.hEvent;
		}
		now = smx_os_monotonic_ms();
		if (!is_gone && WaitForSingleObject(process, 0) == WAIT_OBJECT_0) {
			is_gone = 1;
			end = now + LEFTOVER_MS;
			continue;
		}
		if (is_gone && (now >= end || count == 0))
			break;
		if (stop && atomic_load(stop) != 0)
			error = SMX_ECANCELLED;
		else if (!is_gone && now >= end)
			error = SMX_ETIMEOUT;
		if (error != 0)
			break;
		left = end > now ? end - now : 0;
		if (!is_gone)
			wait[count++] = process;
		(void)WaitForMultipleObjects(
			count, wait, FALSE, left < TURN_MS ? (DWORD)left : TURN_MS);
	}
	if (error != 0) {
		/* All that it has started, too. */
		if (!job || !TerminateJobObject(job, TIMEOUT_EXIT))
			(void)TerminateProcess(process, TIMEOUT_EXIT);
		(void)WaitForSingleObject(process, INFINITE);
		return error;
	}
	if (!GetExitCodeProcess(process, &code))
		return SMX_ESYS;
	*ret_exit = (int)code;
	return 0;
}

int smx_os_run_until(const char *const *argv, unsigned timeout_ms, const atomic_int *stop,
	struct smx_buf *out, struct smx_buf *err_out, int *ret_exit)
{
	struct smx_win_streams to = { NULL, NULL, NULL };
	struct stream *streams;
	PROCESS_INFORMATION pi;
	HANDLE job;
	int r;

	if (!smx_os_path_is_absolute(argv[0]))
		return SMX_ENOTFOUND;
	if (stop && atomic_load(stop) != 0)
		return SMX_ECANCELLED;
	if ((streams = smx_calloc(2, sizeof(*streams))) == NULL)
		return SMX_ENOMEM;
	streams[0].to = out;
	streams[1].to = err_out;
	job = CreateJobObjectW(NULL, NULL);
	for (int i = 0; i < 2; i++)
		streams[i].o.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
	r = streams[0].o.hEvent && streams[1].o.hEvent ? 0 : SMX_ESYS;
	if (r == 0 && (r = smx_win_output_pipe(&streams[0].h, &to.out)) == 0 &&
		(r = smx_win_output_pipe(&streams[1].h, &to.err)) == 0 &&
		(r = smx_win_start(argv[0], argv, CREATE_NO_WINDOW | CREATE_SUSPENDED, &to, &pi,
			 NULL)) == 0) {
		if (job && !AssignProcessToJobObject(job, pi.hProcess)) {
			(void)CloseHandle(job);
			job = NULL;
		}
		(void)ResumeThread(pi.hThread);
		(void)CloseHandle(to.out);
		(void)CloseHandle(to.err);
		to.out = to.err = NULL;
		streams[0].is_open = streams[1].is_open = 1;
		r = attend(pi.hProcess, job, timeout_ms, stop, streams, ret_exit);
		(void)CloseHandle(pi.hThread);
		(void)CloseHandle(pi.hProcess);
	}
	if (to.out)
		(void)CloseHandle(to.out);
	if (to.err)
		(void)CloseHandle(to.err);
	for (int i = 0; i < 2; i++)
		stream_end(&streams[i]);
	if (job)
		(void)CloseHandle(job);
	smx_free(streams);
	return r;
}

/* ---- the daemon --------------------------------------------------------------------------------
 */

int smx_os_spawn_daemon(const char *const *args, int log_fd, int *ret_fd, struct smx_buf *err)
{
	struct smx_win_streams to = { NULL, NULL, NULL };
	const DWORD flags = DETACHED_PROCESS | CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP;
	HANDLE ours = NULL;
	PROCESS_INFORMATION pi;
	char *path;
	int r, fd;

	if ((r = smx_os_self_path(&path)) != 0) {
		smx_win_say(err, "the system does not tell where this program is");
		return r;
	}
	if ((r = smx_win_output_pipe(&ours, &to.out)) != 0) {
		smx_win_say(err, "cannot make a pipe for %s", path);
		goto out;
	}
	to.err = log_fd >= 0 ? (HANDLE)_get_osfhandle(log_fd) : NULL;
	/* Out of the job of an editor or terminal that kills what it has started, if it lets us. */
	r = smx_win_start(path, args, flags | CREATE_BREAKAWAY_FROM_JOB, &to, &pi, NULL);
	if (r == SMX_EDENIED)
		r = smx_win_start(path, args, flags, &to, &pi, err);
	else if (r != 0)
		smx_win_say(err, "cannot start %s", path);
	if (r != 0)
		goto out;
	(void)CloseHandle(pi.hThread);
	(void)CloseHandle(pi.hProcess);
	if ((fd = _open_osfhandle((intptr_t)ours, _O_RDONLY | _O_BINARY | _O_NOINHERIT)) < 0) {
		r = SMX_ESYS;
		goto out;
	}
	ours = NULL;
	*ret_fd = fd;
out:
	if (ours)
		(void)CloseHandle(ours);
	if (to.out)
		(void)CloseHandle(to.out);
	smx_free(path);
	return r;
}

void smx_os_daemon_report(char what)
{
	HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
	DWORD n;

	(void)WriteFile(out, &what, 1, &n, NULL);
	(void)fflush(stdout);
	(void)_dup2(2, 1); /* closes our end of the pipe, which ends the wait */
	(void)SetStdHandle(STD_OUTPUT_HANDLE, (HANDLE)_get_osfhandle(1));
}
