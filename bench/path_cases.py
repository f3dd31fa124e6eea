# SPDX-License-Identifier: MIT
"""What is measured on a path, and what it should be (B7, B8, B13)."""
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time

import otp_sshd
import peers
import rig
from path_world import (DIRECT_PROGRAM, DOOR, PROGRAM, SIDES, UNPACED, Down, Echo, NodelaySshd, Up,
                        echo_argv, inside, percentile, rate)

median = rig.median


def mb(value):
    return f"{value / 1e6:.1f}"


def of_path(world):
    line = f"{world.name}: {2 * world.delay} ms"
    if world.mbit:
        line += f", {world.mbit} Mbit/s, {world.queue / 1000:.0f} KB of queue"
    return line


# ---- rates ---------------------------------------------------------------------------------------


def ratio(got, name, other):
    return median(got[name]) / median(got[other]) if other in got else None


def times(value):
    return "" if value is None else f"{value:.2f} ×"


def bulk_flow(world, way, name):
    """A transfer that runs, of raw TCP or of that side."""
    raw = (world.THERE, world.blast.port) if name == "raw TCP" else None
    side = None if raw else world.side(name)
    if way == "down":
        return Down(side and side.argv("exec cat /dev/zero"), raw)
    return Up(world, side and side.argv(), raw)


def bulk(world, report, way, names=None, warm_up=0):
    names = names or ["raw TCP"] + world.side_names()
    got = {name: [] for name in names}
    for name in names:
        if name != "raw TCP": # a ControlMaster is logged in before
            rig.run(world.side(name).argv("true"))
    for n in range(world.args.rounds):
        for name in rig.rotated(names, n):
            flow = bulk_flow(world, way, name)
            time.sleep(warm_up)
            got[name].append(rate(flow, world.args.seconds))
            flow.stop()
            time.sleep(1 + 4 * world.delay / 1000)
    report.table(f"{of_path(world)}: {way}load, {world.args.seconds:g} s, MB/s",
                 ["side", "MB/s", "× raw TCP", "× direct", "× master"],
                 [[n, mb(median(got[n]))] + [times(ratio(got, n, other)) for other in
                                             ("raw TCP", "direct", "ControlMaster")]
                  for n in names])
    return got


def download(world, report):
    got = bulk(world, report, "down")
    if "ssh-mux" in got:
        report.target(f"{world.name}: download, × raw TCP", ratio(got, "ssh-mux", "raw TCP"), 0.85,
                      at_least=True)
    if world.name == "fat" and "direct" in got:
        report.target("fat: download, × direct", ratio(got, "ssh-mux", "direct"), 3.5,
                      at_least=True)


def upload(world, report):
    got = bulk(world, report, "up")
    if "ControlMaster" in got:
        report.target(f"{world.name}: upload, × ControlMaster",
                      ratio(got, "ssh-mux", "ControlMaster"), 1.0, at_least=True)


def transport(world, report):
    """R7: a program instead of TCP, beside what that costs plain ssh. nc has Nagle's algorithm on."""
    for way in ("down", "up"):
        got = bulk(world, report, way, ["direct", DIRECT_PROGRAM, "ssh-mux", PROGRAM],
                   4 * world.args.warm_up)
        report.target(f"{world.name}: {way}load over a program, × TCP's",
                      ratio(got, PROGRAM, "ssh-mux"), 0.8, at_least=True)


def sftp(world, report):
    size = world.args.sftp_mib << 20
    source = world.dir / "source"
    with open(source, "wb") as f:
        f.truncate(size)
    batch = world.dir / "batch"
    batch.write_text(f"get {source} /dev/null\n")
    names = world.side_names()
    got = {name: [] for name in names}
    for n in range(world.args.rounds):
        for name in rig.rotated(names, n):
            argv = world.side(name).argv(options=["-q", "-b", batch], program="sftp")
            wall, _, _ = rig.run(argv)
            got[name].append(size / wall)
    report.table(f"{of_path(world)}: sftp get, {world.args.sftp_mib} MiB",
                 ["side", "MB/s", "× direct"],
                 [[n, mb(median(v)), times(ratio(got, n, "direct"))] for n, v in got.items()])
    if "direct" in got:
        report.target(f"{world.name}: sftp get, × direct", ratio(got, "ssh-mux", "direct"), 1.3,
                      at_least=True)


# ---- an echo beside bulk -------------------------------------------------------------------------


