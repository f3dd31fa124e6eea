/* SPDX-License-Identifier: MIT */
/* What a program without an ssh configuration needs to come through the local server (W6). */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/sshconf/setup.h"
#include "crypto/keyfile.h"

#define HOST "127.0.0.1"

static void put_json(const char *name, const char *text, const char *end)
{
	printf("  \"%s\": \"", name);
	for (const char *s = text; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		if ((unsigned char)*s < 0x20)
			printf("\\u%04x", (unsigned)*s);
		else
			putchar(*s);
	}
	printf("\"%s\n", end);
}

static void print_json(const struct smx_setup_app *app, const char *fingerprint, const char *line,
	const char *known)
{
	const struct smx_routes *routes = app->routes;

	printf("{\n");
	put_json("host", HOST, ",");
	printf("  \"port\": %u,\n", app->port);
	printf("  \"users\": [");
	for (size_t i = 0; i < routes->n_routes; i++)
		printf("%s\"%s\"", i ? ", " : "", routes->routes[i].name);
	printf("],\n");
	put_json("key_file", app->key_path, ",");
	put_json("host_key_fingerprint", fingerprint, ",");
	put_json("host_key", line, ",");
	put_json("known_hosts_line", known, "");
	printf("}\n");
}

static void print_text(const struct smx_setup_app *app, const char *fingerprint, const char *line,
	const char *known)
{
	const struct smx_routes *routes = app->routes;

	printf("For programs that do not read your ssh configuration:\n\n"
	       "  host         " HOST "\n"
	       "  port         %u\n"
	       "  user         the name of a route:",
		app->port);
	for (size_t i = 0; i < routes->n_routes; i++)
		printf("%s %s", i ? "," : "", routes->routes[i].name);
	printf("\n"
	       "  key file     %s (no passphrase)\n"
	       "  fingerprint  %s\n"
	       "  host key     %s\n"
	       "  known_hosts  %s\n\n"
	       "No password, no jump host, no proxy. Keep the daemon running: ssh-mux daemon\n",
		app->key_path, fingerprint, line, known);
}

int smx_setup_print_app(const struct smx_setup_app *app, int as_json)
{
	char fingerprint[SMX_FINGERPRINT_SIZE], known[64 + SMX_SETUP_KEY_LINE_MAX];
	struct smx_buf line;
	int r;

	smx_buf_init(&line, SMX_SETUP_KEY_LINE_MAX);
	if ((r = smx_blob_fingerprint(app->host_key, fingerprint)) == 0 &&
		(r = smx_pubkey_line_write(app->host_key, &line)) == 0 && !smx_buf_cstr(&line))
		r = SMX_ENOMEM;
	if (r == 0) {
		(void)snprintf(
			known, sizeof(known), "[" HOST "]:%u %s", app->port, smx_buf_cstr(&line));
		if (as_json)
			print_json(app, fingerprint, smx_buf_cstr(&line), known);
		else
			print_text(app, fingerprint, smx_buf_cstr(&line), known);
	}
	smx_buf_release(&line);
	return r;
}
