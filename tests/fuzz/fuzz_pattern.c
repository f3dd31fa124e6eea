/* SPDX-License-Identifier: MIT */
// fuzzes: src/trust/pattern.c
/*
 * Patterns and lists of them (K1). Input: text, newline, pattern list. The matcher must agree with
 * the textbook one, which fills a table.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "trust/pattern.h"

#define MAX 256

static int by_table(struct smx_view text, struct smx_view pattern)
{
	static uint8_t ok[MAX + 1]
			 [MAX + 1]; /* ok[i][j]: text from i on matches pattern from j on */

	for (size_t i = text.len + 1; i-- > 0;) {
		for (size_t j = pattern.len + 1; j-- > 0;) {
			if (j == pattern.len)
				ok[i][j] = i == text.len;
			else if (pattern.p[j] == '*')
				ok[i][j] = ok[i][j + 1] || (i < text.len && ok[i + 1][j]);
			else
				ok[i][j] = i < text.len &&
					   (pattern.p[j] == '?' || pattern.p[j] == text.p[i]) &&
					   ok[i + 1][j + 1];
		}
	}
	return ok[0][0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	struct smx_view text, pattern;
	int one, both;

	if (!newline)
		return 0;
	text = (struct smx_view){ data, (size_t)(newline - data) };
	pattern = (struct smx_view){ newline + 1, size - text.len - 1 };
	one = smx_pattern_match(text, pattern, 0);
	if (text.len <= MAX && pattern.len <= MAX && one != by_table(text, pattern))
		abort();
	if (one && !smx_pattern_match(text, pattern, 1))
		abort();
	both = smx_pattern_list_match(text, pattern, 1);
	/* Without commas and '!', a list is its one pattern. */
	if (pattern.len > 0 && !memchr(pattern.p, ',', pattern.len) && pattern.p[0] != '!' &&
		both != smx_pattern_match(text, pattern, 1))
		abort();
	return 0;
}
