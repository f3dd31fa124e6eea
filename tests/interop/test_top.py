# SPDX-License-Identifier: MIT
"""`ssh-mux top` and `status` on real terminals, and the channels they show (B10)."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import termios

import pytest

from peers import hop, poll, routes_toml
from test_pty import Terminal

TOOLS = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "NO_COLOR": ""}


class Screen:
    """A program on a terminal of tmux, which shows what a person would see."""

    def __init__(self, env, directory, command, columns=80, rows=24):
        self.env = {**env, **TOOLS}
        self.sock = str(pathlib.Path(directory) / "tmux.sock")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                  "-s", "s", command)

    def tmux(self, *args):
        done = subprocess.run(["tmux", "-u", "-S", self.sock, *args], env=self.env,
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done
        return done.stdout

    def lines(self, *options):
        return self.tmux("capture-pane", "-p", *options, "-t", "s").split("\n")[:-1]

    def wait(self, pattern, timeout=40):
        """Until the pattern is on the screen: its text."""
        text = ""

        def found():
            nonlocal text
            text = "\n".join(self.lines())
            return re.search(pattern, text, re.M)

        try:
            poll(found, timeout, interval=0.1)
        except AssertionError:
            raise AssertionError(f"no {pattern!r} in\n{text}") from None
        return text

    def type(self, *keys):
        self.tmux("send-keys", "-t", "s", *keys)

    def resize(self, columns, rows):
        self.tmux("resize-window", "-t", "s", "-x", str(columns), "-y", str(rows))

    def stop(self):
        subprocess.run(["tmux", "-S", self.sock, "kill-server"], capture_output=True, timeout=30)


@pytest.fixture
def screen(tmp_path, cleanup):
    if not shutil.which("tmux"):
        pytest.skip("no tmux")
    directory = tmp_path if len(str(tmp_path)) < 80 else None

    def make(mux, command, **kwargs):
        return cleanup(Screen(mux.env, directory or mux.dir, command, **kwargs))

    return make


@pytest.fixture
def terminal():
    made = []

    def make(*a, **kw):
        made.append(Terminal(*a, **kw))
        return made[-1]

    yield make
    for t in made:
        t.close()


@pytest.fixture
def sessions(cleanup):
    """Sessions through `mux` that last until the test ends."""

    class Session:
        def __init__(self, proc):
            self.proc = proc

        def stop(self):
            self.proc.kill()
            self.proc.wait()

    def start(mux, *args, **kwargs):
        kwargs.setdefault("stdout", subprocess.DEVNULL)
        kwargs.setdefault("stderr", subprocess.DEVNULL)
        return cleanup(Session(mux.start_ssh(*args, **kwargs))).proc

    return start


def own(make_mux, make_sshd, **kwargs):
    """A daemon of the test's own, with a jump host."""
    bastion, target = make_sshd("bastion"), make_sshd("target")
    return make_mux(routes=routes_toml({"t": hop(target), "d": hop(target, direct=True)},
                                       jump=hop(bastion)),
                    known_hosts=bastion.known_hosts() + target.known_hosts(), **kwargs)


# ---- what status tells --------------------------------------------------------------------------


def test_B10_status_lists_channels(make_mux, make_sshd, sessions):
    """B10: each channel with its kind, route, connection and bytes; those of a connection add up."""
    mux = own(make_mux, make_sshd)
    sessions(mux, "t", "head -c 3000000 /dev/zero; sleep 300")
    sessions(mux, "d", "sleep 300")
    person = subprocess.Popen([mux.binary, "connect", "t", "sleep 300"], env=mux.env,
                              stdin=subprocess.DEVNULL)
    try:
        def settled():
            channels = mux.status()["channels"]
            kinds = sorted(c["kind"] for c in channels if c["state"] == "open")
            return (kinds == ["session"] * 3 + ["tunnel"]
                    and any(c["bytes_in"] == 3000000 for c in channels))

        poll(settled, 40, "all channels")
        status = mux.status()
        by_id = {c["id"]: c for c in status["connections"]}
        clients = {c["id"]: c for c in status["clients"]}
        for connection in status["connections"]:
            mine = [c for c in status["channels"] if c["connection"] == connection["id"]]
            assert len(mine) == connection["channels"]
        for channel in status["channels"]:
            if channel["kind"] == "tunnel":
                assert " via " in by_id[channel["id"]]["key"]  # what runs in it
                assert channel["client"] == 0 and channel["route"] == ""
                assert channel["bytes_in"] > 3000000
            else:
                assert clients[channel["client"]]["route"] == channel["route"]
                via = " via " in by_id[channel["connection"]]["key"]
                assert via == (channel["route"] == "t")
        assert [c["pid"] for c in status["clients"] if c["pid"] >= 0] == [person.pid]
        assert len({c["id"] for c in status["channels"]}) == 4
    finally:
        person.kill()
        person.wait()


