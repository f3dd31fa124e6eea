# SPDX-License-Identifier: MIT
"""The proxy mode of the control sockets (W2): `ssh -O proxy`, whose client speaks SSH's connection
protocol over the socket, without key exchange and cipher. Beside the same calls with a real
ControlMaster, and by hand."""
import contextlib
import os
import socket
import struct
import time

import pytest

import peers
from conftest import Cleanup
from masters import Client, Master, client_config, same, socket_of
from peers import EchoServer, Sshd, hop, listening, poll, routes_toml
from rawpeer import Reader, msg, string
from test_control_door import GREETING, HELLO, message, raw
from test_control_forward import answers, echoed, through_slowly

pytestmark = pytest.mark.core

PROXY = message(0x1000000F, 3)
STARTED = message(0x8000000F, 3)


@pytest.fixture(scope="module")
def both(keys):
    """(client of ssh-mux, client of ssh -M): neither could reach the server by itself."""
    c = Cleanup()
    try:
        sshd = c(Sshd(keys, "target", MaxSessions=100))
        mux = c(peers.Mux(keys, routes=routes_toml({
            "t": hop(sshd, remote_forwards=["localhost:*"], allow_remote_loopback_any_port=True),
            "closed": hop(sshd)}), known_hosts=sshd.known_hosts()))
        master = c(Master(sshd, keys))
        config = client_config(master.dir / "lost", sshd)
        ours, real = (Proxied(config, s) for s in (socket_of(mux), master.sock))
        ours.mux, ours.sshd, ours.closed = mux, sshd, Proxied(config, socket_of(mux, "closed"))
        yield ours, real
        assert mux.alive(), mux.log()[-6000:]
    finally:
        c.run()


class Proxied(Client):
    def argv(self, *args, options=(), **kwargs):
        return super().argv(*args, options=["-O", "proxy", *options], **kwargs)


@pytest.fixture(scope="module")
def server():
    s = EchoServer()
    yield s
    s.stop()


class Guest:
    """A client of the proxy mode whose every message is the test's own."""

    def __init__(self, sock):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(sock))
        self.buffer = b""
        self.socket.sendall(HELLO + PROXY)
        assert self.need(len(GREETING + STARTED)) == GREETING + STARTED

    def need(self, n):
        while len(self.buffer) < n:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError(self.buffer)
            self.buffer += piece
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    @staticmethod
    def packet(payload):
        return struct.pack(">IB", 1 + len(payload), 0) + payload

    def send(self, *payloads):
        self.socket.sendall(b"".join(map(self.packet, payloads)))

    def receive(self):
        n, padding = struct.unpack(">IB", self.need(5))
        assert padding == 0
        return self.need(n - 1)

    def expect(self, *numbers):
        while (got := self.receive())[0] not in numbers:
            assert got[0] in (90, 93, 94, 95, 96, 97, 98), got
        return got

    def open(self, number, kind="session", *specific):
        self.send(msg(90, kind, number, 1 << 20, 32768, *specific))
        return self.expect(91, 92)

    def close(self):
        self.socket.close()


@pytest.mark.remote_tty
def test_W2_ssh_O_proxy_is_as_with_a_real_master(both):
    """Sessions: output, errors, exit status, signals, input, a terminal's, what does not exist."""
    calls = [(["echo out; echo err >&2; exit 7"], {}), (["cat"], {"input": b"x" * 300_000}),
             (["kill -TERM $$"], {}), (["true"], {}),
             (["echo hi; tty | sed 's/[0-9]*$//'"], {"options": ["-tt"]}),
             (["nonsense"], {"options": ["-s"]})]
    for args, how in calls:
        done = [c.ssh(*args, **how) for c in both]
        got = [(d.returncode, len(d.stdout), same(d.stderr)) for d in done]
        assert got[0] == got[1], (args, done)
    assert done[0].returncode == 255


def test_W2_50_MiB_each_way_in_proxy_mode(both, payload, sha256, tmp_path):
    path, digest = payload(50)
    with open(path, "rb") as f, open(tmp_path / "out", "wb") as out:
        assert both[0].ssh("cat", stdin=f, stdout=out, timeout=200).returncode == 0
    assert sha256(tmp_path / "out") == digest


