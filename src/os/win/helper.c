/* SPDX-License-Identifier: MIT */
/* Nothing confines the daemon here that a helper would have to make up for (os/helper.h). */
#include "os/helper.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "os/file.h"

int smx_os_helper_start(const char *const *args)
{
	(void)args;
	return SMX_EUNSUPPORTED;
}

int smx_os_helper_is_there(void)
{
	return 0;
}

void smx_os_helper_stop(void)
{
}

int smx_os_helper_stream(int ret_fds[2])
{
	(void)ret_fds;
	return ENOSYS;
}

int smx_os_helper_run(struct smx_helper_request *q, const int fds[SMX_HELPER_FDS], uint64_t *ret_id)
{
	(void)q;
	(void)fds;
	(void)ret_id;
	return ENOSYS;
}

int smx_os_helper_append_line(const char *path, const char *line, struct smx_buf *err)
{
	return smx_os_file_append_line(path, line, err);
}

int smx_os_helper_keep(const char *path, const char *text, struct smx_buf *err)
{
	return smx_os_file_write_atomic(path, text, strlen(text), 0600, err);
}

int smx_os_helper_rotate(const struct smx_helper_request *q, unsigned *ret_removed,
	unsigned *ret_added, struct smx_buf *err)
{
	(void)q;
	(void)ret_removed;
	(void)ret_added;
	(void)err;
	return SMX_EUNSUPPORTED;
}

void smx_os_helper_kill(uint64_t id, int signal, int is_group)
{
	(void)id;
	(void)signal;
	(void)is_group;
}

int smx_os_helper_ends_fd(void)
{
	return -1;
}

int smx_os_helper_next_end(uint64_t *ret_id, int *ret_status, int *ret_signal)
{
	(void)ret_id;
	(void)ret_status;
	(void)ret_signal;
	return SMX_EEOF;
}

int smx_os_helper_serve(const struct smx_os_helper_policy *policy)
{
	(void)policy;
	return SMX_EUNSUPPORTED;
}
