/* SPDX-License-Identifier: MIT */
#include "mux/doors/attach.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/frame.h"
#include "mux/ask/client_var.h"
#include "mux/ask/question.h"
#include "mux/doors/control.h"
#include "mux/doors/door.h"
#include "os/agent.h"

/* Of less the copy costs nothing. */
#define DIRECT_READ_LEAST 4096

struct attach {
	struct carrier carrier;
	struct asker asker;
	struct mux *mux;
	struct control_client *host; /* NULL once it is gone */
	struct smx_frame_reader in;
	char *agent; /* NULL: it named none */
	struct smx_tx_block *first, *last; /* of the link, to be framed */
	size_t len;
	struct prompt *prompt; /* being asked */
	uint32_t ask_id;
	enum attempt_place place; /* where it says it can ask */
	int cannot_ask, has_ended;
	int is_hushed, is_batch; /* W7 */
	void (*left)(
		void *arg); /* no SSH stream: who waits for it to stay; NULL: nobody any more */
	void *arg;
	int is_asking_only;
};

static void drop_blocks(struct attach *a)
{
	struct smx_tx_block *b;

	while ((b = a->first)) {
		a->first = b->next;
		smx_pool_put(&a->mux->core.pool, b);
	}
	a->last = NULL;
	a->len = 0;
}

/* Both the link and the control connection are gone. */
static void free_if_over(struct attach *a)
{
	if (a->host || a->carrier.inner || a->left)
		return;
	drop_blocks(a);
	smx_frame_reader_release(&a->in);
	smx_free(a->agent);
	smx_free(a);
}

/* --- the carrier --- */

static struct smx_tx_block *take_block(struct attach *a)
{
	struct smx_tx_block *b = a->first;

	a->first = b->next;
	if (!a->first)
		a->last = NULL;
	a->len -= b->len;
	return b;
}

/* The first block as frames, among what waits. */
static int copy_block(struct attach *a)
{
	struct smx_buf *out = control_client_out(a->host);
	struct smx_view none = { NULL, 0 }, data;
	struct smx_tx_block *b = take_block(a);
	int r = 0;

	for (size_t off = 0; off < b->len && r == 0; off += data.len) {
		data = (struct smx_view){ b->data + off, b->len - off };
		if (data.len > SMX_FRAME_DATA_MAX)
			data.len = SMX_FRAME_DATA_MAX;
		r = smx_frame_put(out, SMX_FRAME_DATA, data, none);
	}
	smx_pool_put(&a->mux->core.pool, b);
	return r;
}

void attach_writable(struct attach *a)
{
	while (a->host && a->first && !a->is_hushed && !control_client_is_writing(a->host))
		control_client_write_block(a->host, take_block(a));
	if (a->carrier.inner && a->len < LINK_TX_HIGH)
		link_touch(a->carrier.inner);
}

static void carrier_write(struct carrier *c, struct smx_tx_block *list)
{
	struct attach *a = SMX_CONTAINER(c, struct attach, carrier);

	for (struct smx_tx_block *b = list; b; b = b->next) {
		a->len += b->len;
		c->inner->bytes_out += b->len;
	}
	smx_tx_append(&a->mux->core.pool, &a->first, &a->last, list);
	attach_writable(a);
}

static size_t carrier_backlog(struct carrier *c)
{
	return SMX_CONTAINER(c, struct attach, carrier)->len;
}

/* The last frames have been put. */
static void end(struct attach *a)
{
	struct control_client *host = a->host;
	struct smx_view none = { NULL, 0 };
	struct prompt *p = a->prompt;

	if (host) {
		(void)smx_frame_put(control_client_out(host), SMX_FRAME_END, none, none);
		a->host = NULL;
		a->prompt = NULL;
		control_client_finish(host);
	}
	if (p) {
		prompt_displaced(p);
		prompt_place_all(a->mux);
	}
	free_if_over(a);
}

static void carrier_detach(struct carrier *c)
{
	struct attach *a = SMX_CONTAINER(c, struct attach, carrier);

	/* All that is left, a DISCONNECT last. */
	while (a->host && a->first && copy_block(a) == 0)
		;
	end(a);
}

static const struct carrier_ops carrier_ops = {
	.write = carrier_write, .backlog = carrier_backlog, .detach = carrier_detach
};

/* --- questions --- */

struct asker *attach_asker(struct attach *a)
{
	return &a->asker;
}

static struct attach *attach_of(const struct asker *asker)
{
	return SMX_CONTAINER((struct asker *)(uintptr_t)asker, struct attach, asker);
}

