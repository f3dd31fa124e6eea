# SPDX-License-Identifier: MIT
"""B13: a cold login and its first command take few round trips, with any server."""
import contextlib
import queue
import select
import socket
import threading
import time

import pytest

import peers
import pyssh
from peers import free_port, hop, routes_toml

DELAY = 0.2 # each way: what belongs to one flight is sent within it, on a busy machine too


class Trips(threading.Thread):
    """A proxy with a delay that counts the flights of the client: bytes that follow bytes of the
    server. As many round trips were made, and one more for TCP's own handshake."""

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
            state = {"n": 0, "last": "server", "lock": threading.Lock()}
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
            with state["lock"]:
                if data and who == "client" and state["last"] == "server":
                    state["n"] += 1
                if data:
                    state["last"] = who
            held.put((time.monotonic() + DELAY, data))

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

    def make(server, route=None, **kw):
        trips = cleanup(Trips(server.port))
        known = server.known_hosts().replace(f":{server.port} ", f":{trips.port} ")
        table = dict(hop(server), port=trips.port, direct=True, **(route or {}))
        mux = make_mux(routes=routes_toml({"t": table}), known_hosts=known, **kw)
        return mux, trips

    return make


def call(mux, trips):
    """A command; the round trips until its output is there."""
    ssh = mux.start_ssh("t", "echo still here; sleep 1")
    assert ssh.stdout.readline() == b"still here\n", mux.log()[-2000:]
    n = trips.trips()
    ssh.communicate(timeout=20)
    assert ssh.returncode == 0
    return n


def test_B13_key_in_a_file(cold, make_sshd):
    mux, trips = cold(make_sshd())
    assert call(mux, trips) <= 6


def test_B13_key_in_an_agent(cold, make_sshd, make_agent, keys):
    agent = make_agent(keys.make("remote"))
    mux, trips = cold(make_sshd(), agent=agent)
    assert call(mux, trips) <= 6


def test_B13_the_key_that_worked_last_is_first(cold, make_sshd, make_agent, keys):
    """Of several in an agent: the first login asks for each, the next one begins with the right."""
    agent = make_agent(keys.make("other"), keys.make("third"), keys.make("remote"))
    server = make_sshd()
    mux, trips = cold(server, agent=agent)
    assert call(mux, trips) > 6
    assert server.log().count("Postponed publickey") == 1
    for pid in server.connections():
        peers.kill_quietly(pid)
    peers.poll(lambda: not mux.connections(), what="the connection is gone")
    assert call(mux, trips) <= 6
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
        # 5: SERVICE_REQUEST. Newer versions have the table in the object, and pass no object.
        self._handler_table = {**self._handler_table, 5: lambda *a: self.service_request(a[-1])}

    def service_request(self, m):
        time.sleep(0.3)
        if select.select([self.sock], [], [], 0)[0]:
            self.sock.shutdown(socket.SHUT_RDWR)
            return
        self.auth_handler._handler_table[5](self.auth_handler, m)


def test_B13_a_server_that_takes_one_message_at_a_time(cold, keys, cleanup, monkeypatch):
    """It closes the connection; it is logged in to all the same, and not annoyed again."""
    monkeypatch.setattr(pyssh.paramiko, "Transport", OneAtATime)

    server = cleanup(pyssh.Server(keys.make("host_odd"), ended_well))
    server.dir = None
    mux, trips = cold(server)
    mux.check_works()
    assert len(trips.flights) == 2
    server.drop()
    peers.poll(lambda: not mux.connections(), what="the connection is gone")
    mux.check_works()
    assert len(trips.flights) == 3
