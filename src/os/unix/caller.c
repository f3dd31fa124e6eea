/* SPDX-License-Identifier: MIT */
/* The process at the other end of a control socket (os/caller.h). */
#include "os/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <termios.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sysmacros.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "base/err.h"
#include "base/mem.h"
#include "os/path.h"
#include "os/unix/unix.h"

struct smx_os_caller {
	pid_t pid;
	uint64_t start; /* of the process, in the system's own units */
};

/* What the system says of a process now. */
struct look {
	uint64_t start;
	uid_t uid;
	pid_t group, foreground; /* of its terminal: which group has it, or -1 */
	dev_t tty; /* 0: none */
	int is_stopped;
};

#ifdef __linux__

#define STAT_SIZE 1024

static int open_of(pid_t pid, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* proc(5): numbers behind the name of the program, which is in parentheses and may have any. */
static int look_at(pid_t pid, struct look *ret)
{
	enum { GROUP = 2, TTY = 4, FOREGROUND = 5, START = 19, FIELDS };
	char text[STAT_SIZE], *at, state, *end;
	long long field[FIELDS] = { 0 };
	struct stat st;
	unsigned tty;
	ssize_t n;
	int fd;

	if ((fd = open_of(pid, "stat")) < 0)
		return SMX_ENOTFOUND;
	n = fstat(fd, &st) == 0 ? read(fd, text, sizeof(text) - 1) : -1;
	(void)close(fd);
	if (n <= 0)
		return SMX_ENOTFOUND;
	text[n] = '\0';
	if (!(at = strrchr(text, ')')) || at[1] != ' ' || !(state = at[2]))
		return SMX_ENOTFOUND;
	at += 3;
	for (int i = 1; i < FIELDS; i++, at = end) {
		field[i] = strtoll(at, &end, 10);
		if (end == at)
			return SMX_ENOTFOUND;
	}
	tty = (unsigned)field[TTY];
	*ret = (struct look){
		.start = (uint64_t)field[START],
		.uid = st.st_uid,
		.group = (pid_t)field[GROUP],
		.foreground = (pid_t)field[FOREGROUND],
		.tty = tty ? makedev((tty >> 8) & 0xfff, (tty & 0xff) | ((tty >> 12) & 0xfff00))
			   : 0,
		.is_stopped = state == 'T' || state == 't' || state == 'Z' || state == 'X',
	};
	return 0;
}

/* A name means another terminal to a process that sees other files. */
static int sees_our_files(pid_t pid)
{
	struct stat its, ours;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%ld/ns/mnt", (long)pid);
	return stat(path, &its) == 0 && stat("/proc/self/ns/mnt", &ours) == 0 &&
	       its.st_ino == ours.st_ino && its.st_dev == ours.st_dev;
}

#define PTS_MAJOR     136
#define PTS_MAJOR_END 144
#define CONSOLE_MAJOR 4
#define CONSOLES      64

static int tty_name(pid_t pid, dev_t tty, char *out, size_t size)
{
	unsigned a = major(tty), b = minor(tty);

	if (!sees_our_files(pid))
		return SMX_ENOTFOUND;
	if (a >= PTS_MAJOR && a < PTS_MAJOR_END)
		(void)snprintf(out, size, "/dev/pts/%u", (a - PTS_MAJOR) * 256 + b);
	else if (a == CONSOLE_MAJOR && b < CONSOLES)
		(void)snprintf(out, size, "/dev/tty%u", b);
	else
		return SMX_ENOTFOUND;
	return 0;
}

static int read_strings(int fd, struct smx_buf *out)
{
	char chunk[16 * 1024];
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return SMX_ENOTFOUND;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0 && r == 0)
		r = smx_buf_put(out, chunk, (size_t)n);
	(void)close(fd);
	return n < 0 ? SMX_ENOTFOUND : r;
}

static int read_args(const struct smx_os_caller *c, struct smx_buf *out)
{
	return read_strings(open_of(c->pid, "cmdline"), out);
}

