# SPDX-License-Identifier: MIT
"""Clients whose key is authorised, on the very connection that the healthy session uses."""
import os
import signal
import struct
import subprocess

from paramiko.message import Message

from chaos.actor import EXPECTED, Actor
from peers import kill_quietly
from pyssh import Client, message

ROUTES = ("t", "b")  # the shared one, and the one behind a jump host
BIG = 0xFFFFFFFF


def raw(number, *fields):
    return message(number, *fields).asbytes()


def pty(term=b"xterm", modes=b"\0"):
    return (term, 80, 24, 0, 0, modes)


def odd_opens(rng, ours):
    """Messages that ask for a channel in a way nobody should."""
    session = raw(90, "session", ours, 1 << 20, 32768)
    tcp = raw(90, "direct-tcpip", ours, 1 << 20, 32768, "127.0.0.1", 9, "127.0.0.1", 1)
    return [
        session + b"x",
        session[:rng.randrange(1, len(session))],
        tcp[:rng.randrange(1, len(tcp))],
        tcp + b"\0",
        raw(90, "session", ours, BIG, 32768),
        raw(90, "session", ours, 0, 0),
        raw(90, "session", ours, 1, 1),
        raw(90, "session", ours, BIG, BIG),
        raw(90, "session", BIG, 1 << 20, 32768),
        raw(90, "", ours, 1 << 20, 32768),
        raw(90, b"ses\0sion", ours, 1 << 20, 32768),
        raw(90, "x" * rng.choice([300, 30000]), ours, 1 << 20, 32768),
        raw(90, "direct-tcpip", ours, 1 << 20, 32768, b"127.0.0.1\0x", 9, "127.0.0.1", 1),
        raw(90, "direct-tcpip", ours, 1 << 20, 32768, "127.0.0.1", 9, b"12\x007", 1),
        raw(90, "direct-tcpip", ours, 1 << 20, 32768, "127.0.0.1", 70000, "127.0.0.1", BIG),
        raw(90, "direct-tcpip", ours, 1 << 20, 32768, "h" * 30000, 9, "127.0.0.1", 1),
        raw(90, "direct-tcpip", ours, 1 << 20, 32768, "localhost", 9, "o" * 30000, 1),
        raw(90, "direct-streamlocal@openssh.com", ours, 1 << 20, 32768, "/nowhere", b"a\0b", 0),
        raw(90, "direct-streamlocal@openssh.com", ours, 1 << 20, 32768, b"/no\0where", "", 0),
        raw(90, rng.choice(["forwarded-tcpip", "x11", "auth-agent@openssh.com",
                            "tun@openssh.com"]), ours, 1 << 20, 32768, "127.0.0.1", 9, "x", 9),
    ]


def odd_requests(rng, c):
    """Requests on the channel that the other side calls c."""
    whole = raw(98, c, "pty-req", True, *pty())
    flipped = bytearray(raw(98, c, "exec", True, "true"))
    flipped[rng.randrange(5, len(flipped))] ^= 1 << rng.randrange(8)
    return [
        raw(98, c, "shell", True) + b"x",
        raw(98, c, "exec", True),
        raw(98, c, "exec", True, b"echo a\0b"),
        raw(98, c, "exec", True, "true") + b"\0",
        raw(98, c, "exec", True, "true; " * 5000),
        bytes(flipped),
        raw(98, c, "subsystem", True, b"sf\0tp"),
        raw(98, c, "subsystem", True, "no-such"),
        whole,
        whole + b"x",
        whole[:rng.randrange(6, len(whole))],
        raw(98, c, "pty-req", True, *pty(b"xt\0erm")),
        raw(98, c, "pty-req", True, *pty(modes=rng.randbytes(rng.randrange(1, 200)))),
        raw(98, c, "pty-req", True, b"x" * 20000, BIG, BIG, BIG, BIG, b""),
        raw(98, c, "window-change", False, 80),
        raw(98, c, "window-change", True, 80, 24, 0, 0) + b"xx",
        raw(98, c, "signal", False),
        raw(98, c, "signal", False, b"TE\0RM"),
        raw(98, c, "signal", True, "x" * 5000),
        raw(98, c, "break", True) + b"\0",
        raw(98, c, "xon-xoff", False),
        raw(98, c, "env", True, "LANG"),
        raw(98, c, "env", True, b"LA\0NG", "x"),
        raw(98, c, "env", True, b"LANG", b"C\0x"),
        raw(98, c, "env", False, "LANG", "C" * 20000),
        raw(98, c, "exit-status", False, 0),
        raw(98, c, "keepalive@openssh.com", True),
        raw(98, c, "eow@openssh.com", False),
        raw(98, c, "x11-req", True, False, "MIT-MAGIC-COOKIE-1", "00", 0),
        raw(98, c, "auth-agent-req@openssh.com", True),
        raw(98, c, "auth-agent-req", True),
        raw(98, c, "no-such@kind", True) + rng.randbytes(50),
        raw(98, c, b"a\0b", True),
        raw(98, c, "", True),
        raw(98, c, "n" * 30000, True),
        raw(98, c)[:5],
        raw(98, c) + struct.pack(">I", BIG),
    ]


