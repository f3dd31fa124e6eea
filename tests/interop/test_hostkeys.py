# SPDX-License-Identifier: MIT
"""Host keys of the remote: the verdicts of known_hosts against real servers (K1, K3, K5)."""
import base64
import hashlib
import hmac
import os
import re
import subprocess
import sys
import threading
import time

import pytest

from peers import ROOT, Mux, hop, poll, routes_toml


def fingerprint(keys, path):
    text = subprocess.run(["ssh-keygen", "-lf", f"{path}.pub"], capture_output=True, text=True,
                          check=True).stdout
    return text.split()[1]


def refused(mux, *pieces, route="t"):
    """The client is refused, and log and client hold the pieces."""
    since = len(mux.log())
    done = mux.ssh(route, "true")
    assert done.returncode == 255 and b"open failed" in done.stderr, done
    said = mux.log()[since:]
    assert f'channel open rejected for route "{route}": remote session failed: ' in said, said
    for piece in pieces:
        assert piece.lower() in said.lower(), (piece, said)
    return done.stderr.decode()


@pytest.mark.core
def test_K2_unknown_key_is_refused_with_the_remedy(make_mux, make_sshd, keys):
    """Until somebody can be asked: the fingerprint, and the exact line that would accept it."""
    target = make_sshd()
    mux = make_mux(target, known_hosts="")
    shown = [fingerprint(keys, k) for k in target.host_keys]
    refused(mux, "not known", "SHA256:")
    text = mux.log()
    (used,) = {f for f in re.findall(r"SHA256:[A-Za-z0-9+/]{43}", text)} & set(shown)
    assert target.logins() == 0
    # What it says is what helps: the line goes into known_hosts as it stands.
    match = re.search(r"(\[127\.0\.0\.1\]:\d+ (?:ssh|ecdsa)-\S+ [A-Za-z0-9+/]+=*)", text)
    assert match or "ssh-keyscan" in text or "ssh-keygen" in text, text[-1500:]
    assert used
    if match:
        mux.put("known_hosts", match.group(1) + "\n")
    else:
        mux.put("known_hosts", target.known_hosts())
    mux.check_works()


@pytest.mark.core
def test_K3_changed_key_is_always_refused(make_mux, make_sshd, keys):
    target = make_sshd()
    other = keys.make("impostor")
    blob = keys.public(other).split()[1]
    mux = make_mux(target, known_hosts=f"[127.0.0.1]:{target.port} ssh-ed25519 {blob}\n")
    refused(mux, "changed", "known_hosts")
    assert target.logins() == 0
    mux.put("known_hosts", target.known_hosts())
    mux.check_works()


class OtherEtc(Mux):
    """The daemon sees another /etc/ssh than the rest of the system."""

    system_name = "ssh_known_hosts"

    def spawn(self, argv, **kwargs):
        etc = self.dir / "etc"
        etc.mkdir(exist_ok=True)
        (etc / self.system_name).write_text(self.system_known_hosts)
        script = 'mount --bind "$0" /etc/ssh && exec "$@"'
        super().spawn(["unshare", "-m", "sh", "-c", script, etc, *argv], **kwargs)


@pytest.mark.skipif(not ROOT, reason="only root may mount over /etc/ssh, for the daemon alone")
@pytest.mark.parametrize("name", ["ssh_known_hosts", "ssh_known_hosts2"])
def test_K1_K7_system_known_hosts_counts(make_sshd, keys, cleanup, name):
    """A key that only /etc/ssh/ssh_known_hosts (or …2) has is known; one that it revokes is refused,
    whatever the user's file says."""
    target = make_sshd()
    kinds = [line.split()[1:3] for line in target.known_hosts().splitlines()]
    for system, own, is_in in (
        (target.known_hosts(), "", True),
        ("".join(f"@revoked * {a} {b}\n" for a, b in kinds), target.known_hosts(), False),
    ):
        mux = OtherEtc(keys, routes=routes_toml({"t": hop(target)}), known_hosts=own, start=False)
        mux.system_known_hosts, mux.system_name = system, name
        cleanup(mux)
        mux.start()
        done = mux.ssh("t", "echo in")
        assert (done.stdout == b"in\n") is is_in, done
        assert is_in or b"revoked" in done.stderr, done


