/* SPDX-License-Identifier: MIT */
#include "mux/forward/agent_forward.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/cert.h"
#include "crypto/keyfile.h"
#include "mux/ask/prompt.h"
#include "mux/ask/question.h"
#include "mux/core/say.h"
#include "mux/forward/agent_end.h"
#include "mux/forward/agent_pipe.h"
#include "mux/pool/upstream.h"
#include "os/file.h"
#include "ssh/agent.h"
#include "ssh/agent_filter.h"

#define REFUSALS_LOGGED 3
#define TEXT_SIZE       1500
#define NAME_SIZE       200
#define PURPOSE_SIZE    41
#define REQUEST_MAX     (4 + SMX_AGENT_MSG_MAX)

enum loan_state {
	LOAN_REACHING, /* the agent is being connected to */
	LOAN_BINDING, /* it was told who asks */
	LOAN_IDLE,
	LOAN_ASKING, /* a person is asked */
	LOAN_AT_AGENT, /* it has a request of the remote's */
};

/* One connection of the remote's to an agent. */
struct loan {
	struct smx_list node; /* lender->loans */
	struct agent_lender *lender; /* NULL: over */
	struct upstream *up;
	enum loan_state state;
	enum smx_agent_kind pending; /* what is at the agent */
	struct agent_pipe remote;
	struct agent_end *end;
	struct prompt *prompt;
	uint64_t tried_id; /* the lender that was tried last */
	unsigned n_refused;
	struct smx_buf keys; /* the list that was last shown: for comments, where a person is asked
			      */
};

static struct mux_ids ids_of(const struct loan *ln)
{
	struct mux_ids ids = ids_of_upstream(ln->up);

	if (ln->lender)
		ids.client = ln->lender->client_id;
	return ids;
}

static const struct smx_agent_forward *policy_of(const struct loan *ln)
{
	return &ln->lender->route->agent;
}

/* --- the end of a loan --- */

static void stop_serving(struct loan *ln)
{
	prompt_cancel(ln->prompt);
	ln->prompt = NULL;
	agent_end_free(ln->end);
	ln->end = NULL;
	ln->lender = NULL;
	smx_list_del(&ln->node);
	smx_buf_release(&ln->keys);
}

static void loan_end(struct loan *ln)
{
	stop_serving(ln);
	agent_pipe_close(&ln->remote); /* frees, now or when the remote has answered */
}

static void on_remote_ended(struct agent_pipe *p)
{
	loan_end(SMX_CONTAINER(p, struct loan, remote));
}

static void on_remote_released(struct agent_pipe *p)
{
	smx_free(SMX_CONTAINER(p, struct loan, remote));
}

/* --- keys --- */

/* Of a certificate it is that of its key, as ssh-add shows it. */
static int fingerprint_of(struct smx_view blob, char out[SMX_FINGERPRINT_SIZE])
{
	struct smx_cert *cert;
	int r;

	if (smx_cert_parse(&cert, blob) != 0)
		return smx_blob_fingerprint(blob, out);
	r = smx_blob_fingerprint(cert->plain_blob, out);
	smx_cert_free(cert);
	return r;
}

static int is_lent(const struct smx_agent_forward *policy, struct smx_view blob)
{
	char fingerprint[SMX_FINGERPRINT_SIZE];

	if (policy->n_keys == 0)
		return 1;
	if (fingerprint_of(blob, fingerprint) != 0)
		return 0;
	for (size_t i = 0; i < policy->n_keys; i++)
		if (strcmp(policy->keys[i], fingerprint) == 0)
			return 1;
	return 0;
}

static int keep_lent(void *arg, struct smx_view blob, struct smx_view comment)
{
	(void)comment;
	return is_lent(policy_of(arg), blob);
}

struct wanted {
	struct smx_view blob;
	char *comment;
};

static int find_comment(void *arg, struct smx_view blob, struct smx_view comment)
{
	struct wanted *w = arg;

	if (!smx_view_eq_view(blob, w->blob))
		return 0;
	smx_sanitize((const char *)comment.p, comment.len, w->comment, NAME_SIZE);
	return 1;
}

