/* SPDX-License-Identifier: MIT */
/*
 * Our own pinentry (A4, A5), in a process of its own: the daemon speaks to it on its standard
 * streams as to any other, and what it shows can hang or crash without the daemon.
 */
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "os/process.h"
#include "os/terminal.h"
#include "os/window.h"
#include "pinentry/server.h"

#define CHUNK_SIZE 4096

struct prompter {
	struct smx_pinentry_server talk;
	struct smx_os_input *in;
	enum smx_os_window_kind kind;
	atomic_int stop; /* the daemon has gone, or wants no answer any more */
	int next; /* what the dialogue does next, for the loop: as smx_pinentry_server_feed */
	uv_mutex_t mutex;
	uv_cond_t changed;
	int has_question;
};

/* A thread: only its read can tell that the question is void while it is shown. */
static void read_all(void *arg)
{
	struct prompter *p = arg;
	char chunk[CHUNK_SIZE];
	size_t n;
	int r;

	while (smx_os_input_read(p->in, chunk, sizeof(chunk), &n) == 0) {
		uv_mutex_lock(&p->mutex);
		r = smx_pinentry_server_feed(&p->talk, smx_view_of(chunk, n));
		if (r != SMX_EAGAIN) {
			p->next = r;
			p->has_question = 1;
			uv_cond_signal(&p->changed);
		}
		if (smx_buf_len(&p->talk.out)) {
			(void)smx_os_output_write(
				1, smx_buf_view(&p->talk.out), smx_buf_len(&p->talk.out));
			smx_buf_reset(&p->talk.out);
		}
		uv_mutex_unlock(&p->mutex);
		if (r != SMX_EAGAIN && r != 0)
			return;
	}
	atomic_store(&p->stop, 1);
	uv_mutex_lock(&p->mutex);
	p->next = SMX_EEOF;
	p->has_question = 1;
	uv_cond_signal(&p->changed);
	uv_mutex_unlock(&p->mutex);
}

static const char *text_of(struct smx_buf *b)
{
	const char *text = smx_buf_cstr(b);

	return text ? text : "";
}

/* One question, with the lock held but while it is shown. */
static int ask(struct prompter *p)
{
	const struct smx_os_window_question q = {
		.title = "ssh-mux OTP",
		.text = text_of(&p->talk.description),
		.label = p->talk.is_confirm ? NULL : text_of(&p->talk.prompt),
		.error = text_of(&p->talk.error),
	};
	char answer[SMX_ASSUAN_LINE_MAX];
	int r;

	answer[0] = '\0';
	uv_mutex_unlock(&p->mutex);
	r = smx_os_window_ask(p->kind, &q, &p->stop, answer, sizeof(answer));
	uv_mutex_lock(&p->mutex);
	r = smx_pinentry_server_answer(&p->talk, r, smx_view_of(answer, strlen(answer)));
	smx_wipe(answer, sizeof(answer));
	if (r == 0)
		r = smx_os_output_write(1, smx_buf_view(&p->talk.out), smx_buf_len(&p->talk.out));
	smx_buf_reset(&p->talk.out);
	return r == 0 ? smx_pinentry_server_feed(&p->talk, smx_view_of("", 0)) : r;
}

static int serve(struct prompter *p)
{
	uv_thread_t thread;
	int r;

	if ((r = smx_os_output_write(1, smx_buf_view(&p->talk.out), smx_buf_len(&p->talk.out))) !=
		0)
		return r;
	smx_buf_reset(&p->talk.out);
	if (uv_thread_create(&thread, read_all, p) != 0)
		return SMX_ESYS;
	uv_mutex_lock(&p->mutex);
	for (;;) {
		while (!p->has_question)
			uv_cond_wait(&p->changed, &p->mutex);
		p->has_question = 0;
		r = p->next;
		while (r == 0)
			r = ask(p);
		if (r != SMX_EAGAIN)
			break;
	}
	uv_mutex_unlock(&p->mutex);
	smx_os_input_cancel(p->in);
	(void)uv_thread_join(&thread);
	return r == SMX_EEOF ? 0 : r;
}

enum { OPT_SCRIPT = 256, OPT_TERMINAL, OPT_ECHO };

static const struct option options[] = {
	{ "script", no_argument, NULL, OPT_SCRIPT },
	{ "terminal", no_argument, NULL, OPT_TERMINAL },
	{ "echo", no_argument, NULL, OPT_ECHO },
	SMX_CLI_COMMON_OPTIONS,
};

static int run(int argc, char **argv)
{
	struct prompter p = { .kind = SMX_OS_WINDOW_NATIVE };
	int is_at_terminal = 0, echo = 0, c, r;

	while ((c = smx_cli_getopt(argc, argv, "+:hV", options, &smx_cmd_prompt, &r)) != -1) {
		if (c == -2)
			return r;
		if (c == OPT_SCRIPT)
			p.kind = SMX_OS_WINDOW_SCRIPT;
		is_at_terminal |= c == OPT_TERMINAL;
		echo |= c == OPT_ECHO;
	}
	if ((r = smx_cli_no_arguments(argc, argv, &smx_cmd_prompt)) != 0)
		return r;
	smx_os_ignore_sigpipe();
	if (is_at_terminal)
		return smx_cli_prompt_terminal(echo);
	(void)uv_mutex_init(&p.mutex);
	(void)uv_cond_init(&p.changed);
	if ((r = smx_pinentry_server_init(&p.talk)) == 0 && (r = smx_os_input_new(0, &p.in)) == 0)
		r = serve(&p);
	smx_os_input_free(p.in);
	smx_pinentry_server_release(&p.talk);
	uv_cond_destroy(&p.changed);
	uv_mutex_destroy(&p.mutex);
	return r == 0 ? SMX_EXIT_OK : smx_cli_exit_code(r);
}

const struct smx_command smx_cmd_prompt = {
	.name = "prompt",
	.summary = "ask in a window, for the daemon",
	.usage = "usage: ssh-mux prompt [--script] [--terminal [--echo]]\n"
		 "\n"
		 "Asks in a window what the daemon wants to know, and speaks the protocol of a\n"
		 "pinentry (Assuan) on its standard streams. The daemon starts it where "
		 "a\n"
		 "desktop is the place to ask (Windows).\n"
		 "\n"
		 "      --script   by PowerShell in a console window, not by a window of our own\n"
		 "      --terminal at the terminal that descriptor 3 is, which a client of a "
		 "control\n"
		 "                 socket has; one question, which is read up to a NUL\n"
		 "      --echo     what is typed there is shown\n"
		 "  -h, --help     show this text\n"
		 "  -V, --version  show the version\n",
	.run = run,
	.hears_secrets = 1,
};
