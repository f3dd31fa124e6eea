# SPDX-License-Identifier: MIT
"""A path that is silent (U3, U4, P4, B11): who waits, who is sent elsewhere, and when it ends.

A Pump stands for the path. What takes minutes, on a network of its own, is in test_stall_slow.py.
"""
import contextlib
import os
import re
import signal
import subprocess
import threading
import time

import pytest
from paramiko.common import (
    MSG_GLOBAL_REQUEST,
    MSG_UNIMPLEMENTED,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)

import otp_sshd
from peers import USER, Sshd, hop, poll, routes_toml
from pyssh import Server, message

LIMIT = 6 * 1.2  # an answer within 6 s, whatever it is


def by_pump(server, path):
    """A route to a server through a pump, and the server's key under that port. Without spares: a
    session that is given one a moment before its path dies is there, and waits (test_spare.py)."""
    return (dict(host="127.0.0.1", port=path.port, user=USER, spare=False),
            server.known_hosts().replace(str(server.port), str(path.port)))


@pytest.fixture
def behind(make_mux, make_sshd, pump):
    """A daemon whose route t leads to a sshd through a pump: (mux, path, target)."""
    target = make_sshd()
    path = pump(target.port)
    route, known = by_pump(target, path)
    return make_mux(routes=routes_toml({"t": route}), known_hosts=known), path, target


def start_cat(mux, route="t"):
    client = mux.start_ssh(route, "cat")
    say(client, b"before\n")
    return client


def settle(mux):
    """Until the servers have answered a probe, so that from now on answers count (U4); and until
    the path has been quiet for as long as a spare channel would be given at once (B12): 50 round
    trips and at most 2.5 s (pool/spare.c), and a round trip has many ms when all cores are busy."""
    poll(lambda: all(c["rtt_ms"] >= 0 for c in mux.status()["connections"]), 5, "a round trip", 0.1)
    time.sleep(2.6)


def say(client, line):
    client.stdin.write(line)
    client.stdin.flush()
    assert client.stdout.readline() == line


def check_unharmed(client):
    """The session that waited goes on, and ends as it would have."""
    say(client, b"after\n")
    out, err = client.communicate(b"the end\n", timeout=20)
    assert (out, client.returncode) == (b"the end\n", 0), err


def timed(call, *args, **kwargs):
    start = time.monotonic()
    done = call(*args, **kwargs)
    return done, time.monotonic() - start


def states(mux):
    return sorted(c["state"] for c in mux.status()["connections"])


def test_U3_a_call_on_a_silent_path_gets_its_own_connection(behind):
    """The open session waits and goes on; the call is served within 6 s by another login."""
    mux, path, target = behind
    client = start_cat(mux)
    settle(mux)
    path.strand()
    done, took = timed(mux.ssh, "t", "echo mine")
    assert (done.stdout, done.returncode) == (b"mine\n", 0), done
    assert 4 < took < LIMIT, took
    assert target.logins() == 2
    assert states(mux) == ["ready", "stalled"]
    # The next one need not find that out again.
    _, took = timed(mux.check_works)
    assert took < 3 and target.logins() == 2
    assert client.poll() is None
    path.unstrand()
    check_unharmed(client)
    poll(lambda: states(mux) == ["ready", "ready"], 5, "the old connection to be ready again")
    assert "is back" in mux.log()
    # P6: the open that was taken back came through after all, and was closed.
    mux.wait_idle()


def test_U3_a_call_without_any_path_is_refused_with_the_state(behind):
    mux, path, target = behind
    client = start_cat(mux)
    settle(mux)
    path.hold()
    for _ in range(2):  # the second finds it stalled, and a login under way
        done, took = timed(mux.ssh, "t", "true")
        assert done.returncode == 255
        assert b"is stalled: no sign of life for" in done.stderr, done
        assert b"try again when the network is back" in done.stderr
        assert 4 < took < LIMIT, took
    path.release()
    check_unharmed(client)
    poll(lambda: "stalled" not in states(mux), 5, "the connection to be ready again")
    mux.check_works()
    mux.wait_idle()


