/* SPDX-License-Identifier: MIT */
#include "cli/color.h"

#include <stdlib.h>

#include "os/start.h"

int smx_cli_color_wanted(int fd)
{
	const char *no = getenv("NO_COLOR");

	return !(no && no[0]) && smx_os_terminal_has_colors(fd);
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
