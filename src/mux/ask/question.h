/* SPDX-License-Identifier: MIT */
/*
 * A question for a person (A14): whose it is, what is asked and how, apart from where. Each place
 * (asker.h) only renders it. The text of a server stays in rows that are marked, on every screen of
 * 80 columns and 24 rows:
 *
 *	ssh-mux: that answer was not accepted (try 2 of 3)
 *	ssh-mux: login to me@bastion
 *	 | Two-step login for me
 *	 |
 *	 |  1. Push to XXX-XXX-1234
 *	(me@bastion) Passcode or option (1-1):
 *
 * Our own questions have no marks and no "(me@bastion)", so no server's can look like one.
 */
#ifndef SMX_MUX_ASK_QUESTION_H
#define SMX_MUX_ASK_QUESTION_H

#include "base/buf.h"
#include "control/frame.h"
#include "ssh/auth_msg.h"

#define QUESTION_ROWS     24 /* of a screen */
#define QUESTION_COLUMNS  79 /* the last column of 80 is left alone */
#define QUESTION_BOX      74 /* columns in a box on such a screen, as pinentry-curses draws it */
#define QUESTION_TEXT_MAX (32 * 1024) /* of all that is rendered here */
#define QUESTION_MARK     SMX_NOTICE_MARK

enum question_kind {
	QUESTION_OF_SERVER, /* its own words */
	QUESTION_PASSWORD,
	QUESTION_PASSPHRASE, /* of a key file */
	QUESTION_HOST_KEY, /* yes, no or a fingerprint */
	QUESTION_PERMISSION, /* yes or no, to what a session does */
};

/* Strings are clean (A7); those of a server have their line ends. */
struct question {
	enum question_kind kind;
	char *whom; /* user@host */
	char *lines; /* the server's, before its prompts; or NULL */
	char *said; /* the server's, before it asked: shown in windows; or NULL */
	char *note; /* what was wrong with the answer before; or NULL */
	char *plain; /* of our own: in OpenSSH's words */
	unsigned try, tries; /* of how many it is; 0: not counted */
	size_t n; /* prompts of a round; of all other kinds one */
	struct {
		char *words; /* the server's, or the whole of a question of our own */
		int echo; /* the answer may be shown */
	} parts[SMX_AUTH_PROMPTS_MAX];
};

/* NULL: no memory. Everything is copied. */
struct question *question_of_server(const char *whom, const struct smx_auth_info_request *request);
struct question *question_of_password(const char *whom);
struct question *question_of_passphrase(const char *whom, const char *path);
/* text, plain: as they are shown at a terminal, and to who looks for OpenSSH's words. The caller
 * has made the strangers' parts of them fit for a terminal, and keeps them within a row. */
struct question *question_of_host_key(const char *whom, const char *text, const char *plain);
struct question *question_of_permission(const char *whom, const char *text);
/* 0 or SMX_ENOMEM. */
int question_set_note(struct question *q, const char *note);
/*
 * What the server has said without asking (A12), to a question that goes to the server. A client is
 * told it when it comes; who is asked in a window sees it there. "": nothing. 0 or SMX_ENOMEM.
 */
int question_set_said(struct question *q, const char *said);
void question_free(struct question *q); /* NULL works */

/* Yes or no is an answer: a window has buttons for them. */
int question_is_confirm(const struct question *q);
/* OpenSSH would tell an SSH_ASKPASS so: SSH_ASKPASS_PROMPT=confirm. */
int question_is_permission(const struct question *q);

/*
 * The part `at`, as it is asked. Errors of smx_buf, SMX_ENOMEM.
 *
 * terminal: of QUESTION_COLUMNS, or QUESTION_BOX where a client's pinentry draws it; lines end with
 * "\n", which the place makes CR LF where it is needed; the last line has
 * no end, there the person types.
 */
int question_put_terminal(const struct question *q, size_t at, size_t columns, struct smx_buf *out);
/* OpenSSH's own words, for an SSH_ASKPASS. */
int question_put_askpass(const struct question *q, size_t at, struct smx_buf *out);
/* What OpenSSH would say on standard error before the part, as rows to be told (asker.h); or
 * nothing. */
int question_put_before(const struct question *q, size_t at, struct smx_buf *out);
/*
 * For a window: a description, and the label of the field to type into, which stays empty where yes
 * or no is asked. is_own (A4): it begins with the target, and nothing else, in its first line.
 */
int question_put_window(const struct question *q, size_t at, int is_own, struct smx_buf *ret_desc,
	struct smx_buf *ret_label);

/* What was wrong with the answer before, and which try this is; or nothing. */
int question_put_note(const struct question *q, size_t at, struct smx_buf *out);

/*
 * What a server says and asks nothing about (A12, A13): a line "whom says:", and its rows, marked;
 * each with its "\n", a screen of them at most. Nothing if it says nothing.
 */
int question_put_said(const char *whom, struct smx_view text, struct smx_buf *out);

#endif
