# SPDX-License-Identifier: MIT
"""What a person sees on a terminal of 80 columns and 24 rows (A14), while an agent waits for him
(A15), and where he is asked if several wait (A17)."""
import os
import shutil
import signal
import subprocess
import time

import pytest

import masters
from peers import USER, hop, poll, routes_toml
from sk_agent import SkAgent
from test_control_ask import Screen2, counter
from test_prompts import FAILED, OK, Person, Query, of_kind, scripted, start  # noqa: F401

pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")

WHOM = f"{USER}@127.0.0.1"
HEAD = f"ssh-mux: login to {WHOM}"


class Screen80(Screen2):
    """As small as they come."""

    def __init__(self, env, shell="sh"):  # pylint: disable=super-init-not-called
        self.env = {**env, "TERM": "screen", "LC_ALL": "C.UTF-8"}
        self.socket = ["tmux", "-L", f"smx-q{os.getpid()}-{next(counter)}", "-f", "/dev/null"]
        self.run("new-session", "-d", "-s", "t", "-x", "80", "-y", "24", shell)

    def lines(self):
        return self.run("capture-pane", "-p", "-t", "t").splitlines()


@pytest.fixture
def screen(cleanup):
    """screen(mux): a terminal whose shell is ready."""

    def make(mux, **env):
        clean = {k: v for k, v in {**mux.env, **env}.items()
                 if k not in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE")}
        one = cleanup(Screen80(clean))
        one.type("PS1='ready> '; clear", "Enter")
        one.wait("ready>")
        return one

    return make


def commands(mux, server):
    """How a person at a terminal comes to a login, but for who sits at that of serve."""
    config = masters.client_config(mux.dir / "plain", server)
    config.write_text(config.read_text().replace("BatchMode yes", "BatchMode no"))
    client = masters.Client(config, masters.socket_of(mux))
    return {
        "connect": [mux.binary, "connect", "t", "true"],
        "proxy": mux.argv("t", "true", options=["-o", f"ProxyCommand={mux.binary} proxy t",
                                                "-o", "BatchMode=no"]),
        "control": client.argv("true"),
    }


def run(one, argv):
    """Through a file: a long command would fill the screen."""
    script = one.env["SMX_SCRIPT"] = os.path.join(one.env["HOME_OF_TEST"], f"run-{next(counter)}")
    with open(script, "w", encoding="utf-8") as f:
        f.write("exec " + " ".join(f"'{w}'" for w in map(str, argv)) + "\n")
    one.type(f"clear; sh {script}; echo code=$?", "Enter")


@pytest.fixture
def asked(scripted, make_mux, tmp_path):  # noqa: F811
    """asked(*rounds): a daemon without a terminal; its route t is a server that asks that."""

    def make(*rounds, **more):
        server = scripted(rounds=rounds)
        mux = make_mux(routes=routes_toml({"t": hop(server)}), known_hosts=server.known_hosts(),
                       identity=False, env={"SSH_ASKPASS": "", "DISPLAY": ""}, **more)
        mux.server = server
        mux.env["HOME_OF_TEST"] = str(tmp_path)
        return mux

    return make


MENU = Query("Duo", "Two-step login for jdoe\r\n", (
    "\nEnter a passcode or select one of the following options:\n\n"
    " 1. Push to XXX-XXX-1234\n 2. Phone call\n\nPasscode or option (1-2): ", True))
MENU_LINES = [
    HEAD,
    " | Duo",
    " | Two-step login for jdoe",
    " | Enter a passcode or select one of the following options:",
    " |",
    " |  1. Push to XXX-XXX-1234",
    " |  2. Phone call",
    " |",
    f"({WHOM}) Passcode or option (1-2):",
]
PICTURE = "   _   _   _\n  / \\ / \\ / \\\n ( j | P | H )\n  \\_/ \\_/ \\_/\n"


def told(one, text):
    """What is longer than a row goes on in the next one."""
    poll(lambda: text in "".join(line.ljust(80) for line in one.lines()).rstrip(), 30, text)


def after(one, first, n):
    """n lines from `first` on."""
    lines = one.lines()
    at = lines.index(first)
    return [line.rstrip() for line in lines[at:at + n]]


@pytest.mark.parametrize("door", ["connect", "proxy", "control"])
def test_A14_a_menu_is_a_menu_and_a_picture_a_picture(asked, screen, door):
    mux = asked(MENU, Query("", PICTURE, ("Letters: ", True), ("PIN: ", False)), OK)
    one = screen(mux)
    run(one, commands(mux, mux.server)[door])
    one.wait("Passcode or option (1-2):")
    assert after(one, HEAD, len(MENU_LINES)) == MENU_LINES
    one.type("1", "Enter")
    one.wait("Letters:")
    assert after(one, f"{HEAD}, question 1 of 2", 6) == [
        f"{HEAD}, question 1 of 2", *(" | " + line for line in PICTURE.splitlines()),
        f"({WHOM}) Letters:"]
    one.type("jPH", "Enter")
    # A later one has a head, too, and comes at once behind the answer.
    one.wait("PIN:")
    assert after(one, f"({WHOM}) Letters: jPH", 3) == [
        f"({WHOM}) Letters: jPH", f"{HEAD}, question 2 of 2", f"({WHOM}) PIN:"]
    one.type("99", "Enter")
    one.wait("code=0")
    assert [a for _, a in of_kind(mux.server, "answers")] == [["1"], ["jPH", "99"]]
    one.check_usable()


def test_A14_at_the_terminal_of_serve(scripted, start):  # noqa: F811
    server = scripted(rounds=[MENU, OK])
    person = Person("2")
    mux = start(server, person)
    assert mux.ssh("t", "x").stdout == b"in\n"
    shown = [line.rstrip() for line in person.seen.decode().split("\r\n")]
    at = shown.index(HEAD)
    assert shown[at:at + len(MENU_LINES)] == MENU_LINES[:-1] + [MENU_LINES[-1] + " 2"]


FAKE = "Enter passphrase for key '/home/me/.ssh/id_ed25519': "


@pytest.mark.parametrize("door", ["connect", "control"])
@pytest.mark.parametrize("fake", [
    Query("", "\n" * 100 + " " * 4000, (" " * 900 + FAKE, False)),
    Query("x" * 8000, HEAD + "\n" + FAKE, ("\r\n" + FAKE, False)),
    Query("", "https://" + "x" * 69 + " " + "y" * 77 + FAKE, ("\x1b[2J\x1b[H" + FAKE, False)),
], ids=["blanks", "lines", "widths"])
def test_A14_a_servers_question_is_no_question_of_ours(asked, screen, fake, door):
    """The whole question is seen, and each row of it that is not ours says so."""
    mux = asked(fake, OK)
    one = screen(mux)
    run(one, commands(mux, mux.server)[door])
    one.wait(f"({WHOM}) Enter passphrase for key")
    lines = one.lines()
    lines = [line.rstrip() for line in lines[lines.index(HEAD):] if line.strip()]
    assert all(line.startswith(" |") or set(line) == {"x"} for line in lines[1:-1]), lines
    assert lines[-1] == f"({WHOM}) {FAKE.strip()}", lines
    assert lines.count(HEAD) == 1
    one.type("C-c")
    one.wait("ready>")


def test_A14_a_wrong_answer_is_said_once(asked, screen):
    """With the server's next challenge; a second round of that one is a new question."""
    ask, more = Query("", "", ("Code: ", True)), Query("", "", ("PIN: ", True))
    mux = asked(ask, FAILED, ask, more, OK)
    one = screen(mux)
    run(one, commands(mux, mux.server)["connect"])
    for text in ("1", "2", "3"):
        n = int(text)
        poll(lambda: sum(f"({WHOM}) " in line for line in one.lines()) == n, 30, "question")  # pylint: disable=cell-var-from-loop
        one.type(text, "Enter")
    one.wait("code=0")
    lines = [line.rstrip() for line in one.lines() if line.strip()]
    at = lines.index(f"({WHOM}) Code: 1")
    assert lines[at:at + 5] == [
        f"({WHOM}) Code: 1", "ssh-mux: that answer was not accepted (try 2 of 3)", HEAD,
        f"({WHOM}) Code: 2", HEAD]
    assert lines[at + 5] == f"({WHOM}) PIN: 3"


# ---- an agent that waits for its person (A15) ------------------------------------------------------


@pytest.fixture
def held(make_mux, make_sshd, tmp_path):
    """held(agent, key): a daemon with that agent alone, whose server takes that key."""

    def make(agent, key, **options):
        sshd = make_sshd(accept=[key], **options)
        mux = make_mux(sshd, identity=False, agent=agent)
        mux.env["HOME_OF_TEST"] = str(tmp_path)
        mux.sshd = sshd
        return mux

    return make


@pytest.mark.parametrize("door", ["connect", "proxy", "control"])
def test_A15_a_security_key_wants_to_be_touched(held, screen, cleanup, door):
    agent = cleanup(SkAgent())
    mux = held(agent, agent.public("touch"))
    one, other = screen(mux), screen(mux)
    run(one, commands(mux, mux.sshd)[door])
    text = (f"ssh-mux: touch your security key for the login to {WHOM} "
            f"(sk-ssh-ed25519@openssh.com {agent.fingerprint()})")
    told(one, text)
    # Who comes now waits for the same touch, and is told the same.
    run(other, commands(mux, mux.sshd)[door])
    told(other, text)
    agent.touched.set()
    for each in (one, other):
        each.wait("code=0")
    assert mux.sshd.logins() == 1 and "touch your security key" in mux.log()


def test_A15_a_security_key_that_wants_no_touch_is_not_mentioned(held, screen, cleanup):
    agent = cleanup(SkAgent())
    agent.touched.set()
    mux = held(agent, agent.public("touch"))
    one = screen(mux)
    run(one, commands(mux, mux.sshd)["connect"])
    one.wait("code=0")
    assert "touch" not in "".join(one.lines()) + mux.log()


@pytest.fixture
def asking(held, make_agent, keys, tmp_path, monkeypatch):
    """(mux, go): a real ssh-agent with `ssh-add -c`, whose own SSH_ASKPASS says yes when go is there."""
    program, go = tmp_path / "confirm", tmp_path / "go"
    program.write_text(f"#!/bin/sh\nuntil [ -e {go} ]; do sleep 0.1; done\n")
    program.chmod(0o700)
    monkeypatch.setenv("SSH_ASKPASS", str(program))
    monkeypatch.setenv("DISPLAY", ":77")
    agent = make_agent()
    monkeypatch.undo()
    key = keys.make("confirmed")
    agent.call("ssh-add", "-q", "-c", str(key), check=True)
    return held(agent, key), go


def test_A15_an_agent_that_asks(asking, screen):
    """A real ssh-agent, with `ssh-add -c`: its SSH_ASKPASS takes its time."""
    mux, go = asking
    one = screen(mux)
    run(one, commands(mux, mux.sshd)["connect"])
    told(one, f"ssh-mux: the login to {WHOM} waits for your agent: confirm there the use of the key "
              "ssh-ed25519 SHA256:")
    go.touch()
    one.wait("code=0")


class Shower:
    """A client's SSH_ASKPASS: notes what it is to show and how, and stays."""

    def __init__(self, path):
        self.program, self.shown = path / "shower", path / "shown"
        self.shown.write_text("")
        self.program.write_text(f'#!/bin/sh\necho "$$|${{SSH_ASKPASS_PROMPT-unset}}|$1" >>{self.shown}\n'
                                "exec sleep 600\n")
        self.program.chmod(0o700)

    def all(self):
        """Each that was started: (process id, hint, text)."""
        return [line.split("|") for line in self.shown.read_text().splitlines()]

    def running(self):
        return [pid for pid, *_ in self.all() if os.path.exists(f"/proc/{pid}/exe")]

    def client(self, mux):
        """One of a control socket, without a terminal."""
        env = {**mux.env, "SSH_ASKPASS": str(self.program), "DISPLAY": ":77"}
        return subprocess.Popen(commands(mux, mux.sshd)["control"], env=env, start_new_session=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("end", ["signature", "login", "client", "closed"])
def test_A15_an_askpass_shows_the_touch_as_long_as_it_is_waited_for(held, cleanup, tmp_path, end):
    """As plain ssh shows it for a key of its own; one, however many wait."""
    agent, shower = cleanup(SkAgent()), Shower(tmp_path)
    mux = held(agent, agent.public("touch"))
    first = shower.client(mux)
    poll(shower.all, 20, "the message")
    other = shower.client(mux)
    time.sleep(2)  # as long as it would take to be shown to the other
    (pid, hint, text), = shower.all()
    assert hint == "none" and text == (f"touch your security key for the login to {WHOM} "
                                       f"(sk-ssh-ed25519@openssh.com {agent.fingerprint()})")
    assert shower.running() == [pid] and first.poll() is None and other.poll() is None
    if end == "client":
        first.kill()
    elif end == "login":
        mux.sshd.stop()
    elif end == "closed":
        os.kill(int(pid), signal.SIGTERM)
    else:
        agent.touched.set()
    poll(lambda: not shower.running(), 10, "its end")
    if end in ("client", "closed"):
        assert other.poll() is None  # it waits on
        agent.touched.set()
    assert (other.wait(30) == 0) == (end != "login")
    assert (first.wait(30) == 0) == (end in ("signature", "closed"))
    assert len(shower.all()) == 1 and mux.sshd.logins() == (end != "login")


def test_A15_the_message_ends_with_the_touch_and_not_with_the_login(held, cleanup, tmp_path):
    """The server wants a password besides: that is asked for when the message is gone."""
    agent, shower = cleanup(SkAgent()), Shower(tmp_path)
    mux = held(agent, agent.public("touch"), PasswordAuthentication="yes",
               AuthenticationMethods="publickey,password")
    client = shower.client(mux)
    poll(shower.all, 20, "the message")
    agent.touched.set()
    poll(lambda: len(shower.all()) == 2, 20, "the question")
    (_, _, text), (question, hint, _) = shower.all()
    assert "touch your security key" in text and hint == "unset"
    poll(lambda: shower.running() == [question], 10, "the message's end")
    client.kill()
    client.wait(10)
    poll(lambda: not shower.running(), 10, "the question's end")


def test_A15_no_askpass_is_started_where_a_touch_is_quick_or_the_agent_asks(
        held, cleanup, asking, tmp_path):
    agent, shower = cleanup(SkAgent()), Shower(tmp_path)
    agent.touched.set()
    assert shower.client(held(agent, agent.public("touch"))).wait(30) == 0
    mux, go = asking
    client = shower.client(mux)
    poll(lambda: "waits for your agent" in mux.log(), 20, "the wait")
    time.sleep(1)
    go.touch()
    assert client.wait(30) == 0 and not shower.all()


# ---- several who wait (A17) ------------------------------------------------------------------------


def test_A17_a_question_goes_from_one_to_the_next_and_ends_with_the_last(asked, screen):
    mux = asked(Query("", "", ("Code: ", False)), OK)
    ways = commands(mux, mux.server)
    screens = [screen(mux) for _ in range(3)]
    run(screens[0], ways["connect"])
    screens[0].wait("Code:")
    for one, door in zip(screens[1:], ("proxy", "control")):
        run(one, ways[door])
        told(one, f"ssh-mux: waiting for the login to {WHOM}: the code or password is asked for at "
                  "another terminal")
        assert HEAD not in one.lines()
    screens[0].type("C-c")
    screens[0].wait("code=")
    screens[1].wait("Code:")
    assert HEAD not in screens[2].lines()
    screens[1].type("C-c")
    screens[1].wait("code=")
    screens[2].wait("Code:")
    # One login all the time, and its one question.
    assert len(of_kind(mux.server, "kbdint")) == 1 and len(mux.status()["connections"]) == 1
    screens[2].type("C-c")
    screens[2].wait("ready>")
    poll(lambda: not mux.status()["connections"], 20, "the login's end")
    assert not of_kind(mux.server, "answers")
    time.sleep(0.5)
    assert len(of_kind(mux.server, "kbdint")) == 1


def test_A17_who_comes_while_serve_asks_is_told(scripted, start, screen, tmp_path):  # noqa: F811
    """The question stays where it is."""
    server = scripted(rounds=[Query("", "", ("Code: ", False)), OK])
    person = Person()
    mux = start(server, person)
    mux.env["HOME_OF_TEST"] = str(tmp_path)
    first = mux.start_ssh("t", "x")
    poll(lambda: person.questions, 20, "the question at serve's terminal")
    one = screen(mux)
    run(one, [mux.binary, "connect", "t", "true"])
    told(one, f"ssh-mux: waiting for the login to {WHOM}: the code or password is asked for at the "
              "terminal of ssh-mux serve")
    os.write(person.master, b"123\r")
    one.wait("code=0")
    assert first.wait(20) == 0 and len(of_kind(server, "answers")) == 1