def test_B10_status_is_coloured_for_people_only(mux, terminal):
    """B10: colour on a terminal, none in a pipe; NO_COLOR, dumb terminals and --color count."""
    assert "\033" not in mux.control("status").stdout
    assert "\033[1mRoutes:" in mux.control("status", "--color=always").stdout
    assert "\033" not in mux.control("status", "--json", "--color=always").stdout
    bad = mux.control("status", "--color=blue")
    assert bad.returncode == 64 and "always, never or auto, not blue" in bad.stderr

    def shown(*options, **env):
        t = terminal([mux.binary, "status", *options], env={**mux.env, "NO_COLOR": "", **env})
        text = t.read_until(rb"(?s).*Clients:[^\n]*\n").group(0)
        t.proc.wait(20)
        return text

    assert b"\033[1mRoutes:" in shown()
    assert b"\033" not in shown("--color=never")
    assert b"\033" not in shown(NO_COLOR="1")
    assert b"\033[1mRoutes:" in shown("--color=always", NO_COLOR="1")


@pytest.mark.parametrize("columns", [30, 40, 80])
def test_B10_status_fits_the_terminal(mux, terminal, sessions, columns):
    """B10: no table is wider than the terminal."""
    sessions(mux, "t", "sleep 300")
    poll(lambda: len(mux.connections()) >= 2, 40)
    t = terminal([mux.binary, "status", "--color=never"], cols=columns, rows=50,
                 env={**mux.env, "LC_ALL": "C.UTF-8"})
    lines = t.read_until(rb"(?s).*Clients:.*\n.*\n").group(0).decode().split("\r\n")
    tables = [line for line in lines if line.startswith("  ")]
    assert len(tables) >= 8
    assert max(map(len, tables)) <= columns


# ---- the live view ------------------------------------------------------------------------------


def test_B10_top_live_under_a_transfer(mux, screen, sessions):
    """B10: rates, channels and a picture of the last minute; every size; q restores the terminal."""
    sessions(mux, "t", "cat /dev/zero")
    sessions(mux, "d", "sleep 300")
    s = screen(mux, f"stty -g; echo BEFORE; {mux.binary} top -i 0.5; echo CODE $?; stty -g; cat")
    text = s.wait(r"session +open +\d+ +- .* [\d.]+[KMG] +-$")
    assert "BEFORE" not in text  # the other screen
    s.wait(r"^ *\d+ \S+ .*ready .* [\d.]+M +[\d.]+[BKM] [▁▂▃▄▅▆▇█]{9}[▂▃▄▅▆▇█]$")
    lines = s.lines()
    assert re.match(r"ssh-mux \S+  up \S+  port \d+  unlocked$", lines[0])
    assert re.match(r"\d+ connections, \d+ channels, \d+ clients?  in [\d.]+[KMG]/s", lines[1])
    assert lines[-1].startswith("q quit")
    for columns, rows in ((40, 10), (120, 40), (20, 5), (80, 24)):
        s.resize(columns, rows)
        shown = []

        def is_whole():
            """The head on top, the keys below, each once; the tables between them."""
            shown[:] = s.lines()
            return (len(shown) == rows
                    and [i for i, x in enumerate(shown) if x.startswith("ssh-mux ")] == [0]
                    and [i for i, x in enumerate(shown) if x.startswith("q quit")] == [rows - 1]
                    and (columns < 40 or any(re.search(r" IN/s +OUT/s", x) for x in shown)))

        try:
            poll(is_whole, 30)
        except AssertionError:
            raise AssertionError("\n".join(shown)) from None
    s.type("s")
    s.wait("sort:traffic")
    s.type("q")
    text = s.wait(r"CODE 0\n[0-9a-f:]{30,}$")
    before, after = re.findall(r"^[0-9a-f:]{30,}$", text, re.M)
    assert before == after
    assert "BEFORE" in s.lines()


