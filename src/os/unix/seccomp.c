/* SPDX-License-Identifier: MIT */
/*
 * The system calls of a daemon that serves. What is not on the list does not exist (ENOSYS), so
 * that a C library which tries something newer falls back to what is; what is nobody's business
 * here is refused (EPERM).
 */
#include "os/unix/confine.h"

#include <stddef.h>

#include "os/unix/unix.h"

#ifndef SMX_HAVE_SECCOMP

int smx_unix_seccomp(const char **ret_why)
{
	*ret_why = "built without libseccomp";
	return -1;
}

#elif SMX_HAS_SANITIZER

/* Its leak check stops and looks at this process by ptrace(2), and starts processes. */
int smx_unix_seccomp(const char **ret_why)
{
	*ret_why = "a build with a sanitizer";
	return -1;
}

#else

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

/* TCGETS2 and its like, by which a later C library does tcgetattr(3); their header goes with no
 * other. */
#define TERMIOS2_LEN 44
#define GETS2        _IOC(_IOC_READ, 'T', 0x2A, TERMIOS2_LEN)
#define SETS2        _IOC(_IOC_WRITE, 'T', 0x2B, TERMIOS2_LEN)
#define SETSW2       _IOC(_IOC_WRITE, 'T', 0x2C, TERMIOS2_LEN)
#define SETSF2       _IOC(_IOC_WRITE, 'T', 0x2D, TERMIOS2_LEN)
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifdef __s390x__
#define CLONE_FLAGS_ARG 1
#else
#define CLONE_FLAGS_ARG 0
#endif

#define NAME_SIZE 64

/* Names that this architecture or this libseccomp does not have are left out. */
static const char allowed[] =
	/* files */
	"read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open "
	"openat openat2 close close_range stat fstat lstat stat64 fstat64 lstat64 "
	"newfstatat fstatat64 statx statfs fstatfs statfs64 fstatfs64 access faccessat "
	"faccessat2 lseek _llseek readlink readlinkat getdents getdents64 dup dup2 dup3 "
	"fcntl fcntl64 flock fsync fdatasync ftruncate ftruncate64 fallocate rename "
	"renameat renameat2 link linkat symlink symlinkat unlink unlinkat mkdir mkdirat "
	"fchmod fchown fchown32 umask getcwd sendfile sendfile64 copy_file_range "
	"inotify_init inotify_init1 inotify_add_watch inotify_rm_watch utimensat "
	/* memory */
	"munmap mremap madvise brk mlock mlock2 munlock msync membarrier "
	/* threads and this process */
	"set_robust_list get_robust_list set_tid_address rseq exit exit_group futex "
	"futex_time64 futex_waitv gettid getpid getppid getuid geteuid getgid getegid "
	"getuid32 geteuid32 getgid32 getegid32 getgroups getgroups32 getresuid "
	"getresgid getpgrp getpgid getsid sched_yield sched_getaffinity sched_getparam "
	"sched_getscheduler getcpu setpriority getpriority getrlimit ugetrlimit "
	"getrusage sysinfo uname times wait4 waitid rt_sigaction rt_sigprocmask "
	"rt_sigreturn sigreturn rt_sigtimedwait rt_sigtimedwait_time64 rt_sigpending "
	"rt_sigsuspend sigaltstack signalfd4 pause restart_syscall nanosleep "
	"clock_nanosleep clock_nanosleep_time64 clock_gettime clock_gettime64 "
	"clock_getres clock_getres_time64 gettimeofday time getrandom timerfd_create "
	"timerfd_settime timerfd_settime64 timerfd_gettime timerfd_gettime64 "
	/* waiting */
	"poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 "
	"epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 "
	"eventfd eventfd2 pipe pipe2 "
	/* sockets; listen(2) is the helper's (L1) */
	"socketpair connect bind accept accept4 getsockname getpeername getsockopt "
	"setsockopt send sendto recv recvfrom sendmsg recvmsg sendmmsg recvmmsg "
	"recvmmsg_time64 shutdown ";

static const char refused[] =
	"execve execveat fork vfork ptrace process_vm_readv process_vm_writev "
	"process_madvise kcmp listen kill tkill rt_sigqueueinfo rt_tgsigqueueinfo "
	"pidfd_open pidfd_getfd pidfd_send_signal bpf userfaultfd perf_event_open "
	"keyctl add_key request_key init_module finit_module delete_module kexec_load "
	"kexec_file_load mount umount umount2 pivot_root move_mount open_tree fsopen "
	"fsconfig fsmount fspick mount_setattr chroot unshare setns open_by_handle_at "
	"name_to_handle_at io_uring_setup io_uring_enter io_uring_register io_setup "
	"personality memfd_create memfd_secret mknod mknodat chown fchownat lchown "
	"setxattr lsetxattr fsetxattr setuid setgid setreuid setregid setresuid "
	"setresgid setgroups setfsuid setfsgid capset reboot swapon swapoff syslog acct "
	"quotactl sethostname setdomainname settimeofday clock_settime clock_adjtime "
	"adjtimex iopl ioperm modify_ldt uselib vhangup fanotify_init shmget msgget "
	"semget msgsnd process_mrelease lookup_dcookie migrate_pages move_pages mbind "
	"set_mempolicy splice tee vmsplice ";

static const char *const often[] = { "read", "write", "recvmsg", "sendmsg", "readv", "writev",
	"epoll_wait", "epoll_pwait", "epoll_ctl", "futex", "clock_gettime", "getsockopt",
	"setsockopt", "ioctl" };

