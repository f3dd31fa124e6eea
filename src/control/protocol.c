/* SPDX-License-Identifier: MIT */
#include "control/protocol.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "control/text.h"

/* ---- lines -------------------------------------------------------------------------------------
 */

void smx_control_reader_init(struct smx_control_reader *rd)
{
	smx_buf_init(&rd->buf, SMX_CONTROL_LINE_MAX);
	rd->complete = 0;
}

void smx_control_reader_release(struct smx_control_reader *rd)
{
	smx_buf_release(&rd->buf);
	rd->complete = 0;
}

int smx_control_reader_feed(struct smx_control_reader *rd, const uint8_t *p, size_t n,
	size_t *ret_used, struct smx_view *ret_line)
{
	const uint8_t *newline = n > 0 ? memchr(p, '\n', n) : NULL;
	size_t take = newline ? (size_t)(newline - p) + 1 : n;
	int r;

	if (rd->complete) {
		smx_buf_reset(&rd->buf);
		rd->complete = 0;
	}
	/* Without a newline yet, one more byte at least is to come. */
	if (take + (newline ? 0 : 1) > SMX_CONTROL_LINE_MAX - smx_buf_len(&rd->buf))
		return SMX_ETOOBIG;
	if ((r = smx_buf_put(&rd->buf, p, take)) != 0)
		return r;
	*ret_used = take;
	if (!newline)
		return 0;
	rd->complete = 1;
	*ret_line = (struct smx_view){ smx_buf_view(&rd->buf), smx_buf_len(&rd->buf) - 1 };
	return 1;
}

/* ---- shared ------------------------------------------------------------------------------------
 */

static json_t *new_object(void)
{
	smx_control_use_mem();
	return json_object();
}

/* Dumps and drops the object. r: the result of filling it. */
static int finish_line(struct smx_buf *out, json_t *o, int r)
{
	if (r == 0)
		r = smx_control_line_dump(out, o);
	json_decref(o);
	return r;
}

/* A string member made fit for a terminal. out has room for max_len + 1. */
static int get_text(const json_t *o, const char *key, char *out, size_t max_len)
{
	const char *s;
	int r;

	if ((r = smx_control_get_string(o, key, &s)) == 0)
		smx_control_clean_text(s, strlen(s), out, max_len);
	return r;
}

/* As get_text; an absent member is "". */
static int get_optional_text(const json_t *o, const char *key, char *out, size_t max_len)
{
	int r = get_text(o, key, out, max_len);

	if (r == SMX_ENOTFOUND)
		out[0] = '\0';
	return smx_control_optional(r);
}

/* A required member that is not there makes the message malformed. */
static int required(int r)
{
	return r == SMX_ENOTFOUND ? SMX_EFORMAT : r;
}

/* ---- HELLO -------------------------------------------------------------------------------------
 */

int smx_control_hello_build(struct smx_buf *out, const struct smx_control_hello *h)
{
	json_t *o = new_object();
	int r;

	if (!o)
		return SMX_ENOMEM;
	(void)((r = smx_control_set_text(o, "ssh_mux", "hello", SMX_CONTROL_NAME_MAX)) != 0 ||
		(r = smx_control_set_int(o, "version", h->version)) != 0 ||
		(r = smx_control_set_text(o, "program", h->program, SMX_CONTROL_NAME_MAX)) != 0 ||
		(h->min_version > 1 &&
			(r = smx_control_set_int(o, "min_version", h->min_version)) != 0) ||
		(h->pid >= 0 && (r = smx_control_set_int(o, "pid", h->pid)) != 0));
	return finish_line(out, o, r);
}

