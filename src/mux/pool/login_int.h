/* SPDX-License-Identifier: MIT */
/* What the parts of a login share. Private to src/mux/pool/login*.c. */
#ifndef SMX_MUX_POOL_LOGIN_INT_H
#define SMX_MUX_POOL_LOGIN_INT_H

#include "mux/ask/server_words.h"
#include "mux/pool/candidates.h"
#include "mux/pool/login.h"

#define AGENTS_MAX ATTEMPT_AGENTS_MAX /* asked for their keys, one after another */

struct login {
	struct mux *mux;
	struct pool_entry *entry; /* whose waiters can be asked */
	struct link *link;
	struct smx_transport *t;
	const struct smx_hop *hop;
	const struct prepared *prepared;
	login_cb *cb;
	login_sure_cb *sure;
	void *arg;
	struct smx_auth_client auth;
	char *agents[AGENTS_MAX]; /* that were asked for keys; the last signs, if it has one */
	size_t n_agents;
	int is_own_agent, has_tried_own; /* the last of them: not a client's */
	struct agent_io *agent; /* a question under way */
	struct agent_wait *agent_wait; /* it is a signature (A15) */
	int is_listing, wants_choice, is_last_partial;
	int is_listed_again; /* since the session is known (A11) */
	int began_with_key; /* and no answer yet (B13) */
	int is_sure; /* nor to this, which will probably be taken */
	int went_ahead; /* questions were asked for behind the key */
	uint64_t taken_up_ms; /* when the server had taken that key; 0: not yet */
	struct smx_buf first_key; /* blob of the first that the server took */
	int is_after_key; /* it was the first method, and no other was begun */
	int asks_after_key; /* keyboard-interactive was the next */
	struct candidates candidates;
	size_t next, n_offered;
	char agent_note[400];
	int own_fault; /* why a key of ours could not sign; or 0 */
	struct prompt *prompt;
	int is_password; /* what is being asked is a password, not an INFO_REQUEST */
	int wants_person; /* a question came up (B2) */
	unsigned n_rounds, n_partial;
	unsigned n_asked; /* attempts with answers of a person, since the last that was right */
	unsigned n_closed; /* windows, by the person who was to answer (A5) */
	unsigned n_wrong; /* answers that the server refused */
	int was_cancelled; /* the person would not answer */
	int lacks_person; /* a question, or a key, was left out for want of one */
	int has_bothered; /* a method was tried that may reach a person by a way of its own */
	int was_refused; /* the answers before, by the server */
	int kbdint_was_asked; /* the attempt under way had a question */
	int kbdint_is_useless; /* refused without a question: another method, if there is one */
	char prompt_note[200];
	struct keyload *keyload; /* a key file being opened */
	struct smx_key *unlocked; /* of the candidate at hand, until it has signed */
	unsigned n_passphrases; /* asked for it */
	char key_note[240];
	char methods[400]; /* that succeeded */
	struct server_said said;
};

/* Offers the next key, or gives up. */
void login_choose(struct login *lg);

/* ---- login_agent.c ----------------------------------------------------------------------------
 */

/* Asks the agent whose turn it is for its keys; if there is none, files are all there is. */
void login_list_agent(struct login *lg);
/*
 * Keys may be for certain servers only (ssh-add -h). The agent was asked for its keys before it
 * could be told for which server, so it is asked once more: each key that is offered in vain is one
 * of the few that a server lets one try. Returns whether it is being asked.
 */
int login_list_again(struct login *lg);
/* A11: what the agent is asked next is for this server and no other. */
int login_put_bind(const struct login *lg, struct smx_buf *request);

#endif
