/* SPDX-License-Identifier: MIT */
/* The daemon from login on (C6). */
#include "os/win/win.h"

#include "base/err.h"

int smx_os_service_new(struct smx_os_service **ret, struct smx_buf *err)
{
	(void)ret;
	smx_win_say(err, "there is no service manager here that ssh-mux knows");
	return SMX_EUNSUPPORTED;
}

void smx_os_service_free(struct smx_os_service *s)
{
	(void)s;
}

enum smx_os_service_kind smx_os_service_kind(const struct smx_os_service *s)
{
	(void)s;
	return SMX_OS_SERVICE_SYSTEMD;
}

const char *smx_os_service_manager(const struct smx_os_service *s)
{
	(void)s;
	return "";
}

const char *smx_os_service_path(const struct smx_os_service *s)
{
	(void)s;
	return "";
}

const char *smx_os_service_restart_command(const struct smx_os_service *s)
{
	(void)s;
	return NULL;
}

int smx_os_service_is_usable(struct smx_os_service *s, struct smx_buf *why)
{
	(void)s;
	(void)why;
	return SMX_ENOTFOUND;
}

int smx_os_service_put(
	struct smx_os_service *s, struct smx_view text, int *ret_changed, struct smx_buf *err)
{
	(void)s;
	(void)text;
	(void)ret_changed;
	(void)err;
	return SMX_EUNSUPPORTED;
}

int smx_os_service_pid(struct smx_os_service *s, int64_t *ret_pid, struct smx_buf *err)
{
	(void)s;
	(void)ret_pid;
	(void)err;
	return SMX_EUNSUPPORTED;
}

int smx_os_service_start(struct smx_os_service *s, struct smx_buf *err)
{
	(void)s;
	(void)err;
	return SMX_EUNSUPPORTED;
}

int smx_os_service_remove(struct smx_os_service *s, int *ret_changed, struct smx_buf *err)
{
	(void)s;
	(void)ret_changed;
	(void)err;
	return SMX_EUNSUPPORTED;
}

void smx_os_service_tell_ready(void)
{
}
