/* SPDX-License-Identifier: MIT */
#include "util_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"

#define WINDOW_LEN   65536
#define TURNS_MAX    4000000
#define N_KEYS       4
#define KEY_FILE_MAX 8192

/* --- keys --- */

static struct smx_key *keys[N_KEYS];

struct smx_key *pair_key(int n)
{
	assert_in_range(n, 0, N_KEYS - 1);
	if (!keys[n])
		assert_int_equal(smx_key_generate_ed25519(&keys[n]), 0);
	return keys[n];
}

void pair_keys_free(void)
{
	for (int i = 0; i < N_KEYS; i++) {
		smx_key_free(keys[i]);
		keys[i] = NULL;
	}
}

struct smx_key *pair_key_file(const char *name)
{
	char path[512], text[KEY_FILE_MAX];
	struct smx_key *key = NULL;
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/keys/%s", SMX_TEST_DATA, name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("no %s", path);
	n = fread(text, 1, sizeof(text), f);
	(void)fclose(f);
	assert_int_equal(smx_keyfile_parse(smx_view_of(text, n), NULL, &key, NULL), 0);
	return key;
}

void pair_authorise(struct pair *p, const struct smx_key *key)
{
	smx_buf_release(&p->authorised);
	if (key)
		assert_int_equal(smx_key_to_blob(key, &p->authorised), 0);
}

uint64_t pair_random(struct pair *p)
{
	/* xorshift64: the same run for the same seed. */
	p->rng ^= p->rng << 13;
	p->rng ^= p->rng >> 7;
	p->rng ^= p->rng << 17;
	return p->rng;
}

/* --- making and freeing --- */

static int key_ok(void *arg, struct smx_view blob)
{
	struct pair *p = arg;
	struct smx_view good = { smx_buf_view(&p->authorised), smx_buf_len(&p->authorised) };

	return good.len && smx_view_eq_view(good, blob);
}

static int side_init(struct side *s, struct pair *p, struct side *peer, const char *name,
	struct smx_transport_config config, enum smx_role role)
{
	s->pair = p;
	s->peer = peer;
	s->name = name;
	s->window = WINDOW_LEN;
	config.role = role;
	config.pool = &p->pool;
	if (!config.software)
		config.software = role == SMX_CLIENT ? "sim_client" : "sim_server";
	if (role == SMX_SERVER)
		config.host_key = p->host_key;
	return smx_transport_new(&s->t, &config, p->now_ms);
}

int pair_init(struct pair *p, const struct pair_config *config, struct smx_key *host_key)
{
	static const struct pair_config no_config;
	int r;

	memset(p, 0, sizeof(*p));
	if (!config)
		config = &no_config;
	smx_pool_init(&p->pool, 4);
	smx_buf_init(&p->authorised, SMX_KEY_BLOB_MAX);
	p->now_ms = 1000;
	p->rng = 88172645463325252ull;
	p->limit = TURNS_MAX;
	p->user = "route";
	p->host_key = host_key ? host_key : pair_key(0);
	p->probe[0] = pair_key(1);
	p->n_probe = 1;
	if ((r = side_init(&p->c, p, &p->s, "client", config->c, SMX_CLIENT)) != 0 ||
		(r = side_init(&p->s, p, &p->c, "server", config->s, SMX_SERVER)) != 0)
		return r;
	return smx_key_to_blob(pair_key(1), &p->authorised);
}

static void side_release(struct side *s)
{
	smx_conn_release(&s->conn);
	if (s->has_auth && s == &s->pair->c)
		smx_auth_client_release(&s->ac);
	smx_transport_free(s->t);
	smx_work_free(s->work);
	free(s->wire);
}

void pair_release(struct pair *p)
{
	side_release(&p->c);
	side_release(&p->s);
	smx_buf_release(&p->authorised);
	smx_pool_release(&p->pool);
}

/* --- the login --- */

static const char *sigalg_of(const struct smx_key *key)
{
	enum smx_key_type type = smx_key_get_type(key);

	return type == SMX_KEY_RSA ? "rsa-sha2-512" : smx_key_type_name(type);
}

static int choose(struct side *s)
{
	struct pair *p = s->pair;
	struct smx_buf blob;
	const char *alg;
	int r;

	if (p->at_probe >= p->n_probe || !smx_auth_client_can(&s->ac, "publickey"))
		return SMX_EDENIED;
	alg = p->sigalg ? p->sigalg : sigalg_of(p->probe[p->at_probe]);
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	if ((r = smx_key_to_blob(p->probe[p->at_probe++], &blob)) == 0)
		r = smx_auth_client_probe_key(&s->ac, smx_view_of(alg, strlen(alg)),
			(struct smx_view){ smx_buf_view(&blob), smx_buf_len(&blob) });
	smx_buf_release(&blob);
	return r;
}

