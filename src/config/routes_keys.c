/* SPDX-License-Identifier: MIT */
/* The keys of the routes file: which there are, where, and what may be in them (R3, L8). */
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/algorithms.h"
#include "config/routes_int.h"
#include "config/transport.h"

enum value_kind {
	VALUE_HOST,
	VALUE_USER,
	VALUE_PORT,
	VALUE_DEAD_AFTER,
	VALUE_BOOLEAN,
	VALUE_AGENT,
	VALUE_PATHS,
	VALUE_PROGRAM,
	VALUE_ARGV,
	VALUE_PROMPTER,
	VALUE_ENV,
	VALUE_JUMP,
	VALUE_FORWARDS,
	VALUE_REMOTE_FORWARDS,
	VALUE_THROUGH,
	VALUE_AGENT_FORWARD,
	VALUE_ALGORITHMS,
	VALUE_TABLE, /* read by the caller */
};

struct key_spec {
	const char *name;
	unsigned bit;
	unsigned sections;
	enum value_kind kind;
	size_t offset; /* in struct route_draft */
};

#define HOST_SECTIONS (SECTION_JUMP | SECTION_ROUTE)
#define ALL_SECTIONS  (SECTION_TOP | SECTION_JUMP | SECTION_ROUTE)
#define ENV_NAME_MAX  128
#define AT(member)    offsetof(struct route_draft, member)

static const struct key_spec keys[] = {
	{ "host", KEY_HOST, HOST_SECTIONS, VALUE_HOST, AT(host) },
	{ "port", KEY_PORT, HOST_SECTIONS, VALUE_PORT, AT(port) },
	{ "user", KEY_USER, HOST_SECTIONS, VALUE_USER, AT(user) },
	{ "direct", KEY_DIRECT, SECTION_ROUTE, VALUE_BOOLEAN, AT(direct) },
	{ "transport", KEY_TRANSPORT, HOST_SECTIONS, VALUE_ARGV, AT(transport) },
	{ "jump", KEY_JUMP, SECTION_ROUTE, VALUE_JUMP, AT(jump) },
	{ "allow_remote_loopback_any_port", KEY_LOOPBACK, SECTION_ROUTE, VALUE_BOOLEAN,
		AT(allow_loopback) },
	{ "default_allow_remote_loopback_any_port", KEY_LOOPBACK, SECTION_TOP, VALUE_BOOLEAN,
		AT(allow_loopback) },
	{ "forwards", KEY_FORWARDS, SECTION_ROUTE, VALUE_FORWARDS, AT(forwards) },
	{ "remote_forwards", KEY_REMOTE_FORWARDS, SECTION_ROUTE, VALUE_REMOTE_FORWARDS,
		AT(remote_forwards) },
	{ "jump_through", KEY_JUMP_THROUGH, SECTION_ROUTE, VALUE_THROUGH, AT(jump_through) },
	{ "allow_other_users", KEY_OTHER_USERS, SECTION_TOP, VALUE_BOOLEAN, AT(allow_other_users) },
	{ "send_env", KEY_SEND_ENV, SECTION_TOP | SECTION_ROUTE, VALUE_ENV, AT(send_env) },
	{ "identity", KEY_IDENTITY, ALL_SECTIONS, VALUE_PATHS, AT(identity) },
	{ "certificate", KEY_CERTIFICATE, ALL_SECTIONS, VALUE_PATHS, AT(certificate) },
	{ "identities_only", KEY_IDENTITIES_ONLY, ALL_SECTIONS, VALUE_BOOLEAN,
		AT(identities_only) },
	{ "identity_agent", KEY_IDENTITY_AGENT, ALL_SECTIONS, VALUE_AGENT, AT(identity_agent) },
	{ "unattended", KEY_UNATTENDED, ALL_SECTIONS, VALUE_BOOLEAN, AT(unattended) },
	{ "host_key_alias", KEY_ALIAS, HOST_SECTIONS, VALUE_HOST, AT(host_key_alias) },
	{ "known_hosts", KEY_KNOWN_HOSTS, ALL_SECTIONS, VALUE_PATHS, AT(known_hosts) },
	{ "update_host_keys", KEY_UPDATE_HOST_KEYS, ALL_SECTIONS, VALUE_BOOLEAN,
		AT(update_host_keys) },
	{ "algorithms", KEY_ALGORITHMS, ALL_SECTIONS, VALUE_ALGORITHMS, AT(algorithms) },
	{ "pinentry", KEY_PINENTRY, SECTION_TOP, VALUE_PROGRAM, AT(pinentry) },
	{ "prompter", KEY_PROMPTER, ALL_SECTIONS, VALUE_PROMPTER, AT(prompter) },
	{ "dead_after", KEY_DEAD_AFTER, ALL_SECTIONS, VALUE_DEAD_AFTER, AT(dead_after) },
	{ "pace", KEY_PACE, ALL_SECTIONS, VALUE_BOOLEAN, AT(pace) },
	{ "spare", KEY_SPARE, ALL_SECTIONS, VALUE_BOOLEAN, AT(spare) },
	{ "agent_forward", KEY_AGENT_FORWARD, SECTION_ROUTE, VALUE_AGENT_FORWARD, 0 },
	{ "jump", KEY_TABLE_JUMP, SECTION_TOP, VALUE_TABLE, 0 },
	{ "routes", KEY_TABLE_ROUTES, SECTION_TOP, VALUE_TABLE, 0 },
};

