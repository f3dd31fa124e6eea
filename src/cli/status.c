/* SPDX-License-Identifier: MIT */
/* ssh-mux status (B10). */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define TEXT_MAX (64u << 20)

/* ---- the text ----------------------------------------------------------------------------------
 */

static int put_head(const struct smx_status *st, struct smx_buf *out)
{
	char up[SMX_CLI_TEXT_MAX];
	int r;

	r = smx_buf_printf(out, "ssh-mux %s, process %" PRId64 ", up %s, ",
		st->version ? st->version : "?", st->pid, smx_cli_text_age(st->uptime_s, up));
	if (r == 0 && st->port)
		r = smx_buf_printf(out, "127.0.0.1 port %u\n", (unsigned)st->port);
	else if (r == 0)
		r = smx_buf_put_str(out, "no local port\n");
	if (r == 0 && st->ssh_dir && st->ssh_dir[0])
		r = smx_buf_printf(out, "SSH directory %s\n", st->ssh_dir);
	/* What changes how it behaves stands before what it does (P8, L5). */
	if (r == 0 && st->locked)
		r = smx_buf_put_str(out,
			"\nLOCKED: new sessions are refused; to accept them: ssh-mux unlock\n");
	for (size_t i = 0; i < st->warning_count && r == 0; i++)
		r = smx_buf_printf(out, "%sWARNING: %s\n", i == 0 ? "\n" : "", st->warnings[i]);
	return r;
}

static int put_section(
	struct smx_buf *out, const char *title, size_t count, const struct smx_cli_table *table)
{
	int r;

	if (count == 0)
		return smx_buf_printf(out, "\n%s: none\n", title);
	if ((r = smx_buf_printf(out, "\n%s: %zu\n", title, count)) != 0)
		return r;
	return smx_cli_table_print(table, "  ", out);
}

static int put_routes(const struct smx_status *st, struct smx_buf *out)
{
	struct smx_cli_table t;
	int r;

	smx_cli_table_init(&t, 4, 0);
	for (const char *const *h =
			(const char *const[]){ "NAME", "TARGET", "VIA", "LOOPBACK PORTS", NULL };
		*h; h++)
		smx_cli_table_cell(&t, "%s", *h);
	for (size_t i = 0; i < st->route_count; i++) {
		const struct smx_status_route *p = &st->routes[i];

		smx_cli_table_cell(&t, "%s", p->name);
		smx_cli_table_cell(&t, "%s", p->target);
		smx_cli_table_cell(&t, "%s", p->via[0] ? p->via : "direct");
		smx_cli_table_cell(&t, "%s", p->loopback ? "any" : "denied");
	}
	r = put_section(out, "Routes", st->route_count, &t);
	smx_cli_table_release(&t);
	return r;
}

static void connection_cells(struct smx_cli_table *t, const struct smx_status_connection *c)
{
	char text[SMX_CLI_TEXT_MAX];

	smx_cli_table_cell(t, "%" PRIu64, c->id);
	smx_cli_table_cell(t, "%s", c->key);
	smx_cli_table_cell(t, "%s", c->state);
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
}

static int put_connections(const struct smx_status *st, struct smx_buf *out)
{
	static const char *const head[] = { "ID", "CONNECTION", "STATE", "AGE", "CHANNELS", "IN",
		"OUT", "RTT", "IDLE LEFT", "LIFE LEFT" };
	const size_t columns = sizeof(head) / sizeof(head[0]);
	struct smx_cli_table t;
	int r;

	smx_cli_table_init(&t, columns, 0x3f9); /* all numbers to the right */
	for (size_t i = 0; i < columns; i++)
		smx_cli_table_cell(&t, "%s", head[i]);
	for (size_t i = 0; i < st->connection_count; i++)
		connection_cells(&t, &st->connections[i]);
	r = put_section(out, "Connections", st->connection_count, &t);
	smx_cli_table_release(&t);
	return r;
}

static int put_clients(const struct smx_status *st, struct smx_buf *out)
{
	static const char *const head[] = { "ID", "ROUTE", "AGE", "CHANNELS", "PROCESS" };
	const size_t columns = sizeof(head) / sizeof(head[0]);
	char text[SMX_CLI_TEXT_MAX];
	struct smx_cli_table t;
	int r;

	smx_cli_table_init(&t, columns, 0x1d);
	for (size_t i = 0; i < columns; i++)
		smx_cli_table_cell(&t, "%s", head[i]);
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
	r = put_section(out, "Clients", st->client_count, &t);
	smx_cli_table_release(&t);
	return r;
}

int smx_cli_status_text(const struct smx_status *st, struct smx_buf *out)
{
	int r;

	if ((r = put_head(st, out)) != 0 || (r = put_routes(st, out)) != 0 ||
		(r = put_connections(st, out)) != 0 || (r = put_clients(st, out)) != 0)
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

static int print(const struct smx_status *st, int as_json)
{
	struct smx_buf out;
	int r;

	smx_buf_init(&out, TEXT_MAX);
	if (as_json) {
		if ((r = smx_status_to_json(&out, st)) == 0)
			r = smx_buf_put(&out, "\n", 1);
	} else {
		r = smx_cli_status_text(st, &out);
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
		SMX_CLI_COMMON_OPTIONS };
	struct smx_status st;
	int c, r, as_json = 0;

	while ((c = smx_cli_getopt(argc, argv, "+:hV", options, &smx_cmd_status, &r)) != -1) {
		if (c == -2)
			return r;
		as_json = 1;
	}
	if ((r = smx_cli_no_arguments(argc, argv, &smx_cmd_status)) != 0)
		return r;
	smx_status_init(&st);
	if ((r = fetch(&st)) == 0)
		r = print(&st, as_json);
	smx_status_release(&st);
	return r;
}

const struct smx_command smx_cmd_status = {
	.name = "status",
	.summary = "show routes, connections and clients",
	.usage = "usage: ssh-mux status [--json]\n"
		 "\n"
		 "Show what the daemon serves: its routes, the pooled connections and who uses "
		 "them.\n"
		 "\n"
		 "      --json     one JSON object, for programs\n"
		 "  -h, --help     this text\n"
		 "  -V, --version  the version\n",
	.run = run,
};