def test_U3_an_overdue_keepalive_is_enough(make_mux, make_sshd, pump):
    """Who comes 22 s into the silence does not wait for another probe of the old connection, and
    opens nothing there: that would be a session of nobody once it is back."""
    target = make_sshd(LogLevel="DEBUG")  # each open is in its log
    path = pump(target.port)
    route, known = by_pump(target, path)
    mux = make_mux(routes=routes_toml({"t": route}), known_hosts=known)
    client = start_cat(mux)
    settle(mux)
    path.strand()
    time.sleep(15 + 5 + 2)
    assert states(mux) == ["ready"]
    done, took = timed(mux.ssh, "t", "echo mine")
    assert done.stdout == b"mine\n" and took < 3, (took, done)
    assert target.logins() == 2
    poll(lambda: states(mux) == ["ready", "stalled"], 3, "the old one to be known as stalled")
    path.unstrand()
    check_unharmed(client)
    assert target.log().count("server_input_channel_open: ctype session") == 2


def test_U3_status_and_top_show_since_when(behind):
    mux, path, _ = behind
    client = start_cat(mux)
    settle(mux)
    path.strand()
    call = mux.start_ssh("t", "true", stdin=subprocess.DEVNULL)
    mux.wait_log("is stalled")
    since = time.monotonic()
    assert call.wait(LIMIT) == 0
    time.sleep(2)
    asked = int(time.monotonic() - since)
    stalled, = [c for c in mux.status()["connections"] if c["state"] == "stalled"]
    shown = int(re.search(r"stalled (\d+)s", mux.control("status").stdout)[1])
    # Whole seconds; it was so for a moment before the log was read.
    assert asked <= stalled["stalled_s"] <= shown <= int(time.monotonic() - since) + 1
    client.kill()
    client.communicate()


def test_U3_an_idle_server_that_is_stopped(make_mux, make_sshd):
    """SIGSTOP: its system acknowledges all that is sent, and nobody answers."""
    target = make_sshd()
    mux = make_mux(target)
    client = start_cat(mux)
    settle(mux)
    stopped = target.connections()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    done, took = timed(mux.ssh, "t", "echo mine")
    assert (done.stdout, done.returncode) == (b"mine\n", 0), done
    assert 4 < took < LIMIT, took
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    check_unharmed(client)


def test_U3_a_login_that_needs_a_person_is_no_way_out(keys, cleanup, make_mux, pump, tmp_path):
    """Nobody can be asked: refused, at once for who comes when it is known."""
    if why := otp_sshd.missing():
        pytest.skip(why)
    target = cleanup(otp_sshd.OtpSshd(keys, "target"))
    path = pump(target.port)
    route, known = by_pump(target, path)
    mux = make_mux(routes=routes_toml({"t": route}), known_hosts=known)
    otp_sshd.log_in(mux, target, tmp_path)
    client = start_cat(mux)
    settle(mux)
    path.strand()
    done, took = timed(mux.ssh, "t", "true")
    assert done.returncode == 255 and 4 < took < LIMIT, (took, done)
    assert b"is stalled" in done.stderr and b"ssh-mux connect" in done.stderr, done
    done, took = timed(mux.ssh, "t", "true")
    assert done.returncode == 255 and took < 2, (took, done)
    assert b"is stalled" in done.stderr
    assert target.used() == 1
    path.unstrand()
    client.kill()
    client.communicate()


def test_U3_behind_a_jump_host_both_are_left(make_mux, make_sshd, pump):
    """The jump host's path is silent: the call gets a new jump connection and one through it."""
    bastion, target = make_sshd("bastion"), make_sshd("target")
    path = pump(bastion.port)
    jump, known = by_pump(bastion, path)
    mux = make_mux(routes=routes_toml({"t": hop(target)}, jump=jump),
                   known_hosts=known + target.known_hosts())
    client = start_cat(mux)
    settle(mux)
    path.strand()
    done, took = timed(mux.ssh, "t", "echo mine")
    assert (done.stdout, done.returncode) == (b"mine\n", 0), done
    assert 4 < took < LIMIT, took
    assert bastion.logins() == 2 and target.logins() == 2
    assert states(mux) == ["ready", "ready", "stalled", "stalled"]
    path.unstrand()
    check_unharmed(client)
    poll(lambda: "stalled" not in states(mux), 5, "both to be ready again")


