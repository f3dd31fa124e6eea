# SPDX-License-Identifier: MIT
"""`ssh-mux connect`: sessions without an ssh client (D2), and the daemon that starts by itself (D1)."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import termios
import time

import pytest

import otp_sshd
from attach_client import Control
from peers import USER, Mux, hop, kill_quietly, pgrep, poll, routes_toml
from serve_terminal import Terminal as Person
from test_pty import WATCH_SIZE, STTY, Terminal, strange_modes, stty_text

try:
    import paramiko
    import pyssh
except ImportError:
    paramiko = None

needs_paramiko = pytest.mark.skipif(paramiko is None, reason="paramiko is not installed")
needs_otp = pytest.mark.skipif(otp_sshd.missing() is not None, reason=str(otp_sshd.missing()))


def argv(mux, *args):
    return [str(mux.binary), "connect", *map(str, args)]


def run(mux, *args, env=None, **kwargs):
    if "input" not in kwargs:
        kwargs.setdefault("stdin", subprocess.DEVNULL)
    kwargs.setdefault("timeout", 60)
    return subprocess.run(argv(mux, *args), capture_output=True, env={**mux.env, **(env or {})},
                          **kwargs)


class Idle(Mux):
    """A private SSH directory in which nothing runs yet; stop() ends what was started by itself."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, start=False, **kwargs)
        self.log_path = self.ssh_dir / "ssh-mux.log"

    def daemons(self):
        """The process of the daemon, if it answers."""
        done = self.control("status", "--json")
        return [json.loads(done.stdout)["pid"]] if done.returncode == 0 else []

    def stop(self):
        pids = self.daemons()
        if pids:
            assert self.control("stop").returncode == 0
        for pid in pids:
            poll(lambda: not pathlib.Path(f"/proc/{pid}").exists(), 20, "the daemon's end")
        text = self.log()
        for sign in ("AddressSanitizer", "LeakSanitizer", "runtime error:"):
            at = text.find(sign)
            assert at < 0, text[max(0, at - 300): at + 6000]


@pytest.fixture
def plain(make_mux, make_sshd):
    return make_mux(target=make_sshd())


@pytest.fixture(scope="module")
def shared(world):
    return world


@pytest.fixture
def idle(keys, cleanup, make_sshd):
    """A target, a route t to it, and no daemon."""
    target = make_sshd()
    mux = cleanup(Idle(keys, routes=routes_toml({"t": hop(target)}),
                       known_hosts=target.known_hosts()))
    mux.target = target
    return mux


@pytest.fixture
def otp(keys, cleanup, make_sshd):
    """As idle, behind a bastion that wants a key and a code."""
    bastion = cleanup(otp_sshd.OtpSshd(keys, "bastion"))
    target = make_sshd()
    mux = cleanup(Idle(keys, routes=routes_toml({"t": hop(target)}, jump=hop(bastion)),
                       known_hosts=bastion.known_hosts() + target.known_hosts()))
    mux.bastion, mux.target = bastion, target
    return mux


@pytest.fixture
def terminal(shared):
    made = []

    def make(*args, mux=shared, **kwargs):
        made.append(Terminal(argv(mux, *args), env=mux.env, **kwargs))
        return made[-1]

    yield make
    for t in made:
        t.close()


# ---- exit codes --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 2, 64, 69, 126, 127, 128, 130, 254, 255])
def test_D2_exit_code(shared, code):
    assert run(shared, "t", f"exit {code}").returncode == code


@pytest.mark.parametrize("name", ["HUP", "INT", "KILL", "SEGV", "TERM", "PIPE"])
def test_D2_exit_signal(shared, name):
    number = int(getattr(signal, f"SIG{name}"))
    done = run(shared, "t", f"ulimit -c 0; kill -{name} $$; sleep 5")
    assert done.returncode == 128 + number


def test_D2_streams_apart(shared):
    done = run(shared, "t", "echo out; echo err >&2; cat; exit 3", input=b"in\n")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\nin\n", b"err\n", 3)


def test_D2_words_are_joined(shared):
    assert run(shared, "t", "echo", "a  b", "$((1+2))").stdout == b"a b 3\n"


def test_D2_shell_without_terminal(shared):
    done = run(shared, "t", input=b"echo A$((40+2))B\nexit 9\n")
    assert b"A42B" in done.stdout and done.returncode == 9


