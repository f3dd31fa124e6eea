# SPDX-License-Identifier: MIT
"""Host certificates of real servers, and false ones of a server that we write (B9, K3, K5)."""
import base64
import hashlib
import hmac
import pathlib
import shutil
import subprocess

import paramiko
import pytest

from peers import hop, poll, routes_toml
from pyssh import Server

CERT = "-cert-v01@openssh.com"
FOREVER = "always:forever"


def blob(path):
    return pathlib.Path(path).read_text().split()[1]


def public(path):
    """type and base64 of a public key."""
    return " ".join(pathlib.Path(f"{path}.pub").read_text().split()[:2])


class Authority:
    """A certificate authority, and the lines that name it in a known_hosts."""

    def __init__(self, keys, directory, name="ca", kind="ed25519"):
        self.key = keys.make(f"hostcert_{name}_{kind}", kind)
        self.dir = directory
        self.count = 0

    def sign(self, key, principals="127.0.0.1", *args, valid=FOREVER, host=True, ca_alg=None):
        """The path of a new certificate over a key."""
        self.count += 1
        path = self.dir / f"{self.key.name}_{self.count}"
        shutil.copy(f"{key}.pub", f"{path}.pub")
        command = ["ssh-keygen", "-q", "-s", str(self.key), "-I", f"cert {self.count}", "-V", valid]
        command += ["-h"] if host else []
        command += ["-n", principals] if principals else []
        command += ["-t", ca_alg] if ca_alg else []
        subprocess.run(command + list(args) + [f"{path}.pub"], check=True, capture_output=True)
        return pathlib.Path(f"{path}-cert.pub")

    def line(self, hosts="*", marker="@cert-authority"):
        return f"{marker} {hosts} {public(self.key)}\n"


@pytest.fixture
def ca(keys, tmp_path):
    return Authority(keys, tmp_path)


@pytest.fixture
def host_key(keys):
    return keys.make("hostcert_host_ed25519")


@pytest.fixture
def certified(make_sshd, host_key):
    """certified(certificate, …): an sshd with one host key and a certificate over it."""
    return lambda cert, key=None, **options: make_sshd(
        host_keys=[key or host_key], HostCertificate=cert, **options)


def refused(mux, *pieces, route="t"):
    """The client is refused, and its own text holds the pieces."""
    done = mux.ssh(route, "true")
    said = done.stderr.decode()
    assert done.returncode == 255 and "open failed" in said, done
    for piece in pieces:
        assert piece.lower() in said.lower(), (piece, said)
    return said


def took_certificate(mux):
    return "host key of" in mux.log() and ": certificate " in mux.log()


# ---- good ones ----


@pytest.mark.core
def test_B9_certificate_is_accepted(make_mux, certified, ca, host_key):
    target = certified(ca.sign(host_key))
    mux = make_mux(target, known_hosts=ca.line())
    mux.check_works()
    assert took_certificate(mux)


@pytest.mark.parametrize("ca_alg", [None, "rsa-sha2-256"])
@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_B9_types(make_mux, certified, keys, tmp_path, kind, ca_alg):
    """The authority's key and the host's, of the other types."""
    ca = Authority(keys, tmp_path, kind="rsa" if ca_alg else kind)
    key = keys.make(f"hostcert_host_{kind}", kind)
    target = certified(ca.sign(key, ca_alg=ca_alg), key)
    mux = make_mux(target, known_hosts=ca.line())
    mux.check_works()
    assert took_certificate(mux)


@pytest.mark.parametrize("alg", ["rsa-sha2-256", "rsa-sha2-512"])
def test_B9_rsa_proofs(make_mux, certified, keys, ca, alg):
    key = keys.make("hostcert_host_rsa", "rsa")
    target = certified(ca.sign(key), key, HostKeyAlgorithms=alg + CERT)
    mux = make_mux(target, known_hosts=ca.line())
    mux.check_works()
    assert took_certificate(mux)


