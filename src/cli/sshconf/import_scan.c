/* SPDX-License-Identifier: MIT */
/*
 * Reading the configuration for import-config: which aliases there are, and what ssh is to read so
 * that our own Include is as if it were absent (C3).
 *
 * ssh resolves a relative Include of a user's file against ~/.ssh wherever that file lies, also
 * one given by -F, so a copy elsewhere means the same. What -F takes away is the system-wide
 * configuration, which a copy of the default file therefore includes at its end.
 */
#include "cli/sshconf/import.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/random.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"
#include "sshconf/ssh_config.h"

#define FILES_MAX      1024 /* read, each time one is included again counted */
#define COMPLAINTS_MAX 10
#define STALE_S        3600 /* a copy that old is of an import that was killed */
#define ERR_MAX        2048

/* Where relative Includes start, and whether names are looked for. */
struct scope {
	const char *base;
	int is_users;
};

static const struct scope users = { "~/.ssh", 1 };

static int scan_file(struct import_job *job, const struct scope *scope, const char *path,
	unsigned depth, int want_copy, const char **ret_copy);

const char *import_short_path(const struct import_job *job, const char *file)
{
	size_t n = (size_t)(smx_os_path_name(job->config) - job->config);

	return n > 0 && strncmp(file, job->config, n) == 0 ? file + n : file;
}

static void complain(
	struct import_job *job, const char *path, unsigned line, unsigned column, const char *what)
{
	if (job->n_complaints++ < COMPLAINTS_MAX)
		smx_cli_warn("%s:%u:%u: %s", path, line, column, what);
}

/* ---- copies ------------------------------------------------------------------------------------
 */

/* Those of an import that was killed before it could remove them. */
static void remove_stale(const char *dir)
{
	int64_t oldest = ((int64_t)time(NULL) - STALE_S) * 1000000000;
	struct smx_os_stamp st;
	char *pattern, **paths;
	size_t n;
	int r;

	if (smx_os_path_join(dir, "import-*.conf", &pattern) != 0)
		return;
	r = smx_os_glob(pattern, &paths, &n);
	smx_free(pattern);
	if (r != 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (smx_os_file_stamp(paths[i], &st) == 0 && st.mtime_ns < oldest)
			(void)smx_os_file_remove(paths[i], NULL);
	}
	smx_os_names_free(paths, n);
}

static int make_copy_base(struct import_job *job, struct smx_buf *err)
{
	uint8_t random[8];
	char name[64], *dir;
	size_t at;
	int r;

	if (job->copy_base)
		return 0;
	if ((r = smx_random(random, sizeof(random))) != 0 ||
		(r = smx_os_runtime_dir(&dir, err)) != 0)
		return r;
	remove_stale(dir);
	at = (size_t)snprintf(name, sizeof(name), "import-");
	for (size_t i = 0; i < sizeof(random); i++)
		at += (size_t)snprintf(name + at, sizeof(name) - at, "%02x", random[i]);
	r = smx_os_path_join(dir, name, &job->copy_base);
	smx_free(dir);
	return r;
}

static int write_copy(
	struct import_job *job, const char *source, const struct smx_buf *text, struct smx_buf *err)
{
	size_t n = job->n_copies;
	struct import_copy *copies = smx_realloc(job->copies, (n + 1) * sizeof(*copies));
	char *path;
	int r;

	if (!copies)
		return SMX_ENOMEM;
	job->copies = copies;
	if ((r = make_copy_base(job, err)) != 0)
		return r;
	if ((path = smx_malloc(strlen(job->copy_base) + 32)) == NULL)
		return SMX_ENOMEM;
	(void)snprintf(path, strlen(job->copy_base) + 32, "%s-%zu.conf", job->copy_base, n);
	copies[n] = (struct import_copy){ path, smx_strdup(source) };
	if (!copies[n].source) {
		smx_free(path);
		return SMX_ENOMEM;
	}
	job->n_copies++; /* removed in any case */
	return smx_os_file_create(path, smx_buf_view(text), smx_buf_len(text), 0600, err);
}

