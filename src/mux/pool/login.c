/* SPDX-License-Identifier: MIT */
#include "mux/pool/login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "mux/ask/agent_wait.h"
#include "mux/ask/prompt.h"
#include "mux/ask/question.h"
#include "mux/ask/server_words.h"
#include "mux/core/say.h"
#include "mux/pool/agent_io.h"
#include "mux/pool/candidates.h"
#include "mux/pool/holdback.h"
#include "mux/pool/keyload.h"
#include "mux/pool/login_int.h"
#include "mux/pool/pool.h"
#include "ssh/agent.h"

/* A6: where there would be somebody. */
#define NOBODY                                                                                    \
	"to answer it, run: ssh-mux connect NAME (or come through ssh-mux proxy, or run ssh-mux " \
	"serve in the foreground of a terminal)"
#define WHY_SIZE         1600
#define WHOM_SIZE        600
#define ASKED_MAX        3 /* as ssh: NumberOfPasswordPrompts */
#define PARTIAL_MAX      16 /* methods that succeed one after another */
#define EMPTY_ROUNDS_MAX 32
#define BEGUN_MS         1000 /* after so long a server has begun with what it was asked for */

static void finish(struct login *lg, int r, const char *why)
{
	login_cb *cb = lg->cb;

	lg->cb = NULL;
	if (cb)
		cb(lg->arg, r, why);
}

/* --- methods --- */

static int is_rsa(struct smx_view blob)
{
	struct smx_view type;

	return smx_blob_type(blob, &type) == 0 &&
	       (smx_view_eq(type, "ssh-rsa") || smx_view_eq(type, "ssh-rsa-cert-v01@openssh.com"));
}

/* The signature algorithm for a key blob; NULL-terminated in out. */
static int choose_alg(
	const struct login *lg, struct smx_view blob, char *out, size_t size, uint32_t *ret_flags)
{
	const char *accepted = smx_transport_server_sig_algs(lg->t);
	struct smx_view type;
	int is_cert, use_256, r;

	*ret_flags = 0;
	if ((r = smx_blob_type(blob, &type)) != 0)
		return r;
	is_cert = smx_view_eq(type, "ssh-rsa-cert-v01@openssh.com");
	if (!is_cert && !smx_view_eq(type, "ssh-rsa")) {
		if (type.len >= size)
			return SMX_EUNSUPPORTED;
		memcpy(out, type.p, type.len);
		out[type.len] = '\0';
		return 0;
	}
	/* SHA-1 never (A1); SHA-512 unless the server says it takes SHA-256 only. */
	use_256 = smx_namelist_has(smx_view_of(accepted, strlen(accepted)), "rsa-sha2-256") &&
		  !smx_namelist_has(smx_view_of(accepted, strlen(accepted)), "rsa-sha2-512");
	*ret_flags = use_256 ? SMX_AGENT_SIGN_RSA_SHA2_256 : SMX_AGENT_SIGN_RSA_SHA2_512;
	(void)snprintf(out, size, "rsa-sha2-%s%s", use_256 ? "256" : "512",
		is_cert ? "-cert-v01@openssh.com" : "");
	return 0;
}

static void deny(struct login *lg)
{
	const char *notes = "", *absent = candidates_absent(&lg->candidates);
	char why[WHY_SIZE];
	struct smx_buf copy;

	smx_buf_init(&copy, WHY_SIZE);
	if (smx_buf_put(&copy, smx_buf_view(&lg->prepared->notes),
		    smx_buf_len(&lg->prepared->notes)) == 0 &&
		smx_buf_cstr(&copy))
		notes = smx_buf_cstr(&copy);
	if (absent && !*lg->key_note)
		(void)snprintf(lg->key_note, sizeof(lg->key_note),
			"%.120s is a public key, and no agent that was asked has its private one "
			"(ssh-add -L lists what yours has)",
			absent);
	(void)snprintf(why, sizeof(why),
		"%s@%s: permission denied (the server accepts: %s); %zu key%s "
		"offered%s%s%s%s%s%s%s%s",
		lg->hop->user, lg->hop->host, lg->auth.methods[0] ? lg->auth.methods : "nothing",
		lg->n_offered, SMX_PLURAL(lg->n_offered), *lg->prompt_note ? "; " : "",
		lg->prompt_note, *lg->key_note ? "; " : "", lg->key_note,
		*lg->agent_note ? "; " : "", lg->agent_note, *notes ? "; " : "", notes);
	smx_buf_release(&copy);
	/* The server might have taken the key that we could not sign with (U5). */
	finish(lg, lg->own_fault ? lg->own_fault : SMX_EDENIED, why);
}

