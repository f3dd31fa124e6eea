# SPDX-License-Identifier: MIT
"""U2: what a peer does wrong costs less than it does with OpenSSH, and never anybody else.

Each line of the table (slips.py) is done by a scripted server, and by a scripted client, while
another session lives beside it on the same connection.
"""
import contextlib
import itertools
import queue
import subprocess
import time

import pytest

import peers
from peers import Mux, Sshd, hop, poll, routes_toml
from rawpeer import Gone, Reader, msg
from slips import (
    LOST_BY_SSH,
    LOST_BY_SSHD,
    LOST_BY_US,
    ENDS_THE_CHANNEL,
    PACKET,
    RUNS_ON,
    WINDOW,
    Client,
    Slip,
    SlippingServer,
    all_slips,
    table,
)

SLIPS = all_slips()


class Beside:
    """A client of its own with a session that echoes, on the same pooled connection."""

    def __init__(self, mux, route, command):
        self.client = Client(mux.port, mux.local_key, route)
        self.session = self.client.session(command)
        self.check()

    def check(self):
        assert self.client.echoes(self.session), "the session beside it is lost"

    def stop(self):
        self.client.stop()


class World:
    """A daemon with routes s: a scripted server; d: a real one; j: the real one behind the scripted
    one as jump host."""

    def __init__(self, keys):
        self.server = SlippingServer(keys.make("host_slips"))
        self.target = Sshd(keys, "target", MaxSessions=300)
        # Its script is about the channels that sessions ask for.
        jump = self.server.hop(spare=False)
        self.mux = Mux(
            keys,
            routes=routes_toml({
                "s": self.server.hop(direct=True, spare=False), "d": hop(self.target, direct=True),
                "j": hop(self.target),
            }, jump=jump),
            known_hosts=self.server.known_hosts() + self.target.known_hosts(),
        )  # fmt: skip
        self.beside_server = Beside(self.mux, "s", "echo")
        self.beside_client = Beside(self.mux, "d", "cat")

    def stop(self):
        for thing in (self.beside_server, self.beside_client, self.server, self.mux, self.target):
            thing.stop()


@pytest.fixture(scope="module")
def world(keys):
    w = World(keys)
    yield w
    w.stop()


@pytest.fixture
def client(world):
    """A client that is there for the test, on the route of the scripted server."""
    c = Client(world.mux.port, world.mux.local_key, "s")
    yield c
    c.stop()


def outcome(client, ours):
    """What a session said, and its exit status (None: it ended without one)."""
    out, status = b"", None
    while True:
        payload = client.came.get(timeout=10)
        if payload is None:
            return out, "lost"
        rd = Reader(payload)
        if payload[0] < 91 or rd.u32() != ours:
            continue
        if payload[0] == 94:
            out += rd.string()
        elif payload[0] == 98 and rd.string() == b"exit-status":
            rd.boolean()
            status = rd.u32()
        elif payload[0] == 97:
            return out, status


@pytest.mark.parametrize("slip", SLIPS, ids=repr)
def test_U2_a_server_slips(world, client, slip):
    """U2: nobody else's session ends, and nobody has to log in again."""
    server = world.server
    logins = server.n_logins
    key = repr(slip)
    if key in LOST_BY_US:
        pytest.skip("ends the connection, as it does OpenSSH's: below")
    server.arm(slip)
    try:
        client.serial += 1
        ours = client.serial
        client.peer.send(msg(90, "session", ours, WINDOW, PACKET))
        if key == "CLOSE / opening":
            client.wait(92, ours)  # it can't be opened any more
        else:
            theirs = Reader(client.wait(91, ours), 5).u32()
            client.peer.send(msg(98, theirs, "exec", True, "slip"))
            if slip.state == "closing":
                client.wait(94, ours)
                client.peer.send(msg(97, theirs))
                client.wait(97, ours)
            else:
                out, status = outcome(client, ours)
                if key in ENDS_THE_CHANNEL:
                    assert status is None, (out, status)
                elif key == "EOF with a tail / open":
                    assert (out, status) == (b"", 0)
                else:
                    assert (out[-len(RUNS_ON) :], status) == (RUNS_ON.encode(), 0), (out, status)
        assert key == "CLOSE / opening" or server.done.wait(10)
        if slip.state in ("freed", "closing"):
            time.sleep(0.03)  # the slip comes last
    finally:
        server.arm(None)
    world.beside_server.check()
    assert not client.is_gone.is_set()
    assert client.echoes(client.session("echo"))
    assert server.n_logins == logins == 1


