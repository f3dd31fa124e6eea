/* SPDX-License-Identifier: MIT */
// fuzzes: src/crypto/kex.c src/crypto/kex_dh.c src/crypto/kex_ecdh.c src/crypto/kex_hybrid.c
// fuzzes: src/crypto/sntrup761.c src/crypto/sntrup761_ring.c
// dictionary: key_blob
/*
 * Public values from peers, in both roles (B9). Input: algorithm, then the value; for group
 * exchange, the mpints p and g first; or, GEX_SERVER, the three numbers of a client's request.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/kex.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

#define GEX_SERVER 9
#define N_KINDS    10

/* Seeds name algorithms by number; one is NULL where libcrypto has no ML-KEM. */
static const struct smx_kex_alg *pick(uint8_t n)
{
	static const char *const names[] = { "curve25519-sha256", "ecdh-sha2-nistp256",
		"ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "diffie-hellman-group14-sha256",
		"diffie-hellman-group16-sha512", "diffie-hellman-group-exchange-sha256",
		"mlkem768x25519-sha256",
		"sntrup761x25519-sha512", [GEX_SERVER] = "diffie-hellman-group-exchange-sha256" };
	const char *name = names[n % N_KINDS];

	return smx_kex_find(smx_view_of(name, strlen(name)));
}

/* Bad groups are refused by both roles alike. */
static int set_group(struct smx_kex *k, struct smx_rd *rd)
{
	struct smx_view p, g;
	int r;

	if ((r = smx_rd_string(rd, &p)) != 0 || (r = smx_rd_string(rd, &g)) != 0)
		return r;
	r = smx_kex_gex_set_group(k, p, g);
	CHECK(r == 0 || r == SMX_EPROTOCOL);
	return r;
}

static void check_secret(const struct smx_buf *secret, int r)
{
	struct smx_rd rd = smx_rd_from(smx_buf_view(secret), smx_buf_len(secret));
	struct smx_view v;

	CHECK(r == 0 || r == SMX_EPROTOCOL);
	if (r != 0) {
		CHECK(smx_buf_len(secret) == 0);
		return;
	}
	CHECK(smx_rd_string(&rd, &v) == 0 && v.len > 0 && smx_rd_end(&rd) == 0);
}

static void run(const struct smx_kex_alg *alg, struct smx_rd rd, int as_client)
{
	struct smx_buf ours, secret;
	struct smx_kex *k;
	int r = 0;

	CHECK(smx_kex_new(&k, alg) == 0);
	smx_buf_init(&ours, SMX_KEX_PUBLIC_MAX);
	smx_buf_init_secret(&secret, SMX_KEX_SECRET_MAX);
	if (alg->kind == SMX_KEX_GEX)
		r = set_group(k, &rd);
	if (r == 0 && as_client) {
		r = smx_kex_start(k, &ours);
		/* A group that a server made up may be as bad as it likes. */
		CHECK(r == 0 || (r == SMX_EPROTOCOL && alg->kind == SMX_KEX_GEX));
		if (r == 0) {
			r = smx_kex_finish(k, (struct smx_view){ rd.p, rd.left }, &secret);
			check_secret(&secret, r);
		}
	} else if (r == 0) {
		r = smx_kex_respond(k, (struct smx_view){ rd.p, rd.left }, &ours, &secret);
		check_secret(&secret, r);
		CHECK((r == 0) == (smx_buf_len(&ours) > 0));
	}
	smx_buf_release(&ours);
	smx_buf_release(&secret);
	smx_kex_free(k);
}

/* A server that chooses the group which a client asks for; large ones are too slow to answer. */
static void run_server(const struct smx_kex_alg *alg, struct smx_rd rd)
{
	struct smx_buf group, ours, secret;
	uint32_t min, n, max;
	struct smx_kex *k;
	int r;

	if (smx_rd_u32(&rd, &min) != 0 || smx_rd_u32(&rd, &n) != 0 || smx_rd_u32(&rd, &max) != 0)
		return;
	CHECK(smx_kex_new(&k, alg) == 0);
	smx_buf_init(&group, 4 * SMX_KEX_PUBLIC_MAX);
	smx_buf_init(&ours, SMX_KEX_PUBLIC_MAX);
	smx_buf_init_secret(&secret, SMX_KEX_SECRET_MAX);
	r = smx_kex_gex_choose(k, min, n, max, &group);
	CHECK(r == 0 || r == SMX_EPROTOCOL);
	CHECK((r == 0) == (smx_buf_len(&group) > 0));
	if (r == 0) {
		CHECK(min <= n && n <= max && smx_buf_len(&group) >= 2048 / 8);
		CHECK(smx_kex_gex_choose(k, min, n, max, &group) == SMX_ESTATE);
		if (smx_buf_len(&group) < 4096 / 8) {
			r = smx_kex_respond(k, (struct smx_view){ rd.p, rd.left }, &ours, &secret);
			check_secret(&secret, r);
		}
	}
	smx_buf_release(&group);
	smx_buf_release(&ours);
	smx_buf_release(&secret);
	smx_kex_free(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct smx_kex_alg *alg = size ? pick(data[0]) : NULL;
	long before = smx_mem_alive();

	if (!alg)
		return 0;
	if (data[0] % N_KINDS == GEX_SERVER)
		run_server(alg, smx_rd_from(data + 1, size - 1));
	for (int as_client = 0; as_client < 2 && data[0] % N_KINDS != GEX_SERVER; as_client++)
		run(alg, smx_rd_from(data + 1, size - 1), as_client);
	CHECK(smx_mem_alive() == before);
	return 0;
}
