# SPDX-License-Identifier: MIT
"""Remotes with every kind of slip. Each connection gets one trick, by the seed and in turn."""
import contextlib
import random
import socket
import struct
import threading
import time

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.message import Message

from chaos.actor import EXPECTED
from chaos.members import raw
from pyssh import Interface

BIG = 0xFFFFFFFF
VERSION = b"SSH-2.0-odd_1.0\r\n"
CHANNEL_NUMBERS = range(80, 101)
TRICK_SECONDS = 6  # a connection that hangs is closed by then, lest they pile up

# ---- before the key exchange: name -> the pieces that are sent; a number is a pause ---------------


def early_tricks(rng):
    kexinit = bytes([20]) + rng.randbytes(16) + struct.pack(">I", 7) + b"diffie-"

    def packet(payload, length=None):
        pad = 8 - (len(payload) + 5) % 8 + 8
        n = len(payload) + pad + 1 if length is None else length
        return struct.pack(">IB", n, pad) + payload + bytes(pad)

    return {
        "ends": [],
        "hangs": [TRICK_SECONDS],
        "garbage": [rng.randbytes(rng.choice([10, 3000]))],
        "lines": [b"welcome \x1b[2J\r\n" * 2000, 0.1, b"and more\r\n" * 2000],
        "a line without end": [b"x" * 60000, 0.1, b"x" * 60000],
        "dribbles": [piece for i in range(len(VERSION) - 4)
                     for piece in (VERSION[i:i + 1], 0.05)] + [TRICK_SECONDS],
        "old": [b"SSH-1.5-old\r\n"],
        "NUL in the version": [b"SSH-2.0-a\0b\r\n", 0.2],
        "hangs after the version": [VERSION, TRICK_SECONDS],
        "ends after the version": [VERSION],
        "half a KEXINIT": [VERSION, packet(kexinit)[:20], TRICK_SECONDS / 2],
        "lengths that lie": [VERSION, packet(kexinit)],
        "huge packet": [VERSION, packet(b"x", BIG), b"x" * 5000],
        "empty packet": [VERSION, struct.pack(">IB", 0, 0), b"x" * 100],
        "disconnects": [VERSION, packet(raw(1, 2, "go away \x1b[31m" + "x" * 3000, ""))],
        "disconnects without a word": [VERSION, packet(raw(1, 11, "", ""))],
        "success at once": [VERSION, packet(raw(52)), 0.2],
        "ignores": [VERSION] + [packet(raw(2, b"x" * 200))] * 100,
        "newkeys": [VERSION, packet(raw(21)), 0.2],
    }


# ---- authentication --------------------------------------------------------------------------------

AUTH_TRICKS = ["refuses", "partial for ever", "hangs", "ends", "disconnects", "banners",
               "success twice", "request to the client", "garbage", "asks", "asks nonsense",
               "passwords"]


class Query(paramiko.server.InteractiveQuery):
    pass


class OddAuth(Interface):
    """One trick, or the login goes well."""

    def get_allowed_auths(self, username):
        trick = self.server.trick
        if trick in ("asks", "asks nonsense"):
            return "keyboard-interactive"
        return "password" if trick == "passwords" else "publickey"

    def check_auth_none(self, username):
        return paramiko.AUTH_FAILED

    def check_auth_publickey(self, username, key):
        s = self.server
        if s.trick == "refuses":
            return paramiko.AUTH_FAILED
        if s.trick == "partial for ever":
            return paramiko.AUTH_PARTIALLY_SUCCESSFUL
        if s.trick == "hangs":
            s.over.wait(TRICK_SECONDS)
        elif s.trick == "ends":
            s.t.close()
        elif s.trick == "disconnects":
            s.put(raw(1, 14, "too many\r\n\x1b]0;x\x07" + "x" * 500, ""))
        elif s.trick == "banners":
            for n in range(s.rng.choice([1, 5, 2000])):
                s.put(raw(53, f"banner {n} \x1b[2J\r\n" * 3, ""))
        elif s.trick == "success twice":
            s.put(raw(52))
        elif s.trick == "request to the client":
            s.put(raw(50, "root", "ssh-connection", "none"))
        elif s.trick == "garbage":
            s.put(bytes([s.rng.randrange(50, 80)]) + s.rng.randbytes(s.rng.randrange(300)))
        return paramiko.AUTH_SUCCESSFUL

    def check_auth_password(self, username, password):
        return paramiko.AUTH_FAILED

    def check_auth_interactive(self, username, submethods):
        if self.server.trick == "asks nonsense":
            n = self.server.rng.choice([0, 17, 400])
            return Query("x" * 9000, "\x1b[2J", *[("?" * 100, True)] * n)
        return Query("", "touch it", ("Code: ", False))

    def check_auth_interactive_response(self, responses):
        return self.server.rng.choice([paramiko.AUTH_FAILED, paramiko.AUTH_SUCCESSFUL])


