/* SPDX-License-Identifier: MIT */
/* `ssh-mux helper`: what the helper of the confined daemon starts, and nothing else (H3). */
#ifndef SMX_MUX_CORE_HELPER_H
#define SMX_MUX_CORE_HELPER_H

/* Serves the daemon that has started us, until it has gone. All absolute; routes_path: NULL in
 * direct mode (R6). As smx_os_helper_serve. */
int helper_serve(const char *ssh_dir, const char *log_path, const char *routes_path);

#endif
