/* SPDX-License-Identifier: MIT */
#include "mux/core/reload.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "mux/doors/keyring.h"
#include "mux/doors/master.h"
#include "mux/forward/agent_forward.h"
#include "mux/pool/pool.h"
#include "mux/pool/prepare.h"
#include "os/file.h"
#include "os/path.h"
#include "os/process.h"

#define ERR_MAX     2048
#define WARNING_MAX (ERR_MAX + 128)

/* How long the file must not have changed before it is read. */
#define SETTLE_MS 250
/* How long something must be wrong with it before that is said. */
#define DOUBT_MS 800
/* How often it is looked at without being told of a change. */
#define POLL_MS 3000

struct reload {
	struct mux *mux;
	char *dir; /* NULL in direct mode, where there is no file */
	const char *name; /* in it; points into the options' path */
	uv_fs_event_t watch;
	uv_timer_t poll_timer, settle_timer;
	uv_signal_t signal;
	unsigned n_handles;
	int is_closed, is_watching;
	struct smx_os_stamp watched; /* the directory, when its watching began */
	int is_looking; /* a worker is at it */
	int is_told; /* of a change that it may not have seen */
	int is_asked; /* by a person, who wants an answer */
	/* The version of the file that was judged last, good or bad. */
	int exists;
	struct smx_os_stamp stamp;
	/* That which is in use, if any. */
	int is_in_use;
	struct smx_buf text;
	char fault[ERR_MAX]; /* of the version judged last, or "" */
	char doubt[ERR_MAX]; /* what seems to be wrong, not said yet */
	uint64_t doubt_ms;
	char warning[WARNING_MAX];
};

enum finding {
	FOUND_SAME, /* as it was judged */
	FOUND_MOVING, /* it changes while one looks */
	FOUND_NONE,
	FOUND_BAD,
	FOUND_GOOD,
};

/* One look at the file, on a worker thread. */
struct look {
	uv_work_t req;
	struct reload *owner;
	char *path, *dir;
	int must_read;
	int known_exists;
	struct smx_os_stamp known;
	/* Results. */
	enum finding finding;
	int r, exists, dir_exists;
	struct smx_os_stamp stamp, dir_stamp;
	struct smx_buf text, err;
	struct smx_buf complaints; /* about files that the routes name; lines */
	struct smx_routes *routes;
};

/* --- looking (a worker thread, and the start) --- */

static void look_free(struct look *l)
{
	if (!l)
		return;
	smx_buf_release(&l->text);
	smx_buf_release(&l->err);
	smx_buf_release(&l->complaints);
	smx_routes_unref(l->routes);
	smx_free(l->path);
	smx_free(l->dir);
	smx_free(l);
}

static struct look *look_new(struct reload *r, const char *path, int must_read)
{
	struct look *l = smx_calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	smx_buf_init(&l->text, SMX_ROUTES_TEXT_MAX);
	smx_buf_init(&l->err, ERR_MAX);
	smx_buf_init(&l->complaints, ERR_MAX);
	l->owner = r;
	l->must_read = must_read;
	l->known_exists = r->exists;
	l->known = r->stamp;
	l->path = smx_strdup(path);
	l->dir = smx_strdup(r->dir);
	if (l->path && l->dir)
		return l;
	look_free(l);
	return NULL;
}

static int read_it(struct look *l)
{
	int r = smx_os_file_read(
		l->path, SMX_ROUTES_TEXT_MAX, SMX_OS_FILE_PLAIN, &l->text, &l->err);

	if (r == 0)
		r = smx_routes_parse(smx_buf_as_view(&l->text), l->path, &l->routes, &l->err);
	if (r == 0)
		r = prepare_expand_routes(l->routes);
	return r == 0 ? agent_forward_name_keys(l->routes, &l->complaints) : r;
}

static int is_young(const struct smx_os_stamp *stamp)
{
	uv_timeval64_t now;
	int64_t age_ms;

	if (uv_gettimeofday(&now) != 0)
		return 0;
	age_ms = now.tv_sec * 1000 + now.tv_usec / 1000 - stamp->mtime_ns / 1000000;
	return age_ms >= 0 && age_ms < SETTLE_MS;
}

static enum finding look_at(struct look *l)
{
	struct smx_os_stamp after = { 0 };
	int exists_after;

