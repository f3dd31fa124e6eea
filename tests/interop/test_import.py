# SPDX-License-Identifier: MIT
"""C3, C4, R3: routes from a client configuration, compared with what the real ssh makes of it."""
import contextlib
import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
import tomllib

import pytest

import hostile
from big_config import write_big_config
from peers import BINARY, SSH, USER, pgrep, poll

SSH_PATH = shutil.which(SSH)


class Place:
    """A home with a .ssh of its own, where import-config runs."""

    def __init__(self, directory):
        self.home = directory / "home"
        self.ssh = self.home / ".ssh"
        self.run_dir = directory / "run"
        for d in (self.home, self.ssh, self.run_dir):
            d.mkdir(mode=0o700)
        self.config = self.ssh / "config"
        self.routes = self.ssh / "ssh-mux-routes.toml"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("SSH_", "LC_"))}
        self.env.update(
            HOME=str(self.home),  # where ssh looks for the relative files of Include
            SSH_MUX_SSH_DIR=str(self.ssh),
            XDG_RUNTIME_DIR=str(self.run_dir),
            ASAN_OPTIONS="detect_leaks=1:exitcode=99",
        )

    def put(self, text, name="config", mode=0o600):
        path = self.ssh / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(mode)
        return path

    def argv(self, *args):
        return [BINARY, "import-config", *map(str, args)]

    def call(self, *args, code=0, env=None):
        done = subprocess.run(
            self.argv(*args),
            env=dict(self.env, **(env or {})),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=110,
        )
        assert done.returncode == code, done
        assert "Sanitizer" not in done.stderr, done.stderr
        assert not self.leftovers()
        return done

    def leftovers(self):
        """Private copies that are still there."""
        return list(self.run_dir.rglob("import-*"))

    def toml(self, *args, **kwargs):
        return tomllib.loads(self.call(*args, **kwargs).stdout)

    def resolve(self, *args):
        """What ssh -G says of a host, lists for what may be there more than once."""
        done = subprocess.run(
            [SSH_PATH, "-F", str(self.config), "-T", "-G", *args],
            env=self.env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
        )
        assert done.returncode == 0, done
        answer = {}
        for line in done.stdout.splitlines():
            key, _, value = line.partition(" ")
            answer.setdefault(key.lower(), []).append(value)
        return answer

    def ssh_hops(self, spec):
        """The way ssh goes to a host, as (host, port, user) with the target last."""
        user, at, host = spec.rpartition("@")
        match = re.fullmatch(r"\[(.*)\](?::(\d+))?|([^:]*)(?::(\d+))?", host)
        args = ["-l", user] if at else []
        port = match[2] or match[4]
        args += ["-p", port] if port else []
        a = self.resolve(*args, "--", match[1] or match[3])
        hops = []
        jumps = [j for j in a.get("proxyjump", [""])[0].split(",") if j]
        for i, jump in enumerate(jumps):
            way = self.ssh_hops(jump)
            hops += way if i == 0 else way[-1:]
        return hops + [(a["hostname"][0], int(a["port"][0]), a["user"][0])]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def hops(toml, name):
    """The way of a route as the routes file means it."""
    route = toml["routes"][name]
    if route.get("direct"):
        way = []
    elif "jump" not in route:
        way = [toml["jump"]] if "jump" in toml else []
        way = [(j["host"], j["port"], j["user"]) for j in way]
    else:
        jump = route["jump"]
        jump = [jump] if isinstance(jump, str) else jump
        way = hops(toml, jump[0])
        way += [hops(toml, j)[-1] for j in jump[1:]]
    return way + [(route["host"], route["port"], route["user"])]


def left_out(done):
    """alias -> (place, reason) of the list on stderr."""
    _, _, text = done.stderr.partition("left out;")
    rows = re.findall(r"^  (\S.*?)  +(\S+:\d+:\d+)  +(.*)$", text, re.M)
    return {name: (where, why) for name, where, why in rows}


# ---- all of it ----------------------------------------------------------------------------------


