/* SPDX-License-Identifier: MIT */
/* Private to src/os/unix: what the service managers have in common. */
#ifndef SMX_OS_UNIX_SERVICE_H
#define SMX_OS_UNIX_SERVICE_H

#include "os/service.h"

#define SERVICE_NAME     "ssh-mux"
#define SERVICE_ARGS_MAX 8

/* As the functions of os/service.h that are named after them. */
struct service_ops {
	enum smx_os_service_kind kind;
	const char *manager, *restart_command;
	const char *const *tools; /* where its program is; NULL at the end */
	int (*find)(char **ret_path, struct smx_buf *err);
	int (*is_usable)(struct smx_os_service *s, struct smx_buf *why);
	int (*enable)(
		struct smx_os_service *s, int file_changed, int *ret_changed, struct smx_buf *err);
	int (*pid)(struct smx_os_service *s, int64_t *ret_pid, struct smx_buf *err);
	int (*start)(struct smx_os_service *s, struct smx_buf *err);
	int (*stop)(struct smx_os_service *s, int *ret_changed, struct smx_buf *err);
	/* After the file is gone. */
	int (*forget)(struct smx_os_service *s, int *ret_changed, struct smx_buf *err);
};

extern const struct service_ops service_systemd, service_launchd;

struct smx_os_service {
	const struct service_ops *ops;
	char *path;
	const char *tool; /* of ops->tools, NULL if there is none */
};

/*
 * Runs the manager's program with these words (NULL at the end). Its output goes to out (may be
 * NULL), and where it fails its complaint to err, in one line. 0 and *ret_exit, or an error of
 * smx_os_run. ret_exit NULL: any other exit code than 0 is SMX_ESYS.
 */
int service_tool(struct smx_os_service *s, const char *const *words, struct smx_buf *out,
	int *ret_exit, struct smx_buf *err);
/* The value of "name=value" in lines of text, NULL if there is none; cuts it off there. */
char *service_value(char *text, const char *name);
/* A number behind `name` and blanks, 0 if there is none. */
int64_t service_number(const char *text, const char *name);

#endif
