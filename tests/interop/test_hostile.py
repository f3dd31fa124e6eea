# SPDX-License-Identifier: MIT
"""Peers that break the rules (N1 to N11): each is refused, and hurts nobody else."""
import contextlib
import os
import socket
import struct
import subprocess
import threading
import time

import paramiko
import pytest
from paramiko.message import Message

from peers import poll, routes_toml
from pyssh import Client, Server, message


def packet(payload):
    """A plaintext packet (RFC 4253 section 6)."""
    padding = 8 - (5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


def kexinit(strict=True, role="c"):
    """A KEXINIT that agrees with any modern peer."""
    kex = "curve25519-sha256" + (f",kex-strict-{role}-v00@openssh.com" if strict else "")
    lists = [kex, "ssh-ed25519", "aes128-ctr", "aes128-ctr", "hmac-sha2-256", "hmac-sha2-256",
             "none", "none", "", ""]  # fmt: skip
    out = b"\x14" + os.urandom(16)
    for text in lists:
        out += struct.pack(">I", len(text)) + text.encode()
    return out + b"\x00" + bytes(4)


def read_all(sock, timeout=15):
    """Everything until the peer hangs up."""
    sock.settimeout(timeout)
    out = b""
    try:
        while data := sock.recv(65536):
            out += data
    except ConnectionResetError:
        pass
    return out


def read_packet(sock):
    """One plaintext packet's payload."""

    def exactly(n):
        out = b""
        while len(out) < n:
            piece = sock.recv(n - len(out))
            assert piece, "hung up"
            out += piece
        return out

    length, padding = struct.unpack(">IB", exactly(5))
    return exactly(length - 1)[: length - 1 - padding]


def greet(port):
    """Connected, identification strings exchanged."""
    s = socket.create_connection(("127.0.0.1", port), timeout=15)
    line = b""
    while not line.endswith(b"\n"):
        byte = s.recv(1)
        assert byte
        line += byte
    assert line.startswith(b"SSH-2.0-")
    s.sendall(b"SSH-2.0-test\r\n")
    return s


@pytest.fixture(autouse=True)
def others_live(mux):
    """A session of somebody else runs through every test and goes on after it."""
    other = mux.start_ssh("t", "cat")
    other.stdin.write(b"before\n")
    other.stdin.flush()
    assert other.stdout.readline() == b"before\n"
    yield
    out, err = other.communicate(b"after\n", timeout=20)
    assert (out, other.returncode) == (b"after\n", 0), err


@pytest.fixture
def stranger(mux, cleanup):
    """A client after the key exchange, before authentication."""
    return cleanup(Client(mux.port, auth=False))


@pytest.fixture
def client(mux, cleanup):
    return cleanup(Client(mux.port, mux.local_key))


# ---- before authentication ----


@pytest.mark.core
@pytest.mark.parametrize("number", [80, 81, 82, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100])
def test_N1_connection_messages_before_auth(mux, stranger, number):
    if number == 80:
        stranger.send(80, "keepalive@openssh.com", True)
    elif number == 90:
        stranger.send(90, "session", 0, 1 << 20, 32768)
    elif number == 98:
        stranger.send(98, 0, "exec", True, "id")
    else:
        stranger.send(number, 0, 0, 0, 0)
    stranger.wait_gone()
    assert not [c for c in mux.status()["clients"] if c["route"] not in ("t",)]


@pytest.mark.core
@pytest.mark.parametrize("number", [51, 52, 53, 60, 61, 63])
def test_N1_server_auth_messages_from_a_client(mux, stranger, number):
    """A SUCCESS said by the client (as the libssh flaw of 2018) opens nothing."""
    fields = {51: ("publickey", False), 52: (), 53: ("hello", ""), 60: ("x", b"y"), 61: (0,), 63: ()}
    stranger.send(5, "ssh-userauth")
    stranger.send(number, *fields[number])
    try:
        stranger.send(90, "session", 0, 1 << 20, 32768)
        stranger.wait_gone()
    except (OSError, EOFError, paramiko.SSHException):
        pass
    assert not stranger.transport.is_active()


def signed_request(transport, key, user, blob_key=None, signed_user=None, service="ssh-connection",
                   algorithm="ssh-ed25519"):
    """A publickey request; the parts that may lie are parameters."""
    blob = (blob_key or key).asbytes()
    m = Message()
    m.add_string(transport.session_id)
    body = [50, signed_user or user, service, "publickey", True, algorithm, blob]
    m.add_bytes(message(*body).asbytes())
    signature = key.sign_ssh_data(m.asbytes()).asbytes()
    out = message(50, user, service, "publickey", True, algorithm, blob)
    out.add_string(signature)
    return out


class AuthWatch:
    """Answers to hand-made authentication requests."""

    def __init__(self, client):
        self.answers = []
        self.changed = threading.Condition()
        t = client.transport
        self.transport = t
        for number in (6, 51, 52, 53, 60):
            t._handler_table = {**t._handler_table, number: self.take(number)}
        self.send(message(5, "ssh-userauth"))
        self.wait(6)

    def take(self, number):
        def handler(*args):
            with self.changed:
                self.answers.append(number)
                self.changed.notify_all()

        return handler

    def send(self, m):
        self.transport._send_message(m)

    def wait(self, *numbers, timeout=15):
        """The next answer among numbers, or None when the connection ended."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while True:
                hits = [a for a in self.answers if a in numbers]
                if hits:
                    self.answers.remove(hits[0])
                    return hits[0]
                if not self.transport.is_active():
                    return None
                assert time.monotonic() < deadline, "no answer"
                self.changed.wait(0.1)


def key_of(path):
    return paramiko.Ed25519Key.from_private_key_file(str(path))


@pytest.mark.core
def test_N3_signature_by_another_key(mux, stranger, keys):
    """The authorised key's blob with a stranger's signature."""
    watch = AuthWatch(stranger)
    wrong = key_of(keys.make("stranger"))
    watch.send(signed_request(stranger.transport, wrong, "t", blob_key=key_of(mux.local_key)))
    assert watch.wait(51, 52) in (51, None)
    # The stranger's own key, honestly signed.
    if stranger.transport.is_active():
        watch.send(signed_request(stranger.transport, wrong, "t"))
        assert watch.wait(51, 52) in (51, None)


@pytest.mark.core
def test_N3_signature_for_another_user(mux, stranger):
    watch = AuthWatch(stranger)
    key = key_of(mux.local_key)
    watch.send(signed_request(stranger.transport, key, "loop", signed_user="t"))
    assert watch.wait(51, 52) in (51, None)


def test_N3_signature_over_another_service(mux, stranger):
    watch = AuthWatch(stranger)
    key = key_of(mux.local_key)
    watch.send(signed_request(stranger.transport, key, "t", service="ssh-other"))
    assert watch.wait(51, 52) in (51, None)


def test_N3_signature_algorithm_must_fit_the_key(mux, stranger):
    watch = AuthWatch(stranger)
    key = key_of(mux.local_key)
    watch.send(signed_request(stranger.transport, key, "t", algorithm="rsa-sha2-256"))
    assert watch.wait(51, 52) in (51, None)


@pytest.mark.core
def test_N3_user_name_changed_mid_auth(mux, stranger):
    """Asked as one route, signed as another: the state of the first is not kept."""
    watch = AuthWatch(stranger)
    key = key_of(mux.local_key)
    watch.send(message(50, "loop", "ssh-connection", "publickey", False, "ssh-ed25519",
                       key.asbytes()))
    assert watch.wait(60, 51) == 60
    watch.send(signed_request(stranger.transport, key, "d"))
    if watch.wait(51, 52) != 52:
        return
    stranger.record()
    stranger.open(0)
    stranger.opened(0)
    routes = sorted(c["route"] for c in mux.status()["clients"])
    assert routes == ["d", "t"], routes


def test_N3_a_query_is_no_login(mux, stranger):
    watch = AuthWatch(stranger)
    watch.send(message(50, "t", "ssh-connection", "publickey", False, "ssh-ed25519",
                       key_of(mux.local_key).asbytes()))
    assert watch.wait(60, 51, 52) == 60
    stranger.send(90, "session", 0, 1 << 20, 32768)
    stranger.wait_gone()


@pytest.mark.core
def test_L2_password_is_rejected_always(mux, stranger):
    watch = AuthWatch(stranger)
    for body in (
        (50, "t", "ssh-connection", "password", False, "secret"),
        (50, "t", "ssh-connection", "keyboard-interactive", "", ""),
        (50, "t", "ssh-connection", "none"),
        (50, "t", "ssh-connection", "hostbased", "ssh-ed25519", b"x", "h", "u", b"s"),
    ):
        watch.send(message(*body))
        assert watch.wait(51, 52, 60) == 51


def test_L2_a_client_that_asks_for_the_service_again(mux, keys):
    """L2: paramiko does, before each key; the wrong ones don't keep the right one out."""
    transport = paramiko.Transport(("127.0.0.1", mux.port))
    try:
        transport.start_client(timeout=20)
        for name in ("nobody1", "nobody2"):
            with pytest.raises(paramiko.AuthenticationException):
                transport.auth_publickey("t", key_of(keys.make(name)))
        transport.auth_publickey("t", key_of(keys.make("local")))
        assert transport.is_authenticated()
    finally:
        transport.close()


def test_L2_guessing_has_an_end(mux, stranger):
    watch = AuthWatch(stranger)
    for _ in range(200):
        try:
            watch.send(message(50, "t", "ssh-connection", "password", False, "guess"))
        except (OSError, EOFError):
            return
        if watch.wait(51, 52) is None:
            return
    raise AssertionError("two hundred guesses, and it still answers")


# ---- the first key exchange ----


@pytest.mark.core
@pytest.mark.parametrize("extra", [b"\x02\x00\x00\x00\x00", b"\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00",
                                   b"\x03\x00\x00\x00\x00"],
                         ids=["IGNORE", "DEBUG", "UNIMPLEMENTED"])  # fmt: skip
def test_N2_strict_kex_server(mux, extra):
    """Anything unexpected in the first key exchange ends it (the Terrapin attack)."""
    with greet(mux.port) as s:
        s.sendall(packet(kexinit()) + packet(extra))
        # A real key-exchange message after it must not be answered.
        s.sendall(packet(b"\x1e" + struct.pack(">I", 32) + os.urandom(32)))
        data = read_all(s)
        assert b"\x1f\x00\x00\x00" not in data[-400:] or len(data) < 1200
    with greet(mux.port) as s:
        s.sendall(packet(extra) + packet(kexinit()))
        s.sendall(packet(b"\x1e" + struct.pack(">I", 32) + os.urandom(32)))
        read_all(s)


def test_N2_strict_kex_client(mux, make_mux, keys):
    """A server that says strict and sends IGNORE in between: no login is tried."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    ended = []

    def serve():
        s, _ = listener.accept()
        with s:
            s.settimeout(15)
            s.sendall(b"SSH-2.0-test\r\n")
            while s.recv(1) != b"\n":
                pass
            s.sendall(packet(kexinit(role="s")) + packet(b"\x02\x00\x00\x00\x00"))
            ended.append(read_all(s))

    threading.Thread(target=serve, daemon=True).start()
    other = make_mux(
        routes=routes_toml({"t": dict(host="127.0.0.1", port=port, user="u")}),
        known_hosts=f"[127.0.0.1]:{port} {keys.public(keys.make('host_scripted')).strip()}\n",
    )
    done = other.ssh("t", "true", timeout=30)
    assert done.returncode == 255 and b"open failed" in done.stderr
    poll(lambda: ended, 10)
    listener.close()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"SSH-1.5-old\r\n",
        b"SSH-2.0-" + b"x" * 8200,
        b"\x00" * 300,
        b"SSH-2.0-ok\r\n" + b"\xff" * 64,
        b"SSH-2.0-ok\r\n" + struct.pack(">IB", 0, 0) + b"\x14" * 40,
        b"SSH-2.0-ok\r\n" + struct.pack(">IB", 12, 255) + b"\x14" * 40,
        b"SSH-2.0-ok\r\n" + struct.pack(">IB", 1 << 28, 4) + b"\x14" * 4000,
        b"SSH-2.0-ok\r\n" + packet(b"\x14" + b"\xff" * 200),
        b"SSH-2.0-ok\r\n" + packet(b""),
        b"SSH-2.0-ok\r\n" + packet(kexinit() + b"trailing"),
        b"SSH-2.0-ok\r\n" + packet(kexinit()) + packet(b"\x1e" + struct.pack(">I", 1 << 30)),
        b"SSH-2.0-ok\r\n" + packet(kexinit()) + packet(b"\x1e" + struct.pack(">I", 32) + bytes(32)),
        b"SSH-2.0-ok\r\n" + packet(kexinit()) + packet(b"\x1e" + struct.pack(">I", 31) + bytes(31)),
        b"SSH-2.0-ok\r\n" + packet(kexinit()) + packet(b"\x15"),
    ],
    ids=[
        "http", "ssh1", "long-ident", "zeros", "length-4g", "length-0", "padding-255",
        "length-256m", "kexinit-lengths", "empty-payload", "kexinit-trailing", "point-length-1g",
        "point-zero", "point-short", "newkeys-early",
    ],
)  # fmt: skip
def test_N9_garbage_ends_at_once(mux, data):
    before = mux.memory()
    with socket.create_connection(("127.0.0.1", mux.port), timeout=15) as s:
        s.sendall(data)
        read_all(s)
    assert mux.memory() - before < 4 << 20


def test_N9_silent_strangers_are_dropped(mux):
    """Connections that say nothing are bounded in number, the oldest go for the newest, and they
    cost little. All of them are our own user's here: CLIENTS_UNAUTH_MAX."""
    before = mux.memory()
    idle = [socket.create_connection(("127.0.0.1", mux.port), 20) for _ in range(300)]
    for s in idle[:44]:
        assert read_all(s).startswith(b"SSH-2.0-")  # to its end
    assert mux.memory() - before < 64 << 20
    mux.check_works("d")
    for s in idle[-200:]:
        s.setblocking(False)
        assert s.recv(8192).startswith(b"SSH-2.0-")
        with pytest.raises(BlockingIOError):
            s.recv(1)
    for s in idle:
        s.close()


def test_N8_mac_failure(mux, client):
    """A flipped bit in an encrypted packet: nothing of it is acted on."""
    client.open(0)
    theirs = client.opened(0)
    out = os.urandom(8).hex()
    mark = mux.dir / out
    m = message(98, theirs, "exec", True, f"touch {mark}")
    sent = []
    real = client.sock.send

    class Flip:
        def __getattr__(self, name):
            return getattr(client.sock, name)

        def send(self, data):
            sent.append(len(data))
            return real(data[:-1] + bytes([data[-1] ^ 1]))

    client.transport.packetizer._Packetizer__socket = Flip()
    client.transport._send_message(m)
    client.wait_gone()
    assert sent and not mark.exists()


# ---- channels ----


@pytest.mark.core
@pytest.mark.parametrize("number, fields", [
    (93, (100,)), (94, (b"data",)), (95, (1, b"data")), (96, ()), (97, ()),
    (98, ("exec", True, "id")), (99, ()), (100, ()), (91, (0, 1000, 1000)), (92, (1, "", "")),
])  # fmt: skip
def test_N5_channel_that_is_not_ours(mux, client, number, fields):
    """Whatever number it names: no other client's channel hears of it (others_live), and it costs
    the client itself nothing either (U2)."""
    for channel in (0, 1, 2, 77, 0xFFFFFFFF):
        client.send(number, channel, *fields)
    client.open(0)
    theirs = client.opened(0)
    client.request(theirs, "exec", True, "echo mine")
    client.wait(97, 0)
    assert client.data(0) == b"mine\n"


def test_N6_more_data_than_the_window(mux, client):
    client.open(0)
    theirs = client.opened(0)
    client.request(theirs, "exec", True, "sleep 3")
    client.wait(99, 0)
    client.open(1)
    beside = client.opened(1)
    client.request(beside, "exec", True, "cat")
    client.wait(99, 1)
    before = mux.memory()
    piece = b"w" * 32000
    for _ in range(2000):
        client.send(94, theirs, piece)
    client.wait(97, 0)  # U2: this channel, and nothing else
    client.send(94, beside, b"still here")
    poll(lambda: client.data(1) == b"still here", 10)
    assert mux.memory() - before < 40 << 20


def test_N6_packet_larger_than_agreed(mux, client):
    client.open(0)
    m = client.wait(91, 0)
    theirs, _window, maximum = m.get_int(), m.get_int(), m.get_int()
    client.request(theirs, "exec", True, "wc -c")
    client.wait(99, 0)
    client.send(94, theirs, b"p" * (maximum + 1))
    client.send(96, theirs)
    client.wait(97, 0)
    assert client.data(0).split() == [b"%d" % (maximum + 1)]  # U2: in pieces that fit


def test_N6_window_overflow(mux, client):
    """U2: it is as wide as it can be, and not narrow."""
    client.open(0, window=0xFFFFFFFF)
    theirs = client.opened(0)
    client.send(93, theirs, 0xFFFFFFFF)
    client.send(93, theirs, 0xFFFFFFFF)
    client.request(theirs, "exec", True, "head -c 3000000 /dev/zero")
    client.wait(97, 0)
    assert len(client.data(0)) == 3000000


def test_N5_data_after_eof(mux, client):
    client.open(0)
    theirs = client.opened(0)
    client.request(theirs, "exec", True, "cat")
    client.wait(99, 0)
    client.send(96, theirs)
    client.send(94, theirs, b"too late")
    client.send(96, theirs)
    # Either it is dropped for it, or the data is not delivered.
    poll(lambda: not client.transport.is_active() or [1 for n, c, _ in client.received if n == 97], 10)
    assert client.data(0) == b""


def test_N5_after_close(mux, client):
    client.open(0)
    theirs = client.opened(0)
    client.send(97, theirs)
    client.wait(97, 0)
    client.send(97, theirs)
    client.open(1)  # U2: it is ignored
    client.opened(1)


def test_N5_opens_without_end(mux, client):
    """Channels of one client are bounded; the refusal is a proper one."""
    for n in range(3000):
        if not client.transport.is_active():
            break
        try:
            client.open(n)
        except (OSError, EOFError):
            break
    poll(lambda: not client.transport.is_active()
         or len([1 for n, _, _ in client.received if n in (91, 92)]) == 3000, 60)  # fmt: skip
    if client.transport.is_active():
        assert [1 for n, _, _ in client.received if n == 92], "no limit on channels"
    client.stop()
    poll(lambda: mux.open_channels() <= 1, 30, "the channels to be given back")


@pytest.mark.parametrize("kind", ["forwarded-tcpip", "x11", "auth-agent@openssh.com",
                                  "tun@openssh.com", "made-up", "", "session\0", "k" * 5000],
                         ids=["forwarded", "x11", "agent", "tun", "made-up", "empty", "nul", "long"])
def test_N5_open_kinds_of_a_client(mux, client, kind):
    """L7: what is not relayed is prohibited (1), what nobody knows is unknown (3); of what is longer
    than a name may be (RFC 4250) no more is asked than that it is refused."""
    known = ("forwarded-tcpip", "x11", "auth-agent@openssh.com", "tun@openssh.com")
    client.open(0, kind, "127.0.0.1", 1, "127.0.0.1", 1)
    try:
        reason = client.wait(92, 0).get_int()
        client.open(1)
        client.opened(1)
    except AssertionError:
        assert not client.transport.is_active() and (kind == "" or not kind.isprintable()
                                                     or len(kind) > 64)
    else:
        assert len(kind) > 64 or reason == (1 if kind in known else 3)


def test_N4_global_requests_stay_here(mux, client):
    """Each is answered once, in order, by us."""
    for name in ("no-more-sessions@openssh.com", "hostkeys-00@openssh.com", "tcpip-forward",
                 "keepalive@openssh.com", "made-up@example.com"):
        rest = ("127.0.0.1", 0) if name == "tcpip-forward" else ()
        client.send(80, name, True, *rest)
    poll(lambda: len([n for n, _, _ in client.received if n in (81, 82)]) == 5, 10)
    mux.check_works("t")


# ---- races of messages ----


def test_P6_close_races_replies(mux, client):
    """Requests with want-reply and the close right behind them, many times over."""
    for n in range(100):
        client.open(n)
    for n in range(100):
        theirs = client.opened(n)
        client.request(theirs, "exec", True, "true")
        client.request(theirs, "env", True, "LANG", "C")
        client.send(97, theirs)
    for n in range(100):
        client.wait(97, n)
    poll(lambda: mux.open_channels() <= 1, 15, "the channels to be given back")


def test_P6_leave_with_opens_pending(mux, cleanup):
    """Opens are on their way when the connection is cut."""
    for _ in range(10):
        c = Client(mux.port, mux.local_key)
        for n in range(20):
            c.open(n)
        c.sock.shutdown(socket.SHUT_RDWR)
        c.stop()
    poll(lambda: mux.open_channels() <= 1, 15, "the channels to be given back")
    mux.check_works("t")


def test_P6_eof_close_with_data_in_flight(mux, cleanup):
    for _ in range(20):
        c = Client(mux.port, mux.local_key)
        c.open(0)
        theirs = c.opened(0)
        c.request(theirs, "exec", True, "cat; cat /dev/zero")
        c.wait(99, 0)
        c.send(94, theirs, b"x" * 30000)
        c.send(96, theirs)
        c.send(97, theirs)
        c.stop()
    poll(lambda: mux.open_channels() <= 1, 15, "the channels to be given back")


def test_P6_data_that_waits_keeps_no_broken_channel(mux, client):
    """A session without a command has no window: what is sent waits. When its client then breaks a
    rule of the channel, the remote's goes too, though the client stays."""
    before = mux.open_channels()
    for ours in range(3):
        client.open(ours)
        theirs = client.opened(ours)
        client.send(94, theirs, b"waits")
        client.transport._send_message(Message(message(98, theirs).asbytes()))
        client.wait(97, ours)
        client.send(97, theirs)
    poll(lambda: sum(c["channels"] for c in mux.status()["connections"] if " via " in c["key"])
         == before, 10, "the remote's channels to be given back")
    assert client.transport.is_active()


# ---- servers ----


@pytest.fixture
def scripted(make_mux, keys, cleanup):
    def make(handler=None, **kw):
        server = cleanup(Server(keys.make("host_scripted"), handler, **kw))
        other = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts())
        return server, other

    return make