LOADS = {"idle": (), "download": ("d",), "upload": ("u",), "both": ("d", "u")}


def loads(world, side, kinds, host=None):
    return [Down(side.argv("exec cat /dev/zero", host=host)) if k == "d"
            else Up(world, side.argv(host=host)) for k in kinds]


def echo_beside(world, side, pty, kinds, echo_on, bulk_on):
    """Milliseconds of the echoes, and the rates of what ran meanwhile."""
    def user(name):
        return name and f"{name}@server"

    e = Echo(echo_argv(side, pty, host=user(echo_on)))
    flows = loads(world, side, kinds, host=user(bulk_on))
    time.sleep(world.args.warm_up if flows else 0.5)
    before = [f.bytes for f in flows]
    start = time.monotonic()
    ms = e.sample(world.args.seconds)
    took = time.monotonic() - start
    rates = [(f.bytes - b) / took for f, b in zip(flows, before)]
    for thing in flows + [e]:
        thing.stop()
    time.sleep(1)
    return ms, rates


def one_echo(world, report, pty, echo_on, bulk_on, title):
    names = [n for n in world.side_names() if not echo_on or n not in SIDES[:2]]
    ms = {(name, what): [] for name in names for what in LOADS}
    rates = {key: [] for key in ms}
    for n in range(world.args.rounds):
        for name in rig.rotated(names, n):
            for what, kinds in LOADS.items():
                got = echo_beside(world, world.side(name), pty, kinds, echo_on, bulk_on)
                ms[name, what] += got[0]
                rates[name, what].append(got[1])
    rows = []
    kind = "pty" if pty else "no pty"
    most = 2.0 if world.name == "bloated" else 1.5
    for (name, what), values in ms.items():
        speeds = [median(r) for r in zip(*rates[name, what])]
        p99, idle = percentile(values, 99), percentile(ms[name, "idle"], 99)
        cells = ["", ""]
        if what != "idle" and name == "ssh-mux":
            report.target(f"{world.name}, {title}, {kind}: p99 beside {what}, × idle", p99 / idle,
                          most)
        if what != "idle" and name == "ssh-mux" and UNPACED in names:
            whole = [median(r) for r in zip(*rates[UNPACED, what])]
            parts = [a / b for a, b in zip(speeds, whole)]
            cells[1] = " + ".join(f"{p:.2f}" for p in parts)
            for way, part in zip(LOADS[what], parts):
                report.target(f"{world.name}, {title}, {kind}: {dict(d='down', u='up')[way]}load "
                              f"of {what}, × unpaced", part, 0.9, at_least=True)
        cells[0] = " + ".join(mb(s) for s in speeds)
        rows.append([name, what, f"{percentile(values, 50):.0f}", f"{p99:.0f}",
                     f"{p99 / idle:.2f} ×"] + cells)
    report.table(f"{of_path(world)}: echo beside bulk, {title}, {kind}; ms",
                 ["side", "beside", "p50", "p99", "p99 × idle", "bulk MB/s", "× unpaced"], rows)


def echo(world, report, echo_on=None, bulk_on=None, title="one login"):
    for pty in (False, True):
        if world.args.pty in ("both", "yes" if pty else "no"):
            one_echo(world, report, pty, echo_on, bulk_on, title)


def jumped(world, report):
    """The echo on one target, bulk on another behind the same jump host."""
    echo(world, report, "behind0", "behind1", "two targets behind one jump host")


# ---- a competing flow ----------------------------------------------------------------------------


def beside_tcp(world, way, name):
    """Bytes a second of that side's transfer and of raw TCP's, which was there before."""
    other = bulk_flow(world, way, "raw TCP")
    time.sleep(2)
    flow = bulk_flow(world, way, name)
    time.sleep(world.args.warm_up)
    before, start = (flow.bytes, other.bytes), time.monotonic()
    time.sleep(world.args.seconds)
    took = time.monotonic() - start
    got = (flow.bytes - before[0]) / took, (other.bytes - before[1]) / took
    for thing in (flow, other):
        thing.stop()
    time.sleep(1)
    return got


