# SPDX-License-Identifier: MIT
"""Everything dies at some time (P6, N5): clients in each channel state, servers under
load, the jump host, the path. The right message, nothing leaked, the next call works."""
import concurrent.futures
import glob
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

from peers import USER, free_port, listening, pgrep, poll, routes_toml
from test_forward import socks5


@pytest.fixture
def pair(make_mux, make_sshd):
    target = make_sshd("target", MaxSessions=300)
    bastion = make_sshd("bastion", MaxSessions=300)
    mux = make_mux(target, bastion, route={"allow_remote_loopback_any_port": True})
    mux.target, mux.bastion = target, bastion
    mux.check_works()
    return mux


def survived(mux, logins=1):
    """The killed client hurt only itself."""
    mux.wait_idle()
    mux.check_works()
    assert mux.target.logins() == logins


def wait_children(mux, text, gone=False):
    """The remote command (found by its name) runs, or has ended."""
    poll(lambda: bool(pgrep(text)) != gone, 15, f"{text} {'ends' if gone else 'runs'}")


@pytest.mark.parametrize(
    "state", ["idle", "output", "input", "half-closed",
              pytest.param("pty", marks=pytest.mark.remote_tty), "stdin-full", "sftp"]
)  # fmt: skip
def test_P6_client_killed_in_state(pair, state):
    marker = f"smxmark{random.randrange(10**9)}"
    commands = {
        "idle": (f"exec -a {marker} sleep 300", []),
        "output": (f"exec -a {marker} cat /dev/zero", []),
        "input": (f"exec -a {marker} cat > /dev/null", []),
        "half-closed": (f"cat > /dev/null; exec -a {marker} sleep 300", []),
        "pty": (f"exec -a {marker} sleep 300", ["-tt"]),
        "stdin-full": (f"exec -a {marker} sleep 300", []),
        "sftp": ("", ["-s"]),
    }
    command, options = commands[state]
    if state == "sftp":
        client = pair.start_ssh("t", "sftp", options=options)
        client.stdin.write(b"\x00\x00\x00\x05\x01\x00\x00\x00\x03")
        client.stdin.flush()
        assert client.stdout.read(4)
    else:
        # bash of the account, for exec -a.
        client = pair.start_ssh("t", f"bash -c '{command}'", options=options)
        if state in ("input", "stdin-full"):
            feeder = threading.Thread(target=feed_for_ever, args=(client.stdin,), daemon=True)
            feeder.start()
        elif state == "half-closed":
            client.stdin.close()
        wait_children(pair, f"^{marker}")
        if state == "output":
            assert client.stdout.read(100000)
        time.sleep(0.3)
    client.kill()
    client.wait()
    client.stdout.close()
    client.stderr.close()
    pair.check_works()
    poll(lambda: not pair.status()["clients"], 10, "the client to be gone")
    if state in ("output", "input", "pty"):
        wait_children(pair, f"^{marker}", gone=True)
    # sshd keeps a session without a terminal until its command ends, whoever has left.
    for pid in pgrep(f"^{marker}"):
        os.kill(pid, signal.SIGKILL)
    survived(pair)


def feed_for_ever(stream):
    try:
        while True:
            stream.write(b"x" * 65536)
            stream.flush()
    except (OSError, ValueError):
        pass


def test_P6_client_killed_while_its_open_is_pending(make_mux, make_sshd, pump):
    """P6: wait for the answer, then close."""
    target = make_sshd("target")
    path = pump(target.port)
    known = target.known_hosts().replace(str(target.port), str(path.port))
    mux = make_mux(routes=routes_toml({"t": dict(host="127.0.0.1", port=path.port, user=USER)}),
                   known_hosts=known)
    mux.check_works()
    path.hold()
    clients = [mux.start_ssh("t", "echo never", stdin=subprocess.DEVNULL) for _ in range(8)]
    poll(lambda: len(mux.status()["clients"]) == 8, 10)
    time.sleep(0.3)
    for client in clients:
        client.kill()
        client.communicate()
    poll(lambda: not mux.status()["clients"], 10)
    path.release()
    mux.wait_idle()
    mux.check_works()
    assert target.logins() == 1
    poll(lambda: len(target.connections()) <= 3, 10, "no sessions left at the server")