@pytest.mark.parametrize("slip", SLIPS, ids=repr)
def test_U2_a_client_slips(world, slip):
    """U2: its other sessions go on, and so do those of others on the same connection."""
    if repr(slip) in LOST_BY_US:
        pytest.skip("ends the client's connection, as at sshd: below")
    client = Client(world.mux.port, world.mux.local_key, "d")
    try:
        own = client.session("cat")
        assert client.echoes(own)
        client.do(slip)
        assert client.echoes(own), "a session of the same client is lost"
        world.beside_client.check()
        assert world.target.logins() == 1
    finally:
        client.stop()


@pytest.mark.parametrize("key", sorted(LOST_BY_US))
def test_U2_what_ends_a_connection(world, make_mux, keys, cleanup, key):
    """U2: only what ends it at OpenSSH, too; a client's end is no other's."""
    slip = next(s for s in SLIPS if repr(s) == key)
    assert key in LOST_BY_SSH and key in LOST_BY_SSHD
    client = cleanup(Client(world.mux.port, world.mux.local_key, "d"))
    own = client.session("cat")
    client.do(slip)
    assert client.is_gone.wait(10) and not client.echoes(own)
    world.beside_client.check()
    # A server's: the next call makes a new connection, once.
    server = cleanup(SlippingServer(keys.make("host_slips2")))
    mux = make_mux(routes=routes_toml({"s": server.hop()}), known_hosts=server.known_hosts())
    client = cleanup(Client(mux.port, mux.local_key, "s"))
    client.session("echo")
    server.arm(slip)
    ours, _ = client.session("slip")
    assert outcome(client, ours)[1] is None
    server.arm(None)
    assert client.echoes(client.session("echo"))
    assert server.n_logins == 2


def test_U2_never_more_often_than_openssh():
    """U2: of what OpenSSH survives nothing ends a connection of ours."""
    assert LOST_BY_US <= LOST_BY_SSH & LOST_BY_SSHD
    names = {repr(s) for s in SLIPS}
    assert LOST_BY_SSH | LOST_BY_SSHD | LOST_BY_US | ENDS_THE_CHANNEL <= names
    assert len(LOST_BY_US) < len(LOST_BY_SSHD)


def test_U2_the_document_has_the_table():
    """docs/DESIGN.md shows the table that these tests go through."""
    text = (peers.TOP / "docs/DESIGN.md").read_text()
    assert table() in text, "docs/DESIGN.md: replace the table of U2 by\n" + table()


class Master:
    """OpenSSH's ssh with a shared connection, and a session on it that echoes."""

    def __init__(self, server, key, path):
        self.path = path / f"m{next(NUMBERS)}"
        known = path / "known_hosts"
        known.write_text(server.known_hosts())
        self.options = ["-F", "none", "-o", f"UserKnownHostsFile={known}", "-i", str(key),
                        "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
                        "-p", str(server.port), f"{peers.USER}@127.0.0.1"]  # fmt: skip
        self.main = self.run("-M", "-N")
        poll(self.path.exists, 20)
        self.beside = self.session("echo")
        assert self.lives()

    def run(self, *args):
        pipe = subprocess.PIPE
        return subprocess.Popen([peers.SSH, "-S", str(self.path), *args, *self.options],
                                stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)  # fmt: skip

    def session(self, command):
        self.options.append(command)
        try:
            return self.run()
        finally:
            self.options.pop()

    def lives(self):
        with contextlib.suppress(OSError):
            self.beside.stdin.write(b"alive\n")
            self.beside.stdin.flush()
            return self.beside.stdout.readline() == b"alive\n" and self.main.poll() is None
        return False

    def stop(self):
        for process in (self.beside, self.main):
            process.kill()
            process.communicate()


NUMBERS = itertools.count()
VERSION = subprocess.run([peers.SSH, "-V"], capture_output=True, text=True).stderr
measured = pytest.mark.skipif("OpenSSH_9.2p1" not in VERSION, reason="the table is OpenSSH 9.2's")


