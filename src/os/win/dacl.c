/* SPDX-License-Identifier: MIT */
#include "os/win/dacl.h"

#include <aclapi.h>
#include <sddl.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* Whoever has one of these can change what is there, or let himself do so. */
#define CHANGES                                                                                \
	(FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_WRITE_EA | FILE_WRITE_ATTRIBUTES | DELETE | \
		WRITE_DAC | WRITE_OWNER | GENERIC_WRITE | GENERIC_ALL | MAXIMUM_ALLOWED)
#define READS (FILE_READ_DATA | GENERIC_READ)

/* Of the entries that can stand in a DACL; names of later systems are spelled out. */
#define ACE_ALLOWED             0x00
#define ACE_DENIED              0x01
#define ACE_DENIED_OBJECT       0x06
#define ACE_ALLOWED_CALLBACK    0x09
#define ACE_DENIED_CALLBACK     0x0a
#define ACE_DENIED_CALLBACK_OBJ 0x0c

static const ACCESS_MASK dangerous[] = {
	[SMX_WIN_FILE] = CHANGES,
	[SMX_WIN_DIR] = CHANGES | FILE_DELETE_CHILD,
	[SMX_WIN_HOST_KEY] = CHANGES | READS,
	[SMX_WIN_TOKEN] = CHANGES | READS,
};

static const struct {
	ACCESS_MASK right;
	const char *name;
} names[] = {
	{ GENERIC_ALL, "full access" },
	{ WRITE_DAC, "change its permissions" },
	{ WRITE_OWNER, "take it over" },
	{ DELETE, "delete it" },
	{ FILE_DELETE_CHILD, "delete what is in it" },
	{ CHANGES, "write to it" },
	{ READS, "read it" },
};

static const char *right_name(ACCESS_MASK rights)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (rights & names[i].right)
			return names[i].name;
	return "use it";
}

static void say_sid(PSID sid, char *out, size_t size)
{
	wchar_t name[256], domain[256], *text = NULL;
	DWORD n = 256, m = 256;
	SID_NAME_USE use;

	out[0] = '\0';
	if (LookupAccountSidW(NULL, sid, name, &n, domain, &m, &use)) {
		(void)snprintf(out, size, "%ls%s%ls", domain, domain[0] ? "\\" : "", name);
	} else if (ConvertSidToStringSidW(sid, &text)) {
		(void)snprintf(out, size, "%ls", text);
		(void)LocalFree(text);
	}
	if (out[0] == '\0')
		(void)snprintf(out, size, "an account without a name");
}

static int is_trusted(PSID sid, PSID user)
{
	return EqualSid(sid, user) || IsWellKnownSid(sid, WinLocalSystemSid) ||
	       IsWellKnownSid(sid, WinBuiltinAdministratorsSid);
}

/* The SID of an entry whose fixed part is a header and a mask; NULL: it does not fit. */
static PSID sid_of(const ACE_HEADER *ace)
{
	const size_t at = offsetof(ACCESS_ALLOWED_ACE, SidStart);
	size_t room;
	BYTE *sid;

	if (ace->AceSize < at + 8)
		return NULL;
	room = ace->AceSize - at;
	sid = (BYTE *)(uintptr_t)ace + at;
	/* Revision, number of parts, six bytes of authority, four bytes a part. */
	if (sid[0] != SID_REVISION || sid[1] > SID_MAX_SUB_AUTHORITIES ||
		room < 8 + 4 * (size_t)sid[1])
		return NULL;
	return sid;
}

static int refuse(struct smx_buf *err, const char *path, const char *why)
{
	smx_win_say(err, "the permissions of %s %s; take them off in its Properties, Security",
		path, why);
	return SMX_EUNSAFE;
}

static int check_ace(const ACE_HEADER *ace, PSID user, enum smx_win_kind kind, const char *path,
	struct smx_buf *err)
{
	char who[600], why[900];
	ACCESS_MASK rights;
	PSID sid;

	if (ace->AceFlags & INHERIT_ONLY_ACE)
		return 0;
	switch (ace->AceType) {
	case ACE_DENIED:
	case ACE_DENIED_OBJECT:
	case ACE_DENIED_CALLBACK:
	case ACE_DENIED_CALLBACK_OBJ:
		return 0; /* takes away, and is not counted on */
	default:
		break;
	}
	if (ace->AceSize < offsetof(ACCESS_ALLOWED_ACE, SidStart))
		return refuse(err, path, "have an entry that is cut short");
	rights = ((const ACCESS_ALLOWED_ACE *)ace)->Mask & dangerous[kind];
	if (rights == 0)
		return 0;
	if (ace->AceType != ACE_ALLOWED && ace->AceType != ACE_ALLOWED_CALLBACK)
		return refuse(err, path, "have an entry of a kind that can't be judged");
	if ((sid = sid_of(ace)) == NULL)
		return refuse(err, path, "have an entry that is cut short");
	if (is_trusted(sid, user) || IsWellKnownSid(sid, WinCreatorOwnerRightsSid))
		return 0;
	say_sid(sid, who, sizeof(who));
	(void)snprintf(why, sizeof(why), "allow %s to %s", who, right_name(rights));
	return refuse(err, path, why);
}

int smx_win_dacl_check(PSECURITY_DESCRIPTOR sd, PSID user, enum smx_win_kind kind, const char *path,
	struct smx_buf *err)
{
	ACL_SIZE_INFORMATION size;
	BOOL is_there, is_default;
	PSID owner = NULL;
	char who[600];
	PACL dacl;
	int r;

