/* SPDX-License-Identifier: MIT */
#include "ssh/auth_server.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "ssh/auth_msg.h"

void smx_auth_server_init(
	struct smx_auth_server *a, struct smx_transport *t, smx_auth_key_ok *key_ok, void *arg)
{
	*a = (struct smx_auth_server){ .t = t, .key_ok = key_ok, .arg = arg };
}

static int send_buf(struct smx_auth_server *a, struct smx_buf *b)
{
	struct smx_view part = smx_buf_as_view(b);
	int r = smx_transport_send(a->t, &part, 1);

	smx_buf_release(b);
	return r;
}

static int send_failure(struct smx_auth_server *a)
{
	struct smx_buf b;
	int r;

	smx_buf_init(&b, SMX_AUTH_MSG_MAX);
	if ((r = smx_put_u8(&b, SMX_MSG_USERAUTH_FAILURE)) != 0 ||
		(r = smx_put_cstr(&b, "publickey")) != 0 || (r = smx_put_bool(&b, 0)) != 0) {
		smx_buf_release(&b);
		return r;
	}
	return send_buf(a, &b);
}

static int on_service_request(struct smx_auth_server *a, struct smx_rd rd)
{
	struct smx_view name;
	struct smx_buf b;
	int r;

	if ((r = smx_rd_string(&rd, &name)) != 0 || (r = smx_rd_end(&rd)) != 0)
		return r;
	if (a->is_done || !smx_view_eq(name, "ssh-userauth"))
		return SMX_EUNEXPECTED;
	/* Some clients (paramiko) ask again before each key; that counts as a try. */
	if (a->has_service && ++a->n_attempts > SMX_AUTH_ATTEMPTS_MAX)
		return SMX_EDENIED;
	if (!a->has_service)
		smx_transport_set_phase(a->t, SMX_PHASE_AUTH);
	a->has_service = 1;
	smx_buf_init(&b, SMX_AUTH_MSG_MAX);
	if ((r = smx_put_u8(&b, SMX_MSG_SERVICE_ACCEPT)) != 0 ||
		(r = smx_put_view(&b, name)) != 0) {
		smx_buf_release(&b);
		return r;
	}
	return send_buf(a, &b);
}

static int send_pk_ok(struct smx_auth_server *a, struct smx_view alg, struct smx_view blob)
{
	struct smx_buf b;
	int r;

	smx_buf_init(&b, SMX_AUTH_MSG_MAX);
	if ((r = smx_put_u8(&b, SMX_MSG_USERAUTH_PK_OK)) != 0 || (r = smx_put_view(&b, alg)) != 0 ||
		(r = smx_put_view(&b, blob)) != 0) {
		smx_buf_release(&b);
		return r;
	}
	return send_buf(a, &b);
}

/* The signed request: the key that is authorised must be the one that signed. */
static int check_signature(struct smx_auth_server *a, struct smx_view alg, struct smx_view blob,
	struct smx_view signature)
{
	struct smx_auth_pubkey offered = { .user = a->user, .alg = alg, .blob = blob };
	struct smx_key *key = NULL;
	struct smx_buf data;
	int r;

	smx_buf_init(&data, SMX_AUTH_MSG_MAX);
	if ((r = smx_key_from_blob(&key, blob)) == 0 &&
		(r = smx_auth_put_pubkey_request(
			 &data, smx_transport_session_id(a->t), &offered)) == 0)
		r = smx_key_verify(key, alg, signature, smx_buf_as_view(&data));
	smx_buf_release(&data);
	smx_key_free(key);
	return r;
}

static int succeed(struct smx_auth_server *a)
{
	static const uint8_t success = SMX_MSG_USERAUTH_SUCCESS;
	struct smx_view part = { &success, 1 };
	int r;

	if (a->is_held) {
		a->is_proved = 1;
		return 0;
	}
	if ((r = smx_transport_send(a->t, &part, 1)) != 0)
		return r;
	a->is_done = 1;
	smx_transport_set_phase(a->t, SMX_PHASE_CONNECTION);
	return 0;
}

static int on_publickey(struct smx_auth_server *a, struct smx_rd rd)
{
	struct smx_view alg, blob, signature, type;
	int has_signature, r;

	if ((r = smx_rd_bool(&rd, &has_signature)) != 0 || (r = smx_rd_string(&rd, &alg)) != 0 ||
		(r = smx_rd_string_max(&rd, SMX_KEY_BLOB_MAX, &blob)) != 0 ||
		(has_signature && (r = smx_rd_string_max(&rd, SMX_SIG_MAX, &signature)) != 0) ||
		(r = smx_rd_end(&rd)) != 0)
		return r;
	if (smx_blob_type(blob, &type) != 0 || !smx_sigalg_fits(alg, type) ||
		!a->key_ok(a->arg, blob))
		return send_failure(a);
	if (!has_signature)
		return send_pk_ok(a, alg, blob);
	r = check_signature(a, alg, blob, signature);
	if (smx_errclass(r) == SMX_CLASS_SYSTEM)
		return r;
	if (r != 0)
		return send_failure(a);
	if ((r = smx_blob_fingerprint(blob, a->fingerprint)) != 0)
		return r;
	return succeed(a);
}

static int on_request(struct smx_auth_server *a, struct smx_rd rd)
{
	char user[SMX_USER_SIZE];
	struct smx_view service, method;
	int r;

	if ((r = smx_rd_cstr(&rd, user, sizeof(user))) != 0 ||
		(r = smx_rd_string(&rd, &service)) != 0 || (r = smx_rd_string(&rd, &method)) != 0)
		return r;
	if (!smx_view_eq(service, "ssh-connection"))
		return SMX_EUNEXPECTED;
	if (a->has_user && strcmp(a->user, user) != 0)
		return SMX_EDENIED;
	memcpy(a->user, user, sizeof(user));
	a->has_user = 1;
	if (++a->n_attempts > SMX_AUTH_ATTEMPTS_MAX)
		return SMX_EDENIED;
	if (smx_view_eq(method, "publickey"))
		return on_publickey(a, rd);
	if (a->is_trusted && smx_view_eq(method, "none") && smx_rd_end(&rd) == 0)
		return succeed(a);
	return send_failure(a);
}

int smx_auth_server_admit(struct smx_auth_server *a)
{
	a->is_held = a->is_proved = 0;
	return succeed(a);
}

int smx_auth_server_handle(struct smx_auth_server *a, struct smx_view payload)
{
	struct smx_rd rd = smx_rd_from(payload.p + 1, payload.len - 1);

	if (a->is_proved)
		return SMX_EUNEXPECTED; /* an answer is due first */
	if (payload.p[0] == SMX_MSG_SERVICE_REQUEST)
		return on_service_request(a, rd);
	if (payload.p[0] == SMX_MSG_USERAUTH_REQUEST && a->has_service && !a->is_done)
		return on_request(a, rd);
	return SMX_EUNEXPECTED;
}
