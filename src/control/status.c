/* SPDX-License-Identifier: MIT */
#include "control/status.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "control/protocol.h"
#include "control/text.h"

/* ---- the snapshot ------------------------------------------------------------------------------
 */

void smx_status_init(struct smx_status *st)
{
	*st = (struct smx_status){ .pid = -1 };
}

/* Strings of the snapshot are ours, though their users may not write to them. */
static void free_text(const char *s)
{
	smx_free((void *)(uintptr_t)s);
}

static void release_route(struct smx_status_route *r)
{
	free_text(r->name);
	free_text(r->target);
	free_text(r->via);
	free_text(r->control);
}

static void release_connection(struct smx_status_connection *c)
{
	free_text(c->key);
	free_text(c->identity);
	free_text(c->state);
	free_text(c->path.down_mode);
	free_text(c->path.up_mode);
}

static void release_channel(struct smx_status_channel *c)
{
	free_text(c->route);
	free_text(c->kind);
	free_text(c->state);
}

void smx_status_release(struct smx_status *st)
{
	for (size_t i = 0; i < st->warning_count; i++)
		smx_free(st->warnings[i]);
	for (size_t i = 0; i < st->route_count; i++)
		release_route(&st->routes[i]);
	for (size_t i = 0; i < st->connection_count; i++)
		release_connection(&st->connections[i]);
	for (size_t i = 0; i < st->client_count; i++)
		free_text(st->clients[i].route);
	for (size_t i = 0; i < st->channel_count; i++)
		release_channel(&st->channels[i]);
	smx_free(st->warnings);
	smx_free(st->routes);
	smx_free(st->connections);
	smx_free(st->clients);
	smx_free(st->channels);
	smx_free(st->version);
	smx_free(st->ssh_dir);
	smx_free(st->other_users);
	smx_free(st->confined);
	smx_status_init(st);
}

/* A clean copy of at most max bytes of a text that may be NULL. */
static char *copy_start(const char *s, size_t max)
{
	char clean[SMX_STATUS_TEXT_MAX + 1];

	smx_control_clean_text(s ? s : "", s ? strlen(s) : 0, clean, max);
	return smx_strdup(clean);
}

static char *copy_text(const char *s)
{
	return copy_start(s, SMX_STATUS_TEXT_MAX);
}

int smx_status_set_daemon(struct smx_status *st, const char *version, const char *ssh_dir,
	const char *other_users, const char *confined)
{
	char *v = copy_text(version), *d = copy_text(ssh_dir), *o = copy_text(other_users);
	char *c = copy_start(confined, SMX_STATUS_CONFINED_MAX);

	if (!v || !d || !o || !c) {
		smx_free(c);
		smx_free(v);
		smx_free(d);
		smx_free(o);
		return SMX_ENOMEM;
	}
	smx_free(st->version);
	smx_free(st->ssh_dir);
	smx_free(st->other_users);
	smx_free(st->confined);
	st->confined = c;
	st->version = v;
	st->ssh_dir = d;
	st->other_users = o;
	return 0;
}

/* Room for one more item in an array. 1: there is; 0: it has as many as it may have, counted. */
static int make_room(
	struct smx_status *st, void *array, size_t count, size_t *cap, size_t max, size_t item_size)
{
	void *p, *old;
	size_t want;

	if (count < *cap)
		return 1;
	if (count >= max) {
		st->omitted++;
		return 0;
	}
	want = *cap ? *cap * 2 : 8;
	if (want > max)
		want = max;
	memcpy(&old, array, sizeof(old));
	if ((p = smx_realloc(old, want * item_size)) == NULL)
		return SMX_ENOMEM;
	memcpy(array, &p, sizeof(p));
	*cap = want;
	return 1;
}

int smx_status_add_warning(struct smx_status *st, const char *text)
{
	int r = make_room(st, &st->warnings, st->warning_count, &st->warning_cap,
		SMX_STATUS_WARNINGS_MAX, sizeof(*st->warnings));
	char *copy;

	if (r <= 0)
		return r;
	if ((copy = copy_text(text)) == NULL)
		return SMX_ENOMEM;
	st->warnings[st->warning_count++] = copy;
	return 0;
}

int smx_status_add_route(struct smx_status *st, const struct smx_status_route *route)
{
	int r = make_room(st, &st->routes, st->route_count, &st->route_cap, SMX_STATUS_ROUTES_MAX,
		sizeof(*st->routes));
	struct smx_status_route copy = *route;

	if (r <= 0)
		return r;
	copy.name = copy_text(route->name);
	copy.target = copy_text(route->target);
	copy.via = copy_text(route->via);
	copy.control = copy_text(route->control);
	if (!copy.name || !copy.target || !copy.via || !copy.control) {
		release_route(&copy);
		return SMX_ENOMEM;
	}
	st->routes[st->route_count++] = copy;
	return 0;
}

