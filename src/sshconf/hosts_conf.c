/* SPDX-License-Identifier: MIT */
#include "sshconf/hosts_conf.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/kex.h"
#include "sshconf/hosts_conf_int.h"
#include "sshconf/ssh_config.h"
#include "trust/pattern.h"

#define BOM "\xef\xbb\xbf"

/* ---- quoting -----------------------------------------------------------------------------------
 */

const char *smx_conf_path_fault(const char *path, int in_include)
{
	for (const char *s = path; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return "has a control character";
		if (s[0] == '$' && s[1] == '{')
			return "has a \"${\", which ssh takes for a variable";
		if (*s == '%' && in_include)
			return "has a '%', which newer versions of ssh expand and older ones don't";
	}
	return NULL;
}

/* No absolute path of Unix begins with a drive, or with a share. */
static int is_windows_path(const char *s)
{
	int letter = (s[0] >= 'A' && s[0] <= 'Z') || (s[0] >= 'a' && s[0] <= 'z');

	return (letter && s[1] == ':' && (s[2] == '\\' || s[2] == '/')) ||
	       (s[0] == '\\' && s[1] == '\\');
}

/*
 * A path of Windows gets forward slashes, which every ssh there takes: whether a backslash escapes
 * in quotes depends on its version.
 */
int hosts_put_quoted(struct smx_buf *out, const char *s, int quoting)
{
	int r = smx_buf_put(out, "\"", 1), is_windows = is_windows_path(s);

	for (; r == 0 && *s; s++) {
		if (is_windows && *s == '\\') {
			r = smx_buf_put(out, "/", 1);
			continue;
		}
		if ((quoting & QUOTE_GLOB) && strchr("*?[]\\", *s))
			r = smx_buf_put(out, "\\\\", 2);
		if (r == 0 && (*s == '"' || *s == '\\'))
			r = smx_buf_put(out, "\\", 1);
		if (r == 0 && *s == '%' && (quoting & QUOTE_PERCENT))
			r = smx_buf_put(out, "%", 1);
		if (r == 0)
			r = smx_buf_put(out, s, 1);
	}
	return r != 0 ? r : smx_buf_put(out, "\"", 1);
}

/*
 * The same on Windows, where ssh.exe starts the program itself, without a shell, and older ones
 * take quotes where none are needed for a part of the name. Forward slashes are for other ports of
 * ssh, which do have a shell.
 */
static int put_windows_word(struct smx_buf *out, const char *s)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/\\._-";
	int quoted = s[strspn(s, plain)] != '\0', r = quoted ? smx_buf_put(out, "\"", 1) : 0;

	for (; r == 0 && *s; s++) {
		if (*s == '%')
			r = smx_buf_put(out, "%", 1);
		if (r == 0)
			r = smx_buf_put(out, *s == '\\' ? "/" : s, 1);
	}
	return r == 0 && quoted ? smx_buf_put(out, "\"", 1) : r;
}

/*
 * A word of a ProxyCommand, which ssh expands and hands to the user's shell, whichever that is:
 * double quotes mean the same to all of them as long as none of their own characters is within;
 * else single quotes do.
 */
static int put_shell_word(struct smx_buf *out, const char *prefix, const char *s)
{
	if (is_windows_path(s))
		return put_windows_word(out, s);
	int plain = strpbrk(s, "\"$`\\!") == NULL, r;
	const char *quote = plain ? "\"" : "'";

	(void)((r = smx_buf_put(out, quote, 1)) != 0 || (r = smx_buf_put_str(out, prefix)) != 0);
	for (; r == 0 && *s; s++) {
		if (*s == '%')
			r = smx_buf_put(out, "%%", 2);
		else if (*s == '\'' && !plain)
			r = smx_buf_put(out, "'\\''", 4);
		else
			r = smx_buf_put(out, s, 1);
	}
	return r != 0 ? r : smx_buf_put(out, quote, 1);
}

/* ---- ssh-mux-hosts.conf ------------------------------------------------------------------------
 */

/* The cheapest first, for a hop that never leaves this machine. */
#define KEX     "ecdh-sha2-nistp256,curve25519-sha256"
#define MLKEM   "mlkem768x25519-sha256"
#define CIPHERS "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com"
#define MACS    "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com"

