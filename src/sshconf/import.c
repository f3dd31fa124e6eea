/* SPDX-License-Identifier: MIT */
/* The hosts of an import, and how they hang together (C3, C4, B1). */
#include "sshconf/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "sshconf/import_int.h"

#define LABEL_MAX 96

static int dup_text(const char *s, const char **to)
{
	if (!s)
		return 0;
	*to = smx_strdup(s);
	return *to ? 0 : SMX_ENOMEM;
}

static void free_text(const char *s)
{
	smx_free((void *)(uintptr_t)s);
}

int smx_import_new(const struct smx_import_options *o, struct smx_import **ret)
{
	struct smx_import *im = smx_calloc(1, sizeof(*im));

	if (!im)
		return SMX_ENOMEM;
	im->jump = IMPORT_NONE;
	im->o.env = o->env;
	im->o.transports = o->transports;
	im->o.no_jump_table = o->no_jump_table;
	if (dup_text(o->source, &im->o.source) != 0 || dup_text(o->home, &im->o.home) != 0 ||
		dup_text(o->own_key_alias, &im->o.own_key_alias) != 0) {
		smx_import_free(im);
		return SMX_ENOMEM;
	}
	*ret = im;
	return 0;
}

static void release_host(struct import_host *h)
{
	smx_free(h->ask_host);
	smx_free(h->ask_user);
	smx_free(h->file);
	smx_free(h->why);
	smx_free(h->host);
	smx_free(h->user);
	smx_free(h->host_key_alias);
	smx_free(h->identity_agent);
	smx_free(h->algorithms);
	smx_free(h->name);
	smx_strings_release(&h->identity);
	smx_strings_release(&h->certificate);
	smx_strings_release(&h->transport);
	smx_strings_release(&h->known_hosts);
	smx_strings_release(&h->send_env);
	smx_strings_release(&h->notes);
	smx_strings_release(&h->needs);
	smx_strings_release(&h->forwards);
	smx_strings_release(&h->remote_forwards);
}

