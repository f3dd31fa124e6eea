/* SPDX-License-Identifier: MIT */
#include "mux/ask/serve_ask.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/ask/prompt.h"
#include "mux/ask/question.h"
#include "mux/core/daemon.h"
#include "os/ask.h"

struct serve_ask {
	struct asker asker;
	struct mux *mux;
	struct smx_os_ask *ask; /* the terminal shows it, in `work` */
	struct prompt *prompt; /* NULL: it was taken back */
	uv_work_t work;
	struct smx_buf text;
	int echo, r;
	char answer[PROMPT_ANSWER_SIZE]; /* wiped */
};

static struct serve_ask *ask_of(struct asker *asker)
{
	return SMX_CONTAINER(asker, struct serve_ask, asker);
}

static enum asker_state ask_state(struct asker *asker)
{
	const struct serve_ask *s = ask_of(asker);

	if (!s->mux->opts->may_prompt)
		return ASKER_NEVER;
	return s->ask ? ASKER_BUSY : ASKER_FREE;
}

static enum attempt_place ask_place(struct asker *asker)
{
	(void)asker;
	return ATTEMPT_TERMINAL;
}

static void on_work(uv_work_t *work)
{
	struct serve_ask *s = SMX_CONTAINER(work, struct serve_ask, work);

	s->r = smx_os_ask_run(s->ask, (const char *)smx_buf_view(&s->text), s->echo, s->answer,
		sizeof(s->answer));
}

static void on_done(uv_work_t *work, int status)
{
	struct serve_ask *s = SMX_CONTAINER(work, struct serve_ask, work);
	struct prompt *p = s->prompt;
	struct mux *m = s->mux;
	char answer[PROMPT_ANSWER_SIZE];
	int r = status != 0 ? SMX_ESYS : s->r;

	/* It may be asked again within prompt_answered. */
	memcpy(answer, s->answer, sizeof(answer));
	smx_wipe(s->answer, sizeof(s->answer));
	smx_os_ask_free(s->ask);
	s->ask = NULL;
	s->prompt = NULL;
	if (p)
		prompt_answered(p, r, smx_view_of(answer, r == 0 ? strlen(answer) : 0));
	smx_wipe(answer, sizeof(answer));
	prompt_place_all(m);
}

static int ask_ask(struct asker *asker, struct prompt *p, const struct question *q, size_t at)
{
	struct serve_ask *s = ask_of(asker);
	int r;

	smx_buf_reset(&s->text);
	if ((r = smx_buf_put_str(&s->text, at == 0 ? "\n" : "")) != 0 ||
		(r = question_put_terminal(q, at, QUESTION_COLUMNS, &s->text)) != 0)
		return r;
	if (!smx_buf_cstr(&s->text))
		return SMX_ENOMEM;
	s->echo = q->parts[at].echo;
	if ((r = smx_os_ask_new(&s->ask)) != 0)
		return r;
	if (uv_queue_work(s->mux->core.loop, &s->work, on_work, on_done) != 0) {
		smx_os_ask_free(s->ask);
		s->ask = NULL;
		return SMX_ESYS;
	}
	s->prompt = p;
	return 0;
}

static void ask_unask(struct asker *asker)
{
	struct serve_ask *s = ask_of(asker);

	s->prompt = NULL;
	smx_os_ask_cancel(s->ask); /* on_done follows */
}

static const struct asker_ops ops = {
	.state = ask_state, .place = ask_place, .ask = ask_ask, .unask = ask_unask
};

struct asker *serve_ask_new(struct mux *m)
{
	struct serve_ask *s = smx_calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->asker.ops = &ops;
	s->asker.is_ours = 1;
	s->mux = m;
	smx_buf_init(&s->text, QUESTION_TEXT_MAX + 1);
	return &s->asker;
}

void serve_ask_free(struct asker *asker)
{
	struct serve_ask *s;

	if (!asker)
		return;
	s = ask_of(asker);
	smx_os_ask_free(s->ask);
	smx_buf_release(&s->text);
	smx_free(s);
}
