/* SPDX-License-Identifier: MIT */
/* ssh-mux status (B10). */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/process.h"
#include "os/terminal.h"

#define TEXT_MAX (64u << 20)

/* ---- the text ----------------------------------------------------------------------------------
 */

void smx_cli_look_of(int fd, int color, struct smx_cli_look *ret)
{
	struct smx_os_terminal_size size = { 0, 0, 0, 0 };

	if (smx_os_is_terminal(fd))
		(void)smx_os_terminal_size(fd, &size);
	*ret = (struct smx_cli_look){
		.color = color < 0 ? smx_cli_color_wanted(fd) : color,
		.is_ascii = !smx_os_terminal_is_utf8(),
		.width = size.columns,
	};
}

int smx_cli_parse_color(const struct smx_command *cmd, const char *text, int *ret)
{
	static const char *const words[] = { "auto", "never", "always" };

	for (size_t i = 0; i < SMX_ARRAY_LEN(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret = (int)i - 1;
			return 0;
		}
	}
	return smx_cli_fail(SMX_EXIT_USAGE, NULL,
		"%s: --color must be always, never or auto, not %s", cmd->name, text);
}

enum smx_cli_style smx_cli_state_style(const char *state)
{
	if (strcmp(state, "ready") == 0 || strcmp(state, "open") == 0)
		return SMX_STYLE_GOOD;
	return strcmp(state, "closing") == 0 ? SMX_STYLE_DIM : SMX_STYLE_WARN;
}

void smx_cli_state_cell(struct smx_cli_table *t, const struct smx_status_connection *c)
{
	char text[SMX_CLI_TEXT_MAX];

	if (strcmp(c->state, "stalled") == 0)
		smx_cli_table_styled(t, smx_cli_state_style(c->state), "%s %s", c->state,
			smx_cli_text_age(c->stalled_s, text));
	else
		smx_cli_table_styled(t, smx_cli_state_style(c->state), "%s", c->state);
}

void smx_cli_connection_cell(
	struct smx_cli_table *t, const struct smx_status *st, const struct smx_status_connection *c)
{
	int has_twin = 0;

	for (size_t i = 0; i < st->connection_count; i++)
		has_twin |= strcmp(st->connections[i].key, c->key) == 0 &&
			    strcmp(st->connections[i].identity, c->identity) != 0;
	if (has_twin)
		smx_cli_table_cell(
			t, "%s (%s)", c->key, *c->identity ? c->identity : "default keys");
	else
		smx_cli_table_cell(t, "%s", c->key);
}

void smx_cli_path_cell(struct smx_cli_table *t, const struct smx_status_path *p, int has_windows)
{
	uint64_t down = has_windows ? p->down_window : p->down_rate;
	uint64_t up = has_windows ? p->up_window : p->up_rate;
	const char *unit = has_windows ? "" : "/s";
	char in[SMX_CLI_TEXT_MAX], out[SMX_CLI_TEXT_MAX];

	if (!p->least_rtt_us) {
		smx_cli_table_cell(t, "-");
		return;
	}
	smx_cli_table_cell(t, "%" PRIu64 ".%ums%s%s%s%s%s%s%s", p->least_rtt_us / 1000,
		(unsigned)(p->least_rtt_us / 100 % 10), p->paced ? "" : " unpaced",
		down ? " in " : "", down ? smx_cli_text_rate(down, in) : "", down ? unit : "",
		up ? " out " : "", up ? smx_cli_text_rate(up, out) : "", up ? unit : "");
}

static void init_table(struct smx_cli_table *t, const char *const *head, size_t columns,
	unsigned right_mask, const struct smx_cli_look *look)
{
	smx_cli_table_init(t, columns, right_mask);
	t->width = look->width;
	t->color = look->color;
	t->is_ascii = look->is_ascii;
	for (size_t i = 0; i < columns; i++)
		smx_cli_table_styled(t, SMX_STYLE_DIM, "%s", head[i]);
}

static int put_styled(struct smx_buf *out, const struct smx_cli_look *look,
	enum smx_cli_style style, const char *label, const char *text)
{
	return smx_buf_printf(out, "%s%s%s %s\n", smx_cli_color(look->color, style), label,
		smx_cli_color(look->color, SMX_STYLE_NONE), text);
}

/* U9: what is as usual is not said. */
static const char *others_text(const char *other_users)
{
	if (other_users && strcmp(other_users, "admitted") == 0)
		return " (other users of this machine are let in)";
	if (other_users && strcmp(other_users, "unchecked") == 0)
		return " (other users of this machine are not told apart)";
	return "";
}

