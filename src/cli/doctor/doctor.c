/* SPDX-License-Identifier: MIT */
/* ssh-mux doctor (B10): everything that has kept somebody from connecting, each with its remedy. */
#include "cli/doctor/doctor.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"
#include "os/start.h"
#include "os/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/color.h"

#define EXIT_FOUND   1 /* the checks ran, and one of them failed */
#define STDOUT       1
#define LEVEL_INDENT 8 /* of what stands behind "  FAIL  " */
#define COLUMNS_MIN  40

/* ---- saying ------------------------------------------------------------------------------------
 */

static const char *const level_names[] = { "ok", "note", "warn", "FAIL" };
static const enum smx_cli_style level_styles[] = { SMX_STYLE_GOOD, SMX_STYLE_NOTE, SMX_STYLE_WARN,
	SMX_STYLE_BAD };

void doctor_area(struct doctor *d, const char *title)
{
	d->area = title;
	d->is_area_new = 1;
}

/* A text that smx_sanitize has seen, so that only these two need an escape. */
static void print_json_string(const char *name, const char *s)
{
	printf("\"%s\":\"", name);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

static void print_json(struct doctor *d, enum doctor_level level, const char *text, const char *fix)
{
	printf("%s{", d->is_first ? "" : ",\n");
	print_json_string("area", d->area);
	putchar(',');
	print_json_string("level", level == DOCTOR_FAIL ? "fail" : level_names[level]);
	putchar(',');
	print_json_string("text", text);
	putchar(',');
	print_json_string("remedy", fix);
	putchar('}');
}

/* Broken between words, so that a long finding stays readable on a terminal. */
static void print_words(const char *text, size_t room)
{
	char word[DOCTOR_TEXT_MAX];
	size_t used = 0, width, n;

	for (; *text; text += n + strspn(text + n, " ")) {
		n = strcspn(text, " ");
		(void)snprintf(word, sizeof(word), "%.*s", (int)n, text);
		width = smx_cli_text_width(word);
		if (used > 0 && used + 1 + width > room) {
			printf("\n%*s", LEVEL_INDENT, "");
			used = 0;
		}
		used += (size_t)printf("%s%s", used > 0 ? " " : "", word) - n + width;
	}
	putchar('\n');
}

static void print_text(struct doctor *d, enum doctor_level level, const char *text, const char *fix)
{
	const char *end = smx_cli_color(d->color, SMX_STYLE_NONE);

	if (d->is_area_new)
		printf("%s%s%s%s\n", d->is_first ? "" : "\n",
			smx_cli_color(d->color, SMX_STYLE_BOLD), d->area, end);
	printf("  %s%-4s%s  ", smx_cli_color(d->color, level_styles[level]), level_names[level],
		end);
	if (d->columns)
		print_words(text, d->columns - LEVEL_INDENT);
	else
		printf("%s\n", text);
	/* Never broken by us: it is there to be copied. */
	if (*fix)
		printf("%*s-> %s\n", LEVEL_INDENT, "", fix);
}

void doctor_say(struct doctor *d, enum doctor_level level, const char *fix, const char *fmt, ...)
{
	char raw[DOCTOR_TEXT_MAX], text[DOCTOR_TEXT_MAX], clean_fix[DOCTOR_TEXT_MAX] = "";
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	smx_sanitize(raw, strlen(raw), text, sizeof(text));
	if (fix)
		smx_sanitize(fix, strlen(fix), clean_fix, sizeof(clean_fix));
	if (d->as_json)
		print_json(d, level, text, clean_fix);
	else
		print_text(d, level, text, clean_fix);
	(void)fflush(stdout);
	(void)smx_buf_printf(&d->said, "%s\n", text); /* what exceeds the cap may be repeated */
	d->is_first = d->is_area_new = 0;
	d->count[level]++;
}

int doctor_has_said(struct doctor *d, const char *text)
{
	const char *said = smx_buf_cstr(&d->said);

	return said && strstr(said, text) != NULL;
}

const char *doctor_fix(struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(d->fix, sizeof(d->fix), fmt, ap);
	va_end(ap);
	return d->fix;
}

const char *doctor_command(struct doctor *d, const char *command)
{
	uint16_t port = d->better_port ? d->better_port : doctor_port(d);
	int is_setup = strcmp(command, "setup-config") == 0;
	size_t size = sizeof(d->command), at;

	at = (size_t)snprintf(d->command, size, "ssh-mux %s", command);
	if (port != SMX_DEFAULT_PORT && !(is_setup && d->via == DOCTOR_VIA_CONTROL))
		at += (size_t)snprintf(d->command + at, size - at, " -p %u", port);
	if (is_setup && d->via == DOCTOR_VIA_PROXY)
		at += (size_t)snprintf(d->command + at, size - at, " --via proxy");
	else if (is_setup && d->via == DOCTOR_VIA_TCP)
		at += (size_t)snprintf(d->command + at, size - at, " --via tcp");
	if (d->config_option)
		(void)snprintf(d->command + at, size - at, " --config %.900s",
			doctor_quote(d, d->routes_path));
	return d->command;
}

const char *doctor_setup(struct doctor *d)
{
	return doctor_fix(d, "run: %s", doctor_command(d, "setup-config"));
}

const char *doctor_restart(struct doctor *d)
{
	return doctor_fix(d, "run: ssh-mux stop%s%s", smx_os_then(), doctor_command(d, "daemon"));
}

const char *doctor_quote(struct doctor *d, const char *path)
{
	char *out = d->quoted[d->next_quoted++ % SMX_ARRAY_LEN(d->quoted)];

	smx_os_quote(path, out, sizeof(d->quoted[0]));
	return out;
}

const char *doctor_advice(struct doctor *d, enum smx_os_advice what, const char *a, const char *b)
{
	smx_os_advice(what, a, b, d->fix, sizeof(d->fix));
	return d->fix;
}

void doctor_say_err(struct doctor *d, enum doctor_level level, struct smx_buf *err, int r,
	const char *otherwise)
{
	const char *text = smx_buf_len(err) > 0 ? smx_buf_cstr(err) : NULL, *cut = NULL;

	if (!text)
		text = smx_strerror(r);
	for (const char *s = strstr(text, "; "); s; s = strstr(s + 1, "; "))
		cut = s;
	if (cut)
		doctor_say(d, level, cut + 2, "%.*s", (int)(cut - text), text);
	else
		doctor_say(d, level, otherwise, "%s", text);
}

void doctor_name_add(struct doctor_names *names, const char *name)
{
	size_t at = strlen(names->text);

	if (names->count++ < DOCTOR_NAMED_MAX)
		(void)snprintf(names->text + at, sizeof(names->text) - at - 32, "%s%.128s",
			at ? ", " : "", name);
}

const char *doctor_names_text(struct doctor_names *names)
{
	size_t at = strlen(names->text);

	if (names->count > DOCTOR_NAMED_MAX)
		(void)snprintf(names->text + at, sizeof(names->text) - at, " and %zu more",
			names->count - DOCTOR_NAMED_MAX);
	return names->text;
}

/* ---- for the areas -----------------------------------------------------------------------------
 */

int doctor_read(struct doctor *d, const char *name, size_t max_len, enum smx_os_file_kind kind,
	char **ret_path, struct smx_buf *out, struct smx_buf *err)
{
	int r = smx_os_path_join(d->ssh_dir, name, ret_path);

	return r != 0 ? SMX_ENOMEM : smx_os_file_read(*ret_path, max_len, kind, out, err);
}

char *doctor_expand(const struct doctor *d, const char *path)
{
	const char *below = smx_os_path_below_home(path);
	char *full = NULL;

	if (!below)
		return smx_strdup(path);
	if (d->home)
		(void)smx_os_path_join(d->home, below, &full);
	return full;
}

uint16_t doctor_port(const struct doctor *d)
{
	if (d->port_option != 0)
		return d->port_option;
	if (d->has_daemon && d->status.port > 0 && d->status.port <= UINT16_MAX)
		return (uint16_t)d->status.port;
	if (d->hosts_port != 0)
		return d->hosts_port;
	return SMX_DEFAULT_PORT;
}

size_t doctor_route_count(const struct doctor *d)
{
	if (d->route_name)
		return d->route ? 1 : 0;
	return d->routes ? d->routes->n_routes : 0;
}

const struct smx_route *doctor_route(const struct doctor *d, size_t i)
{
	return d->route_name ? d->route : &d->routes->routes[i];
}

/* ---- the command -------------------------------------------------------------------------------
 */

static int prepare(struct doctor *d)
{
	struct smx_os_terminal_size size;
	struct smx_buf err;
	char *normal = NULL;
	int r;

	smx_buf_init(&err, 4 * SMX_OS_PATH_MAX);
	if ((r = smx_os_ssh_dir(&d->ssh_dir, &d->dir_warning, &err)) != 0)
		r = smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_errtext(r, &err));
	smx_buf_release(&err);
	if (r != 0)
		return r;
	d->is_other_dir = 1;
	if (smx_os_home(&d->home, NULL) == 0 && smx_os_path_join(d->home, ".ssh", &normal) == 0)
		d->is_other_dir = strcmp(normal, d->ssh_dir) != 0;
	smx_free(normal);
	r = d->config_option ? smx_os_path_absolute(d->config_option, &d->routes_path)
			     : smx_os_path_join(d->ssh_dir, SMX_ROUTES_FILE, &d->routes_path);
	if (r != 0)
		return smx_cli_fail(smx_cli_exit_code(r), NULL, "%s: %s",
			d->config_option ? d->config_option : SMX_ROUTES_FILE, smx_strerror(r));
	d->color = !d->as_json && smx_cli_color_wanted(STDOUT);
	if (smx_os_terminal_size(STDOUT, &size) == 0 && size.columns >= COLUMNS_MIN)
		d->columns = size.columns;
	return 0;
}

