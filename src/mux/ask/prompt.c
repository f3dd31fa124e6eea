/* SPDX-License-Identifier: MIT */
#include "mux/ask/prompt.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rows.h"
#include "base/text.h"
#include "mux/ask/asker.h"
#include "mux/ask/question.h"
#include "mux/pool/pool.h"

#define ONE_TEXT 1024
/* Clients waiting for one login that are looked at for a place to ask. */
#define ASKERS_MAX 64

struct prompt {
	struct smx_list node; /* mux->prompts */
	struct mux *mux;
	struct pool_entry *entry; /* outlives the login that asks */
	struct question *question;
	prompt_cb *cb; /* NULL: cancelled */
	void *arg;
	uint64_t since_ms; /* it is shown */
	struct asker *asker; /* shows it */
	struct asker *in_vain[MUX_PLACES]; /* places of our own that could not, after all */
	size_t n_in_vain;
	struct asker *aside; /* of a permission: the client that may be asked, or NULL */
	int is_closed; /* the person closed a window of our own (A5) */
	size_t at; /* the part that is asked */
	char *answers[SMX_AUTH_PROMPTS_MAX]; /* PROMPT_ANSWER_SIZE each, wiped */
};

static int is_permission(const struct prompt *p)
{
	return p->question->kind == QUESTION_PERMISSION;
}

static void prompt_free(struct prompt *p)
{
	smx_list_del(&p->node);
	for (size_t i = 0; i < p->question->n; i++)
		smx_wipe_free(p->answers[i], PROMPT_ANSWER_SIZE);
	question_free(p->question);
	smx_free(p);
}

static int place(struct prompt *p);

/* Tells whoever asked, and is gone. */
static void finish(struct prompt *p, int r)
{
	struct smx_view views[SMX_AUTH_PROMPTS_MAX];
	struct mux *m = p->mux;

	for (size_t i = 0; i < p->question->n; i++)
		views[i] = smx_view_of(p->answers[i], strlen(p->answers[i]));
	smx_list_del(&p->node);
	if (p->cb)
		p->cb(p->arg, r, views, p->question->n);
	prompt_free(p);
	prompt_place_all(m);
}

/* --- at a place --- */

/* A14: as OpenSSH does on standard error, for an SSH_ASKPASS is shown the prompt alone. */
static void tell_before(const struct prompt *p, struct asker *a)
{
	struct smx_view rest, row;
	struct smx_buf rows;
	char *line;

	if (!a->ops->tell || asker_place(a) != ATTEMPT_ASKPASS)
		return;
	smx_buf_init(&rows, QUESTION_TEXT_MAX);
	if (question_put_before(p->question, p->at, &rows) == 0) {
		rest = smx_buf_as_view(&rows);
		while (smx_rows_next(&rest, &row)) {
			if ((line = smx_strndup((const char *)row.p, row.len)) != NULL)
				a->ops->tell(a, line);
			smx_free(line);
		}
	}
	smx_buf_release(&rows);
}

static int ask_there(struct prompt *p, struct asker *a)
{
	int r;

	tell_before(p, a);
	p->asker = a;
	p->since_ms = mux_now(p->mux);
	if ((r = a->ops->ask(a, p, p->question, p->at)) != 0)
		p->asker = NULL;
	return r;
}

/* A17: the others keep their login, and are asked. 0: they are, or there is nobody to be. */
static int leave_to_others(struct prompt *p, const struct asker *a)
{
	if (is_permission(p) || a->is_ours || !pool_is_wanted_without(p->entry, a))
		return SMX_ECANCELLED;
	prompt_displaced(p);
	pool_dismiss(p->entry, a, "permission denied: the question was cancelled");
	return place(p) == 0 ? 0 : SMX_ECANCELLED;
}

void prompt_answered(struct prompt *p, int r, struct smx_view answer)
{
	struct asker *a = p->asker;

	p->asker = NULL;
	/* As OpenSSH takes what an askpass says to a question of yes or no. */
	if (r == 0 && is_permission(p) && !a->is_ours && answer.len == 0)
		answer = smx_view_of("yes", 3);
	if (r == 0 && (answer.len >= PROMPT_ANSWER_SIZE || memchr(answer.p, 0, answer.len)))
		r = SMX_ETOOBIG;
	if (r == 0) {
		memcpy(p->answers[p->at], answer.p, answer.len);
		if (++p->at < p->question->n) {
			if (ask_there(p, a) == 0)
				return;
			prompt_displaced(p);
			if ((r = place(p)) == 0)
				return;
		}
	}
	if (r == SMX_ECANCELLED && (r = leave_to_others(p, a)) == 0)
		return;
	finish(p, r);
}

