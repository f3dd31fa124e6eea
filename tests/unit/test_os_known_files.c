/* SPDX-License-Identifier: MIT */
/*
 * K3: a known_hosts file of the system that can't be read for now may revoke a key: no login goes on
 * as if it did not. One that is not fit to be read is left out, as it always is.
 */
#include "os_box.h"

#include <sys/resource.h>

#include "mux/pool/known_files.h"
#include "trust_data.h"

/* Files of the system alone, the second of which revokes a key. */
static void make(struct known_files *f)
{
	struct smx_buf line;

	smx_buf_init(&line, 1024);
	assert_int_equal(smx_buf_put_str(&line, "@revoked * "), 0);
	data_put_key("ed25519_a", &line);
	assert_int_equal(smx_buf_put_str(&line, "\n"), 0);
	put_file(at("first"), "", 0644);
	put_file(at("second"), smx_buf_cstr(&line), 0644);
	smx_buf_release(&line);
	*f = (struct known_files){ .n = 2 };
	f->paths[0] = smx_strdup(at("first"));
	f->paths[1] = smx_strdup(at("second"));
	assert_true(f->paths[0] && f->paths[1]);
}

/* Reads them. Success is to know of the revocation; what went wrong is said. */
static int read_them(const struct known_files *f, int is_revoked, int fails)
{
	struct smx_known_verdict v;
	struct smx_known_hosts *kh;
	struct smx_buf blob;
	int r;

	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	data_put_blob("ed25519_a", &blob);
	smx_buf_reset(&box.err);
	assert_int_equal(smx_known_hosts_new(&kh), 0);
	if (fails >= 0)
		smx_mem_fail_after(fails);
	r = known_files_read(f, kh, &box.err);
	smx_mem_fail_after(-1);
	if (r == 0) {
		assert_int_equal(smx_known_hosts_check(kh, "h", 22, smx_buf_as_view(&blob), &v), 0);
		assert_int_equal(v.status == SMX_KNOWN_REVOKED, is_revoked);
	}
	smx_known_hosts_free(kh);
	smx_buf_release(&blob);
	return r;
}

static void k3_without_memory(void **state)
{
	struct known_files f;
	int n, failed = 0;

	(void)state;
	make(&f);
	for (n = 0; n < 40; n++)
		failed += read_them(&f, 1, n) != 0;
	assert_int_equal(read_them(&f, 1, -1), 0);
	assert_true(failed >= 3);
	known_files_release(&f);
}

static void k3_without_descriptors(void **state)
{
	struct rlimit before, none;
	struct known_files f;
	int fd;

	(void)state;
	make(&f);
	assert_true((fd = dup(0)) >= 0);
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	/* A walk holds two directories and the file: from none at all to just too few. */
	for (int free_fds = 0; free_fds < 2; free_fds++) {
		struct smx_known_hosts *kh;

		none = (struct rlimit){ (rlim_t)fd + (rlim_t)free_fds, before.rlim_max };
		assert_int_equal(smx_known_hosts_new(&kh), 0);
		smx_buf_reset(&box.err);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		assert_int_equal(known_files_read(&f, kh, &box.err), SMX_ESYS);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_non_null(strstr(err_text(), strerror(EMFILE)));
		smx_known_hosts_free(kh);
	}
	assert_int_equal(read_them(&f, 1, -1), 0);
	known_files_release(&f);
}

static void k3_unfit_ones_are_left_out(void **state)
{
	struct known_files f;

	(void)state;
	make(&f);
	assert_int_equal(chmod(f.paths[1], 0666), 0);
	assert_int_equal(read_them(&f, 0, -1), 0);
	assert_true(smx_buf_len(&box.err) > 0);
	assert_int_equal(unlink(f.paths[1]), 0);
	assert_int_equal(read_them(&f, 0, -1), 0);
	assert_int_equal(smx_buf_len(&box.err), 0);
	known_files_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(k3_without_memory),
		TEST(k3_without_descriptors),
		TEST(k3_unfit_ones_are_left_out),
	};

	return cmocka_run_group_tests_name("os_known_files", tests, NULL, NULL);
}
