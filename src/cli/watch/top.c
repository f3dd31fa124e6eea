/* SPDX-License-Identifier: MIT */
/* ssh-mux top (B10): what goes on, live. */
#include "cli/watch/top.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "os/process.h"
#include "os/terminal.h"

#define INTERVAL_DEFAULT_MS 1000
#define INTERVAL_MIN_MS     200
#define INTERVAL_MAX_MS     60000
#define RETRY_MS            1000 /* how often one that is away is looked for, at least */
#define SLOW_MS             3000 /* an answer takes no longer unless something is wrong */
#define ONCE_TIMEOUT_MS     10000
#define FRAME_MAX           (16u << 20)

struct top {
	uv_loop_t loop;
	uv_timer_t timer;
	uv_signal_t winch;
	struct top_feed feed;
	struct top_model model;
	struct top_ui ui;
	struct top_keys keys;
	struct smx_os_input *input; /* NULL: not a terminal */
	uv_work_t typing; /* a read of it, on a worker thread */
	int is_typing, typing_r;
	char typed[256];
	size_t n_typed;
	uint64_t interval_ms, begun_ms;
	int is_once, is_over, code;
	int64_t pid; /* of the daemon of the last look */
	char note[320];
};

static void end(struct top *t, int code)
{
	if (t->is_over)
		return;
	t->is_over = 1;
	t->code = code;
	top_feed_close(&t->feed);
	uv_close((uv_handle_t *)&t->timer, NULL);
	uv_close((uv_handle_t *)&t->winch, NULL);
	if (t->input)
		smx_os_input_cancel(t->input);
}

/* ---- showing -----------------------------------------------------------------------------------
 */

static void say(struct top *t)
{
	uint64_t now = uv_now(&t->loop);
	char age[SMX_CLI_TEXT_MAX];
	const struct top_feed *f = &t->feed;

	t->ui.note = t->note;
	t->ui.note_is_bad = 1;
	if (f->is_away)
		(void)snprintf(t->note, sizeof(t->note),
			"%s, waiting for it (%s); below is what was last seen", f->note,
			smx_cli_text_age((now - f->away_ms) / 1000, age));
	else if (top_feed_is_waiting(f) && now - f->asked_ms >= SLOW_MS)
		(void)snprintf(t->note, sizeof(t->note), "the daemon has not answered for %s",
			smx_cli_text_age((now - f->asked_ms) / 1000, age));
	else
		t->note[0] = '\0';
	if (t->note[0])
		return;
	/* What became of a command; the lock itself is shown anyway. */
	t->ui.note_is_bad = 0;
	if (strcmp(f->note, "locked") != 0 && strcmp(f->note, "unlocked") != 0)
		(void)snprintf(t->note, sizeof(t->note), "%s", f->note);
}

static void draw(struct top *t)
{
	struct smx_os_terminal_size size = { 0, 0, 0, 0 };
	struct smx_buf out;
	int r;

	if (t->is_over || t->is_once)
		return;
	(void)smx_os_terminal_size(1, &size);
	t->ui.look.width = size.columns;
	t->ui.rows = size.rows;
	say(t);
	smx_buf_init(&out, FRAME_MAX);
	r = top_view_screen(&t->model, &t->ui, &out);
	/* No memory for this one: the next will show it. A terminal that is gone ends it. */
	if (r == 0 && smx_os_output_write(1, smx_buf_view(&out), smx_buf_len(&out)) != 0)
		end(t, SMX_EXIT_IOERR);
	smx_buf_release(&out);
}

static void print_once(struct top *t)
{
	struct smx_buf out;
	int r;

	smx_buf_init(&out, FRAME_MAX);
	if ((r = top_view_text(&t->model, &t->ui, &out)) == 0)
		(void)fwrite(smx_buf_view(&out), 1, smx_buf_len(&out), stdout);
	else
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "cannot show it: %s", smx_strerror(r));
	smx_buf_release(&out);
	end(t, r);
}

/* ---- the daemon --------------------------------------------------------------------------------
 */

static void on_took(struct top_feed *f, struct smx_status *st)
{
	struct top *t = SMX_CONTAINER(f, struct top, feed);
	int64_t pid = st->pid;

	if (t->model.n_looks > 0 && pid != t->pid)
		top_model_forget(&t->model); /* another daemon: its ids begin anew */
	if (top_model_take(&t->model, st, smx_os_monotonic_ms()) != 0)
		return;
	t->pid = pid;
	if (t->is_once && t->model.n_looks >= 2)
		print_once(t);
	else
		draw(t);
}

static void on_changed(struct top_feed *f)
{
	struct top *t = SMX_CONTAINER(f, struct top, feed);

	if (t->is_over)
		return;
	if (t->is_once && f->is_away) {
		end(t, smx_cli_fail(SMX_EXIT_UNAVAILABLE,
			       "start one: ssh-mux serve, or ssh-mux daemon", "%s", f->note));
		return;
	}
	draw(t);
}

