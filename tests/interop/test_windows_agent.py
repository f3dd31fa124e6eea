# SPDX-License-Identifier: MIT
r"""A1 on Windows: agents behind named pipes, with ssh-mux.exe under wine.

The agent is the system's own ssh-agent. A program (windows/agent_bridge.c) serves a pipe and passes
what it reads to a TCP port, from where a thread takes it to the agent's socket.
"""
import hashlib
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import threading
import uuid

import pytest

import peers
import wine

pytestmark = pytest.mark.core
HERE = pathlib.Path(__file__).parent
CC = "x86_64-w64-mingw32-gcc-posix"
USUAL = r"\\.\pipe\openssh-ssh-agent"


@pytest.fixture(autouse=True)
def is_windows():
    if not wine.WineMux.exe:
        pytest.skip("for ssh-mux.exe (--windows)")


@pytest.fixture(scope="session")
def bridge_exe(tmp_path_factory):
    if not shutil.which(CC):
        pytest.skip(f"no {CC}")
    exe = tmp_path_factory.mktemp("bridge") / "agent_bridge.exe"
    subprocess.run([CC, "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", exe,
                    HERE / "windows/agent_bridge.c", "-lws2_32", "-ladvapi32"], check=True, timeout=120)
    return exe


class Bridge:
    """A pipe of an agent's. `asked`: connections so far; `gate` holds them back while cleared."""

    def __init__(self, exe, agent, pipe, instances=255, owner="SY"):
        self.pipe = pipe
        self.agent = agent
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()
        port = str(self.listener.getsockname()[1])
        env = dict(os.environ, WINEDEBUG="-all", WINEDLLOVERRIDES="mscoree,mshtml=")
        self.proc = subprocess.Popen(
            ["wine", exe, pipe, port, str(instances), owner],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
        assert self.proc.stdout.readline().strip() == b"ready"

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.asked += 1
            threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        self.gate.wait(60)
        to = socket.socket(socket.AF_UNIX)
        to.connect(str(self.agent.sock))

        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
            except OSError:
                pass
            try:
                b.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        back = threading.Thread(target=pump, args=(to, client), daemon=True)
        back.start()
        pump(client, to)
        back.join(60)
        client.close()
        to.close()

    def stop(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdout.close()
        self.listener.close()


@pytest.fixture
def make_bridge(bridge_exe, cleanup):
    return lambda agent, pipe, **kw: cleanup(Bridge(bridge_exe, agent, pipe, **kw))


@pytest.fixture
def pipe():
    """A name that no other test has."""
    return rf"\\.\pipe\ssh-mux-test-{uuid.uuid4().hex}"


@pytest.fixture
def target(make_sshd):
    return make_sshd()


def test_A1_windows_agent_of_the_system(make_mux, make_agent, make_bridge, keys, target):
    """A1: with nothing said, \\\\.\\pipe\\openssh-ssh-agent; a SSH_AUTH_SOCK of Cygwin is no pipe."""
    bridge = make_bridge(make_agent(keys.make("other"), keys.make("remote")), USUAL)
    mux = make_mux(target, identity=False, env={"SSH_AUTH_SOCK": "/tmp/ssh-XXXX/agent.1"})
    mux.check_works()
    assert bridge.asked >= 2  # the list, a signature
    assert not (mux.ssh_dir / "id_ed25519").exists()


def test_A1_windows_agent_named_by_the_environment(make_mux, make_agent, make_bridge, keys, target,
                                                   pipe):
    """A1: a pipe in SSH_AUTH_SOCK counts, with slashes too."""
    bridge = make_bridge(make_agent(keys.make("remote")), pipe)
    mux = make_mux(target, identity=False, env={"SSH_AUTH_SOCK": pipe.replace("\\", "/")})
    mux.check_works()
    assert bridge.asked >= 2


def test_A1_windows_agent_of_the_route_first(make_mux, make_agent, make_bridge, keys, target, pipe):
    """A1: the route's identity_agent, and no other one."""
    bridge = make_bridge(make_agent(keys.make("remote")), pipe)
    other = make_bridge(make_agent(keys.make("other")), pipe + "-other")
    mux = make_mux(target, identity=False, route={"identity_agent": pipe},
                   env={"SSH_AUTH_SOCK": other.pipe})
    mux.check_works()
    assert bridge.asked >= 2 and other.asked == 0


def test_A1_windows_agent_pageant(make_mux, make_agent, make_bridge, keys, target):
    """A1: identity_agent = "pageant" is the pipe that Pageant makes (wine encrypts nothing)."""
    block = b"Pageant".ljust(16, b"\0")
    digest = hashlib.sha256(struct.pack(">I", len(block)) + block).hexdigest()
    user = subprocess.run(["wine", "cmd", "/c", "echo %USERNAME%"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60).stdout.strip()
    bridge = make_bridge(make_agent(keys.make("remote")), rf"\\.\pipe\pageant.{user}.{digest}")
    mux = make_mux(target, identity=False, route={"identity_agent": "pageant"})
    mux.check_works()
    assert bridge.asked >= 2


def test_A1_windows_agent_that_is_busy(make_mux, make_agent, make_bridge, keys, make_sshd, pipe):
    """A1: a pipe whose only end another has is waited for."""
    bridge = make_bridge(make_agent(keys.make("remote")), pipe, instances=1)
    one, two = make_sshd(), make_sshd()
    routes = peers.routes_toml({"a": peers.hop(one), "b": peers.hop(two)},
                               top={"identity_agent": pipe})
    mux = make_mux(identity=False, routes=routes,
                   known_hosts=one.known_hosts() + two.known_hosts())
    bridge.gate.clear()
    first = mux.start_ssh("a", "echo a", stdin=subprocess.DEVNULL)
    peers.poll(lambda: bridge.asked == 1, what="the first question")
    second = mux.start_ssh("b", "echo b", stdin=subprocess.DEVNULL)
    # It has come as far as its agent, whose only end is taken.
    peers.poll(lambda: len(mux.status()["connections"]) == 2, what="both logins")
    assert bridge.asked == 1
    bridge.gate.set()
    assert first.communicate(timeout=60)[0] == b"a\n"
    assert second.communicate(timeout=60)[0] == b"b\n"


@pytest.mark.parametrize("name", [r"\\localhost\pipe\agent", r"C:\agent", "agent"])
def test_A1_windows_agent_is_a_pipe_of_this_machine(make_mux, keys, target, name):
    """A1: nothing else is opened, above all no pipe of another machine: a key file does."""
    mux = make_mux(target, route={"identity_agent": name})
    mux.check_works()
    done = mux.control("check-config", "--config", str(mux.routes_path))
    assert f"there is no agent at {name} now" in done.stdout


@pytest.mark.parametrize("owner", ["SY", "BA"])
def test_A1_windows_agent_of_somebody_else(make_mux, make_agent, make_bridge, keys, target, pipe,
                                           owner):
    """A1: whose pipe it is decides: the system's agent is asked, another user's is told nothing."""
    agent = make_agent(keys.make("remote"))
    squat = make_bridge(agent, pipe + "-squat", owner="S-1-5-21-1-2-3-1002")
    mux = make_mux(target, identity=False, route={"identity_agent": squat.pipe})
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and squat.asked == 0
    assert "0 keys offered; agent at" in mux.log() and "unsafe" in mux.log()
    bridge = make_bridge(agent, pipe, owner=owner)
    mux.put("ssh-mux-routes.toml", mux.routes_path.read_text().replace("-squat", ""))
    peers.poll(lambda: mux.ssh("t", "true").returncode == 0, what="the other agent")
    assert bridge.asked >= 2 and squat.asked == 0


def test_A1_windows_agent_doctor(make_mux, make_agent, make_bridge, keys, target, pipe):
    """A1, B10: doctor asks the same agents, and takes none at the usual place for no fault."""
    agent = make_agent(keys.make("remote"))
    mux = make_mux(target, start=False)
    assert f"no agent here (nobody listens at {USUAL})" in mux.control("doctor").stdout
    mux.env["SSH_AUTH_SOCK"] = pipe
    said = mux.control("doctor").stdout
    assert f"the agent of SSH_AUTH_SOCK does not answer: {pipe}" in said
    assert "Start-Service ssh-agent" in said
    make_bridge(agent, pipe)
    assert "agent with 1 key" in mux.control("doctor").stdout
