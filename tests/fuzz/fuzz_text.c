/* SPDX-License-Identifier: MIT */
/* A7: whatever comes in, what comes out is printable and stays as it is when cleaned again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[512], again[512];

	smx_sanitize((const char *)data, size, out, sizeof(out));
	for (const char *s = out; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			abort();
	smx_sanitize(out, strlen(out), again, sizeof(again));
	if (strcmp(out, again) != 0)
		abort();
	return 0;
}
