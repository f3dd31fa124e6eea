/* SPDX-License-Identifier: MIT */
#include "config/names.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "trust/pattern.h"

static int is_alnum(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static int is_control(uint8_t c)
{
	return c < 0x20 || c == 0x7f;
}

const char *smx_route_name_fault(struct smx_view name)
{
	if (name.len == 0)
		return "must not be empty";
	if (name.len > SMX_ROUTE_NAME_MAX)
		return "must not be longer than 128 characters";
	if (name.p[0] == '-')
		return "must not start with '-'";
	for (size_t i = 0; i < name.len; i++) {
		if (!is_alnum(name.p[i]) && (!name.p[i] || !strchr("._-", name.p[i])))
			return "may only have letters, digits, '.', '_' and '-'";
	}
	return NULL;
}

/* What hosts and users have in common; NULL if there is nothing to say. */
static const char *common_fault(struct smx_view v)
{
	if (v.len == 0)
		return "must not be empty";
	if (v.len > SMX_HOST_MAX)
		return "must not be longer than 255 bytes";
	if (v.p[0] == '-')
		return "must not start with '-'";
	for (size_t i = 0; i < v.len; i++) {
		if (is_control(v.p[i]))
			return "must not have control characters";
	}
	if (v.p[0] == ' ' || v.p[v.len - 1] == ' ')
		return "must not start or end with white space";
	return NULL;
}

static size_t count(struct smx_view v, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < v.len; i++)
		n += v.p[i] == (uint8_t)c;
	return n;
}

/*
 * Hosts are a short list of what may be in one rather than of what may not: what OpenSSH refuses is
 * outside it, and so is what known_hosts would read as a pattern, a list or a marker.
 */
const char *smx_host_fault(struct smx_view host)
{
	const char *fault = common_fault(host);

	if (fault)
		return fault;
	if (host.p[0] == '[')
		return "must be written without brackets (the port has a key of its own)";
	for (size_t i = 0; i < host.len; i++) {
		uint8_t c = host.p[i];

		if (c >= 0x80)
			return "must be ASCII; write an international name as \"xn--...\"";
		if (c == '@')
			return "must not have a user in it (the user has a key of its own)";
		if (c == ' ')
			return "must not have white space";
		if (!is_alnum(c) && !strchr(".-_:%", c))
			return "may only have letters, digits, '.', '-', '_', ':' and '%'";
	}
	if (!is_alnum(host.p[0]) && host.p[0] != ':' && host.p[0] != '_')
		return "must start with a letter or a digit";
	if (count(host, ':') == 1)
		return "must not have a port in it (the port has a key of its own)";
	if (count(host, '%') > (count(host, ':') > 0))
		return "may only have '%' before the zone of an IPv6 address";
	return NULL;
}

/* First and last of the characters beyond ASCII that are no part of any name. */
struct range {
	uint32_t first, last;
};

/* Other white space than ASCII's: to a shell or an editor it can end a word. */
static const struct range spaces[] = { { 0x00a0, 0x00a0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200a },
	{ 0x2028, 0x2029 }, { 0x202f, 0x202f }, { 0x205f, 0x205f }, { 0x3000, 0x3000 } };

/* What is not seen, or turns round what is: two names that look alike must be alike. */
static const struct range unseen[] = { { 0x00ad, 0x00ad }, { 0x034f, 0x034f }, { 0x061c, 0x061c },
	{ 0x115f, 0x1160 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f }, { 0x200b, 0x200f },
	{ 0x202a, 0x202e }, { 0x2060, 0x206f }, { 0x3164, 0x3164 }, { 0xfe00, 0xfe0f },
	{ 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb }, { 0x1bca0, 0x1bca3 },
	{ 0x1d173, 0x1d17a }, { 0xe0000, 0xe0fff } };

static int is_in(uint32_t c, const struct range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return 1;
	}
	return 0;
}

