/* SPDX-License-Identifier: MIT */
#include "sshconf/ssh_config.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* ---- lines -------------------------------------------------------------------------------------
 */

void smx_ssh_config_reader_init(struct smx_ssh_config_reader *rd, struct smx_view text)
{
	*rd = (struct smx_ssh_config_reader){ .rest = text };
}

void smx_ssh_config_reader_release(struct smx_ssh_config_reader *rd)
{
	smx_free(rd->chars);
	smx_free(rd->words);
	smx_ssh_config_reader_init(rd, (struct smx_view){ NULL, 0 });
}

static int is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t skip_blanks(struct smx_view v, size_t at)
{
	while (at < v.len && is_blank(v.p[at]))
		at++;
	return at;
}

static int equal_ignoring_case(struct smx_view v, const char *lower)
{
	size_t n = strlen(lower);

	if (v.len != n)
		return 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = v.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c + ('a' - 'A'));
		if (c != (uint8_t)lower[i])
			return 0;
	}
	return 1;
}

/* The next line of the text without its end; 0: there is none. */
static int cut_line(struct smx_view *rest, struct smx_view *ret)
{
	const uint8_t *end;

	if (rest->len == 0)
		return 0;
	end = memchr(rest->p, '\n', rest->len);
	ret->p = rest->p;
	ret->len = end ? (size_t)(end - rest->p) : rest->len;
	rest->p += ret->len + (end != NULL);
	rest->len -= ret->len + (end != NULL);
	return 1;
}

/*
 * The keyword, of which only the part in quotes counts if it has any; *ret_at: where its arguments
 * begin. 0: none that ssh would see.
 */
static int cut_keyword(struct smx_view line, struct smx_view *ret, size_t *ret_at)
{
	size_t at = skip_blanks(line, 0), from = at;
	int has_equals = 0;

	/* An empty token before a '=' is passed over, once. */
	if (at == 0 && line.len > 0 && line.p[0] == '=')
		from = at = skip_blanks(line, 1);
	while (at < line.len && !is_blank(line.p[at]) && line.p[at] != '"' && line.p[at] != '=')
		at++;
	if (at < line.len && line.p[at] == '"') {
		size_t open = at++;

		while (at < line.len && line.p[at] != '"')
			at++;
		if (at == line.len)
			return 0;
		/* Text before the quote would be part of it; no keyword is written so. */
		*ret = (struct smx_view){ line.p + open + 1, open == from ? at - open - 1 : 0 };
		*ret_at = skip_blanks(line, at + 1);
		return 1;
	}
	*ret = (struct smx_view){ line.p + from, at - from };
	if (at < line.len) {
		has_equals = line.p[at] == '=';
		at = skip_blanks(line, at + 1);
		if (!has_equals && at < line.len && line.p[at] == '=')
			at = skip_blanks(line, at + 1);
	}
	*ret_at = at;
	return 1;
}

static enum smx_ssh_config_kind kind_of(struct smx_view keyword)
{
	if (equal_ignoring_case(keyword, "host"))
		return SMX_SSH_CONFIG_HOST;
	if (equal_ignoring_case(keyword, "match"))
		return SMX_SSH_CONFIG_MATCH;
	if (equal_ignoring_case(keyword, "include"))
		return SMX_SSH_CONFIG_INCLUDE;
	if (equal_ignoring_case(keyword, "controlpath"))
		return SMX_SSH_CONFIG_CONTROL_PATH;
	if (equal_ignoring_case(keyword, "proxyjump"))
		return SMX_SSH_CONFIG_PROXY_JUMP;
	if (equal_ignoring_case(keyword, "proxycommand"))
		return SMX_SSH_CONFIG_PROXY_COMMAND;
	return SMX_SSH_CONFIG_OTHER;
}

static int add_word(struct smx_ssh_config_reader *rd, const char *text, size_t column)
{
	struct smx_ssh_config_word *words;
	size_t cap = rd->words_cap ? rd->words_cap * 2 : 16;

	if (rd->n_words == rd->words_cap) {
		if ((words = smx_realloc(rd->words, cap * sizeof(*words))) == NULL)
			return SMX_ENOMEM;
		rd->words = words;
		rd->words_cap = cap;
	}
	rd->words[rd->n_words++] =
		(struct smx_ssh_config_word){ .text = text, .column = (unsigned)column + 1 };
	return 0;
}

/* Whether the '\\' at `at` makes the next character an ordinary one. */
static int is_escape(struct smx_view line, size_t at, uint8_t quote)
{
	uint8_t next;

	if (line.p[at] != '\\' || at + 1 >= line.len)
		return 0;
	next = line.p[at + 1];
	return next == '\'' || next == '"' || next == '\\' || (quote == 0 && next == ' ');
}

