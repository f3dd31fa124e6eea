/* SPDX-License-Identifier: MIT */
#include "mux/doors/passenger_int.h"
#include "os/agent.h"
#include "os/terminal.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/policy.h"
#include "mux/ask/caller_ask.h"
#include "mux/ask/client_var.h"
#include "ssh/transport.h"

void passenger_wish_release(struct wish *w)
{
	smx_buf_release(&w->term);
	smx_buf_release(&w->modes);
	smx_buf_release(&w->command);
	smx_buf_release(&w->env);
	smx_free(w->agent);
	w->agent = NULL;
}

/*
 * B4: the agent of the client, which is that of its environment, as ssh would use it; else the one
 * that a login to the target would ask (A1). Without any the server is not asked to take one.
 */
static char *find_agent(const struct passenger_owner *o)
{
	const char *named = smx_route_target(o->route)->identity_agent;
	char *path = client_var(o->pid, SMX_OS_AGENT_USUAL);

	if (path && smx_os_agent_is_place(path) && smx_os_agent_is_there(path))
		return path;
	smx_free(path);
	path = NULL;
	if ((named && strcmp(named, "none") == 0) || smx_os_agent_path(named, &path) != 0)
		return NULL;
	return path;
}

static int put_env(struct smx_buf *out, const struct smx_mux4_request *req)
{
	int r = 0;

	for (size_t i = 0; i < req->n_env && r == 0; i++) {
		const struct smx_view *v = &req->env[i];
		const uint8_t *eq = memchr(v->p, '=', v->len);
		size_t n = (size_t)(eq - v->p);

		if ((r = smx_put_string(out, v->p, n)) == 0)
			r = smx_put_string(out, eq + 1, v->len - n - 1);
	}
	return r;
}

int passenger_wish(struct passenger *p, const struct smx_mux4_request *req)
{
	struct wish *w = &p->wish;
	int fd = input_terminal(p->in), r;

	if (req->wants_agent)
		w->agent = find_agent(p->owner);
	w->wants_tty = req->wants_tty;
	w->is_subsystem = req->is_subsystem;
	p->is_tty = req->wants_tty != 0;
	if (req->wants_tty && req->escape <= UINT8_MAX)
		p->escape = req->escape;
	if (fd >= 0)
		(void)smx_os_terminal_size(fd, &p->size);
	/* Now: the client is about to make its terminal raw. Without one there are none to tell. */
	if (fd < 0 || smx_os_terminal_modes(fd, &w->modes) != 0) {
		smx_buf_reset(&w->modes);
		if ((r = smx_put_u8(&w->modes, 0)) != 0)
			return r;
	}
	if ((r = smx_buf_put(&w->term, req->term.p, req->term.len)) != 0 ||
		(r = smx_buf_put(&w->command, req->command.p, req->command.len)) != 0)
		return r;
	return put_env(&w->env, req);
}

static void put_size(uint8_t out[16], const struct smx_os_terminal_size *size)
{
	smx_set_u32(out, size->columns);
	smx_set_u32(out + 4, size->rows);
	smx_set_u32(out + 8, size->width);
	smx_set_u32(out + 12, size->height);
}

void passenger_resize(struct passenger *p)
{
	struct smx_os_terminal_size size;
	uint8_t numbers[16];
	int fd = p->in ? input_terminal(p->in) : -1;

	if (!p->is_tty || fd < 0 || !p->is_open || !passenger_has_channel(p) ||
		smx_os_terminal_size(fd, &size) != 0 || memcmp(&size, &p->size, sizeof(size)) == 0)
		return;
	p->size = size;
	put_size(numbers, &size);
	passenger_sent(
		p->ep.link, smx_conn_send_request(&p->ep.link->conn, p->ep.chan, "window-change", 0,
				    (struct smx_view){ numbers, sizeof(numbers) }));
}

/* U1: what we ask for is checked as if a client had sent it. 0: sent, or (env) left out. */
static int request(
	struct passenger *p, const char *name, int want_reply, const struct smx_buf *specific)
{
	struct link *l = p->ep.link;
	struct smx_view v = smx_buf_as_view(specific);
	struct smx_fields fields = { .why = NULL };
	enum smx_request_kind kind;
	int r;

	if (smx_request_of_client(&p->order, smx_view_of(name, strlen(name)), v, &kind, &fields) !=
		SMX_VERDICT_PASS)
		return SMX_EFORMAT;
	if (kind == SMX_REQUEST_ENV && !smx_policy_env_ok(p->owner->route, fields.s[0]))
		return 0; /* L8 */
	if (v.len + strlen(name) + 10 > smx_transport_payload_max(l->t) ||
		fields.longest > smx_transport_string_max(l->t))
		return SMX_ETOOBIG;
	r = smx_conn_send_request(&l->conn, p->ep.chan, name, want_reply, v);
	if (r == 0)
		smx_request_passed(&p->order, kind, want_reply);
	if (r == 0 && smx_request_is_command(kind))
		p->command = kind;
	return r;
}