static const char *const probes[SMX_HOSTS_OPTIONS] = {
	/* Whatever the user has narrowed it to for some old server: all that we take. */
	[SMX_HOSTS_PUBKEY_ALGORITHMS] =
		"PubkeyAcceptedAlgorithms=ssh-ed25519*,sk-*,ecdsa-*,rsa-sha2-*",
	[SMX_HOSTS_KNOWN_HOSTS_COMMAND] = "KnownHostsCommand=none",
	/* Chaff packets are for the wire. */
	[SMX_HOSTS_OBSCURE_KEYSTROKES] = "ObscureKeystrokeTiming=no",
	[SMX_HOSTS_GSSAPI_KEX] = "GSSAPIKeyExchange=no",
	/* A token's PIN is not asked for where no key of a token logs in. */
	[SMX_HOSTS_PKCS11] = "PKCS11Provider=none",
	[SMX_HOSTS_WARN_WEAK_CRYPTO] = "WarnWeakCrypto=no-pq-kex",
	[SMX_HOSTS_MLKEM] = ("KexAlgorithms=" MLKEM),
};

const char *smx_hosts_option_probe(enum smx_hosts_option option)
{
	return probes[option];
}

/*
 * What is the same for every route. ssh takes the first value that it finds for an option, so each
 * line here is what keeps a later block's (Host *, above all) from this hop.
 */
static const char *const fixed[] = {
	/* Where it goes. A CanonicalizeHostname would have the config read again for 127.0.0.1. */
	"AddressFamily inet",
	"BindAddress 127.0.0.1", /* it also turns BindInterface off */
	"CanonicalizeHostname no",
	/*
	 * One login and no other way in. A ControlPath without the user's name in it would have all
	 * routes meet at one socket, for they have one host and one port: `ssh db` on `web`.
	 */
	"ControlMaster no",
	"ControlPath none",
	"PubkeyAuthentication yes",
	"PreferredAuthentications publickey",
	"PasswordAuthentication no",
	"KbdInteractiveAuthentication no",
	/* The local server is known by one key, from one file, whatever else is said about keys. */
	"HostKeyAlgorithms ssh-ed25519",
	"NoHostAuthenticationForLocalhost no",
	"CheckHostIP no",
	"VerifyHostKeyDNS no",
	"UpdateHostKeys no",
	"Ciphers " CIPHERS,
	"MACs " MACS,
	/* Nothing to gain between two processes of one machine. */
	"Compression no",
	"RekeyLimit default 1w",
	/* The local server refuses it; asked for, it would be a complaint in every session. */
	"ForwardX11 no",
};

static int put_fixed(struct smx_buf *out)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < SMX_ARRAY_LEN(fixed); i++)
		r = smx_buf_printf(out, "    %s\n", fixed[i]);
	return r;
}

/*
 * Newer ssh warns about a key agreement that is not post-quantum. Where both sides have one it
 * goes first, for about a millisecond; where we don't, nothing is at risk on loopback, and the
 * warning is turned off. Where ssh does not warn, the cheapest stays first.
 */
static int put_kex(const struct smx_hosts_conf *o, struct smx_buf *out)
{
	int warns = o->known >> SMX_HOSTS_WARN_WEAK_CRYPTO & 1;
	int both = smx_kex_find(smx_view_of(MLKEM, strlen(MLKEM))) != NULL &&
		   (o->known >> SMX_HOSTS_MLKEM & 1);
	int r = smx_buf_printf(
		out, "    KexAlgorithms %s" KEX "\n", warns && both ? MLKEM "," : "");

	if (r == 0 && warns && !both)
		r = smx_buf_put_str(out, "    WarnWeakCrypto no-pq-kex\n");
	return r;
}

static int put_optional(const struct smx_hosts_conf *o, struct smx_buf *out)
{
	int r = 0;

	for (int i = 0; r == 0 && i < SMX_HOSTS_WARN_WEAK_CRYPTO; i++) {
		size_t n = strcspn(probes[i], "=");

		if (i == SMX_HOSTS_PKCS11 && !o->identities_only)
			continue;
		if (o->known >> i & 1)
			r = smx_buf_printf(
				out, "    %.*s %s\n", (int)n, probes[i], probes[i] + n + 1);
	}
	return r;
}

