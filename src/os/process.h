/* SPDX-License-Identifier: MIT */
/*
 * This process, the clock, and running other programs.
 * The rules of os/README.md hold.
 */
#ifndef SMX_OS_PROCESS_H
#define SMX_OS_PROCESS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"

int64_t smx_os_pid(void);
/* The command line of the process that started this one: words, each with its NUL. SMX_EUNSUPPORTED
 * where the system does not tell, SMX_ENOTFOUND, SMX_ELIMIT, SMX_ENOMEM. */
int smx_os_parent_args(struct smx_buf *out);
/*
 * Ends the process at once, whatever its other threads are doing: nothing registered with the C
 * library is run, and no thread is waited for. What was written to descriptors is written.
 */
_Noreturn void smx_os_exit_now(int code);
/* Milliseconds of a clock that never goes back; its zero means nothing. */
uint64_t smx_os_monotonic_ms(void);
void smx_os_sleep_ms(unsigned ms);
int smx_os_is_terminal(int fd);
/* The signal by which a user tells a daemon to read its configuration again; 0: none here. */
int smx_os_reload_signal(void);
/* The calling thread has only the processor time that others leave, from now on; best effort. */
void smx_os_thread_background(void);
/* Writing to a closed socket is an error code, not a signal. */
void smx_os_ignore_sigpipe(void);
/* Goes on when the terminal is closed; who asks for it (smx_os_asker) does not. */
void smx_os_ignore_hangup(void);
/* Raises the number of descriptors to what we may have; ret_limit: the result. SMX_ESYS. */
int smx_os_raise_file_limit(uint64_t *ret_limit);
/* Gives freed memory that the C library keeps back to the system. Takes milliseconds. */
void smx_os_release_memory(void);
/* No core file and no ptrace by other processes of the user: keys are in our memory. SMX_ESYS. */
int smx_os_disable_core_dumps(void);
/* How many bytes this process may keep out of swap; UINT64_MAX: any number; 0: not to be known. */
uint64_t smx_os_lock_limit(void);

/*
 * Path of the file that this process runs, as the system has it (never argv[0]). SMX_ESYS,
 * SMX_ENOMEM.
 */
int smx_os_self_path(char **ret_path);
/*
 * Where a program is: `name` itself if it is an absolute path, else the first executable file of
 * that name in the absolute directories of $PATH. SMX_ENOTFOUND, SMX_ENOMEM.
 */
int smx_os_find_program(const char *name, char **ret_path);

/* Where OpenSSH's own build for this system has the client configuration for all users. Static. */
const char *smx_os_system_ssh_config(void);
/* And the known host keys for all users. Static. */
const char *smx_os_system_known_hosts(void);

/*
 * Runs a program (argv[0]: absolute path; NULL at the end) to its end, in a process group of its
 * own, with our environment, no input, and nothing of our descriptors. What it writes is appended
 * to out and err_out, as far as their max allows with a NUL of smx_buf_cstr behind it; the rest is
 * read and dropped. When timeout_ms is over the whole group is killed. Blocks; thread-safe; run
 * several in threads.
 * 0 and *ret_exit: its exit code, or 128 and the number of the signal. SMX_ETIMEOUT, SMX_ENOTFOUND
 * (no such program), SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_run(const char *const *argv, unsigned timeout_ms, struct smx_buf *out,
	struct smx_buf *err_out, int *ret_exit);
/*
 * The same; besides, the group is killed soon after another thread has made *stop other than 0,
 * and the result is SMX_ECANCELLED then.
 */
int smx_os_run_until(const char *const *argv, unsigned timeout_ms, const atomic_int *stop,
	struct smx_buf *out, struct smx_buf *err_out, int *ret_exit);

#endif
