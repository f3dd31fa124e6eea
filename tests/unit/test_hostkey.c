/* SPDX-License-Identifier: MIT */
/* K3: the verdict on a host key, where memory fails anywhere. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/pool/hostkey.h"
#include "trust_data.h"

/* What is said of a key while the n-th allocation and all after it fail; -1: none. */
static int check(const struct prepared *p, const char *key, long n)
{
	char host[] = "h";
	struct smx_hop hop = { .host = host, .port = 22 };
	struct hostkey_question q = { .conn = 1 };
	struct smx_buf blob;
	char why[1024] = "";
	int r;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	data_put_blob(key, &blob);
	smx_mem_fail_after(n);
	r = hostkey_check(p, &hop, 0, SMX_HOSTKEY_CAN_ASK, data_view(&blob), &q, why, sizeof(why));
	smx_mem_fail_after(-1);
	if (r == SMX_EAGAIN)
		smx_buf_release(&q.plain);
	smx_buf_release(&blob);
	return r;
}

/* No verdict is not a refusal: that would keep the route from being tried for a while. */
static void K3_want_of_memory_is_no_distrust(void **state)
{
	static const struct {
		const char *key;
		int verdict;
	} keys[] = { { "ed25519_a", 0 }, { "ecdsa256", SMX_EAGAIN },
		{ "ed25519_b", SMX_EHOSTKEY } };
	struct prepared p = { .known_hosts = NULL };
	struct smx_buf text, warnings;
	long alive, failed;
	int r;

	(void)state;
	smx_buf_init(&text, 4096);
	smx_buf_init(&warnings, 4096);
	data_expand("h $ed25519_a\n", &text);
	assert_int_equal(smx_known_hosts_new(&p.known_hosts), 0);
	r = smx_known_hosts_add_text(p.known_hosts, "known_hosts", data_view(&text), &warnings);
	assert_int_equal(r, 0);
	smx_buf_release(&text);
	smx_buf_release(&warnings);
	for (size_t i = 0; i < SMX_ARRAY_LEN(keys); i++) {
		assert_int_equal(check(&p, keys[i].key, -1), keys[i].verdict);
		alive = smx_mem_alive();
		for (failed = 0; (r = check(&p, keys[i].key, failed)) != keys[i].verdict; failed++)
			assert_int_equal(r, SMX_ENOMEM);
		assert_int_equal(smx_mem_alive(), alive);
		assert_true(failed > 0 || keys[i].verdict != SMX_EAGAIN);
	}
	smx_known_hosts_free(p.known_hosts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(K3_want_of_memory_is_no_distrust),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
