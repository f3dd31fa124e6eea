/* SPDX-License-Identifier: MIT */
#include "config/service_text.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/unit_template.h" /* packaging/ssh-mux.service.in */

#define MARK "Made by ssh-mux install"

const char smx_service_program_mark[] = "This file is ssh-mux, an SSH connection multiplexer.";

/* ---- what to run -------------------------------------------------------------------------------
 */

static void add(struct smx_service_command *c, const char *name, const char *value)
{
	c->args[c->count++] = name;
	if (value)
		c->args[c->count++] = value;
}

static void command_of(
	const struct smx_service_spec *spec, int is_managed, struct smx_service_command *c)
{
	*c = (struct smx_service_command){ .count = 0 };
	add(c, spec->program, "daemon");
	if (is_managed)
		add(c, "--foreground", NULL);
	if (spec->routes_path)
		add(c, "--config", spec->routes_path);
	if (spec->port) {
		(void)snprintf(c->port, sizeof(c->port), "%u", (unsigned)spec->port);
		add(c, "--port", c->port);
	}
	if (spec->idle_timeout_s) {
		(void)snprintf(
			c->timeout, sizeof(c->timeout), "%lu", (unsigned long)spec->idle_timeout_s);
		add(c, "--timeout", c->timeout);
	}
}

void smx_service_command(const struct smx_service_spec *spec, struct smx_service_command *ret)
{
	command_of(spec, 1, ret);
}

/* Fit for a file that people and parsers read line by line. */
static int is_plain(const char *text)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t left = strlen(text), n;
	uint32_t c;

	for (; left > 0; s += n, left -= n)
		if ((n = smx_utf8_decode(s, left, &c)) == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
			return 0;
	return 1;
}

static int is_speakable(const struct smx_service_spec *spec)
{
	return is_plain(spec->program) && (!spec->ssh_dir || is_plain(spec->ssh_dir)) &&
	       (!spec->routes_path || is_plain(spec->routes_path));
}

/* Appends all of it or nothing. */
static int finish(struct smx_buf *out, size_t before, int r)
{
	if (r != 0)
		smx_buf_truncate(out, before);
	return r;
}

/* ---- systemd -----------------------------------------------------------------------------------
 */

/*
 * A word in double quotes (systemd.service, "COMMAND LINES"; systemd.syntax, "QUOTING"): specifiers
 * start with %, and variables with $, except in the program's own path and in Environment=.
 */
static int put_unit_word(struct smx_buf *out, const char *word, int has_variables)
{
	int r = smx_buf_put(out, "\"", 1);

	for (const char *s = word; r == 0 && *s; s++) {
		if (*s == '"' || *s == '\\')
			r = smx_buf_put(out, "\\", 1);
		else if (*s == '%' || (*s == '$' && has_variables))
			r = smx_buf_put(out, s, 1);
		if (r == 0)
			r = smx_buf_put(out, s, 1);
	}
	return r != 0 ? r : smx_buf_put(out, "\"", 1);
}

static int put_exec(struct smx_buf *out, const struct smx_service_command *c)
{
	int r = smx_buf_put_str(out, "ExecStart="), is_program = 1;

	/* systemd takes no quotes and backslashes in the path of a program, however escaped. */
	if (r == 0 && strpbrk(c->args[0], "\"'\\")) {
		r = smx_buf_put_str(out, "/bin/sh -c \"exec \\\"$$0\\\" \\\"$$@\\\"\" ");
		is_program = 0;
	}
	for (size_t i = 0; r == 0 && i < c->count; i++) {
		if (i > 0)
			r = smx_buf_put(out, " ", 1);
		if (r == 0)
			r = put_unit_word(out, c->args[i], i > 0 || !is_program);
	}
	return r != 0 ? r : smx_buf_put(out, "\n", 1);
}

static int put_unit_environment(struct smx_buf *out, const char *ssh_dir)
{
	char *word;
	size_t size;
	int r;

	if (!ssh_dir)
		return 0;
	size = strlen("SSH_MUX_SSH_DIR=") + strlen(ssh_dir) + 1;
	if ((word = smx_malloc(size)) == NULL)
		return SMX_ENOMEM;
	(void)snprintf(word, size, "SSH_MUX_SSH_DIR=%s", ssh_dir);
	(void)((r = smx_buf_put_str(out, "Environment=")) != 0 ||
		(r = put_unit_word(out, word, 0)) != 0 || (r = smx_buf_put(out, "\n", 1)) != 0);
	smx_free(word);
	return r;
}

