# SPDX-License-Identifier: MIT
"""B13: a cold login and its first command take few round trips, with any server."""
import contextlib
import queue
import select
import socket
import ssl
import threading
import time

import pytest

import peers
import pyssh
from peers import free_port, hop, routes_toml

DELAY = 0.5 # each way: what belongs to one flight is sent within it, on a busy machine too


class Trips(threading.Thread):
    """A proxy with a delay that counts the flights of the client: bytes that follow bytes of the
    server. As many round trips were made, and one more for TCP's own handshake. What a server says
    unasked may pass by in the middle of a flight; the next one begins two delays later."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.flights = []
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            state = {"n": 0, "last": "server", "began": 0, "lock": threading.Lock()}
            self.flights.append(state)
            for a, b, who in ((client, server, "client"), (server, client, "server")):
                held = queue.SimpleQueue()
                threading.Thread(target=self.take, args=(a, held, who, state), daemon=True).start()
                threading.Thread(target=self.give, args=(held, b), daemon=True).start()

    @staticmethod
    def take(a, held, who, state):
        """Bytes are held for DELAY from when they came, whatever comes behind them."""
        data = True
        while data:
            try:
                data = a.recv(65536)
            except OSError:
                data = b""
            now = time.monotonic()
            with state["lock"]:
                is_later = now - state["began"] > DELAY
                if data and who == "client" and state["last"] == "server" and is_later:
                    state["n"] += 1
                    state["began"] = now
                if data:
                    state["last"] = who
            held.put((now + DELAY, data))

    @staticmethod
    def give(held, b):
        with contextlib.suppress(OSError):
            while True:
                due, data = held.get()
                time.sleep(max(0, due - time.monotonic()))
                if not data:
                    break
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)

    def trips(self, n=-1):
        return self.flights[n]["n"] + 1

    def stop(self):
        self.listener.close()


@pytest.fixture
def cold(make_mux, cleanup):
    """cold(server, **how): a daemon whose route t goes to the server through a proxy."""

    def make(server, route=None, behind=None, kinds=None, top=None, more=None, **kw):
        trips = cleanup(Trips(server.port))
        known = server.known_hosts(kinds=kinds) if kinds else server.known_hosts()
        known = known.replace(f":{server.port} ", f":{trips.port} ")
        near = dict(hop(server), port=trips.port)
        if behind:
            routes = routes_toml({"t": dict(hop(behind), **(route or {}))}, jump=near)
            known += behind.known_hosts()
        else:
            routes = {"t": dict(near, direct=True, **(route or {}))}
            routes |= {name: dict(near, direct=True, **how) for name, how in (more or {}).items()}
            routes = routes_toml(routes, top=top)
        return make_mux(routes=routes, known_hosts=known, **kw), trips

    return make


def lose(server, mux):
    """The connection goes, and the daemon has seen it."""
    if hasattr(server, "drop"):
        server.drop()
    else:
        for pid in peers.descendants(server.pid):
            peers.kill_quietly(pid)
    peers.poll(lambda: not mux.connections(), what="the connection is gone")


def call(mux, trips):
    """A command; the round trips until its output is there."""
    ssh = mux.start_ssh("t", "echo still here; sleep 1")
    assert ssh.stdout.readline() == b"still here\n", mux.log()[-2000:]
    n = trips.trips()
    ssh.communicate(timeout=20)
    assert ssh.returncode == 0
    return n


def test_B13_key_in_a_file(cold, make_sshd):
    server = make_sshd()
    mux, trips = cold(server)
    assert call(mux, trips) <= 6
    lose(server, mux)
    # The server is known: its key exchange is guessed, and the session asked for with the login.
    assert call(mux, trips) <= 4
    assert len(trips.flights) == 2


def test_B13_key_in_an_agent(cold, make_sshd, make_agent, keys):
    agent = make_agent(keys.make("remote"))
    server = make_sshd()
    mux, trips = cold(server, agent=agent)
    assert call(mux, trips) <= 6
    lose(server, mux)
    assert call(mux, trips) <= 4


def greetings(mux):
    return mux.ssh_dir / "ssh-mux-greetings"


def again(mux):
    """The daemon ends and comes back; the port of the local server is the same."""
    mux.stop()
    mux.start()


@pytest.mark.parametrize("confined", ["no", "yes"])
def test_B13_another_daemon_knows_the_server(cold, make_sshd, confined):
    """H3: where it is confined, the helper writes what is known; nobody else can read that."""
    server = make_sshd()
    mux, trips = cold(server, env={"SSH_MUX_CONFINE": confined})
    assert call(mux, trips) <= 6
    again(mux)
    assert call(mux, trips) <= 4
    assert len(trips.flights) == 2
    assert "known from before: how to begin 1 login\n" in mux.log()
    assert greetings(mux).stat().st_mode & 0o777 == 0o600
    assert str(trips.port) not in greetings(mux).read_text()  # no names, no addresses


def test_B13_it_is_known_soon_after_the_login(cold, make_sshd):
    """Whatever becomes of the daemon."""
    mux, trips = cold(make_sshd())
    call(mux, trips)
    peers.poll(greetings(mux).exists, what="it is written")
    mux.proc.kill()
    mux.proc.wait()
    mux.expect_clean = False
    mux.start()
    assert call(mux, trips) <= 4


def test_B13_a_file_that_is_none_is_said_and_written_anew(cold, make_sshd):
    server = make_sshd()
    mux, trips = cold(server)
    mux.stop()
    greetings(mux).write_text("nonsense\n")
    mux.start()
    assert "ssh-mux-greetings: line 1 is not as ssh-mux writes it" in mux.log()
    assert call(mux, trips) <= 6
    again(mux)
    assert call(mux, trips) <= 4
    mux.stop()
    good = greetings(mux).read_text()
    greetings(mux).write_text(good + "more\n")
    mux.start()
    assert "ssh-mux-greetings: line 3 is not as ssh-mux writes it" in mux.log()
    assert call(mux, trips) <= 6
    peers.poll(lambda: greetings(mux).read_text() == good, what="it is as before")


def test_S1_a_file_that_others_can_write_is_not_used(cold, make_sshd):
    mux, trips = cold(make_sshd())
    call(mux, trips)
    mux.stop()
    greetings(mux).chmod(0o666)
    mux.start()
    assert "ssh-mux-greetings is not used: " in mux.log()
    assert call(mux, trips) > 4


@pytest.mark.parametrize("confined", ["no", "yes"])
def test_C8_what_can_not_be_written_is_said_once(cold, make_sshd, confined):
    """And harms nothing: something else has the name."""
    server = make_sshd()
    mux, trips = cold(server, env={"SSH_MUX_CONFINE": confined})
    greetings(mux).mkdir()
    call(mux, trips)
    mux.wait_log("the next daemon's first logins take longer: ")
    server.authorized.write_text(server.authorized.read_text() * 2)
    lose(server, mux)
    assert call(mux, trips) <= 4
    mux.stop()
    assert mux.log().count("the next daemon's first logins take longer") == 1
    assert [p.name for p in greetings(mux).parent.glob("*greetings*")] == [greetings(mux).name]


def test_B13_a_jump_host_that_is_known(cold, make_sshd):
    """The way on is asked for with the login to the jump host, and so is each hop's own."""
    bastion, server = make_sshd(name="bastion"), make_sshd()
    mux, trips = cold(bastion, behind=server)
    first = call(mux, trips)
    lose(bastion, mux)
    # A key exchange less at each, and an open at each.
    assert call(mux, trips) <= first - 4
    assert len(trips.flights) == 2


