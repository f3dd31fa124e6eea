# SPDX-License-Identifier: MIT
"""ssh-mux doctor (B10): every finding provoked with real parts, and not there when all is well."""
import contextlib
import hashlib
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from peers import BINARY, ROOT, SSH, EchoServer, free_port, hop, poll, routes_toml, sanitized

SSH_PATH = shutil.which(SSH)


class Patient:
    """A daemon, what setup-config makes for its clients, and the findings about them."""

    def __init__(self, mux, tmp_path):
        self.mux = mux
        self.dir = mux.ssh_dir
        self.settings = tmp_path / "settings"
        self.settings.mkdir()
        self.env = dict(mux.env, XDG_CONFIG_HOME=str(self.settings))
        self.env.pop("NO_COLOR", None)

    def set_up(self, *args):
        done = subprocess.run(
            [BINARY, "setup-config", "-p", str(self.mux.port), *args],
            env=self.env, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done

    def run(self, *args, **kwargs):
        return subprocess.run(
            [BINARY, "doctor", *args], env=kwargs.pop("env", self.env), capture_output=True,
            text=True, timeout=90, stdin=subprocess.DEVNULL, **kwargs,
        )

    def findings(self, *args, **kwargs):
        done = self.run("--json", *args, **kwargs)
        assert done.stderr == "", done
        told = json.loads(done.stdout)
        checks = told["checks"]
        for check in checks:
            assert set(check) == {"area", "level", "text", "remedy"}
            assert check["level"] in ("ok", "note", "warn", "fail")
            assert check["level"] == "ok" or check["remedy"], check
        assert told["failed"] == sum(c["level"] == "fail" for c in checks)
        assert done.returncode == (1 if told["failed"] else 0)
        return checks

    def expect(self, level, text, remedy, *args, **kwargs):
        """Exactly one finding with that text; its remedy fits."""
        checks = self.findings(*args, **kwargs)
        hits = [c for c in checks if re.search(text, c["text"])]
        assert len(hits) == 1, (text, checks)
        assert hits[0]["level"] == level, hits
        assert re.search(remedy, hits[0]["remedy"]), hits
        return hits[0]

    def expect_none(self, text, *args, **kwargs):
        checks = self.findings(*args, **kwargs)
        assert not [c for c in checks if re.search(text, c["text"])], checks

    def bad(self, *args, **kwargs):
        return [c for c in self.findings(*args, **kwargs) if c["level"] in ("warn", "fail")]


@pytest.fixture
def patient(make_mux, make_sshd, tmp_path):
    """In the best of health."""
    sshd = make_sshd()
    mux = make_mux(sshd)
    p = Patient(mux, tmp_path)
    p.sshd = sshd
    p.mux.local = keys_of_local_client(mux)
    p.set_up()
    return p


def keys_of_local_client(mux):
    """The key that the local server takes, where ssh finds it."""
    path = mux.ssh_dir / "id_local"
    shutil.copy(mux.local_key, path)
    shutil.copy(f"{mux.local_key}.pub", f"{path}.pub")
    path.chmod(0o600)
    return path


def snapshot(*roots):
    """Everything about every file below, but for when it was read."""
    found = {}
    for root in roots:
        for top, dirs, files in os.walk(root):
            for name in [".", *dirs, *files]:
                path = os.path.join(top, name)
                st = os.lstat(path)
                content = ""
                if os.path.isfile(path) and not name.endswith(".log"):
                    with open(path, "rb") as f:
                        content = hashlib.sha256(f.read()).hexdigest()
                found[path] = (st.st_mode, st.st_ino, st.st_mtime_ns, content) if content or \
                    os.path.isdir(path) else st.st_mode
    return found


# ---- as a whole ----


def test_B10_healthy_setup_has_no_findings(patient):
    """B10: where everything works, nothing is warned of; the exit code is 0."""
    assert patient.bad() == []
    done = patient.run()
    assert done.returncode == 0 and done.stderr == ""
    assert "\nnothing is broken" in done.stdout
    assert "\x1b" not in done.stdout


def test_B10_nothing_is_changed(patient):
    """B10: not a file, not a directory, not a connection: neither in health nor in sickness."""
    roots = (patient.dir, patient.mux.run_dir, patient.settings)
    before = snapshot(*roots)
    patient.findings()
    patient.findings("t")
    assert snapshot(*roots) == before
    assert patient.mux.status()["connections"] == []
    patient.mux.stop()
    shutil.rmtree(patient.mux.run_dir / "ssh-mux")
    for name in os.listdir(patient.dir):
        (patient.dir / name).unlink()
    before = snapshot(*roots)
    patient.findings()
    assert snapshot(*roots) == before


def test_B10_text_has_a_remedy_below_each_finding(patient):
    """B10: one line a check, and for what is not well one more, further in."""
    patient.mux.stop()
    (patient.dir / "ssh-mux-routes.toml").write_text("[routes.t]\n")
    lines = patient.run().stdout.splitlines()
    at = 0
    levels = set()
    while at < len(lines) - 2:
        line = lines[at]
        if line == "" or re.fullmatch(r"[A-Z s][A-Za-z ]+", line):
            at += 1
            continue
        level = re.match(r"  (ok  |note|warn|FAIL)  \S", line)
        assert level, (at, lines)
        levels.add(level[1].strip())
        at += 1
        if level[1] != "ok  ":
            assert re.match(r" {8}-> \S", lines[at]), (at, lines)
            at += 1
    assert {"ok", "FAIL"} <= levels
    assert re.match(r"\d+ things? to repair", lines[-1])


def run_on_terminal(patient, env, *args, columns=80):
    """The output as a terminal of that many columns gets it."""
    pid, master = pty.fork()
    if pid == 0:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execve(BINARY, [BINARY, "doctor", *args], env)
    out = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and select.select([master], [], [], 30)[0]:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(master)
    os.waitpid(pid, 0)
    return out.decode().replace("\r\n", "\n")


def test_B10_colour_on_a_terminal_only(patient):
    """B10: colour on a terminal, none with NO_COLOR; findings are broken between words there."""
    env = dict(patient.env, TERM="xterm-256color")
    text = run_on_terminal(patient, env)
    assert "\x1b[32mok" in text and "\x1b[0m" in text
    text = run_on_terminal(patient, dict(env, NO_COLOR="1"))
    assert "\x1b" not in text and "  ok    " in text
    patient.mux.stop()
    (patient.dir / "ssh-mux-authorized-keys").unlink()
    text = run_on_terminal(patient, dict(env, NO_COLOR="1"))
    for line in text.splitlines():
        # Remedies are there to be copied, and a word is never cut.
        assert len(line) <= 80 or line.startswith("        -> ") or len(line.split()) <= 2, line
    assert any(re.match(r" {8}[^- ]", line) for line in text.splitlines()), "nothing was broken"


def test_B10_no_secret_is_printed(patient):
    """B10: of private keys and of configuration nothing but names."""
    patient.mux.stop()
    for name in ("id_ed25519", "ssh-mux-host-key"):
        text = (patient.dir / name).read_text()
        (patient.dir / name).write_text(text.replace("OPENSSH", "OPENSHH"))
    done = patient.run()
    for name in ("id_ed25519", "ssh-mux-host-key"):
        for line in (patient.dir / name).read_text().splitlines()[1:-1]:
            assert line[:20] not in done.stdout + done.stderr


def test_B10_usage(patient):
    """B10, D1: what can't be meant is refused before anything is looked at."""
    for args in (["-p", "0"], ["-p", "65536"], ["-p", "x"], ["a", "b"], ["--jsn"]):
        done = patient.run(*args)
        assert done.returncode == 64, done
        assert done.stdout == "" and done.stderr.count("\n") == 1


def test_B10_texts_from_files_are_made_safe(patient):
    """B10, A7: what a file says can't drive the terminal."""
    (patient.dir / "ssh-mux.log").write_text(
        time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        + ' error \x1b]0;owned\x07 \x1b[31mred \x9b31m bad\n'
    )
    done = patient.run()
    assert "red" in done.stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stdout)
    patient.expect("note", "1 error logged.*red.*bad", "read: ")


