# SPDX-License-Identifier: MIT
"""U1: a message that a server can't parse costs the client that sent it its channel, and nobody
the connection. Each case goes to a real server alone, which shows what it does to the connection,
and through ssh-mux, where another session on the same pooled connection must not notice."""
import collections
import struct
import threading

import paramiko
import pytest

from conftest import Cleanup
from peers import USER, Dropbear, Mux, hop, poll, routes_toml
from pyssh import Client, Raw, Server, message, string

OPEN, CONFIRMED, REFUSED, DATA, EOF, CLOSE, REQUEST, SUCCESS, FAILURE = (
    90, 91, 92, 94, 96, 97, 98, 99, 100)  # fmt: skip
UNKNOWN_TYPE = 3


def u32(*numbers):
    return Raw(struct.pack(f">{len(numbers)}I", *numbers))


def join(*parts):
    return Raw(b"".join(parts))


SIZE = u32(80, 24, 0, 0)
ECHO_ON = b"\x35\0\0\0\1"


def pty(term="xterm", modes=b"\0", tail=b""):
    return "pty-req", join(string(term), SIZE, string(modes), tail)


# Nothing here ends before its connection does: Dropbear 2022.83 aborts when one command ends while
# another session begins (an assertion of its own).
COMMAND = b"exec sleep 30"
EXEC = ("exec", string(COMMAND))
SHELL = ("shell", Raw())
PTY = pty()
X11 = join(b"\0", string("MIT-MAGIC-COOKIE-1"), string("00" * 16), u32(0))


class Case:
    """requests: (kind, what follows the flag). kills: the servers whose connection the last of them
    ends, s for OpenSSH's and d for Dropbear. through: what comes of it through ssh-mux where that
    is neither the server's own answer nor the end of the channel, by server or "*": (answers as
    letters s and f, whether the channel is closed)."""

    def __init__(self, name, *requests, kills="", through=None):
        self.name = name
        self.requests = requests
        self.kills = kills
        self.through = through or {}

    def expected(self, server, direct):
        """Answers and fate through us, after what the server alone made of it."""
        for key in (server, "*"):
            if key in self.through:
                return self.through[key]
        if self.kills:
            # What came before has its answers, and the last a failure, whoever would take it.
            return (direct.answers if direct.died else direct.answers[:-1]) + "f", True
        return direct.answers, direct.closed


