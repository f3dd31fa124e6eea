# SPDX-License-Identifier: MIT
"""The book: what the daemon holds against what has to be there."""
import collections
import contextlib
import os
import threading
import time

from chaos.model import settled_rss
from peers import programs_of
from soak.doors import DOORS
from soak.users import OpenSession

RSS_SLACK = 2 << 20
SETTLE_S = 20  # until idle connections have gone and closed ones are forgotten
UNBOOKED = ("s",)  # routes of Stalls, which works beside the gate
IDLE_S = 3


class Gate:
    """Many inside, or one alone."""

    def __init__(self):
        self.lock = threading.Condition()
        self.count = 0
        self.wanted = False

    @contextlib.contextmanager
    def inside(self):
        with self.lock:
            self.lock.wait_for(lambda: not self.wanted)
            self.count += 1
        try:
            yield
        finally:
            with self.lock:
                self.count -= 1
                self.lock.notify_all()

    @contextlib.contextmanager
    def alone(self):
        with self.lock:
            self.lock.wait_for(lambda: not self.wanted)
            self.wanted = True
            self.lock.wait_for(lambda: self.count == 0)
        try:
            yield
        finally:
            with self.lock:
                self.wanted = False
                self.lock.notify_all()


class Prices:
    """Descriptors that a thing costs the daemon, measured at the start, one after the other."""

    def __init__(self, world):
        mux = world.mux
        self.base = least_fds(mux)
        self.base_kinds = kinds(mux.pid)
        self.connection, self.session = {}, {}
        for route in ("t", "b"):
            first, second = OpenSession(world, "port", route), None
            try:
                assert not first.echo(), first.echo()
                one = least_fds(mux)
                second = OpenSession(world, "port", route)
                assert not second.echo(), second.echo()
                self.session["port"] = least_fds(mux) - one
            finally:
                for session in (first, second):
                    if session:
                        session.close()
            self.connection[route] = one - self.base - self.session["port"]
            wait(lambda: mux.fds() <= self.base, SETTLE_S)
        keep = OpenSession(world, "port", "t")
        assert not keep.echo()
        before = least_fds(mux)
        for door in DOORS:
            session = OpenSession(world, door, "t")
            assert not session.echo()
            self.session[door] = least_fds(mux) - before
            session.close()
            wait(lambda: mux.fds() <= before, SETTLE_S)
        keep.close()
        wait(lambda: mux.fds() <= self.base, SETTLE_S)

    def expected(self, sessions):
        routes = {s.route for s in sessions}
        return (self.base + sum(self.session[s.door] for s in sessions)
                + sum(self.connection[r] for r in routes))


def least_fds(mux):
    """Files that are read now and then, and connections that come and go, are not counted."""
    return min(mux.fds() for _ in range(20) if not time.sleep(0.05))


def kinds(pid):
    """What the descriptors of a process are."""
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}").split(":[")[0])
    return collections.Counter(names)


def wait(condition, timeout):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


class Book:
    def __init__(self, world):
        self.world = world
        self.prices = Prices(world)
        self.deviations = []
        self.minutes = 0
        self.rss_of_minute_five = None

    def differences(self):
        """What is not as the book has it, now. Empty: all is."""
        world, out = self.world, []
        sessions = world.open_sessions()
        status = world.mux.status()
        rows = [c for c in status["connections"] if not world.is_unbooked(c["key"])]
        unbooked = len(status["connections"]) - len(rows)
        tunnels = sum(" via " in c["key"] for c in status["connections"])
        channels = sum(c["channels"] for c in rows) - tunnels
        if channels != len(sessions):
            out.append(f"{channels} channels, where {len(sessions)} are open")
        wanted = {world.key_of(s.route) for s in sessions}
        wanted |= {world.key_of("bastion")} if any(s.route == "b" for s in sessions) else set()
        have = {c["key"] for c in rows if c["state"] == "ready"}
        if have != wanted:
            out.append(f"connections {sorted(have)}, where {sorted(wanted)} are used")
        if odd := [(c["key"], c["state"]) for c in rows if c["state"] != "ready"]:
            out.append(f"connections that are neither used nor gone: {odd}")
        if helpers := programs_of(world.mux.pid):
            out.append(f"helper processes: {helpers}")
        if not unbooked:
            expected = self.prices.expected(sessions) + world.more_routes
            found = least_fds(world.mux)
            if found != expected:
                out.append(f"{found} descriptors, where {expected} are used: "
                           + ", ".join(f"{n} {k}" for k, n in sorted(kinds(world.mux.pid).items())))
        return out

    def compare(self):
        """Once a minute, alone."""
        self.minutes += 1
        wait(lambda: not self.differences(), SETTLE_S)
        found = self.differences()
        rss = settled_rss(self.world)
        if self.minutes == 5:
            self.rss_of_minute_five = rss
        text = (f"minute {self.minutes}: {len(self.world.open_sessions())} sessions open, "
                f"{rss / 2**20:.1f} MiB" + "".join(f"; {f}" for f in found))
        print("  " + text, flush=True)
        if found:
            self.deviations.append(text)

    def verdict(self, verdict):
        verdict.add(not self.deviations, f"0 deviations from the book in {self.minutes} minutes",
                    "; ".join(self.deviations[:5]))
        if self.rss_of_minute_five is None:
            verdict.add(None, "memory at the end against minute five", "under five minutes")
            return
        rss = settled_rss(self.world)
        verdict.add(rss - self.rss_of_minute_five <= RSS_SLACK,
                    f"memory at the end is within {RSS_SLACK >> 20} MiB of minute five",
                    f"{self.rss_of_minute_five / 2**20:.1f} MiB, then {rss / 2**20:.1f} MiB")
