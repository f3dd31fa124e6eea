# SPDX-License-Identifier: MIT
"""What is where in calls_world.py: accounts, machines, names, and the person's configuration."""

ME = 61000
ACCOUNTS = {"root": 0, "me": ME, "deploy": 61001, "ada": 61002, "git": 61003, "jump": 61004,
            "ops": 61005, "agent": 61006}

# What a forge does: it greets, or serves git.
GIT_COMMAND = ('test -z \\"$SSH_ORIGINAL_COMMAND\\" && echo Welcome, {who} && exit 0; '
               'exec git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"')
OLD = {"KexAlgorithms": "diffie-hellman-group14-sha1", "HostKeyAlgorithms": "ssh-rsa",
       "Ciphers": "aes128-cbc", "MACs": "hmac-sha1"}

# name: (address, port, kind of host key, lines of its sshd_config)
MACHINES = {
    "gate": ("127.0.0.10", 22, "ed25519", {}),
    "web1": ("127.0.0.11", 22, "ed25519", {}),
    "web1-alt": ("127.0.0.11", 2022, "ed25519", {}),
    "web2": ("127.0.0.12", 2222, "ecdsa", {}),
    "db": ("127.0.0.13", 22, "ed25519", {}),
    "cache": ("127.0.0.14", 22, "ed25519", {}),
    "git": ("127.0.0.15", 22, "ed25519", {}),
    "gerrit": ("127.0.0.15", 29418, "ed25519", {}),
    "lab": ("127.0.0.16", 22, "ed25519", {}),
    "nat1": ("127.0.0.17", 2201, "ed25519", {}),
    "nat2": ("127.0.0.17", 2202, "ed25519", {}),
    "old": ("127.0.0.18", 22, "rsa", OLD),
    "node-7": ("127.0.0.19", 22, "ed25519", {}),
}
TARPIT = ("127.0.0.20", 22)  # takes connections and says nothing
ECHO = ("127.0.0.30", 7001)  # echo.internal: gives back what it is sent, with its name before
NOTE = ("127.0.0.1", 7002)  # of the person's own machine: says who it is

NAMES = {"gate": "gate.corp.example", "web1": "web1.corp.example", "web2": "web2.corp.example",
         "git": "git.example", "gerrit": "gerrit.example", "lab": "lab.corp.example",
         "nat1": "nat.corp.example", "old": "old.corp.example", "node-7": "node-7.corp.example"}
HOSTS = "127.0.0.1 localhost laptop\n" + "".join(
    f"{MACHINES[m][0]} {name}\n" for m, name in NAMES.items()) + f"{TARPIT[0]} tarpit.corp.example\n"
INSIDE = f"127.0.0.13 db.internal\n127.0.0.14 cache.internal\n{ECHO[0]} echo.internal\n"


def known_as(machine):
    """The names of a machine in known_hosts."""
    address, port = MACHINES[machine][:2]
    names = {"db": ["db.internal"], "cache": ["cache.internal"], "nat1": ["nat-one"],
             "nat2": ["nat-two"], "web1-alt": ["web1.corp.example"]}.get(
                 machine, [NAMES.get(machine)])
    names = [n for n in names if n] + ([address] if machine != "nat2" else [])
    if machine.startswith("nat"):
        return names[:1]
    return [n if port == 22 else f"[{n}]:{port}" for n in names]


# Files of ~/.ssh. 30 hosts: every name in a Host line that is no pattern, and one for each pattern.
FILES = {
    "config": """\
# Work
Include conf.d/*.conf

Host gate bastion gate.corp.example
    HostName gate.corp.example
    User jump

Host web1 www1
    HostName web1.corp.example
    User deploy

Host web2
    HostName web2.corp.example
    Port 2222
    User deploy
    IdentityFile ~/.ssh/id_ed25519
    IdentitiesOnly yes

Host web3
    HostName 127.0.0.12
    Port 2222
    User ada

Host db db1
    HostName db.internal
    User ops
    ProxyJump gate

Host db-admin
    HostName db.internal
    User root
    ProxyJump gate

Host deep
    HostName cache.internal
    User ada
    ProxyJump gate,db

Host via-w
    HostName cache.internal
    User ops
    ProxyCommand ssh -q -W %h:%p gate

Host via-program
    HostName web1.corp.example
    User ops
    ProxyCommand ~/.ssh/connect %h %p

Host *.internal
    User ops
    ProxyJump gate

Host node-*
    HostName %h.corp.example
    User deploy

Match originalhost night exec "test -f ~/.ssh/config"
    HostName web2.corp.example
    Port 2222
    User ada

Match user root
    IdentityFile ~/.ssh/id_personal

# Forges
Host git.example gitlab
    HostName git.example
    User git

Host git-personal
    HostName git.example
    User git
    IdentityFile ~/.ssh/id_personal
    IdentitiesOnly yes
    IdentityAgent none

Host gerrit
    HostName gerrit.example
    Port 29418
    User ada

# Everything
Host *
    ServerAliveInterval 60
    IdentityFile ~/.ssh/id_ed25519
    HashKnownHosts yes
    UpdateHostKeys no
    StrictHostKeyChecking yes
""",
    "connect": """\
#!/usr/bin/python3
# What `nc HOST PORT` does.
import os, select, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while True:
    for fd in select.select([0, s], [], [])[0]:
        data = os.read(0, 65536) if fd == 0 else s.recv(65536)
        if not data:
            sys.exit(0)
        s.sendall(data) if fd == 0 else os.write(1, data)
""",
    "conf.d/lab.conf": """\
Host lab
    HostName lab.corp.example
    User ada
    ForwardAgent yes

Host dev
    HostName lab.corp.example
    User deploy
    LocalForward 17031 127.0.0.30:7001
    ExitOnForwardFailure yes

Host back
    HostName lab.corp.example
    User deploy
    RemoteForward 17032 127.0.0.1:7002
    ExitOnForwardFailure yes

Host nat1
    HostName nat.corp.example
    Port 2201
    User ada
    HostKeyAlias nat-one

Host nat2
    HostName nat.corp.example
    Port 2202
    User ada
    HostKeyAlias nat-two

Host old-switch
    HostName old.corp.example
    User ada
    KexAlgorithms +diffie-hellman-group14-sha1
    HostKeyAlgorithms +ssh-rsa
    PubkeyAcceptedAlgorithms +ssh-rsa
    Ciphers +aes128-cbc
    MACs +hmac-sha1
""",
    "conf.d/more.conf": """\
Host own
    HostName web1.corp.example
    User ops
    ControlPath ~/.ssh/own-%r@%h-%p

Host env
    HostName web1.corp.example
    User deploy
    SendEnv LC_CALL
    SetEnv LC_CALL=fixed

Host once
    HostName web1.corp.example
    User ada
    RemoteCommand echo once; id -un; hostname

Host tarpit
    HostName tarpit.corp.example
    User ada
    ConnectTimeout 2

Host gone
    HostName web1.corp.example
    Port 9
    User ada

Host packed
    HostName web1.corp.example
    User deploy
    Compression yes
    LogLevel ERROR

Host agent-only
    HostName lab.corp.example
    User agent
    IdentityFile ~/.ssh/id_agent.pub
    IdentitiesOnly yes

Host terminal
    HostName web1.corp.example
    User deploy
    RequestTTY force
""",
}