@pytest.mark.parametrize("form", ["exact", "wildcard", "several", "hashed", "no port", "negated"])
def test_B9_how_the_authority_is_named(make_mux, certified, ca, host_key, form):
    target = certified(ca.sign(host_key, "*.0.0.1,other.example"))
    name = f"[127.0.0.1]:{target.port}"
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    hosts = {
        "exact": name,
        "wildcard": f"[127.0.0.*]:{target.port}",
        "several": f"other.example,{name}",
        "hashed": f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}",
        "no port": "127.0.0.1",
        "negated": f"*,![127.0.0.1]:{target.port + 1}",
    }[form]
    mux = make_mux(target, known_hosts=ca.line(hosts))
    mux.check_works()
    assert took_certificate(mux)


def test_B9_certificate_before_known_plain_keys(make_mux, make_sshd, ca):
    """The server's other keys being listed is no reason to pass the authority by."""
    target = make_sshd()
    cert = ca.sign(next(k for k in target.host_keys if k.name.endswith("ecdsa")))
    with open(target.config_path, "a", encoding="ascii") as f:
        f.write(f"HostCertificate {cert}\n")
    target.kill()
    target.start()
    mux = make_mux(target, known_hosts=target.known_hosts(kinds=["rsa"]) + ca.line())
    mux.check_works()
    assert took_certificate(mux)


def test_B9_rekey_with_a_certificate(make_mux, certified, ca, host_key):
    target = certified(ca.sign(host_key), RekeyLimit="1M")
    mux = make_mux(target, known_hosts=ca.line())
    done = mux.ssh("t", "head -c 8000000 /dev/zero")
    assert done.returncode == 0 and len(done.stdout) == 8000000, done.stderr
    mux.check_works()


def test_B9_alias_is_the_principal(make_mux, certified, ca, host_key):
    target = certified(ca.sign(host_key, "my-alias"))
    routes = routes_toml({"t": hop(target, host_key_alias="my-alias"), "u": hop(target)})
    mux = make_mux(routes=routes, known_hosts=ca.line())
    mux.check_works()
    refused(mux, "for other hosts", route="u")


# ---- ones that are good for nothing: as without them ----

USELESS = {
    "expired": (dict(valid="20200101:20200201"), "expired"),
    "not yet": (dict(valid="20980101:20990101"), "not valid yet"),
    "other host": (dict(principals="127.0.0.2,127.0.0.1.example"), "for other hosts"),
    "with port": (dict(principals="[127.0.0.1]"), "for other hosts"),
    "no principals": (dict(principals=None), "names no host"),
    "critical": (dict(args=["-O", "critical:x@ssh-mux.example=1"]), "critical option"),
    "user's": (dict(host=False), "a user's"),
}


@pytest.mark.core
@pytest.mark.parametrize("case", USELESS)
def test_B9_certificate_good_for_nothing(make_mux, certified, ca, host_key, case):
    more, text = USELESS[case]
    more = dict(more)
    args = more.pop("args", [])
    target = certified(ca.sign(host_key, more.pop("principals", "127.0.0.1"), *args, **more))
    mux = make_mux(target, known_hosts=ca.line())
    refused(mux, text, "SHA256:", "known_hosts:1")
    assert target.logins() == 0
    # Somebody trusts the key itself: that holds without any authority, as in OpenSSH.
    mux.put("known_hosts", ca.line() + target.known_hosts())
    mux.check_works()
    assert "is not used" in mux.log()


def test_B9_signed_with_sha1(make_mux, certified, keys, tmp_path, host_key):
    ca = Authority(keys, tmp_path, kind="rsa")
    target = certified(ca.sign(host_key, ca_alg="ssh-rsa"))
    mux = make_mux(target, known_hosts=ca.line())
    refused(mux, "not accepted")
    assert target.logins() == 0
    mux.put("known_hosts", ca.line() + target.known_hosts())
    mux.check_works()


def test_B9_another_key_is_listed(make_mux, certified, ca, host_key, keys):
    """Without a good certificate the listed key counts, and this is another."""
    target = certified(ca.sign(host_key, valid="20200101:20200201"))
    name = f"[127.0.0.1]:{target.port}"
    other = public(keys.make("hostcert_other"))
    mux = make_mux(target, known_hosts=f"{ca.line()}{name} {other}\n")
    refused(mux, "changed", "known_hosts:2")
    assert target.logins() == 0


