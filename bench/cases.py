# SPDX-License-Identifier: MIT
"""What is measured. Each case prints its table and notes its targets."""
import selectors
import socket
import subprocess
import threading
import time

import rig
from peers import descendants, free_port, kill_quietly, listening, poll
from rig import GIB, Side, Usage, median, rotated

# What `ssh-mux setup-config` writes for its loopback hosts.
TUNED = [
    "-oCiphers=aes128-gcm@openssh.com,chacha20-poly1305@openssh.com",
    "-oKexAlgorithms=ecdh-sha2-nistp256",
    "-oHostKeyAlgorithms=ssh-ed25519",
    "-oPreferredAuthentications=publickey",
    "-oIdentitiesOnly=yes",
    "-oGSSAPIAuthentication=no",
]

GCM = "aes128-gcm@openssh.com"
DOOR = "ssh-mux, control socket"


def ratio(samples, side, base):
    """Median of the ratios within each round, which a drifting machine disturbs least."""
    pairs = [(a, b) for a, b in zip(samples[side], samples[base]) if b]
    return median([a / b for a, b in pairs]) if pairs else float("nan")


def times(value):
    return "" if value is None or value != value else f"{value:.2f} ×"


# ---- bulk ----------------------------------------------------------------------------------------


def transfer(world, side, direction, size):
    """Seconds: wall without what it takes to log in, client, relay, sshd; the client's peak KiB."""
    set_up, _, _ = rig.run(side.argv("true"))
    usage = Usage(world, side)
    if direction == "down":
        wall, client, peak = rig.run(side.argv(f"head -c {size} /dev/zero"))
    else:
        with subprocess.Popen(["head", "-c", str(size), "/dev/zero"],
                              stdout=subprocess.PIPE) as feed:
            wall, client, peak = rig.run(side.argv("cat >/dev/null"), stdin=feed.stdout)
    relay, sshd = usage.end()
    return max(wall - set_up, wall / 10), client, relay, sshd, peak


def bulk(world, args, report):
    size = args.size.mib << 20
    per_gib = GIB / size
    rows, peaks = [], {}
    for cipher in args.cipher:
        for direction in ("down", "up"):
            got = {name: [] for name in world.SIDES}
            for n in range(args.size.rounds):
                for side in rotated(world.sides(cipher), n):
                    got[side.name].append(transfer(world, side, direction, size))
            wall, client, relay, sshd = (
                {name: [t[i] * per_gib for t in got[name]] for name in got} for i in range(4))
            for name in got:
                peaks[name] = max([peaks.get(name, 0)] + [t[4] for t in got[name]])
                speed = 1 / ratio(wall, name, "direct")
                cost = ratio(relay, name, "ControlMaster")
                everything = [sum(t[1:4]) * per_gib for t in got[name]]
                rows.append([
                    direction, cipher, name, f"{1024 / median(wall[name]):.0f}", times(speed),
                    f"{median(client[name]):.2f}",
                    f"{median(relay[name]):.2f}" if name != "direct" else "",
                    f"{median(sshd[name]):.2f}", f"{median(everything):.2f}",
                    times(cost) if name != "direct" else ""])
                if name == "ssh-mux":
                    report.target(f"bulk {direction}, {cipher}: CPU of the relay, × the "
                                  "ControlMaster's", cost, 0.9)
                    report.target(f"bulk {direction}, {cipher}: throughput, × direct", speed,
                                  0.85 if (direction, cipher) == ("up", GCM) else 0.75,
                                  at_least=True)
    report.table(f"Bulk, {args.size.mib} MiB of one channel; CPU in seconds per GiB",
                 ["way", "cipher", "side", "MiB/s", "× direct", "ssh", "relay", "sshd", "sum",
                  "relay × master"], rows)
    report.table(
        "Peak memory over the bulk transfers, MiB", ["side", "ssh", "relay"],
        [[name, f"{peaks[name] / 1024:.1f}",
          f"{rig.memory(world.side(name).relay, 'VmHWM') / 1024:.1f}" if name != "direct" else ""]
         for name in world.SIDES])


# ---- proxy ---------------------------------------------------------------------------------------