/* "ED25519-type SHA256:… (comment)", fit for a terminal. */
static void describe_key(const struct loan *ln, struct smx_view blob, char *out, size_t size)
{
	char fingerprint[SMX_FINGERPRINT_SIZE] = "", comment[NAME_SIZE] = "", type[NAME_SIZE] = "";
	struct wanted w = { blob, comment };
	struct smx_view name = { NULL, 0 };

	(void)fingerprint_of(blob, fingerprint);
	if (smx_blob_type(blob, &name) == 0)
		smx_sanitize((const char *)name.p, name.len, type, sizeof(type));
	if (smx_buf_len(&ln->keys) > 4)
		(void)smx_agent_parse_list((struct smx_view){ smx_buf_view(&ln->keys) + 4,
						   smx_buf_len(&ln->keys) - 4 },
			find_comment, &w);
	(void)snprintf(out, size, "%s %s%s%s%s", type, fingerprint, *comment ? " (" : "", comment,
		*comment ? ")" : "");
}

/* --- requests --- */

static void fail_request(struct loan *ln, const char *why)
{
	struct mux_ids ids = ids_of(ln);

	if (ln->n_refused++ < REFUSALS_LOGGED)
		say_warn(&ids, "a request of the remote to the agent was refused: %s", why);
	ln->state = LOAN_IDLE;
	if (smx_agent_put_failure(&ln->remote.out) != 0) {
		loan_end(ln);
		return;
	}
	agent_pipe_flush(&ln->remote);
	agent_pipe_next(&ln->remote);
}

/* As it came, for it was read whole. */
static void pass_request(struct loan *ln, enum smx_agent_kind kind)
{
	struct smx_view message = agent_pipe_message(&ln->remote);
	struct smx_buf b;
	int r;

	smx_buf_init(&b, REQUEST_MAX);
	r = smx_put_view(&b, message);
	if (r == 0)
		r = agent_end_send(ln->end, smx_buf_as_view(&b));
	smx_buf_release(&b);
	if (r != 0) {
		loan_end(ln);
		return;
	}
	ln->pending = kind;
	ln->state = LOAN_AT_AGENT;
}

/* --- a person (B4: "confirm") --- */

static void describe_purpose(struct smx_view data, char *out, size_t size)
{
	struct smx_view name = { NULL, 0 };
	enum smx_agent_purpose purpose = smx_agent_purpose(data, &name);
	char clean[PURPOSE_SIZE]; /* the remote's own words: they stay within their line */

	smx_sanitize((const char *)name.p, name.len, clean, sizeof(clean));
	switch (purpose) {
	case SMX_AGENT_FOR_LOGIN:
		(void)snprintf(out, size, "to log in somewhere as \"%s\"", clean);
		break;
	case SMX_AGENT_FOR_FILE:
		(void)snprintf(out, size, "to sign a file or a commit (\"%s\")", clean);
		break;
	case SMX_AGENT_FOR_UNKNOWN:
		(void)snprintf(out, size, "for a purpose that ssh-mux does not know");
		break;
	}
}

static void on_decided(void *arg, int r, const struct smx_view *answers, size_t n)
{
	struct loan *ln = arg;

	ln->prompt = NULL;
	if (r == 0 && n == 1 && smx_view_eq(answers[0], "yes"))
		pass_request(ln, SMX_AGENT_SIGN);
	else
		fail_request(ln, r == 0 || r == SMX_ECANCELLED ? "the person said no"
							       : "nobody can be asked");
}