def test_B10_top_sessions_before_tunnels(make_mux, make_sshd, screen, sessions):
    """B10: with its route's name, on a screen that many tunnels would fill."""
    bastion, target = make_sshd("bastion"), make_sshd("target")
    routes = {f"r{n}": {**hop(target), "host_key_alias": f"alias{n}"} for n in range(6)}
    known = bastion.known_hosts()
    for line in target.known_hosts().splitlines():
        known += "".join(f"alias{n} {line.split(' ', 1)[1]}\n" for n in range(6))
    mux = make_mux(routes=routes_toml(routes, jump=hop(bastion)), known_hosts=known)
    for name in routes:
        assert mux.ssh(name, "true").returncode == 0
    sessions(mux, "r5", "sleep 300")

    def settled():
        kinds = [c["kind"] for c in mux.status()["channels"]]
        return kinds.count("tunnel") == 6 and kinds.count("session") == 1

    poll(settled, 60, "all tunnels")
    s = screen(mux, f"{mux.binary} top", rows=15)
    for _ in range(4):  # however they are sorted
        text = s.wait(r"^ *\d+ r5 +session +open")
        assert re.search(r"^ *\d+ r[0-5,r]*\S* +\S+ ", text, re.M)
        assert re.search(r"^ *\d+ \(jump\) ", text, re.M)
        s.type("s")


def test_B10_top_scrolls(mux, screen, sessions):
    """B10: what does not fit is there for arrow keys."""
    for _ in range(6):
        sessions(mux, "t", "sleep 300")
    poll(lambda: sum(c["kind"] == "session" for c in mux.status()["channels"]) >= 6, 60)
    s = screen(mux, f"{mux.binary} top", rows=10)
    s.wait(r"lines 1 to 7 of \d+$")
    s.type("Down", "Down")
    s.wait(r"lines 3 to 9 of \d+$")
    s.type("End")
    s.wait(r"lines (\d+) to (\d+) of \2$")
    s.type("k")
    s.wait(r"lines \d+ to \d+ of \d+$")
    s.type("Home")
    s.wait(r"lines 1 to 7 of")
    s.type("C-c")
    poll(lambda: subprocess.run(["tmux", "-S", s.sock, "has-session"], capture_output=True,
                                timeout=30).returncode, 20)


def test_B10_P8_top_locks(make_mux, make_sshd, screen):
    """B10, P8: l locks after a question and unlocks, and that is plain to see."""
    mux = own(make_mux, make_sshd)
    s = screen(mux, f"{mux.binary} top; cat")
    s.wait("unlocked$")
    assert "No connections" in s.wait("No channels")
    for answer in ("n", "Enter", "l"):  # whatever is no yes is a no
        s.type("l")
        s.wait("^Lock, so that new sessions are refused\\? y/n$")
        s.type(answer)
        s.wait("^q quit")
        assert mux.status()["locked"] is False
    s.type("y")  # an answer to no question
    s.type("l", "y")
    s.wait("^LOCKED: new sessions are refused")
    assert mux.status()["locked"] is True
    s.type("l")
    s.wait("unlocked$")
    assert mux.status()["locked"] is False


