# SPDX-License-Identifier: MIT
"""B8: what a person types and sees goes before bulk that waits for the same connection."""
import contextlib
import threading
import time

import pytest

from peers import poll, routes_toml
from pyssh import Client, Server

BULK = 8  # channels; each has a queue when its turn comes
# Three say something: a command much, a terminal as much, a command a byte.
PLAIN, TYPED, LITTLE = 100, 101, 102
PIECE = bytes(30000)
SAID = {PLAIN: bytes(20000), TYPED: bytes(20000), LITTLE: b"x"}
WINDOW = 4 << 20
PTY = ("xterm", 80, 24, 0, 0, b"")


class Held:
    """Eleven commands on one connection, and a network that can be held up: between the client and
    ssh-mux (down) or between ssh-mux and the server (up)."""

    def __init__(self, where, keys, cleanup, pump, make_mux, pace=True):
        self.channels, self.arrived, self.sent = {}, [], {}
        self.server = cleanup(Server(keys.make("host_order"), self.handler))
        upper = pump(self.server.port)
        hop = dict(self.server.hop(), port=upper.port)
        known = self.server.known_hosts().replace(str(self.server.port), str(upper.port))
        self.mux = make_mux(routes=routes_toml({"t": hop}, top={"pace": pace}), known_hosts=known)
        lower = pump(self.mux.port)
        self.network = upper if where == "up" else lower
        self.client = cleanup(Client(lower.port, self.mux.local_key))
        self.theirs, self.window = {}, {}
        for n in [*range(BULK), *SAID]:
            self.client.open(n, window=WINDOW)
            confirmation = self.client.wait(91, n)
            self.theirs[n], self.window[n] = confirmation.get_int(), confirmation.get_int()
            if n == TYPED:
                self.client.request(self.theirs[n], "pty-req", True, *PTY)
            self.client.request(self.theirs[n], "exec", True, str(n))
        poll(lambda: len(self.channels) == BULK + len(SAID), 20, "all commands run")

    def handler(self, server, channel, name, m):
        if name == "exec":
            self.channels[int(m.get_text())] = channel
            server.send(channel, 93, WINDOW)  # the connection is to be what is full
        return True

    def note_at_the_server(self):
        t = self.server.transports[-1]
        plain = t._channel_handler_table[94]
        names = {channel.chanid: n for n, channel in self.channels.items()}

        def note(channel, m):
            self.arrived.append(names[channel.chanid])
            plain(channel, m)

        t._channel_handler_table = {**t._channel_handler_table, 94: note}

    def queued(self):
        """What ssh-mux has taken, once it takes no more."""
        seen, since = -1, 0
        while True:
            now = sum(c["bytes_in"] + c["bytes_out"] for c in self.mux.status()["channels"])
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > 0.7:
                return seen
            time.sleep(0.1)

    def send_from_client(self, n, data):
        """As far as the window lets it."""
        granted = self.window[n]
        with self.client.changed:
            for number, channel, m in self.client.received:
                if (number, channel) == (93, n):
                    m.rewind()
                    m.get_int()
                    granted += m.get_int()
        sent = self.sent.get(n, 0) + len(data)
        if sent > granted:
            return False
        self.sent[n] = sent
        self.client.send(94, self.theirs[n], data)
        return True

    def fill_from_client(self):
        """Until nothing moved for a while."""
        last = time.monotonic()
        while time.monotonic() - last < 0.7:
            if any([self.send_from_client(n, PIECE) for n in range(BULK)]):
                last = time.monotonic()
            else:
                time.sleep(0.05)

    def fill_from_server(self):
        def run(channel):
            with contextlib.suppress(OSError, EOFError):
                while True:
                    channel.sendall(PIECE)

        for n in range(BULK):
            threading.Thread(target=run, args=(self.channels[n],), daemon=True).start()

    def check(self, say, before_plain=(TYPED, LITTLE), before_bulk=(TYPED, LITTLE)):
        expected = self.queued()
        for n, what in SAID.items():
            say(n)
            expected += len(what)
            poll(lambda: self.queued() == expected, 20, "ssh-mux has it")
        self.network.release()
        poll(lambda: all(n in self.arrived for n in SAID), 30, "all of it is there")
        first = {n: self.arrived.index(n) for n in SAID}
        for n in before_plain:
            assert first[n] < first[PLAIN], f"what another command said came before that of {n}"
        at = max(first[n] for n in before_bulk)
        behind = set(self.arrived[at:])
        assert len(behind & set(range(BULK))) == BULK, "there was no bulk that waited"


@pytest.fixture
def held(keys, cleanup, pump, make_mux):
    return lambda where, **kw: Held(where, keys, cleanup, pump, make_mux, **kw)


def test_B8_typed_before_bulk(held):
    """Bulk of eight channels waits, then comes what three say."""
    h = held("up", pace=False)
    h.note_at_the_server()
    h.network.hold()
    h.fill_from_client()
    # Not paced, a byte of a command is bulk as well.
    h.check(lambda n: h.send_from_client(n, SAID[n]), before_plain=[TYPED], before_bulk=[TYPED])


def test_B8_little_before_bulk_that_is_paced(held):
    """The bulk alone waits. On a machine as slow as a path that is long before the connection is
    full: then all that is said goes at once."""
    h = held("up")
    h.note_at_the_server()
    h.network.hold()
    h.fill_from_client()
    h.check(lambda n: h.send_from_client(n, SAID[n]), before_plain=[])


def test_B8_shown_before_bulk(held):
    """The same from the server to the client: a terminal's output goes before a download."""
    h = held("down")
    h.network.hold()
    h.fill_from_server()
    threading.Thread(target=watch, args=(h,), daemon=True).start()
    h.check(lambda n: h.channels[n].sendall(SAID[n]))


def watch(h):
    """Notes what comes at the client."""
    seen = 0
    while h.client.transport.is_active():
        with h.client.changed:
            h.client.changed.wait(0.1)
            new = h.client.received[seen:]
        h.arrived += [channel for number, channel, _ in new if number == 94]
        seen += len(new)
