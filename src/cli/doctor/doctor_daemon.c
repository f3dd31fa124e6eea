/* SPDX-License-Identifier: MIT */
/* Whether the daemon runs, is this one, and has the port that clients use. */
#include "cli/doctor/doctor.h"
#include "os/file.h"
#include "os/ipc.h"
#include "os/look.h"
#include "os/path.h"
#include "os/process.h"
#include "os/start.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#define ANSWER_TIMEOUT_MS 5000
#define READ_CHUNK        4096
#define PORTS_TRIED       20

/* ---- its status --------------------------------------------------------------------------------
 */

struct wire {
	int fd;
	uint64_t deadline;
	struct smx_control_reader reader;
	struct smx_buf in;
};

static int read_line(struct wire *w, struct smx_view *ret_line)
{
	uint64_t now;
	uint8_t *to;
	size_t n;
	int r;

	for (;;) {
		if (smx_buf_len(&w->in) > 0) {
			r = smx_control_reader_feed(&w->reader, smx_buf_view(&w->in),
				smx_buf_len(&w->in), &n, ret_line);
			if (r < 0)
				return r;
			smx_buf_consume(&w->in, n);
			if (r > 0)
				return 0;
		}
		if ((now = smx_os_monotonic_ms()) >= w->deadline)
			return SMX_ETIMEOUT;
		if ((r = smx_buf_reserve(&w->in, READ_CHUNK, &to)) != 0 ||
			(r = smx_os_ipc_read(
				 w->fd, to, READ_CHUNK, (int)(w->deadline - now), &n)) != 0)
			return r;
		smx_buf_commit(&w->in, n);
	}
}

static int greet_and_ask(struct wire *w)
{
	struct smx_control_hello hello, ours = { .version = SMX_CONTROL_VERSION };
	struct smx_view line;
	struct smx_buf out;
	int r, version;

	if ((r = read_line(w, &line)) != 0 || (r = smx_control_hello_parse(line, &hello)) != 0 ||
		(r = smx_control_hello_agree(&hello, &version)) != 0)
		return r;
	ours.pid = smx_os_pid();
	memcpy(ours.program, SMX_VERSION, sizeof(SMX_VERSION));
	smx_buf_init(&out, 2 * SMX_CONTROL_LINE_MAX);
	if ((r = smx_control_hello_build(&out, &ours)) == 0 &&
		(r = smx_control_request_build(&out, 1, SMX_CONTROL_STATUS)) == 0)
		r = smx_os_ipc_write(
			w->fd, smx_buf_view(&out), smx_buf_len(&out), ANSWER_TIMEOUT_MS);
	smx_buf_release(&out);
	return r;
}

/* SMX_ENOTFOUND: nobody listens there. */
static int fetch_status(struct doctor *d, const char *control_path, struct smx_buf *err)
{
	struct wire w = { .deadline = smx_os_monotonic_ms() + ANSWER_TIMEOUT_MS };
	struct smx_control_answer answer;
	struct smx_view line;
	int r;

	if ((r = smx_os_ipc_connect(control_path, ANSWER_TIMEOUT_MS, &w.fd, err)) != 0)
		return r;
	smx_control_reader_init(&w.reader);
	smx_buf_init(&w.in, 2 * SMX_CONTROL_LINE_MAX);
	for (r = greet_and_ask(&w); r == 0;) {
		if ((r = read_line(&w, &line)) != 0 ||
			(r = smx_control_answer_parse(line, &answer)) != 0)
			break;
		r = answer.ok ? smx_status_from_line(&d->status, line) : SMX_EREFUSED;
	}
	smx_os_ipc_close(w.fd);
	smx_control_reader_release(&w.reader);
	smx_buf_release(&w.in);
	/* Somebody listens there, whatever went wrong: never "none runs". */
	return r > 0 ? 0 : r == SMX_ENOTFOUND ? SMX_EPROTOCOL : r;
}

void doctor_ask_daemon(struct doctor *d)
{
	d->control_result = smx_os_control_look(
		d->ssh_dir, SMX_OS_WHERE_HERE, &d->control_path, &d->control_err);
	d->status_result = d->control_result != 0
				   ? SMX_ENOTFOUND
				   : fetch_status(d, d->control_path, &d->control_err);
	d->has_daemon = d->status_result == 0;
}

/* ---- is it there -------------------------------------------------------------------------------
 */

