/* SPDX-License-Identifier: MIT */
/* The daemon as a service (C6): what does not depend on the manager. */
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"
#include "os/service.h"
#include "os/unix/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "os/unix/unix.h"

#define TOOL_TIMEOUT_MS 60000 /* longer than the unit's own limits for starting and stopping */
#define TOOL_WORDS_MAX  2048
#define TOOL_OUTPUT_MAX (64u << 10)
#define FILE_MAX        (64u << 10)

/* ---- asking the manager ------------------------------------------------------------------------
 */

/* What a program had to say, in one line. */
static void add_words(struct smx_buf *err, struct smx_buf *words)
{
	char *s;
	size_t n;

	if (!err || smx_buf_put(words, "", 1) != 0)
		return;
	s = (char *)words->data + words->off;
	n = strlen(s);
	while (n > 0 && (unsigned char)s[n - 1] <= ' ')
		s[--n] = '\0';
	for (; *s; s++)
		if ((unsigned char)*s < ' ')
			*s = ' ';
	smx_unix_say(err, "%s", (const char *)smx_buf_view(words));
}

int service_tool(struct smx_os_service *s, const char *const *words, struct smx_buf *out,
	int *ret_exit, struct smx_buf *err)
{
	const char *argv[SERVICE_ARGS_MAX + 2] = { s->tool };
	struct smx_buf own_out, complaint;
	int code = 0, r;

	if (!s->tool) {
		smx_unix_say(err, "%s is not installed", s->ops->manager);
		return SMX_ENOTFOUND;
	}
	for (size_t i = 0; i < SERVICE_ARGS_MAX && words[i]; i++)
		argv[i + 1] = words[i];
	smx_buf_init(&own_out, TOOL_OUTPUT_MAX);
	smx_buf_init(&complaint, TOOL_WORDS_MAX);
	r = smx_os_run(argv, TOOL_TIMEOUT_MS, out ? out : &own_out, &complaint, &code);
	if (r != 0) {
		smx_unix_say(err, "%s %s: %s", s->tool, words[0], smx_strerror(r));
	} else if (ret_exit) {
		*ret_exit = code;
	} else if (code != 0) {
		if (smx_buf_len(&complaint) > 0)
			add_words(err, &complaint);
		else
			smx_unix_say(err, "%s %s: exit code %d", s->tool, words[0], code);
		r = SMX_ESYS;
	}
	smx_buf_release(&own_out);
	smx_buf_release(&complaint);
	return r;
}

char *service_value(char *text, const char *name)
{
	size_t n = strlen(name);

	for (char *line = text; line; line = strchr(line, '\n')) {
		if (line != text)
			line++;
		if (strncmp(line, name, n) == 0 && line[n] == '=') {
			line[n + 1 + strcspn(line + n + 1, "\n")] = '\0';
			return line + n + 1;
		}
	}
	return NULL;
}

int64_t service_number(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? (int64_t)strtoll(at + strlen(name), NULL, 10) : 0;
}

/* ---- what os/service.h promises ------------------------------------------------------------------------
 */

int smx_os_service_new(struct smx_os_service **ret, struct smx_buf *err)
{
#if defined(__linux__)
	const struct service_ops *ops = &service_systemd;
#elif defined(__APPLE__)
	const struct service_ops *ops = &service_launchd;
#else
	const struct service_ops *ops = NULL;
#endif
	struct smx_os_service *s;
	int r;

	if (!ops) {
		smx_unix_say(err, "this system has no service manager for users that is known");
		return SMX_EUNSUPPORTED;
	}
	if ((s = smx_calloc(1, sizeof(*s))) == NULL)
		return SMX_ENOMEM;
	s->ops = ops;
	if ((r = ops->find(&s->path, err)) != 0) {
		smx_free(s);
		return r;
	}
	for (size_t i = 0; ops->tools[i] && !s->tool; i++)
		if (access(ops->tools[i], X_OK) == 0)
			s->tool = ops->tools[i];
	*ret = s;
	return 0;
}

void smx_os_service_free(struct smx_os_service *s)
{
	if (!s)
		return;
	smx_free(s->path);
	smx_free(s);
}

enum smx_os_service_kind smx_os_service_kind(const struct smx_os_service *s)
{
	return s->ops->kind;
}

const char *smx_os_service_manager(const struct smx_os_service *s)
{
	return s->ops->manager;
}

const char *smx_os_service_path(const struct smx_os_service *s)
{
	return s->path;
}

const char *smx_os_service_restart_command(const struct smx_os_service *s)
{
	return s->ops->restart_command;
}

int smx_os_service_is_usable(struct smx_os_service *s, struct smx_buf *why)
{
	if (!s->tool) {
		smx_unix_say(why, "%s is not installed", s->ops->manager);
		return SMX_ENOTFOUND;
	}
	return s->ops->is_usable(s, why);
}

/* Makes the directories that `path` is in as far as they are missing; those that are there and
 * are not about to hold something new are left to the walk to the file itself. */
