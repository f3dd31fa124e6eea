/* SPDX-License-Identifier: MIT */
/*
 * A process that swaps things between a check and the use of what was checked (S1), as fast as it
 * can: never is the attacker's text read, nor anything of the victim's written.
 *
 * The attacker runs as the very user, which is more than any real one has.
 */
#include "os_box.h"
#include "os/file.h"
#include "os/process.h"

#define RACE_MS 500

/* The swaps; each leaves things as they were, and may fail at any step: the next one mends it. */

static void swap_dir_for_link(void)
{
	(void)rename(at("d"), at("aside"));
	if (symlink("evil", at("d")) == 0)
		(void)unlink(at("d"));
	(void)rename(at("aside"), at("d"));
}

static void swap_dir_for_dir(void)
{
	/* The other one is writable by everybody: it is refused, or it is not there. */
	(void)rename(at("d"), at("aside"));
	(void)rename(at("open"), at("d"));
	(void)rename(at("d"), at("open"));
	(void)rename(at("aside"), at("d"));
}

static void swap_file_for_link(void)
{
	(void)rename(at("d/f"), at("d/aside"));
	if (symlink("../evil/f", at("d/f")) == 0)
		(void)unlink(at("d/f"));
	(void)rename(at("d/aside"), at("d/f"));
}

static void swap_file_for_hard_link(void)
{
	(void)rename(at("d/f"), at("d/aside"));
	if (link(at("victim"), at("d/f")) == 0)
		(void)unlink(at("d/f"));
	(void)rename(at("d/aside"), at("d/f"));
}

static void swap_file_for_fifo(void)
{
	(void)rename(at("d/f"), at("d/aside"));
	if (mkfifo(at("d/f"), 0600) == 0)
		(void)unlink(at("d/f"));
	(void)rename(at("d/aside"), at("d/f"));
}

static volatile sig_atomic_t is_told_to_stop;

static void on_stop(int signum)
{
	(void)signum;
	is_told_to_stop = 1;
}

static pid_t start_racer(void (*swap)(void))
{
	pid_t parent = getpid(), child;

	/* Root's links pass. */
	if (geteuid() == 0)
		become_user();
	child = fork();
	assert_true(child >= 0);
	if (child != 0)
		return child;
	(void)signal(SIGTERM, on_stop);
	while (!is_told_to_stop && getppid() == parent)
		swap();
	_exit(0);
}

static void stop_racer(pid_t racer)
{
	int status;

	if (getuid() == 0)
		become_root();
	assert_int_equal(kill(racer, SIGTERM), 0); /* after a swap, when all is in its place */
	assert_int_equal(waitpid(racer, &status, 0), racer);
	assert_int_equal(status, 0);
}

static void give_away(const char *path)
{
	if (geteuid() == 0)
		assert_int_equal(chown(path, USER_UID, USER_UID), 0);
}

static void set_up(void)
{
	static const char *const all[] = { "d", "d/f", "evil", "evil/f", "open", "open/f",
		"victim" };

	make_dir(at("d"), 0700);
	put_file(at("d/f"), "ours\n", 0600);
	make_dir(at("evil"), 0700);
	put_file(at("evil/f"), "evil\n", 0600);
	make_dir(at("open"), 0777);
	put_file(at("open/f"), "evil\n", 0600);
	put_file(at("victim"), "evil\n", 0600);
	for (size_t i = 0; i < SMX_ARRAY_LEN(all); i++)
		give_away(at(all[i]));
}

static int is_over(uint64_t start, int refused, int done)
{
	return smx_os_monotonic_ms() - start > RACE_MS && refused > 0 && done > 0;
}

static void expect_untouched(void)
{
	expect_content(at("evil/f"), "evil\n");
	expect_content(at("victim"), "evil\n");
	expect_content(at("open/f"), "evil\n");
	assert_int_equal(count_entries(at("evil")), 1);
	assert_int_equal(count_entries(at("open")), 1);
}

static int is_refusal(int r)
{
	return r == SMX_EUNSAFE || r == SMX_ENOTFOUND || r == SMX_ESYS || r == SMX_ETIMEOUT;
}

