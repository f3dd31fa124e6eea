# SPDX-License-Identifier: MIT
"""The control sockets (W2, B6): OpenSSH's clients with ssh-mux as the master of their connection,
beside the same calls with a real ControlMaster."""
import concurrent.futures
import contextlib
import hashlib
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

import pexpect
import pytest

import masters
import peers
from conftest import Cleanup
from masters import Client, Master, client_config, shown, socket_of
from peers import ROOT, Sshd, hop, pgrep, poll, routes_toml

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def both(keys):
    """(client of ssh-mux, client of ssh -M): neither could reach the server by itself."""
    c = Cleanup()
    try:
        sshd = c(Sshd(keys, "target", MaxSessions=300, AcceptEnv="GIVEN LC_*"))
        mux = c(peers.Mux(keys, routes=routes_toml({"t": hop(sshd, send_env=["GIVEN"])}),
                          known_hosts=sshd.known_hosts()))
        master = c(Master(sshd, keys, options=["-o", "SendEnv=GIVEN LC_*"]))
        config = client_config(master.dir / "lost", sshd)
        ours, real = Client(config, socket_of(mux)), Client(config, master.sock)
        ours.mux, ours.sshd, ours.keys, real.master = mux, sshd, keys, master
        yield ours, real
        assert mux.alive(), mux.log()[-6000:]
    finally:
        c.run()


LOST = b"UNKNOWN port 65535"  # "Connection closed by" or "banner exchange": of a client that went directly and can't


SAME = {
    "command": (["echo hi"], {}),
    "status": (["echo out; echo err >&2; exit 7"], {}),
    "nothing": (["true"], {}),
    "signal": (["kill -9 $$"], {}),
    "no such command": (["/no/such/program"], {}),
    "shell": ([], {"input": b"echo from the shell; exit 5\n"}),
    "input": (["cat; exit 3"], {"input": bytes(range(256)) * 1000}),
    "errors": (["cat >&2"], {"input": bytes(range(256)) * 1000}),
    "no input": (["cat"], {"options": ["-n"]}),
    "long command": (["echo " + "x" * 100000 + " | wc -c"], {}),
}


@pytest.mark.parametrize("case", SAME)
def test_W2_the_same_as_a_real_master(both, case):
    args, kwargs = SAME[case]
    ours, real = (client.ssh(*args, **kwargs) for client in both)
    assert shown(ours) == shown(real)
    assert LOST not in ours.stderr


def test_W2_a_refused_subsystem_reads_as_with_plain_ssh(both):
    """A real master says nothing at all here."""
    ours, real = both
    plain = client_config(real.master.dir / "plain", ours.sshd, ours.keys)
    done = [Client(config, sock).ssh("nosuch", options=["-s"])
            for config, sock in ((ours.config, ours.sock), (plain, "none"))]
    assert done[0].stderr.startswith(b"subsystem request failed on channel ")
    assert shown(done[0]) == shown(done[1])


def test_W2_environment(both):
    """SendEnv and SetEnv, within what the route lets pass (L8)."""
    options = ["-o", "SendEnv=GIVEN LC_* FORBIDDEN", "-o", "SetEnv=LC_SET=this"]
    env = dict(os.environ, GIVEN="a b=c", LC_TEST="x", FORBIDDEN="y")
    done = []
    for client in both:
        done.append(Client(client.config, client.sock, env).ssh(
            'echo "$GIVEN|$LC_TEST|$LC_SET|$FORBIDDEN"', options=options))
    assert done[0].stdout == b"a b=c|x|this|\n"
    # LC_SET: a master sends what its own SendEnv names.
    assert done[1].stdout in (b"a b=c|x|this|\n", b"a b=c|x||\n")


def test_W2_50_MiB_each_way(both, payload, sha256, tmp_path):
    path, digest = payload(50)
    ours = both[0]
    with open(path, "rb") as f:
        done = ours.ssh("sha256sum", stdin=f)
    assert done.stdout.split()[0].decode() == digest
    for out in ("file", "pipe"):
        if out == "file":
            with open(tmp_path / "copy", "wb") as f:
                done = ours.ssh(f"cat {path}; exit 9", stdout=f)
            got = sha256(tmp_path / "copy")
        else:
            done = ours.ssh(f"cat {path}; exit 9")
            got = hashlib.sha256(done.stdout).hexdigest()
        assert (got, done.stderr, done.returncode) == (digest, b"", 9), out
    with open(tmp_path / "errors", "wb") as f:
        done = ours.ssh(f"cat {path} >&2", stderr=f)
    assert sha256(tmp_path / "errors") == digest and done.returncode == 0


