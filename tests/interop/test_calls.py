# SPDX-License-Identifier: MIT
"""What the person asked for is what happens (W1, W2, W3, W7): the calls of calls_table.py, from a
configuration of 30 hosts, before ssh-mux is installed and after it, by each way of coming to it,
with its daemon killed, and after it is uninstalled. docs/CALLS.md has what differs, and is compared.

    calls_world.py    the machines and the person    calls_config.py   names, accounts, ssh config
    calls_table.py    the calls                      calls_run.py      makes them
"""
import os
import re
import shutil
import signal
import subprocess

import pytest

from calls_config import ACCOUNTS, MACHINES
from calls_table import CALLS
from calls_world import World, why_not
from peers import TOP, poll

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

ALL = list(CALLS)
SAMPLE = [name for name, c in CALLS.items() if c.quick]
WAYS = ("control", "proxy", "tcp")
# What ssh says when the control socket's daemon leaves a call to it (W2).
EXPLAINS = re.compile(
    r"Master refused (session|forwarding) request: .*\n"
    r"|muxclient: master (forward request|hello exchange) failed\n"
    r"|mux_client_request_session: session request failed: .*\n"
)


def table():
    """Of docs/CALLS.md: {call: {way: "same", "words" or "differs"}}."""
    rows = {}
    for line in (TOP / "docs/CALLS.md").read_text(encoding="utf-8").splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 2 + len(WAYS):
            assert cells[0].strip("`") not in rows, f"twice: {line}"
            assert cells[-1], f"no reason: {line}"
            rows[cells[0].strip("`").replace("¦", "|")] = dict(zip(WAYS, cells[1:-1]))
    return rows


def judge(before, after):
    """same; words: the same but for what stderr says; differs."""
    if any(before[k] != after[k] for k in ("code", "out", "placed")):
        return "differs"
    return "same" if before["err"] == after["err"] else "words"


def strangers(name, result):
    """Accounts and machines that a call has reached and that were not asked for: by what was said
    there, and by where files are."""
    asks = CALLS[name].asks
    accounts = {a.split("@")[0] for a in asks}
    machines = {a.split("@")[1] for a in asks}
    found = set(result["placed"]) - asks
    for line in result["out"].splitlines():
        if line in ACCOUNTS and line not in accounts or line in MACHINES and line not in machines:
            found.add(line)
        if (where := re.search(r"(\w+) at ([\w-]+)$", line)) and "@".join(where.groups()) not in asks:
            found.add(where.group())
    return found


class Company:
    """The world, and what came of each call before there was a ssh-mux."""

    def __init__(self, keys, names):
        self.world, self.names = World(keys), names
        self.ssh_dir = self.world.dir / "home/me/.ssh"
        self.files = self.bytes()
        self.before = self.make("before")

    def bytes(self):
        """The person's own files."""
        return {str(p.relative_to(self.ssh_dir)): (p.read_bytes(), p.stat().st_mode)
                for p in sorted(self.ssh_dir.rglob("*"))
                if p.is_file() and not p.name.startswith("ssh-mux")}

    def make(self, state):
        """All calls; whatever the state, none may reach what it did not ask for (W1)."""
        done, logins = self.world.calls(self.names)
        calls = done["calls"]
        assert not (lost := [n for n in self.names if n not in calls]), lost
        wrong = {n: found for n, c in calls.items() if (found := strangers(n, c))}
        assert not wrong, (state, "reached what was not asked for", wrong)
        asks = frozenset().union(*(CALLS[n].asks for n in self.names))
        assert logins <= asks, (state, "logins that nobody asked for", logins - asks)
        assert not done["left"], (state, "left running", done["left"])
        broken = {n: c["err"] for n, c in calls.items() if c["code"] == "broken"}
        assert not broken, broken
        return calls

    def install(self, way):
        done = self.world.mux("install", "-y", "--via", way)
        for line in done.stdout.splitlines():
            if line.startswith("    ") and " daemon" in line:
                assert self.world.run("sh", "-c", line.strip()).returncode == 0

    def kill_daemon(self):
        pids = self.world.daemon_pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        poll(lambda: not self.world.daemon_pids(), 20, "no daemon")
        return len(pids)

    def uninstall(self):
        self.world.mux("uninstall", "--purge")
        assert not self.world.daemon_pids()
        assert self.bytes() == self.files
        assert not [p.name for p in self.ssh_dir.iterdir() if p.name.startswith("ssh-mux")]

    def compare(self, state, calls, expected):
        """expected: {call: how it differs}, of all that differ."""
        found = {n: how for n in self.names
                 if (how := judge(self.before[n], calls[n])) != "same"}
        shown = "".join(f"\n{n}: {how}, expected {expected.get(n, 'same')}\n   {self.before[n]}\n"
                        f"   {calls[n]}" for n, how in found.items() if how != expected.get(n))
        assert found == expected, (
            f"{state}: differs, and not in docs/CALLS.md: {sorted(found.keys() - expected.keys())}; "
            f"in docs/CALLS.md, and does not differ: {sorted(expected.keys() - found.keys())}{shown}")

    def check_explained(self, calls):
        """W3: all is as before, but for words that say why ssh goes on by itself, or failed."""
        for name, after in calls.items():
            before = self.before[name]
            assert judge(before, after) != "differs", (name, before, after)
            rest = EXPLAINS.sub("", after["err"])
            ours = before["code"] != 0 and rest.startswith("ssh-mux: ")
            assert rest == before["err"] or ours, (name, before, after)

    def check_refused(self, calls):
        """No daemon at the port: what differs has failed, without reaching anything."""
        for name, after in calls.items():
            if name != "ssh -G web1" and judge(self.before[name], after) == "differs":
                assert after["code"] != 0 and not after["placed"], (name, after)
        assert "127.0.0.1 port 2222: Connection refused" in calls["ssh web1"]["err"]

    def expected(self, way):
        return {n: how for n, row in table().items()
                if n in self.names and (how := row[way]) != "same"}

    def stop(self):
        self.world.stop()