def compete(world, report):
    """Bulk beside one plain TCP flow on the same path; a fair share is half of both."""
    names = ["raw TCP"] + world.side_names()
    rows = []
    for way in ("down", "up"):
        got = {name: [] for name in names}
        for n in range(world.args.rounds):
            for name in rig.rotated(names, n):
                got[name].append(beside_tcp(world, way, name))
        for name in names:
            ours, theirs = (median(v) for v in zip(*got[name]))
            fair = median([a / ((a + b) / 2) for a, b in got[name]])
            rows.append([way, name, mb(ours), mb(theirs), f"{fair:.2f} ×"])
            if name == "ssh-mux":
                report.target(f"{world.name}: {way}load beside a plain TCP flow, × fair share",
                              fair, 0.7, at_least=True)
    report.table(f"{of_path(world)}: beside a plain TCP flow; MB/s",
                 ["way", "side", "ours", "the other's", "× fair share"], rows)


# ---- what begins beside bulk ---------------------------------------------------------------------


@contextlib.contextmanager
def forward(world, side):
    """A client with -L to an echo server behind the server: its port."""
    port = peers.free_port()
    p = subprocess.Popen(side.argv(options=["-N", "-L", f"127.0.0.1:{port}:127.0.0.1:"
                                            f"{world.echo.port}"]),
                         stdin=subprocess.DEVNULL)
    try:
        peers.poll(lambda: peers.listening(port), 30, "a forwarded port")
        yield port
    finally:
        p.terminate()
        p.wait()


def eight_opens(port):
    """Eight connections at once, a byte there and back on each: milliseconds until the last."""
    start = time.perf_counter()
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    for s in socks:
        s.settimeout(30)
        s.sendall(b"x")
    for s in socks:
        assert s.recv(1) == b"x"
    ms = (time.perf_counter() - start) * 1000
    for s in socks:
        s.close()
    return ms