/* Landlock keeps a process from those outside of its domain as a debugger would be. */
static int read_env(const struct smx_os_caller *c, struct smx_buf *out)
{
	int fd = -1;

	if (!smx_os_helper_is_there())
		fd = open_of(c->pid, "environ");
	else if (smx_unix_helper_caller_fd(SMX_HELPER_CALLER_ENV, c->pid, c->start, &fd) != 0)
		return SMX_ENOTFOUND;
	return read_strings(fd, out);
}

#elif defined(__APPLE__)

static int look_at(pid_t pid, struct look *ret)
{
	int mib[4] = { CTL_KERN, KERN_PROC, KERN_PROC_PID, pid };
	struct kinfo_proc info;
	size_t size = sizeof(info);

	if (sysctl(mib, 4, &info, &size, NULL, 0) != 0 || size < sizeof(info))
		return SMX_ENOTFOUND;
	*ret = (struct look){
		.start = (uint64_t)info.kp_proc.p_starttime.tv_sec * 1000000 +
			 (uint64_t)info.kp_proc.p_starttime.tv_usec,
		.uid = info.kp_eproc.e_ucred.cr_uid,
		.group = info.kp_eproc.e_pgid,
		.foreground = info.kp_eproc.e_tpgid,
		.tty = info.kp_eproc.e_tdev == (dev_t)-1 ? 0 : info.kp_eproc.e_tdev,
		.is_stopped = info.kp_proc.p_stat == SSTOP || info.kp_proc.p_stat == SZOMB,
	};
	return 0;
}

static int tty_name(pid_t pid, dev_t tty, char *out, size_t size)
{
	const char *name = devname(tty, S_IFCHR);

	(void)pid;
	if (!name)
		return SMX_ENOTFOUND;
	(void)snprintf(out, size, "/dev/%s", name);
	return 0;
}

/* KERN_PROCARGS2: their number, the program's path, NULs, the arguments, the environment. */
static int read_both(pid_t pid, struct smx_buf *out, int wants_env)
{
	int mib[3] = { CTL_KERN, KERN_PROCARGS2, pid }, n_args, r = SMX_ENOTFOUND;
	size_t size = SMX_OS_CALLER_BYTES_MAX, at, end;
	char *all = smx_malloc(size);

	if (!all)
		return SMX_ENOMEM;
	if (sysctl(mib, 3, all, &size, NULL, 0) != 0 || size <= sizeof(n_args))
		goto out;
	memcpy(&n_args, all, sizeof(n_args));
	for (at = sizeof(n_args); at < size && all[at]; at++)
		;
	while (at < size && !all[at])
		at++;
	for (end = at; end < size && n_args > 0; end++)
		n_args -= all[end] == '\0';
	if (wants_env)
		/* Behind its last string there are others, of the system. */
		for (at = end; end < size && all[end]; end++)
			end += strnlen(all + end, size - end);
	r = at < size ? smx_buf_put(out, all + at, (end < size ? end : size) - at) : SMX_ENOTFOUND;
out:
	smx_wipe_free(all, SMX_OS_CALLER_BYTES_MAX);
	return r;
}

static int read_args(const struct smx_os_caller *c, struct smx_buf *out)
{
	return read_both(c->pid, out, 0);
}

static int read_env(const struct smx_os_caller *c, struct smx_buf *out)
{
	return read_both(c->pid, out, 1);
}

#else

static int look_at(pid_t pid, struct look *ret)
{
	(void)pid;
	(void)ret;
	return SMX_EUNSUPPORTED;
}

static int tty_name(pid_t pid, dev_t tty, char *out, size_t size)
{
	(void)pid;
	(void)tty;
	(void)out;
	(void)size;
	return SMX_EUNSUPPORTED;
}

static int read_args(const struct smx_os_caller *c, struct smx_buf *out)
{
	(void)c;
	(void)out;
	return SMX_EUNSUPPORTED;
}

static int read_env(const struct smx_os_caller *c, struct smx_buf *out)
{
	return read_args(c, out);
}

#endif

