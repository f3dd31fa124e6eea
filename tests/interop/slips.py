# SPDX-License-Identifier: MIT
"""U2: what peers do wrong after the login, and a scripted server and client that do it.

A slip is a message that has no business where it comes: of a kind, on a channel of a state. Each is
done to us and, for what it may cost, to OpenSSH. The tables at the end say what it costs: `lost`
names what ends the whole connection there.
"""
import contextlib
import queue
import socket
import threading
import time

from rawpeer import Gone, Peer, Reader, Server, load_key, msg
import rawpeer

WINDOW = 2 << 20
PACKET = 32768
NOBODY = 4242  # a channel number that was never given
RUNS_ON = "behind"  # what the victim's channel says when it is alive after the slip

# Messages about a channel, with a body that is well formed; {} is the channel.
CHANNEL_MESSAGES = {
    91: lambda ch: msg(91, ch, 77, WINDOW, PACKET),
    92: lambda ch: msg(92, ch, 1, "no", ""),
    93: lambda ch: msg(93, ch, 1000),
    94: lambda ch: msg(94, ch, "late"),
    95: lambda ch: msg(95, ch, 1, "late"),
    96: lambda ch: msg(96, ch),
    97: lambda ch: msg(97, ch),
    98: lambda ch: msg(98, ch, "made-up@example.com", True),
    99: lambda ch: msg(99, ch),
    100: lambda ch: msg(100, ch),
}
NAMES = {
    91: "CONFIRMATION", 92: "OPEN_FAILURE", 93: "WINDOW_ADJUST", 94: "DATA", 95: "EXTENDED_DATA",
    96: "EOF", 97: "CLOSE", 98: "REQUEST", 99: "SUCCESS", 100: "FAILURE",
}  # fmt: skip
# unknown: a number nobody gave; opening: our open is not answered; open; eof: behind EOF; close:
# right behind CLOSE; freed: after both CLOSEs; closing: behind the other side's CLOSE, before its own.
STATES = ["unknown", "opening", "open", "eof", "close", "freed", "closing"]
# What is no slip at all.
SOUND = {(91, "opening"), (92, "opening")}
SOUND |= {(n, "open") for n in (93, 94, 95, 96, 97, 98)}
SOUND |= {(n, "eof") for n in (93, 97, 98)}
SOUND |= {(n, "closing") for n in (93, 94, 95, 96, 97, 98)}

