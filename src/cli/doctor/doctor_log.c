/* SPDX-License-Identifier: MIT */
/* What the daemon has logged of late (D4), and whether the system leaves it room. */
#include "cli/doctor/doctor.h"
#include "os/file.h"
#include "os/look.h"
#include "os/path.h"
#include "os/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/run/log.h"

#define LOG_MAX       (16u << 20) /* it is rotated long before */
#define RECENT_S      86400
#define STAMP_LEN     19 /* "2026-11-23T15:38:33" */
#define ROUTE_MAX     128
#define FILES_ENOUGH  1024 /* a connection takes one, a client another */
#define DISK_WARN     (64u << 20)
#define DISK_FAIL     (1u << 20)
#define REJECTED      "channel open rejected for route \""
#define REMOTE_FAILED "remote session failed: "

/* ---- the log -----------------------------------------------------------------------------------
 */

struct last {
	char route[ROUTE_MAX + 1]; /* "" none */
	char text[512];
};

/* The last ones of the day. */
struct log_findings {
	size_t errors;
	struct last unknown, failed, denied, error;
};

static void keep(struct last *l, const char *route, size_t route_len, const char *text)
{
	(void)snprintf(l->route, sizeof(l->route), "%.*s", (int)route_len, route);
	(void)snprintf(l->text, sizeof(l->text), "%s", text);
}

/* `channel open rejected for route "home": unknown route` (L3) */
static void take_rejection(const char *line, struct log_findings *f)
{
	const char *route = strstr(line, REJECTED), *text;
	size_t n;

	if (!route)
		return;
	route += strlen(REJECTED);
	n = strcspn(route, "\"");
	if (n > ROUTE_MAX || strncmp(route + n, "\": ", 3) != 0)
		return;
	text = route + n + 3;
	if (strncmp(text, "unknown route", 13) == 0)
		keep(&f->unknown, route, n, text);
	else if (strncmp(text, REMOTE_FAILED, strlen(REMOTE_FAILED)) == 0)
		keep(&f->failed, route, n, text + strlen(REMOTE_FAILED));
	else if (strstr(text, "denied"))
		keep(&f->denied, route, n, text);
}

static void take_line(char *line, const char *since, struct log_findings *f)
{
	const char *level = line + strcspn(line, " ");

	if (strlen(line) < STAMP_LEN || line[10] != 'T' || strncmp(line, since, STAMP_LEN) < 0)
		return;
	if (strncmp(level, " error ", 7) == 0) {
		f->errors++;
		keep(&f->error, "", 0, level + 7);
	}
	take_rejection(level, f);
}

static void say_log(struct doctor *d, const char *path, const struct log_findings *f)
{
	unsigned before = d->count[DOCTOR_WARN] + d->count[DOCTOR_NOTE];

	if (f->unknown.route[0] && !(d->routes && smx_routes_find(d->routes, f->unknown.route)))
		doctor_say(d, DOCTOR_WARN,
			doctor_fix(d,
				"use the name of a route (ssh NAME, not 127.0.0.1), or add "
				"[routes.%s] to %s",
				f->unknown.route, d->routes_path),
			"a client came with the user name \"%s\", which is no route",
			f->unknown.route);
	if (f->failed.route[0])
		doctor_say(d, DOCTOR_NOTE,
			doctor_fix(d, "run: ssh-mux doctor %s, then: ssh-mux connect %s",
				doctor_quote(d, f->failed.route), doctor_quote(d, f->failed.route)),
			"the last login that failed, to %s: %s", f->failed.route, f->failed.text);
	if (f->denied.route[0])
		doctor_say(d, DOCTOR_NOTE,
			"if that was an editor, see its findings above; else nothing need be done",
			"the last refusal, on %s: %s", f->denied.route, f->denied.text);
	if (f->errors > 0)
		doctor_say(d, DOCTOR_NOTE, doctor_fix(d, "read: %s", doctor_quote(d, path)),
			"%zu error%s logged since yesterday, the last: %s", f->errors,
			f->errors == 1 ? "" : "s", f->error.text);
	if (d->count[DOCTOR_WARN] + d->count[DOCTOR_NOTE] == before)
		doctor_say(d, DOCTOR_OK, NULL, "no errors since yesterday in %s", path);
}

static void read_log(char *text, struct log_findings *f)
{
	time_t then = time(NULL) - RECENT_S;
	struct tm *tm = gmtime(&then);
	char since[STAMP_LEN + 1] = "", *end;

	if (tm)
		(void)strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%S", tm);
	for (char *line = text; *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = '\0';
		take_line(line, since, f);
	}
}

static void check_log(struct doctor *d)
{
	struct log_findings f = { 0 };
	struct smx_buf text, err;
	char *path = NULL;
	int r;

	smx_buf_init(&text, LOG_MAX + 1);
	smx_buf_init(&err, 4 * SMX_OS_PATH_MAX);
	r = doctor_read(d, SMX_LOG_FILE, LOG_MAX, SMX_OS_FILE_PLAIN, &path, &text, &err);
	if (r == 0 && smx_buf_cstr(&text)) {
		read_log((char *)text.data + text.off, &f);
		say_log(d, path, &f);
	} else if (r == SMX_ENOTFOUND) {
		doctor_say(d, DOCTOR_OK, NULL, "there is no log yet (%s)", path);
	} else {
		doctor_say_err(d, DOCTOR_FAIL, &err, r, "move it away");
	}
	smx_free(path);
	smx_buf_release(&text);
	smx_buf_release(&err);
}

/* ---- the system --------------------------------------------------------------------------------
 */

static void check_limits(struct doctor *d)
{
	uint64_t files, bytes;
	char text[SMX_CLI_TEXT_MAX];

	/* Ours is raised by asking, as the daemon raises its own; nothing else has it. */
	if (smx_os_raise_file_limit(&files) == 0 && files < FILES_ENOUGH)
		doctor_say(d, DOCTOR_WARN,
			"raise the hard limit (ulimit -Hn 4096 as root, or limits.conf), log in "
			"again",
			"a process may have only %" PRIu64 " files open: enough for some %" PRIu64
			" sessions",
			files, files > 64 ? (files - 32) / 2 : files / 4);
	if (smx_os_disk_free(d->ssh_dir, &bytes) != 0)
		return;
	smx_cli_text_bytes(bytes, text);
	if (bytes < DISK_FAIL)
		doctor_say(d, DOCTOR_FAIL, "free some space: host keys can't be saved without",
			"the disk of %s is full (%s left)", d->ssh_dir, text);
	else if (bytes < DISK_WARN)
		doctor_say(d, DOCTOR_WARN, "free some space: host keys can't be saved without",
			"the disk of %s is nearly full (%s left)", d->ssh_dir, text);
	else
		doctor_say(d, DOCTOR_OK, NULL, "%s are free for %s", text, d->ssh_dir);
}

void doctor_check_system(struct doctor *d)
{
	doctor_area(d, "Log and system");
	doctor_say_warnings(d);
	check_log(d);
	check_limits(d);
}
