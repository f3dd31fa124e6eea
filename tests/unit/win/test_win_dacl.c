/* SPDX-License-Identifier: MIT */
/* S3: each kind of permission put to the one judge, in SDDL or built by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/win/dacl.h"

#include <sddl.h>

#define US    "S-1-5-21-1-2-3-1001"
#define OTHER "S-1-5-21-1-2-3-1002"

static PSID us;

static int setup(void **state)
{
	(void)state;
	return ConvertStringSidToSidW(L"" US, &us) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	(void)LocalFree(us);
	return 0;
}

static PSECURITY_DESCRIPTOR parse(const char *sddl)
{
	PSECURITY_DESCRIPTOR sd;
	wchar_t wide[1024];

	(void)swprintf(wide, 1024, L"%hs", sddl);
	if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(wide, SDDL_REVISION_1, &sd, NULL))
		fail_msg("the system does not understand %s: %lu", sddl, GetLastError());
	return sd;
}

static int judge(const char *sddl, enum smx_win_kind kind, char *text, size_t size)
{
	PSECURITY_DESCRIPTOR sd = parse(sddl);
	struct smx_buf err;
	int r;

	smx_buf_init(&err, 4096);
	r = smx_win_dacl_check(sd, us, kind, "C:\\x", &err);
	(void)snprintf(
		text, size, "%.*s", (int)smx_buf_len(&err), (const char *)smx_buf_view(&err));
	smx_buf_release(&err);
	(void)LocalFree(sd);
	return r;
}

static void expect(const char *sddl, enum smx_win_kind kind, int wanted)
{
	char text[2048];
	int r = judge(sddl, kind, text, sizeof(text));

	if (r != wanted)
		fail_msg("%s, kind %d: %d instead of %d (%s)", sddl, kind, r, wanted, text);
	if (wanted != 0 && !strstr(text, "C:\\x"))
		fail_msg("%s: the text does not name the path: %s", sddl, text);
	if (wanted == 0 && text[0])
		fail_msg("%s: passes with the text %s", sddl, text);
}

static const enum smx_win_kind kinds[] = { SMX_WIN_FILE, SMX_WIN_DIR, SMX_WIN_HOST_KEY,
	SMX_WIN_TOKEN };

static void expect_all(const char *sddl, int wanted)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(kinds); i++)
		expect(sddl, kinds[i], wanted);
}

static void S3_owner(void **state)
{
	(void)state;
	expect_all("O:" US "D:P(A;;FA;;;" US ")", 0);
	expect_all("O:SYD:P(A;;FA;;;" US ")", 0);
	expect_all("O:BAD:P(A;;FA;;;" US ")", 0);
	expect_all("O:" OTHER "D:P(A;;FA;;;" US ")", SMX_EUNSAFE);
	expect_all("O:WDD:P(A;;FA;;;" US ")", SMX_EUNSAFE);
	expect_all("O:BUD:P(A;;FA;;;" US ")", SMX_EUNSAFE);
	expect_all("D:P(A;;FA;;;" US ")", SMX_EUNSAFE); /* nobody's */
}

static void S3_trusted_may_do_everything(void **state)
{
	(void)state;
	expect_all("O:" US "D:P(A;;FA;;;" US ")(A;;FA;;;SY)(A;;FA;;;BA)", 0);
	expect_all("O:" US "D:P(A;;GA;;;" US ")(A;;GA;;;SY)(A;;GA;;;BA)", 0);
	expect_all("O:" US "D:P(A;;FA;;;S-1-3-4)", 0); /* OWNER RIGHTS: one of the three */
}

