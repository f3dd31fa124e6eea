/* SPDX-License-Identifier: MIT */
/* Errors, lists, the log and memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"

static void every_error_has_name_text_and_class(void **state)
{
	static const struct {
		int code;
		const char *name, *text;
		enum smx_err_class class;
	} all[] = {
#define ROW(code, name, class, text) { code, "SMX_E" #name, text, SMX_CLASS_##class },
		SMX_ERR_MAP(ROW)
#undef ROW
	};

	(void)state;
	for (size_t i = 0; i < SMX_ARRAY_LEN(all); i++) {
		assert_true(all[i].code < 0);
		assert_string_equal(smx_errname(all[i].code), all[i].name);
		assert_string_equal(smx_strerror(all[i].code), all[i].text);
		assert_int_equal(smx_errclass(all[i].code), all[i].class);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(all[i].code, all[j].code);
	}
	assert_string_equal(smx_strerror(0), "success");
	assert_string_equal(smx_strerror(-9999), "unknown error");
	assert_string_equal(smx_errname(SMX_EMAC), "SMX_EMAC");
	assert_int_equal(smx_errclass(SMX_EMAC), SMX_CLASS_PEER);
	assert_int_equal(smx_errclass(0), SMX_CLASS_NONE);
	assert_int_equal(smx_errclass(5), SMX_CLASS_NONE);
}

struct item {
	int value;
	struct smx_list node;
};

static void lists(void **state)
{
	struct smx_list head, *it, *tmp;
	struct item items[5];
	int sum = 0, n = 0;

	(void)state;
	smx_list_init(&head);
	assert_true(smx_list_empty(&head));
	SMX_LIST_FOREACH (it, tmp, &head)
		fail();
	for (int i = 0; i < 5; i++) {
		items[i].value = i;
		smx_list_add_tail(&head, &items[i].node);
	}
	SMX_LIST_FOREACH (it, tmp, &head) {
		struct item *item = SMX_CONTAINER(it, struct item, node);

		assert_int_equal(item->value, n++);
		sum += item->value;
		smx_list_del(it); /* the body may */
	}
	assert_int_equal(sum, 10);
	assert_true(smx_list_empty(&head));
	smx_list_del(&items[2].node); /* once more does no harm */
	assert_true(smx_list_empty(&items[2].node));
}

struct captured {
	char line[4096];
	size_t len;
	int n;
	enum smx_log_level level;
};

static void capture(void *arg, enum smx_log_level level, const char *line, size_t len)
{
	struct captured *c = arg;

	assert_true(len < sizeof(c->line));
	memcpy(c->line, line, len);
	c->line[len] = '\0';
	c->len = len;
	c->level = level;
	c->n++;
}

/* D4; and nothing that a remote sends can forge a line or drive a terminal (A7). */
static void D4_log_lines_are_one_line(void **state)
{
	struct captured c = { .n = 0 };
	char huge[5000];

	(void)state;
	smx_log_set_sink(capture, &c);
	log_warn("evil: %s", "a\nb\r\x1b[31m\x7f\tc");
	assert_int_equal(c.n, 1);
	assert_int_equal(c.level, SMX_LOG_WARN);
	assert_non_null(strstr(c.line, "warn  evil: a\\x0ab\\x0d\\x1b[31m\\x7f\\x09c\n"));
	assert_ptr_equal(strchr(c.line, '\n'), c.line + c.len - 1);
	assert_int_equal(c.line[10], 'T');

	memset(huge, '\n', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	log_error("%s", huge);
	assert_int_equal(c.n, 2);
	assert_ptr_equal(strchr(c.line, '\n'), c.line + c.len - 1);
	smx_log_set_sink(NULL, NULL);
}

static void D4_log_levels(void **state)
{
	struct captured c = { .n = 0 };
	enum smx_log_level level = SMX_LOG_ERROR;
	int evaluated = 0;

	(void)state;
	smx_log_set_sink(capture, &c);
	log_debug("%d", evaluated = 1);
	assert_int_equal(c.n, 0);
	assert_int_equal(evaluated, 0); /* what is not logged costs nothing */
	assert_int_equal(smx_log_level_parse("debug", &level), 0);
	assert_int_equal(level, SMX_LOG_DEBUG);
	smx_log_set_level(level);
	assert_true(smx_log_enabled(SMX_LOG_DEBUG));
	log_debug("x");
	assert_int_equal(c.n, 1);
	assert_int_equal(smx_log_level_parse("loud", &level), SMX_EINVAL);
	assert_int_equal(level, SMX_LOG_DEBUG);
	assert_int_equal(smx_log_level_parse("error", &level), 0);
	smx_log_set_level(level);
	log_warn("x");
	assert_int_equal(c.n, 1);
	smx_log_set_level(SMX_LOG_INFO);
	smx_log_set_sink(NULL, NULL);
}

static void memory(void **state)
{
	long before = smx_mem_alive();
	uint8_t secret[16];
	void *p, *q;
	char *s;

	(void)state;
	memset(secret, 0xaa, sizeof(secret));
	smx_wipe(secret, 8);
	assert_true(smx_ct_equal(secret, "\0\0\0\0\0\0\0\0", 8));
	assert_false(smx_ct_equal(secret + 8, secret, 8));
	assert_true(smx_ct_equal(secret, secret + 8, 0));
	p = smx_calloc(0, 5);
	assert_non_null(p);
	s = smx_strndup("abcdef", 3);
	assert_string_equal(s, "abc");
	assert_int_equal(smx_mem_alive(), before + 2);
	smx_mem_fail_after(1);
	q = smx_malloc(1);
	assert_non_null(q);
	assert_null(smx_malloc(1));
	assert_null(smx_strdup("x"));
	assert_null(smx_realloc(q, 100)); /* q stays as it was */
	smx_mem_fail_after(-1);
	smx_free(p);
	smx_free(q);
	smx_wipe_free(s, 4);
	smx_wipe_free(NULL, 4);
	smx_free(NULL);
	assert_int_equal(smx_mem_alive(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_name_text_and_class),
		cmocka_unit_test(lists),
		cmocka_unit_test(D4_log_lines_are_one_line),
		cmocka_unit_test(D4_log_levels),
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
