# SPDX-License-Identifier: MIT
"""Fair shares on a shared connection (U8): windows, their memory, and queues."""
import subprocess
import threading
import time

import pytest
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_SUCCESS,
    MSG_CHANNEL_WINDOW_ADJUST,
)

from peers import poll, routes_toml
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
            adjusts.append(chan)
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
    # A grant is worth at least 8 KiB, and this client has taken 30,000 bytes.
    assert len(adjusts) - before <= n // 8192 + 1