CASES = [
    # What is well formed, and answered by the server.
    Case("exec", EXEC),
    Case("env, terminal, shell", ("env", join(string("LANG"), string("C"))), PTY, SHELL),
    Case("subsystem, and another command when that is refused", ("subsystem", string("none")), EXEC),
    Case("a command after a command", EXEC, ("exec", string("id"))),
    Case("a shell after a command", EXEC, SHELL),
    Case("a terminal after the command", EXEC, PTY),
    Case("terminal modes: none", pty(modes=b"")),
    Case("terminal modes: bytes after the end", pty(modes=b"\0abc")),
    Case("terminal modes: an undefined one", pty(modes=ECHO_ON + b"\xa0ab")),
    Case("terminal modes: one that nobody knows", pty(modes=b"\x9f\0\0\0\1\0")),
    Case("window-change without a terminal", ("window-change", SIZE)),
    Case("window-change", PTY, EXEC, ("window-change", SIZE)),
    Case("signal before the command", ("signal", string("TERM"))),
    Case("signal that nobody knows", EXEC, ("signal", string("NONE@example.com"))),
    Case("break without a terminal", EXEC, ("break", u32(500))),
    Case("break", PTY, EXEC, ("break", u32(500))),
    Case("eow before the command", ("eow@openssh.com", Raw()), EXEC),
    Case("xon-xoff from a client", ("xon-xoff", Raw(b"\1"))),
    Case("exit-status from a client", ("exit-status", u32(1))),
    Case("unknown kind", ("made-up@example.com", Raw(b"\xff" * 50)), EXEC),
    Case("unknown kind, much data", ("made-up@example.com", Raw(b"\xff" * 20000)), EXEC),
    Case("unknown kind without a name", ("", Raw()), EXEC),
    Case("unknown kind with a long name", ("k" * 65, Raw()), EXEC),
    Case("unknown kind with control characters", ("k\x1b[2J", Raw()), EXEC),
    Case("keepalive", ("keepalive@openssh.com", Raw(b"rubbish")), EXEC),
    Case("a NUL byte at the end of strings", ("env", join(string("LANG"), string(b"C\0"))),
         pty(term=b"xterm\0"), ("exec", string(COMMAND + b"\0"))),
    # What OpenSSH's server can't parse.
    Case("shell, a byte after its end", ("shell", Raw(b"x")), kills="s"),
    Case("exec, a NUL byte", ("exec", string(COMMAND + b"\0b")), kills="s"),
    Case("exec, nothing", ("exec", Raw()), kills="sd"),
    Case("exec, cut short", ("exec", join(u32(10), b"abc")), kills="sd"),
    Case("exec, the largest length", ("exec", join(u32(0xFFFFFFFF), b"abc")), kills="sd"),
    Case("exec, a byte after its end", ("exec", join(string(COMMAND), b"x")), kills="s"),
    Case("subsystem, a NUL byte", ("subsystem", string(b"sf\0tp")), kills="s"),
    Case("subsystem, nothing", ("subsystem", Raw()), kills="sd"),
    Case("env, no value", ("env", string("LANG")), kills="s"),
    Case("env, a NUL byte in the name", ("env", join(string(b"LA\0NG"), string("C"))), kills="s"),
    Case("env, a NUL byte in the value", ("env", join(string("LANG"), string(b"\0C"))), kills="s"),
    Case("env, a byte after its end", ("env", join(string("LANG"), string("C"), b"x")), kills="s"),
    Case("pty-req, nothing", ("pty-req", Raw()), kills="sd"),
    Case("pty-req, a NUL byte in the terminal", pty(term=b"xt\0erm"), kills="s"),
    Case("pty-req, no modes", ("pty-req", join(string("xterm"), SIZE)), kills="sd"),
    Case("pty-req, modes cut short", ("pty-req", join(string("xterm"), SIZE, u32(9), b"\0")),
         kills="sd"),
    Case("pty-req, a byte after its end", pty(tail=b"x"), kills="sd"),
    Case("terminal modes: half an argument", pty(modes=b"\x35\0\0"), kills="sd"),
    Case("terminal modes: half an argument of a stranger", pty(modes=b"\x9f\0\0"), kills="sd"),
    Case("two terminals", PTY, PTY, kills="sd"),
    Case("window-change, cut short", PTY, EXEC, ("window-change", u32(80)), kills="sd"),
    Case("window-change, a byte after its end", PTY, EXEC,
         ("window-change", join(SIZE, b"x")), kills="s"),
    Case("break, cut short", EXEC, ("break", Raw(b"\0")), kills="s"),
    Case("break, a byte after its end", EXEC, ("break", join(u32(1), b"x")), kills="s"),
    Case("eow, a byte after its end", EXEC, ("eow@openssh.com", Raw(b"x")), kills="s"),
    Case("a NUL byte in the name of a kind", (b"made\0up", Raw()), kills="s"),
    Case("x11-req, cut short", ("x11-req", Raw(X11[:-1])), kills="s"),
    Case("x11-req, a NUL byte", ("x11-req", join(b"\0", string(b"a\0b"), string("00"), u32(0))),
         kills="s"),
    Case("auth-agent-req, a byte after its end", ("auth-agent-req@openssh.com", Raw(b"x")),
         kills="s"),
    # Where OpenSSH lives and Dropbear does not, or both live and it is malformed all the same.
    Case("terminal modes without an end", pty(modes=ECHO_ON), kills="d", through={"s": ("f", True)}),
    Case("two terminals and a command between", PTY, EXEC, PTY, kills="d",
         through={"*": ("ssf", False)}),
    Case("signal, nothing", EXEC, ("signal", Raw()), kills="d", through={"*": ("sf", True)}),
    Case("signal, a NUL byte", EXEC, ("signal", string(b"TE\0RM")), through={"*": ("sf", True)}),
    Case("xon-xoff, nothing", ("xon-xoff", Raw()), through={"*": ("f", True)}),
    Case("exit-status, cut short", ("exit-status", Raw(b"\0")), through={"*": ("f", True)}),
    # OpenSSH ignores a NUL at the end of a kind too: what we forbid by its name would be read.
    Case("a NUL byte at the end of a kind", (b"exec\0", string(COMMAND)), through={"*": ("f", True)}),
    Case("env, a NUL byte at the end of the kind", (b"env\0", join(string("LD_X"), string("y"))),
         through={"*": ("f", True)}),
    # Names without bounds; what may be this long (a command) goes to who takes it.
    Case("a very long terminal", pty(term="x" * 256), EXEC, through={"*": ("fs", False)}),
    Case("a very long command", ("exec", string(COMMAND + b" #" + b"x" * 9000)), kills="d",
         through={"s": ("s", False), "d": ("f", False)}),
    Case("a very long kind", ("k" * 9001, Raw()), kills="d", through={"*": ("f", False)}),
    Case("a very long subsystem", ("subsystem", string("x" * 9001)), kills="d",
         through={"*": ("f", False)}),
]  # fmt: skip

