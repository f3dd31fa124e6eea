/* SPDX-License-Identifier: MIT */
#include "mux/ask/caller_ask.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/ask/ask_process.h"
#include "mux/ask/caller_config.h"
#include "mux/ask/caller_env.h"
#include "mux/ask/prompt.h"
#include "mux/ask/question.h"
#include "mux/core/say.h"
#include "mux/doors/passenger_int.h"
#include "os/caller.h"
#include "os/ipc.h"
#include "os/process.h"
#include "sshconf/ssh_args.h"

#define LOOK_AFTER_MS 900 /* of waiting: then its settings matter */
#define SUSPENDED_MS  900 /* a job that was sent to the background is there by then */

/* Where. */
enum way {
	WAY_NONE,
	WAY_TERMINAL,
	WAY_ASKPASS,
};

struct caller_ask {
	struct asker asker;
	struct smx_list node; /* mux->callers */
	struct mux *mux;
	struct caller_wait wait; /* owner NULL: it is gone */
	uint64_t born_ms;
	struct smx_os_caller *caller; /* NULL: not known */
	int has_looked;
	enum way way;
	int is_batch;
	struct caller_env env;
	char *askpass;
	struct caller_config *config; /* being asked for settings */
	struct caller_settings settings;
	int has_settings;
	const struct question *question; /* that waits for them, or NULL */
	size_t at; /* its part */
	struct prompt *prompt; /* being asked */
	struct ask_process *process;
	struct ask_process *notice; /* its SSH_ASKPASS, which shows a message; or NULL */
	const void *notice_of; /* for what that is or was shown; or NULL */
	uint64_t tty; /* where it is asked */
	int is_suspended; /* was asked, and is in the background */
	uint64_t suspended_ms;
	int was_asked;
};

static struct caller_ask *ask_of(const struct asker *asker)
{
	return SMX_CONTAINER((struct asker *)(uintptr_t)asker, struct caller_ask, asker);
}

static struct mux_ids ids_of(const struct caller_ask *a)
{
	const struct passenger_owner *o = a->wait.owner;

	return (struct mux_ids){ 0, a->wait.id, o ? o->id : 0, o ? o->route->name : "" };
}

/* --- what it has said about being asked --- */

int caller_args_are_batch(const char *args, size_t len)
{
	const char *end = args + len;
	int is_behind_o = 0, is_batch;

	/* The first one counts. A word of the remote command that looks like one is taken for one:
	 * then ssh goes on by itself, and knows better. */
	for (const char *arg = args; arg < end; arg += strlen(arg) + 1) {
		is_batch = is_behind_o                  ? smx_ssh_args_batch_mode(arg)
			   : strncmp(arg, "-o", 2) == 0 ? smx_ssh_args_batch_mode(arg + 2)
							: -1;
		if (is_batch >= 0)
			return is_batch;
		is_behind_o = strcmp(arg, "-o") == 0;
	}
	return 0;
}

static void choose_way(struct caller_ask *a)
{
	const char *askpass = NULL;
	int is_first = 0;

	if (a->is_batch)
		return;
	if (caller_env_read(&a->env, a->caller) == 0)
		askpass = caller_env_askpass(&a->env, &is_first);
	if (!is_first && smx_os_caller_tty(a->caller) != SMX_OS_CALLER_NO_TTY)
		a->way = WAY_TERMINAL;
	else if (askpass && (a->askpass = smx_strdup(askpass)))
		a->way = WAY_ASKPASS;
}

/* Once, when it is asked for: a client that meets a connection that is there costs nothing. */
static void look(struct caller_ask *a)
{
	const struct passenger_owner *o = a->wait.owner;
	struct smx_buf args;
	struct mux_ids ids;
	int r;

	if (a->has_looked || !o)
		return;
	a->has_looked = 1;
	ids = ids_of(a);
	if ((r = smx_os_caller_new(o->pid, &a->caller)) != 0) {
		say_debug(&ids, "the client's process can't be looked at: %s", smx_strerror(r));
		return;
	}
	smx_buf_init(&args, SMX_OS_CALLER_BYTES_MAX);
	if (smx_os_caller_args(a->caller, &args) == 0 && smx_put_u8(&args, 0) == 0)
		a->is_batch = caller_args_are_batch(
			(const char *)smx_buf_view(&args), smx_buf_len(&args));
	smx_buf_release(&args);
	choose_way(a);
	say_debug(&ids, "the client can be asked: %s",
		a->is_batch              ? "no, it is in batch mode"
		: a->way == WAY_TERMINAL ? "at its terminal"
		: a->way == WAY_ASKPASS  ? "by its SSH_ASKPASS"
					 : "nowhere");
}

