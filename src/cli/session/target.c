/* SPDX-License-Identifier: MIT */
#include "cli/session/target.h"

#include <string.h>

#include "base/err.h"
#include "cli/cli.h"

static int copy_part(char *out, size_t max, const char *p, size_t n)
{
	if (n > max)
		return SMX_EINVAL;
	memcpy(out, p, n);
	out[n] = '\0';
	return 0;
}

/* "host", "host:port", "address:with:colons", "[address]", "[address]:port" */
static int take_host(struct smx_cli_target *t, const char *text)
{
	const char *host = text, *port = NULL, *end;
	size_t n = strcspn(text, ":");

	if (text[0] == '[') {
		host = text + 1;
		end = strchr(host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return SMX_EINVAL;
		n = (size_t)(end - host);
		port = end[1] ? end + 2 : NULL;
	} else if (text[n] && !strchr(text + n + 1, ':')) {
		port = text + n + 1;
	} else {
		n = strlen(text);
	}
	if (port && smx_cli_parse_number(port, 1, 65535, &t->port) != 0)
		return SMX_EINVAL;
	return copy_part(t->host, SMX_HOST_MAX, host, n);
}

int smx_cli_target_take(struct smx_cli_target *t, const char *command, const char *text)
{
	const char *at = strrchr(text, '@'), *fault;

	*t = (struct smx_cli_target){ .route = at ? NULL : text, .port = 0 };
	if (!at) {
		fault = smx_route_name_fault(smx_view_of(text, strlen(text)));
		if (fault)
			return smx_cli_fail(SMX_EXIT_USAGE, "give a route, or user@host[:port]",
				"%s: the name %s %s", command, text, fault);
		return 0;
	}
	if (copy_part(t->user, SMX_USER_MAX, text, (size_t)(at - text)) != 0 ||
		take_host(t, at + 1) != 0)
		return smx_cli_fail(SMX_EXIT_USAGE, "write it as user@host:port",
			"%s: %s can't be understood", command, text);
	if ((fault = smx_user_fault(smx_view_of(t->user, strlen(t->user)))) != NULL)
		return smx_cli_fail(
			SMX_EXIT_USAGE, NULL, "%s: the user name %s %s", command, t->user, fault);
	if ((fault = smx_host_fault(smx_view_of(t->host, strlen(t->host)))) != NULL)
		return smx_cli_fail(
			SMX_EXIT_USAGE, NULL, "%s: the host %s %s", command, t->host, fault);
	return 0;
}