/* How the filter is made: the first error stays. */
struct filter {
	scmp_filter_ctx ctx;
	int error;
};

static void add(struct filter *f, uint32_t action, const char *name, unsigned n,
	const struct scmp_arg_cmp *args)
{
	int nr = seccomp_syscall_resolve_name(name), r;

	if (nr == __NR_SCMP_ERROR || f->error)
		return;
	r = seccomp_rule_add_array(f->ctx, action, nr, n, args);
	/* -EDOM: this architecture has it as a part of another call. */
	if (r != 0 && r != -EDOM)
		f->error = r;
}

/* Names with a space between them. */
static void add_all(struct filter *f, uint32_t action, const char *names)
{
	char name[NAME_SIZE];

	for (; *names; names += *names == ' ') {
		size_t n = strcspn(names, " ");

		if (n < sizeof(name)) {
			memcpy(name, names, n);
			name[n] = '\0';
			add(f, action, name, 0, NULL);
		}
		names += n;
	}
}

/* Of an argument, counted from 0. */
static struct scmp_arg_cmp equal(unsigned arg, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){ .arg = arg, .op = SCMP_CMP_EQ, .datum_a = value };
}

static struct scmp_arg_cmp masked(unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){
		.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value
	};
}

static void allow_if(struct filter *f, const char *name, struct scmp_arg_cmp arg)
{
	add(f, SCMP_ACT_ALLOW, name, 1, &arg);
}

static void add_sockets(struct filter *f)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };
	/* The addresses of this machine, which names are looked up by, and whose a peer is (U9). */
	static const int netlink[] = { NETLINK_ROUTE, NETLINK_SOCK_DIAG };

	for (size_t i = 0; i < SMX_ARRAY_LEN(families); i++)
		allow_if(f, "socket", equal(0, (scmp_datum_t)families[i]));
	for (size_t i = 0; i < SMX_ARRAY_LEN(netlink); i++) {
		const struct scmp_arg_cmp args[] = { equal(0, AF_NETLINK),
			equal(2, (scmp_datum_t)netlink[i]) };

		add(f, SCMP_ACT_ALLOW, "socket", 2, args);
	}
}

/* Nothing that is written becomes code; modules of the C library are mapped as they are. */
static void add_memory(struct filter *f)
{
	static const char *const maps[] = { "mmap", "mmap2" };
	static const scmp_datum_t kinds[] = { 0, PROT_WRITE, PROT_EXEC };

	for (size_t i = 0; i < SMX_ARRAY_LEN(maps); i++)
		for (size_t j = 0; j < SMX_ARRAY_LEN(kinds); j++)
			allow_if(f, maps[i], masked(2, PROT_WRITE | PROT_EXEC, kinds[j]));
	allow_if(f, "mprotect", masked(2, PROT_EXEC, 0));
}

static void add_process(struct filter *f)
{
	static const int names[] = { PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_VMA };

	/* Threads and no processes; the flags of clone3 can't be seen, so there is none. */
	allow_if(f, "clone", masked(CLONE_FLAGS_ARG, CLONE_THREAD, CLONE_THREAD));
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++)
		allow_if(f, "prctl", equal(0, (scmp_datum_t)names[i]));
	allow_if(f, "tgkill", equal(0, (scmp_datum_t)getpid()));
	/* To read them. */
	allow_if(f, "prlimit64", equal(2, 0));
}

/* What is left: the modes and sizes of terminals, which none can type into, and sockets. */
static void add_others(struct filter *f)
{
	static const unsigned long calls[] = { TCGETS, TCSETS, TCSETSW, TCSETSF, GETS2, SETS2,
		SETSW2, SETSF2, TIOCGWINSZ, TIOCGPGRP, TIOCGSID, TIOCGDEV, TIOCOUTQ, FIONREAD,
		FIONBIO, FIOCLEX, FIONCLEX, SIOCGIFCONF, SIOCGIFNAME, SIOCGIFINDEX, SIOCGIFFLAGS,
		SIOCGIFADDR, SIOCOUTQNSD };

	for (size_t i = 0; i < SMX_ARRAY_LEN(calls); i++)
		allow_if(f, "ioctl", equal(1, calls[i]));
	/* Of names only what nobody else may open afterwards: a socket's. */
	allow_if(f, "chmod", masked(1, 077, 0));
	allow_if(f, "fchmodat", masked(2, 077, 0));
}

int smx_unix_seccomp(const char **ret_why)
{
	struct filter f = { .ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS)) };

	if (!f.ctx) {
		*ret_why = "not on this architecture";
		return -1;
	}
	add_all(&f, SCMP_ACT_ALLOW, allowed);
	add_all(&f, SCMP_ACT_ERRNO(EPERM), refused);
	add_sockets(&f);
	add_memory(&f);
	add_process(&f);
	add_others(&f);
	/* Where the kernel does not remember what the filter said (before 5.11) these come first.
	 */
	for (size_t i = 0; i < SMX_ARRAY_LEN(often); i++)
		(void)seccomp_syscall_priority(
			f.ctx, seccomp_syscall_resolve_name(often[i]), UINT8_MAX);
	(void)seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (f.error == 0)
		f.error = seccomp_load(f.ctx);
	seccomp_release(f.ctx);
	if (f.error == 0)
		return 0;
	*ret_why = strerror(-f.error);
	return -1;
}

#endif