static void say_runtime_dir(struct doctor *d)
{
	const char *name = smx_os_runtime_variable();
	const char *xdg = name ? smx_os_getenv(name) : NULL;
	int r = d->control_result;

	if (r != 0 && r != SMX_ENOTFOUND)
		doctor_say_err(d, DOCTOR_FAIL, &d->control_err, r, "have it removed");
	else if (xdg && xdg[0] && !smx_os_path_is_absolute(xdg))
		doctor_say(d, DOCTOR_WARN, "run: unset XDG_RUNTIME_DIR",
			"XDG_RUNTIME_DIR is not an absolute path, and not used: %s", xdg);
}

/* One that was started with another XDG_RUNTIME_DIR, as by a service manager, is not found. */
static int find_elsewhere(struct doctor *d)
{
	const char *here = d->control_path;

	for (int where = SMX_OS_WHERE_TMP; where < SMX_OS_WHERE_COUNT; where++) {
		char *path, *end;
		int fd, is_ours;

		if (smx_os_control_look(d->ssh_dir, (enum smx_os_where)where, &path, NULL) != 0)
			continue;
		is_ours = (!here || strcmp(path, here) != 0) &&
			  smx_os_ipc_connect(path, 1000, &fd, NULL) == 0;
		if (is_ours) {
			smx_os_ipc_close(fd);
			/* <XDG_RUNTIME_DIR>/ssh-mux/control-….sock */
			for (int i = 0; i < 2 && where == SMX_OS_WHERE_LOGIN; i++)
				if ((end = strrchr(path, '/')) != NULL)
					*end = '\0';
			doctor_say(d, DOCTOR_FAIL,
				where == SMX_OS_WHERE_LOGIN
					? doctor_fix(d, "run: export XDG_RUNTIME_DIR=%s",
						  doctor_quote(d, path))
					: "run: unset XDG_RUNTIME_DIR; or stop that daemon and "
					  "start it "
					  "from here",
				"a daemon runs, but can't be found from here: it was started with "
				"another XDG_RUNTIME_DIR (%s)",
				path);
		}
		smx_free(path);
		if (is_ours)
			return 1;
	}
	return 0;
}

static const char *start_one(struct doctor *d)
{
	char start[DOCTOR_COMMAND_MAX];

	(void)snprintf(start, sizeof(start), "%s", doctor_command(d, "daemon"));
	return doctor_fix(d, "start one: %s (for each login from now on: %s)", start,
		doctor_command(d, "install"));
}

static const char *end_and_start(struct doctor *d)
{
	char end[DOCTOR_COMMAND_MAX];

	smx_os_advice(SMX_OS_ADVICE_END_PROCESS, NULL, NULL, end, sizeof(end));
	return doctor_fix(d, "%s, then run: ssh-mux daemon", end);
}

static void say_absent(struct doctor *d, int is_taken)
{
	const char *path = d->control_path;
	struct smx_os_stamp stamp;

	if (path && smx_os_file_stamp(path, &stamp) == 0)
		doctor_say(d, DOCTOR_NOTE, "nothing to do: the next daemon replaces it",
			"a daemon that did not end well has left its socket, %s", path);
	if (d->via == DOCTOR_VIA_PROXY)
		doctor_say(d, DOCTOR_NOTE, "nothing to do: the first ssh starts one",
			"no daemon runs");
	else
		doctor_say(d, d->via == DOCTOR_VIA_TCP ? DOCTOR_FAIL : DOCTOR_WARN,
			is_taken ? "none can have that port: see above" : start_one(d),
			"no daemon runs%s",
			d->via == DOCTOR_VIA_TCP && !is_taken
				? ", so ssh gets \"Connection refused\""
			: d->via == DOCTOR_VIA_CONTROL ? ", so each ssh logs in on its own"
						       : "");
}

/* H3: a system that can't is no fault of its user. */
static void say_confined(struct doctor *d)
{
	const char *text = d->status.confined;

	if (!text || !text[0])
		return;
	if (strstr(text, "SSH_MUX_CONFINE"))
		doctor_say(d, DOCTOR_OK, NULL,
			"the daemon is not confined: SSH_MUX_CONFINE=no is in its environment");
	else
		doctor_say(d, DOCTOR_OK, NULL, "the daemon is confined: %s", text);
}

/* ---- what it says of itself --------------------------------------------------------------------
 */