/* --- unknown keys ----------------------------------------------------------------- */

#define DISTANCE_MAX_LEN 63

static size_t min3(size_t a, size_t b, size_t c)
{
	if (b < a)
		a = b;
	return c < a ? c : a;
}

/* Edits (insert, delete, replace, swap neighbours) from a to b; both at most DISTANCE_MAX_LEN. */
static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	size_t row[3][DISTANCE_MAX_LEN + 1];
	size_t *before = row[0], *last = row[1], *now = row[2], *spare;

	for (size_t j = 0; j <= n_b; j++)
		last[j] = before[j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		now[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			now[j] = min3(
				last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[n_b];
}

/* The known key of this section that is most like `key`, or NULL if none is like it. */
static const char *nearest_key(const struct smx_toml *key, unsigned section)
{
	char lower[DISTANCE_MAX_LEN + 1];
	const char *best = NULL;
	size_t best_distance = SIZE_MAX, n = key->key_len;

	if (n == 0 || n > DISTANCE_MAX_LEN)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		char c = key->key[i];

		lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c == '-' ? '_' : c;
	}
	lower[n] = '\0';
	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		size_t len = strlen(keys[i].name);
		size_t limit = n < len ? n / 3 + 1 : len / 3 + 1;
		size_t distance;

		if (!(keys[i].sections & section))
			continue;
		distance = edit_distance(lower, n, keys[i].name, len);
		/* "hostname", "ProxyJump", "identity_file": a known key and then some. */
		if (distance > limit &&
			(strstr(lower, keys[i].name) || (n > 3 && strstr(keys[i].name, lower))))
			distance = limit;
		if (distance <= limit && distance < best_distance) {
			best = keys[i].name;
			best_distance = distance;
		}
	}
	return best;
}

static int fail_unknown(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, unsigned section)
{
	const char *near = nearest_key(item, section);
	char list[768] = "";
	size_t used = 0;

	if (near)
		return smx_routes_fail(p, draft, item, "unknown key; did you mean \"%s\"?", near);
	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		size_t n = strlen(keys[i].name);

		if (!(keys[i].sections & section) || used + n + 3 > sizeof(list))
			continue;
		if (used) {
			memcpy(list + used, ", ", 2);
			used += 2;
		}
		memcpy(list + used, keys[i].name, n);
		used += n;
		list[used] = '\0';
	}
	return smx_routes_fail(p, draft, item, "unknown key; the keys here are %s", list);
}

/* --- values ----------------------------------------------------------------------- */

static struct smx_view string_of(const struct smx_toml *t)
{
	return smx_view_of(t->string, t->string_len);
}

static const char *path_fault(struct smx_view path)
{
	if (path.len == 0)
		return "must not be empty";
	if (path.len > SMX_CONFIG_PATH_MAX)
		return "must not be longer than 1024 bytes";
	for (size_t i = 0; i < path.len; i++) {
		if (path.p[i] < 0x20 || path.p[i] == 0x7f)
			return "must not have control characters";
	}
	return NULL;
}