int smx_control_hello_parse(struct smx_view line, struct smx_control_hello *ret)
{
	struct smx_control_hello h = { .pid = -1, .min_version = 1 };
	char magic[SMX_CONTROL_NAME_MAX + 1];
	json_t *o;
	int r;

	if ((r = smx_control_json_parse(line, &o)) != 0)
		return r;
	if ((r = required(get_text(o, "ssh_mux", magic, SMX_CONTROL_NAME_MAX))) != 0 ||
		(r = strcmp(magic, "hello") == 0 ? 0 : SMX_EFORMAT) != 0 ||
		(r = required(smx_control_get_int(
			 o, "version", 1, SMX_CONTROL_INT_MAX, &h.version))) != 0 ||
		(r = smx_control_optional(smx_control_get_int(
			 o, "min_version", 1, h.version, &h.min_version))) != 0 ||
		(r = smx_control_optional(
			 smx_control_get_int(o, "pid", -1, SMX_CONTROL_INT_MAX, &h.pid))) != 0 ||
		(r = get_optional_text(o, "program", h.program, SMX_CONTROL_NAME_MAX)) != 0)
		goto out;
	*ret = h;
out:
	json_decref(o);
	return r;
}

int smx_control_hello_agree(const struct smx_control_hello *theirs, int *ret_version)
{
	if (theirs->min_version > SMX_CONTROL_VERSION)
		return SMX_EUNSUPPORTED;
	*ret_version =
		theirs->version < SMX_CONTROL_VERSION ? (int)theirs->version : SMX_CONTROL_VERSION;
	return 0;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static const struct {
	enum smx_control_cmd cmd;
	const char *name;
} commands[] = {
	{ SMX_CONTROL_STATUS, "status" },
	{ SMX_CONTROL_STOP, "stop" },
	{ SMX_CONTROL_LOCK, "lock" },
	{ SMX_CONTROL_UNLOCK, "unlock" },
	{ SMX_CONTROL_PROXY, "proxy" },
	{ SMX_CONTROL_CONNECT, "connect" },
	{ SMX_CONTROL_LOGIN, "login" },
};

const char *smx_control_cmd_name(enum smx_control_cmd cmd)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(commands); i++)
		if (commands[i].cmd == cmd)
			return commands[i].name;
	return "unknown";
}

int smx_control_request_build(struct smx_buf *out, int64_t id, enum smx_control_cmd cmd)
{
	json_t *o = new_object();
	int r;

	if (!o)
		return SMX_ENOMEM;
	(void)((r = smx_control_set_int(o, "id", id)) != 0 ||
		(r = smx_control_set_text(
			 o, "cmd", smx_control_cmd_name(cmd), SMX_CONTROL_NAME_MAX)) != 0);
	return finish_line(out, o, r);
}

int smx_control_is_agent(const char *path)
{
	char clean[SMX_CONTROL_AGENT_MAX + 1];
	size_t n = strlen(path);

	if (n > SMX_CONTROL_AGENT_MAX || (path[0] != '/' && path[0] != '\\'))
		return 0;
	/* What would have to be cut or cleaned would be another path. */
	smx_control_clean_text(path, n, clean, SMX_CONTROL_AGENT_MAX);
	return strcmp(clean, path) == 0;
}

static int set_agent(json_t *o, const char *agent)
{
	if (!agent || !smx_control_is_agent(agent))
		return 0;
	return smx_control_set_text(o, "agent", agent, SMX_CONTROL_AGENT_MAX);
}

static const char *const asks_names[] = { "none", "askpass", "terminal", "pinentry" };

static int set_asks(json_t *o, enum smx_control_asks asks)
{
	if (asks == SMX_CONTROL_ASKS_UNKNOWN)
		return 0;
	return smx_control_set_text(o, "asks", asks_names[asks], SMX_CONTROL_NAME_MAX);
}

/* A word that we don't know says as little as none. */
static int get_asks(const json_t *o, enum smx_control_asks *ret)
{
	const char *s;
	int r;

	if ((r = smx_control_get_string(o, "asks", &s)) != 0)
		return smx_control_optional(r);
	for (size_t i = 0; i < SMX_ARRAY_LEN(asks_names); i++)
		if (strcmp(s, asks_names[i]) == 0)
			*ret = (enum smx_control_asks)i;
	return 0;
}

/* The members of a target that are told. */
static int set_target(json_t *o, const struct smx_control_target *to)
{
	int r = 0;

	if (to->route)
		r = smx_control_set_text(o, "route", to->route, SMX_CONTROL_ROUTE_MAX);
	if (r == 0 && to->user)
		r = smx_control_set_text(o, "user", to->user, SMX_CONTROL_ROUTE_MAX);
	if (r == 0 && to->host)
		r = smx_control_set_text(o, "host", to->host, SMX_CONTROL_ROUTE_MAX);
	if (r == 0 && to->port)
		r = smx_control_set_int(o, "port", to->port);
	return r;
}

