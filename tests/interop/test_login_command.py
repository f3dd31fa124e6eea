# SPDX-License-Identifier: MIT
"""`ssh-mux login` and `login --renew`, and what is said before a lifetime ends (U7)."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

import otp_sshd
from peers import hop, poll, routes_toml
from serve_terminal import Terminal, at_terminal
from test_control import Client as Control
from test_proxy import proxied

needs_otp = pytest.mark.skipif(otp_sshd.missing() is not None, reason=str(otp_sshd.missing()))


def login(mux, *args, **kwargs):
    return mux.control("login", *args, **kwargs)


def test_U7_login_is_done_for_those_who_come_later(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(target, max_lifetime=7200, timeout=600)
    done = login(mux, "t")
    assert done.returncode == 0, done
    assert re.search(r"^t: logged in to \S+@127\.0\.0\.1:\d+; ends in (2h00m|1h59m), or after 10m00s "
                     r"without use$", done.stdout, re.M), done.stdout
    assert target.logins() == 1 and len(mux.connections()) == 1
    mux.check_works()
    assert target.logins() == 1
    time.sleep(1.1)
    done = login(mux, "t")
    assert done.returncode == 0 and target.logins() == 1
    assert re.search(r"^t: already logged in to \S+, for [1-9]s; ", done.stdout, re.M), done.stdout
    assert "ssh-mux login --renew t" in done.stdout


def test_U7_login_through_a_jump_host_and_by_target(make_mux, make_sshd):
    target, bastion = make_sshd("target"), make_sshd("bastion")
    mux = make_mux(target, bastion)
    done = login(mux, "t")
    assert done.returncode == 0 and f":{target.port} via " in done.stdout, done
    assert (target.logins(), bastion.logins()) == (1, 1)
    # The target of a route goes its way; any other name has a login of its own.
    user = hop(target)["user"]
    done = login(mux, f"{user}@127.0.0.1:{target.port}")
    assert done.returncode == 0 and "already" in done.stdout, done
    done = login(mux, f"{user}@127.0.0.1:{bastion.port}")
    assert done.returncode == 0 and "already" in done.stdout, done
    assert (target.logins(), bastion.logins()) == (1, 1)


def test_U7_what_goes_wrong_is_said(make_mux, make_sshd, keys):
    target = make_sshd(accept=[keys.make("other")])
    mux = make_mux(target)
    done = login(mux, "t")
    assert done.returncode == 69 and "permission denied" in done.stderr, done
    # Without a terminal it is no better than others that poll (U5).
    done = login(mux, "t")
    assert done.returncode == 69 and "next try in" in done.stderr, done
    assert target.log().count("Connection from") == 1
    assert login(mux, "nowhere").returncode == 69
    for args in ((), ("a", "b"), ("--no-such", "t"), ("bad name",), ("u@",)):
        assert login(mux, *args).returncode == 64, args
    assert mux.control("lock").returncode == 0
    done = login(mux, "t")
    assert done.returncode == 77 and "locked" in done.stderr and "unlock" in done.stderr, done
    assert mux.control("unlock").returncode == 0
    # At a terminal: at once.
    target.authorized.write_text(keys.public(keys.make("remote")))
    code, shown = at_terminal(mux, "login", "t")
    assert code == 0 and b"logged in" in shown, shown
    mux.check_works()


def test_U5_failures_are_shown_in_status(make_mux, make_sshd, keys):
    mux = make_mux(make_sshd(accept=[keys.make("other")]))
    assert not mux.status()["warnings"]
    assert login(mux, "t").returncode == 69
    (warning,) = mux.status()["warnings"]
    assert re.search(r"the login to \S+ port \d+ failed \(refused\); next try in 1\d s; .*denied",
                     warning), warning
    assert "next try in" in mux.control("status").stdout


@needs_otp
def test_U7_asks_where_the_user_is(keys, cleanup, make_mux):
    server = cleanup(otp_sshd.OtpSshd(keys, "server"))
    mux = make_mux(server)
    code, shown = at_terminal(mux, "login", "t", answer=lambda question: server.code() + "\r")
    assert code == 0 and b"ssh-mux: login to" in shown and b"t: logged in" in shown, shown
    assert server.used() == 1
    mux.check_works()
    # Ctrl-C at the question of the renewal: the old login is as it was.
    code, shown = at_terminal(mux, "login", "--renew", "t", answer=lambda question: "\x03")
    assert code == 69 and b"cancelled" in shown, shown
    mux.check_works()
    code, shown = at_terminal(mux, "login", "--renew", "t",
                              answer=lambda question: server.code() + "\r")
    assert code == 0 and server.used() == 2, shown
    mux.check_works()
    assert server.used() == 2


@needs_otp
def test_P7_login_shares_the_login_of_the_others(keys, cleanup, make_mux):
    server = cleanup(otp_sshd.OtpSshd(keys, "server"))
    mux = make_mux(server)
    other = None

    def answer(question):
        nonlocal other
        other = mux.start_ssh("t", "echo in", stdin=subprocess.DEVNULL)
        poll(lambda: any(c["state"] == "opening" for c in mux.status()["channels"]))
        return server.code() + "\r"

    assert at_terminal(mux, "login", "t", answer=answer)[0] == 0
    assert other.communicate(timeout=20)[0] == b"in\n"
    assert server.used() == 1


@needs_otp
def test_A6_login_that_is_killed_takes_its_question_back(keys, cleanup, make_mux):
    server = cleanup(otp_sshd.OtpSshd(keys, "server"))
    mux = make_mux(server)
    person = Terminal(lambda question: None)
    client = subprocess.Popen([mux.binary, "login", "t"], env=mux.env, stdin=person.slave,
                              stdout=person.slave, stderr=person.slave, start_new_session=True,
                              preexec_fn=person.controlling)
    poll(lambda: b"password" in person.seen.lower(), what="the question")
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    poll(lambda: not mux.status()["connections"], what="the login to end")


@needs_otp
def test_A17_who_waited_already_is_told(keys, cleanup, make_mux, pump):
    """Both came before there was a question: one is asked, the other learns what it waits for."""
    server = cleanup(otp_sshd.OtpSshd(keys, "server"))
    path = pump(server.port)
    known = server.known_hosts().replace(f":{server.port} ", f":{path.port} ")
    mux = make_mux(routes=routes_toml({"t": dict(hop(server), port=path.port)}), known_hosts=known)
    path.flow.clear()
    people = [Terminal(lambda question: None) for _ in range(2)]
    clients = [subprocess.Popen([mux.binary, "connect", "t", "true"], env=mux.env, stdin=p.slave,
                                stdout=p.slave, stderr=p.slave, start_new_session=True,
                                preexec_fn=p.controlling) for p in people]
    poll(lambda: mux.log().count("client authenticated") == 2, 20, "both clients")
    time.sleep(1)  # until their sessions are asked for
    path.flow.set()
    poll(lambda: sorted((b"ssh-mux: login to" in p.seen, b"waiting for the login" in p.seen)
                        for p in people) == [(False, True), (True, False)], 30, "the question")
    for client in clients:
        os.killpg(client.pid, signal.SIGKILL)
        client.wait()


@needs_otp
def test_P8_lock_ends_a_login_that_waits(keys, cleanup, make_mux):
    server = cleanup(otp_sshd.OtpSshd(keys, "server"))
    mux = make_mux(server)

    def answer(question):
        assert mux.control("lock").returncode == 0

    code, shown = at_terminal(mux, "login", "t", answer=answer, timeout=20)
    assert code == 77 and b"ssh-mux unlock" in shown, shown
    poll(lambda: not mux.status()["connections"], what="the login to end")


def keep(mux, route="t"):
    client = mux.start_ssh(route, "echo up; cat", stdin=subprocess.PIPE)
    assert client.stdout.readline() == b"up\n"
    return client


def echo(client, text):
    client.stdin.write(text)
    client.stdin.flush()
    return client.stdout.readline() == text


def test_U7_renew_drains_the_old_connection(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(target)
    old = keep(mux)
    (before,) = mux.connections()
    done = login(mux, "--renew", "t")
    assert done.returncode == 0 and "t: logged in" in done.stdout, done
    states = {c["id"]: c["state"] for c in mux.status()["connections"]}
    assert states.pop(before["id"]) == "draining" and list(states.values()) == ["ready"]
    new = keep(mux)
    assert target.logins() == 2
    channels = {c["connection"] for c in mux.status()["channels"]}
    assert channels == {before["id"], *states}, "the new one is on the fresh connection"
    assert echo(old, b"still here\n") and echo(new, b"here\n")
    old.communicate(timeout=10)
    assert old.returncode == 0
    poll(lambda: [c["id"] for c in mux.status()["connections"]] == list(states), 5,
         "the old connection to end with its last channel")
    assert echo(new, b"still here\n")
    new.communicate(timeout=10)
    # Nothing open on it: the old one ends at once.
    assert login(mux, "--renew", "t").returncode == 0
    poll(lambda: len(mux.status()["connections"]) == 1, 5)
    assert target.logins() == 3


def test_U7_renew_that_fails_leaves_the_old_connection(make_mux, make_sshd, keys):
    target = make_sshd()
    mux = make_mux(target)
    old = keep(mux)
    target.authorized.write_text(keys.public(keys.make("other")))
    done = login(mux, "--renew", "t")
    assert done.returncode == 69 and "permission denied" in done.stderr, done
    assert [c["state"] for c in mux.status()["connections"]] == ["ready"]
    mux.check_works()
    assert echo(old, b"still here\n")
    old.communicate(timeout=10)


def test_U7_renew_takes_an_old_jump_host_with_it(make_mux, make_sshd):
    """Older than a tenth of its lifetime; a fresh one serves the next target too."""
    target, bastion = make_sshd("target"), make_sshd("bastion")
    mux = make_mux(target, bastion, max_lifetime=40)
    old = keep(mux)
    assert login(mux, "--renew", "t").returncode == 0
    assert (target.logins(), bastion.logins()) == (2, 1)
    time.sleep(4.5)
    assert login(mux, "--renew", "t").returncode == 0
    assert (target.logins(), bastion.logins()) == (3, 2)
    assert login(mux, "--renew", "t").returncode == 0
    assert (target.logins(), bastion.logins()) == (4, 2)
    # What is open goes on, through the old jump host.
    assert echo(old, b"still here\n")
    old.communicate(timeout=10)
    poll(lambda: len(mux.status()["connections"]) == 2, 10, "both old ones to end")
    mux.check_works()


# ---- before the end ------------------------------------------------------------------------------


def warnings(mux):
    return [w for w in mux.status()["warnings"] if "--max-lifetime" in w]


@pytest.mark.remote_tty
@pytest.mark.parametrize("before, left", [(900, "15 min"), (60, "60 s")])
def test_U7_warned_before_the_end(make_mux, make_sshd, before, left):
    """8 s after the start of a lifetime that is 8 s longer, by when all sessions are there on a busy
    machine too: in the log, in status and top, at the terminals of connect and proxy; and in no
    stream."""
    target, bastion = make_sshd("target"), make_sshd("bastion")
    mux = make_mux(target, bastion, max_lifetime=before + 8)
    early = time.monotonic()
    assert mux.ssh("t", "true").returncode == 0
    late = time.monotonic()  # the lifetime began between them
    assert warnings(mux) == [], "no channel is open"
    quiet = keep(mux)
    people = [Terminal(lambda question: None) for _ in range(2)]
    commands = [[mux.binary, "connect", "-t", "t", "echo up; sleep 20"],
                mux.argv("t", "echo up; sleep 20", options=proxied(mux, "t", "-t"))]
    clients = [subprocess.Popen(command, env=mux.env, stdin=person.slave, stdout=person.slave,
                                stderr=person.slave, start_new_session=True,
                                preexec_fn=person.controlling)
               for command, person in zip(commands, people)]
    pipes = subprocess.Popen([mux.binary, "connect", "t", "echo up; cat"], env=mux.env,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for person in people:
        poll(lambda: b"up\r\n" in person.seen, what="the session")
    assert pipes.stdout.readline() == b"up\n"
    assert not any(b"--max-lifetime" in person.seen for person in people)
    for person in people:
        poll(lambda: b"--max-lifetime" in person.seen, 12, "the warning at the terminal")
    now = time.monotonic()
    assert now - early > 7.5 and now - late < 10, (now - early, now - late)
    for person in people:
        # Jump host and target are of one age: a line for each.
        lines = re.findall(rb"\r\nssh-mux: the connection to [^\r\n]* ends in [^\r\n]*\r\n",
                           person.seen)
        assert len(lines) >= 1, person.seen
        assert f"ends in {left} (--max-lifetime), and 1 open channel with it".encode() in lines[0]
        assert lines[0].endswith(b"run: ssh-mux login --renew t\r\n"), lines
    mux.wait_log("warn conn=")
    assert f"ends in {left} (--max-lifetime), and 4 open channels with it" in mux.log()
    assert warnings(mux) and "4 open channels" in warnings(mux)[0]
    assert "--max-lifetime" in mux.control("top", "--once").stdout
    # Who has no terminal finds nothing of it in his streams.
    out, err = pipes.communicate(b"end\n", timeout=20)
    assert (out, err) == (b"end\n", b"")
    assert echo(quiet, b"still here\n")
    quiet.communicate(timeout=10)
    for client in clients:
        os.killpg(client.pid, signal.SIGKILL)
        client.wait()
    poll(lambda: not warnings(mux), 5, "no channel: no warning")


def test_U7_S7_login_is_no_stream(make_mux, make_sshd):
    """DATA after `login` ends that connection, and nothing else."""
    import struct
    mux = make_mux(make_sshd())
    client = Control(mux)
    client.send(b'{"ssh_mux":"hello","version":1}\n'
                + json.dumps({"id": 1, "cmd": "login", "route": "t"}).encode() + b"\n")
    client.send(struct.pack(">IB", 5, 1) + b"data")
    client.is_dropped()
    mux.check_works()
    for extra in (b'"renew":1', b'"asks":true', b'"route":5'):
        client = Control(mux)
        client.send(b'{"ssh_mux":"hello","version":1}\n{"id":1,"cmd":"login","route":"t",' + extra
                    + b"}\n")
        assert json.loads(client.is_dropped().splitlines()[-1])["code"] == "malformed"
