# SPDX-License-Identifier: MIT
"""The real programs that the interop tests put around ssh-mux.

Each class starts one of them under a short private directory, on a free loopback port, in a
process group of its own, with its output in a file that is shown when a test fails.
"""
import base64
import contextlib
import fcntl
import hashlib
import getpass
import grp
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from attach_client import Control, NoControl

USER = getpass.getuser()
ROOT = os.getuid() == 0
TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("SMX_BINARY", str(TOP / "build/asan/ssh-mux"))
SSH = os.environ.get("SMX_SSH", "ssh")
SSHD = os.environ.get("SMX_SSHD") or shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
SFTP_SERVER = next(
    (
        p
        for p in (
            os.environ.get("SMX_SFTP_SERVER", ""),
            "/usr/lib/openssh/sftp-server",
            "/usr/libexec/openssh/sftp-server",
            "/usr/lib/ssh/sftp-server",
        )
        if p and os.path.exists(p)
    ),
    "internal-sftp",
)


def pty_refusal():
    """Why sshd could hand out no terminals here, or None."""
    if ROOT:
        return None
    master, slave = os.openpty()
    try:
        if os.fstat(slave).st_gid == grp.getgrnam("tty").gr_gid:
            return None
    except KeyError:
        pass
    finally:
        os.close(master)
        os.close(slave)
    return "terminals don't belong to group tty here: only root's sshd can hand them out"


PTY_REFUSAL = pty_refusal()


def no_penalties():
    """Lines for an sshd_config: every test comes from 127.0.0.1, and from 9.8 on sshd turns away an
    address for seconds when a client of it was refused, or killed before it logged in."""
    option = "PerSourcePenalties"
    asked = SSHD and subprocess.run([SSHD, "-G", "-f", "/dev/null", "-o", f"{option}=no"],
                                    capture_output=True, check=False)
    return {option: "no"} if asked and asked.returncode == 0 else {}


NO_PENALTIES = no_penalties()
KEY_TYPES = {"ed25519": [], "ecdsa": ["-b", "256"], "rsa": ["-b", "2048"]}


def sanitized():
    """Whether the binary under test carries AddressSanitizer."""
    return b"__asan_init" in pathlib.Path(BINARY).read_bytes()


def poll(condition, timeout=10.0, what="", interval=0.02):
    """Waits until condition() is true and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(interval)


def listening(port):
    """Whether something listens on 127.0.0.1:port (asked of the kernel, not by connecting)."""
    want = f":{port:04X} "
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as f:
                if any(want in line.split(None, 2)[1] + " " and " 0A " in line for line in f):
                    return True
        except OSError:
            pass
    return False


class Ports:
    """Which ports the tests of this user have: a lock each, a byte of one file, until the process
    ends. So two tests that run side by side never get the same one before either listens."""

    def __init__(self):
        self.mine = set()
        self.pid = self.fd = None

    def take(self, port):
        if self.pid != os.getpid():  # locks are no child's
            self.pid, self.mine = os.getpid(), set()
            self.fd = os.open(f"{tempfile.gettempdir()}/smx-ports-{os.getuid()}",
                              os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if port in self.mine:
            return False
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        self.mine.add(port)
        return True


PORTS = Ports()


def free_port():
    """A loopback port nobody uses, below the range the kernel hands out for connections, and no
    other test gets."""
    while True:
        port = random.randrange(10000, 32000)
        if not PORTS.take(port):
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if not listening(port):
            return port


def short_dir(name):
    """A directory whose path leaves room for socket names (108 bytes)."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"smx-{name}-", dir="/tmp"))
    return path


def group_members(pgid):
    """Ids of the live processes of a group."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == pgid and fields[0] != "Z":
            found.append(int(entry))
    return found


def session_members(sid):
    """As group_members, of a whole session: sshd gives its children groups of their own."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if os.getsid(int(entry)) == sid:
                    found.append(int(entry))
    return found