static void release(struct doctor *d)
{
	smx_free(d->home);
	smx_free(d->ssh_dir);
	smx_free(d->routes_path);
	smx_free(d->ssh);
	smx_free(d->control_path);
	while (d->n_identities > 0)
		smx_free(d->identities[--d->n_identities]);
	smx_buf_release(&d->control_err);
	smx_buf_release(&d->dir_warning);
	smx_buf_release(&d->host_key);
	smx_buf_release(&d->said);
	smx_routes_unref(d->routes);
	smx_authorized_keys_free(d->authorized);
	smx_status_release(&d->status);
}

static void print_summary(const struct doctor *d)
{
	const unsigned *n = d->count;

	if (d->as_json) {
		printf("],\n\"failed\":%u,\"warned\":%u}\n", n[DOCTOR_FAIL], n[DOCTOR_WARN]);
		return;
	}
	printf("\n%s%s", smx_cli_color(d->color, SMX_STYLE_BOLD),
		n[DOCTOR_FAIL] ? "" : "nothing is broken");
	if (n[DOCTOR_FAIL])
		printf("%u thing%s to repair, from the top", n[DOCTOR_FAIL],
			n[DOCTOR_FAIL] == 1 ? "" : "s");
	printf("%s: %u ok, %u note%s, %u warning%s, %u failed\n",
		smx_cli_color(d->color, SMX_STYLE_NONE), n[DOCTOR_OK], n[DOCTOR_NOTE],
		n[DOCTOR_NOTE] == 1 ? "" : "s", n[DOCTOR_WARN], n[DOCTOR_WARN] == 1 ? "" : "s",
		n[DOCTOR_FAIL]);
}

