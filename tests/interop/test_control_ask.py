# SPDX-License-Identifier: MIT
"""Questions for clients of the control sockets (W2): a real one-time code through PAM, asked in the
terminal that ran `ssh`, by its SSH_ASKPASS, or by ssh itself."""
import itertools
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

import pytest

import otp_sshd
import peers
from masters import Client, client_config, socket_of
from peers import SSH, USER, hop, poll, routes_toml, secret
from test_pinentry import Screen
from test_proxy import proxied

pytestmark = [
    pytest.mark.skipif(otp_sshd.missing() is not None, reason=str(otp_sshd.missing())),
    pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed"),
]

counter = itertools.count()
ASK = "ssh-mux: login to"


class Screen2(Screen):
    """One of several terminals."""

    def __init__(self, env, shell="sh"):
        self.env = {**env, "TERM": "screen", "LC_ALL": "C.UTF-8"}
        self.socket = ["tmux", "-L", f"smx-{os.getpid()}-{next(counter)}", "-f", "/dev/null"]
        self.run("new-session", "-d", "-s", "t", "-x", "100", "-y", "30", shell)

    def tty(self):
        return self.run("display-message", "-p", "-t", "t", "#{pane_tty}").strip()


class World:
    """A server that wants a key and a code, ssh-mux, and a client's configuration by which ssh
    could log in without ssh-mux as well."""

    def __init__(self, keys, cleanup, options=(), **sshd_options):
        self.cleanup = cleanup
        self.bastion = cleanup(otp_sshd.OtpSshd(keys, "bastion", **sshd_options))
        self.mux = cleanup(peers.Mux(keys, routes=routes_toml({"t": hop(self.bastion)}),
                                     known_hosts=self.bastion.known_hosts(),
                                     env={"SSH_ASKPASS": "", "DISPLAY": ""}))
        self.dir = self.mux.dir
        known = self.dir / "client_known"
        known.write_text(self.bastion.known_hosts())
        self.config = self.dir / "client_config"
        self.config.write_text(f"""Host t
  HostName 127.0.0.1
  Port {self.bastion.port}
  User {USER}
  IdentityFile {keys.make('remote')}
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {known}
  GlobalKnownHostsFile none
  UpdateHostKeys no
  ControlPath {self.socket()}
""" + "".join(f"  {o}\n" for o in options))
        self.env = dict(self.mux.env)
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE"):
            self.env.pop(name, None)

    def socket(self, route="t"):
        poll(lambda: list(pathlib.Path(self.mux.run_dir).glob(f"ssh-mux/d*/{route}=*")), 20)
        return socket_of(self.mux, route)

    def argv(self, *args, options=()):
        return [SSH, "-F", str(self.config), *options, "t", *args]

    def line(self, *args, options=()):
        return shlex.join(map(str, self.argv(*args, options=options)))

    def bash(self):
        return self.screen(shell="bash --norc")

    def screen(self, env=None, shell="sh"):
        screen = self.cleanup(Screen2({**self.env, **(env or {})}, shell))
        screen.type("PS1='ready> '; clear", "Enter")
        screen.wait("ready>")
        return screen

    def code(self):
        return self.bastion.code()

    def used(self):
        return self.bastion.used()

    def is_asking(self):
        """Whether a process of ours asks somewhere."""
        return [p for p in peers.descendants(self.mux.pid) if b"--terminal" in peers.words_of(p)]


@pytest.fixture
def world(keys, cleanup):
    return World(keys, cleanup)


def run(screen, command):
    screen.type(command, "Enter")


def test_W2_the_code_is_asked_in_the_terminal_that_ran_ssh(world):
    screen = world.screen()
    run(screen, world.line("echo arrived-$((40 + 2))") + "; echo code=$?")
    screen.wait(ASK, "One-time password")
    code = world.code()
    screen.type(code, "Enter")
    shown = screen.wait("arrived-42", "code=0")
    print(shown)
    assert code not in shown and world.used() == 1
    screen.check_usable()


