/* SPDX-License-Identifier: MIT */
/*
 * An attached client: a program of the user's own that came over the control endpoint and whose
 * SSH client speaks to us through it (`ssh-mux proxy NAME` as ProxyCommand, `ssh-mux connect`,
 * which is a client itself; docs/PROTOCOL.md, sections 8 and 9). It is the carrier of that client's
 * link, and a place where questions can be asked.
 */
#ifndef SMX_MUX_DOORS_ATTACH_H
#define SMX_MUX_DOORS_ATTACH_H

#include "mux/ask/asker.h"
#include "mux/ask/prompt.h"
#include "mux/core/link.h"

struct control_client;

struct door_way;

/*
 * Starts the SSH server side for a client. agent: where its agent listens (copied), or "". place:
 * where it says that it can ask. NULL: no memory.
 */
struct attach *attach_new(struct mux *m, struct control_client *host, const struct door_way *way,
	const char *agent, enum attempt_place place);
/* The answer to its request is written: now its login may be asked for, and questions may come. */
void attach_begin(struct attach *a);
/*
 * Of a program that sends no SSH stream: it wants something else, and can be asked. left: called
 * once if it goes away before attach_answer.
 */
struct attach *attach_new_asking(struct mux *m, struct control_client *host, const char *agent,
	enum attempt_place place, void (*left)(void *arg), void *arg);
/* Its answer: a line of JSON, which goes out as a message. Frees a. */
void attach_answer(struct attach *a, struct smx_view line);
/* U7: a line for the person there; skipped by a program that does not know of it. */
void attach_notice(struct attach *a, const char *text);
/* Bytes behind the upgrade; answers among them are wiped there. 0, or the error that ends the
 * connection. */
int attach_input(struct attach *a, uint8_t *p, size_t n);
/*
 * In the middle of a DATA frame the link's own buffer, so that its bytes are read to where they are
 * needed: room for the rest of the frame and the head of the next one. 0: there is none now, read
 * elsewhere and call attach_input. What was read there, 0 bytes as well, goes to attach_read.
 */
size_t attach_read_space(struct attach *a, uint8_t **ret_p);
int attach_read(struct attach *a, uint8_t *p, size_t n);
/* Whether a frame has begun and not ended (S7: it has as long as a line); how many have ended. */
int attach_is_mid_frame(const struct attach *a);
uint64_t attach_frames(const struct attach *a);
/* The number of its client, 0 once that is gone: for the log. */
uint64_t attach_client(const struct attach *a);
/* The control connection is gone. */
void attach_gone(struct attach *a);
/* More can be written. */
void attach_writable(struct attach *a);

/* W7: its client is not to hear anything for now; what is written for it waits. */
void attach_hush(struct attach *a, int is_hushed);

/* Of the program that came; -1: not known. */
int64_t attach_pid(const struct attach *a);
/* Where its person can be asked, as long as it is there. */
struct asker *attach_asker(struct attach *a);

#endif
