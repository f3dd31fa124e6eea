# SPDX-License-Identifier: MIT
"""A session that echoes: says a line every 200 ms and writes down when, after how many seconds it
came back, and for how many of them a process on its way was ready and had no processor. In a
process of its own, so that nothing but the echo is measured.

usage: echo.py FILE DAEMON JUMP COMMAND...

DAEMON, JUMP: the processes of ssh-mux and of the jump host's sshd, 0 where there is none on the way.
COMMAND says the id of the server's process first and echoes then. The end of our input ends the
session.

Lines of FILE: "sent AT", "still AT SECONDS WAITED" each second without the answer, "back AT SECONDS
WAITED", "wrong WHAT", "lost AT", "end CODE".
"""
import contextlib
import os
import select
import subprocess
import sys
import time

from peers import descendants

EVERY = 0.2
STILL = 1.0


class Way:
    """The processes that a line passes."""

    def __init__(self, pids):
        self.pids = pids
        self.before = {}

    def waited(self):
        """Seconds, for each, that it waited for a processor while it was ready to run. 0 where the
        kernel does not count that: then nothing is excused by it."""
        found = {}
        for pid in self.pids:
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
                    found[pid] = int(f.read().split()[1]) / 1e9
        return found

    def begin(self):
        self.before = self.waited()

    def since(self):
        return sum(max(0, s - self.before[pid]) for pid, s in self.waited().items()
                   if pid in self.before)


def read_line(out, log, since, way):
    """The next line of the session, or what there is of it at the end."""
    got = b""
    told = 0
    while not got.endswith(b"\n"):
        if not select.select([out], [], [], STILL / 4)[0]:
            seconds = time.monotonic() - since
            if seconds >= told + STILL:
                told = seconds
                log.write(f"still {since:.3f} {seconds:.4f} {way.since():.4f}\n")
            continue
        piece = os.read(out, 100)
        if not piece:
            break
        got += piece
    return got


def converse(child, log, way):
    """Until our input ends (True) or the session (False)."""
    out = child.stdout.fileno()
    n = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        n += 1
        line = f"{n}\n".encode()
        way.begin()
        since = time.monotonic()
        # Before the answer: whoever reads this sees what is outstanding.
        log.write(f"sent {since:.3f}\n")
        os.write(child.stdin.fileno(), line)
        got = read_line(out, log, since, way)
        if not got.endswith(b"\n"):
            return False
        if got != line:
            log.write(f"wrong {got!r}\n")
        log.write(f"back {since:.3f} {time.monotonic() - since:.4f} {way.since():.4f}\n")
        time.sleep(EVERY)
    return True


def main():
    path, daemon, jump, command = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    with open(path, "w", buffering=1, encoding="ascii") as log:
        way = Way([os.getpid(), child.pid, daemon])
        is_told = False
        with contextlib.suppress(OSError):
            server = read_line(child.stdout.fileno(), log, time.monotonic(), way)
            if server.endswith(b"\n"):
                # The jump host's process for the connection is there by now.
                way.pids += [int(server), *(descendants(jump) if jump else [])]
                is_told = converse(child, log, way)
        if not is_told:
            log.write(f"lost {time.monotonic():.3f}\n")
        child.stdin.close()
        log.write(f"end {child.wait()}\n")


if __name__ == "__main__":
    main()
