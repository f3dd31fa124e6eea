# SPDX-License-Identifier: MIT
"""W1, W7: every door takes a person to the account that he asked for, or says why not; and what ssh
does by the state of its connection (BatchMode, -f, ConnectTimeout, exit codes) means through `proxy`
what it means without us. Where plain ssh has an answer, it is asked in the same test.
"""
import hashlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import types

import pytest

import otp_sshd
from peers import SSH, USER, Sshd, free_port, hop, poll, routes_toml, short_dir
from pyssh import Client
from serve_terminal import Terminal
from test_connect import run as connect

needs_otp = pytest.mark.skipif(otp_sshd.missing() is not None, reason=str(otp_sshd.missing()))
needs_wrapper = pytest.mark.skipif(otp_sshd.library("libnss_wrapper.so") is None,
                                   reason="libnss_wrapper is not installed")
OPEN_FAILURE = 92
WHO = 'echo "$LOGNAME at $SSH_CONNECTION"'


class TwoAccounts(Sshd):
    """A sshd with accounts besides our own: other names of the same user id, so that it needs no
    root. LOGNAME is who one is."""

    NAMES = ("deploy", "root2", "a+b", "git")

    def __init__(self, keys, name="accounts", **options):
        self.passwd = pathlib.Path(short_dir("passwd"))
        me = pwd.getpwuid(os.getuid())
        lines = pathlib.Path("/etc/passwd").read_text()
        for account in self.NAMES:
            lines += f"{account}:x:{me.pw_uid}:{me.pw_gid}::/tmp:/bin/sh\n"
        (self.passwd / "passwd").write_text(lines)
        shutil.copy("/etc/group", self.passwd / "group")
        super().__init__(keys, name, env=dict(
            os.environ, LD_PRELOAD="libnss_wrapper.so", NSS_WRAPPER_PASSWD=f"{self.passwd}/passwd",
            NSS_WRAPPER_GROUP=f"{self.passwd}/group", NSS_WRAPPER_DISABLE_DEEPBIND="1"), **options)

    def stop(self):
        super().stop()
        shutil.rmtree(self.passwd, ignore_errors=True)


def to(server, user, **more):
    return {**hop(server), "user": user, **more}


def proxy_block(mux, port, user, command):
    """As setup-config writes it, for a route `web`."""
    local = mux.config_path.read_text().split(f"  Port {mux.port}\n")[1]
    return (f"Host web\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n"
            f"  ProxyCommand {command}\n" + local)


class Asked:
    """A route `web` to account deploy behind a bastion, and the ssh configuration of `proxy`."""

    def __init__(self, mux, target, bastion, tmp_path, keys):
        self.mux, self.target, self.bastion, self.keys = mux, target, bastion, keys
        self.config = tmp_path / "proxy_config"
        self.write_config(f"{mux.binary} proxy web '%r' %h %p")

    def write_config(self, command, user="deploy"):
        self.config.write_text(proxy_block(self.mux, self.target.port, user, command))

    def proxy(self, *args, **kwargs):
        """ssh by its ProxyCommand: args are those of ssh."""
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([SSH, "-F", str(self.config), *args], capture_output=True, timeout=60,
                              env=kwargs.pop("env", self.mux.env), **kwargs)

    def tcp(self, user, *args, **kwargs):
        return self.mux.ssh(user, *args, **kwargs)


@pytest.fixture
def asked(keys, cleanup, make_sshd, make_mux, tmp_path):
    target = cleanup(TwoAccounts(keys))
    bastion = make_sshd("bastion")
    mux = make_mux(routes=routes_toml({"web": to(target, "deploy"), "own": hop(target)},
                                      jump=hop(bastion)),
                   known_hosts=bastion.known_hosts() + target.known_hosts())
    return Asked(mux, target, bastion, tmp_path, keys)


def who(done):
    """The account that answered, or the whole result."""
    return done.stdout.split()[0].decode() if done.returncode == 0 and done.stdout else done


def said(done):
    return done.stderr.decode(errors="replace")


# ---- W1: the port --------------------------------------------------------------------------------

