/* SPDX-License-Identifier: MIT */
/*
 * ssh-mux top (B10), in four parts: top_feed.c asks the daemon, top_model.c turns its answers into
 * rates, top_view.c makes text of them, top.c is the command with its keys and clock.
 */
#ifndef SMX_CLI_WATCH_TOP_H
#define SMX_CLI_WATCH_TOP_H

#include <uv.h>

#include "cli/cli.h"

/* ---- top_feed.c -------------------------------------------------------------------------------
 */

/*
 * A connection to the daemon on an event loop, made again whenever it is lost. Nothing here waits.
 */
struct top_feed {
	uv_loop_t *loop;
	const char *path; /* of the endpoint, borrowed */
	/* A whole answer; the receiver may take what is in it by smx_status_init. */
	void (*took)(struct top_feed *f, struct smx_status *st);
	/* The state below, or the note, has changed. */
	void (*changed)(struct top_feed *f);
	int is_away; /* no daemon could be reached */
	uint64_t away_ms, asked_ms; /* uv_now: since when that is so; of the open question */
	char note[256]; /* why it is away, or what became of the last command; fit for a terminal */
	/* private */
	uv_pipe_t *pipe; /* NULL: not connected */
	struct smx_control_reader reader;
	int has_hello, has_worked, wants_status;
	enum smx_control_cmd wants; /* LOCK, UNLOCK; UNKNOWN: neither */
	int64_t next_id, status_id, command_id; /* ids of open questions, 0: none */
	struct smx_status st; /* of the answer so far */
	char in[16 * 1024];
};

void top_feed_init(struct top_feed *f, uv_loop_t *loop, const char *path);
/* Asks for the state of things, unless that is being answered; connects first if need be. */
void top_feed_ask(struct top_feed *f);
/* cmd: LOCK or UNLOCK. */
void top_feed_command(struct top_feed *f, enum smx_control_cmd cmd);
/* Whether an answer is due. */
int top_feed_is_waiting(const struct top_feed *f);
/* Ends it; the loop has to run on until what it owns is closed. */
void top_feed_close(struct top_feed *f);

/* ---- top_model.c -------------------------------------------------------------------------------
 */

#define TOP_SLOTS 61 /* seconds that are remembered: a minute, and the one that goes on */

/* What went over one connection or channel. */
struct top_rate {
	int is_channel;
	uint64_t id;
	uint64_t in, out; /* the counters, as last seen */
	uint64_t in_rate, out_rate; /* bytes a second, between the last two looks */
	uint64_t last_s; /* the second of the newest slot */
	uint64_t slots[TOP_SLOTS]; /* bytes in that second, both ways: slots[second % TOP_SLOTS] */
};

struct top_model {
	struct smx_status st; /* the last answer */
	unsigned n_looks;
	uint64_t at_ms;
	struct top_rate total; /* of all connections, what runs within another counted once */
	struct top_rate *rates; /* sorted */
	size_t rate_count;
};

void top_model_init(struct top_model *m);
void top_model_release(struct top_model *m);
/* Takes *st over, which is as after smx_status_init then. now_ms: of a clock that never goes back.
 * SMX_ENOMEM: nothing was taken. */
int top_model_take(struct top_model *m, struct smx_status *st, uint64_t now_ms);
/* NULL if there is none. */
const struct top_rate *top_model_rate(const struct top_model *m, int is_channel, uint64_t id);
/* Forgets the past: the daemon is another one. */
void top_model_forget(struct top_model *m);
/* Bytes in each of n equal parts of the minute before now_ms, oldest first; n divides 60. */
void top_rate_history(const struct top_rate *r, uint64_t now_ms, unsigned n, uint64_t *ret);

/* ---- top_view.c --------------------------------------------------------------------------------
 */

enum top_sort { TOP_SORT_ID, TOP_SORT_TRAFFIC, TOP_SORT_AGE, TOP_SORT_NAME, TOP_SORT_COUNT };

struct top_ui {
	struct smx_cli_look look; /* width 0: not a terminal, no line is cut */
	size_t rows; /* 0: all */
	enum top_sort sort;
	size_t scroll; /* first line of the body that is shown; put right by top_view_screen */
	int is_stale; /* what is on the terminal is none of ours: cleared by top_view_screen */
	size_t page; /* lines of the body that fit, as of the last top_view_screen */
	int is_asking; /* whether to lock: the last line is the question */
	const char *note; /* a line above all, or "" */
	int note_is_bad;
};

/* The view as plain lines, all of it. SMX_ENOMEM, SMX_ELIMIT. */
int top_view_text(const struct top_model *m, const struct top_ui *ui, struct smx_buf *out);
/* The view as what brings it onto a terminal of ui's size, over whatever is there. */
int top_view_screen(const struct top_model *m, struct top_ui *ui, struct smx_buf *out);

/* ---- keys (top_keys.c) -------------------------------------------------------------------------
 */

enum top_key {
	TOP_KEY_NONE,
	TOP_KEY_QUIT,
	TOP_KEY_UP,
	TOP_KEY_DOWN,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_SORT,
	TOP_KEY_LOCK,
	TOP_KEY_REDRAW,
	TOP_KEY_YES,
	TOP_KEY_OTHER, /* any other character: no answer, and no command */
};

/* Escape sequences arrive in pieces. Zeroed at first. */
struct top_keys {
	int state;
	unsigned number;
};

enum top_key top_keys_take(struct top_keys *k, uint8_t byte);

#endif
