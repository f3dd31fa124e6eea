/* SPDX-License-Identifier: MIT */
#include "config/socket_name.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "crypto/hash.h"

#define HASH_LEN     40 /* SHA-1 in hexadecimal digits: %C */
#define DIGEST_LEN   12 /* digits that stand for a route's name */
#define PORT_LEN     5
#define USER_ROOM    32 /* `ssh -l NAME`: as long as systems allow a name to be */
#define HASHED_INPUT (2 * SMX_HOST_MAX + SMX_USER_MAX + 16)

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

enum smx_socket_form smx_socket_form(const struct smx_route *route, size_t room)
{
	const struct smx_hop *hop = smx_route_target(route);
	size_t name = strlen(route->name);

	if (name + 1 + larger(strlen(hop->user), USER_ROOM) + 1 + strlen(hop->host) + 1 +
			PORT_LEN <=
		room)
		return SMX_SOCKET_WHOLE;
	if (route->n_hops > 1)
		return SMX_SOCKET_NONE;
	if (name + 1 + HASH_LEN <= room)
		return SMX_SOCKET_HASHED;
	return 1 + DIGEST_LEN + 1 + HASH_LEN <= room ? SMX_SOCKET_SHORT : SMX_SOCKET_NONE;
}

/* The first n digits of the digest of a text. */
static int put_digest(enum smx_hash h, const char *text, size_t n, char *out)
{
	uint8_t digest[SMX_HASH_MAX];
	int r = smx_hash(h, text, strlen(text), digest);

	for (size_t i = 0; r == 0 && i < n / 2; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
	return r;
}

/* What comes before the hash. No route's name has a '+'. */
static int put_route(const struct smx_route *route, enum smx_socket_form form, char *out)
{
	if (form == SMX_SOCKET_SHORT) {
		*out = '+';
		return put_digest(SMX_HASH_SHA256, route->name, DIGEST_LEN, out + 1);
	}
	(void)snprintf(out, SMX_ROUTE_NAME_MAX + 1, "%s", route->name);
	return 0;
}

int smx_socket_name(const struct smx_route *route, size_t room, const char *local_host, char *out)
{
	const struct smx_hop *hop = smx_route_target(route);
	enum smx_socket_form form = smx_socket_form(route, room);
	char first[SMX_ROUTE_NAME_MAX + 1], text[HASHED_INPUT], hash[HASH_LEN + 1];
	int r;

	if (form == SMX_SOCKET_WHOLE || form == SMX_SOCKET_NONE) {
		(void)snprintf(out, SMX_SOCKET_NAME_SIZE, "%s=%s@%s:%u", route->name, hop->user,
			hop->host, hop->port);
		return 0;
	}
	(void)snprintf(text, sizeof(text), "%.*s%s%u%s", SMX_HOST_MAX, local_host, hop->host,
		hop->port, hop->user);
	if ((r = put_route(route, form, first)) == 0 &&
		(r = put_digest(SMX_HASH_SHA1, text, HASH_LEN, hash)) == 0)
		(void)snprintf(out, SMX_SOCKET_NAME_SIZE, "%s=%s", first, hash);
	return r;
}

int smx_socket_pattern(const struct smx_route *route, size_t room, char *out)
{
	enum smx_socket_form form = smx_socket_form(route, room);
	char first[SMX_ROUTE_NAME_MAX + 1];
	int r;

	*out = '\0';
	if (form == SMX_SOCKET_NONE)
		return 0;
	if ((r = put_route(route, form, first)) == 0)
		(void)snprintf(out, SMX_SOCKET_NAME_SIZE, "%s=%s", first,
			form == SMX_SOCKET_WHOLE ? "%r@%h:%p" : "%C");
	return r;
}
