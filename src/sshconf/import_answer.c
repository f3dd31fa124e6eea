/* SPDX-License-Identifier: MIT */
/* From an answer of ssh -G to what a route can say of it (C3, C4). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/policy.h"
#include "config/transport.h"
#include "sshconf/import_int.h"

#define SHOWN_MAX 80 /* of a value in a reason or comment */
#define WHY_MAX   512

int import_refuse(struct import_host *h, const char *fmt, ...)
{
	char text[WHY_MAX], clean[WHY_MAX];
	va_list ap;

	if (h->why)
		return 0;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	smx_sanitize(text, strlen(text), clean, sizeof(clean));
	h->why = smx_strdup(clean);
	return h->why ? 0 : SMX_ENOMEM;
}

/* A value as it may be shown, shortened. */
static const char *shown(struct smx_view v, char out[SHOWN_MAX])
{
	smx_sanitize((const char *)v.p, v.len, out, SHOWN_MAX);
	return out;
}

static int note(struct import_host *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int note(struct import_host *h, const char *fmt, ...)
{
	char text[WHY_MAX], clean[WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	smx_sanitize(text, strlen(text), clean, sizeof(clean));
	return smx_strings_add(&h->notes, clean);
}

/* NULL, or what is wrong with a value that the routes file is to hold as a path. */
static const char *text_fault(struct smx_view v)
{
	uint32_t c;
	size_t n;

	if (v.len == 0)
		return "is empty";
	if (v.len > SMX_CONFIG_PATH_MAX)
		return "is longer than 1024 bytes";
	for (size_t i = 0; i < v.len; i += n) {
		if ((n = smx_utf8_decode(v.p + i, v.len - i, &c)) == 0)
			return "is not UTF-8";
		if (c < 0x20 || c == 0x7f)
			return "has control characters in it";
	}
	return NULL;
}

static int copy(struct smx_view v, char **to)
{
	*to = smx_strndup((const char *)v.p, v.len);
	return *to ? 0 : SMX_ENOMEM;
}

/* ---- names -------------------------------------------------------------------------------------
 */

/* Judges a value and takes it over. keyword: as the user knows it. */
static int take_name(struct import_host *h, const char *keyword, struct smx_view v,
	const char *(*fault_of)(struct smx_view), char **to)
{
	const char *fault = fault_of(v);
	char text[SHOWN_MAX];

	if (!fault && text_fault(v))
		fault = "must be UTF-8";
	if (fault)
		return import_refuse(h, "%s \"%s\" %s", keyword, shown(v, text), fault);
	return copy(v, to);
}

static int take_port(struct import_host *h, struct smx_view v)
{
	char text[SHOWN_MAX];
	unsigned port = 0;

	for (size_t i = 0; i < v.len && port <= 65535; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			port = 65536;
		else
			port = port * 10 + (unsigned)(v.p[i] - '0');
	}
	if (port == 0 || port > 65535)
		return import_refuse(h, "Port \"%s\" must be from 1 to 65535", shown(v, text));
	h->port = port;
	return 0;
}

/* ---- tokens ------------------------------------------------------------------------------------
 */

static int put_env(struct smx_import *im, const char *name, size_t len, struct smx_buf *out)
{
	char text[SMX_ROUTE_NAME_MAX + 1];
	const char *value;

	if (len >= sizeof(text))
		return SMX_EUNSUPPORTED;
	memcpy(text, name, len);
	text[len] = '\0';
	value = im->o.env ? im->o.env(text) : NULL;
	return value && *value ? smx_buf_put_str(out, value) : SMX_EUNSUPPORTED;
}

static int put_token(
	struct smx_import *im, const struct import_host *h, char token, struct smx_buf *out)
{
	const char *value;

	switch (token) {
	case '%':
		return smx_buf_put(out, "%", 1);
	case 'd':
		value = im->o.home;
		break;
	case 'h':
		value = h->host;
		break;
	case 'k':
		value = h->host_key_alias ? h->host_key_alias : h->ask_host;
		break;
	case 'n':
		value = h->ask_host;
		break;
	case 'p':
		return smx_buf_printf(out, "%u", h->port);
	case 'r':
		value = h->user;
		break;
	case 'u':
		value = im->local_user;
		break;
	default:
		return SMX_EUNSUPPORTED;
	}
	return value ? smx_buf_put_str(out, value) : SMX_EUNSUPPORTED;
}

/*
 * What ssh would make of %-tokens and, with_env, of ${NAME}. SMX_EUNSUPPORTED: one that can't be
 * known here. SMX_ENOMEM, SMX_ELIMIT.
 */
static int expand(struct smx_import *im, const struct import_host *h, struct smx_view v,
	int with_env, struct smx_buf *out)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < v.len; i++) {
		const uint8_t *end;

		if (v.p[i] == '%') {
			r = ++i < v.len ? put_token(im, h, (char)v.p[i], out) : SMX_EUNSUPPORTED;
		} else if (with_env && v.p[i] == '$' && i + 1 < v.len && v.p[i + 1] == '{') {
			i += 2;
			end = memchr(v.p + i, '}', v.len - i);
			if (!end)
				return SMX_EUNSUPPORTED;
			r = put_env(im, (const char *)v.p + i, (size_t)(end - v.p) - i, out);
			i = (size_t)(end - v.p);
		} else {
			r = smx_buf_put(out, &v.p[i], 1);
		}
	}
	return r;
}

