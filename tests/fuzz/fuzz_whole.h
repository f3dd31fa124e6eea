/* SPDX-License-Identifier: MIT */
/*
 * A whole connection, from the identification to the last CLOSE. Both ends are ours, with keys and
 * signatures that are right; the input changes what one of them, the peer, says, before it is
 * sealed. So what lies behind a key exchange, a cipher and a login is reached as by a peer that has
 * all of these and means harm.
 *
 * The peer's layers (login, channels) speak into a transport without a cipher, from which their
 * messages are taken, changed, and sent by its real one. The messages of the first key exchange are
 * in the clear on the wire and are changed there. Random numbers are the same in each run.
 *
 * The input: FUZZ_SETTING_LEN bytes, then records: how many of the peer's
 * messages go unchanged before it, what it does (enum fuzz_op), two bytes of length, and that many
 * of data. When neither end has anything to say, the next record has its turn at once.
 */
#ifndef SMX_FUZZ_WHOLE_H
#define SMX_FUZZ_WHOLE_H

#include "fuzz_whole_ends.h"

static inline void fuzz_record_next(struct fuzz_whole *w)
{
	struct smx_view head, len;

	w->next = (struct fuzz_record){ 0 };
	if (smx_rd_bytes(&w->rd, 2, &head) != 0 || smx_rd_bytes(&w->rd, 2, &len) != 0)
		return;
	w->next.wait = head.p[0];
	w->next.op = head.p[1] % FUZZ_N_OPS;
	w->next.data.len = (size_t)len.p[0] << 8 | len.p[1];
	if (w->next.data.len > w->rd.left)
		w->next.data.len = w->rd.left;
	w->next.is_there = smx_rd_bytes(&w->rd, w->next.data.len, &w->next.data) == 0;
}

/* --- what the peer says --- */

/* A message goes to us, as the keys of now will have it. */
static inline void fuzz_put(struct fuzz_whole *w, struct smx_view payload, int is_honest)
{
	static uint8_t packet[FUZZ_MESSAGE_MAX + 64];

	if (payload.len == 0 || payload.len > FUZZ_MESSAGE_MAX)
		return;
	if (!w->is_sealed) {
		/* The peer has said it, and counts on. */
		if (!is_honest && !w->peer.t->pk.tx_protect)
			w->peer.t->pk.tx_seq++;
		fuzz_receive(&w->us, packet, clear_packet(payload, packet, sizeof(packet)));
	} else if (!is_honest || smx_transport_send(w->peer.t, &payload, 1) != 0) {
		(void)smx_packets_send(&w->peer.t->pk, &payload, 1);
	}
}

static inline void fuzz_act(struct fuzz_end *e, struct smx_view data)
{
	static const struct smx_view none;
	uint8_t what = data.len ? data.p[0] % 12 : 0, at = data.len > 1 ? data.p[1] : 0;
	struct smx_chan *chan = NULL;
	uint64_t number;
	int r = 0;

	if (e->is_dead)
		return;
	if (e->has_conn && at < e->conn.n_slots)
		chan = e->conn.chans[at];
	if (what == 0)
		r = smx_transport_rekey(e->t);
	else if (what == 1)
		r = smx_transport_ping(e->t, data);
	else if (what == 2)
		r = smx_transport_tick(e->t, e->w->now_ms += at * 60000ull);
	else if (e->has_conn && what == 3)
		r = fuzz_open_session(e);
	else if (e->has_conn && what == 4)
		r = smx_conn_keepalive(&e->conn);
	else if (e->has_conn && what == 5)
		r = smx_conn_global_request(&e->conn, "tcpip-forward", none, &number);
	else if (chan && what == 6)
		r = smx_conn_send_close(&e->conn, chan);
	else if (chan && what == 7)
		r = smx_conn_send_eof(&e->conn, chan);
	else if (chan && what == 8)
		r = chan->close_sent ? 0 : smx_conn_grant(&e->conn, chan, at + 1u);
	else if (chan && what == 9 && chan->state == SMX_CHAN_OPEN && !chan->close_sent)
		r = smx_conn_send_request(&e->conn, chan, "env", at % 2, data);
	else if (chan)
		r = fuzz_send(e, chan, what == 10, data);
	/* Not now, or not so: it goes on. */
	if (r != 0 && r != SMX_ESTATE && r != SMX_ELIMIT && r != SMX_EUNSUPPORTED)
		e->is_dead = 1;
	fuzz_end_events(e);
}

