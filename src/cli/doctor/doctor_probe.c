/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a port or a socket. */
#include "cli/doctor/doctor.h"
#include "os/agent.h"
#include "os/ipc.h"
#include "os/look.h"
#include "os/process.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/text.h"
#include "ssh/agent.h"
#include "ssh/transport.h"

#define PROBE_TIMEOUT_MS 3000
#define AGENT_TIMEOUT_MS 3000
#define AGENT_RETRY_MS   10

static int left(uint64_t deadline)
{
	uint64_t now = smx_os_monotonic_ms();

	return now >= deadline ? 0 : (int)(deadline - now);
}

/* ---- an SSH server -----------------------------------------------------------------------------
 */

static int flush(struct smx_transport *t, int fd, uint64_t deadline)
{
	struct smx_tx_block *list;
	int r = 0;

	while (r == 0 && (list = smx_transport_tx_take(t)) != NULL) {
		for (struct smx_tx_block *b = list; b && r == 0; b = b->next)
			r = smx_os_ipc_write(fd, b->data, b->len, left(deadline));
		smx_transport_tx_free(t, list);
	}
	return r;
}

static int receive(struct smx_transport *t, int fd, uint64_t deadline)
{
	uint8_t *to;
	size_t size, n;
	int r;

	if ((r = smx_transport_rx_space(t, &to, &size)) != 0 ||
		(r = smx_os_ipc_read(fd, to, size, left(deadline), &n)) != 0)
		return r;
	smx_transport_rx_commit(t, n);
	return 0;
}

/* To the host key, which stands there with a signature over this very exchange. */
static int exchange(
	struct smx_transport *t, int fd, uint64_t deadline, struct smx_buf *ret_host_key)
{
	struct smx_event ev;
	int r;

	for (;;) {
		r = smx_transport_next(t, &ev);
		if (r == 0 && ev.type == SMX_EV_HOST_KEY)
			return smx_buf_put(ret_host_key, ev.payload.p, ev.payload.len);
		if (r == 0 && ev.type == SMX_EV_WORK) {
			smx_work_run(ev.work);
			smx_transport_work_done(t, ev.work);
		} else if (r == SMX_EAGAIN && (r = flush(t, fd, deadline)) == 0) {
			/* Whatever is to be said has been; now it is their turn. */
			r = receive(t, fd, deadline);
		}
		if (r != 0)
			return r;
	}
}

int doctor_probe(uint16_t port, struct doctor_peer *ret)
{
	struct smx_transport_config config = { .role = SMX_CLIENT,
		.software = "ssh-mux-doctor_" SMX_VERSION };
	uint64_t deadline = smx_os_monotonic_ms() + PROBE_TIMEOUT_MS;
	struct smx_transport *t = NULL;
	struct smx_pool pool;
	struct smx_buf err;
	int fd, r;

	*ret = (struct doctor_peer){ 0 };
	smx_buf_init(&ret->host_key, SMX_KEY_BLOB_MAX);
	smx_buf_init(&err, sizeof(ret->why) - 1);
	r = smx_os_tcp_connect("127.0.0.1", port, PROBE_TIMEOUT_MS, &fd, &err);
	if (r != 0) {
		(void)snprintf(ret->why, sizeof(ret->why), "%s", smx_errtext(r, &err));
		smx_buf_release(&err);
		return r;
	}
	smx_pool_init(&pool, 2);
	config.pool = &pool;
	if ((r = smx_transport_new(&t, &config, smx_os_monotonic_ms())) == 0)
		r = exchange(t, fd, deadline, &ret->host_key);
	if (r == 0) {
		const char *software = smx_transport_peer_software(t);

		smx_sanitize(software, strlen(software), ret->software, sizeof(ret->software));
	} else {
		/* Also one that sends back what it gets, and so seems to speak it at first. */
		(void)snprintf(ret->why, sizeof(ret->why),
			"no SSH server that ssh-mux can talk to: %s", smx_strerror(r));
	}
	smx_transport_free(t);
	smx_pool_release(&pool);
	smx_os_ipc_close(fd);
	smx_buf_release(&err);
	return r == SMX_EREFUSED ? SMX_EPROTOCOL : r;
}

/* ---- an agent ----------------------------------------------------------------------------------
 */

int doctor_agent(const char *path, doctor_agent_each *each, void *arg)
{
	uint64_t deadline = smx_os_monotonic_ms() + AGENT_TIMEOUT_MS;
	struct smx_view message;
	struct smx_buf out, in;
	size_t used, n;
	uint8_t *to;
	int fd, r;

	while ((r = smx_os_agent_open(path, &fd)) == SMX_EAGAIN && left(deadline) > 0)
		smx_os_sleep_ms(AGENT_RETRY_MS);
	if (r != 0)
		return r == SMX_EAGAIN ? SMX_ETIMEOUT : r;
	smx_buf_init(&out, 64);
	smx_buf_init(&in, SMX_AGENT_MSG_MAX + 4096);
	if ((r = smx_agent_put_list(&out)) == 0)
		r = smx_os_ipc_write(fd, smx_buf_view(&out), smx_buf_len(&out), left(deadline));
	while (r == 0) {
		r = smx_agent_frame(smx_buf_as_view(&in), &message, &used);
		if (r != SMX_EAGAIN)
			break;
		if ((r = smx_buf_reserve(&in, 4096, &to)) == 0 &&
			(r = smx_os_ipc_read(fd, to, 4096, left(deadline), &n)) == 0)
			smx_buf_commit(&in, n);
	}
	if (r == 0)
		r = smx_agent_parse_list(message, each, arg);
	smx_os_ipc_close(fd);
	smx_buf_release(&out);
	smx_buf_release(&in);
	return r;
}
