/* SPDX-License-Identifier: MIT */
#include "mux/pool/rotate.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/cert.h"
#include "mux/core/say.h"
#include "mux/pool/known_edit.h"
#include "mux/pool/known_files.h"
#include "ssh/hostkeys.h"
#include "trust/rotation.h"

#define PROOF_MAX (SMX_HOSTKEYS_MAX * (SMX_SIG_MAX + 4))

enum state {
	STATE_LOOKING, /* on a worker: known_hosts */
	STATE_ASKED, /* the server, for its proofs */
	STATE_WRITING, /* on a worker: proofs, and known_hosts */
};

struct rotate {
	struct mux *mux;
	struct upstream *up; /* NULL: gone */
	uint64_t conn; /* for the log */
	enum state state;
	uv_work_t work;
	char host[256]; /* its name in known_hosts */
	uint16_t port;
	struct known_files files;
	struct smx_buf data; /* the server's list, which holds the blobs of */
	struct smx_hostkeys list;
	struct smx_buf used, session_id; /* the connection's host key and id */
	uint64_t number; /* of the request for proofs */
	struct smx_buf proof;
	/* From the workers. */
	int r;
	struct smx_known_hosts *known; /* holds plan.old */
	int is_hashed;
	struct smx_rotation plan;
	struct smx_view fresh[SMX_ROTATION_MAX];
	size_t bad; /* the key whose proof is none */
	int is_forged;
	unsigned n_removed, n_added;
	struct smx_buf err;
};

static void rotate_free(struct rotate *ro)
{
	if (ro->up)
		ro->up->rotate = NULL;
	known_files_release(&ro->files);
	smx_known_hosts_free(ro->known);
	smx_buf_release(&ro->data);
	smx_buf_release(&ro->used);
	smx_buf_release(&ro->session_id);
	smx_buf_release(&ro->proof);
	smx_buf_release(&ro->err);
	smx_free(ro);
}

static struct mux_ids ids_of(const struct rotate *ro)
{
	return (struct mux_ids){ .conn = ro->conn };
}

static const char *error_of(struct rotate *ro)
{
	const char *text = smx_buf_len(&ro->err) ? smx_buf_cstr(&ro->err) : NULL;

	return text ? text : smx_strerror(ro->r);
}

/* --- on worker threads --- */

static void on_look(uv_work_t *work)
{
	struct rotate *ro = SMX_CONTAINER(work, struct rotate, work);
	struct smx_rotation_ask ask = {
		.host = ro->host,
		.port = ro->port,
		.used = smx_buf_as_view(&ro->used),
		.listed = ro->list.blobs,
		.n_listed = ro->list.n,
		.own = ro->files.paths,
		.n_own = ro->files.n_own,
	};

	if ((ro->r = smx_known_hosts_new(&ro->known)) != 0 ||
		(ro->r = known_files_read(&ro->files, ro->known, &ro->err)) != 0 ||
		(ro->r = smx_rotation_plan(ro->known, &ask, &ro->plan)) != 0)
		return;
	ro->is_hashed = smx_known_hosts_has_hashed(ro->known);
	for (size_t i = 0; i < ro->plan.n_fresh; i++)
		ro->fresh[i] = ro->list.blobs[ro->plan.fresh[i]];
}

/* New keys go to the first file, as all keys that are accepted do; old ones out of all. */
static void on_write(uv_work_t *work)
{
	struct rotate *ro = SMX_CONTAINER(work, struct rotate, work);
	struct known_edit c = { .edit = { .host = ro->host,
					.port = ro->port,
					.hashed = ro->is_hashed,
					.old = ro->plan.old,
					.n_old = ro->plan.n_old } };

	if (ro->plan.n_fresh && (ro->r = smx_hostkeys_check_proof(smx_buf_as_view(&ro->proof),
					 smx_buf_as_view(&ro->session_id), ro->fresh,
					 ro->plan.n_fresh, &ro->bad)) != 0) {
		ro->is_forged = smx_errclass(ro->r) == SMX_CLASS_PEER;
		return;
	}
	for (size_t i = 0; ro->r == 0 && i < ro->files.n_own; i++) {
		if (i > 0 && !ro->plan.n_old)
			break;
		c.path = ro->files.paths[i];
		c.edit.fresh = i == 0 ? ro->fresh : NULL;
		c.edit.n_fresh = i == 0 ? ro->plan.n_fresh : 0;
		ro->r = known_edit(&c, &ro->err);
		if (i > 0 && ro->r == SMX_ENOTFOUND)
			ro->r = 0; /* known_hosts2, or its directory, which nobody has */
		ro->n_removed += c.n_removed;
		ro->n_added += c.n_added;
	}
}