int smx_status_add_connection(struct smx_status *st, const struct smx_status_connection *c)
{
	int r = make_room(st, &st->connections, st->connection_count, &st->connection_cap,
		SMX_STATUS_CONNECTIONS_MAX, sizeof(*st->connections));
	struct smx_status_connection copy = *c;

	if (r <= 0)
		return r;
	copy.key = copy_text(c->key);
	copy.identity = copy_text(c->identity);
	copy.state = copy_text(c->state);
	copy.path.down_mode = copy_start(c->path.down_mode, SMX_STATUS_MODE_MAX);
	copy.path.up_mode = copy_start(c->path.up_mode, SMX_STATUS_MODE_MAX);
	if (!copy.key || !copy.identity || !copy.state || !copy.path.down_mode ||
		!copy.path.up_mode) {
		release_connection(&copy);
		return SMX_ENOMEM;
	}
	st->connections[st->connection_count++] = copy;
	return 0;
}

int smx_status_add_client(struct smx_status *st, const struct smx_status_client *c)
{
	int r = make_room(st, &st->clients, st->client_count, &st->client_cap,
		SMX_STATUS_CLIENTS_MAX, sizeof(*st->clients));
	struct smx_status_client copy = *c;

	if (r <= 0)
		return r;
	if ((copy.route = copy_text(c->route)) == NULL)
		return SMX_ENOMEM;
	st->clients[st->client_count++] = copy;
	return 0;
}

int smx_status_add_channel(struct smx_status *st, const struct smx_status_channel *c)
{
	int r = make_room(st, &st->channels, st->channel_count, &st->channel_cap,
		SMX_STATUS_CHANNELS_MAX, sizeof(*st->channels));
	struct smx_status_channel copy = *c;

	if (r <= 0)
		return r;
	copy.route = copy_text(c->route);
	copy.kind = copy_text(c->kind);
	copy.state = copy_text(c->state);
	if (!copy.route || !copy.kind || !copy.state) {
		release_channel(&copy);
		return SMX_ENOMEM;
	}
	st->channels[st->channel_count++] = copy;
	return 0;
}

/* ---- fields ------------------------------------------------------------------------------------
 */

/*
 * Every item is a table of its members, so that writing and reading can't drift apart. A missing
 * integer is 0, or -1 where that has a meaning.
 */
enum field_type { FIELD_TEXT, FIELD_BOOL, FIELD_COUNT, FIELD_SIGNED };

struct field {
	const char *key;
	enum field_type type;
	size_t offset;
};

/* clang-format off */
#define FIELD(s, type, member) { #member, FIELD_##type, offsetof(struct smx_##s, member) }
/* clang-format on */

static const struct field daemon_fields[] = {
	FIELD(status, TEXT, version),
	FIELD(status, SIGNED, pid),
	FIELD(status, COUNT, uptime_s),
	FIELD(status, BOOL, locked),
	/* port is narrower: by hand */
	FIELD(status, TEXT, other_users),
	FIELD(status, TEXT, confined),
	FIELD(status, TEXT, ssh_dir),
	FIELD(status, COUNT, omitted),
};

static const struct field route_fields[] = {
	FIELD(status_route, TEXT, name),
	FIELD(status_route, TEXT, target),
	FIELD(status_route, TEXT, via),
	FIELD(status_route, BOOL, loopback),
	FIELD(status_route, TEXT, control),
};

static const struct field connection_fields[] = {
	FIELD(status_connection, COUNT, id),
	FIELD(status_connection, TEXT, key),
	FIELD(status_connection, TEXT, identity),
	FIELD(status_connection, TEXT, state),
	FIELD(status_connection, COUNT, stalled_s),
	FIELD(status_connection, COUNT, age_s),
	FIELD(status_connection, COUNT, channels),
	FIELD(status_connection, COUNT, spares),
	FIELD(status_connection, COUNT, bytes_in),
	FIELD(status_connection, COUNT, bytes_out),
	FIELD(status_connection, SIGNED, rtt_ms),
	FIELD(status_connection, SIGNED, idle_left_s),
	FIELD(status_connection, SIGNED, lifetime_left_s),
};