@measured
@pytest.mark.slow
def test_U2_ssh_pays_what_the_table_says(keys, cleanup, tmp_path):
    """U2: what ends the connection of OpenSSH's ssh, done to it."""
    server = cleanup(SlippingServer(keys.make("host_slips2")))
    lost, master = set(), None
    for slip in SLIPS:
        master = master or Master(server, keys.make("remote"), tmp_path)
        server.arm(slip)
        victim = master.session("slip")
        if slip.state == "closing":
            victim.stdout.read(len(RUNS_ON))
            time.sleep(0.05)
            victim.kill()
            server.done.wait(5)
        victim.communicate(timeout=20)
        time.sleep(0.1)
        server.arm(None)
        if not master.lives():
            lost.add(repr(slip))
            master.stop()
            master = None
    if master:
        master.stop()
    assert lost == LOST_BY_SSH


@measured
@pytest.mark.slow
def test_U2_sshd_pays_what_the_table_says(make_sshd, keys):
    """U2: what ends the connection of OpenSSH's sshd, done to it."""
    sshd = make_sshd(MaxSessions=300)
    lost, client = set(), None
    for slip in SLIPS:
        if client is None:
            client = Client(sshd.port, keys.make("remote"), peers.USER)
            beside = client.session("cat")
        with contextlib.suppress(Gone, queue.Empty):
            client.do(slip)
        time.sleep(0.1)
        if not client.echoes(beside):
            lost.add(repr(slip))
            client.stop()
            client = None
    assert lost == LOST_BY_SSHD


# ---- what a table can't say ----


@pytest.mark.parametrize("number, fields", [
    (51, ("publickey", False)), (52, ()), (53, ("hello", "")), (60, ("", "", "", 1, "code: ", True)),
])  # fmt: skip
def test_U2_one_login_where_the_server_says_it_twice(make_mux, keys, cleanup, number, fields):
    """U2: an authentication message right behind USERAUTH_SUCCESS was three logins a call. One that
    comes when the login is long over is nothing either."""

    class Twice(SlippingServer):
        def sessions(self, peer):
            peer.send(msg(number, *fields))
            super().sessions(peer)

    server = cleanup(Twice(keys.make("host_slips2")))
    mux = make_mux(routes=routes_toml({"s": server.hop()}), known_hosts=server.known_hosts())
    for n in range(3):
        if n:
            server.peers[-1].send(msg(number, *fields))
        client = cleanup(Client(mux.port, mux.local_key, "s"))
        assert client.echoes(client.session("echo"))
        time.sleep(1.5)  # what a login was is forgotten by the tick of each second
    assert server.n_logins == 1 and mux.alive()


def test_U2_a_late_message_never_reaches_the_next_channel(world, client):
    """U2: a message about a channel that is gone is not one about the channel after it."""
    server = world.server
    peer = server.peers[-1]
    numbers = []
    for _ in range(20):
        ours, theirs = client.session("echo")
        # The number that the daemon gave this channel, as the server knows it.
        numbers.append(server.last_channel)
        assert client.echoes((ours, theirs))
        for old in numbers[:-1]:
            peer.send(msg(94, old, "for another"), msg(93, old, 1), msg(99, old), msg(96, old),
                      msg(97, old))  # fmt: skip
        assert client.echoes((ours, theirs))
        client.peer.send(msg(96, theirs), msg(97, theirs))
        client.wait(97, ours)
    assert len(set(numbers)) == len(numbers), numbers
    world.beside_server.check()
    assert server.n_logins == 1


