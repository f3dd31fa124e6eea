/* SPDX-License-Identifier: MIT */
/*
 * What code that has taken the daemon over would try (H3). Preloaded into it; at SIGUSR2 it tries
 * everything and writes a line for each to a file that was opened before: "NAME ERRNO", 0: it
 * could. $SMX_PROBE: a directory with what is to be reached.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char place[256], ssh_dir[256], run_dir[256];
static int out = -1, is_loose, has_files_only;

static void say(const char *name, long result)
{
	int e = result < 0 ? errno : 0;
	char line[96];
	int n = snprintf(line, sizeof(line), "%s %d\n", name, e);

	(void)!write(out, line, (size_t)n);
}

static const char *in(const char *dir, const char *name)
{
	static char path[2][600];
	static int i;

	i = !i;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static void try_open(const char *name, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	say(name, fd);
	if (fd >= 0)
		close(fd);
}

static void files(void)
{
	char path[64];

	try_open("read-outside", in(place, "secret"), O_RDONLY);
	try_open("list-outside", place, O_RDONLY | O_DIRECTORY);
	try_open("write-outside", in(place, "victim"), O_WRONLY);
	try_open("make-outside", in(place, "made"), O_WRONLY | O_CREAT);
	say("truncate-outside", truncate(in(place, "victim"), 0));
	say("unlink-outside", unlink(in(place, "victim")));
	say("rename-outside", rename(in(place, "victim"), in(place, "moved")));
	if (!is_loose)
		say("move-out", rename(in(ssh_dir, "id_ed25519"), in(place, "stolen")));
	say("link-outside", symlink("/etc/passwd", in(place, "link")));
	say("mkdir-outside", mkdir(in(place, "dir"), 0700));
	say("chmod-outside", chmod(in(place, "victim"), 0777));
	if (is_loose)
		return;
	say("mknod", mknod(in(ssh_dir, "dev"), S_IFCHR | 0600, 0x103));
	/* What would make others run something, or let somebody in. */
	try_open("write-routes", in(ssh_dir, "ssh-mux-routes.toml"), O_WRONLY | O_APPEND);
	try_open("make-authorized-keys", in(ssh_dir, "authorized_keys"), O_WRONLY | O_CREAT);
	try_open("write-known-hosts", in(ssh_dir, "known_hosts"), O_WRONLY | O_APPEND);
	try_open("write-etc", "/etc/hosts", O_WRONLY);
	try_open("make-in-usr", "/usr/lib/smx-probe", O_WRONLY | O_CREAT);
	try_open("write-shm", "/dev/shm/smx-probe", O_WRONLY | O_CREAT);
	snprintf(path, sizeof(path), "/proc/%d/mem", getppid());
	try_open("parents-memory", path, O_RDWR);
	snprintf(path, sizeof(path), "/proc/%d/environ", getppid());
	try_open("parents-environ", path, O_RDONLY);
	/* What it needs works: a denial of everything would pass all of the above. */
	try_open("ok-write-own", in(run_dir, "ssh-mux/probe"), O_WRONLY | O_CREAT);
	say("ok-unlink-own", unlink(in(run_dir, "ssh-mux/probe")));
	try_open("ok-read-own", in(ssh_dir, "known_hosts"), O_RDONLY);
	try_open("ok-read-names", "/etc/hosts", O_RDONLY);
}