def test_D2_half_close(shared):
    """The remote reads to the end of the input and speaks after it."""
    done = run(shared, "t", "wc -c; echo done", input=b"x" * 100000)
    assert done.stdout.split() == [b"100000", b"done"]


def test_D2_bulk_both_ways(shared):
    data = os.urandom(8 << 20)
    done = run(shared, "t", "cat", input=data)
    assert done.stdout == data and done.returncode == 0


def test_D2_files_as_streams(shared, tmp_path):
    data = os.urandom(300000)
    (tmp_path / "in").write_bytes(data)
    with open(tmp_path / "in", "rb") as source, open(tmp_path / "out", "wb") as sink:
        done = subprocess.run(argv(shared, "t", "cat; echo e >&2"), stdin=source, stdout=sink,
                              stderr=subprocess.PIPE, env=shared.env, timeout=60)
    assert (tmp_path / "out").read_bytes() == data and done.stderr == b"e\n"


def test_D2_streams_stay_as_they_are(shared):
    """Pipes are others' as well: none may be left non-blocking."""
    r, w = os.pipe()
    code = subprocess.run(argv(shared, "t", "echo x"), stdin=r, stdout=w, stderr=w, env=shared.env,
                          timeout=60, close_fds=True) if os.write(w, b"y") else None
    assert code is not None
    assert os.get_blocking(r) and os.get_blocking(w)
    os.close(r)
    os.close(w)


