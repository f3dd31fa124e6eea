/* SPDX-License-Identifier: MIT */
/* Where the SSH agent listens (A1): a socket of the file system. */
#include "os/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

int smx_os_agent_path(const char *name, char **ret_path)
{
	const char *path = name;
	char *copy;

	if (!path || strcmp(path, SMX_OS_AGENT_USUAL) == 0)
		path = getenv(SMX_OS_AGENT_USUAL);
	else if (path[0] == '$')
		path = getenv(path + 1);
	if (!path || !path[0])
		return SMX_ENOTFOUND;
	if ((copy = smx_strdup(path)) == NULL)
		return SMX_ENOMEM;
	*ret_path = copy;
	return 0;
}

int smx_os_agent_is_place(const char *path)
{
	return path[0] == '/';
}

int smx_os_agent_is_there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

int smx_os_agent_open(const char *path, int *ret_fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd, r;

	if (n >= sizeof(address.sun_path))
		return SMX_EINVAL;
	memcpy(address.sun_path, path, n + 1);
	if ((fd = socket(AF_UNIX, SOCK_STREAM, 0)) < 0)
		return SMX_ESYS;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
		r = SMX_ESYS;
	} else if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ||
		   errno == EINPROGRESS) {
		*ret_fd = fd;
		return 0;
	} else {
		/* EAGAIN: more clients wait than its queue takes. There is nothing to poll for. */
		r = errno == EAGAIN || errno == EINTR ? SMX_EAGAIN : SMX_ENOTFOUND;
	}
	close(fd);
	return r;
}
