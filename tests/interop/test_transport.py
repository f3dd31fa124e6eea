# SPDX-License-Identifier: MIT
"""A program instead of a TCP connection (R7), as ssh's ProxyCommand, without a shell."""
import hashlib
import os
import pathlib
import subprocess
import sys

import pexpect
import pytest

from peers import USER, children_of, hop, poll, routes_toml

# A socket of the server to the standard streams and back; what a plugin of a cloud does.
PLUGIN = """#!{python}
import os, socket, sys, threading, time
host, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
with open({log!r}, "a") as log:
    log.write(f"{{os.getpid()}} {{' '.join(sys.argv[1:])}}\\n")
if "slow" in how:
    time.sleep(1)
if "says" in how:
    print("\\x1b[31mopen https://login.example/device and wait", file=sys.stderr, flush=True)
if "fails" in how:
    print("no such instance", file=sys.stderr, flush=True)
    sys.exit(3)
s = socket.create_connection((host, port))
def up():
    while data := os.read(0, 65536):
        s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
if "stubborn" in how:
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "child" in how:
    if os.fork() == 0:
        time.sleep(1000)
    if "lives" in how:
        pass
began = time.monotonic()
while data := s.recv(65536):
    at = 0
    while at < len(data):
        at += os.write(1, data[at:])
"""


@pytest.fixture
def plugin(tmp_path):
    """(the program, a function that gives its runs: process ids and arguments)."""
    log = tmp_path / "runs"
    path = tmp_path / "plugin"
    path.write_text(PLUGIN.format(python=sys.executable, log=str(log)))
    path.chmod(0o755)

    def runs():
        lines = log.read_text().splitlines() if log.exists() else []
        return [(int(line.split()[0]), line.split()[1:]) for line in lines]

    return path, runs


def transport(server, *words, **more):
    return hop(server, transport=list(words), **more)


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_R7_one_process_for_all_calls(make_mux, make_sshd, plugin):
    """Pooled like TCP: one process per connection, with the words as they were written, and gone with
    it."""
    program, runs = plugin
    target = make_sshd()
    words = [str(program), "%h", "%p", "%r@%n", "100%%", "a b;$(c) '\"", ""]
    mux = make_mux(routes=routes_toml({"t": transport(target, *words)}), known_hosts=target.known_hosts())
    for _ in range(5):
        mux.check_works()
    ((pid, args),) = runs()
    assert args == f"127.0.0.1 {target.port} {USER}@t 100% a b;$(c) '\"".split(), args
    assert target.logins() == 1 and not is_gone(pid)
    mux.control("stop")
    poll(lambda: is_gone(pid), what="the process is gone")
    mux.start()


def test_R7_transfers_are_whole(make_mux, make_sshd, plugin, tmp_path):
    """20 MiB each way, and a session with what it wrote to both streams."""
    program, _ = plugin
    target = make_sshd()
    mux = make_mux(routes=routes_toml({"t": transport(target, str(program), "%h", "%p")}),
                   known_hosts=target.known_hosts())  # fmt: skip
    data = os.urandom(20 << 20)
    want = hashlib.sha256(data).hexdigest()
    done = mux.ssh("t", "sha256sum", input=data, timeout=120)
    assert done.stdout.split()[0].decode() == want
    (tmp_path / "big").write_bytes(data)
    done = mux.ssh("t", f"cat {tmp_path}/big", timeout=120)
    assert hashlib.sha256(done.stdout).hexdigest() == want
    done = mux.ssh("t", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)


@pytest.mark.parametrize("words", [["nc", "%h", "%p"], ["socat", "-", "TCP:%h:%p"],
                                   ["ssh", "-W", "%h:%p", "-F", "@", "gate"]])  # fmt: skip
def test_R7_the_programs_that_people_use(make_mux, make_sshd, keys, tmp_path, words):
    """Found in PATH, as ssh's shell finds them."""
    if subprocess.run(["which", words[0]], capture_output=True).returncode != 0:
        pytest.skip(f"no {words[0]}")
    target, gate = make_sshd(), make_sshd()
    config = tmp_path / "config"
    config.write_text(f"Host gate\n HostName 127.0.0.1\n Port {gate.port}\n User {USER}\n"
                      f" IdentityFile {keys.make('remote')}\n StrictHostKeyChecking no\n"
                      f" UserKnownHostsFile {tmp_path}/known\n")  # fmt: skip
    words = [str(config) if word == "@" else word for word in words]
    mux = make_mux(routes=routes_toml({"t": transport(target, *words)}), known_hosts=target.known_hosts())
    mux.check_works()
    mux.check_works()
    assert target.logins() == 1