@needs_wrapper
def test_W1_tcp_user_and_route(asked):
    """The route's way, the asked account, and a pooled login each."""
    assert who(asked.tcp("web", WHO)) == "deploy"
    assert who(asked.tcp("root2+web", WHO)) == "root2"
    assert who(asked.tcp("root2+web", WHO)) == "root2"
    assert who(asked.tcp("a+b+web", WHO)) == "a+b"  # the last one is ours
    # Its own name is the route itself.
    assert who(asked.tcp("deploy+web", WHO)) == "deploy"
    # And what is the same account by another route is the same login.
    assert who(asked.tcp(f"{USER}+web", WHO)) == USER
    assert who(asked.tcp("own", WHO)) == USER
    assert (asked.bastion.logins(), asked.target.logins()) == (1, 4)
    names = {c["key"].split("@")[0] for c in asked.mux.status()["connections"]
             if f":{asked.target.port}" in c["key"].split(" via ")[0]}
    assert names == {"deploy", "root2", "a+b", USER}


@needs_wrapper
@pytest.mark.parametrize("name, words", [
    ("git", ["there is no route \"git\"", "git+ROUTE"]),
    ("root2+nowhere", ["there is no route \"nowhere\""]),
    ("+web", ["there is no route \"+web\""]),
    ("web+", ["there is no route \"web+\""]),
    ("-x+web", ["must not start with '-'"]),
    ("$(id)+web", ["shell metacharacters"]),
    ("a\\+web", ["must not end with"]),
    ("a\x1b[2J+web", ["control characters"]),
])
def test_W1_tcp_refusal_names_the_spelling(asked, name, words):
    """No spelling leads to another account, and the answer says what to write."""
    # By a client that sends everything.
    client = Client(asked.mux.port, asked.mux.local_key, user=name)
    client.open(0)
    failure = client.wait(OPEN_FAILURE, 0)
    failure.get_int()
    text = failure.get_text()
    assert all(w in text for w in words) and "\x1b" not in text, text
    assert asked.target.logins() == 0
    client.stop()


@needs_wrapper
def test_W1_policy_is_the_routes(keys, cleanup, make_mux):
    """What may be forwarded on the route may be forwarded there as another user, and no more."""
    target = cleanup(TwoAccounts(keys))
    mux = make_mux(routes=routes_toml({
        "open": to(target, "deploy", allow_remote_loopback_any_port=True),
        "shut": to(target, "deploy")}), known_hosts=target.known_hosts())
    for route, banner in (("open", True), ("shut", False)):
        done = mux.ssh(f"root2+{route}", options=["-W", f"127.0.0.1:{target.port}"], input=b"")
        assert (b"SSH-2.0" in done.stdout) == banner, done


@needs_wrapper
def test_W1_keys_and_jump_hosts_are_the_routes(keys, cleanup, make_sshd, make_mux):
    """Nobody else's key is offered to the asked account."""
    target = cleanup(TwoAccounts(keys, accept=[keys.make("of_route")]))
    mux = make_mux(routes=routes_toml({
        "keyed": to(target, "deploy", identity=[str(keys.make("of_route"))], identities_only=True),
        "other": to(target, "deploy")}), known_hosts=target.known_hosts())
    assert who(mux.ssh("root2+keyed", WHO)) == "root2"
    done = mux.ssh("root2+other", WHO)
    assert done.returncode == 255 and "permission denied" in said(done), done


# ---- W1: proxy -----------------------------------------------------------------------------------

def plain_ssh(asked, *args):
    """Plain ssh with the same words: to the target, by the bastion."""
    config = asked.config.parent / "plain_config"
    key = asked.keys.make("remote")
    known = asked.config.parent / "plain_known"
    known.write_text(asked.bastion.known_hosts() + asked.target.known_hosts())
    config.write_text(
        f"Host web\n  HostName 127.0.0.1\n  Port {asked.target.port}\n  User deploy\n"
        f"  ProxyJump {USER}@127.0.0.1:{asked.bastion.port}\n"
        f"Host *\n  IdentityFile {key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
        "  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  BatchMode yes\n")
    return subprocess.run([SSH, "-F", str(config), *args], capture_output=True, timeout=60,
                          stdin=subprocess.DEVNULL)