# What ends a connection is refused by us (1: prohibited); refused: with another code, always.
Open = collections.namedtuple("Open", "name kind specific kills refused", defaults=("", 0))
HOST, PATH = string("127.0.0.1"), string("/nowhere")
STREAM = "direct-streamlocal@openssh.com"
OPENS = [
    Open("session", "session", Raw()),
    Open("session, a byte after its end", "session", Raw(b"x"), "s"),
    Open("a NUL byte in the name of a kind", b"ses\0sion", Raw(), "s", 3),
    Open("a NUL byte at the end of a kind", b"session\0", Raw(), "", 3),
    Open("tun, a NUL byte at the end of the kind", b"tun@openssh.com\0", u32(1, 1), "", 3),
    Open("unknown kind", "made-up@example.com", Raw(b"\xff" * 50), "", 3),
    Open("direct-tcpip, nobody there", "direct-tcpip", join(HOST, u32(1), HOST, u32(1)), ""),
    Open("direct-tcpip, no such port of the originator", "direct-tcpip",
         join(HOST, u32(1), HOST, u32(70000)), ""),
    Open("direct-tcpip, nothing", "direct-tcpip", Raw(), "sd"),
    Open("direct-tcpip, cut short", "direct-tcpip", join(HOST, u32(1), HOST), "sd"),
    Open("direct-tcpip, a byte after its end", "direct-tcpip",
         join(HOST, u32(1), HOST, u32(1), b"x"), "s"),
    Open("direct-tcpip, a NUL byte in the host", "direct-tcpip",
         join(string(b"127\0.0.0.1"), u32(1), HOST, u32(1)), "s"),
    Open("direct-tcpip, a NUL byte in the originator", "direct-tcpip",
         join(HOST, u32(1), string(b"127\0.0.0.1"), u32(1)), "s"),
    Open("direct-streamlocal, nobody there", STREAM, join(PATH, string(""), u32(0)), ""),
    Open("direct-streamlocal, cut short", STREAM, join(PATH, string("")), "s"),
    Open("direct-streamlocal, a byte after its end", STREAM,
         join(PATH, string(""), u32(0), b"x"), "s"),
    Open("direct-streamlocal, a NUL byte in the path", STREAM,
         join(string(b"/no\0where"), string(""), u32(0)), "s"),
    Open("direct-streamlocal, a NUL byte in the reserved string", STREAM,
         join(PATH, string(b"a\0b"), u32(0)), "s"),
]  # fmt: skip