int smx_control_proxy_build(struct smx_buf *out, int64_t id, const struct smx_control_target *to,
	const char *agent, enum smx_control_asks asks, int is_batch)
{
	json_t *o = new_object();
	int r;

	if (!o)
		return SMX_ENOMEM;
	(void)((r = smx_control_set_int(o, "id", id)) != 0 ||
		(r = smx_control_set_text(o, "cmd", smx_control_cmd_name(SMX_CONTROL_PROXY),
			 SMX_CONTROL_NAME_MAX)) != 0 ||
		(r = set_target(o, to)) != 0 || (r = set_agent(o, agent)) != 0 ||
		(r = set_asks(o, asks)) != 0 ||
		(is_batch && (r = smx_control_set_bool(o, "batch", 1)) != 0));
	return finish_line(out, o, r);
}

static int to_target(struct smx_buf *out, int64_t id, enum smx_control_cmd cmd, const char *route,
	const char *user, const char *host, uint32_t port, const char *agent,
	enum smx_control_asks asks, int renew)
{
	json_t *o = new_object();
	int r;

	if (!o)
		return SMX_ENOMEM;
	(void)((r = smx_control_set_int(o, "id", id)) != 0 ||
		(r = smx_control_set_text(
			 o, "cmd", smx_control_cmd_name(cmd), SMX_CONTROL_NAME_MAX)) != 0 ||
		(renew && (r = smx_control_set_bool(o, "renew", 1)) != 0));
	if (r == 0)
		r = set_target(o, &(struct smx_control_target){ .route = route,
					  .user = route ? NULL : user,
					  .host = route ? NULL : host,
					  .port = route ? 0 : port });
	if (r == 0 && (r = set_agent(o, agent)) == 0)
		r = set_asks(o, asks);
	return finish_line(out, o, r);
}

int smx_control_connect_build(struct smx_buf *out, int64_t id, const char *route, const char *user,
	const char *host, uint32_t port, const char *agent, enum smx_control_asks asks)
{
	return to_target(out, id, SMX_CONTROL_CONNECT, route, user, host, port, agent, asks, 0);
}

int smx_control_login_build(struct smx_buf *out, int64_t id, const char *route, const char *user,
	const char *host, uint32_t port, const char *agent, enum smx_control_asks asks, int renew)
{
	return to_target(out, id, SMX_CONTROL_LOGIN, route, user, host, port, agent, asks, renew);
}

/* A required member, whole and as it is: what is cut or cleaned would be another name. */
static int get_name(const json_t *o, const char *key, char out[SMX_CONTROL_ROUTE_MAX + 1])
{
	const char *s;
	int r;

	if ((r = required(smx_control_get_string(o, key, &s))) != 0)
		return r;
	if (!*s || strlen(s) > SMX_CONTROL_ROUTE_MAX)
		return SMX_EFORMAT;
	memcpy(out, s, strlen(s) + 1);
	return 0;
}

/* The same, "" if it is absent. */
static int get_optional_name(const json_t *o, const char *key, char out[SMX_CONTROL_ROUTE_MAX + 1])
{
	const char *s;
	int r = smx_control_get_string(o, key, &s);

	return r == 0 ? get_name(o, key, out) : smx_control_optional(r);
}

/* The members of "connect": a route, or a target and no route. */
static int get_target(const json_t *o, struct smx_control_request *q)
{
	int64_t port = 0;
	const char *s;
	int r;

	r = smx_control_get_string(o, "route", &s);
	if (r != SMX_ENOTFOUND)
		return r != 0 ? r : get_name(o, "route", q->route);
	if ((r = get_name(o, "user", q->user)) != 0 || (r = get_name(o, "host", q->host)) != 0 ||
		(r = smx_control_optional(smx_control_get_int(o, "port", 1, 65535, &port))) != 0)
		return r;
	q->port = (uint32_t)port;
	return 0;
}