int hosts_put_path(struct smx_buf *out, const char *option, const char *path)
{
	int r = smx_buf_printf(out, "    %s ", option);

	if (r == 0)
		r = hosts_put_quoted(out, path, QUOTE_PERCENT);
	return r != 0 ? r : smx_buf_put(out, "\n", 1);
}

/*
 * The keys that the local server takes. Without them an IdentityFile with IdentitiesOnly, in the
 * user's own block for the real server, would leave none to offer; and an agent that holds many
 * offers all of them. IdentityFile adds up, and these come first.
 */
static int put_identity(const struct smx_hosts_conf *o, struct smx_buf *out)
{
	int r = smx_buf_printf(out, "    IdentitiesOnly %s\n", o->identities_only ? "yes" : "no");

	for (size_t i = 0; r == 0 && i < o->n_identity; i++)
		r = hosts_put_path(out, "IdentityFile", o->identity[i]);
	return r;
}

/*
 * W1: whether ssh can be told the route's own user, so that its %r is the user that is asked for.
 * Newer ones take a '%' there for a token, and a backslash before some characters for an escape;
 * ssh.exe of Windows runs no shell, to which a blank could be quoted.
 */
static int can_tell_user(const struct smx_hosts_conf *o, const struct smx_hop *hop)
{
	return !strpbrk(hop->user, is_windows_path(o->program) ? "% " : "%") &&
	       !strstr(hop->user, "\\\\") && !strstr(hop->user, "\\ ");
}

/*
 * W1: what ssh is asked for, for `proxy` to pass on. In single quotes no shell sees anything in a
 * user name, but for a quote, which no ssh since 9.6 lets in.
 */
static const char *proxy_words(const struct smx_hosts_conf *o, const struct smx_hop *hop)
{
	if (!can_tell_user(o, hop))
		return "";
	return is_windows_path(o->program) ? " %r %h %p" : " '%r' %h %p";
}

/* Of ProxyCommand and ProxyJump the one that comes first wins, "none" included. */
static int put_way(
	const struct smx_hosts_conf *o, const struct smx_route *route, struct smx_buf *out)
{
	int r;

	if (!o->program)
		return smx_buf_put_str(out, "    ProxyJump none\n    ProxyCommand none\n");
	if ((r = smx_buf_put_str(out, "    ProxyCommand ")) == 0 && o->program_ssh_dir) {
		(void)((r = smx_buf_put_str(out, "env ")) != 0 ||
			(r = put_shell_word(out, "SSH_MUX_SSH_DIR=", o->program_ssh_dir)) != 0 ||
			(r = smx_buf_put(out, " ", 1)) != 0);
	}
	if (r == 0 && (r = put_shell_word(out, "", o->program)) == 0)
		r = smx_buf_printf(out, " proxy %s%s\n    ProxyJump none\n    ProxyUseFdpass no\n",
			route->name, proxy_words(o, smx_route_target(route)));
	return r;
}

/* The route's own, so that what ssh is asked for instead can be told from them. */
static int put_real_place(const struct smx_hop *hop, struct smx_buf *out)
{
	const char *quote = strpbrk(hop->user, " \t#=") ? "\"" : "";
	const char *zone = strchr(hop->host, '%');
	int n = (int)(zone ? (size_t)(zone - hop->host) : strlen(hop->host));

	return smx_buf_printf(out, "    HostName %.*s%s%s\n    Port %u\n    User %s%s%s\n", n,
		hop->host, zone ? "%" : "", zone ? zone : "", (unsigned)hop->port, quote, hop->user,
		quote);
}

static int put_place(
	const struct smx_hosts_conf *o, const struct smx_route *route, struct smx_buf *out)
{
	const struct smx_hop *hop = smx_route_target(route);

	if (o->program && can_tell_user(o, hop))
		return put_real_place(hop, out);
	return smx_buf_printf(out, "    HostName 127.0.0.1\n    Port %u\n    User %s\n",
		(unsigned)o->port, route->name);
}

static int put_block(const struct smx_hosts_conf *o, const struct smx_route *route,
	struct smx_view same, struct smx_buf *out)
{
	int r;