	l->dir_exists = smx_os_file_stamp(l->dir, &l->dir_stamp) == 0;
	l->exists = smx_os_file_stamp(l->path, &l->stamp) != SMX_ENOTFOUND;
	if (!l->must_read && l->exists == l->known_exists &&
		(!l->exists || smx_os_stamp_equal(&l->stamp, &l->known)))
		return FOUND_SAME;
	if (l->exists && is_young(&l->stamp))
		return FOUND_MOVING;
	l->r = read_it(l);
	exists_after = smx_os_file_stamp(l->path, &after) != SMX_ENOTFOUND;
	if (exists_after != l->exists || (l->exists && !smx_os_stamp_equal(&l->stamp, &after)))
		return FOUND_MOVING;
	if (l->r == SMX_ENOTFOUND)
		return FOUND_NONE;
	return l->r == 0 ? FOUND_GOOD : FOUND_BAD;
}

static void on_look(uv_work_t *req)
{
	struct look *l = SMX_CONTAINER(req, struct look, req);

	l->finding = look_at(l);
}

/* --- what comes of it --- */

static const char *text_of(struct look *l)
{
	const char *text = smx_buf_len(&l->err) ? smx_buf_cstr(&l->err) : NULL;

	return text ? text : smx_strerror(l->r);
}

static size_t count_missing(const struct smx_routes *of, const struct smx_routes *in)
{
	size_t n = 0;

	for (size_t i = 0; i < of->n_routes; i++)
		n += !smx_routes_find(in, of->routes[i].name);
	return n;
}

/* One line each. */
static void say_complaints(struct look *l)
{
	const char *line = smx_buf_len(&l->complaints) ? smx_buf_cstr(&l->complaints) : NULL;

	for (const char *end; line && (end = strchr(line, '\n')); line = end + 1)
		log_warn("%.*s", (int)(end - line), line);
}

static void adopt(struct reload *r, struct look *l)
{
	struct mux *m = r->mux;
	struct smx_routes *old = m->routes;
	size_t n_new = count_missing(l->routes, old), n_gone = count_missing(old, l->routes);

	m->routes = l->routes;
	l->routes = NULL;
	smx_buf_release(&r->text);
	r->text = l->text;
	smx_buf_init(&l->text, SMX_ROUTES_TEXT_MAX);
	r->is_in_use = 1;
	pool_reroute(m);
	master_sync(m);
	log_info("routes re-read from %s: %zu, %zu of them new; %zu gone", m->opts->routes_path,
		m->routes->n_routes, n_new, n_gone);
	say_complaints(l);
	smx_routes_unref(old);
}

static void set_judged(struct reload *r, const struct look *l)
{
	r->exists = l->exists;
	r->stamp = l->stamp;
	r->doubt[0] = '\0';
}

static void judge_good(struct reload *r, struct look *l)
{
	int is_new = !r->is_in_use ||
		     !smx_view_eq_view(smx_buf_as_view(&r->text), smx_buf_as_view(&l->text));

	if (is_new)
		adopt(r, l);
	else if (r->fault[0] || r->is_asked)
		log_info("routes: %s is as before", r->mux->opts->routes_path);
	r->fault[0] = r->warning[0] = '\0';
	r->is_asked = 0;
	set_judged(r, l);
}

static void judge_none(struct reload *r, struct look *l)
{
	if (r->is_asked)
		log_info("routes: there is no %s", r->mux->opts->routes_path);
	r->fault[0] = r->warning[0] = '\0';
	r->is_asked = 0;
	set_judged(r, l);
}

/* A file that is wrong is often only on its way to being right. Returns when to look again, 0: it
 * was said. */
static unsigned judge_bad(struct reload *r, struct look *l, const char *fault)
{
	uint64_t now = mux_now(r->mux), waited;
	char stamp[SMX_LOG_STAMP_SIZE];
	uv_timeval64_t tv = { 0, 0 };

	if (strncmp(r->doubt, fault, sizeof(r->doubt) - 1) != 0) {
		(void)snprintf(r->doubt, sizeof(r->doubt), "%s", fault);
		r->doubt_ms = now;
	}
	waited = now - r->doubt_ms;
	if (waited < DOUBT_MS)
		return (unsigned)(DOUBT_MS - waited);
	if (strcmp(r->fault, r->doubt) != 0 || r->is_asked) {
		(void)uv_gettimeofday(&tv);
		smx_log_stamp(tv.tv_sec, (unsigned)(tv.tv_usec / 1000), stamp);
		if (strcmp(r->fault, r->doubt) != 0)
			(void)snprintf(r->warning, sizeof(r->warning),
				"routes file not taken since %s, the routes from before go on: %s",
				stamp, r->doubt);
		(void)snprintf(r->fault, sizeof(r->fault), "%s", r->doubt);
		log_warn("routes: %s; the routes from before go on (%zu)", r->fault,
			r->mux->routes->n_routes);
	}
	r->is_asked = 0;
	set_judged(r, l);
	return 0;
}