# ---- files ----


def test_B10_S4_ignored_override_is_said(patient, tmp_path):
    """B10, S4: SSH_MUX_SSH_DIR that is not used, and why."""
    patient.expect_none("SSH_MUX_SSH_DIR is ignored")
    env = with_home(patient, tmp_path)
    patient.dir.chmod(0o770)
    try:
        patient.expect(
            "warn", "SSH_MUX_SSH_DIR is ignored.*writable by others", "chmod go-w", env=env
        )
    finally:
        patient.dir.chmod(0o700)


def with_home(patient, tmp_path):
    """An environment in which the user database has another home."""
    if not os.path.exists("/usr/lib/x86_64-linux-gnu/libnss_wrapper.so") and not shutil.which(
        "nss_wrapper"
    ):
        probe = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False)
        if "libnss_wrapper" not in probe.stdout:
            pytest.skip("libnss_wrapper is not installed")
    home = tmp_path / "home"
    home.mkdir(exist_ok=True, mode=0o700)
    (tmp_path / "passwd").write_text(
        f"somebody:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh\n"
    )
    (tmp_path / "group").write_text(f"somebody:x:{os.getgid()}:\n")
    return dict(
        patient.env,
        LD_PRELOAD="libnss_wrapper.so",
        NSS_WRAPPER_PASSWD=str(tmp_path / "passwd"),
        NSS_WRAPPER_GROUP=str(tmp_path / "group"),
        NSS_WRAPPER_DISABLE_DEEPBIND="1",
        ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0",
    )