/* --- whether and where --- */

/* Two questions at once on a terminal can't be answered. */
static int tty_is_busy(const struct caller_ask *a, uint64_t tty)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &a->mux->callers) {
		const struct caller_ask *other = SMX_CONTAINER(it, struct caller_ask, node);

		if (other != a && other->prompt && other->tty == tty)
			return 1;
	}
	return 0;
}

static enum asker_state ask_state(struct asker *asker)
{
	struct caller_ask *a = ask_of(asker);

	look(a);
	if (a->prompt)
		return ASKER_BUSY;
	if (!a->wait.owner || a->way == WAY_NONE)
		return ASKER_NEVER;
	if (a->way == WAY_ASKPASS)
		return ASKER_FREE;
	if (a->is_suspended)
		return ASKER_BUSY;
	/* As ssh itself would be stopped there: it goes on by itself, and is. */
	if (smx_os_caller_tty(a->caller) != SMX_OS_CALLER_FOREGROUND)
		return ASKER_NEVER;
	return tty_is_busy(a, smx_os_caller_tty_id(a->caller)) ? ASKER_BUSY : ASKER_FREE;
}

static enum attempt_place ask_place(struct asker *asker)
{
	if (ask_state(asker) == ASKER_NEVER)
		return ATTEMPT_NOWHERE;
	return ask_of(asker)->way == WAY_TERMINAL ? ATTEMPT_TERMINAL : ATTEMPT_ASKPASS;
}

static int ask_is_batch(struct asker *asker)
{
	struct caller_ask *a = ask_of(asker);

	look(a);
	return a->is_batch;
}

/* --- a question --- */

static int open_tty(const struct caller_ask *a, int *ret_fd)
{
	const struct passenger *p = a->wait.passenger;
	const int fds[] = { p && p->in ? input_terminal(p->in) : -1,
		p && p->err ? output_terminal(p->err) : -1,
		p && p->out ? output_terminal(p->out) : -1 };

	return smx_os_caller_open_tty(a->caller, fds, SMX_ARRAY_LEN(fds), ret_fd);
}

static void stop_asking(struct caller_ask *a)
{
	a->question = NULL;
	ask_process_cancel(a->process);
	a->process = NULL;
	a->prompt = NULL;
	a->tty = 0;
}

/* It can't be asked here any more. */
static void displace(struct caller_ask *a)
{
	struct prompt *p = a->prompt;

	if (!p)
		return;
	stop_asking(a);
	prompt_displaced(p);
	prompt_place_all(a->mux);
}

/* The job in the foreground is stopped; until it is back the question waits. */
static void suspend(struct caller_ask *a)
{
	a->is_suspended = 1;
	a->suspended_ms = mux_now(a->mux);
	displace(a);
}

static void on_answer_of(struct caller_ask *a, int r, struct smx_view answer, int was_asked)
{
	struct prompt *p = a->prompt;

	a->process = NULL;
	a->prompt = NULL;
	a->tty = 0;
	a->was_asked = was_asked;
	prompt_answered(p, r, answer);
}