int smx_service_unit_text(const struct smx_service_spec *spec, struct smx_buf *out)
{
	size_t before = smx_buf_len(out);
	struct smx_service_command c;
	int r;

	if (!is_speakable(spec))
		return SMX_EUNSUPPORTED;
	command_of(spec, 1, &c);
	(void)((r = smx_buf_put_str(out,
			"# " MARK ", which replaces it; ssh-mux uninstall removes it.\n")) != 0 ||
		(r = smx_buf_put_str(out, unit_head)) != 0 ||
		(r = put_unit_environment(out, spec->ssh_dir)) != 0 ||
		(r = put_exec(out, &c)) != 0 || (r = smx_buf_put_str(out, unit_tail)) != 0);
	return finish(out, before, r);
}

/* ---- launchd -----------------------------------------------------------------------------------
 */

static int put_xml(struct smx_buf *out, const char *text)
{
	int r = 0;

	for (const char *s = text; r == 0 && *s; s++)
		r = *s == '&'   ? smx_buf_put_str(out, "&amp;")
		    : *s == '<' ? smx_buf_put_str(out, "&lt;")
		    : *s == '>' ? smx_buf_put_str(out, "&gt;")
				: smx_buf_put(out, s, 1);
	return r;
}

static int put_xml_string(struct smx_buf *out, const char *indent, const char *text)
{
	int r;

	(void)((r = smx_buf_put_str(out, indent)) != 0 ||
		(r = smx_buf_put_str(out, "<string>")) != 0 || (r = put_xml(out, text)) != 0 ||
		(r = smx_buf_put_str(out, "</string>\n")) != 0);
	return r;
}

static int put_plist_environment(struct smx_buf *out, const char *ssh_dir)
{
	int r;

	if (!ssh_dir)
		return 0;
	(void)((r = smx_buf_put_str(out, "\t<key>EnvironmentVariables</key>\n"
					 "\t<dict>\n"
					 "\t\t<key>SSH_MUX_SSH_DIR</key>\n")) != 0 ||
		(r = put_xml_string(out, "\t\t", ssh_dir)) != 0 ||
		(r = smx_buf_put_str(out, "\t</dict>\n")) != 0);
	return r;
}

int smx_service_plist_text(const struct smx_service_spec *spec, struct smx_buf *out)
{
	size_t before = smx_buf_len(out);
	struct smx_service_command c;
	int r;

	if (!is_speakable(spec))
		return SMX_EUNSUPPORTED;
	command_of(spec, 1, &c);
	r = smx_buf_put_str(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
		"\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
		"<!-- " MARK ", which writes it again; ssh-mux uninstall removes it. -->\n"
		"<plist version=\"1.0\">\n"
		"<dict>\n"
		"\t<key>Label</key>\n"
		"\t<string>ssh-mux</string>\n"
		"\t<key>ProgramArguments</key>\n"
		"\t<array>\n");
	for (size_t i = 0; r == 0 && i < c.count; i++)
		r = put_xml_string(out, "\t\t", c.args[i]);
	if (r == 0)
		r = smx_buf_put_str(out, "\t</array>\n");
	if (r == 0)
		r = put_plist_environment(out, spec->ssh_dir);
	if (r == 0)
		r = smx_buf_put_str(out, "\t<key>RunAtLoad</key>\n"
					 "\t<true/>\n"
					 "\t<key>KeepAlive</key>\n"
					 "\t<dict>\n"
					 "\t\t<key>SuccessfulExit</key>\n"
					 "\t\t<false/>\n"
					 "\t</dict>\n"
					 "\t<key>ProcessType</key>\n"
					 "\t<string>Interactive</string>\n"
					 "\t<key>Umask</key>\n"
					 "\t<integer>63</integer>\n"
					 "</dict>\n"
					 "</plist>\n");
	return finish(out, before, r);
}

/* ---- Windows -----------------------------------------------------------------------------------
 */

/* What ChrW makes of it again: code points beyond 16 bits in two halves. */
static int put_code_point(struct smx_buf *out, uint32_t c)
{
	if (c < 0x10000)
		return smx_buf_printf(out, "ChrW(%u)", (unsigned)c);
	c -= 0x10000;
	return smx_buf_printf(out, "ChrW(%u) & ChrW(%u)", (unsigned)(0xd800 + (c >> 10)),
		(unsigned)(0xdc00 + (c & 0x3ff)));
}