def test_B10_missing_ssh_dir(patient, tmp_path):
    """B10: ~/.ssh that is not there."""
    env = with_home(patient, tmp_path)
    del env["SSH_MUX_SSH_DIR"]
    patient.expect("fail", "SSH directory .*home/.ssh does not exist", "mkdir -m 700", env=env)
    (tmp_path / "home/.ssh").mkdir(mode=0o700)
    patient.expect("ok", "SSH directory .*home/.ssh$", "", env=env)


def test_B10_C2_the_users_own_directory_needs_no_name(patient, tmp_path):
    """B10: below ~/.ssh the Include is a bare name, and ssh reads config by itself."""
    env = with_home(patient, tmp_path)
    del env["SSH_MUX_SSH_DIR"]
    shutil.copytree(patient.dir, tmp_path / "home/.ssh")
    patient.expect("note", "does not read .*config by itself", "ssh -F ")
    patient.expect_none("does not read .*config by itself", env=env)
    (tmp_path / "home/.ssh/config").write_text("Include ssh-mux-hosts.conf\n")
    patient.expect("ok", "home/.ssh/config includes", "", env=env)


def test_B10_routes_file(patient):
    """B10: missing, unsafe, empty, or with an error: said with its place."""
    path = patient.dir / "ssh-mux-routes.toml"
    patient.expect("ok", "^1 route in ", "")
    good = path.read_text()
    path.chmod(0o666)
    patient.expect("fail", "routes.toml is writable by others", "chmod go-w ")
    path.chmod(0o600)
    path.write_text(good + "prot = 3\n")
    patient.expect("fail", r"routes.toml:\d+:1: .*did you mean \"port\"", "check-config")
    path.write_text("")
    patient.expect("warn", "has no routes", "add one")
    path.unlink()
    patient.expect("fail", "routes.toml does not exist", "import-config --write")
    patient.expect("fail", "other.toml does not exist", "--config",
                   "--config", str(patient.dir / "other.toml"))
    path.write_text(good)


def test_B10_R6_direct_mode_needs_no_routes(make_mux, make_sshd, tmp_path):
    """B10, R6: a daemon for one server has no routes file, and that is no fault."""
    sshd = make_sshd()
    p = Patient(make_mux(sshd, direct=sshd), tmp_path)
    p.expect("note", "serves one server only", "none is needed")


def test_B10_host_key(patient):
    """B10, L4, S2: unsafe, damaged, missing."""
    path = patient.dir / "ssh-mux-host-key"
    patient.expect("ok", "host key of the local server SHA256:", "")
    patient.expect("ok", "is what clients expect", "")
    good = path.read_bytes()
    path.chmod(0o640)
    patient.expect("fail", "private key that others can get at", "chmod 600 ")
    path.chmod(0o600)
    path.write_text("rubbish\n")
    patient.expect("fail", "host key .* is damaged", "mv .*setup-config")
    path.unlink()
    patient.expect("note", "no host key yet", "setup-config")
    path.write_bytes(good)
    path.chmod(0o600)


def test_B10_C1_known_host_key(patient):
    """B10, C1: what clients hold for the local server, against what it has."""
    path = patient.dir / "ssh-mux-known-hosts"
    good = path.read_text()
    other = (patient.mux.keys.make("another_host")).with_suffix(".pub").read_text().split()[:2]
    path.write_text("ssh-mux " + " ".join(other) + "\n")
    patient.expect("fail", "another host key than the local server", "setup-config")
    path.write_text("@revoked " + good)
    patient.expect("fail", "revokes the host key", "remove line 1")
    path.write_text("")
    patient.expect("warn", "does not hold the host key", "setup-config")
    path.unlink()
    patient.expect("warn", "ssh-mux-known-hosts is missing", "setup-config")
    path.write_text(good)
    assert patient.bad() == []


# ---- ssh configuration ----


def test_B10_C1_hosts_file(patient):
    """B10: without it, or with one that others can change, ssh goes elsewhere."""
    path = patient.dir / "ssh-mux-hosts.conf"
    path.chmod(0o622)
    patient.expect("fail", "hosts.conf is writable by others", "chmod go-w ")
    path.chmod(0o600)
    path.write_text(path.read_text() + "Host gone other\n")
    patient.expect("warn", "still has gone, other, which are not in ", "setup-config -p")
    path.unlink()
    patient.expect("warn", "no .*ssh-mux-hosts.conf", "setup-config")


def test_B10_C2_include(patient):
    """B10: missing, too far down, or in a block where it counts for some hosts only."""
    path = patient.dir / "config"
    good = path.read_text()
    line = good.strip().splitlines()[-1]
    patient.expect("ok", "config includes ssh-mux-hosts.conf", "")
    path.write_text("")
    patient.expect("fail", "does not include ssh-mux-hosts.conf", "setup-config")
    patient.expect("fail", "ssh goes past ssh-mux, to t, for: t", "setup-config -p")
    path.write_text(f"Host other\n  {line}\n")
    patient.expect("fail", "config:2: .*inside a Host or Match block", "top")
    path.write_text(f"Compression no\n{line}\n")
    patient.expect("note", "config:2: .*below other settings", "top")
    path.unlink()
    patient.expect("fail", "no .*config to include", "setup-config")
    path.symlink_to("elsewhere")
    patient.expect("fail", "config is a symbolic link", ".")
    path.unlink()
    path.write_text(good)


