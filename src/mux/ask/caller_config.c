/* SPDX-License-Identifier: MIT */
#include "mux/ask/caller_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "mux/ask/ask_process.h"

#define OUTPUT_MAX (256 * 1024)
#define ARGS_MAX   4096

struct caller_config {
	struct ask_process *process;
	caller_config_cb *cb;
	void *arg;
};

/* "name value" */
static const char *value_of(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncmp(line, name, n) == 0 && line[n] == ' ' ? line + n + 1 : NULL;
}

void caller_settings_parse(struct smx_view text, struct caller_settings *ret)
{
	const uint8_t *end;
	const char *value;
	char line[64];
	size_t n;

	*ret = (struct caller_settings){ 0 };
	for (; text.len; text.p += n, text.len -= n) {
		end = memchr(text.p, '\n', text.len);
		n = end ? (size_t)(end - text.p) + 1 : text.len;
		if (n >= sizeof(line))
			continue; /* none that is wanted */
		memcpy(line, text.p, n);
		line[end ? n - 1 : n] = '\0';
		if ((value = value_of(line, "batchmode")))
			ret->is_batch = strcmp(value, "yes") == 0;
		else if ((value = value_of(line, "connecttimeout")))
			ret->connect_timeout_ms = strtoul(value, NULL, 10) * 1000ull;
	}
}

static void on_said(void *arg, int code, struct smx_view answer)
{
	struct caller_config *c = arg;
	struct caller_settings s = { 0 };

	if (code == 0)
		caller_settings_parse(answer, &s);
	c->cb(c->arg, &s);
	smx_free(c);
}

const char **caller_config_args(const struct smx_buf *text)
{
	const char **args = smx_calloc(ARGS_MAX + 3, sizeof(*args));
	const char *s = (const char *)smx_buf_view(text), *end = s + smx_buf_len(text);
	size_t n = 0;

	for (; args && s < end && n < ARGS_MAX; s += strlen(s) + 1) {
		args[n++] = s;
		if (n == 1)
			args[n++] = "-G";
	}
	return args;
}

struct caller_config *caller_config_start(struct mux *m, const struct smx_os_caller *caller,
	char *const *env, caller_config_cb *cb, void *arg)
{
	struct ask_process_start start = { .kind = SMX_HELPER_SSH_CONFIG,
		.caller = caller,
		.env = env,
		.tty = -1,
		.answer_max = OUTPUT_MAX };
	struct caller_config *c = smx_calloc(1, sizeof(*c));
	char *program = NULL, *dir = NULL;
	const char **args = NULL;
	struct smx_buf text;
	int r = SMX_ENOMEM;

	smx_buf_init(&text, SMX_OS_CALLER_BYTES_MAX);
	if (c && (r = smx_os_caller_program(caller, &program, &dir)) == 0 &&
		(r = smx_os_caller_args(caller, &text)) == 0) {
		start.file = program;
		start.dir = dir;
		start.args = args = smx_buf_len(&text) ? caller_config_args(&text) : NULL;
		r = args ? ask_process_new(m, &start, on_said, c, &c->process) : SMX_ENOTFOUND;
	}
	if (r == 0) {
		c->cb = cb;
		c->arg = arg;
	} else {
		smx_free(c);
		c = NULL;
	}
	smx_buf_release(&text);
	smx_free(args);
	smx_free(program);
	smx_free(dir);
	return c;
}

void caller_config_cancel(struct caller_config *c)
{
	if (!c)
		return;
	ask_process_cancel(c->process);
	smx_free(c);
}
