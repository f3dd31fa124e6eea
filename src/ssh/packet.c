/* SPDX-License-Identifier: MIT */
#include "ssh/packet.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "crypto/random.h"

#define HEAD_LEN        5 /* packet_len, padding_len */
#define PADDING_MIN     4
#define CLEAR_BLOCK_LEN 8
/* OpenSSH's client takes no shorter ones, Go's no padding: a shorter one gets zeros at its end.
 * Only answers to global requests are, and nobody reads what is behind them. */
#define BARE_PAYLOAD_MIN  4
#define SMALLEST_READ_LEN (64 * 1024)
#define SEND_PARTS_MAX    6
#define APPEND_COPY_MAX   (32 * 1024)

/* A block must take the largest packet with a head and a tag, wherever it starts. */
_Static_assert(SMX_BLOCK_LEN >= SMX_PACKET_MAX + 4 + SMX_TAG_MAX, "block too small for a packet");
_Static_assert(SMX_STRANGER_READ_MAX >= SMX_STRANGER_PACKET_MAX + 4 + SMX_TAG_MAX, "too small too");
_Static_assert(SMX_TX_BLOCK_CAP >= SMX_PAYLOAD_MAX + HEAD_LEN + 256 + SMX_TAG_MAX,
	"block too small for what we send");

void smx_packets_init(struct smx_packets *p, struct smx_pool *pool)
{
	*p = (struct smx_packets){ .pool = pool };
}

void smx_packets_release(struct smx_packets *p)
{
	smx_pool_put(p->pool, p->rx);
	smx_packets_tx_free(p, p->tx_first);
	smx_protect_free(p->rx_protect);
	smx_protect_free(p->tx_protect);
	*p = (struct smx_packets){ .pool = p->pool };
}

int smx_packets_rx_space(struct smx_packets *p, uint8_t **ret_p, size_t *ret_len)
{
	size_t n = p->rx_len - p->rx_off;
	size_t cap = p->is_stranger ? SMX_STRANGER_READ_MAX : SMX_BLOCK_LEN;

	if (!p->rx) {
		if (!(p->rx = smx_pool_get(p->pool)))
			return SMX_ENOMEM;
		p->rx_off = p->rx_len = 0;
	} else if (cap - p->rx_len < SMALLEST_READ_LEN && p->rx_off > 0) {
		/* The tail of an unfinished packet: the only bytes that are ever moved. */
		memmove(p->rx, p->rx + p->rx_off, n);
		p->rx_off = 0;
		p->rx_len = n;
	}
	*ret_p = p->rx + p->rx_len;
	*ret_len = cap - p->rx_len;
	return 0;
}

void smx_packets_rx_commit(struct smx_packets *p, size_t n)
{
	assert(n <= SMX_BLOCK_LEN - p->rx_len);
	p->rx_len += n;
}

struct smx_view smx_packets_rx_raw(const struct smx_packets *p)
{
	if (!p->rx)
		return (struct smx_view){ NULL, 0 };
	return (struct smx_view){ p->rx + p->rx_off, p->rx_len - p->rx_off };
}

void smx_packets_rx_skip(struct smx_packets *p, size_t n)
{
	assert(n <= p->rx_len - p->rx_off);
	p->rx_off += n;
}

void smx_packets_rx_idle(struct smx_packets *p)
{
	if (p->rx && p->rx_off == p->rx_len) {
		smx_pool_put(p->pool, p->rx);
		p->rx = NULL;
		p->rx_off = p->rx_len = 0;
	}
}