static void programs(void)
{
	char *const argv[] = { "/bin/sh", "-c", "exit 0", NULL }, *const env[] = { NULL };
	static char other[4];
	struct iovec local = { other, 4 }, remote = { (void *)&place, 4 };
	int status = -1;
	long pid;

	if (has_files_only) {
		say("exec", execve("/bin/sh", argv, env));
		say("exec-self", execve("/proc/self/exe", argv, env));
		say("execveat", syscall(SYS_execveat, AT_FDCWD, "/bin/sh", argv, env, 0));
		return;
	}
	pid = syscall(SYS_fork);
	if (pid == 0 && is_loose)
		execve("/bin/sh", argv, env);
	if (pid == 0)
		_exit(1);
	if (pid > 0)
		waitpid(pid, &status, 0);
	say("fork", pid);
	say("memfd", syscall(SYS_memfd_create, "x", 0));
	say("kill", kill(getppid(), 0));
	if (is_loose) {
		errno = ECHILD;
		say("exec", pid > 0 && status == 0 ? 0 : -1);
		return;
	}
	say("exec", execve("/bin/sh", argv, env));
	say("exec-self", execve("/proc/self/exe", argv, env));
	say("execveat", syscall(SYS_execveat, AT_FDCWD, "/bin/sh", argv, env, 0));
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	say("clone", pid);
	say("clone3", syscall(SYS_clone3, NULL, 0) < 0 && errno == EINVAL ? 0 : -1);
	say("ptrace-attach", ptrace(PTRACE_ATTACH, getppid(), 0, 0));
	say("ptrace-traceme", ptrace(PTRACE_TRACEME, 0, 0, 0));
	say("read-process", process_vm_readv(getppid(), &local, 1, &remote, 1, 0));
	say("write-process", process_vm_writev(getppid(), &local, 1, &remote, 1, 0));
	say("pidfd", syscall(SYS_pidfd_open, getppid(), 0));
}

