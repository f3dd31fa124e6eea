# SPDX-License-Identifier: MIT
"""Which key a name in the routes file is: public keys of an agent's, certificates (A8, A9)."""
import os
import re
import shutil
import subprocess

import pytest

from peers import USER, hop, routes_toml

TRIES = 3  # of a server that hangs up at the fourth key


@pytest.fixture
def crowd(make_agent, tmp_path):
    """An agent with eight keys, of which the server takes the last: (agent, that key)."""
    made = []
    for i in range(8):
        made.append(tmp_path / f"k{i}")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made[-1])], check=True)
    return make_agent(*made), made[-1]


def strict(make_sshd, *keys, **more):
    """A server that lets nobody try many keys."""
    return make_sshd(accept=list(keys), MaxAuthTries=TRIES, LogLevel="DEBUG1", **more)


def offered(target):
    return len(re.findall(r"(?:Failed|Accepted) publickey", target.log()))


def plain(target, *options):
    """What plain ssh gets with the same files."""
    return subprocess.run(
        ["ssh", "-F", "none", "-p", str(target.port), "-o", "StrictHostKeyChecking no", "-o",
         "UserKnownHostsFile /dev/null", "-o", "BatchMode yes", *options, "127.0.0.1", "echo in"],
        capture_output=True, timeout=60, stdin=subprocess.DEVNULL)  # fmt: skip


@pytest.mark.parametrize("only", [True, False])
@pytest.mark.parametrize("named", ["server.pub", "server"])
def test_A8_a_public_key_picks_that_of_the_agent(make_mux, make_sshd, crowd, keys, tmp_path, named, only):
    """Named by itself, or by the private key that is not there: offered first, and alone if only those
    that are named may be."""
    agent, key = crowd
    target = strict(make_sshd, key)
    shutil.copy(f"{key}.pub", tmp_path / "server.pub")
    name = str(tmp_path / named)
    options = ["-o", f"IdentityFile {name}", "-o", f"IdentityAgent {agent.sock}", "-o", f"IdentitiesOnly {'yes' if only else 'no'}"]
    assert plain(target, *options).stdout == b"in\n"
    before = offered(target)
    mux = make_mux(target, identity=False, agent=agent, route={"identity": name, "identities_only": only})
    mux.check_works()
    assert offered(target) == before + 1, target.log()
    checked = mux.control("check-config", "--config", str(mux.routes_path))
    assert "identity" not in checked.stdout, checked.stdout


def test_A1_named_keys_of_the_agent_come_before_those_of_files(make_mux, make_sshd, crowd, keys, tmp_path):
    """A file that the route names first is tried when the agent's named key was: nobody opens files
    for nothing, and each key that is offered in vain is one of the few tries."""
    agent, key = crowd
    target = strict(make_sshd, key)
    other = keys.make("of_no_use")
    mux = make_mux(target, identity=False, agent=agent,
                   route={"identity": [str(other), f"{key}.pub"], "identities_only": True})
    mux.check_works()
    assert offered(target) == 1, target.log()


def test_A8_without_the_agents_key_the_remedy_is_said(make_mux, make_sshd, crowd, keys, tmp_path):
    """No other key of the agent's is offered, and the text says what is missing."""
    agent, key = crowd
    target = strict(make_sshd, key)
    name = f"{keys.make('absent')}.pub"
    mux = make_mux(target, identity=False, agent=agent, route={"identity": name, "identities_only": True})
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"0 keys offered" in done.stderr, done
    assert b"absent.pub is a public key" in done.stderr and b"ssh-add -L" in done.stderr, done
    assert offered(target) == 0


def test_A8_a_private_key_that_others_can_read_is_no_public_one(make_mux, make_sshd, crowd, tmp_path):
    """The .pub beside it does not stand in for it: what is wrong is said."""
    agent, key = crowd
    target = strict(make_sshd, key)
    os.chmod(key, 0o644)
    mux = make_mux(target, identity=False, agent=agent, route={"identity": str(key), "identities_only": True})
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"chmod" in done.stderr or b"read" in done.stderr, done
    assert offered(target) == 0