/* --- methods that ask a person (A2, A3) --- */

static void on_answers(void *arg, int r, const struct smx_view *answers, size_t n)
{
	static const struct smx_view nothing[SMX_AUTH_PROMPTS_MAX];
	struct login *lg = arg;

	link_touch(lg->link);
	if (r == SMX_ECANCELLED && prompt_is_closed(lg->prompt) &&
		prompt_after_close(++lg->n_closed) == PROMPT_SENDS_EMPTY) {
		/* The server says what comes of it: another challenge, or the end. */
		answers = nothing;
		r = 0;
	}
	lg->prompt = NULL;
	if (r != 0) {
		/* Who has left had no mind to answer. */
		lg->was_cancelled = r != SMX_ENOTFOUND || !pool_is_wanted(lg->entry);
		lg->lacks_person = !lg->was_cancelled;
		finish(lg, SMX_EDENIED,
			r == SMX_ENOTFOUND
				? "permission denied: the server asks a question; " NOBODY
				: "permission denied: the question was cancelled");
		return;
	}
	r = lg->is_password ? smx_auth_client_password(&lg->auth, answers[0])
			    : smx_auth_client_send_answers(&lg->auth, answers, n);
	if (r != 0)
		finish(lg, r, smx_strerror(r));
}

/* Where it is asked may be new with each question (A5, A14). */
static const char *note_of(const struct login *lg)
{
	if (lg->n_closed)
		return "The window before was closed without an answer. Close this one too to end "
		       "the login.";
	if (!lg->was_refused)
		return NULL;
	return lg->is_password ? "that password was not accepted" : "that answer was not accepted";
}

/* Takes q over. note: or NULL. */
static void start_prompt(struct login *lg, struct question *q, const char *note, prompt_cb *cb)
{
	if (q && note && question_set_note(q, note) != 0) {
		question_free(q);
		q = NULL;
	}
	lg->wants_person = 1;
	lg->prompt = prompt_start(lg->entry, q, cb, lg);
}

static void name_whom(const struct login *lg, char *out, size_t size)
{
	(void)snprintf(out, size, "%s@%s", lg->hop->user, lg->hop->host);
}

/* request: NULL: the password is asked for. */
static void ask(struct login *lg, const struct smx_auth_info_request *request)
{
	const char *note = note_of(lg);
	char whom[WHOM_SIZE];
	struct question *q;

	name_whom(lg, whom, sizeof(whom));
	q = request ? question_of_server(whom, request) : question_of_password(whom);
	if (q && lg->was_refused) {
		q->try = lg->n_asked + (request != NULL);
		q->tries = ASKED_MAX;
	}
	if (q && question_set_said(q, lg->said.rows) != 0) {
		question_free(q);
		q = NULL;
	}
	lg->said.rows[0] = '\0';
	lg->is_password = !request;
	lg->was_refused = 0; /* said once: a round that follows is asked for the first time */
	start_prompt(lg, q, note, on_answers);
	lg->lacks_person |= !lg->prompt;
	if (!lg->prompt)
		finish(lg, SMX_EDENIED, "permission denied: the server asks a question; " NOBODY);
}

static void show(struct login *lg, struct smx_view text, struct smx_view more)
{
	struct mux_ids ids = { .conn = lg->link->id, .route = lg->entry->route->name };

	server_words(lg->entry, &ids, text, more, &lg->said);
}

/* The server takes one message at a time (B13). */
static int is_in_turns(const struct login *lg)
{
	return greeting_is_in_turns(&lg->mux->greetings, lg->entry->hops, lg->entry->n_hops);
}

static void be_sure(struct login *lg)
{
	lg->is_sure = 1;
	lg->sure(lg->arg);
}

