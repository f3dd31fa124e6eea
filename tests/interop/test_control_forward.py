# SPDX-License-Identifier: MIT
"""Forwards through the control sockets (W2, B4, B6): `ssh -L` and `ssh -D` with ssh-mux as the
master of the connection, beside the same calls with a real ControlMaster."""
import concurrent.futures
import contextlib
import hashlib
import os
import pty
import signal
import socket
import struct
import subprocess
import time

import pytest

import peers
from conftest import Cleanup
from masters import Client, Master, client_config, shown, socket_of
from peers import EchoServer, Sshd, hop, poll, routes_toml

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def both(keys):
    """(client of ssh-mux, client of ssh -M): neither could reach the server by itself."""
    c = Cleanup()
    try:
        sshd = c(Sshd(keys, "target", MaxSessions=100))
        mux = c(peers.Mux(keys, routes=routes_toml({
            "t": hop(sshd, allow_remote_loopback_any_port=True), "closed": hop(sshd)}),
                          known_hosts=sshd.known_hosts()))
        master = c(Master(sshd, keys))
        config = client_config(master.dir / "lost", sshd)
        ours, real = Client(config, socket_of(mux)), Client(config, master.sock)
        ours.mux, ours.sshd, ours.keys, real.master = mux, sshd, keys, master
        ours.able = client_config(master.dir / "able", sshd, keys)
        ours.closed = Client(config, socket_of(mux, "closed"))
        yield ours, real
        assert mux.alive(), mux.log()[-6000:]
    finally:
        c.run()


@pytest.fixture(scope="module")
def server():
    s = EchoServer()
    yield s
    s.stop()


def connect(at):
    if isinstance(at, int):
        return socket.create_connection(("127.0.0.1", at), 20)
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(str(at))
    return s


def answers(at):
    """Whether something listens there."""
    try:
        connect(at).close()
        return True
    except OSError:
        return False


def through(s, data):
    """What an echo server at the other end sends back, to its end."""
    got = b""
    with s:
        s.settimeout(20)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        while piece := s.recv(65536):
            got += piece
    return got


def echoed(at, data=b"hello"):
    return through(connect(at), data)


def control(client, command, *options):
    return client.ssh(options=["-O", command, *options])


@contextlib.contextmanager
def session(client, *options, command="echo ready; cat"):
    p = client.start(command, options=options)
    assert p.stdout.readline() == b"ready\n", p.stderr.read()
    yield p
    p.stdin.close()
    p.wait(20)


# ---- ssh -L --------------------------------------------------------------------------------------


def test_W2_a_local_forward_lasts_as_long_as_its_session(both, server):
    ours = both[0]
    port, logins = peers.free_port(), ours.sshd.logins()
    with session(ours, "-L", f"{port}:127.0.0.1:{server.port}") as p:
        assert echoed(port) == b"hello"
        with socket.create_connection(("::1", port), 20) as s:
            assert through(s, b"six") == b"six"
    assert p.returncode == 0
    poll(lambda: not answers(port), 10, "the listener's end")
    assert ours.sshd.logins() <= max(logins, 2)


@pytest.mark.parametrize("listen", ["port", "address", "path"])
@pytest.mark.parametrize("target", ["port", "path"])
def test_W2_ports_and_sockets(both, server, tmp_path, listen, target):
    ours = both[0]
    short = peers.short_dir("fwd")
    to = f"127.0.0.1:{server.port}"
    if target == "path":
        EchoServer(short / "there")
        to = str(short / "there")
    at = peers.free_port() if listen != "path" else short / "here"
    words = f"127.0.0.1:{at}" if listen == "address" else str(at)
    with session(ours, "-L", f"{words}:{to}"):
        if listen == "path":
            assert at.stat().st_mode & 0o777 == 0o600
        data = os.urandom(3_000_000)
        assert hashlib.sha256(through_slowly(at, data)).digest() == hashlib.sha256(data).digest()
    poll(lambda: not answers(at), 10)
    if listen == "path":
        assert not at.exists()


