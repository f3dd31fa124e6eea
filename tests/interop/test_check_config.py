# SPDX-License-Identifier: MIT
"""ssh-mux check-config, and what may be no name anywhere (R3, B10, L5).

The rows kept here: R3, B10, L5, L4, K1, A1, B5.
"""
import concurrent.futures
import os
import re
import subprocess

import pytest

import hostile
from peers import BINARY, ROOT

FINDING = re.compile(r"^(?P<place>/[^\n]*?): (?P<kind>error|warning|note): (?P<what>[^\n]+)$")
SUMMARY = re.compile(r"^(?:\d+ routes?, \d+ authorised keys?: )?"
                     r"(\d+) errors?, (\d+) warnings?, (\d+) notes?$")
ROUTES = "ssh-mux-routes.toml"
GOOD = '[routes.web]\nhost = "127.0.0.1"\nuser = "me"\n'
CHUNK = 40  # faults of a file that are all told of


class Box:
    """An SSH directory of its own, and the program run on it."""

    def __init__(self, path, keys):
        self.dir = path / "ssh"
        self.dir.mkdir(mode=0o700)
        self.run_dir = path / "run"
        self.run_dir.mkdir(mode=0o700)
        self.put("ssh-mux-authorized-keys", keys.public(keys.make("local")))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SSH_")}
        self.env.update(SSH_MUX_SSH_DIR=str(self.dir), XDG_RUNTIME_DIR=str(self.run_dir),
                        ASAN_OPTIONS="detect_leaks=1:exitcode=99")

    def put(self, name, text, mode=0o600):
        path = self.dir / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    def run(self, *args, timeout=60):
        done = subprocess.run([BINARY, *args], env=self.env, capture_output=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        done.stdout = done.stdout.decode()  # whatever was quoted: it is UTF-8
        done.stderr = done.stderr.decode()
        return done

    def check(self, *args):
        """Runs it; every line must be a finding but the last. Returns code and findings."""
        done = self.run("check-config", *args)
        *lines, last = done.stdout.splitlines()
        found = [FINDING.match(line) for line in lines]
        assert all(found), done.stdout
        counts = [int(n) for n in SUMMARY.match(last).groups()]
        kinds = [m["kind"] for m in found]
        assert counts == [kinds.count(k) for k in ("error", "warning", "note")], done.stdout
        assert done.returncode == (78 if counts[0] else 0), done
        assert not done.stderr, done
        return done.returncode, [(m["place"], m["kind"], m["what"]) for m in found]

    def errors(self, *args):
        return [f for f in self.check(*args)[1] if f[1] == "error"]

    def has(self, kind, place, *words):
        found = self.check()[1]
        hits = [what for p, k, what in found if k == kind and p == place]
        assert any(all(w in what for w in words) for what in hits), found
        return True


@pytest.fixture
def box(tmp_path, keys):
    # pytest's own directories may be open to others above; they are not what is tested.
    return Box(tmp_path, keys)


def is_plain(text):
    """No character that draws, moves or turns round anything on a terminal."""
    bad = set(map(chr, [*range(0x20), *range(0x7f, 0xa0), *range(0x202a, 0x202f), 0x61c, 0xfeff,
                        *range(0x2066, 0x206a), 0x200e, 0x200f, 0x2028, 0x2029]))  # fmt: skip
    return not bad & set(text)


def chunks(values):
    return [values[i:i + CHUNK] for i in range(0, len(values), CHUNK)]


# ---- hostile values, every way in ----


def test_R3_hostile_route_names_are_refused_with_their_place(box):
    """R3: line and column of each, and what would be right."""
    for some in chunks(hostile.NAMES):
        text = "".join(f'[routes.{hostile.toml_string(n)}]\nhost = "h"\nuser = "u"\n' for n in some)
        path = box.put(ROUTES, text)
        found = box.errors()
        assert len(found) == len(some)
        for i, (place, _, what) in enumerate(found):
            assert place == f"{path}:{3 * i + 1}:9", (some[i], found[i])
            assert re.match(r'\[routes\] name ".*" (must not|may only|must)', what)
            assert is_plain(what), (some[i], what)


@pytest.mark.parametrize("key, values", [("host", hostile.HOSTS), ("user", hostile.USERS),
                                         ("host_key_alias", hostile.HOSTS)],
                         ids=["host", "user", "alias"])  # fmt: skip
def test_R3_hostile_hosts_and_users_are_refused_with_their_place(box, key, values):
    """R3: line, column, key, and what would be right."""
    for some in chunks(values):
        text, lines, n = "", [], 0
        for i, value in enumerate(some):
            fields = {"host": '"h"', "user": '"u"'}
            fields[key] = hostile.toml_string(value)
            text += f"[routes.r{i}]\n"
            n += 1
            for name, shown in fields.items():
                n += 1
                lines += [n] if name == key else []
                text += f"  {name} = {shown}\n"
        path = box.put(ROUTES, text)
        found = box.errors()
        assert len(found) == len(some), found
        for i, (place, _, what) in enumerate(found):
            assert place == f"{path}:{lines[i]}:3", (some[i], found[i])
            assert re.match(rf'\[routes\.r{i}\] key "{key}": (must|may only)', what)
            assert is_plain(what), (some[i], what)


@pytest.mark.parametrize("key, characters", [("host", hostile.OPENSSH_HOST_CHARACTERS),
                                             ("user", hostile.OPENSSH_USER_CHARACTERS)],
                         ids=["host", "user"])  # fmt: skip
def test_R3_what_ssh_refuses_is_refused_wherever_it_stands(box, key, characters):
    """R3: the characters that OpenSSH's own checks name."""
    values = [text for c in characters for text in (c + "ab", f"a{c}b", "ab" + c)]
    other = {"host": "user", "user": "host"}[key]
    for some in chunks(values):
        path = box.put(ROUTES, "".join(
            f'[routes.r{i}]\n{key} = {hostile.toml_string(v)}\n{other} = "x"\n'
            for i, v in enumerate(some)))  # fmt: skip
        assert [p for p, _, _ in box.errors()] == [
            f"{path}:{3 * i + 2}:1" for i in range(len(some))], some  # fmt: skip


@pytest.mark.parametrize("table", ["[jump]", "[routes.a]"])
def test_R3_the_jump_host_is_as_strict(box, table):
    for key, value in [("host", "-oProxyCommand=x"), ("user", "$(id)"), ("host", "a\nb")]:
        fields = dict(host="h", user="u")
        fields[key] = value
        text = table + "\n" + "".join(
            f"{k} = {hostile.toml_string(v)}\n" for k, v in fields.items())
        path = box.put(ROUTES, text)
        line = 2 + list(fields).index(key)
        assert [p for p, _, _ in box.errors()] == [f"{path}:{line}:1"]


def test_R3_legitimate_ones_are_accepted(box):
    """R3: user@corp.com and DOM\\user among them."""
    text = "".join(f'[routes.{hostile.toml_string(n)}]\nhost = "h"\nuser = "u"\n'
                   for n in hostile.LEGITIMATE_NAMES)  # fmt: skip
    for i, host in enumerate(hostile.LEGITIMATE_HOSTS):
        text += f'[routes.h{i}]\nhost = {hostile.toml_string(host)}\nuser = "u"\n'
    for i, user in enumerate(hostile.LEGITIMATE_USERS):
        text += f'[routes.u{i}]\nhost = "h"\nuser = {hostile.toml_string(user)}\n'
    box.put(ROUTES, text)
    code, found = box.check()
    assert code == 0, found


@pytest.mark.parametrize("text, line, column, near", [
    ('[routes.web]\nhost = "h"\nuser = "u"\nprot = 22\n', 4, 1, "port"),
    ('[routes.web]\n  hostname = "h"\n', 2, 3, "host"),
    ('[routes.web]\nProxyJump = "h"\n', 2, 1, "jump"),
    ('identityagent = "x"\n', 1, 1, "identity_agent"),
    ('[jmp]\n', 1, 2, "jump"),
    ('[route.web]\n', 1, 2, "routes"),
])  # fmt: skip
def test_R3_unknown_keys_suggest_the_nearest(box, text, line, column, near):
    path = box.put(ROUTES, text)
    place, _, what = box.errors()[0]
    assert place == f"{path}:{line}:{column}"
    assert what.endswith(f'unknown key; did you mean "{near}"?')


@pytest.mark.parametrize("key, value", [("host", "a\u202eb"), ("user", "a;b"), ("host", "-F/x")])
def test_R3_the_daemon_refuses_such_a_file_the_same_way(box, key, value):
    fields = dict(host="h", user="u")
    fields[key] = value
    path = box.put(ROUTES, "[routes.a]\n" + "".join(
        f"{k} = {hostile.toml_string(v)}\n" for k, v in fields.items()))
    done = box.run("serve", "--config", str(path))
    assert done.returncode == 78, done
    line = 2 + list(fields).index(key)
    assert f'{path}:{line}:1: [routes.a] key "{key}": ' in done.stderr


def refused_everywhere(box, argvs):
    """Each command line is a usage error that says so in one plain line, before anything runs."""

    def one(argv):
        done = box.run(*argv)
        lines = done.stderr.splitlines()
        assert done.returncode == 64, (argv, done)
        assert len(lines) == 1 and lines[0].startswith("ssh-mux: "), (argv, done)
        assert is_plain(lines[0]), (argv, done)
        assert not done.stdout, (argv, done)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(one, argv) for argv in argvs]:
            future.result()
    assert not list(box.run_dir.rglob("*.sock")), "a daemon was started"


