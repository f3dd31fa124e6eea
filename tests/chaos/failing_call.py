# SPDX-License-Identifier: MIT
"""One system call of the daemon, or of its helper, fails: the switch of failing_call.c."""
import re
import struct
import subprocess

from chaos.preload import Preload

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


class FailingCall(Preload):
    def __init__(self):
        super().__init__("failing_call", "CHAOS_CALL", bytes(HEAD.size + COUNTS.size + NAMED))

    def environment(self, env, **more):
        return super().environment(env, UV_USE_IO_URING="0", **more)

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
