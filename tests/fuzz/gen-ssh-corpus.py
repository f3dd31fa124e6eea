#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of the fuzz targets of src/ssh into tests/fuzz/corpus/: one input for each
message and phase, small enough to read in a hex dump. Running it again gives the same files."""
import base64
import pathlib
import struct

ROOT = pathlib.Path(__file__).parent / "corpus"


def u32(n):
    return struct.pack(">I", n)


def string(s):
    s = s if isinstance(s, bytes) else s.encode()
    return u32(len(s)) + s


def messages(*payloads):
    """The input format of fuzz_ssh.h."""
    return b"".join(struct.pack(">H", len(p)) + p for p in payloads)


def packet(payload):
    pad = 8 - (5 + len(payload)) % 8
    pad += 8 if pad < 4 else 0
    return u32(1 + len(payload) + pad) + bytes([pad]) + payload + bytes(pad)


def kexinit(kex, follows=0, ciphers="aes128-gcm@openssh.com,aes256-ctr", host="ssh-ed25519"):
    lists = [kex, host, ciphers, ciphers, "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""]
    return b"\x14" + bytes(range(16)) + b"".join(map(string, lists)) + bytes([follows]) + u32(0)


KEXES = {
    "x25519": "curve25519-sha256,ext-info-c,kex-strict-c-v00@openssh.com",
    "server": "curve25519-sha256,kex-strict-s-v00@openssh.com",
    "loose": "ecdh-sha2-nistp256",
    "dh": "diffie-hellman-group14-sha256",
    "gex": "diffie-hellman-group-exchange-sha256,ext-info-c",
    "none": "ecdh-sha2-unknown",
}
BLOB = string("ssh-ed25519") + string(bytes(range(32)))
SIG = string(string("ssh-ed25519") + string(bytes(64)))


def request(method, tail=b"", user="route"):
    return b"\x32" + string(user) + string("ssh-connection") + string(method) + tail


SERVICE = b"\x05" + string("ssh-userauth")
CLIENT_AUTH = {
    "none": request("none"),
    "probe": request("publickey", b"\0" + string("ssh-ed25519") + string(BLOB)),
    "signed": request("publickey", b"\1" + string("ssh-ed25519") + string(BLOB) + SIG),
    "password": request("password", b"\0" + string("secret")),
    "kbdint": request("keyboard-interactive", string("") + string("")),
    "other_user": request("none", user="somebody"),
}
SERVER_AUTH = {
    "accept": b"\x06" + string("ssh-userauth"),
    "failure": b"\x33" + string("publickey,keyboard-interactive,password") + b"\0",
    "partial": b"\x33" + string("keyboard-interactive") + b"\1",
    "pk_ok": b"\x3c" + string("ssh-ed25519") + string("blob"),
    "ask": b"\x3c" + string("") + string("Code") + string("") + u32(2) + string("OTP: ") + b"\0"
    + string("PIN: ") + b"\1",
    "ask_nothing": b"\x3c" + string("") + string("") + string("") + u32(0),
    "banner": b"\x35" + string("hello\r\n") + string(""),
    "success": b"\x34",
}


def channel(kind, number, tail=b""):
    return bytes([kind]) + u32(number) + tail


def opening(kind, tail=b"", window=4096, size=32768):
    return b"\x5a" + string(kind) + u32(7) + u32(window) + u32(size) + tail


CHANNELS = {
    "global": b"\x50" + string("keepalive@openssh.com") + b"\1",
    "no_more": b"\x50" + string("no-more-sessions@openssh.com") + b"\0",
    "global_ok": b"\x51",
    "global_no": b"\x52",
    "open": opening("session"),
    "open_direct": opening("direct-tcpip", string("127.0.0.1") + u32(80) + string("::1") + u32(9)),
    "open_packet_0": opening("session", size=0),
    "confirm": channel(91, 0, u32(3) + u32(1000) + u32(32768)),
    "refuse": channel(92, 0, u32(1) + string("no") + string("")),
    "adjust": channel(93, 0, u32(100)),
    "adjust_over": channel(93, 0, u32(0xFFFFFFFF)),
    "data": channel(94, 0, string("data")),
    "stderr": channel(95, 0, u32(1) + string("data")),
    "eof": channel(96, 0),
    "close": channel(97, 0),
    "exec": channel(98, 0, string("exec") + b"\1" + string("ls")),
    "pty": channel(98, 0, string("pty-req") + b"\0" + string("xterm") + u32(80) * 4 + string(b"\0")),
    "ok": channel(99, 0),
    "no": channel(100, 0),
}
# Messages that have no business where they come (U2): of channel 0 in every state, and of others.
SLIPS = {
    "confirm_short": channel(91, 0, u32(3)),
    "confirm_packet_0": channel(91, 0, u32(3) + u32(1000) + u32(0)),
    "refuse_short": channel(92, 0, b"\0"),
    "adjust_short": channel(93, 0, b"\0\0"),
    "data_short": channel(94, 0, u32(9) + b"abc"),
    "data_tail": channel(94, 0, string("abc") + b"tail"),
    "data_over": channel(94, 0, string(bytes(2500))),
    "stderr_0": channel(95, 0, u32(0) + string("abc")),
    "stderr_short": channel(95, 0, b"\0\0"),
    "request_short": channel(98, 0, u32(9) + b"abc"),
    "open_short": b"\x5a" + string("session") + b"\0",
    "global_short": b"\x50" + u32(9),
    "no_number": b"\x5e",
    "next_number": channel(94, 1024, string("late")),
}
OTHERS = {
    "disconnect": b"\x01" + u32(2) + string("bye") + string(""),
    "ignore": b"\x02" + string("x"),
    "unimplemented": b"\x03" + u32(1),
    "debug": b"\x04\0" + string("x") + string(""),
    "ext_info": b"\x07" + u32(2) + string("server-sig-algs") + string("rsa-sha2-256")
    + string("ping@openssh.com") + string("0"),
    "ping": b"\xc0" + string("abc"),
    "pong": b"\xc1" + string("abc"),
    "newkeys": b"\x15",
    "unknown": b"\x70abc",
}


MODES = b"\x35" + u32(1) + b"\x80" + u32(9600) + b"\0"
REQUESTS = {
    "pty-req": string("xterm") + u32(80) * 4 + string(MODES),
    "env": string("LANG") + string("C"),
    "shell": b"",
    "exec": string("ls"),
    "subsystem": string("sftp"),
    "window-change": u32(80) * 4,
    "signal": string("TERM"),
    "break": u32(500),
    "xon-xoff": b"\1",
    "exit-status": u32(3),
    "exit-signal": string("SEGV") + b"\1" + string("it fell over") + string("en"),
    "eow@openssh.com": b"",
    "keepalive@openssh.com": b"x",
    "auth-agent-req@openssh.com": b"",
    "agent-req": b"",
    "x11-req": b"\0" + string("MIT-MAGIC-COOKIE-1") + string("00") + u32(0),
    "made-up@example.com": b"\xff",
}
OPENS = {
    "session": b"",
    "direct-tcpip": string("127.0.0.1") + u32(80) + string("::1") + u32(9),
    "direct-streamlocal@openssh.com": string("/run/x") + string("") + u32(0),
    "tun@openssh.com": u32(1) + u32(2),
}


def named(what, name, tail):
    """The messages of fuzz_request.c; what: 0 a client's request, 1 a server's, 2 an open."""
    return bytes([what, len(name)]) + name.encode() + tail


def write(target, name, data):
    folder = ROOT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def transports():
    for role in ("server", "client"):
        target = "transport_" + role
        for name, kex in KEXES.items():
            first = packet(kexinit(kex))
            # The exchange as far as it can go without an answer, whole and in pieces.
            kex_msgs = {
                "server": [b"\x1e" + string(bytes(range(32))), b"\x1e" + string(b"\x7f" * 256),
                           b"\x22" + u32(2048) + u32(3072) + u32(8192)],
                "client": [b"\x1f" + string(BLOB) + string(bytes(range(32))) + SIG,
                           b"\x1f" + string(b"\0\xff" + b"\xff" * 255) + string(b"\2")],
            }[role]
            for i, msg in enumerate(kex_msgs):
                raw = b"SSH-2.0-x\r\n" + first + packet(msg) + packet(b"\x15")
                write(target, f"kex_{name}_{i}", b"\xf0" + raw)
                if role == "client" and name in ("x25519", "none", "dh"):
                    write(target, f"own_guess_{name}_{i}", b"\xf2" + raw)
        guess = packet(kexinit("ecdh-sha2-nistp521,curve25519-sha256", follows=1))
        write(target, "guess", b"\x70SSH-1.99-y\r\n" + guess + packet(b"\x1e" + string(b"x")))
        write(target, "banner", b"\x70hello\r\nSSH-2.0-z\n" + packet(OTHERS["ignore"]))
        auth = CLIENT_AUTH if role == "server" else SERVER_AUTH
        for i, (name, msg) in enumerate(auth.items()):
            # In clear, phase AUTH, as messages; for clients with each state of the login.
            write(target, "auth_" + name, bytes([0x0B | (i % 8) << 4]) + messages(msg, msg))
        write(target, "service", b"\x09" + messages(SERVICE, *CLIENT_AUTH.values()))
        for name, msg in CHANNELS.items():
            write(target, "conn_" + name, b"\x0d" + messages(CHANNELS["open"], msg, msg))
        for name, msg in OTHERS.items():
            write(target, "other_" + name, b"\x0d" + messages(msg, CHANNELS["open"]))
        for name, msg in SLIPS.items():
            write(target, "slip_" + name, b"\x0d" + messages(CHANNELS["open"], msg, msg))
        begun = kexinit("curve25519-sha256")
        late = [CHANNELS["open"], CHANNELS["data"], b"\x34", b"\x19", begun, b"\x15"]
        write(target, "slip_rekey", b"\x0d" + messages(CHANNELS["open"], begun, *late))
        after = [CHANNELS["open"], SERVICE, *CLIENT_AUTH.values(), *SERVER_AUTH.values(), b"\x15"]
        write(target, "slip_login", b"\x0d" + messages(*after, CHANNELS["data"]))
        rekey = messages(kexinit("curve25519-sha256"), b"\x1e" + string(bytes(range(32))))
        write(target, "rekey", b"\x0d" + rekey)


def main():
    transports()
    wholes()
    logins()
    for name, kex in KEXES.items():
        write("kexinit", name, messages(kexinit(kex), kexinit(KEXES["x25519"])))
    write("kexinit", "follows", messages(kexinit("a,curve25519-sha256,,", follows=1)))
    write("kexinit", "mac", messages(kexinit("curve25519-sha256", ciphers="aes256-ctr")))
    for name, msg in CLIENT_AUTH.items():
        write("auth_server", name, messages(SERVICE, msg, CLIENT_AUTH["none"]))
    for name, msg in SERVER_AUTH.items():
        no = SERVER_AUTH["failure"]
        write("auth_client", name, messages(SERVER_AUTH["accept"], no, msg))
        write("auth_client", name + "_later", messages(SERVER_AUTH["accept"], no, no, msg, no))
    for name, msg in CHANNELS.items():
        write("conn", name, messages(CHANNELS["open"], b"\x03\0", msg))
    for name, msg in SLIPS.items():
        ours = messages(b"\0", msg, CHANNELS["confirm"])
        write("conn", "slip_" + name, ours + messages(msg, b"\2\0", msg, CHANNELS["close"], msg))
    again = messages(CHANNELS["open"], b"\3\0", CHANNELS["close"], *CHANNELS.values())
    write("conn", "slip_again", again)
    acts = [bytes([n, 0, 1, 2]) for n in range(9)]
    write("conn", "ours", messages(b"\0", CHANNELS["confirm"], *acts, CHANNELS["close"]))
    write("conn", "refused", messages(b"\0", CHANNELS["refuse"], CHANNELS["open"], b"\2\0"))
    for name, tail in REQUESTS.items():
        both = [named(0, name, tail), named(1, name, tail)]
        write("request", name.replace("@", "_"), messages(*both, *both))
    for name, tail in OPENS.items():
        write("request", "open_" + name.replace("@", "_"), messages(named(2, name, tail)))
    start = [named(0, k, REQUESTS[k]) for k in ("env", "pty-req", "exec", "pty-req", "shell")]
    write("request", "in_order", messages(*start))
    keys = b"\x0c" + u32(1) + string(BLOB) + string("me@here")
    write("agent", "list", string(keys) + string(b"\x05"))
    write("agent", "signature", string(b"\x0e" + SIG))
    write("agent", "many", string(b"\x0c" + u32(0xFFFFFFFF) + keys))
    cut = [b"\x0c", keys + b"x", b"\x0e", b"\x0e" + SIG + b"x", b"\x06", b""]
    write("agent", "cut", b"".join(map(string, cut)))
    host_keys()


INSERT, REPLACE, XOR, CUT, DROP, TWICE, ACT, REKEY = range(8)
# What the peer says, in this order, to a server and to a client of ours (fuzz_whole.h).
SAYS = {
    "server": ["kexinit", "kex", "newkeys", "service", "none", "probe", "signed", "open", "exec",
               "data", "grant", "grant_2", "eof", "keepalive"],
    "client": ["kexinit", "kex", "newkeys", "accept", "failure", "pk_ok", "success", "confirm",
               "ok", "data", "stderr", "status", "eof", "close"],
}


def whole(role, name, *records, kex=0, cipher=0, mac=0, flags=0, begin=0, globals_=0):
    """A record: the messages before it, what is done, and with what."""
    data = bytes([kex, cipher, mac, flags, begin, globals_])
    for wait, op, what in records:
        data += bytes([wait, op]) + struct.pack(">H", len(what)) + what
    write("whole_" + role, name, data)


def wholes():
    for role, says in SAYS.items():
        login = says.index("open" if role == "server" else "confirm")
        for i in range(4):
            whole(role, f"kex_{i}", (200, REKEY, b""), kex=i, cipher=i, flags=i % 2)
        for i in range(4, 7):
            for mac in range(7):
                whole(role, f"mac_{i}_{mac}", (200, REKEY, b""), cipher=i, mac=mac, flags=2)
        for i in range(3):
            whole(role, f"begin_{i}", begin=i, globals_=i % 2)
        whole(role, "often", *[(1, TWICE, b"")] * 30, flags=4)
        whole(role, "no_key", flags=8)
        # In the signature of either.
        whole(role, "xor_signature", (6 if role == "server" else 1, XOR, b"\xbe\x01"))
        for i, what in enumerate(says):
            whole(role, "xor_" + what, (i, XOR, b"\x05\x01"))
            whole(role, "cut_" + what, (i, CUT, b"\x05"))
            whole(role, "drop_" + what, (i, DROP, b""))
            whole(role, "twice_" + what, (i, TWICE, b""))
        for name, msg in OTHERS.items():
            whole(role, "early_" + name, (1, INSERT, msg))
            whole(role, "other_" + name, (login + 2, INSERT, msg), (0, INSERT, msg))
        channels = [*CHANNELS.values(), *SLIPS.values()]
        whole(role, "channels", *[(login + 2 if i == 0 else 0, INSERT, m)
                                  for i, m in enumerate(channels)], globals_=1)
        for name, msg in (CLIENT_AUTH if role == "server" else SERVER_AUTH).items():
            whole(role, "auth_" + name, (login - 3, REPLACE, msg), (0, INSERT, msg))
            whole(role, "late_" + name, (login + 1, INSERT, msg))
        acts = [(1, ACT, bytes([n, 0, 1, 2])) for n in range(12)]
        whole(role, "acts", (login + 2, ACT, b"\x03"), *acts, *acts)
        whole(role, "hour", (login + 2, ACT, b"\x02\xff"), (0, REKEY, b""))
        begun = [kexinit("curve25519-sha256"), b"\x1e" + string(bytes(range(32))), b"\x15"]
        whole(role, "rekey", *[(login + 2 if i == 0 else 0, INSERT, m)
                               for i, m in enumerate(begun)])
        whole(role, "late", (login + 1, INSERT, begun[0]), (0, INSERT, CHANNELS["data"]),
              (0, INSERT, OTHERS["ignore"]), (0, INSERT, begun[1]))
        for what in ("kex", "host", "cipher"):
            lists = {"kex": "a,curve25519-sha256" if what != "kex" else "a,b",
                     "host": "ssh-ed25519" if what != "host" else "b",
                     "ciphers": "aes128-gcm@openssh.com" if what != "cipher" else "c"}
            whole(role, "lack_" + what, (0, REPLACE, kexinit(**lists)))
        whole(role, "held", (200, ACT, b"\4"), globals_=3)
        window = [(login + 2, INSERT, opening("session"))]
        window += [(0, INSERT, channel(94, 1, string(bytes(4900)))) for _ in range(3)]
        whole(role, "window", *window)
        whole(role, "gex", (0, REPLACE, kexinit(KEXES["gex"])), (0, INSERT, b"\x22" + u32(9) * 3),
              kex=3)


def logins():
    """Logins to a server that wants other methods than it says at first."""
    methods = b"\x33" + string("keyboard-interactive,password") + b"\0"
    old = b"\x3c" + string("too old") + string("")
    after = [methods, old, methods, SERVER_AUTH["banner"], SERVER_AUTH["success"],
             channel(92, 0, u32(1) + string("no") + string(""))]
    whole("client", "login_asks", (4, REPLACE, methods), (0, REPLACE, SERVER_AUTH["ask"]),
          *[(0, INSERT, m) for m in after])
    whole("client", "login_nothing", (4, REPLACE, methods),
          (0, REPLACE, SERVER_AUTH["ask_nothing"]), (0, INSERT, SERVER_AUTH["partial"]))
    info = OTHERS["ext_info"][:5] + string("server-sig-algs") + string("a,b")
    info += string("publickey-hostbound@openssh.com") + string("0")
    whole("client", "hostbound", (3, INSERT, info), (8, ACT, b"\1\0"), (0, ACT, b"\1\0"))
    whole("client", "hostbound_key", (3, INSERT, info), begin=1)


def host_keys():
    """K6."""
    other = string("ssh-ed25519") + string(bytes(range(1, 33)))
    known = base64.b64encode(BLOB).decode()
    line = f"[host.example]:2222 ssh-ed25519 {known}\n"
    old = base64.b64encode(string("ssh-ed25519") + string(bytes(range(2, 34)))).decode()
    texts = {
        "one": line,
        "old": f"# mine\n[host.example]:2222 ssh-ed25519 {old} c\r\n{line}x\n",
        "no_end": line[:-1],
        "marker": f"@revoked * ssh-ed25519 {old}\n{line}",
        "list": f"a,b,{line}",
        "two": f"[host.example]:2222,[::1]:2222 ssh-ed25519 {old}\n{line}",
        "elsewhere": f"other ssh-ed25519 {old}\n[host.example]:2222 ssh-ed25519 {old}\n{line}",
        "wildcard": f"*.example ssh-ed25519 {known}\n",
    }
    listed = string(BLOB) + string(other)
    for name, text in texts.items():
        write("hostkeys", name, messages(listed, SIG + SIG, text.encode()))
    write("hostkeys", "same", messages(string(BLOB), SIG, texts["old"].encode()))
    write("hostkeys", "unknown", messages(string(BLOB) + string(string("ssh-new") + b"x"), SIG))
    write("hostkeys", "twice", messages(string(BLOB) + string(BLOB)))
    write("hostkeys", "cut", messages(listed[:-1]))
    write("hostkeys", "cut_proof", messages(listed, SIG))
    write("hostkeys", "more_proof", messages(string(BLOB), SIG + SIG))


main()