def plain_says(mux, target, *options):
    """Whether plain ssh takes the server's key with the same SSH directory."""
    done = subprocess.run(
        ["ssh", "-F", "none", "-p", str(target.port), "-i", mux.ssh_dir / "id_ed25519",
         "-o", "StrictHostKeyChecking yes", "-o", "GlobalKnownHostsFile none", "-o", "BatchMode yes",
         *options, "127.0.0.1", "true"],
        capture_output=True, timeout=60, stdin=subprocess.DEVNULL)  # fmt: skip
    return done.returncode == 0


def test_K7_known_hosts2_counts_as_for_ssh(make_mux, make_sshd):
    """What is only in the second file is known; what it revokes is refused; one that somebody else
    could write lets no login happen."""
    target = make_sshd()
    mux = make_mux(target, known_hosts="")
    second = mux.put("known_hosts2", target.known_hosts())
    files = f"UserKnownHostsFile {mux.ssh_dir}/known_hosts {second}"
    assert plain_says(mux, target, "-o", files)
    mux.check_works()
    mux.put("known_hosts", target.known_hosts())
    mux.put("known_hosts2", "".join(
        f"@revoked * {' '.join(line.split()[1:])}\n" for line in target.known_hosts().splitlines()))
    mux.control("stop")
    mux.start()
    assert not plain_says(mux, target, "-o", files)
    refused(mux, "revoked", "known_hosts2")
    second.write_text("")
    second.chmod(0o666)
    refused(mux, "known_hosts2", "writable")
    second.chmod(0o600)
    mux.check_works()


def test_K7_a_route_names_its_files(make_mux, make_sshd):
    """known_hosts = [..] stands in the place of the user's files, as UserKnownHostsFile does."""
    target = make_sshd()
    routes = {
        "own": hop(target, known_hosts=["~/nowhere/hosts", "@/work_hosts"]),
        "other": hop(target),
    }
    mux = make_mux(routes="", known_hosts=target.known_hosts(), start=False)
    work = mux.put("work_hosts", "")
    mux.routes_path.write_text(routes_toml(routes).replace("@", str(mux.ssh_dir)))
    mux.start()
    mux.check_works("other")
    refused(mux, "not known", "/nowhere/hosts", route="own")
    assert target.logins() == 1
    mux.put("known_hosts", "")
    mux.put("work_hosts", target.known_hosts())
    mux.check_works("own")
    # P1: what another list made trusted is no connection of this route's.
    assert target.logins() == 2
    assert plain_says(mux, target, "-o", f"UserKnownHostsFile {work}")
    checked = mux.control("check-config", "--config", str(mux.routes_path))
    assert checked.stdout.count("no key of ") == 1, checked.stdout


def test_K7_the_first_file_of_a_route_gets_new_keys(make_mux, make_sshd):
    """Behind a jump host and unattended a new key is taken: into the list of the route."""
    jump, target = make_sshd(), make_sshd()
    mux = make_mux(routes="", known_hosts=jump.known_hosts(), start=False)
    mux.routes_path.write_text(routes_toml(
        {"t": hop(target, unattended=True, known_hosts=[f"{mux.ssh_dir}/first", f"{mux.ssh_dir}/second"])},
        jump=hop(jump)))  # fmt: skip
    mux.start()
    mux.check_works()
    assert f"[127.0.0.1]:{target.port} " in (mux.ssh_dir / "first").read_text()
    assert not (mux.ssh_dir / "second").exists()
    assert (mux.ssh_dir / "known_hosts").read_text() == jump.known_hosts()


@pytest.mark.core
def test_K3_revoked_key_is_always_refused(make_mux, make_sshd):
    target = make_sshd()
    lines = target.known_hosts()
    revoked = "".join(f"@revoked * {' '.join(l.split()[1:])}\n" for l in lines.splitlines())
    mux = make_mux(target, known_hosts=lines + revoked)
    refused(mux, "revoked")
    assert target.logins() == 0


