/* SPDX-License-Identifier: MIT */
/*
 * The service: the daemon from login on (C6).
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_SERVICE_H
#define SMX_OS_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/wire.h"

enum smx_os_service_kind {
	SMX_OS_SERVICE_SYSTEMD, /* its file is a unit: smx_service_unit_text */
	SMX_OS_SERVICE_LAUNCHD, /* an agent: smx_service_plist_text */
	SMX_OS_SERVICE_STARTUP, /* a script that Windows runs at logon: smx_service_script_text */
};

/* What its file starts, told besides to where no manager reads that file. */
struct smx_os_service_run {
	const char *const *args; /* args[0] is the program's absolute path; NULL at the end */
	int64_t daemon_pid; /* of the daemon that answers now, 0: none */
};

/*
 * The service "ssh-mux" of the user's own service manager. Every call that asks the manager has a
 * time limit (SMX_ETIMEOUT) and blocks; err gets the manager's own words.
 */
struct smx_os_service;

/*
 * Where such a file belongs, whether or not the manager runs. SMX_EUNSUPPORTED: this system has no
 * manager that we know; else as smx_os_home.
 */
int smx_os_service_new(struct smx_os_service **ret, struct smx_buf *err);
void smx_os_service_free(struct smx_os_service *s); /* NULL works */
enum smx_os_service_kind smx_os_service_kind(const struct smx_os_service *s);
const char *smx_os_service_manager(const struct smx_os_service *s); /* "systemd" */
const char *smx_os_service_path(const struct smx_os_service *s); /* of the file, absolute */
/* For people: what restarts it; NULL where that takes more than a command. */
const char *smx_os_service_restart_command(const struct smx_os_service *s);

/* 0 if the manager runs for this user and answers; SMX_ENOTFOUND with the reason. */
int smx_os_service_is_usable(struct smx_os_service *s, struct smx_buf *why);
/*
 * Writes the file, with the directories on the way, if it does not hold this text already, and
 * makes it start at login from now on, which starts nothing yet. *ret_changed: whether anything had
 * to be done. Errors as smx_os_file_write_atomic, SMX_ETIMEOUT.
 */
int smx_os_service_put(
	struct smx_os_service *s, struct smx_view text, int *ret_changed, struct smx_buf *err);
/*
 * ret_pid: -1 if it is running (or about to be) and its process is not known, 0 if it is not.
 * Without a manager the daemon is the service's if it runs by these very arguments.
 */
int smx_os_service_pid(struct smx_os_service *s, const struct smx_os_service_run *run,
	int64_t *ret_pid, struct smx_buf *err);
/*
 * Starts it, again if it runs (which the caller has ended before where there is no manager). Where
 * the manager, or we, are told of readiness it is ready then.
 */
int smx_os_service_start(
	struct smx_os_service *s, const struct smx_os_service_run *run, struct smx_buf *err);
/*
 * Stops it, and removes the file and what makes it start at login; nothing of that need be there,
 * and the manager need not run. *ret_changed as above.
 */
int smx_os_service_remove(struct smx_os_service *s, int *ret_changed, struct smx_buf *err);

/* In the daemon: tells whoever runs it as a service that it is ready. */
void smx_os_service_tell_ready(void);

/* What our program's file is called: "ssh-mux". Static. */
const char *smx_os_program_file(void);
/*
 * Replaces or makes a program as smx_os_file_write_atomic does with a file, even one that runs at
 * the moment. Where such a file can't go, it is moved to PATH.old (.old1, …), which the next call,
 * the sweep or the removal takes away once nobody runs it.
 */
int smx_os_program_write(const char *path, const void *data, size_t len, struct smx_buf *err);
/* Takes such files away as far as nobody runs them. */
void smx_os_program_sweep(const char *path);
/* As smx_os_file_remove, and what is left of older ones. SMX_EDENIED: it runs. */
int smx_os_program_remove(const char *path, struct smx_buf *err);

/* 1 where scripts are cmd.exe's, and an editor's ssh needs such ones around it (C7). */
int smx_os_has_cmd_scripts(void);

/* Appends the bytes of the file that this process runs, even if another has its name by now.
 * SMX_ELIMIT: longer than out takes; SMX_ESYS, SMX_ENOMEM. */
int smx_os_self_read(struct smx_buf *out, struct smx_buf *err);

#endif
