# SPDX-License-Identifier: MIT
"""The calls of calls_world.py: what people and programs do with ssh, in the words in which they do
it. CALLS: {the words: Call(accounts it may reach, what to do, whether it is in the small sample)}"""
import collections
import os

CALLS = {}
Call = collections.namedtuple("Call", "asks what quick")

WHERE = "id -un; hostname"
ECHO = "echo.internal:7001"  # known behind the jump host only
BLOCK = bytes(range(256)) * 1500
ANSIBLE = ("-C -o ControlMaster=auto -o ControlPersist=60s -o KbdInteractiveAuthentication=no "
           "-o PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey "
           "-o PasswordAuthentication=no").split()


def call(words, asks="", quick=False):
    """asks: accounts at machines that may be reached, those of jump hosts included."""

    def add(what):
        assert words not in CALLS, words
        CALLS[words] = Call(frozenset(asks.split()), what, quick)
        return what

    return add


def ssh(words, asks, command=WHERE, stdin=b"", quick=False, name=None):
    """A ssh that runs a command, as the words say."""
    argv = words.split() + ([command] if command else [])
    call(name or (words if command in (WHERE, None) else f"{words} {command}"), asks, quick)(
        lambda c: c.run(*argv, stdin=stdin))


# ---- who and where -------------------------------------------------------------------------------

ssh("ssh web1", "deploy@web1", quick=True)
ssh("ssh www1", "deploy@web1")
ssh("ssh ada@web1", "ada@web1", quick=True)
ssh("ssh -l ada web1", "ada@web1")
ssh("ssh -o User=root web1", "root@web1")
ssh("ssh nobody@web1", "")
ssh("ssh -p 2022 web1", "deploy@web1-alt", quick=True)
ssh("ssh -p 9 web1", "")
ssh("ssh ssh://ada@web1:2022", "ada@web1-alt")
ssh("ssh web2", "deploy@web2")
ssh("ssh web3", "ada@web2")
ssh("ssh node-7", "deploy@node-7")
ssh("ssh night", "ada@web2")
ssh("ssh nat1", "ada@nat1")
ssh("ssh ops@nat2", "ops@nat2")
ssh("ssh old-switch", "ada@old")
ssh("ssh agent-only", "agent@lab")
ssh("ssh nowhere.example", "")
ssh("ssh gone", "")
ssh("ssh tarpit", "")
ssh("ssh once", "ada@web1", command=None)
ssh("ssh web1.corp.example", "me@web1")

# ---- over other hosts ----------------------------------------------------------------------------

ssh("ssh db", "jump@gate ops@db", quick=True)
ssh("ssh root@db", "jump@gate root@db")
ssh("ssh db-admin", "jump@gate root@db")
ssh("ssh deep", "jump@gate ops@db ada@cache")
ssh("ssh cache.internal", "jump@gate ops@cache")
ssh("ssh via-w", "jump@gate ops@cache", quick=True)
ssh("ssh via-program", "ops@web1")
ssh("ssh -J gate web2", "jump@gate deploy@web2", quick=True)
ssh("ssh -J web1 web2", "deploy@web1 deploy@web2")
ssh("ssh -J ada@gate,db ops@cache.internal", "ada@gate ops@db ops@cache")


@call("ssh -W echo.internal:7001 gate", "jump@gate")
def _(c):
    c.run("ssh", "-W", ECHO, "gate", stdin=b"through the bastion")


# ---- forwards and the agent ----------------------------------------------------------------------


@call("ssh -L PORT:echo.internal:7001 gate cat", "jump@gate", quick=True)
def _(c):
    argv = ["ssh", "-L", f"{c.port}:{ECHO}", "gate", "cat"]
    c.beside(argv, lambda p: c.exchange(c.port, alive=lambda: p.poll() is None))


@call("ssh -N -L PORT:echo.internal:7001 gate", "jump@gate")
def _(c):
    argv = ["ssh", "-N", "-L", f"{c.port}:{ECHO}", "gate"]
    c.beside(argv, lambda p: c.exchange(c.port, alive=lambda: p.poll() is None))


