/* SPDX-License-Identifier: MIT */
#include "cli/watch/top.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"

#define VIEW_MAX     (16u << 20)
#define ROWS_DEFAULT 24
#define COLS_DEFAULT 80
#define WARNINGS_MAX 2 /* shown on a terminal; `status` shows them all */
#define SPARK_MAX    30
/* Bytes a second that fill a bar at least: keepalives are no mountains. */
#define SPARK_FLOOR 4096

/* The three parts of the view; of the body a part may be shown. Lines end with '\n'. */
struct view {
	struct smx_buf head, body, foot;
};

static void view_init(struct view *v)
{
	smx_buf_init(&v->head, VIEW_MAX);
	smx_buf_init(&v->body, VIEW_MAX);
	smx_buf_init(&v->foot, VIEW_MAX);
}

static void view_release(struct view *v)
{
	smx_buf_release(&v->head);
	smx_buf_release(&v->body);
	smx_buf_release(&v->foot);
}

/* ---- one line ----------------------------------------------------------------------------------
 */

struct line {
	struct smx_buf *out;
	const struct smx_cli_look *look;
	size_t left; /* columns */
	int r;
};

static struct line line_begin(struct smx_buf *out, const struct smx_cli_look *look)
{
	return (struct line){ out, look, look->width > 0 ? look->width : SIZE_MAX, 0 };
}

static void line_put(struct line *l, enum smx_cli_style style, const char *fmt, ...)
	SMX_PRINTF(3, 4);

static void line_put(struct line *l, enum smx_cli_style style, const char *fmt, ...)
{
	int color = l->look->color && style != SMX_STYLE_NONE;
	char text[2 * SMX_STATUS_TEXT_MAX];
	va_list ap;
	size_t w;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w = smx_cli_text_width(text);
	w = w < l->left ? w : l->left;
	if (l->r != 0 || w == 0)
		return;
	if ((l->r = smx_buf_put_str(l->out, smx_cli_color(color, style))) == 0 &&
		(l->r = smx_cli_text_put(l->out, text, w, l->look->is_ascii)) == 0)
		l->r = smx_buf_put_str(l->out, smx_cli_color(color, SMX_STYLE_NONE));
	l->left -= w;
}

static int line_end(struct line *l)
{
	return l->r != 0 ? l->r : smx_buf_put(l->out, "\n", 1);
}

/* ---- the head ----------------------------------------------------------------------------------
 */

/* Bars for the last minute, `n` of them, or "". */
static const char *spark(const struct top_rate *r, uint64_t now_ms, unsigned n, int is_ascii,
	char out[SPARK_MAX * 3 + 1])
{
	static const char *const bars[2][9] = {
		{ "\xe2\x96\x81", "\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83", "\xe2\x96\x84",
			"\xe2\x96\x85", "\xe2\x96\x86", "\xe2\x96\x87", "\xe2\x96\x88" },
		{ "_", ".", ",", "-", "~", "=", "+", "*", "#" },
	};
	uint64_t parts[SPARK_MAX], most;
	size_t used = 0;

	out[0] = '\0';
	if (!r || n == 0)
		return out;
	top_rate_history(r, now_ms, n, parts);
	most = (uint64_t)SPARK_FLOOR * 60 / n;
	for (unsigned i = 0; i < n; i++)
		most = parts[i] > most ? parts[i] : most;
	for (unsigned i = 0; i < n; i++) {
		double share = (double)parts[i] / (double)most;
		const char *bar = bars[is_ascii != 0][parts[i] ? 1 + (int)(share * 7) : 0];

		memcpy(out + used, bar, strlen(bar) + 1);
		used += strlen(bar);
	}
	return out;
}

/* Bars that there is room for: a divisor of 60. */
static unsigned spark_width(size_t width)
{
	if (width == 0 || width >= 132)
		return 30;
	if (width >= 100)
		return 20;
	return width >= 76 ? 10 : width >= 64 ? 6 : 0;
}

