/* SPDX-License-Identifier: MIT */
/*
 * What differs from system to system, behind one contract. src/os/unix holds the implementation
 * for Linux, macOS and the BSDs; one for Windows stands beside it behind this same header, so
 * nothing here names a type of either (descriptors are those of the C library on both).
 *
 * Errors. Functions return 0 or a negative SMX_E*. Where there is an `err` argument (which may be
 * NULL), one line of text without a newline is *added* to it on failure: it names the exact path,
 * what is wrong with it and what to do about it. Results `ret_*` are untouched on failure. Strings
 * handed out are NUL-terminated, come from smx_malloc and are the caller's to smx_free.
 *
 * Everything in "files" and "IPC" may block on a disk or a lock: on an event loop, call it from a
 * worker thread. All of it is thread-safe.
 */
#ifndef SMX_OS_OS_H
#define SMX_OS_OS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/wire.h"

/* ---- paths -------------------------------------------------------------------------------- */

/* Longest path we take. */
#define SMX_OS_PATH_MAX 4096

/*
 * The home directory as the system knows it (user database, Known Folder API), never $HOME (S8).
 * SMX_ENOTFOUND, SMX_ENOMEM.
 */
int smx_os_home(char **ret_path, struct smx_buf *err);

/*
 * The SSH directory (D3, S4): $SSH_MUX_SSH_DIR if that is set, absolute, exists and passes
 * smx_os_dir_check; else ~/.ssh below smx_os_home. An override that fails the check is ignored and
 * a line saying so is added to `warning` (may be NULL), which the caller shows. ~/.ssh need not
 * exist and is not checked here: every file read or written in it checks the whole chain.
 * The path is normalised: absolute, no "//", no "." and no trailing slash.
 */
int smx_os_ssh_dir(char **ret_path, struct smx_buf *warning, struct smx_buf *err);

/* dir + "/" + name. SMX_ENOMEM, SMX_ELIMIT (longer than SMX_OS_PATH_MAX). */
int smx_os_path_join(const char *dir, const char *name, char **ret_path);
/* What follows "~/" at the beginning of a path ("~\\" counts on Windows); else NULL. */
const char *smx_os_path_below_home(const char *path);
/* The name at the end of a path: what follows the last separator. */
const char *smx_os_path_name(const char *path);
/* Whether the system takes both for the same path, as they are written: 1 or 0. */
int smx_os_path_same(const char *a, const char *b);
/* The directory part of an absolute path; of what lies in a root, that root. SMX_EINVAL (a root, or
 * not absolute), SMX_ENOMEM. */
int smx_os_path_dir(const char *path, char **ret_dir);
/* 1 if the path starts at a root. */
int smx_os_path_is_absolute(const char *path);
/*
 * A path as a person typed it, made absolute and normalised: relative ones start at the working
 * directory, and ".." at their beginning goes up from there (the system's spelling of it has no
 * symlinks, so that is exact). ".." further on stays, for the walk below to refuse.
 * SMX_EINVAL (empty), SMX_ELIMIT, SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_path_absolute(const char *path, char **ret_path);

/*
 * The directory of our sockets (S5): $XDG_RUNTIME_DIR/ssh-mux if XDG_RUNTIME_DIR is absolute, ours
 * and mode 0700, else /tmp/ssh-mux-{uid}. Made with mode 0700 if missing; in either case checked on
 * each call: a directory and no symlink, owned by us, no access for anybody else.
 * SMX_EUNSAFE, SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_runtime_dir(char **ret_path, struct smx_buf *err);

/*
 * Path of the control endpoint of the daemon that serves `ssh_dir`:
 * <runtime dir>/control-<16 hex digits of SHA-256(ssh_dir)>.sock, so that daemons of different SSH
 * directories don't meet. Where that would be longer than a socket address can be, the runtime
 * directory below /tmp is used; server and clients come to the same answer.
 * Errors as smx_os_runtime_dir, SMX_ECRYPTO.
 */
int smx_os_control_path(const char *ssh_dir, char **ret_path, struct smx_buf *err);

