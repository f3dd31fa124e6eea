# SPDX-License-Identifier: MIT
"""Routes and keys are re-read without a restart (B10, L5).

The rows kept here: B10, L3, L5, P1, R4, R6.
"""
import os
import re
import shutil
import signal
import time

import paramiko
import pytest

from hostile import toml_string
from peers import hop, poll, routes_toml
from pyssh import Client
from serve_terminal import Terminal, TerminalMux

OPEN_FAILURE = 92
OPEN_SUCCESS = 91
LONG = 30


def text_of(target, *names, **flags):
    return routes_toml({name: hop(target, **flags) for name in names})


def names_of(mux):
    return sorted(r["name"] for r in mux.status()["routes"])


def wait_routes(mux, *names):
    poll(lambda: names_of(mux) == sorted(names), LONG, f"routes {names}", 0.1)


def warnings_of(mux):
    return [w for w in mux.status()["warnings"] if "routes file" in w]


def wait_warning(mux, *parts):
    return poll(
        lambda: [w for w in warnings_of(mux) if all(p in w for p in parts)],
        LONG, f"a warning with {parts}", 0.1,
    )[0]  # fmt: skip


def wait_no_warning(mux):
    poll(lambda: not warnings_of(mux), LONG, "no warning", 0.1)


def reads(mux):
    return mux.log().count("routes re-read from")


@pytest.fixture
def client(cleanup):
    return lambda mux, user="t": cleanup(Client(mux.port, mux.local_key, user))


@pytest.fixture
def routed(make_mux, make_sshd):
    """A daemon with the one route t; mux.target is its server."""
    target = make_sshd(MaxSessions=300)
    mux = make_mux(target)
    mux.target = target
    return mux


def test_B10_a_new_route_works_without_a_restart(routed):
    assert routed.ssh("new", "true").returncode == 255
    routed.put("ssh-mux-routes.toml", text_of(routed.target, "t", "new"))
    wait_routes(routed, "t", "new")
    routed.check_works("new")
    routed.check_works("t")
    # P1: both lead the same way, and the file changed: still one login.
    assert routed.target.logins() == 1


def test_B10_an_edit_costs_nobody_a_login(routed):
    """P1: a pooled connection that nobody uses at the moment outlives an edit of other things."""
    routed.check_works()
    routed.put("ssh-mux-routes.toml", text_of(routed.target, "new", "t"))
    wait_routes(routed, "t", "new")
    time.sleep(3)  # the pool is gone through each second
    assert len(routed.connections()) == 1
    routed.check_works()
    assert routed.target.logins() == 1


def test_B10_L3_a_removed_route_ends_for_new_channels_only(routed, client):
    """What runs goes on; the next channel of the same client is refused as any unknown route."""
    c = client(routed)
    c.open(0)
    shell = c.opened(0)
    c.request(shell, "exec", True, "cat")
    c.wait(99, 0)
    routed.put("ssh-mux-routes.toml", text_of(routed.target, "other"))
    wait_routes(routed, "other")
    since = len(routed.log())
    c.open(1)
    failure = c.wait(OPEN_FAILURE, 1)
    failure.get_int()
    assert "unknown route" in failure.get_text()
    routed.wait_log('channel open rejected for route "t": unknown route', since=since)
    c.send(94, shell, "still there")
    poll(lambda: c.data(0) == b"still there", LONG, "the echo of the running channel")
    c.send(96, shell)
    c.wait(97, 0)
    # And back again, on the same connection of the client.
    routed.put("ssh-mux-routes.toml", text_of(routed.target, "t"))
    wait_routes(routed, "t")
    c.open(2)
    c.opened(2)


