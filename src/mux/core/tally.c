/* SPDX-License-Identifier: MIT */
#include "mux/core/tally.h"

#include "base/log.h"
#include "mux/core/mux.h"

int tally_take(struct tally *t, uint64_t now_ms)
{
	if (t->n_lines == 0)
		t->since_ms = now_ms;
	if (t->n_lines < TALLY_LINES) {
		t->n_lines++;
		return 1;
	}
	t->n_more++;
	return 0;
}

uint64_t tally_end(struct tally *t, uint64_t now_ms)
{
	uint64_t n = t->n_more;

	if (t->n_lines == 0 || now_ms - t->since_ms < TALLY_WINDOW_MS)
		return 0;
	*t = (struct tally){ 0 };
	return n;
}

static const struct {
	enum smx_log_level level;
	const char *text;
} kinds[TALLY_KINDS] = {
	[TALLY_OTHER_USER] = { SMX_LOG_WARN, "connections of other users were closed" },
	[TALLY_UNTOLD] = { SMX_LOG_WARN,
		"connections were closed because the system did not tell whose they were" },
	[TALLY_CAME] = { SMX_LOG_DEBUG, "clients came that nobody knows" },
	[TALLY_UNAUTH] = { SMX_LOG_WARN, "clients ended before they had authenticated" },
	[TALLY_FULL] = { SMX_LOG_WARN, "clients were turned away: too many" },
	[TALLY_ACCEPT] = { SMX_LOG_WARN, "times no client could be accepted" },
	[TALLY_CONTROL] = { SMX_LOG_WARN, "control clients were turned away" },
};

int mux_tally(struct mux *m, enum tally_kind kind)
{
	return tally_take(&m->tallies[kind], mux_now(m));
}

void mux_tally_tick(struct mux *m, int is_last)
{
	uint64_t now = mux_now(m) + (is_last ? TALLY_WINDOW_MS : 0), since, n;

	for (int i = 0; i < TALLY_KINDS; i++) {
		since = m->tallies[i].since_ms;
		if ((n = tally_end(&m->tallies[i], now)) > 0)
			smx_log(kinds[i].level, "%llu more %s in the last %llu s",
				(unsigned long long)n, kinds[i].text,
				(unsigned long long)(mux_now(m) - since + 999) / 1000);
	}
}
