# SPDX-License-Identifier: MIT
"""Whoever calls the hostile remotes: innocent clients."""
import subprocess

from chaos.actor import Actor
from pyssh import Client


class Caller(Actor):
    """Opens a session on a route that leads to a hostile server, runs something, and leaves."""

    pause = (0.02, 0.3)
    patience = 2.5

    def step(self):
        rng = self.rng
        route = rng.choice(self.world.hostile_routes)
        c = Client(self.world.mux.port, self.world.mux.local_key, route)
        said = "open"
        try:
            c.open(0, window=rng.choice([1 << 20, 1 << 20, 0, 100]))
            theirs = c.opened(0, self.patience)
            said = "exec"
            c.request(theirs, "exec", True, "x")
            if rng.random() < 0.3:
                c.send(94, theirs, b"x" * 5000)
            c.wait(97, 0, self.patience)
            said = "closed"
            c.send(97, theirs)
        except AssertionError:  # no answer, a refusal, or the end
            said += f", then {[n for n, _, _ in c.received][-3:]}"
        finally:
            c.stop()
        return f"{route}: {said}"


class RealCaller(Actor):
    """The same with a real ssh, which is killed when it takes too long."""

    pause = (0.5, 2)

    def step(self):
        route = self.rng.choice(self.world.hostile_routes)
        client = self.world.mux.start_ssh(route, "x", stdin=subprocess.DEVNULL,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return f"{route}: exit {client.wait(self.rng.uniform(1, 6))}"
        except subprocess.TimeoutExpired:
            return f"{route}: killed"
        finally:
            client.kill()
            client.wait()


class GoodCaller(Actor):
    """New calls on the sound routes: they work, whatever goes on."""

    pause = (1, 3)

    def step(self):
        route = self.rng.choice(["t", "b"])
        try:
            done = self.world.mux.ssh(route, "echo fine", timeout=30)
        except subprocess.TimeoutExpired:
            self.world.complain("new calls work", f"{route}: not within 30 s")
            return f"{route}: no answer"
        if (done.stdout, done.returncode) != (b"fine\n", 0):
            self.world.complain("new calls work", f"{route}: {done.returncode} {done.stderr[-300:]!r}")
        return f"{route}: {done.returncode}"


class StatusReader(Actor):
    """`status --json` answers, in time."""

    pause = (1, 3)

    def step(self):
        try:
            status = self.world.mux.control("status", "--json", timeout=15)
        except subprocess.TimeoutExpired:
            self.world.complain("status answers", "not within 15 s")
            return "no answer"
        if status.returncode != 0:
            self.world.complain("status answers", f"{status.returncode} {status.stderr[-300:]}")
        return f"{status.returncode}, {len(status.stdout)} bytes"