@pytest.fixture
def certified(make_sshd, keys, tmp_path):
    """A server that takes certificates only, a key, and its certificate of another name."""
    ca, key = keys.make("user_ca"), tmp_path / "certified"

    def make(kind="ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(key)], check=True)
        subprocess.run(["ssh-keygen", "-q", "-s", str(ca), "-I", "me", "-n", USER, f"{key}.pub"], check=True)
        return strict(make_sshd, keys.make("stranger"), TrustedUserCAKeys=f"{ca}.pub"), key

    return make


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_A9_the_certificate_beside_a_key_file(make_mux, certified, kind):
    """Offered before the key, as plain ssh does."""
    target, key = certified(kind)
    assert plain(target, "-i", str(key), "-o", "IdentityAgent none", "-o", "IdentitiesOnly yes").stdout == b"in\n"
    before = offered(target)
    mux = make_mux(target, identity=False, route={"identity": str(key), "identities_only": True})
    mux.check_works()
    assert offered(target) == before + 1, target.log()
    assert f"{kind.upper()}-CERT" in target.log()


@pytest.mark.parametrize("where", ["file", "agent", "agent by a public key"])
def test_A9_a_certificate_that_the_route_names(make_mux, certified, make_agent, tmp_path, where):
    """Its key is in a file or in an agent, which signs for it without having the certificate."""
    target, key = certified()
    cert = tmp_path / "elsewhere.pub"
    os.rename(f"{key}-cert.pub", cert)
    route = {"certificate": str(cert), "identity": str(key), "identities_only": True}
    agent = None
    if where != "file":
        agent = make_agent(key)
        os.remove(key)
        os.remove(f"{key}.pub") if where == "agent" else None
        del route["identity"]
        if where != "agent":
            route["identity"] = f"{key}.pub"
    mux = make_mux(target, identity=False, agent=agent, route=route)
    mux.check_works()
    assert offered(target) == 1 and "ED25519-CERT" in target.log(), target.log()


def test_A9_certificates_of_the_agent_for_keys_that_are_named(make_mux, certified, crowd, make_agent):
    """With identities_only those of the named keys are offered too, and of no others."""
    target, key = certified()
    agent = make_agent(key)  # ssh-add takes the certificate beside it along
    os.remove(f"{key}-cert.pub")
    other, _ = crowd
    for number, held in enumerate((agent, other)):
        mux = make_mux(target, identity=False, agent=held,
                       route={"identity": f"{key}.pub", "identities_only": True})
        if number == 0:
            mux.check_works()
            assert offered(target) == 1 and "ED25519-CERT" in target.log()
        else:
            assert mux.ssh("t", "true").returncode == 255
            assert offered(target) == 1


def test_A9_an_encrypted_key_with_a_certificate(make_mux, certified, tmp_path):
    """Nobody is there to be asked: the text says so. (Asked at a terminal: test_prompts.py.)"""
    target, key = certified()
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "a passphrase", "-P", "", "-f", str(key)], check=True)
    mux = make_mux(target, identity=False, route={"identity": str(key), "unattended": True})
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"is encrypted" in done.stderr, done


def test_A9_what_is_no_certificate_is_said(make_mux, make_sshd, keys, tmp_path):
    """A file that the route names and that is none: the login goes on with the key."""
    target = make_sshd()
    absent = tmp_path / "absent-cert.pub"
    mux = make_mux(target, route={"certificate": [f"{keys.make('remote')}.pub", str(absent)]})
    mux.check_works()
    checked = mux.control("check-config", "--config", str(mux.routes_path)).stdout
    assert "no certificate of a user's key" in checked and str(absent) in checked, checked
    stranger = make_sshd(accept=[keys.make("stranger")])
    mux = make_mux(stranger, route={"certificate": str(absent)})
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"absent-cert.pub" in done.stderr, done


def test_P1_another_certificate_is_somebody_else(make_mux, make_sshd, keys, tmp_path):
    """Two routes that differ in the certificate alone have a login each."""
    target = make_sshd()
    mux = make_mux(routes=routes_toml({"a": hop(target), "b": hop(target, certificate="~/none-cert.pub")}),
                   known_hosts=target.known_hosts())  # fmt: skip
    mux.check_works("a")
    mux.check_works("b")
    assert target.logins() == 2


# ---- A11: keys for certain servers only ----