def test_B10_top_outlives_the_daemon(make_mux, make_sshd, screen, sessions):
    """B10: a daemon that ends is waited for, one that hangs is named; q works meanwhile."""
    mux = own(make_mux, make_sshd)
    sessions(mux, "d", "sleep 300")
    s = screen(mux, f"{mux.binary} top -i 0.3; echo CODE $?; cat")
    s.wait(r"^ *\d+ d .*session")
    assert mux.control("stop").returncode == 0
    s.wait(r"^no daemon is running, waiting for it \(\d+s\); below is what was last seen$")
    mux.proc.wait(20)
    mux.start()
    text = s.wait("No connections")
    assert "waiting" not in text
    os.kill(mux.proc.pid, signal.SIGSTOP)
    try:
        s.wait("^the daemon has not answered for [3-9]s")
        s.type("q")
        s.wait("CODE 0$")
    finally:
        os.kill(mux.proc.pid, signal.SIGCONT)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_B10_top_restores_the_terminal(mux, terminal, signum):
    """B10: whatever ends it, the modes, the screen and the cursor are as they were."""
    modes = []
    t = terminal([mux.binary, "top"], setup=lambda fd: modes.append(termios.tcgetattr(fd)),
                 env={**mux.env, "ASAN_OPTIONS": "handle_abort=0:detect_leaks=0"})
    keep = os.open(f"/proc/{t.proc.pid}/fd/0", os.O_RDWR | os.O_NOCTTY)
    try:
        t.read_until(rb"q quit")
        assert termios.tcgetattr(keep)[3] & termios.ICANON == 0
        t.proc.send_signal(signum)
        assert t.proc.wait(20) == -signum
        t.read_until(rb"\x1b\[\?25h\x1b\[\?1049l")
        assert termios.tcgetattr(keep) == modes[0]
    finally:
        os.close(keep)


def test_B10_top_after_a_stop(mux, terminal):
    """B10: stopped and continued, it draws on an empty screen again, raw."""
    t = terminal([mux.binary, "top"], env=mux.env)
    t.read_until(rb"q quit")
    t.proc.send_signal(signal.SIGSTOP)
    os.waitpid(t.proc.pid, os.WUNTRACED)
    t.proc.send_signal(signal.SIGCONT)
    t.read_until(rb"\x1b\[\?1049h")
    t.read_until(rb"q quit")
    t.send(b"q")
    assert t.proc.wait(20) == 0


def test_B10_top_without_a_terminal(mux, sessions):
    """B10: a pipe gets a plain view with --once, else what to use instead."""
    refused = mux.control("top")
    assert refused.returncode == 64 and refused.stdout == ""
    assert refused.stderr == ("ssh-mux: top: the live view needs a terminal; see: ssh-mux status, "
                              "or ssh-mux top --once\n")
    sessions(mux, "t", "cat /dev/zero")
    poll(lambda: any(c["bytes_in"] > 0 for c in mux.status()["channels"]), 40)
    once = mux.control("top", "--once", "-i", "0.5")
    assert once.returncode == 0 and once.stderr == ""
    assert "\033" not in once.stdout
    assert re.search(r"^ *\d+ +t +session +open .* [\d.]+[KMG] +-$", once.stdout, re.M), once.stdout
    for bad in ("0", "0.1", "61", "1e1", "1.2.3", "", "-1", "0.0000001"):
        done = mux.control("top", "--once", f"--interval={bad}")
        assert done.returncode == 64 and "from 0.2 to 60" in done.stderr


def test_B10_top_needs_a_daemon(make_mux, make_sshd, terminal):
    """B10: without one there is nothing to watch, and the terminal is not touched."""
    mux = make_mux(target=make_sshd(), start=False)
    t = terminal([mux.binary, "top"], env=mux.env)
    t.read_until(rb"ssh-mux: no daemon is running[^\n]*; start one: ssh-mux serve[^\n]*\n")
    assert t.proc.wait(20) == 69


def test_B10_names_can_do_nothing_to_the_terminal(make_mux, make_sshd, screen):
    """B10, A7: what files say is plain text in the view (an SSH directory, warnings)."""
    mux = make_mux(target=make_sshd(), authorized=False)
    warning = mux.status()["warnings"]
    assert warning
    s = screen(mux, f"{mux.binary} top; cat")
    text = s.wait("^WARNING: ")
    assert warning[0][:40] in text
    assert json.loads(mux.control("status", "--json").stdout)["channels"] == []