/* In a connection, as its member "path". */
static const struct field path_fields[] = {
	FIELD(status_path, BOOL, paced),
	FIELD(status_path, COUNT, least_rtt_us),
	FIELD(status_path, COUNT, down_rate),
	FIELD(status_path, COUNT, up_rate),
	FIELD(status_path, COUNT, down_window),
	FIELD(status_path, COUNT, up_window),
	FIELD(status_path, TEXT, down_mode),
	FIELD(status_path, TEXT, up_mode),
};

static const struct field client_fields[] = {
	FIELD(status_client, COUNT, id),
	FIELD(status_client, TEXT, route),
	FIELD(status_client, COUNT, age_s),
	FIELD(status_client, COUNT, channels),
	FIELD(status_client, SIGNED, pid),
};

static const struct field channel_fields[] = {
	FIELD(status_channel, COUNT, id),
	FIELD(status_channel, COUNT, connection),
	FIELD(status_channel, COUNT, client),
	FIELD(status_channel, TEXT, route),
	FIELD(status_channel, TEXT, kind),
	FIELD(status_channel, TEXT, state),
	FIELD(status_channel, COUNT, age_s),
	FIELD(status_channel, COUNT, bytes_in),
	FIELD(status_channel, COUNT, bytes_out),
};

static int64_t clamp(uint64_t v)
{
	return v > (uint64_t)SMX_CONTROL_INT_MAX ? SMX_CONTROL_INT_MAX : (int64_t)v;
}

static int put_field(json_t *o, const struct field *f, const void *item)
{
	const char *at = (const char *)item + f->offset;
	const char *text;
	uint64_t count;
	int64_t number;
	int flag;

	switch (f->type) {
	case FIELD_TEXT:
		memcpy(&text, at, sizeof(text));
		return smx_control_set_text(o, f->key, text, SMX_STATUS_TEXT_MAX);
	case FIELD_BOOL:
		memcpy(&flag, at, sizeof(flag));
		return smx_control_set_bool(o, f->key, flag);
	case FIELD_COUNT:
		memcpy(&count, at, sizeof(count));
		return smx_control_set_int(o, f->key, clamp(count));
	case FIELD_SIGNED:
		memcpy(&number, at, sizeof(number));
		return smx_control_set_int(o, f->key, number < 0 ? -1 : clamp((uint64_t)number));
	}
	return SMX_EINVAL;
}

/* item: zeroed. Its texts are borrowed from the object. */
static int get_field(const json_t *o, const struct field *f, void *item)
{
	char *at = (char *)item + f->offset;
	const char *text = "";
	int64_t number = f->type == FIELD_SIGNED ? -1 : 0;
	uint64_t count;
	int flag = 0, r;

	switch (f->type) {
	case FIELD_TEXT:
		r = smx_control_get_string(o, f->key, &text);
		memcpy(at, &text, sizeof(text));
		break;
	case FIELD_BOOL:
		r = smx_control_get_bool(o, f->key, &flag);
		memcpy(at, &flag, sizeof(flag));
		break;
	case FIELD_COUNT:
		r = smx_control_get_int(o, f->key, 0, SMX_CONTROL_INT_MAX, &number);
		count = (uint64_t)number;
		memcpy(at, &count, sizeof(count));
		break;
	default:
		r = smx_control_get_int(o, f->key, -1, SMX_CONTROL_INT_MAX, &number);
		memcpy(at, &number, sizeof(number));
		break;
	}
	return smx_control_optional(r);
}

static int put_fields(json_t *o, const struct field *fields, size_t count, const void *item)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = put_field(o, &fields[i], item);
	return r;
}

static int get_fields(const json_t *o, const struct field *fields, size_t count, void *item)
{
	int r = 0;

	if (!json_is_object(o))
		return SMX_EFORMAT;
	for (size_t i = 0; i < count && r == 0; i++)
		r = get_field(o, &fields[i], item);
	return r;
}

/* A new object with the fields of item. */
static int make_item(
	const struct field *fields, size_t count, const void *item, json_t **ret_object)
{
	json_t *o = json_object();
	int r = o ? put_fields(o, fields, count, item) : SMX_ENOMEM;

	if (r == 0)
		*ret_object = o;
	else
		json_decref(o);
	return r;
}

static int make_connection(const struct smx_status_connection *c, json_t **ret_object)
{
	json_t *o = NULL, *path = NULL;
	int r = make_item(connection_fields, SMX_ARRAY_LEN(connection_fields), c, &o);

	if (r == 0)
		r = make_item(path_fields, SMX_ARRAY_LEN(path_fields), &c->path, &path);
	if (r == 0 && json_object_set(o, "path", path) != 0)
		r = SMX_ENOMEM;
	json_decref(path);
	if (r == 0)
		*ret_object = o;
	else
		json_decref(o);
	return r;
}

