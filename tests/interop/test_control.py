# SPDX-License-Identifier: MIT
"""The control endpoint against clients that break its protocol (S5, S7, docs/PROTOCOL.md): each is
dropped within its limit, and nobody else notices."""
import json
import os
import socket
import stat
import struct
import time

import pytest

from attach_client import Control
from peers import hop, poll, routes_toml, sanitized
from test_prompts import OK, Query, of_kind, scripted  # noqa: F401

HELLO = b'{"ssh_mux":"hello","version":1}\n'


@pytest.fixture
def daemon(make_mux, make_sshd):
    return make_mux(target=make_sshd())


def endpoint(mux):
    (path,) = mux.run_dir.rglob("*.sock")
    return path


class Client:
    def __init__(self, mux):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(10)
        self.s.connect(str(endpoint(mux)))
        self.f = self.s.makefile("rb")
        assert json.loads(self.f.readline())["ssh_mux"] == "hello"

    def send(self, data):
        self.s.sendall(data)

    def line(self):
        return json.loads(self.f.readline())

    def upgrade(self, route="t"):
        self.send(HELLO + json.dumps({"id": 1, "cmd": "proxy", "route": route}).encode() + b"\n")
        assert self.line() == {"id": 1, "ok": True, "upgrade": "frames", "to": route}

    def is_dropped(self, timeout=10):
        """Reads to the end; what was said before it."""
        self.s.settimeout(timeout)
        said = b""
        try:
            while True:
                data = self.f.read1(65536)
                if not data:
                    return said
                said += data
        except ConnectionResetError:
            return said


def frame(kind, payload):
    return struct.pack(">IB", len(payload) + 1, kind) + payload


def test_S5_endpoint_is_ours_alone(daemon):
    path = endpoint(daemon)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.stat().st_uid == os.getuid()


@pytest.mark.parametrize("data", [
    b"garbage\n", b"{}\n", b"\0\n", b'{"ssh_mux":"hello"}\n', b"[1]\n",
    HELLO + b"garbage\n", HELLO + b'{"id":1}\n', HELLO + b'{"cmd":"status"}\n',
    HELLO + b'{"id":1,"id":2,"cmd":"status"}\n', HELLO + b'{"id":1,"cmd":"proxy"}\n',
    HELLO + b'{"id":1,"cmd":' + b"[" * 2000 + b"\n", b"x" * 8192,
])
def test_S7_malformed_is_said_and_dropped(daemon, data):
    client = Client(daemon)
    client.send(data)
    said = client.is_dropped()
    assert json.loads(said.splitlines()[-1])["code"] == "malformed"
    assert daemon.status()["clients"] == []


def test_S7_a_megabyte_without_newline(daemon):
    client = Client(daemon)
    before = daemon.memory()
    try:
        for _ in range(16):
            client.send(b"x" * 65536)
    except OSError:
        pass
    client.is_dropped()
    assert daemon.memory() - before < 8 << 20
    daemon.check_works()


def test_S7_half_a_line_has_thirty_seconds(daemon):
    dripping, silent = Client(daemon), Client(daemon)
    begin = time.monotonic()
    silent.send(HELLO + b'{"id":1,')
    while time.monotonic() - begin < 25:
        dripping.send(b"{")
        time.sleep(2.5)
    dripping.is_dropped(timeout=12)
    silent.is_dropped(timeout=12)
    assert 25 < time.monotonic() - begin < 40
    daemon.check_works()


@pytest.mark.parametrize("half", [struct.pack(">IB", 5000, 0x80) + b"half",
                                  struct.pack(">IB", 5000, 1) + b"\0", b"\0\0"])
def test_S7_half_a_frame_has_thirty_seconds(daemon, half):
    """Of a client that has logged in, which no other limit ends."""
    def silence(_):
        time.sleep(0.1)
        raise socket.timeout

    with Control(daemon) as client:
        assert client.ask(cmd="connect", route="t")["ok"]
        client.ssh().auth_none("t")
        client.recv = silence  # paramiko hears nothing more, and answers nothing
        begin = time.monotonic()
        client.sock.sendall(half)
        client.sock.settimeout(60)
        while client.sock.recv(65536):
            pass
        assert 25 < time.monotonic() - begin < 40
    assert "no request for too long" in daemon.log()
    daemon.check_works()


def test_S7_whole_frames_have_no_limit(daemon):
    client = Client(daemon)
    client.upgrade()
    client.send(frame(0x80, b"to be skipped"))
    time.sleep(2)
    assert len(daemon.status()["clients"]) == 1


