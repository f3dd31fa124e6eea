/* SPDX-License-Identifier: MIT */
#include "mux/core/confine.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/confine.h"
#include "os/path.h"

static char *run_dir(const char *ssh_dir)
{
	char *path = NULL, *dir = NULL;

	if (smx_os_control_path(ssh_dir, &path, NULL) == 0 && smx_os_path_dir(path, &dir) != 0)
		dir = NULL;
	smx_free(path);
	return dir;
}

/*
 * A rule is about a directory and all below it: the files themselves are replaced by others of
 * their name, and a rule about a file would be about the old one. Files elsewhere that the routes
 * name are opened by the helper: a rule for "~/key" would be one for the whole home.
 */
int confine(struct mux *m)
{
	struct smx_os_place places[2] = { { m->opts->ssh_dir, SMX_OS_USE_READ } };
	size_t n = 1;
	char *dir;
	int r = 0;

	if (!m->opts->is_confined)
		return 0;
	if (!(m->confined = smx_calloc(1, sizeof(*m->confined)))) {
		log_warn("confined: %s", confine_text(m));
		return 0;
	}
	if ((dir = run_dir(m->opts->ssh_dir)) != NULL)
		places[n++] = (struct smx_os_place){ dir, SMX_OS_USE_WRITE };
	smx_os_confine(places, n, m->confined);
	/* libuv (1.45 and later) has made an io_uring with the loop, where the kernel has it, and takes
	 * it for granted: it aborts when the filter refuses that. The loop's descriptors are made
	 * again, now without one. */
	if (m->confined->seccomp && (r = uv_loop_fork(m->core.loop)) != 0)
		log_error("the event loop can't be made again: %s", uv_strerror(r));
	log_debug("confined: reads %s", m->opts->ssh_dir);
	if (dir)
		log_debug("confined: writes and reads %s", dir);
	log_info("confined: %s", m->confined->text);
	smx_free(dir);
	return r == 0 ? 0 : SMX_ESYS;
}

void confine_free(struct mux *m)
{
	smx_free(m->confined);
	m->confined = NULL;
}

const char *confine_text(const struct mux *m)
{
	if (m->confined)
		return m->confined->text;
	return !m->opts->is_confined ? "no (SSH_MUX_CONFINE=no is in its environment)"
				     : "no (out of memory)";
}