static int put_head(
	const struct smx_status *st, const struct smx_cli_look *look, struct smx_buf *out)
{
	char up[SMX_CLI_TEXT_MAX];
	int r;

	r = smx_buf_printf(out, "ssh-mux %s, process %" PRId64 ", up %s, ",
		st->version ? st->version : "?", st->pid, smx_cli_text_age(st->uptime_s, up));
	if (r == 0 && st->port)
		r = smx_buf_printf(out, "127.0.0.1 port %u%s\n", (unsigned)st->port,
			others_text(st->other_users));
	else if (r == 0)
		r = smx_buf_put_str(out, "no local port\n");
	if (r == 0 && st->ssh_dir && st->ssh_dir[0])
		r = smx_buf_printf(out, "SSH directory %s\n", st->ssh_dir);
	if (r == 0 && st->confined && st->confined[0])
		r = smx_buf_printf(out, "confined: %s\n", st->confined);
	/* What changes how it behaves stands before what it does (P8, L5). */
	if (r == 0 && (st->locked || st->warning_count > 0))
		r = smx_buf_put(out, "\n", 1);
	if (r == 0 && st->locked)
		r = put_styled(out, look, SMX_STYLE_BAD,
			"LOCKED:", "new sessions are refused; to accept them: ssh-mux unlock");
	if (r == 0 && st->locked && st->warning_count > 0)
		r = smx_buf_put(out, "\n", 1);
	for (size_t i = 0; i < st->warning_count && r == 0; i++)
		r = put_styled(out, look, SMX_STYLE_WARN, "WARNING:", st->warnings[i]);
	return r;
}

static int put_section(struct smx_buf *out, const struct smx_cli_look *look, const char *title,
	size_t count, const struct smx_cli_table *table)
{
	const char *bold = smx_cli_color(look->color, SMX_STYLE_BOLD);
	const char *none = smx_cli_color(look->color, SMX_STYLE_NONE);
	int r;

	if (count == 0)
		return smx_buf_printf(out, "\n%s%s:%s none\n", bold, title, none);
	if ((r = smx_buf_printf(out, "\n%s%s:%s %zu\n", bold, title, none, count)) != 0)
		return r;
	return smx_cli_table_print(table, "  ", out);
}

static int put_routes(
	const struct smx_status *st, const struct smx_cli_look *look, struct smx_buf *out)
{
	static const char *const head[] = { "NAME", "TARGET", "VIA", "LOOPBACK PORTS" };
	static const uint8_t drops[] = { 3, 2 };
	struct smx_cli_table t;
	int r;

	init_table(&t, head, SMX_ARRAY_LEN(head), 0, look);
	t.shrink_mask = 0x7;
	t.min_width[0] = t.min_width[1] = t.min_width[2] = 10;
	t.drops = drops;
	t.drop_count = sizeof(drops);
	for (size_t i = 0; i < st->route_count; i++) {
		const struct smx_status_route *p = &st->routes[i];

		smx_cli_table_cell(&t, "%s", p->name);
		smx_cli_table_cell(&t, "%s", p->target);
		smx_cli_table_cell(&t, "%s", p->via[0] ? p->via : "direct");
		smx_cli_table_cell(&t, "%s", p->loopback ? "any" : "denied");
	}
	r = put_section(out, look, "Routes", st->route_count, &t);
	smx_cli_table_release(&t);
	return r;
}

static void connection_cells(
	struct smx_cli_table *t, const struct smx_status *st, const struct smx_status_connection *c)
{
	char text[SMX_CLI_TEXT_MAX];

	smx_cli_table_cell(t, "%" PRIu64, c->id);
	smx_cli_connection_cell(t, st, c);
	smx_cli_state_cell(t, c);
	smx_cli_table_cell(t, "%s", smx_cli_text_age(c->age_s, text));
	smx_cli_table_cell(t, "%" PRIu64, c->channels);
	smx_cli_table_cell(t, "%s", smx_cli_text_bytes(c->bytes_in, text));
	smx_cli_table_cell(t, "%s", smx_cli_text_bytes(c->bytes_out, text));
	if (c->rtt_ms < 0)
		smx_cli_table_cell(t, "-");
	else
		smx_cli_table_cell(t, "%" PRId64 " ms", c->rtt_ms);
	smx_cli_table_cell(t, "%s",
		c->idle_left_s < 0 ? "in use" : smx_cli_text_age((uint64_t)c->idle_left_s, text));
	smx_cli_table_cell(t, "%s",
		c->lifetime_left_s < 0 ? "no limit"
				       : smx_cli_text_age((uint64_t)c->lifetime_left_s, text));
	smx_cli_path_cell(t, &c->path, 0);
}

static int put_connections(
	const struct smx_status *st, const struct smx_cli_look *look, struct smx_buf *out)
{
	static const char *const head[] = { "ID", "CONNECTION", "STATE", "AGE", "CHANNELS", "IN",
		"OUT", "RTT", "IDLE LEFT", "LIFE LEFT", "PATH" };
	/* What it is and how it fares stays longest. */
	static const uint8_t drops[] = { 10, 9, 8, 0, 3, 7, 4, 6, 5 };
	struct smx_cli_table t;
	int r;

	init_table(&t, head, SMX_ARRAY_LEN(head), 0x3f9, look); /* all numbers to the right */
	t.shrink_mask = 0x2;
	t.min_width[1] = 20;
	t.drops = drops;
	t.drop_count = sizeof(drops);
	for (size_t i = 0; i < st->connection_count; i++)
		connection_cells(&t, st, &st->connections[i]);
	r = put_section(out, look, "Connections", st->connection_count, &t);
	smx_cli_table_release(&t);
	return r;
}

