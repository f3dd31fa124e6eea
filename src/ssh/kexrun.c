/* SPDX-License-Identifier: MIT */
/*
 * The key exchange's messages (RFC 4253 sections 7 and 8, 4419, 5656), for both roles
 * and every method: what differs between methods is behind crypto/kex.h.
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/cert.h"
#include "crypto/hash.h"
#include "ssh/msg.h"
#include "ssh/transport_int.h"

#define HASH_INPUT_MAX \
	(2 * SMX_KEXINIT_MAX + SMX_KEY_BLOB_MAX + 4 * SMX_KEX_PUBLIC_MAX + 2048 + SMX_IDENT_MAX)
#define GEX_PREFERRED_BITS 3072

void smx_work_free(struct smx_work *w)
{
	if (!w)
		return;
	smx_kex_free(w->kex);
	smx_buf_release(&w->peer_public);
	smx_buf_release(&w->own_public);
	smx_buf_release(&w->secret);
	smx_free(w);
}

void smx_work_run(struct smx_work *w)
{
	struct smx_view peer = smx_buf_as_view(&w->peer_public);

	switch (w->op) {
	case WORK_START:
		w->result = smx_kex_start(w->kex, &w->own_public);
		break;
	case WORK_FINISH:
		w->result = smx_kex_finish(w->kex, peer, &w->secret);
		break;
	case WORK_RESPOND:
		w->result = smx_kex_respond(w->kex, peer, &w->own_public, &w->secret);
		break;
	}
}

/* Runs a step here, or hands it out as an event if it is slow. */
static int submit(struct smx_transport *t, enum work_op op, struct smx_view peer_public)
{
	struct smx_work *w = smx_calloc(1, sizeof(*w));
	int r;

	if (!w)
		return SMX_ENOMEM;
	w->op = op;
	smx_buf_init(&w->peer_public, SMX_KEX_PUBLIC_MAX);
	smx_buf_init(&w->own_public, SMX_KEX_PUBLIC_MAX);
	smx_buf_init_secret(&w->secret, SMX_KEX_SECRET_MAX);
	if ((r = smx_buf_put(&w->peer_public, peer_public.p, peer_public.len)) != 0) {
		smx_work_free(w);
		return r == SMX_ELIMIT ? SMX_ETOOBIG : r;
	}
	w->kex = t->kex;
	t->kex = NULL;
	t->step = KEX_COMPUTING;
	if (t->algs.kex->is_slow || t->is_all_work_slow) {
		t->work_out = w;
		t->waiting_work = 1;
		return 0;
	}
	smx_work_run(w);
	return kex_work_apply(t, w);
}

static int send_message(
	struct smx_transport *t, uint8_t type, const struct smx_view *strings, size_t n)
{
	uint8_t heads[3][5];
	struct smx_view parts[6];

	/* Each string goes out as its length (behind the message number for the first) and itself.
	 */
	for (size_t i = 0; i < n; i++) {
		heads[i][0] = type;
		smx_set_u32(heads[i] + 1, (uint32_t)strings[i].len);
		parts[2 * i] = (struct smx_view){ heads[i] + (i ? 1 : 0), i ? 4 : 5 };
		parts[2 * i + 1] = strings[i];
	}
	if (n == 0)
		parts[0] = (struct smx_view){ &type, 1 };
	return smx_packets_send(&t->pk, parts, n ? 2 * n : 1);
}

void kex_take_guess(struct smx_transport *t, const struct smx_transport_config *config)
{
	const char *kex = t->offer_kex ? t->offer_kex : smx_kex_names();
	const char *host_key = t->offer_host_key ? t->offer_host_key : smx_sigalg_names(0);
	const char *guess = config->guess_kex;
	const struct smx_kex_alg *alg;

	if (t->role != SMX_CLIENT || !guess || !config->guess_host_key ||
		strlen(config->guess_host_key) >= sizeof(t->guess_host_key) ||
		!smx_namelist_has(smx_view_of(kex, strlen(kex)), guess) ||
		!smx_namelist_has(smx_view_of(host_key, strlen(host_key)), config->guess_host_key))
		return;
	alg = smx_kex_find(smx_view_of(guess, strlen(guess)));
	if (!alg || alg->kind == SMX_KEX_GEX)
		return;
	memcpy(t->guess_host_key, config->guess_host_key, strlen(config->guess_host_key) + 1);
	t->guess = alg;
}

