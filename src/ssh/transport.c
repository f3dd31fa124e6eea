/* SPDX-License-Identifier: MIT */
#include "ssh/transport.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "ssh/msg.h"
#include "ssh/transport_int.h"

/* Packets before the first NEWKEYS; sequence numbers must not be moved far in the clear. */
#define PRE_KEX_PACKETS_MAX 256
#define EXT_INFO_MAX        1024
#define DEFAULT_REKEY_BYTES \
	(8ull << 30) /* RFC 4344 section 3.2: 2^32 blocks of 16 bytes is 64 GiB */
#define DEFAULT_REKEY_MS    (3600ull * 1000)
#define REKEY_PACKETS       (1ull << 31) /* RFC 4344 section 3.1 */
#define SERVER_SIG_ALGS_MAX 2048
#define DISCONNECT_TEXT_MAX 400 /* what ssh shows of it */
/* Dropbear, either side, ends the connection over a longer one (its MAX_STRING_LEN). */
#define DROPBEAR_STRING_MAX 9000

static int copy_list(char **to, const char *from)
{
	if (from && !(*to = smx_strdup(from)))
		return SMX_ENOMEM;
	return 0;
}

/* As behind a first key exchange that chose nothing. */
static int begin_bare(struct smx_transport *t)
{
	t->is_bare = t->pk.is_bare = 1;
	t->has_ident = 1;
	t->n_kex = 1;
	smx_transport_set_phase(t, SMX_PHASE_CONNECTION);
	return 0;
}

static int begin(struct smx_transport *t)
{
	char line[SMX_IDENT_OWN_MAX + 3];
	int r;

	(void)snprintf(line, sizeof(line), "%s\r\n", t->ident_self);
	if ((r = smx_packets_send_raw(&t->pk, line, strlen(line))) != 0)
		return r;
	return kex_begin(t);
}

int smx_transport_new(
	struct smx_transport **ret, const struct smx_transport_config *config, uint64_t now_ms)
{
	struct smx_transport *t = smx_calloc(1, sizeof(*t));
	const char *host_key_algs = config->host_key_algs;
	char line[SMX_IDENT_OWN_MAX + 3];
	int n, r;

	if (!t)
		return SMX_ENOMEM;
	t->role = config->role;
	t->host_key = config->host_key;
	t->now_ms = t->last_kex_ms = now_ms;
	t->rekey_bytes = config->rekey_bytes ? config->rekey_bytes : DEFAULT_REKEY_BYTES;
	t->rekey_ms = config->rekey_ms ? config->rekey_ms : DEFAULT_REKEY_MS;
	smx_packets_init(&t->pk, config->pool);
	t->pk.is_stranger = t->role == SMX_SERVER;
	t->is_all_work_slow = config->is_all_work_slow;
	smx_buf_init(&t->kexinit_self, SMX_KEXINIT_MAX);
	smx_buf_init(&t->kexinit_peer, SMX_KEXINIT_MAX);
	smx_buf_init(&t->gex, 12 + 2 * SMX_KEX_PUBLIC_MAX);
	smx_buf_init(&t->client_public, SMX_KEX_PUBLIC_MAX);
	smx_buf_init(&t->server_public, SMX_KEX_PUBLIC_MAX);
	smx_buf_init(&t->signature, SMX_SIG_MAX);
	smx_buf_init(&t->session_signature, SMX_SIG_MAX);
	smx_buf_init(&t->host_key_blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&t->new_host_key_blob, SMX_KEY_BLOB_MAX);
	/* Secret: the peer may rekey while a password is on its way. */
	smx_buf_init_secret(&t->held, SMX_HELD_MAX);
	r = SMX_EINVAL;
	if (t->role == SMX_SERVER && !config->is_bare) {
		if (!t->host_key)
			goto fail;
		if (!host_key_algs && smx_key_get_type(t->host_key) == SMX_KEY_RSA)
			host_key_algs = "rsa-sha2-512,rsa-sha2-256";
		else if (!host_key_algs)
			host_key_algs = smx_key_type_name(smx_key_get_type(t->host_key));
	}
	n = snprintf(line, sizeof(line), "SSH-2.0-%s", config->software);
	if (n < 0 || n > SMX_IDENT_OWN_MAX - 2)
		goto fail;
	r = SMX_ENOMEM;
	if (!(t->ident_self = smx_strdup(line)))
		goto fail;
	if ((r = copy_list(&t->offer_kex, config->kex)) != 0 ||
		(r = copy_list(&t->offer_host_key, host_key_algs)) != 0 ||
		(r = copy_list(&t->offer_ciphers, config->ciphers)) != 0 ||
		(r = copy_list(&t->offer_macs, config->macs)) != 0)
		goto fail;
	kex_take_guess(t, config);
	if ((r = config->is_bare ? begin_bare(t) : begin(t)) != 0)
		goto fail;
	*ret = t;
	return 0;
fail:
	smx_transport_free(t);
	return r;
}

