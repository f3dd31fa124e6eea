# SPDX-License-Identifier: MIT
"""Spare session channels (B12): a warm command needs no channel opened first, and nobody can tell.

What the server was asked for is read in its own log; which session got a spare, in ours.
"""
import concurrent.futures
import os
import re
import subprocess
import threading
import time

import paramiko
import pytest

import masters
import otp_sshd
import peers
from peers import SSH, USER, Sshd, hop, poll, routes_toml
from pyssh import Client, Server

ASKED = "server_input_channel_open: ctype session"
GIVEN = "a session begins on a spare channel"


@pytest.fixture
def chatty(make_sshd):
    """A sshd that writes down every open."""
    return lambda **options: make_sshd(LogLevel="DEBUG1", **options)


def asked(sshd):
    return sshd.log().count(ASKED)


def given(mux):
    return mux.log().count(GIVEN)


def spares(mux):
    return sum(c["spares"] for c in mux.status()["connections"])


def wait_spare(mux, n=1):
    poll(lambda: spares(mux) == n, 15, f"{n} spares", 0.05)


def run(mux, *args, **kwargs):
    done = mux.ssh("t", *args, **kwargs)
    assert (done.stdout, done.returncode) == (b"hi\n", 0), (done, mux.log()[-3000:])


# ---- that it is there ----------------------------------------------------------------------------


def test_B12_a_warm_command_finds_its_channel_open(chatty, make_mux):
    target = chatty()
    mux = make_mux(target)
    run(mux, "echo hi")
    for i in range(1, 6):
        wait_spare(mux)
        # The server has opened it before anybody comes, and it is nobody's channel.
        poll(lambda n=i + 1: asked(target) == n, 10, "the open in the server's log")
        assert mux.open_channels() == 0
        run(mux, "echo hi")
        assert given(mux) == i
    wait_spare(mux)
    assert asked(target) == 7 and target.logins() == 1
    mux.wait_idle()


def test_B12_one_round_trip_on_a_far_path(chatty, make_mux, pump):
    """The command's own: no answer to an open is awaited, also a while after the last command."""
    target = chatty()
    path = pump(target.port)
    path.delay = 0.03
    mux = make_mux(routes=routes_toml({"t": dict(host="127.0.0.1", port=path.port, user=USER)}),
                   known_hosts=target.known_hosts().replace(str(target.port), str(path.port)))
    run(mux, "echo hi")
    for pause in (0, 0, 4):
        wait_spare(mux)
        time.sleep(pause)
        before = mux.log().count("channel opened: session")
        since = len(mux.log())
        run(mux, "echo hi")
        # It went to the client at once: no probe, no open in between.
        text = mux.log()[since:]
        assert GIVEN in text and mux.log().count("channel opened: session") == before + 1
        assert text.index(GIVEN) < text.index("channel opened: session")
    mux.wait_idle()


def test_B12_false_is_none(chatty, make_mux):
    target = chatty()
    mux = make_mux(target, top={"spare": False})
    for _ in range(3):
        run(mux, "echo hi")
    time.sleep(1.2)  # the tick of a second would bring one
    assert asked(target) == 3 and spares(mux) == 0
    # B10: read again, both ways.
    for value, n in (("true", 1), ("false", 0)):
        since = len(mux.log())
        text = mux.routes_path.read_text()
        mux.routes_path.write_text(re.sub("spare = .*", f"spare = {value}", text))
        mux.wait_log("routes re-read", since=since)
        wait_spare(mux, n)


def test_B12_sessions_of_a_control_socket_have_them_too(chatty, make_mux):
    target = chatty()
    mux = make_mux(target)
    # It is there a moment after the port.
    poll(lambda: list(mux.run_dir.glob("ssh-mux/d*/t=*")), 10, "the control socket")
    client = masters.Client(masters.client_config(mux.dir / "c", target), masters.socket_of(mux))
    for i in range(4):
        done = client.ssh("echo hi")
        assert (done.stdout, done.returncode) == (b"hi\n", 0), done
        wait_spare(mux)
        assert given(mux) == i
    assert target.logins() == 1


