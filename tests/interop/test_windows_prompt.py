# SPDX-License-Identifier: MIT
"""Questions in windows on Windows (A4, A5, K2): ssh-mux.exe under wine with a display of its own,
real one-time codes of a native sshd, the native ssh in front, and keys pressed in the windows.

The PowerShell of these tests is one of ours (windows/fake_powershell.c): it writes down what it is
told and by which way, and what the script would do with the pipe, it does. What the real one makes
of the script only a real Windows can show.
"""
import base64
import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import otp_sshd
import wine
from peers import USER, hop, poll, routes_toml, secret
from test_prompts import OK, Query, of_kind, scripted, text_of  # noqa: F401

HERE = pathlib.Path(__file__).parent
SCRIPT_SOURCE = HERE / "../../src/os/win/powershell.c"
TITLE = "ssh-mux OTP"
CODE = ("Code: ", False)
GCC = "x86_64-w64-mingw32-gcc"
AT_ONCE = 1.0  # seconds; a question to the server after a wrong code takes PAM's two
POWERSHELL = "drive_c/windows/system32/WindowsPowerShell/v1.0/powershell.exe"
EVIL = "'; Start-Process calc; $(calc) `\" %COMSPEC% \x1b]0;mine\x07\x1b[31mred\x00"


def why_not():
    if wine.WineMux.exe is None:
        return "no ssh-mux.exe given (pytest --windows=EXE, or SMX_BINARY_WINDOWS)"
    tools = ("wine", "wineserver", "wineboot", "Xvfb", "xdotool")
    lacking = [tool for tool in tools if not shutil.which(tool)]
    return f"no {lacking[0]} on $PATH" if lacking else None


@pytest.fixture(scope="module")
def desktop():
    """An X server and a wine of its own: one that was started without a display has none."""
    if why := why_not():
        pytest.skip(why)
    desk = Desktop()
    try:
        desk.start()
        yield desk
    finally:
        desk.stop()


