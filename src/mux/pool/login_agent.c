/* SPDX-License-Identifier: MIT */
/* Which agent a login asks for keys (A1, A10), and what it is told before it signs (A11). */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/ask/asker.h"
#include "mux/core/say.h"
#include "mux/pool/agent_io.h"
#include "mux/pool/login_int.h"
#include "mux/pool/pool.h"
#include "os/agent.h"
#include "ssh/agent.h"

#define ASKERS_MAX 64

static int on_agent_key(void *arg, struct smx_view blob, struct smx_view comment)
{
	struct login *lg = arg;

	(void)comment;
	return candidates_add_agent(&lg->candidates, blob);
}

static int was_asked(const struct login *lg, const char *path)
{
	for (size_t i = 0; i < lg->n_agents; i++)
		if (strcmp(lg->agents[i], path) == 0)
			return 1;
	return 0;
}

/* That of a client who waits for this login. Several of one session have the same: once. */
static char *attached_agent(const struct login *lg, const char *variable)
{
	struct asker *askers[ASKERS_MAX];
	size_t n = pool_askers(lg->entry, askers, ASKERS_MAX);
	char *path;

	for (size_t i = 0; i < n; i++) {
		path = asker_agent(askers[i], variable);
		if (path && smx_os_agent_is_place(path) && !was_asked(lg, path))
			return path;
		smx_free(path);
	}
	return NULL;
}

/*
 * A1: the agent that the route names and no other ("none" is none); else, and where it names
 * whatever a variable says (A10), those of the clients that wait for this login now, then the one
 * of our own environment: a service has none there, or one that is long gone. NULL: there is no
 * other.
 */
static char *next_agent(struct login *lg)
{
	const char *named = lg->hop->identity_agent;
	const char *variable = smx_agent_variable(named);
	char *name = NULL, *path = NULL;

	if (variable && lg->n_agents < AGENTS_MAX - 1 && (path = attached_agent(lg, variable))) {
		lg->is_own_agent = 0;
		return path;
	}
	if (lg->has_tried_own)
		return NULL;
	lg->has_tried_own = lg->is_own_agent = 1;
	if (named && (strcmp(named, "none") == 0 || !(name = prepare_expand(named))))
		return NULL;
	if (smx_os_agent_path(name, &path) != 0)
		path = NULL;
	smx_free(name);
	if (path && was_asked(lg, path)) {
		smx_free(path);
		path = NULL;
	}
	return path;
}

/* Why the one that was asked is of no use. A client's own paths are nobody else's business. */
static void note_agent(struct login *lg, int r)
{
	struct mux_ids ids = { .conn = lg->link->id, .route = lg->entry->route->name };
	size_t used = strlen(lg->agent_note);
	const char *path = lg->agents[lg->n_agents - 1];

	say_debug(&ids, "agent at %.300s: %s", path, smx_strerror(r));
	(void)snprintf(lg->agent_note + used, sizeof(lg->agent_note) - used, "%s%s%.90s: %s",
		used ? "; " : "",
		lg->is_own_agent ? "agent at " : "the agent of the client that asks",
		lg->is_own_agent ? path : "", smx_strerror(r));
}

static void on_listed(void *arg, int r, struct smx_view message);

void login_list_agent(struct login *lg)
{
	char *path = next_agent(lg);
	struct smx_buf request;

	smx_buf_init(&request, SMX_AGENT_MSG_MAX);
	if (path) {
		lg->agents[lg->n_agents++] = path;
		if (smx_agent_put_list(&request) == 0)
			lg->agent = agent_ask(lg->mux->core.loop, path, &request, 0,
				AGENT_LIST_TIMEOUT_MS, on_listed, lg);
	}
	lg->is_listing = lg->agent != NULL;
	smx_buf_release(&request);
	if (!lg->is_listing)
		(void)candidates_add_files(&lg->candidates);
}

static void on_listed(void *arg, int r, struct smx_view message)
{
	struct login *lg = arg;

	link_touch(lg->link); /* what an answer makes us send goes out when all is settled */
	lg->agent = NULL;
	lg->is_listing = 0;
	if (r == 0)
		r = smx_agent_parse_list(message, on_agent_key, lg);
	if (r != 0)
		note_agent(lg, r);
	if (lg->candidates.n == 0)
		login_list_agent(lg); /* it is gone, or has no key for us: as good as none */
	else
		(void)candidates_add_files(&lg->candidates);
	if (lg->wants_choice)
		login_choose(lg);
}

int login_put_bind(const struct login *lg, struct smx_buf *request)
{
	return smx_agent_put_bind(request, smx_transport_host_key_blob(lg->t),
		smx_transport_session_id(lg->t), smx_transport_session_signature(lg->t), 0);
}

static void on_listed_again(void *arg, int r, struct smx_view message)
{
	struct login *lg = arg;
	size_t n = 0;

	link_touch(lg->link);
	lg->agent = NULL;
	lg->is_listing = 0;
	if (r == 0)
		r = candidates_keep_agent(&lg->candidates, lg->next, message, &n);
	if (r != 0)
		note_agent(lg, r);
	else if (n > 0)
		(void)snprintf(lg->key_note, sizeof(lg->key_note),
			"%zu key%s of the agent may not be used for this server (ssh-add -h)", n,
			n == 1 ? "" : "s");
	login_choose(lg);
}

int login_list_again(struct login *lg)
{
	struct smx_buf request;

	if (lg->is_listed_again || !candidates_has_agent(&lg->candidates, lg->next))
		return 0;
	lg->is_listed_again = 1;
	smx_buf_init(&request, SMX_AGENT_MSG_MAX);
	if (login_put_bind(lg, &request) == 0 && smx_agent_put_list(&request) == 0)
		lg->agent = agent_ask(lg->mux->core.loop, lg->agents[lg->n_agents - 1], &request, 1,
			AGENT_LIST_TIMEOUT_MS, on_listed_again, lg);
	smx_buf_release(&request);
	lg->is_listing = lg->agent != NULL;
	return lg->is_listing;
}