/* One word from `at` on; *ret_open: where its unfinished quote begins, or SIZE_MAX. */
static size_t copy_word(struct smx_view line, size_t at, char **to, size_t *ret_open)
{
	uint8_t quote = 0;

	*ret_open = SIZE_MAX;
	for (; at < line.len; at++) {
		uint8_t c = line.p[at];

		if (is_escape(line, at, quote)) {
			*(*to)++ = (char)line.p[++at];
		} else if (quote == 0 && (c == ' ' || c == '\t')) {
			break;
		} else if (quote == 0 && (c == '"' || c == '\'')) {
			quote = c;
			*ret_open = at;
		} else if (quote != 0 && c == quote) {
			quote = 0;
			*ret_open = SIZE_MAX;
		} else {
			*(*to)++ = (char)c;
		}
	}
	*(*to)++ = '\0';
	return at;
}

static int split(struct smx_ssh_config_reader *rd, struct smx_view line, size_t at,
	struct smx_ssh_config_line *ret)
{
	size_t open;
	char *to;
	int r;

	/* Each word takes one byte more than it has, and one less than it stands for with what is
	 * between it and the next. */
	smx_free(rd->chars);
	if ((rd->chars = to = smx_malloc(line.len + 2)) == NULL)
		return SMX_ENOMEM;
	while (at < line.len) {
		const char *word = to;
		size_t from = at;

		if (line.p[at] == ' ' || line.p[at] == '\t') {
			at++;
			continue;
		}
		if (line.p[at] == '#')
			break;
		at = copy_word(line, at, &to, &open);
		if (open != SIZE_MAX) {
			ret->fault = "has a quote that does not end";
			ret->fault_column = (unsigned)open + 1;
			rd->n_words = 0;
			return 0;
		}
		if ((r = add_word(rd, word, from)) != 0)
			return r;
	}
	return 0;
}

int smx_ssh_config_next(struct smx_ssh_config_reader *rd, struct smx_ssh_config_line *ret)
{
	struct smx_view whole, line, keyword;
	struct smx_ssh_config_line l;
	size_t at;
	int r;

	while (cut_line(&rd->rest, &whole)) {
		rd->number++;
		rd->n_words = 0;
		line = whole;
		while (line.len > 0 &&
			(is_blank(line.p[line.len - 1]) || line.p[line.len - 1] == '\f'))
			line.len--;
		if (!cut_keyword(line, &keyword, &at) || keyword.len == 0 || keyword.p[0] == '#')
			continue;
		l = (struct smx_ssh_config_line){ .kind = kind_of(keyword),
			.number = rd->number,
			.text = whole,
			.fault_column = 1 };
		if (line.len > SMX_SSH_CONFIG_LINE_MAX)
			l.fault = "is longer than 65536 bytes";
		else if (memchr(line.p, '\0', line.len))
			l.fault = "has a NUL byte in it";
		else if (at >= line.len)
			l.fault = "has nothing behind its keyword";
		else if ((r = split(rd, line, at, &l)) != 0)
			return r;
		l.words = rd->words;
		l.n_words = rd->n_words;
		*ret = l;
		return 1;
	}
	return 0;
}

int smx_ssh_config_is_literal(const char *word)
{
	return word[0] != '!' && strpbrk(word, "*?") == NULL;
}

/* ---- ssh -G ------------------------------------------------------------------------------------
 */

static void set_once(struct smx_view *to, struct smx_view value)
{
	if (!to->p)
		*to = value;
}

static void list_add(struct smx_ssh_answer_list *list, struct smx_view value)
{
	if (list->n == SMX_SSH_ANSWER_LIST_MAX)
		list->has_more = 1;
	else
		list->v[list->n++] = value;
}

static void take_line(struct smx_ssh_answer *a, struct smx_view key, struct smx_view value)
{
	const struct {
		const char *key;
		struct smx_view *one;
		struct smx_ssh_answer_list *list;
	} keys[] = {
		{ "hostname", &a->host, NULL },
		{ "user", &a->user, NULL },
		{ "port", &a->port, NULL },
		{ "proxyjump", &a->proxy_jump, NULL },
		{ "proxycommand", &a->proxy_command, NULL },
		{ "hostkeyalias", &a->host_key_alias, NULL },
		{ "identitiesonly", &a->identities_only, NULL },
		{ "identityagent", &a->identity_agent, NULL },
		{ "userknownhostsfile", &a->known_hosts, NULL },
		{ "controlpath", &a->control_path, NULL },
		{ "identityfile", NULL, &a->identities },
		{ "certificatefile", NULL, &a->certificates },
		{ "sendenv", NULL, &a->send_env },
		{ "setenv", NULL, &a->set_env },
	};

	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		if (!equal_ignoring_case(key, keys[i].key))
			continue;
		if (keys[i].one)
			set_once(keys[i].one, value);
		else
			list_add(keys[i].list, value);
	}
}