/* Every account that is none of ours, and each right by its bit. */
static void S3_each_right_of_each_foreign_account(void **state)
{
	static const char *const accounts[] = { OTHER, "WD", "AU", "BU", "BG", "AN", "S-1-5-11",
		"S-1-15-2-1", "S-1-5-32-545" };
	static const struct {
		unsigned right;
		int file, dir, key; /* dangerous for that kind; a token is as a key */
	} rights[] = {
		{ 0x00000001, 0, 0, 1 }, /* FILE_READ_DATA */
		{ 0x00000002, 1, 1, 1 }, /* FILE_WRITE_DATA, FILE_ADD_FILE */
		{ 0x00000004, 1, 1, 1 }, /* FILE_APPEND_DATA, FILE_ADD_SUBDIRECTORY */
		{ 0x00000008, 0, 0, 0 }, /* FILE_READ_EA */
		{ 0x00000010, 1, 1, 1 }, /* FILE_WRITE_EA */
		{ 0x00000020, 0, 0, 0 }, /* FILE_EXECUTE, FILE_TRAVERSE */
		{ 0x00000040, 0, 1, 0 }, /* FILE_DELETE_CHILD */
		{ 0x00000080, 0, 0, 0 }, /* FILE_READ_ATTRIBUTES */
		{ 0x00000100, 1, 1, 1 }, /* FILE_WRITE_ATTRIBUTES */
		{ 0x00010000, 1, 1, 1 }, /* DELETE */
		{ 0x00020000, 0, 0, 0 }, /* READ_CONTROL */
		{ 0x00040000, 1, 1, 1 }, /* WRITE_DAC */
		{ 0x00080000, 1, 1, 1 }, /* WRITE_OWNER */
		{ 0x00100000, 0, 0, 0 }, /* SYNCHRONIZE */
		{ 0x10000000, 1, 1, 1 }, /* GENERIC_ALL */
		{ 0x20000000, 0, 0, 0 }, /* GENERIC_EXECUTE */
		{ 0x40000000, 1, 1, 1 }, /* GENERIC_WRITE */
		{ 0x80000000, 0, 0, 1 }, /* GENERIC_READ */
	};
	char sddl[256];

	(void)state;
	for (size_t a = 0; a < SMX_ARRAY_LEN(accounts); a++)
		for (size_t i = 0; i < SMX_ARRAY_LEN(rights); i++) {
			(void)snprintf(sddl, sizeof(sddl),
				"O:" US "D:P(A;;FA;;;" US ")(A;;0x%x;;;%s)", rights[i].right,
				accounts[a]);
			expect(sddl, SMX_WIN_FILE, rights[i].file ? SMX_EUNSAFE : 0);
			expect(sddl, SMX_WIN_DIR, rights[i].dir ? SMX_EUNSAFE : 0);
			expect(sddl, SMX_WIN_HOST_KEY, rights[i].key ? SMX_EUNSAFE : 0);
			expect(sddl, SMX_WIN_TOKEN, rights[i].key ? SMX_EUNSAFE : 0);
		}
}

static void S3_what_everybody_may_read(void **state)
{
	static const char readable[] = "O:" US "D:P(A;;FA;;;" US ")(A;;FR;;;WD)";

	(void)state;
	expect(readable, SMX_WIN_FILE, 0);
	expect(readable, SMX_WIN_DIR, 0);
	expect(readable, SMX_WIN_HOST_KEY, SMX_EUNSAFE);
	expect(readable, SMX_WIN_TOKEN, SMX_EUNSAFE);
}

static void S3_null_and_empty_dacl(void **state)
{
	SECURITY_DESCRIPTOR sd;
	struct smx_buf err;

	(void)state;
	expect_all("O:" US "D:P", 0); /* empty: nobody may do anything */
	expect_all("O:" US, SMX_EUNSAFE); /* none: everybody may do everything */
	assert_true(InitializeSecurityDescriptor(&sd, SECURITY_DESCRIPTOR_REVISION));
	assert_true(SetSecurityDescriptorOwner(&sd, us, FALSE));
	assert_true(SetSecurityDescriptorDacl(&sd, TRUE, NULL, FALSE));
	smx_buf_init(&err, 4096);
	for (size_t i = 0; i < SMX_ARRAY_LEN(kinds); i++)
		assert_int_equal(smx_win_dacl_check(&sd, us, kinds[i], "C:\\x", &err), SMX_EUNSAFE);
	assert_int_equal(smx_win_dacl_check(NULL, us, SMX_WIN_FILE, "C:\\x", &err), SMX_EUNSAFE);
	smx_buf_release(&err);
}

static void S3_deny_entries_are_not_counted_on(void **state)
{
	(void)state;
	expect_all("O:" US "D:P(D;;FA;;;WD)(A;;FA;;;" US ")", 0);
	expect_all("O:" US "D:P(D;;FA;;;" OTHER ")(A;;FA;;;" OTHER ")", SMX_EUNSAFE);
	expect_all("O:" US "D:P(A;;FA;;;" OTHER ")(D;;FA;;;" OTHER ")", SMX_EUNSAFE);
}

static void S3_inherited_and_inherit_only(void **state)
{
	(void)state;
	expect_all("O:" US "D:AI(A;ID;FA;;;" US ")(A;ID;FA;;;SY)", 0);
	expect_all("O:" US "D:AI(A;ID;FA;;;" US ")(A;ID;0x2;;;BU)", SMX_EUNSAFE);
	/* For children alone: they are judged when their turn comes. */
	expect_all("O:" US "D:P(A;;FA;;;" US ")(A;OICIIO;FA;;;CO)", 0);
	expect_all("O:" US "D:P(A;;FA;;;" US ")(A;OICI;FA;;;CO)", SMX_EUNSAFE);
}

