/* SPDX-License-Identifier: MIT */
/* What the parts of the control endpoint share. Private to src/mux/doors/control*.c. */
#ifndef SMX_MUX_DOORS_CONTROL_INT_H
#define SMX_MUX_DOORS_CONTROL_INT_H

#include "control/frame.h"
#include "control/protocol.h"
#include "mux/doors/control.h"
#include "os/ipc.h"

#define LINES_READ 4096 /* at a time; frames are read into a block */

struct control {
	uv_poll_t poll; /* tells of clients, where there is something to poll; else: */
	uv_async_t waiting;
	int has_poll, has_async, n_closing;
	int is_paused; /* U10: until the next tick */
	int is_closed; /* no new clients; the lock is still ours */
	struct mux *mux;
	struct smx_os_ipc_server *server;
	struct smx_list clients;
	size_t n_clients;
};

struct control_client {
	struct smx_list node;
	struct mux *mux;
	uv_pipe_t pipe;
	uv_timer_t timer;
	uv_write_t write;
	int n_handles, has_hello, is_writing, is_ending;
	unsigned is_counted; /* among CONTROL_CLIENTS_MAX */
	int awaits_end; /* U10: it asked for the end, and is told by the end of its connection */
	struct smx_control_reader reader;
	struct attach *attach; /* frames, not lines, go both ways */
	struct smx_buf out, writing;
	struct smx_tx_block *block; /* being written behind `writing` */
	uint8_t heads[SMX_FRAME_CUT_MAX][SMX_FRAME_HEAD]; /* of its frames */
	int64_t pid; /* of the other side, -1: not known */
	int is_direct; /* what is being read goes into the link's buffer; else, if not `in`: */
	uint8_t *block_in;
	size_t at, n_in; /* of `in`: taken, and read */
	uint8_t in[LINES_READ];
};

/* The answers to `proxy`, and to `connect` and `login`: 0, or the error that ends the client. */
int control_proxy(struct control_client *c, const struct smx_control_request *req);
int control_connect(struct control_client *c, const struct smx_control_request *req);

#endif