void smx_transport_free(struct smx_transport *t)
{
	if (!t)
		return;
	smx_packets_release(&t->pk);
	smx_free(t->ident_self);
	smx_free(t->ident_peer);
	smx_free(t->offer_kex);
	smx_free(t->offer_host_key);
	smx_free(t->offer_ciphers);
	smx_free(t->offer_macs);
	smx_buf_release(&t->kexinit_self);
	smx_buf_release(&t->kexinit_peer);
	smx_buf_release(&t->gex);
	smx_buf_release(&t->client_public);
	smx_buf_release(&t->server_public);
	smx_buf_release(&t->signature);
	smx_buf_release(&t->host_key_blob);
	smx_buf_release(&t->new_host_key_blob);
	smx_buf_release(&t->held);
	smx_kex_free(t->kex);
	smx_work_free(t->work_out);
	smx_protect_free(t->next_rx);
	smx_free(t->server_sig_algs);
	smx_buf_release(&t->session_signature);
	smx_wipe(t->session_id, sizeof(t->session_id));
	smx_free(t);
}

int smx_transport_rx_space(struct smx_transport *t, uint8_t **ret_p, size_t *ret_len)
{
	return smx_packets_rx_space(&t->pk, ret_p, ret_len);
}

void smx_transport_rx_commit(struct smx_transport *t, size_t n)
{
	smx_packets_rx_commit(&t->pk, n);
}

void transport_set_reason(struct smx_transport *t, struct smx_view text)
{
	size_t n = text.len < sizeof(t->reason) - 1 ? text.len : sizeof(t->reason) - 1;

	memcpy(t->reason, text.p, n);
	t->reason[n] = '\0';
}

/* "SSH-2.0-software comments" of a line without its end; RFC 4253 sections 4.2 and 5.1. */
static int take_ident(struct smx_transport *t, struct smx_view line)
{
	static const char v20[] = "SSH-2.0-", v199[] = "SSH-1.99-";
	size_t skip = 0;

	if (line.len > sizeof(v20) - 1 && memcmp(line.p, v20, sizeof(v20) - 1) == 0)
		skip = sizeof(v20) - 1;
	else if (line.len > sizeof(v199) - 1 && memcmp(line.p, v199, sizeof(v199) - 1) == 0)
		skip = sizeof(v199) - 1;
	if (skip == 0 || memchr(line.p, 0, line.len))
		return SMX_EIDENT;
	if (!(t->ident_peer = smx_strndup((const char *)line.p, line.len)))
		return SMX_ENOMEM;
	t->has_ident = 1;
	return 0;
}

/* A client says nothing before it, so the first bytes tell. */
static int may_be_ident(struct smx_view begun)
{
	return memcmp(begun.p, "SSH-", begun.len < 4 ? begun.len : 4) == 0;
}

static int refuse_ident(struct smx_transport *t, const char *why)
{
	transport_set_reason(t, smx_view_of(why, strlen(why)));
	return SMX_EIDENT;
}

static int read_ident(struct smx_transport *t)
{
	static const char too_long[] = "a line of more than 8192 bytes before the key exchange";
	struct smx_view raw, line;
	const uint8_t *lf;
	int r;

	while (!t->has_ident) {
		raw = smx_packets_rx_raw(&t->pk);
		lf = raw.len ? memchr(raw.p, '\n', raw.len) : NULL;
		line = (struct smx_view){ raw.p, lf ? (size_t)(lf - raw.p) : raw.len };
		if (line.len >= SMX_IDENT_MAX)
			return refuse_ident(t, too_long);
		if (!lf)
			return t->role == SMX_SERVER && !may_be_ident(line) ? SMX_EIDENT
									    : SMX_EAGAIN;
		smx_packets_rx_skip(&t->pk, line.len + 1);
		if (line.len && line.p[line.len - 1] == '\r')
			line.len--;
		/* Only a server may send other lines first. */
		if (line.len >= 4 && may_be_ident(line))
			r = take_ident(t, line);
		else if (t->role == SMX_SERVER)
			r = SMX_EIDENT;
		else
			r = ++t->n_pre_ident < SMX_IDENT_LINES_MAX
				    ? 0
				    : refuse_ident(t, "1024 lines and no identification");
		if (r != 0)
			return r;
	}
	return 0;
}

