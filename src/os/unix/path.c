/* SPDX-License-Identifier: MIT */
/* Where things are (D3, S4, S5, S8). */
#include "os/file.h"
#include "os/look.h"
#include "os/path.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/hash.h"
#include "os/unix/unix.h"

#define PASSWD_BUF_FIRST (4u << 10)
#define PASSWD_BUF_MAX   (1u << 20)
#define SOCKET_PATH_MAX  sizeof(((struct sockaddr_un *)0)->sun_path)

int smx_os_path_dir(const char *path, char **ret_dir)
{
	const char *slash = strrchr(path, '/');
	char *dir;

	if (path[0] != '/' || slash[1] == '\0')
		return SMX_EINVAL;
	dir = slash == path ? smx_strdup("/") : smx_strndup(path, (size_t)(slash - path));
	if (!dir)
		return SMX_ENOMEM;
	*ret_dir = dir;
	return 0;
}

int smx_os_path_is_absolute(const char *path)
{
	return path[0] == '/';
}

int smx_os_path_join(const char *dir, const char *name, char **ret_path)
{
	size_t n = strlen(dir), m = strlen(name);
	char *p;

	while (n > 0 && dir[n - 1] == '/')
		n--;
	if (n >= SMX_OS_PATH_MAX || m >= SMX_OS_PATH_MAX - n - 1)
		return SMX_ELIMIT;
	if ((p = smx_malloc(n + 1 + m + 1)) == NULL)
		return SMX_ENOMEM;
	memcpy(p, dir, n);
	p[n] = '/';
	memcpy(p + n + 1, name, m + 1);
	*ret_path = p;
	return 0;
}

/* Without "//", "." and a trailing slash. "/" stays. */
static int normalise(const char *path, char **ret_path)
{
	char *out = smx_malloc(strlen(path) + 2);
	size_t at = 0, n;

	if (!out)
		return SMX_ENOMEM;
	for (const char *s = path; *s; s += n) {
		s += strspn(s, "/");
		n = strcspn(s, "/");
		if (n == 0 || (n == 1 && s[0] == '.'))
			continue;
		out[at++] = '/';
		memcpy(out + at, s, n);
		at += n;
	}
	if (at == 0)
		out[at++] = '/';
	out[at] = '\0';
	*ret_path = out;
	return 0;
}

int smx_os_path_absolute(const char *path, char **ret_path)
{
	char cwd[SMX_OS_PATH_MAX], *slash, *joined;
	int r;

	if (path[0] == '\0')
		return SMX_EINVAL;
	if (smx_os_path_is_absolute(path))
		return normalise(path, ret_path);
	if (!getcwd(cwd, sizeof(cwd)))
		return errno == ERANGE ? SMX_ELIMIT : SMX_ESYS;
	for (;;) {
		size_t n = strcspn(path, "/");

		if (n == 2 && path[0] == '.' && path[1] == '.') {
			if ((slash = strrchr(cwd, '/')) != NULL)
				*slash = '\0';
		} else if (n != 1 || path[0] != '.') {
			break;
		}
		path += n;
		path += strspn(path, "/");
		if (*path == '\0')
			break;
	}
	if ((r = smx_os_path_join(cwd, path, &joined)) != 0)
		return r;
	r = normalise(joined, ret_path);
	smx_free(joined);
	return r;
}

int smx_os_home(char **ret_path, struct smx_buf *err)
{
	struct passwd pw, *found = NULL;
	size_t size = PASSWD_BUF_FIRST;
	char *buf = NULL;
	int r, e;

	do {
		smx_free(buf);
		if ((buf = smx_malloc(size)) == NULL)
			return SMX_ENOMEM;
		e = getpwuid_r(geteuid(), &pw, buf, size, &found);
		size *= 2;
	} while (e == EINTR || (e == ERANGE && size <= PASSWD_BUF_MAX));
	if (e != 0 || !found || !pw.pw_dir || pw.pw_dir[0] != '/') {
		smx_unix_say(err, "the user database has no home directory for user %lu",
			(unsigned long)geteuid());
		r = SMX_ENOTFOUND;
	} else {
		r = normalise(pw.pw_dir, ret_path);
	}
	smx_free(buf);
	return r;
}

