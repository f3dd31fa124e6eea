# SPDX-License-Identifier: MIT
"""Makes the calls named on its command line, in calls_world.py, as the person, four at a time;
prints what came of each as JSON. Runs as the person in there.

    calls_run.py DIRECTORY NAME...
"""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import traceback

from calls_config import ACCOUNTS, MACHINES, ME

LIMIT = 40
TOP = pathlib.Path(sys.argv[1]) if __name__ == "__main__" else None

# What differs between two calls of plain ssh, or is said in other words of the same thing.
HARMLESS = (
    (rb"\r\n", b"\n"),
    (rb"channel \d+", b"channel N"),
    (rb"pid=\d+|process id \d+", b"pid N"),
    (rb"Allocated port \d+", b"Allocated port N"),
    (rb"Shared connection to \S+ closed", b"Connection to HOST closed"),
    (rb"Connection to \S+ closed", b"Connection to HOST closed"),
    (rb"/dev/pts/\d+", b"/dev/pts/N"),
    (rb"\d+ms since", b"N ms since"),
    (rb"controlpath \S+/ssh-mux/\S+\n", b""),  # of ssh -G: where it may find us
)


def same(text):
    for pattern, by in HARMLESS:
        text = re.sub(pattern, by, text)
    return text.decode(errors="backslashreplace")


class Caller:
    """What a call of the table is handed: programs are run as the person, in its home."""

    def __init__(self, number):
        self.number = number
        self.port = 18000 + 4 * number  # and the three after it
        self.tag = f"c{number:02}"
        self.code, self.out, self.err = None, b"", b""

    def popen(self, argv, **kwargs):
        return subprocess.Popen(argv, cwd="/home/me", **kwargs)

    def run(self, *argv, stdin=b"", limit=LIMIT, env=None):
        """stdin None: closed. Adds what it prints to what there is already."""
        if stdin is None:
            argv = ["sh", "-c", 'exec "$@" <&-', "sh", *argv]
        p = self.popen(argv, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                       env=dict(os.environ, **(env or {})))
        try:
            out, err = p.communicate(stdin or None, limit)
            code = p.returncode
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(p.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                p.communicate(timeout=5)
            out, err, code = b"", b"not within the time\n", "late"
        self.add(code, out, err)
        return code

    def add(self, code, out=b"", err=b""):
        if self.code in (None, 0):
            self.code = code
        self.out += out
        self.err += err

    def behind(self, *argv):
        """As run, for what leaves a process behind that keeps stdout and stderr."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            p = self.popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                           start_new_session=True)
            try:
                code = p.wait(LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                code = "late"
            out.seek(0)
            err.seek(0)
            self.add(code, out.read(), err.read())
        return code

    def terminal(self, *argv, send=b""):
        """At a terminal of 33 lines and 77 columns."""
        far, near = pty.openpty()
        termios.tcsetwinsize(near, (33, 77))
        p = self.popen(["setsid", "-c", "-w", *argv], stdin=near, stdout=near, stderr=near)
        os.close(near)
        if send:
            os.write(far, send)
        seen, end = b"", time.monotonic() + LIMIT
        with contextlib.suppress(OSError):
            while time.monotonic() < end and select.select([far], [], [], end - time.monotonic())[0]:
                if not (piece := os.read(far, 65536)):
                    break
                seen += piece
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(10)
        if p.poll() is None:
            p.kill()
            p.wait()
            seen += b"not within the time"
        os.close(far)
        self.add(p.returncode, seen)

    def beside(self, argv, what):
        """what() while the client runs; it is ended by SIGTERM unless it has ended."""
        p = self.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       start_new_session=True)
        try:
            what(p)
        finally:
            with contextlib.suppress(BrokenPipeError):
                p.stdin.close()
            p.stdin = None
            try:
                p.wait(0.2 if argv[-1] != "cat" and "-N" in argv else 20)
            except subprocess.TimeoutExpired:
                p.send_signal(signal.SIGTERM)
            try:
                out, err = p.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                out, err = b"", b"does not end\n"
            self.add(p.returncode, out, err)

    def exchange(self, port, words=b"hello", first=b"", alive=lambda: True):
        """What comes back from a port, once something listens there."""
        end = time.monotonic() + 30
        while time.monotonic() < end and alive():
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(
                    ("127.0.0.1", port), 20) as s:
                if first:
                    self.socks(s, first)
                s.sendall(words)
                got = b""
                with contextlib.suppress(ConnectionResetError):
                    while piece := s.recv(65536):
                        got += piece
                self.out += got + b"\n"
                return
            time.sleep(0.05)
        self.out += b"nothing listens\n"

    @staticmethod
    def socks(s, target):
        host, port = target.rsplit(b":", 1)
        s.sendall(b"\x05\x01\x00")
        s.recv(2)
        s.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host + int(port).to_bytes(2, "big"))
        s.recv(10)

    def put(self, name, content):
        path = pathlib.Path("/home/me") / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return name

    def show(self, name):
        """A file of the person's, as a hash."""
        path = pathlib.Path("/home/me") / name
        text = path.read_bytes() if path.is_file() else b"nothing"
        self.out += b"%s: %s\n" % (name.encode(), text if len(text) < 100 else digest(text))

    def wait_placed(self):
        end = time.monotonic() + 20
        while not placed(self.tag) and time.monotonic() < end:
            time.sleep(0.05)


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16].encode()


def placed(tag):
    """{ACCOUNT@MACHINE: its files with that tag}; the owner must be the account."""
    found = {}
    for machine in MACHINES:
        for account, uid in ACCOUNTS.items():
            for path in (TOP / machine / "home" / account).rglob(f"{tag}-*"):
                if path.is_file():
                    owner = "" if path.stat().st_uid == uid else f" of user {path.stat().st_uid}"
                    text = f"{path.name} {digest(path.read_bytes()).decode()}{owner}"
                    found.setdefault(f"{account}@{machine}", []).append(text)
    return {k: sorted(v) for k, v in found.items()}


def make(number, name, what):
    caller = Caller(number)
    began = time.monotonic()
    try:
        what(caller)
    except Exception:  # of the harness: it must be seen
        caller.code, caller.err = "broken", traceback.format_exc().encode()
    return name, {"code": caller.code, "out": same(caller.out), "err": same(caller.err),
                  "placed": placed(caller.tag), "took": round(time.monotonic() - began, 2)}


def leftovers():
    """Ends the masters that ansible and others leave; names all else of the person's."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{entry}").st_uid != ME:
                continue
            words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            program = words.partition(" ")[0].rsplit("/", 1)[-1]
            if program in ("ssh", "ssh:", "sftp", "scp", "rsync", "git"):
                if "[mux]" not in words:
                    found.append(words)
                os.kill(int(entry), signal.SIGTERM)
    return found


def main():
    from calls_table import CALLS

    os.umask(0o022)
    chosen = [(i, n, c.what) for i, (n, c) in enumerate(CALLS.items()) if n in sys.argv[2:]]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = dict(pool.map(lambda job: make(*job), chosen))
    end = time.monotonic() + 10
    while (left := leftovers()) and time.monotonic() < end:
        time.sleep(0.1)
    print(json.dumps({"calls": done, "left": left}))


if __name__ == "__main__":
    main()