static enum asker_state attach_state(struct asker *asker)
{
	const struct attach *a = attach_of(asker);

	if (!a->host || a->cannot_ask)
		return ASKER_NEVER;
	return a->prompt ? ASKER_BUSY : ASKER_FREE;
}

static enum attempt_place attach_place(struct asker *asker)
{
	const struct attach *a = attach_of(asker);

	return a->host && !a->cannot_ask ? a->place : ATTEMPT_NOWHERE;
}

/* At the beginning of a line; behind an answer there is one. */
static int put_text(
	const struct attach *a, const struct question *q, size_t at, struct smx_buf *out)
{
	size_t columns = a->place == ATTEMPT_PINENTRY ? QUESTION_BOX : QUESTION_COLUMNS;
	int r;

	if (a->place == ATTEMPT_ASKPASS)
		return question_put_askpass(q, at, out); /* A14: what an editor looks for */
	r = at == 0 ? smx_buf_put_str(out, "\n") : 0;
	return r == 0 ? question_put_terminal(q, at, columns, out) : r;
}

static int attach_ask(struct asker *asker, struct prompt *p, const struct question *q, size_t at)
{
	struct attach *a = attach_of(asker);
	struct smx_ask ask = { .id = ++a->ask_id };
	struct smx_buf text;
	int r;

	smx_buf_init(&text, QUESTION_TEXT_MAX + 1);
	if ((r = put_text(a, q, at, &text)) == 0) {
		ask.text = smx_buf_as_view(&text);
		if (q->parts[at].echo)
			ask.flags |= SMX_ASK_ECHO;
		if (question_is_permission(q))
			ask.flags |= SMX_ASK_CONFIRM;
		r = control_client_queue_ask(a->host, &ask);
	}
	if (r == 0)
		a->prompt = p;
	else
		a->cannot_ask = 1;
	smx_buf_release(&text);
	return r;
}

static void attach_unask(struct asker *asker)
{
	struct attach *a = attach_of(asker);

	a->prompt = NULL;
	if (a->host)
		control_client_queue_unask(a->host, a->ask_id);
}

/* By a line on its standard error: where nobody can be asked, nobody reads that either. */
static void attach_tell(struct asker *asker, const char *text)
{
	struct attach *a = attach_of(asker);

	if (a->place != ATTEMPT_NOWHERE)
		attach_notice(a, text);
}

/* While it is there. The usual one it has told itself, with its request. */
static char *attach_agent(const struct asker *asker, const char *variable)
{
	const struct attach *a = attach_of(asker);

	if (!a->host)
		return NULL;
	if (strcmp(variable, SMX_OS_AGENT_USUAL) == 0)
		return a->agent ? smx_strdup(a->agent) : NULL;
	return client_var(control_client_pid(a->host), variable);
}

static int attach_is_batch(struct asker *asker)
{
	return attach_of(asker)->is_batch;
}

static const struct asker_ops asker_ops = { .state = attach_state,
	.place = attach_place,
	.ask = attach_ask,
	.unask = attach_unask,
	.tell = attach_tell,
	.is_batch = attach_is_batch,
	.agent = attach_agent };

static int on_answer(struct attach *a, struct smx_view payload)
{
	struct prompt *p = a->prompt;
	struct smx_answer answer;
	int r;

	if ((r = smx_answer_parse(payload, &answer)) != 0)
		return r;
	if (!p || answer.id != a->ask_id)
		return 0; /* to a question that was taken back */
	a->prompt = NULL;
	if (answer.result == SMX_ANSWER_NOBODY) {
		a->cannot_ask = 1;
		prompt_displaced(p);
		prompt_place_all(a->mux);
	} else {
		prompt_answered(
			p, answer.result == SMX_ANSWER_OK ? 0 : SMX_ECANCELLED, answer.text);
	}
	return 0;
}

/* --- input --- */

static int on_frame(struct attach *a, uint8_t type, struct smx_view payload)
{
	switch (type) {
	case SMX_FRAME_DATA:
		if (a->has_ended || a->is_asking_only)
			return SMX_EUNEXPECTED;
		if (a->carrier.inner)
			link_carrier_data(a->carrier.inner, payload);
		return 0;
	case SMX_FRAME_END:
		a->has_ended = 1;
		if (a->carrier.inner)
			link_fail(a->carrier.inner, SMX_EEOF, NULL);
		return a->is_asking_only ? SMX_EEOF : 0;
	case SMX_FRAME_ANSWER:
		return on_answer(a, payload);
	default:
		return type >= SMX_FRAME_OPTIONAL ? 0 : SMX_EUNEXPECTED;
	}
}

