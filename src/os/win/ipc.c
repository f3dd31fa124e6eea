/* SPDX-License-Identifier: MIT */
/*
 * The control endpoint: a named pipe for our user alone (S6).
 *
 * Pipe names are open to everybody: who is first has the name. So ours holds a random token that
 * only we can read, from a file in our own local application data; the pipe is made with
 * FILE_FLAG_FIRST_PIPE_INSTANCE and a DACL of our SID; and a client looks at the owner of what it
 * found before it says a word.
 *
 * libuv can't listen at a pipe that it has not made itself, and those it makes have no DACL. So a
 * thread waits for clients, and the event loop takes them over one by one.
 */
#include <fcntl.h>
#include <io.h>
#include <shlobj.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "os/file.h"
#include "os/ipc.h"
#include "os/path.h"
#include "os/process.h"
#include "os/win/dacl.h"

#define PIPE_BUFFER (64u << 10)
#define TOKEN_BYTES 16
#define TOKEN_FILE  "daemon_token"
#define WAITING_MAX 64
#define LOCK_SUFFIX ".lock"
/* While a daemon is just ending, whose last handles go one by one. */
#define ENDING_TURN_MS 20

struct smx_os_ipc_server {
	wchar_t *name;
	PSECURITY_DESCRIPTOR sd;
	HANDLE lock; /* held while the server lives: of two starters one gets it */
	HANDLE first; /* the instance that the next client gets */
	HANDLE stop, thread;
	CRITICAL_SECTION mutex;
	HANDLE waiting[WAITING_MAX]; /* connected, not taken yet */
	size_t count;
	void (*wake)(void *arg);
	void *arg;
};

/* ---- names -------------------------------------------------------------------------------------
 */

int smx_os_runtime_dir(char **ret_path, struct smx_buf *err)
{
	char *local, *path;
	int r;

	if ((r = smx_win_known_folder(&FOLDERID_LocalAppData, &local)) != 0) {
		smx_win_say(err, "the system has no local application data for this user");
		return r;
	}
	r = smx_os_path_join(local, "ssh-mux", &path);
	smx_free(local);
	if (r != 0)
		return r;
	if ((r = smx_os_dir_ensure(path, err)) == 0)
		*ret_path = path;
	else
		smx_free(path);
	return r;
}

static void to_hex(const uint8_t *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static int read_token(const char *path, char out[2 * TOKEN_BYTES + 1], struct smx_buf *err)
{
	struct smx_buf text;
	int r;

	smx_buf_init(&text, 4 * TOKEN_BYTES);
	r = smx_os_file_read(path, 2 * TOKEN_BYTES + 2, SMX_OS_FILE_HOST_KEY, &text, err);
	if (r == 0 && (smx_buf_len(&text) < 2 * TOKEN_BYTES ||
			      strspn(smx_buf_cstr(&text) ? smx_buf_cstr(&text) : "",
				      "0123456789abcdef") != 2 * TOKEN_BYTES)) {
		smx_win_say(err, "%s is not what ssh-mux wrote; delete it", path);
		r = SMX_EUNSAFE;
	}
	if (r == 0) {
		memcpy(out, smx_buf_view(&text), 2 * TOKEN_BYTES);
		out[2 * TOKEN_BYTES] = '\0';
	}
	smx_buf_release(&text);
	return r;
}

/* Written once; judged right after, because what we asked for may not be what we got. */
static int make_token(const char *path, struct smx_buf *err)
{
	uint8_t random[TOKEN_BYTES];
	char text[2 * TOKEN_BYTES + 2];
	int r;

	if ((r = smx_random(random, sizeof(random))) != 0)
		return r;
	to_hex(random, sizeof(random), text);
	text[2 * TOKEN_BYTES] = '\n';
	r = smx_os_file_create(path, text, 2 * TOKEN_BYTES + 1, 0600, err);
	if (r == SMX_EEXISTS)
		return 0; /* another one of ours was faster */
	if (r == 0 && (r = read_token(path, text, err)) == SMX_EUNSAFE)
		(void)smx_os_file_remove(path, NULL);
	return r;
}

static int token(const char *dir, char out[2 * TOKEN_BYTES + 1], struct smx_buf *err)
{
	char *path;
	int r;

	if ((r = smx_os_path_join(dir, TOKEN_FILE, &path)) != 0)
		return r;
	if ((r = read_token(path, out, NULL)) == SMX_ENOTFOUND && (r = make_token(path, err)) != 0)
		goto out;
	r = read_token(path, out, err);
out:
	smx_free(path);
	return r;
}

int smx_os_control_path(const char *ssh_dir, char **ret_path, struct smx_buf *err)
{
	char secret[2 * TOKEN_BYTES + 1], hash[17], name[128], *dir, *copy;
	uint8_t digest[SMX_HASH_MAX];
	int r;

	if ((r = smx_hash(SMX_HASH_SHA256, ssh_dir, strlen(ssh_dir), digest)) != 0 ||
		(r = smx_os_runtime_dir(&dir, err)) != 0)
		return r;
	r = token(dir, secret, err);
	smx_free(dir);
	if (r != 0)
		return r;
	to_hex(digest, 8, hash);
	(void)snprintf(name, sizeof(name), "\\\\.\\pipe\\ssh-mux-%s-%s", hash, secret);
	if ((copy = smx_strdup(name)) == NULL)
		return SMX_ENOMEM;
	*ret_path = copy;
	return 0;
}

/* ---- server ------------------------------------------------------------------------------------
 */

static int pipe_sd(PSECURITY_DESCRIPTOR *ret, struct smx_buf *err)
{
	int r = smx_win_private_sd_of_pipe(ret);

	if (r != 0)
		smx_win_say(err, "the system does not tell who you are, so nobody is let in");
	return r;
}

static HANDLE new_instance(const struct smx_os_ipc_server *s, DWORD extra)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa), .lpSecurityDescriptor = s->sd };

	return CreateNamedPipeW(s->name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | extra,
		PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
		PIPE_UNLIMITED_INSTANCES, PIPE_BUFFER, PIPE_BUFFER, 0, &sa);
}