/* Reads packet_len when enough of the packet is there, and bounds it before anything trusts it. */
static int read_length(struct smx_packets *p, size_t have)
{
	uint8_t *pkt = p->rx + p->rx_off;
	size_t unit = CLEAR_BLOCK_LEN, head = 4, counted;
	uint32_t len;
	int r;

	if (p->rx_protect) {
		unit = smx_protect_block_len(p->rx_protect);
		head = smx_protect_head_len(p->rx_protect);
	}
	if (have < head)
		return SMX_EAGAIN;
	if (!p->rx_protect)
		len = smx_get_u32(pkt);
	else if ((r = smx_protect_open_length(p->rx_protect, p->rx_seq, pkt, &len)) != 0)
		return r;
	if (len > (p->is_stranger ? SMX_STRANGER_PACKET_MAX : SMX_PACKET_MAX))
		return SMX_ETOOBIG;
	counted = len;
	if (!p->rx_protect || smx_protect_pads_length(p->rx_protect))
		counted += 4;
	if (p->is_bare && len < 1 + 1)
		return SMX_EFORMAT;
	/* padding_len, at least one byte of payload, the least padding; whole blocks. */
	if (!p->is_bare &&
		(len < 1 + 1 + PADDING_MIN || counted % unit != 0 || 4 + (size_t)len < head))
		return SMX_EFORMAT;
	p->rx_packet_len = len;
	p->rx_has_len = 1;
	return 0;
}

int smx_packets_next(struct smx_packets *p, struct smx_view *ret_payload, uint32_t *ret_seq)
{
	size_t have = p->rx_len - p->rx_off, total, tag_len = 0;
	uint8_t *pkt;
	uint32_t len;
	uint8_t pad;
	int r;

	if (!p->rx)
		return SMX_EAGAIN;
	if (!p->rx_has_len && (r = read_length(p, have)) != 0)
		return r;
	len = p->rx_packet_len;
	if (p->rx_protect)
		tag_len = smx_protect_tag_len(p->rx_protect);
	total = 4 + (size_t)len + tag_len;
	if (have < total)
		return SMX_EAGAIN;
	if (p->is_stranger && (++p->n_stranger_packets > SMX_STRANGER_PACKETS_MAX ||
				      (p->n_stranger_bytes += total) > SMX_STRANGER_BYTES_MAX))
		return SMX_ELIMIT;
	pkt = p->rx + p->rx_off;
	if (p->rx_protect && (r = smx_protect_open(p->rx_protect, p->rx_seq, pkt, len)) != 0)
		return r;
	pad = pkt[4];
	if ((pad < PADDING_MIN && !p->is_bare) || pad > len - 2)
		return SMX_EFORMAT;
	*ret_payload = (struct smx_view){ pkt + HEAD_LEN, len - 1 - pad };
	*ret_seq = p->rx_seq++;
	p->rx_off += total;
	p->rx_has_len = 0;
	p->rx_bytes += total;
	p->rx_packets++;
	return 0;
}

/* A block with room for n more bytes at its end: the last, or one for tx_append to queue. */
static struct smx_tx_block *tx_block(struct smx_packets *p, size_t n)
{
	struct smx_tx_block *b = p->tx_last;

	if (b && SMX_TX_BLOCK_CAP - b->len >= n)
		return b;
	if (!(b = smx_pool_get(p->pool)))
		return NULL;
	b->next = NULL;
	b->len = 0;
	return b;
}

/* The n bytes behind those of b are to be sent, too. None that is queued is empty. */
static void tx_append(struct smx_packets *p, struct smx_tx_block *b, size_t n)
{
	if (b != p->tx_last) {
		if (p->tx_last)
			p->tx_last->next = b;
		else
			p->tx_first = b;
		p->tx_last = b;
	}
	b->len += n;
	p->tx_len += n;
}

