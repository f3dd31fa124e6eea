/* SPDX-License-Identifier: MIT */
/* What `doctor` and `import-config` look at. Nothing here changes anything. */
#include <winsock2.h>
#include <ws2tcpip.h>
#include <fcntl.h>
#include <io.h>
#include <iphlpapi.h>
#include <shlobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/look.h"
#include "os/path.h"
#include "os/process.h"
#include "os/win/win.h"

/* ---- connecting --------------------------------------------------------------------------------
 */

static int connect_failed(int e, struct smx_buf *err)
{
	switch (e) {
	case WSAECONNREFUSED:
		smx_win_say(err, "connection refused");
		return SMX_EREFUSED;
	case WSAETIMEDOUT:
		smx_win_say(err, "no answer");
		return SMX_ETIMEOUT;
	default:
		smx_win_say(err, "network error %d", e);
		return SMX_ESYS;
	}
}

/* 0 or a WSAE*. */
static int connect_by(SOCKET s, const struct addrinfo *a, uint64_t deadline)
{
	uint64_t now = smx_os_monotonic_ms();
	long left = now < deadline ? (long)(deadline - now) : 0;
	struct timeval tv = { left / 1000, left % 1000 * 1000 };
	u_long on = 1;
	fd_set done, failed;
	int e = 0, len = sizeof(e);

	if (ioctlsocket(s, (long)FIONBIO, &on) != 0)
		return WSAGetLastError();
	if (connect(s, a->ai_addr, (int)a->ai_addrlen) == 0)
		return 0;
	if ((e = WSAGetLastError()) != WSAEWOULDBLOCK)
		return e;
	FD_ZERO(&done);
	FD_ZERO(&failed);
	FD_SET(s, &done);
	FD_SET(s, &failed);
	if (select(0, NULL, &done, &failed, &tv) == 0)
		return WSAETIMEDOUT;
	e = 0;
	if (getsockopt(s, SOL_SOCKET, SO_ERROR, (char *)&e, &len) != 0)
		return WSAGetLastError();
	return e;
}

int smx_os_tcp_connect(
	const char *host, uint16_t port, int timeout_ms, int *ret_fd, struct smx_buf *err)
{
	uint64_t deadline = smx_os_monotonic_ms() + (uint64_t)timeout_ms;
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list;
	SOCKET s = INVALID_SOCKET;
	char service[8];
	int e = WSAEHOSTUNREACH, fd;
	WSADATA wsa;

	if (WSAStartup(MAKEWORD(2, 2), &wsa) != 0)
		return SMX_ESYS;
	(void)snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &list) != 0) {
		smx_win_say(err, "no such host is known");
		(void)WSACleanup();
		return SMX_ENOTFOUND;
	}
	for (struct addrinfo *a = list; a && e != 0; a = a->ai_next) {
		if (s != INVALID_SOCKET)
			(void)closesocket(s);
		/* Overlapped, as smx_os_ipc_read wants its handles. */
		s = WSASocketW(a->ai_family, a->ai_socktype, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
		e = s == INVALID_SOCKET ? WSAGetLastError() : connect_by(s, a, deadline);
	}
	freeaddrinfo(list);
	if (e == 0 && (fd = _open_osfhandle((intptr_t)s, _O_RDWR | _O_BINARY)) >= 0) {
		*ret_fd = fd;
		return 0; /* the winsock reference stays with the descriptor */
	}
	if (s != INVALID_SOCKET)
		(void)closesocket(s);
	(void)WSACleanup();
	return e == 0 ? SMX_ESYS : connect_failed(e, err);
}

/* ---- who listens -------------------------------------------------------------------------------
 */

static void name_process(DWORD pid, struct smx_os_listener *ret)
{
	HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid);
	wchar_t path[MAX_PATH], *base;
	DWORD n = MAX_PATH;
	char *text;

	if (!process)
		return;
	ret->is_mine = 1; /* another user's can't be opened */
	if (QueryFullProcessImageNameW(process, 0, path, &n)) {
		base = wcsrchr(path, L'\\');
		if (smx_win_utf8(base ? base + 1 : path, &text) == 0) {
			(void)snprintf(ret->program, sizeof(ret->program), "%.63s", text);
			smx_free(text);
		}
	}
	(void)CloseHandle(process);
}

