/* SPDX-License-Identifier: MIT */
/*
 * A network path between two network namespaces: delay, rate and a drop-tail queue, each way.
 *
 *	path NS_A ADDR_A NS_B ADDR_B DELAY_MS MBIT_S QUEUE_BYTES
 *
 * Opens a tun device "path" in each namespace (named as `ip netns` does), gives it its address
 * (/24), and carries packets from one to the other: a packet waits until the link has sent those
 * before it (at MBIT_S; 0: no limit), then DELAY_MS. One that would find more than QUEUE_BYTES
 * waiting is dropped. Says "ready" on stdout, runs until killed. SIGUSR1 blocks the path, SIGUSR2
 * opens it again: packets sent meanwhile are lost.
 *
 * Fast paths get segmentation offload (packets of up to 64 KiB), or the two system calls a packet
 * would be all that is measured. Thin ones must not: 64 KiB are 26 ms at 20 Mbit/s.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX    (66 * 1024)
#define MTU           1500
#define OFFLOAD_MBIT  200 /* from this rate on */
#define READS_A_TURN  64
#define VNET_HDR_SIZE 10 /* of struct virtio_net_hdr, which comes before each packet */

struct packet {
	struct packet *next;
	uint64_t due_ns;
	size_t len;
	uint8_t bytes[];
};

struct way {
	int in, out;
	struct packet *first, **last;
	uint64_t link_free_ns; /* when the link has sent all that waits */
};

static double bytes_per_ns;
static uint64_t delay_ns, queue_bytes;
static volatile sig_atomic_t is_blocked;

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "path: %s: %s\n", what, strerror(errno));
	exit(71);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_signal(int signum)
{
	is_blocked = signum == SIGUSR1;
}

static void set_address(const char *address)
{
	struct ifreq req = { .ifr_name = "path" };
	struct sockaddr_in *sin = (struct sockaddr_in *)&req.ifr_addr;
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		die("socket");
	sin->sin_family = AF_INET;
	if (inet_pton(AF_INET, address, &sin->sin_addr) != 1) {
		errno = EINVAL;
		die(address);
	}
	if (ioctl(s, SIOCSIFADDR, &req) != 0)
		die("SIOCSIFADDR");
	(void)inet_pton(AF_INET, "255.255.255.0", &sin->sin_addr);
	if (ioctl(s, SIOCSIFNETMASK, &req) != 0)
		die("SIOCSIFNETMASK");
	req.ifr_mtu = MTU;
	if (ioctl(s, SIOCSIFMTU, &req) != 0)
		die("SIOCSIFMTU");
	req.ifr_qlen = 10000; /* what waits here is not to be the bottleneck */
	if (ioctl(s, SIOCSIFTXQLEN, &req) != 0)
		die("SIOCSIFTXQLEN");
	if (ioctl(s, SIOCGIFFLAGS, &req) != 0)
		die("SIOCGIFFLAGS");
	req.ifr_flags = (short)(req.ifr_flags | IFF_UP);
	if (ioctl(s, SIOCSIFFLAGS, &req) != 0)
		die("SIOCSIFFLAGS");
	(void)close(s);
}

/* A tun device in a namespace; the process stays there. */
static int open_tun(const char *ns, const char *address, int is_fast)
{
	struct ifreq req = { .ifr_name = "path", .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	unsigned long offload = is_fast ? TUN_F_CSUM | TUN_F_TSO4 : 0;
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "/var/run/netns/%s", ns);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0 || setns(fd, CLONE_NEWNET) != 0)
		die(path);
	(void)close(fd);
	if ((fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0)
		die("/dev/net/tun");
	if (ioctl(fd, TUNSETIFF, &req) != 0)
		die("TUNSETIFF");
	if (ioctl(fd, TUNSETOFFLOAD, offload) != 0)
		die("TUNSETOFFLOAD");
	set_address(address);
	return fd;
}

/* Takes what the sender has for us. */
static void take(struct way *w)
{
	static uint8_t buf[PACKET_MAX];
	struct packet *p;
	uint64_t now, waiting;
	ssize_t n;

	for (int i = 0; i < READS_A_TURN && (n = read(w->in, buf, sizeof(buf))) > 0; i++) {
		now = now_ns();
		if (is_blocked)
			continue;
		if (w->link_free_ns < now)
			w->link_free_ns = now;
		waiting = (uint64_t)((double)(w->link_free_ns - now) * bytes_per_ns);
		if (bytes_per_ns > 0 && waiting + (uint64_t)n > queue_bytes)
			continue;
		if (!(p = malloc(sizeof(*p) + (size_t)n)))
			die("malloc");
		if (bytes_per_ns > 0)
			w->link_free_ns += (uint64_t)((double)(n - VNET_HDR_SIZE) / bytes_per_ns);
		p->due_ns = w->link_free_ns + delay_ns;
		p->len = (size_t)n;
		p->next = NULL;
		memcpy(p->bytes, buf, p->len);
		*w->last = p;
		w->last = &p->next;
	}
}

static void give(struct way *w, uint64_t now)
{
	struct packet *p;

	while ((p = w->first) && p->due_ns <= now) {
		w->first = p->next;
		if (!w->first)
			w->last = &w->first;
		if (!is_blocked && write(w->out, p->bytes, p->len) < 0 && errno != EAGAIN &&
			errno != EINVAL)
			die("write");
		free(p);
	}
}

static _Noreturn void carry(int a, int b)
{
	struct way ways[2] = { { .in = a, .out = b }, { .in = b, .out = a } };
	struct pollfd fds[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
	struct timespec wait;
	uint64_t now, next;

	for (int i = 0; i < 2; i++)
		ways[i].last = &ways[i].first;
	for (;;) {
		now = now_ns();
		next = now + 1000000000u;
		for (int i = 0; i < 2; i++) {
			give(&ways[i], now);
			if (ways[i].first && ways[i].first->due_ns < next)
				next = ways[i].first->due_ns;
		}
		now = now_ns();
		next = next > now ? next - now : 0;
		wait = (struct timespec){ (time_t)(next / 1000000000u),
			(long)(next % 1000000000u) };
		if (ppoll(fds, 2, &wait, NULL) < 0 && errno != EINTR)
			die("ppoll");
		for (int i = 0; i < 2; i++)
			take(&ways[i]);
	}
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_signal };
	double mbit;
	int a, b;

	if (argc != 8) {
		(void)fprintf(
			stderr, "usage: path NS_A ADDR_A NS_B ADDR_B DELAY_MS MBIT_S QUEUE\n");
		return 64;
	}
	delay_ns = (uint64_t)(strtod(argv[5], NULL) * 1e6);
	mbit = strtod(argv[6], NULL);
	bytes_per_ns = mbit / 8e3;
	queue_bytes = strtoull(argv[7], NULL, 10);
	(void)sigaction(SIGUSR1, &act, NULL);
	(void)sigaction(SIGUSR2, &act, NULL);
	(void)prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	a = open_tun(argv[1], argv[2], mbit == 0 || mbit >= OFFLOAD_MBIT);
	b = open_tun(argv[3], argv[4], mbit == 0 || mbit >= OFFLOAD_MBIT);
	(void)puts("ready");
	(void)fflush(stdout);
	carry(a, b);
}
