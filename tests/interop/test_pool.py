# SPDX-License-Identifier: MIT
"""The pool and the local server's door (P1-P8, B2, B11, L1-L3, L5, L10, L11).

The rows kept here: L1 L2 L3 L4 L5 L10 L11, P1 P2 P3 P4 P5 P7 P8, R3 R6, A1, B1 B2 B11.
"""
import os
import re
import signal
import socket
import subprocess
import threading
import time

import paramiko
import pytest

import pyssh
from peers import USER, hop, poll, routes_toml
from serve_terminal import at_terminal
from test_prompts import run_exec


def addresses_of(mux):
    """(address, port) of every TCP socket on which a daemon listens, from /proc."""
    inodes = set()
    for fd in os.listdir(f"/proc/{mux.pid}/fd"):
        try:
            match = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{mux.pid}/fd/{fd}"))
        except OSError:
            continue
        if match:
            inodes.add(match.group(1))
    found = []
    for table in ("tcp", "tcp6"):
        try:
            lines = open(f"/proc/net/{table}", encoding="ascii").read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            address, port = fields[1].split(":")
            # Under wine its server has the sockets of all: those on the port are looked at.
            is_ours = fields[9] in inodes if mux.has_its_sockets else int(port, 16) == mux.port
            if fields[3] == "0A" and is_ours:
                found.append((address, int(port, 16)))
    return found


@pytest.mark.core
def test_L1_loopback_only(mux):
    assert addresses_of(mux) == [("0100007F", mux.port)]


def test_L1_port_taken_is_said(mux, make_mux):
    other = make_mux(routes=routes_toml({"t": hop(mux.target)}), start=False)
    other.args[2] = str(mux.port)
    done = other.control(*other.args)
    assert done.returncode == 69 and str(mux.port) in done.stderr, done


@pytest.mark.core
def test_L2_publickey_only(mux):
    done = mux.ssh("t", "true", options=["-v", "-o", "PreferredAuthentications=none,password,"
                                         "keyboard-interactive"])
    assert done.returncode == 255
    assert b"Permission denied (publickey)." in done.stderr
    assert re.findall(rb"Authentications that can continue: (\S+)", done.stderr)
    assert set(re.findall(rb"Authentications that can continue: (\S+)", done.stderr)) == {
        b"publickey"
    }


def test_L2_stranger_refused(mux):
    stranger = mux.keys.make("stranger")
    done = mux.ssh("t", "true", options=["-i", str(stranger), "-o", f"IdentityFile={stranger}",
                                         "-F", "none", "-o", "IdentitiesOnly=yes", "-p",
                                         str(mux.port), "-o", "HostName=127.0.0.1",
                                         "-o", "BatchMode=yes",
                                         "-o", "StrictHostKeyChecking=no",
                                         "-o", "UserKnownHostsFile=/dev/null"])
    assert done.returncode == 255 and b"Permission denied (publickey)" in done.stderr


@pytest.mark.core
def test_L3_unknown_route(mux):
    since = len(mux.log())
    done = mux.ssh("home", "true")
    assert done.returncode == 255
    assert b"open failed" in done.stderr and b"unknown route" in done.stderr
    mux.wait_log('channel open rejected for route "home": unknown route', since=since)


def test_L3_remote_failure_is_said(make_mux, make_sshd, keys):
    target = make_sshd()
    mux = make_mux(target)
    target.stop()
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"open failed" in done.stderr
    mux.wait_log('channel open rejected for route "t": remote session failed: ')
    target.start()
    mux.check_works()


def test_L3_remote_refuses_our_key(make_mux, make_sshd, keys):
    target = make_sshd(accept=[keys.make("other")])
    mux = make_mux(target)
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"open failed" in done.stderr
    assert "remote session failed" in mux.log()
    target.authorized.write_text(keys.public(keys.make("remote")))
    # U5: not tried again at once, but for a person.
    assert at_terminal(mux, "connect", "t", "true")[0] == 0
    mux.check_works()