static void on_tick(uv_timer_t *timer)
{
	struct top *t = SMX_CONTAINER(timer, struct top, timer);

	if (t->is_once && uv_now(&t->loop) - t->begun_ms > t->interval_ms + ONCE_TIMEOUT_MS) {
		end(t, smx_cli_fail(
			       SMX_EXIT_UNAVAILABLE, "see its log", "the daemon does not answer"));
		return;
	}
	/* A note has been read by now; what still holds is said again. */
	if (!t->feed.is_away)
		t->feed.note[0] = '\0';
	top_feed_ask(&t->feed);
	if (!t->is_over && (t->feed.is_away || top_feed_is_waiting(&t->feed)))
		draw(t);
}

/* ---- the user ----------------------------------------------------------------------------------
 */

static void scroll(struct top *t, size_t lines, int is_down)
{
	if (is_down)
		t->ui.scroll += lines;
	else
		t->ui.scroll -= lines < t->ui.scroll ? lines : t->ui.scroll;
}

/* A slip of the finger must not cut everybody off: locking is asked about, unlocking is not. */
static void on_lock_key(struct top *t)
{
	if (t->model.st.locked)
		top_feed_command(&t->feed, SMX_CONTROL_UNLOCK);
	else
		t->ui.is_asking = 1;
}

static void on_key(struct top *t, enum top_key key)
{
	size_t page = t->ui.page > 1 ? t->ui.page - 1 : 1;

	if (t->ui.is_asking && key != TOP_KEY_NONE && key != TOP_KEY_QUIT) {
		t->ui.is_asking = 0;
		if (key == TOP_KEY_YES)
			top_feed_command(&t->feed, SMX_CONTROL_LOCK);
		return;
	}
	switch (key) {
	case TOP_KEY_QUIT:
		end(t, SMX_EXIT_OK);
		break;
	case TOP_KEY_UP:
	case TOP_KEY_DOWN:
		scroll(t, 1, key == TOP_KEY_DOWN);
		break;
	case TOP_KEY_PAGE_UP:
	case TOP_KEY_PAGE_DOWN:
		scroll(t, page, key == TOP_KEY_PAGE_DOWN);
		break;
	case TOP_KEY_HOME:
		t->ui.scroll = 0;
		break;
	case TOP_KEY_END:
		scroll(t, FRAME_MAX, 1);
		break;
	case TOP_KEY_SORT:
		t->ui.sort = (t->ui.sort + 1) % TOP_SORT_COUNT;
		break;
	case TOP_KEY_LOCK:
		on_lock_key(t);
		break;
	case TOP_KEY_REDRAW:
		t->ui.is_stale = 1;
		top_feed_ask(&t->feed);
		break;
	case TOP_KEY_YES:
	case TOP_KEY_OTHER:
	case TOP_KEY_NONE:
		break;
	}
}

static void typing_run(uv_work_t *work)
{
	struct top *t = SMX_CONTAINER(work, struct top, typing);

	t->typing_r = smx_os_input_read(t->input, t->typed, sizeof(t->typed), &t->n_typed);
}

static void read_keys(struct top *t);

static void typing_done(uv_work_t *work, int status)
{
	struct top *t = SMX_CONTAINER(work, struct top, typing);

	t->is_typing = 0;
	if (t->is_over)
		return;
	if (status != 0 || t->typing_r != 0) {
		end(t, SMX_EXIT_OK); /* the terminal is gone */
		return;
	}
	for (size_t i = 0; i < t->n_typed && !t->is_over; i++)
		on_key(t, top_keys_take(&t->keys, (uint8_t)t->typed[i]));
	draw(t);
	read_keys(t);
}

static void read_keys(struct top *t)
{
	if (t->is_over || t->is_typing)
		return;
	if (uv_queue_work(&t->loop, &t->typing, typing_run, typing_done) == 0)
		t->is_typing = 1;
	else
		end(t, SMX_EXIT_OSERR);
}

static void on_winch(uv_signal_t *handle, int signum)
{
	struct top *t = SMX_CONTAINER(handle, struct top, winch);

	(void)signum;
	t->ui.is_stale = 1; /* the terminal has moved lines about, or wrapped them anew */
	draw(t);
}

/* ---- the command -------------------------------------------------------------------------------
 */

static int start_terminal(struct top *t)
{
	int r;

	if ((r = smx_os_input_new(0, &t->input)) != 0)
		return r;
	if (uv_signal_start(&t->winch, on_winch, SIGWINCH) != 0)
		return SMX_ESYS;
	if ((r = smx_os_terminal_full(0, 1)) != 0)
		return r;
	read_keys(t);
	return 0;
}

