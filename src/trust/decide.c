/* SPDX-License-Identifier: MIT */
/* What follows from a verdict about a host key (K2–K5). */
#include "trust/known_hosts.h"

/* Why a key that isn't listed can't be taken unasked; WHY_UNKNOWN if only for being new. */
static enum smx_hostkey_reason reason_to_ask(const struct smx_known_verdict *v)
{
	if (v->status == SMX_KNOWN_OTHER_TYPE)
		return SMX_HOSTKEY_WHY_OTHER_TYPE;
	if (v->has_ca)
		return SMX_HOSTKEY_WHY_CA;
	if (v->has_skipped)
		return SMX_HOSTKEY_WHY_SKIPPED;
	return SMX_HOSTKEY_WHY_UNKNOWN;
}

struct smx_hostkey_decision smx_hostkey_decide(
	const struct smx_known_verdict *verdict, enum smx_hostkey_asking asking, int behind_jump)
{
	struct smx_hostkey_decision d = { .action = SMX_HOSTKEY_REFUSE };

	switch (verdict->status) {
	case SMX_KNOWN_MATCH:
		d.action = SMX_HOSTKEY_ACCEPT;
		d.reason = SMX_HOSTKEY_OK;
		return d;
	case SMX_KNOWN_CHANGED:
		d.reason = SMX_HOSTKEY_WHY_CHANGED;
		return d;
	case SMX_KNOWN_REVOKED:
		d.reason = SMX_HOSTKEY_WHY_REVOKED;
		return d;
	case SMX_KNOWN_UNKNOWN:
	case SMX_KNOWN_OTHER_TYPE:
		break;
	}

	d.reason = reason_to_ask(verdict);
	d.show_known_keys = verdict->status == SMX_KNOWN_OTHER_TYPE;
	d.warn_ca = verdict->has_ca;
	if (asking == SMX_HOSTKEY_CAN_ASK)
		d.action = SMX_HOSTKEY_ASK;
	else if (asking == SMX_HOSTKEY_NO_CHANNEL && behind_jump &&
		 d.reason == SMX_HOSTKEY_WHY_UNKNOWN)
		d.action = SMX_HOSTKEY_ACCEPT_NEW;
	return d;
}

struct smx_hostkey_decision smx_hostkey_after_pinning(int pin_result)
{
	struct smx_hostkey_decision d = { .action = SMX_HOSTKEY_REFUSE,
		.reason = SMX_HOSTKEY_WHY_UNPINNED };

	if (pin_result == 0) {
		d.action = SMX_HOSTKEY_ACCEPT;
		d.reason = SMX_HOSTKEY_OK;
	}
	return d;
}

const char *smx_hostkey_reason_text(enum smx_hostkey_reason reason)
{
	switch (reason) {
	case SMX_HOSTKEY_OK:
		return "the host key is known";
	case SMX_HOSTKEY_WHY_UNKNOWN:
		return "the host key is not known";
	case SMX_HOSTKEY_WHY_OTHER_TYPE:
		return "the host is known by keys of other types only";
	case SMX_HOSTKEY_WHY_CA:
		return "the host key is not known, and the host belongs to a certificate authority";
	case SMX_HOSTKEY_WHY_SKIPPED:
		return "the host key is not known, and a line about the host could not be used";
	case SMX_HOSTKEY_WHY_CHANGED:
		return "the host key has changed";
	case SMX_HOSTKEY_WHY_REVOKED:
		return "the host key is revoked";
	case SMX_HOSTKEY_WHY_UNPINNED:
		return "the host key could not be written to known_hosts";
	case SMX_HOSTKEY_WHY_CERT:
		return "the host certificate is not valid";
	}
	return "the host key is not acceptable";
}
