# SPDX-License-Identifier: MIT
"""Forwarding: what a route's flag allows, and every refusal (L6, L7, R4, R5, B3)."""
import contextlib
import concurrent.futures
import os
import socket
import struct
import subprocess
import time

import pytest

from peers import EchoServer, free_port, listening, poll

DENIED = b"administratively prohibited"


@contextlib.contextmanager
def running(mux, route, *options):
    """An `ssh -N` with the options; yields a function that waits for text on its stderr."""
    log = mux.dir / f"client-{time.monotonic_ns()}.log"
    with open(log, "wb") as f:
        proc = subprocess.Popen(
            mux.argv(route, options=["-N", "-v", *options]),
            stdin=subprocess.DEVNULL, stdout=f, stderr=f,
        )
    try:
        poll(lambda: b"Entering interactive session" in log.read_bytes() or proc.poll() is not None,
             20, "the client is in")
        assert proc.poll() is None, log.read_text()
        yield lambda text: poll(lambda: text in log.read_bytes(), 10, f"{text!r} at the client")
    finally:
        # Not SIGTERM: the client then waits for channels, for ever after some refused opens.
        proc.kill()
        proc.wait()


def exchange(port, data=b"hello through the tunnel\n", timeout=10):
    """Sends, half-closes, reads to the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        s.sendall(data)
        with contextlib.suppress(OSError):  # it may have hung up already
            s.shutdown(socket.SHUT_WR)
        out = b""
        while piece := s.recv(65536):
            out += piece
        return out


def socks5(proxy_port, host, port, timeout=10):
    """A connection through a SOCKS 5 proxy, or None when it refuses or hangs up."""
    s = socket.create_connection(("127.0.0.1", proxy_port), timeout=timeout)
    s.sendall(b"\x05\x01\x00")
    assert s.recv(2) == b"\x05\x00"
    name = host.encode()
    s.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + struct.pack(">H", port))
    answer = b""
    try:
        while len(answer) < 10:
            piece = s.recv(10 - len(answer))
            if not piece:
                break
            answer += piece
    except ConnectionResetError:
        pass
    if len(answer) < 10 or answer[1] != 0:
        s.close()
        return None
    return s


@pytest.mark.core
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_R4_local_forward_to_loopback(mux, echo, host):
    port = free_port()
    with running(mux, "loop", "-L", f"{port}:{host}:{echo.port}"):
        data = os.urandom(300000)
        assert exchange(port, data) == data


def test_R4_local_forward_to_ipv6_loopback(mux):
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no ::1 on this system")
    port = free_port()
    with listener, running(mux, "loop", "-L", f"{port}:[::1]:{listener.getsockname()[1]}"):
        with socket.create_connection(("127.0.0.1", port)) as s:
            far, _ = listener.accept()
            with far:
                far.sendall(b"six")
                assert s.recv(3) == b"six"


def test_L7_no_flag_no_forward(mux, echo):
    before = echo.accepted
    port = free_port()
    with running(mux, "t", "-L", f"{port}:127.0.0.1:{echo.port}") as wait:
        with contextlib.suppress(ConnectionResetError):
            assert exchange(port) == b""
        wait(DENIED)
    assert echo.accepted == before


def test_L7_R6_direct_mode_forwards_nothing(make_mux, make_sshd, echo):
    """Without a routes file no route has the flag."""
    target = make_sshd()
    mux = make_mux(target, direct=target, routes="")
    port = free_port()
    with running(mux, "t", "-L", f"{port}:127.0.0.1:{echo.port}") as wait:
        with contextlib.suppress(ConnectionResetError):
            assert exchange(port) == b""
        wait(DENIED)
    assert echo.accepted == 0
    mux.check_works()


@pytest.mark.parametrize(
    "host",
    [
        "localhost.", "127.1", "0.0.0.0", "::ffff:127.0.0.1", "0x7f000001", "127.0.0.2", "::",
        "2130706433", "example.com", "10.0.0.1", "localhost.localdomain", "", "127.0.0.1.",
        "0177.0.0.1", "[::1]", "ip6-localhost",
    ],
)  # fmt: skip
def test_L7_other_spellings_are_denied(mux, echo, host):
    """Even on the flagged route only three spellings of loopback pass."""
    before = echo.accepted
    port = free_port()
    with running(mux, "loop", "-D", str(port)) as wait:
        assert socks5(port, host, echo.port) is None
        wait(DENIED)
    assert echo.accepted == before


@pytest.mark.core
def test_R4_dynamic_forward(mux, echo):
    port = free_port()
    with running(mux, "loop", "-D", str(port)) as wait:
        def one(n):
            s = socks5(port, "127.0.0.1", echo.port)
            with s:
                data = os.urandom(10000 + n)
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                out = b""
                while piece := s.recv(65536):
                    out += piece
                return out == data

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert all(pool.map(one, range(40)))
        assert socks5(port, "192.0.2.1", 80) is None
        wait(DENIED)


def test_L9_refused_port_reason_is_the_remotes(mux):
    """Nobody listens there: the remote's own reason comes through, not ours."""
    port, closed = free_port(), free_port()
    with running(mux, "loop", "-L", f"{port}:127.0.0.1:{closed}") as wait:
        with contextlib.suppress(ConnectionResetError):
            assert exchange(port) == b""
        wait(b"open failed: connect failed: Connection refused")


