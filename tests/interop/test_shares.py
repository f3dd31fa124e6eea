# SPDX-License-Identifier: MIT
"""Fair shares on a shared connection (U8): windows, their memory, and queues."""
import subprocess
import threading

import pytest

from peers import routes_toml
from pyssh import Server


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
