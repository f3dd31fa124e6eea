/* SPDX-License-Identifier: MIT */
/* Settings of editors' Remote-SSH that keep it from ssh-mux, and routes that it can't use (R4). */
#include "cli/doctor/doctor.h"
#include "os/file.h"
#include "os/look.h"
#include "os/path.h"
#include "os/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define VALUE_MAX       1024
#define ENOUGH_TIME_S   60 /* to find the token and type its code */
#define DEFAULT_TIME_S  15 /* remote.SSH.connectTimeout where it isn't set */
#define ADD_TIMEOUT     "add: \"remote.SSH.connectTimeout\": 120"
#define LOOPBACK_OPTION "allow_remote_loopback_any_port"

/* ---- JSON with comments, as far as needed ------------------------------------------------------
 */

static size_t skip_comment(struct smx_view t, size_t at)
{
	if (at + 1 >= t.len || t.p[at] != '/')
		return at;
	if (t.p[at + 1] == '/') {
		while (at < t.len && t.p[at] != '\n')
			at++;
	} else if (t.p[at + 1] == '*') {
		for (at += 2; at + 1 < t.len && !(t.p[at] == '*' && t.p[at + 1] == '/'); at++)
			;
		at = at + 2 <= t.len ? at + 2 : t.len;
	}
	return at;
}

static size_t skip_blank(struct smx_view t, size_t at)
{
	size_t before;

	do {
		before = at;
		while (at < t.len &&
			(t.p[at] == ' ' || t.p[at] == '\t' || t.p[at] == '\r' || t.p[at] == '\n'))
			at++;
		at = skip_comment(t, at);
	} while (at != before);
	return at;
}

/* Behind a string that begins at `at`; its content to out. \u is left as it is: no key has one. */
static size_t take_string(struct smx_view t, size_t at, char *out, size_t size)
{
	size_t n = 0;

	for (at++; at < t.len && t.p[at] != '"'; at++) {
		char c = (char)t.p[at];

		if (c == '\\' && at + 1 < t.len) {
			c = (char)t.p[at + 1];
			if (c == 'u')
				c = '\\';
			else
				at++;
			c = c == 'n' || c == 'r' || c == 't' ? ' ' : c;
		}
		if (n + 1 < size && c != '\0')
			out[n++] = c;
	}
	out[n] = '\0';
	return at < t.len ? at + 1 : t.len;
}

static size_t take_word(struct smx_view t, size_t at, char *out, size_t size)
{
	size_t n = 0;

	for (; at < t.len && !strchr(" \t\r\n,{}[]\"/:", t.p[at]); at++)
		if (n + 1 < size)
			out[n++] = (char)t.p[at];
	out[n] = '\0';
	return at;
}

int doctor_setting(struct smx_view text, const char *key, char *ret_value, size_t size)
{
	char word[256], value[VALUE_MAX];
	size_t at = 0, depth = 0, behind;
	int found = 0;

	while ((at = skip_blank(text, at)) < text.len) {
		uint8_t c = text.p[at];

		if (c != '"') {
			depth += c == '{' || c == '[';
			depth -= (c == '}' || c == ']') && depth > 0;
			at++;
			continue;
		}
		at = take_string(text, at, word, sizeof(word));
		behind = skip_blank(text, at);
		if (behind >= text.len || text.p[behind] != ':')
			continue;
		at = skip_blank(text, behind + 1);
		if (depth != 1 || strcmp(word, key) != 0 || at >= text.len)
			continue;
		/* Of several the last one counts, as it does for the editor. */
		if (text.p[at] == '"')
			at = take_string(text, at, value, sizeof(value));
		else
			at = take_word(text, at, value, sizeof(value));
		(void)snprintf(ret_value, size, "%s", value);
		found = 1;
	}
	return found;
}

/* ---- what they say -----------------------------------------------------------------------------
 */

/* As it stands between the quotes of a JSON string. */
static const char *json_path(const char *path, char *out, size_t size)
{
	size_t at = 0;

	for (; *path && at + 2 < size; path++) {
		if (*path == '\\' || *path == '"')
			out[at++] = '\\';
		out[at++] = *path;
	}
	out[at] = '\0';
	return out;
}

static void check_config_file(struct doctor *d, const char *editor, struct smx_view text)
{
	char value[VALUE_MAX], json[2 * SMX_OS_PATH_MAX], *ours = NULL, *full;

	if (smx_os_path_join(d->ssh_dir, SMX_SSH_CONFIG_FILE, &ours) != 0)
		return;
	if (!doctor_setting(text, "remote.SSH.configFile", value, sizeof(value)) || !value[0]) {
		if (d->is_other_dir)
			doctor_say(d, DOCTOR_WARN,
				doctor_fix(d, "add: \"remote.SSH.configFile\": \"%s\"",
					json_path(ours, json, sizeof(json))),
				"%s reads the config in ~/.ssh, which is not your SSH directory",
				editor);
	} else {
		full = doctor_expand(d, value);
		if (!smx_os_path_same(full ? full : value, ours))
			doctor_say(d, DOCTOR_WARN,
				doctor_fix(d,
					"remove \"remote.SSH.configFile\", or make it: \"%s\"",
					json_path(ours, json, sizeof(json))),
				"%s reads %s, not %s: it does not know the routes", editor, value,
				ours);
		smx_free(full);
	}
	smx_free(ours);
}

