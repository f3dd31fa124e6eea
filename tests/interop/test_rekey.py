# SPDX-License-Identifier: MIT
"""Rekeying under load on both hops, both directions at once (B9; RFC 4253 section 9)."""
import hashlib
import os
import re
import subprocess
import threading

import pytest

from conftest import size_mib


def both_ways(mux, mib, options=(), route="t"):
    """One channel: mib up and mib down at once; checksums of both, each made by its sender."""
    block = os.urandom(1 << 20)
    script = (
        "import hashlib,os,sys,threading\n"
        "up=hashlib.sha256(); down=hashlib.sha256()\n"
        "def read():\n"
        "    while d:=sys.stdin.buffer.read1(1<<20): up.update(d)\n"
        "t=threading.Thread(target=read); t.start()\n"
        "b=os.urandom(1<<20)\n"
        f"for i in range({mib}):\n"
        "    p=i.to_bytes(8,'big')+b[8:]; down.update(p); sys.stdout.buffer.write(p)\n"
        "sys.stdout.buffer.flush(); t.join()\n"
        "sys.stderr.write(up.hexdigest()+' '+down.hexdigest()+chr(10))\n"
    )
    errors = mux.dir / "rekey.err"
    with open(errors, "wb") as err:
        proc = subprocess.Popen(
            mux.argv(route, f"python3 -c {shell_quote(script)}", options=options),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
        )  # fmt: skip
        sent, got = hashlib.sha256(), hashlib.sha256()

        def feed():
            for i in range(mib):
                piece = i.to_bytes(8, "big") + block[8:]
                sent.update(piece)
                proc.stdin.write(piece)
            proc.stdin.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        total = 0
        while data := proc.stdout.read1(1 << 20):
            got.update(data)
            total += len(data)
        feeder.join()
        assert proc.wait(60) == 0, errors.read_bytes()[-2000:]
        proc.stdout.close()
    text = errors.read_text()
    up, down = re.search(r"^([0-9a-f]{64}) ([0-9a-f]{64})$", text, re.M).groups()
    assert total == mib << 20
    assert up == sent.hexdigest(), "upwards"
    assert down == got.hexdigest(), "downwards"
    return text


def shell_quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def rekey_world(make_mux, make_sshd):
    target = make_sshd("target", RekeyLimit="1M", LogLevel="DEBUG1")
    bastion = make_sshd("bastion", RekeyLimit="1M")
    return target, make_mux(target, bastion)


def check(make_mux, make_sshd, mib):
    target, mux = rekey_world(make_mux, make_sshd)
    since = len(target.log())
    err = both_ways(mux, mib, options=["-v", "-o", "RekeyLimit=1M"])
    # Both hops really did it, again and again.
    assert err.count("SSH2_MSG_KEXINIT sent") > mib / 4
    assert target.log()[since:].count("SSH2_MSG_KEXINIT sent") > mib / 4
    mux.check_works()
    assert target.logins() == 1


@pytest.mark.core
def test_B9_rekey_1m_both_hops_both_directions(make_mux, make_sshd):
    check(make_mux, make_sshd, size_mib(24))


@pytest.mark.big
@pytest.mark.timeout(600)
def test_B9_rekey_1m_both_hops_1gib(make_mux, make_sshd):
    check(make_mux, make_sshd, size_mib(1024))


@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com",
                                    "aes256-ctr"])  # fmt: skip
def test_B9_rekey_per_cipher(make_mux, make_sshd, cipher):
    target = make_sshd("target", RekeyLimit="512K", Ciphers=cipher)
    mux = make_mux(target)
    both_ways(mux, size_mib(8), options=["-o", "RekeyLimit=512K", "-c", cipher])


def test_B9_rekey_with_sntrup761(make_mux, make_sshd):
    """A key of its own for each exchange, made on a worker thread while data waits."""
    kex = "sntrup761x25519-sha512@openssh.com"
    target = make_sshd("target", RekeyLimit="512K", KexAlgorithms=kex, LogLevel="DEBUG1")
    mux = make_mux(target)
    both_ways(mux, size_mib(8))
    assert target.log().count(f"kex: algorithm: {kex}") > 4
    mux.check_works()
    assert target.logins() == 1


def test_B9_rekey_by_time(make_mux, make_sshd):
    """`RekeyLimit default 1` at both ends: the server and the client ask for it each second."""
    target = make_sshd("target", RekeyLimit="default 1", LogLevel="DEBUG1")
    mux = make_mux(target)
    done = mux.ssh("t", "for i in 1 2 3 4 5 6 7 8; do sleep 0.5; echo $i; done",
                   options=["-v", "-o", "RekeyLimit=default 1"])
    assert done.stdout.split() == [b"%d" % i for i in range(1, 9)]
    assert done.stderr.count(b"SSH2_MSG_KEXINIT sent") >= 3
    assert target.log().count("SSH2_MSG_KEXINIT sent") >= 3


def test_B9_rekey_while_channels_come_and_go(make_mux, make_sshd):
    """Opens and closes fall into running key exchanges of the pooled connection."""
    target, mux = rekey_world(make_mux, make_sshd)
    bulk = mux.start_ssh("t", "head -c 60000000 /dev/zero", stdin=subprocess.DEVNULL,
                         options=["-o", "RekeyLimit=1M"])
    counted = []

    def count():
        n = 0
        while data := bulk.stdout.read1(1 << 20):
            n += len(data)
        counted.append(n)

    reader = threading.Thread(target=count)
    reader.start()
    rounds = 0
    while reader.is_alive() or rounds < 5:
        done = mux.ssh("t", f"echo {rounds}; exit {rounds % 200}")
        assert (done.stdout, done.returncode) == (b"%d\n" % rounds, rounds % 200), done
        rounds += 1
    reader.join()
    assert bulk.wait(10) == 0 and counted == [60000000]
    bulk.stdout.close()
    bulk.stderr.close()
