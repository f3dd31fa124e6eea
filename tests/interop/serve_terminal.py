# SPDX-License-Identifier: MIT
"""`ssh-mux serve` in the foreground of a terminal, and somebody who types there."""
import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import threading
import time

from peers import Mux, secret


class Terminal:
    """A pseudo-terminal. answer(question) gives what is typed, with its Return; None: nothing.
    A question is what matches `pattern` at the end of what was shown."""

    PATTERN = (rb"([^\r\n]*(?:(?:password|code|passphrase|fingerprint)[^\r\n]*: ?"
               rb"|\[fingerprint\]\)\? ))$")

    def __init__(self, answer, pattern=PATTERN):
        self.answer = answer
        self.pattern = pattern
        self.seen = b""  # all that was shown
        self.typed = 0
        self.master, self.slave = pty.openpty()
        threading.Thread(target=self.watch, daemon=True).start()

    def controlling(self):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def watch(self):
        asked_at = 0
        ready = select.poll()  # select() knows no descriptor above 1023
        ready.register(self.master, select.POLLIN)
        while True:
            try:
                if not ready.poll(1000):
                    continue
                self.seen += os.read(self.master, 4096)
            except OSError:
                return
            match = re.search(self.pattern, self.seen[asked_at:], re.I)
            if match:
                asked_at = len(self.seen)
                typed = self.answer(match.group(1).decode(errors="replace").strip())
                if typed is not None:
                    self.typed += 1
                    if b"fingerprint" not in match.group(1):
                        secret(typed.strip("\r\n"))
                    os.write(self.master, typed.encode())


def at_terminal(mux, *command, answer=lambda question: None, timeout=60):
    """An ssh-mux command of a person at a terminal: (exit code, what was shown)."""
    person = Terminal(answer)
    done = subprocess.Popen([mux.binary, *command], env=mux.env, stdin=person.slave,
                            stdout=person.slave, stderr=person.slave, start_new_session=True,
                            preexec_fn=person.controlling)
    code = done.wait(timeout)
    time.sleep(0.1)
    return code, person.seen


class TerminalMux(Mux):
    """`serve` with a terminal as its controlling one, if there is a terminal."""

    def __init__(self, *args, terminal=None, **kwargs):
        self.terminal = terminal
        super().__init__(*args, **kwargs)

    def spawn(self, argv, env=None, **kwargs):
        if self.terminal:
            kwargs.update(stdin=self.terminal.slave, preexec_fn=self.terminal.controlling)
        super().spawn(argv, env=env, **kwargs)