	(void)((r = smx_buf_printf(out, "\nHost %s\n", route->name)) != 0 ||
		(r = put_place(o, route, out)) != 0 || (r = put_way(o, route, out)) != 0 ||
		(r = smx_buf_put(out, same.p, same.len)) != 0);
	return r;
}

static int put_same(const struct smx_hosts_conf *o, struct smx_buf *out)
{
	int r;

	(void)((r = smx_buf_printf(out, "    HostKeyAlias %s\n    StrictHostKeyChecking %s\n",
			o->key_alias, o->accept_new ? "accept-new" : "yes")) != 0 ||
		(r = hosts_put_path(out, "UserKnownHostsFile", o->known_path)) != 0 ||
		/* The system's file may have a pattern that matches any name; "none" is newer. */
		(r = hosts_put_path(out, "GlobalKnownHostsFile", o->known_path)) != 0 ||
		(r = put_identity(o, out)) != 0 || (r = put_kex(o, out)) != 0 ||
		(r = put_fixed(out)) != 0 || (r = put_optional(o, out)) != 0);
	return r;
}

static int put_top(const struct smx_hosts_conf *o, struct smx_buf *out)
{
	return smx_buf_printf(out,
		HOSTS_MARK
		" from %s.\n"
		"# What is changed here is lost: change the routes, and run it again.\n"
		"# ssh takes the first value it finds for an option, so these come before those\n"
		"# of your own blocks. What adds up, as LocalForward does, still adds up.\n",
		o->routes_path);
}

static int has_fault(const struct smx_hosts_conf *o)
{
	int bad = smx_conf_path_fault(o->known_path, 0) != NULL ||
		  smx_conf_path_fault(o->routes_path, 0) != NULL;

	bad |= o->control_dir && smx_conf_path_fault(o->control_dir, 0) != NULL;
	/* The shell's words: no variables there, but lines end there too. */
	bad |= o->program && strpbrk(o->program, "\n\r") != NULL;
	bad |= o->program_ssh_dir && strpbrk(o->program_ssh_dir, "\n\r") != NULL;
	for (size_t i = 0; i < o->n_identity; i++)
		bad |= smx_conf_path_fault(o->identity[i], 0) != NULL;
	return bad;
}

int smx_hosts_conf_write(
	const struct smx_routes *routes, const struct smx_hosts_conf *o, struct smx_buf *out)
{
	struct smx_buf same;
	int r;

	if (has_fault(o))
		return SMX_EINVAL;
	if (o->control_dir)
		return hosts_control_write(routes, o, out);
	smx_buf_init(&same, SMX_HOSTS_CONF_MAX);
	if ((r = put_same(o, &same)) == 0 && (r = put_top(o, out)) == 0)
		for (size_t i = 0; r == 0 && i < routes->n_routes; i++)
			r = o->is_left && o->is_left[i]
				    ? hosts_put_left(out, routes->routes[i].name)
				    : put_block(o, &routes->routes[i], smx_buf_as_view(&same), out);
	smx_buf_release(&same);
	return r;
}

int smx_hosts_conf_is_ours(struct smx_view text)
{
	size_t n = sizeof(HOSTS_MARK) - 1;

	return text.len == 0 || (text.len >= n && memcmp(text.p, HOSTS_MARK, n) == 0);
}

int hosts_put_left(struct smx_buf *out, const char *route)
{
	return smx_buf_printf(out, "\n# %s " HOSTS_LEFT "\n", route);
}

int smx_hosts_conf_is_left(const char *text, const char *route)
{
	char line[SMX_ROUTE_NAME_MAX + 32];

	(void)snprintf(line, sizeof(line), "\n# %s " HOSTS_LEFT "\n", route);
	return strstr(text, line) != NULL;
}

int smx_hosts_conf_is_control(struct smx_view text)
{
	size_t n = sizeof(HOSTS_MARK HOSTS_CONTROL) - 1;

	return text.len >= n && memcmp(text.p, HOSTS_MARK HOSTS_CONTROL, n) == 0;
}

/* ---- the Include line --------------------------------------------------------------------------
 */

