# SPDX-License-Identifier: MIT
"""Dropbear and paramiko, as clients and as servers; and what only a scripted peer can show of
the relay's fidelity (L9)."""
import hashlib
import io
import os
import socket
import struct
import subprocess
import threading
import time

import paramiko
import pytest

import masters
from peers import SSH, poll, routes_toml
from pyssh import Client, Server

EXIT_SIGNAL = "exit-signal"


# ---- dropbear ----


@pytest.fixture
def dbclient(keys, tmp_path):
    """Runs dbclient against a daemon."""
    converted = tmp_path / "dropbear_key"
    subprocess.run(["dropbearconvert", "openssh", "dropbear", str(keys.make("local")),
                    str(converted)], check=True, capture_output=True)

    def run(mux, *args, options=(), **kwargs):
        kwargs.setdefault("input", b"")
        # -y twice: no host key file is read or written.
        return subprocess.run(
            ["dbclient", "-y", "-y", "-i", str(converted), "-p", str(mux.port), *options,
             "t@127.0.0.1", *args], capture_output=True, timeout=60, **kwargs)  # fmt: skip

    return run


@pytest.mark.core
def test_L9_dropbear_client(mux, dbclient):
    done = dbclient(mux, "echo out; echo err >&2; exit 17")
    assert (done.stdout, done.returncode) == (b"out\n", 17), done
    assert b"err\n" in done.stderr
    data = os.urandom(3 << 20)
    assert dbclient(mux, "cat", input=data).stdout == data


@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes128-ctr", "aes256-ctr"])
def test_B9_dropbear_client_ciphers(mux, dbclient, cipher):
    data = os.urandom(300000)
    done = dbclient(mux, "cat", input=data, options=["-c", cipher])
    assert done.stdout == data, done


@pytest.mark.core
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_L9_dropbear_server(make_dropbear, make_mux, kind):
    server = make_dropbear(kind=kind)
    mux = make_mux(server)
    done = mux.ssh("t", "echo out; echo err >&2; exit 33")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 33), mux.log()[-2000:]
    data = os.urandom(3 << 20)
    assert mux.ssh("t", "cat", input=data).stdout == data
    done = mux.ssh("t", "kill -TERM $$; sleep 5", options=["-v"])
    assert done.returncode == 255 and b"exit-signal" in done.stderr


@pytest.mark.remote_tty
def test_L9_dropbear_pty(make_dropbear, make_mux, keys):
    server = make_dropbear()
    mux = make_mux(server)
    plain = masters.client_config(mux.dir / "plain", server, keys)
    direct = subprocess.run([SSH, "-F", plain, "-tt", "t", "tty"], capture_output=True, timeout=60,
                            check=False, stdin=subprocess.DEVNULL)
    if b"/dev/pts" not in direct.stdout:  # so it is with 2025.89 that a user runs
        pytest.skip("this dropbear hands no terminal to plain ssh either")
    done = mux.ssh("t", "tty; exit 3", options=["-tt"])
    assert b"/dev/pts" in done.stdout and done.returncode == 3


@pytest.mark.core
def test_R1_dropbear_as_jump_host(make_dropbear, make_sshd, make_mux):
    target, bastion = make_sshd(), make_dropbear()
    mux = make_mux(target, bastion)
    mux.check_works()
    data = os.urandom(3 << 20)
    assert mux.ssh("t", "cat", input=data).stdout == data


def test_R1_dropbear_behind_openssh(make_dropbear, make_sshd, make_mux):
    mux = make_mux(make_dropbear(), make_sshd())
    mux.check_works()


# ---- paramiko, the client ----


@pytest.fixture
def paramiko_client(mux, cleanup):
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect("127.0.0.1", mux.port, "t", key_filename=str(mux.local_key), look_for_keys=False,
                   allow_agent=False, timeout=20)  # fmt: skip
    yield client
    client.close()


@pytest.mark.core
def test_L9_paramiko_client_exec(paramiko_client):
    _, out, err = paramiko_client.exec_command("echo out; echo err >&2; exit 44")
    assert out.read() == b"out\n" and err.read() == b"err\n"
    assert out.channel.recv_exit_status() == 44