/* ---- files (S1, S2, S3, C8) ---------------------------------------------------------------- */

enum smx_os_file_kind {
	/* Configuration, known_hosts, public keys: nobody but us (and root) may change it. */
	SMX_OS_FILE_PLAIN,
	/* Our own private key or a token: besides, nobody but us may read it. */
	SMX_OS_FILE_HOST_KEY,
	/*
	 * A private key that the user named. Judged as ssh does: opened wherever it lies, symlinks
	 * followed, but it must be a regular file of ours (or root's) that nobody else can read.
	 */
	SMX_OS_FILE_USER_KEY,
	/*
	 * A client configuration of the user's, only read. Judged as ssh judges one: symlinks
	 * followed, but it must be a regular file of ours (or root's) that nobody else can change.
	 */
	SMX_OS_FILE_USER_CONFIG,
};

/*
 * Reads a file of at most max_len bytes into *out (appended; give it a buffer of the right max, and
 * a secret one for keys).
 *
 * Except for SMX_OS_FILE_USER_* the path, which must be absolute and without "..", is walked from
 * the root by directory descriptors, so nothing can be swapped between the check and the use:
 *   - every directory on the way belongs to us or root and is writable by its owner only; one of
 *     root's that others can write passes if it is sticky (/tmp);
 *   - a symlink on the way passes only if root owns it, in a directory that only root can write;
 *   - the file itself is no symlink, a regular file, ours or root's, not writable by others
 *     (HOST_KEY: not readable either).
 * Never blocks on a FIFO or device. The content is that of one moment only if nobody writes in
 * place; all our own writers rename.
 *
 * SMX_ENOTFOUND (the file or a directory on the way), SMX_EUNSAFE (the checks above), SMX_ELIMIT
 * (too big), SMX_EINVAL (not an absolute path), SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_file_read(const char *path, size_t max_len, enum smx_os_file_kind kind,
	struct smx_buf *out, struct smx_buf *err);

/* The directory part of those checks for `path` itself, which may not be a symlink either. */
int smx_os_dir_check(const char *path, struct smx_buf *err);
/* As smx_os_dir_check, after making the last component with mode 0700 if it is missing. */
int smx_os_dir_ensure(const char *path, struct smx_buf *err);

/*
 * Replaces or makes a file so that a reader, a crash or a full disk sees the old content or the new
 * content and nothing else (C8): random temporary name in the same directory, O_EXCL, fsync,
 * rename, fsync of the directory. The directory is walked as above; an existing target that is a
 * symlink, not a regular file or not ours is refused. The temporary file is gone on every failure.
 * mode: permission bits of the result, whatever the umask.
 * Errors as smx_os_file_read.
 */
int smx_os_file_write_atomic(
	const char *path, const void *data, size_t len, unsigned mode, struct smx_buf *err);

/* As smx_os_file_write_atomic, but SMX_EEXISTS if there is something at `path` already. */
int smx_os_file_create(
	const char *path, const void *data, size_t len, unsigned mode, struct smx_buf *err);

#define SMX_OS_APPEND_FILE_MAX (16u << 20)

/*
 * Adds a line (given without its newline; SMX_EINVAL if it has one) at the end of a file that other
 * programs append to as well: known_hosts (K4, C8). Made with mode 0600 if missing; else mode kept.
 *
 * Our own writers exclude each other by a lock on the directory. The new content is written beside
 * the file and renamed over it only if the file is still what was read, else once more from the
 * start. A program that opened the old file before the rename and appends after it would lose its
 * line: so the old file is watched until nobody has it open for writing any more (a read lease on
 * Linux; a short wait elsewhere), and what came late is carried over.
 * SMX_ETIMEOUT: the lock was held, or the file changed, for too long. Else as smx_os_file_read.
 */
int smx_os_file_append_line(const char *path, const char *line, struct smx_buf *err);

/*
 * Makes the new content of a file from the old one. Appends all of it to `out`. Returns 0, 1 (leave
 * the file as it is), or a negative SMX_E* with a line added to err, which ends the edit. It may be
 * called several times; `old` is empty if is_missing.
 */