	if (!sd || !IsValidSecurityDescriptor(sd))
		return refuse(err, path, "can't be read");
	if (!GetSecurityDescriptorOwner(sd, &owner, &is_default) || !owner || !IsValidSid(owner))
		return refuse(err, path, "name no owner");
	if (!is_trusted(owner, user)) {
		say_sid(owner, who, sizeof(who));
		smx_win_say(err,
			"%s belongs to %s, who is neither you nor an administrator; "
			"make it yours, or use another",
			path, who);
		return SMX_EUNSAFE;
	}
	if (!GetSecurityDescriptorDacl(sd, &is_there, &dacl, &is_default))
		return refuse(err, path, "can't be read");
	if (!is_there || !dacl)
		return refuse(err, path, "are none at all: everybody may do everything");
	if (!IsValidAcl(dacl) || !GetAclInformation(dacl, &size, sizeof(size), AclSizeInformation))
		return refuse(err, path, "can't be read");
	for (DWORD i = 0; i < size.AceCount; i++) {
		void *ace;

		if (!GetAce(dacl, i, &ace))
			return refuse(err, path, "can't be read to their end");
		if ((r = check_ace(ace, user, kind, path, err)) != 0)
			return r;
	}
	return 0;
}

int smx_win_dacl_check_handle(
	HANDLE h, enum smx_win_kind kind, const char *path, struct smx_buf *err)
{
	PSECURITY_DESCRIPTOR sd = NULL;
	PSID user, owner;
	PACL dacl;
	DWORD e;
	int r;

	if ((r = smx_win_user_sid(&user)) != 0) {
		smx_win_say(err, "the system does not tell who you are");
		return r;
	}
	e = GetSecurityInfo(h, SE_FILE_OBJECT,
		OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION, &owner, NULL, &dacl, NULL,
		&sd);
	if (e != ERROR_SUCCESS) {
		(void)smx_win_fail(err, "cannot read the permissions of", path, e);
		r = SMX_EUNSAFE;
	} else {
		r = smx_win_dacl_check(sd, user, kind, path, err);
	}
	(void)LocalFree(sd);
	smx_free(user);
	return r;
}

int smx_win_pipe_is_trusted(HANDLE h)
{
	PSECURITY_DESCRIPTOR sd = NULL;
	PSID owner = NULL, user = NULL;
	int trusted = GetSecurityInfo(h, SE_KERNEL_OBJECT, OWNER_SECURITY_INFORMATION, &owner, NULL,
			      NULL, NULL, &sd) == ERROR_SUCCESS &&
		      owner && smx_win_user_sid(&user) == 0 && is_trusted(owner, user);

	smx_free(user);
	(void)LocalFree(sd);
	return trusted;
}

int smx_win_user_sid(PSID *ret)
{
	HANDLE token;
	DWORD n = 0;
	TOKEN_USER *user = NULL;
	PSID sid = NULL;
	int r = SMX_ESYS;

	if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
		return SMX_ESYS;
	(void)GetTokenInformation(token, TokenUser, NULL, 0, &n);
	if (n == 0 || n > 4096)
		goto out;
	if ((user = smx_malloc(n)) == NULL) {
		r = SMX_ENOMEM;
		goto out;
	}
	if (!GetTokenInformation(token, TokenUser, user, n, &n) || !IsValidSid(user->User.Sid))
		goto out;
	n = GetLengthSid(user->User.Sid);
	if ((sid = smx_malloc(n)) == NULL) {
		r = SMX_ENOMEM;
		goto out;
	}
	if (!CopySid(n, sid, user->User.Sid)) {
		smx_free(sid);
		goto out;
	}
	*ret = sid;
	r = 0;
out:
	smx_free(user);
	(void)CloseHandle(token);
	return r;
}

int smx_win_user_sid_text(char **ret)
{
	wchar_t *wide;
	PSID sid;
	int r;

	if ((r = smx_win_user_sid(&sid)) != 0)
		return r;
	if (!ConvertSidToStringSidW(sid, &wide)) {
		smx_free(sid);
		return SMX_ESYS;
	}
	r = smx_win_utf8(wide, ret);
	(void)LocalFree(wide);
	smx_free(sid);
	return r;
}

/* form: SDDL with our SID for each %hs of two. */
static int sd_of(const wchar_t *form, PSECURITY_DESCRIPTOR *ret)
{
	wchar_t text[512];
	char *sid;
	int n, r;

	if ((r = smx_win_user_sid_text(&sid)) != 0)
		return r;
	n = swprintf(text, sizeof(text) / sizeof(text[0]), form, sid, sid);
	smx_free(sid);
	if (n < 0 || !ConvertStringSecurityDescriptorToSecurityDescriptorW(
			     text, SDDL_REVISION_1, ret, NULL))
		return SMX_ESYS;
	return 0;
}

int smx_win_private_sd(int is_readable, PSECURITY_DESCRIPTOR *ret)
{
	return sd_of(is_readable ? L"O:%hsD:P(A;;FA;;;%hs)(A;;FA;;;SY)(A;;FA;;;BA)(A;;FR;;;WD)"
				 : L"O:%hsD:P(A;;FA;;;%hs)(A;;FA;;;SY)(A;;FA;;;BA)",
		ret);
}

int smx_win_private_sd_of_dir(PSECURITY_DESCRIPTOR *ret)
{
	/* With nothing to inherit, what ssh or an editor makes in it would get the default of their
	 * token: readable for the whole logon session, or (elevated) not even for us. */
	return sd_of(L"O:%hsD:P(A;OICI;FA;;;%hs)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", ret);
}

int smx_win_private_sd_of_pipe(PSECURITY_DESCRIPTOR *ret)
{
	return sd_of(L"O:%hsD:P(A;;GA;;;%hs)", ret);
}
