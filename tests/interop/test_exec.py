# SPDX-License-Identifier: MIT
"""Commands: what they print, how they end, what they are given (L9, L8)."""
import concurrent.futures
import os
import signal
import subprocess
import time

import pytest

from peers import pgrep, poll

EVERY_BYTE = bytes(range(256)) * 512


@pytest.mark.core
def test_L9_stdout_stderr_apart(mux):
    done = mux.ssh("t", "echo out; echo err >&2; echo out2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\nout2\n", b"err\n", 3)


@pytest.mark.core
def test_R2_direct_route(mux):
    before = mux.bastion.log().count("Connection from")
    done = mux.ssh("d", "echo direct; exit 4")
    assert (done.stdout, done.returncode) == (b"direct\n", 4)
    assert mux.bastion.log().count("Connection from") == before


@pytest.mark.core
def test_R1_route_goes_through_the_jump_host(mux):
    mux.check_works("t")
    assert mux.bastion.logins() == 1 and mux.target.logins() >= 1


@pytest.mark.core
@pytest.mark.parametrize("start", range(0, 256, 64))
def test_L9_every_exit_code(mux, start):
    def code(n):
        return mux.ssh("t", f"exit {n}").returncode

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        wanted = list(range(start, start + 64))
        assert list(pool.map(code, wanted)) == wanted


def test_L9_binary_both_ways(mux):
    done = mux.ssh("t", "cat", input=EVERY_BYTE)
    assert done.stdout == EVERY_BYTE and done.returncode == 0


def test_L9_binary_stderr(mux):
    done = mux.ssh("t", "cat >&2", input=EVERY_BYTE)
    assert done.stderr == EVERY_BYTE and done.stdout == b""


def test_L9_both_streams_at_once(mux):
    """1 MiB on each; neither starves the other nor loses a byte."""
    done = mux.ssh(
        "t",
        "head -c 1048576 /dev/zero | tr '\\0' o & head -c 1048576 /dev/zero | tr '\\0' e >&2; wait",
    )
    assert done.stdout == b"o" * 1048576 and done.stderr == b"e" * 1048576


def test_L9_no_output_no_input(mux):
    done = mux.ssh("t", "true")
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


def test_L9_stdin_eof_then_output(mux):
    """Half-close: the command answers after our end of file."""
    done = mux.ssh("t", "sort -n; echo end", input=b"3\n1\n2\n")
    assert (done.stdout, done.returncode) == (b"1\n2\n3\nend\n", 0)
    assert mux.ssh("t", "cat | wc -c; sleep 0.2; echo late", input=b"x" * 99999).stdout.split() == [
        b"99999",
        b"late",
    ]


def test_L9_command_ignores_stdin_and_ends(mux):
    """The remote closes its input first: more of ours is not an error."""
    done = mux.ssh("t", "exec 0<&-; echo closed; sleep 0.3; exit 6", input=b"x" * 300000)
    assert (done.stdout, done.returncode) == (b"closed\n", 6)


def test_L9_output_closed_before_exit(mux):
    """The remote's end of file comes long before its exit status."""
    done = mux.ssh("t", "echo a; exec 1>&- 2>&-; sleep 0.5; exit 9")
    assert (done.stdout, done.returncode) == (b"a\n", 9)


def test_L9_reader_goes_away(mux):
    """`ssh … yes | head`: the client leaves, and the remote command with it."""
    with mux.start_ssh("t", "exec yes smx_reader_gone", stdin=subprocess.DEVNULL) as p:
        assert p.stdout.read(10) == b"smx_reader"
        p.stdout.close()
        assert p.wait(20) != 0
    poll(lambda: not pgrep("^yes smx_reader_gone"), 15, "the remote command to end")
    mux.wait_idle()


@pytest.mark.core
def test_L9_exit_signal_is_a_failure(mux):
    for name in ("TERM", "KILL", "INT", "SEGV"):
        done = mux.ssh("t", f"ulimit -c 0; kill -{name} $$; sleep 5", options=["-v"])
        assert done.returncode == 255, name
        assert b"rtype exit-signal" in done.stderr, name


