/* SPDX-License-Identifier: MIT */
#include "mux/pool/prepare.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "mux/pool/identity.h"
#include "mux/pool/known_files.h"
#include "os/path.h"

struct prepare {
	uv_work_t req;
	struct mux *mux;
	prepare_cb *cb; /* NULL: cancelled */
	void *arg;
	char *known_host; /* the name in known_hosts */
	uint16_t known_port;
	struct known_files known;
	char *paths[SMX_IDENTITIES_MAX], *certs[SMX_IDENTITIES_MAX];
	size_t n_paths, n_certs;
	int is_look; /* nothing is read, only stamped */
	int is_explicit; /* the route names the files: a missing one is worth a note */
	struct prepared *result;
};

static const char *const default_keys[] = { "id_ed25519", "id_ecdsa", "id_rsa" };

void prepared_clear(struct prepared *p)
{
	smx_known_hosts_free(p->known_hosts);
	smx_free(p->known_hosts_path);
	for (size_t i = 0; i < p->n_keys; i++) {
		smx_free(p->keys[i].path);
		smx_key_free(p->keys[i].key);
		smx_buf_release(&p->keys[i].blob);
	}
	for (size_t i = 0; i < p->n_certs; i++) {
		smx_buf_release(&p->certs[i].blob);
		smx_buf_release(&p->certs[i].plain);
	}
	smx_buf_release(&p->notes);
}

void prepared_free(struct prepared *p)
{
	if (p)
		prepared_clear(p);
	smx_free(p);
}

static void prepare_free(struct prepare *p)
{
	for (size_t i = 0; i < p->n_paths; i++)
		smx_free(p->paths[i]);
	for (size_t i = 0; i < p->n_certs; i++)
		smx_free(p->certs[i]);
	known_files_release(&p->known);
	smx_free(p->known_host);
	prepared_free(p->result);
	smx_free(p);
}

char *prepare_expand(const char *path)
{
	const char *below = smx_os_path_below_home(path);
	char *home, *full = NULL;

	if (!below)
		return smx_strdup(path);
	if (smx_os_home(&home, NULL) != 0)
		return NULL;
	(void)smx_os_path_join(home, below, &full);
	smx_free(home);
	return full;
}

static int expand_in_place(const char *home, char **path)
{
	const char *below = *path ? smx_os_path_below_home(*path) : NULL;
	char *full;
	int r;

	if (!below)
		return 0;
	if ((r = smx_os_path_join(home, below, &full)) != 0)
		return r == SMX_ENOMEM ? r : 0;
	smx_free(*path);
	*path = full;
	return 0;
}

static int expand_hop(const char *home, struct smx_hop *hop)
{
	int r = expand_in_place(home, &hop->identity_agent);

	for (size_t i = 0; r == 0 && i < hop->n_identity; i++)
		r = expand_in_place(home, &hop->identity[i]);
	for (size_t i = 0; r == 0 && i < hop->n_certificate; i++)
		r = expand_in_place(home, &hop->certificate[i]);
	for (size_t i = 0; r == 0 && i < hop->n_known_hosts; i++)
		r = expand_in_place(home, &hop->known_hosts[i]);
	return r;
}

static int expand_route(const char *home, struct smx_route *route)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < route->n_hops; i++)
		r = expand_hop(home, &route->hops[i]);
	for (size_t i = 0; r == 0 && i < route->agent.n_keys; i++)
		r = expand_in_place(home, &route->agent.keys[i]);
	return r;
}

int prepare_expand_routes(struct smx_routes *routes)
{
	char *home;
	int r = 0;

	if (smx_os_home(&home, NULL) != 0)
		return 0;
	for (size_t i = 0; r == 0 && i < routes->n_routes; i++)
		r = expand_route(home, &routes->routes[i]);
	smx_free(home);
	return r;
}

/* --- on a worker thread --- */

/* K7: and searched here, for the loop has no time for twenty thousand hashed names. */
static int read_known_hosts(const struct prepare *p)
{
	struct prepared *res = p->result;
	int r;

	if (!(res->known_hosts_path = smx_strdup(p->known.paths[0])))
		return SMX_ENOMEM;
	if ((r = smx_known_hosts_new(&res->known_hosts)) != 0 ||
		(r = known_files_read(&p->known, res->known_hosts, &res->notes)) != 0)
		return r;
	return smx_known_hosts_narrow(res->known_hosts, p->known_host, p->known_port);
}

/* --- whether anything is another (U5) --- */

/* FNV-1a: nobody gains by a collision, which costs a try that would be due. */
static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * 0x100000001b3ull;
	return h;
}

