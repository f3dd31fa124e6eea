/* SPDX-License-Identifier: MIT */
/*
 * What a host's configuration asks for besides a login (W3): what a route may be allowed to do is
 * proposed as a comment in it, and all of it is told, since ssh-mux does not do it by itself.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/algorithms.h"
#include "crypto/cipher.h"
#include "crypto/kex.h"
#include "sshconf/import_int.h"

#define VALUE_MAX 256
#define SHOWN_MAX 80

static const char *const lists[IMPORT_LISTS] = { "kexalgorithms", "hostkeyalgorithms", "ciphers",
	"macs" };

/* Options that, with another value than this, want something of the connection itself. */
static const struct {
	const char *key, *name, *usual;
} plain[] = {
	{ "forwardx11", "ForwardX11", "no" },
	{ "pkcs11provider", "PKCS11Provider", "none" },
	{ "bindaddress", "BindAddress", "none" },
	{ "bindinterface", "BindInterface", "none" },
	{ "addressfamily", "AddressFamily", "any" },
	{ "tunnel", "Tunnel", "false" },
	{ "hostbasedauthentication", "HostbasedAuthentication", "no" },
};

static int cut_line(struct smx_view *rest, struct smx_view *ret_key, struct smx_view *ret_value)
{
	while (rest->len > 0) {
		const uint8_t *end = memchr(rest->p, '\n', rest->len), *blank;
		struct smx_view line = { rest->p, end ? (size_t)(end - rest->p) : rest->len };

		rest->p += line.len + (end != NULL);
		rest->len -= line.len + (end != NULL);
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0 || (blank = memchr(line.p, ' ', line.len)) == NULL)
			continue;
		*ret_key = (struct smx_view){ line.p, (size_t)(blank - line.p) };
		*ret_value = (struct smx_view){ blank + 1, line.len - ret_key->len - 1 };
		return 1;
	}
	return 0;
}

int import_needs_baseline(struct smx_import *im, struct smx_view text)
{
	struct smx_view key, value;

	while (cut_line(&text, &key, &value))
		for (size_t i = 0; i < IMPORT_LISTS; i++)
			if (smx_view_eq(key, lists[i]) && !im->usual[i] &&
				!(im->usual[i] = smx_strndup((const char *)value.p, value.len)))
				return SMX_ENOMEM;
	return 0;
}

/* The next name of a list with commas; 0 at its end. */
static int next_name(struct smx_view *list, struct smx_view *ret)
{
	const uint8_t *comma = list->len ? memchr(list->p, ',', list->len) : NULL;

	if (list->len == 0)
		return 0;
	*ret = (struct smx_view){ list->p, comma ? (size_t)(comma - list->p) : list->len };
	list->p += ret->len + (comma != NULL);
	list->len -= ret->len + (comma != NULL);
	return 1;
}

static int has_name(const char *text, struct smx_view name)
{
	struct smx_view list = smx_view_of(text, strlen(text)), one;

	while (next_name(&list, &one))
		if (smx_view_eq_view(one, name))
			return 1;
	return 0;
}

static int need(struct import_host *h, unsigned what, const char *text)
{
	h->needs_what |= what;
	for (size_t i = 0; i < h->needs.n; i++)
		if (strcmp(h->needs.v[i], text) == 0)
			return 0;
	return smx_strings_add(&h->needs, text);
}

/*
 * A16: a list that has none of those that are always offered. If some of it can be added, that is
 * proposed; else no route leads there.
 */
