/* SPDX-License-Identifier: MIT */
#include "mux/core/helper.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/routes.h"
#include "config/transport.h"
#include "mux/ask/caller_config.h"
#include "mux/ask/caller_env.h"
#include "mux/ask/pinentry.h"
#include "mux/net/program_env.h"
#include "mux/pool/greeting_file.h"
#include "mux/pool/known_edit.h"
#include "mux/pool/known_files.h"
#include "mux/pool/prepare.h"
#include "os/file.h"
#include "os/helper.h"
#include "os/process.h"

struct policy {
	const char *ssh_dir, *routes_path;
	struct smx_routes *routes; /* as they were read last, if they could be */
};

/* What a plan points to. */
struct owned {
	char *self; /* the program */
	char *dir;
	char **program_env;
	struct caller_env env;
	struct smx_buf args_text;
	const char **args;
};

/*
 * Read by ourselves, each time: what the daemon says of them counts for nothing. Those that can't
 * be read leave the ones before in use, as in the daemon.
 */
static void read_routes(struct policy *p)
{
	struct smx_routes *routes = NULL;
	struct smx_buf text, err; /* the daemon says what is wrong with them */

	if (!p->routes_path)
		return;
	smx_buf_init(&text, SMX_ROUTES_TEXT_MAX);
	smx_buf_init(&err, SMX_ROUTES_ERROR_MAX);
	if (smx_os_file_read(p->routes_path, SMX_ROUTES_TEXT_MAX, SMX_OS_FILE_PLAIN, &text, NULL) ==
			0 &&
		smx_routes_parse(smx_buf_as_view(&text), p->routes_path, &routes, &err) == 0) {
		smx_routes_unref(p->routes);
		p->routes = routes;
	}
	smx_buf_release(&text);
	smx_buf_release(&err);
}

/* Whether any hop of the routes, as they are now, is what is asked for. */
typedef int is_hop(const struct policy *p, const struct smx_hop *hop, const void *arg);

static int has_hop(struct policy *p, is_hop *is_it, const void *arg)
{
	read_routes(p);
	for (size_t i = 0; p->routes && i < p->routes->n_routes; i++) {
		const struct smx_route *route = &p->routes->routes[i];

		for (size_t j = 0; j < route->n_hops; j++)
			if (is_it(p, &route->hops[j], arg))
				return 1;
	}
	return 0;
}

/* ---- each kind: 0 or an errno ------------------------------------------------------------------
 */

static int is_transport_of(const struct policy *p, const struct smx_hop *hop, const void *arg)
{
	const struct smx_helper_request *q = arg;
	char *program;
	int is_it;

	(void)p;
	if (hop->n_transport == 0 || hop->n_transport != q->n_args ||
		!(program = prepare_expand(hop->transport[0])))
		return 0;
	is_it = strcmp(program, q->args[0]) == 0;
	smx_free(program);
	for (size_t i = 1; is_it && i < q->n_args; i++)
		is_it = smx_transport_may_be(hop, hop->transport[i], q->args[i]);
	return is_it;
}

static int plan_transport(struct policy *p, const struct smx_helper_request *q,
	struct smx_os_helper_plan *plan, struct owned *o)
{
	if (!has_hop(p, is_transport_of, q))
		return EPERM;
	if (!(o->program_env = program_env_new()))
		return ENOMEM;
	plan->file = q->args[0];
	plan->args = q->args;
	plan->env = o->program_env;
	return 0;
}

static int plan_pinentry(
	struct policy *p, const struct smx_helper_request *q, struct smx_os_helper_plan *plan)
{
	const char *named;

	read_routes(p);
	named = p->routes ? p->routes->pinentry : NULL;
	if (q->n_args != 1 ||
		(named ? strcmp(named, q->args[0]) != 0 : !pinentry_is_usual(q->args[0])))
		return EPERM;
	plan->file = q->args[0];
	plan->args = q->args;
	return 0;
}

static int plan_prompt(
	const struct smx_helper_request *q, struct smx_os_helper_plan *plan, struct owned *o)
{
	if (q->n_args < 3 || q->n_args > 4 || strcmp(q->args[1], "prompt") != 0 ||
		strcmp(q->args[2], "--terminal") != 0 ||
		(q->n_args == 4 && strcmp(q->args[3], "--echo") != 0))
		return EPERM;
	if (smx_os_self_path(&o->self) != 0)
		return ENOENT;
	plan->file = o->self;
	plan->args = q->args;
	return 0;
}

static int plan_askpass(const struct smx_helper_request *q, const struct smx_os_caller *caller,
	struct smx_os_helper_plan *plan, struct owned *o)
{
	const char *program;
	int is_first;

