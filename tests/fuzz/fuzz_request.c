/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/request.c
// dictionary: conn
/*
 * Requests of one channel, one after the other, as they come from a client or a server, and opens
 * (U1). A message is a byte that says which, a byte of length and the kind, and the rest. What the
 * readers let pass is read again by the rules of the peer: exactly, by strings that end where C
 * programs think they do, in its order.
 */
#include "base/err.h"
#include "fuzz_ssh.h"
#include "ssh/request.h"

#define ARE_REFUSED (1 << SMX_REQUEST_X11 | 1 << SMX_REQUEST_KEEPALIVE)

static void check_fields(const struct smx_fields *f, struct smx_view data)
{
	size_t longest = 0;

	for (size_t i = 0; i < SMX_REQUEST_STRINGS; i++) {
		struct smx_view s = f->s[i];

		if (!s.p)
			continue;
		fuzz_check(s.p >= data.p && s.p + s.len <= data.p + data.len);
		longest = s.len > longest ? s.len : longest;
	}
	fuzz_check(f->longest == longest && f->why == NULL);
}

/* The strings of a C program: a NUL only at the very end. */
static void check_texts(enum smx_request_kind kind, const struct smx_fields *f)
{
	size_t n = kind == SMX_REQUEST_PTY ? 1 : SMX_REQUEST_STRINGS;

	for (size_t i = 0; i < n; i++)
		fuzz_check(f->s[i].len == 0 || !memchr(f->s[i].p, '\0', f->s[i].len - 1));
}

static void client(struct smx_request_order *order, struct smx_view name, struct smx_view data)
{
	enum smx_request_kind kind;
	struct smx_fields f = { .why = NULL };
	int had_pty = order->has_pty, had_command = order->has_command;

	switch (smx_request_of_client(order, name, data, &kind, &f)) {
	case SMX_VERDICT_PASS:
		check_fields(&f, data);
		check_texts(kind, &f);
		fuzz_check(!(1 << kind & ARE_REFUSED));
		fuzz_check(kind != SMX_REQUEST_AGENT ||
			   (smx_view_eq(name, "auth-agent-req@openssh.com") && data.len == 0));
		fuzz_check(kind != SMX_REQUEST_PTY || !had_pty);
		fuzz_check(!smx_request_is_command(kind) || !had_command);
		fuzz_check(name.len <= SMX_REQUEST_NAME_MAX && !memchr(name.p, '\0', name.len));
		smx_request_passed(order, kind, data.len % 7 != 0);
		/* The server refuses some of them. */
		if (data.len % 5 > 2)
			smx_request_answered(order, kind, data.len % 5 == 3);
		break;
	default:
		fuzz_check(f.why != NULL);
		fuzz_check(order->has_pty == had_pty && order->has_command == had_command);
		break;
	}
}

static void server(struct smx_view name, struct smx_view data)
{
	enum smx_request_kind kind;
	struct smx_fields f = { .why = NULL };

	if (smx_request_of_server(name, data, &kind, &f) != SMX_VERDICT_PASS) {
		fuzz_check(f.why != NULL);
		return;
	}
	check_fields(&f, data);
	check_texts(kind, &f);
	fuzz_check(kind != SMX_REQUEST_EXIT_STATUS || data.len == 4);
	fuzz_check(kind != SMX_REQUEST_EOW || data.len == 0);
	fuzz_check(kind != SMX_REQUEST_KEEPALIVE);
}

static void open_channel(struct smx_view name, struct smx_view data)
{
	enum smx_chan_kind kind;
	struct smx_fields f = { .why = NULL };
	int r = smx_open_read(name, data, &kind, &f);

	if (r != 0) {
		fuzz_check(f.why != NULL && (r == SMX_EFORMAT || r == SMX_ETOOBIG));
		return;
	}
	check_fields(&f, data);
	check_texts(SMX_REQUEST_UNKNOWN, &f);
	fuzz_check(kind != SMX_CHAN_KIND_SESSION || data.len == 0);
	fuzz_check(f.longest <= SMX_REQUEST_HOST_MAX);
}

/* B4 */
static void remote_forward(struct smx_view name, struct smx_view data)
{
	struct smx_fields f = { .why = NULL };
	enum smx_forwarded_kind forwarded;
	enum smx_global_kind kind;

	if (smx_global_read(name, data, &kind, &f) == 0) {
		check_fields(&f, data);
		check_texts(SMX_REQUEST_UNKNOWN, &f);
		fuzz_check(f.longest <= SMX_REQUEST_HOST_MAX);
	} else {
		fuzz_check(f.why != NULL && kind != SMX_GLOBAL_OTHER);
	}
	f = (struct smx_fields){ .why = NULL };
	if (smx_forwarded_read(name, data, &forwarded, &f) == 0)
		check_fields(&f, data);
	else
		fuzz_check(f.why != NULL && forwarded != SMX_FORWARDED_OTHER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_request_order order = { 0 };
	struct smx_rd rd = smx_rd_from(data, size);
	struct smx_view message, name;
	uint8_t what, len;

	while (fuzz_next(&rd, &message)) {
		uint8_t *copy = fuzz_copy(message);
		struct smx_rd in = smx_rd_from(copy, message.len);

		if (smx_rd_u8(&in, &what) == 0 && smx_rd_u8(&in, &len) == 0 &&
			smx_rd_bytes(&in, len, &name) == 0) {
			struct smx_view rest = { in.p, in.left };

			if (what % 3 == 0)
				client(&order, name, rest);
			else if (what % 3 == 1)
				server(name, rest);
			else
				open_channel(name, rest);
			remote_forward(name, rest);
		}
		free(copy);
	}
	return 0;
}
