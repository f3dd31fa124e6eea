# SPDX-License-Identifier: MIT
"""Attacks on the files that ssh-mux trusts, and what comes of each (S1, S2, S4, S8, C8, L5).

The tables below are the list: attack, outcome. Every row runs through the real program, as the
user of the test and, where that is root, as an ordinary user too. What needs finer tools (each
system call failing, a kill at each, swaps by thousands) is in tests/unit/test_os_*.c, which are
run here a second time as an ordinary user.
"""
import contextlib
import os
import pathlib
import resource
import shutil
import socket
import stat
import subprocess
import sys
import time

import pytest

from peers import BINARY, ROOT, SSH, free_port, poll, short_dir

NOBODY = 65534
FOREIGN = 12345
WHO = ["root", "user"] if ROOT else ["user"]
ROUTES = '[routes.t]\nhost = "127.0.0.1"\nport = {port}\nuser = "u"\ndirect = true\n'
REFUSED, SERVES = "refused", "serves"
CODES = (0, 66, 69, 71, 73, 76, 77, 78)  # of sysexits.h; 70 would be a mistake of ours

_preloaded = subprocess.run(["true"], env=dict(os.environ, LD_PRELOAD="libnss_wrapper.so"),
                            capture_output=True)
if _preloaded.stderr:
    # Without it the account's real ~/.ssh would be the stage.
    pytest.skip("libnss_wrapper is not installed", allow_module_level=True)

needs_root = pytest.mark.skipif(not ROOT, reason="only root can make files of others")


@pytest.fixture(scope="module")
def binary():
    """ssh-mux where everybody can read it."""
    directory = short_dir("bin")
    directory.chmod(0o755)
    path = shutil.copy(BINARY, directory / "ssh-mux")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(directory)


class Place:
    """Directories a/b/c below one that is root's, an account whose home is there, and programs
    that run as it."""

    def __init__(self, binary, who, name="files"):
        self.binary = binary
        self.dir = short_dir(name)
        self.dir.chmod(0o755)
        self.uid = NOBODY if ROOT and who == "user" else os.getuid()
        self.gid = NOBODY if ROOT and who == "user" else os.getgid()
        self.port = free_port()
        for sub in ("a", "a/b", "a/b/c", "home", "home/.ssh", "run", "ssh", "evil"):
            self.mkdir(sub)
        self.a, self.home, self.ssh_dir = self.dir / "a", self.dir / "home", self.dir / "ssh"
        self.put("passwd", f"me:x:{self.uid}:{self.gid}::{self.home}:/bin/sh\n", 0o644)
        self.put("group", f"me:x:{self.gid}:\n", 0o644)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.dir / "evil"),
            "XDG_RUNTIME_DIR": str(self.dir / "run"),
            "SSH_MUX_SSH_DIR": str(self.ssh_dir),
            "LD_PRELOAD": "libnss_wrapper.so",
            "NSS_WRAPPER_PASSWD": str(self.dir / "passwd"),
            "NSS_WRAPPER_GROUP": str(self.dir / "group"),
            "NSS_WRAPPER_DISABLE_DEEPBIND": "1",
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0:exitcode=99",
        }

    def own(self, path):
        os.chown(path, self.uid, self.gid, follow_symlinks=False)
        return path

    def mkdir(self, name):
        path = self.dir / name
        path.mkdir(mode=0o700)
        return self.own(path)

    def put(self, name, text, mode=0o600):
        path = self.dir / name
        path.write_text(text)
        path.chmod(mode)
        return self.own(path)

    def argv(self, *args):
        drop = ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"]
        return (drop if self.uid != os.getuid() else []) + [str(a) for a in (self.binary, *args)]

    def run(self, *args, timeout=20, **kwargs):
        return subprocess.run(self.argv(*args), env=self.env, cwd="/", timeout=timeout, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, **kwargs)

    @contextlib.contextmanager
    def serving(self, *args, **kwargs):
        """`serve` until it says that it does, or ends: gives what it said, and how it ended."""
        log = self.dir / "serve.log"
        with open(log, "wb") as f:
            proc = subprocess.Popen(self.argv("serve", "-p", self.port, *args), env=self.env,
                                    cwd="/", stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                                    **kwargs)
        try:
            poll(lambda: proc.poll() is not None or "serves on" in log.read_text(), 20,
                 "serve serves or ends")
            yield SERVES if proc.poll() is None else REFUSED, log
        finally:
            if proc.poll() is None:
                proc.terminate()
            code = proc.wait(20)
        text = log.read_text()
        assert "Sanitizer" not in text and "runtime error" not in text, text
        assert code in CODES, (code, text)

    def serve(self, *args, **kwargs):
        with self.serving(*args, **kwargs) as (outcome, log):
            pass
        return outcome, log.read_text()

    def stop(self):
        shutil.rmtree(self.dir)