static void drop_none(struct smx_view *v)
{
	if (v->p && equal_ignoring_case(*v, "none"))
		*v = (struct smx_view){ NULL, 0 };
}

int smx_ssh_answer_parse(struct smx_view text, struct smx_ssh_answer *ret)
{
	struct smx_ssh_answer a = { .host = { NULL, 0 } };
	struct smx_view line;

	while (cut_line(&text, &line)) {
		const uint8_t *blank;
		size_t n;

		/* ssh on Windows ends lines so; a CR of a value's own is not the last byte. */
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0 || (blank = memchr(line.p, ' ', line.len)) == NULL)
			continue;
		n = (size_t)(blank - line.p);
		take_line(&a, (struct smx_view){ line.p, n },
			(struct smx_view){ blank + 1, line.len - n - 1 });
	}
	drop_none(&a.proxy_jump);
	drop_none(&a.proxy_command);
	drop_none(&a.control_path);
	if (!a.host.p || !a.user.p || !a.port.p)
		return SMX_ESYNTAX;
	*ret = a;
	return 0;
}

/* ---- ProxyJump ---------------------------------------------------------------------------------
 */

static int parse_port(struct smx_view v, unsigned *ret)
{
	unsigned n = 0;

	if (v.len == 0 || v.len > 5)
		return SMX_ESYNTAX;
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return SMX_ESYNTAX;
		n = n * 10 + (unsigned)(v.p[i] - '0');
	}
	if (n == 0 || n > 65535)
		return SMX_ESYNTAX;
	*ret = n;
	return 0;
}

static size_t last_of(struct smx_view v, char c)
{
	for (size_t i = v.len; i > 0; i--) {
		if (v.p[i - 1] == (uint8_t)c)
			return i - 1;
	}
	return SIZE_MAX;
}

/* host[:port] or [address][:port]. */
static int split_host(struct smx_view v, struct smx_ssh_jump *j)
{
	size_t at;

	if (v.len > 0 && v.p[0] == '[') {
		if ((at = last_of(v, ']')) == SIZE_MAX)
			return SMX_ESYNTAX;
		j->host = (struct smx_view){ v.p + 1, at - 1 };
		v = (struct smx_view){ v.p + at + 1, v.len - at - 1 };
		if (v.len == 0)
			return 0;
		return v.p[0] == ':' ? parse_port((struct smx_view){ v.p + 1, v.len - 1 }, &j->port)
				     : SMX_ESYNTAX;
	}
	at = last_of(v, ':');
	/* Several colons without brackets are an address. */
	if (at == SIZE_MAX || memchr(v.p, ':', at)) {
		j->host = v;
		return 0;
	}
	j->host = (struct smx_view){ v.p, at };
	return parse_port((struct smx_view){ v.p + at + 1, v.len - at - 1 }, &j->port);
}

int smx_ssh_jump_next(struct smx_view *list, struct smx_ssh_jump *ret)
{
	static const char scheme[] = "ssh://";
	struct smx_ssh_jump j = { .user = { NULL, 0 } };
	struct smx_view v;
	const uint8_t *comma;
	size_t at;

	if (list->len == 0)
		return 0;
	comma = memchr(list->p, ',', list->len);
	v = (struct smx_view){ list->p, comma ? (size_t)(comma - list->p) : list->len };
	/* A comma with nothing behind it: an empty one is to come. */
	if (comma && v.len + 1 == list->len)
		return SMX_ESYNTAX;
	list->p += v.len + (comma != NULL);
	list->len -= v.len + (comma != NULL);
	if (v.len >= sizeof(scheme) - 1 && memcmp(v.p, scheme, sizeof(scheme) - 1) == 0) {
		v.p += sizeof(scheme) - 1;
		v.len -= sizeof(scheme) - 1;
		if (v.len > 0 && v.p[v.len - 1] == '/')
			v.len--;
	}
	/* As ssh: the last '@' is the one before the host, user names may have others. */
	if ((at = last_of(v, '@')) != SIZE_MAX) {
		j.user = (struct smx_view){ v.p, at };
		v = (struct smx_view){ v.p + at + 1, v.len - at - 1 };
		if (j.user.len == 0)
			return SMX_ESYNTAX;
	}
	if (split_host(v, &j) != 0 || j.host.len == 0)
		return SMX_ESYNTAX;
	*ret = j;
	return 1;
}
