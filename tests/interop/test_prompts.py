# SPDX-License-Identifier: MIT
"""Passwords, questions of every shape, and passphrases of key files (A1, A2, A3, A7), asked of
servers that are real and of servers that lie."""
import os
import re
import shutil
import subprocess
import termios
import threading
import time

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from paramiko.auth_handler import AuthHandler
from paramiko.common import MSG_CHANNEL_SUCCESS

import otp_sshd
from peers import hop, poll, routes_toml
from pyssh import Interface, Server, message
from serve_terminal import Terminal, TerminalMux, at_terminal
from test_proxy import proxied

needs_pam = pytest.mark.skipif(otp_sshd.missing_passwords() is not None,
                               reason=str(otp_sshd.missing_passwords()))
PROMPT = rb"([^\r\n]*[:?>] )$"


class Person(Terminal):
    """Gives these answers, one after the other; then nothing more."""

    def __init__(self, *answers, pattern=PROMPT):
        self.answers = list(answers)
        self.questions = []
        super().__init__(self.next, pattern)

    def next(self, question):
        self.questions.append(question)
        if not self.answers:
            return None
        answer = self.answers.pop(0)
        return (answer() if callable(answer) else answer) + "\r"


@pytest.fixture
def start(keys, cleanup):
    """start(server, person, …): the daemon at the person's terminal; its route t is the server."""

    def run(server, person, **kwargs):
        top = kwargs.pop("top", None)
        kwargs.setdefault("identity", keys.make("unwanted"))
        return cleanup(TerminalMux(keys, routes=routes_toml({"t": hop(server)}, top=top),
                                   known_hosts=server.known_hosts(), terminal=person, **kwargs))

    return run


def text_of(done):
    return done.stderr.decode(errors="replace")


# ---- passwords and chains, of a real sshd --------------------------------------------------------


@pytest.fixture
def password_sshd(keys, cleanup):
    return lambda **kw: cleanup(otp_sshd.PasswordSshd(keys, **kw))


@needs_pam
def test_A3_wrong_password_then_the_right_one(password_sshd, start):
    sshd = password_sshd()
    person = Person("not this", sshd.PASSWORD)
    mux = start(sshd, person)
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert person.typed == 2
    assert person.questions == [f"{otp_sshd.USER}@127.0.0.1's password:"] * 2
    assert b"ssh-mux: that password was not accepted (try 2 of 3)" in person.seen
    # One login for all, and nothing of the password is seen or logged (D4).
    assert mux.ssh("t", "echo again").stdout == b"again\n"
    assert person.typed == 2
    assert sshd.PASSWORD.encode() not in person.seen and sshd.PASSWORD not in mux.log()
    assert "not this" not in mux.log()


@needs_pam
def test_A3_three_wrong_passwords_are_a_clean_denial(password_sshd, start):
    sshd = password_sshd()
    person = Person(*["wrong"] * 9)
    mux = start(sshd, person)
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and "permission denied" in text_of(done)
    assert "the server accepts: password" in text_of(done)
    assert person.typed == 3
    # U5: that was enough for a minute, but for who comes to a terminal for it.
    assert at_terminal(mux, "connect", "t", "true",
                       answer=lambda question: sshd.PASSWORD + "\r")[0] == 0
    mux.check_works()


@needs_pam
def test_A2_A3_key_then_password(password_sshd, start, keys):
    sshd = password_sshd(AuthenticationMethods="publickey,password")
    person = Person(sshd.PASSWORD)
    mux = start(sshd, person, identity=keys.make("remote"))
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert person.typed == 1


@needs_pam
def test_A2_A3_code_then_password(password_sshd, start):
    sshd = password_sshd(codes=True,
                         AuthenticationMethods="keyboard-interactive:pam,password")
    person = Person(sshd.code, sshd.PASSWORD)
    mux = start(sshd, person)
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert "One-time password" in person.questions[0] and person.typed == 2
    assert sshd.used() == 1


@needs_pam
def test_A2_code_then_key(password_sshd, start, keys):
    """What the server accepts decides the order: the key has its turn when it is wanted."""
    sshd = password_sshd(codes=True,
                         AuthenticationMethods="keyboard-interactive:pam,publickey")
    person = Person(sshd.code)
    mux = start(sshd, person, identity=keys.make("remote"))
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert person.typed == 1 and sshd.used() == 1


# ---- questions of every shape, of a scripted server ----------------------------------------------


