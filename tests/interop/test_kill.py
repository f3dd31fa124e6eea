# SPDX-License-Identifier: MIT
"""kill -9 of the daemon at random moments, 200 times (C8): no file is ever half-written, the next
start is clean, a socket and a lock that were left are no obstacle, and ssh works afterwards."""
import contextlib
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time

import pytest

from masters import socket_of
from peers import hop, kill_quietly, poll, routes_toml
from test_proxy import start_through

# Where the daemon is when it is killed, and how often; 200 in all.
KILLS = {"start": 80, "client": 30, "pin": 30, "rotate": 30, "reload": 30}
assert sum(KILLS.values()) == 200
# A line of the log, whole: it begins with a time and has a level.
LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error) .+$")
FILLER = "2026-01-01T00:00:00.000Z info filler " + "x" * 80


def kill_daemon(mux):
    """As the kernel's out-of-memory killer would; whoever it started ends by itself."""
    kill_quietly(mux.proc.pid)
    assert mux.proc.wait(20) == -signal.SIGKILL, mux.log()[-2000:]
    mux.n_killed += 1
    mux.ended()


def wait_for_write(mux, condition, seconds):
    """Until a temporary file is made, or the condition is met, or the time is over."""
    before = set(mux.ssh_dir.glob(".ssh-mux-*"))
    with contextlib.suppress(AssertionError):
        poll(lambda: condition() or set(mux.ssh_dir.glob(".ssh-mux-*")) - before, seconds,
             interval=0.0005)


def text_of(path):
    return path.read_text() if path.exists() else ""


def check_files(mux, fixed):
    """What a killed daemon may leave."""
    for path, content in fixed.items():
        assert path.read_text() == content
    key, public = mux.ssh_dir / "ssh-mux-host-key", mux.ssh_dir / "ssh-mux-host-key.pub"
    if key.exists():
        text = key.read_text()
        assert text.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
        assert text.endswith("-----END OPENSSH PRIVATE KEY-----\n")
        assert key.stat().st_mode & 0o777 == 0o600
    if public.exists():
        assert re.fullmatch(r"ssh-ed25519 AAAA\S{64} ssh-mux host key\n", public.read_text())
    known = text_of(mux.ssh_dir / "known_hosts")
    assert not known or known.endswith("\n")
    assert all(re.fullmatch(r"\S+ \S+ [A-Za-z0-9+/=]{68,}", l) for l in known.splitlines()), known
    greetings = text_of(mux.ssh_dir / "ssh-mux-greetings")
    assert re.fullmatch(r"(ssh-mux-greetings 1 [0-9a-f]{64}\n([0-9a-f]{64}( \S+){4}\n)*)?", greetings)
    for name in ("ssh-mux.log", "ssh-mux.log.old"):
        text = text_of(mux.ssh_dir / name)
        whole = not text or text.endswith("\n")
        text = text.replace(FILLER + "\n", "")  # many
        bad = [l for l in text.split("\n")[:-1] if not LOG_LINE.match(l)]
        assert whole and not bad, (name, bad[:3], text[-200:])
    left = {p.name for p in mux.ssh_dir.iterdir()} - {
        "ssh-mux-host-key", "ssh-mux-host-key.pub", "known_hosts", "ssh-mux.log",
        "ssh-mux.log.old", "ssh-mux-routes.toml", "ssh-mux-authorized-keys", "ssh-mux-greetings",
        "id_ed25519"}  # fmt: skip
    assert all(re.fullmatch(r"\.ssh-mux-[0-9a-f]{32}\.tmp", n) for n in left), left
    return left


def check_next_start(mux, fixed, where, route="t"):
    """The dead one is known to be dead, the next one serves, and leaves no trace of the other.
    Daemons were killed as often as KILLS says."""
    assert mux.n_killed == KILLS[where]
    done = mux.control("status")
    assert done.returncode != 0 and "no daemon" in done.stderr, done
    (mux.ssh_dir / "ssh-mux-host-key.pub").unlink(missing_ok=True)  # so that there is a write
    mux.start()
    mux.check_works(route)
    assert mux.status()["version"]
    assert check_files(mux, fixed) == set()


