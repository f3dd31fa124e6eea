# SPDX-License-Identifier: MIT
"""Remote forwards through the control sockets (W2, B4, B6): `ssh -R` with ssh-mux as the master of
the connection, beside the same calls with a real ControlMaster."""
import contextlib
import os
import pty
import re
import signal
import socket
import struct
import threading
import time

import pytest

import peers
from conftest import Cleanup
from masters import Client, Master, client_config, shown, socket_of
from peers import EchoServer, Sshd, hop, listening, poll, routes_toml
from test_control_door import GREETING, HELLO, message
from test_control_forward import answers, connect, control, echoed, session, through, through_slowly
from test_remote_forward import Answerer

pytestmark = pytest.mark.core

ALL = ["localhost:*", "/tmp/*"]


@pytest.fixture(scope="module")
def both(keys):
    """(client of ssh-mux, client of ssh -M): neither could reach the server by itself."""
    c = Cleanup()
    try:
        sshd = c(Sshd(keys, "target", MaxSessions=100, StreamLocalBindUnlink="yes"))
        mux = c(peers.Mux(keys, routes=routes_toml({
            "t": hop(sshd, remote_forwards=ALL), "closed": hop(sshd),
            "high": hop(sshd, remote_forwards=["65000-65535"])}), known_hosts=sshd.known_hosts()))
        master = c(Master(sshd, keys))
        config = client_config(master.dir / "lost", sshd)
        ours, real = Client(config, socket_of(mux)), Client(config, master.sock)
        ours.mux, ours.sshd, ours.keys, real.master = mux, sshd, keys, master
        ours.able = client_config(master.dir / "able", sshd, keys)
        ours.route = lambda name: Client(config, socket_of(mux, name))
        yield ours, real
        assert mux.alive(), mux.log()[-6000:]
    finally:
        c.run()


@pytest.fixture(scope="module")
def server():
    s = EchoServer()
    yield s
    s.stop()


def gone(at):
    poll(lambda: not answers(at), 20, "the forward's end")


def test_W2_B4_a_remote_forward_lasts_as_long_as_its_session(both, server):
    """Though the client that asked has no key and no connection of its own."""
    ours = both[0]
    port = peers.free_port()
    with session(ours, "-R", f"{port}:127.0.0.1:{server.port}") as p:
        assert echoed(port) == b"hello"
        assert echoed(port, b"again") == b"again"
        kinds = [c["kind"] for c in ours.mux.status()["channels"]]
        assert "session" in kinds
    assert p.returncode == 0
    gone(port)
    assert len(ours.mux.connections()) == 1


@pytest.mark.parametrize("listen", ["port", "path"])
@pytest.mark.parametrize("target", ["port", "path"])
def test_W2_remote_ports_and_sockets(both, server, listen, target):
    ours = both[0]
    short = peers.short_dir("fwd")
    to = f"127.0.0.1:{server.port}"
    if target == "path":
        EchoServer(short / "there")
        to = str(short / "there")
    at = peers.free_port() if listen != "path" else short / "here"
    with session(ours, "-R", f"{at}:{to}"):
        before = len(os.listdir(f"/proc/{ours.mux.pid}/fd"))
        data = os.urandom(3_000_000)
        assert through_slowly(at, data) == data
        poll(lambda: len(os.listdir(f"/proc/{ours.mux.pid}/fd")) <= before, 20, "no descriptor stays")
    gone(at)


def test_W2_a_port_that_the_server_chooses(both, server):
    """It is said as by a real master, also to who asks again; and cancelled in the same words, or
    by the port."""
    shows = []
    for client in both:
        words = f"127.0.0.1:0:127.0.0.1:{server.port}"
        done = [control(client, "forward", "-R", words) for _ in range(2)]
        port = int(done[0].stdout)
        assert echoed(port) == b"hello"
        done.append(control(client, "cancel", "-R", f"127.0.0.1:0:127.0.0.1:{server.port + 1}"))
        assert listening(port)
        done.append(control(client, "cancel", "-R", words))
        gone(port)
        done.append(control(client, "cancel", "-R", words))
        shows.append([tuple(re.sub(rb"\d{4,}", b"PORT", t) if isinstance(t, bytes) else t
                            for t in shown(d)) for d in done])
        assert done[0].stdout == done[1].stdout
    assert shows[0] == shows[1]
    ours = both[0]
    port = int(control(ours, "forward", "-R", words).stdout)
    assert control(ours, "cancel", "-R", f"127.0.0.1:{port}:127.0.0.1:{server.port}").returncode == 0
    gone(port)
    # ssh itself says it on stderr, with a session.
    with session(ours, "-v", "-R", words, command="echo ready; cat; exit 3") as p:
        pass
    assert p.returncode == 3 and b"Allocated port" in p.stderr.read()