Outcome = collections.namedtuple("Outcome", "died answers closed")


class Talk:
    """Plays cases on one connection, each on channels of its own."""

    def __init__(self, client):
        self.client = client
        self.n = 0

    def is_answered(self):
        """Whether the server still serves the connection: by then all that came before is dealt
        with. It is asked for a forward to a port where nobody listens."""
        self.n += 1
        self.client.open(self.n, "direct-tcpip", "127.0.0.1", 1, "127.0.0.1", 1)
        try:
            self.client.wait(REFUSED, self.n)
        except AssertionError:
            assert not self.client.transport.is_active(), "no answer, and no end"
            return False
        return True

    def answers(self, ours):
        return "".join("s" if n == SUCCESS else "f" for n, c, _ in list(self.client.received)
                       if c == ours and n in (SUCCESS, FAILURE))

    def play(self, case):
        self.n += 1
        ours = self.n
        self.client.open(ours)
        theirs = self.client.opened(ours)
        for n, (kind, specific) in enumerate(case.requests):
            # What is sound goes out without waiting: the answers come in its order. What may be
            # the end comes when the others have theirs.
            if (case.kills or case.through) and n == len(case.requests) - 1:
                poll(lambda: len(self.answers(ours)) == n, 10)
            self.client.send(REQUEST, theirs, kind, True, specific)
        alive = self.is_answered()
        closed = any(n == CLOSE and c == ours for n, c, _ in list(self.client.received))
        if closed:
            self.client.send(CLOSE, theirs)
        return Outcome(not alive, self.answers(ours), closed)

    def open(self, case):
        self.n += 1
        ours = self.n
        self.client.send(OPEN, case.kind, ours, 1 << 20, 32768, case.specific)
        alive = self.is_answered()
        for number, channel, m in list(self.client.received):
            if channel == ours and number in (CONFIRMED, REFUSED):
                m.rewind()
                m.get_int()
                if number == CONFIRMED:
                    return Outcome(not alive, "open", False)
                return Outcome(not alive, f"refused: {m.get_int()}", False)
        return Outcome(not alive, "", False)


class World:
    """A server alone, and behind a daemon: there one client plays all cases, for none may cost it
    its connection, beside a session of another that must not notice."""

    def __init__(self, letter, server, keys, mux, route):
        self.letter, self.server, self.keys, self.mux, self.route = letter, server, keys, mux, route
        self.direct = None
        self.through = Talk(Client(mux.port, mux.local_key, user=route))
        self.proc = mux.start_ssh(route, "cat")
        self.check()
        self.connections = [c["id"] for c in mux.connections()]

    def alone(self):
        """A connection to the server itself; a case may have ended the last one."""
        if self.direct is None or not self.direct.client.transport.is_active():
            self.direct = Talk(Client(self.server.port, self.keys.make("remote"), user=USER))
        return self.direct

    def check(self):
        """The other session is there, and on the connection that it began on."""
        self.proc.stdin.write(b"still here\n")
        self.proc.stdin.flush()
        line = self.proc.stdout.readline()
        assert line == b"still here\n", (line, self.proc.stderr.read())

    def stop(self):
        assert {c["id"] for c in self.mux.connections()} >= set(self.connections)
        self.proc.kill()
        self.proc.communicate(timeout=20)
        self.through.client.stop()
        if self.direct:
            self.direct.client.stop()


@pytest.fixture(scope="module")
def openssh(world, keys):
    it = World("s", world.target, keys, world, "loop")
    yield it
    it.stop()


@pytest.fixture(scope="module")
def dropbear(keys):
    c = Cleanup()
    try:
        server = c(Dropbear(keys))
        route = hop(server, direct=True, allow_remote_loopback_any_port=True)
        mux = c(Mux(keys, routes=routes_toml({"t": route}), known_hosts=server.known_hosts()))
        yield c(World("d", server, keys, mux, "t"))
    finally:
        c.run()


