# SPDX-License-Identifier: MIT
"""ssh-mux doctor (B10) and what is around the files: the daemon, the ssh client, servers, editors,
the log and the system. Every finding provoked with real parts, and not there when all is well."""
import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from patient import Patient, healthy, routed
from peers import ROOT, SSH, EchoServer, free_port, poll

SSH_PATH = shutil.which(SSH)


@pytest.fixture
def patient(make_mux, make_sshd, tmp_path):
    return healthy(make_mux, make_sshd, tmp_path)


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
    patient.expect("warn", "no daemon runs$", r"ssh-mux daemon \(|above")


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


def test_B10_S5_daemon_below_tmp(make_mux, make_sshd, tmp_path):
    """B10, S5: a daemon that was started without XDG_RUNTIME_DIR is found where it is then."""
    p = Patient(make_mux(make_sshd(), env={"XDG_RUNTIME_DIR": ""}), tmp_path)
    p.expect_none("another XDG_RUNTIME_DIR")
    env = dict(p.env, XDG_RUNTIME_DIR=str(p.mux.run_dir))
    p.expect("fail", "a daemon runs, but .* another XDG_RUNTIME_DIR", "unset", env=env)
    p.expect_none("no daemon runs", env=env)


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
        "fail", f"port {taken.port} of 127.0.0.1 is taken by ", "setup-config -p .* daemon -p ",
        "-p", str(taken.port),
    )
    better = re.findall(r"-p (\d+)", found["remedy"])
    assert better[0] == better[1] and taken.port < int(better[0]) <= taken.port + 20
    patient.expect("fail", f"goes to port {patient.mux.port}, not to", f"-p {better[0]}( |$)",
                   "-p", str(taken.port))
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


def test_B10_ssh_that_does_not_answer(patient, tmp_path):
    """B10: one that says it is OpenSSH, and nothing when it is asked about a route."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "OpenSSH_9.2p1" >&2\nexit 0\n')
    ssh.chmod(0o755)
    patient.expect("warn", "does not answer as OpenSSH does", "--ssh-bin", "--ssh-bin", str(ssh))


def test_B10_ssh_that_is_not_there(patient):
    """B10: none in PATH, and one that was named."""
    patient.expect("fail", "/none/ssh was not found", "--ssh-bin", "--ssh-bin", "/none/ssh")
    env = dict(patient.env, PATH="/nonexistent")
    patient.expect("fail", "ssh was not found in PATH", "install", env=env)


# ---- servers ----


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
    patient.expect("note", r"can't work on t \(.administratively prohibited", "any_port = true")
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
