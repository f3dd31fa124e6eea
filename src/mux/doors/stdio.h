/* SPDX-License-Identifier: MIT */
/*
 * The standard streams of a program that came through a control socket (W2), on the loop: what can
 * be polled is read and written there without waiting, files by worker threads.
 *
 * Callbacks come from the loop. A stream may be freed in its own callback.
 */
#ifndef SMX_MUX_DOORS_STDIO_H
#define SMX_MUX_DOORS_STDIO_H

#include "base/wire.h"
#include "mux/core/mux.h"
#include "os/door.h"

struct input;
struct output;

/* Takes os over, in any case. ready: see input_read. NULL: no memory. */
struct input *input_new(
	struct mux *m, struct smx_os_stdio *os, void (*ready)(void *arg), void *arg);
/*
 * Some bytes, if there are any. SMX_EAGAIN: `ready` is called once when there may be some.
 * SMX_EEOF: there will be none any more, whatever the cause.
 */
int input_read(struct input *in, void *p, size_t size, size_t *ret_len);
/* For its terminal's size and modes; -1: it is none. */
int input_terminal(const struct input *in);
void input_free(struct input *in); /* NULL works */

/* The same; moved: some of what is queued was written, or all is lost. */
struct output *output_new(
	struct mux *m, struct smx_os_stdio *os, void (*moved)(void *arg), void *arg);
/* Writes now what can be, and queues the rest: the caller bounds it. */
void output_write(struct output *o, struct smx_view data);
/* As input_terminal. */
int output_terminal(const struct output *o);
/* Nothing more will be written: its other end is told when it has the rest. */
void output_end(struct output *o);
size_t output_queued(const struct output *o);
/* Nobody reads it any more, or it can't be written: what comes is dropped. */
int output_is_broken(const struct output *o);
/* The error, if it can't be written (a full disk, no memory): then somebody is to be told. Else 0. */
int output_loss(const struct output *o);
void output_free(struct output *o); /* NULL works; what is queued is lost */

#endif