def test_W2_a_slow_reader_loses_nothing_and_holds_nobody_up(both, payload):
    path, digest = payload(20)
    ours = both[0]
    slow = ours.start(f"cat {path}", stdin=subprocess.DEVNULL)
    got = hashlib.sha256()
    for _ in range(20):
        got.update(slow.stdout.read(64 * 1024))
        began = time.monotonic()
        assert ours.ssh("echo quick").stdout == b"quick\n"
        assert time.monotonic() - began < 5
        time.sleep(0.05)
    while piece := slow.stdout.read(1 << 20):
        got.update(piece)
    assert slow.wait(20) == 0 and got.hexdigest() == digest


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
def test_W2_a_stream_that_is_full_goes_on_later(both, kind):
    """More than it holds, each way, while nobody reads for a moment."""
    ours = both[0]
    if kind == "terminal":
        far, near = pty.openpty()
        attributes = termios.tcgetattr(near)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(near, termios.TCSANOW, attributes)
    elif kind == "socket":
        far, near = (s.detach() for s in socket.socketpair())
    else:
        far, near = os.pipe()
    p = ours.start("yes | head -c 2000000", stdin=subprocess.DEVNULL, stdout=near)
    time.sleep(0.5)
    got = 0
    while got < 2_000_000:
        assert select.select([far], [], [], 20)[0], got
        got += len(os.read(far, 65536))
    assert p.wait(20) == 0
    os.close(near)
    os.close(far)


def test_W2_a_reader_that_stops_ends_the_command(both):
    """`ssh host yes | head -1`: with a real master the server is told by eow@openssh.com."""
    for client in both:
        p = client.start("yes", stdin=subprocess.DEVNULL)
        assert p.stdout.read(2) == b"y\n"
        p.stdout.close()
        code = p.wait(20)
        p.stderr.close()
        assert code in (255, 141, 0, 1), code
        client.code = code
    assert both[0].code == both[1].code


def test_W2_a_command_that_ends_before_its_input(both):
    """Input that nobody reads is left where it is."""
    ours, real = (c.ssh("head -c 5; exit 4", input=b"x" * 3_000_000) for c in both)
    assert shown(ours) == shown(real) == (b"xxxxx", b"", 4)


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal", "file"])
def test_W2_shared_descriptors_stay_blocking(both, kind, tmp_path):
    """A descriptor is shared with the shell and its other programs: O_NONBLOCK on it would make
    their reads and writes fail. While the session runs, and after it."""
    ours = both[0]
    if kind == "pipe":
        (r_in, w_in), (r_out, w_out) = os.pipe(), os.pipe()
    elif kind == "socket":
        (a, b), (c, d) = socket.socketpair(), socket.socketpair()
        r_in, w_in, r_out, w_out = (s.detach() for s in (a, b, c, d))
    elif kind == "terminal":
        (w_in, r_in), (r_out, w_out) = pty.openpty(), pty.openpty()
    else:
        path = tmp_path / "shared"
        path.write_bytes(b"")
        r_in, w_in = os.open(path, os.O_RDONLY), os.open(path, os.O_WRONLY)
        r_out, w_out = os.open(tmp_path / "out", os.O_RDONLY | os.O_CREAT), os.open(
            tmp_path / "out", os.O_WRONLY)
    p = ours.start("echo begun; sleep 1; exit 6", stdin=r_in, stdout=w_out, stderr=w_out)
    if kind == "file":
        poll(lambda: os.read(r_out, 5), 20)
    else:
        assert os.read(r_out, 5) == b"begun"
    held = [os.path.realpath(f"/proc/{ours.mux.pid}/fd/{fd}")
            for fd in os.listdir(f"/proc/{ours.mux.pid}/fd")]
    assert len(held) > 5
    assert not masters.flags_of(r_in) and not masters.flags_of(w_out), kind
    assert p.wait(20) == 6
    assert not masters.flags_of(r_in) and not masters.flags_of(w_out), kind
    for fd in (r_in, w_in, r_out, w_out):
        os.close(fd)