def begin_beside(world, side, kinds):
    """Milliseconds of `true`, and of eight opens."""
    flows = loads(world, side, kinds)
    time.sleep(world.args.warm_up if flows else 0.5)
    each = max(1, world.args.samples // world.args.rounds)
    commands = [rig.run(side.argv("true"))[0] * 1000 for _ in range(each)]
    with forward(world, side) as port:
        eight_opens(port)
        opens = []
        for _ in range(each):
            opens.append(eight_opens(port))
            time.sleep(0.05)
    for f in flows:
        f.stop()
    time.sleep(1)
    return commands, opens


def beside(world, report):
    """A new command, and eight forwarded connections at once, beside bulk."""
    names = world.side_names()
    what = ["idle", "download", "upload"]
    got = {(name, load): ([], []) for name in names for load in what}
    for name in names:
        rig.run(world.side(name).argv("true"))
    for n in range(world.args.rounds):
        for name in rig.rotated(names, n):
            for load in what:
                new = begin_beside(world, world.side(name), LOADS[load])
                for all_, some in zip(got[name, load], new):
                    all_ += some
    rows = []
    for name in names:
        for i, thing in enumerate(("`ssh host true`", "8 direct-tcpip opens")):
            idle = median(got[name, "idle"][i])
            values = [median(got[name, load][i]) for load in what]
            rows.append([name, thing] + [f"{v:.0f}" for v in values]
                        + [f"{v / idle:.2f} ×" for v in values[1:]])
            if name == "ssh-mux":
                for load, v in zip(what[1:], values[1:]):
                    report.target(f"{world.name}: {thing} beside {load}, × idle", v / idle, 1.5)
    report.table(f"{of_path(world)}: what begins beside bulk; medians in ms",
                 ["side", "what", "idle", "download", "upload", "download, × idle",
                  "upload, × idle"], rows)


# ---- logins --------------------------------------------------------------------------------------


def warm(world, report):
    """In a row for each side: what others do between them would count as a pause."""
    names = world.side_names()
    if "ssh-mux" in names and list(world.mux.run_dir.rglob("server=*")):
        names.append(DOOR)
    got = {name: [] for name in names}
    for n in range(world.args.rounds):
        for name in rig.rotated(names, n):
            rig.run(world.side(name).argv("true"))
            time.sleep(1)
            got[name] += [rig.run(world.side(name).argv("true"))[0] * 1000
                          for _ in range(world.args.samples)]
    trip = 2 * world.delay
    report.table(f"{of_path(world)}: `ssh host true`, logged in, {world.args.samples} in a row",
                 ["side", "ms", "round trips", "the longest"],
                 [[n, f"{median(v):.0f}", f"{median(v) / trip:.2f}", f"{max(v) / trip:.2f}"]
                  for n, v in got.items()])
    for name in ("ssh-mux", DOOR):
        if name in got:
            report.target(f"{world.name}: a warm command, {name}, round trips",
                          median(got[name]) / trip, 1.2)


COMMANDS = 100


def serial(world, report):
    """A script of many commands."""
    names = [n for n in world.side_names() if n != "direct"]
    got = {name: [] for name in names}
    for name in names:
        rig.run(world.side(name).argv("true"))
    for n in range(world.args.rounds):
        for name in rig.rotated(names, n):
            argv, start = world.side(name).argv("true"), time.monotonic()
            for _ in range(COMMANDS):
                rig.run(argv)
            got[name].append(time.monotonic() - start)
    rows = [[n, f"{median(v):.1f}"] for n, v in got.items()]
    if "ControlMaster" in got:
        master = median(got["ControlMaster"])
        for row, v in zip(rows, got.values()):
            row.append(f"{median(v) / master:.2f} ×")
        if "ssh-mux" in got:
            report.target(f"{world.name}: {COMMANDS} commands, × ControlMaster",
                          median(got["ssh-mux"]) / master, 0.6)
    report.table(f"{of_path(world)}: {COMMANDS} commands one after another, s",
                 ["side", "s", "× master"], rows)


PINENTRY = """#!/bin/sh
echo OK
while read -r line; do
	[ "$line" = GETPIN ] && printf 'D %s\\n' "$(cat {code})"
	echo OK
done
"""


IDLE_S = 1 # after which a connection ends


class Login:
    """One way to log in, to a server behind the path and to the same on this side of it."""

    def __init__(self, world, name, server=peers.Sshd, agent=False):
        self.world, self.name, self.is_otp = world, name, server is otp_sshd.OtpSshd
        with inside("S"):
            self.far = world.add(server(world.keys, f"far{server.__name__}", **world.SSHD))
        self.near = world.add(server(world.keys, f"near{server.__name__}", **world.SSHD))
        self.servers = {"far": (world.THERE, self.far), "near": ("127.0.0.1", self.near)}
        self.agent = peers.Agent(world.keys.make("remote")) if agent else None
        if self.agent:
            world.stack.callback(self.agent.stop)
        self.code = world.dir / "code"
        self.askpass = self.program("askpass", f"#!/bin/sh\ncat {self.code}\n")
        pinentry = self.program("pinentry", PINENTRY.replace("{code}", str(self.code)))
        routes = {name: dict(host=host, port=s.port, user=peers.USER, direct=True)
                  for name, (host, s) in self.servers.items()}
        self.mux = world.new_mux(
            routes=peers.routes_toml(routes, top={"pinentry": pinentry}), agent=self.agent,
            idle_s=IDLE_S, known_hosts="".join(s.known_hosts(h) for h, s in self.servers.values()))

    def program(self, name, text):
        path = self.world.dir / name
        path.write_text(text)
        path.chmod(0o700)
        return path

    def run(self, argv, server):
        if self.is_otp:
            self.code.write_text(server.code() + "\n")
        os.environ.update(SSH_ASKPASS=str(self.askpass), SSH_ASKPASS_REQUIRE="force")
        return rig.run(argv)[0] * 1000

    def direct(self, where):
        host, server = self.servers[where]
        how = {"agent": self.agent.sock} if self.agent else {"key": self.world.keys.make("remote")}
        config = self.world.config("login", host, server.port, server.known_hosts(host),
                                   peers.USER, asks=self.is_otp, **how)
        return self.run(["ssh", "-F", str(config), "server", "true"], server)

    def first_ms(self, where):
        """By a daemon that has never seen the server."""
        self.mux.stop()
        (self.mux.ssh_dir / "ssh-mux-greetings").unlink(missing_ok=True)
        self.mux.start()
        return self.through(where)

    def restarted_ms(self, where):
        """By one whose forerunner has."""
        self.first_ms(where)
        self.mux.stop()
        self.mux.start()
        return self.through(where)

    def through(self, where):
        side = self.world.mux_side(self.mux)
        return self.run(side.argv("true", host=f"{where}@server"), self.servers[where][1])

    def again_ms(self, where):
        """The same once more, after the connection has ended."""
        self.first_ms(where)
        peers.poll(lambda: not self.mux.connections(), what="the idle connection is gone")
        return self.through(where)


FIRST, RESTARTED, AGAIN = "ssh-mux, first", "ssh-mux, another daemon", "ssh-mux, again"


def cold(world, report):
    """A login and its first command. Round trips: without what the same costs on this side."""
    ways = [Login(world, "key in a file"), Login(world, "key in an agent", agent=True),
            Login(world, "key in a file, server without Nagle", server=NodelaySshd)]
    if otp_sshd.missing() is None:
        ways.append(Login(world, "key and one-time code", server=otp_sshd.OtpSshd))
    got = {}
    for _ in range(world.args.rounds):
        for way in ways:
            calls = (("direct", way.direct), (FIRST, way.first_ms), (RESTARTED, way.restarted_ms),
                     (AGAIN, way.again_ms))
            for name, call in calls:
                for where in ("far", "near"):
                    got.setdefault((way.name, name, where), []).append(call(where))
    trip = 2 * world.delay
    rows, trips = [], {}
    for way, name, _ in [k for k in got if k[2] == "far"]:
        far, near = median(got[way, name, "far"]), median(got[way, name, "near"])
        trips[way, name] = (far - near) / trip
        rows.append([way, name, f"{far:.0f}", f"{near:.0f}", f"{trips[way, name]:.1f}"])
    report.table(f"{of_path(world)}: login and `true`",
                 ["with", "side", "ms", "ms without a path", "round trips"], rows)
    rounds = 0
    for way in ways:
        if way.is_otp: # the server's own rounds: what it adds to OpenSSH's login with a key
            rounds = trips[way.name, "direct"] - trips[ways[0].name, "direct"]
        for name in (FIRST, RESTARTED, AGAIN):
            report.target(f"cold login, {way.name}, {name}: round trips",
                          trips[way.name, name], 6.3 + rounds)


# ---- memory --------------------------------------------------------------------------------------


BUDGET = 128 << 20 # WINDOW_BUDGET of src/mux/core/window.h
STOPPED = 20


class Stopped(threading.Thread):
    """A download of so many bytes whose receiver stops in the middle, until told to go on."""

    def __init__(self, argv, size, until):
        super().__init__(daemon=True)
        self.size, self.until, self.got = size, until, 0
        self.go_on = threading.Event()
        self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.start()

    def run(self):
        while piece := os.read(self.proc.stdout.fileno(), 1 << 18):
            self.got += len(piece)
            if self.got >= self.until:
                self.go_on.wait()

    def freeze(self, is_on):
        self.proc.send_signal(signal.SIGSTOP if is_on else signal.SIGCONT)


def stopped(world, report):
    """Downloads whose receivers stop in the middle: what the daemon keeps meanwhile."""
    size = world.args.stopped_mib << 20
    side = world.side("ssh-mux")
    rig.run(side.argv("true"))
    idle = world.mux.memory()
    flows = [Stopped(side.argv(f"head -c {size} /dev/zero"), size, size // 3)
             for _ in range(STOPPED)]
    start = time.monotonic()
    rss = [idle]
    while (time.monotonic() - start < 60 and not all(f.got >= f.until for f in flows)):
        rss.append(world.mux.memory())
        time.sleep(0.05)
    for f in flows[::2]: # half of the clients stop altogether, the others only their readers
        f.freeze(True)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        rss.append(world.mux.memory())
        time.sleep(0.05)
    held = world.mux.memory()
    for f in flows:
        f.go_on.set()
        f.freeze(False)
    while any(f.is_alive() for f in flows) and time.monotonic() - start < 240:
        rss.append(world.mux.memory())
        time.sleep(0.05)
    whole = sum(f.got == size and f.proc.wait() == 0 for f in flows)
    time.sleep(7)
    report.table(f"{of_path(world)}: {STOPPED} downloads of {world.args.stopped_mib} MiB whose "
                 "receivers stop in the middle; RSS of ssh-mux in MiB",
                 ["before", "stopped", "peak", "7 s after", "arrived whole"],
                 [[f"{v >> 20}" for v in (idle, held, max(rss), world.mux.memory())]
                  + [f"{whole} of {STOPPED}"]])
    report.target("memory of stopped downloads: peak RSS, MiB", max(rss) >> 20,
                  (64 << 20) + BUDGET >> 20)
    report.target("stopped downloads that arrive whole", whole, STOPPED, at_least=True)


CASES = {f.__name__: f for f in (download, upload, transport, sftp, stopped, echo, jumped, compete,
                                 beside, warm, serial, cold)}