def argv_values(values, *but):
    return [v for v in values if hostile.fits_argv(v) and v not in but]


def test_R3_hostile_users_of_serve(box):
    refused_everywhere(box, [["serve", "--remote", "h", "-u", u]
                             for u in argv_values(hostile.USERS)])  # fmt: skip


def test_R3_hostile_hosts_of_serve(box):
    """Brackets and a port are part of how --remote is written."""
    refused_everywhere(box, [["serve", f"--remote={h}", "-u", "u"] for h in argv_values(
        hostile.HOSTS, "[a]", "[::1]", "[a]:22", "host:22")])  # fmt: skip


def test_R3_hostile_users_of_connect(box):
    refused_everywhere(box, [["connect", "--", f"{u}@h"] for u in argv_values(hostile.USERS)])


def test_R3_hostile_hosts_of_connect(box):
    """As above; and what stands before an @ is the user's."""
    refused_everywhere(box, [["connect", "--", f"u@{h}"] for h in argv_values(
        hostile.HOSTS, "[a]", "[::1]", "[a]:22", "host:22", "user@host", "@cert-authority")])


@pytest.mark.parametrize("command", ["connect", "proxy"])
def test_R3_hostile_route_names_of_commands(box, command):
    names = argv_values(hostile.NAMES, "a@b")
    refused_everywhere(box, [[command, "--", n] for n in names])


