# SPDX-License-Identifier: MIT
"""SIGKILL for what is around ssh-mux, but for the servers of the healthy session."""
import contextlib
import subprocess

from chaos.actor import Actor
from peers import descendants, kill_quietly, programs_of


def command_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
        return f.read().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


class KilledServers(Actor):
    """Sessions on a second sshd, whose processes are killed: of the session, of the connection."""

    pause = (0.5, 2)

    def step(self):
        rng, world = self.rng, self.world
        quiet = subprocess.DEVNULL
        route = rng.choice(["v", "vb"])
        clients = [world.mux.start_ssh(route, f"sleep {rng.uniform(1, 3):.1f}; echo {n}",
                                       stdin=quiet, stdout=quiet, stderr=quiet)
                   for n in range(rng.randrange(1, 4))]
        self.over.wait(rng.uniform(0.1, 1.0))
        # In the order of their ids: what is killed depends on what the seed chose, as far as it can.
        children = sorted(descendants(world.victim.pid))
        killed = rng.choice(children) if children else None
        name = command_of(killed) if killed else "nobody"
        if killed:
            kill_quietly(killed)

        def end():
            for client in clients:
                client.kill()
                client.wait()

        self.hold(rng.uniform(0.5, 3), end)
        return f"{route}: killed {name[:60]}"


class KilledCommands(Actor):
    """Commands on the shared connection that die by SIGKILL, and nothing else there."""

    pause = (0.5, 2)

    def step(self):
        quiet = subprocess.DEVNULL
        client = self.world.mux.start_ssh("t", "exec sleep 31", stdin=quiet, stdout=quiet,
                                          stderr=quiet)
        self.over.wait(self.rng.uniform(0.2, 0.6))
        victims = [p for p in descendants(self.world.target.pid) if command_of(p) == "sleep 31"]
        for pid in victims:
            kill_quietly(pid)
        try:
            code = client.wait(10) if victims else None
        except subprocess.TimeoutExpired:
            code = "none"
        client.kill()
        client.wait()
        return f"killed {len(victims)}, exit {code}"


class KilledPinentries(Actor):
    """The pinentries of the daemon are killed while they ask."""

    pause = (0.3, 1)

    def step(self):
        helpers = programs_of(self.world.mux.pid)
        if not helpers:
            return "nobody"
        pid = self.rng.choice(sorted(helpers))
        name = command_of(pid)
        kill_quietly(pid)
        return f"killed {name[:60]}"
