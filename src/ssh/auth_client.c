/* SPDX-License-Identifier: MIT */
#include "ssh/auth_client.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

int smx_auth_client_init(struct smx_auth_client *a, struct smx_transport *t, const char *user)
{
	*a = (struct smx_auth_client){ .t = t, .wait = SMX_AUTH_WAIT_NOTHING };
	smx_buf_init(&a->key_alg, SMX_ALG_NAME_SIZE);
	smx_buf_init(&a->key_blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&a->host_key, SMX_KEY_BLOB_MAX);
	return (a->user = smx_strdup(user)) ? 0 : SMX_ENOMEM;
}

void smx_auth_client_release(struct smx_auth_client *a)
{
	smx_free(a->user);
	a->user = NULL;
	smx_buf_release(&a->key_alg);
	smx_buf_release(&a->key_blob);
	smx_buf_release(&a->host_key);
}

/* Sends what was built (r: of the building), then waits for `wait`. Wipes: it may hold a secret. */
static int send_built(struct smx_auth_client *a, struct smx_buf *b, int r, enum smx_auth_wait wait)
{
	struct smx_view part = smx_buf_as_view(b);

	if (r == 0 && (r = smx_transport_send(a->t, &part, 1)) == 0)
		a->wait = wait;
	smx_buf_release(b);
	return r;
}

static int send_none(struct smx_auth_client *a)
{
	struct smx_buf b;

	smx_buf_init_secret(&b, SMX_AUTH_MSG_MAX);
	return send_built(a, &b, smx_auth_put_none(&b, a->user), SMX_AUTH_WAIT_NONE);
}

static int ask_service(struct smx_auth_client *a, enum smx_auth_wait wait)
{
	struct smx_buf b;
	int r;

	smx_buf_init_secret(&b, SMX_AUTH_MSG_MAX);
	if ((r = smx_put_u8(&b, SMX_MSG_SERVICE_REQUEST)) == 0)
		r = smx_put_cstr(&b, "ssh-userauth");
	if ((r = send_built(a, &b, r, wait)) == 0)
		a->service_due = 1;
	return r;
}

int smx_auth_client_begin(struct smx_auth_client *a)
{
	int r = ask_service(a, SMX_AUTH_WAIT_CHOICE);

	return r == 0 ? send_none(a) : r;
}

/* A11: bound to the server, where it knows how; it may have said so only after a first request. */
static int choose_method(struct smx_auth_client *a)
{
	struct smx_view host_key = smx_transport_host_key_blob(a->t);

	smx_buf_reset(&a->host_key);
	return smx_transport_takes_hostbound(a->t)
		       ? smx_buf_put(&a->host_key, host_key.p, host_key.len)
		       : 0;
}

static int take_key(struct smx_auth_client *a, struct smx_view alg, struct smx_view blob)
{
	int r;

	smx_buf_reset(&a->key_alg);
	smx_buf_reset(&a->key_blob);
	if ((r = smx_buf_put(&a->key_alg, alg.p, alg.len)) == 0 &&
		(r = smx_buf_put(&a->key_blob, blob.p, blob.len)) == 0)
		r = choose_method(a);
	return r;
}

static struct smx_auth_pubkey key_of(const struct smx_auth_client *a)
{
	return (struct smx_auth_pubkey){ a->user, smx_buf_as_view(&a->key_alg),
		smx_buf_as_view(&a->key_blob), smx_buf_as_view(&a->host_key) };
}

int smx_auth_client_begin_with_key(
	struct smx_auth_client *a, struct smx_view alg, struct smx_view blob)
{
	int r = take_key(a, alg, blob);

	return r == 0 ? ask_service(a, SMX_AUTH_WAIT_SIGNATURE) : r;
}

int smx_auth_client_begin_in_turns(struct smx_auth_client *a)
{
	return ask_service(a, SMX_AUTH_WAIT_SERVICE);
}

int smx_auth_client_is_unheard(const struct smx_auth_client *a)
{
	return a->service_due && a->wait != SMX_AUTH_WAIT_SERVICE;
}

/* A method other than the one that was asked for ahead. */
static int begin_other(struct smx_auth_client *a)
{
	if (a->wait != SMX_AUTH_WAIT_CHOICE)
		return SMX_ESTATE;
	if (a->kbdint_ahead)
		a->ignores_one = 1;
	a->kbdint_ahead = 0;
	return 0;
}

int smx_auth_client_none(struct smx_auth_client *a)
{
	int r = begin_other(a);

	return r == 0 ? send_none(a) : r;
}

int smx_auth_client_can(const struct smx_auth_client *a, const char *method)
{
	return smx_namelist_has(smx_view_of(a->methods, strlen(a->methods)), method);
}

