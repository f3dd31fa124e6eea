# SPDX-License-Identifier: MIT
"""Bounded memory and no head-of-line blocking (N10): measured, so on the release build."""
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import size_mib
from peers import EchoServer, free_port, hop, poll, routes_toml
from pyssh import Client
from test_forward import running, socks5

pytestmark = [pytest.mark.big]
RSS_MAX = 64 << 20


class Watch(threading.Thread):
    """The highest resident size of the daemon."""

    def __init__(self, mux):
        super().__init__(daemon=True)
        self.mux = mux
        self.peak = 0
        self.done = threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.1):
            self.peak = max(self.peak, self.mux.memory())

    def stop(self):
        self.done.set()
        self.join()
        return self.peak


def speed(mux, mib=64, route="loop"):
    """Seconds for mib MiB of a fresh channel."""
    start = time.monotonic()
    done = subprocess.run(mux.argv(route, f"head -c {mib << 20} /dev/zero"), stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=120)
    assert len(done.stdout) == mib << 20 and done.returncode == 0
    return time.monotonic() - start


@pytest.fixture
def loop(make_mux, make_sshd):
    """Two hops; the flagged route, so that -D works."""
    target, bastion = make_sshd("target", MaxSessions=300), make_sshd("bastion")
    mux = make_mux(target, bastion, routes=routes_toml(
        {"loop": hop(target, allow_remote_loopback_any_port=True)}, jump=hop(bastion)))
    mux.check_works("loop")
    return mux