def through_slowly(at, data):
    """Sends and receives at once: what is on its way is more than the windows hold."""
    with connect(at) as s, concurrent.futures.ThreadPoolExecutor(1) as pool:
        sent = pool.submit(lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        got = bytearray()
        while piece := s.recv(65536):
            got += piece
        sent.result()
        return bytes(got)


def test_W2_many_connections_at_once(both, server):
    ours = both[0]
    port = peers.free_port()
    with session(ours, "-L", f"{port}:127.0.0.1:{server.port}"):
        before = len(os.listdir(f"/proc/{ours.mux.pid}/fd"))
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            data = [os.urandom(20_000 + n) for n in range(60)]
            assert list(pool.map(lambda d: echoed(port, d), data)) == data
        poll(lambda: len(os.listdir(f"/proc/{ours.mux.pid}/fd")) <= before, 20, "no descriptor stays")


def test_W2_each_direction_ends_by_itself(both):
    """A remote that has said all still listens, and so does a client."""
    ours = both[0]
    with socket.create_server(("127.0.0.1", 0)) as remote:
        port = peers.free_port()
        with session(ours, "-L", f"{port}:127.0.0.1:{remote.getsockname()[1]}"):
            s = connect(port)
            r, _ = remote.accept()
            r.settimeout(20)
            r.sendall(b"all")
            r.shutdown(socket.SHUT_WR)
            assert s.recv(10) == b"all" and s.recv(10) == b""
            s.sendall(b"still here")
            assert r.recv(20) == b"still here"
            s.close()
            assert r.recv(10) == b""
            r.close()
            # A connection that is reset ends there as well.
            s = connect(port)
            r, _ = remote.accept()
            r.settimeout(20)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
            assert r.recv(10) == b""
            r.close()
            poll(lambda: len(ours.mux.status()["channels"]) == 1, 20, "only the session is left")


def test_W2_a_target_that_refuses_closes_the_connection(both):
    ours = both[0]
    port = peers.free_port()
    with session(ours, "-L", f"{port}:127.0.0.1:{peers.free_port()}"):
        with connect(port) as s:
            assert s.recv(10) == b""


def test_W2_connections_outlive_the_listener(both, server):
    """As with a real master: what is connected goes on."""
    ours = both[0]
    port = peers.free_port()
    with session(ours, "-L", f"{port}:127.0.0.1:{server.port}"):
        s = connect(port)
        s.sendall(b"one")
        assert s.recv(10) == b"one"
    poll(lambda: not answers(port), 10)
    assert through(s, b"two") == b"two"


# ---- ssh -N --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["-N"], ["-N", "-T"]])
def test_W2_forwards_without_a_session(both, server, options):
    """`ssh -N -L` in a terminal: no shell is started, and the forward lasts until ssh is ended."""
    ours = both[0]
    port = peers.free_port()
    far, near = pty.openpty()
    p = ours.start(options=[*options, "-L", f"{port}:127.0.0.1:{server.port}"], stdin=near)
    poll(lambda: answers(port), 20)
    assert echoed(port) == b"hello"
    poll(lambda: "logged in" in ours.mux.log(), 20)
    assert [c for c in ours.mux.status()["channels"] if c["kind"] == "session"] == []
    assert p.poll() is None
    p.send_signal(signal.SIGINT)
    poll(lambda: not answers(port), 20, "the listener's end")
    p.wait(20)
    os.close(near)
    os.close(far)


def test_W7_forwards_in_the_background(both, server):
    """`ssh -fN -L`: clients up to 9.3 would stay in the foreground with any master. So it is refused,
    and ssh does it by itself: it returns after the login, and goes on in the background."""
    ours = both[0]
    port = peers.free_port()
    p = Client(ours.able, ours.sock).start(
        options=["-f", "-N", "-L", f"{port}:127.0.0.1:{server.port}"], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    assert p.wait(20) == 0
    assert echoed(port) == b"hello"
    (pid,) = peers.pgrep(f"{port}:127.0.0.1")
    os.kill(pid, signal.SIGTERM)
    poll(lambda: not answers(port), 20, "the listener's end")


def test_W2_a_shell_from_a_pipe_with_a_forward(make_sshd, make_mux, server):
    """No command and no terminal, but words for a shell: it is one."""
    sshd = make_sshd(ForceCommand="sh")  # what the account's profile does is not of interest
    mux = make_mux(sshd, route={"allow_remote_loopback_any_port": True})
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux))
    port = peers.free_port()
    done = client.ssh(options=["-T", "-L", f"{port}:127.0.0.1:{server.port}"],
                      input=b"echo from the shell; exit 5\n")
    assert (done.stdout, done.returncode) == (b"from the shell\n", 5)


