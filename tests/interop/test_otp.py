# SPDX-License-Identifier: MIT
"""Logins that ask a person: real one-time codes through PAM, typed at the terminal of `serve`."""
import os
import subprocess
import time

import pytest

import otp_sshd
from peers import hop, routes_toml
from serve_terminal import Terminal, TerminalMux

pytestmark = pytest.mark.skipif(otp_sshd.missing() is not None, reason=str(otp_sshd.missing()))


@pytest.fixture
def start(keys, cleanup, make_sshd):
    """start(answer): bastion with key and code, target with key; the daemon, whose route is t."""

    def run(answer, bastion_options=None):
        bastion = cleanup(otp_sshd.OtpSshd(keys, "bastion", **(bastion_options or {})))
        target = make_sshd()
        terminal = Terminal(lambda question: answer(bastion, question)) if answer else None
        mux = cleanup(
            TerminalMux(
                keys,
                routes=routes_toml({"t": hop(target)}, jump=hop(bastion)),
                known_hosts=bastion.known_hosts() + target.known_hosts(),
                terminal=terminal,
            )
        )
        mux.bastion = bastion
        return mux, terminal

    return run


def test_A2_P7_one_code_serves_all(start):
    mux, terminal = start(lambda bastion, question: bastion.code() + "\r")
    both = [mux.start_ssh("t", "echo both", stdout=subprocess.PIPE) for _ in range(2)]
    for client in both:
        assert client.communicate(timeout=60)[0] == b"both\n"
    for n in range(10):
        assert mux.ssh("t", f"echo {n}").stdout.strip() in (str(n), str(n).encode())
    assert terminal.typed == 1
    assert mux.bastion.used() == 1
    assert mux.bastion.users.read_text().split()[3:4] != []


def test_A6_the_question_says_who_asks_and_shows_no_code(start):
    codes = []

    def answer(bastion, question):
        codes.append(bastion.code())
        return codes[-1] + "\r"

    mux, terminal = start(answer)
    assert mux.ssh("t", "true").returncode == 0
    shown = terminal.seen.decode()
    assert "ssh-mux: login to" in shown and "127.0.0.1" in shown
    assert codes and codes[0] not in shown  # echo flag 0 honoured
    assert codes[0] not in mux.log()


def test_A2_wrong_code_asks_again_as_the_server_does(start):
    answers = iter(["000000\r", None])

    def answer(bastion, question):
        return next(answers) or bastion.code() + "\r"

    mux, terminal = start(answer)
    assert mux.ssh("t", "echo in").returncode == 0
    assert terminal.typed == 2


def test_A2_three_wrong_codes_are_a_clean_denial(start):
    mux, terminal = start(lambda bastion, question: "000000\r")
    done = mux.ssh("t", "true")
    assert done.returncode == 255
    assert "permission denied" in str(done.stderr).lower()
    assert terminal.typed == 3
    assert mux.bastion.used() == 0


def test_A6_ctrl_c_ends_the_login_at_once(start):
    mux, terminal = start(lambda bastion, question: "\x03")
    begin = time.monotonic()
    done = mux.ssh("t", "true")
    assert done.returncode == 255
    assert "permission denied" in str(done.stderr).lower()
    assert time.monotonic() - begin < 10
    mux.wait_idle()


def test_L11_code_typed_late(start):
    def answer(bastion, question):
        time.sleep(31)
        return bastion.code() + "\r"

    mux, terminal = start(answer)
    done = mux.ssh("t", "echo late", options=["-oConnectTimeout=5"])
    assert done.returncode == 0 and terminal.typed == 1


def test_A6_nobody_to_ask_is_said(start):
    mux, _ = start(None)
    done = mux.ssh("t", "true")
    assert done.returncode == 255
    assert "foreground of a terminal" in str(done.stderr)


def test_B2_full_connection_whose_login_needs_a_person(keys, cleanup):
    """MaxSessions reached, and another login would take another code: a clear refusal."""
    server = cleanup(otp_sshd.OtpSshd(keys, "server", MaxSessions=2))
    terminal = Terminal(lambda question: server.code() + "\r")
    mux = cleanup(
        TerminalMux(
            keys,
            routes=routes_toml({"t": hop(server)}),
            known_hosts=server.known_hosts(),
            terminal=terminal,
        )
    )
    held = [mux.start_ssh("t", "echo up; cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(2)]
    for client in held:
        assert client.stdout.readline() == b"up\n"
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and "MaxSessions" in str(done.stderr)
    assert terminal.typed == 1
    for client in held:
        client.communicate(timeout=20)
        assert client.returncode == 0
    assert mux.ssh("t", "true").returncode == 0


def test_A2_P1_one_code_for_a_day_of_work(start, tmp_path):
    """One code, then ssh × 20, sftp, git, two connects: no further question."""
    mux, terminal = start(lambda bastion, question: bastion.code() + "\r")
    for n in range(20):
        assert mux.ssh("t", f"echo {n}").stdout == f"{n}\n".encode()

    here, there = tmp_path / "here", tmp_path / "there"
    here.write_bytes(b"through sftp")
    done = subprocess.run(["sftp", "-q", "-F", mux.config_path, "-b", "-", "t@mux"],
                          input=f"put {here} {there}\n".encode(), capture_output=True, timeout=60)
    assert done.returncode == 0 and there.read_bytes() == b"through sftp"

    git = {**os.environ, "GIT_SSH_COMMAND": f"ssh -F {mux.config_path}", "HOME": str(tmp_path),
           "GIT_CONFIG_NOSYSTEM": "1"}
    bare, clone = tmp_path / "bare.git", tmp_path / "clone"
    subprocess.run(["git", "init", "-q", "--bare", bare], check=True, env=git)
    subprocess.run(["git", "clone", "-q", f"t@mux:{bare}", clone], check=True, env=git,
                   capture_output=True)

    for n in range(2):
        done = subprocess.run([mux.binary, "connect", "t", f"echo connect {n}; exit {n}"],
                              env=mux.env, capture_output=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        assert (done.stdout, done.returncode) == (f"connect {n}\n".encode(), n), done
    assert terminal.typed == 1 and mux.bastion.used() == 1
