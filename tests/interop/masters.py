# SPDX-License-Identifier: MIT
"""Two masters of a shared connection to one server: ssh-mux at its control socket, and a real
`ssh -M`. What a client of OpenSSH prints and how it ends must be the same with both (W2)."""
import fcntl
import os
import pathlib
import re
import subprocess

from peers import SSH, USER, Daemon, poll, short_dir


class Master(Daemon):
    """A real ControlMaster."""

    name = "ssh -M"

    def __init__(self, sshd, keys, options=()):
        super().__init__("ssh-master", short_dir("master"))
        self.sock = self.dir / "sock"
        self.config = client_config(self.dir / "config", sshd, keys)
        self.spawn([SSH, "-F", str(self.config), "-M", "-N", "-S", str(self.sock), *options, "t"])
        poll(self.sock.exists, 20, "the master's socket")


def client_config(path, sshd, keys=None):
    """keys None: a client that can't reach the server by itself."""
    own = (f"  IdentityFile {keys.make('remote')}\n" if keys else
           "  ProxyCommand false\n")
    known = path.parent / "known_hosts"
    known.write_text(sshd.known_hosts())
    path.write_text(f"""Host t
  HostName 127.0.0.1
  Port {sshd.port}
  User {USER}
{own}  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {known}
  GlobalKnownHostsFile none
  UpdateHostKeys no
  BatchMode yes
  ConnectTimeout 20
""")
    return path


def socket_of(mux, route="t"):
    """Where ssh-mux has the socket of a route, once it is there."""
    top = pathlib.Path(mux.run_dir, "ssh-mux")
    find = lambda: [s for s in list(top.glob("c*/*")) or top.glob("d*/*")
                    if s.name.startswith(route + "=")]
    poll(lambda: len(find()) == 1, 10, f"the control socket of {route}")
    return find()[0]


class Client:
    """OpenSSH's clients with one of the masters."""

    def __init__(self, config, sock, env=None):
        self.config, self.sock = config, sock
        self.env = env

    def argv(self, *args, options=(), program=SSH, host="t"):
        return [program, "-F", str(self.config), "-o", f"ControlPath={self.sock}", *options, host,
                *args]

    def ssh(self, *args, options=(), timeout=60, **kwargs):
        if "input" not in kwargs:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        return subprocess.run(self.argv(*args, options=options), timeout=timeout, env=self.env,
                              check=False, **kwargs)

    def start(self, *args, options=(), **kwargs):
        for stream in ("stdin", "stdout", "stderr"):
            kwargs.setdefault(stream, subprocess.PIPE)
        return subprocess.Popen(self.argv(*args, options=options), env=self.env, **kwargs)


def same(text):
    """What differs between two calls of one master: numbers of channels and processes."""
    return re.sub(rb"(channel|pid=|process id) ?\d+", rb"\1 N", text)


def shown(done):
    return same(done.stdout or b""), same(done.stderr or b""), done.returncode


def flags_of(fd):
    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