static int sign(struct side *s)
{
	struct pair *p = s->pair;
	size_t i = p->at_probe - 1;
	const struct smx_key *key = p->sign[i] ? p->sign[i] : p->probe[i];
	struct smx_buf data, sig;
	int r;

	smx_buf_init(&data, SMX_AUTH_MSG_MAX);
	smx_buf_init(&sig, SMX_SIG_MAX);
	if ((r = smx_auth_client_sign_data(&s->ac, &data)) == 0 &&
		(r = smx_key_sign(key, p->sigalg ? p->sigalg : sigalg_of(key),
			 (struct smx_view){ smx_buf_view(&data), smx_buf_len(&data) }, &sig)) == 0)
		r = smx_auth_client_send_signature(
			&s->ac, (struct smx_view){ smx_buf_view(&sig), smx_buf_len(&sig) });
	smx_buf_release(&data);
	smx_buf_release(&sig);
	return r;
}

static int client_auth(struct side *s, struct smx_view payload)
{
	struct smx_auth_event ev;
	int r;

	if ((r = smx_auth_client_handle(&s->ac, payload, &ev)) != 0)
		return r;
	switch (ev.type) {
	case SMX_AUTH_EV_NONE:
		return 0;
	case SMX_AUTH_EV_CHOOSE:
	case SMX_AUTH_EV_EXPIRED:
		return choose(s);
	case SMX_AUTH_EV_SIGN:
		return sign(s);
	case SMX_AUTH_EV_ASK:
		s->n_asked++;
		return 0;
	case SMX_AUTH_EV_BANNER:
		s->n_banners++;
		return 0;
	case SMX_AUTH_EV_DONE:
		s->is_authed = 1;
		smx_conn_init(&s->conn, s->t);
		return 0;
	}
	return 0;
}

static int server_auth(struct side *s, struct smx_view payload)
{
	int r;

	if ((r = smx_auth_server_handle(&s->as, payload)) != 0)
		return r;
	if (s->as.is_done && !s->is_authed) {
		s->is_authed = 1;
		smx_conn_init(&s->conn, s->t);
	}
	return 0;
}

static int on_ready(struct side *s)
{
	int r = 0;

	s->is_ready = 1;
	if (s->no_layers)
		return 0;
	if (s == &s->pair->s) {
		smx_auth_server_init(&s->as, s->t, key_ok, s->pair);
	} else if ((r = smx_auth_client_init(&s->ac, s->t, s->pair->user)) == 0) {
		s->has_auth = 1;
		r = smx_auth_client_begin(&s->ac);
	}
	s->has_auth = 1;
	return r;
}

/* --- channels --- */

struct flow *flow_of(struct side *s, const struct smx_chan *chan)
{
	for (size_t i = 0; i < s->n_flows; i++)
		if (s->flows[i].chan == chan)
			return &s->flows[i];
	return NULL;
}

static struct flow *add_flow(struct side *s, struct smx_chan *chan)
{
	struct flow *f;

	assert_in_range(s->n_flows, 0, PAIR_FLOWS_MAX - 1);
	f = &s->flows[s->n_flows++];
	f->chan = chan;
	return f;
}

struct flow *pair_open(struct side *s)
{
	struct smx_chan *chan;

	assert_int_equal(smx_conn_open(&s->conn, smx_view_of("session", 7),
				 (struct smx_view){ NULL, 0 }, s->window, &chan),
		0);
	return add_flow(s, chan);
}

static uint64_t sum_of(uint64_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum = (sum ^ p[i]) * 1099511628211ull;
	return sum;
}

static int on_data(struct side *s, struct flow *f, struct smx_conn_event *ev)
{
	if (ev->code)
		f->ext_received += ev->data.len;
	f->received += ev->data.len;
	f->received_sum = sum_of(f->received_sum, ev->data.p, ev->data.len);
	return f->no_grant ? 0 : smx_conn_grant(&s->conn, ev->chan, (uint32_t)ev->data.len);
}

