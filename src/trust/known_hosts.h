/* SPDX-License-Identifier: MIT */
/*
 * known_hosts (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): text in, verdict out (K1, K3, K5).
 *
 * The name of a host is what OpenSSH looks up: "host" for port 22, "[host]:port" for any
 * other, in lower case. As OpenSSH does, a host on another port of which "[host]:port" says nothing
 * at all is looked up once more as plain "host": a key that matches there is a match. That second
 * look never makes a key CHANGED (the plain name is another server then), but revocations and
 * certificate authorities count under either name.
 *
 * For a route with host_key_alias, pass the alias as the host and 22 as the port (see
 * smx_hop_known_name in config/routes.h).
 *
 * Nothing in a text is an error: a line that can't be used is skipped with a warning, and
 * remembered as a line that says *something* about its hosts, so that no host such a line names is
 * ever trusted unasked (K5).
 */
#ifndef SMX_TRUST_KNOWN_HOSTS_H
#define SMX_TRUST_KNOWN_HOSTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/wire.h"

#define SMX_KNOWN_HOSTS_TEXT_MAX    (16u << 20) /* bytes in one text */
#define SMX_KNOWN_HOSTS_LINE_MAX    32768u /* bytes in one line; longer ones are skipped */
#define SMX_KNOWN_HOSTS_ENTRIES_MAX 65536u /* in all texts */
#define SMX_KNOWN_NAME_MAX          280u /* "[host]:port", with its NUL */
#define SMX_KNOWN_WARNINGS_MAX      16384u /* good cap for a warnings buffer */

struct smx_known_hosts;

int smx_known_hosts_new(struct smx_known_hosts **ret);
void smx_known_hosts_free(struct smx_known_hosts *kh);

/*
 * Adds the entries of a text; several may be added, the first has precedence in what is reported.
 * source_name (copied) appears in verdicts and warnings. warnings gets lines of the form
 * "name:12: what\n"; NULL to have none; those beyond the buffer's cap are dropped.
 * 0, SMX_ENOMEM, SMX_ELIMIT (text too long, too many entries: nothing of it was added), SMX_EINVAL
 * (after smx_known_hosts_narrow).
 */
int smx_known_hosts_add_text(struct smx_known_hosts *kh, const char *source_name,
	struct smx_view text, struct smx_buf *warnings);

/*
 * K7: keeps only what names this host, with its port or without. The one slow search: after it,
 * whatever is asked about this host costs next to nothing, so that a worker thread can do it for a
 * loop. About other hosts nothing should be asked any more, and no text can be added. An error of
 * the check, and nothing was dropped.
 */
int smx_known_hosts_narrow(struct smx_known_hosts *kh, const char *host, uint16_t port);

/* Whether any entry has, or one that was dropped had, a hashed name (then an appended one should be
 * hashed too). */
int smx_known_hosts_has_hashed(const struct smx_known_hosts *kh);

enum smx_known_status {
	SMX_KNOWN_UNKNOWN, /* no key of this host is listed */
	SMX_KNOWN_MATCH, /* exactly this key is listed */
	SMX_KNOWN_CHANGED, /* a key of the same type is listed, and this is not it */
	SMX_KNOWN_OTHER_TYPE, /* only keys of other types are listed (K3) */
	SMX_KNOWN_REVOKED, /* @revoked, whatever else is listed (K3) */
};

enum smx_known_marker {
	SMX_KNOWN_PLAIN,
	SMX_KNOWN_CA, /* @cert-authority */
	SMX_KNOWN_REVOKED_KEY, /* @revoked */
	SMX_KNOWN_SKIPPED, /* not usable: unknown marker, broken key (K5) */
};

struct smx_known_verdict {
	enum smx_known_status status;
	int has_ca; /* a @cert-authority entry matches the host (K5) */
	int has_skipped; /* a line that was skipped matches the host (K5) */
	int without_port; /* the deciding entry names the host without its port */
	/*
	 * The entry that decided (MATCH, CHANGED, REVOKED), or the first known key of another type
	 * (OTHER_TYPE); NULL and 0 for UNKNOWN. Lives as long as the known_hosts.
	 */
	const char *source_view;
	unsigned line;
};

/*
 * What is known about key_blob as the key of host. host: a name or address as the user
 * wrote it (no brackets). key_blob: a plain key; of certificates see trust/host_cert.h.
 * An @revoked line that holds a certificate revokes the key in it, as in OpenSSH.
 * Costs an HMAC or two for each hashed entry.
 * 0, or SMX_EINVAL (host or blob can't be one), SMX_ECRYPTO, SMX_ENOMEM.
 */
