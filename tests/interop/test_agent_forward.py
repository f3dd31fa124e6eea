# SPDX-License-Identifier: MIT
"""Agent forwarding (B4): `ssh -A` to the port and through a control socket, with a real ssh-agent,
OpenSSH's server and a third host behind it; beside plain ssh where the two are to differ."""
import base64
import os
import signal
import socket
import struct
import subprocess
import threading

import pytest

import peers
from conftest import Cleanup
from masters import Client, client_config, socket_of
from peers import SSH, USER, Sshd, hop, poll, routes_toml
from pyssh import Server, message
from test_proxy import run as proxy

FAILURE, IDENTITIES, SIGNATURE = 5, 12, 14
REQUEST_IDENTITIES, SIGN, REMOVE_ALL, LOCK, EXTENSION = 11, 13, 19, 22, 27


def fingerprint(path):
    line = subprocess.run(["ssh-keygen", "-lf", f"{path}.pub"], check=True, capture_output=True,
                          text=True).stdout
    return line.split()[1]


class World:
    """A target, a third host that takes the keys `lent` and `other`, and an agent with both."""

    def __init__(self, keys, cleanup):
        self.keys = keys
        self.lent, self.other = keys.make("lent"), keys.make("other_ecdsa", "ecdsa")
        self.target = cleanup(Sshd(keys, "target", MaxSessions=100))
        self.third = cleanup(Sshd(keys, "third", accept=[self.lent, self.other]))
        self.known = self.target.dir / "known_hosts_of_third"
        self.known.write_text(self.third.known_hosts())
        named = hop(self.target, agent_forward=[fingerprint(self.lent)])
        by_file = hop(self.target, agent_forward=[f"{self.lent}.pub"])
        self.mux = cleanup(peers.Mux(
            keys, known_hosts=self.target.known_hosts() + self.third.known_hosts(),
            routes=routes_toml({
                "all": hop(self.target, agent_forward=True),
                "named": named,
                "file": by_file,
                "lost": hop(self.target, agent_forward=["/no/such/key.pub"]),
                "ask": hop(self.target, agent_forward="confirm"),
            })))
        self.plain = client_config(self.target.dir / "plain", self.target, keys)

    def to_third(self, *more):
        """The command that logs in to the third host from the target, with nothing but an agent."""
        return " ".join([
            SSH, "-F none -o BatchMode=yes -o IdentityFile=none -o StrictHostKeyChecking=yes",
            f"-o UserKnownHostsFile={self.known} -p {self.third.port}", *more,
            f"{USER}@127.0.0.1 echo third"])


@pytest.fixture(scope="module")
def world(keys):
    c = Cleanup()
    try:
        w = World(keys, c)
        yield w
        assert w.mux.alive(), w.mux.log()[-6000:]
    finally:
        c.run()


@pytest.fixture
def agent(world, make_agent):
    return make_agent(world.lent, world.other)


class Port:
    """`ssh -A` to the local server."""

    def __init__(self, world):
        self.world = world

    def call(self, route, agent, options):
        return self.world.mux.argv(
            route, options=["-A", "-o", f"IdentityAgent={agent.sock}", *options]), None


class Control:
    """`ssh -A` through a control socket; by itself it could not get anywhere."""

    def __init__(self, world):
        self.world = world

    def call(self, route, agent, options):
        w = self.world
        config = client_config(w.mux.dir / "lost", w.target)
        client = Client(config, socket_of(w.mux, route))
        return (client.argv(options=["-A", *options]),
                dict(os.environ, SSH_AUTH_SOCK=str(agent.sock)))


class Plain:
    """`ssh -A` to the target."""

    def __init__(self, world):
        self.world = world

    def call(self, route, agent, options):
        return ([SSH, "-F", str(self.world.plain), "-A", "-o", f"IdentityAgent={agent.sock}",
                 *options, "t"], None)


DOORS = {"port": Port, "control": Control}


