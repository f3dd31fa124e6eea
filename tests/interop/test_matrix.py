# SPDX-License-Identifier: MIT
"""Each cipher, MAC, key exchange and key type at least once, as client and as server, against
OpenSSH (B9). One daemon; what differs is what its peers allow."""
import asyncio
import pathlib
import re
import socket
import subprocess
import threading

import asyncssh
import pytest

from peers import hop, routes_toml, short_dir

CIPHERS = [
    "chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
    "aes128-ctr", "aes192-ctr", "aes256-ctr",
]  # fmt: skip
MACS = [
    "hmac-sha2-256", "hmac-sha2-512", "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com", "umac-64@openssh.com", "umac-128@openssh.com",
    "umac-64-etm@openssh.com", "umac-128-etm@openssh.com",
]  # fmt: skip
KEX = [
    "curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512", "diffie-hellman-group18-sha512",
    "diffie-hellman-group-exchange-sha256",
]  # fmt: skip
PQ_KEX = "mlkem768x25519-sha256"
# Offered to servers only. Its second name is that of OpenSSH before 9.9.
SNTRUP = "sntrup761x25519-sha512@openssh.com"
DATA = bytes(range(256)) * 4000


def supported(what):
    text = subprocess.run(["ssh", "-Q", what], capture_output=True, text=True).stdout
    return text.split()


def algorithms_said(stderr):
    """What `ssh -v` says it agreed on, as one text."""
    return "\n".join(l for l in stderr.decode().splitlines() if "kex:" in l)


def as_server(mux, *options):
    """Our server's side: the client allows one algorithm only."""
    done = mux.ssh("d", "cat", options=["-v", *options], input=DATA)
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stdout == DATA
    return algorithms_said(done.stderr)


@pytest.mark.core
@pytest.mark.parametrize("cipher", CIPHERS)
def test_B9_server_cipher(mux, cipher):
    said = as_server(mux, "-c", cipher)
    assert said.count(f"cipher: {cipher}") == 2


@pytest.mark.parametrize("mac", MACS)
def test_B9_server_mac(mux, mac):
    said = as_server(mux, "-c", "aes128-ctr", "-m", mac)
    assert said.count(f"MAC: {mac}") == 2


@pytest.mark.core
@pytest.mark.parametrize("kex", KEX)
def test_B9_server_kex(mux, kex):
    said = as_server(mux, "-o", f"KexAlgorithms={kex}")
    assert f"kex: algorithm: {kex}" in said


def offered(mux):
    """What our server offers: kind -> names, as `ssh -vv` shows it."""
    said = mux.ssh("d", "true", options=["-vv"]).stderr.decode()
    server = said.split("peer server KEXINIT proposal")[1]
    found = re.findall(r"debug2: ([\w ]+): (\S+)\r?$", server, re.M)
    return {kind: names.split(",") for kind, names in reversed(found)}  # the first of a kind


def test_B9_server_offers_the_short_list_only(mux):
    """Each name in it, so that no client has to know the weak ones."""
    lists = offered(mux)
    for way in ("ctos", "stoc"):
        assert sorted(lists[f"ciphers {way}"]) == sorted(CIPHERS)
        assert sorted(lists[f"MACs {way}"]) == sorted(MACS)
        assert lists[f"compression {way}"] == ["none"]
    assert lists["host key algorithms"] == ["ssh-ed25519"]
    assert {*lists["KEX algorithms"]} - {PQ_KEX} == {*KEX, "kex-strict-s-v00@openssh.com"}


def test_B9_server_offers_nothing_weak(mux):
    """Whatever is not in the short modern list cannot be agreed on, of what this ssh knows."""
    for option, known in (
        ("Ciphers", ["aes128-cbc", "3des-cbc", "aes256-cbc"]),
        ("KexAlgorithms", ["diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1",
                           "diffie-hellman-group-exchange-sha1"]),
        ("HostKeyAlgorithms", ["ssh-rsa", "ssh-dss"]),
    ):  # fmt: skip
        for name in sorted({*known} & {*supported(option)}):
            done = mux.ssh("d", "true", options=["-o", f"{option}={name}"])
            assert done.returncode == 255 and b"no matching" in done.stderr, (name, done.stderr)
    done = mux.ssh("d", "true", options=["-c", "aes128-ctr", "-m", "hmac-md5,hmac-sha1"])
    assert done.returncode == 255 and b"no matching MAC" in done.stderr