typedef int smx_os_edit_fn(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err);

/*
 * Changes a file that other programs write too (~/.ssh/config; C2, C8): read, edit, written beside
 * it, and renamed over it only if the file is still, byte for byte, what was read; else once more
 * from the start. Locked against our own writers and kept whole against crashes as
 * smx_os_file_append_line, of which this is the general form: what a program that had the old file
 * open wrote into it after the rename is edited anew and takes its place. The mode is kept;
 * mode_if_new counts where the file is missing. ret_changed (may be NULL): whether it was written,
 * which it is not if the edit gives the text that is there.
 * SMX_ELIMIT: longer than max_len, before or after. SMX_ETIMEOUT: it kept changing, or two programs
 * rewrote it at once, and what one of them wrote is in a file beside it, which err names. Else as
 * smx_os_file_read.
 */
int smx_os_file_edit(const char *path, size_t max_len, unsigned mode_if_new, smx_os_edit_fn *edit,
	void *arg, int *ret_changed, struct smx_buf *err);

/* Removes a file: the directory is walked as above. SMX_ENOTFOUND if there is none. */
int smx_os_file_remove(const char *path, struct smx_buf *err);

#define SMX_OS_GLOB_MAX 4096

/*
 * The paths that a pattern of the shell's stands for (*, ?, [..]; ~/ and ~name/ at its beginning
 * as ssh has them in Include: by $HOME), sorted; one without any of that stands for itself if it is
 * there. None is no error (count 0). Says nothing about what is at those paths. Free with
 * smx_os_names_free. SMX_ELIMIT: more than SMX_OS_GLOB_MAX. SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_glob(const char *pattern, char ***ret_paths, size_t *ret_count);

/* What tells one version of a file from the next. */
struct smx_os_stamp {
	int64_t mtime_ns;
	int64_t changed_ns; /* of content or permissions, as the system counts it; 0: it doesn't */
	uint64_t size, inode, device;
};

/* Of the file itself (a symlink's target); for re-reading on change, not a security check.
 * SMX_ENOTFOUND, SMX_ESYS (a symlink to nothing too, which is not the same as no file). */
int smx_os_file_stamp(const char *path, struct smx_os_stamp *ret);
int smx_os_stamp_equal(const struct smx_os_stamp *a, const struct smx_os_stamp *b);
/*
 * 1 if there is a regular file, or a symlink to one; 0 if it is something else: a directory, or a
 * FIFO or device, which another program that is told to read it might wait for without end.
 * SMX_ENOTFOUND, SMX_ESYS (it can't be told), SMX_ENOMEM. Never waits.
 */
int smx_os_file_is_regular(const char *path);

#define SMX_OS_LIST_MAX 256

/*
 * Names (no directory part), sorted, of the id_*.pub in a directory that is walked as above (L5).
 * At most SMX_OS_LIST_MAX; free with smx_os_names_free. None is no error (count 0); a missing
 * directory is SMX_ENOTFOUND.
 */
int smx_os_list_public_keys(
	const char *dir, char ***ret_names, size_t *ret_count, struct smx_buf *err);
void smx_os_names_free(char **names, size_t count);

/* ---- IPC endpoints (S5, S6) ----------------------------------------------------------------- */

struct smx_os_ipc_server;

/*
 * Listens at a path of smx_os_control_path; the endpoint is for our own user only (mode 0600).
 * A lock file beside it is held while the server lives, so of two starters one gets SMX_EEXISTS,
 * and a socket left over by a dead daemon is replaced, a live one never.
 * SMX_EEXISTS (a daemon runs), SMX_EDENIED (the name is another program's), SMX_EUNSAFE, SMX_ESYS,
 * SMX_ENOMEM.
 */
int smx_os_ipc_listen(const char *path, struct smx_os_ipc_server **ret, struct smx_buf *err);
/* The listening descriptor, for an event loop to poll; non-blocking, not inherited by children, the
 * server's. -1 where there is none (Windows). */