# On an open channel, with {}: its number. Malformed, or beyond what was agreed.
ON_OPEN = {
    "WINDOW_ADJUST over 2^32": lambda ch: [msg(93, ch, 0xFFFFFFFF), msg(93, ch, 0xFFFFFFFF)],
    "WINDOW_ADJUST of 0": lambda ch: [msg(93, ch, 0)],
    "WINDOW_ADJUST truncated": lambda ch: [msg(93, ch, bytearray(b"\0\0"))],
    "WINDOW_ADJUST with a tail": lambda ch: [msg(93, ch, 1, 1)],
    "DATA truncated": lambda ch: [msg(94, ch, bytearray(b"\0\0\0\x09abc"))],
    "DATA with a tail": lambda ch: [msg(94, ch, "abc", 1)],
    "DATA over the packet size": lambda ch: [msg(94, ch, b"p" * (PACKET + 1))],
    "EXTENDED_DATA of code 0": lambda ch: [msg(95, ch, 0, "abc")],
    "EXTENDED_DATA of code 9": lambda ch: [msg(95, ch, 9, "abc")],
    "EXTENDED_DATA truncated": lambda ch: [msg(95, ch, bytearray(b"\0\0"))],
    "EOF with a tail": lambda ch: [msg(96, ch, 1)],
    "CLOSE with a tail": lambda ch: [msg(97, ch, 1)],
    "REQUEST truncated": lambda ch: [msg(98, ch, bytearray(b"\0\0\0\x09abc"))],
    "SUCCESS with a tail": lambda ch: [msg(99, ch, 1)],
}
# The connection's own: the lists are sent in one write.
ON_CONNECTION = {
    "REQUEST_SUCCESS unasked": [msg(81)],
    "REQUEST_FAILURE unasked": [msg(82)],
    "GLOBAL_REQUEST unknown": [msg(80, "made-up@example.com", True)],
    "GLOBAL_REQUEST truncated": [msg(80, bytearray(b"\0\0\0\x09abc"))],
    "channel message without a number": [msg(94)],
    "OPEN truncated": [msg(90, "session", bytearray(b"\0\0"))],
    "OPEN of a kind unknown": [msg(90, "made-up@example.com", 9, WINDOW, PACKET)],
    "OPEN with packet size 0": [msg(90, "made-up@example.com", 9, WINDOW, 0)],
    "SERVICE_REQUEST again": [msg(5, "ssh-userauth")],
    "SERVICE_ACCEPT again": [msg(6, "ssh-userauth")],
    "EXT_INFO again": [msg(7, 1, "server-sig-algs", "ssh-ed25519")],
    "USERAUTH_REQUEST after success": [msg(50, "me", "ssh-connection", "none")],
    "USERAUTH_FAILURE after success": [msg(51, "publickey", False)],
    "USERAUTH_SUCCESS again": [msg(52)],
    "USERAUTH_BANNER after success": [msg(53, "hello", "")],
    "INFO_REQUEST after success": [msg(60, "", "", "", 1, "code: ", True)],
    "INFO_RESPONSE after success": [msg(61, 1, "123")],
    "UNIMPLEMENTED of nothing": [msg(3, 123456)],
    "UNIMPLEMENTED truncated": [msg(3)],
    "IGNORE": [msg(2, "x")],
    "IGNORE truncated": [msg(2)],
    "DEBUG": [msg(4, True, "x", "")],
    "PONG unasked": [msg(193, "x")],
    "PING truncated": [msg(192)],
    "NEWKEYS out of an exchange": [msg(21)],
    "message 0": [msg(0)],
    "message 19": [msg(19)],
    "message 25": [msg(25)],
    "message 30 out of an exchange": [msg(30, b"x" * 32)],
    "message 31 out of an exchange": [msg(31, b"x", b"y", b"z")],
    "message 127": [msg(127, 1)],
    "message 200": [msg(200)],
}
# In a key exchange of the peer's: behind its KEXINIT, in one write with it. {}: an open channel.
IN_REKEY = {
    "DATA": lambda ch: [msg(94, ch, "behind the KEXINIT ")],
    "REQUEST": lambda ch: [msg(98, ch, "made-up@example.com", True)],
    "WINDOW_ADJUST": lambda ch: [msg(93, ch, 1000)],
    "GLOBAL_REQUEST": lambda ch: [msg(80, "made-up@example.com", True)],
    "IGNORE": lambda ch: [msg(2, "x")],
    "USERAUTH_SUCCESS": lambda ch: [msg(52)],
    "message 33": lambda ch: [msg(33, b"x", b"y", b"z")],
    "message 25": lambda ch: [msg(25)],
    "KEXINIT again": lambda ch: [msg(20, bytearray(16))],
}


class Slip:
    """One line: how, and where. `payloads(ch)`: what is sent."""

    def __init__(self, name, state, payloads):
        self.name, self.state, self.payloads = name, state, payloads

    def __repr__(self):
        return f"{self.name} / {self.state}"


def all_slips():
    out = []
    for number, build in CHANNEL_MESSAGES.items():
        for state in STATES:
            if (number, state) not in SOUND:
                out.append(Slip(NAMES[number], state, lambda ch, build=build: [build(ch)]))
    for name, build in ON_OPEN.items():
        out.append(Slip(name, "open", build))
    for name, payloads in ON_CONNECTION.items():
        out.append(Slip(name, "connection", lambda ch, payloads=payloads: payloads))
    for name, build in IN_REKEY.items():
        out.append(Slip(name, "rekey", build))
    return out