@pytest.fixture
def killable(make_mux, make_sshd, keys):
    """A daemon whose routes lead through a bastion to one host by many names, none known."""
    bastion = make_sshd("bastion", host_keys=[keys.make("host_bastion_only")], MaxSessions=300)
    target = make_sshd(host_keys=[keys.make("host_only")], MaxSessions=300)
    routes = {"t": hop(target, unattended=True)}
    for n in range(3 * KILLS["pin"]):
        routes[f"n{n}"] = hop(target, unattended=True, host_key_alias=f"name{n}.example")
    mux = make_mux(routes=routes_toml(routes, jump=hop(bastion)), start=False,
                   known_hosts=bastion.known_hosts())
    mux.n_killed = 0
    mux.fixed = {p: p.read_text() for p in (mux.routes_path,
                                            mux.ssh_dir / "ssh-mux-authorized-keys")}
    return mux


def test_C8_killed_while_it_starts(killable):
    """C8: often before there is a host key, or in the middle of making one."""
    mux, rng = killable, random.Random(1)
    seen = set()
    for n in range(KILLS["start"]):
        if n % 2 == 0:
            for name in ("ssh-mux-host-key", "ssh-mux-host-key.pub"):
                (mux.ssh_dir / name).unlink(missing_ok=True)
        began = time.monotonic()
        mux.spawn([mux.binary] + mux.args, env=mux.env)
        if n % 3:  # around the moment that the key is made, wherever that is on this machine
            wait_for_write(mux, (mux.ssh_dir / "ssh-mux-host-key.pub").exists, 1)
            time.sleep(rng.random() * 0.004)
        else:
            time.sleep(rng.random() * 0.12)
        kill_daemon(mux)
        assert time.monotonic() - began < 25
        left = check_files(mux, mux.fixed)
        key, public = mux.ssh_dir / "ssh-mux-host-key", mux.ssh_dir / "ssh-mux-host-key.pub"
        seen.add((bool(left), key.exists(), public.exists()))
    assert len(seen) > 1, "the moments differ"
    check_next_start(mux, mux.fixed, "start")


def stop_clients(clients):
    for c in clients:
        c.kill()
        c.communicate(timeout=20)


def test_C8_killed_with_its_first_clients(killable):
    """C8, P6: whatever the connection was up to; the clients are told, and hang for nobody."""
    mux, rng = killable, random.Random(2)
    for n in range(KILLS["client"]):
        mux.start()
        clients = [mux.start_ssh("t", "cat") for _ in range(2)]
        time.sleep(rng.random() * 0.3)
        kill_daemon(mux)
        check_files(mux, mux.fixed)
        for c in clients:
            c.communicate(timeout=20)
            assert c.returncode == 255
    check_next_start(mux, mux.fixed, "client")


def test_C8_killed_while_it_pins_host_keys(killable, keys):
    """C8, K4: each name's line is in known_hosts as a whole, once, or it is not there."""
    mux, rng = killable, random.Random(3)
    kind, blob = keys.public(keys.make("host_only")).split()[:2]
    pinned_before = 0
    for n in range(KILLS["pin"]):
        mux.start()
        clients = [mux.start_ssh(f"n{3 * n + k}", "true", stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL) for k in range(3)]
        try:
            size = mux.known_hosts_path.stat().st_size
            wait_for_write(mux, lambda: mux.known_hosts_path.stat().st_size != size, 5)
            time.sleep(rng.random() * 0.01)
            kill_daemon(mux)
        finally:
            stop_clients(clients)
        check_files(mux, mux.fixed)
        lines = mux.known_hosts_path.read_text().splitlines()[1:]
        names = [l.split()[0] for l in lines]
        assert len(set(names)) == len(names) >= pinned_before
        assert all(l.split()[1:3] == [kind, blob] for l in lines)
        pinned_before = len(names)
    assert pinned_before > 0
    check_next_start(mux, mux.fixed, "pin")


def test_C8_D4_killed_while_it_logs(killable):
    """C8, D4: around the moment when the log is full and becomes .old; no line is cut or lost."""
    mux, rng = killable, random.Random(4)
    log, old = mux.ssh_dir / "ssh-mux.log", mux.ssh_dir / "ssh-mux.log.old"
    rotated = 0
    for n in range(KILLS["rotate"]):
        lines = ((5 << 20) - rng.randrange(100)) // (len(FILLER) + 1)
        log.write_text((FILLER + "\n") * lines)
        log.chmod(0o600)
        old.unlink(missing_ok=True)
        mux.spawn([mux.binary] + mux.args, env=mux.env)
        if n % 2:
            with contextlib.suppress(AssertionError):
                poll(old.exists, 1, interval=0.0005)
        else:
            time.sleep(rng.random() * 0.1)
        kill_daemon(mux)
        check_files(mux, mux.fixed)
        assert (text_of(log) + text_of(old)).count(FILLER) == lines
        rotated += old.exists()
    assert 0 < rotated
    for path in (log, old):
        path.unlink(missing_ok=True)
    check_next_start(mux, mux.fixed, "rotate")


