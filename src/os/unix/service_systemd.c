/* SPDX-License-Identifier: MIT */
/* A unit of the user's own systemd. */
#include "os/file.h"
#include "os/path.h"
#include "os/service.h"
#include "os/unix/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#define UNIT       SERVICE_NAME ".service"
#define OUTPUT_MAX (16u << 10)

static const char *const tools[] = { "/usr/bin/systemctl", "/bin/systemctl",
	"/run/current-system/sw/bin/systemctl", NULL };

/* systemd.unit(5): $XDG_CONFIG_HOME/systemd/user, or that below ~/.config. */
static int find(char **ret_path, struct smx_buf *err)
{
	const char *xdg = getenv("XDG_CONFIG_HOME");
	char *home, *dir = NULL;
	int r;

	if (xdg && smx_os_path_is_absolute(xdg)) {
		r = smx_os_path_absolute(xdg, &dir);
	} else {
		if ((r = smx_os_home(&home, err)) != 0)
			return r;
		r = smx_os_path_join(home, ".config", &dir);
		smx_free(home);
	}
	if (r == 0)
		r = smx_os_path_join(dir, "systemd/user/" UNIT, ret_path);
	smx_free(dir);
	return r;
}

/* It is asked only where its socket is: without one systemctl would look elsewhere, or wait. */
static int is_usable(struct smx_os_service *s, struct smx_buf *why)
{
	static const char *const words[] = { "--user", "show", "--property=Version", NULL };
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	char path[SMX_OS_PATH_MAX];
	struct stat st;

	if (!xdg || !smx_os_path_is_absolute(xdg)) {
		smx_unix_say(why,
			"systemd is not to be reached from here, for XDG_RUNTIME_DIR is not set");
		return SMX_ENOTFOUND;
	}
	(void)snprintf(path, sizeof(path), "%s/systemd/private", xdg);
	if (stat(path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
		smx_unix_say(why, "no systemd runs for this user");
		return SMX_ENOTFOUND;
	}
	return service_tool(s, words, NULL, NULL, why) == 0 ? 0 : SMX_ENOTFOUND;
}

/* The value of a property, owned by the caller; "" if it has none. */
static int property(
	struct smx_os_service *s, const char *name, char **ret_value, struct smx_buf *err)
{
	const char *words[] = { "--user", "show", UNIT, "--property", name, NULL };
	struct smx_buf out;
	char *value;
	int r;

	smx_buf_init(&out, OUTPUT_MAX);
	if ((r = service_tool(s, words, &out, NULL, err)) == 0 &&
		(r = smx_buf_put(&out, "", 1)) == 0) {
		value = service_value((char *)out.data + out.off, name);
		if ((*ret_value = smx_strdup(value ? value : "")) == NULL)
			r = SMX_ENOMEM;
	}
	smx_buf_release(&out);
	return r;
}

static int is(struct smx_os_service *s, const char *name, const char *wanted, int *ret,
	struct smx_buf *err)
{
	char *value;
	int r;

	if ((r = property(s, name, &value, err)) != 0)
		return r;
	*ret = strcmp(value, wanted) == 0;
	smx_free(value);
	return 0;
}

static int reload(struct smx_os_service *s, struct smx_buf *err)
{
	static const char *const words[] = { "--user", "daemon-reload", NULL };

	return service_tool(s, words, NULL, NULL, err);
}

static int enable(struct smx_os_service *s, int file_changed, int *ret_changed, struct smx_buf *err)
{
	static const char *const words[] = { "--user", "enable", UNIT, NULL };
	int is_stale = 1, is_enabled, is_read, r;

	if ((!file_changed && (r = is(s, "NeedDaemonReload", "yes", &is_stale, err)) != 0) ||
		(is_stale && (r = reload(s, err)) != 0) ||
		(r = is(s, "FragmentPath", s->path, &is_read, err)) != 0)
		return r;
	/* Its XDG_CONFIG_HOME need not be ours. */
	if (!is_read) {
		smx_unix_say(err,
			"systemd does not read %s: its XDG_CONFIG_HOME is another than here",
			s->path);
		return SMX_ESYS;
	}
	if ((r = is(s, "UnitFileState", "enabled", &is_enabled, err)) != 0 ||
		(!is_enabled && (r = service_tool(s, words, NULL, NULL, err)) != 0))
		return r;
	*ret_changed = is_stale || !is_enabled;
	return 0;
}

static int pid(struct smx_os_service *s, int64_t *ret_pid, struct smx_buf *err)
{
	char *state, *value;
	int r;

	if ((r = property(s, "ActiveState", &state, err)) != 0)
		return r;
	if ((r = property(s, "MainPID", &value, err)) == 0) {
		*ret_pid = (int64_t)strtoll(value, NULL, 10);
		if (strcmp(state, "inactive") == 0 || strcmp(state, "failed") == 0)
			*ret_pid = 0;
		else if (*ret_pid <= 0)
			*ret_pid = -1;
		smx_free(value);
	}
	smx_free(state);
	return r;
}

static int start(struct smx_os_service *s, struct smx_buf *err)
{
	static const char *const again[] = { "--user", "reset-failed", UNIT, NULL };
	static const char *const words[] = { "--user", "restart", UNIT, NULL };
	int ignored;

	/* It may have failed too often to be started again by itself. */
	(void)service_tool(s, again, NULL, &ignored, NULL);
	return service_tool(s, words, NULL, NULL, err);
}

static int stop(struct smx_os_service *s, int *ret_changed, struct smx_buf *err)
{
	static const char *const disable[] = { "--user", "disable", UNIT, NULL };
	static const char *const words[] = { "--user", "stop", UNIT, NULL };
	int64_t was;
	int is_ours, r, ignored;

	if ((r = is(s, "FragmentPath", s->path, &is_ours, err)) != 0)
		return r;
	/* Nothing to stop, or a unit of the system's that is none of our business. */
	if (!is_ours)
		return 0;
	if ((r = pid(s, &was, err)) != 0 || (r = service_tool(s, words, NULL, NULL, err)) != 0)
		return r;
	*ret_changed |= was != 0;
	(void)service_tool(s, disable, NULL, &ignored, NULL);
	return 0;
}

/*
 * The link in default.target.wants, which `disable` has removed if it could. One that still leads
 * somewhere was not to our file, which is gone, but to a unit of that name of the system's.
 */
static int forget(struct smx_os_service *s, int *ret_changed, struct smx_buf *err)
{
	static const char *const again[] = { "--user", "reset-failed", UNIT, NULL };
	char link[SMX_OS_PATH_MAX];
	size_t n = strlen(s->path) - strlen(UNIT);
	struct stat st;
	int r, ignored;

	(void)snprintf(link, sizeof(link), "%.*sdefault.target.wants/%s", (int)n, s->path, UNIT);
	if (lstat(link, &st) == 0 && S_ISLNK(st.st_mode) && stat(link, &st) != 0 &&
		errno == ENOENT) {
		if ((r = smx_os_file_remove(link, err)) != 0)
			return r;
		*ret_changed = 1;
	}
	if (*ret_changed && smx_os_service_is_usable(s, NULL) == 0) {
		if ((r = reload(s, err)) != 0)
			return r;
		(void)service_tool(s, again, NULL, &ignored, NULL);
	}
	return 0;
}

const struct service_ops service_systemd = {
	.kind = SMX_OS_SERVICE_SYSTEMD,
	.manager = "systemd",
	.restart_command = "systemctl --user restart " SERVICE_NAME,
	.tools = tools,
	.find = find,
	.is_usable = is_usable,
	.enable = enable,
	.pid = pid,
	.start = start,
	.stop = stop,
	.forget = forget,
};