def send_beyond(world, client, beyond):
    """A session whose server sends `beyond` percent of its window more than was granted, to a client
    that grants nothing before it is all sent. Returns (bytes sent, bytes granted meanwhile, bytes
    that came, exit status)."""
    server = world.server
    sent = []

    def payloads(ch):
        n = (server.granted(ch) + server.first_window * beyond // 100) // 4096
        sent.append((ch, n * 4096))
        return [msg(94, ch, b"w" * 4096)] * n

    server.arm(Slip("window", "open", payloads))
    client.serial += 1
    ours = client.serial
    client.peer.send(msg(90, "session", ours, 0, PACKET))
    theirs = Reader(client.wait(91, ours), 5).u32()
    client.peer.send(msg(98, theirs, "exec", True, "slip"))
    assert server.done.wait(20)
    server.arm(None)
    world.beside_server.check()  # all that was sent has been read, and any grant for it has come
    [(ch, total)] = sent
    granted = server.granted(ch)
    client.peer.send(msg(93, theirs, 1 << 30))
    out, status = outcome(client, ours)
    world.beside_server.check()
    assert server.n_logins == 1
    return total, granted, len(out), status


def test_U2_a_tenth_beyond_the_window(world, client):
    """U2: up to a tenth of the window more is taken, as by OpenSSH."""
    total, _, came, status = send_beyond(world, client, 9)
    assert (came - len(RUNS_ON), status) == (total, 0)


def test_U2_data_beyond_the_window(world, client):
    """U2: what is more than a tenth beyond ends the channel and not the connection. A window may grow
    while it is filled: then it is done again, with more."""
    for beyond in (50, 200, 800, 3200):
        total, granted, came, status = send_beyond(world, client, beyond)
        if status is None:
            break
        assert total <= granted + granted // 10, "taken, though it was never granted"
    assert came < total and status is None


def test_U2_a_server_that_talks_through_its_rekeys(world, client):
    """U2: what the window allows comes behind each KEXINIT of the server's, in order."""
    server = world.server
    pieces = [bytes([i]) * 16384 for i in range(12)]
    server.arm(Slip("bulk", "rekey", lambda ch: [msg(94, ch, p) for p in pieces]))
    for _ in range(3):
        ours, _ = client.session("slip")
        out, status = outcome(client, ours)
        assert status == 0 and out == b"".join(pieces) + RUNS_ON.encode()
    server.arm(None)
    world.beside_server.check()
    assert server.n_logins == 1


# ---- on the channel that is a tunnel ----

TUNNEL = [s for s in SLIPS
          if s.state in ("unknown", "connection", "rekey") and repr(s) not in LOST_BY_US
          and repr(s) != "DATA / rekey"]  # fmt: skip
TUNNEL += [s for s in SLIPS if s.name in ("SUCCESS", "FAILURE", "CONFIRMATION",
           "WINDOW_ADJUST over 2^32", "WINDOW_ADJUST of 0", "WINDOW_ADJUST with a tail", "EXTENDED_DATA of code 0",
           "EXTENDED_DATA of code 9", "SUCCESS with a tail") and s.state == "open"]  # fmt: skip


def test_U2_a_jump_host_slips_on_a_tunnel(world, client):
    """U2: what is no end of a channel is no end of a connection in it."""
    inner = Beside(world.mux, "j", "cat")
    try:
        peer, channel = world.server.peers[-1], world.server.tunnel_channel
        logins = world.target.logins()
        for slip in TUNNEL:
            if slip.state == "rekey":
                continue  # the server's own thread does these
            peer.send(*slip.payloads(4242 if slip.state == "unknown" else channel))
            inner.check()
        for slip in TUNNEL:
            if slip.state == "rekey":
                world.server.arm(Slip(slip.name, "rekey", lambda _, s=slip: s.payloads(channel)))
                ours, _ = client.session("slip")
                assert outcome(client, ours)[1] == 0, slip
                inner.check()
        world.server.arm(None)
        assert world.target.logins() == logins and world.server.n_logins == 1
    finally:
        inner.stop()


@pytest.mark.parametrize("payload", [
    lambda ch: msg(92, ch, 1, "no", ""), lambda ch: msg(94, ch), lambda ch: msg(96, ch),
    lambda ch: msg(97, ch),
], ids=["OPEN_FAILURE", "DATA truncated", "EOF", "CLOSE"])  # fmt: skip
def test_U2_a_jump_host_breaks_a_tunnel(world, payload):
    """U2: the connection in it ends with a cause; the jump host's own goes on, as does the next
    call."""
    inner = Beside(world.mux, "j", "cat")
    world.server.peers[-1].send(payload(world.server.tunnel_channel))
    poll(lambda: inner_ended(inner), 10, "the session in the tunnel ends")
    world.beside_server.check()
    inner.stop()
    again = Beside(world.mux, "j", "cat")
    again.stop()
    assert world.server.n_logins == 1


def inner_ended(inner):
    with contextlib.suppress(queue.Empty, Gone):
        inner.client.wait(97, inner.session[0], timeout=0.1)
        return True
    return inner.client.is_gone.is_set()