class SlippingServer(Server):
    """Sessions: the command `echo` gives back what it gets; `slip` does self.slip to its client, and
    then says RUNS_ON and ends with status 0, as far as the slip leaves it to say so."""

    def __init__(self, host_key, **more):
        super().__init__(host_key, self.sessions, **more)
        self.slip = None
        self.done = threading.Event()
        self.last_channel = None  # number of the channel opened last, as its client gave it
        self.windows = {}  # what the client granted, by its number

    def arm(self, slip):
        self.slip = slip
        self.done.clear()

    def sessions(self, peer):
        theirs, echoes, ended = {}, set(), set()
        tunnels = {}
        serial = 100
        while True:
            payload = peer.receive()
            number, rd = payload[0], Reader(payload)
            slip = self.slip
            if number == 80:
                rd.string()
                if rd.boolean():
                    peer.send(msg(82))
            elif number == 90:
                kind, ch = rd.string(), rd.u32()
                self.last_channel = ch
                self.first_window = self.windows[ch] = rd.u32()
                rd.u32()
                serial += 1
                theirs[serial] = ch
                if slip and slip.state == "opening" and not self.done.is_set():
                    peer.send(*slip.payloads(ch))
                    time.sleep(0.05)
                pump = None
                if kind == b"direct-tcpip":
                    tunnels[serial], pump = self.tunnel(peer, ch, rd)
                peer.send(msg(91, ch, serial, WINDOW, PACKET))
                if pump: # data before the confirmation would be a slip of another kind
                    pump.start()
            elif number == 98:
                self.request(peer, theirs, echoes, ended, rd)
            elif number in (94, 95):
                ours = rd.u32()
                data = rd.string() if number == 94 else b""
                if ours in echoes:
                    peer.send(msg(94, theirs[ours], data), msg(93, theirs[ours], len(data)))
                elif ours in tunnels:
                    tunnels[ours].sendall(data)
                    peer.send(msg(93, theirs[ours], len(data)))
            elif number == 96:
                ours = rd.u32()
                if ours in echoes:
                    self.finish(peer, theirs[ours], ended, ours)
            elif number == 93:
                self.windows[theirs[rd.u32()]] += rd.u32()
            elif number == 97:
                ours = rd.u32()
                if slip and slip.state == "closing" and ours not in ended and ours not in echoes:
                    peer.send(*slip.payloads(theirs[ours]))
                if ours not in ended:
                    peer.send(msg(97, theirs[ours]))
                elif slip and slip.state == "freed" and not self.done.is_set():
                    time.sleep(0.02)
                    peer.send(*slip.payloads(theirs[ours]))
                ended.add(ours)
                echoes.discard(ours)
                if slip and slip.state in ("freed", "closing"):
                    self.done.set()

    def granted(self, ch):
        """What has been granted on a channel from which nothing was sent yet."""
        return self.windows[ch]

    def tunnel(self, peer, ch, rd):
        """A jump host's: what comes from the target goes to channel ch, slips in between. Returns
        the connection, and the thread that is to be started once the channel is open."""
        host, port = rd.string(), rd.u32()
        sock = socket.create_connection((host.decode(), port), timeout=20)
        sock.settimeout(None)
        self.tunnel_channel = ch

        def pump():
            with contextlib.suppress(OSError):
                while data := sock.recv(16384):
                    peer.send(msg(94, ch, data))
            peer.send(msg(97, ch))

        return sock, threading.Thread(target=pump, daemon=True)

    @staticmethod
    def finish(peer, ch, ended, ours, *first):
        peer.send(*first, msg(98, ch, "exit-status", False, 0), msg(96, ch), msg(97, ch))
        ended.add(ours)

    def request(self, peer, theirs, echoes, ended, rd):
        ours, kind, reply = rd.u32(), rd.string(), rd.boolean()
        ch = theirs[ours]
        if kind != b"exec":
            if reply:
                peer.send(msg(100, ch))
            return
        command = rd.string()
        if reply:
            peer.send(msg(99, ch))
        if command == b"echo":
            echoes.add(ours)
            return
        slip = self.slip
        out = msg(94, ch, RUNS_ON)
        if slip.state == "closing":
            peer.send(out)
            return  # until it closes
        if slip.state == "eof":
            peer.send(out, msg(96, ch), *slip.payloads(ch), msg(98, ch, "exit-status", False, 0),
                      msg(97, ch))  # fmt: skip
            ended.add(ours)
        elif slip.state == "close":
            peer.send(out, msg(98, ch, "exit-status", False, 0), msg(97, ch), *slip.payloads(ch))
            ended.add(ours)
        elif slip.state == "rekey":
            for payload in peer.rekey(*slip.payloads(ch)):
                if payload[0] == 97:
                    ended.add(Reader(payload).u32())
            self.finish(peer, ch, ended, ours, out)
        elif slip.state == "freed":
            self.finish(peer, ch, ended, ours, out)
            return
        else:
            if slip.state in ("open", "connection"):
                peer.send(*slip.payloads(ch))
            elif slip.state == "unknown":
                peer.send(*slip.payloads(NOBODY))
            time.sleep(0.02)
            self.finish(peer, ch, ended, ours, out)
        self.done.set()


