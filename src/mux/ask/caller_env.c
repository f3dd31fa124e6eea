/* SPDX-License-Identifier: MIT */
#include "mux/ask/caller_env.h"

#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"

#define ENV_MAX         4096 /* variables */
#define DEFAULT_ASKPASS "/usr/bin/ssh-askpass"

void caller_env_init(struct caller_env *e)
{
	*e = (struct caller_env){ .n = 0 };
	smx_buf_init(&e->text, SMX_OS_CALLER_BYTES_MAX);
}

void caller_env_release(struct caller_env *e)
{
	smx_free(e->vars);
	smx_buf_release(&e->text);
	e->vars = NULL;
}

const char *caller_env_get(const struct caller_env *e, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; e->vars && i < e->n; i++)
		if (strncmp(e->vars[i], name, n) == 0 && e->vars[i][n] == '=')
			return e->vars[i] + n + 1;
	return NULL;
}

/* SSH_ASKPASS_PROMPT is set by ssh alone, and by us (A14, A15). */
int caller_env_read(struct caller_env *e, const struct smx_os_caller *c)
{
	static const char hint[] = "SSH_ASKPASS_PROMPT=";
	char *s, *end;

	if (smx_os_caller_env(c, &e->text) != 0 || smx_put_u8(&e->text, 0) != 0)
		return SMX_ENOTFOUND;
	if (!(e->vars = smx_calloc(ENV_MAX + 2, sizeof(*e->vars))))
		return SMX_ENOMEM;
	s = (char *)e->text.data + e->text.off;
	end = s + smx_buf_len(&e->text);
	for (; s < end && e->n < ENV_MAX; s += strlen(s) + 1)
		if (strchr(s, '=') && strncmp(s, hint, sizeof(hint) - 1) != 0)
			e->vars[e->n++] = s;
	return 0;
}

const char *caller_env_askpass(const struct caller_env *e, int *ret_is_first)
{
	const char *require = caller_env_get(e, "SSH_ASKPASS_REQUIRE");
	const char *program = caller_env_get(e, "SSH_ASKPASS");
	const char *x11 = caller_env_get(e, "DISPLAY");
	const char *wayland = caller_env_get(e, "WAYLAND_DISPLAY");
	int is_allowed = (x11 && *x11) || (wayland && *wayland);
	uv_fs_t req;

	*ret_is_first = 0;
	if (!require)
		require = "";
	if (strcasecmp(require, "force") == 0)
		is_allowed = 1;
	if (!is_allowed || strcasecmp(require, "never") == 0)
		return NULL;
	*ret_is_first = strcasecmp(require, "force") == 0 || strcasecmp(require, "prefer") == 0;
	if (program)
		return *program ? program : NULL;
	return uv_fs_access(NULL, &req, DEFAULT_ASKPASS, 1 /* X_OK */, NULL) == 0 ? DEFAULT_ASKPASS
										  : NULL;
}

char *const *caller_env_for(struct caller_env *e, enum smx_askpass_hint hint)
{
	static char confirm[] = "SSH_ASKPASS_PROMPT=confirm", none[] = "SSH_ASKPASS_PROMPT=none";

	if (e->vars) {
		e->vars[e->n] = hint == SMX_ASKPASS_CONFIRM ? confirm
				: hint == SMX_ASKPASS_NONE  ? none
							    : NULL;
		e->vars[e->n + 1] = NULL;
	}
	return e->vars;
}
