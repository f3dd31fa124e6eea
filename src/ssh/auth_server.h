/* SPDX-License-Identifier: MIT */
/*
 * User authentication, server side (RFC 4252): publickey and nothing else (L2), unless what
 * carries the connection has told already who is there (is_trusted). Sans I/O.
 *
 * The service request (which may come again), the probe ("would this key do?") and the signed
 * request are each answered at once; no state is kept between requests but the user name, and a
 * user name that changes ends the connection.
 */
#ifndef SMX_SSH_AUTH_SERVER_H
#define SMX_SSH_AUTH_SERVER_H

#include "ssh/transport.h"

#define SMX_USER_SIZE 256
/* Agents offer all their keys; each probe counts, and so does every other request. */
#define SMX_AUTH_ATTEMPTS_MAX 64

/* 1 if the public key blob may log in. */
typedef int smx_auth_key_ok(void *arg, struct smx_view blob);

struct smx_auth_server {
	struct smx_transport *t; /* borrowed */
	smx_auth_key_ok *key_ok;
	void *arg;
	char user[SMX_USER_SIZE]; /* of the first request; final once is_done */
	char fingerprint[SMX_FINGERPRINT_SIZE]; /* of the key that logged in */
	int has_service, has_user, is_done;
	/* Set after _init, by whoever knows the peer by other means: the method "none" will do. */
	int is_trusted;
	/* Set after _init: who has proved to be somebody is told so by smx_auth_server_admit only.
	 */
	int is_held;
	int is_proved; /* and awaits that */
	unsigned n_attempts;
};

void smx_auth_server_init(
	struct smx_auth_server *a, struct smx_transport *t, smx_auth_key_ok *key_ok, void *arg);
/*
 * One message of the phases before CONNECTION. When it returns with is_done set, the
 * user is authenticated and the transport is in SMX_PHASE_CONNECTION. SMX_EUNEXPECTED,
 * SMX_EDENIED (too many attempts, user changed) and parse errors end the connection.
 */
int smx_auth_server_handle(struct smx_auth_server *a, struct smx_view payload);
/* Lets in a peer that is_proved: is_done is set, as above. */
int smx_auth_server_admit(struct smx_auth_server *a);

#endif