def descendants(pid):
    """Ids of all live children of a process, their children, and so on."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                    parents[int(entry)] = int(f.read().rsplit(")", 1)[1].split()[1])
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        for child, its_parent in parents.items():
            if its_parent == parent:
                found.append(child)
                todo.append(child)
    return found


def programs_of(pid):
    """What a daemon has started: its helper, which is there from the beginning (H3), has started them."""
    return [p for p in descendants(pid) if not is_helper(p)]


def words_of(pid):
    """The command line of a process, as bytes; none if it has gone."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []


def is_helper(pid):
    return words_of(pid)[1:2] == [b"helper"]


def helper_of(pid):
    """The daemon's helper, or None."""
    return next(filter(is_helper, descendants(pid)), None)


def children_of(pid):
    """A daemon's own children, zombies among them: those of its helper, if it has one (H3)."""
    found = []
    for task in pathlib.Path(f"/proc/{helper_of(pid) or pid}/task").iterdir():
        with contextlib.suppress(OSError):  # threads come and go
            found += [int(p) for p in (task / "children").read_text().split()]
    return found


def first_child(pid):
    """The first live child of a process, as of unshare's: the first process of its namespaces."""
    return next(iter(descendants(pid)), None)  # children come before theirs


def waits_for(pid):
    """What the threads of a process wait for, and what it has open, for the report of a failure."""
    lines = []
    for task in sorted(pathlib.Path(f"/proc/{pid}/task").glob("*")):
        for name in ("comm", "wchan", "syscall"):
            with contextlib.suppress(OSError):
                lines.append(f"{task.name} {name}: {(task / name).read_text().strip()}")
    for fd in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            lines.append(f"{fd.name} -> {os.readlink(fd)}")
    return "\n".join(lines)


def holders(pipe):
    """The processes that have a pipe open, but for this one."""
    want, found = f"pipe:[{os.fstat(pipe.fileno()).st_ino}]", []
    for fd in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(fd) == want and int(fd.parts[2]) != os.getpid():
                found.append(pathlib.Path(*fd.parts[:3], "status").read_text().split("\nTgid")[0])
    return found