/* An expression whose value is the (valid UTF-8) text: literals, with quotes doubled. */
static int put_vbs(struct smx_buf *out, const char *text)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t left = strlen(text), n;
	int in_literal = 0, is_first = 1, r = 0;
	uint32_t c;

	for (; r == 0 && left > 0; s += n, left -= n, is_first = 0) {
		n = smx_utf8_decode(s, left, &c);
		if (in_literal && c >= 0x80)
			r = smx_buf_put(out, "\"", 1);
		if (r == 0 && !is_first && (!in_literal || c >= 0x80))
			r = smx_buf_put_str(out, " & ");
		if (r == 0 && c < 0x80 && !in_literal)
			r = smx_buf_put(out, "\"", 1);
		if (r == 0 && c == '"')
			r = smx_buf_put(out, "\"", 1);
		if (r == 0)
			r = c < 0x80 ? smx_buf_put(out, s, 1) : put_code_point(out, c);
		in_literal = c < 0x80;
	}
	if (r == 0 && (in_literal || is_first))
		r = smx_buf_put_str(out, is_first ? "\"\"" : "\"");
	return r;
}

static int put_vbs_variable(struct smx_buf *out, const char *name, const char *value)
{
	int r;

	(void)((r = smx_buf_printf(out, "shell.Environment(\"Process\").Item(\"%s\") = ", name)) !=
			0 ||
		(r = put_vbs(out, value)) != 0 || (r = smx_buf_put(out, "\r\n", 2)) != 0);
	return r;
}

/*
 * One argument of the command, in quotes. Run takes %NAME% for a variable of the environment, once
 * and without an escape: what has a percent sign is put into a variable of our own.
 */
static int put_vbs_argument(struct smx_buf *out, size_t i, const char *arg)
{
	size_t n = strlen(arg);
	char name[48]; /* any size_t fits */
	int r;

	(void)snprintf(name, sizeof(name), "%%SSH_MUX_ARG%zu%%", i);
	(void)((r = smx_buf_put_str(out, "command = command & ")) != 0 ||
		(r = smx_buf_put_str(out, i > 0 ? "\" \"\"\" & " : "\"\"\"\" & ")) != 0 ||
		(r = put_vbs(out, strchr(arg, '%') ? name : arg)) != 0 ||
		/* A backslash before the quote would make it a part of the argument. */
		(r = smx_buf_put_str(out, n > 0 && arg[n - 1] == '\\' ? " & \"\\\"\"\"\r\n"
								      : " & \"\"\"\"\r\n")) != 0);
	return r;
}

static int put_vbs_command(struct smx_buf *out, const struct smx_service_command *c)
{
	char name[32];
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->count; i++) {
		(void)snprintf(name, sizeof(name), "SSH_MUX_ARG%zu", i);
		if (strchr(c->args[i], '%'))
			r = put_vbs_variable(out, name, c->args[i]);
	}
	for (size_t i = 0; r == 0 && i < c->count; i++)
		r = put_vbs_argument(out, i, c->args[i]);
	return r;
}

static int has_quote(const struct smx_service_spec *spec)
{
	return strchr(spec->program, '"') || (spec->ssh_dir && strchr(spec->ssh_dir, '"')) ||
	       (spec->routes_path && strchr(spec->routes_path, '"'));
}

int smx_service_script_text(const struct smx_service_spec *spec, struct smx_buf *out)
{
	size_t before = smx_buf_len(out);
	struct smx_service_command c;
	int r;

	if (!is_speakable(spec) || has_quote(spec))
		return SMX_EUNSUPPORTED;
	command_of(spec, 1, &c);
	(void)((r = smx_buf_put_str(out,
			"' " MARK ", which writes it again; ssh-mux uninstall removes it.\r\n"
			"' Starts the daemon at logon, without a window.\r\n"
			"Option Explicit\r\n"
			"Dim shell, command\r\n"
			"Set shell = CreateObject(\"WScript.Shell\")\r\n")) != 0 ||
		(spec->ssh_dir &&
			(r = put_vbs_variable(out, "SSH_MUX_SSH_DIR", spec->ssh_dir)) != 0) ||
		(r = put_vbs_command(out, &c)) != 0 ||
		(r = smx_buf_put_str(out, "shell.Run command, 0, False\r\n")) != 0);
	return finish(out, before, r);
}