static int on_service_accept(struct smx_auth_client *a, struct smx_rd rd)
{
	struct smx_view name;
	int r;

	if (!a->service_due)
		return SMX_EUNEXPECTED;
	if ((r = smx_rd_string(&rd, &name)) != 0 || (r = smx_rd_end(&rd)) != 0)
		return r;
	if (!smx_view_eq(name, "ssh-userauth"))
		return SMX_EUNEXPECTED;
	smx_transport_set_phase(a->t, SMX_PHASE_AUTH);
	a->service_due = 0;
	return a->wait == SMX_AUTH_WAIT_SERVICE ? send_none(a) : 0;
}

int smx_auth_client_is_asked(const struct smx_auth_client *a)
{
	if (a->service_due)
		return 0;
	switch (a->wait) {
	case SMX_AUTH_WAIT_NONE:
	case SMX_AUTH_WAIT_PROBE:
	case SMX_AUTH_WAIT_PUBKEY:
	case SMX_AUTH_WAIT_PASSWORD:
	case SMX_AUTH_WAIT_KBDINT:
		return 1;
	default:
		return 0;
	}
}

/* The answer to what was asked for ahead and given up, or not taken up yet. */
static int is_of_no_use(struct smx_auth_client *a)
{
	int is_early = a->kbdint_ahead && a->wait == SMX_AUTH_WAIT_CHOICE;

	if (!a->ignores_one && !is_early)
		return 0;
	a->ignores_one = a->kbdint_ahead = 0;
	return 1;
}

static int on_failure(struct smx_auth_client *a, struct smx_rd rd, struct smx_auth_event *ret)
{
	struct smx_view methods;
	int r;

	if (is_of_no_use(a))
		return smx_auth_parse_failure(rd, &methods, &(int){ 0 });
	if (!smx_auth_client_is_asked(a))
		return SMX_EUNEXPECTED;
	if ((r = smx_auth_parse_failure(rd, &methods, &ret->is_partial)) != 0)
		return r;
	if (methods.len >= sizeof(a->methods))
		return SMX_ETOOBIG;
	memcpy(a->methods, methods.p, methods.len);
	a->methods[methods.len] = '\0';
	a->has_methods = 1;
	a->wait = SMX_AUTH_WAIT_CHOICE;
	ret->type = SMX_AUTH_EV_CHOOSE;
	return 0;
}

static int on_success(struct smx_auth_client *a, struct smx_rd rd, struct smx_auth_event *ret)
{
	int r;

	/* A probe can't succeed; anything else we asked for may. */
	if (!smx_auth_client_is_asked(a) || a->wait == SMX_AUTH_WAIT_PROBE)
		return SMX_EUNEXPECTED;
	if ((r = smx_rd_end(&rd)) != 0)
		return r;
	a->wait = SMX_AUTH_WAIT_NOTHING;
	smx_transport_set_phase(a->t, SMX_PHASE_CONNECTION);
	ret->type = SMX_AUTH_EV_DONE;
	return 0;
}

/* Message 60 means what the method under way says it means. */
static int on_60(struct smx_auth_client *a, struct smx_rd rd, struct smx_auth_event *ret)
{
	struct smx_view alg, blob, lang;
	int r;

	if (is_of_no_use(a)) {
		a->began_in_vain = 1;
		return smx_auth_parse_info_request(rd, &ret->ask);
	}
	switch (a->wait) {
	case SMX_AUTH_WAIT_PROBE:
		if ((r = smx_auth_parse_pk_ok(rd, &alg, &blob)) != 0)
			return r;
		/* It must be about the key we asked about. Old servers name RSA keys "ssh-rsa". */
		if (!smx_view_eq_view(blob, smx_buf_as_view(&a->key_blob)))
			return SMX_EPROTOCOL;
		a->wait = SMX_AUTH_WAIT_SIGNATURE;
		ret->type = SMX_AUTH_EV_SIGN;
		return 0;
	case SMX_AUTH_WAIT_KBDINT:
		if ((r = smx_auth_parse_info_request(rd, &ret->ask)) != 0)
			return r;
		a->n_prompts = ret->ask.n_prompts;
		a->wait = SMX_AUTH_WAIT_ANSWERS;
		ret->type = SMX_AUTH_EV_ASK;
		return 0;
	case SMX_AUTH_WAIT_PASSWORD:
		/* PASSWD_CHANGEREQ */
		if ((r = smx_rd_string_max(&rd, SMX_AUTH_TEXT_MAX, &ret->text)) != 0 ||
			(r = smx_rd_string(&rd, &lang)) != 0 || (r = smx_rd_end(&rd)) != 0)
			return r;
		a->wait = SMX_AUTH_WAIT_CHOICE;
		ret->type = SMX_AUTH_EV_EXPIRED;
		return 0;
	default:
		return SMX_EUNEXPECTED;
	}
}

int smx_auth_client_handle(
	struct smx_auth_client *a, struct smx_view payload, struct smx_auth_event *ret)
{
	struct smx_rd rd = smx_rd_from(payload.p + 1, payload.len - 1);
	struct smx_view lang;
	int r;