def test_W2_A14_the_layout_is_right(world):
    """Each line where ssh would put it, and the session's output below."""
    screen = world.screen()
    run(screen, world.line("echo one; echo two"))
    screen.wait(ASK, "One-time password")
    screen.type(world.code(), "Enter")
    lines = screen.wait("two\nready>").rstrip().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(ASK))
    assert lines[at] == f"{ASK} {USER}@127.0.0.1"
    assert lines[at + 1].startswith(f"({USER}@127.0.0.1) One-time password"), lines
    assert lines[at + 2:] == ["one", "two", "ready>"], lines


def test_W2_a_terminal_in_raw_mode_is_no_staircase(world):
    """ONLCR is off, as another program left it; and so it is again afterwards."""
    screen = world.screen()
    run(screen, f"stty -onlcr; {world.line('true')}; stty -a | tr -d '\\n' | grep -o '.onlcr'; "
                "stty sane")
    screen.wait(ASK)
    lines = screen.wait("One-time password").splitlines()
    assert any(line.startswith(f"({USER}@127.0.0.1) One-time") for line in lines), lines
    screen.type(world.code(), "Enter")
    screen.wait("-onlcr")
    screen.check_usable()


def test_W2_a_wrong_code_is_said(world):
    screen = world.screen()
    run(screen, world.line("echo arrived-$((40 + 2))"))
    screen.wait(ASK)
    screen.type("000000", "Enter")
    screen.wait("ssh-mux: that answer was not accepted (try 2 of 3)")
    shown = screen.wait("One-time password")
    assert shown.count(ASK) == 2
    screen.type(world.code(), "Enter")
    screen.wait("arrived-42")
    screen.check_usable()


def test_W2_three_wrong_codes_are_the_end_and_ssh_asks_no_more(world):
    """As plain ssh ends: 255, and the server has seen three attempts, not six."""
    screen = world.screen()
    run(screen, world.line("true") + "; echo code=$?")
    for n in (1, 2, 3):
        poll(lambda: screen.run("capture-pane", "-p", "-t", "t").count(ASK) == n, 30, "question")
        screen.type("000000", "Enter")
    shown = screen.wait("code=255")
    assert "permission denied" in shown and shown.count("One-time password") == 3
    screen.check_usable()


def test_W2_input_from_a_pipe_and_standard_error_at_the_terminal(world):
    """`echo x | ssh web cat`: plain ssh asks at the controlling terminal, whatever stdin is."""
    screen = world.screen()
    run(screen, f"echo piped-$((40 + 2)) | {world.line('cat')}; echo code=$?")
    screen.wait(ASK)
    screen.type(world.code(), "Enter")
    screen.wait("piped-42", "code=0")
    screen.check_usable()


def test_W2_no_stream_is_the_terminal(world):
    screen = world.screen()
    run(screen, f"{world.line('cat')} </etc/hostname >{world.dir}/out 2>{world.dir}/err; "
                "echo code=$?")
    screen.wait(ASK)
    screen.type(world.code(), "Enter")
    screen.wait("code=0")
    assert (world.dir / "out").read_bytes() == pathlib.Path("/etc/hostname").read_bytes()
    assert (world.dir / "err").read_bytes() == b""
    screen.check_usable()


@pytest.mark.parametrize("how", ["ours", "plain"])
def test_W2_A17_ctrl_c_ends_the_client_as_it_does_plain_ssh(world, how):
    screen = world.bash()
    options = ["-o", "ControlPath=none"] if how == "plain" else []
    run(screen, world.line("true", options=options) + "; echo not this")
    screen.wait("One-time password")
    screen.type("C-c")
    shown = screen.wait("\nready>")
    assert "not this" not in shown.split("One-time")[1] and "denied" not in shown
    screen.type("echo code=$?", "Enter")
    screen.wait("code=130")
    screen.check_usable()
    poll(lambda: not world.mux.status()["connections"], 20, "the login's end")
    assert not world.is_asking() and world.used() == 0


