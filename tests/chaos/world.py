# SPDX-License-Identifier: MIT
"""The programs of one phase: real servers, hostile ones, the daemon, the healthy sessions."""
import contextlib
import os
import pathlib
import struct
import subprocess
import sys
import threading
import time

import paramiko

import peers
from chaos.preload import Preload
from chaos.servers import HostileServer
from fake_pinentry import Pinentry
from peers import Mux, Sshd, hop, poll, routes_toml

HERE = pathlib.Path(__file__).resolve().parent
N_ROUTES = 100  # to hostile servers, each with a user of its own: what fails on one is not remembered
N_JUMPS = 24
ECHOES = "echo $PPID; exec cat"  # what echo.py wants
IDLE_S = 3  # of pooled connections
# A helper that answers, refuses, says nothing, or is not there, in turn.
PINENTRY = r'''#!/usr/bin/python3
import os, pathlib, sys, time
here = pathlib.Path(__file__).resolve().parent
with open(here / "pids", "a") as f:
    f.write(f"{os.getpid()}\n")
turn = len((here / "pids").read_text().split()) % 5
if turn == 0:
    sys.exit(3)
print("OK", flush=True)
for line in sys.stdin:
    if line.strip() not in ("GETPIN", "CONFIRM"):
        print("OK", flush=True)
    elif turn == 1:
        time.sleep(5)
    elif turn == 2:
        print("ERR 83886179 Operation cancelled", flush=True)
    elif turn == 3:
        print("D " + "x" * 5000, flush=True)
    else:
        print("D 123456\nOK", flush=True)
'''


def for_preloading(binary):
    """The sanitizers' program whose allocator is a library of its own: a preloaded one comes first."""
    beside = pathlib.Path(binary).with_name("ssh-mux-preload")
    return beside if beside.exists() else pathlib.Path(binary)


class FailingMemory(Preload):
    """The preloaded library that makes allocations of the daemon fail, and its switch."""

    def __init__(self, seed):
        self.seed = seed & 0xffffffff
        super().__init__("failing_malloc", "CHAOS_ALLOC", struct.pack("5I", 0, 0, 0, self.seed, 0))

    def environment(self, env, also="jansson:tomlplusplus:stdc++:crypto"):
        return super().environment(env, CHAOS_ALLOC_ALSO=also)

    def one_in(self, n):
        self.put(0, n)

    def counts(self):
        """How many were asked for, how many failed."""
        return struct.unpack("5I", self.path.read_bytes())[1:3]

    def count_down(self, n):
        """The n-th from now on fails; 0: none."""
        self.put(16, n)

    def left(self):
        """Of what was counted down from."""
        return struct.unpack("5I", self.path.read_bytes())[4]


class ChaosMux(Mux):
    def __init__(self, *args, failing=None, **kwargs):
        self.failing = failing
        super().__init__(*args, **kwargs)

    def spawn(self, argv, env=None, **kwargs):
        super().spawn(argv, env=self.failing.environment(env) if self.failing else env, **kwargs)


class Sample:
    """One echo: when it was sent, the seconds it took (so far, if it is not back), and for how many
    of them processes on its way were ready to run and had no processor."""

    def __init__(self, at, took, waited, is_back):
        self.at, self.took, self.waited, self.is_back = at, took, waited, is_back


