/* SPDX-License-Identifier: MIT */
/* Parts of paths, which need not be there. */
#include "os/os.h"

#include <string.h>

const char *smx_os_path_below_home(const char *path)
{
	return path[0] == '~' && (path[1] == '/' || path[1] == '\\') ? path + 2 : NULL;
}

const char *smx_os_path_name(const char *path)
{
	const char *name = path;

	for (const char *s = path; *s; s++)
		if (*s == '/' || *s == '\\' || (*s == ':' && s == path + 1))
			name = s + 1;
	return name;
}