/* A record that needs no message of the peer's. 0: it does. */
static inline int fuzz_at_once(struct fuzz_whole *w)
{
	switch (w->next.op) {
	case FUZZ_INSERT:
		fuzz_put(w, w->next.data, 0);
		return 1;
	case FUZZ_ACT:
		fuzz_act(&w->us, w->next.data);
		return 1;
	case FUZZ_REKEY:
		(void)smx_transport_rekey(w->peer.t);
		return 1;
	default:
		return 0;
	}
}

/* The request with the signature, or one that means the same. */
static inline void fuzz_note_signed(struct fuzz_whole *w, const uint8_t *said, size_t n_said,
	const uint8_t *sent, size_t n_sent)
{
	/* Type, user, service, method. RFC 4251 section 5: any boolean but 0 is true. */
	const size_t flag = 1 + 4 + 4 + 4 + 14 + 4 + 9;

	if (w->has_signed && n_said == n_sent && n_said > flag + 1 &&
		said[0] == SMX_MSG_USERAUTH_REQUEST && sent[flag] != 0 &&
		memcmp(said, sent, flag) == 0 &&
		memcmp(said + flag + 1, sent + flag + 1, n_said - flag - 1) == 0)
		w->is_signature_true = 1;
}

/* One message of the peer's on its way, which the records may change. p has room for all. */
static inline void fuzz_pass(struct fuzz_whole *w, uint8_t *p, size_t n)
{
	static uint8_t said[FUZZ_MESSAGE_MAX];
	size_t n_said = n, at;
	struct smx_view data;

	memcpy(said, p, n);
	while (w->next.is_there && w->next.wait == 0 && fuzz_at_once(w))
		fuzz_record_next(w);
	if (!w->next.is_there || w->next.wait > 0) {
		w->next.wait -= w->next.is_there;
		fuzz_note_signed(w, said, n, p, n);
		fuzz_put(w, (struct smx_view){ p, n }, 1);
		return;
	}
	data = w->next.data;
	at = data.len ? data.p[0] : 0;
	if (w->next.op == FUZZ_XOR) {
		for (size_t i = 1; i < data.len && at < n; i++)
			p[at++] ^= data.p[i];
	} else if (w->next.op == FUZZ_CUT) {
		n = at < n ? at : n;
		for (size_t i = 1; i < data.len && n < FUZZ_MESSAGE_MAX; i++)
			p[n++] = data.p[i];
	} else if (w->next.op == FUZZ_REPLACE) {
		n = data.len < FUZZ_MESSAGE_MAX ? data.len : FUZZ_MESSAGE_MAX;
		if (n)
			memcpy(p, data.p, n);
	} else if (w->next.op == FUZZ_TWICE) {
		fuzz_note_signed(w, said, n, p, n);
		fuzz_put(w, (struct smx_view){ p, n }, 0);
	}
	if (w->next.op != FUZZ_DROP) {
		fuzz_note_signed(w, said, n_said, p, n);
		fuzz_put(w, (struct smx_view){ p, n }, 1);
	} else if (!w->is_sealed && !w->peer.t->pk.tx_protect) {
		w->peer.t->pk.tx_seq--;
	}
	fuzz_record_next(w);
}

static inline void fuzz_pass_view(struct fuzz_whole *w, struct smx_view payload)
{
	static uint8_t message[FUZZ_MESSAGE_MAX];

	fuzz_check(payload.len <= sizeof(message));
	memcpy(message, payload.p, payload.len);
	fuzz_pass(w, message, payload.len);
}

