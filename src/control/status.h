/* SPDX-License-Identifier: MIT */
/*
 * A snapshot of the daemon: filled by mux/, carried as the answer to "status", printed by cli/.
 *
 * The structs given to smx_status_add_* are copied deeply; strings may be NULL (""). A string is
 * made fit for a terminal and for a line when it is added (smx_control_clean_text):
 * control characters and bytes that are not UTF-8 become '?', and it is cut to SMX_STATUS_TEXT_MAX.
 */
#ifndef SMX_CONTROL_STATUS_H
#define SMX_CONTROL_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/wire.h"

#define SMX_STATUS_TEXT_MAX     1024
#define SMX_STATUS_MODE_MAX     32 /* bytes of a mode's name */
#define SMX_STATUS_CONFINED_MAX 160 /* and of what confines it */
/* Of each kind; what is added beyond them is counted in `omitted` and nothing else. */
#define SMX_STATUS_ROUTES_MAX      4096
#define SMX_STATUS_CONNECTIONS_MAX 4096
#define SMX_STATUS_CLIENTS_MAX     16384
#define SMX_STATUS_CHANNELS_MAX    4096
#define SMX_STATUS_WARNINGS_MAX    64

struct smx_status_route {
	const char *name;
	const char *target; /* "user@host:port" */
	const char *via; /* "user@jump:22", "" for none */
	int loopback; /* any port of the remote's loopback may be forwarded to (R4, R5) */
	const char *control; /* path of its control socket (W2), "" for none */
};

/* What is known of a connection's path; each way "down" from the remote and "up" to it (B7, B8). */
struct smx_status_path {
	int paced; /* what is under way follows it */
	uint64_t least_rtt_us; /* of late; 0 unknown */
	uint64_t down_rate, up_rate; /* bytes a second; 0 unknown */
	uint64_t down_window, up_window; /* bytes that may be under way; 0: the path does not say */
	const char *down_mode, *up_mode; /* "unknown" "startup" "drain" "steady" "shared" */
};

struct smx_status_connection {
	uint64_t id;
	const char *key; /* "user@host:22 via user@jump:22" */
	const char *identity; /* with which keys and agent, "" for the usual ones (P1) */
	const char *state; /* "connecting" "login" "ready" "stalled" "closing" */
	uint64_t stalled_s; /* for how long (U3); 0 in any other state */
	uint64_t age_s;
	uint64_t channels; /* open ones */
	uint64_t spares; /* session channels opened beforehand (B12), not among them */
	uint64_t bytes_in, bytes_out; /* from the remote; to the remote */
	int64_t rtt_ms; /* -1 unknown */
	struct smx_status_path path;
	int64_t idle_left_s; /* -1: frozen, a channel is open (P2) */
	int64_t lifetime_left_s; /* -1: no limit (P3) */
};

struct smx_status_client {
	uint64_t id;
	const char *route;
	uint64_t age_s;
	uint64_t channels;
	int64_t pid; /* of the program that came by `proxy` or `connect`, -1 unknown */
};

/* A channel of a client, or (kind "tunnel") one of ours in which another connection runs. */
struct smx_status_channel {
	uint64_t id; /* a tunnel: of the connection it carries */
	uint64_t connection; /* the pooled connection it is on; 0: it awaits one */
	uint64_t client; /* 0: a tunnel */
	const char *route; /* "" for a tunnel */
	const char *kind; /* "session" "direct-tcpip" "direct-streamlocal@openssh.com" "tunnel" */
	const char *state; /* "opening" "open" "closing" */
	uint64_t age_s;
	uint64_t bytes_in, bytes_out; /* data from the remote; to the remote */
};

struct smx_status {
	char *version;
	char *ssh_dir;
	int64_t pid;
	uint64_t uptime_s;
	int locked; /* P8 */
	uint32_t port;
	char *other_users; /* of this machine, at the port: "refused" "admitted" "unchecked", ""
			      (U9) */
	char *confined; /* H3: "landlock v7, seccomp", "no (why)"; "": it does not say */
	char **warnings; /* the authorised-keys downgrade (L5) and the like */
	struct smx_status_route *routes;
	struct smx_status_connection *connections;
	struct smx_status_client *clients;
	struct smx_status_channel *channels;
	size_t warning_count, route_count, connection_count, client_count, channel_count;
	uint64_t omitted;
	/* Private: room in the arrays above. */
	size_t warning_cap, route_cap, connection_cap, client_cap, channel_cap;
};

void smx_status_init(struct smx_status *st);
void smx_status_release(struct smx_status *st);
/* 0 or SMX_ENOMEM. */
int smx_status_set_daemon(struct smx_status *st, const char *version, const char *ssh_dir,
	const char *other_users, const char *confined);
int smx_status_add_warning(struct smx_status *st, const char *text);
int smx_status_add_route(struct smx_status *st, const struct smx_status_route *r);
int smx_status_add_connection(struct smx_status *st, const struct smx_status_connection *c);
int smx_status_add_client(struct smx_status *st, const struct smx_status_client *c);
int smx_status_add_channel(struct smx_status *st, const struct smx_status_channel *c);

/*
 * Appends the whole answer to request `id`: a "daemon" line, one line an item, and the final
 * {"id":…,"ok":true}. Each line is within SMX_CONTROL_LINE_MAX; give the buffer a max that fits
 * many (SMX_STATUS_LINES_MAX always does). SMX_ENOMEM, SMX_ELIMIT; nothing is appended then.
 */
#define SMX_STATUS_LINES_MAX (256u << 20)
int smx_status_to_lines(struct smx_buf *out, int64_t id, const struct smx_status *st);

/*
 * Takes one line of an answer to "status" whose "ok" is true and adds it to st. An item of a kind
 * we don't know is ignored. Returns 1 if it was the last line, 0 if more follow. SMX_EFORMAT,
 * SMX_ENOMEM.
 */
int smx_status_from_line(struct smx_status *st, struct smx_view line);

/* The snapshot as one JSON object, for `status --json` (docs/PROTOCOL.md). SMX_ENOMEM, SMX_ELIMIT.
 */
int smx_status_to_json(struct smx_buf *out, const struct smx_status *st);

#endif
