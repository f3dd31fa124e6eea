/* SPDX-License-Identifier: MIT */
/*
 * Rules for forwards (B4, W4): the items of `forwards`, `jump_through` and `remote_forwards`.
 *
 *	"db.internal:5432"		a name, with any case of its letters
 *	"*.internal:22"			a pattern of names: `*` any run of characters, `?` one
 *	"10.0.0.5:8000-8010"		an IPv4 address, a range of ports
 *	"10.0.0.0/8:*"			a range of IPv4 addresses, any port
 *	"[2001:db8::1]:443"		an IPv6 address
 *	"[2001:db8::/32]:443"		a range of IPv6 addresses
 *	"*:*"				any host
 *	"/run/app.sock"			a Unix socket
 *	"/run/app/" and "*" at its end	any Unix socket beneath /run/app
 *	"8080"				of remote_forwards: "localhost:8080"
 *
 * What a client asks for is matched as it is written; nothing is resolved here, and no spelling is
 * normalised, because the remote's resolver decides what a name means. So a range of addresses
 * matches only an address in its usual spelling (four decimal numbers without leading zeros; RFC
 * 4291 section 2.2 without a dotted part and without a zone), and never an IPv4-mapped one. A name
 * or a pattern of names matches nothing that a resolver could take for an address ("127.1",
 * "0x7f.1", "10.0.0.5.").
 */
#ifndef SMX_CONFIG_FORWARD_H
#define SMX_CONFIG_FORWARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"

#define SMX_FORWARD_RULES_MAX 64 /* items of a list */
/* sun_path of the systems at hand has 104 to 108 bytes; one is the NUL. */
#define SMX_STREAMLOCAL_PATH_MAX 107

enum smx_forward_side {
	SMX_FORWARD_CONNECT, /* what the remote connects to */
	SMX_FORWARD_LISTEN, /* what the remote listens at: the host may be missing */
};

enum smx_forward_kind {
	SMX_FORWARD_ANY_HOST,
	SMX_FORWARD_NAME, /* text */
	SMX_FORWARD_PATTERN, /* text */
	SMX_FORWARD_NET, /* net, n_net, n_bits */
	SMX_FORWARD_PATH, /* text */
	SMX_FORWARD_BENEATH, /* text: a directory, with a '/' at its end */
};

struct smx_forward_rule {
	enum smx_forward_kind kind;
	char *text; /* owned; or NULL */
	uint8_t net[16];
	unsigned n_net, n_bits; /* bytes of an address: 4 or 16; those that count */
	uint16_t first_port, last_port;
};

struct smx_forward_rules {
	struct smx_forward_rule *v;
	size_t n;
};

/*
 * Adds the rule that text is. SMX_ENOMEM, or SMX_ESYNTAX with what is wrong and what would be right
 * in why: "has no port; write ...".
 */
int smx_forward_rules_add(struct smx_forward_rules *rules, struct smx_view text,
	enum smx_forward_side side, char *why, size_t why_size);
/* Adds one host, as a route has it (which may be no rule: a zone), and one port. SMX_ENOMEM. */
int smx_forward_rules_add_host(struct smx_forward_rules *rules, const char *host, uint16_t port);
/* Adds "*:*". SMX_ENOMEM. */
int smx_forward_rules_add_any(struct smx_forward_rules *rules);
void smx_forward_rules_release(struct smx_forward_rules *rules);

/* Whether a rule allows to connect to the host and port (1 to 65535) as they came. */
int smx_forward_rules_connect(
	const struct smx_forward_rules *rules, struct smx_view host, uint32_t port);
/*
 * Whether a rule allows to listen there. address: as in RFC 4254 section 7.1; port 0: one that the
 * server chooses, which only "*" and "0" allow. A rule for localhost is for 127.0.0.1 and ::1 too,
 * one for any host also for "", "*", "0.0.0.0" and "::".
 */
int smx_forward_rules_listen(
	const struct smx_forward_rules *rules, struct smx_view address, uint32_t port);
/* Whether a rule allows the socket: a path of smx_socket_path_ok. */
int smx_forward_rules_path(const struct smx_forward_rules *rules, struct smx_view path);

/* Absolute (another depends on the remote's working directory), no NUL, fits a socket address. */
int smx_socket_path_ok(struct smx_view path);

#endif
