# SPDX-License-Identifier: MIT
"""Each allocation of the daemon fails once, with a real login, each way in and each thing that it
is asked for (U10, P6): the daemon goes on, the next call works at once, and when it ends nothing
was lost (LeakSanitizer)."""
import datetime
import pathlib
import signal
import subprocess
import sys

import pytest

from masters import socket_of
from peers import BINARY, Agent, EchoServer, hop, poll, routes_toml
from test_agent_forward import askpass
from test_hostkey_ask import Asked, ask
from test_proxy import proxied

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from chaos.world import ChaosMux, FailingMemory, for_preloading  # noqa: E402

MANY = 1 << 30
# Of each operation's allocations, where not all of them are tried.
SAMPLE = 6


def by_socket(mux, *args, options=()):
    return mux.ssh("t", *args, options=["-S", str(socket_of(mux, "t")), *options])


def forward(mux):
    """A channel to a port, and what comes back through it."""
    echo = f"127.0.0.1:{mux.echo.port}"
    return mux.ssh("t", options=["-W", echo], input=b"there and back")


def reload(mux):
    """Other routes, read again by a running daemon."""
    since = len(mux.log())
    with open(mux.routes_path, "a", encoding="utf-8") as f:
        f.write("# again\n")
    mux.proc.send_signal(signal.SIGHUP)
    try:
        poll(lambda: "routes re-read" in mux.log()[since:], 4)
    except AssertionError:
        return subprocess.CompletedProcess([], 1)
    return subprocess.CompletedProcess([], 0)


def unknown_host_key(mux):
    """A login that asks a person about the host key."""
    mux.control("logout", "new")
    mux.known_hosts_path.write_text(mux.known)
    return subprocess.CompletedProcess([], ask(mux, Asked("yes"), "true", route="new")[0])


def consent(mux):
    """A signature of a lent agent, about which the client's askpass is asked."""
    env = {**mux.env, **askpass(mux.dir / "askpass", True), "SSH_AUTH_SOCK": str(mux.agent.sock)}
    sign = "ssh-keygen -Y sign -q -n allocations -f " + str(mux.agent_key) + ".pub"
    return mux.ssh("t", sign, options=[*proxied(mux), "-A"], env=env, input=b"text",
                   start_new_session=True)


OPERATIONS = {
    "login": lambda mux: mux.control("login", "--renew", "t"),
    "port": lambda mux: mux.ssh("t", "cat", input=b"x" * 100000),
    "proxy": lambda mux: mux.ssh("t", "true", options=proxied(mux), env=mux.env),
    "connect": lambda mux: mux.control("connect", "t", "true"),
    "socket": lambda mux: by_socket(mux, "true"),
    "forward": forward,
    "remote-forward": lambda mux: mux.ssh("t", "true", options=["-oExitOnForwardFailure=yes",
                                                              "-R", "0:127.0.0.1:9"]),
    "reload": reload,
    "unknown-host-key": unknown_host_key,
    "consent": consent,
    "status": lambda mux: mux.control("status", "--json"),
}


class Mux(ChaosMux):
    def spawn(self, argv, env=None, **kwargs):
        env = self.failing.environment(env, also="")
        super(ChaosMux, self).spawn(argv, env=env, **kwargs)


@pytest.fixture
def mux(keys, cleanup, make_sshd):
    target, bastion = make_sshd("target", MaxSessions=300), make_sshd("bastion", MaxSessions=300)
    stranger = make_sshd("stranger", MaxSessions=300, host_keys=[keys.make("host_only")])
    route = hop(target, allow_remote_loopback_any_port=True, remote_forwards=["localhost:*"],
                agent_forward="confirm")
    known = target.known_hosts() + bastion.known_hosts()
    mux = cleanup(Mux(keys, routes=routes_toml({"t": route, "new": hop(stranger)},
                                               jump=hop(bastion)),
                      known_hosts=known, binary=for_preloading(BINARY), failing=FailingMemory(1)))
    cleanup(mux.failing)
    mux.known, mux.agent_key = known, keys.make("lent")
    mux.agent = cleanup(Agent(mux.agent_key))
    mux.echo = cleanup(EchoServer())
    mux.check_works()
    return mux


def count(mux, operation):
    """How many allocations it takes, when all is there that was needed the first time only."""
    counts = []
    for _ in range(3):
        mux.failing.count_down(MANY)
        assert operation(mux).returncode == 0
        counts.append(MANY - mux.failing.left())
        mux.failing.count_down(0)
    assert min(counts) > 3
    return max(counts[1:])


def fail_each(mux, name, numbers):
    operation = OPERATIONS[name]
    for n in numbers:
        mux.failing.count_down(n)
        try:
            operation(mux)  # it may go wrong, but not without end
        finally:
            mux.failing.count_down(0)
        assert mux.proc.poll() is None, (n, mux.log()[-3000:])
        # At once: nothing is held back for what was no fault of anybody's.
        done = operation(mux)
        assert done.returncode == 0, (n, done, mux.log()[-3000:])
    mux.wait_idle()
    mux.check_works()
    assert mux.failing.counts()[1] >= len(numbers) // 2


@pytest.mark.parametrize("name", OPERATIONS)
def test_U10_P6_allocations_fail(mux, name):
    """A sample: another one for each operation, the same at each run."""
    n = count(mux, OPERATIONS[name])
    fail_each(mux, name, range(1 + len(name) % 3, n + 1, max(1, n // SAMPLE)))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", OPERATIONS)
def test_U10_P6_each_allocation_fails(mux, name):
    """All of them within twelve days."""
    first = 1 + datetime.date.today().toordinal() % 12
    fail_each(mux, name, range(first, count(mux, OPERATIONS[name]) + 1, 12))