def test_L4_host_key_file(mux):
    """ed25519, OpenSSH format, 0600, the same after a restart; ssh-keygen reads it."""
    path = mux.ssh_dir / "ssh-mux-host-key"
    assert path.stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(["ssh-keygen", "-y", "-f", str(path)], capture_output=True, text=True,
                           check=True, stdin=subprocess.DEVNULL).stdout.split()
    assert shown[:2] == (mux.ssh_dir / "ssh-mux-host-key.pub").read_text().split()[:2]
    assert shown[0] == "ssh-ed25519"


def test_L4_host_key_survives_restart(make_mux, make_sshd):
    mux = make_mux(make_sshd())
    before = (mux.ssh_dir / "ssh-mux-host-key").read_bytes()
    mux.stop()
    mux.start()
    assert (mux.ssh_dir / "ssh-mux-host-key").read_bytes() == before
    mux.check_works()


def test_L4_host_key_others_can_read_is_refused(make_mux, make_sshd):
    mux = make_mux(make_sshd())
    mux.stop()
    (mux.ssh_dir / "ssh-mux-host-key").chmod(0o644)
    done = mux.control(*mux.args)
    assert done.returncode not in (0, None) and "ssh-mux-host-key" in done.stderr, done


# ---- authorised keys ----


def test_L5_reread_without_restart(make_mux, make_sshd, keys):
    mux = make_mux(make_sshd(), authorized=keys.public(keys.make("stranger")))
    assert mux.ssh("t", "true").returncode == 255
    mux.put("ssh-mux-authorized-keys", keys.public(keys.make("local")))
    mux.check_works()
    mux.put("ssh-mux-authorized-keys", keys.public(keys.make("stranger")))
    assert mux.ssh("t", "true").returncode == 255


def test_L5_downgrade_to_id_pub_is_loud(make_mux, make_sshd, keys):
    mux = make_mux(make_sshd(), authorized=False, start=False)
    mux.put("id_test.pub", keys.public(keys.make("local")))
    mux.start()
    mux.check_works()
    assert any("ssh-mux-authorized-keys" in w for w in mux.status()["warnings"]), mux.status()
    assert "ssh-mux-authorized-keys" in mux.log()
    assert "ssh-mux-authorized-keys" in mux.control("status").stdout
    # Once the file is there it alone counts, without a restart.
    mux.put("ssh-mux-authorized-keys", keys.public(keys.make("stranger")))
    assert mux.ssh("t", "true").returncode == 255
    assert not mux.status()["warnings"]


def read_bytes(mux):
    """What the daemon has read with read(), from files as well."""
    with open(f"/proc/{mux.pid}/io", encoding="ascii") as f:
        return int(re.search(r"^rchar: (\d+)$", f.read(), re.M)[1])


def test_L5_whoever_connects_costs_no_look_at_the_keys(make_mux, make_sshd, keys):
    """Anybody on the machine can connect, and try a key; with the list missing, the directory and
    each id_*.pub were read for it on the loop. A key removed or added counts at once all the same."""
    mux = make_mux(make_sshd(), authorized=False, start=False)
    # What is read shows by its length.
    padding = "#" * 500_000 + "\n"
    mux.put("id_test.pub", padding + keys.public(keys.make("local")))
    mux.start()
    time.sleep(3.2)  # a file just written is read again, for it may change once more unseen
    mux.check_works()
    before = read_bytes(mux)
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", mux.port)) as s:
            s.sendall(b"SSH-2.0-stranger\r\n")
            assert s.recv(4) == b"SSH-"
    for _ in range(5):
        assert mux.ssh("t", "true", options=[f"-i{keys.make('stranger')}"]).returncode == 0
    assert read_bytes(mux) - before < 2 * len(padding), "the keys were read"
    mux.put("id_test.pub", keys.public(keys.make("stranger")))
    assert mux.ssh("t", "true").returncode == 255
    mux.put("id_other.pub", keys.public(keys.make("local")))
    mux.check_works()
    (mux.ssh_dir / "id_other.pub").unlink()
    assert mux.ssh("t", "true").returncode == 255


