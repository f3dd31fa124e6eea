# SPDX-License-Identifier: MIT
"""Each system call of a daemon's life fails once (C8, P6, U10), as disks, tables and networks make
them fail: the daemon lives, whoever asked is told, no file is half-written, the next call works, and
when it ends nothing was lost (descriptors; LeakSanitizer)."""
import collections
import contextlib
import datetime
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from attach_client import Control, NoControl
from masters import socket_of
from peers import BINARY, Mux, hop, poll, routes_toml
from test_proxy import proxied

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from chaos.failing_call import HARMLESS, FailingCall, hows_of  # noqa: E402
from chaos.world import for_preloading  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the library counts Linux's calls")

BYTES = bytes(range(256)) * 1200
KNOWN_LINE = re.compile(r"\S+ \S+ [A-Za-z0-9+/=]{68,}")
TOO_LONG_S = 40
TRIED_SHORT = 3  # of each operation
TRIED_LONG = int(os.environ.get("SMX_CALLS", 12))  # and as many others the next day
LONG_S = max(900, 10 * TRIED_LONG)
N_NAMES = max(150, 4 * TRIED_LONG)  # of hosts whose keys are learned, each once
# What a start can't do without, or does without and says so.
TOLD = {"bind", "chmod", "fsync", "mkdir", "rename", "socket", "pipe", "fork"}
SIGNS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "Assertion")


class Failed(Exception):
    """An operation went wrong; the text is what its user was told."""


class World(Mux):
    """A daemon whose calls can be made to fail, and what it is asked for."""

    def spawn(self, argv, env=None, **kwargs):
        super().spawn(argv, env=self.failing.environment(self.env), **kwargs)

    def environment(self):
        # Of the commands, which are not what is looked at: a search for leaks takes them seconds.
        return dict(self.env, ASAN_OPTIONS="detect_leaks=0:exitcode=99")

    def answers(self):
        try:
            with Control(self):
                return True
        except (NoControl, OSError, EOFError):
            return False

    def told(self, done, wanted=None):
        """Silence is no failure, and nothing short of all is success."""
        if done.returncode == 0:
            assert wanted is None or done.stdout == wanted, "a loss that nobody was told of"
            return
        text = done.stderr if isinstance(done.stderr, str) else done.stderr.decode()
        if done.stdout == wanted is not None:
            text += "; all has come but the exit status"  # behind an EOF there is no place for words
        assert text.strip(), f"it failed with exit code {done.returncode} and no word"
        raise Failed(text.strip())

    # ---- what it is asked for ----

    def login(self):
        self.told(self.control("login", "--renew", "t", timeout=TOO_LONG_S))

    def port(self):
        self.told(self.ssh("t", "cat", input=BYTES, timeout=TOO_LONG_S), BYTES)

    def proxy(self):
        self.told(self.ssh("t", "cat", input=BYTES, options=proxied(self), env=self.env,
                           timeout=TOO_LONG_S), BYTES)

    def master(self):
        self.told(self.ssh("t", "cat", input=BYTES, timeout=TOO_LONG_S,
                           options=["-S", str(socket_of(self, "t")), "-oProxyCommand=false"]), BYTES)

    def learn(self):
        """A host key is seen for the first time."""
        n = self.n_learned
        self.n_learned += 1
        since = len(self.log())
        self.told(self.ssh(f"n{n}", "echo it", timeout=TOO_LONG_S), b"it\n")
        if not any(line.startswith(f"name{n}.example ") for line in self.known().splitlines()):
            assert "known_hosts" in self.log()[since:], "not learned, and not a word of it"

    def reload(self):
        since = len(self.log())
        self.n_reloads += 1
        self.routes_path.write_text(self.routes_text + f"# {self.n_reloads}\n")
        self.proc.send_signal(signal.SIGHUP)
        poll(lambda: re.search(r"routes re-read|(warn|error) .*routes", self.log()[since:]), 10,
             "a word on the routes")
        if "routes re-read" not in self.log()[since:]:
            raise Failed(self.log()[since:])

    def lock(self):
        self.told(self.control("lock", timeout=TOO_LONG_S))
        self.told(self.control("unlock", timeout=TOO_LONG_S))

    def ask_status(self):
        self.told(self.control("status", "--json", timeout=TOO_LONG_S))

    # ---- its life ----

    def begin(self):
        """Starts it; Failed if it ends with a message."""
        since = len(self.log())
        self.spawn([self.binary] + self.args, env=self.environment())
        poll(lambda: self.proc.poll() is not None or self.answers(), TOO_LONG_S,
             "it answers, or ends", 0.1)
        if self.proc.poll() is None:
            return
        said = self.log()[since:].strip()
        self.ended()
        self.check_signs()
        assert self.proc.returncode > 0 and said, (self.proc.returncode, said[-3000:])
        raise Failed(said.splitlines()[-1])

    def end(self):
        """Ends it; it does, whatever fails, and leaves nothing."""
        done = self.control("stop", timeout=TOO_LONG_S)
        if done.returncode != 0:
            # Who asked was told that it failed, and asks again, unless it was for the answer alone.
            assert done.stderr.strip()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.proc.wait(5)
            if self.proc.poll() is None:
                done = self.control("stop", timeout=TOO_LONG_S)
                assert done.returncode == 0 or self.proc.wait(20) == 0, done
        assert self.proc.wait(20) == 0, self.log()[-3000:]
        assert not self.left_behind()
        self.ended()
        self.check_signs()

    def known(self):
        return self.known_hosts_path.read_text()

    def check_signs(self):
        text = self.log()
        for sign in SIGNS:
            at = text.find(sign)
            assert at < 0, text[max(0, at - 300): at + 6000]

    def check_files(self):
        """Each the old or the new one, whole."""
        text = self.known()
        assert text.startswith(self.known_before) and text.endswith("\n"), text[-500:]
        lines = text[len(self.known_before):].splitlines()
        assert all(KNOWN_LINE.fullmatch(line) for line in lines), lines[-2:]
        names = [line.split()[0] for line in lines]
        assert len(set(names)) == len(names)
        key = self.ssh_dir / "ssh-mux-host-key"
        if key.exists():
            text = key.read_text()
            assert text.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
            assert text.endswith("-----END OPENSSH PRIVATE KEY-----\n")
            assert key.stat().st_mode & 0o777 == 0o600
        for name in ("ssh-mux-authorized-keys", "id_ed25519"):
            assert (self.ssh_dir / name).read_text() == self.fixed[name]
        left = [p.name for p in self.ssh_dir.glob(".ssh-mux-*")]
        assert len(left) <= 1, left  # one that could not be removed goes with the next write


