# SPDX-License-Identifier: MIT
"""A16: limits are OpenSSH's, and what policy refuses is refused by name, with the key that allows it."""
import socket
import subprocess
import threading

import pytest

import rawpeer
from peers import Pump, hop, poll, routes_toml
from rawpeer import Reader, msg
from test_rekey import both_ways

OLD = ["hmac-sha1", "hmac-sha1-etm@openssh.com"]
# sshd's ciphers with a MAC of their own would need none of these.
CTR = {"Ciphers": "aes128-ctr"}




@pytest.mark.core
@pytest.mark.parametrize("mac", OLD)
def test_A16_a_server_with_an_old_mac_works_where_the_route_names_it(make_mux, make_sshd, mac):
    """And nowhere else: refused by name, with what the server offers and the line that allows it."""
    target = make_sshd(MACs=mac, **CTR)
    routes = {"t": hop(target, algorithms=f"+{mac}"), "plain": hop(target)}
    mux = make_mux(routes=routes_toml(routes), known_hosts=target.known_hosts())
    done = mux.ssh("plain", "true")
    assert done.returncode == 255, done
    said = done.stderr.decode()
    assert f"no common MAC: the server offers {mac};" in said, said
    assert f'add to the route: algorithms = "+{mac}"' in said, said
    mux.check_works("t")
    assert target.logins() == 1
    # A real transfer under it, both ways.
    data = bytes(range(256)) * 4096
    assert mux.ssh("t", "cat", input=data).stdout == data
    # P1: they are two paths; the one that was not allowed does not ride on the other.
    assert mux.ssh("plain", "true").returncode == 255


UMACS = ["umac-64-etm@openssh.com", "umac-128-etm@openssh.com", "umac-64@openssh.com",
         "umac-128@openssh.com"]  # fmt: skip


@pytest.mark.parametrize("mac", UMACS)
def test_A16_a_server_that_has_only_umac_works_like_any_other(make_mux, make_sshd, mac):
    """Without a key of the route: 8 MiB each way at once, and new keys on the way, each with new
    nonces; the MAC is that one in both directions."""
    target = make_sshd(MACs=mac, RekeyLimit="1M", LogLevel="DEBUG1", **CTR)
    mux = make_mux(target)
    both_ways(mux, 8)
    log = target.log()
    used = [line for line in log.splitlines() if "kex: " in line and "->" in line]
    assert len(used) > 2 * 4 and all(f"MAC: {mac} " in line for line in used), used
    assert log.count("SSH2_MSG_KEXINIT sent") > 4
    mux.check_works()
    assert target.logins() == 1


@pytest.mark.parametrize("mac", [UMACS[0], UMACS[3]])
def test_A16_one_flipped_bit_under_umac_ends_the_connection(make_mux, make_sshd, cleanup, mac):
    """On the way from the server and to it; nothing of the packet arrives, and the next login
    works."""
    target = make_sshd(MACs=mac, LogLevel="DEBUG1", **CTR)
    relay = cleanup(BitFlipper(target.port))
    route = hop(target)
    route["port"] = relay.port
    known = target.known_hosts().replace(f":{target.port} ", f":{relay.port} ")
    mux = make_mux(routes=routes_toml({"t": route}), known_hosts=known)
    for way, log in (("from the server", mux.log), ("to the server", target.log)):
        cat = mux.start_ssh("t", "cat")
        cat.stdin.write(b"one\n")
        cat.stdin.flush()
        assert cat.stdout.readline() == b"one\n"
        since = len(log())
        relay.flips = way
        cat.stdin.write(b"two\n")
        cat.stdin.flush()
        assert cat.stdout.read() == b"" and cat.wait(30) != 0
        cat.stdout.close()
        cat.stdin.close()
        cat.stderr.close()
        poll(lambda: "message authentication" in log()[since:], 10, "the reason")
    mux.check_works()


def test_A16_for_a_jump_host_and_for_all_routes(make_mux, make_sshd):
    """[jump] has a key of its own; that of the top level is for every hop."""
    bastion, target = make_sshd("bastion", MACs=OLD[0], **CTR), make_sshd()
    known = bastion.known_hosts() + target.known_hosts()
    for jump, top in (({"algorithms": "+hmac-sha1"}, None), ({}, {"algorithms": "+hmac-sha1"})):
        mux = make_mux(routes=routes_toml({"t": hop(target)}, jump=hop(bastion, **jump), top=top),
                       known_hosts=known)
        mux.check_works()
        mux.stop()


def test_A16_where_it_is_not_needed_it_changes_nothing(make_mux, make_sshd):
    """Old ones are behind ours: a server that has better takes better."""
    target = make_sshd(MACs="hmac-sha2-256,hmac-sha1", LogLevel="DEBUG1", **CTR)
    mux = make_mux(target, route={"algorithms": "+hmac-sha1,hmac-sha1-etm@openssh.com"})
    mux.check_works()
    used = [line for line in target.log().splitlines() if "kex: client->server" in line]
    assert used and all("MAC: hmac-sha2-256 " in line for line in used), used