def test_W2_files_share_their_place(both, tmp_path):
    """`{ ssh …; echo; } > file < file`: one open file, one offset."""
    ours = both[0]
    (tmp_path / "in").write_bytes(b"first\nsecond\n")
    command = " ".join(ours.argv("'cat; echo remote'"))
    subprocess.run(f"{{ echo before; {command}; echo after; }} > {tmp_path}/out < {tmp_path}/in",
                   shell=True, check=True, timeout=60)
    assert (tmp_path / "out").read_bytes() == b"before\nfirst\nsecond\nremote\nafter\n"


# ---- terminals -----------------------------------------------------------------------------------

class Terminal(pexpect.spawn):
    def __init__(self, client, *args, options=("-tt",), size=(31, 97), modes=None):
        argv = client.argv(*args, options=options)
        super().__init__(argv[0], argv[1:], dimensions=size, timeout=20, echo=False,
                         env=dict(os.environ, TERM="vt220"),
                         preexec_fn=lambda: modes and modes(0))


def odd_modes(fd):
    t = termios.tcgetattr(fd)
    t[6][termios.VERASE] = b"\x08"
    t[0] &= ~termios.IXON
    termios.tcsetattr(fd, termios.TCSANOW, t)


@pytest.mark.remote_tty
def test_W2_terminal_with_its_modes_and_size(both):
    shows = []
    for client in both:
        t = Terminal(client, "stty -a; stty size; echo $TERM; tty", modes=odd_modes)
        t.expect(pexpect.EOF)
        t.close()
        shows.append((b"\n".join(x for x in t.before.split(b"\n") if b"/dev/pts" not in x),
                      t.exitstatus))
    assert b"31 97" in shows[0][0] and b"vt220" in shows[0][0] and b"erase = ^H" in shows[0][0]
    assert shows[0] == shows[1]
    assert b"Shared connection to 127.0.0.1 closed." in shows[0][0]


@pytest.mark.remote_tty
def test_W2_size_changes_reach_the_remote(both):
    """The client signals the process that the alive reply named."""
    ours = both[0]
    others = [Terminal(ours, "cat", size=(10, 20)) for _ in range(2)]
    # Looked at again and again: a shell can lose the signal while it runs its trap.
    t = Terminal(ours, "echo ready; while :; do stty size; sleep 0.1; done")
    t.expect("ready")
    t.setwinsize(44, 111)
    t.expect("44 111")
    t.setwinsize(20, 30)
    t.expect("20 30")
    # A shell that gets it between two commands may go on.
    poll(lambda: t.sendcontrol("c") and t.expect([pexpect.TIMEOUT, pexpect.EOF], 1), 30)
    for other in others:
        other.sendeof()
        other.expect(pexpect.EOF)


@pytest.mark.remote_tty
def test_W2_the_terminal_is_itself_again(both):
    """Raw while the session runs, as it was after it: however it ends."""
    ours = both[0]
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    for how in ("exit", "~.", "kill"):
        p = ours.start("echo ready; cat", options=["-tt"], stdin=slave, stdout=slave, stderr=slave,
                       start_new_session=True)
        seen = b""
        while b"ready" not in seen:
            seen += os.read(master, 100)
        poll(lambda: not termios.tcgetattr(slave)[3] & termios.ICANON, 10, "raw mode")
        if how == "exit":
            os.write(master, b"\x04")
        elif how == "~.":
            os.write(master, b"\r~.")
        else:
            p.send_signal(signal.SIGTERM)
        p.wait(20)
        assert termios.tcgetattr(slave) == before, how
        assert not masters.flags_of(slave)
    os.close(master)
    os.close(slave)


@pytest.mark.remote_tty
def test_W2_escapes(both):
    """~. ends, ~~ is one, ~? lists, and what is of no use says so as with a real master."""
    ours, real = both
    for client in both:
        t = Terminal(client, "stty -echo; echo ready; cat", options=("-tt",))
        t.expect("ready")
        time.sleep(0.3)
        t.send("\r~~x\r")
        t.expect("~x")
        t.send("\r~\x1a")
        t.expect(r"~\^Z escape not available to multiplexed sessions")
        t.send("\r~?")
        t.expect(r"~\?")
        t.expect(r"~\. +- ")
        t.send("\r~.")
        t.expect(pexpect.EOF)
        t.close()
        client.end = t.exitstatus, t.before[-200:]
    assert ours.end[0] == real.end[0] == 255


