/* SPDX-License-Identifier: MIT */
#include "mux/prompt.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/os.h"

#define TEXT_MAX (SMX_AUTH_PROMPTS_MAX * 1024)
#define ONE_TEXT 1024

struct prompt {
	struct smx_list node; /* mux->prompts */
	struct mux *mux;
	prompt_cb *cb; /* NULL: cancelled */
	void *arg;
	uv_work_t work;
	int is_running;
	uint64_t since_ms; /* it is running */
	struct smx_os_ask *ask;
	size_t n;
	char *texts[SMX_AUTH_PROMPTS_MAX];
	int echo[SMX_AUTH_PROMPTS_MAX];
	char *answers[SMX_AUTH_PROMPTS_MAX]; /* PROMPT_ANSWER_SIZE each, wiped */
	int r;
};

static void run_next(struct mux *m);

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
	struct smx_view views[SMX_AUTH_PROMPTS_MAX];
	struct mux *m = p->mux;

	(void)status;
	p->is_running = 0;
	for (size_t i = 0; i < p->n; i++)
		views[i] = smx_view_of(p->answers[i], strlen(p->answers[i]));
	if (p->cb)
		p->cb(p->arg, p->r, views, p->n);
	prompt_free(p);
	run_next(m);
	mux_settle(m);
}

/* One at a time: two questions at once on a terminal can't be answered. */
static void run_next(struct mux *m)
{
	struct prompt *p;

	if (smx_list_empty(&m->prompts))
		return;
	p = SMX_CONTAINER(m->prompts.next, struct prompt, node);
	if (p->is_running)
		return;
	p->is_running = 1;
	p->since_ms = mux_now(m);
	if (uv_queue_work(m->loop, &p->work, on_work, on_done) != 0)
		p->is_running = 0;
}

int prompt_is_overdue(const struct prompt *p)
{
	return p->is_running && mux_now(p->mux) - p->since_ms >= PROMPT_TIMEOUT_MS;
}

int prompt_is_possible(const struct mux *m)
{
	return m->opts->may_prompt;
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

struct prompt *prompt_start(struct mux *m, const char *for_whom,
	const struct smx_auth_info_request *request, prompt_cb *cb, void *arg)
{
	struct prompt *p;

	if (!prompt_is_possible(m) || !(p = smx_calloc(1, sizeof(*p))))
		return NULL;
	smx_list_init(&p->node);
	p->mux = m;
	p->cb = cb;
	p->arg = arg;
	for (; p->n < request->n_prompts; p->n++) {
		p->texts[p->n] = make_text(for_whom, request, p->n);
		p->answers[p->n] = smx_calloc(1, PROMPT_ANSWER_SIZE);
		p->echo[p->n] = request->prompts[p->n].echo;
		if (!p->texts[p->n] || !p->answers[p->n]) {
			p->n++;
			goto fail;
		}
	}
	if (smx_os_ask_new(&p->ask) != 0)
		goto fail;
	smx_list_add_tail(&m->prompts, &p->node);
	run_next(m);
	if (p->is_running || m->prompts.next != &p->node)
		return p;
fail:
	prompt_free(p);
	return NULL;
}

void prompt_cancel(struct prompt *p)
{
	if (!p)
		return;
	p->cb = NULL;
	if (p->is_running)
		smx_os_ask_cancel(p->ask); /* on_done frees it */
	else
		prompt_free(p);
}
