# SPDX-License-Identifier: MIT
"""known_hosts has many writers, and none of them loses a line (K4, C8)."""
import subprocess
import time

from peers import SSH, hop, poll, routes_toml

THEIRS, OURS = 100, 12


def real_ssh(mux, server, name):
    """A real ssh that learns a host's key, and goes no further."""
    return subprocess.Popen(
        [SSH, "-F", "none", "-p", str(server.port), "-oStrictHostKeyChecking=accept-new",
         f"-oHostKeyAlias={name}", f"-oUserKnownHostsFile={mux.known_hosts_path}",
         "-oGlobalKnownHostsFile=none", "-oHashKnownHosts=no", "-oUpdateHostKeys=no",
         "-oBatchMode=yes", "-oPreferredAuthentications=none", "-oIdentityAgent=none",
         "127.0.0.1", "true"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_C8_K4_100_ssh_and_we_append_at_once(make_mux, make_sshd, keys):
    """C8, K4: 100 real ssh write their lines, without a lock, while the daemon pins keys."""
    host_keys = [keys.make("host_only")]
    bastion = make_sshd("bastion", host_keys=[keys.make("host_bastion_only")], MaxSessions=300)
    target = make_sshd(host_keys=host_keys, MaxSessions=300)
    learned = make_sshd("learned", host_keys=host_keys)
    routes = {f"n{n}": hop(target, unattended=True, host_key_alias=f"ours{n}")
              for n in range(OURS)}
    mux = make_mux(routes=routes_toml(routes, jump=hop(bastion)),
                   known_hosts=bastion.known_hosts())
    before = mux.known_hosts_path.read_text()
    theirs, ours = [], []
    for n in range(THEIRS):
        theirs.append(real_ssh(mux, learned, f"theirs{n}"))
        if n % (THEIRS // OURS) == 0 and len(ours) < OURS:
            ours.append(mux.start_ssh(f"n{len(ours)}", "true"))
        if n % 10 == 9:
            # No more than about twenty at once: the machine may be small, the race is as hot.
            poll(lambda: sum(p.poll() is None for p in theirs) < 10, 60, "some of them to end")
    deadline = time.monotonic() + 90
    for p in theirs + ours:
        p.wait(max(1, deadline - time.monotonic()))
    assert [p.returncode for p in ours] == [0] * OURS, mux.log()[-2000:]
    text = mux.known_hosts_path.read_text()
    assert text.startswith(before) and text.endswith("\n")
    names = [line.split()[0] for line in text[len(before):].splitlines()]
    expected = [f"theirs{n}" for n in range(THEIRS)] + [f"ours{n}" for n in range(OURS)]
    assert sorted(names) == sorted(expected)
    blob = keys.public(host_keys[0]).split()[1]
    assert text[len(before):].count(blob) == THEIRS + OURS