@call("ssh -f -L PORT:echo.internal:7001 gate sleep 2", "jump@gate")
def _(c):
    c.behind("ssh", "-f", "-o", "ExitOnForwardFailure=yes", "-L", f"{c.port}:{ECHO}", "gate", "sleep 2")
    c.exchange(c.port)


@call("ssh -N -D PORT db", "jump@gate ops@db")
def _(c):
    argv = ["ssh", "-N", "-D", str(c.port), "db"]
    c.beside(argv, lambda p: c.exchange(c.port, first=ECHO.encode(), alive=lambda: p.poll() is None))


def over_there(port):
    return f"exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3"


@call("ssh -R PORT:localhost:7002 web1", "deploy@web1")
def _(c):
    c.run("ssh", "-R", f"{c.port}:localhost:7002", "web1", over_there(c.port))


@call("ssh -R 0:localhost:7002 web1", "deploy@web1")
def _(c):
    c.run("ssh", "-o", "ExitOnForwardFailure=yes", "-R", "0:localhost:7002", "web1", WHERE)


@call("ssh dev", "deploy@lab")
def _(c):
    c.beside(["ssh", "dev", "cat"], lambda p: c.exchange(17031, alive=lambda: p.poll() is None))


ssh("ssh back", "deploy@lab", command=over_there(17032), name="ssh back")
ssh("ssh -A web1", "deploy@web1", command="ssh-add -l | wc -l", quick=True, name="ssh -A web1 ssh-add -l")
ssh("ssh lab", "ada@lab", command="ssh-add -l | wc -l", name="ssh lab ssh-add -l")
ssh("ssh -a lab", "ada@lab", command="ssh-add -l 2>&1 | tail -1", name="ssh -a lab ssh-add -l")

# ---- streams and ends ----------------------------------------------------------------------------

ssh("ssh web1", "deploy@web1", command="exit 7", quick=True)
ssh("ssh web1", "deploy@web1", command="kill -TERM $$")
ssh("ssh web1", "deploy@web1", command="echo out; echo err >&2")
ssh("ssh web1", "deploy@web1", command="sha256sum", stdin=BLOCK, quick=True)
ssh("ssh packed", "deploy@web1", command="head -c 300000 /dev/zero | tr '\\0' '\\377'", name="ssh packed, 300 KB")
ssh("ssh -n web1", "deploy@web1", command="cat", stdin=b"not to be read")
ssh("ssh env", "deploy@web1", command="echo $LC_CALL")


@call("ssh web1 cat <&-", "deploy@web1")
def _(c):
    c.run("ssh", "web1", "cat; id -un", stdin=None)


@call("ssh -T web1 <script", "deploy@web1")
def _(c):
    c.run("ssh", "-T", "web1", stdin=b"id -un; hostname; exit 5\n")


@call("ssh -t web1 tty", "deploy@web1")
def _(c):
    c.terminal("ssh", "-t", "web1", "tty; stty size; id -un")


@call("ssh terminal", "deploy@web1")
def _(c):
    c.run("ssh", "terminal", "tty; id -un")


@call("ssh -f web1", "deploy@web1")
def _(c):
    c.behind("ssh", "-f", "web1", f"id -un >{c.tag}-f")
    c.wait_placed()