def test_C3_C4_R3_120_hosts_are_what_ssh_says(place):
    """C3, C4, R3, B1: each route of a realistic configuration is what ssh -G makes of its alias,
    jump hosts and all; the others are named with their place and the reason."""
    info = write_big_config(place.ssh, [("127.0.0.1", 2201), ("127.0.0.1", 2202)])
    before = info.bytes()
    done = place.call()
    toml = tomllib.loads(done.stdout)
    made_up = [n for n in toml["routes"] if n not in info.aliases]
    assert all(n.startswith("jump-") for n in made_up), made_up
    assert sorted(set(toml["routes"]) - set(made_up)) == sorted(info.routes)
    names = re.findall(r'^\[routes\."?([^"\]]+)"?\]$', done.stdout, re.M)
    assert names == sorted(names) and len(names) == len(toml["routes"])
    for name in info.routes:
        assert hops(toml, name) == place.ssh_hops(name), name
        route, answer = toml["routes"][name], place.resolve("--", name)
        assert route.get("host_key_alias") == answer.get("hostkeyalias", [None])[0], name
        assert route.get("identities_only", False) == (answer["identitiesonly"] == ["yes"]), name
        assert ("direct" in route) == ("proxyjump" not in answer), name
    assert toml["routes"]["node07"]["identity"] == "~/.ssh/id_cluster_deploy"
    assert "identity" not in toml["routes"]["quoted"]
    assert toml["routes"]["abc-b"]["send_env"] == ["EDITOR", "MY_TOOL"]
    assert toml["jump"] == {"host": "127.0.0.1", "port": 2201, "user": USER}
    said = left_out(done)
    assert set(said) == set(info.left_out)
    reasons = {
        "proxycommand": "has a ProxyCommand",
        "jump": "its jump host i-0001: has a ProxyCommand",
        "name": "no route name: ",
        "host": "HostName ",
        "user": "User ",
    }
    for name, kind in info.left_out.items():
        where, why = said[name]
        file, line, column = re.fullmatch(r"(.*):(\d+):(\d+)", where).groups()
        text = (place.ssh / file).read_text().splitlines()[int(line) - 1]
        assert text[int(column) - 1 :].strip('"').startswith(name), (where, text)
        assert why.startswith(reasons[kind]), (name, why)
    for name in info.patterns:
        assert name not in toml["routes"]
    assert info.bytes() == before and not place.routes.exists()


def test_C3_C4_imported_routes_lead_there(place, make_sshd, make_mux):
    """C3, C4, B1: real logins by routes that were imported, through jump hosts of three kinds."""
    servers = [make_sshd("one"), make_sshd("two")]
    info = write_big_config(place.ssh, [("127.0.0.1", s.port) for s in servers])
    place.call("--write")
    mux = make_mux(
        routes=place.routes.read_text(), known_hosts="".join(s.known_hosts() for s in servers)
    )
    for name in ("quoted", "deep-real", "by-alias", "by-spec", "by-chain", "by-nested", "by-eu"):
        done = mux.ssh(name, "echo $SSH_CONNECTION")
        assert done.returncode == 0, (name, done, mux.log()[-2000:])
        assert int(done.stdout.split()[3]) == info.sample[name][1], name


# ---- writing ------------------------------------------------------------------------------------


def test_C3_write_and_force(place):
    """C3, C8: nothing is written without --write, nothing replaced without --force, and the second
    time nothing changes."""
    place.put("Host web\n  HostName 10.0.0.1\n")
    dry = place.call()
    assert not place.routes.exists() and "import-config --write" in dry.stderr
    done = place.call("--write")
    assert done.stdout == "" and f"wrote {place.routes}" in done.stderr
    assert place.routes.read_text() == dry.stdout
    assert place.routes.stat().st_mode & 0o777 == 0o600
    stamp = place.routes.stat().st_mtime_ns, place.routes.stat().st_ino
    refused = place.call("--write", code=73)
    assert re.fullmatch(
        r"ssh-mux: \S+ is there already; .*to replace it: --write --force\n", refused.stderr
    )
    assert "left as it is" in place.call("--write", "--force").stderr
    assert (place.routes.stat().st_mtime_ns, place.routes.stat().st_ino) == stamp
    place.routes.write_text("# mine\n")
    place.call("--write", code=73)
    assert place.routes.read_text() == "# mine\n"
    place.call("--write", "--force")
    assert place.routes.read_text() == dry.stdout
    out = place.home / "elsewhere.toml"
    place.call("--write", "--out", out)
    assert out.read_text() == dry.stdout
    usage = place.call("--force", code=64)
    assert "--write" in usage.stderr


