/* SPDX-License-Identifier: MIT */
/* What a guest may know of the connection that it shares (W2): that of its route, and no other. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "mux/core/snapshot.h"
#include "mux/doors/guest.h"

#define KEY_SIZE 4096

/* As snapshot.c has it: what the connections of a route are pooled under. 0: it is not there. */
static int key_of(const struct smx_status *st, const char *route, char *out, size_t size)
{
	for (size_t i = 0; i < st->route_count; i++) {
		const struct smx_status_route *r = &st->routes[i];

		if (strcmp(r->name, route) != 0)
			continue;
		(void)snprintf(out, size, "%s%s%s", r->target, *r->via ? " via " : "", r->via);
		return 1;
	}
	return 0;
}

static int put_connection(struct smx_buf *out, const struct smx_status_connection *c)
{
	return smx_buf_printf(out,
		"  connection %llu: %s for %llu s, %llu channels, %llu bytes in, %llu bytes "
		"out\r\n",
		(unsigned long long)c->id, c->state, (unsigned long long)c->age_s,
		(unsigned long long)c->channels, (unsigned long long)c->bytes_in,
		(unsigned long long)c->bytes_out);
}

static int put_connections(struct smx_buf *out, const struct smx_status *st, const char *route)
{
	char key[KEY_SIZE];
	size_t n = 0;
	int r;

	if (!key_of(st, route, key, sizeof(key)))
		return smx_buf_printf(out, "The route %s is gone\r\n", route);
	r = smx_buf_printf(out,
		"Connection information for ssh-mux %s pid %lld\r\n  route %s: %s\r\n", st->version,
		(long long)st->pid, route, key);
	for (size_t i = 0; r == 0 && i < st->connection_count; i++) {
		if (strcmp(st->connections[i].key, key) != 0)
			continue;
		r = put_connection(out, &st->connections[i]);
		n++;
	}
	return r == 0 && n == 0 ? smx_buf_printf(out, "  not logged in\r\n") : r;
}

static int put_channels(struct smx_buf *out, const struct smx_status *st, const char *route)
{
	int r = smx_buf_printf(out, "The following connections are open:\r\n");

	for (size_t i = 0; r == 0 && i < st->channel_count; i++) {
		const struct smx_status_channel *c = &st->channels[i];

		if (strcmp(c->route, route) == 0)
			r = smx_buf_printf(out,
				"  #%llu %s (%s, connection %llu, client %llu, %llu bytes in, %llu "
				"bytes out)\r\n",
				(unsigned long long)c->id, c->kind, c->state,
				(unsigned long long)c->connection, (unsigned long long)c->client,
				(unsigned long long)c->bytes_in, (unsigned long long)c->bytes_out);
	}
	return r;
}

void guest_inform(struct guest *g, const struct smx_mux4_request *req)
{
	struct smx_status st;
	struct smx_buf text;
	int is_known = 1, r = snapshot_take(g->mux, &st);

	if (r != 0) {
		guest_replied(g, smx_mux4_put_failure(&g->out, req->id, smx_strerror(r)));
		return;
	}
	smx_buf_init(&text, SMX_MUX4_INFO_MAX);
	if (smx_view_eq(req->about, "connection"))
		r = put_connections(&text, &st, g->route->name);
	else if (smx_view_eq(req->about, "channels"))
		r = put_channels(&text, &st, g->route->name);
	else
		is_known = 0;
	smx_status_release(&st);
	/* SMX_ELIMIT: there are more than fit, which is no reason to show none. */
	if (is_known && ((r != 0 && r != SMX_ELIMIT) || !smx_buf_cstr(&text)))
		guest_replied(g, smx_mux4_put_failure(&g->out, req->id, smx_strerror(SMX_ENOMEM)));
	else
		guest_replied(
			g, smx_mux4_put_info(&g->out, req->id, is_known,
				   is_known ? smx_buf_cstr(&text) : "this is not known here\r\n"));
	smx_buf_release(&text);
}
