/* SPDX-License-Identifier: MIT */
#include "mux/core/child.h"

#include <signal.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/ipc.h"

struct child {
	struct mux *mux;
	struct smx_list node; /* of those that the helper has started */
	uint64_t id; /* 0: libuv's */
	uv_process_t process;
	child_end_cb *cb;
	void *arg;
};

/* The helper's side, one per daemon. */
struct children {
	uv_poll_t poll;
	struct smx_list list;
	int is_lost; /* the helper has ended before us */
};

static char **copy_args(const char *const *from)
{
	size_t n = 0;
	char **args;

	while (from[n])
		n++;
	if (!(args = smx_calloc(n + 1, sizeof(*args))))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if ((args[i] = smx_strdup(from[i])))
			continue;
		while (i)
			smx_free(args[--i]);
		smx_free(args);
		return NULL;
	}
	return args;
}

static void free_args(char **args)
{
	for (size_t i = 0; args && args[i]; i++)
		smx_free(args[i]);
	smx_free(args);
}

/* ---- by libuv ----------------------------------------------------------------------------------
 */

static void on_process_closed(uv_handle_t *h)
{
	smx_free(h->data);
}

static void on_process_end(uv_process_t *process, int64_t status, int term_signal)
{
	struct child *c = process->data;

	c->cb(c->arg, status, term_signal); /* and is reaped: nobody is sent a signal any more */
	uv_close((uv_handle_t *)process, on_process_closed);
}

static uv_stdio_container_t pipe_of(uv_pipe_t *pipe, unsigned flag)
{
	uv_stdio_container_t c = { .flags = UV_IGNORE };

	if (pipe) {
		c.flags = (uv_stdio_flags)(UV_CREATE_PIPE | flag);
		c.data.stream = (uv_stream_t *)pipe;
	}
	return c;
}

static int start_process(struct child *c, const struct child_start *start)
{
	char **args = copy_args(start->args);
	uv_stdio_container_t stdio[4] = {
		pipe_of(start->in, UV_READABLE_PIPE),
		pipe_of(start->out, UV_WRITABLE_PIPE),
		pipe_of(start->err, UV_WRITABLE_PIPE),
		{ .flags = UV_INHERIT_FD, .data.fd = start->terminal },
	};
	uv_process_options_t options = {
		.exit_cb = on_process_end,
		.file = start->file,
		.args = args,
		.env = (char **)(uintptr_t)start->env,
		.cwd = start->dir,
		.stdio = stdio,
		.stdio_count = start->terminal >= 0 ? 4 : 3,
		/* A session of its own: no terminal of ours, nobody's Ctrl-C, one group. */
		.flags = UV_PROCESS_DETACHED | start->hide,
	};
	int r;

	c->process.data = c;
	if (!args)
		return UV_ENOMEM;
	r = uv_spawn(c->mux->core.loop, &c->process, &options);
	free_args(args);
	return r;
}

/* ---- by the helper -----------------------------------------------------------------------------
 */

#define STREAMS 3

/* fds: those of the program. 0 or a libuv error; what was made is closed by the caller. */
static int make_pipes(const struct child_start *start, int fds[SMX_HELPER_FDS])
{
	uv_pipe_t *const pipes[STREAMS] = { start->in, start->out, start->err };
	int pair[2], r;

	for (int i = 0; i < STREAMS; i++) {
		if (!pipes[i])
			continue;
		if ((r = smx_os_helper_stream(pair)) != 0)
			return -r;
		fds[i] = pair[1];
		if ((r = uv_pipe_open(pipes[i], pair[0])) != 0) {
			smx_os_ipc_close(pair[0]);
			return r;
		}
	}
	fds[STREAMS] = start->terminal;
	return 0;
}

static int fill_request(const struct child_start *start, struct smx_helper_request *q)
{
	*q = (struct smx_helper_request){
		.op = SMX_HELPER_RUN, .kind = start->kind, .hint = start->hint
	};
	if (start->caller)
		smx_os_caller_id(start->caller, &q->pid, &q->start);
	if (start->kind == SMX_HELPER_SSH_CONFIG)
		return 0; /* all of it is the caller's */
	for (; start->args[q->n_args]; q->n_args++) {
		if (q->n_args == SMX_HELPER_ARGS_MAX)
			return UV_E2BIG;
		q->args[q->n_args] = start->args[q->n_args];
	}
	return 0;
}