# ---- ssh -O forward and cancel -------------------------------------------------------------------


def test_W2_forward_and_cancel(both, server):
    """The client asks and leaves: what it asked for stays until it is cancelled."""
    shows = []
    for client in both:
        port = peers.free_port()
        words = f"{port}:127.0.0.1:{server.port}"
        done = [control(client, "forward", "-L", words)]
        assert echoed(port) == b"hello"
        done.append(control(client, "forward", "-L", words))  # there already: it is fine
        time.sleep(0.2)
        assert echoed(port) == b"hello"
        done.append(control(client, "cancel", "-L", f"{port}:127.0.0.1:1"))  # another one
        assert answers(port)
        done.append(control(client, "cancel", "-L", words))
        poll(lambda: not answers(port), 10)
        done.append(control(client, "cancel", "-L", words))
        shows.append([shown(d) for d in done])
    assert shows[0] == shows[1]


def test_W2_a_kept_forward_is_not_its_next_askers(both, server):
    """Asked for again with a session, it stays when that ends; a session's stays with another's."""
    ours = both[0]
    port = peers.free_port()
    words = f"{port}:127.0.0.1:{server.port}"
    assert control(ours, "forward", "-L", words).returncode == 0
    with session(ours, "-L", words):
        pass
    assert echoed(port) == b"hello"
    assert control(ours, "cancel", "-L", words).returncode == 0
    poll(lambda: not answers(port), 10)
    with session(ours, "-L", words):
        with session(ours, "-L", words):
            pass
        assert echoed(port) == b"hello"
    poll(lambda: not answers(port), 10)


def test_W2_forwards_of_another_shape(both, server):
    """Several at once; and the same ports again after a cancel."""
    ours = both[0]
    a, b, socks = (peers.free_port() for _ in range(3))
    words = ["-L", f"{a}:127.0.0.1:{server.port}", "-L", f"localhost:{b}:localhost:{server.port}",
             "-D", str(socks)]
    for _ in range(2):
        assert control(ours, "forward", *words).returncode == 0
        assert echoed(a) == echoed(b) == b"hello"
        assert echoed_by_socks(socks, server.port) == b"hello"
        assert control(ours, "cancel", *words).returncode == 0
        poll(lambda: not answers(a) and not answers(b) and not answers(socks), 10)


# ---- what is refused -----------------------------------------------------------------------------


def test_B4_a_forward_that_the_route_does_not_allow(both, server):
    """Refused, and ssh does it by itself, with all its forwards: those that were opened already are
    closed for it."""
    ours = both[0]
    able = Client(ours.able, ours.closed.sock)
    port, socks = peers.free_port(), peers.free_port()
    for options in (["-L", f"{port}:127.0.0.1:{server.port}"], ["-D", str(socks)]):
        d = control(ours.closed, "forward", *options)
        assert d.returncode == 255 and b"allow_remote_loopback_any_port" in d.stderr, d
        assert not answers(port) and not answers(socks)
    before = ours.sshd.logins()
    with session(able, "-L", f"{port}:127.0.0.1:{server.port}"):
        assert echoed(port) == b"hello"
    assert ours.sshd.logins() == before + 1
    # The first is served and the second is not.
    able.sock = ours.sock
    with session(able, "-L", f"{port}:127.0.0.1:{server.port}", "-L",
                 f"{socks}:192.0.2.1:80") as p:
        assert echoed(port) == b"hello"
    assert b"Address already in use" not in p.stderr.read()
    assert ours.sshd.logins() == before + 2


def test_W2_a_refused_forward_and_ExitOnForwardFailure(both, server):
    """A port that is taken ends plain ssh exactly if that says so."""
    ours = both[0]
    able = Client(ours.able, ours.sock)
    taken = ["-L", f"127.0.0.1:{server.port}:127.0.0.1:{server.port}"]
    done = able.ssh("echo ran", options=taken)
    assert done.stdout == b"ran\n" and done.returncode == 0
    done = able.ssh("echo ran", options=[*taken, "-o", "ExitOnForwardFailure=yes"])
    assert done.stdout == b"" and done.returncode == 255