static void on_info_request(struct login *lg, const struct smx_auth_info_request *request)
{
	int r, was_sure = lg->is_sure;

	lg->is_sure = 0;
	if (request->n_prompts) {
		lg->kbdint_was_asked = 1;
		ask(lg, request);
		return;
	}
	/* A13: shown. It is answered without a person, but not for ever. */
	show(lg, request->name, request->instruction);
	r = ++lg->n_rounds > EMPTY_ROUNDS_MAX ? SMX_EPROTOCOL
					      : smx_auth_client_send_answers(&lg->auth, NULL, 0);
	if (r != 0)
		finish(lg, r, smx_strerror(r));
	else if (lg->kbdint_was_asked && !request->name.len && !request->instruction.len &&
		 !was_sure && !is_in_turns(lg))
		be_sure(lg); /* B13: so OpenSSH's server says that PAM was content */
}

/* Starts a method that asks, if one is left. */
static int choose_asking(struct login *lg)
{
	int can_kbdint =
		smx_auth_client_can(&lg->auth, "keyboard-interactive") && !lg->kbdint_is_useless;
	int can_password = smx_auth_client_can(&lg->auth, "password");
	int r;

	if (!can_kbdint && !can_password)
		return 0;
	if (!prompt_is_possible(lg->entry)) {
		lg->lacks_person = 1;
		(void)snprintf(lg->prompt_note, sizeof(lg->prompt_note), "%s", NOBODY);
		return 0;
	}
	if (lg->n_asked >= ASKED_MAX)
		return 0;
	if (!can_kbdint) {
		lg->n_asked++;
		ask(lg, NULL);
		return 1;
	}
	lg->kbdint_was_asked = 0;
	lg->has_bothered = 1;
	lg->asks_after_key |= lg->is_after_key;
	lg->is_after_key = 0;
	if (lg->went_ahead && !lg->taken_up_ms)
		lg->taken_up_ms = mux_now(lg->mux);
	if ((r = smx_auth_client_kbdint(&lg->auth)) != 0)
		finish(lg, r, smx_strerror(r));
	return 1;
}

/* An attempt failed, or was right and more is wanted. */
static void on_choose(struct login *lg, enum smx_auth_wait was, int is_partial)
{
	int was_kbdint = was == SMX_AUTH_WAIT_KBDINT;

	/* B13: a key that came before its turn was not looked at. */
	if (lg->began_with_key && !smx_auth_client_can(&lg->auth, "publickey"))
		lg->next = 0;
	lg->began_with_key = lg->is_sure = 0;
	if ((was_kbdint && lg->kbdint_was_asked) || was == SMX_AUTH_WAIT_PASSWORD) {
		lg->was_refused = !is_partial;
		lg->n_wrong += !is_partial;
	}
	if (was_kbdint && !is_partial) {
		lg->kbdint_is_useless = !lg->kbdint_was_asked;
		lg->n_asked += lg->kbdint_was_asked != 0;
	}
	if (is_partial) {
		/* What was asked was right; the next method is another. */
		lg->n_asked = 0;
		lg->kbdint_is_useless = 0;
		if (++lg->n_partial > PARTIAL_MAX) {
			finish(lg, SMX_EPROTOCOL, "the server asks for methods without end");
			return;
		}
		lg->is_after_key = was == SMX_AUTH_WAIT_PUBKEY && lg->n_partial == 1;
	}
	login_choose(lg);
}

/* A3: RFC 4252 section 8. Where a new password is set, it is to be typed twice, and known to obey
 * rules: that is for a terminal of the server's. */
static void on_expired(struct login *lg, struct smx_view text)
{
	char clean[300], why[WHY_SIZE];

	smx_sanitize((const char *)text.p, text.len, clean, sizeof(clean));
	(void)snprintf(why, sizeof(why),
		"%s@%s: permission denied: the password has expired and must be changed; log in "
		"there without ssh-mux once to change it%s%s",
		lg->hop->user, lg->hop->host, *clean ? "; the server says: " : "", clean);
	finish(lg, SMX_EDENIED, why);
}

/* Whether the candidate can't be used now, which is noted. */
static int is_out_of_reach(struct login *lg, const struct candidate *c)
{
	if (!c->locked || prompt_is_possible(lg->entry))
		return 0;
	lg->lacks_person = 1;
	(void)snprintf(lg->key_note, sizeof(lg->key_note),
		"%.80s is encrypted: add it to your agent (ssh-add %.80s)", c->locked->path,
		c->locked->path);
	return 1;
}