def test_R7_one_that_fails_is_said_with_its_words(make_mux, make_sshd, plugin):
    """Its status and the last line of its stderr; what a terminal would obey is taken out."""
    program, runs = plugin
    target = make_sshd()
    mux = make_mux(routes=routes_toml({
        "t": transport(target, str(program), "%h", "%p", "fails"),
        "none": transport(target, "/nowhere/plugin", "%h"),
        "file": transport(target, "/etc/passwd", "%h"),
    }), known_hosts=target.known_hosts())  # fmt: skip
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and b"ended with status 3: no such instance" in done.stderr, done
    done = mux.ssh("none", "true")
    assert done.returncode == 255 and b"/nowhere/plugin can't be run: no such file" in done.stderr, done
    done = mux.ssh("file", "true")
    assert done.returncode == 255 and b"can't be run: permission denied" in done.stderr, done
    assert len(runs()) == 1 and target.logins() == 0


def test_R7_U5_a_program_that_is_not_there_is_not_tried_without_end(make_mux, make_sshd):
    """As a host that can't be reached: the calls after it are told when it is tried again."""
    target = make_sshd()
    mux = make_mux(routes=routes_toml({"t": transport(target, "/nowhere/plugin", "%h")}),
                   known_hosts=target.known_hosts())
    for _ in range(4):
        done = mux.ssh("t", "true")
        assert done.returncode == 255 and b"/nowhere/plugin can't be run" in done.stderr, done
    assert b"next try in" in done.stderr, done


