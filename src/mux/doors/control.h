/* SPDX-License-Identifier: MIT */
/* The daemon's side of the control protocol (docs/PROTOCOL.md). */
#ifndef SMX_MUX_DOORS_CONTROL_H
#define SMX_MUX_DOORS_CONTROL_H

#include "control/frame.h"
#include "mux/core/mux.h"

struct control_client;

/* Opens the endpoint. Writes the log line when it can't; SMX_EEXISTS: a daemon runs. */
int control_open(struct mux *m);
/*
 * No more connections, and the endpoint's name is free; those that are there are closed once their
 * answers are written, but for that of who asked for the end. The lock stays: a daemon that is
 * being started waits for it.
 */
void control_close(struct mux *m);
/* The last thing of all (U10): gives the lock up, and only then hangs up on who asked for the end.
 * The loop has to run once more, unless the process ends here. */
void control_finish(struct mux *m);
/* Once a second: accepting again after a failure (U10). */
void control_tick(struct mux *m);

/* --- for attach.c: a connection that was upgraded to frames --- */

/* Of the program at the other end; -1: not known. */
int64_t control_client_pid(const struct control_client *c);
/* Where frames are put; then control_client_flush. Bulk waits while a write is under way. */
struct smx_buf *control_client_out(struct control_client *c);
int control_client_is_writing(const struct control_client *c);
void control_client_flush(struct control_client *c);
/* Writes a block as DATA frames, from where it is, behind all that was put. Only while no write is
 * under way; takes the block over. What fails ends the connection. */
void control_client_write_block(struct control_client *c, struct smx_tx_block *block);
/* Frames that wait for no write. What fails here ends the connection. */
/* 0; SMX_ENOMEM and nothing is asked. */
int control_client_queue_ask(struct control_client *c, const struct smx_ask *ask);
void control_client_queue_unask(struct control_client *c, uint32_t id);
/* Closes once everything is written; attach_gone is called. */
void control_client_finish(struct control_client *c);

#endif
