# SPDX-License-Identifier: MIT
"""Questions asked by a pinentry (A6): one without a window that a daemon on a desktop starts, and
the real pinentry-curses in a client's terminal."""
import glob
import os
import shlex
import shutil
import signal
import subprocess
import time

import pytest

import otp_sshd
from fake_pinentry import Pinentry
from peers import USER, hop, poll, programs_of, routes_toml
from test_prompts import FAILED, OK, Person, Query, of_kind, scripted, start, text_of  # noqa: F401
from test_proxy import proxied

CURSES = "/usr/bin/pinentry-curses"
CANCEL = ["Tab", "Tab", "Enter"]  # its second button
CODE = ("Code: ", False)


@pytest.fixture
def desk(make_mux, keys, tmp_path):
    """desk(server, *answers): a daemon without a terminal, whose routes file names a pinentry."""

    def make(server, *answers, known=None, **kwargs):
        pinentry = Pinentry(tmp_path / "pinentry", *answers)
        mux = make_mux(routes=routes_toml({"t": hop(server)}, top={"pinentry": pinentry.path}),
                       known_hosts=server.known_hosts() if known is None else known, **kwargs)
        mux.pinentry = pinentry
        return mux

    return make


def gone(mux):
    """Every pinentry has ended and was reaped."""
    poll(lambda: not mux.pinentry.alive(), 10, "the pinentry is gone", 0.05)


def test_A6_code_by_pinentry(scripted, desk):  # noqa: F811
    server = scripted(rounds=[Query("", "Look at your phone", CODE), OK])
    mux = desk(server, "12%34")
    assert mux.ssh("t", "x").stdout == b"in\n"
    assert of_kind(server, "answers") == [("answers", ["12%34"])]
    assert mux.pinentry.said("SETTITLE") == ["ssh-mux"]
    assert mux.pinentry.said("SETPROMPT") == [f"({USER}@127.0.0.1) Code: "]
    desc, = mux.pinentry.said("SETDESC")
    assert desc == f"ssh-mux: login to {USER}@127.0.0.1%0A | Look at your phone"
    assert "12%34" not in mux.log()
    gone(mux)


@pytest.mark.parametrize("method", ["keyboard-interactive", "password"])
def test_A12_a_window_shows_what_was_said_before(scripted, desk, method):  # noqa: F811
    """Once: a wrong answer is asked again without it."""
    banner = "Before you go on:\r\n  https://login.example/a\r\n"
    server = scripted(get_banner=lambda self: (banner, "en"), methods=method, passwords=[FAILED, OK],
                      rounds=[Query("", "Look at your phone", CODE), FAILED, Query("", "", CODE), OK])
    mux = desk(server, "1", "2")
    assert mux.ssh("t", "x").stdout == b"in\n"
    first, second = mux.pinentry.said("SETDESC")
    head = f"ssh-mux: login to {USER}@127.0.0.1"
    rows = "%0A | Before you go on:%0A |   https://login.example/a"
    assert first == head + rows + ("%0A | Look at your phone" if method != "password" else "")
    assert second == head
    gone(mux)


def test_A6_P7_one_window_for_all(scripted, desk):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = desk(server, "1")
    both = [mux.start_ssh("t", "x", stdout=subprocess.PIPE) for _ in range(3)]
    for client in both:
        assert client.communicate(timeout=60)[0] == b"in\n"
    assert mux.pinentry.asked() == 1


def test_A6_several_prompts_by_pinentry(scripted, desk):  # noqa: F811
    server = scripted(rounds=[Query("", "Both", ("User: ", True), CODE),
                              Query("", "", ("x" * 70 + ": ", False)), OK])
    mux = desk(server, "me", "123", "long")
    assert mux.ssh("t", "x").stdout == b"in\n"
    assert [a for _, a in of_kind(server, "answers")] == [["me", "123"], ["long"]]
    # The window that asks the second part says what it belongs to; a long prompt is no label.
    assert all("login to" in d for d in mux.pinentry.said("SETDESC"))
    assert "Both" in mux.pinentry.said("SETDESC")[1]
    assert mux.pinentry.said("SETPROMPT")[2] == "Answer: "
    assert "%0A | " + "x" * 70 in mux.pinentry.said("SETDESC")[2]


def test_A6_A7_nothing_of_the_servers_is_a_command(scripted, desk):  # noqa: F811
    evil = "\nGETPIN\r\nSETDESC mine%0AGETPIN\\\n\x1b[31m\x00"
    server = scripted(rounds=[Query(evil, evil, ("Code" + evil + ": ", False)), OK])
    mux = desk(server, "1")
    assert mux.ssh("t", "x").stdout == b"in\n"
    lines = mux.pinentry.lines()
    assert [line.split(" ")[0] for line in lines] == ["OPTION", "SETTITLE", "SETDESC", "SETPROMPT",
                                                      "GETPIN"]
    assert "%250A" in lines[2] and "%5C" in lines[2] and "\x1b" not in "".join(lines)


