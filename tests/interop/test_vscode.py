# SPDX-License-Identifier: MIT
"""What VS Code and Cursor do: `ssh -T -D PORT host bash` without a terminal, a long script on its
standard input that starts a server on a random loopback port, then quick connections to it through
the SOCKS port; sftp; sockets. On a route with the loopback flag (R4), and on one without."""
import concurrent.futures
import os
import socket
import subprocess
import textwrap
import time

import pytest

import otp_sshd
from peers import free_port, hop, routes_toml
from test_forward import DENIED, socks5
from test_proxy import proxied

# A server as the editor's: it prints its port, answers each connection with what it read, and ends
# with the channel's standard input.
SERVER = textwrap.dedent("""
    import os, socket, threading
    threading.Thread(target=lambda: (os.read(3, 1), os._exit(0)), daemon=True).start()
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(64)
    print("listening on", s.getsockname()[1], flush=True)
    def serve(c):
        while True:
            d = c.recv(65536)
            if not d: break
            c.sendall(d)
        c.close()
    while True:
        c, _ = s.accept(); threading.Thread(target=serve, args=(c,), daemon=True).start()
""")


def script():
    """Some 20 KB of shell, as the editors send."""
    padding = "".join(f"# step {n}: {'x' * 60}\n" for n in range(260))
    return (
        "set -e\nuname -s\n" + padding + "exec python3 -u - 3<&0 <<'END'\n" + SERVER + "END\n"
    ).encode()


class Editor:
    """The editor's ssh: the script on stdin, output read until the port is known."""

    def __init__(self, mux, route, options=(), env=None):
        self.socks = free_port()
        self.client = subprocess.Popen(
            mux.argv(route, "bash", options=["-T", "-D", str(self.socks), *options]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, env={**mux.env, **(env or {})})
        text = script()
        assert 18000 < len(text) < 26000
        self.client.stdin.write(text)
        self.client.stdin.flush()
        assert self.client.stdout.readline() == b"Linux\n"
        line = self.client.stdout.readline().split()
        assert line[:2] == [b"listening", b"on"]
        self.port = int(line[2])

    def connect(self, n):
        s = socks5(self.socks, "127.0.0.1", self.port)
        if s is None:
            return False
        with s:
            data = os.urandom(20000 + n)
            s.sendall(data)
            got = b""
            while len(got) < len(data):
                piece = s.recv(65536)
                if not piece:
                    return False
                got += piece
            return got == data

    def burst(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return list(pool.map(self.connect, range(8)))

    def stop(self):
        self.client.kill()
        return self.client.communicate(timeout=20)[1]


@pytest.fixture
def servers(make_sshd):
    return make_sshd("bastion"), make_sshd("target")


@pytest.fixture
def mux(make_mux, servers):
    bastion, target = servers
    return make_mux(
        routes=routes_toml({"dev": hop(target, allow_remote_loopback_any_port=True),
                            "plain": hop(target)}, jump=hop(bastion)),
        known_hosts=bastion.known_hosts() + target.known_hosts())


def test_R4_the_editors_traffic_on_a_flagged_route(mux, tmp_path):
    editor = Editor(mux, "dev")
    try:
        assert editor.burst() == [True] * 8
        # Meanwhile: its second connection, sftp as a fallback for copying the server.
        file = tmp_path / "server.tar.gz"
        file.write_bytes(os.urandom(1 << 20))
        done = subprocess.run(
            ["sftp", "-q", "-F", mux.config_path, "-b", "-", "dev@mux"],
            input=f"put {file} {tmp_path}/copy\n".encode(), capture_output=True, timeout=60)
        assert done.returncode == 0 and (tmp_path / "copy").read_bytes() == file.read_bytes()
        assert editor.burst() == [True] * 8
    finally:
        editor.stop()
    mux.wait_idle()


def test_L7_the_editors_traffic_is_denied_without_the_flag(mux):
    editor = Editor(mux, "plain")  # the command itself works
    assert editor.connect(0) is False
    time.sleep(0.3)
    err = editor.stop()
    assert DENIED in err
    assert b"allow_remote_loopback_any_port" in err  # the user sees which flag it takes


def test_B3_an_editors_socket(mux, tmp_path):
    """Cursor's exec server may listen on a socket: ssh -L to it."""
    path = tmp_path / "remote.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(4)
    for route, works in (("dev", True), ("plain", False)):
        port = free_port()
        client = subprocess.Popen(
            mux.argv(route, options=["-N", "-L", f"{port}:{path}"]), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            for _ in range(100):
                try:
                    s = socket.create_connection(("127.0.0.1", port), timeout=5)
                    break
                except OSError:
                    time.sleep(0.1)
            s.sendall(b"ping")
            if works:
                c, _ = server.accept()
                assert c.recv(4) == b"ping"
                c.sendall(b"pong")
                assert s.recv(4) == b"pong"
                c.close()
            else:
                try:
                    assert s.recv(4) == b""
                except ConnectionResetError:
                    pass
            s.close()
        finally:
            client.kill()
            err = client.communicate()[1]
        assert works or DENIED in err
    server.close()


@pytest.mark.skipif(otp_sshd.missing() is not None, reason=str(otp_sshd.missing()))
def test_B5_the_editor_is_asked_for_the_code(keys, cleanup, make_sshd, make_mux, tmp_path):
    """No terminal, an SSH_ASKPASS of the editor's, and the login in its own input box; once."""
    bastion = cleanup(otp_sshd.OtpSshd(keys, "bastion"))
    target = make_sshd("target")
    mux = make_mux(routes=routes_toml({"dev": hop(target, allow_remote_loopback_any_port=True)},
                                      jump=hop(bastion)),
                   known_hosts=bastion.known_hosts() + target.known_hosts())
    asked = tmp_path / "asked"
    askpass = tmp_path / "askpass"
    askpass.write_text(f'#!/bin/sh\necho "$1" >>{asked}\necho {bastion.code()}\n')
    askpass.chmod(0o700)
    editor = Editor(mux, "dev", proxied(mux, "dev"), {"SSH_ASKPASS": str(askpass)})
    try:
        assert editor.burst() == [True] * 8
        assert mux.ssh("dev", "echo also").stdout == b"also\n"
    finally:
        editor.stop()
    assert asked.read_text().count("One-time password") == 1
    assert bastion.used() == 1