void import_scan_release(struct import_job *job)
{
	for (size_t i = 0; i < job->n_copies; i++) {
		(void)smx_os_file_remove(job->copies[i].path, NULL);
		smx_free(job->copies[i].path);
		smx_free(job->copies[i].source);
	}
	smx_free(job->copies);
	smx_free(job->copy_base);
	job->copies = NULL;
	job->copy_base = NULL;
	job->n_copies = 0;
}

/* ---- lines -------------------------------------------------------------------------------------
 */

static int add_aliases(
	struct import_job *job, const char *path, const struct smx_ssh_config_line *line)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < line->n_words; i++) {
		const struct smx_ssh_config_word *w = &line->words[i];
		struct smx_import_place place = { path, line->number, w->column };

		if (!smx_ssh_config_is_literal(w->text) || w->text[0] == '\0')
			job->n_patterns++;
		else
			r = smx_import_add(job->import, w->text, &place);
	}
	return r;
}

/* ProxyJump: every host of it is gone through; the first is asked for by name. */
static int add_jump(struct import_job *job, const char *word)
{
	struct smx_view list = smx_view_of(word, strlen(word));
	struct smx_ssh_jump j;
	char name[SMX_ROUTE_NAME_MAX + 1];
	int r = 0;

	while (r == 0 && smx_ssh_jump_next(&list, &j) == 1) {
		if (j.host.len > SMX_ROUTE_NAME_MAX)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)j.host.len, (const char *)j.host.p);
		r = smx_import_jump(job->import, name);
	}
	return r;
}

/* ProxyCommand: an ssh -W names its host as one of its words; it counts if it is an alias. */
static int add_command(struct import_job *job, const struct smx_ssh_config_line *line)
{
	int is_ssh = 0, is_forward = 0, r = 0;

	for (size_t i = 0; i < line->n_words; i++) {
		const char *s = line->words[i].text;

		is_ssh |= strncmp(smx_os_path_name(s), "ssh", 3) == 0;
		is_forward |= s[0] == '-' && strchr(s, 'W') != NULL;
	}
	for (size_t i = 0; r == 0 && is_ssh && is_forward && i < line->n_words; i++)
		if (line->words[i].text[0] != '-')
			r = add_jump(job, line->words[i].text);
	return r;
}

static int is_ours(const char *path)
{
	return smx_os_path_same(smx_os_path_name(path), SMX_HOSTS_FILE);
}

/* Whether a path can stand in an Include of ours: no glob, no escape and no line end in it. */
static int is_plain(const char *path)
{
	return strpbrk(path, "*?[]{}\\\"'$%~\r\n") == NULL;
}

struct include {
	struct smx_buf text; /* the Include that replaces it */
	int is_changed;
};

static int add_included(struct import_job *job, const struct scope *scope, const char *path,
	unsigned depth, struct include *in)
{
	const char *copy = NULL;
	int r;

	if (is_ours(path)) {
		in->is_changed = 1;
		return 0;
	}
	if ((r = scan_file(job, scope, path, depth + 1, !is_plain(path), &copy)) != 0)
		return r;
	if (!copy && !is_plain(path))
		return 0; /* could not be read, or is one too many: no line can name it either */
	in->is_changed |= copy && is_plain(path);
	return smx_buf_printf(&in->text, " \"%s\"", copy ? copy : path);
}

/* The pattern as ssh takes it. */
static int anchored(const struct scope *scope, const char *word, struct smx_buf *out)
{
	if (smx_os_path_is_absolute(word) || word[0] == '~')
		return smx_buf_put_str(out, word);
	return smx_buf_printf(out, "%s/%s", scope->base, word);
}

