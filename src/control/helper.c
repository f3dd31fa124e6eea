/* SPDX-License-Identifier: MIT */
#include "control/helper.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/key.h"

#define WORD_MAX    (64 * 1024)
#define BACKLOG_MAX 4096
#define KEY_MAX     2 /* of enum smx_os_key, and SMX_HELPER_READ_WRITE */
#define SIGNAL_KILL 9
#define SIGNAL_TERM 15

static int has_path(const struct smx_helper_request *q)
{
	return q->op == SMX_HELPER_UNLINK || q->op == SMX_HELPER_OPEN;
}

/* Of a file: its path, and another word. A stream is told the result. */
static int is_edit(const struct smx_helper_request *q)
{
	return q->op == SMX_HELPER_APPEND || q->op == SMX_HELPER_ROTATE || q->op == SMX_HELPER_KEEP;
}

static int has_words(const struct smx_helper_request *q)
{
	return has_path(q) || is_edit(q) || q->op == SMX_HELPER_RUN;
}

static int has_caller(const struct smx_helper_request *q)
{
	if (q->op == SMX_HELPER_RUN)
		return q->kind == SMX_HELPER_ASKPASS || q->kind == SMX_HELPER_SSH_CONFIG;
	return q->op >= SMX_HELPER_CALLER_ENV && q->op <= SMX_HELPER_CALLER_PRESS;
}

