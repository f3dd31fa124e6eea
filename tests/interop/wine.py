# SPDX-License-Identifier: MIT
"""ssh-mux.exe in the place of ssh-mux: `pytest --windows=build/mingw/ssh-mux.exe -m core`.

The daemon and its commands run under wine; ssh, sshd and everything else stay the system's own. Of
wine, a prefix of the caller's is used (WINEPREFIX) with a wine server that runs already, as
scripts/wine-check has them: no test should wait for one, and none may end one.
"""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import peers

# What is about Unix, or about what wine lacks. By the beginning of "file::test".
SKIPS = {
    "test_completions.py": "shells of Unix complete the native program",
    "test_setup.py": "what setup-config writes is for the ssh of Windows and its paths",
    "test_forward.py::test_L6_agent_forwarding_refused": "the agent of Windows is a service that wine has not",
}


def skip_reason(nodeid):
    """Why a test does not run against the .exe, or None."""
    name = nodeid.rsplit("/", 1)[-1]
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


def argument(text):
    """An argument of a command line: paths are translated, all else is left."""
    text = str(text)
    return path(text) if text.startswith("/") else text


def values(toml):
    """Absolute paths in the values of a routes file, as people write them on Windows."""
    return re.sub(r'"(/[^"\n]+)"', r'"Z:\1"', toml)


class WineMux(peers.Mux):
    """As Mux, with ssh-mux.exe. The process of wine is the program: its id, its exit code."""

    exe = None
    has_its_sockets = False

    def __init__(self, keys, *args, **kwargs):
        kwargs["binary"] = self.exe
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

    def command_of(self, args):
        return ["wine", str(self.binary), *map(argument, args)]

    def environment(self):
        env = dict(self.env)
        env["SSH_MUX_SSH_DIR"] = path(self.ssh_dir)
        env.setdefault("WINEDEBUG", "-all")
        env.setdefault("WINEDLLOVERRIDES", "mscoree,mshtml=")
        # Neither of the two is known there, and no window is to come up.
        for name in ("XDG_RUNTIME_DIR", "DISPLAY"):
            env.pop(name, None)
        return env

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
    WineMux.exe = exe
    peers.Mux = WineMux
    peers.BINARY = str(exe)  # looked at by some, run by none of those that run here
    done = subprocess.run(["wine", str(exe), "--version"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=120)
    if done.returncode != 0:
        raise pytest.UsageError(f"{exe} does not run under wine: {done.stderr[-500:]}")