/* RFC 4253 section 7: as if the server's KEXINIT had come. */
static int send_guess(struct smx_transport *t)
{
	int r;

	t->algs.kex = t->guess;
	if ((r = smx_kex_new(&t->kex, t->algs.kex)) != 0)
		return r;
	return submit(t, WORK_START, (struct smx_view){ NULL, 0 });
}

/* Whether the exchange is under way already, as both would have chosen. */
static int was_guessed(struct smx_transport *t)
{
	int is_right = t->guess && t->algs.kex == t->guess && t->algs.is_first_choice;

	t->guess = NULL;
	return is_right;
}

int kex_begin(struct smx_transport *t)
{
	struct smx_kex_offer offer = {
		.kex = t->offer_kex,
		.host_key = t->offer_host_key,
		.ciphers = t->offer_ciphers,
		.macs = t->offer_macs,
		.is_first = t->n_kex == 0,
		.guess_kex = t->guess ? t->guess->name : NULL,
		.guess_host_key = t->guess ? t->guess_host_key : NULL,
	};
	struct smx_view payload;
	int r;

	smx_buf_reset(&t->kexinit_self);
	if ((r = smx_kexinit_build(&t->kexinit_self, t->role, &offer)) != 0)
		return r;
	payload = smx_buf_as_view(&t->kexinit_self);
	if ((r = smx_packets_send(&t->pk, &payload, 1)) != 0)
		return r;
	t->sent_kexinit = 1;
	t->sent_newkeys = 0;
	t->step = KEX_WAIT_KEXINIT;
	return t->guess ? send_guess(t) : 0;
}

static int client_first_message(struct smx_transport *t)
{
	uint8_t request[1 + 12];
	struct smx_view part = { request, sizeof(request) };
	int r;

	if (t->algs.kex->kind != SMX_KEX_GEX)
		return submit(t, WORK_START, (struct smx_view){ NULL, 0 });
	request[0] = SMX_MSG_GEX_REQUEST;
	smx_set_u32(request + 1, SMX_GEX_MIN_BITS);
	smx_set_u32(request + 5, GEX_PREFERRED_BITS);
	smx_set_u32(request + 9, SMX_GEX_MAX_BITS);
	if ((r = smx_buf_put(&t->gex, request + 1, 12)) != 0 ||
		(r = smx_packets_send(&t->pk, &part, 1)) != 0)
		return r;
	t->step = KEX_WAIT_GEX_GROUP;
	return 0;
}

/* A16: for who has to say what the other side would have had. */
static void note_lack(
	struct smx_transport *t, struct smx_view self, struct smx_view peer, const char *what)
{
	int is_client = t->role == SMX_CLIENT;
	struct smx_view offer = smx_kexinit_peer_offer(
		is_client ? self : peer, is_client ? peer : self, t->role, what);

	t->lack = what;
	if (offer.len >= sizeof(t->lack_offer))
		offer.len = sizeof(t->lack_offer) - 1;
	if (offer.len)
		memcpy(t->lack_offer, offer.p, offer.len);
	t->lack_offer[offer.len] = '\0';
}