def test_C3_the_source_is_never_written(place):
    """C3: not even where --out names it, by another path."""
    place.put("Host web\n  HostName 10.0.0.1\n")
    before = place.config.stat()
    (place.home / "hard").hardlink_to(place.config)
    for out in (place.config, place.home / "hard"):
        done = place.call("--write", "--force", "--out", out, code=64)
        assert "never written" in done.stderr
    assert place.config.read_text() == "Host web\n  HostName 10.0.0.1\n"
    assert place.config.stat().st_mtime_ns == before.st_mtime_ns


def test_C3_the_source_may_be_a_link_and_read_only(place):
    """C3: configurations that are links into somebody's dotfiles are read; the source is not
    touched."""
    real = place.home / "dotfiles"
    real.write_text("Host web\n  HostName 10.0.0.1\n")
    real.chmod(0o444)
    place.config.symlink_to(real)
    before = real.stat()
    assert list(place.toml()["routes"]) == ["web"]
    after = real.stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


# ---- our own Include ----------------------------------------------------------------------------

OWN = """Host {0}
  HostName 127.0.0.1
  Port 2222
  User {0}
  HostKeyAlias ssh-mux
  ProxyJump none
  ProxyCommand none
"""


@pytest.mark.parametrize(
    "how", ["bare", "absolute", "quoted", "equals", "glob", "several", "nested", "deep", "twice"]
)
def test_C3_reimport_as_if_our_include_were_absent(place, how):
    """C3: however our Include is written, and in whichever file, a second import gives the same
    bytes, and its complaints name the user's own files and lines."""
    info = write_big_config(place.ssh, [("127.0.0.1", 2201), ("127.0.0.1", 2202)])
    first = place.call().stdout
    own = place.ssh / "ssh-mux-hosts.conf"
    own.write_text("".join(OWN.format(n) for n in tomllib.loads(first)["routes"]))
    own.chmod(0o600)
    lines = {
        "bare": "Include ssh-mux-hosts.conf",
        "absolute": f"Include {own}",
        "quoted": f'include "{own}"',
        "equals": "INCLUDE=ssh-mux-hosts.conf",
        "glob": "Include ssh-mux-*",
        "several": f"Include missing.conf {own} ssh-mux-hosts.conf",
        "nested": "Include nested/own.conf",
        "deep": "Include nested/d1.conf",
        "twice": f"Include ssh-mux-hosts.conf\nInclude {own}",
    }
    place.put("Include ssh-mux-hosts.conf\n", "nested/own.conf")
    place.put("# first\nInclude ~/.ssh/nested/d2.conf\n", "nested/d1.conf")
    place.put("Include nested/own.conf\nHost never\n", "nested/d2.conf")
    text = place.config.read_text()
    place.put(lines[how] + "\n" + text)
    # ssh itself goes to the listener now.
    assert place.resolve("--", "quoted")["port"] == ["2222"]
    expected = first
    if how == "deep":
        expected = None  # there is one host more
    done = place.call()
    if expected:
        assert done.stdout == expected
    else:
        assert hops(tomllib.loads(done.stdout), "quoted") == [("127.0.0.1", 2201, USER)]
    assert "2222" not in re.sub(r"2001:db8.*\nport = 2222", "", done.stdout)
    assert set(left_out(done)) == set(info.left_out)


def test_C3_our_listener_is_never_a_route(place):
    """C3: what leads to our own listener by other roads than our Include is left out."""
    place.put(OWN.format("copied") + "Host web\n  HostName 10.0.0.1\n")
    done = place.call()
    assert list(tomllib.loads(done.stdout)["routes"]) == ["web"]
    assert left_out(done)["copied"] == ("config:1:6", "leads to ssh-mux itself")


def as_home(place, tmp_path):
    """The environment in which place.home is the account's own."""
    (tmp_path / "passwd").write_text(f"me:x:{os.getuid()}:{os.getgid()}::{place.home}:/bin/sh\n")
    (tmp_path / "group").write_text(f"me:x:{os.getgid()}:\n")
    env = dict(
        LD_PRELOAD="libnss_wrapper.so",
        NSS_WRAPPER_PASSWD=str(tmp_path / "passwd"),
        NSS_WRAPPER_GROUP=str(tmp_path / "group"),
        NSS_WRAPPER_DISABLE_DEEPBIND="1",
        ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0:exitcode=99",
    )
    found = subprocess.run(
        ["/bin/sh", "-c", "echo ~me"], env=dict(os.environ, **env), capture_output=True, text=True
    )
    if found.stdout.strip() != str(place.home):
        pytest.skip("no nss_wrapper here")
    del place.env["SSH_MUX_SSH_DIR"]
    return env