def run_exec(server, channel, name, m):
    """Every command says "in" and ends well."""
    if name == "exec":
        server.send(channel, MSG_CHANNEL_SUCCESS)
        channel.send(b"in\n")
        channel.send_exit_status(0)
        channel.close()
        return None
    return True


class Handler(AuthHandler):
    """As paramiko's; a result that is a Message is sent as it is."""

    def _send_auth_result(self, username, method, result):
        if isinstance(result, paramiko.Message):
            self.transport._send_message(result)
        else:
            super()._send_auth_result(username, method, result)


class Script(Interface):
    """rounds: what the server says to each keyboard-interactive request and to each response: an
    InteractiveQuery or a result. Class attributes, for there is one object a connection."""

    methods = "keyboard-interactive"
    rounds = ()
    passwords = ()

    def __init__(self, server):
        super().__init__(server)
        self.left = list(self.rounds)
        self.to_password = list(self.passwords)

    def get_allowed_auths(self, username):
        return self.methods

    def check_auth_none(self, username):
        return paramiko.AUTH_FAILED

    def check_auth_publickey(self, username, key):
        self.server.log.append(("key", key.get_base64()))
        return paramiko.AUTH_FAILED

    def next(self):
        return self.left.pop(0) if self.left else paramiko.AUTH_FAILED

    def check_auth_interactive(self, username, submethods):
        self.server.log.append(("kbdint",))
        return self.next()

    def check_auth_interactive_response(self, responses):
        self.server.log.append(("answers", responses))
        return self.next()

    def check_auth_password(self, username, password):
        self.server.log.append(("password", password))
        return self.to_password.pop(0) if self.to_password else paramiko.AUTH_FAILED


Query = paramiko.server.InteractiveQuery
OK, FAILED, PARTIAL = (paramiko.AUTH_SUCCESSFUL, paramiko.AUTH_FAILED,
                       paramiko.AUTH_PARTIALLY_SUCCESSFUL)


@pytest.fixture
def scripted(keys, cleanup):
    """scripted(rounds=…, methods=…, passwords=…): such a server."""

    def make(**attributes):
        interface = type("Interface", (Script,), attributes)
        return cleanup(Server(keys.make("host_scripted"), run_exec, interface=interface,
                              auth_handler=Handler))

    return make


def of_kind(server, kind):
    return [entry for entry in server.log if entry[0] == kind]


def test_A2_what_was_right_is_behind_one(scripted, start):
    """Three wrong answers are the end (test_A3_three_wrong…); after one that was right they are
    counted from the beginning, and the same method may be asked for again."""
    ask = Query("", "", ("Code: ", False))
    server = scripted(rounds=[ask, FAILED, ask, FAILED, ask, PARTIAL, ask, FAILED, ask, OK])
    person = Person("one", "two", "right", "three", "right too")
    mux = start(server, person)
    assert mux.ssh("t", "true").stdout == b"in\n"
    assert len(of_kind(server, "answers")) == 5


def test_A2_several_prompts_in_a_round(scripted, start):
    server = scripted(rounds=[
        Query("Zwei Fragen", "Answer both of them", ("Name: ", True), ("PIN: ", False)),
        Query("", "", ("Once more: ", False)),
        OK,
    ])
    person = Person("visible", "hidden", "also hidden")
    mux = start(server, person)
    assert mux.ssh("t", "x").stdout == b"in\n"
    assert of_kind(server, "answers") == [("answers", ["visible", "hidden"]),
                                          ("answers", ["also hidden"])]
    shown = person.seen.decode()
    assert "Zwei Fragen" in shown and "Answer both of them" in shown and "login to" in shown
    # The echo flags: one is seen while it is typed, the others are not.
    assert "Name: visible" in shown and "hidden" not in shown
    assert "visible" not in mux.log()


def test_A6_question_goes_away_with_its_login(scripted, make_mux):
    """The server hangs up while the terminal of a client shows its question: the question ends,
    its terminal is as it was, and ssh fails as without us (W7)."""
    server = scripted(rounds=[Query("", "", ("Code: ", False)), OK])
    mux = make_mux(routes=routes_toml({"t": server.hop()}), known_hosts=server.known_hosts())
    person = Person()
    before = termios.tcgetattr(person.master)
    client = subprocess.Popen(
        mux.argv("t", "-N", options=proxied(mux)), env=mux.env,
        stdin=person.slave, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, preexec_fn=person.controlling)
    try:
        poll(lambda: person.questions and not
             termios.tcgetattr(person.master)[3] & termios.ECHO, 20, "the question is shown")
        server.transports[-1].close()
        poll(lambda: termios.tcgetattr(person.master) == before, 5, "the question is gone")
        assert client.wait(20) == 255 and mux.alive()
    finally:
        client.kill()
        client.wait()
    assert not of_kind(server, "answers")


