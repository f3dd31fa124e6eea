/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/process.h"

#define MESSAGE_MAX 8192

static const struct smx_command *const commands[] = {
	&smx_cmd_install,
	&smx_cmd_uninstall,
	&smx_cmd_import_config,
	&smx_cmd_setup_config,
	&smx_cmd_check_config,
	&smx_cmd_doctor,
	&smx_cmd_serve,
	&smx_cmd_daemon,
	&smx_cmd_connect,
	&smx_cmd_login,
	&smx_cmd_proxy,
	&smx_cmd_status,
	&smx_cmd_top,
	&smx_cmd_lock,
	&smx_cmd_unlock,
	&smx_cmd_stop,
};

/* Run by programs, and not listed. */
static const struct smx_command *const internal[] = {
	&smx_cmd_routes,
	&smx_cmd_prompt,
	&smx_cmd_helper,
};

static void print_version(void)
{
	printf("ssh-mux %s\n", SMX_VERSION);
}

/* Results that did not reach the reader are no success. */
static int flushed(int code)
{
	if (code == SMX_EXIT_OK && (fflush(stdout) != 0 || ferror(stdout)))
		return smx_cli_fail(SMX_EXIT_IOERR, NULL, "cannot write to the standard output");
	return code;
}

static int run_command(const struct smx_command *cmd, int argc, char **argv)
{
	if (cmd->hears_secrets)
		(void)smx_os_disable_core_dumps();
	return flushed(cmd->run(argc, argv));
}

/* ---- complaints --------------------------------------------------------------------------------
 */

/* Names come from the command line and from files: one line, whatever is in them. */
static void complain(const char *prefix, const char *text, const char *remedy)
{
	char raw[MESSAGE_MAX + 1024], line[MESSAGE_MAX + 1026];

	(void)snprintf(raw, sizeof(raw), "ssh-mux: %s%s%s%s", prefix, text, remedy ? "; " : "",
		remedy ? remedy : "");
	for (char *s = raw; *s; s++)
		if ((unsigned char)*s < 0x20)
			*s = '?';
	smx_sanitize(raw, strlen(raw), line, sizeof(line) - 1);
	(void)fflush(stdout);
	/* In one piece, newline included: others write there too. */
	(void)snprintf(line + strlen(line), 2, "\n");
	(void)fputs(line, stderr);
}

int smx_cli_fail(enum smx_exit code, const char *remedy, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	complain("", text, remedy);
	return code;
}

void smx_cli_warn(const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	complain("warning: ", text, NULL);
}

enum smx_exit smx_cli_exit_code(int err)
{
	switch (err) {
	case 0:
		return SMX_EXIT_OK;
	case SMX_ENOTFOUND:
		return SMX_EXIT_NOINPUT;
	case SMX_EEXISTS:
	case SMX_ETIMEOUT:
	case SMX_EEOF:
		return SMX_EXIT_UNAVAILABLE;
	case SMX_EUNSAFE:
	case SMX_EDENIED:
		return SMX_EXIT_NOPERM;
	case SMX_EINVAL:
		return SMX_EXIT_USAGE;
	case SMX_ESYNTAX:
	case SMX_ELIMIT:
	case SMX_EUNSUPPORTED:
		return SMX_EXIT_CONFIG;
	case SMX_ENOMEM:
	case SMX_ESYS:
		return SMX_EXIT_OSERR;
	default:
		return smx_errclass(err) == SMX_CLASS_PEER ? SMX_EXIT_PROTOCOL : SMX_EXIT_SOFTWARE;
	}
}

/* ---- the nearest name --------------------------------------------------------------------------
 */

#define WORD_MAX 32

/* Edit distance with swaps of neighbours, as typists make them; WORD_MAX for what is too long. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1], n = strlen(a), m = strlen(b);
	size_t *before = rows[0], *last = rows[1], *now = rows[2], *spare;

	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (size_t k = 0; k <= m; k++)
		before[k] = last[k] = k;
	for (size_t i = 1; i <= n; i++) {
		now[0] = i;
		for (size_t k = 1; k <= m; k++) {
			size_t d = last[k - 1] + (a[i - 1] != b[k - 1]);

			if (last[k] + 1 < d)
				d = last[k] + 1;
			if (now[k - 1] + 1 < d)
				d = now[k - 1] + 1;
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
				before[k - 2] + 1 < d)
				d = before[k - 2] + 1;
			now[k] = d;
		}
		spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[m];
}

const char *smx_cli_nearest(const char *word, const char *const *names, size_t count)
{
	size_t best = WORD_MAX, len = strlen(word), limit = len < 4 ? 1 : len < 8 ? 2 : 3;
	const char *found = NULL;

	for (size_t i = 0; i < count; i++) {
		size_t d = distance(word, names[i]);

		/* An abbreviation is as good as a typo. */
		if (d > limit && len >= 2 && strncmp(word, names[i], len) == 0)
			d = limit;
		if (d <= limit && d < best) {
			best = d;
			found = names[i];
		}
	}
	return found;
}

/* ---- options -----------------------------------------------------------------------------------
 */

#define OPTIONS_MAX 32

