/* SPDX-License-Identifier: MIT */
/* The daemon's side of the helper (os/helper.h). */
#include "os/file.h"
#include "os/helper.h"
#include "os/ipc.h"
#include "os/path.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#ifdef __linux__
#include <sys/prctl.h>
#include <sys/wait.h>

#define STOP_MS    500
#define RESULT_MS  (60 * 1000) /* of a line in a file, which others may lock */
#define RESULT_MAX (3 * SMX_OS_PATH_MAX)
#define ANSWER_MS  (10 * 1000) /* a program on a dead mount must not hold up everybody for good */

static struct {
	pthread_mutex_t mutex; /* one question at a time */
	int ask, ends; /* -1: none */
	pid_t pid;
} helper = { PTHREAD_MUTEX_INITIALIZER, -1, -1, -1 };

/* ---- start and end ----------------------------------------------------------------------------
 */

/* In the child. Its sockets have numbers of their own from the start. */
static void become_helper(const char *path, const char *const *args, int ask, int ends)
{
	int null;

	/* A Ctrl-C at the daemon's terminal is the daemon's; so is its end. */
	if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		_exit(127);
	smx_unix_reset_signals();
	if ((null = open("/dev/null", O_RDWR)) < 0 ||
		(ask = fcntl(ask, F_DUPFD, SMX_UNIX_HELPER_ENDS + 1)) < 0 ||
		(ends = fcntl(ends, F_DUPFD, SMX_UNIX_HELPER_ENDS + 1)) < 0 || dup2(null, 0) < 0 ||
		dup2(null, 1) < 0 || dup2(ask, SMX_UNIX_HELPER_ASK) < 0 ||
		dup2(ends, SMX_UNIX_HELPER_ENDS) < 0)
		_exit(127);
	smx_unix_close_from(SMX_UNIX_HELPER_ENDS + 1);
	(void)execv(path, (char *const *)(uintptr_t)args);
	_exit(127);
}

int smx_os_helper_start(const char *const *args)
{
	int ask[2] = { -1, -1 }, ends[2] = { -1, -1 }, r = SMX_ESYS;
	const int type = SOCK_SEQPACKET | SOCK_CLOEXEC;
	char *path = NULL;

	if (helper.ask >= 0)
		return SMX_EEXISTS;
	if ((r = smx_unix_own_path(&path)) != 0)
		return r;
	smx_unix_keep_children();
	r = SMX_ESYS;
	if (socketpair(AF_UNIX, type, 0, ask) == 0 && socketpair(AF_UNIX, type, 0, ends) == 0 &&
		fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 && (helper.pid = fork()) >= 0)
		r = 0;
	if (r == 0 && helper.pid == 0)
		become_helper(path, args, ask[1], ends[1]);
	smx_free(path);
	for (int i = r == 0; i < 2; i++) {
		if (ask[i] >= 0)
			(void)close(ask[i]);
		if (ends[i] >= 0)
			(void)close(ends[i]);
	}
	if (r == 0) {
		helper.ask = ask[0];
		helper.ends = ends[0];
	}
	return r;
}

int smx_os_helper_is_there(void)
{
	return helper.ask >= 0;
}

void smx_os_helper_stop(void)
{
	if (helper.ask < 0)
		return;
	(void)close(helper.ask);
	(void)close(helper.ends);
	helper.ask = helper.ends = -1;
	/* One that hangs on a dead mount is not waited for: it ends when we have. */
	for (int i = 0; i < STOP_MS && waitpid(helper.pid, NULL, WNOHANG) == 0; i++)
		smx_os_sleep_ms(1);
}

int smx_os_helper_ends_fd(void)
{
	return helper.ends;
}

/* ---- questions --------------------------------------------------------------------------------
 */

