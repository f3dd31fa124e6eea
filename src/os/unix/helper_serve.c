/* SPDX-License-Identifier: MIT */
/*
 * The helper itself (os/helper.h): one question after the other, no threads, no secrets. What comes
 * is judged as a stranger's: the policy decides which programs are started, a listener must be
 * bound to this machine alone, and only sockets are removed.
 */
#include "os/helper.h"
#include "os/path.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#ifdef __linux__

#define CHILDREN_MAX 256
#define STATUS_FD    SMX_HELPER_FDS /* in the child: says why the program can't be executed */
#define ABOVE_FD     16 /* out of the way of the numbers that a child's descriptors get */

extern char **environ;

struct child {
	uint64_t id; /* 0: free */
	pid_t pid; /* 0: it has ended, and the daemon is not told yet */
	int status, signal;
};

struct server {
	const struct smx_os_helper_policy *policy;
	struct child children[CHILDREN_MAX];
	uint64_t last_id;
};

/* What an answer consists of. */
struct reply {
	int error;
	uint64_t id;
	char *texts[2];
	int fd; /* -1: none */
};

/* ---- running -----------------------------------------------------------------------------------
 */

/* In the child. fds: those of the program, -1 for /dev/null. */
static void become(const struct smx_os_helper_plan *plan, const int fds[SMX_HELPER_FDS], int status)
{
	int own[SMX_HELPER_FDS], null, error;

	(void)setsid(); /* no terminal, and one group to be ended */
	smx_unix_reset_signals();
	if ((status = fcntl(status, F_DUPFD, ABOVE_FD)) < 0 ||
		(null = open("/dev/null", O_RDWR)) < 0 ||
		(null = fcntl(null, F_DUPFD, ABOVE_FD)) < 0)
		_exit(127);
	for (int i = 0; i < SMX_HELPER_FDS; i++)
		own[i] = fds[i] < 0 ? (i < 3 ? null : -1) : fcntl(fds[i], F_DUPFD, ABOVE_FD);
	for (int i = 0; i < SMX_HELPER_FDS; i++) {
		if (own[i] < 0)
			(void)close(i);
		else if (dup2(own[i], i) < 0)
			_exit(127);
	}
	if (dup2(status, STATUS_FD) < 0)
		_exit(127);
	smx_unix_close_from(STATUS_FD + 1);
	(void)fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC);
	error = plan->dir && chdir(plan->dir) != 0 ? errno : 0;
	if (error == 0) {
		if (plan->env)
			environ = (char **)(uintptr_t)plan->env;
		(void)execvp(plan->file, (char *const *)(uintptr_t)plan->args);
		error = errno;
	}
	(void)!write(STATUS_FD, &error, sizeof(error));
	_exit(127);
}

/* 0 or an errno; the child is reaped if it could not become the program. */
static int start(
	const struct smx_os_helper_plan *plan, const int fds[SMX_HELPER_FDS], pid_t *ret_pid)
{
	int status[2], error = 0;
	pid_t pid;
	ssize_t n;

	if (pipe2(status, O_CLOEXEC) != 0)
		return errno;
	if ((pid = fork()) == 0)
		become(plan, fds, status[1]);
	error = pid < 0 ? errno : 0;
	(void)close(status[1]);
	if (pid > 0) {
		do {
			n = read(status[0], &error, sizeof(error));
		} while (n < 0 && errno == EINTR);
		if (n != (ssize_t)sizeof(error))
			error = 0;
	}
	(void)close(status[0]);
	if (pid > 0 && error != 0) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (error == 0)
		*ret_pid = pid;
	return error;
}

static struct child *free_child(struct server *s)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (s->children[i].id == 0)
			return &s->children[i];
	return NULL;
}

static int run(
	struct server *s, const struct smx_helper_request *q, const int *sent, struct reply *ret)
{
	int fds[SMX_HELPER_FDS], e;
	struct child *c = free_child(s);
	struct smx_os_helper_plan plan;
	size_t at = 0;
	pid_t pid = -1;

	if (!c)
		return EAGAIN;
	for (unsigned i = 0; i < SMX_HELPER_FDS; i++)
		fds[i] = q->fd_mask >> i & 1 ? sent[at++] : -1;
	if ((e = s->policy->decide(s->policy->arg, q, &plan)) != 0)
		return e;
	if ((e = start(&plan, fds, &pid)) == 0) {
		*c = (struct child){ .id = ++s->last_id, .pid = pid };
		ret->id = c->id;
	}
	s->policy->release(s->policy->arg, &plan);
	return e;
}

