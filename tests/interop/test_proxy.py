# SPDX-License-Identifier: MIT
"""`ssh-mux proxy` as ProxyCommand: the stream is whole, and questions come to where the user is
(B5, A6): the terminal of his ssh, or the SSH_ASKPASS of his environment."""
import fcntl
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import threading
import time

import pytest

import otp_sshd
from masters import socket_of
from peers import USER, descendants, hop, poll, routes_toml, words_of
from serve_terminal import Terminal

PIPE_WIDE = 256 * 1024  # src/os/unix/stream.c

needs_otp = pytest.mark.skipif(otp_sshd.missing() is not None, reason=str(otp_sshd.missing()))


def proxied(mux, route="t", *options):
    """The options that make ssh come through `proxy`."""
    command = " ".join(shlex.quote(str(a)) for a in (mux.binary, "proxy", route))
    return [f"-oProxyCommand={command}", *options]


def start_through(door, mux, command, **streams):
    """A command on route t, through port, proxy, connect, or control: with that alone."""
    if door == "connect":
        argv = [mux.binary, "connect", "-T", "t", command]
    else:
        options = {"port": lambda: (), "proxy": lambda: proxied(mux),
                   "control": lambda: ("-S", str(socket_of(mux)), "-oProxyCommand=false")}[door]()
        argv = mux.argv("t", command, options=options)
    return subprocess.Popen(argv, env=mux.env, stderr=subprocess.PIPE, **streams)


def run(mux, *args, route="t", user="t", options=(), env=None, **kwargs):
    kwargs.setdefault("stdin", None if "input" in kwargs else subprocess.DEVNULL)
    if "input" in kwargs:
        kwargs.pop("stdin")
    return subprocess.run(mux.argv(user, *args, options=[*proxied(mux, route), *options]),
                          capture_output=True, timeout=60, env={**mux.env, **(env or {})}, **kwargs)


@pytest.fixture
def plain(make_mux, make_sshd):
    return make_mux(target=make_sshd())


@pytest.fixture
def otp(keys, cleanup, make_sshd, make_mux):
    """A bastion with key and code, a target, a daemon with no terminal."""
    bastion = cleanup(otp_sshd.OtpSshd(keys, "bastion"))
    target = make_sshd()
    mux = make_mux(routes=routes_toml({"t": hop(target)}, jump=hop(bastion)),
                   known_hosts=bastion.known_hosts() + target.known_hosts())
    mux.bastion = bastion
    return mux