static void on_terminal(void *arg, int code, struct smx_view answer)
{
	struct caller_ask *a = arg;
	struct smx_view none = { NULL, 0 };

	a->process = NULL;
	if (code == ASK_PROCESS_KEY + SMX_OS_KEY_SUSPEND) {
		smx_os_caller_press(a->caller, SMX_OS_KEY_SUSPEND);
		suspend(a);
	} else if (code == ASK_PROCESS_ANSWERED) {
		on_answer_of(a, 0, answer, 1);
	} else if (code == ASK_PROCESS_KEY + SMX_OS_KEY_INTERRUPT ||
		   code == ASK_PROCESS_KEY + SMX_OS_KEY_QUIT) {
		/* Before it is told anything: it ends as with plain ssh, and says as little. */
		smx_os_caller_press(a->caller, (enum smx_os_key)(code - ASK_PROCESS_KEY));
		on_answer_of(a, SMX_ECANCELLED, none, 0);
	} else {
		a->way = WAY_NONE;
		displace(a);
	}
}

static void on_askpass(void *arg, int code, struct smx_view answer)
{
	struct caller_ask *a = arg;
	struct smx_view none = { NULL, 0 };

	a->process = NULL;
	if (code == 127) {
		a->way = WAY_NONE;
		displace(a);
	} else if (code != 0) {
		on_answer_of(a, SMX_ECANCELLED, none, 1);
	} else {
		/* As OpenSSH: up to the first line's end. */
		for (size_t i = 0; i < answer.len; i++)
			if (answer.p[i] == '\n' || answer.p[i] == '\r')
				answer.len = i;
		on_answer_of(a, 0, answer, 1);
	}
}

static int start_terminal(struct caller_ask *a, const struct question *q, size_t at)
{
	const char *args[] = { "ssh-mux", "prompt", "--terminal", NULL, NULL };
	struct ask_process_start start = { .kind = SMX_HELPER_PROMPT, .args = args };
	struct smx_buf text;
	char *self;
	int fd, r;

	if (q->parts[at].echo)
		args[3] = "--echo";
	if ((r = smx_os_self_path(&self)) != 0)
		return r;
	smx_buf_init(&text, ASK_PROCESS_TEXT_MAX);
	/* At the beginning of a line, as ssh, rather than after an empty one. */
	if ((r = smx_buf_put_str(&text, "\r")) == 0 &&
		(r = question_put_terminal(q, at, QUESTION_COLUMNS, &text)) == 0)
		r = smx_buf_cstr(&text) ? open_tty(a, &fd) : SMX_ENOMEM;
	if (r == 0) {
		start.file = self;
		start.text = smx_buf_cstr(&text);
		start.tty = fd;
		r = ask_process_new(a->mux, &start, on_terminal, a, &a->process);
	}
	smx_buf_release(&text);
	smx_free(self);
	return r;
}

static int run_askpass(struct caller_ask *a, const char *text, enum smx_askpass_hint hint,
	ask_process_cb *cb, struct ask_process **ret)
{
	const char *args[] = { a->askpass, text, NULL };
	const struct ask_process_start start = { .kind = SMX_HELPER_ASKPASS,
		.caller = a->caller,
		.hint = hint,
		.file = a->askpass,
		.args = args,
		.env = caller_env_for(&a->env, hint),
		.tty = -1 };

	return ask_process_new(a->mux, &start, cb, a, ret);
}

static int start_askpass(struct caller_ask *a, const struct question *q, size_t at)
{
	enum smx_askpass_hint hint =
		question_is_permission(q) ? SMX_ASKPASS_CONFIRM : SMX_ASKPASS_ANSWER;
	struct smx_buf text;
	int r;

	smx_buf_init(&text, QUESTION_TEXT_MAX);
	if ((r = question_put_askpass(q, at, &text)) == 0)
		r = smx_buf_cstr(&text)
			    ? run_askpass(a, smx_buf_cstr(&text), hint, on_askpass, &a->process)
			    : SMX_ENOMEM;
	smx_buf_release(&text);
	return r;
}

static int start_question(struct caller_ask *a, const struct question *q, size_t at)
{
	struct mux_ids ids = ids_of(a);
	int r = a->way == WAY_TERMINAL ? start_terminal(a, q, at) : start_askpass(a, q, at);

	if (r != 0) {
		say_warn(&ids, "the client can't be asked %s: %s",
			a->way == WAY_TERMINAL ? "at its terminal" : "by its SSH_ASKPASS",
			smx_strerror(r));
		a->way = WAY_NONE;
	}
	return r;
}

/* --- what its configuration says --- */

