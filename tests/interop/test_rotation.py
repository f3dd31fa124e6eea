# SPDX-License-Identifier: MIT
"""K6: a server that rotates its host key the supported way is no "changed" (UpdateHostKeys)."""
import os
import pathlib
import subprocess
import time

import pytest

import rawpeer
import wine
from peers import hop, poll, routes_toml
from rawpeer import Reader, msg, string

LIST, PROVE = "hostkeys-00@openssh.com", "hostkeys-prove-00@openssh.com"


def blob(keys, key):
    return keys.public(key).split()[1]


def lines_of(server, *keys, name="127.0.0.1"):
    """Lines of known_hosts for these keys of a server, whether it has them or not."""
    return "".join(
        f"[{name}]:{server.port} {' '.join(pathlib.Path(f'{k}.pub').read_text().split()[:2])}\n"
        for k in keys)


def restart(server, *host_keys):
    """With other host keys, at the same port."""
    server.stop()
    text = server.config_path.read_text().splitlines()
    text = [line for line in text if not line.startswith("HostKey ")]
    server.config_path.write_text("\n".join([f"HostKey {k}" for k in host_keys] + text) + "\n")
    server.host_keys = [pathlib.Path(k) for k in host_keys]
    server.start()


def knows(mux, *blobs):
    text = mux.known_hosts_path.read_text()
    return all(b in text for b in blobs)


def settled(mux, text):
    """What must not happen has had its time: the login is old, and its list was looked at."""
    mux.wait_log(text)
    time.sleep(0.5)
    return mux.known_hosts_path.read_text()


@pytest.fixture(autouse=True, params=["no", "yes"], ids=["free", "confined"])
def confined(request, monkeypatch):
    """The daemon writes by itself, or has its helper do it (H3)."""
    monkeypatch.setenv("SSH_MUX_CONFINE", request.param)


@pytest.fixture
def rotating(keys):
    return {kind: keys.make(f"rotating_{kind}", kind) for kind in ("ed25519", "ecdsa", "rsa")}


@pytest.mark.core
@pytest.mark.parametrize("first, second", [("ed25519", "rsa"), ("rsa", "ecdsa"),
                                           ("ecdsa", "ed25519")])
def test_K6_a_rotated_key_is_learnt_and_the_next_login_works(make_mux, make_sshd, keys, rotating,
                                                             first, second):
    """Two keys, of which one is known: the other is proved and pinned. Then only that one is left:
    the login works, and the old one's line goes."""
    old, new = rotating[first], rotating[second]
    target = make_sshd(host_keys=[old, new])
    mux = make_mux(target, known_hosts="# mine\n" + lines_of(target, old))
    mux.check_works()
    poll(lambda: knows(mux, blob(keys, old), blob(keys, new)), 20, "the new key in known_hosts")
    mux.wait_log("proved by the server and added")
    restart(target, new)
    mux.control("stop")
    mux.start()
    mux.check_works()
    poll(lambda: not knows(mux, blob(keys, old)), 20, "the old key's line to go")
    text = mux.known_hosts_path.read_text()
    assert text.startswith("# mine\n") and knows(mux, blob(keys, new)), text
    assert len(text.splitlines()) == 2
    if not wine.WineMux.exe:  # which has other rights
        assert mux.known_hosts_path.stat().st_mode & 0o777 == 0o600
    # And plain ssh takes what is written there.
    plain = subprocess.run(
        ["ssh", "-F", "none", "-p", str(target.port), "-i", mux.ssh_dir / "id_ed25519", "-o",
         f"UserKnownHostsFile {mux.known_hosts_path}", "-o", "GlobalKnownHostsFile none", "-o",
         "StrictHostKeyChecking yes", "-o", "BatchMode yes", "127.0.0.1", "true"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60)  # fmt: skip
    assert plain.returncode == 0, plain


def test_K6_without_it_the_new_key_would_be_changed(make_mux, make_sshd, keys):
    """update_host_keys = false: nothing is written, and the rotation ends as it did before."""
    old, new = keys.make("off_old"), keys.make("off_new")
    target = make_sshd(host_keys=[old])
    known = lines_of(target, old)
    restart(target, old, new)
    mux = make_mux(routes=routes_toml({"t": hop(target, update_host_keys=False)}),
                   known_hosts=known)
    mux.check_works()
    assert settled(mux, "logged in to") == known
    restart(target, new)
    mux.control("stop")
    mux.start()
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"changed" in done.stderr, done


@pytest.mark.parametrize("said, learns", [
    ({}, False), ({"update_host_keys": True}, True)])
def test_K6_files_that_a_route_names_stay_as_they_are_unless_told(make_mux, make_sshd, keys,
                                                                  rotating, said, learns):
    """As OpenSSH with UserKnownHostsFile."""
    target = make_sshd(host_keys=[rotating["ed25519"], rotating["ecdsa"]])
    mux = make_mux(routes="", start=False)
    work = mux.put("work", lines_of(target, rotating["ed25519"]))
    mux.routes_path.write_text(routes_toml({"t": hop(target, known_hosts=[str(work)], **said)}))
    mux.start()
    mux.check_works()
    if learns:
        poll(lambda: blob(keys, rotating["ecdsa"]) in work.read_text(), 20, "the new key")
    else:
        settled(mux, "logged in to")
        assert work.read_text() == lines_of(target, rotating["ed25519"])
    assert mux.known_hosts_path.read_text() == ""


def test_K6_hashed_names_stay_hashed(make_mux, make_sshd, keys, rotating):
    target = make_sshd(host_keys=[rotating["ed25519"], rotating["rsa"]])
    old = keys.make("hashed_old", "ecdsa")
    mux = make_mux(target, known_hosts=lines_of(target, rotating["ed25519"], old), start=False)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", mux.known_hosts_path], check=True,
                   capture_output=True)
    os.unlink(f"{mux.known_hosts_path}.old")
    mux.known_hosts_path.chmod(0o600)
    mux.start()
    mux.check_works()
    poll(lambda: knows(mux, blob(keys, rotating["rsa"])), 20, "the new key")
    text = mux.known_hosts_path.read_text()
    assert all(line.startswith("|1|") for line in text.splitlines()), text
    assert blob(keys, old) not in text
    found = subprocess.run(["ssh-keygen", "-F", f"[127.0.0.1]:{target.port}", "-f",
                            mux.known_hosts_path], capture_output=True, text=True, check=True)
    assert blob(keys, rotating["rsa"]) in found.stdout