def test_P6_client_killed_during_the_login(make_mux, make_sshd, pump):
    target = make_sshd("target")
    path = pump(target.port)
    known = target.known_hosts().replace(str(target.port), str(path.port))
    mux = make_mux(routes=routes_toml({"t": dict(host="127.0.0.1", port=path.port, user=USER)}),
                   known_hosts=known)
    path.hold()
    client = mux.start_ssh("t", "echo never", stdin=subprocess.DEVNULL)
    poll(lambda: mux.status()["clients"], 10)
    client.kill()
    client.communicate()
    path.release()
    mux.wait_idle()
    mux.check_works()


def test_P6_client_killed_before_and_during_its_own_handshake(pair):
    for read in (0, 10, 600):
        s = socket.create_connection(("127.0.0.1", pair.port))
        s.sendall(b"SSH-2.0-half\r\n"[: 5 + read])
        if read:
            s.recv(read)
        s.close()
    survived(pair)


def test_P6_killed_while_forwarding(pair, echo):
    port = free_port()
    client = pair.start_ssh("t", options=["-N", "-D", str(port)], stdin=subprocess.DEVNULL)
    poll(lambda: listening(port), 10)
    sockets = [socks5(port, "127.0.0.1", echo.port) for _ in range(10)]
    for s in sockets:
        s.sendall(b"y" * 10000)
    client.kill()
    client.communicate()
    for s in sockets:
        s.close()
    survived(pair)


def test_P6_sshd_killed_under_load(pair):
    clients = [pair.start_ssh("t", "cat /dev/zero", stdin=subprocess.DEVNULL) for _ in range(6)]
    for client in clients:
        assert client.stdout.read(200000)
    for pid in pair.target.connections():
        os.kill(pid, signal.SIGKILL)
    for client in clients:
        while client.stdout.read1(1 << 20):
            pass
        err = client.stderr.read()
        assert client.wait(20) != 0
        client.stdout.close()
        client.stderr.close()
        assert err, "the user is told"
    survived(pair, logins=2)


def test_P6_sshd_killed_exit_code_is_not_zero(pair):
    """A cut transfer must not look like a whole one."""
    client = pair.start_ssh("t", "echo part; sleep 60; echo rest", stdin=subprocess.DEVNULL)
    assert client.stdout.readline() == b"part\n"
    for pid in pair.target.connections():
        os.kill(pid, signal.SIGKILL)
    out, err = client.communicate(timeout=20)
    assert out == b"" and client.returncode == 255


def test_P5_jump_killed_under_load(pair):
    client = pair.start_ssh("t", "cat /dev/zero", stdin=subprocess.DEVNULL)
    assert client.stdout.read(200000)
    for pid in pair.bastion.connections():
        os.kill(pid, signal.SIGKILL)
    while client.stdout.read1(1 << 20):
        pass
    err = client.stderr.read()
    assert client.wait(20) != 0 and err
    client.stdout.close()
    client.stderr.close()
    survived(pair, logins=2)
    assert pair.bastion.logins() == 2


def test_P4_everything_down_then_up(pair):
    pair.target.stop()
    pair.bastion.stop()
    assert pair.ssh("t", "true").returncode == 255
    pair.bastion.start()
    assert pair.ssh("t", "true").returncode == 255
    pair.target.start()
    pair.check_works()


def test_P6_path_cut_under_load(make_mux, make_sshd, pump):
    target = make_sshd("target")
    path = pump(target.port)
    known = target.known_hosts().replace(str(target.port), str(path.port))
    mux = make_mux(routes=routes_toml({"t": dict(host="127.0.0.1", port=path.port, user=USER)}),
                   known_hosts=known)
    for _ in range(5):
        client = mux.start_ssh("t", "cat /dev/zero", stdin=subprocess.DEVNULL)
        assert client.stdout.read(random.randrange(1, 3000000))
        path.cut()
        while client.stdout.read1(1 << 20):
            pass
        assert client.wait(20) != 0
        client.stdout.close()
        client.stderr.close()
    mux.wait_idle()
    mux.check_works()


