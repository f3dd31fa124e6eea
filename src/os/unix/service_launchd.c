/* SPDX-License-Identifier: MIT */
/* An agent of launchd in the user's login session (launchctl(1), launchd.plist(5)). */
#include "os/path.h"
#include "os/process.h"
#include "os/service.h"
#include "os/unix/service.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#define OUTPUT_MAX  (64u << 10)
#define TARGET_SIZE 64
#define GONE_TRIES  50
#define GONE_PAUSE  100 /* ms */

static const char *const tools[] = { "/bin/launchctl", NULL };

static int find(char **ret_path, struct smx_buf *err)
{
	char *home;
	int r;

	if ((r = smx_os_home(&home, err)) != 0)
		return r;
	r = smx_os_path_join(home, "Library/LaunchAgents/" SERVICE_NAME ".plist", ret_path);
	smx_free(home);
	return r;
}

static const char *domain(char out[TARGET_SIZE])
{
	(void)snprintf(out, TARGET_SIZE, "gui/%lu", (unsigned long)getuid());
	return out;
}

static const char *target(char out[TARGET_SIZE])
{
	(void)snprintf(out, TARGET_SIZE, "gui/%lu/" SERVICE_NAME, (unsigned long)getuid());
	return out;
}

static int is_usable(struct smx_os_service *s, struct smx_buf *why)
{
	char name[TARGET_SIZE];
	const char *words[] = { "print", domain(name), NULL };
	int code, r = service_tool(s, words, NULL, &code, why);

	if (r == 0 && code == 0)
		return 0;
	if (r == 0)
		smx_unix_say(why, "this user has no desktop session that launchd could run it in");
	return SMX_ENOTFOUND;
}

/* launchd loads every agent at login, so the file is all it takes; start() loads it now. */
static int enable(struct smx_os_service *s, int file_changed, int *ret_changed, struct smx_buf *err)
{
	char name[TARGET_SIZE];
	const char *words[] = { "enable", target(name), NULL };
	int ignored;

	/* In case it was disabled by hand once, which launchd remembers. */
	(void)service_tool(s, words, NULL, &ignored, err);
	*ret_changed = file_changed;
	return 0;
}

/* *ret_pid: 0 not loaded, -1 loaded. */
static int pid(struct smx_os_service *s, int64_t *ret_pid, struct smx_buf *err)
{
	char name[TARGET_SIZE];
	const char *words[] = { "print", target(name), NULL };
	struct smx_buf out;
	const char *text;
	int64_t found = 0;
	int code, r;

	smx_buf_init(&out, OUTPUT_MAX);
	if ((r = service_tool(s, words, &out, &code, err)) == 0) {
		if (code == 0 && (text = smx_buf_cstr(&out)) != NULL) {
			found = service_number(text, "\tpid = ");
			if (found <= 0)
				found = -1;
		}
		*ret_pid = found;
	}
	smx_buf_release(&out);
	return r;
}

static int stop(struct smx_os_service *s, int *ret_changed, struct smx_buf *err)
{
	char name[TARGET_SIZE];
	const char *words[] = { "bootout", target(name), NULL };
	int64_t was;
	int code, r;

	if ((r = pid(s, &was, err)) != 0 || was == 0)
		return r;
	if ((r = service_tool(s, words, NULL, &code, err)) != 0)
		return r;
	*ret_changed = 1;
	/* It returns before all is over, and would refuse to load what is on its way out. */
	for (int i = 0; i < GONE_TRIES; i++) {
		if ((r = pid(s, &was, err)) != 0 || was == 0)
			return r;
		smx_os_sleep_ms(GONE_PAUSE);
	}
	smx_unix_say(err, "launchd does not let go of the agent %s", name);
	return SMX_ETIMEOUT;
}

static int start(struct smx_os_service *s, struct smx_buf *err)
{
	char name[TARGET_SIZE];
	const char *words[] = { "bootstrap", domain(name), s->path, NULL };
	int ignored = 0, r;

	if ((r = stop(s, &ignored, err)) != 0)
		return r;
	return service_tool(s, words, NULL, NULL, err);
}

static int forget(struct smx_os_service *s, int *ret_changed, struct smx_buf *err)
{
	(void)s;
	(void)ret_changed;
	(void)err;
	return 0;
}

const struct service_ops service_launchd = {
	.kind = SMX_OS_SERVICE_LAUNCHD,
	.manager = "launchd",
	.restart_command = "launchctl kickstart -k gui/$(id -u)/" SERVICE_NAME,
	.tools = tools,
	.find = find,
	.is_usable = is_usable,
	.enable = enable,
	.pid = pid,
	.start = start,
	.stop = stop,
	.forget = forget,
};