/* Of a drive, whatever system this is: "C:\..." or "C:/...". */
static int is_drive_path(struct smx_view v)
{
	return v.len >= 3 && ((v.p[0] | 0x20) >= 'a' && (v.p[0] | 0x20) <= 'z') && v.p[1] == ':' &&
	       (v.p[2] == '\\' || v.p[2] == '/');
}

/* A program is never looked for in PATH. */
static const char *program_fault(struct smx_view v)
{
	const char *fault = path_fault(v);

	if (fault || smx_view_eq(v, "none"))
		return fault;
	return v.p[0] == '/' || is_drive_path(v) ? NULL : "must be an absolute path, or \"none\"";
}

/* A10: a path or a word, or a variable's name behind a "$". */
static const char *agent_fault(struct smx_view v)
{
	static const char right[] = "must have the name of an environment variable after \"$\"";

	if (v.len == 0 || v.p[0] != '$')
		return path_fault(v);
	if (v.len == 1 || v.len > ENV_NAME_MAX || (v.p[1] >= '0' && v.p[1] <= '9'))
		return right;
	for (size_t i = 1; i < v.len; i++)
		if (!((v.p[i] | 0x20) >= 'a' && (v.p[i] | 0x20) <= 'z') &&
			!(v.p[i] >= '0' && v.p[i] <= '9') && v.p[i] != '_')
			return right;
	return NULL;
}

/* The fault of an item's string; the item must be one. */
static const char *string_fault(enum value_kind kind, struct smx_view v)
{
	switch (kind) {
	case VALUE_HOST:
		return smx_host_fault(v);
	case VALUE_USER:
		return smx_user_fault(v);
	case VALUE_ENV:
		return smx_send_env_fault(v);
	case VALUE_PROGRAM:
		return program_fault(v);
	case VALUE_AGENT:
		return agent_fault(v);
	default:
		return path_fault(v);
	}
}

static int read_string(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, enum value_kind kind, char **to)
{
	const char *fault;

	if (item->type != SMX_TOML_STRING)
		return smx_routes_fail(
			p, draft, item, "must be a string, not %s", smx_toml_type_name(item->type));
	if ((fault = string_fault(kind, string_of(item))) != NULL)
		return smx_routes_fail(p, draft, item, "%s", fault);
	*to = kind == VALUE_HOST ? smx_host_dup(item->string) : smx_strdup(item->string);
	return *to ? 0 : SMX_ENOMEM;
}

/* A string, or an array of strings. */
static int read_strings(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, enum value_kind kind, struct smx_strings *to)
{
	size_t max = kind == VALUE_ENV ? SMX_SEND_ENV_MAX : SMX_IDENTITIES_MAX;
	size_t n = item->type == SMX_TOML_ARRAY ? item->n_items : 1;
	const char *fault;
	int r;

	if (n > max)
		return smx_routes_fail(p, draft, item, "has more than %u items", (unsigned)max);
	for (size_t i = 0; i < n; i++) {
		const struct smx_toml *one = item->type == SMX_TOML_ARRAY ? item->items[i] : item;

		if (one->type != SMX_TOML_STRING)
			return smx_routes_fail(p, draft, item,
				"must be a string or an array of strings, not %s%s%s",
				one == item ? "" : "an array with ", smx_toml_type_name(one->type),
				one == item ? "" : " in it");
		if ((fault = string_fault(kind, string_of(one))) != NULL)
			return smx_routes_fail(p, draft, item, "\"%.64s\" %s", one->string, fault);
		if ((r = smx_strings_add(to, one->string)) != 0)
			return r;
	}
	return 0;
}

static int read_integer(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, unsigned min, unsigned max, unsigned *to)
{
	if (item->type != SMX_TOML_INTEGER)
		return smx_routes_fail(p, draft, item, "must be an integer from %u to %u, not %s",
			min, max, smx_toml_type_name(item->type));
	if (item->integer < min || item->integer > max)
		return smx_routes_fail(p, draft, item, "must be from %u to %u", min, max);
	*to = (unsigned)item->integer;
	return 0;
}

static int read_boolean(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, int *to)
{
	if (item->type != SMX_TOML_BOOLEAN)
		return smx_routes_fail(p, draft, item, "must be true or false, not %s",
			smx_toml_type_name(item->type));
	*to = item->boolean;
	return 0;
}

