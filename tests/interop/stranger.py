# SPDX-License-Identifier: MIT
"""A user of the machine who has no key here, as a program (U9). It is read from standard input by a
Python that runs as that user:  python3 - MODE PORT [SECONDS] < stranger.py

	look     connects and shows what it is sent
	flood    connects and connects, and keeps the last ones
	hold     connects and connects, and never lets go
	rate     connects 300 times, and counts who is greeted
	rubbish  connects and says what is no SSH
	dh       asks for the dearest key exchange there is, and leaves before it is answered
	ping     exchanges keys, pings, and reads nothing
	kex      asks for the cheapest key exchange SECONDS times, and counts the answers
All print one line of JSON when the time is over."""
import json
import os
import random
import socket
import struct
import sys
import time

HELD = 400  # connections kept at once


def connect(port, timeout=5):
    s = socket.socket()
    s.settimeout(timeout)
    s.connect(("127.0.0.1", port))
    return s


def look(port, seconds):
    began = time.monotonic()
    s = connect(port, seconds)
    got, closed = b"", False
    try:
        while not closed:
            data = s.recv(4096)
            got += data
            closed = not data
    except socket.timeout:
        pass
    except OSError:
        closed = True
    return {"got": got.hex(), "closed": closed, "seconds": time.monotonic() - began}


def rate(port):
    """Each leaves as soon as it has its answer, so that none stands in another's way."""
    began, greeted = time.monotonic(), 0
    for _ in range(300):
        with connect(port) as s:
            try:
                greeted += s.recv(8) == b"SSH-2.0-"
            except ConnectionError:
                pass
    return {"greeted": greeted, "seconds": time.monotonic() - began}


def until(seconds, once):
    """Calls once(kept) again and again."""
    end = time.monotonic() + seconds
    kept, n, failed = [], 0, 0
    while time.monotonic() < end:
        if len(kept) >= 900:
            time.sleep(0.05)
            continue
        try:
            once(kept)
            n += 1
        except OSError:
            failed += 1
            time.sleep(0.001)
        while HELD < 900 and len(kept) > HELD:
            kept.pop(0).close()
    return {"n": n, "failed": failed}


def string(b):
    return struct.pack(">I", len(b)) + b


def packet(payload):
    pad = 8 - (len(payload) + 5) % 8
    pad += 8 if pad < 4 else 0
    return struct.pack(">IB", len(payload) + pad + 1, pad) + payload + bytes(pad)


def kexinit(kex):
    lists = [kex, b"ssh-ed25519", b"aes128-ctr", b"aes128-ctr", b"hmac-sha2-256",
             b"hmac-sha2-256", b"none", b"none", b"", b""]
    return packet(b"\x14" + bytes(16) + b"".join(map(string, lists)) + bytes(5))


# Any number below the group's prime that begins with 0x7f… will do.
DH = (b"SSH-2.0-stranger\r\n" + kexinit(b"diffie-hellman-group18-sha512")
      + packet(b"\x1e" + string(b"\x7f" * 1000)))


# The base point of the curve is as good a key as any.
X25519 = (b"SSH-2.0-stranger\r\n" + kexinit(b"curve25519-sha256")
          + packet(b"\x1e" + string(b"\x09" + bytes(31))))


def kex(port, times):
    """One after the other."""
    answered = 0
    for _ in range(times):
        with connect(port, 20) as s:
            s.sendall(X25519)
            replies = s.makefile("rb")
            replies.readline()
            for _ in range(2):  # KEXINIT, and what follows it
                payload = replies.read(int.from_bytes(replies.read(4), "big"))[1:]
            answered += payload[:1] == b"\x1f"
    return {"answered": answered}


def hold(kept, port):
    kept.append(connect(port))


def dh(kept, port):
    s = connect(port)
    kept.append(s)
    s.sendall(DH)
    if random.random() < 0.1:
        kept.pop(0).close()


def rubbish(kept, port):
    s = connect(port)
    kept.append(s)
    s.sendall(random.choice((b"GET / HTTP/1.0\r\n\r\n", b"SSH-2.0-x\r\n" + os.urandom(300),
                             os.urandom(2000), b"\r\n" * 50, b"SSH-1.5-x\r\n")))
    if len(kept) > 20:
        kept.pop(0).close()


def ping(port, seconds):
    import logging
    import threading

    import paramiko

    logging.disable()
    end = time.monotonic() + seconds
    sent = [0, 0]

    def one():
        while time.monotonic() < end:
            try:
                s = connect(port)
                # Little of what comes fits, so that all of it waits at the other side.
                t = paramiko.Transport(s)
                t.start_client(timeout=5)
                t.packetizer.read_message = lambda: time.sleep(max(0, end - time.monotonic()))
                m = paramiko.message.Message()
                m.add_byte(b"\xc0")
                m.add_string(bytes(20000))
                sent[0] += 1
                while time.monotonic() < end:
                    t._send_message(m)
                    sent[1] += 1
            except Exception:
                time.sleep(0.05)

    threads = [threading.Thread(target=one, daemon=True) for _ in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(max(0, end - time.monotonic()))
    return {"n": sent[0], "pings": sent[1]}


def main():
    mode, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    if mode == "hold":
        global HELD
        HELD = 900
    if mode == "look":
        result = look(port, seconds)
    elif mode == "rate":
        result = rate(port)
    elif mode == "kex":
        result = kex(port, int(seconds))
    elif mode == "ping":
        result = ping(port, seconds)
    else:
        once = {"flood": hold, "hold": hold, "dh": dh, "rubbish": rubbish}
        result = until(seconds, lambda kept: once[mode](kept, port))
    print(json.dumps(result), flush=True)
    os._exit(0)


main()