def pgrep(pattern):
    """Ids of the processes whose command line matches."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            if re.search(pattern, b" ".join(words_of(entry)).decode(errors="replace")):
                found.append(int(entry))
    return found


def kill_quietly(pid, sig=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, sig)


# ---- secrets: none may ever be in a log (D4) -----------------------------------------------------

_secrets = set()  # as they are, and as a careless dump would show them
_codes = set()  # one-time codes
_CODE = re.compile(r"(?<![\w.:+/=-])\d{6}(?![\w.:+/=-])")
# Numbers of six digits that are none: process ids, bytes, JSON's members and lists.
_NUMBER = re.compile(r"\b(?:process|port|signal) \d+|\b\d+ (?:bytes|received|s\b|ms\b)"
                     r'|"\w+": ?-?\d+|\[[-\d, ]*\]')


def secret(text):
    """Registers what a test logs in with, and gives it back. A short word would be found where it
    is none; who uses one looks for it in the test itself."""
    if text.isdigit() and len(text) < 9:
        return secret_code(text)
    if len(text) >= 6 and not (text.isalpha() and len(text) < 8):
        raw = text.encode()
        _secrets.update((text, raw.hex(), base64.b64encode(raw).decode().rstrip("=")[:-1]))
    return text


def secret_code(text):
    """The same for a code of a few digits; one like 000000 is in too many numbers."""
    if len(set(text)) > 2:
        _codes.add(text)
    return text


def leaks(text):
    """The registered secrets that are in a text."""
    found = [s for s in _secrets if s in text]
    if _codes:
        found += _codes.intersection(_CODE.findall(_NUMBER.sub(" ", text)))
    return found


def check_no_leak(mux):
    """Of all that a daemon, and commands about it, have said and written."""
    texts = list(getattr(mux, "said", []))
    for path in (mux.log_path, mux.ssh_dir / "ssh-mux.log", mux.ssh_dir / "ssh-mux.log.old"):
        with contextlib.suppress(OSError):
            if path.is_file():
                texts.append(path.read_text(errors="replace"))
    for text in texts:
        assert not (found := leaks(text)), (found, [
            line for line in text.splitlines() if any(f in line for f in found)][:5])


class Daemon:
    """A program that runs until stopped. Keeps its output in self.log_path."""

    live = []  # all that run now, for the reports of failed tests

    def __init__(self, name, directory):
        self.name = name
        self.dir = pathlib.Path(directory)
        self.log_path = self.dir / f"{name}.log"
        self.proc = None

    def spawn(self, argv, env=None, **kwargs):
        self.command = [str(a) for a in argv]
        self.log_file = open(self.log_path, "ab")
        self.proc = subprocess.Popen(
            self.command,
            stdin=kwargs.pop("stdin", subprocess.DEVNULL),
            stdout=self.log_file,
            stderr=self.log_file,
            env=env,
            start_new_session=True,
            **kwargs,
        )
        Daemon.live.append(self)

    def wait_port(self, port, timeout=20):
        def ready():
            if self.proc.poll() is not None:
                raise AssertionError(f"{self.name} ended at once:\n{self.log()[-3000:]}")
            return listening(port)

        poll(ready, timeout, f"{self.name} listens on {port}")

    @property
    def pid(self):
        return self.proc.pid

    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except OSError:
            return ""

    def wait_log(self, text, timeout=10, since=0):
        """Waits for text in the log after offset `since`; returns the log."""
        return poll(
            lambda: text in self.log()[since:] and self.log(), timeout, f"{text!r} in {self.name}"
        )

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def kill(self):
        """SIGKILL to the process and everything it started."""
        if self.proc is None:
            return
        for pid in descendants(self.proc.pid) + session_members(self.proc.pid):
            kill_quietly(pid)
        kill_quietly(self.proc.pid)
        self.proc.wait()
        self.ended()

    def ended(self):
        if self in Daemon.live:
            Daemon.live.remove(self)
        if not self.log_file.closed:
            self.log_file.close()

    def stop(self):
        self.kill()


class Keys:
    """Key pairs, made once."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.made = {}

    def make(self, name, kind="ed25519", *args, passphrase=""):
        # Tests share them by name, but not what they protect them with.
        tail = "-" + hashlib.sha256(passphrase.encode()).hexdigest()[:8] if passphrase else ""
        path = self.dir / (name + tail)
        assert self.made.setdefault(path, (kind, args)) == (kind, args), f"{path.name} is another key"
        if not path.exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, "-f", str(path)]
                + (list(args) or KEY_TYPES[kind]),
                check=True,
                stdin=subprocess.DEVNULL,
            )
            secret(passphrase)
            for line in path.read_text().splitlines()[-4:-1]:  # the private part
                secret(line)
        return path

    def public(self, path):
        return pathlib.Path(f"{path}.pub").read_text()


