/* SPDX-License-Identifier: MIT */
/* ssh-mux uninstall: takes back what install made, and nothing else (C5). */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/install/install.h"
#include "cli/run/log.h"
#include "cli/sshconf/setup.h"
#include "mux/doors/keyring.h"
#include "mux/doors/local_key.h"
#include "mux/pool/greeting_file.h"
#include "os/file.h"
#include "os/look.h"
#include "os/path.h"
#include "os/service.h"
#include "sshconf/cursor_text.h"
#include "sshconf/hosts_conf.h"
#include "trust/authorized_keys.h"

struct uninstall {
	struct smx_install in;
	int purge;
	int changed; /* something was there */
	int code; /* of the first step that failed */
};

static void failed(struct uninstall *u, int r)
{
	int code = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_install_words(&u->in.err, r));

	if (u->code == 0)
		u->code = code;
}

static void removed(struct uninstall *u, const char *path)
{
	smx_install_say(path, "removed");
	u->changed = 1;
}

/* Of the SSH directory; nothing there is fine. */
static void remove_file(struct uninstall *u, const char *name)
{
	char *path;
	int r;

	if ((r = smx_os_path_join(u->in.ssh_dir, name, &path)) != 0) {
		failed(u, r);
		return;
	}
	r = smx_os_file_remove(path, &u->in.err);
	if (r == SMX_ENOTFOUND)
		smx_buf_reset(&u->in.err);
	else if (r != 0)
		failed(u, r);
	else
		removed(u, path);
	smx_free(path);
}

/* ---- the service and the daemon ----------------------------------------------------------------
 */

/* 1: the file is ours, or there is none but perhaps what belongs to it. */
static int is_ours(
	struct uninstall *u, const char *path, size_t max_len, int (*has_mark)(struct smx_view))
{
	struct smx_buf text;
	int r, yes = 1;

	smx_buf_init(&text, max_len);
	r = smx_os_file_read(path, max_len, SMX_OS_FILE_PLAIN, &text, &u->in.err);
	if (r == SMX_ENOTFOUND) {
		smx_buf_reset(&u->in.err);
	} else if (r != 0) {
		failed(u, r);
		yes = 0;
	} else if (!has_mark(smx_buf_as_view(&text))) {
		smx_install_say(path, "not made by ssh-mux, so it stays");
		yes = 0;
	}
	smx_buf_release(&text);
	return yes;
}

static void remove_service(struct uninstall *u)
{
	struct smx_os_service *s;
	int r, changed = 0;

	if ((r = smx_os_service_new(&s, &u->in.err)) != 0) {
		if (r != SMX_EUNSUPPORTED)
			failed(u, r);
		smx_buf_reset(&u->in.err);
		return;
	}
	if (is_ours(u, smx_os_service_path(s), SMX_SERVICE_TEXT_MAX, smx_service_is_ours)) {
		if ((r = smx_os_service_remove(s, &changed, &u->in.err)) != 0)
			failed(u, r);
		else if (changed)
			removed(u, smx_os_service_path(s));
	}
	smx_os_service_free(s);
}

static void stop_at(struct uninstall *u)
{
	struct smx_install_running now;
	int r;

	if ((r = smx_install_running(&u->in, &now)) == 0 && now.is_there &&
		(r = smx_install_stop(&u->in)) == 0) {
		smx_install_say("daemon", "process id %lld ended, with %llu open channel%s",
			(long long)now.pid, (unsigned long long)now.channels,
			now.channels == 1 ? "" : "s");
		u->changed = 1;
	}
	if (r != 0 && u->code == 0)
		u->code = r;
}

/* Also one whose runtime directory is not ours, as that of a service is in a shell of su's. */
static void stop_daemons(struct uninstall *u)
{
	static const enum smx_os_where places[] = { SMX_OS_WHERE_HERE, SMX_OS_WHERE_TMP,
		SMX_OS_WHERE_LOGIN };
	char *path;

	for (size_t i = 0; i < SMX_ARRAY_LEN(places); i++) {
		if (smx_os_control_look(u->in.ssh_dir, places[i], &path, NULL) != 0)
			continue;
		smx_free(u->in.control_path);
		u->in.control_path = path;
		stop_at(u);
	}
}