def test_L9_ssh_n_option(mux):
    """`ssh -N`: connected, no session, ends when told."""
    with mux.start_ssh("t", options=["-N", "-v"], stdin=subprocess.DEVNULL) as p:
        seen = b""
        while b"Entering interactive session" not in seen:
            line = p.stderr.readline()
            assert line, seen
            seen += line
        time.sleep(0.3)
        assert p.poll() is None
        p.send_signal(signal.SIGTERM)
        p.wait(10)
        p.stdout.close()
        p.stderr.close()
    mux.wait_idle()


def test_L9_ssh_n_then_escape_to_background(mux, tmp_path):
    """-f -N as people keep tunnels: the client detaches after the login."""
    done = mux.ssh("t", options=["-f", "-N", "-o", "ExitOnForwardFailure=yes"], timeout=20)
    assert done.returncode == 0, done
    (pid,) = pgrep(f"ssh -F {mux.config_path} -f -N")
    os.kill(pid, signal.SIGTERM)
    mux.wait_idle()


def test_L9_shell_without_command(mux):
    done = mux.ssh("t", options=["-T"], input=b"echo from-shell; exit 12\n")
    assert b"from-shell" in done.stdout and done.returncode == 12


@pytest.mark.core
def test_L8_environment_allowlist(mux):
    allowed = {
        "LANG": "C.UTF-8",
        "LC_X": "lc",
        "LC_ALL": "C",
        "COLORTERM": "truecolor",
        "NO_COLOR": "1",
        "TZ": "UTC-3",
        "GIT_PROTOCOL": "version=2",
    }
    refused = {
        "FOO": "bar",
        "LD_PRELOAD": "/x.so",
        "LANGUAGE": "de",
        "BASH_ENV": "/x",
        "GIT_SSH": "x",
        "PYTHONPATH": "/x",
        "LC": "x",
        "XLC_ALL": "x",
        "lang": "x",
    }
    names = list(allowed) + [n for n in refused if n != "LD_PRELOAD"]
    options = ["-o", "SendEnv=" + " ".join(names), "-o", "SetEnv=LD_PRELOAD=/x.so"]
    done = mux.ssh("t", "env", options=options, env=dict(os.environ, **allowed, **{
        k: v for k, v in refused.items() if k != "LD_PRELOAD"
    }))
    got = dict(line.split("=", 1) for line in done.stdout.decode().splitlines() if "=" in line)
    assert done.returncode == 0
    for name, value in allowed.items():
        assert got.get(name) == value, name
    for name in refused:
        assert name not in got, name
    # The server itself would have taken any name.
    assert "AcceptEnv *" in mux.target.config_path.read_text()


def test_L8_route_send_env(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(target, route={"send_env": ["EDITOR", "MY_VAR"]})
    done = mux.ssh(
        "t",
        "env",
        options=["-o", "SendEnv=EDITOR MY_VAR OTHER"],
        env=dict(os.environ, EDITOR="ed", MY_VAR="1", OTHER="2"),
    )
    lines = done.stdout.decode().splitlines()
    assert "EDITOR=ed" in lines and "MY_VAR=1" in lines and "OTHER=2" not in lines


def test_L9_exit_status_long_after_the_end_of_output(mux, tmp_path):
    """A client that has the end of both streams closes its channel, and still gets the status."""
    control = tmp_path / "c"
    master = mux.start_ssh("t", options=["-M", "-N", "-S", str(control)], stdin=subprocess.DEVNULL)
    try:
        poll(control.exists)
        for options in ([], ["-S", str(control)]):
            done = mux.ssh("t", "exec >&- 2>&-; sleep 1; exit 7", options=options)
            assert done.returncode == 7, (options, done)
    finally:
        master.terminate()
        master.communicate(timeout=10)


def test_L9_many_channels_of_one_client(mux, tmp_path):
    """A ControlMaster in front of us: its clients' channels share one local connection."""
    control = tmp_path / "c"
    master = mux.start_ssh("t", options=["-M", "-N", "-S", str(control)], stdin=subprocess.DEVNULL)
    try:
        poll(control.exists)

        def run(n):
            return subprocess.run(
                ["ssh", "-F", str(mux.config_path), "-S", str(control), "t@mux", f"echo {n}; exit {n}"],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=60,
            )

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for n, done in enumerate(pool.map(run, range(24))):
                assert (done.stdout, done.returncode) == (b"%d\n" % n, n), done
    finally:
        master.terminate()
        master.communicate(timeout=10)
    mux.wait_idle()