def test_W2_ctrl_z_and_fg(world):
    screen = world.bash()
    run(screen, world.line("echo arrived-$((40 + 2))"))
    screen.wait(ASK, "One-time password")
    screen.type("C-z")
    screen.wait("Stopped")
    screen.check_usable()  # the shell's keys are the shell's
    screen.type("clear; fg", "Enter")
    poll(lambda: "Stopped" not in (shown := screen.run("capture-pane", "-p", "-t", "t"))
         and ASK in shown and "One-time" in shown, 30, "the question again")
    screen.type(world.code(), "Enter")
    screen.wait("arrived-42")
    screen.check_usable()
    assert world.used() == 1


# ---- whoever dies, the terminal is as it was -------------------------------------------------------


def modes(screen):
    return subprocess.run(["stty", "-g", "-F", screen.tty()], capture_output=True, text=True,
                          check=True).stdout


def client_of(screen):
    """The ssh that was started there."""
    pane = int(screen.run("display-message", "-p", "-t", "t", "#{pane_pid}"))

    def find():
        for pid in peers.descendants(pane):
            try:
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "ssh\n":
                    return pid
            except OSError:
                pass
        return None

    return poll(find, 30, "ssh")


SH, BASH, SLOW = "sh", "bash --norc", pytest.mark.slow


@pytest.mark.parametrize("victim, sig, shell", [
    ("client", signal.SIGKILL, BASH), ("asker", signal.SIGKILL, SH),
    ("daemon", signal.SIGTERM, SH), ("daemon", signal.SIGKILL, BASH),
    *(pytest.param(*case, marks=SLOW) for case in (
        ("client", signal.SIGKILL, SH), ("client", signal.SIGHUP, SH),
        ("client", signal.SIGHUP, BASH), ("asker", signal.SIGKILL, BASH),
        ("daemon", signal.SIGTERM, BASH), ("daemon", signal.SIGKILL, SH)))])
def test_W2_the_terminal_is_put_back_whoever_dies(world, victim, sig, shell):
    screen = world.screen(shell=shell)
    screen.type("stty -g >" + str(world.dir / "before"), "Enter")
    poll((world.dir / "before").exists, 20)
    run(screen, world.line("echo arrived-$((40 + 2))"))
    screen.wait(ASK, "One-time password")
    while_asking = modes(screen)
    assert while_asking != (world.dir / "before").read_text()
    if victim == "daemon":
        world.mux.expect_clean = sig == signal.SIGTERM
        os.kill(world.mux.pid, sig)
        # ssh goes on by itself, and asks in its own words.
        poll(lambda: screen.run("capture-pane", "-p", "-t", "t").count("One-time") == 2, 30)
        screen.type(world.code(), "Enter")
        screen.wait("arrived-42")
    elif victim == "client":
        os.kill(client_of(screen), sig)
    else:
        asker, = world.is_asking()
        os.kill(asker, sig)
        # As somebody who can't be asked: ssh goes on by itself.
        poll(lambda: screen.run("capture-pane", "-p", "-t", "t").count("One-time") == 2, 30)
        screen.type("C-c")
    screen.wait("\nready>")
    screen.check_usable()
    screen.type("stty -g >" + str(world.dir / "after"), "Enter")
    poll((world.dir / "after").exists, 20)
    poll((world.dir / "after").read_text, 20)
    assert (world.dir / "after").read_text() == (world.dir / "before").read_text()
    if victim != "daemon":
        poll(lambda: not world.is_asking(), 20, "the end of the asking process")
        assert world.mux.alive()