class Sshd(Daemon):
    """OpenSSH's server. Options override or extend the defaults: Sshd(…, MaxSessions=300)."""

    def __init__(self, keys, name="sshd", host_keys=None, accept=None, env=None, **options):
        super().__init__(name, short_dir(name))
        self.port = options.pop("Port", None) or free_port()
        if host_keys is None:
            host_keys = [keys.make(f"host_{name}_{kind}", kind) for kind in KEY_TYPES]
        self.host_keys = [pathlib.Path(k) for k in host_keys]
        self.home = self.dir / "home"
        self.home.mkdir()
        accept = accept or [keys.make("remote")]
        self.authorized = self.dir / "authorized_keys"
        self.authorized.write_text("".join(keys.public(k) for k in accept))
        config = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "PidFile": "none",
            "AuthorizedKeysFile": self.authorized,
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "yes",
            # bash takes a first shell under sshd for an rsh session and would read ~/.bashrc. A login
            # shell reads ~/.profile: the account's may wait for a lock that a killed shell has left.
            "SetEnv": f"SHLVL=2 HOME={self.home}",
            "AcceptEnv": "*",
            "PrintMotd": "no",
            "PrintLastLog": "no",
            "UseDNS": "no",
            "LogLevel": "VERBOSE",
            "MaxStartups": "500",
            "MaxAuthTries": "20",
            "Subsystem": f"sftp {SFTP_SERVER}",
            **NO_PENALTIES,
        }
        config.update(options)
        self.config_path = self.dir / "sshd_config"
        lines = [f"HostKey {k}" for k in self.host_keys]
        lines += [f"{k} {v}" for k, v in config.items() if v is not None]
        self.config_path.write_text("\n".join(lines) + "\n")
        self.env = env
        if ROOT:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.start()

    def start(self):
        # sshd wants its own absolute path, to run itself again for each connection.
        self.spawn([SSHD, "-D", "-e", "-f", self.config_path], env=self.env)
        self.wait_port(self.port)

    def logins(self, user=None):
        """How many there were, of everybody or of one user. An sshd that is not root's accepts the
        key of another user too, and ends the connection after that."""
        return self.log().count(f"Accepted publickey for {user} " if user else "Accepted publickey")

    def connections(self):
        """Ids of the processes that serve a connection."""
        return descendants(self.pid)

    def known_hosts(self, name="127.0.0.1", kinds=None):
        """Its keys as lines of a known_hosts file."""
        out = []
        for key in self.host_keys:
            if kinds and not any(key.name.endswith(k) for k in kinds):
                continue
            kind, blob = pathlib.Path(f"{key}.pub").read_text().split()[:2]
            host = name if self.port == 22 else f"[{name}]:{self.port}"
            out.append(f"{host} {kind} {blob}\n")
        return "".join(out)