def test_C3_the_default_file_is_read_with_the_systems(place, tmp_path):
    """C3: -F would take the system-wide configuration away; what ssh is given instead of
    ~/.ssh/config leads to the very same answer, in every line of it."""
    env = as_home(place, tmp_path)
    text = "Host web\n  HostName 10.0.0.1\n  SendEnv EDITOR\n"
    place.put("Include ssh-mux-hosts.conf\n" + text)
    place.put(OWN.format("web"), "ssh-mux-hosts.conf")
    log = tmp_path / "log"
    log.mkdir()
    spy = tmp_path / "spy"
    spy.write_text(
        f'#!/bin/sh\nn={log}/$$\necho "$@" >$n.argv\n{SSH_PATH} "$@" | tee $n.out\n'
        f'[ "$1" = -F ] && [ "$2" != none ] && cat "$2" >{log}/copy\nexit 0\n'
    )
    spy.chmod(0o700)
    place.call("--ssh-bin", spy, env=env)
    copy = (log / "copy").read_text()
    assert copy.startswith("\n" + text) and "ssh-mux-hosts.conf" not in copy
    got = [f.with_suffix(".out") for f in log.glob("*.argv") if f.read_text().endswith("web\n")]
    assert len(got) == 1
    # What plain ssh says where our Include is really absent.
    place.put(text)
    plain = subprocess.run(
        [SSH_PATH, "-T", "-G", "web"],
        env=dict(place.env, **env),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert plain.stdout == got[0].read_text()
    assert ("hashknownhosts yes" in plain.stdout) == (
        "hashknownhosts yes" in subprocess.run(
            [SSH_PATH, "-T", "-G", "x"], env=place.env, capture_output=True, text=True
        ).stdout
    )
    # And without our Include, ssh reads by itself.
    (log / "copy").unlink()
    place.call("--ssh-bin", spy, env=env)
    assert not (log / "copy").exists()


def test_C3_copies_of_a_killed_import_go(place):
    """C3, C8: what an import that was killed could not remove, a later one does; not what one that
    runs now may be using."""
    place.put("Include ssh-mux-hosts.conf\nHost web\n  HostName 10.0.0.1\n")
    place.put(OWN.format("web"), "ssh-mux-hosts.conf")
    place.call()
    old, new = (place.run_dir / f"ssh-mux/import-{n}-0.conf" for n in ("0old", "0new"))
    for path in (old, new):
        path.write_text("")
        path.chmod(0o600)
    os.utime(old, (time.time() - 7200,) * 2)
    subprocess.run(place.argv(), env=place.env, capture_output=True, check=True)
    assert place.leftovers() == [new]


# ---- words --------------------------------------------------------------------------------------

# A line, and the aliases that ssh takes from it.
WORDS = [
    ("Host a", ["a"]),
    ("host\ta b", ["a", "b"]),
    ("HOST=a", ["a"]),
    ("Host = a", ["a"]),
    ("Host =a", ["a"]),
    ('"Host" a', ["a"]),
    ('Host "a" \'b\' c"d"e', ["a", "b", "cde"]),
    ("Host a # b", ["a"]),
    ("   Host   a   ", ["a"]),
    ("Host a\r", ["a"]),
    ("Host a\f", ["a"]),
    ("Host a !b c*", ["a"]),
]


@pytest.mark.parametrize("line,names", WORDS, ids=[repr(l) for l, _ in WORDS])
def test_C3_words_are_what_ssh_makes_of_them(place, line, names):
    """C3: a line names for us what it names for ssh."""
    place.put(f"{line}\n  Port 4711\nHost *\n  HostName 10.0.0.1\n")
    toml = place.toml()
    assert sorted(toml["routes"]) == sorted(names)
    for name in names:
        assert place.resolve("--", name)["port"] == ["4711"]
        assert toml["routes"][name]["port"] == 4711


def test_C3_include_forms(place):
    """C3: several patterns, ~, nested ones, circles, what is no file, and blocks around them."""
    place.put(
        "Include missing a.conf d/*.conf ~/.ssh/b.conf d\nHost outer\n  Include in.conf\n"
        "Match host nothing\n  Include in-match.conf\nHost last\n"
    )
    place.put("Host a\n", "a.conf")
    place.put("Host b\n  Include b2.conf\n", "b.conf")
    place.put("Host b2\n", "b2.conf")
    place.put("Host d1\n", "d/1.conf")
    place.put("Host d2 \n", "d/2.conf")
    place.put("Host inner\n", "in.conf")
    place.put("Host in-match\n", "in-match.conf")
    expected = {"a", "b", "b2", "d1", "d2", "outer", "inner", "in-match", "last"}
    assert set(place.toml()["routes"]) == expected
    place.put("Include %d/x ${HOME}/y\nHost z\n")
    assert place.call().stderr.count("not looked into: Include") == 2
    # A circle ends as ssh ends it, and one that fans out ends too.
    place.put("Host x\nInclude config config\n")
    done = place.call(code=78)
    assert "Too many recursive" in done.stderr and "not looked into" in done.stderr


# ---- what must not get in -----------------------------------------------------------------------


def test_R3_C3_hostile_names_never_reach_ssh(place, tmp_path):
    """R3, C3: no alias that is no name for a route becomes an argument of ssh; each is listed with
    its place."""
    log = tmp_path / "argv"
    spy = tmp_path / "spy"
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{log}\nexec {SSH_PATH} "$@"\n')
    spy.chmod(0o700)
    names = [n for n in hostile.NAMES if hostile.fits_line(n)]
    names = [n for n in names if not set("*?\r") & set(n) and not n.startswith("!")]
    lines = ['Host "%s"' % n.replace("\\", "\\\\").replace('"', '\\"') for n in names]
    place.put("\n".join(lines + ["Host good", "Host *", "  HostName 10.0.0.1", ""]))
    done = place.call("--ssh-bin", spy)
    assert list(tomllib.loads(done.stdout)["routes"]) == ["good"]
    said = log.read_text().split("\n")
    assert "good" in said and not [n for n in names if n in said and n not in ("--", "-F")]
    text = done.stderr.partition("left out;")[2]
    for i, name in enumerate(names):
        assert re.search(rf"  config:{i + 1}:6 .*no route name: m", text), name
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stderr)
    assert not (place.home / "pwned").exists()