static int put_clients(
	const struct smx_status *st, const struct smx_cli_look *look, struct smx_buf *out)
{
	static const char *const head[] = { "ID", "ROUTE", "AGE", "CHANNELS", "PROCESS" };
	char text[SMX_CLI_TEXT_MAX];
	struct smx_cli_table t;
	int r;

	init_table(&t, head, SMX_ARRAY_LEN(head), 0x1d, look);
	t.shrink_mask = 0x2;
	t.min_width[1] = 8;
	for (size_t i = 0; i < st->client_count; i++) {
		const struct smx_status_client *c = &st->clients[i];

		smx_cli_table_cell(&t, "%" PRIu64, c->id);
		smx_cli_table_cell(&t, "%s", c->route);
		smx_cli_table_cell(&t, "%s", smx_cli_text_age(c->age_s, text));
		smx_cli_table_cell(&t, "%" PRIu64, c->channels);
		if (c->pid < 0)
			smx_cli_table_cell(&t, "-");
		else
			smx_cli_table_cell(&t, "%" PRId64, c->pid);
	}
	r = put_section(out, look, "Clients", st->client_count, &t);
	smx_cli_table_release(&t);
	return r;
}

int smx_cli_status_text(
	const struct smx_status *st, const struct smx_cli_look *look, struct smx_buf *out)
{
	int r;

	if ((r = put_head(st, look, out)) != 0 || (r = put_routes(st, look, out)) != 0 ||
		(r = put_connections(st, look, out)) != 0 || (r = put_clients(st, look, out)) != 0)
		return r;
	if (st->omitted > 0)
		r = smx_buf_printf(out, "\n%" PRIu64 " more are not shown\n", st->omitted);
	return r;
}

/* ---- the command -------------------------------------------------------------------------------
 */

static int fetch(struct smx_status *st)
{
	struct smx_control_answer answer;
	struct smx_cli_client c;
	struct smx_view line;
	int64_t id;
	int r;

	if ((r = smx_cli_client_open(&c)) != 0)
		return r;
	r = smx_cli_client_send(&c, SMX_CONTROL_STATUS, &id);
	do {
		if (r != 0 || (r = smx_cli_client_answer(&c, id, &line, &answer)) != 0)
			break;
		r = smx_status_from_line(st, line);
		if (r < 0)
			r = smx_cli_fail(smx_cli_exit_code(r), NULL,
				"the daemon's answer can't be understood: %s", smx_strerror(r));
		else
			r = 0;
	} while (r == 0 && answer.more);
	smx_cli_client_close(&c);
	return r;
}

static int print(const struct smx_status *st, int as_json, int color)
{
	struct smx_cli_look look;
	struct smx_buf out;
	int r;

	smx_buf_init(&out, TEXT_MAX);
	if (as_json) {
		if ((r = smx_status_to_json(&out, st)) == 0)
			r = smx_buf_put(&out, "\n", 1);
	} else {
		smx_cli_look_of(1, color, &look);
		r = smx_cli_status_text(st, &look, &out);
	}
	if (r == 0)
		(void)fwrite(smx_buf_view(&out), 1, smx_buf_len(&out), stdout);
	else
		r = smx_cli_fail(
			smx_cli_exit_code(r), NULL, "cannot show the status: %s", smx_strerror(r));
	smx_buf_release(&out);
	return r;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
		{ "color", required_argument, NULL, 'C' }, SMX_CLI_COMMON_OPTIONS };
	struct smx_status st;
	int c, r, as_json = 0, color = -1;

	while ((c = smx_cli_getopt(argc, argv, "+:hV", options, &smx_cmd_status, &r)) != -1) {
		if (c == -2)
			return r;
		if (c == 'j')
			as_json = 1;
		else if ((r = smx_cli_parse_color(&smx_cmd_status, optarg, &color)) != 0)
			return r;
	}
	if ((r = smx_cli_no_arguments(argc, argv, &smx_cmd_status)) != 0)
		return r;
	smx_status_init(&st);
	if ((r = fetch(&st)) == 0)
		r = print(&st, as_json, color);
	smx_status_release(&st);
	return r;
}

const struct smx_command smx_cmd_status = {
	.name = "status",
	.summary = "show routes, connections and clients",
	.usage =
		"usage: ssh-mux status [--json | --color=WHEN]\n"
		"\n"
		"Show what the daemon serves: its routes, the pooled connections and who uses\n"
		"them.\n"
		"\n"
		"      --json        print one JSON object, for programs\n"
		"      --color=WHEN  always, never or auto: at a terminal, unless NO_COLOR is set\n"
		"  -h, --help        show this text\n"
		"  -V, --version     show the version\n",
	.run = run,
};