def test_B9_no_compression(mux):
    said = as_server(mux, "-C")
    assert said.count("compression: none") == 2


@pytest.mark.core
def test_B9_strict_kex_and_ext_info(mux):
    done = mux.ssh("d", "true", options=["-vvv"])
    assert b"will use strict KEX ordering" in done.stderr
    assert b"server-sig-algs=" in done.stderr


def client_side(make_mux, make_sshd, keys=None, **options):
    """Our client's side: a server that allows one algorithm only."""
    target = make_sshd("only", LogLevel="DEBUG1", **options)
    mux = make_mux(target, **(keys or {}))
    done = mux.ssh("t", "cat", input=DATA)
    assert done.returncode == 0, (done.stderr, mux.log()[-2000:])
    assert done.stdout == DATA
    return target.log()


@pytest.mark.core
@pytest.mark.parametrize("cipher", CIPHERS)
def test_B9_client_cipher(make_mux, make_sshd, cipher):
    assert f"cipher: {cipher}" in client_side(make_mux, make_sshd, Ciphers=cipher)


@pytest.mark.parametrize("mac", MACS)
def test_B9_client_mac(make_mux, make_sshd, mac):
    log = client_side(make_mux, make_sshd, Ciphers="aes256-ctr", MACs=mac)
    assert f"MAC: {mac}" in log


@pytest.mark.core
@pytest.mark.parametrize("kex", [*KEX, SNTRUP])
def test_B9_client_kex(make_mux, make_sshd, kex):
    log = client_side(make_mux, make_sshd, KexAlgorithms=kex)
    assert f"kex: algorithm: {kex}" in log


@pytest.mark.core
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "ecdsa384", "ecdsa521", "rsa"])
def test_B9_client_host_key_and_user_key(make_mux, make_sshd, keys, kind):
    args = {"ecdsa384": ["-b", "384"], "ecdsa521": ["-b", "521"]}.get(kind, [])
    plain = "ecdsa" if kind.startswith("ecdsa") else kind
    host = keys.make(f"only_host_{kind}", plain, *args)
    user = keys.make(f"only_user_{kind}", plain, *args)
    target = make_sshd("only", host_keys=[host], accept=[user])
    mux = make_mux(routes=routes_toml({"t": hop(target, identity=str(user))}),
                   known_hosts=target.known_hosts(), identity=False)
    done = mux.ssh("t", "echo in")
    assert done.stdout == b"in\n", (done, mux.log()[-2000:])


@pytest.mark.parametrize("algorithm", ["rsa-sha2-256", "rsa-sha2-512"])
def test_A1_rsa_sha2_only(make_mux, make_sshd, keys, algorithm):
    user = keys.make("only_user_rsa", "rsa")
    target = make_sshd("only", host_keys=[keys.make("only_host_rsa", "rsa")], accept=[user],
                       HostKeyAlgorithms=algorithm, LogLevel="DEBUG1")
    mux = make_mux(routes=routes_toml({"t": hop(target, identity=str(user))}),
                   known_hosts=target.known_hosts(), identity=False)
    mux.check_works()
    assert f"kex: host key algorithm: {algorithm}" in target.log()
    assert "signature algorithm ssh-rsa" not in target.log()


class OneAlgorithm:
    """A server (AsyncSSH) that takes signatures of one algorithm, and says so (RFC 8308)."""

    def __init__(self, host_key, user, algorithm):
        self.host_key = host_key
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        start = self.begin(server_host_keys=[str(host_key)], signature_algs=[algorithm],
                           authorized_client_keys=f"{user}.pub", process_factory=self.run)
        self.server = asyncio.run_coroutine_threadsafe(start, self.loop).result(20)
        self.port = self.server.sockets[0].getsockname()[1]

    @staticmethod
    async def begin(**options):
        return await asyncssh.create_server(asyncssh.SSHServer, "127.0.0.1", 0, **options)

    @staticmethod
    def run(process):
        process.stdout.write("in\n")
        process.exit(0)

    def known_hosts(self):
        words = pathlib.Path(f"{self.host_key}.pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {' '.join(words)}\n"

    def stop(self):
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)