def test_D2_nobody_reads_the_output(shared):
    """`connect t yes | head -1` ends, and so does the remote's command."""
    client = subprocess.Popen(argv(shared, "t", "yes"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shared.env)
    assert client.stdout.readline() == b"y\n"
    client.stdout.close()
    assert client.wait(20) != 0
    client.stderr.close()
    shared.wait_idle()


def test_D2_slow_reader_gets_everything(shared):
    client = subprocess.Popen(argv(shared, "t", "head -c 6000000 /dev/zero; exit 4"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=shared.env)
    time.sleep(1)
    total = 0
    while data := client.stdout.read(65536):
        total += len(data)
        time.sleep(0.005)
    assert total == 6000000 and client.wait(10) == 4
    client.stdout.close()


def test_P6_killed_client_leaves_nothing(shared):
    client = subprocess.Popen(argv(shared, "t", "cat"), stdin=subprocess.PIPE, env=shared.env)
    poll(lambda: shared.open_channels() == 1, what="the session")
    client.kill()
    client.wait()
    client.stdin.close()
    shared.wait_idle()


# ---- what is refused ---------------------------------------------------------------------------


def test_D2_unknown_route(shared):
    done = run(shared, "nowhere", "true")
    assert done.returncode == 255 and b'no route "nowhere"' in done.stderr


@pytest.mark.parametrize("word", ["a b", "-x@host", "u@", "@h", "u@h:0", "u@h:70000", "u@[::1",
                                  "u@ho;st", "u@-h", "a$b", "u@h@"])
def test_D2_bad_names_are_refused_here(shared, word):
    done = run(shared, "--", word, "true")
    assert done.returncode == 64, done


def test_D2_no_command_line(shared):
    assert run(shared).returncode == 64
    assert run(shared, "-x", "t").returncode == 64
    assert b"usage: ssh-mux connect" in run(shared, "--help").stdout


def test_D2_P8_locked(plain):
    assert plain.control("lock").returncode == 0
    done = run(plain, "t", "true")
    assert done.returncode == 255 and b"ssh-mux unlock" in done.stderr
    assert plain.control("unlock").returncode == 0
    assert run(plain, "t", "true").returncode == 0


def test_D2_wrong_host_key_of_the_daemon(plain, keys):
    """Whoever answers must have the key of the SSH directory."""
    (plain.ssh_dir / "ssh-mux-host-key.pub").write_text(keys.public(keys.make("other_host")))
    done = run(plain, "t", "echo never")
    assert done.returncode == 255 and done.stdout == b"" and b"host key" in done.stderr


def test_D2_daemon_stopped_under_it(plain):
    client = subprocess.Popen(argv(plain, "t", "echo up; sleep 100"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=plain.env)
    assert client.stdout.readline() == b"up\n"
    plain.stop()
    _, err = client.communicate(timeout=20)
    assert client.returncode == 255 and b"ssh-mux: t: " in err


def test_D2_remote_dies_under_it(make_sshd, make_mux):
    target = make_sshd()
    mux = make_mux(target=target)
    client = subprocess.Popen(argv(mux, "t", "echo up; sleep 100"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=mux.env)
    assert client.stdout.readline() == b"up\n"
    target.kill()
    _, err = client.communicate(timeout=20)
    assert client.returncode == 255
    assert b"connection to 127.0.0.1 lost" in err and b"without an exit code" in err


# ---- the exit code is not in the stream --------------------------------------------------------

FRAME = b"\x00\x00\x00\x06\x01hello" + b"\x00\x00\x00\x01\x02"  # a DATA, an END (PROTOCOL.md, 7)
STATUS = b"\x62\x00\x00\x00\x00\x00\x00\x00\x0bexit-status\x00\x00\x00\x00\x00"
FAKES = {
    "frames": FRAME * 3 + b"\x00\x00\x00\x01\x00" + b"\xff" * 64,
    "json": b'\n{"id":1,"ok":true}\n{"exit":0,"exit_status":0,"nonce":"0"}\n\x00{"exit":0}\x00',
    "messages": STATUS + b"\x00\x00\x00\x1c" + STATUS + b"\x61\x00\x00\x00\x00",
    "disconnect": b"\x01\x00\x00\x00\x0b\x00\x00\x00\x03bye\x00\x00\x00\x00",
    "escapes": b"".join(b"\x1b" + bytes([c]) for c in range(256)) + b"\x1b[0q\x1b]0;x\x07\x1bP1\x1b\\"
               + bytes(range(128, 160)) + b"\r~.\r\n~.\n~~\x04\x03\x1a\x1c",
    "words": b"\nexit-status 0\nlogout\nConnection to t closed.\nexit 0\n__EXIT__0\n\x04",
}


@pytest.mark.parametrize("what", FAKES)
def test_D2_nothing_printed_is_an_exit_code(shared, what):
    script = f"head -c {len(FAKES[what])}; cat >/dev/null; exit 42"
    for redirect in ("", " >&2"):
        done = run(shared, "t", script.replace(";", redirect + ";", 1), input=FAKES[what])
        assert done.returncode == 42
        assert (done.stderr if redirect else done.stdout) == FAKES[what]


@pytest.mark.remote_tty
@pytest.mark.parametrize("what", FAKES)
def test_D2_nothing_printed_to_a_terminal_is_an_exit_code(terminal, what):
    octal = "".join(f"\\{b:03o}" for b in FAKES[what])
    term = terminal("-t", "t", f"stty raw; printf '{octal}'; printf 'th%s' e-end; exit 42")
    term.read_until(rb"the-end")
    assert term.proc.wait(20) == 42


@needs_paramiko
@pytest.mark.parametrize("said, code", [
    ([3, 0], 3), ([0, 3], 3), ([0], 0), ([256], 255), ([1 << 31], 255), ([0xffffffff], 255),
    ([b"TERM", 0], 143), ([7, b"KILL"], 7), ([], 255),
], ids=str)
def test_D2_exit_code_of_an_odd_server(make_mux, keys, cleanup, said, code):
    """The first that is no success counts, and what is no success stays none in eight bits."""

    def handler(server, channel, name, m):
        if name != "exec":
            return True
        server.send(channel, pyssh.MSG_CHANNEL_SUCCESS)
        for what in said:
            if isinstance(what, bytes):
                server.send(channel, pyssh.MSG_CHANNEL_REQUEST, "exit-signal", False, what, False,
                            "", "")
            else:
                server.send(channel, pyssh.MSG_CHANNEL_REQUEST, "exit-status", False, what)
        channel.close()
        return None

    server = cleanup(pyssh.Server(keys.make("host_odd"), handler))
    mux = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts())
    done = run(mux, "t", "x")
    assert done.returncode == code
    assert (b"ended without an exit code" in done.stderr) == (not said), done


def test_D2_killed_after_printing_success(shared):
    done = run(shared, "t", f"printf '%s' '{{\"exit\":0}}'; kill -KILL $$; sleep 5")
    assert done.returncode == 137


# ---- terminals ---------------------------------------------------------------------------------


@pytest.mark.remote_tty
@pytest.mark.parametrize("setup", [None, strange_modes], ids=["usual", "strange"])
def test_D2_L9_terminal_modes_as_by_ssh(shared, terminal, setup):
    by_ssh = Terminal(shared.argv("t", STTY, options=["-tt"]), setup=setup)
    try:
        expected = stty_text(by_ssh)
    finally:
        by_ssh.close()
    assert stty_text(terminal("-t", "t", STTY, setup=setup)) == expected


@pytest.mark.remote_tty
def test_D2_window_size_and_resize(terminal):
    term = terminal("-t", "t", WATCH_SIZE, rows=33, cols=121)
    term.read_until(rb"33 121\r?\n")
    for rows, cols in ((50, 200), (10, 40), (51, 211)):
        term.resize(rows, cols)
        term.read_until(b"%d %d\r?\n" % (rows, cols))


@pytest.mark.remote_tty
def test_D2_pixel_sizes_and_term(terminal):
    script = (
        "python3 -c 'import fcntl,os,termios,struct;"
        'print("PX", *struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, b"\\0"*8)), '
        'os.environ["TERM"])\''
    )
    term = terminal("-t", "t", script, rows=24, cols=80, xpixel=640, ypixel=480)
    assert term.read_until(rb"PX (\d+ \d+ \d+ \d+ \S+)").group(1) == b"24 80 640 480 xterm-256color"


@pytest.mark.remote_tty
def test_D2_interactive_shell(terminal):
    term = terminal("t")
    term.send(b"PS1=; tty; echo A$((40+2))B\n")
    term.read_until(rb"/dev/pts/")
    term.read_until(rb"A42B")
    term.send(b"exit 21\n")
    assert term.proc.wait(10) == 21


@pytest.mark.remote_tty
def test_D2_ctrl_c_goes_to_the_remote(terminal):
    term = terminal("-t", "t", 'trap "echo GOT-INT; exit 7" INT; echo ready; '
                    "while :; do sleep 0.05; done")
    term.read_until(rb"ready")
    term.send(b"\x03")
    term.read_until(rb"GOT-INT")
    assert term.proc.wait(10) == 7


def test_D2_no_terminal_for_a_command_unless_asked(terminal):
    term = terminal("t", "test -t 0 && echo TT$((1))Y; echo no$((1))tty; exit 5")
    term.read_until(rb"no1tty")
    assert term.proc.wait(10) == 5


def test_D2_T_gives_a_shell_no_terminal(terminal):
    term = terminal("-T", "t")
    term.send(b"test -t 0; echo is$?\n")
    term.read_until(rb"is1")
    term.send(b"exit 6\n")
    assert term.proc.wait(10) == 6


@pytest.mark.remote_tty
def test_D2_t_without_a_terminal_here(shared):
    done = run(shared, "-t", "t", "tty; exit 5")
    assert b"/dev/pts/" in done.stdout and done.returncode == 5


@pytest.mark.remote_tty
def test_D2_escape_ends_the_session(shared, terminal):
    term = terminal("-t", "t", "echo ready; sleep 60")
    term.read_until(rb"ready")
    term.send(b"\r~.")
    assert term.proc.wait(10) == 255
    shared.wait_idle()


def modes(term):
    return termios.tcgetattr(term.master)


def wait_raw(term):
    poll(lambda: not modes(term)[3] & termios.ICANON, 10, "raw mode")


@pytest.mark.remote_tty
@pytest.mark.parametrize("how", ["exit", "TERM", "HUP", "INT", "QUIT", "USR1", "ABRT", "daemon"])
def test_D2_terminal_is_put_back(plain, terminal, how):
    term = terminal("-t", "t", "echo ready; cat >/dev/null; exit 3", mux=plain)
    before = modes(term)
    term.read_until(rb"ready")
    wait_raw(term)
    if how == "exit":
        term.send(b"\x04")
        assert term.proc.wait(20) == 3
    elif how == "daemon":
        plain.stop()
        assert term.proc.wait(20) == 255
    else:
        term.proc.send_signal(getattr(signal, f"SIG{how}"))
        assert term.proc.wait(20) == -getattr(signal, f"SIG{how}")
    assert modes(term) == before


@pytest.mark.remote_tty
def test_D2_raw_again_after_a_stop(terminal):
    """A shell has had the terminal in between."""
    term = terminal("-t", "t", "echo ready; read -r x; echo got-$x; exit 8")
    before = modes(term)
    term.read_until(rb"ready")
    wait_raw(term)
    term.proc.send_signal(signal.SIGSTOP)
    termios.tcsetattr(term.master, termios.TCSANOW, before)
    term.proc.send_signal(signal.SIGCONT)
    wait_raw(term)
    term.send(b"this\r")
    term.read_until(rb"got-this")
    assert term.proc.wait(10) == 8


# ---- one login ---------------------------------------------------------------------------------


def test_D2_P1_shares_the_login_with_ssh(plain):
    clients = [subprocess.Popen(argv(plain, "t", "cat"), stdin=subprocess.PIPE, env=plain.env,
                                stdout=subprocess.PIPE) for _ in range(2)]
    for client in clients:
        client.stdin.write(b"x\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"x\n"
    plain.check_works()
    assert len(plain.connections()) == 1
    assert [c["route"] for c in plain.status()["clients"]] == ["t", "t"]
    for client in clients:
        client.communicate(timeout=20)
        assert client.returncode == 0


def test_D2_target_of_a_route_goes_its_way(shared):
    """user@host:port as in the routes file: the same connection, behind the jump host."""
    assert run(shared, "t", "true").returncode == 0
    before = len(shared.connections())
    done = run(shared, f"{USER}@127.0.0.1:{shared.target.port}", "echo in")
    assert done.stdout == b"in\n" and len(shared.connections()) == before


def test_D2_target_of_no_route(make_sshd, make_mux):
    target, other = make_sshd(), make_sshd("other")
    mux = make_mux(target=target, known_hosts=target.known_hosts() + other.known_hosts())
    name = f"{USER}@127.0.0.1:{other.port}"
    assert run(mux, name, "exit 11").returncode == 11
    assert run(mux, name, "exit 12").returncode == 12
    assert other.logins() == 1 and target.logins() == 0
    assert [r["name"] for r in mux.status()["routes"]] == ["t"]


def test_L7_a_one_off_forwards_nothing(make_sshd, make_mux, echo):
    """No SSH client can come to it with other than `connect`'s session: asked of the daemon."""
    target, other = make_sshd(), make_sshd("other")
    mux = make_mux(target=target, known_hosts=target.known_hosts() + other.known_hosts())
    with Control(mux) as c:
        assert c.ask(cmd="connect", user=USER, host="127.0.0.1", port=other.port)["ok"]
        client = c.ssh()
        client.auth_none("x")
        with pytest.raises(paramiko.ChannelException) as e:
            client.open_channel("direct-tcpip", ("127.0.0.1", echo.port), ("127.0.0.1", 1))
        assert e.value.code == 1
        client.close()


@pytest.mark.remote_tty
@needs_otp
def test_D2_A6_code_asked_in_its_terminal(otp):
    person = Person(lambda question: otp.bastion.code() + "\r")
    client = subprocess.Popen(argv(otp, "-t", "t", "echo in; exit 13"), env=otp.env,
                              stdin=person.slave, stdout=person.slave, stderr=person.slave,
                              start_new_session=True, preexec_fn=person.controlling)
    assert client.wait(60) == 13
    poll(lambda: b"in\r\n" in person.seen, what="the command's output")
    assert person.typed == 1 and otp.bastion.used() == 1
    for _ in range(2):
        assert run(otp, "t", "echo again").stdout == b"again\n"
    assert otp.bastion.used() == 1


@needs_otp
def test_A6_ctrl_c_at_the_question(otp):
    person = Person(lambda question: "\x03")
    client = subprocess.Popen(argv(otp, "t"), env=otp.env, stdin=person.slave, stdout=person.slave,
                              stderr=person.slave, start_new_session=True,
                              preexec_fn=person.controlling)
    before = termios.tcgetattr(person.master)
    assert client.wait(20) == 255
    assert termios.tcgetattr(person.master) == before
    otp.wait_idle()
    assert otp.bastion.used() == 0


@needs_otp
def test_A6_nobody_to_ask_names_connect(otp):
    done = run(otp, "t", "true", start_new_session=True)
    assert done.returncode == 255 and b"ssh-mux connect" in done.stderr


# ---- the daemon --------------------------------------------------------------------------------


def test_D1_connect_starts_the_daemon(idle):
    assert idle.daemons() == []
    assert run(idle, "t", "exit 17").returncode == 17
    pid, = idle.daemons()
    assert run(idle, "t", "exit 18").returncode == 18
    assert idle.daemons() == [pid] and idle.target.logins() == 1
    mode = (idle.ssh_dir / "ssh-mux.log").stat().st_mode & 0o777
    assert mode == 0o600
    # Nothing of who started it: its own session, no terminal, the root, no foreign descriptor.
    assert os.getsid(pid) != os.getsid(0)
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    assert fields[4] == "0"  # tty_nr
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    for fd in ("1", "2"):
        assert os.readlink(f"/proc/{pid}/fd/{fd}") == str(idle.ssh_dir / "ssh-mux.log")
    assert os.readlink(f"/proc/{pid}/exe") == os.path.realpath(idle.binary)


def test_D1_started_daemon_holds_no_pipe_of_the_caller(idle):
    """A shell's $(…) ends with connect, though the daemon lives on."""
    r, w = os.pipe()
    os.set_inheritable(w, True)
    done = subprocess.run(argv(idle, "t", "echo x"), stdin=subprocess.DEVNULL, env=idle.env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=False,
                          timeout=30)
    os.close(w)
    assert done.stdout == b"x\n" and idle.daemons()
    os.set_blocking(r, False)
    assert os.read(r, 1) == b""  # the end, not EAGAIN
    os.close(r)


def test_D1_proxy_starts_the_daemon(idle):
    frames = subprocess.Popen([str(idle.binary), "proxy", "t"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=idle.env)
    assert frames.stdout.readline().startswith(b"SSH-2.0-")
    frames.stdin.close()
    frames.wait(20)
    frames.stdout.close()
    assert len(idle.daemons()) == 1


def test_D1_many_starters_one_daemon_one_login(idle):
    clients = [subprocess.Popen(argv(idle, "t", f"echo {n}"), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=idle.env)
               for n in range(6)]
    for n, client in enumerate(clients):
        out, err = client.communicate(timeout=60)
        assert (out, client.returncode) == (b"%d\n" % n, 0), err
    assert idle.target.logins() == 1
    path = re.escape(str(idle.ssh_dir))
    running = [pid for pid in pgrep("ssh-mux daemon --detached")
               if re.search(path, pathlib.Path(f"/proc/{pid}/environ").read_text())]
    assert running == idle.daemons()


def test_D1_daemon_command(idle):
    done = idle.control("daemon", "--no-listen", "--timeout", "33", "--max-lifetime", "44")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid, = idle.daemons()
    assert idle.status()["port"] == 0
    assert "no local port" in idle.control("status").stdout
    assert run(idle, "t", "exit 9").returncode == 9
    connection, = idle.connections()
    assert connection["idle_left_s"] <= 33 and connection["lifetime_left_s"] <= 44
    again = idle.control("daemon")
    assert again.returncode == 69 and str(pid) in again.stderr


def test_D1_daemon_listens_where_told(idle):
    assert idle.control("daemon", "-p", str(idle.port)).returncode == 0
    assert idle.status()["port"] == idle.port
    with socket.create_connection(("127.0.0.1", idle.port)) as s:
        assert s.recv(8) == b"SSH-2.0-"


def test_D1_a_port_that_was_asked_for_must_be_free(idle):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = idle.control("daemon", "-p", str(taken.getsockname()[1]))
    assert done.returncode == 69 and "another program uses it" in done.stderr
    assert "ssh-mux.log" in done.stderr and done.stderr.count("\n") == 1
    assert idle.daemons() == []


def test_D1_the_default_port_need_not_be_free(idle):
    with contextlib.ExitStack() as stack:
        # A daemon of a test beside this one may have it just now: wait until it is ours.
        for _ in range(200):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", 2222)))
                break
            time.sleep(0.2)
        assert run(idle, "t", "exit 19").returncode == 19
    assert idle.status()["port"] == 0
    assert "port 2222 of 127.0.0.1 is taken" in idle.log()


def test_D1_no_routes_file(keys, cleanup, make_sshd):
    target = make_sshd()
    mux = cleanup(Idle(keys, routes="", known_hosts=target.known_hosts()))
    mux.routes_path.unlink()
    assert run(mux, f"{USER}@127.0.0.1:{target.port}", "exit 20").returncode == 20
    assert mux.status()["routes"] == []
    assert run(mux, "t", "true").returncode == 255


def test_D1_broken_routes_file_is_said_at_once(idle):
    idle.routes_path.write_text("[routes.t]\nhost = 5\n")
    begin = time.monotonic()
    done = run(idle, "t", "true")
    assert done.returncode == 255 and b"the daemon did not start" in done.stderr
    assert b"ssh-mux-routes.toml:2" in done.stderr and b"ssh-mux.log" in done.stderr
    assert time.monotonic() - begin < 4
    assert idle.daemons() == []


def test_D1_S1_log_that_is_a_symlink(idle, tmp_path):
    (tmp_path / "victim").write_text("")
    idle.log_path.symlink_to(tmp_path / "victim")
    done = run(idle, "t", "true")
    assert done.returncode == 255 and b"symbolic link" in done.stderr
    assert (tmp_path / "victim").read_text() == "" and idle.daemons() == []
    idle.log_path.unlink()


def test_D1_log_is_appended_and_private(idle):
    idle.put("ssh-mux.log", "before\n").chmod(0o644)
    assert run(idle, "t", "true").returncode == 0
    assert idle.log().startswith("before\n") and "serves on" in idle.log()
    assert (idle.ssh_dir / "ssh-mux.log").stat().st_mode & 0o777 == 0o600


@needs_otp
def test_A6_a_daemon_never_grabs_the_terminal_that_started_it(otp):
    """`daemon` typed in a terminal; the question comes where connect runs, and only there."""
    starter = Person(lambda question: otp.bastion.code() + "\r")
    done = subprocess.run([str(otp.binary), "daemon", "--no-listen"], env=otp.env,
                          stdin=starter.slave, stdout=starter.slave, stderr=starter.slave,
                          start_new_session=True, preexec_fn=starter.controlling, timeout=30)
    assert done.returncode == 0
    refused = run(otp, "t", "true", start_new_session=True)
    assert refused.returncode == 255
    person = Person(lambda question: otp.bastion.code() + "\r")
    client = subprocess.Popen(argv(otp, "t", "echo in"), env=otp.env, stdin=person.slave,
                              stdout=subprocess.PIPE, stderr=person.slave,
                              start_new_session=True, preexec_fn=person.controlling)
    assert client.communicate(timeout=60)[0] == b"in\n"
    assert person.typed == 1 and starter.typed == 0 and starter.seen == b""


def test_D1_killed_daemon_is_replaced(idle):
    assert run(idle, "t", "true").returncode == 0
    pid, = idle.daemons()
    kill_quietly(pid)
    poll(lambda: not pathlib.Path(f"/proc/{pid}").exists(), what="its end")
    assert run(idle, "t", "exit 23").returncode == 23
    assert idle.daemons() != [pid]


# ---- who needs no key --------------------------------------------------------------------------


@needs_paramiko
def test_D2_no_key_needed_after_connect(shared):
    with Control(shared) as c:
        assert c.ask(cmd="connect", route="t")["upgrade"] == "frames"
        client = c.ssh()
        client.auth_none("whoever")
        channel = client.open_session()
        channel.exec_command("echo in")
        assert channel.makefile().read() == b"in\n"
        client.close()


@needs_paramiko
def test_L2_a_key_is_needed_after_proxy(shared):
    with Control(shared) as c:
        assert c.ask(cmd="proxy", route="t")["upgrade"] == "frames"
        client = c.ssh()
        with pytest.raises(paramiko.BadAuthenticationType) as e:
            client.auth_none("t")
        assert e.value.allowed_types == ["publickey"]
        client.close()


@needs_paramiko
def test_L2_a_key_is_needed_at_the_port(shared):
    client = paramiko.Transport(("127.0.0.1", shared.port))
    client.start_client(timeout=20)
    with pytest.raises(paramiko.BadAuthenticationType) as e:
        client.auth_none("t")
    assert e.value.allowed_types == ["publickey"]
    client.close()


@pytest.mark.parametrize("request_", [
    {"user": "u"}, {"host": "h"}, {"user": "u", "host": 5}, {"user": "u", "host": "h", "port": 0},
    {"user": "u", "host": "h", "port": 65536}, {"route": 5}, {"route": ""}, {"route": "x" * 256},
    {"user": "u" * 256, "host": "h"}, {}])
def test_S7_malformed_connect(shared, request_):
    with Control(shared) as c:
        answer = c.ask(cmd="connect", **request_)
        assert answer["ok"] is False and answer["code"] == "malformed"
    assert shared.status()["pid"]


@pytest.mark.parametrize("request_", [
    {"user": "-x", "host": "h"}, {"user": "u", "host": "-h"}, {"user": "u", "host": "a;b"},
    {"user": "u$(x)", "host": "h"}, {"user": "u\n", "host": "h"}, {"route": "../t"}])
def test_R3_hostile_names_refused_by_the_daemon(shared, request_):
    with Control(shared) as c:
        answer = c.ask(cmd="connect", **request_)
        assert answer["ok"] is False and answer["code"] == "failed"
