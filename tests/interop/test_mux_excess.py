# SPDX-License-Identifier: MIT
"""One client, channel or hop that goes too far or goes away takes nobody else with it."""
import socket
import subprocess
import time

import pytest

from peers import hop, kill_quietly, poll, routes_toml
from pyssh import Client, Server, message

REQUEST, SUCCESS, FAILURE = 98, 99, 100
WINDOW, DATA, EXTENDED, EOF, CLOSE = 93, 94, 95, 96, 97


@pytest.fixture
def scripted(make_mux, keys, cleanup):
    def make(handler):
        server = cleanup(Server(keys.make("host_scripted"), handler))
        mux = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts())
        return server, mux

    return make


@pytest.fixture
def bystander(mux):
    """Somebody else's session on the same pooled connection."""
    other = mux.start_ssh("t", "cat")
    other.stdin.write(b"before\n")
    other.stdin.flush()
    assert other.stdout.readline() == b"before\n"
    logins = mux.target.logins()
    yield
    out, err = other.communicate(b"after\n", timeout=20)
    assert (out, other.returncode) == (b"after\n", 0), err
    assert mux.target.logins() == logins


def test_L9_long_commands_reach_servers_that_take_them(mux, bystander):
    done = mux.ssh("t", "echo " + "x" * 100000)
    assert done.stdout == b"x" * 100000 + b"\n"


def test_N10_request_longer_than_a_peer_must_take(scripted):
    """RFC 4253 section 6.1: sent all the same, it would end the connection of everybody."""
    server, mux = scripted(lambda *a: True)
    client = Client(mux.port, mux.local_key)
    try:
        client.open(0)
        theirs = client.opened(0)
        client.request(theirs, "env", False, "LANG", "x" * 40000)
        client.request(theirs, "exec", True, "echo " + "x" * 40000)
        client.wait(FAILURE, 0)
        client.request(theirs, "exec", True, "echo short")
        client.wait(SUCCESS, 0)
        assert [name for name, *_ in server.log if name not in ("auth", "global")] == ["exec"]
        assert mux.ssh("t", "true " + "x" * 40000).returncode == 255
        assert len(server.transports) == 1 and server.transports[0].is_active()
    finally:
        client.stop()


def test_N10_requests_nobody_answers_end_their_channel(scripted):
    """A client that answers nothing (it is stopped, say), and a server that keeps asking it."""

    def handler(server, channel, name, m):
        if name == "exec" and m.get_text() == "ask":
            for _ in range(300):
                server.send(channel, REQUEST, "made-up@example.com", True)
        return True

    server, mux = scripted(handler)
    silent, other = (Client(mux.port, mux.local_key) for _ in range(2))
    try:
        for c in (silent, other):
            c.open(0)
        silent.request(silent.opened(0), "exec", True, "ask")
        silent.wait(CLOSE, 0)
        other.request(other.opened(0), "exec", True, "more")
        other.wait(SUCCESS, 0)
        assert len([entry for entry in server.log if entry[0] == "auth"]) >= 1
        assert len(server.transports) == 1, "one login for both"
    finally:
        silent.stop()
        other.stop()


def test_A7_last_words_of_a_server_are_made_fit_for_a_terminal(scripted):
    def handler(server, channel, name, m):
        if name == "exec":
            words = "\x1b]0;owned\x07\x1b[2Jbye\r\nfake"
            channel.transport._send_message(message(1, 2, words, ""))
        return True

    _, mux = scripted(handler)
    done = mux.ssh("t", "x")
    assert done.returncode == 255
    assert b"bye" in done.stderr and b"\x1b" not in done.stderr and b"owned" not in done.stderr
    assert b"\nfake" not in done.stderr


def test_P4_connection_lost_behind_a_queued_eof(scripted):
    """All that came before the end arrives, then the message; nothing follows an EOF."""

    def handler(server, channel, name, m):
        if name == "exec":
            server.send(channel, SUCCESS)
            server.send(channel, DATA, b"y" * 5000)
            server.send(channel, EOF)
            time.sleep(0.5)
            channel.transport.sock.close()
            return None
        return True

    _, mux = scripted(handler)
    client = Client(mux.port, mux.local_key)
    try:
        client.open(0, window=10)
        theirs = client.opened(0)
        client.request(theirs, "exec", True, "x")
        poll(lambda: not mux.connections(), 10)
        assert client.data(0) == b"y" * 10
        client.send(WINDOW, theirs, 1 << 20)
        client.wait(CLOSE, 0)
        assert client.data(0) == b"y" * 5000
        kinds = [n for n, c, _ in client.received if c == 0 and n in (EXTENDED, EOF, CLOSE)]
        assert kinds == [EXTENDED, CLOSE]
    finally:
        client.stop()
    assert mux.alive()


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_P6_hop_of_a_chain_killed_under_load(make_mux, make_sshd, victim):
    """Three hops (B1): each link inside another, whichever of them goes first."""
    sshds = [make_sshd(f"hop{n}") for n in range(3)]
    mux = make_mux(
        routes=routes_toml(
            {
                "a": hop(sshds[0]),
                "b": hop(sshds[1], jump="a"),
                "t": hop(sshds[2], jump="b"),
            }
        ),
        known_hosts="".join(s.known_hosts() for s in sshds),
    )
    for _ in range(3):
        down = mux.start_ssh("t", "cat /dev/zero", stdin=subprocess.DEVNULL)
        with open("/dev/zero", "rb") as zero:
            up = mux.start_ssh("t", "cat > /dev/null", stdin=zero)
        assert down.stdout.read(1000000)
        for pid in sshds[victim].connections():
            kill_quietly(pid)
        while down.stdout.read1(1 << 20):
            pass
        for client in (down, up):
            _, err = client.communicate(timeout=30)
            assert client.returncode == 255 and b"lost" in err
    mux.check_works()


def test_L1_silent_strangers_lock_nobody_out(mux):
    """Anybody on the machine can connect; the user's own clients get in all the same."""
    strangers = [socket.create_connection(("127.0.0.1", mux.port)) for _ in range(400)]
    try:
        mux.check_works()
        assert len(mux.status()["clients"]) < 300
    finally:
        for s in strangers:
            s.close()
    mux.check_works()