static int put_daemon(json_t *o, const struct smx_status *st)
{
	int r = put_fields(o, daemon_fields, SMX_ARRAY_LEN(daemon_fields), st);

	return r != 0 ? r : smx_control_set_int(o, "port", st->port);
}

/* ---- writing -----------------------------------------------------------------------------------
 */

/* {"id":…,"ok":true,"more":true,key:value}; takes value over, which may be NULL (no memory). */
static int put_item_line(struct smx_buf *out, int64_t id, const char *key, json_t *value)
{
	json_t *o = json_object();
	int r;

	if (!o || !value) {
		r = SMX_ENOMEM;
	} else if ((r = smx_control_set_int(o, "id", id)) == 0 &&
		   (r = smx_control_set_bool(o, "ok", 1)) == 0 &&
		   (r = smx_control_set_bool(o, "more", 1)) == 0) {
		r = json_object_set(o, key, value) == 0 ? smx_control_line_dump(out, o)
							: SMX_ENOMEM;
	}
	json_decref(value);
	json_decref(o);
	return r;
}

static int put_fields_line(struct smx_buf *out, int64_t id, const char *key,
	const struct field *fields, size_t count, const void *item)
{
	json_t *o = NULL;
	int r = make_item(fields, count, item, &o);

	return r != 0 ? r : put_item_line(out, id, key, o);
}

static int put_connection_line(
	struct smx_buf *out, int64_t id, const struct smx_status_connection *c)
{
	json_t *o = NULL;
	int r = make_connection(c, &o);

	return r != 0 ? r : put_item_line(out, id, "connection", o);
}

static int put_lines(struct smx_buf *out, int64_t id, const struct smx_status *st)
{
	json_t *daemon = json_object();
	int r;

	if (!daemon || (r = put_daemon(daemon, st)) != 0) {
		json_decref(daemon);
		return SMX_ENOMEM;
	}
	r = put_item_line(out, id, "daemon", daemon);
	for (size_t i = 0; i < st->warning_count && r == 0; i++)
		r = put_item_line(out, id, "warning", json_string(st->warnings[i]));
	for (size_t i = 0; i < st->route_count && r == 0; i++)
		r = put_fields_line(out, id, "route", route_fields, SMX_ARRAY_LEN(route_fields),
			&st->routes[i]);
	for (size_t i = 0; i < st->connection_count && r == 0; i++)
		r = put_connection_line(out, id, &st->connections[i]);
	for (size_t i = 0; i < st->client_count && r == 0; i++)
		r = put_fields_line(out, id, "client", client_fields, SMX_ARRAY_LEN(client_fields),
			&st->clients[i]);
	for (size_t i = 0; i < st->channel_count && r == 0; i++)
		r = put_fields_line(out, id, "channel", channel_fields,
			SMX_ARRAY_LEN(channel_fields), &st->channels[i]);
	return r != 0 ? r : smx_control_ok_build(out, id);
}

int smx_status_to_lines(struct smx_buf *out, int64_t id, const struct smx_status *st)
{
	size_t before = smx_buf_len(out);
	int r;

	smx_control_use_mem();
	if ((r = put_lines(out, id, st)) != 0)
		smx_buf_truncate(out, before);
	return r;
}

/* Takes item over, which may be NULL. */
static int array_add(json_t *array, json_t *item)
{
	return item && json_array_append_new(array, item) == 0 ? 0 : SMX_ENOMEM;
}

/* A new array member of o, which owns it; NULL without memory. */
static json_t *add_array(json_t *o, const char *key)
{
	json_t *array = json_array();

	return array && json_object_set_new(o, key, array) == 0 ? array : NULL;
}

static int add_items(json_t *o, const char *key, const struct field *fields, size_t field_count,
	const void *items, size_t item_size, size_t count)
{
	json_t *array = add_array(o, key), *item = NULL;
	int r = array ? 0 : SMX_ENOMEM;

	for (size_t i = 0; i < count && r == 0; i++) {
		r = make_item(fields, field_count, (const char *)items + i * item_size, &item);
		if (r == 0)
			r = array_add(array, item);
	}
	return r;
}

static int add_connections(json_t *o, const struct smx_status *st)
{
	json_t *array = add_array(o, "connections"), *item = NULL;
	int r = array ? 0 : SMX_ENOMEM;

	for (size_t i = 0; i < st->connection_count && r == 0; i++) {
		r = make_connection(&st->connections[i], &item);
		if (r == 0)
			r = array_add(array, item);
	}
	return r;
}