static void say_running(struct doctor *d)
{
	const struct smx_status *st = &d->status;
	char age[SMX_CLI_TEXT_MAX];

	doctor_say(d, DOCTOR_OK, NULL, "the daemon runs: process %" PRId64 ", for %s", st->pid,
		smx_cli_text_age(st->uptime_s, age));
	if (st->version && strcmp(st->version, SMX_VERSION) != 0)
		doctor_say(d, DOCTOR_WARN, doctor_restart(d),
			"the daemon is version %s, this program %s", st->version, SMX_VERSION);
	if (st->ssh_dir && strcmp(st->ssh_dir, d->ssh_dir) != 0)
		doctor_say(d, DOCTOR_FAIL, doctor_restart(d),
			"the daemon uses the SSH directory %s, not %s", st->ssh_dir, d->ssh_dir);
	if (st->locked)
		doctor_say(d, DOCTOR_WARN, "run: ssh-mux unlock",
			"the daemon is locked: new sessions are refused");
}

void doctor_say_warnings(struct doctor *d)
{
	char text[SMX_STATUS_TEXT_MAX + 1], *cut;

	for (size_t i = 0; i < d->status.warning_count; i++) {
		/* "what is wrong; what to do", as all of them are. */
		(void)snprintf(text, sizeof(text), "%s", d->status.warnings[i]);
		if ((cut = strstr(text, "; ")) != NULL)
			*cut = '\0';
		if (strstr(text, "SECURITY DOWNGRADE") || doctor_has_said(d, text))
			continue;
		doctor_say(d, DOCTOR_WARN, cut ? cut + 2 : "its log may say more",
			"the daemon warns: %s", text);
	}
}

static void check_known_routes(struct doctor *d)
{
	struct doctor_names missing = { 0 };

	for (size_t i = 0; i < doctor_route_count(d); i++) {
		const char *name = doctor_route(d, i)->name;
		size_t k = 0;

		while (k < d->status.route_count && strcmp(d->status.routes[k].name, name) != 0 &&
			strcmp(d->status.routes[k].name, "*") != 0)
			k++;
		if (k == d->status.route_count)
			doctor_name_add(&missing, name);
	}
	if (missing.count > 0 && d->status.omitted == 0)
		doctor_say(d, DOCTOR_FAIL,
			doctor_fix(d, "run: ssh-mux stop%sssh-mux daemon -p %u --config %s",
				smx_os_then(), doctor_port(d), doctor_quote(d, d->routes_path)),
			"the daemon does not know %s: it has read another routes file",
			doctor_names_text(&missing));
}

/* ---- the port ----------------------------------------------------------------------------------
 */

static void describe_owner(uint16_t port, const struct doctor_peer *peer, char *out, size_t size)
{
	struct smx_os_listener who;
	char program[sizeof(who.program)];
	int n = 0;

	if (smx_os_tcp_listener(port, &who) == 0) {
		smx_sanitize(who.program, strlen(who.program), program, sizeof(program));
		n = snprintf(out, size, "%s", program[0] ? program : "a program");
		if (who.pid > 0)
			n += snprintf(out + n, size - (size_t)n, " (process %" PRId64 ")", who.pid);
		if (who.is_mine == 0)
			n += snprintf(out + n, size - (size_t)n, " of user %s", who.user);
	} else {
		n = snprintf(out, size, "another program");
	}
	if (peer->software[0])
		(void)snprintf(out + n, size - (size_t)n, ", an SSH server: %s", peer->software);
}

/* A port that is free now, for all remedies from here on. */
static const char *choose_port(struct doctor *d, uint16_t taken)
{
	char set_up[DOCTOR_COMMAND_MAX];
	uint16_t port = taken;
	int fd, r = 0;

	for (int i = 0; i < PORTS_TRIED && r != SMX_EREFUSED; i++) {
		port = port < UINT16_MAX ? (uint16_t)(port + 1) : 1024;
		if ((r = smx_os_tcp_connect("127.0.0.1", port, 1000, &fd, NULL)) == 0)
			smx_os_ipc_close(fd);
	}
	d->better_port = port;
	(void)snprintf(set_up, sizeof(set_up), "%s", doctor_command(d, "setup-config"));
	return doctor_fix(d, "choose another port: %s%s%s", set_up, smx_os_then(),
		doctor_command(d, "daemon"));
}