#ifdef __linux__

static int read_link(pid_t pid, const char *name, char *out, size_t size)
{
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	n = readlink(path, out, size - 1);
	if (n <= 0 || (size_t)n == size - 1)
		return SMX_ENOTFOUND;
	out[n] = '\0';
	return 0;
}

#else

static int read_link(pid_t pid, const char *name, char *out, size_t size)
{
	(void)pid;
	(void)name;
	(void)out;
	(void)size;
	return SMX_ENOTFOUND;
}

#endif

int smx_os_caller_new(int64_t pid, struct smx_os_caller **ret)
{
	struct smx_os_caller *c;
	struct look l;
	int r;

	if (pid <= 0 || pid != (pid_t)pid)
		return SMX_ENOTFOUND;
	if ((r = look_at((pid_t)pid, &l)) != 0)
		return r;
	if (l.uid != geteuid())
		return SMX_ENOTFOUND;
	if (!(c = smx_calloc(1, sizeof(*c))))
		return SMX_ENOMEM;
	*c = (struct smx_os_caller){ .pid = (pid_t)pid, .start = l.start };
	*ret = c;
	return 0;
}

int smx_os_caller_known(int64_t pid, uint64_t start, struct smx_os_caller **ret)
{
	struct smx_os_caller *c;
	int r = smx_os_caller_new(pid, &c);

	if (r != 0)
		return r;
	if (c->start != start) {
		smx_os_caller_free(c);
		return SMX_ENOTFOUND;
	}
	*ret = c;
	return 0;
}

void smx_os_caller_id(const struct smx_os_caller *c, int64_t *ret_pid, uint64_t *ret_start)
{
	*ret_pid = c->pid;
	*ret_start = c->start;
}

void smx_os_caller_free(struct smx_os_caller *c)
{
	smx_free(c);
}

/* SMX_ENOTFOUND: it is gone, whoever has its number now. */
static int look(const struct smx_os_caller *c, struct look *ret)
{
	int r = look_at(c->pid, ret);

	if (r == 0 && (ret->start != c->start || ret->uid != geteuid()))
		r = SMX_ENOTFOUND;
	return r;
}

enum smx_os_caller_tty smx_os_caller_tty(const struct smx_os_caller *c)
{
	struct look l;

	if (look(c, &l) != 0 || l.tty == 0)
		return SMX_OS_CALLER_NO_TTY;
	return l.is_stopped || l.group != l.foreground ? SMX_OS_CALLER_BACKGROUND
						       : SMX_OS_CALLER_FOREGROUND;
}

uint64_t smx_os_caller_tty_id(const struct smx_os_caller *c)
{
	struct look l;

	return look(c, &l) == 0 ? (uint64_t)l.tty : 0;
}

static int is_tty(int fd, dev_t tty)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == tty;
}

int smx_os_caller_open_tty(const struct smx_os_caller *c, const int *fds, size_t n_fds, int *ret_fd)
{
	const int flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
	struct look l;
	char path[256];
	int fd = -1;

	if (look(c, &l) != 0 || l.tty == 0)
		return SMX_ENOTFOUND;
	for (size_t i = 0; i < n_fds && fd < 0; i++)
		if (is_tty(fds[i], l.tty))
			fd = smx_unix_reopen(fds[i], SMX_HELPER_READ_WRITE);
	if (fd < 0 && smx_os_helper_is_there())
		(void)smx_unix_helper_caller_fd(SMX_HELPER_CALLER_TTY, c->pid, c->start, &fd);
	/* Without waiting for a line: a serial one may have nobody there. */
	else if (fd < 0 && tty_name(c->pid, l.tty, path, sizeof(path)) == 0 &&
		 (fd = open(path, flags | O_NONBLOCK)) >= 0)
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	if (fd < 0)
		return SMX_ENOTFOUND;
	if (!is_tty(fd, l.tty) || !isatty(fd)) {
		(void)close(fd);
		return SMX_ENOTFOUND;
	}
	*ret_fd = fd;
	return 0;
}