def test_B13_what_the_server_likes_has_changed(cold, make_sshd):
    """A wrong guess: it is ignored, and the exchange goes on as without (RFC 4253 section 7)."""
    server = make_sshd(KexAlgorithms="curve25519-sha256,ecdh-sha2-nistp256")
    mux, trips = cold(server)
    call(mux, trips)
    server.stop()
    text = server.config_path.read_text()
    server.config_path.write_text(text.replace("curve25519-sha256,", "diffie-hellman-group14-sha256,"))
    server.start()
    peers.poll(lambda: not mux.connections(), what="the connection is gone")
    assert call(mux, trips) <= 5
    assert len(trips.flights) == 2
    lose(server, mux)
    # Another is better by our own order now than the server's first: nothing is guessed.
    assert call(mux, trips) <= 5
    assert len(trips.flights) == 3


def test_B13_a_key_exchange_is_guessed_for_a_known_host_key_only(cold, make_sshd):
    """K2: the guess would come to a host key that known_hosts does not have any more."""
    server = make_sshd()
    mux, trips = cold(server, kinds=["ed25519"], route={"update_host_keys": False})
    call(mux, trips)
    lose(server, mux)
    assert call(mux, trips) <= 4
    mux.put("known_hosts", server.known_hosts(kinds=["ecdsa"]).replace(
        f":{server.port} ", f":{trips.port} "))
    lose(server, mux)
    assert call(mux, trips) <= 5 # the session only
    assert len(trips.flights) == 3