# ---- that nobody can tell ------------------------------------------------------------------------

SAME = {
    "command": (["echo out; echo err >&2; exit 7"], {}),
    "nothing": (["true"], {}),
    "signal": (["kill -TERM $$"], {}),
    "no such command": (["/no/such/program"], {}),
    "shell": ([], {"input": b"echo from the shell; exit 5\n"}),
    "input": (["cat; exit 3"], {"input": bytes(range(256)) * 1000}),
    "errors": (["cat >&2"], {"input": bytes(range(256)) * 1000}),
    "much": (["head -c 8000000 /dev/zero | tr '\\0' x"], {}),
    "environment": (["env | grep -E '^(LC_X|TZ|GIVEN)' | sort"],
                    {"options": ["-o", "SendEnv=LC_X TZ GIVEN"],
                     "env": dict(os.environ, LC_X="one", TZ="UTC", GIVEN="two")}),
    "no such subsystem": (["nosuch"], {"options": ["-s"]}),
    "terminal": (["tty | sed 's/[0-9]*$//'; stty -a; echo $TERM"],
                 {"options": ["-tt"], "env": dict(os.environ, TERM="vt100")}),
}


@pytest.fixture(scope="module")
def three(keys):
    """(plain ssh, ssh-mux without spares, ssh-mux with them), one server."""
    from conftest import Cleanup
    c = Cleanup()
    try:
        target = c(Sshd(keys, "target", AcceptEnv="LC_* TZ GIVEN"))
        muxes = [c(peers.Mux(keys, routes=routes_toml({"t": hop(target, send_env=["GIVEN"])},
                                                      top={"spare": on}),
                             known_hosts=target.known_hosts())) for on in (False, True)]
        plain = masters.client_config(muxes[0].dir / "plain", target, keys)
        yield lambda *a, **kw: call(plain, muxes, *a, **kw)
        for mux in muxes:
            mux.wait_idle()
    finally:
        c.run()


def call(plain, muxes, *args, options=(), **kwargs):
    """What a caller sees, each of the three ways."""
    if "input" not in kwargs:
        kwargs["stdin"] = subprocess.DEVNULL
    direct = subprocess.run([SSH, "-F", str(plain), *options, "t", *args], capture_output=True,
                            timeout=60, check=False, **kwargs)
    kwargs.pop("stdin", None)
    done = [direct] + [mux.ssh("t", *args, options=options, **kwargs) for mux in muxes]
    wait_spare(muxes[1])
    before = given(muxes[1])
    done.append(muxes[1].ssh("t", *args, options=options, **kwargs))
    assert given(muxes[1]) == before + 1 and given(muxes[0]) == 0
    return [(d.returncode, d.stdout, seen(d.stderr)) for d in done]


def seen(stderr):
    """Numbers of channels, names of hosts."""
    return re.sub(rb"(channel|to) \S+", rb"\1 X", stderr)


@pytest.mark.parametrize("case", [
    pytest.param(c, marks=pytest.mark.remote_tty) if c == "terminal" else c for c in SAME])
def test_B12_the_same_as_without(three, case):
    args, kwargs = SAME[case]
    direct, without, cold, warm = three(*args, **kwargs)
    assert without == direct
    assert cold == direct
    assert warm == direct


