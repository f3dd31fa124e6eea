/* SPDX-License-Identifier: MIT */
/* Asking ssh about many hosts for import-config: some at once, each for a limited time (C3). */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/sshconf/import.h"
#include "os/path.h"
#include "os/process.h"
#include "sshconf/ssh_config.h"

#define AT_ONCE    4
#define ANSWER_MAX (256u << 10)
#define SAID_MAX   4096
#define ARGS_MAX   12
#define NAME_SHOWN 40
#define ERASE_LINE "\r\033[K"

static const int signal_numbers[IMPORT_SIGNALS] = { SIGINT, SIGTERM,
#ifdef SIGHUP
	SIGHUP
#else
	SIGINT
#endif
};

/* One question, on a worker thread. Everything is the question's own. */
struct question {
	uv_work_t req;
	struct import_job *job;
	size_t at;
	char *host, *user, port[12];
	struct smx_buf out, err;
	int r, exit_code;
};

static void on_signal(uv_signal_t *handle, int number)
{
	struct import_job *job = handle->data;

	job->signal_number = number;
	atomic_store(&job->stop, 1);
}

int import_ask_init(struct import_job *job)
{
	if (uv_loop_init(&job->loop) != 0)
		return SMX_ESYS;
	job->has_loop = 1;
	for (size_t i = 0; i < IMPORT_SIGNALS; i++) {
		if (uv_signal_init(&job->loop, &job->signals[i]) != 0)
			return SMX_ESYS;
		job->signals[i].data = job;
		(void)uv_signal_start(&job->signals[i], on_signal, signal_numbers[i]);
		uv_unref((uv_handle_t *)&job->signals[i]);
	}
	return 0;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void import_ask_release(struct import_job *job)
{
	if (!job->has_loop)
		return;
	uv_walk(&job->loop, close_handle, NULL);
	(void)uv_run(&job->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&job->loop);
	job->has_loop = 0;
}

/* ---- progress ----------------------------------------------------------------------------------
 */

static void show_progress(struct import_job *job, const char *host)
{
	char name[NAME_SHOWN];

	if (!job->is_progress_shown)
		return;
	smx_sanitize(host, strlen(host), name, sizeof(name));
	(void)fprintf(stderr, ERASE_LINE "asking ssh: %zu of %zu  %s", job->done,
		smx_import_count(job->import), name);
	(void)fflush(stderr);
}

static void erase_progress(struct import_job *job)
{
	if (job->is_progress_shown)
		(void)fputs(ERASE_LINE, stderr);
}

/* ---- one question ------------------------------------------------------------------------------
 */

static void question_free(struct question *q)
{
	smx_free(q->host);
	smx_free(q->user);
	smx_buf_release(&q->out);
	smx_buf_release(&q->err);
	smx_free(q);
}

static void on_thread(uv_work_t *req)
{
	struct question *q = req->data;
	const char *argv[ARGS_MAX];
	size_t n = 0;

	argv[n++] = q->job->ssh;
	if (q->job->config_arg) {
		argv[n++] = "-F";
		argv[n++] = q->job->config_arg;
	}
	argv[n++] = "-T"; /* or it says that it can't have a terminal */
	argv[n++] = "-G";
	if (q->user) {
		argv[n++] = "-l";
		argv[n++] = q->user;
	}
	if (q->port[0]) {
		argv[n++] = "-p";
		argv[n++] = q->port;
	}
	argv[n++] = "--";
	argv[n++] = q->host;
	argv[n] = NULL;
	q->r = smx_os_run_until(
		argv, IMPORT_TIMEOUT_MS, &q->job->stop, &q->out, &q->err, &q->exit_code);
}

/* The copies are nothing that the user knows of. What does not fit is cut off. */
static void name_sources(const struct import_job *job, const char *said, struct smx_buf *out)
{
	while (*said && smx_buf_len(out) < SAID_MAX) {
		size_t n = 0;

		for (size_t i = 0; n == 0 && i < job->n_copies; i++) {
			n = strlen(job->copies[i].path);
			if (strncmp(said, job->copies[i].path, n) != 0)
				n = 0;
			else
				(void)smx_buf_put_str(out, job->copies[i].source);
		}
		if (n == 0)
			(void)smx_buf_put(out, said, n = 1);
		said += n;
	}
}

static int take_answer(struct import_job *job, struct question *q)
{
	struct smx_buf said;
	const char *s;
	int r;

	if (q->r == 0 && q->exit_code == 0)
		return smx_import_answer(job->import, q->at, smx_buf_as_view(&q->out));
	if (q->r == SMX_ETIMEOUT)
		return smx_import_no_answer(job->import, q->at,
			"ssh -G took longer than 10 s; does a Match exec wait for something?");
	if (q->r != 0)
		return q->r;
	smx_buf_init(&said, SAID_MAX + SMX_OS_PATH_MAX + 1);
	if ((s = smx_buf_cstr(&q->err)) != NULL)
		name_sources(job, s, &said);
	s = smx_buf_cstr(&said);
	r = s ? smx_import_no_answer(job->import, q->at, s) : SMX_ENOMEM;
	smx_buf_release(&said);
	return r;
}

static void ask_more(struct import_job *job);

static void on_done(uv_work_t *req, int status)
{
	struct question *q = req->data;
	struct import_job *job = q->job;
	int r = SMX_ECANCELLED;

	job->in_flight--;
	job->done++;
	if (status == 0 && atomic_load(&job->stop) == 0)
		r = take_answer(job, q);
	if (r != 0 && job->error == 0) {
		job->error = r;
		atomic_store(&job->stop, 1);
	}
	show_progress(job, q->host);
	question_free(q);
	ask_more(job);
}

/* 0, 1 (there was nothing to ask), or an error. */
static int ask_one(struct import_job *job, size_t at)
{
	struct smx_import_ask ask = smx_import_ask(job->import, at);
	struct question *q;

	if (!ask.host)
		return 1;
	if ((q = smx_calloc(1, sizeof(*q))) == NULL)
		return SMX_ENOMEM;
	q->req.data = q;
	q->job = job;
	q->at = at;
	smx_buf_init(&q->out, ANSWER_MAX);
	smx_buf_init(&q->err, SAID_MAX);
	if (ask.port)
		(void)snprintf(q->port, sizeof(q->port), "%u", ask.port);
	if ((q->host = smx_strdup(ask.host)) == NULL ||
		(ask.user && (q->user = smx_strdup(ask.user)) == NULL)) {
		question_free(q);
		return SMX_ENOMEM;
	}
	if (uv_queue_work(&job->loop, &q->req, on_thread, on_done) != 0) {
		question_free(q);
		return SMX_ESYS;
	}
	job->in_flight++;
	return 0;
}

static void ask_more(struct import_job *job)
{
	int r;

	while (atomic_load(&job->stop) == 0 && job->in_flight < AT_ONCE &&
		job->next < smx_import_count(job->import)) {
		if ((r = ask_one(job, job->next++)) == 1) {
			job->done++;
		} else if (r != 0) {
			job->error = r;
			atomic_store(&job->stop, 1);
		}
	}
}

/* ---- all of them -------------------------------------------------------------------------------
 */

static int cannot_run(const struct import_job *job, const char *why)
{
	return smx_cli_fail(SMX_EXIT_UNAVAILABLE,
		"name the ssh to use: ssh-mux import-config --ssh-bin /path/to/ssh",
		"cannot ask %s -G: %s", job->ssh, why);
}

/* What ssh does where nothing is configured; also shows that it can be asked at all. */
static int ask_baseline(struct import_job *job)
{
	const char *const argv[] = { job->ssh, "-F", "none", "-T", "-G", "--", "ssh-mux", NULL };
	struct smx_buf out, err;
	int r, exit_code = 0, code = 0;

	smx_buf_init(&out, ANSWER_MAX);
	smx_buf_init(&err, SAID_MAX);
	r = smx_os_run(argv, IMPORT_TIMEOUT_MS, &out, &err, &exit_code);
	if (r == 0 && exit_code == 0)
		r = smx_import_baseline(job->import, smx_buf_as_view(&out));
	if (r == SMX_ESYNTAX)
		code = cannot_run(job, "it did not answer as OpenSSH does");
	else if (r != 0)
		code = cannot_run(job, smx_strerror(r));
	else if (exit_code != 0)
		code = cannot_run(job, smx_buf_len(&err) ? smx_buf_cstr(&err) : "it failed");
	smx_buf_release(&out);
	smx_buf_release(&err);
	return code;
}

int import_ask(struct import_job *job)
{
	int code;

	if ((code = ask_baseline(job)) != 0)
		return code;
	(void)uv_run(&job->loop, UV_RUN_NOWAIT); /* a signal that has come before */
	job->is_progress_shown = smx_os_is_terminal(2);
	ask_more(job);
	(void)uv_run(&job->loop, UV_RUN_DEFAULT);
	erase_progress(job);
	if (job->signal_number != 0) {
		(void)smx_cli_fail(SMX_EXIT_UNAVAILABLE, NULL, "interrupted; nothing was written");
		return 128 + job->signal_number;
	}
	return job->error != 0 ? import_failed(job, job->error) : 0;
}