def test_B13_a_key_that_is_no_longer_taken(cold, make_sshd, keys):
    """The session asked for too early: the server says UNIMPLEMENTED, and the login goes on."""
    old, new = keys.make("remote"), keys.make("other")
    server = make_sshd(accept=[old, new])
    mux, trips = cold(server, route={"identity": [str(old), str(new)]})
    call(mux, trips)
    server.authorized.write_text(keys.public(new))
    lose(server, mux)
    call(mux, trips)
    assert len(trips.flights) == 2
    assert server.log().count("Failed publickey") == 1
    lose(server, mux)
    assert call(mux, trips) <= 4 # the new one was enough
    server.authorized.write_text("")
    lose(server, mux)
    failed = mux.start_ssh("t", "true")
    assert b"permission denied" in failed.communicate(timeout=20)[1].lower()
    assert len(trips.flights) == 4


def test_B13_a_key_that_is_not_enough(cold, make_sshd, keys):
    """Nothing is asked for before a login that takes more than the key."""
    one, two = keys.make("remote"), keys.make("other")
    server = make_sshd(accept=[one, two], AuthenticationMethods="publickey,publickey",
                       LogLevel="DEBUG2")
    mux, trips = cold(server, route={"identity": [str(one), str(two)]})
    call(mux, trips)
    lose(server, mux)
    call(mux, trips)
    assert len(trips.flights) == 2
    assert "dispatch_protocol_error: type 90" not in server.log()


def test_B13_nobody_waits_when_the_early_channel_is_there(cold, make_sshd):
    """P6: who asked for it has left during the login: it is closed, and the next call works."""
    server = make_sshd()
    mux, trips = cold(server)
    call(mux, trips)
    lose(server, mux)
    gone = mux.start_ssh("t", "echo never")
    peers.poll(lambda: "a channel is asked for together with the login" in mux.log(), what="the ask")
    gone.kill()
    gone.wait()
    peers.poll(lambda: [c["state"] for c in mux.connections()] == ["ready"], what="the login")
    peers.poll(lambda: mux.connections()[0]["channels"] == 0, what="no channel")
    mux.check_works()
    assert len(trips.flights) == 2


def key_exchanges(port):
    """What the server has of them, as it says itself."""
    with socket.create_connection(("127.0.0.1", port)) as s, s.makefile("rwb") as f:
        f.write(b"SSH-2.0-none\r\n")
        f.flush()
        f.readline()
        f.read(5 + 1 + 16)  # lengths of packet and padding, type, cookie
        return f.read(int.from_bytes(f.read(4), "big")).decode().split(",")


def is_as_we_choose(port):
    """Whether its first one is ours of those it has: ML-KEM, where the library here has that."""
    has = key_exchanges(port)
    ours = "mlkem768x25519-sha256"
    return ssl.OPENSSL_VERSION_INFO < (3, 5) or ours not in has or has[0] == ours


@pytest.mark.parametrize("kind", ["dropbear", "paramiko"])
def test_B13_others_that_are_known(cold, keys, cleanup, make_dropbear, kind):
    """Their key exchange is guessed as well, if it is what we choose without a guess (dropbear 2025 has
    another first); no session is asked for too early."""
    server = make_dropbear() if kind == "dropbear" else odd_server(cleanup, keys)
    mux, trips = cold(server)
    mux.check_works()
    for n in (2, 3):
        lose(server, mux)
        mux.check_works()
        assert len(trips.flights) == n
    guesses = 2 if is_as_we_choose(server.port) else 0
    assert mux.log().count("the key exchange is guessed") == guesses
    assert "together with the login" not in mux.log()


def test_B13_a_server_that_takes_a_wrong_guess_for_its_own(cold, keys, cleanup, monkeypatch):
    """Paramiko does not look whether a guess was wrong: without one it goes well."""
    server = odd_server(cleanup, keys)
    mux, trips = cold(server)
    mux.check_works()
    liked = pyssh.paramiko.Transport._preferred_kex
    other = next(k for k in liked if k.startswith("diffie-hellman-group14"))
    monkeypatch.setattr(pyssh.paramiko.Transport, "_preferred_kex",
                        (other, *(k for k in liked if k != other)))
    lose(server, mux)
    mux.check_works()
    assert len(trips.flights) == 3
    lose(server, mux)
    mux.check_works()
    assert len(trips.flights) == 4


class Choosy(pyssh.Interface):
    def check_auth_publickey(self, username, key):
        super().check_auth_publickey(username, key)
        return (pyssh.paramiko.AUTH_SUCCESSFUL if key.get_name() in self.server.takes
                else pyssh.paramiko.AUTH_FAILED)