def batch_client(mux):
    return mux.start_ssh("t", "x", stdin=subprocess.DEVNULL, env=mux.env, options=[
        f"-oProxyCommand={mux.binary} proxy --batch t"])


def test_W7_for_batch_mode_alone_nobody_is_asked(scripted, start):
    """Not at a place of the daemon's own either."""
    server = scripted(rounds=[Query("", "", ("Code: ", False)), OK])
    person = Person("123")
    mux = start(server, person)
    out, err = batch_client(mux).communicate(timeout=30)
    assert out == b"" and b"permission denied" in err, err
    assert not person.questions and not of_kind(server, "answers")


def test_W7_batch_mode_of_one_who_waits_is_no_others(scripted, start):
    """Two clients wait for one login, and the one that came last may not be asked: the question is
    still shown where the other's is."""
    both = threading.Event()

    def ask(interface, username, submethods):
        interface.server.log.append(("kbdint",))
        both.wait(30)
        return Query("", "", ("Code: ", False))

    server = scripted(rounds=[OK], check_auth_interactive=ask)
    person = Person("123")
    mux = start(server, person)
    clients = [mux.start_ssh("t", "x", stdin=subprocess.DEVNULL)]
    poll(lambda: of_kind(server, "kbdint"), 20, "the login")
    clients.append(batch_client(mux))
    poll(lambda: len(mux.status()["clients"]) == 2, 20, "both wait")
    both.set()
    for client in clients:
        out, err = client.communicate(timeout=30)
        assert out == b"in\n", err
    assert person.typed == 1


def test_A2_rounds_without_prompts(scripted, start):
    empty = Query("", "wait for it")
    server = scripted(rounds=[empty, empty, Query("", "", ("Code: ", False)), empty, OK])
    person = Person("123")
    mux = start(server, person)
    assert mux.ssh("t", "x").stdout == b"in\n"
    assert [a for _, a in of_kind(server, "answers")] == [[], [], ["123"], []]
    assert person.typed == 1


def test_S7_rounds_without_prompts_have_an_end(scripted, start):
    server = scripted(rounds=[Query("", "")] * 100000)
    person = Person()
    done = start(server, person).ssh("t", "x", timeout=30)
    assert done.returncode == 255 and len(of_kind(server, "answers")) <= 64
    assert not person.questions


def test_S7_partial_success_has_an_end(scripted, start):
    server = scripted(rounds=[PARTIAL] * 100000)
    done = start(server, Person()).ssh("t", "x", timeout=30)
    assert done.returncode == 255 and "without end" in text_of(done)
    assert len(of_kind(server, "kbdint")) <= 64


@pytest.mark.parametrize("query", [
    Query("", "", *[("Code: ", False)] * 17),
    Query("", "", *[("Code: ", False)] * 5000),
], ids=["17", "5000"])
def test_S7_hostile_question_is_refused(scripted, start, query):
    """Nobody is asked, the login ends with a reason, the daemon goes on."""
    server = scripted(rounds=[query, OK])
    person = Person("secret")
    mux = start(server, person)
    done = mux.ssh("t", "x", timeout=30)
    assert done.returncode == 255 and "too long" in text_of(done), done
    assert not person.questions and not of_kind(server, "answers")
    mux.wait_idle()


def test_A2_longest_allowed_question(scripted, start):
    server = scripted(rounds=[Query("n" * 8000, "i" * 8000, *[("x" * 900 + ": ", False)] * 16), OK])
    person = Person(*[str(i) for i in range(16)])
    mux = start(server, person)
    assert mux.ssh("t", "x").stdout == b"in\n"
    assert of_kind(server, "answers") == [("answers", [str(i) for i in range(16)])]


def test_A7_nothing_of_the_servers_acts_on_the_terminal(scripted, start):
    evil = ("\x1b[2J\x1b]0;owned\x07\x1bP1;1|x\x1b\\\x1b^pm\x1b\\\x1b_apc\x1b\\\x1bXsos\x1b\\"
            "\u009b31m\u009d0;owned\u009c\u202e\u2066\x08\x7f\x00\r\nssh-mux: login to bank\n")
    server = scripted(rounds=[Query("N" + evil, "I" + evil, ("P" + evil + "Code: ", False)), OK])
    person = Person("123")
    mux = start(server, person)
    assert mux.ssh("t", "x").stdout == b"in\n"
    shown = person.seen.decode()
    assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e\u2066]", shown), repr(shown)
    assert "owned" not in shown and "apc" not in shown
    # No line of theirs begins as ours does.
    assert shown.count("\nssh-mux: login to") == 1
    assert "\x1b" not in mux.log()


