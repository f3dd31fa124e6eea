/* SPDX-License-Identifier: MIT */
#include "sshconf/cursor_text.h"

#include <string.h>

#include "base/err.h"

#define MARK "rem Made by ssh-mux setup-config"
/* cmd.exe looks for labels by blocks of the file, and misses some where a line has no CR. */
#define EOL  "\r\n"
#define HEAD "@echo off" EOL MARK ", which writes it again; ssh-mux uninstall removes it." EOL

int smx_cursor_path_is_fit(const char *path)
{
	for (const char *s = path; *s; s++)
		if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
			return 0;
	return 1;
}

static int check_path(const char *path)
{
	for (const char *s = path; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f || *s == '"')
			return SMX_EINVAL;
	return 0;
}

/*
 * In quotes only the percent sign means something to cmd.exe (delayed expansion is off, so that
 * '!' does not), and a script doubles it.
 */
static int put_path(struct smx_buf *out, const char *path)
{
	int r = 0;

	for (const char *s = path; r == 0 && *s; s++)
		if (*s != '%' || (r = smx_buf_put(out, "%", 1)) == 0)
			r = smx_buf_put(out, s, 1);
	return r;
}

static int put_find_ssh(struct smx_buf *out, const char *ssh)
{
	int r;

	if (!ssh || !smx_cursor_path_is_fit(ssh))
		return smx_buf_put_str(out,
			"rem From PATH, and never from where we happen to be." EOL
			"set \"NoDefaultCurrentDirectoryInExePath=1\"" EOL
			"set \"SSH_MUX_SSH=ssh.exe\"" EOL);
	(void)((r = smx_buf_put_str(out, "set \"SSH_MUX_SSH=")) != 0 ||
		(r = put_path(out, ssh)) != 0 || (r = smx_buf_put_str(out, "\"" EOL)) != 0);
	return r;
}

int smx_cursor_ssh_text(const char *ssh, struct smx_buf *out)
{
	size_t before = smx_buf_len(out);
	int r;

	if (ssh && (r = check_path(ssh)) != 0)
		return r;
	(void)((r = smx_buf_put_str(out, HEAD
			"rem The ssh for an editor (remote.SSH.path): as ssh.exe, which can't "
			"start" EOL
			"rem an SSH_ASKPASS whose path is not ASCII; so it gets one that is." EOL
			"setlocal EnableExtensions DisableDelayedExpansion" EOL)) != 0 ||
		(r = put_find_ssh(out, ssh)) != 0 ||
		(r = smx_buf_put_str(out,
			 "if not defined SSH_ASKPASS goto run" EOL
			 "rem Called again from within: what to call is known, and not we "
			 "ourselves." EOL "if /i \"%SSH_ASKPASS%\"==\"%~dp0" SMX_CURSOR_ASKPASS_FILE
			 "\" goto run" EOL "set \"SSH_MUX_ASKPASS=%SSH_ASKPASS%\"" EOL
			 "set \"SSH_ASKPASS=%~dp0" SMX_CURSOR_ASKPASS_FILE "\"" EOL ":run" EOL
			 "\"%SSH_MUX_SSH%\" %*" EOL "exit /b %ERRORLEVEL%" EOL)) != 0);
	if (r != 0)
		smx_buf_truncate(out, before);
	return r;
}

/* Without "call", which would expand the path and the question once more. */
int smx_cursor_askpass_text(struct smx_buf *out)
{
	size_t before = smx_buf_len(out);
	int r;

	r = smx_buf_put_str(out,
		HEAD "rem What " SMX_CURSOR_SSH_FILE " has put instead of the editor's own." EOL
		     "setlocal EnableExtensions DisableDelayedExpansion" EOL
		     "if not defined SSH_MUX_ASKPASS exit /b 1" EOL
		     "set \"SSH_ASKPASS=%SSH_MUX_ASKPASS%\"" EOL "\"%SSH_MUX_ASKPASS%\" %*" EOL
		     "exit /b %ERRORLEVEL%" EOL);
	if (r != 0)
		smx_buf_truncate(out, before);
	return r;
}

int smx_cursor_is_ours(struct smx_view text)
{
	static const char head[] = "@echo off" EOL MARK;
	size_t n = sizeof(head) - 1;

	return text.len == 0 || (text.len >= n && memcmp(text.p, head, n) == 0);
}