def test_W2_modes_that_somebody_else_set_are_his(world):
    """As a shell does when its job was killed: what was there before would spoil its line editor."""
    screen = world.screen()
    run(screen, world.line("true"))
    screen.wait(ASK, "One-time password")
    subprocess.run(["stty", "-F", screen.tty(), "-icanon", "-echo", "-ixon", "min", "2"], check=True)
    theirs = modes(screen)
    os.kill(client_of(screen), signal.SIGKILL)
    poll(lambda: not world.is_asking(), 20, "the end of the asking process")
    assert modes(screen) == theirs


def test_W2_descriptors_stay_blocking_while_asked(world):
    screen = world.screen()
    run(screen, world.line("true"))
    screen.wait(ASK)
    pid = client_of(screen)
    for fd in (0, 1, 2):
        flags = int(re.search(r"flags:\s*(\d+)", pathlib.Path(
            f"/proc/{pid}/fdinfo/{fd}").read_text()).group(1), 8)
        assert not flags & os.O_NONBLOCK, (fd, oct(flags))
    screen.type(world.code(), "Enter")
    screen.wait("\nready>")


# ---- several who wait ------------------------------------------------------------------------------


def test_A17_two_terminals_one_question(world):
    first, second = world.screen(), world.screen()
    run(first, world.line("echo first-$((40 + 2))"))
    first.wait(ASK)
    run(second, world.line("echo second-$((40 + 2))"))
    shown = second.wait("ssh-mux: waiting for the login to")
    assert ASK not in shown
    first.type(world.code(), "Enter")
    first.wait("first-42")
    second.wait("second-42")
    assert world.used() == 1
    for screen in (first, second):
        screen.check_usable()


def test_A17_ctrl_c_in_one_leaves_the_other_its_login(world):
    first, second = world.screen(), world.screen()
    run(first, world.line("echo first-$((40 + 2))"))
    first.wait(ASK)
    run(second, world.line("echo second-$((40 + 2))"))
    second.wait("ssh-mux: waiting for the login to")
    first.type("C-c")
    first.wait("\nready>")
    second.wait(ASK, "One-time password")
    second.type(world.code(), "Enter")
    second.wait("second-42")
    assert "first-42" not in first.run("capture-pane", "-p", "-t", "t")
    assert world.used() == 1 and world.mux.log().count("taken by the server") == 1
    for screen in (first, second):
        screen.check_usable()


def test_A17_ctrl_c_at_connect_leaves_a_terminal_its_login(world):
    """The same for an attached client."""
    first, second = world.screen(), world.screen()
    run(first, shlex.join([world.mux.binary, "connect", "t", "echo", "first"]))
    first.wait(ASK)
    run(second, world.line("echo second-$((40 + 2))"))
    second.wait("ssh-mux: waiting for the login to")
    first.type("C-c")
    first.wait("\nready>")
    second.wait(ASK, "One-time password")
    run(first, shlex.join(map(str, world.mux.argv("t", "echo third-$((40 + 2))",
                                                  options=proxied(world.mux)))))
    first.wait("ssh-mux: waiting for the login to")
    second.type(world.code(), "Enter")
    second.wait("second-42")
    first.wait("third-42")
    assert world.used() == 1 and world.mux.log().count("taken by the server") == 1


