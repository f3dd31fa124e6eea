# SPDX-License-Identifier: MIT
"""The servers, the daemon and the book of open sessions."""
import contextlib
import glob
import threading
import time

import peers
from peers import Mux, Pump, Sshd, hop, routes_toml
from soak.doors import Doors
from soak.model import IDLE_S, UNBOOKED, Gate, wait
from soak.users import OpenSession

FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)


class ClockedMux(Mux):
    """A daemon whose wall clock can be moved; the one that counts seconds is left alone."""

    has_clock = False

    @property
    def clock(self):
        return self.ssh_dir / "clock"  # where the daemon may read it (H3)

    def spawn(self, argv, env=None, **kwargs):
        if self.has_clock:
            if not self.clock.exists():
                self.clock.write_text("+0\n")
            env = dict(env, LD_PRELOAD=FAKETIME, FAKETIME_TIMESTAMP_FILE=str(self.clock),
                       FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_CACHE_DURATION="1",
                       FAKETIME_NO_CACHE="0")
        super().spawn(argv, env=env, **kwargs)


class World:
    def __init__(self, binary, directory):
        self.dir, self.binary = directory, binary
        directory.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.gate = Gate()
        self.complaints, self.things, self.sessions, self.keys_of = {}, [], [], {}
        self.more_routes = 0  # than at the start (disturbers.Reloads)
        self.begun = time.monotonic()
        self.journal_file = open(directory / "journal", "w", buffering=1, encoding="utf-8")
        try:
            self.build()
        except BaseException:
            self.stop()
            raise

    def keep(self, thing):
        self.things.append(thing)
        return thing

    def build(self):
        keys = peers.Keys(self.dir / "keys")
        keys.dir.mkdir(exist_ok=True)
        self.echo = self.keep(peers.EchoServer())
        self.target = self.keep(Sshd(keys, "target", MaxSessions=1000, RekeyLimit="32M"))
        self.bastion = self.keep(Sshd(keys, "bastion", MaxSessions=1000))
        self.victim = self.keep(Sshd(keys, "victim"))
        far = self.keep(Sshd(keys, "far"))
        self.path = self.keep(Pump(far.port))
        loop = {"allow_remote_loopback_any_port": True}
        routes = {
            "t": hop(self.target, **loop), "bastion": hop(self.bastion),
            "b": hop(self.target, jump="bastion", **loop), "v": hop(self.victim),
            "s": {**hop(far), "port": self.path.port},
        }
        known = "".join(s.known_hosts() for s in (self.target, self.bastion, self.victim))
        known += far.known_hosts().replace(f":{far.port} ", f":{self.path.port} ")
        self.routes_text = routes_toml(routes)
        # The binary is a plain one: what is preloaded does not go with AddressSanitizer.
        if FAKETIME and b"__asan_init" not in self.binary.read_bytes():
            ClockedMux.has_clock = True
        self.mux = self.keep(ClockedMux(keys, routes=self.routes_text, known_hosts=known,
                                        timeout=IDLE_S, binary=str(self.binary)))
        self.doors = Doors(self.mux, self.target, self.dir)
        self.learn_keys()

    def learn_keys(self):
        """What `status` calls the connection of each route."""
        for route in ("t", "bastion", "b", "v", "s"):
            session = OpenSession(self, "port", route)
            trouble = session.echo()
            assert not trouble, (route, trouble, self.mux.log()[-2000:])
            keys = {c["key"] for c in self.mux.status()["connections"]}
            keys -= set(self.keys_of.values()) if route == "b" else set()
            assert len(keys) == 1, keys
            self.keys_of[route] = keys.pop()
            session.close()
            assert wait(lambda: not self.mux.status()["connections"], 20)

    def set_clock(self, text):
        if ClockedMux.has_clock:
            self.mux.clock.write_text(text + "\n")

    def key_of(self, route):
        return self.keys_of[route]

    def is_unbooked(self, key):
        return key in {self.keys_of[r] for r in UNBOOKED}

    # ---- the book ----

    def book_in(self, session):
        with self.lock:
            self.sessions.append(session)

    def book_out(self, session):
        with self.lock:
            self.sessions.remove(session)

    def open_sessions(self):
        with self.lock:
            return list(self.sessions)

    # ---- what is said ----

    def journal(self, who, what):
        with self.lock:
            if not self.journal_file.closed:
                self.journal_file.write(f"{time.monotonic() - self.begun:9.3f} {who}: {what}\n")

    def complain(self, rule, text):
        self.journal(f"{rule} COMPLAINS", text)
        with self.lock:
            self.complaints.setdefault(rule, []).append(
                f"at {time.monotonic() - self.begun:.1f} s: {text}")

    def stop(self):
        for session in self.open_sessions():
            session.client.kill()
        for thing in reversed(self.things):
            with contextlib.suppress(Exception):
                thing.kill() if hasattr(thing, "kill") else thing.stop()
        self.journal_file.close()