def test_B5_proxy_without_a_pipe_says_so(box):
    """/dev/null can't be waited for; that is a usage error, not a crash, and starts nothing."""
    box.put(ROUTES, GOOD)
    refused_everywhere(box, [["proxy", "web"]])


# ---- the rest of what it checks ----


def snapshot(directory):
    return {p: (p.lstat().st_mode, p.lstat().st_mtime_ns, p.read_bytes() if p.is_file() else b"")
            for p in sorted(directory.rglob("*"))}  # fmt: skip


def test_B10_a_good_configuration_is_usable_and_untouched(box, keys):
    """It needs no daemon and leaves nothing behind."""
    box.put(ROUTES, GOOD)
    box.put("known_hosts", "127.0.0.1 " + keys.public(keys.make("host_x")))
    before = snapshot(box.dir), snapshot(box.run_dir)
    code, found = box.check()
    assert code == 0
    assert found == [(str(box.dir / "ssh-mux-host-key"), "note",
                      "is missing; it is made when ssh-mux starts")]  # fmt: skip
    assert (snapshot(box.dir), snapshot(box.run_dir)) == before


def test_B10_another_file_can_be_named(box):
    path = box.put("other.toml", '[routes.a]\nhost = "h"\n')
    assert box.errors("--config", str(path)) == [
        (f"{path}:1:9", "error", '[routes.a]: key "user" is missing; write user = "login name"')]
    done = box.run("check-config", "--cofnig", "x")
    assert done.returncode == 64 and "--config" in done.stderr
    assert box.run("check-config", "more").returncode == 64


def test_B10_every_error_at_once(box):
    """R3: all faults of one file, in one run."""
    path = box.put(ROUTES, '[jump]\nhost = "a b"\nuser = "u"\n'
                           '[routes.web]\nhost = "h"\nuser = "$x"\nport = 0\n'
                           '[routes.db]\nhost = "h"\nuser = "u"\njump = "nowhere"\n')
    assert [p for p, _, _ in box.errors()] == [
        f"{path}:2:1", f"{path}:6:1", f"{path}:7:1", f"{path}:11:1"]


@pytest.mark.parametrize("text", ["[routes.web\n", '[routes.web]\nhost = "h\n', "a = 1\na = 2\n",
                                  b"\xff\xfe\n", "[" * 1000])  # fmt: skip
def test_B10_what_is_no_toml_has_one_error_with_its_place(box, text):
    path = box.put(ROUTES, text)
    errors = box.errors()
    assert len(errors) == 1 and re.fullmatch(rf"{path}:\d+:\d+", errors[0][0]), errors