@call("ssh -o BatchMode=yes -o ConnectTimeout=5 db", "jump@gate ops@db")
def _(c):
    c.run("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "db", WHERE)


@call("ssh -G web1")
def _(c):
    c.run("ssh", "-G", "web1")


@call("ssh -M own; ssh -O check own; ssh own", "ops@web1")
def _(c):
    c.behind("ssh", "-M", "-f", "-N", "own")
    c.run("ssh", "-O", "check", "own")
    c.run("ssh", "own", WHERE)
    c.run("ssh", "-O", "exit", "own")


# ---- files ---------------------------------------------------------------------------------------


@call("scp FILE web1:", "deploy@web1", quick=True)
def _(c):
    c.run("scp", "-q", c.put(f"{c.tag}-up", BLOCK), "web1:")


@call("scp ada@web1:motd FILE", "ada@web1")
def _(c):
    c.run("scp", "-q", "ada@web1:motd", f"{c.tag}-down")
    c.show(f"{c.tag}-down")


@call("scp -P 2022 FILE ada@web1:", "ada@web1-alt")
def _(c):
    c.run("scp", "-q", "-P", "2022", c.put(f"{c.tag}-up", BLOCK), "ada@web1:")


@call("scp -O FILE db:", "jump@gate ops@db")
def _(c):
    c.run("scp", "-q", "-O", c.put(f"{c.tag}-up", BLOCK), "db:")


@call("scp -3 ada@web1:motd web2:", "ada@web1 deploy@web2")
def _(c):
    c.run("scp", "-q", "-3", "ada@web1:motd", f"web2:{c.tag}-third")


@call("scp scp://ada@web1:2022/motd FILE", "ada@web1-alt")
def _(c):
    c.run("scp", "-q", "scp://ada@web1:2022/motd", f"{c.tag}-down")
    c.show(f"{c.tag}-down")


@call("sftp -b - ada@web2", "ada@web2")
def _(c):
    c.run("sftp", "-q", "-b", "-", "ada@web2",
          stdin=f"put {c.put(c.tag + '-up', BLOCK)}\nget motd {c.tag}-down\n".encode())
    c.show(f"{c.tag}-down")


@call("rsync -a DIRECTORY db:", "jump@gate ops@db")
def _(c):
    c.put(f"{c.tag}-dir/{c.tag}-file", BLOCK)
    c.run("rsync", "-a", f"{c.tag}-dir", "db:")


@call("rsync -e 'ssh -p 2022' ada@web1:motd FILE", "ada@web1-alt")
def _(c):
    c.run("rsync", "-e", "ssh -p 2022", "ada@web1:motd", f"{c.tag}-down")
    c.show(f"{c.tag}-down")


# ---- git -----------------------------------------------------------------------------------------

ssh("ssh -T git@git.example", "git@git", command=None)
ssh("ssh -T git-personal", "git@git", command=None)


def clone(c, url):
    c.run("git", "clone", "-q", url, f"{c.tag}-clone")
    c.show(f"{c.tag}-clone/file")


call("git clone git@git.example:project.git", "git@git", quick=True)(
    lambda c: clone(c, "git@git.example:project.git"))
call("git clone gitlab:project.git", "git@git")(lambda c: clone(c, "gitlab:project.git"))
call("git ls-remote ssh://git@git.example/home/git/project.git", "git@git")(
    lambda c: c.run("git", "ls-remote", "ssh://git@git.example/home/git/project.git", "HEAD"))
call("git ls-remote ssh://ada@gerrit:29418/home/ada/project.git", "ada@gerrit")(
    lambda c: c.run("git", "ls-remote", "ssh://ada@gerrit:29418/home/ada/project.git", "HEAD"))


@call("git push git@git.example:project.git", "git@git")
def _(c):
    clone(c, "git@git.example:project.git")
    c.run("git", "-C", f"{c.tag}-clone", "push", "-q", "origin", f"HEAD:refs/tags/{c.tag}-pushed")
    c.run("git", "ls-remote", "git@git.example:project.git", f"refs/tags/{c.tag}-pushed")
    c.run("git", "-C", f"{c.tag}-clone", "push", "-q", "origin", f":refs/tags/{c.tag}-pushed")


# ---- ansible's own command lines -----------------------------------------------------------------


def ansible(c, command, stdin=b""):
    own = ["-o", 'User="ada"', "-o", "ConnectTimeout=10",
           "-o", f'ControlPath="/home/me/.ansible/cp/{c.tag}"']
    os.makedirs("/home/me/.ansible/cp", exist_ok=True)
    c.behind("ssh", *ANSIBLE, *own, "web1", command) if not stdin else c.run(
        "ssh", *ANSIBLE, *own, "web1", command, stdin=stdin)


call("ansible's ssh with remote_user", "ada@web1", quick=True)(
    lambda c: ansible(c, "/bin/sh -c 'echo ~ada && id -un && hostname && sleep 0'"))
call("ansible's ssh with pipelining", "ada@web1")(
    lambda c: ansible(c, "/bin/sh -c '/usr/bin/python3 && sleep 0'",
                      b"import getpass, sys\nprint(getpass.getuser())\nsys.exit(3)\n"))
