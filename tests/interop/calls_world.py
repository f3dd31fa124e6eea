# SPDX-License-Identifier: MIT
"""A small company to call: real sshds with accounts and names of their own, and a person with an
ssh configuration of 30 hosts.

    why_not()        why there can be none here, or None
    world = World()  starts it: a network, user database and /etc/hosts of its own, in namespaces
    world.run(…)     runs a program there as the person
    world.calls(…)   makes calls of calls_table.py there, and returns what came of each

Every machine is a sshd in a mount and UTS namespace of its own: `hostname` and `id -un` tell where
a call has arrived. All accounts take the person's key, so that no mistake about the account is
hidden by a refused login. Names in .internal are known to the machines only, not to the person.
"""
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys

import calls_config
from calls_config import ACCOUNTS, HOSTS, INSIDE, MACHINES, ME
from peers import (
    BINARY, Daemon, NO_PENALTIES, ROOT, SFTP_SERVER, SSHD, descendants, first_child, kill_quietly, poll,
    short_dir, words_of,
)

TOOLS = ("unshare", "nsenter", "setpriv", "setsid", "ip", "git", "rsync", "ssh-agent")
LAYERS = ["-m", "-n", "-u", "-p"]
HERE = pathlib.Path(__file__).resolve().parent

# $1: the directory; the rest: names of machines.
START = r"""
set -e
umask 022
dir=$1; sshd=$2; shift 2
hostname laptop
ip link set lo up
mount -t tmpfs -o mode=755 none /run
mkdir -m 755 /run/sshd /run/user
mkdir -m 700 /run/user/61000 && chown 61000:61000 /run/user/61000
mkdir -p /home && mount --bind $dir/home /home
mount --bind $dir/hosts /etc/hosts
for m in "$@"; do
    unshare -m -u --propagation private sh -c '
        hostname $2
        mount --bind $1/$2/home /home
        mount --bind $1/inside /etc/hosts
        mount --bind $1/passwd.there /etc/passwd
        exec $3 -D -e -f $1/$2/sshd_config' sh $dir $m $sshd 2>>$dir/$m/log &
done
mount --bind $dir/passwd /etc/passwd
/usr/bin/python3 $dir/calls_services.py >$dir/services.log 2>&1 &
touch $dir/started
wait
"""


@functools.lru_cache(maxsize=None)
def why_not():
    if not ROOT:
        return "only root can make accounts and machines"
    for tool in TOOLS:
        if not shutil.which(tool):
            return f"{tool} is not installed"
    done = subprocess.run(
        ["unshare", *LAYERS, "-f", "--mount-proc", "--propagation", "private", "sh", "-c",
         "hostname x && ip link set lo up && mount -t tmpfs none /run"],
        capture_output=True, text=True, timeout=30)
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else None


