# SPDX-License-Identifier: MIT
"""Programs that call ssh with a master of their own making, with ssh-mux's control socket in its
place (W2, B6); and what is left when clients and daemons are killed at any step."""
import contextlib
import os
import random
import signal
import socket
import subprocess
import time

import pytest

import masters
import peers
from masters import Client, client_config, socket_of
from peers import EchoServer, hop, poll, routes_toml
from test_vscode import Editor

pytestmark = pytest.mark.core


@pytest.fixture
def door(make_sshd, make_mux):
    sshd = make_sshd(MaxSessions=100)
    mux = make_mux(sshd, route={"allow_remote_loopback_any_port": True})
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux))
    client.mux, client.sshd = mux, sshd
    return client


class AsMux:
    """What Editor takes, calling ssh with the control socket."""

    def __init__(self, client):
        self.client, self.env = client, client.mux.env

    def argv(self, route, *args, options=()):
        return self.client.argv(*args, options=options)


def test_B6_an_editor_that_forwards_by_socks(door, tmp_path):
    """VS Code: `ssh -T -D PORT host bash` with a script on stdin, connections through the port, sftp
    beside it. One login."""
    editor = Editor(AsMux(door), "t")
    try:
        assert editor.burst() == [True] * 8
        file = tmp_path / "server.tar.gz"
        file.write_bytes(os.urandom(1 << 20))
        done = subprocess.run(door.argv(options=["-q", "-b", "-"], program="sftp"), timeout=60,
                              input=f"put {file} {tmp_path}/copy\n".encode(), capture_output=True,
                              check=False)
        assert done.returncode == 0 and (tmp_path / "copy").read_bytes() == file.read_bytes()
        assert editor.burst() == [True] * 8
    finally:
        editor.stop()
    poll(lambda: not door.mux.status()["clients"], 20)
    assert door.sshd.logins() == 1


def test_W2_socks_connections_that_come_while_others_end(door):
    """The descriptor of one that has ended is that of the next at once; each has its answer."""
    editor = Editor(AsMux(door), "t")
    try:
        for n in range(40):
            assert editor.burst() == [True] * 8, n
    finally:
        editor.stop()


def test_B6_an_editor_with_a_master_of_its_own(door, server, tmp_path):
    """Zed: every command is an `ssh -o ControlMaster=no -o ControlPath=…`; the server is copied by
    scp, then its process speaks for as long as the editor runs; ports are added later."""
    options = ["-q", "-o", "ControlMaster=no"]
    assert door.ssh("sh -c 'uname -sm'", options=options).stdout.startswith(b"Linux")
    file = tmp_path / "server.gz"
    file.write_bytes(os.urandom(300_000))
    door.ssh(f"sh -c 'mkdir -p {tmp_path}/there'", options=options)
    done = subprocess.run(
        ["scp", "-F", str(door.config), "-o", "ControlMaster=no", "-o",
         f"ControlPath={door.sock}", "-C", str(file), f"t:{tmp_path}/there/server.gz"],
        timeout=60, capture_output=True, check=False)
    assert done.returncode == 0, done
    assert (tmp_path / "there/server.gz").read_bytes() == file.read_bytes()
    running = door.start("exec cat", options=["-T", *options])
    port = peers.free_port()
    assert door.ssh(options=["-O", "forward", "-L", f"{port}:127.0.0.1:{server.port}",
                             *options]).returncode == 0
    for n in range(20):
        running.stdin.write(b"%d\n" % n)
        running.stdin.flush()
        assert running.stdout.readline() == b"%d\n" % n
        with socket.create_connection(("127.0.0.1", port), 20) as s:
            s.sendall(b"page")
            assert s.recv(10) == b"page"
    running.stdin.close()
    assert running.wait(20) == 0
    assert door.sshd.logins() == 1


@pytest.fixture(scope="module")
def server():
    s = EchoServer()
    yield s
    s.stop()