static void S3_text_names_account_and_right(void **state)
{
	char text[2048];

	(void)state;
	assert_int_equal(judge("O:" US "D:P(A;;WD;;;" OTHER ")", SMX_WIN_FILE, text, sizeof(text)),
		SMX_EUNSAFE);
	assert_non_null(strstr(text, OTHER));
	assert_non_null(strstr(text, "change its permissions"));
	assert_null(strchr(text, '\n'));
}

/* ---- what SDDL can't say -----------------------------------------------------------------------
 */

struct built {
	SECURITY_DESCRIPTOR sd;
	union {
		ACL acl;
		BYTE bytes[512];
	} u;
};

static void build(struct built *b, BYTE type, BYTE flags, ACCESS_MASK mask, const void *tail,
	size_t tail_len, WORD ace_size)
{
	BYTE *ace = b->u.bytes + sizeof(ACL);

	memset(b, 0, sizeof(*b));
	assert_true(InitializeSecurityDescriptor(&b->sd, SECURITY_DESCRIPTOR_REVISION));
	assert_true(InitializeAcl(&b->u.acl, sizeof(b->u), ACL_REVISION_DS));
	ace[0] = type;
	ace[1] = flags;
	memcpy(ace + 2, &ace_size, 2);
	memcpy(ace + 4, &mask, 4);
	memcpy(ace + 8, tail, tail_len);
	b->u.acl.AceCount = 1;
	assert_true(SetSecurityDescriptorOwner(&b->sd, us, FALSE));
	assert_true(SetSecurityDescriptorDacl(&b->sd, TRUE, &b->u.acl, FALSE));
}

static int judge_built(struct built *b, enum smx_win_kind kind)
{
	struct smx_buf err;
	int r;

	smx_buf_init(&err, 4096);
	r = smx_win_dacl_check(&b->sd, us, kind, "C:\\x", &err);
	smx_buf_release(&err);
	return r;
}

/* An object entry whose flags say that no GUID stands before the SID, which is ours. */
static void S3_object_entries_fail_closed(void **state)
{
	BYTE tail[4 + SECURITY_MAX_SID_SIZE] = { 0 };
	DWORD n = GetLengthSid(us);
	struct built b;

	(void)state;
	memcpy(tail + 4, us, n);
	for (BYTE type = 5; type <= 11; type = (BYTE)(type + 6)) { /* plain, callback */
		build(&b, type, 0, FILE_WRITE_DATA, tail, 4 + n, (WORD)(12 + n));
		assert_int_equal(judge_built(&b, SMX_WIN_FILE), SMX_EUNSAFE);
		build(&b, type, 0, GENERIC_ALL, tail, 4 + n, (WORD)(12 + n));
		assert_int_equal(judge_built(&b, SMX_WIN_DIR), SMX_EUNSAFE);
		/* With no dangerous right in it there is nothing to guess. */
		build(&b, type, 0, FILE_READ_ATTRIBUTES, tail, 4 + n, (WORD)(12 + n));
		assert_int_equal(judge_built(&b, SMX_WIN_HOST_KEY), 0);
		build(&b, type, 0, FILE_READ_DATA, tail, 4 + n, (WORD)(12 + n));
		assert_int_equal(judge_built(&b, SMX_WIN_FILE), 0);
		assert_int_equal(judge_built(&b, SMX_WIN_HOST_KEY), SMX_EUNSAFE);
	}
	build(&b, 6, 0, GENERIC_ALL, tail, 4 + n, (WORD)(12 + n)); /* object deny */
	assert_int_equal(judge_built(&b, SMX_WIN_FILE), 0);
}

static void S3_unknown_kinds_fail_closed(void **state)
{
	DWORD n = GetLengthSid(us);
	struct built b;

	(void)state;
	for (unsigned type = 0x0d; type < 0x40; type++) {
		build(&b, (BYTE)type, 0, WRITE_DAC, us, n, (WORD)(8 + n));
		assert_int_equal(judge_built(&b, SMX_WIN_FILE), SMX_EUNSAFE);
	}
	build(&b, 4, 0, WRITE_DAC, us, n, (WORD)(8 + n)); /* compound */
	assert_int_equal(judge_built(&b, SMX_WIN_FILE), SMX_EUNSAFE);
	build(&b, 9, 0, GENERIC_ALL, us, n, (WORD)(8 + n)); /* conditional, for ourselves */
	assert_int_equal(judge_built(&b, SMX_WIN_FILE), 0);
}