@pytest.mark.parametrize(
    "block, level, text",
    [
        ("Port 1", "fail", r"goes to port 1, not to \d+, for: t"),
        ("User home", "fail", "sends the user name home, but it must be the route's name"),
        ("HostName 192.0.2.1", "fail", "goes past ssh-mux, to 192.0.2.1, for: t"),
        ("HostKeyAlias other", "fail", "does not look up the local server's key as ssh-mux"),
        ("ProxyCommand nc %h %p", "fail", r"of yours comes first \(nc .*\), for: t"),
        ("ProxyJump elsewhere", "fail", r"of yours comes first \(elsewhere\), for: t"),
        ("NoSuchOption yes", "fail", "ssh refuses the configuration for t: .*nosuchoption"),
        ("Compression yes", "ok", "comes to ssh-mux for 1 of 1 route"),
    ],
)
def test_B10_what_ssh_makes_of_it(patient, block, level, text):
    """B10: the troubleshooting section's wrong user name and wrong host, asked of ssh itself."""
    path = patient.dir / "config"
    path.write_text(f"Host t\n  {block}\nHost *\n" + path.read_text())
    patient.expect(level, text, "setup-config" if level == "fail" else "")


def test_B10_many_routes_are_one_finding(patient):
    """B10: what is wrong with all of them is said once, with some names."""
    routes = {f"r{i}": dict(host="192.0.2.1", user="u") for i in range(6)}
    (patient.dir / "ssh-mux-routes.toml").write_text(routes_toml(routes))
    found = patient.expect("fail", "ssh goes past ssh-mux", "setup-config")
    assert found["text"].endswith("r0, r1, r2 and 3 more")
    (patient.dir / "ssh-mux-routes.toml").rename(patient.dir / "other.toml")
    routed(patient)
    poll(lambda: [r["name"] for r in patient.mux.status()["routes"]] == ["t"], 30, "the routes")
    patient.expect("fail", "daemon does not know r0, r1, r2 and 3 more", "--config .*other.toml",
                   "--config", str(patient.dir / "other.toml"))


def test_B10_match_exec_that_hangs(patient):
    """B10: a command in the user's config is given some time, and no more."""
    path = patient.dir / "config"
    path.write_text('Match exec "sleep 30"\nHost *\n' + path.read_text())
    patient.expect("fail", "ssh -G t does not end", "Match exec")


def test_B10_B5_by_proxy(patient):
    """B10, B5: ssh that comes by ssh-mux proxy needs no port, and no daemon yet."""
    patient.set_up("--via", "proxy")
    patient.expect("ok", "comes to ssh-mux for 1 of 1 route", "")
    patient.mux.stop()
    patient.expect("note", "no daemon runs", "the first ssh starts one")
    hosts = patient.dir / "ssh-mux-hosts.conf"
    hosts.write_text(hosts.read_text().replace(BINARY, "/nonexistent/ssh-mux"))
    patient.expect("fail", "program of the ProxyCommand does not exist", "--via proxy")


# ---- keys ----


def test_B10_L5_downgrade(patient):
    """B10, L5: without a list, every id_*.pub counts; the remedy is exact."""
    path = patient.dir / "ssh-mux-authorized-keys"
    path.unlink()
    found = patient.expect(
        "warn", r"no .*ssh-mux-authorized-keys, so .*id_\*.pub", r"\(umask 077; cp "
    )
    command = found["remedy"].split("run: ", 1)[1]
    subprocess.run(command, shell=True, check=True, timeout=20)
    assert path.stat().st_mode & 0o777 == 0o600
    patient.expect("ok", "1 key in .*ssh-mux-authorized-keys may use", "")


def test_B10_L5_nobody_is_authorised(patient):
    """B10, L5: an empty list, and no list with nothing beside it."""
    path = patient.dir / "ssh-mux-authorized-keys"
    path.write_text("# none\n")
    patient.expect("fail", "no key may use the local server: .*has none", "cat KEY.pub >> ")
    path.unlink()
    for name in os.listdir(patient.dir):
        if name.startswith("id_") and name.endswith(".pub"):
            (patient.dir / name).unlink()
    patient.expect("fail", "no key may use the local server: .*are missing", "cat KEY.pub >> ")


def test_B10_L5_lines_left_out(patient):
    """B10, L5: a line with options is no key, and that is said."""
    path = patient.dir / "ssh-mux-authorized-keys"
    good = path.read_text()
    path.write_text(good + 'command="x" ' + good + "ssh-dss AAAA\n")
    patient.expect("warn", "2 lines are left out: .*authorized-keys:2: ", "write the key alone")


