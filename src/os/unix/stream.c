/* SPDX-License-Identifier: MIT */
/* Standard streams, read and written by worker threads. */
#include "os/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

/* The usual 64 KiB are two writes of ssh. All pipes of a user have 64 MiB, or they get small. */
#define PIPE_WIDE (256 * 1024)

struct smx_os_input {
	int fd;
	int cancel[2]; /* a byte in it: give up */
};

int smx_os_input_new(int fd, struct smx_os_input **ret)
{
	struct smx_os_input *in = smx_calloc(1, sizeof(*in));

	if (!in)
		return SMX_ENOMEM;
	in->fd = fd;
	if (pipe(in->cancel) != 0) {
		smx_free(in);
		return SMX_ESYS;
	}
	for (int i = 0; i < 2; i++)
		(void)fcntl(in->cancel[i], F_SETFD, FD_CLOEXEC);
	*ret = in;
	return 0;
}

int smx_os_input_read(struct smx_os_input *in, void *p, size_t size, size_t *ret_len)
{
	struct pollfd fds[2] = { { in->cancel[0], POLLIN, 0 }, { in->fd, POLLIN, 0 } };
	ssize_t n;

	for (;;) {
		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return SMX_ESYS;
		}
		if (fds[0].revents)
			return SMX_ECANCELLED;
		if (!fds[1].revents)
			continue;
		n = read(in->fd, p, size);
		if (n > 0) {
			*ret_len = (size_t)n;
			return 0;
		}
		if (n == 0)
			return SMX_EEOF;
		/* Not ours to change: it may be non-blocking, and somebody else was faster. */
		if (errno != EINTR && errno != EAGAIN)
			return errno == EIO || errno == ECONNRESET ? SMX_EEOF : SMX_ESYS;
	}
}

void smx_os_input_cancel(struct smx_os_input *in)
{
	/* One byte, never read: a read to come sees it too. */
	(void)!write(in->cancel[1], "c", 1);
}

void smx_os_input_free(struct smx_os_input *in)
{
	if (!in)
		return;
	(void)close(in->cancel[0]);
	(void)close(in->cancel[1]);
	smx_free(in);
}

int smx_os_output_write(int fd, const void *p, size_t len)
{
	struct pollfd pfd = { fd, POLLOUT, 0 };
	const uint8_t *at = p;
	ssize_t n;

	while (len > 0) {
		n = write(fd, at, len);
		if (n >= 0) {
			at += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			(void)poll(&pfd, 1, -1);
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return SMX_EEOF;
		} else if (errno != EINTR) {
			return SMX_ESYS;
		}
	}
	return 0;
}

void smx_os_pipe_widen(int fd)
{
#ifdef F_SETPIPE_SZ
	int len = fcntl(fd, F_GETPIPE_SZ);

	if (len >= 0 && len < PIPE_WIDE)
		(void)fcntl(fd, F_SETPIPE_SZ, PIPE_WIDE);
#else
	(void)fd;
#endif
}
