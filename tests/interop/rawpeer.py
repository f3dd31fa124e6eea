# SPDX-License-Identifier: MIT
"""An SSH peer whose every message is the test's own, in either role.

It knows one algorithm of each kind (curve25519-sha256, ssh-ed25519, aes128-gcm@openssh.com) and
keeps no rule that it was not told to keep: what is sent, and when, is up to the caller.
"""
import contextlib
import hashlib
import os
import socket
import struct
import threading

from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)

from peers import USER


class Gone(Exception):
    """The connection is closed."""


def string(data):
    data = data.encode() if isinstance(data, str) else data
    return struct.pack(">I", len(data)) + data


def msg(number, *fields):
    """A payload: int → uint32, bool → boolean, str and bytes → string, bytearray → as it is."""
    out = bytes([number])
    for field in fields:
        if isinstance(field, bool):
            out += bytes([field])
        elif isinstance(field, int):
            out += struct.pack(">I", field)
        elif isinstance(field, bytearray):
            out += bytes(field)
        else:
            out += string(field)
    return out


class Reader:
    def __init__(self, data, at=1):
        self.data, self.at = data, at

    def u32(self):
        self.at += 4
        return struct.unpack(">I", self.data[self.at - 4 : self.at])[0]

    def boolean(self):
        self.at += 1
        return self.data[self.at - 1] != 0

    def string(self):
        n = self.u32()
        self.at += n
        return self.data[self.at - n : self.at]


def load_key(path):
    with open(path, "rb") as f:
        return load_ssh_private_key(f.read(), None)


def key_blob(key):
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return string("ssh-ed25519") + string(raw)


class Sealer:
    """One direction under aes128-gcm@openssh.com (RFC 5647)."""

    def __init__(self, key, iv):
        self.gcm, self.fixed, self.count = AESGCM(key), iv[:4], int.from_bytes(iv[4:], "big")

    def nonce(self):
        nonce = self.fixed + self.count.to_bytes(8, "big")
        self.count = (self.count + 1) & (2**64 - 1)
        return nonce


