/* SPDX-License-Identifier: MIT */
#include "os/path.h"
#include "os/win/win.h"

#include <shlobj.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/err.h"
#include "base/mem.h"

#define SAY_MAX   (2 * SMX_OS_PATH_MAX + 512)
#define TEXT_MAX  (4u << 20) /* UTF-16 units of anything we convert */
#define LONG_FORM L"\\\\?\\"

void smx_win_say(struct smx_buf *err, const char *fmt, ...)
{
	char text[SAY_MAX];
	va_list ap;
	int n;

	if (!err)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		(void)smx_buf_put(
			err, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* The system's own words, in one line. */
static void describe(DWORD code, char *out, size_t size)
{
	wchar_t wide[512];
	char *text = NULL;
	DWORD n;

	n = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS |
				   FORMAT_MESSAGE_MAX_WIDTH_MASK,
		NULL, code, 0, wide, sizeof(wide) / sizeof(wide[0]), NULL);
	while (n > 0 && (wide[n - 1] == L' ' || wide[n - 1] == L'.'))
		wide[--n] = L'\0';
	if (n > 0 && smx_win_utf8(wide, &text) == 0)
		(void)snprintf(out, size, "%s", text);
	else
		(void)snprintf(out, size, "error %lu", (unsigned long)code);
	smx_free(text);
}

int smx_win_fail(struct smx_buf *err, const char *what, const char *path, DWORD code)
{
	char why[1024];

	describe(code, why, sizeof(why));
	smx_win_say(err, "%s %s: %s", what, path, why);
	switch (code) {
	case ERROR_FILE_NOT_FOUND:
	case ERROR_PATH_NOT_FOUND:
	case ERROR_INVALID_DRIVE:
	case ERROR_BAD_NETPATH:
	case ERROR_BAD_NET_NAME:
		return SMX_ENOTFOUND;
	case ERROR_ACCESS_DENIED:
		return SMX_EDENIED;
	case ERROR_NOT_ENOUGH_MEMORY:
	case ERROR_OUTOFMEMORY:
		return SMX_ENOMEM;
	default:
		return SMX_ESYS;
	}
}

int smx_win_wide(const char *text, wchar_t **ret)
{
	size_t len = strlen(text);
	wchar_t *out;
	int n;

	if (len >= TEXT_MAX)
		return SMX_EINVAL;
	n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, (int)len + 1, NULL, 0);
	if (n <= 0)
		return SMX_EINVAL;
	if ((out = smx_malloc((size_t)n * sizeof(*out))) == NULL)
		return SMX_ENOMEM;
	(void)MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, (int)len + 1, out, n);
	*ret = out;
	return 0;
}

int smx_win_utf8(const wchar_t *text, char **ret)
{
	size_t len = wcslen(text);
	char *out;
	int n;

	if (len >= TEXT_MAX)
		return SMX_EINVAL;
	n = WideCharToMultiByte(
		CP_UTF8, WC_ERR_INVALID_CHARS, text, (int)len + 1, NULL, 0, NULL, NULL);
	if (n <= 0)
		return SMX_EINVAL; /* half a surrogate pair: no text can stand for it */
	if ((out = smx_malloc((size_t)n)) == NULL)
		return SMX_ENOMEM;
	(void)WideCharToMultiByte(
		CP_UTF8, WC_ERR_INVALID_CHARS, text, (int)len + 1, out, n, NULL, NULL);
	*ret = out;
	return 0;
}

int smx_win_wide_path(const char *path, wchar_t **ret)
{
	static const wchar_t unc[] = L"\\\\?\\UNC\\";
	const wchar_t *prefix = LONG_FORM;
	wchar_t *plain, *out;
	size_t skip = 0, n;
	int r;

	if (!smx_os_path_is_absolute(path) || strlen(path) >= SMX_OS_PATH_MAX)
		return SMX_EINVAL;
	if ((r = smx_win_wide(path, &plain)) != 0)
		return r;
	for (wchar_t *p = plain; *p; p++)
		if (*p == L'/')
			*p = L'\\';
	if (plain[0] == L'\\') {
		/* Devices and what is in the long form already are no paths of ours. */
		if (plain[2] == L'?' || plain[2] == L'.') {
			smx_free(plain);
			return SMX_EINVAL;
		}
		prefix = unc;
		skip = 2;
	}
	n = wcslen(prefix) + wcslen(plain + skip) + 1;
	if ((out = smx_malloc(n * sizeof(*out))) == NULL) {
		smx_free(plain);
		return SMX_ENOMEM;
	}
	(void)swprintf(out, n, L"%ls%ls", prefix, plain + skip);
	smx_free(plain);
	*ret = out;
	return 0;
}

int smx_win_getenv(const char *name, char **ret)
{
	wchar_t *key, *value = NULL;
	DWORD n, got;
	int r;

	if ((r = smx_win_wide(name, &key)) != 0)
		return r;
	/* "Set, and empty" is no error, and it is not told apart otherwise. */
	SetLastError(ERROR_SUCCESS);
	n = GetEnvironmentVariableW(key, NULL, 0);
	if (n == 0)
		r = GetLastError() == ERROR_ENVVAR_NOT_FOUND ? SMX_ENOTFOUND : 0;
	if (r == 0 && (value = smx_calloc((size_t)n + 1, sizeof(*value))) == NULL)
		r = SMX_ENOMEM;
	if (r == 0 && n > 0) {
		got = GetEnvironmentVariableW(key, value, n);
		if (got >= n)
			r = SMX_ENOTFOUND; /* changed by another thread just now */
	}
	if (r == 0)
		r = smx_win_utf8(value, ret);
	smx_free(value);
	smx_free(key);
	return r;
}

int smx_win_known_folder(const GUID *id, char **ret_path)
{
	wchar_t *wide = NULL;
	char *path;
	int r;

	if (SHGetKnownFolderPath(id, KF_FLAG_DEFAULT, NULL, &wide) != S_OK) {
		CoTaskMemFree(wide);
		return SMX_ENOTFOUND;
	}
	r = smx_win_utf8(wide, &path);
	CoTaskMemFree(wide);
	if (r != 0)
		return r == SMX_EINVAL ? SMX_ENOTFOUND : r;
	r = smx_os_path_absolute(path, ret_path);
	smx_free(path);
	return r;
}
