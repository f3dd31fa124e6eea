/* SPDX-License-Identifier: MIT */
/*
 * An SSH agent on Windows, made of one elsewhere: serves a named pipe and passes each request on to
 * a TCP port of this machine, where the test bridges it to a real ssh-agent.
 *   agent_bridge PIPE PORT INSTANCES OWNER
 * Prints "ready" when the pipe is there. With INSTANCES of 1 a second client finds it busy; 255 are
 * as many as there are clients. OWNER is that of the pipe, in SDDL: SY is the system's agent.
 */
#include <winsock2.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include <sddl.h>

#define MESSAGE_MAX (256u << 10)

struct client {
	HANDLE pipe;
	int port;
};

static int pipe_all(HANDLE h, int is_write, uint8_t *p, DWORD n)
{
	DWORD done;

	for (; n > 0; p += done, n -= done)
		if (!(is_write ? WriteFile(h, p, n, &done, NULL)
			       : ReadFile(h, p, n, &done, NULL)) ||
			done == 0)
			return 0;
	return 1;
}

static int socket_all(SOCKET s, int is_write, uint8_t *p, DWORD n)
{
	int done;

	for (; n > 0; p += done, n -= (DWORD)done) {
		done = is_write ? send(s, (const char *)p, (int)n, 0)
				: recv(s, (char *)p, (int)n, 0);
		if (done <= 0)
			return 0;
	}
	return 1;
}

static uint32_t length_of(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Until the client leaves. */
static void relay(HANDLE pipe, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	uint8_t *message = malloc(4 + MESSAGE_MAX);
	SOCKET s = socket(AF_INET, SOCK_STREAM, 0);
	int is_connected = 0;
	uint32_t n;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	while (message && s != INVALID_SOCKET && pipe_all(pipe, 0, message, 4) &&
		(n = length_of(message)) <= MESSAGE_MAX && pipe_all(pipe, 0, message + 4, n)) {
		/* Only now: who says nothing is not seen at the other end. */
		if (!is_connected && connect(s, (struct sockaddr *)&to, sizeof(to)) != 0)
			break;
		is_connected = 1;
		if (!socket_all(s, 1, message, 4 + n) || !socket_all(s, 0, message, 4) ||
			(n = length_of(message)) > MESSAGE_MAX ||
			!socket_all(s, 0, message + 4, n) || !pipe_all(pipe, 1, message, 4 + n))
			break;
	}
	(void)closesocket(s);
	(void)FlushFileBuffers(pipe);
	(void)DisconnectNamedPipe(pipe);
	free(message);
}

static DWORD WINAPI serve(void *arg)
{
	struct client *c = arg;

	relay(c->pipe, c->port);
	(void)CloseHandle(c->pipe);
	free(c);
	return 0;
}

/* The name stays: a client finds the one end there is, or finds it taken. */
static void serve_alone(struct client *c)
{
	for (;;)
		if (ConnectNamedPipe(c->pipe, NULL) || GetLastError() == ERROR_PIPE_CONNECTED)
			relay(c->pipe, c->port);
}

int main(int argc, char **argv)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa) };
	char sddl[256];
	WSADATA data;
	int is_said = 0;
	DWORD instances;

	if (argc != 5 || WSAStartup(MAKEWORD(2, 2), &data) != 0)
		return 64;
	instances = (DWORD)atoi(argv[3]);
	(void)snprintf(sddl, sizeof(sddl), "O:%sG:SYD:P(A;;GA;;;WD)", argv[4]);
	if (!ConvertStringSecurityDescriptorToSecurityDescriptorA(
		    sddl, SDDL_REVISION_1, &sa.lpSecurityDescriptor, NULL))
		return 65;
	for (;;) {
		struct client *c = calloc(1, sizeof(*c));
		HANDLE thread;

		if (!c)
			return 71;
		c->port = atoi(argv[2]);
		c->pipe = CreateNamedPipeA(argv[1], PIPE_ACCESS_DUPLEX, PIPE_TYPE_BYTE | PIPE_WAIT,
			instances, 65536, 65536, 0, &sa);
		if (c->pipe == INVALID_HANDLE_VALUE)
			return 71;
		if (!is_said)
			printf("ready\n");
		is_said = 1;
		(void)fflush(stdout);
		if (instances == 1)
			serve_alone(c);
		if (!ConnectNamedPipe(c->pipe, NULL) && GetLastError() != ERROR_PIPE_CONNECTED) {
			(void)CloseHandle(c->pipe);
			free(c);
			continue;
		}
		if ((thread = CreateThread(NULL, 0, serve, c, 0, NULL)) != NULL)
			(void)CloseHandle(thread);
	}
}
