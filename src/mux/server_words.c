/* SPDX-License-Identifier: MIT */
#include "mux/server_words.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "mux/say.h"

#define LINE_SIZE 400 /* a longer one is cut */
#define TEXT_SIZE 1024

/* Takes the first line off *text, without its end. 0: there is none. */
static int next_line(struct smx_view *text, struct smx_view *ret)
{
	const uint8_t *end;
	size_t n;

	if (text->len == 0)
		return 0;
	end = memchr(text->p, '\n', text->len);
	n = end ? (size_t)(end - text->p) : text->len;
	*ret = (struct smx_view){ text->p, n };
	n += end != NULL;
	text->p += n;
	text->len -= n;
	while (ret->len && (ret->p[ret->len - 1] == '\r' || ret->p[ret->len - 1] == ' '))
		ret->len--;
	return 1;
}

void server_words(struct pool_entry *e, const struct mux_ids *ids, struct smx_view text, char *last)
{
	const struct smx_hop *hop = &e->hops[e->n_hops - 1];
	size_t n_lines = 0;
	char clean[LINE_SIZE], whom[LINE_SIZE], shown[TEXT_SIZE];
	struct smx_view line;

	(void)snprintf(shown, sizeof(shown), "%.150s@%.150s", hop->user, hop->host);
	smx_sanitize(shown, strlen(shown), whom, sizeof(whom));
	while (next_line(&text, &line)) {
		smx_sanitize((const char *)line.p, line.len, clean, sizeof(clean));
		if (!clean[strspn(clean, " ")])
			continue;
		if (++n_lines > SERVER_WORDS_LINES) {
			pool_tell(e, "the server says more than a screen holds");
			return;
		}
		(void)snprintf(shown, sizeof(shown), "%s says: %s", whom, clean);
		say_info(ids, "%s", shown);
		pool_tell(e, shown);
		(void)snprintf(last, SERVER_WORDS_LAST, "%.*s", SERVER_WORDS_LAST - 1, clean);
	}
}
