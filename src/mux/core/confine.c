/* SPDX-License-Identifier: MIT */
#include "mux/core/confine.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/confine.h"
#include "os/path.h"

/*
 * A rule is about a directory and all below it: the files themselves are replaced by others of
 * their name, and a rule about a file would be about the old one. Files elsewhere that the routes
 * name are opened by the helper: a rule for "~/key" would be one for the whole home.
 */
struct confine {
	struct smx_os_place places[2];
	size_t n;
	char *run_dir;
	struct smx_os_confined result;
};

static char *run_dir(const char *ssh_dir)
{
	char *path = NULL, *dir = NULL;

	if (smx_os_control_path(ssh_dir, &path, NULL) == 0 && smx_os_path_dir(path, &dir) != 0)
		dir = NULL;
	smx_free(path);
	return dir;
}

void confine(struct mux *m)
{
	struct confine *c;

	if (!m->opts->is_confined)
		return;
	if (!(c = smx_calloc(1, sizeof(*c)))) {
		log_warn("confined: %s", confine_text(m));
		return;
	}
	c->places[c->n++] = (struct smx_os_place){ m->opts->ssh_dir, SMX_OS_USE_READ };
	if ((c->run_dir = run_dir(m->opts->ssh_dir)) != NULL)
		c->places[c->n++] = (struct smx_os_place){ c->run_dir, SMX_OS_USE_WRITE };
	smx_os_confine(c->places, c->n, &c->result);
	m->confined = c;
	for (size_t i = 0; i < c->n; i++)
		log_debug("confined: %s %s",
			c->places[i].use == SMX_OS_USE_WRITE ? "writes and reads" : "reads",
			c->places[i].path);
	log_info("confined: %s", c->result.text);
}

void confine_free(struct mux *m)
{
	struct confine *c = m->confined;

	if (!c)
		return;
	smx_free(c->run_dir);
	smx_free(c);
	m->confined = NULL;
}

const char *confine_text(const struct mux *m)
{
	if (m->confined)
		return m->confined->result.text;
	return !m->opts->is_confined ? "no (SSH_MUX_CONFINE=no is in its environment)"
				     : "no (out of memory)";
}
