# SPDX-License-Identifier: MIT
"""The log of `serve` and of the daemon (D4): where it goes, what is in it, and what never is."""
import os
import re
import resource
import signal
import stat

import pytest

import otp_sshd
import peers
from peers import ROOT, hop, poll, routes_toml, sanitized
from test_connect import Idle, run
from test_prompts import PASSPHRASE, Person
from serve_terminal import TerminalMux

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warn|info|debug) "
    r'(?:conn=\d+ )?(?:chan=\d+ )?(?:client=\d+ )?(?:route="[^"\\]*" )?\S.*')
LIMIT = 5 << 20


def log_of(mux):
    return mux.ssh_dir / "ssh-mux.log"


def text_of(mux):
    return log_of(mux).read_text()


def lines_of(mux, *pieces):
    """The lines of its file that hold all the pieces."""
    return [line for line in text_of(mux).splitlines() if all(p in line for p in pieces)]


def wait_lines(mux, *pieces):
    return poll(lambda: lines_of(mux, *pieces), 20, f"{pieces} in the log")


def is_about_less(line):
    """A build with a sanitizer, or a kernel without landlock, confines less, and warns of it (H3)."""
    return " warn confined: " in line


def levels(text):
    return {LINE.fullmatch(line).group(1) for line in text.splitlines() if not is_about_less(line)}


@pytest.fixture
def idle(keys, cleanup, make_sshd):
    """A target, a route t to it, and no daemon."""
    target = make_sshd()
    mux = cleanup(Idle(keys, routes=routes_toml({"t": hop(target)}),
                       known_hosts=target.known_hosts()))
    mux.target = target
    return mux


@pytest.fixture
def serving(make_mux, make_sshd):
    """`serve` with its log level, environment and routes as the test wants them."""

    def make(level=None, **kwargs):
        kwargs.setdefault("target", make_sshd())
        mux = make_mux(start=False, **kwargs)
        at = mux.args.index("--log-level")
        mux.args[at: at + 2] = ["--log-level", level] if level else []
        return mux

    return make


# ---- where it goes -----------------------------------------------------------------------------


def test_D4_serve_logs_to_the_file_beside_stderr(serving):
    """D4: the same lines, in the same form, and the file is nobody else's."""
    mux = serving("debug")
    mux.start()
    mux.check_works()
    mux.wait_idle()
    mux.stop()
    assert text_of(mux) == mux.log()
    assert levels(text_of(mux)) == {"info", "debug"}
    assert stat.S_IMODE(log_of(mux).stat().st_mode) == 0o600
    first, last = lines_of(mux, "serves on"), text_of(mux).splitlines()[-1]
    assert re.search(rf"port {mux.port}: process {mux.pid}, 1 route$", first[0])
    assert last.endswith(f"info stopped: process {mux.pid}")


def test_D4_daemon_writes_each_line_once(idle):
    """D4: its stderr is the file, so the file is all there is."""
    log_of(idle).write_text("before\n")
    assert run(idle, "t", "true").returncode == 0
    pid, = idle.daemons()
    idle.stop()
    lines = text_of(idle).splitlines()
    assert lines[0] == "before" and len(lines) == len(set(lines))
    assert [line for line in lines if "serves on" in line][0].endswith(f"process {pid}, 1 route")
    assert all(LINE.fullmatch(line) for line in lines[1:])


def test_D4_stderr_that_is_the_file_already(serving):
    """D4: serve 2>>ssh-mux.log writes no line twice."""
    mux = serving("debug")
    mux.log_path = log_of(mux)
    mux.start()
    mux.check_works()
    mux.stop()
    assert len(lines_of(mux, "serves on")) == len(lines_of(mux, "logged in to")) == 1


