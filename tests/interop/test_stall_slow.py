# SPDX-License-Identifier: MIT
"""Minutes of silence on a network of its own (U3, U4, P4): what plain ssh survives, we survive, with
every byte; what ends, ends when it must and says so."""
import glob
import hashlib
import os
import subprocess
import threading
import time

import pytest

import netns
from netns import Net, NetMux, NetSshd
from peers import free_port, poll, routes_toml

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(netns.refusal() is not None, reason=str(netns.refusal())),
]
SILENCE = 60
LIMIT = 6 * 1.2

ECHO = """
import socket, threading
s = socket.create_server(("127.0.0.1", PORT))
def serve(c):
    while d := c.recv(65536):
        c.sendall(d)
    c.close()
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


class World:
    """here: ssh-mux and its clients; server and jump: sshds; behind: a sshd reached through jump."""

    def __init__(self, keys, cleanup, top=None, **kwargs):
        self.net = cleanup(Net("here", "server", "jump", "behind"))
        self.keys = keys
        self.server, self.jump, self.behind = (
            cleanup(NetSshd(self.net, m, keys)) for m in ("server", "jump", "behind"))
        everybody = (self.server, self.jump, self.behind)
        known = "".join(s.known_hosts() for s in everybody)
        routes = {
            "r": self.to("server", direct=True),
            "j": self.to("behind", jump="hop"),
            "hop": self.to("jump", direct=True),
        }
        self.mux = cleanup(NetMux(self.net, "here", keys, routes=routes_toml(
            {n: dict(r, allow_remote_loopback_any_port=True) for n, r in routes.items()}, top=top),
            known_hosts=known, **kwargs))
        (self.mux.dir / "plain_known_hosts").write_text(known)
        self.plain_config = self.mux.dir / "plain_config"
        self.plain_config.write_text(f"""Host r
  HostName {self.server.host}
Host j
  HostName {self.behind.host}
  ProxyJump hop
Host hop
  HostName {self.jump.host}
Host *
  User root
  IdentityFile {keys.make("remote")}
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {self.mux.dir}/plain_known_hosts
  StrictHostKeyChecking yes
  UpdateHostKeys no
  BatchMode yes
""")
        self.plain_config.chmod(0o600)

    def to(self, machine, **more):
        return dict(host=self.net.address[machine], port=22, user="root", **more)

    def call(self, how, route, *args, program="ssh", **kwargs):
        """A client: how "mux" or "plain"."""
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        if how == "mux":
            argv = self.mux.argv(route, *args[-1:], options=args[:-1], program=program)
        else:
            argv = self.net.inside("here") + [program, "-F", str(self.plain_config), *args[:-1],
                                              route, *args[-1:]]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

    def states(self):
        return sorted(c["state"] for c in self.mux.status()["connections"])

    def settle(self):
        poll(lambda: all(c["rtt_ms"] >= 0 for c in self.mux.status()["connections"]), 5,
             "a round trip", 0.1)


@pytest.fixture
def world(keys, cleanup):
    return lambda **kwargs: World(keys, cleanup, **kwargs)


class HalfRead:
    """A `cat` of a big file whose reader has half of it when the silence comes."""

    def __init__(self, world, how, path, size):
        self.proc = world.call(how, "r", f"cat {path}")
        self.size = size
        self.digest = hashlib.sha256()
        self.n = 0
        self.read_to(size // 2)

    def read_to(self, n):
        while self.n < n and (block := self.proc.stdout.read1(min(65536, n - self.n))):
            self.digest.update(block)
            self.n += len(block)

    def finish(self, want):
        self.read_to(self.size + 1)
        assert self.proc.wait(30) == 0, self.proc.stderr.read()
        assert (self.n, self.digest.hexdigest()) == (self.size, want)


class Stream(threading.Thread):
    """Through a -L forward to an echo server: what is sent comes back, in its order."""

    def __init__(self, world, how, echo_port):
        super().__init__(daemon=True)
        self.world, self.fault = world, None
        self.port = free_port()
        self.proc = world.call(how, "r", "-N", "-L", f"127.0.0.1:{self.port}:127.0.0.1:{echo_port}",
                               "-o", "ExitOnForwardFailure=yes", "-v", "sleep 1")

    def run(self):
        # A process in that namespace: sockets are of the namespace they are made in.
        program = f"""
