# SPDX-License-Identifier: MIT
"""U1, U2, U9, U10: a taste of scripts/chaos, which .ci/run runs for ten minutes, and how it judges an
echo that is late."""
import os
import signal
import subprocess
import sys
import time

import pytest

from peers import BINARY, TOP, poll

sys.path.append(str(TOP / "tests"))
from chaos import model  # noqa: E402
from chaos.world import Echo, Sample  # noqa: E402

# Uses the processor for 0.6 s before it echoes.
SLOW_SERVER = """
import os, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(os.getpid(), flush=True)
for line in sys.stdin:
    until = time.thread_time() + 0.6
    while time.thread_time() < until:
        pass
    print(line, end="", flush=True)
"""
BUSY = """
import os, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
until = time.thread_time() + 1.5
while time.thread_time() < until:
    pass
"""


@pytest.mark.remote_tty
@pytest.mark.timeout(300)
def test_U10_chaos_for_twenty_seconds():
    """Hostile parties of every kind at once: one session on the same connection, and one behind a
    jump host, live and echo, and nothing is left. The machine is busy with other tests, so an echo
    has three seconds here."""
    done = subprocess.run(
        [TOP / "scripts/chaos", "--minutes", "0.34", "--only", "sanitizers", "--seed", "1",
         "--echo-max", "3", "--binary", BINARY], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-3000:]
    assert "chaos: nothing broke" in done.stdout


@pytest.fixture
def echo(tmp_path):
    started = []

    def start(*command):
        started.append(Echo("it", tmp_path / "echo", command))
        return started[-1]

    yield start
    for e in started:
        e.kill()


def cycles(*tooks, at=0.0):
    """Plain ssh's echoes, each after the pause that follows the one before."""
    found = []
    for took in tooks:
        found.append(Sample(at, took, 0, True))
        at += took + model.EVERY
    return found


def test_U10_a_busy_machine_is_no_delay_of_ours():
    """An echo of 3 s, during which the daemon had no processor or plain ssh stood still as well."""
    healthy = cycles(*[0.01] * 30)
    assert model.own_delay(Sample(1, 3, 2.6, True), healthy) < 0.6
    assert model.own_delay(Sample(1, 3, 0, True), cycles(*[0.01] * 4, 3.1, 0.01)) < 0.3
    # It stood still between two of its echoes.
    late = cycles(*[0.01] * 4) + cycles(0.01, 0.01, at=4)
    assert model.own_delay(Sample(1, 3, 0, True), late) < 0.3
    assert model.own_delay(Sample(1, 3, 2, True), cycles(*[0.6] * 10)) == 0


def test_U10_a_delay_of_ours_is_told_on_a_busy_machine():
    """Plain ssh that was slow for a moment, or a daemon that waited for a processor for a moment, are
    no excuse for all of it."""
    assert model.own_delay(Sample(1, 3, 0.1, True), cycles(*[0.01] * 30)) > 2.7
    assert model.own_delay(Sample(1, 10, 0.5, True), cycles(*[0.01] * 10, 0.9, *[0.01] * 50)) > 8
    assert model.own_delay(Sample(1, 8, 3, False), cycles(*[0.1] * 40)) > 2
    # Before plain ssh was there.
    assert model.own_delay(Sample(1, 3, 0, True), cycles(*[0.01] * 9, at=5)) == 3


def test_U10_a_process_that_sleeps_is_a_delay(echo):
    e = echo("sh", "-c", "echo $PPID; exec cat")
    poll(lambda: len(e.samples()) > 2, 20, "echoes")
    cat = int(subprocess.run(["ps", "-o", "pid=", "--ppid", str(e.proc.pid)], capture_output=True,
                             text=True, check=True).stdout)
    os.kill(cat, signal.SIGSTOP)
    poll(lambda: e.samples()[-1].took > 2, 20, "an echo that is outstanding")
    sample = e.samples()[-1]
    os.kill(cat, signal.SIGCONT)
    assert not sample.is_back and model.own_delay(sample, cycles(*[0.0] * 9, at=sample.at)) > 1.2
    assert e.end() == 0


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="the kernel does not count it")
def test_U10_waiting_for_a_processor_is_measured(echo):
    """What computes for 0.6 s, beside somebody who uses the same processor, has 0.6 s of its own."""
    e = echo(sys.executable, "-c", SLOW_SERVER)
    poll(lambda: e.samples() and e.samples()[0].is_back, 30, "the first echo")
    busy = subprocess.Popen([sys.executable, "-c", BUSY])
    busy.wait(60)
    time.sleep(0.1)
    back = [s for s in e.samples() if s.is_back]
    slowest = max(back, key=lambda s: s.took)
    assert slowest.took > 0.8 and slowest.waited > 0.2, vars(slowest)
    assert 0.4 < slowest.took - slowest.waited < 0.8, vars(slowest)
