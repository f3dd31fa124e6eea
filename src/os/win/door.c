/* SPDX-License-Identifier: MIT */
/*
 * The control sockets of ssh (W2). OpenSSH for Windows has no connection sharing (no ControlMaster,
 * and no descriptors over sockets), so there is nobody who could come.
 */
#include "os/door.h"

#include "base/err.h"

int smx_os_doors_where(const char *ssh_dir, char **ret_path, struct smx_buf *err)
{
	(void)ssh_dir;
	(void)ret_path;
	(void)err;
	return SMX_EUNSUPPORTED;
}

int smx_os_has_doors(void)
{
	return 0;
}

size_t smx_os_doors_room(const char *path)
{
	(void)path;
	return 0;
}

int smx_os_doors_open(const char *ssh_dir, struct smx_os_doors **ret, struct smx_buf *err)
{
	(void)ssh_dir;
	(void)ret;
	(void)err;
	return SMX_EUNSUPPORTED;
}

const char *smx_os_doors_path(const struct smx_os_doors *d)
{
	(void)d;
	return "";
}

void smx_os_doors_free(struct smx_os_doors *d)
{
	(void)d;
}

int smx_os_door_listen(
	struct smx_os_doors *d, const char *name, struct smx_os_door **ret, struct smx_buf *err)
{
	(void)d;
	(void)name;
	(void)ret;
	(void)err;
	return SMX_EUNSUPPORTED;
}

int smx_os_door_fd(const struct smx_os_door *door)
{
	(void)door;
	return -1;
}

int smx_os_door_accept(struct smx_os_door *door, int *ret_fd)
{
	(void)door;
	(void)ret_fd;
	return SMX_EUNSUPPORTED;
}

void smx_os_door_close(struct smx_os_door *door)
{
	(void)door;
}

int smx_os_door_receive(int fd, void *p, size_t size, size_t *ret_len, int *ret_fds, size_t max_fds,
	size_t *ret_n_fds)
{
	(void)fd;
	(void)p;
	(void)size;
	(void)ret_len;
	(void)ret_fds;
	(void)max_fds;
	(void)ret_n_fds;
	return SMX_EUNSUPPORTED;
}

int smx_os_door_send(int fd, const void *p, size_t len, size_t *ret_len)
{
	(void)fd;
	(void)p;
	(void)len;
	(void)ret_len;
	return SMX_EUNSUPPORTED;
}

int smx_os_stdio_new(int fd, int is_output, struct smx_os_stdio **ret)
{
	(void)fd;
	(void)is_output;
	(void)ret;
	return SMX_EUNSUPPORTED;
}

int smx_os_stdio_poll_fd(const struct smx_os_stdio *s, int *ret_is_writable)
{
	(void)s;
	(void)ret_is_writable;
	return -1;
}

int smx_os_stdio_is_null(const struct smx_os_stdio *s)
{
	(void)s;
	return 0;
}

int smx_os_stdio_terminal(const struct smx_os_stdio *s)
{
	(void)s;
	return -1;
}

int smx_os_stdio_read(struct smx_os_stdio *s, void *p, size_t size, size_t *ret_len)
{
	(void)s;
	(void)p;
	(void)size;
	(void)ret_len;
	return SMX_EUNSUPPORTED;
}

int smx_os_stdio_write(struct smx_os_stdio *s, const void *p, size_t len, size_t *ret_len)
{
	(void)s;
	(void)p;
	(void)len;
	(void)ret_len;
	return SMX_EUNSUPPORTED;
}

void smx_os_stdio_free(struct smx_os_stdio *s)
{
	(void)s;
}

int smx_os_stdio_of_socket(int fd, struct smx_os_stdio **ret_in, struct smx_os_stdio **ret_out)
{
	(void)fd;
	(void)ret_in;
	(void)ret_out;
	return SMX_EUNSUPPORTED;
}

int smx_os_socket_twin(int64_t socket, int *ret_fd)
{
	(void)socket;
	(void)ret_fd;
	return SMX_EUNSUPPORTED;
}

void smx_os_stdio_end(struct smx_os_stdio *s)
{
	(void)s;
}

int smx_os_forward_is_local(const struct smx_os_forward_place *at)
{
	(void)at;
	return 0;
}

int smx_os_forward_listen(
	const struct smx_os_forward_place *at, struct smx_os_forward **ret, struct smx_buf *err)
{
	(void)at;
	(void)ret;
	(void)err;
	return SMX_EUNSUPPORTED;
}

size_t smx_os_forward_fds(const struct smx_os_forward *f, int ret_fds[SMX_OS_FORWARD_FDS])
{
	(void)f;
	(void)ret_fds;
	return 0;
}

int smx_os_forward_accept(
	int listener, int *ret_fd, char *ret_address, size_t size, uint16_t *ret_port)
{
	(void)listener;
	(void)ret_fd;
	(void)ret_address;
	(void)size;
	(void)ret_port;
	return SMX_EUNSUPPORTED;
}

void smx_os_forward_close(struct smx_os_forward *f)
{
	(void)f;
}

int smx_os_stdio_has_nothing(int fd)
{
	(void)fd;
	return 0;
}

int smx_os_size_signal(void)
{
	return 0;
}

void smx_os_door_hang_up(int fd)
{
	(void)fd;
}
