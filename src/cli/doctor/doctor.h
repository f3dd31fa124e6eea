/* SPDX-License-Identifier: MIT */
/*
 * Private to doctor*.c. Each doctor_check_* looks at one area and says what it finds by doctor_say;
 * none of them changes anything. What an area finds out for a later one is left in struct doctor.
 */
#ifndef SMX_CLI_DOCTOR_DOCTOR_H
#define SMX_CLI_DOCTOR_DOCTOR_H

#include "cli/cli.h"
#include "config/routes.h"
#include "crypto/key.h"
#include "os/file.h"
#include "os/path.h"
#include "os/start.h"
#include "sshconf/ssh_config.h"
#include "trust/authorized_keys.h"
#include "trust/known_hosts.h"

#include "base/attr.h"

#define DOCTOR_TEXT_MAX       2048 /* of a finding, of a remedy */
#define DOCTOR_COMMAND_MAX    1024
#define DOCTOR_SAID_MAX       (1u << 20)
#define DOCTOR_FILE_MAX       (4u << 20) /* of a configuration file that is looked at */
#define DOCTOR_NAMED_MAX      3 /* names in a finding about many */
#define DOCTOR_IDENTITIES_MAX 16

enum doctor_level { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_WARN, DOCTOR_FAIL };

/* How the clients are sent to us. */
enum doctor_via { DOCTOR_VIA_NONE, DOCTOR_VIA_CONTROL, DOCTOR_VIA_TCP, DOCTOR_VIA_PROXY };

struct doctor {
	/* asked for */
	const char *route_name; /* or NULL */
	const char *config_option; /* or NULL */
	const char *ssh_option; /* or NULL */
	uint16_t port_option; /* 0: not given */
	int as_json;
	/* found; all may be missing */
	char *home, *ssh_dir, *routes_path;
	struct smx_buf dir_warning; /* why SSH_MUX_SSH_DIR is not used */
	int is_other_dir; /* the SSH directory is not the one that ssh reads by itself */
	struct smx_routes *routes;
	const struct smx_route *route; /* of route_name */
	struct smx_buf host_key; /* blob, empty if there is none */
	enum doctor_via via; /* of ssh-mux-hosts.conf, as is its port (0: none) */
	uint16_t hosts_port;
	uint16_t better_port; /* the port is taken, and this one is free; 0: it is not */
	struct smx_authorized_keys *authorized;
	char *control_path; /* of the daemon's endpoint */
	int control_result; /* of finding that path */
	int status_result; /* of asking the daemon; SMX_ENOTFOUND: none runs */
	struct smx_buf control_err; /* text for either */
	struct smx_status status;
	int has_daemon; /* it has answered */
	size_t agent_keys; /* in the agent of SSH_AUTH_SOCK */
	int is_default_key_there; /* id_* of the SSH directory */
	char *ssh; /* the client's path */
	unsigned ssh_major, ssh_minor; /* 0: not known */
	/* What ssh -G says it offers; if !knows_offers that could not be asked. */
	int knows_offers, identities_only;
	char identity_agent[SMX_OS_PATH_MAX]; /* "", "none", "SSH_AUTH_SOCK", a path */
	char *identities[DOCTOR_IDENTITIES_MAX];
	size_t n_identities;
	/* said */
	unsigned count[DOCTOR_FAIL + 1];
	struct smx_buf said; /* the texts of all findings, a line each */
	const char *area;
	int is_area_new, is_first, color;
	unsigned columns; /* of the terminal; 0: none, lines are not broken */
	char fix[DOCTOR_TEXT_MAX], command[DOCTOR_COMMAND_MAX];
	char quoted[4][SMX_OS_PATH_MAX];
	unsigned next_quoted;
};

/* The area of what is said from now on; its title is printed before the first. */
void doctor_area(struct doctor *d, const char *title);
/* One finding, in one line; fix (NULL only for DOCTOR_OK) is the line below it. Anything may be in
 * the texts. */
void doctor_say(struct doctor *d, enum doctor_level level, const char *fix, const char *fmt, ...)
	SMX_PRINTF(4, 5);
/*
 * "ssh-mux COMMAND" with the port and the routes file that are meant, where they are not the
 * defaults; setup-config gets the --via that there is. Valid until the next call.
 */