@pytest.mark.remote_tty
def test_B6_ansible_with_its_own_arguments(door, tmp_path):
    """The arguments that ansible's ssh plugin passes (ansible itself is too heavy to install here),
    with its control_path set to ours: ControlMaster=auto and ControlPersist find a master."""
    args = ["-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o",
            "KbdInteractiveAuthentication=no", "-o",
            "PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey", "-o",
            "PasswordAuthentication=no", "-o", f'User="{peers.USER}"', "-o", "ConnectTimeout=10"]
    door.sock = f'"{door.sock}"'
    done = door.ssh("/bin/sh -c 'echo ~ && sleep 0'", options=args)
    assert done.returncode == 0 and done.stdout.strip() == os.fsencode(door.sshd.home)
    module = tmp_path / "AnsiballZ_ping.py"
    module.write_text("print('{\"ping\": \"pong\"}')\n")
    there = tmp_path / "there"
    done = door.ssh(f"/bin/sh -c '( umask 77 && mkdir -p {there} ) && sleep 0'", options=args)
    assert done.returncode == 0
    sftp = subprocess.run(door.argv(options=["-b", "-", *args], program="sftp"), timeout=60,
                          input=f"put {module} {there}/\n".encode(), capture_output=True,
                          check=False)
    assert sftp.returncode == 0, sftp
    done = door.ssh(f"/bin/sh -c 'python3 {there}/AnsiballZ_ping.py && sleep 0'",
                    options=[*args, "-tt"])
    assert done.returncode == 0 and b"pong" in done.stdout, done
    assert door.sshd.logins() == 1


# ---- kill -9 at each step ------------------------------------------------------------------------

STEPS = {
    "command": (["true"], []),
    "session": (["echo ready; cat"], []),
    "terminal": (["echo ready; cat"], ["-tt"]),
    "forward": (["echo ready; cat"], ["-L", "PORT"]),
    "forward only": ([], ["-O", "forward", "-L", "PORT"]),
    "stdio forward": ([], ["-W", "TARGET"]),
    "bulk": (["head -c 3000000 /dev/zero"], []),
}


class Killer:
    def __init__(self, door, server, seed):
        self.door, self.server, self.random = door, server, random.Random(seed)
        self.kept = []

    def start(self):
        command, options = STEPS[self.random.choice(sorted(STEPS))]
        port, target = peers.free_port(), f"127.0.0.1:{self.server.port}"
        options = [{"PORT": f"{port}:{target}", "TARGET": target}.get(o, o) for o in options]
        if "forward" in options:
            self.kept.append(options[1:])
        ends = [socket.socketpair(), os.pipe()]
        stdin, stdout = ends[0][1].fileno(), ends[1][1]
        p = self.door.start(*command, options=options, stdin=stdin, stdout=stdout,
                            stderr=subprocess.DEVNULL)
        return p, ends

    def round(self, kills_daemon):
        running = [self.start() for _ in range(3)]
        time.sleep(self.random.random() ** 3 * 0.4)
        if kills_daemon:
            peers.kill_quietly(self.door.mux.proc.pid)
            self.door.mux.proc.wait(20)
            self.kept = []
        for p, _ in running:
            if not kills_daemon:
                peers.kill_quietly(p.pid)
        for p, ends in running:
            (near, far), (r, w) = ends
            near.close()  # its stdin is at its end
            # What is shared is as it was, whoever was killed.
            assert not masters.flags_of(far.fileno()) and not masters.flags_of(w)
            os.close(r)
            p.wait(30)
            far.close()
            os.close(w)
        if kills_daemon:
            self.door.mux.ended()
            self.door.mux.start()
            self.door.sock = socket_of(self.door.mux)

    def check(self):
        """Nobody is there, nothing is held, and it all works."""
        for words in self.kept:
            self.door.ssh(options=["-O", "cancel", *words])
        self.kept = []
        status = self.door.mux.status
        poll(lambda: not status()["clients"] and not status()["channels"], 30, "nobody is left")
        assert self.door.ssh("echo fine").stdout == b"fine\n"
        assert len(list(self.door.sock.parent.iterdir())) == 1


def kill_rounds(door, server, rounds, seed):
    killer = Killer(door, server, seed)
    count = lambda: len(os.listdir(f"/proc/{door.mux.pid}/fd"))
    killer.check()
    idle = count()
    for n in range(rounds):
        killer.round(kills_daemon=n % 4 == 3)
        if n % 4 == 2 or n == rounds - 1:
            killer.check()
            poll(lambda: count() <= idle + 2, 20, "no descriptor is kept")


def test_W2_kills_at_each_step(door, server):
    kill_rounds(door, server, 24, 1)


@pytest.mark.slow
def test_W2_300_kills_at_each_step(door, server):
    kill_rounds(door, server, 300, 2)


def test_P6_W2_output_that_can_not_be_written_is_told(door):
    """A full disk under `ssh host cat > file`, whose descriptor we have: the person learns of it. A
    reader that has gone is nobody's loss, and not a word."""
    with open("/dev/full", "wb") as full:
        done = door.ssh("echo it", stdout=full)
    assert b"output was lost" in done.stderr, done
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = door.ssh("echo it", stdout=gone)
    assert b"lost" not in done.stderr, done
    assert door.ssh("echo it").stdout == b"it\n"
