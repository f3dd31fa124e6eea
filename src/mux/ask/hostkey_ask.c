/* SPDX-License-Identifier: MIT */
#include "mux/ask/hostkey_ask.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/randomart.h"
#include "mux/ask/prompt.h"
#include "mux/ask/question.h"
#include "mux/core/say.h"
#include "os/helper.h"

#define WHY_SIZE  256
#define TEXT_MAX  4096
#define LINE_SIZE 8192
#define ASKS_MAX  5 /* answers that are neither yes, no nor the fingerprint */

struct hostkey_ask {
	struct mux *mux;
	struct pool_entry *entry;
	hostkey_ask_cb *cb; /* NULL: cancelled */
	void *arg;
	struct prompt *prompt;
	uint64_t conn; /* for the log */
	unsigned n_asked;
	char *question; /* what is asked first */
	char fingerprint[SMX_FINGERPRINT_SIZE];
	struct smx_buf blob;
	char host[256];
	/* writing it down, on a worker thread */
	uv_work_t work;
	int is_pinning, pin_r;
	char *path;
	struct smx_buf line, err;
};

static void ask_free(struct hostkey_ask *a)
{
	smx_free(a->question);
	smx_free(a->path);
	smx_buf_release(&a->blob);
	smx_buf_release(&a->line);
	smx_buf_release(&a->err);
	smx_free(a);
}

static void finish(struct hostkey_ask *a, int r, const char *why)
{
	if (a->cb)
		a->cb(a->arg, r, why);
	ask_free(a);
}

/* --- pinning (K4) --- */

static void on_pin_work(uv_work_t *work)
{
	struct hostkey_ask *a = SMX_CONTAINER(work, struct hostkey_ask, work);
	const char *line = smx_buf_cstr(&a->line);

	a->pin_r = line ? smx_os_helper_append_line(a->path, line, &a->err) : SMX_ENOMEM;
}

static void on_pinned(uv_work_t *work, int status)
{
	struct hostkey_ask *a = SMX_CONTAINER(work, struct hostkey_ask, work);
	struct smx_hostkey_decision d =
		smx_hostkey_after_pinning(status != 0 ? SMX_ESYS : a->pin_r);
	char why[LINE_SIZE];

	if (d.action == SMX_HOSTKEY_ACCEPT) {
		say_info(&(struct mux_ids){ .conn = a->conn }, "host key of %s (%s) added to %s",
			a->host, a->fingerprint, a->path);
		finish(a, 0, NULL);
	} else {
		(void)snprintf(why, sizeof(why),
			"host key of %s: accepted, but it can't be written down, so the connection "
			"is "
			"refused: %.4000s",
			a->host, smx_errtext(a->pin_r, &a->err));
		finish(a, SMX_EHOSTKEY, why);
	}
}

static int pin(struct hostkey_ask *a)
{
	if (uv_queue_work(a->mux->core.loop, &a->work, on_pin_work, on_pinned) != 0)
		return SMX_ESYS;
	a->is_pinning = 1;
	return 0;
}

/* --- the question (K2) --- */

static int equal_folded(struct smx_view v, const char *s)
{
	if (v.len != strlen(s))
		return 0;
	for (size_t i = 0; i < v.len; i++)
		if (tolower(v.p[i]) != s[i])
			return 0;
	return 1;
}

static int ask(struct hostkey_ask *a, const char *text, const char *plain);

static void ask_again(struct hostkey_ask *a, int with_picture)
{
	struct smx_buf text;
	int r = SMX_ENOMEM;

	smx_buf_init(&text, TEXT_MAX);
	if (with_picture && smx_blob_randomart(smx_buf_as_view(&a->blob), &text) != 0)
		smx_buf_reset(&text);
	if (smx_buf_put_str(&text, "Please type 'yes', 'no', 'art' for a picture of the key, or "
				   "its fingerprint: ") == 0 &&
		smx_buf_cstr(&text))
		r = ask(a, smx_buf_cstr(&text), smx_buf_cstr(&text));
	smx_buf_release(&text);
	if (r != 0)
		finish(a, SMX_EHOSTKEY, "the host key was not accepted");
}

