# SPDX-License-Identifier: MIT
"""One system call of the daemon, or of its helper, fails: the switch of failing_call.c."""
import os
import pathlib
import re
import shutil
import struct
import subprocess

from peers import short_dir

HERE = pathlib.Path(__file__).resolve().parent
ROLES = ("serve", "helper")
# As failing_call.c has them.
KINDS = ("open", "read", "write", "fsync", "rename", "connect", "accept", "socket", "bind", "pipe",
         "mkdir", "unlink", "chmod", "flock", "epoll", "fork")
HOWS = ("fails", "fails too", "is interrupted", "has to wait", "is short")
# What a caller has to live with: nobody may notice anything.
HARMLESS = {"is interrupted", "has to wait", "is short"}
# The others of ours don't wait, and libuv's signal handlers have SA_RESTART.
INTERRUPTIBLE = {"accept"}
HEAD = struct.Struct("5I")
COUNTS = struct.Struct(f"{len(ROLES) * len(KINDS)}I")
NAMED = 256


def hows_of(kind):
    if kind in ("read", "write"):
        return HOWS
    return HOWS[:3] if kind in INTERRUPTIBLE else HOWS[:2]


class FailingCall:
    def __init__(self):
        self.dir = short_dir("call")
        self.library = self.dir / "failing_call.so"
        subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-Wall", "-O1", "-g", "-shared",
                        "-fPIC", "-o", self.library, HERE / "failing_call.c", "-ldl"], check=True)
        self.path = self.dir / "switch"
        self.path.write_bytes(bytes(HEAD.size + COUNTS.size + NAMED))

    def stop(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def environment(self, env):
        # AddressSanitizer wants to stand first; what this one passes on goes to it all the same.
        options = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return dict(env, LD_PRELOAD=str(self.library), CHAOS_CALL=str(self.path),
                    UV_USE_IO_URING="0", ASAN_OPTIONS=options)

    def put(self, at, *numbers):
        with open(self.path, "r+b") as f:
            f.seek(at)
            f.write(struct.pack(f"{len(numbers)}I", *numbers))

    def count_down(self, role, kind, how, n):
        """The n-th of these from now on fails."""
        self.disarm()
        with open(self.path, "r+b") as f:
            f.seek(HEAD.size + COUNTS.size)
            f.write(bytes(NAMED))
        self.put(0, ROLES.index(role), KINDS.index(kind), HOWS.index(how))
        self.put(12, n, 0)

    def disarm(self):
        self.put(12, 0)

    def has_failed(self):
        return HEAD.unpack_from(self.path.read_bytes())[4] > 0

    def said(self):
        """What failed, with the line of the source that called it."""
        text = self.path.read_bytes()[HEAD.size + COUNTS.size:].split(b"\0")[0].decode()
        if found := re.search(r"called by (\S+)\+(0x[0-9a-f]+)$", text):
            done = subprocess.run(["addr2line", "-f", "-s", "-e", *found.groups()],
                                  capture_output=True, text=True, check=False)
            text += " (" + " ".join(done.stdout.split()) + ")"
        return text

    def forget_counts(self):
        self.put(HEAD.size, *[0] * len(ROLES) * len(KINDS))

    def counts(self):
        """How many calls there were, by process and kind."""
        numbers = COUNTS.unpack_from(self.path.read_bytes(), HEAD.size)
        pairs = [(role, kind) for role in ROLES for kind in KINDS]
        return {pair: n for pair, n in zip(pairs, numbers) if n}
