# SPDX-License-Identifier: MIT
"""The path between two network namespaces, who stands at its ends, and what runs over it."""
import contextlib
import ctypes
import os
import pathlib
import selectors
import shutil
import socket
import subprocess
import sys
import threading
import time

import peers

PREFIX = f"smxpath{os.getpid()}"
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)

# name: one-way delay in ms, Mbit/s, bytes of queue, kernel's TCP buffers (None: the defaults)
PATHS = {
    "fat": (50, 1000, 8_000_000, 64 << 20),
    "fat-default": (50, 1000, 8_000_000, None),
    "far": (100, 300, 8_000_000, 64 << 20),
    "thin": (20, 20, 250_000, None),
    "bloated": (40, 5, 1_000_000, None),
    "delay": (50, 0, 0, None),
}
SIDES = ("direct", "ControlMaster", "ssh-mux")
UNPACED = "ssh-mux, pace = false"
DOOR = "ssh-mux, control socket"
PROGRAM = "ssh-mux, over nc"
DIRECT_PROGRAM = "direct, over nc"

# ---- namespaces ----------------------------------------------------------------------------------


@contextlib.contextmanager
def inside(name):
    """What is started meanwhile lives in that namespace, and this thread too."""
    with open("/proc/thread-self/ns/net", "rb") as here, \
            open(f"/run/netns/{PREFIX}{name}", "rb") as there:
        assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(here.fileno(), CLONE_NEWNET) == 0


def ip(*words):
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


def make_namespace(stack, name, buffers=None, congestion=None):
    ip("netns", "add", PREFIX + name)
    stack.callback(ip, "netns", "del", PREFIX + name)
    ip("-n", PREFIX + name, "link", "set", "lo", "up")
    with inside(name):
        if buffers:
            for way in ("rmem", "wmem"):
                pathlib.Path(f"/proc/sys/net/ipv4/tcp_{way}").write_text(f"4096 131072 {buffers}")
        if congestion:
            pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text(congestion)


