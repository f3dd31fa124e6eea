/* SPDX-License-Identifier: MIT */
#include "mux/pool/hostkey.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "mux/core/say.h"
#include "trust/host_cert.h"

#define LINE_MAX_LEN     8192
#define LINE_IN_TEXT_MAX 200
#define TYPES_MAX        1024

/* The places of host key algorithms in a KEXINIT, best first. */
enum place {
	PLACE_CERT_KNOWN, /* certificates the host's authority can have signed, or a revoked one */
	PLACE_CERT,
	PLACE_PLAIN_KNOWN, /* a key of this type is in known_hosts */
	PLACE_PLAIN,
	PLACE_CERT_LAST, /* for hosts that have nothing else: judged by the key in it */
	N_PLACES
};

static enum place place_of(struct smx_view alg, struct smx_view types, enum smx_cert_wish wish)
{
	const char *plain = smx_sigalg_of_cert(alg);
	struct smx_view type, sig = plain ? smx_view_of(plain, strlen(plain)) : alg;
	int is_known = 0;

	while (smx_namelist_next(&types, &type))
		is_known |= smx_sigalg_fits(sig, type);
	if (!plain)
		return is_known ? PLACE_PLAIN_KNOWN : PLACE_PLAIN;
	if (is_known && wish != SMX_CERT_WISH_NONE)
		return PLACE_CERT_KNOWN;
	return wish == SMX_CERT_WISH_ALL ? PLACE_CERT : PLACE_CERT_LAST;
}

/* What known_hosts has of the host: types of keys, and what it says of certificates. */
static int look_up(const struct prepared *p, const struct smx_hop *hop, struct smx_buf *types,
	enum smx_cert_wish *ret_wish)
{
	const char *host;
	uint16_t port;
	int r;

	smx_hop_known_name(hop, &host, &port);
	r = smx_known_hosts_types(p->known_hosts, host, port, types);
	return r == 0 ? smx_known_hosts_cert_wish(p->known_hosts, host, port, ret_wish) : r;
}

int hostkey_may_be_first(const struct prepared *p, const struct smx_hop *hop, const char *alg)
{
	const char *lists[] = { smx_sigalg_names(0), smx_cert_sigalg_names() };
	enum place own, best = N_PLACES, place;
	struct smx_view names, name;
	enum smx_cert_wish wish;
	struct smx_buf types;
	int r;

	smx_buf_init(&types, TYPES_MAX);
	r = look_up(p, hop, &types, &wish);
	own = r == 0 ? place_of(smx_view_of(alg, strlen(alg)), smx_buf_as_view(&types), wish)
		     : N_PLACES;
	for (size_t i = 0; r == 0 && i < SMX_ARRAY_LEN(lists); i++) {
		names = smx_view_of(lists[i], strlen(lists[i]));
		while (smx_namelist_next(&names, &name)) {
			place = place_of(name, smx_buf_as_view(&types), wish);
			best = place < best ? place : best;
		}
	}
	smx_buf_release(&types);
	return r == 0 && own == best;
}

int hostkey_algs(const struct prepared *p, const struct smx_hop *hop, struct smx_buf *ret)
{
	const char *lists[] = { smx_sigalg_names(0), smx_cert_sigalg_names() };
	struct smx_view names, alg;
	enum smx_cert_wish wish;
	struct smx_buf types;
	int r;

	smx_buf_init(&types, TYPES_MAX);
	if ((r = look_up(p, hop, &types, &wish)) != 0)
		goto out;
	for (unsigned place = 0; place < N_PLACES; place++) {
		for (size_t i = 0; i < SMX_ARRAY_LEN(lists); i++) {
			names = smx_view_of(lists[i], strlen(lists[i]));
			while (smx_namelist_next(&names, &alg)) {
				if (place_of(alg, smx_buf_as_view(&types), wish) != place)
					continue;
				if ((smx_buf_len(ret) && (r = smx_buf_put_str(ret, ",")) != 0) ||
					(r = smx_buf_put(ret, alg.p, alg.len)) != 0)
					goto out;
			}
		}
	}
out:
	smx_buf_release(&types);
	return r;
}

