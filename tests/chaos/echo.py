# SPDX-License-Identifier: MIT
"""A session that echoes: says a line every 200 ms and writes down when, and after how many seconds,
it came back. In a process of its own, so that nothing but the echo is measured.

usage: echo.py FILE COMMAND...    The end of our input ends the session; then "end CODE" is written.
"""
import os
import select
import subprocess
import sys
import time

EVERY = 0.2


def main():
    path, command = sys.argv[1], sys.argv[2:]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    out = child.stdout.fileno()
    with open(path, "w", buffering=1, encoding="ascii") as log:
        n = 0
        while not select.select([sys.stdin], [], [], 0)[0]:
            n += 1
            line = f"{n}\n".encode()
            since = time.monotonic()
            # Before the answer: whoever reads this sees what is outstanding.
            log.write(f"sent {since:.3f}\n")
            try:
                os.write(child.stdin.fileno(), line)
                got = b""
                while not got.endswith(b"\n"):
                    piece = os.read(out, 100)
                    if not piece:
                        log.write(f"lost {time.monotonic():.3f}\n")
                        log.write(f"end {child.wait()}\n")
                        return
                    got += piece
            except OSError:
                log.write(f"lost {time.monotonic():.3f}\n")
                log.write(f"end {child.wait()}\n")
                return
            if got != line:
                log.write(f"wrong {got!r}\n")
            log.write(f"back {since:.3f} {time.monotonic() - since:.4f}\n")
            time.sleep(EVERY)
        child.stdin.close()
        log.write(f"end {child.wait()}\n")


if __name__ == "__main__":
    main()
