# SPDX-License-Identifier: MIT
"""Programs that carry connections, often, long and badly (R7)."""
import contextlib
import hashlib
import os
import pathlib
import shutil
import socket
import sys
import threading
import time

import pytest

from conftest import size_mib
from peers import children_of, hop, poll, routes_toml, words_of

STARTS = int(os.environ.get("SMX_STARTS", 1000))
LANES = 4

# A session-manager plugin as a cloud has it: it needs a second, drops what is idle, and at times
# dies for no reason.
MANAGER = """#!{python}
import os, select, socket, sys, time
host, port, idle, fatal, log = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]
with open(log, "a+") as f:
    f.write(f"{{os.getpid()}}\\n")
    f.seek(0)
    n = len(f.readlines())
time.sleep(1)
s = socket.create_connection((host, port))
if n == int(fatal):
    print("TargetNotConnected: the session was terminated", file=sys.stderr, flush=True)
    sys.exit(255)
while True:
    ready = select.select([0, s], [], [], idle)[0]
    if not ready:
        print("session timed out", file=sys.stderr, flush=True)
        sys.exit(0)
    if 0 in ready:
        if not (data := os.read(0, 65536)):
            break
        s.sendall(data)
    if s in ready:
        if not (data := s.recv(65536)):
            break
        while data:
            data = data[os.write(1, data):]
"""


def children(mux):
    """Of the daemon or its helper: process ids and their states, zombies among them."""
    found = {}
    for pid in children_of(mux.pid):
        with contextlib.suppress(OSError):  # they come and go
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            found[pid] = stat.rsplit(")", 1)[1].split()[0]
    return found


def program_of(mux, lane):
    """The one of a lane, by its own word on the command line; None: it has none."""
    for pid, state in children(mux).items():
        if state != "Z" and str(1000 + lane).encode() in words_of(pid):
            return pid
    return None


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not shutil.which("nc"), reason="nc is not installed")
def test_R7_a_thousand_starts_leave_no_process_and_no_zombie(make_mux, make_sshd):
    """Each connection ends in one of three ways: its program is killed, is told to end, or loses the
    server. None leaves anything behind, descriptors included."""
    target = make_sshd()
    routes = {f"t{n}": hop(target, transport=["nc", "-w", str(1000 + n), "%h", "%p"])
              for n in range(LANES)}
    mux = make_mux(routes=routes_toml(routes), known_hosts=target.known_hosts())
    left, lock = [STARTS], threading.Lock()
    failed, used = [], set()  # ids of processes may come again, after so many

    def lane(n):
        while not failed:
            with lock:
                if left[0] == 0:
                    return
                left[0] -= 1
                i = left[0]
            done = mux.ssh(f"t{n}", "echo $PPID; echo in")
            words = done.stdout.split()
            if done.returncode != 0 or words[1:] != [b"in"]:
                failed.append((i, done))
                return
            program = program_of(mux, n)
            used.add(program)
            # The shell's parent is sshd's process for this connection.
            os.kill(*[(program, 9), (program, 15), (int(words[0]), 9)][i % 3])
            poll(lambda: program_of(mux, n) != program, 30, f"connection {i} to end")

    mux.check_works("t0")
    fds = len(os.listdir(f"/proc/{mux.pid}/fd"))
    threads = [threading.Thread(target=lane, args=(n,)) for n in range(LANES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]
    poll(lambda: not mux.connections(), 30, "all connections to end")
    poll(lambda: not children(mux), 30, f"no child of the daemon: {children(mux)}")
    assert target.logins() >= STARTS and len(used) > STARTS * 0.9
    assert len(os.listdir(f"/proc/{mux.pid}/fd")) <= fds
    mux.check_works("t0")


@pytest.mark.big
@pytest.mark.skipif(not shutil.which("nc"), reason="nc is not installed")
@pytest.mark.parametrize("direction", ["down", "up"])
def test_R7_a_gibibyte_is_checksum_equal(make_mux, make_sshd, payload, sha256, tmp_path, direction):
    path, want = payload(size_mib(1024))
    target = make_sshd()
    mux = make_mux(routes=routes_toml({"t": hop(target, transport=["nc", "%h", "%p"])}),
                   known_hosts=target.known_hosts())
    if direction == "up":
        with open(path, "rb") as f:
            assert mux.ssh("t", "sha256sum", stdin=f, timeout=280).stdout.split()[0].decode() == want
        return
    digest = hashlib.sha256()
    client = mux.start_ssh("t", f"cat {path}", stderr=None)
    while piece := client.stdout.read(1 << 20):
        digest.update(piece)
    assert client.wait(30) == 0 and digest.hexdigest() == want


@pytest.fixture
def manager(tmp_path):
    """words(idle seconds, the start that dies), and how many starts there were."""
    path, log = tmp_path / "session-manager-plugin", tmp_path / "starts"
    path.write_text(MANAGER.format(python=sys.executable))
    path.chmod(0o755)

    def starts():
        return [int(line) for line in log.read_text().split()] if log.exists() else []

    return lambda idle, fatal: [str(path), "%h", "%p", str(idle), str(fatal), str(log)], starts


def test_R7_a_session_manager_plugin(make_mux, make_sshd, manager):
    """One start for all who call meanwhile; after its idle drop the next call starts another; the one
    that dies at once is said with its words, and is not the end of the route."""
    words, starts = manager
    target = make_sshd()
    mux = make_mux(routes=routes_toml({"t": hop(target, transport=words(2, 3))}),
                   known_hosts=target.known_hosts())
    calls = [mux.start_ssh("t", f"echo {n}") for n in range(5)]
    assert [c.communicate(timeout=60)[0] for c in calls] == [b"%d\n" % n for n in range(5)]
    assert len(starts()) == 1 and target.logins() == 1
    poll(lambda: not mux.connections(), 30, "the idle drop")
    mux.check_works()
    assert len(starts()) == 2
    poll(lambda: not mux.connections(), 30, "the idle drop")
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"TargetNotConnected" in done.stderr, done
    assert len(starts()) == 3
    time.sleep(1.5)  # of the network's back-off (U5)
    mux.check_works()
    assert len(starts()) == 4 and target.logins() == 3
    poll(lambda: not children(mux), 30, "nothing is left of any of them")


class Connect(threading.Thread):
    """An HTTP proxy that knows CONNECT (RFC 9110 section 9.3.6)."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.asked = []
        self.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(1)
        where = head.split()[1].decode()
        self.asked.append(where)
        host, _, port = where.rpartition(":")
        other = socket.create_connection((host, int(port)))
        sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        threading.Thread(target=self.copy, args=(sock, other), daemon=True).start()
        self.copy(other, sock)

    @staticmethod
    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def stop(self):
        self.listener.close()


@pytest.mark.skipif(not shutil.which("nc"), reason="nc is not installed")
def test_R7_nc_through_a_proxy(make_mux, make_sshd, cleanup):
    """nc -X connect, as people write it behind a company's proxy."""
    target, proxy = make_sshd(), cleanup(Connect())
    words = ["nc", "-X", "connect", "-x", f"127.0.0.1:{proxy.port}", "%h", "%p"]
    mux = make_mux(routes=routes_toml({"t": hop(target, transport=words)}),
                   known_hosts=target.known_hosts())
    mux.check_works()
    mux.check_works()
    assert proxy.asked == [f"127.0.0.1:{target.port}"] and target.logins() == 1
    data = os.urandom(5 << 20)
    assert mux.ssh("t", "cat", input=data).stdout == data