def test_W2_forwards_of_a_client_in_proxy_mode(both, server):
    """-L and -R, as at the local server: by the route's policy, with the client's own ends."""
    ours = both[0]
    here, there = peers.free_port(), peers.free_port()
    to = f"127.0.0.1:{server.port}"
    with ours.start("echo ready; cat", options=["-L", f"{here}:{to}", "-R", f"{there}:{to}"]) as p:
        assert p.stdout.readline() == b"ready\n", p.stderr.read()
        for port in (here, there):
            poll(lambda: listening(port), 20)
            data = os.urandom(500_000)
            assert through_slowly(port, data) == data
        status = ours.mux.status()
        assert [c["pid"] for c in status["clients"]] == [p.pid]
        p.stdin.close()
        assert p.wait(20) == 0
    poll(lambda: not answers(there), 20)
    # L6, L7, B4: what the route does not allow.
    d = ours.closed.ssh("true", options=["-o", "ExitOnForwardFailure=yes", "-R", f"{there}:{to}"])
    assert d.returncode == 255 and b"remote port forwarding failed" in d.stderr, d
    guest = Guest(ours.closed.sock)
    refused = guest.open(1, "direct-tcpip", "127.0.0.1", server.port, "127.0.0.1", 1)
    assert refused[0] == 92 and Reader(refused, 5).u32() == 1, refused
    assert b"allow_remote_loopback_any_port" in refused
    assert guest.open(2)[0] == 91  # and the connection lives on
    guest.close()


def test_U1_what_does_not_parse_costs_its_sender_alone(both):
    """A channel for a request, the client's own connection for a message; nothing of it reaches
    the server, and others go on."""
    ours = both[0]
    with ours.start("cat") as other:
        other.stdin.write(b"1\n")
        other.stdin.flush()
        assert other.stdout.readline() == b"1\n"
        logins = ours.sshd.logins()
        # Each on a channel of its own: too little, too much, a NUL, two commands.
        for request in (msg(98, 0, "exec", True), msg(98, 0, "exec", True, "echo", bytearray(b"\0")),
                        msg(98, 0, "exec", True, "ec\0ho"), msg(98, 0, "env", True, "LANG")):
            guest = Guest(ours.sock)
            opened = guest.open(0)
            at = Reader(opened, 5).u32()
            guest.send(request[:1] + struct.pack(">I", at) + request[5:])
            with contextlib.suppress(EOFError):
                assert guest.expect(97, 100)[0] in (97, 100)
            assert guest.open(7)[0] == 91, "the client's connection is whole"
            guest.close()
        bad = [b"\0\0\0\0", b"\0\0\0\1\0", b"\0\0\0\2\5\x5a", b"\xff\xff\xff\xff\0", b"\0\4\0\1\0",
               Guest.packet(msg(91)), Guest.packet(msg(90, "session")), Guest.packet(msg(94)),
               b"GET / HTTP/1.0\r\n\r\n", os.urandom(4000)]
        for data in bad:
            with contextlib.suppress(ConnectionError):
                guest = Guest(ours.sock)
                guest.socket.sendall(data)
                guest.socket.shutdown(socket.SHUT_WR)
                while guest.socket.recv(65536):
                    pass
            guest.close()
        # Neither key exchange nor login has a place here: answered, and without effect.
        guest = Guest(ours.sock)
        guest.send(msg(20, bytearray(16 + 45)), msg(5, "ssh-userauth"), msg(50, "root", "x", "none"),
                   msg(21), msg(2, "ignored"))
        assert [guest.receive()[0] for _ in range(3)] == [3, 3, 3]
        assert guest.open(1)[0] == 91
        guest.close()
        # A descriptor has no business here.
        guest = Guest(ours.sock)
        with open(os.devnull, "rb") as f:
            socket.send_fds(guest.socket, [b"\0"], [f.fileno()])
        with contextlib.suppress(ConnectionError):
            guest.send(msg(90, "session", 1, 1 << 20, 32768))
        with contextlib.suppress(ConnectionError):
            assert guest.socket.recv(100) == b""
        guest.close()
        other.stdin.write(b"2\n")
        other.stdin.close()
        assert other.stdout.read() == b"2\n" and other.wait(20) == 0
    assert ours.sshd.logins() == logins
    poll(lambda: not ours.mux.status()["clients"], 20, "nobody is left")