/* 1: by a daemon of ours. */
static int say_taken(struct doctor *d, uint16_t port, const struct doctor_peer *peer)
{
	int is_ours =
		smx_buf_len(&d->host_key) > 0 && smx_buf_len(&peer->host_key) > 0 &&
		smx_view_eq_view(smx_buf_as_view(&d->host_key), smx_buf_as_view(&peer->host_key));
	const char *variable = smx_os_runtime_variable();
	char owner[512];

	describe_owner(port, peer, owner, sizeof(owner));
	if (is_ours)
		doctor_say(d, DOCTOR_FAIL,
			variable ? doctor_fix(d,
					   "stop that process, then run: ssh-mux daemon (or use "
					   "the %s it was started with)",
					   variable)
				 : "stop that process, then run: ssh-mux daemon",
			"port %u is served with your own host key by a daemon that can't be found "
			"from here: %s",
			port, owner);
	else
		doctor_say(d, DOCTOR_FAIL, choose_port(d, port),
			"port %u of 127.0.0.1 is taken by %s", port, owner);
	return is_ours;
}

/* With a daemon: is what listens there this daemon? */
static void check_own_port(struct doctor *d, uint16_t port, const struct doctor_peer *peer)
{
	if (smx_buf_len(&d->host_key) == 0 ||
		smx_view_eq_view(smx_buf_as_view(&peer->host_key), smx_buf_as_view(&d->host_key)))
		doctor_say(d, DOCTOR_OK, NULL, "port %u of 127.0.0.1 is the daemon's", port);
	else
		doctor_say(d, DOCTOR_FAIL, doctor_restart(d),
			"what answers on port %u shows another host key than the file has; the "
			"file "
			"was changed while the daemon ran",
			port);
}

enum port { PORT_FREE, PORT_SERVED, PORT_TAKEN, PORT_HIDDEN /* served by a daemon not found */ };

static enum port check_free_port(
	struct doctor *d, uint16_t port, int r, const struct doctor_peer *peer)
{
	if (r != SMX_EREFUSED)
		return say_taken(d, port, peer) ? PORT_HIDDEN : PORT_TAKEN;
	if (d->has_daemon && d->status.port == 0)
		doctor_say(d, d->via == DOCTOR_VIA_TCP ? DOCTOR_FAIL : DOCTOR_NOTE,
			doctor_fix(d, "for SSH clients, run: ssh-mux stop%sssh-mux daemon -p %u",
				smx_os_then(), port),
			"the daemon serves no port: ssh-mux connect and ssh-mux proxy work, ssh by "
			"port %u does not",
			port);
	else if (!d->has_daemon)
		doctor_say(d, DOCTOR_OK, NULL, "port %u of 127.0.0.1 is free for the daemon", port);
	return PORT_FREE;
}

static enum port check_port(struct doctor *d)
{
	uint16_t port = doctor_port(d), served = d->has_daemon ? (uint16_t)d->status.port : 0;
	enum port result = PORT_SERVED;
	struct doctor_peer peer;
	int r = doctor_probe(port, &peer);

	if (served != 0 && served != port)
		doctor_say(d, DOCTOR_FAIL,
			doctor_fix(
				d, "run: ssh-mux stop%sssh-mux daemon -p %u", smx_os_then(), port),
			"the daemon serves port %u, not %u", served, port);
	if (served != port)
		result = check_free_port(d, port, r, &peer);
	else if (r == 0)
		check_own_port(d, port, &peer);
	else
		doctor_say(d, DOCTOR_FAIL, doctor_restart(d),
			"the daemon says it serves port %u, but that does not answer: %s", port,
			peer.why);
	smx_buf_release(&peer.host_key);
	return result;
}

void doctor_check_daemon(struct doctor *d)
{
	enum port port;

	doctor_area(d, "Daemon");
	say_runtime_dir(d);
	if (d->has_daemon)
		say_running(d);
	say_confined(d);
	port = check_port(d);
	if (d->has_daemon)
		check_known_routes(d);
	else if (d->status_result == SMX_EDENIED || d->status_result == SMX_EUNSAFE)
		doctor_say_err(d, DOCTOR_FAIL, &d->control_err, d->status_result,
			"have that program stopped");
	else if (d->status_result != SMX_ENOTFOUND)
		doctor_say(d, DOCTOR_FAIL, end_and_start(d),
			"a daemon is there, but does not answer as it should: %s",
			smx_strerror(d->status_result));
	else if (!find_elsewhere(d) && port != PORT_HIDDEN)
		say_absent(d, port == PORT_TAKEN);
}