class Desktop:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="smx-desktop-"))
        self.xvfb = None
        self.keepers = []
        self.env = {}

    def start(self):
        (self.dir / "home").mkdir()
        read, write = os.pipe()
        self.xvfb = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
            pass_fds=[write], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as f:
            display = f.readline().strip()
        assert display, "Xvfb does not start"
        self.env = {
            "DISPLAY": f":{display}",
            "WINEPREFIX": str(self.dir / "prefix"),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=;winemenubuilder.exe=d",
            "HOME": str(self.dir / "home"),
        }
        self.run("wineboot", "--init", timeout=180)
        self.run("wineserver", "-p", timeout=60)
        # With the last program wine's services would end, and who needs them next would have them
        # among its own processes; so with the one that has the desktop.
        self.keepers = [
            subprocess.Popen(["wine", *argv], env={**os.environ, **self.env}, start_new_session=True,
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
            for argv in (["cmd.exe"], ["explorer.exe", "/desktop"])]

    def run(self, *argv, timeout=20):
        return subprocess.run(argv, env={**os.environ, **self.env}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              timeout=timeout)

    def stop(self):
        if self.env:
            self.run("wineserver", "-k", timeout=60)
        for keeper in self.keepers:
            keeper.stdin.close()
            keeper.wait(20)
        if self.xvfb:
            self.xvfb.terminate()
            self.xvfb.wait(20)
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- windows ----

    def windows(self):
        """Those of ours that are on the screen: (id, process), for the display uses ids again."""
        found = self.run("xdotool", "search", "--onlyvisible", "--name", f"^{TITLE}$").stdout
        each = [(w, self.run("xdotool", "getwindowpid", w).stdout.strip()) for w in found.split()]
        return [window for window in each if window[1]]

    def window(self, *but):
        """The one that asks; `but`: ids that are not meant any more."""
        new = poll(lambda: [w for w in self.windows() if w not in but], 60, "a window", 0.1)
        assert len(new) == 1, "more than one window at once"
        # Without a window manager nobody else gives it the keys.
        self.run("xdotool", "windowfocus", "--sync", new[0][0])
        return new[0]

    def type(self, window, *keys, text=""):
        self.run("xdotool", "windowfocus", "--sync", window[0])
        if text:
            self.run("xdotool", "type", "--delay", "30", text)
        for key in keys:
            self.run("xdotool", "key", "--delay", "30", key)

    def gone(self, within=20.0):
        poll(lambda: not self.windows(), within, "no window is left", 0.05)


class DesktopMux(wine.WineMux):
    def __init__(self, *args, desktop, more=None, **kwargs):
        self.desktop_env = {**desktop.env, **(more or {})}
        super().__init__(*args, **kwargs)

    def environment(self):
        return {**super().environment(), **self.desktop_env}


@pytest.fixture
def make(keys, cleanup, desktop, make_sshd):
    """make(server=…, known=…, top=…): a daemon; its route t is the server."""

    def run(server, jump=None, known=None, top=None, more=None):
        servers = [server] + ([jump] if jump else [])
        known = "".join(s.known_hosts() for s in servers) if known is None else known
        mux = cleanup(DesktopMux(keys, desktop=desktop, more=more, known_hosts=known,
                                 routes=routes_toml({"t": hop(server)}, top=top,
                                                    jump=hop(jump) if jump else None)))
        mux.desktop = desktop
        return mux

    yield run
    if desktop.windows():
        # Left by a test that failed: the next one has an empty screen.
        with contextlib.suppress(AssertionError):
            desktop.gone()


needs_otp = pytest.mark.skipif(otp_sshd.missing() is not None, reason=str(otp_sshd.missing()))


@pytest.fixture
def bastion(keys, cleanup):
    return cleanup(otp_sshd.OtpSshd(keys, "bastion"))


def ended(client, timeout=60):
    """When it ended, and what it said."""
    err = client.communicate(timeout=timeout)[1]
    return time.monotonic(), err.decode(errors="replace")


# ---- the native window ---------------------------------------------------------------------------


@needs_otp
def test_A4_P7_one_code_in_the_window_serves_all(make, bastion, make_sshd):
    """A4: one window for everybody who waits; P7: one code for all."""
    target = make_sshd()
    mux = make(target, jump=bastion)
    desk = mux.desktop
    both = [mux.start_ssh("t", "echo in") for _ in range(2)]
    window = desk.window()
    code = bastion.code()
    desk.type(window, "Return", text=code)
    for client in both:
        assert client.communicate(timeout=60)[0] == b"in\n"
    desk.gone()
    for n in range(3):
        assert mux.ssh("t", f"echo {n}").stdout == f"{n}\n".encode()
    assert bastion.used() == 1 and code not in mux.log()


@needs_otp
def test_A5_wrong_code_is_asked_again(make, bastion):
    mux = make(bastion)
    desk = mux.desktop
    client = mux.start_ssh("t", "echo in")
    first = desk.window()
    desk.type(first, "Return", text="000000")
    poll(lambda: first not in desk.windows(), 20, "the first window is gone")
    second = desk.window(first)
    desk.type(second, "Return", text=bastion.code())
    assert client.communicate(timeout=60)[0] == b"in\n"
    desk.gone()


@needs_otp
@pytest.mark.parametrize("how", ["Escape", "alt+F4"])
def test_A5_closing_it_twice_ends_the_client_at_once(make, bastion, how):
    """A5: nothing is said the first time, so the server asks again; the second time it is over."""
    mux = make(bastion)
    desk = mux.desktop

    client = mux.start_ssh("t", "echo in")
    first = desk.window()
    desk.type(first, how)
    poll(lambda: first not in desk.windows(), 20, "the first window is gone")
    second = desk.window(first)
    assert client.poll() is None
    desk.type(second, how)
    poll(lambda: not desk.windows(), 20, "the second window is gone", 0.01)
    begin = time.monotonic()
    end, err = ended(client)
    assert end - begin < AT_ONCE
    assert client.returncode == 255 and "permission denied" in err.lower()
    desk.gone()
    mux.forget_failures()
    # Each login has its own two; and a code in the second window is as good as in the first.
    client = mux.start_ssh("t", "echo in")
    first = desk.window()
    desk.type(first, how)
    poll(lambda: first not in desk.windows(), 20, "the first window is gone")
    desk.type(desk.window(first), "Return", text=bastion.code())
    assert client.communicate(timeout=60)[0] == b"in\n"


def test_A5_closing_it_where_the_server_gives_up(make, scripted):  # noqa: F811
    """A5: an empty answer goes to the server; one that has enough says so."""
    server = scripted(rounds=[Query("", "", CODE, ("PIN: ", False))])
    mux = make(server)
    client = mux.start_ssh("t", "x")
    first = mux.desktop.window()
    mux.desktop.type(first, "Return", text="12")
    # The second part is closed: nothing of the first one is sent either.
    mux.desktop.type(mux.desktop.window(first), "Escape")
    _, err = ended(client)
    assert client.returncode == 255 and "permission denied" in err.lower()
    assert of_kind(server, "answers")[0] == ("answers", ["", ""])
    mux.desktop.gone()


def test_A5_window_goes_with_the_client(make, scripted):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = make(server)
    client = mux.start_ssh("t", "x")
    mux.desktop.window()
    client.kill()
    client.communicate(timeout=20)
    begin = time.monotonic()
    mux.desktop.gone()
    assert time.monotonic() - begin < 2 * AT_ONCE  # looking takes a while, too
    mux.wait_idle()
    assert not of_kind(server, "answers")


def test_A5_window_goes_with_the_daemon(make, scripted):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = make(server)
    client = mux.start_ssh("t", "x")
    mux.desktop.window()
    assert mux.control("stop").returncode == 0
    client.communicate(timeout=20)
    mux.desktop.gone()


def test_A4_keys_of_a_dialogue(make, scripted):  # noqa: F811
    """A4: what was typed wrong can be taken back; Tab leads to Cancel, which is what Esc is."""
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = make(server)
    client = mux.start_ssh("t", "x")
    window = mux.desktop.window()
    mux.desktop.type(window, "BackSpace", "6", "Tab", "space", text=secret("12345x"))
    assert client.communicate(timeout=60)[0] == b"in\n"
    assert of_kind(server, "answers") == [("answers", ["123456"])]
    mux.desktop.gone()


def test_A14_rows_of_a_server_are_drawn_as_on_a_terminal(make, scripted):  # noqa: F811
    """A menu's columns and a picture of characters are laid out for letters of one width."""
    if lacking := [t for t in ("import", "convert") if not shutil.which(t)]:
        pytest.skip(f"no {lacking[0]} on $PATH")
    server = scripted(rounds=[Query("", 30 * "il" + "\n" + 30 * "MW", CODE), OK])
    mux = make(server)
    client = mux.start_ssh("t", "x")
    window = mux.desktop.window()
    shot = str(mux.dir / "shot.png")
    # Behind the marks, row by row: the first line is the target's.
    band = lambda y: ["convert", shot, "-crop", f"470x12+38+{y}", "+repage", "-trim",  # noqa: E731
                      "-format", "%w", "info:"]

    def widths():
        mux.desktop.run("import", "-window", window[0], shot)
        both = [int(mux.desktop.run(*band(y)).stdout or 0) for y in (48, 61)]
        return both if min(both) > 100 else None

    narrow, wide = poll(widths, 30, "the rows are drawn", 0.5)
    assert abs(narrow - wide) < 15, (narrow, wide)
    mux.desktop.type(window, "Return", text="1")
    assert client.communicate(timeout=60)[0] == b"in\n"


def test_K2_host_key_question(make, make_sshd):
    """K2: Enter is No; a key is trusted on purpose (Yes by Shift+Tab and space), and pinned."""
    sshd = make_sshd()
    mux = make(sshd, known="")
    desk = mux.desktop
    client = mux.start_ssh("t", "echo in")
    desk.type(desk.window(), "Return")
    _, err = ended(client)
    assert client.returncode == 255 and "host key" in err
    assert mux.known_hosts_path.read_text() == ""
    mux.forget_failures()
    client = mux.start_ssh("t", "echo in")
    desk.type(desk.window(), "Escape")
    assert ended(client) and client.returncode == 255
    assert mux.known_hosts_path.read_text() == ""
    mux.forget_failures()
    client = mux.start_ssh("t", "echo in")
    desk.type(desk.window(), "shift+Tab", "space")
    assert client.communicate(timeout=60)[0] == b"in\n"
    assert mux.known_hosts_path.read_text().split()[1:3] == sshd.known_hosts().split()[1:3]
    desk.gone()


# ---- the window of PowerShell --------------------------------------------------------------------


def constant_script():
    """The script as the source has it."""
    text = SCRIPT_SOURCE.read_text()
    body = text[text.index("static const char script[] ="):]
    body = body[: body.index(";\n\n") + 1]
    pieces = re.findall(r'"((?:[^"\\]|\\.)*)"', body)
    return "".join(pieces).replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")


class PowerShell:
    """What the double was told, and what it says."""

    def __init__(self, directory):
        self.dir = directory
        self.dir.mkdir()
        self.n = 0

    def plan(self, n, what):
        part = self.dir / f"{n}.part"
        part.write_text(what)
        part.rename(self.dir / f"{n}.answer")

    def read(self, n, what):
        path = self.dir / f"{n}.{what}"
        poll(path.exists, 60, f"PowerShell {n} has told its {what}")
        return path.read_text()

    def question(self, n=0):
        return json.loads(self.read(n, "question"))

    def asked(self):
        return len(list(self.dir.glob("*.question")))

    def pids(self):
        """Those that run: they have this directory in their environment and are no ssh-mux."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if "powershell" in (entry / "comm").read_text().lower() and \
                        str(self.dir).encode().replace(b"/", b"\\") in \
                        (entry / "environ").read_bytes().replace(b"/", b"\\"):
                    found.append(int(entry.name))
        return found

    def gone(self):
        poll(lambda: not self.pids(), 20, "no PowerShell is left", 0.05)


def build(desktop, name):
    if not shutil.which(GCC):
        pytest.skip(f"no {GCC} on $PATH")
    exe = desktop.dir / f"{name}.exe"
    if not exe.exists():
        subprocess.run([GCC, "-municode", "-static", "-Wall", "-Wextra", "-Werror", "-o", exe,
                        HERE / f"windows/{name}.c", "-lcrypt32"], check=True, timeout=120)
    return exe


@pytest.fixture(scope="module")
def double(desktop):
    """The double lies where the system has the real one."""
    exe = build(desktop, "fake_powershell")
    place = pathlib.Path(desktop.env["WINEPREFIX"]) / POWERSHELL
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    shutil.copy(exe, place)
    return place


@pytest.fixture
def shell(double, tmp_path, make):
    """shell(server, …): a daemon whose route asks by PowerShell, and that PowerShell."""

    def run(server, **kwargs):
        double_at = PowerShell(tmp_path / "shell")
        # PSModulePath would say whose cmdlets run.
        more = {"SMX_FAKE_POWERSHELL": wine.path(double_at.dir), "PSModulePath": "Z:\\evil"}
        top = {"prompter": "powershell"}
        return make(server, top=top, more=more, **kwargs), double_at

    return run


@needs_otp
def test_A4_P7_code_by_powershell(shell, bastion, make_sshd):
    mux, double_at = shell(make_sshd(), jump=bastion)
    client = mux.start_ssh("t", "echo in")
    question = double_at.question()
    assert question["target"].endswith("@127.0.0.1") and question["confirm"] is False
    label = question["label"]
    assert label.startswith(f"({USER}@127.0.0.1) One-time password"), label
    assert not label.endswith(":")
    code = bastion.code()
    double_at.plan(0, f"answer {code}")
    assert client.communicate(timeout=60)[0] == b"in\n"
    assert mux.ssh("t", "echo again").stdout == b"again\n"
    assert bastion.used() == 1 and double_at.asked() == 1 and code not in mux.log()
    double_at.gone()


def test_A4_A7_the_script_gets_its_data_by_the_pipe_alone(shell, scripted):  # noqa: F811
    """A4: command line and script are the same whatever is asked; hostile text is text. A7: what
    would drive the console has been taken out of it before."""
    server = scripted(rounds=[Query(EVIL, EVIL, (EVIL + "\u00e9\u4e2d: ", False)),
                              Query("", "", CODE), OK])
    mux, double_at = shell(server)
    client = mux.start_ssh("t", "x")
    question = double_at.question()
    assert "Start-Process calc; $(calc) `\" %COMSPEC%" in question["text"]
    assert "\u00e9\u4e2d" in question["label"] + question["text"]
    for text in (question["target"], question["text"], question["label"], question["error"]):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert "mine" not in question["text"] and "[31m" not in question["text"]
    double_at.plan(0, "answer " + secret("a\\\"b'"))
    second = double_at.question(1)
    assert second["label"] == f"({USER}@127.0.0.1) Code" and second["error"] == ""
    double_at.plan(1, "answer 2")
    assert client.communicate(timeout=60)[0] == b"in\n"
    assert of_kind(server, "answers") == [("answers", ["a\\\"b'"]), ("answers", ["2"])]

    script = constant_script()
    assert "ConvertFrom-Json" in script and "SecureString" in script
    encoded = base64.b64encode(script.encode("utf-16-le")).decode()
    for n in (0, 1):
        assert double_at.read(n, "script") == script
        command = double_at.read(n, "command").replace('"', "")
        assert command == ("C:\\windows\\system32\\WindowsPowerShell\\v1.0\\powershell.exe "
                           f"-NoLogo -NoProfile -EncodedCommand {encoded}")
        environment = double_at.read(n, "environment").split("\0")
        assert not [v for v in environment if "calc" in v or "127.0.0.1" in v]
        assert not [v for v in environment if v.lower().startswith("psmodulepath=")]
    # A name of its own for each pipe, of 128 random bits.
    pipes = [[v for v in double_at.read(n, "environment").split("\0")
              if v.startswith("SSH_MUX_PROMPT_PIPE=")][0] for n in (0, 1)]
    assert pipes[0] != pipes[1]
    assert all(re.fullmatch(r"\w+=ssh-mux-otp-[0-9a-f]{32}", pipe) for pipe in pipes)
    double_at.gone()


@needs_otp
def test_A5_powershell_says_that_a_code_was_wrong(shell, bastion):
    mux, double_at = shell(bastion)
    client = mux.start_ssh("t", "echo in")
    assert double_at.question()["error"] == ""
    double_at.plan(0, "answer 000000")
    assert double_at.question(1)["error"] == "that answer was not accepted (try 2 of 3)"
    double_at.plan(1, f"answer {bastion.code()}")
    assert client.communicate(timeout=60)[0] == b"in\n"


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@needs_otp
@pytest.mark.parametrize("how", ["exit", "kill", "exit at once"])
def test_A5_closing_powershell_twice_ends_the_client(shell, bastion, how):
    """A5: its end is seen beside the pipe, whenever it comes."""
    mux, double_at = shell(bastion)
    if how == "exit at once":
        double_at.plan(0, "exit")
        double_at.plan(1, "exit")
    client = mux.start_ssh("t", "echo in")
    for n in range(2):
        if how == "exit at once":
            continue
        question = double_at.question(n)
        assert ("Close this one too" in question["error"]) == (n == 1)
        begin = time.monotonic()
        if how == "kill":
            for pid in double_at.pids():
                kill(pid)
        else:
            double_at.plan(n, "exit")
    end, err = ended(client)
    assert client.returncode == 255 and "permission denied" in err.lower()
    if how == "exit at once":
        assert double_at.read(1, "command") and not (double_at.dir / "2.taken").exists()
    else:
        assert end - begin < 2 * AT_ONCE  # its end takes a turn of its own
    double_at.gone()
    mux.wait_idle()


@pytest.mark.parametrize("says", ["raw nonsense", "raw {}", 'raw {"answer":7}', "long",
                                  'raw {"answer":"\\u0000"}'])
def test_A5_powershell_that_answers_nonsense(shell, scripted, says):  # noqa: F811
    """A5: a clean denial with what to do; nothing hangs, and the daemon goes on."""
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux, double_at = shell(server)
    double_at.plan(0, says)
    double_at.plan(1, "answer 1")
    done = mux.ssh("t", "x", timeout=60)
    assert done.returncode == 255 and "ssh-mux connect" in text_of(done), done
    assert not of_kind(server, "answers")
    mux.forget_failures()
    assert mux.ssh("t", "x", timeout=60).stdout == b"in\n"
    double_at.gone()


def test_A5_powershell_goes_with_the_client(shell, scripted):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux, double_at = shell(server)
    double_at.plan(0, "hang")
    client = mux.start_ssh("t", "x")
    double_at.question()
    assert len(double_at.pids()) == 1
    client.kill()
    client.communicate(timeout=20)
    begin = time.monotonic()
    double_at.gone()
    assert time.monotonic() - begin < 2 * AT_ONCE
    mux.wait_idle()


def test_A5_powershell_goes_with_a_daemon_that_crashes(shell, scripted):  # noqa: F811
    """A5: whoever asks is gone by force; its window must not stay."""
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux, double_at = shell(server)
    double_at.plan(0, "hang")
    client = mux.start_ssh("t", "x")
    double_at.question()
    assert double_at.pids()
    mux.expect_clean = False
    kill(mux.proc.pid)
    client.communicate(timeout=20)
    double_at.gone()


def test_K2_host_key_by_powershell(shell, make_sshd):
    sshd = make_sshd()
    mux, double_at = shell(sshd, known="")
    double_at.plan(0, "answer no")
    client = mux.start_ssh("t", "echo in")
    assert double_at.question()["confirm"] is True and "SHA256:" in double_at.question()["text"]
    assert ended(client) and client.returncode == 255 and mux.known_hosts_path.read_text() == ""
    mux.forget_failures()
    double_at.plan(1, "answer yes")
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert mux.known_hosts_path.read_text().split()[1:3] == sshd.known_hosts().split()[1:3]
    double_at.gone()


# ---- SSH_ASKPASS of an attached client -----------------------------------------------------------


class Askpass:
    """An SSH_ASKPASS, an .exe or a batch file that calls one, as editors have it."""

    def __init__(self, desktop, directory, kind):
        self.dir = directory / "ask pass"
        self.dir.mkdir()
        self.log = self.dir / "log"
        exe = self.dir / "real.exe"
        shutil.copy(build(desktop, "askpass"), exe)
        self.pipes = build(desktop, "pipes")
        self.program = exe
        if kind == "cmd":
            self.program = self.dir / "ask.cmd"
            self.program.write_bytes(b'@echo off\r\n"%~dp0real.exe" %*\r\nexit /b %errorlevel%\r\n')

    def run(self, mux, answer=None):
        """The native ssh, whose way leads through `ssh-mux.exe proxy` under wine."""
        words = ("wine", self.pipes, wine.path(mux.exe), "proxy", "t")
        command = " ".join(shlex.quote(str(a)) for a in words)
        env = {**mux.environment(), "SSH_MUX_SSH_DIR": wine.path(mux.ssh_dir), "SSH_ASKPASS": wine.path(self.program),
               "SMX_ASKPASS_LOG": wine.path(self.log), "PATH": os.environ["PATH"]}
        if answer:
            env["SMX_ASKPASS_ANSWER"] = answer
        return subprocess.run(mux.argv("t", "x", options=[f"-oProxyCommand={command}"]), env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60, cwd=self.dir,
                              start_new_session=True)


@pytest.fixture
def askpass(desktop, tmp_path):
    return lambda kind: Askpass(desktop, tmp_path, kind)


@pytest.mark.parametrize("kind", ["exe", "cmd"])
def test_A6_A7_askpass_of_a_client(make, scripted, askpass, kind):  # noqa: F811
    """A6: run by the client in its environment. A7: what the server says is one argument, and for a
    batch file nothing in it means anything to cmd.exe."""
    ask = askpass(kind)
    owned = ask.dir / "owned"
    evil = f'" & echo x>{wine.path(owned)} & "%COMSPEC%" | ^& <in >out ! '
    server = scripted(rounds=[Query("", evil, (evil + "Code: ", False)), OK])
    mux = make(server)
    done = ask.run(mux, answer=secret("12 34"))
    assert done.stdout == b"in\n", done
    assert of_kind(server, "answers") == [("answers", ["12 34"])]
    log = ask.log.read_text()
    assert log.startswith("asked with 1 arguments, prompt none\n") and f"({USER}@127.0.0.1) " in log
    assert "Code:" in log and not owned.exists() and not (ask.dir / "out").exists()
    if kind == "exe":
        assert evil in log
    else:
        assert "_COMSPEC_" in log and "'" in log and '"' not in log
    assert not mux.desktop.windows()


@pytest.mark.parametrize("kind", ["exe", "cmd"])
def test_A6_askpass_that_refuses(make, scripted, askpass, kind):  # noqa: F811
    """A6: no is no, and not a question in a window of the daemon's."""
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = make(server)
    done = askpass(kind).run(mux)
    assert done.returncode == 255 and "permission denied" in text_of(done).lower()
    assert not of_kind(server, "answers") and not mux.desktop.windows()


def test_K2_host_key_by_askpass(make, make_sshd, askpass):
    sshd = make_sshd()
    mux = make(sshd, known="")
    ask = askpass("exe")
    done = ask.run(mux, answer="no")
    assert done.returncode == 255 and mux.known_hosts_path.read_text() == ""
    # As ssh asks: an answer is to be typed, for it may be the fingerprint.
    assert "asked with 1 arguments, prompt none" in ask.log.read_text()
    mux.forget_failures()
    assert ask.run(mux, answer="yes").returncode == 127  # there is no command "x"
    assert mux.known_hosts_path.read_text().split()[1:3] == sshd.known_hosts().split()[1:3]


# ---- the console of a foreground `serve` ---------------------------------------------------------


class ConsoleMux(DesktopMux):
    """`serve` in a console window, as somebody has it who starts it there."""

    def spawn(self, argv, **kwargs):
        script = pathlib.Path(argv[0]).read_text()
        assert "exec wine " in script
        path = self.dir / "in-console"
        path.write_text(script.replace("exec wine ", "exec wineconsole "))
        path.chmod(0o700)
        super().spawn([str(path), *argv[1:]], **kwargs)

    def until(self, condition, *keys, text=""):
        """Types it until the condition is true: what is typed before a question is no answer."""
        desk = self.desktop
        for _ in range(30):
            found = desk.run("xdotool", "search", "--onlyvisible", "--name", "ssh-mux.exe").stdout
            if found:
                desk.type(found.split()[-1:], *keys, text=text)
            with contextlib.suppress(AssertionError):
                return poll(condition, 2, "taken")
        raise AssertionError("nothing typed is taken")


@pytest.fixture
def console(keys, cleanup, desktop):
    def run(server):
        if not shutil.which("wineconsole"):
            pytest.skip("no wineconsole on $PATH")
        mux = cleanup(ConsoleMux(keys, desktop=desktop, known_hosts=server.known_hosts(),
                                 routes=routes_toml({"t": hop(server)})))
        mux.desktop = desktop
        return mux

    return run


def test_A6_code_at_the_console_of_serve(console, scripted):  # noqa: F811
    """A6: the terminal of a foreground `serve` comes before a window."""

    def judge(self, responses):
        # The first keys may have been typed before it asked, and are no answer then.
        self.server.log.append(("answers", responses))
        return OK if responses == ["246810"] else Query("", "", CODE)

    server = scripted(rounds=[Query("", "", CODE)], check_auth_interactive_response=judge)
    mux = console(server)
    client = mux.start_ssh("t", "x")
    mux.until(lambda: ("answers", ["246810"]) in server.log, "Return", text=secret("246810"))
    assert client.communicate(timeout=60)[0] == b"in\n"
    assert not mux.desktop.windows()


@pytest.mark.parametrize("key", ["Escape", "ctrl+c"])
def test_A6_no_at_the_console_of_serve(console, scripted, key):  # noqa: F811
    """A6: ends the login at once, and not the daemon."""
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = console(server)
    client = mux.start_ssh("t", "x")
    poll(lambda: of_kind(server, "kbdint"), 30, "asked")
    mux.until(lambda: client.poll() is not None, key)
    assert client.returncode == 255 and "permission denied" in ended(client)[1].lower()
    assert not of_kind(server, "answers") and not mux.desktop.windows()
    assert mux.status()["connections"] == []
