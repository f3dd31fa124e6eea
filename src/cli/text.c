/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

const char *smx_cli_text_age(uint64_t s, char out[SMX_CLI_TEXT_MAX])
{
	if (s < 60)
		(void)snprintf(out, SMX_CLI_TEXT_MAX, "%us", (unsigned)s);
	else if (s < 3600)
		(void)snprintf(
			out, SMX_CLI_TEXT_MAX, "%um%02us", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 86400)
		(void)snprintf(out, SMX_CLI_TEXT_MAX, "%uh%02um", (unsigned)(s / 3600),
			(unsigned)(s / 60 % 60));
	else
		(void)snprintf(out, SMX_CLI_TEXT_MAX, "%" PRIu64 "d%02uh", s / 86400,
			(unsigned)(s / 3600 % 24));
	return out;
}

const char *smx_cli_text_bytes(uint64_t n, char out[SMX_CLI_TEXT_MAX])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned shift = 10;

	if (n < 1024) {
		(void)snprintf(out, SMX_CLI_TEXT_MAX, "%" PRIu64 " B", n);
		return out;
	}
	while (shift < 10 * SMX_ARRAY_LEN(units) && n >> shift >= 1024)
		shift += 10;
	/* Cut, not rounded: never "1024.0 MiB". */
	(void)snprintf(out, SMX_CLI_TEXT_MAX, "%u.%u %s", (unsigned)(n >> shift),
		(unsigned)((n & (((uint64_t)1 << shift) - 1)) * 10 >> shift),
		units[shift / 10 - 1]);
	return out;
}

const char *smx_cli_text_rate(uint64_t n, char out[SMX_CLI_TEXT_MAX])
{
	static const char units[] = "BKMGTPE";
	unsigned shift = 0;

	while (n >> shift >= 1000 && units[shift / 10 + 1])
		shift += 10;
	if (shift == 0 || n >> shift >= 100)
		(void)snprintf(
			out, SMX_CLI_TEXT_MAX, "%u%c", (unsigned)(n >> shift), units[shift / 10]);
	else
		(void)snprintf(out, SMX_CLI_TEXT_MAX, "%u.%u%c", (unsigned)(n >> shift),
			(unsigned)((n & (((uint64_t)1 << shift) - 1)) * 10 >> shift),
			units[shift / 10]);
	return out;
}

size_t smx_cli_text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}