def in_thread(*calls):
    """Runs them in order, until the connection is gone."""

    def run():
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            for call in calls:
                call()

    threading.Thread(target=run, daemon=True).start()


@pytest.mark.parametrize("kind", ["forwarded-tcpip", "x11", "auth-agent@openssh.com", "session"])
def test_N7_upstream_opens_are_refused(scripted, kind):
    refused = threading.Event()

    def handler(server, channel, name, m):
        if name == "exec":
            t = channel.transport
            t._handler_table = dict(t._handler_table)
            t._handler_table[92] = lambda *a: refused.set()
            in_thread(
                lambda: t._send_user_message(
                    message(90, kind, 4242, 1 << 20, 32768, "127.0.0.1", 1, "127.0.0.1", 1)),
                lambda: refused.wait(10),
                lambda: server.send(channel, 94, b"refused" if refused.is_set() else b"no answer"),
                lambda: server.send(channel, 98, "exit-status", False, 0),
                lambda: server.send(channel, 97),
            )  # fmt: skip
        return True

    server, mux = scripted(handler)
    done = mux.ssh("t", "x")
    assert done.stdout == b"refused", mux.log()[-2000:]


def test_N4_upstream_global_requests_stay_here(scripted, keys, cleanup):
    """hostkeys-00 and strangers of the remote never reach a local client."""
    answered = []

    def handler(server, channel, name, m):
        if name == "exec":
            t = channel.transport
            t._handler_table = dict(t._handler_table)
            t._handler_table[81] = lambda *a: answered.append(81)
            t._handler_table[82] = lambda *a: answered.append(82)
            in_thread(
                lambda: t._send_user_message(message(80, "hostkeys-00@openssh.com", False, b"k")),
                lambda: t._send_user_message(message(80, "keepalive@openssh.com", True)),
                lambda: t._send_user_message(message(80, "made-up@example.com", True)),
                lambda: poll(lambda: len(answered) == 2),
                lambda: server.send(channel, 97),
            )
        return True

    server, mux = scripted(handler)
    c = cleanup(Client(mux.port, mux.local_key))
    c.open(0)
    theirs = c.opened(0)
    c.request(theirs, "exec", True, "x")
    c.wait(97, 0)
    names = []
    for n, _, m in c.received:
        if n == 80:
            m.rewind()
            names.append(m.get_text())
    assert not [n for n in names if n != "keepalive@openssh.com"], names