/* ---- keys --------------------------------------------------------------------------------------
 */

static int is_anchored(struct smx_view v)
{
	/* Of any system, that of Windows with its drives and pipes too. */
	return (v.len > 0 && v.p[0] == '/') ||
	       (v.len > 2 && v.p[0] == '~' && (v.p[1] == '/' || v.p[1] == '\\')) ||
	       (v.len > 2 && v.p[0] == '\\' && v.p[1] == '\\') ||
	       (v.len > 2 && v.p[1] == ':' && (v.p[2] == '\\' || v.p[2] == '/'));
}

/* Adds a file to a list of the route's. *ret_fault: why it can't be taken, or NULL. SMX_ENOMEM. */
static int add_path(struct smx_import *im, struct import_host *h, struct smx_view v,
	struct smx_strings *list, const char **ret_fault)
{
	const char *fault = text_fault(v), *path;
	struct smx_buf b;
	int r = 0;

	smx_buf_init(&b, SMX_CONFIG_PATH_MAX);
	if (!fault && (r = expand(im, h, v, 1, &b)) != 0)
		fault = "has a token in it that can't be known now";
	if (!fault)
		fault = text_fault(smx_buf_as_view(&b));
	if (!fault && !is_anchored(smx_buf_as_view(&b)))
		fault = "is relative to wherever ssh runs";
	if (!fault && smx_view_eq(smx_buf_as_view(&b), "/dev/null"))
		fault = "has nothing in it";
	if (!fault && list->n == SMX_IDENTITIES_MAX)
		fault = "is one too many";
	if (!fault && (path = smx_buf_cstr(&b)) == NULL)
		r = SMX_ENOMEM;
	else if (!fault)
		r = smx_strings_add(list, path);
	smx_buf_release(&b);
	*ret_fault = fault;
	return fault && r != SMX_ENOMEM ? 0 : r;
}

/* The same, for a keyword that names one. */
static int take_path(struct smx_import *im, struct import_host *h, const char *keyword,
	struct smx_view v, struct smx_strings *list)
{
	const char *fault = NULL;
	char text[SHOWN_MAX];
	int r = add_path(im, h, v, list, &fault);

	return r == 0 && fault ? note(h, "%s %s is left out; it %s", keyword, shown(v, text), fault)
			       : r;
}

static int take_identity(struct smx_import *im, struct import_host *h, struct smx_view v)
{
	if (smx_view_eq(v, "none"))
		return note(h, "IdentityFile none has no counterpart: the default keys are tried");
	return take_path(im, h, "IdentityFile", v, &h->identity);
}

/* Whether these are what ssh tries where nobody has named any. */
static int are_defaults(const struct smx_import *im, const struct smx_ssh_answer_list *list)
{
	if (list->n != im->default_identity.n)
		return 0;
	for (size_t i = 0; i < list->n; i++) {
		if (!smx_view_eq(list->v[i], im->default_identity.v[i]))
			return 0;
	}
	return 1;
}

