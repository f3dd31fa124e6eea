# SPDX-License-Identifier: MIT
"""What a server says during a login and asks nothing about: banners, rounds without prompts
(A12, A13)."""
import re
import threading
import time

import paramiko
import pexpect
import pytest

import masters
import pyssh
from peers import USER, poll, routes_toml

BANNER = "# This host wants one more check.\r\n# To go on, visit: https://login.example/a/1234\r\n"
ROUNDS = [
    ("Sign-in", "To sign in, open https://example.org/device\nand enter the code ABCD-1234"),
    ("", "Match the number: 42"),
    ("", "Signed in. Your password expires in 3 days."),
]


class Talker(pyssh.Interface):
    """Says a banner, then goes through rounds that ask nothing, and waits before the last."""

    banner, rounds = "", ROUNDS

    def get_banner(self):
        return (self.banner, "en") if self.banner else (None, None)

    def get_allowed_auths(self, username):
        return "keyboard-interactive"

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_FAILED

    def check_auth_interactive(self, username, submethods):
        self.left = list(self.rounds)
        return self.next_round()

    def check_auth_interactive_response(self, responses):
        assert not responses
        return self.next_round()

    def next_round(self):
        if not self.left:
            self.server.go_on.wait(200)
            return paramiko.AUTH_SUCCESSFUL
        return paramiko.InteractiveQuery(*self.left.pop(0))


@pytest.fixture
def talker(keys, cleanup, make_mux):
    """make(banner, rounds): a daemon with such a server behind its route t; waits for go_on."""

    def make(banner="", rounds=(), **route):
        interface = type("This", (Talker,), {"banner": banner, "rounds": rounds})
        server = cleanup(pyssh.Server(keys.make("host_words"), handler=run, interface=interface))
        server.go_on = threading.Event()
        mux = make_mux(routes=routes_toml({"t": server.hop(**route)}), known_hosts=server.known_hosts())
        mux.server = server
        return mux

    def run(server, channel, name, m):
        if name == "exec":
            server.send(channel, 99)
            channel.send(b"in\n")
            channel.send_exit_status(0)
            threading.Timer(0.2, channel.close).start()
            return None
        return True

    return make


def terminal(mux, *argv):
    child = pexpect.spawn(str(argv[0]), [str(a) for a in argv[1:]], env={**mux.env, "TERM": "xterm"},
                          timeout=40, encoding="utf-8", dimensions=(24, 120))  # fmt: skip
    child.delaybeforesend = None
    return child


def doors(mux):
    """How a person at a terminal comes to the login."""
    proxied = f"ProxyCommand={mux.binary} proxy t"
    return {
        "connect": [mux.binary, "connect", "t", "true"],
        "login": [mux.binary, "login", "t"],
        "proxy": mux.argv("t", "true", options=["-o", proxied, "-o", "BatchMode=no"]),
        "control": masters.Client(masters.client_config(mux.dir / "plain", mux.server),
                                  masters.socket_of(mux)).argv("true"),
    }  # fmt: skip


@pytest.mark.parametrize("door", ["connect", "login", "proxy", "control"])
def test_A12_A13_shown_where_a_question_would_be(talker, door):
    """While the login waits for a person at another place, he reads at his terminal for what."""
    mux = talker(BANNER, ROUNDS)
    child = terminal(mux, *doors(mux)[door])
    child.expect(f"ssh-mux: {USER}@127.0.0.1 says:\r+\n")
    for text in ("# To go on, visit: https://login.example/a/1234", "Sign-in",
                 "To sign in, open https://example.org/device", "and enter the code ABCD-1234",
                 "Match the number: 42", "Signed in. Your password expires in 3 days."):  # fmt: skip
        child.expect(re.escape(f" | {text}") + "\r+\n")
    # It stands in the log and in status as well.
    assert "says: # To go on, visit: https://login.example/a/1234" in mux.log()
    assert any("it says: Signed in." in w for w in mux.status()["warnings"]), mux.status()["warnings"]
    mux.server.go_on.set()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, (child.before, mux.log()[-2000:])
    assert not mux.status()["warnings"]


def test_A12_status_has_all_that_it_says(talker):
    """A page and its code are two lines."""
    mux = talker("", ROUNDS[:1])
    child = terminal(mux, *doors(mux)["connect"])
    words = "it says: Sign-in / To sign in, open https://example.org/device / and enter the code ABCD-1234"
    poll(lambda: any(w.endswith(words) for w in mux.status()["warnings"]), 30, words)
    mux.server.go_on.set()
    child.expect(pexpect.EOF)


def test_A12_A7_a_servers_text_is_no_terminals(talker):
    """Escapes are taken out, and there is at most a screen of it, each line marked."""
    text = "\x1b[2J\x1b[31mred\x07\r\nssh-mux: Enter passphrase for key '/home/me/.ssh/id': \r\n" + "\n" * 50
    mux = talker(text + "".join(f"line {i}\n" for i in range(100)), [])
    mux.server.go_on.set()
    child = terminal(mux, *doors(mux)["connect"])
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    said = [line.strip() for line in child.before.split("\n") if line.strip()]
    assert "\x1b" not in child.before and "\x07" not in child.before
    assert said.pop() == "in"
    assert said[0] == f"ssh-mux: {USER}@127.0.0.1 says:" and said[1] == "| red?", said
    assert said[2] == "| ssh-mux: Enter passphrase for key '/home/me/.ssh/id':", said
    assert all(line.startswith("|") for line in said[2:]) and len(said) <= 22, said
    assert said[-1] == "| line 99" and any(line.endswith(" more lines)") for line in said), said


def test_A12_programs_find_nothing_of_it(talker):
    """Without a terminal, standard error holds what the command wrote there: nothing."""
    mux = talker(BANNER, ROUNDS)
    mux.server.go_on.set()
    done = mux.control("connect", "t", "true")
    assert (done.returncode, done.stderr) == (0, ""), done
    done = mux.ssh("t", "true")
    assert (done.returncode, done.stderr) == (0, b""), done
    assert "To go on, visit" in mux.log()


@pytest.mark.slow
def test_A12_the_time_is_the_servers(talker):
    """As long as it keeps the authentication open the login waits, as ssh does; once nobody waits for it
    any more, it has the usual limit."""
    mux = talker(BANNER, [])
    child = terminal(mux, *doors(mux)["connect"])
    child.expect("https://login.example/a/1234\r+\n")
    time.sleep(100)
    assert child.isalive(), child.before
    mux.server.go_on.set()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, mux.log()[-2000:]


@pytest.mark.slow
def test_A12_a_silent_server_is_given_up(talker):
    """One that says nothing for as long as a connection may be silent."""
    mux = talker(BANNER, [], dead_after=45)
    began = time.monotonic()
    child = terminal(mux, *doors(mux)["connect"])
    child.expect("https://login.example/a/1234\r+\n")
    poll(lambda: not child.isalive(), 200, "the login is given up")
    assert 40 < time.monotonic() - began < 170
    assert "the login took too long" in mux.log()