@pytest.mark.remote_tty
def test_W2_no_terminal_to_give(keys, cleanup, make_sshd, make_mux):
    """The server refuses the terminal: the client leaves raw mode, and the command runs."""
    sshd = make_sshd(PermitTTY="no")
    mux = make_mux(sshd)
    master = cleanup(Master(sshd, keys))
    config = client_config(master.dir / "lost", sshd)
    shows = []
    for sock in (socket_of(mux), master.sock):
        t = Terminal(Client(config, sock), "echo ran; exit 3")
        t.expect(pexpect.EOF)
        t.close()
        # The terminal may be raw still while that is said, with a master too; and ssh says it, while
        # what ran writes by itself: either may be first.
        lines = sorted(re.sub(rb"\r+\n", b"\n", masters.same(t.before)).splitlines())
        shows.append((lines, t.exitstatus))
    assert b"PTY allocation request failed" in shows[0][0] and b"ran" in shows[0][0]
    assert shows[0] == shows[1]


# ---- programs on top of it -----------------------------------------------------------------------


def test_W2_sftp_scp_rsync_git(both, payload, sha256, tmp_path):
    ours = both[0]
    path, digest = payload(3)
    base = ["-F", str(ours.config), "-o", f"ControlPath={ours.sock}"]
    before = ours.sshd.logins()
    run = lambda argv, **kw: subprocess.run(argv, check=True, timeout=60, capture_output=True, **kw)
    run(["scp", *base, str(path), f"t:{tmp_path}/by-scp"])
    run(["scp", *base, f"t:{tmp_path}/by-scp", f"{tmp_path}/back"])
    run(["scp", "-O", *base, f"t:{tmp_path}/by-scp", f"{tmp_path}/back-old"])
    run(["sftp", *base, "t"], input=f"put {path} {tmp_path}/by-sftp\n".encode())
    shell = " ".join(["ssh", *base])
    run(["rsync", "-e", shell, str(path), f"t:{tmp_path}/by-rsync"])
    for name in ("by-scp", "back", "back-old", "by-sftp", "by-rsync"):
        assert sha256(tmp_path / name) == digest, name
    git = dict(os.environ, GIT_SSH_COMMAND=shell, GIT_CONFIG_GLOBAL="/dev/null")
    run(["git", "init", "-q", "--bare", f"{tmp_path}/repo.git"], env=git)
    run(["git", "init", "-q", f"{tmp_path}/work"], env=git)
    run(["git", "-C", f"{tmp_path}/work", "-c", "user.name=n", "-c", "user.email=e", "commit", "-q",
         "--allow-empty", "-m", "one"], env=git)
    run(["git", "-C", f"{tmp_path}/work", "push", "-q", f"t:{tmp_path}/repo.git", "HEAD:main"],
        env=git)
    run(["git", "clone", "-q", f"t:{tmp_path}/repo.git", "-b", "main", f"{tmp_path}/clone"], env=git)
    assert ours.sshd.logins() == before


def test_W2_status_shows_who_is_there(both):
    ours = both[0]
    assert [r["control"] for r in ours.mux.status()["routes"]] == [str(ours.sock)]
    p = ours.start("cat")
    p.stdin.write(b"12345")
    p.stdin.flush()
    p.stdout.read(5)
    st = ours.mux.status()
    (client,) = st["clients"]
    (channel,) = st["channels"]
    assert (client["pid"], client["route"], client["channels"]) == (p.pid, "t", 1)
    assert (channel["client"], channel["kind"], channel["state"]) == (client["id"], "session", "open")
    assert (channel["bytes_in"], channel["bytes_out"]) == (5, 5)
    assert channel["connection"] == st["connections"][0]["id"]
    p.stdin.close()
    assert p.wait(20) == 0
    poll(lambda: not ours.mux.status()["clients"], 10)


def test_W2_many_at_once(both):
    ours = both[0]
    with concurrent.futures.ThreadPoolExecutor(25) as pool:
        done = list(pool.map(lambda n: ours.ssh(f"cat; exit {n}", input=b"x" * 1000 * n),
                             range(50)))
    for n, d in enumerate(done):
        assert (len(d.stdout), d.returncode, d.stderr) == (1000 * n, n, b""), n