static void sign(struct login *lg);

static int opened_last(const struct login *lg, const struct candidate *c)
{
	return greeting_is_key(
		&lg->mux->greetings, lg->entry->hops, lg->entry->n_hops, candidate_blob(c));
}

/*
 * B13: the key to begin with, put first, or NULL. It is offered with its signature at once, which
 * saves the round trips of asking for the methods and for the key. A key of a file may always be,
 * one of an agent if it opened the last login or is the only one, for the agent may ask somebody.
 * But one of RSA not before the server has said which of its signatures it takes (A1).
 */
static const struct candidate *first_key(struct login *lg)
{
	struct candidate *all = lg->candidates.all, c;
	int is_last = 0;
	size_t at = 0;

	if (lg->is_listing || lg->candidates.n == 0)
		return NULL;
	for (size_t i = 0; i < lg->candidates.n && !is_last; i++)
		if ((is_last = opened_last(lg, &all[i])) != 0)
			at = i;
	c = all[at];
	if (c.locked || (is_rsa(candidate_blob(&c)) && !*smx_transport_server_sig_algs(lg->t)))
		return NULL;
	if (!c.key && lg->candidates.n > 1 && !is_last)
		return NULL;
	memmove(all + 1, all, at * sizeof(*all));
	all[0] = c;
	return &all[0];
}

void login_begin(struct login *lg)
{
	int in_turns = is_in_turns(lg);
	const struct candidate *c = in_turns ? NULL : first_key(lg);
	char alg[SMX_ALG_NAME_SIZE];
	uint32_t flags;
	int r;

	if (c && choose_alg(lg, candidate_blob(c), alg, sizeof(alg), &flags) == 0) {
		lg->next = 1;
		lg->began_with_key = 1;
		lg->n_offered++;
		r = smx_auth_client_begin_with_key(
			&lg->auth, smx_view_of(alg, strlen(alg)), candidate_blob(c));
		if (r == 0)
			sign(lg);
	} else if (in_turns) {
		r = smx_auth_client_begin_in_turns(&lg->auth);
	} else {
		r = smx_auth_client_begin(&lg->auth);
	}
	if (r != 0)
		finish(lg, r, smx_strerror(r));
}

int login_is_unheard(const struct login *lg)
{
	return smx_auth_client_is_unheard(&lg->auth);
}

int login_is_sure(const struct login *lg)
{
	return lg->is_sure;
}

int login_has_gone_ahead(const struct login *lg)
{
	return lg->went_ahead && !lg->wants_person &&
	       (!lg->taken_up_ms || mux_now(lg->mux) - lg->taken_up_ms < BEGUN_MS);
}

int login_may_go_again(const struct login *lg)
{
	return !lg->wants_person && (!lg->has_bothered || login_has_gone_ahead(lg));
}

void login_choose(struct login *lg)
{
	struct candidate *c;
	char alg[SMX_ALG_NAME_SIZE];
	uint32_t flags;
	int r;

	if (lg->is_listing) {
		lg->wants_choice = 1;
		return;
	}
	lg->wants_choice = 0;
	if (!lg->auth.has_methods) {
		/* The key to begin with can't sign. */
		if ((r = smx_auth_client_none(&lg->auth)) != 0)
			finish(lg, r, smx_strerror(r));
		return;
	}
	if (smx_auth_client_can(&lg->auth, "publickey") && login_list_again(lg)) {
		lg->is_after_key = 0;
		return;
	}
	while (smx_auth_client_can(&lg->auth, "publickey") && lg->next < lg->candidates.n) {
		c = &lg->candidates.all[lg->next++];
		if (choose_alg(lg, candidate_blob(c), alg, sizeof(alg), &flags) != 0 ||
			is_out_of_reach(lg, c))
			continue;
		lg->n_passphrases = 0;
		lg->n_offered++;
		lg->is_after_key = 0;
		r = smx_auth_client_probe_key(
			&lg->auth, smx_view_of(alg, strlen(alg)), candidate_blob(c));
		if (r != 0)
			finish(lg, r, smx_strerror(r));
		return;
	}
	if (!choose_asking(lg))
		deny(lg);
}