class AgentTap:
    """A socket before that of a real agent, which keeps what the agent is asked."""

    def __init__(self, agent):
        self.agent, self.dir, self.asked = agent, short_dir("tap"), []
        self.sock = self.dir / "a"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.sock))
        self.listener.listen()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client, client.makefile("rb") as asks, socket.socket(socket.AF_UNIX) as real:
                real.connect(str(self.agent.sock))
                answers = real.makefile("rb")
                while head := asks.read(4):
                    self.asked.append(asks.read(int.from_bytes(head, "big")))
                    real.sendall(head + self.asked[-1])
                    head = answers.read(4)
                    client.sendall(head + answers.read(int.from_bytes(head, "big")))

    def flags(self):
        """Of each signature that was asked for: the last field (SSH_AGENTC_SIGN_REQUEST)."""
        return [int.from_bytes(m[-4:], "big") for m in self.asked if m[0] == 13]

    def stop(self):
        self.listener.close()


@pytest.mark.parametrize("algorithm", ["rsa-sha2-256", "rsa-sha2-512"])
@pytest.mark.parametrize("of_agent", [False, True])
def test_A1_rsa_as_the_server_takes_it(make_mux, make_agent, cleanup, keys, algorithm, of_agent):
    """Of the two the one that the server names, in the first request already; also of an agent,
    which signs as it is told."""
    user = keys.make("only_user_rsa", "rsa")
    server = cleanup(OneAlgorithm(keys.make("host_of_one_algorithm"), user, algorithm))
    route = hop(server) if of_agent else hop(server, identity=str(user))
    agent = cleanup(AgentTap(make_agent(user))) if of_agent else None
    mux = make_mux(routes=routes_toml({"t": route}), known_hosts=server.known_hosts(),
                   identity=False, agent=agent)
    done = mux.ssh("t", "echo in")
    assert done.stdout == b"in\n", (done, mux.log()[-2000:])
    if of_agent:
        # The flags of the agent protocol: this server would look at the name only.
        assert agent.flags() == [{"rsa-sha2-256": 2, "rsa-sha2-512": 4}[algorithm]]


def test_A1_sha1_only_server_is_refused(make_mux, make_sshd, keys):
    user = keys.make("only_user_rsa", "rsa")
    target = make_sshd("only", host_keys=[keys.make("only_host_rsa", "rsa")], accept=[user],
                       HostKeyAlgorithms="ssh-rsa", PubkeyAcceptedAlgorithms="ssh-rsa")
    mux = make_mux(routes=routes_toml({"t": hop(target, identity=str(user))}),
                   known_hosts=target.known_hosts(), identity=False)
    assert mux.ssh("t", "true").returncode == 255
    assert target.logins() == 0


@pytest.mark.core
def test_B9_post_quantum_as_server(mux):
    if PQ_KEX not in supported("kex"):
        pytest.skip(f"this system's ssh has no {PQ_KEX}")
    assert f"kex: algorithm: {PQ_KEX}" in as_server(mux, "-o", f"KexAlgorithms={PQ_KEX}")


@pytest.mark.core
def test_B9_post_quantum_as_client(make_mux, make_sshd):
    if PQ_KEX not in supported("kex"):
        pytest.skip(f"this system's sshd has no {PQ_KEX}")
    log = client_side(make_mux, make_sshd, KexAlgorithms=PQ_KEX)
    assert f"kex: algorithm: {PQ_KEX}" in log


@pytest.mark.core
def test_B9_post_quantum_is_the_default_where_both_have_it(mux):
    if PQ_KEX not in supported("kex"):
        pytest.skip(f"this system's ssh has no {PQ_KEX}")
    assert f"kex: algorithm: {PQ_KEX}" in as_server(mux)