static void check_path(struct doctor *d, const char *editor, struct smx_view text)
{
	char value[VALUE_MAX], *found = NULL;

	if (!doctor_setting(text, "remote.SSH.path", value, sizeof(value)) || !value[0])
		return;
	if (smx_os_find_program(value, &found) != 0)
		doctor_say(d, DOCTOR_WARN, "correct or remove \"remote.SSH.path\"",
			"%s is told to use %s as ssh, and there is no such program", editor, value);
	else if (d->ssh && !smx_os_path_same(found, d->ssh))
		doctor_say(d, DOCTOR_NOTE,
			doctor_fix(d, "to look at it, run: ssh-mux doctor --ssh-bin %s",
				doctor_quote(d, found)),
			"%s uses another ssh than the one above: %s", editor, found);
	smx_free(found);
}

static void check_timeout(struct doctor *d, const char *editor, struct smx_view text)
{
	char value[VALUE_MAX];
	long seconds = DEFAULT_TIME_S;
	int is_set = doctor_setting(text, "remote.SSH.connectTimeout", value, sizeof(value));

	if (is_set)
		seconds = strtol(value, NULL, 10);
	if (seconds < ENOUGH_TIME_S)
		doctor_say(d, is_set ? DOCTOR_WARN : DOCTOR_NOTE,
			is_set ? "make it: \"remote.SSH.connectTimeout\": 120" : ADD_TIMEOUT,
			"%s gives up on a first login after %ld seconds%s: too short to type a "
			"code",
			editor, seconds, is_set ? "" : ", its default");
}

static void check_local_server(struct doctor *d, const char *editor, struct smx_view text)
{
	char value[VALUE_MAX];

	if (doctor_setting(text, "remote.SSH.useLocalServer", value, sizeof(value)) &&
		strcmp(value, "false") == 0 && d->via == DOCTOR_VIA_PROXY)
		doctor_say(d, DOCTOR_NOTE, "add: \"remote.SSH.showLoginTerminal\": true",
			"%s has remote.SSH.useLocalServer off: ssh-mux's questions come up in its "
			"login terminal only",
			editor);
}

/* 1 if that editor has settings. */
static int check_editor(struct doctor *d, const char *base, const char *editor, const char *dir)
{
	char below[128], *path = NULL;
	struct smx_buf text, err;
	struct smx_view view;
	unsigned before = d->count[DOCTOR_NOTE] + d->count[DOCTOR_WARN];
	int r;

	(void)snprintf(below, sizeof(below), "%s/User/settings.json", dir);
	if (smx_os_path_join(base, below, &path) != 0)
		return 0;
	smx_buf_init(&text, DOCTOR_FILE_MAX);
	smx_buf_init(&err, 4 * SMX_OS_PATH_MAX);
	r = smx_os_file_read(path, DOCTOR_FILE_MAX, SMX_OS_FILE_PLAIN, &text, &err);
	if (r == 0) {
		view = smx_buf_as_view(&text);
		check_config_file(d, editor, view);
		check_path(d, editor, view);
		check_timeout(d, editor, view);
		check_local_server(d, editor, view);
		if (d->count[DOCTOR_NOTE] + d->count[DOCTOR_WARN] == before)
			doctor_say(d, DOCTOR_OK, NULL, "%s: its settings suit ssh-mux (%s)", editor,
				path);
	} else if (r != SMX_ENOTFOUND) {
		doctor_say(d, DOCTOR_NOTE, "look at its remote.SSH settings yourself",
			"%s: its settings were not read: %s", editor, smx_errtext(r, &err));
	}
	smx_free(path);
	smx_buf_release(&text);
	smx_buf_release(&err);
	return r != SMX_ENOTFOUND;
}

static void check_loopback(struct doctor *d)
{
	struct doctor_names without = { 0 };
	size_t n = doctor_route_count(d);

	for (size_t i = 0; i < n; i++)
		if (!doctor_route(d, i)->allow_remote_loopback_any_port)
			doctor_name_add(&without, doctor_route(d, i)->name);
	if (without.count > 0)
		doctor_say(d, DOCTOR_NOTE,
			doctor_fix(d,
				"to edit there, put this line below [routes.NAME] in "
				"%s: " LOOPBACK_OPTION " = true",
				d->routes_path),
			"Remote-SSH can't work on %s (\"administratively prohibited\"): its ports "
			"may "
			"not be forwarded",
			doctor_names_text(&without));
	else if (n > 0)
		doctor_say(
			d, DOCTOR_OK, NULL, "every route lets Remote-SSH reach its server's ports");
}

void doctor_check_editors(struct doctor *d)
{
	static const char *const editors[][2] = { { "VS Code", "Code" },
		{ "VS Code Insiders", "Code - Insiders" }, { "VSCodium", "VSCodium" },
		{ "Cursor", "Cursor" }, { "Windsurf", "Windsurf" } };
	char *base;
	int n = 0;

	doctor_area(d, "Editors");
	if (smx_os_settings_dir(&base, NULL) != 0)
		return;
	for (size_t i = 0; i < SMX_ARRAY_LEN(editors); i++)
		n += check_editor(d, base, editors[i][0], editors[i][1]);
	smx_free(base);
	if (n > 0)
		check_loopback(d);
	else
		doctor_say(d, DOCTOR_OK, NULL, "no settings of VS Code, Cursor or their like");
}