/* --- on the loop --- */

static void tell_keys(
	const struct rotate *ro, const char *what, const struct smx_view *keys, size_t n)
{
	char fingerprint[SMX_FINGERPRINT_SIZE];
	struct mux_ids ids = ids_of(ro);
	struct smx_view type;

	for (size_t i = 0; i < n; i++)
		if (smx_blob_type(keys[i], &type) == 0 &&
			smx_blob_fingerprint(keys[i], fingerprint) == 0)
			say_info(&ids, "host key of %s port %u (%.*s %s) %s", ro->host, ro->port,
				(int)(type.len < 40 ? type.len : 40), (const char *)type.p,
				fingerprint, what);
}

static void on_written(uv_work_t *work, int status)
{
	struct rotate *ro = SMX_CONTAINER(work, struct rotate, work);
	char fingerprint[SMX_FINGERPRINT_SIZE] = "";
	struct mux_ids ids = ids_of(ro);

	if (status != 0)
		ro->r = SMX_ESYS;
	if (ro->r == 0) {
		if (ro->n_added)
			tell_keys(ro, "proved by the server and added to known_hosts", ro->fresh,
				ro->plan.n_fresh);
		if (ro->n_removed)
			tell_keys(ro, "no longer the server's and removed from known_hosts",
				ro->plan.old, ro->plan.n_old);
	} else if (ro->is_forged) {
		if (ro->bad < ro->plan.n_fresh)
			(void)smx_blob_fingerprint(ro->fresh[ro->bad], fingerprint);
		say_warn(&ids,
			"%s port %u said that it has the host key %s and can't prove it (%s): "
			"known_hosts stays as it is",
			ro->host, ro->port, fingerprint, smx_strerror(ro->r));
	} else {
		say_warn(&ids,
			"the host keys of %s port %u in known_hosts are not updated: %.2000s",
			ro->host, ro->port, error_of(ro));
	}
	rotate_free(ro);
}

static int start_writing(struct rotate *ro)
{
	ro->state = STATE_WRITING;
	return uv_queue_work(ro->mux->core.loop, &ro->work, on_write, on_written) == 0 ? 0
										       : SMX_ESYS;
}

static int ask_for_proof(struct rotate *ro)
{
	struct link *l = ro->up->link;
	struct smx_buf keys;
	int r;

	ro->state = STATE_ASKED;
	smx_buf_init(&keys, SMX_HOSTKEYS_BYTES_MAX);
	if ((r = smx_hostkeys_put_prove(ro->fresh, ro->plan.n_fresh, &keys)) == 0) {
		r = smx_conn_global_request(
			&l->conn, SMX_HOSTKEYS_PROVE_KIND, smx_buf_as_view(&keys), &ro->number);
		link_touch(l);
	}
	smx_buf_release(&keys);
	return r;
}

static void on_looked(uv_work_t *work, int status)
{
	struct rotate *ro = SMX_CONTAINER(work, struct rotate, work);
	struct mux_ids ids = ids_of(ro);
	int r = status != 0 ? SMX_ESYS : ro->r, is_going_on = 0;

	if (!ro->up || ro->up->link->dead) {
		rotate_free(ro);
		return;
	}
	if (r == 0 && ro->plan.why_not) {
		say_debug(&ids, "host keys of %s port %u are not updated: %s", ro->host, ro->port,
			ro->plan.why_not);
	} else if (r == 0 && (ro->plan.n_fresh || ro->plan.n_old)) {
		/* As in OpenSSH: what only goes needs no proof. The server that says so has shown
		 * a key that stays. */
		r = ro->plan.n_fresh ? ask_for_proof(ro) : start_writing(ro);
		is_going_on = r == 0;
	}
	if (r != 0) {
		ro->r = r;
		say_warn(&ids,
			"the host keys of %s port %u in known_hosts are not updated: %.2000s",
			ro->host, ro->port, error_of(ro));
	}
	if (!is_going_on)
		rotate_free(ro);
}