def test_W2_global_requests_in_proxy_mode(both):
    """Answered here, in their order; and long enough for OpenSSH's client, which takes no packet of
    less than five bytes."""
    guest = Guest(both[0].sock)
    forward = lambda address: bytearray(string(address) + (0).to_bytes(4, "big"))
    guest.send(msg(80, "keepalive@openssh.com", True), msg(80, "tcpip-forward", True, forward("*")),
               msg(80, "tcpip-forward", True, forward("localhost")),
               msg(80, "no-more-sessions@openssh.com", False), msg(80, "nonsense", True))
    got = [guest.expect(81, 82) for _ in range(4)]
    assert [g[0] for g in got] == [82, 82, 81, 82] and min(map(len, got)) == 4
    port = Reader(got[2]).u32()
    poll(lambda: listening(port), 20)
    guest.close()
    poll(lambda: not listening(port), 20)


def test_W2_no_probes_in_proxy_mode(both):
    """A program that knows of channels only is not taken for dead, nor asked."""
    guest = Guest(both[0].sock)
    guest.socket.settimeout(17)
    with pytest.raises(TimeoutError):
        guest.socket.recv(1)
    assert guest.open(1)[0] == 91
    guest.close()


def test_W2_one_thing_per_connection(both):
    """Behind a forward or a session the proxy mode is refused, in words; a refusal is no end."""
    ours = both[0]
    words = (0x10000006, 5, 1, b"127.0.0.1", peers.free_port(), b"127.0.0.1", 1)
    got = raw(ours.sock, HELLO + message(*words) + PROXY + message(0x10000004, 6))
    refusal = message(0x80000002, 3, b"one session per connection to the control socket")
    assert refusal in got and got.endswith(message(0x80000005, 6, ours.mux.pid)), got


def test_P8_locked_in_proxy_mode(make_sshd, make_mux):
    sshd = make_sshd()
    mux = make_mux(sshd)
    guest = Guest(socket_of(mux))
    assert guest.open(1)[0] == 91
    assert mux.control("lock").returncode == 0
    refused = guest.open(2)
    assert refused[0] == 92 and b"locked" in refused
    assert mux.control("unlock").returncode == 0
    assert guest.open(3)[0] == 91
    guest.close()


def test_W1_a_route_that_changes_leads_to_the_account_of_the_socket(make_sshd, make_mux):
    """Another user is another pool entry: who asked for the first is not taken there."""
    sshd = make_sshd()
    mux = make_mux(sshd)
    guest = Guest(socket_of(mux))
    assert guest.open(1)[0] == 91
    mux.routes_path.write_text(routes_toml({"t": dict(hop(sshd), user="nobody")}))
    poll(lambda: "=nobody@" in socket_of(mux).name, 20, "the new socket")
    since = len(mux.log())
    assert guest.open(2)[0] == 91
    assert "logging in to nobody" not in mux.log()[since:]
    guest.close()


def test_W2_a_slow_reader_in_proxy_mode_holds_nobody_up(both):
    ours = both[0]
    guest = Guest(ours.sock)
    at = Reader(guest.open(0), 5).u32()
    guest.send(msg(98, at, "exec", True, "head -c 30000000 /dev/zero"),
               msg(93, at, 1 << 30))
    time.sleep(1)
    assert ours.ssh("echo fine").stdout == b"fine\n"
    n = 0
    while (got := guest.receive())[0] != 97:
        n += len(got) - 9 if got[0] == 94 else 0
    assert n == 30_000_000
    guest.close()


def test_W2_a_stopped_daemon_ends_proxy_mode(make_sshd, make_mux):
    sshd = make_sshd()
    mux = make_mux(sshd)
    client = Proxied(client_config(mux.dir / "lost", sshd), socket_of(mux))
    with client.start("echo ready; cat") as p:
        assert p.stdout.readline() == b"ready\n"
        assert mux.control("stop").returncode == 0
        mux.proc.wait(20)
        assert p.wait(20) == 255