def make_path(stack, program, a, addr_a, b, addr_b, delay, mbit, queue):
    p = subprocess.Popen([program, PREFIX + a, addr_a, PREFIX + b, addr_b, str(delay), str(mbit),
                          str(queue)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    stack.callback(p.wait)
    stack.callback(p.kill)
    assert p.stdout.readline() == b"ready\n", "bench/path did not start"
    return p


# ---- the world on a path -------------------------------------------------------------------------


class Side:
    def __init__(self, name, config, options=(), host="server"):
        self.name, self.config, self.options, self.host = name, config, list(options), host

    def argv(self, *command, options=(), program="ssh", host=None):
        return [program, "-F", str(self.config), *self.options, *options, host or self.host,
                *command]


class World:
    """client │ path │ server, in which also a second server stands, reached through the first."""

    HERE, THERE = "10.99.0.1", "10.99.0.2"
    SSHD = dict(ListenAddress="0.0.0.0", MaxSessions=100, LogLevel="ERROR")

    def __init__(self, stack, args, name):
        self.stack, self.args, self.name = stack, args, name
        self.delay, self.mbit, self.queue, buffers = PATHS[name]
        for end in ("C", "S"):
            make_namespace(stack, end, buffers, args.congestion)
        self.path = make_path(stack, args.path_program, "C", self.HERE, "S", self.THERE,
                              self.delay, self.mbit, self.queue)
        self.dir = pathlib.Path(peers.short_dir("paths"))
        stack.callback(shutil.rmtree, self.dir, True)
        self.keys = peers.Keys(self.dir)
        with inside("S"):
            self.sshd = self.add(peers.Sshd(self.keys, "server", **self.SSHD))
            self.behind = [self.add(peers.Sshd(self.keys, f"behind{i}", **self.SSHD))
                           for i in range(2)]
            self.blast = Blaster(self.THERE)
            self.echo = peers.EchoServer()
        stack.callback(self.blast.close)
        stack.callback(self.echo.stop)
        stack.enter_context(inside("C"))
        self.mux = self.make_mux(True)
        self.unpaced = self.make_mux(False) if args.unpaced else None

    def add(self, thing):
        self.stack.callback(shutil.rmtree, thing.dir, True)
        self.stack.callback(thing.kill)
        return thing

    def make_mux(self, pace):
        known = self.sshd.known_hosts(self.THERE)
        known += "".join(s.known_hosts("127.0.0.1") for s in self.behind)
        hop = dict(host=self.THERE, port=self.sshd.port, user=peers.USER)
        routes = {"server": dict(hop, allow_remote_loopback_any_port=True, direct=True),
                  "program": dict(hop, transport=["nc", "%h", "%p"])}
        for i, s in enumerate(self.behind):
            routes[f"behind{i}"] = dict(host="127.0.0.1", port=s.port, user=peers.USER,
                                        jump="server")
        top = {} if pace else {"pace": False}
        return self.new_mux(routes=peers.routes_toml(routes, top=top), known_hosts=known)

    def new_mux(self, idle_s=36000, **options):
        args = ["--log-level", "info", "--timeout", str(idle_s)]
        return self.add(peers.Mux(self.keys, args=args, binary=self.args.binary, **options))

    def config(self, name, host, port, known_hosts, user, key="none", agent="none", asks=False):
        known = self.dir / f"{name}-known_hosts"
        known.write_text(known_hosts)
        path = self.dir / f"{name}-config"
        path.write_text(f"""Host *
  HostName {host}
  Port {port}
  User {user}
  IdentityFile {key}
  IdentityAgent {agent}
  UserKnownHostsFile {known}
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  UpdateHostKeys no
  BatchMode {"no" if asks else "yes"}
  ConnectTimeout 60
""")
        return path

    def direct(self):
        if not hasattr(self, "direct_config"):
            self.direct_config = self.config("direct", self.THERE, self.sshd.port,
                                             self.sshd.known_hosts(self.THERE), peers.USER,
                                             self.keys.make("remote"))
        return self.direct_config

    def side(self, name):
        if name == "direct":
            return Side(name, self.direct())
        if name == "ControlMaster":
            path = self.dir / "cm"
            if not path.exists():
                p = subprocess.Popen(["ssh", "-F", self.direct(), "-M", "-N", "-S", path, "server"],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
                self.stack.callback(p.wait)
                self.stack.callback(p.kill)
                peers.poll(path.exists, 30, "the ControlMaster")
            return Side(name, self.direct(), [f"-oControlPath={path}"])
        if name == DIRECT_PROGRAM:
            return Side(name, self.direct(), ["-oProxyCommand=nc %h %p"])
        if name == DOOR:
            return self.control_socket()
        if name == PROGRAM:
            return self.mux_side(self.mux, name, "program")
        return self.mux_side(self.unpaced if name == UNPACED else self.mux, name)

    def mux_side(self, mux, name="ssh-mux", route="server"):
        host_key = (mux.ssh_dir / "ssh-mux-host-key.pub").read_text()
        return Side(name, self.config(f"mux{mux.port}{route}", "127.0.0.1", mux.port,
                                      f"[127.0.0.1]:{mux.port} {host_key}", route,
                                      self.keys.make("local")))

    def control_socket(self):
        """The same daemon by its control socket, as a ControlPath of ssh."""
        paths = list(self.mux.run_dir.rglob("server=*"))
        return Side(DOOR, self.direct(), [f"-oControlPath={paths[0]}", "-oControlMaster=no"])

    def side_names(self):
        names = self.args.sides or list(SIDES)
        return list(names) + ([UNPACED] if self.unpaced else [])


class Blaster(threading.Thread):
    """Raw TCP: sends zeros to whoever sends it "d", takes all from whoever sends "u"."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.listener = socket.create_server((address, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    @staticmethod
    def serve(s):
        zeros = bytes(1 << 18)
        with contextlib.suppress(OSError), s:
            if s.recv(1) == b"d":
                while True:
                    s.sendall(zeros)
            while s.recv(1 << 20):
                pass

    def close(self):
        self.listener.close()


class NodelaySshd(peers.Sshd):
    """A sshd whose connections have Nagle's algorithm off from the beginning."""

    def start(self):
        self.listener = socket.create_server(("0.0.0.0", self.port), backlog=64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                subprocess.Popen([peers.SSHD, "-i", "-f", str(self.config_path)], stdin=s, stdout=s,
                                 stderr=subprocess.DEVNULL, start_new_session=True)

    def kill(self):
        self.listener.close()


# ---- what runs -----------------------------------------------------------------------------------


class Down:
    """A download that runs until told to stop; bytes are counted as they come."""

    def __init__(self, argv=None, raw=None):
        self.bytes, self.proc = 0, None
        if raw:
            self.sock = socket.create_connection(raw)
            self.sock.sendall(b"d")
            self.read = self.sock.recv
        else:
            self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            fd = self.proc.stdout.fileno()
            self.read = lambda n: os.read(fd, n)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with contextlib.suppress(OSError, ValueError):
            while piece := self.read(1 << 20):
                self.bytes += len(piece)

    def stop(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()
        else:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()
        self.thread.join(10)


class Up:
    """An upload: what the far end has got is asked of it (a file that grows) or of the kernel."""

    def __init__(self, world, argv=None, raw=None):
        self.count = world.dir / f"up{time.monotonic_ns()}"
        self.proc = None
        if raw:
            self.sock = socket.create_connection(raw)
            self.sock.sendall(b"u")
            threading.Thread(target=self.pour, daemon=True).start()
        else:
            # The far end makes a file as long as what has come, in KiB.
            script = (f"exec python3 -c 'import os\nf=open(\"{self.count}\",\"ab\",0)\nn=0\n"
                      "while d:=os.read(0,1<<18):\n n+=len(d)\n f.truncate(n>>10)'")
            self.proc = subprocess.Popen(argv + [script], stdin=subprocess.PIPE,
                                         stdout=subprocess.DEVNULL)
            threading.Thread(target=self.feed, daemon=True).start()

    def feed(self):
        zeros = bytes(1 << 18)
        with contextlib.suppress(OSError, ValueError):
            while True:
                self.proc.stdin.write(zeros)

    def pour(self):
        zeros = bytes(1 << 18)
        with contextlib.suppress(OSError):
            while True:
                self.sock.sendall(zeros)

    @property
    def bytes(self):
        if self.proc:
            with contextlib.suppress(OSError):
                return self.count.stat().st_size << 10
            return 0
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        return int.from_bytes(info[120:128], sys.byteorder)  # tcpi_bytes_acked

    def stop(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()
        else:
            self.sock.close()


def rate(flow, seconds):
    """Bytes a second from the first byte on, the beginning included."""
    deadline = time.monotonic() + 30
    while not flow.bytes and time.monotonic() < deadline:
        time.sleep(0.005)
    start, n = time.monotonic(), flow.bytes
    time.sleep(seconds)
    return (flow.bytes - n) / (time.monotonic() - start)


class Echo:
    """A byte there and back, now and then; milliseconds."""

    def __init__(self, argv):
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     bufsize=0)
        self.fd = self.proc.stdout.fileno()
        self.wait(b"go", 60)

    def wait(self, what, timeout):
        got, deadline = b"", time.monotonic() + timeout
        with selectors.DefaultSelector() as sel:
            sel.register(self.fd, selectors.EVENT_READ)
            while what not in got:
                if not sel.select(max(0, deadline - time.monotonic())):
                    raise AssertionError(f"no echo within {timeout} s")
                piece = os.read(self.fd, 4096)
                assert piece, "the echo's session ended"
                got += piece

    def sample(self, seconds, every=0.05):
        times, end, n = [], time.monotonic() + seconds, 0
        while time.monotonic() < end:
            n += 1
            mark = b"%06d" % n
            start = time.perf_counter()
            self.proc.stdin.write(mark + b"\n")
            self.wait(mark, 30)
            times.append((time.perf_counter() - start) * 1000)
            time.sleep(max(0, every - times[-1] / 1000))
        return times

    def stop(self):
        self.proc.kill()
        self.proc.wait()


def echo_argv(side, pty, host=None):
    command = "stty raw -echo; echo go; exec cat" if pty else "echo go; exec cat"
    return side.argv(command, options=["-tt"] if pty else [], host=host)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]