def test_C8_killed_while_it_reads_its_routes_again(killable):
    """C8: the routes file and the keys change under it all the time."""
    mux, rng = killable, random.Random(5)
    routes, accepted = (mux.fixed[p] for p in mux.fixed)
    for n in range(KILLS["reload"]):
        mux.start()
        until = time.monotonic() + rng.random() * 0.15
        while time.monotonic() < until:
            for path, text in ((mux.routes_path, routes), (list(mux.fixed)[1], accepted)):
                new = pathlib.Path(f"{path}.new")
                new.write_text(text + f"# {n}\n" * rng.randrange(3))
                new.chmod(0o600)
                os.rename(new, path)
            with contextlib.suppress(ProcessLookupError):
                mux.proc.send_signal(signal.SIGHUP)
            time.sleep(0.005)
        kill_daemon(mux)
        check_files(mux, {p: p.read_text() for p in mux.fixed})
        assert all(p.read_text().startswith(mux.fixed[p]) for p in mux.fixed)
    check_next_start(mux, {}, "reload")


# ---- under load, through each door ---------------------------------------------------------------


LOAD_KILLS = int(os.environ.get("SMX_KILLS", 20))  # of each door; all of them by hand
DOORS = ("port", "proxy", "control", "connect")
DOWN, UP = "yes", "echo y; cat >/dev/null"


def takes_clients(mux):
    """At the control socket, which comes a moment after the port."""
    with contextlib.suppress(IndexError), socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(socket_of(mux))) == 0


def load(mux, door, tmp_path, big, rng):
    """Two downloads and two uploads at once; returns them with their output."""
    poll(lambda: takes_clients(mux), 10)
    loads = []
    for n, command in enumerate((DOWN, UP, DOWN, UP)):
        output = tmp_path / f"output{n}"
        with open(output, "wb") as out, open(big if command is UP else os.devnull, "rb") as source:
            loads.append((start_through(door, mux, command, stdin=source, stdout=out), output))
    try:
        poll(lambda: all(output.stat().st_size for _, output in loads), 30, interval=0.01)
    except AssertionError:
        stop_clients([client for client, _ in loads if client.poll() is None])
        pytest.fail(f"not all of them run: {[c.stderr.read() for c, _ in loads if not c.stderr.closed]}")
    time.sleep(rng.random() * 0.2)
    return loads


def check_load(loads):
    """All end at once and say so, and what has come is what was sent, up to there."""
    for client, output in loads:
        said = client.communicate(timeout=20)[1]
        assert client.returncode == 255, (client.args, client.returncode, said)
        with open(output, "rb") as f:
            f.seek(max(0, output.stat().st_size - 100000) & ~1)
            end = f.read()
        assert end == (b"y\n" * len(end))[:len(end)]
        output.unlink()


def n_sockets(mux):
    return sum(p.is_socket() for p in mux.run_dir.rglob("*"))


def kill_under_load(mux, door, tmp_path, rounds):
    rng = random.Random(6)
    big = tmp_path / "big"
    with open(big, "wb") as f:
        f.truncate(8 << 30)
    for _ in range(rounds):
        mux.start()
        loads = load(mux, door, tmp_path, big, rng)
        try:
            kill_daemon(mux)
            check_load(loads)
        finally:
            stop_clients([client for client, _ in loads])
        assert check_files(mux, mux.fixed) == set()
    mux.start()
    mux.check_works()
    assert mux.status()["version"]
    # One for each route and the endpoint: those that the dead ones had are gone.
    poll(lambda: n_sockets(mux) == len(mux.status()["routes"]) + 1, 10)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("door", DOORS)
def test_C8_P6_killed_under_load(killable, tmp_path, door):
    kill_under_load(killable, door, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.timeout(60 + 10 * LOAD_KILLS)
@pytest.mark.parametrize("door", DOORS)
def test_C8_P6_killed_under_load_again_and_again(killable, tmp_path, door):
    kill_under_load(killable, door, tmp_path, LOAD_KILLS)