# ---- channels --------------------------------------------------------------------------------------


def open_tricks(rng, theirs):
    """Answers to CHANNEL_OPEN; theirs: ssh-mux's number."""
    well = raw(91, theirs, 7, 1 << 20, 32768)
    return {
        "refuses": [raw(92, theirs, rng.choice([1, 2, 3, 4, 0, BIG]), "no \x1b[31m" + "x" * 900, "")],
        "refuses without words": [raw(92, theirs, 1, "", "")],
        "refuses without the fields": [raw(92, theirs)],
        "refuses a stranger": [raw(92, 4711, 1, "who", "")],
        "never answers": [TRICK_SECONDS],
        "ends": ["end"],
        "confirms twice": [well, well],
        "confirms a stranger": [raw(91, 4711, 7, 1 << 20, 32768), well],
        "window of 4 GiB": [raw(91, theirs, 7, BIG, BIG)],
        "no window": [raw(91, theirs, 7, 0, 32768), TRICK_SECONDS],
        "packets of nothing": [raw(91, theirs, 7, 1 << 20, 0)],
        "packets of a byte": [raw(91, theirs, 7, 1 << 20, 1)],
        "cut confirmation": [well[:rng.randrange(1, len(well))]],
        "data before": [raw(94, theirs, b"early"), well],
        "close before": [raw(97, theirs), well],
        "closes at once": [well, raw(97, theirs)],
        "request before": [raw(98, theirs, "exit-status", False, 0), well],
        "well": [well],
    }


def exec_tricks(rng, theirs):
    """What follows an exec request."""
    ok, status, close = raw(99, theirs), raw(98, theirs, "exit-status", False, 0), raw(97, theirs)
    data, eof = raw(94, theirs, b"in\n"), raw(96, theirs)
    return {
        "well": [ok, data, status, eof, close],
        "says nothing": [TRICK_SECONDS],
        "fails": [raw(100, theirs), close],
        "successes": [ok] * rng.randrange(2, 300),
        "close twice": [ok, close, close],
        "EOF twice": [ok, eof, eof, close],
        "data after EOF": [ok, eof, data, data, close],
        "data after close": [ok, close, data],
        "status twice": [ok, status, raw(98, theirs, "exit-status", False, 7), close],
        "status cut": [ok, raw(98, theirs, "exit-status", False), close],
        "odd signal": [ok, raw(98, theirs, "exit-signal", False, "x\x1b[2J" * 200, True), close],
        "asks back": [ok] + [raw(98, theirs, "keepalive@openssh.com", True)] * 50 + [close],
        "asks the impossible": [ok] + [raw(98, theirs, "x" * 500, True)] * 300,
        "overruns": [ok] + [raw(94, theirs, bytes(32000))] * 300,
        "a byte at a time": [ok] + [raw(94, theirs, b"x")] * 3000 + [close],
        "empty data": [ok] + [raw(94, theirs, b"")] * 1000 + [close],
        "odd streams": [ok] + [raw(95, theirs, n, b"x") for n in (0, 1, 2, BIG)] + [close],
        "too large": [ok, raw(94, theirs, bytes(200000))],
        "lies about length": [ok, raw(94, theirs) + struct.pack(">I", BIG)],
        "adjusts beyond": [ok] + [raw(93, theirs, BIG)] * 3,
        "adjusts of a byte": [ok] + [raw(93, theirs, 1)] * 3000 + [data],
        "a stranger's data": [ok, raw(94, 4711, b"x")],
        "opens": [raw(90, kind, 1, 1 << 20, 32768, "x", 1, "x", 1) for kind in
                  ("forwarded-tcpip", "x11", "auth-agent@openssh.com", "session", "")] * 20,
        "globals": [raw(80, "hostkeys-00@openssh.com", rng.random() < 0.5, b"k")] * 300,
        "replies nobody asked for": [raw(81), raw(82), raw(81)],
        "disconnects": [data, raw(1, 2, "\x1b[31mno", "")],
        "debugs": [raw(4, True, "x\x1b[2J", "")] * 500 + [close],
        "unimplemented": [raw(3, n) for n in range(100)] + [close],
        "success again": [raw(52), close],
        "banner now": [raw(53, "late", ""), close],
        "failure of the login": [raw(51, "publickey", False), close],
        "rekeys": ["rekey", data, "rekey", ok, close],
        "half a rekey": ["kexinit", data, TRICK_SECONDS],
        "KEXINIT cut": [raw(20) + rng.randbytes(rng.randrange(100))],
        "rubbish": [rng.randbytes(rng.randrange(1, 500)) for _ in range(3)],
        "ends": [ok, "end"],
        "resets": [ok, data, "reset"],
        "dribbles": [ok] + [x for _ in range(20) for x in (raw(94, theirs, b"."), 0.05)] + [close],
        "keepalives": [raw(80, "keepalive@openssh.com", True)] * 1000 + [close],
    }


