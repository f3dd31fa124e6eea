/* SPDX-License-Identifier: MIT */
/*
 * Log lines that anybody on the machine can cause (U9): the first few of a kind within a minute are
 * written, the others counted, and the count is one line when the minute is over. So a flood costs
 * the log a few lines a minute, and what it was about is there.
 */
#ifndef SMX_MUX_CORE_TALLY_H
#define SMX_MUX_CORE_TALLY_H

#include <stdint.h>

#define TALLY_WINDOW_MS (60 * 1000)
#define TALLY_LINES     5 /* written within a window */

enum tally_kind {
	TALLY_OTHER_USER, /* closed at once */
	TALLY_UNTOLD, /* closed, for the system did not tell whose it was */
	TALLY_CAME, /* strangers that were let in */
	TALLY_UNAUTH, /* ended before they had authenticated */
	TALLY_FULL, /* turned away: too many */
	TALLY_ACCEPT, /* failures of the system's */
	TALLY_CONTROL, /* turned away at the control endpoint */
	TALLY_KINDS,
};

struct tally {
	uint64_t since_ms; /* of the window's first event */
	unsigned n_lines; /* 0: no window is open */
	uint64_t n_more;
};

/* An event. 1: its line is to be written; 0: it was counted. */
int tally_take(struct tally *t, uint64_t now_ms);
/* Ends a window whose time is over; how many of its events were counted only. */
uint64_t tally_end(struct tally *t, uint64_t now_ms);

struct mux;

/* The same for the daemon's own. */
int mux_tally(struct mux *m, enum tally_kind kind);
/* Once a second: writes the counts that are due; all of them if is_last. */
void mux_tally_tick(struct mux *m, int is_last);

#endif
