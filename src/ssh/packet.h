/* SPDX-License-Identifier: MIT */
/*
 * The binary packet protocol (RFC 4253 section 6): bytes to payloads and back.
 *
 * Received bytes are written straight into a block, decrypted there and handed out
 * as a view; sent payloads are sealed from wherever they are into a block. A block is held
 * only while it has bytes in it.
 */
#ifndef SMX_SSH_PACKET_H
#define SMX_SSH_PACKET_H

#include "base/pool.h"
#include "base/wire.h"
#include "crypto/cipher.h"

/* packet_len accepted, and longest payload sent: OpenSSH's, for commands of 100 KiB are real. */
#define SMX_PACKET_MAX  (256 * 1024)
#define SMX_PAYLOAD_MAX (SMX_PACKET_MAX - 512)
/* What every implementation takes (RFC 4253 section 6.1); others may end the connection over more.
 */
#define SMX_PAYLOAD_ANY 32768

/*
 * The same of a peer that we don't know yet (U9): packet_len that every implementation must take
 * (RFC 4253 section 6.1), and bytes held unread; then what it may send in all until it is known: a
 * try of each of its 64 keys takes three packets and some KiB.
 */
#define SMX_STRANGER_PACKET_MAX  35000
#define SMX_STRANGER_READ_MAX    (64 * 1024)
#define SMX_STRANGER_PACKETS_MAX 512
#define SMX_STRANGER_BYTES_MAX   (512 * 1024)

struct smx_tx_block {
	struct smx_tx_block *next;
	size_t len;
	uint8_t data[];
};
#define SMX_TX_BLOCK_CAP (SMX_BLOCK_LEN - sizeof(struct smx_tx_block))

struct smx_packets {
	struct smx_pool *pool;
	/* receiving: bytes [rx_off, rx_len) of the block rx wait */
	uint8_t *rx;
	size_t rx_off, rx_len;
	struct smx_protect *rx_protect; /* NULL: in clear */
	uint32_t rx_seq, rx_packet_len;
	int rx_has_len; /* rx_packet_len is that of the packet at rx_off */
	int is_stranger; /* the peer: the limits above */
	int is_bare; /* packets are not padded: their carrier needs no cipher, and has none */
	size_t n_stranger_packets, n_stranger_bytes;
	/* sending: blocks in the order of their bytes */
	struct smx_tx_block *tx_first, *tx_last;
	size_t tx_len; /* bytes in these blocks */
	struct smx_protect *tx_protect;
	uint32_t tx_seq;
	uint8_t tx_padding[256];
	/* since the keys changed, for rekeying */
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
};

void smx_packets_init(struct smx_packets *p, struct smx_pool *pool);
void smx_packets_release(struct smx_packets *p);

/* Room for received bytes: *ret_len may be 0 if a whole block waits to be read. SMX_ENOMEM. */
int smx_packets_rx_space(struct smx_packets *p, uint8_t **ret_p, size_t *ret_len);
void smx_packets_rx_commit(struct smx_packets *p, size_t n);
/* Received bytes not read yet, as they are on the wire (the identification line). */
struct smx_view smx_packets_rx_raw(const struct smx_packets *p);
void smx_packets_rx_skip(struct smx_packets *p, size_t n);
/*
 * The next payload (at least one byte), valid until the next call of any rx function;
 * the caller may write into it. ret_seq: its sequence number. SMX_EAGAIN: more bytes are
 * needed. SMX_ETOOBIG, SMX_EFORMAT, SMX_EMAC, SMX_ELIMIT (a stranger's limits): the connection is
 * beyond repair.
 */
int smx_packets_next(struct smx_packets *p, struct smx_view *ret_payload, uint32_t *ret_seq);
/* Gives an empty block back to the pool. */
void smx_packets_rx_idle(struct smx_packets *p);

/* Seals the concatenation of n parts as one packet. SMX_ETOOBIG, SMX_ENOMEM, SMX_ECRYPTO. */
int smx_packets_send(struct smx_packets *p, const struct smx_view *parts, size_t n);
/* Bytes as they are (the identification line). */
int smx_packets_send_raw(struct smx_packets *p, const void *bytes, size_t n);
/* Takes all blocks with bytes to be written, as a list; NULL if there is none. */
struct smx_tx_block *smx_packets_tx_take(struct smx_packets *p);
void smx_packets_tx_free(struct smx_packets *p, struct smx_tx_block *list);

/*
 * Adds a list behind the blocks [*first, *last], both NULL if there are none: for who keeps blocks
 * until they can be written. Little ones are copied into the last block, so that many of them cost
 * what they hold and not SMX_BLOCK_LEN each.
 */
void smx_tx_append(struct smx_pool *pool, struct smx_tx_block **first, struct smx_tx_block **last,
	struct smx_tx_block *list);

/* Changes keys; takes ownership. reset_seq: strict kex. */
void smx_packets_set_rx_keys(struct smx_packets *p, struct smx_protect *protect, int reset_seq);
void smx_packets_set_tx_keys(struct smx_packets *p, struct smx_protect *protect, int reset_seq);

#endif
