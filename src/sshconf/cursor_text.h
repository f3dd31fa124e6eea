/* SPDX-License-Identifier: MIT */
/*
 * The two scripts for cmd.exe that stand between an editor and ssh.exe on Windows (C7). ssh.exe
 * can't start an askpass program whose path has characters beyond ASCII in it, as that of an editor
 * has for many a user name. cursor-ssh.cmd, which the editor is told to use as its ssh, keeps that
 * path in a variable and names cursor-askpass.cmd instead, which lies beside it and calls what is
 * in the variable. Texts only: nothing is read or made.
 *
 * Both are ASCII and find each other by where they lie, so that no path of the user's is in them.
 */
#ifndef SMX_SSHCONF_CURSOR_TEXT_H
#define SMX_SSHCONF_CURSOR_TEXT_H

#include "base/buf.h"
#include "base/wire.h"

#define SMX_CURSOR_SSH_FILE     "cursor-ssh.cmd"
#define SMX_CURSOR_ASKPASS_FILE "cursor-askpass.cmd"
#define SMX_CURSOR_TEXT_MAX     (64u << 10)

/*
 * ssh: absolute path of the ssh.exe to run. NULL, or one that is not ASCII, which cmd.exe would
 * read by the code page of the moment: the one of PATH. SMX_EINVAL (a quote or a control character
 * in it, which no Windows path has), SMX_ENOMEM, SMX_ELIMIT; nothing is appended then.
 */
int smx_cursor_ssh_text(const char *ssh, struct smx_buf *out);
int smx_cursor_askpass_text(struct smx_buf *out);

/* Whether a text is one that we made; an empty one counts. */
int smx_cursor_is_ours(struct smx_view text);

/* 1 if a path is plain ASCII, as the one of these scripts has to be for them to help. */
int smx_cursor_path_is_fit(const char *path);

#endif
