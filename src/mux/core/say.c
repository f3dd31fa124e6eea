/* SPDX-License-Identifier: MIT */
#include "mux/core/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "mux/doors/door.h"
#include "mux/pool/upstream.h"

#define IDS_SIZE   512
#define ROUTE_SIZE 128

static size_t put_id(char *out, size_t used, const char *name, uint64_t id)
{
	if (id)
		used += (size_t)snprintf(
			out + used, IDS_SIZE - used, "%s=%llu ", name, (unsigned long long)id);
	return used;
}

/* A name that a client made up can't end its quotes. */
static size_t put_route(char *out, size_t used, const char *route)
{
	char clean[ROUTE_SIZE];

	if (!route)
		return used;
	smx_sanitize(route, strlen(route), clean, sizeof(clean));
	for (char *s = clean; (s = strpbrk(s, "\"\\")) != NULL;)
		*s = '?';
	return used + (size_t)snprintf(out + used, IDS_SIZE - used, "route=\"%s\" ", clean);
}

void mux_say(enum smx_log_level level, const struct mux_ids *ids, const char *fmt, ...)
{
	char text[SMX_LOG_TEXT_MAX], head[IDS_SIZE];
	size_t n = 0;
	va_list ap;

	if (!smx_log_enabled(level))
		return;
	head[0] = '\0';
	n = put_id(head, n, "conn", ids->conn);
	n = put_id(head, n, "chan", ids->chan);
	n = put_id(head, n, "client", ids->client);
	(void)put_route(head, n, ids->route);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	smx_log(level, "%s%s", head, text);
}

struct mux_ids ids_of_upstream(const struct upstream *up)
{
	return (struct mux_ids){
		.conn = up->link ? up->link->id : 0,
		.route = up->entry ? up->entry->route->name : NULL,
	};
}

struct mux_ids ids_of_client(const struct client *c)
{
	return (struct mux_ids){
		.client = c->link ? c->link->id : 0,
		.route = c->route || c->auth.is_done ? client_route(c) : NULL,
	};
}