static void ask(struct loan *ln, const struct smx_agent_request *req)
{
	char text[TEXT_SIZE], key[3 * NAME_SIZE], purpose[2 * NAME_SIZE], host[2 * NAME_SIZE];
	char target[2 * NAME_SIZE];

	(void)snprintf(
		target, sizeof(target), "%.180s@%.180s", ln->up->hop->user, ln->up->hop->host);
	smx_sanitize(target, strlen(target), host, sizeof(host));
	describe_key(ln, req->blob, key, sizeof(key));
	describe_purpose(req->data, purpose, sizeof(purpose));
	(void)snprintf(text, sizeof(text),
		"ssh-mux: %s asks your agent for a signature\n"
		"purpose: %s\n"
		"key: %s\n"
		"Allow it (yes/no)? ",
		host, purpose, key);
	ln->state = LOAN_ASKING;
	ln->prompt = prompt_start_permission(ln->up->entry, ln->lender->asker,
		question_of_permission(target, text), on_decided, ln);
	if (!ln->prompt)
		fail_request(ln, "agent_forward wants a person's consent, and nobody can be asked");
}

static void on_request(struct agent_pipe *p, struct smx_view message)
{
	struct loan *ln = SMX_CONTAINER(p, struct loan, remote);
	struct mux_ids ids = ids_of(ln);
	struct smx_agent_request req;
	char key[3 * NAME_SIZE], text[100];
	int r = smx_agent_read_request(message, &req);

	if (r != 0 || req.kind == SMX_AGENT_OTHER) {
		(void)snprintf(text, sizeof(text), "message %u is %s", req.type,
			r != 0 ? "malformed" : "neither a list of keys nor a signature");
		fail_request(ln, text);
		return;
	}
	if (req.kind != SMX_AGENT_SIGN) {
		pass_request(ln, req.kind);
		return;
	}
	if (!is_lent(policy_of(ln), req.blob)) {
		fail_request(ln, "agent_forward does not name the key");
		return;
	}
	describe_key(ln, req.blob, key, sizeof(key));
	say_info(&ids, "the remote asks the agent for a signature with %s", key);
	if (policy_of(ln)->must_confirm)
		ask(ln, &req);
	else
		pass_request(ln, req.kind);
}

/* The agent's answer, or what may be seen of it. */
static int put_answer(struct loan *ln, struct smx_view message)
{
	struct smx_buf *keys = &ln->keys;
	int r;

	if (ln->pending == SMX_AGENT_LIST && policy_of(ln)->must_confirm) {
		smx_buf_reset(keys);
		if ((r = smx_agent_put_answer(keys, SMX_AGENT_LIST, message, keep_lent, ln)) != 0)
			return r;
	}
	return smx_agent_put_answer(&ln->remote.out, ln->pending, message, keep_lent, ln);
}

/* --- the agent's side --- */

static void reach_next(struct loan *ln);

/* OpenSSH's client tells the agent the same, so that keys added for certain hosts alone (ssh-add
 * -h) are used for those alone. One that knows nothing of it answers with a failure. */
static void bind_agent(struct loan *ln)
{
	const struct smx_transport *t = ln->up->link->t;
	struct smx_buf b;
	int r;

	smx_buf_init(&b, REQUEST_MAX);
	r = smx_agent_put_bind(&b, smx_transport_host_key_blob(t), smx_transport_session_id(t),
		smx_transport_session_signature(t), 1);
	if (r == 0)
		r = agent_end_send(ln->end, smx_buf_as_view(&b));
	smx_buf_release(&b);
	if (r != 0)
		loan_end(ln);
	else
		ln->state = LOAN_BINDING;
}

static void on_agent(void *arg, enum agent_end_event event, struct smx_view message)
{
	struct loan *ln = arg;

	link_touch(ln->up->link);
	switch (event) {
	case AGENT_END_OPEN:
		bind_agent(ln);
		return;
	case AGENT_END_GONE:
		ln->end = NULL;
		if (ln->state == LOAN_REACHING)
			reach_next(ln);
		else
			loan_end(ln);
		return;
	case AGENT_END_ANSWER:
		break;
	}
	switch (ln->state) {
	case LOAN_BINDING:
		ln->state = LOAN_IDLE;
		agent_pipe_accept(&ln->remote);
		return;
	case LOAN_AT_AGENT:
		ln->state = LOAN_IDLE;
		if (put_answer(ln, message) != 0) {
			loan_end(ln);
			return;
		}
		agent_pipe_flush(&ln->remote);
		agent_pipe_next(&ln->remote);
		return;
	default:
		loan_end(ln); /* an answer to nothing */
	}
}

