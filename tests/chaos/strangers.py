# SPDX-License-Identifier: MIT
"""Whoever reaches the port of the local server and has no key."""
import contextlib
import socket

import paramiko

from chaos.actor import Actor
from pyssh import Client, message

VERSION = b"SSH-2.0-stranger\r\n"


def connect(world):
    return socket.create_connection(("127.0.0.1", world.mux.port), timeout=5)


class Rubbish(Actor):
    """Bytes that are no SSH, or stop being it."""

    pause = (0.05, 0.4)

    def step(self):
        rng = self.rng
        kind = rng.choice(["nothing", "random", "http", "version", "old", "long", "nul", "length",
                           "kexinit", "lines"])
        data = {
            "nothing": b"",
            "random": rng.randbytes(rng.choice([1, 100, 5000])),
            "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "version": VERSION,
            "old": b"SSH-1.5-old\r\n",
            "long": b"SSH-2.0-" + b"x" * rng.choice([200, 300, 100000]) + b"\r\n",
            "nul": b"SSH-2.0-a\0b\r\n",
            "length": VERSION + rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\xff\xff"])
            + rng.randbytes(200),
            "kexinit": VERSION + b"\0\0\1\x2c\x04\x14" + rng.randbytes(rng.randrange(300)),
            "lines": b"hello\r\n" * rng.choice([1, 50, 5000]),
        }[kind]
        s = connect(self.world)
        with contextlib.suppress(OSError):
            s.sendall(data)
        how = rng.choice(["close", "reset", "hold", "shut"])
        if how == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how == "shut":
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_WR)
        if how in ("hold", "shut"):
            self.hold(rng.uniform(0.5, 4), s.close)
        else:
            s.close()
        return f"{kind}, {how}"


class HalfOpen(Actor):
    """Many connections at once that say nothing, or drip their identification string."""

    pause = (0.5, 2)
    held_max = 4

    def step(self):
        n = self.rng.randrange(5, 30)
        words = self.rng.choice([b"", b"S", b"SSH-2.0-", VERSION])
        socks = []
        for _ in range(n):
            s = connect(self.world)
            socks.append(s)
            s.sendall(words)

        def close():
            for s in socks:
                s.close()

        self.hold(self.rng.uniform(0.5, 3), close)
        return f"{n} that say {words!r}"


class NoKey(Actor):
    """Comes as far as authentication."""

    pause = (0.2, 1)

    def step(self):
        rng = self.rng
        c = Client(self.world.mux.port, auth=False)
        t = c.transport
        kind = rng.choice(["wrong key", "none", "password", "channel", "success", "pings",
                           "half a request", "service", "ignore", "global", "debug", "rekey"])
        try:
            if kind == "wrong key":
                for _ in range(rng.randrange(1, 8)):
                    with contextlib.suppress(paramiko.AuthenticationException):
                        t.auth_publickey("t", self.world.stranger_key)
            elif kind == "none":
                t.auth_none(rng.choice(["t", "", "x" * 1000]))
            elif kind == "password":
                t.auth_password("t", "x" * rng.choice([1, 30000]), fallback=False)
            elif kind == "channel":
                c.send(90, "session", 0, 1 << 20, 32768)
            elif kind == "success":
                c.send(52)
            elif kind == "pings":
                for _ in range(500):
                    c.send(80, "keepalive@openssh.com", True)
            elif kind == "half a request":
                c.send(5, "ssh-userauth")
                raw = message(50, "t", "ssh-connection", "publickey", True, "ssh-ed25519", b"k")
                t._send_message(paramiko.Message(raw.asbytes()[:rng.randrange(1, 60)]))
            elif kind == "service":
                for name in ("ssh-userauth", "ssh-connection", "", "x" * 30000):
                    c.send(5, name)
            elif kind in ("ignore", "debug"):
                for _ in range(500):
                    c.send(*((2, b"x" * 1000) if kind == "ignore" else (4, True, b"x\x1b[2J", b"")))
            elif kind == "global":
                c.send(80, "tcpip-forward", True, "", 0)
            elif kind == "rekey":
                t.renegotiate_keys()
        finally:
            if rng.random() < 0.3:
                self.hold(rng.uniform(0.5, 3), c.stop)
            else:
                c.stop()
        return kind