@needs_wrapper
@pytest.mark.parametrize("args", [["web"], ["root2@web"], ["-l", "root2", "web"],
                                  ["-oUser=root2", "web"], ["ssh://root2@web"]])
def test_W1_proxy_is_who_ssh_asks_for(asked, args):
    plain, ours = plain_ssh(asked, *args, WHO), asked.proxy(*args, WHO)
    assert who(plain) == ("deploy" if args == ["web"] else "root2")
    assert who(ours) == who(plain), ours


@needs_wrapper
def test_W1_proxy_port_and_host(asked, make_sshd):
    """Another port is another server there; another host is refused, with words."""
    other = make_sshd("other")
    asked.mux.known_hosts_path.write_text(
        asked.mux.known_hosts_path.read_text() + other.known_hosts())
    done = asked.proxy("-p", str(other.port), f"{USER}@web", WHO)
    assert done.returncode == 0 and done.stdout.split()[-1] == str(other.port).encode(), done
    closed = free_port()
    plain, ours = plain_ssh(asked, "-p", str(closed), "web"), asked.proxy("-p", str(closed), "web")
    assert (plain.returncode, ours.returncode) == (255, 255) and ours.stdout == b""
    done = asked.proxy("-oHostName=elsewhere.example", "web", WHO)
    assert done.returncode == 255 and done.stdout == b""
    assert "elsewhere.example" in said(done) and "leads to host" in said(done)


@needs_wrapper
def test_W1_proxy_unknown_account_is_refused_as_without_us(asked):
    plain, ours = (f("nosuchuser@web", WHO) for f in (lambda *a: plain_ssh(asked, *a), asked.proxy))
    assert (plain.returncode, ours.returncode) == (255, 255) and ours.stdout == b""
    assert "denied" in said(plain) and "nosuchuser@127.0.0.1" in said(ours), said(ours)


@needs_wrapper
def test_W1_proxy_whose_words_do_not_say_the_user(asked):
    """An older configuration passes nothing on: its own user works, another one is refused."""
    asked.write_config(f"{asked.mux.binary} proxy web", user="web")
    assert who(asked.proxy("web", WHO)) == "deploy"
    assert who(asked.proxy("deploy@web", WHO)) == "deploy"
    done = asked.proxy("root2@web", WHO)
    assert done.returncode == 255 and done.stdout == b"", done
    assert "ssh asks for user \"root2\"" in said(done) and "setup-config" in said(done)
    # Nor does the name inside choose anything: neither a route nor an account.
    for name in ("own", "root2+web", f"{USER}+web", f"{USER}+own"):
        done = asked.proxy("-l", name, "web", WHO)
        assert done.returncode == 255 and done.stdout == b"", (name, done)
    # With the words it is the same: ssh must ask for what they say.
    asked.write_config(f"{asked.mux.binary} proxy web root2")
    done = asked.proxy("deploy@web", WHO)
    assert done.returncode == 255 and done.stdout == b"", done
    assert who(asked.proxy("root2@web", WHO)) == "root2"


@needs_wrapper
def test_W1_proxy_words_are_checked(asked):
    for words in (["web", "-x"], ["web", "a;b"], ["web", "u", "h", "x"], ["web", "u", "h", "0"],
                  ["web", "u", "a b"], ["web", "u", "h", "1", "more"], ["-x"]):
        done = subprocess.run([asked.mux.binary, "proxy", *words], capture_output=True, timeout=30,
                              env=asked.mux.env, stdin=subprocess.PIPE)
        assert done.returncode == 64, (words, done)