@pytest.mark.parametrize("env, flag, expected", [
    ({}, None, {"info"}),
    ({"SSH_MUX_LOG": ""}, None, {"info"}),
    ({"SSH_MUX_LOG": "debug"}, None, {"info", "debug"}),
    ({"SSH_MUX_LOG": "debug"}, "info", {"info"}),
    ({"SSH_MUX_LOG": "error"}, "debug", {"info", "debug"}),
    ({"SSH_MUX_LOG": "error"}, None, set()),
    ({"SSH_MUX_LOG": "loud"}, None, {"info", "warn"}),
    ({"SSH_MUX_LOG": "loud"}, "info", {"info"}),
])
def test_D4_level_by_flag_and_environment(serving, env, flag, expected):
    """D4: the flag wins; what is no level is said once."""
    mux = serving(flag, env=env)
    mux.start()
    mux.check_works()
    mux.wait_idle()
    mux.stop()
    assert levels(text_of(mux)) == levels(mux.log()) == expected
    warned = lines_of(mux, "SSH_MUX_LOG must be error, warn, info or debug, not loud")
    assert len(warned) == ("warn" in expected)


def test_D4_daemon_started_with_no_level(idle):
    """D4: who starts it is told, and so is the log."""
    idle.env["SSH_MUX_LOG"] = "many"
    done = idle.control("daemon", "--no-listen")
    assert done.returncode == 0 and done.stderr.count("\n") == 1
    assert "SSH_MUX_LOG must be error, warn, info or debug, not many" in done.stderr
    assert len(lines_of(idle, " warn ", "not many; it is taken as info")) == 1
    assert "SSH_MUX_LOG" in idle.control("daemon", "--help").stdout


@pytest.mark.parametrize("broken", [None, "[routes.t]\nhost = 5\n"])
def test_D4_routes_that_fail_at_the_start_are_in_the_file(serving, broken):
    mux = serving()
    if broken:
        mux.put("ssh-mux-routes.toml", broken)
    else:
        mux.routes_path.unlink()
    done = mux.control(*mux.args)
    assert done.returncode in (66, 78)
    line, = lines_of(mux, " error ")
    assert "ssh-mux-routes.toml" in line and ("there is no" if not broken else ":2") in line
    assert "stopped" not in text_of(mux)


@pytest.mark.parametrize("what", ["symlink", "fifo", "hard link", "directory", "foreign"])
def test_D4_S1_unsafe_file_leaves_stderr(serving, tmp_path, what):
    """D4, S1: refused in one line, nothing is written there, and serve goes on."""
    mux = serving()
    victim = mux.ssh_dir / "victim"
    victim.write_text("safe\n")
    if what == "symlink":
        log_of(mux).symlink_to(victim)
    elif what == "fifo":
        os.mkfifo(log_of(mux), 0o600)
    elif what == "hard link":
        os.link(victim, log_of(mux))
    elif what == "directory":
        log_of(mux).mkdir()
    elif not ROOT:
        pytest.skip("only root can make a file of somebody else's")
    else:
        log_of(mux).write_text("theirs\n")
        os.chown(log_of(mux), 12345, 12345)
    mux.start()
    mux.check_works()
    mux.stop()
    refused = [line for line in mux.log().splitlines() if " warn " in line and not is_about_less(line)]
    assert len(refused) == 1 and str(log_of(mux)) in refused[0], refused
    assert "logged in to" in mux.log() and victim.read_text() == "safe\n"


def test_D4_daemon_without_a_place_for_its_log(idle, tmp_path):
    """D4: no log is no reason not to work: here, where the file can't be made."""
    if ROOT:
        pytest.skip("root can write anywhere")
    assert idle.control("daemon", "--no-listen").returncode == 0
    idle.stop()
    log_of(idle).unlink()
    idle.ssh_dir.chmod(0o500)
    try:
        done = idle.control("daemon", "--no-listen")
        assert done.returncode == 0 and "has no log" in done.stderr
        assert idle.status()["pid"]
        idle.stop()
    finally:
        idle.ssh_dir.chmod(0o700)


# ---- rotation ----------------------------------------------------------------------------------