def test_R7_its_stderr_is_logged_and_shown(make_mux, make_sshd, plugin):
    """Without what a terminal would obey."""
    program, _ = plugin
    target = make_sshd()
    mux = make_mux(routes=routes_toml({"t": transport(target, str(program), "%h", "%p", "says", "slow")}),
                   known_hosts=target.known_hosts())  # fmt: skip
    mux.check_works()
    # While it is waited for, on the terminal of whoever waits.
    mux.control("stop")
    mux.start()
    child = pexpect.spawn(str(mux.binary), ["connect", "t", "echo in"], env={**mux.env, "TERM": "xterm"},
                          timeout=40, encoding="utf-8")  # fmt: skip
    child.expect("plugin: open https://login.example/device and wait\r+\n")
    child.expect_exact("in\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0 and "\x1b" not in child.before, child.before
    log = mux.log()
    assert "plugin: open https://login.example/device and wait" in log and "\x1b" not in log, log


@pytest.mark.parametrize("how", ["", "child", "stubborn"])
def test_R7_it_ends_with_its_connection(make_mux, make_sshd, plugin, how):
    """However it behaves, and the children that it has, for which nothing waits."""
    program, runs = plugin
    target = make_sshd()
    words = [str(program), "%h", "%p"] + [how] * bool(how)
    mux = make_mux(routes=routes_toml({"t": transport(target, *words)}), known_hosts=target.known_hosts(),
                   timeout=1)  # fmt: skip
    mux.check_works()
    ((pid, _),) = runs()
    poll(lambda: is_gone(pid), 20, "the process of an idle connection is gone")
    left = subprocess.run(["pgrep", "-f", str(program)], capture_output=True, text=True).stdout
    assert not left, left
    mux.check_works()
    assert len(runs()) == 2
    # No zombie: nobody has children but the one that runs.
    children = children_of(mux.pid)
    assert len(children) == 1, children


def test_R7_its_end_is_the_connections(make_mux, make_sshd, plugin):
    """Killed in the middle: open sessions are told why, and the next call starts another one."""
    program, runs = plugin
    target = make_sshd()
    mux = make_mux(routes=routes_toml({"t": transport(target, str(program), "%h", "%p")}),
                   known_hosts=target.known_hosts())  # fmt: skip
    client = mux.start_ssh("t", "echo here; cat")
    assert client.stdout.readline() == b"here\n"
    ((pid, _),) = runs()
    os.kill(pid, 9)
    out, err = client.communicate(timeout=30)
    assert client.returncode != 0 and b"was ended by signal 9" in err, err
    mux.check_works()
    assert len(runs()) == 2


def test_R7_behind_it_and_before_it(make_mux, make_sshd, plugin):
    """The jump host of others may be reached by a program. Its own way can't be a jump host as well."""
    program, runs = plugin
    bastion, target = make_sshd(), make_sshd()
    words = [str(program), "%h", "%p"]
    mux = make_mux(routes=routes_toml({"t": hop(target)}, jump=transport(bastion, *words)),
                   known_hosts=bastion.known_hosts() + target.known_hosts())  # fmt: skip
    mux.check_works()
    assert len(runs()) == 1 and bastion.logins() == target.logins() == 1
    for routes in (
        {"t": transport(target, *words, jump="b"), "b": hop(bastion)},
        {"t": hop(target, jump=["b", "c"]), "b": hop(bastion), "c": transport(bastion, *words)},
        {"t": hop(target) | {"transport": "nc %h %p"}},
        {"t": transport(target, "nc", "%x")},
    ):
        mux.put("bad.toml", routes_toml(routes))
        checked = mux.control("check-config", "--config", str(mux.ssh_dir / "bad.toml"))
        assert checked.returncode != 0 and "transport" in checked.stdout, checked


def test_R7_environment_by_list(make_mux, make_sshd, tmp_path, plugin):
    """What such programs need to know an account, and nothing that makes them load something."""
    target = make_sshd()
    shown = tmp_path / "env"
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f"#!/bin/sh\nenv > {shown}\nexec {plugin[0]} \"$@\"\n")
    wrapper.chmod(0o755)
    env = {"AWS_PROFILE": "work", "LD_LIBRARY_PATH": "/x", "PYTHONSTARTUP": "/x", "SECRET_OF_MINE": "x"}
    mux = make_mux(routes=routes_toml({"t": transport(target, str(wrapper), "%h", "%p")}),
                   known_hosts=target.known_hosts(), env=env)  # fmt: skip
    mux.check_works()
    names = {line.split("=")[0] for line in shown.read_text().splitlines()}
    assert "AWS_PROFILE" in names and "PATH" in names
    assert not names & {"LD_LIBRARY_PATH", "PYTHONSTARTUP", "SECRET_OF_MINE", "SSH_MUX_SSH_DIR"}, names


def test_R7_P1_another_program_is_another_place(make_mux, make_sshd, plugin):
    program, runs = plugin
    target = make_sshd()
    words = [str(program), "%h", "%p"]
    mux = make_mux(routes=routes_toml({"a": transport(target, *words), "b": transport(target, *words, "x"),
                                       "c": hop(target)}), known_hosts=target.known_hosts())  # fmt: skip
    for name in "abc":
        mux.check_works(name)
    assert target.logins() == 3 and len(runs()) == 2


def test_R7_C4_import_takes_commands_that_need_no_shell(make_mux, make_sshd, keys, plugin, tmp_path):
    """--transports: what ssh did by its ProxyCommand, the daemon does by a transport; the rest stays."""
    program, runs = plugin
    target = make_sshd()
    config = tmp_path / "config"
    config.write_text(f"Host t\n HostName 127.0.0.1\n Port {target.port}\n User {USER}\n"
                      f" ProxyCommand {program} %h %p\n"
                      f"Host s\n HostName 127.0.0.1\n ProxyCommand sh -c '{program} %h %p'\n")
    mux = make_mux(routes=routes_toml({"x": hop(target)}), known_hosts=target.known_hosts())
    plain = mux.control("import-config", "--from", str(config))
    assert "[routes" not in plain.stdout.replace("[routes.NAME", ""), plain.stdout
    done = mux.control("import-config", "--from", str(config), "--transports", "--write", "--force",
                       "--out", str(mux.routes_path))  # fmt: skip
    assert done.returncode == 0 and "needs a shell" in done.stderr, done
    mux.control("stop")
    mux.start()
    mux.check_works()
    assert [args for _, args in runs()] == [["127.0.0.1", str(target.port)]]