int smx_include_line(const struct smx_include *inc, struct smx_buf *out)
{
	int r;

	if (inc->is_home)
		return smx_buf_printf(out, "Include %s", inc->name);
	if (smx_conf_path_fault(inc->path, 1))
		return SMX_EINVAL;
	if ((r = smx_buf_put_str(out, "Include ")) == 0)
		r = hosts_put_quoted(out, inc->path, QUOTE_GLOB);
	return r;
}

/* Whether a word of Include is the path, by the letter or with the pattern's backslashes; on
 * Windows, with either slash. */
static int is_path(const char *word, const char *path)
{
	int is_windows = is_windows_path(path);

	for (; *word; word++, path++) {
		if (is_windows && (*word == '\\' || *word == '/') &&
			(*path == '\\' || *path == '/'))
			continue;
		if (*word == '\\' && word[1] != '\0' && strchr("*?[]\\", word[1]))
			word++;
		if (*word != *path)
			return 0;
	}
	return *path == '\0';
}

static int is_ours(const struct smx_include *inc, const char *word)
{
	static const char home[] = "~/.ssh/";

	if (is_path(word, inc->path))
		return 1;
	if (!inc->is_home)
		return 0;
	if (strncmp(word, home, sizeof(home) - 1) == 0)
		word += sizeof(home) - 1;
	return is_path(word, inc->name);
}

/* "Host *" and "Match all" match everything: what is below them is merely late. */
static int matches_all(const struct smx_ssh_config_line *line)
{
	return line->n_words == 1 &&
	       strcmp(line->words[0].text, line->kind == SMX_SSH_CONFIG_HOST ? "*" : "all") == 0;
}

static void look_at(const struct smx_include *inc, const struct smx_ssh_config_line *line,
	enum smx_include_place *here, struct smx_include_found *ret)
{
	switch (line->kind) {
	case SMX_SSH_CONFIG_HOST:
	case SMX_SSH_CONFIG_MATCH:
		*here = matches_all(line) ? SMX_INCLUDE_LATE : SMX_INCLUDE_CONDITIONAL;
		break;
	case SMX_SSH_CONFIG_INCLUDE:
		for (size_t i = 0; i < line->n_words; i++) {
			if (!is_ours(inc, line->words[i].text))
				continue;
			if (ret->count++ == 0) {
				ret->place = *here;
				ret->line = line->number;
			}
		}
		break;
	default:
		if (*here == SMX_INCLUDE_TOP)
			*here = SMX_INCLUDE_LATE;
		break;
	}
}

static size_t bom_len(struct smx_view text)
{
	return text.len >= sizeof(BOM) - 1 && memcmp(text.p, BOM, sizeof(BOM) - 1) == 0
		       ? sizeof(BOM) - 1
		       : 0;
}

int smx_include_find(
	const struct smx_include *inc, struct smx_view text, struct smx_include_found *ret)
{
	struct smx_include_found found = { .place = SMX_INCLUDE_NONE };
	enum smx_include_place here = SMX_INCLUDE_TOP;
	struct smx_ssh_config_reader rd;
	struct smx_ssh_config_line line;
	size_t bom = bom_len(text);
	int r;

	found.has_bom = bom > 0;
	if (bom)
		text = (struct smx_view){ text.p + bom, text.len - bom };
	smx_ssh_config_reader_init(&rd, text);
	while ((r = smx_ssh_config_next(&rd, &line)) > 0)
		look_at(inc, &line, &here, &found);
	smx_ssh_config_reader_release(&rd);
	if (r == 0)
		*ret = found;
	return r;
}

int smx_include_prepend(const struct smx_include *inc, struct smx_view text, struct smx_buf *out)
{
	size_t bom = bom_len(text);
	const uint8_t *end = text.len ? memchr(text.p, '\n', text.len) : NULL;
	int crlf = end && end > text.p && end[-1] == '\r', r;

	if ((r = smx_buf_put(out, text.p, bom)) == 0 && (r = smx_include_line(inc, out)) == 0 &&
		(r = smx_buf_put_str(out, crlf ? "\r\n" : "\n")) == 0 && text.len > bom)
		r = smx_buf_put(out, text.p + bom, text.len - bom);
	return r;
}

/* ---- blocks of the user's for the same names ---------------------------------------------------
 */

enum { MATCHES = 1, IS_LITERAL = 2 };

/* As ssh does: some pattern matches, no negated one does. all: patterns that match every host
 * count.
 */