/* B13: behind the signature that the login began with goes what the last one went on with. */
static void follow(struct login *lg)
{
	const struct pool_entry *e = lg->entry;
	int r;

	if (!opened_last(lg, &lg->candidates.all[lg->next - 1]))
		return;
	switch (greeting_then(&lg->mux->greetings, e->hops, e->n_hops)) {
	case GREETING_ENOUGH:
		be_sure(lg);
		break;
	case GREETING_ASKS:
		if (!smx_transport_is_openssh(lg->t) || !prompt_is_possible(lg->entry))
			break;
		lg->went_ahead = 1;
		if ((r = smx_auth_client_kbdint_ahead(&lg->auth)) != 0)
			finish(lg, r, smx_strerror(r));
		break;
	default:
		break;
	}
}

static void send_signature(struct login *lg, int r, struct smx_view signature)
{
	if (r != 0) {
		/* This key is of no use; the others may be. */
		smx_auth_client_skip_key(&lg->auth);
		login_choose(lg);
		return;
	}
	if ((r = smx_auth_client_send_signature(&lg->auth, signature)) != 0)
		finish(lg, r, smx_strerror(r));
	else if (lg->began_with_key)
		follow(lg);
}

static void on_signed(void *arg, int r, struct smx_view message)
{
	struct login *lg = arg;
	struct smx_view signature = { NULL, 0 };

	link_touch(lg->link);
	lg->agent = NULL;
	agent_wait_end(lg->agent_wait);
	lg->agent_wait = NULL;
	if (r == 0)
		r = smx_agent_parse_signature(message, &signature);
	if (r != 0)
		(void)snprintf(lg->agent_note, sizeof(lg->agent_note), "the agent did not sign: %s",
			smx_strerror(r));
	send_signature(lg, r, signature);
}

/* It is there for one signature. */
static void forget_key(struct login *lg)
{
	smx_key_free(lg->unlocked);
	lg->unlocked = NULL;
}

static void sign(struct login *lg)
{
	const struct candidate *c = &lg->candidates.all[lg->next - 1];
	struct smx_buf data, out;
	char alg[SMX_ALG_NAME_SIZE];
	const char *plain;
	uint32_t flags;
	int r;

	smx_buf_init(&data, SMX_AUTH_MSG_MAX);
	smx_buf_init(&out, SMX_AGENT_MSG_MAX);
	if ((r = choose_alg(lg, candidate_blob(c), alg, sizeof(alg), &flags)) != 0 ||
		(r = smx_auth_client_sign_data(&lg->auth, &data)) != 0)
		goto out;
	if (c->key || lg->unlocked) {
		plain = smx_sigalg_of_cert(smx_view_of(alg, strlen(alg)));
		r = smx_key_sign(c->key ? c->key : lg->unlocked, plain ? plain : alg,
			smx_buf_as_view(&data), &out);
		forget_key(lg);
		if (r != 0) {
			lg->own_fault = r;
			(void)snprintf(lg->key_note, sizeof(lg->key_note),
				"a key could not sign: %s", smx_strerror(r));
		}
		send_signature(lg, r, smx_buf_as_view(&out));
		r = 0;
		goto out;
	}
	if ((r = login_put_bind(lg, &out)) == 0)
		r = smx_agent_put_sign(&out, candidate_signer(c), smx_buf_as_view(&data), flags);
	if (r == 0) {
		lg->agent = agent_ask(lg->mux->core.loop, lg->agents[lg->n_agents - 1], &out, 1,
			AGENT_SIGN_TIMEOUT_MS, on_signed, lg);
		r = lg->agent ? 0 : SMX_ENOMEM;
		lg->agent_wait = agent_wait_start(lg->entry, candidate_signer(c));
	}
out:
	smx_buf_release(&data);
	smx_buf_release(&out);
	if (r != 0)
		finish(lg, r, smx_strerror(r));
}

/* --- an encrypted key file (A1) --- */

static void ask_passphrase(struct login *lg);

/* Another key may do; lg->key_note says what was wrong with this. */
static void give_up_key(struct login *lg, const char *why)
{
	(void)snprintf(lg->key_note, sizeof(lg->key_note), "%.120s: %s",
		lg->candidates.all[lg->next - 1].locked->path, why);
	smx_auth_client_skip_key(&lg->auth);
	login_choose(lg);
}

