#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of fuzz_control_door into tests/fuzz/corpus/: visits of an ssh to a control
socket (PROTOCOL.mux), and what the remote says meanwhile; and those of fuzz_mux4 that have faults.
It gives the same files each time."""
import pathlib
import struct

ROOT = pathlib.Path(__file__).parent / "corpus" / "control_door"
SAY, REMOTE, TYPE, CLOSE, CONNECT, READ, LOOK, DENY, FLOOD = range(9)
REQUESTS, GLOBAL, OPENS, LOCKED = 1, 2, 4, 8
LONE = 2
PATH = 0xFFFFFFFE
LOCAL, REMOTE_FWD, DYNAMIC = 1, 2, 3


def u32(*numbers):
    return b"".join(struct.pack(">I", n) for n in numbers)


def string(s):
    s = s if isinstance(s, bytes) else s.encode()
    return u32(len(s)) + s


def mux(*parts):
    return string(b"".join(parts))


def how(client=0, descriptors=0, is_null=0, is_tty=0, stream=0, hurry=0):
    """The second byte of an act; stream: of ACT_CLOSE, in the place of the descriptors."""
    return bytes([client | (descriptors or stream) << 2 | is_null << 5 | is_tty << 6
                  | hurry << 7])


def say(message, **more):
    return bytes([SAY]) + how(**more) + message


HELLO = mux(u32(1, 4))


def session(number=1, tty=0, x11=0, agent=0, subsystem=0, command="ls", env=("LANG=C",), **more):
    m = mux(u32(0x10000002, number), string(""), u32(tty, x11, agent, subsystem, ord("~")),
            string("xterm"), string(command), *map(string, env))
    return say(m, descriptors=3, **more)


def forward(kind, listen, port, host, to, number=2, op=0x10000006):
    m = mux(u32(op, number, kind), string(listen), u32(port), string(host), u32(to))
    return say(m)


def stdio(host="db", port=5432, **more):
    return say(mux(u32(0x10000008, 3), string(""), string(host), u32(port)), descriptors=2, **more)


def remote(kind, number, *tail):
    return bytes([REMOTE, kind]) + u32(number) + b"".join(tail)


def opened(kind, *tail, window=4096):
    """The remote opens a channel, its number 9."""
    return bytes([REMOTE, 90]) + string(kind) + u32(9, window, 32768) + b"".join(tail)


def act(what, data=b"", **more):
    return bytes([what]) + how(**more) + data


def simple(op, number=5):
    return say(mux(u32(op, number)))


def write(name, *acts):
    ROOT.mkdir(parents=True, exist_ok=True)
    (ROOT / name).write_bytes(b"".join(struct.pack(">H", len(a)) + a for a in acts))


def ends(number=0):
    """Output, errors, a status, and the end of a command."""
    return [remote(94, number, string("out")), remote(95, number, u32(1), string("err")),
            remote(98, number, string("exit-status"), b"\0", u32(3)), remote(96, number),
            remote(97, number)]


def sessions(hello):
    write("session", hello, session(), act(TYPE, b"input"), *ends(), act(READ))
    write("tty", hello, session(tty=1, command=""), act(TYPE, b"\r~?\r~~x\r~B\r~."), *ends())
    write("tty_end", hello, session(tty=1), act(TYPE, b"\r~."), act(READ))
    write("terminal", hello, session(tty=1, is_tty=1), act(TYPE, b"\r~?\r~~"), *ends())
    write("terminal_none", hello, session(tty=1, command="", is_tty=1), remote(100, 0), *ends())
    write("null", hello, session(is_null=1), *ends(), act(LOOK))
    write("subsystem", hello, session(subsystem=1, command="sftp"), *ends())
    write("signal", hello, session(), remote(98, 0, string("exit-signal"), b"\0", string("TERM"),
                                             b"\0", string("x"), string("")), remote(97, 0))
    write("eow", hello, session(), remote(98, 0, string("eow@openssh.com"), b"\0"), *ends())
    write("keepalive", hello, session(), remote(98, 0, string("keepalive@openssh.com"), b"\1"))
    write("window", hello, session(), *[act(TYPE, bytes(1200))] * 3,
          remote(93, 0, u32(100)), remote(93, 0, u32(9000)), act(READ), *ends())
    write("flood", hello, session(), *[remote(94, 0, string(bytes(1100)))] * 3, act(READ),
          act(READ), act(READ), *ends())
    write("reader_goes", hello, session(), act(CLOSE, stream=2), remote(94, 0, string("x")),
          act(CLOSE, stream=3), remote(95, 0, u32(1), string("x")), act(TYPE, b"x"))
    write("input_ends", hello, session(), act(CLOSE, stream=1), *ends())
    write("client_goes", hello, session(), act(TYPE, b"x"), act(CLOSE), *ends())
    write("two", hello, session(), session(2), say(HELLO, client=1), session(client=1), *ends(),
          *ends(1))
    write("refused", hello, session(x11=1), session(agent=1))
    write("disconnect", hello, session(), bytes([REMOTE, 1]) + u32(2) + string("bye") + string(""))
    write("open_refused", hello, session(),
          remote(92, 1, u32(1), string("no"), string("")), remote(92, 0, u32(1)))
    write("failures", hello, session(tty=1), remote(100, 0), remote(100, 0), remote(100, 0))
    write("stdio", hello, stdio(), act(TYPE, b"query"), remote(94, 0, string("rows")),
          act(CLOSE, stream=1), remote(96, 0), remote(97, 0))
    write("stdio_refused", hello, stdio("elsewhere", 1), stdio("x", 0x1FFFF))


def forwards(hello):
    local = forward(LOCAL, "", 8080, "db", 5432)
    write("local", hello, local, local, act(CONNECT, b"hello"), remote(94, 0, string("answer")),
          remote(96, 0), remote(97, 0), forward(LOCAL, "", 8080, "db", 5432, op=0x10000007))
    write("local_path", hello, forward(LOCAL, "/run/x", PATH, "/run/y", PATH), act(CONNECT, b"x"))
    write("local_session", hello, local, simple(0x10000004), session(), act(CONNECT, b"x"), *ends())
    write("local_stays", hello, local, act(CLOSE), act(CONNECT, b"x"), act(LOOK))
    write("local_only", hello, local, session(command="", is_null=1))
    write("terminal_only", hello, local, session(command="", is_tty=1), act(LOOK), act(CLOSE))
    write("terminal_lost", hello, local, session(command="", is_tty=1),
          bytes([REMOTE, 1]) + u32(2) + string("bye") + string(""))
    socks4 = b"\4\1\x15\x38\0\0\0\1me\0db\0"
    socks5 = b"\5\1\0\5\1\0\3\2db\x15\x38"
    for name, greeting in (("socks4", socks4), ("socks5", socks5), ("socks_bad", b"GET / HTTP")):
        write(name, hello, forward(DYNAMIC, "", 1080, "", 0), act(CONNECT, greeting),
              remote(94, 0, string("answer")), act(LOOK), remote(97, 0))
    back = forward(REMOTE_FWD, "", 9000, "db", 5432)
    tail = [string("localhost"), u32(9000), string("::1"), u32(9)]
    write("remote", hello, back, opened("forwarded-tcpip", *tail), session(), *ends(),
          forward(REMOTE_FWD, "", 9000, "db", 5432, op=0x10000007))
    write("remote_any", hello, forward(REMOTE_FWD, "", 0, "/run/y", PATH), back, act(CLOSE))
    write("remote_path", hello, forward(REMOTE_FWD, "/r", PATH, "db", 5432),
          opened("forwarded-streamlocal@openssh.com", string("/r"), string("")))
    write("remote_lost", hello, back, session(),
          bytes([REMOTE, 1]) + u32(2) + string("bye") + string(""))
    bad = [(9, "", 1, "x", 1), (LOCAL, "", 0, "x", 1), (LOCAL, "", 1, "", 0),
           (LOCAL, "", 70000, "x", 1), (DYNAMIC, "/x", PATH, "", 0), (REMOTE_FWD, "", 1, "", 0),
           (REMOTE_FWD, "", 1, "x", PATH), (REMOTE_FWD, "", 1, "", 1), (LOCAL, "*", 1, "db", 5432),
           (LOCAL, "", 1, "elsewhere", 22)]
    write("forwards_refused", hello, *[forward(*b) for b in bad])
    write("not_forwarded", hello, forward(LOCAL, "", 1, "x", 1, op=0x10000007),
          forward(REMOTE_FWD, "", 1, "x", 1, op=0x10000007))


def faults():
    """Messages that fuzz_mux4 refuses, or takes without knowing them."""
    head = string("") + u32(0, 0, 0, 0, ord("~")) + string("xterm") + string("ls")
    bad = [mux(u32(1, 4), string("info"), string("0"), string("x\0y"), string("")),
           mux(u32(0x10000002, 1), head, string("LANG")), mux(u32(0x10000002, 1), head, string("=C")),
           mux(u32(0x10000002, 1), head, string("A=b\0c")), mux(u32(0x1FFFFFF, 1)), mux(u32(1)),
           mux(u32(0x10000004)), mux(u32(0x10000004, 1), b"x"), mux(b"\0\0"), u32(9)]
    for name, data in (("faults", b"".join(bad)), ("typed_others", b"~#~Cx\r~x~\r~\x1a~&~R~V~v~~\n~.")):
        (ROOT.parent / "mux4" / name).write_bytes(data)


def refusals(hello):
    """What the remote, the daemon or the route refuses."""
    local, back = forward(LOCAL, "", 8080, "db", 5432), forward(REMOTE_FWD, "", 9000, "db", 5432)
    dynamic = forward(DYNAMIC, "", 1080, "", 0)
    info = [say(mux(u32(0x20000001, 7), string(what))) for what in ("connection", "channels")]
    for name, asks in (("shell", {"command": ""}), ("exec", {}), ("tty", {"tty": 1}),
                       ("subsystem", {"subsystem": 1, "command": "sftp"})):
        write("denied_" + name, hello, bytes([DENY, REQUESTS]), session(**asks))
    write("denied_open", hello, bytes([DENY, OPENS]), session(), stdio())
    write("denied_remote", hello, bytes([DENY, GLOBAL]), back, session())
    write("locked", hello, bytes([DENY, LOCKED]), session(), stdio(), local, back, dynamic)
    lone = say(HELLO, client=LONE)
    others = [bytes([SAY, LONE | m[1]]) + m[2:] for m in (local, back, dynamic, session(), *info)]
    write("lone", lone, *others, session(client=LONE, agent=1))
    gone = bytes([REMOTE, 1]) + u32(2) + string("bye") + string("")
    write("stay_lost", hello, local, gone, session(command="", is_tty=1), *info)
    stay = session(command="", is_tty=1, hurry=1)
    write("hurry_stdio", hello, local, stdio(hurry=1), act(LOOK), gone, act(LOOK))
    write("hurry_gone_stdio", hello, local, stdio(hurry=1), gone, act(LOOK))
    write("hurry_left_stdio", hello, local, stdio(hurry=1), act(CLOSE), act(LOOK))
    write("hurry_stay", hello, local, stay, act(LOOK), gone, act(LOOK))
    write("hurry_gone_stay", hello, local, stay, gone, act(LOOK))
    write("remote_stay_lost", hello, back, session(command="", is_tty=1), gone)
    write("remote_idle_lost", hello, back, gone)
    write("remote_twice", hello, back, say(HELLO, client=1), b"\0\1" + back[2:], gone)
    write("hurry_remote", hello, back[:1] + bytes([0x80]) + back[2:], act(CLOSE))
    write("second", hello, session(), stdio(), simple(0x1000000F), back, local)
    write("agent", hello, session(agent=1), opened("auth-agent@openssh.com"), *ends())
    write("flood_read", hello, session(), bytes([FLOOD, 0, 40]), *ends())
    requests = [remote(98, 0, string("exit-status"), b"\0", b"\0\0"),
                remote(98, 1, string("x@y"), b"\1"), remote(98, 1, string("exit-status"), b"\1", u32(1)),
                remote(98, 1, string("break"), b"\0", u32(1))]
    write("server_requests", hello, session(), say(HELLO, client=1), session(client=1), *requests)
    write("escapes", hello, session(tty=1), act(TYPE, b"\r~C~#\r~\x1a~R\rx~.\r~x"))
    head = string("") + u32(0, 0, 0, 0, 300) + string("xterm") + string("ls")
    write("session_fault", hello, say(mux(u32(0x10000002, 1), head, string("LANG")), descriptors=3))
    write("hello_extensions", say(mux(u32(1, 4), string("info"), string("0"))), session())
    write("env", hello, session(env=("LANG=C", "LD_PRELOAD=x")))
    write("proxy_descriptors", hello, simple(0x1000000F), say(b"", descriptors=1))


def main():
    faults()
    hello = say(HELLO)
    refusals(hello)
    sessions(hello)
    forwards(hello)
    others = (0x10000004, 0x10000005, 0x10000009, 0x1FFFFFF)
    write("requests", hello, *[simple(op) for op in others])
    info = [say(mux(u32(0x20000001, 7), string(what))) for what in ("connection", "channels", "x")]
    write("info", hello, session(), *info)
    bare = mux(b"\x5a" + string("session") + u32(1, 4096, 32768))
    ask = bytes([98]) + u32(0) + string("exec") + b"\1" + string("ls")
    packets = [struct.pack(">I", 1 + len(p)) + b"\0" + p for p in (bare[4:], ask)]
    write("proxy", hello, simple(0x1000000F), *[say(p) for p in packets], *ends(), act(CLOSE))
    write("proxy_goes", hello, simple(0x1000000F), say(packets[0]), act(CLOSE, client=0))
    write("no_hello", session())
    write("two_hellos", hello, hello)
    write("version", say(mux(u32(1, 3))))
    write("cut", hello, say(session()[2:30]), act(LOOK), act(CLOSE))
    write("too_large", say(u32(0x7FFFFFFF)))
    write("descriptors", say(HELLO, descriptors=2), say(b"", descriptors=5))
    write("half", say(HELLO[:5]), say(HELLO[5:]), say(session()[2:20]), say(session()[20:]))
    write("asks", hello, remote(80, 0), bytes([REMOTE, 80]) + string("x@y") + b"\1", act(LOOK))


main()
