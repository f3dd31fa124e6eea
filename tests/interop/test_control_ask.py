# SPDX-License-Identifier: MIT
"""Questions for clients of the control sockets (W2): a real one-time code through PAM, asked in the
terminal that ran `ssh`, by its SSH_ASKPASS, or by ssh itself."""
import itertools
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import time

import pytest

import otp_sshd
import peers
from masters import socket_of
from peers import SSH, USER, hop, poll, routes_toml, secret
from test_pinentry import Screen

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
        return [p for p in peers.descendants(self.mux.pid)
                if b"--terminal" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()]


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
    assert lines[at + 1].startswith("One-time password"), lines
    assert lines[at + 2:] == ["one", "two", "ready>"], lines


def test_W2_a_terminal_in_raw_mode_is_no_staircase(world):
    """ONLCR is off, as another program left it; and so it is again afterwards."""
    screen = world.screen()
    run(screen, f"stty -onlcr; {world.line('true')}; stty -a | tr -d '\\n' | grep -o '.onlcr'; "
                "stty sane")
    screen.wait(ASK)
    lines = screen.wait("One-time password").splitlines()
    assert any(line.startswith("One-time password") for line in lines), lines
    screen.type(world.code(), "Enter")
    screen.wait("-onlcr")
    screen.check_usable()


def test_W2_a_wrong_code_is_said(world):
    screen = world.screen()
    run(screen, world.line("echo arrived-$((40 + 2))"))
    screen.wait(ASK)
    screen.type("000000", "Enter")
    screen.wait("ssh-mux: The answer before was not accepted.")
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
