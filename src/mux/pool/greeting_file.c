/* SPDX-License-Identifier: MIT */
#include "mux/pool/greeting_file.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"
#include "os/helper.h"
#include "os/path.h"

#define ERROR_MAX (2 * SMX_OS_PATH_MAX)

struct greeting_save {
	uv_work_t work;
	struct mux *mux;
	char *path;
	struct smx_buf text, err;
	int r;
};

static void save_free(struct greeting_save *s)
{
	smx_free(s->path);
	smx_buf_release(&s->text);
	smx_buf_release(&s->err);
	smx_free(s);
}

void greeting_file_read(struct mux *m)
{
	struct smx_buf text, err;
	char *path = NULL;
	unsigned line = 0;
	int r;

	smx_buf_init(&text, GREETINGS_TEXT_MAX);
	smx_buf_init(&err, ERROR_MAX);
	if ((r = smx_os_path_join(m->opts->ssh_dir, GREETINGS_FILE, &path)) == 0 &&
		(r = smx_os_file_read(path, GREETINGS_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, &err)) ==
			0)
		r = greetings_read(&m->greetings, smx_buf_as_view(&text), &line);
	if (r == SMX_ESYNTAX)
		log_warn("%s: line %u is not as ssh-mux writes it; it is written anew after the "
			 "next login",
			path, line);
	else if (r < 0 && r != SMX_ENOTFOUND)
		log_warn("%s is not used: %s", GREETINGS_FILE, smx_errtext(r, &err));
	else if (m->greetings.n)
		log_debug("known from before: how to begin %u login%s", m->greetings.n,
			SMX_PLURAL(m->greetings.n));
	smx_free(path);
	smx_buf_release(&text);
	smx_buf_release(&err);
}

static void on_work(uv_work_t *work)
{
	struct greeting_save *s = SMX_CONTAINER(work, struct greeting_save, work);
	const char *text = smx_buf_cstr(&s->text);

	s->r = text ? smx_os_helper_keep(s->path, text, &s->err) : SMX_ENOMEM;
}

static void on_done(uv_work_t *work, int status)
{
	struct greeting_save *s = SMX_CONTAINER(work, struct greeting_save, work);
	int r = status != 0 ? SMX_ECANCELLED : s->r;

	/* What fails here (a full disk, a directory that can't be written) would fail each second:
	 * it is not tried again by this daemon. */
	if (r != 0)
		log_warn("the next daemon's first logins take longer: %s", smx_errtext(r, &s->err));
	s->mux->is_saving_greetings = r != 0;
	if (s->mux->core.is_stopping)
		greeting_file_tick(s->mux); /* what was learnt meanwhile */
	save_free(s);
}

void greeting_file_tick(struct mux *m)
{
	struct greeting_save *s;

	if (!m->greetings.has_changed || m->is_saving_greetings)
		return;
	if (!(s = smx_calloc(1, sizeof(*s))))
		return;
	s->mux = m;
	smx_buf_init(&s->text, GREETINGS_TEXT_MAX);
	smx_buf_init(&s->err, ERROR_MAX);
	if (greetings_write(&m->greetings, &s->text) != 0 ||
		smx_os_path_join(m->opts->ssh_dir, GREETINGS_FILE, &s->path) != 0 ||
		uv_queue_work(m->core.loop, &s->work, on_work, on_done) != 0) {
		save_free(s);
		return;
	}
	m->is_saving_greetings = 1;
	m->greetings.has_changed = 0;
}

int greeting_file_may_be(const char *ssh_dir, const char *path, struct smx_view text)
{
	char *want = NULL;
	struct greetings g;
	unsigned line;
	int is_it;

	if (smx_os_path_join(ssh_dir, GREETINGS_FILE, &want) != 0)
		return 0;
	greetings_init(&g);
	is_it = strcmp(path, want) == 0 && text.len <= GREETINGS_TEXT_MAX &&
		greetings_read(&g, text, &line) == 0;
	greetings_release(&g);
	smx_free(want);
	return is_it;
}