static int start_helped(struct child *c, const struct child_start *start)
{
	struct children *all = c->mux->children;
	int fds[SMX_HELPER_FDS] = { -1, -1, -1, -1 }, r;
	struct smx_helper_request q;

	if (all->is_lost)
		return UV_ESRCH;
	if ((r = fill_request(start, &q)) == 0 && (r = make_pipes(start, fds)) == 0)
		r = -smx_os_helper_run(&q, fds, &c->id); /* libuv's errors are these */
	for (int i = 0; i < STREAMS; i++)
		if (fds[i] >= 0)
			smx_os_ipc_close(fds[i]);
	if (r != 0)
		return r;
	smx_list_add_tail(&all->list, &c->node);
	uv_ref((uv_handle_t *)&all->poll);
	return 0;
}

static void end_helped(struct child *c, int status, int signal)
{
	struct children *all = c->mux->children;

	smx_list_del(&c->node);
	if (smx_list_empty(&all->list))
		uv_unref((uv_handle_t *)&all->poll);
	c->cb(c->arg, status, signal);
	smx_free(c);
}

static struct child *find(struct children *all, uint64_t id)
{
	struct smx_list *it, *tmp;

	SMX_LIST_FOREACH (it, tmp, &all->list) {
		struct child *c = SMX_CONTAINER(it, struct child, node);

		if (c->id == id)
			return c;
	}
	return NULL;
}

/* Nothing can be started any more, and of what runs nothing will be heard. */
static void lose(struct children *all)
{
	all->is_lost = 1;
	(void)uv_poll_stop(&all->poll);
	log_error(
		"the helper that starts programs for the confined daemon has ended: no pinentry "
		"and no transport can be started any more; run: ssh-mux stop, and start it again");
	while (!smx_list_empty(&all->list))
		end_helped(SMX_CONTAINER(all->list.next, struct child, node), 0, SIGKILL);
}

static void on_ends(uv_poll_t *poll, int status, int events)
{
	struct mux *m = poll->data;
	struct children *all = m->children;
	struct child *c;
	int code, signal, r;
	uint64_t id;

	(void)status;
	(void)events;
	while ((r = smx_os_helper_next_end(&id, &code, &signal)) == 0)
		if ((c = find(all, id)) != NULL)
			end_helped(c, code, signal);
	if (r != SMX_EAGAIN)
		lose(all);
}

/* ---- all of them -------------------------------------------------------------------------------
 */

int child_new(struct mux *m, const struct child_start *start, child_end_cb *cb, void *arg,
	struct child **ret)
{
	struct child *c = smx_calloc(1, sizeof(*c));
	int r;

	if (!c)
		return UV_ENOMEM;
	c->mux = m;
	c->cb = cb;
	c->arg = arg;
	smx_list_init(&c->node);
	r = m->children ? start_helped(c, start) : start_process(c, start);
	if (r == 0) {
		*ret = c;
	} else if (!m->children && c->process.loop) {
		/* Not alive, but known to the loop. */
		uv_close((uv_handle_t *)&c->process, on_process_closed);
	} else {
		smx_free(c);
	}
	return r;
}

void child_kill(struct child *c, int signal, int is_group)
{
	if (c->id)
		smx_os_helper_kill(c->id, signal, is_group);
	else if (!is_group || uv_kill(-uv_process_get_pid(&c->process), signal) != 0)
		(void)uv_process_kill(&c->process, signal);
}

void children_open(struct mux *m)
{
	const char *args[] = { "ssh-mux", "helper", m->opts->ssh_dir, m->opts->routes_path, NULL };
	struct children *all;
	int r;

	if ((r = smx_os_helper_start(args)) != 0) {
		if (r != SMX_EUNSUPPORTED)
			log_error("the helper of the confined daemon can't be started: %s",
				smx_strerror(r));
		return;
	}
	if (!(all = smx_calloc(1, sizeof(*all))) ||
		uv_poll_init(m->core.loop, &all->poll, smx_os_helper_ends_fd()) != 0) {
		smx_free(all);
		smx_os_helper_stop();
		return;
	}
	smx_list_init(&all->list);
	all->poll.data = m;
	m->children = all;
	(void)uv_poll_start(&all->poll, UV_READABLE, on_ends);
	uv_unref((uv_handle_t *)&all->poll);
}

static void on_poll_closed(uv_handle_t *h)
{
	smx_free(SMX_CONTAINER((uv_poll_t *)h, struct children, poll));
}

void children_close(struct mux *m)
{
	struct children *all = m->children;
	struct smx_list *it, *tmp;

	if (!all)
		return;
	SMX_LIST_FOREACH (it, tmp, &all->list)
		smx_free(SMX_CONTAINER(it, struct child, node));
	m->children = NULL;
	uv_close((uv_handle_t *)&all->poll, on_poll_closed);
	smx_os_helper_stop();
}