/* In a process of its own, since others may hold the lock for a while; its end is nobody's news. */
static int edit_file(struct server *s, const struct smx_helper_request *q, int out)
{
	struct smx_helper_result result = { .code = 0 };
	struct child *c = free_child(s);
	struct smx_buf err, text;
	pid_t pid;

	if (!c)
		return EAGAIN;
	if (!s->policy->may_edit(s->policy->arg, q))
		return EPERM;
	if ((pid = fork()) < 0)
		return errno;
	if (pid > 0) {
		*c = (struct child){ .id = ++s->last_id, .pid = pid };
		return 0;
	}
	(void)close(SMX_UNIX_HELPER_ASK);
	(void)close(SMX_UNIX_HELPER_ENDS);
	smx_unix_reset_signals();
	smx_buf_init(&err, 2 * SMX_OS_PATH_MAX);
	smx_buf_init(&text, 3 * SMX_OS_PATH_MAX);
	s->policy->edit(s->policy->arg, q, &result, &err);
	if (smx_helper_result_build(&text, &result,
		    smx_buf_len(&err) && smx_buf_cstr(&err) ? smx_buf_cstr(&err) : "") == 0)
		(void)!write(out, smx_buf_view(&text), smx_buf_len(&text));
	_exit(0);
}

/* The daemon's own, whose name it has no say about. */
static int about_log(struct server *s, const struct smx_helper_request *q, struct reply *ret)
{
	if (!s->policy->log_path)
		return EPERM;
	if (q->op == SMX_HELPER_LOG_RENAME)
		return smx_unix_log_rename(s->policy->log_path);
	return smx_unix_log_open(s->policy->log_path, &ret->fd);
}

/* It is not reaped yet, so its number is nobody else's. */
static int signal_child(struct server *s, const struct smx_helper_request *q)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		const struct child *c = &s->children[i];

		if (c->id != q->id || !c->pid)
			continue;
		if (q->is_group && kill(-c->pid, q->signal) == 0)
			return 0;
		return kill(c->pid, q->signal) == 0 ? 0 : errno;
	}
	return ESRCH;
}

static void reap(struct server *s)
{
	int status;

	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *c = &s->children[i];

		if (!c->pid || waitpid(c->pid, &status, WNOHANG) != c->pid)
			continue;
		c->pid = 0;
		c->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
		c->status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	}
}

/* 1: more to tell, when there is room. */
static int tell_ends(struct server *s)
{
	struct smx_buf text;
	ssize_t n = 0;

	for (size_t i = 0; i < CHILDREN_MAX && n >= 0; i++) {
		struct child *c = &s->children[i];

		if (!c->id || c->pid)
			continue;
		smx_buf_init(&text, SMX_HELPER_END_LEN);
		if (smx_helper_end_build(&text, c->id, (uint32_t)c->status, (uint32_t)c->signal) !=
			0)
			return 1;
		n = send(SMX_UNIX_HELPER_ENDS, smx_buf_view(&text), smx_buf_len(&text),
			MSG_DONTWAIT | MSG_NOSIGNAL);
		smx_buf_release(&text);
		if (n >= 0)
			*c = (struct child){ .id = 0 };
	}
	return n < 0;
}

/* ---- the others --------------------------------------------------------------------------------
 */

/* L1: an address that this machine alone can reach, or a path. */
static int is_local(int fd)
{
	static const struct in6_addr one = IN6ADDR_LOOPBACK_INIT;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_storage room;
	} a = { .room = { .ss_family = AF_UNSPEC } };
	socklen_t n = sizeof(a);

	if (getsockname(fd, &a.any, &n) != 0)
		return 0;
	switch (a.any.sa_family) {
	case AF_UNIX:
		return n > sizeof(sa_family_t) && n <= sizeof(a) &&
		       ((const char *)&a)[sizeof(sa_family_t)] == '/';
	case AF_INET:
		return ntohl(a.v4.sin_addr.s_addr) >> 24 == 127;
	case AF_INET6:
		return memcmp(&a.v6.sin6_addr, &one, sizeof(one)) == 0;
	default:
		return 0;
	}
}

/* Bound once, a socket stays where it is: nothing can change between the look and the call. */
static int listen_there(int fd, const struct smx_helper_request *q)
{
	if (!is_local(fd))
		return EPERM;
	return listen(fd, (int)q->backlog) == 0 ? 0 : errno;
}