import hashlib, os, socket, threading, time
for _ in range(100):
    try:
        s = socket.create_connection(("127.0.0.1", {self.port}))
        break
    except OSError:
        time.sleep(0.1)
sent, came = hashlib.sha256(), hashlib.sha256()
def write():
    for _ in range(400):
        block = os.urandom(16384)
        sent.update(block)
        s.sendall(block)
        time.sleep({SILENCE / 400 * 1.5})
    s.shutdown(socket.SHUT_WR)
t = threading.Thread(target=write)
t.start()
n = 0
while d := s.recv(65536):
    came.update(d)
    n += len(d)
t.join()
assert n == 400 * 16384, n
assert sent.digest() == came.digest()
"""
        done = subprocess.run(self.world.net.inside("here") + ["/usr/bin/python3", "-c", program],
                              capture_output=True)
        self.fault = done.stderr.decode() if done.returncode else ""

    def finish(self):
        self.join(180)
        assert self.fault == "", self.fault
        assert self.proc.poll() is None, self.proc.stderr.read()
        self.proc.terminate()
        self.proc.communicate()


def sftp_put(world, how, source, to):
    argv = ["sftp", "-q", "-b", "-", "-l", "16000"]  # 2 MB/s: it is under way when the silence comes
    where = ["-F", str(world.mux.config_path), "r@mux"] if how == "mux" else [
        "-F", str(world.plain_config), "r"]
    proc = subprocess.Popen(world.net.inside("here") + argv + where, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    proc.stdin.write(f"put {source} {to}\n".encode())
    proc.stdin.close()
    proc.stdin = None
    return proc


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.timeout(400)
def test_U3_a_minute_of_silence_costs_nothing(world, tmp_path):
    """A sleep, half a cat, an sftp put and a -L stream on one connection, and a session behind a
    jump host; the same by plain ssh. All end as if nothing had been."""
    w = world()
    big, want = tmp_path / "big", None
    big.write_bytes(os.urandom(50 << 20))
    want = sha(big)
    small = tmp_path / "small"
    small.write_bytes(os.urandom(32 << 20))
    echo_port = free_port()
    echo = subprocess.Popen(w.net.inside("server") + [
        "/usr/bin/python3", "-c", ECHO.replace("PORT", str(echo_port))])
    try:
        w.mux.check_works("r")
        w.mux.check_works("j")
        lasting = SILENCE + 15
        jobs = {}
        for how in ("mux", "plain"):
            jobs[how] = (
                [w.call(how, r, f"sleep {lasting}; echo alive") for r in ("r", "j")],
                HalfRead(w, how, big, 50 << 20),
                sftp_put(w, how, small, tmp_path / f"put-{how}"),
                Stream(w, how, echo_port),
            )
            jobs[how][3].start()
        # Ours share one login; the four of plain ssh have one each.
        poll(lambda: w.server.logins() == 1 + 4, 10, "all to be logged in")
        assert w.states() == ["ready"] * 3
        time.sleep(4)
        before = w.mux.memory()
        w.net.pull("here")
        start = time.monotonic()
        time.sleep(8)
        refused_within_6_s(w, "r")
        refused_within_6_s(w, "j")
        while time.monotonic() - start < SILENCE - 8:
            assert w.mux.memory() - before < 16 << 20
            time.sleep(1)
        assert set(w.states()) >= {"stalled"}
        refused_within_6_s(w, "r")
        time.sleep(max(0, start + SILENCE - time.monotonic()))
        w.net.plug("here")
        for how in ("mux", "plain"):
            sleepers, cat, put, stream = jobs[how]
            for sleeper in sleepers:
                out, err = sleeper.communicate(timeout=150)
                assert (out, sleeper.returncode) == (b"alive\n", 0), (how, err)
            cat.finish(want)
            assert put.wait(150) == 0, (how, put.stderr.read())
            assert sha(tmp_path / f"put-{how}") == sha(small), how
            stream.finish()
        assert w.server.logins() == 1 + 4, "nothing of it was another login"
        assert "is stalled" in w.mux.log() and "is back" in w.mux.log()
    finally:
        echo.kill()
        echo.wait()


def refused_within_6_s(w, route):
    start = time.monotonic()
    done = w.mux.ssh(route, "true")
    assert done.returncode == 255 and time.monotonic() - start < LIMIT, done
    assert b"is stalled: no sign of life for" in done.stderr, done


class Process(subprocess.Popen):
    def stop(self):
        self.kill()
        self.wait()


@pytest.mark.big  # a preloaded library and AddressSanitizer don't mix
def test_U3_ten_minutes_of_silence_cost_nothing(world, tmp_path, cleanup):
    """By the daemon's clock, which runs 25 times as fast; the network's is the real one."""
    libraries = glob.glob("/usr/lib*/faketime/libfaketime.so.1")
    libraries += glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not libraries:
        pytest.skip("libfaketime is not installed")
    speed = 25
    w = world(env={"LD_PRELOAD": libraries[0], "FAKETIME": f"+0 x{speed}"})
    big = tmp_path / "big"
    big.write_bytes(os.urandom(50 << 20))
    small = tmp_path / "small"
    small.write_bytes(os.urandom(32 << 20))
    echo_port = free_port()
    echo = cleanup(Process(w.net.inside("server") + [
        "/usr/bin/python3", "-c", ECHO.replace("PORT", str(echo_port))]))
    assert echo.poll() is None
    sleepers = [w.call("mux", r, "sleep 40; echo alive") for r in ("r", "j")]
    cat = HalfRead(w, "mux", big, 50 << 20)
    put = sftp_put(w, "mux", small, tmp_path / "put")
    stream = Stream(w, "mux", echo_port)
    stream.start()
    poll(lambda: w.states() == ["ready"] * 3, 10)
    poll(lambda: "channel opened: direct-tcpip" in w.mux.log(), 10, "the stream runs")
    w.settle()
    before = w.mux.memory()
    w.net.pull("here")
    time.sleep(600 / speed)
    assert w.states() == ["stalled"] * 3
    assert min(c["stalled_s"] for c in w.mux.status()["connections"]) > 500
    assert w.mux.memory() - before < 16 << 20
    w.net.plug("here")
    for sleeper in sleepers:
        out, err = sleeper.communicate(timeout=60)
        assert (out, sleeper.returncode) == (b"alive\n", 0), (err, w.mux.log()[-2000:])
    cat.finish(sha(big))
    assert put.wait(60) == 0, put.stderr.read()
    assert sha(tmp_path / "put") == sha(small)
    stream.finish()
    assert w.server.logins() == 1


def test_U3_silence_behind_a_healthy_jump_host(world):
    """Only the target's cable is pulled: the jump host's connection stays as it is, and the target's
    is stalled and back by itself."""
    w = world()
    client = w.call("mux", "j", "sleep 75; echo alive")
    poll(lambda: w.states() == ["ready", "ready"], 10)
    w.settle()
    time.sleep(2)
    w.net.pull("behind")
    time.sleep(2)
    refused_within_6_s(w, "j")
    assert w.mux.ssh("hop", "echo hop").stdout == b"hop\n"
    time.sleep(SILENCE - 10)
    assert "stalled" in w.states() and w.jump.logins() == 1
    w.net.plug("behind")
    out, err = client.communicate(timeout=120)
    assert (out, client.returncode) == (b"alive\n", 0), err


def test_U3_P4_45_s_of_silence_and_reaped_when_idle(world):
    """Nobody asks for anything: stalled at 45 s, and gone within 30 s more; what has a channel stays."""
    w = world()
    client = w.call("mux", "r", "cat", stdin=subprocess.PIPE)
    w.mux.check_works("hop")
    w.settle()
    start = time.monotonic()
    w.net.pull("here")
    # The last sign of life may have come up to 15 s ago, and does not while we look.
    poll(lambda: w.states() == ["stalled", "stalled"], 70, "both to be stalled", 0.2)
    assert 45 * 0.8 - 15 < time.monotonic() - start < 45 * 1.2
    for line in w.mux.log().splitlines():
        if "is stalled: no sign of life for" in line:
            assert 45 <= int(line.split("life for ")[1].split(" s")[0]) <= 47, line
    start = time.monotonic()
    poll(lambda: w.states() == ["stalled"], 40, "the idle one to be gone", 0.2)
    assert time.monotonic() - start < 30 * 1.2
    assert client.poll() is None
    w.net.plug("here")
    out, err = client.communicate(b"on we go\n", timeout=100)
    assert (out, client.returncode) == (b"on we go\n", 0), err


def test_U3_never_back_ends_at_dead_after(world):
    """dead_after = 60: the client is told then, and nothing has piled up meanwhile."""
    w = world(top={"dead_after": 60})
    clients = [w.call("mux", route, "cat", stdin=subprocess.PIPE) for route in ("r", "j")]
    for client in clients:
        client.stdin.write(b"up\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"up\n"
    w.settle()
    time.sleep(2)
    w.net.pull("here")
    start = time.monotonic()
    clients[0].stdin.write(b"x" * 60000)
    clients[0].stdin.flush()
    time.sleep(5)
    before = w.mux.memory()
    while clients[0].poll() is None and time.monotonic() - start < 90:
        assert w.mux.memory() - before < 8 << 20
        time.sleep(0.2)
    for client in clients:
        _, err = client.communicate(timeout=10)
        assert b"no sign of life for 60 s (dead_after)" in err, err
    assert 60 * 0.8 < time.monotonic() - start < 60 * 1.2


def test_B10_dead_after_is_read_again(world):
    """While it is stalled: 86400 becomes 60, and it ends."""
    w = world(top={"dead_after": 86400})
    client = w.call("mux", "r", "cat", stdin=subprocess.PIPE)
    client.stdin.write(b"up\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"up\n"
    w.settle()
    w.net.pull("here")
    time.sleep(65)
    assert w.states() == ["stalled"]
    text = w.mux.routes_path.read_text()
    w.mux.routes_path.write_text(text.replace("dead_after = 86400", "dead_after = 60"))
    start = time.monotonic()
    _, err = client.communicate(timeout=20)
    assert time.monotonic() - start < 8
    assert b"(dead_after)" in err, err


@pytest.mark.parametrize("how", ["reset", "server killed", "jump host killed"])
def test_U3_what_is_no_silence_ends_at_once(world, how):
    w = world()
    route = "j" if how == "jump host killed" else "r"
    client = w.call("mux", route, "echo up; sleep 300")
    assert client.stdout.readline() == b"up\n"
    w.settle()
    start = time.monotonic()
    if how == "reset":
        # The server forgets the connection, as after a crash: what we send next is answered by RST.
        done = subprocess.run(w.net.inside("server") + ["ss", "-K", "sport", "=", ":22"],
                              capture_output=True)
        if b"10.77" not in done.stdout:
            pytest.skip("ss can't end connections here")
    else:
        (w.jump if route == "j" else w.server).kill()
    _, err = client.communicate(timeout=20)
    assert time.monotonic() - start < 3
    assert b"ssh-mux: connection to 10.77.0." in err and b" lost: " in err, err
    assert client.returncode == 255 or client.returncode < 0 or client.returncode == 1, client
