# SPDX-License-Identifier: MIT
"""install and uninstall (C5, C6): from a config as people have them to a service that runs, and
back to the byte."""
import contextlib
import json
import os
import pathlib
import pty
import random
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import time

import pytest

from peers import BINARY, SSH, USER, free_port, hop, kill_quietly, poll, routes_toml, short_dir
from user_systemd import UserSystemd, why_not

INCLUDE = b"ssh-mux-hosts.conf"
KEPT = {"ssh-mux-routes.toml", "ssh-mux-authorized-keys", "ssh-mux-host-key",
        "ssh-mux-host-key.pub", "ssh-mux.log"}


def snapshot(directory):
    """Every file with its bytes, and what tells that it was written again."""
    found = {}
    for path in sorted(directory.rglob("*")):
        st = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path.relative_to(directory))] = (content, st.st_mtime_ns, st.st_ino, st.st_mode)
    return found


WRITTEN = {"ssh-mux.log", "ssh-mux-greetings"}  # by the daemon, when it has something to write


def differing(before, after):
    """The files that are others now, but for what the daemon writes, or is writing."""
    names = {k for k in (before.keys() | after.keys()) - WRITTEN if not k.endswith(".tmp")}
    return sorted(k for k in names if before.get(k) != after.get(k))


class Place:
    """An SSH directory, no service manager, and the ssh-mux that is installed from beside it."""

    def __init__(self, keys, name="ssh"):
        self.dir = short_dir("inst")
        self.ssh_dir, self.run_dir = self.dir / name, self.dir / "run"
        for path in (self.ssh_dir, self.run_dir):
            path.mkdir(mode=0o700)
        self.log_path = self.ssh_dir / "ssh-mux.log"
        self.said = []  # for the search for secrets
        self.binary = self.dir / "built"
        shutil.copy(BINARY, self.binary)
        self.port = free_port()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SSH_")}
        self.env.update(
            SSH_MUX_SSH_DIR=str(self.ssh_dir),
            XDG_RUNTIME_DIR=str(self.run_dir),
            XDG_CONFIG_HOME=str(self.dir / "xdg"),
        )
        key = keys.make("remote")
        self.put("id_ed25519", key.read_text())
        self.put("id_ed25519.pub", keys.public(key))

    def put(self, name, content, mode=0o600):
        path = self.ssh_dir / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    def route(self, *servers):
        """A routes file with r0, r1 … for these servers."""
        routes = {f"r{i}": dict(hop(s), direct=True) for i, s in enumerate(servers)}
        self.put("known_hosts", "".join(s.known_hosts() for s in servers))
        return self.put(
            "ssh-mux-routes.toml",
            routes_toml(routes or {"r0": dict(host="192.0.2.1", user="me", direct=True)}),
        )

    def call(self, *args, binary=None, timeout=110, **kwargs):
        done = subprocess.run(
            [str(binary or self.binary), *args], env=self.env, capture_output=True, text=True,
            timeout=timeout, stdin=subprocess.DEVNULL, **kwargs
        )
        self.said.append(done.stdout + done.stderr)
        return done

    def install(self, *args, **kwargs):
        done = self.call("install", "-p", str(self.port), *args, **kwargs)
        assert done.returncode == 0, done
        return done

    def uninstall(self, *args):
        done = self.call("uninstall", *args)
        assert done.returncode == 0, done
        return done

    def start_as_told(self, done):
        """Runs the command that install has printed, as a shell would."""
        line = next(l for l in done.stdout.splitlines() if " daemon " in l and l.startswith("    "))
        ran = subprocess.run(
            line, shell=True, cwd="/", capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL,
            env={k: v for k, v in self.env.items() if k != "SSH_MUX_SSH_DIR"},
        )
        assert ran.returncode == 0, (line, ran)

    def ssh(self, name, *command, timeout=60):
        return subprocess.run(
            [SSH, "-F", str(self.ssh_dir / "config"), "-o", "BatchMode=yes", name, *command],
            capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
            env={k: v for k, v in os.environ.items() if not k.startswith("SSH_")},
        )

    def status(self):
        done = self.call("status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def stop(self):
        for _ in range(3):
            status = self.status()
            if status is None:
                return
            self.call("stop")
        kill_quietly(status["daemon"]["pid"] if "daemon" in status else status["pid"])


@pytest.fixture
def place(keys, cleanup):
    return cleanup(Place(keys))


# ---- from a real config and back -----------------------------------------------------------------


def test_C5_C1_C3_a_config_of_120_hosts(place, make_sshd):
    """C5, C1, C2, C3: 120 hosts in seven files go through install, ssh to a sample of them works
    through the daemon, config gets one line and nothing else changes; a second install, and one
    after another import, change no file; uninstall puts config back to the byte."""
    from big_config import write_big_config

    one, two = make_sshd("one"), make_sshd("two")
    info = write_big_config(
        place.ssh_dir, [("127.0.0.1", one.port), ("127.0.0.1", two.port)],
        identity=place.ssh_dir / "id_ed25519",
    )
    place.put("known_hosts", one.known_hosts() + two.known_hosts())
    before = info.bytes()
    done = place.install()
    assert str(place.ssh_dir / "ssh-mux.log") in done.stdout
    after = info.bytes()
    config = str(info.config)
    assert [p for p in before if before[p] != after[p]] == [config]
    assert after[config].endswith(before[config])
    added = after[config][: len(after[config]) - len(before[config])]
    assert added.count(b"\n") == 1 and added.startswith(b"Include ") and INCLUDE in added
    routes = (place.ssh_dir / "ssh-mux-routes.toml").read_text()
    assert str(place.port) not in routes

    place.start_as_told(done)
    for name in ("quoted", "by-alias", "by-chain", "work-db", "deep-real"):
        ran = place.ssh(name, "echo", "works")
        assert ran.stdout == "works\n", (name, ran)
    keyed = {c["key"].split(" ")[0] for c in place.status()["connections"]}
    assert f"{USER}@127.0.0.1:{one.port}" in keyed or f"{USER}@127.0.0.1:{two.port}" in keyed

    still = snapshot(place.ssh_dir)
    place.install()
    assert differing(still, snapshot(place.ssh_dir)) == []
    again = place.call("import-config", "--write", "--force")
    assert again.returncode == 0, again
    assert (place.ssh_dir / "ssh-mux-routes.toml").read_text() == routes
    place.install()
    assert differing(still, snapshot(place.ssh_dir)) in ([], ["ssh-mux-routes.toml"])
    assert snapshot(place.ssh_dir)["ssh-mux-routes.toml"][0].decode() == routes

    place.uninstall()
    assert info.bytes() == before
    assert place.status() is None


CONFIGS = {
    "plain": b"Host a\n  HostName b\n",
    "crlf": b"Host a\r\n  HostName b\r\n",
    "no_end": b"Host a\n  HostName b",
    "bom": b"\xef\xbb\xbfHost a\n",
    "comment": b"# mine\n\n\n",
    "blank": b"\n",
    "bytes": b"# \xff\x80\xe9\nHost a\n",
    "like_ours": b"#Include ssh-mux-hosts.conf\nHost x\n  Include other-hosts.conf\n",
}


@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS.keys())
def test_C5_C2_uninstall_restores_config(place, text):
    """C5, C2: config gets one Include, and is as it was to the byte after uninstall; its mode
    stays."""
    place.route()
    config = place.put("config", text, 0o640)
    place.install()
    with_it = config.read_bytes()
    assert with_it != text and with_it.count(INCLUDE) == text.count(INCLUDE) + 1
    assert len(with_it.splitlines()) == len(text.splitlines()) + 1
    done = place.uninstall()
    assert config.read_bytes() == text, done
    assert config.stat().st_mode & 0o777 == 0o640
    place.uninstall()
    assert config.read_bytes() == text