static void memory(void)
{
	size_t n = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *wx = mmap(NULL, n, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	say("ok-memory", p == MAP_FAILED ? -1 : 0);
	say("code-by-mprotect", mprotect(p, n, PROT_READ | PROT_EXEC));
	errno = EPERM;
	say("code-by-mmap", wx == MAP_FAILED ? -1 : 0);
}

static void kernel(void)
{
	say("mount", mount("none", "/mnt", "tmpfs", 0, NULL));
	say("unshare", unshare(CLONE_NEWUSER));
	say("keyctl", syscall(SYS_keyctl, 0, -3, 0, 0, 0));
	say("bpf", syscall(SYS_bpf, 0, NULL, 0));
	say("userfaultfd", syscall(SYS_userfaultfd, 0));
	say("perf", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	say("module", syscall(SYS_finit_module, -1, "", 0));
	say("by-handle", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0));
	say("io-uring", syscall(SYS_io_uring_setup, 1, NULL));
	say("personality", syscall(SYS_personality, 0xffffffff));
	say("setuid", setuid(65534));
	say("type-into-terminal", ioctl(0, TIOCSTI, "x"));
}

static int bound(int family, const char *address, int port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(family, SOCK_STREAM, 0);

	inet_pton(AF_INET, address, &v4.sin_addr);
	if (fd >= 0 && address[0] && bind(fd, (struct sockaddr *)&v4, sizeof(v4)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void sockets(void)
{
	int fd;

	if ((fd = bound(AF_INET, "0.0.0.0", 0)) >= 0) {
		say("listen-everywhere", listen(fd, 1));
		close(fd);
	}
	if ((fd = bound(AF_INET, "", 0)) >= 0) {
		say("listen-unbound", listen(fd, 1));
		close(fd);
	}
	if ((fd = bound(AF_INET, "127.0.0.1", 0)) >= 0) {
		say("listen-loopback", listen(fd, 1));
		close(fd);
	}
	if (is_loose)
		return;
	say("packet-socket", socket(AF_PACKET, SOCK_RAW, 0));
	say("kernel-crypto-socket", socket(AF_ALG, SOCK_SEQPACKET, 0));
	say("netfilter-socket", socket(AF_NETLINK, SOCK_RAW, 12));
	fd = bound(AF_INET, "", 0);
	say("ok-socket", fd);
	close(fd);
}

/* As of another version, which is one of ours as well. */
#define GREETINGS_HEAD \
	"ssh-mux-greetings 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"

/* ---- through the helper ------------------------------------------------------------------------
 */

struct message {
	uint8_t bytes[4096];
	size_t len;
};

static void put(struct message *m, uint64_t v, int n)
{
	while (n--)
		m->bytes[m->len++] = (uint8_t)(v >> (8 * n));
}

/* control/helper.h: all the fields, then the words. */
static struct message request(int op, int kind, int mask, int backlog, const char *const *words)
{
	struct message m = { .len = 0 };
	size_t n = 0;

	while (words && words[n])
		n++;
	put(&m, (uint64_t)op, 1);
	put(&m, (uint64_t)kind, 1);
	put(&m, 0, 1);
	put(&m, (uint64_t)mask, 1);
	put(&m, 0, 3);
	put(&m, 0, 8);
	put(&m, 0, 8);
	put(&m, 0, 8);
	put(&m, (uint64_t)backlog, 4);
	put(&m, n, 4);
	for (size_t i = 0; i < n; i++) {
		put(&m, strlen(words[i]), 4);
		memcpy(m.bytes + m.len, words[i], strlen(words[i]));
		m.len += strlen(words[i]);
	}
	return m;
}

/* To add a key to a host, or to remove it, in a known_hosts (K6). */
static struct message rotation(const char *path, const char *host, int port, int is_removal)
{
	const char *const words[] = { path, host, NULL };
	struct message m = request(12, 0, 0, 0, words);

	put(&m, (uint64_t)port, 4);
	put(&m, 0, 1);
	for (int i = 0; i < 2; i++) {
		put(&m, i == is_removal, 4);
		if (i == is_removal) {
			put(&m, 11 + 32 + 8, 4);
			put(&m, 11, 4);
			memcpy(m.bytes + m.len, "ssh-ed25519", 11);
			m.len += 11;
			put(&m, 32, 4);
			memset(m.bytes + m.len, 7, 32);
			m.len += 32;
		}
	}
	return m;
}

/* The errno that the helper answers; -1: none. */
static int ask(int helper, const struct message *m, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec iov = { (void *)m->bytes, m->len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	uint8_t answer[4096];
	ssize_t n;

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	}
	if (sendmsg(helper, &msg, MSG_NOSIGNAL) < 0)
		return -1;
	n = recv(helper, answer, sizeof(answer), 0);
	return n < 12 ? -1 : answer[0] << 24 | answer[1] << 16 | answer[2] << 8 | answer[3];
}

static void through(int helper, const char *name, struct message m, int fd)
{
	int e = ask(helper, &m, fd);

	errno = e;
	say(name, e == 0 ? 0 : -1);
}

/* The first of the two sockets to it: the one for questions blocks. */
static int find_helper(void)
{
	int type;

	for (int fd = 3; fd < 256; fd++) {
		socklen_t n = sizeof(type);

		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_SEQPACKET &&
			!(fcntl(fd, F_GETFL) & O_NONBLOCK))
			return fd;
	}
	return -1;
}

static void append(int fd, const char *name, const char *path, const char *line)
{
	const char *const words[] = { path, line, NULL };
	int stream = socket(AF_UNIX, SOCK_STREAM, 0);

	through(fd, name, request(11, 0, 0, 0, words), stream);
	close(stream);
}

static void rotate(int fd, const char *name, const char *path, const char *host, int is_removal)
{
	const char *port = getenv("SMX_PROBE_PORT");
	int stream = socket(AF_UNIX, SOCK_STREAM, 0);

	through(fd, name, rotation(path, host, port ? (int)strtol(port, NULL, 10) : 0, is_removal),
		stream);
	close(stream);
}

static void keep(int fd, const char *name, const char *path, const char *text)
{
	const char *const words[] = { path, text, NULL };
	int stream = socket(AF_UNIX, SOCK_STREAM, 0);

	through(fd, name, request(15, 0, 0, 0, words), stream);
	close(stream);
}

static void open_there(int helper, const char *name, const char *path)
{
	const char *const words[] = { path, NULL };

	through(helper, name, request(14, 0, 0, 0, words), -1);
}

static void helper(void)
{
	const char *const shell[] = { "/bin/sh", "-c", "exit 0", NULL };
	const char *const prompt[] = { "ssh-mux", "serve", NULL };
	const char *const file[] = { in(place, "victim"), NULL };
	int fd = find_helper(), s;

	say("ok-helper", fd);
	through(fd, "helper-transport", request(1, 1, 0, 0, shell), -1);
	through(fd, "helper-pinentry", request(1, 2, 0, 0, shell), -1);
	through(fd, "helper-prompt", request(1, 3, 0, 0, prompt), -1);
	through(fd, "helper-unlink", request(4, 0, 0, 0, file), -1);
	s = bound(AF_INET, "0.0.0.0", 0);
	through(fd, "helper-listen-everywhere", request(3, 0, 0, 8, NULL), s);
	close(s);
	s = bound(AF_INET, "", 0);
	through(fd, "helper-listen-unbound", request(3, 0, 0, 8, NULL), s);
	close(s);
	s = bound(AF_INET, "127.0.0.1", 0);
	through(fd, "ok-helper-listen-loopback", request(3, 0, 0, 8, NULL), s);
	close(s);
	append(fd, "helper-append-elsewhere", in(ssh_dir, "authorized_keys"), "h ssh-ed25519 AAAA");
	append(fd, "helper-append-routes", in(ssh_dir, "ssh-mux-routes.toml"), "a = b c");
	append(fd, "helper-append-authority", in(ssh_dir, "known_hosts"),
		"@cert-authority * ssh-ed25519 AAAA");
	keep(fd, "helper-keep-elsewhere", in(ssh_dir, "authorized_keys"), GREETINGS_HEAD);
	keep(fd, "helper-keep-other", in(ssh_dir, "ssh-mux-greetings"), GREETINGS_HEAD "evil\n");
	keep(fd, "helper-keep-else", in(ssh_dir, "ssh-mux-greetings"), "ssh-ed25519 AAAA\n");
	rotate(fd, "helper-rotate-elsewhere", in(ssh_dir, "authorized_keys"), "127.0.0.1", 0);
	rotate(fd, "helper-rotate-second", in(ssh_dir, "known_hosts2"), "127.0.0.1", 0);
	rotate(fd, "helper-rotate-stranger", in(ssh_dir, "known_hosts"), "other.example", 0);
	rotate(fd, "helper-rotate-away", in(ssh_dir, "known_hosts"), "other.example", 1);
	rotate(fd, "ok-helper-rotate", in(ssh_dir, "known_hosts"), "127.0.0.1", 0);
	s = open(in(ssh_dir, "known_hosts"), O_RDONLY | O_CLOEXEC);
	through(fd, "helper-reopen-file", request(13, 0, 0, 0, NULL), s);
	open_there(fd, "helper-open-outside", in(place, "secret"));
	open_there(fd, "helper-open-above", in(ssh_dir, "../secret"));
	open_there(fd, "ok-helper-open", in(ssh_dir, "known_hosts"));
	close(s);
}

static void on_signal(int signum)
{
	(void)signum;
	files();
	programs();
	if (!has_files_only) {
		memory();
		sockets();
	}
	if (!has_files_only && !is_loose)
		kernel();
	if (!is_loose)
		helper();
	(void)!write(out, "end 0\n", 6);
}

__attribute__((constructor)) static void begin(void)
{
	const char *dir = getenv("SMX_PROBE"), *own = getenv("SSH_MUX_SSH_DIR"),
		   *run = getenv("XDG_RUNTIME_DIR");
	struct sigaction sa = { .sa_handler = on_signal };

	if (!dir || !own || !run)
		return;
	is_loose = getenv("SMX_PROBE_LOOSE") != NULL;
	has_files_only = getenv("SMX_PROBE_FILES") != NULL;
	snprintf(place, sizeof(place), "%s", dir);
	snprintf(ssh_dir, sizeof(ssh_dir), "%s", own);
	snprintf(run_dir, sizeof(run_dir), "%s", run);
	out = open(in(place, "report"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	sigaction(SIGUSR2, &sa, NULL);
}
