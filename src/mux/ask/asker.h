/* SPDX-License-Identifier: MIT */
/*
 * A place where a person can be asked (A6, B5): an attached client (attach.c), the terminal or
 * SSH_ASKPASS of a client of a control socket (caller_ask.c), the terminal of a foreground serve
 * (serve_ask.c), a window on the daemon's desktop (window_ask.c). What waits in the pool names its
 * place (open_req); prompt.c decides who is asked, and a place renders the question (question.h).
 */
#ifndef SMX_MUX_ASK_ASKER_H
#define SMX_MUX_ASK_ASKER_H

#include "mux/pool/attempts.h"

struct asker;
struct prompt;
struct question;

enum asker_state {
	ASKER_FREE, /* a question can be shown now */
	ASKER_BUSY, /* one is shown, or the person will be back: a question waits for it */
	ASKER_NEVER, /* nobody can be asked there */
};

struct asker_ops {
	enum asker_state (*state)(struct asker *a);
	enum attempt_place (*place)(struct asker *a);
	/* W7: its user has said that nobody is to be asked for it, anywhere. NULL: never. */
	int (*is_batch)(struct asker *a);
	/*
	 * Of one that is free: part `at` of q, which lives until then. 0: one of prompt_answered,
	 * prompt_closed and prompt_displaced follows, later, unless `unask` comes first. Else it
	 * can't be shown; of a client, `state` says so from now on.
	 */
	int (*ask)(struct asker *a, struct prompt *p, const struct question *q, size_t at);
	void (*unask)(struct asker *a);
	/*
	 * A line for who waits: what is asked elsewhere (A17), what the server says (A12), what
	 * comes before a question of an SSH_ASKPASS (A14). Rows of the server's are marked; of all
	 * others the place says that they are ours. NULL: not told.
	 */
	void (*tell)(struct asker *a, const char *text);
	/*
	 * A15: for a place where `tell` reaches nobody: a window with the text, without a question.
	 * 1: it is there, until caller_ask_hide(of), which must come, or until the client is gone. 0:
	 * not there, since this is no such place. NULL: never.
	 */
	int (*show)(struct asker *a, const void *of, const char *text);
	/* A1, A10: where the agent listens that this variable of its environment names, which is
	 * mostly SMX_OS_AGENT_USUAL; the caller's to free. NULL: it has none. */
	char *(*agent)(const struct asker *a, const char *variable);
};

/* Embedded in what it is. */
struct asker {
	const struct asker_ops *ops;
	int is_ours; /* the daemon's own place: who cancels there does so for all who wait */
};

static inline enum asker_state asker_state(struct asker *a)
{
	return a->ops->state(a);
}

static inline enum attempt_place asker_place(struct asker *a)
{
	return a->ops->place(a);
}

static inline int asker_is_batch(struct asker *a)
{
	return a->ops->is_batch && a->ops->is_batch(a);
}

static inline char *asker_agent(const struct asker *a, const char *variable)
{
	return a->ops->agent ? a->ops->agent(a, variable) : NULL;
}

#endif
