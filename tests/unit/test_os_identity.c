/* SPDX-License-Identifier: MIT */
/* Key and certificate files of a login (A1, A8, A9) when there is no memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/pool/identity.h"

static char dir[] = "/tmp/smx-identity-XXXXXX";

/* A copy that is the user's alone, under another name. */
static void put(const char *from, const char *name)
{
	char path[256], text[16384];
	size_t n;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", SMX_TEST_DATA, from);
	assert_non_null(f = fopen(path, "rb"));
	n = fread(text, 1, sizeof(text), f);
	assert_int_equal(fclose(f), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_non_null(f = fopen(path, "wb"));
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	put("keys/ecdsa_256", "plain");
	put("keys/ecdsa_256.cert", "plain-cert.pub");
	put("keys/ecdsa_256.pub", "public.pub");
	put("keys/ecdsa_256_aes128-ctr", "locked");
	put("keys/ecdsa_256_aes128-ctr.pub", "locked.pub");
	put("certs/ed25519.cert", "host-cert.pub");
	put("certs/user.cert", "user-cert.pub");
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "plain", "plain-cert.pub", "public.pub", "locked",
		"locked.pub", "host-cert.pub", "user-cert.pub" };
	char path[256];

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	return rmdir(dir);
}

static int read_all(struct prepared *p)
{
	static const char *const names[] = { "plain", "public", "public.pub", "locked", "none" };
	char path[256];
	int r = 0;

	*p = (struct prepared){ .n_keys = 0 };
	smx_buf_init(&p->notes, PREPARED_NOTES_MAX);
	for (size_t i = 0; r == 0 && i < SMX_ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		r = identity_read(p, path, 1);
	}
	return r;
}

static void a8_a9_what_a_name_is(void **state)
{
	struct prepared p;

	(void)state;
	assert_int_equal(read_all(&p), 0);
	assert_int_equal(p.n_keys, 4);
	assert_non_null(p.keys[0].key);
	assert_true(p.keys[1].is_public && p.keys[2].is_public && p.keys[3].is_locked);
	assert_int_equal(p.n_certs, 1);
	assert_non_null(strstr(smx_buf_cstr(&p.notes), "none"));
	prepared_clear(&p);
}

/* A host's certificate is nobody's to log in with. */
static void a9_a_users_certificate_and_no_other(void **state)
{
	struct prepared p = { .n_keys = 0 };
	char path[256];

	(void)state;
	smx_buf_init(&p.notes, PREPARED_NOTES_MAX);
	(void)snprintf(path, sizeof(path), "%s/host-cert.pub", dir);
	assert_int_equal(identity_read_cert(&p, path, 1), 0);
	assert_int_equal(p.n_certs, 0);
	assert_non_null(strstr(smx_buf_cstr(&p.notes), "no certificate of a user's key"));
	(void)snprintf(path, sizeof(path), "%s/user-cert.pub", dir);
	assert_int_equal(identity_read_cert(&p, path, 1), 0);
	assert_int_equal(p.n_certs, 1);
	prepared_clear(&p);
}

static void without_memory(void **state)
{
	long before = smx_mem_alive(), n = 0;
	struct prepared p;
	int r;

	(void)state;
	do {
		smx_mem_fail_after(n++);
		r = read_all(&p);
		smx_mem_fail_after(-1);
		prepared_clear(&p);
		assert_int_equal(smx_mem_alive(), before);
	} while (r == SMX_ENOMEM);
	assert_int_equal(r, 0);
	assert_true(n > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a8_a9_what_a_name_is),
		cmocka_unit_test(a9_a_users_certificate_and_no_other),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