/* ---- the editors' wrappers ---------------------------------------------------------------------
 */

static void remove_wrappers(struct uninstall *u)
{
	static const char *const names[] = { SMX_CURSOR_SSH_FILE, SMX_CURSOR_ASKPASS_FILE };
	struct smx_buf text;
	char *path;

	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		if (smx_os_path_join(u->in.ssh_dir, names[i], &path) != 0)
			continue;
		smx_buf_init(&text, SMX_CURSOR_TEXT_MAX);
		if (smx_os_file_read(path, SMX_CURSOR_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, NULL) ==
				0 &&
			smx_buf_len(&text) > 0 && smx_cursor_is_ours(smx_buf_as_view(&text)))
			remove_file(u, names[i]);
		smx_buf_release(&text);
		smx_free(path);
	}
}

/* ---- the program -------------------------------------------------------------------------------
 */

/* It may be the very one that we are, which not every system lets go. */
static void remove_copy(struct uninstall *u, const char *path)
{
	int r = smx_os_program_remove(path, &u->in.err);

	if (r == 0) {
		removed(u, path);
	} else if (r == SMX_EDENIED) {
		smx_cli_warn("%s is running, so it stays; remove it when it has ended", path);
		smx_buf_reset(&u->in.err);
	} else {
		failed(u, r);
	}
}

/* The copy in the SSH directory, if it is one. */
static void remove_program(struct uninstall *u)
{
	struct smx_buf file;
	char *path;
	int r;

	if ((r = smx_os_path_join(u->in.ssh_dir, smx_os_program_file(), &path)) != 0) {
		failed(u, r);
		return;
	}
	smx_buf_init(&file, SMX_PROGRAM_MAX);
	r = smx_os_file_read(path, SMX_PROGRAM_MAX, SMX_OS_FILE_PLAIN, &file, &u->in.err);
	if (r == SMX_ENOTFOUND)
		smx_buf_reset(&u->in.err);
	else if (r != 0)
		failed(u, r);
	else if (smx_service_program_is_ours(smx_buf_as_view(&file)))
		remove_copy(u, path);
	else
		smx_install_say(path, "no ssh-mux, so it stays");
	smx_buf_release(&file);
	smx_free(path);
}

/* ---- the Include line --------------------------------------------------------------------------
 */

#define BOM "\xef\xbb\xbf"

struct cut {
	struct smx_view line; /* ours, without its end */
	int is_cut, is_empty; /* of the last edit: a line went; nothing is left */
};

/* Leaves out every line that is ours to the byte, with its end; a byte order mark before it stays.
 */
static int cut_include(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	struct cut *c = arg;
	const uint8_t *p = old.p;
	size_t left = old.len, n, text;
	int r = 0;

	(void)err;
	c->is_cut = 0;
	if (left >= 3 && memcmp(p, BOM, 3) == 0) {
		r = smx_buf_put(out, p, 3);
		p += 3;
		left -= 3;
	}
	for (; r == 0 && left > 0; p += n, left -= n) {
		const uint8_t *end = memchr(p, '\n', left);

		n = end ? (size_t)(end - p) + 1 : left;
		text = end ? n - 1 : n;
		if (text > 0 && p[text - 1] == '\r')
			text--;
		if (smx_view_eq_view((struct smx_view){ p, text }, c->line))
			c->is_cut = 1;
		else
			r = smx_buf_put(out, p, n);
	}
	if (r != 0)
		return r;
	c->is_empty = smx_buf_len(out) == 0;
	return is_missing || !c->is_cut;
}

/* The path in it is the caller's to free. */
static int our_include(struct uninstall *u, struct smx_include *ret, char **ret_path)
{
	int r = smx_os_path_join(u->in.ssh_dir, SMX_HOSTS_FILE, ret_path);

	if (r == 0)
		*ret = (struct smx_include){
			.path = *ret_path, .name = SMX_HOSTS_FILE, .is_home = u->in.is_usual_dir
		};
	return r;
}