static void on_settings(void *arg, const struct caller_settings *s)
{
	struct caller_ask *a = arg;
	struct mux_ids ids = ids_of(a);
	const struct question *q = a->question;
	int r = 0;

	a->config = NULL;
	a->has_settings = 1;
	a->settings = *s;
	if (s->is_batch) {
		say_debug(&ids, "the client can't be asked: its configuration has BatchMode");
		a->is_batch = 1;
		a->way = WAY_NONE;
	}
	if (!a->prompt || !q)
		return;
	if (a->way != WAY_NONE)
		r = start_question(a, q, a->at);
	a->question = NULL;
	if (r != 0 || a->way == WAY_NONE)
		displace(a);
}

/* Whether they are to come. */
static int ask_settings(struct caller_ask *a)
{
	if (!a->has_settings && !a->config && a->caller && a->env.vars)
		a->config = caller_config_start(a->mux, a->caller,
			caller_env_for(&a->env, SMX_ASKPASS_ANSWER), on_settings, a);
	a->has_settings |= !a->config;
	return !a->has_settings;
}

static int ask_ask(struct asker *asker, struct prompt *p, const struct question *q, size_t at)
{
	struct caller_ask *a = ask_of(asker);
	int r = 0;

	if (ask_settings(a)) {
		a->question = q;
		a->at = at;
	} else if ((r = start_question(a, q, at)) != 0) {
		return r;
	}
	a->prompt = p;
	a->tty = a->way == WAY_TERMINAL ? smx_os_caller_tty_id(a->caller) : 0;
	return 0;
}

static void ask_unask(struct asker *asker)
{
	stop_asking(ask_of(asker));
}

/* As plain ssh on its standard error, which an editor keeps as a log. */
static void tell_beside_askpass(struct passenger *p, const char *whose, const char *text)
{
	int is_terminal = p->err && output_terminal(p->err) >= 0;
	char line[PASSENGER_TEXT_SIZE];

	(void)snprintf(line, sizeof(line), "%s%s%.560s%s", is_terminal ? "\r" : "", whose, text,
		is_terminal ? "\r\n" : "\n");
	passenger_tell(p, line);
}

static void ask_tell(struct asker *asker, const char *text)
{
	const char *whose = smx_notice_whose(text);
	struct caller_ask *a = ask_of(asker);
	char line[PASSENGER_TEXT_SIZE];
	int fd;

	if (ask_state(asker) != ASKER_FREE)
		return;
	if (a->way == WAY_ASKPASS && a->wait.passenger) {
		tell_beside_askpass(a->wait.passenger, whose, text);
	} else if (a->way == WAY_TERMINAL && open_tty(a, &fd) == 0) {
		(void)snprintf(line, sizeof(line), "\r%s%.560s\r\n", whose, text);
		smx_os_tty_tell(fd, line);
		smx_os_ipc_close(fd);
	}
}

/* --- a message that stays while something is waited for (A15) --- */

/* Its person has closed it: it stays his, and is not shown again. */
static void on_notice(void *arg, int code, struct smx_view answer)
{
	struct caller_ask *a = arg;

	(void)code;
	(void)answer; /* none was asked for */
	a->notice = NULL;
}

static void end_notice(struct caller_ask *a)
{
	ask_process_cancel(a->notice);
	a->notice = NULL;
	a->notice_of = NULL;
}

static int ask_show(struct asker *asker, const void *of, const char *text)
{
	struct caller_ask *a = ask_of(asker);
	struct mux_ids ids = ids_of(a);
	int r;

	if (ask_state(asker) != ASKER_FREE || a->way != WAY_ASKPASS || a->notice_of)
		return 0;
	if ((r = run_askpass(a, text, SMX_ASKPASS_NONE, on_notice, &a->notice)) != 0) {
		say_warn(&ids, "the client can't be told by its SSH_ASKPASS: %s", smx_strerror(r));
		return 0;
	}
	a->notice_of = of;
	return 1;
}

int caller_ask_is_shown(const struct mux *m, const void *of)
{
	for (struct smx_list *it = m->callers.next; it != &m->callers; it = it->next)
		if (SMX_CONTAINER(it, struct caller_ask, node)->notice_of == of)
			return 1;
	return 0;
}

