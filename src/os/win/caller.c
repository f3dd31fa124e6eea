/* SPDX-License-Identifier: MIT */
/* There are no control sockets here, and so no callers. */
#include "os/ask.h"
#include "os/caller.h"

#include "base/err.h"

int smx_os_caller_new(int64_t pid, struct smx_os_caller **ret)
{
	(void)pid;
	(void)ret;
	return SMX_EUNSUPPORTED;
}

void smx_os_caller_free(struct smx_os_caller *c)
{
	(void)c;
}

enum smx_os_caller_tty smx_os_caller_tty(const struct smx_os_caller *c)
{
	(void)c;
	return SMX_OS_CALLER_NO_TTY;
}

uint64_t smx_os_caller_tty_id(const struct smx_os_caller *c)
{
	(void)c;
	return 0;
}

int smx_os_caller_open_tty(const struct smx_os_caller *c, const int *fds, size_t n_fds, int *ret_fd)
{
	(void)c;
	(void)fds;
	(void)n_fds;
	(void)ret_fd;
	return SMX_EUNSUPPORTED;
}

int smx_os_caller_args(const struct smx_os_caller *c, struct smx_buf *out)
{
	(void)c;
	(void)out;
	return SMX_EUNSUPPORTED;
}

int smx_os_caller_env(const struct smx_os_caller *c, struct smx_buf *out)
{
	(void)c;
	(void)out;
	return SMX_EUNSUPPORTED;
}

void smx_os_caller_press(const struct smx_os_caller *c, enum smx_os_key key)
{
	(void)c;
	(void)key;
}

int smx_os_modes_keep(int fd, struct smx_os_modes **ret)
{
	(void)fd;
	(void)ret;
	return SMX_EUNSUPPORTED;
}

void smx_os_modes_put_back(int fd, struct smx_os_modes *modes)
{
	(void)fd;
	(void)modes;
}

void smx_os_modes_free(struct smx_os_modes *modes)
{
	(void)modes;
}

void smx_os_tty_tell(int fd, const char *text)
{
	(void)fd;
	(void)text;
}

int smx_os_ask_new_at(int tty, int life, struct smx_os_ask **ret)
{
	(void)tty;
	(void)life;
	(void)ret;
	return SMX_EUNSUPPORTED;
}

int smx_os_ask_was_key(const struct smx_os_ask *a, enum smx_os_key *ret)
{
	(void)a;
	(void)ret;
	return 0;
}

void smx_os_ignore_terminal(void)
{
}

int smx_os_caller_program(const struct smx_os_caller *c, char **ret_path, char **ret_dir)
{
	(void)c;
	(void)ret_path;
	(void)ret_dir;
	return SMX_EUNSUPPORTED;
}

void smx_os_caller_id(const struct smx_os_caller *c, int64_t *ret_pid, uint64_t *ret_start)
{
	(void)c;
	*ret_pid = 0;
	*ret_start = 0;
}

int smx_os_caller_known(int64_t pid, uint64_t start, struct smx_os_caller **ret)
{
	(void)start;
	return smx_os_caller_new(pid, ret);
}
