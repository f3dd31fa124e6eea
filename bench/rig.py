# SPDX-License-Identifier: MIT
"""The programs that are compared, what they use up, and the report."""
import datetime
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
import time

import peers
from peers import SSH, Keys, Mux, Sshd, descendants, free_port, hop, poll, routes_toml

TICK = os.sysconf("SC_CLK_TCK")
GIB = 1 << 30
NUMBER = re.compile(r"[\d.]*( ×)?") # what a table puts to the right

median = statistics.median


# ---- what a process used up ----------------------------------------------------------------------


def stat(pid):
    """utime, stime, cutime and cstime of a process in seconds; zeros if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0, 0, 0, 0
    return tuple(int(n) / TICK for n in fields[11:15])


def cpu(pid):
    return sum(stat(pid)[:2])


def cpu_tree(pid):
    """Of a process, of those below it, and of those it waited for."""
    return sum(sum(stat(p)) for p in [pid] + descendants(pid))


def memory(pid, field="VmRSS"):
    """KiB."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise KeyError(field)


def run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL):
    """Runs a client to its end: wall seconds, CPU seconds, peak KiB. Failure is fatal."""
    start = time.perf_counter()
    with subprocess.Popen([str(a) for a in argv], stdin=stdin, stdout=stdout,
                          stderr=subprocess.PIPE) as p:
        text = p.stderr.read()
        _, status, usage = os.wait4(p.pid, 0)
        wall = time.perf_counter() - start
        p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode != 0:
        sys.exit(f"bench/run: {argv} ended with {p.returncode}: {text.decode(errors='replace')}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


# ---- the three ways ------------------------------------------------------------------------------


class Side:
    """One way to the same sshd. relay: the process in between, if there is one."""

    def __init__(self, name, config, relay=None, options=()):
        self.name, self.config, self.relay, self.options = name, config, relay, list(options)

    def argv(self, *command, options=(), program=SSH):
        return [program, "-F", self.config, *self.options, *options, "server", *command]


class World:
    """A sshd, a ControlMaster for each cipher that was asked for, and a daemon."""

    SIDES = ("direct", "ControlMaster", "ssh-mux")

    def __init__(self, stack, args):
        self.stack = stack
        self.binary = args.binary
        # Files of sftp go to memory where there is some, or the disk is measured.
        self.dir = pathlib.Path(peers.short_dir("bench"))
        stack.callback(shutil.rmtree, self.dir, True)
        self.data = pathlib.Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp")
        self.data = self.data / self.dir.name
        self.data.mkdir()
        stack.callback(shutil.rmtree, self.data, True)
        self.keys = Keys(self.dir)
        self.sshd = self.add(Sshd(self.keys, MaxSessions=300, MaxStartups=1000,
                                  LogLevel="ERROR"))
        self.mux = self.make_mux()
        self.configs = {
            "direct": self.config("direct", self.sshd.port, "remote", self.sshd.known_hosts()),
            "ssh-mux": self.mux_config(self.mux),
        }
        self.masters = {}
        for name in self.SIDES:
            side = self.side(name)
            done = subprocess.run(side.argv("head -c 1000000 /dev/zero"), stdout=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, check=True)
            assert len(done.stdout) == 1000000, name

    def add(self, thing):
        self.stack.callback(shutil.rmtree, thing.dir, True)
        self.stack.callback(thing.kill)
        return thing

    def make_mux(self):
        routes = {"t": hop(self.sshd, allow_remote_loopback_any_port=True),
                  "program": hop(self.sshd, transport=["nc", "%h", "%p"])}
        return self.add(Mux(self.keys, routes=routes_toml(routes), args=["--log-level", "info"],
                            known_hosts=self.sshd.known_hosts()))

    def config(self, name, port, key, known_hosts, user=peers.USER):
        known = self.dir / f"{name}-known_hosts"
        known.write_text(known_hosts)
        path = self.dir / f"{name}-config"
        path.write_text(
            f"""Host server
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {self.keys.make(key)}
  IdentityAgent none
  UserKnownHostsFile {known}
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  UpdateHostKeys no
  BatchMode yes
""")
        return path

    def transported(self, cipher="default"):
        """The daemon's local server, with a program between it and sshd instead of TCP."""
        config = self.mux_config(self.mux, "program")
        return Side("ssh-mux, nc", config, self.mux.pid, cipher_options(cipher))

    def mux_config(self, mux, route="t"):
        host_key = (mux.ssh_dir / "ssh-mux-host-key.pub").read_text()
        return self.config(f"mux{mux.port}{route}", mux.port, "local",
                           f"[127.0.0.1]:{mux.port} {host_key}", user=route)

    def master(self, cipher):
        """A ControlMaster whose connection uses this cipher; it serves SOCKS as well."""
        if cipher not in self.masters:
            path = self.dir / f"cm{len(self.masters)}"
            port = free_port()
            p = subprocess.Popen(
                [SSH, "-F", self.configs["direct"], *cipher_options(cipher), "-M", "-N", "-D",
                 str(port), "-S", path, "server"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
            self.stack.callback(p.wait)
            self.stack.callback(p.kill)
            poll(lambda: path.exists() or p.poll() is not None, 20, "the ControlMaster")
            self.masters[cipher] = p.pid, path, port
        return self.masters[cipher]

    def side(self, name, cipher="default"):
        if name == "ControlMaster":
            pid, path, _ = self.master(cipher)
            return Side(name, self.configs["direct"], pid, [f"-oControlPath={path}"])
        relay = self.mux.pid if name == "ssh-mux" else None
        return Side(name, self.configs[name], relay, cipher_options(cipher))

    def proxied(self, cipher="default"):
        """The daemon's local server by way of `ssh-mux proxy`."""
        env = [f"{k}={v}" for k, v in self.mux.env.items() if os.environ.get(k) != v]
        command = shlex.join(["env", *env, str(self.binary), "proxy", "t"])
        side = self.side("ssh-mux", cipher)
        return Side("ssh-mux proxy", side.config, side.relay,
                    [*side.options, f"-oProxyCommand={command}"])

    def control_socket(self):
        """The daemon's control socket as ControlPath of ssh; None: the daemon has none."""
        paths = list(self.mux.run_dir.rglob("t=*"))
        if not paths:
            return None
        return Side("ssh-mux", self.configs["direct"], self.mux.pid,
                    [f"-oControlPath={paths[0]}", "-oControlMaster=no"])

    def sides(self, cipher="default"):
        return [self.side(name, cipher) for name in self.SIDES]

    def settle(self, n_processes, timeout=5):
        """Waits until sshd has reaped the children of what was measured."""
        deadline = time.monotonic() + timeout
        while len(descendants(self.sshd.pid)) > n_processes and time.monotonic() < deadline:
            time.sleep(0.02)


def cipher_options(cipher):
    return [] if cipher == "default" else ["-oCiphers=" + cipher]


def rotated(things, n):
    n %= len(things)
    return things[n:] + things[:n]


class Usage:
    """CPU seconds of the relay and of sshd while something ran."""

    def __init__(self, world, side):
        self.world, self.side = world, side
        self.n = len(descendants(world.sshd.pid))
        self.before = self.now()

    def now(self):
        return cpu(self.side.relay) if self.side.relay else 0.0, cpu_tree(self.world.sshd.pid)

    def end(self):
        self.world.settle(self.n)
        return tuple(b - a for a, b in zip(self.before, self.now()))


class ProxyUsage(threading.Thread):
    """
    CPU seconds of the last `ssh-mux proxy t` that ran meanwhile. ssh does not wait for it, so they
    are looked at as long as it is there; the last look is at most 20 ms before its end.
    """

    def __init__(self, world):
        super().__init__(daemon=True)
        self.pattern = re.escape(str(world.binary)) + " proxy t $"
        self.seconds = 0.0
        self.done = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()

    def run(self):
        pid = None
        while not self.done.wait(0.02):
            now = cpu(pid) if pid else 0.0
            if now:
                self.seconds = now
            else:
                pid = next(iter(peers.pgrep(self.pattern)), None)


# ---- the report ----------------------------------------------------------------------------------


def out_of(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def field_of(path, name):
    with open(path, encoding="utf-8") as f:
        for line in f:
            key, _, value = line.replace("=", ":", 1).partition(":")
            if key.strip() == name:
                return value.strip().strip('"')
    return "?"


def default_cipher(config):
    done = subprocess.run([SSH, "-G", "-F", config, "server"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=True)
    return next(line.split()[1].split(",")[0] for line in done.stdout.splitlines()
                if line.startswith("ciphers "))


class Report:
    def __init__(self):
        self.targets = []

    def say(self, text=""):
        print(text, flush=True)

    def head(self, world, args):
        size = args.size
        kib = int(field_of("/proc/meminfo", "MemTotal").split()[0])
        self.say("# Results of bench/run")
        self.say()
        self.say(f"- {datetime.date.today()}, load before the run {os.getloadavg()[0]:.1f}")
        self.say(f"- {os.cpu_count()} cores of {field_of('/proc/cpuinfo', 'model name')}, "
                 f"{kib / (1 << 20):.0f} GiB, {field_of('/etc/os-release', 'PRETTY_NAME')}; client, "
                 "relay and sshd share these cores, everything is on loopback")
        self.say(f"- {out_of(SSH, '-V')}; {out_of(args.binary, '--version')}")
        with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as f:
            self.say(f"- TCP congestion control: {f.read().strip()}; the client's default cipher: "
                     f"{default_cipher(world.configs['direct'])}")
        self.say(f"- {size.rounds} round{'s' * (size.rounds > 1)}, medians; the order of the three "
                 "is rotated each round")
        if peers.sanitized():
            self.say("- **the binary carries a sanitizer: these figures mean nothing**")

    def table(self, title, header, rows):
        cells = [header] + [[str(c) for c in row] for row in rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
        left = [not all(NUMBER.fullmatch(row[i]) for row in cells[1:])
                for i in range(len(header))]
        self.say(f"\n## {title}\n")
        for n, row in enumerate(cells):
            pads = [c.ljust(w) if l else c.rjust(w) for c, w, l in zip(row, widths, left)]
            self.say("| " + " | ".join(pads) + " |")
            if n == 0:
                rule = ["-" * w if l else "-" * (w - 1) + ":" for w, l in zip(widths, left)]
                self.say("| " + " | ".join(rule) + " |")

    def target(self, what, value, limit, at_least=False, unit=""):
        met = value >= limit if at_least else value <= limit
        self.targets.append((what, value, limit, at_least, unit, met))

    def verdict(self):
        """Whether a target was missed."""
        self.table("Targets", ["what", "measured", "target", "met"],
                   [[what, f"{value:.2f}{unit}", f"{'≥' if least else '≤'} {limit:g}{unit}",
                     "yes" if met else "NO"]
                    for what, value, limit, least, unit, met in self.targets])
        return not all(t[-1] for t in self.targets)