int smx_os_ipc_server_fd(const struct smx_os_ipc_server *s);
/*
 * Without a listening descriptor clients are waited for by a thread, which calls wake(arg) when one
 * is there (uv_async_send). SMX_ESYS; SMX_EUNSUPPORTED where there is a descriptor.
 */
int smx_os_ipc_server_start(struct smx_os_ipc_server *s, void (*wake)(void *arg), void *arg);
/*
 * Takes the next client; *ret_fd is the caller's. SMX_EAGAIN: there is none. SMX_ELIMIT: the system
 * has no descriptor or memory for it at the moment; it waits in the queue. SMX_ESYS.
 */
int smx_os_ipc_server_accept(struct smx_os_ipc_server *s, int *ret_fd);
/*
 * No more clients: removes the endpoint, if it is still this server's. The lock stays until _free,
 * so that a daemon which is started meanwhile waits for the end of this one instead of running
 * beside it (smx_os_ipc_listen waits SMX_OS_ENDING_MS for such a one).
 */
void smx_os_ipc_server_close(struct smx_os_ipc_server *s);
#define SMX_OS_ENDING_MS 3000
/* As _close, and lets the lock go. NULL works. */
void smx_os_ipc_server_free(struct smx_os_ipc_server *s);

/* handle: the system's own, which is the descriptor but on Windows.
 * 0 if the other end of an accepted connection runs as our user or as root; SMX_EDENIED, SMX_ESYS.
 * ret_pid (may be NULL): its process id, or -1 where the system does not tell. */
int smx_os_ipc_peer_check(intptr_t handle, int64_t *ret_pid);

/*
 * Connects to a server, which must run as our user or as root (a client checks too: nobody may
 * pose as the daemon). The descriptor is non-blocking; use the calls below or an event loop.
 * SMX_ENOTFOUND (no daemon runs), SMX_EDENIED, SMX_EUNSAFE, SMX_ETIMEOUT, SMX_ESYS.
 */
int smx_os_ipc_connect(const char *path, int timeout_ms, int *ret_fd, struct smx_buf *err);
/* Reads what there is, at most size bytes. SMX_EEOF, SMX_ETIMEOUT, SMX_ESYS. */
int smx_os_ipc_read(int fd, void *p, size_t size, int timeout_ms, size_t *ret_len);
/* Writes everything. SMX_EEOF (the other side left), SMX_ETIMEOUT (no progress), SMX_ESYS. */
int smx_os_ipc_write(int fd, const void *p, size_t len, int timeout_ms);
void smx_os_ipc_close(int fd);

/* ---- the SSH agent (A1) ------------------------------------------------------------------------
 */

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

/* ---- sockets ----------------------------------------------------------------------------------
 */

/*
 * Best effort, for a TCP listener (and all it accepts) whose connections don't leave the machine:
 * the least costly congestion control. Where BBR is the system's choice its pacing would arm a
 * timer for every segment, which was a fifth of the daemon's CPU time in a bulk transfer.
 */
void smx_os_socket_stays_here(int64_t socket);
/*
 * Before the bind: nobody else can bind to the same address, whatever he asks for (L1). Where that
 * is so anyway, nothing is done. SMX_ESYS.
 */
int smx_os_socket_exclusive(int64_t socket);

/* ---- TCP clients of this machine (L1, U9) -----------------------------------------------------
 */

/*
 * A socket that listens on 127.0.0.1 (nothing else can be asked for), non-blocking, not inherited
 * by children, with what the two calls above do. SMX_EEXISTS (the port is taken), SMX_EDENIED (it
 * needs privileges), SMX_ESYS.
 */
int smx_os_tcp_listen(uint16_t port, int backlog, int64_t *ret_socket);
/*
 * Takes the next client of such a socket in; its socket is as that, and the caller's.
 * SMX_EAGAIN: there is none. SMX_ELIMIT: the system has no descriptor or no memory for it at the
 * moment; it waits in the queue. SMX_ESYS: anything else.
 */
int smx_os_tcp_accept(int64_t listener, int64_t *ret_socket);
void smx_os_tcp_close(int64_t socket);