@pytest.mark.parametrize("options, pieces", [
    (dict(MACs="hmac-md5", **CTR), ["MAC", "hmac-md5", "no key of the route"]),
    ({"KexAlgorithms": "diffie-hellman-group14-sha1"},
     ["key exchange", "diffie-hellman-group14-sha1", "no key of the route"]),
    ({"Ciphers": "aes128-cbc"}, ["cipher", "aes128-cbc", "no key of the route"]),
    ({"HostKeyAlgorithms": "ssh-rsa"}, ["host key", "offers ssh-rsa", "SHA-1", "rsa-sha2-256"]),
], ids=["MAC", "kex with SHA-1", "cipher", "host key with SHA-1"])
def test_A16_what_no_key_allows_is_refused_by_name(make_mux, make_sshd, options, pieces):
    target = make_sshd(**options)
    mux = make_mux(target)
    done = mux.ssh("t", "true")
    said = done.stderr.decode()
    assert done.returncode == 255 and "no common " in said, said
    for piece in pieces:
        assert piece in said, (piece, said)
    assert target.logins() == 0


def test_A16_a_short_rsa_host_key_is_refused_by_name(make_mux, make_sshd, tmp_path):
    key = tmp_path / "short_rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", key], check=True)
    target = make_sshd(host_keys=[key], RequiredRSASize=1024)
    mux = make_mux(target)
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"RSA key shorter than 2048 bits" in done.stderr, done


class BitFlipper(Pump):
    """Between us and the server: of the next bytes one way, one bit is turned over, once."""

    flips = None

    def edited(self, data, to_server):
        if self.flips != ("to the server" if to_server else "from the server"):
            return data
        self.flips = None
        # Behind the 4 bytes of the length, and the 16 that are read with them.
        return data[:20] + bytes([data[20] ^ 1]) + data[21:]


class Talker:
    """A server that says what no sshd can be made to say, and lets everybody in."""

    def __init__(self, host_key, ident=b"SSH-2.0-OpenSSH_9.2-raw", before=b"", banner=None):
        self.host_key, self.ident, self.before, self.banner = host_key, ident, before, banner
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        peer = rawpeer.Peer(sock, True, rawpeer.load_key(self.host_key))
        peer.ours = self.ident
        try:
            sock.sendall(self.before)
            peer.handshake()
            peer.expect(5)
            peer.send(msg(6, "ssh-userauth"))
            peer.expect(50)
            if self.banner is not None:
                peer.send(msg(53, self.banner, ""))
            peer.send(b"\x34")
            while True:
                payload = peer.receive()
                read = Reader(payload)
                if payload[0] == 90:
                    read.string()
                    number = read.u32()
                    peer.send(msg(91, number, number, 1 << 20, 1 << 15))
                elif payload[0] == 98:
                    number = read.u32()
                    peer.send(msg(99, number), msg(94, number, b"still here\n"),
                              msg(98, number, "exit-status", False, 0), msg(96, number),
                              msg(97, number))
        except (rawpeer.Gone, OSError):
            pass
        finally:
            peer.close()

    def stop(self):
        self.listener.close()


def talk(keys, cleanup, make_mux, **says):
    key = keys.make("talker")
    server = cleanup(Talker(key, **says))
    blob = " ".join(keys.public(key).split()[:2])
    return make_mux(routes=routes_toml({"t": dict(host="127.0.0.1", port=server.port, user="u")}),
                    known_hosts=f"[127.0.0.1]:{server.port} {blob}\n")


LONG = b"SSH-2.0-" + b"x" * (8190 - 8)  # 8192 with CR LF


@pytest.mark.parametrize("says", [
    {"ident": LONG},
    {"before": b"".join(b"line %d of a notice that nobody reads\r\n" % i for i in range(700))},
    {"before": (b"y" * 8000 + b"\r\n") * 100},
    {"banner": "z" * 18000 + "\n"},
    {"banner": ("a line of the banner" * 10 + "\r\n") * 500},
], ids=["identification", "27 KB before it", "long lines before it", "18 KB banner",
        "100 KB banner"])
def test_A16_what_openssh_takes_is_taken(keys, cleanup, make_mux, says):
    mux = talk(keys, cleanup, make_mux, **says)
    mux.check_works()


@pytest.mark.parametrize("says, said", [
    ({"ident": LONG + b"x"}, b"8192 bytes"),
    ({"before": b"y\r\n" * 1024}, b"1024 lines"),
    ({"before": b"y" * 9000}, b"8192 bytes"),
], ids=["identification", "lines", "line"])
def test_A16_what_is_more_is_refused_with_the_reason(keys, cleanup, make_mux, says, said):
    mux = talk(keys, cleanup, make_mux, **says)
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and said in done.stderr, done


@pytest.mark.parametrize("value, said", [
    ("hmac-sha1", 'must be "+" and names'),
    ("+hmac-md5", '"hmac-md5" can\'t be added; what can be: hmac-sha1-etm@openssh.com,hmac-sha1'),
    ("+hmac-sha1,sntrup761x25519-sha512", "is always offered"),
    # With OpenSSL 3.5 always, before it never.
    ("+mlkem768x25519-sha256", '"mlkem768x25519-sha256"'),
    ("+umac-64@openssh.com", "is always offered"),
    ("+hmac-sha2-256", "is always offered"),
    ("+", "names no algorithm"),
])
def test_A16_R3_a_wrong_value_gets_one_clear_error(make_mux, make_sshd, value, said):
    target = make_sshd()
    mux = make_mux(routes=routes_toml({"t": hop(target, algorithms=value)}), start=False)
    done = subprocess.run([mux.binary, "check-config", "--config", mux.routes_path],
                          env=mux.environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and said in done.stdout + done.stderr, done
    assert 'key "algorithms"' in done.stdout + done.stderr