# ---- requests without a session ------------------------------------------------------------------


def test_W2_check_exit_and_stop(both):
    ours, real = both
    done = [c.ssh(options=["-O", "check"]) for c in both]
    assert done[0].stderr == f"Master running (pid={ours.mux.pid})\r\n".encode()
    assert shown(done[0]) == shown(done[1])
    for command, words in (("exit", b"termination"), ("stop", b"stop listening")):
        d = ours.ssh(options=["-O", command])
        assert d.returncode == 255 and b"Master refused " + words in d.stderr, d
        assert b"ssh-mux stop" in d.stderr
    assert ours.ssh("echo on").stdout == b"on\n"


@pytest.mark.parametrize("options", [["-A"], ["-L", "0:127.0.0.1:1"],
                                     ["-R", "0:127.0.0.1:1"], ["-X"]])
def test_W2_what_is_not_served_goes_directly(both, options, monkeypatch):
    """Refused with words, and ssh goes on by itself."""
    ours, real = both
    if "0:" in options[-1]:
        options = [options[0], f"{peers.free_port()}:127.0.0.1:1"]
    config = client_config(real.master.dir / "able", ours.sshd, ours.keys)
    before = ours.sshd.logins()
    env = dict(os.environ, DISPLAY=":7")
    done = Client(config, ours.sock, env).ssh("echo direct; exit 8", options=options)
    assert done.stdout == b"direct\n" and done.returncode == 8, done
    assert b"ssh-mux" in done.stderr
    assert ours.sshd.logins() == before + 1


@pytest.fixture
def forwarding(make_sshd, make_mux, keys):
    sshd = make_sshd()
    mux = make_mux(sshd, route={"allow_remote_loopback_any_port": True})
    config = client_config(mux.dir / "lost", sshd)
    return Client(config, socket_of(mux)), mux, sshd


def test_W2_stdio_forward(forwarding, echo, both):
    client, mux, sshd = forwarding
    data = os.urandom(300_000)
    done = client.ssh(options=["-W", f"127.0.0.1:{echo.port}"], input=data)
    assert (done.stdout, done.stderr, done.returncode) == (data, b"", 0)
    refused = client.ssh(options=["-W", f"127.0.0.1:{peers.free_port()}"])
    assert refused.returncode == 255 and b"tdio forwarding request failed" in refused.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc to read ssh's command line in")