/* A host key on its way to a verdict. */
struct judged {
	struct mux_ids ids;
	struct smx_view plain; /* the key's blob; of a certificate, that of the key in it */
	struct smx_hostkey_decision decision;
	const char *what; /* the reason, as text */
	const char *source; /* the line that decided, if one did */
	unsigned line;
};

static void explain_unknown(const struct prepared *p, const char *host, uint16_t port,
	const struct judged *j, const char *what, char *why, size_t size)
{
	struct smx_buf line;
	const char *text = "";

	smx_buf_init(&line, LINE_MAX_LEN);
	if (smx_known_hosts_line(host, port, j->plain, 0, &line) == 0) {
		smx_buf_truncate(&line, smx_buf_len(&line) - 1); /* its newline */
		text = smx_buf_cstr(&line) ? smx_buf_cstr(&line) : "";
	}
	/* An RSA key is too long for the text of a refused channel; the log takes it whole. */
	if (strlen(text) >= LINE_IN_TEXT_MAX) {
		say_warn(&j->ids, "host key of %s: the line for %s: %s", host, p->known_hosts_path,
			text);
		text = "(the log of ssh-mux has it)";
	}
	(void)snprintf(why, size,
		"%s; compare it with the one the host's owner tells you, and to accept it add this "
		"line to %s: %s",
		what, p->known_hosts_path, text);
	smx_buf_release(&line);
}

static int judge_plain(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	struct smx_view blob, enum smx_hostkey_asking asking, int behind_jump, struct judged *ret)
{
	struct smx_known_verdict v;
	int r;

	if ((r = smx_known_hosts_check(kh, host, port, blob, &v)) != 0)
		return r;
	ret->plain = blob;
	ret->decision = smx_hostkey_decide(&v, asking, behind_jump);
	ret->what = smx_hostkey_reason_text(ret->decision.reason);
	ret->source = v.source_view;
	ret->line = v.line;
	return 0;
}

static int judge_cert(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	const struct smx_cert *cert, enum smx_hostkey_asking asking, int behind_jump,
	struct judged *ret)
{
	struct smx_host_cert_verdict v;
	time_t now = time(NULL);
	char key_id[80];
	int r;

	/* A clock before 1970: no certificate is valid yet. */
	if ((r = smx_known_hosts_check_cert(
		     kh, host, port, cert, now < 0 ? 0 : (uint64_t)now, &v)) != 0)
		return r;
	ret->plain = cert->plain_blob;
	ret->decision = smx_host_cert_decide(&v, asking, behind_jump);
	ret->what = smx_host_cert_text(v.status);
	ret->source = v.source_view;
	ret->line = v.line;
	if (v.status == SMX_HOST_CERT_UNKNOWN_CA ||
		ret->decision.reason == SMX_HOSTKEY_WHY_CHANGED) {
		/* The plain key decided, and is what there is to say something about. */
		ret->what = smx_hostkey_reason_text(ret->decision.reason);
		ret->source = v.plain.source_view;
		ret->line = v.plain.line;
	}
	smx_sanitize((const char *)cert->key_id.p, cert->key_id.len, key_id, sizeof(key_id));
	if (v.status == SMX_HOST_CERT_OK)
		say_debug(&ret->ids,
			"host key of %s port %u: certificate \"%s\" serial %llu, authority %s:%u",
			host, port, key_id, (unsigned long long)cert->serial, v.source_view,
			v.line);
	else if (v.status != SMX_HOST_CERT_UNKNOWN_CA)
		say_warn(&ret->ids,
			"host key of %s port %u: certificate \"%s\" serial %llu is not used: %s",
			host, port, key_id, (unsigned long long)cert->serial,
			smx_host_cert_text(v.status));
	return 0;
}