def test_R5_default_flag_or_route_flag(make_mux, make_sshd, echo):
    target = make_sshd()
    mux = make_mux(target, top={"default_allow_remote_loopback_any_port": True},
                   route={"allow_remote_loopback_any_port": False})
    port = free_port()
    with running(mux, "t", "-L", f"{port}:127.0.0.1:{echo.port}"):
        assert exchange(port) == b"hello through the tunnel\n"


@pytest.mark.core
def test_R4_W_stdio_forward(mux, echo):
    done = mux.ssh("loop", options=["-W", f"127.0.0.1:{echo.port}"], input=b"stdio" * 5000)
    assert (done.stdout, done.returncode) == (b"stdio" * 5000, 0)
    done = mux.ssh("loop", options=["-W", "192.0.2.1:22"], input=b"")
    assert done.returncode != 0 and DENIED in done.stderr
    done = mux.ssh("t", options=["-W", f"127.0.0.1:{echo.port}"], input=b"")
    assert done.returncode != 0 and DENIED in done.stderr


def test_B3_streamlocal_same_policy(mux, tmp_path, cleanup):
    import peers

    directory = peers.short_dir("sock")
    path = directory / "s"
    server = cleanup(EchoServer(path))
    server.dir = directory
    port = free_port()
    with running(mux, "loop", "-L", f"{port}:{path}"):
        data = os.urandom(100000)
        assert exchange(port, data) == data
    before = server.accepted
    port = free_port()
    with running(mux, "t", "-L", f"{port}:{path}") as wait:
        with contextlib.suppress(ConnectionResetError):
            assert exchange(port) == b""
        wait(DENIED)
    assert server.accepted == before


def test_B3_streamlocal_relative_path_denied(mux):
    port = free_port()
    with running(mux, "loop", "-D", str(free_port())):
        pass
    with running(mux, "loop", "-L", f"{port}:./relative.sock") as wait:
        with contextlib.suppress(ConnectionResetError):
            assert exchange(port) == b""
        wait(b"open failed")


@pytest.mark.core
def test_L6_remote_forward_refused(mux):
    port = free_port()
    done = mux.ssh("loop", "true", options=["-v", "-o", "ExitOnForwardFailure=yes",
                                            "-R", f"{port}:127.0.0.1:22"])
    assert done.returncode == 255
    assert b"remote port forwarding failed for listen port" in done.stderr
    # Without that option it is a warning, and the session goes on.
    done = mux.ssh("loop", "echo on", options=["-R", f"{port}:127.0.0.1:22"])
    assert done.stdout == b"on\n" and done.returncode == 0
    assert b"remote port forwarding failed" in done.stderr
    assert not listening(port)


def test_L6_remote_streamlocal_forward_refused(mux, tmp_path):
    done = mux.ssh("loop", "true", options=["-o", "ExitOnForwardFailure=yes",
                                            "-R", f"{tmp_path}/r:127.0.0.1:22"])
    assert done.returncode == 255
    assert b"remote port forwarding failed for listen path" in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.core
def test_L6_agent_forwarding_refused(mux, make_agent):
    agent = make_agent(mux.keys.make("local"))
    done = mux.ssh("t", 'echo "sock=$SSH_AUTH_SOCK."',
                   options=["-v", "-A", "-o", f"IdentityAgent={agent.sock}"])
    assert b"Requesting authentication agent forwarding" in done.stderr
    assert (done.stdout, done.returncode) == (b"sock=.\n", 0)


@pytest.mark.core
def test_L6_x11_refused(mux, tmp_path):
    env = dict(os.environ, DISPLAY="127.0.0.1:99", XAUTHORITY=str(tmp_path / "xauth"))
    done = mux.ssh("t", 'echo "display=$DISPLAY."', options=["-Y", "-v"], env=env)
    assert b"Requesting X11 forwarding" in done.stderr
    assert b"X11 forwarding request failed on channel 0" in done.stderr
    assert (done.stdout, done.returncode) == (b"display=.\n", 0)


def test_L6_tunnel_devices_refused(mux):
    """tun@openssh.com needs root here to be asked for at all."""
    if os.getuid() != 0 or not os.path.exists("/dev/net/tun"):
        pytest.skip("no tun device here")
    done = mux.ssh("t", "echo on", options=["-w", "any:any", "-o", "ExitOnForwardFailure=yes"])
    assert done.returncode != 0 or b"on" in done.stdout
    assert b"open failed" in done.stderr or b"Could not request tunnel" in done.stderr


def test_L7_one_refusal_leaves_the_others(mux, echo):
    """A denied open among forty good ones hurts nobody."""
    port = free_port()
    with running(mux, "loop", "-D", str(port)):
        def one(n):
            if n % 4 == 0:
                return socks5(port, "192.0.2.7", 80) is None
            with socks5(port, "127.0.0.1", echo.port) as s:
                s.sendall(b"%d" % n)
                return s.recv(10) == b"%d" % n

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert all(pool.map(one, range(40)))
    mux.wait_idle()