class Peer:
    """One connection. key: the host key (server) or the user's key (client)."""

    def __init__(self, sock, is_server, key, strict=True, ext_info=None):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.is_server, self.key, self.offers_strict = sock, is_server, key, strict
        self.ext_info = ext_info  # a server's: {name: value} to send behind its first NEWKEYS
        self.ours = b"SSH-2.0-OpenSSH_9.2-raw"
        self.theirs = b""
        self.buffer = b""
        self.sending = self.receiving = None
        self.session_id = None
        self.n_kex = 0
        self.kexinit_sent = None
        self.seq_sent = 0  # the number of the next packet, for UNIMPLEMENTED
        self.lock = threading.RLock()

    # ---- packets ----

    def seal(self, payload):
        unit, counted = (16, 1) if self.sending else (8, 5)
        pad = unit - (counted + len(payload)) % unit
        pad += unit if pad < 4 else 0
        body = bytes([pad]) + payload + bytes(pad)
        head = struct.pack(">I", len(body))
        self.seq_sent += 1
        if not self.sending:
            return head + body
        return head + self.sending.gcm.encrypt(self.sending.nonce(), body, head)

    def send(self, *payloads):
        """All of them in one write, so that they arrive together."""
        with self.lock, contextlib.suppress(OSError):
            self.sock.sendall(b"".join(self.seal(p) for p in payloads))

    def need(self, n):
        while len(self.buffer) < n:
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                raise Gone
            self.buffer += data
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def receive(self):
        """The next payload, a key exchange of the peer's done on the way. Gone at the end."""
        while True:
            payload = self.receive_one()
            if payload[0] != 20 or self.n_kex == 0:
                return payload
            self.exchange(payload)

    def receive_one(self):
        head = self.need(4)
        n = struct.unpack(">I", head)[0]
        if self.receiving:
            body = self.receiving.gcm.decrypt(self.receiving.nonce(), self.need(n + 16), head)
        else:
            body = self.need(n)
        return body[1 : n - body[0]]

    def expect(self, *numbers):
        while (payload := self.receive())[0] not in numbers:
            pass
        return payload

    # ---- the key exchange ----

    def kexinit(self):
        kex = "curve25519-sha256"
        if self.offers_strict and self.n_kex == 0:
            kex += f",kex-strict-{'s' if self.is_server else 'c'}-v00@openssh.com"
        cipher, mac = "aes128-gcm@openssh.com", "hmac-sha2-256"
        out = b"\x14" + os.urandom(16)
        for text in (kex, "ssh-ed25519", cipher, cipher, mac, mac, "none", "none", "", ""):
            out += string(text)
        return out + bytes(5)

    def begin_exchange(self, *behind):
        """Sends KEXINIT, and right behind it what a good peer would keep back."""
        with self.lock:
            self.kexinit_sent = self.kexinit()
            self.send(self.kexinit_sent, *behind)

    def rekey(self, *behind, later=()):
        """A whole exchange of ours; `later` goes out behind the peer's KEXINIT. Returns what came
        before the peer's."""
        came = []
        self.begin_exchange(*behind)
        while (payload := self.receive_one())[0] != 20:
            came.append(payload)
        self.send(*later)
        self.exchange(payload)
        return came

    def exchange(self, kexinit_theirs):
        """From the peer's KEXINIT to both NEWKEYS."""
        with self.lock:
            if self.kexinit_sent is None:
                self.begin_exchange()
            ephemeral = x25519.X25519PrivateKey.generate()
            public = ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            if self.is_server:
                client_public = Reader(self.expect_kex(30)).string()
                shared = ephemeral.exchange(x25519.X25519PublicKey.from_public_bytes(client_public))
                blob = key_blob(self.key)
                h, derive = self.secrets(kexinit_theirs, blob, client_public, public, shared)
                signature = string("ssh-ed25519") + string(self.key.sign(h))
                self.send(msg(31, blob, public, signature))
            else:
                self.send(msg(30, public))
                reply = Reader(self.expect_kex(31))
                blob, server_public = reply.string(), reply.string()
                shared = ephemeral.exchange(x25519.X25519PublicKey.from_public_bytes(server_public))
                h, derive = self.secrets(kexinit_theirs, blob, public, server_public, shared)
            self.send(b"\x15")
            c2s, s2c = Sealer(derive(b"C", 16), derive(b"A", 12)), Sealer(
                derive(b"D", 16), derive(b"B", 12))
            self.sending = s2c if self.is_server else c2s
            self.seq_sent = 0
            if self.is_server and self.n_kex == 0 and self.ext_info is not None:
                fields = [f for pair in self.ext_info.items() for f in pair]
                self.send(msg(7, len(self.ext_info), *fields))
            self.expect_kex(21)
            self.receiving = c2s if self.is_server else s2c
            self.kexinit_sent = None
            self.n_kex += 1

    def expect_kex(self, number):
        while (payload := self.receive_one())[0] in (2, 3, 4):
            pass
        assert payload[0] == number, f"message {payload[0]} in a key exchange"
        return payload

    def secrets(self, kexinit_theirs, blob, client_public, server_public, shared):
        """The exchange hash, and the function that derives keys (RFC 4253 section 7.2)."""
        number = shared.lstrip(b"\0")
        number = string((b"\0" if number and number[0] & 128 else b"") + number)
        pairs = [(self.ours, self.theirs), (self.kexinit_sent, kexinit_theirs)]
        h = hashlib.sha256()
        for mine, other in pairs:
            h.update(string(other) + string(mine) if self.is_server else string(mine) + string(other))
        h.update(string(blob) + string(client_public) + string(server_public) + number)
        h = h.digest()
        self.session_id = self.session_id or h

        def derive(letter, n):
            return hashlib.sha256(number + h + letter + self.session_id).digest()[:n]

        return h, derive

    def handshake(self):
        self.sock.sendall(self.ours + b"\r\n")
        while not self.theirs.startswith(b"SSH-"):
            self.theirs = b""
            while not self.theirs.endswith(b"\n"):
                self.theirs += self.need(1)
        self.theirs = self.theirs.rstrip(b"\r\n")
        self.begin_exchange()
        self.exchange(self.expect(20))
        return self

    # ---- the login ----

    def login(self, user):
        """Client: by key."""
        self.send(msg(5, "ssh-userauth"))
        self.expect(6)
        blob = key_blob(self.key)
        request = msg(50, user, "ssh-connection", "publickey", True, "ssh-ed25519", blob)
        signature = self.key.sign(string(self.session_id) + request)
        self.send(request + string(string("ssh-ed25519") + string(signature)))
        assert self.expect(51, 52)[0] == 52
        return self

    def let_in(self):
        """Server: whoever comes."""
        self.expect(5)
        self.send(msg(6, "ssh-userauth"))
        self.expect(50)
        self.send(b"\x34")

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def connect(port, key, user, **more):
    """A client that is logged in at 127.0.0.1:port."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    return Peer(sock, False, load_key(key), **more).handshake().login(user)


class Server:
    """Accepts connections and hands each, logged in, to serve(peer) on a thread of its own."""

    def __init__(self, host_key, serve, **more):
        self.host_key, self.serve_one, self.more = host_key, serve, more
        self.peers = []
        self.n_logins = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def known_hosts(self):
        with open(f"{self.host_key}.pub", encoding="ascii") as f:
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

    def serve(self, sock):
        peer = Peer(sock, True, load_key(self.host_key), **self.more)
        with contextlib.suppress(Gone, OSError):
            peer.handshake()
            peer.let_in()
            self.n_logins += 1
            self.peers.append(peer)
            self.serve_one(peer)
        peer.close()

    def stop(self):
        self.listener.close()
        for peer in self.peers:
            peer.close()


assert ed25519  # the type of key that load_key returns
