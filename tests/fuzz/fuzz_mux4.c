/* SPDX-License-Identifier: MIT */
// fuzzes: src/control/mux4.c
/* W2, S7: what a client of a control socket sends; and what is typed in its terminal. */
#include <stdint.h>
#include <stdlib.h>

#include "fuzz.h"
#include "base/err.h"
#include "control/mux4.h"

static struct smx_mux4_request req;

static int is_within(struct smx_view v, struct smx_view message)
{
	return v.len == 0 || (v.p >= message.p && v.len <= message.len &&
				     (size_t)(v.p - message.p) <= message.len - v.len);
}

static void check(struct smx_view message)
{
	if (smx_mux4_parse(message, &req) != 0)
		return;
	if (smx_mux4_descriptors(req.kind) > 3)
		abort();
	if (req.kind == SMX_MUX4_SESSION) {
		if (!is_within(req.term, message) || !is_within(req.command, message) ||
			req.n_env > SMX_MUX4_ENV_MAX)
			abort();
		for (size_t i = 0; i < req.n_env; i++)
			if (!is_within(req.env[i], message) || req.env[i].len < 2)
				abort();
	}
	if (req.kind == SMX_MUX4_STDIO_FORWARD && !is_within(req.host, message))
		abort();
	if (req.kind == SMX_MUX4_OPEN_FORWARD &&
		(!is_within(req.host, message) || !is_within(req.listen_host, message)))
		abort();
}

static void type(const uint8_t *data, size_t size)
{
	enum smx_mux4_escape_state state = SMX_MUX4_LINE_START;
	size_t used, len, in = 0, sent = 0;
	uint8_t *out, other;

	while (in < size) {
		if (!(out = malloc(size - in + 1)))
			return;
		(void)smx_mux4_escape_take(
			&state, '~', data + in, size - in, &used, out, &len, &other);
		if (used == 0 || used > size - in || len > used + 1)
			abort();
		in += used;
		sent += len;
		free(out);
	}
	if (sent > size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_view bytes = { data, size }, message;
	size_t used;

	while (smx_mux4_next(bytes, &message, &used) == 0) {
		if (used > bytes.len || message.len + 4 != used)
			abort();
		check(message);
		bytes.p += used;
		bytes.len -= used;
	}
	type(data, size);
	return 0;
}