def odd_data(rng, c):
    return [
        raw(94, c, b""),
        raw(94, c, b"x") + b"y",
        raw(94, c)[:5] + struct.pack(">I", BIG),
        raw(94, rng.randrange(5000), b"whose is it"),
        raw(94, BIG, b"nobody's"),
        raw(95, c, 1, b"stderr of a client"),
        raw(95, c, rng.choice([0, 2, BIG]), b"no such stream"),
        raw(93, c, 0),
        raw(93, c, BIG) + b"",
        raw(93, rng.randrange(5000), 1),
        raw(93, c)[:rng.randrange(1, 5)],
        raw(96, c),
        raw(96, c) + b"x",
        raw(97, c),
        raw(97, rng.randrange(5000)),
        raw(99, c),
        raw(100, c),
        raw(91, c, 0, 1 << 20, 32768),
        raw(92, c, 1, "no", ""),
    ]


def odd_others(rng):
    return [
        raw(80, "tcpip-forward", True, "", 0),
        raw(80, "cancel-tcpip-forward", True, "", 22),
        raw(80, "streamlocal-forward@openssh.com", True, "/tmp/x"),
        raw(80, "no-more-sessions@openssh.com", False),
        raw(80, "hostkeys-prove-00@openssh.com", True, b"k"),
        raw(80, "keepalive@openssh.com", True) + rng.randbytes(5),
        raw(80, "x" * 30000, True),
        raw(80)[:1],
        raw(81),
        raw(82),
        raw(2, b"x" * 20000),
        raw(3, rng.randrange(100)),
        raw(4, True, b"\x1b]0;x\x07", b""),
        raw(5, "ssh-userauth"),
        raw(5, "ssh-connection"),
        raw(50, "t", "ssh-connection", "none"),
        raw(7, 1, "ext", "x"),
        raw(1, 2, b"bye \x1b[31m" + b"x" * 2000, b""),
        raw(21),
        raw(20) + rng.randbytes(rng.randrange(400)),
        raw(30, rng.randbytes(32)),
        raw(52),
        raw(60, b"x"),
        bytes([rng.randrange(256)]) + rng.randbytes(rng.randrange(100)),
        raw(192, b"ping"),
    ]


class Member(Actor):
    """A client of the shared route, for one step."""

    def enter(self):
        route = self.rng.choice(ROUTES)
        return route, Client(self.world.mux.port, self.world.mux.local_key, route)

    def leave(self, c):
        how = self.rng.choice(["stop", "reset", "hold", "hold"])
        if how == "hold":
            self.hold(self.rng.uniform(0.3, 3), c.stop)
        elif how == "reset":
            c.sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER
            c.sock.close()
            c.transport.close()
        else:
            c.stop()
        return how

    def put(self, c, payload):
        c.transport._send_message(Message(payload))

    def session(self, c, ours=0, window=1 << 20):
        """An open channel: the other side's number, or None where none was given."""
        c.open(ours, window=window)
        try:
            return c.opened(ours, 5)
        except AssertionError:  # refused, or the client is thrown out
            return None


class Malformed(Member):
    """Messages that are cut short, too long, of the wrong place, or have NULs in them."""

    pause = (0.02, 0.2)

    def step(self):
        rng = self.rng
        route, c = self.enter()
        done = []
        try:
            theirs = self.session(c) if rng.random() < 0.8 else None
            for k in range(rng.randrange(1, 5)):
                kind = rng.choice(["open", "request", "request", "data", "other"])
                if kind == "open":
                    some = odd_opens(rng, k + 1)
                elif kind == "other" or theirs is None:
                    some = odd_others(rng)
                else:
                    some = odd_requests(rng, theirs) if kind == "request" else odd_data(rng, theirs)
                n = rng.randrange(len(some))
                done.append(f"{kind} {n}")
                if done[-1] == "request 1" and theirs is not None:
                    # A command that runs while the rest comes.
                    self.put(c, raw(98, theirs, "exec", True, "sleep 0.2"))
                self.put(c, some[n])
            self.over.wait(rng.uniform(0, 0.2))
        finally:
            how = self.leave(c)
        return f"{route}: {', '.join(done)}; {how}"