def proxy(world, args, report):
    """The same transfers through `ssh-mux proxy` as through the port."""
    size = args.size.mib << 20
    per_gib = GIB / size
    rows = []
    for cipher in args.cipher:
        port, through = world.side("ssh-mux", cipher), world.proxied(cipher)
        for direction in ("down", "up"):
            got = {side.name: [] for side in (port, through)}
            for n in range(args.size.rounds):
                for side in rotated([port, through], n):
                    with rig.ProxyUsage(world) as used:
                        got[side.name].append((*transfer(world, side, direction, size), used))
            wall = {name: [t[0] * per_gib for t in got[name]] for name in got}
            relay = {name: [t[2] * per_gib for t in got[name]] for name in got}
            extra = median([t[5].seconds * per_gib for t in got[through.name]])
            for name in got:
                rows.append([
                    direction, cipher, name, f"{1024 / median(wall[name]):.0f}",
                    times(1 / ratio(wall, name, port.name)), f"{median(relay[name]):.2f}",
                    times(ratio(relay, name, port.name)),
                    f"{extra:.2f}" if name == through.name else ""])
            report.target(f"proxy {direction}, {cipher}: CPU of the daemon, × the port's",
                          ratio(relay, through.name, port.name), 1.1)
    report.table(f"Through `ssh-mux proxy`, {args.size.mib} MiB; CPU in seconds per GiB",
                 ["way", "cipher", "side", "MiB/s", "× port", "daemon", "daemon × port's", "proxy"],
                 rows)


# ---- transport -----------------------------------------------------------------------------------


def transport(world, args, report):
    """R7: the same transfers with `nc` to sshd as over TCP, in turn, and what that costs plain ssh.

    Here all share the processors with one more process; on a path see bench/paths."""
    size = args.size.mib << 20
    per_gib = GIB / size
    rows = []
    for cipher in args.cipher:
        tcp, program, direct = world.side("ssh-mux", cipher), world.transported(cipher), \
            world.side("direct", cipher)
        plain = Side("direct, nc", direct.config, None, [*direct.options, "-oProxyCommand=nc %h %p"])
        for direction in ("down", "up"):
            sides = [tcp, program, direct, plain]
            got = {side.name: [] for side in sides}
            for n in range(args.size.rounds):
                for side in rotated(sides, n):
                    got[side.name].append(transfer(world, side, direction, size))
            wall = {name: [t[0] * per_gib for t in got[name]] for name in got}
            relay = {name: [t[2] * per_gib for t in got[name]] for name in got}
            for name in got:
                over = tcp if name in (tcp.name, program.name) else direct
                rows.append([
                    direction, cipher, name, f"{1024 / median(wall[name]):.0f}",
                    times(1 / ratio(wall, name, over.name)),
                    f"{median(relay[name]):.2f}" if over is tcp else "",
                    times(ratio(relay, name, tcp.name)) if over is tcp else ""])
            report.target(f"transport {direction}, {cipher}: what is left of TCP's throughput, × what "
                          "plain ssh has left",
                          ratio(wall, plain.name, direct.name) / ratio(wall, program.name, tcp.name),
                          1.0, at_least=True)
    report.table(f"Over a program instead of TCP, {args.size.mib} MiB; CPU in seconds per GiB",
                 ["way", "cipher", "side", "MiB/s", "× TCP", "daemon", "daemon × TCP's"], rows)


# ---- latency -------------------------------------------------------------------------------------


def latency(world, args, report):
    """ssh host true."""
    ways = [(side.name, side) for side in world.sides()]
    mux = world.side("ssh-mux")
    ways.append(("ssh-mux, with setup-config's options",
                 Side(mux.name, mux.config, mux.relay, TUNED)))
    door = world.control_socket()
    if door:
        ways.append((DOOR, door))
    direct = world.side("direct")
    ways.append(("direct, with the same options", Side(direct.name, direct.config, None, TUNED)))
    wall, used, relay = ({name: [] for name, _ in ways} for _ in range(3))
    for n in range(args.size.samples):
        for name, side in rotated(ways, n):
            before = rig.cpu(side.relay) if side.relay else 0
            seconds, client, _ = rig.run(side.argv("true"))
            wall[name].append(seconds * 1000)
            used[name].append(client * 1000)
            relay[name].append((rig.cpu(side.relay) - before) * 1000 if side.relay else 0)
    rows = []
    for name, side in ways:
        # One call is less than a tick of the CPU clock: here the mean says more.
        mean = sum(relay[name]) / len(relay[name])
        rows.append([name, f"{median(wall[name]):.1f}", f"{min(wall[name]):.1f}",
                     times(ratio(wall, name, "direct")), times(ratio(wall, name, "ControlMaster")),
                     f"{median(used[name]):.1f}", f"{mean:.1f}" if side.relay else ""])
        if side.name == "ssh-mux":
            report.target(f"`ssh host true`, {name}: × ControlMaster's",
                          ratio(wall, name, "ControlMaster"), 1.0 if name == DOOR else 1.6)
    report.table(f"`ssh host true` through what is already logged in, {args.size.samples} samples",
                 ["side", "ms", "best ms", "× direct", "× master", "ssh CPU ms", "relay CPU ms"],
                 rows)