@pytest.mark.parametrize("text", [None, CONFIGS["plain"], CONFIGS["crlf"]],
                         ids=["none", "plain", "crlf"])
def test_C5_S8_in_the_usual_directory(place, text):
    """C5, S8: the same in ~/.ssh of the account, whatever HOME says, where the Include is the bare
    name; ~/.ssh itself is made if it is missing."""
    home = place.dir / "home"
    home.mkdir(mode=0o700)
    (place.dir / "passwd").write_text(f"{USER}:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh\n")
    (place.dir / "group").write_text(f"{USER}:x:{os.getgid()}:\n")
    place.env.update(
        LD_PRELOAD="libnss_wrapper.so", NSS_WRAPPER_PASSWD=str(place.dir / "passwd"),
        NSS_WRAPPER_GROUP=str(place.dir / "group"), NSS_WRAPPER_DISABLE_DEEPBIND="1",
        ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0", HOME="/nonexistent",
    )
    del place.env["SSH_MUX_SSH_DIR"]
    seen = place.call("check-config")
    if str(home / ".ssh") not in seen.stdout + seen.stderr:
        pytest.skip("libnss_wrapper is not installed, or does not work")
    place.ssh_dir = home / ".ssh"
    if text is not None:
        place.ssh_dir.mkdir(mode=0o700)
        place.put("config", text)
    config = place.ssh_dir / "config"
    done = place.install()
    assert config.read_bytes().splitlines()[0] == b"Include ssh-mux-hosts.conf"
    assert f"\n    {place.ssh_dir}/ssh-mux daemon --port {place.port}\n" in done.stdout, done
    before = snapshot(place.ssh_dir)
    place.install()
    assert differing(before, snapshot(place.ssh_dir)) == []
    place.uninstall("--purge")
    assert (config.read_bytes() if config.exists() else None) == text
    assert snapshot(place.ssh_dir).keys() == ({"config"} if text is not None else set())


