/* SPDX-License-Identifier: MIT */
#include "config/forward.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/names.h"
#include "trust/pattern.h"

#define RULE_MAX  (SMX_HOST_MAX + 32) /* of an item */
#define PORT_MAX  65535
#define N_GROUPS  8 /* of an IPv6 address */
#define LOCALHOST "localhost"

/* What is wrong, for people. */
struct complaint {
	char *text;
	size_t size;
};

static int wrong(const struct complaint *c, const char *what)
{
	(void)snprintf(c->text, c->size, "%s", what);
	return SMX_ESYNTAX;
}

static char lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static int same_name(struct smx_view a, const char *b)
{
	if (a.len != strlen(b))
		return 0;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.p[i]) != lower((uint8_t)b[i]))
			return 0;
	return 1;
}

static struct smx_view head_of(struct smx_view v, size_t n)
{
	return (struct smx_view){ v.p, n };
}

static struct smx_view tail_of(struct smx_view v, size_t from)
{
	return (struct smx_view){ v.p + from, v.len - from };
}

static int has(struct smx_view v, char c)
{
	return v.len && memchr(v.p, c, v.len);
}

/* --- numbers and addresses --- */

static int is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static int hex_digit(uint8_t c)
{
	if (is_digit(c))
		return c - '0';
	c = (uint8_t)lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A decimal number in its usual spelling; 0 if it is none, or above max. */
static int read_number(struct smx_view v, unsigned max, unsigned *ret)
{
	unsigned n = 0;

	if (v.len == 0 || v.len > 5 || (v.len > 1 && v.p[0] == '0'))
		return 0;
	for (size_t i = 0; i < v.len; i++) {
		if (!is_digit(v.p[i]))
			return 0;
		n = n * 10 + (unsigned)(v.p[i] - '0');
	}
	if (n > max)
		return 0;
	*ret = n;
	return 1;
}

static int read_ipv4(struct smx_view v, uint8_t out[4])
{
	unsigned n;

	for (unsigned i = 0; i < 4; i++) {
		const uint8_t *dot = i < 3 && v.len ? memchr(v.p, '.', v.len) : NULL;
		size_t len = dot ? (size_t)(dot - v.p) : v.len;

		if ((i < 3 && !dot) || !read_number(head_of(v, len), 255, &n))
			return 0;
		out[i] = (uint8_t)n;
		v = tail_of(v, i < 3 ? len + 1 : len);
	}
	return 1;
}

/* One to four hexadecimal digits at the front of v: how many, or 0. */
static size_t read_group(struct smx_view v, uint8_t out[2])
{
	unsigned n = 0;
	size_t len = 0;

	while (len < v.len && len < 4 && hex_digit(v.p[len]) >= 0)
		n = n * 16 + (unsigned)hex_digit(v.p[len++]);
	out[0] = (uint8_t)(n >> 8);
	out[1] = (uint8_t)n;
	return len;
}

static int read_ipv6(struct smx_view v, uint8_t out[16])
{
	uint8_t groups[2 * N_GROUPS] = { 0 };
	size_t n = 0, gap = SIZE_MAX, len;

	if (v.len >= 2 && v.p[0] == ':' && v.p[1] == ':') {
		gap = 0;
		v = tail_of(v, 2);
	}
	while (v.len) {
		if (n == N_GROUPS || (len = read_group(v, groups + 2 * n)) == 0)
			return 0;
		n++;
		v = tail_of(v, len);
		if (v.len == 0)
			break;
		if (v.p[0] != ':' || v.len == 1)
			return 0;
		v = tail_of(v, 1);
		if (v.p[0] != ':')
			continue;
		if (gap != SIZE_MAX)
			return 0;
		gap = n;
		v = tail_of(v, 1);
	}
	/* The gap stands for at least one group. */
	if (gap == SIZE_MAX ? n != N_GROUPS : n == N_GROUPS)
		return 0;
	if (gap == SIZE_MAX)
		gap = n;
	memset(out, 0, 16);
	memcpy(out, groups, 2 * gap);
	memcpy(out + 16 - 2 * (n - gap), groups + 2 * gap, 2 * (n - gap));
	return 1;
}

/* ::ffff:0:0/96 is IPv4 by another name. */
static int is_mapped(const uint8_t a[16])
{
	static const uint8_t prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	return memcmp(a, prefix, sizeof(prefix)) == 0;
}

/*
 * Whether a resolver might take it for an address, in whatever spelling: inet_aton() takes every
 * name whose last part is a number.
 */
static int is_address_like(struct smx_view v)
{
	size_t from;

	if (has(v, ':') || has(v, '%'))
		return 1;
	if (v.len && v.p[v.len - 1] == '.')
		v.len--;
	for (from = v.len; from > 0 && v.p[from - 1] != '.'; from--)
		;
	v = tail_of(v, from);
	if (v.len >= 2 && v.p[0] == '0' && lower(v.p[1]) == 'x') {
		for (size_t i = 2; i < v.len; i++)
			if (hex_digit(v.p[i]) < 0)
				return 0;
		return 1;
	}
	for (size_t i = 0; i < v.len; i++)
		if (!is_digit(v.p[i]))
			return 0;
	return 1; /* an empty last part as well */
}

static int bits_equal(const uint8_t *a, const uint8_t *b, unsigned n_bits)
{
	unsigned n = n_bits / 8, rest = n_bits % 8;

	if (memcmp(a, b, n) != 0)
		return 0;
	return rest == 0 || ((a[n] ^ b[n]) >> (8 - rest)) == 0;
}

/* --- reading a rule --- */

static int set_text(struct smx_forward_rule *rule, enum smx_forward_kind kind, struct smx_view text)
{
	rule->kind = kind;
	rule->text = smx_malloc(text.len + 1);
	if (!rule->text)
		return SMX_ENOMEM;
	memcpy(rule->text, text.p, text.len);
	rule->text[text.len] = '\0';
	return 0;
}

/* A name is good if it could be one with letters in the place of its wildcards. */
static const char *name_fault(struct smx_view v)
{
	uint8_t copy[SMX_HOST_MAX + 1];

	for (size_t i = 0; i < v.len && i < sizeof(copy); i++)
		copy[i] = v.p[i] == '*' || v.p[i] == '?' ? (uint8_t)'a' : v.p[i];
	return smx_host_fault(
		(struct smx_view){ copy, v.len < sizeof(copy) ? v.len : sizeof(copy) });
}

static int read_pattern(
	struct smx_view host, struct smx_forward_rule *rule, const struct complaint *c)
{
	size_t n = 0;

	while (n < host.len && (is_digit(host.p[n]) || strchr(".*?", host.p[n])))
		n++;
	if (n == host.len)
		return wrong(c,
			"has a pattern that no name can match; write a range of addresses like "
			"\"10.0.0.0/8:*\"");
	return set_text(rule, SMX_FORWARD_PATTERN, host);
}

/* n_bits of the address count; the others must not be there. */
static int check_net(const struct smx_forward_rule *rule, const struct complaint *c)
{
	const uint8_t *a = rule->net;
	uint8_t net[16];

	memcpy(net, a, sizeof(net));
	for (unsigned i = rule->n_bits; i < 8 * rule->n_net; i++)
		net[i / 8] &= (uint8_t)(0xffu ^ (0x80u >> i % 8));
	if (memcmp(net, a, rule->n_net) == 0)
		return 0;
	if (rule->n_net == 4)
		(void)snprintf(c->text, c->size,
			"has an address inside its range; the range is written %u.%u.%u.%u/%u",
			net[0], net[1], net[2], net[3], rule->n_bits);
	else
		(void)snprintf(c->text, c->size,
			"has an address inside its range; write zeros behind its first %u bits",
			rule->n_bits);
	return SMX_ESYNTAX;
}

static int read_net(struct smx_view host, unsigned n_net, struct smx_forward_rule *rule,
	const struct complaint *c)
{
	const uint8_t *slash = host.len ? memchr(host.p, '/', host.len) : NULL;
	struct smx_view address = slash ? head_of(host, (size_t)(slash - host.p)) : host;
	int ok = n_net == 4 ? read_ipv4(address, rule->net) : read_ipv6(address, rule->net);

	rule->kind = SMX_FORWARD_NET;
	rule->n_net = n_net;
	rule->n_bits = 8 * n_net;
	if (!ok)
		return wrong(c,
			n_net == 4 ? "has no IPv4 address of four decimal numbers like \"10.0.0.5\""
				   : "has no IPv6 address in its brackets, like "
				     "\"[2001:db8::1]:22\" (a "
				     "zone can't be given)");
	if (n_net == 16 && is_mapped(rule->net))
		return wrong(c, "has an IPv4-mapped address; write the IPv4 address");
	if (slash && !read_number(tail_of(host, address.len + 1), 8 * n_net, &rule->n_bits))
		return wrong(c, n_net == 4 ? "has a range that is not /0 to /32"
					   : "has a range that is not /0 to /128");
	return check_net(rule, c);
}

static int read_host(struct smx_view host, struct smx_forward_rule *rule, const struct complaint *c)
{
	const char *fault;

	if (host.len == 1 && host.p[0] == '*') {
		rule->kind = SMX_FORWARD_ANY_HOST;
		return 0;
	}
	if (host.len && host.p[0] == '[')
		return read_net((struct smx_view){ host.p + 1, host.len - 2 }, 16, rule, c);
	if (host.len == 0)
		return wrong(c, "has no host; write \"*\" for any");
	if (has(host, '/'))
		return read_net(host, 4, rule, c);
	if ((fault = name_fault(host)) != NULL) {
		(void)snprintf(c->text, c->size, "has a host that %s", fault);
		return SMX_ESYNTAX;
	}
	if (has(host, '*') || has(host, '?'))
		return read_pattern(host, rule, c);
	if (is_address_like(host))
		return read_net(host, 4, rule, c);
	return set_text(rule, SMX_FORWARD_NAME, host);
}

static int read_ports(struct smx_view port, enum smx_forward_side side,
	struct smx_forward_rule *rule, const struct complaint *c)
{
	const uint8_t *dash = port.len ? memchr(port.p, '-', port.len) : NULL;
	struct smx_view first = dash ? head_of(port, (size_t)(dash - port.p)) : port;
	struct smx_view last = dash ? tail_of(port, first.len + 1) : port;
	unsigned a = 0, b = 0, least = side == SMX_FORWARD_LISTEN && !dash ? 0 : 1;

	if (port.len == 1 && port.p[0] == '*') {
		rule->first_port = side == SMX_FORWARD_LISTEN ? 0 : 1;
		rule->last_port = PORT_MAX;
		return 0;
	}
	if (!read_number(first, PORT_MAX, &a) || !read_number(last, PORT_MAX, &b) || a < least ||
		b < a)
		return wrong(
			c, "has a port that is not 1 to 65535, a range like 8000-8010, or \"*\"");
	rule->first_port = (uint16_t)a;
	rule->last_port = (uint16_t)b;
	return 0;
}

/* Where the ':' before the port is; SIZE_MAX: there is none. */
static size_t find_port(struct smx_view v)
{
	size_t i = v.len;

	while (i > 0 && v.p[i - 1] != ':' && v.p[i - 1] != ']')
		i--;
	return i > 0 && v.p[i - 1] == ':' ? i - 1 : SIZE_MAX;
}

static int read_host_and_port(struct smx_view v, enum smx_forward_side side,
	struct smx_forward_rule *rule, const struct complaint *c)
{
	size_t colon = find_port(v);
	struct smx_view host;
	int r;

	if (colon == SIZE_MAX && side == SMX_FORWARD_LISTEN && v.p[0] != '[') {
		r = read_ports(v, side, rule, c);
		return r ? r : set_text(rule, SMX_FORWARD_NAME, smx_view_of(LOCALHOST, 9));
	}
	if (colon == SIZE_MAX)
		return wrong(c, "has no port; add it, \":22\" or \":*\" for any");
	host = head_of(v, colon);
	if (host.len && host.p[0] == '[' ? host.len < 2 || host.p[host.len - 1] != ']'
					 : has(host, ':'))
		return wrong(c, "must have an IPv6 address in brackets, like \"[2001:db8::1]:22\"");
	r = read_ports(tail_of(v, colon + 1), side, rule, c);
	return r ? r : read_host(host, rule, c);
}

/* --- paths --- */

int smx_socket_path_ok(struct smx_view path)
{
	return path.len > 0 && path.len <= SMX_STREAMLOCAL_PATH_MAX && path.p[0] == '/' &&
	       !has(path, '\0');
}

/* Whether each name between slashes is one that stays where it is. */
static int is_plain_path(struct smx_view v)
{
	const uint8_t *slash;
	size_t len;

	for (;;) {
		slash = v.len ? memchr(v.p, '/', v.len) : NULL;
		len = slash ? (size_t)(slash - v.p) : v.len;
		if (len == 0 || (len == 1 && v.p[0] == '.') ||
			(len == 2 && v.p[0] == '.' && v.p[1] == '.'))
			return 0;
		if (!slash)
			return 1;
		v = tail_of(v, len + 1);
	}
}

static int read_path(struct smx_view v, struct smx_forward_rule *rule, const struct complaint *c)
{
	int is_beneath = v.len >= 2 && v.p[v.len - 1] == '*' && v.p[v.len - 2] == '/';
	struct smx_view text = is_beneath ? head_of(v, v.len - 1) : v;

	if (!smx_socket_path_ok(v))
		return wrong(c, "has a path that no socket can have (107 bytes at most)");
	if (!is_plain_path(tail_of(v, 1)))
		return wrong(c, "must be a path without empty names, \".\" and \"..\"");
	if (has(text, '*'))
		return wrong(c, "may have \"*\" only as the whole last name of a path");
	return set_text(rule, is_beneath ? SMX_FORWARD_BENEATH : SMX_FORWARD_PATH, text);
}

/* --- lists --- */

static int add(struct smx_forward_rules *rules, const struct smx_forward_rule *rule)
{
	struct smx_forward_rule *v = smx_realloc(rules->v, (rules->n + 1) * sizeof(*v));

	if (!v)
		return SMX_ENOMEM;
	v[rules->n++] = *rule;
	rules->v = v;
	return 0;
}

int smx_forward_rules_add(struct smx_forward_rules *rules, struct smx_view text,
	enum smx_forward_side side, char *why, size_t why_size)
{
	struct smx_forward_rule rule = { .text = NULL };
	struct complaint c = { why, why_size };
	int r;

	if (text.len == 0)
		return wrong(&c, "must not be empty");
	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] < 0x20 || text.p[i] == 0x7f)
			return wrong(&c, "must not have control characters");
	if (text.len > RULE_MAX)
		return wrong(&c, "is too long");
	r = text.p[0] == '/' ? read_path(text, &rule, &c)
			     : read_host_and_port(text, side, &rule, &c);
	if (r == 0)
		r = add(rules, &rule);
	if (r != 0)
		smx_free(rule.text);
	return r;
}