# ---- the control socket --------------------------------------------------------------------------


def door_bulk(world, args, report, door):
    """The same transfers as through the port: there is no second encryption, and none by ssh."""
    size = args.size.mib << 20
    per_gib = GIB / size
    rows, port = [], world.side("ssh-mux")
    ways = [("ssh-mux", port), (DOOR, door), ("ControlMaster", world.side("ControlMaster"))]
    for direction in ("down", "up"):
        wall, relay, both = ({name: [] for name, _ in ways} for _ in range(3))
        for n in range(args.size.rounds):
            for name, side in rotated(ways, n):
                seconds, client, daemon, _, _ = transfer(world, side, direction, size)
                wall[name].append(seconds * per_gib)
                relay[name].append(daemon * per_gib)
                both[name].append((client + daemon) * per_gib)
        for name, _ in ways:
            rows.append([direction, name, f"{1024 / median(wall[name]):.0f}",
                         times(1 / ratio(wall, name, "ssh-mux")), f"{median(relay[name]):.2f}",
                         times(ratio(relay, name, "ssh-mux")), f"{median(both[name]):.2f}",
                         times(ratio(both, name, "ssh-mux")),
                         times(ratio(both, name, "ControlMaster"))])
        report.target(f"control socket, bulk {direction}: CPU of daemon and ssh, × the port's",
                      ratio(both, DOOR, "ssh-mux"), 0.7)
    report.table(f"Through the control socket, {args.size.mib} MiB; CPU in seconds per GiB",
                 ["way", "side", "MiB/s", "× port", "relay", "relay × port's", "relay and ssh",
                  "× port's", "× master's"], rows)


def door_clients(world, args, report, door):
    """Many clients started at once, each with a session of its own."""
    n, command, rows = args.size.clients, "head -c 20000 /dev/zero", []
    ways = [("ControlMaster", world.side("ControlMaster")), (DOOR, door)]
    wall, relay = {name: [] for name, _ in ways}, {name: [] for name, _ in ways}
    # Most of it are 200 starts of ssh and of a shell, the same on both sides: more rounds than else.
    for r in range(2 * args.size.rounds + 1):
        for name, side in rotated(ways, r):
            usage = Usage(world, side)
            start = time.perf_counter()
            clients = [subprocess.Popen(side.argv(command), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL) for _ in range(n)]
            codes = [c.wait() for c in clients]
            if r:  # the first round warms both up
                wall[name].append(time.perf_counter() - start)
                relay[name].append(usage.end()[0])
            assert not any(codes), (name, codes)
    for name, _ in ways:
        rows.append([name, f"{median(wall[name]):.2f}", times(ratio(wall, name, "ControlMaster")),
                     f"{median(relay[name]):.2f}"])
    report.table(f"{n} clients of a control socket at once, 20 KB each",
                 ["side", "s", "× master", "relay CPU s"], rows)
    report.target(f"control socket, {n} clients at once: × ControlMaster's",
                  ratio(wall, DOOR, "ControlMaster"), 1.0)


def door_memory(world, args, report, door):
    """Each further client in whose session nothing happens."""
    rig.run(door.argv("true"))
    clients = idle_clients(door, world.sshd, 1)
    before, fds = rig.memory(door.relay), world.mux.fds()
    clients += idle_clients(door, world.sshd, args.size.idle)
    after, fds_after = rig.memory(door.relay), world.mux.fds()
    end_clients(clients)
    world.mux.wait_idle(30)
    each = (after - before) / args.size.idle
    report.say(f"\nEach further idle client of the control socket: {each:.1f} KiB, "
               f"{(fds_after - fds) / args.size.idle:.1f} descriptors.")
    report.target("control socket: memory of each further idle client", each, 32, unit=" KiB")


def door(world, args, report):
    """ssh with the daemon's control socket as its ControlPath; its latency is in `latency`."""
    side = world.control_socket()
    # First: what other clients left free would be taken again.
    door_memory(world, args, report, side)
    door_bulk(world, args, report, side)
    door_clients(world, args, report, side)


# ---- sftp ----------------------------------------------------------------------------------------


