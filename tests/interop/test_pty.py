# SPDX-License-Identifier: MIT
"""Terminals: modes, sizes, signals (L9)."""
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

import pytest

from peers import poll

pytestmark = pytest.mark.remote_tty


class Terminal:
    """A program on a pseudo-terminal of ours."""

    def __init__(self, argv, rows=24, cols=80, xpixel=0, ypixel=0, setup=None, env=None):
        self.master, slave = pty.openpty()
        self.resize(rows, cols, xpixel, ypixel)
        if setup:
            setup(slave)
        self.proc = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=dict(env or os.environ, TERM="xterm-256color"),
        )
        os.close(slave)
        self.seen = b""

    def resize(self, rows, cols, xpixel=0, ypixel=0):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, xpixel, ypixel))

    def read_until(self, pattern, timeout=20):
        """Reads until the regular expression is seen; returns its match."""
        deadline = time.monotonic() + timeout
        os.set_blocking(self.master, False)
        while True:
            match = re.search(pattern, self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.seen!r}"
            try:
                data = os.read(self.master, 65536)
                if not data:
                    raise OSError
                self.seen += data
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                match = re.search(pattern, self.seen)
                assert match, f"ended without {pattern!r}: {self.seen!r}"
                return match

    def send(self, data):
        os.write(self.master, data)

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.proc.kill()
        self.proc.wait()
        os.close(self.master)


@pytest.fixture
def terminal():
    made = []

    def make(*a, **kw):
        made.append(Terminal(*a, **kw))
        return made[-1]

    yield make
    for t in made:
        t.close()


def direct_argv(mux, *args, options=()):
    """The same client straight to the target, for comparison."""
    import peers

    known = mux.dir / "direct_known_hosts"
    known.write_text(mux.target.known_hosts())
    return [
        "ssh", "-F", "none", "-p", str(mux.target.port), "-i", str(mux.keys.make("remote")),
        "-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
        *options, f"{peers.USER}@127.0.0.1", *args,
    ]  # fmt: skip


# Tells of each new size by looking: bash loses a signal that comes while its trap runs.
WATCH_SIZE = (
    'was=; while :; do now=$(stty size); [ "$now" = "$was" ] || echo "$now"; was=$now; '
    "sleep 0.05; done"
)


def strange_modes(fd):
    """Modes, special characters and speeds unlike the defaults."""
    modes = termios.tcgetattr(fd)
    modes[0] |= termios.IXANY | termios.IGNBRK | termios.INLCR
    modes[0] &= ~termios.IXON
    modes[1] &= ~termios.ONLCR
    modes[3] &= ~(termios.ECHOE | termios.ECHOK)
    modes[3] |= termios.ECHONL
    modes[4] = modes[5] = termios.B9600
    modes[6][termios.VINTR] = b"\x07"
    modes[6][termios.VERASE] = b"\x08"
    modes[6][termios.VSUSP] = b"\x19"
    termios.tcsetattr(fd, termios.TCSANOW, modes)


STTY = "echo BEGIN; stty -a; echo END"


def stty_text(term):
    text = term.read_until(rb"(?s)BEGIN(.*?)END").group(1)
    assert term.proc.wait(20) == 0
    return text.replace(b"\r", b"").split()


@pytest.mark.core
@pytest.mark.parametrize("setup", [None, strange_modes], ids=["usual", "strange"])
def test_L9_terminal_modes_as_direct(mux, terminal, setup):
    direct = stty_text(terminal(direct_argv(mux, STTY, options=["-tt"]), setup=setup))
    relayed = stty_text(terminal(mux.argv("t", STTY, options=["-tt"]), setup=setup))
    assert b"speed" in direct
    assert relayed == direct


def test_L9_pty_without_local_terminal(mux):
    done = mux.ssh("t", "tty; stty size; exit 5", options=["-tt"])
    assert b"/dev/pts/" in done.stdout and done.returncode == 5


@pytest.mark.core
def test_L9_window_size_and_resize(mux, terminal):
    term = terminal(mux.argv("t", WATCH_SIZE, options=["-tt"]), rows=33, cols=121)
    term.read_until(rb"33 121\r?\n")
    for rows, cols in ((50, 200), (10, 40), (51, 211)):
        term.resize(rows, cols)
        term.read_until(b"%d %d\r?\n" % (rows, cols))


def test_L9_pixel_sizes(mux, terminal):
    script = (
        "python3 -c 'import fcntl,termios,struct;"
        'print("PX", *struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, b"\\0"*8)))\''
    )
    term = terminal(mux.argv("t", script, options=["-tt"]), rows=24, cols=80, xpixel=640, ypixel=480)
    assert term.read_until(rb"PX (\d+ \d+ \d+ \d+)").group(1) == b"24 80 640 480"


def test_L9_term_name(mux, terminal):
    term = terminal(mux.argv("t", "echo term=$TERM.", options=["-tt"]))
    term.read_until(rb"term=xterm-256color\.")


def test_L9_interrupt_character(mux, terminal):
    term = terminal(mux.argv("t", 'trap "echo GOT-INT; exit 7" INT; echo ready; '
                             "while :; do sleep 0.05; done", options=["-tt"]))
    term.read_until(rb"ready")
    term.send(b"\x03")
    term.read_until(rb"GOT-INT")
    assert term.proc.wait(10) == 7


def test_L9_interactive_shell(mux, terminal):
    term = terminal(mux.argv("t", options=["-tt"]))
    term.send(b"PS1=; echo A$((40+2))B\n")
    term.read_until(rb"A42B")
    term.send(b"exit 21\n")
    assert term.proc.wait(10) == 21


def test_L9_hangup_reaches_the_shell(mux, terminal, tmp_path):
    """The client's terminal goes away: the remote side gets its SIGHUP."""
    mark = tmp_path / "hup"
    term = terminal(mux.argv("t", f'trap "echo hup > {mark}; exit" HUP; echo ready; '
                             "while :; do sleep 0.05; done", options=["-tt"]))
    term.read_until(rb"ready")
    term.proc.send_signal(signal.SIGKILL)
    poll(mark.exists, 10, "SIGHUP at the remote")
    mux.wait_idle()


def test_L9_escape_disconnects(mux, terminal):
    term = terminal(mux.argv("t", "echo ready; sleep 60", options=["-tt"]))
    term.read_until(rb"ready")
    term.send(b"\n~.")
    assert term.proc.wait(10) == 255
    mux.wait_idle()