def test_D1_proxy_carries_a_session(plain):
    done = run(plain, "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.returncode) == (b"out\n", 7)
    assert b"err" in done.stderr
    plain.wait_idle()


def test_L11_a_client_whose_login_is_there_is_let_in(plain):
    """The first one is let in once the login is there; one that comes later, as soon as it has
    authenticated."""
    for n in range(3):
        done = run(plain, f"echo {n}")
        assert done.stdout == b"%d\n" % n, (n, done)
    assert len(plain.connections()) == 1


def test_D1_proxy_bulk_both_ways(plain):
    data = os.urandom(8 << 20)
    assert run(plain, "cat", input=data).stdout == data


def reads(pid):
    """Of files, pipes and sockets, so far."""
    for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("syscr:"):
            return int(line.split()[1])
    raise KeyError("syscr")


def is_proxy(pid):
    return b"proxy" in words_of(pid)[1:]


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="reads are not counted here")
@pytest.mark.parametrize("way", ["down", "up"])
def test_B7_proxy_reads_much_at_a_time(plain, way):
    """64 MiB in reads of 4 KiB would be 16384 of them. What a peer writes at a time is 32 KiB."""
    size = 64 << 20
    commands = {"down": f"head -c {size} /dev/zero; cat >/dev/null",
                "up": f"head -c {size} >/dev/null; echo; cat >/dev/null"}
    with subprocess.Popen(plain.argv("t", commands[way], options=proxied(plain)), env=plain.env,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        proxy, = poll(lambda: [p for p in descendants(client.pid) if is_proxy(p)], what="proxy")
        before = reads(plain.pid), reads(proxy)
        if way == "up":
            client.stdin.write(bytes(size))
            client.stdin.flush()
        left = size if way == "down" else len("\n")
        while left:
            piece = client.stdout.read1(1 << 20)
            assert piece
            left -= len(piece)
        daemon, proxy = reads(plain.pid) - before[0], reads(proxy) - before[1]
        client.stdin.close()
        assert client.wait(60) == 0
    assert daemon < 6000 and proxy < 6000, (daemon, proxy)


def pipe_sizes(pid):
    """Of its standard input and output."""
    sizes = []
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY)):
        other = os.open(f"/proc/{pid}/fd/{fd}", flags | os.O_NONBLOCK)
        sizes.append(fcntl.fcntl(other, fcntl.F_GETPIPE_SZ))
        os.close(other)
    return sizes


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="pipes have one size here")
def test_B7_proxy_widens_a_pipe_for_bulk_alone(plain):
    """All pipes of a user share 64 MiB: an idle client takes no more of it than before."""
    with subprocess.Popen(plain.argv("t", "cat", options=proxied(plain)), env=plain.env,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        proxy, = poll(lambda: [p for p in descendants(client.pid) if is_proxy(p)], what="proxy")
        client.stdin.write(b"x")
        client.stdin.flush()
        assert client.stdout.read1(1) == b"x"
        usual = pipe_sizes(proxy)
        assert max(usual) < PIPE_WIDE
        # Nobody reads: all that is between fills, both ways.
        feeder = threading.Thread(target=client.stdin.write, args=(bytes(16 << 20),))
        feeder.start()
        try:
            poll(lambda: pipe_sizes(proxy) == [PIPE_WIDE, PIPE_WIDE], what="wider pipes")
        except BaseException:
            client.kill()
            raise
        left = 16 << 20
        while left:
            left -= len(client.stdout.read1(1 << 20))
        feeder.join()
        client.stdin.close()
        assert client.wait(60) == 0


def test_L3_proxy_unknown_route_is_said(plain):
    done = run(plain, "true", route="nowhere")
    assert done.returncode == 255 and b"unknown route" in done.stderr


def test_L2_proxy_still_wants_a_key(plain, keys):
    other = keys.make("stranger")
    # ssh adds the file of the configuration too; a stranger's alone is refused.
    assert run(plain, "true", options=[f"-oIdentityFile={other}"]).returncode == 0
    config = plain.config_path.read_text().replace(str(plain.local_key), str(other))
    plain.config_path.write_text(config)
    done = run(plain, "true")
    assert done.returncode == 255 and b"Permission denied" in done.stderr


def test_D1_proxy_whose_daemon_does_not_start_says_so(plain):
    """It starts one by itself (test_connect.py), and tells what was in the way."""
    plain.stop()
    plain.routes_path.write_text("[routes.t]\nhost = 5\n")
    done = run(plain, "true")
    assert done.returncode == 255 and b"the daemon did not start" in done.stderr
    assert f"{plain.routes_path}:2:1: [routes.t] key \"host\"".encode() in done.stderr


def test_P6_proxy_killed_mid_stream(plain):
    client = subprocess.Popen(plain.argv("t", "cat /dev/zero", options=proxied(plain)),
                              stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, env=plain.env)
    time.sleep(1)
    client.kill()
    client.wait()
    plain.wait_idle()
    plain.check_works()


@needs_otp
def test_B5_asked_at_the_terminal_of_the_client(otp):
    terminal = Terminal(lambda question: otp.bastion.code() + "\r")
    # BatchMode keeps ssh itself from asking, not its ProxyCommand.
    client = subprocess.Popen(otp.argv("t", "echo in", options=proxied(otp)), env=otp.env,
                              stdin=terminal.slave, stdout=subprocess.PIPE, stderr=terminal.slave,
                              start_new_session=True, preexec_fn=terminal.controlling)
    assert client.communicate(timeout=60)[0] == b"in\n"
    assert terminal.typed == 1 and b"ssh-mux: login to" in terminal.seen
    assert otp.bastion.used() == 1
    # One code for all who come later, whichever way they come.
    assert run(otp, "echo again").stdout == b"again\n"
    otp.check_works()
    assert otp.bastion.used() == 1


@needs_otp
def test_A6_ctrl_c_in_the_clients_terminal_ends_the_login(otp):
    terminal = Terminal(lambda question: "\x03")
    client = subprocess.Popen(otp.argv("t", "echo in", options=proxied(otp)), env=otp.env,
                              stdin=terminal.slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              start_new_session=True, preexec_fn=terminal.controlling)
    _, err = client.communicate(timeout=20)
    assert client.returncode == 255 and b"permission denied" in err.lower()
    otp.wait_idle()
    assert otp.connections() == [] or not otp.connections()


@needs_otp
def test_B5_asked_by_ssh_askpass(otp, tmp_path):
    """As VS Code starts it: no terminal, an SSH_ASKPASS in the environment."""
    log = tmp_path / "asked"
    askpass = tmp_path / "askpass"
    askpass.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >>{log}\nprintf "%s\\n" "$CODE"\n')
    askpass.chmod(0o700)
    done = run(otp, "echo in", env={"SSH_ASKPASS": str(askpass), "CODE": otp.bastion.code()},
               start_new_session=True)
    assert done.stdout == b"in\n", done
    # A14: what OpenSSH itself would ask, since editors look for that.
    assert log.read_text().startswith(f"({USER}@127.0.0.1) One-time password")
    assert otp.bastion.used() == 1


@needs_otp
def test_A6_askpass_that_refuses_is_a_denial(otp, tmp_path):
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\nexit 1\n")
    askpass.chmod(0o700)
    done = run(otp, "true", env={"SSH_ASKPASS": str(askpass)}, start_new_session=True)
    assert done.returncode == 255 and b"permission denied" in done.stderr.lower()
    assert otp.bastion.used() == 0


@needs_otp
def test_A6_nobody_to_ask_is_said(otp):
    done = run(otp, "true", start_new_session=True)
    assert done.returncode == 255 and b"ssh-mux proxy" in done.stderr


@needs_otp
def test_P7_two_clients_one_question_and_it_moves_on(otp, tmp_path):
    """The client that shows the question dies; the other is asked, and both need one code."""
    first = Terminal(lambda question: None)
    dying = subprocess.Popen(otp.argv("t", "echo first", options=proxied(otp)), env=otp.env,
                             stdin=first.slave, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             start_new_session=True, preexec_fn=first.controlling)
    deadline = time.monotonic() + 20
    while b"One-time password" not in first.seen and time.monotonic() < deadline:
        time.sleep(0.1)
    second = Terminal(lambda question: otp.bastion.code() + "\r")
    client = subprocess.Popen(otp.argv("t", "echo second", options=proxied(otp)), env=otp.env,
                              stdin=second.slave, stdout=subprocess.PIPE, stderr=second.slave,
                              start_new_session=True, preexec_fn=second.controlling)
    time.sleep(1)
    assert second.typed == 0  # it waits for the same question
    os.killpg(dying.pid, signal.SIGKILL)
    dying.wait()
    assert client.communicate(timeout=30)[0] == b"second\n"
    assert second.typed == 1 and otp.bastion.used() == 1


@needs_otp
def test_L11_code_typed_late_through_proxy(otp):
    def late(question):
        time.sleep(31)
        return otp.bastion.code() + "\r"

    terminal = Terminal(late)
    client = subprocess.Popen(
        otp.argv("t", "echo in", options=proxied(otp, "t", "-oConnectTimeout=5",
                                                 "-oServerAliveInterval=2",
                                                 "-oServerAliveCountMax=1")),
        env=otp.env, stdin=terminal.slave, stdout=subprocess.PIPE, stderr=terminal.slave,
        start_new_session=True, preexec_fn=terminal.controlling)
    assert client.communicate(timeout=60)[0] == b"in\n"


@needs_otp
def test_A6_what_a_person_sees_in_tmux(otp, tmp_path):
    """The question on a real screen: who asks, no code shown, the terminal usable afterwards."""
    if shutil.which("tmux") is None:
        pytest.skip("no tmux")
    socket = ["tmux", "-L", f"smx-{os.getpid()}", "-f", "/dev/null"]
    argv = shlex.join(map(str, otp.argv("t", "echo arrived", options=proxied(otp))))

    def tmux(*args):
        return subprocess.run([*socket, *args], capture_output=True, text=True, check=True,
                              env={**otp.env, "TERM": "screen"}).stdout

    def screen(text):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            shown = tmux("capture-pane", "-p", "-t", "t")
            if text in shown:
                return shown
            time.sleep(0.2)
        raise AssertionError(tmux("capture-pane", "-p", "-t", "t"))

    tmux("new-session", "-d", "-s", "t", "-x", "100", "-y", "30", "sh")
    try:
        tmux("send-keys", "-t", "t", f"PS1='ready> '; clear; {argv}", "Enter")
        shown = screen("One-time password")
        assert "ssh-mux: login to" in shown
        code = otp.bastion.code()
        tmux("send-keys", "-t", "t", code, "Enter")
        shown = screen("arrived")
        assert code not in shown
        tmux("send-keys", "-t", "t", "echo echo-is-$((40 + 2))", "Enter")
        shown = screen("echo-is-42")
        assert "echo echo-is-" in shown  # what is typed is seen again
    finally:
        subprocess.run([*socket, "kill-server"], capture_output=True)
