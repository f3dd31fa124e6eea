# SPDX-License-Identifier: MIT
"""A network of its own: machines are network namespaces on one bridge, and each one's cable can be
pulled. Unlike a Pump, nobody acknowledges anything then: TCP itself retransmits and waits.

Needs root (or CAP_NET_ADMIN) and iproute2.
"""
import os
import shutil
import subprocess

from peers import TOP, Mux, Sshd, poll

PREFIX = "smxst"


def refusal():
    """Why there can be no such network here, or None."""
    if os.getuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    probe = f"{PREFIX}p{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True).returncode != 0:
        return "may not make a network namespace"
    ip("netns", "del", probe)
    return None


def ip(*args):
    subprocess.run(["ip", *map(str, args)], check=True, capture_output=True)


class Net:
    """machine("a"): the name of a namespace with an address; addresses are 10.77.0.N."""

    made = 0

    def __init__(self, *machines):
        Net.made += 1
        self.tag = f"{PREFIX}{os.getpid()}n{Net.made}"
        self.switch = f"{self.tag}-sw"
        self.address = {m: f"10.77.0.{i + 1}" for i, m in enumerate(machines)}
        self.spaces = []
        self._add(self.switch)
        ip("-n", self.switch, "link", "add", "br0", "type", "bridge")
        ip("-n", self.switch, "link", "set", "br0", "up")
        for m in machines:
            space = self.space(m)
            self._add(space)
            ip("link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", f"to-{m}",
               "netns", self.switch)
            ip("-n", self.switch, "link", "set", f"to-{m}", "master", "br0")
            ip("-n", self.switch, "link", "set", f"to-{m}", "up")
            ip("-n", space, "addr", "add", f"{self.address[m]}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")

    def _add(self, space):
        ip("netns", "add", space)
        self.spaces.append(space)
        ip("-n", space, "link", "set", "lo", "up")

    def space(self, machine):
        return f"{self.tag}-{machine}"

    def inside(self, machine):
        """What to put before a command."""
        return ["ip", "netns", "exec", self.space(machine)]

    def pull(self, machine):
        """Its cable: from now on it is alone, and nobody is told."""
        ip("-n", self.switch, "link", "set", f"to-{machine}", "down")

    def plug(self, machine):
        ip("-n", self.switch, "link", "set", f"to-{machine}", "up")

    def limit(self, machine, mbit):
        """How fast it receives."""
        subprocess.run(
            ["tc", "-n", self.switch, "qdisc", "add", "dev", f"to-{machine}", "root", "tbf",
             "rate", f"{mbit}mbit", "burst", "64kb", "latency", "50ms"],
            check=True, capture_output=True)

    def stop(self):
        for space in reversed(self.spaces):
            subprocess.run(["ip", "netns", "del", space], capture_output=True)


def path_refusal():
    """Why there can be no Path here, or None."""
    if (why := refusal()) is not None:
        return why
    if shutil.which("cc") is None:
        return "there is no C compiler for bench/path.c"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as e:
        return f"/dev/net/tun: {e.strerror}"
    return None


class Path(Net):
    """Two machines, "here" and "there", joined by bench/path.c: delay (ms) and rate (Mbit/s) each
    way, and a queue (bytes) in front of each. buffers: what TCP may use on both."""

    def __init__(self, directory, delay, mbit, queue, buffers=None):
        Net.made += 1
        self.tag = f"{PREFIX}{os.getpid()}n{Net.made}"
        self.address = {"here": "10.77.0.1", "there": "10.77.0.2"}
        self.spaces = []
        self.proc = None
        program = directory / "path"
        subprocess.run(["cc", "-D_GNU_SOURCE", "-O2", "-o", program, TOP / "bench/path.c"],
                       check=True)
        for m in self.address:
            self._add(self.space(m))
            for way in ("rmem", "wmem") if buffers else ():
                subprocess.run([*self.inside(m), "sh", "-c", f"echo 4096 131072 {buffers} > "
                                f"/proc/sys/net/ipv4/tcp_{way}"], check=True)
        self.proc = subprocess.Popen(
            [program, self.space("here"), self.address["here"], self.space("there"),
             self.address["there"], str(delay), str(mbit), str(queue)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.proc.stdout.readline() == b"ready\n", "bench/path.c did not start"

    def stop(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()
        super().stop()


class Placed:
    """A Daemon that runs on a machine of a Net."""

    net = machine = None

    def spawn(self, argv, env=None, **kwargs):
        super().spawn(self.net.inside(self.machine) + list(argv), env=env, **kwargs)

    def wait_port(self, port, timeout=20):
        def ready():
            assert self.proc.poll() is None, f"{self.name} ended at once:\n{self.log()[-3000:]}"
            try:
                with open(f"/proc/{self.proc.pid}/net/tcp", encoding="ascii") as f:
                    return any(f":{port:04X} " in line.split(None, 2)[1] + " " and " 0A " in line
                               for line in f)
            except OSError:
                return False

        poll(ready, timeout, f"{self.name} listens on {port}")


class NetSshd(Placed, Sshd):
    def __init__(self, net, machine, keys, **options):
        self.net, self.machine = net, machine
        self.host = net.address[machine]
        super().__init__(keys, machine, Port=22, ListenAddress=self.host, **options)

    def known_hosts(self, name=None, kinds=None):
        return super().known_hosts(name or self.host, kinds)


class NetMux(Placed, Mux):
    has_its_sockets = False

    def __init__(self, net, machine, keys, **kwargs):
        self.net, self.machine = net, machine
        super().__init__(keys, **kwargs)

    def argv(self, route, *args, options=(), program="ssh"):
        return self.net.inside(self.machine) + super().argv(
            route, *args, options=options, program=program)