def test_L5_revoked_while_at_the_door_without_a_list(make_mux, make_sshd, keys):
    """Whoever has connected already, and is about to authenticate, is refused at once; with a list
    of keys it is test_reload.py that looks."""
    mine, other = keys.public(keys.make("local")), keys.public(keys.make("stranger"))
    mux = make_mux(make_sshd(), authorized=False, start=False)
    name = "id_test.pub"
    mux.put(name, mine)
    mux.start()
    key = paramiko.Ed25519Key(filename=str(mux.local_key))
    for text, is_in in ((mine, True), (other, False), (mine, True)):
        transport = paramiko.Transport(("127.0.0.1", mux.port))
        try:
            transport.start_client(timeout=20)
            mux.put(name, text)
            if is_in:
                transport.auth_publickey("t", key)
            else:
                with pytest.raises(paramiko.AuthenticationException):
                    transport.auth_publickey("t", key)
        finally:
            transport.close()
        mux.put(name, mine)


@pytest.mark.parametrize("option", ['command="/bin/false"', "restrict", 'from="10.0.0.0/8"',
                                    "cert-authority", 'expiry-time="20010101"', "no-pty",
                                    'environment="A=b"'])  # fmt: skip
def test_L5_lines_with_options_are_never_honoured_bare(make_mux, make_sshd, keys, option):
    mux = make_mux(make_sshd(), authorized=f"{option} {keys.public(keys.make('local'))}")
    assert mux.ssh("t", "true").returncode == 255
    assert re.search(r"ssh-mux-authorized-keys:1: ", mux.log())


@pytest.mark.core
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "ecdsa384", "ecdsa521", "rsa"])
def test_L5_local_key_types(mux, make_mux, keys, kind):
    args = {"ecdsa384": ["-b", "384"], "ecdsa521": ["-b", "521"]}.get(kind, [])
    key = keys.make(f"local_{kind}", kind[:5] if kind.startswith("ecdsa") else kind, *args)
    other = make_mux(mux.target, authorized=keys.public(key))
    algorithms = ["rsa-sha2-256", "rsa-sha2-512"] if kind == "rsa" else [None]
    for algorithm in algorithms:
        options = ["-o", f"PubkeyAcceptedAlgorithms={algorithm}"] if algorithm else []
        done = subprocess.run(
            ["ssh", "-F", "none", "-p", str(other.port), "-i", str(key), "-o", "IdentitiesOnly=yes",
             "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={other.dir}/client_known_hosts",
             "-o", "HostKeyAlias=ssh-mux", *options, "t@127.0.0.1", "echo in"],
            capture_output=True, stdin=subprocess.DEVNULL, timeout=30,
        )  # fmt: skip
        assert done.stdout == b"in\n", done


def test_L5_sha1_rsa_is_refused(mux, make_mux, keys):
    key = keys.make("local_rsa", "rsa")
    other = make_mux(mux.target, authorized=keys.public(key))
    done = subprocess.run(
        ["ssh", "-F", "none", "-p", str(other.port), "-i", str(key), "-o", "IdentitiesOnly=yes",
         "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
         "UserKnownHostsFile=/dev/null", "-o", "PubkeyAcceptedAlgorithms=ssh-rsa",
         "t@127.0.0.1", "true"],
        capture_output=True, stdin=subprocess.DEVNULL, timeout=30,
    )  # fmt: skip
    assert done.returncode == 255


# ---- one login ----


def many(mux, count, command="echo in", route="t"):
    """Starts clients at the same moment; returns what came of them."""
    procs = [mux.start_ssh(route, command, stdin=subprocess.DEVNULL) for _ in range(count)]
    return [(p.communicate(timeout=100), p.returncode) for p in procs]


@pytest.mark.core
def test_P7_fifty_clients_one_login(make_mux, make_sshd):
    target, bastion = make_sshd("target", MaxSessions=300), make_sshd("bastion", MaxSessions=300)
    mux = make_mux(target, bastion)
    for (out, err), code in many(mux, 50):
        assert (out, code) == (b"in\n", 0), err
    assert target.logins() == 1 and bastion.logins() == 1
    mux.wait_idle()