@pytest.mark.parametrize("what", ["hostname", "user", "hostkeyalias", "proxyjump"])
def test_R3_C3_hostile_values_are_refused(place, tmp_path, what):
    """R3, C3: whatever ssh -G answers, no hostile value becomes part of a route; the line says
    which Host it is, and why."""
    values = hostile.USERS if what == "user" else hostile.HOSTS
    values = [v for v in values if "\n" not in v and not v.endswith("\r")]
    if what == "proxyjump":
        # Of these, lists and forms that are legitimate there.
        legitimate = {"[a]", "[::1]", "[a]:22", "user@host", "host:22", "ssh://a", "a,b", "%h", ""}
        values = [v for v in values if v not in legitimate]
    answers = tmp_path / "answers"
    answers.mkdir()
    base = {"hostname": "10.0.0.1", "user": "me", "port": "22"}
    for i, value in enumerate(values):
        answer = dict(base, **{what: value})
        (answers / f"h{i}").write_bytes("".join(f"{k} {v}\n" for k, v in answer.items()).encode())
    (answers / "ssh-mux").write_text("hostname ssh-mux\nuser me\nport 22\n")
    (answers / "good").write_text("hostname good\nuser me\nport 22\n")
    fake = tmp_path / "fake"
    fake.write_text(f'#!/bin/sh\nfor a; do :; done\ncat "{answers}/$a"\n')
    fake.chmod(0o700)
    names = [f"h{i}" for i in range(len(values))]
    place.put("".join(f"Host {n}\n" for n in names) + "Host good\n")
    done = place.call("--ssh-bin", fake)
    assert list(tomllib.loads(done.stdout)["routes"]) == ["good"]
    said = left_out(done)
    for i, name in enumerate(names):
        assert said[name][0] == f"config:{i + 1}:6", ascii(values[i])
        keyword = {"hostname": "HostName", "user": "User", "hostkeyalias": "HostKeyAlias"}
        assert said[name][1].startswith(keyword.get(what, "")), (ascii(values[i]), said[name])
    for text in (done.stderr, done.stdout):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u202e]", text)