static int send_request(const struct smx_helper_request *q, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(SMX_HELPER_FDS * sizeof(int))];
	} control = { .room = { 0 } };
	struct msghdr msg = { .msg_iovlen = 1 };
	struct iovec iov;
	struct smx_buf text;
	ssize_t n;
	int e = 0;

	smx_buf_init(&text, SMX_HELPER_MESSAGE_MAX);
	if (smx_helper_request_build(&text, q) != 0) {
		smx_buf_release(&text);
		return E2BIG;
	}
	iov = (struct iovec){ text.data + text.off, smx_buf_len(&text) };
	msg.msg_iov = &iov;
	if (n_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, n_fds * sizeof(int));
	}
	do {
		n = sendmsg(helper.ask, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		e = errno;
	smx_buf_release(&text);
	return e;
}

/* 0 or an errno; ret_fd: -1 if none came. */
static int receive_answer(struct smx_helper_answer *ret, int *ret_fd)
{
	struct pollfd p = { .fd = helper.ask, .events = POLLIN };
	uint64_t start = smx_os_monotonic_ms(), gone = 0;
	uint8_t text[2 * SMX_OS_PATH_MAX + 64];
	size_t n, n_fds;
	int r = 0;

	while (gone < ANSWER_MS && (r = poll(&p, 1, (int)(ANSWER_MS - gone))) < 0 && errno == EINTR)
		gone = smx_os_monotonic_ms() - start;
	if (r <= 0)
		return ETIMEDOUT;
	*ret_fd = -1;
	if (smx_unix_receive(helper.ask, text, sizeof(text), &n, ret_fd, 1, &n_fds) != 0)
		return EPIPE;
	if (smx_helper_answer_parse((struct smx_view){ text, n }, ret) == 0)
		return 0;
	if (n_fds)
		(void)close(*ret_fd);
	*ret_fd = -1;
	return EPROTO;
}

/*
 * An answer that did not come in time would be taken for that to the next question: nothing is
 * asked any more then.
 */
static int ask_locked(const struct smx_helper_request *q, const int *fds, size_t n_fds,
	struct smx_helper_answer *ret, int *ret_fd)
{
	int e;

	if (helper.ask < 0)
		return ENOSYS;
	if ((e = send_request(q, fds, n_fds)) != 0)
		return e;
	if ((e = receive_answer(ret, ret_fd)) != 0)
		(void)shutdown(helper.ask, SHUT_RDWR);
	return e;
}

/* 0 and an answer whose error is 0, or an errno. ret_fd may be NULL: none is wanted. */
static int ask(const struct smx_helper_request *q, const int *fds, size_t n_fds,
	struct smx_helper_answer *ret, int *ret_fd)
{
	struct smx_helper_answer a = { .error = 0 };
	int e, fd = -1;

	(void)pthread_mutex_lock(&helper.mutex);
	e = ask_locked(q, fds, n_fds, &a, &fd);
	(void)pthread_mutex_unlock(&helper.mutex);
	if (e == 0)
		e = (int)a.error;
	if (fd >= 0 && (e != 0 || !ret_fd))
		(void)close(fd);
	else if (ret_fd && e == 0)
		*ret_fd = fd;
	if (ret && e == 0)
		*ret = a;
	else
		smx_helper_answer_release(&a);
	return e == 0 && ret_fd && fd < 0 ? EPROTO : e;
}

int smx_os_helper_stream(int ret_fds[2])
{
	int fds[2], e;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return errno;
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0) {
		e = errno;
		(void)close(fds[0]);
		(void)close(fds[1]);
		return e;
	}
	memcpy(ret_fds, fds, sizeof(fds));
	return 0;
}

int smx_os_helper_run(struct smx_helper_request *q, const int fds[SMX_HELPER_FDS], uint64_t *ret_id)
{
	struct smx_helper_answer a;
	int sent[SMX_HELPER_FDS], e;
	size_t n = 0;

	q->fd_mask = 0;
	for (unsigned i = 0; i < SMX_HELPER_FDS; i++) {
		if (fds[i] < 0)
			continue;
		q->fd_mask |= (uint8_t)(1u << i);
		sent[n++] = fds[i];
	}
	if ((e = ask(q, sent, n, &a, NULL)) != 0)
		return e;
	*ret_id = a.id;
	smx_helper_answer_release(&a);
	return 0;
}

void smx_os_helper_kill(uint64_t id, int signal, int is_group)
{
	const struct smx_helper_request q = { .op = SMX_HELPER_KILL,
		.id = id,
		.signal = (uint8_t)signal,
		.is_group = is_group != 0 };

	(void)ask(&q, NULL, 0, NULL, NULL);
}

