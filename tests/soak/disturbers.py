# SPDX-License-Identifier: MIT
"""What happens to people all day: clients and servers die, the network stops, somebody reloads."""
import signal
import subprocess
import time

from peers import descendants, kill_quietly, poll
from soak.doors import DOORS
from soak.users import OpenSession, ROUTES, User

STALL_S = 50  # longer than the 45 s after which a connection is stalled (U3)
NEW_CALL_S = 6  # within which a new call goes elsewhere meanwhile


class ClientDeaths(User):
    """Clients that are killed in the middle of a transfer."""

    pause = (2, 8)

    def work(self):
        door, route = self.rng.choice(DOORS), self.rng.choice(ROUTES)
        argv = self.world.doors.argv(door, route, "cat /dev/zero")
        client = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, env=self.world.doors.env)
        try:
            client.stdout.read(self.rng.choice([1, 100_000, 2 << 20]))
        finally:
            helpers = descendants(client.pid)  # a ProxyCommand
            client.kill()
            client.stdout.close()
            client.wait()
            for pid in helpers:
                kill_quietly(pid)
        return f"{door} {route}"


class ServerDeaths(User):
    """The server's processes of a connection die; the call on it ends with a word, the next works."""

    pause = (10, 30)

    def work(self):
        door = self.rng.choice(DOORS)
        session = OpenSession(self.world, door, "v")
        if trouble := session.echo():
            self.complain(f"{door} v: {trouble}")
            session.close()
            return "not begun"
        for pid in descendants(self.world.victim.pid):
            kill_quietly(pid)
        try:
            said = session.client.communicate(timeout=30)[1]
            if session.client.returncode == 0 or not said.strip():
                self.complain(f"{door} v, killed: exit {session.client.returncode}, {said!r}")
        except subprocess.TimeoutExpired:
            self.complain(f"{door} v, killed: it hangs")
        finally:
            session.close()
        if self.run_client(self.world.doors.argv(door, "v", "true"), f"{door} v after it", 40) is None:
            return "no call after it"
        return door


class Reloads(User):
    """The routes file changes: a route comes and goes, those in use stay as they are."""

    pause = (5, 20)

    def work(self):
        return self.reload(self.rng.random() < 0.5)

    def reload(self, is_more):
        """A route more has a control socket more."""
        text = self.world.routes_text
        if is_more:
            text += '[routes.x]\nhost = "127.0.0.1"\nport = 9\nuser = "nobody"\n'
        since = len(self.world.mux.log())
        self.world.mux.routes_path.write_text(text + f"# {self.rng.getrandbits(32)}\n")
        self.world.mux.proc.send_signal(signal.SIGHUP)
        try:
            self.world.mux.wait_log("routes re-read", 20, since)
        except AssertionError:
            return self.complain("the routes were not read again within 20 s")
        self.world.more_routes = int(is_more)
        return "reloaded" + (", a route more" if is_more else "")

    def close(self):
        self.reload(False)


class Stalls(User):
    """The path to one server stops for longer than it takes to call it stalled. What is open waits
    and goes on; a new call goes by a connection of its own."""

    pause = (60, 200)

    def step(self):  # beside the gate: it takes a minute, and its route is not in the book
        if self.over.wait(20):
            return "over"
        return self.work()

    def work(self):
        session = OpenSession(self.world, self.rng.choice(DOORS), "s")
        try:
            if trouble := session.echo():
                return self.complain(f"s, before: {trouble}")
            self.world.path.strand()
            self.over.wait(STALL_S)
            begun = time.monotonic()
            fresh = self.run_client(self.world.doors.argv("port", "s", "true"), "s meanwhile", 60)
            took = time.monotonic() - begun
            self.world.path.unstrand()
            if fresh is not None and took > NEW_CALL_S * 1.2:
                self.complain(f"a new call took {took:.1f} s while the old connection was silent")
            if trouble := session.echo(60):
                return self.complain(f"s, after the path came back: {trouble}")
            if (code := session.close()) != 0:
                self.complain(f"s ended with {code}")
        finally:
            self.world.path.unstrand()
            session.close()
        return f"stalled, new call {took:.1f} s"


class Locks(User):
    """Locked: new calls are refused with a word, what is open goes on. Nobody else calls then."""

    pause = (60, 120)

    def step(self):
        with self.world.gate.alone():
            return self.work()

    def work(self):
        door = self.rng.choice(DOORS)
        if self.world.mux.control("lock").returncode != 0:
            return self.complain("lock fails")
        try:
            done = subprocess.run(self.world.doors.argv(door, "t", "echo let in"), timeout=60,
                                  capture_output=True, env=self.world.doors.env, check=False,
                                  stdin=subprocess.DEVNULL)
            if done.returncode == 0 or b"let in" in done.stdout or not done.stderr.strip():
                self.complain(f"locked, and {door} gets {done}")
            for session in self.world.open_sessions():
                if trouble := session.echo():
                    self.complain(f"locked, and an open session of {session.door}: {trouble}")
        finally:
            if self.world.mux.control("unlock").returncode != 0:
                self.complain("unlock fails")
        return door


class ClockJumps(User):
    """The wall clock of the daemon goes forward and back: nobody notices."""

    pause = (10, 40)

    def work(self):
        jump = self.rng.choice(["+0", "+3600", "-86400", "+31536000"])
        self.world.set_clock(jump)
        poll(lambda: self.world.mux.alive(), 5, "the daemon lives")
        return jump