@needs_wrapper
def test_W1_proxy_of_an_older_daemon(asked, tmp_path):
    """One that ignores the words would go to the route's own account: it is not talked to."""
    name = hashlib.sha256(str(asked.mux.ssh_dir).encode()).hexdigest()[:16]
    run_dir = pathlib.Path(short_dir("old"))
    (run_dir / "ssh-mux").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(run_dir / "ssh-mux" / f"control-{name}.sock"))
        door.listen(8)

        def serve():
            for _ in range(2):
                with door.accept()[0] as client, client.makefile("rw") as lines:
                    lines.write('{"ssh_mux":"hello","version":1,"program":"0.0.9"}\n')
                    lines.flush()
                    lines.readline()
                    request = json.loads(lines.readline())
                    asked_of.append(request)
                    answer = {"id": request["id"], "ok": True, "upgrade": "frames"}
                    lines.write(json.dumps(answer) + "\n")
                    lines.flush()

        asked_of = []
        threading.Thread(target=serve, daemon=True).start()
        env = dict(asked.mux.env, XDG_RUNTIME_DIR=str(run_dir))
        done = asked.proxy("root2@web", WHO, env=env)
    shutil.rmtree(run_dir)
    assert asked_of[0]["user"] == "root2"
    assert done.returncode == 255 and "too old" in said(done), said(done)


# ---- W1: connect ---------------------------------------------------------------------------------

@needs_wrapper
def test_W1_connect_user_at_route(asked, make_sshd):
    assert who(connect(asked.mux, "web", WHO)) == "deploy"
    assert who(connect(asked.mux, "root2@web", WHO)) == "root2"
    # It went the route's way, and the port's clients find the login.
    assert who(asked.tcp("root2+web", WHO)) == "root2"
    assert (asked.bastion.logins(), asked.target.logins()) == (1, 2)
    other = make_sshd("other")
    asked.mux.known_hosts_path.write_text(
        asked.mux.known_hosts_path.read_text() + other.known_hosts())
    done = connect(asked.mux, f"{USER}@web:{other.port}", WHO)
    assert done.stdout.split()[-1:] == [str(other.port).encode()], done
    assert asked.bastion.logins() == 1


# ---- status, lock, reload, limits ----------------------------------------------------------------

@needs_wrapper
def test_W1_entries_of_other_users_in_status_and_under_lock(asked):
    with asked.mux.start_ssh("root2+web", "cat") as client:
        poll(lambda: any(c["route"] == "root2@web" and c["state"] == "open"
                         for c in asked.mux.status()["channels"]), 30, "the channel")
        assert "root2@127.0.0.1" in asked.mux.control("status").stdout
        asked.mux.control("lock")
        for done in (asked.tcp("root2+web", "true"), asked.proxy("root2@web", "true"),
                     asked.tcp("git+web", "true")):
            assert done.returncode == 255 and "locked" in said(done), done
        asked.mux.control("unlock")
        assert who(asked.proxy("root2@web", WHO)) == "root2"
        client.stdin.close()
        assert client.wait(30) == 0


@needs_wrapper
def test_W1_reload_keeps_what_the_route_still_means(asked):
    """B10: a login of another user lives as long as its route leads there, and no longer."""
    mux = asked.mux
    assert who(asked.tcp("root2+web", WHO)) == "root2"
    text = mux.routes_path.read_text()

    def there():
        return [c for c in mux.status()["connections"] if c["key"].startswith("root2@")]

    def reloaded(new, mark):
        mux.routes_path.write_text(new + routes_toml({mark: to(asked.target, "git")}))
        poll(lambda: mark in {r["name"] for r in mux.status()["routes"]}, 30, "the new routes")
        # Each second the pool is gone through, and what leads nowhere any more goes.
        until = mux.status()["uptime_s"] + 3
        poll(lambda: mux.status()["uptime_s"] >= until, 30, "three rounds")

    connection, = there()
    reloaded(text, "one")
    assert [c["id"] for c in there()] == [connection["id"]]
    assert who(asked.tcp("root2+web", WHO)) == "root2" and asked.target.logins() == 1
    reloaded(text.replace("[routes.web]", "[routes.webb]"), "two")
    done = asked.tcp("root2+web", WHO)
    assert done.returncode == 255 and "unknown route" in said(done), done
    # Nothing leads to it any more, so it goes.
    assert not there()
    assert who(asked.tcp("root2+webb", WHO)) == "root2" and asked.target.logins() == 2


