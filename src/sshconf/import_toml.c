/* SPDX-License-Identifier: MIT */
/* An import as the text of a routes file (C3, R1). */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "sshconf/import_int.h"

/* A basic string of TOML. Values are UTF-8 without control characters; one that is not would not
 * be read again, and the caller sees to that. */
static int put_string(struct smx_buf *out, const char *s)
{
	int r = smx_buf_put(out, "\"", 1);

	for (; r == 0 && *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			r = smx_buf_printf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			r = smx_buf_printf(out, "\\u%04X", c);
		else
			r = smx_buf_put(out, s, 1);
	}
	return r != 0 ? r : smx_buf_put(out, "\"", 1);
}

static int put_key_string(struct smx_buf *out, const char *key, const char *value)
{
	int r;

	if (!value)
		return 0;
	(void)((r = smx_buf_printf(out, "%s = ", key)) != 0 || (r = put_string(out, value)) != 0 ||
		(r = smx_buf_put(out, "\n", 1)) != 0);
	return r;
}

/* A string where there is one, else an array; a lone "none" would mean something else. */
static int put_key_strings(struct smx_buf *out, const char *key, char *const *v, size_t n)
{
	int r;

	if (n == 0)
		return 0;
	if (n == 1 && strcmp(v[0], "none") != 0)
		return put_key_string(out, key, v[0]);
	r = smx_buf_printf(out, "%s = [", key);
	for (size_t i = 0; r == 0 && i < n; i++)
		(void)((r = smx_buf_put_str(out, i ? ", " : "")) != 0 ||
			(r = put_string(out, v[i])) != 0);
	return r != 0 ? r : smx_buf_put_str(out, "]\n");
}

/* One word is a list, too. */
static int put_transport(struct smx_buf *out, const struct smx_strings *words)
{
	int r = words->n ? smx_buf_put_str(out, "transport = [") : 0;

	for (size_t i = 0; r == 0 && i < words->n; i++)
		(void)((r = smx_buf_put_str(out, i ? ", " : "")) != 0 ||
			(r = put_string(out, words->v[i])) != 0);
	return r != 0 || words->n == 0 ? r : smx_buf_put_str(out, "]\n");
}

/* The keys that [jump] and a route share. */
static int put_hop(struct smx_buf *out, const struct import_host *h)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < h->notes.n; i++)
		r = smx_buf_printf(out, "# %s\n", h->notes.v[i]);
	if (r != 0 || (r = put_key_string(out, "host", h->host)) != 0 ||
		(r = smx_buf_printf(out, "port = %u\n", h->port)) != 0 ||
		(r = put_key_string(out, "user", h->user)) != 0 ||
		(r = put_transport(out, &h->transport)) != 0 ||
		(r = put_key_string(out, "host_key_alias", h->host_key_alias)) != 0 ||
		(r = put_key_strings(out, "known_hosts", h->known_hosts.v, h->known_hosts.n)) !=
			0 ||
		(r = put_key_strings(out, "identity", h->identity.v, h->identity.n)) != 0 ||
		(r = put_key_strings(out, "certificate", h->certificate.v, h->certificate.n)) !=
			0 ||
		(h->identities_only && (r = smx_buf_put_str(out, "identities_only = true\n")) != 0))
		return r;
	return put_key_string(out, "identity_agent", h->identity_agent);
}

/* Items of a key that would allow what the configuration asks for. */
static int propose_items(struct smx_buf *out, const char *key, const struct smx_strings *items)
{
	int r;

	if (items->n == 0)
		return 0;
	r = smx_buf_printf(out, "#%s = [", key);
	for (size_t i = 0; r == 0 && i < items->n; i++)
		(void)((r = smx_buf_put_str(out, i ? ", " : "")) != 0 ||
			(r = put_string(out, items->v[i])) != 0);
	return r != 0 ? r : smx_buf_put_str(out, "]\n");
}

/* W3, B4: nothing is allowed by an import; what could be is there to have its '#' taken away. */
static int put_needs(struct smx_buf *out, const struct import_host *h)
{
	int r = 0;

	if (h->needs.n == 0)
		return 0;
	r = smx_buf_put_str(out, "# asks for: ");
	for (size_t i = 0; r == 0 && i < h->needs.n; i++)
		r = smx_buf_printf(out, "%s%s", i ? ", " : "", h->needs.v[i]);
	if (r != 0 || (r = smx_buf_put_str(out, "\n")) != 0 ||
		(r = propose_items(out, "forwards", &h->forwards)) != 0 ||
		(r = propose_items(out, "remote_forwards", &h->remote_forwards)) != 0)
		return r;
	if (h->algorithms &&
		(r = smx_buf_printf(out, "#algorithms = \"+%s\"\n", h->algorithms)) != 0)
		return r;
	return h->needs_what & SMX_IMPORT_NEEDS_AGENT
		       ? smx_buf_put_str(out, "#agent_forward = true\n")
		       : 0;
}

/* Whether host `at` goes through [jump] and nothing else. */
static int is_via_jump(const struct smx_import *im, const struct import_host *h)
{
	return im->jump != IMPORT_NONE && h->n_jumps == 1 &&
	       im->hosts[h->jumps[0]].same_as == im->jump;
}

