/* SPDX-License-Identifier: MIT */
#include "pinentry/dialogue.h"

#include <string.h>

#include "base/err.h"

#define COMMANDS_MAX (SMX_PINENTRY_STEPS_MAX * SMX_ASSUAN_LINE_MAX)
/* Of libgpg-error, whose low 16 bits are the cause. */
#define CAUSE(code)     (0xffff & (code))
#define TIMED_OUT       62
#define NO_PINENTRY     86
#define CANCELED        99
#define NOT_CONFIRMED   114
#define FULLY_CANCELED  198
#define IS_NEEDED       1
#define IS_NICE_TO_HAVE 0

static struct smx_view view(const char *s)
{
	return smx_view_of(s, s ? strlen(s) : 0);
}

/* Adds a step; text NULL: none. Returns its error. */
static int add(struct smx_pinentry *p, const char *command, const char *text, int is_needed)
{
	size_t before = smx_buf_len(&p->commands);
	int r;

	if (!text)
		return 0;
	r = is_needed && p->is_confirm ? smx_assuan_put(&p->commands, command, view(text))
				       : smx_assuan_put_cut(&p->commands, command, view(text));
	if (r != 0)
		return r;
	p->steps[p->n_steps].len = smx_buf_len(&p->commands) - before;
	p->steps[p->n_steps++].is_needed = is_needed;
	return 0;
}

/* "OPTION name=value"; one that does not fit is left out. */
static int add_option(struct smx_pinentry *p, const char *name, const char *value)
{
	struct smx_buf option;
	int r;

	if (!value || !*value)
		return 0;
	smx_buf_init(&option, SMX_ASSUAN_LINE_MAX / 2);
	if ((r = smx_buf_printf(&option, "%s=%s", name, value)) == 0)
		r = smx_buf_cstr(&option) ? add(p, "OPTION", smx_buf_cstr(&option), IS_NICE_TO_HAVE)
					  : SMX_ENOMEM;
	smx_buf_release(&option);
	return r == SMX_ELIMIT ? 0 : r;
}

int smx_pinentry_init(struct smx_pinentry *p, const struct smx_pinentry_question *q)
{
	int r;

	*p = (struct smx_pinentry){ .is_confirm = !q->prompt };
	smx_buf_init(&p->out, COMMANDS_MAX);
	smx_buf_init(&p->commands, COMMANDS_MAX);
	smx_buf_init_secret(&p->in, 4 * SMX_ASSUAN_LINE_MAX);
	smx_buf_init_secret(&p->answer, SMX_PINENTRY_ANSWER_MAX + 1); /* a NUL at its end */
	/* A password manager's window can be used beside it. */
	if ((r = add(p, "OPTION", "no-grab", IS_NICE_TO_HAVE)) == 0 &&
		(r = add_option(p, "ttyname", q->ttyname)) == 0 &&
		(r = add_option(p, "ttytype", q->ttytype)) == 0 &&
		(r = add_option(p, "lc-ctype", q->lc_ctype)) == 0 &&
		(r = add(p, "SETTITLE", q->title, IS_NICE_TO_HAVE)) == 0 &&
		(r = add(p, "SETDESC", q->description, IS_NEEDED)) == 0 &&
		(r = add(p, "SETERROR", q->error, IS_NICE_TO_HAVE)) == 0 &&
		(r = add(p, "SETPROMPT", q->prompt, IS_NEEDED)) == 0 &&
		(r = add(p, "SETOK", p->is_confirm ? "Yes" : NULL, IS_NICE_TO_HAVE)) == 0 &&
		(r = add(p, "SETCANCEL", p->is_confirm ? "No" : NULL, IS_NICE_TO_HAVE)) == 0)
		r = add(p, p->is_confirm ? "CONFIRM" : "GETPIN", "", IS_NEEDED);
	if (r != 0)
		smx_pinentry_release(p);
	return r;
}

void smx_pinentry_release(struct smx_pinentry *p)
{
	smx_buf_release(&p->out);
	smx_buf_release(&p->commands);
	smx_buf_release(&p->in);
	smx_buf_release(&p->answer);
}

