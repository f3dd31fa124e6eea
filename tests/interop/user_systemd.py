# SPDX-License-Identifier: MIT
"""A real systemd of a throwaway user's own, in namespaces of its own.

    why_not()              why there can be none here, or None
    user = UserSystemd()   starts one: an account that exists in there only, its home directory,
                           runtime directory and control group
    user.run("systemctl", "--user", "start", "x")

Nothing of it is seen outside but its files and its ports; the systemd of this machine, if it has
one, has no part in it. When the first process of the namespace is killed, all others go.
"""
import functools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

from peers import Daemon, ROOT, first_child, kill_quietly, poll, short_dir

NAME = "smx-user"
MANAGER = next(
    (p for p in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if os.path.exists(p)), None
)
TOOLS = ("unshare", "nsenter", "setpriv", "systemctl", "systemd-analyze")

# systemd wants to have been booted with (/run/systemd/system), a control group that is its own,
# and an account in the user database. It is not the first process of the namespace: as such it
# would take itself for the system's. The search for leaks attaches to its own process, which no
# filter of system calls lets happen.
START = r"""
set -e
uid=$1; dir=$2; manager=$3; group=$4
mkdir -p /run/systemd
mount -t tmpfs -o mode=755 none /run/systemd
mkdir /run/systemd/system
mount -t tmpfs none /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/$group/m
chown -R $uid /sys/fs/cgroup/$group
echo 0 > /sys/fs/cgroup/$group/m/cgroup.procs
mount --bind $dir/passwd /etc/passwd
cd /
setpriv --reuid $uid --regid $uid --clear-groups env -i PATH=/usr/bin:/bin HOME=$dir/home \
    XDG_RUNTIME_DIR=$dir/run XDG_CONFIG_HOME=$dir/config ASAN_OPTIONS=detect_leaks=0 \
    $manager --user --unit=basic.target &
wait
"""
# The control group is left over, empty, once all are dead.
SWEEP = r"""
mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 0
find /sys/fs/cgroup/$1 -depth -type d -exec rmdir {} +
"""


@functools.lru_cache(maxsize=None)
def why_not():
    if not ROOT:
        return "only root can set up a systemd for another user"
    if MANAGER is None:
        return "systemd is not installed"
    for tool in TOOLS:
        if not shutil.which(tool):
            return f"{tool} is not installed"
    probe = "mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"
    done = subprocess.run(
        ["unshare", "-m", "-p", "-f", "--mount-proc", "--propagation", "private"]
        + ["sh", "-c", probe],
        capture_output=True,
        text=True,
        timeout=30,
    )
    if done.returncode != 0:
        return f"no namespace or control group of one's own here: {done.stderr.strip()}"
    return None


class UserSystemd(Daemon):
    def __init__(self):
        super().__init__("systemd", short_dir("user"))
        self.uid = random.randrange(1 << 20, 1 << 21)
        self.group = f"smx-{self.dir.name}"
        self.home, self.run_dir = self.dir / "home", self.dir / "run"
        self.config_dir = self.dir / "config"
        for path in (self.home, self.run_dir, self.config_dir):
            path.mkdir(mode=0o700)
        (self.dir / "passwd").write_text(
            pathlib.Path("/etc/passwd").read_text()
            + f"{NAME}:x:{self.uid}:{self.uid}::{self.home}:/bin/bash\n"
        )
        (self.dir / "passwd").chmod(0o644)
        self.own()
        self.env = dict(
            PATH="/usr/bin:/bin",
            HOME=str(self.home),
            XDG_RUNTIME_DIR=str(self.run_dir),
            XDG_CONFIG_HOME=str(self.config_dir),
            SYSTEMD_PAGER="cat",
            LC_ALL="C.UTF-8",
        )
        self.spawn(
            ["unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child", "--propagation"]
            + ["private", "sh", "-c", START, "sh", self.uid, self.dir, MANAGER, self.group]
        )
        try:
            poll(self.answers, 60, "the user's systemd answers", 0.2)
        except BaseException:
            self.stop()
            raise

    def own(self):
        """Gives all files to the user; call it after making more."""
        for path in [self.dir, *self.dir.rglob("*")]:
            if path != self.log_path and not path.is_symlink():
                os.chown(path, self.uid, self.uid)

    def first(self):
        """The first process of the namespace: unshare's one child."""
        return first_child(self.proc.pid)

    def answers(self):
        assert self.proc.poll() is None, self.log()
        if not (self.run_dir / "systemd/private").exists() or not self.first():
            return False
        return self.run("systemctl", "--user", "show", "--property=Version").returncode == 0

    def argv(self, *args, env=None):
        """The command line that runs args as the user, in there."""
        words = [f"{k}={v}" for k, v in {**self.env, **(env or {})}.items()]
        return (
            ["nsenter", "-m", "-p", "-t", str(self.first())]
            + ["setpriv", "--reuid", str(self.uid), "--regid", str(self.uid), "--clear-groups"]
            + ["env", "-i", "-C", str(self.home), *words, *map(str, args)]
        )

    def run(self, *args, env=None, timeout=90, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(
            self.argv(*args, env=env), capture_output=True, text=True, timeout=timeout, **kwargs
        )

    def show(self, unit, name):
        done = self.run("systemctl", "--user", "show", unit, "--property", name)
        assert done.returncode == 0, done
        return done.stdout.strip().partition("=")[2]

    def pid_of(self, unit):
        """Its process as seen in there; 0: none."""
        return int(self.show(unit, "MainPID"))

    def stop(self):
        first = self.first()
        if first:
            kill_quietly(first, signal.SIGKILL)
        self.kill()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            done = subprocess.run(
                ["unshare", "-m", "--propagation", "private", "sh", "-c", SWEEP, "sh", self.group],
                capture_output=True,
                timeout=30,
            )
            if done.returncode == 0:
                break
            time.sleep(0.1)  # the last of its processes are on their way out
