/* SPDX-License-Identifier: MIT */
/* What the parts of import-config share. Private to src/cli/sshconf/import_*.c. */
#ifndef SMX_CLI_SSHCONF_IMPORT_H
#define SMX_CLI_SSHCONF_IMPORT_H

#include <stdatomic.h>
#include <stddef.h>
#include <uv.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "sshconf/import.h"

#define IMPORT_SIGNALS    3
#define IMPORT_TIMEOUT_MS 10000 /* of one ssh -G */

/* A private copy of a configuration file, without our own Include. */
struct import_copy {
	char *path, *source;
};

struct import_job {
	const struct smx_cli_import *o;
	char *config; /* the main file, absolute */
	int is_default; /* ssh reads it without being told, and the system's behind it */
	int is_missing; /* and was not named by the user: nothing is to import */
	char *out_path;
	char *ssh; /* the program */
	struct smx_import *import;

	/* import_scan.c */
	char *copy_base; /* the copies are copy_base "-N.conf" */
	struct import_copy *copies;
	size_t n_copies;
	const char *config_arg; /* for ssh -F; NULL: none is needed */
	size_t n_files, n_patterns, n_complaints;
	int is_over_files;

	/* import_ask.c */
	uv_loop_t loop;
	uv_signal_t signals[IMPORT_SIGNALS];
	int has_loop;
	atomic_int stop; /* ends the running programs */
	int signal_number;
	size_t next, in_flight, done;
	int error; /* SMX_E* of ours: the import ends */
	int is_progress_shown;
};

/*
 * Finds the aliases in the configuration, following Include as ssh does, and adds them to
 * job->import. Where one of our own Includes is met, ssh gets private copies without it. 0 or exit
 * code, after saying why.
 */
int import_scan(struct import_job *job);
/* Removes the copies. */
void import_scan_release(struct import_job *job);
/* A file as it is shown: from the directory of the main one on, if it is below. */
const char *import_short_path(const struct import_job *job, const char *file);

/* Says that the import failed with an error of ours. The exit code. */
int import_failed(const struct import_job *job, int r);

/* From here on SIGINT and its like are waited for instead of ending us. SMX_ENOMEM, SMX_ESYS. */
int import_ask_init(struct import_job *job);
/* Asks ssh about everything. 0 or exit code, after saying why. */
int import_ask(struct import_job *job);
void import_ask_release(struct import_job *job);

#endif