@needs_wrapper
def test_W1_so_many_users_and_no_more(asked):
    """A client may ask for thousands; the server sees sixteen of a route at a time."""
    clients = []
    try:
        for name in ("root2", "git", "a+b"):
            assert who(asked.tcp(f"{name}+web", WHO)) == name
        silent = socket.create_server(("127.0.0.1", 0), backlog=64)
        port = silent.getsockname()[1]
        known = asked.mux.routes_path
        known.write_text(known.read_text() + routes_toml(
            {"slow": {"host": "127.0.0.1", "port": port, "user": "u", "direct": True}}))
        poll(lambda: "slow" in {r["name"] for r in asked.mux.status()["routes"]}, 30, "the route")
        clients = [asked.mux.start_ssh(f"u{i}+slow", "true", stdin=subprocess.DEVNULL)
                   for i in range(20)]
        poll(lambda: sum(c.poll() is not None for c in clients) >= 4, 60, "four are refused")
        texts = [c.stderr.read().decode() for c in clients if c.poll() is not None]
        assert len(texts) == 4 and all("too many users at once" in t for t in texts), texts
        # What is there goes on.
        assert who(asked.tcp("root2+web", WHO)) == "root2"
    finally:
        for client in clients:
            client.kill()
            client.communicate()


# ---- W7 ------------------------------------------------------------------------------------------

@pytest.fixture
def otp(keys, cleanup, make_mux):
    """A target that wants a code, a daemon with no terminal."""
    target = cleanup(otp_sshd.OtpSshd(keys, "target"))
    mux = make_mux(routes=routes_toml({"t": hop(target)}), known_hosts=target.known_hosts())
    mux.target = target
    return mux


def through_proxy(mux, *args, flags=()):
    """The command line of ssh as setup-config has it, without BatchMode."""
    words = f"{mux.binary} proxy {' '.join(flags)} t '%r' %h %p".replace("  ", " ")
    config = mux.config_path.with_name("w7_config")
    text = proxy_block(mux, mux.target.port, USER, words)
    config.write_text(text.replace("  BatchMode yes\n", "").replace("  ConnectTimeout 20\n", ""))
    return [SSH, "-F", str(config), *args]


def at_terminal(argv, env, answer, timeout=60):
    """Its exit code, and what was shown. As in a terminal a shell is the session's leader: its
    end is the terminal's."""
    person = Terminal(answer)
    shell = subprocess.Popen(["sh", "-c", '"$@"; echo "it was $?."; exec cat', "sh", *argv],
                             env=env, stdin=person.slave, stdout=person.slave, stderr=person.slave,
                             start_new_session=True, preexec_fn=person.controlling)
    try:
        code = poll(lambda: re.search(rb"it was (\d+)\.", person.seen), timeout, "its end")
    except AssertionError as e:
        raise AssertionError(person.seen) from e
    finally:
        person.closes = shell.kill
    return int(code[1]), person


@needs_otp
@pytest.mark.parametrize("how", [["-f"], ["-f", "-n"], ["-N", "-f"]])
def test_W7_background_comes_after_the_login(otp, tmp_path, how):
    """The code is asked for before ssh leaves the terminal, and its command runs."""
    ran = tmp_path / "ran"
    no_command = "-N" in how
    argv = through_proxy(otp, *how, "web", *([] if no_command else [f"echo ran >{ran}"]))
    code, person = at_terminal(argv, otp.env, lambda question: otp.target.code() + "\r")
    assert code == 0 and person.typed == 1, person.seen
    assert otp.target.used() == 1
    if not no_command:
        assert poll(lambda: ran.exists() and ran.read_text(), 30, "the command") == "ran\n"
        return
    # It stays, also when the terminal is closed.
    client, = otp.status()["clients"]
    person.closes()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert [c["pid"] for c in otp.status()["clients"]] == [client["pid"]]
    os.kill(client["pid"], signal.SIGTERM)
    poll(lambda: not otp.status()["clients"], 30, "its end")