static int on_kexinit(struct smx_transport *t, struct smx_view payload)
{
	struct smx_view self, peer;
	const char *what;
	int r;

	if (t->step == KEX_IDLE && (r = kex_begin(t)) != 0)
		return r;
	t->late_bytes = 0;
	smx_buf_reset(&t->kexinit_peer);
	smx_buf_reset(&t->gex);
	if ((r = smx_buf_put(&t->kexinit_peer, payload.p, payload.len)) != 0)
		return r == SMX_ELIMIT ? SMX_ETOOBIG : r;
	self = smx_buf_as_view(&t->kexinit_self);
	peer = smx_buf_as_view(&t->kexinit_peer);
	r = t->role == SMX_CLIENT ? smx_kexinit_negotiate(self, peer, t->role, &t->algs, &what)
				  : smx_kexinit_negotiate(peer, self, t->role, &t->algs, &what);
	if (r != 0) {
		if (r == SMX_ENEGOTIATION) {
			transport_set_reason(t, smx_view_of(what, strlen(what)));
			note_lack(t, self, peer, what);
		}
		return r;
	}
	if (t->n_kex == 0) {
		t->strict = t->algs.peer_strict;
		/* Strict kex: KEXINIT must have been the peer's very first packet. */
		if (t->strict && t->pk.rx_seq != 1)
			return SMX_EUNEXPECTED;
	}
	if (was_guessed(t)) {
		t->step = KEX_WAIT_REPLY;
		return 0;
	}
	smx_kex_free(t->kex);
	t->kex = NULL;
	if ((r = smx_kex_new(&t->kex, t->algs.kex)) != 0)
		return r;
	if (t->role == SMX_CLIENT)
		return client_first_message(t);
	t->step = t->algs.kex->kind == SMX_KEX_GEX ? KEX_WAIT_GEX_REQUEST : KEX_WAIT_INIT;
	return 0;
}

static int on_gex_group(struct smx_transport *t, struct smx_rd rd)
{
	const uint8_t *start = rd.p;
	struct smx_view p, g;
	int r;

	/* Contents, sign byte included: smx_kex_gex_set_group judges them. */
	if ((r = smx_rd_string(&rd, &p)) != 0 || (r = smx_rd_string(&rd, &g)) != 0 ||
		(r = smx_rd_end(&rd)) != 0)
		return r;
	if ((r = smx_kex_gex_set_group(t->kex, p, g)) != 0 ||
		(r = smx_buf_put(&t->gex, start, (size_t)(rd.p - start))) != 0)
		return r;
	return submit(t, WORK_START, (struct smx_view){ NULL, 0 });
}

static int on_gex_request(struct smx_transport *t, struct smx_rd rd)
{
	uint8_t type = SMX_MSG_GEX_GROUP;
	struct smx_view parts[2] = { { &type, 1 } };
	uint32_t min, n, max;
	int r;

	if ((r = smx_buf_put(&t->gex, rd.p, rd.left < 12 ? rd.left : 12)) != 0 ||
		(r = smx_rd_u32(&rd, &min)) != 0 || (r = smx_rd_u32(&rd, &n)) != 0 ||
		(r = smx_rd_u32(&rd, &max)) != 0 || (r = smx_rd_end(&rd)) != 0)
		return r;
	if (min > n || n > max)
		return SMX_EPROTOCOL;
	if ((r = smx_kex_gex_choose(t->kex, min, n, max, &t->gex)) != 0)
		return r;
	parts[1] = (struct smx_view){ smx_buf_view(&t->gex) + 12, smx_buf_len(&t->gex) - 12 };
	if ((r = smx_packets_send(&t->pk, parts, 2)) != 0)
		return r;
	t->step = KEX_WAIT_INIT;
	return 0;
}

static int keep(struct smx_buf *to, struct smx_view from)
{
	int r;

	smx_buf_reset(to);
	r = smx_buf_put(to, from.p, from.len);
	return r == SMX_ELIMIT ? SMX_ETOOBIG : r;
}

static int on_init(struct smx_transport *t, struct smx_rd rd)
{
	struct smx_view public;
	int r;

	if ((r = smx_rd_string(&rd, &public)) != 0 || (r = smx_rd_end(&rd)) != 0 ||
		(r = keep(&t->client_public, public)) != 0)
		return r;
	return submit(t, WORK_RESPOND, public);
}