void caller_ask_hide(struct mux *m, const void *of)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &m->callers) {
		struct caller_ask *a = SMX_CONTAINER(it, struct caller_ask, node);

		if (a->notice_of == of)
			end_notice(a);
	}
}

static char *ask_agent(const struct asker *asker, const char *variable)
{
	struct caller_ask *a = ask_of(asker);
	const char *path;

	look(a);
	path = caller_env_get(&a->env, variable);
	return path && *path ? smx_strdup(path) : NULL;
}

static const struct asker_ops ops = { .state = ask_state,
	.place = ask_place,
	.is_batch = ask_is_batch,
	.ask = ask_ask,
	.unask = ask_unask,
	.tell = ask_tell,
	.show = ask_show,
	.agent = ask_agent };

/* --- its life --- */

struct caller_ask *caller_ask_new(const struct caller_wait *wait)
{
	struct caller_ask *a = smx_calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->asker.ops = &ops;
	a->mux = wait->mux;
	a->wait = *wait;
	a->born_ms = mux_now(a->mux);
	caller_env_init(&a->env);
	smx_list_init(&a->node);
	smx_list_add_tail(&a->mux->callers, &a->node);
	return a;
}

void caller_ask_leave(struct caller_ask *a)
{
	if (!a)
		return;
	end_notice(a);
	a->wait.owner = NULL;
}

struct asker *caller_ask_asker(struct caller_ask *a)
{
	return &a->asker;
}

int caller_ask_was_asked(const struct caller_ask *a)
{
	return a->was_asked;
}

void caller_ask_free(struct caller_ask *a)
{
	if (!a)
		return;
	a->way = WAY_NONE;
	a->has_looked = 1;
	end_notice(a);
	displace(a);
	caller_config_cancel(a->config);
	smx_list_del(&a->node);
	smx_os_caller_free(a->caller);
	caller_env_release(&a->env);
	smx_free(a->askpass);
	smx_free(a);
}

/*
 * W7: as long as ssh itself would wait for the first word of a server, and no longer. A client that
 * names no time waits as the login does.
 */
static void watch_time(struct caller_ask *a)
{
	const struct open_req *req = a->wait.req;
	uint64_t age = mux_now(a->mux) - a->born_ms;
	const struct smx_hop *hop;

	if (age < LOOK_AFTER_MS || !a->wait.owner || !req || !req->entry || req->up || a->prompt ||
		!pool_is_silent(req->entry))
		return;
	look(a);
	if (ask_settings(a) || !a->settings.connect_timeout_ms ||
		age < a->settings.connect_timeout_ms)
		return;
	hop = smx_route_target(a->wait.owner->route);
	(void)snprintf(a->wait.dismissal, CALLER_DISMISSAL_SIZE,
		"connect to host %.255s port %u: Connection timed out", hop->host, hop->port);
	a->was_asked = 1; /* ssh has waited, and is not to begin anew */
	pool_dismiss(req->entry, &a->asker, a->wait.dismissal);
}

void caller_ask_tick(struct mux *m)
{
	struct smx_list *it, *tmp;
	int is_back = 0;

	SMX_LIST_FOREACH (it, tmp, &m->callers)
		watch_time(SMX_CONTAINER(it, struct caller_ask, node));
	SMX_LIST_FOREACH (it, tmp, &m->callers) {
		struct caller_ask *a = SMX_CONTAINER(it, struct caller_ask, node);

		if (a->prompt && a->way == WAY_TERMINAL &&
			smx_os_caller_tty(a->caller) != SMX_OS_CALLER_FOREGROUND) {
			suspend(a);
			return; /* others may have come or gone with it */
		}
		if (a->is_suspended && mux_now(m) - a->suspended_ms >= SUSPENDED_MS &&
			smx_os_caller_tty(a->caller) == SMX_OS_CALLER_FOREGROUND) {
			a->is_suspended = 0;
			is_back = 1;
		}
	}
	if (is_back)
		prompt_place_all(m);
}
