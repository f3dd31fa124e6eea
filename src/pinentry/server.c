/* SPDX-License-Identifier: MIT */
#include "pinentry/server.h"

#include <string.h>

#include "base/err.h"

#define TEXT_MAX  SMX_ASSUAN_LINE_MAX
#define OUT_MAX   (16 * SMX_ASSUAN_LINE_MAX)
#define IN_MAX    (64 * SMX_ASSUAN_LINE_MAX)
#define PIECE_MAX 300 /* of an answer in one line; each byte may take three */
/* Of libgpg-error, from source "pinentry". */
#define ERR_CANCELED      "83886179 Operation cancelled"
#define ERR_NOT_CONFIRMED "83886194 Not confirmed"
#define ERR_UNKNOWN       "83886355 Unknown command"
#define ERR_GENERAL       "83886081 General error"
#define ERR_TOO_LARGE     "83886340 Too large"
#define ERR_NO_PINENTRY   "83886166 No pinentry"

int smx_pinentry_server_init(struct smx_pinentry_server *s)
{
	struct smx_buf *texts[] = { &s->title, &s->description, &s->prompt, &s->ok, &s->cancel,
		&s->error };

	*s = (struct smx_pinentry_server){ 0 };
	smx_buf_init_secret(&s->out, OUT_MAX);
	smx_buf_init(&s->in, IN_MAX);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		smx_buf_init(texts[i], TEXT_MAX + 1);
	return smx_buf_put_str(&s->out, "OK Pleased to meet you\n");
}

void smx_pinentry_server_release(struct smx_pinentry_server *s)
{
	struct smx_buf *bufs[] = { &s->out, &s->in, &s->title, &s->description, &s->prompt, &s->ok,
		&s->cancel, &s->error };

	for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		smx_buf_release(bufs[i]);
}

static int say(struct smx_pinentry_server *s, const char *line)
{
	int r = smx_buf_put_str(&s->out, line);

	return r == 0 ? smx_buf_put_str(&s->out, "\n") : r;
}

static int is_word(struct smx_view line, const char *word, struct smx_view *ret_rest)
{
	size_t n = strlen(word);

	if (line.len < n || memcmp(line.p, word, n) != 0)
		return 0;
	if (line.len == n) {
		*ret_rest = smx_view_of((const char *)line.p + n, 0);
		return 1;
	}
	*ret_rest = smx_view_of((const char *)line.p + n + 1, line.len - n - 1);
	return line.p[n] == ' ';
}

static int set_text(struct smx_pinentry_server *s, struct smx_buf *to, struct smx_view text)
{
	int r;

	smx_buf_reset(to);
	r = smx_assuan_decode(text, to);
	if (r == 0 && smx_buf_len(to) && memchr(smx_buf_view(to), 0, smx_buf_len(to)))
		r = SMX_EFORMAT; /* texts are strings everywhere else */
	return r == 0 ? say(s, "OK") : r;
}

/* One line of the client's, without its end. As smx_pinentry_server_feed. */
static int on_line(struct smx_pinentry_server *s, struct smx_view line)
{
	static const char *const ignored[] = { "OPTION", "SETTIMEOUT", "NOP", "RESET",
		"SETKEYINFO" };
	struct {
		const char *command;
		struct smx_buf *to;
	} texts[] = {
		{ "SETTITLE", &s->title },
		{ "SETDESC", &s->description },
		{ "SETPROMPT", &s->prompt },
		{ "SETOK", &s->ok },
		{ "SETCANCEL", &s->cancel },
		{ "SETERROR", &s->error },
	};
	struct smx_view rest;
	int r = 0;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (is_word(line, texts[i].command, &rest)) {
			r = set_text(s, texts[i].to, rest);
			return r == 0 ? SMX_EAGAIN : r;
		}
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (is_word(line, ignored[i], &rest)) {
			r = say(s, "OK");
			return r == 0 ? SMX_EAGAIN : r;
		}
	if (is_word(line, "BYE", &rest)) {
		r = say(s, "OK closing connection");
		return r == 0 ? SMX_EEOF : r;
	}
	if (is_word(line, "GETPIN", &rest) || is_word(line, "CONFIRM", &rest)) {
		s->is_confirm = line.p[0] == 'C';
		s->is_asking = 1;
		return 0;
	}
	r = line.len == 0 || line.p[0] == '#' ? 0 : say(s, "ERR " ERR_UNKNOWN);
	return r == 0 ? SMX_EAGAIN : r;
}

/* What has come already. */
static int look(struct smx_pinentry_server *s)
{
	struct smx_view in, line;
	const uint8_t *end;
	int r = SMX_EAGAIN;

	while (r == SMX_EAGAIN && !s->is_asking) {
		in = smx_buf_as_view(&s->in);
		end = in.len ? memchr(in.p, '\n', in.len) : NULL;
		if (!end)
			return in.len >= SMX_ASSUAN_LINE_MAX ? SMX_ETOOBIG : SMX_EAGAIN;
		line = smx_view_of((const char *)in.p, (size_t)(end - in.p));
		if (line.len >= SMX_ASSUAN_LINE_MAX)
			return SMX_ETOOBIG;
		if (line.len && line.p[line.len - 1] == '\r')
			line.len--;
		r = on_line(s, line);
		smx_buf_consume(&s->in, (size_t)(end - in.p) + 1);
	}
	return r;
}

int smx_pinentry_server_feed(struct smx_pinentry_server *s, struct smx_view bytes)
{
	int r = smx_buf_put(&s->in, bytes.p, bytes.len);

	if (r != 0)
		return r == SMX_ELIMIT ? SMX_ETOOBIG : r;
	return look(s);
}

int smx_pinentry_server_answer(struct smx_pinentry_server *s, int r, struct smx_view answer)
{
	size_t n;
	int e;

	s->is_asking = 0;
	if (r == SMX_ECANCELLED)
		return say(s, s->is_confirm ? "ERR " ERR_NOT_CONFIRMED : "ERR " ERR_CANCELED);
	if (r != 0)
		return say(s, r == SMX_ELIMIT      ? "ERR " ERR_TOO_LARGE
			      : r == SMX_ENOTFOUND ? "ERR " ERR_NO_PINENTRY
						   : "ERR " ERR_GENERAL);
	for (; !s->is_confirm && answer.len; answer.p += n, answer.len -= n) {
		n = answer.len < PIECE_MAX ? answer.len : PIECE_MAX;
		if ((e = smx_assuan_put(&s->out, "D", smx_view_of((const char *)answer.p, n))) != 0)
			return e;
	}
	return say(s, "OK");
}