/* Whether a config that is not ours to change, as a symlink is not, has our line at all. */
static int is_included(const char *config, const struct smx_include *inc)
{
	struct smx_include_found found = { .place = SMX_INCLUDE_NONE };
	struct smx_buf text;
	int r;

	smx_buf_init(&text, SMX_USER_CONF_MAX);
	r = smx_os_file_read(config, SMX_USER_CONF_MAX, SMX_OS_FILE_USER_CONFIG, &text, NULL);
	if (r == 0)
		r = smx_include_find(inc, smx_buf_as_view(&text), &found);
	smx_buf_release(&text);
	return r != 0 || found.place != SMX_INCLUDE_NONE;
}

static void config_refused(struct uninstall *u, const char *config, const struct smx_include *inc,
	struct smx_buf *line)
{
	struct smx_buf remedy;
	int code;

	if (!is_included(config, inc)) {
		smx_buf_reset(&u->in.err);
		return;
	}
	smx_buf_init(&remedy, 3 * SMX_OS_PATH_MAX);
	if (smx_buf_printf(&remedy, "or take out this line yourself: %s", smx_buf_cstr(line)) == 0)
		code = smx_cli_fail(smx_cli_exit_code(SMX_EUNSAFE), smx_buf_cstr(&remedy), "%s",
			smx_install_words(&u->in.err, SMX_EUNSAFE));
	else
		code = smx_cli_fail(SMX_EXIT_OSERR, NULL, "%s", smx_strerror(SMX_ENOMEM));
	if (u->code == 0)
		u->code = code;
	smx_buf_release(&remedy);
}

/* A config that has nothing but our line was made for it, by setup-config. */
static void remove_include(struct uninstall *u)
{
	struct smx_buf line;
	struct cut cut = { .is_cut = 0 };
	struct smx_include inc;
	char *config = NULL, *path = NULL;
	int r, changed = 0;

	smx_buf_init(&line, 2 * SMX_OS_PATH_MAX);
	if ((r = our_include(u, &inc, &path)) == 0 && (r = smx_include_line(&inc, &line)) == 0 &&
		(r = smx_os_path_join(u->in.ssh_dir, SMX_SSH_CONFIG_FILE, &config)) == 0) {
		cut.line = smx_buf_as_view(&line);
		r = smx_os_file_edit(
			config, SMX_USER_CONF_MAX, 0600, cut_include, &cut, &changed, &u->in.err);
	}
	if (r == SMX_EINVAL || r == SMX_ENOTFOUND) {
		/* A path that no Include can name, or no directory: there is no line. */
		smx_buf_reset(&u->in.err);
	} else if (r == SMX_EUNSAFE) {
		config_refused(u, config, &inc, &line);
	} else if (r != 0) {
		failed(u, r);
	} else if (changed && cut.is_empty) {
		remove_file(u, SMX_SSH_CONFIG_FILE);
	} else if (changed) {
		smx_install_say(config, "the Include line removed");
		u->changed = 1;
	}
	smx_buf_release(&line);
	smx_free(config);
	smx_free(path);
}

/* The Host blocks, unless they are somebody else's: setup-config leaves such a file alone, too. */
static void remove_hosts(struct uninstall *u)
{
	char *path;
	int r;

	if ((r = smx_os_path_join(u->in.ssh_dir, SMX_HOSTS_FILE, &path)) != 0) {
		failed(u, r);
		return;
	}
	if (is_ours(u, path, SMX_HOSTS_CONF_MAX, smx_hosts_conf_is_ours))
		remove_file(u, SMX_HOSTS_FILE);
	smx_free(path);
}

