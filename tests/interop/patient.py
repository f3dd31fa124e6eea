# SPDX-License-Identifier: MIT
"""What the tests of ssh-mux doctor share: a daemon, its clients' configuration, and the findings
about them."""
import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest

from peers import BINARY, hop, routes_toml


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
        if "--via" not in args:
            args = ("--via", "tcp", "--all", *args)
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


def healthy(make_mux, make_sshd, tmp_path):
    """One in the best of health, with a server behind it."""
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


def routed(patient, **more):
    route = dict(hop(patient.sshd), **more)
    (patient.dir / "ssh-mux-routes.toml").write_text(routes_toml({"t": route}))