static int examine(struct doctor *d)
{
	d->is_first = 1;
	if (d->as_json)
		printf("{\"version\":\"" SMX_VERSION "\",\"checks\":[\n");
	/* What these two say decides what the rest should be. */
	doctor_ask_daemon(d);
	doctor_find_via(d);
	doctor_check_files(d);
	doctor_check_daemon(d);
	doctor_check_ssh(d);
	doctor_check_clients(d);
	doctor_check_keys(d);
	doctor_check_servers(d);
	doctor_check_editors(d);
	doctor_check_system(d);
	print_summary(d);
	return d->count[DOCTOR_FAIL] > 0 ? EXIT_FOUND : SMX_EXIT_OK;
}

/* 1: go on; 0: over, *ret_exit is the code. */
static int parse(struct doctor *d, int argc, char **argv, int *ret_exit)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
		{ "port", required_argument, NULL, 'p' },
		{ "ssh-bin", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' },
		SMX_CLI_COMMON_OPTIONS };
	uint64_t port;
	int c;

	while ((c = smx_cli_getopt(argc, argv, ":p:hV", options, &smx_cmd_doctor, ret_exit)) !=
		-1) {
		switch (c) {
		case -2:
			return 0;
		case 'c':
			d->config_option = optarg;
			break;
		case 's':
			d->ssh_option = optarg;
			break;
		case 'j':
			d->as_json = 1;
			break;
		default:
			if (smx_cli_parse_number(optarg, 1, UINT16_MAX, &port) != 0) {
				*ret_exit = smx_cli_fail(SMX_EXIT_USAGE, NULL,
					"doctor: -p %s is not a port from 1 to 65535", optarg);
				return 0;
			}
			d->port_option = (uint16_t)port;
		}
	}
	if (optind < argc)
		d->route_name = argv[optind++];
	*ret_exit = smx_cli_no_arguments(argc, argv, &smx_cmd_doctor);
	return *ret_exit == SMX_EXIT_OK;
}