def test_C5_a_config_that_install_made_goes(place):
    """C5: where there was no config, there is none afterwards; --purge leaves what was there."""
    before = snapshot(place.ssh_dir).keys()
    place.route()
    place.install("--via", "tcp")
    assert (place.ssh_dir / "config").read_bytes().count(b"\n") == 1
    place.uninstall()
    assert not (place.ssh_dir / "config").exists()
    left = snapshot(place.ssh_dir).keys() - before - {"known_hosts"}
    assert left == {k for k in KEPT if k != "ssh-mux.log"}
    place.uninstall("--purge")
    assert snapshot(place.ssh_dir).keys() - {"known_hosts"} == before


def test_C5_uninstall_after_half_an_install(place):
    """C5: uninstall with nothing there, and after an install that stopped half way, works, twice,
    and touches nothing that is not ours."""
    mine = place.put("ssh-mux-notes", "mine\n")
    before = snapshot(place.ssh_dir)
    assert "nothing to remove" in place.uninstall().stdout
    assert snapshot(place.ssh_dir) == before
    place.put("ssh-mux-routes.toml", "[routes.x]\nhost = 5\n")
    done = place.call("install", "-p", str(place.port))
    assert done.returncode == 78, done
    assert "ssh-mux-routes.toml:2:" in done.stderr and "install goes on from there" in done.stderr
    assert not (place.ssh_dir / "config").exists()
    for _ in range(2):
        place.uninstall()
    assert mine.read_text() == "mine\n"
    assert not (place.ssh_dir / "ssh-mux").exists()
    # What was mended goes on.
    place.route()
    place.install()
    assert (place.ssh_dir / "config").exists()


def test_C5_foreign_files_stay(place):
    """C5: a program or directory of the user's named ssh-mux is neither replaced nor removed."""
    place.route()
    script = place.put("ssh-mux", "#!/bin/sh\necho mine\n", 0o700)
    done = place.call("install", "-p", str(place.port))
    assert done.returncode != 0 and "no ssh-mux; rename or remove it" in done.stderr, done
    assert not (place.ssh_dir / "config").exists()
    place.uninstall()
    assert script.read_text() == "#!/bin/sh\necho mine\n"
    script.unlink()
    script.mkdir()
    assert place.call("install", "-p", str(place.port)).returncode == 77
    place.call("uninstall")
    assert script.is_dir()


def test_C5_uninstall_leaves_what_others_made(place):
    """C5: Host blocks in a file of our name that has not our mark, and the link by which another
    unit of that name is started, are not what install made, and stay."""
    hosts = place.put("ssh-mux-hosts.conf", "# mine\nHost x\n")
    link = place.dir / "xdg/systemd/user/default.target.wants/ssh-mux.service"
    link.parent.mkdir(parents=True, mode=0o700)
    other = place.put("other.service", "[Service]\nExecStart=/bin/true\n")
    link.symlink_to(other)
    done = place.uninstall()
    assert hosts.read_text() == "# mine\nHost x\n" and f"{hosts}: not made by" in done.stdout, done
    assert link.is_symlink()
    other.unlink()  # as our own link is when our unit is gone
    place.uninstall()
    assert not link.is_symlink()


