/* SPDX-License-Identifier: MIT */
// fuzzes: src/config/forward.c
/*
 * Rules for forwards (B4, W4). Input: a rule, a newline, a host or path, with any bytes. What a
 * rule lets pass is judged by the C library's own readers of addresses, since a remote's resolver
 * is one of them: a range holds what inet_pton() makes of the host, and a pattern of names nothing
 * that inet_aton() takes for an address.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "config/forward.h"
#include "fuzz_ssh.h"

#define PORT 22

static void check_address(const struct smx_forward_rule *rule, const char *host)
{
	uint8_t a[16];
	unsigned n;

	fuzz_check(inet_pton(rule->n_net == 4 ? AF_INET : AF_INET6, host, a) == 1);
	for (n = 0; n < rule->n_bits; n++)
		fuzz_check(((a[n / 8] ^ rule->net[n / 8]) & (0x80 >> n % 8)) == 0);
}

static void check_host(const struct smx_forward_rule *rule, struct smx_view v)
{
	struct in_addr in;
	struct in6_addr in6;
	char host[1024];

	fuzz_check(v.len < sizeof(host) && !memchr(v.p, '\0', v.len));
	memcpy(host, v.p, v.len);
	host[v.len] = '\0';
	if (rule->kind == SMX_FORWARD_NET) {
		check_address(rule, host);
	} else if (rule->kind != SMX_FORWARD_ANY_HOST) {
		fuzz_check(inet_aton(host, &in) == 0);
		fuzz_check(inet_pton(AF_INET6, host, &in6) == 0);
	}
}

static void check_path(const struct smx_forward_rule *rule, struct smx_view v)
{
	char path[1024];

	fuzz_check(v.len < sizeof(path) && v.p[0] == '/' && !memchr(v.p, '\0', v.len));
	memcpy(path, v.p, v.len);
	path[v.len] = '\0';
	fuzz_check(strncmp(path, rule->text, strlen(rule->text)) == 0);
	fuzz_check(!strstr(path, "/../") && !strstr(path, "//"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	struct smx_forward_rules rules = { NULL, 0 };
	struct smx_view rule, host;
	char why[128] = "";

	if (!newline)
		return 0;
	rule = (struct smx_view){ data, (size_t)(newline - data) };
	host = (struct smx_view){ newline + 1, size - rule.len - 1 };
	for (int side = SMX_FORWARD_CONNECT; side <= SMX_FORWARD_LISTEN; side++) {
		if (smx_forward_rules_add(
			    &rules, rule, (enum smx_forward_side)side, why, sizeof(why)) != 0) {
			fuzz_check(why[0] != '\0' && rules.n == 0);
			continue;
		}
		fuzz_check(rules.n == 1 && rules.v[0].first_port <= rules.v[0].last_port);
		if (smx_forward_rules_connect(&rules, host, PORT))
			check_host(&rules.v[0], host);
		if (smx_forward_rules_path(&rules, host))
			check_path(&rules.v[0], host);
		(void)smx_forward_rules_listen(&rules, host, 0);
		fuzz_check(!smx_forward_rules_connect(&rules, host, 0));
		fuzz_check(!smx_forward_rules_connect(&rules, host, 65536 + PORT));
		smx_forward_rules_release(&rules);
	}
	return 0;
}