@pytest.mark.parametrize("trick", ["unknown", "overrun", "open-success", "reply", "adjust", "close-twice"])
def test_N5_confused_server(scripted, trick):
    """It hurts its own channel at most (U2; test_slips.py has all the ways); the next call works."""
    done_it = []

    def handler(server, channel, name, m):
        if name != "exec":
            return True
        if done_it:
            in_thread(lambda: server.send(channel, 94, b"fine"),
                      lambda: server.send(channel, 98, "exit-status", False, 0),
                      lambda: server.send(channel, 97))
            return True
        done_it.append(1)
        t = channel.transport

        def send(number, *fields):
            in_thread(lambda: t._send_user_message(message(number, *fields)))

        remote = channel.remote_chanid
        if trick == "unknown":
            send(94, 31337, b"data")
        elif trick == "overrun":
            in_thread(*[lambda: server.send(channel, 94, b"o" * 32000) for _ in range(3000)])
        elif trick == "open-success":
            send(91, remote, 5, 1000, 1000)
        elif trick == "reply":
            in_thread(*[lambda: server.send(channel, 99) for _ in range(5)])
        elif trick == "adjust":
            in_thread(*[lambda: server.send(channel, 93, 0xFFFFFFFF) for _ in range(3)])
        elif trick == "close-twice":
            in_thread(lambda: server.send(channel, 97), lambda: server.send(channel, 97))
        return True

    server, mux = scripted(handler)
    first = mux.start_ssh("t", "x", stdin=subprocess.DEVNULL)
    poll(lambda: done_it, 20)
    second = mux.ssh("t", "x")
    assert (second.stdout, second.returncode) == (b"fine", 0), mux.log()[-2000:]
    assert len(server.requests("exec")) == 2 and len(server.transports) == 1
    if trick not in ("overrun", "close-twice"):
        first.kill()
    _, err = first.communicate(timeout=40)
    assert first.returncode != 0 and (trick != "overrun" or b"broke the protocol" in err)


def test_N9_endless_banner_of_a_server(make_mux, keys):
    """Lines before the identification string, without end: given up, memory bounded."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve():
        s, _ = listener.accept()
        with s:
            try:
                while True:
                    s.sendall(b"welcome to nowhere\r\n" * 1000)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    mux = make_mux(routes=routes_toml({"t": dict(host="127.0.0.1", port=port, user="u")}))
    before = mux.memory()
    done = mux.ssh("t", "true", timeout=40)
    assert done.returncode == 255
    assert mux.memory() - before < 16 << 20
    listener.close()