static void S3_entries_cut_short_fail_closed(void **state)
{
	DWORD n = GetLengthSid(us);
	struct built b;

	(void)state;
	/* The SID says more parts than fit into the entry. */
	build(&b, 0, 0, FILE_WRITE_DATA, us, n, (WORD)(8 + n - 4));
	assert_int_equal(judge_built(&b, SMX_WIN_FILE), SMX_EUNSAFE);
	build(&b, 0, 0, FILE_WRITE_DATA, us, n, 8);
	assert_int_equal(judge_built(&b, SMX_WIN_FILE), SMX_EUNSAFE);
	build(&b, 0, 0, FILE_WRITE_DATA, us, n, 4);
	assert_int_equal(judge_built(&b, SMX_WIN_FILE), SMX_EUNSAFE);
	/* The list says more entries than there are. */
	build(&b, 0, 0, FILE_READ_ATTRIBUTES, us, n, (WORD)(8 + n));
	b.u.acl.AceCount = 200;
	assert_int_equal(judge_built(&b, SMX_WIN_FILE), SMX_EUNSAFE);
	b.u.acl.AceCount = 2;
	b.u.acl.AclSize = (WORD)(sizeof(ACL) + 8 + n);
	assert_int_equal(judge_built(&b, SMX_WIN_FILE), SMX_EUNSAFE);
}

/* Every entry holds for the directory itself and goes to the files and directories below it. */
static void expect_heirs(PSECURITY_DESCRIPTOR sd)
{
	BOOL is_there, is_default;
	PACL dacl = NULL;
	void *ace;

	assert_true(GetSecurityDescriptorDacl(sd, &is_there, &dacl, &is_default) && dacl);
	assert_int_equal(dacl->AceCount, 3);
	for (DWORD i = 0; i < dacl->AceCount; i++) {
		assert_true(GetAce(dacl, i, &ace));
		assert_int_equal(
			((ACE_HEADER *)ace)->AceFlags, OBJECT_INHERIT_ACE | CONTAINER_INHERIT_ACE);
	}
}

/* S3, S6: what we ask for when we make something passes our own judge, and holds our SID. */
static void S3_S6_our_own_descriptors(void **state)
{
	PSECURITY_DESCRIPTOR sd;
	struct smx_buf err;
	PSID me;

	(void)state;
	assert_int_equal(smx_win_user_sid(&me), 0);
	smx_buf_init(&err, 4096);
	assert_int_equal(smx_win_private_sd(0, &sd), 0);
	for (size_t i = 0; i < SMX_ARRAY_LEN(kinds); i++)
		assert_int_equal(smx_win_dacl_check(sd, me, kinds[i], "x", &err), 0);
	(void)LocalFree(sd);
	assert_int_equal(smx_win_private_sd(1, &sd), 0);
	assert_int_equal(smx_win_dacl_check(sd, me, SMX_WIN_FILE, "x", &err), 0);
	assert_int_equal(smx_win_dacl_check(sd, me, SMX_WIN_HOST_KEY, "x", &err), SMX_EUNSAFE);
	(void)LocalFree(sd);
	assert_int_equal(smx_win_private_sd_of_dir(&sd), 0);
	assert_int_equal(smx_win_dacl_check(sd, me, SMX_WIN_DIR, "x", &err), 0);
	expect_heirs(sd);
	(void)LocalFree(sd);
	assert_int_equal(smx_win_private_sd_of_pipe(&sd), 0);
	assert_int_equal(smx_win_dacl_check(sd, me, SMX_WIN_TOKEN, "x", &err), 0);
	(void)LocalFree(sd);
	smx_buf_release(&err);
	smx_free(me);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(S3_owner),
		cmocka_unit_test(S3_trusted_may_do_everything),
		cmocka_unit_test(S3_each_right_of_each_foreign_account),
		cmocka_unit_test(S3_what_everybody_may_read),
		cmocka_unit_test(S3_null_and_empty_dacl),
		cmocka_unit_test(S3_deny_entries_are_not_counted_on),
		cmocka_unit_test(S3_inherited_and_inherit_only),
		cmocka_unit_test(S3_text_names_account_and_right),
		cmocka_unit_test(S3_object_entries_fail_closed),
		cmocka_unit_test(S3_unknown_kinds_fail_closed),
		cmocka_unit_test(S3_entries_cut_short_fail_closed),
		cmocka_unit_test(S3_S6_our_own_descriptors),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