def test_B2_fifty_clients_ten_sessions_a_login(make_mux, make_sshd):
    target, bastion = make_sshd("target"), make_sshd("bastion")  # MaxSessions 10
    mux = make_mux(target, bastion)
    # All fifty are open at once, so that five connections are really needed.
    for (out, err), code in many(mux, 50, "sleep 4; echo in"):
        assert (out, code) == (b"in\n", 0), err
    assert 1 <= target.logins() <= 5, target.logins()
    mux.wait_idle()


def test_P1_users_do_not_share(make_mux, make_sshd, keys):
    """The same host and port as another user is another connection (and refused here)."""
    target = make_sshd()
    other = dict(hop(target), user="nobody")
    mux = make_mux(target, routes=routes_toml({"t": hop(target), "n": other, "same": hop(target)}))
    mux.check_works("t")
    assert mux.ssh("n", "true").returncode == 255
    target.wait_log("nobody")
    mux.check_works("same")
    assert target.logins(USER) == 1


def test_P1_jump_chain_is_part_of_the_key(make_mux, make_sshd):
    target, bastion = make_sshd("target"), make_sshd("bastion")
    mux = make_mux(target, bastion, routes=routes_toml(
        {"t": hop(target), "d": hop(target, direct=True)}, jump=hop(bastion)))
    mux.check_works("t")
    mux.check_works("d")
    assert target.logins() == 2 and bastion.logins() == 1


def test_B1_chain_of_three(make_mux, make_sshd):
    a, b, target = make_sshd("a"), make_sshd("b"), make_sshd("target")
    mux = make_mux(
        target,
        routes=routes_toml({"a": hop(a), "b": hop(b, jump="a"), "t": hop(target, jump="b")}),
        known_hosts=a.known_hosts() + b.known_hosts() + target.known_hosts(),
    )
    mux.check_works("t")
    assert (a.logins(), b.logins(), target.logins()) == (1, 1, 1)
    mux.check_works("b")
    assert (a.logins(), b.logins(), target.logins()) == (1, 1, 1)


def test_no_more_sessions_stays_here(mux):
    """N4: OpenSSH sends it after its own session; passing it on would kill everybody."""
    first = mux.start_ssh("t", "cat")
    done = mux.ssh("t", "echo second", options=["-v"])
    assert b"Requesting no-more-sessions@openssh.com" in done.stderr
    assert done.stdout == b"second\n"
    assert mux.ssh("t", "echo third").stdout == b"third\n"
    out, _ = first.communicate(b"alive", timeout=20)
    assert out == b"alive" and first.returncode == 0


# ---- ages ----


