# SPDX-License-Identifier: MIT
"""ssh as an editor or a desktop client runs it: no terminal, an SSH_ASKPASS of its own, standard
error kept as a log. What the program is asked and what the log shows, next to plain ssh (A12, A13,
A14)."""
import subprocess

import pytest

import masters
import otp_sshd
from peers import SSH, USER, hop, poll, routes_toml
from test_prompts import FAILED, OK, Query, of_kind, scripted  # noqa: F401
from test_proxy import proxied

WHOM = f"{USER}@127.0.0.1"
DOORS = ["proxy", "control"]
BANNER = "Authorised use only.\n\n  Terms: https://terms.example/of/use\n"
MENU = ("Two-step login for me\n\nEnter a passcode or select one of the following options:\n\n"
        " 1. Push to XXX-XXX-1234\n\nPasscode or option (1-1): ")  # fmt: skip


class Editor:
    """Runs ssh, answers by pattern, and keeps what it saw."""

    def __init__(self, mux, server, answers):
        self.mux, self.server = mux, server
        self.program, self.asked_path = mux.dir / "askpass", mux.dir / "asked"
        cases = "".join(f"*{words}*) echo '{answer}';;\n" for words, answer in answers.items())
        self.program.write_text(
            f'#!/bin/sh\nprintf "%s|%s\\0" "$1" "${{SSH_ASKPASS_PROMPT-unset}}" >>{self.asked_path}\n'
            f"case $1 in\n{cases}esac\n")
        self.program.chmod(0o700)

    def argv(self, door):
        if door == "plain":
            known = self.mux.dir / "plain_known"
            known.write_text(self.server.known_hosts())
            return [SSH, "-F", "none", "-T", "-p", str(self.server.port), "-i", self.mux.keys.make("remote"),
                    "-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes",
                    "-o", "GlobalKnownHostsFile=none", WHOM, "true"]  # fmt: skip
        if door == "proxy":
            return self.mux.argv("t", "true", options=[*proxied(self.mux), "-o", "BatchMode=no"])
        config = masters.client_config(self.mux.dir / "client", self.server)
        config.write_text(config.read_text().replace("BatchMode yes", "BatchMode no"))
        return masters.Client(config, masters.socket_of(self.mux)).argv("true")

    def run(self, door):
        """(exit code, what was asked, lines of standard error)."""
        self.asked_path.write_text("")
        done = subprocess.run(self.argv(door), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, start_new_session=True, check=False,
                              env={**self.mux.env, "SSH_ASKPASS": str(self.program), "DISPLAY": ":77",
                                   "SSH_ASKPASS_REQUIRE": "force"})  # fmt: skip
        return done.returncode, self.asked_path.read_text().split("\0")[:-1], done.stderr.splitlines()


@pytest.fixture
def editor(keys, make_mux):
    def make(server, answers):
        mux = make_mux(routes=routes_toml({"t": hop(server)}), known_hosts=server.known_hosts(),
                       env={"SSH_ASKPASS": "", "DISPLAY": ""})
        mux.keys = keys
        return Editor(mux, server, answers)

    return make


def of_server(lines):
    """The server's rows of a log, in order. All others are ours, and say so."""
    assert all(line.startswith((" |", "ssh-mux: ")) for line in lines), lines
    return [line[3:] for line in lines if line.startswith(" |")]


@pytest.mark.parametrize("door", DOORS)
def test_A12_A13_A14_the_log_of_an_editor_has_what_plain_ssh_says_there(editor, scripted, door):  # noqa: F811
    server = scripted(get_banner=lambda self: (BANNER, "en"), rounds=[
        Query("", "Password + token\nTwo things are needed.", ("Password: ", False),
              ("Token_Response: ", False)),
        Query("", "", (MENU, True)),
        Query("", "Pushed a login request to your device..."),
        OK,
    ])  # fmt: skip
    one = editor(server, {"assword:": "secret", "oken": "123456", "option": "1"})
    plain, ours = one.run("plain"), one.run(door)
    assert plain[0] == ours[0] == 0, (plain, ours, one.mux.log()[-2000:])
    # The program is asked the same, in OpenSSH's words.
    assert ours[1] == plain[1] and plain[1][0] == f"({WHOM}) Password: |unset", (plain, ours)
    # The log has all of it, in order, and says whose it is; what only looks like more is not there.
    assert [line for line in plain[2] if line] == [line for line in of_server(ours[2]) if line]
    assert "Two things are needed." in plain[2] and "Authorised use only." in plain[2]
    assert [line for line in ours[2] if not line.startswith(" |")] == 3 * [f"ssh-mux: {WHOM} says:"]
    answers = [a for _, a in of_kind(server, "answers")]
    assert answers == 2 * [["secret", "123456"], ["1"], []]
    # With the login there, there is nothing to say.
    assert one.run(door) == (0, [], [])