def test_K3_key_of_another_type(make_mux, make_sshd, keys):
    """Known by RSA alone, offering ed25519 alone: not a new host."""
    target = make_sshd(host_keys=[keys.make("host_only_ed25519")])
    rsa = keys.make("host_was_rsa", "rsa")
    blob = keys.public(rsa).split()[1]
    mux = make_mux(target, known_hosts=f"[127.0.0.1]:{target.port} ssh-rsa {blob}\n")
    refused(mux, "SHA256:")
    assert target.logins() == 0


def test_K1_known_type_is_preferred(make_mux, make_sshd):
    """The server has three keys, known_hosts one: that one is asked for."""
    for kind, name in (("rsa", "RSA"), ("ecdsa", "ECDSA"), ("ed25519", "ED25519")):
        target = make_sshd()
        mux = make_mux(target, known_hosts=target.known_hosts(kinds=[kind]))
        mux.check_works()


@pytest.mark.parametrize("form", ["plain", "several", "hashed", "wildcard", "negated", "comments"])
def test_K1_forms_of_entries(make_mux, make_sshd, form, tmp_path):
    target = make_sshd()
    line = target.known_hosts(kinds=["ed25519"]).strip()
    name, key = line.split(" ", 1)
    if form == "several":
        line = f"other.example,{name},10.1.1.1 {key}"
    elif form == "hashed":
        path = tmp_path / "kh"
        path.write_text(line + "\n")
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
        line = path.read_text().strip()
        assert line.startswith("|1|")
    elif form == "wildcard":
        line = f"[127.0.0.?]:{target.port} {key}"
    elif form == "negated":
        line = f"[127.*]:{target.port},![127.0.0.9]:{target.port} {key}"
    elif form == "comments":
        line = f"# note\n\n   \n{line} a comment behind"
    mux = make_mux(target, known_hosts=line + "\n")
    mux.check_works()


def test_K1_negation_wins(make_mux, make_sshd):
    target = make_sshd()
    key = target.known_hosts(kinds=["ed25519"]).split(" ", 1)[1]
    mux = make_mux(target, known_hosts=f"[127.*]:{target.port},![127.0.0.1]:{target.port} {key}")
    refused(mux)


def test_K5_cert_authority_is_no_ordinary_key(make_mux, make_sshd):
    target = make_sshd()
    line = target.known_hosts(kinds=["ed25519"])
    mux = make_mux(target, known_hosts=f"@cert-authority {line}")
    refused(mux, "SHA256:")
    assert "authority" in mux.log()


def test_K5_unknown_marker_is_no_ordinary_entry(make_mux, make_sshd):
    target = make_sshd()
    line = target.known_hosts(kinds=["ed25519"])
    mux = make_mux(target, known_hosts=f"@trusted {line}")
    refused(mux)


@pytest.mark.core
def test_N11_jump_and_target_keys_never_mixed(make_mux, make_sshd):
    """The jump host's key under the target's name, and the reverse, help nobody."""
    target, bastion = make_sshd("target"), make_sshd("bastion")
    swapped = ""
    for name, key in ((bastion, target), (target, bastion)):
        for line in key.known_hosts().splitlines():
            swapped += f"[127.0.0.1]:{name.port} {' '.join(line.split()[1:])}\n"
    mux = make_mux(target, bastion, known_hosts=swapped)
    refused(mux, "changed")
    assert bastion.logins() == 0 and target.logins() == 0
    # Only the bastion is right: the target's wrong key still counts.
    mux.put("known_hosts", bastion.known_hosts() + "".join(
        f"[127.0.0.1]:{target.port} {' '.join(l.split()[1:])}\n"
        for l in bastion.known_hosts().splitlines()))
    refused(mux, "changed")
    assert bastion.logins() >= 1 and target.logins() == 0
    mux.put("known_hosts", bastion.known_hosts() + target.known_hosts())
    mux.check_works()


def test_host_key_alias(make_mux, make_sshd):
    target = make_sshd()
    known = "".join(
        f"my-alias {' '.join(l.split()[1:])}\n" for l in target.known_hosts().splitlines()
    )
    mux = make_mux(routes=routes_toml({"t": hop(target, host_key_alias="my-alias")}),
                   known_hosts=known)
    mux.check_works()


# ---- a known_hosts of many hashed lines ----


def hashed_line(name, key):
    """A line as `ssh-keygen -H` makes it."""
    salt = os.urandom(20)
    mac = hmac.digest(salt, name.encode(), hashlib.sha1)
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(mac).decode()} {key}\n"