static int host_line_matches(const struct smx_ssh_config_line *line, const char *name, int all)
{
	struct smx_view text = smx_view_of(name, strlen(name));
	int found = 0;

	for (size_t i = 0; i < line->n_words; i++) {
		const char *word = line->words[i].text;
		int negated = word[0] == '!';
		struct smx_view pattern = smx_view_of(word + negated, strlen(word + negated));

		if (!smx_pattern_match(text, pattern, 0))
			continue;
		if (negated)
			return 0;
		if (all || pattern.p[strspn(word, "*")] != '\0')
			found |= MATCHES | (strcmp(word, name) == 0 ? IS_LITERAL : 0);
	}
	return found;
}

struct overlap_search {
	const struct smx_routes *routes;
	smx_overlap_fn *found;
	smx_overlap_include_fn *include;
	void *arg;
	/* ControlPath lines instead of Host lines: of each route, how the block names it. */
	unsigned char *named;
	int is_for_all; /* the block holds for every host, or may */
};

static int on_host(struct overlap_search *s, const struct smx_ssh_config_line *line)
{
	int r = 0, how;

	s->is_for_all = host_line_matches(line, "*", 1);
	for (size_t i = 0; r == 0 && i < s->routes->n_routes; i++) {
		how = host_line_matches(line, s->routes->routes[i].name, 0);
		if (s->named)
			s->named[i] = (unsigned char)how;
		else if (how)
			r = s->found(s->arg, i, line->number, (how & IS_LITERAL) != 0);
	}
	return r;
}

static int on_match(struct overlap_search *s)
{
	s->is_for_all = 1;
	if (s->named)
		memset(s->named, 0, s->routes->n_routes);
	return 0;
}

static int on_control_path(struct overlap_search *s, const struct smx_ssh_config_line *line)
{
	int r = 0;

	if (!s->named || line->n_words == 0 || strcmp(line->words[0].text, "none") == 0)
		return 0;
	for (size_t i = 0; r == 0 && i < s->routes->n_routes; i++)
		if (s->named[i])
			r = s->found(s->arg, i, line->number, 1);
	return r == 0 && s->is_for_all && s->routes->n_routes > 0
		       ? s->found(s->arg, 0, line->number, 0)
		       : r;
}

static int on_line(struct overlap_search *s, const struct smx_ssh_config_line *line)
{
	int r = 0;

	switch (line->kind) {
	case SMX_SSH_CONFIG_HOST:
		return on_host(s, line);
	case SMX_SSH_CONFIG_MATCH:
		return on_match(s);
	case SMX_SSH_CONFIG_CONTROL_PATH:
		return on_control_path(s, line);
	case SMX_SSH_CONFIG_INCLUDE:
		for (size_t i = 0; r == 0 && i < line->n_words; i++)
			r = s->include(s->arg, line->words[i].text);
		break;
	default:
		break;
	}
	return r;
}

static int search_text(struct overlap_search *s, struct smx_view text)
{
	struct smx_ssh_config_reader rd;
	struct smx_ssh_config_line line;
	size_t bom = bom_len(text);
	int r;

	if (bom)
		text = (struct smx_view){ text.p + bom, text.len - bom };
	smx_ssh_config_reader_init(&rd, text);
	while ((r = smx_ssh_config_next(&rd, &line)) > 0)
		if ((r = on_line(s, &line)) != 0)
			break;
	smx_ssh_config_reader_release(&rd);
	return r;
}

int smx_overlap_find(const struct smx_routes *routes, struct smx_view text, smx_overlap_fn *found,
	smx_overlap_include_fn *include, void *arg)
{
	struct overlap_search s = {
		.routes = routes, .found = found, .include = include, .arg = arg
	};

	return search_text(&s, text);
}

int smx_control_path_find(const struct smx_routes *routes, struct smx_view text,
	smx_overlap_fn *found, smx_overlap_include_fn *include, void *arg)
{
	struct overlap_search s = {
		.routes = routes, .found = found, .include = include, .arg = arg, .is_for_all = 1
	};
	int r;

	if (!(s.named = smx_calloc(routes->n_routes + 1, 1)))
		return SMX_ENOMEM;
	r = search_text(&s, text);
	smx_free(s.named);
	return r;
}