# ---- no authority ----


@pytest.mark.core
def test_B9_unknown_authority(make_mux, certified, ca, host_key):
    target = certified(ca.sign(host_key))
    # Nothing known: refused with the line that accepts the key, which works.
    mux = make_mux(target, known_hosts="")
    said = refused(mux, "not known")
    assert public(host_key) in said
    mux.put("known_hosts", f"[127.0.0.1]:{target.port} {public(host_key)}\n")
    mux.check_works()
    assert not took_certificate(mux)


def test_B9_authority_of_somebody_else(make_mux, certified, ca, host_key, keys, tmp_path):
    target = certified(ca.sign(host_key))
    other = Authority(keys, tmp_path, "other")
    mux = make_mux(target, known_hosts=other.line())
    refused(mux, "belongs to a certificate authority")
    mux.put("known_hosts", ca.line("*.example"))
    refused(mux, "not known")
    mux.put("known_hosts", ca.line(f"[127.0.0.1]:{target.port + 1}"))
    refused(mux, "not known")
    mux.put("known_hosts", ca.line(f"*,!127.0.0.1,![127.0.0.1]:{target.port}"))
    refused(mux, "not known")
    # The authority's key is no host key, and the host's no authority.
    mux.put("known_hosts", f"[127.0.0.1]:{target.port} {public(ca.key)}\n")
    refused(mux, "changed")
    mux.put("known_hosts", f"@cert-authority * {public(host_key)}\n")
    refused(mux, "belongs to a certificate authority")
    assert target.logins() == 0
    mux.put("known_hosts", other.line() + target.known_hosts())
    mux.check_works()


def test_B9_server_with_nothing_but_a_certificate(make_mux, certified, ca, host_key):
    """Its certificate is taken for the plain key in it."""
    target = certified(ca.sign(host_key), HostKeyAlgorithms="ssh-ed25519" + CERT)
    mux = make_mux(target, known_hosts=target.known_hosts())
    mux.check_works()
    assert not took_certificate(mux)


# ---- revoked ----


@pytest.mark.core
@pytest.mark.parametrize("plain_known", [False, True])
@pytest.mark.parametrize("with_ca", [True, False])
def test_K3_revoked_authority(make_mux, certified, ca, host_key, with_ca, plain_known):
    target = certified(ca.sign(host_key))
    known = ca.line(marker="@revoked")
    known += ca.line() if with_ca else ""
    known += target.known_hosts() if plain_known else ""
    mux = make_mux(target, known_hosts=known)
    if with_ca or plain_known:
        refused(mux, "authority of the host certificate is revoked", "known_hosts:1")
    else:
        refused(mux)
    assert target.logins() == 0


@pytest.mark.core
@pytest.mark.parametrize("as_cert", [False, True])
def test_K3_revoked_key_in_a_certificate(make_mux, certified, ca, host_key, as_cert):
    cert = ca.sign(host_key)
    target = certified(cert)
    line = " ".join(cert.read_text().split()[:2]) if as_cert else public(host_key)
    mux = make_mux(target, known_hosts=f"{ca.line()}{target.known_hosts()}@revoked * {line}\n")
    refused(mux, "host key is revoked", "known_hosts:3")
    assert target.logins() == 0


# ---- through a jump host ----


