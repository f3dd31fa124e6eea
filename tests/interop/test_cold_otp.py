# SPDX-License-Identifier: MIT
"""B13: a cold login that wants a key and a one-time code, in few round trips; and that what is sent
ahead of its answer costs nobody a code, a question or a login."""
import re
import select
import time

import pytest

import otp_sshd
import peers
import pyssh
from test_cold_login import DELAY, call, cold, lose, odd_server  # noqa: F401

real = pytest.mark.skipif(otp_sshd.missing() is not None, reason=str(otp_sshd.missing()))

ANSWERS = """#!/bin/sh
echo OK
while read -r line; do
	if [ "$line" = GETPIN ]; then
		echo asked >>{dir}/asked
		printf 'D %s\\n' "$(head -n 1 {dir}/answers)"
		sed -i 1d {dir}/answers
	fi
	echo OK
done
"""


class Person:
    """A pinentry, which gives these answers one after another, and counts the questions."""

    def __init__(self, directory):
        self.dir = directory
        self.pinentry = directory / "pinentry"
        self.pinentry.write_text(ANSWERS.format(dir=directory))
        self.pinentry.chmod(0o700)

    def will_say(self, *answers):
        (self.dir / "answers").write_text("".join(a + "\n" for a in answers))
        (self.dir / "asked").write_text("")

    def asked(self):
        return len((self.dir / "asked").read_text().splitlines())


@pytest.fixture
def guarded(cold, keys, cleanup, tmp_path):  # noqa: F811
    """guarded(**options of sshd): a daemon, its proxy, the server and who answers."""

    def make(route=None, more=None, **options):
        options.setdefault("LogLevel", "DEBUG2")
        server = cleanup(otp_sshd.OtpSshd(keys, "guarded", **options))
        person = Person(tmp_path)
        mux, trips = cold(server, route=route, more=more, top={"pinentry": str(person.pinentry)})
        return mux, trips, server, person

    return make


def log_in(mux, trips, server, person, *wrong):
    """With so many wrong codes before the right one; the round trips."""
    used = server.used()
    person.will_say(*wrong, server.code())
    n = call(mux, trips)
    assert person.asked() == 1 + len(wrong)
    assert server.used() == used + 1
    return n


def asked_for_questions(server):
    return len(re.findall("userauth-request for user .* method keyboard-interactive", server.log()))


def set_methods(server, methods):
    text = server.config_path.read_text()
    line = next(l for l in text.splitlines() if l.startswith("AuthenticationMethods"))
    server.stop()
    server.config_path.write_text(text.replace(line, f"AuthenticationMethods {methods}"))
    server.start()


@real
def test_B13_key_and_code(guarded):
    """The first login has the session asked for with the empty round at the end; the second one its
    questions asked for with the key, and the key exchange guessed, too."""
    mux, trips, server, person = guarded()
    assert log_in(mux, trips, server, person) <= 8
    lose(server, mux)
    assert log_in(mux, trips, server, person) <= 6
    assert len(trips.flights) == 2
    assert "dispatch_protocol_error" not in server.log()
    assert asked_for_questions(server) == 2


@real
def test_B13_a_wrong_code_is_asked_for_again(guarded):
    mux, trips, server, person = guarded()
    log_in(mux, trips, server, person)
    lose(server, mux)
    log_in(mux, trips, server, person, "000000", "000001")
    assert len(trips.flights) == 2
    assert "dispatch_protocol_error" not in server.log() # no session for a wrong code
    assert asked_for_questions(server) == 4


@real
@pytest.mark.parametrize("methods", ["publickey,keyboard-interactive:pam",
                                     "publickey,keyboard-interactive:pam keyboard-interactive:pam,publickey"])
def test_B13_a_key_that_is_no_longer_taken_and_a_code(guarded, keys, methods):
    """The questions were asked for with it: refused by the first server, begun by the second. The
    next key is tried, and one code is enough."""
    old, new = keys.make("remote"), keys.make("other")
    mux, trips, server, person = guarded(
        route={"identity": [str(old), str(new)]}, AuthenticationMethods=methods)
    log_in(mux, trips, server, person)
    server.authorized.write_text(keys.public(new))
    lose(server, mux)
    log_in(mux, trips, server, person)
    assert len(trips.flights) == 2
    assert asked_for_questions(server) == 3
    lose(server, mux)
    assert log_in(mux, trips, server, person) <= 6