/* In single quotes; PowerShell takes the typographic ones for such, too (U+2018 to U+201B). */
static int put_powershell_word(struct smx_buf *out, const char *word)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const uint8_t *s = (const uint8_t *)word;
	size_t left = strlen(word), n;
	uint32_t c;
	int r;

	if (word[0] && word[strspn(word, plain)] == '\0')
		return smx_buf_put_str(out, word);
	r = smx_buf_put(out, "'", 1);
	for (; r == 0 && left > 0; s += n, left -= n) {
		if ((n = smx_utf8_decode(s, left, &c)) == 0) {
			n = 1;
			c = *s;
		}
		r = smx_buf_put(out, s, n);
		if (r == 0 && (c == '\'' || (c >= 0x2018 && c <= 0x201b)))
			r = smx_buf_put(out, s, n);
	}
	return r != 0 ? r : smx_buf_put(out, "'", 1);
}

int smx_service_powershell_text(const struct smx_service_spec *spec, struct smx_buf *out)
{
	size_t before = smx_buf_len(out);
	struct smx_service_command c;
	int r = 0;

	command_of(spec, 0, &c);
	if (spec->ssh_dir)
		(void)((r = smx_buf_put_str(out, "$env:SSH_MUX_SSH_DIR = ")) != 0 ||
			(r = put_powershell_word(out, spec->ssh_dir)) != 0 ||
			(r = smx_buf_put_str(out, "; ")) != 0);
	if (r == 0)
		r = smx_buf_put(out, "&", 1);
	for (size_t i = 0; r == 0 && i < c.count; i++)
		if ((r = smx_buf_put(out, " ", 1)) == 0)
			r = put_powershell_word(out, c.args[i]);
	return finish(out, before, r);
}

/* ---- a shell -----------------------------------------------------------------------------------
 */

int smx_service_shell_word(struct smx_buf *out, const char *word)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%,";
	int r;

	/* As it is if there is nothing in it for a shell, else in single quotes. */
	if (word[0] && word[strspn(word, plain)] == '\0')
		return smx_buf_put_str(out, word);
	r = smx_buf_put(out, "'", 1);
	for (const char *s = word; r == 0 && *s; s++)
		r = *s == '\'' ? smx_buf_put_str(out, "'\\''") : smx_buf_put(out, s, 1);
	return r != 0 ? r : smx_buf_put(out, "'", 1);
}

int smx_service_command_text(const struct smx_service_spec *spec, struct smx_buf *out)
{
	size_t before = smx_buf_len(out);
	struct smx_service_command c;
	int r = 0;

	command_of(spec, 0, &c);
	if (spec->ssh_dir)
		(void)((r = smx_buf_put_str(out, "SSH_MUX_SSH_DIR=")) != 0 ||
			(r = smx_service_shell_word(out, spec->ssh_dir)) != 0 ||
			(r = smx_buf_put(out, " ", 1)) != 0);
	for (size_t i = 0; r == 0 && i < c.count; i++)
		if (i == 0 || (r = smx_buf_put(out, " ", 1)) == 0)
			r = smx_service_shell_word(out, c.args[i]);
	return finish(out, before, r);
}

/* ---- whose it is -------------------------------------------------------------------------------
 */

static int view_has(struct smx_view v, const char *word, size_t n)
{
	const uint8_t *s = v.p;
	size_t left = v.len;

	while (left >= n) {
		const uint8_t *at = memchr(s, word[0], left - n + 1);

		if (!at)
			return 0;
		if (memcmp(at, word, n) == 0)
			return 1;
		left -= (size_t)(at - s) + 1;
		s = at + 1;
	}
	return 0;
}

int smx_service_is_ours(struct smx_view text)
{
	return view_has(text, MARK, strlen(MARK));
}

int smx_service_program_is_ours(struct smx_view file)
{
	return view_has(file, smx_service_program_mark, strlen(smx_service_program_mark));
}

int smx_service_system_program(const char *path, char **ret_path)
{
	static const char *const places[] = { "/usr/", "/opt/", "/bin/", "/nix/", "/gnu/", "/snap/",
		"/home/linuxbrew/" };
	static const char cellar[] = "/Cellar/", bin[] = "/bin/ssh-mux";
	const char *at;
	char *p;
	size_t n;

	for (size_t i = 0; i < SMX_ARRAY_LEN(places); i++) {
		if (strncmp(path, places[i], strlen(places[i])) != 0)
			continue;
		/* Homebrew: the real path has the version in it, and goes with an update. */
		at = strstr(path, cellar);
		n = at ? (size_t)(at - path) : strlen(path);
		if ((p = smx_malloc(n + sizeof(bin))) == NULL)
			return SMX_ENOMEM;
		memcpy(p, path, n);
		memcpy(p + n, at ? bin : "", at ? sizeof(bin) : 1);
		*ret_path = p;
		return 0;
	}
	return SMX_ENOTFOUND;
}
