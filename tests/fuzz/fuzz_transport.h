/* SPDX-License-Identifier: MIT */
/*
 * A whole connection of one role against any bytes. The first byte of the input chooses: bit 0
 * begins behind a first key exchange, without ciphers; bits 1 and 2 the phase then, else bit 1 that a
 * client guesses the key exchange; bit 3
 * wraps the input's messages into packets, else bytes are taken as they are; bits 4 to 7 the piece
 * size.
 */
#ifndef SMX_FUZZ_TRANSPORT_H
#define SMX_FUZZ_TRANSPORT_H

#include "fuzz_ssh.h"
#include "ssh/auth_client.h"
#include "ssh/auth_server.h"
#include "ssh/conn.h"

struct fuzz_conn {
	struct smx_transport *t;
	enum smx_role role;
	struct smx_auth_server as;
	struct smx_auth_client ac;
	struct smx_conn conn;
	int is_dead, has_conn;
};

static inline int fuzz_key_ok(void *arg, struct smx_view blob)
{
	(void)arg;
	return blob.len % 2;
}

static inline int fuzz_channels(struct fuzz_conn *f, struct smx_view payload)
{
	struct smx_view none = { NULL, 0 };
	struct smx_conn_event ev;
	int r;

	if (!f->has_conn)
		smx_conn_init(&f->conn, f->t);
	f->has_conn = 1;
	if ((r = smx_conn_handle(&f->conn, payload, &ev)) != 0)
		return r;
	switch (ev.type) {
	case SMX_CONN_OPEN:
		if (ev.kind.len % 3 == 0)
			return smx_conn_open_fail(&f->conn, ev.chan, SMX_OPEN_CONNECT_FAILED, "x");
		return smx_conn_open_confirm(&f->conn, ev.chan, 5000, none);
	case SMX_CONN_DATA:
		return smx_conn_grant(&f->conn, ev.chan, (uint32_t)ev.data.len);
	case SMX_CONN_REQUEST:
		if (ev.want_reply)
			r = smx_conn_send_reply(&f->conn, ev.chan, 1);
		if (r == 0 && ev.kind.len % 4 == 3)
			r = smx_conn_send_close(&f->conn, ev.chan);
		return r;
	case SMX_CONN_EOF:
		return smx_conn_send_eof(&f->conn, ev.chan);
	default:
		return smx_conn_done(&f->conn, &ev);
	}
}

static inline int fuzz_packet(struct fuzz_conn *f, struct smx_view payload)
{
	struct smx_auth_event ev;

	/* N1, N2: this is what the phases promise. */
	fuzz_check(payload.len > 0);
	fuzz_check(payload.p[0] < SMX_MSG_GLOBAL_REQUEST || f->t->phase == SMX_PHASE_CONNECTION);
	fuzz_check(payload.p[0] < SMX_MSG_USERAUTH_REQUEST || f->t->phase >= SMX_PHASE_AUTH);
	if (f->t->phase == SMX_PHASE_CONNECTION)
		return fuzz_channels(f, payload);
	if (f->role == SMX_SERVER)
		return smx_auth_server_handle(&f->as, payload);
	return smx_auth_client_handle(&f->ac, payload, &ev);
}

static inline void fuzz_events(struct fuzz_conn *f)
{
	struct smx_event ev;
	int r;

	while (!f->is_dead) {
		if ((r = smx_transport_next(f->t, &ev)) != 0) {
			f->is_dead = r != SMX_EAGAIN;
			return;
		}
		switch (ev.type) {
		case SMX_EV_PACKET:
			r = fuzz_packet(f, ev.payload);
			break;
		case SMX_EV_HOST_KEY:
			smx_transport_host_key_decided(f->t, 0);
			break;
		case SMX_EV_WORK:
			smx_work_run(ev.work);
			smx_transport_work_done(f->t, ev.work);
			break;
		case SMX_EV_READY:
			if (f->role == SMX_CLIENT)
				r = smx_auth_client_begin(&f->ac);
			break;
		case SMX_EV_PONG:
			break;
		}
		f->is_dead = r != 0;
		fuzz_drop_output(f->t);
	}
}

static inline void fuzz_feed(struct fuzz_conn *f, const uint8_t *p, size_t n, size_t piece)
{
	uint8_t *to;
	size_t space, k;

	while (n && !f->is_dead) {
		if (smx_transport_rx_space(f->t, &to, &space) != 0)
			return;
		fuzz_check(space > 0);
		k = n < piece ? n : piece;
		k = k < space ? k : space;
		memcpy(to, p, k);
		smx_transport_rx_commit(f->t, k);
		p += k;
		n -= k;
		fuzz_events(f);
	}
}

static inline void fuzz_connection(enum smx_role role, const uint8_t *data, size_t size)
{
	static struct smx_key *host_key;
	static uint8_t packet[70000];
	struct smx_transport_config config = { .role = role, .software = "fuzz" };
	struct fuzz_conn f = { .role = role };
	struct smx_rd rd = smx_rd_from(data, size);
	struct smx_view payload;
	uint8_t how;

	if (smx_rd_u8(&rd, &how) != 0)
		return;
	if (!host_key)
		fuzz_check(smx_key_generate_ed25519(&host_key) == 0);
	config.pool = fuzz_pool();
	config.host_key = host_key;
	if (how & 2) {
		config.guess_kex = "curve25519-sha256";
		config.guess_host_key = "ssh-ed25519";
	}
	if (how & 1)
		f.t = clear_transport(
			fuzz_pool(), role, (enum smx_phase)((how >> 1 & 3) % 3), host_key);
	else
		fuzz_check(smx_transport_new(&f.t, &config, 0) == 0);
	fuzz_check(f.t != NULL);
	smx_auth_server_init(&f.as, f.t, fuzz_key_ok, NULL);
	f.as.has_service = f.t->phase == SMX_PHASE_AUTH;
	fuzz_check(smx_auth_client_init(&f.ac, f.t, "user") == 0);
	f.ac.wait = (enum smx_auth_wait)(how >> 4 & 7);
	if (how & 8) {
		while (!f.is_dead && fuzz_next(&rd, &payload))
			fuzz_feed(&f, packet, clear_packet(payload, packet, sizeof(packet)),
				sizeof(packet));
	} else {
		fuzz_feed(&f, rd.p, rd.left, (size_t)(how >> 4) * 13 + 1);
	}
	fuzz_check_told(f.t);
	if (f.has_conn)
		smx_conn_release(&f.conn);
	smx_auth_client_release(&f.ac);
	smx_transport_free(f.t);
	fuzz_check_pool();
}

#endif