@real
def test_B13_a_second_key_between_the_first_and_the_code(guarded, keys):
    """The questions did not follow the key that was taken: they are not asked for with it, and the
    one that was refused is not taken for it."""
    good, bad = keys.make("remote"), keys.make("other")
    mux, trips, server, person = guarded(
        route={"identity": [str(good), str(bad)]},
        AuthenticationMethods="publickey,keyboard-interactive:pam publickey,publickey")
    for n in range(1, 4):
        log_in(mux, trips, server, person)
        assert asked_for_questions(server) == n
        assert server.log().count("Failed publickey") == n # the second key's, and no other
        lose(server, mux)
    assert len(trips.flights) == 3


@real
def test_B13_a_key_that_is_enough_by_now(guarded):
    """The server has no answer to what came behind it."""
    mux, trips, server, person = guarded()
    log_in(mux, trips, server, person)
    set_methods(server, "publickey")
    peers.poll(lambda: not mux.connections(), what="the connection is gone")
    person.will_say("none")
    call(mux, trips)
    assert person.asked() == 0
    assert len(trips.flights) == 2
    mux.check_works()
    lose(server, mux)
    assert call(mux, trips) <= 4
    assert len(trips.flights) == 3


@real
def test_B13_where_nobody_may_be_asked_no_question_is_asked_for(guarded):
    """K2: an unattended route to the same account; whoever has a telephone would hear of it."""
    mux, trips, server, person = guarded(more={"auto": {"unattended": True}})
    log_in(mux, trips, server, person)
    lose(server, mux)
    assert asked_for_questions(server) == 1
    person.will_say(server.code())
    failed = mux.start_ssh("auto", "true")
    assert b"permission denied" in failed.communicate(timeout=20)[1].lower()
    assert person.asked() == 0
    assert asked_for_questions(server) == 1


class Hasty(pyssh.Interface):
    """Wants a key and an answer; ends the connection if the second is begun before it has said that
    it takes the first."""

    def get_allowed_auths(self, username):
        return "keyboard-interactive" if getattr(self, "key_s", None) else "publickey"

    def check_auth_publickey(self, username, key):
        super().check_auth_publickey(username, key)
        self.key_s = time.monotonic()
        return pyssh.paramiko.AUTH_PARTIALLY_SUCCESSFUL

    def check_auth_interactive(self, username, submethods):
        self.server.begun += 1
        if self.server.is_hasty and time.monotonic() - self.key_s < DELAY:
            self.server.drop()
            return pyssh.paramiko.AUTH_FAILED
        return pyssh.paramiko.InteractiveQuery("", "", ("Code: ", False))

    def check_auth_interactive_response(self, responses):
        return pyssh.paramiko.AUTH_SUCCESSFUL


@pytest.mark.parametrize("name", ["OpenSSH_9.9", None])
def test_B13_a_server_that_takes_questions_ahead_amiss(cold, keys, cleanup, monkeypatch, tmp_path,  # noqa: F811
                                                       name):
    """It says that it is OpenSSH's and ends the connection: it is logged in to once more, one message
    at a time, and nobody is asked twice. Of others no questions are asked for ahead."""
    if name:
        monkeypatch.setattr(pyssh.paramiko.Transport, "_CLIENT_ID", name)
        monkeypatch.setattr(pyssh.paramiko.Transport, "_PROTO_ID", "2.0")
    server = odd_server(cleanup, keys, interface=Hasty)
    server.is_hasty, server.begun = True, 0
    person = Person(tmp_path)
    mux, trips = cold(server, top={"pinentry": str(person.pinentry)})
    for n in range(1, 4):
        person.will_say("first")
        mux.check_works()
        assert person.asked() == 1
        lose(server, mux)
    assert len(trips.flights) == (4 if name else 3)
    assert server.begun == len(trips.flights)


class Push(Hasty):
    """Reaches a person by a way of its own, who does not answer, and gives up."""

    def check_auth_interactive(self, username, submethods):
        self.server.begun += 1
        if self.server.begun > 1:
            time.sleep(2)
            self.server.drop()
            return pyssh.paramiko.AUTH_FAILED
        return pyssh.paramiko.InteractiveQuery("", "", ("Code: ", False))