@pytest.mark.timeout(400)
def test_N10_slow_reader_gets_every_byte(loop):
    """1 MB/s for 30 s, then unthrottled, 1.2 GB in all; siblings keep their speed meanwhile."""
    total = size_mib(1145) << 20
    fast = speed(loop)
    watch = Watch(loop)
    client = loop.start_ssh("loop", f"head -c {total} /dev/zero", stdin=subprocess.DEVNULL)
    got = 0
    slow_times = []
    start = time.monotonic()
    throttled = float(os.environ.get("SMX_SLOW_SECONDS", "30"))

    def siblings():
        while time.monotonic() - start < throttled - 6:
            slow_times.append(speed(loop))
            time.sleep(1)

    sibling = threading.Thread(target=siblings)
    sibling.start()
    while time.monotonic() - start < throttled:
        got += len(client.stdout.read(100000))
        time.sleep(0.1)
    sibling.join()
    while piece := client.stdout.read1(1 << 20):
        assert not piece.strip(b"\0")
        got += len(piece)
    assert client.wait(20) == 0
    client.stdout.close()
    client.stderr.close()
    peak = watch.stop()
    assert got == total
    assert peak <= RSS_MAX, f"{peak >> 20} MiB"
    assert slow_times
    assert min(slow_times) < 2 * fast + 0.5 and sorted(slow_times)[len(slow_times) // 2] < 4 * fast


@pytest.mark.timeout(200)
def test_N10_upload_into_a_sleeper(loop, cleanup):
    """A -D channel whose far end never reads: it stops, and only it."""
    sleeper = socket.create_server(("127.0.0.1", 0))
    held = []

    def accept():
        try:
            held.append(sleeper.accept()[0])
        except OSError:
            pass

    threading.Thread(target=accept, daemon=True).start()
    fast = speed(loop)
    watch = Watch(loop)
    port = free_port()
    with running(loop, "loop", "-D", str(port)):
        s = socks5(port, "127.0.0.1", sleeper.getsockname()[1])
        s.setblocking(False)
        sent, last = 0, time.monotonic()
        while time.monotonic() - last < 2:
            try:
                sent += s.send(b"z" * 65536)
                last = time.monotonic()
            except BlockingIOError:
                time.sleep(0.05)
        assert sent < 256 << 20, "somebody takes it all"
        times = [speed(loop) for _ in range(5)]
        assert sorted(times)[2] < 3 * fast + 0.5, (times, fast)
        # Channels of the very same client as well.
        echo = cleanup(EchoServer())
        s2 = socks5(port, "127.0.0.1", echo.port)
        s2.sendall(b"ping")
        s2.settimeout(5)
        assert s2.recv(4) == b"ping"
        # And it goes on when the far end reads at last.
        poll(lambda: held, 5)
        far = held[0]
        far.settimeout(20)
        rest = sent
        while rest:
            piece = far.recv(min(rest, 1 << 20))
            assert piece and not piece.strip(b"z")
            rest -= len(piece)
        s.close()
        s2.close()
    peak = watch.stop()
    for h in held:
        h.close()
    sleeper.close()
    assert peak <= RSS_MAX, f"{peak >> 20} MiB"


@pytest.mark.timeout(200)
def test_N10_upload_into_remote_sleep(loop):
    """`ssh host sleep < /dev/zero`, several at once."""
    fast = speed(loop)
    watch = Watch(loop)
    with open("/dev/zero", "rb") as zero:
        stuck = [loop.start_ssh("loop", "sleep 20", stdin=zero) for _ in range(4)]
        time.sleep(3)
        times = [speed(loop) for _ in range(5)]
        for client in stuck:
            client.kill()
            client.communicate()
    peak = watch.stop()
    assert sorted(times)[2] < 3 * fast + 0.5, (times, fast)
    assert peak <= RSS_MAX, f"{peak >> 20} MiB"
    loop.wait_idle(30)


@pytest.mark.timeout(120)
def test_N10_many_stopped_readers(loop):
    """Twenty channels full to the brim: the sum is bounded too."""
    watch = Watch(loop)
    stuck = [loop.start_ssh("loop", "cat /dev/zero", stdin=subprocess.DEVNULL) for _ in range(20)]
    for client in stuck:
        assert client.stdout.read(1000)
    time.sleep(3)
    seconds = speed(loop, 16)
    for client in stuck:
        client.kill()
        client.communicate()
    assert seconds < 20
    peak = watch.stop()
    assert peak <= 3 * RSS_MAX, f"{peak >> 20} MiB"
    loop.wait_idle()


@pytest.mark.timeout(120)
def test_idle_memory(loop):
    """Idle: at most 10 MB, of it 3 MB that are no file's, and 64 KiB for each further idle client.
    OpenSSL 3.5 adds up to 2 MB: pages of its library, which all programs that use it share."""
    # Each client's own buffers are warm after a first round.
    clients = [loop.start_ssh("loop", "cat", stdin=subprocess.PIPE) for _ in range(10)]
    poll(lambda: loop.open_channels() >= 10, 20)
    base, own = loop.memory(), loop.memory("RssAnon")
    more = [loop.start_ssh("loop", "cat", stdin=subprocess.PIPE) for _ in range(50)]
    poll(lambda: loop.open_channels() >= 60, 40)
    time.sleep(1)
    grown = loop.memory() - base
    for client in clients + more:
        client.communicate(timeout=20)
    library = 2_000_000 if ssl.OPENSSL_VERSION_INFO >= (3, 5) else 0
    assert base <= 10_000_000 + library, base
    assert own <= 3_000_000, own
    assert grown <= 50 * 65536, f"{grown / 50 / 1024:.1f} KiB each"


@pytest.mark.timeout(120)
def test_U10_memory_of_a_burst_goes_back_to_the_system(loop):
    """200 channels of 10 clients, full to the brim; another channel is open all the while."""
    quiet = loop.start_ssh("loop", "cat", stdin=subprocess.PIPE)
    poll(lambda: loop.open_channels() == 1, 10)
    speed(loop, 16)
    time.sleep(7)
    base = loop.memory()
    clients = [Client(loop.port, loop.local_key, user="loop") for _ in range(10)]
    for client in clients:
        for i in range(20):
            client.open(i, window=0)
        for i in range(20):
            client.request(client.opened(i), "exec", False, "head -c 300000 /dev/zero")
    time.sleep(3)
    peak = loop.memory()
    for client in clients:
        client.stop()
    poll(lambda: loop.open_channels() == 1, 20)
    time.sleep(7)  # it is looked at each second, and given back at most each five
    after = loop.memory()
    quiet.communicate(timeout=20)
    print(f"{base >> 10} KiB, {peak >> 10} KiB, {after >> 10} KiB")
    assert peak > base + (20 << 20), "no burst"
    assert after < base + (4 << 20)


def proxied(mux, command):
    """A client that comes through `proxy`, with pipes."""
    option = f"-oProxyCommand={mux.binary} proxy t"
    return subprocess.Popen(mux.argv("t", command, options=[option]), stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, env=mux.env)


def test_B7_idle_clients_of_proxy_hold_no_buffers(make_mux, make_sshd):
    """Each has had 16 MiB in both directions before: reads of more than 64 KiB are everybody's."""
    mux = make_mux(target=make_sshd(MaxSessions=60, MaxStartups=100))
    size = 16 << 20
    command = f"head -c {size} >/dev/null; head -c {size} /dev/zero; exec cat >/dev/null"
    clients, first = [], 0
    try:
        for n in (1, 40):
            while len(clients) < n:
                client = proxied(mux, command)
                clients.append(client)
                client.stdin.write(bytes(size))
                client.stdin.flush()
                left = size
                while left:
                    left -= len(client.stdout.read1(1 << 20))
            # What the transfers needed goes back to the system every five seconds.
            if n == 1:
                time.sleep(7)
                first = mux.memory("RssAnon")
        poll(lambda: mux.memory("RssAnon") - first < 39 * (32 << 10), 60,
             "no more than 32 KiB for each further client")
    finally:
        for client in clients:
            client.kill()
            client.wait()
            client.stdin.close()
            client.stdout.close()


def test_B7_a_client_of_proxy_that_does_not_read_costs_its_window(make_mux, make_sshd):
    """Back pressure: the remote is not read any further; every byte arrives afterwards."""
    mux = make_mux(target=make_sshd())
    size = 256 << 20
    client = proxied(mux, f"head -c {size} /dev/zero")
    try:
        got = len(client.stdout.read(1))
        before, last = mux.memory(), -1
        while last != (last := mux.connections()[0]["bytes_in"]):
            time.sleep(1)
        assert last < 64 << 20
        assert mux.memory() - before < 24 << 20
        while piece := client.stdout.read1(1 << 20):
            got += len(piece)
        assert client.wait(30) == 0 and got == size
    finally:
        client.kill()
        client.wait()
