# SPDX-License-Identifier: MIT
"""`ssh-mux setup-config` (C1, C2): what it tells ssh is what ssh understands, nothing of the user's
bleeds into the hop to the local server or is changed, and no moment to be killed at is a bad one."""
import fcntl
import os
import pathlib
import random
import re
import shutil
import signal
import stat
import subprocess
import time

import pytest

from peers import BINARY, SSH, USER, hop, poll, routes_toml

INCLUDE = "ssh-mux-hosts.conf"
LOCAL = "ssh-mux-local-key"
# What a careless `Host *` may say, and what would break the hop to the local server.
NASTY = """
Host t db *.corp
    HostName elsewhere.example
    Port 7
    User somebody
    HostKeyAlias elsewhere
    HostKeyAlgorithms ssh-rsa
    KexAlgorithms diffie-hellman-group14-sha256
    Ciphers aes256-ctr
    MACs hmac-sha2-512
    ProxyJump nowhere.example
    IdentityFile {dir}/other_key
    IdentitiesOnly yes
    PubkeyAcceptedAlgorithms rsa-sha2-512
    PreferredAuthentications password
    StrictHostKeyChecking no
    UserKnownHostsFile {dir}/nothing
    IgnoreUnknown UseKeychain,Whatever
    UseKeychain yes

Host *
    ProxyCommand nc nowhere.example 22
    GlobalKnownHostsFile {dir}/nothing
    NoHostAuthenticationForLocalhost yes
    KnownHostsCommand {dir}/nothing
    VerifyHostKeyDNS yes
    CheckHostIP yes
    UpdateHostKeys yes
    Compression yes
    RekeyLimit 1M 10
    AddressFamily inet6
    BindAddress 192.0.2.1
    BindInterface nonesuch0
    CanonicalizeHostname always
    ControlMaster auto
    ControlPath {dir}/cm-%h-%p
    PubkeyAuthentication no
    PasswordAuthentication yes
    KbdInteractiveAuthentication yes
    ForwardX11 yes
    ProxyUseFdpass yes
"""
# What ssh -G is to say of a route whatever comes later in the file.
WANTED = {
    "hostname": "127.0.0.1",
    "hostkeyalias": "ssh-mux",
    "hostkeyalgorithms": "ssh-ed25519",
    "stricthostkeychecking": "true",
    "ciphers": "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com",
    "macs": "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com",
    "preferredauthentications": "publickey",
    "pubkeyauthentication": "true",
    "passwordauthentication": "no",
    "kbdinteractiveauthentication": "no",
    "nohostauthenticationforlocalhost": "no",
    "verifyhostkeydns": "false",
    "checkhostip": "no",
    "updatehostkeys": "false",
    "compression": "no",
    "rekeylimit": "0 604800",
    "addressfamily": "inet",
    "bindaddress": "127.0.0.1",
    "canonicalizehostname": "false",
    "controlmaster": "false",
    "forwardx11": "no",
    "proxyusefdpass": None,  # of the form with a ProxyCommand
    "identitiesonly": "yes",
    "knownhostscommand": "none",
}