static void on_loaded(void *arg, int r, struct smx_key *key)
{
	struct login *lg = arg;

	link_touch(lg->link);
	lg->keyload = NULL;
	if (r == 0) {
		lg->unlocked = key;
		sign(lg);
	} else if (r == SMX_EPASSPHRASE && lg->n_passphrases < ASKED_MAX) {
		ask_passphrase(lg);
	} else {
		give_up_key(lg, r == SMX_EPASSPHRASE ? "wrong passphrase" : smx_strerror(r));
	}
}

static void on_passphrase(void *arg, int r, const struct smx_view *answers, size_t n)
{
	struct login *lg = arg;
	const struct candidate *c = &lg->candidates.all[lg->next - 1];

	link_touch(lg->link);
	lg->prompt = NULL;
	if (r == SMX_ENOTFOUND) {
		lg->lacks_person = 1;
		give_up_key(lg, "its passphrase can't be asked for");
	} else if (r != 0) {
		lg->was_cancelled = 1;
		finish(lg, SMX_EDENIED, "permission denied: the question was cancelled");
	} else if (n != 1 || answers[0].len == 0) {
		give_up_key(lg, "no passphrase was given"); /* as in ssh: the next one */
	} else {
		lg->keyload = keyload_start(lg->mux, c->locked->path,
			smx_buf_as_view(&c->locked->blob), answers[0], on_loaded, lg);
		if (!lg->keyload)
			finish(lg, SMX_ENOMEM, smx_strerror(SMX_ENOMEM));
	}
}

static void ask_passphrase(struct login *lg)
{
	const char *path = lg->candidates.all[lg->next - 1].locked->path;
	const char *note = lg->n_passphrases++ ? "wrong passphrase, try again" : NULL;
	char whom[WHOM_SIZE];

	name_whom(lg, whom, sizeof(whom));
	start_prompt(lg, question_of_passphrase(whom, path), note, on_passphrase);
	if (!lg->prompt)
		give_up_key(lg, "its passphrase can't be asked for");
}

/* --- the log: which methods, and nothing of what was said --- */

const char *login_methods(const struct login *lg)
{
	return lg->methods[0] ? lg->methods : "nothing";
}

static void name_method(const struct login *lg, enum smx_auth_wait wait, char *out, size_t size)
{
	char fingerprint[SMX_FINGERPRINT_SIZE] = "";
	const struct smx_buf *blob = &lg->auth.key_blob;

	switch (wait) {
	case SMX_AUTH_WAIT_NONE:
		(void)snprintf(out, size, "none");
		break;
	case SMX_AUTH_WAIT_PASSWORD:
		(void)snprintf(out, size, "password");
		break;
	case SMX_AUTH_WAIT_KBDINT:
		(void)snprintf(out, size, "keyboard-interactive");
		break;
	default:
		(void)smx_blob_fingerprint(smx_buf_as_view(blob), fingerprint);
		(void)snprintf(out, size, "publickey %s", fingerprint);
		break;
	}
}

/* The server answered what was tried. */
static void note_method(struct login *lg, const char *method, const struct smx_auth_event *ev)
{
	struct mux_ids ids = { .conn = lg->link->id, .route = lg->entry->route->name };
	size_t used = strlen(lg->methods);

	if (ev->type != SMX_AUTH_EV_DONE && !ev->is_partial) {
		say_debug(&ids, "%s: refused by the server", method);
		return;
	}
	if (ev->is_partial)
		say_debug(&ids, "%s: taken by the server, which wants more", method);
	/* Without memory it is not remembered. */
	if (strncmp(method, "publickey", strlen("publickey")) == 0 && !smx_buf_len(&lg->first_key))
		(void)smx_buf_put(&lg->first_key, smx_buf_view(&lg->auth.key_blob),
			smx_buf_len(&lg->auth.key_blob));
	(void)snprintf(
		lg->methods + used, sizeof(lg->methods) - used, "%s%s", used ? ", " : "", method);
}

/* B13: the next login of this way begins with it. */
static void note_key(struct login *lg)
{
	enum greeting_then then = GREETING_MORE;

	if (!strchr(lg->methods, ','))
		then = GREETING_ENOUGH;
	else if (lg->asks_after_key)
		then = GREETING_ASKS;
	greeting_note_key(&lg->mux->greetings, lg->entry->hops, lg->entry->n_hops,
		smx_buf_as_view(&lg->first_key), then);
}