def test_L9_paramiko_client_sftp(paramiko_client, tmp_path):
    data = os.urandom(5 << 20)
    with paramiko_client.open_sftp() as sftp:
        sftp.putfo(io.BytesIO(data), str(tmp_path / "far"))
        back = io.BytesIO()
        sftp.getfo(str(tmp_path / "far"), back)
    assert hashlib.sha256(back.getvalue()).digest() == hashlib.sha256(data).digest()


def test_L9_paramiko_client_parallel_channels(paramiko_client):
    transport = paramiko_client.get_transport()
    channels = [transport.open_session(timeout=20) for _ in range(30)]
    for n, channel in enumerate(channels):
        channel.exec_command(f"echo {n}; exit {n}")
    for n, channel in enumerate(channels):
        assert channel.makefile().read() == b"%d\n" % n
        assert channel.recv_exit_status() == n


def test_L6_paramiko_client_refusals(paramiko_client):
    transport = paramiko_client.get_transport()
    with pytest.raises(paramiko.SSHException):
        transport.request_port_forward("127.0.0.1", 0)
    with pytest.raises(paramiko.ChannelException) as refused:
        transport.open_channel("direct-tcpip", ("127.0.0.1", 22), ("127.0.0.1", 1), timeout=20)
    assert refused.value.code == 1
    channel = transport.open_session(timeout=20)
    with pytest.raises(paramiko.SSHException):
        channel.request_x11()


@pytest.mark.parametrize("cipher", ["aes128-ctr", "aes256-ctr"])
@pytest.mark.parametrize("mac", ["hmac-sha2-256", "hmac-sha2-512-etm@openssh.com"])
def test_B9_paramiko_client_ciphers(mux, cipher, mac):
    with socket.create_connection(("127.0.0.1", mux.port)) as sock:
        t = paramiko.Transport(sock)
        t.get_security_options().ciphers = [cipher]
        t.get_security_options().digests = [mac]
        t.start_client(timeout=20)
        t.auth_publickey("t", paramiko.Ed25519Key.from_private_key_file(str(mux.local_key)))
        channel = t.open_session(timeout=20)
        channel.exec_command("cat")
        data = os.urandom(200000)
        threading.Thread(target=lambda: (channel.sendall(data), channel.shutdown_write())).start()
        assert channel.makefile().read() == data
        t.close()


# ---- paramiko, the server: what the relay carries ----


@pytest.fixture
def scripted(make_mux, keys, cleanup):
    """A daemon in front of a scripted server; give it a handler."""

    def make(handler=None, route=None, **kw):
        server = cleanup(Server(keys.make("host_scripted"), handler, **kw))
        mux = make_mux(routes=routes_toml({"t": server.hop(**(route or {}))}),
                       known_hosts=server.known_hosts())
        return server, mux

    return make


@pytest.fixture
def raw(cleanup):
    """A raw client of a daemon."""
    return lambda mux: cleanup(Client(mux.port, mux.local_key))


def finish(server, channel, code=0):
    server.send(channel, 98, "exit-status", False, code)
    server.send(channel, 96)
    server.send(channel, 97)


@pytest.mark.core
@pytest.mark.parametrize("core", [True, False])
def test_L9_exit_signal_whole(scripted, raw, core):
    """Name, core flag, message and language tag arrive as they were sent."""

    def handler(server, channel, name, m):
        if name == "exec":
            threading.Thread(target=lambda: (
                server.send(channel, 98, EXIT_SIGNAL, False, "ABRT", core, "it fell over \u00e9", "en"),
                server.send(channel, 97))).start()  # fmt: skip
        return True

    server, mux = scripted(handler)
    client = raw(mux)
    client.open(7)
    theirs = client.opened(7)
    client.request(theirs, "exec", True, "x")
    client.wait(97, 7)
    m = client.wait(98, 7)
    assert m.get_text() == EXIT_SIGNAL and m.get_boolean() is False
    assert (m.get_text(), m.get_boolean()) == ("ABRT", core)
    assert (m.get_text(), m.get_text()) == ("it fell over \u00e9", "en")
    assert m.get_remainder() == b""


