# SPDX-License-Identifier: MIT
"""Fair shares on a shared connection (U8): windows, their memory, and queues."""
import queue
import socket
import subprocess
import threading
import time

import pytest
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_SUCCESS,
    MSG_CHANNEL_WINDOW_ADJUST,
)

from peers import hop, poll, routes_toml
from pyssh import Client, Server


def sink(server, channel, name, m):
    """`exec`: reads all of its input, says how much it was, exits."""
    if name != "exec":
        return False

    def run():
        n = 0
        while piece := channel.recv(1 << 18):
            n += len(piece)
        channel.sendall(f"{n}\n".encode())
        channel.send_exit_status(0)
        channel.close()

    threading.Thread(target=run, daemon=True).start()
    return True


@pytest.mark.parametrize("window", [2**32 - 1, 2**31])
def test_U8_upload_into_a_window_near_2_to_the_32(make_mux, keys, cleanup, tmp_path, window):
    """ProFTPD grants 4294967295 bytes at once; an upload went no further than 1 MiB - 1."""
    server = cleanup(Server(keys.make("host_rsa", "rsa"), sink, window=window))
    mux = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts())
    data = tmp_path / "data"
    data.write_bytes(bytes(3_000_000))
    with data.open("rb") as f:
        done = subprocess.run(mux.argv("t", "sink"), stdin=f, capture_output=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, b"3000000\n"), done.stderr


def test_U8_window_adjusts_of_a_client_are_not_multiplied(make_mux, keys, cleanup):
    """A client that takes byte after byte: one message upstream for each would, in a stall, fill the
    connection that all share and end it."""
    n = 30_000
    adjusts = []

    def pour(server, channel, name, m):
        table = channel.transport._channel_handler_table
        take = table[MSG_CHANNEL_WINDOW_ADJUST]

        def count(chan, msg):
            at = msg.packet.tell()
            adjusts.append(msg.get_int())
            msg.packet.seek(at)
            take(chan, msg)

        table[MSG_CHANNEL_WINDOW_ADJUST] = count
        threading.Thread(target=fill, args=(channel,), daemon=True).start()
        return True

    def fill(channel):
        sent = 0
        while not channel.closed:
            sent += channel.send(bytes(32768))

    server = cleanup(Server(keys.make("host_rsa", "rsa"), pour))
    mux = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts())
    client = cleanup(Client(mux.port, mux.local_key))
    client.open(3, window=0)
    theirs = client.opened(3)
    client.request(theirs, "exec", True, "pour")
    client.wait(MSG_CHANNEL_SUCCESS, 3)

    def settled():
        before = len(adjusts), mux.status()["channels"][0]["bytes_in"]
        time.sleep(0.3)
        return before[1] and before == (len(adjusts), mux.status()["channels"][0]["bytes_in"])

    poll(settled, 10)
    before = len(adjusts)
    for _ in range(n):
        client.send(MSG_CHANNEL_WINDOW_ADJUST, theirs, 1)
    poll(lambda: len(client.data(3)) == n, 20)
    assert client.wait(MSG_CHANNEL_DATA, 3)
    poll(settled, 10)
    # A grant is worth at least 8 KiB. This client has taken 30,000 bytes; the window may have grown
    # besides, up to 2 MiB.
    grants = adjusts[before:]
    assert all(grant >= 8192 for grant in grants), grants
    assert sum(grants) <= n + (2 << 20), grants


class Far(threading.Thread):
    """A path to a port of this machine on which bytes need their time, whatever their number."""

    def __init__(self, port, one_way):
        super().__init__(daemon=True)
        self.target = port
        self.one_way = one_way
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            for a, b in ((near, far), (far, near)):
                b.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                under_way = queue.SimpleQueue()
                threading.Thread(target=self.take, args=(a, under_way), daemon=True).start()
                threading.Thread(target=self.give, args=(under_way, b), daemon=True).start()

    def take(self, sock, under_way):
        piece = b"x"
        while piece:
            try:
                piece = sock.recv(1 << 18)
            except OSError:
                piece = b""
            under_way.put((time.monotonic() + self.one_way, piece))

    def give(self, under_way, sock):
        while True:
            due, piece = under_way.get()
            time.sleep(max(0, due - time.monotonic()))
            try:
                if not piece:
                    sock.shutdown(socket.SHUT_WR)
                    return
                sock.sendall(piece)
            except OSError:
                return

    def stop(self):
        self.listener.close()


def test_U8_idle_channels_take_no_throughput(make_mux, make_sshd, cleanup):
    """300 idle channels of one client, and a transfer on another route over a long path."""
    target = make_sshd("target", MaxSessions=400)
    far = cleanup(Far(target.port, 0.02))
    known = target.known_hosts()
    mux = make_mux(
        routes=routes_toml({"t": hop(target), "far": dict(hop(target), port=far.port)}),
        known_hosts=known + known.replace(str(target.port), str(far.port)))
    mib = 10

    def rate():
        start = time.monotonic()
        done = subprocess.run(mux.argv("far", f"head -c {mib << 20} /dev/zero"),
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=120)
        assert len(done.stdout) == mib << 20 and done.returncode == 0
        return mib / (time.monotonic() - start)

    mux.check_works("far")
    before = max(rate() for _ in range(2))
    idle = cleanup(Client(mux.port, mux.local_key))
    for i in range(300):
        idle.open(i)
    for i in range(300):
        idle.opened(i)
    after = 0
    for _ in range(5):  # the machine may be busy now and then; windows that don't grow are for ever
        after = max(after, rate())
        if after >= 0.8 * before or after < 0.3 * before:
            break
    print(f"{before:.1f} MiB/s, beside 300 idle channels {after:.1f} MiB/s")
    assert after >= 0.8 * before
