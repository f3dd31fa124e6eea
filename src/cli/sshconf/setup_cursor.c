/* SPDX-License-Identifier: MIT */
/* setup-config: what an editor needs around ssh.exe on Windows (C7). */
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/sshconf/setup.h"
#include "os/file.h"
#include "os/path.h"
#include "os/service.h"
#include "sshconf/cursor_text.h"

struct script {
	const char *name;
	const char *ssh; /* for that of ssh itself */
	int is_askpass;
};

/* An smx_os_edit_fn. */
static int edit_script(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	const struct script *s = arg;
	int r;

	if (!smx_cursor_is_ours(old)) {
		if (err)
			(void)smx_buf_printf(err, "%s was not made by setup-config", s->name);
		return SMX_EEXISTS;
	}
	r = s->is_askpass ? smx_cursor_askpass_text(out) : smx_cursor_ssh_text(s->ssh, out);
	return r != 0 ? r : !is_missing && smx_view_eq_view(old, smx_buf_as_view(out));
}

static int put_script(const struct smx_cli_setup *o, struct script *s, int *ret_changed)
{
	struct smx_buf err;
	char *path = NULL;
	int changed = 0, r;

	smx_buf_init(&err, 4 * SMX_OS_PATH_MAX);
	if ((r = smx_os_path_join(o->ssh_dir, s->name, &path)) == 0)
		r = smx_os_file_edit(
			path, SMX_CURSOR_TEXT_MAX, 0600, edit_script, s, &changed, &err);
	if (r != 0)
		smx_cli_warn("%s is left alone, so an editor can't use it: %s", s->name,
			smx_errtext(r, &err));
	else
		printf("%s: %s\n", path, changed ? "written" : "unchanged");
	*ret_changed |= changed;
	smx_buf_release(&err);
	smx_free(path);
	return r;
}

void smx_setup_cursor(const struct smx_cli_setup *o, const char *ssh, int *ret_changed)
{
	struct script script = { SMX_CURSOR_SSH_FILE, ssh, 0 };
	struct script askpass = { SMX_CURSOR_ASKPASS_FILE, NULL, 1 };
	char *path;

	if (!smx_os_has_cmd_scripts())
		return;
	if (o->dry_run) {
		printf("# %s and %s would be made in %s\n", script.name, askpass.name, o->ssh_dir);
		return;
	}
	/* The one that is called before the one that calls it. */
	if (put_script(o, &askpass, ret_changed) != 0 || put_script(o, &script, ret_changed) != 0 ||
		smx_os_path_join(o->ssh_dir, script.name, &path) != 0)
		return;
	printf("For Cursor or VS Code, set \"remote.SSH.path\" to: %s\n", path);
	if (!smx_cursor_path_is_fit(path))
		smx_cli_warn("%s is not ASCII, so ssh.exe can't start an askpass program from "
			     "there; set SSH_MUX_SSH_DIR to a directory that is, such as "
			     "C:\\dev\\.ssh, and run this again",
			o->ssh_dir);
	smx_free(path);
}