def test_B10_S2_unsafe_list(patient):
    """B10, S2: a list that others can change is not used."""
    (patient.dir / "ssh-mux-authorized-keys").chmod(0o666)
    patient.expect("fail", "^/.*ssh-mux-authorized-keys is writable by others", "chmod go-w ")
    patient.expect_none("the daemon warns")


def test_B10_public_key_not_allowed(patient, make_agent):
    """B10: the troubleshooting section's key that ssh offers and the local server does not take;
    what the remedy says ends it."""
    patient.expect("ok", "^the key that ssh offers may log in", "")
    other = patient.mux.keys.make("not_listed")
    path = patient.dir / "ssh-mux-authorized-keys"
    path.write_text(patient.mux.keys.public(other))
    found = patient.expect(
        "fail", r"^the key that ssh offers is not in .*Permission denied \(publickey\)", "run: cat .*>> "
    )
    subprocess.run(found["remedy"].split("run: ", 1)[1], shell=True, check=True, timeout=20)
    patient.expect("ok", "^the key that ssh offers may log in", "")
    # The agent's, where ssh may use them all.
    path.write_text(patient.mux.keys.public(other))
    agent = make_agent(other)
    env = dict(patient.env, SSH_AUTH_SOCK=str(agent.sock))
    hosts = patient.dir / "ssh-mux-hosts.conf"
    hosts.write_text(re.sub("IdentitiesOnly yes", "IdentitiesOnly no", hosts.read_text()))
    patient.expect("ok", "1 of the 2 keys that ssh offers may log in", "", env=env)


def test_B10_agent(patient, make_agent):
    """B10: an agent that is gone, one that is there, one with more keys than servers take."""
    patient.expect("ok", "no agent here", "")
    env = dict(patient.env, SSH_AUTH_SOCK=str(patient.dir / "gone"))
    patient.expect("warn", "agent of SSH_AUTH_SOCK does not answer: .*gone", "agent", env=env)
    keys = [patient.mux.keys.make(f"agent{i}") for i in range(7)]
    agent = make_agent(*keys)
    env = dict(patient.env, SSH_AUTH_SOCK=str(agent.sock))
    patient.expect("ok", "agent with 7 keys", "", env=env)
    patient.expect("note", "Too many authentication failures", "identities_only", env=env)
    config = patient.dir / "config"
    config.write_text(f"IdentityAgent {patient.dir}/away\n" + config.read_text())
    patient.expect("warn", "agent of IdentityAgent .* does not answer: .*away", ".", env=env)


# ---- the daemon ----


def test_B10_daemon_that_does_not_run(patient):
    """B10: nobody there, and what a crash has left."""
    patient.expect("ok", "the daemon runs: process %d," % patient.mux.pid, "")
    patient.expect("ok", "is the daemon's", "")
    patient.mux.expect_clean = False
    os.kill(patient.mux.pid, signal.SIGKILL)
    patient.mux.proc.wait()
    patient.expect("fail", "no daemon runs, so ssh gets", "ssh-mux daemon")
    patient.expect("note", "has left its socket", "nothing to do")
    patient.expect("ok", r"port \d+ of 127.0.0.1 is free", "")
    patient.expect("fail", "no daemon runs", f"ssh-mux daemon -p {patient.mux.port} ")
    (patient.dir / "ssh-mux-hosts.conf").unlink()
    patient.expect("warn", "no daemon runs$", r"ssh-mux daemon \(", "-p", "2222")