@pytest.mark.core
def test_L9_requests_arrive_whole(scripted, raw):
    """pty-req with modes and pixels, window-change, signal, break, env, subsystem."""
    server, mux = scripted()
    client = raw(mux)
    client.open(3)
    theirs = client.opened(3)
    modes = b"\x01\x00\x00\x00\x07\x80\x00\x00\x25\x80\x35\x00\x00\x00\x01\x00"
    client.request(theirs, "pty-req", True, "xterm", 81, 25, 811, 251, modes)
    client.request(theirs, "window-change", False, 100, 30, 1000, 300)
    client.request(theirs, "env", True, "LANG", "C")
    client.request(theirs, "env", True, "FOO", "bar")
    client.request(theirs, "subsystem", True, "odd-one")
    client.request(theirs, "signal", False, "USR1")
    client.request(theirs, "break", True, 500)
    client.wait(99, 3, count=4)
    client.wait(100, 3)
    order = [n for n, c, _ in client.received if c == 3 and n in (99, 100)]
    assert order == [99, 99, 100, 99, 99], "answers in the order of the requests"
    poll(lambda: server.requests("break"), 5)

    def body(name):
        ((_, _, data),) = server.requests(name)
        return data

    def s(text):
        return struct.pack(">I", len(text)) + text

    assert body("pty-req") == s(b"xterm") + struct.pack(">IIII", 81, 25, 811, 251) + s(modes)
    assert body("window-change") == struct.pack(">IIII", 100, 30, 1000, 300)
    assert body("subsystem") == s(b"odd-one")
    assert body("signal") == s(b"USR1")
    assert body("break") == struct.pack(">I", 500)
    assert [e for e in server.requests("env")] == [("env", True, s(b"LANG") + s(b"C"))]


def test_L9_unknown_channel_request_both_ways(scripted, raw):
    """eow@openssh.com, xon-xoff and strangers: carried, and answered by who was asked."""

    def handler(server, channel, name, m):
        if name == "exec":
            threading.Thread(target=lambda: (
                server.send(channel, 98, "xon-xoff", False, True),
                server.send(channel, 98, "eow@openssh.com", False))).start()  # fmt: skip
        return name == "exec"

    server, mux = scripted(handler)
    client = raw(mux)
    client.open(5)
    theirs = client.opened(5)
    client.request(theirs, "exec", True, "x")
    client.wait(99, 5)
    m = client.wait(98, 5)
    assert (m.get_text(), m.get_boolean(), m.get_boolean()) == ("xon-xoff", False, True)
    assert client.wait(98, 5, count=2).get_text() == "eow@openssh.com"


def test_L9_answers_come_in_the_order_of_the_requests(scripted, raw):
    """Also what is refused here at once: the answer of the remote to what was before is waited for."""
    def handler(server, channel, name, m):
        time.sleep(0.5 if name == "env" else 0)
        return True

    server, mux = scripted(handler)
    client = raw(mux)
    client.open(5)
    theirs = client.opened(5)
    client.request(theirs, "env", True, "LANG", "C")
    client.request(theirs, "auth-agent-req@openssh.com", True)
    client.request(theirs, "env", True, "LC_ALL", "C")
    client.wait(99, 5, count=2)
    assert [n for n, c, _ in client.received if n in (99, 100)] == [99, 100, 99]