def run(world, case):
    ours = world.through.play(case)
    world.check()
    direct = world.alone().play(case)
    assert direct.died == (world.letter in case.kills), direct
    assert not ours.died, "the client lost its connection"
    assert (ours.answers, ours.closed) == case.expected(world.letter, direct), direct


def run_open(world, case):
    ours = world.through.open(case)
    world.check()
    direct = world.alone().open(case)
    assert direct.died == (world.letter in case.kills), direct
    assert not ours.died, "the client lost its connection"
    refused = case.refused or (1 if case.kills else 0)
    assert ours.answers == (f"refused: {refused}" if refused else direct.answers)


@pytest.mark.remote_tty
@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_U1_requests_to_sshd(openssh, case):
    run(openssh, case)


@pytest.mark.remote_tty
@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_U1_requests_to_dropbear(dropbear, case):
    run(dropbear, case)


@pytest.mark.parametrize("case", OPENS, ids=[o.name for o in OPENS])
def test_U1_opens_to_sshd(openssh, case):
    run_open(openssh, case)


@pytest.mark.parametrize("case", OPENS, ids=[o.name for o in OPENS])
def test_U1_opens_to_dropbear(dropbear, case):
    run_open(dropbear, case)


# ---- the jump host's route ----


def test_U1_a_nul_byte_on_the_jump_hosts_route(make_mux, make_sshd, cleanup):
    """The jump host is a route of its own. What paramiko sends on it (a command with a NUL byte is
    one line of Python) costs neither the tunnels through it nor what they carry."""
    bastion, target = make_sshd("bastion"), make_sshd("target")
    mux = make_mux(routes=routes_toml({"t": hop(target), "b": hop(bastion, direct=True)},
                                      jump=hop(bastion)),
                   known_hosts=bastion.known_hosts() + target.known_hosts())
    behind = mux.start_ssh("t", "cat")
    behind.stdin.write(b"before\n")
    behind.stdin.flush()
    assert behind.stdout.readline() == b"before\n"
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect("127.0.0.1", mux.port, "b", key_filename=str(mux.local_key),
                   look_for_keys=False, allow_agent=False, timeout=20)  # fmt: skip
    try:
        stdin, stdout, _ = client.exec_command("read x; echo $x")
        with pytest.raises(paramiko.SSHException):
            client.exec_command("printf 'a\0b'")
        # Its other channels live, and so does everybody's.
        stdin.write("still here\n")
        stdin.flush()
        assert stdout.read() == b"still here\n"
    finally:
        client.close()
    out, err = behind.communicate(b"after\n", timeout=20)
    assert (out, behind.returncode) == (b"after\n", 0), err
    assert (bastion.logins(), target.logins()) == (1, 1)


def test_U1_the_client_is_told(mux, cleanup):
    """On its stderr: whose message it was, what it was, what is wrong with it."""
    client = cleanup(Client(mux.port, mux.local_key, user="d"))
    client.open(0)
    client.request(client.opened(0), "exec", True, b"a\0b")
    m = client.wait(95, 0)
    assert (m.get_int(), m.get_text()) == (1, (
        'ssh-mux: the client sent a request "exec" that can\'t be passed on: it has a NUL byte in '
        "a string; the channel was closed\r\n"))
    client.wait(CLOSE, 0)
    assert [n for n, c, _ in client.received if c == 0] == [CONFIRMED, FAILURE, 95, CLOSE]
    assert "can't be passed on: it has a NUL byte in a string" in mux.log()


# ---- what a server asks ----


@pytest.fixture
def scripted(make_mux, keys, cleanup):
    """A daemon in front of a server that says yes to everything."""

    def make(handler=None, **kw):
        server = cleanup(kw.pop("kind", Server)(keys.make("host_scripted"), handler))
        mux = make_mux(routes=routes_toml({"t": server.hop(**kw)}),
                       known_hosts=server.known_hosts())
        return server, mux

    return make