static int reach(struct loan *ln, struct agent_lender *l)
{
	smx_list_del(&ln->node);
	smx_list_add_tail(&l->loans, &ln->node);
	ln->lender = l;
	ln->state = LOAN_REACHING;
	ln->tried_id = l->id;
	ln->end = l->path ? agent_end_new_socket(ln->up->entry->mux, l->path, on_agent, ln)
			  : agent_end_new_channel(l->client, on_agent, ln);
	return ln->end != NULL;
}

/* In the order in which they asked. */
static void reach_next(struct loan *ln)
{
	struct smx_list *head = &ln->up->lenders;

	for (struct smx_list *it = head->next; it != head; it = it->next) {
		struct agent_lender *l = SMX_CONTAINER(it, struct agent_lender, node);

		if (l->id > ln->tried_id && reach(ln, l))
			return;
	}
	stop_serving(ln);
	agent_pipe_refuse(&ln->remote, SMX_OPEN_CONNECT_FAILED, "the agent can't be reached");
}

/* --- what the remote asks for --- */

static const struct agent_pipe_ops remote_ops = { NULL, on_request, on_remote_ended,
	on_remote_released };

static size_t count_loans(struct upstream *up)
{
	size_t n = 0;

	for (struct smx_list *it = up->lenders.next; it != &up->lenders; it = it->next) {
		struct agent_lender *l = SMX_CONTAINER(it, struct agent_lender, node);

		for (const struct smx_list *k = l->loans.next; k != &l->loans; k = k->next)
			n++;
	}
	return n;
}

/* Why it is refused, or NULL. */
static const char *open_fault(
	struct upstream *up, const struct smx_conn_event *ev, enum smx_open_failure *ret)
{
	*ret = SMX_OPEN_ADMINISTRATIVELY_PROHIBITED;
	if (smx_list_empty(&up->lenders))
		return "nobody here lends an agent on this connection";
	if (up->entry->mux->is_locked)
		return MUX_LOCKED_TEXT;
	if (ev->data.len)
		return "malformed open";
	*ret = SMX_OPEN_RESOURCE_SHORTAGE;
	return count_loans(up) >= AGENT_LOANS_MAX ? "too many connections to the agent" : NULL;
}

void agent_forward_open(struct upstream *up, struct smx_conn_event *ev)
{
	struct mux_ids ids = ids_of_upstream(up);
	enum smx_open_failure reason;
	const char *fault = open_fault(up, ev, &reason);
	struct loan *ln = fault ? NULL : smx_calloc(1, sizeof(*ln));
	int r;

	if (!ln) {
		if (!fault)
			fault = smx_strerror(SMX_ENOMEM);
		say_warn(&ids, "the remote's open of a channel to an agent was refused: %s", fault);
		if ((r = smx_conn_open_fail(&up->link->conn, ev->chan, reason, fault)) != 0)
			link_fail(up->link, r, NULL);
		return;
	}
	smx_list_init(&ln->node);
	ln->up = up;
	smx_buf_init(&ln->keys, REQUEST_MAX);
	(void)agent_pipe_init(&ln->remote, &remote_ops, up->link, ev->chan);
	say_debug(&ids, "the remote connects to the agent");
	reach_next(ln);
}

static struct loan *first_overdue(const struct upstream *up)
{
	for (struct smx_list *it = up->lenders.next; it != &up->lenders; it = it->next) {
		struct agent_lender *l = SMX_CONTAINER(it, struct agent_lender, node);

		for (struct smx_list *k = l->loans.next; k != &l->loans; k = k->next) {
			struct loan *ln = SMX_CONTAINER(k, struct loan, node);

			if (ln->prompt && prompt_is_overdue(ln->prompt))
				return ln;
		}
	}
	return NULL;
}