def test_A6_longest_question_fits_a_line(scripted, desk):  # noqa: F811
    server = scripted(rounds=[Query("n" * 8000, "\u00fc%" * 2500, ("p" * 8000 + ": ", False)), OK])
    mux = desk(server, "1")
    assert mux.ssh("t", "x").stdout == b"in\n"
    assert max(len(line.encode()) for line in mux.pinentry.lines()) < 1000
    assert mux.pinentry.said("SETDESC")[0].startswith("ssh-mux: login to ")


@pytest.mark.parametrize("says", ["ERR 83886179 Operation cancelled <Pinentry>",
                                  "ERR 83886194 Not confirmed <Pinentry>"])
def test_A6_cancel_ends_the_login(scripted, desk, says):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = desk(server, says)
    begin = time.monotonic()
    done = mux.ssh("t", "x")
    assert done.returncode == 255 and "permission denied" in text_of(done).lower()
    assert time.monotonic() - begin < 10 and not of_kind(server, "answers")
    gone(mux)


@pytest.mark.parametrize("says", ["ERR 83918950 Inappropriate ioctl for device <Pinentry>",
                                  "RAW WHAT?", "RAW D %zz", "RAW INQUIRE QUALITY x",
                                  "RAW " + "x" * 5000, "RAW D " + "y" * 990 + "\nD " + "y" * 990])
def test_A6_pinentry_that_cannot_ask(scripted, desk, says):  # noqa: F811
    """No display, or no pinentry at all: the login is refused with what to do, nothing hangs."""
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = desk(server, says)
    done = mux.ssh("t", "x", timeout=20)
    assert done.returncode == 255 and "ssh-mux proxy" in text_of(done), done
    assert "pinentry can't ask" in mux.log() and not of_kind(server, "answers")
    gone(mux)


def test_A6_pinentry_that_is_not_there(scripted, make_mux, tmp_path):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = make_mux(routes=routes_toml({"t": hop(server)}, top={"pinentry": tmp_path / "none"}),
                   known_hosts=server.known_hosts())
    done = mux.ssh("t", "x", timeout=20)
    assert done.returncode == 255 and "ssh-mux proxy" in text_of(done)
    mux.wait_idle()


@pytest.mark.parametrize("how", ["wait", "hang"])
@pytest.mark.parametrize("void", ["stop", "server", "client"])
def test_A6_a_void_question_goes_away(scripted, desk, how, void):  # noqa: F811
    """The daemon stops, the server hangs up, nobody waits any more: the window closes, even one
    that will not, and nothing is left half open."""
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = desk(server, how)
    client = mux.start_ssh("t", "x")
    poll(lambda: mux.pinentry.asked() == 1, 20, "it asks", 0.05)
    assert mux.pinentry.alive()
    if void == "stop":
        mux.stop()
    elif void == "client":
        client.kill()
    else:
        server.stop()
    client.communicate(timeout=20)
    assert client.returncode != 0
    gone(mux)
    if void != "stop":
        assert not programs_of(mux.pid)
        poll(lambda: not mux.status()["connections"], 10, "no half-open connection", 0.1)


@pytest.mark.big  # a preloaded library and AddressSanitizer don't mix
def test_A6_a_question_has_a_time_limit(scripted, desk):  # noqa: F811
    """Nobody answers: the login ends, and with it the window. The daemon's clock is a fast one."""
    libraries = glob.glob("/usr/lib*/faketime/libfaketime.so.1")
    libraries += glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not libraries:
        pytest.skip("libfaketime is not installed")
    server = scripted(rounds=[Query("", "", CODE), OK])
    # Without its helper, whose answers would take twenty times as long.
    mux = desk(server, "wait", env={"LD_PRELOAD": libraries[0], "FAKETIME": "+0 x20",
                                    "SSH_MUX_CONFINE": "no"})
    begin = time.monotonic()
    done = mux.ssh("t", "x", timeout=60)
    assert done.returncode == 255 and "took too long" in text_of(done), done
    assert mux.pinentry.asked() == 1 and time.monotonic() - begin > 5  # 120 seconds at least
    gone(mux)
    mux.wait_idle()