/* --- moving --- */

/* What the peer has sent before its keys, and the NEWKEYS with which they begin. */
static inline void fuzz_carry_clear(struct fuzz_whole *w)
{
	const uint8_t *p = smx_buf_view(&w->clear), *line;
	size_t n = smx_buf_len(&w->clear), off = 0, len;

	if (!w->has_ident && (line = memchr(p, '\n', n))) {
		w->has_ident = 1;
		off = (size_t)(line - p) + 1;
		fuzz_receive(&w->us, p, off);
	}
	while (w->has_ident && !w->is_sealed && n - off >= 5) {
		len = smx_get_u32(p + off);
		fuzz_check(n - off >= 4 + len);
		fuzz_pass_view(w, (struct smx_view){ p + off + 5, len - 1 - p[off + 4] });
		w->is_sealed = p[off + 5] == SMX_MSG_NEWKEYS;
		off += 4 + len;
	}
	if (w->is_sealed)
		fuzz_receive(&w->us, p + off, n - off);
	smx_buf_consume(&w->clear, w->is_sealed ? n : off);
}

/* All of these return whether there was anything. */
static inline int fuzz_carry_sealed(struct fuzz_whole *w)
{
	struct smx_tx_block *list = smx_transport_tx_take(w->peer.t);
	int any = list != NULL;

	for (const struct smx_tx_block *b = list; b; b = b->next) {
		if (w->is_sealed) {
			fuzz_receive(&w->us, b->data, b->len);
			continue;
		}
		fuzz_check(smx_buf_put(&w->clear, b->data, b->len) == 0);
		fuzz_carry_clear(w);
	}
	smx_transport_tx_free(w->peer.t, list);
	return any;
}

static inline int fuzz_carry_from_peer(struct fuzz_whole *w)
{
	struct smx_tx_block *plain;
	struct smx_view payload;
	size_t off;
	int any = fuzz_carry_sealed(w); /* its keys come before what is said with them */

	plain = smx_transport_tx_take(w->peer.layers);
	for (const struct smx_tx_block *b = plain; b; b = b->next)
		for (off = 0; clear_next(b, &off, &payload);)
			fuzz_pass_view(w, payload);
	any |= plain != NULL;
	smx_transport_tx_free(w->peer.layers, plain);
	return fuzz_carry_sealed(w) | any;
}

static inline int fuzz_carry_to_peer(struct fuzz_whole *w)
{
	struct smx_tx_block *list = smx_transport_tx_take(w->us.t);
	int any = list != NULL;

	for (const struct smx_tx_block *b = list; b; b = b->next)
		fuzz_receive(&w->peer, b->data, b->len);
	smx_transport_tx_free(w->us.t, list);
	return any;
}

static inline void fuzz_converse(struct fuzz_whole *w)
{
	int any;

	for (int i = 0; i < FUZZ_ROUNDS_MAX && !w->us.is_dead; i++) {
		any = fuzz_carry_from_peer(w);
		any |= fuzz_carry_to_peer(w);
		if (any)
			continue;
		if (!w->next.is_there)
			return;
		/* Nobody has a message for it: an insertion all the same. */
		if (!fuzz_at_once(w) && w->next.op != FUZZ_DROP)
			fuzz_put(w, w->next.data, 0);
		fuzz_record_next(w);
	}
}

/* --- beginning and end --- */

/* A group of each kind; what is slow and different in its arithmetic alone is fuzz_kex_public's. */
#define FUZZ_KEX_NAMES                          \
	"curve25519-sha256,ecdh-sha2-nistp256," \
	"diffie-hellman-group14-sha256,diffie-hellman-group-exchange-sha256"

/* The name at number n of a list, again from its beginning. */
static inline void fuzz_name_at(const char *list, size_t n, char *out, size_t size)
{
	struct smx_view rest = smx_view_of(list, strlen(list)), all = rest, name;
	size_t count = 0;

	while (smx_namelist_next(&rest, &name))
		count++;
	for (n %= count, rest = all; smx_namelist_next(&rest, &name) && n > 0;)
		n--;
	fuzz_check(name.len < size);
	memcpy(out, name.p, name.len);
	out[name.len] = '\0';
}