static int is_blank(struct smx_view text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (!text.p[i] || !strchr(" \t\r\n", text.p[i]))
			return 0;
	}
	return 1;
}

/* Returns when to look again, 0: when something happens. */
static unsigned judge(struct reload *r, struct look *l)
{
	static const char remedy[] = "to have no routes, write a comment (# none) into it";
	char fault[ERR_MAX];

	switch (l->finding) {
	case FOUND_SAME:
		r->doubt[0] = '\0';
		return 0;
	case FOUND_MOVING:
		return SETTLE_MS;
	case FOUND_NONE:
		if (!r->is_in_use) {
			judge_none(r, l);
			return 0;
		}
		(void)snprintf(fault, sizeof(fault), "%s is missing; put it back, or %s",
			r->mux->opts->routes_path, remedy);
		return judge_bad(r, l, fault);
	case FOUND_GOOD:
		if (r->mux->routes->n_routes == 0 || !is_blank(smx_buf_as_view(&l->text))) {
			judge_good(r, l);
			return 0;
		}
		/* Nobody can tell an editor's half-done work, or a full disk, from an intention. */
		(void)snprintf(
			fault, sizeof(fault), "%s is empty; %s", r->mux->opts->routes_path, remedy);
		return judge_bad(r, l, fault);
	default:
		return judge_bad(r, l, text_of(l));
	}
}

/* --- when to look --- */

static void look_soon(struct reload *r, unsigned ms);

static void on_change(uv_fs_event_t *handle, const char *filename, int events, int status)
{
	struct reload *r = handle->data;

	(void)events;
	if (status == 0 && filename && strcmp(filename, r->name) != 0)
		return; /* another file of the directory */
	r->is_told = 1;
	look_soon(r, SETTLE_MS);
}

/* Also anew, when another directory has taken the place of the one that is watched. */
static void watch(struct reload *r, const struct smx_os_stamp *dir)
{
	if (r->is_watching && r->watched.inode == dir->inode && r->watched.device == dir->device)
		return;
	if (r->is_watching)
		(void)uv_fs_event_stop(&r->watch);
	r->is_watching = uv_fs_event_start(&r->watch, on_change, r->dir, 0) == 0;
	r->watched = *dir;
}

static void free_reload(struct reload *r)
{
	smx_buf_release(&r->text);
	smx_free(r->dir);
	smx_free(r);
}

static void free_if_over(struct reload *r)
{
	if (r->is_closed && r->n_handles == 0 && !r->is_looking)
		free_reload(r);
}

static void on_looked(uv_work_t *req, int status)
{
	struct look *l = SMX_CONTAINER(req, struct look, req);
	struct reload *r = l->owner;
	unsigned again_ms = 0;

	r->is_looking = 0;
	if (r->is_closed) {
		look_free(l);
		free_if_over(r);
		return;
	}
	if (status == 0) {
		if (l->dir_exists)
			watch(r, &l->dir_stamp);
		again_ms = judge(r, l);
	}
	look_free(l);
	if (again_ms)
		r->is_told = 1;
	if (r->is_told)
		look_soon(r, again_ms ? again_ms : SETTLE_MS);
}

static void look(struct reload *r)
{
	struct look *l;

	if (r->is_looking)
		return; /* on_looked goes on */
	if (!(l = look_new(r, r->mux->opts->routes_path, r->is_told)))
		return; /* the next poll may have memory */
	if (uv_queue_work(r->mux->core.loop, &l->req, on_look, on_looked) != 0) {
		look_free(l);
		return;
	}
	r->is_looking = 1;
	r->is_told = 0;
}

static void on_timer(uv_timer_t *timer)
{
	look(timer->data);
}

