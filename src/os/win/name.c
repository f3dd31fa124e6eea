/* SPDX-License-Identifier: MIT */
/* Parts of paths, which need not be there. */
#include "os/path.h"
#include "os/win/win.h"

#include <string.h>

#include "base/mem.h"

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

/* For comparing only, where case makes no difference: with backslashes throughout. */
static wchar_t *comparable(const char *path)
{
	wchar_t *wide = NULL;

	if (smx_win_wide(path, &wide) != 0)
		return NULL;
	for (wchar_t *c = wide; *c; c++)
		if (*c == L'/')
			*c = L'\\';
	return wide;
}

int smx_os_path_same(const char *a, const char *b)
{
	wchar_t *x = comparable(a), *y = comparable(b);
	int is_same = x && y && CompareStringOrdinal(x, -1, y, -1, TRUE) == CSTR_EQUAL;

	smx_free(x);
	smx_free(y);
	return is_same;
}
