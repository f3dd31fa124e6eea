/* SPDX-License-Identifier: MIT */
#include "mux/prompt.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "control/frame.h"
#include "mux/asker.h"
#include "mux/pinentry.h"
#include "mux/pool.h"
#include "mux/say.h"
#include "os/os.h"

#define TEXT_MAX (SMX_AUTH_PROMPTS_MAX * 1024)
#define ONE_TEXT 1024
/* The beginning of a first line. */
#define LOGIN_TO "ssh-mux: login to "
/* Longer ones are no label of a field. */
#define LABEL_MAX 60
/* Clients waiting for one login that are looked at for a place to ask. */
#define ASKERS_MAX 64

struct prompt {
	struct smx_list node; /* mux->prompts */
	struct mux *mux;
	struct pool_entry *entry; /* outlives the login that asks */
	prompt_cb *cb; /* NULL: cancelled */
	void *arg;
	uint64_t since_ms; /* it is shown */
	struct asker *asker; /* shows it */
	struct smx_os_ask *ask; /* the terminal shows it, in `work` */
	uv_work_t work;
	struct pinentry *pinentry; /* shows it */
	int no_terminal, no_pinentry, no_script; /* tried in vain */
	int is_confirm; /* yes or no is an answer */
	int is_permission; /* of a session that has begun; asked at `aside`, if at a client */
	struct asker *aside;
	int is_window, is_closed; /* the pinentry is one of our own; the person closed it (A5) */
	char *note; /* what was wrong with the answer before; or NULL */
	char *noted; /* texts[0] with that, for a terminal; or NULL */
	char *extra; /* what OpenSSH would say before it; or NULL */
	size_t n, at; /* prompts; the one that an attached client or a pinentry is asked */
	char *texts[SMX_AUTH_PROMPTS_MAX];
	char *plains[SMX_AUTH_PROMPTS_MAX]; /* in OpenSSH's own words (A14) */
	int echo[SMX_AUTH_PROMPTS_MAX];
	char *answers[SMX_AUTH_PROMPTS_MAX]; /* PROMPT_ANSWER_SIZE each, wiped */
	int r;
};

_Static_assert(SMX_PINENTRY_ANSWER_MAX < PROMPT_ANSWER_SIZE, "an answer fits");

static void prompt_free(struct prompt *p)
{
	smx_list_del(&p->node);
	for (size_t i = 0; i < p->n; i++) {
		smx_free(p->texts[i]);
		smx_free(p->plains[i]);
		smx_wipe_free(p->answers[i], PROMPT_ANSWER_SIZE);
	}
	smx_os_ask_free(p->ask);
	smx_free(p->note);
	smx_free(p->noted);
	smx_free(p->extra);
	smx_free(p);
}

static int place(struct prompt *p);

