/* SPDX-License-Identifier: MIT */
#include "config/transport.h"

#include <string.h>

#include "base/err.h"
#include "config/names.h"

#define MATCH_STEPS_MAX 65536

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

/* By which lengths of text a token may be stood for: tried one after the other, shortest first. */
static int may_start(const struct smx_hop *hop, char token, const char *text, size_t n)
{
	switch (token) {
	case 'h':
		return strlen(hop->host) == n && memcmp(hop->host, text, n) == 0;
	case 'n':
		token = 'h';
		if (!hop->name)
			return may_start(hop, token, text, n);
		return strlen(hop->name) == n && memcmp(hop->name, text, n) == 0;
	case 'p':
		return n >= 1 && n <= 5 && strspn(text, "0123456789") >= n;
	case 'r':
		return smx_user_fault(smx_view_of(text, n)) == NULL;
	default:
		return n == 1 && text[0] == '%';
	}
}

/* steps: what is left of the tries, so that no word takes long. */
static int matches(const struct smx_hop *hop, const char *word, const char *text, unsigned *steps)
{
	while (*word && (*word != '%' || !word[1])) {
		if (*word++ != *text++)
			return 0;
	}
	if (!*word)
		return *text == '\0';
	for (size_t n = 0, len = strlen(text); n <= len && *steps > 0; n++) {
		--*steps;
		if (may_start(hop, word[1], text, n) && matches(hop, word + 2, text + n, steps))
			return 1;
	}
	return 0;
}

int smx_transport_may_be(const struct smx_hop *hop, const char *word, const char *text)
{
	unsigned steps = MATCH_STEPS_MAX;

	return matches(hop, word, text, &steps);
}