static inline void fuzz_end_begin(struct fuzz_whole *w, struct fuzz_end *e, enum smx_role role)
{
	char kex[64], cipher[64], mac[64];
	struct smx_transport_config config = {
		.role = role,
		.pool = w->pool,
		.software = "OpenSSH_9.9 fuzz",
		.kex = smx_kex_names(),
		.host_key = role == SMX_SERVER ? fuzz_host_key : NULL,
		.is_all_work_slow = w->setting[3] & FUZZ_SLOW,
		.rekey_bytes = w->setting[3] & FUZZ_REKEYS ? 4096 : 0,
	};

	if (role == SMX_CLIENT) {
		fuzz_name_at(FUZZ_KEX_NAMES, w->setting[0], kex, sizeof(kex));
		fuzz_name_at(smx_cipher_names(), w->setting[1], cipher, sizeof(cipher));
		fuzz_name_at(smx_mac_names(), w->setting[2], mac, sizeof(mac));
		config.kex = kex;
		config.ciphers = cipher;
		config.macs = mac;
	}
	e->w = w;
	e->role = role;
	fuzz_check(smx_transport_new(&e->t, &config, w->now_ms) == 0);
	e->layers = e->t;
	if (e == &w->peer) {
		e->layers = clear_transport(w->pool, role, SMX_PHASE_TRANSPORT, fuzz_host_key);
		fuzz_check(e->layers != NULL);
	}
}

static inline void fuzz_end_release(struct fuzz_end *e)
{
	if (e->has_conn)
		smx_conn_release(&e->conn);
	if (e->has_auth && e->role == SMX_CLIENT)
		smx_auth_client_release(&e->ac);
	if (e->layers != e->t)
		smx_transport_free(e->layers);
	smx_transport_free(e->t);
}

static inline void fuzz_whole_keys(void)
{
	if (fuzz_host_key)
		return;
	smx_buf_init(&fuzz_host_blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&fuzz_user_blob, SMX_KEY_BLOB_MAX);
	fuzz_check(smx_key_generate_ed25519(&fuzz_host_key) == 0);
	fuzz_check(smx_key_generate_ed25519(&fuzz_user_key) == 0);
	fuzz_check(smx_key_to_blob(fuzz_host_key, &fuzz_host_blob) == 0);
	fuzz_check(smx_key_to_blob(fuzz_user_key, &fuzz_user_blob) == 0);
}

/* role: of the end that is looked at. */
static inline void fuzz_whole(enum smx_role role, const uint8_t *data, size_t size)
{
	struct fuzz_whole w = {
		.pool = fuzz_pool(), .rd = smx_rd_from(data, size), .now_ms = 1000
	};
	struct smx_view setting;
	long before;

	fuzz_random_begin();
	fuzz_whole_keys();
	if (smx_rd_bytes(&w.rd, FUZZ_SETTING_LEN, &setting) != 0)
		return;
	before = smx_mem_alive();
	memcpy(w.setting, setting.p, sizeof(w.setting));
	smx_buf_init(&w.clear, 4 * FUZZ_MESSAGE_MAX);
	fuzz_end_begin(&w, &w.us, role);
	fuzz_end_begin(&w, &w.peer, role == SMX_CLIENT ? SMX_SERVER : SMX_CLIENT);
	fuzz_record_next(&w);
	fuzz_converse(&w);
	/* Its last words, a DISCONNECT. */
	(void)fuzz_carry_to_peer(&w);
	fuzz_check_told(w.us.t);
	fuzz_end_release(&w.us);
	fuzz_end_release(&w.peer);
	smx_buf_release(&w.clear);
	fuzz_check_pool();
	fuzz_check(smx_mem_alive() == before);
}

#endif