static void look_soon(struct reload *r, unsigned ms)
{
	(void)uv_timer_start(&r->settle_timer, on_timer, ms, 0);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct reload *r = handle->data;
	struct mux *m = r->mux;

	(void)signum;
	if (m->opts->may_prompt && !smx_os_is_terminal(0)) {
		/* It was the terminal's last word, not a request. */
		mux_stop(m, "its terminal was closed");
	} else {
		log_info("asked by a signal to read routes and keys again");
		keyring_refresh(m->keyring);
		r->is_asked = r->is_told = 1;
		if (r->dir)
			look_soon(r, 0);
	}
}

/* --- start and end --- */

static int first_read(struct reload *r)
{
	const struct smx_serve_options *opts = r->mux->opts;
	struct look *l = look_new(r, opts->routes_path, 1);
	int err;

	if (!l)
		return SMX_ENOMEM;
	l->exists = smx_os_file_stamp(l->path, &l->stamp) != SMX_ENOTFOUND;
	err = read_it(l);
	if (err == 0) {
		r->is_in_use = 1;
		r->text = l->text;
		smx_buf_init(&l->text, SMX_ROUTES_TEXT_MAX);
	} else if (err == SMX_ENOTFOUND && opts->routes_are_optional) {
		l->exists = 0;
		err = smx_routes_parse(smx_view_of("", 0), opts->routes_path, &l->routes, &l->err);
	}
	if (err == 0) {
		r->mux->routes = l->routes;
		l->routes = NULL;
		set_judged(r, l);
		say_complaints(l);
	} else {
		l->r = err;
		log_error("%s", text_of(l));
	}
	look_free(l);
	return err;
}

static int first_direct(struct mux *m)
{
	const struct smx_serve_options *opts = m->opts;
	struct smx_buf err;
	int r;

	smx_buf_init(&err, ERR_MAX);
	r = smx_routes_direct(
		opts->remote_host, opts->remote_port, opts->remote_user, 0, &m->routes, &err);
	if (r != 0)
		log_error("%s", smx_errtext(r, &err));
	smx_buf_release(&err);
	return r;
}

/* The handles, closed by reload_close. Failing to notice changes is no reason not to serve. */
static void begin(struct reload *r)
{
	struct smx_os_stamp dir;
	int signum = smx_os_reload_signal();

	r->watch.data = r->poll_timer.data = r->settle_timer.data = r->signal.data = r;
	(void)uv_fs_event_init(r->mux->core.loop, &r->watch);
	(void)uv_timer_init(r->mux->core.loop, &r->poll_timer);
	(void)uv_timer_init(r->mux->core.loop, &r->settle_timer);
	(void)uv_signal_init(r->mux->core.loop, &r->signal);
	r->n_handles = 4;
	if (signum)
		(void)uv_signal_start(&r->signal, on_signal, signum);
	if (!r->dir)
		return;
	if (smx_os_file_stamp(r->dir, &dir) == 0)
		watch(r, &dir);
	if (!r->is_watching)
		log_debug("routes: %s can't be watched; it is looked at every %d s", r->dir,
			POLL_MS / 1000);
	(void)uv_timer_start(&r->poll_timer, on_timer, POLL_MS, POLL_MS);
}

int reload_open(struct mux *m)
{
	const char *path = m->opts->routes_path;
	struct reload *r = smx_calloc(1, sizeof(*r));
	int err;

	if (!r)
		return SMX_ENOMEM;
	r->mux = m;
	smx_buf_init(&r->text, SMX_ROUTES_TEXT_MAX);
	if (!path) {
		err = first_direct(m);
	} else if ((err = smx_os_path_dir(path, &r->dir)) != 0) {
		log_error("%s: %s", path, smx_strerror(err));
	} else {
		r->name = path + strlen(r->dir);
		r->name += r->name[0] == '/' || r->name[0] == '\\';
		err = first_read(r);
	}
	if (err != 0) {
		free_reload(r);
		return err;
	}
	begin(r);
	m->reload = r;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct reload *r = handle->data;

	r->n_handles--;
	free_if_over(r);
}

void reload_close(struct mux *m)
{
	struct reload *r = m->reload;

	if (!r)
		return;
	m->reload = NULL;
	r->is_closed = 1;
	uv_close((uv_handle_t *)&r->watch, on_closed);
	uv_close((uv_handle_t *)&r->poll_timer, on_closed);
	uv_close((uv_handle_t *)&r->settle_timer, on_closed);
	uv_close((uv_handle_t *)&r->signal, on_closed);
}

const char *reload_warning(const struct mux *m)
{
	return m->reload ? m->reload->warning : "";
}