def test_L9_reason_of_a_refused_open(scripted, raw):
    """Code, text: the remote's own."""
    code = {"now": paramiko.OPEN_FAILED_RESOURCE_SHORTAGE}
    server, mux = scripted(open_reply=lambda kind: code["now"],
                           route={"allow_remote_loopback_any_port": True})
    client = raw(mux)
    client.open(9, "direct-tcpip", "127.0.0.1", 80, "127.0.0.1", 1)
    m = client.wait(92, 9)
    assert m.get_int() == paramiko.OPEN_FAILED_RESOURCE_SHORTAGE
    code["now"] = paramiko.OPEN_FAILED_CONNECT_FAILED
    client.open(10, "direct-tcpip", "127.0.0.1", 80, "127.0.0.1", 1)
    assert client.wait(92, 10).get_int() == paramiko.OPEN_FAILED_CONNECT_FAILED
    assert ("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 80)) in server.log


@pytest.mark.parametrize("window", [0, 1 << 20])
def test_L9_extended_data_code(scripted, raw, window):
    """A data type code other than stderr's stays what it is, also where the data had to wait for the
    client's window."""

    def handler(server, channel, name, m):
        if name == "exec":
            server.send(channel, 95, 1, b"one")
            server.send(channel, 95, 42, b"fortytwo")
            server.send(channel, 94, b"none")
        return True

    server, mux = scripted(handler)
    client = raw(mux)
    client.open(1, window=window)
    theirs = client.opened(1)
    client.request(theirs, "exec", True, "x")
    client.wait(99, 1)  # it was sent after the data
    if not window:
        assert not [n for n, c, _ in client.received if c == 1 and n in (94, 95)]
        client.send(93, theirs, 1 << 20)
    first, second = client.wait(95, 1), client.wait(95, 1, count=2)
    assert (first.get_int(), first.get_string()) == (1, b"one")
    assert (second.get_int(), second.get_string()) == (42, b"fortytwo")
    assert client.wait(94, 1).get_string() == b"none"


def test_B2_refused_session_is_said_or_carried(scripted):
    """A server that takes no session at all: a clear refusal, no endless logins."""
    server, mux = scripted(open_reply=lambda kind: paramiko.OPEN_FAILED_RESOURCE_SHORTAGE)
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"open failed" in done.stderr
    assert len(server.transports) <= 3


def test_L9_late_close_of_the_remote(scripted, raw):
    """We close first; the remote answers a second later. The number is not used before."""

    def handler(server, channel, name, m):
        return True

    server, mux = scripted(handler)
    client = raw(mux)
    for n in range(50):
        client.open(100 + n)
        theirs = client.opened(100 + n)
        client.request(theirs, "exec", True, "x")
        client.send(97, theirs)
        client.wait(97, 100 + n)
    poll(lambda: mux.open_channels() == 0, 10, "the channels to be given back")


@pytest.mark.parametrize("is_done", [False, True], ids=["it runs on", "it is done"])
def test_L9_exit_status_behind_output_that_is_not_taken(scripted, raw, is_done):
    """A client whose window is full closes its channel: what it can't take any more is dropped, but
    not the exit status that waits behind that."""
    channels = []

    def handler(server, channel, name, m):
        if name == "exec" and not channels:
            channels.append(channel)
            server.send(channel, 94, b"never read")
            server.send(channel, 98, "exit-status", False, 7)
            if is_done:
                server.send(channel, 97)
        return True

    server, mux = scripted(handler)
    client = raw(mux)
    client.open(1, window=0)
    theirs = client.opened(1)
    client.open(2)
    other = client.opened(2)
    client.request(theirs, "exec", False, "x")
    poll(lambda: channels, 10)
    client.request(other, "exec", True, "x")
    client.wait(99, 2)  # so all that the server has sent before is there, too
    assert not client.data(1) and not [n for n, c, _ in client.received if c == 1 and n == 98]
    client.send(97, theirs)
    if not is_done:
        poll(lambda: channels[0].closed, 10, "the remote is told")
    m = client.wait(98, 1)
    assert (m.get_text(), m.get_boolean(), m.get_int()) == ("exit-status", False, 7)
    client.wait(97, 1)
    assert not client.data(1)


@pytest.mark.parametrize("security", [
    {"kex": ["diffie-hellman-group14-sha256"]},
    {"kex": ["diffie-hellman-group16-sha512"]},
    {"kex": ["diffie-hellman-group-exchange-sha256"]},
    {"kex": ["ecdh-sha2-nistp521"]},
    {"kex": ["curve25519-sha256@libssh.org"]},
    {"ciphers": ["aes128-ctr"], "digests": ["hmac-sha2-512-etm@openssh.com"]},
    {"ciphers": ["aes256-ctr"], "digests": ["hmac-sha2-256"]},
], ids=str)  # fmt: skip
def test_B9_paramiko_server_algorithms(scripted, security):
    """Without strict kex and, for group exchange, with its own groups."""

    def handler(server, channel, name, m):
        if name == "exec":
            threading.Thread(target=lambda: (
                server.send(channel, 94, b"d" * 20000), finish(server, channel, 5))).start()
        return True

    server, mux = scripted(handler, security=security)
    done = mux.ssh("t", "x")
    assert (done.stdout, done.returncode) == (b"d" * 20000, 5), mux.log()[-1500:]