ODD = {
    "exit-status, nothing": ("exit-status", Raw(), True),
    "exit-status, cut short": ("exit-status", Raw(b"\0\0\0"), True),
    "exit-status, a byte after its end": ("exit-status", Raw(b"\0\0\0\1x"), True),
    "eow, a byte after its end": ("eow@openssh.com", Raw(b"x"), True),
    "a NUL byte in the name": (b"exit-stat\0us", Raw(), True),
    # The client would not read these: they are left out, and the channel goes on.
    "exit-signal, a number": ("exit-signal", u32(9), False),
    "xon-xoff, nothing": ("xon-xoff", Raw(), False),
    "a name in another script": ("\u00e9", Raw(), False),
}


@pytest.mark.parametrize("name", ODD)
def test_U1_a_server_that_sends_odd_requests(scripted, tmp_path, name):
    """It costs that session, not the client's connection with its others: two sessions of a real
    ssh over one connection to us."""
    kind, specific, ends = ODD[name]
    channels = {}

    def handler(server, channel, request, m):
        if request == "exec":
            channels[m.get_text()] = channel
        return True

    server, mux = scripted(handler)
    shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={tmp_path}/c", "-o",
              "ControlPersist=no"]
    one = mux.start_ssh("t", "one", options=shared)
    poll(lambda: "one" in channels, 20)
    two = mux.start_ssh("t", "two", options=shared)
    poll(lambda: "two" in channels, 20)
    server.send(channels["two"], REQUEST, kind, False, specific)
    if not ends:
        server.send(channels["two"], DATA, b"goes on\n")
        assert two.stdout.readline() == b"goes on\n"
        server.send(channels["two"], REQUEST, "exit-status", False, 3)
        server.send(channels["two"], CLOSE)
    out, err = two.communicate(timeout=20)
    assert two.returncode == (255 if ends else 3), (out, err)
    assert (b"the server sent a request" in err) == ends, err
    server.send(channels["one"], DATA, b"still here\n")
    assert one.stdout.readline() == b"still here\n"
    server.send(channels["one"], REQUEST, "exit-status", False, 0)
    server.send(channels["one"], CLOSE)
    one.communicate(timeout=20)
    assert one.returncode == 0
    assert [t.is_active() for t in server.transports] == [True]


class Confirming(Server):
    """Confirms each session with bytes that belong to no kind of channel."""

    def serve(self, sock):
        super().serve(sock)
        t = self.transports[-1]
        real = t._send_message

        def send(m):
            if m.asbytes()[:1] == bytes([CONFIRMED]):
                m.add_bytes(b"more")
            real(m)

        t._send_message = send


def test_U1_a_confirmation_with_bytes_after_its_end(scripted):
    """OpenSSH's client would end its connection over it."""
    server, mux = scripted(lambda s, c, name, m: finish(s, c) if name == "exec" else True,
                           kind=Confirming)
    done = mux.ssh("t", "x", options=["-o", "LogLevel=VERBOSE"])
    assert done.returncode == 7, done


def finish(server, channel):
    threading.Timer(0.1, lambda: (server.send(channel, REQUEST, "exit-status", False, 7),
                                  server.send(channel, CLOSE))).start()
    return True


# ---- what never passes, though the server would take it ----


@pytest.mark.parametrize("kind, specific", [
    ("x11-req", X11), ("auth-agent-req@openssh.com", Raw()), ("auth-agent-req", Raw()),
    ("agent-req", Raw()), ("auth-agent-req@example.com", Raw(b"x")),
], ids=["x11", "agent", "agent-bare", "agent-new", "agent-other"])
def test_L6_requests_that_the_server_would_take(scripted, cleanup, kind, specific):
    server, mux = scripted()
    client = cleanup(Client(mux.port, mux.local_key))
    client.open(0)
    theirs = client.opened(0)
    client.request(theirs, kind, True, specific)
    client.request(theirs, kind, False, specific)
    client.request(theirs, "exec", True, "x")
    client.wait(SUCCESS, 0)
    assert [n for n, c, _ in client.received if c == 0] == [CONFIRMED, FAILURE, SUCCESS]
    assert [name for name, *_ in server.log if name not in ("auth", "global")] == ["exec"]