static int is_placed(const struct prompt *p)
{
	return p->asker || p->ask || p->pinentry;
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

static const char *terminal_text(const struct prompt *p, size_t i)
{
	return i == 0 && p->noted ? p->noted : p->texts[i];
}

/* --- at the terminal of serve --- */

static void on_work(uv_work_t *work)
{
	struct prompt *p = SMX_CONTAINER(work, struct prompt, work);

	for (size_t i = 0; i < p->n && p->r == 0; i++)
		p->r = smx_os_ask_run(
			p->ask, terminal_text(p, i), p->echo[i], p->answers[i], PROMPT_ANSWER_SIZE);
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

/* --- where one of those who wait can be asked --- */

static int ask_there(struct prompt *p, struct asker *a)
{
	const struct asker_question q = {
		.text = terminal_text(p, p->at),
		.plain = p->plains[p->at],
		.extra = p->at == 0 && p->extra ? p->extra : "",
		.echo = p->echo[p->at],
		.is_permission = p->is_permission,
	};
	int r;

	p->asker = a;
	p->since_ms = mux_now(p->mux);
	if ((r = a->ops->ask(a, p, &q)) != 0)
		p->asker = NULL;
	return r;
}

/* A17: the others keep their login, and are asked. 0: they are, or there is nobody to be. */
static int leave_to_others(struct prompt *p, const struct asker *a)
{
	if (!pool_is_wanted_without(p->entry, a))
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
	if (r == 0 && p->is_permission && answer.len == 0)
		answer = smx_view_of("yes", 3);
	if (r == 0 && (answer.len >= PROMPT_ANSWER_SIZE || memchr(answer.p, 0, answer.len)))
		r = SMX_ETOOBIG;
	if (r == 0) {
		memcpy(p->answers[p->at], answer.p, answer.len);
		if (++p->at < p->n) {
			if (ask_there(p, a) == 0)
				return;
			prompt_displaced(p);
			if ((r = place(p)) == 0)
				return;
		}
	}
	if (r == SMX_ECANCELLED && !p->is_permission && (r = leave_to_others(p, a)) == 0)
		return;
	finish(p, r);
}

/* --- in a window --- */

static int ask_pinentry(struct prompt *p);

static enum smx_prompter prompter_of(const struct prompt *p)
{
	return p->no_script ? SMX_PROMPTER_NATIVE : p->entry->hops[p->entry->n_hops - 1].prompter;
}

static void on_pinentry(void *arg, int r, const char *answer)
{
	struct prompt *p = arg;
	struct mux *m = p->mux;
	int is_over = 1;

	p->pinentry = NULL;
	m->pinentry_is_busy = 0;
	if (r == 0) {
		/* The dialogue's limit is ours. */
		memcpy(p->answers[p->at], answer, strlen(answer) + 1);
		is_over = ++p->at == p->n;
		if (!is_over)
			r = ask_pinentry(p);
	}
	if (r == SMX_EUNSUPPORTED && p->is_window && prompter_of(p) == SMX_PROMPTER_POWERSHELL) {
		/* A managed computer lets scripts do little (A4); the box is no worse. */
		log_warn("PowerShell can't ask here, where it may be restricted: a window of our "
			 "own asks instead; take prompter = \"powershell\" out of the routes file");
		p->no_script = 1;
		is_over = 0;
		r = ask_pinentry(p);
	}
	p->is_closed = p->is_window && r == SMX_ECANCELLED;
	if (r != 0 && r != SMX_ECANCELLED) {
		say_warn(&(struct mux_ids){ .route = p->entry->route->name },
			"the pinentry can't ask: %s", smx_strerror(r));
		p->no_pinentry = 1;
		p->at = 0;
		is_over = 0;
		r = place(p);
	}
	if (is_over || r != 0)
		finish(p, r);
	else
		prompt_place_all(m);
	mux_settle(m);
}

/*
 * A window of our own begins with the target, and nothing else, in its first line (A4): there it
 * stands out. *ret_head: where the text goes on.
 */
static int describe_target(const struct prompt *p, struct smx_buf *desc, const char **ret_head)
{
	static const char login[] = LOGIN_TO;
	const struct smx_hop *hop = &p->entry->hops[p->entry->n_hops - 1];
	char clean[ONE_TEXT], target[ONE_TEXT];
	const char *end = strchr(*ret_head, '\n');

	(void)snprintf(target, sizeof(target), "%s@%s", hop->user, hop->host);
	smx_sanitize(target, strlen(target), clean, sizeof(clean));
	/* It is the same that prompt_start begins with. */
	if (end && strncmp(*ret_head, login, sizeof(login) - 1) == 0)
		*ret_head = end + 1;
	return smx_buf_printf(desc, "%s\n", clean);
}

/* Without "(yes/no/…)? " at its end: the buttons of the window say what can be answered. */
static int put_confirm(struct smx_buf *desc, const char *text)
{
	static const char end[] = ")? ";
	size_t n = strlen(text), n_end = sizeof(end) - 1;
	const char *hint = strrchr(text, '(');

	if (!hint || hint == text || n < n_end || strcmp(text + n - n_end, end) != 0)
		return smx_buf_put_str(desc, text);
	return smx_buf_printf(desc, "%.*s?", (int)(hint - 1 - text), text);
}

/*
 * The lines before the last one say who asks and what for; the last one is the prompt, which stands
 * before the field if it is short.
 */
static int describe(struct prompt *p, struct smx_buf *desc, const char **ret_label)
{
	const char *head = p->texts[0] + (*p->texts[0] == '\n'), *text = p->texts[p->at];
	const char *end, *label;
	int r = 0;

	if (p->is_window && (r = describe_target(p, desc, &head)) != 0)
		return r;
	end = strrchr(head, '\n');
	label = p->at == 0 ? (end ? end + 1 : head) : text;

	if (p->is_confirm) {
		*ret_label = NULL;
		return p->is_window ? put_confirm(desc, head) : smx_buf_put_str(desc, head);
	}
	*ret_label = label;
	if ((r = smx_buf_put(desc, head, end ? (size_t)(end - head) : 0)) != 0 ||
		strlen(label) <= LABEL_MAX)
		return r;
	*ret_label = "Answer: ";
	return smx_buf_printf(desc, "\n%s", label);
}

static int ask_pinentry(struct prompt *p)
{
	struct smx_pinentry_question q = { .title = "ssh-mux" };
	struct pinentry_choice c;
	struct smx_buf desc;
	int r;

	if ((r = pinentry_find(p->mux, prompter_of(p), &c)) != 0)
		return r;
	p->is_window = c.is_window;
	if (c.is_window) {
		q.title = "ssh-mux OTP";
		q.error = p->at == 0 ? p->note : NULL;
	}
	smx_buf_init(&desc, TEXT_MAX);
	if ((r = describe(p, &desc, &q.prompt)) == 0) {
		q.description = smx_buf_cstr(&desc);
		r = q.description ? pinentry_ask(p->mux, &c, &q, on_pinentry, p, &p->pinentry)
				  : SMX_ENOMEM;
	}
	if (r == 0) {
		p->mux->pinentry_is_busy = 1;
		p->since_ms = mux_now(p->mux);
	}
	smx_buf_release(&desc);
	pinentry_choice_release(&c);
	return r;
}

/* --- where --- */

/* A17: somebody who could be asked learns what he waits for. */
static void tell_one(const struct prompt *p, struct asker *a)
{
	const struct smx_hop *hop = &p->entry->hops[p->entry->n_hops - 1];
	char text[ONE_TEXT], clean[ONE_TEXT];

	(void)snprintf(text, sizeof(text), "%s@%s", hop->user, hop->host);
	smx_sanitize(text, strlen(text), clean, sizeof(clean));
	(void)snprintf(text, sizeof(text),
		"waiting for the login to %.900s, which is asked for in another place", clean);
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

		n = is_placed(p) ? pool_askers(p->entry, askers, ASKERS_MAX) : 0;
		for (size_t i = 0; i < n; i++)
			if (askers[i] == a && p->asker != a && a->ops->tell)
				tell_one(p, askers[i]);
	}
	prompt_place_all(m);
}

/* The keys that are typed at a terminal go to the session. */
static int can_permit(struct asker *at)
{
	return at && asker_state(at) != ASKER_NEVER && asker_place(at) == ATTEMPT_ASKPASS;
}

/* Clients that may be asked. */
static size_t places_of(const struct prompt *p, struct asker **ret)
{
	if (!p->is_permission)
		return pool_askers(p->entry, ret, ASKERS_MAX);
	ret[0] = p->aside;
	return can_permit(p->aside);
}

/* Shows it somewhere if somebody is free. 0: it is shown, or waits its turn. */
static int place(struct prompt *p)
{
	struct asker *askers[ASKERS_MAX];
	size_t n = places_of(p, askers);
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
	if (!p->is_permission && pool_is_batch(p->entry))
		return SMX_ENOTFOUND;
	/* One at a time: two questions at once on a terminal can't be answered. */
	if (p->mux->opts->may_prompt && !p->no_terminal) {
		if (p->mux->terminal_is_busy || ask_terminal(p) == 0)
			return 0;
		p->no_terminal = 1;
	}
	if (p->no_pinentry)
		return SMX_ENOTFOUND;
	return p->mux->pinentry_is_busy ? 0 : ask_pinentry(p);
}

void prompt_place_all(struct mux *m)
{
	struct smx_list *it, *tmp;
	int r;

	SMX_LIST_FOREACH (it, tmp, &m->prompts) {
		struct prompt *p = SMX_CONTAINER(it, struct prompt, node);

		if (is_placed(p))
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
	p->asker = NULL;
	p->at = 0;
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
	return is_placed(p) && mux_now(p->mux) - p->since_ms >= PROMPT_TIMEOUT_MS;
}

/* Whether there is a place of our own. */
static int can_ask_here(const struct pool_entry *e)
{
	struct pinentry_choice c;

	if (e->mux->opts->may_prompt)
		return 1;
	if (pinentry_find(e->mux, e->hops[e->n_hops - 1].prompter, &c) != 0)
		return 0;
	pinentry_choice_release(&c);
	return 1;
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
	return !pool_is_batch(e) && can_ask_here(e);
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
		(void)smx_buf_printf(&b, "\n" LOGIN_TO "%s\n", clean);
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

/* A14: what OpenSSH would ask. */
static char *make_plain(const char *for_whom, enum prompt_kind kind,
	const struct smx_auth_info_request *req, size_t i)
{
	const struct smx_view *text = &req->prompts[i].text;
	char whom[ONE_TEXT], words[ONE_TEXT];
	struct smx_buf b;
	char *s = NULL;
	int r;

	smx_sanitize(for_whom, strlen(for_whom), whom, sizeof(whom));
	smx_sanitize((const char *)text->p, text->len, words, sizeof(words));
	smx_buf_init(&b, TEXT_MAX);
	if (kind == PROMPT_PASSPHRASE)
		r = smx_buf_put_str(&b, words);
	else if (kind == PROMPT_PASSWORD)
		r = smx_buf_printf(&b, "%s's password: ", whom);
	else
		r = smx_buf_printf(&b, "(%s) %s", whom, words);
	if (r == 0 && smx_buf_cstr(&b))
		s = smx_strdup(smx_buf_cstr(&b));
	smx_buf_release(&b);
	return s;
}

/* The lines that OpenSSH prints before the first question of a round. */
static char *make_extra(const struct smx_auth_info_request *req, const char *note)
{
	const struct smx_view texts[] = { req->name, req->instruction };
	char clean[ONE_TEXT];
	struct smx_buf b;
	char *s = NULL;
	int r = 0;

	smx_buf_init(&b, TEXT_MAX);
	if (note)
		r = smx_buf_put_str(&b, "Permission denied, please try again.\n");
	for (size_t i = 0; i < SMX_ARRAY_LEN(texts) && r == 0; i++) {
		smx_sanitize((const char *)texts[i].p, texts[i].len, clean, sizeof(clean));
		if (*clean)
			r = smx_buf_printf(&b, "%s\n", clean);
	}
	if (r == 0 && smx_buf_cstr(&b))
		s = smx_strdup(smx_buf_cstr(&b));
	smx_buf_release(&b);
	return s;
}

static int set_note(struct prompt *p, const char *note)
{
	struct smx_buf b;
	int r;

	smx_buf_init(&b, 2 * TEXT_MAX);
	if ((r = smx_buf_printf(&b, "\nssh-mux: %s%s", note, p->texts[0])) == 0 &&
		(!smx_buf_cstr(&b) || !(p->noted = smx_strdup(smx_buf_cstr(&b))) ||
			!(p->note = smx_strdup(note))))
		r = SMX_ENOMEM;
	smx_buf_release(&b);
	return r;
}

/* n prompts without their texts. */
static struct prompt *prompt_new(struct pool_entry *e, size_t n, prompt_cb *cb, void *arg)
{
	struct prompt *p = smx_calloc(1, sizeof(*p));

	if (!p)
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
		if (!p->texts[i] || !p->plains[i])
			r = SMX_ENOMEM;
	if (r != 0 || place(p) != 0) {
		prompt_free(p);
		return NULL;
	}
	smx_list_add_tail(&p->mux->prompts, &p->node);
	return p;
}

struct prompt *prompt_start(struct pool_entry *e, const char *for_whom, enum prompt_kind kind,
	const struct smx_auth_info_request *request, const char *note, prompt_cb *cb, void *arg)
{
	struct prompt *p =
		prompt_is_possible(e) ? prompt_new(e, request->n_prompts, cb, arg) : NULL;

	if (!p)
		return NULL;
	for (size_t i = 0; i < p->n; i++) {
		p->texts[i] = make_text(for_whom, request, i);
		p->plains[i] = make_plain(for_whom, kind, request, i);
		p->echo[i] = request->prompts[i].echo;
	}
	if (!(p->extra = make_extra(request, note)) ||
		(note && p->n && p->texts[0] && set_note(p, note) != 0)) {
		prompt_free(p);
		return NULL;
	}
	return prompt_show(p);
}

struct prompt *prompt_start_text(
	struct pool_entry *e, const char *text, const char *plain, prompt_cb *cb, void *arg)
{
	struct prompt *p = prompt_is_possible(e) ? prompt_new(e, 1, cb, arg) : NULL;

	if (!p)
		return NULL;
	p->texts[0] = smx_strdup(text);
	p->plains[0] = smx_strdup(plain);
	p->echo[0] = 1;
	p->is_confirm = 1;
	return prompt_show(p);
}

struct prompt *prompt_start_permission(
	struct pool_entry *e, struct asker *at, const char *text, prompt_cb *cb, void *arg)
{
	struct prompt *p = NULL;

	if (e->hops[e->n_hops - 1].unattended || (at && asker_is_batch(at)))
		return NULL;
	if (can_permit(at) || can_ask_here(e))
		p = prompt_new(e, 1, cb, arg);
	if (!p)
		return NULL;
	p->texts[0] = smx_strdup(text);
	p->plains[0] = smx_strdup(text + (*text == '\n'));
	p->echo[0] = 1;
	p->is_confirm = p->is_permission = 1;
	p->aside = at;
	return prompt_show(p);
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
	if (p->ask) {
		smx_os_ask_cancel(p->ask); /* on_done frees it */
		return;
	}
	if (p->pinentry) {
		pinentry_cancel(p->pinentry);
		m->pinentry_is_busy = 0;
	}
	prompt_free(p);
	prompt_place_all(m);
}