def test_B13_a_server_that_takes_an_early_channel_amiss(cold, keys, cleanup, monkeypatch):
    """It says that it is OpenSSH's, and refuses the channel before it has refused the login."""
    monkeypatch.setattr(pyssh.paramiko.Transport, "_CLIENT_ID", "OpenSSH_9.9")
    monkeypatch.setattr(pyssh.paramiko.Transport, "_PROTO_ID", "2.0")
    old, new = keys.make("remote"), keys.make("other_ecdsa", "ecdsa")
    server = odd_server(cleanup, keys, interface=Choosy)
    server.takes = {"ssh-ed25519", "ecdsa-sha2-nistp256"}
    mux, trips = cold(server, route={"identity": [str(old), str(new)]})
    mux.check_works()
    server.takes = {"ecdsa-sha2-nistp256"}
    lose(server, mux)
    mux.check_works()
    assert "a channel is asked for together with the login" in mux.log()
    assert len(trips.flights) == 3
    lose(server, mux)
    mux.check_works()
    assert len(trips.flights) == 4


def test_B13_the_key_that_worked_last_is_first(cold, make_sshd, make_agent, keys):
    """Of several in an agent: the first login asks for each, the next one begins with the right."""
    agent = make_agent(keys.make("other"), keys.make("third"), keys.make("remote"))
    server = make_sshd()
    mux, trips = cold(server, agent=agent)
    assert call(mux, trips) > 6
    assert server.log().count("Postponed publickey") == 1
    lose(server, mux)
    assert call(mux, trips) <= 4
    assert len(trips.flights) == 2
    assert server.log().count("Postponed publickey") == 1 # nothing was asked about first


def test_B13_a_first_key_that_is_refused_costs_nothing_but_time(cold, make_sshd, keys):
    """The login goes on as ever, and that key is not offered again."""
    server = make_sshd()
    route = {"identity": [str(keys.make("other")), str(keys.make("remote"))]}
    mux, trips = cold(server, route=route)
    assert call(mux, trips) <= 8
    assert server.log().count("Failed publickey") == 1


def ended_well(server, channel, name, _m):
    """Of a scripted server: a command that says where it is, and ends."""
    if name != "exec":
        return True
    server.send(channel, 99)  # SUCCESS
    server.send(channel, 94, "still here\n")  # DATA
    server.send(channel, 98, "exit-status", False, 0)
    server.send(channel, 97)  # CLOSE
    return None


def odd_server(cleanup, keys, **kw):
    server = cleanup(pyssh.Server(keys.make("host_odd"), ended_well, **kw))
    server.dir = None
    return server


def test_B13_the_first_probe_is_not_in_the_way_of_the_first_open(keys, cleanup, make_mux):
    """OpenSSH's server holds the second of two small messages until the first is acknowledged: a
    probe's answer before that to the open would cost a round trip."""
    server = cleanup(pyssh.Server(keys.make("host_odd"), ended_well))
    server.open_reply = lambda kind: server.log.append(("open", kind)) or 0
    server.dir = None
    mux = make_mux(routes=routes_toml({"t": server.hop(direct=True)}),
                   known_hosts=server.known_hosts())
    mux.check_works()
    peers.poll(lambda: ("global", "keepalive@openssh.com") in server.log, what="a probe")
    asked = [entry for entry in server.log if entry[0] in ("open", "global")]
    assert asked[0] == ("open", "session"), asked


class OneAtATime(pyssh.paramiko.Transport):
    """A server that takes a message before it has answered the last one for an attack."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        # 5: SERVICE_REQUEST. Newer versions pass no object.
        self._handler_table = {**self._handler_table, 5: lambda *a: self.service_request(a[-1])}

    def service_request(self, m):
        time.sleep(0.3)
        if select.select([self.sock], [], [], 0)[0]:
            self.sock.shutdown(socket.SHUT_RDWR)
            return
        self.auth_handler._parse_service_request(m)


def test_B13_a_server_that_takes_one_message_at_a_time(cold, keys, cleanup, monkeypatch):
    """It closes the connection; it is logged in to all the same, and not annoyed again."""
    monkeypatch.setattr(pyssh.paramiko, "Transport", OneAtATime)

    server = odd_server(cleanup, keys)
    mux, trips = cold(server)
    mux.check_works()
    assert len(trips.flights) == 2
    server.drop()
    peers.poll(lambda: not mux.connections(), what="the connection is gone")
    mux.check_works()
    assert len(trips.flights) == 3
