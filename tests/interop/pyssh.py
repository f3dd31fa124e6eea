# SPDX-License-Identifier: MIT
"""Paramiko as a peer: a client and a server whose every message can be made or seen."""
import contextlib
import socket
import threading
import time

import paramiko
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_OPEN_FAILURE,
    MSG_CHANNEL_OPEN_SUCCESS,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    MSG_CHANNEL_WINDOW_ADJUST,
)
from paramiko.message import Message

from peers import USER

__all__ = ["Client", "Raw", "Server", "message", "string"]


class Raw(bytes):
    """Bytes that go into a message as they are."""


def string(text):
    """A string on the wire, to be put together with others, or cut."""
    text = text.encode() if isinstance(text, str) else text
    return Raw(len(text).to_bytes(4, "big") + text)


def message(number, *fields):
    """An SSH message: int → uint32, bool → boolean, str and bytes → string, (n,) → uint64,
    Raw → itself."""
    m = Message()
    m.add_byte(bytes([number]))
    for f in fields:
        if isinstance(f, bool):
            m.add_boolean(f)
        elif isinstance(f, int):
            m.add_int(f)
        elif isinstance(f, tuple):
            m.add_int64(f[0])
        elif isinstance(f, Raw):
            m.add_bytes(f)
        else:
            m.add_string(f)
    return m