@pytest.mark.core
def test_P2_idle_timeout(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(target, timeout=1)
    # An open channel freezes it, with no traffic at all.
    done = mux.ssh("t", "sleep 3; echo quiet")
    assert done.stdout == b"quiet\n" and target.logins() == 1
    poll(lambda: not mux.status()["connections"], 10, "the idle connection to be closed")
    poll(lambda: not target.connections(), 5, "the server's side to end")
    mux.check_works()
    assert target.logins() == 2


def test_P2_reuse_restarts_the_clock(make_mux, make_sshd):
    """P2: calls that come before it is idle for long enough keep it, however many there are. A gap
    is a third of the limit, which a busy machine does not make of it."""
    target = make_sshd()
    mux = make_mux(target, timeout=6)
    start = time.monotonic()
    while time.monotonic() - start < 9:
        mux.check_works()
        time.sleep(2)
    assert target.logins() == 1


def test_P2_the_clock_begins_with_the_end_of_the_last_channel(make_mux, make_sshd):
    """What was used for longer than that is not idle at its end. The clock is set each second."""
    mux = make_mux(make_sshd(), timeout=600)
    client = mux.start_ssh("t", "echo up; cat")
    assert client.stdout.readline() == b"up\n"
    time.sleep(8)
    ended = time.monotonic()
    client.communicate(timeout=20)
    left = poll(lambda: mux.connections()[0]["idle_left_s"] + 1, 10, "it is idle") - 1
    assert left >= 600 - (time.monotonic() - ended) - 4


def test_P2_what_a_killed_client_left_running_is_nobodys_channel(make_mux, make_sshd):
    """sshd keeps the session until its command ends; the pool does not wait for that."""
    target = make_sshd()
    mux = make_mux(target, timeout=2)
    client = mux.start_ssh("t", "echo up; exec sleep 40")
    assert client.stdout.readline() == b"up\n"
    client.kill()
    client.communicate()
    poll(lambda: not mux.status()["connections"], 15, "the idle connection to be closed")


def test_P3_max_lifetime_overrides_open_channels(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(target, max_lifetime=3)
    start = time.monotonic()
    done = mux.ssh("t", "sleep 30")
    assert 2 < time.monotonic() - start < 12
    assert done.returncode != 0
    mux.check_works()
    assert target.logins() == 2


def test_P4_dead_remote_closes_channels_with_a_message(make_mux, make_sshd):
    """The server is gone without a word (SIGSTOP stands for a dead path). With dead_after at its
    least, the connection ends when it would be stalled: 3 x 15 s."""
    target = make_sshd()
    mux = make_mux(target, route={"dead_after": 45})
    client = mux.start_ssh("t", "echo up; sleep 100", stdin=subprocess.DEVNULL)
    assert client.stdout.readline() == b"up\n"
    for pid in target.connections():
        os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    _, err = client.communicate(timeout=100)
    assert client.returncode != 0
    assert 45 * 0.8 < time.monotonic() - start < 45 * 1.2
    assert b"lost: no sign of life for 45 s (dead_after)" in err, err


def test_P5_jump_lives_with_its_dependents(make_mux, make_sshd):
    target, bastion = make_sshd("target"), make_sshd("bastion")
    mux = make_mux(target, bastion, timeout=1)
    done = mux.ssh("t", "sleep 4; echo still")
    assert done.stdout == b"still\n"
    assert bastion.logins() == 1
    poll(lambda: not mux.status()["connections"], 15, "both to go when idle")
    poll(lambda: not bastion.connections(), 5)


@pytest.mark.core
def test_P8_lock_unlock_status(make_mux, make_sshd):
    mux = make_mux(make_sshd())
    client = mux.start_ssh("t", "cat")
    client.stdin.write(b"one\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"one\n"
    assert mux.control("lock").returncode == 0
    assert "locked" in mux.control("status").stdout.lower()
    done = mux.ssh("t", "echo no")
    assert done.returncode == 255 and done.stdout == b"" and b"locked" in done.stderr
    # The old one goes on.
    out, _ = client.communicate(b"two\n", timeout=20)
    assert out == b"two\n" and client.returncode == 0
    assert mux.control("unlock").returncode == 0
    mux.check_works()


def test_P8_lock_holds_for_channels_of_connected_clients(make_mux, make_sshd, tmp_path):
    mux = make_mux(make_sshd())
    control = mux.dir / "c"
    master = mux.start_ssh("t", options=["-M", "-N", "-S", str(control)], stdin=subprocess.DEVNULL)
    try:
        poll(control.exists)
        argv = ["ssh", "-F", str(mux.config_path), "-S", str(control), "t@mux", "echo in"]

        def again():
            return subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=20)

        assert again().stdout == b"in\n"
        mux.control("lock")
        assert again().stdout == b""
        mux.control("unlock")
        assert again().stdout == b"in\n"
    finally:
        master.terminate()
        master.communicate(timeout=10)


@pytest.mark.core
def test_P8_lock_refuses_what_waits_for_its_login(make_mux, make_sshd, pump, echo):
    """Sessions and forwards (that of `ssh -J` too), of SSH clients and of our own: told so at once,
    and not let in when the login is done. What is open goes on, and nothing is lost by it."""
    target = make_sshd()
    slow = pump(target.port)
    known = target.known_hosts() + target.known_hosts().replace(str(target.port), str(slow.port))
    mux = make_mux(known_hosts=known, routes=routes_toml({
        "open": hop(target), "slow": hop(slow), "far": dict(hop(target), jump="slow")},
        top={"default_allow_remote_loopback_any_port": True}))
    running = mux.start_ssh("open", "cat")
    running.stdin.write(b"one\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"one\n"
    slow.hold()
    forward = ["-W", f"127.0.0.1:{echo.port}"]
    waiting = [
        mux.start_ssh("slow", "echo in", stdin=subprocess.DEVNULL),
        mux.start_ssh("slow", options=forward, stdin=subprocess.DEVNULL),
        # What waits for a login that waits for the jump host's.
        mux.start_ssh("far", "echo in", stdin=subprocess.DEVNULL),
        subprocess.Popen([mux.binary, "connect", "slow", "echo in"], env=mux.env,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE),
    ]

    def opening():
        return sum(c["state"] == "opening" for c in mux.status()["channels"])

    poll(lambda: opening() == len(waiting), 20, "the opens to wait")
    assert mux.control("lock").returncode == 0
    for client in waiting:
        out, err = client.communicate(timeout=10)
        assert out == b"" and client.returncode == 255, (client.args, err)
        assert b"locked" in err and b"ssh-mux unlock" in err, (client.args, err)
    slow.release()
    # Forwards that come now, on a connection that has its login.
    done = mux.ssh("open", options=forward)
    assert done.returncode == 255 and b"locked" in done.stderr, done
    out, _ = running.communicate(b"two\n", timeout=20)
    assert out == b"two\n" and running.returncode == 0
    assert mux.control("unlock").returncode == 0
    mux.check_works("slow")
    mux.check_works("far")
    assert mux.ssh("slow", options=forward, input=b"x").stdout == b"x"


def test_P8_what_a_dead_connection_leaves_is_refused(make_mux, cleanup, keys):
    """P8: an open that was on its way when `lock` came makes no new login when its connection
    dies."""
    is_held, gate = threading.Event(), threading.Event()

    def reply(kind):
        if is_held.is_set():
            gate.wait(30)
        return paramiko.OPEN_SUCCEEDED

    server = cleanup(pyssh.Server(keys.make("host_held"), run_exec, open_reply=reply))
    mux = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts())
    assert mux.ssh("t", "true").stdout == b"in\n"
    is_held.set()
    client = mux.start_ssh("t", "true")
    poll(lambda: mux.open_channels() == 1, 15, "the open to be on its way")
    assert mux.control("lock").returncode == 0
    server.transports[0].sock.shutdown(socket.SHUT_RDWR)
    gate.set()
    err = client.communicate(timeout=20)[1]
    assert client.returncode == 255 and b"locked" in err, err
    assert len(server.transports) == 1


def test_P4_an_idle_connection_is_asked_every_15_s(make_mux, make_sshd):
    """P4: and not each second, as one whose open is awaited: its opens were answered."""
    target = make_sshd(LogLevel="DEBUG1")
    mux = make_mux(target)
    for _ in range(3):
        mux.check_works()
    time.sleep(2)
    asked = target.log().count("rtype keepalive@openssh.com")
    time.sleep(5)
    assert target.log().count("rtype keepalive@openssh.com") - asked <= 1


@pytest.mark.core
def test_status_shows_what_is_open(make_mux, make_sshd):
    target, bastion = make_sshd("target"), make_sshd("bastion")
    mux = make_mux(target, bastion)
    client = mux.start_ssh("t", "cat")
    client.stdin.write(b"x\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"x\n"
    status = mux.status()
    keys = [c["key"] for c in status["connections"]]
    assert any(f"{USER}@127.0.0.1:{target.port}" in k for k in keys), keys
    assert mux.open_channels() >= 1
    assert [c["route"] for c in status["clients"]] == ["t"]
    text = mux.control("status").stdout
    assert "t" in text and str(target.port) in text
    client.communicate(timeout=10)
    mux.wait_idle()


def test_stop_ends_clients_in_order(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(target)
    client = mux.start_ssh("t", "echo up; sleep 60", stdin=subprocess.DEVNULL)
    assert client.stdout.readline() == b"up\n"
    mux.stop()
    _, err = client.communicate(timeout=10)
    assert client.returncode == 255
    poll(lambda: not target.connections(), 5, "nothing left at the server")


def test_sigterm_is_an_orderly_stop(make_mux, make_sshd):
    mux = make_mux(make_sshd())
    mux.check_works()
    mux.stop(how="signal")


def test_commands_without_daemon(make_mux):
    mux = make_mux(routes=routes_toml({}), start=False)
    for command in ("status", "stop", "lock", "unlock"):
        done = mux.control(command)
        assert done.returncode == 69, (command, done)
        assert done.stderr.count("\n") == 1


# ---- the local handshake waits for nobody ----


@pytest.mark.core
def test_L11_slow_remote_connect_timeout(make_mux, make_sshd, pump):
    target = make_sshd()
    slow = pump(target.port)
    route = dict(host="127.0.0.1", port=slow.port, user=USER)
    known = target.known_hosts().replace(str(target.port), str(slow.port))
    mux = make_mux(routes=routes_toml({"t": route}), known_hosts=known)
    slow.hold()
    client = mux.start_ssh("t", "echo late", options=["-o", "ConnectTimeout=5"],
                           stdin=subprocess.DEVNULL)
    time.sleep(10)
    assert client.poll() is None
    slow.release()
    out, err = client.communicate(timeout=20)
    assert (out, client.returncode) == (b"late\n", 0), err


@pytest.mark.core
def test_L10_keepalives_answered_while_waiting(make_mux, make_sshd, pump):
    """The client probes each second and gives up after two misses; the remote stalls six."""
    target = make_sshd()
    slow = pump(target.port)
    route = dict(host="127.0.0.1", port=slow.port, user=USER)
    known = target.known_hosts().replace(str(target.port), str(slow.port))
    mux = make_mux(routes=routes_toml({"t": route}), known_hosts=known)
    slow.hold()
    client = mux.start_ssh("t", "echo late", stdin=subprocess.DEVNULL, options=[
        "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"])
    time.sleep(6)
    assert client.poll() is None
    slow.release()
    out, err = client.communicate(timeout=20)
    assert (out, client.returncode) == (b"late\n", 0), err


def test_L10_stopped_client_dies_at_45_s(make_mux, make_sshd):
    """SIGSTOP: three keepalives are missed, then the client and its channel are gone."""
    target = make_sshd()
    mux = make_mux(target)
    client = mux.start_ssh("t", "echo up; cat", stdin=subprocess.PIPE)
    assert client.stdout.readline() == b"up\n"
    client.send_signal(signal.SIGSTOP)
    try:
        start = time.monotonic()
        mux.check_works()
        poll(lambda: not mux.status()["clients"], 80, "the stopped client to be dropped", 0.5)
        assert 45 * 0.8 < time.monotonic() - start < 45 * 1.2
        mux.wait_idle()
    finally:
        client.kill()
        client.communicate()


def test_B11_dead_path_is_noticed_before_reuse(make_mux, make_sshd, pump):
    """The pooled connection's path dies while it is idle; the next call does not hang on it."""
    target = make_sshd()
    path = pump(target.port)
    route = dict(host="127.0.0.1", port=path.port, user=USER)
    known = target.known_hosts().replace(str(target.port), str(path.port))
    mux = make_mux(routes=routes_toml({"t": route}), known_hosts=known)
    mux.check_works()
    time.sleep(6)  # idle long enough that a reuse is worth a probe
    path.strand()
    start = time.monotonic()
    mux.check_works(timeout=40)
    assert time.monotonic() - start < 20
    assert target.logins() == 2


# ---- routes file ----


@pytest.mark.parametrize(
    "text, pieces",
    [
        ('[routes.t]\nhost = "h"\nprot = 22\nuser = "u"\n', ["routes.toml:3", "prot", "port"]),
        ('[routes."-t"]\nhost = "h"\nuser = "u"\n', ["routes.toml:1", "-t"]),
        ('[routes.t]\nhost = "h\\n"\nuser = "u"\n', ["routes.toml:2", "host"]),
        ('[routes.t]\nhost = "h"\nuser = "u"\nsend_env = ["LD_PRELOAD"]\n', ["LD_PRELOAD"]),
        ('[routes.t]\nhost = "h"\nuser = "u"\njump = "t"\n', ["routes.toml:4"]),
        ('[routes.t]\nhost = \n', ["routes.toml:2"]),
        ('[routes.t]\nuser = "u"\n', ["host"]),
    ],
)  # fmt: skip
def test_R3_bad_routes_file(make_mux, text, pieces):
    mux = make_mux(routes=text, start=False)
    done = mux.control(*mux.args)
    assert done.returncode == 78, done
    for piece in pieces:
        assert piece in done.stderr, done.stderr


def test_R6_direct_mode(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(target, direct=target, routes="")
    mux.check_works("anything")
    mux.check_works("t")
    assert target.logins() == 1


def test_A1_agent_before_files(make_mux, make_sshd, keys, make_agent):
    """The agent of the daemon's environment, with no key file at all."""
    target = make_sshd()
    agent = make_agent(keys.make("other"), keys.make("remote"))
    mux = make_mux(target, agent=agent)
    mux.check_works()
    assert not (mux.ssh_dir / "id_ed25519").exists()


def test_A1_identity_agent_of_the_route(make_mux, make_sshd, keys, make_agent):
    target = make_sshd()
    agent = make_agent(keys.make("remote"))
    stale = make_agent()
    mux = make_mux(target, agent=stale, route={"identity_agent": str(agent.sock)})
    mux.check_works()


def test_A1_identity_agent_none_asks_no_agent(make_mux, make_sshd, keys, make_agent):
    """Not the daemon's own either, though it has the key."""
    target = make_sshd()
    agent = make_agent(keys.make("remote"))
    routes = routes_toml({"t": hop(target, identity_agent="none"), "own": hop(target)})
    mux = make_mux(routes=routes, known_hosts=target.known_hosts(), agent=agent)
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"permission denied" in done.stderr.lower(), done
    assert target.logins() == 0
    mux.check_works("own")


def test_A1_stale_agent_socket_falls_through(make_mux, make_sshd, keys):
    target = make_sshd()
    mux = make_mux(target, env={"SSH_AUTH_SOCK": "/tmp/no-such-agent"})
    mux.check_works()


@pytest.mark.parametrize(
    "kind, form",
    [
        ("ed25519", "openssh"), ("ecdsa", "openssh"), ("rsa", "openssh"), ("ecdsa", "pem"),
        ("rsa", "pem"), ("ecdsa", "pkcs8"), ("rsa", "pkcs8"),
    ],
)  # fmt: skip
def test_A1_key_file_formats(mux, make_mux, make_sshd, keys, kind, form, tmp_path):
    base = keys.make(f"form_{kind}", kind)
    path = tmp_path / "key"
    path.write_bytes(base.read_bytes())
    path.chmod(0o600)
    if form != "openssh":
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "", "-m", form.upper(), "-f", str(path)],
                       check=True, capture_output=True, stdin=subprocess.DEVNULL)
        assert "OPENSSH" not in path.read_text()
    target = make_sshd(accept=[base])
    other = make_mux(target, route={"identity": str(path)}, identity=False)
    other.check_works()
    assert re.search(r"Accepted publickey .*ssh2: (ED25519|ECDSA|RSA) ", target.log())


def test_A1_user_certificate_through_the_agent(make_mux, make_sshd, keys, make_agent, tmp_path):
    ca = keys.make("user_ca")
    key = tmp_path / "certified"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    subprocess.run(["ssh-keygen", "-q", "-s", str(ca), "-I", "me", "-n", USER, f"{key}.pub"],
                   check=True)
    target = make_sshd(accept=[keys.make("stranger")], TrustedUserCAKeys=f"{ca}.pub")
    mux = make_mux(target, agent=make_agent(key))
    mux.check_works()
    assert "ED25519-CERT" in target.log()


def test_logs_hold_no_secret(mux):
    mux.check_works()
    private = (mux.ssh_dir / "id_ed25519").read_text().splitlines()[2]
    assert private not in mux.log() and "PRIVATE KEY" not in mux.log()