OPERATIONS = {
    "login": World.login, "port": World.port, "proxy": World.proxy, "master": World.master,
    "learn": World.learn, "reload": World.reload, "lock": World.lock, "status": World.ask_status,
}


@pytest.fixture
def make_world(keys, cleanup, make_sshd):
    def make(confined, n_names):
        bastion = make_sshd("bastion", host_keys=[keys.make("host_bastion_only")], MaxSessions=300)
        target = make_sshd("target", host_keys=[keys.make("host_only")], MaxSessions=300)
        World.failing = cleanup(FailingCall())
        routes = {"t": hop(target, unattended=True)}
        for n in range(n_names):
            routes[f"n{n}"] = hop(target, unattended=True, host_key_alias=f"name{n}.example")
        w = cleanup(World(keys, routes=routes_toml(routes, jump=hop(bastion)), start=False, timeout=2,
                          known_hosts=target.known_hosts() + bastion.known_hosts(),
                          env={"SSH_MUX_CONFINE": confined}, binary=for_preloading(BINARY)))
        w.known_before, w.n_learned, w.n_reloads = w.known(), 0, 0
        w.routes_text = w.routes_path.read_text()
        w.fixed = {name: (w.ssh_dir / name).read_text()
                   for name in ("ssh-mux-authorized-keys", "id_ed25519")}
        w.start()
        return w

    return make