def test_W2_only_loopback_is_listened_at(both, server):
    """L1: what other machines could reach, ssh opens itself."""
    ours = both[0]
    port = peers.free_port()
    for host in ("*", "0.0.0.0", "[::]", "192.0.2.7", "some.name"):
        d = control(ours, "forward", "-L", f"{host}:{port}:127.0.0.1:{server.port}")
        assert d.returncode == 255 and b"loopback" in d.stderr, (host, d)
        assert not answers(port)


def test_W2_paths_that_are_taken(both, server):
    """A socket that is dead and ours is replaced, nothing else."""
    ours = both[0]
    short = peers.short_dir("fwd")
    at = short / "s"
    words = ["-L", f"{at}:127.0.0.1:{server.port}"]
    at.write_text("a file")
    assert control(ours, "forward", *words).returncode == 255
    assert at.read_text() == "a file"
    at.unlink()
    living = EchoServer(at)
    assert control(ours, "forward", *words).returncode == 255
    living.stop()
    with contextlib.suppress(OSError):
        connect(at).close()
    assert control(ours, "forward", *words).returncode == 0
    assert echoed(at) == b"hello"
    # Somebody else's socket in its place is left alone.
    at.unlink()
    EchoServer(at)
    assert control(ours, "cancel", *words).returncode == 0
    assert at.exists()


def test_P8_a_locked_daemon_forwards_nothing(make_sshd, make_mux, server):
    sshd = make_sshd()
    mux = make_mux(sshd, route={"allow_remote_loopback_any_port": True})
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux))
    port = peers.free_port()
    words = ["-L", f"{port}:127.0.0.1:{server.port}"]
    assert control(client, "forward", *words).returncode == 0
    s = connect(port)
    s.sendall(b"one")
    assert s.recv(10) == b"one"
    assert mux.control("lock").returncode == 0
    with connect(port) as refused:
        assert refused.recv(10) == b""
    d = control(client, "forward", "-L", f"{peers.free_port()}:127.0.0.1:{server.port}")
    assert d.returncode == 255 and b"locked" in d.stderr
    assert mux.control("unlock").returncode == 0
    assert echoed(port) == b"hello"
    assert through(s, b"two") == b"two"  # what was open went on


def test_B10_a_route_that_changes_takes_its_forwards_along(make_sshd, make_mux, server):
    sshd = make_sshd()
    route = hop(sshd, allow_remote_loopback_any_port=True)
    mux = make_mux(sshd, route={"allow_remote_loopback_any_port": True})
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux))
    port = peers.free_port()
    assert control(client, "forward", "-L", f"{port}:127.0.0.1:{server.port}").returncode == 0
    assert echoed(port) == b"hello"
    mux.routes_path.write_text(routes_toml({"t": dict(route, allow_remote_loopback_any_port=False)}))
    poll(lambda: echoed_or_nothing(port) == b"", 20, "the new policy")
    assert answers(port)
    mux.routes_path.write_text(routes_toml({"t": dict(route, user="another")}))
    poll(lambda: not answers(port), 20, "the listener's end")


def echoed_or_nothing(port):
    try:
        return echoed(port)
    except OSError:  # reset, maybe before it is shut down
        return b""


# ---- ssh -D --------------------------------------------------------------------------------------


def socks5(port, host, to, command=1):
    s = connect(port)
    s.sendall(b"\5\1\0")
    assert s.recv(2) == b"\5\0"
    name = host.encode()
    s.sendall(bytes([5, command, 0, 3, len(name)]) + name + struct.pack(">H", to))
    return s, s.recv(10)


def echoed_by_socks(port, to):
    s, reply = socks5(port, "127.0.0.1", to)
    assert reply[:2] == b"\5\0"
    return through(s, b"hello")


