# SPDX-License-Identifier: MIT
"""The control protocol by hand (docs/PROTOCOL.md), and an SSH client in its frames."""
import json
import socket

HEAD = 5


class NoControl(Exception):
    """There is no socket, or more than one."""


class Control:
    """A control connection, and what follows an upgrade as a socket for an SSH client."""

    def __init__(self, mux):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        paths = list((mux.run_dir / "ssh-mux").glob("control-*.sock"))
        if len(paths) != 1:
            raise NoControl(paths)
        self.sock.connect(str(paths[0]))
        self.buf = b""
        hello = json.loads(self.line())
        assert hello.get("ssh_mux") == "hello", hello
        self.sock.sendall(b'{"ssh_mux":"hello","version":1}\n')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def line(self):
        while b"\n" not in self.buf:
            piece = self.sock.recv(4096)
            if not piece:
                raise EOFError("the daemon hung up in the middle of a line")
            self.buf += piece
        line, self.buf = self.buf.split(b"\n", 1)
        return line

    def ask(self, **request):
        self.sock.sendall(json.dumps(dict(request, id=1)).encode() + b"\n")
        return json.loads(self.line())

    def ask_all(self, **request):
        """The lines of an answer that has more than one."""
        answers = [self.ask(**request)]
        while answers[-1].get("more"):
            answers.append(json.loads(self.line()))
        return answers

    # What paramiko wants of a socket: frames inside.
    data = b""
    _closed = False

    def settimeout(self, t):
        self.sock.settimeout(t)

    def send(self, data):
        data = data[:60000]
        self.sock.sendall((len(data) + 1).to_bytes(4, "big") + b"\x01" + data)
        return len(data)

    def recv(self, n):
        while not self.data:
            if len(self.buf) >= HEAD and len(self.buf) >= 4 + int.from_bytes(self.buf[:4], "big"):
                end = 4 + int.from_bytes(self.buf[:4], "big")
                if self.buf[4] != 1:
                    return b""
                self.data, self.buf = self.buf[HEAD:end], self.buf[end:]
            elif piece := self.sock.recv(65536):
                self.buf += piece
            else:
                return b""
        out, self.data = self.data[:n], self.data[n:]
        return out

    def close(self):
        self._closed = True
        self.sock.close()

    def ssh(self):
        import paramiko

        t = paramiko.Transport(self)
        t.start_client(timeout=20)
        return t