static int put_title(const struct top_model *m, const struct top_ui *ui, struct smx_buf *out)
{
	struct line l = line_begin(out, &ui->look);
	char text[SMX_CLI_TEXT_MAX];

	if (m->n_looks == 0) {
		line_put(&l, SMX_STYLE_BOLD, "ssh-mux");
		return line_end(&l);
	}
	line_put(&l, SMX_STYLE_BOLD, "ssh-mux %s", m->st.version ? m->st.version : "?");
	line_put(&l, SMX_STYLE_NONE, "  up %s", smx_cli_text_age(m->st.uptime_s, text));
	if (m->st.port)
		line_put(&l, SMX_STYLE_NONE, "  port %u", (unsigned)m->st.port);
	else
		line_put(&l, SMX_STYLE_NONE, "  no local port");
	if (!m->st.locked && l.left >= sizeof("  unlocked"))
		line_put(&l, SMX_STYLE_DIM, "  unlocked");
	return line_end(&l);
}

static int put_totals(const struct top_model *m, const struct top_ui *ui, struct smx_buf *out)
{
	struct line l = line_begin(out, &ui->look);
	int is_wide = ui->look.width == 0 || ui->look.width >= 76;
	char in[SMX_CLI_TEXT_MAX], up[SMX_CLI_TEXT_MAX], bars[SPARK_MAX * 3 + 1];

	if (is_wide)
		line_put(&l, SMX_STYLE_NONE, "%zu connection%s, %zu channel%s, %zu client%s",
			m->st.connection_count, m->st.connection_count == 1 ? "" : "s",
			m->st.channel_count, m->st.channel_count == 1 ? "" : "s",
			m->st.client_count, m->st.client_count == 1 ? "" : "s");
	else
		line_put(&l, SMX_STYLE_NONE, "%zu conn, %zu chan", m->st.connection_count,
			m->st.channel_count);
	line_put(&l, SMX_STYLE_NONE, "  in %s/s  out %s/s", smx_cli_text_rate(m->total.in_rate, in),
		smx_cli_text_rate(m->total.out_rate, up));
	if (is_wide)
		line_put(&l, SMX_STYLE_NOTE, "  %s",
			spark(&m->total, m->at_ms, spark_width(ui->look.width), ui->look.is_ascii,
				bars));
	return line_end(&l);
}

static int put_label(const struct top_ui *ui, struct smx_buf *out, enum smx_cli_style style,
	const char *label, const char *text)
{
	struct line l = line_begin(out, &ui->look);

	line_put(&l, style, "%s", label);
	line_put(&l, SMX_STYLE_NONE, " %s", text);
	return line_end(&l);
}

static int put_head(const struct top_model *m, const struct top_ui *ui, struct smx_buf *out)
{
	size_t shown = m->st.warning_count;
	char text[96];
	int r;

	if ((r = put_title(m, ui, out)) != 0)
		return r;
	if (ui->note && ui->note[0]) {
		struct line l = line_begin(out, &ui->look);

		line_put(&l, ui->note_is_bad ? SMX_STYLE_BAD : SMX_STYLE_NOTE, "%s", ui->note);
		r = line_end(&l);
	}
	if (r != 0 || m->n_looks == 0)
		return r;
	if (m->st.locked)
		r = put_label(ui, out, SMX_STYLE_BAD,
			"LOCKED:", "new sessions are refused; to accept them: ssh-mux unlock");
	/* A small terminal is for what goes on. */
	if (ui->rows > 0 && shown > (ui->rows < 16 ? 1 : WARNINGS_MAX))
		shown = ui->rows < 16 ? 1 : WARNINGS_MAX;
	for (size_t i = 0; i < shown && r == 0; i++)
		r = put_label(ui, out, SMX_STYLE_WARN, "WARNING:", m->st.warnings[i]);
	if (r == 0 && shown < m->st.warning_count) {
		(void)snprintf(text, sizeof(text), "%zu more; to see them: ssh-mux status",
			m->st.warning_count - shown);
		r = put_label(ui, out, SMX_STYLE_WARN, "WARNINGS:", text);
	}
	return r != 0 ? r : put_totals(m, ui, out);
}

/* ---- the tables --------------------------------------------------------------------------------
 */