def test_W2_remote_forward_and_cancel(both, server):
    """The client asks and leaves: what it asked for stays until it is cancelled."""
    shows = []
    for client in both:
        port = peers.free_port()
        words = f"{port}:127.0.0.1:{server.port}"
        done = [control(client, "forward", "-R", words)]
        assert echoed(port) == b"hello"
        done.append(control(client, "forward", "-R", words))  # there already: it is fine
        time.sleep(0.2)
        assert echoed(port) == b"hello"
        done.append(control(client, "cancel", "-R", f"{port}:127.0.0.1:1"))  # another one
        assert listening(port)
        done.append(control(client, "cancel", "-R", words))
        gone(port)
        done.append(control(client, "cancel", "-R", words))
        # And in one breath, as who starts anew does.
        done.append(control(client, "forward", "-R", words))
        assert echoed(port) == b"hello"
        done.append(control(client, "cancel", "-R", words))
        gone(port)
        shows.append([shown(d) for d in done])
    assert shows[0] == shows[1]


def test_W2_a_kept_remote_forward_is_not_its_next_askers(both, server):
    ours = both[0]
    port = peers.free_port()
    words = f"{port}:127.0.0.1:{server.port}"
    assert control(ours, "forward", "-R", words).returncode == 0
    with session(ours, "-R", words):
        pass
    assert echoed(port) == b"hello"
    assert control(ours, "cancel", "-R", words).returncode == 0
    gone(port)
    with session(ours, "-R", words):
        with session(ours, "-R", words):
            pass
        assert echoed(port) == b"hello"
    gone(port)


def test_B4_each_client_of_the_socket_gets_its_own(both, cleanup):
    """On one connection of the pool; the end of one leaves the other alone."""
    ours = both[0]
    a, b = cleanup(Answerer(b"a")), cleanup(Answerer(b"b"))
    one, two = peers.free_port(), peers.free_port()
    with session(ours, "-R", f"{one}:127.0.0.1:{a.port}"):
        with session(ours, "-R", f"{two}:127.0.0.1:{b.port}"):
            for _ in range(3):
                assert (echoed(one, b""), echoed(two, b"")) == (b"a", b"b")
            assert len(ours.mux.connections()) == 1
            # What another place is to be had at an address that is taken, the server refuses.
            d = control(ours, "forward", "-R", f"{one}:127.0.0.1:{b.port}")
            assert d.returncode == 255 and b"in use" in d.stderr, d
        gone(two)
        assert echoed(one, b"") == b"a"
    gone(one)


def test_W2_remote_forwards_without_a_session(both, server):
    """`ssh -N -R`, at a terminal."""
    ours = both[0]
    port = peers.free_port()
    leader, follower = pty.openpty()
    p = ours.start(options=["-N", "-R", f"{port}:127.0.0.1:{server.port}"], stdin=follower)
    try:
        poll(lambda: listening(port), 20)
        assert echoed(port) == b"hello"
    finally:
        p.terminate()
        p.wait(20)
        os.close(leader)
        os.close(follower)
    gone(port)


def test_W2_each_direction_of_a_remote_forward_ends_by_itself(both):
    ours = both[0]
    port = peers.free_port()
    with socket.create_server(("127.0.0.1", 0)) as place:
        with session(ours, "-R", f"{port}:127.0.0.1:{place.getsockname()[1]}"):
            s = connect(port)
            r, _ = place.accept()
            r.settimeout(20)
            r.sendall(b"all")
            r.shutdown(socket.SHUT_WR)
            assert s.recv(10) == b"all" and s.recv(10) == b""
            s.sendall(b"still here")
            assert r.recv(20) == b"still here"
            s.close()
            assert r.recv(10) == b""
            r.close()
            s = connect(port)
            r, _ = place.accept()
            r.settimeout(20)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
            assert r.recv(10) == b""
            r.close()
            poll(lambda: len(ours.mux.status()["channels"]) == 1, 20, "only the session is left")


def test_W2_connections_outlive_the_remote_listener(both, server):
    ours = both[0]
    port = peers.free_port()
    with session(ours, "-R", f"{port}:127.0.0.1:{server.port}"):
        s = connect(port)
        s.sendall(b"one")
        assert s.recv(10) == b"one"
    gone(port)
    assert through(s, b"two") == b"two"


