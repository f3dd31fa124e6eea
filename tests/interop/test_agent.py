# SPDX-License-Identifier: MIT
"""The agent of the client that asks (A1): a daemon that has none of its own, as a service has,
borrows that of who comes by `ssh-mux connect` or `proxy`, for the login he waits for."""
import json
import os
import re
import socket
import subprocess

import pytest

from peers import hop, poll, routes_toml
from test_connect import run as connect
from test_proxy import run as proxy


@pytest.fixture
def target(make_sshd):
    return make_sshd()


@pytest.fixture
def agent(make_agent, keys):
    """It holds the key that the target takes, which no daemon here has as a file."""
    return make_agent(keys.make("remote"))


@pytest.fixture
def bare(make_mux, target):
    """A daemon without key files and, unless told otherwise, without an agent."""
    return lambda **more: make_mux(target, identity=False, **more)


def client_env(path):
    return {"SSH_AUTH_SOCK": str(path)}


def said(done):
    return done.stdout, done.stderr, done.returncode


def denied(done):
    return done.returncode == 255 and b"permission denied" in done.stderr.lower()


@pytest.mark.parametrize("own", [None, "/tmp/no-such-agent"])
def test_A1_agent_of_the_attached_client(bare, agent, target, own):
    """A1: by `connect`, where the daemon's own SSH_AUTH_SOCK is missing or stale."""
    mux = bare(env=client_env(own) if own else None)
    done = connect(mux, "t", "true")
    assert denied(done), said(done)
    done = connect(mux, "t", "echo in", env=client_env(agent.sock))
    assert (done.stdout, done.returncode) == (b"in\n", 0), said(done)
    assert target.logins() == 1
    # Whoever comes later is on the same connection.
    assert connect(mux, "t", "true").returncode == 0
    assert target.logins() == 1


def test_A1_agent_of_the_attached_client_by_proxy(bare, agent, target):
    """A1: the same behind `ssh -o ProxyCommand="ssh-mux proxy t"`."""
    mux = bare()
    done = proxy(mux, "true")
    assert done.returncode == 255 and b"permission denied" in done.stderr.lower(), said(done)
    done = proxy(mux, "echo in", env=client_env(agent.sock))
    assert (done.stdout, done.returncode) == (b"in\n", 0), said(done)
    assert target.logins() == 1


def test_A1_agent_of_the_attached_client_for_the_jump_host(make_mux, make_sshd, target, agent):
    """A1: the login to a bastion is waited for too."""
    bastion = make_sshd()
    mux = make_mux(routes=routes_toml({"t": hop(target)}, jump=hop(bastion)), identity=False,
                   known_hosts=bastion.known_hosts() + target.known_hosts())
    done = connect(mux, "t", "echo in", env=client_env(agent.sock))
    assert (done.stdout, done.returncode) == (b"in\n", 0), said(done)
    assert bastion.logins() == target.logins() == 1


def test_A1_agent_of_the_client_before_the_daemons(bare, agent, make_agent, keys, target):
    """A1: the order. The daemon's, which has another key, is not asked."""
    wrong = make_agent(keys.make("stranger"))
    mux = bare(agent=wrong)
    done = connect(mux, "t", "echo in", env=client_env(agent.sock))
    assert done.stdout == b"in\n", said(done)
    assert target.log().count("Failed publickey") == 0
    assert f"{agent.sock}" not in done.stderr.decode()


def test_A1_identity_agent_wins_over_that_of_the_client(bare, agent, make_agent, keys):
    """A1: the route's identity_agent is asked and no other one, whoever comes."""
    wrong = make_agent(keys.make("stranger"))
    mux = bare(route={"identity_agent": str(agent.sock)})
    done = connect(mux, "t", "echo in", env=client_env(wrong.sock))
    assert done.stdout == b"in\n", said(done)
    for named in (str(wrong.sock), "none"):
        mux = bare(route={"identity_agent": named})
        done = connect(mux, "t", "true", env=client_env(agent.sock))
        assert denied(done), (named, said(done))


def test_A10_the_usual_agent_is_the_clients_too(bare, agent, make_agent, keys):
    """A10: IdentityAgent SSH_AUTH_SOCK is what the variable says where ssh was called; the daemon's is
    asked where nobody who waits has one."""
    mux = bare(route={"identity_agent": "SSH_AUTH_SOCK"})
    done = connect(mux, "t", "echo in", env=client_env(agent.sock))
    assert done.stdout == b"in\n", said(done)
    mux = bare(route={"identity_agent": "SSH_AUTH_SOCK"}, agent=agent)
    done = connect(mux, "t", "echo in", env=client_env("/nowhere"))
    assert done.stdout == b"in\n", said(done)


@pytest.mark.parametrize("call", ["connect", "proxy"])
def test_A10_another_variable_of_the_clients(bare, agent, make_agent, keys, call):
    """A10: identity_agent = "$NAME", as IdentityAgent of an ssh_config has it: the variable of the
    client that waits, and not its usual agent; else the daemon's own."""
    wrong = make_agent(keys.make("stranger"))
    ask = {"connect": lambda mux, env: connect(mux, "t", "echo in", env=env),
           "proxy": lambda mux, env: proxy(mux, "echo in", env=env)}[call]
    mux = bare(route={"identity_agent": "$WORK_AGENT"})
    done = ask(mux, dict(client_env(wrong.sock), WORK_AGENT=str(agent.sock)))
    assert done.stdout == b"in\n", said(done)
    mux = bare(route={"identity_agent": "$WORK_AGENT"})
    done = ask(mux, dict(client_env(agent.sock), WORK_AGENT=str(wrong.sock)))
    assert denied(done) or b"ermission denied" in done.stderr, said(done)
    mux = bare(route={"identity_agent": "$WORK_AGENT"}, env={"WORK_AGENT": str(agent.sock)})
    done = ask(mux, client_env(wrong.sock))
    assert done.stdout == b"in\n", said(done)


