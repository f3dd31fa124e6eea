/* SPDX-License-Identifier: MIT */
/* Errors, lists and memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/list.h"
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
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