/* A row to be sorted. */
struct row {
	size_t index;
	int is_last; /* below all others, however they are sorted */
	uint64_t key;
	const char *name;
};

static int by_key(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int c = x->name && y->name ? strcmp(x->name, y->name) : 0;

	if (x->is_last != y->is_last)
		return x->is_last - y->is_last;
	if (c != 0)
		return c;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* The smaller the key the higher the row. */
static uint64_t sort_key(
	enum top_sort sort, uint64_t id, uint64_t age_s, const struct top_rate *rate)
{
	switch (sort) {
	case TOP_SORT_TRAFFIC:
		return UINT64_MAX - (rate ? rate->in_rate + rate->out_rate : 0);
	case TOP_SORT_AGE:
		return age_s; /* the youngest first: it is the one that has just come */
	default:
		return id;
	}
}

static void init_table(struct smx_cli_table *t, const struct top_ui *ui, const char *const *head,
	const uint8_t *widths, size_t columns, unsigned right_mask)
{
	smx_cli_table_init(t, columns, right_mask);
	t->gap = ui->look.width > 0 && ui->look.width < 100 ? 1 : 2;
	t->width = ui->look.width;
	t->color = ui->look.color;
	t->is_ascii = ui->look.is_ascii;
	for (size_t i = 0; i < columns; i++) {
		t->min_width[i] = widths[i];
		smx_cli_table_styled(t, SMX_STYLE_DIM, "%s", head[i]);
	}
}

static void rate_cell(struct smx_cli_table *t, uint64_t n)
{
	char text[SMX_CLI_TEXT_MAX];

	smx_cli_table_styled(t, n > 0 ? SMX_STYLE_BOLD : SMX_STYLE_DIM, "%s",
		n > 0 ? smx_cli_text_rate(n, text) : "-");
}

static void left_cell(struct smx_cli_table *t, int64_t left_s, const char *none)
{
	char text[SMX_CLI_TEXT_MAX];

	smx_cli_table_cell(t, "%s", left_s < 0 ? none : smx_cli_text_age((uint64_t)left_s, text));
}

static int is_tunnel(const struct smx_status_channel *ch)
{
	return strcmp(ch->kind, "tunnel") == 0;
}

/* Adds a name to those that are there, once. */
static void add_name(char *names, size_t size, const char *name)
{
	size_t len = strlen(names), n = strlen(name);

	for (const char *s = names; *s; s += strcspn(s, ","), s += *s == ',')
		if (strncmp(s, name, n) == 0 && (s[n] == ',' || s[n] == '\0'))
			return;
	if (n > 0 && len + n + 2 <= size)
		(void)snprintf(names + len, size - len, "%s%s", len ? "," : "", name);
}

/* Whether `key` is "TARGET via VIA". */
static int leads_there(const struct smx_status_route *route, const char *key)
{
	size_t n = strlen(route->target);

	if (strncmp(key, route->target, n) != 0)
		return 0;
	if (!*route->via)
		return key[n] == '\0';
	return strncmp(key + n, " via ", 5) == 0 && strcmp(key + n + 5, route->via) == 0;
}

/* The routes of a connection: those of its channels, which is certain, and those that lead there,
 * unless another connection to the same place logged in with other keys. */
static void route_cell(
	struct smx_cli_table *t, const struct smx_status *st, const struct smx_status_connection *c)
{
	char names[SMX_STATUS_TEXT_MAX] = "";
	int has_twin = 0, has_tunnel = 0;

	for (size_t i = 0; i < st->channel_count; i++) {
		const struct smx_status_channel *ch = &st->channels[i];

		if (ch->connection != c->id)
			continue;
		has_tunnel |= is_tunnel(ch);
		add_name(names, sizeof(names), ch->route);
	}
	for (size_t i = 0; i < st->connection_count; i++)
		has_twin |= strcmp(st->connections[i].key, c->key) == 0 &&
			    strcmp(st->connections[i].identity, c->identity) != 0;
	for (size_t i = 0; i < st->route_count && !has_twin; i++)
		if (leads_there(&st->routes[i], c->key))
			add_name(names, sizeof(names), st->routes[i].name);
	if (*names)
		smx_cli_table_cell(t, "%s", names);
	else
		smx_cli_table_styled(t, SMX_STYLE_DIM, "%s", has_tunnel ? "(jump)" : "-");
}

static void connection_row(struct smx_cli_table *t, const struct top_model *m,
	const struct top_ui *ui, const struct smx_status_connection *c)
{
	const struct top_rate *rate = top_model_rate(m, 0, c->id);
	char text[SMX_CLI_TEXT_MAX], bars[SPARK_MAX * 3 + 1];

	smx_cli_table_cell(t, "%" PRIu64, c->id);
	route_cell(t, &m->st, c);
	smx_cli_connection_cell(t, &m->st, c);
	smx_cli_state_cell(t, c);
	smx_cli_table_cell(t, "%s", smx_cli_text_age(c->age_s, text));
	smx_cli_table_cell(t, "%" PRIu64, c->channels);
	if (c->rtt_ms < 0)
		smx_cli_table_cell(t, "-");
	else
		smx_cli_table_cell(t, "%" PRId64 "ms", c->rtt_ms);
	if (t->hidden_mask) /* one column for both: the end that comes first */
		left_cell(t, c->idle_left_s >= 0 ? c->idle_left_s : c->lifetime_left_s, "-");
	else
		left_cell(t, c->idle_left_s, "in use");
	left_cell(t, c->lifetime_left_s, "-");
	rate_cell(t, rate ? rate->in_rate : 0);
	rate_cell(t, rate ? rate->out_rate : 0);
	smx_cli_table_styled(t, SMX_STYLE_NOTE, "%s",
		spark(rate, m->at_ms, spark_width(ui->look.width), ui->look.is_ascii, bars));
	smx_cli_path_cell(t, &c->path, 1);
}

static int put_connections(const struct top_model *m, const struct top_ui *ui, struct smx_buf *out)
{
	int is_narrow = ui->look.width > 0 && ui->look.width < 100;
	const char *const head[] = { "ID", "ROUTE", "CONNECTION", "STATE", "AGE", "CH", "RTT",
		is_narrow ? "LEFT" : "IDLE", "LIFE", "IN/s", "OUT/s",
		is_narrow ? "MINUTE" : "LAST MINUTE", "PATH, WINDOWS" };
	static const uint8_t widths[] = { 2, 6, 14, 5, 6, 2, 5, 6, 6, 5, 5, 0, 0 };
	static const uint8_t drops[] = { 12, 4, 7, 11, 0, 5, 6, 3 };
	size_t n = m->st.connection_count;
	struct smx_cli_table t;
	struct row *rows;
	int r;

	if (n == 0)
		return smx_buf_put_str(out, "No connections: the first client makes one.\n");
	if ((rows = smx_calloc(n, sizeof(*rows))) == NULL)
		return SMX_ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct smx_status_connection *c = &m->st.connections[i];

		rows[i] = (struct row){ i, 0,
			sort_key(ui->sort, c->id, c->age_s, top_model_rate(m, 0, c->id)),
			ui->sort == TOP_SORT_NAME ? c->key : NULL };
	}
	qsort(rows, n, sizeof(*rows), by_key);
	init_table(&t, ui, head, widths, SMX_ARRAY_LEN(head), 0x7f1);
	t.shrink_mask = 0x6;
	t.hidden_mask = is_narrow ? 1u << 8 : 0;
	t.drops = drops;
	t.drop_count = sizeof(drops);
	for (size_t i = 0; i < n; i++)
		connection_row(&t, m, ui, &m->st.connections[rows[i].index]);
	r = smx_cli_table_print(&t, "", out);
	smx_cli_table_release(&t);
	smx_free(rows);
	return r;
}