static int on_disconnect(struct smx_transport *t, struct smx_rd rd)
{
	struct smx_view text;
	uint32_t code;

	if (smx_rd_u32(&rd, &code) == 0 && smx_rd_string(&rd, &text) == 0)
		transport_set_reason(t, text);
	return SMX_EDISCONNECTED;
}

/*
 * RFC 8308 section 2.4 lets it come behind the first NEWKEYS and right before
 * USERAUTH_SUCCESS. Some servers (OpenSSH 7, paramiko) send it again after each rekey: without
 * effect.
 */
static int on_ext_info(struct smx_transport *t, struct smx_rd rd)
{
	struct smx_view name, value;
	uint32_t n;
	char *copy;
	int r;

	if (t->phase == SMX_PHASE_CONNECTION)
		return 0;
	if ((r = smx_rd_u32(&rd, &n)) != 0)
		return r;
	if (n > EXT_INFO_MAX)
		return SMX_ETOOBIG;
	while (n--) {
		if ((r = smx_rd_string(&rd, &name)) != 0 || (r = smx_rd_string(&rd, &value)) != 0)
			return r;
		if (smx_view_eq(name, "ping@openssh.com") && smx_view_eq(value, "0"))
			t->peer_pings = 1;
		if (smx_view_eq(name, "publickey-hostbound@openssh.com") && smx_view_eq(value, "0"))
			t->takes_hostbound = 1;
		if (!smx_view_eq(name, "server-sig-algs") || value.len > SERVER_SIG_ALGS_MAX ||
			memchr(value.p, 0, value.len))
			continue;
		if (!(copy = smx_strndup((const char *)value.p, value.len)))
			return SMX_ENOMEM;
		smx_free(t->server_sig_algs);
		t->server_sig_algs = copy;
	}
	return smx_rd_end(&rd);
}

int transport_send_ext_info(struct smx_transport *t)
{
	struct smx_view part;
	struct smx_buf b;
	int r;

	smx_buf_init(&b, SERVER_SIG_ALGS_MAX);
	if ((r = smx_put_u8(&b, SMX_MSG_EXT_INFO)) == 0 && (r = smx_put_u32(&b, 2)) == 0 &&
		(r = smx_put_cstr(&b, "server-sig-algs")) == 0 &&
		(r = smx_put_cstr(&b, smx_sigalg_names(1))) == 0 &&
		(r = smx_put_cstr(&b, "ping@openssh.com")) == 0 &&
		(r = smx_put_cstr(&b, "0")) == 0) {
		part = smx_buf_as_view(&b);
		r = smx_packets_send(&t->pk, &part, 1);
	}
	smx_buf_release(&b);
	return r;
}

static int on_ping(struct smx_transport *t, struct smx_rd rd)
{
	uint8_t head[5] = { SMX_MSG_PONG };
	struct smx_view data, parts[2];

	if (smx_rd_string(&rd, &data) != 0)
		return 0;
	smx_set_u32(head + 1, (uint32_t)data.len);
	parts[0] = (struct smx_view){ head, sizeof(head) };
	parts[1] = data;
	return smx_transport_send(t, parts, 2);
}

static int send_unimplemented(struct smx_transport *t, uint32_t seq)
{
	uint8_t msg[5] = { SMX_MSG_UNIMPLEMENTED };
	struct smx_view part = { msg, sizeof(msg) };

	smx_set_u32(msg + 1, seq);
	return smx_packets_send(&t->pk, &part, 1);
}

static int on_pong(struct smx_transport *t, struct smx_rd rd, struct smx_event *ret, int *ret_given)
{
	if (t->n_pings_due == 0)
		return 0;
	if (smx_rd_string(&rd, &ret->payload) != 0)
		ret->payload = (struct smx_view){ NULL, 0 };
	t->n_pings_due--;
	smx_probes_answered(&t->probes, SMX_MSG_PING);
	ret->type = SMX_EV_PONG;
	*ret_given = 1;
	return 0;
}