class OpenFlood(Member):
    """Opens and closes without end."""

    pause = (0.3, 1.5)

    def step(self):
        rng = self.rng
        route, c = self.enter()
        n = rng.randrange(10, 120)
        kind = rng.choice(["leave", "close", "eof and close", "requests"])
        try:
            for k in range(n):
                c.open(k, window=rng.choice([0, 1, 1 << 20, BIG]))
            if kind != "leave":
                for k in range(n):
                    theirs = c.opened(k, 5)
                    if kind == "requests":
                        c.request(theirs, "no-such@kind", True)
                    if kind != "close":
                        c.send(96, theirs)
                    c.send(97, theirs)
        except AssertionError:
            kind += ", refused"
        finally:
            how = self.leave(c)
        return f"{route}: {n}, {kind}; {how}"


class TinyWindows(Member):
    """A byte of window at a time, which would cost a message each at the other end."""

    pause = (0.3, 1.5)

    def step(self):
        rng = self.rng
        route, c = self.enter()
        n = rng.randrange(500, 4000)
        try:
            theirs = self.session(c, window=rng.choice([0, 1, 100]))
            if theirs is None:
                return f"{route}: refused"
            c.request(theirs, "exec", False, "head -c 300000 /dev/zero")
            for _ in range(n):
                self.put(c, raw(93, theirs, 1))
            if rng.random() < 0.5:
                self.put(c, raw(93, theirs, 1 << 20))
        finally:
            how = self.leave(c)
        return f"{route}: {n} adjusts of one byte; {how}"


class TinyData(Member):
    """Ten-byte messages for a command that does not read, and more than was granted."""

    pause = (0.3, 1.5)

    def step(self):
        rng = self.rng
        route, c = self.enter()
        kind = rng.choice(["data", "data", "requests", "signals", "overrun", "globals"])
        n = rng.randrange(200, 3000)
        try:
            theirs = self.session(c)
            if theirs is None:
                return f"{route}: refused"
            c.request(theirs, "exec", False, "sleep 1")
            for _ in range(n):
                self.put(c, {
                    "data": raw(94, theirs, b"x"),
                    "requests": raw(98, theirs, "no-such@kind", rng.random() < 0.1, b"x" * 20),
                    "signals": raw(98, theirs, "signal", False, "WINCH"),
                    "overrun": raw(94, theirs, b"x" * 32000),
                    "globals": raw(80, "keepalive@openssh.com", True),
                }[kind])
        finally:
            how = self.leave(c)
        return f"{route}: {n} of {kind}; {how}"


class RekeyStorm(Member):
    """Key exchanges one after the other, or ones that are never finished."""

    pause = (0.3, 2)

    def step(self):
        rng = self.rng
        route, c = self.enter()
        kind = rng.choice(["many", "many", "twice", "half", "cut"])
        try:
            theirs = self.session(c)
            if theirs is not None:
                c.request(theirs, "exec", False, "head -c 500000 /dev/zero")
            if kind == "many":
                for _ in range(rng.randrange(2, 10)):
                    c.transport.renegotiate_keys()
            elif kind == "twice":
                c.transport._send_kex_init()
                c.transport._send_kex_init()
            elif kind == "half":
                c.transport._send_kex_init()
                self.over.wait(rng.uniform(0, 1))
            else:
                self.put(c, raw(20) + rng.randbytes(rng.randrange(200)))
        finally:
            how = self.leave(c)
        return f"{route}: {kind}; {how}"


class KilledTransfers(Actor):
    """Real clients that are killed while data runs, in either direction, or that stop reading."""

    pause = (0.3, 1.5)
    held_max = 4

    def step(self):
        rng = self.rng
        route = rng.choice(ROUTES)
        kind = rng.choice(["download", "upload", "stopped", "unread", "terminal"])
        command = {"upload": "cat >/dev/null"}.get(kind, "head -c 20000000 /dev/zero; sleep 5")
        options = ["-tt"] if kind == "terminal" else []
        quiet = subprocess.DEVNULL
        client = self.world.mux.start_ssh(
            route, command, options=options, stderr=quiet,
            stdin=subprocess.PIPE if kind == "upload" else quiet,
            stdout=subprocess.PIPE if kind == "unread" else quiet)
        if kind == "upload":
            os.set_blocking(client.stdin.fileno(), False)
            for _ in range(20):
                try:
                    os.write(client.stdin.fileno(), bytes(1 << 16))
                except BlockingIOError:
                    self.over.wait(0.02)
        self.over.wait(rng.uniform(0.1, 0.8))
        if kind == "stopped":
            kill_quietly(client.pid, signal.SIGSTOP)

        def kill():
            client.kill()
            client.wait()
            for stream in (client.stdin, client.stdout):
                try:
                    if stream:
                        stream.close()
                except EXPECTED:
                    pass

        if kind in ("stopped", "unread"):
            self.hold(rng.uniform(0.5, 3), kill)
        else:
            kill()
        return f"{route}: {kind}"
