/* SPDX-License-Identifier: MIT */
/*
 * Errors. Every function of ssh-mux that can fail returns 0 or one of the
 * negative SMX_E* codes below. A code says *whose fault* it is (its class),
 * which decides what the caller may do about it:
 *
 *   PEER    bytes from outside broke a rule: end that peer, harm no one else.
 *   LOCAL   the caller, the user's files or our own configuration are wrong.
 *   SYSTEM  memory, the operating system or libcrypto refused.
 */
#ifndef SMX_BASE_ERR_H
#define SMX_BASE_ERR_H

enum smx_err_class { SMX_CLASS_NONE, SMX_CLASS_PEER, SMX_CLASS_LOCAL, SMX_CLASS_SYSTEM };

/* X(code, name, class, text) */
#define SMX_ERR_MAP(X)                                                        \
	X(-1, NOMEM, SYSTEM, "out of memory")                                 \
	X(-2, CRYPTO, SYSTEM, "cryptographic library failure")                \
	X(-3, SYS, SYSTEM, "operating system error")                          \
	X(-4, AGAIN, LOCAL, "not ready yet")                                  \
	X(-5, INVAL, LOCAL, "invalid argument")                               \
	X(-6, LIMIT, LOCAL, "limit exceeded")                                 \
	X(-7, STATE, LOCAL, "not possible in this state")                     \
	X(-8, NOTFOUND, LOCAL, "not found")                                   \
	X(-9, EXISTS, LOCAL, "exists already")                                \
	X(-10, UNSAFE, LOCAL, "unsafe file")                                  \
	X(-11, SYNTAX, LOCAL, "syntax error")                                 \
	X(-12, UNSUPPORTED, LOCAL, "not supported")                           \
	X(-13, PASSPHRASE, LOCAL, "passphrase missing or wrong")              \
	X(-14, CANCELLED, LOCAL, "cancelled")                                 \
	X(-15, TIMEOUT, LOCAL, "timed out")                                   \
	X(-20, TRUNCATED, PEER, "message too short")                          \
	X(-21, TRAILING, PEER, "unexpected bytes after the end of a message") \
	X(-22, FORMAT, PEER, "malformed message")                             \
	X(-23, TOOBIG, PEER, "message too long")                              \
	X(-24, MAC, PEER, "corrupted packet (message authentication failed)") \
	X(-25, PROTOCOL, PEER, "protocol error")                              \
	X(-26, UNEXPECTED, PEER, "message not allowed in this state")         \
	X(-27, NEGOTIATION, PEER, "no common algorithm")                      \
	X(-28, SIGNATURE, PEER, "signature verification failed")              \
	X(-29, DISCONNECTED, PEER, "disconnected by the other side")          \
	X(-30, EOF, PEER, "connection closed by the other side")              \
	X(-31, HOSTKEY, PEER, "host key rejected")                            \
	X(-32, DENIED, PEER, "permission denied")                             \
	X(-33, IDENT, PEER, "not an SSH-2 server or client")                  \
	X(-34, KEEPALIVE, PEER, "no answer to keepalives")                    \
	X(-35, REFUSED, PEER, "refused by the other side")                    \
	X(-36, WEAK, PEER, "RSA key shorter than 2048 bits, which is always refused")

enum smx_err {
#define SMX_ERR_ENUM(code, name, class, text) SMX_E##name = (code),
	SMX_ERR_MAP(SMX_ERR_ENUM)
#undef SMX_ERR_ENUM
};

/* Static, lower-case text of a code; "success" for 0, "unknown error" else. */
const char *smx_strerror(int err);
/* "SMX_EMAC" for SMX_EMAC; for logs and tests. */
const char *smx_errname(int err);
enum smx_err_class smx_errclass(int err);

#endif