/*
 * Whose the other ends are. SMX_EUNSUPPORTED: the system does not tell, or not at a price that a
 * flood of clients leaves bearable; SMX_ENOMEM.
 */
struct smx_os_tcp_peers;
int smx_os_tcp_peers_new(int64_t listener, struct smx_os_tcp_peers **ret);
/*
 * Does not block. 0: our user or root (the system's own account) opened the socket at the other
 * end. SMX_EDENIED: another user did. SMX_EEOF: it is closed already. SMX_ENOTFOUND: it is open,
 * but no process of this system's list has it. SMX_ESYS: the system could not tell this time.
 * ret_uid is set by the first two, to -1 where users have no numbers.
 */
int smx_os_tcp_peer_check(struct smx_os_tcp_peers *p, int64_t socket, int64_t *ret_uid);
void smx_os_tcp_peers_free(struct smx_os_tcp_peers *p); /* NULL works */

/* ---- looking, for `doctor`; nothing is made or changed -----------------------------------------
 */

/*
 * Connects by TCP; the limit counts for the name's resolution as well. The descriptor is for
 * smx_os_ipc_read, _write and _close. SMX_ENOTFOUND (no such host), SMX_EREFUSED (nobody listens
 * there), SMX_ETIMEOUT, SMX_ESYS, SMX_ENOMEM; err gets the reason alone ("connection refused").
 */
int smx_os_tcp_connect(
	const char *host, uint16_t port, int timeout_ms, int *ret_fd, struct smx_buf *err);

/* Who listens on 127.0.0.1. What the system does not tell stays unknown. */
struct smx_os_listener {
	int64_t pid; /* -1: not known, as it is of other users' */
	char program[64]; /* "" not known; as the process has it, not sanitised */
	char user[64]; /* "" not known */
	int is_mine; /* 1, 0, or -1: not known */
};
/* SMX_ENOTFOUND: nobody; SMX_EUNSUPPORTED: the system has no list of them. */
int smx_os_tcp_listener(uint16_t port, struct smx_os_listener *ret);

/* Where else the endpoint of smx_os_control_path could be. */
enum smx_os_where {
	SMX_OS_WHERE_HERE, /* what smx_os_control_path says in this environment */
	SMX_OS_WHERE_TMP, /* for a daemon without XDG_RUNTIME_DIR */
	SMX_OS_WHERE_LOGIN, /* for one of a login session */
	SMX_OS_WHERE_COUNT
};
/* SMX_ENOTFOUND: there is no such directory (err has no text); else as smx_os_control_path. */
int smx_os_control_look(
	const char *ssh_dir, enum smx_os_where where, char **ret_path, struct smx_buf *err);

/* Bytes that we could still write to the file system of a path. SMX_ENOTFOUND, SMX_ESYS. */
int smx_os_disk_free(const char *path, uint64_t *ret_bytes);
/*
 * Below which directory desktop programs keep a user's settings: $XDG_CONFIG_HOME if absolute, or
 * ~/.config; on macOS ~/Library/Application Support. Errors as smx_os_home.
 */
int smx_os_settings_dir(char **ret_path, struct smx_buf *err);

/* ---- process ----------------------------------------------------------------------------------
 */

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
/*
 * What a TCP socket has received so far is acknowledged now, where the system can be told so: a
 * peer that has not turned Nagle's algorithm off yet waits for it with its next small packet.
 */
void smx_os_tcp_ack_now(int64_t socket);
/*
 * What the system knows of a connected TCP socket's other end (U4): a peer that never answers our
 * probes is alive as long as its system acknowledges them.
 */
struct smx_os_tcp_acks {
	int64_t age_ms; /* since its last acknowledgement came; -1: the system does not tell */
	uint64_t unacked; /* bytes given to the socket and not acknowledged yet */
};
/* SMX_EUNSUPPORTED: the system tells nothing; SMX_ESYS: no such socket. */
int smx_os_tcp_acks(int64_t socket, struct smx_os_tcp_acks *ret);
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

/* ---- the start of the program, and advice for people -------------------------------------------
 */