@pytest.fixture(scope="module")
def many_hashed(keys):
    """None of them is a host of the tests."""
    key = " ".join(keys.public(keys.make("stranger")).split()[:2])
    return "".join(hashed_line(f"host{i}.example", key) for i in range(20_000))


def hashed(known):
    return "".join(hashed_line(*line.split(" ", 1)) for line in known.splitlines())


def cpu_s(pid, tid):
    """Of a thread, whatever else the machine does meanwhile."""
    with open(f"/proc/{pid}/task/{tid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0]) / 1e9


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the CPU time of a thread: /proc")
def test_K7_known_hosts_is_searched_beside_the_loop(make_mux, make_sshd, many_hashed):
    """Every line costs an HMAC or two. The worker threads pay for them, and what others do on their
    connections goes on: the loop itself computes next to nothing for this login."""
    near, far = make_sshd("near"), make_sshd("far")
    known = many_hashed + hashed(near.known_hosts() + far.known_hosts())
    mux = make_mux(known_hosts="", start=False,
                   routes=routes_toml({"near": hop(near), "far": hop(far)}))
    mux.put("known_hosts", near.known_hosts())
    mux.start()
    echo = mux.start_ssh("near", "cat")
    stop, rounds = threading.Event(), []

    def type_away():
        while not stop.is_set():
            since = time.monotonic()
            echo.stdin.write(b"x\n")
            echo.stdin.flush()
            assert echo.stdout.readline() == b"x\n"
            rounds.append(time.monotonic() - since)
            time.sleep(0.02)  # the loop pays for the echoes, too

    typist = threading.Thread(target=type_away)
    typist.start()
    try:
        poll(lambda: rounds, 20, "the first echo")
        mux.put("known_hosts", known)

        def spent():
            threads = {tid: cpu_s(mux.pid, tid) for tid in os.listdir(f"/proc/{mux.pid}/task")}
            loop = threads.pop(str(mux.pid))
            return loop, sum(threads.values())

        before, n_before = spent(), len(rounds)
        done = mux.ssh("far", "echo in")
        after, n_after = spent(), len(rounds)
    finally:
        stop.set()
        typist.join(20)
        echo.communicate(timeout=20)
    assert (done.stdout, done.returncode) == (b"in\n", 0), done
    loop, workers = after[0] - before[0], after[1] - before[1]
    assert n_after > n_before
    print(f"loop {loop:.3f} s, workers {workers:.3f} s, {n_after - n_before} echoes, the longest "
          f"{max(rounds[n_before:n_after]):.3f} s")
    assert loop < workers / 2, "the loop has searched it"


def test_K7_stopped_while_known_hosts_is_searched(make_mux, make_sshd, many_hashed):
    """The search is given up cleanly: the login is gone before its result is there."""
    target = make_sshd()
    mux = make_mux(target, known_hosts=many_hashed + hashed(target.known_hosts()))
    client = mux.start_ssh("t", "echo in", stdin=subprocess.DEVNULL)
    poll(lambda: any(c["state"] == "opening" for c in mux.status()["channels"]), 20, "the open",
         0.01)
    mux.stop()
    client.communicate(timeout=20)
    assert client.returncode == 255


def test_K7_K3_verdicts_among_many_lines(make_mux, make_sshd, many_hashed, keys):
    """A changed key, a revoked one and an unknown one are found as such."""
    target = make_sshd(host_keys=[keys.make("host_one", "ed25519")])
    place = f"[127.0.0.1]:{target.port}"
    other = " ".join(keys.public(keys.make("impostor")).split()[:2])
    mux = make_mux(target, known_hosts=many_hashed)
    refused(mux, "not known")
    mux.put("known_hosts", many_hashed + hashed_line(place, other))
    refused(mux, "changed", "known_hosts:20001")
    revoked = "@revoked " + target.known_hosts()
    mux.put("known_hosts", many_hashed + hashed(target.known_hosts()) + revoked)
    refused(mux, "revoked", "known_hosts:20002")
    assert target.logins() == 0
    mux.put("known_hosts", many_hashed + hashed(target.known_hosts()))
    mux.check_works()