class Bound:
    """An agent whose keys are for certain servers, and what plain ssh gets from it."""

    def __init__(self, agent, keys, *servers):
        self.agent, self.keys = agent, keys
        self.known = agent.dir / "known_hosts"
        self.known.write_text("".join(s.known_hosts() for s in servers))

    def add(self, name, *hops):
        key = self.keys.make(name)
        path = [part for h in hops for part in ("-h", h)]
        self.agent.call("ssh-add", "-q", "-H", str(self.known), *path, str(key), check=True)
        return key

    def plain(self, target):
        return plain(target, "-o", f"IdentityAgent {self.agent.sock}", "-i", "/nonexistent").stdout == b"in\n"


@pytest.fixture
def own_host(make_sshd, keys):
    """A server with a host key of its own, by which an agent knows it."""
    made = []

    def make(*accept, **more):
        made.append(f"host_of_{len(made)}")
        return make_sshd(host_keys=[keys.make(made[-1])], accept=list(accept) or None, **more)

    return make


def at(server, user=USER):
    return f"{user}@[127.0.0.1]:{server.port}"


def test_A11_a_key_for_certain_servers(make_mux, own_host, make_agent, keys):
    """ssh-add -h: used where it is allowed, and nowhere else, as by plain ssh."""
    allowed, other = own_host(keys.make("bound")), own_host(keys.make("bound"))
    bound = Bound(make_agent(), keys, allowed, other)
    bound.add("bound", at(allowed))
    assert bound.plain(allowed) and not bound.plain(other)
    mux = make_mux(routes=routes_toml({"a": hop(allowed), "o": hop(other)}), identity=False,
                   known_hosts=bound.known.read_text(), agent=bound.agent)  # fmt: skip
    for _ in range(2):  # the second login begins with the key
        mux.check_works("a")
        mux.control("stop")
        mux.start()
    mux.check_works("a")
    done = mux.ssh("o", "true")
    assert done.returncode == 255 and b"the agent did not sign" in done.stderr, done
    assert other.logins() == 0


def test_A11_keys_for_other_servers_cost_no_try(make_mux, own_host, make_agent, keys):
    """Eight keys for others: the server that hangs up at the fourth sees the one that is for it."""
    other, target = own_host(), own_host(keys.make("mine"), MaxAuthTries=TRIES, LogLevel="DEBUG1")
    third = own_host(keys.make("mine"))
    bound = Bound(make_agent(), keys, target, other)
    for i in range(8):
        bound.add(f"theirs{i}", at(other))
    bound.add("mine", at(target))
    assert bound.plain(target)
    before = offered(target)
    mux = make_mux(routes=routes_toml({"t": hop(target), "none": hop(third)}), identity=False,
                   known_hosts=bound.known.read_text() + third.known_hosts(), agent=bound.agent)  # fmt: skip
    mux.check_works()
    assert offered(target) == before + 1, target.log()
    done = mux.ssh("none", "true")
    assert done.returncode == 255 and b"0 keys offered" in done.stderr, done
    assert b"9 keys of the agent may not be used for this server" in done.stderr, done


def test_A11_behind_a_jump_host(make_mux, own_host, make_agent, keys):
    """Each hop is told of to the agent by itself, as ssh -J does."""
    bastion, target = own_host(keys.make("for_b")), own_host(keys.make("for_t"))
    bound = Bound(make_agent(), keys, bastion, target)
    bound.add("for_b", at(bastion))
    bound.add("for_t", at(target))
    jump = (f"ProxyCommand ssh -F none -o IdentityAgent={bound.agent.sock} -o StrictHostKeyChecking=no "
            f"-o UserKnownHostsFile=/dev/null -i /nonexistent -p {bastion.port} -W %h:%p 127.0.0.1")  # fmt: skip
    done = plain(target, "-o", f"IdentityAgent {bound.agent.sock}", "-i", "/nonexistent", "-o", jump)
    assert done.stdout == b"in\n", done
    mux = make_mux(target, bastion, identity=False, agent=bound.agent)
    mux.check_works()


def test_A11_the_request_is_bound_to_the_server(make_mux, make_sshd, make_agent, keys):
    """publickey-hostbound-v00@openssh.com where the server has it: OpenSSH's from 8.9 on says so in
    its log."""
    target = make_sshd(accept=[keys.make("bound")], LogLevel="DEBUG3")
    agent = make_agent(keys.make("stranger"), keys.make("bound"))
    mux = make_mux(target, identity=False, agent=agent)
    mux.check_works()
    log = target.log()
    assert "publickey-hostbound-v00@openssh.com" in log, log[-3000:]
    assert "method publickey-hostbound-v00@openssh.com" in log, log[-3000:]