int smx_os_tcp_listener(uint16_t port, struct smx_os_listener *ret)
{
	MIB_TCPTABLE_OWNER_PID *table = NULL;
	ULONG size = 0;
	DWORD e;
	int r = SMX_ENOTFOUND;

	for (int i = 0; i < 8; i++) {
		e = GetExtendedTcpTable(
			table, &size, FALSE, AF_INET, TCP_TABLE_OWNER_PID_LISTENER, 0);
		if (e != ERROR_INSUFFICIENT_BUFFER)
			break;
		smx_free(table);
		if (size > (16u << 20) || (table = smx_malloc(size)) == NULL)
			return SMX_ENOMEM;
	}
	if (e != NO_ERROR || !table) {
		smx_free(table);
		return SMX_EUNSUPPORTED;
	}
	for (DWORD i = 0; i < table->dwNumEntries; i++) {
		const MIB_TCPROW_OWNER_PID *row = &table->table[i];
		DWORD address = ntohl(row->dwLocalAddr);

		if (ntohs((u_short)row->dwLocalPort) != port ||
			(address != INADDR_LOOPBACK && address != INADDR_ANY))
			continue;
		*ret = (struct smx_os_listener){ .pid = row->dwOwningPid, .is_mine = -1 };
		name_process(row->dwOwningPid, ret);
		r = 0;
		break;
	}
	smx_free(table);
	return r;
}

/* ---- places ------------------------------------------------------------------------------------
 */

int smx_os_control_look(
	const char *ssh_dir, enum smx_os_where where, char **ret_path, struct smx_buf *err)
{
	/* The system has one local application data folder for a user, whatever the session. */
	if (where != SMX_OS_WHERE_HERE)
		return SMX_ENOTFOUND;
	return smx_os_control_path(ssh_dir, ret_path, err);
}

int smx_os_disk_free(const char *path, uint64_t *ret_bytes)
{
	ULARGE_INTEGER n;
	wchar_t *wide;
	int r;

	if ((r = smx_win_wide_path(path, &wide)) != 0)
		return r == SMX_EINVAL ? SMX_ENOTFOUND : r;
	if (GetDiskFreeSpaceExW(wide, &n, NULL, NULL))
		*ret_bytes = n.QuadPart;
	else
		r = smx_win_fail(NULL, "", path, GetLastError()) == SMX_ENOTFOUND ? SMX_ENOTFOUND
										  : SMX_ESYS;
	smx_free(wide);
	return r;
}

int smx_os_settings_dir(char **ret_path, struct smx_buf *err)
{
	int r = smx_win_known_folder(&FOLDERID_RoamingAppData, ret_path);

	if (r == SMX_ENOTFOUND)
		smx_win_say(err, "the system has no application data for this user");
	return r;
}

/* Of a set such as [a-z!] or [!x], behind its bracket: where it ends, NULL if it does not. */
static const wchar_t *match_set(const wchar_t *p, wchar_t c, int *ret_is_in)
{
	int is_not = *p == L'!' || *p == L'^', is_in = 0;
	wchar_t low, high;

	if (is_not)
		p++;
	/* A bracket that comes first is one of the set. */
	for (const wchar_t *first = p; *p && (*p != L']' || p == first); p++) {
		low = high = towlower(*p);
		if (p[1] == L'-' && p[2] && p[2] != L']') {
			high = towlower(p[2]);
			p += 2;
		}
		is_in |= towlower(c) >= low && towlower(c) <= high;
	}
	if (*p != L']')
		return NULL;
	*ret_is_in = is_in != is_not;
	return p + 1;
}

/* One character of a name: where the pattern goes on, or NULL. */
static const wchar_t *match_one(const wchar_t *p, wchar_t c)
{
	const wchar_t *end;
	int is_in;

	if (*p == L'[' && (end = match_set(p + 1, c, &is_in)) != NULL)
		return is_in ? end : NULL;
	return *p == L'?' || (*p && towlower(*p) == towlower(c)) ? p + 1 : NULL;
}