const char *doctor_command(struct doctor *d, const char *command);
/* Fixes: "run: ssh-mux setup-config", "run: ssh-mux stop && ssh-mux daemon". */
const char *doctor_setup(struct doctor *d);
const char *doctor_restart(struct doctor *d);
/* Whether that was said already, maybe with more around it. */
int doctor_has_said(struct doctor *d, const char *text);
/* A text for `fix`; valid until the next call. */
const char *doctor_fix(struct doctor *d, const char *fmt, ...) SMX_PRINTF(2, 3);
/* A path as a shell must be given it. The fourth call after this one overwrites it. */
const char *doctor_quote(struct doctor *d, const char *path);
/* What smx_os_advice has to say; as doctor_fix. */
const char *doctor_advice(struct doctor *d, enum smx_os_advice what, const char *a, const char *b);
/*
 * A failure of the functions of src/os: their texts are "what is wrong; what to do". Where there is
 * no "; ", otherwise is the remedy.
 */
void doctor_say_err(struct doctor *d, enum doctor_level level, struct smx_buf *err, int r,
	const char *otherwise);
/* Reads a file of the SSH directory as doctor checks all of them; out and err as smx_os_file_read.
 * *ret_path (the caller's) is set in any case, or it is SMX_ENOMEM. */
int doctor_read(struct doctor *d, const char *name, size_t max_len, enum smx_os_file_kind kind,
	char **ret_path, struct smx_buf *out, struct smx_buf *err);
/* "~/x" to a path below the home; else a copy. The caller's; NULL: no memory or no home. */
char *doctor_expand(const struct doctor *d, const char *path);
/* The port that SSH clients should use: -p, else the daemon's, else that of ssh-mux-hosts.conf. */
uint16_t doctor_port(const struct doctor *d);
/* The routes in question: all, or the one that was named. */
size_t doctor_route_count(const struct doctor *d);
const struct smx_route *doctor_route(const struct doctor *d, size_t i);

/* A list of names for a text: "a, b, c and 7 more". */
struct doctor_names {
	size_t count;
	char text[512];
};
void doctor_name_add(struct doctor_names *names, const char *name);
const char *doctor_names_text(struct doctor_names *names);

/* ---- the areas ---------------------------------------------------------------------------------
 */
void doctor_check_files(struct doctor *d); /* doctor_files.c */
void doctor_check_clients(struct doctor *d); /* doctor_config.c: what makes ssh come to us */
void doctor_check_keys(struct doctor *d); /* doctor_keys.c */
void doctor_check_daemon(struct doctor *d); /* doctor_daemon.c */
void doctor_check_ssh(struct doctor *d); /* doctor_ssh.c */
void doctor_check_servers(struct doctor *d); /* doctor_servers.c */
void doctor_check_editors(struct doctor *d); /* doctor_editor.c */
void doctor_check_system(struct doctor *d); /* doctor_log.c */

/* What the daemon warns of and nobody has said yet (doctor_daemon.c). */
void doctor_say_warnings(struct doctor *d);
/* ---- doctor_control.c: what ssh says of a host, where it is to find a control socket (W3) -------
 */

struct doctor_sockets {
	char *dir; /* where they should be */
	char local_host[256];
	struct doctor_names past, elsewhere, missing;
	char past_example[SMX_OS_PATH_MAX], elsewhere_example[SMX_OS_PATH_MAX];
	size_t good, told;
};
void doctor_sockets_init(struct doctor *d, struct doctor_sockets *s);
void doctor_judge_socket(struct doctor *d, const struct smx_route *route,
	const struct smx_ssh_answer *a, struct doctor_sockets *s);
void doctor_say_sockets(struct doctor *d, struct doctor_sockets *s);
void doctor_sockets_release(struct doctor_sockets *s);

/* Fill in control_* and status (doctor_daemon.c), and via (doctor_config.c); they say nothing. */
void doctor_ask_daemon(struct doctor *d);
void doctor_find_via(struct doctor *d);

/* ---- doctor_probe.c ----------------------------------------------------------------------------
 */

struct doctor_peer {
	struct smx_buf host_key; /* blob; released by the caller */
	char software[256]; /* sanitised */
	char why[256]; /* why it isn't an SSH server that we can talk to */
};
/* Runs a key exchange with who listens on 127.0.0.1 and hangs up. 0; SMX_EREFUSED: nobody listens;
 * else why is set. */
int doctor_probe(uint16_t port, struct doctor_peer *ret);

/*
 * The public keys in the agent at path, one call each. 0, SMX_ENOTFOUND (nobody answers there), or
 * another error of the connection or the answer.
 */
typedef int doctor_agent_each(void *arg, struct smx_view blob, struct smx_view comment);
int doctor_agent(const char *path, doctor_agent_each *each, void *arg);

/* ---- doctor_editor.c ---------------------------------------------------------------------------
 */

/*
 * The value of a key at the top level of a JSON text with comments and trailing commas: a string's
 * content, or a number or word as it is written, NUL-terminated and cut. 1 if it is there, 0 if
 * not. Anything may be in the text.
 */
int doctor_setting(struct smx_view text, const char *key, char *ret_value, size_t size);

#endif