static int read_prompter(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, enum smx_prompter *to)
{
	static const char right[] = "must be \"native\" or \"powershell\"";

	if (item->type != SMX_TOML_STRING)
		return smx_routes_fail(
			p, draft, item, "%s, not %s", right, smx_toml_type_name(item->type));
	if (smx_view_eq(string_of(item), "native"))
		*to = SMX_PROMPTER_NATIVE;
	else if (smx_view_eq(string_of(item), "powershell"))
		*to = SMX_PROMPTER_POWERSHELL;
	else
		return smx_routes_fail(p, draft, item, "%s", right);
	return 0;
}

/* Only its shape; the names are looked up when all routes are there. */
static int read_jump(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, const struct smx_toml **to)
{
	static const char right[] = "must be the name of a route, \"none\", or an array of names";

	if (item->type != SMX_TOML_STRING && item->type != SMX_TOML_ARRAY)
		return smx_routes_fail(
			p, draft, item, "%s, not %s", right, smx_toml_type_name(item->type));
	for (size_t i = 0; i < item->n_items; i++) {
		if (item->items[i]->type != SMX_TOML_STRING)
			return smx_routes_fail(p, draft, item, "%s", right);
	}
	if (item->type == SMX_TOML_ARRAY && item->n_items == 0)
		return smx_routes_fail(
			p, draft, item, "must not be empty; write \"none\" for no jump host");
	*to = item;
	return 0;
}

static const char agent_right[] = "must be true, false, \"confirm\", or keys: fingerprints "
				  "(\"SHA256:...\") or files of public "
				  "keys";

/* Of a key that may be lent: a fingerprint as ssh-add -l shows it, or a file. */
static int is_agent_key(struct smx_view v)
{
	static const char prefix[] = "SHA256:";
	size_t n = sizeof(prefix) - 1;

	if (v.len < n || memcmp(v.p, prefix, n) != 0)
		return path_fault(v) == NULL &&
		       (v.p[0] == '/' || is_drive_path(v) ||
			       (v.len > 2 && v.p[0] == '~' && (v.p[1] == '/' || v.p[1] == '\\')));
	if (v.len != n + 43)
		return 0;
	for (size_t i = n; i < v.len; i++) {
		uint8_t c = v.p[i];

		if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') &&
			c != '+' && c != '/')
			return 0;
	}
	return 1;
}

/* B4. A list of keys may have "confirm" among them. */
static int read_agent_forward(
	struct routes_parser *p, struct route_draft *draft, const struct smx_toml *item)
{
	size_t n = item->type == SMX_TOML_ARRAY ? item->n_items : 1;
	int r;

	if (item->type == SMX_TOML_BOOLEAN) {
		draft->agent_is_allowed = item->boolean;
		return 0;
	}
	if (n == 0 || n > SMX_AGENT_NAMES_MAX)
		return smx_routes_fail(p, draft, item,
			"must have 1 to %d items; write false for none", SMX_AGENT_NAMES_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct smx_toml *one = item->type == SMX_TOML_ARRAY ? item->items[i] : item;

		if (one->type != SMX_TOML_STRING)
			return smx_routes_fail(p, draft, item, "%s, not %s", agent_right,
				smx_toml_type_name(one->type));
		if (smx_view_eq(string_of(one), "confirm"))
			draft->agent_must_confirm = 1;
		else if (!is_agent_key(string_of(one)))
			return smx_routes_fail(
				p, draft, item, "\"%.64s\": %s", one->string, agent_right);
		else if ((r = smx_strings_add(&draft->agent_keys, one->string)) != 0)
			return r;
	}
	draft->agent_is_allowed = 1;
	return 0;
}