def test_A6_pinentry_killed_is_a_cancel(scripted, desk):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = desk(server, "wait")
    client = mux.start_ssh("t", "x")
    poll(lambda: mux.pinentry.asked() == 1, 20, "it asks", 0.05)
    os.kill(mux.pinentry.pids()[0], signal.SIGKILL)
    _, err = client.communicate(timeout=20)
    assert client.returncode == 255 and b"permission denied" in err.lower()
    gone(mux)
    mux.wait_idle()


def test_A6_order_client_then_terminal_then_pinentry(scripted, start, tmp_path):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    pinentry = Pinentry(tmp_path / "pinentry", "by pinentry")
    person = Person("by terminal")
    mux = start(server, person, top={"pinentry": pinentry.path})
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\necho by client\n")
    askpass.chmod(0o700)
    done = subprocess.run(mux.argv("t", "x", options=proxied(mux)), capture_output=True, timeout=60,
                          env={**mux.env, "SSH_ASKPASS": str(askpass)}, start_new_session=True,
                          stdin=subprocess.DEVNULL)
    assert done.stdout == b"in\n"
    assert of_kind(server, "answers") == [("answers", ["by client"])]
    assert not person.questions and not pinentry.asked()


def test_A6_terminal_before_pinentry(scripted, start, tmp_path):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    pinentry = Pinentry(tmp_path / "pinentry", "by pinentry")
    mux = start(server, Person("by terminal"), top={"pinentry": pinentry.path})
    assert mux.ssh("t", "x").stdout == b"in\n"
    assert of_kind(server, "answers") == [("answers", ["by terminal"])] and not pinentry.asked()


def test_A6_client_that_cannot_ask_then_pinentry(scripted, desk):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = desk(server, "by pinentry")
    done = subprocess.run(mux.argv("t", "x", options=proxied(mux)), capture_output=True, timeout=60,
                          env=mux.env, start_new_session=True, stdin=subprocess.DEVNULL)
    assert done.stdout == b"in\n"
    assert of_kind(server, "answers") == [("answers", ["by pinentry"])]


def test_A6_only_the_systems_pinentry_without_being_told(scripted, make_mux, tmp_path):  # noqa: F811
    """With a display, "pinentry" is looked for in the system's directories, never in PATH; and
    without a display there is nobody. The system's can't show anything here: refused, no hang."""
    server = scripted(rounds=[Query("", "", CODE), OK])
    poison = Pinentry(tmp_path / "bin", "stolen")
    for display in ({}, {"DISPLAY": ":77"}, {"WAYLAND_DISPLAY": "wayland-77"}):
        mux = make_mux(routes=routes_toml({"t": hop(server)}), known_hosts=server.known_hosts(),
                       env={"PATH": f"{poison.dir}:{os.environ['PATH']}", **display})
        done = mux.ssh("t", "x", timeout=20)
        assert done.returncode == 255 and "ssh-mux proxy" in text_of(done)
        tried = display and os.path.exists("/usr/bin/pinentry")
        assert ("pinentry can't ask" in mux.log()) == bool(tried)
    assert not poison.pids()


def test_A6_pinentry_none_is_none(scripted, make_mux):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = make_mux(routes=routes_toml({"t": hop(server)}, top={"pinentry": "none"}),
                   known_hosts=server.known_hosts(), env={"DISPLAY": ":77"})
    assert mux.ssh("t", "x").returncode == 255
    assert "pinentry" not in mux.log()


@pytest.mark.parametrize("answer, code", [("", 0), ("ERR 83886194 Not confirmed", 255),
                                          ("ERR 83886179 Operation cancelled", 255)])
def test_A6_K2_host_key_is_confirmed(make_sshd, desk, answer, code):
    sshd = make_sshd()
    mux = desk(sshd, answer, known="")
    done = mux.ssh("t", "echo in")
    assert done.returncode == code, done
    assert mux.pinentry.said("CONFIRM") == [""] and not mux.pinentry.said("GETPIN")
    desc, = mux.pinentry.said("SETDESC")
    assert "SHA256:" in desc and "authenticity" in desc
    assert bool(mux.known_hosts_path.read_text()) == (code == 0)


# ---- the real pinentry-curses, in a terminal of the client's -------------------------------------

needs_curses = pytest.mark.skipif(
    not os.path.exists(CURSES) or shutil.which("tmux") is None or otp_sshd.missing() is not None,
    reason="no pinentry-curses, no tmux or no one-time codes here",
)


