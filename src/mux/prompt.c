/* SPDX-License-Identifier: MIT */
#include "mux/prompt.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "control/frame.h"
#include "mux/attach.h"
#include "mux/pool.h"
#include "os/os.h"

#define TEXT_MAX (SMX_AUTH_PROMPTS_MAX * 1024)
#define ONE_TEXT 1024
/* Clients waiting for one login that are looked at for a place to ask. */
#define ATTACHED_MAX 64

struct prompt {
	struct smx_list node; /* mux->prompts */
	struct mux *mux;
	struct pool_entry *entry; /* outlives the login that asks */
	prompt_cb *cb; /* NULL: cancelled */
	void *arg;
	uint64_t since_ms; /* it is shown */
	struct attach *attach; /* shows it */
	struct smx_os_ask *ask; /* the terminal shows it, in `work` */
	uv_work_t work;
	size_t n, at; /* prompts; the one that an attached client is asked */
	char *texts[SMX_AUTH_PROMPTS_MAX];
	int echo[SMX_AUTH_PROMPTS_MAX];
	char *answers[SMX_AUTH_PROMPTS_MAX]; /* PROMPT_ANSWER_SIZE each, wiped */
	int r;
};

static void prompt_free(struct prompt *p)
{
	smx_list_del(&p->node);
	for (size_t i = 0; i < p->n; i++) {
		smx_free(p->texts[i]);
		smx_wipe_free(p->answers[i], PROMPT_ANSWER_SIZE);
	}
	smx_os_ask_free(p->ask);
	smx_free(p);
}

/* Tells whoever asked, and is gone. */
static void finish(struct prompt *p, int r)
{
	struct smx_view views[SMX_AUTH_PROMPTS_MAX];
	struct mux *m = p->mux;

	for (size_t i = 0; i < p->n; i++)
		views[i] = smx_view_of(p->answers[i], strlen(p->answers[i]));
	smx_list_del(&p->node);
	if (p->cb)
		p->cb(p->arg, r, views, p->n);
	prompt_free(p);
	prompt_place_all(m);
}

/* --- at the terminal of serve --- */

static void on_work(uv_work_t *work)
{
	struct prompt *p = SMX_CONTAINER(work, struct prompt, work);

	for (size_t i = 0; i < p->n && p->r == 0; i++)
		p->r = smx_os_ask_run(
			p->ask, p->texts[i], p->echo[i], p->answers[i], PROMPT_ANSWER_SIZE);
}

static void on_done(uv_work_t *work, int status)
{
	struct prompt *p = SMX_CONTAINER(work, struct prompt, work);
	struct mux *m = p->mux;

	m->terminal_is_busy = 0;
	finish(p, status != 0 ? SMX_ESYS : p->r);
	mux_settle(m);
}

static int ask_terminal(struct prompt *p)
{
	int r;

	if ((r = smx_os_ask_new(&p->ask)) != 0)
		return r;
	if (uv_queue_work(p->mux->loop, &p->work, on_work, on_done) != 0) {
		smx_os_ask_free(p->ask);
		p->ask = NULL;
		return SMX_ESYS;
	}
	p->mux->terminal_is_busy = 1;
	p->since_ms = mux_now(p->mux);
	return 0;
}

/* --- at an attached client --- */

static void ask_attached(struct prompt *p, struct attach *a)
{
	p->attach = a;
	p->since_ms = mux_now(p->mux);
	attach_ask(a, p, p->texts[p->at], p->echo[p->at] ? SMX_ASK_ECHO : 0);
}

void prompt_answered(struct prompt *p, int r, struct smx_view answer)
{
	struct attach *a = p->attach;

	p->attach = NULL;
	if (r == 0 && (answer.len >= PROMPT_ANSWER_SIZE || memchr(answer.p, 0, answer.len)))
		r = SMX_ETOOBIG;
	if (r == 0) {
		memcpy(p->answers[p->at], answer.p, answer.len);
		if (++p->at < p->n) {
			ask_attached(p, a);
			return;
		}
	}
	finish(p, r);
}

/* --- where --- */

/* Shows it somewhere if somebody is free. 0: it is shown, or waits its turn. */
static int place(struct prompt *p)
{
	struct attach *attached[ATTACHED_MAX];
	size_t n = pool_attached(p->entry, attached, ATTACHED_MAX);
	int is_waiting = 0;

	for (size_t i = 0; i < n; i++) {
		if (!attach_can_ask(attached[i]))
			continue;
		if (!attach_is_asking(attached[i])) {
			ask_attached(p, attached[i]);
			return 0;
		}
		is_waiting = 1;
	}
	if (is_waiting)
		return 0;
	if (!p->mux->opts->may_prompt)
		return SMX_ENOTFOUND;
	/* One at a time: two questions at once on a terminal can't be answered. */
	return p->mux->terminal_is_busy ? 0 : ask_terminal(p);
}

