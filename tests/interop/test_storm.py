# SPDX-License-Identifier: MIT
"""Logins that fail are remembered (U5), a connection that is no good is not tried again blindly
(U6, B2): what the server sees of callers that come again and again."""
import os
import re
import socket
import subprocess
import threading
import time

import paramiko
import pytest
from paramiko.common import MSG_CHANNEL_OPEN_FAILURE

import netns
import otp_sshd
from peers import USER, hop, kill_quietly, poll, routes_toml, sanitized
from pyssh import Client, Server
from serve_terminal import Terminal, at_terminal
from test_prompts import FAILED, Handler, OK, Query, Script, of_kind, run_exec
from test_proxy import proxied

needs_otp = pytest.mark.skipif(otp_sshd.missing() is not None, reason=str(otp_sshd.missing()))
ANSWER_S = 0.5 if sanitized() else 0.1  # U5: at once
NEXT = re.compile(rb"next try in (\d+) s; to try now, run: ssh-mux connect (\S+)")


def tries(server):
    return server.log().count("Connection from")


def connect(mux, *args, **kwargs):
    return at_terminal(mux, "connect", *args, **kwargs)


def askpass(tmp_path, answer):
    """An environment whose SSH_ASKPASS gives this answer, and the file it counts itself in."""
    log, program = tmp_path / "asked", tmp_path / "askpass"
    log.write_text("")
    program.write_text(f'#!/bin/sh\necho x >>{log}\necho "{answer}"\n')
    program.chmod(0o700)
    return {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force"}, log


class Caller(Client):
    """A connected client that asks for a session, and how long the answer took."""

    def __init__(self, mux):
        super().__init__(mux.port, mux.local_key)
        self.n = 0

    def call(self):
        self.n += 1
        begin = time.monotonic()
        self.open(self.n)
        m = self.wait(MSG_CHANNEL_OPEN_FAILURE, self.n)
        took = time.monotonic() - begin
        m.get_int()
        return took, m.get_text()


def storm(mux, callers, calls, seconds):
    """So many clients, so many calls each, over so long: all answers."""
    answers = []

    def work(i):
        caller = Caller(mux)
        try:
            for n in range(calls):
                due = begin + seconds * (n * callers + i) / (callers * calls)
                time.sleep(max(0.0, due - time.monotonic()))
                answers.append(caller.call())
        finally:
            caller.stop()

    begin = time.monotonic() + 2  # the clients' own logins
    threads = [threading.Thread(target=work, args=(i,)) for i in range(callers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(answers) == callers * calls
    return answers


def test_U5_two_hundred_calls_one_login(make_mux, make_sshd, keys):
    """200 calls of 20 clients: the server sees one login; each call is answered at once, with the
    cause, the time of the next try, and what to do."""
    target = make_sshd(accept=[keys.make("other")])
    mux = make_mux(target)
    answers = storm(mux, 20, 10, 5)
    assert tries(target) == 1
    late = [took for took, text in answers if "next try in" in text]
    assert len(late) >= 180
    late.sort()
    assert late[len(late) * 99 // 100] < ANSWER_S, late[-20:]
    text = answers[-1][1].encode()
    assert 1 <= int(NEXT.search(text)[1]) <= 15 and NEXT.search(text)[2] == b"t", text
    assert b"permission denied" in text and b"publickey" in text, text


@pytest.mark.slow
def test_U5_three_logins_in_the_first_minute(make_mux, make_sshd, keys):
    target = make_sshd(accept=[keys.make("other")])
    mux = make_mux(target)
    begin, seen = time.monotonic(), []
    caller = Caller(mux)
    while time.monotonic() - begin < 70:
        caller.call()
        if tries(target) > len(seen):
            seen.append(time.monotonic() - begin)
        time.sleep(0.2)
    caller.stop()
    assert len([at for at in seen if at < 60]) == 3, seen
    for at, want in zip(seen, (0, 15, 35, 65)):
        assert want - 0.5 <= at <= want * 1.2 + 1.5, seen


def test_U5_real_ssh_sees_the_answer(make_mux, make_sshd, keys):
    target = make_sshd(accept=[keys.make("other")])
    mux = make_mux(target)
    clients = [mux.start_ssh("t", "true", stdin=subprocess.DEVNULL) for _ in range(10)]
    for client in clients:
        client.communicate(timeout=60)
        assert client.returncode == 255
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and NEXT.search(done.stderr), done.stderr
    assert tries(target) == 1


def test_U5_connect_at_a_terminal_tries_at_once_and_resets(make_mux, make_sshd, keys):
    target = make_sshd(accept=[keys.make("other")])
    mux = make_mux(target)
    assert mux.ssh("t", "true").returncode == 255
    target.authorized.write_text(keys.public(keys.make("remote")))
    assert NEXT.search(mux.ssh("t", "true").stderr)
    # A program that runs it without a terminal is one that polls.
    done = mux.control("connect", "t", "echo in")
    assert done.returncode == 255 and "next try in" in done.stderr, done
    assert tries(target) == 1
    code, shown = connect(mux, "t", "echo in")
    assert code == 0 and b"in\r\n" in shown, shown
    mux.check_works()
    # It resets: the next failure is a first one, though it follows at once.
    target.authorized.write_text(keys.public(keys.make("other")))
    for pid in target.connections():
        os.kill(pid, 9)
    poll(lambda: not mux.connections(), what="the connection to be gone")
    for _ in range(3):
        assert connect(mux, "t", "true")[0] == 255
    assert tries(target) == 5  # one refused, one good, three of a person's
    answer = NEXT.search(mux.ssh("t", "true").stderr)
    assert int(answer[1]) <= 15


def test_U5_a_jump_host_is_remembered_for_all_behind_it(make_mux, make_sshd, keys):
    bastion = make_sshd("bastion", accept=[keys.make("other")])
    a, b = make_sshd("a"), make_sshd("b")
    mux = make_mux(routes=routes_toml({"a": hop(a), "b": hop(b)}, jump=hop(bastion)),
                   known_hosts=bastion.known_hosts() + a.known_hosts() + b.known_hosts())
    assert b"permission denied" in mux.ssh("a", "true").stderr
    done = mux.ssh("b", "true")
    assert NEXT.search(done.stderr)[2] == b"b", done.stderr
    assert tries(bastion) == 1
    # Nor does the jump host's failure hold back who goes there by himself, once it is reset.
    bastion.authorized.write_text(keys.public(keys.make("remote")))
    assert connect(mux, "b", "true")[0] == 0
    mux.check_works("a")


def test_U5_edited_routes_are_tried_at_once(make_mux, make_sshd, keys):
    """Whatever was edited: here nothing that the login is made of."""
    target = make_sshd(accept=[keys.make("other")])
    mux = make_mux(target)
    assert mux.ssh("t", "true").returncode == 255
    target.authorized.write_text(keys.public(keys.make("remote")))
    assert NEXT.search(mux.ssh("t", "true").stderr)
    mux.put("ssh-mux-routes.toml", routes_toml({"t": dict(hop(target), send_env=["A"])}))
    mux.wait_log("routes re-read")
    mux.check_works()


def test_U5_new_key_files_are_tried_at_once(make_mux, make_sshd, keys):
    target = make_sshd(accept=[keys.make("other")])
    mux = make_mux(target)
    assert mux.ssh("t", "true").returncode == 255
    assert NEXT.search(mux.ssh("t", "true").stderr)
    mux.put("id_ed25519", keys.make("other").read_text())
    mux.check_works()
    assert tries(target) == 2


def test_U5_unknown_host_keys_are_no_storm_and_a_new_line_counts_at_once(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(target, known_hosts="")
    for _ in range(5):
        done = mux.ssh("t", "true")
        assert done.returncode == 255 and b"host key" in done.stderr, done.stderr
    assert tries(target) == 1
    with open(mux.known_hosts_path, "a", encoding="ascii") as f:
        f.write(target.known_hosts())
    mux.check_works()


# ---- where a person is needed --------------------------------------------------------------------


@needs_otp
def test_U5_wrong_codes_are_three_whoever_asks(keys, cleanup, make_mux, tmp_path):
    """Ten clients in two waves, each with a program that types a wrong code, and ten without."""
    server = cleanup(otp_sshd.OtpSshd(keys, "server"))
    mux = make_mux(server)
    env, log = askpass(tmp_path, "000000")
    for _ in range(2):
        clients = [mux.start_ssh("t", "true", options=proxied(mux), stdin=subprocess.DEVNULL,
                                 env={**mux.env, **env}) for _ in range(5)]
        clients += [mux.start_ssh("t", "true", stdin=subprocess.DEVNULL) for _ in range(5)]
        for client in clients:
            client.communicate(timeout=60)
            assert client.returncode == 255
    assert len(log.read_text().split()) == 3
    assert server.log().count("Failed keyboard-interactive") <= 3
    done = mux.ssh("t", "true")
    assert b"next try in" in done.stderr, done.stderr
    # Who is there types the right one.
    code, shown = connect(mux, "t", "echo in", answer=lambda question: server.code() + "\r")
    assert code == 0 and b"in\r\n" in shown, shown


@needs_otp
def test_U5_who_can_be_asked_is_not_held_back_by_who_could_not(keys, cleanup, make_mux, tmp_path):
    server = cleanup(otp_sshd.OtpSshd(keys, "server"))
    mux = make_mux(server)
    assert b"ssh-mux connect" in mux.ssh("t", "true").stderr
    done = mux.ssh("t", "true")
    assert 15 < int(NEXT.search(done.stderr)[1]) <= 30, done.stderr
    assert tries(server) == 1
    env, log = askpass(tmp_path, server.code())
    done = mux.ssh("t", "echo in", options=proxied(mux), env={**mux.env, **env})
    assert done.stdout == b"in\n", done.stderr
    assert log.read_text() == "x\n" and tries(server) == 2


@needs_otp
def test_U5_a_window_that_was_closed_does_not_pop_up_again(keys, cleanup, make_mux, tmp_path):
    """An editor polls; the person presses Escape once (A5), and Ctrl-C at a terminal is asked again."""
    server = cleanup(otp_sshd.OtpSshd(keys, "server"))
    mux = make_mux(server)
    env, log = askpass(tmp_path, "")
    (tmp_path / "askpass").write_text(f"#!/bin/sh\necho x >>{log}\nexit 1\n")
    for _ in range(4):
        done = mux.ssh("t", "true", options=proxied(mux), env={**mux.env, **env})
        assert done.returncode == 255
    assert log.read_text() == "x\n"
    for _ in range(2):
        person = Terminal(lambda question: "\x03")
        client = subprocess.Popen(mux.argv("t", "true", options=proxied(mux)), env=mux.env,
                                  stdin=person.slave, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, start_new_session=True,
                                  preexec_fn=person.controlling)
        client.communicate(timeout=20)
        assert person.typed == 1


@pytest.fixture
def push(keys, cleanup):
    """A server that pushes to a telephone with each attempt, and is told no there."""

    class Push(Script):
        def check_auth_interactive(self, username, submethods):
            super().check_auth_interactive(username, submethods)
            return Query("", "a push was sent to your telephone")

        def check_auth_interactive_response(self, responses):
            time.sleep(0.3)
            return FAILED

    return cleanup(Server(keys.make("host_scripted"), run_exec, interface=Push,
                          auth_handler=Handler))


def test_U5_a_push_server_pushes_once(push, make_mux, tmp_path):
    mux = make_mux(push)
    env, _ = askpass(tmp_path, "x")
    for _ in range(4):
        clients = [mux.start_ssh("t", "true", options=proxied(mux), stdin=subprocess.DEVNULL,
                                 env={**mux.env, **env}) for _ in range(3)]
        for client in clients:
            client.communicate(timeout=60)
            assert client.returncode == 255
    assert len(of_kind(push, "kbdint")) == 1
    done = mux.ssh("t", "true")
    assert 15 < int(NEXT.search(done.stderr)[1]) <= 30, done.stderr


# ---- the network ---------------------------------------------------------------------------------


class Slammer:
    """Accepts, and closes at once."""

    def __init__(self, port):
        self.port, self.accepted = port, []
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                self.listener.accept()[0].close()
            except OSError:
                return
            self.accepted.append(time.monotonic())

    def stop(self):
        self.listener.close()
        # accept() goes on until somebody comes.
        with socket.socket() as s:
            s.connect_ex(("127.0.0.1", self.port))


def test_U5_network_failures_back_off(make_mux, make_sshd):
    """Tries after 1, 2, 4 s; and once the server is there the next one of them is good."""
    target = make_sshd()
    mux = make_mux(target)
    target.stop()
    slammer = Slammer(target.port)
    begin = time.monotonic()
    caller = Caller(mux)
    while time.monotonic() - begin < 6.5:
        caller.call()
        time.sleep(0.05)
    caller.stop()
    at = [t - slammer.accepted[0] for t in slammer.accepted]
    slammer.stop()
    assert 3 <= len(at) <= 4, at
    # A try is made at a tick of one second when somebody waits for it, or when somebody comes.
    assert 1 <= at[1] <= 2.2 and 2 <= at[2] - at[1] <= 3.3, at
    target.start()
    begin = time.monotonic()
    poll(lambda: mux.ssh("t", "echo in").stdout == b"in\n", 10, "a try", 0.2)
    assert time.monotonic() - begin < 5.5
    mux.check_works()


def test_U5_the_next_call_after_a_short_break_works(make_mux, make_sshd):
    """The first steps are waited for: who calls again when the server is back is not refused."""
    target = make_sshd()
    mux = make_mux(target)
    target.stop()
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"refused" in done.stderr
    target.start()
    mux.check_works()


@pytest.mark.skipif(netns.refusal() is not None, reason=str(netns.refusal()))
def test_U5_another_network_is_tried_at_once(keys, cleanup):
    """A laptop without an address: tries back off; with one, the next call works."""
    net = cleanup(netns.Net("here", "server"))
    server = cleanup(netns.NetSshd(net, "server", keys))
    mux = cleanup(netns.NetMux(net, "here", keys, known_hosts=server.known_hosts(), routes=routes_toml(
        {"t": dict(host=server.host, port=22, user=USER)})))
    here = net.space("here")
    netns.ip("-n", here, "addr", "flush", "dev", "eth0")
    poll(lambda: b"next try in 4 s" in mux.ssh("t", "true").stderr, 15, "three failures", 0.1)
    begin = time.monotonic()
    netns.ip("-n", here, "addr", "add", f"{net.address['here']}/24", "dev", "eth0")
    poll(lambda: mux.ssh("t", "echo in").stdout == b"in\n", 10, "a try", 0.05)
    assert time.monotonic() - begin < 2.4
    assert "the network changed" in mux.log()


# ---- connections that are no good (U6) -----------------------------------------------------------


@pytest.fixture
def scripted(keys, cleanup):
    """scripted(open_reply): a server that takes any key; open_reply(server, kind) answers opens."""

    def make(open_reply, interface=None):
        server = Server(keys.make("host_scripted"), run_exec, interface=interface,
                        auth_handler=Handler if interface else None)
        server.open_reply = lambda kind: open_reply(server, kind)
        return cleanup(server)

    return make


def logins(server):
    return len(server.transports)


def die(server, kind):
    server.transports[-1].close()
    return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED


def test_U6_a_login_that_dies_at_its_first_channel_is_tried_once(scripted, make_mux):
    server = scripted(die)
    mux = make_mux(server)
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"before the first channel" in done.stderr, done.stderr
    assert len(server.transports) == 1
    for _ in range(3):
        assert NEXT.search(mux.ssh("t", "true").stderr)
    assert len(server.transports) == 1


def test_U6_no_three_codes_for_a_login_that_dies(scripted, make_mux, tmp_path):
    """The code is taken, and then the connection ends, each time."""
    class Asks(Script):
        rounds = (Query("", "", ("Code: ", False)), OK)

    server = scripted(die, Asks)
    mux = make_mux(server)
    env, log = askpass(tmp_path, "x")
    for _ in range(3):
        done = mux.ssh("t", "x", options=proxied(mux), env={**mux.env, **env})
        assert done.returncode == 255
    assert b"before the first channel" in done.stderr and NEXT.search(done.stderr), done.stderr
    assert len(of_kind(server, "kbdint")) == 1 and log.read_text() == "x\n"


def test_U6_a_jump_host_that_goes_is_no_fault_of_the_target(make_mux, make_sshd):
    """Before the first channel, too: the next call logs in again, and waits for nothing."""
    bastion, target = make_sshd("bastion"), make_sshd("target")
    mux = make_mux(routes=routes_toml({"t": hop(target, unattended=True)},
                                      jump=hop(bastion, unattended=True)),
                   known_hosts=target.known_hosts() + bastion.known_hosts())
    assert mux.control("login", "t").returncode == 0
    for pid in bastion.connections():
        kill_quietly(pid)
    poll(lambda: not mux.connections(), 10)
    done = mux.control("login", "t")
    assert done.returncode == 0, done.stderr
    assert tries(target) == 2


def one_session(server, kind):
    """A connection gives one session, and no more."""
    given = server.__dict__.setdefault("given", set())
    if id(server.transports[-1]) in given:
        return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
    given.add(id(server.transports[-1]))
    return paramiko.OPEN_SUCCEEDED


def test_U6_B2_one_session_a_connection(scripted, make_mux):
    server = scripted(one_session)
    mux = make_mux(server)
    for n in range(4):
        done = mux.ssh("t", "x")
        assert done.stdout == b"in\n", (n, done.stderr)
    assert logins(server) == 4
    poll(lambda: len(mux.status()["connections"]) <= 1, what="used-up connections to be closed")


def test_U6_a_refusal_without_words_gets_ours(scripted, make_mux):
    server = scripted(lambda server, kind: paramiko.OPEN_FAILED_RESOURCE_SHORTAGE)
    mux = make_mux(server)
    for _ in range(3):
        done = mux.ssh("t", "true")
        assert done.returncode == 255
        assert b"127.0.0.1 refused the channel and gave no reason (code 4)" in done.stderr, done
    assert logins(server) == 1


def test_U6_used_up_where_a_login_needs_a_person(scripted, make_mux, tmp_path):
    class Asks(Script):
        rounds = (Query("", "", ("Code: ", False)), OK)

    server = scripted(one_session, Asks)
    mux = make_mux(server)
    env, log = askpass(tmp_path, "x")
    for n in (1, 2):
        done = mux.ssh("t", "x", options=proxied(mux), env={**mux.env, **env})
        assert done.stdout == b"in\n", done.stderr
        done = mux.ssh("t", "x")
        assert done.returncode == 255
        assert b"gives no more sessions" in done.stderr, done.stderr
        assert b"run: ssh-mux connect t" in done.stderr, done.stderr
        assert len(of_kind(server, "kbdint")) == n == len(log.read_text().split())


def test_U7_login_where_the_connection_is_used_up(scripted, make_mux, tmp_path):
    """It is for the sessions to come, which that connection would not give."""
    class Asks(Script):
        rounds = (Query("", "", ("Code: ", False)), OK)

    server = scripted(one_session, Asks)
    mux = make_mux(server)
    env, log = askpass(tmp_path, "x")
    done = mux.ssh("t", "x", options=proxied(mux), env={**mux.env, **env})
    assert done.stdout == b"in\n", done.stderr
    assert b"gives no more sessions" in mux.ssh("t", "x").stderr
    done = subprocess.run([mux.binary, "login", "t"], env={**mux.environment(), **env}, timeout=20,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and "t: logged in to" in done.stdout, done
    assert len(of_kind(server, "kbdint")) == 2 == len(log.read_text().split())
    done = mux.ssh("t", "x")
    assert done.stdout == b"in\n", done.stderr


def test_B2_the_limit_is_learned_as_it_is(make_mux, make_sshd):
    """MaxSessions 3 and seven sessions: three logins, not one more."""
    target = make_sshd(MaxSessions=3)
    mux = make_mux(target)
    held = []
    for _ in range(7):
        client = mux.start_ssh("t", "echo up; cat", stdin=subprocess.PIPE)
        assert client.stdout.readline() == b"up\n"
        held.append(client)
    assert sorted(c["channels"] for c in mux.connections()) == [1, 3, 3]
    assert target.logins() == 3
    for client in held:
        client.communicate(timeout=20)
