# SPDX-License-Identifier: MIT
"""What has to be root, done by one process that sudo starts once.

sudo remembers a password for a terminal's session only: a program that gets a session of its own
would be asked again, where nobody can answer. So sudo is run once, in the session of who starts
the tests or ./try, and what it runs does the rest: it reads one JSON object per line on stdin and
answers each with one. When stdin ends, whatever it has started is killed.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys

_helper = None


class Root:
    """The caller's end. Commands are argv lists; what they print is text."""

    def __init__(self, may_ask):
        argv = ["sudo"] + ([] if may_ask else ["-n"]) + ["/usr/bin/env", "python3", "-B", __file__]
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     stderr=None if may_ask else subprocess.DEVNULL)

    def call(self, **request):
        try:
            self.proc.stdin.write(json.dumps(request) + "\n")
            self.proc.stdin.flush()
            line = self.proc.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise OSError("sudo runs nothing here")
        return json.loads(line)

    def run(self, argv):
        """What it printed; an AssertionError with all of it if it failed."""
        done = self.call(run=[str(a) for a in argv])
        assert done["code"] == 0, (argv, done)
        return done["out"]

    def spawn(self, argv, log):
        return RootProcess(self, self.call(spawn=[str(a) for a in argv], log=str(log))["pid"])


class RootProcess:
    """As much of subprocess.Popen as a Daemon needs."""

    def __init__(self, root, pid):
        self.root, self.pid = root, pid

    def poll(self):
        return self.root.call(poll=self.pid)["code"]

    def kill(self):
        """SIGKILL to it and all that it started."""
        self.root.call(kill=self.pid)


def root(may_ask=False):
    """The helper, started at the first call; None if sudo refuses. may_ask: sudo may ask for a
    password at this terminal."""
    global _helper
    if _helper is None:
        try:
            helper = Root(may_ask)
            helper.run(["true"])
        except OSError:
            return None
        _helper = helper
    return _helper


# ---- the helper's end ---------------------------------------------------------------------------


def kill_session(process):
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == process.pid:
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            pass
    process.wait()


def answer(request, started):
    if "run" in request:
        done = subprocess.run(request["run"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        return {"code": done.returncode, "out": done.stdout}
    if "spawn" in request:
        with open(request["log"], "ab") as log:
            process = subprocess.Popen(request["spawn"], stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, start_new_session=True)
        started[process.pid] = process
        return {"pid": process.pid}
    if "poll" in request:
        process = started.get(request["poll"])
        return {"code": process.poll() if process else -signal.SIGKILL}
    if process := started.pop(request["kill"], None):
        kill_session(process)
    return {}


def serve():
    started = {}
    # Ctrl-C is for who started us, and closes our stdin when done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, lambda *_: sys.exit(0))
    try:
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line), started)), flush=True)
    finally:
        for process in started.values():
            kill_session(process)


if __name__ == "__main__":
    serve()