def test_W2_socks(both, server):
    """4, 4A and 5, and what follows a request at once; curl does the same."""
    ours = both[0]
    port = peers.free_port()
    with session(ours, "-D", str(port)):
        assert echoed_by_socks(port, server.port) == b"hello"
        to = struct.pack(">H", server.port)
        s = connect(port)
        s.sendall(b"\4\1" + to + b"\x7f\0\0\1me\0at once")
        assert s.recv(8) == b"\0\x5a\0\0\0\0\0\0"
        assert through(s, b", later") == b"at once, later"
        s = connect(port)
        s.sendall(b"\4\1" + to + b"\0\0\0\1\0localhost\0")
        assert s.recv(8)[:2] == b"\0\x5a"
        assert through(s, b"by name") == b"by name"
        # What the route does not allow, and what is not served.
        for host, command, code in (("192.0.2.1", 1, 2), ("127.0.0.1", 2, 7), ("127.1", 1, 2)):
            s, reply = socks5(port, host, server.port, command)
            assert reply[:2] == bytes([5, code]) and s.recv(10) == b"", (host, reply)
            s.close()
        for junk in (b"GET / HTTP/1.0\r\n\r\n", b"\5\1\2", b"\4\2" + to + b"\x7f\0\0\1\0"):
            with connect(port) as s, contextlib.suppress(ConnectionResetError):
                s.sendall(junk)
                assert len(s.recv(100)) in (0, 2, 8) and s.recv(100) == b""
    poll(lambda: not answers(port), 10)


def test_W2_a_silent_socks_client_costs_nobody_anything(both, server):
    ours = both[0]
    port = peers.free_port()
    with session(ours, "-D", str(port)):
        silent = [connect(port) for _ in range(30)]
        assert echoed_by_socks(port, server.port) == b"hello"
        for s in silent:
            s.close()


def test_S7_W2_who_says_nothing_is_left_in_the_end(both, server):
    """Half a minute at the control socket and at a SOCKS port: nothing of it is kept open. A session
    and a connection that are there may be silent for as long as they like."""
    ours = both[0]
    port = peers.free_port()
    hello = struct.pack(">III", 8, 1, 4)
    with session(ours, "-D", str(port)) as p:
        s, reply = socks5(port, "127.0.0.1", server.port)
        assert reply[:2] == b"\5\0"
        silent = [connect(port), connect(ours.sock), connect(ours.sock)]
        silent[2].sendall(hello)
        began = time.monotonic()
        for end in silent:
            end.settimeout(70)
            while end.recv(100):  # the greeting of the control socket
                pass
            assert 25 < time.monotonic() - began < 60
            end.close()
        assert through(s, b"still here") == b"still here"
        p.stdin.write(b"me too\n")
        p.stdin.flush()
        assert p.stdout.readline() == b"me too\n"


# ---- ends ----------------------------------------------------------------------------------------


def test_W2_a_stopped_daemon_leaves_no_listener(make_sshd, make_mux, server):
    sshd = make_sshd()
    mux = make_mux(sshd, route={"allow_remote_loopback_any_port": True})
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux))
    port, at = peers.free_port(), peers.short_dir("fwd") / "s"
    words = ["-L", f"{port}:127.0.0.1:{server.port}", "-L", f"{at}:127.0.0.1:{server.port}", "-D",
             str(peers.free_port())]
    assert control(client, "forward", *words).returncode == 0
    s, silent = connect(port), connect(int(words[-1]))
    s.sendall(b"one")
    assert s.recv(10) == b"one"
    assert mux.control("stop").returncode == 0
    mux.proc.wait(10)
    assert not answers(port) and not at.exists()
    for end in (s, silent):
        with contextlib.suppress(ConnectionResetError):
            assert end.recv(10) == b""


def test_W2_a_lost_connection_ends_its_forwards_connections(make_sshd, make_mux, server):
    """The listener stays, and the next one that comes makes the next login."""
    sshd = make_sshd()
    mux = make_mux(sshd, route={"allow_remote_loopback_any_port": True})
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux))
    port = peers.free_port()
    assert control(client, "forward", "-L", f"{port}:127.0.0.1:{server.port}").returncode == 0
    s = connect(port)
    s.sendall(b"one")
    assert s.recv(10) == b"one"
    for pid in sshd.connections():
        peers.kill_quietly(pid)
    with contextlib.suppress(ConnectionResetError):
        assert s.recv(10) == b""
    assert echoed(port) == b"hello"
