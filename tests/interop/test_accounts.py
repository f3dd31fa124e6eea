# SPDX-License-Identifier: MIT
"""P1: who one is belongs to the pool's key. A server may know several accounts of one user name by
their keys (two accounts at one git host, a restricted key next to a full one).

The rows kept here: P1, A1, B10, C3, D2.
"""
import os
import pwd

import pytest

from peers import USER, hop, routes_toml
from test_connect import run as connect


class Accounts:
    """A server that tells by the key who one is, and copies of the keys in the daemon's directory."""

    def __init__(self, keys, make_sshd, name="accounts"):
        self.keys = keys
        self.sshd = make_sshd(name)
        self.lines = []

    def add(self, name):
        """The key of an account; whatever is run there, the account's name is printed."""
        key = self.keys.make(f"account_{name}")
        self.lines.append(f'command="echo account {name}" {self.keys.public(key)}')
        self.sshd.authorized.write_text("".join(self.lines))
        return str(key)


@pytest.fixture
def accounts(keys, make_sshd):
    a = Accounts(keys, make_sshd)
    a.a, a.b = a.add("a"), a.add("b")
    return a


def who(mux, route, **kwargs):
    done = mux.ssh(route, "true", **kwargs)
    return done.stdout.decode().strip() if done.returncode == 0 else done


def only(key, **more):
    return dict(identity=[key], identities_only=True, **more)


@pytest.mark.core
@pytest.mark.parametrize("order", ["work personal", "personal work"])
def test_P1_two_keys_are_two_accounts(make_mux, accounts, order):
    mux = make_mux(accounts.sshd, routes=routes_toml({
        "work": hop(accounts.sshd, **only(accounts.a)),
        "personal": hop(accounts.sshd, **only(accounts.b)),
        "same": hop(accounts.sshd, **only(accounts.a))}))
    names = {"work": "account a", "personal": "account b", "same": "account a"}
    for route in order.split() * 2 + ["same"]:
        assert who(mux, route) == names[route]
    assert accounts.sshd.logins() == 2

    # The two can be told apart, by programs and by people.
    told = {c["identity"]: c["key"] for c in mux.status()["connections"]}
    assert told == {f"{key}, only these": f"{USER}@127.0.0.1:{accounts.sshd.port}"
                    for key in (accounts.a, accounts.b)}
    text = mux.control("status").stdout
    assert f"({accounts.a}, only these)" in text and f"({accounts.b}, only these)" in text


def test_P1_the_order_of_the_keys_decides(make_mux, accounts):
    """The first key that the server takes is who one is."""
    both = [accounts.a, accounts.b]
    mux = make_mux(accounts.sshd, routes=routes_toml({
        "ab": hop(accounts.sshd, identity=both, identities_only=True),
        "ba": hop(accounts.sshd, identity=both[::-1], identities_only=True)}))
    assert (who(mux, "ab"), who(mux, "ba"), who(mux, "ab")) == ("account a", "account b",
                                                               "account a")


def test_P1_two_agents_are_two_accounts(make_mux, make_agent, accounts):
    """The same with agents, of the route or of the top level."""
    first, second = make_agent(accounts.a), make_agent(accounts.b)
    mux = make_mux(accounts.sshd, identity=False, agent=first, routes=routes_toml({
        "work": hop(accounts.sshd),
        "personal": hop(accounts.sshd, identity_agent=str(second.sock))},
        top={"identity_agent": str(first.sock)}))
    assert (who(mux, "work"), who(mux, "personal")) == ("account a", "account b")
    told = sorted(c["identity"] for c in mux.status()["connections"])
    assert told == sorted(f"default keys, agent {a.sock}" for a in (first, second))


def test_P1_the_agent_of_a_client_is_no_account(make_mux, make_agent, accounts):
    """A1, decided: the agent that `connect` passes along serves the login and is no part of its
    key. Who wants two accounts says so in the routes file."""
    first, second = make_agent(accounts.a), make_agent(accounts.b)
    mux = make_mux(accounts.sshd, identity=False, agent=first, env={"SSH_AUTH_SOCK": ""},
                   routes=routes_toml({"t": hop(accounts.sshd)}))
    for agent in (first, second):
        done = connect(mux, "t", "true", env={"SSH_AUTH_SOCK": str(agent.sock)})
        assert done.stdout == b"account a\n", done
    assert accounts.sshd.logins() == 1


