/* SPDX-License-Identifier: MIT */
/* install: the program and the authorised keys. */
#include "cli/install/install.h"
#include "cli/sshconf/setup.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"
#include "os/service.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/doors/keyring.h"
#include "trust/authorized_keys.h"

#define KEYS_TEXT_MAX (1u << 20)
#define NAMES_MAX     1024 /* bytes of the list of files that is said */

/* ---- the program -------------------------------------------------------------------------------
 */

static int program_failed(struct smx_install *in, int r)
{
	return smx_cli_fail(
		smx_cli_exit_code(r), NULL, "the program file: %s", smx_install_words(&in->err, r));
}

/* Whether this is at `to` already. 1, 0, or an error: what is there is not ours to replace. */
static int is_there(struct smx_install *in, const char *to, const struct smx_buf *self)
{
	struct smx_buf old;
	char *executable = NULL;
	int r;

	smx_buf_init(&old, SMX_PROGRAM_MAX);
	r = smx_os_file_read(to, SMX_PROGRAM_MAX, SMX_OS_FILE_PLAIN, &old, &in->err);
	if (r == SMX_ENOTFOUND) {
		smx_buf_reset(&in->err);
		r = 0;
	} else if (r == 0 && smx_view_eq_view(smx_buf_as_view(&old), smx_buf_as_view(self))) {
		r = smx_os_find_program(to, &executable) == 0;
	} else if (r == 0 && !smx_service_program_is_ours(smx_buf_as_view(&old))) {
		(void)smx_buf_printf(
			&in->err, "%s is there, and is no ssh-mux; rename or remove it", to);
		r = SMX_EEXISTS;
	}
	smx_free(executable);
	smx_buf_release(&old);
	return r;
}

/* The running program to `to`. */
static int copy_program(struct smx_install *in, const char *to)
{
	struct smx_buf self;
	int r;

	smx_buf_init(&self, SMX_PROGRAM_MAX);
	if ((r = smx_os_self_read(&self, &in->err)) == 0 && (r = is_there(in, to, &self)) == 0) {
		r = smx_os_program_write(to, smx_buf_view(&self), smx_buf_len(&self), &in->err);
		in->program_changed = r == 0;
	}
	smx_buf_release(&self);
	return r > 0 ? 0 : r;
}

int smx_install_program(struct smx_install *in)
{
	char *self, *copy = NULL;
	int r;

	if ((r = smx_os_self_path(&self)) != 0)
		return program_failed(in, r);
	r = smx_service_system_program(self, &in->program);
	if (r == 0) {
		smx_install_say(in->program, "the system's, used where it is");
	} else if (r == SMX_ENOTFOUND &&
		   (r = smx_os_path_join(in->ssh_dir, smx_os_program_file(), &copy)) == 0 &&
		   (strcmp(self, copy) == 0 || (r = copy_program(in, copy)) == 0)) {
		smx_install_say(copy, in->program_changed ? "copied" : "unchanged");
		in->program = copy;
		copy = NULL;
	}
	smx_free(copy);
	smx_free(self);
	return r == 0 ? 0 : program_failed(in, r);
}

/* ---- the authorised keys -----------------------------------------------------------------------
 */

/*
 * L5: who may log in is written down now, while the user looks on, so that no id_*.pub that comes
 * to lie there later counts, and there is no downgrade from the first day on.
 */
int smx_install_keys(struct smx_install *in)
{
	struct smx_os_stamp stamp;
	struct smx_buf text, names;
	char *path;
	int r;

	if (smx_os_path_join(in->ssh_dir, KEYRING_FILE, &path) != 0)
		return smx_cli_fail(SMX_EXIT_OSERR, NULL, "out of memory");
	smx_buf_init(&text, KEYS_TEXT_MAX);
	smx_buf_init(&names, NAMES_MAX);
	if (smx_os_file_stamp(path, &stamp) == 0) {
		smx_install_say(path, "unchanged");
		r = 0;
	} else if ((r = smx_setup_public_keys(in->ssh_dir, &text, &names, &in->err)) != 0 ||
		   (smx_buf_len(&names) > 0 &&
			   (r = smx_os_file_create(path, smx_buf_view(&text), smx_buf_len(&text),
				    0600, &in->err)) != 0)) {
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "the authorised keys: %s",
			smx_install_words(&in->err, r));
	} else if (smx_buf_len(&names) > 0) {
		smx_install_say(path, "made, of %s", smx_buf_cstr(&names));
	}
	/* Without any, setup-config has one of its own to put in where it is needed (W5). */
	smx_buf_release(&text);
	smx_buf_release(&names);
	smx_free(path);
	return r;
}