static int unknown_option(
	const char *word, const struct option *options, const struct smx_command *cmd)
{
	const char *names[OPTIONS_MAX], *near;
	char bare[WORD_MAX + 1], remedy[128];
	size_t count = 0, n;

	for (; options->name && count < OPTIONS_MAX; options++)
		names[count++] = options->name;
	n = strcspn(word + strspn(word, "-"), "=");
	(void)snprintf(bare, sizeof(bare), "%.*s", (int)(n < WORD_MAX ? n : WORD_MAX),
		word + strspn(word, "-"));
	near = word[1] == '-' ? smx_cli_nearest(bare, names, count) : NULL;
	if (near)
		(void)snprintf(remedy, sizeof(remedy), "did you mean --%s?", near);
	else
		(void)snprintf(remedy, sizeof(remedy), "see: ssh-mux %s --help", cmd->name);
	return smx_cli_fail(SMX_EXIT_USAGE, remedy, "%s: unknown option %.*s", cmd->name,
		(int)strcspn(word, "="), word);
}

/* What getopt stumbled over: optopt is the letter, or the val of a long option, or 0. */
static int bad_option(int missing, int at, char **argv, const struct option *options,
	const struct smx_command *cmd)
{
	const char *word = argv[at];
	char letter[3] = { '-', (char)optopt, '\0' };

	if (missing || (optopt != 0 && word[0] == '-' && word[1] == '-')) {
		/* A value that is missing, or one where there may be none. */
		return smx_cli_fail(SMX_EXIT_USAGE, NULL,
			missing ? "%s: the option %.*s needs a value"
				: "%s: the option %.*s takes no value",
			cmd->name, (int)strcspn(word, "="), word);
	}
	if (optopt != 0)
		return unknown_option(letter, options, cmd);
	return unknown_option(word, options, cmd);
}

int smx_cli_getopt(int argc, char **argv, const char *shorts, const struct option *options,
	const struct smx_command *cmd, int *ret_exit)
{
	int at = optind > 0 ? optind : 1, c;

	opterr = 0;
	c = getopt_long(argc, argv, shorts, options, NULL);
	switch (c) {
	case 'h':
		printf("%s", cmd->usage);
		*ret_exit = flushed(SMX_EXIT_OK);
		return -2;
	case 'V':
		print_version();
		*ret_exit = flushed(SMX_EXIT_OK);
		return -2;
	case '?':
	case ':':
		*ret_exit = bad_option(c == ':', at, argv, options, cmd);
		return -2;
	default:
		return c;
	}
}

int smx_cli_no_arguments(int argc, char **argv, const struct smx_command *cmd)
{
	char remedy[64];

	if (optind >= argc)
		return SMX_EXIT_OK;
	(void)snprintf(remedy, sizeof(remedy), "see: ssh-mux %s --help", cmd->name);
	return smx_cli_fail(
		SMX_EXIT_USAGE, remedy, "%s: unexpected argument %s", cmd->name, argv[optind]);
}

int smx_cli_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (text[0] == '\0')
		return SMX_EINVAL;
	for (const char *s = text; *s; s++) {
		uint64_t digit = (uint64_t)(*s - '0');

		if (*s < '0' || *s > '9' || v > (UINT64_MAX - digit) / 10)
			return SMX_EINVAL;
		v = v * 10 + digit;
	}
	if (v < min || v > max)
		return SMX_EINVAL;
	*ret = v;
	return 0;
}

/* ---- picking a command -------------------------------------------------------------------------
 */

static void print_usage(FILE *to)
{
	fprintf(to, "usage: ssh-mux COMMAND [OPTION]...\n"
		    "\n"
		    "One login per server, shared by every SSH client on this machine.\n"
		    "\n"
		    "commands:\n");
	for (size_t i = 0; i < SMX_ARRAY_LEN(commands); i++)
		fprintf(to, "  %-13s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(to, "\n"
		    "  -h, --help     show this text; ssh-mux COMMAND --help: a command's\n"
		    "  -V, --version  show the version\n");
}

static int unknown_command(const char *word)
{
	const char *names[SMX_ARRAY_LEN(commands)], *near;
	char remedy[128];

	for (size_t i = 0; i < SMX_ARRAY_LEN(commands); i++)
		names[i] = commands[i]->name;
	near = smx_cli_nearest(word, names, SMX_ARRAY_LEN(names));
	if (near)
		(void)snprintf(remedy, sizeof(remedy), "did you mean: ssh-mux %s", near);
	else
		(void)snprintf(remedy, sizeof(remedy), "see: ssh-mux --help");
	return smx_cli_fail(SMX_EXIT_USAGE, remedy, "unknown command %s", word);
}

int smx_cli_main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;

	if (!word) {
		print_usage(stderr);
		return SMX_EXIT_USAGE;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
		print_usage(stdout);
		return flushed(SMX_EXIT_OK);
	}
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		print_version();
		return flushed(SMX_EXIT_OK);
	}
	for (size_t i = 0; i < SMX_ARRAY_LEN(commands); i++)
		if (strcmp(commands[i]->name, word) == 0)
			return run_command(commands[i], argc - 1, argv + 1);
	for (size_t i = 0; i < SMX_ARRAY_LEN(internal); i++)
		if (strcmp(internal[i]->name, word) == 0)
			return run_command(internal[i], argc - 1, argv + 1);
	if (word[0] == '-')
		return smx_cli_fail(SMX_EXIT_USAGE, "see: ssh-mux --help",
			"unknown option %s before the command", word);
	return unknown_command(word);
}
