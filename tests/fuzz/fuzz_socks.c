/* SPDX-License-Identifier: MIT */
// fuzzes: src/control/socks.c
/* W2, S7: what a client of `ssh -D` sends; the first byte is how much comes at a time. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/err.h"
#include "control/socks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t reply[SMX_SOCKS_REPLY_MAX];
	size_t step, need, n, len;
	struct smx_socks s;
	int r = SMX_EAGAIN;

	if (size == 0)
		return 0;
	step = data[0] ? data[0] : 256;
	data++;
	size--;
	smx_socks_init(&s);
	while (size && r == SMX_EAGAIN) {
		need = smx_socks_need(&s);
		if (need == 0)
			abort();
		n = need < step ? need : step;
		n = n < size ? n : size;
		r = smx_socks_take(&s, data, n, reply, &len);
		if (len > sizeof(reply))
			abort();
		data += n;
		size -= n;
	}
	if (r != SMX_EAGAIN && smx_socks_need(&s) != 0)
		abort();
	if (r == 0 && (strlen(s.host) == 0 || strlen(s.host) > SMX_SOCKS_HOST_MAX))
		abort();
	for (int a = SMX_SOCKS_GRANTED; a <= SMX_SOCKS_UNREACHABLE; a++)
		if (smx_socks_answer(&s, (enum smx_socks_answer)a, reply) > sizeof(reply))
			abort();
	return 0;
}
