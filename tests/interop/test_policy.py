# SPDX-License-Identifier: MIT
"""What a route lets its clients forward (B4, W4), at each door: the port of the local server, `proxy`
and the control socket. What is denied is denied by us: the server itself would allow it."""
import contextlib
import os
import shlex
import socket
import subprocess

import pytest

import masters
import peers
import rawpeer
from peers import EchoServer, Mux, free_port, hop, routes_toml

DOORS = ["tcp", "proxy", "control"]


@pytest.fixture(scope="module")
def place(keys):
    """A server, echo servers that only it is asked to reach, and a daemon."""
    import conftest

    c = conftest.Cleanup()
    try:
        target = c(peers.Sshd(keys, "target"))
        echo, other = c(EchoServer()), c(EchoServer())
        beneath = peers.short_dir("policy")
        inside, outside = c(EchoServer(beneath / "in")), c(EchoServer(beneath / "out"))
        inside.path, outside.path, inside.dir = beneath / "in", beneath / "out", beneath
        routes = {
            "none": hop(target),
            "some": hop(target, forwards=[f"127.0.0.1:{echo.port}", "*.localhost:*",
                                          f"{beneath}/in"]),
            "net": hop(target, forwards=[f"127.0.0.0/8:{echo.port}", f"{beneath}/*"]),
            "any": hop(target, forwards=["*:*"]),
            "jump": hop(target, jump_through=True),
            "listed": hop(target, jump_through=["inner", f"localhost:{echo.port}"]),
            "inner": dict(host="127.0.0.1", port=other.port, user="x"),
        }
        mux = c(Mux(keys, routes=routes_toml(routes), known_hosts=target.known_hosts()))
        mux.target, mux.echo, mux.other, mux.inside, mux.outside = (
            target, echo, other, inside, outside)
        mux.plain_config = masters.client_config(mux.dir / "plain", target, keys)
        mux.blind_config = masters.client_config(mux.ssh_dir / "blind", target)
        yield mux
        assert mux.alive(), mux.log()[-4000:]
    finally:
        c.run()


def stdio(mux, door, route, to):
    """`ssh -W` through a door: what came back of b"ping", and what ssh said."""
    if door == "tcp":
        argv = mux.argv(route, options=["-W", to])
    elif door == "proxy":
        command = " ".join(shlex.quote(str(a)) for a in (mux.binary, "proxy", route))
        argv = mux.argv(peers.USER, options=[f"-oProxyCommand={command}", "-W", to])
    elif door == "control":
        argv = masters.Client(mux.blind_config, masters.socket_of(mux, route)).argv(
            options=["-W", to])
    else:
        argv = [peers.SSH, "-F", str(mux.plain_config), "-W", to, "t"]
    return subprocess.run(argv, input=b"ping", capture_output=True, timeout=60, env=mux.env,
                          check=False)


def passes(mux, door, route, to):
    done = stdio(mux, door, route, to)
    assert (done.stdout, done.returncode) == (b"ping", 0), (door, route, to, done)


def is_denied(mux, door, route, to):
    """By us; and plain ssh gets through."""
    since = len(mux.log())
    before = mux.echo.accepted, mux.other.accepted
    done = stdio(mux, door, route, to)
    assert done.stdout == b"" and done.returncode != 0, (door, route, to, done)
    assert (mux.echo.accepted, mux.other.accepted) == before
    mux.wait_log("denied", since=since)
    passes(mux, "plain", None, to)


@pytest.mark.parametrize("door", DOORS)
def test_B4_forwards_allow_what_they_list(place, door):
    here, there = place.echo.port, place.other.port
    passes(place, door, "some", f"127.0.0.1:{here}")
    passes(place, door, "net", f"127.0.0.1:{here}")
    passes(place, door, "any", f"127.0.0.1:{here}")
    passes(place, door, "any", f"localhost:{there}")
    passes(place, door, "jump", f"127.0.0.1:{there}")
    passes(place, door, "listed", f"127.0.0.1:{there}")
    passes(place, door, "listed", f"localhost:{here}")


@pytest.mark.parametrize("door", DOORS)
def test_B4_what_they_do_not_list_is_denied_here(place, door):
    here, there = place.echo.port, place.other.port
    is_denied(place, door, "none", f"127.0.0.1:{here}")  # L7
    is_denied(place, door, "some", f"127.0.0.1:{there}")
    is_denied(place, door, "some", f"localhost:{here}")
    is_denied(place, door, "net", f"127.0.0.1:{there}")
    is_denied(place, door, "listed", f"127.0.0.1:{here}")
    is_denied(place, door, "listed", f"localhost:{there}")
    if door != "proxy":  # which logs in first (W7), and that host of all is the route's own
        is_denied(place, door, "inner", f"127.0.0.1:{there}")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "127.0.0.01", "0177.0.0.1"])
def test_W4_other_spellings_of_an_address_are_denied(place, door, host):
    """The server's resolver takes each for 127.0.0.1."""
    is_denied(place, door, "net", f"{host}:{place.echo.port}")


def test_W4_names_and_ranges_do_not_mix(place):
    """A range is for addresses, a pattern for names, and neither for what only looks like one."""
    port = place.echo.port
    is_denied(place, "tcp", "net", f"localhost:{port}")
    for host in ("127.0.0.1.", "localhost.", "::ffff:127.0.0.1", "::ffff:7f00:1", "::1%lo",
                 "127.0.0.1.localhost.", "", "127.0.0.1\0", "127.0.0.1 ", "x@127.0.0.1"):
        for route in ("some", "net", "listed"):
            raw_denied(place, route, host, port)
    for number in (0, 65536, 65536 + port):
        raw_denied(place, "any", "127.0.0.1", number)
        raw_denied(place, "some", "127.0.0.1", number)
    for host in ("", "127.0.0.1\0", "127.0.0.1 ", "-x", "a\nb", "[127.0.0.1]", "x@127.0.0.1"):
        raw_denied(place, "any", host, port)


