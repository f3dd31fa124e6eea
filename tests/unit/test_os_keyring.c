/* SPDX-License-Identifier: MIT */
/* Who may use the local server: what is read again, and when (L5). */
#include "os_box.h"

#include <time.h>

#include "crypto/keyfile.h"
#include "mux/doors/keyring.h"
#include "os/process.h"

#define AGED_MS 3100 /* after that a change of what was read can't look like no change */

static struct keyring *ring;

static void blob_of(unsigned n, struct smx_buf *ret)
{
	uint8_t point[32];

	memset(point, (int)n, sizeof(point));
	smx_buf_init(ret, 256);
	assert_int_equal(smx_put_cstr(ret, "ssh-ed25519"), 0);
	assert_int_equal(smx_put_string(ret, point, sizeof(point)), 0);
}

static void put_key(const char *name, unsigned n)
{
	struct smx_buf blob, line;

	blob_of(n, &blob);
	smx_buf_init(&line, 1024);
	assert_int_equal(smx_pubkey_line_write(smx_buf_as_view(&blob), &line), 0);
	assert_int_equal(smx_buf_put_str(&line, "\n"), 0);
	put_file(at(name), smx_buf_cstr(&line), 0600);
	smx_buf_release(&blob);
	smx_buf_release(&line);
}

/* As at an attempt to authenticate. */
static int may_enter(unsigned n)
{
	struct smx_buf blob;
	int r;

	blob_of(n, &blob);
	keyring_refresh(ring);
	r = keyring_has(ring, smx_buf_as_view(&blob));
	smx_buf_release(&blob);
	return r;
}

static void begin(void)
{
	assert_int_equal(keyring_new(&ring, box.dir), 0);
	keyring_refresh(ring);
}

/* How often the files are read in fifty attempts, once nothing has changed for a while. */
static unsigned reads_of_fifty(void)
{
	uint64_t before;

	smx_os_sleep_ms(AGED_MS);
	keyring_refresh(ring);
	before = keyring_reads(ring);
	for (int i = 0; i < 50; i++)
		keyring_refresh(ring);
	return (unsigned)(keyring_reads(ring) - before);
}

static void l5_public_keys_are_read_when_they_change(void **state)
{
	(void)state;
	put_key("id_a.pub", 1);
	put_key("id_b.pub", 2);
	begin();
	assert_true(may_enter(1) && may_enter(2) && !may_enter(3));
	assert_int_equal(reads_of_fifty(), 0);
	/* One is rewritten where it is, one removed, one added: it counts at once. */
	put_key("id_b.pub", 3);
	assert_true(may_enter(1) && !may_enter(2) && may_enter(3));
	assert_int_equal(unlink(at("id_a.pub")), 0);
	assert_true(!may_enter(1) && may_enter(3));
	put_key("id_c.pub", 4);
	assert_true(may_enter(3) && may_enter(4));
	/* The list itself counts alone, and without it the others again. */
	put_key(KEYRING_FILE, 5);
	assert_true(may_enter(5) && !may_enter(3) && !may_enter(4));
	assert_string_equal(keyring_warning(ring), "");
	assert_int_equal(unlink(at(KEYRING_FILE)), 0);
	assert_true(!may_enter(5) && may_enter(3) && may_enter(4));
	assert_non_null(strstr(keyring_warning(ring), "SECURITY DOWNGRADE"));
	keyring_free(ring);
}

/* Twice within what a coarse clock calls one moment: the second time is seen, too. */
static void l5_a_change_right_after_another_counts(void **state)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { 0, 0 } };
	struct stat st;

	(void)state;
	put_key(KEYRING_FILE, 1);
	begin();
	assert_true(may_enter(1) && !may_enter(2));
	assert_int_equal(stat(at(KEYRING_FILE), &st), 0);
	put_key(KEYRING_FILE, 2);
	times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, at(KEYRING_FILE), times, 0), 0);
	assert_true(!may_enter(1) && may_enter(2));
	assert_int_equal(reads_of_fifty(), 0);
	put_key(KEYRING_FILE, 3);
	assert_true(!may_enter(2) && may_enter(3));
	/* Files of one size, many of them within a tick of the clock that stamps them. */
	for (unsigned n = 0; n < 1000; n++) {
		put_key(KEYRING_FILE, 1 + n % 2);
		assert_true(may_enter(1 + n % 2) && !may_enter(2 - n % 2));
	}
	keyring_free(ring);
}

/* U10: keys that could not be read for want of memory are read again once there is some. */
static void u10_a_lack_of_memory_passes(void **state)
{
	(void)state;
	for (int is_list = 0; is_list < 2; is_list++) {
		put_key(is_list ? KEYRING_FILE : "id_a.pub", 1);
		smx_os_sleep_ms(AGED_MS); /* so that nothing else makes it read again */
		for (long n = 0; n < 200; n++) {
			assert_int_equal(keyring_new(&ring, box.dir), 0);
			smx_mem_fail_after(n);
			keyring_refresh(ring);
			smx_mem_fail_after(-1);
			assert_true(may_enter(1));
			keyring_free(ring);
		}
	}
}

/* L5: a lack of memory is no missing list, which would let others in. */
static void l5_without_memory_nobody_else_gets_in(void **state)
{
	struct smx_buf one, two;
	long n;

	(void)state;
	put_key(KEYRING_FILE, 1);
	put_key("id_b.pub", 2);
	blob_of(1, &one);
	blob_of(2, &two);
	for (n = 0; n < 200; n++) {
		begin();
		put_key(KEYRING_FILE, 1);
		smx_mem_fail_after(n);
		keyring_refresh(ring);
		smx_mem_fail_after(-1);
		assert_false(keyring_has(ring, smx_buf_as_view(&two)));
		assert_true(may_enter(1) && !may_enter(2));
		keyring_free(ring);
	}
	smx_buf_release(&one);
	smx_buf_release(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(l5_public_keys_are_read_when_they_change),
		TEST(l5_a_change_right_after_another_counts),
		TEST(u10_a_lack_of_memory_passes),
		TEST(l5_without_memory_nobody_else_gets_in),
	};

	return cmocka_run_group_tests_name("os_keyring", tests, NULL, NULL);
}