static int take_keys(struct smx_import *im, struct import_host *h, const struct smx_ssh_answer *a)
{
	int r = 0;

	h->identities_only = a->identities_only.p && smx_view_eq(a->identities_only, "yes");
	if (!are_defaults(im, &a->identities)) {
		for (size_t i = 0; r == 0 && i < a->identities.n; i++)
			r = take_identity(im, h, a->identities.v[i]);
		if (r == 0 && a->identities.has_more)
			r = note(h, "there are more than %d IdentityFile", SMX_SSH_ANSWER_LIST_MAX);
	}
	for (size_t i = 0; r == 0 && i < a->certificates.n; i++)
		r = take_path(im, h, "CertificateFile", a->certificates.v[i], &h->certificate);
	return r;
}

/* "$NAME" and nothing else. */
static int is_variable(struct smx_view v)
{
	if (v.len < 2 || v.p[0] != '$' || (v.p[1] >= '0' && v.p[1] <= '9'))
		return 0;
	for (size_t i = 1; i < v.len; i++)
		if (!((v.p[i] | 0x20) >= 'a' && (v.p[i] | 0x20) <= 'z') &&
			!(v.p[i] >= '0' && v.p[i] <= '9') && v.p[i] != '_')
			return 0;
	return 1;
}

static int take_agent(struct smx_import *im, struct import_host *h, struct smx_view v)
{
	const char *fault = NULL, *path;
	char text[SHOWN_MAX];
	struct smx_buf b;
	int r = 0;

	if (!v.p)
		return 0;
	if (smx_view_eq(v, "none") || smx_view_eq(v, "SSH_AUTH_SOCK") ||
		smx_view_eq(v, "$SSH_AUTH_SOCK") || smx_view_eq(v, "${SSH_AUTH_SOCK}")) {
		h->identity_agent = smx_strdup(smx_view_eq(v, "none") ? "none" : "SSH_AUTH_SOCK");
		return h->identity_agent ? 0 : SMX_ENOMEM;
	}
	if (is_variable(v)) {
		/* A10: it may be another one each time that ssh is called. */
		h->identity_agent = smx_strndup((const char *)v.p, v.len);
		return h->identity_agent ? 0 : SMX_ENOMEM;
	}
	smx_buf_init(&b, SMX_CONFIG_PATH_MAX);
	r = expand(im, h, v, 1, &b);
	if (r == SMX_ENOMEM)
		goto out;
	if (r != 0)
		fault = "has something in it that can't be known now";
	else if (!(fault = text_fault(smx_buf_as_view(&b))) && !is_anchored(smx_buf_as_view(&b)))
		fault = "is relative to wherever ssh runs";
	if (fault)
		r = note(h, "IdentityAgent %s is left out; it %s", shown(v, text), fault);
	else if ((path = smx_buf_cstr(&b)) == NULL || !(h->identity_agent = smx_strdup(path)))
		r = SMX_ENOMEM;
out:
	smx_buf_release(&b);
	return r;
}

/* ---- environment -------------------------------------------------------------------------------
 */

static int take_env(struct import_host *h, struct smx_view name)
{
	static const struct smx_route nothing_sent;
	const char *fault;
	char text[SHOWN_MAX], *copied;
	int r;

	/* What passes anyway (L8), also as the pattern that every Debian has. */
	if (smx_policy_env_ok(&nothing_sent, name) || smx_view_eq(name, "LC_*"))
		return 0;
	fault = smx_send_env_fault(name);
	if (!fault && h->send_env.n == SMX_SEND_ENV_MAX)
		fault = "is one too many";
	if (fault)
		return note(h, "SendEnv %s is left out; it %s", shown(name, text), fault);
	if ((r = copy(name, &copied)) != 0)
		return r;
	r = smx_strings_add(&h->send_env, copied);
	smx_free(copied);
	return r;
}

static int take_environment(struct import_host *h, const struct smx_ssh_answer *a)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < a->send_env.n; i++)
		r = take_env(h, a->send_env.v[i]);
	/* ssh sends those too, to us: they have to be let through. */
	for (size_t i = 0; r == 0 && i < a->set_env.n; i++) {
		struct smx_view v = a->set_env.v[i];
		const uint8_t *equals = v.len ? memchr(v.p, '=', v.len) : NULL;

		if (equals)
			r = take_env(h, (struct smx_view){ v.p, (size_t)(equals - v.p) });
	}
	return r;
}

/* ---- jump hosts --------------------------------------------------------------------------------
 */

