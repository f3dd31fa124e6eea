/* SPDX-License-Identifier: MIT */
/* Where things are (D3, S4, S8): by the Known Folder API, whatever the environment says. */
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"
#include "os/win/win.h"

#include <shlobj.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static int is_separator(char c)
{
	return c == '\\' || c == '/';
}

static int has_drive(const char *path)
{
	return ((path[0] >= 'A' && path[0] <= 'Z') || (path[0] >= 'a' && path[0] <= 'z')) &&
	       path[1] == ':';
}

int smx_os_path_is_absolute(const char *path)
{
	return (has_drive(path) && is_separator(path[2])) ||
	       (is_separator(path[0]) && is_separator(path[1]) && path[2] != '\0');
}

int smx_os_path_join(const char *dir, const char *name, char **ret_path)
{
	size_t n = strlen(dir), m = strlen(name);
	char *p;

	while (n > 0 && is_separator(dir[n - 1]))
		n--;
	if (n >= SMX_OS_PATH_MAX || m >= SMX_OS_PATH_MAX - n - 1)
		return SMX_ELIMIT;
	if ((p = smx_malloc(n + 1 + m + 1)) == NULL)
		return SMX_ENOMEM;
	memcpy(p, dir, n);
	p[n] = '\\';
	memcpy(p + n + 1, name, m + 1);
	*ret_path = p;
	return 0;
}

/*
 * Of an absolute path: one backslash between components, no ".", none at the end but that of a
 * drive's root, the drive in upper case. ".." stays, for the walk to refuse; so does what makes a
 * path one of a device (\\.\ and \\?\), which would be a server's name without.
 */
static int normalise(const char *path, char **ret_path)
{
	char *out = smx_malloc(strlen(path) + 2);
	size_t at = 0, root, n;
	const char *s = path;

	if (!out)
		return SMX_ENOMEM;
	if (has_drive(path)) {
		out[at++] = (char)(path[0] & ~0x20);
		out[at++] = ':';
		s += 2;
	} else {
		out[at++] = '\\';
	}
	root = at;
	for (; *s; s += n) {
		while (is_separator(*s))
			s++;
		n = strcspn(s, "\\/");
		if (n == 0 || (n == 1 && s[0] == '.' && (at > root || root == 2)))
			continue;
		out[at++] = '\\';
		memcpy(out + at, s, n);
		at += n;
	}
	if (at == root)
		out[at++] = '\\';
	out[at] = '\0';
	*ret_path = out;
	return 0;
}

int smx_os_path_absolute(const char *path, char **ret_path)
{
	wchar_t *wide, *full;
	char *text;
	DWORD n;
	int r;

	if (path[0] == '\0')
		return SMX_EINVAL;
	if (smx_os_path_is_absolute(path))
		return strlen(path) >= SMX_OS_PATH_MAX ? SMX_ELIMIT : normalise(path, ret_path);
	if ((r = smx_win_wide(path, &wide)) != 0)
		return r;
	n = GetFullPathNameW(wide, 0, NULL, NULL);
	if (n == 0 || n >= SMX_OS_PATH_MAX) {
		smx_free(wide);
		return n == 0 ? SMX_ESYS : SMX_ELIMIT;
	}
	if ((full = smx_calloc((size_t)n + 1, sizeof(*full))) == NULL) {
		smx_free(wide);
		return SMX_ENOMEM;
	}
	if (GetFullPathNameW(wide, n, full, NULL) >= n)
		r = SMX_ESYS; /* the working directory changed under us */
	else if ((r = smx_win_utf8(full, &text)) == 0) {
		r = smx_os_path_is_absolute(text) ? normalise(text, ret_path) : SMX_EINVAL;
		smx_free(text);
	}
	smx_free(full);
	smx_free(wide);
	return r;
}

int smx_os_path_dir(const char *path, char **ret_dir)
{
	char *full, *last;
	int r;

	if (!smx_os_path_is_absolute(path))
		return SMX_EINVAL;
	if ((r = normalise(path, &full)) != 0)
		return r;
	last = strrchr(full, '\\');
	if (last[1] == '\0' || last - full < 2) {
		smx_free(full);
		return SMX_EINVAL;
	}
	last[last[-1] == ':'] = '\0'; /* a drive's root keeps its backslash */
	*ret_dir = full;
	return 0;
}

int smx_os_home(char **ret_path, struct smx_buf *err)
{
	int r = smx_win_known_folder(&FOLDERID_Profile, ret_path);

	if (r == SMX_ENOTFOUND)
		smx_win_say(err, "the system has no profile folder for this user");
	return r;
}

int smx_os_ssh_dir(char **ret_path, struct smx_buf *warning, struct smx_buf *err)
{
	char *value, *home;
	int r;

	(void)warning; /* here an override that can't be trusted is the end (S4) */
	r = smx_win_getenv("SSH_MUX_SSH_DIR", &value);
	if (r == 0) {
		if (!smx_os_path_is_absolute(value)) {
			smx_win_say(err,
				"SSH_MUX_SSH_DIR is \"%s\", which is not an absolute path; set it "
				"to one, or unset it",
				value);
			r = SMX_EINVAL;
		} else if ((r = smx_os_dir_check(value, err)) == 0) {
			r = normalise(value, ret_path);
		} else if (r == SMX_ENOTFOUND) {
			smx_win_say(err,
				"; make the directory of SSH_MUX_SSH_DIR by hand, for you alone");
		}
		smx_free(value);
		return r;
	}
	if (r != SMX_ENOTFOUND || (r = smx_os_home(&home, err)) != 0)
		return r;
	r = smx_os_path_join(home, ".ssh", ret_path);
	smx_free(home);
	return r;
}

/* __PROGRAMDATA__\\ssh in Win32-OpenSSH's own words; its separators are those of ssh_config. */
#define SYSTEM_DIR "C:/ProgramData/ssh/"

static struct {
	INIT_ONCE once;
	char config[SMX_OS_PATH_MAX + 32], known_hosts[SMX_OS_PATH_MAX + 32];
} of_system = { INIT_ONCE_STATIC_INIT, SYSTEM_DIR "ssh_config", SYSTEM_DIR "ssh_known_hosts" };

/* Where Windows is on another drive, anybody may make such a directory on C: (S8). */
static BOOL CALLBACK find_system_dir(INIT_ONCE *once, void *arg, void **context)
{
	char *dir;

	(void)once;
	(void)arg;
	(void)context;
	if (smx_win_known_folder(&FOLDERID_ProgramData, &dir) != 0)
		return FALSE; /* again, the next time */
	for (char *p = dir; *p; p++)
		if (*p == '\\')
			*p = '/';
	(void)snprintf(of_system.config, sizeof(of_system.config), "%s/ssh/ssh_config", dir);
	(void)snprintf(of_system.known_hosts, sizeof(of_system.known_hosts),
		"%s/ssh/ssh_known_hosts", dir);
	smx_free(dir);
	return TRUE;
}

const char *smx_os_system_ssh_config(void)
{
	(void)InitOnceExecuteOnce(&of_system.once, find_system_dir, NULL, NULL);
	return of_system.config;
}

const char *smx_os_system_known_hosts(void)
{
	(void)InitOnceExecuteOnce(&of_system.once, find_system_dir, NULL, NULL);
	return of_system.known_hosts;
}