static int64_t pid_of(const struct smx_status *st, uint64_t client)
{
	for (size_t i = 0; i < st->client_count; i++)
		if (st->clients[i].id == client)
			return st->clients[i].pid;
	return -1;
}

static void channel_row(
	struct smx_cli_table *t, const struct top_model *m, const struct smx_status_channel *c)
{
	const struct top_rate *rate = top_model_rate(m, 1, c->id);
	int64_t pid = is_tunnel(c) ? -1 : pid_of(&m->st, c->client);
	char text[SMX_CLI_TEXT_MAX];
	const char *kind;

	smx_cli_table_cell(t, "%" PRIu64, c->id);
	if (is_tunnel(c))
		smx_cli_table_styled(t, SMX_STYLE_DIM, "(conn %" PRIu64 ")", c->id);
	else
		smx_cli_table_cell(t, "%s", c->route);
	/* "direct-streamlocal@openssh.com": nobody needs the rest here. */
	kind = strncmp(c->kind, "direct-", 7) == 0 ? c->kind + 7 : c->kind;
	smx_cli_table_cell(t, "%.*s", (int)strcspn(kind, "@"), kind);
	smx_cli_table_styled(t, smx_cli_state_style(c->state), "%s", c->state);
	if (c->connection)
		smx_cli_table_cell(t, "%" PRIu64, c->connection);
	else
		smx_cli_table_cell(t, "-");
	if (pid < 0)
		smx_cli_table_cell(t, "-");
	else
		smx_cli_table_cell(t, "%" PRId64, pid);
	smx_cli_table_cell(t, "%s", smx_cli_text_age(c->age_s, text));
	smx_cli_table_cell(t, "%s", smx_cli_text_rate(c->bytes_in, text));
	smx_cli_table_cell(t, "%s", smx_cli_text_rate(c->bytes_out, text));
	rate_cell(t, rate ? rate->in_rate : 0);
	rate_cell(t, rate ? rate->out_rate : 0);
}

