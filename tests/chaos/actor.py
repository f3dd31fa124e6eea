# SPDX-License-Identifier: MIT
"""What an actor is."""
import random
import subprocess
import threading
import time
import traceback

import paramiko

# The other side ended the connection, or let us wait: what a hostile party has to expect.
EXPECTED = (OSError, EOFError, paramiko.SSHException, subprocess.TimeoutExpired, TimeoutError)


class Actor:
    """Does one thing after the other. `step` takes its choices from self.rng alone, so a seed gives
    the same ones; it returns what it did, for the journal. Whatever it holds beyond a step is in
    self.held as (when to let go, how)."""

    pause = (0.05, 0.3)  # seconds between steps
    held_max = 20

    def __init__(self, world, seed, number=0):
        self.world = world
        self.name = type(self).__name__ + (str(number) if number else "")
        self.rng = random.Random(f"{seed}/{self.name}")
        self.over = threading.Event()
        self.held = []
        self.steps = 0
        self.broken = None  # a mistake of the harness, with its traceback
        self.thread = threading.Thread(target=self.run, name=self.name, daemon=True)

    def step(self):
        raise NotImplementedError

    def hold(self, seconds, let_go):
        self.held.append((time.monotonic() + seconds, let_go))

    def let_go(self, all_of_them=False):
        now = time.monotonic()
        while self.held and (all_of_them or self.held[0][0] <= now
                             or len(self.held) > self.held_max):
            _, let_go = self.held.pop(0)
            try:
                let_go()
            except EXPECTED:
                pass

    def run(self):
        try:
            while not self.over.is_set():
                self.let_go()
                try:
                    what = self.step()
                except EXPECTED as e:
                    what = f"{type(e).__name__}: {e}"
                self.steps += 1
                self.world.journal(self.name, what)
                self.over.wait(self.rng.uniform(*self.pause))
        except Exception:  # shown in the verdict
            self.broken = traceback.format_exc()
        finally:
            self.let_go(all_of_them=True)
            self.close()

    def close(self):
        """What is left to be given back."""