static int run(int argc, char **argv)
{
	struct doctor *d = smx_calloc(1, sizeof(*d));
	int r;

	if (!d)
		return smx_cli_fail(SMX_EXIT_OSERR, NULL, "out of memory");
	smx_buf_init(&d->dir_warning, 4 * SMX_OS_PATH_MAX);
	smx_buf_init(&d->host_key, SMX_KEY_BLOB_MAX);
	smx_buf_init(&d->said, DOCTOR_SAID_MAX);
	smx_buf_init(&d->control_err, 4 * SMX_OS_PATH_MAX);
	smx_status_init(&d->status);
	if (parse(d, argc, argv, &r) && (r = prepare(d)) == 0) {
		smx_os_ignore_sigpipe();
		r = examine(d);
	}
	release(d);
	smx_free(d);
	return r;
}

const struct smx_command smx_cmd_doctor = {
	.name = "doctor",
	.summary = "find what is wrong, and print the remedy",
	.usage = "usage: ssh-mux doctor [OPTION]... [NAME]\n"
		 "\n"
		 "Check files, keys, the daemon, the ssh client, servers and editors, and print\n"
		 "the remedy for each finding. Nothing is changed, and no login is made. With the\n"
		 "NAME of a route: check that route only, and whether its first server can be\n"
		 "reached.\n"
		 "\n"
		 "      --config FILE      routes file (default: ssh-mux-routes.toml in the SSH\n"
		 "                         directory)\n"
		 "  -p, --port PORT        port that SSH clients should use (default: the\n"
		 "                         daemon's, or 2222)\n"
		 "      --ssh-bin PROGRAM  the ssh to look at (default: ssh in PATH)\n"
		 "      --json             print one JSON object, for programs\n"
		 "  -h, --help             show this text\n"
		 "  -V, --version          show the version\n"
		 "\n"
		 "Exit code: 0 if nothing failed, 1 if something did; notes and warnings don't\n"
		 "count.\n",
	.run = run,
};
