/* SPDX-License-Identifier: MIT */
#include "base/stamp.h"

static char *put_digits(char *out, uint64_t n, unsigned digits)
{
	for (unsigned i = digits; i > 0; i--, n /= 10)
		out[i - 1] = (char)('0' + n % 10);
	return out + digits;
}

void smx_log_stamp(int64_t unix_s, unsigned ms, char out[SMX_LOG_STAMP_SIZE])
{
	/* The calendar by arithmetic: gmtime takes locks. Years begin in March, so that a leap day
	 * is the last of its year; an era is 400 of them. 719468: days from then to 1970. */
	uint64_t s = unix_s < 0 ? 0 : (uint64_t)unix_s, day = s / 86400 + 719468;
	uint64_t era = day / 146097, in_era = day % 146097;
	uint64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	uint64_t in_year = in_era - (365 * year + year / 4 - year / 100);
	uint64_t m = (5 * in_year + 2) / 153, month = m < 10 ? m + 3 : m - 9;
	char *p = out;

	s %= 86400;
	p = put_digits(p, year + era * 400 + (month <= 2), 4);
	*p++ = '-';
	p = put_digits(p, month, 2);
	*p++ = '-';
	p = put_digits(p, in_year - (153 * m + 2) / 5 + 1, 2);
	*p++ = 'T';
	p = put_digits(p, s / 3600, 2);
	*p++ = ':';
	p = put_digits(p, s / 60 % 60, 2);
	*p++ = ':';
	p = put_digits(p, s % 60, 2);
	*p++ = '.';
	p = put_digits(p, ms % 1000, 3);
	*p++ = 'Z';
	*p = '\0';
}