class Screen:
    """A terminal of tmux's, with a shell."""

    def __init__(self, env):
        self.env = {**env, "TERM": "screen", "LC_ALL": "C.UTF-8"}
        self.socket = ["tmux", "-L", f"smx-p{os.getpid()}", "-f", "/dev/null"]
        self.run("new-session", "-d", "-s", "t", "-x", "100", "-y", "30", "sh")

    def run(self, *args):
        return subprocess.run([*self.socket, *args], capture_output=True, text=True, check=True,
                              env=self.env).stdout

    def type(self, *keys):
        self.run("send-keys", "-t", "t", *keys)

    def check_usable(self):
        """The terminal is as it was: lines are edited, and what is typed is seen. The window may
        still be there for a moment, and take the first keys."""
        for attempt in range(20):
            self.type(f"echo typed-$((20 + 1))-{attempt}", "Enter")
            try:
                shown = self.wait(f"\ntyped-21-{attempt}", timeout=1)
            except AssertionError:
                continue
            assert f"echo typed-$((20 + 1))-{attempt}" in shown
            return
        raise AssertionError(self.run("capture-pane", "-p", "-t", "t"))

    def wait(self, *texts, timeout=30):
        def found():
            shown = self.run("capture-pane", "-p", "-t", "t")
            return all(t in shown for t in texts) and shown

        try:
            return poll(found, timeout, str(texts), 0.1)
        except AssertionError:
            raise AssertionError(self.run("capture-pane", "-p", "-t", "t")) from None

    def stop(self):
        subprocess.run([*self.socket, "kill-server"], capture_output=True)


@pytest.fixture
def curses(keys, cleanup, make_mux):
    """(daemon, screen): ssh through `proxy`, whose environment names the real pinentry-curses."""
    bastion = cleanup(otp_sshd.OtpSshd(keys, "bastion"))
    mux = make_mux(routes=routes_toml({"t": hop(bastion)}), known_hosts=bastion.known_hosts())
    mux.bastion = bastion
    screen = cleanup(Screen({**mux.env, "SSH_MUX_PINENTRY": CURSES}))
    command = shlex.join(map(str, mux.argv("t", "echo arrived-$((40 + 2))", options=proxied(mux))))
    screen.type(f"PS1='ready> '; clear; {command}; echo code=$?", "Enter")
    return mux, screen


@needs_curses
def test_A6_pinentry_curses_in_the_clients_terminal(curses):
    mux, screen = curses
    shown = screen.wait("login to", "One-time password")
    code = mux.bastion.code()
    assert "\u2500" in shown or "---" in shown or "+-" in shown  # its frame
    screen.type(code, "Enter")
    shown = screen.wait("arrived-42", "code=0")
    assert code not in shown and mux.bastion.used() == 1
    screen.check_usable()


@needs_curses
@pytest.mark.parametrize("typed", [CANCEL, ["C-c"]], ids=["button", "Ctrl-C"])
def test_A6_pinentry_curses_cancelled(curses, typed):
    mux, screen = curses
    screen.wait("One-time password")
    screen.type(*typed)
    screen.wait("permission denied: the question was cancelled", "code=255")
    poll(lambda: not mux.status()["connections"], 10, "no half-open connection", 0.1)
    screen.check_usable()
    assert mux.bastion.used() == 0
    mux.wait_idle()


@needs_curses
def test_A6_pinentry_curses_goes_away_with_the_question(curses):
    mux, screen = curses
    screen.wait("One-time password")
    mux.stop()
    screen.check_usable()


@needs_curses
def test_A6_pinentry_curses_without_a_terminal(curses, make_mux):
    """It can't ask: said as if there were nobody."""
    mux, screen = curses
    screen.wait("One-time password")
    screen.type(*CANCEL)
    screen.wait("code=255")
    os.utime(mux.ssh_dir / "id_ed25519")  # or the answer before would be given (U5)
    done = subprocess.run(mux.argv("t", "true", options=proxied(mux)), capture_output=True,
                          env={**mux.env, "SSH_MUX_PINENTRY": CURSES}, start_new_session=True,
                          stdin=subprocess.DEVNULL, timeout=30)
    assert done.returncode == 255 and b"ssh-mux proxy" in done.stderr


def test_A6_clients_pinentry_by_absolute_path_only(scripted, make_mux, tmp_path):  # noqa: F811
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux = make_mux(routes=routes_toml({"t": hop(server)}), known_hosts=server.known_hosts())
    pinentry = Pinentry(tmp_path / "bin", "right")
    for name, code in (("pinentry", 255), (str(pinentry.path), 0)):
        env = {**mux.env, "SSH_MUX_PINENTRY": name,
               "PATH": f"{pinentry.dir}:{os.environ['PATH']}"}
        done = subprocess.run(mux.argv("t", "x", options=proxied(mux)), capture_output=True,
                              env=env, start_new_session=True, stdin=subprocess.DEVNULL, timeout=30)
        assert done.returncode == code, done
    assert pinentry.asked() == 1 and of_kind(server, "answers") == [("answers", ["right"])]
