/* SPDX-License-Identifier: MIT */
/*
 * Channel opens and channel requests, read whole before they are passed on (U1).
 *
 * The connection to a server is shared, and servers end it altogether on the first message that
 * they can't parse, or that comes out of its order (docs/DESIGN.md section 15 has the list). So
 * whatever a peer on the other side reads is read here first, exactly: nothing missing, nothing
 * after the end, no NUL byte in what C programs take for a string, no name beyond its bounds.
 * Clients of ours get the same from a server's requests.
 *
 * Pure functions: views of a message in, a verdict and the fields out. Views live as long as the
 * message does.
 */
#ifndef SMX_SSH_REQUEST_H
#define SMX_SSH_REQUEST_H

#include "base/wire.h"

#define SMX_REQUEST_NAME_MAX 64 /* of a kind, and names of protocols (RFC 4251 section 6) */
#define SMX_REQUEST_WORD_MAX 255 /* terminal type, subsystem */
#define SMX_REQUEST_HOST_MAX 1024 /* a host or a path of a forward */
#define SMX_REQUEST_STRINGS  3
#define SMX_REQUEST_NUMBERS  4

/* --- channel opens --- */

enum smx_chan_kind {
	SMX_CHAN_KIND_UNKNOWN,
	SMX_CHAN_KIND_SESSION,
	SMX_CHAN_KIND_TCPIP, /* direct-tcpip: s[0] host, n[0] port, s[1] and n[1] the originator's
			      */
	SMX_CHAN_KIND_STREAMLOCAL, /* direct-streamlocal@openssh.com: s[0] path, s[1], n[0] reserved
				    */
	SMX_CHAN_KIND_FOREIGN, /* known, and never a client's: forwards of the other direction, tun
				*/
};

enum smx_request_kind {
	SMX_REQUEST_UNKNOWN,
	SMX_REQUEST_PTY, /* s[0] terminal, n[0..3] columns, rows, pixels; s[1] encoded modes */
	SMX_REQUEST_ENV, /* s[0] name, s[1] value */
	SMX_REQUEST_SHELL,
	SMX_REQUEST_EXEC, /* s[0] command */
	SMX_REQUEST_SUBSYSTEM, /* s[0] name */
	SMX_REQUEST_WINDOW_CHANGE, /* n[0..3] columns, rows, pixels */
	SMX_REQUEST_SIGNAL, /* s[0] name */
	SMX_REQUEST_BREAK, /* n[0] ms */
	SMX_REQUEST_XON_XOFF,
	SMX_REQUEST_EXIT_STATUS, /* n[0] status */
	SMX_REQUEST_EXIT_SIGNAL, /* s[0] name, s[1] message, s[2] language */
	SMX_REQUEST_EOW, /* eow@openssh.com */
	SMX_REQUEST_KEEPALIVE, /* keepalive@openssh.com */
	SMX_REQUEST_AGENT, /* auth-agent-req and its variants, agent-req */
	SMX_REQUEST_X11, /* s[0] protocol, s[1] cookie, n[0] screen */
};

/* The fields of a message in the order of their type: strings in s, uint32 in n. */
struct smx_fields {
	struct smx_view s[SMX_REQUEST_STRINGS];
	uint32_t n[SMX_REQUEST_NUMBERS];
	size_t longest; /* of the strings: some servers end the connection over it */
	const char *why; /* what is wrong, for people; static. NULL: nothing */
};

/*
 * name, specific: kind and data of an OPEN event. *ret_kind is set in any case, *ret on success and
 * its why on failure. 0, or SMX_EFORMAT (it can't be parsed), SMX_ETOOBIG (a name is too long).
 * What follows the head of a kind that is unknown or foreign is not read.
 */
int smx_open_read(struct smx_view name, struct smx_view specific, enum smx_chan_kind *ret_kind,
	struct smx_fields *ret);

/* --- global requests, and the channels that come of them (RFC 4254 section 7) --- */

enum smx_global_kind {
	SMX_GLOBAL_OTHER,
	SMX_GLOBAL_FORWARD, /* tcpip-forward: s[0] address, n[0] port */
	SMX_GLOBAL_CANCEL, /* cancel-tcpip-forward: the same */
	SMX_GLOBAL_FORWARD_PATH, /* streamlocal-forward@openssh.com: s[0] path */
	SMX_GLOBAL_CANCEL_PATH, /* cancel-streamlocal-forward@openssh.com: the same */
};

/* As smx_open_read. Of others nothing is read. */
int smx_global_read(struct smx_view name, struct smx_view specific, enum smx_global_kind *ret_kind,
	struct smx_fields *ret);

enum smx_forwarded_kind {
	SMX_FORWARDED_OTHER,
	SMX_FORWARDED_TCPIP, /* forwarded-tcpip: s[0], n[0] where it came to; s[1], n[1] from where
			      */
	SMX_FORWARDED_STREAMLOCAL, /* forwarded-streamlocal@openssh.com: s[0] path, s[1] reserved */
};

/* The same of an open by a server. */
int smx_forwarded_read(struct smx_view name, struct smx_view specific,
	enum smx_forwarded_kind *ret_kind, struct smx_fields *ret);

/* --- channel requests --- */

/*
 * The same for a REQUEST event. Besides SMX_EUNSUPPORTED: the kind is not a name that anybody could
 * know (RFC 4250 section 4.6.1: 1 to 64 printable US-ASCII characters). The data of unknown kinds
 * is anything, as it is for the servers, which answer with a failure and don't read it.
 */
int smx_request_read(struct smx_view name, struct smx_view specific,
	enum smx_request_kind *ret_kind, struct smx_fields *ret);

/* What becomes of a request. */
enum smx_verdict {
	SMX_VERDICT_PASS,
	SMX_VERDICT_REFUSE, /* a failure is its answer, if it wants one, and nobody else sees it */
	SMX_VERDICT_END, /* its channel ends */
};

/*
 * What was passed on for one channel and not refused since: there may be one of each. While the
 * answer to a command is due, another goes to the server too, whose answers come in order: it is
 * for the case that the first is refused.
 */
struct smx_request_order {
	unsigned has_pty : 1, has_command : 1;
	unsigned n_due; /* commands without an answer so far */
};

/*
 * ret->why says why unless it passes. ret_kind is set in any case. A request for the agent passes
 * here; whether it is allowed (B4) is the caller's to say.
 */
enum smx_verdict smx_request_of_client(const struct smx_request_order *order, struct smx_view name,
	struct smx_view specific, enum smx_request_kind *ret_kind, struct smx_fields *ret);
/*
 * A malformed request costs what it costs with OpenSSH's client: the channel where that would end
 * its connection, nothing but the request where it reads no further than the name.
 */
enum smx_verdict smx_request_of_server(struct smx_view name, struct smx_view specific,
	enum smx_request_kind *ret_kind, struct smx_fields *ret);

/* A client's request was passed on. */
void smx_request_passed(
	struct smx_request_order *order, enum smx_request_kind kind, int wants_answer);
/* Its answer; after a failure the client may try another (sftp-server after the subsystem, say). */
void smx_request_answered(struct smx_request_order *order, enum smx_request_kind kind, int success);

/* It starts what the channel is for: shell, exec, subsystem. */
int smx_request_is_command(enum smx_request_kind kind);
/* No part of the data stream, so it may overtake it: a Ctrl-C must not wait behind an upload. */
int smx_request_is_urgent(enum smx_request_kind kind);

#endif