@pytest.fixture(params=DOORS)
def door(request, world):
    return DOORS[request.param](world)


def run(door, route, agent, command, options=()):
    argv, env = door.call(route, agent, list(options))
    return subprocess.run([*argv, command], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, check=False)


def start(door, route, agent, command, options=()):
    argv, env = door.call(route, agent, list(options))
    return subprocess.Popen([*argv, command], env=env, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_B4_agent_lists_and_signs(world, door, agent):
    """The third host is reached with a key that only the person's agent has."""
    listed = run(door, "all", agent, "ssh-add -l")
    assert (listed.returncode, listed.stderr) == (0, ""), listed
    for key in (world.lent, world.other):
        assert fingerprint(key) in listed.stdout
    done = run(door, "all", agent, world.to_third())
    assert (done.stdout, done.returncode) == ("third\n", 0), done


@pytest.fixture
def fresh(make_sshd, make_mux):
    """A target that has not been asked yet: OpenSSH's server tells all later sessions of a
    connection of the socket that one session asked for."""
    target = make_sshd("fresh")
    return make_mux(routes=routes_toml({"no": hop(target),
                                        "all": hop(target, agent_forward=True)}),
                    known_hosts=target.known_hosts())


def test_B4_agent_is_not_lent_by_default(fresh, agent):
    """The port refuses the request as ever; the control socket refuses the session, and ssh goes
    on by itself, which here leads nowhere."""
    done = fresh.ssh("no", 'echo "sock=$SSH_AUTH_SOCK."',
                     options=["-A", "-o", f"IdentityAgent={agent.sock}"])
    assert (done.stdout, done.returncode) == (b"sock=.\n", 0), done
    assert "agent_forward of the route does not allow it" in fresh.log()
    config = fresh.dir / "lost"
    config.write_text("Host t\n  ProxyCommand false\n")
    done = Client(config, socket_of(fresh, "no"),
                  dict(os.environ, SSH_AUTH_SOCK=str(agent.sock))).ssh("true", options=["-A"])
    assert done.returncode == 255 and b"no agent without agent_forward" in done.stderr, done


def test_B4_an_agent_that_nobody_asked_for_is_not_lent(fresh, agent):
    """A session without -A, of a route that would allow it; and one beside it on the same
    connection, of a route that does not, with the socket that the server tells it of."""
    options = ["-a", "-o", f"IdentityAgent={agent.sock}"]
    done = fresh.ssh("all", 'echo "sock=$SSH_AUTH_SOCK."', options=options)
    assert (done.stdout, done.returncode) == (b"sock=.\n", 0), done
    lent = fresh.ssh("all", "ssh-add -l", options=["-A", *options[1:]])
    assert lent.returncode == 0 and b"SHA256" in lent.stdout, lent
    for route in ("all", "no"):
        done = fresh.ssh(route, "ssh-add -l; echo done", options=options)
        assert done.stdout == b"done\n", done


CHANGES = {
    "ssh-add -D": "removes all keys",
    "ssh-add -d {lent}.pub": "removes one",
    "ssh-add {new}": "adds one",
    "printf 'x\\nx\\n' | SSH_ASKPASS_REQUIRE=force SSH_ASKPASS={askpass} ssh-add -x": "locks it",
}


@pytest.mark.parametrize("command", CHANGES)
def test_B4_agent_is_not_changed(world, door, agent, make_agent, command, tmp_path):
    """What the agent itself would do, as plain `ssh -A` shows, is refused by us."""
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\necho x\n")
    askpass.chmod(0o755)
    command = command.format(lent=world.lent, new=world.keys.make("new"), askpass=askpass)
    before = agent.call("ssh-add", "-l").stdout
    done = run(door, "all", agent, command)
    assert done.returncode != 0, done
    assert agent.call("ssh-add", "-l").stdout == before and before
    other = make_agent(world.lent, world.other)
    done = run(Plain(world), "all", other, command)
    assert done.returncode == 0, done
    assert other.call("ssh-add", "-l").stdout != before


@pytest.mark.parametrize("route", ["named", "file"])
def test_B4_only_named_keys_are_lent(world, door, agent, route):
    """By fingerprint, and by the file of the public key."""
    listed = run(door, route, agent, "ssh-add -l")
    assert fingerprint(world.lent) in listed.stdout, listed
    assert fingerprint(world.other) not in listed.stdout, listed
    done = run(door, route, agent, world.to_third())
    assert done.stdout == "third\n", done
    # Nor does it sign with a key that the remote knows by itself.
    use = f"-o IdentitiesOnly=yes -o IdentityFile={world.other}.pub"
    done = run(door, route, agent, f"cd /; {world.to_third(use)}")
    assert done.returncode == 255 and "third" not in done.stdout, done
    # ssh asks for what is listed only; a program of its own asks for what it likes.
    program = raw_client(world.target.dir / "raw.py")
    done = run(door, route, agent,
               f"/usr/bin/python3 {program} {sign_request(world.other)} {sign_request(world.lent)}")
    assert done.stdout.split() == [str(FAILURE), str(SIGNATURE)], done


def test_B4_a_named_key_that_is_not_there_lends_none(world, door, agent):
    done = run(door, "lost", agent, "ssh-add -l")
    assert done.returncode == 1 and "no identities" in done.stdout.lower(), done
    assert "route lost: agent_forward names /no/such/key.pub" in world.mux.log()


# --- confirm ---


def askpass(path, answer):
    """Answers a question of yes or no as OpenSSH's do, by its exit status, or with a word, and notes
    it."""
    word = f"echo {answer}\n" if isinstance(answer, str) else ""
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$SSH_ASKPASS_PROMPT:$1" >>{path}.log\n'
                    f'{word}exit {0 if answer else 1}\n')
    path.chmod(0o755)
    return {"SSH_ASKPASS": str(path), "SSH_ASKPASS_REQUIRE": "force"}