/* The arguments of main() as UTF-8, for good. SMX_EINVAL: one can't be. SMX_ESYS, SMX_ENOMEM. */
int smx_os_args(int *argc, char ***argv);
/*
 * Once, at the start: what is written to the standard streams goes out as it is, byte for byte, and
 * a console shows it as UTF-8 and with colours. It is as before when the program ends.
 */
void smx_os_console_setup(void);
/* A variable of the environment in UTF-8, lent for good, as it is when first asked for; or NULL. */
const char *smx_os_getenv(const char *name);
/* A terminal that shows colours by escape sequences. */
int smx_os_terminal_has_colors(int fd);
/* The signals by which a user ends a program that serves: of i = 0, 1 …; 0 behind the last. */
int smx_os_end_signal(unsigned i);

/* The variable that says where our sockets are; NULL: none does. */
const char *smx_os_runtime_variable(void);
/* As one word of a command that is typed into a shell. One that does not fit is cut. */
void smx_os_quote(const char *text, char *out, size_t size);
/* Between two commands, of which the second is run if the first worked: " && ". */
const char *smx_os_then(void);

/* Of paths a and b, which are quoted. */
enum smx_os_advice {
	SMX_OS_ADVICE_MAKE_DIR, /* a, for oneself alone */
	SMX_OS_ADVICE_COPY, /* a to b, which nobody else can read */
	SMX_OS_ADVICE_MOVE, /* a to b */
	SMX_OS_ADVICE_APPEND, /* the content of a to b */
	SMX_OS_ADVICE_APPEND_LINE, /* the same, where b has no newline at its end */
	SMX_OS_ADVICE_ADD_KEY, /* some public key of the reader's to b */
	SMX_OS_ADVICE_APPEND_AGENT, /* the agent's first public key to b */
	SMX_OS_ADVICE_APPEND_AGENT_LINE,
	SMX_OS_ADVICE_MAKE_PRIVATE, /* the file a */
	SMX_OS_ADVICE_REPAIR_DIR, /* whose owner or permissions are wrong */
	SMX_OS_ADVICE_START_AGENT, /* one that is named, but not there */
	SMX_OS_ADVICE_END_PROCESS, /* of a daemon that hangs */
};
/* What to do, in words: mostly "run: …". */
void smx_os_advice(enum smx_os_advice what, const char *a, const char *b, char *out, size_t size);

/* ---- asking at the terminal (A6) ---------------------------------------------------------------
 */

/*
 * One question at the controlling terminal, which a worker thread can wait for and another
 * thread take back. The terminal is put back as it was in every case.
 */
struct smx_os_ask;

/* SMX_ENOTFOUND (there is no terminal), SMX_ESYS, SMX_ENOMEM. */
int smx_os_ask_new(struct smx_os_ask **ret);
/*
 * Writes text as it is (the caller has made it fit for a terminal) and reads a line, without echo
 * unless asked for. Blocks. The answer has no line end and is NUL-terminated.
 * SMX_ECANCELLED: Ctrl-C, Ctrl-D on an empty line, or smx_os_ask_cancel. SMX_ELIMIT: too long.
 */
int smx_os_ask_run(struct smx_os_ask *a, const char *text, int echo, char *ret_answer, size_t size);
/* From any thread, at any time before the free; a run to come is cancelled too. */
void smx_os_ask_cancel(struct smx_os_ask *a);
void smx_os_ask_free(struct smx_os_ask *a); /* NULL works */

/*
 * A question asked by a program of the user's, in a process of its own, so that the program goes on
 * meanwhile: at the controlling terminal, or by the SSH_ASKPASS of its environment (an editor's
 * input box). As ssh does, SSH_ASKPASS_REQUIRE decides: "force" and "prefer" take SSH_ASKPASS
 * first, "never" the terminal only; else the terminal if there is one. Before all that,
 * SSH_MUX_PINENTRY names a pinentry to use (an absolute path), which gets the terminal if there is
 * one.
 */
struct smx_os_asker;