def test_B12_a_subsystem(make_sshd, make_mux, tmp_path):
    """sftp, there and back, on a spare channel each."""
    mux = make_mux(make_sshd())
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(3_000_000))
    run(mux, "echo hi")
    for i, batch in enumerate((f"put {source} {back}", f"get {back} {tmp_path}/again"), 1):
        wait_spare(mux)
        done = subprocess.run(mux.argv("t", options=["-b", "-"], program="sftp"), timeout=60,
                              input=batch.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done
        assert given(mux) == i
    assert (tmp_path / "again").read_bytes() == source.read_bytes()
    mux.wait_idle()


@pytest.mark.parametrize("window, packet", [(1 << 21, 32768), (100, 7), ((1 << 32) - 1, 1 << 20)])
def test_B12_every_message_is_the_same(make_sshd, make_mux, keys, window, packet, cleanup):
    """On the wire of the client, with windows and packets of any size."""
    got = []
    for on in (False, True):
        target = make_sshd()
        mux = make_mux(target, top={"spare": on})
        run(mux, "echo hi")
        if on:
            wait_spare(mux)
        client = cleanup(Client(mux.port, keys.make("local")))
        client.open(0, window=window, packet=packet)
        theirs = client.opened(0)
        client.request(theirs, "env", True, "LC_X", "one")
        client.request(theirs, "exec", True, "echo $LC_X; head -c 50 /dev/zero; exit 3")
        client.wait(97, 0)
        client.send(97, theirs)
        assert given(mux) == on
        messages = []
        for number, channel, m in client.received:
            if number != 94:  # in pieces of any length
                m.rewind()
                messages.append((number, channel, m.asbytes()))
        # sshd says how a command ended before or after the end of its output.
        got.append((sorted(messages), client.data(0)))
    assert got[0] == got[1]


# ---- that it takes nobody's place ----------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 10])
def test_B12_no_session_is_refused_that_would_have_been_taken(chatty, make_mux, limit):
    """As many as MaxSessions on one login, with spares as without; one more is another login."""
    for on in (True, False):
        target = chatty(MaxSessions=limit)
        mux = make_mux(target, top={"spare": on})
        for _ in range(3):
            run(mux, "echo hi")
            mux.wait_idle()
        time.sleep(0.5)  # until sshd has counted that, too
        open_ones = []
        for _ in range(limit):
            client = mux.start_ssh("t", "cat")
            client.stdin.write(b"there\n")
            client.stdin.flush()
            assert client.stdout.readline() == b"there\n", mux.log()[-3000:]
            open_ones.append(client)
        assert target.logins() == 1, (on, mux.log()[-3000:])
        run(mux, "echo hi")
        assert target.logins() == 2, on
        for client in open_ones:
            assert client.communicate(b"", timeout=20)[0] == b"" and client.returncode == 0
        mux.wait_idle()


def test_B12_nor_where_another_login_would_need_a_person(keys, cleanup, make_mux, tmp_path):
    """Both sessions that the server gives, though it refuses every spare next to them."""
    if why := otp_sshd.missing():
        pytest.skip(why)
    target = cleanup(otp_sshd.OtpSshd(keys, "target", MaxSessions=2))
    mux = make_mux(target)
    otp_sshd.log_in(mux, target, tmp_path)
    for _ in range(3):
        mux.wait_idle()
        time.sleep(0.3)
        a = mux.start_ssh("t", "cat")
        a.stdin.write(b"a\n")
        a.stdin.flush()
        assert a.stdout.readline() == b"a\n"
        run(mux, "echo hi")
        assert a.communicate(b"", timeout=20)[0] == b"" and a.returncode == 0
    assert target.used() == 1


def test_B12_one_that_is_refused_is_not_asked_for_again(chatty, make_mux):
    target = chatty(MaxSessions=1)
    mux = make_mux(target)
    client = mux.start_ssh("t", "cat")
    client.stdin.write(b"there\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"there\n"
    mux.wait_log("a spare channel was refused")
    assert client.communicate(b"", timeout=20)[0] == b""
    mux.wait_idle()
    for _ in range(3):
        run(mux, "echo hi")
        mux.wait_idle()
    time.sleep(1.2)
    assert asked(target) == 2 + 3 and target.logins() == 1
    assert mux.log().count("a spare channel was refused") == 1 and spares(mux) == 0


def test_B12_many_at_once_and_none_is_left(chatty, make_mux):
    target = chatty(MaxSessions=100)
    mux = make_mux(target)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda i: mux.ssh("t", f"echo {i}").stdout, range(40)))
    assert done == [b"%d\n" % i for i in range(40)]
    mux.wait_idle()
    assert target.logins() == 1 and given(mux) > 0
    poll(lambda: spares(mux) in (1, 2), 10, "one or two spares")