static int on_reply(struct smx_transport *t, struct smx_rd rd)
{
	struct smx_view host_key, public, signature;
	int r;

	if ((r = smx_rd_string(&rd, &host_key)) != 0 || (r = smx_rd_string(&rd, &public)) != 0 ||
		(r = smx_rd_string(&rd, &signature)) != 0 || (r = smx_rd_end(&rd)) != 0 ||
		(r = keep(&t->new_host_key_blob, host_key)) != 0 ||
		(r = keep(&t->server_public, public)) != 0 ||
		(r = keep(&t->signature, signature)) != 0)
		return r;
	return submit(t, WORK_FINISH, public);
}

/* H of RFC 4253 section 8, with RFC 4419's group between K_S and the public values. */
static int exchange_hash(struct smx_transport *t, struct smx_view host_key, struct smx_view secret,
	uint8_t hash[SMX_HASH_MAX])
{
	int is_client = t->role == SMX_CLIENT;
	struct smx_buf in;
	int r;

	smx_buf_init_secret(&in, HASH_INPUT_MAX);
	(void)((r = smx_put_cstr(&in, is_client ? t->ident_self : t->ident_peer)) != 0 ||
		(r = smx_put_cstr(&in, is_client ? t->ident_peer : t->ident_self)) != 0 ||
		(r = smx_put_view(&in,
			 smx_buf_as_view(is_client ? &t->kexinit_self : &t->kexinit_peer))) != 0 ||
		(r = smx_put_view(&in,
			 smx_buf_as_view(is_client ? &t->kexinit_peer : &t->kexinit_self))) != 0 ||
		(r = smx_put_view(&in, host_key)) != 0 ||
		(r = smx_buf_put(&in, smx_buf_view(&t->gex), smx_buf_len(&t->gex))) != 0 ||
		(r = smx_put_view(&in, smx_buf_as_view(&t->client_public))) != 0 ||
		(r = smx_put_view(&in, smx_buf_as_view(&t->server_public))) != 0 ||
		(r = smx_buf_put(&in, secret.p, secret.len)) != 0 ||
		(r = smx_hash(t->algs.kex->hash, smx_buf_view(&in), smx_buf_len(&in), hash)) != 0);
	smx_buf_release(&in);
	return r;
}

static int derive(struct smx_transport *t, struct smx_view secret, struct smx_view hash, int c2s,
	int sending, struct smx_protect **ret)
{
	const struct smx_cipher_alg *cipher = c2s ? t->algs.cipher_c2s : t->algs.cipher_s2c;
	const struct smx_mac_alg *mac = c2s ? t->algs.mac_c2s : t->algs.mac_s2c;
	uint8_t iv[SMX_CIPHER_IV_MAX] = { 0 }, key[SMX_CIPHER_KEY_MAX], mac_key[SMX_MAC_KEY_MAX];
	struct smx_view sid = { t->session_id, t->session_id_len };
	enum smx_hash h = t->algs.kex->hash;
	int r;

	(void)((r = smx_kdf(h, secret, hash, sid, c2s ? 'A' : 'B', iv, cipher->iv_len)) != 0 ||
		(r = smx_kdf(h, secret, hash, sid, c2s ? 'C' : 'D', key, cipher->key_len)) != 0 ||
		(r = smx_kdf(h, secret, hash, sid, c2s ? 'E' : 'F', mac_key,
			 mac ? mac->key_len : 0)) != 0 ||
		(r = smx_protect_new(ret, cipher, mac, sending, key, iv, mac_key)) != 0);
	smx_wipe(iv, sizeof(iv));
	smx_wipe(key, sizeof(key));
	smx_wipe(mac_key, sizeof(mac_key));
	return r;
}

/* Sends NEWKEYS and turns the sending direction over; the other waits for the peer's. */
static int send_newkeys(struct smx_transport *t, struct smx_protect *tx)
{
	int r;

	if ((r = send_message(t, SMX_MSG_NEWKEYS, NULL, 0)) != 0) {
		smx_protect_free(tx);
		return r;
	}
	smx_packets_set_tx_keys(&t->pk, tx, t->strict);
	t->sent_newkeys = 1;
	t->step = KEX_WAIT_NEWKEYS;
	return transport_flush_held(t);
}