def raw_denied(mux, route, host, port):
    """The open of a client that writes what it likes: refused as a matter of policy."""
    peer = rawpeer.connect(mux.port, mux.local_key, route)
    try:
        peer.send(rawpeer.msg(90, "direct-tcpip", 7, 1 << 20, 1 << 15, host, port, "::1", 1))
        answer = rawpeer.Reader(peer.expect(91, 92), 5)
        assert answer.data[0] == 92 and answer.u32() == 1, (route, host, port, answer.data)
    finally:
        peer.close()


def test_B4_sockets(place):
    def through(route, path):
        port = free_port()
        argv = place.argv(route, options=["-N", "-L", f"{port}:{path}"])
        proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        try:
            peers.poll(lambda: peers.listening(port), 20, "the client listens")
            with contextlib.suppress(OSError), \
                    socket.create_connection(("127.0.0.1", port), timeout=20) as s:
                s.sendall(b"ping")
                s.shutdown(socket.SHUT_WR)
                return s.recv(100)
            return b""
        finally:
            proc.kill()
            proc.wait()

    assert through("some", place.inside.path) == b"ping"
    assert through("net", place.outside.path) == b"ping"
    assert through("some", place.outside.path) == b""
    assert through("none", place.inside.path) == b""
    assert through("any", place.inside.path) == b""  # hosts, not sockets
    assert through("jump", place.inside.path) == b""


def test_B4_a_refusal_names_what_would_allow_it(place):
    done = stdio(place, "tcp", "some", "192.0.2.1:22")
    assert b'add forwards = ["192.0.2.1:22"] to [routes.some]' in done.stderr, done
    done = stdio(place, "tcp", "none", "127.0.0.1:22")
    assert b"allow_remote_loopback_any_port" in done.stderr, done


def test_B4_jump_hosts_are_jumped_through(make_mux, make_sshd, keys, tmp_path):
    """-J, ProxyJump of a block, and ProxyCommand ssh -W, through an imported alias (case 04)."""
    bastion, inner = make_sshd("bastion"), make_sshd("inner")
    mux = make_mux(routes=routes_toml({"bastion": hop(bastion, jump_through=True),
                                       "shut": hop(bastion)}),
                   known_hosts=bastion.known_hosts())
    known = tmp_path / "known"
    known.write_text(inner.known_hosts() + "ssh-mux " +
                     " ".join((mux.ssh_dir / "ssh-mux-host-key.pub").read_text().split()[:2]))
    config = tmp_path / "config"
    to_us = f"HostName 127.0.0.1\n  Port {mux.port}\n  HostKeyAlias ssh-mux\n" \
            f"  IdentityFile {mux.local_key}\n"
    config.write_text(f"""Host bastion
  User bastion
  {to_us}Host shut
  User shut
  {to_us}Host pattern*
  HostName 127.0.0.1
  Port {inner.port}
  ProxyJump bastion
Host viaw
  HostName 127.0.0.1
  Port {inner.port}
  ProxyCommand {peers.SSH} -F {config} -W %h:%p bastion
Host viashut
  HostName 127.0.0.1
  Port {inner.port}
  ProxyJump shut
Host *
  User {peers.USER}
  IdentityFile {keys.make("remote")}
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {known}
  GlobalKnownHostsFile none
  BatchMode yes
  ConnectTimeout 30
""")

    def ssh(*args):
        return subprocess.run([peers.SSH, "-F", str(config), *args], capture_output=True,
                              timeout=60, stdin=subprocess.DEVNULL, check=False)

    for args in (["pattern1"], ["viaw"], ["-J", "bastion", "-p", str(inner.port), "127.0.0.1"]):
        done = ssh(*args, "echo inside $SSH_CONNECTION")
        assert done.returncode == 0 and done.stdout.startswith(b"inside"), (args, done)
        assert done.stdout.split()[-1] == str(inner.port).encode()
    done = ssh("viashut", "echo inside")
    assert done.returncode == 255 and done.stdout == b"", done
    assert "denied" in mux.log()
    assert bastion.logins() == 1  # one pooled login, whoever jumps


def test_B10_a_forward_taken_back_is_denied_at_once(make_mux, make_sshd, echo):
    target = make_sshd()
    mux = make_mux(routes=routes_toml({"t": hop(target, forwards=[f"127.0.0.1:{echo.port}"])}),
                   known_hosts=target.known_hosts())
    peer = rawpeer.connect(mux.port, mux.local_key, "t")

    def answer():
        peer.send(rawpeer.msg(90, "direct-tcpip", 7, 1 << 20, 1 << 15, "127.0.0.1", echo.port,
                              "::1", 1))
        return peer.expect(91, 92)[0]

    assert answer() == 91
    since = len(mux.log())
    mux.put("ssh-mux-routes.toml", routes_toml({"t": hop(target)}))
    mux.wait_log("routes re-read", since=since)
    assert answer() == 92
    peer.close()


def test_R3_check_config_says_what_is_right(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(routes=routes_toml({"t": hop(target)}), known_hosts=target.known_hosts())
    bad = mux.dir / "bad.toml"
    bad.write_text(routes_toml({"t": hop(target, forwards=["10.1.2.3/8:22", "db"]),
                                "u": hop(target, jump_through=["nobody"])}))
    os.chmod(bad, 0o600)
    done = mux.control("check-config", "--config", str(bad))
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "the range is written 10.0.0.0/8" in said, said
    assert 'key "jump_through": there is no route "nobody"' in said, said
