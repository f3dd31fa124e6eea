# SPDX-License-Identifier: MIT
"""A pinentry without a window: says what a test has prepared, and writes down what it was told."""
import contextlib
import json
import os
import pathlib

from peers import secret

PROGRAM = r'''#!/usr/bin/python3
import json, os, pathlib, signal, sys, time
here = pathlib.Path(__file__).resolve().parent
with open(here / "pids", "a") as f:
    f.write(f"{os.getpid()}\n")
log = open(here / "log", "a", buffering=1)
def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
say("OK Pleased to meet you")
for line in sys.stdin:
    line = line.rstrip("\n")
    log.write(line + "\n")
    if line not in ("GETPIN", "CONFIRM"):
        say("OK")
        continue
    answers = json.loads((here / "answers").read_text())
    answer = answers.pop(0)
    (here / "answers").write_text(json.dumps(answers))
    if answer == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    elif answer == "wait":
        time.sleep(600)
    elif answer.startswith("ERR ") or answer.startswith("RAW "):
        say(answer.removeprefix("RAW "))
    else:
        if line == "GETPIN" and answer:
            say("D " + answer.replace("%", "%25"))
        say("OK")
'''


class Pinentry:
    """answers: what is typed, one after the other; "ERR …" as it stands, "wait", "hang"."""

    def __init__(self, directory, *answers, program=PROGRAM):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(exist_ok=True)
        self.path = self.dir / "pinentry"
        self.path.write_text(program)
        self.path.chmod(0o700)
        self.put(*answers)

    def put(self, *answers):
        for answer in answers:
            if not answer.startswith(("ERR ", "RAW ")):
                secret(answer)
        (self.dir / "answers").write_text(json.dumps(answers))

    def lines(self):
        with contextlib.suppress(FileNotFoundError):
            return (self.dir / "log").read_text().split("\n")[:-1]
        return []

    def said(self, command):
        """The arguments of all its lines with this command."""
        return [line.partition(" ")[2] for line in self.lines() if line.split(" ")[0] == command]

    def asked(self):
        return len(self.said("GETPIN")) + len(self.said("CONFIRM"))

    def pids(self):
        with contextlib.suppress(FileNotFoundError):
            return [int(p) for p in (self.dir / "pids").read_text().split()]
        return []

    def alive(self):
        """Those that still run, or were not reaped."""
        return [p for p in self.pids() if os.path.exists(f"/proc/{p}")]