/* Keys of both directions from the secret; then REPLY (server) and NEWKEYS. */
static int use_secret(struct smx_transport *t, struct smx_view secret)
{
	struct smx_view host_key = smx_buf_as_view(&t->new_host_key_blob), hash;
	struct smx_view reply[3];
	struct smx_protect *tx = NULL, *rx = NULL;
	struct smx_view alg = smx_view_of(t->algs.host_key, strlen(t->algs.host_key));
	int is_client = t->role == SMX_CLIENT;
	uint8_t h[SMX_HASH_MAX];
	int r;

	if ((r = exchange_hash(t, host_key, secret, h)) != 0)
		return r;
	hash = (struct smx_view){ h, smx_hash_len(t->algs.kex->hash) };
	if (is_client) {
		/* Of a certificate: the key in it. What it is worth, the judge of the key says. */
		if ((r = smx_host_key_verify(
			     host_key, alg, smx_buf_as_view(&t->signature), hash)) != 0)
			goto out;
	} else {
		smx_buf_reset(&t->signature);
		if ((r = smx_key_sign(t->host_key, t->algs.host_key, hash, &t->signature)) != 0)
			goto out;
	}
	if (t->n_kex == 0) {
		memcpy(t->session_id, h, hash.len);
		t->session_id_len = hash.len;
		if (is_client &&
			(r = keep(&t->session_signature, smx_buf_as_view(&t->signature))) != 0)
			goto out;
	}
	if ((r = derive(t, secret, hash, is_client, 1, &tx)) != 0 ||
		(r = derive(t, secret, hash, !is_client, 0, &rx)) != 0)
		goto out;
	smx_protect_free(t->next_rx);
	t->next_rx = rx;
	rx = NULL;
	if (!is_client) {
		reply[0] = host_key;
		reply[1] = smx_buf_as_view(&t->server_public);
		reply[2] = smx_buf_as_view(&t->signature);
		if ((r = send_message(t,
			     t->algs.kex->kind == SMX_KEX_GEX ? SMX_MSG_GEX_REPLY
							      : SMX_MSG_KEX_REPLY,
			     reply, 3)) != 0)
			goto out;
	}
	r = send_newkeys(t, tx);
	tx = NULL;
out:
	smx_protect_free(tx);
	smx_protect_free(rx);
	smx_wipe(h, sizeof(h));
	return r;
}

/* The client's side once the secret is known: on a rekey the host key must be the first one's. */
static int client_finish(struct smx_transport *t, struct smx_view secret)
{
	if (t->n_kex > 0 && !smx_view_eq_view(smx_buf_as_view(&t->host_key_blob),
				    smx_buf_as_view(&t->new_host_key_blob)))
		return SMX_EHOSTKEY;
	return use_secret(t, secret);
}

int kex_work_apply(struct smx_transport *t, struct smx_work *w)
{
	struct smx_view secret = smx_buf_as_view(&w->secret),
			public = smx_buf_as_view(&w->own_public);
	int r;

	t->kex = w->kex;
	w->kex = NULL;
	if ((r = w->result) != 0)
		goto out;
	switch (w->op) {
	case WORK_START:
		if ((r = keep(&t->client_public, public)) != 0)
			break;
		r = send_message(t,
			t->algs.kex->kind == SMX_KEX_GEX ? SMX_MSG_GEX_INIT : SMX_MSG_KEX_INIT,
			&public, 1);
		t->step = t->guess ? KEX_WAIT_KEXINIT : KEX_WAIT_REPLY;
		break;
	case WORK_RESPOND:
		smx_buf_reset(&t->new_host_key_blob);
		if ((r = keep(&t->server_public, public)) != 0 ||
			(r = smx_key_to_blob(t->host_key, &t->new_host_key_blob)) != 0)
			break;
		r = use_secret(t, secret);
		break;
	case WORK_FINISH:
		r = client_finish(t, secret);
		break;
	}
out:
	if (r != 0 || w->op != WORK_START) {
		smx_kex_free(t->kex);
		t->kex = NULL;
	}
	smx_work_free(w);
	return r;
}