def sftp(world, args, report):
    size = args.size.sftp_mib << 20
    source, copy = world.data / "source", world.data / "copy"
    with open(source, "wb") as f:
        f.truncate(size)
    rows = []
    for way, command in (("get", f"get {source} /dev/null"), ("put", f"put {source} {copy}")):
        batch = world.dir / f"batch-{way}"
        batch.write_text(command + "\n")
        got = {name: [] for name in world.SIDES}
        for n in range(args.size.rounds):
            for side in rotated(world.sides(), n):
                usage = Usage(world, side)
                wall, _, _ = rig.run(side.argv(options=["-q", "-b", batch], program="sftp"))
                got[side.name].append((wall, *usage.end()))
                if way == "put":
                    assert copy.stat().st_size == size, side.name
                    copy.unlink()
        wall, relay = ({name: [t[i] for t in got[name]] for name in got} for i in range(2))
        for name in got:
            rows.append([way, name, f"{args.size.sftp_mib / median(wall[name]):.0f}",
                         times(1 / ratio(wall, name, "direct")),
                         f"{median(relay[name]) * GIB / size:.2f}" if name != "direct" else "",
                         times(ratio(relay, name, "ControlMaster")) if name != "direct" else ""])
    report.table(f"sftp, {args.size.sftp_mib} MiB, the client's default cipher",
                 ["way", "side", "MiB/s", "× direct", "relay s/GiB", "relay × master"], rows)


# ---- many channels -------------------------------------------------------------------------------


class Blaster(threading.Thread):
    """Sends so many bytes to whoever connects to its loopback port, then closes."""

    def __init__(self, n_bytes):
        super().__init__(daemon=True)
        self.payload = bytes(n_bytes)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        with selectors.DefaultSelector() as sel:
            sel.register(self.listener, selectors.EVENT_READ)
            while True:
                for key, _ in sel.select():
                    if key.fileobj is self.listener:
                        try:
                            s, _ = self.listener.accept()
                        except OSError:
                            return
                        s.setblocking(False)
                        sel.register(s, selectors.EVENT_WRITE, [0])
                        continue
                    sent = key.data
                    try:
                        sent[0] += key.fileobj.send(memoryview(self.payload)[sent[0]:])
                    except OSError:
                        sent[0] = len(self.payload)
                    if sent[0] == len(self.payload):
                        sel.unregister(key.fileobj)
                        key.fileobj.close()


def socks_streams(socks_port, port, n, n_bytes):
    """n streams at once through a SOCKS server; seconds until all got all their bytes."""
    # Greeting and request at once: what is read back is two bytes, ten bytes, the data.
    hello = b"\5\1\0" + b"\5\1\0\1\x7f\0\0\1" + port.to_bytes(2, "big")
    got = 0
    start = time.perf_counter()
    with selectors.DefaultSelector() as sel:
        for _ in range(n):
            s = socket.create_connection(("127.0.0.1", socks_port))
            s.sendall(hello)
            s.setblocking(False)
            sel.register(s, selectors.EVENT_READ)
        while sel.get_map():
            for key, _ in sel.select(60):
                piece = key.fileobj.recv(1 << 18)
                got += len(piece)
                if not piece:
                    sel.unregister(key.fileobj)
                    key.fileobj.close()
    assert got == n * (12 + n_bytes), (got, n, n_bytes)
    return time.perf_counter() - start