/* Says the next thing. */
static int say(struct smx_pinentry *p)
{
	size_t n = p->steps[p->at++].len;
	int r = smx_buf_put(&p->out, smx_buf_view(&p->commands), n);

	if (r != 0)
		return r;
	smx_buf_consume(&p->commands, n);
	return SMX_EAGAIN;
}

static int is_asking(const struct smx_pinentry *p)
{
	return p->is_greeted && p->at == p->n_steps;
}

static int put_answer(struct smx_pinentry *p, const char *answer)
{
	smx_buf_reset(&p->answer);
	return smx_buf_put_str(&p->answer, answer);
}

static int on_ok(struct smx_pinentry *p)
{
	if (!is_asking(p)) {
		p->is_greeted = 1;
		return say(p);
	}
	if (p->is_confirm)
		return put_answer(p, "yes");
	if (smx_buf_len(&p->answer) > SMX_PINENTRY_ANSWER_MAX)
		return SMX_ETOOBIG;
	/* Answers are strings everywhere else. */
	return smx_buf_len(&p->answer) &&
			       memchr(smx_buf_view(&p->answer), 0, smx_buf_len(&p->answer))
		       ? SMX_EFORMAT
		       : 0;
}

static int on_err(struct smx_pinentry *p, uint32_t code)
{
	if (!p->is_greeted)
		return SMX_ENOTFOUND;
	if (!is_asking(p))
		return p->steps[p->at - 1].is_needed ? SMX_ENOTFOUND : say(p);
	switch (CAUSE(code)) {
	case NOT_CONFIRMED:
		return p->is_confirm ? put_answer(p, "no") : SMX_ECANCELLED;
	case TIMED_OUT:
	case CANCELED:
	case FULLY_CANCELED:
		return SMX_ECANCELLED;
	case NO_PINENTRY:
		return SMX_EUNSUPPORTED;
	default:
		return SMX_ENOTFOUND; /* no display, no terminal … */
	}
}

static int on_line(struct smx_pinentry *p, const struct smx_assuan_line *line)
{
	int r;

	switch (line->type) {
	case SMX_ASSUAN_OK:
		return on_ok(p);
	case SMX_ASSUAN_ERR:
		return on_err(p, line->code);
	case SMX_ASSUAN_DATA:
		if (!is_asking(p) || p->is_confirm)
			return SMX_EFORMAT;
		r = smx_assuan_decode(line->rest, &p->answer);
		return r == 0 ? SMX_EAGAIN : r;
	case SMX_ASSUAN_STATUS:
	case SMX_ASSUAN_COMMENT:
		return SMX_EAGAIN;
	case SMX_ASSUAN_INQUIRE:
		break;
	}
	return SMX_EFORMAT;
}

int smx_pinentry_feed(struct smx_pinentry *p, struct smx_view bytes)
{
	struct smx_assuan_line line;
	size_t used, n;
	int r = SMX_EAGAIN;

	while (r == SMX_EAGAIN && bytes.len) {
		n = p->in.max - smx_buf_len(&p->in);
		if (n > bytes.len)
			n = bytes.len;
		if ((r = smx_buf_put(&p->in, bytes.p, n)) != 0)
			return r;
		bytes.p += n;
		bytes.len -= n;
		do {
			r = smx_assuan_next(smx_buf_as_view(&p->in), &line, &used);
			if (r != 0)
				break;
			r = on_line(p, &line);
			smx_buf_consume(&p->in, used);
		} while (r == SMX_EAGAIN);
	}
	return r;
}

int smx_pinentry_end(const struct smx_pinentry *p)
{
	/* Ctrl-C in a terminal ends a pinentry there without a word. */
	return is_asking(p) ? SMX_ECANCELLED : SMX_ENOTFOUND;
}

const char *smx_pinentry_answer(struct smx_pinentry *p)
{
	return smx_buf_cstr(&p->answer);
}
