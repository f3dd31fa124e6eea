/* SPDX-License-Identifier: MIT */
/* Parts of paths, which need not be there. */
#include "os/path.h"

#include <string.h>

const char *smx_os_path_below_home(const char *path)
{
	return strncmp(path, "~/", 2) == 0 ? path + 2 : NULL;
}

const char *smx_os_path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int smx_os_path_same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}