def test_W3_a_stdio_forward_that_is_denied_goes_directly(both, echo, tmp_path):
    """Refused, ssh would end; hung up on, it connects by itself (and can't, if it is lost)."""
    ours, real = both
    able = Client(client_config(real.master.dir / "able", ours.sshd, ours.keys), ours.sock)
    for options in (["-W", f"127.0.0.1:{echo.port}"], ["-qW", f"[127.0.0.1]:{echo.port}"]):
        done = able.ssh(options=options, input=b"data")
        assert (done.stdout, done.returncode) == (b"data", 0), done
        since = len(ours.mux.log())
        lost = ours.ssh(options=options)
        assert lost.returncode == 255 and b"efused" not in lost.stderr, lost
        ours.mux.wait_log("allow_remote_loopback_any_port", since=since)
    # As a jump host, with nothing in the configuration that shows it.
    config = tmp_path / "config"
    config.write_text(f"Include {able.config}\nMatch host t\n  ControlPath {ours.sock}\n")
    done = subprocess.run([peers.SSH, "-F", str(config), "-J", "t", "-o", "ControlPath=none", "t",
                           "echo over it"], capture_output=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == (b"over it\n", 0), done


def test_W2_jump_through_the_socket(forwarding, tmp_path):
    """-J with the jump host's control socket."""
    client, mux, sshd = forwarding
    config = tmp_path / "config"
    text = client.config.read_text()
    inner = client_config(tmp_path / "inner", sshd, mux.keys).read_text().replace(
        "Host t", "Host inner", 1)
    config.write_text(text.replace("  BatchMode", f"  ControlPath {client.sock}\n  BatchMode", 1)
                      + inner + "  ProxyJump t\n")
    before = sshd.logins()
    done = subprocess.run(["ssh", "-F", str(config), "inner", "echo through; exit 2"], timeout=60,
                          capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.stdout, done.returncode) == (b"through\n", 2), done
    assert sshd.logins() == before + 2  # the pool's and the one inside


# ---- ends ----------------------------------------------------------------------------------------


@pytest.mark.remote_tty
def test_W2_a_killed_client_ends_its_session(both):
    ours = both[0]
    mark = f"sleep 7{os.getpid()}"
    for sig in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        p = ours.start(f"echo $$; exec {mark}", options=["-tt"])
        pid = int(p.stdout.readline())
        p.send_signal(sig)
        p.wait(20)
        poll(lambda: not pgrep(f"^{mark}$"), 10, "the command's end")
        assert pid
    poll(lambda: not ours.mux.status().get("clients"), 10)


def test_W2_a_killed_daemon(make_sshd, make_mux, keys, cleanup):
    """As with a killed master: 255, and after it ssh goes directly; the next daemon serves."""
    sshd = make_sshd()
    mux = make_mux(sshd)
    master = cleanup(Master(sshd, keys))
    config = client_config(mux.dir / "able", sshd, keys)
    clients = Client(config, socket_of(mux)), Client(config, master.sock)
    ends = []
    for client, daemon in zip(clients, (mux, master)):
        p = client.start("echo ready; sleep 60")
        assert p.stdout.readline() == b"ready\n"
        os.kill(daemon.pid, signal.SIGKILL)
        ends.append((p.wait(20), p.stdout.read(), p.stderr.read()))
    assert ends[0] == ends[1] == (255, b"", b"")
    mux.proc.wait()
    # W3: as with no daemon ever, without a word, though its sockets are still there.
    after = clients[0].ssh("echo direct")
    assert (after.stdout, after.returncode) == (b"direct\n", 0)
    if sys.platform == "linux":
        assert list(mux.run_dir.glob("ssh-mux/d*/t=*")) and after.stderr == b"", after
    mux.start()
    lost = client_config(mux.dir / "lost", sshd)
    assert Client(lost, socket_of(mux)).ssh("echo again").stdout == b"again\n"


def test_W2_a_lost_connection_says_so(make_sshd, make_mux):
    sshd = make_sshd()
    mux = make_mux(sshd)
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux))
    p = client.start("echo ready; sleep 60")
    assert p.stdout.readline() == b"ready\n"
    for pid in sshd.connections():
        peers.kill_quietly(pid)
    assert p.wait(20) == 255
    assert b"ssh-mux: connection to 127.0.0.1 lost" in p.stderr.read()
    assert client.ssh("echo again").stdout == b"again\n"


def test_W2_stop_leaves_no_socket(make_sshd, make_mux):
    sshd = make_sshd()
    mux = make_mux(sshd)
    sock = socket_of(mux)
    client = Client(client_config(mux.dir / "able", sshd, mux.keys), sock)
    p = client.start("echo ready; sleep 60")
    assert p.stdout.readline() == b"ready\n"
    assert mux.control("stop").returncode == 0
    assert p.wait(20) == 255 and b"ssh-mux was stopped" in p.stderr.read()
    assert not sock.exists() and not list(sock.parent.parent.glob("*/*"))
    mux.proc.wait(10)
    # No word about a socket: it is plain ssh.
    done = client.ssh("echo direct")
    assert (done.stdout, done.stderr, done.returncode) == (b"direct\n", b"", 0)


# ---- which sockets there are ---------------------------------------------------------------------


def test_W2_sockets_follow_the_routes(make_sshd, make_mux):
    """One per route, named after its whole address; a stranger's file is left alone."""
    sshd = make_sshd()
    route = hop(sshd)
    mux = make_mux(sshd)
    sock = socket_of(mux)
    assert sock.name == f"t={peers.USER}@127.0.0.1:{sshd.port}"
    assert sock.stat().st_mode & 0o777 == 0o600 and sock.parent.stat().st_mode & 0o777 == 0o700
    (sock.parent / "other=x@y:22").write_text("not a socket")
    # Behind a jump host; else it would have a hash instead.
    long = dict(host="a" * 60 + ".example", user="u", jump="t")
    mux.routes_path.write_text(routes_toml({"t": route, "new": route, "long" + "g" * 40: long,
                                            "other": dict(route, user="x", host="y", port=22)}))
    mux.wait_log("routes re-read")
    poll(lambda: len(list(sock.parent.iterdir())) == 3, 10)
    assert "longer than the 107 bytes" in mux.log()
    assert "is another program's" in mux.log()
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux, "new"))
    assert client.ssh("echo new").stdout == b"new\n"
    mux.routes_path.write_text(routes_toml({"t": route}))
    poll(lambda: not (sock.parent / sock.name.replace("t=", "new=", 1)).exists(), 10)
    assert Client(client.config, sock).ssh("echo still").stdout == b"still\n"