def test_W2_two_questions_at_one_terminal_come_one_after_the_other(keys, cleanup):
    world = World(keys, cleanup)
    other = cleanup(otp_sshd.OtpSshd(keys, "other"))
    known = world.bastion.known_hosts() + other.known_hosts().replace("127.0.0.1", "localhost")
    world.mux.put("known_hosts", known)
    world.mux.put("ssh-mux-routes.toml", routes_toml({
        "t": hop(world.bastion), "u": dict(hop(other), host="localhost")}))
    os.kill(world.mux.pid, signal.SIGHUP)
    config = world.config.read_text()
    world.config.write_text(config + config.replace("Host t", "Host u").replace(
        str(world.socket()), str(world.socket("u"))))
    screen = world.screen()
    left, go = world.line("echo left-$((40 + 2))"), world.dir / "go"
    right = left.replace(" t ", " u ").replace("echo left", "cat; echo right")
    # One after the other: PAM's wrapper can't begin for two servers at once.
    run(screen, f"{left} | (until [ -e {go} ]; do sleep 0.1; done; {right})")
    screen.wait(ASK, "One-time")
    go.touch()
    poll(lambda: 'route="u" publickey' in world.mux.log(), 30, "the other login")
    time.sleep(1)
    assert screen.run("capture-pane", "-p", "-t", "t").count(ASK) == 1
    screen.type(world.code(), "Enter")
    screen.wait(f"{ASK} {USER}@localhost")
    poll(lambda: screen.run("capture-pane", "-p", "-t", "t").count("One-time") == 2, 30)
    screen.type(other.code(), "Enter")
    screen.wait("left-42", "right-42")
    screen.check_usable()


# ---- without a terminal ----------------------------------------------------------------------------


def askpass(world, answer):
    """(environment, what it was asked): a program that notes what ssh tells it."""
    program, asked = world.dir / "askpass", world.dir / "asked"
    asked.write_text("")
    program.write_text(f'#!/bin/sh\nprintf "%s|%s|%s\\n" "$1" "${{SSH_ASKPASS_PROMPT-unset}}" '
                       f'"$OF_THE_CLIENT" >>{asked}\n{answer}\n')
    program.chmod(0o700)
    return {"SSH_ASKPASS": str(program), "DISPLAY": ":77", "OF_THE_CLIENT": "yes"}, asked


def without_terminal(world, *args, env=None, options=()):
    return subprocess.run(world.argv(*args, options=options), env={**world.env, **(env or {})},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          start_new_session=True, check=False)


PLAIN = ["-o", "ControlPath=none"]


FAST = [("DISPLAY", None), (None, "force"), (None, "prefer"), ("DISPLAY", "never")]


@pytest.mark.parametrize("display, require", FAST + [
    pytest.param(display, require, marks=SLOW)
    for display in ("DISPLAY", "WAYLAND_DISPLAY", None)
    for require in (None, "force", "prefer", "never", "nonsense")
    if (display, require) not in FAST])
def test_W2_A14_askpass_of_the_client_as_by_ssh_itself(world, require, display):
    """Whether it is run, in whose environment, and what it is asked: the same."""
    env, asked = askpass(world, 'echo "$CODE"')
    del env["DISPLAY"]
    env.update({display: ":77"} if display else {})
    env.update({"SSH_ASKPASS_REQUIRE": require} if require else {})
    done, words = [], []
    for options in (PLAIN, []):
        asked.write_text("")
        done.append(without_terminal(world, "echo in; exit 3", env={**env, "CODE": world.code()},
                                     options=options))
        words.append(asked.read_text())
    if display == "WAYLAND_DISPLAY" and done[0].returncode != 3:
        return  # an ssh that does not know it yet
    assert done[1].returncode == done[0].returncode
    assert done[1].stdout == done[0].stdout
    assert words[1] == words[0]
    if done[0].returncode == 3:
        assert done[1].stderr == done[0].stderr and "|unset|yes" in words[1]
        assert world.mux.status()["connections"]
    else:
        assert done[1].stderr.endswith(done[0].stderr)


def test_W2_askpass_that_is_cancelled_is_not_asked_again(world):
    env, asked = askpass(world, "exit 1")
    done = without_terminal(world, "true", env=env)
    assert done.returncode == 255 and "permission denied" in done.stderr.lower()
    assert len(asked.read_text().splitlines()) == 1


def test_W2_askpass_that_is_wrong_three_times(world):
    env, asked = askpass(world, "echo 000000")
    plain, ours = (without_terminal(world, "true", env=env, options=o) for o in (PLAIN, []))
    assert plain.returncode == ours.returncode == 255
    words = asked.read_text().splitlines()
    assert len(words) == 6 and words[:3] == words[3:]


