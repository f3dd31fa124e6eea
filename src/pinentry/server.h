/* SPDX-License-Identifier: MIT */
/*
 * The other side of pinentry/dialogue.h: what a pinentry of our own does, sans I/O. Our window on
 * Windows is one (A4), so that the daemon asks every kind of window in the same way.
 */
#ifndef SMX_PINENTRY_SERVER_H
#define SMX_PINENTRY_SERVER_H

#include "pinentry/assuan.h"

struct smx_pinentry_server {
	struct smx_buf out; /* to be written; the user consumes it; secret */
	struct smx_buf in;
	/* The question, as it was said so far; "" where nothing was. */
	struct smx_buf title, description, prompt, ok, cancel, error;
	int is_confirm; /* of the question that smx_pinentry_server_feed returned 0 for */
	int is_asking;
};

/* 0 or SMX_ENOMEM; the greeting is in `out` then. */
int smx_pinentry_server_init(struct smx_pinentry_server *s);
void smx_pinentry_server_release(struct smx_pinentry_server *s);
/*
 * SMX_EAGAIN: it goes on. 0: a question is to be asked; what was fed behind it waits until it is
 * answered. SMX_EEOF: the client said that it was all. Else it broke the protocol.
 */
int smx_pinentry_server_feed(struct smx_pinentry_server *s, struct smx_view bytes);
/*
 * r 0: the answer, or (is_confirm) yes; SMX_ECANCELLED: the person would not, or said no; else it
 * could not be asked. Then smx_pinentry_server_feed with nothing looks at what waits.
 */
int smx_pinentry_server_answer(struct smx_pinentry_server *s, int r, struct smx_view answer);

#endif