def test_W1_another_user_or_port_meets_no_socket(both, tmp_path):
    """ControlPath with %n, %r, %h and %p: another account is never reached by it."""
    ours = both[0]
    path = ours.sock.parent / "%n=%r@%h:%p"
    before = ours.mux.log().count("control client came")
    assert Client(ours.config, path).ssh("echo here").stdout == b"here\n"
    for options in (["-l", "nobody"], ["-p", "1"]):
        done = Client(ours.config, path).ssh("echo there", options=options)
        assert done.returncode == 255 and LOST in done.stderr
    assert ours.mux.log().count("control client came") == before + 1


@pytest.mark.skipif(not ROOT, reason="needs root to become somebody else")
def test_W2_another_user_is_turned_away(both):
    """The directory lets nobody in; even one that stands open does not help."""
    ours = both[0]
    dirs = [ours.sock.parent, ours.sock.parent.parent, ours.mux.run_dir, ours.mux.dir]
    modes = [(d, d.stat().st_mode & 0o777) for d in dirs]
    program = ("import socket, sys\ns = socket.socket(socket.AF_UNIX)\n"
               f"s.connect({str(ours.sock)!r})\nsys.stdout.write(repr(s.recv(100)))\n")
    run = lambda: subprocess.run(["/usr/bin/python3", "-c", program], user="nobody", timeout=20,
                                 capture_output=True, check=False)
    assert b"Permission" in run().stderr
    try:
        for d in dirs:
            d.chmod(0o755)
        ours.sock.chmod(0o666)
        assert run().stdout in (b"b''", b"") and b"another user" in ours.mux.log().encode()
    finally:
        ours.sock.chmod(0o600)
        for d, mode in modes:
            d.chmod(mode)


# ---- hostile bytes -------------------------------------------------------------------------------


def message(kind, *parts):
    body = struct.pack(">I", kind)
    for part in parts:
        body += struct.pack(">I", part) if isinstance(part, int) else (
            struct.pack(">I", len(part)) + part)
    return struct.pack(">I", len(body)) + body


HELLO = message(1, 4)
GREETING = message(1, 4, b"info", b"0")
SESSION = message(0x10000002, 7, b"", 0, 0, 0, 0, 0xFFFFFFFF, b"vt100", b"echo raw")
ALIVE = message(0x10000004, 6)