/* 0, or the reason in err. */
static int check_override(const char *value, struct smx_buf *err)
{
	if (value[0] == '\0') {
		smx_unix_say(err, "it is empty");
		return SMX_EINVAL;
	}
	return smx_os_dir_check(value, err);
}

/* Whether the check of a directory failed for now, which says nothing of it; that is said. */
static int is_failure(int r, const char *variable, struct smx_buf *why, struct smx_buf *err)
{
	if (!smx_os_file_is_no_verdict(r))
		return 0;
	smx_unix_say(err, "%s can't be examined now: %s; try again", variable, smx_errtext(r, why));
	return 1;
}

int smx_os_ssh_dir(char **ret_path, struct smx_buf *warning, struct smx_buf *err)
{
	const char *value = getenv("SSH_MUX_SSH_DIR");
	struct smx_buf why;
	int has_failed, r;
	char *home;

	if (value) {
		smx_buf_init(&why, 2 * SMX_OS_PATH_MAX + 512);
		r = check_override(value, &why);
		has_failed = is_failure(r, "SSH_MUX_SSH_DIR", &why, err);
		if (!has_failed && r != 0)
			smx_unix_say(warning, "SSH_MUX_SSH_DIR is ignored and ~/.ssh used, for: %s",
				smx_errtext(r, &why));
		smx_buf_release(&why);
		if (has_failed)
			return r;
		if (r == 0)
			return normalise(value, ret_path);
	}
	if ((r = smx_os_home(&home, err)) != 0)
		return r;
	r = smx_os_path_join(home, ".ssh", ret_path);
	smx_free(home);
	return r;
}

/* ---- the runtime directory (S5) -------------------------------------------------------------- */

static int check_private(const struct stat *st, const char *path, struct smx_buf *err)
{
	if (st->st_uid != geteuid()) {
		smx_unix_say(err, "%s belongs to user %lu, not to you; have it removed", path,
			(unsigned long)st->st_uid);
		return SMX_EUNSAFE;
	}
	if ((st->st_mode & 077) != 0) {
		smx_unix_say(err, "%s can be entered by others; run: chmod 700 %s", path, path);
		return SMX_EUNSAFE;
	}
	return 0;
}

/* may_make: it is made if it is missing. */
static int ensure_private(const char *path, int may_make, struct smx_buf *err)
{
	struct stat st;
	int fd, r;

	r = may_make ? smx_unix_make_dir(path, &fd, &st, err)
		     : smx_unix_walk_dir(path, &fd, &st, err);
	if (r != 0)
		return r;
	close(fd);
	return check_private(&st, path, err);
}

/*
 * 1 if $XDG_RUNTIME_DIR is what the specification promises, so that we may go below it; 0 if it is
 * not. An error if that can't be known: another directory, where nobody would look for us, is no
 * substitute then.
 */
static int xdg_is_usable(const char *xdg, struct smx_buf *err)
{
	int fd, r, has_failed;
	struct smx_buf why;
	struct stat st;

	if (!xdg || !smx_os_path_is_absolute(xdg))
		return 0;
	smx_buf_init(&why, 2 * SMX_OS_PATH_MAX);
	r = smx_unix_walk_dir(xdg, &fd, &st, &why);
	has_failed = is_failure(r, "XDG_RUNTIME_DIR", &why, err);
	smx_buf_release(&why);
	if (r != 0)
		return has_failed ? r : 0;
	close(fd);
	return check_private(&st, xdg, NULL) == 0;
}