def test_U3_a_login_inside_a_stalled_connection_is_not_waited_for(make_mux, make_sshd, pump):
    """The target does not speak yet when the jump host's path goes silent."""
    bastion, target = make_sshd("bastion"), make_sshd("target")
    path, slow = pump(bastion.port), pump(target.port)
    jump, known = by_pump(bastion, path)
    route, known_target = by_pump(target, slow)
    mux = make_mux(routes=routes_toml({"t": route}, jump=jump), known_hosts=known + known_target)
    slow.hold()
    first = mux.start_ssh("t", "echo first", stdin=subprocess.DEVNULL)
    poll(lambda: [c for c in mux.status()["connections"] if c["state"] == "login" and " via "
                  in c["key"]], 10)
    # The jump host answers: for as long as it does, the login may take its time.
    time.sleep(7)
    assert first.poll() is None and "is stalled" not in mux.log()
    path.strand()
    done, took = timed(mux.ssh, "t", "true")
    assert done.returncode == 255 and took < LIMIT, (took, done)
    assert b"is stalled" in done.stderr, done
    slow.release()
    path.unstrand()
    first.communicate(timeout=20)
    mux.check_works()


def test_B11_resume_is_asked_about_and_survived(behind):
    """The machine sleeps, and its network is back 8 s after it: nothing is lost."""
    mux, path, target = behind
    client = start_cat(mux)
    settle(mux)
    path.hold()
    mux.proc.send_signal(signal.SIGSTOP)
    time.sleep(7)
    since = len(mux.log())
    mux.proc.send_signal(signal.SIGCONT)
    mux.wait_log("the clock jumped", 3, since=since)
    start = time.monotonic()
    mux.wait_log("is stalled", 10, since=since)
    assert 5 * 0.8 < time.monotonic() - start < 5 * 1.2
    time.sleep(3)
    path.release()
    check_unharmed(client)
    assert target.logins() == 1


def test_B11_resume_on_a_living_path_is_nothing(behind):
    mux, _, target = behind
    client = start_cat(mux)
    mux.proc.send_signal(signal.SIGSTOP)
    time.sleep(6)
    since = len(mux.log())
    mux.proc.send_signal(signal.SIGCONT)
    mux.wait_log("the clock jumped", 3, since=since)
    time.sleep(6)
    assert states(mux) == ["ready"] and "is stalled" not in mux.log()
    check_unharmed(client)


def test_U3_what_ends_a_stalled_connection_at_once(behind):
    """TCP's own verdict comes before dead_after, and the client is told."""
    mux, path, _ = behind
    client = start_cat(mux)
    settle(mux)
    path.strand()
    mux.check_works()
    assert "stalled" in states(mux)
    start = time.monotonic()
    path.cut()
    _, err = client.communicate(timeout=10)
    assert time.monotonic() - start < 3
    assert client.returncode == 255 or b"lost" in err, err
    assert b"ssh-mux: connection to 127.0.0.1 lost: " in err, err


def test_P3_lifetime_ends_a_stalled_connection(make_mux, make_sshd, pump):
    target = make_sshd()
    path = pump(target.port)
    route, known = by_pump(target, path)
    mux = make_mux(routes=routes_toml({"t": route}), known_hosts=known, max_lifetime=10)
    client = start_cat(mux)
    start = time.monotonic()
    settle(mux)
    path.strand()
    mux.check_works()
    assert "stalled" in states(mux)
    _, err = client.communicate(timeout=20)
    assert 8 < time.monotonic() - start < 13
    assert b"maximum lifetime" in err, err


