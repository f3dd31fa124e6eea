/* SPDX-License-Identifier: MIT */
// fuzzes: src/crypto/key.c src/crypto/key_sign.c
/*
 * Public key blobs and signatures from peers (L5, B9). Input: string blob, string signature,
 * then the signed data.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/key.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void verify_all(const struct smx_key *k, struct smx_view sig, struct smx_view data)
{
	const char *names = smx_sigalg_names(1);
	struct smx_view list = smx_view_of(names, strlen(names)), alg;
	const char *type_name = smx_key_type_name(smx_key_get_type(k));
	int n_valid = 0;

	while (smx_namelist_next(&list, &alg)) {
		int r = smx_key_verify(k, alg, sig, data);

		CHECK(r == 0 || smx_errclass(r) == SMX_CLASS_PEER);
		if (r == 0) {
			CHECK(smx_sigalg_fits(alg, smx_view_of(type_name, strlen(type_name))));
			n_valid++;
		}
	}
	CHECK(n_valid <= 1); /* one inner name, one algorithm */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smx_rd rd = smx_rd_from(data, size);
	char fingerprint[SMX_FINGERPRINT_SIZE];
	struct smx_view blob, sig, type;
	long before = smx_mem_alive();
	struct smx_key *k = NULL;
	struct smx_buf again;
	int r;

	if (smx_rd_string(&rd, &blob) != 0 || smx_rd_string(&rd, &sig) != 0)
		return 0;
	CHECK(smx_blob_fingerprint(blob, fingerprint) == 0);
	CHECK(strlen(fingerprint) == 7 + 43);
	r = smx_key_from_blob(&k, blob);
	CHECK((r == 0) == (k != NULL));
	if (r == 0) {
		/* One key, one blob: else a listed key could come under another face. */
		smx_buf_init(&again, SMX_KEY_BLOB_MAX);
		CHECK(smx_key_to_blob(k, &again) == 0);
		CHECK(smx_view_eq_view(
			blob, (struct smx_view){ smx_buf_view(&again), smx_buf_len(&again) }));
		smx_buf_release(&again);
		CHECK(smx_blob_type(blob, &type) == 0);
		CHECK(smx_view_eq(type, smx_key_type_name(smx_key_get_type(k))));
		verify_all(k, sig, (struct smx_view){ rd.p, rd.left });
	}
	smx_key_free(k);
	CHECK(smx_mem_alive() == before);
	return 0;
}
