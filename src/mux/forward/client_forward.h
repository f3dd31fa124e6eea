/* SPDX-License-Identifier: MIT */
/*
 * The remote forwards of a client of the local server (B4): its global requests, and the channels
 * that the remote opens for them. Answers go to it in the order of its requests, and its forwards
 * end with it. If the connection on which one stands is lost, the client is disconnected, as it
 * would be by the server itself.
 */
#ifndef SMX_MUX_FORWARD_CLIENT_FORWARD_H
#define SMX_MUX_FORWARD_CLIENT_FORWARD_H

#include "mux/core/link.h"

#define CLIENT_FORWARDS_MAX 128 /* of one client */
/* Channels that it was asked for and has not answered about: it may be stopped, and the connection
 * of the others has only so many. */
#define CLIENT_ASKED_MAX 64

struct client;

/* link_ops.global of a client. */
void client_forward_request(struct link *l, struct smx_conn_event *ev);
/* It is gone. */
void client_forward_leave(struct client *c);

#endif
