/* SPDX-License-Identifier: MIT */
/*
 * W7: whether the ssh that runs this program as its ProxyCommand has BatchMode. ssh does not tell,
 * but it replaces its shell by us, so it is our parent, and its command line can be read where the
 * system lets the same user do so. BatchMode in a configuration file is not seen there.
 */
#include "cli/cli.h"

#include <string.h>
#include <strings.h>

#include "os/os.h"

#define ARGS_MAX (256 * 1024)

/* Options of ssh that take a word; those of the other letters take none. */
#define WITH_WORD "BbcDEeFIiJLlmOoPpQRSWw"

/* "BatchMode=yes", "batchmode yes": -1: another option, or the value. */
static int batch_value(const char *option)
{
	static const char name[] = "BatchMode";
	size_t n = sizeof(name) - 1;

	option += strspn(option, " \t");
	if (strncasecmp(option, name, n) != 0 || !strchr("= \t", option[n]) || !option[n])
		return -1;
	option += n;
	option += strspn(option, " \t");
	option += *option == '=';
	option += strspn(option, " \t");
	return strncasecmp(option, "yes", 3) == 0 || strncasecmp(option, "true", 4) == 0;
}

static int is_ssh(const char *program)
{
	const char *slash = strrchr(program, '/');

	return strcmp(slash ? slash + 1 : program, "ssh") == 0;
}

/* The words of one argument that begins with '-'. *at is moved behind a word that it takes. */
static int look_at(const char *arg, const char *end, const char **at)
{
	for (const char *c = arg + 1; *c; c++) {
		const char *word = c + 1;

		if (!strchr(WITH_WORD, *c))
			continue;
		if (!*word) {
			word = *at;
			if (word >= end)
				return -1;
			*at += strlen(word) + 1;
		}
		return *c == 'o' ? batch_value(word) : -1;
	}
	return -1;
}

int smx_cli_args_have_batch(struct smx_view args)
{
	const char *at = (const char *)args.p, *end = at + args.len;
	int n_plain = 0, found;

	if (args.len == 0 || args.p[args.len - 1] != '\0' || !is_ssh(at))
		return 0;
	at += strlen(at) + 1;
	/* Options may come behind the host as well, but not behind the command. */
	while (at < end && n_plain < 2) {
		const char *arg = at;

		at += strlen(at) + 1;
		if (strcmp(arg, "--") == 0)
			break;
		if (arg[0] != '-' || !arg[1]) {
			n_plain++;
			continue;
		}
		if ((found = look_at(arg, end, &at)) >= 0)
			return found; /* the first one counts */
	}
	return 0;
}

int smx_cli_is_batch(void)
{
	struct smx_buf args;
	int is_batch = 0;

	smx_buf_init(&args, ARGS_MAX);
	if (smx_os_parent_args(&args) == 0)
		is_batch = smx_cli_args_have_batch(smx_buf_as_view(&args));
	smx_buf_release(&args);
	return is_batch;
}