@pytest.mark.core
def test_B9_through_a_jump_host(make_mux, certified, ca, keys):
    """Each hop's certificate counts for its own name; known_hosts names the authority alone."""
    inner, outer = keys.make("hostcert_inner"), keys.make("hostcert_outer")
    target = certified(ca.sign(inner, "target.example"), inner)
    bastion = certified(ca.sign(outer, "bastion.example"), outer)

    def routes(target_name, bastion_name):
        return routes_toml({"t": hop(target, host_key_alias=target_name)},
                           jump=hop(bastion, host_key_alias=bastion_name))

    mux = make_mux(routes=routes("target.example", "bastion.example"), known_hosts=ca.line())
    mux.check_works()
    assert mux.log().count(": certificate ") == 2
    logins = bastion.logins(), target.logins()
    assert logins == (1, 1)

    # The same two certificates under each other's names, and each alone.
    swapped = make_mux(routes=routes("bastion.example", "target.example"), known_hosts=ca.line())
    refused(swapped, "for other hosts", "target.example")
    assert (bastion.logins(), target.logins()) == logins
    half = make_mux(routes=routes("bastion.example", "bastion.example"), known_hosts=ca.line())
    refused(half, "for other hosts", "bastion.example")
    assert (bastion.logins(), target.logins()) == (2, 1)
    # An authority for the one is none for the other.
    one = make_mux(routes=routes("target.example", "bastion.example"),
                   known_hosts=ca.line("bastion.example"))
    refused(one, "not known", "target.example")
    assert (bastion.logins(), target.logins()) == (3, 1)


# ---- servers that lie ----


class Liar(paramiko.Ed25519Key):
    """Signs with its own key, and shows what it is told to under the name it is told to."""

    shown, shown_name = b"", "ssh-ed25519" + CERT

    def get_name(self):
        return self.shown_name

    def asbytes(self):
        return self.shown


class LyingServer(Server):
    def __init__(self, key, shown, name="ssh-ed25519" + CERT):
        self.shown, self.name = shown, name
        super().__init__(key)

    def load_key(self):
        key = Liar.from_private_key_file(str(self.key_path))
        key.shown, key.shown_name = self.shown, self.name
        return key


def liar_case(case, ca, host_key, keys):
    """What a server shows, and what is said of it."""
    cert = base64.b64decode(blob(ca.sign(host_key)))
    plain = base64.b64decode(blob(f"{host_key}.pub"))
    thief = keys.make("hostcert_thief")
    bad = bytearray(cert)
    if case == "honest":
        return host_key, cert, "ssh-ed25519" + CERT, None
    if case == "forged signature":
        bad[-1] ^= 1
        return host_key, bytes(bad), "ssh-ed25519" + CERT, "signature of the host certificate is wrong"
    if case == "other principal written in":
        at = cert.index(b"127.0.0.1")
        bad[at: at + 9] = b"127.0.0.2"
        return host_key, bytes(bad), "ssh-ed25519" + CERT, "signature of the host certificate is wrong"
    if case == "stolen certificate":
        return thief, cert, "ssh-ed25519" + CERT, "signature verification failed"
    if case == "own key put in":
        at = cert.index(plain[-32:])
        bad[at: at + 32] = base64.b64decode(blob(f"{thief}.pub"))[-32:]
        return thief, bytes(bad), "ssh-ed25519" + CERT, "signature of the host certificate is wrong"
    if case == "plain for a certificate":
        return host_key, plain, "ssh-ed25519" + CERT, "signature verification failed"
    if case == "certificate for a plain key":
        return host_key, cert, "ssh-ed25519", "signature verification failed"
    if case == "cut short":
        return host_key, cert[:-5], "ssh-ed25519" + CERT, "message too short"
    assert case == "bytes behind"
    return host_key, cert + b"x", "ssh-ed25519" + CERT, "unexpected bytes"


LIES = ["honest", "forged signature", "other principal written in", "stolen certificate",
        "own key put in", "plain for a certificate", "certificate for a plain key", "cut short",
        "bytes behind"]


@pytest.mark.parametrize("plain_known", [False, True])
@pytest.mark.parametrize("case", LIES)
def test_B9_lies(make_mux, cleanup, ca, host_key, keys, case, plain_known):
    """Also a host whose plain key is known is refused when it shows a false certificate."""
    key, shown, name, text = liar_case(case, ca, host_key, keys)
    server = cleanup(LyingServer(key, shown, name))
    known = ca.line()
    if plain_known:
        known += f"[127.0.0.1]:{server.port} {public(host_key)}\n"
    mux = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=known)
    if text:
        refused(mux, text)
        assert not [e for e in server.log if e[0] == "auth"]
    else:
        client = mux.start_ssh("t", "true")
        poll(lambda: [e for e in server.log if e[0] == "auth"], what="a login")
        client.kill()
        client.communicate()