static int watch(struct top *t, const char *path)
{
	int r;

	if (uv_loop_init(&t->loop) != 0)
		return smx_cli_fail(SMX_EXIT_OSERR, NULL, "out of memory");
	(void)uv_timer_init(&t->loop, &t->timer);
	(void)uv_signal_init(&t->loop, &t->winch);
	top_feed_init(&t->feed, &t->loop, path);
	t->feed.took = on_took;
	t->feed.changed = on_changed;
	top_model_init(&t->model);
	smx_os_ignore_sigpipe();
	if (!t->is_once && (r = start_terminal(t)) != 0) {
		smx_os_terminal_restore();
		end(t, smx_cli_fail(smx_cli_exit_code(r), NULL, "the terminal can't be used: %s",
			       smx_strerror(r)));
	} else {
		t->begun_ms = uv_now(&t->loop);
		(void)uv_timer_start(&t->timer, on_tick, t->interval_ms, t->interval_ms);
		top_feed_ask(&t->feed);
		draw(t);
	}
	(void)uv_run(&t->loop, UV_RUN_DEFAULT);
	smx_os_terminal_restore();
	(void)uv_loop_close(&t->loop);
	smx_os_input_free(t->input);
	top_model_release(&t->model);
	return t->code;
}

/* "2", "0.5": seconds with up to three decimals. */
static int parse_interval(const char *text, uint64_t *ret_ms)
{
	uint64_t ms = 0;
	unsigned decimals = 0, digits = 0;
	const char *s;

	for (s = text; (*s >= '0' && *s <= '9') || (*s == '.' && decimals == 0); s++) {
		if (*s == '.') {
			decimals = 1;
			continue;
		}
		if (decimals > 3 || ms > INTERVAL_MAX_MS)
			return SMX_EINVAL;
		ms = ms * 10 + (uint64_t)(*s - '0');
		decimals += decimals > 0;
		digits++;
	}
	for (unsigned i = decimals ? decimals - 1 : 0; i < 3; i++)
		ms *= 10;
	if (*s || digits == 0 || ms < INTERVAL_MIN_MS || ms > INTERVAL_MAX_MS)
		return SMX_EINVAL;
	*ret_ms = ms;
	return 0;
}

static int parse(int argc, char **argv, struct top *t, int *ret_exit)
{
	static const struct option options[] = { { "interval", required_argument, NULL, 'i' },
		{ "once", no_argument, NULL, '1' }, { "color", required_argument, NULL, 'C' },
		SMX_CLI_COMMON_OPTIONS };
	int c, color = -1;

	while ((c = smx_cli_getopt(argc, argv, "+:i:hV", options, &smx_cmd_top, ret_exit)) != -1) {
		if (c == -2)
			return 0;
		if (c == '1')
			t->is_once = 1;
		else if (c == 'C') {
			*ret_exit = smx_cli_parse_color(&smx_cmd_top, optarg, &color);
			if (*ret_exit != 0)
				return 0;
		} else if (parse_interval(optarg, &t->interval_ms) != 0) {
			*ret_exit = smx_cli_fail(SMX_EXIT_USAGE, NULL,
				"top: --interval must be a number of seconds from 0.2 to 60, not "
				"%s",
				optarg);
			return 0;
		}
	}
	if ((*ret_exit = smx_cli_no_arguments(argc, argv, &smx_cmd_top)) != 0)
		return 0;
	if (!t->is_once && (!smx_os_is_terminal(0) || !smx_os_is_terminal(1))) {
		*ret_exit =
			smx_cli_fail(SMX_EXIT_USAGE, "see: ssh-mux status, or ssh-mux top --once",
				"top: the live view needs a terminal");
		return 0;
	}
	smx_cli_look_of(1, color, &t->ui.look);
	return 1;
}

static int run(int argc, char **argv)
{
	struct top *t = smx_calloc(1, sizeof(*t));
	char *ssh_dir = NULL, *path = NULL;
	struct smx_cli_client c;
	int r;

	if (!t)
		return smx_cli_fail(SMX_EXIT_OSERR, NULL, "out of memory");
	t->interval_ms = INTERVAL_DEFAULT_MS;
	/* Whatever keeps us from the daemon is said before the terminal is taken. */
	if (parse(argc, argv, t, &r) && (r = smx_cli_paths(&ssh_dir, &path)) == 0 &&
		(r = smx_cli_client_open(&c)) == 0) {
		smx_cli_client_close(&c);
		r = watch(t, path);
	}
	smx_free(ssh_dir);
	smx_free(path);
	smx_free(t);
	return r;
}

const struct smx_command smx_cmd_top = {
	.name = "top",
	.summary = "watch connections and channels live",
	.usage = "usage: ssh-mux top [-i SECONDS] [--once] [--color=WHEN]\n"
		 "\n"
		 "Show the pooled connections live: their routes, state, age, round trip, time\n"
		 "left, and the bytes per second in and out; below them the channels. B, K, M, G\n"
		 "are multiples of 1024 bytes; \"in\" comes from the remote.\n"
		 "\n"
		 "  -i, --interval SECONDS  time between refreshes, 0.2 to 60 (default: 1)\n"
		 "      --once              print one view as plain text, after one interval\n"
		 "      --color=WHEN        always, never or auto: at a terminal, unless NO_COLOR\n"
		 "                          is set\n"
		 "  -h, --help              show this text\n"
		 "  -V, --version           show the version\n"
		 "\n"
		 "Keys: q quits, arrows, Page Up and Page Down (j, k, space, b) scroll, s sorts\n"
		 "by id, traffic, age or name, l locks (after a question) and unlocks, r\n"
		 "refreshes.\n",
	.run = run,
};
