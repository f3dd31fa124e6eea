# SPDX-License-Identifier: MIT
"""Remote forwards (B4): what a route lets the remote listen at for its clients, and to whom the
channels go that it opens. The connection is shared; a forward is its client's alone."""
import contextlib
import os
import shlex
import socket
import subprocess
import threading
import time

import pytest

import masters
import peers
import rawpeer
from peers import USER, EchoServer, Mux, free_port, hop, listening, poll, routes_toml
from rawpeer import Gone, Reader, msg, string
from test_forward import exchange

FAILED = b"remote port forwarding failed"


class Answerer(EchoServer):
    """Says who it is, and hangs up."""

    def __init__(self, word):
        self.word = word
        super().__init__()

    def echo(self, s):
        with s, contextlib.suppress(OSError):
            s.sendall(self.word)
            s.shutdown(socket.SHUT_WR)
            s.recv(1)


@pytest.fixture(scope="module")
def place(keys):
    import conftest

    c = conftest.Cleanup()
    try:
        target = c(peers.Sshd(keys, "target"))
        directory = peers.short_dir("rf")
        routes = {
            "none": hop(target, forwards=["*:*"], jump_through=True,
                        allow_remote_loopback_any_port=True),
            "any": hop(target, remote_forwards=["localhost:*", f"{directory}/*"]),
            "wide": hop(target, remote_forwards=["*:*"]),
            "high": hop(target, remote_forwards=["65000-65535"]),
        }
        mux = c(Mux(keys, routes=routes_toml(routes), known_hosts=target.known_hosts()))
        mux.target, mux.sockets = target, directory
        mux.echo = c(EchoServer())
        mux.echo.dir = directory
        mux.plain_config = masters.client_config(mux.dir / "plain", target, keys)
        yield mux
        assert mux.alive(), mux.log()[-4000:]
    finally:
        c.run()


@contextlib.contextmanager
def forwarding(mux, route, *options, door="tcp"):
    """`ssh -N -R …`; yields the process and a function that waits for words of its."""
    extra = []
    if door == "proxy":
        command = " ".join(shlex.quote(str(a)) for a in (mux.binary, "proxy", route))
        extra, route = [f"-oProxyCommand={command}"], USER
    log = mux.dir / f"forward-{free_port()}.log"
    with open(log, "wb") as f:
        proc = subprocess.Popen(mux.argv(route, options=["-N", *extra, *options]), env=mux.env,
                                stdin=subprocess.DEVNULL, stdout=f, stderr=f)

    def wait(text):
        poll(lambda: text in log.read_bytes(), 30, f"{text!r} at the client")
        return log.read_bytes()

    try:
        yield proc, wait
    finally:
        proc.kill()
        proc.wait()


def come(port, data=b"hello"):
    """Through a forward that may take a moment to stand."""
    poll(lambda: listening(port), 30, f"the server listens at {port}")
    return exchange(port, data)


@pytest.mark.parametrize("door", ["tcp", "proxy"])
def test_B4_what_comes_there_reaches_the_client(place, door):
    port = free_port()
    with forwarding(place, "any", "-R", f"{port}:127.0.0.1:{place.echo.port}", door=door):
        data = os.urandom(600000)
        assert come(port, data) == data
        assert exchange(port, b"again") == b"again"
    # It ends with its client, and the connection does not.
    poll(lambda: not listening(port), 20, "the forward is gone")
    assert len(place.connections()) == 1