static int follow_word(struct import_job *job, const struct scope *scope, const char *word,
	unsigned depth, struct include *in)
{
	struct smx_buf pattern;
	char **paths = NULL;
	const char *s;
	size_t n = 0;
	int r;

	smx_buf_init(&pattern, SMX_OS_PATH_MAX);
	if ((r = anchored(scope, word, &pattern)) == SMX_ELIMIT) {
		r = 0; /* nor does ssh find anything there */
		goto out;
	}
	if (r != 0)
		goto out;
	if ((s = smx_buf_cstr(&pattern)) == NULL)
		r = SMX_ENOMEM;
	else if ((r = smx_os_glob(s, &paths, &n)) != SMX_ENOMEM && r != 0)
		r = n = 0;
	/* OpenSSH 9.9 and later expand these; only ssh knows to what. */
	if (r == 0 && n == 0 && scope->is_users && strpbrk(word, "%$") &&
		job->n_complaints++ < COMPLAINTS_MAX)
		smx_cli_warn("not looked into: Include %s, which has variables in it", word);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_included(job, scope, paths[i], depth, in);
	/* A relative one of the system's file would mean something else in a user's. */
	in->is_changed |= !scope->is_users && !smx_os_path_is_absolute(word);
out:
	smx_os_names_free(paths, n);
	smx_buf_release(&pattern);
	return r;
}

/* Follows an Include; the line for a copy is added to `copy`. */
static int follow_include(struct import_job *job, const struct scope *scope,
	const struct smx_ssh_config_line *line, unsigned depth, struct smx_buf *copy,
	int *is_changed)
{
	struct include in = { .is_changed = 0 };
	char **words;
	int r = 0;

	/* The reader's go with the next line, and files are read meanwhile by other readers; still,
	 * its words are copied, so that nobody has to know. */
	if ((words = smx_calloc(line->n_words, sizeof(*words))) == NULL)
		return SMX_ENOMEM;
	for (size_t i = 0; r == 0 && i < line->n_words; i++)
		r = (words[i] = smx_strdup(line->words[i].text)) ? 0 : SMX_ENOMEM;
	smx_buf_init(&in.text, SMX_SSH_CONFIG_FILE_MAX);
	for (size_t i = 0; r == 0 && i < line->n_words; i++)
		r = follow_word(job, scope, words[i], depth, &in);
	if (r == 0 && !in.is_changed)
		r = smx_buf_put(copy, line->text.p, line->text.len);
	else if (r == 0 && smx_buf_len(&in.text) > 0)
		r = smx_buf_printf(copy, "Include%s", smx_buf_cstr(&in.text));
	*is_changed |= in.is_changed;
	smx_buf_release(&in.text);
	smx_os_names_free(words, line->n_words);
	return r;
}

/* ---- files -------------------------------------------------------------------------------------
 */

/* Everything of a file; a copy that leaves our Includes out goes to `copy`. */
static int scan_text(struct import_job *job, const struct scope *scope, const char *path,
	struct smx_view text, unsigned depth, struct smx_buf *copy, int *is_changed)
{
	struct smx_ssh_config_reader rd;
	struct smx_ssh_config_line line;
	const uint8_t *copied = text.p;
	int r;

	smx_ssh_config_reader_init(&rd, text);
	while ((r = smx_ssh_config_next(&rd, &line)) == 1) {
		if (line.fault)
			complain(job, path, line.number, line.fault_column, line.fault);
		r = 0;
		if (line.kind == SMX_SSH_CONFIG_HOST && scope->is_users)
			r = add_aliases(job, path, &line);
		if (line.kind == SMX_SSH_CONFIG_PROXY_JUMP && line.n_words > 0)
			r = add_jump(job, line.words[0].text);
		if (line.kind == SMX_SSH_CONFIG_PROXY_COMMAND)
			r = add_command(job, &line);
		if (line.kind == SMX_SSH_CONFIG_INCLUDE && line.n_words > 0) {
			r = smx_buf_put(copy, copied, (size_t)(line.text.p - copied));
			copied = line.text.p + line.text.len;
			if (r == 0)
				r = follow_include(job, scope, &line, depth, copy, is_changed);
		}
		if (r != 0)
			break;
	}
	if (r == 0 && text.len > 0)
		r = smx_buf_put(copy, copied, (size_t)(text.p + text.len - copied));
	smx_ssh_config_reader_release(&rd);
	return r;
}