def fill(mux, size):
    line = b"2026-01-01T00:00:00.000Z info " + b"x" * 69 + b"\n"
    log_of(mux).write_bytes(line * (size // len(line)))
    log_of(mux).chmod(0o600)


def test_D4_rotation_at_5_MB_by_a_daemon(idle):
    """D4: the file becomes .old, and stderr of the daemon goes on in the new one."""
    fill(idle, LIMIT - 150)
    log_of(idle).with_suffix(".log.old").write_text("older\n")
    assert idle.control("daemon", "--no-listen").returncode == 0
    pid, = idle.daemons()
    old = log_of(idle).with_suffix(".log.old")
    poll(lambda: old.stat().st_size > LIMIT - 400, 20, "the rotation")
    assert old.stat().st_size <= LIMIT
    for fd in ("1", "2"):
        assert os.readlink(f"/proc/{pid}/fd/{fd}") == str(log_of(idle))
    assert run(idle, "t", "true").returncode == 0
    wait_lines(idle, "logged in to")
    assert stat.S_IMODE(log_of(idle).stat().st_mode) == 0o600
    assert "older" not in old.read_text()
    idle.stop()
    assert text_of(idle).splitlines()[-1].endswith(f"stopped: process {pid}")


def test_D4_removed_or_renamed_file_is_made_again(serving):
    mux = serving("info")
    mux.start()
    poll(lambda: "serves on" in text_of(mux), 10, "the last line of the start", 0.05)
    log_of(mux).unlink()
    assert mux.control("lock").returncode == 0
    assert [line.split(" ", 2)[2] for line in text_of(mux).splitlines()] == [
        "locked: no new sessions"]
    log_of(mux).rename(mux.ssh_dir / "ssh-mux.log.1")
    assert mux.control("unlock").returncode == 0
    assert [line.split(" ", 2)[2] for line in text_of(mux).splitlines()] == ["unlocked"]


def test_D4_two_processes_of_one_directory(serving):
    """D4: one that can't start beside a daemon says so in the same file."""
    mux = serving("info")
    mux.start()
    mux.check_works()
    before = text_of(mux)
    done = mux.control(*mux.args)
    assert done.returncode == 69
    assert text_of(mux).startswith(before)
    added = text_of(mux)[len(before):].splitlines()
    assert any(" error control endpoint: " in line for line in added), added
    assert mux.control("lock").returncode == 0
    assert lines_of(mux, "locked: no new sessions")


def limit_file_size(pid, size):
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_D4_full_disk_is_survived_and_noted_once(serving):
    """D4: lines that can't be written are counted; a daemon does not end of it."""
    mux = serving("info")
    fill(mux, 100000)  # so that the limit is far from that of stderr's file
    mux.start()
    mux.check_works()
    limit_file_size(mux.pid, log_of(mux).stat().st_size + 30)
    for _ in range(3):
        assert mux.control("lock").returncode == mux.control("unlock").returncode == 0
    mux.check_works()
    limit_file_size(mux.pid, resource.RLIM_INFINITY)
    assert mux.control("lock").returncode == mux.control("unlock").returncode == 0
    mux.stop()
    lost, = lines_of(mux, "lines of this log are lost")
    assert re.search(r" warn [67] lines of this log are lost: cannot write to .*log: ", lost)
    after = text_of(mux).split(lost + "\n")[1].splitlines()
    assert after[0].endswith("locked: no new sessions") and after[1].endswith("unlocked")
    # On stderr nothing is missing, and the trouble was said when it began, once.
    assert mux.log().count("the log file loses lines") == 1
    assert mux.log().count("locked: no new sessions") == 4


# ---- what is in it -----------------------------------------------------------------------------


def test_D4_one_line_an_event_with_its_numbers(serving):
    """D4: all about a connection, a channel or a client is found by one word."""
    mux = serving("debug")
    mux.start()
    assert mux.ssh("t", "head -c 1000 /dev/zero; cat >/dev/null", input=b"x" * 77).returncode == 0
    connection, = mux.connections()
    mux.wait_idle()
    conn = f" conn={connection['id']} "
    for words in ('route="t" logging in to ', "host key of 127.0.0.1 port ",
                  'route="t" logged in to '):
        line, = lines_of(mux, conn + words)
        assert " info " in line
    assert re.search(r"\(OpenSSH_\S+.*\) by publickey SHA256:\S{43}$", line)
    opened, = lines_of(mux, conn, "channel opened: session")
    numbers = re.search(r" debug conn=\d+ (chan=\d+ client=\d+) route=\"t\" ", opened).group(1)
    closed, = lines_of(mux, numbers, "channel closed: ")
    assert closed.endswith(": 77 bytes sent, 1000 received")
    client = numbers.split()[1]
    assert [line for line in lines_of(mux, client + " ") if "client came" in line]
    assert lines_of(mux, client, "client authenticated, key: SHA256:")
    assert lines_of(mux, client, "client ended: ")
    mux.stop()
    ended, = lines_of(mux, conn, " ended: ssh-mux was stopped")
    assert " info " in ended


def test_D4_L3_refusals_and_the_lock(serving):
    """L3, D4: the words that people search for, whatever stands in front of them."""
    mux = serving("info", target=None, routes=routes_toml(
        {"gone": dict(host="127.0.0.1", port=1, user="u")}))
    mux.start()
    mux.ssh("home", "true")
    mux.ssh("gone", "true")
    line, = lines_of(mux, 'channel open rejected for route "home": unknown route')
    assert re.search(r' warn client=\d+ route="home" channel open', line)
    line, = lines_of(mux, 'channel open rejected for route "gone": remote session failed: ')
    assert re.search(r' warn chan=\d+ client=\d+ route="gone" channel open', line)
    assert re.search(r"Connection refused|connection refused", line)
    line, = lines_of(mux, ' info conn=', 'route="gone" login to u@127.0.0.1 port 1 ended: ')
    assert mux.control("lock").returncode == mux.control("unlock").returncode == 0
    assert lines_of(mux, " info locked: no new sessions") and lines_of(mux, " info unlocked")


def test_D4_failed_login_names_its_cause(serving, keys):
    mux = serving("info", identity=keys.make("unwanted"))
    mux.start()
    mux.ssh("t", "true")
    line, = lines_of(mux, " info conn=", 'route="t" login to ', "ended: ")
    assert "permission denied (the server accepts: publickey); 1 key offered" in line


# ---- what is never in it -----------------------------------------------------------------------


needs_passwords = pytest.mark.skipif(otp_sshd.missing_passwords() is not None,
                                     reason=str(otp_sshd.missing_passwords()))


def at_terminal(cleanup, keys, server, person, **kwargs):
    return cleanup(TerminalMux(keys, routes=routes_toml({"t": hop(server)}),
                               known_hosts=server.known_hosts(), terminal=person, **kwargs))


def all_of(mux):
    """What it has said anywhere; check_no_leak looks at the same when the test is over."""
    texts = [mux.log(), text_of(mux)] + [mux.control(*words).stdout for words in (
        ("status",), ("status", "--json"))]
    peers.check_no_leak(mux)
    return "".join(texts)


@needs_passwords
def test_D4_no_password_nor_code_is_logged(keys, cleanup):
    """D4: a wrong password, a wrong code, a code, a password: the methods are named, not more."""
    server = cleanup(otp_sshd.PasswordSshd(
        keys, codes=True, AuthenticationMethods="keyboard-interactive:pam",
        KbdInteractiveAuthentication="yes"))
    person = Person("the wrong one", "135791", server.code)
    mux = at_terminal(cleanup, keys, server, person, identity=keys.make("unwanted"))
    peers.secret_code("135791")
    assert mux.ssh("t", "true").returncode == 0
    text = all_of(mux)
    assert " by keyboard-interactive\n" in text
    assert "keyboard-interactive: refused by the server" in text
    assert "the wrong one" not in text and "135791" not in text


@needs_passwords
def test_D4_no_password_of_the_password_method_is_logged(keys, cleanup):
    server = cleanup(otp_sshd.PasswordSshd(keys))
    mux = at_terminal(cleanup, keys, server, Person("not this one", server.PASSWORD),
                      identity=keys.make("unwanted"))
    assert mux.ssh("t", "true").returncode == 0
    text = all_of(mux)
    assert " by password\n" in text and "password: refused by the server" in text
    assert server.PASSWORD not in text and "not this one" not in text


def test_D4_no_passphrase_nor_key_is_logged(keys, cleanup, make_sshd, make_agent):
    """D4: an encrypted key file, a readable one, and an agent's."""
    locked = keys.make("locked-for-logs", passphrase=PASSPHRASE)
    plain = keys.make("remote")
    server = make_sshd(accept=[locked])
    mux = at_terminal(cleanup, keys, server, Person("the wrong one", PASSPHRASE), identity=locked,
                      agent=make_agent(plain))
    (mux.ssh_dir / "id_ed25519.pub").write_text(keys.public(locked))
    mux.check_works()
    text = all_of(mux)
    assert " by publickey SHA256:" in text
    assert PASSPHRASE not in text and "the wrong one" not in text and "PRIVATE KEY" not in text


def test_D4_a_leak_would_be_seen(serving):
    """D4: the check that ends every test does find what it looks for."""
    mux = serving("info")
    mux.start()
    peers.check_no_leak(mux)
    peers.secret("hunter and gatherer")
    peers.secret_code("990817")
    dumped = b"hunter and gatherer".hex()
    for text, dump in [
        ("hunter and gatherer", "asked; hunter and gatherer\n"),
        (dumped, f"20{dumped}\n"),
        ("990817", "info the answer 990817 was sent\n"),
    ]:
        with open(log_of(mux), "a", encoding="ascii") as f:
            f.write(dump)
        with pytest.raises(AssertionError, match=text):
            peers.check_no_leak(mux)
        log_of(mux).unlink()
    mux.said.append("hunter and gatherer")
    with pytest.raises(AssertionError):
        peers.check_no_leak(mux)
    mux.said.clear()
    # Six digits of something else are no code.
    mux.said.append('"bytes_in": 990817, process 990817, port 990817, 990817 bytes, 0x990817, '
                    '"rates": [1, 990817]')
    peers.check_no_leak(mux)


# ---- the end -----------------------------------------------------------------------------------


@pytest.mark.big
@pytest.mark.skipif(sanitized(), reason="the sanitizer reports crashes itself")
@pytest.mark.parametrize("number, name", [
    (signal.SIGSEGV, "SIGSEGV"), (signal.SIGABRT, "SIGABRT"), (signal.SIGBUS, "SIGBUS"),
    (signal.SIGILL, "SIGILL"), (signal.SIGFPE, "SIGFPE")])
def test_D4_crash_is_in_the_log(serving, number, name):
    """D4: the release build writes what happened, with a trace, and ends by the signal."""
    mux = serving("info")
    mux.expect_clean = False
    mux.start()
    mux.check_works()
    os.kill(mux.pid, number)
    assert mux.proc.wait(20) == -number
    for text in (text_of(mux), mux.log()):
        report = text[text.index(" crashed: signal "):]
        assert re.match(rf" crashed: signal {int(number)} \({name}, .*\) sent by process "
                        rf"{os.getpid()}; process {mux.pid}, program loaded at 0x[0-9a-f]+; called "
                        r"from:\n(?:\S*\(.*\) ?\[0x[0-9a-f]+\]\n){3,}", report), report
        assert re.search(r"\n\d{4}-\S+Z error ssh-mux \d+\.\d+\.\d+ crashed", text)


@pytest.mark.big
@pytest.mark.skipif(sanitized(), reason="the sanitizer reports crashes itself")
def test_D4_crash_of_a_daemon_is_in_the_log_once(idle):
    assert run(idle, "t", "true").returncode == 0
    pid, = idle.daemons()
    os.kill(pid, signal.SIGSEGV)
    poll(lambda: not os.path.exists(f"/proc/{pid}"), 20, "its end")
    assert text_of(idle).count(" crashed: signal 11") == 1
    assert run(idle, "t", "exit 7").returncode == 7  # the next one starts


@pytest.mark.skipif(not sanitized(), reason="a sanitizer's build only")
def test_D4_sanitizer_keeps_its_own_report(serving):
    """D4: our handler does not hide what AddressSanitizer would say."""
    mux = serving("info")
    mux.expect_clean = False
    mux.start()
    os.kill(mux.pid, signal.SIGSEGV)
    mux.proc.wait(20)
    assert "AddressSanitizer" in mux.log() and "crashed: signal" not in mux.log()
    mux.kill()
    mux.proc = None