def test_P6_storm_of_short_clients(pair):
    """Clients that start and are killed at any moment, for some seconds."""
    end = time.monotonic() + 6

    def one(n):
        rng = random.Random(n)
        while time.monotonic() < end:
            client = pair.start_ssh("t", rng.choice(["true", "cat /dev/zero", "sleep 5", "exit 3"]),
                                    stdin=subprocess.DEVNULL)
            time.sleep(rng.random() * 0.4)
            client.kill()
            client.communicate()

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(6)))
    pair.wait_idle(30)
    pair.check_works()
    poll(lambda: len(pair.status()["connections"]) <= 3, 10)


def test_P6_descriptors_come_back(pair):
    pair.check_works()
    pair.wait_idle()
    before = pair.fds()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: pair.ssh("t", "true"), range(60)))
    pair.wait_idle()
    poll(lambda: pair.fds() <= before, 10, f"{before} descriptors")


def test_L10_stopped_client_with_output_harms_nobody(pair):
    """SIGSTOP in the middle of a download: others keep their speed and the memory is bounded."""
    stuck = pair.start_ssh("t", "cat /dev/zero", stdin=subprocess.DEVNULL)
    assert stuck.stdout.read(100000)
    stuck.send_signal(signal.SIGSTOP)
    try:
        start = time.monotonic()
        done = pair.ssh("t", "head -c 30000000 /dev/zero")
        assert len(done.stdout) == 30000000
        assert time.monotonic() - start < 30
    finally:
        stuck.send_signal(signal.SIGCONT)
        stuck.kill()
        stuck.communicate()
    survived(pair)


def test_P6_daemon_killed_client_is_told(make_mux, make_sshd):
    mux = make_mux(make_sshd())
    mux.expect_clean = False
    client = mux.start_ssh("t", "echo up; sleep 60", stdin=subprocess.DEVNULL)
    assert client.stdout.readline() == b"up\n"
    mux.proc.kill()
    mux.proc.wait()
    _, err = client.communicate(timeout=10)
    assert client.returncode == 255
    # The socket and lock of the dead one are in nobody's way.
    mux.start()
    mux.check_works()
    mux.expect_clean = True


@pytest.mark.big  # a preloaded library and AddressSanitizer don't mix
def test_P6_clock_jump(make_mux, make_sshd):
    """The wall clock leaps by a day, both ways: nothing is reaped, nothing hangs (the ages are
    those of a monotonic clock)."""
    libraries = glob.glob("/usr/lib*/faketime/libfaketime.so.1")
    libraries += glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not libraries:
        pytest.skip("libfaketime is not installed")
    target = make_sshd()
    stamp = None
    mux = make_mux(target, timeout=30, start=False)
    stamp = mux.ssh_dir / "clock"  # where the daemon may read it (H3)
    stamp.write_text("+0\n")
    mux.env.update(
        LD_PRELOAD=libraries[0],
        FAKETIME_TIMESTAMP_FILE=str(stamp), FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )  # fmt: skip
    mux.start()
    client = mux.start_ssh("t", "cat")
    client.stdin.write(b"a\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"a\n"
    for shift in ("+86400\n", "-86400\n", "+0\n"):
        # At once: the library ends the program when it reads the file while it is empty.
        fresh = stamp.with_name("fresh")
        fresh.write_text(shift)
        fresh.replace(stamp)
        if shift == "+86400\n":  # B11: as after a sleep through which our own clock stood still
            mux.wait_log("the clock jumped by 86")
        time.sleep(0.7)
        client.stdin.write(b"b\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"b\n"
        mux.check_works()
    client.communicate(timeout=10)
    assert target.logins() == 1
