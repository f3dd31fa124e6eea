/* SPDX-License-Identifier: MIT */
/*
 * Where the SSH agent listens (A1): a named pipe, that of the system's OpenSSH or Pageant's.
 *
 * Pipe names are open to everybody, and an agent's is known. Whoever has it learns which keys we
 * have and what for: so its owner must be us, SYSTEM or Administrators (the agent is a service),
 * and what we open it with lets no server act as us.
 */
#include <windows.h>

#include <dpapi.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <string.h>

#define SECURITY_WIN32
#include <security.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/hash.h"
#include "os/agent.h"
#include "os/path.h"
#include "os/win/dacl.h"

#define OPENSSH_PIPE "\\\\.\\pipe\\openssh-ssh-agent"
#define PIPE_NAMES   "\\\\.\\pipe\\"
#define NAME_MAX_LEN 256 /* of a user */

/*
 * The path of a pipe of this machine, "/" for "\" made good (ssh's configuration has them so);
 * else SMX_EINVAL: a file, a socket of Cygwin's, or a pipe of another machine, to which Windows
 * would log us in.
 */
static int pipe_path(const char *name, char **ret_path)
{
	size_t n = strlen(PIPE_NAMES);
	char *path;

	if (strlen(name) <= n || strlen(name) >= SMX_OS_PATH_MAX)
		return SMX_EINVAL;
	if ((path = smx_strdup(name)) == NULL)
		return SMX_ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (path[i] == '/')
			path[i] = '\\';
	if (_strnicmp(path, PIPE_NAMES, n) != 0) {
		smx_free(path);
		return SMX_EINVAL;
	}
	*ret_path = path;
	return 0;
}

/* ---- Pageant -----------------------------------------------------------------------------------
 */

/* The name before "@" of the principal's, or where there is no such one the account's. */
static int user_name(char **ret)
{
	wchar_t name[NAME_MAX_LEN + 1], *at;
	ULONG n = NAME_MAX_LEN;
	DWORD m = NAME_MAX_LEN;

	if (GetUserNameExW(NameUserPrincipal, name, &n)) {
		if ((at = wcschr(name, L'@')) != NULL)
			*at = L'\0';
	} else if (!GetUserNameW(name, &m)) {
		return SMX_ESYS;
	}
	return smx_win_utf8(name, ret);
}

/*
 * Pageant (since 0.75) listens at \\.\pipe\pageant.USER.HASH: the SHA-256, in hex, of its own name
 * as an SSH string, padded with zeros to whole blocks and encrypted by a key that the system has
 * for the processes of one user.
 */
static int pageant_path(char **ret_path)
{
	uint8_t block[CRYPTPROTECTMEMORY_BLOCK_SIZE] = "Pageant", hash[SMX_HASH_MAX];
	char hex[2 * 32 + 1], *user, *path;
	struct smx_buf b;
	size_t size;
	int r;

	/* Where it can't be encrypted Pageant takes it as it is, too. */
	(void)CryptProtectMemory(block, sizeof(block), CRYPTPROTECTMEMORY_CROSS_PROCESS);
	smx_buf_init(&b, 64);
	if ((r = smx_put_string(&b, block, sizeof(block))) == 0)
		r = smx_hash(SMX_HASH_SHA256, smx_buf_view(&b), smx_buf_len(&b), hash);
	smx_buf_release(&b);
	if (r != 0 || (r = user_name(&user)) != 0)
		return r;
	for (size_t i = 0; i < 32; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	size = strlen(PIPE_NAMES) + strlen("pageant..") + strlen(user) + sizeof(hex);
	if ((path = smx_malloc(size)) != NULL)
		(void)snprintf(path, size, PIPE_NAMES "pageant.%s.%s", user, hex);
	smx_free(user);
	if (!path)
		return SMX_ENOMEM;
	*ret_path = path;
	return 0;
}

/* ---- the contract ------------------------------------------------------------------------------
 */

int smx_os_agent_path(const char *name, char **ret_path)
{
	char *value, *copy;
	int r;

	if (name && _stricmp(name, "pageant") == 0)
		return pageant_path(ret_path);
	if (name && name[0] == '$') {
		if ((r = smx_win_getenv(name + 1, &value)) != 0)
			return r == SMX_ENOMEM ? r : SMX_ENOTFOUND;
		r = pipe_path(value, ret_path);
		smx_free(value);
		return r == 0 || r == SMX_ENOMEM ? r : SMX_ENOTFOUND;
	}
	if (name && strcmp(name, SMX_OS_AGENT_USUAL) != 0) {
		/* What is no pipe stays, so that who opens it can say so. */
		if ((r = pipe_path(name, ret_path)) != SMX_EINVAL)
			return r;
		copy = smx_strdup(name);
	} else {
		/* Git Bash and Cygwin put the path of a file there that only they can use. */
		if ((r = smx_win_getenv("SSH_AUTH_SOCK", &value)) == 0) {
			r = pipe_path(value, ret_path);
			smx_free(value);
		}
		if (r == 0 || r == SMX_ENOMEM)
			return r;
		copy = smx_strdup(OPENSSH_PIPE);
	}
	if (!copy)
		return SMX_ENOMEM;
	*ret_path = copy;
	return 0;
}

int smx_os_agent_is_place(const char *path)
{
	char *pipe;

	if (pipe_path(path, &pipe) != 0)
		return 0;
	smx_free(pipe);
	return 1;
}

int smx_os_agent_is_there(const char *path)
{
	wchar_t *wide;
	char *pipe;
	int is_there = 0;

	if (pipe_path(path, &pipe) != 0)
		return 0;
	if (smx_win_wide(pipe, &wide) == 0) {
		/* Nothing is opened: an instance is for who has something to ask. */
		is_there = WaitNamedPipeW(wide, 1) || GetLastError() != ERROR_FILE_NOT_FOUND;
		smx_free(wide);
	}
	smx_free(pipe);
	return is_there;
}

int smx_os_agent_open(const char *path, int *ret_fd)
{
	const DWORD flags = FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
	wchar_t *wide;
	char *pipe;
	HANDLE h;
	DWORD e;
	int r, fd;

	if ((r = pipe_path(path, &pipe)) != 0)
		return r;
	r = smx_win_wide(pipe, &wide);
	smx_free(pipe);
	if (r != 0)
		return r;
	h = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, flags, NULL);
	e = GetLastError();
	smx_free(wide);
	if (h == INVALID_HANDLE_VALUE)
		return e == ERROR_PIPE_BUSY       ? SMX_EAGAIN
		       : e == ERROR_ACCESS_DENIED ? SMX_EDENIED
						  : SMX_ENOTFOUND;
	r = smx_win_pipe_is_trusted(h) ? 0 : SMX_EUNSAFE;
	if (r == 0) {
		fd = _open_osfhandle((intptr_t)h, _O_RDWR | _O_BINARY | _O_NOINHERIT);
		if (fd >= 0) {
			*ret_fd = fd;
			return 0;
		}
		r = SMX_ESYS;
	}
	(void)CloseHandle(h);
	return r;
}
