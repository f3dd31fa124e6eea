#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes seeds of fuzz_cert, fuzz_key_blob, fuzz_keyfile and fuzz_kex_public into
tests/fuzz/corpus/: keys and certificates of tests/data with one fault each, and kinds of which
ssh-keygen makes none without a device. It gives the same files each time."""
import base64
import pathlib
import struct

from cryptography.hazmat.primitives import poly1305
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ROOT = pathlib.Path(__file__).parent / "corpus"
DATA = pathlib.Path(__file__).parent.parent / "data"
SK = "sk-ecdsa-sha2-nistp256"


def u32(n):
    return struct.pack(">I", n)


def string(s):
    s = s if isinstance(s, bytes) else s.encode()
    return u32(len(s)) + s


def strings(data, n):
    """The first n strings of data, and the rest."""
    found = []
    for _ in range(n):
        size = 4 + struct.unpack(">I", data[:4])[0]
        found.append(data[4:size])
        data = data[size:]
    return found, data


def write(target, name, *data):
    (ROOT / target / name).write_bytes(b"".join(data))


def public(name):
    return base64.b64decode((DATA / name).read_text().split()[1])


def replaced(data, old, new):
    assert data.count(old) == 1
    return data.replace(old, new)


# --- certificates ---


class Cert:
    """One of Ed25519, to be written with other fields; its signature holds for none of them."""

    def __init__(self, name):
        (self.type, self.nonce, key), rest = strings(public(f"certs/{name}.cert"), 3)
        self.key = string(key)
        self.serial, self.kind = rest[:8], rest[8:12]
        (self.key_id, self.principals), rest = strings(rest[12:], 2)
        self.times = rest[:16]
        (self.critical, self.extensions, self.reserved, self.ca, self.signature), rest = strings(
            rest[16:], 5)
        assert not rest

    def blob(self, **changes):
        for name, value in changes.items():
            setattr(self, name, value)
        tail = (self.critical, self.extensions, self.reserved, self.ca, self.signature)
        return b"".join([string(self.type), string(self.nonce), self.key, self.serial, self.kind,
                         string(self.key_id), string(self.principals), self.times,
                         *map(string, tail)])


def certs():
    key_sig = string(string("ssh-ed25519") + string(bytes(64))) + b"data"
    (_, _, point), _ = strings(public("keys/ecdsa_256.pub"), 3)
    faults = {
        "sk_ecdsa": {"type": f"{SK}-cert-v01@openssh.com",
                     "key": string("nistp256") + string(point) + string("ssh:")},
        "sk_ed25519": {"type": "sk-ssh-ed25519-cert-v01@openssh.com",
                       "key": string(bytes(range(32))) + string("ssh:")},
        "type": {"type": "ssh-dss-cert-v01@openssh.com"},
        "kind": {"kind": u32(3)},
        "principal_nul": {"principals": string("host.example\0x")},
        "principals_cut": {"principals": string("host.example")[:-1]},
        "principals_many": {"principals": string("") * 257},
        "option_cut": {"extensions": string("permit-pty")},
        "ca_cert": {"ca": public("certs/ed25519.cert")},
        "ca_short": {"ca": b"\0\0"},
        "ca_unknown": {"ca": string("ssh-dss")},
        "signature": {"signature": string("ssh-ed25519") + string(bytes(64))},
    }
    for name, changes in faults.items():
        write("cert", name, string(Cert("ed25519").blob(**changes)), key_sig)
    blob = public("certs/ed25519.cert")
    write("cert", "tail", string(blob + b"x"), key_sig)
    write("cert", "key_cut", string(blob[:60]), key_sig)
    write("cert", "future", string(public("certs/future.cert")), key_sig)
    write("cert", "plain", (ROOT / "key_blob" / "ed25519").read_bytes())
    write("cert", "empty", string(b""), string(b""))


# --- public keys and signatures ---


def signature(name, raw, tail=b""):
    return string(string(name) + string(raw) + tail)


def blobs():
    def put(name, blob, sig=signature("ssh-ed25519", bytes(64))):
        write("key_blob", name, string(blob), sig, b"data")

    ed, ec, rsa = (public(f"keys/{k}.pub") for k in ("ed25519", "ecdsa_256", "rsa_2048"))
    message = (DATA / "keys" / "message").read_bytes()
    write("key_blob", "ecdsa_384", string(public("keys/ecdsa_384.pub")),
          string((DATA / "keys" / "ecdsa_384.sig").read_bytes()), message)
    (_, e, n), _ = strings(rsa, 3)
    numbers = string(b"\1") + string(b"\1")
    sk = string(f"{SK}@openssh.com") + ec[4 + len("ecdsa-sha2-nistp256"):] + string("ssh:")
    put("sk_ecdsa", sk, signature(f"{SK}@openssh.com", numbers, b"\1\0\0\0\5"))
    put("sk_untouched", sk, signature(f"{SK}@openssh.com", numbers, b"\0\0\0\0\5"))
    put("ed25519_short", string("ssh-ed25519") + string(bytes(31)))
    put("tail", ed + b"x")
    put("type", string("ssh-dss") + string(b"\1"))
    put("ecdsa_curve", replaced(ec, string("nistp256"), string("nistp384")))
    put("ecdsa_off_curve", ec[:-1] + bytes([ec[-1] ^ 1]))
    put("ecdsa_compressed", ec[:-69] + string(b"\2" + ec[-64:-32]))
    key = {"rsa_1024": (e, b"\0" + b"\xff" * 128), "rsa_even": (e, n[:-1] + b"\xfe"),
           "rsa_e_1": (b"\1", n), "rsa_e_long": (b"\1" * 9, n), "rsa_9000": (e, b"\1" * 1125),
           "rsa_negative": (e, b"\xff" * 256)}
    for name, (e_, n_) in key.items():
        put(name, string("ssh-rsa") + string(e_) + string(n_))
    put("sig_name", ed, signature("ssh-rsa", bytes(64)))
    put("sig_short", ed, signature("ssh-ed25519", bytes(63)))
    put("sig_tail", ed, signature("ssh-ed25519", bytes(64), b"x"))
    put("sig_rsa_empty", rsa, signature("rsa-sha2-256", b""))
    put("sig_ecdsa_long", ec, signature("ecdsa-sha2-nistp256", string(b"\1" * 67) + string(b"\1")))
    put("sig_ecdsa_cut", ec, signature("ecdsa-sha2-nistp256", string(b"\1")))
    put("sig_ecdsa_tail", ec, signature("ecdsa-sha2-nistp256", numbers + b"x"))


# --- private keys ---

MAGIC = b"openssh-key-v1\0"


def opened(name):
    """The bytes inside the armour of a file of tests/data/keys."""
    return base64.b64decode("".join((DATA / "keys" / name).read_text().split("\n")[1:-2]))


def parts(name):
    (cipher, kdf, options), rest = strings(opened(name)[len(MAGIC):], 3)
    (blob, sealed), tag = strings(rest[4:], 2)
    return cipher, kdf, options, blob, sealed, tag


def envelope(blob, sealed, cipher=b"none", kdf=b"none", options=b"", tag=b"", keys=1):
    return MAGIC + string(cipher) + string(kdf) + string(options) + u32(keys) + string(
        blob) + string(sealed) + tag


def padded(section, block=8):
    return section + bytes(range(1, 1 + -len(section) % block))


def seal(cipher, salt, clear):
    """As the target derives keys: the salt, again and again. The sealed bytes and the tag."""
    stream = salt * 16
    if cipher == "chacha20-poly1305@openssh.com":
        def chacha(counter, data):
            nonce = struct.pack("<Q", counter) + bytes(8)
            return Cipher(algorithms.ChaCha20(stream[:32], nonce), None).encryptor().update(data)
        sealed = chacha(1, clear)
        return sealed, poly1305.Poly1305.generate_tag(chacha(0, bytes(32)), sealed)
    size, mode = int(cipher[3:6]) // 8, cipher[7:10]
    iv = stream[size:size + (12 if mode == "gcm" else 16)]
    modes_ = {"gcm": modes.GCM, "ctr": modes.CTR, "cbc": modes.CBC}
    machine = Cipher(algorithms.AES(stream[:size]), modes_[mode](iv)).encryptor()
    sealed = machine.update(clear) + machine.finalize()
    return sealed, machine.tag if mode == "gcm" else b""


def sealed_files(blob, section):
    salt = b"0123456789abcdef"
    ciphers = ["aes256-ctr", "aes192-cbc", "aes128-gcm@openssh.com",
               "chacha20-poly1305@openssh.com"]
    for cipher in ciphers:
        clear = padded(section.rstrip(bytes(range(1, 9))), 16)
        sealed, tag = seal(cipher, salt, clear)
        write("keyfile", "open_" + cipher.split("@")[0], b"\3",
              envelope(blob, sealed, cipher.encode(), b"bcrypt", string(salt) + u32(1), tag))
    bad = {"rounds_0": (b"bcrypt", string(salt) + u32(0)),
           "rounds_5000": (b"bcrypt", string(salt) + u32(5000)),
           "kdf": (b"scrypt", string(salt) + u32(1)), "salt_cut": (b"bcrypt", salt)}
    for name, (kdf, options) in bad.items():
        write("keyfile", "open_" + name, b"\3",
              envelope(blob, bytes(32), b"aes256-ctr", kdf, options))
    # Neither the tag nor the check numbers are right.
    write("keyfile", "open_wrong_tag", b"\3", envelope(
        blob, bytes(32), b"aes256-gcm@openssh.com", b"bcrypt", string(salt) + u32(1), bytes(16)))
    write("keyfile", "open_wrong_check", b"\3", envelope(
        blob, bytes(32), b"aes128-cbc", b"bcrypt", string(salt) + u32(1)))


def envelopes(blob, section):
    def put(name, **more):
        write("keyfile", name, b"\1", envelope(blob, section, **more))

    put("two_keys", keys=2)
    put("cipher", cipher=b"des", kdf=b"none")
    put("kdf", kdf=b"bcrypt")
    write("keyfile", "magic", b"\1openssh-key-v2\0")
    write("keyfile", "blocks", b"\1", envelope(blob, section + b"x"))
    write("keyfile", "other_public", b"\1", envelope(public("keys/ecdsa_256.pub"), section))
    changed = {
        "check": b"\0" + section[1:], "padding": section + b"\1" * 8,
        "type": section[:8] + padded(string("ssh-dss") + string("x")),
        "sk": section[:8] + padded(string("sk-ssh-ed25519@openssh.com") + string(bytes(32))),
        "pair": replaced(section, string(blob[-32:]), string(bytes(32))),
    }
    for name, text in changed.items():
        write("keyfile", "private_" + name, b"\1", envelope(blob, text))


def numbers_of_private_keys():
    _, _, _, blob, section, _ = parts("ecdsa_256")
    (name, curve, point, scalar), _ = strings(section[8:], 4)
    head = section[:8] + string(name)
    for what, ec in {"curve": (b"nistp384", point, scalar), "scalar": (curve, point, b"\1"),
                     "point": (curve, b"\2" + point[1:33], scalar)}.items():
        write("keyfile", "ecdsa_" + what, b"\1",
              envelope(blob, padded(head + b"".join(map(string, ec)) + string(""))))
    _, _, _, blob, section, _ = parts("rsa_2048")
    (name, *rsa), _ = strings(section[8:], 7)
    head = section[:8] + string(name)
    for what, at, value in (("n", 0, b"\1" * 128), ("d", 2, b"\3"), ("iqmp", 3, b"\3"),
                            ("p", 4, b""), ("q", 5, b"\3")):
        changed = [*rsa[:at], value, *rsa[at + 1:]]
        write("keyfile", "rsa_" + what, b"\1",
              envelope(blob, padded(head + b"".join(map(string, changed)) + string(""))))


def keyfiles():
    _, _, _, blob, section, _ = parts("ed25519")
    sealed_files(blob, section)
    envelopes(blob, section)
    numbers_of_private_keys()
    text = (DATA / "keys" / "ed25519").read_bytes()
    write("keyfile", "text_blank", b"0\n \t", text)
    write("keyfile", "text_before", b"0x", text)
    write("keyfile", "text_no_end", b"0", text[:200])
    write("keyfile", "text_none", b"0hello")
    for name in ("ecdsa_384_pem_enc", "ecdsa_256_pem_compressed", "ecdsa_secp256k1_pem",
                 "rsa_1024_pem"):
        write("keyfile", "pem_" + name.replace("_pem", ""), b"2",
              (DATA / "keys" / name).read_bytes())


# --- public values of a key exchange; the first byte is the algorithm's place in the target ---


def values():
    x25519, p256, group14, gex, gex_server = b"\0", b"\1", b"\4", b"\6", b"\x09"
    (_, _, point), _ = strings(public("keys/ecdsa_256.pub"), 3)
    write("kex_public", "x25519_zero", x25519, bytes(32))
    write("kex_public", "x25519_short", x25519, bytes(31))
    write("kex_public", "nistp256_off_curve", p256, point[:-1] + bytes([point[-1] ^ 1]))
    for name, value in (("one", b"\1"), ("empty", b""), ("zeros", b"\0\1"), ("negative", b"\xff")):
        write("kex_public", "group14_" + name, group14, value)
    cube = (3 ** 1300).to_bytes(258, "big").lstrip(b"\0")
    root = (3 ** 700).to_bytes(258, "big").lstrip(b"\0")
    groups = {"nilpotent": (cube, root), "even": (b"\x7f" * 256 + b"\xfe", b"\2"),
              "small": (b"\x7f" * 100, b"\2"), "g_1": (cube, b"\1"), "g_none": (cube, b"")}
    for name, (p, g) in groups.items():
        write("kex_public", "gex_" + name, gex, string(p), string(g), b"\2")
    for name, wish in {"3072": (2048, 3072, 4096), "smaller": (2048, 4096, 3000),
                       "order": (3, 2, 1), "none": (2049, 2050, 2051)}.items():
        write("kex_public", "gex_server_" + name, gex_server, *map(u32, wish), b"\x7f" * 250)


certs()
blobs()
keyfiles()
values()