int smx_os_caller_args(const struct smx_os_caller *c, struct smx_buf *out)
{
	struct look l;
	int r = read_args(c, out);

	/* Looked at afterwards: it was read of that very process. */
	return r == 0 ? look(c, &l) : r;
}

int smx_unix_caller_open_env(const struct smx_os_caller *c, int *ret_fd)
{
#ifdef __linux__
	struct look l;
	int fd = open_of(c->pid, "environ");

	if (fd < 0)
		return SMX_ENOTFOUND;
	if (look(c, &l) != 0) {
		(void)close(fd);
		return SMX_ENOTFOUND;
	}
	*ret_fd = fd;
	return 0;
#else
	(void)c;
	(void)ret_fd;
	return SMX_EUNSUPPORTED;
#endif
}

int smx_os_caller_env(const struct smx_os_caller *c, struct smx_buf *out)
{
	struct look l;
	int r = read_env(c, out);

	return r == 0 ? look(c, &l) : r;
}

void smx_os_caller_press(const struct smx_os_caller *c, enum smx_os_key key)
{
	static const int signals[] = { [SMX_OS_KEY_INTERRUPT] = SIGINT,
		[SMX_OS_KEY_QUIT] = SIGQUIT,
		[SMX_OS_KEY_SUSPEND] = SIGTSTP };
	struct look l;

	if (smx_os_helper_is_there()) {
		smx_unix_helper_caller_press(c->pid, c->start, key);
		return;
	}
	if (look(c, &l) != 0)
		return;
	if (l.tty && l.group > 1 && l.group == l.foreground)
		(void)kill(-l.group, signals[key]);
	else
		(void)kill(c->pid, signals[key]);
}

int smx_os_caller_program(const struct smx_os_caller *c, char **ret_path, char **ret_dir)
{
	char path[SMX_OS_PATH_MAX], dir[SMX_OS_PATH_MAX];
	char *one, *two;
	struct look l;

	if (smx_os_helper_is_there())
		return smx_unix_helper_caller_program(c->pid, c->start, ret_path, ret_dir);
	if (read_link(c->pid, "exe", path, sizeof(path)) != 0 ||
		read_link(c->pid, "cwd", dir, sizeof(dir)) != 0 || look(c, &l) != 0 ||
		strcmp(smx_os_path_name(path), "ssh") != 0)
		return SMX_ENOTFOUND;
	one = smx_strdup(path);
	two = smx_strdup(dir);
	if (!one || !two) {
		smx_free(one);
		smx_free(two);
		return SMX_ENOMEM;
	}
	*ret_path = one;
	*ret_dir = two;
	return 0;
}

/* --- terminals --- */

struct smx_os_modes {
	struct termios t;
};

int smx_os_modes_keep(int fd, struct smx_os_modes **ret)
{
	struct smx_os_modes *m = smx_calloc(1, sizeof(*m));

	if (!m)
		return SMX_ENOMEM;
	if (tcgetattr(fd, &m->t) != 0) {
		smx_free(m);
		return SMX_ENOTFOUND;
	}
	*ret = m;
	return 0;
}

void smx_os_modes_put_back(int fd, struct smx_os_modes *modes)
{
	if (modes)
		(void)tcsetattr(fd, TCSANOW, &modes->t);
	smx_os_modes_free(modes);
}

void smx_os_modes_free(struct smx_os_modes *modes)
{
	smx_free(modes);
}

void smx_os_tty_tell(int fd, const char *text)
{
	int flags = fcntl(fd, F_GETFL);

	/* An open file of our own (smx_os_caller_open_tty). */
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return;
	(void)!write(fd, text, strlen(text));
}

void smx_os_ignore_terminal(void)
{
	static const int signals[] = { SIGINT, SIGQUIT, SIGTSTP, SIGHUP, SIGTERM, SIGTTOU,
		SIGTTIN };
	struct sigaction sa = { .sa_handler = SIG_IGN };

	for (size_t i = 0; i < SMX_ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &sa, NULL);
}