static int already_running(const char *path, struct smx_buf *err)
{
	smx_win_say(err, "a daemon is running already at %s; run: ssh-mux stop", path);
	return SMX_EEXISTS;
}

/* 1: it may be gone in a moment. */
static int is_ending(const struct smx_os_ipc_server *s, DWORD e, uint64_t end)
{
	if (smx_os_monotonic_ms() >= end)
		return 0;
	/* Who holds the lock and takes no clients is ending, or just starting. */
	if (e == ERROR_SHARING_VIOLATION && WaitNamedPipeW(s->name, 1))
		return 0;
	if (e != ERROR_SHARING_VIOLATION && e != ERROR_ACCESS_DENIED && e != ERROR_PIPE_BUSY)
		return 0;
	Sleep(ENDING_TURN_MS);
	return 1;
}

static int take_lock(struct smx_os_ipc_server *s, const char *path, struct smx_buf *err)
{
	uint64_t end = smx_os_monotonic_ms() + SMX_OS_ENDING_MS;
	const char *name = strrchr(path, '\\');
	char file[160], *dir, *full = NULL;
	wchar_t *wide = NULL;
	DWORD e;
	int r;

	if ((r = smx_os_runtime_dir(&dir, err)) != 0)
		return r;
	(void)snprintf(file, sizeof(file), "%.100s%s", name ? name + 1 : path, LOCK_SUFFIX);
	if ((r = smx_os_path_join(dir, file, &full)) == 0 &&
		(r = smx_win_wide_path(full, &wide)) == 0) {
		/* Gone with its last handle, however that ends; shared with nobody. Where somebody
		 * else (a virus scanner) looks at it while it goes, it is denied until he has done.
		 */
		do {
			s->lock = CreateFileW(wide, GENERIC_WRITE, 0, NULL, OPEN_ALWAYS,
				FILE_FLAG_DELETE_ON_CLOSE | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
			e = GetLastError();
		} while (s->lock == INVALID_HANDLE_VALUE && is_ending(s, e, end));
		if (s->lock == INVALID_HANDLE_VALUE)
			r = e == ERROR_SHARING_VIOLATION || e == ERROR_ACCESS_DENIED
				    ? already_running(path, err)
				    : smx_win_fail(err, "cannot lock", full, e);
	}
	smx_free(wide);
	smx_free(full);
	smx_free(dir);
	return r;
}

int smx_os_ipc_listen(const char *path, struct smx_os_ipc_server **ret, struct smx_buf *err)
{
	struct smx_os_ipc_server *s = smx_calloc(1, sizeof(*s));
	uint64_t end;
	DWORD e;
	int r;

	if (!s)
		return SMX_ENOMEM;
	s->lock = s->first = INVALID_HANDLE_VALUE;
	InitializeCriticalSection(&s->mutex);
	if ((r = smx_win_wide(path, &s->name)) != 0 || (r = pipe_sd(&s->sd, err)) != 0 ||
		(r = take_lock(s, path, err)) != 0)
		goto out;
	end = smx_os_monotonic_ms() + SMX_OS_ENDING_MS;
	do {
		s->first = new_instance(s, FILE_FLAG_FIRST_PIPE_INSTANCE);
		e = GetLastError();
	} while (s->first == INVALID_HANDLE_VALUE && is_ending(s, e, end));
	if (s->first == INVALID_HANDLE_VALUE) {
		/* Denied: the name is taken. We have the lock, so by no daemon that lives. */
		if (e == ERROR_ACCESS_DENIED || e == ERROR_PIPE_BUSY) {
			smx_win_say(err,
				"another program has the name %s; end the ssh-mux.exe that hangs, "
				"or delete " TOKEN_FILE " in the ssh-mux folder of your local "
				"application data for a new name",
				path);
			r = SMX_EDENIED;
		} else {
			r = smx_win_fail(err, "cannot listen at", path, e);
		}
		goto out;
	}
	if ((s->stop = CreateEventW(NULL, TRUE, FALSE, NULL)) == NULL) {
		r = SMX_ESYS;
		goto out;
	}
	*ret = s;
	return 0;
out:
	smx_os_ipc_server_free(s);
	return r;
}

int smx_os_ipc_server_fd(const struct smx_os_ipc_server *s)
{
	(void)s;
	return -1; /* nothing that an event loop could wait for */
}

/* Takes over the connected instance; a client more than we hold is let go. */
static void enqueue(struct smx_os_ipc_server *s, HANDLE h)
{
	int is_full;

	EnterCriticalSection(&s->mutex);
	is_full = s->count == WAITING_MAX;
	if (!is_full)
		s->waiting[s->count++] = h;
	LeaveCriticalSection(&s->mutex);
	if (is_full)
		(void)CloseHandle(h);
	else
		s->wake(s->arg);
}

/* Waits for a client of `h`. 1: there is one; 0: it was none after all; -1: stop. */
static int await_client(struct smx_os_ipc_server *s, HANDLE h, HANDLE event)
{
	OVERLAPPED o = { .hEvent = event };
	HANDLE both[2] = { s->stop, event };
	DWORD n, e;

	(void)ResetEvent(event);
	if (ConnectNamedPipe(h, &o))
		return 1;
	e = GetLastError();
	if (e == ERROR_PIPE_CONNECTED)
		return 1;
	if (e != ERROR_IO_PENDING)
		return 0;
	if (WaitForMultipleObjects(2, both, FALSE, INFINITE) != WAIT_OBJECT_0 + 1) {
		/* The operation writes into our frame until it is over. */
		(void)CancelIoEx(h, &o);
		(void)GetOverlappedResult(h, &o, &n, TRUE);
		return -1;
	}
	return GetOverlappedResult(h, &o, &n, FALSE) != 0;
}

static DWORD WINAPI accept_loop(void *arg)
{
	struct smx_os_ipc_server *s = arg;
	HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL), next;
	int r;

	while (event && (r = await_client(s, s->first, event)) >= 0) {
		if (r == 0) {
			(void)DisconnectNamedPipe(s->first);
			if (WaitForSingleObject(s->stop, 10) == WAIT_OBJECT_0)
				break;
			continue;
		}
		/* There is always an instance, so that the name stays ours. */
		while ((next = new_instance(s, 0)) == INVALID_HANDLE_VALUE)
			if (WaitForSingleObject(s->stop, 100) == WAIT_OBJECT_0)
				goto out;
		enqueue(s, s->first);
		s->first = next;
	}
out:
	if (event)
		(void)CloseHandle(event);
	return 0;
}

