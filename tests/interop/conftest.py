# SPDX-License-Identifier: MIT
"""Fixtures over real parts. `mux` is a shared daemon between a bastion and a target; a test
that breaks things builds its own with `make_mux` and `make_sshd`."""
import contextlib
import fcntl
import hashlib
import os
import signal
import shutil
import sys
import termios

import pytest

sys.path.insert(0, os.path.dirname(__file__))
os.umask(0o077)

import peers  # noqa: E402
import wine  # noqa: E402
from peers import Agent, Daemon, Dropbear, EchoServer, Keys, Pump, Sshd, hop, routes_toml  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--windows", metavar="EXE", default=os.environ.get("SMX_BINARY_WINDOWS"),
                     help="test this ssh-mux.exe under wine (default: $SMX_BINARY_WINDOWS)")


def leave_terminal():
    """Programs that are started here are programs without a terminal, also if a person runs the
    tests at one: they would find it by /dev/tty, and ask there. (Ctrl-C goes to the process group,
    which stays as it is.) Not for a session's first process: all of it would be hung up."""
    if os.getsid(0) != os.getpid():
        with contextlib.suppress(OSError), open("/dev/tty", "rb") as tty:
            fcntl.ioctl(tty, termios.TIOCNOTTY)


def pytest_configure(config):
    leave_terminal()
    if config.getoption("--windows"):
        wine.configure(config.getoption("--windows"))
    # Ignored under nohup, or in the background of a shell; all that is started here would inherit it.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "big: full size or measured; runs alone, release build")
    config.addinivalue_line("markers", "slow: takes minutes; .ci/run only")
    config.addinivalue_line("markers", "core: the part that other systems run too")
    config.addinivalue_line("markers", "remote_tty: the server hands out a terminal")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if config.getoption("--windows") and (why := wine.skip_reason(item.nodeid)):
            item.add_marker(pytest.mark.skip(reason=f"Windows: {why}"))
        if peers.PTY_REFUSAL and item.get_closest_marker("remote_tty"):
            item.add_marker(pytest.mark.skip(reason=peers.PTY_REFUSAL))
        if item.get_closest_marker("timeout") is None:
            long = item.get_closest_marker("slow")
            big = item.get_closest_marker("big")
            item.add_marker(pytest.mark.timeout(900 if long else 300 if big else 120))
    # One that takes most of an hour is not to begin when all others are done.
    items.sort(key=lambda item: item.get_closest_marker("timeout").args[0] < 3600)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what the daemons said."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for daemon in Daemon.live:
            report.sections.append((f"log of {daemon.name} {daemon.dir}", daemon.log()[-2500:]))
            if getattr(daemon, "terminal", None):
                report.sections.append(("its terminal", repr(daemon.terminal.seen[-1500:])))


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


class Cleanup:
    """Stops what it was given, in reverse order, and tells the first thing that went wrong."""

    def __init__(self):
        self.things = []

    def __call__(self, thing):
        self.things.append(thing)
        return thing

    def run(self):
        first = None
        for thing in reversed(self.things):
            try:
                thing.stop()
            except BaseException as e:  # the others are to be stopped all the same
                first = first or e
            try:
                if hasattr(thing, "ssh_dir"):
                    peers.check_no_leak(thing)
            except BaseException as e:
                first = first or e
            path = getattr(thing, "dir", None)
            if path is not None:
                shutil.rmtree(path, ignore_errors=True)
        if first:
            raise first


@pytest.fixture
def cleanup():
    c = Cleanup()
    yield c
    c.run()


@pytest.fixture
def make_sshd(keys, cleanup):
    return lambda *a, **kw: cleanup(Sshd(keys, *a, **kw))


@pytest.fixture
def make_dropbear(keys, cleanup):
    return lambda *a, **kw: cleanup(Dropbear(keys, *a, **kw))


@pytest.fixture
def make_mux(keys, cleanup):
    """Mux(…), or with servers: make_mux(target=sshd, bastion=sshd2, flags for the route…)."""

    def make(target=None, bastion=None, route=None, top=None, **kw):
        if target is not None:
            known = target.known_hosts() + (bastion.known_hosts() if bastion else "")
            kw.setdefault("known_hosts", known)
            if "direct" not in kw:
                kw.setdefault(
                    "routes",
                    routes_toml(
                        {"t": dict(hop(target), **(route or {}))},
                        jump=hop(bastion) if bastion else None,
                        top=top,
                    ),
                )
        return cleanup(peers.Mux(keys, **kw))

    return make


@pytest.fixture
def make_agent(cleanup):
    return lambda *paths: cleanup(Agent(*paths))


@pytest.fixture
def pump(cleanup):
    return lambda port: cleanup(Pump(port))


@pytest.fixture
def echo(cleanup):
    return cleanup(EchoServer())


@pytest.fixture(scope="module")
def world(keys):
    """A bastion, a target behind it, and a daemon with these routes:
    t: through the bastion; loop: the same with the loopback flag; d: without a jump host."""
    c = Cleanup()
    try:
        bastion = c(Sshd(keys, "bastion", MaxSessions=300))
        target = c(Sshd(keys, "target", MaxSessions=300))
        mux = c(
            peers.Mux(
                keys,
                routes=routes_toml(
                    {
                        "t": hop(target),
                        "loop": hop(target, allow_remote_loopback_any_port=True),
                        "d": hop(target, direct=True),
                    },
                    jump=hop(bastion),
                ),
                known_hosts=bastion.known_hosts() + target.known_hosts(),
            )
        )
        mux.bastion, mux.target = bastion, target
        yield mux
    finally:
        c.run()


@pytest.fixture
def mux(world):
    """The shared daemon; it must outlive every test."""
    yield world
    assert world.alive(), world.log()[-6000:]


def size_mib(default):
    """Sizes of transfers: SMX_MIB overrides."""
    return int(os.environ.get("SMX_MIB", default))


@pytest.fixture
def payload(tmp_path):
    """payload(MiB): a file that does not compress, and its SHA-256."""

    def make(mib, name="payload"):
        path = tmp_path / name
        digest = hashlib.sha256()
        block = os.urandom(1 << 20)
        with open(path, "wb") as f:
            for i in range(mib):
                piece = i.to_bytes(8, "big") + block[8:]
                digest.update(piece)
                f.write(piece)
        return path, digest.hexdigest()

    return make


@pytest.fixture
def sha256():
    def of(path):
        digest = hashlib.sha256()
        with open(path, "rb") as f:
            while piece := f.read(1 << 20):
                digest.update(piece)
        return digest.hexdigest()

    return of