static int make_directories(const char *path, struct smx_buf *err)
{
	char dir[SMX_OS_PATH_MAX];
	struct stat st;
	size_t n = strlen(path);
	int r;

	if (n >= sizeof(dir))
		return SMX_ELIMIT;
	memcpy(dir, path, n + 1);
	for (char *s = dir + 1; (s = strchr(s, '/')) != NULL; s++) {
		*s = '\0';
		if (lstat(dir, &st) != 0 && (r = smx_os_dir_ensure(dir, err)) != 0)
			return r;
		*s = '/';
	}
	return 0;
}

static int put_file(
	struct smx_os_service *s, struct smx_view text, int *ret_changed, struct smx_buf *err)
{
	struct smx_buf old;
	int r, is_same;

	smx_buf_init(&old, FILE_MAX);
	r = smx_os_file_read(s->path, FILE_MAX, SMX_OS_FILE_PLAIN, &old, NULL);
	is_same = r == 0 && smx_view_eq_view(smx_buf_as_view(&old), text);
	smx_buf_release(&old);
	if (is_same)
		return 0;
	if ((r = make_directories(s->path, err)) != 0 ||
		(r = smx_os_file_write_atomic(s->path, text.p, text.len, 0644, err)) != 0)
		return r;
	*ret_changed = 1;
	return 0;
}

int smx_os_service_put(
	struct smx_os_service *s, struct smx_view text, int *ret_changed, struct smx_buf *err)
{
	int file_changed = 0, enabled = 0, r;

	if ((r = put_file(s, text, &file_changed, err)) != 0 ||
		(r = s->ops->enable(s, file_changed, &enabled, err)) != 0)
		return r;
	*ret_changed = file_changed || enabled;
	return 0;
}

int smx_os_service_pid(struct smx_os_service *s, const struct smx_os_service_run *run,
	int64_t *ret_pid, struct smx_buf *err)
{
	(void)run; /* the manager knows */
	return s->ops->pid(s, ret_pid, err);
}

int smx_os_service_start(
	struct smx_os_service *s, const struct smx_os_service_run *run, struct smx_buf *err)
{
	(void)run; /* it is in the file that the manager reads */
	return s->ops->start(s, err);
}

int smx_os_service_remove(struct smx_os_service *s, int *ret_changed, struct smx_buf *err)
{
	int changed = 0, r;

	if (smx_os_service_is_usable(s, NULL) == 0 && (r = s->ops->stop(s, &changed, err)) != 0)
		return r;
	r = smx_os_file_remove(s->path, NULL);
	/* Without text, it was not there; else the words are wanted. */
	if (r != 0 && r != SMX_ENOTFOUND)
		return smx_os_file_remove(s->path, err);
	changed |= r == 0;
	if ((r = s->ops->forget(s, &changed, err)) != 0)
		return r;
	*ret_changed = changed;
	return 0;
}

/* ---- the daemon's side -------------------------------------------------------------------------
 */

/* sd_notify(3): one datagram to $NOTIFY_SOCKET, a path or (with '@') an abstract name. */
void smx_os_service_tell_ready(void)
{
	static const char text[] = "READY=1";
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *name = getenv("NOTIFY_SOCKET");
	size_t n = name ? strlen(name) : 0;
	int fd;

	if (n < 2 || n >= sizeof(to.sun_path) || (name[0] != '/' && name[0] != '@'))
		return;
	memcpy(to.sun_path, name, n);
	if (name[0] == '@')
		to.sun_path[0] = '\0';
	if ((fd = socket(AF_UNIX, SOCK_DGRAM, 0)) < 0)
		return;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	(void)!sendto(fd, text, strlen(text), 0, (const struct sockaddr *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
	/* The programs that we start are no services. */
	(void)unsetenv("NOTIFY_SOCKET");
}

/* ---- the program -------------------------------------------------------------------------------
 */

const char *smx_os_program_file(void)
{
	return "ssh-mux";
}

int smx_os_program_write(const char *path, const void *data, size_t len, struct smx_buf *err)
{
	return smx_os_file_write_atomic(path, data, len, 0755, err);
}

void smx_os_program_sweep(const char *path)
{
	(void)path; /* a program that runs can be replaced */
}

int smx_os_program_remove(const char *path, struct smx_buf *err)
{
	return smx_os_file_remove(path, err);
}

int smx_os_has_cmd_scripts(void)
{
	return 0;
}

int smx_os_self_read(struct smx_buf *out, struct smx_buf *err)
{
#ifdef __linux__
	char *path = smx_strdup("/proc/self/exe");
	int r = path ? 0 : SMX_ENOMEM, fd;
#else
	char *path = NULL;
	int r = smx_os_self_path(&path), fd;
#endif

	if (r != 0)
		return r;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
		(void)smx_unix_fail(err, "cannot open", path, errno);
		r = SMX_ESYS;
	} else {
		r = smx_unix_read_fd(fd, out->max - smx_buf_len(out), path, out, err);
		close(fd);
	}
	smx_free(path);
	return r;
}