void prompt_closed(struct prompt *p)
{
	p->asker = NULL;
	p->is_closed = 1;
	finish(p, SMX_ECANCELLED);
}

void prompt_displaced(struct prompt *p)
{
	if (p->asker && p->asker->is_ours && p->n_in_vain < MUX_PLACES)
		p->in_vain[p->n_in_vain++] = p->asker;
	/* From its first part on: who is asked next has not seen the others. */
	p->asker = NULL;
	p->at = 0;
	for (size_t i = 0; i < p->question->n; i++)
		smx_wipe(p->answers[i], PROMPT_ANSWER_SIZE);
}

const char *prompt_route(const struct prompt *p)
{
	return p->entry->route->name;
}

enum smx_prompter prompt_prompter(const struct prompt *p)
{
	return p->entry->hops[p->entry->n_hops - 1].prompter;
}

/* --- who is told (A17) --- */

static const char *name_place(const struct asker *a)
{
	switch (a->ops->place((struct asker *)(uintptr_t)a)) {
	case ATTEMPT_TERMINAL:
		return a->is_ours ? "the terminal of ssh-mux serve" : "another terminal";
	case ATTEMPT_PINENTRY:
	case ATTEMPT_ASKPASS:
		return "a window";
	case ATTEMPT_NOWHERE:
		break;
	}
	return "another place";
}

static const char *name_subject(const struct question *q)
{
	switch (q->kind) {
	case QUESTION_PASSWORD:
		return "the password";
	case QUESTION_PASSPHRASE:
		return "the passphrase of a key";
	case QUESTION_HOST_KEY:
		return "a yes to the host key";
	case QUESTION_PERMISSION:
		return "a permission";
	case QUESTION_OF_SERVER:
		break;
	}
	return "the code or password";
}

/* Somebody who could be asked learns what he waits for. */
static void tell_one(const struct prompt *p, struct asker *a)
{
	const struct smx_hop *hop = &p->entry->hops[p->entry->n_hops - 1];
	char text[ONE_TEXT], clean[ONE_TEXT];

	(void)snprintf(text, sizeof(text), "%s@%s", hop->user, hop->host);
	smx_sanitize(text, strlen(text), clean, sizeof(clean));
	(void)snprintf(text, sizeof(text), "waiting for the login to %.800s: %s is asked for at %s",
		clean, name_subject(p->question), name_place(p->asker));
	a->ops->tell(a, text);
}

static void tell_others(const struct prompt *p, struct asker *const *askers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (askers[i] != p->asker && askers[i]->ops->tell)
			tell_one(p, askers[i]);
}

void prompt_welcome(struct mux *m, const struct asker *a)
{
	struct asker *askers[ASKERS_MAX];
	struct smx_list *it, *tmp;
	size_t n;

	SMX_LIST_FOREACH (it, tmp, &m->prompts) {
		const struct prompt *p = SMX_CONTAINER(it, struct prompt, node);

		n = p->asker ? pool_askers(p->entry, askers, ASKERS_MAX) : 0;
		for (size_t i = 0; i < n; i++)
			if (askers[i] == a && p->asker != a && a->ops->tell)
				tell_one(p, askers[i]);
	}
	prompt_place_all(m);
}

/* --- where --- */

/* The keys that are typed at a terminal go to the session. */
static int can_permit(struct asker *at)
{
	return at && asker_state(at) != ASKER_NEVER && asker_place(at) == ATTEMPT_ASKPASS;
}

/* Clients that may be asked. */
static size_t clients_of(const struct prompt *p, struct asker **ret)
{
	if (!is_permission(p))
		return pool_askers(p->entry, ret, ASKERS_MAX);
	ret[0] = p->aside;
	return can_permit(p->aside);
}

static int was_in_vain(const struct prompt *p, const struct asker *a)
{
	for (size_t i = 0; i < p->n_in_vain; i++)
		if (p->in_vain[i] == a)
			return 1;
	return 0;
}