static void explain(const struct prepared *p, const char *host, uint16_t port,
	const struct judged *j, char *why, size_t why_size)
{
	char fingerprint[SMX_FINGERPRINT_SIZE] = "", what[320];
	struct smx_view type = { NULL, 0 };

	(void)smx_blob_type(j->plain, &type);
	(void)smx_blob_fingerprint(j->plain, fingerprint);
	(void)snprintf(what, sizeof(what), "host key of %.80s port %u (%.*s %s): %s", host, port,
		(int)(type.len < 40 ? type.len : 40), (const char *)type.p, fingerprint, j->what);
	switch (j->decision.reason) {
	case SMX_HOSTKEY_WHY_CHANGED:
	case SMX_HOSTKEY_WHY_REVOKED:
		(void)snprintf(why, why_size,
			"%s (%s:%u). Somebody may be listening in. If the change is known to be "
			"right, "
			"remove that line",
			what, j->source ? j->source : "", j->line);
		return;
	case SMX_HOSTKEY_WHY_CERT:
		/* No line that would accept the key: who set up an authority wants no way round it.
		 */
		if (j->source)
			(void)snprintf(why, why_size,
				"%s (its authority: %s:%u). The host's owner has to issue a new "
				"one",
				what, j->source, j->line);
		else
			(void)snprintf(why, why_size,
				"%s. Somebody may be listening in; tell the host's owner", what);
		return;
	default:
		break;
	}
	explain_unknown(p, host, port, j, what, why, why_size);
}

/* The keys that known_hosts has for the host beside this one (K3), and the authority's warning
 * (K5). */
static void put_known(struct smx_buf *text, const struct prepared *p, const char *host,
	uint16_t port, const struct smx_hostkey_decision *d)
{
	char fingerprint[SMX_FINGERPRINT_SIZE];
	struct smx_known_entry entry;
	size_t cursor = 0;

	while (d->show_known_keys &&
		smx_known_hosts_next(p->known_hosts, host, port, &cursor, &entry) == 1) {
		if (entry.marker != SMX_KNOWN_PLAIN ||
			smx_blob_fingerprint(entry.blob_view, fingerprint) != 0)
			continue;
		(void)smx_buf_printf(text, "Known for this host: %.*s %s (%s:%u)\n",
			(int)entry.type_view.len, (const char *)entry.type_view.p, fingerprint,
			entry.source_view, entry.line);
	}
	if (d->warn_ca)
		(void)smx_buf_put_str(text,
			"WARNING: this host has a certificate authority in known_hosts. Accepting "
			"this key gives up the protection of its certificates.\n");
}

static const char question_end[] =
	"Are you sure you want to continue connecting (yes/no/[fingerprint])? ";

/* As ssh calls a type where it asks. */
static const char *type_name(struct smx_view type)
{
	static const char *const names[][2] = { { "ssh-ed25519", "ED25519" }, { "ssh-rsa", "RSA" },
		{ "sk-ssh-ed25519@openssh.com", "ED25519-SK" },
		{ "sk-ecdsa-sha2-nistp256@openssh.com", "ECDSA-SK" } };

	for (size_t i = 0; i < SMX_ARRAY_LEN(names); i++)
		if (smx_view_eq(type, names[i][0]))
			return names[i][1];
	return "ECDSA";
}

/* A14: for a program that looks for ssh's words. */
static int put_plain(const struct prepared *p, const char *host, uint16_t port,
	const struct judged *j, struct smx_view type, struct hostkey_question *ret)
{
	char name[300];
	struct smx_buf text;
	int r;

	(void)snprintf(name, sizeof(name), port == 22 ? "%.255s" : "[%.255s]:%u", host, port);
	smx_buf_init(&text, sizeof(ret->plain_text) - 1);
	(void)smx_buf_printf(&text,
		"The authenticity of host '%s (%s)' can't be established.\n"
		"%s key fingerprint is %s.\n",
		name, name, type_name(type), ret->fingerprint);
	put_known(&text, p, host, port, &j->decision);
	if ((r = smx_buf_put_str(&text, question_end)) == 0)
		(void)snprintf(ret->plain_text, sizeof(ret->plain_text), "%s", smx_buf_cstr(&text));
	smx_buf_release(&text);
	return r;
}

