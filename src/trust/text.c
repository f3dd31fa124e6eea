/* SPDX-License-Identifier: MIT */
#include "trust/text.h"

#include <string.h>

#define ABOUT_MAX 40

static int is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

struct smx_view smx_text_skip_bom(struct smx_view text)
{
	if (text.len >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0) {
		text.p += 3;
		text.len -= 3;
	}
	return text;
}

static struct smx_view skip_blanks(struct smx_view v)
{
	while (v.len > 0 && is_blank(v.p[0])) {
		v.p++;
		v.len--;
	}
	return v;
}

int smx_text_line(struct smx_view *text, struct smx_view *ret_line)
{
	const uint8_t *newline;
	struct smx_view line;

	if (text->len == 0)
		return 0;
	newline = memchr(text->p, '\n', text->len);
	line.p = text->p;
	line.len = newline ? (size_t)(newline - text->p) : text->len;
	text->p += line.len + (newline != NULL);
	text->len -= line.len + (newline != NULL);
	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	while (line.len > 0 && is_blank(line.p[line.len - 1]))
		line.len--;
	*ret_line = skip_blanks(line);
	return 1;
}

struct smx_view smx_text_field(struct smx_view *rest)
{
	struct smx_view field = *rest;
	size_t n = 0;

	while (n < rest->len && !is_blank(rest->p[n]))
		n++;
	field.len = n;
	rest->p += n;
	rest->len -= n;
	*rest = skip_blanks(*rest);
	return field;
}

void smx_text_warn(const struct smx_text_at *at, const char *what, struct smx_view about)
{
	char shown[ABOUT_MAX + 1];
	size_t n = about.len < ABOUT_MAX ? about.len : ABOUT_MAX;
	int r;

	if (!at->warnings)
		return;
	for (size_t i = 0; i < n; i++)
		shown[i] = about.p[i] >= 0x20 && about.p[i] < 0x7f ? (char)about.p[i] : '?';
	shown[n] = '\0';
	/* Warnings are a service: having no room for one must not make the text unusable. */
	if (n > 0)
		r = smx_buf_printf(
			at->warnings, "%s:%u: %s \"%s\"\n", at->source_name, at->line, what, shown);
	else
		r = smx_buf_printf(at->warnings, "%s:%u: %s\n", at->source_name, at->line, what);
	(void)r;
}
