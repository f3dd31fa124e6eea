/* SPDX-License-Identifier: MIT */
#include "cli/session/escape.h"

int smx_escape_take(
	enum smx_escape_state *state, const char *in, size_t n, char *ret_out, size_t *ret_len)
{
	size_t len = 0;
	int is_over = 0;

	for (size_t i = 0; i < n && !is_over; i++) {
		char c = in[i];

		if (*state == SMX_ESCAPE_LINE_START && c == '~') {
			*state = SMX_ESCAPE_SEEN;
			continue;
		}
		if (*state == SMX_ESCAPE_SEEN && c == '.') {
			is_over = 1;
			break;
		}
		if (*state == SMX_ESCAPE_SEEN && c != '~')
			ret_out[len++] = '~';
		ret_out[len++] = c;
		*state = c == '\r' || c == '\n' ? SMX_ESCAPE_LINE_START : SMX_ESCAPE_IN_LINE;
	}
	*ret_len = len;
	return is_over;
}
