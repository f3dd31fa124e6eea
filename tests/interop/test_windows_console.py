# SPDX-License-Identifier: MIT
"""What a program finds and leaves on Windows, with ssh-mux.exe under wine: arguments, streams, texts,
and the keys that end it."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

import peers
import wine

pytestmark = pytest.mark.core
HERE = pathlib.Path(__file__).parent
CC = "x86_64-w64-mingw32-gcc-posix"
NAME = "ключ ü.toml"


@pytest.fixture(autouse=True)
def is_windows():
    if not wine.WineMux.exe:
        pytest.skip("for ssh-mux.exe (--windows)")


@pytest.fixture
def mux(make_mux, make_sshd):
    return make_mux(make_sshd(), start=False)


def run(mux, *args):
    """Bytes, as they come."""
    return subprocess.run([mux.binary, *args], env=mux.environment(), capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=60)


def test_D1_windows_file_names_of_any_letters(mux):
    """D1: a name that no code page of the system has is found, and shown as UTF-8."""
    path = mux.put(NAME, "[routes.x]\nhost = 'h'\nuser = 'u'\nhots = 'y'\n")
    done = run(mux, "check-config", "--config", str(path))
    said = (done.stdout + done.stderr).decode()
    assert re.search(re.escape(wine.path(path)) + r":\d+:1: error: .*\"hots\"", said), said
    gone = run(mux, "check-config", "--config", str(path) + "Ω")
    assert gone.returncode == 78 and NAME + "Ω: error: " in gone.stdout.decode()


def test_D1_windows_arguments_are_not_expanded(mux):
    """D1: a star is no pattern of the C library's: what it would match never gets to be one."""
    for i in range(2):
        mux.put(f"more{i}.toml", "")
    done = run(mux, "check-config", "--config", str(mux.ssh_dir / "more*.toml"))
    assert done.returncode == 78 and "more*.toml: error: " in done.stdout.decode()


def test_D1_windows_output_has_unix_line_ends(make_mux, make_sshd):
    """D1: what programs read has no carriage returns: status, check-config, errors, the log."""
    mux = make_mux(make_sshd())
    for args, code in ((("status", "--json"), 0), (("status",), 0), (("nonsense",), 64),
                       (("check-config",), None), (("--help",), 0)):
        done = run(mux, *args)
        assert b"\r" not in done.stdout + done.stderr, args
        assert (done.stdout + done.stderr).endswith(b"\n"), args
        assert code is None or done.returncode == code, done
    assert json.loads(run(mux, "status", "--json").stdout)["routes"]
    assert b"\r" not in (mux.ssh_dir / "ssh-mux.log").read_bytes()


def test_D1_windows_advice_can_be_followed(mux):
    """D1: remedies of doctor name no command of Unix, and no variable that means nothing here."""
    (mux.ssh_dir / "ssh-mux-authorized-keys").unlink()
    mux.put("ssh-mux-host-key", "damaged\n")
    mux.put("a ssh-mux-routes.toml", mux.routes_path.read_text())
    said = run(mux, "doctor", "--config", str(mux.ssh_dir / "a ssh-mux-routes.toml")).stdout.decode()
    assert "run: move " in said and ".bad, then: ssh-mux setup-config" in said, said
    assert f'--config "{wine.path(mux.ssh_dir)}\\a ssh-mux-routes.toml"' in said
    assert "add the line of a .pub file of yours to " in said
    for word in ("chmod", "mkdir -m", "umask", " >> ", " && ", "XDG_", "kill -9", "/etc/", "cat "):
        assert word not in said, (word, said)
    shutil.rmtree(mux.ssh_dir)


def test_D1_windows_ctrl_c_ends_serve_in_order(mux, tmp_path):
    """D1: Ctrl-C ends a daemon in the foreground as `stop` does, with exit code 0."""
    if not shutil.which(CC):
        pytest.skip(f"no {CC}")
    exe = tmp_path / "end_by_console.exe"
    subprocess.run([CC, "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", exe,
                    HERE / "windows/end_by_console.c"], check=True, timeout=120)
    args = [wine.path(a) if a.startswith("/") else a for a in mux.args]
    env = dict(mux.environment(), SSH_MUX_SSH_DIR=wine.path(mux.ssh_dir), WINEDEBUG="-all")
    with subprocess.Popen(["wine", exe, wine.path(wine.WineMux.exe), *args], env=env, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as proc:
        try:
            mux.expect_clean = False
            log = mux.ssh_dir / "ssh-mux.log"
            peers.poll(lambda: log.exists() and "serves on" in log.read_text(), what="the daemon")
            said = proc.communicate(b"\n", timeout=60)[0].decode()
        finally:
            if proc.poll() is None:
                mux.control("stop")
                proc.kill()
    assert proc.returncode == 0
    assert "stopping: interrupted" in said and "stopped: process" in said