class Opening(Server):
    """Writes down the kinds of channels it is asked for."""

    def __init__(self, *args):
        super().__init__(*args, open_reply=self.reply)
        self.kinds = []

    def reply(self, kind):
        self.kinds.append(kind)
        return paramiko.OPEN_SUCCEEDED


@pytest.mark.parametrize("kind, specific, code", [
    ("tun@openssh.com", u32(1, 1), 1), ("x11", join(HOST, u32(1)), 1),
    ("forwarded-tcpip", join(HOST, u32(1), HOST, u32(1)), 1),
    ("forwarded-streamlocal@openssh.com", join(PATH, string("")), 1),
    ("auth-agent@openssh.com", Raw(), 1), ("agent-connect", Raw(), 1),
    ("made-up@example.com", Raw(), 3),
], ids=["tun", "x11", "tcpip", "streamlocal", "agent", "agent-new", "made-up"])
def test_L6_channels_that_the_server_would_open(scripted, cleanup, kind, specific, code):
    server, mux = scripted(kind=Opening, allow_remote_loopback_any_port=True)
    client = cleanup(Client(mux.port, mux.local_key))
    client.open(0, kind, specific)
    assert client.wait(REFUSED, 0).get_int() == code
    client.open(1)
    client.opened(1)
    assert server.kinds == ["session"]


class Refusing(Server):
    """Refuses opens with a text of its own."""

    text = b"\x1b]0;owned\x07no \x1b[2Jway\0\r\n\xff\xc2\x9b31m" + b"x" * 300

    def serve(self, sock):
        super().serve(sock)
        t = self.transports[-1]

        def refuse(*args):  # newer versions pass the message only
            m = args[-1]
            m.get_text()
            with_text = [m.get_int(), 2, self.text, "en"]
            t._send_message(message(REFUSED, *with_text))

        t._handler_table = {**t._handler_table, OPEN: refuse}


def test_A7_text_of_a_refused_open(scripted, cleanup):
    """It reaches the client without what would act on its terminal."""
    _, mux = scripted(kind=Refusing, allow_remote_loopback_any_port=True)
    client = cleanup(Client(mux.port, mux.local_key))
    client.open(0, "direct-tcpip", "127.0.0.1", 1, "127.0.0.1", 1)
    m = client.wait(REFUSED, 0)
    code, text = m.get_int(), m.get_string()
    assert code == 2
    assert text.startswith(b"no way"), text
    assert all(32 <= c < 127 for c in text), text
    done = mux.ssh("t", "x")
    assert b"no way" in done.stderr and done.returncode == 255
    assert b"\x1b" not in done.stderr and b"\x07" not in done.stderr
    assert "\x1b" not in mux.log()


def test_L9_the_remotes_eof_comes_by_itself(mux, cleanup):
    """The command has closed its output and goes on reading: the client sees that end at once."""
    client = cleanup(Client(mux.port, mux.local_key, user="d"))
    client.open(0)
    theirs = client.opened(0)
    client.request(theirs, "exec", True, "echo out; exec >&- 2>&-; read x; exit $x")
    client.wait(EOF, 0)
    assert client.data(0) == b"out\n"
    assert not [1 for n, c, _ in client.received if c == 0 and n in (REQUEST, CLOSE)]
    client.send(DATA, theirs, b"5\n")
    m = client.wait(REQUEST, 0)
    assert (m.get_text(), m.get_boolean(), m.get_int()) == ("exit-status", False, 5)
    client.wait(CLOSE, 0)
