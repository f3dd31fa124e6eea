/* SPDX-License-Identifier: MIT */
#include "config/ssh_args.h"

#include <string.h>

#include "base/err.h"

/* Options that take a word; those of the other letters take none. */
#define WITH_WORD "BbcDEeFIiJLlmOoPpQRSWw"

static int read_target(const char *word, struct smx_view *ret_host_view, uint32_t *ret_port)
{
	const char *colon = strrchr(word, ':'), *host = word, *end = colon;
	uint32_t port = 0;

	if (!colon)
		return SMX_ENOTFOUND;
	if (*host == '[') {
		if (end == host || end[-1] != ']')
			return SMX_ENOTFOUND;
		host++;
		end--;
	}
	for (const char *c = colon + 1; *c; c++) {
		if (*c < '0' || *c > '9' || port > UINT16_MAX)
			return SMX_ENOTFOUND;
		port = port * 10 + (uint32_t)(*c - '0');
	}
	if (end <= host || port == 0 || port > UINT16_MAX)
		return SMX_ENOTFOUND;
	*ret_host_view = smx_view_of(host, (size_t)(end - host));
	*ret_port = port;
	return 0;
}

/* The word of -W in an argument that begins with '-', or NULL; *at is moved behind a word of it. */
static const char *find_target(const char *arg, const char *end, const char **at)
{
	for (const char *c = arg + 1; *c; c++) {
		const char *word = c + 1;

		if (!strchr(WITH_WORD, *c))
			continue;
		if (!*word) {
			if ((word = *at) >= end)
				return NULL;
			*at += strlen(word) + 1;
		}
		return *c == 'W' ? word : NULL;
	}
	return NULL;
}

int smx_ssh_args_stdio_forward(
	struct smx_view args, struct smx_view *ret_host_view, uint32_t *ret_port)
{
	const char *at = (const char *)args.p, *end = at + args.len, *word;
	int n_plain = 0;

	if (args.len == 0 || args.p[args.len - 1] != '\0')
		return SMX_ENOTFOUND;
	at += strlen(at) + 1;
	/* Options may come behind the host as well, but not behind the command. */
	while (at < end && n_plain < 2) {
		const char *arg = at;

		at += strlen(at) + 1;
		if (strcmp(arg, "--") == 0)
			break;
		if (arg[0] != '-' || !arg[1])
			n_plain++;
		else if ((word = find_target(arg, end, &at)))
			return read_target(word, ret_host_view, ret_port);
	}
	return SMX_ENOTFOUND;
}