int smx_known_hosts_check(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	struct smx_view key_blob, struct smx_known_verdict *ret);

/* One line about a host, for messages. Views live as long as the known_hosts. */
struct smx_known_entry {
	enum smx_known_marker marker;
	struct smx_view type_view; /* key type's wire name; empty for SKIPPED */
	struct smx_view blob_view; /* empty for SKIPPED */
	struct smx_view hosts_view; /* names and patterns as they stand there; empty if hashed */
	int without_port; /* names the host without its port */
	const char *source_view;
	unsigned line;
};

/*
 * Iterates over everything that names the host, with its port or without.
 * *cursor starts at 0. 1: *ret is the next entry; 0: no more; or an error of the check.
 */
int smx_known_hosts_next(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	size_t *cursor, struct smx_known_entry *ret);

/*
 * Whether the key stands in a plain line of its own that does not name the host. 1, 0, or an error
 * of the check; 0 for all keys after smx_known_hosts_narrow. Costs a search.
 */
int smx_known_hosts_elsewhere(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	struct smx_view key_blob);

/*
 * Appends the key types known for the host as a name-list ("ssh-ed25519,ssh-rsa", maybe
 * empty), in order of appearance and without repetition: what the host-key algorithms of a
 * KEXINIT should prefer. Plain entries only.
 */
int smx_known_hosts_types(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	struct smx_buf *ret_list);

/*
 * Appends the line that makes blob known for host, with its newline. hashed: with the
 * name as HMAC-SHA1 under a fresh random salt. SMX_EINVAL if host could be read as a
 * pattern, list or marker, or isn't ASCII.
 */
int smx_known_hosts_line(const char *host, uint16_t port, struct smx_view blob, int hashed,
	struct smx_buf *ret_line);

/*
 * Writes the name looked up for host and port ("[host]:port" in lower case, NUL-terminated).
 * SMX_EINVAL if it is empty, too long, or has white space or control characters.
 */
int smx_known_hosts_name(const char *host, uint16_t port, char *ret_name, size_t ret_name_size);

/* --- verdict → what to do (K2, K3, K5), a pure function ---------------------------- */

enum smx_hostkey_asking {
	SMX_HOSTKEY_CAN_ASK, /* somebody is there to answer */
	SMX_HOSTKEY_CANNOT_ASK, /* an interactive channel was intended, and is not there */
	SMX_HOSTKEY_NO_CHANNEL, /* the session has none by design */
};

enum smx_hostkey_action {
	SMX_HOSTKEY_ACCEPT, /* go on */
	SMX_HOSTKEY_ASK, /* show the fingerprint and ask; pin before going on (K4) */
	SMX_HOSTKEY_ACCEPT_NEW, /* pin without asking before going on (K4) */
	SMX_HOSTKEY_REFUSE,
};

enum smx_hostkey_reason {
	SMX_HOSTKEY_OK,
	SMX_HOSTKEY_WHY_UNKNOWN,
	SMX_HOSTKEY_WHY_OTHER_TYPE,
	SMX_HOSTKEY_WHY_CA,
	SMX_HOSTKEY_WHY_SKIPPED,
	SMX_HOSTKEY_WHY_CHANGED,
	SMX_HOSTKEY_WHY_REVOKED,
	SMX_HOSTKEY_WHY_UNPINNED,
	SMX_HOSTKEY_WHY_CERT, /* a certificate that is not good, see trust/host_cert.h */
};

struct smx_hostkey_decision {
	enum smx_hostkey_action action;
	enum smx_hostkey_reason reason;
	/* For ASK: what the question has to show besides the fingerprint. */
	int show_known_keys; /* the keys known for the host (K3) */
	int warn_ca; /* accepting gives up the host's certificate authority (K5) */
};

/*
 * behind_jump: the target is reached through a jump host. accept-new exists only there,
 * only with NO_CHANNEL, and only for a host about which nothing at all is known.
 */
struct smx_hostkey_decision smx_hostkey_decide(
	const struct smx_known_verdict *verdict, enum smx_hostkey_asking asking, int behind_jump);
/* K4: the decision after the accepted key was, or could not be, written to known_hosts. */
struct smx_hostkey_decision smx_hostkey_after_pinning(int pin_result);
/* Static text, no capital, no full stop: "the host key has changed". */
const char *smx_hostkey_reason_text(enum smx_hostkey_reason reason);

#endif