static int on_conn_event(struct side *s, struct smx_conn_event *ev)
{
	struct flow *f = ev->chan ? flow_of(s, ev->chan) : NULL;
	size_t n;

	if (!f && ev->chan && ev->type != SMX_CONN_OPEN)
		return 0; /* a test's own channel */
	switch (ev->type) {
	case SMX_CONN_OPEN:
		if (s->refuse_opens)
			return smx_conn_open_fail(&s->conn, ev->chan,
				SMX_OPEN_ADMINISTRATIVELY_PROHIBITED, "not here");
		f = add_flow(s, ev->chan);
		f->is_open = 1;
		return smx_conn_open_confirm(
			&s->conn, ev->chan, s->window, (struct smx_view){ NULL, 0 });
	case SMX_CONN_OPEN_CONFIRM:
		f->is_open = 1;
		return 0;
	case SMX_CONN_OPEN_FAIL:
		f->was_refused = 1;
		f->fail_reason = ev->code;
		n = ev->data.len < sizeof(f->fail_text) ? ev->data.len : sizeof(f->fail_text) - 1;
		if (n)
			memcpy(f->fail_text, ev->data.p, n);
		f->chan = NULL;
		return 0;
	case SMX_CONN_DATA:
		return on_data(s, f, ev);
	case SMX_CONN_EOF:
		f->got_eof = 1;
		return 0;
	case SMX_CONN_CLOSE:
		f->got_close = 1;
		f->chan = NULL;
		return 0;
	case SMX_CONN_REQUEST:
		n = ev->kind.len < sizeof(f->request) ? ev->kind.len : sizeof(f->request) - 1;
		memcpy(f->request, ev->kind.p, n);
		f->request[n] = '\0';
		if (!ev->want_reply)
			return 0;
		return smx_conn_send_reply(&s->conn, ev->chan, smx_view_eq(ev->kind, "shell"));
	case SMX_CONN_REPLY:
		if (ev->success)
			f->n_success++;
		else
			f->n_failure++;
		return 0;
	case SMX_CONN_GLOBAL_REQUEST:
	case SMX_CONN_GLOBAL_REPLY:
		s->n_pongs++;
		return 0;
	case SMX_CONN_WINDOW:
	case SMX_CONN_NONE:
		return 0;
	}
	return 0;
}

static int on_packet(struct side *s, struct smx_view payload)
{
	struct smx_conn_event ev;
	int r;

	s->n_packets++;
	s->last_len = payload.len < sizeof(s->last) ? payload.len : sizeof(s->last);
	memcpy(s->last, payload.p, s->last_len);
	if (s->no_layers)
		return 0;
	if (payload.p[0] < SMX_MSG_GLOBAL_REQUEST || !s->is_authed)
		return s == &s->pair->c ? client_auth(s, payload) : server_auth(s, payload);
	if ((r = smx_conn_handle(&s->conn, payload, &ev)) != 0 || (r = on_conn_event(s, &ev)) != 0)
		return r;
	return smx_conn_done(&s->conn, &ev);
}

static int send_flow(struct side *s, struct flow *f)
{
	uint8_t data[4096];
	uint64_t n;
	int r;

	if (!f->chan || !f->is_open || f->chan->eof_sent || f->chan->close_sent)
		return 0;
	while (f->sent < f->to_send && f->chan->send_window && smx_transport_can_send(s->t)) {
		n = 1 + pair_random(s->pair) % sizeof(data);
		if (n > f->to_send - f->sent)
			n = f->to_send - f->sent;
		if (n > f->chan->send_window)
			n = f->chan->send_window;
		if (n > f->chan->send_packet)
			n = f->chan->send_packet;
		for (size_t i = 0; i < n; i++)
			data[i] = (uint8_t)((f->sent + i) * 167 + ((f->sent + i) >> 8));
		if ((r = smx_conn_send_data(&s->conn, f->chan, f->code,
			     (struct smx_view){ data, (size_t)n })) != 0)
			return r;
		f->sent += n;
		f->sent_sum = sum_of(f->sent_sum, data, (size_t)n);
	}
	if (f->eof_when_sent && f->sent == f->to_send)
		return smx_conn_send_eof(&s->conn, f->chan);
	return 0;
}

/* --- moving --- */

static void side_dies(struct side *s, int r)
{
	if (s->r)
		return;
	s->r = r;
	/* What a caller does whose layer failed: say so, if the transport is still alive. */
	smx_transport_disconnect(s->t, SMX_DISCONNECT_PROTOCOL_ERROR, smx_strerror(r));
}

void side_events(struct side *s)
{
	struct smx_event ev;
	int r = 0;

	while (!s->r) {
		if ((r = smx_transport_next(s->t, &ev)) != 0) {
			if (r != SMX_EAGAIN)
				s->r = r;
			return;
		}
		switch (ev.type) {
		case SMX_EV_PACKET:
			r = on_packet(s, ev.payload);
			break;
		case SMX_EV_HOST_KEY:
			s->host_keys_asked++;
			if (!s->defer_host_key)
				smx_transport_host_key_decided(s->t, s->host_key_verdict);
			break;
		case SMX_EV_WORK:
			if (s->defer_work) {
				s->work = ev.work;
				break;
			}
			smx_work_run(ev.work);
			smx_transport_work_done(s->t, ev.work);
			break;
		case SMX_EV_READY:
			r = on_ready(s);
			break;
		case SMX_EV_PONG:
			s->n_pongs++;
			break;
		}
		if (r != 0)
			side_dies(s, r);
	}
}