@pytest.fixture(scope="module")
def company(keys, request):
    c = Company(keys, request.param)
    yield c
    c.stop()
    shutil.rmtree(c.world.dir, ignore_errors=True)


def there_and_back(company, way):
    """Installed, its daemon killed, uninstalled."""
    company.install(way)
    try:
        calls = company.make(way)
        company.compare(way, calls, company.expected(way))
        if way == "control":
            company.check_explained(calls)
        assert company.kill_daemon() == 1
        killed = company.make(f"{way}, daemon killed")
        if way == "control":  # ssh goes on by itself
            company.compare("control, daemon killed", killed, {})
        elif way == "proxy":  # it starts another
            company.compare("proxy, daemon killed", killed, company.expected(way))
        else:
            company.check_refused(killed)
        assert company.kill_daemon() == (way == "proxy")
    finally:
        company.uninstall()


def test_every_row_of_the_table_is_a_call():
    rows = table()
    assert rows.keys() <= CALLS.keys(), rows.keys() - CALLS.keys()
    for name, row in rows.items():
        assert set(row.values()) <= {"same", "words", "differs"}, (name, row)
        assert set(row.values()) != {"same"}, name
    assert len(CALLS) >= 60
    text = (TOP / "docs/CALLS.md").read_text(encoding="utf-8")
    assert f"makes {len(CALLS)} calls" in text


SMALL = pytest.mark.parametrize("company", [SAMPLE], indirect=True, ids=["sample"])
FULL = pytest.mark.parametrize("company", [ALL], indirect=True, ids=["all"])


@SMALL
@pytest.mark.parametrize("way", WAYS)
def test_W1_W3_a_sample_of_calls(company, way):
    there_and_back(company, way)


@SMALL
@pytest.mark.parametrize("way", WAYS)
def test_W3_a_daemon_killed_under_a_session(company, way):
    """The call ends with ssh's code for that, at once, and the next one is as with no daemon."""
    company.install(way)
    try:
        script = '"$@" </dev/null 2>~/.err | cat; rc=${PIPESTATUS[0]}; cat ~/.err; exit $rc'
        p = subprocess.Popen(
            company.world.argv("bash", "-c", script, "bash", "ssh", "web1", "echo begun; sleep 60"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert p.stdout.readline() == b"begun\n"
        assert company.kill_daemon() == 1
        said = p.communicate(timeout=40)[0]
        assert p.returncode == 255
        assert {"control": b"", "tcp": b"closed by remote host",
                "proxy": b"ssh-mux: the connection to the daemon broke off"}[way] in said, said
        after = company.world.run("ssh", "web1", "id -un")
        assert (after.stdout, after.returncode) == (("", 255) if way == "tcp" else ("deploy\n", 0))
        company.kill_daemon()
    finally:
        company.uninstall()


@FULL
@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_W1_W2_W3_W7_all_calls(company, way):
    there_and_back(company, way)


@FULL
@pytest.mark.slow
def test_W3_after_uninstall_all_is_as_before(company):
    company.compare("uninstalled", company.make("uninstalled"), {})