static int take_jump(struct smx_import *im, size_t at, const struct smx_ssh_jump *j)
{
	char *host = NULL, *user = NULL, text[SHOWN_MAX];
	const char *fault = NULL;
	size_t found;
	int r = 0;

	if ((fault = smx_host_fault(j->host)) != NULL)
		r = import_refuse(
			&im->hosts[at], "jump host \"%s\" %s", shown(j->host, text), fault);
	else if (j->user.p && (fault = smx_user_fault(j->user)) != NULL)
		r = import_refuse(&im->hosts[at], "user of a jump host \"%s\" %s",
			shown(j->user, text), fault);
	else if (im->hosts[at].n_jumps == SMX_HOPS_MAX - 1 || im->hosts[at].depth >= SMX_HOPS_MAX)
		r = import_refuse(
			&im->hosts[at], "goes through more than %d jump hosts", SMX_HOPS_MAX - 1);
	if (r != 0 || im->hosts[at].why)
		return r;
	if ((r = copy(j->host, &host)) != 0 || (j->user.p && (r = copy(j->user, &user)) != 0) ||
		(r = import_find_or_add(im, host, user, j->port, &found)) != 0)
		goto out;
	im->hosts[at].jumps[im->hosts[at].n_jumps++] = found;
	im->hosts[found].is_jump = 1;
	if (!im->hosts[found].file && im->hosts[at].file) {
		im->hosts[found].depth = im->hosts[at].depth + 1;
		im->hosts[found].line = im->hosts[at].line;
		im->hosts[found].column = im->hosts[at].column;
		if ((im->hosts[found].file = smx_strdup(im->hosts[at].file)) == NULL)
			r = SMX_ENOMEM;
	}
out:
	smx_free(host);
	smx_free(user);
	return r;
}

