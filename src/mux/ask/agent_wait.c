/* SPDX-License-Identifier: MIT */
#include "mux/ask/agent_wait.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "crypto/key.h"
#include "mux/ask/asker.h"
#include "mux/ask/caller_ask.h"
#include "mux/core/say.h"

#define TEXT_SIZE  800
#define ASKERS_MAX 64

struct agent_wait {
	struct smx_list node; /* mux->agent_waits */
	struct pool_entry *entry; /* outlives the login */
	uv_timer_t timer;
	int is_told, is_sk;
	char text[TEXT_SIZE];
};

/* Types of security keys and their certificates begin so (PROTOCOL.u2f). */
static int is_security_key(struct smx_view type)
{
	return type.len > 3 && memcmp(type.p, "sk-", 3) == 0;
}

static void make_text(struct agent_wait *w, struct smx_view type, const char *fingerprint)
{
	const struct smx_hop *hop = &w->entry->hops[w->entry->n_hops - 1];
	char whom[400], clean[400];

	(void)snprintf(whom, sizeof(whom), "%.180s@%.180s", hop->user, hop->host);
	smx_sanitize(whom, strlen(whom), clean, sizeof(clean));
	(void)snprintf(w->text, sizeof(w->text),
		w->is_sk ? "touch your security key for the login to %s (%.*s %s)"
			 : "the login to %s waits for your agent: confirm there the use of the key "
			   "%.*s %s",
		clean, (int)(type.len < 60 ? type.len : 60), (const char *)type.p, fingerprint);
}

/*
 * As OpenSSH shows it for a key that it has itself. One window, however many wait; where an agent
 * asks for a yes, it has one of its own.
 */
static void show(const struct agent_wait *w)
{
	struct asker *askers[ASKERS_MAX];
	size_t n;

	if (!w->is_sk || caller_ask_is_shown(w->entry->mux, w))
		return;
	n = pool_askers(w->entry, askers, ASKERS_MAX);
	for (size_t i = 0; i < n; i++)
		if (askers[i]->ops->show && askers[i]->ops->show(askers[i], w, w->text))
			return;
}

static void on_late(uv_timer_t *timer)
{
	struct agent_wait *w = timer->data;
	struct mux_ids ids = { .route = w->entry->route->name };

	w->is_told = 1;
	say_info(&ids, "%s", w->text);
	pool_tell(w->entry, w->text);
	show(w);
}

struct agent_wait *agent_wait_start(struct pool_entry *e, struct smx_view key_blob)
{
	struct agent_wait *w = smx_calloc(1, sizeof(*w));
	char fingerprint[SMX_FINGERPRINT_SIZE] = "";
	struct smx_view type = { NULL, 0 };

	if (!w)
		return NULL;
	w->entry = e;
	(void)smx_blob_type(key_blob, &type);
	(void)smx_blob_fingerprint(key_blob, fingerprint);
	w->is_sk = is_security_key(type);
	make_text(w, type, fingerprint);
	smx_list_init(&w->node);
	smx_list_add_tail(&e->mux->agent_waits, &w->node);
	(void)uv_timer_init(e->mux->core.loop, &w->timer);
	w->timer.data = w;
	(void)uv_timer_start(&w->timer, on_late, w->is_sk ? AGENT_WAIT_TOUCH_MS : AGENT_WAIT_MS, 0);
	return w;
}

static void on_closed(uv_handle_t *h)
{
	smx_free(h->data);
}

void agent_wait_end(struct agent_wait *w)
{
	if (!w)
		return;
	caller_ask_hide(w->entry->mux, w);
	smx_list_del(&w->node);
	uv_close((uv_handle_t *)&w->timer, on_closed);
}

void agent_wait_welcome(struct mux *m, const struct asker *a)
{
	struct asker *askers[ASKERS_MAX];
	struct smx_list *it, *tmp;
	size_t n;

	SMX_LIST_FOREACH (it, tmp, &m->agent_waits) {
		const struct agent_wait *w = SMX_CONTAINER(it, struct agent_wait, node);

		n = w->is_told ? pool_askers(w->entry, askers, ASKERS_MAX) : 0;
		for (size_t i = 0; i < n; i++)
			if (askers[i] == a && askers[i]->ops->tell)
				askers[i]->ops->tell(askers[i], w->text);
		if (n)
			show(w);
	}
}