/* The fault of what is beyond ASCII, or NULL. */
static const char *unicode_fault(struct smx_view v)
{
	size_t len;
	uint32_t c;

	for (; v.len; v.p += len, v.len -= len) {
		if ((len = smx_utf8_decode(v.p, v.len, &c)) == 0)
			return "must be UTF-8";
		if (c >= 0x80 && c <= 0x9f)
			return "must not have control characters";
		if (is_in(c, spaces, SMX_ARRAY_LEN(spaces)))
			return "must not have white space other than plain blanks";
		if (is_in(c, unseen, SMX_ARRAY_LEN(unseen)))
			return "must not have invisible or directional characters";
	}
	return NULL;
}

const char *smx_user_fault(struct smx_view user)
{
	const char *fault = common_fault(user);

	if (fault)
		return fault;
	for (size_t i = 0; i < user.len; i++) {
		uint8_t c = user.p[i];

		if (strchr("'`\";&<>|(){}$", c))
			return "must not have quotes or shell metacharacters";
		if (c == ' ' && user.p[i + 1] == '-')
			return "must not have a '-' after white space";
	}
	if (user.p[user.len - 1] == '\\')
		return "must not end with '\\'";
	return unicode_fault(user);
}

/*
 * Variables by which a program that merely starts is made to run or load something: of
 * the loader, shells, interpreters, git and the C library; and those that say who and where the
 * user is, which are the remote's to set. Compared without regard to case, as Windows does.
 */
static const char *const never_sent[] = { "LD_*", "DYLD_*", "_RLD*", "LIBPATH", "SHLIB_PATH",
	"PATH", "PATHEXT", "COMSPEC", "PSMODULEPATH", "IFS", "ENV", "BASH_*", "BASHOPTS",
	"SHELLOPTS", "SHELL", "PS0", "PS1", "PS2", "PS3", "PS4", "PROMPT_COMMAND", "CDPATH",
	"GLOBIGNORE", "ZDOTDIR", "FPATH", "FCEDIT", "SSH_*", "SUDO_*", "PYTHON*", "PERL*",
	"NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "NPM_CONFIG_*", "RUBY*", "GEM_*",
	"BUNDLE_*", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "PHPRC",
	"PHP_INI_*", "LUA_*", "TCLLIBPATH", "R_PROFILE*", "R_ENVIRON*", "JULIA_*", "GIT_SSH*",
	"GIT_EXEC_PATH", "GIT_CONFIG*", "GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND",
	"GIT_TEMPLATE_DIR", "GIT_ASKPASS", "GIT_PAGER", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR",
	"LESSOPEN", "LESSCLOSE", "MANPAGER", "VIMINIT", "EXINIT", "VIM", "VIMRUNTIME",
	"EMACSLOADPATH", "TERMINFO*", "TERMCAP", "TERMPATH", "LOCPATH", "NLSPATH", "GCONV_PATH",
	"GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "RESOLV_*", "MALLOC_*",
	"GLIBC_TUNABLES", "OPENSSL_*", "KRB5*", "XDG_*", "DBUS_*", "HOME", "USER", "LOGNAME",
	"MAIL", "TMPDIR", "TEMP", "TMP" };

const char *smx_send_env_fault(struct smx_view name)
{
	if (name.len == 0)
		return "must not be empty";
	if (name.len > SMX_ROUTE_NAME_MAX)
		return "must not be longer than 128 characters";
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.p[i];

		if (c == '*' || c == '?')
			return "must be a whole name; patterns are not supported";
		if (!is_alnum(c) && c != '_')
			return "may only have letters, digits and '_'";
	}
	if (name.p[0] >= '0' && name.p[0] <= '9')
		return "must not start with a digit";
	for (size_t i = 0; i < SMX_ARRAY_LEN(never_sent); i++) {
		const char *p = never_sent[i];

		if (smx_pattern_match(name, smx_view_of(p, strlen(p)), 1))
			return "is never passed on: it can make the remote run or load something";
	}
	return NULL;
}