static int take_jumps(struct smx_import *im, size_t at, struct smx_view list)
{
	struct smx_ssh_jump j;
	struct smx_view rest;
	char text[SHOWN_MAX];
	struct smx_buf b;
	int r;

	if (!list.p)
		return 0;
	smx_buf_init(&b, SMX_SSH_CONFIG_LINE_MAX);
	if ((r = expand(im, &im->hosts[at], list, 0, &b)) == SMX_ENOMEM)
		goto out;
	rest = smx_buf_as_view(&b);
	while (r == 0 && !im->hosts[at].why && (r = smx_ssh_jump_next(&rest, &j)) == 1)
		r = take_jump(im, at, &j);
	if (r == SMX_ESYNTAX || r == SMX_EUNSUPPORTED)
		r = import_refuse(
			&im->hosts[at], "ProxyJump \"%s\" can't be understood", shown(list, text));
out:
	smx_buf_release(&b);
	return r;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

/* 127.0.0.1 by our own host key: what a route of ours would make of it leads back to us. */
static int is_ourselves(const struct smx_import *im, const struct smx_ssh_answer *a)
{
	return a->host_key_alias.p && im->o.own_key_alias &&
	       smx_view_eq(a->host_key_alias, im->o.own_key_alias) &&
	       (smx_view_eq(a->host, "127.0.0.1") || smx_view_eq(a->host, "::1") ||
		       smx_view_eq(a->host, "localhost"));
}

/* R7: the words of a ProxyCommand, if a shell would only have cut it into them. */
static int take_transport(const struct smx_import *im, struct import_host *h, struct smx_view v)
{
	static const char of_shells[] = "|&;<>()$`\\\"'*?[]{}~!#\n\r\t";
	char word[SMX_CONFIG_PATH_MAX + 1];
	int r = 0;

	if (!im->o.transports)
		return import_refuse(h, "has a ProxyCommand, which only ssh can run");
	if (v.len > 5 && memcmp(v.p, "exec ", 5) == 0)
		v = (struct smx_view){ v.p + 5, v.len - 5 };
	while (r == 0 && v.len) {
		const uint8_t *end = memchr(v.p, ' ', v.len);
		size_t n = end ? (size_t)(end - v.p) : v.len;
		struct smx_view one = { v.p, n };
		int is_first = h->transport.n == 0;

		v = (struct smx_view){ v.p + n + (n < v.len), v.len - n - (n < v.len) };
		if (n == 0)
			continue;
		if (n >= sizeof(word) || h->transport.n == SMX_TRANSPORT_WORDS_MAX ||
			smx_transport_fault(one, is_first) != NULL || text_fault(one) != NULL ||
			(is_first && (memchr(one.p, '=', n) || memchr(one.p, '%', n))))
			return import_refuse(h, "has a ProxyCommand that ssh-mux can't run");
		memcpy(word, one.p, n);
		word[n] = '\0';
		if (strpbrk(word, of_shells))
			return import_refuse(h, "has a ProxyCommand that needs a shell");
		r = smx_strings_push(&h->transport, word);
	}
	return r;
}

static int take_target(
	const struct smx_import *im, struct import_host *h, const struct smx_ssh_answer *a)
{
	int r;

	if (is_ourselves(im, a))
		return import_refuse(h, "leads to ssh-mux itself");
	if (a->proxy_command.p && ((r = take_transport(im, h, a->proxy_command)) != 0 || h->why))
		return r;
	if ((r = take_name(h, "HostName", a->host, smx_host_fault, &h->host)) != 0 ||
		(r = take_name(h, "User", a->user, smx_user_fault, &h->user)) != 0 ||
		(r = take_port(h, a->port)) != 0)
		return r;
	return a->host_key_alias.p ? take_name(h, "HostKeyAlias", a->host_key_alias, smx_host_fault,
					     &h->host_key_alias)
				   : 0;
}

/* ssh shows the files in one line, so a blank in a name is the end of it here. */
static int take_known_hosts(
	struct smx_import *im, struct import_host *h, const struct smx_ssh_answer *a)
{
	const char *fault = NULL;
	char text[SHOWN_MAX];
	struct smx_view v = a->known_hosts;
	int r = 0;

	if (!v.p || !im->default_known_hosts || smx_view_eq(v, im->default_known_hosts))
		return 0;
	while (r == 0 && !fault && v.len) {
		const uint8_t *end = memchr(v.p, ' ', v.len);
		size_t n = end ? (size_t)(end - v.p) : v.len;

		if (n)
			r = add_path(im, h, (struct smx_view){ v.p, n }, &h->known_hosts, &fault);
		n += n < v.len;
		v = (struct smx_view){ v.p + n, v.len - n };
	}
	if (r != 0 || !fault)
		return r;
	smx_strings_release(&h->known_hosts);
	return note(h,
		"UserKnownHostsFile %s is not read, since it %s: known_hosts decides, and is added "
		"to",
		shown(a->known_hosts, text), fault);
}

int smx_import_answer(struct smx_import *im, size_t i, struct smx_view text)
{
	struct import_host *h = &im->hosts[i];
	struct smx_ssh_answer a;
	int r;

	if (h->why)
		return 0;
	if (smx_ssh_answer_parse(text, &a) != 0)
		return import_refuse(h, "ssh -G did not say where it leads");
	if ((r = take_target(im, h, &a)) != 0 || h->why || (r = take_keys(im, h, &a)) != 0 ||
		(r = take_agent(im, h, a.identity_agent)) != 0 ||
		(r = take_environment(h, &a)) != 0 || (r = take_known_hosts(im, h, &a)) != 0 ||
		(r = import_take_needs(im, h, text)) != 0)
		return r;
	return take_jumps(im, i, a.proxy_jump); /* may move im->hosts */
}

int smx_import_baseline(struct smx_import *im, struct smx_view text)
{
	struct smx_ssh_answer a;
	char *one;
	int r;

	if ((r = smx_ssh_answer_parse(text, &a)) != 0)
		return r;
	for (size_t i = 0; r == 0 && i < a.identities.n; i++) {
		if ((r = copy(a.identities.v[i], &one)) != 0)
			break;
		r = smx_strings_add(&im->default_identity, one);
		smx_free(one);
	}
	if (r == 0 && !im->default_known_hosts && a.known_hosts.p)
		r = copy(a.known_hosts, &im->default_known_hosts);
	if (r == 0 && !im->local_user)
		r = copy(a.user, &im->local_user);
	return r != 0 ? r : import_needs_baseline(im, text);
}

int smx_import_no_answer(struct smx_import *im, size_t i, const char *why)
{
	char line[WHY_MAX];

	/* ssh may say several things; the first is what it stumbled over. */
	why += strspn(why, "\r\n\t ");
	(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(why, "\r\n"), why);
	im->hosts[i].is_why_of_ssh = !im->hosts[i].why;
	return import_refuse(&im->hosts[i], "%s", line[0] ? line : "ssh -G failed");
}
