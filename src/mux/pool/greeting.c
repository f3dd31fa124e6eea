/* SPDX-License-Identifier: MIT */
#include "mux/pool/greeting.h"

#include <string.h>

#include "base/mem.h"
#include "crypto/key.h"

struct greeting {
	struct smx_list node;
	struct smx_routes *routes; /* holds hops */
	const struct smx_hop *hops;
	size_t n_hops;
	struct smx_buf key;
	int is_key_enough, in_turns;
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
	smx_routes_unref(it->routes);
	smx_buf_release(&it->key);
	smx_free(it);
}

void greetings_init(struct greetings *g)
{
	smx_list_init(&g->list);
	g->n = 0;
}

void greetings_release(struct greetings *g)
{
	while (g->n)
		drop(g, at(g->list.next));
}

static struct greeting *find(struct greetings *g, const struct smx_hop *hops, size_t n_hops)
{
	struct smx_list *node, *tmp;

	SMX_LIST_FOREACH (node, tmp, &g->list) {
		struct greeting *it = at(node);

		if (smx_hops_equal(it->hops, it->n_hops, hops, n_hops))
			return it;
	}
	return NULL;
}

/* The one of these hops, made if there is none, at the head of the list. NULL: no memory. */
static struct greeting *take(
	struct greetings *g, struct smx_routes *routes, const struct smx_hop *hops, size_t n_hops)
{
	struct greeting *it = find(g, hops, n_hops);

	if (it) {
		smx_list_del(&it->node);
		smx_list_add_tail(g->list.next, &it->node);
		return it;
	}
	if (!(it = smx_calloc(1, sizeof(*it))))
		return NULL;
	smx_buf_init(&it->key, SMX_KEY_BLOB_MAX);
	it->routes = smx_routes_ref(routes);
	it->hops = hops;
	it->n_hops = n_hops;
	smx_list_init(&it->node);
	smx_list_add_tail(g->list.next, &it->node);
	if (++g->n > GREETINGS_MAX)
		drop(g, at(g->list.prev));
	return it;
}

struct smx_view greeting_key(struct greetings *g, const struct smx_hop *hops, size_t n_hops)
{
	struct greeting *it = find(g, hops, n_hops);

	return it ? smx_buf_as_view(&it->key) : (struct smx_view){ NULL, 0 };
}

int greeting_is_in_turns(struct greetings *g, const struct smx_hop *hops, size_t n_hops)
{
	const struct greeting *it = find(g, hops, n_hops);

	return it && it->in_turns;
}

int greeting_is_key_enough(struct greetings *g, const struct smx_hop *hops, size_t n_hops)
{
	const struct greeting *it = find(g, hops, n_hops);

	return it && it->is_key_enough;
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

void greeting_note_key(struct greetings *g, struct smx_routes *routes, const struct smx_hop *hops,
	size_t n_hops, struct smx_view blob, int is_enough)
{
	struct greeting *it = take(g, routes, hops, n_hops);

	if (!it)
		return;
	smx_buf_reset(&it->key);
	it->is_key_enough = smx_buf_put(&it->key, blob.p, blob.len) == 0 && blob.len && is_enough;
}

void greeting_note_algs(struct greetings *g, struct smx_routes *routes, const struct smx_hop *hops,
	size_t n_hops, const struct smx_algs *algs)
{
	struct greeting *it = take(g, routes, hops, n_hops);

	if (!it)
		return;
	/* Only what is chosen without a guess, too: a guess must not make an exchange weaker. */
	it->kex = algs->peer_host_key[0] && algs->peer_kex == algs->kex ? algs->kex : NULL;
	memcpy(it->host_key, algs->peer_host_key, sizeof(it->host_key));
}

void greeting_forget_algs(struct greetings *g, const struct smx_hop *hops, size_t n_hops)
{
	struct greeting *it = find(g, hops, n_hops);

	if (it)
		it->kex = NULL;
}

void greeting_note_in_turns(
	struct greetings *g, struct smx_routes *routes, const struct smx_hop *hops, size_t n_hops)
{
	struct greeting *it = take(g, routes, hops, n_hops);

	if (it)
		it->in_turns = 1;
}