def test_B10_a_connection_no_route_leads_to_lives_as_long_as_its_channels(routed, client, make_sshd):
    """P1: the changed route is another way, with a login of its own; the old one is not for it."""
    c = client(routed)
    c.open(0)
    shell = c.opened(0)
    c.request(shell, "exec", True, "cat")
    c.wait(99, 0)
    other = make_sshd("other")
    with open(routed.known_hosts_path, "a", encoding="ascii") as f:
        f.write(other.known_hosts())
    routed.put("ssh-mux-routes.toml", text_of(other, "t"))
    poll(lambda: routed.status()["routes"][0]["target"].endswith(str(other.port)), LONG)
    routed.check_works()
    assert routed.target.logins() == 1 and other.logins() == 1
    assert len(routed.connections()) == 2
    c.send(94, shell, "still there")
    poll(lambda: c.data(0) == b"still there", LONG, "the echo of the running channel")
    c.send(97, shell)
    c.wait(97, 0)
    # --timeout is 600 s; this one has nobody left to wait for.
    poll(lambda: len(routed.connections()) == 1, LONG, "one connection", 0.1)
    routed.wait_log("no route leads there any more")
    assert str(other.port) in routed.connections()[0]["key"]


def test_B10_P1_a_changed_identity_is_another_login(routed, keys, client):
    """Nobody rides on the login of an identity that the file no longer names; what runs goes on."""
    c = client(routed)
    c.open(0)
    shell = c.opened(0)
    c.request(shell, "exec", True, "cat")
    c.wait(99, 0)
    stranger = keys.make("stranger")
    path = routed.dir / "stranger"
    shutil.copy(stranger, path)
    path.chmod(0o600)
    routed.put("ssh-mux-routes.toml", routes_toml(
        {"t": hop(routed.target, identity=str(path), identities_only=True)}))
    poll(lambda: reads(routed) == 1, LONG, "the re-read")
    done = routed.ssh("t", "echo in")
    assert done.returncode == 255 and done.stdout == b"", done
    assert routed.target.logins() == 1
    c.send(94, shell, "still there")
    poll(lambda: c.data(0) == b"still there", LONG, "the echo of the running channel")
    # Without its channel the old connection is nobody's.
    c.send(97, shell)
    c.wait(97, 0)
    poll(lambda: not routed.connections(), LONG, "no connection", 0.1)


def test_B10_R4_a_flag_taken_back_holds_at_once(make_mux, make_sshd, client, echo):
    """Clients that are connected already lose it with their next channel, not with their end."""
    target = make_sshd()
    mux = make_mux(target, route={"allow_remote_loopback_any_port": True})
    c = client(mux)
    c.open(0, "direct-tcpip", "127.0.0.1", echo.port, "127.0.0.1", 1)
    first = c.opened(0)
    mux.put("ssh-mux-routes.toml", text_of(target, "t"))
    poll(lambda: not mux.status()["routes"][0]["loopback"], LONG)
    c.open(1, "direct-tcpip", "127.0.0.1", echo.port, "127.0.0.1", 1)
    failure = c.wait(OPEN_FAILURE, 1)
    assert failure.get_int() == 1 and "denied" in failure.get_text()
    c.send(94, first, "goes on")
    poll(lambda: c.data(0) == b"goes on", LONG, "the echo")
    assert echo.accepted == 1


# ---- edits that are no good ----