static int put_channels(const struct top_model *m, const struct top_ui *ui, struct smx_buf *out)
{
	static const char *const head[] = { "ID", "CHANNEL", "KIND", "STATE", "CONN", "CLIENT",
		"AGE", "IN", "OUT", "IN/s", "OUT/s" };
	static const uint8_t widths[] = { 2, 12, 11, 5, 4, 6, 6, 5, 5, 5, 5 };
	static const uint8_t drops[] = { 0, 8, 7, 5, 4, 3, 6 };
	size_t n = m->st.channel_count;
	struct smx_cli_table t;
	struct row *rows;
	int r;

	if (n == 0)
		return smx_buf_put_str(out, "No channels: nobody has a session open.\n");
	if ((rows = smx_calloc(n, sizeof(*rows))) == NULL)
		return SMX_ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct smx_status_channel *c = &m->st.channels[i];

		/* What runs in tunnels is of interest, not that it does. */
		rows[i] = (struct row){ i, is_tunnel(c),
			sort_key(ui->sort, c->id, c->age_s, top_model_rate(m, 1, c->id)),
			ui->sort == TOP_SORT_NAME ? c->route : NULL };
	}
	qsort(rows, n, sizeof(*rows), by_key);
	init_table(&t, ui, head, widths, SMX_ARRAY_LEN(head), 0x7f1);
	t.shrink_mask = 0x6;
	t.drops = drops;
	t.drop_count = sizeof(drops);
	for (size_t i = 0; i < n; i++)
		channel_row(&t, m, &m->st.channels[rows[i].index]);
	r = smx_cli_table_print(&t, "", out);
	smx_cli_table_release(&t);
	smx_free(rows);
	return r;
}

static int put_body(const struct top_model *m, const struct top_ui *ui, struct smx_buf *out)
{
	int is_roomy = ui->rows == 0 || ui->rows >= 16, r;

	if (m->n_looks == 0)
		return 0;
	if ((is_roomy && (r = smx_buf_put(out, "\n", 1)) != 0) ||
		(r = put_connections(m, ui, out)) != 0 ||
		(is_roomy && (r = smx_buf_put(out, "\n", 1)) != 0) ||
		(r = put_channels(m, ui, out)) != 0)
		return r;
	if (m->st.omitted > 0)
		r = smx_buf_printf(out, "%" PRIu64 " more are not shown\n", m->st.omitted);
	return r;
}