def one_connection(world, args, rows):
    """Many direct-tcpip streams of one client."""
    n, n_bytes = args.size.streams, args.size.stream_kib << 10
    blaster = Blaster(n_bytes)
    ports, clients = {"ControlMaster": world.master("default")[2]}, []
    try:
        for name in ("direct", "ssh-mux"):
            ports[name] = free_port()
            clients.append(subprocess.Popen(
                world.side(name).argv(options=["-N", "-D", str(ports[name])]),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
            poll(lambda p=ports[name]: listening(p), 20, "ssh -D")
        wall, relay = {name: [] for name in ports}, {name: [] for name in ports}
        for r in range(args.size.rounds):
            for name in rotated(list(world.SIDES), r):
                usage = Usage(world, world.side(name))
                wall[name].append(socks_streams(ports[name], blaster.port, n, n_bytes))
                relay[name].append(usage.end()[0])
    finally:
        for client in clients:
            client.kill()
            client.wait()
    add_rows(rows, f"{n} streams of one `ssh -D`, {args.size.stream_kib} KiB each", wall, relay)


def many_clients(world, args, rows):
    """Many clients started at once, each with a session of its own."""
    n = args.size.clients
    command = "head -c 20000 /dev/zero"
    wall, relay = {s: [] for s in world.SIDES}, {s: [] for s in world.SIDES}
    for r in range(args.size.rounds):
        for side in rotated(world.sides(), r):
            usage = Usage(world, side)
            start = time.perf_counter()
            clients = [subprocess.Popen(side.argv(command), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL) for _ in range(n)]
            codes = [c.wait() for c in clients]
            wall[side.name].append(time.perf_counter() - start)
            assert not any(codes), (side.name, codes)
            relay[side.name].append(usage.end()[0])
    add_rows(rows, f"{n} clients at once, 20 KB each", wall, relay)


def add_rows(rows, what, wall, relay):
    for name in rig.World.SIDES:
        rows.append([what, name, f"{median(wall[name]):.2f}", times(ratio(wall, name, "direct")),
                     times(ratio(wall, name, "ControlMaster")),
                     f"{median(relay[name]):.2f}" if name != "direct" else ""])


def parallel(world, args, report):
    rows = []
    one_connection(world, args, rows)
    many_clients(world, args, rows)
    report.table("Channels side by side", ["what", "side", "s", "× direct", "× master",
                                           "relay CPU s"], rows)


# ---- memory --------------------------------------------------------------------------------------


def banners(port, n):
    """n connections that come, read and send an identification, and leave."""
    for _ in range(n):
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(b"SSH-2.0-bench\r\n")
            assert s.recv(4) == b"SSH-"


def full_logins(side, n, at_once=8):
    """n times `ssh host true`, eight at a time."""
    running, left = [], n
    while left or running:
        while left and len(running) < at_once:
            running.append(subprocess.Popen(side.argv("true"), stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL))
            left -= 1
        assert running.pop(0).wait() == 0


def idle_clients(side, sshd, n):
    """n clients with a session each in which nothing happens."""
    before = len(descendants(sshd.pid))
    clients = [subprocess.Popen(side.argv("exec cat"), stdin=subprocess.PIPE,
                                stdout=subprocess.DEVNULL) for _ in range(n)]
    poll(lambda: len(descendants(sshd.pid)) >= before + n, 60, f"{n} idle sessions")
    time.sleep(1)
    return clients


def end_clients(clients):
    for c in clients:
        kill_quietly(c.pid)
        c.wait()
        c.stdin.close()


def memory(world, args, report):
    size = args.size
    mux = world.make_mux()
    side = Side("ssh-mux", world.mux_config(mux), mux.pid)
    rows = []

    def note(what):
        time.sleep(0.2)
        rss, anon = rig.memory(mux.pid), rig.memory(mux.pid, "RssAnon")
        rows.append([what, f"{rss / 1024:.1f}", f"{anon / 1024:.1f}", mux.fds()])
        return rss, mux.fds()

    fresh, _ = note("started, nobody came yet")
    rig.run(side.argv("true"))
    mux.wait_idle()
    idle, _ = note("one login in the pool, no client")
    clients = idle_clients(side, world.sshd, 1)
    one, _ = note("1 idle client")
    clients += idle_clients(side, world.sshd, size.idle)
    many, _ = note(f"{size.idle + 1} idle clients")
    end_clients(clients)
    mux.wait_idle(30)
    note("all of them gone")
    full_logins(side, max(size.quick_connections // 10, 10))
    mux.wait_idle()
    rss, fds = note(f"{max(size.quick_connections // 10, 10)} times `ssh host true`")
    n_banners = size.connections - size.quick_connections
    full_logins(side, size.quick_connections)
    banners(mux.port, n_banners)
    mux.wait_idle()
    after, fds_after = note(
        f"{size.quick_connections} times more, and {n_banners} connections that only identify")
    report.table("Memory and descriptors of the daemon", ["when", "RSS MiB", "of it private",
                                                          "descriptors"], rows)
    per_client = (many - one) / size.idle
    report.say(f"\nEach further idle client: {per_client:.1f} KiB.")
    report.target("memory: RSS of the idle daemon", max(fresh, idle) / 1024, 10, unit=" MiB")
    report.target("memory: each further idle client", per_client, 64, unit=" KiB")
    report.target(f"memory: growth over {size.connections} connections", (after - rss) / 1024, 1,
                  unit=" MiB")
    report.target(f"descriptors: growth over {size.connections} connections", fds_after - fds, 0)
    mux.stop()