static int take_needed(struct import_host *h, const char *list, struct smx_view v)
{
	int is_macs = strcmp(list, "macs") == 0, r;
	const char *usual = is_macs ? smx_mac_names() : smx_kex_names();
	struct smx_view rest = v, one;
	char text[VALUE_MAX], clean[SHOWN_MAX];
	struct smx_buf names;
	unsigned n = 0;

	if (!is_macs && strcmp(list, "kexalgorithms") != 0)
		return 0;
	while (next_name(&rest, &one))
		if (has_name(usual, one))
			return 0;
	smx_buf_init(&names, SMX_ALGORITHMS_MAX);
	r = is_macs ? smx_algorithms_addable(v, &names, &n) : 0;
	if (r == 0 && n && !h->algorithms &&
		!(h->algorithms = smx_strndup(
			  (const char *)smx_buf_view(&names), smx_buf_len(&names))))
		r = SMX_ENOMEM;
	smx_buf_release(&names);
	if (r == SMX_ENOMEM)
		return r;
	smx_sanitize((const char *)v.p, v.len, clean, sizeof(clean));
	(void)snprintf(text, sizeof(text), "%s %s", is_macs ? "MACs" : "KexAlgorithms", clean);
	return need(h, n ? SMX_IMPORT_NEEDS_ALGORITHMS : SMX_IMPORT_NEEDS_OTHER, text);
}

/* Algorithms that ssh has to be told to use are old ones. */
static int take_list(
	const struct smx_import *im, struct import_host *h, size_t i, struct smx_view v)
{
	char text[VALUE_MAX], clean[SHOWN_MAX];
	struct smx_view one;
	int r = 0;

	while (r == 0 && im->usual[i] && next_name(&v, &one)) {
		if (has_name(im->usual[i], one))
			continue;
		smx_sanitize((const char *)one.p, one.len, clean, sizeof(clean));
		(void)snprintf(text, sizeof(text), "the algorithm %s", clean);
		r = need(h, SMX_IMPORT_NEEDS_OTHER, text);
	}
	return r;
}

/* The parts of a forward as ssh -G has it, "LISTEN CONNECT"; the second may be missing. */
static void cut_forward(
	struct smx_view v, struct smx_view *ret_listen, struct smx_view *ret_connect)
{
	const uint8_t *blank = v.len ? memchr(v.p, ' ', v.len) : NULL;
	size_t n = blank ? (size_t)(blank - v.p) : v.len;

	*ret_listen = (struct smx_view){ v.p, n };
	*ret_connect = (struct smx_view){ v.p + n + (blank != NULL), v.len - n - (blank != NULL) };
}

/*
 * A place as ssh -G has it, "[host]:port", as an item of forwards: brackets stay where the host is
 * an IPv6 address. 0: it can't be one.
 */
static int put_item(struct smx_view v, char *out, size_t size)
{
	const uint8_t *end;
	size_t n;

	if (v.len == 0 || v.len >= size)
		return 0;
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] < 0x21 || v.p[i] > 0x7e || v.p[i] == '"' || v.p[i] == '\\')
			return 0;
	if (v.p[0] == '[' && (end = memchr(v.p, ']', v.len)) != NULL) {
		n = (size_t)(end - v.p) - 1;
		if (!memchr(v.p + 1, ':', n)) {
			(void)snprintf(out, size, "%.*s%.*s", (int)n, (const char *)v.p + 1,
				(int)(v.len - n - 2), (const char *)end + 1);
			return 1;
		}
	}
	(void)snprintf(out, size, "%.*s", (int)v.len, (const char *)v.p);
	return 1;
}

static int add_item(struct smx_strings *items, const char *item)
{
	for (size_t i = 0; i < items->n; i++)
		if (strcmp(items->v[i], item) == 0)
			return 0;
	return items->n < SMX_FORWARD_RULES_MAX ? smx_strings_add(items, item) : 0;
}

