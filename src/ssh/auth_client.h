/* SPDX-License-Identifier: MIT */
/*
 * User authentication, client side (RFC 4252, 4256). Sans I/O: this object knows which
 * answer is due and refuses any other message; which method, key or answer comes next
 * is its user's choice.
 *
 *	SMX_AUTH_EV_CHOOSE	nothing is under way: start a method (smx_auth_client_*)
 *	SMX_AUTH_EV_SIGN	the probed key would do: sign `sign_data`, then _send_signature
 *	SMX_AUTH_EV_ASK		keyboard-interactive: answer with _send_answers
 *	SMX_AUTH_EV_EXPIRED	the password is right, but must be changed first (RFC 4252 section
 *				8; not done here): text of the server. Start a method, or end
 *	SMX_AUTH_EV_BANNER	text to show
 *	SMX_AUTH_EV_DONE	authenticated; the transport is in SMX_PHASE_CONNECTION
 */
#ifndef SMX_SSH_AUTH_CLIENT_H
#define SMX_SSH_AUTH_CLIENT_H

#include "ssh/auth_msg.h"
#include "ssh/transport.h"

#define SMX_AUTH_METHODS_SIZE 512

enum smx_auth_event_type {
	SMX_AUTH_EV_NONE,
	SMX_AUTH_EV_CHOOSE,
	SMX_AUTH_EV_SIGN,
	SMX_AUTH_EV_ASK,
	SMX_AUTH_EV_EXPIRED,
	SMX_AUTH_EV_BANNER,
	SMX_AUTH_EV_DONE,
};

struct smx_auth_event {
	enum smx_auth_event_type type;
	int is_partial; /* CHOOSE: the last method succeeded, more is wanted */
	struct smx_view text; /* BANNER, EXPIRED */
	struct smx_auth_info_request ask; /* ASK */
};

enum smx_auth_wait {
	SMX_AUTH_WAIT_SERVICE,
	SMX_AUTH_WAIT_CHOICE,
	SMX_AUTH_WAIT_NONE,
	SMX_AUTH_WAIT_PROBE,
	SMX_AUTH_WAIT_SIGNATURE, /* ours to make */
	SMX_AUTH_WAIT_PUBKEY,
	SMX_AUTH_WAIT_PASSWORD,
	SMX_AUTH_WAIT_KBDINT,
	SMX_AUTH_WAIT_ANSWERS, /* ours to give */
	SMX_AUTH_WAIT_NOTHING,
};

struct smx_auth_client {
	struct smx_transport *t; /* borrowed */
	char *user;
	enum smx_auth_wait wait;
	char methods[SMX_AUTH_METHODS_SIZE]; /* that can continue, as the server said last */
	unsigned service_due : 1; /* its acceptance; what we sent behind the request is next */
	unsigned has_methods : 1; /* the server has said them */
	unsigned kbdint_ahead : 1; /* its answer comes behind that to the key */
	unsigned ignores_one : 1; /* the next answer is of a method that was given up */
	unsigned began_in_vain : 1; /* that had begun: the server may have reached a person */
	size_t n_prompts; /* of the open INFO_REQUEST */
	struct smx_buf key_alg, key_blob; /* of the probed key */
	struct smx_buf host_key; /* its request is bound to this server; empty: it is not (A11) */
};

int smx_auth_client_init(struct smx_auth_client *a, struct smx_transport *t, const char *user);
void smx_auth_client_release(struct smx_auth_client *a);

/*
 * One of these at SMX_EV_READY. The first two don't wait for the service to be accepted (B13: RFC
 * 4252 asks for no order but that of the messages): they send the request and at once "none", which
 * tells the methods, or a key with its signature (then _sign_data and _send_signature, as after
 * EV_SIGN). The third is for servers that take one message at a time.
 */
int smx_auth_client_begin(struct smx_auth_client *a);
int smx_auth_client_begin_with_key(
	struct smx_auth_client *a, struct smx_view alg, struct smx_view blob);
int smx_auth_client_begin_in_turns(struct smx_auth_client *a);
/* The server has answered nothing yet, though more than one message is with it. */
int smx_auth_client_is_unheard(const struct smx_auth_client *a);
/* A request of ours is with the server, which may accept or refuse it. */
int smx_auth_client_is_asked(const struct smx_auth_client *a);
/* One message before SMX_PHASE_CONNECTION. SMX_EUNEXPECTED for what is not due. */
int smx_auth_client_handle(
	struct smx_auth_client *a, struct smx_view payload, struct smx_auth_event *ret);
int smx_auth_client_can(const struct smx_auth_client *a, const char *method);

/* Each SMX_ESTATE unless a method may be started now. */
int smx_auth_client_probe_key(struct smx_auth_client *a, struct smx_view alg, struct smx_view blob);
int smx_auth_client_none(struct smx_auth_client *a);
int smx_auth_client_password(struct smx_auth_client *a, struct smx_view password);
int smx_auth_client_kbdint(struct smx_auth_client *a);
/* After EV_SIGN: appends what is to be signed. */
int smx_auth_client_sign_data(struct smx_auth_client *a, struct smx_buf *ret_data);
int smx_auth_client_send_signature(struct smx_auth_client *a, struct smx_view signature);
/* After EV_SIGN: the key can't be used after all; another method may be started. */
void smx_auth_client_skip_key(struct smx_auth_client *a);
/*
 * B13: keyboard-interactive is asked for right behind a signature that is out (else SMX_ESTATE),
 * whatever the server says of the key: for one that is known to want it next. It is taken up by
 * smx_auth_client_kbdint if that is the next method started, and given up by any other.
 */
int smx_auth_client_kbdint_ahead(struct smx_auth_client *a);
/* After EV_ASK: exactly as many answers as there were prompts (SMX_EINVAL). */
int smx_auth_client_send_answers(
	struct smx_auth_client *a, const struct smx_view *answers, size_t n);

#endif