# ---- how it ends ---------------------------------------------------------------------------------


def test_P8_lock_closes_the_spare(chatty, make_mux):
    target = chatty()
    mux = make_mux(target)
    run(mux, "echo hi")
    wait_spare(mux)
    since = len(target.log())
    assert mux.control("lock").returncode == 0
    wait_spare(mux, 0)
    target.wait_log("channel 1: free: server-session", since=since)
    assert mux.ssh("t", "echo hi").returncode == 255
    assert mux.control("unlock").returncode == 0
    run(mux, "echo hi")
    wait_spare(mux)


def test_P2_a_connection_with_nothing_but_a_spare_is_idle(chatty, make_mux):
    target = chatty()
    mux = make_mux(target, timeout=3)
    run(mux, "echo hi")
    wait_spare(mux)
    mux.wait_idle()
    connection, = mux.connections()
    assert 0 <= connection["idle_left_s"] <= 3 and connection["channels"] == 0
    start = time.monotonic()
    poll(lambda: not mux.status()["connections"], 15, "the end of the connection", 0.1)
    assert time.monotonic() - start < 10  # not a minute later
    assert "it was idle for as long as --timeout allows" in mux.log()


@pytest.mark.slow
def test_B12_a_minute_without_a_session_is_its_end(chatty, make_mux):
    target = chatty()
    mux = make_mux(target)
    run(mux, "echo hi")
    wait_spare(mux)
    start = time.monotonic()
    poll(lambda: spares(mux) == 0, 90, "its end", 0.5)
    assert 55 < time.monotonic() - start < 75
    target.wait_log("channel 1: free: server-session")
    assert mux.connections() and asked(target) == 2
    run(mux, "echo hi")
    wait_spare(mux)


# ---- servers -------------------------------------------------------------------------------------


def test_B12_dropbear_is_not_asked(make_dropbear, make_mux):
    target = make_dropbear()
    mux = make_mux(target)
    for _ in range(3):
        run(mux, "echo hi")
    time.sleep(1.2)
    assert spares(mux) == 0 and "spare" not in mux.log()


class Closing(Server):
    """Opens what it is asked for; closes sessions that stay without a command."""

    def __init__(self, *args, **kwargs):
        self.opened = []
        super().__init__(*args, handler=self.answer, open_reply=self.note, **kwargs)

    def note(self, kind):
        self.opened.append(kind)
        if len(self.opened) > 1:
            threading.Timer(0.2, self.close_all).start()
        return paramiko.OPEN_SUCCEEDED

    def close_all(self):
        for t in self.transports:
            for chan in list(t._channels.values()):
                if not getattr(chan, "has_command", False):
                    chan.close()

    @staticmethod
    def answer(server, channel, name, m):
        if name != "exec":
            return False
        channel.has_command = True

        def serve():
            channel.sendall(b"hi\n")
            channel.send_exit_status(0)
            channel.close()

        threading.Timer(0.05, serve).start()
        return True


def test_B12_a_server_that_closes_one_is_not_asked_again(keys, cleanup, make_mux, monkeypatch):
    monkeypatch.setattr(paramiko.Transport, "_CLIENT_ID", "OpenSSH_9.2p1")
    target = cleanup(Closing(keys.make("host_paramiko")))
    mux = make_mux(routes=routes_toml({"t": target.hop()}), known_hosts=target.known_hosts())
    run(mux, "echo hi")
    mux.wait_log("no more of them here")
    for _ in range(3):
        run(mux, "echo hi")
    time.sleep(1.2)
    assert len(target.opened) == 2 + 3 and spares(mux) == 0