/* The key of our own, and who is let in by it (W5). */
static void remove_client_key(struct uninstall *u)
{
	int r, changed = 0, is_empty = 0;
	char *path;

	remove_file(u, CLIENT_KEY_FILE);
	remove_file(u, CLIENT_KEY_PUB_FILE);
	if ((r = smx_os_path_join(u->in.ssh_dir, KEYRING_FILE, &path)) != 0) {
		failed(u, r);
		return;
	}
	r = smx_os_file_edit(path, SMX_AUTHORIZED_KEYS_TEXT_MAX, 0600, smx_setup_local_cut,
		&is_empty, &changed, &u->in.err);
	if (r == SMX_ENOTFOUND) {
		smx_buf_reset(&u->in.err);
	} else if (r != 0) {
		failed(u, r);
	} else if (changed && is_empty) {
		remove_file(u, KEYRING_FILE);
	} else if (changed) {
		smx_install_say(path, "the key for the local server taken out");
		u->changed = 1;
	}
	smx_free(path);
}

/* ---- what is the user's ------------------------------------------------------------------------
 */

static const char *const kept[] = { SMX_ROUTES_FILE, KEYRING_FILE, HOST_KEY_FILE, HOST_KEY_PUB_FILE,
	SMX_LOG_FILE, SMX_LOG_FILE ".old" };

static void purge(struct uninstall *u)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(kept); i++)
		remove_file(u, kept[i]);
}

static void say_kept(struct uninstall *u)
{
	char names[512], *path;
	struct smx_os_stamp st;
	size_t at = 0;

	for (size_t i = 0; i < SMX_ARRAY_LEN(kept); i++) {
		if (smx_os_path_join(u->in.ssh_dir, kept[i], &path) != 0)
			continue;
		if (smx_os_file_stamp(path, &st) == 0)
			at += (size_t)snprintf(
				names + at, sizeof(names) - at, "%s%s", at ? ", " : "", kept[i]);
		smx_free(path);
	}
	if (at > 0)
		printf("These stay in %s (--purge removes them): %s\n", u->in.ssh_dir, names);
}

static void uninstall(struct uninstall *u)
{
	if ((u->code = smx_install_paths(&u->in)) != 0)
		return;
	/* First what would start it again, then what runs, then what it needs. ssh is told last of
	 * all but the files that only the Include names. */
	remove_service(u);
	stop_daemons(u);
	remove_include(u);
	remove_hosts(u);
	remove_file(u, SMX_KNOWN_FILE);
	remove_file(u, GREETINGS_FILE);
	remove_client_key(u);
	remove_wrappers(u);
	remove_program(u);
	if (u->purge)
		purge(u);
	if (!u->changed && u->code == 0)
		printf("There is nothing to remove.\n");
	if (!u->purge)
		say_kept(u);
}

/* ---- the command -------------------------------------------------------------------------------
 */

enum { OPT_PURGE = 256 };

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "purge", no_argument, NULL, OPT_PURGE },
		SMX_CLI_COMMON_OPTIONS,
	};
	struct uninstall u = { .purge = 0 };
	int c, r;

	while ((c = smx_cli_getopt(argc, argv, "+:hV", options, &smx_cmd_uninstall, &r)) != -1) {
		if (c == -2)
			return r;
		u.purge = 1;
	}
	if ((r = smx_cli_no_arguments(argc, argv, &smx_cmd_uninstall)) != 0)
		return r;
	uninstall(&u);
	smx_install_release(&u.in);
	return u.code;
}

const struct smx_command smx_cmd_uninstall = {
	.name = "uninstall",
	.summary = "stop, and remove what install made",
	.usage = "usage: ssh-mux uninstall [--purge]\n"
		 "\n"
		 "End the daemon and remove what install made: the service, the copy of the\n"
		 "program, ssh-mux-hosts.conf with its Include line in your ssh configuration,\n"
		 "which is otherwise left as it is, ssh-mux-known-hosts, ssh-mux-greetings and\n"
		 "ssh-mux-local-key.\n"
		 "The routes, the authorised keys, the host key and the logs stay.\n"
		 "\n"
		 "      --purge    remove these as well\n"
		 "  -h, --help     show this text\n"
		 "  -V, --version  show the version\n",
	.run = run,
};