@pytest.mark.parametrize("before", [
    "[127.0.0.*]:@ {used}\n",
    "[127.0.0.1]:@ {used}\n@revoked * {other}\n",
    "a,b,[127.0.0.1]:@ {used}\n",
    "127.0.0.1 {used}\n",
], ids=["wildcard", "marker", "list", "without port"])
def test_K6_what_a_person_looks_after_is_left_alone(make_mux, make_sshd, keys, rotating, before):
    """Patterns, lists, markers, and a line that names no port: as OpenSSH."""
    target = make_sshd(host_keys=[rotating["ed25519"], rotating["ecdsa"]])
    pair = {n: " ".join(keys.public(k).split()[:2])
            for n, k in (("used", rotating["ed25519"]), ("other", keys.make("other_one")))}
    before = before.replace("@ ", f"{target.port} ").format(**pair)
    mux = make_mux(target, known_hosts=before)
    mux.check_works()
    assert settled(mux, "are not updated: ") == before


def test_K6_lines_that_others_need_stay(make_mux, make_sshd, keys, rotating):
    """The old key of another host, and the lines of its other ports, are not this server's to
    remove; two names on a line are not either."""
    target = make_sshd(host_keys=[rotating["ed25519"]])
    shared, both = keys.make("shared_old", "ecdsa"), keys.make("both_old", "rsa")
    lone = keys.make("lone_old", "ecdsa")
    pair = " ".join(keys.public(both).split()[:2])
    kept = ["other.example " + " ".join(keys.public(shared).split()[:2]) + "\n",
            lines_of(target, shared),
            f"[127.0.0.1]:{target.port},[::1]:{target.port} {pair}\n",
            "[127.0.0.1]:9 " + " ".join(keys.public(rotating["rsa"]).split()[:2]) + "\n",
            lines_of(target, rotating["ed25519"])]
    mux = make_mux(target, known_hosts="".join(kept[:3]) + lines_of(target, lone)
                   + "".join(kept[3:]))
    mux.check_works()
    poll(lambda: not knows(mux, blob(keys, lone)), 20, "the line that nobody needs to go")
    assert mux.known_hosts_path.read_text() == "".join(kept)


def test_K6_jump_hosts_likewise_and_both_files_at_once(make_mux, make_sshd, keys, rotating):
    """Both hops learn at the same time, and no line is lost (C8)."""
    bastion = make_sshd("bastion", host_keys=[rotating["ed25519"], rotating["rsa"]])
    target = make_sshd(host_keys=[rotating["ecdsa"], keys.make("target_new")])
    mux = make_mux(target, bastion, known_hosts=lines_of(bastion, rotating["ed25519"])
                   + lines_of(target, rotating["ecdsa"]))
    mux.check_works()
    wanted = set((lines_of(bastion, *bastion.host_keys)
                  + lines_of(target, *target.host_keys)).splitlines())
    poll(lambda: set(mux.known_hosts_path.read_text().splitlines()) == wanted, 20,
         "both servers' keys")


def test_K6_one_that_was_only_taken_as_new_teaches_nothing(make_mux, make_sshd, keys, rotating):
    """accept-new behind a jump host: nobody has vouched for the key, so it vouches for no other on
    this connection. On the next it is known."""
    bastion = make_sshd("bastion")
    target = make_sshd(host_keys=[rotating["ed25519"], rotating["rsa"]])
    mux = make_mux(routes=routes_toml({"t": hop(target, unattended=True)}, jump=hop(bastion)),
                   known_hosts=bastion.known_hosts())
    mux.check_works()
    settled(mux, f"port {target.port} (OpenSSH")
    text = mux.known_hosts_path.read_text()
    assert len(text.splitlines()) == len(bastion.host_keys) + 1, text
    mux.control("stop")
    mux.start()
    mux.check_works()
    poll(lambda: knows(mux, *(blob(keys, k) for k in target.host_keys)), 20, "the other key")


