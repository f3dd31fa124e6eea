/* SPDX-License-Identifier: MIT */
/* The daemon as the command line sees it. */
#ifndef SMX_MUX_CORE_DAEMON_H
#define SMX_MUX_CORE_DAEMON_H

#include <stdint.h>

#include "base/log.h"

#define SMX_DEFAULT_PORT           2222 /* L1 */
#define SMX_DEFAULT_IDLE_TIMEOUT_S 600 /* P2 */
#define SMX_DEFAULT_MAX_LIFETIME_S 43200 /* P3 */
#define SMX_ROUTES_FILE            "ssh-mux-routes.toml" /* in the SSH directory */

/* Strings are borrowed for as long as smx_daemon_run runs. */
struct smx_serve_options {
	const char *ssh_dir; /* absolute, as smx_os_ssh_dir gave it */
	/*
	 * Routed mode: absolute path of the routes file, remote_* unset. Direct mode (R6): NULL,
	 * and remote_host, remote_user and remote_port are set.
	 */
	const char *routes_path;
	int routes_are_optional; /* no such file: no routes */
	const char
		*remote_host; /* as typed, without brackets; checked by config/'s rules in mux/ */
	const char *remote_user;
	uint16_t remote_port;
	uint16_t port; /* on 127.0.0.1; 0: SSH clients come by the control endpoint only */
	int port_is_optional; /* taken: a warning, and as with 0 */
	uint32_t idle_timeout_s; /* >= 1 */
	uint32_t max_lifetime_s; /* 0: none */
	enum smx_log_level log_level;
	int log_level_is_set; /* by an option: the environment does not count */
	void (*ready)(void); /* it answers at its endpoint; may be NULL */
	int is_confined; /* H3: gives up what it does not need, once it serves */
	int may_prompt; /* in the foreground of a terminal: questions may be asked there (A6) */
};

/*
 * Serves until told to stop. 0 after an orderly end; a negative SMX_E* if it could not start or go
 * on, after one log line that says why and what to do. Codes the command line tells apart:
 * SMX_EEXISTS (another daemon runs, or the port is taken), SMX_ENOTFOUND (no routes file),
 * SMX_ESYNTAX (routes file), SMX_EUNSAFE (a file others could have changed).
 */
int smx_daemon_run(const struct smx_serve_options *opts);

#endif