class Dropbear(Daemon):
    """Dropbear's server; takes ~/.ssh/authorized_keys, so it runs with a home of its own."""

    def __init__(self, keys, name="dropbear", kind="ed25519", accept=None, args=()):
        super().__init__(name, short_dir(name))
        self.port = free_port()
        self.host_key = self.dir / "host_key"
        subprocess.run(
            ["dropbearkey", "-t", kind, "-f", str(self.host_key)],
            check=True,
            capture_output=True,
        )
        text = subprocess.run(
            ["dropbearkey", "-y", "-f", str(self.host_key)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        self.public = next(l for l in text.splitlines() if l.startswith(("ssh-", "ecdsa-")))
        self.accept = accept or [keys.make("remote")]
        self.keys = keys
        self.extra = list(args)
        self.start()

    def start(self):
        # It reads ~/.ssh of the account; nss_wrapper gives the account another home.
        home = self.dir / "home"
        (home / ".ssh").mkdir(mode=0o700, parents=True, exist_ok=True)
        authorized = home / ".ssh/authorized_keys"
        authorized.write_text("".join(self.keys.public(k) for k in self.accept))
        authorized.chmod(0o600)
        (self.dir / "passwd").write_text(
            f"{USER}:x:{os.getuid()}:{os.getgid()}::{home}:/bin/bash\n"
        )
        (self.dir / "group").write_text(f"{USER}:x:{os.getgid()}:\n")
        self.spawn(
            ["dropbear", "-F", "-E", "-s", "-r", self.host_key, "-P", self.dir / "pid"]
            + ["-p", f"127.0.0.1:{self.port}"]
            + self.extra,
            env=dict(
                os.environ,
                PATH=os.environ["PATH"] + ":/usr/sbin",
                LD_PRELOAD="libnss_wrapper.so",
                NSS_WRAPPER_PASSWD=str(self.dir / "passwd"),
                NSS_WRAPPER_GROUP=str(self.dir / "group"),
            ),
        )
        self.wait_port(self.port)

    def known_hosts(self, name="127.0.0.1"):
        return f"[{name}]:{self.port} " + " ".join(self.public.split()[:2]) + "\n"


class Agent:
    """A real ssh-agent with the given private keys (and certificates beside them)."""

    def __init__(self, *paths):
        self.dir = short_dir("agent")
        self.sock = self.dir / "a"
        self.proc = subprocess.Popen(
            ["ssh-agent", "-D", "-a", str(self.sock)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # The socket has its name a moment before anybody listens: 2 is "can't connect".
        poll(lambda: self.sock.exists() and self.call("ssh-add", "-l").returncode != 2,
             what="ssh-agent's socket")
        if paths:
            self.add(*paths)

    def call(self, *argv, check=False):
        return subprocess.run(
            argv,
            check=check,
            env=dict(os.environ, SSH_AUTH_SOCK=str(self.sock)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )

    def add(self, *paths):
        self.call("ssh-add", "-q", *map(str, paths), check=True)

    def stop(self):
        self.proc.kill()
        self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def toml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    return str(value) if isinstance(value, int) else json.dumps(str(value))


def routes_toml(routes, jump=None, top=None):
    """The text of a routes file from dictionaries."""
    lines = [f"{k} = {toml_value(v)}" for k, v in (top or {}).items()]
    if jump:
        lines += ["[jump]"] + [f"{k} = {toml_value(v)}" for k, v in jump.items()]
    for name, route in routes.items():
        lines += [f"[routes.{name}]"] + [f"{k} = {toml_value(v)}" for k, v in route.items()]
    return "\n".join(lines) + "\n"


def hop(server, **more):
    """A route table (or [jump]) for a server of this module."""
    return dict(host="127.0.0.1", port=server.port, user=USER, **more)


class Mux(Daemon):
    """`ssh-mux serve` in a private SSH directory, and the clients that use it."""

    has_its_sockets = True  # the process itself, as /proc shows it

    def __init__(self, keys, routes=None, known_hosts="", identity=None, agent=None, env=None,
                 direct=None, timeout=None, max_lifetime=None, authorized=None, args=(),
                 start=True, binary=None):
        super().__init__("ssh-mux", short_dir("mux"))
        self.keys = keys
        self.binary = binary or BINARY
        self.port = free_port()
        self.ssh_dir = self.dir / "ssh"
        self.ssh_dir.mkdir(mode=0o700)
        self.run_dir = self.dir / "run"
        self.run_dir.mkdir(mode=0o700)
        self.local_key = keys.make("local")
        self.known_hosts_path = self.put("known_hosts", known_hosts)
        if authorized is None:
            authorized = keys.public(self.local_key)
        if authorized is not False:
            self.put("ssh-mux-authorized-keys", authorized)
        if identity is None and agent is None:
            identity = keys.make("remote")
        if identity:
            shutil.copy(identity, self.ssh_dir / "id_ed25519")
            (self.ssh_dir / "id_ed25519").chmod(0o600)
        self.args = ["serve", "-p", str(self.port), "--log-level", "debug"]
        if direct:
            self.args += ["--remote", f"127.0.0.1:{direct.port}", "-u", USER]
        else:
            self.routes_path = self.put("ssh-mux-routes.toml", routes)
            self.args += ["--config", str(self.routes_path)]
        if timeout is not None:
            self.args += ["--timeout", str(timeout)]
        if max_lifetime is not None:
            self.args += ["--max-lifetime", str(max_lifetime)]
        self.args += list(args)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SSH_")}
        self.env.update(
            SSH_MUX_SSH_DIR=str(self.ssh_dir),
            XDG_RUNTIME_DIR=str(self.run_dir),
            ASAN_OPTIONS="detect_leaks=1:exitcode=99",
            UBSAN_OPTIONS="print_stacktrace=1",
        )
        if agent:
            self.env["SSH_AUTH_SOCK"] = str(agent.sock)
        if confine := os.environ.get("SSH_MUX_CONFINE"):
            self.env["SSH_MUX_CONFINE"] = confine
        self.env.update(env or {})
        self.config_path = self.dir / "ssh_config"
        self.said = []  # by commands, but for what came from a remote
        self.expect_clean = True
        if start:
            self.start()

    def put(self, name, text):
        path = self.ssh_dir / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def environment(self):
        """Of the daemon and of the commands about it."""
        return self.env

    def start(self):
        self.spawn([self.binary] + self.args, env=self.environment())
        self.wait_port(self.port)
        kind, blob = (self.ssh_dir / "ssh-mux-host-key.pub").read_text().split()[:2]
        (self.dir / "client_known_hosts").write_text(f"ssh-mux {kind} {blob}\n")
        self.config_path.write_text(
            f"""Host mux
  HostName 127.0.0.1
  Port {self.port}
  HostKeyAlias ssh-mux
  IdentityFile {self.local_key}
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {self.dir}/client_known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  UpdateHostKeys no
  BatchMode yes
  ControlMaster no
  ControlPath none
  ConnectTimeout 20
"""
        )

    # ---- clients ----

    def argv(self, route, *args, options=(), program=SSH):
        """The command line of a real client for a route."""
        return [program, "-F", str(self.config_path), *options, f"{route}@mux", *args]

    def ssh(self, route, *args, options=(), timeout=60, **kwargs):
        """Runs the real ssh; stdout and stderr are kept as bytes."""
        kwargs.setdefault("stdin", None if "input" in kwargs else subprocess.DEVNULL)
        if "input" in kwargs:
            kwargs.pop("stdin")
        return subprocess.run(
            self.argv(route, *args, options=options),
            capture_output=True,
            timeout=timeout,
            **kwargs,
        )

    def start_ssh(self, route, *args, options=(), **kwargs):
        for stream in ("stdin", "stdout", "stderr"):
            kwargs.setdefault(stream, subprocess.PIPE)
        return subprocess.Popen(self.argv(route, *args, options=options), **kwargs)

    def check_works(self, route="t", timeout=30):
        """The next call works, whatever happened before."""
        done = self.ssh(route, "echo still here", timeout=timeout)
        assert done.stdout == b"still here\n", (done, self.log()[-2000:])
        assert done.returncode == 0

    def forget_failures(self):
        """Logins that failed may be tried at once when the routes were read again (U5)."""
        since = len(self.log())
        with open(self.routes_path, "a", encoding="utf-8") as f:
            f.write("# again\n")
        self.wait_log("routes re-read", since=since)

    # ---- control ----

    def control(self, *args, timeout=20):
        with subprocess.Popen(
            [self.binary, *args],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            try:
                out, err = program.communicate(timeout=timeout)
            except subprocess.TimeoutExpired as late:
                # What it waits for tells whether the program or the daemon is late.
                waits = f"{waits_for(program.pid)}; its output: {holders(program.stdout)}"
                ended = self.proc and self.proc.poll()
                program.kill()
                raise AssertionError(
                    f"ssh-mux {' '.join(args)} took {timeout} s, and wrote {late.stdout}, {late.stderr}; "
                    f"{waits}\nthe daemon ended: {ended}\n{self.log()[-3000:]}"
                ) from None
        self.said += [out, err]
        return subprocess.CompletedProcess(program.args, program.returncode, out, err)

    def status(self):
        """As `status --json` prints it, which takes ten times as long where tests wait for something."""
        try:
            with Control(self) as control:
                answers = control.ask_all(cmd="status")
        except (NoControl, ConnectionRefusedError, FileNotFoundError):
            done = self.control("status", "--json")
            assert done.returncode == 0, done
            return json.loads(done.stdout)
        except EOFError as e:
            raise AssertionError(e) from None
        self.said += [json.dumps(a, ensure_ascii=False) for a in answers]
        assert answers[-1].get("ok"), answers
        status = {f"{item}s": [a[item] for a in answers if item in a]
                  for item in ("warning", "route", "connection", "client", "channel")}
        for a in answers:
            status.update(a.get("daemon", {}))
        return status

    def connections(self):
        """The pooled connections that are ready."""
        return [c for c in self.status()["connections"] if c.get("state") == "ready"]

    def open_channels(self):
        """Channels of clients: a connection behind a jump host is itself a channel of that."""
        connections = self.status()["connections"]
        tunnels = sum(" via " in c["key"] for c in connections)
        return sum(c["channels"] for c in connections) - tunnels

    def wait_idle(self, timeout=15):
        """P6: every channel is given back, and every client has left."""
        poll(
            lambda: self.open_channels() == 0 and not self.status()["clients"],
            timeout,
            "no open channels",
            0.1,
        )

    def memory(self, field="VmRSS"):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as f:
            for line in f:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field}")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # ---- the end ----

    def left_behind(self):
        return group_members(self.proc.pid)

    def stop(self, how="command"):
        """An orderly end: exit code 0, no sanitizer report, nothing left behind."""
        if self.proc is None:
            return
        try:
            if self.proc.poll() is None:
                if how == "command":
                    done = self.control("stop")
                    # One that was stopped a moment ago may still be ending; how, is seen below.
                    if self.expect_clean and "no daemon" not in done.stderr:
                        assert done.returncode == 0, (done, self.log()[-2000:])
                else:
                    self.proc.send_signal(signal.SIGTERM)
            try:
                code = self.proc.wait(20)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"does not stop:\n{self.log()[-3000:]}") from None
            left = self.left_behind()
            text = self.log()
            for sign in ("AddressSanitizer", "LeakSanitizer", "runtime error:"):
                at = text.find(sign)
                assert at < 0, text[max(0, at - 300): at + 6000]
            assert code == 0 or not self.expect_clean, f"exit {code}:\n{text[-3000:]}"
            assert not left, f"processes left behind: {left}"
        finally:
            for pid in group_members(self.proc.pid):
                kill_quietly(pid)
            self.kill()


class Pump(threading.Thread):
    """A TCP proxy whose every direction can be held up: a network with a will of its own."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.flow = threading.Event()
        self.flow.set()
        self.delay = 0.0
        self.pairs = []
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        mine = threading.Event()
        mine.set()
        self.pairs.append((client, server, mine))
        for a, b in ((client, server), (server, client)):
            threading.Thread(target=self.copy, args=(a, b, mine, b is server), daemon=True).start()

    def edited(self, data, to_server):  # for those who change what passes
        return data

    def copy(self, a, b, mine, to_server):
        try:
            while True:
                data = a.recv(65536)
                self.flow.wait()
                mine.wait()
                if self.delay:
                    time.sleep(self.delay)
                if not data:
                    break
                b.sendall(self.edited(data, to_server))
            b.shutdown(socket.SHUT_WR)
        except OSError:
            for s in (a, b):
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    def hold(self):
        """From now on nothing gets through and nobody is told: a path that died."""
        self.flow.clear()

    def release(self):
        self.flow.set()

    def strand(self):
        """The connections of now are dead without a word; new ones get through."""
        for _, _, mine in self.pairs:
            mine.clear()

    def unstrand(self):
        """They go on; nothing of what was sent meanwhile is lost."""
        for _, _, mine in self.pairs:
            mine.set()

    def cut(self):
        for *pair, mine in self.pairs:
            mine.set()
            for s in pair:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.flow.set()
        self.listener.close()
        self.cut()


class EchoServer(threading.Thread):
    """Echoes on a loopback port (or a Unix socket) until the peer's end of file."""

    def __init__(self, path=None):
        super().__init__(daemon=True)
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            self.listener.listen(64)
        else:
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
            self.port = self.listener.getsockname()[1]
        self.accepted = 0
        self.start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.echo, args=(s,), daemon=True).start()

    def echo(self, s):
        with s, contextlib.suppress(OSError):
            while data := s.recv(65536):
                s.sendall(data)
            s.shutdown(socket.SHUT_WR)

    def stop(self):
        self.listener.close()