/* 1 if name matches a pattern of *, ? and [..]; case does not count, as in the file system. */
static int matches(const wchar_t *p, const wchar_t *name)
{
	const wchar_t *star = NULL, *back = NULL, *next;

	while (*name) {
		if (*p == L'*') {
			star = p++;
			back = name;
		} else if ((next = match_one(p, *name)) != NULL) {
			p = next;
			name++;
		} else if (star) {
			p = star + 1;
			name = ++back;
		} else {
			return 0;
		}
	}
	while (*p == L'*')
		p++;
	return *p == L'\0';
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct globbing {
	char **paths;
	size_t count;
};

static int glob_add(struct globbing *g, const char *path)
{
	if (g->count == SMX_OS_GLOB_MAX)
		return SMX_ELIMIT;
	if ((g->paths[g->count] = smx_strdup(path)) == NULL)
		return SMX_ENOMEM;
	g->count++;
	return 0;
}

static int glob_from(struct globbing *g, const char *dir, const char *rest);

/* All in dir that match `part`, and what is below them for the rest of the pattern. */
static int glob_list(struct globbing *g, const char *dir, const wchar_t *part, const char *rest)
{
	WIN32_FIND_DATAW found;
	wchar_t *wide;
	char *all, *name, *path;
	HANDLE h;
	int r;

	if ((r = smx_os_path_join(dir, "*", &all)) != 0)
		return r;
	r = smx_win_wide_path(all, &wide);
	smx_free(all);
	if (r != 0)
		return r;
	h = FindFirstFileW(wide, &found);
	smx_free(wide);
	if (h == INVALID_HANDLE_VALUE)
		return 0;
	do {
		if (wcscmp(found.cFileName, L".") == 0 || wcscmp(found.cFileName, L"..") == 0 ||
			(found.cFileName[0] == L'.' && part[0] != L'.') ||
			!matches(part, found.cFileName))
			continue;
		if ((r = smx_win_utf8(found.cFileName, &name)) != 0) {
			r = r == SMX_EINVAL ? 0 : r;
			continue;
		}
		if ((r = smx_os_path_join(dir, name, &path)) == 0) {
			r = *rest ? glob_from(g, path, rest) : glob_add(g, path);
			smx_free(path);
		}
		smx_free(name);
	} while (r == 0 && FindNextFileW(h, &found));
	(void)FindClose(h);
	return r;
}

static int exists(const char *path)
{
	wchar_t *wide;
	DWORD attributes;

	if (smx_win_wide_path(path, &wide) != 0)
		return 0;
	attributes = GetFileAttributesW(wide);
	smx_free(wide);
	return attributes != INVALID_FILE_ATTRIBUTES;
}

static int glob_from(struct globbing *g, const char *dir, const char *rest)
{
	size_t n = strcspn(rest, "\\/"), skip = n + strspn(rest + n, "\\/");
	wchar_t *wide = NULL;
	char *part, *path;
	int r = 0;

	if ((part = smx_strndup(rest, n)) == NULL)
		return SMX_ENOMEM;
	if (!strpbrk(part, "*?[")) {
		if ((r = smx_os_path_join(dir, part, &path)) == 0) {
			if (exists(path))
				r = rest[skip] ? glob_from(g, path, rest + skip)
					       : glob_add(g, path);
			smx_free(path);
		}
	} else if ((r = smx_win_wide(part, &wide)) == 0) {
		r = glob_list(g, dir, wide, rest + skip);
	}
	smx_free(wide);
	smx_free(part);
	return r;
}

int smx_os_glob(const char *pattern, char ***ret_paths, size_t *ret_count)
{
	struct globbing g = { NULL, 0 };
	char *home = NULL, *full = NULL, drive[4];
	int r = 0;

	if (pattern[0] == '~' && (pattern[1] == '/' || pattern[1] == '\\')) {
		if ((r = smx_os_home(&home, NULL)) == 0)
			r = smx_os_path_join(home, pattern + 2, &full);
		smx_free(home);
	} else {
		r = smx_os_path_absolute(pattern, &full);
	}
	if (r != 0)
		return r == SMX_ENOMEM ? r : SMX_ESYS;
	if ((g.paths = smx_calloc(SMX_OS_GLOB_MAX, sizeof(*g.paths))) == NULL) {
		r = SMX_ENOMEM;
	} else if (full[1] == ':') {
		(void)snprintf(drive, sizeof(drive), "%.2s\\", full);
		r = glob_from(&g, drive, full + 3);
	} else if (exists(full)) {
		r = glob_add(&g, full); /* a network path: no patterns there */
	}
	smx_free(full);
	if (r != 0) {
		smx_os_names_free(g.paths, g.count);
		return r;
	}
	qsort(g.paths, g.count, sizeof(*g.paths), compare_paths);
	*ret_paths = g.paths;
	*ret_count = g.count;
	return 0;
}