def test_W2_a_place_that_refuses_closes_the_connection(both):
    """And costs nothing else: no route is unusable, no channel stays."""
    ours = both[0]
    nobody, port, path = peers.free_port(), peers.free_port(), peers.free_port()
    with session(ours, "-R", f"{port}:127.0.0.1:{nobody}", "-R", f"{path}:/nowhere/at/all"):
        for at in (port, path):
            with connect(at) as s:
                assert s.recv(10) == b""
        poll(lambda: len(ours.mux.status()["channels"]) == 1, 20, "only the session is left")


def test_W2_many_at_once_through_a_remote_forward(both, server):
    ours = both[0]
    port = peers.free_port()
    with session(ours, "-R", f"{port}:127.0.0.1:{server.port}"):
        got = []

        def one(n):
            data = bytes([n]) * 100000
            with contextlib.suppress(OSError):
                got.append(through_slowly(port, data) == data)

        threads = [threading.Thread(target=one, args=(n,)) for n in range(24)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got == [True] * 24


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("route, at", [
    ("closed", "{port}"), ("closed", "0"), ("closed", "/tmp/smx-closed-{port}"), ("t", "*:{port}"),
    ("t", "127.0.0.2:{port}"), ("t", "/var/tmp/smx-t-{port}"), ("high", "{low}"), ("high", "0"),
])  # fmt: skip
def test_B4_a_remote_forward_that_is_not_listed_is_denied(both, server, route, at):
    """By us, with the words that name the setting; and ssh itself goes on, and has it."""
    ours = both[0]
    port = peers.free_port()
    words = at.format(port=port, low=port if port < 65000 else port - 2000)
    words += f":127.0.0.1:{server.port}"
    client = ours.route(route)
    d = control(client, "forward", "-R", words)
    assert d.returncode == 255 and b"remote_forwards" in d.stderr, d
    assert not answers(port)
    client.config, before = ours.able, ours.sshd.logins()
    d = client.ssh("echo ran", options=["-o", "ExitOnForwardFailure=yes", "-R", words])
    assert d.returncode == 0 and d.stdout == b"ran\n", d
    assert ours.sshd.logins() == before + 1


def test_B4_a_refused_remote_forward_takes_the_others_along(both, server):
    """ssh does all of them by itself, and finds its ports free."""
    ours = both[0]
    one, two = peers.free_port(), peers.free_port()
    able = Client(ours.able, ours.sock)
    to = f"127.0.0.1:{server.port}"
    with session(able, "-R", f"{one}:{to}", "-R", f"*:{two}:{to}") as p:
        assert echoed(one) == echoed(two) == b"hello"
    assert b"failed for listen port" not in p.stderr.read()


def test_W2_a_remote_forward_to_anywhere_goes_directly(both):
    """`ssh -R PORT`: a SOCKS server for the remote, which is ssh's own to be."""
    ours = both[0]
    d = control(ours, "forward", "-R", str(peers.free_port()))
    assert d.returncode == 255 and b"ssh connects directly" in d.stderr, d


def test_B4_the_server_refuses(both, server):
    """A port that the server does not have to give: said, and ssh's own to try."""
    ours = both[0]
    with socket.create_server(("127.0.0.1", 0)) as four:
        taken = four.getsockname()[1]
        with socket.create_server(("::1", taken), family=socket.AF_INET6):
            d = control(ours, "forward", "-R", f"{taken}:127.0.0.1:{server.port}")
    assert d.returncode == 255 and b"the server refused it" in d.stderr, d


def test_P8_B10_the_routes_of_now_decide(make_sshd, make_mux, server):
    """Locked: nobody comes in. A changed policy counts for the next one who comes, and a route that
    leads elsewhere takes the forward along."""
    sshd = make_sshd()
    mux = make_mux(sshd, route={"remote_forwards": ["localhost:*"]})
    route = hop(sshd, remote_forwards=["localhost:*"])
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux))
    port = peers.free_port()
    to = f"127.0.0.1:{server.port}"
    assert control(client, "forward", "-R", f"{port}:{to}").returncode == 0
    assert echoed(port) == b"hello"
    assert mux.control("lock").returncode == 0
    with connect(port) as refused:
        assert refused.recv(10) == b""
    d = control(client, "forward", "-R", f"{peers.free_port()}:{to}")
    assert d.returncode == 255 and b"locked" in d.stderr, d
    assert mux.control("unlock").returncode == 0
    assert echoed(port) == b"hello"

    def what_comes():
        with contextlib.suppress(OSError), connect(port) as s:
            s.sendall(b"x")
            return s.recv(10)
        return b""

    mux.routes_path.write_text(routes_toml({"t": dict(route, remote_forwards=["65000-65535"])}))
    poll(lambda: what_comes() == b"", 20, "the new policy")
    assert listening(port)
    mux.routes_path.write_text(routes_toml({"t": dict(route, user="another")}))
    gone(port)