static int unlink_there(const char *path)
{
	struct stat st;

	if (path[0] != '/' || lstat(path, &st) != 0)
		return path[0] != '/' ? EPERM : errno;
	if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
		return EPERM;
	return unlink(path) == 0 ? 0 : errno;
}

/* No more than the daemon has: the same pipe in the same direction, or the same terminal. */
static int reopen_there(int fd, const struct smx_helper_request *q, struct reply *ret)
{
	int flags = fcntl(fd, F_GETFL), wanted = q->key == SMX_HELPER_WRITE ? O_WRONLY : O_RDONLY;
	struct stat st;

	if (flags < 0 || fstat(fd, &st) != 0)
		return EBADF;
	flags &= O_ACCMODE;
	if (!(S_ISCHR(st.st_mode) && isatty(fd)) &&
		!(S_ISFIFO(st.st_mode) && q->key != SMX_HELPER_READ_WRITE &&
			(flags == wanted || flags == O_RDWR)))
		return EPERM;
	ret->fd = smx_unix_reopen_here(fd, q->key);
	return ret->fd >= 0 ? 0 : errno;
}

/* What it is, and whose, the daemon looks at (smx_unix_check_file). */
static int open_there(struct server *s, const char *path, struct reply *ret)
{
	if (!s->policy->may_read(s->policy->arg, path))
		return EPERM;
	ret->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return ret->fd >= 0 ? 0 : errno;
}

static int about_caller(const struct smx_helper_request *q, struct reply *ret)
{
	struct smx_os_caller *c;
	int r;

	if (smx_os_caller_known(q->pid, q->start, &c) != 0)
		return ESRCH;
	if (q->op == SMX_HELPER_CALLER_ENV)
		r = smx_unix_caller_open_env(c, &ret->fd);
	else if (q->op == SMX_HELPER_CALLER_PROGRAM)
		r = smx_os_caller_program(c, &ret->texts[0], &ret->texts[1]);
	else if (q->op == SMX_HELPER_CALLER_TTY)
		r = smx_os_caller_open_tty(c, NULL, 0, &ret->fd);
	else
		r = 0;
	if (q->op == SMX_HELPER_CALLER_PRESS)
		smx_os_caller_press(c, (enum smx_os_key)q->key);
	smx_os_caller_free(c);
	return r == 0 ? 0 : ESRCH;
}

static int answer_to(struct server *s, const struct smx_helper_request *q, const int *fds,
	size_t n_fds, struct reply *ret)
{
	if (smx_helper_request_fds(q) != n_fds)
		return EPROTO;
	switch (q->op) {
	case SMX_HELPER_RUN:
		return run(s, q, fds, ret);
	case SMX_HELPER_KILL:
		return signal_child(s, q);
	case SMX_HELPER_LISTEN:
		return listen_there(fds[0], q);
	case SMX_HELPER_LOG_OPEN:
	case SMX_HELPER_LOG_RENAME:
		return about_log(s, q, ret);
	case SMX_HELPER_APPEND:
	case SMX_HELPER_ROTATE:
	case SMX_HELPER_KEEP:
		return edit_file(s, q, fds[0]);
	case SMX_HELPER_REOPEN:
		return reopen_there(fds[0], q, ret);
	case SMX_HELPER_UNLINK:
		return unlink_there(q->args[0]);
	case SMX_HELPER_OPEN:
		return open_there(s, q->args[0], ret);
	default:
		return about_caller(q, ret);
	}
}

/* ---- its life ----------------------------------------------------------------------------------
 */

/* 0 or SMX_EEOF. */
static int send_reply(struct reply *reply)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct msghdr msg = { .msg_iovlen = 1 };
	struct iovec iov;
	struct smx_buf text;
	ssize_t n = -1;

	smx_buf_init(&text, SMX_HELPER_MESSAGE_MAX);
	if (smx_helper_answer_build(&text, (uint32_t)reply->error, reply->id, reply->texts[0],
		    reply->texts[1]) == 0) {
		iov = (struct iovec){ text.data + text.off, smx_buf_len(&text) };
		msg.msg_iov = &iov;
		if (reply->fd >= 0) {
			msg.msg_control = &control;
			msg.msg_controllen = sizeof(control.room);
			control.head.cmsg_level = SOL_SOCKET;
			control.head.cmsg_type = SCM_RIGHTS;
			control.head.cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(&control.head), &reply->fd, sizeof(int));
		}
		do {
			n = sendmsg(SMX_UNIX_HELPER_ASK, &msg, MSG_NOSIGNAL);
		} while (n < 0 && errno == EINTR);
	}
	smx_buf_release(&text);
	return n >= 0 ? 0 : SMX_EEOF;
}