static int make_question(const struct prepared *p, const struct smx_hop *hop, const char *host,
	uint16_t port, const struct judged *j, struct hostkey_question *ret)
{
	struct smx_view type = { NULL, 0 };
	struct smx_buf text;
	int r;

	ret->host = host;
	ret->port = port;
	ret->is_new_accepted = j->decision.action == SMX_HOSTKEY_ACCEPT_NEW;
	if ((r = smx_buf_put(&ret->plain, j->plain.p, j->plain.len)) != 0 ||
		(r = smx_blob_type(j->plain, &type)) != 0 ||
		(r = smx_blob_fingerprint(j->plain, ret->fingerprint)) != 0)
		return r;
	smx_buf_init(&text, sizeof(ret->text) - 1);
	(void)smx_buf_printf(&text,
		"ssh-mux: the authenticity of host '%s' (%s port %u) can't be established: %s.\n",
		host, hop->host, hop->port, j->what);
	(void)smx_buf_printf(&text, "%.*s key fingerprint is %s\n", (int)type.len,
		(const char *)type.p, ret->fingerprint);
	put_known(&text, p, host, port, &j->decision);
	if ((r = smx_buf_put_str(&text, question_end)) == 0)
		(void)snprintf(ret->text, sizeof(ret->text), "%s", smx_buf_cstr(&text));
	smx_buf_release(&text);
	return r == 0 ? put_plain(p, host, port, j, type, ret) : r;
}

/* K1: what a login rests on. */
static void tell_accepted(const struct judged *j, const char *host, uint16_t port)
{
	char fingerprint[SMX_FINGERPRINT_SIZE] = "";
	struct smx_view type = { NULL, 0 };

	(void)smx_blob_type(j->plain, &type);
	(void)smx_blob_fingerprint(j->plain, fingerprint);
	say_info(&j->ids, "host key of %s port %u (%.*s %s) accepted: %s:%u", host, port,
		(int)(type.len < 40 ? type.len : 40), (const char *)type.p, fingerprint,
		j->source ? j->source : "known", j->line);
}

int hostkey_check(const struct prepared *p, const struct smx_hop *hop, int behind_jump,
	enum smx_hostkey_asking asking, struct smx_view blob, struct hostkey_question *ret_q,
	char *why, size_t why_size)
{
	struct smx_cert *cert = NULL;
	struct judged j = { .ids = { .conn = ret_q->conn } };
	const char *host;
	uint16_t port;
	int r;

	smx_hop_known_name(hop, &host, &port);
	r = smx_cert_parse(&cert, blob);
	if (r == SMX_EUNSUPPORTED)
		r = judge_plain(p->known_hosts, host, port, blob, asking, behind_jump, &j);
	else if (r == 0)
		r = judge_cert(p->known_hosts, host, port, cert, asking, behind_jump, &j);
	if (r == 0 && (j.decision.action == SMX_HOSTKEY_ASK ||
			      j.decision.action == SMX_HOSTKEY_ACCEPT_NEW)) {
		smx_buf_init(&ret_q->plain, SMX_KEY_BLOB_MAX);
		r = make_question(p, hop, host, port, &j, ret_q);
		if (r == 0)
			r = SMX_EAGAIN;
		else
			smx_buf_release(&ret_q->plain);
	} else if (r == 0 && j.decision.action != SMX_HOSTKEY_ACCEPT) {
		explain(p, host, port, &j, why, why_size);
		r = SMX_EHOSTKEY;
	} else if (r == 0) {
		tell_accepted(&j, host, port);
	}
	if (r != 0 && r != SMX_EAGAIN && r != SMX_EHOSTKEY) {
		(void)snprintf(why, why_size, "host key: %s", smx_strerror(r));
		if (r != SMX_ENOMEM) /* for want of that there is no verdict */
			r = SMX_EHOSTKEY;
	}
	smx_cert_free(cert);
	return r;
}