static uint64_t stamp_file(uint64_t h, const char *path)
{
	uint64_t facts[4] = { 0 };
	uv_fs_t req;

	if (uv_fs_stat(NULL, &req, path, NULL) == 0) {
		facts[0] = req.statbuf.st_ino;
		facts[1] = req.statbuf.st_size;
		facts[2] = (uint64_t)req.statbuf.st_mtim.tv_sec;
		facts[3] = (uint64_t)req.statbuf.st_mtim.tv_nsec;
	}
	uv_fs_req_cleanup(&req);
	return mix(mix(h, path, strlen(path)), facts, sizeof(facts));
}

/* A name beside or below another, which may not fit (then it is no file we would read). */
static uint64_t stamp_joined(uint64_t h, const char *a, const char *b)
{
	char path[SMX_OS_PATH_MAX + 16];
	int n = snprintf(path, sizeof(path), "%s%s", a, b);

	return n > 0 && (size_t)n < sizeof(path) ? stamp_file(h, path) : h;
}

static uint64_t stamp(const struct prepare *p)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < p->known.n; i++)
		h = stamp_file(h, p->known.paths[i]);
	for (size_t i = 0; i < p->n_paths; i++) {
		h = stamp_file(h, p->paths[i]);
		h = stamp_joined(h, p->paths[i], ".pub");
		h = stamp_joined(h, p->paths[i], IDENTITY_CERT_SUFFIX);
	}
	for (size_t i = 0; i < p->n_certs; i++)
		h = stamp_file(h, p->certs[i]);
	return h;
}

static void on_work(uv_work_t *req)
{
	struct prepare *p = SMX_CONTAINER(req, struct prepare, req);
	int r;

	p->result->inputs = stamp(p);
	if (p->is_look)
		return;
	r = read_known_hosts(p);
	for (size_t i = 0; r == 0 && i < p->n_paths; i++)
		r = identity_read(p->result, p->paths[i], p->is_explicit);
	for (size_t i = 0; r == 0 && i < p->n_certs; i++)
		r = identity_read_cert(p->result, p->certs[i], 1);
	p->result->r = r;
}

/* --- on the loop --- */

static void on_done(uv_work_t *req, int status)
{
	struct prepare *p = SMX_CONTAINER(req, struct prepare, req);
	struct prepared *result = p->result;
	prepare_cb *cb = p->cb;
	void *arg = p->arg;

	if (status != 0 && result->r == 0)
		result->r = SMX_ESYS;
	if (cb)
		p->result = NULL;
	prepare_free(p);
	if (cb)
		cb(arg, result);
}

static int add_paths(struct prepare *p, const char *ssh_dir, const struct smx_hop *hop)
{
	p->is_explicit = hop->n_identity > 0;
	for (size_t i = 0; i < hop->n_identity && i < SMX_IDENTITIES_MAX; i++) {
		if (!(p->paths[p->n_paths] = prepare_expand(hop->identity[i])))
			return SMX_ENOMEM;
		p->n_paths++;
	}
	for (size_t i = 0; !p->is_explicit && i < SMX_ARRAY_LEN(default_keys); i++) {
		if (smx_os_path_join(ssh_dir, default_keys[i], &p->paths[p->n_paths]) != 0)
			return SMX_ENOMEM;
		p->n_paths++;
	}
	for (size_t i = 0; i < hop->n_certificate && i < SMX_IDENTITIES_MAX; i++) {
		if (!(p->certs[p->n_certs] = prepare_expand(hop->certificate[i])))
			return SMX_ENOMEM;
		p->n_certs++;
	}
	return 0;
}

static struct prepare *start(
	struct mux *m, const struct smx_hop *hop, int is_look, prepare_cb *cb, void *arg)
{
	struct prepare *p = smx_calloc(1, sizeof(*p));
	const char *ssh_dir = m->opts->ssh_dir, *host;

	if (!p)
		return NULL;
	p->mux = m;
	p->is_look = is_look;
	p->cb = cb;
	p->arg = arg;
	p->result = smx_calloc(1, sizeof(*p->result));
	smx_hop_known_name(hop, &host, &p->known_port);
	p->known_host = smx_strdup(host);
	if (!p->result || !p->known_host)
		goto fail;
	smx_buf_init(&p->result->notes, PREPARED_NOTES_MAX);
	if (known_files_find(ssh_dir, hop, &p->known) != 0 || add_paths(p, ssh_dir, hop) != 0 ||
		uv_queue_work(m->core.loop, &p->req, on_work, on_done) != 0)
		goto fail;
	return p;
fail:
	prepare_free(p);
	return NULL;
}

struct prepare *prepare_start(struct mux *m, const struct smx_hop *hop, prepare_cb *cb, void *arg)
{
	return start(m, hop, 0, cb, arg);
}

struct prepare *prepare_look(struct mux *m, const struct smx_hop *hop, prepare_cb *cb, void *arg)
{
	return start(m, hop, 1, cb, arg);
}

void prepare_cancel(struct prepare *p)
{
	if (p)
		p->cb = NULL;
}
