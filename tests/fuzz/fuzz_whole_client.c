/* SPDX-License-Identifier: MIT */
// fuzzes: src/ssh/transport.c src/ssh/packet.c src/ssh/kexrun.c src/ssh/kexinit.c
// fuzzes: src/ssh/auth_client.c src/ssh/conn.c
// dictionary: transport
/* A client of ours against a server that gets through key exchange and login, and means harm. */
#include "fuzz_whole.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_whole(SMX_CLIENT, data, size);
	return 0;
}
