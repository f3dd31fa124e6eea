# SPDX-License-Identifier: MIT
"""What has to be true while hostile parties are at work, and when they have gone."""
import re
import signal
import subprocess
import time

import peers
from chaos.echo import EVERY
from peers import poll

ECHO_MAX_S = 1.0
SETTLE_S = 40  # until everything that hostile parties left is given back
RSS_SLACK = 4 << 20
FAILED = (AssertionError, OSError, subprocess.TimeoutExpired)
BAD_WORDS = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|[Aa]ssert|Segmentation|"
                       r"ssh-mux crashed|stack smashing|double free|malloc\\(\\)|free\\(\\)")


class Verdict:
    """Rules, each kept, broken or not looked at."""

    def __init__(self):
        self.rows = []  # (True, False or None, rule, text)

    def add(self, is_kept, rule, text=""):
        self.rows.append((is_kept, rule, text))
        word = {True: "ok", False: "BROKEN", None: "skipped"}[is_kept]
        print(f"  {word:7} {rule}" + (f": {text}" if text else ""), flush=True)

    def counts(self):
        return [sum(r[0] is v for r in self.rows) for v in (True, False, None)]


class Baseline:
    """Descriptors and memory of the idle daemon, after it has done each thing once."""

    def __init__(self, world):
        for route in ("t", "b", "v"):
            world.mux.check_works(route)
        wait_empty(world)
        self.fds = world.mux.fds()
        self.rss = world.mux.memory()


def wait_empty(world, timeout=SETTLE_S):
    """No channel, no client, no pooled connection."""
    last = {}

    def is_empty():
        done = world.mux.control("status", "--json", timeout=30)
        last["status"] = done
        if done.returncode != 0:
            return False
        status = world.mux.status()
        last["left"] = {k: status[k] for k in ("channels", "clients", "connections")}
        return not any(last["left"].values())

    try:
        poll(is_empty, timeout, "nothing is left", 0.5)
    except subprocess.TimeoutExpired:
        return "the control endpoint does not answer"
    except AssertionError:
        return str(last.get("left", last.get("status")))[:1500]
    return None


def lost_by_plain(plain, since, until):
    """Seconds of the span in which plain ssh did nothing but wait: for its echo, or to go on after
    its pause. What was before its first echo says nothing."""
    since = max(since, plain[0].at)
    rests = [(max(since, p.at + p.took), min(until, p.at + p.took + EVERY))
             for p in plain if p.is_back]
    rested = sum(end - begin for begin, end in rests if end > begin)
    return max(0, until - since - rested)


def own_delay(sample, plain):
    """What is left of an echo's time without the machine's part: what processes on its way waited
    for a processor, and what plain ssh to the same server lost at the same time. A machine that
    is too busy is taken out of it, a daemon that sleeps, waits or computes is not."""
    machine = sample.waited + lost_by_plain(plain, sample.at, sample.at + sample.took)
    return sample.took - min(sample.took, machine)


def check_echo(world, verdict, limit):
    plain = world.samples(world.names[-1])
    for name in world.names[:-1]:
        samples = world.samples(name)
        slow = [s for s in samples if s.took > limit]
        ours = [s for s in slow if own_delay(s, plain) > limit]
        text = (f"{len(samples)} echoes, slowest {max(s.took for s in samples):.2f} s "
                f"(plain ssh {max(s.took for s in plain):.2f} s)")
        if slow:
            text += (f"; {len(slow)} over {limit:g} s, {len(slow) - len(ours)} of them by the "
                     f"machine; largest delay of our own "
                     f"{max(own_delay(s, plain) for s in slow):.2f} s")
        for s in ours[:8]:
            text += (f"; at {s.at - world.begun:.1f} s: {s.took:.2f} s, of them {s.waited:.2f} s "
                     "without a processor and plain ssh lost "
                     f"{lost_by_plain(plain, s.at, s.at + s.took):.2f} s")
        verdict.add(not ours, f"the echo of the session {name} stays under {limit:g} s", text)


def check_sessions(world, verdict):
    for name in world.names[:-1]:
        lost = [text for who, text in world.lost if who == name]
        verdict.add(not lost, f"the session {name} is never lost",
                    f"{len(lost)} times: " + "\n".join(lost[:5]) if lost else "")


def check_ends(world, verdict):
    codes = world.end_echoes()
    codes.pop(world.names[-1])
    verdict.add(all(c == 0 for c in codes.values()), "the healthy sessions end in order",
                str(codes))


def check_left(world, verdict, baseline, memory_counts):
    left = wait_empty(world)
    verdict.add(left is None, "no channel, client or pooled connection is left", left or "")
    try:
        poll(lambda: world.mux.fds() <= baseline.fds, 15, "descriptors", 0.5)
        verdict.add(True, "no descriptor is left", f"{baseline.fds}")
    except AssertionError:
        verdict.add(False, "no descriptor is left", f"{baseline.fds} before, {world.mux.fds()} after")
    try:
        # One that has ended a moment ago is still to be waited for by the daemon.
        poll(lambda: not peers.programs_of(world.mux.pid), 15, "helpers", 0.5)
        verdict.add(True, "no helper process is left")
    except AssertionError:
        verdict.add(False, "no helper process is left", str(peers.programs_of(world.mux.pid)))
    if memory_counts:
        rss = settled_rss(world)
        verdict.add(rss - baseline.rss <= RSS_SLACK,
                    f"memory is within {RSS_SLACK >> 20} MiB of the start",
                    f"{baseline.rss / 2**20:.1f} MiB, then {rss / 2**20:.1f} MiB")


def settled_rss(world):
    """The least of some seconds: what is given back late counts as given back."""
    least = world.mux.memory()
    for _ in range(20):
        time.sleep(0.25)
        least = min(least, world.mux.memory())
    return least


HELD_BACK = b"is not tried again yet"


def works_after_rereading(world, route, may_be_held_back):
    """The next call works. Where logins failed by what was done to them, the daemon may answer with
    the last failure for a while (U5), which is what it promises; it forgets that when the routes
    are read again, and then the call has to work."""
    done = world.mux.ssh(route, "echo still here", timeout=30)
    if not may_be_held_back or HELD_BACK not in done.stderr:
        assert (done.stdout, done.returncode) == (b"still here\n", 0), (done, world.mux.log()[-2000:])
        return
    world.mux.routes_path.write_text(world.routes_text + "# read it again\n")
    world.mux.proc.send_signal(signal.SIGHUP)
    poll(lambda: HELD_BACK not in world.mux.ssh(route, "true", timeout=30).stderr, 15,
         f"{route} is tried again", 0.5)
    world.mux.check_works(route)


def check_works(world, verdict):
    try:
        for route in ("t", "b", "v"):
            # The processes of v's server were killed, in logins too; where allocations fail, a login
            # to any may have failed.
            works_after_rereading(world, route, route == "v" or world.memory is not None)
        verdict.add(True, "every sound route works afterwards")
    except FAILED as e:
        verdict.add(False, "every sound route works afterwards", str(e)[:1500])


def check_end(world, verdict):
    """The daemon ends with 0, and its log has no sign of a mistake of ours."""
    try:
        world.mux.stop()
        verdict.add(True, "the daemon stops with exit code 0, nothing left behind")
    except FAILED as e:
        verdict.add(False, "the daemon stops with exit code 0, nothing left behind", str(e)[:6000])
    text = world.mux.log()
    bad = BAD_WORDS.search(text)
    verdict.add(bad is None, "the log has no assertion, sanitizer report or crash",
                text[max(0, bad.start() - 200): bad.start() + 4000] if bad else "")