static int request_tty(struct passenger *p)
{
	struct smx_buf b;
	uint8_t numbers[16];
	int r;

	put_size(numbers, &p->size);
	smx_buf_init(&b, 8192);
	if ((r = smx_put_view(&b, smx_buf_as_view(&p->wish.term))) == 0 &&
		(r = smx_buf_put(&b, numbers, sizeof(numbers))) == 0 &&
		(r = smx_put_view(&b, smx_buf_as_view(&p->wish.modes))) == 0)
		r = request(p, "pty-req", 1, &b);
	smx_buf_release(&b);
	p->awaits_tty = r == 0;
	return r;
}

/* B4: the guest has looked whether it may. As a real master: no answer is wanted. */
static int request_agent(struct passenger *p)
{
	const struct caller_wait wait = { p->mux, p->owner, p, NULL, NULL, p->id };
	struct smx_buf none;
	int r;

	if (p->owner->route->agent.must_confirm)
		p->consent = caller_ask_new(&wait);
	if ((r = agent_lend(&p->lender, p->ep.link->owner, p->owner->route, NULL, p->wish.agent,
		     p->consent ? caller_ask_asker(p->consent) : NULL)) != 0)
		return r;
	p->lender.client_id = p->owner->id;
	smx_buf_init(&none, 0);
	return request(p, "auth-agent-req@openssh.com", 0, &none);
}

static int request_env(struct passenger *p)
{
	struct smx_rd rd = smx_rd_view(smx_buf_as_view(&p->wish.env));
	struct smx_view name, value;
	struct smx_buf b;
	int r = 0;

	smx_buf_init(&b, SMX_MUX4_MESSAGE_MAX);
	while (rd.left && r == 0) {
		smx_buf_reset(&b);
		if ((r = smx_rd_string(&rd, &name)) == 0 && (r = smx_rd_string(&rd, &value)) == 0 &&
			(r = smx_put_view(&b, name)) == 0 && (r = smx_put_view(&b, value)) == 0) {
			r = request(p, "env", 0, &b);
			/* One that can't be passed on is left out, as ssh's would be refused. */
			if (r == SMX_EFORMAT || r == SMX_ETOOBIG)
				r = 0;
		}
	}
	smx_buf_release(&b);
	return r;
}

static int request_command(struct passenger *p)
{
	struct smx_view command = smx_buf_as_view(&p->wish.command);
	struct smx_buf b;
	int r = 0;

	smx_buf_init(&b, SMX_MUX4_MESSAGE_MAX + 4);
	if (command.len || p->wish.is_subsystem)
		r = smx_put_view(&b, command);
	if (r == 0)
		r = request(p,
			p->wish.is_subsystem ? "subsystem"
			: command.len        ? "exec"
					     : "shell",
			1, &b);
	smx_buf_release(&b);
	p->awaits_command = r == 0;
	return r;
}

int passenger_ask(struct passenger *p)
{
	int r = p->wish.agent ? request_agent(p) : 0;

	if (r == 0 && p->wish.wants_tty)
		r = request_tty(p);
	if (r == 0)
		r = request_env(p);
	if (r == 0)
		r = request_command(p);
	return r;
}

static const char *command_name(enum smx_request_kind kind)
{
	switch (kind) {
	case SMX_REQUEST_SUBSYSTEM:
		return "subsystem";
	case SMX_REQUEST_EXEC:
		return "exec";
	default:
		return "shell";
	}
}

/* To the terminal's request first, then to the command's. */
void passenger_answered(struct passenger *p, int success)
{
	char text[PASSENGER_TEXT_SIZE];

	if (p->awaits_tty) {
		p->awaits_tty = 0;
		if (success)
			return;
		passenger_tell(p, "PTY allocation request failed\r\n"); /* as a real master */
		if (p->owner)
			p->owner->ops->tty_failed(p->owner, (uint32_t)p->id);
	} else if (p->awaits_command) {
		p->awaits_command = 0;
		if (success)
			return;
		/* As ssh without a master; with one it loses the line. */
		(void)snprintf(text, sizeof(text), "%s request failed on channel %u\r\n",
			command_name(p->command), (unsigned)p->ep.chan->id);
		passenger_tell(p, text);
		input_free(p->in);
		p->in = NULL;
		passenger_close_channel(p);
	}
}