/* Those of "proxy": a route, and what else is told (W1). */
static int get_proxy(const json_t *o, struct smx_control_request *q)
{
	int64_t port = 0;
	int r;

	(void)((r = required(get_text(o, "route", q->route, SMX_CONTROL_ROUTE_MAX))) != 0 ||
		(r = get_optional_name(o, "user", q->user)) != 0 ||
		(r = get_optional_name(o, "host", q->host)) != 0 ||
		(r = smx_control_optional(smx_control_get_int(o, "port", 1, 65535, &port))) != 0 ||
		(r = smx_control_optional(smx_control_get_bool(o, "batch", &q->is_batch))) != 0);
	q->port = (uint32_t)port;
	return r;
}

/* "agent" of "proxy" and "connect". */
static int get_agent(const json_t *o, char out[SMX_CONTROL_AGENT_MAX + 1])
{
	const char *s;
	int r;

	if ((r = smx_control_get_string(o, "agent", &s)) != 0)
		return smx_control_optional(r);
	if (!smx_control_is_agent(s))
		return SMX_EFORMAT;
	memcpy(out, s, strlen(s) + 1);
	return 0;
}

int smx_control_request_parse(struct smx_view line, struct smx_control_request *ret)
{
	struct smx_control_request q = { .cmd = SMX_CONTROL_UNKNOWN };
	const char *name;
	json_t *o;
	int r;

	if ((r = smx_control_json_parse(line, &o)) != 0)
		return r;
	if ((r = required(smx_control_get_int(o, "id", 0, SMX_CONTROL_INT_MAX, &q.id))) != 0 ||
		(r = required(smx_control_get_string(o, "cmd", &name))) != 0)
		goto out;
	if (name[0] == '\0' || strlen(name) > SMX_CONTROL_NAME_MAX) {
		r = SMX_EFORMAT;
		goto out;
	}
	for (size_t i = 0; i < SMX_ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			q.cmd = commands[i].cmd;
	smx_control_clean_text(name, strlen(name), q.name, SMX_CONTROL_NAME_MAX);
	if (q.cmd == SMX_CONTROL_PROXY && (r = get_proxy(o, &q)) != 0)
		goto out;
	if ((q.cmd == SMX_CONTROL_CONNECT || q.cmd == SMX_CONTROL_LOGIN) &&
		(r = get_target(o, &q)) != 0)
		goto out;
	if (q.cmd == SMX_CONTROL_LOGIN &&
		(r = smx_control_optional(smx_control_get_bool(o, "renew", &q.renew))) != 0)
		goto out;
	if ((q.cmd == SMX_CONTROL_PROXY || q.cmd == SMX_CONTROL_CONNECT ||
		    q.cmd == SMX_CONTROL_LOGIN) &&
		((r = get_agent(o, q.agent)) != 0 || (r = get_asks(o, &q.asks)) != 0))
		goto out;
	*ret = q;
out:
	json_decref(o);
	return r;
}

/* ---- answers -----------------------------------------------------------------------------------
 */

int smx_control_ok_build(struct smx_buf *out, int64_t id)
{
	json_t *o = new_object();
	int r;

	if (!o)
		return SMX_ENOMEM;
	(void)((r = smx_control_set_int(o, "id", id)) != 0 ||
		(r = smx_control_set_bool(o, "ok", 1)) != 0);
	return finish_line(out, o, r);
}

int smx_control_upgrade_build(struct smx_buf *out, int64_t id, const char *to)
{
	json_t *o = new_object();
	int r;

	if (!o)
		return SMX_ENOMEM;
	(void)((r = smx_control_set_int(o, "id", id)) != 0 ||
		(r = smx_control_set_bool(o, "ok", 1)) != 0 ||
		(r = smx_control_set_text(o, "upgrade", "frames", SMX_CONTROL_NAME_MAX)) != 0 ||
		(to && (r = smx_control_set_text(o, "to", to, SMX_CONTROL_TEXT_MAX)) != 0));
	return finish_line(out, o, r);
}

int smx_control_error_build(
	struct smx_buf *out, int64_t id, const char *code, const char *error, const char *remedy)
{
	json_t *o = new_object();
	int r;

	if (!o)
		return SMX_ENOMEM;
	(void)((r = smx_control_set_int(o, "id", id)) != 0 ||
		(r = smx_control_set_bool(o, "ok", 0)) != 0 ||
		(r = smx_control_set_text(o, "code", code, SMX_CONTROL_NAME_MAX)) != 0 ||
		(r = smx_control_set_text(o, "error", error, SMX_CONTROL_TEXT_MAX)) != 0 ||
		(remedy && (r = smx_control_set_text(o, "remedy", remedy, SMX_CONTROL_TEXT_MAX)) !=
				   0));
	return finish_line(out, o, r);
}

int smx_control_login_answer_build(
	struct smx_buf *out, int64_t id, const struct smx_control_login *login)
{
	json_t *o = new_object();
	int r;

	if (!o)
		return SMX_ENOMEM;
	(void)((r = smx_control_set_int(o, "id", id)) != 0 ||
		(r = smx_control_set_bool(o, "ok", 1)) != 0 ||
		(r = smx_control_set_bool(o, "new", login->is_new)) != 0 ||
		(r = smx_control_set_text(o, "key", login->key, SMX_CONTROL_TEXT_MAX)) != 0 ||
		(r = smx_control_set_int(o, "age_s", login->age_s)) != 0 ||
		(r = smx_control_set_int(o, "lifetime_left_s", login->lifetime_left_s)) != 0 ||
		(r = smx_control_set_int(o, "idle_s", login->idle_s)) != 0);
	return finish_line(out, o, r);
}

int smx_control_login_answer_parse(struct smx_view line, struct smx_control_login *ret)
{
	struct smx_control_login a = { .lifetime_left_s = -1 };
	json_t *o;
	int r;

	if ((r = smx_control_json_parse(line, &o)) != 0)
		return r;
	(void)((r = required(smx_control_get_bool(o, "new", &a.is_new))) != 0 ||
		(r = required(get_text(o, "key", a.key, SMX_CONTROL_TEXT_MAX))) != 0 ||
		(r = required(smx_control_get_int(o, "age_s", 0, SMX_CONTROL_INT_MAX, &a.age_s))) !=
			0 ||
		(r = smx_control_optional(smx_control_get_int(o, "lifetime_left_s", -1,
			 SMX_CONTROL_INT_MAX, &a.lifetime_left_s))) != 0 ||
		(r = smx_control_optional(smx_control_get_int(
			 o, "idle_s", 0, SMX_CONTROL_INT_MAX, &a.idle_s))) != 0);
	json_decref(o);
	if (r == 0)
		*ret = a;
	return r;
}

int smx_control_answer_parse(struct smx_view line, struct smx_control_answer *ret)
{
	struct smx_control_answer a = { .more = 0 };
	char upgrade[SMX_CONTROL_NAME_MAX + 1], to[SMX_CONTROL_TEXT_MAX + 1];
	json_t *o;
	int r;

	if ((r = smx_control_json_parse(line, &o)) != 0)
		return r;
	if ((r = required(smx_control_get_int(o, "id", -1, SMX_CONTROL_INT_MAX, &a.id))) != 0 ||
		(r = required(smx_control_get_bool(o, "ok", &a.ok))) != 0 ||
		(r = smx_control_optional(smx_control_get_bool(o, "more", &a.more))) != 0 ||
		(r = get_optional_text(o, "upgrade", upgrade, SMX_CONTROL_NAME_MAX)) != 0 ||
		(r = get_optional_text(o, "to", to, SMX_CONTROL_TEXT_MAX)) != 0 ||
		(r = get_optional_text(o, "code", a.code, SMX_CONTROL_NAME_MAX)) != 0 ||
		(r = get_optional_text(o, "error", a.error, SMX_CONTROL_TEXT_MAX)) != 0 ||
		(r = get_optional_text(o, "remedy", a.remedy, SMX_CONTROL_TEXT_MAX)) != 0)
		goto out;
	if (!a.ok && a.more) {
		r = SMX_EFORMAT; /* a refusal is the last line of its answer */
		goto out;
	}
	a.upgrade = strcmp(upgrade, "frames") == 0;
	a.has_to = *to != '\0';
	*ret = a;
out:
	json_decref(o);
	return r;
}