def test_A3_password_that_must_be_changed_is_said(scripted, start):
    server = scripted(methods="password",
                      passwords=[message(60, "\x1b[31mYour password is 90 days old\n", "en")])
    person = Person("old")
    mux = start(server, person)
    done = mux.ssh("t", "x")
    assert done.returncode == 255
    assert "has expired" in text_of(done) and "90 days old" in text_of(done)
    assert "\x1b" not in text_of(done) and person.typed == 1
    mux.wait_idle()


def test_A2_A3_method_that_asks_nothing_gives_way(scripted, start):
    """keyboard-interactive is offered, but refused without a question: the password's turn."""
    server = scripted(methods="keyboard-interactive,password", passwords=[FAILED, OK])
    person = Person("first", "second")
    mux = start(server, person)
    assert mux.ssh("t", "x").stdout == b"in\n"
    assert of_kind(server, "password") == [("password", "first"), ("password", "second")]
    assert len(of_kind(server, "kbdint")) == 1


def test_A2_three_answers_in_all(scripted, start):
    ask = Query("", "", ("Code: ", False))
    server = scripted(methods="keyboard-interactive,password", rounds=[ask, FAILED] * 9)
    person = Person(*["wrong"] * 9)
    done = start(server, person).ssh("t", "x")
    assert done.returncode == 255 and person.typed == 3
    assert len(of_kind(server, "answers")) == 3


def test_A3_no_method_that_was_not_offered(scripted, start):
    server = scripted(methods="hostbased,gssapi-with-mic")
    person = Person()
    done = start(server, person).ssh("t", "x")
    assert done.returncode == 255 and "the server accepts: hostbased" in text_of(done)
    # B13: the key that the login began with came before the server had said its methods.
    assert not person.questions and len(of_kind(server, "key")) <= 1
    assert not of_kind(server, "kbdint") and not of_kind(server, "password")


# ---- passphrases of key files (A1) ---------------------------------------------------------------

PASSPHRASE = "open sesame"


@pytest.fixture
def locked(keys):
    return keys.make("locked", passphrase=PASSPHRASE)


@pytest.fixture
def locked_sshd(make_sshd, locked):
    return make_sshd(accept=[locked])


def test_A1_passphrase_is_asked_for_and_forgotten(locked_sshd, locked, start):
    person = Person("wrong", PASSPHRASE, PASSPHRASE)
    mux = start(locked_sshd, person, identity=locked, timeout=1)
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert person.typed == 2
    assert "Enter passphrase for key '" in person.questions[0]
    assert "id_ed25519" in person.questions[1]
    assert PASSPHRASE.encode() not in person.seen and PASSPHRASE not in mux.log()
    # The next login asks again: neither the passphrase nor the key was kept.
    poll(lambda: not mux.connections(), 20, "the connection idles out", 0.2)
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert person.typed == 3


SPAN_MAX = 1 << 30  # AddressSanitizer's own tables are larger, and mostly nowhere


def found_in_memory(pid, wanted):
    """Those of the byte strings that are in what a process can write."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as f:
        spans = [line.split()[0].split("-") for line in f if line.split()[1].startswith("rw")]
    found = set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end in ((int(a, 16), int(b, 16)) for a, b in spans):
            if end - start > SPAN_MAX:
                continue
            last = b""
            while start < end:
                try:
                    part = os.pread(memory.fileno(), min(end - start, 1 << 20), start)
                except OSError:
                    break  # it was unmapped meanwhile
                found.update(w for w in wanted if w in last + part)
                start += len(part)
                last = part[-max(map(len, wanted)):]
    return found


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no memory to look into here")
def test_A1_an_unlocked_key_is_wiped_after_its_signature(locked_sshd, locked, start):
    """While the connection lives on, the daemon has the key's public half only, and no passphrase."""
    key = serialization.load_ssh_private_key(locked.read_bytes(), PASSPHRASE.encode())
    private = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw,
                                serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.Raw,
                                           serialization.PublicFormat.Raw)
    mux = start(locked_sshd, Person(PASSPHRASE), identity=locked)
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    try:
        found = found_in_memory(mux.pid, {private, public, PASSPHRASE.encode()})
    except PermissionError:
        pytest.skip("the memory of a child must not be read here")
    assert len(mux.connections()) == 1
    assert found == {public}  # that it is found shows that the others would be


