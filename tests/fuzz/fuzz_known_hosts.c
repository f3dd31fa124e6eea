/* SPDX-License-Identifier: MIT */
// fuzzes: src/trust/known_hosts.c
/*
 * known_hosts (K1, K3, K5). Input: host, newline, text. Whatever the text, verdicts and listing
 * must tell the same story.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "trust/known_hosts.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void check_entry(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	const struct smx_known_entry *e)
{
	struct smx_known_verdict v;
	struct smx_hostkey_decision d;

	CHECK(e->source_view && e->line > 0);
	if (e->marker == SMX_KNOWN_SKIPPED) {
		CHECK(e->blob_view.len == 0);
		return;
	}
	CHECK(smx_known_hosts_check(kh, host, port, e->blob_view, &v) == 0);
	CHECK((v.source_view != NULL) == (v.line > 0));
	if (e->marker == SMX_KNOWN_REVOKED_KEY)
		CHECK(v.status == SMX_KNOWN_REVOKED);
	else if (e->marker == SMX_KNOWN_CA)
		CHECK(v.has_ca);
	else if (!e->without_port)
		CHECK(v.status == SMX_KNOWN_MATCH || v.status == SMX_KNOWN_REVOKED);
	d = smx_hostkey_decide(&v, SMX_HOSTKEY_NO_CHANNEL, 1);
	CHECK((d.action == SMX_HOSTKEY_ACCEPT) == (v.status == SMX_KNOWN_MATCH));
	if (v.has_ca || v.has_skipped)
		CHECK(d.action != SMX_HOSTKEY_ACCEPT_NEW);
}

static void check_host(const struct smx_known_hosts *kh, const char *host, uint16_t port)
{
	static const uint8_t unknown_key[] = "\0\0\0\013ssh-ed25519\0\0\0\4none";
	struct smx_view key = { unknown_key, sizeof(unknown_key) - 1 };
	struct smx_known_verdict v;
	struct smx_known_entry e;
	struct smx_buf types;
	size_t cursor = 0;
	int skipped = 0, r;

	if (smx_known_hosts_check(kh, host, port, key, &v) != 0)
		return;
	while ((r = smx_known_hosts_next(kh, host, port, &cursor, &e)) == 1) {
		check_entry(kh, host, port, &e);
		skipped |= e.marker == SMX_KNOWN_SKIPPED;
	}
	CHECK(r == 0 && skipped == v.has_skipped);
	smx_buf_init(&types, 1 << 20);
	CHECK(smx_known_hosts_types(kh, host, port, &types) == 0);
	smx_buf_release(&types);
}

/* K4: what is appended for an unknown key makes it known. */
static void check_pinning(struct smx_known_hosts *kh, const char *host, uint16_t port)
{
	static const uint8_t new_key[] = "\0\0\0\013ssh-ed25519\0\0\0\5other";
	struct smx_view key = { new_key, sizeof(new_key) - 1 };
	struct smx_known_verdict v;
	struct smx_buf line;

	smx_buf_init(&line, SMX_KNOWN_HOSTS_LINE_MAX);
	if (smx_known_hosts_line(host, port, key, port & 1, &line) == 0) {
		struct smx_view text = { smx_buf_view(&line), smx_buf_len(&line) };
		int r = smx_known_hosts_add_text(kh, "pinned", text, NULL);

		CHECK(r == 0 || r == SMX_ELIMIT);
		if (r == 0) {
			CHECK(smx_known_hosts_check(kh, host, port, key, &v) == 0);
			CHECK(v.status == SMX_KNOWN_MATCH || v.status == SMX_KNOWN_REVOKED);
		}
	}
	smx_buf_release(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	struct smx_known_hosts *kh;
	struct smx_buf warnings;
	struct smx_view text;
	long before = smx_mem_alive();
	char *host;

	if (!newline)
		return 0;
	host = smx_strndup((const char *)data, (size_t)(newline - data));
	text = (struct smx_view){ newline + 1, size - (size_t)(newline - data) - 1 };
	CHECK(host && smx_known_hosts_new(&kh) == 0);
	smx_buf_init(&warnings, SMX_KNOWN_WARNINGS_MAX);
	if (smx_known_hosts_add_text(kh, "fuzz", text, &warnings) == 0) {
		check_host(kh, host, 22);
		check_host(kh, host, 2222);
		check_pinning(kh, host, 22);
		check_pinning(kh, host, 2223);
		/* K7: narrowed to a host, the list says the same of it. */
		if (smx_known_hosts_narrow(kh, host, 2222) == 0)
			check_host(kh, host, 2222);
	}
	for (size_t i = 0; i < smx_buf_len(&warnings); i++)
		CHECK(smx_buf_view(&warnings)[i] == '\n' || smx_buf_view(&warnings)[i] >= ' ');
	smx_known_hosts_free(kh);
	smx_buf_release(&warnings);
	smx_free(host);
	CHECK(smx_mem_alive() == before);
	return 0;
}