def test_B10_a_broken_edit_keeps_the_old_routes_and_says_so(routed):
    path = str(routed.routes_path)
    good = text_of(routed.target, "t", "late")
    broken = good + 'prot = 22\n'
    line = broken.count("\n")
    routed.put("ssh-mux-routes.toml", broken)
    shown = wait_warning(routed, f"{path}:{line}:1: ", 'did you mean "port"?')
    assert re.search(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", shown)
    assert f"{path}:{line}:1: " in routed.control("status").stdout
    assert names_of(routed) == ["t"]
    routed.check_works()
    # The same fault, written once more, is no news; another one is.
    said = f'{path}:{line}:1: [routes.late] key "prot"'
    assert routed.log().count(said) == 1
    routed.put("ssh-mux-routes.toml", broken)
    time.sleep(5)  # a complaint takes a second, and a look comes every three
    assert routed.log().count(said) == 1 and warnings_of(routed) == [shown]
    # Somebody who asks is told again.
    routed.proc.send_signal(signal.SIGHUP)
    poll(lambda: routed.log().count(said) == 2, LONG, "the answer to the signal")
    assert warnings_of(routed) == [shown]
    routed.put("ssh-mux-routes.toml", "# another\n" + broken)
    assert wait_warning(routed, f"{path}:{line + 1}:1: ") != shown
    routed.put("ssh-mux-routes.toml", good)
    wait_routes(routed, "t", "late")
    wait_no_warning(routed)
    routed.check_works("late")


def spoil_group_writable(mux):
    mux.routes_path.chmod(0o660)
    return "chmod go-w"


def spoil_symlink(mux):
    real = mux.ssh_dir / "real.toml"
    mux.routes_path.rename(real)
    mux.routes_path.symlink_to(real)
    return "symbolic link"


def spoil_removed(mux):
    mux.routes_path.unlink()
    return "is missing"


def spoil_empty(mux):
    mux.routes_path.write_text("\n")
    return "is empty"


def spoil_fifo(mux):
    mux.routes_path.unlink()
    os.mkfifo(mux.routes_path, 0o600)
    return "not a regular file"


def spoil_huge(mux):
    mux.routes_path.write_bytes(b"#" * (2 << 20))
    return "larger than"


def spoil_not_toml(mux):
    mux.routes_path.write_bytes(b"[routes.t]\nhost = \"\n")
    return "ssh-mux-routes.toml:2:"


@pytest.mark.parametrize("spoil", [spoil_group_writable, spoil_symlink, spoil_removed, spoil_empty,
                                   spoil_fifo, spoil_huge, spoil_not_toml],
                         ids=lambda f: f.__name__[6:])  # fmt: skip
def test_B10_an_unsafe_or_missing_file_keeps_the_old_routes(routed, spoil):
    """And the remedy is said; a good file puts an end to it."""
    part = spoil(routed)
    wait_warning(routed, part, str(routed.routes_path))
    assert names_of(routed) == ["t"]
    routed.check_works()
    if routed.routes_path.is_symlink() or routed.routes_path.exists():
        routed.routes_path.unlink()
    routed.put("ssh-mux-routes.toml", text_of(routed.target, "t", "more"))
    wait_routes(routed, "t", "more")
    wait_no_warning(routed)


def test_B10_no_routes_is_what_a_comment_says(routed):
    """An empty file may be an editor's half-done work, so it takes a word to mean it."""
    routed.put("ssh-mux-routes.toml", "# none\n")
    wait_routes(routed)
    assert not warnings_of(routed)
    assert routed.ssh("t", "true").returncode == 255


# ---- how editors write ----

pauses = []  # how long each really was, on a machine that has other things to do


def pause(seconds):
    start = time.monotonic()
    time.sleep(seconds)
    pauses.append(time.monotonic() - start)


def write_in_place(path, text):
    path.write_text(text)


def write_slowly(path, text):
    """Emptied, then filled piece by piece."""
    with open(path, "w", encoding="utf-8") as f:
        for i in range(0, len(text), 40):
            f.write(text[i:i + 40])
            f.flush()
            pause(0.03)


def write_empty_for_a_while(path, text):
    path.write_text("")
    pause(0.4)
    path.write_text(text)


def write_broken_for_a_while(path, text):
    path.write_text("[routes.")
    pause(0.4)
    path.write_text(text)


def write_rename(path, text):
    new = path.with_name(".new~")
    new.write_text(text)
    new.chmod(0o600)
    new.rename(path)


def write_as_vim(path, text):
    """With backup: a probe file, the old one moved away, a new one in its place."""
    probe = path.with_name("4913")
    probe.touch()
    probe.unlink()
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    pause(0.1)
    path.write_text(text)
    path.chmod(0o600)
    backup.unlink()


def write_as_emacs(path, text):
    """A lock link beside it, a copy as backup, then in place."""
    lock = path.with_name(".#" + path.name)
    lock.symlink_to("me@host.1:1")
    shutil.copy2(path, path.with_name(path.name + "~"))
    path.write_text(text)
    lock.unlink()


def write_removed_first(path, text):
    path.unlink()
    pause(0.3)
    path.write_text(text)
    path.chmod(0o600)


def write_chmod_later(path, text):
    """Made by a program with a generous umask, put right after."""
    new = path.with_name("new")
    new.write_text(text)
    new.chmod(0o664)
    new.rename(path)
    pause(0.1)
    path.chmod(0o600)


@pytest.mark.parametrize("write", [write_in_place, write_slowly, write_empty_for_a_while,
                                   write_broken_for_a_while, write_rename, write_as_vim,
                                   write_as_emacs, write_removed_first, write_chmod_later],
                         ids=lambda f: f.__name__[6:])  # fmt: skip
def test_B10_the_way_an_editor_writes_is_no_change_of_mind(routed, write):
    """From old to new in one step: nothing between them was in use or complained about."""
    # Half a file that nobody touches for a while is a file; half a one that is wrong, for longer.
    longest = 0.2 if write is write_slowly else 0.7
    for attempt in range(5):
        names = ["t"] + [f"r{attempt}x{n}" for n in range(12)]
        since = len(routed.log())
        pauses.clear()
        write(routed.routes_path, text_of(routed.target, *names))
        wait_routes(routed, *names)
        wait_no_warning(routed)
        if max(pauses, default=0) < longest:
            break
    else:
        pytest.skip("too busy a machine to write a file without pauses")
    log = routed.log()[since:]
    assert "from before go on" not in log
    assert re.findall(r"routes re-read from \S+: (\d+)", log) == ["13"]


def test_B10_a_touched_file_is_not_news(routed):
    os.utime(routed.routes_path)
    since = len(routed.log())
    routed.proc.send_signal(signal.SIGHUP)
    routed.wait_log("is as before", LONG, since)
    assert reads(routed) == 0


# ---- ways to notice ----


def test_B10_sighup_re_reads_and_answers(routed):
    routed.put("ssh-mux-routes.toml", text_of(routed.target, "t", "new"))
    routed.proc.send_signal(signal.SIGHUP)
    routed.wait_log("asked by a signal", LONG)
    wait_routes(routed, "t", "new")
    assert routed.alive()


def test_B10_sighup_in_direct_mode_reads_the_keys(make_mux, make_sshd, keys):
    """R6: there is no file to read, and still nothing dies of it."""
    mux = make_mux(direct=make_sshd())
    mux.put("ssh-mux-authorized-keys", keys.public(keys.make("other")))
    mux.proc.send_signal(signal.SIGHUP)
    mux.wait_log("authorised keys re-read", LONG)
    assert mux.alive() and not mux.status()["warnings"]
    assert mux.ssh("t", "true").returncode == 255


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
def test_B10_sighup_at_a_terminal(keys, cleanup, make_sshd, is_closed):
    """A request while the terminal is there; its end, when it was closed."""
    terminal = Terminal(lambda question: None)
    target = make_sshd()
    mux = TerminalMux(keys, routes=text_of(target, "t"), known_hosts=target.known_hosts(),
                      terminal=terminal)  # fmt: skip
    cleanup(mux)
    os.close(terminal.slave)
    if is_closed:
        os.close(terminal.master)
        assert mux.proc.wait(LONG) == 0
        mux.wait_log("terminal was closed")
    else:
        mux.proc.send_signal(signal.SIGHUP)
        mux.wait_log("asked by a signal", LONG)
        mux.check_works()


def test_B10_a_directory_that_is_replaced_is_watched_anew(make_mux, make_sshd):
    """The old directory's watch tells nothing of the new one: the look every few seconds does."""
    target = make_sshd()
    mux = make_mux(target, start=False)
    place = mux.dir / "place"
    place.mkdir(mode=0o700)
    (place / "r.toml").write_text(text_of(target, "t"))
    (place / "r.toml").chmod(0o600)
    mux.args[mux.args.index("--config") + 1] = str(place / "r.toml")
    mux.start()
    place.rename(mux.dir / "old")
    place.mkdir(mode=0o700)
    (place / "r.toml").write_text(text_of(target, "t", "second"))
    (place / "r.toml").chmod(0o600)
    wait_routes(mux, "t", "second")
    (place / "r.toml").write_text(text_of(target, "t", "third"))
    wait_routes(mux, "t", "third")
    assert not warnings_of(mux)


def test_B10_routes_that_come_later_are_taken(make_mux, make_sshd):
    """The daemon may start without a routes file; that is no reason to warn."""
    target = make_sshd()
    mux = make_mux(target, start=False)
    mux.routes_path.unlink()
    mux.args = ["daemon", "--foreground", "-p", str(mux.port), "--log-level", "debug"]
    mux.start()
    assert names_of(mux) == [] and not warnings_of(mux)
    mux.put("ssh-mux-routes.toml", "[routes.t]\nhost = 'a b'\n")
    wait_warning(mux, ":2:1: ")
    mux.routes_path.unlink()
    wait_no_warning(mux)
    mux.put("ssh-mux-routes.toml", text_of(target, "t"))
    wait_routes(mux, "t")
    mux.check_works()
    mux.routes_path.unlink()
    wait_warning(mux, "is missing")
    mux.check_works()


def test_B10_a_thousand_edits_leave_nothing_behind(routed):
    """Tables that nothing uses any more are freed, and the daemon outlives every moment of it."""
    routed.check_works()
    before = routed.fds()
    for n in range(1000):
        routed.routes_path.write_text(text_of(routed.target, "t", f"r{n}") if n % 7 else "[")
        if n % 100 == 0:
            routed.proc.send_signal(signal.SIGHUP)
            routed.check_works()
    routed.routes_path.write_text(text_of(routed.target, "t", "last"))
    wait_routes(routed, "t", "last")
    wait_no_warning(routed)
    assert routed.fds() <= before + 2
    assert routed.target.logins() == 1


# ---- keys ----


def test_L5_a_key_revoked_while_a_client_is_at_the_door(routed, keys, cleanup):
    """L5: it is read for each attempt; having connected before the revocation is of no use."""
    key = paramiko.Ed25519Key.from_private_key_file(str(routed.local_key))
    other = paramiko.Ed25519Key.from_private_key_file(str(keys.make("other")))
    first, second = (cleanup(Client(routed.port, auth=False)) for _ in range(2))
    routed.put("ssh-mux-authorized-keys", keys.public(keys.make("other")))
    with pytest.raises(paramiko.AuthenticationException):
        first.transport.auth_publickey("t", key)
    second.transport.auth_publickey("t", other)
    assert second.transport.is_authenticated()


def test_L5_every_edit_counts_also_two_in_a_moment(routed, keys):
    """The same size and the same time as before: the second is seen all the same."""
    local, other = (keys.public(keys.make(n)) for n in ("local", "other"))
    size = max(len(local), len(other))
    for _ in range(10):
        path = routed.put("ssh-mux-authorized-keys", local.rstrip("\n").ljust(size) + "\n")
        os.utime(path, (1e9, 1e9))
        assert routed.ssh("t", "true").returncode == 0
        path.write_text(other.rstrip("\n").ljust(size) + "\n")
        os.utime(path, (1e9, 1e9))
        assert routed.ssh("t", "true").returncode == 255


def test_L5_an_unsafe_key_file_lets_nobody_in(routed):
    """Permissions alone, without a change of content, are a change."""
    routed.check_works()
    path = routed.ssh_dir / "ssh-mux-authorized-keys"
    path.chmod(0o620)
    assert routed.ssh("t", "true").returncode == 255
    assert any("chmod go-w" in w for w in routed.status()["warnings"])
    path.chmod(0o600)
    routed.check_works()
    assert not routed.status()["warnings"]