static int take_forward(struct import_host *h, struct smx_view key, struct smx_view v)
{
	struct smx_view listen, connect;
	char item[VALUE_MAX];
	int r;

	cut_forward(v, &listen, &connect);
	if (smx_view_eq(key, "localforward")) {
		r = need(h, SMX_IMPORT_NEEDS_FORWARD, "LocalForward");
		return r == 0 && put_item(connect, item, sizeof(item))
			       ? add_item(&h->forwards, item)
			       : r;
	}
	if (smx_view_eq(key, "dynamicforward")) {
		r = need(h, SMX_IMPORT_NEEDS_FORWARD, "DynamicForward");
		return r == 0 ? add_item(&h->forwards, "*:*") : r;
	}
	r = need(h, SMX_IMPORT_NEEDS_LISTEN, "RemoteForward");
	return r == 0 && put_item(listen, item, sizeof(item)) ? add_item(&h->remote_forwards, item)
							      : r;
}

static int take_plain(struct import_host *h, struct smx_view key, struct smx_view v)
{
	char text[VALUE_MAX], clean[SHOWN_MAX];

	for (size_t i = 0; i < SMX_ARRAY_LEN(plain); i++) {
		if (!smx_view_eq(key, plain[i].key) || smx_view_eq(v, plain[i].usual))
			continue;
		smx_sanitize((const char *)v.p, v.len, clean, sizeof(clean));
		(void)snprintf(text, sizeof(text), "%s %s", plain[i].name, clean);
		return need(h, SMX_IMPORT_NEEDS_OTHER, text);
	}
	return 0;
}

/* ssh -G shows a LocalForward to a socket as a DynamicForward, too. */
static int is_local(struct smx_view text, struct smx_view dynamic)
{
	struct smx_view key, value, listen, connect;

	while (cut_line(&text, &key, &value)) {
		cut_forward(value, &listen, &connect);
		if (smx_view_eq(key, "localforward") && smx_view_eq_view(listen, dynamic))
			return 1;
	}
	return 0;
}

int import_take_needs(struct smx_import *im, struct import_host *h, struct smx_view text)
{
	struct smx_view key, value, all = text;
	int r = 0;

	while (r == 0 && cut_line(&text, &key, &value)) {
		if (smx_view_eq(key, "dynamicforward") && is_local(all, value))
			continue;
		if (smx_view_eq(key, "forwardagent") && !smx_view_eq(value, "no"))
			r = need(h, SMX_IMPORT_NEEDS_AGENT, "ForwardAgent");
		else if (smx_view_eq(key, "localforward") || smx_view_eq(key, "dynamicforward") ||
			 smx_view_eq(key, "remoteforward"))
			r = take_forward(h, key, value);
		else
			r = take_plain(h, key, value);
		for (size_t i = 0; r == 0 && i < IMPORT_LISTS; i++)
			if (smx_view_eq(key, lists[i]) &&
				(r = take_needed(h, lists[i], value)) == 0)
				r = take_list(im, h, i, value);
	}
	return r;
}

int smx_import_needs(const struct smx_import *im, size_t *at, struct smx_import_need *ret)
{
	for (; *at < im->n_hosts; (*at)++) {
		const struct import_host *h = &im->hosts[*at];
		size_t n = 0;

		if (!h->is_alias || h->why || h->needs.n == 0)
			continue;
		ret->name = h->ask_host;
		ret->what = h->needs_what;
		ret->text[0] = '\0';
		for (size_t i = 0; i < h->needs.n && n < sizeof(ret->text); i++)
			n += (size_t)snprintf(ret->text + n, sizeof(ret->text) - n, "%s%s",
				i ? ", " : "", h->needs.v[i]);
		(*at)++;
		return 1;
	}
	return 0;
}

int smx_import_jump(struct smx_import *im, const char *name)
{
	return im->jump_names.n < SMX_IMPORT_HOSTS_MAX ? smx_strings_add(&im->jump_names, name) : 0;
}

int import_is_jump(const struct smx_import *im, const struct import_host *h)
{
	if (!h->is_alias)
		return 0;
	for (size_t i = 0; !h->is_jump && i < im->jump_names.n; i++)
		if (strcmp(im->jump_names.v[i], h->ask_host) == 0)
			return 1;
	return h->is_jump;
}
