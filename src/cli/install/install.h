/* SPDX-License-Identifier: MIT */
/* What `install` and `uninstall` have in common. */
#ifndef SMX_CLI_INSTALL_INSTALL_H
#define SMX_CLI_INSTALL_INSTALL_H

#include "cli/cli.h"
#include "config/service_text.h"
#include "os/path.h"

#include "base/attr.h"

#define SMX_PROGRAM_MAX (512u << 20)
#define SMX_INSTALL_ERR (8 * SMX_OS_PATH_MAX)

struct smx_install {
	/* As asked for. */
	char *ssh_bin; /* owned; NULL: the ssh of PATH */
	enum smx_setup_via via;
	uint16_t port; /* 0: not asked for */
	uint32_t timeout_s; /* 0: not asked for */
	int yes, all;
	const char *except[SMX_CLI_EXCEPT_MAX]; /* hosts that are left to ssh */
	size_t n_except;
	/* Owned. */
	char *ssh_dir, *control_path, *routes_path, *log_path;
	char *program; /* what the service runs, set by smx_install_program */
	int is_usual_dir; /* ssh_dir is ~/.ssh */
	int is_usual_routes; /* routes_path is where the daemon looks anyway */
	int program_changed; /* by this install */
	struct smx_buf err;
};

/* The daemon that answers for the SSH directory. */
struct smx_install_running {
	int is_there;
	int64_t pid;
	uint64_t channels; /* open ones of its clients */
	int is_same_version;
	int64_t started_s; /* Unix time, near enough: later than it was rather than earlier */
};

/* "subject: text\n" on stdout. */
void smx_install_say(const char *subject, const char *fmt, ...) SMX_PRINTF(2, 3);
/* The text in err, which is emptied, or that of r. Valid until err's next use. */
const char *smx_install_words(struct smx_buf *err, int r);

/* Sets the owned paths but routes_path and program. 0, or the exit code after saying why. */
int smx_install_paths(struct smx_install *in);
void smx_install_release(struct smx_install *in);

/* What runs now. 0, or the exit code after saying why. */
int smx_install_running(const struct smx_install *in, struct smx_install_running *ret);
/* Ends it and waits for that. 0 or exit code. */
int smx_install_stop(const struct smx_install *in);

/* The steps in install_files.c and install_service.c. 0, or the exit code after saying why. */
int smx_install_program(struct smx_install *in);
int smx_install_keys(struct smx_install *in);
int smx_install_service(struct smx_install *in);

#endif