@needs_otp
@pytest.mark.parametrize("how", [["-f"], ["-N", "-f"], []])
def test_W7_a_login_that_fails_is_a_failure(otp, tmp_path, how):
    """Never 0 with nothing run; plain ssh with the same words fails as well."""
    ran = tmp_path / "ran"
    command = [] if "-N" in how else [f"echo ran >{ran}"]
    plain = subprocess.run(
        [SSH, "-F", "/dev/null", f"-oIdentityFile={otp.keys.make('remote')}", "-oIdentitiesOnly=yes",
         f"-oUserKnownHostsFile={otp.known_hosts_path}", "-p", str(otp.target.port), *how,
         f"{USER}@127.0.0.1", *command], capture_output=True, timeout=60, start_new_session=True,
        stdin=subprocess.DEVNULL, env=dict(otp.env, SSH_ASKPASS="/bin/false"))
    ours = subprocess.run(through_proxy(otp, *how, "web", *command), capture_output=True,
                          timeout=60, env=otp.env, start_new_session=True,
                          stdin=subprocess.DEVNULL)
    assert (plain.returncode, ours.returncode) == (255, 255), (plain, ours)
    assert "ermission denied" in said(plain) and "ermission denied" in said(ours), said(ours)
    assert "ssh-mux connect" in said(ours)
    assert not ran.exists()


@needs_otp
@pytest.mark.parametrize("batch", ["-oBatchMode=yes", "flag"])
def test_W7_batch_mode_asks_nothing(otp, batch):
    """Neither at the terminal that is there nor by the askpass of the environment."""
    argv = through_proxy(otp, *([] if batch == "flag" else [batch]), "web", "true",
                         flags=["--batch"] if batch == "flag" else [])
    code, person = at_terminal(argv, dict(otp.env, SSH_ASKPASS="/bin/echo"),
                               lambda question: otp.target.code() + "\r")
    assert code == 255 and person.typed == 0 and b"One-time" not in person.seen, person.seen
    assert otp.target.used() == 0
    # Who can be asked is, at once, and then nobody has to be.
    code, person = at_terminal(through_proxy(otp, "web", "true"), otp.env,
                               lambda question: otp.target.code() + "\r")
    assert code == 0 and person.typed == 1, person.seen
    code, person = at_terminal(argv, otp.env, lambda question: None)
    assert code == 0, person.seen


def test_W7_connect_timeout_counts_until_the_remote_answers(make_mux):
    """A server that accepts and says nothing. Plain ssh and ssh through us give up alike."""
    silent = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = silent.getsockname()[1]
    mux = make_mux(routes=routes_toml({"t": {"host": "127.0.0.1", "port": port, "user": USER}}))

    mux.target = types.SimpleNamespace(port=port)
    took = {}
    for name, argv in (("plain", [SSH, "-F", "/dev/null", "-p", str(port),
                                  "-oConnectTimeout=2", "-oBatchMode=yes", "127.0.0.1", "true"]),
                       ("ours", through_proxy(mux, "-oConnectTimeout=2", "web", "true"))):
        began = time.monotonic()
        done = subprocess.run(argv, capture_output=True, timeout=60, env=mux.env,
                              stdin=subprocess.DEVNULL)
        took[name] = time.monotonic() - began
        assert done.returncode == 255 and "timed out" in said(done), (name, done)
    assert 2 <= took["ours"] < took["plain"] + 5, took
    silent.close()


def test_W7_exit_codes_are_the_commands_or_255(make_mux, make_sshd):
    target = make_sshd()
    mux = make_mux(target=target)
    mux.target = target
    for command, code in (("exit 7", 7), ("exit 0", 0), ("exit 254", 254), ("kill -9 $$", 255)):
        done = subprocess.run(through_proxy(mux, "web", command), capture_output=True, timeout=60,
                              env=mux.env, stdin=subprocess.DEVNULL)
        assert done.returncode == code, (command, done)
    target.kill()
    mux.kill()
    mux.start()
    done = subprocess.run(through_proxy(mux, "web", "true"), capture_output=True, timeout=60,
                          env=mux.env, stdin=subprocess.DEVNULL)
    assert done.returncode == 255 and re.search("refused", said(done)), done