class Echo:
    """A healthy session (echo.py) and what it has measured."""

    def __init__(self, name, path, command, daemon=0, jump=0):
        self.name, self.path = name, path
        self.proc = subprocess.Popen(
            [sys.executable, str(HERE / "echo.py"), str(path), str(daemon), str(jump),
             *map(str, command)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=open(f"{path}.stderr", "wb"), start_new_session=True,
            env=dict(os.environ, PYTHONPATH=os.path.dirname(peers.__file__)))

    def lines(self):
        try:
            return [line.split() for line in self.path.read_text().splitlines()]
        except FileNotFoundError:
            return []

    def samples(self):
        """What came back, and the one that is outstanding. The login is in none."""
        found = []
        for words in self.lines():
            if words[0] not in ("sent", "still", "back"):
                continue
            at, took, waited = [*map(float, words[1:]), 0, 0][:3]
            if found and not found[-1].is_back and found[-1].at == at:
                found.pop()
            found.append(Sample(at, took, waited, words[0] == "back"))
        return found

    def trouble(self):
        """None while it lives, or has ended as it was told to."""
        for words in self.lines():
            if words[0] in ("lost", "wrong"):
                return " ".join(words)
        return None

    def said(self):
        return pathlib.Path(f"{self.path}.stderr").read_text(errors="replace")[-500:]

    def end(self):
        """Its exit code, after the orderly end."""
        with contextlib.suppress(OSError):
            self.proc.stdin.close()
        try:
            self.proc.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        return next((int(w[1]) for w in self.lines() if w[0] == "end"), None)

    def kill(self):
        for pid in peers.group_members(self.proc.pid):
            peers.kill_quietly(pid)
        self.proc.wait()


class World:
    def __init__(self, seed, binary, directory, memory=None):
        self.seed, self.binary, self.dir, self.memory = seed, binary, directory, memory
        self.lock = threading.Lock()
        self.complaints = {}  # name of a rule -> list of texts
        self.things = []
        self.names, self.echoes = [], {}  # name -> the session that is alive now
        self.gone, self.lost = [], []  # sessions that were lost, and (name, how)
        directory.mkdir(parents=True, exist_ok=True)
        self.book = open(directory / "journal", "w", buffering=1, encoding="utf-8")
        self.begun = time.monotonic()
        try:
            self.build()
        except BaseException:
            self.stop()
            raise

    def keep(self, thing):
        self.things.append(thing)
        return thing

    def build(self):
        keys = self.keys = peers.Keys(self.dir / "keys")
        keys.dir.mkdir(exist_ok=True)
        load = paramiko.Ed25519Key.from_private_key_file
        self.host_key = load(str(keys.make("host_odd")))
        self.stranger_key = load(str(keys.make("stranger")))
        self.target = self.inner = self.keep(Sshd(keys, "target", MaxSessions=5000))
        self.bastion = self.keep(Sshd(keys, "bastion", MaxSessions=5000))
        self.victim = self.keep(Sshd(keys, "victim", MaxSessions=100))
        self.remote = self.keep(HostileServer(self, self.seed, ["early", "auth", "open", "exec"]))
        self.jump = self.keep(HostileServer(self, self.seed, ["tunnel", "open"]))
        routes = {
            "t": hop(self.target), "bastion": hop(self.bastion),
            "b": hop(self.target, jump="bastion"),
            "v": hop(self.victim), "vb": hop(self.victim, jump="bastion"),
        }
        self.hostile_routes = []
        for i in range(N_ROUTES):
            routes[f"h{i}"] = self.remote.hop(f"user{i}")
            self.hostile_routes.append(f"h{i}")
        for i in range(N_JUMPS):
            routes[f"k{i}"] = self.jump.hop(f"jump{i}")
            routes[f"j{i}"] = hop(self.inner, jump=f"k{i}")
            self.hostile_routes.append(f"j{i}")
        known = "".join(s.known_hosts() for s in
                        (self.target, self.bastion, self.victim, self.remote, self.jump))
        pinentry = Pinentry(self.dir / "pinentry", program=PINENTRY)
        env = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:quarantine_size_mb=1"}
        self.routes_text = routes_toml(routes, top={"pinentry": pinentry.path})
        self.mux = self.keep(ChaosMux(
            keys, routes=self.routes_text, known_hosts=known,
            timeout=IDLE_S, binary=str(self.binary), failing=self.memory, env=env))

    # ---- what the actors say ----

    def journal(self, who, what):
        with self.lock:
            if not self.book.closed:
                self.book.write(f"{time.monotonic() - self.begun:9.3f} {who}: {what}\n")

    def complain(self, rule, text):
        with self.lock:
            self.complaints.setdefault(rule, []).append(
                f"at {time.monotonic() - self.begun:.1f} s: {text}")

    # ---- the healthy sessions ----

    def start_echoes(self):
        """On the shared connection, behind the jump host, and by plain ssh for comparison."""
        plain = [peers.SSH, "-F", "none", "-p", self.target.port, "-i", self.keys.make("remote"),
                 "-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-oBatchMode=yes",
                 "-oStrictHostKeyChecking=no", f"-oUserKnownHostsFile={self.dir}/plain_known_hosts",
                 "-oLogLevel=ERROR", f"{peers.USER}@127.0.0.1", ECHOES]
        mux, bastion = self.mux.pid, self.bastion.pid
        self.commands = {"shared": (self.mux.argv("t", ECHOES), mux),
                         "behind the jump host": (self.mux.argv("b", ECHOES), mux, bastion),
                         "plain ssh": (plain,)}
        self.names = list(self.commands)
        # Plain ssh first: there is nothing to compare with before.
        for name in reversed(self.names):
            echo = self.start_echo(name)
            poll(echo.samples, 30, f"{name} echoes", 0.1)

    def start_echo(self, name):
        n = sum(e.name == name for e in self.gone)
        path = self.dir / f"echo-{name.replace(' ', '-')}-{n}"
        self.echoes[name] = Echo(name, path, *self.commands[name])
        return self.echoes[name]

    def samples(self, name):
        return [x for e in [*self.gone, self.echoes[name]] if e.name == name for x in e.samples()]

    def tend_echoes(self):
        """A session that was lost is noted, with what was said at that moment, and another begins:
        one finding is not to hide the next."""
        for name, echo in list(self.echoes.items()):
            if not (trouble := echo.trouble()):
                continue
            ended = [line for line in self.mux.log().splitlines() if " ended: " in line
                     and "conn=" in line and str(self.target.port) in line]
            text = "\n".join([
                f"at {time.monotonic() - self.begun:.1f} s: {trouble}", echo.said().strip(),
                *ended[-2:], *(line[:200] for line in self.target.log().splitlines()[-4:])])
            self.lost.append((name, text))
            self.journal("LOST", f"{name}: {text}")
            self.gone.append(echo)
            self.start_echo(name)

    def end_echoes(self):
        return {name: e.end() for name, e in self.echoes.items()}

    # ---- the end ----

    def stop(self):
        """Everything, but for the daemon's own end, which model.py has looked at by then."""
        for e in [*self.echoes.values(), *self.gone]:
            e.kill()
        for thing in reversed(self.things):
            with contextlib.suppress(Exception):
                thing.kill() if hasattr(thing, "kill") else thing.stop()
        self.book.close()