int smx_os_ipc_server_start(struct smx_os_ipc_server *s, void (*wake)(void *arg), void *arg)
{
	s->wake = wake;
	s->arg = arg;
	s->thread = CreateThread(NULL, 0, accept_loop, s, 0, NULL);
	return s->thread ? 0 : SMX_ESYS;
}

int smx_os_ipc_server_accept(struct smx_os_ipc_server *s, int *ret_fd)
{
	HANDLE h = NULL;
	int fd;

	EnterCriticalSection(&s->mutex);
	if (s->count > 0) {
		h = s->waiting[0];
		memmove(s->waiting, s->waiting + 1, --s->count * sizeof(s->waiting[0]));
	}
	LeaveCriticalSection(&s->mutex);
	if (!h)
		return SMX_EAGAIN;
	if ((fd = _open_osfhandle((intptr_t)h, _O_RDWR | _O_BINARY | _O_NOINHERIT)) < 0) {
		(void)CloseHandle(h);
		return SMX_ESYS;
	}
	*ret_fd = fd;
	return 0;
}

void smx_os_ipc_server_close(struct smx_os_ipc_server *s)
{
	if (s->thread) {
		(void)SetEvent(s->stop);
		(void)WaitForSingleObject(s->thread, INFINITE);
		(void)CloseHandle(s->thread);
	}
	s->thread = NULL;
	for (size_t i = 0; i < s->count; i++)
		(void)CloseHandle(s->waiting[i]);
	s->count = 0;
	if (s->first != INVALID_HANDLE_VALUE)
		(void)CloseHandle(s->first);
	s->first = INVALID_HANDLE_VALUE;
}