@pytest.mark.parametrize("how", ["nothing", "closed", "dead", "mute", "empty"])
def test_A1_dead_agent_of_the_client_falls_through(bare, agent, make_agent, tmp_path, how):
    """A1: the daemon's own is asked where the client's is gone, breaks off, says nothing, or has
    no key."""
    path = tmp_path / "a"
    mux = bare(agent=agent)
    with socket.socket(socket.AF_UNIX) as server:
        if how != "nothing":
            server.bind(str(path))
        if how in ("closed", "mute"):
            server.listen(5)
        if how == "empty":
            path = make_agent().sock
        client = subprocess.Popen([str(mux.binary), "connect", "t", "echo in"],
                                  env={**mux.env, **client_env(path)}, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if how == "closed":
            server.settimeout(30)
            server.accept()[0].close()
        out, err = client.communicate(timeout=60)
    assert (out, client.returncode) == (b"in\n", 0), err


def test_A1_agent_of_a_client_that_is_gone(bare, agent, target):
    """A1: it is lent for the login that its owner waits for, not for a later one."""
    mux = bare(timeout=1)
    assert connect(mux, "t", "true", env=client_env(agent.sock)).returncode == 0
    poll(lambda: not mux.status()["connections"], 60, "the idle connection's end")
    done = mux.ssh("t", "true")
    assert denied(done), said(done)
    done = connect(mux, "t", "true")
    assert denied(done), said(done)
    assert target.logins() == 1


def test_A1_several_clients_wait_for_one_login(bare, agent, target, tmp_path):
    """A1, P7: the first one's is dead, another's has the key; one login serves both."""
    mux = bare()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "a"))
        server.listen(5)
        server.settimeout(30)
        first = subprocess.Popen([str(mux.binary), "connect", "t", "echo first"],
                                 env={**mux.env, **client_env(tmp_path / "a")},
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        asked, _ = server.accept()  # the login is under way
        with asked:
            second = subprocess.Popen([str(mux.binary), "connect", "t", "echo second"],
                                      env={**mux.env, **client_env(agent.sock)},
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            poll(lambda: len(mux.status()["channels"]) == 2, 30, "the second client")
    assert second.communicate(timeout=60)[0] == b"second\n"
    assert first.communicate(timeout=60)[0] == b"first\n"
    assert target.logins() == 1


def test_A1_agents_path_stays_out_of_the_log(bare, agent, tmp_path):
    """A1, D4: at debug only, and not in what other clients are told."""
    mux = bare(args=["--log-level", "info"])
    gone = tmp_path / "private-name"
    done = connect(mux, "t", "true", env=client_env(gone))
    assert denied(done) and b"private-name" not in done.stderr, said(done)
    assert "permission denied" in mux.log() and "private-name" not in mux.log()
    assert connect(mux, "t", "true", env=client_env(agent.sock)).returncode == 0
    assert str(agent.sock) not in mux.log()


@pytest.mark.parametrize("value", ["", "a", "~/a", "\\\\.\\pipe\\a", "/a\n", "/" + 1024 * "a", 5])
def test_A1_bad_agent_is_malformed(bare, value):
    """A1, S7: docs/PROTOCOL.md, section 8; the daemon goes on."""
    mux = bare()
    path, = (mux.run_dir / "ssh-mux").glob("control-*.sock")
    with socket.socket(socket.AF_UNIX) as s, s.makefile("rwb") as f:
        s.settimeout(30)
        s.connect(str(path))
        assert json.loads(f.readline())["ssh_mux"] == "hello"
        for message in ({"ssh_mux": "hello", "version": 1},
                        {"id": 3, "cmd": "connect", "route": "t", "agent": value}):
            f.write(json.dumps(message).encode() + b"\n")
        f.flush()
        answer = json.loads(f.readline())
        assert (answer["id"], answer["ok"], answer["code"]) == (-1, False, "malformed")
        assert f.readline() == b""
    assert mux.status()["clients"] == []


@pytest.mark.parametrize("value", ["agent", "", "/tmp/\x07bell", "/" + 1024 * "a"])
def test_A1_client_leaves_out_what_is_no_path(bare, agent, value):
    """A1: a useless SSH_AUTH_SOCK of the client's is no reason to fail."""
    mux = bare(agent=agent)
    done = connect(mux, "t", "echo in", env=client_env(value), cwd=os.path.dirname(agent.sock))
    assert done.stdout == b"in\n", said(done)


def test_A1_not_more_agents_than_four(bare, tmp_path):
    """A1: however many wait for a login, it is no round trip through all their agents."""
    mux = bare(env=client_env(tmp_path / "own"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "0"))
        server.listen(5)
        server.settimeout(30)
        clients = []
        for i in range(6):
            clients.append(subprocess.Popen([str(mux.binary), "connect", "t", "true"],
                                            env={**mux.env, **client_env(tmp_path / str(i))},
                                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE))
            if i == 0:
                asked, _ = server.accept()
        with asked:
            poll(lambda: len(mux.status()["channels"]) == 6 or "agent at" in mux.log(), 30,
                 "all who wait")
    for client in clients:
        err = client.communicate(timeout=60)[1]
        assert client.returncode == 255 and b"permission denied" in err, err
    for conn in re.findall(r"conn=(\d+) .*logging in to", mux.log()):
        n = len(re.findall(rf"debug conn={conn} .*agent at ", mux.log()))
        assert 2 <= n <= 4, mux.log()
