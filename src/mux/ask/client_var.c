/* SPDX-License-Identifier: MIT */
#include "mux/ask/client_var.h"

#include <string.h>

#include "base/mem.h"
#include "base/wire.h"
#include "os/caller.h"

char *client_var(int64_t pid, const char *name)
{
	struct smx_os_caller *caller = NULL;
	size_t n = strlen(name);
	char *value = NULL;
	const char *s, *end;
	struct smx_buf env;

	smx_buf_init(&env, SMX_OS_CALLER_BYTES_MAX + 1);
	if (smx_os_caller_new(pid, &caller) == 0 && smx_os_caller_env(caller, &env) == 0 &&
		smx_put_u8(&env, 0) == 0) {
		s = (const char *)smx_buf_view(&env);
		end = s + smx_buf_len(&env);
		for (; s < end && !value; s += strlen(s) + 1)
			if (strncmp(s, name, n) == 0 && s[n] == '=')
				value = smx_strdup(s + n + 1);
	}
	smx_os_caller_free(caller);
	smx_buf_release(&env);
	return value;
}
