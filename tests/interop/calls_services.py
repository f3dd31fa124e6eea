# SPDX-License-Identifier: MIT
"""The services in calls_world.py that are no sshd."""
import socket
import threading

from calls_config import ECHO, NOTE, TARPIT

held = []


def echo(s):
    data = s.recv(65536)
    s.sendall(b"echo: " + data)
    s.close()


def note(s):
    s.sendall(b"the laptop\n")
    s.close()


def serve(address, what):
    listener = socket.create_server(address, backlog=50)

    def run():
        while True:
            what(listener.accept()[0])

    return threading.Thread(target=run)


threads = [serve(ECHO, echo), serve(NOTE, note), serve(TARPIT, held.append)]
for t in threads:
    t.start()
print("ready", flush=True)
