/* SPDX-License-Identifier: MIT */
/* What ssh makes of a host whose block names a control socket of ours (W3). */
#include "cli/doctor/doctor.h"
#include "os/path.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/socket_name.h"
#include "os/door.h"

#define TOLD_MAX 10 /* hosts with a line of their own */

void doctor_sockets_init(struct doctor *d, struct doctor_sockets *s)
{
	size_t size = sizeof(s->local_host);

	*s = (struct doctor_sockets){ .dir = NULL };
	if (smx_os_doors_where(d->ssh_dir, &s->dir, NULL) != 0)
		s->dir = NULL;
	if (uv_os_gethostname(s->local_host, &size) != 0)
		s->local_host[0] = '\0';
}

void doctor_sockets_release(struct doctor_sockets *s)
{
	smx_free(s->dir);
}

/* What the running daemon says; NULL: it has not the route, or none runs. */
static const char *daemon_path(const struct doctor *d, const char *route)
{
	for (size_t i = 0; d->has_daemon && i < d->status.route_count; i++)
		if (strcmp(d->status.routes[i].name, route) == 0)
			return d->status.routes[i].control;
	return NULL;
}

/* Whether a path has this last part. */
static int has_name(struct smx_view path, const char *name)
{
	size_t n = strlen(name);

	return path.len > n && path.p[path.len - n - 1] == '/' &&
	       memcmp(path.p + path.len - n, name, n) == 0;
}

/* Whether a path is one of our sockets for the route, whatever it is asked for there. */
static int is_of_route(struct smx_view path, const struct smx_route *route, size_t room)
{
	char pattern[SMX_SOCKET_NAME_SIZE], last[SMX_SOCKET_NAME_SIZE];
	size_t n = 0;

	if (smx_socket_pattern(route, room, pattern) != 0)
		return 0;
	while (n < path.len && path.p[path.len - n - 1] != '/')
		n++;
	if (n >= sizeof(last))
		return 0;
	memcpy(last, path.p + path.len - n, n);
	last[n] = '\0';
	n = strcspn(pattern, "=");
	return n > 0 && strncmp(last, pattern, n + 1) == 0;
}

/* One line per host: ssh asks for something else than the route has, and so goes directly. */
static void say_other(struct doctor *d, const struct smx_route *route,
	const struct smx_ssh_answer *a, struct doctor_sockets *s)
{
	const struct smx_hop *hop = smx_route_target(route);

	if (s->told++ >= TOLD_MAX)
		return;
	doctor_say(d, DOCTOR_WARN,
		doctor_fix(d, "if ssh is right, correct that in %s", d->routes_path),
		"%s: ssh asks for %.*s@%.*s:%.*s, the route says %s@%s:%u: it goes directly",
		route->name, (int)a->user.len, (const char *)a->user.p, (int)a->host.len,
		(const char *)a->host.p, (int)a->port.len, (const char *)a->port.p, hop->user,
		hop->host, hop->port);
}

static void blame(struct doctor_names *names, const char *route, char *example, struct smx_view v)
{
	doctor_name_add(names, route);
	(void)snprintf(example, SMX_OS_PATH_MAX, "%.*s", (int)v.len, (const char *)v.p);
}

void doctor_judge_socket(struct doctor *d, const struct smx_route *route,
	const struct smx_ssh_answer *a, struct doctor_sockets *s)
{
	const char *real = daemon_path(d, route->name);
	size_t room = s->dir ? smx_os_doors_room(s->dir) : 0;
	char name[SMX_SOCKET_NAME_SIZE];

	if (smx_socket_form(route, room) == SMX_SOCKET_NONE)
		doctor_say(d, DOCTOR_NOTE, "nothing to do: ssh goes there directly",
			"%s is not shared: its names are too long for a socket's path",
			route->name);
	else if (smx_socket_name(route, room, s->local_host, name) != 0)
		return;
	else if (!a->control_path.p || !is_of_route(a->control_path, route, room))
		blame(&s->past, route->name, s->past_example, a->control_path);
	else if (!has_name(a->control_path, name))
		say_other(d, route, a, s);
	else if (real && !*real)
		doctor_name_add(&s->missing, route->name);
	else if (real && !smx_view_eq(a->control_path, real))
		blame(&s->elsewhere, route->name, s->elsewhere_example, a->control_path);
	else
		s->good++;
}

void doctor_say_sockets(struct doctor *d, struct doctor_sockets *s)
{
	if (s->past.count)
		doctor_say(d, DOCTOR_FAIL, doctor_setup(d),
			"ssh does not look for the control socket of ssh-mux%s%s, for: %s",
			s->past_example[0] ? " but at " : "", s->past_example,
			doctor_names_text(&s->past));
	if (s->told > TOLD_MAX)
		doctor_say(d, DOCTOR_WARN, "for one of them, run: ssh-mux doctor NAME",
			"%zu more go directly, since ssh asks for something else than their route "
			"says",
			s->told - TOLD_MAX);
	if (s->elsewhere.count)
		doctor_say(d, DOCTOR_FAIL, doctor_setup(d),
			"ssh looks for a control socket at %s, where the running daemon has none, "
			"for: %s",
			s->elsewhere_example, doctor_names_text(&s->elsewhere));
	if (s->missing.count)
		doctor_say(d, DOCTOR_WARN, "the daemon's log says why; see: ssh-mux status",
			"the running daemon has no control socket for: %s",
			doctor_names_text(&s->missing));
	if (s->good)
		doctor_say(d, DOCTOR_OK, NULL,
			"ssh shares the connection of ssh-mux for %zu of %zu route%s", s->good,
			doctor_route_count(d), doctor_route_count(d) == 1 ? "" : "s");
}