def test_P3_lifetime_0_is_none(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(target, max_lifetime=0)
    client = start_cat(mux)
    time.sleep(2.5)
    mux.check_works()
    assert target.logins() == 1
    check_unharmed(client)


def test_P2_a_connection_outlives_its_last_channel(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(target, timeout=5)
    mux.check_works()
    time.sleep(2.5)
    assert states(mux) == ["ready"]
    mux.check_works()
    assert target.logins() == 1


@pytest.mark.remote_tty
def test_U3_a_client_without_end_of_words_during_silence(behind):
    """Resizes by the thousand go nowhere, and harm nobody: the connection is there afterwards."""
    mux, path, target = behind
    client = mux.start_ssh("t", "stty -echo; echo up; cat", options=["-tt"])
    assert client.stdout.readline() == b"up\r\n"
    other = start_cat(mux)
    settle(mux)
    before = mux.memory()
    path.strand()
    client.stdin.write(b"x" * 65536)
    client.stdin.flush()
    for _ in range(2000):
        client.send_signal(signal.SIGWINCH)
        time.sleep(0.001)
    mux.check_works()
    assert mux.memory() - before < 24 << 20
    path.unstrand()
    check_unharmed(other)
    client.kill()
    client.communicate()
    mux.wait_idle()
    assert target.logins() == 2


@pytest.fixture
def late_refusal(keys, cleanup, make_mux):
    """A server whose third session is refused late: (mux, server)."""
    def reply(_):
        server.n_opens += 1
        if server.n_opens < 3:
            return OPEN_SUCCEEDED
        time.sleep(2)
        server.n_refused += 1
        return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    server = Odd(keys.make("host_odd"), "unimplemented")
    server.n_opens = server.n_refused = 0
    server.open_reply = reply
    cleanup(server)
    return make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts()), server


def test_P6_a_refusal_that_nobody_awaits_is_the_end_of_it(late_refusal):
    """The client left while its open was pending: nothing of it stays on the connection, and nothing
    goes on being asked for its sake."""
    mux, server = late_refusal
    for _ in range(2):
        assert mux.ssh("t", "x").stdout == b"done\n"
    client = mux.start_ssh("t", "x", stdin=subprocess.DEVNULL)
    poll(lambda: server.n_opens == 3, 10)
    client.kill()
    client.communicate()
    poll(lambda: server.n_refused == 1, 10)
    poll(lambda: mux.status()["connections"][0]["channels"] == 0, 3, "the channel to be gone")
    assert mux.status()["connections"][0]["idle_left_s"] > 0
    asked = server.n_asked
    time.sleep(4)
    assert server.n_asked - asked <= 1
    mux.wait_idle()


def test_U3_a_rekey_in_the_middle(make_mux, make_sshd, pump):
    """The server wants new keys while its path is silent."""
    target = make_sshd(RekeyLimit="16K")
    path = pump(target.port)
    route, known = by_pump(target, path)
    mux = make_mux(routes=routes_toml({"t": route}), known_hosts=known)
    client = start_cat(mux)
    settle(mux)
    path.strand()
    client.stdin.write(b"y" * 99999 + b"\n")
    client.stdin.flush()
    mux.check_works()
    assert "stalled" in states(mux)
    path.unstrand()
    assert client.stdout.readline() == b"y" * 99999 + b"\n"
    check_unharmed(client)


# ---- servers that answer no probe, or in their own way (U4) ----


class Odd(Server):
    """A paramiko server with a habit about global requests: "mute" or "unimplemented"."""

    def __init__(self, host_key, habit):
        self.habit, self.n_asked = habit, 0
        super().__init__(host_key, handler=self.run_command)

    def run_command(self, _, channel, name, m):
        if name == "exec":
            threading.Thread(target=self.obey, args=(channel, m.get_text()), daemon=True).start()
        return True

    def obey(self, channel, command):
        with contextlib.suppress(OSError, EOFError):
            time.sleep(0.1 + (float(command.split()[1]) if command.startswith("sleep") else 0))
            for _ in range(20 * int(command.split()[1]) if command.startswith("pour") else 0):
                channel.sendall(bytes(32768))
                time.sleep(0.05)
            channel.sendall(b"done\n")
            channel.send_exit_status(0)
            channel.close()

    def serve(self, sock):
        super().serve(sock)
        t = self.transports[-1]
        table = dict(t._handler_table)
        table[MSG_GLOBAL_REQUEST] = lambda *_: self.asked(t)
        t._handler_table = table

    def asked(self, t):
        self.n_asked += 1
        if self.habit == "unimplemented":
            t._send_message(message(MSG_UNIMPLEMENTED, t.packetizer._Packetizer__sequence_number_in - 1))


@pytest.fixture
def odd(keys, cleanup, make_mux):
    def make(habit, **kwargs):
        server = cleanup(Odd(keys.make("host_odd"), habit))
        mux = make_mux(routes=routes_toml({"t": server.hop(**kwargs)}),
                       known_hosts=server.known_hosts())
        return mux, server

    return make


@pytest.mark.parametrize("habit", ["mute", "unimplemented"])
def test_U4_an_odd_server_is_asked_and_used(odd, habit):
    mux, server = odd(habit)
    for _ in range(3):
        done, took = timed(mux.ssh, "t", "x")
        assert (done.stdout, done.returncode) == (b"done\n", 0), done
        assert took < 3
        time.sleep(2.5)  # long enough for a probe with the next one
    assert server.n_asked >= 3 and len(server.transports) == 1
    rtt = mux.status()["connections"][0]["rtt_ms"]
    assert (rtt >= 0) == (habit == "unimplemented"), "UNIMPLEMENTED is an answer"


@pytest.mark.slow
@pytest.mark.parametrize("habit", ["mute", "unimplemented"])
def test_U4_an_odd_server_is_not_cut_off(odd, habit):
    """75 s without a byte but probes (and dead_after at its least), then 20 s with a doubt."""
    mux, server = odd(habit, dead_after=45)
    client = mux.start_ssh("t", "sleep 75", stdin=subprocess.DEVNULL)
    time.sleep(55)
    assert states(mux) == ["ready"]
    done, took = timed(mux.ssh, "t", "x")
    assert (done.stdout, done.returncode) == (b"done\n", 0) and took < 3, done
    out, err = client.communicate(timeout=40)
    assert (out, client.returncode) == (b"done\n", 0), err
    assert server.n_asked >= 4 and len(server.transports) == 1
    assert "is stalled" not in mux.log()


@pytest.mark.slow
@pytest.mark.parametrize("habit", ["mute", "unimplemented"])
def test_B8_a_server_that_answers_no_probe_is_not_paced(odd, habit):
    """It sends and leaves probes unanswered for ten seconds: nothing can be measured, so nothing is
    bounded by it, and every byte comes. UNIMPLEMENTED is an answer."""
    mux, server = odd(habit)
    client = mux.start_ssh("t", "pour 13", stdin=subprocess.DEVNULL)
    time.sleep(4)
    assert mux.connections()[0]["path"]["paced"] is True
    out, err = client.communicate(timeout=60)
    assert (len(out), client.returncode) == (13 * 20 * 32768 + len("done\n"), 0), err
    assert mux.connections()[0]["path"]["paced"] is (habit == "unimplemented")
    assert len(server.transports) == 1


def test_U4_a_mute_server_without_a_path_is_stalled(odd, pump, make_mux, keys, cleanup):
    """It is judged by what its system acknowledges; behind a jump host, by that one's connection."""
    bastion = cleanup(Sshd(keys, "bastion"))
    path = pump(bastion.port)
    jump, known = by_pump(bastion, path)
    server = cleanup(Odd(keys.make("host_odd"), "mute"))
    mux = make_mux(routes=routes_toml({"t": server.hop()}, jump=jump),
                   known_hosts=known + server.known_hosts())
    client = mux.start_ssh("t", "sleep 14", stdin=subprocess.DEVNULL)
    poll(lambda: len(mux.connections()) == 2, 10)
    time.sleep(2)
    assert mux.ssh("t", "x").stdout == b"done\n"
    time.sleep(1.5)
    path.strand()
    done, took = timed(mux.ssh, "t", "x")
    assert (done.stdout, done.returncode) == (b"done\n", 0), done
    assert 4 < took < LIMIT, took
    assert states(mux) == ["ready", "ready", "stalled", "stalled"]
    path.unstrand()
    assert client.communicate(timeout=40)[0] == b"done\n"