class Client:
    """A logged-in client of ssh-mux, or of another server, that sends raw channel messages and records what comes.

    received: list of (message number, channel, rest as Message) in order of arrival.
    """

    NUMBERS = (
        MSG_CHANNEL_OPEN, MSG_CHANNEL_OPEN_SUCCESS, MSG_CHANNEL_OPEN_FAILURE,
        MSG_CHANNEL_WINDOW_ADJUST, MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA, MSG_CHANNEL_EOF,
        MSG_CHANNEL_CLOSE, MSG_CHANNEL_REQUEST, MSG_CHANNEL_SUCCESS, MSG_CHANNEL_FAILURE, 80, 81, 82,
    )  # fmt: skip

    def __init__(self, port, key=None, user="t", auth=True):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.transport = paramiko.Transport(self.sock)
        self.received = []
        self.changed = threading.Condition()
        self.transport.start_client(timeout=20)
        if auth:
            self.transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(str(key)))
            self.record()

    def record(self):
        """From now on connection messages are ours, not paramiko's."""

        def take(number):
            def handler(*args):
                m = args[-1]
                with self.changed:
                    channel = None
                    if number not in (80, 81, 82, MSG_CHANNEL_OPEN):
                        channel = m.get_int()
                    self.received.append((number, channel, m))
                    self.changed.notify_all()

            return handler

        t = self.transport
        t._channel_handler_table = {}
        t._handler_table = {**t._handler_table, **{n: take(n) for n in self.NUMBERS}}

    def send(self, number, *fields):
        """Sends; a connection that is gone meanwhile is no error here (ask the transport)."""
        with contextlib.suppress(OSError, EOFError):
            self.transport._send_message(message(number, *fields))

    def open(self, ours, kind="session", *rest, window=1 << 21, packet=32768):
        self.send(MSG_CHANNEL_OPEN, kind, ours, window, packet, *rest)

    def request(self, theirs, name, reply, *rest):
        self.send(MSG_CHANNEL_REQUEST, theirs, name, reply, *rest)

    def wait(self, number, channel=None, timeout=20, count=1):
        """The count-th message with that number (and channel): its Message, at its start."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while True:
                hits = [m for n, c, m in self.received if n == number and channel in (None, c)]
                if len(hits) >= count:
                    hit = hits[count - 1]
                    hit.rewind()
                    hit.get_int() if number not in (80, 81, 82, MSG_CHANNEL_OPEN) else None
                    return hit
                left = deadline - time.monotonic()
                assert left > 0 and self.transport.is_active(), (
                    f"no message {number} on {channel}; got {[(n, c) for n, c, _ in self.received]}"
                )
                self.changed.wait(min(left, 0.2))

    def opened(self, ours, timeout=20):
        """The number of the other side for our channel, once it is open."""
        return self.wait(MSG_CHANNEL_OPEN_SUCCESS, ours, timeout).get_int()

    def data(self, channel):
        """All data so far of a channel."""
        out = b""
        with self.changed:
            for n, c, m in self.received:
                if n == MSG_CHANNEL_DATA and c == channel:
                    m.rewind()
                    m.get_int()
                    out += m.get_string()
        return out

    def wait_gone(self, timeout=20):
        deadline = time.monotonic() + timeout
        while self.transport.is_active():
            assert time.monotonic() < deadline, "still connected"
            time.sleep(0.05)

    def stop(self):
        self.transport.close()
        self.sock.close()


class Interface(paramiko.ServerInterface):
    """Lets everything in and writes down what is asked for."""

    def __init__(self, server):
        self.server = server

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        self.server.log.append(("auth", username, key.get_name()))
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind, chanid):
        return self.server.open_reply(kind)

    def check_channel_direct_tcpip_request(self, chanid, origin, destination):
        self.server.log.append(("direct-tcpip", origin, destination))
        return self.server.open_reply("direct-tcpip")

    def check_global_request(self, kind, msg):
        self.server.log.append(("global", kind))
        return False


class Server:
    """A paramiko server in this process; `handler(server, channel, request, message)` answers
    every channel request (return True, False, or None for "I answer myself")."""

    def __init__(self, host_key, handler=None, open_reply=None, disabled=None, security=None,
                 interface=None, auth_handler=None, window=1 << 21):
        self.key_path = host_key
        self.window = window
        self.handler = handler or (lambda *a: True)
        self.open_reply = open_reply or (lambda kind: paramiko.OPEN_SUCCEEDED)
        self.log = []
        self.interface = interface or Interface
        self.auth_handler = auth_handler
        self.transports = []
        self.disabled = disabled
        self.security = security or {}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def known_hosts(self):
        with open(f"{self.key_path}.pub", encoding="ascii") as f:
            return f"[127.0.0.1]:{self.port} " + " ".join(f.read().split()[:2]) + "\n"

    def hop(self, **more):
        return dict(host="127.0.0.1", port=self.port, user=USER, **more)

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def load_key(self):
        for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
            try:
                return kind.from_private_key_file(str(self.key_path))
            except paramiko.SSHException:
                continue
        raise AssertionError(f"no key in {self.key_path}")

    def serve(self, sock):
        # Group exchange as a server needs a list of groups.
        paramiko.Transport.load_server_moduli()
        t = paramiko.Transport(sock, default_window_size=self.window,
                               disabled_algorithms=self.disabled)
        for name, value in self.security.items():
            setattr(t.get_security_options(), name, value)
        t.add_server_key(self.load_key())
        table = dict(paramiko.Transport._channel_handler_table)
        table[MSG_CHANNEL_REQUEST] = self.on_request
        t._channel_handler_table = table
        self.transports.append(t)
        try:
            if self.auth_handler:
                t.auth_handler = self.auth_handler(t)
            t.start_server(server=self.interface(self))
        except (paramiko.SSHException, EOFError, OSError):
            pass

    def on_request(self, channel, m):
        name = m.get_text()
        reply = m.get_boolean()
        body = m.asbytes()[m.packet.tell():]
        self.log.append((name, reply, body))
        m2 = Message(body)
        ok = self.handler(self, channel, name, m2)
        if reply and ok is not None:
            number = MSG_CHANNEL_SUCCESS if ok else MSG_CHANNEL_FAILURE
            self.raw(channel, message(number, channel.remote_chanid))

    @staticmethod
    def raw(channel, m):
        channel.transport._send_user_message(m)

    def send(self, channel, number, *fields):
        self.raw(channel, message(number, channel.remote_chanid, *fields))

    def requests(self, name):
        return [entry for entry in self.log if entry[0] == name]

    def drop(self):
        """Ends the connections. paramiko may close a socket while its own thread still waits on it:
        the other side would not see that."""
        for t in self.transports:
            with contextlib.suppress(OSError):
                t.sock.shutdown(socket.SHUT_RDWR)
            t.close()

    def stop(self):
        self.listener.close()
        self.drop()
