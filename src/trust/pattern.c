/* SPDX-License-Identifier: MIT */
#include "trust/pattern.h"

/* Not tolower: that one depends on the locale. */
static uint8_t fold(uint8_t c, int ignore_case)
{
	return ignore_case && c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

int smx_pattern_match(struct smx_view text, struct smx_view pattern, int ignore_case)
{
	size_t t = 0, p = 0;
	size_t star = SIZE_MAX; /* where the last '*' is */
	size_t taken = 0; /* where the run it stands for ends */

	while (t < text.len) {
		if (p < pattern.len && pattern.p[p] == '*') {
			star = p++;
			taken = t;
		} else if (p < pattern.len &&
			   (pattern.p[p] == '?' || fold(pattern.p[p], ignore_case) ==
							   fold(text.p[t], ignore_case))) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			/* The last '*' takes one more. Earlier ones need not: they have the
			 * shortest run already, and a longer one would gain nothing. */
			p = star + 1;
			t = ++taken;
		} else {
			return 0;
		}
	}
	while (p < pattern.len && pattern.p[p] == '*')
		p++;
	return p == pattern.len;
}

int smx_pattern_list_match(struct smx_view text, struct smx_view list, int ignore_case)
{
	int matched = 0;

	for (size_t at = 0; at < list.len;) {
		size_t end = at;
		struct smx_view item;
		int negated;

		while (end < list.len && list.p[end] != ',')
			end++;
		item = (struct smx_view){ list.p + at, end - at };
		at = end + 1;
		negated = item.len > 0 && item.p[0] == '!';
		if (negated) {
			item.p++;
			item.len--;
		}
		if (item.len == 0 || !smx_pattern_match(text, item, ignore_case))
			continue;
		if (negated)
			return -1;
		matched = 1;
	}
	return matched;
}