/*
 * U4: a question that the peer does not know is answered all the same, as the layer above would
 * hear it from a peer that does: PONG, or REQUEST_FAILURE. Anything else was not a question.
 */
static int on_unimplemented(
	struct smx_transport *t, struct smx_rd rd, struct smx_event *ret, int *ret_given)
{
	static const uint8_t failure = SMX_MSG_REQUEST_FAILURE;
	uint32_t seq;

	if (smx_rd_u32(&rd, &seq) != 0)
		return 0;
	switch (smx_probes_unimplemented(&t->probes, seq)) {
	case SMX_MSG_PING:
		/* A PONG that came while it was held back has taken its place. */
		if (t->n_pings_due == 0)
			return 0;
		t->n_pings_due--;
		ret->type = SMX_EV_PONG;
		ret->payload = (struct smx_view){ NULL, 0 };
		break;
	case SMX_MSG_GLOBAL_REQUEST:
		ret->type = SMX_EV_PACKET;
		ret->payload = (struct smx_view){ &failure, 1 };
		break;
	default:
		return 0;
	}
	*ret_given = 1;
	return 0;
}

/* Behind the peer's KEXINIT, before its NEWKEYS. */
static int is_late(const struct smx_transport *t)
{
	return t->step != KEX_IDLE && t->step != KEX_WAIT_KEXINIT;
}

/* Whether the phase lets the peer send this now: nothing from 80 up before authentication. */
static int is_allowed(const struct smx_transport *t, uint8_t type)
{
	/* It ends the connection like any error would, but says why. */
	if (type == SMX_MSG_DISCONNECT)
		return 1;
	if (t->n_kex == 0) {
		if (type >= SMX_MSG_KEXINIT && type < SMX_MSG_USERAUTH_REQUEST)
			return 1;
		/* Strict kex: nothing else at all. Until the peer's KEXINIT we can't know. */
		return !t->strict && type > SMX_MSG_DISCONNECT && type <= SMX_MSG_DEBUG &&
		       t->pk.rx_seq <= PRE_KEX_PACKETS_MAX;
	}
	if (t->phase == SMX_PHASE_CONNECTION || type < SMX_MSG_SERVICE_REQUEST ||
		(type >= SMX_MSG_KEXINIT && type < SMX_MSG_USERAUTH_REQUEST))
		return 1;
	/* RFC 4253 section 7.1: once its KEXINIT is sent, the peer sends kex messages only. */
	if (is_late(t))
		return 0;
	if (type == SMX_MSG_PING || type == SMX_MSG_PONG)
		return 1;
	if (type < SMX_MSG_USERAUTH_REQUEST)
		return 1;
	return type < SMX_MSG_GLOBAL_REQUEST && t->phase >= SMX_PHASE_AUTH;
}

/*
 * A message of the layers above. After the login other things than channels are no news: the
 * server's word on the login again, or a client's request for one (RFC 4252 section 5.1) are
 * ignored, as each of them would be the end of everybody's channels (U2).
 */
static int pass_on(struct smx_transport *t, struct smx_view payload, uint32_t seq,
	struct smx_event *ret, int *ret_given)
{
	uint8_t type = payload.p[0];

	if (t->phase == SMX_PHASE_CONNECTION && type < SMX_MSG_GLOBAL_REQUEST)
		return type == SMX_MSG_SERVICE_REQUEST ? send_unimplemented(t, seq) : 0;
	if (type == SMX_MSG_REQUEST_SUCCESS || type == SMX_MSG_REQUEST_FAILURE)
		smx_probes_answered(&t->probes, SMX_MSG_GLOBAL_REQUEST);
	ret->type = SMX_EV_PACKET;
	ret->payload = payload;
	*ret_given = 1;
	return 0;
}

/* One packet. Sets *ret_given if it became the caller's event. */
static int dispatch(struct smx_transport *t, struct smx_view payload, uint32_t seq,
	struct smx_event *ret, int *ret_given)
{
	struct smx_rd rd;
	uint8_t type = payload.p[0];

