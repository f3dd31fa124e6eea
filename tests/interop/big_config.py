# SPDX-License-Identifier: MIT
"""A client configuration as people really have them: 120 hosts in seven files, with every form
that ssh_config has for writing them down.

    info = write_big_config(directory, targets)

writes `config` and `config.d/…` into `directory` (made if missing, mode 0700), and says what an
import is to make of them.

directory   the SSH directory. Includes name absolute paths, but those in it that could be relative
            are so if `directory` is called ".ssh": then run ssh with HOME set to its parent.
targets     list of (host, port) of real servers, all of which log `user` in; at least two. They
            are dealt out to a sample of the hosts in turn; those hosts and their jump hosts can be
            logged in to. All others have addresses that nothing is ever sent to.
user        login name at the targets; default: who runs this.
identity    private key for all hosts ("Host *"), a path; None: no IdentityFile line there.

Returns a BigConfig.
"""
import dataclasses
import getpass
import pathlib


@dataclasses.dataclass
class BigConfig:
    config: pathlib.Path  # the main file
    files: list  # all files, the main one first
    aliases: list  # every literal alias, 120 of them, in the order of the files
    routes: list  # those of them that become routes
    left_out: dict  # the others: alias -> "proxycommand" | "name" | "host" | "user" | "jump"
    sample: dict  # alias -> (host, port): real, reached through real jump hosts if any
    jumps: dict  # alias -> list of its jump hosts as ssh is told them; not in it: direct
    patterns: list  # names that only wildcards and Match blocks know; never routes

    def bytes(self):
        """Content of every file, to see later that it is untouched."""
        return {str(f): f.read_bytes() for f in self.files}


class _Writer:
    def __init__(self, targets, user, relative):
        self.targets, self.user, self.relative = list(targets), user, relative
        self.dealt = 0
        self.aliases, self.left_out, self.sample, self.jumps = [], {}, {}, {}

    def real(self, *names, but=None):
        """The next real server, for these aliases; not `but`: ssh refuses a host that is its own
        jump host."""
        while True:
            host, port = self.targets[self.dealt % len(self.targets)]
            self.dealt += 1
            if (host, port) != but:
                break
        for name in names:
            self.sample[name] = (host, port)
        return host, port

    def add(self, *names, jumps=None, out=None):
        for name in names:
            self.aliases.append(name)
            if jumps:
                self.jumps[name] = jumps
            if out:
                self.left_out[name] = out


def _main(w, include):
    """The main file: odd spellings, jump hosts, wildcards and Match."""
    b1, b2 = w.real("bastion"), w.real("bastion-eu")
    w.add("bastion", "bastion-eu")
    text = f"""# Meine Rechner – überall verteilt, 東京 too
# vim: set ft=sshconfig :
IgnoreUnknown FancyNewOption,AnotherOne
FancyNewOption yes

{include("config.d/10-work.conf")}
{include("config.d/2*.conf", glob=True)}

Host bastion
    HostName {b1[0]}
    Port {b1[1]}
    User {w.user}

host bastion-eu jump-eu
\tHOSTNAME\t{b2[0]}
\tport={b2[1]}
\tUser = "{w.user}"

"""
    w.add("jump-eu")
    w.sample["jump-eu"] = b2
    p = w.real("quoted", "equals", "abc-a", "abc-b", "abc-c", "single", "commented")
    text += f"""Host "quoted"
  HostName "{p[0]}"
  Port "{p[1]}"
  User "{w.user}"
Host=equals
HostName={p[0]}
Port = {p[1]}
User={w.user}
Host abc-a   abc-b\tabc-c
    HostName {p[0]}
    Port {p[1]}
    User {w.user}   
    SendEnv EDITOR MY_TOOL LD_PRELOAD
Host 'single'  # with a comment behind it
    HostName {p[0]}  # and here
    Port {p[1]}
    User {w.user}
"Host" commented #not-a-host
    #HostName 192.0.2.1
    HostName {p[0]}
    Port {p[1]}
    User {w.user}

"""
    w.add("quoted", "equals", "abc-a", "abc-b", "abc-c", "single", "commented")
    # The three kinds of ProxyJump.
    t = w.real("by-alias", "by-spec", "by-chain", "by-nested", "by-eu", but=b2)
    spec = f"{w.user}@{b2[0]}:{b2[1]}"
    text += f"""Host by-alias
    ProxyJump bastion
Host by-spec
    ProxyJump {spec}
Host by-chain
    ProxyJump bastion,{spec}
Host by-nested
    ProxyJump by-alias
Host by-eu
    ProxyJump bastion-eu
Host by-*
    HostName {t[0]}
    Port {t[1]}
    User {w.user}

"""
    w.add("by-alias", jumps=["bastion"])
    w.add("by-spec", jumps=[spec])
    w.add("by-chain", jumps=["bastion", spec])
    w.add("by-nested", jumps=["by-alias"])
    w.add("by-eu", jumps=["bastion-eu"])
    # A wildcard block that hosts above it inherit from.
    for i in range(1, 21):
        w.add(f"node{i:02d}", jumps=["bastion"])
        text += f"Host node{i:02d}\n    HostName 10.1.0.{i}\n"
    text += """Host node* !node99
    User deploy
    ProxyJump bastion
    IdentityFile ~/.ssh/id_cluster_%r
    IdentitiesOnly yes

Match host *.corp.test user nobody
    User corp
Match originalhost tagged,other exec "test -n x"
    User from-match-exec
Host tagged
    HostName tagged.corp.test
    HostKeyAlias tagged-key
    Port 2200
Host v6
    HostName 2001:db8::7
    User six
    ProxyJump me@[2001:db8::1]:2222
Host *.wild.test ??.short.test
    User wild
Host cap.WILD.test
    HostName %h
    User Upper
"""
    w.add("tagged", "cap.WILD.test")
    w.add("v6", jumps=["me@[2001:db8::1]:2222"])
    return text


