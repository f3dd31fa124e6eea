# SPDX-License-Identifier: MIT
"""At the control endpoint: whoever has the user's id, and no idea of the protocol."""
import contextlib
import json
import signal
import socket
import threading

from attach_client import Control
from chaos.actor import EXPECTED, Actor

HELLO = b'{"ssh_mux":"hello","version":1}\n'


class Endpoint(Actor):
    """Rubbish instead of lines and frames, answers that nobody reads."""

    pause = (0.1, 0.6)

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(5)
        path, = (self.world.mux.run_dir / "ssh-mux").glob("control-*.sock")
        s.connect(str(path))
        return s

    def step(self):
        rng = self.rng

        def frame(kind, payload):
            return (len(payload) + 1).to_bytes(4, "big") + bytes([kind]) + payload

        def request(**members):
            return json.dumps(dict(members, id=1)).encode() + b"\n"

        kind = rng.choice(["random", "long line", "deep", "nul", "cut", "no hello", "unread status",
                           "unknown", "bad connect", "bad frames", "huge frame", "answers", "hello"])
        data = {
            "random": rng.randbytes(rng.choice([1, 200, 20000])),
            "long line": HELLO + b"x" * 100000 + b"\n",
            "deep": HELLO + b"[" * 4000 + b"\n",
            "nul": HELLO + b'{"id":1,"cmd":"sta\0tus"}\n',
            "cut": HELLO[:rng.randrange(1, len(HELLO))],
            "no hello": request(cmd="status"),
            "unread status": HELLO + request(cmd="status") * rng.randrange(1, 300),
            "unknown": HELLO + request(cmd=rng.choice(["", "x" * 65, "made-up", 5, None, []])),
            "bad connect": HELLO + request(cmd="connect", route=rng.choice(["", "../t", 5, "x" * 300])),
            "bad frames": HELLO + request(cmd="connect", route="t") + b"".join(
                frame(rng.randrange(256), rng.randbytes(rng.randrange(300))) for _ in range(5)),
            "huge frame": HELLO + request(cmd="proxy", route="t") + b"\xff\xff\xff\xff\x01",
            "answers": HELLO + request(cmd="connect", route="t") + frame(
                0x11, rng.randbytes(rng.randrange(20))),
            "hello": HELLO * 3,
        }[kind]
        s = self.connect()
        with contextlib.suppress(OSError):
            s.sendall(data)
        if rng.random() < 0.4:
            self.hold(rng.uniform(0.3, 3), s.close)
        else:
            s.close()
        return kind


class Reloads(Actor):
    """The routes file is broken, cut, gone and sound again, by turns; SIGHUPs come meanwhile. Every
    sound version has the same routes."""

    pause = (0.5, 2)

    def step(self):
        rng, mux = self.rng, self.world.mux
        whole = self.world.routes_text
        kind = rng.choice(["comment", "cut", "rubbish", "gone", "hangup", "keys"])
        if kind == "gone":
            mux.routes_path.unlink(missing_ok=True)
        elif kind == "hangup":
            mux.proc.send_signal(signal.SIGHUP)
        elif kind == "keys":
            self.put(mux.ssh_dir / "ssh-mux-authorized-keys",
                     self.world.keys.public(mux.local_key) + "# x\n" * rng.randrange(50))
        else:
            self.put(mux.routes_path,
                     {"comment": whole + "# x\n" * rng.randrange(50),
                      # Wrong wherever it is cut: between two lines it might be a sound file.
                      "cut": whole[:rng.randrange(len(whole))] + "\n[[",
                      "rubbish": "[[[\0" + "x" * rng.randrange(5000)}[kind])
        self.over.wait(rng.uniform(0, 1.5))
        self.put(mux.routes_path, whole)
        return kind

    @staticmethod
    def put(path, text):
        # As an editor does: a reader sees the one or the other.
        new = path.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o600)
        new.rename(path)

    def close(self):
        self.put(self.world.mux.routes_path, self.world.routes_text)


class Attached(Actor):
    """Clients that come by `connect`, run something, and stop reading or vanish."""

    pause = (0.3, 1.5)
    held_max = 6

    def step(self):
        rng = self.rng
        route = rng.choice(["t", "b"])
        kind = rng.choice(["stop reading", "vanish", "end frame", "garbage"])
        control = Control(self.world.mux)
        control.sock.settimeout(5)
        # paramiko waits without limit for some answers.
        limit = threading.Timer(8, control.close)
        limit.start()
        try:
            if control.ask(cmd="connect", route=route).get("upgrade") != "frames":
                return "refused"
            t = control.ssh()
            t.auth_timeout = 5
            t.auth_none("whoever")
            channel = t.open_session(timeout=5)
            channel.exec_command("head -c 3000000 /dev/zero; sleep 1")
            self.over.wait(rng.uniform(0, 0.2))
            if kind == "end frame":
                control.sock.sendall(b"\0\0\0\1\x02")
            elif kind == "garbage":
                control.sock.sendall((200).to_bytes(4, "big") + b"\x01" + rng.randbytes(199))
            elif kind == "stop reading":
                # paramiko's thread reads on; only what it has read is not passed on any more.
                control.recv = lambda n: self.over.wait(30) and b""
        except EXPECTED as e:
            kind += f" ({type(e).__name__})"
        finally:
            limit.cancel()
        self.hold(rng.uniform(0, 3), control.close)
        return f"{route}: {kind}"
