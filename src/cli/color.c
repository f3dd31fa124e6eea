/* SPDX-License-Identifier: MIT */
#include "cli/color.h"

#include <stdlib.h>
#include <string.h>

#include "os/os.h"

int smx_cli_color_wanted(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (!smx_os_is_terminal(fd) || (no && no[0]))
		return 0;
	return term && term[0] && strcmp(term, "dumb") != 0;
}

const char *smx_cli_color(int is_wanted, enum smx_cli_style style)
{
	static const char *const begin[] = {
		[SMX_STYLE_NONE] = "\033[0m",
		[SMX_STYLE_BOLD] = "\033[1m",
		[SMX_STYLE_DIM] = "\033[2m",
		[SMX_STYLE_GOOD] = "\033[32m",
		[SMX_STYLE_NOTE] = "\033[36m",
		[SMX_STYLE_WARN] = "\033[33m",
		[SMX_STYLE_BAD] = "\033[1;31m",
	};

	return is_wanted ? begin[style] : "";
}
