# SPDX-License-Identifier: MIT
"""ssh-mux doctor (B10) as a whole, and its findings about files, the configuration of ssh and keys:
every finding provoked with real parts, and not there when all is well."""
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time

import pytest

from patient import Patient, healthy, routed, snapshot, with_home
from peers import BINARY, poll, routes_toml


@pytest.fixture
def patient(make_mux, make_sshd, tmp_path):
    return healthy(make_mux, make_sshd, tmp_path)


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
    good = path.read_text().splitlines(True)[0]
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
    path.write_text(patient.mux.keys.public(other).rstrip("\n"))  # as some editors leave it
    found = patient.expect(
        "fail",
        r"^the key that ssh offers is not in .*Permission denied \(publickey\)",
        "run: .*cat .*>> ",
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


# ---- by the control sockets ----


def test_B10_W3_control_sockets(patient):
    """W3, B10: what ssh -G says of a host decides what is said of it: shared, directly with the
    reason, or past us."""
    patient.set_up("--via", "control")
    config = patient.dir / "config"
    included = config.read_text()
    assert patient.bad() == []
    patient.expect("ok", "shares the connection of ssh-mux for 1 of 1 route", "")
    port = patient.sshd.port
    config.write_text(included + "Host t\n  User other\n  Port 77\n  HostName elsewhere\n")
    patient.set_up("--via", "control")
    patient.expect("warn", rf"^t: ssh asks for other@elsewhere:77, the route says \S+@\S+:{port}: "
                   "it goes directly", "correct that in")
    config.write_text("Host *\n  ControlPath ~/cm-%C\n" + included)
    patient.expect("fail", "does not look for the control socket of ssh-mux but at .*/cm-.*, for: t",
                   "setup-config$")
    config.write_text(included + "Host t\n  ControlPath ~/own-%C\n")
    patient.set_up("--via", "control")
    patient.expect("note", "left to ssh by setup-config: t", "nothing")
    config.write_text(included)
    patient.set_up("--via", "control")
    hosts = patient.dir / "ssh-mux-hosts.conf"
    good = hosts.read_text()
    hosts.write_text(re.sub("/ssh-mux/[cd]", "/ssh-mux/e", good))
    patient.expect("fail", "at .*/ssh-mux/e.*, where the running daemon has none, for: t",
                   "setup-config$")
    hosts.write_text(good)
    patient.mux.stop()
    patient.expect("warn", "no daemon runs, so each ssh logs in on its own", "daemon")
    patient.expect("ok", "shares the connection of ssh-mux for 1 of 1 route", "")


def test_B10_W3_control_needs_no_key_of_the_local_hop(patient):
    """W3, B10: at the control sockets nobody offers a key, so that none may log in is no fault."""
    patient.set_up("--via", "control")
    for name in ("id_local", "id_local.pub", "ssh-mux-authorized-keys", "ssh-mux-known-hosts"):
        (patient.dir / name).unlink()
    patient.expect_none("ssh-mux-known-hosts")
    assert not [c for c in patient.findings() if c["level"] == "fail"]


@pytest.mark.parametrize("via", ["tcp", "proxy"])
def test_B10_W5_the_key_of_the_local_hop(patient, via):
    """W5, B10: missing, no key, or not let in: each with the one thing to do."""
    patient.set_up("--via", via)
    assert patient.bad() == []
    key, listed = patient.dir / "ssh-mux-local-key", patient.dir / "ssh-mux-authorized-keys"
    good, keys = key.read_bytes(), listed.read_text()
    listed.write_text("".join(keys.splitlines(True)[:-1]))
    patient.expect("fail", "ssh-mux-local-key, the key that ssh logs in at the local server with, "
                   "is not among", f"--via {via}$")
    listed.write_text(keys)
    key.write_bytes(b"rubbish\n")
    patient.expect("fail", "the key for the local server .* can't be used", "a new one is made")
    key.unlink()
    patient.expect("fail", "ssh-mux-local-key is missing, the key that", f"--via {via}$")
    patient.set_up("--via", via)
    assert patient.bad() == [] and key.read_bytes() != good