@pytest.mark.parametrize("answer", [True, False, "yes", "no"])
def test_B4_confirm_at_the_client(world, agent, tmp_path, answer):
    """The askpass of the client, which has a session already, says for which host and which key."""
    done = proxy(world.mux, world.to_third(), route="ask", user="ask",
                 options=["-A", "-o", f"IdentityAgent={agent.sock}"],
                 env=askpass(tmp_path / "a", answer), start_new_session=True)
    asked = (tmp_path / "a.log").read_text()
    assert asked.startswith("confirm:"), asked
    assert f"{USER}@127.0.0.1 asks" in asked and fingerprint(world.lent) in asked, asked
    assert f'log in somewhere as "{USER}"' in asked, asked
    if answer in (True, "yes"):
        assert done.stdout == b"third\n", done
    else:
        assert done.returncode == 255 and b"third" not in done.stdout, done


@pytest.mark.parametrize("answer", [True, False, "yes", "no"])
def test_B4_confirm_at_a_client_of_a_control_socket(world, agent, tmp_path, answer):
    """The same: its SSH_ASKPASS is run as itself would run it."""
    argv, env = Control(world).call("ask", agent, ["-o", "BatchMode=no"])
    done = subprocess.run([*argv, world.to_third()], env={**env, **askpass(tmp_path / "a", answer)},
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    asked = (tmp_path / "a.log").read_text()
    assert asked.startswith("confirm:") and fingerprint(world.lent) in asked, asked
    assert done.stdout == (b"third\n" if answer in (True, "yes") else b""), done


def test_B4_confirm_with_nobody_to_ask(world, door, agent):
    """The list is shown, a signature is not made."""
    listed = run(door, "ask", agent, "ssh-add -l")
    assert fingerprint(world.lent) in listed.stdout, listed
    done = run(door, "ask", agent, world.to_third())
    assert done.returncode == 255 and "third" not in done.stdout, done
    assert "nobody can be asked" in world.mux.log()


# --- which agent, and until when ---


def test_B4_the_agent_of_the_first_who_asked(world, make_agent, door, keys, make_mux):
    """Two clients on one connection: the first one's, then the second one's."""
    first, second = make_agent(world.lent), make_agent(world.other)
    one = start(door, "all", first, "echo in; ssh-add -l; read x; ssh-add -l; read x")
    assert one.stdout.readline() == b"in\n"
    assert fingerprint(world.lent).encode() in one.stdout.readline()
    two = start(door, "all", second, "echo in; ssh-add -l; read x; ssh-add -l")
    assert two.stdout.readline() == b"in\n"
    assert fingerprint(world.lent).encode() in two.stdout.readline()
    one.stdin.write(b"\n")
    one.stdin.flush()
    assert fingerprint(world.lent).encode() in one.stdout.readline()
    one.stdin.close()
    assert one.wait(30) == 0 or one.stdout.read() == b""
    two.stdin.close()
    assert fingerprint(world.other).encode() in two.stdout.readline()
    assert two.wait(30) == 0


def test_B4_an_agent_that_is_gone_is_passed_over(world, make_agent, door):
    """The first one's agent has ended; the second one's serves."""
    first, second = make_agent(world.lent), make_agent(world.other)
    one = start(door, "all", first, "echo in; read x")
    assert one.stdout.readline() == b"in\n"
    first.stop()
    done = run(door, "all", second, "ssh-add -l")
    assert fingerprint(world.other) in done.stdout, done
    one.stdin.close()
    assert one.wait(30) is not None


class MuteAgent(threading.Thread):
    """An agent that shows a key and never signs."""

    def __init__(self, path, key):
        super().__init__(daemon=True)
        self.sock, self.asked, self.ended = path, threading.Event(), threading.Event()
        blob = base64.b64decode(open(f"{key}.pub", encoding="ascii").read().split()[1])
        self.answer = struct.pack(">BI", IDENTITIES, 1) + string(blob) + string(b"mute")
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen(5)
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, client.makefile("rb") as f:
            try:
                while head := f.read(4):
                    message = f.read(struct.unpack(">I", head)[0])
                    if message[0] == SIGN:
                        self.asked.set()
                        continue
                    answer = self.answer if message[0] == REQUEST_IDENTITIES else bytes([FAILURE])
                    client.sendall(string(answer))
            except OSError:
                pass
            if self.asked.is_set():
                self.ended.set()

    def stop(self):
        self.server.close()


def string(b):
    return struct.pack(">I", len(b)) + b


def test_B4_a_client_that_is_killed_while_its_agent_signs(world, door, tmp_path, cleanup):
    """The remote's request fails, the agent is let go of, and the connection serves others."""
    mute = cleanup(MuteAgent(tmp_path / "a", world.lent))
    client = start(door, "all", mute, world.to_third())
    assert mute.asked.wait(60)
    client.send_signal(signal.SIGKILL)
    client.wait()
    assert mute.ended.wait(60)
    world.mux.check_works("all")
    world.mux.wait_idle(60)


def test_B4_after_its_session_the_agent_is_not_lent(world, door, agent):
    """What is left running on the remote gets nothing more."""
    log = world.target.dir / f"late-{type(door).__name__}"
    go = world.target.dir / f"go-{type(door).__name__}"
    command = (f"(while [ ! -e {go} ]; do sleep 0.1; done; ssh-add -l >{log} 2>&1; "
               f"echo $? >>{log}) </dev/null >/dev/null 2>&1 & ssh-add -l")
    done = run(door, "all", agent, command)
    assert fingerprint(world.lent) in done.stdout, done
    world.mux.wait_idle(60)
    go.write_text("")
    text = poll(lambda: log.exists() and log.read_text().endswith(("1\n", "2\n")) and
                log.read_text(), 30, "the late one")
    assert "SHA256" not in text, text


def open_agent(server, channel, outcome):
    """The server opens a channel to an agent and notes what comes of it."""
    t = channel.transport
    ours = dict(t._handler_table)
    ours[91] = lambda *a: outcome.append("open")
    ours[92] = lambda *a: outcome.append("refused")
    t._handler_table = ours
    t.channels_seen[4242] = True  # its CLOSE is no end of the connection
    t._send_user_message(message(90, "auth-agent@openssh.com", 4242, 1 << 20, 32768))


@pytest.mark.parametrize("asks", [True, False])
def test_B4_a_server_that_opens_a_channel_to_the_agent(keys, cleanup, make_mux, agent, asks):
    """Unasked it is refused, and so it is when the session that asked is over."""
    outcome, sessions = [], []

    def handler(server, channel, name, m):
        if name == "exec":
            sessions.append(channel)
            threading.Thread(target=serve, args=(server, channel), daemon=True).start()
        return True

    def serve(server, channel):
        open_agent(server, channel, outcome)
        poll(lambda: outcome, 30)
        server.send(channel, 98, "exit-status", False, 0)
        server.send(channel, 97)

    server = cleanup(Server(keys.make("host_hostile"), handler))
    mux = make_mux(routes=routes_toml({"t": server.hop(agent_forward=True)}),
                   known_hosts=server.known_hosts())
    done = mux.ssh("t", "x", options=["-A" if asks else "-a", "-o", f"IdentityAgent={agent.sock}"])
    assert done.returncode == 0, (done, mux.log()[-3000:])
    assert outcome == ["open" if asks else "refused"]
    assert [r[0] for r in server.requests("auth-agent-req@openssh.com")] == \
        ["auth-agent-req@openssh.com"] * asks
    poll(lambda: not mux.status()["clients"], 60, "the client to be gone")
    open_agent(server, sessions[0], outcome)
    poll(lambda: len(outcome) == 2, 30)
    assert outcome[1] == "refused"


def test_B4_lock_stops_it(world, door, agent):
    """P8: what is new while locked is refused, a connection to the agent as well."""
    one = start(door, "all", agent, "echo in; read x; ssh-add -l; echo $?; read x; ssh-add -l")
    try:
        assert one.stdout.readline() == b"in\n"
        assert world.mux.control("lock").returncode == 0
        one.stdin.write(b"\n")
        one.stdin.flush()
        assert int(one.stdout.readline()) != 0
    finally:
        assert world.mux.control("unlock").returncode == 0
    one.stdin.close()
    assert fingerprint(world.lent).encode() in one.stdout.read()
    assert one.wait(30) == 0


def sign_request(key):
    """For the agent, in hexadecimal digits."""
    with open(f"{key}.pub", encoding="ascii") as f:
        blob = base64.b64decode(f.read().split()[1])
    return (bytes([SIGN]) + string(blob) + string(b"data") + struct.pack(">I", 0)).hex()


def raw_client(path):
    """A program on the remote that speaks to the agent by hand: each message of argv, in hex, and
    the type of its answer."""
    path.write_text("""import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(30)
s.connect(os.environ["SSH_AUTH_SOCK"])
f = s.makefile("rb")
for text in sys.argv[1:]:
    m = bytes.fromhex(text)
    s.sendall(len(m).to_bytes(4, "big") + m)
    head = f.read(4)
    print(f.read(int.from_bytes(head, "big"))[0] if len(head) == 4 else "closed", flush=True)
""")
    return path


def test_B4_messages_that_do_not_pass(world, door, agent):
    """Other extensions, smart cards, unknown and malformed messages; and the list works after."""
    program = raw_client(world.target.dir / "raw.py")
    query = bytes([EXTENSION]) + string(b"query")
    restrict = bytes([EXTENSION]) + string(b"restrict-destination-v00@openssh.com")
    bind = bytes([EXTENSION]) + string(b"session-bind@openssh.com") + b"\0\0"
    messages = [query, restrict, bind, bytes([1]), bytes([9]), bytes([18]) + string(b"x"),
                bytes([20]) + string(b"/lib/p11.so") + string(b"1"), bytes([LOCK]) + string(b"x"),
                bytes([23]) + string(b"x"), bytes([25]), bytes([26]), bytes([200]) + b"x" * 1000,
                bytes([SIGN]), bytes([SIGN]) + string(b"k"), bytes([REQUEST_IDENTITIES]) + b"x",
                bytes([REMOVE_ALL])]
    words = " ".join(m.hex() for m in messages)
    done = run(door, "all", agent,
               f"/usr/bin/python3 {program} {words} {bytes([REQUEST_IDENTITIES]).hex()}")
    assert done.stdout.split() == [str(FAILURE)] * len(messages) + [str(IDENTITIES)], done


def test_B4_a_message_beyond_its_limit_ends_its_channel_alone(world, door, agent):
    """256 KiB, as OpenSSH."""
    done = run(door, "all", agent, "/usr/bin/python3 -c '" + """
import os, socket
def ask(head, body=b""):
    s = socket.socket(socket.AF_UNIX); s.settimeout(30)
    s.connect(os.environ["SSH_AUTH_SOCK"])
    try:
        s.sendall(head + body)
        return s.recv(5)
    except OSError:
        return b""
print(ask((256 * 1024 + 1).to_bytes(4, "big")).hex())
print(ask((256 * 1024).to_bytes(4, "big"), bytes([200]) + bytes(256 * 1024 - 1)).hex())
print(ask(bytes([0, 0, 0, 0])).hex())
""" + "'; ssh-add -l")
    lines = done.stdout.split("\n")
    assert lines[:3] == ["", "0000000105", ""], done
    assert fingerprint(world.lent) in done.stdout, done


def test_B4_many_connections_to_the_agent(world, door, agent):
    """More at once than are served: the others are refused, and nothing is left of any."""
    done = run(door, "all", agent, "/usr/bin/python3 -c '" + """
import os, socket
all = []
for i in range(40):
    s = socket.socket(socket.AF_UNIX); s.settimeout(30)
    s.connect(os.environ["SSH_AUTH_SOCK"])
    try:
        s.sendall(bytes([0, 0, 0, 1, 11]))
    except OSError:
        continue  # refused by now
    all.append(s)
def answered(s):
    try:
        return len(s.recv(5)) == 5
    except OSError:
        return False
print(sum(map(answered, all)))
""" + "'")
    assert done.stdout == "16\n", done
    world.mux.wait_idle(60)
    assert run(door, "all", agent, "ssh-add -l").returncode == 0
    assert run(door, "all", agent, "ssh-add -l").returncode == 0


# --- keys for certain hosts (session-bind@openssh.com) ---


def test_B4_keys_for_certain_hosts(world, make_agent):
    """Through the control socket the agent is told what plain ssh would tell it, so a key that was
    added for the way over the target to the third host is used there."""
    known = world.target.dir / "both_known"
    known.write_text(world.target.known_hosts() + world.third.known_hosts())
    agent = make_agent()
    hosts = [f"[127.0.0.1]:{s.port}" for s in (world.target, world.third)]
    args = ["-H", str(known), "-h", hosts[0], "-h", ">".join(hosts)]
    added = agent.call("ssh-add", *args, str(world.lent))
    if added.returncode != 0 and b"option" in added.stderr:
        pytest.skip("ssh-add of this version knows no constraints")
    assert added.returncode == 0, added
    for door in (Plain(world), Control(world)):
        done = run(door, "all", agent, world.to_third())
        assert done.stdout == "third\n", (type(door), done)
    # Added for the target alone, it does not go on.
    agent.call("ssh-add", "-D", check=True)
    agent.call("ssh-add", *args[:4], str(world.lent), check=True)
    for door in (Plain(world), Control(world), Port(world)):
        done = run(door, "all", agent, world.to_third())
        assert done.returncode == 255 and "third" not in done.stdout, (type(door), done)