int smx_os_helper_next_end(uint64_t *ret_id, int *ret_status, int *ret_signal)
{
	uint8_t text[SMX_HELPER_END_LEN + 1];
	uint32_t status, signal;
	ssize_t n;

	do {
		n = recv(helper.ends, text, sizeof(text), MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return SMX_EAGAIN;
	if (n <= 0 || smx_helper_end_parse(
			      (struct smx_view){ text, (size_t)n }, ret_id, &status, &signal) != 0)
		return SMX_EEOF;
	*ret_status = (int)status;
	*ret_signal = (int)signal;
	return 0;
}

/* ---- what else the daemon gives up (unix.h) ---------------------------------------------------
 */

int smx_unix_listen(int fd, int backlog)
{
	const struct smx_helper_request q = { .op = SMX_HELPER_LISTEN,
		.backlog = (uint32_t)backlog };
	int e;

	if (!smx_os_helper_is_there())
		return listen(fd, backlog);
	if ((e = ask(&q, &fd, 1, NULL, NULL)) == 0)
		return 0;
	errno = e;
	return -1;
}

int smx_unix_unlink_socket(const char *path)
{
	const struct smx_helper_request q = {
		.op = SMX_HELPER_UNLINK, .args = { path, NULL }, .n_args = 1
	};
	int e;

	if (!smx_os_helper_is_there())
		return unlink(path);
	if ((e = ask(&q, NULL, 0, NULL, NULL)) == 0)
		return 0;
	errno = e;
	return -1;
}

int smx_unix_reopen(int fd, int how)
{
	const struct smx_helper_request q = { .op = SMX_HELPER_REOPEN, .key = (uint8_t)how };
	int e, again;

	if (!smx_os_helper_is_there())
		return smx_unix_reopen_here(fd, how);
	if ((e = ask(&q, &fd, 1, NULL, &again)) == 0)
		return again;
	errno = e;
	return -1;
}

int smx_unix_helper_open(const char *path)
{
	const struct smx_helper_request q = {
		.op = SMX_HELPER_OPEN, .args = { path, NULL }, .n_args = 1
	};
	int e, fd;

	if ((e = ask(&q, NULL, 0, NULL, &fd)) == 0)
		return fd;
	errno = e;
	return -1;
}

int smx_unix_helper_log_open(void)
{
	const struct smx_helper_request q = { .op = SMX_HELPER_LOG_OPEN };
	int e, fd;

	if ((e = ask(&q, NULL, 0, NULL, &fd)) == 0)
		return fd;
	errno = e;
	return -1;
}

int smx_unix_helper_log_rename(void)
{
	const struct smx_helper_request q = { .op = SMX_HELPER_LOG_RENAME };
	int e;

	if ((e = ask(&q, NULL, 0, NULL, NULL)) == 0)
		return 0;
	errno = e;
	return -1;
}

/* Until its end, which comes with the end of the process at the other side. */
static int read_result(int fd, struct smx_helper_result *ret, struct smx_buf *err)
{
	uint64_t start = smx_os_monotonic_ms();
	uint8_t text[RESULT_MAX];
	size_t len = 0, n = 0;
	int r = 0;

	while (r == 0 && len < sizeof(text)) {
		uint64_t gone = smx_os_monotonic_ms() - start;

		if (gone >= RESULT_MS)
			return SMX_ETIMEOUT;
		if ((r = smx_os_ipc_read(
			     fd, text + len, sizeof(text) - len, (int)(RESULT_MS - gone), &n)) == 0)
			len += n;
	}
	if (r != SMX_EEOF)
		return r == 0 ? SMX_ELIMIT : r;
	if (smx_helper_result_parse((struct smx_view){ text, len }, ret, err) != 0)
		return SMX_ESYS;
	return ret->code;
}

static int ask_for_edit(
	const struct smx_helper_request *q, struct smx_helper_result *ret, struct smx_buf *err)
{
	int pair[2], e, r = SMX_ESYS;

	if ((e = smx_os_helper_stream(pair)) == 0) {
		e = ask(q, &pair[1], 1, NULL, NULL);
		(void)close(pair[1]);
		if (e == 0)
			r = read_result(pair[0], ret, err);
		(void)close(pair[0]);
	}
	if (e != 0)
		smx_unix_say(err, "the helper does not write to %s: %s", q->args[0], strerror(e));
	return r;
}

static int ask_for_text(
	enum smx_helper_op op, const char *path, const char *text, struct smx_buf *err)
{
	const struct smx_helper_request q = { .op = op, .args = { path, text, NULL }, .n_args = 2 };
	struct smx_helper_result result;

	return ask_for_edit(&q, &result, err);
}

int smx_os_helper_append_line(const char *path, const char *line, struct smx_buf *err)
{
	if (!smx_os_helper_is_there())
		return smx_os_file_append_line(path, line, err);
	return ask_for_text(SMX_HELPER_APPEND, path, line, err);
}

int smx_os_helper_keep(const char *path, const char *text, struct smx_buf *err)
{
	if (!smx_os_helper_is_there())
		return smx_os_file_write_atomic(path, text, strlen(text), 0600, err);
	return ask_for_text(SMX_HELPER_KEEP, path, text, err);
}

int smx_os_helper_rotate(const struct smx_helper_request *q, unsigned *ret_removed,
	unsigned *ret_added, struct smx_buf *err)
{
	struct smx_helper_result result;
	int r = ask_for_edit(q, &result, err);

	if (r == 0) {
		*ret_removed = result.n_removed;
		*ret_added = result.n_added;
	}
	return r;
}

static struct smx_helper_request about(enum smx_helper_op op, pid_t pid, uint64_t start)
{
	return (struct smx_helper_request){ .op = op, .pid = pid, .start = start };
}

int smx_unix_helper_caller_fd(enum smx_helper_op op, pid_t pid, uint64_t start, int *ret_fd)
{
	const struct smx_helper_request q = about(op, pid, start);

	return ask(&q, NULL, 0, NULL, ret_fd) == 0 ? 0 : SMX_ENOTFOUND;
}

int smx_unix_helper_caller_program(pid_t pid, uint64_t start, char **ret_path, char **ret_dir)
{
	const struct smx_helper_request q = about(SMX_HELPER_CALLER_PROGRAM, pid, start);
	struct smx_helper_answer a;

	if (ask(&q, NULL, 0, &a, NULL) != 0)
		return SMX_ENOTFOUND;
	if (!a.texts[0] || !a.texts[1]) {
		smx_helper_answer_release(&a);
		return SMX_ENOTFOUND;
	}
	*ret_path = a.texts[0];
	*ret_dir = a.texts[1];
	return 0;
}

void smx_unix_helper_caller_press(pid_t pid, uint64_t start, enum smx_os_key key)
{
	struct smx_helper_request q = about(SMX_HELPER_CALLER_PRESS, pid, start);

	q.key = (uint8_t)key;
	(void)ask(&q, NULL, 0, NULL, NULL);
}

#else

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

int smx_unix_listen(int fd, int backlog)
{
	return listen(fd, backlog);
}

int smx_unix_unlink_socket(const char *path)
{
	return unlink(path);
}

int smx_unix_reopen(int fd, int how)
{
	return smx_unix_reopen_here(fd, how);
}

int smx_unix_helper_open(const char *path)
{
	(void)path;
	errno = ENOSYS;
	return -1;
}

int smx_unix_helper_log_open(void)
{
	errno = ENOSYS;
	return -1;
}

int smx_unix_helper_log_rename(void)
{
	errno = ENOSYS;
	return -1;
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

int smx_unix_helper_caller_fd(enum smx_helper_op op, pid_t pid, uint64_t start, int *ret_fd)
{
	(void)op;
	(void)pid;
	(void)start;
	(void)ret_fd;
	return SMX_EUNSUPPORTED;
}

int smx_unix_helper_caller_program(pid_t pid, uint64_t start, char **ret_path, char **ret_dir)
{
	(void)pid;
	(void)start;
	(void)ret_path;
	(void)ret_dir;
	return SMX_EUNSUPPORTED;
}

void smx_unix_helper_caller_press(pid_t pid, uint64_t start, enum smx_os_key key)
{
	(void)pid;
	(void)start;
	(void)key;
}

#endif