class World(Daemon):
    def __init__(self, keys):
        super().__init__("world", short_dir("calls"))
        self.dir.chmod(0o755)
        old = os.umask(0o022)
        try:
            self.make(keys)
        finally:
            os.umask(old)
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home/me", "USER": "me",
                    "LOGNAME": "me", "SHELL": "/bin/bash", "LANG": "C.UTF-8",
                    "XDG_RUNTIME_DIR": "/run/user/61000", "SSH_AUTH_SOCK": "/run/user/61000/agent",
                    "LC_CALL": "of the person", "ASAN_OPTIONS": "detect_leaks=0:exitcode=99"}
        self.said = []
        self.spawn(["unshare", *LAYERS, "-f", "--mount-proc", "--kill-child", "--propagation",
                    "private", "sh", "-c", START, "sh", self.dir, SSHD, *MACHINES])
        try:
            poll(lambda: (self.dir / "started").exists() and self.first(), 30, "the world")
            poll(lambda: "ready" in (self.dir / "services.log").read_text(), 30, "its services")
            poll(self.all_listen, 30, "its machines")
            self.spawn_agent()
        except BaseException:
            self.stop()
            raise

    # ---- what there is ----

    def put(self, name, text, mode=0o644, owner=None):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        if owner is not None:
            os.chown(path, owner, owner)
        return path

    def make(self, keys):
        self.binary = self.dir / "ssh-mux"
        shutil.copy(BINARY, self.binary)
        self.binary.chmod(0o755)
        for name in ("calls_config.py", "calls_table.py", "calls_run.py", "calls_services.py"):
            shutil.copy(HERE / name, self.dir / name)
        system = [line for line in pathlib.Path("/etc/passwd").read_text().splitlines()
                  if line.split(":")[0] not in ACCOUNTS and line.split(":")[2] != "0"]
        line = "{0}:x:{1}:{1}::{2}:/bin/bash".format
        self.put("passwd", "\n".join(system + [line("root", 0, "/root"), line("me", ME, "/home/me")])
                 + "\n")
        self.put("passwd.there", "\n".join(system + [line(a, uid, f"/home/{a}")
                                                     for a, uid in ACCOUNTS.items()]) + "\n")
        self.put("hosts", HOSTS)
        self.put("inside", HOSTS + INSIDE)
        self.keys = {n: keys.make(f"calls_{n}") for n in ("id_ed25519", "id_personal", "id_agent")}
        known = []
        for name, (address, port, kind, lines) in MACHINES.items():
            self.machine(name, address, port, keys.make(f"calls_host_{name}", kind), lines)
            public = keys.public(keys.make(f"calls_host_{name}", kind)).split()[:2]
            known += [f"{n} {' '.join(public)}" for n in calls_config.known_as(name)]
        self.person("\n".join(known) + "\n")

    def machine(self, name, address, port, host_key, lines):
        work, personal, agent = (pathlib.Path(f"{k}.pub").read_text().strip()
                                 for k in self.keys.values())
        for account, uid in ACCOUNTS.items():
            home = self.dir / name / "home" / account
            (home / ".ssh").mkdir(parents=True)
            text = work + "\n"
            if account == "git":
                text = (f'command="{calls_config.GIT_COMMAND.format(who="work")}" {work}\n'
                        f'command="{calls_config.GIT_COMMAND.format(who="personal")}" {personal}\n')
            elif account == "agent":
                text = agent + "\n"
            self.put(f"{name}/home/{account}/.ssh/authorized_keys", text)
            self.put(f"{name}/home/{account}/motd", f"{account} at {name}\n")
            self.put(f"{name}/home/{account}/.bashrc", "")
            for path in (home, *home.rglob("*")):
                os.chown(path, uid, uid)
        if name in ("git", "gerrit"):
            self.repository(name, "git" if name == "git" else "ada")
        config = {"Port": port, "ListenAddress": address, "HostKey": host_key, "PidFile": "none",
                  "StrictModes": "no", "UsePAM": "no", "PasswordAuthentication": "no",
                  "KbdInteractiveAuthentication": "no", "PermitRootLogin": "yes",
                  "AcceptEnv": "LC_CALL", "PrintMotd": "no", "PrintLastLog": "no", "UseDNS": "no",
                  "LogLevel": "VERBOSE", "MaxStartups": 500, "MaxSessions": 300, "SetEnv": "SHLVL=2",
                  "Subsystem": f"sftp {SFTP_SERVER}", **NO_PENALTIES, **lines}
        self.put(f"{name}/sshd_config", "".join(f"{k} {v}\n" for k, v in config.items()))

    def repository(self, machine, account):
        home = self.dir / machine / "home" / account
        script = """
set -e
git init -q -b main {0}/work && cd {0}/work
echo 'the text of the project' >file && git add file
git -c user.name=x -c user.email=x@example.com commit -q -m first --date 2020-01-01T00:00:00Z
git clone -q --bare {0}/work {0}/project.git && rm -rf {0}/work
""".format(home)
        subprocess.run(["sh", "-c", script], check=True, capture_output=True, timeout=60,
                       env={"PATH": os.environ["PATH"], "HOME": "/nonexistent",
                            "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z"})
        for path in home.rglob("*"):
            os.chown(path, ACCOUNTS[account], ACCOUNTS[account], follow_symlinks=False)

    def person(self, known_hosts):
        home = self.dir / "home/me"
        for name, path in self.keys.items():
            text = pathlib.Path(path).read_text()
            self.put(f"home/me/.ssh/{name}.pub", pathlib.Path(f"{path}.pub").read_text())
            if name != "id_agent":
                self.put(f"home/me/.ssh/{name}", text, 0o600)
        shutil.copy(self.keys["id_agent"], self.dir / "agent_key")
        self.put("home/me/.ssh/known_hosts", known_hosts, 0o600)
        for name, text in calls_config.FILES.items():
            self.put(f"home/me/.ssh/{name}", text, 0o700 if text[:2] == "#!" else 0o600)
        for path in (home, *home.rglob("*")):
            os.chown(path, ME, ME)
            if path.is_dir():
                path.chmod(0o700)
        os.chown(self.dir / "agent_key", ME, ME)
        (self.dir / "agent_key").chmod(0o600)

    def first(self):
        """The first process of the namespaces: unshare's one child."""
        return first_child(self.proc.pid)

    def all_listen(self):
        assert self.proc.poll() is None, self.log()
        logs = [(self.dir / m / "log") for m in MACHINES]
        return all(p.exists() and "Server listening" in p.read_text() for p in logs)

    def spawn_agent(self):
        done = self.run("sh", "-c", "ssh-agent -a $SSH_AUTH_SOCK >/dev/null && "
                        f"ssh-add -q {self.dir}/agent_key ~/.ssh/id_ed25519")
        assert done.returncode == 0, done

    # ---- what is done there ----

    def argv(self, *args, root=False):
        who = [] if root else ["setpriv", "--reuid", ME, "--regid", ME, "--clear-groups"]
        words = [f"{k}={v}" for k, v in self.env.items()]
        return [str(a) for a in ("nsenter", *LAYERS, "-t", self.first(), *who, "env", "-i",
                                 "-C", "/home/me", *words, *args)]

    def run(self, *args, root=False, timeout=90, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(self.argv(*args, root=root), capture_output=True, text=True,
                              timeout=timeout, umask=0o022, **kwargs)
        self.said.append(done.stdout + done.stderr)
        return done

    def mux(self, *args, code=0):
        done = self.run(self.binary, *args)
        assert code is None or done.returncode == code, done
        return done

    def calls(self, names):
        """{name: what came of it}, and (machine, account) of every login meanwhile."""
        ends = {m: (self.dir / m / "log").stat().st_size for m in MACHINES}
        done = self.run("/usr/bin/python3", self.dir / "calls_run.py", self.dir, *names, timeout=400)
        assert done.returncode == 0, done.stderr[-4000:]
        self.sweep()
        logins = set()
        for machine, end in ends.items():
            with open(self.dir / machine / "log", encoding="utf-8", errors="replace") as f:
                f.seek(end)
                for line in f:
                    if line.startswith("Accepted publickey for "):
                        logins.add(f"{line.split(' for ')[1].split()[0]}@{machine}")
        return json.loads(done.stdout), logins

    def sweep(self):
        """Removes what calls have left, at home and elsewhere."""
        for home in [self.dir / "home"] + [self.dir / m / "home" for m in MACHINES]:
            for path in home.glob("*/c[0-9][0-9]-*"):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def daemon_pids(self):
        """Of daemons as seen from outside."""
        found = []
        for pid in descendants(self.proc.pid):
            words = words_of(pid) or [b""]
            if os.path.basename(words[0]) == b"ssh-mux" and words[1:2] in ([b"daemon"], [b"serve"]):
                found.append(pid)
        return found

    def stop(self):
        first = self.first() if self.proc else None
        if first:
            kill_quietly(first)
        self.kill()


if __name__ == "__main__":  # to look around in: python3 calls_world.py
    from peers import Keys

    w = World(Keys(short_dir("keys")))
    try:
        subprocess.run(w.argv("bash", "-i"), stdin=sys.stdin, check=False)
    finally:
        w.stop()
        shutil.rmtree(w.dir)