def raw(sock, data, fds=()):
    """What comes back, to the end. Each descriptor comes after the data, with a byte of its own."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(sock))
        got = b""
        with contextlib.suppress(BrokenPipeError):
            s.sendall(data)
            for fd in fds:
                socket.send_fds(s, [b"\0"], [fd])
            s.shutdown(socket.SHUT_WR)
        try:
            while piece := s.recv(4096):
                got += piece
        except ConnectionResetError:
            pass
        return got


def test_W2_hostile_bytes(both):
    """What no client of OpenSSH sends costs its sender its connection, and nobody else anything."""
    ours = both[0]
    hello = HELLO
    bad = [
        b"\xff\xff\xff\xff", b"\0\0\0\0", SESSION, ALIVE, hello + hello + ALIVE,
        message(1, 3) + ALIVE, message(1, 4, b"name"), hello + message(0x10000004), hello + message(0x10000002, 1, b""),
        hello + SESSION[:-1], hello + message(0x10000002, 7, b"", 0, 0, 0, 0, 0, b"a\0b", b"c"),
        hello + message(0x10000002, 7, b"", 0, 0, 0, 0, 0, b"", b"c", b"=novalue"),
        hello + SESSION + b"\0\0\0", b"GET / HTTP/1.0\r\n\r\n", os.urandom(5000),
    ]
    for data in bad:
        got = raw(ours.sock, data)
        assert got in (b"", GREETING), (data[:40], got)
    # An unknown request is refused, and the connection lives on.
    got = raw(ours.sock, hello + message(0x1000DEAD, 5, b"?") + message(0x10000004, 6))
    assert got.startswith(GREETING + message(0x80000003, 5, b"ssh-mux does not serve this request"))
    assert got.endswith(message(0x80000005, 6, ours.mux.pid))
    with open(os.devnull, "rb") as f:
        # Descriptors nobody asked for, with a message and after it; too many; too few.
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(ours.sock))
            socket.send_fds(s, [hello + ALIVE], [f.fileno()])
            assert s.makefile("rb").read() in (b"", GREETING)
        for n, data in ((1, hello), (4, hello + SESSION), (2, hello + SESSION)):
            raw(ours.sock, data, [f.fileno()] * n)
    count = lambda: len(os.listdir(f"/proc/{ours.mux.pid}/fd"))
    poll(lambda: not ours.mux.status()["clients"], 10)
    idle = count()
    for data in bad:
        with open(os.devnull, "rb") as f:
            raw(ours.sock, data, [f.fileno()] * 3)
    poll(lambda: count() <= idle, 10, "no descriptor is kept")
    assert ours.ssh("echo fine").stdout == b"fine\n"


def test_W2_one_session_for_each_connection(both):
    """A client that asks for a second one next to its first is refused that, and the first goes on."""
    ours = both[0]
    theirs, here = os.pipe()
    with socket.socket(socket.AF_UNIX) as s, open(os.devnull, "r+b") as null:
        s.settimeout(20)
        s.connect(str(ours.sock))
        replies = s.makefile("rb")

        def reply():
            return replies.read(int.from_bytes(replies.read(4), "big"))

        def ask(rid):
            s.sendall(message(0x10000002, rid, b"", 0, 0, 0, 0, 0xFFFFFFFF, b"vt100", b"cat; exit 5"))
            for fd in (theirs, null.fileno(), null.fileno()):
                socket.send_fds(s, [b"\0"], [fd])
            return reply()

        s.sendall(HELLO + ALIVE)
        assert reply() == GREETING[4:] and reply()[:8] == struct.pack(">II", 0x80000005, 6)
        opened, second = ask(1), ask(2)
        assert opened[:8] == struct.pack(">II", 0x80000006, 1)
        assert second[:8] == struct.pack(">II", 0x80000002, 2) and b"one session" in second
        os.close(theirs)
        os.close(here)
        assert reply() == struct.pack(">I", 0x80000004) + opened[8:12] + struct.pack(">I", 5)
    poll(lambda: not ours.mux.status()["clients"], 10)


def test_W2_conninfo_and_channels(both):
    """`ssh -O conninfo` and `-O channels` of OpenSSH 10.3 ask for texts about the connection: those
    of the socket's own route."""
    ours = both[0]
    p = ours.start("cat")
    p.stdin.write(b"12345")
    p.stdin.flush()
    assert p.stdout.read(5) == b"12345"
    texts = []
    for about in (b"connection", b"channels", b"weather"):
        got = raw(ours.sock, HELLO + message(0x20000001, 9, about))
        assert got.startswith(GREETING), got
        kind, rid, known, size = struct.unpack(">IIII", got[len(GREETING) + 4:][:16])
        assert (kind, rid, known) == (0x90000001, 9, about != b"weather")
        assert len(got) == len(GREETING) + 20 + size
        texts.append(got[len(GREETING) + 20:].decode())
    assert f"pid {ours.mux.pid}\r\n" in texts[0] and "route t: " in texts[0]
    assert re.search(r"connection \d+: ready for \d+ s, 1 channels, ", texts[0]), texts[0]
    assert re.search(r"#\d+ session \(open, connection \d+, client \d+, 5 bytes in, 5 bytes out\)\r\n",
                     texts[1]), texts[1]
    p.stdin.close()
    assert p.wait(20) == 0


def test_W2_a_locked_daemon_refuses(make_sshd, make_mux):
    sshd = make_sshd()
    mux = make_mux(sshd)
    assert mux.control("lock").returncode == 0
    client = Client(client_config(mux.dir / "lost", sshd), socket_of(mux))
    done = client.ssh("echo no")
    assert b"Master refused session request: ssh-mux is locked" in done.stderr
    assert LOST in done.stderr and done.stdout == b""
    mux.control("unlock")
    assert client.ssh("echo yes").stdout == b"yes\n"