def test_A1_three_wrong_passphrases(locked_sshd, locked, start):
    person = Person(*["wrong"] * 9)
    mux = start(locked_sshd, person, identity=locked)
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and person.typed == 3
    assert "wrong passphrase" in text_of(done) and "permission denied" in text_of(done)


def test_A1_passphrase_cancelled(locked_sshd, locked, start):
    person = Person("\x03")
    begin = time.monotonic()
    done = start(locked_sshd, person, identity=locked).ssh("t", "true")
    assert done.returncode == 255 and "the question was cancelled" in text_of(done)
    assert time.monotonic() - begin < 15


def test_A1_empty_passphrase_goes_on_without_the_key(keys, password_sshd, locked, start):
    if otp_sshd.missing_passwords():
        pytest.skip(otp_sshd.missing_passwords())
    sshd = password_sshd(AuthenticationMethods="publickey password", accept=[locked])
    person = Person("", sshd.PASSWORD)
    mux = start(sshd, person, identity=locked)
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert "passphrase" in person.questions[0] and "password" in person.questions[1]


def test_A1_nobody_is_asked_for_a_key_the_server_does_not_want(make_sshd, locked, start):
    person = Person(PASSPHRASE)
    done = start(make_sshd(), person, identity=locked).ssh("t", "true")
    assert done.returncode == 255 and not person.questions


def test_A1_nobody_is_asked_while_another_key_will_do(keys, make_sshd, make_agent, locked, start):
    """Keys of the agent and plain files come first, wherever the route names the encrypted one."""
    remote = keys.make("remote")
    sshd = make_sshd(accept=[locked, remote])
    person = Person(PASSPHRASE)
    mux = start(sshd, person, top={"identity": [str(locked), str(remote)]})
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    other = Person(PASSPHRASE)
    mux = start(sshd, other, identity=locked, agent=make_agent(remote))
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert not person.questions and not other.questions


def test_A1_encrypted_key_that_the_agent_has(make_sshd, make_agent, keys, tmp_path, locked,
                                             locked_sshd, start):
    plain = tmp_path / "plain"
    shutil.copy(locked, plain)
    plain.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", PASSPHRASE, "-N", "", "-f", plain], check=True,
                   capture_output=True)
    person = Person(PASSPHRASE)
    mux = start(locked_sshd, person, identity=locked, agent=make_agent(plain))
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert not person.questions


def test_A1_nobody_to_ask_is_noted(locked_sshd, locked, make_mux):
    mux = make_mux(target=locked_sshd, identity=locked)
    done = mux.ssh("t", "true")
    assert done.returncode == 255
    assert "is encrypted" in text_of(done) and "ssh-add" in text_of(done)


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_A1_encrypted_pem_with_its_public_part_beside_it(keys, make_sshd, start, tmp_path, kind):
    path = tmp_path / "pem"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-m", "PKCS8", "-N", PASSPHRASE, "-f", path],
                   check=True)
    assert "ENCRYPTED" in path.read_text()
    sshd = make_sshd(accept=[path])
    person = Person("wrong", PASSPHRASE)
    mux = start(sshd, person, top={"identity": str(path)})
    assert mux.ssh("t", "echo in").stdout == b"in\n"
    assert person.typed == 2


def test_A1_the_file_must_hold_the_key_that_was_offered(keys, make_sshd, start, tmp_path):
    """Its .pub beside it speaks of another key, which the server takes: no signature by this."""
    path, other = tmp_path / "pem", keys.make("remote")
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-m", "PKCS8", "-N", PASSPHRASE, "-f", path],
                   check=True)
    shutil.copy(f"{other}.pub", f"{path}.pub")
    person = Person(PASSPHRASE)
    done = start(make_sshd(accept=[other]), person, top={"identity": str(path)}).ssh("t", "true")
    assert done.returncode == 255 and person.typed == 1 and "permission denied" in text_of(done)
    # Not the server's word on a signature: none was made.
    assert f"{path}: malformed message" in text_of(done)


def test_B2_passphrase_login_needs_a_person(locked, make_sshd, start):
    """MaxSessions reached, and another login would take the passphrase again: a clear refusal."""
    person = Person(PASSPHRASE)
    mux = start(make_sshd(accept=[locked], MaxSessions=1), person, identity=locked)
    held = mux.start_ssh("t", "echo up; cat")
    assert held.stdout.readline() == b"up\n"
    done = mux.ssh("t", "true")
    assert done.returncode == 255 and "MaxSessions" in text_of(done)
    held.communicate(timeout=20)
    assert len(person.questions) == 1