def test_B10_daemon_that_hangs(patient):
    """B10: one that does not answer is told from none, in bounded time."""
    os.kill(patient.mux.pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        patient.expect("fail", "does not answer as it should: timed out", "kill -9")
        assert time.monotonic() - start < 60
    finally:
        os.kill(patient.mux.pid, signal.SIGCONT)


def test_B10_P8_locked(patient):
    """B10, P8: a locked daemon."""
    assert patient.mux.control("lock").returncode == 0
    patient.expect("warn", "daemon is locked", "run: ssh-mux unlock")
    assert patient.mux.control("unlock").returncode == 0
    patient.expect_none("daemon is locked")


def test_B10_daemon_of_another_runtime_directory(patient, cleanup):
    """B10: a daemon that XDG_RUNTIME_DIR hides is found out by its host key."""
    other = patient.mux.dir / "other"
    other.mkdir(mode=0o700)
    env = dict(patient.env, XDG_RUNTIME_DIR=str(other))
    found = patient.expect("fail", "served with your own host key by a daemon that can't be found",
                           "stop that process", "-p", str(patient.mux.port), env=env)
    assert f"process {patient.mux.pid})" in found["text"]
    patient.expect_none("no daemon runs", "-p", str(patient.mux.port), env=env)


def test_B10_S5_runtime_directory(patient):
    """B10, S5: one that others can enter is not used, and one that is no path is not meant."""
    (patient.mux.run_dir / "ssh-mux").chmod(0o755)
    patient.expect("fail", "ssh-mux can be entered by others", "chmod 700 ")
    (patient.mux.run_dir / "ssh-mux").chmod(0o700)
    env = dict(patient.env, XDG_RUNTIME_DIR="run")
    patient.expect("warn", "XDG_RUNTIME_DIR is not an absolute path", "unset", env=env)


class OtherDaemon:
    """Speaks the control protocol, and says of itself what it is told to."""

    def __init__(self, mux, **said):
        digest = hashlib.sha256(str(mux.ssh_dir).encode()).hexdigest()[:16]
        self.path = mux.run_dir / "ssh-mux" / f"control-{digest}.sock"
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.serve(said)
            finally:
                os._exit(0)
        poll(self.path.exists, what="the endpoint")

    def serve(self, said):
        s = socket.socket(socket.AF_UNIX)
        s.bind(str(self.path))
        s.listen(8)
        while True:
            c, _ = s.accept()
            c.sendall(said["hello"])
            f = c.makefile("rb")
            f.readline()
            f.readline()
            c.sendall(said["status"])
            f.read()

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def recorded(mux):
    """What a real daemon says to a client that asks for its status."""
    digest = hashlib.sha256(str(mux.ssh_dir).encode()).hexdigest()[:16]
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(mux.run_dir / "ssh-mux" / f"control-{digest}.sock"))
    f = s.makefile("rb")
    hello = f.readline()
    s.sendall(hello + b'{"id":1,"cmd":"status"}\n')
    status = b""
    while b'"ok":true}' not in status:
        line = f.readline()
        assert line
        status += line
        if json.loads(line).get("more") is not True and "daemon" not in json.loads(line):
            break
    s.close()
    return hello, status


def test_B10_another_version(patient, cleanup):
    """B10: the daemon of an older program goes on until it is restarted."""
    hello, status = recorded(patient.mux)
    version = json.loads(hello)["program"]
    patient.mux.stop()
    assert f'"{version}"'.encode() in status
    cleanup(OtherDaemon(patient.mux, hello=hello,
                        status=status.replace(f'"{version}"'.encode(), b'"0.0.9"')))
    patient.expect("warn", "the daemon is version 0.0.9, this program", "stop && ssh-mux daemon")


def test_B10_another_language(patient, cleanup):
    """B10: what is no daemon of ours is a finding, not a hang or a crash."""
    patient.mux.stop()
    cleanup(OtherDaemon(patient.mux, hello=b"HTTP/1.0 400\n", status=b""))
    patient.expect("fail", "does not answer as it should", "ssh-mux daemon")


def test_B10_port_of_another_program(patient, cleanup):
    """B10: who has the port is named, and the remedy names another one."""
    patient.mux.stop()
    taken = cleanup(EchoServer())
    found = patient.expect(
        "fail", f"port {taken.port} of 127.0.0.1 is taken by ", rf"-p {taken.port + 1} ",
        "-p", str(taken.port),
    )
    assert found["text"].endswith(f"(process {os.getpid()})"), "an echo is no SSH server"
    patient.expect("fail", "no daemon runs$", "above", "-p", str(taken.port))
    port = patient.sshd.port
    found = patient.expect("fail", f"port {port} of 127.0.0.1 is taken by ", "setup-config -p",
                           "-p", str(port))
    assert "an SSH server: OpenSSH_" in found["text"]


@pytest.mark.skipif(not ROOT, reason="needs another user's process")
def test_B10_port_of_another_user(patient):
    """B10: whose it is is said, even where the process can't be."""
    patient.mux.stop()
    port = free_port()
    code = (
        "import socket,sys;s=socket.create_server(('127.0.0.1',%d));print(1,flush=True);"
        "sys.stdin.read()" % port
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, user="nobody"
    ) as other:
        assert other.stdout.readline() == b"1\n"
        patient.expect("fail", f"port {port} of 127.0.0.1 is taken by .* of user nobody", ".",
                       "-p", str(port))
        other.stdin.close()
        other.wait(20)


def test_B10_port_other_than_asked(patient):
    """B10: a daemon on one port and clients meant for another."""
    port = free_port()
    patient.expect("fail", f"serves port {patient.mux.port}, not {port}", f"daemon -p {port}",
                   "-p", str(port))


def test_B10_changed_host_key(patient):
    """B10: the file's key is not the one that is shown."""
    path = patient.dir / "ssh-mux-host-key"
    good = path.read_bytes()
    shutil.copy(patient.mux.keys.make("another_host"), path)
    path.chmod(0o600)
    patient.expect("fail", "shows another host key than the file has", "ssh-mux stop")
    path.write_bytes(good)


# ---- the ssh client ----