void smx_import_free(struct smx_import *im)
{
	if (!im)
		return;
	for (size_t i = 0; i < im->n_hosts; i++)
		release_host(&im->hosts[i]);
	smx_free(im->hosts);
	smx_free(im->order);
	smx_strings_release(&im->default_identity);
	smx_strings_release(&im->jump_names);
	for (size_t i = 0; i < IMPORT_LISTS; i++)
		smx_free(im->usual[i]);
	smx_free(im->default_known_hosts);
	smx_free(im->local_user);
	free_text(im->o.source);
	free_text(im->o.home);
	free_text(im->o.own_key_alias);
	smx_free(im);
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static int same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

int import_find_or_add(
	struct smx_import *im, const char *host, const char *user, unsigned port, size_t *ret_at)
{
	size_t cap = im->cap ? im->cap * 2 : 64;
	struct import_host *h;

	for (size_t i = 0; i < im->n_hosts; i++) {
		h = &im->hosts[i];
		if (h->ask_port == port && strcmp(h->ask_host, host) == 0 &&
			same_text(h->ask_user, user)) {
			*ret_at = i;
			return 0;
		}
	}
	if (im->n_hosts == SMX_IMPORT_HOSTS_MAX)
		return SMX_ELIMIT;
	if (im->n_hosts == im->cap) {
		if ((h = smx_realloc(im->hosts, cap * sizeof(*h))) == NULL)
			return SMX_ENOMEM;
		im->hosts = h;
		im->cap = cap;
	}
	h = &im->hosts[im->n_hosts];
	*h = (struct import_host){ .ask_port = port, .same_as = im->n_hosts };
	if ((h->ask_host = smx_strdup(host)) == NULL ||
		(user && (h->ask_user = smx_strdup(user)) == NULL)) {
		release_host(h);
		return SMX_ENOMEM;
	}
	*ret_at = im->n_hosts++;
	return 0;
}

int smx_import_add(struct smx_import *im, const char *alias, const struct smx_import_place *place)
{
	const char *fault = smx_route_name_fault(smx_view_of(alias, strlen(alias)));
	struct import_host *h;
	size_t at;
	int r;

	if ((r = import_find_or_add(im, alias, NULL, 0, &at)) != 0)
		return r;
	h = &im->hosts[at];
	if (h->is_alias)
		return 0;
	if ((h->file = smx_strdup(place->file)) == NULL)
		return SMX_ENOMEM;
	h->is_alias = 1;
	h->line = place->line;
	h->column = place->column;
	return fault ? import_refuse(h, "no route name: %s", fault) : 0;
}

int smx_import_except(struct smx_import *im, const char *name)
{
	for (size_t i = 0; i < im->n_hosts; i++)
		if (im->hosts[i].is_alias && strcmp(im->hosts[i].ask_host, name) == 0)
			return import_refuse(&im->hosts[i], IMPORT_EXCEPT);
	return 0;
}

size_t smx_import_count(const struct smx_import *im)
{
	return im->n_hosts;
}

struct smx_import_ask smx_import_ask(const struct smx_import *im, size_t i)
{
	const struct import_host *h = &im->hosts[i];

	if (h->why)
		return (struct smx_import_ask){ NULL, NULL, 0 };
	return (struct smx_import_ask){ h->ask_host, h->ask_user, h->ask_port };
}

/* ---- order -------------------------------------------------------------------------------------
 */

struct sorted {
	struct import_host host;
	size_t was;
};

static int compare_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

/* Aliases as they were found; jump hosts by what they are called. */
static int compare_hosts(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;
	int d = y->host.is_alias - x->host.is_alias;

	if (d != 0)
		return d;
	if (x->host.is_alias)
		return x->was < y->was ? -1 : 1;
	if ((d = strcmp(x->host.ask_host, y->host.ask_host)) != 0 ||
		(d = compare_text(x->host.ask_user, y->host.ask_user)) != 0)
		return d;
	return x->host.ask_port < y->host.ask_port ? -1 : 1;
}

/* Jump hosts are in the order in which answers came, which is another one each time. */
static int sort_hosts(struct smx_import *im)
{
	struct sorted *v = smx_calloc(im->n_hosts, sizeof(*v));
	size_t *now = smx_calloc(im->n_hosts, sizeof(*now));
	int r = v && now ? 0 : SMX_ENOMEM;

	if (r != 0)
		goto out;
	for (size_t i = 0; i < im->n_hosts; i++)
		v[i] = (struct sorted){ im->hosts[i], i };
	qsort(v, im->n_hosts, sizeof(*v), compare_hosts);
	for (size_t i = 0; i < im->n_hosts; i++)
		now[v[i].was] = i;
	for (size_t i = 0; i < im->n_hosts; i++) {
		struct import_host *h = &im->hosts[i];

		*h = v[i].host;
		h->same_as = i;
		for (size_t k = 0; k < h->n_jumps; k++)
			h->jumps[k] = now[h->jumps[k]];
	}
out:
	smx_free(v);
	smx_free(now);
	return r;
}

/* ---- ways --------------------------------------------------------------------------------------
 */

/* The jump host as the user wrote it. */
static const char *label(const struct import_host *h, char out[LABEL_MAX])
{
	char text[LABEL_MAX];

	if (h->ask_port)
		(void)snprintf(text, sizeof(text), "%s%s%.60s:%u", h->ask_user ? h->ask_user : "",
			h->ask_user ? "@" : "", h->ask_host, h->ask_port);
	else
		(void)snprintf(text, sizeof(text), "%s%s%.60s", h->ask_user ? h->ask_user : "",
			h->ask_user ? "@" : "", h->ask_host);
	smx_sanitize(text, strlen(text), out, LABEL_MAX);
	return out;
}

struct way {
	size_t hops[SMX_HOPS_MAX]; /* the target last */
	size_t n;
};

/*
 * The way to host `at`, as routes_chain.c will find it: all of the way to the first jump host, then
 * the others. 0, SMX_ELIMIT (too long, or round in a circle), SMX_ESTATE and who is in the way.
 */
static int find_way(const struct smx_import *im, size_t at, struct way *w, size_t *ret_culprit)
{
	const struct import_host *h = &im->hosts[at];
	size_t turns = 0, chain[SMX_HOPS_MAX];

	*w = (struct way){ .n = 0 };
	/* Down to the first jump host of all, then back up. */
	for (;; at = h->jumps[0]) {
		h = &im->hosts[at];
		if (h->why) {
			*ret_culprit = at;
			return SMX_ESTATE;
		}
		if (turns == SMX_HOPS_MAX)
			return SMX_ELIMIT;
		chain[turns++] = at;
		if (h->n_jumps == 0)
			break;
	}
	while (turns > 0) {
		h = &im->hosts[chain[--turns]];
		for (size_t k = 1; k <= (h->n_jumps ? h->n_jumps : 1); k++) {
			size_t hop = k < h->n_jumps ? h->jumps[k] : chain[turns];

			hop = im->hosts[hop].same_as;

			if (im->hosts[hop].why) {
				*ret_culprit = hop;
				return SMX_ESTATE;
			}
			/* R7: a program leads there from here, not from another host. */
			if (w->n > 0 && im->hosts[hop].transport.n)
				return SMX_EUNSUPPORTED;
			for (size_t i = 0; i < w->n; i++) {
				if (w->hops[i] == hop)
					return SMX_ELIMIT;
			}
			if (w->n == SMX_HOPS_MAX)
				return SMX_ELIMIT;
			w->hops[w->n++] = hop;
		}
	}
	return 0;
}

/* Leaves out whose way can't be gone. Hosts that are one's way must be judged with it: in rounds,
 * until nothing changes. */
static int refuse_lost(struct smx_import *im)
{
	char text[LABEL_MAX];
	size_t culprit = 0;
	struct way w;
	int changed, r, q;

	do {
		changed = 0;
		for (size_t i = 0; i < im->n_hosts; i++) {
			struct import_host *h = &im->hosts[i];

			if (h->why || (q = find_way(im, i, &w, &culprit)) == 0)
				continue;
			changed = 1;
			if (q == SMX_ELIMIT)
				r = import_refuse(h,
					"goes through jump hosts in a circle, or through more than "
					"%d",
					SMX_HOPS_MAX - 1);
			else if (q == SMX_EUNSUPPORTED)
				r = import_refuse(
					h, "goes to a host with a ProxyCommand from another one");
			else
				r = import_refuse(h, "its jump host %s: %s",
					label(&im->hosts[culprit], text), im->hosts[culprit].why);
			if (r != 0)
				return r;
		}
	} while (changed);
	return 0;
}

/* ---- which host stands for which ---------------------------------------------------------------
 */

static int same_strings(const struct smx_strings *a, const struct smx_strings *b)
{
	if (a->n != b->n)
		return 0;
	for (size_t i = 0; i < a->n; i++) {
		if (strcmp(a->v[i], b->v[i]) != 0)
			return 0;
	}
	return 1;
}

static int same_host(
	const struct smx_import *im, const struct import_host *a, const struct import_host *b)
{
	if (a->port != b->port || strcmp(a->host, b->host) != 0 || strcmp(a->user, b->user) != 0 ||
		!same_text(a->host_key_alias, b->host_key_alias) ||
		!same_text(a->identity_agent, b->identity_agent) ||
		a->identities_only != b->identities_only || a->n_jumps != b->n_jumps ||
		!same_strings(&a->identity, &b->identity) ||
		!same_strings(&a->certificate, &b->certificate) ||
		!same_strings(&a->transport, &b->transport) ||
		!same_strings(&a->known_hosts, &b->known_hosts))
		return 0;
	for (size_t i = 0; i < a->n_jumps; i++) {
		if (im->hosts[a->jumps[i]].same_as != im->hosts[b->jumps[i]].same_as)
			return 0;
	}
	return 1;
}

/* Whether host k should stand for host i rather than `now` does: the first, but first of all one
 * that is somebody's jump host by its name. */
static int is_better(const struct smx_import *im, size_t k, size_t now, size_t i)
{
	return now == i || (im->hosts[k].is_jump && !im->hosts[now].is_jump);
}

/*
 * A jump host that is no alias, but the same as one that is (me@gate:22 for gate), or as another
 * jump host, needs no route of its own.
 */
static void merge_jumps(struct smx_import *im)
{
	for (size_t i = 0; i < im->n_hosts; i++) {
		struct import_host *h = &im->hosts[i];

		for (size_t k = 0; !h->why && !h->is_alias && k < im->n_hosts; k++) {
			const struct import_host *other = &im->hosts[k];

			if (!other->why && k != i && (other->is_alias || k < i) &&
				other->same_as == k && same_host(im, h, other) &&
				is_better(im, k, h->same_as, i))
				h->same_as = k;
		}
	}
}

/* The host that a route would go through if there were nothing but it and [jump]. */
static size_t only_jump(const struct smx_import *im, const struct import_host *h)
{
	size_t at;

	if (h->n_jumps != 1)
		return IMPORT_NONE;
	at = im->hosts[h->jumps[0]].same_as;
	return im->hosts[at].n_jumps == 0 ? at : IMPORT_NONE;
}

/* C4: the most common jump host; of several the first by name. */
static void choose_jump(struct smx_import *im)
{
	struct import_host *h, *best;
	size_t at;

	for (size_t i = 0; i < im->n_hosts; i++) {
		h = &im->hosts[i];
		if (!h->why && h->is_alias && (at = only_jump(im, h)) != IMPORT_NONE)
			im->hosts[at].users++;
	}
	for (size_t i = 0; i < im->n_hosts; i++) {
		h = &im->hosts[i];
		best = im->jump == IMPORT_NONE ? NULL : &im->hosts[im->jump];
		if (h->users > 0 && (!best || h->users > best->users ||
					    (h->users == best->users &&
						    strcmp(h->ask_host, best->ask_host) < 0)))
			im->jump = i;
	}
}

/* ---- names -------------------------------------------------------------------------------------
 */

static int name_is_taken(const struct smx_import *im, const char *name)
{
	for (size_t i = 0; i < im->n_hosts; i++) {
		const struct import_host *h = &im->hosts[i];

		/* Also by what is left out: ssh knows it by that name. */
		if ((h->name && strcmp(h->name, name) == 0) ||
			(h->is_alias && strcmp(h->ask_host, name) == 0))
			return 1;
	}
	return 0;
}

/*
 * A name for a jump host that has none: "jump-" and what the user wrote, so that it does not come
 * in the way of anything that is called so; numbered if need be.
 */
static int make_up_name(struct smx_import *im, struct import_host *h)
{
	char base[SMX_ROUTE_NAME_MAX - 8], name[SMX_ROUTE_NAME_MAX];
	size_t n;

	n = (size_t)snprintf(base, sizeof(base), "jump-%s%s%s", h->ask_user ? h->ask_user : "",
		h->ask_user ? "-" : "", h->ask_host);
	if (n >= sizeof(base))
		n = sizeof(base) - 1;
	for (size_t i = 0; i < n; i++) {
		if (!smx_route_name_ok(smx_view_of(&base[i], 1)) && base[i] != '-')
			base[i] = '-';
	}
	(void)snprintf(name, sizeof(name), "%s", base);
	for (unsigned k = 2; name_is_taken(im, name); k++)
		(void)snprintf(name, sizeof(name), "%s-%u", base, k);
	h->name = smx_strdup(name);
	return h->name ? 0 : SMX_ENOMEM;
}

/* Names for everything that is a route, or that one has to name. */
static int give_names(struct smx_import *im)
{
	int changed, r;

	for (size_t i = 0; i < im->n_hosts; i++) {
		struct import_host *h = &im->hosts[i];

		if (!h->why && h->is_alias && (h->name = smx_strdup(h->ask_host)) == NULL)
			return SMX_ENOMEM;
	}
	/* First who needs one, then which, so that the numbers don't depend on who asks first. */
	do {
		changed = 0;
		for (size_t i = 0; i < im->n_hosts; i++) {
			const struct import_host *h = &im->hosts[i];

			if ((!h->name && !h->needs_name) ||
				(im->jump != IMPORT_NONE && only_jump(im, h) == im->jump))
				continue;
			for (size_t k = 0; k < h->n_jumps; k++) {
				struct import_host *j = &im->hosts[im->hosts[h->jumps[k]].same_as];

				changed |= !j->name && !j->needs_name;
				j->needs_name = 1;
			}
		}
	} while (changed);
	for (size_t i = 0; i < im->n_hosts; i++) {
		struct import_host *h = &im->hosts[i];

		if (h->needs_name && !h->name && (r = make_up_name(im, h)) != 0)
			return r;
	}
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const struct import_host *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int sort_names(struct smx_import *im)
{
	struct import_host **by_name = smx_calloc(im->n_hosts, sizeof(struct import_host *));
	size_t n = 0;

	if (!by_name)
		return SMX_ENOMEM;
	if ((im->order = smx_calloc(im->n_hosts, sizeof(*im->order))) == NULL) {
		smx_free(by_name);
		return SMX_ENOMEM;
	}
	for (size_t i = 0; i < im->n_hosts; i++) {
		if (im->hosts[i].name)
			by_name[n++] = &im->hosts[i];
	}
	qsort(by_name, n, sizeof(struct import_host *), compare_names);
	for (size_t i = 0; i < n; i++)
		im->order[i] = (size_t)(by_name[i] - im->hosts);
	im->n_order = n;
	smx_free(by_name);
	return 0;
}

int smx_import_finish(struct smx_import *im)
{
	int r;

	for (size_t i = 0; i < im->n_hosts; i++) {
		if (!im->hosts[i].why && !im->hosts[i].host &&
			(r = import_refuse(&im->hosts[i], "ssh -G was not asked")) != 0)
			return r;
	}
	if ((r = sort_hosts(im)) != 0 || (r = refuse_lost(im)) != 0)
		return r;
	merge_jumps(im);
	/* Two that are the same now may be on one way. */
	if ((r = refuse_lost(im)) != 0)
		return r;
	if (!im->o.no_jump_table)
		choose_jump(im);
	if ((r = give_names(im)) != 0)
		return r;
	return sort_names(im);
}

/* ---- the outcome -------------------------------------------------------------------------------
 */

struct smx_import_counts smx_import_counts(const struct smx_import *im)
{
	struct smx_import_counts c = { .routes = im->n_order };

	if (im->jump != IMPORT_NONE)
		c.jump_view = im->hosts[im->jump].ask_host;

	for (size_t i = 0; i < im->n_hosts; i++) {
		const struct import_host *h = &im->hosts[i];

		c.left_out += h->is_alias && h->why;
		if (!h->name)
			continue;
		c.made_up += !h->is_alias;
		if (h->n_jumps == 0)
			c.direct++;
		else if (im->jump != IMPORT_NONE && only_jump(im, h) == im->jump)
			c.via_jump++;
		else
			c.via_others++;
	}
	return c;
}

int smx_import_left_out(const struct smx_import *im, size_t *at, struct smx_import_left_out *ret)
{
	for (; *at < im->n_hosts; (*at)++) {
		const struct import_host *h = &im->hosts[*at];

		if (!h->is_alias || !h->why)
			continue;
		ret->is_of_ssh = h->is_why_of_ssh;
		ret->name = h->ask_host;
		ret->place = (struct smx_import_place){ h->file, h->line, h->column };
		ret->why = h->why;
		(*at)++;
		return 1;
	}
	return 0;
}

const char *smx_import_common_fault(const struct smx_import *im)
{
	const char *why = NULL;

	for (size_t i = 0; i < im->n_hosts; i++) {
		const struct import_host *h = &im->hosts[i];

		if (!h->is_alias)
			continue;
		if (!h->is_why_of_ssh || (why && strcmp(why, h->why) != 0))
			return NULL;
		why = h->why;
	}
	return why;
}