void smx_os_ipc_server_free(struct smx_os_ipc_server *s)
{
	if (!s)
		return;
	smx_os_ipc_server_close(s);
	if (s->stop)
		(void)CloseHandle(s->stop);
	if (s->lock != INVALID_HANDLE_VALUE)
		(void)CloseHandle(s->lock);
	DeleteCriticalSection(&s->mutex);
	(void)LocalFree(s->sd);
	smx_free(s->name);
	smx_free(s);
}

/* ---- who is at the other end -------------------------------------------------------------------
 */

int smx_win_process_check(DWORD pid)
{
	HANDLE process, their_token = NULL;
	BYTE buffer[256];
	PSID ours = NULL;
	DWORD n;
	int r = SMX_EDENIED;

	if ((process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid)) == NULL)
		return SMX_EDENIED;
	if (OpenProcessToken(process, TOKEN_QUERY, &their_token) &&
		GetTokenInformation(their_token, TokenUser, buffer, sizeof(buffer), &n) &&
		smx_win_user_sid(&ours) == 0) {
		PSID theirs = ((TOKEN_USER *)(void *)buffer)->User.Sid;

		if (EqualSid(theirs, ours) || IsWellKnownSid(theirs, WinLocalSystemSid))
			r = 0;
	}
	smx_free(ours);
	if (their_token)
		(void)CloseHandle(their_token);
	(void)CloseHandle(process);
	return r;
}

int smx_os_ipc_peer_check(intptr_t handle, int64_t *ret_pid)
{
	HANDLE h = (HANDLE)handle;
	ULONG pid = 0;
	DWORD flags;
	int r;

	if (!GetNamedPipeInfo(h, &flags, NULL, NULL, NULL))
		return SMX_ESYS;
	if (flags & PIPE_SERVER_END) {
		if (!GetNamedPipeClientProcessId(h, &pid))
			return SMX_ESYS;
	} else {
		if (!GetNamedPipeServerProcessId(h, &pid))
			return SMX_ESYS;
		if (!smx_win_pipe_is_trusted(h))
			return SMX_EDENIED;
	}
	if ((r = smx_win_process_check(pid)) != 0)
		return r;
	if (ret_pid)
		*ret_pid = pid;
	return 0;
}

/* ---- client ------------------------------------------------------------------------------------
 */

static int time_left(uint64_t start, int timeout_ms)
{
	uint64_t gone = smx_os_monotonic_ms() - start;

	return gone >= (uint64_t)timeout_ms ? 0 : timeout_ms - (int)gone;
}

static int connect_failed(const char *path, DWORD e, struct smx_buf *err)
{
	switch (e) {
	case ERROR_FILE_NOT_FOUND:
		smx_win_say(err, "no daemon is running (nobody answers at %s)", path);
		return SMX_ENOTFOUND;
	case ERROR_PIPE_BUSY:
	case ERROR_SEM_TIMEOUT:
		smx_win_say(err, "the daemon at %s does not answer", path);
		return SMX_ETIMEOUT;
	case ERROR_ACCESS_DENIED:
		smx_win_say(err, "%s belongs to another user", path);
		return SMX_EDENIED;
	default:
		return smx_win_fail(err, "cannot connect to", path, e);
	}
}