def test_W2_unknown_host_key_by_askpass(keys, cleanup):
    """An editor looks for the words."""
    world = World(keys, cleanup)
    world.mux.put("known_hosts", "")
    (world.dir / "client_known").write_text("")
    env, asked = askpass(world, 'case $1 in *yes/no*) echo yes;; *) echo "$CODE";; esac')
    done = without_terminal(world, "echo in", env={**env, "CODE": world.code()})
    assert done.stdout == "in\n", done
    words = asked.read_text()
    assert words.startswith("The authenticity of host '[127.0.0.1]:")
    assert "can't be established" in words and "key fingerprint is SHA256:" in words
    assert "Are you sure you want to continue connecting (yes/no/[fingerprint])? |unset" in words


def test_W2_nobody_to_ask_and_ssh_goes_on_by_itself(world):
    plain, ours = (without_terminal(world, "true", options=o) for o in (PLAIN, []))
    assert ours.returncode == plain.returncode == 255
    assert ours.stderr.endswith(plain.stderr) and "Permission denied" in plain.stderr


@pytest.mark.parametrize("how", [["-o", "BatchMode=yes"],
                                 pytest.param(["-oBatchMode=yes"], marks=SLOW),
                                 pytest.param(["-o", "batchmode yes"], marks=SLOW),
                                 pytest.param(["-o", "BatchMode = true"], marks=SLOW)])
def test_W7_batch_mode_is_never_asked(world, how):
    env, asked = askpass(world, "echo 1")
    screen = world.screen(env={**env, "SSH_ASKPASS_REQUIRE": "prefer"})
    run(screen, world.line("true", options=how) + " 2>&1 | tail -1; echo over-$((40 + 2))")
    shown = screen.wait("over-42")
    assert "Permission denied" in shown and ASK not in shown and not asked.read_text()
    run(screen, world.line("true", options=["-o", "BatchMode=no"]))  # a person is
    poll(asked.read_text, 20)


@pytest.mark.parametrize("where", ["at a terminal", "without one"])
def test_W7_batch_mode_of_a_configuration_is_never_asked(keys, cleanup, where):
    """Which no word of the protocol tells, and no argument."""
    world = World(keys, cleanup, options=["BatchMode yes"])
    env, asked = askpass(world, "echo 1")
    if where == "at a terminal":
        screen = world.screen()
        run(screen, world.line("true") + " 2>&1 | tail -1; echo over-$((40 + 2))")
        shown = screen.wait("over-42")
        assert "Permission denied" in shown and ASK not in shown
    else:
        done = without_terminal(world, "true", env=env)
        assert done.returncode == 255 and "Permission denied" in done.stderr
    assert not asked.read_text() and "has BatchMode" in world.mux.log()


