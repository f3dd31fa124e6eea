/* SPDX-License-Identifier: MIT */
#include "ssh/kexinit.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/key.h"
#include "crypto/random.h"
#include "ssh/msg.h"

#define COOKIE_LEN 16

/* The ten name-lists, in the order of the message. */
enum list {
	LIST_KEX,
	LIST_HOST_KEY,
	LIST_CIPHER_C2S,
	LIST_CIPHER_S2C,
	LIST_MAC_C2S,
	LIST_MAC_S2C,
	LIST_COMP_C2S,
	LIST_COMP_S2C,
	LIST_LANG_C2S,
	LIST_LANG_S2C,
	N_LISTS
};

static const char client_marks[] = "ext-info-c,kex-strict-c-v00@openssh.com";
static const char server_marks[] = "kex-strict-s-v00@openssh.com";

/* The names of a list, behind `first` if that is none of NULL. */
static int put_names(struct smx_buf *out, const char *list, const char *first)
{
	struct smx_view names = smx_view_of(list, strlen(list)), name;
	int r;

	if (!first)
		return smx_buf_put_str(out, list);
	r = smx_buf_put_str(out, first);
	while (r == 0 && smx_namelist_next(&names, &name)) {
		if (!smx_view_eq(name, first) && (r = smx_put_u8(out, ',')) == 0)
			r = smx_buf_put(out, name.p, name.len);
	}
	return r;
}

static int put_kex_list(struct smx_buf *out, enum smx_role role, const struct smx_kex_offer *offer)
{
	const char *kex = role == SMX_CLIENT ? smx_kex_names() : smx_kex_server_names();
	size_t mark;
	int r;

	if (offer->kex)
		kex = offer->kex;
	if ((r = smx_put_string_begin(out, &mark)) != 0 ||
		(r = put_names(out, kex, offer->guess_kex)) != 0)
		return r;
	if (offer->is_first &&
		((r = smx_put_u8(out, ',')) != 0 ||
			(r = smx_buf_put_str(
				 out, role == SMX_CLIENT ? client_marks : server_marks)) != 0))
		return r;
	smx_put_string_end(out, mark);
	return 0;
}

static int put_host_key_list(struct smx_buf *out, const struct smx_kex_offer *offer)
{
	const char *host_key = offer->host_key ? offer->host_key : smx_sigalg_names(0);
	size_t mark;
	int r;

	if ((r = smx_put_string_begin(out, &mark)) != 0 ||
		(r = put_names(out, host_key, offer->guess_host_key)) != 0)
		return r;
	smx_put_string_end(out, mark);
	return 0;
}

int smx_kexinit_build(struct smx_buf *out, enum smx_role role, const struct smx_kex_offer *offer)
{
	const char *ciphers = offer->ciphers ? offer->ciphers : smx_cipher_names();
	const char *macs = offer->macs ? offer->macs : smx_mac_names();
	uint8_t cookie[COOKIE_LEN];
	int r;

	(void)((r = smx_random(cookie, sizeof(cookie))) != 0 ||
		(r = smx_put_u8(out, SMX_MSG_KEXINIT)) != 0 ||
		(r = smx_buf_put(out, cookie, sizeof(cookie))) != 0 ||
		(r = put_kex_list(out, role, offer)) != 0 ||
		(r = put_host_key_list(out, offer)) != 0 || (r = smx_put_cstr(out, ciphers)) != 0 ||
		(r = smx_put_cstr(out, ciphers)) != 0 || (r = smx_put_cstr(out, macs)) != 0 ||
		(r = smx_put_cstr(out, macs)) != 0 || (r = smx_put_cstr(out, "none")) != 0 ||
		(r = smx_put_cstr(out, "none")) != 0 || (r = smx_put_cstr(out, "")) != 0 ||
		(r = smx_put_cstr(out, "")) != 0 ||
		(r = smx_put_bool(out, offer->guess_kex != NULL)) != 0 ||
		(r = smx_put_u32(out, 0)) != 0);
	return r;
}

static int parse(struct smx_view payload, struct smx_view lists[N_LISTS], int *ret_follows)
{
	struct smx_rd rd = smx_rd_view(payload);
	struct smx_view cookie;
	uint32_t reserved;
	uint8_t type;
	int r;

	if (payload.len > SMX_KEXINIT_MAX)
		return SMX_ETOOBIG;
	if ((r = smx_rd_u8(&rd, &type)) != 0 || (r = smx_rd_bytes(&rd, COOKIE_LEN, &cookie)) != 0)
		return r;
	for (int i = 0; i < N_LISTS; i++)
		if ((r = smx_rd_string(&rd, &lists[i])) != 0)
			return r;
	(void)((r = smx_rd_bool(&rd, ret_follows)) != 0 || (r = smx_rd_u32(&rd, &reserved)) != 0 ||
		(r = smx_rd_end(&rd)) != 0);
	return r;
}

/* The client's first name that the server has too. */
static int choose(struct smx_view client, struct smx_view server, struct smx_view *ret)
{
	struct smx_view c, s, rest;

	while (smx_namelist_next(&client, &c)) {
		rest = server;
		while (smx_namelist_next(&rest, &s)) {
			if (smx_view_eq_view(c, s)) {
				*ret = c;
				return 0;
			}
		}
	}
	return SMX_ENEGOTIATION;
}

static int first_names_equal(struct smx_view a, struct smx_view b)
{
	struct smx_view x, y;

	return smx_namelist_next(&a, &x) && smx_namelist_next(&b, &y) && smx_view_eq_view(x, y);
}