def fake_ssh(path, version):
    path.write_text(
        f'#!/bin/sh\n[ "$1" = -V ] && {{ echo "{version}" >&2; exit 0; }}\nexec {SSH_PATH} "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "version, level, text",
    [
        ("OpenSSH_6.6.1p1 Ubuntu-2, OpenSSL 1.0.1f", "fail", "is OpenSSH_6.6.1p1, too old"),
        ("OpenSSH_7.9p1 Debian-10, OpenSSL 1.1.1", "warn", "OpenSSH_7.9p1, older than"),
        ("OpenSSH_8.5p1, LibreSSL", "ok", "is OpenSSH_8.5p1$"),
        ("OpenSSH_for_Windows_9.5p1, LibreSSL 3.8.2", "ok", "is OpenSSH_for_Windows_9.5p1$"),
        ("OpenSSH_10.2p1, OpenSSL 3.5.0", "ok", "is OpenSSH_10.2p1$"),
        ("Sun_SSH_2.4", "warn", "is not OpenSSH"),
    ],
)
def test_B10_ssh_version(patient, tmp_path, version, level, text):
    """B10: how old a client may be."""
    ssh = fake_ssh(tmp_path / "ssh", version)
    patient.expect(level, text, "" if level == "ok" else "--ssh-bin", "--ssh-bin", ssh)


def test_B10_ssh_that_is_not_there(patient):
    """B10: none in PATH, and one that was named."""
    patient.expect("fail", "/none/ssh was not found", "--ssh-bin", "--ssh-bin", "/none/ssh")
    env = dict(patient.env, PATH="/nonexistent")
    patient.expect("fail", "ssh was not found in PATH", "install", env=env)


# ---- servers ----


def routed(patient, **more):
    route = dict(hop(patient.sshd), **more)
    (patient.dir / "ssh-mux-routes.toml").write_text(routes_toml({"t": route}))


def test_B10_identity_files(patient, tmp_path):
    """B10, A1: missing, unsafe, damaged, encrypted."""
    key = tmp_path / "key"
    shutil.copy(patient.mux.keys.make("remote"), key)
    key.chmod(0o600)
    routed(patient, identity=str(key))
    patient.expect("ok", "1 key file to log in with", "")
    key.chmod(0o644)
    patient.expect("fail", "key is a private key that others can get at", "chmod 600 ")
    key.chmod(0o600)
    key.write_text("rubbish")
    patient.expect("fail", "key can't be used", "ssh-keygen -l -f ")
    key.unlink()
    patient.expect("fail", "key of route t does not exist", "identity")
    routed(patient, identity=str(patient.mux.keys.make("locked", passphrase="hunter2")))
    patient.expect("note", "encrypted: .*locked", "ssh-add")


def test_B10_nothing_to_log_in_with(patient):
    """B10, A1: no key file and no agent."""
    patient.expect_none("no key to log in to servers with")
    (patient.dir / "id_ed25519").unlink()
    patient.expect("warn", "no key to log in to servers with", "identity = ")


def test_B10_identity_agent(patient, make_agent):
    """B10, A1: a route's own agent."""
    agent = make_agent()
    routed(patient, identity_agent=str(agent.sock))
    patient.expect_none("agent of route t")
    routed(patient, identity_agent="/nonexistent/agent")
    patient.expect("fail", "agent of route t does not answer: /nonexistent/agent", "identity_agent")


def test_B10_K1_host_keys_of_servers(patient):
    """B10, K1, K3, K5: known, not known, revoked, not usable, unsafe."""
    path = patient.dir / "known_hosts"
    good = path.read_text()
    patient.expect("ok", "host keys are known of 1 of 1 server$", "")
    path.write_text("")
    patient.expect("note", r"no host key is known of \[127.0.0.1\]:", "fingerprint")
    path.write_text(good + "@revoked " + good.splitlines()[0] + "\n")
    patient.expect("note", "known_hosts revokes keys of ", "refused")
    path.write_text(f"[127.0.0.1]:{patient.sshd.port} ssh-ed25519 AAAA\n")
    patient.expect("warn", "only lines that can't be used for ", "repair")
    path.write_text(good)
    path.chmod(0o666)
    patient.expect("fail", "known_hosts is writable by others", "chmod go-w ")


def test_B10_one_route(patient):
    """B10: a route by its name, the near miss of one, and whether its server answers."""
    patient.expect("ok", r"^route t: \S+@127.0.0.1 port \d+, direct", "", "t")
    patient.expect("ok", r"127.0.0.1 port \d+ can be reached \(no login was tried", "", "t")
    patient.expect("fail", "there is no route tt in ", "did you mean: ssh-mux doctor t$", "tt")
    patient.expect("fail", "there is no route else in ", r"\[routes.else\]", "else")
    patient.expect_none("can be reached")
    logins = patient.sshd.logins()
    patient.sshd.stop()
    patient.expect("fail", r"can't be reached: connection refused", "compare host and port", "t")
    assert logins == 0
    routed(patient)
    text = (patient.dir / "ssh-mux-routes.toml").read_text()
    (patient.dir / "ssh-mux-routes.toml").write_text(text.replace("127.0.0.1", "no.invalid"))
    patient.expect("fail", "no.invalid port .* can't be reached: ", "compare", "t")