# ---- tunnels of a jump host ------------------------------------------------------------------------

TUNNEL_TRICKS = ["well", "cut", "flip", "dribble", "tiny windows", "hang", "early EOF", "stderr",
                 "garbage", "requests", "close and go on", "duplicate"]


class Tunnel:
    """A direct-tcpip channel to the real target, with a slip after some bytes."""

    def __init__(self, conn, theirs, trick):
        self.conn, self.theirs, self.trick = conn, theirs, trick
        self.after = conn.rng.choice([0, 30, 500, 3000, 8000])
        self.upto = 0
        self.window = 1 << 20
        self.sock = socket.create_connection(("127.0.0.1", conn.world.inner.port), timeout=10)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        sent = 0
        with contextlib.suppress(*EXPECTED):
            while data := self.sock.recv(8192):
                is_due = sent <= self.after < sent + len(data)
                sent += len(data)
                if is_due and self.trick != "well":
                    data = self.slip(data)
                    if data is None:
                        return
                step = 1 if self.trick == "dribble" and sent < 2000 else len(data)
                for at in range(0, len(data), step or 1):
                    self.conn.put(raw(94, self.theirs, data[at:at + step]))
                    if step == 1 and at % 50 == 0:
                        self.conn.over.wait(0.002)
            self.conn.put(raw(97, self.theirs))

    def slip(self, data):
        put, theirs, trick = self.conn.put, self.theirs, self.trick
        if trick == "flip":
            data = bytearray(data)
            data[self.conn.rng.randrange(len(data))] ^= 1
            return bytes(data)
        if trick == "garbage":
            return self.conn.rng.randbytes(500)
        if trick == "duplicate":
            return data + data
        if trick in ("cut", "hang"):
            if trick == "cut":
                put(raw(97, theirs))
            else:
                self.conn.over.wait(TRICK_SECONDS)
            return None
        if trick == "early EOF":
            put(raw(96, theirs))
        elif trick == "stderr":
            put(raw(95, theirs, 1, b"what is this"))
        elif trick == "requests":
            for name in ("keepalive@openssh.com", "exit-status", "no-such"):
                put(raw(98, theirs, name, True, 0))
        elif trick == "close and go on":
            put(raw(97, theirs))
        return data

    def take(self, data):
        with contextlib.suppress(OSError):
            self.sock.sendall(data)
        if self.trick == "tiny windows":
            for _ in range(len(data)):
                self.conn.put(raw(93, self.theirs, 1))
        else:
            self.conn.put(raw(93, self.theirs, len(data)))

    def close(self):
        self.sock.close()