	if (caller_env_read(&o->env, caller) != 0)
		return ESRCH;
	program = caller_env_askpass(&o->env, &is_first);
	if (q->n_args != 2 || !program || strcmp(program, q->args[0]) != 0)
		return EPERM;
	plan->file = q->args[0];
	plan->args = q->args;
	plan->env = caller_env_for(&o->env, q->hint);
	return 0;
}

/* All of it is the client's own. */
static int plan_ssh_config(const struct smx_helper_request *q, const struct smx_os_caller *caller,
	struct smx_os_helper_plan *plan, struct owned *o)
{
	if (q->n_args != 0)
		return EPERM;
	if (smx_os_caller_program(caller, &o->self, &o->dir) != 0 ||
		smx_os_caller_args(caller, &o->args_text) != 0 || smx_buf_len(&o->args_text) == 0 ||
		caller_env_read(&o->env, caller) != 0)
		return ESRCH;
	if (smx_put_u8(&o->args_text, 0) != 0 || !(o->args = caller_config_args(&o->args_text)))
		return ENOMEM;
	plan->file = o->self;
	plan->args = o->args;
	plan->env = caller_env_for(&o->env, SMX_ASKPASS_ANSWER);
	plan->dir = o->dir;
	return 0;
}

/* ---- the policy --------------------------------------------------------------------------------
 */

static void release(void *arg, struct smx_os_helper_plan *plan)
{
	struct owned *o = plan->owner;

	(void)arg;
	if (!o)
		return;
	smx_free(o->self);
	smx_free(o->dir);
	program_env_free(o->program_env);
	caller_env_release(&o->env);
	smx_buf_release(&o->args_text);
	smx_free(o->args);
	smx_free(o);
}

static int plan_for(struct policy *p, const struct smx_helper_request *q,
	const struct smx_os_caller *caller, struct smx_os_helper_plan *plan)
{
	switch (q->kind) {
	case SMX_HELPER_TRANSPORT:
		return plan_transport(p, q, plan, plan->owner);
	case SMX_HELPER_PINENTRY:
		return plan_pinentry(p, q, plan);
	case SMX_HELPER_PROMPT:
		return plan_prompt(q, plan, plan->owner);
	case SMX_HELPER_ASKPASS:
		return plan_askpass(q, caller, plan, plan->owner);
	default:
		return plan_ssh_config(q, caller, plan, plan->owner);
	}
}

static int decide(void *arg, const struct smx_helper_request *q, struct smx_os_helper_plan *ret)
{
	struct smx_os_helper_plan plan = { .file = NULL };
	struct smx_os_caller *caller = NULL;
	struct owned *o = smx_calloc(1, sizeof(*o));
	int e = ESRCH;

	if (!o)
		return ENOMEM;
	caller_env_init(&o->env);
	smx_buf_init(&o->args_text, SMX_OS_CALLER_BYTES_MAX);
	plan.owner = o;
	if (q->pid == 0 || smx_os_caller_known(q->pid, q->start, &caller) == 0)
		e = plan_for(arg, q, caller, &plan);
	smx_os_caller_free(caller);
	if (e == 0)
		*ret = plan;
	else
		release(arg, &plan);
	return e;
}

/* ---- known_hosts -------------------------------------------------------------------------------
 */

/* Of a hop's files: the first, which gets its new keys (K4, K7); the user's; the system's too. */
enum which_files { FIRST_FILE, OWN_FILES, ALL_FILES };

/* hop: NULL for the usual ones. */
static int is_known_hosts(
	const struct policy *p, const struct smx_hop *hop, enum which_files which, const char *path)
{
	struct known_files files;
	size_t n;
	int is_it = 0;

	if (known_files_find(p->ssh_dir, hop, &files) != 0)
		return 0;
	n = which == ALL_FILES ? files.n : which == FIRST_FILE && files.n_own ? 1 : files.n_own;
	for (size_t i = 0; i < n; i++)
		is_it |= strcmp(files.paths[i], path) == 0;
	known_files_release(&files);
	return is_it;
}

static int gets_keys(const struct policy *p, const struct smx_hop *hop, const void *path)
{
	return is_known_hosts(p, hop, FIRST_FILE, path);
}

/* Hosts, a kind and a key, as we write them: no marker, which would make an authority or a
 * revocation of it. */
static int is_host_key(const char *line)
{
	size_t n = 0;

	if (*line == '@' || *line == '#' || *line == ' ')
		return 0;
	for (; *line; line++) {
		if ((unsigned char)*line < ' ' || *line == 0x7f)
			return 0;
		n += *line == ' ';
	}
	return n >= 2;
}

static int may_append(struct policy *p, const char *path, const char *line)
{
	if (!is_host_key(line))
		return 0;
	return gets_keys(p, NULL, path) || has_hop(p, gets_keys, path);
}

