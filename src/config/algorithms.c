/* SPDX-License-Identifier: MIT */
#include "config/algorithms.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/cipher.h"
#include "crypto/kex.h"
#include "crypto/key.h"

/* What people name because OpenSSH has it. */
static const char *const lacking[] = { "mlkem768x25519-sha256" };

static struct smx_view view_of(const char *s)
{
	return smx_view_of(s, strlen(s));
}

static int is_in(const char *list, struct smx_view name)
{
	struct smx_view rest = view_of(list), one;

	while (smx_namelist_next(&rest, &one))
		if (smx_view_eq_view(one, name))
			return 1;
	return 0;
}

static int is_usual(struct smx_view name)
{
	return is_in(smx_mac_names(), name) || is_in(smx_kex_names(), name) ||
	       is_in(smx_cipher_names(), name) || is_in(smx_sigalg_names(1), name);
}

static int is_lacking(struct smx_view name)
{
	for (size_t i = 0; i < SMX_ARRAY_LEN(lacking); i++)
		if (smx_view_eq(name, lacking[i]))
			return 1;
	return 0;
}

static int check_name(struct smx_view name, struct smx_buf *why)
{
	char clean[80];

	if (is_in(smx_mac_old_names(), name))
		return 0;
	smx_sanitize((const char *)name.p, name.len, clean, sizeof(clean));
	if (is_usual(name))
		(void)smx_buf_printf(why, "\"%s\" is always offered; leave it out", clean);
	else if (is_lacking(name))
		(void)smx_buf_printf(why,
			"\"%s\" can't be added: the libcrypto of this ssh-mux has no such "
			"algorithm; what can be added: %s",
			clean, smx_mac_old_names());
	else
		(void)smx_buf_printf(
			why, "\"%s\" can't be added; what can be: %s", clean, smx_mac_old_names());
	return SMX_EINVAL;
}

static struct smx_view without_plus(struct smx_view text)
{
	if (text.len && text.p[0] == '+') {
		text.p++;
		text.len--;
	}
	return text;
}

int smx_algorithms_check(struct smx_view text, struct smx_buf *why)
{
	struct smx_view rest = without_plus(text), name;
	int r = 0, n = 0;

	if (text.len == 0)
		return 0;
	if (rest.len == text.len || text.len > SMX_ALGORITHMS_MAX) {
		(void)smx_buf_printf(why,
			"must be \"+\" and names with commas between them, which are added to "
			"what is always offered: \"+%s\"",
			smx_mac_old_names());
		return SMX_EINVAL;
	}
	for (; r == 0 && smx_namelist_next(&rest, &name); n++)
		r = check_name(name, why);
	if (r == 0 && n == 0) {
		(void)smx_buf_put_str(why, "names no algorithm");
		r = SMX_EINVAL;
	}
	return r;
}

int smx_algorithms_macs(const char *text, struct smx_buf *out)
{
	struct smx_view rest = without_plus(view_of(text ? text : "")), name;
	int r = smx_buf_put_str(out, smx_mac_names());

	while (r == 0 && smx_namelist_next(&rest, &name))
		if (is_in(smx_mac_old_names(), name) && (r = smx_buf_put_str(out, ",")) == 0)
			r = smx_buf_put(out, name.p, name.len);
	return r;
}

int smx_algorithms_addable(struct smx_view names, struct smx_buf *out, unsigned *ret_n)
{
	struct smx_view name;
	unsigned n = 0;
	int r = 0;

	while (r == 0 && smx_namelist_next(&names, &name)) {
		if (!is_in(smx_mac_old_names(), name))
			continue;
		if ((n++ == 0 || (r = smx_buf_put_str(out, ",")) == 0))
			r = smx_buf_put(out, name.p, name.len);
	}
	*ret_n = n;
	return r;
}

/* Whether any of them is one that libcrypto would have to have. */
static int has_lacking(struct smx_view names)
{
	struct smx_view name;

	while (smx_namelist_next(&names, &name))
		if (is_lacking(name))
			return 1;
	return 0;
}

int smx_algorithms_advise(const char *what, struct smx_view offer, struct smx_buf *out)
{
	struct smx_buf names;
	unsigned n = 0;
	int r;

	smx_buf_init(&names, SMX_ALGORITHMS_MAX);
	if (strcmp(what, "MAC") == 0)
		(void)smx_algorithms_addable(offer, &names, &n);
	if (n && smx_buf_cstr(&names))
		r = smx_buf_printf(out, "to allow it, add to the route: algorithms = \"+%s\"",
			smx_buf_cstr(&names));
	else if (smx_namelist_has(offer, "ssh-rsa"))
		r = smx_buf_put_str(out,
			"signatures with SHA-1 are never accepted: its owner has to switch on "
			"rsa-sha2-256, or give it an ed25519 key");
	else if (has_lacking(offer))
		r = smx_buf_put_str(out,
			"ssh-mux has none of these, since its libcrypto has not, and no key of the "
			"route allows them");
	else
		r = smx_buf_put_str(
			out, "ssh-mux has none of these, and no key of the route allows them");
	smx_buf_release(&names);
	return r;
}