# ---- editors ----


def put_settings(patient, text, editor="Code"):
    path = patient.settings / editor / "User/settings.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


GOOD_SETTINGS = '"remote.SSH.configFile": "%s", "remote.SSH.connectTimeout": 120'


@pytest.mark.parametrize("editor, name", [("Code", "VS Code"), ("Cursor", "Cursor")])
def test_B10_editor_settings_that_are_good(patient, editor, name):
    """B10: an editor that knows our config."""
    patient.expect("ok", "no settings of VS Code", "")
    put_settings(patient, "{ // mine\n" + GOOD_SETTINGS % (patient.dir / "config") + ",\n}", editor)
    patient.expect("ok", rf"^{name}: its settings suit ssh-mux \(.*settings.json\)", "")
    patient.expect("note", r"can't work on t \(.administratively prohibited", "loopback_any_port = true")
    routed(patient, allow_remote_loopback_any_port=True)
    patient.expect("ok", "every route lets Remote-SSH", "")


@pytest.mark.parametrize(
    "settings, level, text",
    [
        ("", "warn", "reads the config in ~/.ssh, which is not"),
        ('"remote.SSH.configFile": "/else/config"', "warn", "reads /else/config, not .*/config"),
        ('"remote.SSH.connectTimeout": 20', "warn", "after 20 seconds: too short"),
        ("", "note", "after 15 seconds, its default: too short"),
        ('"remote.SSH.path": "/none/ssh"', "warn", "told to use /none/ssh as ssh"),
        ('"remote.SSH.path": "/bin/sh"', "note", "another ssh than the one above: /bin/sh"),
    ],
)
def test_B10_editor_settings_that_are_not(patient, settings, level, text):
    """B10: settings that keep Remote-SSH from ssh-mux."""
    put_settings(patient, "{" + settings + "}")
    patient.expect(level, text, r"remote\.SSH|--ssh-bin")


def test_B10_editor_settings_that_are_odd(patient):
    """B10: huge ones, a FIFO, rubbish: said or ignored, never waited for."""
    path = put_settings(patient, "{" + " " * (5 << 20))
    patient.expect("note", "VS Code: its settings were not read: .*larger", "yourself")
    path.unlink()
    os.mkfifo(path)
    patient.expect("note", "VS Code: its settings were not read", "yourself")
    path.unlink()
    path.write_bytes(os.urandom(4096))
    patient.findings()


# ---- log and system ----


def test_B10_L3_wrong_user_name_in_the_log(patient):
    """B10, L3: the troubleshooting section's user name that is no route, from the daemon's log."""
    done = patient.mux.ssh("home", "true")
    assert done.returncode == 255
    poll(lambda: "unknown route" in log_of(patient), 20, "the log")
    patient.expect("warn", 'with the user name "home", which is no route', r"\[routes.home\]")


def log_of(patient):
    with contextlib.suppress(OSError):
        return (patient.dir / "ssh-mux.log").read_text()
    return ""


def test_B10_L3_remote_failure_in_the_log(patient):
    """B10, L3: why the last login failed."""
    patient.expect_none("last login that failed")
    patient.sshd.stop()
    assert patient.mux.ssh("t", "true").returncode == 255
    poll(lambda: "remote session failed" in log_of(patient), 20, "the log")
    patient.expect("note", "last login that failed, to t: .*refused", "ssh-mux doctor t")


def test_B10_log_of_yesterday_is_old(patient):
    """B10: what was logged long ago is no finding."""
    line = ' warn channel open rejected for route "old": unknown route\n'
    (patient.dir / "ssh-mux.log").write_text("2020-01-01T00:00:00.000Z" + line)
    patient.expect_none('"old"')
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    (patient.dir / "ssh-mux.log").write_text(now + line)
    patient.expect("warn", '"old", which is no route', "name of a route")


def test_B10_file_limit(patient):
    """B10: a hard limit that leaves room for few."""
    patient.expect_none("files open")

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    patient.expect("warn", "only 256 files open", "limit", preexec_fn=few)


@pytest.mark.skipif(not ROOT, reason="needs a file system of its own")
def test_B10_full_disk(patient, tmp_path):
    """B10: no room for a host key."""
    small = tmp_path / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "none", str(small)],
                          capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        env = dict(patient.env, SSH_MUX_SSH_DIR=str(small))
        patient.expect("fail", "the disk of .* is full", "free some space", env=env)
    finally:
        subprocess.run(["umount", str(small)], check=True)
    patient.expect("ok", "are free for ", "")
