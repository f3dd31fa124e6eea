/* SPDX-License-Identifier: MIT */
/*
 * What a service manager is told so that the daemon runs from login on (C6): a systemd user unit,
 * a launchd agent, or a command line where there is neither. Texts only: nothing is read or made.
 */
#ifndef SMX_CONFIG_SERVICE_TEXT_H
#define SMX_CONFIG_SERVICE_TEXT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/wire.h"

#define SMX_SERVICE_TEXT_MAX (64u << 10) /* of any of these files */

struct smx_service_spec {
	const char *program; /* absolute */
	const char *ssh_dir; /* absolute; NULL: the usual one */
	const char *routes_path; /* absolute; NULL: the routes file in the SSH directory */
	uint16_t port; /* 0: the daemon's own choice */
	uint32_t idle_timeout_s; /* 0: the daemon's own */
};

#define SMX_SERVICE_ARGS_MAX 12

/* What all of them run. */
struct smx_service_command {
	const char *args[SMX_SERVICE_ARGS_MAX]; /* args[0] is the program; NULL at the end */
	size_t count;
	char port[16], timeout[16];
};
/* Borrows the strings of spec; not to be copied, for args point into it. */
void smx_service_command(const struct smx_service_spec *spec, struct smx_service_command *ret);

/*
 * The unit or agent file, byte for byte the same for the same spec. SMX_EUNSUPPORTED: a path has a
 * control character or is not UTF-8, which neither manager takes; SMX_ENOMEM, SMX_ELIMIT. Nothing
 * is appended then.
 */
int smx_service_unit_text(const struct smx_service_spec *spec, struct smx_buf *out);
int smx_service_plist_text(const struct smx_service_spec *spec, struct smx_buf *out);

/*
 * The script for the Startup folder of Windows, in VBScript: ASCII, with what is not as code
 * points, so it is read the same whatever the reader takes it for. Errors as above; a double quote
 * in a path, which Windows has in none, is SMX_EUNSUPPORTED too.
 */
int smx_service_script_text(const struct smx_service_spec *spec, struct smx_buf *out);

/* The command that starts the daemon in the background, for a POSIX shell. SMX_ENOMEM, SMX_ELIMIT.
 */
int smx_service_command_text(const struct smx_service_spec *spec, struct smx_buf *out);
/* The same for PowerShell. */
int smx_service_powershell_text(const struct smx_service_spec *spec, struct smx_buf *out);

/* Appends a word so that a POSIX shell reads it as it is. SMX_ENOMEM, SMX_ELIMIT. */
int smx_service_shell_word(struct smx_buf *out, const char *word);

/* Whether such a file was made by us, whatever else is in it. */
int smx_service_is_ours(struct smx_view text);

/*
 * Where a system's package manager has put this program, under a name that stays when the package
 * is updated: *ret_path is `path` itself or a shorter way to it, for the caller to free.
 * SMX_ENOTFOUND if `path` is in no such place, SMX_ENOMEM.
 */
int smx_service_system_program(const char *path, char **ret_path);

/* What our program file has in it, so that uninstall removes no other of the same name. */
extern const char smx_service_program_mark[];
int smx_service_program_is_ours(struct smx_view file);

#endif
