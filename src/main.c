/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "base/err.h"
#include "cli/cli.h"
#include "os/start.h"

int main(int argc, char **argv)
{
	int r = smx_os_args(&argc, &argv);

	if (r != 0) {
		(void)fprintf(stderr, "ssh-mux: cannot read the arguments: %s\n", smx_strerror(r));
		return r == SMX_EINVAL ? SMX_EXIT_USAGE : SMX_EXIT_OSERR;
	}
	smx_os_console_setup();
	return smx_cli_main(argc, argv);
}