int attach_input(struct attach *a, uint8_t *p, size_t n)
{
	struct smx_view payload;
	uint8_t type;
	int r;

	while ((r = smx_frame_reader_next(&a->in, &p, &n, &type, &payload)) == 0)
		if ((r = on_frame(a, type, payload)) != 0)
			return r;
	return r == SMX_EAGAIN ? 0 : r;
}

size_t attach_read_space(struct attach *a, uint8_t **ret_p)
{
	size_t n = smx_frame_reader_data_left(&a->in), room;

	if (n < DIRECT_READ_LEAST || a->has_ended || !a->carrier.inner ||
		(room = link_carrier_space(a->carrier.inner, ret_p)) < n + SMX_FRAME_HEAD)
		return 0;
	return n + SMX_FRAME_HEAD;
}

int attach_read(struct attach *a, uint8_t *p, size_t n)
{
	size_t left = smx_frame_reader_data_left(&a->in), n_data = n < left ? n : left;
	uint8_t next[SMX_FRAME_HEAD];

	/* Behind the frame's end; the link may move its bytes. */
	memcpy(next, p + n_data, n - n_data);
	smx_frame_reader_skip(&a->in, (uint32_t)n_data);
	link_carrier_read(a->carrier.inner, n_data);
	return attach_input(a, next, n - n_data);
}

uint64_t attach_frames(const struct attach *a)
{
	return a->in.n_frames;
}

uint64_t attach_client(const struct attach *a)
{
	return a->carrier.inner ? a->carrier.inner->id : 0;
}

int attach_is_mid_frame(const struct attach *a)
{
	return smx_frame_reader_is_mid(&a->in);
}

void attach_gone(struct attach *a)
{
	void (*left)(void *arg);
	struct prompt *p = a->prompt;

	a->host = NULL;
	a->prompt = NULL;
	if (a->carrier.inner)
		link_fail(a->carrier.inner, SMX_EEOF, "the client went away");
	if ((left = a->left)) {
		a->left = NULL;
		left(a->arg);
	}
	if (p) {
		prompt_displaced(p);
		prompt_place_all(a->mux);
	}
	free_if_over(a);
}

struct attach *attach_new(struct mux *m, struct control_client *host, const struct door_way *way,
	const char *agent, enum attempt_place place)
{
	struct attach *a = smx_calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->mux = m;
	a->asker.ops = &asker_ops;
	a->carrier.ops = &carrier_ops;
	smx_frame_reader_init(&a->in);
	a->host = host;
	a->place = place;
	a->is_batch = a->cannot_ask = way->is_batch;
	if ((agent[0] && !(a->agent = smx_strdup(agent))) ||
		door_attach(m, &a->carrier, a, way) != 0) {
		a->host = NULL;
		free_if_over(a);
		return NULL;
	}
	return a;
}

struct attach *attach_new_asking(struct mux *m, struct control_client *host, const char *agent,
	enum attempt_place place, void (*left)(void *arg), void *arg)
{
	struct attach *a = smx_calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->mux = m;
	a->asker.ops = &asker_ops;
	a->is_asking_only = 1;
	smx_frame_reader_init(&a->in);
	a->place = place;
	if (agent[0] && !(a->agent = smx_strdup(agent))) {
		free_if_over(a);
		return NULL;
	}
	a->host = host;
	a->left = left;
	a->arg = arg;
	return a;
}

void attach_answer(struct attach *a, struct smx_view line)
{
	struct smx_view none = { NULL, 0 };

	a->left = NULL;
	if (line.len && line.p[line.len - 1] == '\n')
		line.len--;
	(void)smx_frame_put(control_client_out(a->host), SMX_FRAME_MESSAGE, line, none);
	end(a);
}

void attach_notice(struct attach *a, const char *text)
{
	struct smx_view none = { NULL, 0 };

	if (!a->host)
		return;
	(void)smx_frame_put(control_client_out(a->host), SMX_FRAME_NOTICE,
		smx_view_of(text, strlen(text)), none);
	control_client_flush(a->host);
}

void attach_hush(struct attach *a, int is_hushed)
{
	a->is_hushed = is_hushed;
	attach_writable(a);
}

void attach_begin(struct attach *a)
{
	if (a->carrier.inner)
		door_begin(a->carrier.inner->owner);
}

int64_t attach_pid(const struct attach *a)
{
	return a->host ? control_client_pid(a->host) : -1;
}