void agent_forward_tick(struct upstream *up)
{
	struct prompt *late;
	struct loan *ln;

	/* From the first one on each time: another loan may end with this one's question. */
	while ((ln = first_overdue(up))) {
		late = ln->prompt;
		ln->prompt = NULL;
		fail_request(ln, "the question about it was not answered in time");
		prompt_cancel(late);
	}
}

/* --- who lends --- */

int agent_lend(struct agent_lender *l, struct upstream *up, const struct smx_route *route,
	struct link *client, const char *path, struct asker *asker)
{
	struct mux *m = up->entry->mux;

	if (l->up)
		return 0; /* asked twice */
	if (path && !(l->path = smx_strdup(path)))
		return SMX_ENOMEM;
	l->up = up;
	l->route = route;
	l->client = client;
	l->asker = asker;
	l->id = ++m->core.next_id;
	smx_list_init(&l->loans);
	smx_list_init(&l->node);
	smx_list_add_tail(&up->lenders, &l->node);
	return 0;
}

void agent_lend_no_more(struct agent_lender *l)
{
	if (!l->up)
		return;
	smx_list_del(&l->node);
	while (!smx_list_empty(&l->loans)) {
		struct loan *ln = SMX_CONTAINER(l->loans.next, struct loan, node);

		if (ln->state != LOAN_REACHING) {
			loan_end(ln);
			continue;
		}
		/* Nothing was begun: another one's agent may serve. */
		agent_end_free(ln->end);
		ln->end = NULL;
		reach_next(ln);
	}
	smx_free(l->path);
	*l = (struct agent_lender){ .up = NULL };
}

/* --- the keys that routes name --- */

static int read_key_file(const char *path, char out[SMX_FINGERPRINT_SIZE], struct smx_buf *err)
{
	struct smx_buf text, blob;
	struct smx_view line, rest;
	const uint8_t *end;
	int r;

	smx_buf_init(&text, SMX_KEYFILE_MAX);
	smx_buf_init(&blob, SMX_KEY_BLOB_MAX);
	if ((r = smx_os_file_read(path, SMX_KEYFILE_MAX, SMX_OS_FILE_PLAIN, &text, err)) == 0) {
		line = smx_buf_as_view(&text);
		end = line.len ? memchr(line.p, '\n', line.len) : NULL;
		line.len = end ? (size_t)(end - line.p) : line.len;
		r = smx_pubkey_line_parse(line, &blob, &rest);
	}
	if (r == 0)
		r = fingerprint_of(smx_buf_as_view(&blob), out);
	smx_buf_release(&text);
	smx_buf_release(&blob);
	return r;
}

static int name_key(const struct smx_route *route, char **key, struct smx_buf *complaints)
{
	char fingerprint[SMX_FINGERPRINT_SIZE];
	struct smx_buf err;
	char *copy;
	int r;

	if (strncmp(*key, "SHA256:", 7) == 0)
		return 0;
	smx_buf_init(&err, TEXT_SIZE);
	r = read_key_file(*key, fingerprint, &err);
	if (r == 0 && (copy = smx_strdup(fingerprint))) {
		smx_free(*key);
		*key = copy;
	} else if (r == 0 || r == SMX_ENOMEM) {
		r = SMX_ENOMEM;
	} else {
		r = smx_buf_printf(complaints,
			"route %s: agent_forward names %s, which is no public key that can be read "
			"(%s), so it lends none\n",
			route->name, *key, smx_strerror(r));
	}
	smx_buf_release(&err);
	return r == SMX_ENOMEM ? r : 0;
}

int agent_forward_name_keys(struct smx_routes *routes, struct smx_buf *ret_complaints)
{
	int r = 0;

	for (size_t i = 0; i < routes->n_routes; i++) {
		struct smx_route *route = &routes->routes[i];

		for (size_t k = 0; r == 0 && k < route->agent.n_keys; k++)
			r = name_key(route, &route->agent.keys[k], ret_complaints);
	}
	return r;
}
