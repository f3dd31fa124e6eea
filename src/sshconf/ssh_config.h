/* SPDX-License-Identifier: MIT */
/*
 * The client configuration of OpenSSH (ssh_config), as far as import needs it (C3): which words
 * stand where. What they mean is asked of ssh itself: of `ssh -G`, whose output is read here too.
 *
 * Lines are cut into words as OpenSSH does it (readconf.c and misc.c, 8.7 and later): blanks at
 * both ends and a CR go; a keyword, in any case and perhaps quoted; blanks, or one '=' with blanks
 * around it; words in '...' or "...", or plain, with \", \', \\ and, outside quotes, "\ "; '#'
 * where a word could start begins a comment.
 */
#ifndef SMX_SSHCONF_SSH_CONFIG_H
#define SMX_SSHCONF_SSH_CONFIG_H

#include <stddef.h>

#include "base/wire.h"

#define SMX_SSH_CONFIG_FILE_MAX (4u << 20) /* good cap for a file */
#define SMX_SSH_CONFIG_LINE_MAX (64u << 10) /* OpenSSH has no limit any more; once it was 1023 */
#define SMX_SSH_CONFIG_DEPTH    16 /* of Includes within Includes, as OpenSSH has it */

enum smx_ssh_config_kind {
	SMX_SSH_CONFIG_OTHER,
	SMX_SSH_CONFIG_HOST,
	SMX_SSH_CONFIG_MATCH,
	SMX_SSH_CONFIG_INCLUDE,
	SMX_SSH_CONFIG_CONTROL_PATH,
	SMX_SSH_CONFIG_PROXY_JUMP,
	SMX_SSH_CONFIG_PROXY_COMMAND,
};

struct smx_ssh_config_word {
	const char *text; /* NUL-terminated, quotes and escapes undone; may be empty */
	unsigned column; /* of its first byte (or quote), from 1 */
};

struct smx_ssh_config_line {
	enum smx_ssh_config_kind kind;
	unsigned number; /* from 1 */
	struct smx_view text; /* in the file, without the line end */
	const struct smx_ssh_config_word *words; /* behind the keyword */
	size_t n_words;
	/* Why ssh does not take it, or we do not: "has a quote that does not end"; else NULL. There
	 * are no words then. */
	const char *fault;
	unsigned fault_column;
};

struct smx_ssh_config_reader {
	struct smx_view rest;
	unsigned number;
	char *chars; /* of the words of the line */
	struct smx_ssh_config_word *words;
	size_t n_words, words_cap;
};

/* Borrows text. */
void smx_ssh_config_reader_init(struct smx_ssh_config_reader *rd, struct smx_view text);
void smx_ssh_config_reader_release(struct smx_ssh_config_reader *rd);
/*
 * The next line that is not empty and no comment; its words live until the next call. 1, 0 at the
 * end, SMX_ENOMEM.
 */
int smx_ssh_config_next(struct smx_ssh_config_reader *rd, struct smx_ssh_config_line *ret);

/* 1 if a word of a Host line is a name, and no pattern (*, ?) or negation (!). */
int smx_ssh_config_is_literal(const char *word);

/* ---- ssh -G ------------------------------------------------------------------------------------
 */

#define SMX_SSH_ANSWER_LIST_MAX 64

struct smx_ssh_answer_list {
	struct smx_view v[SMX_SSH_ANSWER_LIST_MAX];
	size_t n;
	int has_more; /* than fit */
};

/* What ssh -G says of a host. Views into its output; those of what it does not say have p NULL. */
struct smx_ssh_answer {
	struct smx_view host, user, port;
	struct smx_view proxy_jump, proxy_command; /* "none" counts as not said */
	struct smx_view host_key_alias, identities_only, identity_agent, known_hosts;
	struct smx_view control_path; /* tokens worked out; "none" counts as not said */
	struct smx_ssh_answer_list identities, certificates;
	struct smx_ssh_answer_list send_env; /* SendEnv, one name or pattern each */
	struct smx_ssh_answer_list set_env; /* SetEnv, NAME=value */
};

/*
 * Reads the output of ssh -G. Nothing is judged but the form. 0, or SMX_ESYNTAX: host, user or port
 * is missing.
 */
int smx_ssh_answer_parse(struct smx_view text, struct smx_ssh_answer *ret);

/* ---- ProxyJump ---------------------------------------------------------------------------------
 */

/* One jump host: [ssh://][user@]host[:port], or [address]:port. Views into the text. */
struct smx_ssh_jump {
	struct smx_view user; /* p NULL: not said */
	struct smx_view host; /* without brackets */
	unsigned port; /* 0: not said */
};

/*
 * Cuts the first jump host off a ProxyJump list. 1, 0 at the end; SMX_ESYNTAX: it can't be one.
 */
int smx_ssh_jump_next(struct smx_view *list, struct smx_ssh_jump *ret);

#endif