int rotate_reply(struct upstream *up, const struct smx_conn_event *ev)
{
	struct rotate *ro = up->rotate;
	struct mux_ids ids = ids_of_upstream(up);

	if (!ro || ro->state != STATE_ASKED || ro->number != ev->number)
		return 0;
	if (!ev->success) {
		say_warn(&ids,
			"%s port %u said that it has more host keys and does not prove it: "
			"known_hosts stays as it is",
			ro->host, ro->port);
		rotate_free(ro);
	} else if (smx_buf_put(&ro->proof, ev->data.p, ev->data.len) != 0 ||
		   start_writing(ro) != 0) {
		say_warn(&ids, "the host keys of %s port %u in known_hosts are not updated: %s",
			ro->host, ro->port, "its proof is too long");
		rotate_free(ro);
	}
	return 1;
}

/* What the worker needs; the upstream may end meanwhile. */
static int fill(struct rotate *ro, const struct upstream *up, struct smx_view data)
{
	struct smx_view used = smx_transport_host_key_blob(up->link->t),
			id = smx_transport_session_id(up->link->t);
	const char *host;
	int r;

	smx_hop_known_name(up->hop, &host, &ro->port);
	(void)snprintf(ro->host, sizeof(ro->host), "%s", host);
	if ((r = smx_buf_put(&ro->data, data.p, data.len)) != 0 ||
		(r = smx_hostkeys_read(smx_buf_as_view(&ro->data), &ro->list)) != 0 ||
		(r = smx_buf_put(&ro->used, used.p, used.len)) != 0 ||
		(r = smx_buf_put(&ro->session_id, id.p, id.len)) != 0)
		return r;
	return known_files_find(ro->mux->opts->ssh_dir, up->hop, &ro->files);
}

/* Of an authority's certificate known_hosts has no plain key (ssh_config(5), UpdateHostKeys). */
static int is_cert(struct smx_view blob)
{
	struct smx_cert *cert = NULL;
	int r = smx_cert_parse(&cert, blob);

	smx_cert_free(cert);
	return r != SMX_EUNSUPPORTED;
}

void rotate_listed(struct upstream *up, struct smx_view data)
{
	struct mux_ids ids = ids_of_upstream(up);
	struct rotate *ro;
	int r;

	if (up->was_listed || !up->hop->update_host_keys || up->is_new_host_key ||
		is_cert(smx_transport_host_key_blob(up->link->t)))
		return;
	up->was_listed = 1;
	if (!(ro = smx_calloc(1, sizeof(*ro))))
		return;
	ro->mux = up->entry->mux;
	ro->conn = up->link->id;
	smx_buf_init(&ro->data, SMX_HOSTKEYS_BYTES_MAX);
	smx_buf_init(&ro->used, SMX_KEY_BLOB_MAX);
	smx_buf_init(&ro->session_id, SMX_SESSION_ID_MAX);
	smx_buf_init(&ro->proof, PROOF_MAX);
	smx_buf_init(&ro->err, PREPARED_NOTES_MAX);
	if ((r = fill(ro, up, data)) != 0 ||
		uv_queue_work(ro->mux->core.loop, &ro->work, on_look, on_looked) != 0) {
		say_warn(&ids, "the server's list of its host keys is ignored: %s",
			r == SMX_ELIMIT ? "it is too long" : smx_strerror(r ? r : SMX_ESYS));
		rotate_free(ro);
		return;
	}
	ro->up = up;
	up->rotate = ro;
}

void rotate_cancel(struct rotate *ro)
{
	if (!ro)
		return;
	ro->up = NULL;
	if (ro->state == STATE_ASKED)
		rotate_free(ro); /* else the worker's end does */
}