def points_of(counts, most, turn):
    """(role, kind, how, n), another sample for each turn; few calls of a kind are all in it before
    a second one of many is."""
    all_points = []
    for (role, kind), n_calls in sorted(counts.items()):
        hows = hows_of(kind)
        n = 1
        while n <= n_calls:
            for how in range(len(hows)):
                all_points.append((role, kind, hows[(how + n) % len(hows)], n))
            n += 1 + n // 12  # the later of hundreds are much like each other
    step = max(1, -(-len(all_points) // most))
    return all_points[turn % step::step], len(all_points)


def try_point(world, name, point):
    """One call fails in one operation. Returns whether it came to that."""
    role, kind, how, n = point
    operation, failing = OPERATIONS[name], world.failing
    told, what = None, f"{name}: {point}"
    try:
        failing.count_down(role, kind, how, n)
        try:
            operation(world)
        except Failed as e:
            told = str(e)
        finally:
            failing.disarm()
        hit = failing.has_failed()
        what = f"{name}: {n}. {role} {failing.said()}, {told!r}" if hit else f"{what}, {told!r}"
        assert world.proc.poll() is None, "it ended"
        assert told is None or (hit and how not in HARMLESS), "nobody was to notice"
        world.check_files()
        try:
            operation(world)
        except Failed as e:
            # What looked like a fault of the server's is not tried again at once, and says so.
            assert told is not None, f"only the next one failed: {e}"
            world.forget_failures()
            operation(world)
    except (AssertionError, Failed, subprocess.TimeoutExpired) as e:
        raise AssertionError(f"{what} [{failing.said()}]: {e}\n{world.log()[-3000:]}") from e
    print(what)
    return hit


def settled_fds(world):
    """When connections that nobody uses have gone."""
    poll(lambda: not world.status()["connections"], 30, "idle connections go", 0.2)
    world.wait_idle()
    poll(lambda: (n := world.fds()) == (time.sleep(0.05), world.fds())[1] and n, 5)
    return world.fds()


def open_files(world):
    """What the descriptors lead to, and how many do."""
    found = collections.Counter()
    for fd in pathlib.Path(f"/proc/{world.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found[re.sub(r"\[\d+\]", "", os.readlink(fd))] += 1
    return found


def try_all(world, points, try_one):
    """How many came to fail; what went wrong at any of them, together."""
    hits, wrong = 0, []
    for point in points:
        try:
            hits += try_one(point)
        except AssertionError as e:
            wrong.append(str(e))
            if not world.answers():
                break
            world.forget_failures()
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong)
    return hits


def sweep_operation(world, name, most, turn):
    operation, failing = OPERATIONS[name], world.failing
    operation(world)
    failing.forget_counts()
    operation(world)
    counts = failing.counts()
    before, open_before = settled_fds(world), open_files(world)
    points, of = points_of(counts, most, turn)
    print(f"{name}: calls {dict(counts)}; {len(points)} of {of} tried")
    hits = try_all(world, points, lambda point: try_point(world, name, point))
    print(f"{name}: {hits} of {len(points)} came to fail")
    assert hits >= len(points) // 2
    try:
        poll(lambda: settled_fds(world) <= before, 30, interval=0.2)
    except AssertionError:
        pytest.fail(f"descriptors leaked: {open_files(world) - open_before}")
    world.check_works(timeout=TOO_LONG_S)
    world.end()


def try_life(world, phase, point):
    """A start, a session and a stop, with a call failing in one of them. It is stopped before and
    after."""
    role, kind, how, n = point
    failing, told, since = world.failing, None, len(world.log())
    if phase == "start":
        failing.count_down(role, kind, how, n)
    try:
        try:
            world.begin()
        except Failed as e:
            told = str(e)
        failing.disarm()
        assert told is None or how not in HARMLESS, f"nobody was to notice: {told}"
        if failing.has_failed() and how not in HARMLESS and kind in TOLD and told is None:
            assert re.search(" (warn|error) ", world.log()[since:]), "not a word of it"
        world.check_files()
        if told is not None:
            world.begin()
        world.check_works(timeout=TOO_LONG_S)
        if phase == "stop":
            failing.count_down(role, kind, how, n)
        world.end()
        failing.disarm()
        world.check_files()
    except (AssertionError, Failed, subprocess.TimeoutExpired) as e:
        failing.disarm()
        text = f"{phase}: {n}. {role} {failing.said()}: {e}\n{world.log()[-3000:]}"
        print(text)
        raise AssertionError(text) from e
    told = told or "; ".join(re.findall("(?:warn|error) .*", world.log()[since:]))
    print(f"{phase}: {n}. {role} {failing.said()}, {told!r}" if failing.has_failed() else
          f"{phase}: {point} was not reached")
    return failing.has_failed()


def sweep_lives(world, phase, most, turn):
    world.check_works(timeout=TOO_LONG_S)
    if phase == "stop":
        world.failing.forget_counts()
        world.end()
        counts = world.failing.counts()
    else:
        world.end()
        world.failing.forget_counts()
        world.begin()
        counts = world.failing.counts()
        world.end()
    points, of = points_of(counts, most, turn)
    print(f"{phase}: calls {counts}; {len(points)} of {of} tried")
    hits = try_all(world, points, lambda point: try_life(world, phase, point))
    print(f"{phase}: {hits} of {len(points)} came to fail")
    assert hits >= len(points) // 2


def try_it(world, name, most, turn):
    sweep = sweep_lives if name in ("start", "stop") else sweep_operation
    sweep(world, name, most, turn)


NAMES = [*OPERATIONS, "start", "stop"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_P6_U10_C8_calls_fail(make_world, name):
    """A few of each: those that come with the name."""
    try_it(make_world("no", N_NAMES if name == "learn" else 2), name, TRIED_SHORT, len(name))


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize("confined", ["no", "yes"])
@pytest.mark.parametrize("name", NAMES)
def test_P6_U10_C8_many_calls_fail(make_world, name, confined):
    """Others each day; confined, the helper does much of it (H3)."""
    try_it(make_world(confined, N_NAMES if name == "learn" else 2), name, TRIED_LONG, datetime.date.today().toordinal())