/* Where the process would ask: nothing is shown. */
enum smx_os_asks {
	SMX_OS_ASKS_NOWHERE,
	SMX_OS_ASKS_PROGRAM, /* SSH_ASKPASS */
	SMX_OS_ASKS_PINENTRY,
	SMX_OS_ASKS_TERMINAL,
};
enum smx_os_asks smx_os_asker_place(void);
/*
 * is_confirm: yes or no is asked; an SSH_ASKPASS is told so by SSH_ASKPASS_PROMPT=confirm.
 * SMX_ENOTFOUND: there is no way to ask. SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_asker_start(const char *text, int echo, int is_confirm, struct smx_os_asker **ret);
/* A descriptor to read to its end, non-blocking; the caller takes it over. What it gives goes,
 * whole, to smx_os_asker_result. */
int smx_os_asker_take_fd(struct smx_os_asker *a);
/*
 * 0 and the answer (NUL-terminated), SMX_ECANCELLED, SMX_ENOTFOUND (it could not be asked after
 * all), SMX_ELIMIT. Ends the asker either way.
 */
int smx_os_asker_result(
	struct smx_os_asker *a, const char *bytes, size_t len, char *ret_answer, size_t size);
/* Takes the question back; the terminal is as it was. */
void smx_os_asker_cancel(struct smx_os_asker *a);

/* ---- the log file and the last words (D4) -------------------------------------------------------
 */

#define SMX_OS_LOG_MAX (5u << 20) /* bytes; then it becomes PATH.old */

/*
 * Opens a log for appending, made if missing; its directory is walked as above and made with mode
 * 0700 if missing. It must be a regular file of ours that has no other name, no symlink; its mode
 * is set to 0600. *ret_size: its length now. Errors as smx_os_file_read.
 */
int smx_os_log_open(const char *path, int *ret_fd, uint64_t *ret_size, struct smx_buf *err);
/*
 * Appends what was written behind `from`, or the end of it that `out` takes with a NUL of
 * smx_buf_cstr behind it; SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_log_read(int fd, uint64_t from, struct smx_buf *out);

/*
 * A log for writing lines to; several processes may have the same one. When it would be larger than
 * max_bytes it is renamed to PATH.old, which is replaced, and begun anew; and it is begun anew when
 * somebody renamed or removed it. Not for several threads.
 */
struct smx_os_log;

/*
 * As smx_os_log_open. takes_stderr: what is written to stderr goes to the log from now on. Where it
 * does so already (a shell's redirection) it goes on so, also when there is a new file.
 */
int smx_os_log_new(const char *path, uint64_t max_bytes, int takes_stderr, struct smx_os_log **ret,
	struct smx_buf *err);
/* 1: stderr is this log, so no line needs to be written to both. */
int smx_os_log_has_stderr(const struct smx_os_log *l);
/*
 * A line with its newline, in one piece. Takes no time but that of a write, and some 20 ms at most
 * where another process was stopped in the middle of its own. 0; 1: written, but the file is full
 * and can't be renamed (text in err); SMX_EUNSAFE, SMX_ENOTFOUND, SMX_ESYS: the line is lost, a
 * later one may not be.
 */
int smx_os_log_write(struct smx_os_log *l, const char *line, size_t len, struct smx_buf *err);
void smx_os_log_free(struct smx_os_log *l); /* NULL works */

/*
 * From now on a crash (a bad memory access, an assertion that failed …) is reported to stderr and
 * to the log of smx_os_log_new, if there is one, before the process ends as it would have: what
 * happened and where, as far as the system can tell without touching what may be broken; nothing
 * that was in memory. program: its name and version, borrowed for good. Does nothing where a
 * sanitizer reports.
 */
void smx_os_crash_install(const char *program);

/* ---- a question in a window of its own (A4, A5) -------------------------------------------------
 */

enum smx_os_window_kind {
	SMX_OS_WINDOW_NATIVE, /* a dialogue box of this very process */
	SMX_OS_WINDOW_SCRIPT, /* a console that the system's own shell asks in (PowerShell) */
};