def test_P1_who_one_is_at_the_jump_host(make_mux, make_sshd, accounts, keys):
    """It may let its accounts go to different places, so it counts like the target's."""
    bastion = make_sshd("bastion", accept=[accounts.a, accounts.b])
    target = make_sshd("target")
    mux = make_mux(target, bastion, routes=routes_toml({
        "ja": hop(bastion, **only(accounts.a)), "jb": hop(bastion, **only(accounts.b)),
        "by_a": hop(target, jump="ja"), "by_b": hop(target, jump="jb"),
        "by_a_too": hop(target, jump="ja")}))
    for route in ("by_a", "by_b", "by_a_too"):
        mux.check_works(route)
    assert (bastion.logins(), target.logins()) == (2, 2)


def test_P1_two_spellings_of_one_key(make_mux, make_sshd, keys, make_agent):
    """"~/" is the account's home: that is one login, not two."""
    target = make_sshd()
    home = pwd.getpwuid(os.getuid()).pw_dir
    name = f"no-such-key-{target.port}"
    mux = make_mux(target, agent=make_agent(keys.make("remote")), routes=routes_toml({
        "short": hop(target, identity=f"~/{name}"),
        "long": hop(target, identity=f"{home}/{name}")}))
    mux.check_works("short")
    mux.check_works("long")
    assert target.logins() == 1


# ---- user@host ----------------------------------------------------------------------------------


def test_D2_P1_another_user_is_not_the_routes(make_mux, make_sshd):
    """`connect nobody@host` doesn't ride on the login that a route has there."""
    target = make_sshd()
    mux = make_mux(target)
    place = f"127.0.0.1:{target.port}"
    assert connect(mux, "t", "echo in").stdout == b"in\n"
    done = connect(mux, f"nobody@{place}", "echo in")
    assert done.returncode == 255 and done.stdout == b"", done
    # Told by the server itself, which was asked for that user.
    target.wait_log("nobody")
    assert connect(mux, f"{USER}@{place}", "echo in").stdout == b"in\n"
    assert target.logins(USER) == 1


def test_D2_P1_a_target_of_two_accounts_has_to_be_named(make_mux, accounts):
    """Whose login `connect user@host` would take is not ours to guess."""
    target = accounts.sshd
    mux = make_mux(target, routes=routes_toml({
        "work": hop(target, **only(accounts.a)), "work2": hop(target, **only(accounts.a)),
        "personal": hop(target, **only(accounts.b))}))
    assert who(mux, "personal") == "account b"
    name = f"{USER}@127.0.0.1:{target.port}"
    done = connect(mux, name, "true")
    assert done.returncode != 0 and done.stdout == b"", done
    assert b'"work" and "personal"' in done.stderr and b"ssh-mux connect work" in done.stderr, done
    assert target.logins() == 1

    # Two names of the same account are no question.
    mux.put("ssh-mux-routes.toml", routes_toml({
        "work": hop(target, **only(accounts.a)), "work2": hop(target, **only(accounts.a))}))
    mux.wait_log("routes re-read")
    assert connect(mux, name, "true").stdout == b"account a\n"


# ---- what is said of it -------------------------------------------------------------------------


def test_P1_check_config_names_routes_that_log_in_separately(make_mux, accounts):
    mux = make_mux(accounts.sshd, start=False, routes=routes_toml({
        "work": hop(accounts.sshd, **only(accounts.a)),
        "personal": hop(accounts.sshd, **only(accounts.b)),
        "same": hop(accounts.sshd, **only(accounts.b)),
        "elsewhere": hop(accounts.sshd, host_key_alias="other", **only(accounts.b))}))
    done = mux.control("check-config", "--config", str(mux.routes_path))
    assert done.returncode == 0, done
    notes = [line for line in done.stdout.splitlines() if "its own login" in line]
    assert [line.split(": note: ")[1].split(" lead to")[0] for line in notes] == [
        "work and personal"], done.stdout


def test_P1_C3_import_says_that_two_aliases_differ_by_key_alone(make_mux, accounts, tmp_path):
    """And the routes that it makes are two accounts, as the aliases are with ssh."""
    source = tmp_path / "config"
    source.write_text("".join(
        f"Host {name}\n  HostName 127.0.0.1\n  Port {accounts.sshd.port}\n  User {USER}\n"
        f"  IdentityFile {key}\n  IdentitiesOnly yes\n"
        for name, key in (("work", accounts.a), ("personal", accounts.b), ("again", accounts.a))))
    mux = make_mux(accounts.sshd, start=False, routes="")
    done = mux.control("import-config", "--from", str(source))
    assert done.returncode == 0, done
    said = [line for line in done.stderr.splitlines() if "its own login" in line]
    assert [line.split(" lead to")[0] for line in said] == ["again and personal"], done.stderr
    mux.put("ssh-mux-routes.toml", done.stdout)
    mux.start()
    assert [who(mux, name) for name in ("work", "personal", "again")] == [
        "account a", "account b", "account a"]
    assert accounts.sshd.logins() == 2