int smx_forward_rules_add_host(struct smx_forward_rules *rules, const char *host, uint16_t port)
{
	struct smx_view v = smx_view_of(host, strlen(host));
	struct smx_forward_rule rule = { .first_port = port, .last_port = port };
	char why[200];
	struct complaint c = { why, sizeof(why) };
	int r = SMX_ESYNTAX;

	if (is_address_like(v))
		r = read_net(v, has(v, ':') ? 16 : 4, &rule, &c);
	/* Whatever else it is, it is allowed in this spelling. */
	if (r == SMX_ESYNTAX)
		r = set_text(&rule, SMX_FORWARD_NAME, v);
	if (r == 0)
		r = add(rules, &rule);
	if (r != 0)
		smx_free(rule.text);
	return r;
}

int smx_forward_rules_add_any(struct smx_forward_rules *rules)
{
	const struct smx_forward_rule rule = {
		.kind = SMX_FORWARD_ANY_HOST, .first_port = 1, .last_port = PORT_MAX
	};

	return add(rules, &rule);
}

void smx_forward_rules_release(struct smx_forward_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		smx_free(rules->v[i].text);
	smx_free(rules->v);
	*rules = (struct smx_forward_rules){ NULL, 0 };
}

/* --- matching --- */

static int is_in_net(const struct smx_forward_rule *rule, struct smx_view host)
{
	uint8_t a[16];

	if (rule->n_net == 4)
		return read_ipv4(host, a) && bits_equal(a, rule->net, rule->n_bits);
	return read_ipv6(host, a) && !is_mapped(a) && bits_equal(a, rule->net, rule->n_bits);
}