/* The system-wide configuration behind the user's, where ssh would read it. */
static int add_system(struct import_job *job, struct smx_buf *copy)
{
	const char *path = smx_os_system_ssh_config(), *slash = strrchr(path, '/');
	const char *system_copy = NULL;
	struct scope scope = { NULL, 0 };
	struct smx_os_stamp st;
	char *dir;
	int r;

	if (smx_os_file_stamp(path, &st) != 0)
		return 0;
	if ((dir = smx_strndup(path, slash ? (size_t)(slash - path) : 0)) == NULL)
		return SMX_ENOMEM;
	scope.base = dir;
	if ((r = scan_file(job, &scope, path, 1, 0, &system_copy)) == 0)
		r = smx_buf_printf(
			copy, "\nMatch all\nInclude \"%s\"\n", system_copy ? system_copy : path);
	smx_free(dir);
	return r;
}

/*
 * Scans a file. A copy is written if it is wanted or differs: *ret_copy is its path then (the
 * job's), else NULL. What can't be read is ssh's to complain about.
 */
static int scan_file(struct import_job *job, const struct scope *scope, const char *path,
	unsigned depth, int want_copy, const char **ret_copy)
{
	int is_changed = want_copy, r, is_main = depth == 0;
	struct smx_buf text, copy, err;

	if (job->n_files == FILES_MAX && !job->is_over_files) {
		job->is_over_files = 1;
		smx_cli_warn("more than %d files are included; not looked into: %s and others",
			FILES_MAX, path);
	}
	if (depth > SMX_SSH_CONFIG_DEPTH || job->n_files == FILES_MAX)
		return 0;
	job->n_files++;
	smx_buf_init(&text, SMX_SSH_CONFIG_FILE_MAX);
	smx_buf_init(&copy, 2 * SMX_SSH_CONFIG_FILE_MAX);
	smx_buf_init(&err, ERR_MAX);
	r = smx_os_file_read(path, SMX_SSH_CONFIG_FILE_MAX, SMX_OS_FILE_USER_CONFIG, &text, &err);
	if (r != 0 && !is_main && r != SMX_ENOMEM) {
		if (r != SMX_ENOTFOUND && job->n_complaints++ < COMPLAINTS_MAX)
			smx_cli_warn("not looked into: %s", smx_buf_cstr(&err));
		r = 0;
		goto out;
	}
	if (r == 0)
		r = scan_text(job, scope, path, smx_buf_as_view(&text), depth, &copy, &is_changed);
	if (r == 0 && is_main && is_changed && job->is_default)
		r = add_system(job, &copy);
	if (r == 0 && is_changed)
		r = write_copy(job, path, &copy, &err);
	if (r == 0 && is_changed)
		*ret_copy = job->copies[job->n_copies - 1].path;
	if (r != 0 && smx_buf_len(&err) > 0) {
		(void)smx_cli_fail(smx_cli_exit_code(r), NULL, "%s", smx_buf_cstr(&err));
		job->error = r; /* said */
	}
out:
	smx_buf_release(&text);
	smx_buf_release(&copy);
	smx_buf_release(&err);
	return r;
}

int import_scan(struct import_job *job)
{
	const char *copy = NULL;
	int r;

	if ((r = scan_file(job, &users, job->config, 0, 0, &copy)) != 0) {
		if (job->error == 0)
			(void)import_failed(job, r);
		job->error = 0;
		return smx_cli_exit_code(r);
	}
	if (job->n_complaints > COMPLAINTS_MAX)
		smx_cli_warn("%zu more of that kind", job->n_complaints - COMPLAINTS_MAX);
	job->config_arg = copy ? copy : job->is_default ? NULL : job->config;
	return 0;
}
