# SPDX-License-Identifier: MIT
"""Unknown host keys and a person: asked where he is (K2), written down before anything else (K4)."""
import os
import subprocess

import pytest

from peers import ROOT, hop, routes_toml
from serve_terminal import Terminal
from test_proxy import proxied


class Asked(Terminal):
    """A terminal whose questions end in "? " or ": "; answers are given one after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)
        super().__init__(self.next)

    def next(self, question):
        return self.answers.pop(0) + "\r" if self.answers else "no\r"


def ask(mux, terminal, *args, route="t"):
    client = subprocess.Popen(mux.argv(route, *args, options=proxied(mux, route)), env=mux.env,
                              stdin=terminal.slave, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, start_new_session=True,
                              preexec_fn=terminal.controlling)
    out, err = client.communicate(timeout=60)
    return client.returncode, out, err


def known(mux):
    return mux.known_hosts_path.read_text() if mux.known_hosts_path.exists() else ""


def fingerprint(sshd):
    line = sshd.known_hosts().splitlines()[0]
    done = subprocess.run(["ssh-keygen", "-lf", "-"], input=line, capture_output=True, text=True,
                          check=True)
    return done.stdout.split()[1]


@pytest.fixture
def sshd(make_sshd, keys):
    return make_sshd(host_keys=[keys.make("host_only")])


@pytest.fixture
def mux(make_mux, sshd):
    return make_mux(target=sshd, known_hosts="")


def test_K2_yes_is_asked_once_and_pinned(mux, sshd):
    terminal = Asked("yes")
    assert ask(mux, terminal, "echo in")[1] == b"in\n"
    assert b"authenticity" in terminal.seen and fingerprint(sshd).encode() in terminal.seen
    assert known(mux).split()[1:3] == sshd.known_hosts().split()[1:3]
    assert known(mux).startswith(f"[127.0.0.1]:{sshd.port} ")
    mux.control("stop")
    mux.start()
    mux.check_works()  # nobody is asked any more


def test_K2_no_refuses_and_writes_nothing(mux):
    code, _, err = ask(mux, Asked("no"), "true")
    assert code == 255 and b"not accepted" in err
    assert known(mux) == ""


def test_K2_the_fingerprint_is_a_yes(mux, sshd):
    assert ask(mux, Asked(fingerprint(sshd)), "echo in")[1] == b"in\n"
    assert known(mux)


def test_K2_another_fingerprint_is_no_yes(mux, sshd):
    wrong = "SHA256:" + "A" * 43
    code, _, _ = ask(mux, Asked(wrong, "no"), "true")
    assert code == 255 and known(mux) == ""


def test_K2_enter_alone_is_no_yes(mux, sshd):
    """The default of "(yes/no/[fingerprint])?" is not yes."""
    terminal = Asked("", "no")
    code, _, err = ask(mux, terminal, "true")
    assert terminal.typed >= 1
    assert code == 255 and b"not accepted" in err, err
    assert known(mux) == "" and sshd.logins() == 0


def test_K2_picture_on_request(mux, sshd):
    terminal = Asked("art", "yes")
    assert ask(mux, terminal, "echo in")[1] == b"in\n"
    line = sshd.known_hosts().splitlines()[0]
    art = subprocess.run(["ssh-keygen", "-lvf", "-"], input=line, capture_output=True, text=True,
                         check=True).stdout.splitlines()[1:]
    shown = terminal.seen.decode().replace("\r\n", "\n")
    assert "\n".join(art) in shown


def test_K4_hashed_where_the_file_is(make_mux, make_sshd, sshd, tmp_path):
    other = make_sshd()
    file = tmp_path / "hashed"
    file.write_text(other.known_hosts())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    mux = make_mux(target=sshd, known_hosts=file.read_text())
    assert ask(mux, Asked("yes"), "echo in")[1] == b"in\n"
    assert all(line.startswith("|1|") for line in known(mux).splitlines())
    done = subprocess.run(["ssh-keygen", "-F", f"[127.0.0.1]:{sshd.port}", "-f",
                           mux.known_hosts_path], capture_output=True)
    assert done.returncode == 0


def test_K4_what_cannot_be_pinned_is_refused(mux, tmp_path):
    """known_hosts is a symlink: nothing is written through it, and the key counts for nothing."""
    mux.known_hosts_path.unlink()
    elsewhere = tmp_path / "elsewhere"
    mux.known_hosts_path.symlink_to(elsewhere)
    code, _, err = ask(mux, Asked("yes"), "true")
    assert code == 255 and not elsewhere.exists()


def test_K4_read_only_directory_is_refused(mux):
    if ROOT:  # who may write anyway, but for what is immutable
        lock, unlock = ["chattr", "+i", mux.ssh_dir], ["chattr", "-i", mux.ssh_dir]
    else:
        lock, unlock = ["chmod", "500", mux.ssh_dir], ["chmod", "700", mux.ssh_dir]
    if subprocess.run(lock, capture_output=True).returncode != 0:
        pytest.skip("this file system knows no immutable directories")
    try:
        code, _, err = ask(mux, Asked("yes"), "true")
        assert code == 255 and b"written down" in err, err
    finally:
        subprocess.run(unlock, check=True)


def test_K3_changed_key_is_not_even_asked(make_mux, make_sshd, sshd, keys):
    wrong = keys.public(keys.make("otherhost")).split()
    mux = make_mux(target=sshd, known_hosts=f"[127.0.0.1]:{sshd.port} {wrong[0]} {wrong[1]}\n")
    terminal = Asked("yes")
    code, _, err = ask(mux, terminal, "true")
    assert code == 255 and terminal.typed == 0 and b"changed" in err


def test_K3_revoked_key_is_not_even_asked(make_mux, sshd):
    kind, blob = sshd.known_hosts().split()[1:3]
    mux = make_mux(target=sshd, known_hosts=f"@revoked * {kind} {blob}\n")
    terminal = Asked("yes")
    code, _, err = ask(mux, terminal, "true")
    assert code == 255 and terminal.typed == 0 and b"revoked" in err


def test_K3_known_keys_are_shown(make_mux, sshd, keys):
    path = keys.make("hostecdsa", "ecdsa")
    kind, blob = keys.public(path).split()[:2]
    mux = make_mux(target=sshd, known_hosts=f"[127.0.0.1]:{sshd.port} {kind} {blob}\n")
    terminal = Asked("no")
    code, _, _ = ask(mux, terminal, "true")
    assert code == 255
    assert b"Known for this host: ecdsa-sha2-nistp256" in terminal.seen


def test_K5_authority_is_warned_about(make_mux, sshd, keys):
    kind, blob = keys.public(keys.make("authority")).split()[:2]
    mux = make_mux(target=sshd, known_hosts=f"@cert-authority * {kind} {blob}\n")
    terminal = Asked("yes")
    assert ask(mux, terminal, "echo in")[1] == b"in\n"
    assert b"WARNING" in terminal.seen and b"certificate authority" in terminal.seen


def test_N11_each_under_its_own_name(make_mux, make_sshd, sshd, keys):
    bastion = make_sshd("bastion", host_keys=[keys.make("host_bastion_only")])
    mux = make_mux(routes=routes_toml({"t": hop(sshd)}, jump=hop(bastion)), known_hosts="")
    terminal = Asked("yes", "yes")
    assert ask(mux, terminal, "echo in")[1] == b"in\n"
    assert terminal.typed == 2
    entries = {line.split()[0]: line.split()[2] for line in known(mux).splitlines()}
    assert entries == {
        f"[127.0.0.1]:{s.port}": s.known_hosts().split()[2] for s in (bastion, sshd)
    }


def test_K2_nobody_to_ask_is_a_refusal_with_the_line(mux, sshd):
    done = mux.ssh("t", "true")
    assert done.returncode == 255
    assert b"not known" in done.stderr
    assert fingerprint(sshd).encode() in done.stderr
    assert known(mux) == ""


def test_P7_many_wait_for_one_question(mux):
    terminal = Asked("yes")
    waiting = [mux.start_ssh("t", f"echo {n}") for n in range(3)]  # cannot ask; the first may fail
    code, out, _ = ask(mux, terminal, "echo in")
    assert out == b"in\n" and terminal.typed == 1
    for client in waiting:
        client.communicate(timeout=30)
    assert os.path.getsize(mux.known_hosts_path) > 0
    assert len(known(mux).splitlines()) == 1


def test_K2_nobody_there_is_not_by_design(make_mux, make_sshd, sshd, keys):
    """Behind a jump host too: without `unattended`, a missing person is a refusal, no accept-new."""
    bastion = make_sshd("bastion", host_keys=[keys.make("host_bastion_only")])
    mux = make_mux(target=sshd, bastion=bastion, known_hosts=bastion.known_hosts())
    before = known(mux)
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"not known" in done.stderr, done
    assert bastion.logins() == 1 and sshd.logins() == 0
    assert known(mux) == before


def test_K2_accept_new_behind_a_jump_host_only(make_mux, make_sshd, sshd, keys):
    """unattended = true: by design there is nobody. Only for what is behind a jump host."""
    bastion = make_sshd("bastion", host_keys=[keys.make("host_bastion_only")])
    routes = routes_toml({"t": hop(sshd, unattended=True),
                          "d": hop(sshd, unattended=True, direct=True)}, jump=hop(bastion))
    mux = make_mux(routes=routes, known_hosts=bastion.known_hosts())
    before = known(mux)
    done = mux.ssh("d", "true")
    assert done.returncode == 255 and known(mux) == before
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert known(mux).startswith(before) and sshd.known_hosts().split()[2] in known(mux)


def test_K5_accept_new_never_where_there_is_an_authority(make_mux, make_sshd, sshd, keys):
    bastion = make_sshd("bastion", host_keys=[keys.make("host_bastion_only")])
    kind, blob = keys.public(keys.make("authority")).split()[:2]
    routes = routes_toml({"t": hop(sshd, unattended=True)}, jump=hop(bastion))
    text = bastion.known_hosts() + f"@cert-authority * {kind} {blob}\n"
    mux = make_mux(routes=routes, known_hosts=text)
    assert mux.ssh("t", "true").returncode == 255
    assert known(mux) == text


def test_K5_accept_new_behind_a_jump_host_where_nobody_is_asked(make_mux, make_sshd, sshd, keys):
    """An unattended route behind a jump host takes the first key there is, though somebody could be
    asked."""
    bastion = make_sshd("bastion", host_keys=[keys.make("host_bastion_only")])
    routes = routes_toml({"t": hop(sshd, unattended=True)}, jump=hop(bastion))
    mux = make_mux(routes=routes, known_hosts=bastion.known_hosts())
    terminal = Asked("no")
    assert ask(mux, terminal, "echo in")[1] == b"in\n"
    assert terminal.typed == 0 and sshd.known_hosts().split()[2] in known(mux)


def test_A6_unattended_is_never_asked(make_mux, sshd):
    mux = make_mux(target=sshd, known_hosts="", route={"unattended": True})
    terminal = Asked("yes")
    code, _, _ = ask(mux, terminal, "true")
    assert code == 255 and terminal.typed == 0