static void race_reads(void (*swap)(void))
{
	uint64_t start = smx_os_monotonic_ms();
	int refused = 0, done = 0;
	pid_t racer;

	set_up();
	racer = start_racer(swap);
	alarm(60);
	while (!is_over(start, refused, done)) {
		int r;

		smx_buf_reset(&box.out);
		r = smx_os_file_read(at("d/f"), 100, SMX_OS_FILE_PLAIN, &box.out, NULL);
		if (r != 0) {
			assert_true(is_refusal(r));
			refused++;
			continue;
		}
		done++;
		assert_int_equal(smx_buf_len(&box.out), 5);
		assert_memory_equal(smx_buf_view(&box.out), "ours\n", 5);
	}
	alarm(0);
	print_message("%d done, %d refused\n", done, refused);
	stop_racer(racer);
	expect_untouched();
}

static void s1_read_while_the_directory_is_a_link_at_times(void **state)
{
	(void)state;
	race_reads(swap_dir_for_link);
}

static void s2_read_while_the_directory_is_open_to_all_at_times(void **state)
{
	(void)state;
	race_reads(swap_dir_for_dir);
}

static void s1_read_while_the_file_is_a_link_at_times(void **state)
{
	(void)state;
	race_reads(swap_file_for_link);
}

static void s1_read_while_the_file_is_a_fifo_at_times(void **state)
{
	(void)state;
	race_reads(swap_file_for_fifo);
}

static int edit_round(
	void *arg, struct smx_view old, int is_missing, struct smx_buf *out, struct smx_buf *err)
{
	(void)arg;
	(void)old;
	(void)is_missing;
	(void)err;
	return smx_buf_put_str(out, "edited\n");
}

static int write_round(int i)
{
	switch (i % 4) {
	case 0:
		return smx_os_file_write_atomic(at("d/f"), "mine\n", 5, 0600, NULL);
	case 1:
		return smx_os_file_edit(at("d/f"), 65536, 0600, edit_round, NULL, NULL, NULL);
	case 2:
		return smx_os_file_append_line(at("d/f"), "line", NULL);
	default:
		return smx_os_file_remove(at("d/f"), NULL);
	}
}

static void race_writes(void (*swap)(void))
{
	uint64_t start = smx_os_monotonic_ms();
	int refused = 0, done = 0;
	pid_t racer;

	set_up();
	racer = start_racer(swap);
	alarm(60);
	for (int i = 0; !is_over(start, refused, done); i++) {
		int r = write_round(i);

		if (r == 0) {
			done++;
			continue;
		}
		assert_true(is_refusal(r));
		refused++;
	}
	alarm(0);
	print_message("%d done, %d refused\n", done, refused);
	stop_racer(racer);
	expect_untouched();
}

static void s1_write_while_the_directory_is_a_link_at_times(void **state)
{
	(void)state;
	race_writes(swap_dir_for_link);
}

static void s2_write_while_the_directory_is_open_to_all_at_times(void **state)
{
	(void)state;
	race_writes(swap_dir_for_dir);
}

static void s1_write_while_the_file_is_a_link_at_times(void **state)
{
	(void)state;
	race_writes(swap_file_for_link);
}

static void s1_write_while_the_file_is_a_victims_at_times(void **state)
{
	(void)state;
	race_writes(swap_file_for_hard_link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(s1_read_while_the_directory_is_a_link_at_times),
		TEST(s2_read_while_the_directory_is_open_to_all_at_times),
		TEST(s1_read_while_the_file_is_a_link_at_times),
		TEST(s1_read_while_the_file_is_a_fifo_at_times),
		TEST(s1_write_while_the_directory_is_a_link_at_times),
		TEST(s2_write_while_the_directory_is_open_to_all_at_times),
		TEST(s1_write_while_the_file_is_a_link_at_times),
		TEST(s1_write_while_the_file_is_a_victims_at_times),
	};

	return cmocka_run_group_tests_name("os_race", tests, NULL, NULL);
}