def _work(w):
    """CRLF line ends."""
    t = w.real("work-web", "work-db")
    w.add("work-web")
    w.add("work-db", jumps=["bastion"])
    text = f"""# Arbeit, CRLF
Host work-web
  HostName {t[0]}
  Port {t[1]}
  User {w.user}

Host work-db
  HostName={t[0]}
  Port={t[1]}
  User="{w.user}"
  ProxyJump=bastion
"""
    for i in range(1, 26):
        jumps = ["bastion"] if i % 3 == 0 else None
        w.add(f"work-{i}", jumps=jumps)
        text += f"Host work-{i}\n  HostName work-{i}.example.test\n  User w{i}\n"
        text += "  ProxyJump bastion\n" if jumps else ""
    return text.replace("\n", "\r\n")


def _lab(w, include):
    """Includes once more, also within a block that does not match."""
    text = include("nested/deep.conf") + "\n"
    text += "Host lab-gate\n  HostName 192.0.2.9\n  User lab\n"
    w.add("lab-gate")
    for i in range(1, 16):
        w.add(f"lab{i}", jumps=["lab-gate"])
        text += f"Host lab{i} # Labor {i}\n  HostName 10.2.0.{i}\n  Port {2000 + i}\n"
    text += "Host lab?  lab1?\n  User \"lab user\"\n  ProxyJump lab-gate\n"
    text += "Host only-here\n  HostName 192.0.2.77\n  " + include("nested/within.conf") + "\n"
    w.add("only-here")
    return text


def _deep(w):
    t = w.real("deep-real")
    w.add("deep-real", *[f"deep{i}" for i in range(1, 11)])
    text = f"Host deep-real\n  HostName {t[0]}\n  Port {t[1]}\n  User {w.user}\n"
    names = " ".join(f"deep{i}" for i in range(1, 11))
    text += f"Host {names}\n  HostName %h.deep.test\n  User tief\n"
    return text


def _cloud(w):
    """ProxyCommand, directly and by way of the jump host."""
    text = ""
    for i in range(1, 6):
        w.add(f"i-{i:04x}", out="proxycommand")
        text += f"Host i-{i:04x}\n  User ec2-user\n"
    text += "Host i-*\n  ProxyCommand aws-session start --target %h --port %p\n"
    text += "Host none-of-it\n  ProxyCommand none\n  ProxyJump none\n  HostName 192.0.2.50\n"
    w.add("none-of-it")
    text += "Host behind-cloud\n  HostName 10.3.0.1\n  ProxyJump i-0001\n"
    w.add("behind-cloud", out="jump")
    return text


def _odd(w):
    """What must never become a route."""
    text = ""
    for name, kind, lines in (
        ("-oProxyCommand=evil", "name", "HostName 192.0.2.60"),
        ("café", "name", "HostName 192.0.2.61"),
        ("semi;colon", "name", "HostName 192.0.2.62"),
        ("evil-host", "host", 'HostName "a;touch${IFS}x"'),
        ("evil-dash", "host", 'HostName "-oProxyCommand=x"'),
        ("evil-user", "user", 'HostName 192.0.2.63\n  User "$(id)"'),
    ):
        w.add(name, out=kind)
        text += f'Host "{name}"\n  {lines}\n'
    for i in range(1, 12):
        w.add(f"odd.{i}_x-Y")
        text += f'Host odd.{i}_x-Y\n  HostName 10.4.0.{i}\n  User "DOM\\\\user{i}"\n'
    return text


def write_big_config(directory, targets, user=None, identity=None):
    assert len(set(targets)) >= 2
    directory = pathlib.Path(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    w = _Writer(targets, user or getpass.getuser(), directory.name == ".ssh")

    def include(path, glob=False):
        if w.relative and not glob:
            return f"Include {path}"
        return f'Include "{directory}/{path}"'

    parts = {"config": _main(w, include)}
    parts["config.d/10-work.conf"] = _work(w)
    parts["config.d/20-lab.conf"] = _lab(w, include)
    parts["nested/deep.conf"] = _deep(w)
    w.add("within")
    parts["nested/within.conf"] = "Host within\n  User inside\n"
    parts["config.d/21-cloud.conf"] = _cloud(w)
    parts["config.d/22-odd.conf"] = _odd(w)
    missing = 120 - len(w.aliases)
    assert missing >= 0, len(w.aliases)
    tail = ""
    for i in range(missing):
        w.add(f"rest{i:02d}")
        tail += f"Host rest{i:02d}\n    HostName 10.5.0.{i + 1}\n    User rest\n"
    tail += "Host *\n    ServerAliveInterval 30\n    HashKnownHosts yes\n"
    if identity:
        tail += f'    IdentityFile "{identity}"\n'
    parts["config"] += tail
    files = []
    for name, text in parts.items():
        path = directory / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        path.chmod(0o600)
        files.append(path)
    assert len(set(w.aliases)) == 120
    return BigConfig(
        config=directory / "config",
        files=files,
        aliases=w.aliases,
        routes=[a for a in w.aliases if a not in w.left_out],
        left_out=w.left_out,
        sample=w.sample,
        jumps=w.jumps,
        patterns=["*", "node*", "by-*", "lab?", "lab1?", "i-*", "*.wild.test", "??.short.test"],
    )
