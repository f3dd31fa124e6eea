/* SPDX-License-Identifier: MIT */
// fuzzes: src/control/protocol.c src/control/text.c
// dictionary: frame
/*
 * What a control peer may send (S7): its bytes through the line reader in pieces whose size the
 * first byte picks, each line to every parser. What was parsed must be fit to be printed and built
 * into a line again, which says the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "control/protocol.h"

static void check_text(const char *s, size_t max)
{
	assert(strlen(s) <= max);
	for (; *s; s++)
		assert((unsigned char)*s >= 0x20 && *s != 0x7f);
}

static struct smx_view built(const struct smx_buf *out)
{
	size_t n = smx_buf_len(out);

	assert(n > 0 && n <= SMX_CONTROL_LINE_MAX);
	return (struct smx_view){ smx_buf_view(out), n - 1 };
}

static const char *or_null(const char *s)
{
	return *s ? s : NULL;
}

static int build_request(struct smx_buf *out, const struct smx_control_request *q)
{
	const char *route = or_null(q->route);
	struct smx_control_target to = {
		.route = route, .user = or_null(q->user), .host = or_null(q->host), .port = q->port
	};

	switch (q->cmd) {
	case SMX_CONTROL_PROXY:
		return smx_control_proxy_build(out, q->id, &to, q->agent, q->asks, q->is_batch);
	case SMX_CONTROL_CONNECT:
		return smx_control_connect_build(
			out, q->id, route, to.user, to.host, q->port, q->agent, q->asks);
	case SMX_CONTROL_LOGIN:
		return smx_control_login_build(
			out, q->id, route, to.user, to.host, q->port, q->agent, q->asks, q->renew);
	default:
		return smx_control_request_build(out, q->id, q->cmd);
	}
}

/* Names are cleaned on their way out, so they are the same from the second time on. */
static void check_request(const struct smx_control_request *q)
{
	struct smx_control_request once, twice;
	struct smx_buf out;

	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	assert(build_request(&out, q) == 0);
	/* A text of "proxy" may be "", which is not built; then it lacks its route. */
	if (smx_control_request_parse(built(&out), &once) == 0) {
		assert(once.cmd == q->cmd && once.id == q->id && once.port == q->port);
		assert(once.asks == q->asks && once.renew == q->renew &&
			once.is_batch == q->is_batch);
		assert(strcmp(once.agent, q->agent) == 0);
		smx_buf_reset(&out);
		assert(build_request(&out, &once) == 0);
		assert(smx_control_request_parse(built(&out), &twice) == 0);
		assert(strcmp(once.route, twice.route) == 0 && strcmp(once.user, twice.user) == 0);
		assert(strcmp(once.host, twice.host) == 0);
	} else {
		assert(q->cmd == SMX_CONTROL_PROXY && !q->route[0]);
	}
	smx_buf_release(&out);
}

static void check_login(const struct smx_control_login *login)
{
	struct smx_control_login again;
	struct smx_control_answer a;
	struct smx_buf out;

	check_text(login->key, SMX_CONTROL_TEXT_MAX);
	assert(login->age_s >= 0 && login->lifetime_left_s >= -1 && login->idle_s >= 0);
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	assert(smx_control_login_answer_build(&out, 1, login) == 0);
	assert(smx_control_answer_parse(built(&out), &a) == 0 && a.ok && a.id == 1);
	assert(smx_control_login_answer_parse(built(&out), &again) == 0);
	assert(strcmp(again.key, login->key) == 0 && again.is_new == login->is_new &&
		again.age_s == login->age_s && again.idle_s == login->idle_s &&
		again.lifetime_left_s == login->lifetime_left_s);
	smx_buf_release(&out);
}

static int build_answer(struct smx_buf *out, const struct smx_control_answer *a)
{
	if (!a->ok)
		return smx_control_error_build(out, a->id, a->code, a->error, or_null(a->remedy));
	if (a->upgrade)
		return smx_control_upgrade_build(out, a->id, a->has_to ? "x" : NULL);
	return smx_control_ok_build(out, a->id);
}

static void check_answer(const struct smx_control_answer *a)
{
	struct smx_control_answer again;
	struct smx_buf out;

	check_text(a->code, SMX_CONTROL_NAME_MAX);
	check_text(a->error, SMX_CONTROL_TEXT_MAX);
	check_text(a->remedy, SMX_CONTROL_TEXT_MAX);
	assert(a->ok || !a->more);
	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	assert(build_answer(&out, a) == 0);
	assert(smx_control_answer_parse(built(&out), &again) == 0);
	assert(again.id == a->id && again.ok == a->ok);
	if (!a->ok)
		assert(strcmp(again.code, a->code) == 0 && strcmp(again.error, a->error) == 0 &&
			strcmp(again.remedy, a->remedy) == 0);
	else
		assert(again.upgrade == a->upgrade && again.has_to == (a->upgrade && a->has_to));
	smx_buf_release(&out);
}

static void try_line(struct smx_view line)
{
	struct smx_control_request q;
	struct smx_control_answer a;
	struct smx_control_login login;
	struct smx_control_hello h;
	struct smx_buf out;
	int version;

	smx_buf_init(&out, SMX_CONTROL_LINE_MAX);
	if (smx_control_hello_parse(line, &h) == 0) {
		check_text(h.program, SMX_CONTROL_NAME_MAX);
		if (smx_control_hello_agree(&h, &version) == 0)
			assert(version >= 1 && version <= SMX_CONTROL_VERSION);
		assert(smx_control_hello_build(&out, &h) == 0);
	}
	if (smx_control_request_parse(line, &q) == 0) {
		check_text(q.name, SMX_CONTROL_NAME_MAX);
		assert(q.id >= 0);
		check_text(q.agent, SMX_CONTROL_AGENT_MAX);
		assert(!q.agent[0] || smx_control_is_agent(q.agent));
		check_request(&q);
	}
	if (smx_control_answer_parse(line, &a) == 0)
		check_answer(&a);
	if (smx_control_login_answer_parse(line, &login) == 0)
		check_login(&login);
	smx_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_control_reader rd;
	struct smx_view line;
	size_t piece, n, used;
	int r = 0;

	if (size == 0)
		return 0;
	piece = (size_t)data[0] + 1;
	data++;
	size--;
	smx_control_reader_init(&rd);
	while (size > 0 && r >= 0) {
		n = size < piece ? size : piece;
		r = smx_control_reader_feed(&rd, data, n, &used, &line);
		assert(r == 0 || r == 1 || r == SMX_ETOOBIG);
		if (r < 0)
			break;
		assert(used >= 1 && used <= n && smx_buf_len(&rd.buf) <= SMX_CONTROL_LINE_MAX);
		if (r == 1)
			try_line(line);
		data += used;
		size -= used;
	}
	smx_control_reader_release(&rd);
	return 0;
}