static int host_matches(const struct smx_forward_rule *rule, struct smx_view host)
{
	switch (rule->kind) {
	case SMX_FORWARD_ANY_HOST:
		return smx_host_ok(host);
	case SMX_FORWARD_NAME:
		return same_name(host, rule->text);
	case SMX_FORWARD_PATTERN:
		return smx_host_ok(host) && !is_address_like(host) &&
		       smx_pattern_match(host, smx_view_of(rule->text, strlen(rule->text)), 1);
	case SMX_FORWARD_NET:
		return is_in_net(rule, host);
	default:
		return 0;
	}
}

static int port_matches(const struct smx_forward_rule *rule, uint32_t port)
{
	return port >= rule->first_port && port <= rule->last_port;
}

int smx_forward_rules_connect(
	const struct smx_forward_rules *rules, struct smx_view host, uint32_t port)
{
	for (size_t i = 0; port != 0 && i < rules->n; i++)
		if (port_matches(&rules->v[i], port) && host_matches(&rules->v[i], host))
			return 1;
	return 0;
}

static int is_loopback(struct smx_view host)
{
	return smx_view_eq(host, "127.0.0.1") || smx_view_eq(host, "::1") ||
	       same_name(host, LOCALHOST);
}

static int address_matches(const struct smx_forward_rule *rule, struct smx_view address)
{
	if (rule->kind == SMX_FORWARD_ANY_HOST && (address.len == 0 || smx_view_eq(address, "*")))
		return 1;
	if (rule->kind == SMX_FORWARD_NAME &&
		same_name(smx_view_of(rule->text, strlen(rule->text)), LOCALHOST))
		return is_loopback(address);
	return host_matches(rule, address);
}

int smx_forward_rules_listen(
	const struct smx_forward_rules *rules, struct smx_view address, uint32_t port)
{
	for (size_t i = 0; i < rules->n; i++)
		if (rules->v[i].kind < SMX_FORWARD_PATH && port_matches(&rules->v[i], port) &&
			address_matches(&rules->v[i], address))
			return 1;
	return 0;
}

static int path_matches(const struct smx_forward_rule *rule, struct smx_view path)
{
	size_t len;

	if (rule->kind == SMX_FORWARD_PATH)
		return smx_view_eq(path, rule->text);
	if (rule->kind != SMX_FORWARD_BENEATH)
		return 0;
	len = strlen(rule->text);
	return path.len > len && memcmp(path.p, rule->text, len) == 0 &&
	       is_plain_path(tail_of(path, len));
}

int smx_forward_rules_path(const struct smx_forward_rules *rules, struct smx_view path)
{
	if (!smx_socket_path_ok(path))
		return 0;
	for (size_t i = 0; i < rules->n; i++)
		if (path_matches(&rules->v[i], path))
			return 1;
	return 0;
}
