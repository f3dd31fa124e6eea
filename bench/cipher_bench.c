/* SPDX-License-Identifier: MIT */
/*
 * How fast packets are sealed and opened, cipher by cipher, cut as the relay cuts them: a
 * channel header of 9 bytes, the data, the padding.
 *
 *	cipher_bench [seconds a measurement, default 0.5]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/cipher.h"
#include "crypto/random.h"

#define DATA_MAX   32768
#define PACKET_MAX (DATA_MAX + 1024)
/* Opening happens in place: so many packets are sealed, then opened, then timed apart. */
#define BATCH 32

struct bench {
	struct smx_protect *seal, *open;
	uint32_t seal_seq, open_seq;
	uint8_t *data, *wire; /* DATA_MAX, BATCH * PACKET_MAX */
	uint8_t channel_header[9], padding[64], head[5];
	struct smx_view parts[3];
	uint32_t packet_len;
};

static void die(const char *what, int err)
{
	fprintf(stderr, "cipher_bench: %s: %s\n", what, smx_strerror(err));
	exit(1);
}

static double now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void cut_packet(struct bench *b, size_t data_len)
{
	size_t block = smx_protect_block_len(b->seal);
	size_t len = 1 + sizeof(b->channel_header) + data_len;
	size_t counted = len + (smx_protect_pads_length(b->seal) ? 4 : 0);
	size_t pad = block - counted % block;

	if (pad < 4)
		pad += block;
	b->packet_len = (uint32_t)(len + pad);
	smx_set_u32(b->head, b->packet_len);
	b->head[4] = (uint8_t)pad;
	b->parts[0] = (struct smx_view){ b->channel_header, sizeof(b->channel_header) };
	b->parts[1] = (struct smx_view){ b->data, data_len };
	b->parts[2] = (struct smx_view){ b->padding, pad };
}

static void seal_batch(struct bench *b)
{
	int r;

	for (size_t i = 0; i < BATCH; i++)
		if ((r = smx_protect_seal(b->seal, b->seal_seq++, b->head, b->parts, 3,
			     b->wire + i * PACKET_MAX)) != 0)
			die("seal", r);
}

static void open_batch(struct bench *b)
{
	for (size_t i = 0; i < BATCH; i++) {
		uint8_t *pkt = b->wire + i * PACKET_MAX;
		uint32_t len;
		int r;

		if ((r = smx_protect_open_length(b->open, b->open_seq, pkt, &len)) != 0 ||
			(r = smx_protect_open(b->open, b->open_seq, pkt, len)) != 0)
			die("open", r);
		b->open_seq++;
	}
}

static void run(const char *cipher_name, const char *mac_name, size_t data_len, double seconds)
{
	const struct smx_cipher_alg *c =
		smx_cipher_find(smx_view_of(cipher_name, strlen(cipher_name)));
	const struct smx_mac_alg *m =
		mac_name ? smx_mac_find(smx_view_of(mac_name, strlen(mac_name))) : NULL;
	uint8_t key[SMX_CIPHER_KEY_MAX], iv[SMX_CIPHER_IV_MAX], mac_key[SMX_MAC_KEY_MAX];
	struct bench b = { .data = smx_calloc(1, DATA_MAX), .wire = smx_calloc(BATCH, PACKET_MAX) };
	double seal_s = 0, open_s = 0, bytes = 0, packets = 0;
	int r;

	if (!b.data || !b.wire)
		die("memory", SMX_ENOMEM);
	if ((r = smx_random(key, sizeof(key))) != 0 || (r = smx_random(iv, sizeof(iv))) != 0 ||
		(r = smx_random(mac_key, sizeof(mac_key))) != 0 ||
		(r = smx_protect_new(&b.seal, c, m, 1, key, iv, mac_key)) != 0 ||
		(r = smx_protect_new(&b.open, c, m, 0, key, iv, mac_key)) != 0)
		die("setup", r);
	cut_packet(&b, data_len);
	while (seal_s + open_s < seconds) {
		double t0 = now_s(), t1;

		seal_batch(&b);
		t1 = now_s();
		open_batch(&b);
		seal_s += t1 - t0;
		open_s += now_s() - t1;
		bytes += (double)(BATCH * data_len);
		packets += BATCH;
	}
	printf("%-30s %-30s %6zu %8.2f %8.2f %9.0f %9.0f\n", cipher_name, mac_name ? mac_name : "-",
		data_len, bytes / seal_s / 1e9, bytes / open_s / 1e9, seal_s / packets * 1e9,
		open_s / packets * 1e9);
	smx_protect_free(b.seal);
	smx_protect_free(b.open);
	smx_free(b.data);
	smx_free(b.wire);
}

int main(int argc, char **argv)
{
	static const char *const aead[] = { "aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
		"chacha20-poly1305@openssh.com" };
	static const char *const ctr[] = { "aes128-ctr", "aes256-ctr" };
	static const char *const macs[] = { "umac-64-etm@openssh.com", "umac-128-etm@openssh.com",
		"hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com",
		"umac-64@openssh.com", "umac-128@openssh.com", "hmac-sha2-256", "hmac-sha2-512" };
	static const size_t lens[] = { 32768, 64 };
	double seconds = argc > 1 ? atof(argv[1]) : 0.5;

	printf("%-30s %-30s %6s %8s %8s %9s %9s\n", "cipher", "mac", "bytes", "seal", "open",
		"seal", "open");
	printf("%-30s %-30s %6s %8s %8s %9s %9s\n", "", "", "", "GB/s", "GB/s", "ns", "ns");
	for (size_t l = 0; l < SMX_ARRAY_LEN(lens); l++) {
		for (size_t i = 0; i < SMX_ARRAY_LEN(aead); i++)
			run(aead[i], NULL, lens[l], seconds);
		for (size_t i = 0; i < SMX_ARRAY_LEN(ctr); i++)
			for (size_t j = 0; j < SMX_ARRAY_LEN(macs); j++)
				run(ctr[i], macs[j], lens[l], seconds);
	}
	return 0;
}