int smx_packets_send(struct smx_packets *p, const struct smx_view *parts, size_t n)
{
	struct smx_view all[SEND_PARTS_MAX + 1];
	size_t payload_len = 0, unit = CLEAR_BLOCK_LEN, tag_len = 0, counted, pad, total;
	struct smx_tx_block *b;
	uint8_t head[HEAD_LEN], *out;
	int r;

	assert(n <= SEND_PARTS_MAX);
	for (size_t i = 0; i < n; i++) {
		all[i] = parts[i];
		payload_len += parts[i].len;
	}
	if (payload_len > SMX_PAYLOAD_MAX)
		return SMX_ETOOBIG;
	if (p->tx_protect) {
		unit = smx_protect_block_len(p->tx_protect);
		tag_len = smx_protect_tag_len(p->tx_protect);
	}
	counted = 1 + payload_len;
	if (!p->tx_protect || smx_protect_pads_length(p->tx_protect))
		counted += 4;
	pad = unit - counted % unit;
	if (pad < PADDING_MIN)
		pad += unit;
	if (p->is_bare)
		pad = payload_len < BARE_PAYLOAD_MIN ? BARE_PAYLOAD_MIN - payload_len : 0;
	all[n] = (struct smx_view){ p->tx_padding, pad };
	smx_set_u32(head, (uint32_t)(1 + payload_len + pad));
	head[4] = p->is_bare ? 0 : (uint8_t)pad;
	total = HEAD_LEN + payload_len + pad + tag_len;
	if (!(b = tx_block(p, total)))
		return SMX_ENOMEM;
	out = b->data + b->len;
	if (p->tx_protect) {
		if ((r = smx_protect_seal(p->tx_protect, p->tx_seq, head, all, n + 1, out)) != 0) {
			if (b != p->tx_last)
				smx_pool_put(p->pool, b);
			return r;
		}
	} else {
		memcpy(out, head, HEAD_LEN);
		out += HEAD_LEN;
		for (size_t i = 0; i <= n; i++) {
			if (all[i].len)
				memcpy(out, all[i].p, all[i].len);
			out += all[i].len;
		}
	}
	tx_append(p, b, total);
	p->tx_seq++;
	p->tx_bytes += total;
	p->tx_packets++;
	return 0;
}

int smx_packets_send_raw(struct smx_packets *p, const void *bytes, size_t n)
{
	struct smx_tx_block *b;

	if (n > SMX_PAYLOAD_MAX)
		return SMX_ETOOBIG;
	if (!(b = tx_block(p, n)))
		return SMX_ENOMEM;
	memcpy(b->data + b->len, bytes, n);
	tx_append(p, b, n);
	return 0;
}

struct smx_tx_block *smx_packets_tx_take(struct smx_packets *p)
{
	struct smx_tx_block *b = p->tx_first;

	p->tx_first = p->tx_last = NULL;
	p->tx_len = 0;
	return b;
}

void smx_packets_tx_free(struct smx_packets *p, struct smx_tx_block *list)
{
	struct smx_tx_block *next;

	for (; list; list = next) {
		next = list->next;
		smx_pool_put(p->pool, list);
	}
}

void smx_tx_append(struct smx_pool *pool, struct smx_tx_block **first, struct smx_tx_block **last,
	struct smx_tx_block *list)
{
	struct smx_tx_block *b, *next;

	for (b = list; b; b = next) {
		next = b->next;
		b->next = NULL;
		if (*last && b->len <= APPEND_COPY_MAX &&
			SMX_TX_BLOCK_CAP - (*last)->len >= b->len) {
			memcpy((*last)->data + (*last)->len, b->data, b->len);
			(*last)->len += b->len;
			smx_pool_put(pool, b);
			continue;
		}
		if (*last)
			(*last)->next = b;
		else
			*first = b;
		*last = b;
	}
}

void smx_packets_set_rx_keys(struct smx_packets *p, struct smx_protect *protect, int reset_seq)
{
	smx_protect_free(p->rx_protect);
	p->rx_protect = protect;
	p->rx_bytes = p->rx_packets = 0;
	if (reset_seq)
		p->rx_seq = 0;
}

void smx_packets_set_tx_keys(struct smx_packets *p, struct smx_protect *protect, int reset_seq)
{
	smx_protect_free(p->tx_protect);
	p->tx_protect = protect;
	p->tx_bytes = p->tx_packets = 0;
	if (reset_seq)
		p->tx_seq = 0;
	/* RFC 4253 section 6: padding SHOULD be random. Under a cipher once a key is enough. */
	(void)smx_random(p->tx_padding, sizeof(p->tx_padding));
}