	if (!is_allowed(t, type))
		return SMX_EUNEXPECTED;
	rd = smx_rd_from(payload.p + 1, payload.len - 1);
	if (type >= SMX_MSG_KEXINIT && type < SMX_MSG_USERAUTH_REQUEST) {
		if (t->phase == SMX_PHASE_CONNECTION && (t->is_bare || !kex_expects(t, type)))
			return send_unimplemented(t, seq);
		return kex_handle(t, payload);
	}
	if (is_late(t) && (t->late_bytes += payload.len) > SMX_LATE_MAX)
		return SMX_ELIMIT;
	switch (type) {
	case SMX_MSG_DISCONNECT:
		return on_disconnect(t, rd);
	case SMX_MSG_IGNORE:
	case SMX_MSG_DEBUG:
		return 0;
	case SMX_MSG_UNIMPLEMENTED:
		return on_unimplemented(t, rd, ret, ret_given);
	case SMX_MSG_EXT_INFO:
		return on_ext_info(t, rd);
	case SMX_MSG_PING:
		/* U9. They were announced to strangers too: OpenSSH takes no EXT_INFO after its
		 * first request. */
		return t->pk.is_stranger ? send_unimplemented(t, seq) : on_ping(t, rd);
	case SMX_MSG_PONG:
		return on_pong(t, rd, ret, ret_given);
	}
	/* RFC 4253 section 11.4; 0 is nobody's number. */
	if (type == 0 || (type > SMX_MSG_EXT_INFO && type < SMX_MSG_KEXINIT) ||
		type > SMX_MSG_CHANNEL_FAILURE ||
		(type > SMX_MSG_REQUEST_FAILURE && type < SMX_MSG_CHANNEL_OPEN))
		return send_unimplemented(t, seq);
	return pass_on(t, payload, seq, ret, ret_given);
}

static int needs_rekey(const struct smx_transport *t)
{
	const struct smx_packets *pk = &t->pk;

	return !t->is_bare && t->phase == SMX_PHASE_CONNECTION && t->step == KEX_IDLE &&
	       !t->sent_kexinit &&
	       (pk->rx_bytes >= t->rekey_bytes || pk->tx_bytes >= t->rekey_bytes ||
		       pk->rx_packets >= REKEY_PACKETS || pk->tx_packets >= REKEY_PACKETS ||
		       t->now_ms - t->last_kex_ms >= t->rekey_ms);
}

static int has_event(struct smx_transport *t, struct smx_event *ret)
{
	*ret = (struct smx_event){ SMX_EV_PACKET, { NULL, 0 }, NULL };
	if (t->work_out) {
		ret->type = SMX_EV_WORK;
		ret->work = t->work_out;
		t->work_out = NULL;
		return 1;
	}
	if (t->host_key_event) {
		ret->type = SMX_EV_HOST_KEY;
		ret->payload = smx_transport_host_key_blob(t);
		t->host_key_event = 0;
		return 1;
	}
	if (t->ready_event && !t->waiting_host_key) {
		ret->type = SMX_EV_READY;
		t->ready_event = 0;
		return 1;
	}
	return 0;
}

static int die(struct smx_transport *t, int r)
{
	enum smx_disconnect code = SMX_DISCONNECT_PROTOCOL_ERROR;

	if (t->r)
		return t->r;
	t->r = r;
	if (r == SMX_EDISCONNECTED)
		return r;
	if (r == SMX_EMAC)
		code = SMX_DISCONNECT_MAC_ERROR;
	else if (r == SMX_EHOSTKEY)
		code = SMX_DISCONNECT_HOST_KEY_NOT_VERIFIABLE;
	else if (r == SMX_ENEGOTIATION || r == SMX_ESIGNATURE)
		code = SMX_DISCONNECT_KEY_EXCHANGE_FAILED;
	if (t->has_ident)
		smx_transport_disconnect(t, code, smx_strerror(r));
	return r;
}

int smx_transport_next(struct smx_transport *t, struct smx_event *ret)
{
	struct smx_view payload;
	uint32_t seq;
	int given = 0, r;

	if (t->r)
		return t->r;
	for (;;) {
		if (has_event(t, ret))
			return 0;
		if (smx_transport_is_waiting(t))
			return SMX_EAGAIN;
		if (!t->has_ident)
			r = read_ident(t);
		else if ((r = smx_packets_next(&t->pk, &payload, &seq)) == 0)
			r = dispatch(t, payload, seq, ret, &given);
		if (r == 0 && needs_rekey(t))
			r = kex_begin(t);
		if (r == SMX_EAGAIN) {
			smx_packets_rx_idle(&t->pk);
			return r;
		}
		if (r != 0)
			return die(t, r);
		if (given)
			return 0;
	}
}