def test_B13_U5_who_was_reached_is_not_reached_again_unasked(cold, keys, cleanup, monkeypatch,  # noqa: F811
                                                              tmp_path):
    monkeypatch.setattr(pyssh.paramiko.Transport, "_CLIENT_ID", "OpenSSH_9.9")
    monkeypatch.setattr(pyssh.paramiko.Transport, "_PROTO_ID", "2.0")
    server = odd_server(cleanup, keys, interface=Push)
    server.begun = 0
    person = Person(tmp_path)
    mux, trips = cold(server, top={"pinentry": str(person.pinentry)})
    person.will_say("first")
    mux.check_works()
    lose(server, mux)
    failed = mux.start_ssh("t", "true")
    failed.communicate(timeout=20)
    assert failed.returncode == 255
    mux.wait_log("is not tried again for")
    assert server.begun == 2
    assert len(trips.flights) == 2


class Content(pyssh.Interface):
    """Tells by an empty round that an answer was right, as OpenSSH's does; ends the connection if
    something comes behind the answer to that."""

    def get_allowed_auths(self, username):
        return "keyboard-interactive"

    def check_auth_publickey(self, username, key):
        return pyssh.paramiko.AUTH_FAILED

    def check_auth_interactive(self, username, submethods):
        return pyssh.paramiko.InteractiveQuery("", "", ("Code: ", False))

    def check_auth_interactive_response(self, responses):
        if responses:
            return pyssh.paramiko.InteractiveQuery("", "")
        time.sleep(0.3)
        if select.select([self.server.transports[-1].sock], [], [], 0)[0]:
            self.server.drop()
            return pyssh.paramiko.AUTH_FAILED
        return pyssh.paramiko.AUTH_SUCCESSFUL


def test_B13_a_server_that_takes_the_session_amiss_after_a_code(cold, keys, cleanup, monkeypatch,  # noqa: F811
                                                               tmp_path):
    """A code was spent, so nobody is asked for another unawares; the next login waits for answers."""
    monkeypatch.setattr(pyssh.paramiko.Transport, "_CLIENT_ID", "OpenSSH_9.9")
    monkeypatch.setattr(pyssh.paramiko.Transport, "_PROTO_ID", "2.0")
    server = odd_server(cleanup, keys, interface=Content)
    person = Person(tmp_path)
    mux, trips = cold(server, top={"pinentry": str(person.pinentry)})
    person.will_say("first", "second")
    failed = mux.start_ssh("t", "true")
    failed.communicate(timeout=20)
    assert failed.returncode == 255
    assert person.asked() == 1
    assert len(trips.flights) == 1
    mux.forget_failures()
    mux.check_works()
    assert person.asked() == 2
    assert len(trips.flights) == 2


class Talkative(Content):
    """Has two empty rounds before it lets anybody in."""

    def check_auth_interactive_response(self, responses):
        self.rounds = getattr(self, "rounds", 0) + 1
        return (pyssh.paramiko.AUTH_SUCCESSFUL if self.rounds == 3
                else pyssh.paramiko.InteractiveQuery("", ""))


def test_B13_a_session_asked_for_in_vain_is_asked_for_again(cold, keys, cleanup, monkeypatch, tmp_path):  # noqa: F811
    """As OpenSSH's, it does not know of channels before the login is over."""
    ensure = pyssh.paramiko.Transport._ensure_authed

    def unknown(self, kind, message):
        if kind != 90 or self.is_authenticated():
            return ensure(self, kind, message)
        return pyssh.message(3, message.seqno)

    monkeypatch.setattr(pyssh.paramiko.Transport, "_ensure_authed", unknown)
    monkeypatch.setattr(pyssh.paramiko.Transport, "_CLIENT_ID", "OpenSSH_9.9")
    monkeypatch.setattr(pyssh.paramiko.Transport, "_PROTO_ID", "2.0")
    server = odd_server(cleanup, keys, interface=Talkative)
    person = Person(tmp_path)
    mux, trips = cold(server, top={"pinentry": str(person.pinentry)})
    person.will_say("first")
    mux.check_works()
    assert mux.log().count("a channel is asked for together with the login") == 1
    assert len(trips.flights) == 1
