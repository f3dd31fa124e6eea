/* SPDX-License-Identifier: MIT */
/*
 * Our own program file (C6). One that runs can't be replaced or removed here, but it can be
 * renamed: the new one takes its name, and the old one goes when nobody runs it any more.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"
#include "os/service.h"
#include "os/win/win.h"

#define PROGRAM_FILE "ssh-mux.exe"
#define OLD_MAX      8 /* old programs that still run, at once */
#define GONE_WAIT_MS 5000 /* a process that has just said good-bye */
#define PAUSE_MS     50

const char *smx_os_program_file(void)
{
	return PROGRAM_FILE;
}

/* PATH.old, PATH.old1, … */
static int old_path(const char *path, int i, char **ret)
{
	size_t size = strlen(path) + 16;
	char *p = smx_malloc(size);

	if (!p)
		return SMX_ENOMEM;
	if (i == 0)
		(void)snprintf(p, size, "%s.old", path);
	else
		(void)snprintf(p, size, "%s.old%d", path, i);
	*ret = p;
	return 0;
}

static int is_there(const char *path)
{
	struct smx_os_stamp stamp;

	return smx_os_file_stamp(path, &stamp) != SMX_ENOTFOUND;
}

/* Takes away what nobody runs. *ret_free: a name that is free now, NULL if there is none. */
static int sweep(const char *path, char **ret_free)
{
	char *old;
	int r;

	*ret_free = NULL;
	for (int i = 0; i < OLD_MAX; i++) {
		if ((r = old_path(path, i, &old)) != 0) {
			smx_free(*ret_free);
			return r;
		}
		r = is_there(old) ? smx_os_file_remove(old, NULL) : SMX_ENOTFOUND;
		if ((r == 0 || r == SMX_ENOTFOUND) && !*ret_free)
			*ret_free = old;
		else
			smx_free(old);
	}
	return 0;
}

static int move(const char *from, const char *to, DWORD flags, struct smx_buf *err)
{
	wchar_t *a = NULL, *b = NULL;
	int r;

	if ((r = smx_win_wide_path(from, &a)) == 0 && (r = smx_win_wide_path(to, &b)) == 0 &&
		!MoveFileExW(a, b, flags | MOVEFILE_WRITE_THROUGH))
		r = smx_win_fail(err, "cannot rename", from, GetLastError());
	smx_free(a);
	smx_free(b);
	return r;
}

/* The new file is complete before the old one gives its name up. */
static int replace(const char *path, const char *fresh, const char *old, struct smx_buf *err)
{
	int r, was_there = is_there(path);

	if (was_there && (r = move(path, old, 0, err)) != 0)
		return r;
	if ((r = move(fresh, path, 0, err)) != 0) {
		if (was_there)
			(void)move(old, path, 0, NULL);
		return r;
	}
	if (was_there)
		(void)smx_os_file_remove(old, NULL); /* if nobody runs it */
	return 0;
}

int smx_os_program_write(const char *path, const void *data, size_t len, struct smx_buf *err)
{
	char *dir = NULL, *fresh = NULL, *old = NULL;
	int r;

	/* The renames below go through no walk of their own. */
	if ((r = smx_os_path_dir(path, &dir)) != 0 || (r = smx_os_dir_check(dir, err)) != 0 ||
		(r = sweep(path, &old)) != 0)
		goto out;
	if (!old) {
		smx_win_say(err, "%s: too many older ones of it still run; end them", path);
		r = SMX_ELIMIT;
		goto out;
	}
	if ((fresh = smx_malloc(strlen(path) + 8)) == NULL) {
		r = SMX_ENOMEM;
		goto out;
	}
	(void)snprintf(fresh, strlen(path) + 8, "%s.new", path);
	if ((r = smx_os_file_write_atomic(fresh, data, len, 0755, err)) == 0 &&
		(r = replace(path, fresh, old, err)) != 0)
		(void)smx_os_file_remove(fresh, NULL);
out:
	smx_free(dir);
	smx_free(fresh);
	smx_free(old);
	return r;
}

void smx_os_program_sweep(const char *path)
{
	char *old;

	if (sweep(path, &old) == 0)
		smx_free(old);
}

static int is_self(const char *path)
{
	char *self;
	int same;

	if (smx_os_self_path(&self) != 0)
		return 0;
	same = _stricmp(self, path) == 0;
	smx_free(self);
	return same;
}

int smx_os_program_remove(const char *path, struct smx_buf *err)
{
	uint64_t end = smx_os_monotonic_ms() + (is_self(path) ? 0 : GONE_WAIT_MS);
	int r;

	while ((r = smx_os_file_remove(path, NULL)) != 0 && r != SMX_ENOTFOUND &&
		smx_os_monotonic_ms() < end)
		smx_os_sleep_ms(PAUSE_MS);
	smx_os_program_sweep(path);
	return r == 0 ? 0 : smx_os_file_remove(path, err);
}