/* One question. 0, or SMX_EEOF: there is nobody who asks any more, or none we know. */
static int serve_one(struct server *s, uint8_t *text)
{
	struct smx_helper_request q;
	struct reply reply = { .fd = -1 };
	int fds[SMX_HELPER_FDS], r;
	size_t n, n_fds = 0;

	if ((r = smx_unix_receive(SMX_UNIX_HELPER_ASK, text, SMX_HELPER_MESSAGE_MAX + 1, &n, fds,
		     SMX_HELPER_FDS, &n_fds)) != 0)
		return SMX_EEOF;
	if (n == 0 || n > SMX_HELPER_MESSAGE_MAX ||
		smx_helper_request_parse((struct smx_view){ text, n }, &q) != 0) {
		r = SMX_EEOF;
	} else {
		reply.error = answer_to(s, &q, fds, n_fds, &reply);
		smx_helper_request_release(&q);
	}
	for (size_t i = 0; i < n_fds; i++)
		(void)close(fds[i]);
	if (r == 0)
		r = send_reply(&reply);
	if (reply.fd >= 0)
		(void)close(reply.fd);
	smx_free(reply.texts[0]);
	smx_free(reply.texts[1]);
	return r;
}

static void on_child(int signum)
{
	(void)signum; /* it ends the wait */
}

/* Both sockets are there, and are such ones. */
static int was_started(void)
{
	int type = 0;
	socklen_t n = sizeof(type);

	if (getsockopt(SMX_UNIX_HELPER_ASK, SOL_SOCKET, SO_TYPE, &type, &n) != 0 ||
		type != SOCK_SEQPACKET)
		return 0;
	n = sizeof(type);
	return getsockopt(SMX_UNIX_HELPER_ENDS, SOL_SOCKET, SO_TYPE, &type, &n) == 0 &&
	       type == SOCK_SEQPACKET;
}

static void serve(struct server *s, uint8_t *text, const sigset_t *waiting)
{
	struct pollfd p[2] = { { .fd = SMX_UNIX_HELPER_ASK, .events = POLLIN },
		{ .fd = SMX_UNIX_HELPER_ENDS } };

	for (;;) {
		reap(s);
		p[1].events = tell_ends(s) ? POLLOUT : 0;
		if (ppoll(p, 2, NULL, waiting) < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		if (p[1].revents & (POLLHUP | POLLERR | POLLNVAL))
			return;
		if (p[0].revents && serve_one(s, text) != 0)
			return;
	}
}

int smx_os_helper_serve(const struct smx_os_helper_policy *policy)
{
	struct sigaction chld = { .sa_handler = on_child }, ignored = { .sa_handler = SIG_IGN };
	struct server *s = smx_calloc(1, sizeof(*s));
	uint8_t *text = smx_malloc(SMX_HELPER_MESSAGE_MAX + 1);
	sigset_t blocked, waiting;
	int r = s && text ? 0 : SMX_ENOMEM;

	if (r == 0 && !was_started())
		r = SMX_EUNSUPPORTED;
	if (r == 0) {
		s->policy = policy;
		(void)fcntl(SMX_UNIX_HELPER_ASK, F_SETFD, FD_CLOEXEC);
		(void)fcntl(SMX_UNIX_HELPER_ENDS, F_SETFD, FD_CLOEXEC);
		(void)sigemptyset(&blocked);
		(void)sigaddset(&blocked, SIGCHLD);
		(void)sigprocmask(SIG_BLOCK, &blocked, &waiting);
		(void)sigdelset(&waiting, SIGCHLD);
		(void)sigaction(SIGCHLD, &chld, NULL);
		(void)sigaction(SIGPIPE, &ignored, NULL);
		/* A stop of the daemon is told by the end of its sockets. */
		(void)sigaction(SIGINT, &ignored, NULL);
		(void)sigaction(SIGTERM, &ignored, NULL);
		(void)sigaction(SIGHUP, &ignored, NULL);
		serve(s, text, &waiting);
	}
	smx_free(text);
	smx_free(s);
	return r;
}

#else

int smx_os_helper_serve(const struct smx_os_helper_policy *policy)
{
	(void)policy;
	return SMX_EUNSUPPORTED;
}

#endif