class Place:
    """A private SSH directory with routes, and what setup-config is run with."""

    def __init__(self, directory, routes=("t", "db", "app.corp"), config=None):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.config = self.dir / "config"
        self.hosts = self.dir / INCLUDE
        self.known = self.dir / "ssh-mux-known-hosts"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SSH_")}
        self.env["SSH_MUX_SSH_DIR"] = str(self.dir)
        if routes:
            table = {r: {"host": "127.0.0.1", "user": USER} for r in routes}
            self.put("ssh-mux-routes.toml", routes_toml({f'"{r}"': t for r, t in table.items()}))
        if config is not None:
            self.put("config", config)

    def put(self, name, text):
        path = self.dir / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o600)
        return path

    def run(self, *args, code=0, binary=BINARY, via="tcp", all_=True):
        if via and "--via" not in args:
            args = ("--via", via, *args)
        if "control" not in args and via and all_:
            args = ("--all", *args)
        done = subprocess.run([binary, "setup-config", *map(str, args)], env=self.env, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        assert done.returncode == code, done
        # One line each, and nothing else, for everything there is to say.
        assert all(l.startswith("ssh-mux: ") for l in done.stderr.splitlines()), done.stderr
        assert code == 0 or done.stderr.count("ssh-mux: ") - done.stderr.count("warning:") == 1
        return done

    def ask(self, alias, *options, config=None):
        """ssh -G, as a dictionary of lists."""
        done = subprocess.run([SSH, "-T", "-F", str(config or self.config), *options, "-G", alias],
                              capture_output=True, text=True, timeout=20, env=self.env,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0 and not done.stderr, done
        answer = {}
        for line in done.stdout.splitlines():
            key, _, value = line.partition(" ")
            answer.setdefault(key, []).append(value)
        return answer

    def state(self):
        """Everything about every file."""
        out = {}
        for path in sorted(self.dir.iterdir()):
            st = path.lstat()
            data = os.readlink(path) if path.is_symlink() else path.read_bytes()
            out[path.name] = (data, st.st_mtime_ns, st.st_ino, st.st_mode)
        return out


@pytest.fixture
def place(tmp_path, keys):
    p = Place(tmp_path / "ssh")
    shutil.copy(f"{keys.make('local')}.pub", p.dir / "id_local.pub")
    shutil.copy(keys.make("local"), p.dir / "id_local")
    return p


def fifo(path):
    os.mkfifo(path, 0o600)


def fifo_for_nobody(path):
    os.mkfifo(path, 0)


def link_to_a_fifo(path):
    os.mkfifo(path.with_name("pipe"), 0o600)
    path.symlink_to("pipe")


def directory(path):
    path.mkdir(mode=0o700)


def device(path):
    path.symlink_to("/dev/zero")


NO_FILES = pytest.mark.parametrize("make", [fifo, fifo_for_nobody, link_to_a_fifo, directory, device])


@pytest.fixture
def watched_ssh(tmp_path):
    """An ssh that notes what it is run with."""
    path, log = tmp_path / "bin" / "ssh", tmp_path / "ssh.log"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\necho "$*" >>{log}\nexec {shutil.which(SSH)} "$@"\n')
    path.chmod(0o755)
    log.touch()
    return path, log


@NO_FILES
@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["", "dry"])
def test_C2_a_config_that_is_no_file_is_said_at_once(place, watched_ssh, make, options):
    """ssh would read a FIFO without end; it is not run, nothing is written, and one line says why."""
    ssh, log = watched_ssh
    make(place.config)
    before = sorted(p.name for p in place.dir.iterdir())
    done = place.run("--ssh-bin", ssh, *options, code=77)
    assert f"{place.config} is not a regular file" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and not done.stdout, done
    assert not log.read_text(), "ssh was run"
    assert sorted(p.name for p in place.dir.iterdir()) == before


@NO_FILES
@pytest.mark.parametrize("command", [
    ["install", "--config"], ["setup-config", "--config"], ["check-config", "--config"],
    ["import-config", "--from"]], ids=lambda c: c[0])
def test_C3_C5_B10_what_is_named_and_no_file(place, watched_ssh, make, command):
    """So with each command that is given a file to read."""
    ssh, log = watched_ssh
    path = place.dir / "named"
    make(path)
    place.env["PATH"] = f"{ssh.parent}:{place.env['PATH']}"
    done = subprocess.run([BINARY, *command, str(path)], env=place.env, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    said = [line for line in (done.stdout + done.stderr).splitlines() if str(path) in line]
    assert done.returncode in (77, 78), done
    assert [line for line in said if "regular file" in line or "symbolic link" in line], done
    assert str(path) not in log.read_text(), "ssh was told to read it"
    assert not place.config.exists()


def knows(option):
    return subprocess.run([SSH, "-F", "none", "-T", "-G", "-o", option, "x"], timeout=20,
                          capture_output=True).returncode == 0


# ---- what ssh makes of it ------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize("via", ["tcp", "proxy"])
def test_C1_no_later_block_gets_into_the_hop(place, via):
    """C1, B5: ssh itself is asked, option by option."""
    place.put("config", NASTY.format(dir=place.dir))
    place.run("-p", "2345", "--via", via)
    for name in ("t", "db", "app.corp"):
        got = place.ask(name)
        for key, value in WANTED.items():
            if value is not None and (key != "knownhostscommand" or key in got):
                assert got[key] == [value], (name, key, got[key])
        # W1: through proxy ssh resolves what the route says, and tells what it was asked for.
        assert (got["user"], got["port"]) == (
            ([name], ["2345"]) if via == "tcp" else ([USER], ["22"]))
        assert got["userknownhostsfile"] == got["globalknownhostsfile"] == [str(place.known)]
        assert got["identityfile"][0] == str(place.dir / LOCAL)
        assert got["kexalgorithms"][0].startswith(("ecdh-sha2-nistp256,", "mlkem768x25519-"))
        assert "controlpath" not in got and "proxyjump" not in got
        if via == "tcp":
            assert "proxycommand" not in got
        else:
            assert got["proxycommand"][0].endswith(
                f"\"{os.path.realpath(BINARY)}\" proxy {name} '%r' %h %p")
            assert got["proxyusefdpass"] == ["no"]
        if knows("ObscureKeystrokeTiming=no"):
            assert got["obscurekeystroketiming"] == ["no"]
    text = place.hosts.read_text()
    assert "IgnoreUnknown" not in text and re.findall(r"^Host (.*)", text, re.M) == [
        "t", "db", "app.corp"]


@pytest.mark.core
def test_C2_nothing_changes_for_any_other_host(place):
    """C2: an IgnoreUnknown, a HostKeyAlias and a KexAlgorithms of the user's are as they were."""
    text = "IgnoreUnknown UseKeychain\nUseKeychain yes\n" + NASTY.format(dir=place.dir)
    place.put("config", text)
    others = ["other", "x.corp", "127.0.0.1", "tt"]
    before = {o: place.ask(o) for o in others}
    place.run()
    assert {o: place.ask(o) for o in others} == before
    assert place.ask("t")["hostkeyalias"] == ["ssh-mux"]
    assert place.config.read_text() == f'Include "{place.hosts}"\n' + text


CONFIGS = {
    "none": None,
    "empty": b"",
    "lf": b"Host a\n  User b\n",
    "crlf": b"Host a\r\n  User b\r\n",
    "no newline at the end": b"Host a\n  User b",
    "comments first": b"# mine\n\n\nHost *\n",
    "utf-8": "# gr\u00fc\u00dfe\nHost b\u00fccher\n".encode(),
    "latin-1": b"# gr\xfc\xdfe\n",
    "bom": b"\xef\xbb\xbf# x\nHost a\n",
    "ours in a comment": b"#Include ssh-mux-hosts.conf\n",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_C2_config_is_as_it_was_but_for_one_line(place, name):
    before = CONFIGS[name]
    if before is not None:
        place.put("config", before).chmod(0o640)
    done = place.run()
    text = place.config.read_bytes()
    end = b"\r\n" if name == "crlf" else b"\n"
    line = b'Include "%s"' % str(place.hosts).encode() + end
    bom = b"\xef\xbb\xbf" if name == "bom" else b""
    assert text == bom + line + (before or b"")[len(bom):]
    assert stat.S_IMODE(place.config.stat().st_mode) == (0o600 if before is None else 0o640)
    assert stat.S_IMODE(place.hosts.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.known.stat().st_mode) == 0o600
    assert ("byte order mark" in done.stderr) == (name == "bom")


@pytest.mark.core
@pytest.mark.parametrize("via", ["tcp", "proxy"])
def test_C2_second_run_changes_no_byte_and_no_time(place, via):
    """C2: idempotent; also after a run the other way round and back."""
    place.put("config", NASTY.format(dir=place.dir))
    place.run("--via", via)
    before = place.state()
    done = place.run("--via", via)
    assert place.state() == before
    assert "Nothing has changed" in done.stdout and "unchanged" in done.stdout
    assert place.run("--via", via, "--dry-run").stdout.count("\n") == 2
    place.run("--via", "proxy" if via == "tcp" else "tcp")
    place.run("--via", via)
    assert {k: v[0] for k, v in place.state().items()} == {k: v[0] for k, v in before.items()}


def test_C2_dry_run_shows_a_diff_and_touches_nothing(place):
    place.put("config", "Host a\n")
    before = place.state()
    done = place.run("--dry-run")
    assert place.state() == before  # no host key either (L4)
    assert f'+Include "{place.hosts}"\n Host a\n' in done.stdout
    assert "+Host t\n" in done.stdout and "ssh-mux-host-key would be made" in done.stdout
    assert "\033[" not in done.stdout
    place.run()
    before = place.state()
    done = place.run("-n", "-p", "2300")
    assert place.state() == before
    assert done.stdout.count("-    Port 2222\n+    Port 2300\n") == 3
    assert "config" not in done.stdout.replace(str(place.dir), "")


def test_C2_overlapping_names_are_listed_in_one_warning(place):
    place.put("config", "Host t\n User x\nHost *.corp !x\nHost *\nHost other\n")
    warnings = [l for l in place.run().stderr.splitlines() if "match routes too" in l]
    assert len(warnings) == 1 and "t (config:2), app.corp (config:4);" in warnings[0]
    assert "LocalForward" in warnings[0] and "db" not in warnings[0]


@pytest.mark.parametrize("text,words", [
    ("Host x\n  User y\nInclude {}\n", "below a Host or Match"),
    ("Compression yes\nInclude {}\n", "behind other options"),
    ("Include {0}\nHost x\nInclude {0}\n", "2 times"),
])
def test_C2_an_include_elsewhere_stays_and_is_said(place, text, words):
    """C2: the user has moved it; a second one would not be what he meant."""
    text = text.format(place.hosts)
    place.put("config", text)
    done = place.run()
    assert words in done.stderr and place.config.read_text() == text


@pytest.mark.parametrize("text,words", [
    ("Include {dir}/first\n{ours}", "something before the Include line"),
    ("{ours}Host x\n  Nonsense yes\n", "Bad configuration option"),
    ("Host x\n{ours}", "something before the Include line"),
])
def test_C1_that_it_has_no_effect_is_said(place, text, words):
    """C1: ssh is asked at the end, for another program's Include may have come before ours."""
    place.put("first", "Host *\n HostKeyAlias theirs\n")
    place.put("config", text.format(dir=place.dir, ours=f"Include {place.hosts}\n"))
    assert words in place.run().stderr
    place.put("config", f"Include {place.hosts}\nInclude {place.dir}/first\n")
    assert "does not come" not in place.run().stderr


def test_C1_commands_to_paste_run_nothing_else(tmp_path, keys):
    """C1, S8: the command that is told reaches ssh as it is meant, whatever is in the name of the
    directory."""
    place = Place(tmp_path / "a $(touch pasted) `touch pasted` 'b'")
    line = next(l for l in place.run().stdout.splitlines() if "ssh -F" in l)
    done = subprocess.run(
        ["/bin/sh", "-c", line.partition(": ")[2].replace("ssh -F", f"{SSH} -G -F")
         .replace("ROUTE", "t")],
        cwd=tmp_path, env=place.env, capture_output=True, text=True, timeout=20,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0 and "hostkeyalias ssh-mux" in done.stdout, (line, done)
    assert not (tmp_path / "pasted").exists()


# ---- keys ----------------------------------------------------------------------------------------


def test_L4_host_key_is_made_and_pinned(place):
    """L4, C1: with ssh-keygen as the judge."""
    place.run()
    key = place.dir / "ssh-mux-host-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    public = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True,
                            check=True).stdout.split()[:2]
    assert place.known.read_text() == " ".join(["ssh-mux", *public]) + "\n"
    assert "StrictHostKeyChecking yes" in place.hosts.read_text()
    # The server's key is a new one: it takes the old one's place, what else is there stays.
    mine = "# mine\nother " + " ".join(public) + "\n"
    place.put("ssh-mux-known-hosts", mine + place.known.read_text())
    key.unlink()
    done = place.run()
    assert "had another key" in done.stderr
    text = place.known.read_text()
    assert text.startswith(mine) and text.count("\nssh-mux ") == 1
    assert " ".join(public) not in text[len(mine):]


def test_C1_accept_new_until_the_key_could_be_put_there(place):
    """C1: somebody keeps the directory locked meanwhile; the next run is
    strict."""
    place.run()
    place.known.unlink()
    place.hosts.unlink()
    lock = os.open(place.dir, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    child = subprocess.Popen([BINARY, "setup-config", "--all", "--via", "tcp"], env=place.env, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    # Its warning is the first thing it writes.
    assert "at first sight" in child.stderr.readline()
    os.close(lock)
    assert child.communicate(timeout=60) and child.returncode == 0
    assert place.ask("t")["stricthostkeychecking"] == ["accept-new"]
    place.run()
    assert place.ask("t")["stricthostkeychecking"] == ["true"] and place.known.exists()


def test_C1_a_revoked_key_is_not_overruled(place):
    place.run()
    place.put("ssh-mux-known-hosts", "@revoked " + place.known.read_text())
    assert "revokes" in place.run(code=78).stderr


@pytest.mark.parametrize("via", ["tcp", "proxy"])
def test_W5_a_key_of_its_own_logs_in(place, keys, via):
    """W5, C1, L5: ssh offers that key and no other of itself; its public half is in the list,
    beside whoever was let in before."""
    place.run("--via", via)
    key = place.dir / LOCAL
    assert key.stat().st_mode & 0o777 == 0o600 and b"OPENSSH PRIVATE KEY" in key.read_bytes()
    assert place.ask("t")["identityfile"] == [str(key)]
    assert place.ask("t")["identitiesonly"] == ["yes"]
    public = (place.dir / f"{LOCAL}.pub").read_text()
    assert public.startswith("ssh-ed25519 ") and public.endswith(" ssh-mux local key\n")
    list_path = place.dir / "ssh-mux-authorized-keys"
    text = list_path.read_text()
    assert keys.public(keys.make("local")).strip() in text and text.endswith("\n" + public)
    # A list that is there keeps every byte; a key of ours that is no more goes.
    theirs = "# nobody\n" + keys.public(keys.make("elsewhere")).strip()
    place.put(list_path.name, theirs)
    place.run("--via", via)
    assert list_path.read_text() == theirs + "\n" + public
    state = place.state()
    place.run("--via", via)
    assert place.state() == state
    key.unlink()
    place.run("--via", via)
    renewed = (place.dir / f"{LOCAL}.pub").read_text()
    assert renewed != public and list_path.read_text() == theirs + "\n" + renewed


def test_W5_S2_a_key_that_others_may_read_is_refused(place):
    """W5, S1, S2: as the host key; one that is no key, or a link, is not used either."""
    place.run()
    key = place.dir / LOCAL
    key.chmod(0o640)
    assert str(key) in place.run(code=77).stderr
    key.chmod(0o600)
    good = key.read_bytes()
    key.write_bytes(b"rubbish\n")
    assert "the key for the local server" in place.run(code=76).stderr
    key.unlink()
    (place.dir / "real").write_bytes(good)
    (place.dir / "real").chmod(0o600)
    key.symlink_to("real")
    assert "symbolic link" in place.run(code=77).stderr


# ---- what it refuses -----------------------------------------------------------------------------


def test_C1_without_routes_it_says_how_to_make_them(tmp_path):
    place = Place(tmp_path / "ssh", routes=None)
    assert "ssh-mux import-config --write" in place.run(code=66).stderr
    assert not list(place.dir.iterdir())
    assert "there is no routes file" in place.run("--config", tmp_path / "no", code=66).stderr


@pytest.mark.parametrize("name", [
    "-oProxyCommand=x", "a b", "*", "?", "!t", "a,b", "a\\nProxyCommand x", "a\\\"b", "$(x)", "a;b",
    "a/b", "a%h", "\\u202e", "", "a#b", "'a'", "a\\tb", "[x]", "~", "a=b", "a@b",
])
def test_C1_hostile_route_names_never_reach_ssh(tmp_path, name):
    """C1, R3: with the place of the fault, and nothing written."""
    place = Place(tmp_path / "ssh", routes=None)
    place.put("ssh-mux-routes.toml", f'[routes."{name}"]\nhost = "h"\nuser = "u"\n')
    done = place.run(code=78)
    assert "ssh-mux-routes.toml:1:" in done.stderr
    assert [p.name for p in place.dir.iterdir()] == ["ssh-mux-routes.toml"]


@pytest.mark.parametrize("name", ["a%b", "a${HOME}", "a\nb"])
def test_C1_directories_that_ssh_would_misread(tmp_path, name):
    place = Place(tmp_path / name)
    done = place.run(code=78)
    assert "give it another name" in done.stderr and not place.hosts.exists()


def test_C8_symlinked_config_is_left_alone_and_the_line_is_told(place, tmp_path):
    """C2, C8: as dotfile managers have it. With the line in it there is nothing to complain of."""
    real = tmp_path / "dotfiles"
    real.write_text("Host a\n")
    place.config.symlink_to(real)
    done = place.run(code=77)
    line = f'Include "{place.hosts}"'
    assert "symlink" in done.stderr and line in done.stderr
    assert real.read_text() == "Host a\n" and place.config.is_symlink()
    real.write_text(f"{line}\nHost a\n")
    done = place.run()
    assert "includes" in done.stderr and "already" in done.stderr
    assert real.read_text() == f"{line}\nHost a\n"


@pytest.mark.parametrize("name", [INCLUDE, "ssh-mux-known-hosts", "ssh-mux-host-key"])
def test_C8_symlinked_targets_are_refused(place, tmp_path, name):
    real = tmp_path / "real"
    real.write_text("")
    (place.dir / name).symlink_to(real)
    assert "symlink" in place.run(code=77).stderr
    assert real.read_text() == "" and not place.config.exists()


def test_C1_a_file_of_that_name_that_is_not_ours_stays(place):
    for text in ("Host mine\n", "# a list of hosts, and longer than any first line of ours\n" * 3):
        place.put(INCLUDE, text)
        assert "was not made by setup-config" in place.run(code=78).stderr
        assert place.hosts.read_text() == text and not place.config.exists()


def test_D1_options_are_checked(place):
    """D1: usage errors are 64 and touch nothing."""
    before = place.state()
    for args in (["-p", "0"], ["-p", "x"], ["--via", "pigeon"], ["more"], ["--prot", "1"]):
        place.run(*args, code=64)
    place.run("--ssh-bin", "/nonexistent/ssh", code=66)
    place.run("--ssh-bin", "/bin/false", code=66)
    assert place.state() == before


HARD = """
Host t
    Ciphers +aes128-cbc
    ForwardAgent yes
Host db
    LocalForward 8080 [::1]:80
"""


@pytest.mark.parametrize("via", ["tcp", "proxy", "control"])
def test_W3_hosts_that_want_more_are_listed(place, via):
    """W3: one line each with the reasons; tcp and proxy leave them to ssh unless --all, control
    adds what it adds to all."""
    place.put("config", HARD)
    before = {n: place.ask(n) for n in ("t", "db", "app.corp")}
    done = place.run("--via", via, all_=False)
    assert re.findall(r"^(\S+): (.*): (?:ssh connects|left to ssh)", done.stdout, re.M) == [
        ("t", "the algorithm aes128-cbc, ForwardAgent"), ("db", "LocalForward")]
    for name in ("t", "db"):
        changed = differing(before[name], place.ask(name))
        assert changed == ({"controlpath"} if via == "control" else set()), (name, changed)
    assert differing(before["app.corp"], place.ask("app.corp"))

    def is_ours(name):
        asked = place.ask(name)
        return asked["user"] == [name] if via == "tcp" else "proxycommand" in asked

    if via != "control":
        assert ", 1 route\n" in done.stdout
        place.run("--via", via, "--all")
        assert is_ours("t") and is_ours("db")
        routes = place.dir / "ssh-mux-routes.toml"
        routes.write_text(routes.read_text().replace('[routes."db"]', '[routes."db"]\nforwards = ["[::1]:80"]'))
        place.run("--via", via, all_=False)
        assert is_ours("db") and not is_ours("t")


# ---- which ssh -----------------------------------------------------------------------------------


def fake_ssh(tmp_path, knows, not_knows=()):
    path = tmp_path / "fake-ssh"
    lines = [f'*{k}*) exit 0;;' for k in knows] + [f'*{k}*) exit 255;;' for k in not_knows]
    path.write_text('#!/bin/sh\ncase "$*" in\n' + "\n".join(lines) + f'\nesac\nexec {SSH} "$@"\n')
    path.chmod(0o700)
    return path


def test_C1_an_ssh_that_warns_of_weak_kex_has_no_reason_to(place, tmp_path):
    """C1: 10.1 and later warn at every connection without a post-quantum kex. Where we have ML-KEM
    it goes first; where we don't the warning is turned off."""
    place.run("--ssh-bin", fake_ssh(tmp_path, ["WarnWeakCrypto", "mlkem768x25519-sha256"]))
    text = place.hosts.read_text()
    assert ("WarnWeakCrypto no-pq-kex" in text) != ("KexAlgorithms mlkem768x25519-sha256," in text)
    place.run("--ssh-bin", fake_ssh(tmp_path, ["WarnWeakCrypto"], ["mlkem768x25519-sha256"]))
    text = place.hosts.read_text()
    assert text.count("WarnWeakCrypto no-pq-kex") == 3 and "mlkem" not in text


def test_C1_an_old_ssh_gets_only_what_it_knows(place, tmp_path):
    new = ["ObscureKeystrokeTiming", "KnownHostsCommand", "PubkeyAcceptedAlgorithms", "GSSAPI",
           "WarnWeakCrypto", "PKCS11Provider"]
    place.run("--ssh-bin", fake_ssh(tmp_path, [], new))
    assert not [n for n in new if n in place.hosts.read_text()]
    # What an option makes ssh say, it would say in every call.
    noisy = tmp_path / "noisy"
    noisy.write_text(f'#!/bin/sh\ncase "$*" in *GSSAPI*) echo "Unsupported option" >&2;; esac\n'
                     f'exec {SSH} "$@"\n')
    noisy.chmod(0o700)
    place.run("--ssh-bin", noisy)
    assert "GSSAPI" not in place.hosts.read_text()


def test_C1_without_an_ssh_it_goes_on_with_a_warning(place):
    place.env["PATH"] = "/nonexistent"
    assert "no ssh that knows -G" in place.run().stderr
    assert "HostKeyAlias ssh-mux" in place.hosts.read_text()


def test_C1_bare_include_in_the_accounts_own_directory(tmp_path, keys):
    """C1: ~/.ssh is the account's (S8), of which ssh itself reads `config` without being told."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    place = Place(home / ".ssh")
    passwd, group = tmp_path / "passwd", tmp_path / "group"
    passwd.write_text(f"{USER}:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh\n")
    group.write_text(f"{USER}:x:{os.getgid()}:\n")
    del place.env["SSH_MUX_SSH_DIR"]
    place.env.update(LD_PRELOAD="libnss_wrapper.so", NSS_WRAPPER_PASSWD=str(passwd),
                     NSS_WRAPPER_GROUP=str(group), HOME="/nonexistent",
                     ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0")
    place.put("config", "Host t\n User x\nInclude more.conf\n")
    place.put("more.conf", "Host d?\n")
    done = place.run("--via", "proxy")
    assert place.config.read_text().startswith("Include ssh-mux-hosts.conf\nHost t\n")
    assert "SSH_MUX_SSH_DIR" not in place.hosts.read_text()
    assert "t (config:2)" in done.stderr
    # It starts relative Includes at $HOME, where ours is not asked for.
    got = subprocess.run([SSH, "-T", "-G", "t"], env={**place.env, "HOME": str(home)}, text=True,
                         capture_output=True, timeout=20).stdout
    assert "\nhostkeyalias ssh-mux\n" in got and f"\nuser {USER}\n" in got
    before = place.state()
    place.run("--via", "proxy")
    assert place.state() == before


# ---- connections ---------------------------------------------------------------------------------


@pytest.fixture
def make_ready(make_mux, make_sshd, keys):
    """A daemon whose SSH directory has a difficult name, and a config that is in the way."""

    def make(routes=None, name='my "ssh" [x]', config=NASTY, start=True, servers=1, **route):
        sshds = [make_sshd(f"sshd{i}") for i in range(servers)]
        table = {n: hop(s, **route) for n, s in zip(("t", "db"), sshds)}
        mux = make_mux(routes=routes_toml(table), start=False,
                       known_hosts="".join(s.known_hosts() for s in sshds))
        new = mux.dir / name
        mux.ssh_dir.rename(new)
        mux.ssh_dir, mux.routes_path = new, new / mux.routes_path.name
        mux.env["SSH_MUX_SSH_DIR"] = str(new)
        mux.args = [str(new / "ssh-mux-routes.toml") if a.endswith(".toml") else a
                    for a in mux.args]
        for end in ("", ".pub"):
            shutil.copy(f"{keys.make('local')}{end}", new / f"id_local{end}")
        keys.make("other_key")
        for end in ("", ".pub"):
            shutil.copy(keys.dir / f"other_key{end}", mux.dir / f"other_key{end}")
        place = Place(new, routes=None, config=config.format(dir=mux.dir))
        place.env, mux.place = mux.env, place
        if start:
            mux.start()
        return mux

    return make


def through_config(mux, alias, *args, options=(), **kwargs):
    return subprocess.run([SSH, "-F", str(mux.place.config), *options, alias, *args], env=mux.env,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=60, **kwargs)


@pytest.mark.core
def test_C1_ssh_goes_through_the_daemon(make_ready):
    """C1: whatever is in the user's blocks; and ssh has nothing to warn of, whichever it is."""
    mux = make_ready()
    mux.place.run("-p", mux.port)
    done = through_config(mux, "t", "echo over there; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"over there\n", b"")
    assert len(mux.connections()) == 1
    # The key was pinned before ssh ever came, and ssh has not added to it.
    assert mux.place.known.read_text().count("\n") == 1
    done = through_config(mux, "t", "true", options=("-v",))
    assert b"KnownHostsCommand" not in done.stderr or done.returncode == 0
    assert b"aes128-gcm@openssh.com" in done.stderr


@pytest.mark.core
@pytest.mark.parametrize("where", ["bin", "it's", "it's 100% \"$HOME\" `x`!\\"])
def test_B5_ssh_goes_through_proxy_and_starts_the_daemon(make_ready, where):
    """C1, B5: --via proxy, from directories whose names need quotes for ssh and the shell."""
    mux = make_ready(start=False)
    binary = mux.dir / where / "ssh-mux"
    binary.parent.mkdir()
    shutil.copy(BINARY, binary)
    mux.place.run("--via", "proxy", binary=binary)
    try:
        done = through_config(mux, "t", "echo over there; exit 3")
        assert (done.returncode, done.stdout) == (3, b"over there\n"), done
        assert b"warning" not in done.stderr.lower()
    finally:
        stopped = mux.control("stop")
    assert stopped.returncode == 0


def test_C1_routes_never_meet_at_one_control_socket(make_ready):
    """C1: a ControlPath by host and port is one and the same for every route, and `ssh db` would
    go on where `ssh t` has gone."""
    mux = make_ready(servers=2, config="Host *\n ControlMaster auto\n ControlPath {dir}/cm-%h-%p\n"
                     " ControlPersist 20\n")
    mux.place.run("-p", mux.port)
    ports = [through_config(mux, name, "echo $SSH_CONNECTION").stdout.split()[3]
             for name in ("t", "db")]
    assert len(set(ports)) == 2
    assert not list(mux.dir.glob("cm-*"))


def test_C1_a_changed_server_key_is_refused(make_ready):
    """C1: StrictHostKeyChecking by our own file alone, although the user's says `no`."""
    mux = make_ready()
    mux.place.run("-p", mux.port)
    other = (mux.dir / "other_key.pub").read_text().split()[:2]
    mux.place.put("ssh-mux-known-hosts", "ssh-mux " + " ".join(other) + "\n")
    done = through_config(mux, "t", "true")
    assert done.returncode == 255 and b"IDENTIFICATION HAS CHANGED" in done.stderr


@pytest.mark.parametrize("via", ["tcp", "proxy"])
@pytest.mark.parametrize("have", ["nothing", "encrypted", "agent"])
def test_W5_whatever_keys_the_user_has(make_ready, make_agent, keys, via, have):
    """W5: without any key file, with an encrypted one and no agent, with keys in an agent alone,
    ssh gets in at the local server, and nobody is asked for anything."""
    mux = make_ready(config="Host t db\n  IdentityFile {dir}/other_key\n  IdentitiesOnly yes\n"
                     if have == "encrypted" else "", identity=str(keys.make("remote")))
    for path in mux.place.dir.glob("id_*"):
        path.unlink()
    for path in (mux.place.dir / "ssh-mux-authorized-keys",):
        path.unlink(missing_ok=True)
    if have == "encrypted":
        locked = mux.dir / "other_key"
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "a passphrase", "-f", locked], check=True)
        shutil.copy(f"{locked}.pub", mux.place.dir / "id_ed25519.pub")
        shutil.copy(locked, mux.place.dir / "id_ed25519")
    if have == "agent":
        mux.env["SSH_AUTH_SOCK"] = str(make_agent(keys.make("other_key")).sock)
    mux.place.run("-p", mux.port, "--via", via)
    done = through_config(mux, "t", "echo in")
    assert (done.stdout, done.returncode) == (b"in\n", 0), done
    assert b"assphrase" not in done.stderr and b"no such identity" not in done.stderr


# ---- killed at any moment ------------------------------------------------------------------------


@pytest.mark.timeout(400)
def test_C8_kill_9_at_any_moment(place, keys):
    """C8, C2: never a file half-written, never a second Include; the next run does the rest and
    leaves no temporary file."""
    original = NASTY.format(dir=place.dir) * 200
    included = f'Include "{place.hosts}"\n' + original
    rng = random.Random(5)
    place.put("config", original)
    place.run("-p", "3000")
    generated = (INCLUDE, "ssh-mux-known-hosts", "ssh-mux-host-key", "ssh-mux-host-key.pub")
    good = {p: place.hosts.read_text().replace("Port 3000", f"Port {p}") for p in (3000, 3001)}
    start = time.monotonic()
    place.run("-p", "3001")
    whole = time.monotonic() - start
    killed = leftovers = i = 0
    while killed < 120 and time.monotonic() < start + 200:
        if i % 2 == 0:
            place.put("config", original)
        if i % 4 == 0:
            for name in generated:
                (place.dir / name).unlink(missing_ok=True)
        port = 3000 + i % 2
        i += 1
        child = subprocess.Popen([BINARY, "setup-config", "--all", "--via", "tcp", "-p", str(port)],
                                 env=place.env,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 stdin=subprocess.DEVNULL)
        # The writes come after ssh has been asked; how long all of it takes changes with the load.
        time.sleep(whole * rng.uniform(0.3, 1.0))
        child.send_signal(signal.SIGKILL)
        was_killed = child.wait() == -signal.SIGKILL
        killed += was_killed
        whole *= 1.02 if was_killed else 0.85
        leftovers += bool(list(place.dir.glob(".ssh-mux-*")))
        check_whole(place, original, included, good)
        if i % 5 == 0:
            place.run("-p", str(port))
            assert place.config.read_text() == included
            assert place.hosts.read_text() == good[port]
            assert not list(place.dir.glob(".*")), list(place.dir.iterdir())
            before = place.state()
            place.run("-p", str(port))
            assert place.state() == before
    print(f"{killed} of {i} killed, {leftovers} times with a temporary file left")
    assert killed >= 30


def check_whole(place, original, included, good):
    assert place.config.read_text() in (original, included)
    if place.hosts.exists():
        assert place.hosts.read_text() in good.values()
        assert place.known.exists()
    if place.known.exists():
        public = (place.dir / "ssh-mux-host-key.pub").read_text().split()[:2]
        assert place.known.read_text() == " ".join(["ssh-mux", *public]) + "\n"
    key = place.dir / "ssh-mux-host-key"
    if key.exists():
        text = key.read_text()
        assert text.startswith("-----BEGIN OPENSSH") and text.endswith("PRIVATE KEY-----\n")


# ---- by the control sockets ----------------------------------------------------------------------


OWN = """
Host t
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {key}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {known}

Host *
    ControlPath {dir}/cm-%h-%p
    ControlMaster auto
    ControlPersist 30
    BatchMode yes
"""
# What a block of ours adds to what ssh says of a host.
OURS = {"controlmaster", "controlpath"}


@pytest.fixture
def controlled(make_mux, make_sshd, keys):
    """A daemon, and a config of the user's that says how to come to the route's host."""

    def make(start=True, config=OWN, **route):
        sshd = make_sshd()
        mux = make_mux(routes=routes_toml({"t": hop(sshd, **route)}), start=False,
                       known_hosts=sshd.known_hosts())
        known = mux.dir / "known"
        known.write_text(sshd.known_hosts())
        place = Place(mux.ssh_dir, routes=None, config=config.format(
            dir=mux.dir, port=sshd.port, user=USER, key=keys.make("remote"), known=known))
        place.env, mux.place, mux.sshd = mux.env, place, sshd
        if start:
            mux.start()
        return mux

    return make


def differing(one, other):
    return {k for k in one.keys() | other.keys() if one.get(k) != other.get(k)}


def logins(mux):
    return mux.sshd.log().count("Accepted publickey")


@pytest.mark.core
def test_W3_control_changes_nothing_but_the_control_path(controlled):
    """W3: what ssh makes of a host is as before but for one socket, and no other host is changed;
    it is the default; a second run changes no byte."""
    mux = controlled()
    place = mux.place
    hosts = ("t", "t2", "127.0.0.1", f"nobody@{'x' * 60}.example")
    before = {h: place.ask(h) for h in hosts}
    text = place.config.read_bytes()
    done = place.run(via=None)
    assert place.config.read_bytes() == f'Include "{place.hosts}"\n'.encode() + text
    assert re.search(r"your own ControlPath \(config:13\) no longer holds", done.stderr), done
    for host in hosts:
        assert differing(before[host], place.ask(host)) == (OURS if host == "t" else set()), host
    # Where the user's own block says something else one day, that is what holds.
    lines = [line for line in place.hosts.read_text().splitlines() if line and line[0] != "#"]
    assert [line.split()[0] for line in lines] == ["Host", "ControlMaster", "ControlPath"]
    status = mux.status()["routes"][0]["control"]
    assert place.ask("t")["controlpath"] == [status]
    assert not place.known.exists(), "no hop to a local server needs a key"
    state = place.state()
    assert "Nothing has changed." in place.run(via=None).stdout and place.state() == state
    assert place.run("--via", "control").stdout.count("unchanged") == 2


@pytest.mark.core
def test_W3_W1_with_the_daemon_and_without_ssh_does_the_same(controlled):
    """W3: the daemon's connection is used while there is one; stopped or killed, ssh goes on by
    itself with the same result, makes no socket of its own where ours was, and the next daemon
    takes over again. W1: another user or port never comes to the shared connection."""
    mux = controlled()
    plain = through_config(mux, "t", "echo over there; echo err >&2; exit 3")
    assert (plain.returncode, plain.stdout, plain.stderr) == (3, b"over there\n", b"err\n")
    for left in mux.dir.glob("cm-*"):  # the user's own master
        subprocess.run([SSH, "-O", "exit", "-S", left, "x"], capture_output=True, check=True)
    mux.place.run(via=None)

    def call():
        done = through_config(mux, "t", "echo over there; echo err >&2; exit 3")
        return done.returncode, done.stdout, done.stderr

    wanted = plain.returncode, plain.stdout, plain.stderr
    assert call() == wanted and call() == wanted
    assert len(mux.connections()) == 1
    seen = logins(mux)
    for options in (("-l", "nobody-else"), ("-p", "1")):
        done = through_config(mux, "t", "true", options=options)
        assert done.returncode == 255, done
    assert call() == wanted and logins(mux) == seen
    mux.stop()
    assert call() == wanted and logins(mux) == seen + 1
    assert not list(mux.dir.glob("run/ssh-mux/d*/*"))
    mux.start()
    assert call() == wanted and call() == wanted
    assert len(mux.connections()) == 1
    mux.kill()
    code, out, err = call()
    # Of a socket that nobody listens at any more, ssh has one line to say.
    assert (code, out) == wanted[:2] and err.splitlines()[-1] == b"err"
    assert re.fullmatch(rb"(Control socket connect\([^\n]*\): Connection refused\r?\n)?err\n", err)
    mux.start()
    assert call() == wanted and len(mux.connections()) == 1


@pytest.mark.core
def test_W3_from_tcp_and_proxy_to_control_and_back(controlled, keys):
    """W3: by running setup-config again, whatever was there before."""
    mux = controlled()
    place = mux.place
    shutil.copy(keys.make("local"), place.dir / "id_local")
    shutil.copy(f"{keys.make('local')}.pub", place.dir / "id_local.pub")
    first = place.ask("t")
    for via in ("tcp", "control", "proxy", "control", "tcp", "proxy"):
        place.run("-p", mux.port, "--via", via)
        said = place.ask("t")
        assert (differing(first, said) == OURS) == (via == "control")
        assert ("proxycommand" in said) == (via == "proxy")
        done = through_config(mux, "t", "echo", via)
        assert (done.returncode, done.stdout.decode().strip(), done.stderr) == (0, via, b""), via
    assert len(mux.connections()) == 1 and logins(mux) == 1


def test_W3_a_control_path_for_the_host_alone_stays(controlled):
    """W3: `ssh -M t` and `ssh -O exit t` of who has a socket of his own there are his."""
    mux = controlled(config=OWN.replace("IdentitiesOnly", "ControlPath {dir}/own-%C\n    IdentitiesOnly"))
    before = mux.place.ask("t")
    done = mux.place.run(via=None)
    assert re.search(r"\bt is left to ssh: config:8 gives it a ControlPath of its own\n", done.stderr)
    assert differing(before, mux.place.ask("t")) == set()
    assert through_config(mux, "t", "echo by his own").stdout == b"by his own\n"
    assert through_config(mux, "t", options=("-O", "exit")).returncode == 0
    assert mux.connections() == []


LONG = "h" * 50 + ".eu-central-1.compute.example"


@pytest.mark.parametrize("alias, jump, how", [
    ("web", False, "web=[0-9a-f]{40}"), (LONG, False, r"\+[0-9a-f]{12}=[0-9a-f]{40}"),
    ("web", True, None),
])
def test_W3_names_that_are_too_long_for_a_socket(make_mux, keys, alias, jump, how):
    """W3: ssh ends with an error where a ControlPath is longer than a socket's can be. So such a
    host has a hash in it, or none; and whoever is asked for with -l, ssh does not end."""
    table = {f'"{alias}"': {"host": LONG, "user": "ec2-user", "port": 2222}}
    if jump:
        table["gate"] = {"host": "192.0.2.1", "user": "u"}
        table[f'"{alias}"']["jump"] = "gate"
    mux = make_mux(routes=routes_toml(table))
    place = Place(mux.ssh_dir, routes=None, config=f"Host {alias}\n  HostName {LONG}\n"
                  f"  Port 2222\n  User ec2-user\n" + ("  ProxyJump gate\n" if jump else ""))
    place.env = mux.env
    done = place.run(via=None)
    said = place.ask(alias)
    if how is None:
        assert "controlpath" not in said
        assert "web is not shared: its names are too long" in done.stderr
        return
    assert done.stderr == ""
    path = next(r["control"] for r in mux.status()["routes"] if r["name"] == alias)
    assert said["controlpath"] == [path] and re.fullmatch(how, path.rpartition("/")[2])
    for user in ("a", "b" * 32):
        args = [SSH, "-F", str(place.config), "-o", "BatchMode=yes", "-o", "ConnectTimeout=1",
                "-o", "ProxyCommand=false", "-l", user, alias, "true"]
        other = subprocess.run(args, capture_output=True, text=True, timeout=60)
        assert other.returncode == 255 and "too long" not in other.stderr, other
        assert mux.connections() == []
    # The very one that is meant comes to us: there is no such host, and ssh would say so too.
    subprocess.run([SSH, "-F", str(place.config), "-o", "BatchMode=yes", "-o", "ProxyCommand=false",
                    alias, "true"], capture_output=True, timeout=60, check=False)
    poll(lambda: f'route="{alias}" control client' in mux.log(), 20, "the client")


def test_W3_a_route_that_ssh_does_not_know(controlled):
    """W3: written into the routes file by hand; without the daemon ssh comes there as well."""
    mux = controlled(config="Host *\n  BatchMode yes\n  IdentityAgent none\n"
                     "  UserKnownHostsFile {known}\n")
    mux.place.run(via=None)
    said = mux.place.ask("t")
    assert said["hostname"] == ["127.0.0.1"] and said["port"] == [str(mux.sshd.port)]
    assert said["user"] == [USER] and said["controlpath"] == [mux.status()["routes"][0]["control"]]
    assert through_config(mux, "t", "echo shared").stdout == b"shared\n"
    assert len(mux.connections()) == 1
    mux.stop()
    done = through_config(mux, "t", "echo direct", options=("-i", f"{mux.keys.make('remote')}"))
    assert done.stdout == b"direct\n", done
