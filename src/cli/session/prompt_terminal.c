/* SPDX-License-Identifier: MIT */
/*
 * A question for the daemon at the terminal of a client of a control socket (W2), in a process of
 * its own: it puts the terminal back when the daemon takes the question back, and when the daemon
 * is killed. mux/ask/ask_process.h says how it is spoken to.
 */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "mux/ask/ask_process.h"
#include "os/ask.h"
#include "os/caller.h"
#include "os/terminal.h"

/* Up to its NUL; the input stays open for as long as the question is to be asked. */
static int read_text(struct smx_buf *out)
{
	struct smx_os_input *in;
	char chunk[4096];
	size_t n;
	int r;

	if ((r = smx_os_input_new(0, &in)) != 0)
		return r;
	do {
		if ((r = smx_os_input_read(in, chunk, sizeof(chunk), &n)) == 0)
			r = smx_buf_put(out, chunk, n);
	} while (r == 0 && chunk[n - 1] != '\0');
	smx_os_input_free(in);
	return r;
}

static int exit_code(int r, const struct smx_os_ask *ask)
{
	enum smx_os_key key;

	if (r == 0)
		return ASK_PROCESS_ANSWERED;
	if (smx_os_ask_was_key(ask, &key))
		return ASK_PROCESS_KEY + (int)key;
	return r == SMX_ECANCELLED ? ASK_PROCESS_CANCELLED : ASK_PROCESS_CANNOT_ASK;
}

int smx_cli_prompt_terminal(int echo)
{
	char answer[ASK_PROCESS_ANSWER_MAX];
	struct smx_os_ask *ask;
	struct smx_buf text;
	int code = ASK_PROCESS_CANNOT_ASK, r;

	smx_os_ignore_terminal();
	smx_buf_init(&text, ASK_PROCESS_TEXT_MAX);
	if (read_text(&text) == 0 && smx_os_ask_new_at(ASK_PROCESS_TERMINAL, 0, &ask) == 0) {
		r = smx_os_ask_run(
			ask, (const char *)smx_buf_view(&text), echo, answer, sizeof(answer));
		if (r == 0)
			r = smx_os_output_write(1, answer, strlen(answer));
		code = exit_code(r, ask);
		smx_os_ask_free(ask);
	}
	smx_wipe(answer, sizeof(answer));
	smx_buf_release(&text);
	return code;
}