int login_handle(struct login *lg, struct smx_view payload)
{
	enum smx_auth_wait was = lg->auth.wait;
	char method[SMX_FINGERPRINT_SIZE + 16];
	struct smx_auth_event ev;
	int r;

	if (!lg->cb)
		return 0;
	name_method(lg, lg->auth.wait, method, sizeof(method));
	if ((r = smx_auth_client_handle(&lg->auth, payload, &ev)) != 0)
		return r;
	if (ev.type == SMX_AUTH_EV_DONE || ev.type == SMX_AUTH_EV_CHOOSE)
		note_method(lg, method, &ev);
	switch (ev.type) {
	case SMX_AUTH_EV_NONE:
		break;
	case SMX_AUTH_EV_BANNER:
		show(lg, ev.text, (struct smx_view){ NULL, 0 });
		break;
	case SMX_AUTH_EV_CHOOSE:
		on_choose(lg, was, ev.is_partial);
		break;
	case SMX_AUTH_EV_SIGN:
		if (lg->candidates.all[lg->next - 1].locked)
			ask_passphrase(lg);
		else
			sign(lg);
		break;
	case SMX_AUTH_EV_EXPIRED:
		on_expired(lg, ev.text);
		break;
	case SMX_AUTH_EV_ASK:
		on_info_request(lg, &ev.ask);
		break;
	case SMX_AUTH_EV_DONE:
		note_key(lg);
		finish(lg, 0, NULL);
		break;
	}
	return 0;
}

struct login *login_new(struct pool_entry *e, struct link *l, const struct smx_hop *hop,
	const struct prepared *prepared, login_cb *cb, login_sure_cb *sure, void *arg)
{
	struct login *lg = smx_calloc(1, sizeof(*lg));

	if (!lg)
		return NULL;
	lg->mux = e->mux;
	lg->entry = e;
	lg->link = l;
	lg->t = l->t;
	lg->hop = hop;
	lg->prepared = prepared;
	lg->cb = cb;
	lg->sure = sure;
	lg->arg = arg;
	smx_buf_init(&lg->first_key, SMX_KEY_BLOB_MAX);
	if (candidates_init(&lg->candidates, prepared, hop) != 0 ||
		smx_auth_client_init(&lg->auth, l->t, hop->user) != 0) {
		login_free(lg);
		return NULL;
	}
	login_list_agent(lg); /* while the key exchange is on its way */
	return lg;
}

const char *login_said(const struct login *lg)
{
	return lg->said.last;
}

int login_is_with_server(const struct login *lg)
{
	return smx_auth_client_is_asked(&lg->auth);
}

int login_wants_person(const struct login *lg)
{
	return lg->wants_person;
}

void login_note_failure(const struct login *lg, struct attempt_failure *f)
{
	f->n_wrong = lg->n_wrong;
	f->was_cancelled = lg->was_cancelled;
	/* A prompt without an answer has bothered nobody by a way of the server's own. */
	f->was_bothered = (lg->has_bothered || lg->auth.began_in_vain) && !lg->was_cancelled &&
			  !lg->lacks_person;
	if (holdback_place(lg->entry) > f->place)
		f->place = holdback_place(lg->entry);
	f->n_agents = 0;
	for (size_t i = 0; i < lg->n_agents; i++)
		f->agents[f->n_agents++] = attempt_agent_id(lg->agents[i]);
	if (f->kind == ATTEMPT_REFUSED &&
		(lg->wants_person || lg->lacks_person || lg->has_bothered))
		f->kind = ATTEMPT_PERSON;
}

int login_is_asking(const struct login *lg)
{
	return lg->prompt && !prompt_is_overdue(lg->prompt);
}

void login_free(struct login *lg)
{
	if (!lg)
		return;
	agent_cancel(lg->agent);
	agent_wait_end(lg->agent_wait);
	prompt_cancel(lg->prompt);
	keyload_cancel(lg->keyload);
	forget_key(lg);
	smx_buf_release(&lg->first_key);
	candidates_release(&lg->candidates);
	smx_auth_client_release(&lg->auth);
	for (size_t i = 0; i < lg->n_agents; i++)
		smx_free(lg->agents[i]);
	smx_free(lg);
}