/* Strings of UTF-8, in which "\n" ends a line; "" for what there is not. */
struct smx_os_window_question {
	const char *title;
	const char *text; /* who asks, what for */
	const char *label; /* before the field to type into; NULL: yes or no is asked */
	const char *error; /* what was wrong with the answer before */
};

/* Whether this system has such windows at all. */
int smx_os_has_window(void);
/*
 * Shows it and waits for the answer, which is masked. The window is gone when this returns, in any
 * case; soon after another thread has made *stop other than 0 it returns SMX_ECANCELLED. For a
 * question of yes or no, 0 is yes and SMX_ECANCELLED everything else.
 * SMX_ECANCELLED: closed, or given up. SMX_ELIMIT: the answer does not fit. SMX_ENOTFOUND: there is
 * no desktop, or no shell. SMX_EUNSUPPORTED: not on this system. SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_window_ask(enum smx_os_window_kind kind, const struct smx_os_window_question *q,
	const atomic_int *stop, char *ret_answer, size_t size);

/* ---- a daemon of our own (D1) ------------------------------------------------------------------
 */

/*
 * Runs this very program again, by the path the system has for it (never argv[0]), as `args`
 * (args[0] is the program's name, NULL at the end): detached from the terminal, in a session of its
 * own, in the root directory, with nothing of ours but the environment. It reads nothing, its
 * errors go to log_fd (-1: nowhere), and its output to *ret_fd, a non-blocking descriptor for
 * smx_os_ipc_read, which is at its end when the program has called smx_os_daemon_report or is gone.
 * SMX_ESYS, SMX_ENOMEM.
 */
int smx_os_spawn_daemon(const char *const *args, int log_fd, int *ret_fd, struct smx_buf *err);
/* Within it: tells who has started it one byte; what is printed goes to the log from then on. */
void smx_os_daemon_report(char what);

/* ---- service: the daemon from login on (C6) ----------------------------------------------------
 */

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

/* ---- the terminal as a session's (D2) ----------------------------------------------------------
 */

struct smx_os_terminal_size {
	uint32_t columns, rows, width, height; /* the latter two in pixels, 0: not known */
};
/* SMX_ENOTFOUND: fd is no terminal. */
int smx_os_terminal_size(int fd, struct smx_os_terminal_size *ret);
/* Appends its modes as RFC 4254 section 8 codes them, the end mark included. SMX_ENOTFOUND. */
int smx_os_terminal_modes(int fd, struct smx_buf *out);
/*
 * Every key comes as it is typed, and is not shown. Put back by _restore, and by any signal that
 * ends the process but SIGKILL; one terminal at a time. SMX_ENOTFOUND, SMX_ESYS.
 */
int smx_os_terminal_raw(int fd);
void smx_os_terminal_restore(void); /* no-op if it is as it was */
/*
 * The same for a view that fills the terminal: besides, `out` shows an empty screen without a
 * cursor, on which long lines are cut, until _restore brings the one before it back. It takes the
 * sequences of a VT100 and of xterm. After a stop and continue it is empty again: draw it anew.
 */
int smx_os_terminal_full(int in, int out);
/* Whether what the user's environment says of it makes UTF-8 the encoding of the terminal. */
int smx_os_terminal_is_utf8(void);

/*
 * Standard streams of any kind (files, pipes, terminals), for worker threads. The descriptors are
 * left as they are found: other programs may hold them too.
 */
struct smx_os_input;
/* Borrows fd. SMX_ENOMEM, SMX_ESYS. */
int smx_os_input_new(int fd, struct smx_os_input **ret);
/* Waits for some bytes. SMX_EEOF, SMX_ECANCELLED, SMX_ESYS. */
int smx_os_input_read(struct smx_os_input *in, void *p, size_t size, size_t *ret_len);
/* From any thread; a read to come is cancelled too. */
void smx_os_input_cancel(struct smx_os_input *in);
void smx_os_input_free(struct smx_os_input *in); /* NULL works */
/* Writes everything. SMX_EEOF (nobody reads it any more), SMX_ESYS. */
int smx_os_output_write(int fd, const void *p, size_t len);

#endif