static int on_newkeys(struct smx_transport *t, struct smx_rd rd)
{
	int is_first = t->n_kex == 0, r;

	if ((r = smx_rd_end(&rd)) != 0)
		return r;
	smx_packets_set_rx_keys(&t->pk, t->next_rx, t->strict);
	t->next_rx = NULL;
	if ((r = keep(&t->host_key_blob, smx_buf_as_view(&t->new_host_key_blob))) != 0)
		return r;
	smx_buf_release(&t->kexinit_self);
	smx_buf_release(&t->kexinit_peer);
	smx_buf_release(&t->client_public);
	smx_buf_release(&t->server_public);
	smx_buf_release(&t->signature);
	smx_buf_release(&t->new_host_key_blob);
	smx_buf_release(&t->gex);
	t->step = KEX_IDLE;
	t->sent_kexinit = 0;
	t->last_kex_ms = t->now_ms;
	t->n_kex++;
	if (is_first) {
		/* The key is judged once the server has proved to have it, before anything else. */
		t->host_key_event = t->waiting_host_key = t->role == SMX_CLIENT;
		t->ready_event = 1;
		/*
		 * Still the packet behind our first NEWKEYS (RFC 8308 section 2.4), but written
		 * only now: it carries the acknowledgement of the client's NEWKEYS. Else the
		 * client's Nagle algorithm holds its service request back until our system sends
		 * a bare acknowledgement, which is 40 ms of each `ssh`.
		 */
		if (t->role == SMX_SERVER && t->algs.peer_ext_info &&
			(r = transport_send_ext_info(t)) != 0)
			return r;
	}
	/* On the first exchange nothing is sent before it is over, and the host key accepted. */
	return transport_flush_held(t);
}

int kex_expects(const struct smx_transport *t, uint8_t type)
{
	int is_gex = t->algs.kex && t->algs.kex->kind == SMX_KEX_GEX;

	if (type == SMX_MSG_KEXINIT)
		return t->step == KEX_IDLE || t->step == KEX_WAIT_KEXINIT;
	/* The packet of a wrong guess may be any. */
	if (t->algs.skip_next && type != SMX_MSG_NEWKEYS && t->step > KEX_WAIT_KEXINIT)
		return 1;
	switch (t->step) {
	case KEX_WAIT_GEX_GROUP:
		return type == SMX_MSG_GEX_GROUP;
	case KEX_WAIT_GEX_REQUEST:
		return type == SMX_MSG_GEX_REQUEST;
	case KEX_WAIT_INIT:
		return type == (is_gex ? SMX_MSG_GEX_INIT : SMX_MSG_KEX_INIT);
	case KEX_WAIT_REPLY:
		return type == (is_gex ? SMX_MSG_GEX_REPLY : SMX_MSG_KEX_REPLY);
	case KEX_WAIT_NEWKEYS:
		return type == SMX_MSG_NEWKEYS;
	case KEX_IDLE:
	case KEX_WAIT_KEXINIT:
	case KEX_COMPUTING:
		break;
	}
	return 0;
}

int kex_handle(struct smx_transport *t, struct smx_view payload)
{
	struct smx_rd rd = smx_rd_from(payload.p + 1, payload.len - 1);
	uint8_t type = payload.p[0];

	if (!kex_expects(t, type))
		return SMX_EUNEXPECTED;
	if (type == SMX_MSG_KEXINIT)
		return on_kexinit(t, payload);
	if (type != SMX_MSG_NEWKEYS && t->algs.skip_next) {
		t->algs.skip_next = 0; /* RFC 4253 section 7 */
		return 0;
	}
	switch (type) {
	case SMX_MSG_GEX_REQUEST:
		return on_gex_request(t, rd);
	case SMX_MSG_GEX_INIT:
	case SMX_MSG_KEX_INIT:
		return on_init(t, rd);
	case SMX_MSG_GEX_REPLY:
		return on_reply(t, rd);
	case SMX_MSG_NEWKEYS:
		return on_newkeys(t, rd);
	default: /* 31 is two messages */
		return t->step == KEX_WAIT_GEX_GROUP ? on_gex_group(t, rd) : on_reply(t, rd);
	}
}
