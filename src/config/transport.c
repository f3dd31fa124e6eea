/* SPDX-License-Identifier: MIT */
#include "config/transport.h"

#include <string.h>

#include "base/err.h"

static const char tokens[] = "hprn%";

const char *smx_transport_fault(struct smx_view word, int is_first)
{
	if (is_first && word.len == 0)
		return "must not be empty";
	if (is_first && word.p[0] == '-')
		return "must be a program, which no word that begins with '-' is";
	if (word.len > SMX_CONFIG_PATH_MAX)
		return "must not be longer than 1024 bytes";
	for (size_t i = 0; i < word.len; i++) {
		if (word.p[i] < 0x20 || word.p[i] == 0x7f)
			return "must not have control characters";
		if (word.p[i] != '%' || is_first)
			continue;
		if (++i == word.len || !memchr(tokens, word.p[i], sizeof(tokens) - 1))
			return "has a '%' before something else than h, p, r, n or %";
	}
	return NULL;
}

static int put_token(const struct smx_hop *hop, char token, struct smx_buf *out)
{
	switch (token) {
	case 'h':
		return smx_buf_put_str(out, hop->host);
	case 'p':
		return smx_buf_printf(out, "%u", hop->port);
	case 'r':
		return smx_buf_put_str(out, hop->user);
	case 'n':
		return smx_buf_put_str(out, hop->name ? hop->name : hop->host);
	default:
		return smx_buf_put_str(out, "%");
	}
}

int smx_transport_expand(const struct smx_hop *hop, const char *word, struct smx_buf *out)
{
	int r = 0;

	for (; r == 0 && *word; word++) {
		if (*word == '%' && word[1])
			r = put_token(hop, *++word, out);
		else
			r = smx_buf_put(out, word, 1);
	}
	return r;
}