def test_C5_C8_uninstall_and_a_config_that_is_a_link(place):
    """C5, C8: a config that lies elsewhere is not changed; that is an error, with the line to take
    out, only if the line is in it."""
    target = place.dir / "dotfiles"
    (place.ssh_dir / "config").symlink_to(target)
    line = f'Include "{place.ssh_dir}/ssh-mux-hosts.conf"'
    for text, code in (("Host a\n", 0), (f"{line}\nHost a\n", 77)):
        target.write_text(text)
        place.put("ssh-mux-hosts.conf", "")
        done = place.call("uninstall")
        assert done.returncode == code and target.read_text() == text, done
        assert not (place.ssh_dir / "ssh-mux-hosts.conf").exists()
        assert done.stderr.count("\n") == (code != 0)
    assert f"or take out this line yourself: {line}" in done.stderr


def test_S8_no_path_drives_the_terminal(place):
    """S8, D1: control characters in the name of a directory come to the terminal as something
    else."""
    bad = place.dir / "a\x1b]0;x\x07b"
    bad.mkdir(mode=0o700)
    place.env["SSH_MUX_SSH_DIR"] = str(bad)
    done = place.call("install", "-p", str(place.port))
    assert done.returncode != 0
    assert not set(done.stdout + done.stderr) & {"\x1b", "\x07"}, done


# ---- keys ----------------------------------------------------------------------------------------


def test_L5_the_keys_of_now_are_written_down(place, keys):
    """L5: install makes ssh-mux-authorized-keys of the id_*.pub that are there and says so; a key
    that comes later is not added, and a list that is there is left alone."""
    place.route()
    place.put("id_bad.pub", "no key at all\n")
    done = place.install()
    listed = (place.ssh_dir / "ssh-mux-authorized-keys").read_text()
    public = keys.public(keys.make("remote"))
    assert public in listed and "no key" not in listed
    assert "made, of id_ed25519.pub\n" in done.stdout
    assert (place.ssh_dir / "ssh-mux-authorized-keys").stat().st_mode & 0o777 == 0o600
    place.put("id_other.pub", keys.public(keys.make("local")))
    place.install()
    assert (place.ssh_dir / "ssh-mux-authorized-keys").read_text() == listed


def test_W5_L5_no_key_at_all(place):
    """W5, L5: without any public key, tcp and proxy have the one of their own, and nobody else is
    let in; control needs none. uninstall takes it back, and keeps the keys of others."""
    place.route()
    (place.ssh_dir / "id_ed25519.pub").unlink()
    listed = place.ssh_dir / "ssh-mux-authorized-keys"
    before = snapshot(place.ssh_dir).keys()
    place.install()
    assert not listed.exists()
    done = place.install("--via", "tcp")
    assert done.stderr == "", done
    keys = [l for l in listed.read_text().splitlines() if not l.startswith("#")]
    assert len(keys) == 1 and keys[0].endswith(" ssh-mux local key")
    place.uninstall()
    gone = {"ssh-mux-host-key", "ssh-mux-host-key.pub", "known_hosts"}
    assert snapshot(place.ssh_dir).keys() - gone == before - gone
    place.install("--via", "proxy")
    listed.write_text(text := listed.read_text() + "# mine\n" + keys[0].replace(" local key", ""))
    place.uninstall()
    assert listed.read_text() == text.replace(text.splitlines(True)[2], "")


def test_W3_install_except(place):
    """W3: left to ssh and remembered; a route that is there is the user's to remove."""
    place.put("config", "Host web db\n  HostName 192.0.2.1\nHost mine\n  HostName 192.0.2.2\n")
    done = place.install("--except", "mine")
    text = (place.ssh_dir / "ssh-mux-routes.toml").read_text()
    assert "[routes.mine]" not in text and "[routes.web]" in text, done
    assert "mine" not in (place.ssh_dir / "ssh-mux-hosts.conf").read_text()
    place.install("--except", "mine")
    assert place.call("import-config", "--merge").returncode == 0
    assert (place.ssh_dir / "ssh-mux-routes.toml").read_text() == text
    done = place.call("install", "--except", "web,mine")
    assert done.returncode == 78 and "--except web: " in done.stderr, done


# ---- the program, and a daemon that runs ---------------------------------------------------------