class Client:
    """A raw client, logged in, that keeps what comes for each channel."""

    def __init__(self, port, key, user, **more):
        self.peer = rawpeer.connect(port, key, user, **more)
        self.came = queue.Queue()
        self.is_gone = threading.Event()
        self.serial = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(Exception):
            while True:
                payload = self.peer.receive()
                if payload[0] == 80 and payload[-1:] == b"\1":
                    self.peer.send(msg(82))  # a keepalive
                self.came.put(payload)
        self.is_gone.set()
        self.came.put(None)

    def wait(self, number, ch=None, timeout=15):
        """The next message of that number (on that channel); others before it are dropped."""
        deadline = time.monotonic() + timeout
        while True:
            payload = self.came.get(timeout=max(0.01, deadline - time.monotonic()))
            if payload is None:
                self.came.put(None)
                raise Gone
            if payload[0] == number and (ch is None or Reader(payload).u32() == ch):
                return payload

    def session(self, command, window=WINDOW):
        """(our number, theirs) of a session that runs it."""
        self.serial += 1
        ours = self.serial
        self.peer.send(msg(90, "session", ours, window, PACKET))
        theirs = Reader(self.wait(91, ours), 5).u32()
        self.peer.send(msg(98, theirs, "exec", True, command))
        self.wait(99, ours)
        return ours, theirs

    def echoes(self, session, text=b"alive"):
        """Whether a session that echoes still does."""
        ours, theirs = session
        self.peer.send(msg(94, theirs, text))
        got = b""
        try:
            while len(got) < len(text):
                got += Reader(self.wait(94, ours), 5).string()
        except (Gone, queue.Empty):
            return False
        return got == text

    def do(self, slip, command="cat"):
        """Does it, as a client; the other side's session is `command`."""
        peer = self.peer
        if slip.state == "opening":
            # It can only guess the number, which is the next one nearly everywhere.
            ours, theirs = self.session(command)
            self.serial += 1
            peer.send(msg(90, "session", self.serial, WINDOW, PACKET), *slip.payloads(theirs + 1))
            return
        ours, theirs = self.session(command)
        if slip.state == "unknown":
            peer.send(*slip.payloads(NOBODY))
        elif slip.state == "eof":
            peer.send(msg(96, theirs), *slip.payloads(theirs))
        elif slip.state == "close":
            peer.send(msg(97, theirs), *slip.payloads(theirs))
        elif slip.state == "freed":
            peer.send(msg(96, theirs), msg(97, theirs))
            self.wait(97, ours)
            time.sleep(0.02)
            peer.send(*slip.payloads(theirs))
        elif slip.state == "closing":
            # The other side closes first; we answer late.
            peer.send(msg(96, theirs))
            self.wait(97, ours)
            peer.send(*slip.payloads(theirs), msg(97, theirs))
        elif slip.state == "rekey":
            peer.begin_exchange(*slip.payloads(theirs))  # its rest runs in self.run
        else:
            peer.send(*slip.payloads(theirs))
        time.sleep(0.02)

    def stop(self):
        self.peer.close()


