/* SPDX-License-Identifier: MIT */
#include "mux/pool/greeting.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/hash.h"
#include "crypto/key.h"

#define DIGEST_LEN  32 /* of SHA-256 */
#define DIGEST_TEXT (2 * DIGEST_LEN)
#define HOPS_MAX    (1u << 20)
#define HEAD        "ssh-mux-greetings 1 "
#define NOTHING     "-"

struct greeting {
	struct smx_list node;
	uint8_t path[DIGEST_LEN]; /* of smx_hops_write */
	uint8_t key[DIGEST_LEN]; /* of its blob, unless `then` is UNKNOWN */
	enum greeting_then then;
	int in_turns;
	const struct smx_kex_alg *kex; /* to be guessed; NULL: nothing is */
	char host_key[SMX_ALG_NAME_SIZE];
};

static struct greeting *at(struct smx_list *node)
{
	return SMX_CONTAINER(node, struct greeting, node);
}

static void drop(struct greetings *g, struct greeting *it)
{
	smx_list_del(&it->node);
	g->n--;
	smx_free(it);
}

void greetings_init(struct greetings *g)
{
	smx_list_init(&g->list);
	g->n = 0;
	g->has_changed = 0;
}

void greetings_release(struct greetings *g)
{
	while (g->n)
		drop(g, at(g->list.next));
}

static int digest(struct smx_view v, uint8_t out[DIGEST_LEN])
{
	uint8_t all[SMX_HASH_MAX];
	int r = smx_hash(SMX_HASH_SHA256, v.p, v.len, all);

	if (r == 0)
		memcpy(out, all, DIGEST_LEN);
	return r;
}

static int digest_path(const struct smx_hop *hops, size_t n_hops, uint8_t out[DIGEST_LEN])
{
	struct smx_buf b;
	int r;

	smx_buf_init(&b, HOPS_MAX);
	if ((r = smx_hops_write(hops, n_hops, &b)) == 0)
		r = digest(smx_buf_as_view(&b), out);
	smx_buf_release(&b);
	return r;
}

static struct greeting *find_path(struct greetings *g, const uint8_t path[DIGEST_LEN])
{
	struct smx_list *node, *tmp;

	SMX_LIST_FOREACH (node, tmp, &g->list) {
		if (memcmp(at(node)->path, path, DIGEST_LEN) == 0)
			return at(node);
	}
	return NULL;
}

static struct greeting *find(struct greetings *g, const struct smx_hop *hops, size_t n_hops)
{
	uint8_t path[DIGEST_LEN];

	return digest_path(hops, n_hops, path) == 0 ? find_path(g, path) : NULL;
}

/* The one of these hops, made if there is none, at the head of the list. NULL: no memory. */
static struct greeting *take(struct greetings *g, const struct smx_hop *hops, size_t n_hops)
{
	uint8_t path[DIGEST_LEN];
	struct greeting *it;

	if (digest_path(hops, n_hops, path) != 0)
		return NULL;
	if ((it = find_path(g, path)) != NULL) {
		smx_list_del(&it->node);
		smx_list_add_tail(g->list.next, &it->node);
		return it;
	}
	if (!(it = smx_calloc(1, sizeof(*it))))
		return NULL;
	memcpy(it->path, path, DIGEST_LEN);
	smx_list_init(&it->node);
	smx_list_add_tail(g->list.next, &it->node);
	if (++g->n > GREETINGS_MAX)
		drop(g, at(g->list.prev));
	return it;
}

int greeting_is_key(
	struct greetings *g, const struct smx_hop *hops, size_t n_hops, struct smx_view blob)
{
	const struct greeting *it = find(g, hops, n_hops);
	uint8_t key[DIGEST_LEN];

	return it && it->then != GREETING_UNKNOWN && digest(blob, key) == 0 &&
	       memcmp(it->key, key, DIGEST_LEN) == 0;
}

int greeting_is_in_turns(struct greetings *g, const struct smx_hop *hops, size_t n_hops)
{
	const struct greeting *it = find(g, hops, n_hops);

	return it && it->in_turns;
}

enum greeting_then greeting_then(struct greetings *g, const struct smx_hop *hops, size_t n_hops)
{
	const struct greeting *it = find(g, hops, n_hops);

	return it ? it->then : GREETING_UNKNOWN;
}

