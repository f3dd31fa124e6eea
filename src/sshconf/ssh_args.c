/* SPDX-License-Identifier: MIT */
#include "sshconf/ssh_args.h"

#include <string.h>
#include <strings.h>

/* Options that take a word; those of the other letters take none. */
#define WITH_WORD "BbcDEeFIiJLlmOoPpQRSWw"

/* "BatchMode=yes", "batchmode yes" */
int smx_ssh_args_batch_mode(const char *option)
{
	static const char name[] = "BatchMode";
	const char *s = option + strspn(option, " \t");

	if (strncasecmp(s, name, sizeof(name) - 1) != 0)
		return -1;
	s += sizeof(name) - 1;
	if (*s != '=' && *s != ' ' && *s != '\t')
		return -1;
	s += strspn(s, " \t");
	s += *s == '=';
	s += strspn(s, " \t");
	s += *s == '"';
	return strncasecmp(s, "yes", 3) == 0 || strncasecmp(s, "true", 4) == 0;
}

static void read_option(const char *word, struct smx_ssh_args *ret)
{
	int is_batch = ret->has_batch ? -1 : smx_ssh_args_batch_mode(word);

	if (is_batch < 0)
		return;
	ret->has_batch = 1;
	ret->is_batch = is_batch;
}

static void read_target(const char *word, struct smx_ssh_args *ret)
{
	const char *colon = strrchr(word, ':'), *host = word, *end = colon;
	uint32_t port = 0;

	if (!colon)
		return;
	if (*host == '[') {
		if (end == host || end[-1] != ']')
			return;
		host++;
		end--;
	}
	for (const char *c = colon + 1; *c; c++) {
		if (*c < '0' || *c > '9' || port > UINT16_MAX)
			return;
		port = port * 10 + (uint32_t)(*c - '0');
	}
	if (end <= host || port == 0 || port > UINT16_MAX)
		return;
	ret->stdio_host_view = smx_view_of(host, (size_t)(end - host));
	ret->stdio_port = port;
}

/* An argument that begins with '-'; *at is moved behind a word that it takes. */
static void read_options(
	const char *arg, const char *end, const char **at, struct smx_ssh_args *ret)
{
	for (const char *c = arg + 1; *c; c++) {
		const char *word = c + 1;

		if (*c == 'f')
			ret->is_background = 1;
		if (!strchr(WITH_WORD, *c))
			continue;
		if (!*word) {
			if ((word = *at) >= end)
				return;
			*at += strlen(word) + 1;
		}
		if (*c == 'W')
			read_target(word, ret);
		else if (*c == 'o')
			read_option(word, ret);
		else if (strchr("LRD", *c))
			ret->has_forwards = 1;
		return;
	}
}

void smx_ssh_args_read(struct smx_view args, struct smx_ssh_args *ret)
{
	const char *at = (const char *)args.p, *end = at + args.len;
	int n_plain = 0;

	*ret = (struct smx_ssh_args){ .stdio_port = 0 };
	if (args.len == 0 || args.p[args.len - 1] != '\0')
		return;
	at += strlen(at) + 1;
	/* Options may come behind the host as well, but not behind the command. */
	while (at < end && n_plain < 2) {
		const char *arg = at;

		at += strlen(at) + 1;
		if (strcmp(arg, "--") == 0)
			break;
		if (arg[0] != '-' || !arg[1])
			n_plain++;
		else
			read_options(arg, end, &at, ret);
	}
}
