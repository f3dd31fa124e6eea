/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/transport.c src/ssh/packet.c src/ssh/kexrun.c
// dictionary: transport
/* Any bytes to a server of ours. */
#include "fuzz_transport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_connection(SMX_SERVER, data, size);
	return 0;
}