# ---- a server that lies --------------------------------------------------------------------------


class Liar:
    """Says that it has a key, and proves it, or not, as told."""

    def __init__(self, used, prove, claimed=(), listed=None):
        self.used = rawpeer.load_key(used)
        self.prove, self.claimed, self.asked = prove, [rawpeer.load_key(k) for k in claimed], []
        self.listed = listed

    def __call__(self, peer):
        keys = [rawpeer.key_blob(k) for k in (self.used, *self.claimed)]
        data = b"".join(string(k) for k in keys) if self.listed is None else self.listed(keys)
        peer.send(msg(80, LIST, False) + data)
        while True:
            payload = peer.receive()
            if payload[0] == 80:
                read = Reader(payload)
                kind, want = read.string(), read.boolean()
                if kind.decode() == PROVE:
                    self.asked.append(payload[read.at:])
                    peer.send(self.prove(self, peer, payload[read.at:]))
                elif want:
                    peer.send(b"\x52")
            elif payload[0] == 90:
                # Sessions, for the login to be one: each says what the test waits for.
                read = Reader(payload)
                read.string()
                number = read.u32()
                peer.send(msg(91, number, number, 1 << 20, 1 << 15))
            elif payload[0] == 98:
                number = Reader(payload).u32()
                peer.send(msg(99, number), msg(94, number, b"still here\n"),
                          msg(98, number, "exit-status", False, 0), msg(96, number),
                          msg(97, number))

    def sign(self, peer, kind=PROVE, session=None, over=None, key=None):
        key = key or self.claimed[0]
        signed = string(kind) + string(session or peer.session_id)
        signed += string(over or rawpeer.key_blob(self.claimed[0]))
        return string(string("ssh-ed25519") + string(key.sign(signed)))


FORGED = {
    "another key's": lambda s, p, d: b"\x51" + s.sign(p, key=s.used),
    "of another session": lambda s, p, d: b"\x51" + s.sign(p, session=bytes(32)),
    "of another request": lambda s, p, d: b"\x51" + s.sign(p, kind=LIST),
    "of another blob": lambda s, p, d: b"\x51" + s.sign(p, over=rawpeer.key_blob(s.used)),
    "none": lambda s, p, d: b"\x51",
    "one too many": lambda s, p, d: b"\x51" + 2 * s.sign(p),
    "cut": lambda s, p, d: b"\x51" + s.sign(p)[:-1],
    "refused": lambda s, p, d: b"\x52",
}


@pytest.mark.parametrize("how", FORGED)
def test_K6_a_forged_proof_is_refused_and_nothing_is_written(make_mux, keys, cleanup, how):
    used, claimed = keys.make("liar"), keys.make("liar_claims")
    liar = Liar(used, FORGED[how], [claimed])
    server = cleanup(rawpeer.Server(used, liar))
    mux = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts())
    mux.check_works()
    said = "does not prove it" if how == "refused" else "can't prove it"
    assert settled(mux, said) == server.known_hosts()
    assert len(liar.asked) == 1 and server.n_logins == 1
    mux.check_works()  # and nobody's connection ends of it


def test_K6_a_good_proof_of_the_same_peer_is_taken(make_mux, keys, cleanup):
    """What makes the test above one: the same peer, with a good proof."""
    used, claimed = keys.make("liar"), keys.make("liar_claims")
    server = cleanup(rawpeer.Server(used, Liar(used, lambda s, p, d: b"\x51" + s.sign(p),
                                               [claimed])))
    mux = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts())
    mux.check_works()
    poll(lambda: knows(mux, blob(keys, claimed)), 20, "the key that was proved")


MALFORMED = {
    "empty": lambda keys: b"",
    "cut": lambda keys: b"".join(string(k) for k in keys)[:-1],
    "twice": lambda keys: string(keys[0]) + 2 * string(keys[1]),
    "no key": lambda keys: string(keys[0]) + string(b"\0\0\0"),
    "too many": lambda keys: string(keys[0]) + b"".join(
        string(string("ssh-ed25519") + string(bytes([i]) * 32)) for i in range(80)),
    "without the one in use": lambda keys: string(keys[1]),
}


@pytest.mark.parametrize("how", MALFORMED)
def test_K6_a_list_that_is_none_is_ignored(make_mux, keys, cleanup, how):
    used, claimed = keys.make("liar"), keys.make("liar_claims")
    liar = Liar(used, lambda s, p, d: b"\x51" + s.sign(p), [claimed], MALFORMED[how])
    server = cleanup(rawpeer.Server(used, liar))
    mux = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts())
    mux.check_works()
    text = "are not updated" if how == "without the one in use" else "list of its host keys is ign"
    assert settled(mux, text) == server.known_hosts()
    assert not liar.asked
    mux.check_works()