/* R7: a program and its arguments. */
static int read_argv(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, struct smx_strings *to)
{
	const char *fault;
	int r = 0;

	if (item->type != SMX_TOML_ARRAY || item->n_items == 0)
		return smx_routes_fail(p, draft, item,
			"must be an array of a program and its arguments, as [\"nc\", \"%%h\", "
			"\"%%p\"]");
	if (item->n_items > SMX_TRANSPORT_WORDS_MAX)
		return smx_routes_fail(
			p, draft, item, "has more than %d words", SMX_TRANSPORT_WORDS_MAX);
	for (size_t i = 0; r == 0 && i < item->n_items; i++) {
		const struct smx_toml *one = item->items[i];

		if (one->type != SMX_TOML_STRING)
			return smx_routes_fail(p, draft, item, "must have strings only, not %s",
				smx_toml_type_name(one->type));
		if ((fault = smx_transport_fault(string_of(one), i == 0)) != NULL)
			return smx_routes_fail(p, draft, item, "\"%.64s\" %s", one->string, fault);
		r = smx_strings_push(to, one->string);
	}
	return r;
}

/* A16. */
static int read_algorithms(struct routes_parser *p, const struct route_draft *draft,
	const struct smx_toml *item, char **to)
{
	struct smx_buf why;
	int r;

	if (item->type != SMX_TOML_STRING)
		return smx_routes_fail(p, draft, item,
			"must be a string, as \"+hmac-sha1\", not %s",
			smx_toml_type_name(item->type));
	smx_buf_init(&why, SMX_ROUTES_ERROR_MAX);
	if (smx_algorithms_check(string_of(item), &why) != 0)
		r = smx_routes_fail(p, draft, item, "%s",
			smx_buf_cstr(&why) ? smx_buf_cstr(&why) : "is not right");
	else
		r = (*to = smx_strdup(item->string)) ? 0 : SMX_ENOMEM;
	smx_buf_release(&why);
	return r;
}

static int read_value(struct routes_parser *p, struct route_draft *draft,
	const struct smx_toml *item, const struct key_spec *spec)
{
	void *to = (char *)draft + spec->offset;

	switch (spec->kind) {
	case VALUE_HOST:
	case VALUE_USER:
	case VALUE_AGENT:
	case VALUE_PROGRAM:
		return read_string(p, draft, item, spec->kind, to);
	case VALUE_PATHS:
	case VALUE_ENV:
		return read_strings(p, draft, item, spec->kind, to);
	case VALUE_PORT:
		return read_integer(p, draft, item, 1, 65535, to);
	case VALUE_DEAD_AFTER:
		return read_integer(p, draft, item, SMX_DEAD_AFTER_MIN_S, SMX_DEAD_AFTER_MAX_S, to);
	case VALUE_BOOLEAN:
		return read_boolean(p, draft, item, to);
	case VALUE_PROMPTER:
		return read_prompter(p, draft, item, to);
	case VALUE_ARGV:
		draft->transport_at = item;
		return read_argv(p, draft, item, to);
	case VALUE_JUMP:
		return read_jump(p, draft, item, to);
	case VALUE_FORWARDS:
		return smx_routes_read_forwards(p, draft, item, SMX_FORWARD_CONNECT, to);
	case VALUE_REMOTE_FORWARDS:
		return smx_routes_read_forwards(p, draft, item, SMX_FORWARD_LISTEN, to);
	case VALUE_THROUGH:
		return smx_routes_read_through(p, draft, item, to);
	case VALUE_AGENT_FORWARD:
		return read_agent_forward(p, draft, item);
	case VALUE_ALGORITHMS:
		return read_algorithms(p, draft, item, to);
	case VALUE_TABLE:
		if (item->type != SMX_TOML_TABLE)
			return smx_routes_fail(p, draft, item, "must be a table, not %s",
				smx_toml_type_name(item->type));
		return 0;
	}
	return SMX_EINVAL;
}

static const struct key_spec *find_key(const struct smx_toml *item, unsigned section)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		if ((keys[i].sections & section) && item->key_len == strlen(keys[i].name) &&
			memcmp(item->key, keys[i].name, item->key_len) == 0)
			return &keys[i];
	}
	return NULL;
}

int smx_routes_read_keys(struct routes_parser *p, struct route_draft *draft, unsigned section)
{
	const struct smx_toml *table = draft->node;
	int r = 0;

	for (size_t i = 0; smx_routes_goes_on(p, r) && i < table->n_items; i++) {
		const struct smx_toml *item = table->items[i];
		const struct key_spec *spec = find_key(item, section);

		r = spec ? read_value(p, draft, item, spec) : fail_unknown(p, draft, item, section);
		if (spec)
			draft->present |= spec->bit;
	}
	return r;
}