class Connection:
    """One connection with one trick. It is what paramiko's Interface calls `server`."""

    def __init__(self, world, sock, rng, plan, over, tried):
        self.world, self.sock, self.rng, self.over = world, sock, rng, over
        self.place, self.trick = plan
        self.log = []  # Interface writes here
        self.tunnels = {}
        self.t = None
        tried[plan] = tried.get(plan, 0) + 1

    def serve(self):
        try:
            if self.place == "early":
                self.play(early_tricks(self.rng)[self.trick], self.sock.sendall)
                return
            self.run_ssh()
        except EXPECTED:
            pass
        finally:
            self.close()

    def close(self):
        for tunnel in self.tunnels.values():
            tunnel.close()
        if self.t:
            self.t.close()
        self.sock.close()

    def run_ssh(self):
        t = self.t = paramiko.Transport(self.sock)
        t.add_server_key(self.world.host_key)
        if self.place == "auth":
            t.auth_handler = AuthHandler(t)
        t._channel_handler_table = {}
        t._handler_table = {**t._handler_table, **{n: self.taker(n) for n in CHANNEL_NUMBERS}}
        t.start_server(server=OddAuth(self), event=threading.Event())
        # A hostile remote that is left alone hangs up some time.
        end = time.monotonic() + 5 * TRICK_SECONDS
        while t.is_alive() and time.monotonic() < end and not self.over.wait(0.2):
            pass

    def put(self, payload):
        self.t._send_message(Message(payload))

    def play(self, pieces, put):
        for piece in pieces:
            if isinstance(piece, (int, float)):
                if self.over.wait(piece):
                    return
            elif piece == "end":
                self.close()
            elif piece == "reset":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.sock.close()
            elif piece == "rekey":
                self.t.renegotiate_keys()
            elif piece == "kexinit":
                self.t._send_kex_init()
            else:
                put(piece)

    def later(self, pieces):
        """In a thread: paramiko's own must go on."""

        def run():
            with contextlib.suppress(*EXPECTED, AttributeError):
                self.play(pieces, self.put)

        threading.Thread(target=run, daemon=True).start()

    def taker(self, number):
        def take(*args):
            m = args[-1]
            with contextlib.suppress(*EXPECTED):
                self.take(number, m)

        return take

    def take(self, number, m):
        if number == 80:
            m.get_binary()
            if m.get_boolean():
                self.put(raw(82))
        elif number == 90:
            kind, theirs = m.get_binary(), m.get_int()
            if self.place == "open":
                self.later(open_tricks(self.rng, theirs)[self.trick])
            elif kind == b"direct-tcpip" and self.place == "tunnel":
                self.put(raw(91, theirs, theirs, 1 << 20, 32768))
                self.tunnels[theirs] = Tunnel(self, theirs, self.trick)
            else:
                # Our number of the channel is theirs.
                self.put(raw(91, theirs, theirs, 1 << 20, 32768))
        elif number == 94 and (tunnel := self.tunnels.get(m.get_int())):
            tunnel.take(m.get_binary())
        elif number == 98:
            theirs, name, want = m.get_int(), m.get_binary(), m.get_boolean()
            if name == b"exec" and self.place == "exec":
                self.later(exec_tricks(self.rng, theirs)[self.trick])
            elif name == b"exec":
                self.later(exec_tricks(self.rng, theirs)["well"])
            elif want:
                self.put(raw(99, theirs))


class HostileServer:
    """Listens, and gives each connection the next trick of a shuffled list of all."""

    def __init__(self, world, seed, places):
        self.world = world
        self.rng = random.Random(f"{seed}/server/{'/'.join(places)}")
        names = {"early": early_tricks(self.rng), "auth": AUTH_TRICKS,
                 "open": open_tricks(self.rng, 0), "exec": exec_tricks(self.rng, 0),
                 "tunnel": TUNNEL_TRICKS}
        self.all = [(place, trick) for place in places for trick in names[place]]
        self.plan = []
        self.tried = {}
        self.over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def hop(self, user):
        return dict(host="127.0.0.1", port=self.port, user=user)

    def known_hosts(self):
        key = self.world.host_key
        return f"[127.0.0.1]:{self.port} {key.get_name()} {key.get_base64()}\n"

    def next(self):
        if not self.plan:
            self.plan = list(self.all)
            self.rng.shuffle(self.plan)
        return self.plan.pop()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            plan = self.next()
            self.world.journal(f"server {self.port}", f"{plan[0]}: {plan[1]}")
            conn = Connection(self.world, sock, random.Random(self.rng.random()), plan, self.over,
                              self.tried)
            threading.Thread(target=conn.serve, daemon=True).start()

    def stop(self):
        self.over.set()
        self.listener.close()