@pytest.mark.parametrize("where", ["argument", "configuration"])
def test_W7_connect_timeout_is_what_it_is_to_plain_ssh(keys, cleanup, make_sshd, where):
    """A server that says nothing: ssh-mux itself would wait for half a minute."""
    silent = cleanup(Silent())
    mux = cleanup(peers.Mux(keys, routes=routes_toml({"t": hop(silent)}), known_hosts=""))
    poll(lambda: list(pathlib.Path(mux.run_dir).glob("ssh-mux/d*/t=*")), 20)
    config = mux.dir / "config"
    config.write_text(f"Host t\n  HostName 127.0.0.1\n  Port {silent.port}\n  User {USER}\n"
                      f"  UserKnownHostsFile {mux.dir}/known\n" +
                      ("  ConnectTimeout 3\n" if where == "configuration" else ""))
    options = ["-o", "ConnectTimeout=3"] if where == "argument" else []
    ends = []
    for path in ("none", socket_of(mux)):
        began = time.monotonic()
        done = subprocess.run([SSH, "-F", str(config), *options, "-o", f"ControlPath={path}", "t",
                               "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, env=mux.env, start_new_session=True, check=False)
        ends.append(time.monotonic() - began)
        assert done.returncode == 255 and "timed out" in done.stderr, done
    assert 3 <= ends[1] < ends[0] + 10, ends


class Silent:
    """Takes connections, and says nothing."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(50)
        self.port = self.sock.getsockname()[1]

    def stop(self):
        self.sock.close()


def test_W7_batch_mode_does_not_make_the_daemon_ask(keys, cleanup, tmp_path):
    """Nor is anybody asked in the daemon's own places for such a client (A6)."""
    world = World(keys, cleanup)
    pinentry = tmp_path / "pinentry"
    pinentry.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    pinentry.chmod(0o700)
    world.mux.put("ssh-mux-routes.toml", routes_toml({"t": hop(world.bastion)},
                                                     top={"pinentry": str(pinentry)}))
    os.kill(world.mux.pid, signal.SIGHUP)
    poll(lambda: "routes read" in world.mux.log() or "re-read" in world.mux.log()
         or "reload" in world.mux.log(), 20)
    assert without_terminal(world, "true", options=["-o", "BatchMode=yes"]).returncode == 255
    assert not (tmp_path / "asked").exists()
    world.mux.forget_failures()
    assert without_terminal(world, "true").returncode == 255
    assert (tmp_path / "asked").exists(), world.mux.log()


def new_routes(world, top=None, **route):
    """Other ones than the world has, once they are read."""
    since = len(world.mux.log())
    world.mux.put("ssh-mux-routes.toml", routes_toml({"t": hop(world.bastion, **route)}, top=top))
    os.kill(world.mux.pid, signal.SIGHUP)
    poll(lambda: "routes re-read from" in world.mux.log()[since:], 20)


@pytest.mark.parametrize("how", ["-R", "-N -R", "-N -L"])
def test_W2_a_forward_that_needs_a_login_asks_as_a_session_does(world, how):
    """At the terminal, once, and ssh does not go on by itself."""
    new_routes(world, remote_forwards=["localhost:*"], allow_remote_loopback_any_port=True)
    port, screen = peers.free_port(), world.screen()
    options = [*how.split(), f"{port}:127.0.0.1:{world.bastion.port}"]
    command = [] if "-N" in how else ["echo arrived-$((40 + 2)); sleep 60"]
    run(screen, world.line(*command, options=options))
    screen.wait(ASK, "One-time password")
    screen.type(world.code(), "Enter")
    if command:
        screen.wait("arrived-42")
    poll(lambda: peers.listening(port) and world.used(), 20, "the forward")
    assert world.used() == 1 and len(world.mux.connections()) == 1
    screen.type("C-c")
    screen.wait("ready>")
    poll(lambda: not peers.listening(port), 20, "the forward's end")
    screen.check_usable()


def test_W2_ssh_N_whose_codes_were_wrong_asks_no_more(world):
    new_routes(world, allow_remote_loopback_any_port=True)
    screen = world.screen()
    run(screen, world.line(options=["-N", "-L", f"{peers.free_port()}:127.0.0.1:1"]) + "; echo code=$?")
    for n in (1, 2, 3):
        poll(lambda: screen.run("capture-pane", "-p", "-t", "t").count(ASK) == n, 30, "question")
        screen.type("000000", "Enter")
    shown = screen.wait("code=255")
    assert "permission denied" in shown and shown.count("One-time password") == 3
    screen.check_usable()


@pytest.mark.parametrize("how", ["-R", "-N -L"])
def test_W7_batch_mode_of_a_forward_makes_nobody_ask(keys, cleanup, tmp_path, how):
    world = World(keys, cleanup)
    pinentry = tmp_path / "pinentry"
    pinentry.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    pinentry.chmod(0o700)
    new_routes(world, top={"pinentry": str(pinentry)}, remote_forwards=["localhost:*"],
               allow_remote_loopback_any_port=True)
    options = [*how.split(), f"{peers.free_port()}:127.0.0.1:1"]
    screen = world.screen()
    run(screen, world.line("true", options=["-o", "BatchMode=yes", *options]) + "; echo code=$?")
    screen.wait("code=255")
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("how", ["ours", "plain"])
def test_W7_a_job_in_the_background_is_not_asked(world, how):
    """It is stopped as plain ssh is, and the shell's keys stay the shell's."""
    screen = world.bash()
    run(screen, "set -m; " + world.line("true", options=PLAIN if how == "plain" else []) + " &")
    poll(lambda: client_is(screen, "T"), 30, "stopped")
    assert ASK not in screen.run("capture-pane", "-p", "-t", "t")
    screen.check_usable()
    assert not world.is_asking()


def client_is(screen, state):
    return re.search(r"^State:\s*" + state, pathlib.Path(
        f"/proc/{client_of(screen)}/status").read_text(), re.M)


def test_W7_f_goes_to_the_background_after_the_login(world):
    screen = world.screen()
    run(screen, world.line("sleep 1; touch", str(world.dir / "late"), options=["-f"])
        + "; echo back=$?")
    shown = screen.wait(ASK, "One-time password")
    assert "back=" not in shown.replace("back=$?", "")
    screen.type(world.code(), "Enter")
    screen.wait("back=0")
    screen.check_usable()
    poll((world.dir / "late").exists, 20, "what was to run")
    assert world.used() == 1


@pytest.mark.parametrize("how", ["socket", "plain"])
def test_W7_f_returns_while_its_command_runs(keys, cleanup, how):
    """As plain ssh does, whatever the client's version: 0 at once, and the command goes on with the
    streams that it was given."""
    server = cleanup(peers.Sshd(keys, "target"))
    mux = cleanup(peers.Mux(keys, routes=routes_toml({"t": hop(server)}),
                            known_hosts=server.known_hosts()))
    client = Client(client_config(mux.dir / "client", server, keys),
                    socket_of(mux) if how == "socket" else "none")
    assert client.ssh("true", timeout=30).returncode == 0
    go, ended, out = mux.dir / "go", mux.dir / "ended", mux.dir / "out"
    command = f"echo begun; while ! [ -e {go} ]; do sleep 0.1; done; echo more; touch {ended}; exit 3"
    with open(out, "wb") as f:
        done = client.ssh(command, options=["-f"], timeout=15, stdout=f, stderr=subprocess.DEVNULL)
    assert done.returncode == 0 and not ended.exists()
    if how == "socket":
        poll(lambda: out.read_bytes() == b"begun\n", 20)
        assert server.logins() == 1
    go.touch()
    poll(ended.exists, 20, "the end of the command")
    poll(lambda: out.read_bytes() == b"begun\nmore\n", 20)
    if how == "socket":
        mux.wait_idle()
        poll(lambda: not [g for g in mux.status()["clients"]], 20)


# ---- one code for all doors ------------------------------------------------------------------------


def test_W2_one_code_then_20_calls_through_all_doors(world):
    screen = world.screen()
    run(screen, world.line("echo arrived-$((40 + 2))"))
    screen.wait(ASK)
    screen.type(world.code(), "Enter")
    screen.wait("arrived-42")
    for n in range(5):
        for done in (
            without_terminal(world, f"echo {n}"),
            subprocess.run(world.mux.argv("t", f"echo {n}", options=proxied(world.mux)), env=world.env,
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                           start_new_session=True, check=False),
            world.mux.ssh("t", f"echo {n}", text=True),
            subprocess.run([world.mux.binary, "connect", "t", "echo", str(n)], env=world.env,
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                           start_new_session=True, check=False),
        ):
            assert (done.stdout, done.returncode) == (f"{n}\n", 0), done
    assert world.used() == 1