void prompt_place_all(struct mux *m)
{
	struct smx_list *it, *tmp;
	int r;

	SMX_LIST_FOREACH (it, tmp, &m->prompts) {
		struct prompt *p = SMX_CONTAINER(it, struct prompt, node);

		if (p->attach || p->ask)
			continue;
		if ((r = place(p)) != 0) {
			finish(p, r);
			return; /* finish has looked at the others */
		}
	}
}

void prompt_displaced(struct prompt *p)
{
	/* From its first part on: who is asked next has not seen the others. */
	p->attach = NULL;
	p->at = 0;
}

int prompt_is_overdue(const struct prompt *p)
{
	return (p->attach || p->ask) && mux_now(p->mux) - p->since_ms >= PROMPT_TIMEOUT_MS;
}

int prompt_is_possible(const struct pool_entry *e)
{
	struct attach *attached[ATTACHED_MAX];
	size_t n = pool_attached(e, attached, ATTACHED_MAX);

	for (size_t i = 0; i < n; i++)
		if (attach_can_ask(attached[i]))
			return 1;
	return e->mux->opts->may_prompt;
}

/* The head says who asks and where the answer goes; the server's words come behind it. */
static char *make_text(const char *for_whom, const struct smx_auth_info_request *req, size_t i)
{
	char clean[ONE_TEXT];
	struct smx_buf b;
	char *s = NULL;

	smx_buf_init(&b, TEXT_MAX);
	if (i == 0) {
		smx_sanitize(for_whom, strlen(for_whom), clean, sizeof(clean));
		(void)smx_buf_printf(&b, "\nssh-mux: login to %s\n", clean);
		smx_sanitize((const char *)req->name.p, req->name.len, clean, sizeof(clean));
		if (*clean)
			(void)smx_buf_printf(&b, "%s\n", clean);
		smx_sanitize((const char *)req->instruction.p, req->instruction.len, clean,
			sizeof(clean));
		if (*clean)
			(void)smx_buf_printf(&b, "%s\n", clean);
	}
	smx_sanitize((const char *)req->prompts[i].text.p, req->prompts[i].text.len, clean,
		sizeof(clean));
	(void)smx_buf_put_str(&b, *clean ? clean : "? ");
	if (smx_buf_cstr(&b))
		s = smx_strdup(smx_buf_cstr(&b));
	smx_buf_release(&b);
	return s;
}

/* n prompts without their texts. */
static struct prompt *prompt_new(struct pool_entry *e, size_t n, prompt_cb *cb, void *arg)
{
	struct prompt *p;

	if (!prompt_is_possible(e) || !(p = smx_calloc(1, sizeof(*p))))
		return NULL;
	smx_list_init(&p->node);
	p->mux = e->mux;
	p->entry = e;
	p->cb = cb;
	p->arg = arg;
	for (; p->n < n; p->n++) {
		if (!(p->answers[p->n] = smx_calloc(1, PROMPT_ANSWER_SIZE))) {
			prompt_free(p);
			return NULL;
		}
	}
	return p;
}

/* Shows it, if it has all its texts. */
static struct prompt *prompt_show(struct prompt *p)
{
	int r = 0;

	for (size_t i = 0; i < p->n; i++)
		if (!p->texts[i])
			r = SMX_ENOMEM;
	if (r != 0 || place(p) != 0) {
		prompt_free(p);
		return NULL;
	}
	smx_list_add_tail(&p->mux->prompts, &p->node);
	return p;
}

struct prompt *prompt_start(struct pool_entry *e, const char *for_whom,
	const struct smx_auth_info_request *request, prompt_cb *cb, void *arg)
{
	struct prompt *p = prompt_new(e, request->n_prompts, cb, arg);

	if (!p)
		return NULL;
	for (size_t i = 0; i < p->n; i++) {
		p->texts[i] = make_text(for_whom, request, i);
		p->echo[i] = request->prompts[i].echo;
	}
	return prompt_show(p);
}

struct prompt *prompt_start_text(struct pool_entry *e, const char *text, prompt_cb *cb, void *arg)
{
	struct prompt *p = prompt_new(e, 1, cb, arg);

	if (!p)
		return NULL;
	p->texts[0] = smx_strdup(text);
	p->echo[0] = 1;
	return prompt_show(p);
}

void prompt_cancel(struct prompt *p)
{
	struct mux *m;

	if (!p)
		return;
	m = p->mux;
	p->cb = NULL;
	if (p->attach)
		attach_unask(p->attach);
	if (p->ask) {
		smx_os_ask_cancel(p->ask); /* on_done frees it */
		return;
	}
	prompt_free(p);
	prompt_place_all(m);
}
