/* SPDX-License-Identifier: MIT */
/*
 * The algorithm is described by Loss, Limmer and von Gernler, "The drunken bishop: An analysis of
 * the OpenSSH fingerprint visualization algorithm" (2009).
 */
#include "crypto/randomart.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/hash.h"
#include "crypto/key.h"

#define WIDTH  17
#define HEIGHT 9
#define LABEL  24

static const char symbols[] = " .o+=*BOX@%&#/^SE";

/* "ED25519 256" */
static int label(struct smx_view blob, char out[LABEL])
{
	static const struct {
		enum smx_key_type type;
		const char *text;
	} labels[] = {
		{ SMX_KEY_ED25519, "ED25519 256" },
		{ SMX_KEY_ECDSA_256, "ECDSA 256" },
		{ SMX_KEY_ECDSA_384, "ECDSA 384" },
		{ SMX_KEY_ECDSA_521, "ECDSA 521" },
		{ SMX_KEY_SK_ED25519, "ED25519-SK 256" },
		{ SMX_KEY_SK_ECDSA, "ECDSA-SK 256" },
	};
	struct smx_rd rd = smx_rd_view(blob);
	struct smx_view type, e, n;
	struct smx_key *key;
	enum smx_key_type t;
	unsigned bits;
	int r;

	if ((r = smx_key_from_blob(&key, blob)) != 0)
		return r;
	t = smx_key_get_type(key);
	smx_key_free(key);
	for (size_t i = 0; i < SMX_ARRAY_LEN(labels); i++)
		if (labels[i].type == t)
			(void)snprintf(out, LABEL, "%s", labels[i].text);
	if (t != SMX_KEY_RSA)
		return 0;
	if ((r = smx_rd_string(&rd, &type)) != 0 || (r = smx_rd_mpint(&rd, &e)) != 0 ||
		(r = smx_rd_mpint(&rd, &n)) != 0)
		return r;
	bits = (unsigned)n.len * 8;
	for (uint8_t top = n.p[0]; top && !(top & 0x80); top = (uint8_t)(top << 1))
		bits--;
	(void)snprintf(out, LABEL, "RSA %u", bits);
	return 0;
}

/* A border with a text in its middle: the longer rest of the line stands on the right. */
static int put_border(struct smx_buf *out, const char *text)
{
	char line[WIDTH + 1], name[LABEL + 2];
	size_t len;

	(void)snprintf(name, sizeof(name), "[%s]", text);
	len = strlen(name);
	if (len > WIDTH) /* no room for the size as well */
		len = 0;
	memset(line, '-', WIDTH);
	line[WIDTH] = '\0';
	memcpy(line + (WIDTH - len) / 2, name, len);
	return smx_buf_printf(out, "+%s+\n", line);
}

int smx_blob_randomart(struct smx_view blob, struct smx_buf *out)
{
	uint8_t field[WIDTH][HEIGHT] = { { 0 } }, hash[SMX_HASH_MAX];
	const uint8_t last = sizeof(symbols) - 2;
	int x = WIDTH / 2, y = HEIGHT / 2, r;
	char title[LABEL] = "", line[WIDTH + 1];

	if ((r = label(blob, title)) != 0 ||
		(r = smx_hash(SMX_HASH_SHA256, blob.p, blob.len, hash)) != 0)
		return r;
	/* Two bits a step, lowest first: left or right, up or down, and not through the wall. */
	for (size_t i = 0; i < smx_hash_len(SMX_HASH_SHA256); i++) {
		for (int step = 0; step < 4; step++) {
			x += (hash[i] >> (2 * step)) & 1 ? 1 : -1;
			y += (hash[i] >> (2 * step)) & 2 ? 1 : -1;
			x = x < 0 ? 0 : x >= WIDTH ? WIDTH - 1 : x;
			y = y < 0 ? 0 : y >= HEIGHT ? HEIGHT - 1 : y;
			if (field[x][y] < last - 2)
				field[x][y]++;
		}
	}
	field[WIDTH / 2][HEIGHT / 2] = last - 1;
	field[x][y] = last;
	if ((r = put_border(out, title)) != 0)
		return r;
	for (int row = 0; row < HEIGHT; row++) {
		for (int col = 0; col < WIDTH; col++)
			line[col] = symbols[field[col][row]];
		line[WIDTH] = '\0';
		if ((r = smx_buf_printf(out, "|%s|\n", line)) != 0)
			return r;
	}
	return put_border(out, "SHA256");
}