# What ends the whole connection at OpenSSH 9.2, measured with all of the above.
LOST_BY_BOTH = {
    "CLOSE / freed",
    "CLOSE / unknown",
    "CLOSE with a tail / open",
    "CONFIRMATION / close",
    "CONFIRMATION / closing",
    "CONFIRMATION / eof",
    "CONFIRMATION / freed",
    "CONFIRMATION / open",
    "CONFIRMATION / unknown",
    "DATA / freed",
    "DATA / unknown",
    "EOF / freed",
    "EOF / unknown",
    "EOF with a tail / open",
    "EXTENDED_DATA / eof",
    "EXTENDED_DATA / freed",
    "EXTENDED_DATA / unknown",
    "OPEN_FAILURE / close",
    "OPEN_FAILURE / closing",
    "OPEN_FAILURE / eof",
    "OPEN_FAILURE / freed",
    "OPEN_FAILURE / open",
    "OPEN_FAILURE / unknown",
    "PING truncated / connection",
    "PONG unasked / connection",
    "UNIMPLEMENTED truncated / connection",
    "WINDOW_ADJUST over 2^32 / open",
    "WINDOW_ADJUST truncated / open",
    "WINDOW_ADJUST with a tail / open",
    "channel message without a number / connection",
    "DATA truncated / open",
    "DATA with a tail / open",
    "EXTENDED_DATA truncated / open",
    "GLOBAL_REQUEST truncated / connection",
    "message 0 / connection",
    "message 200 / connection",
    "OPEN truncated / connection",
    "REQUEST truncated / open",
}
LOST_BY_SSH = LOST_BY_BOTH | {
    "CLOSE / opening",
    "REQUEST / opening",
    "SUCCESS with a tail / open",
}
LOST_BY_SSHD = LOST_BY_BOTH | {
    "REQUEST / freed",
    "REQUEST / unknown",
}
# And here: a channel message that names no channel.
LOST_BY_US = {"channel message without a number / connection"}
# What ends its own channel here, and nothing else.
ENDS_THE_CHANNEL = {
    "CLOSE / opening",
    "OPEN_FAILURE / open",
    "OPEN_FAILURE / eof",
    "WINDOW_ADJUST truncated / open",
    "DATA truncated / open",
    "EXTENDED_DATA truncated / open",
    "REQUEST truncated / open",
    "CLOSE with a tail / open",
}
# What is no harm at all.
IS_TAKEN = {
    "WINDOW_ADJUST / rekey",
    "DATA / rekey",
    "REQUEST / rekey",
    "GLOBAL_REQUEST / rekey",
    "WINDOW_ADJUST over 2^32 / open",
    "WINDOW_ADJUST of 0 / open",
    "WINDOW_ADJUST with a tail / open",
    "DATA with a tail / open",
    "DATA over the packet size / open",
    "EXTENDED_DATA of code 9 / open",
    "EOF with a tail / open",
}


def table():
    """The table of docs/DESIGN.md."""

    def cell(key):
        if key in LOST_BY_SSH and key in LOST_BY_SSHD:
            theirs = "both lose it"
        elif key in LOST_BY_SSH:
            theirs = "ssh loses it"
        else:
            theirs = "sshd loses it" if key in LOST_BY_SSHD else "kept"
        if key in LOST_BY_US:
            return theirs, "lost"
        if key in ENDS_THE_CHANNEL:
            return theirs, "the channel ends"
        return theirs, "taken" if key in IS_TAKEN else "ignored"

    rows = {}
    for slip in all_slips():
        rows.setdefault((slip.name, *cell(repr(slip))), []).append(slip.state)
    out = ["| message | where | the connection with OpenSSH 9.2 | here |", "|---|---|---|---|"]
    for (what, theirs, ours), states in rows.items():
        where = ", ".join(states)
        out.append(f"| {what} | {where} | {theirs} | {ours} |")
    return "\n".join(out) + "\n"