int greeting_guess(struct greetings *g, const struct smx_hop *hops, size_t n_hops,
	const char **ret_kex, const char **ret_host_key)
{
	const struct greeting *it = find(g, hops, n_hops);

	if (!it || !it->kex || it->in_turns)
		return 0;
	*ret_kex = it->kex->name;
	*ret_host_key = it->host_key;
	return 1;
}

void greeting_note_key(struct greetings *g, const struct smx_hop *hops, size_t n_hops,
	struct smx_view blob, enum greeting_then then)
{
	struct greeting *it = take(g, hops, n_hops), was;

	if (!it)
		return;
	was = *it;
	it->then = blob.len && digest(blob, it->key) == 0 ? then : GREETING_UNKNOWN;
	if (it->then != was.then || memcmp(it->key, was.key, DIGEST_LEN) != 0)
		g->has_changed = 1;
}

void greeting_note_algs(
	struct greetings *g, const struct smx_hop *hops, size_t n_hops, const struct smx_algs *algs)
{
	struct greeting *it = take(g, hops, n_hops), was;

	if (!it)
		return;
	was = *it;
	/* Only what is chosen without a guess, too: a guess must not make an exchange weaker. */
	it->kex = algs->peer_host_key[0] && algs->peer_kex == algs->kex ? algs->kex : NULL;
	memcpy(it->host_key, algs->peer_host_key, sizeof(it->host_key));
	if (it->kex != was.kex || strcmp(it->host_key, was.host_key) != 0)
		g->has_changed = 1;
}

void greeting_forget_algs(struct greetings *g, const struct smx_hop *hops, size_t n_hops)
{
	struct greeting *it = find(g, hops, n_hops);

	if (!it || !it->kex)
		return;
	it->kex = NULL;
	g->has_changed = 1;
}

void greeting_note_in_turns(struct greetings *g, const struct smx_hop *hops, size_t n_hops)
{
	struct greeting *it = take(g, hops, n_hops);

	if (!it || it->in_turns)
		return;
	it->in_turns = 1;
	g->has_changed = 1;
}

/* --- as text --- */

static int put_digest(struct smx_buf *out, const uint8_t d[DIGEST_LEN])
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < DIGEST_LEN; i++)
		r = smx_buf_printf(out, "%02x", d[i]);
	return r;
}

/* The first line: what is offered to all servers. */
static int put_head(struct smx_buf *out)
{
	const char *kex = smx_kex_names(), *host_key = smx_sigalg_names(0);
	uint8_t d[DIGEST_LEN];
	struct smx_buf b;
	int r;

	smx_buf_init(&b, SMX_KEXINIT_MAX);
	if ((r = smx_put_cstr(&b, kex)) == 0 && (r = smx_put_cstr(&b, host_key)) == 0)
		r = digest(smx_buf_as_view(&b), d);
	smx_buf_release(&b);
	(void)(r != 0 || (r = smx_buf_put_str(out, HEAD)) != 0 || (r = put_digest(out, d)) != 0 ||
		(r = smx_put_u8(out, '\n')) != 0);
	return r;
}

static const char *const words[] = { NOTHING, "enough", "asks", "more" }; /* greeting_then */

/* PATH KEY WORD KEX HOST-KEY */
static int put_line(struct smx_buf *out, const struct greeting *it)
{
	int r;

	if ((r = put_digest(out, it->path)) != 0 || (r = smx_put_u8(out, ' ')) != 0 ||
		(r = it->then != GREETING_UNKNOWN ? put_digest(out, it->key)
						  : smx_buf_put_str(out, NOTHING)) != 0)
		return r;
	return smx_buf_printf(out, " %s %s %s\n", words[it->then],
		it->kex ? it->kex->name : NOTHING, it->kex ? it->host_key : NOTHING);
}

int greetings_write(const struct greetings *g, struct smx_buf *out)
{
	struct smx_list *node;
	int r = put_head(out);

	for (node = g->list.next; r == 0 && node != &g->list; node = node->next) {
		const struct greeting *it = at(node);

		if (!it->in_turns && (it->then != GREETING_UNKNOWN || it->kex))
			r = put_line(out, it);
	}
	return r;
}