	*ret = (struct smx_auth_event){ .type = SMX_AUTH_EV_NONE };
	switch (payload.p[0]) {
	case SMX_MSG_SERVICE_ACCEPT:
		return on_service_accept(a, rd);
	case SMX_MSG_USERAUTH_FAILURE:
		return on_failure(a, rd, ret);
	case SMX_MSG_USERAUTH_SUCCESS:
		return on_success(a, rd, ret);
	case SMX_MSG_USERAUTH_BANNER:
		if ((r = smx_rd_string_max(&rd, SMX_AUTH_TEXT_MAX, &ret->text)) != 0 ||
			(r = smx_rd_string(&rd, &lang)) != 0 || (r = smx_rd_end(&rd)) != 0)
			return r;
		ret->type = SMX_AUTH_EV_BANNER;
		return 0;
	case SMX_MSG_USERAUTH_PK_OK:
		return on_60(a, rd, ret);
	default:
		return SMX_EUNEXPECTED;
	}
}

int smx_auth_client_probe_key(struct smx_auth_client *a, struct smx_view alg, struct smx_view blob)
{
	struct smx_auth_pubkey key;
	struct smx_buf b;
	int r;

	if ((r = begin_other(a)) != 0)
		return r;
	smx_buf_init_secret(&b, SMX_AUTH_MSG_MAX);
	if ((r = take_key(a, alg, blob)) == 0) {
		key = key_of(a);
		r = smx_auth_put_pubkey_probe(&b, &key);
	}
	return send_built(a, &b, r, SMX_AUTH_WAIT_PROBE);
}

int smx_auth_client_password(struct smx_auth_client *a, struct smx_view password)
{
	struct smx_buf b;
	int r;

	if ((r = begin_other(a)) != 0)
		return r;
	smx_buf_init_secret(&b, SMX_AUTH_MSG_MAX);
	return send_built(
		a, &b, smx_auth_put_password(&b, a->user, password), SMX_AUTH_WAIT_PASSWORD);
}

static int ask_kbdint(struct smx_auth_client *a, enum smx_auth_wait wait)
{
	struct smx_buf b;

	smx_buf_init_secret(&b, SMX_AUTH_MSG_MAX);
	return send_built(a, &b, smx_auth_put_kbdint(&b, a->user), wait);
}

int smx_auth_client_kbdint(struct smx_auth_client *a)
{
	if (a->wait != SMX_AUTH_WAIT_CHOICE)
		return SMX_ESTATE;
	if (!a->kbdint_ahead)
		return ask_kbdint(a, SMX_AUTH_WAIT_KBDINT);
	a->kbdint_ahead = 0;
	a->wait = SMX_AUTH_WAIT_KBDINT;
	return 0;
}

int smx_auth_client_kbdint_ahead(struct smx_auth_client *a)
{
	int r;

	if (a->wait != SMX_AUTH_WAIT_PUBKEY || a->kbdint_ahead)
		return SMX_ESTATE;
	if ((r = ask_kbdint(a, SMX_AUTH_WAIT_PUBKEY)) == 0)
		a->kbdint_ahead = 1;
	return r;
}

int smx_auth_client_sign_data(struct smx_auth_client *a, struct smx_buf *ret_data)
{
	struct smx_auth_pubkey key = key_of(a);

	if (a->wait != SMX_AUTH_WAIT_SIGNATURE)
		return SMX_ESTATE;
	return smx_auth_put_pubkey_request(ret_data, smx_transport_session_id(a->t), &key);
}

int smx_auth_client_send_signature(struct smx_auth_client *a, struct smx_view signature)
{
	struct smx_auth_pubkey key = key_of(a);
	struct smx_buf b;
	int r;

	if (a->wait != SMX_AUTH_WAIT_SIGNATURE)
		return SMX_ESTATE;
	smx_buf_init_secret(&b, SMX_AUTH_MSG_MAX);
	if ((r = smx_auth_put_pubkey_request(&b, (struct smx_view){ NULL, 0 }, &key)) == 0)
		r = smx_put_view(&b, signature);
	return send_built(a, &b, r, SMX_AUTH_WAIT_PUBKEY);
}

void smx_auth_client_skip_key(struct smx_auth_client *a)
{
	if (a->wait == SMX_AUTH_WAIT_SIGNATURE)
		a->wait = SMX_AUTH_WAIT_CHOICE;
}

int smx_auth_client_send_answers(
	struct smx_auth_client *a, const struct smx_view *answers, size_t n)
{
	struct smx_buf b;

	if (a->wait != SMX_AUTH_WAIT_ANSWERS)
		return SMX_ESTATE;
	if (n != a->n_prompts)
		return SMX_EINVAL;
	smx_buf_init_secret(&b, SMX_AUTH_MSG_MAX);
	return send_built(a, &b, smx_auth_put_info_response(&b, answers, n), SMX_AUTH_WAIT_KBDINT);
}
