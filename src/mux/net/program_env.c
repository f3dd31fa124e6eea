/* SPDX-License-Identifier: MIT */
#include "mux/net/program_env.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/mem.h"

/* What such programs need to find their accounts, and nothing that makes them load something. */
static int is_passed(const char *name)
{
	static const char *const names[] = { "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR",
		"TMP", "TEMP", "LANG", "LANGUAGE", "TZ", "SSH_AUTH_SOCK", "DISPLAY",
		"WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "KRB5CCNAME", "http_proxy",
		"https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY",
		"NO_PROXY", "SystemRoot", "SystemDrive", "windir", "ComSpec", "PATHEXT",
		"ProgramData", "ProgramFiles", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "USERNAME",
		"HOMEDRIVE", "HOMEPATH", "Path" };
	static const char *const begins[] = { "LC_", "XDG_", "AWS_", "CLOUDSDK_", "TUNNEL_",
		"AZURE_" };

	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return 1;
	}
	for (size_t i = 0; i < SMX_ARRAY_LEN(begins); i++) {
		if (strncmp(name, begins[i], strlen(begins[i])) == 0)
			return 1;
	}
	return 0;
}

void program_env_free(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		smx_free(words[i]);
	smx_free(words);
}

static char *pair(const char *name, const char *value)
{
	size_t size = strlen(name) + strlen(value) + 2;
	char *text = smx_malloc(size);

	if (text)
		(void)snprintf(text, size, "%s=%s", name, value);
	return text;
}

char **program_env_new(void)
{
	uv_env_item_t *items;
	int n, n_words = 0;
	char **words;

	if (uv_os_environ(&items, &n) != 0)
		return NULL;
	words = smx_calloc((size_t)n + 1, sizeof(*words));
	for (int i = 0; words && i < n; i++) {
		if (!is_passed(items[i].name))
			continue;
		if (!(words[n_words] = pair(items[i].name, items[i].value))) {
			program_env_free(words);
			words = NULL;
			break;
		}
		n_words++;
	}
	uv_os_free_environ(items, n);
	return words;
}