static int nibble(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_digest(struct smx_view word, uint8_t out[DIGEST_LEN])
{
	if (word.len != DIGEST_TEXT)
		return SMX_ESYNTAX;
	for (size_t i = 0; i < DIGEST_LEN; i++) {
		int high = nibble(word.p[2 * i]), low = nibble(word.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return SMX_ESYNTAX;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

/* Up to `end`, which must be there. */
static int next_word(struct smx_view *rest, char end, struct smx_view *ret)
{
	const uint8_t *to = rest->len ? memchr(rest->p, end, rest->len) : NULL;

	if (!to)
		return SMX_ESYNTAX;
	*ret = (struct smx_view){ rest->p, (size_t)(to - rest->p) };
	rest->len -= ret->len + 1;
	rest->p = to + 1;
	return 0;
}

static int read_key(struct smx_view key, struct smx_view word, struct greeting *ret)
{
	size_t then = 0;

	while (then < SMX_ARRAY_LEN(words) && !smx_view_eq(word, words[then]))
		then++;
	if (then == SMX_ARRAY_LEN(words))
		return SMX_ESYNTAX;
	ret->then = (enum greeting_then)then;
	if (ret->then != GREETING_UNKNOWN)
		return read_digest(key, ret->key);
	return smx_view_eq(key, NOTHING) ? 0 : SMX_ESYNTAX;
}

static int read_algs(struct smx_view kex, struct smx_view host_key, struct greeting *ret)
{
	if (smx_view_eq(kex, NOTHING) && smx_view_eq(host_key, NOTHING))
		return 0;
	if (host_key.len == 0 || host_key.len >= sizeof(ret->host_key) ||
		memchr(host_key.p, ',', host_key.len))
		return SMX_ESYNTAX;
	for (size_t i = 0; i < host_key.len; i++)
		if (host_key.p[i] <= ' ' || host_key.p[i] > '~')
			return SMX_ESYNTAX;
	memcpy(ret->host_key, host_key.p, host_key.len);
	ret->kex = smx_kex_find(kex);
	return ret->kex ? 0 : SMX_ESYNTAX;
}

static int read_line(struct smx_view line, struct greeting *ret)
{
	struct smx_view path, key, kind, kex;
	int r;

	if ((r = next_word(&line, ' ', &path)) != 0 || (r = next_word(&line, ' ', &key)) != 0 ||
		(r = next_word(&line, ' ', &kind)) != 0 || (r = next_word(&line, ' ', &kex)) != 0 ||
		(r = read_digest(path, ret->path)) != 0 || (r = read_key(key, kind, ret)) != 0)
		return r;
	return read_algs(kex, line, ret);
}

/* Behind the others. */
static int add(struct greetings *g, struct smx_view line)
{
	struct greeting *it = smx_calloc(1, sizeof(*it));
	int r;

	if (!it)
		return SMX_ENOMEM;
	r = read_line(line, it);
	if (r != 0 || g->n >= GREETINGS_MAX || find_path(g, it->path)) {
		smx_free(it);
		return r;
	}
	smx_list_init(&it->node);
	smx_list_add_tail(&g->list, &it->node);
	g->n++;
	return 0;
}

/* 0: it is ours as it is now; 1: of another version. */
static int read_head(struct smx_view line)
{
	uint8_t other[DIGEST_LEN];
	struct smx_buf b;
	int r;

	if (line.len != strlen(HEAD) + DIGEST_TEXT || memcmp(line.p, HEAD, strlen(HEAD)) != 0 ||
		read_digest(smx_view_of((const char *)line.p + strlen(HEAD), DIGEST_TEXT), other) !=
			0)
		return SMX_ESYNTAX;
	smx_buf_init(&b, sizeof(HEAD) + DIGEST_TEXT + 1);
	if ((r = put_head(&b)) == 0)
		r = memcmp(smx_buf_view(&b), line.p, line.len) != 0;
	smx_buf_release(&b);
	return r;
}

int greetings_read(struct greetings *g, struct smx_view text, unsigned *ret_line)
{
	unsigned n = g->n;
	struct smx_view line;
	int r;

	*ret_line = 1;
	if ((r = next_word(&text, '\n', &line)) == 0)
		r = read_head(line);
	while (r == 0 && text.len) {
		++*ret_line;
		if ((r = next_word(&text, '\n', &line)) == 0)
			r = add(g, line);
	}
	while (r != 0 && g->n > n)
		drop(g, at(g->list.prev));
	return r;
}
