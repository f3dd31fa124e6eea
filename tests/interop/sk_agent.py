# SPDX-License-Identifier: MIT
"""An SSH agent with a security key (sk-ssh-ed25519@openssh.com) that signs when it is touched: made
in software, for no machine of a test has one (PROTOCOL.u2f of OpenSSH)."""
import base64
import hashlib
import os
import shutil
import socket
import struct
import threading

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from peers import short_dir

KIND, APPLICATION = b"sk-ssh-ed25519@openssh.com", b"ssh:"
FAILURE, LIST, IDENTITIES, SIGN, SIGNED = 5, 11, 12, 13, 14
USER_PRESENT = 1


def string(data):
    return struct.pack(">I", len(data)) + data


def take_string(data):
    n = struct.unpack(">I", data[:4])[0]
    return data[4:4 + n], data[4 + n:]


class SkAgent:
    """Signs once `touched` is set. asked: set when a touch is waited for."""

    def __init__(self):
        self.dir = short_dir("sk")
        self.sock = self.dir / "a"
        self.key = Ed25519PrivateKey.generate()
        self.blob = string(KIND) + string(self.key.public_key().public_bytes(
            Encoding.Raw, PublicFormat.Raw)) + string(APPLICATION)
        self.touched, self.asked = threading.Event(), threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.sock))
        os.chmod(self.sock, 0o600)
        self.listener.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def public(self, path):
        """Writes KEY.pub beside path, as Sshd(accept=[path]) wants it."""
        path = self.dir / path
        text = f"{KIND.decode()} {base64.b64encode(self.blob).decode()} touch\n"
        path.with_name(path.name + ".pub").write_text(text)
        return path

    def fingerprint(self):
        digest = base64.b64encode(hashlib.sha256(self.blob).digest())
        return "SHA256:" + digest.decode().rstrip("=")

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def sign(self, data):
        self.asked.set()
        self.touched.wait(50)
        rest = bytes([USER_PRESENT]) + struct.pack(">I", 1)
        signed = hashlib.sha256(APPLICATION).digest() + rest + hashlib.sha256(data).digest()
        signature = string(KIND) + string(self.key.sign(signed)) + rest
        return bytes([SIGNED]) + string(signature)

    def answer(self, message):
        if message[0] == LIST:
            return bytes([IDENTITIES]) + struct.pack(">I", 1) + string(self.blob) + string(b"touch")
        if message[0] == SIGN:
            blob, rest = take_string(message[1:])
            if blob == self.blob:
                return self.sign(take_string(rest)[0])
        return bytes([FAILURE])

    def serve(self, client):
        with client, client.makefile("rwb") as stream:
            while len(head := stream.read(4)) == 4:
                stream.write(string(self.answer(stream.read(struct.unpack(">I", head)[0]))))
                try:
                    stream.flush()
                except OSError:
                    return

    def stop(self):
        self.touched.set()
        self.listener.close()
        shutil.rmtree(self.dir, ignore_errors=True)