@pytest.mark.parametrize("door", DOORS)
def test_A14_a_wrong_password_is_said_in_the_log(editor, scripted, door):  # noqa: F811
    server = scripted(methods="password", passwords=[FAILED, OK])
    one = editor(server, {"password": "secret"})
    plain, ours = one.run("plain"), one.run(door)
    assert plain == (0, 2 * [f"{WHOM}'s password: |unset"], ["Permission denied, please try again."])
    assert ours == (*plain[:2], ["ssh-mux: Permission denied, please try again."])


@pytest.mark.parametrize("door", DOORS)
def test_A12_A7_a_servers_text_in_a_log_is_marked_and_clean(editor, scripted, door):  # noqa: F811
    text = "\x1b[2J\x1b]0;mine\x07red\r\nssh-mux: all is well\n" + "".join(f"line {i}\n" for i in range(100))
    server = scripted(get_banner=lambda self: (text, "en"), rounds=[Query("", "", ("Code: ", False)), OK])
    code, asked, lines = editor(server, {"Code": "1"}).run(door)
    assert (code, asked) == (0, [f"({WHOM}) Code: |unset"])
    assert not any(c < " " for line in lines for c in line), lines
    assert lines[0] == f"ssh-mux: {WHOM} says:" and " | ssh-mux: all is well" in lines
    assert all(line.startswith(" | ") for line in lines[1:]) and len(lines) <= 21, lines


@pytest.mark.parametrize("door", DOORS)
def test_A17_an_editor_reads_in_its_log_who_is_asked(editor, scripted, door):  # noqa: F811
    """While another program asks, a second one waits, and says for what."""
    server = scripted(rounds=[Query("", "", ("Code: ", False)), OK])
    one = editor(server, {"Code": "1"})
    go = one.mux.dir / "go"
    one.program.write_text(one.program.read_text() + f"until [ -e {go} ]; do sleep 0.1; done\n")
    env = {**one.mux.env, "SSH_ASKPASS": str(one.program), "SSH_ASKPASS_REQUIRE": "force"}
    start = lambda: subprocess.Popen(  # noqa: E731
        one.argv(door), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env=env, start_new_session=True)
    first = start()
    poll(lambda: one.asked_path.exists() and one.asked_path.read_text(), 30, "the program is asked")
    second = start()
    assert second.stderr.readline() == (f"ssh-mux: waiting for the login to {WHOM}: "
                                        "the code or password is asked for at a window\n")
    go.touch()
    for client in (first, second):
        assert client.communicate(timeout=60)[1] == "" and client.returncode == 0
    assert one.asked_path.read_text().count("\0") == 1


@pytest.mark.skipif(otp_sshd.missing() is not None, reason=str(otp_sshd.missing()))
@pytest.mark.parametrize("door", DOORS)
def test_A12_A14_with_a_real_sshd_and_a_code(editor, keys, cleanup, door, tmp_path):
    """Its Banner in the log; what PAM's modules say goes to the program with the prompt, as with plain ssh."""
    banner = tmp_path / "banner"
    banner.write_text(BANNER)

    class Echoing(otp_sshd.OtpSshd):
        def auth(self):
            news = self.dir / "news"
            news.write_text("Maintenance on Sunday.\n")
            return f"auth optional {otp_sshd.library('security/pam_echo.so')} file={news}\n" + super().auth()

    server = cleanup(Echoing(keys, "echoing", Banner=str(banner)))
    one = editor(server, {})
    one.program.write_text(one.program.read_text() + 'echo "$CODE"\n')
    seen = []
    for way in ("plain", door):
        one.mux.env["CODE"] = server.code()
        seen.append(one.run(way))
    plain, ours = seen
    assert plain[0] == ours[0] == 0, (seen, one.mux.log()[-2000:])
    assert ours[1] == plain[1] and "Maintenance on Sunday." in plain[1][0], seen
    assert [line for line in plain[2] if line] == [line for line in of_server(ours[2]) if line]
    assert server.used() == 2