# ---- when ssh does not answer -------------------------------------------------------------------


def test_C3_match_exec_runs_and_has_its_time(place):
    """C3: Match exec counts, as when ssh connects; one that does not end costs ten seconds and one
    host."""
    place.put(
        'Match originalhost slow exec "sleep 1000"\n  User x\n'
        'Match originalhost quick exec "true"\n  User from-exec\nHost quick slow\n'
    )
    start = time.monotonic()
    done = place.call()
    assert 9 < time.monotonic() - start < 60
    assert {n: r["user"] for n, r in tomllib.loads(done.stdout)["routes"].items()} == {
        "quick": "from-exec"
    }
    assert "took longer than 10 s" in left_out(done)["slow"][1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_C3_interrupted(place, number):
    """C3: an import that is interrupted ends at once, with what it started, and leaves nothing."""
    mark = f"9{os.getpid()}{int(number)}"
    # Waited for one after the other, four at once, these would take minutes.
    names = " ".join(f"h{i}" for i in range(80))
    place.put(f'Include ssh-mux-hosts.conf\nMatch exec "sleep {mark}"\n  User x\nHost {names}\n')
    place.put(OWN.format("a"), "ssh-mux-hosts.conf")
    with subprocess.Popen(
        place.argv("--write"), env=place.env, stderr=subprocess.PIPE, text=True
    ) as proc:
        poll(lambda: pgrep(f"^sleep {mark}"), 30, "ssh -G runs its Match exec")
        assert place.leftovers()
        proc.send_signal(number)
        assert proc.wait(60) == 128 + number
        assert proc.stderr.read() == "ssh-mux: interrupted; nothing was written\n"
    assert not place.leftovers() and not place.routes.exists()
    poll(lambda: not pgrep(f"^sleep {mark}"), 20, "what it started is gone")


@pytest.mark.parametrize("is_ours_there", [False, True])
def test_C3_one_mistake_is_told_once(place, is_ours_there):
    """C3: a configuration that ssh refuses: one line, which names the user's own file and line,
    also where ssh was given a copy."""
    place.put(OWN.format("a"), "ssh-mux-hosts.conf")
    own = "Include ssh-mux-hosts.conf" if is_ours_there else "# nothing"
    place.put(f"{own}\nHost a b c\n  HostName x\n  NoSuchOption yes\n")
    done = place.call("--write", code=78)
    assert done.stderr.count("\n") == 1 and not place.routes.exists()
    assert f"{place.config}: line 4: Bad configuration option: nosuchoption" in done.stderr


@pytest.mark.parametrize("is_ours_there", [False, True])
def test_C3_many_mistakes_are_told_as_the_first(place, is_ours_there):
    """C3: a configuration with so many mistakes that ssh says more than is kept of it: the first
    one is named all the same."""
    place.put(OWN.format("a"), "ssh-mux-hosts.conf")
    own = "Include ssh-mux-hosts.conf" if is_ours_there else "# nothing"
    for count in (45, 150):
        wrong = "".join(f"NoSuchOption{i} yes\n" for i in range(count))
        place.put(f"{own}\nHost a\n  HostName x\n{wrong}")
        done = place.call(code=78)
        assert f"{place.config}: line 4: Bad configuration option: nosuchoption0" in done.stderr


def test_C3_a_name_that_no_include_can_hold(place):
    """C3: where our own Include and a file with a quote in its name that can't be read come of one
    pattern, what is left for ssh is still a configuration."""
    place.put(OWN.format("a"), "d/ssh-mux-hosts.conf")
    (place.ssh / "d" / 'x"y.conf').symlink_to("nowhere")
    place.put("Include d/*.conf\nHost b\n  HostName x\n")
    assert list(place.toml()["routes"]) == ["b"]


def test_C3_one_host_that_ssh_refuses(place):
    """C3: a host that ssh can't resolve is left out, and the text does not depend on where."""
    text = "Host bad\n  ProxyJump bad\nHost good\n"
    place.put(text)
    done = place.call()
    assert list(tomllib.loads(done.stdout)["routes"]) == ["good"]
    assert "bad" in left_out(done)
    place.put("\n\n" + text)
    assert place.call().stdout == done.stdout


def test_C3_nothing_to_import(place):
    """C3: no configuration, an empty one, only patterns; a file or a program that is not there."""
    done = place.call("--write")
    assert "there is no" in done.stderr and tomllib.loads(place.routes.read_text()) == {}
    place.put("")
    assert place.toml() == {}
    place.put("Host *\n  User x\nMatch all\n  User y\n")
    done = place.call()
    assert tomllib.loads(done.stdout) == {} and "1 pattern" in done.stderr
    assert "there is no" in place.call("--from", place.home / "none", code=66).stderr
    assert "there is no program" in place.call("--ssh-bin", "/no/ssh", code=66).stderr
    assert "--ssh-bin" in place.call(env={"PATH": "/nowhere"}, code=66).stderr
    assert "cannot ask" in place.call("--ssh-bin", "/bin/false", code=69).stderr
    assert "cannot ask" in place.call("--ssh-bin", "/bin/echo", code=69).stderr


def test_C3_too_many_hosts_are_said(place):
    """C3, D1: more hosts than there may be routes end it, before any is asked about."""
    place.put("".join(f"Host h{i}\n" for i in range(4097)))
    done = place.call("--write", code=78)
    assert done.stderr.count("\n") == 1 and not place.routes.exists()
    assert "more than 4096 hosts" in done.stderr and "--from FILE" in done.stderr


def test_C3_nothing_replaces_no_routes(place):
    """C3, C8: without a configuration --force does not empty a routes file that is there."""
    place.put("# mine\n", "ssh-mux-routes.toml")
    done = place.call("--write", "--force", code=66)
    assert done.stderr.count("\n") == 1 and "is left as it is" in done.stderr
    assert place.routes.read_text() == "# mine\n"


def test_C3_from_another_file(place):
    """C3: --from, relative to where we are; its relative Includes are those of ~/.ssh, as ssh has
    them with -F."""
    other = place.home / "other"
    other.write_text("Host x\n  HostName 10.9.9.9\nInclude more.conf\n")
    place.put("Host y\n", "more.conf")
    done = subprocess.run(
        place.argv("--from", "./other"), cwd=place.home, env=place.env, capture_output=True
    )
    assert sorted(tomllib.loads(done.stdout.decode())["routes"]) == ["x", "y"], done


# ---- on a terminal ------------------------------------------------------------------------------


def test_C3_progress_on_a_terminal_only(place):
    """C3: the line that counts is there on a terminal, gone at the end, and never in a file."""
    write_big_config(place.ssh, [("127.0.0.1", 2201), ("127.0.0.1", 2202)])
    assert "asking ssh" not in place.call().stderr
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(
        place.argv(), env=place.env, stdin=slave, stdout=subprocess.DEVNULL, stderr=slave
    ) as proc:
        os.close(slave)
        text = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while piece := os.read(master, 4096):
                text += piece
        assert proc.wait(60) == 0
    os.close(master)
    shown = [l.split(b"\r")[-1] for l in text.split(b"\r\n")]
    assert re.search(rb"asking ssh: \d+ of 1\d\d  \S+", text)
    # Erased before anything else is said.
    assert shown[0].startswith(b"\x1b[K") and b"routes from" in shown[0], shown[0]
    assert not any(b"asking" in l for l in shown)
    assert max(len(p) for p in text.split(b"\r")[:-1] if b"asking" in p) < 80


# ---- what is no login ----------------------------------------------------------------------------


NEEDS = """
Host old
    HostName 192.0.2.1
    KexAlgorithms +diffie-hellman-group14-sha1
    HostKeyAlgorithms +ssh-rsa
    Ciphers +aes128-cbc
Host dev
    HostName 192.0.2.2
    ForwardAgent yes
    RemoteForward 23229 127.0.0.1:23225
    LocalForward 8080 [::1]:80
    LocalForward 8081 db.internal:5432
    LocalForward 8082 /run/x.sock
Host card
    HostName 192.0.2.3
    PKCS11Provider /usr/lib/opensc-pkcs11.so
    DynamicForward 1080
    BindAddress 192.0.2.9
Host gate
    HostName 192.0.2.4
Host alone
    HostName 192.0.2.5
Host through
    HostName 192.0.2.6
    ProxyJump hop
Host hop
    HostName 192.0.2.7
Host *.lab
    ProxyJump me@gate
Host mac
    HostName 192.0.2.10
    MACs hmac-sha1,hmac-md5
Host sntrup
    HostName 192.0.2.11
    KexAlgorithms sntrup761x25519-sha512@openssh.com
Host w
    ProxyCommand ssh -q -W %h:%p plain
Host plain
    HostName 192.0.2.8
"""


def routes_of(toml):
    return tomllib.loads(toml)["routes"]


def block(toml, name):
    return toml.partition(f"[routes.{name}]\n")[2].partition("\n[")[0]


def test_W3_what_a_host_asks_for_is_told_and_proposed(place):
    """W3, B4: one line for each host that wants more than a login, none for the others; what a key
    of a route would allow stands there as a comment, and taking the '#' away makes a file that
    the daemon reads. What the configuration jumps through, patterns too, is a jump host."""
    place.put(NEEDS)
    done = place.call("--write")
    lines = dict(re.findall(r"^  (\S+) +(.*)$", done.stderr.partition("ask for more")[2], re.M))
    assert lines["dev"] == "LocalForward, RemoteForward, ForwardAgent"
    assert set(re.findall("the algorithm ([^,]+)", lines["old"])) == {
        "diffie-hellman-group14-sha1", "ssh-rsa", "aes128-cbc"}
    assert "PKCS11Provider /usr/lib/opensc-pkcs11.so" in lines["card"]
    assert "BindAddress 192.0.2.9" in lines["card"] and "DynamicForward" in lines["card"]
    assert not lines.keys() & {"alone", "gate", "hop", "through", "plain", "sntrup"}
    toml = place.routes.read_text()
    # A16: lists without anything that is always offered; what can be added is proposed.
    assert "MACs hmac-sha1,hmac-md5" in lines["mac"]
    assert '#algorithms = "+hmac-sha1"\n' in block(toml, "mac")
    assert toml.count("#algorithms") == 1
    dev = block(toml, "dev")
    assert '#forwards = ["[::1]:80", "db.internal:5432", "/run/x.sock"]\n' in dev
    assert '#remote_forwards = ["23229"]\n' in dev and "#agent_forward = true" in dev
    routes = routes_of(toml)
    assert {n for n, r in routes.items() if r.get("jump_through")} == {"gate", "hop", "plain"}
    assert "forwards" not in routes["dev"]
    allowed = place.routes.with_name("allowed.toml")
    allowed.write_text(re.sub("^#(forwards|algorithms) =", r"\1 =", toml, flags=re.M))
    allowed.chmod(0o600)
    done = subprocess.run([BINARY, "check-config", "--config", allowed], env=place.env, text=True,
                          capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert "0 errors" in done.stdout, done


def test_W3_merge_adds_and_changes_nothing(place):
    """W3, C8: every byte of the file stays, edits and comments too; a second run adds nothing; what
    --except has left out stays out; one that can't be read again is not written."""
    place.put(NEEDS)
    place.call("--write", "--except", "alone,old")
    mine = place.routes.read_text().replace("user =", "user  =") + "# mine, with no end"
    place.routes.write_text(mine)
    place.put(NEEDS + "Host new\n  HostName 192.0.2.20\n  ProxyJump hop\n"
              "Host deep\n  HostName 192.0.2.21\n  ProxyJump other@192.0.2.22\n")
    done = place.call("--merge")
    assert "3 new routes added" in done.stderr
    text = place.routes.read_text()
    assert text.startswith(mine + "\n")
    routes = routes_of(text)
    assert routes["new"]["jump"] == "hop" and routes["deep"]["jump"] == "jump-other-192.0.2.22"
    assert not routes.keys() & {"alone", "old"}
    stat = place.routes.stat()
    assert "0 new routes added" in place.call("--merge").stderr
    assert place.routes.stat().st_mtime_ns == stat.st_mtime_ns
    place.routes.write_text(text + "[routes.broken\n")
    assert place.call("--merge", code=78).stderr.count("\n") == 1
    assert place.routes.read_text() == text + "[routes.broken\n"
    for args in (["--merge", "--force"], ["--except", "-x"], ["--except", ""]):
        place.call(*args, code=64)