/* A6: the clients first, of whom any will do; then our own places, one after the other. */
static int place(struct prompt *p)
{
	struct asker *askers[ASKERS_MAX], *own;
	size_t n = clients_of(p, askers);
	int is_waiting = 0;

	for (size_t i = 0; i < n; i++) {
		enum asker_state state = asker_state(askers[i]);

		if (state == ASKER_FREE && ask_there(p, askers[i]) == 0) {
			tell_others(p, askers, n);
			return 0;
		}
		is_waiting |= state == ASKER_BUSY;
	}
	if (is_waiting)
		return 0;
	if (!is_permission(p) && pool_is_batch(p->entry))
		return SMX_ENOTFOUND;
	for (size_t i = 0; i < MUX_PLACES; i++) {
		own = p->mux->places[i];
		if (was_in_vain(p, own))
			continue;
		switch (asker_state(own)) {
		case ASKER_BUSY:
			return 0; /* one at a time */
		case ASKER_FREE:
			if (ask_there(p, own) == 0)
				return 0;
			break;
		case ASKER_NEVER:
			break;
		}
	}
	return SMX_ENOTFOUND;
}

void prompt_place_all(struct mux *m)
{
	struct smx_list *it, *tmp;
	int r;

	SMX_LIST_FOREACH (it, tmp, &m->prompts) {
		struct prompt *p = SMX_CONTAINER(it, struct prompt, node);

		if (p->asker)
			continue;
		if ((r = place(p)) != 0) {
			finish(p, r);
			return; /* finish has looked at the others */
		}
	}
}

int prompt_is_closed(const struct prompt *p)
{
	return p->is_closed;
}

enum prompt_after_close prompt_after_close(unsigned n_closed)
{
	return n_closed == 1 ? PROMPT_SENDS_EMPTY : PROMPT_ENDS_LOGIN;
}

int prompt_is_overdue(const struct prompt *p)
{
	return p->asker && mux_now(p->mux) - p->since_ms >= PROMPT_TIMEOUT_MS;
}

/* Whether there is a place of our own. */
static int can_ask_here(const struct mux *m)
{
	for (size_t i = 0; i < MUX_PLACES; i++)
		if (asker_state(m->places[i]) != ASKER_NEVER)
			return 1;
	return 0;
}

int prompt_is_possible(const struct pool_entry *e)
{
	struct asker *askers[ASKERS_MAX];
	size_t n = pool_askers(e, askers, ASKERS_MAX);

	if (e->hops[e->n_hops - 1].unattended)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (asker_state(askers[i]) != ASKER_NEVER)
			return 1;
	return !pool_is_batch(e) && can_ask_here(e->mux);
}

/* --- its life --- */

/* Takes q over. */
static struct prompt *prompt_new(struct pool_entry *e, struct question *q, prompt_cb *cb, void *arg)
{
	struct prompt *p = smx_calloc(1, sizeof(*p));

	if (!p) {
		question_free(q);
		return NULL;
	}
	smx_list_init(&p->node);
	p->mux = e->mux;
	p->entry = e;
	p->question = q;
	p->cb = cb;
	p->arg = arg;
	for (size_t i = 0; i < q->n; i++)
		if (!(p->answers[i] = smx_calloc(1, PROMPT_ANSWER_SIZE))) {
			prompt_free(p);
			return NULL;
		}
	return p;
}

static struct prompt *show(struct prompt *p)
{
	if (place(p) != 0) {
		prompt_free(p);
		return NULL;
	}
	smx_list_add_tail(&p->mux->prompts, &p->node);
	return p;
}

struct prompt *prompt_start(struct pool_entry *e, struct question *q, prompt_cb *cb, void *arg)
{
	struct prompt *p;

	if (!q || !prompt_is_possible(e)) {
		question_free(q);
		return NULL;
	}
	p = prompt_new(e, q, cb, arg);
	return p ? show(p) : NULL;
}

struct prompt *prompt_start_permission(
	struct pool_entry *e, struct asker *at, struct question *q, prompt_cb *cb, void *arg)
{
	struct prompt *p;

	if (!q || e->hops[e->n_hops - 1].unattended || (at && asker_is_batch(at)) ||
		(!can_permit(at) && !can_ask_here(e->mux))) {
		question_free(q);
		return NULL;
	}
	if (!(p = prompt_new(e, q, cb, arg)))
		return NULL;
	p->aside = at;
	return show(p);
}

void prompt_cancel(struct prompt *p)
{
	struct mux *m;

	if (!p)
		return;
	m = p->mux;
	p->cb = NULL;
	if (p->asker)
		p->asker->ops->unask(p->asker);
	prompt_free(p);
	prompt_place_all(m);
}