static void on_answer(void *arg, int r, const struct smx_view *answers, size_t n)
{
	struct hostkey_ask *a = arg;
	struct smx_view v = { NULL, 0 };
	const char *bare = strchr(a->fingerprint, ':');
	char why[WHY_SIZE];

	a->prompt = NULL;
	if (r == SMX_ENOTFOUND) {
		/* A window that could not be opened, a terminal that is gone. */
		(void)snprintf(why, sizeof(why),
			"the host key (%s) is not known, and nobody could be asked about it; to "
			"answer it, run: ssh-mux connect NAME",
			a->fingerprint);
		finish(a, SMX_EHOSTKEY, why);
		return;
	}
	if (r == 0 && n == 1)
		v = answers[0];
	while (v.len && v.p[0] == ' ') {
		v.p++;
		v.len--;
	}
	while (v.len && v.p[v.len - 1] == ' ')
		v.len--;
	if (r != 0 || equal_folded(v, "no") || v.len == 0) {
		finish(a, SMX_EHOSTKEY, "the host key was not accepted");
	} else if (equal_folded(v, "yes") || smx_view_eq(v, a->fingerprint) ||
		   (bare && smx_view_eq(v, bare + 1))) {
		if (pin(a) != 0)
			finish(a, SMX_EHOSTKEY,
				"the host key can't be written down: no worker thread");
	} else if (++a->n_asked < ASKS_MAX) {
		ask_again(a, equal_folded(v, "art"));
	} else {
		finish(a, SMX_EHOSTKEY, "the host key was not accepted");
	}
}

static int ask(struct hostkey_ask *a, const char *text, const char *plain)
{
	const struct smx_hop *hop = &a->entry->hops[a->entry->n_hops - 1];
	char whom[600];

	(void)snprintf(whom, sizeof(whom), "%s@%s", hop->user, hop->host);
	a->prompt = prompt_start(a->entry, question_of_host_key(whom, text, plain), on_answer, a);
	return a->prompt ? 0 : SMX_ENOTFOUND;
}

int hostkey_ask_is_waiting(const struct hostkey_ask *a)
{
	return a->prompt && !prompt_is_overdue(a->prompt);
}

/* Only what the question needs is copied: the login may end before the answer. */
static int fill(struct hostkey_ask *a, const struct prepared *p, const struct hostkey_question *q)
{
	struct smx_view plain = smx_buf_as_view(&q->plain);
	int r;

	(void)snprintf(a->host, sizeof(a->host), "%s", q->host);
	memcpy(a->fingerprint, q->fingerprint, sizeof(a->fingerprint));
	if (!(a->question = smx_strdup(q->text)) || !(a->path = smx_strdup(p->known_hosts_path)))
		return SMX_ENOMEM;
	if ((r = smx_buf_put(&a->blob, plain.p, plain.len)) != 0 ||
		(r = smx_known_hosts_line(q->host, q->port, plain,
			 smx_known_hosts_has_hashed(p->known_hosts), &a->line)) != 0)
		return r;
	smx_buf_truncate(&a->line, smx_buf_len(&a->line) - 1); /* its newline */
	return 0;
}

struct hostkey_ask *hostkey_ask_start(struct pool_entry *e, const struct prepared *p,
	const struct hostkey_question *q, hostkey_ask_cb *cb, void *arg)
{
	struct hostkey_ask *a = smx_calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->mux = e->mux;
	a->entry = e;
	a->cb = cb;
	a->arg = arg;
	a->conn = q->conn;
	smx_buf_init(&a->blob, SMX_KEY_BLOB_MAX);
	smx_buf_init(&a->line, 2 * SMX_KEY_BLOB_MAX);
	smx_buf_init(&a->err, LINE_SIZE);
	if (fill(a, p, q) != 0) {
		ask_free(a);
		return NULL;
	}
	if ((q->is_new_accepted ? pin(a) : ask(a, a->question, q->plain_text)) != 0) {
		ask_free(a);
		return NULL;
	}
	return a;
}

void hostkey_ask_cancel(struct hostkey_ask *a)
{
	if (!a)
		return;
	a->cb = NULL;
	prompt_cancel(a->prompt);
	a->prompt = NULL;
	if (!a->is_pinning)
		ask_free(a); /* else on_pinned does: what was accepted is still written down */
}