/* New keys come to the first file of a hop's, and old ones go from each. */
static int has_keys(
	const struct policy *p, const struct smx_hop *hop, const struct smx_helper_request *q)
{
	return is_known_hosts(p, hop, q->n_fresh ? FIRST_FILE : OWN_FILES, q->args[0]);
}

/* A hop that may learn keys, under the name that it has in known_hosts. */
static int learns(const struct policy *p, const struct smx_hop *hop, const void *arg)
{
	const struct smx_helper_request *q = arg;
	const char *host;
	uint16_t port;

	smx_hop_known_name(hop, &host, &port);
	return hop->update_host_keys && port == q->port && strcmp(host, q->args[1]) == 0 &&
	       has_keys(p, hop, q);
}

static int may_rotate(struct policy *p, const struct smx_helper_request *q)
{
	if (!p->routes_path)
		return has_keys(p, NULL, q); /* one server, which its command line names */
	return has_hop(p, learns, q);
}

static int may_edit(void *arg, const struct smx_helper_request *q)
{
	const struct policy *p = arg;

	if (q->op == SMX_HELPER_KEEP)
		return greeting_file_may_be(
			p->ssh_dir, q->args[0], smx_view_of(q->args[1], strlen(q->args[1])));
	return q->op == SMX_HELPER_ROTATE ? may_rotate(arg, q)
					  : may_append(arg, q->args[0], q->args[1]);
}

static void edit(void *arg, const struct smx_helper_request *q, struct smx_helper_result *ret,
	struct smx_buf *err)
{
	struct known_edit k = { .path = q->args[0],
		.edit = { .host = q->args[1],
			.port = q->port,
			.hashed = q->is_hashed,
			.old = q->old,
			.n_old = q->n_old,
			.fresh = q->fresh,
			.n_fresh = q->n_fresh } };

	(void)arg;
	if (q->op == SMX_HELPER_ROTATE)
		ret->code = known_edit_here(&k, err);
	else if (q->op == SMX_HELPER_KEEP)
		ret->code = smx_os_file_write_atomic(
			q->args[0], q->args[1], strlen(q->args[1]), 0600, err);
	else
		ret->code = smx_os_file_append_line(q->args[0], q->args[1], err);
	ret->n_removed = k.n_removed;
	ret->n_added = k.n_added;
}

/* ---- files that are read -----------------------------------------------------------------------
 */

/* A key, the public part or the certificate beside it. */
static int is_of_key(const char *key, const char *path)
{
	static const char *const ends[] = { "", ".pub", "-cert.pub" };
	char *name = prepare_expand(key);
	size_t n = name ? strlen(name) : 0;
	int is_it = 0;

	for (size_t i = 0; name && i < SMX_ARRAY_LEN(ends); i++)
		is_it |= strncmp(path, name, n) == 0 && strcmp(path + n, ends[i]) == 0;
	smx_free(name);
	return is_it;
}

static int is_of_keys(char *const *keys, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (is_of_key(keys[i], path))
			return 1;
	return 0;
}

static int is_of_hop(const struct policy *p, const struct smx_hop *hop, const void *path)
{
	return is_of_keys(hop->identity, hop->n_identity, path) ||
	       is_of_keys(hop->certificate, hop->n_certificate, path) ||
	       is_known_hosts(p, hop, ALL_FILES, path);
}

/* Right in the SSH directory, which it could read when it started (a new one may be there). */
static int is_in_ssh_dir(const struct policy *p, const char *path)
{
	size_t n = strlen(p->ssh_dir);

	return strncmp(path, p->ssh_dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

static int may_read(void *arg, const char *path)
{
	struct policy *p = arg;

	if (is_in_ssh_dir(p, path) || (p->routes_path && strcmp(path, p->routes_path) == 0))
		return 1;
	if (has_hop(p, is_of_hop, path))
		return 1;
	for (size_t i = 0; p->routes && i < p->routes->n_routes; i++) {
		const struct smx_agent_forward *agent = &p->routes->routes[i].agent;

		if (is_of_keys(agent->keys, agent->n_keys, path))
			return 1;
	}
	return 0;
}

int helper_serve(const char *ssh_dir, const char *log_path, const char *routes_path)
{
	struct policy p = { .ssh_dir = ssh_dir, .routes_path = routes_path };
	const struct smx_os_helper_policy policy = { .decide = decide,
		.release = release,
		.may_edit = may_edit,
		.edit = edit,
		.may_read = may_read,
		.log_path = log_path,
		.arg = &p };
	int r;

	read_routes(&p);
	r = smx_os_helper_serve(&policy);
	smx_routes_unref(p.routes);
	return r;
}