static int add_warnings(json_t *o, const struct smx_status *st)
{
	json_t *array = add_array(o, "warnings");
	int r = array ? 0 : SMX_ENOMEM;

	for (size_t i = 0; i < st->warning_count && r == 0; i++)
		r = array_add(array, json_string(st->warnings[i]));
	return r;
}

int smx_status_to_json(struct smx_buf *out, const struct smx_status *st)
{
	json_t *o;
	int r;

	smx_control_use_mem();
	if ((o = json_object()) == NULL)
		return SMX_ENOMEM;
	if ((r = put_daemon(o, st)) == 0 && (r = add_warnings(o, st)) == 0 &&
		(r = add_items(o, "routes", route_fields, SMX_ARRAY_LEN(route_fields), st->routes,
			 sizeof(*st->routes), st->route_count)) == 0 &&
		(r = add_connections(o, st)) == 0 &&
		(r = add_items(o, "clients", client_fields, SMX_ARRAY_LEN(client_fields),
			 st->clients, sizeof(*st->clients), st->client_count)) == 0 &&
		(r = add_items(o, "channels", channel_fields, SMX_ARRAY_LEN(channel_fields),
			 st->channels, sizeof(*st->channels), st->channel_count)) == 0)
		r = smx_control_json_dump(out, o);
	json_decref(o);
	return r;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static int take_daemon(struct smx_status *st, const json_t *o)
{
	struct smx_status got = { .port = 0 };
	int64_t port = 0;
	int r;

	if ((r = get_fields(o, daemon_fields, SMX_ARRAY_LEN(daemon_fields), &got)) != 0 ||
		(r = smx_control_optional(smx_control_get_int(o, "port", 0, 65535, &port))) != 0 ||
		(r = smx_status_set_daemon(
			 st, got.version, got.ssh_dir, got.other_users, got.confined)) != 0)
		return r;
	st->pid = got.pid;
	st->uptime_s = got.uptime_s;
	st->locked = got.locked;
	st->omitted = got.omitted;
	st->port = (uint32_t)port;
	return 0;
}

static int take_connection(struct smx_status *st, const json_t *o)
{
	struct smx_status_connection got = { 0 };
	const json_t *path;
	int r = get_fields(o, connection_fields, SMX_ARRAY_LEN(connection_fields), &got);

	if (r == 0 && (path = json_object_get(o, "path")) != NULL)
		r = get_fields(path, path_fields, SMX_ARRAY_LEN(path_fields), &got.path);
	return r != 0 ? r : smx_status_add_connection(st, &got);
}

static int take_item(struct smx_status *st, const json_t *root)
{
	struct smx_status_client client = { 0 };
	struct smx_status_channel channel = { 0 };
	struct smx_status_route route = { 0 };
	const json_t *o;
	const char *text;
	int r;

	if ((o = json_object_get(root, "daemon")) != NULL)
		return take_daemon(st, o);
	if ((o = json_object_get(root, "route")) != NULL) {
		r = get_fields(o, route_fields, SMX_ARRAY_LEN(route_fields), &route);
		return r != 0 ? r : smx_status_add_route(st, &route);
	}
	if ((o = json_object_get(root, "connection")) != NULL)
		return take_connection(st, o);
	if ((o = json_object_get(root, "client")) != NULL) {
		r = get_fields(o, client_fields, SMX_ARRAY_LEN(client_fields), &client);
		return r != 0 ? r : smx_status_add_client(st, &client);
	}
	if ((o = json_object_get(root, "channel")) != NULL) {
		r = get_fields(o, channel_fields, SMX_ARRAY_LEN(channel_fields), &channel);
		return r != 0 ? r : smx_status_add_channel(st, &channel);
	}
	r = smx_control_get_string(root, "warning", &text);
	if (r == 0)
		return smx_status_add_warning(st, text);
	return smx_control_optional(r);
}

int smx_status_from_line(struct smx_status *st, struct smx_view line)
{
	int r, ok = 0, more = 0;
	json_t *root;

	if ((r = smx_control_json_parse(line, &root)) != 0)
		return r;
	if (smx_control_get_bool(root, "ok", &ok) != 0 || !ok)
		r = SMX_EFORMAT;
	else if ((r = smx_control_optional(smx_control_get_bool(root, "more", &more))) == 0)
		r = take_item(st, root);
	json_decref(root);
	return r != 0 ? r : !more;
}
