# SPDX-License-Identifier: MIT
"""ssh-mux.exe in the place of ssh-mux: `pytest --windows=build/mingw/ssh-mux.exe -m core`.

The daemon and its commands run under wine; ssh, sshd and everything else stay the system's own. Of
wine, a prefix of the caller's is used (WINEPREFIX) with a wine server that runs already, as
scripts/wine-check has them: no test should wait for one, and none may end one.
"""
import atexit
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile

import pytest

import peers

# What is about Unix, or about what wine lacks. By the beginning of "file::test".
SKIPS = {
    "test_completions.py": "shells of Unix complete the native program",
    "test_control_": "OpenSSH for Windows has no ControlPath",
    "test_setup.py": "what setup-config writes is for the ssh of Windows and its paths",
    # To a program under wine the clients of this system are strangers: 20 a second (U9).
    "test_exec.py::test_L9_every_exit_code": "wine can't tell whose the clients of this system are",
    "test_pool.py::test_P7_fifty_clients_one_login": "wine can't tell whose the clients of this system are",
    "test_accounts.py::test_P1_two_keys_are_two_accounts": "it compares paths as this system writes them",
    "test_forward.py::test_L6_agent_forwarding_refused": "the agent of Windows is a service that wine has not",
}


def skip_reason(nodeid):
    """Why a test does not run against the .exe, or None."""
    file, _, test = nodeid.partition("::")
    name = f"{file.rsplit('/', 1)[-1]}::{test}"
    return next((why for start, why in SKIPS.items() if name.startswith(start)), None)


def missing():
    """Why nothing can run under wine here, or None."""
    if not shutil.which("wine"):
        return "no wine on $PATH (scripts/deps wine)"
    if not os.environ.get("WINEPREFIX"):
        return "WINEPREFIX is not set: scripts/wine-check makes one and runs this"
    return None


def path(unix):
    r"""/tmp/x as the program sees it: Z:\tmp\x."""
    return "Z:" + str(pathlib.Path(unix).absolute()).replace("/", "\\")


WRAPPER = r"""#!/bin/sh
# ssh-mux.exe as a program of this system: absolute paths are given as the program knows them.
there() {
	case $1 in
	/*) printf 'Z:%s' "$1" | tr / '\\' ;;
	*) printf %s "$1" ;;
	esac
}
for a; do
	shift
	case $a in /*) a=$(there "$a") ;; esac
	set -- "$@" "$a"
done
[ -z "${SSH_MUX_SSH_DIR-}" ] || export SSH_MUX_SSH_DIR="$(there "$SSH_MUX_SSH_DIR")"
export WINEDEBUG="${WINEDEBUG--all}" WINEDLLOVERRIDES="${WINEDLLOVERRIDES-mscoree,mshtml=}"
exec wine @EXE@ "$@"
"""


def values(toml):
    """Absolute paths in the values of a routes file, as people write them on Windows."""
    return re.sub(r'"(/[^"\n]+)"', r'"Z:\1"', toml)


class WineMux(peers.Mux):
    """As Mux, with ssh-mux.exe. The process of wine is the program: its id, its exit code."""

    exe = None
    wrapper = None  # what is started in its place
    has_its_sockets = False

    def __init__(self, keys, *args, **kwargs):
        kwargs["binary"] = self.wrapper
        super().__init__(keys, *args, **kwargs)

    def put(self, name, text):
        if name.endswith(".toml"):
            text = values(text)
            # Windows without a desktop opens no window; wine without a display finds that out only
            # when it tries to.
            if hasattr(self, "env") and "DISPLAY" not in self.environment():
                if "pinentry =" not in text:
                    text = 'pinentry = "none"\n' + text
        return super().put(name, text)

    def start(self):
        if hasattr(self, "routes_path"):
            # Written before the environment was known.
            self.put(self.routes_path.name, self.routes_path.read_text())
        super().start()

    def environment(self):
        env = dict(self.env)
        # The one means nothing there, and without the other no window comes up.
        for name in ("XDG_RUNTIME_DIR", "DISPLAY"):
            env.pop(name, None)
        return env

    def left_behind(self):
        """What wine brings up for whoever needs it first, its desktop among it, is not ours."""
        left = []
        for pid in super().left_behind():
            words = b" ".join(peers.words_of(pid)).decode(errors="replace").strip()
            if words and not words.lower().startswith(r"c:\windows\system32"):
                left.append(f"{pid} {words}")
        return left

    def stop(self, how="command"):
        """Windows has no SIGTERM: `stop` is how a daemon is ended."""
        super().stop("command")


def configure(exe):
    """From now on the fixtures make daemons of this program."""
    if why := missing():
        raise pytest.UsageError(why)
    exe = pathlib.Path(exe).absolute()
    if not exe.is_file():
        raise pytest.UsageError(f"no {exe}")
    directory = tempfile.mkdtemp(prefix="smx-wine-", dir="/tmp")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    wrapper = pathlib.Path(directory, "ssh-mux")
    wrapper.write_text(WRAPPER.replace("@EXE@", shlex.quote(str(exe))))
    wrapper.chmod(0o755)
    WineMux.exe, WineMux.wrapper = exe, str(wrapper)
    peers.Mux, peers.BINARY = WineMux, str(wrapper)
    done = subprocess.run([str(wrapper), "--version"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=120)
    if done.returncode != 0:
        raise pytest.UsageError(f"{exe} does not run under wine: {done.stderr[-500:]}")