def test_B10_files_that_are_missing_or_unsafe(box):
    routes = str(box.dir / ROUTES)
    assert box.errors()[0][0] == routes and "import-config" in box.errors()[0][2]
    for name in (ROUTES, "ssh-mux-authorized-keys", "known_hosts"):
        box.put(ROUTES, GOOD)
        box.put("known_hosts", "")
        path = box.dir / name
        path.chmod(0o620)
        assert box.has("error", str(path), "writable by others", "chmod go-w")
        path.chmod(0o600)
        real = path.rename(box.dir / "real")
        path.symlink_to(real)
        assert box.has("error", str(path), "symbolic link")
        path.unlink()
        real.rename(path)
    assert not box.errors()


def test_L5_keys_are_judged(box, keys):
    """Options, rubbish, no key at all, and the downgrade to id_*.pub."""
    box.put(ROUTES, GOOD)
    path = str(box.dir / "ssh-mux-authorized-keys")
    public = keys.public(keys.make("local"))
    box.put("ssh-mux-authorized-keys", f"# mine\n{public}restrict {public}nonsense\n")
    assert box.has("warning", f"{path}:3", "options")
    assert box.has("warning", f"{path}:4", "not a public key")
    assert "1 authorised key:" in box.run("check-config").stdout
    box.put("ssh-mux-authorized-keys", "# nobody\n")
    assert box.has("warning", path, "no key in it")
    (box.dir / "ssh-mux-authorized-keys").unlink()
    box.put("id_a.pub", public)
    assert box.has("warning", path, "is missing", "id_*.pub", "(1 key)")
    assert not box.errors()


def test_L4_the_host_key_is_judged(box):
    box.put(ROUTES, GOOD)
    path = box.put("ssh-mux-host-key", "nonsense\n")
    assert box.has("error", str(path), "can't be used")
    box.put("ssh-mux-host-key", "nonsense\n", 0o644)
    assert box.has("error", str(path), "chmod 600")


def test_K1_hosts_without_a_known_key_are_noted(box, keys):
    """Each hop once, under the name known_hosts has it; unattended routes need one."""
    public = keys.public(keys.make("host_x"))
    path = box.put(ROUTES, """
[jump]
host = "bastion"
user = "u"
[routes.known]
host = "inner"
user = "u"
[routes.new]
host = "other"
port = 2200
user = "u"
[routes.alias]
host = "10.0.0.1"
user = "u"
host_key_alias = "known-by-alias"
[routes.bot]
host = "robot"
user = "u"
direct = true
unattended = true
""")
    box.put("known_hosts", f"inner,known-by-alias {public}")
    found = [(p, k, w) for p, k, w in box.check()[1] if "known_hosts" in w]
    assert [(p, k) for p, k, _ in found] == [
        (f"{path}: [jump]", "note"), (f"{path}:8:9", "note"), (f"{path}:16:9", "warning")]
    assert "bastion" in found[0][2] and "[other]:2200" in found[1][2] and "robot" in found[2][2]


def test_A1_what_routes_name_is_looked_at(box, keys, tmp_path):
    """Key files as ssh judges them; a key of the top level is complained about once."""
    secret = box.put("secret", keys.make("local").read_bytes())
    locked = box.put("locked", keys.make("locked", passphrase="x").read_bytes())
    public = box.put("id_x.pub", keys.public(keys.make("local")))
    junk = box.put("junk", "no key\n")
    box.put(ROUTES, f"""
identity = ["{box.dir}/none"]
identity_agent = "{box.dir}/agent"
pinentry = "{box.dir}/pinentry"
[routes.a]
host = "h"
user = "u"
[routes.b]
host = "h"
user = "u"
[routes.c]
host = "h"
user = "u"
identity = ["{secret}", "{locked}", "{public}", "{junk}"]
""")
    path = box.dir / ROUTES
    assert box.has("warning", f"{path}:5:9", "no identity", str(box.dir / "none"))
    assert box.has("warning", f"{path}:5:9", "no agent")
    assert box.has("warning", f"{path}:11:9", str(junk), "private key")
    assert box.has("warning", str(path), "pinentry")
    found = box.check()[1]
    assert len([f for f in found if "no agent" in f[2] or "no identity" in f[2]]) == 2
    # A8: a public key picks that of an agent.
    assert not [f for f in found if any(str(good) in f[2] for good in (secret, locked, public))]
    secret.chmod(0o640)
    assert box.has("error", f"{path}:11:9", str(secret), "chmod 600")


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_B10_a_file_of_somebody_else_is_an_error(box):
    path = box.put(ROUTES, GOOD)
    os.chown(path, 12345, 12345)
    assert box.has("error", str(path), "belongs to user 12345")