def test_B4_many_at_once_and_both_ways(place):
    port = free_port()
    with forwarding(place, "any", "-R", f"{port}:127.0.0.1:{place.echo.port}"):
        poll(lambda: listening(port), 30, "the server listens")
        got = []

        def one(n):
            data = bytes([n]) * 100000
            got.append(exchange(port, data, timeout=60) == data)

        threads = [threading.Thread(target=one, args=(n,)) for n in range(24)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got == [True] * 24


def test_B4_each_client_gets_its_own(place, cleanup):
    a, b = cleanup(Answerer(b"a")), cleanup(Answerer(b"b"))
    one, two = free_port(), free_port()
    with forwarding(place, "any", "-R", f"{one}:127.0.0.1:{a.port}"), \
            forwarding(place, "any", "-R", f"{two}:127.0.0.1:{b.port}") as (second, _):
        for _ in range(3):
            assert (come(one), come(two)) == (b"a", b"b")
        assert len(place.connections()) == 1
        # The second's end leaves the first alone.
        second.kill()
        poll(lambda: not listening(two), 20, "the second is gone")
        assert come(one) == b"a"


def test_B4_an_address_is_one_clients(place):
    port = free_port()
    to = f"{port}:127.0.0.1:{place.echo.port}"
    with forwarding(place, "any", "-R", to):
        assert come(port) == b"hello"
        done = place.ssh("any", "true", options=["-o", "ExitOnForwardFailure=yes", "-R", to])
        assert done.returncode == 255 and FAILED in done.stderr, done
        assert come(port) == b"hello"


def test_B4_a_port_that_the_server_chooses(place):
    with forwarding(place, "any", "-R", f"127.0.0.1:0:127.0.0.1:{place.echo.port}") as (_, wait):
        port = int(wait(b" for remote forward").split(b"Allocated port ")[1].split()[0])
        assert come(port) == b"hello"
    poll(lambda: not listening(port), 20, "the forward is gone")


def test_B4_sockets_of_the_remote(place):
    path = place.sockets / "s"
    with forwarding(place, "any", "-R", f"{path}:127.0.0.1:{place.echo.port}"):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            # There it is before the server listens at it.
            poll(lambda: s.connect_ex(str(path)) == 0, 30, "the server's socket")
            s.sendall(b"ping")
            assert s.recv(10) == b"ping"


@pytest.mark.parametrize("route, at", [
    ("none", "{port}"), ("none", "/tmp/smx-none-{port}"), ("none", "0"), ("any", "*:{port}"),
    ("any", "127.0.0.2:{port}"), ("any", "/tmp/smx-any-{port}"), ("high", "{low}"), ("high", "0"),
])  # fmt: skip
def test_B4_what_is_not_listed_is_denied_here(place, route, at):
    """By us: the server gives it to plain ssh."""
    port = free_port()
    at = at.format(port=port, low=port if port < 65000 else port - 2000)
    options = ["-o", "ExitOnForwardFailure=yes", "-R", f"{at}:127.0.0.1:{place.echo.port}"]
    since = len(place.log())
    done = place.ssh(route, "true", options=options)
    assert done.returncode == 255 and FAILED in done.stderr, done
    place.wait_log("denied: the route's \"remote_forwards\" do not allow it", since=since)
    plain = subprocess.run([peers.SSH, "-F", str(place.plain_config), *options, "t", "true"],
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert plain.returncode == 0, plain
    with contextlib.suppress(FileNotFoundError):
        os.unlink(at)


def test_B4_any_address(place):
    port = free_port()
    with forwarding(place, "wide", "-R", f"*:{port}:127.0.0.1:{place.echo.port}"):
        assert come(port) == b"hello"


def forward(address, port):
    return bytearray(string(address) + port.to_bytes(4, "big"))


def test_B4_so_many_of_a_client_and_no_more(place):
    """Each is a listener at the server: CLIENT_FORWARDS_MAX."""
    peer = rawpeer.connect(place.port, place.local_key, "any")
    request = msg(80, "tcpip-forward", True, forward("localhost", 0))
    peer.send(*[request] * 129)
    assert [peer.expect(81, 82)[0] for _ in range(129)] == [81] * 128 + [82]
    peer.close()


def test_B4_answers_come_in_the_order_of_the_requests(place):
    peer = rawpeer.connect(place.port, place.local_key, "any")
    no, yes = forward("0.0.0.0", 0), forward("localhost", 0)
    asked = [("keepalive@openssh.com", bytearray(b"")), ("tcpip-forward", yes),
             ("tcpip-forward", no), ("keepalive@openssh.com", bytearray(b"")),
             ("tcpip-forward", yes), ("nonsense", bytearray(b"\0")),
             ("tcpip-forward", forward("localhost", 70000)),
             ("tcpip-forward", bytearray(string("localhost"))),
             ("cancel-tcpip-forward", forward("localhost", 1))]
    peer.send(*[msg(80, kind, True, data) for kind, data in asked])
    answers = [peer.expect(81, 82) for _ in asked]
    assert [a[0] for a in answers] == [82, 81, 82, 82, 81, 82, 82, 82, 82]
    ports = [int.from_bytes(answers[n][1:], "big") for n in (1, 4)]
    assert all(listening(p) for p in ports), ports
    # Cancelled: gone at the server, the other stays, and none is cancelled twice.
    cancel = msg(80, "cancel-tcpip-forward", True, forward("localhost", ports[0]))
    peer.send(cancel, cancel)
    assert [peer.expect(81, 82)[0] for _ in range(2)] == [81, 82]
    poll(lambda: not listening(ports[0]), 20, "it is gone")
    assert listening(ports[1])
    # Given up and asked for again in one breath, as a client that starts anew does.
    again = forward("localhost", ports[1])
    peer.send(msg(80, "cancel-tcpip-forward", True, again), msg(80, "tcpip-forward", True, again))
    assert [peer.expect(81, 82)[0] for _ in range(2)] == [81, 81]
    assert listening(ports[1])
    peer.close()
    poll(lambda: not listening(ports[1]), 20, "the other too")


def test_B4_lost_with_its_connection(make_mux, make_sshd, echo):
    """As with plain ssh, whose connection that is: ssh ends, and says why."""
    target = make_sshd()
    mux = make_mux(target, route={"remote_forwards": ["localhost:*"]})
    port = free_port()
    with forwarding(mux, "t", "-R", f"{port}:127.0.0.1:{echo.port}") as (proc, wait):
        assert come(port) == b"hello"
        for pid in peers.descendants(target.pid):
            peers.kill_quietly(pid)
        assert proc.wait(timeout=30) == 255
        assert f"localhost:{port} is lost".encode() in wait(b"is lost")
    mux.check_works()


def test_P2_a_forward_keeps_its_connection(make_mux, make_sshd, echo):
    target = make_sshd()
    mux = make_mux(target, route={"remote_forwards": ["localhost:*"]}, timeout=1)
    port = free_port()
    with forwarding(mux, "t", "-R", f"{port}:127.0.0.1:{echo.port}"):
        assert come(port) == b"hello"
        first = mux.connections()[0]["id"]
        assert mux.ssh("t", "true").returncode == 0
        time.sleep(4)  # --timeout and then some: what must not happen can't be waited for
        assert [c["id"] for c in mux.connections()] == [first]
        assert exchange(port) == b"hello through the tunnel\n"
    poll(lambda: not mux.connections(), 30, "idle at last")


def test_P8_locked(make_mux, make_sshd, echo):
    target = make_sshd()
    mux = make_mux(target, route={"remote_forwards": ["localhost:*"]})
    port = free_port()
    with forwarding(mux, "t", "-R", f"{port}:127.0.0.1:{echo.port}"):
        assert come(port) == b"hello"
        assert mux.control("lock").returncode == 0
        with contextlib.suppress(ConnectionError):
            assert exchange(port) == b""
        other = rawpeer.connect(mux.port, mux.local_key, "t")
        other.send(msg(80, "tcpip-forward", True, forward("localhost", 0)))
        assert other.expect(81, 82)[0] == 82
        other.close()
        assert mux.control("unlock").returncode == 0
        assert come(port) == b"hello"


def test_B10_taken_back(make_mux, make_sshd, echo):
    target = make_sshd()
    mux = make_mux(target, route={"remote_forwards": ["localhost:*"]})
    port = free_port()
    with forwarding(mux, "t", "-R", f"{port}:127.0.0.1:{echo.port}"):
        assert come(port) == b"hello"
        since = len(mux.log())
        mux.put("ssh-mux-routes.toml", routes_toml({"t": hop(target)}))
        mux.wait_log("routes re-read", since=since)
        before = echo.accepted
        with contextlib.suppress(ConnectionError):
            assert exchange(port) == b""
        assert echo.accepted == before


# --- servers that open what nobody asked for ---


class Hostile:
    """A server that takes every forward and opens what the test says."""

    def __init__(self, keys, cleanup, make_mux):
        self.peer = None
        self.answers = []  # to opens of ours: the messages 91 and 92
        self.news = threading.Condition()
        self.server = cleanup(rawpeer.Server(keys.make("hostile"), self.serve))
        self.mux = make_mux(
            routes=routes_toml({"t": self.server.hop(remote_forwards=["localhost:*", "/s/*"],
                                                     spare=False)}),
            known_hosts=self.server.known_hosts())
        self.refuses = False
        self.holds = False

    def serve(self, peer):
        self.peer = peer
        while True:
            m = peer.receive()
            r = Reader(m)
            if m[0] == 80:
                kind, wants = r.string(), r.boolean()
                if self.holds and kind == b"tcpip-forward":
                    continue
                ok = kind.endswith(b"tcpip-forward") or b"streamlocal" in kind
                if wants:
                    peer.send(msg(81 if ok and not self.refuses else 82))
            elif m[0] == 90:  # a session: confirmed, and its command answered by exit 0
                r.string()
                number = r.u32()
                peer.send(msg(91, number, number, 1 << 20, 1 << 15))
            elif m[0] == 98:
                number, kind, wants = r.u32(), r.string(), r.boolean()
                if wants:
                    peer.send(msg(99, number))
                if kind == b"exec":
                    peer.send(msg(98, number, "exit-status", False, 0), msg(97, number))
            elif m[0] in (91, 92):
                with self.news:
                    self.answers.append(m)
                    self.news.notify_all()

    def open(self, kind, *data):
        """What becomes of an open: 91, or 92 and its reason."""
        with self.news:
            before = len(self.answers)
            self.peer.send(msg(90, kind, 77, 1 << 20, 1 << 15, *data))
            assert self.news.wait_for(lambda: len(self.answers) > before, 30)
            m = self.answers[-1]
        r = Reader(m, 5)
        return (m[0], r.u32()) if m[0] == 92 else (m[0], None)

    def client(self):
        return rawpeer.connect(self.mux.port, self.mux.local_key, "t")


@pytest.fixture
def hostile(keys, cleanup, make_mux):
    return Hostile(keys, cleanup, make_mux)


def ask(client, kind, data):
    client.send(msg(80, kind, True, data))
    return client.expect(81, 82)[0]


def taker(client, opened):
    """A client that takes channels, and notes where they came to."""
    def run():
        with contextlib.suppress(Gone, OSError):
            while True:
                m = client.receive()
                if m[0] == 90:
                    r = Reader(m)
                    kind, number = r.string(), r.u32()
                    r.at += 8
                    opened.append((kind, r.string()))
                    client.send(msg(91, number, len(opened), 1 << 20, 1 << 15))
    threading.Thread(target=run, daemon=True).start()


def test_B4_opens_that_nobody_asked_for_are_refused(hostile):
    """No address but the very one, nothing before the answer, nothing after the end; and whoever
    shares the connection does not notice."""
    client, opened = hostile.client(), []
    other = hostile.client()
    assert ask(client, "tcpip-forward", forward("localhost", 8080)) == 81
    assert ask(client, "streamlocal-forward@openssh.com", bytearray(string("/s/x"))) == 81
    taker(client, opened)
    for kind, *data in [
        ("forwarded-tcpip", "localhost", 8081, "1.2.3.4", 5),
        ("forwarded-tcpip", "127.0.0.1", 8080, "1.2.3.4", 5),
        ("forwarded-tcpip", "LOCALHOST", 8080, "1.2.3.4", 5),
        ("forwarded-tcpip", "localhost.", 8080, "1.2.3.4", 5),
        ("forwarded-tcpip", "localhost\0", 8080, "1.2.3.4", 5),
        ("forwarded-tcpip", "", 8080, "1.2.3.4", 5),
        ("forwarded-tcpip", "localhost", 8080 + 65536, "1.2.3.4", 5),
        ("forwarded-tcpip", "/s/x", 0, "1.2.3.4", 5),
        ("forwarded-tcpip", "localhost", 8080, "1.2.3.4"),
        ("forwarded-tcpip", "localhost", 8080, "1.2.3.4", 5, "more"),
        ("forwarded-tcpip", "localhost", 8080, "1.2\0.3.4", 5),
        ("forwarded-tcpip",),
        ("forwarded-streamlocal@openssh.com", "/s/y", ""),
        ("forwarded-streamlocal@openssh.com", "/s/x/", ""),
        ("forwarded-streamlocal@openssh.com", "localhost", ""),
        ("forwarded-streamlocal@openssh.com", "/s/x"),
        ("x11", "127.0.0.1", 6000),
        ("auth-agent@openssh.com",),
        ("direct-tcpip", "127.0.0.1", 22, "1.2.3.4", 5),
        ("session",),
        ("tun@openssh.com", 1, 1),
    ]:
        assert hostile.open(kind, *data) == (92, 1), (kind, data)
    assert opened == []
    assert hostile.open("forwarded-tcpip", "localhost", 8080, "1.2.3.4", 5) == (91, None)
    assert hostile.open("forwarded-streamlocal@openssh.com", "/s/x", "") == (91, None)
    assert [where for _, where in opened] == [b"localhost", b"/s/x"]
    # The client's end is the forward's end.
    client.close()
    poll(lambda: hostile.open("forwarded-tcpip", "localhost", 8080, "1.2.3.4", 5) == (92, 1), 20,
         "it is gone")
    assert ask(other, "keepalive@openssh.com", bytearray(b"")) == 82
    assert hostile.server.n_logins == 1
    assert hostile.mux.ssh("t", "true").returncode == 0
    other.close()


def test_B4_only_who_asked_is_asked(hostile):
    clients, opened = [hostile.client() for _ in range(3)], [[], [], []]
    for n, client in enumerate(clients[:2]):
        assert ask(client, "tcpip-forward", forward("localhost", 8000 + n)) == 81
    # The server would take it twice.
    assert ask(clients[2], "tcpip-forward", forward("localhost", 8000)) == 82
    for client, seen in zip(clients, opened):
        taker(client, seen)
    for _ in range(3):
        assert hostile.open("forwarded-tcpip", "localhost", 8001, "1.2.3.4", 5)[0] == 91
    assert [len(seen) for seen in opened] == [0, 3, 0]
    assert hostile.open("forwarded-tcpip", "localhost", 8000, "1.2.3.4", 5)[0] == 91
    assert [len(seen) for seen in opened] == [1, 3, 0]
    for client in clients:
        client.close()


def test_B4_nothing_after_a_cancel_and_before_an_answer(hostile):
    client = hostile.client()
    assert ask(client, "tcpip-forward", forward("localhost", 8080)) == 81
    assert ask(client, "cancel-tcpip-forward", forward("localhost", 8080)) == 81
    assert hostile.open("forwarded-tcpip", "localhost", 8080, "1.2.3.4", 5) == (92, 1)
    # Asked for and not granted yet.
    hostile.holds = True
    client.send(msg(80, "tcpip-forward", True, forward("localhost", 8081)))
    hostile.mux.ssh("t", "true")  # behind it on the connection
    assert hostile.open("forwarded-tcpip", "localhost", 8081, "1.2.3.4", 5) == (92, 1)
    # Refused, and opened all the same; then answers that nobody awaits.
    hostile.peer.send(msg(82), msg(81), msg(81, 5), msg(82))
    assert client.expect(81, 82)[0] == 82
    assert hostile.open("forwarded-tcpip", "localhost", 8081, "1.2.3.4", 5) == (92, 1)
    # A port of its choice that it does not tell.
    hostile.holds = False
    assert ask(client, "tcpip-forward", forward("localhost", 0)) == 82
    assert hostile.mux.ssh("t", "true").returncode == 0
    client.close()


def test_B4_a_client_that_does_not_answer_is_asked_no_more(hostile):
    """And its end answers the server."""
    client = hostile.client()
    assert ask(client, "tcpip-forward", forward("localhost", 8080)) == 81
    opens = [msg(90, "forwarded-tcpip", n, 1 << 20, 1 << 15, "localhost", 8080, "1.2.3.4", 5)
             for n in range(100)]
    hostile.peer.send(*opens)
    with hostile.news:
        assert hostile.news.wait_for(lambda: len(hostile.answers) == 36, 30), len(hostile.answers)
    assert {(m[0], Reader(m, 5).u32()) for m in hostile.answers} == {(92, 4)}
    client.close()
    with hostile.news:
        assert hostile.news.wait_for(lambda: len(hostile.answers) == 100, 30)
    assert hostile.mux.ssh("t", "true").returncode == 0


def test_P6_the_server_goes_while_the_client_is_asked(hostile):
    client = hostile.client()
    assert ask(client, "tcpip-forward", forward("localhost", 8080)) == 81
    hostile.peer.send(msg(90, "forwarded-tcpip", 1, 1 << 20, 1 << 15, "localhost", 8080, "::1", 5))
    number = Reader(client.expect(90), 1 + 4 + len("forwarded-tcpip")).u32()
    hostile.peer.close()
    client.send(msg(91, number, 0, 1 << 20, 1 << 15))
    with pytest.raises(Gone):
        client.expect(1)
        raise Gone
    assert hostile.mux.ssh("t", "true").returncode == 0
