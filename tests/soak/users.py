# SPDX-License-Identifier: MIT
"""What people do all day, and a complaint for each thing that was not as it has to be."""
import contextlib
import hashlib
import os
import select
import socket
import subprocess
import time

from chaos.actor import Actor
from peers import free_port, poll
from soak.doors import DOORS, SSH_DOORS

ROUTES = ("t", "b")  # one direct, one behind a jump host


class User(Actor):
    """A step is done between two pauses of the gate, so what it opens is closed when the book is
    compared, but for what it has entered there."""

    pause = (0.5, 3)

    def step(self):
        with self.world.gate.inside():
            return self.work()

    def work(self):
        raise NotImplementedError

    def complain(self, text):
        self.world.complain(type(self).__name__, text)
        return text

    def run_client(self, argv, what, timeout=120, **kwargs):
        """The client's bytes if it ended well; else None, and a complaint."""
        if "input" not in kwargs:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
        try:
            done = subprocess.run(argv, capture_output=True, timeout=timeout,
                                  env=self.world.doors.env, check=False, **kwargs)
        except subprocess.TimeoutExpired:
            self.complain(f"{what}: nothing within {timeout} s")
            return None
        if done.returncode != 0:
            self.complain(f"{what}: exit {done.returncode}, {done.stderr[-300:]!r}")
            return None
        return done.stdout


class Calls(User):
    """Short commands through every door."""

    def work(self):
        door, route = self.rng.choice(DOORS), self.rng.choice(ROUTES)
        words = f"call {self.rng.getrandbits(32)}"
        said = self.run_client(self.world.doors.argv(door, route, f"echo {words}"), f"{door} {route}")
        if said is not None and said != f"{words}\n".encode():
            self.complain(f"{door} {route}: {said[:200]!r} for {words!r}")
        return f"{door} {route}"


class Transfers(User):
    """Bytes there and back, compared by their checksum; some sessions re-exchange their keys."""

    pause = (2, 8)

    def work(self):
        door, route = self.rng.choice(DOORS), self.rng.choice(ROUTES)
        data = self.rng.randbytes(self.rng.choice([1 << 10, 1 << 20, 8 << 20]))
        options = ["-o", "RekeyLimit=1M"] if door in ("port", "proxy") else []
        argv = self.world.doors.argv(door, route, "cat", options)
        back = self.run_client(argv, f"{door} {route}, {len(data)} bytes", input=data)
        if back is not None and hashlib.sha256(back).digest() != hashlib.sha256(data).digest():
            self.complain(f"{door} {route}: {len(data)} bytes came back as {len(back)} others")
        return f"{door} {route} {len(data)}"


class Files(User):
    """sftp: a file put, fetched again, removed."""

    pause = (3, 10)

    def work(self):
        door, route = self.rng.choice(SSH_DOORS), self.rng.choice(ROUTES)
        here = self.world.dir / f"{self.name}.file"
        there = self.world.dir / f"{self.name}.remote"
        back = self.world.dir / f"{self.name}.back"
        data = self.rng.randbytes(self.rng.choice([100, 300_000, 4 << 20]))
        here.write_bytes(data)
        batch = f"put {here} {there}\nget {there} {back}\nrm {there}\n".encode()
        if self.run_client(self.world.doors.sftp(door, route), f"sftp {door} {route}",
                           input=batch) is not None and back.read_bytes() != data:
            self.complain(f"sftp {door} {route}: another file came back")
        return f"{door} {route} {len(data)}"


class Forwards(User):
    """A port forward, and bytes through it."""

    pause = (3, 10)

    def work(self):
        door, route = self.rng.choice(SSH_DOORS), self.rng.choice(ROUTES)
        port = free_port()
        client = subprocess.Popen(
            self.world.doors.forward(door, route, port, self.world.echo.port),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=self.world.doors.env)
        try:
            data = self.rng.randbytes(self.rng.choice([10, 200_000]))
            poll(lambda: client.poll() is not None or answers(port), 30, "the forward listens")
            if client.poll() is not None:
                return self.complain(f"-L {door} {route}: {client.stderr.read()[-300:]!r}")
            if through(port, data) != data:
                self.complain(f"-L {door} {route}: other bytes came back")
        except (AssertionError, OSError) as e:
            self.complain(f"-L {door} {route}: {e}")
        finally:
            self.end(client, f"-L {door} {route}")
        return f"{door} {route}"

    def end(self, client, what):
        try:
            client.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.complain(f"{what}: does not end with its input")
            client.kill()
            client.communicate()


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def through(port, data):
    with socket.create_connection(("127.0.0.1", port), 20) as s:
        s.settimeout(30)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while piece := s.recv(65536):
            got += piece
    return got


class OpenSession:
    """A `cat` at the remote that stays, and echoes."""

    def __init__(self, world, door, route):
        self.world, self.door, self.route = world, door, route
        self.client = subprocess.Popen(
            world.doors.argv(door, route, "exec cat"), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=world.doors.env, bufsize=0)

    def echo(self, timeout=30):
        """None if the line came back, else what happened instead."""
        line = os.urandom(8).hex().encode() + b"\n"
        got, end = b"", time.monotonic() + timeout
        try:
            self.client.stdin.write(line)
        except OSError:
            return f"it has ended: {self.client.stderr.read()[-300:]!r}"
        while len(got) < len(line):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.client.stdout], [], [], left)[0]:
                return f"no echo within {timeout} s"
            piece = self.client.stdout.read(len(line) - len(got))
            if not piece:
                return f"it has ended: {self.client.stderr.read()[-300:]!r}"
            got += piece
        return None if got == line else f"{got!r} came for {line!r}"

    def close(self, timeout=30):
        """Its exit code; None: it did not end by itself."""
        try:
            self.client.communicate(timeout=timeout)
            return self.client.returncode
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.client.kill()
            self.client.wait()


class Sessions(User):
    """Sessions that stay open for minutes; they are entered in the book."""

    pause = (1, 4)

    def __init__(self, *args):
        super().__init__(*args)
        self.session, self.until = None, 0

    def begin(self):
        door, route = self.rng.choice(DOORS), self.rng.choice(ROUTES)
        self.session = OpenSession(self.world, door, route)
        self.until = time.monotonic() + self.rng.uniform(20, 240)
        if trouble := self.session.echo():
            self.complain(f"{door} {route}, at its beginning: {trouble}")
            self.session.close()
            self.session = None
            return f"{door} {route}: not begun"
        self.world.book_in(self.session)
        return f"{door} {route}: begun"

    def end(self):
        session, self.session = self.session, None
        self.world.book_out(session)
        where = f"{session.door} {session.route}"
        if (code := session.close()) != 0:
            self.complain(f"{where}: ended with {code}")
        return f"{where}: ended"

    def work(self):
        if not self.session:
            return self.begin()
        if trouble := self.session.echo():
            self.complain(f"{self.session.door} {self.session.route}: {trouble}")
            return self.end()
        return self.end() if time.monotonic() > self.until else "echo"

    def close(self):
        if self.session:
            self.end()