static int tmp_runtime_dir(int may_make, char **ret_path, struct smx_buf *err)
{
	char name[64];
	int r;

	(void)snprintf(name, sizeof(name), "/tmp/ssh-mux-%lu", (unsigned long)geteuid());
	if ((r = ensure_private(name, may_make, err)) != 0)
		return r;
	return normalise(name, ret_path);
}

/* ssh-mux below a directory as XDG_RUNTIME_DIR is. */
static int xdg_runtime_dir(const char *xdg, int may_make, char **ret_path, struct smx_buf *err)
{
	char *joined, *path;
	int r;

	if ((r = smx_os_path_join(xdg, "ssh-mux", &joined)) != 0)
		return r;
	r = normalise(joined, &path);
	smx_free(joined);
	if (r != 0)
		return r;
	if ((r = ensure_private(path, may_make, err)) != 0) {
		smx_free(path);
		return r;
	}
	*ret_path = path;
	return 0;
}

static int runtime_dir(int may_make, char **ret_path, struct smx_buf *err)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	int r = xdg_is_usable(xdg, err);

	if (r < 0)
		return r;
	return r ? xdg_runtime_dir(xdg, may_make, ret_path, err)
		 : tmp_runtime_dir(may_make, ret_path, err);
}

int smx_os_runtime_dir(char **ret_path, struct smx_buf *err)
{
	return runtime_dir(1, ret_path, err);
}

static int socket_name(const char *ssh_dir, char *out, size_t out_size)
{
	uint8_t digest[SMX_HASH_MAX];
	size_t at;
	int r;

	if ((r = smx_hash(SMX_HASH_SHA256, ssh_dir, strlen(ssh_dir), digest)) != 0)
		return r;
	at = (size_t)snprintf(out, out_size, "control-");
	for (size_t i = 0; i < 8; i++)
		at += (size_t)snprintf(out + at, out_size - at, "%02x", digest[i]);
	(void)snprintf(out + at, out_size - at, ".sock");
	return 0;
}

static int control_path(const char *ssh_dir, enum smx_os_where where, int may_make, char **ret_path,
	struct smx_buf *err)
{
	char name[64], login[64], *dir = NULL;
	int r;

	(void)snprintf(login, sizeof(login), "/run/user/%lu", (unsigned long)geteuid());
	if ((r = socket_name(ssh_dir, name, sizeof(name))) != 0)
		return r;
	switch (where) {
	case SMX_OS_WHERE_HERE:
		r = runtime_dir(may_make, &dir, err);
		break;
	case SMX_OS_WHERE_LOGIN:
		if ((r = xdg_is_usable(login, err)) >= 0)
			r = r ? xdg_runtime_dir(login, may_make, &dir, err) : SMX_ENOTFOUND;
		break;
	default:
		r = tmp_runtime_dir(may_make, &dir, err);
		break;
	}
	if (r != 0)
		return r;
	if (strlen(dir) + 1 + strlen(name) >= SOCKET_PATH_MAX) {
		smx_free(dir);
		dir = NULL;
		if ((r = tmp_runtime_dir(may_make, &dir, err)) != 0)
			return r;
	}
	r = smx_os_path_join(dir, name, ret_path);
	smx_free(dir);
	return r;
}

int smx_os_control_path(const char *ssh_dir, char **ret_path, struct smx_buf *err)
{
	return control_path(ssh_dir, SMX_OS_WHERE_HERE, 1, ret_path, err);
}

int smx_os_control_look(
	const char *ssh_dir, enum smx_os_where where, char **ret_path, struct smx_buf *err)
{
	struct smx_buf why;
	int r;

	smx_buf_init(&why, 2 * SMX_OS_PATH_MAX);
	r = control_path(ssh_dir, where, 0, ret_path, &why);
	if (r != 0 && r != SMX_ENOTFOUND && smx_buf_len(&why) > 0)
		smx_unix_say(err, "%s", smx_errtext(r, &why));
	smx_buf_release(&why);
	return r;
}
