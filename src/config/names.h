/* SPDX-License-Identifier: MIT */
/*
 * Which route, host and user names may enter at all (R3). One gate for every
 * source: the routes file, the command line, import.
 *
 * Hosts and users: what OpenSSH's ssh refuses from its command line is refused here (ssh.c of
 * OpenSSH 9.6 and later: quotes, shell metacharacters, control characters, a leading '-'), and a
 * little more where a name can't be legitimate and would mean something to a shell, to known_hosts
 * or to a terminal. `user@corp.com` and `DOM\user` are legitimate users.
 */
#ifndef SMX_CONFIG_NAMES_H
#define SMX_CONFIG_NAMES_H

#include "base/wire.h"

#define SMX_ROUTE_NAME_MAX 128
#define SMX_HOST_MAX       255
#define SMX_USER_MAX       255

/*
 * NULL if the name is good, else a static text that says what is wrong: "must not start with
 * '-'". Views, so that embedded NUL bytes are seen.
 */
const char *smx_route_name_fault(struct smx_view name);
const char *smx_host_fault(struct smx_view host);
const char *smx_user_fault(struct smx_view user);
/* Of a variable in send_env (L8): its form, or that it is one which may never be passed on. */
const char *smx_send_env_fault(struct smx_view name);

static inline int smx_route_name_ok(struct smx_view name)
{
	return smx_route_name_fault(name) == NULL;
}
static inline int smx_host_ok(struct smx_view host)
{
	return smx_host_fault(host) == NULL;
}
static inline int smx_user_ok(struct smx_view user)
{
	return smx_user_fault(user) == NULL;
}

#endif