# ---- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["session", "kept"])
def test_W2_a_lost_connection_takes_its_remote_forwards_along(make_sshd, make_mux, server, how):
    """With the client that asked; one that was kept is gone, and can be asked for again."""
    sshd = make_sshd()
    mux = make_mux(sshd, route={"remote_forwards": ["localhost:*"]})
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux))
    port = peers.free_port()
    words = f"{port}:127.0.0.1:{server.port}"
    if how == "session":
        p = client.start("echo ready; cat", options=["-R", words])
        assert p.stdout.readline() == b"ready\n"
    else:
        assert control(client, "forward", "-R", words).returncode == 0
    assert echoed(port) == b"hello"
    for pid in sshd.connections():
        peers.kill_quietly(pid)
    if how == "session":
        assert p.wait(20) == 255
        assert b"lost" in p.stderr.read()
    gone(port)
    poll(lambda: not mux.status()["channels"], 20)
    assert control(client, "forward", "-R", words).returncode == 0
    assert echoed(port) == b"hello"
    assert control(client, "cancel", "-R", words).returncode == 0


def test_U10_a_killed_client_and_a_stopped_daemon_leave_no_remote_forward(make_sshd, make_mux, server):
    sshd = make_sshd()
    mux = make_mux(sshd, route={"remote_forwards": ["localhost:*"]})
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux))
    one, two = peers.free_port(), peers.free_port()
    p = client.start("echo ready; cat", options=["-R", f"{one}:127.0.0.1:{server.port}"])
    assert p.stdout.readline() == b"ready\n"
    p.kill()
    p.wait()
    gone(one)
    assert control(client, "forward", "-R", f"{two}:127.0.0.1:{server.port}").returncode == 0
    s = connect(two)
    s.sendall(b"one")
    assert s.recv(10) == b"one"
    assert mux.control("stop").returncode == 0
    mux.proc.wait(20)
    with s, contextlib.suppress(ConnectionResetError):
        assert s.recv(10) == b""
    gone(two)


class Asking:
    """A client of a control socket that sends all that it wants at once."""

    def __init__(self, sock, *requests):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(sock))
        self.replies = self.socket.makefile("rb")
        self.socket.sendall(HELLO + b"".join(requests))
        assert self.reply() == GREETING[4:]

    def reply(self):
        return self.replies.read(int.from_bytes(self.replies.read(4), "big"))

    def stop(self):
        self.replies.close()
        self.socket.close()


def test_W2_who_asks_on_once_he_is_answered_holds_up_nobody(both, server, keys, cleanup):
    """A forward is refused while requests that waited for the login are served, and its client has
    sent the next one already: nobody is served twice."""
    ours = both[0]
    one, two = peers.free_port(), peers.free_port()
    mux = cleanup(peers.Mux(keys, routes=routes_toml({"t": hop(ours.sshd, remote_forwards=ALL)}),
                            known_hosts=ours.sshd.known_hosts()))
    client = Client(ours.config, socket_of(mux))

    def remote(rid, port, to):
        return message(0x10000006, rid, 2, b"", port, b"127.0.0.1", to)

    os.kill(ours.sshd.proc.pid, signal.SIGSTOP)
    try:
        first = cleanup(Asking(client.sock, remote(1, one, server.port)))
        second = cleanup(Asking(
            client.sock, remote(1, one, server.port + 1), remote(2, two, server.port)))
        third = client.start("echo once")
        poll(lambda: mux.log().count("control client came") == 3, 20)
        time.sleep(0.5) # for what it asks for
    finally:
        os.kill(ours.sshd.proc.pid, signal.SIGCONT)
    assert third.communicate(timeout=20)[0] == b"once\n"
    assert first.reply() == struct.pack(">II", 0x80000001, 1)
    refused = second.reply()
    assert refused[:8] == struct.pack(">II", 0x80000002, 1) and b"in use" in refused, refused
    assert second.reply() == struct.pack(">II", 0x80000001, 2)
    poll(lambda: not mux.status()["channels"], 20)