int smx_transport_is_waiting(const struct smx_transport *t)
{
	return t->waiting_work || t->waiting_host_key;
}

int smx_transport_can_send(const struct smx_transport *t)
{
	return !t->r && t->n_kex > 0 && !t->waiting_host_key &&
	       (!t->sent_kexinit || t->sent_newkeys);
}

static int hold(struct smx_transport *t, const struct smx_view *parts, size_t n)
{
	size_t mark;
	int r;

	if ((r = smx_put_string_begin(&t->held, &mark)) != 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if ((r = smx_buf_put(&t->held, parts[i].p, parts[i].len)) != 0)
			return r;
	smx_put_string_end(&t->held, mark);
	return 0;
}

/* Under the keys of now. What asks for a sign of life is remembered by its number (U4). */
static int seal(struct smx_transport *t, const struct smx_view *parts, size_t n)
{
	uint8_t type = parts[0].p[0];
	uint32_t seq = t->pk.tx_seq;
	int r = smx_packets_send(&t->pk, parts, n);

	if (r == 0 && (type == SMX_MSG_GLOBAL_REQUEST || type == SMX_MSG_PING))
		smx_probes_sent(&t->probes, type, seq);
	return r;
}

int transport_flush_held(struct smx_transport *t)
{
	struct smx_rd rd = smx_rd_view(smx_buf_as_view(&t->held));
	struct smx_view payload;
	int r;

	if (!smx_transport_can_send(t))
		return 0;
	while (rd.left) {
		if ((r = smx_rd_string(&rd, &payload)) != 0 || (r = seal(t, &payload, 1)) != 0)
			return r;
	}
	smx_buf_release(&t->held);
	return 0;
}

int smx_transport_send(struct smx_transport *t, const struct smx_view *parts, size_t n)
{
	uint8_t type = parts[0].p[0];
	size_t len = 0;
	int r;

	if (t->r)
		return t->r;
	for (size_t i = 0; i < n; i++)
		len += parts[i].len;
	if (len > SMX_PAYLOAD_MAX)
		return SMX_ETOOBIG;
	if (type >= SMX_MSG_GLOBAL_REQUEST && type < SMX_MSG_PING &&
		t->phase != SMX_PHASE_CONNECTION && !t->is_early)
		return SMX_ESTATE;
	if (!smx_transport_can_send(t)) {
		r = hold(t, parts, n);
	} else {
		r = seal(t, parts, n);
		if (r == 0 && needs_rekey(t))
			r = kex_begin(t);
	}
	return r == 0 ? 0 : die(t, r);
}

size_t smx_transport_tx_len(const struct smx_transport *t)
{
	return t->pk.tx_len + smx_buf_len(&t->held);
}

size_t smx_transport_held_len(const struct smx_transport *t)
{
	return smx_buf_len(&t->held);
}

struct smx_tx_block *smx_transport_tx_take(struct smx_transport *t)
{
	return smx_packets_tx_take(&t->pk);
}

void smx_transport_tx_free(struct smx_transport *t, struct smx_tx_block *list)
{
	smx_packets_tx_free(&t->pk, list);
}

void smx_transport_host_key_decided(struct smx_transport *t, int r)
{
	if (t->r || !t->waiting_host_key)
		return;
	t->waiting_host_key = t->host_key_event = 0;
	if (r != 0)
		(void)die(t, SMX_EHOSTKEY);
	else if ((r = transport_flush_held(t)) != 0)
		(void)die(t, r);
}

void smx_transport_work_done(struct smx_transport *t, struct smx_work *work)
{
	int r;

	t->waiting_work = 0;
	if (t->r) {
		smx_work_free(work);
		return;
	}
	if ((r = kex_work_apply(t, work)) != 0)
		(void)die(t, r);
}

void smx_transport_set_early(struct smx_transport *t, int is_early)
{
	t->is_early = is_early;
}

int smx_transport_awaits_guess(const struct smx_transport *t)
{
	return t->guess_host_key[0] && t->n_kex == 0 && smx_buf_len(&t->kexinit_peer) > 0;
}

void smx_transport_set_phase(struct smx_transport *t, enum smx_phase phase)
{
	t->phase = phase;
	t->pk.is_stranger = t->role == SMX_SERVER && phase != SMX_PHASE_CONNECTION;
}

enum smx_phase smx_transport_get_phase(const struct smx_transport *t)
{
	return t->phase;
}

int smx_transport_tick(struct smx_transport *t, uint64_t now_ms)
{
	int r;

	/* A clock that went back must not look like an age of centuries. */
	if (now_ms < t->last_kex_ms)
		t->last_kex_ms = now_ms;
	t->now_ms = now_ms;
	if (t->r)
		return t->r;
	if (needs_rekey(t) && (r = kex_begin(t)) != 0)
		return die(t, r);
	return 0;
}

int smx_transport_rekey(struct smx_transport *t)
{
	int r;

	if (t->r)
		return t->r;
	if (t->is_bare || t->n_kex == 0 || t->waiting_host_key || t->step != KEX_IDLE)
		return SMX_ESTATE;
	return (r = kex_begin(t)) == 0 ? 0 : die(t, r);
}

void smx_transport_disconnect(struct smx_transport *t, enum smx_disconnect code, const char *text)
{
	uint8_t head[9] = { SMX_MSG_DISCONNECT };
	static const uint8_t no_lang[4];
	size_t len = strlen(text);
	struct smx_view parts[3] = { { head, sizeof(head) },
		{ (const uint8_t *)text, len < DISCONNECT_TEXT_MAX ? len : DISCONNECT_TEXT_MAX },
		{ no_lang, sizeof(no_lang) } };

	smx_set_u32(head + 1, code);
	smx_set_u32(head + 5, (uint32_t)parts[1].len);
	/* Best effort: the connection ends either way. */
	(void)smx_packets_send(&t->pk, parts, 3);
	if (!t->r)
		t->r = SMX_ECANCELLED;
}

int smx_transport_ping(struct smx_transport *t, struct smx_view data)
{
	uint8_t head[5] = { SMX_MSG_PING };
	struct smx_view parts[2] = { { head, sizeof(head) }, data };

	if (!t->peer_pings)
		return SMX_EUNSUPPORTED;
	smx_set_u32(head + 1, (uint32_t)data.len);
	t->n_pings_due++;
	return smx_transport_send(t, parts, 2);
}

struct smx_view smx_transport_session_id(const struct smx_transport *t)
{
	return (struct smx_view){ t->session_id, t->session_id_len };
}

const struct smx_algs *smx_transport_algs(const struct smx_transport *t)
{
	return &t->algs;
}

struct smx_view smx_transport_host_key_blob(const struct smx_transport *t)
{
	return smx_buf_as_view(&t->host_key_blob);
}

int smx_transport_is_strict(const struct smx_transport *t)
{
	return t->strict;
}

uint64_t smx_transport_n_kex(const struct smx_transport *t)
{
	return t->n_kex;
}

const char *smx_transport_peer_software(const struct smx_transport *t)
{
	const char *dash = t->ident_peer ? strchr(t->ident_peer, '-') : NULL;

	dash = dash ? strchr(dash + 1, '-') : NULL;
	return dash ? dash + 1 : "";
}

int smx_transport_is_openssh(const struct smx_transport *t)
{
	static const char name[] = "OpenSSH_";
	const char *software = smx_transport_peer_software(t);

	return strncmp(software, name, sizeof(name) - 1) == 0 &&
	       software[sizeof(name) - 1] >= '1' && software[sizeof(name) - 1] <= '9';
}

size_t smx_transport_payload_max(const struct smx_transport *t)
{
	return strncmp(smx_transport_peer_software(t), "OpenSSH", 7) == 0 ? SMX_PAYLOAD_MAX
									  : SMX_PAYLOAD_ANY;
}

size_t smx_transport_string_max(const struct smx_transport *t)
{
	return strncmp(smx_transport_peer_software(t), "dropbear", 8) == 0 ? DROPBEAR_STRING_MAX
									   : SMX_PAYLOAD_MAX;
}

const char *smx_transport_server_sig_algs(const struct smx_transport *t)
{
	return t->server_sig_algs ? t->server_sig_algs : "";
}

int smx_transport_takes_hostbound(const struct smx_transport *t)
{
	return t->takes_hostbound;
}

struct smx_view smx_transport_session_signature(const struct smx_transport *t)
{
	return smx_buf_as_view(&t->session_signature);
}

const char *smx_transport_reason(const struct smx_transport *t)
{
	return t->reason;
}

const char *smx_transport_lack(const struct smx_transport *t, const char **ret_offer)
{
	*ret_offer = t->lack ? t->lack_offer : NULL;
	return t->lack;
}
