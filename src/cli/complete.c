/* SPDX-License-Identifier: MIT */
/*
 * ssh-mux __routes: the names of the routes for the completions of shells (B10), which then need
 * not read TOML themselves. Asks no daemon. Not in the list of commands: it is for programs.
 */
#include "cli/cli.h"

#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/routes.h"
#include "os/file.h"
#include "os/path.h"

#define ROUTES_TEXT_MAX (1024 * 1024)

static int list(const char *path)
{
	struct smx_routes *routes = NULL;
	struct smx_buf text, err;
	int r;

	smx_buf_init(&text, ROUTES_TEXT_MAX);
	smx_buf_init(&err, 4 * SMX_OS_PATH_MAX);
	if ((r = smx_os_file_read(path, ROUTES_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, &err)) == 0)
		r = smx_routes_parse(smx_buf_as_view(&text), path, &routes, &err);
	/* Names have no blank and no character that means anything to a shell (config/names.h). */
	for (size_t i = 0; r == 0 && i < routes->n_routes; i++)
		(void)printf("%s\n", routes->routes[i].name);
	if (r != 0)
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_errtext(r, &err));
	smx_routes_unref(routes);
	smx_buf_release(&text);
	smx_buf_release(&err);
	return r;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { SMX_CLI_COMMON_OPTIONS };
	char *ssh_dir = NULL, *path = NULL;
	struct smx_buf err;
	int c, r;

	while ((c = smx_cli_getopt(argc, argv, "+:hV", options, &smx_cmd_routes, &r)) != -1)
		if (c == -2)
			return r;
	if ((r = smx_cli_no_arguments(argc, argv, &smx_cmd_routes)) != 0)
		return r;
	smx_buf_init(&err, 4 * SMX_OS_PATH_MAX);
	/* That an override is ignored the next command will say. */
	if ((r = smx_os_ssh_dir(&ssh_dir, NULL, &err)) == 0 &&
		(r = smx_os_path_join(ssh_dir, SMX_ROUTES_FILE, &path)) == 0)
		r = list(path);
	else
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_errtext(r, &err));
	smx_buf_release(&err);
	smx_free(path);
	smx_free(ssh_dir);
	return r;
}

const struct smx_command smx_cmd_routes = {
	.name = "__routes",
	.summary = "",
	.usage = "usage: ssh-mux __routes\n"
		 "\n"
		 "Print the names of the routes, one per line, for completions in shells.\n",
	.run = run,
};