/* Whether both sides have the same key exchange and the same host key algorithm first. */
static int is_first_choice(const struct smx_view *c, const struct smx_view *s)
{
	return first_names_equal(c[LIST_KEX], s[LIST_KEX]) &&
	       first_names_equal(c[LIST_HOST_KEY], s[LIST_HOST_KEY]);
}

/* A name that we don't offer is any bytes, and of no use. */
static void note_first_names(
	const struct smx_view *peer, const struct smx_view *self, struct smx_algs *algs)
{
	struct smx_view kex = peer[LIST_KEX], host_key = peer[LIST_HOST_KEY], name, ours;

	if (smx_namelist_next(&kex, &name))
		algs->peer_kex = smx_kex_find(name);
	if (smx_namelist_next(&host_key, &name) && name.len < sizeof(algs->peer_host_key) &&
		choose(name, self[LIST_HOST_KEY], &ours) == 0)
		memcpy(algs->peer_host_key, ours.p, ours.len);
}

static int choose_cipher(struct smx_view c[N_LISTS], struct smx_view s[N_LISTS], int dir,
	const struct smx_cipher_alg **ret_cipher, const struct smx_mac_alg **ret_mac,
	const char **ret_what)
{
	struct smx_view name;

	*ret_what = "cipher";
	if (choose(c[LIST_CIPHER_C2S + dir], s[LIST_CIPHER_C2S + dir], &name) != 0 ||
		!(*ret_cipher = smx_cipher_find(name)))
		return SMX_ENEGOTIATION;
	*ret_mac = NULL;
	*ret_what = "MAC";
	if (!(*ret_cipher)->is_aead &&
		(choose(c[LIST_MAC_C2S + dir], s[LIST_MAC_C2S + dir], &name) != 0 ||
			!(*ret_mac = smx_mac_find(name))))
		return SMX_ENEGOTIATION;
	*ret_what = "compression";
	if (choose(c[LIST_COMP_C2S + dir], s[LIST_COMP_C2S + dir], &name) != 0)
		return SMX_ENEGOTIATION;
	return smx_view_eq(name, "none") ? 0 : SMX_ENEGOTIATION;
}

int smx_kexinit_negotiate(struct smx_view client, struct smx_view server, enum smx_role role,
	struct smx_algs *ret, const char **ret_what)
{
	struct smx_view c[N_LISTS], s[N_LISTS], name;
	struct smx_view *peer = role == SMX_CLIENT ? s : c;
	struct smx_algs algs = { 0 };
	int c_follows, s_follows, r;

	*ret_what = "KEXINIT";
	if ((r = parse(client, c, &c_follows)) != 0 || (r = parse(server, s, &s_follows)) != 0)
		return r;
	*ret_what = "key exchange";
	if (choose(c[LIST_KEX], s[LIST_KEX], &name) != 0 || !(algs.kex = smx_kex_find(name)))
		return SMX_ENEGOTIATION;
	*ret_what = "host key";
	if (choose(c[LIST_HOST_KEY], s[LIST_HOST_KEY], &name) != 0 || name.len >= SMX_ALG_NAME_SIZE)
		return SMX_ENEGOTIATION;
	memcpy(algs.host_key, name.p, name.len);
	if ((r = choose_cipher(c, s, 0, &algs.cipher_c2s, &algs.mac_c2s, ret_what)) != 0 ||
		(r = choose_cipher(c, s, 1, &algs.cipher_s2c, &algs.mac_s2c, ret_what)) != 0)
		return r;
	algs.peer_strict = smx_namelist_has(
		peer[LIST_KEX], role == SMX_CLIENT ? server_marks : "kex-strict-c-v00@openssh.com");
	algs.peer_ext_info =
		smx_namelist_has(peer[LIST_KEX], role == SMX_CLIENT ? "ext-info-s" : "ext-info-c");
	algs.is_first_choice = is_first_choice(c, s);
	algs.skip_next = (role == SMX_CLIENT ? s_follows : c_follows) && !algs.is_first_choice;
	note_first_names(peer, role == SMX_CLIENT ? c : s, &algs);
	*ret = algs;
	return 0;
}

struct smx_view smx_kexinit_peer_offer(
	struct smx_view client, struct smx_view server, enum smx_role role, const char *what)
{
	static const struct {
		const char *what;
		enum list first, last;
	} classes[] = {
		{ "key exchange", LIST_KEX, LIST_KEX },
		{ "host key", LIST_HOST_KEY, LIST_HOST_KEY },
		{ "cipher", LIST_CIPHER_C2S, LIST_CIPHER_S2C },
		{ "MAC", LIST_MAC_C2S, LIST_MAC_S2C },
		{ "compression", LIST_COMP_C2S, LIST_COMP_S2C },
	};
	struct smx_view c[N_LISTS], s[N_LISTS], name;
	struct smx_view *peer = role == SMX_CLIENT ? s : c;
	int follows;

	if (parse(client, c, &follows) != 0 || parse(server, s, &follows) != 0)
		return (struct smx_view){ NULL, 0 };
	for (size_t i = 0; i < SMX_ARRAY_LEN(classes); i++) {
		if (strcmp(what, classes[i].what) != 0)
			continue;
		for (unsigned l = classes[i].first; l <= classes[i].last; l++)
			if (choose(c[l], s[l], &name) != 0)
				return peer[l];
	}
	return (struct smx_view){ NULL, 0 };
}