static int has_key(const struct smx_helper_request *q)
{
	return q->op == SMX_HELPER_CALLER_PRESS || q->op == SMX_HELPER_REOPEN;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static int put_keys(struct smx_buf *out, const struct smx_view *keys, size_t n)
{
	int r = smx_put_u32(out, (uint32_t)n);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = smx_put_string(out, keys[i].p, keys[i].len);
	return r;
}

static int put_rotation(struct smx_buf *out, const struct smx_helper_request *q)
{
	int r;

	if ((r = smx_put_u32(out, q->port)) != 0 || (r = smx_put_u8(out, q->is_hashed)) != 0 ||
		(r = put_keys(out, q->fresh, q->n_fresh)) != 0)
		return r;
	return put_keys(out, q->old, q->n_old);
}

int smx_helper_request_build(struct smx_buf *out, const struct smx_helper_request *q)
{
	int r;

	if (q->n_args > SMX_HELPER_ARGS_MAX)
		return SMX_ELIMIT;
	if ((r = smx_put_u8(out, (uint8_t)q->op)) != 0 ||
		(r = smx_put_u8(out, (uint8_t)q->kind)) != 0 ||
		(r = smx_put_u8(out, (uint8_t)q->hint)) != 0 ||
		(r = smx_put_u8(out, q->fd_mask)) != 0 || (r = smx_put_u8(out, q->signal)) != 0 ||
		(r = smx_put_u8(out, q->is_group)) != 0 || (r = smx_put_u8(out, q->key)) != 0 ||
		(r = smx_put_u64(out, (uint64_t)q->pid)) != 0 ||
		(r = smx_put_u64(out, q->start)) != 0 || (r = smx_put_u64(out, q->id)) != 0 ||
		(r = smx_put_u32(out, q->backlog)) != 0 ||
		(r = smx_put_u32(out, (uint32_t)q->n_args)) != 0)
		return r;
	for (size_t i = 0; i < q->n_args; i++)
		if ((r = smx_put_cstr(out, q->args[i])) != 0)
			return r;
	return q->op == SMX_HELPER_ROTATE ? put_rotation(out, q) : 0;
}

size_t smx_helper_request_fds(const struct smx_helper_request *q)
{
	size_t n = 0;

	if (q->op == SMX_HELPER_LISTEN || q->op == SMX_HELPER_REOPEN || is_edit(q))
		return 1;
	for (unsigned i = 0; q->op == SMX_HELPER_RUN && i < SMX_HELPER_FDS; i++)
		n += q->fd_mask >> i & 1;
	return n;
}

void smx_helper_request_release(struct smx_helper_request *q)
{
	while (q->n_args)
		smx_free((void *)(uintptr_t)q->args[--q->n_args]);
}

/* Fields that an operation does not have are 0: there is one way to write each request. */
static int check(const struct smx_helper_request *q)
{
	int is_run = q->op == SMX_HELPER_RUN, is_kill = q->op == SMX_HELPER_KILL;

	if (q->op < SMX_HELPER_RUN || q->op >= SMX_HELPER_OPS ||
		(is_run ? q->kind < SMX_HELPER_TRANSPORT || q->kind >= SMX_HELPER_KINDS
			: q->kind != 0))
		return SMX_EFORMAT;
	if (q->hint >= (is_run && q->kind == SMX_HELPER_ASKPASS ? SMX_ASKPASS_HINTS : 1) ||
		q->fd_mask >= (is_run ? 1 << SMX_HELPER_FDS : 1) || q->is_group > is_kill)
		return SMX_EFORMAT;
	if (is_kill ? q->signal != SIGNAL_KILL && q->signal != SIGNAL_TERM : q->signal != 0)
		return SMX_EFORMAT;
	if (q->key > (has_key(q) ? KEY_MAX : 0) || (q->id != 0) != is_kill)
		return SMX_EFORMAT;
	if (has_caller(q) ? q->pid <= 0 || q->pid > INT32_MAX : q->pid != 0 || q->start != 0)
		return SMX_EFORMAT;
	if (q->op == SMX_HELPER_LISTEN ? q->backlog == 0 || q->backlog > BACKLOG_MAX
				       : q->backlog != 0)
		return SMX_EFORMAT;
	return 0;
}

/* A word without a NUL in it. */
static int parse_word(struct smx_rd *rd, struct smx_helper_request *q)
{
	struct smx_view word;
	char *copy;
	int r;

	if ((r = smx_rd_string_max(rd, WORD_MAX, &word)) != 0)
		return r;
	if (word.len && memchr(word.p, 0, word.len))
		return SMX_EFORMAT;
	if (!(copy = smx_strndup((const char *)word.p, word.len)))
		return SMX_ENOMEM;
	q->args[q->n_args++] = copy;
	q->args[q->n_args] = NULL;
	return 0;
}

static int parse_words(struct smx_rd *rd, uint32_t n, struct smx_helper_request *q)
{
	int r = 0;

	if (n > SMX_HELPER_ARGS_MAX || (has_path(q) && n != 1) || (is_edit(q) && n != 2) ||
		(!has_words(q) && n != 0))
		return SMX_EFORMAT;
	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = parse_word(rd, q);
	return r;
}

static int parse_keys(struct smx_rd *rd, struct smx_view *keys, size_t *ret_n)
{
	uint32_t n;
	int r = smx_rd_u32(rd, &n);

	if (r == 0 && n > SMX_ROTATION_MAX)
		r = SMX_EFORMAT;
	for (uint32_t i = 0; r == 0 && i < n; i++)
		if ((r = smx_rd_string_max(rd, SMX_KEY_BLOB_MAX, &keys[i])) == 0 && !keys[i].len)
			r = SMX_EFORMAT;
	if (r == 0)
		*ret_n = n;
	return r;
}

static int parse_rotation(struct smx_rd *rd, struct smx_helper_request *q)
{
	uint32_t port;
	int r;

	if ((r = smx_rd_u32(rd, &port)) != 0 || (r = smx_rd_u8(rd, &q->is_hashed)) != 0 ||
		(r = parse_keys(rd, q->fresh, &q->n_fresh)) != 0 ||
		(r = parse_keys(rd, q->old, &q->n_old)) != 0)
		return r;
	if (port == 0 || port > UINT16_MAX || q->is_hashed > 1 || q->n_fresh + q->n_old == 0)
		return SMX_EFORMAT;
	q->port = (uint16_t)port;
	return 0;
}

int smx_helper_request_parse(struct smx_view text, struct smx_helper_request *ret)
{
	struct smx_helper_request q = { .n_args = 0 };
	struct smx_rd rd = smx_rd_view(text);
	uint8_t op, kind, hint;
	uint64_t pid;
	uint32_t n;
	int r;

	if ((r = smx_rd_u8(&rd, &op)) != 0 || (r = smx_rd_u8(&rd, &kind)) != 0 ||
		(r = smx_rd_u8(&rd, &hint)) != 0 || (r = smx_rd_u8(&rd, &q.fd_mask)) != 0 ||
		(r = smx_rd_u8(&rd, &q.signal)) != 0 || (r = smx_rd_u8(&rd, &q.is_group)) != 0 ||
		(r = smx_rd_u8(&rd, &q.key)) != 0 || (r = smx_rd_u64(&rd, &pid)) != 0 ||
		(r = smx_rd_u64(&rd, &q.start)) != 0 || (r = smx_rd_u64(&rd, &q.id)) != 0 ||
		(r = smx_rd_u32(&rd, &q.backlog)) != 0 || (r = smx_rd_u32(&rd, &n)) != 0)
		return r;
	if (pid > INT32_MAX)
		return SMX_EFORMAT;
	q.op = (enum smx_helper_op)op;
	q.kind = (enum smx_helper_kind)kind;
	q.hint = (enum smx_askpass_hint)hint;
	q.pid = (int64_t)pid;
	if ((r = check(&q)) == 0 && (r = parse_words(&rd, n, &q)) == 0 && q.op == SMX_HELPER_ROTATE)
		r = parse_rotation(&rd, &q);
	if (r == 0 && (r = smx_rd_end(&rd)) == 0)
		*ret = q;
	else
		smx_helper_request_release(&q);
	return r;
}

/* ---- answers -----------------------------------------------------------------------------------
 */

int smx_helper_answer_build(
	struct smx_buf *out, uint32_t error, uint64_t id, const char *one, const char *two)
{
	int r;

	if ((r = smx_put_u32(out, error)) != 0 || (r = smx_put_u64(out, id)) != 0)
		return r;
	if (one && (r = smx_put_cstr(out, one)) != 0)
		return r;
	return one && two ? smx_put_cstr(out, two) : 0;
}

void smx_helper_answer_release(struct smx_helper_answer *a)
{
	for (int i = 0; i < 2; i++) {
		smx_free(a->texts[i]);
		a->texts[i] = NULL;
	}
}

int smx_helper_answer_parse(struct smx_view text, struct smx_helper_answer *ret)
{
	struct smx_helper_answer a = { .error = 0 };
	struct smx_rd rd = smx_rd_view(text);
	struct smx_view word;
	int r;

	if ((r = smx_rd_u32(&rd, &a.error)) != 0 || (r = smx_rd_u64(&rd, &a.id)) != 0)
		return r;
	for (int i = 0; r == 0 && i < 2 && smx_rd_end(&rd) != 0; i++) {
		if ((r = smx_rd_string_max(&rd, WORD_MAX, &word)) != 0)
			break;
		if (word.len && memchr(word.p, 0, word.len))
			r = SMX_EFORMAT;
		else if (!(a.texts[i] = smx_strndup((const char *)word.p, word.len)))
			r = SMX_ENOMEM;
	}
	if (r == 0 && (r = smx_rd_end(&rd)) == 0)
		*ret = a;
	else
		smx_helper_answer_release(&a);
	return r;
}

int smx_helper_result_build(
	struct smx_buf *out, const struct smx_helper_result *result, const char *text)
{
	int r;

	if ((r = smx_put_u32(out, (uint32_t)-result->code)) != 0 ||
		(r = smx_put_u32(out, result->n_removed)) != 0 ||
		(r = smx_put_u32(out, result->n_added)) != 0)
		return r;
	return smx_put_cstr(out, text);
}

int smx_helper_result_parse(
	struct smx_view text, struct smx_helper_result *ret, struct smx_buf *ret_text)
{
	struct smx_helper_result result;
	struct smx_rd rd = smx_rd_view(text);
	struct smx_view words;
	uint32_t code;
	int r;

	if ((r = smx_rd_u32(&rd, &code)) != 0 || (r = smx_rd_u32(&rd, &result.n_removed)) != 0 ||
		(r = smx_rd_u32(&rd, &result.n_added)) != 0 ||
		(r = smx_rd_string_max(&rd, WORD_MAX, &words)) != 0 || (r = smx_rd_end(&rd)) != 0)
		return r;
	if (code > INT16_MAX)
		return SMX_EFORMAT;
	if (ret_text && (r = smx_buf_put(ret_text, words.p, words.len)) != 0)
		return r;
	result.code = -(int)code;
	*ret = result;
	return 0;
}

/* ---- ends --------------------------------------------------------------------------------------
 */

int smx_helper_end_build(struct smx_buf *out, uint64_t id, uint32_t status, uint32_t signal)
{
	int r;

	if ((r = smx_put_u64(out, id)) != 0 || (r = smx_put_u32(out, status)) != 0)
		return r;
	return smx_put_u32(out, signal);
}

int smx_helper_end_parse(
	struct smx_view text, uint64_t *ret_id, uint32_t *ret_status, uint32_t *ret_signal)
{
	struct smx_rd rd = smx_rd_view(text);
	uint32_t status, signal;
	uint64_t id;
	int r;

	if ((r = smx_rd_u64(&rd, &id)) != 0 || (r = smx_rd_u32(&rd, &status)) != 0 ||
		(r = smx_rd_u32(&rd, &signal)) != 0 || (r = smx_rd_end(&rd)) != 0)
		return r;
	*ret_id = id;
	*ret_status = status;
	*ret_signal = signal;
	return 0;
}
