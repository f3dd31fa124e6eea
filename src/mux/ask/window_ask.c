/* SPDX-License-Identifier: MIT */
#include "mux/ask/window_ask.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/ask/pinentry.h"
#include "mux/ask/prompt.h"
#include "mux/ask/question.h"
#include "mux/core/say.h"

struct window_ask {
	struct asker asker;
	struct mux *mux;
	struct pinentry *pinentry; /* shows it */
	struct prompt *prompt;
	const struct question *question;
	size_t at;
	int is_window; /* one of our own */
	int no_script; /* tried in vain for this question */
};

_Static_assert(SMX_PINENTRY_ANSWER_MAX < PROMPT_ANSWER_SIZE, "an answer fits");

static struct window_ask *ask_of(struct asker *asker)
{
	return SMX_CONTAINER(asker, struct window_ask, asker);
}

static enum asker_state ask_state(struct asker *asker)
{
	const struct window_ask *w = ask_of(asker);
	struct pinentry_choice c;

	if (w->pinentry)
		return ASKER_BUSY;
	if (pinentry_find(w->mux, SMX_PROMPTER_NATIVE, &c) != 0)
		return ASKER_NEVER;
	pinentry_choice_release(&c);
	return ASKER_FREE;
}

static enum attempt_place ask_place(struct asker *asker)
{
	(void)asker;
	return ATTEMPT_PINENTRY;
}

static void on_pinentry(void *arg, int r, const char *answer);

static enum smx_prompter prompter_of(const struct window_ask *w)
{
	return w->no_script ? SMX_PROMPTER_NATIVE : prompt_prompter(w->prompt);
}

static int start(struct window_ask *w)
{
	struct smx_pinentry_question q = { .title = "ssh-mux" };
	struct smx_buf desc, label, note;
	struct pinentry_choice c;
	int r;

	if ((r = pinentry_find(w->mux, prompter_of(w), &c)) != 0)
		return r;
	w->is_window = c.is_window;
	if (c.is_window)
		q.title = "ssh-mux OTP";
	smx_buf_init(&desc, QUESTION_TEXT_MAX);
	smx_buf_init(&label, QUESTION_TEXT_MAX);
	smx_buf_init(&note, QUESTION_TEXT_MAX);
	if ((r = question_put_note(w->question, w->at, &note)) == 0)
		r = question_put_window(w->question, w->at, c.is_window, &desc, &label);
	if (r == 0 && smx_buf_len(&desc) && smx_buf_view(&desc)[smx_buf_len(&desc) - 1] == '\n')
		smx_buf_truncate(&desc, smx_buf_len(&desc) - 1);
	if (r == 0) {
		q.description = smx_buf_cstr(&desc);
		q.error = smx_buf_len(&note) ? smx_buf_cstr(&note) : NULL;
		q.prompt = smx_buf_len(&label) ? smx_buf_cstr(&label) : NULL;
		r = q.description && !q.prompt == !smx_buf_len(&label)
			    ? pinentry_ask(w->mux, &c, &q, on_pinentry, w, &w->pinentry)
			    : SMX_ENOMEM;
	}
	smx_buf_release(&desc);
	smx_buf_release(&label);
	smx_buf_release(&note);
	pinentry_choice_release(&c);
	return r;
}

/* A managed computer lets scripts do little (A4); the box is no worse. Whether it asks now. */
static int goes_on_without_script(struct window_ask *w, int r)
{
	if (r != SMX_EUNSUPPORTED || !w->is_window || prompter_of(w) != SMX_PROMPTER_POWERSHELL)
		return 0;
	log_warn("PowerShell can't ask here, where it may be restricted: a window of our own asks "
		 "instead; take prompter = \"powershell\" out of the routes file");
	w->no_script = 1;
	return start(w) == 0;
}

static void on_pinentry(void *arg, int r, const char *answer)
{
	struct window_ask *w = arg;
	struct prompt *p = w->prompt;
	struct mux *m = w->mux;

	w->pinentry = NULL;
	if (!goes_on_without_script(w, r)) {
		w->prompt = NULL;
		if (r == 0) {
			prompt_answered(p, 0, smx_view_of(answer, strlen(answer)));
		} else if (r == SMX_ECANCELLED && w->is_window) {
			prompt_closed(p);
		} else if (r == SMX_ECANCELLED) {
			prompt_answered(p, r, (struct smx_view){ NULL, 0 });
		} else {
			say_warn(&(struct mux_ids){ .route = prompt_route(p) },
				"the pinentry can't ask: %s", smx_strerror(r));
			prompt_displaced(p);
		}
		prompt_place_all(m);
	}
}

static int ask_ask(struct asker *asker, struct prompt *p, const struct question *q, size_t at)
{
	struct window_ask *w = ask_of(asker);
	int r;

	w->prompt = p;
	w->question = q;
	w->at = at;
	if (at == 0)
		w->no_script = 0;
	if ((r = start(w)) != 0)
		w->prompt = NULL;
	return r;
}

static void ask_unask(struct asker *asker)
{
	struct window_ask *w = ask_of(asker);

	pinentry_cancel(w->pinentry);
	w->pinentry = NULL;
	w->prompt = NULL;
}

static const struct asker_ops ops = {
	.state = ask_state, .place = ask_place, .ask = ask_ask, .unask = ask_unask
};

struct asker *window_ask_new(struct mux *m)
{
	struct window_ask *w = smx_calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->asker.ops = &ops;
	w->asker.is_ours = 1;
	w->mux = m;
	return &w->asker;
}

void window_ask_free(struct asker *asker)
{
	if (asker)
		smx_free(ask_of(asker));
}