int top_view_text(const struct top_model *m, const struct top_ui *ui, struct smx_buf *out)
{
	int r = put_head(m, ui, out);

	return r != 0 ? r : put_body(m, ui, out);
}

/* ---- onto the terminal -------------------------------------------------------------------------
 */

static size_t count_lines(const struct smx_buf *b)
{
	const uint8_t *p = smx_buf_view(b);
	size_t n = 0;

	for (size_t i = 0; i < smx_buf_len(b); i++)
		n += p[i] == '\n';
	return n;
}

/* Lines from first on, at most max of them, each over what is there. Counts *ret_row up. */
static int put_lines(
	const struct smx_buf *from, size_t first, size_t max, size_t *ret_row, struct smx_buf *out)
{
	const uint8_t *p = smx_buf_view(from), *end = p + smx_buf_len(from), *newline;
	int r = 0;

	for (size_t i = 0; p < end && max > 0 && r == 0; i++, p = newline + 1) {
		newline = memchr(p, '\n', (size_t)(end - p));
		if (!newline)
			break;
		if (i < first)
			continue;
		max--;
		/* Cleared first: at the end the cursor may still be on the last column. */
		if ((r = smx_buf_printf(out, "\033[%zuH\033[K", ++*ret_row)) == 0)
			r = smx_buf_put(out, p, (size_t)(newline - p));
	}
	return r;
}

static int put_foot(
	const struct top_model *m, const struct top_ui *ui, size_t body, struct smx_buf *out)
{
	static const char *const sorts[] = { "id", "traffic", "age", "name" };
	struct line l = line_begin(out, &ui->look);

	if (ui->is_asking) {
		line_put(&l, SMX_STYLE_WARN, "%s",
			ui->look.width < 60 ? "Lock? y/n"
					    : "Lock, so that new sessions are refused? y/n");
		return line_end(&l);
	}
	line_put(&l, SMX_STYLE_DIM, "q quit  s sort:%s  l %s", sorts[ui->sort],
		m->st.locked ? "unlock" : "lock");
	if (ui->page > 0 && body > ui->page)
		line_put(&l, SMX_STYLE_NOTE,
			ui->look.width < 60 ? " %zu-%zu/%zu" : "  j/k: lines %zu to %zu of %zu",
			ui->scroll + 1, ui->scroll + ui->page, body);
	return line_end(&l);
}

int top_view_screen(const struct top_model *m, struct top_ui *ui, struct smx_buf *out)
{
	size_t head, body, row = 0, room;
	struct view v;
	int r;

	if (ui->look.width == 0)
		ui->look.width = COLS_DEFAULT;
	if (ui->rows == 0)
		ui->rows = ROWS_DEFAULT;
	view_init(&v);
	if ((r = put_head(m, ui, &v.head)) != 0 || (r = put_body(m, ui, &v.body)) != 0)
		goto out;
	/* Whatever the size: the beginning of the head, then of the body, the keys below. */
	head = count_lines(&v.head);
	body = count_lines(&v.body);
	if (head + 1 > ui->rows)
		head = ui->rows - 1;
	room = ui->page = ui->rows - head - 1;
	if (ui->scroll + room > body)
		ui->scroll = body > room ? body - room : 0;
	r = put_foot(m, ui, body, &v.foot);
	/* One write between the marks of a synchronised update: nothing flickers. */
	if (r != 0 ||
		(r = smx_buf_put_str(out, ui->is_stale ? "\033[?2026h\033[2J" : "\033[?2026h")) !=
			0 ||
		(r = put_lines(&v.head, 0, head, &row, out)) != 0 ||
		(r = put_lines(&v.body, ui->scroll, room, &row, out)) != 0)
		goto out;
	while (row + 1 < ui->rows && r == 0)
		r = smx_buf_printf(out, "\033[%zuH\033[K", ++row);
	if (r == 0 && (r = put_lines(&v.foot, 0, 1, &row, out)) == 0)
		r = smx_buf_put_str(out, "\033[?2026l");
	ui->is_stale = 0;
out:
	view_release(&v);
	return r;
}
