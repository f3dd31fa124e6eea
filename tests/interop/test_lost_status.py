# SPDX-License-Identifier: MIT
"""The exit status of a session whose connection is lost: a server tells it when the program has
ended, though output of it or of what it left behind is still to come (P6, L9)."""
import subprocess

import pytest

from peers import kill_quietly, poll
from test_proxy import start_through

# The shell has ended long before the second line.
LEFT_BEHIND = "(sleep 1; echo second; sleep 60) & echo first"


def start(door, mux, command):
    return start_through(door, mux, command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


DOORS = ["control", "port", "proxy", "connect"]


@pytest.mark.parametrize("door", DOORS)
def test_P6_a_status_before_the_end_is_no_success(make_sshd, make_mux, door):
    """255, though the server had said 0: plain ssh has a word for it, and ends with the 0."""
    sshd = make_sshd()
    mux = make_mux(sshd)
    p = start(door, mux, LEFT_BEHIND)
    assert [p.stdout.readline() for _ in range(2)] == [b"first\n", b"second\n"]
    for pid in sshd.connections():
        kill_quietly(pid)
    assert p.wait(20) == 255, "cut off, and called a success"
    assert b"ssh-mux: connection to 127.0.0.1 lost" in p.stderr.read()
    assert mux.alive()


@pytest.mark.parametrize("door", DOORS)
def test_P6_a_status_behind_the_end_holds(make_sshd, make_mux, door):
    """All has come, and the status: what becomes of the connection then changes nothing."""
    sshd = make_sshd()
    mux = make_mux(sshd)
    p = start(door, mux, "echo all; exit 7")
    assert (p.stdout.read(), p.wait(20)) == (b"all\n", 7)
    for pid in sshd.connections():
        kill_quietly(pid)
    poll(lambda: not mux.connections(), 10)
    again = start(door, mux, "(sleep 1; echo late) & exit 3")
    assert (again.stdout.read(), again.wait(20)) == (b"late\n", 3)
