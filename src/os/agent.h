/* SPDX-License-Identifier: MIT */
/*
 * Where the SSH agent is, and how it is reached (A1).
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_AGENT_H
#define SMX_OS_AGENT_H

/* The name of the agent that every program of the user's would ask. */
#define SMX_OS_AGENT_USUAL "SSH_AUTH_SOCK"

/*
 * Where the agent of that name listens: a path, in which the caller has put the home in the place
 * of "~/", or NULL or SMX_OS_AGENT_USUAL for what $SSH_AUTH_SOCK says, or "$NAME" for what
 * another variable says; on Windows that counts if it
 * names a pipe, else it is that of the system's OpenSSH, and "pageant" is a name too.
 * SMX_ENOTFOUND: none is usual here. SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_agent_path(const char *name, char **ret_path);
/*
 * Whether a program may tell another that its agent listens there: an absolute path; on Windows a
 * pipe of this machine.
 */
int smx_os_agent_is_place(const char *path);
/* Whether something is at that path, by whomever; nothing is said to it. */
int smx_os_agent_is_there(const char *path);
/*
 * Connects without waiting; a descriptor for an event loop. SMX_EAGAIN: all its ends are taken at
 * the moment, it is worth another try soon. SMX_ENOTFOUND: nobody listens there. SMX_EINVAL: no
 * path of an agent. SMX_EDENIED; SMX_EUNSAFE: on Windows, where names of pipes are open to
 * everybody, it is another user's. SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_agent_open(const char *path, int *ret_fd);

#endif