int smx_os_ipc_connect(const char *path, int timeout_ms, int *ret_fd, struct smx_buf *err)
{
	/* The daemon may know who we are, and never act as us. */
	const DWORD flags = FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
	uint64_t start = smx_os_monotonic_ms();
	wchar_t *wide;
	HANDLE h;
	int r, fd, left;
	DWORD e;

	if ((r = smx_win_wide(path, &wide)) != 0)
		return r;
	for (;;) {
		h = CreateFileW(
			wide, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, flags, NULL);
		e = GetLastError();
		left = time_left(start, timeout_ms);
		if (h != INVALID_HANDLE_VALUE || e != ERROR_PIPE_BUSY || left == 0)
			break;
		(void)WaitNamedPipeW(wide, (DWORD)left);
	}
	smx_free(wide);
	if (h == INVALID_HANDLE_VALUE)
		return connect_failed(path, e, err);
	if ((r = smx_os_ipc_peer_check((intptr_t)h, NULL)) != 0) {
		smx_win_say(err, "the program listening at %s is another user's", path);
	} else if ((fd = _open_osfhandle((intptr_t)h, _O_RDWR | _O_BINARY | _O_NOINHERIT)) < 0) {
		r = SMX_ESYS;
	} else {
		*ret_fd = fd;
		return 0;
	}
	(void)CloseHandle(h);
	return r;
}

/* One overlapped operation to its end, or until the time is over. */
static int finish(HANDLE h, OVERLAPPED *o, BOOL done, int timeout_ms, DWORD *ret_n)
{
	DWORD e = done ? ERROR_SUCCESS : GetLastError();

	if (!done && e != ERROR_IO_PENDING)
		goto failed;
	if (!done && WaitForSingleObject(o->hEvent, (DWORD)timeout_ms) != WAIT_OBJECT_0) {
		(void)CancelIoEx(h, o);
		/* It may have been done in the meantime: then it counts. */
		if (GetOverlappedResult(h, o, ret_n, TRUE))
			return 0;
		return GetLastError() == ERROR_OPERATION_ABORTED ? SMX_ETIMEOUT : SMX_EEOF;
	}
	if (GetOverlappedResult(h, o, ret_n, TRUE))
		return 0;
	e = GetLastError();
failed:
	return e == ERROR_BROKEN_PIPE || e == ERROR_PIPE_NOT_CONNECTED || e == ERROR_NO_DATA ||
			       e == ERROR_HANDLE_EOF
		       ? SMX_EEOF
		       : SMX_ESYS;
}

int smx_os_ipc_read(int fd, void *p, size_t size, int timeout_ms, size_t *ret_len)
{
	HANDLE h = (HANDLE)_get_osfhandle(fd);
	OVERLAPPED o = { .hEvent = CreateEventW(NULL, TRUE, FALSE, NULL) };
	DWORD n = 0;
	int r;

	if (!o.hEvent)
		return SMX_ESYS;
	if (size > 1u << 30)
		size = 1u << 30;
	r = finish(h, &o, ReadFile(h, p, (DWORD)size, NULL, &o), timeout_ms, &n);
	(void)CloseHandle(o.hEvent);
	if (r == 0 && n == 0)
		r = SMX_EEOF;
	if (r == 0)
		*ret_len = n;
	return r;
}

int smx_os_ipc_write(int fd, const void *p, size_t len, int timeout_ms)
{
	HANDLE h = (HANDLE)_get_osfhandle(fd);
	OVERLAPPED o = { .hEvent = CreateEventW(NULL, TRUE, FALSE, NULL) };
	const uint8_t *at = p;
	HANDLE event = o.hEvent;
	DWORD n, part;
	int r = 0;

	if (!event)
		return SMX_ESYS;
	while (r == 0 && len > 0) {
		part = len < PIPE_BUFFER ? (DWORD)len : PIPE_BUFFER;
		memset(&o, 0, sizeof(o));
		o.hEvent = event;
		n = 0;
		r = finish(h, &o, WriteFile(h, at, part, NULL, &o), timeout_ms, &n);
		at += n;
		len -= n;
	}
	(void)CloseHandle(event);
	return r;
}

void smx_os_ipc_close(int fd)
{
	if (fd >= 0)
		(void)_close(fd);
}