static int put_route(const struct smx_import *im, const struct import_host *h, struct smx_buf *out)
{
	/* A dot would make two tables of it. */
	const char *quote = strchr(h->name, '.') ? "\"" : "";
	char *jumps[SMX_HOPS_MAX];
	int r;

	if ((r = smx_buf_printf(out, "\n[routes.%s%s%s]\n", quote, h->name, quote)) != 0)
		return r;
	if (!h->is_alias && (r = smx_buf_put_str(out, "# a jump host that has no Host of its "
						      "own\n")) != 0)
		return r;
	if ((r = put_hop(out, h)) != 0)
		return r;
	for (size_t i = 0; i < h->n_jumps; i++)
		jumps[i] = im->hosts[im->hosts[h->jumps[i]].same_as].name;
	if (h->n_jumps == 0)
		r = smx_buf_put_str(out, "direct = true\n");
	else if (!is_via_jump(im, h))
		r = put_key_strings(out, "jump", jumps, h->n_jumps);
	if (r == 0 && import_is_jump(im, h))
		r = smx_buf_put_str(out, "jump_through = true\n");
	if (r == 0)
		r = put_key_strings(out, "send_env", h->send_env.v, h->send_env.n);
	return r != 0 ? r : put_needs(out, h);
}

static int put_jump(const struct smx_import *im, struct smx_buf *out)
{
	const struct import_host *h;
	int r;

	if (im->jump == IMPORT_NONE)
		return 0;
	h = &im->hosts[im->jump];
	(void)((r = smx_buf_printf(out,
			"\n# %s\n# The jump host of every route that says neither `direct` nor "
			"`jump`: of %u here.\n[jump]\n",
			h->ask_host, (unsigned)h->users)) != 0 ||
		(r = put_hop(out, h)) != 0);
	return r;
}

static int put_header(const struct smx_import *im, struct smx_buf *out)
{
	char source[512];

	smx_sanitize(im->o.source, strlen(im->o.source), source, sizeof(source));
	return smx_buf_printf(out,
		"# Routes of ssh-mux: one for each Host alias of\n"
		"# %s\n"
		"# as `ssh -G` resolved it. To make this file again from there, which loses what "
		"is\n"
		"# changed here: ssh-mux import-config --write --force\n"
		"#\n"
		"# VS Code, Cursor and the like reach their server on a random port of the "
		"remote's\n"
		"# loopback. To allow that on every route, take the '#' away:\n"
		"#default_allow_remote_loopback_any_port = true\n",
		source);
}

static int put_left_out(const struct smx_import *im, struct smx_buf *out)
{
	struct smx_import_left_out l;
	char name[SMX_ROUTE_NAME_MAX + 1];
	size_t at = 0;
	int r = 0, is_first = 1;

	while (r == 0 && smx_import_left_out(im, &at, &l)) {
		smx_sanitize(l.name, strlen(l.name), name, sizeof(name));
		if (is_first)
			r = smx_buf_put_str(
				out, "\n# Left out; ssh goes on with them as before:\n");
		is_first = 0;
		if (r == 0)
			/* ssh may name lines, which move. */
			r = smx_buf_printf(
				out, "# %s: %s\n", name, l.is_of_ssh ? "ssh -G failed" : l.why);
	}
	return r;
}

int smx_import_toml(const struct smx_import *im, struct smx_buf *out)
{
	int r;

	if ((r = put_header(im, out)) != 0 || (r = put_jump(im, out)) != 0)
		return r;
	for (size_t i = 0; i < im->n_order; i++) {
		if ((r = put_route(im, &im->hosts[im->order[i]], out)) != 0)
			return r;
	}
	return put_left_out(im, out);
}

/* Whether the text of a routes file has a line that keeps an alias out of it. */
static int is_excepted(struct smx_view text, const char *name)
{
	char line[SMX_ROUTE_NAME_MAX + sizeof(IMPORT_EXCEPT) + 8];
	int n = snprintf(line, sizeof(line), "# %s: " IMPORT_EXCEPT, name);

	while (text.len > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.len);
		size_t len = end ? (size_t)(end - text.p) : text.len;

		if (len == (size_t)n && memcmp(text.p, line, len) == 0)
			return 1;
		text.p += len + (end != NULL);
		text.len -= len + (end != NULL);
	}
	return 0;
}

static int put_new(const struct smx_import *im, const struct import_host *h, size_t n,
	struct smx_view text, struct smx_buf *out)
{
	int r = 0;

	if (n == 0 && text.len > 0 && text.p[text.len - 1] != '\n')
		r = smx_buf_put(out, "\n", 1);
	if (r == 0 && n == 0)
		r = smx_buf_put_str(out, "\n# Added by ssh-mux import-config --merge:\n");
	return r != 0 ? r : put_route(im, h, out);
}

int smx_import_merge(const struct smx_import *im, const struct smx_routes *old,
	struct smx_view text, struct smx_buf *out, size_t *ret_n)
{
	size_t n = 0;
	int r = text.len ? smx_buf_put(out, text.p, text.len) : 0;

	for (size_t i = 0; r == 0 && i < im->n_order; i++) {
		const struct import_host *h = &im->hosts[im->order[i]];

		if (smx_routes_find(old, h->name) || is_excepted(text, h->name))
			continue;
		r = put_new(im, h, n++, text, out);
	}
	for (size_t i = 0; r == 0 && i < im->n_hosts; i++) {
		const struct import_host *h = &im->hosts[i];

		if (h->is_alias && h->why && strcmp(h->why, IMPORT_EXCEPT) == 0 &&
			!is_excepted(text, h->ask_host) && !smx_routes_find(old, h->ask_host))
			r = smx_buf_printf(out, "# %s: " IMPORT_EXCEPT "\n", h->ask_host);
	}
	*ret_n = n;
	return r;
}
