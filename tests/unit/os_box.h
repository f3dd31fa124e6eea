/* SPDX-License-Identifier: MIT */
/* A directory of its own for each test of sensitive files, and what those tests share. */
#ifndef SMX_TESTS_OS_BOX_H
#define SMX_TESTS_OS_BOX_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/mount.h>
#endif

#include "base/err.h"
#include "base/mem.h"
#include "os/file.h"

#define FOREIGN_UID 12345
#define USER_UID    23456

struct box {
	char dir[64]; /* ours, 0700, below /tmp */
	char path[256];
	struct smx_buf err, out;
	long alive;
};

static struct box box;

/* box.dir "/" name; valid until the next call with the same slot. */
static inline const char *at(const char *name)
{
	static char slots[4][256];
	static unsigned next;
	char *s = slots[next++ % 4];

	(void)snprintf(s, sizeof(slots[0]), "%s/%s", box.dir, name);
	return s;
}

static inline void put_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static inline void make_dir(const char *path, mode_t mode)
{
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static inline const char *err_text(void)
{
	return smx_buf_cstr(&box.err);
}

/* Reads, and on success compares. */
static inline void expect_read(
	int expected, const char *path, enum smx_os_file_kind kind, const char *text)
{
	int r;

	smx_buf_reset(&box.err);
	smx_buf_reset(&box.out);
	r = smx_os_file_read(path, 4096, kind, &box.out, &box.err);
	if (r != expected)
		print_message("%s: %s: %s\n", path, smx_errname(r), err_text());
	assert_int_equal(r, expected);
	if (r == 0) {
		assert_non_null(text);
		assert_int_equal(smx_buf_len(&box.err), 0);
		assert_int_equal(smx_buf_len(&box.out), strlen(text));
		assert_memory_equal(smx_buf_view(&box.out), text, strlen(text));
	} else {
		/* One line that names a path, and nothing was read. */
		assert_int_equal(smx_buf_len(&box.out), 0);
		assert_true(smx_buf_len(&box.err) > 0);
		assert_null(strchr(err_text(), '\n'));
		assert_non_null(strchr(err_text(), '/'));
	}
}

static inline void expect_content(const char *path, const char *text)
{
	char got[65536];
	int fd = open(path, O_RDONLY);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, got, sizeof(got));
	close(fd);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static inline size_t count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static inline int write_text(const char *path, const char *text, unsigned mode)
{
	smx_buf_reset(&box.err);
	return smx_os_file_write_atomic(path, text, strlen(text), mode, &box.err);
}

static inline int setup(void **state)
{
	(void)state;
	box.alive = smx_mem_alive();
	(void)snprintf(box.dir, sizeof(box.dir), "/tmp/smx-os-XXXXXX");
	assert_non_null(mkdtemp(box.dir));
	smx_buf_init(&box.err, 16384);
	smx_buf_init(&box.out, 4096);
	return 0;
}

static inline int teardown(void **state)
{
	char command[128];

	(void)state;
	if (getuid() == 0)
		(void)!seteuid(0); /* a test that failed half-way may have left it */
	smx_buf_release(&box.err);
	smx_buf_release(&box.out);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", box.dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(smx_mem_alive(), box.alive);
	return 0;
}

/* The tests run as root too: then, besides, as somebody who is not. */
static inline void need_root(void)
{
	if (geteuid() != 0)
		skip();
}

static inline void become_user(void)
{
	assert_int_equal(chown(box.dir, USER_UID, USER_UID), 0);
	assert_int_equal(seteuid(USER_UID), 0);
}

static inline void become_root(void)
{
	assert_int_equal(seteuid(0), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