@pytest.fixture(params=WHO)
def place(request, binary):
    made = Place(binary, request.param)
    yield made
    made.stop()


def expect_refusal(outcome, text, path, why):
    """It ended, with one line that names the path and what is wrong with it."""
    assert outcome == REFUSED, text
    said = [l for l in text.splitlines() if "error" in l or "ssh-mux: " in l]
    assert [l for l in said if why in l and str(path) in l], (why, str(path), text)


# ---- the file itself ---------------------------------------------------------------------------


def a_symlink_to_ones_own_file(place, p):
    p.rename(place.dir / "real")
    p.symlink_to(place.dir / "real")
    place.own(p)


def a_symlink_to_a_system_file(place, p):
    p.unlink()
    p.symlink_to("/etc/passwd")
    place.own(p)


def a_dangling_symlink(place, p):
    p.unlink()
    p.symlink_to(place.dir / "nowhere")
    place.own(p)


def a_fifo(place, p):
    p.unlink()
    os.mkfifo(p, 0o600)
    place.own(p)


def a_socket(place, p):
    p.unlink()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(p))
    place.own(p)


def a_directory(place, p):
    p.unlink()
    p.mkdir(0o700)
    place.own(p)


def a_device(place, p):
    if not ROOT:
        pytest.skip("only root can make a device")
    p.unlink()
    try:
        os.mknod(p, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no devices in this container")
    place.own(p)


def a_terabyte_of_zeros(place, p):
    try:
        os.truncate(p, 1 << 40)
    except OSError:
        pytest.skip("no file that large on this file system")


def group_writable(place, p):
    p.chmod(0o620)


def world_writable(place, p):
    p.chmod(0o602)


def somebody_elses(place, p):
    if not ROOT:
        pytest.skip("only root can make files of others")
    os.chown(p, FOREIGN, FOREIGN)


def a_hard_link(place, p):
    """Owner and mode are what count; it is the same file."""
    os.link(p, place.dir / "other-name")


# attack: what the refusal says, or that it serves
FILE_ATTACKS = {
    a_symlink_to_ones_own_file: "is a symbolic link",
    a_symlink_to_a_system_file: "is a symbolic link",
    a_dangling_symlink: "is a symbolic link",
    a_fifo: "is not a regular file",
    a_socket: "is not a regular file",
    a_directory: "is not a regular file",
    a_device: "is not a regular file",
    a_terabyte_of_zeros: "is larger than",
    group_writable: "run: chmod",
    world_writable: "run: chmod",
    somebody_elses: f"belongs to user {FOREIGN}",
    a_hard_link: SERVES,
}


def rows(table):
    return pytest.mark.parametrize(
        "attack, why", [pytest.param(a, w, id=a.__name__) for a, w in table.items()]
    )


@rows(FILE_ATTACKS)
def test_S1_S2_routes_file_that_is(place, attack, why):
    """S1, S2: the routes file is checked on its own path; nothing of it is taken otherwise."""
    path = place.put("a/b/c/routes.toml", ROUTES.format(port=1))
    attack(place, path)
    outcome, text = place.serve("--config", path)
    if why == SERVES:
        assert outcome == SERVES, text
    else:
        expect_refusal(outcome, text, path, why)


@rows(FILE_ATTACKS)
def test_S1_S2_host_key_that_is(place, attack, why, keys):
    """S1, S2: our own private key; a bad one is not replaced either."""
    place.put("ssh/ssh-mux-routes.toml", ROUTES.format(port=1))
    path = place.put("ssh/ssh-mux-host-key", keys.make("attacked_host_key").read_text())
    attack(place, path)
    before = os.lstat(path)
    outcome, text = place.serve()
    if why == SERVES:
        assert outcome == SERVES, text
    else:
        expect_refusal(outcome, text, path, why)
        after = os.lstat(path)
        assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    assert not (place.dir / "nowhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644], ids=oct)
def test_S2_host_key_that_others_can_read(place, mode, keys):
    """S2: readable by the owner only."""
    place.put("ssh/ssh-mux-routes.toml", ROUTES.format(port=1))
    path = place.put("ssh/ssh-mux-host-key", keys.make("attacked_host_key").read_text(), mode)
    expect_refusal(*place.serve(), path, f"run: chmod 600 {path}")


def login(place, key):
    """What ssh says about a login at the local server."""
    done = subprocess.run(
        [SSH, "-v", "-F", "none", "-p", str(place.port), "-i", str(key), "-oIdentitiesOnly=yes",
         "-oIdentityAgent=none", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null",
         "-oGlobalKnownHostsFile=none", "-oBatchMode=yes", "t@127.0.0.1", "true"],
        capture_output=True, text=True, timeout=40, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stderr


@rows(FILE_ATTACKS)
def test_S1_S2_L5_authorised_keys_that_are(place, attack, why, keys):
    """S1, S2, L5: nobody may log in by them, nor by the id_*.pub, which are for a list that is
    missing, not for a bad one."""
    key = keys.make("local")
    place.put("ssh/ssh-mux-routes.toml", ROUTES.format(port=1))
    place.put("ssh/id_a.pub", keys.public(key), 0o644)
    path = place.put("ssh/ssh-mux-authorized-keys", keys.public(key))
    attack(place, path)
    with place.serving() as (outcome, log):
        assert outcome == SERVES, log.read_text()
        text = log.read_text()
        if why == SERVES:
            assert "1 authorised keys from" in text
            assert "Authenticated to" in login(place, key)
        else:
            said = [l for l in text.splitlines() if "authorised keys:" in l]
            assert [l for l in said if why in l and str(path) in l], (why, text)
            assert "DOWNGRADE" not in text
            if attack in (a_symlink_to_ones_own_file, a_dangling_symlink, world_writable):
                said = login(place, key)
                assert "Permission denied" in said and "Authenticated to" not in said


@rows({a: FILE_ATTACKS[a] for a in FILE_ATTACKS if a is not a_symlink_to_a_system_file})
def test_S1_S2_known_hosts_that_is(place, attack, why, keys):
    """S1, S2: no connection is made on the word of such a file; the client is told."""
    place.put("ssh/ssh-mux-routes.toml", ROUTES.format(port=free_port()))
    place.put("ssh/ssh-mux-authorized-keys", keys.public(keys.make("local")))
    path = place.put("ssh/known_hosts", "")
    attack(place, path)
    with place.serving() as (outcome, log):
        assert outcome == SERVES, log.read_text()
        said = login(place, keys.make("local"))
    if why == SERVES:
        assert "connection refused" in said.lower() and why not in said, said
    else:
        assert why in said and str(path) in said, said


# ---- the directories above it ------------------------------------------------------------------


def a_symlink(place, d):
    """Root's own would pass for root: here it is somebody else's then."""
    d.rename(d.with_suffix(".real"))
    d.symlink_to(d.with_suffix(".real"))
    place.own(d)
    if place.uid == 0:
        os.lchown(d, FOREIGN, FOREIGN)


def roots_own_symlink_among_roots(place, d):
    """As /tmp and /var of macOS: the system's own layout."""
    if not ROOT:
        pytest.skip("only root can make links of root's")
    os.chown(d.parent, 0, 0)
    d.parent.chmod(0o755)
    d.rename(d.with_suffix(".real"))
    d.symlink_to(d.with_suffix(".real").name)


def roots_symlink_among_ones_own(place, d):
    if not ROOT or place.uid == 0:
        pytest.skip("needs root, and a user who is not")
    os.chown(d.parent, place.uid, place.gid)
    d.rename(d.with_suffix(".real"))
    d.symlink_to(d.with_suffix(".real").name)


def an_open_group(place, d):
    d.chmod(0o770)


def open_to_the_world(place, d):
    d.chmod(0o707)


def ones_own_sticky_one(place, d):
    """Sticky protects what others have in there from each other, not from the owner's group.
    Root's own would pass."""
    if place.uid == 0:
        os.chown(d, FOREIGN, FOREIGN)
    d.chmod(0o1777)


def roots_sticky_one(place, d):
    """/tmp, and its like."""
    if not ROOT:
        pytest.skip("only root can make directories of root's")
    os.chown(d, 0, 0)
    d.chmod(0o1777)


def somebodys(place, d):
    if not ROOT:
        pytest.skip("only root can make directories of others")
    os.chown(d, FOREIGN, FOREIGN)
    d.chmod(0o755)


def no_directory(place, d):
    shutil.rmtree(d)
    d.write_text("")
    place.own(d)


ABOVE_ATTACKS = {
    a_symlink: "is a symbolic link",
    roots_own_symlink_among_roots: SERVES,
    roots_symlink_among_ones_own: "is a symbolic link",
    an_open_group: "is writable by others; run: chmod go-w",
    open_to_the_world: "is writable by others; run: chmod go-w",
    ones_own_sticky_one: "",
    roots_sticky_one: SERVES,
    somebodys: f"belongs to user {FOREIGN}",
    no_directory: "there is no routes file",
}


@pytest.mark.parametrize("level", ["a", "a/b", "a/b/c"])
@rows(ABOVE_ATTACKS)
def test_S1_S2_directory_above_that_is(place, attack, why, level):
    """S1, S2: at each level of the path; the line names the level that is wrong."""
    path = place.put("a/b/c/routes.toml", ROUTES.format(port=1))
    attack(place, place.dir / level)
    outcome, text = place.serve("--config", path)
    if why == SERVES:
        assert outcome == SERVES, text
    else:
        expect_refusal(outcome, text, place.dir / level, why)


# ---- S4, S8: whose directory, and whose home ----------------------------------------------------


def relative(place, d):
    place.env["SSH_MUX_SSH_DIR"] = "ssh"


def empty(place, d):
    place.env["SSH_MUX_SSH_DIR"] = ""


def missing(place, d):
    d.rename(d.with_suffix(".real"))


def with_dots(place, d):
    place.env["SSH_MUX_SSH_DIR"] = f"{place.dir}/a/../ssh"


def a_file(place, d):
    no_directory(place, d)


def a_fifo_instead(place, d):
    shutil.rmtree(d)
    os.mkfifo(d, 0o700)
    place.own(d)


def below_an_open_one(place, d):
    place.a.chmod(0o777)
    shutil.move(d, place.a / "ssh")
    place.env["SSH_MUX_SSH_DIR"] = str(place.a / "ssh")


@pytest.mark.parametrize(
    "attack",
    [relative, empty, missing, with_dots, a_symlink, an_open_group, open_to_the_world, somebodys,
     a_file, a_fifo_instead, below_an_open_one],
    ids=lambda a: a.__name__,
)  # fmt: skip
def test_S4_SSH_MUX_SSH_DIR_that_is(place, attack):
    """S4: ignored with a warning, nothing is read or made there, and ~/.ssh is that of the user
    database, not of $HOME (S8)."""
    place.put("home/.ssh/ssh-mux-routes.toml", ROUTES.format(port=1))
    place.put("ssh/ssh-mux-routes.toml", "evil = true\n")
    attack(place, place.ssh_dir)
    outcome, text = place.serve()
    assert outcome == SERVES and "SSH_MUX_SSH_DIR is ignored and ~/.ssh used" in text, text
    assert (place.home / ".ssh/ssh-mux-host-key").exists()
    assert not list(place.dir.glob("ssh*/ssh-mux-host-key")) and "evil" not in text
    assert not any((place.dir / "evil").iterdir())


def test_S4_SSH_MUX_SSH_DIR_that_is_sound(place):
    """S4: taken, without a word; a slash at its end is no harm."""
    place.put("ssh/ssh-mux-routes.toml", ROUTES.format(port=1))
    place.env["SSH_MUX_SSH_DIR"] += "//"
    outcome, text = place.serve()
    assert outcome == SERVES and "ignored" not in text, text
    assert (place.ssh_dir / "ssh-mux-host-key").exists()
    assert not any((place.home / ".ssh").iterdir())


@pytest.mark.parametrize("home", ["evil", "", None, "relative"])
def test_S8_HOME_is_not_asked(place, home):
    """S8: the home is that of the user database, whatever $HOME says."""
    place.put("home/.ssh/ssh-mux-routes.toml", ROUTES.format(port=1))
    place.mkdir("evil/.ssh")
    place.put("evil/.ssh/ssh-mux-routes.toml", "evil = true\n")
    del place.env["SSH_MUX_SSH_DIR"]
    if home is None:
        del place.env["HOME"]
    else:
        place.env["HOME"] = str(place.dir / "evil") if home == "evil" else home
    place.env.update(USER="root", LOGNAME="root", XDG_CONFIG_HOME=str(place.dir / "evil"))
    outcome, text = place.serve()
    assert outcome == SERVES and "evil" not in text, text
    assert (place.home / ".ssh/ssh-mux-host-key").exists()
    assert len(list((place.dir / "evil/.ssh").iterdir())) == 1


# ---- writing -----------------------------------------------------------------------------------


def a_symlink_to_a_victim(place, p):
    p.symlink_to(place.dir / "victim")
    place.own(p)


def a_symlink_to_nothing(place, p):
    p.symlink_to(place.dir / "nowhere")
    place.own(p)


def a_second_name_of_a_victim(place, p):
    os.link(place.dir / "victim", p)


def a_fifo_in_its_place(place, p):
    os.mkfifo(p, 0o600)
    place.own(p)


def a_directory_in_its_place(place, p):
    p.mkdir(0o700)
    place.own(p)


@pytest.mark.parametrize("name", ["ssh-mux-host-key", "ssh-mux-host-key.pub", "ssh-mux.log"])
@pytest.mark.parametrize(
    "attack",
    [a_symlink_to_a_victim, a_symlink_to_nothing, a_second_name_of_a_victim, a_fifo_in_its_place,
     a_directory_in_its_place],
    ids=lambda a: a.__name__,
)  # fmt: skip
def test_C8_S1_written_file_that_is(place, name, attack):
    """C8, S1: what is made at the start is written through no link, of either kind, and waits for
    no reader of a FIFO."""
    place.put("ssh/ssh-mux-routes.toml", ROUTES.format(port=1))
    place.put("victim", "the victim's\n")
    path = place.ssh_dir / name
    attack(place, path)
    outcome, text = place.serve()
    assert (place.dir / "victim").read_text() == "the victim's\n", text
    assert not (place.dir / "nowhere").exists()
    if outcome == REFUSED:
        assert str(path) in text
    left = [p.name for p in place.ssh_dir.iterdir() if p.name.startswith(".ssh-mux-")]
    assert not left


def test_C8_full_disk_at_the_first_start(place):
    """C8: no space for the host key: said, no half of it, and the next start is clean."""
    if not ROOT or not shutil.which("unshare"):
        pytest.skip("needs root, to mount a small file system")
    script = f"""set -e
mount -t tmpfs -o size=64k,mode=0700,uid={place.uid},gid={place.gid} tmpfs {place.ssh_dir}
cat > {place.ssh_dir}/ssh-mux-routes.toml <<'.'
{ROUTES.format(port=1)}
.
chown {place.uid}:{place.gid} {place.ssh_dir}/*
dd if=/dev/zero of={place.ssh_dir}/fill bs=1k 2>/dev/null || :
{" ".join(place.argv("serve", "-p", place.port))} 2>&1 && exit 9 || :
echo "= $(ls -A {place.ssh_dir} | tr '\\n' ' ')"
rm {place.ssh_dir}/fill
{" ".join(place.argv("serve", "-p", place.port))} 2>&1 & pid=$!
for i in $(seq 400); do test -s {place.ssh_dir}/ssh-mux-host-key.pub && break; sleep 0.05; done
echo "= $(ls -A {place.ssh_dir} | tr '\\n' ' ')"
kill $pid; wait $pid || :
env -u LD_PRELOAD ssh-keygen -y -f {place.ssh_dir}/ssh-mux-host-key
"""
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=place.env, text=True,
                          capture_output=True, timeout=60)
    if "mount" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr.strip()}")
    assert "No space left" in done.stdout, done
    full, after = [l[2:].split() for l in done.stdout.splitlines() if l.startswith("= ")]
    assert [f for f in full if f != "ssh-mux.log"] == ["fill", "ssh-mux-routes.toml"], done
    assert {"ssh-mux-host-key", "ssh-mux-host-key.pub"} <= set(after), done
    assert not [f for f in after if f.startswith(".")], done
    assert done.returncode == 0 and "ssh-ed25519" in done.stdout, done


def test_C8_file_size_limit_at_the_first_start(place):
    """C8: as a full disk, and what an ordinary user can meet: RLIMIT_FSIZE."""
    place.put("ssh/ssh-mux-routes.toml", ROUTES.format(port=1))

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    done = subprocess.run(place.argv("serve", "-p", place.port), env=place.env, cwd="/",
                          preexec_fn=limit, timeout=30, capture_output=True,
                          stdin=subprocess.DEVNULL)
    assert done.returncode not in (0, 99), done
    assert not list(place.ssh_dir.glob("ssh-mux-host-key*")), done
    assert place.serve()[0] == SERVES
    assert (place.ssh_dir / "ssh-mux-host-key.pub").read_text().startswith("ssh-ed25519 ")
    assert not [p for p in place.ssh_dir.iterdir() if p.name.startswith(".")]


# ---- what writes configuration -------------------------------------------------------------------


# attack on a file that is written: what is said, or that it is written, the victim being untouched
WRITE_ATTACKS = {
    a_symlink_to_a_victim: "is a symbolic link",
    a_symlink_to_nothing: "is a symbolic link",
    a_fifo_in_its_place: "is not a regular file",
    a_directory_in_its_place: "is not a regular file",
    a_second_name_of_a_victim: SERVES,
}


def expect_written_or_said(place, done, path, why, before):
    assert (place.dir / "victim").read_text() == "# the victim's\n", done
    assert not (place.dir / "nowhere").exists()
    assert not [p for p in place.ssh_dir.rglob(".ssh-mux-*")], done
    if why == SERVES:
        assert done.returncode == 0, done
        assert path.is_file() and path.stat().st_nlink == 1, done
        return
    assert done.returncode in CODES and done.returncode != 0, done
    said = [l for l in done.stderr.splitlines() if why in l and str(path) in l]
    assert said, (why, done)
    after = os.lstat(path)
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("name", ["config", "ssh-mux-hosts.conf", "ssh-mux-known-hosts"])
@rows(WRITE_ATTACKS)
def test_C8_S1_setup_config_where_a_file_is(place, name, attack, why):
    """C8, S1, C2: each of the files that it writes."""
    if name == "config" and attack is a_fifo_in_its_place:
        pytest.skip("setup-config asks ssh about a config it may not change, and ssh waits: 10 s")
    if name == "ssh-mux-hosts.conf" and why == SERVES:
        why = "was not made by setup-config"
    place.put("ssh/ssh-mux-routes.toml", ROUTES.format(port=1))
    place.put("victim", "# the victim's\n")
    path = place.ssh_dir / name
    attack(place, path)
    before = os.lstat(path)
    done = place.run("setup-config", "--via", "tcp", "--all")
    expect_written_or_said(place, done, path, why, before)


@rows(WRITE_ATTACKS)
def test_C8_S1_import_config_out_that_is(place, attack, why):
    """C8, S1, C3: the routes file that it writes."""
    place.put("ssh/config", "Host t\n  HostName 192.0.2.1\n  User u\n", 0o600)
    place.put("victim", "# the victim's\n")
    path = place.dir / "a/b/c/out.toml"
    attack(place, path)
    before = os.lstat(path)
    done = place.run("import-config", "--write", "--force", "--out", path)
    expect_written_or_said(place, done, path, why, before)


@pytest.mark.parametrize("level", ["a", "a/b", "a/b/c"])
@rows({a: w for a, w in ABOVE_ATTACKS.items() if a is not no_directory})
def test_C8_S1_S2_import_config_out_below_one_that_is(place, attack, why, level):
    """C8, S1, S2: nothing is written below such a directory."""
    place.put("ssh/config", "Host t\n  HostName 192.0.2.1\n  User u\n", 0o600)
    attack(place, place.dir / level)
    path = place.dir / "a/b/c/out.toml"
    done = place.run("import-config", "--write", "--out", path)
    if why == SERVES:
        assert done.returncode == 0 and path.read_text().count("[routes.t]") == 1, done
        return
    assert done.returncode in CODES and done.returncode != 0, done
    said = [l for l in done.stderr.splitlines() if why in l and str(place.dir / level) in l]
    assert said and not list(place.dir.rglob("out.toml")), (why, done)


# ---- swapped between check and use --------------------------------------------------------------

RACER = """
import os, sys
d = sys.argv[1]
os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[2]))
while os.getppid() == int(sys.argv[4]):
    try:
        os.rename(d + "/b", d + "/aside")
        os.symlink("evil", d + "/b")
        os.unlink(d + "/b")
    except OSError:
        pass
    try:
        os.rename(d + "/aside", d + "/b")
    except OSError:
        pass
"""


@pytest.mark.parametrize("place", ["user"], indirect=True)
def test_S1_directory_swapped_for_a_link_all_the_time(place):
    """S1: the routes file is ours or refused, never the one where the link points."""
    path = place.put("a/b/c/routes.toml", "ours = 1\n")
    place.mkdir("a/evil")
    place.mkdir("a/evil/c")
    place.put("a/evil/c/routes.toml", "theirs = 1\n")
    racer = subprocess.Popen([sys.executable, "-c", RACER, str(place.a), str(place.uid),
                              str(place.gid), str(os.getpid())])
    ours = refused = 0
    try:
        deadline = time.monotonic() + 60
        while (ours + refused < 60 or not ours or not refused) and time.monotonic() < deadline:
            outcome, text = place.serve("--config", path)
            assert outcome == REFUSED and "theirs" not in text, text
            ours += "ours" in text
            refused += "ours" not in text
    finally:
        racer.kill()
        racer.wait()
    assert ours and refused, (ours, refused)


# ---- the unit tests of files, as an ordinary user ------------------------------------------------


@needs_root
@pytest.mark.parametrize("name", ["os_files", "os_write", "os_edit", "os_faults", "os_race"])
def test_S1_S2_C8_unit_tests_as_an_ordinary_user(name):
    """S1, S2, C8: ./check runs them as whoever it runs as, which is root in CI."""
    built = pathlib.Path(BINARY).parent / f"tests/unit_test_{name}"
    if not built.exists():
        pytest.skip("the unit tests are not built beside the binary")
    directory = short_dir("unit")
    try:
        directory.chmod(0o755)
        path = shutil.copy(built, directory / "t")
        os.chmod(path, 0o755)
        done = subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                               "--clear-groups", path], capture_output=True, text=True,
                              timeout=100, cwd="/", stdin=subprocess.DEVNULL)
    finally:
        shutil.rmtree(directory)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