void side_inject_raw(struct side *s, const void *bytes, size_t n)
{
	uint8_t *to;

	if (s->wire_len && s->wire_off > s->wire_len) {
		memmove(s->wire, s->wire + s->wire_off, s->wire_len);
		s->wire_off = 0;
	}
	if (s->wire_cap - s->wire_off - s->wire_len < n) {
		s->wire_cap = 2 * (s->wire_off + s->wire_len + n);
		s->wire = realloc(s->wire, s->wire_cap);
		assert_non_null(s->wire);
	}
	to = s->wire + s->wire_off + s->wire_len;
	memcpy(to, bytes, n);
	if (s->tamper)
		s->tamper(s, to, n, s->wire_total);
	s->wire_len += n;
	s->wire_total += n;
}

void side_take(struct side *s)
{
	struct smx_tx_block *list = smx_transport_tx_take(s->t), *b;

	for (b = list; b; b = b->next)
		side_inject_raw(s, b->data, b->len);
	smx_transport_tx_free(s->t, list);
}

void side_inject(struct side *s, const void *payload, size_t n)
{
	struct smx_view part = { payload, n };

	assert_int_equal(smx_packets_send(&s->t->pk, &part, 1), 0);
}

void side_restart(struct side *s, const char *ident, int with_marks, int follows)
{
	struct smx_transport *t = s->t;
	struct smx_kex_offer offer = { t->offer_kex, t->offer_host_key, t->offer_ciphers,
		t->offer_macs, with_marks, NULL, NULL };
	char line[300];

	smx_transport_tx_free(t, smx_transport_tx_take(t));
	t->pk.tx_seq = 0;
	if (ident) {
		smx_free(t->ident_self);
		t->ident_self = smx_strdup(ident);
	}
	(void)snprintf(line, sizeof(line), "%s\r\n", t->ident_self);
	side_inject_raw(s, line, strlen(line));
	smx_buf_reset(&t->kexinit_self);
	assert_int_equal(smx_kexinit_build(&t->kexinit_self, t->role, &offer), 0);
	t->kexinit_self.data[t->kexinit_self.len - 5] = (uint8_t)follows;
}

void side_send_kexinit(struct side *s)
{
	side_inject(s, smx_buf_view(&s->t->kexinit_self), smx_buf_len(&s->t->kexinit_self));
}

static size_t chunk_len(struct pair *p)
{
	if (p->chunk == 0)
		return SIZE_MAX;
	return p->chunk == SIZE_MAX ? 1 + pair_random(p) % 700 : p->chunk;
}

int side_deliver(struct side *s)
{
	size_t want = chunk_len(s->pair), space;
	uint8_t *p;

	side_take(s);
	if (s->wire_len == 0)
		return 0;
	if (s->peer->r) {
		s->wire_len = s->wire_off = 0;
		return 0;
	}
	if (smx_transport_rx_space(s->peer->t, &p, &space) != 0) {
		s->peer->r = SMX_ENOMEM;
		return 1;
	}
	if (want > s->wire_len)
		want = s->wire_len;
	if (want > space)
		want = space;
	if (want == 0)
		return 0; /* a full block waits for a decision */
	memcpy(p, s->wire + s->wire_off, want);
	s->wire_off += want;
	s->wire_len -= want;
	if (s->wire_len == 0)
		s->wire_off = 0;
	smx_transport_rx_commit(s->peer->t, want);
	side_events(s->peer);
	return 1;
}

static int step(struct side *s)
{
	int r;

	side_events(s);
	for (size_t i = 0; i < s->n_flows && !s->r; i++)
		if ((r = send_flow(s, &s->flows[i])) != 0)
			side_dies(s, r);
	return side_deliver(s);
}

void pair_run(struct pair *p)
{
	int moved;

	for (uint64_t turn = 0; turn < p->limit; turn++) {
		moved = step(&p->c);
		moved |= step(&p->s);
		if (!moved)
			return;
	}
	fail_msg("a pair that never comes to rest");
}

void pair_login(struct pair *p)
{
	pair_run(p);
	assert_int_equal(p->c.r, 0);
	assert_int_equal(p->s.r, 0);
	assert_true(p->c.is_authed && p->s.is_authed);
}

int pair_teardown(void **state)
{
	(void)state;
	pair_keys_free();
	return smx_mem_alive() == 0 ? 0 : -1;
}
