/* SPDX-License-Identifier: MIT */
#include "mux/hostkey.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "trust/known_hosts.h"

#define LINE_MAX_LEN     8192
#define LINE_IN_TEXT_MAX 200

int hostkey_algs(const struct prepared *p, const struct smx_hop *hop, struct smx_buf *ret)
{
	struct smx_view all = smx_view_of(smx_sigalg_names(0), strlen(smx_sigalg_names(0)));
	struct smx_view names, alg, type, list;
	struct smx_buf types;
	const char *host;
	uint16_t port;
	int is_known, r;

	smx_hop_known_name(hop, &host, &port);
	smx_buf_init(&types, 1024);
	if ((r = smx_known_hosts_types(p->known_hosts, host, port, &types)) != 0)
		goto out;
	/* Twice over our algorithms: first those for known keys, then the others. */
	for (int pass = 1; pass >= 0; pass--) {
		names = all;
		while (smx_namelist_next(&names, &alg)) {
			list = smx_buf_as_view(&types);
			is_known = 0;
			while (smx_namelist_next(&list, &type))
				is_known |= smx_sigalg_fits(alg, type);
			if (is_known != pass)
				continue;
			if ((smx_buf_len(ret) && (r = smx_buf_put_str(ret, ",")) != 0) ||
				(r = smx_buf_put(ret, alg.p, alg.len)) != 0)
				goto out;
		}
	}
out:
	smx_buf_release(&types);
	return r;
}

static void explain_unknown(const struct prepared *p, const char *host, uint16_t port,
	struct smx_view blob, const char *what, char *why, size_t size)
{
	struct smx_buf line;
	const char *text = "";

	smx_buf_init(&line, LINE_MAX_LEN);
	if (smx_known_hosts_line(host, port, blob, 0, &line) == 0) {
		smx_buf_truncate(&line, smx_buf_len(&line) - 1); /* its newline */
		text = smx_buf_cstr(&line) ? smx_buf_cstr(&line) : "";
	}
	/* An RSA key is too long for the text of a refused channel; the log takes it whole. */
	if (strlen(text) >= LINE_IN_TEXT_MAX) {
		log_warn("host key of %s: the line for %s: %s", host, p->known_hosts_path, text);
		text = "(the log of ssh-mux has it)";
	}
	(void)snprintf(why, size,
		"%s; compare it with the one the host's owner tells you, and to accept it add this "
		"line to %s: %s",
		what, p->known_hosts_path, text);
	smx_buf_release(&line);
}

int hostkey_check(const struct prepared *p, const struct smx_hop *hop, int behind_jump,
	struct smx_view blob, char *why, size_t why_size)
{
	struct smx_hostkey_decision d;
	struct smx_known_verdict v;
	char fingerprint[SMX_FINGERPRINT_SIZE], what[256];
	struct smx_view type = { NULL, 0 };
	const char *host;
	uint16_t port;
	int r;

	smx_hop_known_name(hop, &host, &port);
	if ((r = smx_known_hosts_check(p->known_hosts, host, port, blob, &v)) != 0 ||
		(r = smx_blob_type(blob, &type)) != 0 ||
		(r = smx_blob_fingerprint(blob, fingerprint)) != 0) {
		(void)snprintf(why, why_size, "host key: %s", smx_strerror(r));
		return SMX_EHOSTKEY;
	}
	d = smx_hostkey_decide(&v, SMX_HOSTKEY_CANNOT_ASK, behind_jump);
	if (d.action == SMX_HOSTKEY_ACCEPT)
		return 0;
	(void)snprintf(what, sizeof(what), "host key of %.80s port %u (%.*s %s): %s", host, port,
		(int)(type.len < 40 ? type.len : 40), (const char *)type.p, fingerprint,
		smx_hostkey_reason_text(d.reason));
	if (d.reason == SMX_HOSTKEY_WHY_CHANGED || d.reason == SMX_HOSTKEY_WHY_REVOKED)
		(void)snprintf(why, why_size,
			"%s (%s:%u). Somebody may be listening in. If the change is known to be "
			"right, "
			"remove that line",
			what, v.source_view ? v.source_view : "", v.line);
	else
		explain_unknown(p, host, port, blob, what, why, why_size);
	return SMX_EHOSTKEY;
}