@pytest.mark.parametrize("data", [
    struct.pack(">I", 0), struct.pack(">IB", 65537, 1), struct.pack(">IB", 0xFFFFFFFF, 1),
    frame(0x7F, b""), frame(0x11, b"\0\0"), frame(2, b"") + frame(1, b"after the end"),
])
def test_S7_bad_frames_are_dropped(daemon, data):
    client = Client(daemon)
    client.upgrade()
    client.send(data)
    client.is_dropped()
    daemon.check_works()
    assert daemon.status()["clients"] == []


def test_S7_answers_to_nothing_are_ignored(daemon):
    client = Client(daemon)
    client.upgrade()
    client.send(frame(0x11, struct.pack(">IB", 7, 0) + b"secret"))
    time.sleep(0.5)
    assert len(daemon.status()["clients"]) == 1


@pytest.mark.parametrize("answer", [b"12\x003", b"1" * 2000])
def test_A6_an_answer_that_is_no_text_goes_nowhere(make_mux, scripted, answer):  # noqa: F811
    """Cut at the NUL, or at what there is room for, it would be another one."""
    server = scripted(rounds=[Query("", "", ("Code: ", False)), OK])
    mux = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts())
    client = Client(mux)
    client.send(HELLO + b'{"id":1,"cmd":"login","route":"t","asks":"terminal"}\n')
    assert client.line()["ok"]
    length, kind = struct.unpack(">IB", client.f.read(5))
    assert kind == 0x10
    number = client.f.read(length - 1)[:4]
    client.send(frame(0x11, number + b"\0" + answer))
    client.is_dropped()
    assert not of_kind(server, "answers") and "permission denied" in mux.log()


def test_S7_too_many_clients_are_told(daemon):
    clients = [Client(daemon) for _ in range(32)]
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(str(endpoint(daemon)))
    assert json.loads(s.makefile("rb").readline())["code"] == "busy"
    for client in clients:
        client.f.close()
        client.s.close()
    time.sleep(0.5)
    assert daemon.status()["pid"]
    daemon.check_works()


def test_S7_a_client_that_reads_nothing_harms_nobody(daemon):
    client = Client(daemon)
    client.send(HELLO)
    try:
        client.s.settimeout(3)
        for n in range(20000):
            client.send(json.dumps({"id": n, "cmd": "status"}).encode() + b"\n")
    except (OSError, socket.timeout):
        pass
    daemon.check_works()
    assert daemon.memory() < 300 << 20


def test_B5_attached_clients_do_not_use_up_the_commands(daemon):
    clients = [Client(daemon) for _ in range(30)]
    for client in clients:
        client.upgrade()
    more = [Client(daemon) for _ in range(20)]
    assert len(daemon.status()["clients"]) == 30
    assert more


def test_S7_many_requests_at_once_delay_nobody(make_mux, make_sshd):
    """Requests that come in one piece are answered one after the other, everybody else in
    between."""
    target = make_sshd()
    mux = make_mux(routes=routes_toml({f"r{n}": hop(target) for n in range(600)}),
                   known_hosts=target.known_hosts())
    c, other = Client(mux), Client(mux)
    other.send(HELLO)
    many = 150
    before = mux.memory()
    c.send(HELLO + b"".join(b'{"id":%d,"cmd":"status"}\n' % n for n in range(many)))
    time.sleep(0.1)
    since = time.monotonic()
    other.send(b'{"id":7,"cmd":"unlock"}\n')
    assert other.line() == {"id": 7, "ok": True}
    assert time.monotonic() - since < 2
    # Some 100 KB each; of those that nobody reads there is one. (AddressSanitizer keeps what is freed.)
    assert sanitized() or mux.memory() - before < 6 << 20
    # All are answered, in their order.
    ends = []
    while len(ends) < many:
        line = c.line()
        if "more" not in line:
            ends.append(line)
    assert ends == [{"id": n, "ok": True} for n in range(many)]


def test_S7_unread_answer_does_not_hold_up_the_end(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(routes=routes_toml({f"r{n}": hop(target) for n in range(2000)}),
                   known_hosts=target.known_hosts())
    c = Client(mux)
    c.send(HELLO + b'{"id":1,"cmd":"status"}\n' * 3)
    poll(lambda: len(c.s.recv(1, socket.MSG_PEEK)) == 1, 10, "the first answer begins")
    since = time.monotonic()
    mux.stop()
    assert time.monotonic() - since < 8