def test_C6_the_command_is_printed_and_the_old_daemon_left(place, make_sshd):
    """C6: without a service manager the command is printed, and it works; after an update the
    program is replaced while the old one runs, which goes on, and is said how to restart."""
    place.route(make_sshd())
    place.start_as_told(place.install("--timeout", "77"))
    pid = place.status()["pid"]
    assert place.ssh("r0", "echo here").stdout == "here\n"
    same = place.install("--timeout", "77")
    assert f"A daemon runs (process id {pid})" in same.stdout
    with open(place.binary, "ab") as f:
        f.write(b"newer")
    done = place.install("--timeout", "77")
    assert "of the old program" in done.stdout and "ssh-mux stop" in done.stdout
    copy = place.ssh_dir / "ssh-mux"
    assert copy.read_bytes() == place.binary.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o755
    assert place.status()["pid"] == pid
    assert place.ssh("r0", "echo here").stdout == "here\n"
    # The copy installs itself without copying.
    before = snapshot(place.ssh_dir)
    place.install("--timeout", "77", binary=copy)
    assert differing(before, snapshot(place.ssh_dir)) == []
    assert place.call("stop", binary=copy).returncode == 0
    assert "ended, with" not in place.uninstall().stdout


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_C6_ready_is_told(place, abstract):
    """C6: in the foreground the daemon tells who manages it, by one datagram, that it is ready: it
    answers then. SIGTERM is an orderly end, and a routes file that is missing none to retry."""
    place.route()
    name = ("\0smx-%d-%s" % (os.getpid(), place.dir.name)) if abstract else str(place.dir / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(60)
        proc = subprocess.Popen(
            [str(place.binary), "daemon", "--foreground", "-p", str(place.port)],
            env=dict(place.env, NOTIFY_SOCKET=name.replace("\0", "@")),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        try:
            assert manager.recv(100) == b"READY=1"
            assert place.status()["pid"] == proc.pid
            proc.terminate()
            said = proc.communicate(timeout=60)[0].decode()
            assert proc.returncode == 0 and "serves on 127.0.0.1" in said, said
        finally:
            proc.kill()
            proc.wait()
    done = place.call("daemon", "--foreground", "--config", str(place.dir / "none.toml"))
    assert done.returncode == 66, done


def test_C5_uninstall_ends_the_daemon(place, make_sshd):
    """C5: uninstall, by the very program that it removes, ends the daemon that runs."""
    place.route(make_sshd())
    place.start_as_told(place.install())
    pid = place.status()["pid"]
    done = place.call("uninstall", binary=place.ssh_dir / "ssh-mux")
    assert done.returncode == 0 and f"process id {pid} ended" in done.stdout, done
    poll(lambda: not pathlib.Path(f"/proc/{pid}").exists(), what="the daemon is gone")
    assert not (place.ssh_dir / "ssh-mux").exists()


def test_C5_S5_uninstall_finds_a_daemon_elsewhere(place):
    """C5, S5: a daemon that was started without XDG_RUNTIME_DIR is ended too."""
    place.route()
    place.install()
    run_dir = place.env.pop("XDG_RUNTIME_DIR")
    assert place.call("daemon", "-p", str(place.port)).returncode == 0
    pid = place.status()["pid"]
    try:
        place.env["XDG_RUNTIME_DIR"] = run_dir
        assert place.status() is None
        assert f"process id {pid} ended" in place.uninstall().stdout
        poll(lambda: not pathlib.Path(f"/proc/{pid}").exists(), what="the daemon is gone")
    except BaseException:
        kill_quietly(pid)
        raise


def test_C5_routes_elsewhere(place, make_sshd):
    """C5: --config names the routes, for setup and for the daemon; a relative name too."""
    target = make_sshd()
    place.route(target).rename(place.dir / "my routes.toml")
    done = place.install("--config", "my routes.toml", cwd=place.dir)
    assert not (place.ssh_dir / "ssh-mux-routes.toml").exists()
    place.start_as_told(done)
    assert place.ssh("r0", "echo here").stdout == "here\n"


def test_C5_routes_are_made_where_they_are_asked_for(place):
    """C5, C3: a routes file that --config names and that is not there is imported to that place."""
    place.put("config", "Host one\n  HostName 192.0.2.7\n  User me\n")
    made = place.dir / "made.toml"
    done = place.install("--config", str(made))
    assert '[routes.one]' in made.read_text()
    assert not (place.ssh_dir / "ssh-mux-routes.toml").exists()
    assert f"--config {made}" in done.stdout and done.stdout.endswith(" one\n"), done
    place.uninstall("--purge")
    assert made.exists()  # not one of ours by its name


def test_C5_C8_killed_at_any_moment(place):
    """C5, C8: install and uninstall that are killed in the middle leave config as it was or with
    one line more, and no program that is not whole; the next install completes, the next uninstall
    takes all back."""
    text = CONFIGS["crlf"]
    config = place.put("config", text)
    place.route()
    started = time.monotonic()
    place.install()
    took = time.monotonic() - started
    whole, with_it = place.binary.read_bytes(), config.read_bytes()
    for i in range(16):
        args = ["uninstall"] if i % 2 == 0 else ["install", "-p", str(place.port)]
        proc = subprocess.Popen(
            [str(place.binary), *args], env=place.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            proc.wait(random.uniform(0, took if i % 2 else took / 4))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(proc.pid, signal.SIGKILL)
        proc.wait()
        assert config.read_bytes() in (text, with_it)
        copy = place.ssh_dir / "ssh-mux"
        assert not copy.exists() or copy.read_bytes() == whole
    place.install()
    assert config.read_bytes() == with_it
    place.uninstall()
    assert config.read_bytes() == text
    left = [n for n in snapshot(place.ssh_dir) if n.endswith(".tmp")]
    assert left == [], left


def test_D1_install_complains_in_one_line(place):
    """D1: what is wrong with the command line is said before anything is done."""
    before = snapshot(place.ssh_dir)
    for args in (["-p", "0"], ["-p", "x"], ["--timeout", "-1"], ["--via", "pigeon"], ["extra"],
                 ["--prot", "1"], ["--ssh-bin", ""]):
        done = place.call("install", *args)
        assert done.returncode == 64 and done.stderr.count("\n") == 1, (args, done)
    assert place.call("uninstall", "--all").returncode == 64
    assert place.call("daemon", "--config", "/nowhere.toml").returncode == 66
    assert snapshot(place.ssh_dir) == before


# ---- under a real systemd of a user's own --------------------------------------------------------

UNIT = "ssh-mux.service"


class Account(Place):
    """The same for the account of a UserSystemd, with the SSH directory in its home."""

    def __init__(self, keys, user, name=".ssh"):
        self.user = user
        self.dir = self.home = user.home
        self.run_dir = user.run_dir
        self.ssh_dir = user.home / name
        self.ssh_dir.mkdir(mode=0o700, parents=True)
        self.log_path = self.ssh_dir / "ssh-mux.log"
        self.said = []
        self.binary = user.home / "built"
        shutil.copy(BINARY, self.binary)
        self.port = free_port()
        self.env = {}
        if name != ".ssh":
            self.env["SSH_MUX_SSH_DIR"] = str(self.ssh_dir)
        key = keys.make("remote")
        self.put("id_ed25519", key.read_text())
        self.put("id_ed25519.pub", keys.public(key))
        self.unit_path = user.config_dir / "systemd/user" / UNIT
        self.link_path = self.unit_path.parent / "default.target.wants" / UNIT

    def install(self, *args, **kwargs):
        """By the port: pipes of root can't be shared with the daemon of another account."""
        return super().install("--via", "tcp", *args, **kwargs)

    def call(self, *args, binary=None, timeout=110, **kwargs):
        self.user.own()
        done = self.user.run(
            binary or self.binary, *args, env=self.env, timeout=timeout, **kwargs
        )
        self.said.append(done.stdout + done.stderr)
        return done

    def ssh(self, name, *command, timeout=60):
        return self.user.run(*self.ssh_argv(name, *command), timeout=timeout)

    def ssh_argv(self, name, *command):
        return [SSH, "-F", self.ssh_dir / "config", "-o", "BatchMode=yes", name, *command]

    def pid(self):
        return self.user.pid_of(UNIT)

    def config(self):
        return (self.ssh_dir / "config").read_bytes()

    def channels(self):
        return sum(c["channels"] for c in self.status()["clients"])

    def stop(self):
        self.call("uninstall")


@pytest.fixture
def user(cleanup):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    return cleanup(UserSystemd())


@pytest.fixture
def account(keys, cleanup, user):
    return cleanup(Account(keys, user))


@pytest.mark.timeout(300)
def test_C6_a_service_of_systemd(account, user, make_sshd):
    """C6, C5: install starts the service and ssh works through it; a second install changes no
    byte and restarts nothing; after kill -9 it is there again, after stop it is not; start returns
    when it answers; uninstall leaves nothing of it."""
    account.route(make_sshd())
    account.put("config", CONFIGS["plain"])
    done = account.install()
    assert f"{account.unit_path}: started, process id" in done.stdout, done
    assert "loginctl enable-linger" in done.stdout
    assert user.show(UNIT, "ActiveState") == "active"
    assert user.show(UNIT, "UnitFileState") == "enabled"
    assert os.path.islink(account.link_path)
    assert account.ssh("r0", "echo works").stdout == "works\n", account.log_path.read_text()

    pid, before = account.pid(), snapshot(user.config_dir)
    files = snapshot(account.ssh_dir)
    assert f"unchanged, process id {pid}" in account.install().stdout
    assert account.pid() == pid
    assert snapshot(user.config_dir) == before
    assert differing(files, snapshot(account.ssh_dir)) == []

    assert user.run("kill", "-9", str(pid)).returncode == 0
    poll(lambda: account.pid() not in (0, pid), 60, "systemd starts it again", 0.2)
    poll(lambda: user.show(UNIT, "SubState") == "running", 60, "it is ready", 0.2)
    assert account.ssh("r0", "echo again").stdout == "again\n"

    # Told to end, it ends in good order, and nobody starts it again.
    assert account.call("stop").returncode == 0
    poll(lambda: user.show(UNIT, "ActiveState") == "inactive", 60, "it has ended", 0.2)
    assert user.run("systemctl", "--user", "start", UNIT).returncode == 0
    assert account.status() is not None
    assert user.run("systemctl", "--user", "restart", UNIT).returncode == 0
    assert account.status()["pid"] == account.pid()

    assert account.config().startswith(b"Include ssh-mux-hosts.conf\n")
    account.uninstall()
    assert account.config() == CONFIGS["plain"]
    assert user.show(UNIT, "LoadState") == "not-found"
    assert not account.unit_path.exists() and not os.path.lexists(account.link_path)
    assert account.status() is None
    assert "nothing to remove" in account.uninstall().stdout


@pytest.mark.timeout(300)
def test_C6_open_channels_survive_an_update_nobody_agreed_to(account, user, make_sshd):
    """C6: when something changed, the service is restarted; with open channels only if the user
    says so, on the terminal or by --yes. What was put off is done by the next install."""
    account.route(make_sshd())
    account.install()
    pid = account.pid()
    account.install("--timeout", "500")
    assert account.pid() not in (0, pid) and "500" in account.unit_path.read_text()
    pid = account.pid()

    client = subprocess.Popen(
        user.argv(*account.ssh_argv("r0", "echo up; exec sleep 600")),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )
    try:
        assert client.stdout.readline() == b"up\n"
        time.sleep(2)  # the daemon's age, by which it is told what was put off, is in seconds
        done = account.install("--timeout", "501")
        assert "has 1 open channel and is left as it is" in done.stderr, done
        assert "systemctl --user restart ssh-mux" in done.stderr
        assert account.pid() == pid and client.poll() is None
        text = ask_on_terminal(account, "n", "--timeout", "501")
        assert "ends 1 open channel. Now? [y/N]" in text, text
        assert account.pid() == pid and client.poll() is None
        text = ask_on_terminal(account, "y", "--timeout", "501")
        assert "restarted, which ends 1 open channel" in text, text
        assert account.pid() not in (0, pid)
        assert client.wait(30) == 255
    finally:
        client.kill()
        client.wait()
    pid = account.pid()
    account.install("--timeout", "501")
    assert account.pid() == pid

    # The program is another one: the same, and no question with --yes.
    client = subprocess.Popen(
        user.argv(*account.ssh_argv("r0", "echo up; exec sleep 600")),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )
    try:
        assert client.stdout.readline() == b"up\n"
        with open(account.binary, "ab") as f:
            f.write(b"newer")
        account.install("--timeout", "501", "--yes")
        assert account.pid() not in (0, pid)
        assert client.wait(30) == 255
    finally:
        client.kill()
        client.wait()


def ask_on_terminal(account, answer, *args):
    """install at a terminal of its own, its question answered; all that was shown."""
    argv = account.user.argv(
        account.binary, "install", "--via", "tcp", "-p", str(account.port), *args, env=account.env
    )
    account.user.own()
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(argv[0], argv)
    text = b""
    try:
        while select.select([fd], [], [], 90)[0]:
            try:
                piece = os.read(fd, 4096)
            except OSError:
                break
            if not piece:
                break
            text += piece
            if text.endswith(b"[y/N] "):
                os.write(fd, answer.encode() + b"\r")
        else:
            raise AssertionError(text)
    finally:
        kill_quietly(pid)
        os.waitpid(pid, 0)
        os.close(fd)
    return text.decode()


@pytest.mark.timeout(300)
def test_C6_a_failed_start_is_seen(account, user, make_sshd):
    """C6: where the port is taken, install fails with the daemon's own words, keeps what it has
    made, and goes on once the port is free. A daemon started by hand gives way to the service."""
    account.route(make_sshd())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", account.port))
        taken.listen()
        done = account.call("install", "--via", "tcp", "-p", str(account.port))
        assert done.returncode == 69, done
        assert re.search(r"daemon did not start: .*port %d" % account.port, done.stderr), done
        assert "install goes on from there" in done.stderr
        assert "ssh-mux.log" in done.stderr
    assert account.unit_path.exists()
    user.run("systemctl", "--user", "stop", UNIT)
    assert account.call("daemon", "-p", str(account.port)).returncode == 0
    by_hand = account.status()["pid"]
    done = account.install()
    assert f"process id {by_hand} ended, for the service" in done.stdout, done
    assert account.pid() == account.status()["pid"] != by_hand
    assert account.ssh("r0", "echo works").stdout == "works\n"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["a b $HOME \u00e9\u6771", "it's \"$x\" \\ y"])
def test_C6_D3_the_unit_survives_odd_paths(keys, cleanup, user, make_sshd, name):
    """C6, D3: names with blanks, specifiers, variables, quotes and letters of all sorts come
    through to the daemon: of its SSH directory, its program and its routes file."""
    account = cleanup(Account(keys, user, name))
    routes = account.route(make_sshd()).rename(user.home / 'r %h%% $HOME "q" \\ z.toml')
    done = account.install("--config", str(routes))
    assert "started, process id" in done.stdout, done
    hint = shlex.split(done.stdout.rpartition("Next: ")[2])
    assert hint == ["ssh", "-F", str(account.ssh_dir / "config"), "r0"]
    assert account.status()["ssh_dir"] == str(account.ssh_dir)
    words = user.run("cat", f"/proc/{account.pid()}/cmdline").stdout.split("\0")
    assert words[0] == str(account.ssh_dir / "ssh-mux") and str(routes) in words
    assert account.ssh("r0", "echo works").stdout == "works\n", account.log_path.read_text()


@pytest.mark.timeout(300)
def test_C6_the_sandbox_is_real(account, user):
    """C6: systemd finds no fault with the unit; the daemon runs with a filter of system calls and
    without new privileges, and not in a user namespace, where root's files look foreign."""
    account.route()
    account.install()
    done = user.run("systemd-analyze", "--user", "verify", account.unit_path)
    assert done.returncode == 0 and UNIT not in done.stderr, done
    status = dict(
        line.split(":\t", 1)
        for line in user.run("cat", f"/proc/{account.pid()}/status").stdout.splitlines()
        if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    here = user.run("readlink", "/proc/self/ns/user").stdout
    first = user.run("cat", f"/proc/{account.pid()}/uid_map").stdout.split()
    assert here and first == ["0", "0", "4294967295"]
    assert user.show(UNIT, "RestrictAddressFamilies").split() != []


@pytest.mark.timeout(300)
def test_C5_a_unit_of_the_users_own_stays(account, user):
    """C5, C6: a unit named ssh-mux that the user wrote is neither replaced nor removed; without
    a manager that answers, uninstall still removes the file and the link."""
    account.route()
    account.unit_path.parent.mkdir(parents=True)
    own = "[Service]\nExecStart=/bin/true\n"
    account.unit_path.write_text(own)
    done = account.call("install", "--via", "tcp", "-p", str(account.port))
    assert done.returncode == 69 and "was not made by ssh-mux install" in done.stderr, done
    assert "so it stays" in account.uninstall().stdout
    assert account.unit_path.read_text() == own
    account.unit_path.unlink()
    account.install()
    account.call("stop")
    account.env["XDG_RUNTIME_DIR"] = str(account.home)
    account.uninstall()
    assert not account.unit_path.exists() and not os.path.lexists(account.link_path)
    del account.env["XDG_RUNTIME_DIR"]
