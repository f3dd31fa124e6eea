# SPDX-License-Identifier: MIT
"""H3: the daemon gives up what it does not need. From inside, by a library that is preloaded and tries
it, and from outside: what is said of it, and that everything else goes on as before."""
import errno
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys

import pytest

from peers import BINARY, hop, poll, routes_toml
import peers

HERE = pathlib.Path(__file__).parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing confines us there")


def landlock_version():
    import ctypes

    return max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))


def has(binary, name):
    return name in subprocess.run(["ldd", binary], capture_output=True, text=True).stdout


LANDLOCK = landlock_version()
SANITIZED = has(BINARY, "libasan")
SECCOMP = has(BINARY, "libseccomp") and not SANITIZED
EXPECTED = (f"landlock v{LANDLOCK}" if LANDLOCK else "") + (", seccomp" if LANDLOCK and SECCOMP else "")


@pytest.fixture(autouse=True)
def confined(monkeypatch):
    monkeypatch.setenv("SSH_MUX_CONFINE", "yes")


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler for confine_probe.c")
    library = tmp_path_factory.mktemp("probe") / "probe.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "confine_probe.c"], check=True)
    return library


@pytest.fixture
def tried(probe, make_mux, make_sshd, tmp_path):
    """What each attempt came to, by its name: an errno, 0 if it worked."""

    def run(**env):
        (tmp_path / "secret").write_text("secret")
        (tmp_path / "victim").write_text("whole")
        if not SECCOMP and not env:
            env = {"SMX_PROBE_FILES": "1"}
        target = make_sshd()
        mux = make_mux(target, env={
            "LD_PRELOAD": str(probe), "SMX_PROBE": str(tmp_path), "SMX_PROBE_PORT": str(target.port),
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0:exitcode=99", **env})  # fmt: skip
        mux.check_works()
        os.kill(mux.pid, signal.SIGUSR2)
        report = tmp_path / "report"
        poll(lambda: "end 0" in report.read_text(), 20, "the attempts", 0.05)
        got = {}
        for line in report.read_text().splitlines():
            name, number = line.split()
            got[name] = int(number)
        mux.check_works()  # and the daemon serves on
        return got

    return run


BY_LANDLOCK = """read-outside list-outside write-outside make-outside truncate-outside unlink-outside
    rename-outside link-outside mkdir-outside write-etc make-in-usr write-shm parents-memory
    write-routes make-authorized-keys write-known-hosts""".split()
# CAP_PERFMON, which root has, opens another's environment whatever landlock says (mm_access).
BY_LANDLOCK += [] if peers.ROOT else ["parents-environ"]
DENIED = (errno.EACCES, errno.EXDEV, errno.ENOSYS)  # the last: there is no truncate(2) besides
BY_SECCOMP = """exec exec-self execveat fork clone clone3 ptrace-attach ptrace-traceme read-process
    write-process kill pidfd memfd chmod-outside mknod code-by-mprotect code-by-mmap mount unshare keyctl
    bpf userfaultfd perf module by-handle io-uring personality setuid type-into-terminal listen-everywhere
    listen-unbound listen-loopback packet-socket kernel-crypto-socket netfilter-socket""".split()
BY_HELPER = """helper-transport helper-pinentry helper-prompt helper-unlink helper-listen-everywhere
    helper-listen-unbound helper-reopen-file helper-append-elsewhere helper-append-routes
    helper-append-authority helper-keep-elsewhere helper-keep-else helper-keep-other
    helper-rotate-elsewhere helper-rotate-second helper-rotate-stranger
    helper-rotate-away helper-open-outside helper-open-above""".split()


@pytest.mark.skipif(not LANDLOCK, reason="the kernel has no landlock")
def test_H3_files_outside_are_out_of_reach(tried, tmp_path):
    got = tried()
    assert {n: got[n] for n in BY_LANDLOCK if got[n] not in DENIED} == {}
    assert got["move-out"] in DENIED
    assert {n: e for n, e in got.items() if n.startswith("ok-") and e} == {}
    assert (tmp_path / "victim").read_text() == "whole"
    assert {p.name for p in tmp_path.iterdir()} == {"secret", "victim", "report"}
    assert {n: got[n] for n in ("exec", "exec-self", "execveat") if got[n] == 0} == {}


@pytest.mark.skipif(not SECCOMP, reason="built with a sanitizer, or without libseccomp")
def test_H3_no_program_no_debugger_no_listener(tried):
    got = tried()
    assert {n: got[n] for n in BY_SECCOMP if got[n] not in (errno.EPERM, errno.ENOSYS)} == {}
    assert {n: e for n, e in got.items() if n.startswith("ok-") and e} == {}


@pytest.mark.skipif(not (LANDLOCK or SECCOMP), reason="a program that is executed would end the attempts")
def test_H3_the_helper_does_nothing_for_a_stranger(tried, tmp_path):
    got = tried()
    assert {n: got[n] for n in BY_HELPER if got[n] != errno.EPERM} == {}
    assert got["ok-helper-listen-loopback"] == 0
    assert (tmp_path / "victim").exists()


def test_H3_the_attempts_work_where_nothing_is_confined(tried, tmp_path):
    """So the denials above are not the test's own."""
    got = tried(SSH_MUX_CONFINE="no", SMX_PROBE_LOOSE="1")
    worked = """read-outside list-outside write-outside make-outside truncate-outside unlink-outside
        link-outside mkdir-outside fork exec memfd kill code-by-mprotect code-by-mmap
        listen-everywhere listen-unbound listen-loopback""".split()
    assert {n: got[n] for n in worked if got[n]} == {}
    assert not (tmp_path / "victim").exists()


def test_H3_every_thread_is_confined(make_mux, make_sshd):
    mux = make_mux(make_sshd())
    mux.check_works()  # with threads for keys, names and files
    tasks = list(pathlib.Path(f"/proc/{mux.pid}/task").iterdir())
    assert len(tasks) > 1
    for task in tasks:
        text = (task / "status").read_text()
        assert re.search(r"^NoNewPrivs:\t1$", text, re.M), text
        if SECCOMP:
            assert re.search(r"^Seccomp:\t2$", text, re.M), text


def test_H3_no_io_uring_is_left(make_mux, make_sshd):
    """H3: a newer libuv has one with its loop, for which the kernel would do what the filter refuses
    to us; and it aborts where it has one and may not use it."""
    mux = make_mux(make_sshd())
    mux.check_works()
    fds = [os.readlink(p) for p in pathlib.Path(f"/proc/{mux.pid}/fd").iterdir()]
    assert any("eventpoll" in fd for fd in fds), fds
    if SECCOMP:
        assert not [fd for fd in fds if "io_uring" in fd], fds


def check_said(said):
    if LANDLOCK and SECCOMP:
        assert said == EXPECTED
    else:
        assert EXPECTED in said and ("no seccomp" in said or "no (" in said or "no landlock" in said)


def test_H3_status_doctor_and_log_say_what_holds(make_mux, make_sshd):
    mux = make_mux(make_sshd())
    said = mux.status()["confined"]
    check_said(said)
    assert f"confined: {said}\n" in mux.control("status").stdout
    assert f"confined: {said}\n" in mux.log()
    assert f"the daemon is confined: {said}" in mux.control("doctor").stdout


def test_H3_it_can_be_turned_off_and_that_is_said(make_mux, make_sshd):
    mux = make_mux(make_sshd(), env={"SSH_MUX_CONFINE": "no"})
    mux.check_works()
    assert mux.status()["confined"] == "no (SSH_MUX_CONFINE=no is in its environment)"
    assert "SSH_MUX_CONFINE=no is in its environment" in mux.control("doctor").stdout
    assert peers.helper_of(mux.pid) is None
    assert "\nNoNewPrivs:\t0\n" in pathlib.Path(f"/proc/{mux.pid}/status").read_text()


@pytest.mark.parametrize("text", (None, ""))
def test_H3_it_is_on_unless_turned_off(make_mux, make_sshd, monkeypatch, text):
    monkeypatch.delenv("SSH_MUX_CONFINE")
    mux = make_mux(make_sshd(), env={} if text is None else {"SSH_MUX_CONFINE": text})
    check_said(mux.status()["confined"])
    assert peers.helper_of(mux.pid) is not None
    assert "SSH_MUX_CONFINE" not in mux.log()


def test_H3_a_value_that_is_none_is_said_and_confines(make_mux, make_sshd):
    mux = make_mux(make_sshd(), env={"SSH_MUX_CONFINE": "off"})
    assert "SSH_MUX_CONFINE must be yes or no, not off" in mux.log()
    assert not mux.status()["confined"].startswith("no (SSH_MUX")


def test_H3_routes_may_name_files_elsewhere_at_any_time(make_mux, make_sshd, tmp_path):
    """A reload can't widen what the daemon reads itself; the helper opens what the routes name."""
    target = make_sshd()
    mux = make_mux(target)
    mux.check_works()
    elsewhere = tmp_path / "keys"
    elsewhere.mkdir(mode=0o700)
    shutil.move(mux.ssh_dir / "id_ed25519", elsewhere / "id")
    shutil.move(mux.ssh_dir / "known_hosts", elsewhere / "known")
    (mux.ssh_dir / "id_ed25519").symlink_to(elsewhere / "id")
    new = hop(target, identity=str(elsewhere / "id"), known_hosts=str(elsewhere / "known"))
    linked = hop(target, known_hosts=str(elsewhere / "known"))
    mux.routes_path.write_text(routes_toml({"n": new, "l": linked}))
    mux.wait_log("routes re-read")
    mux.check_works("n")
    mux.check_works("l")
    (elsewhere / "id").chmod(0o644)  # what it is and whose is judged as without a helper
    mux.routes_path.write_text(routes_toml({"other": {**new, "user": "nobody"}}))
    poll(lambda: mux.log().count("routes re-read") == 2, 10, "the routes")
    done = mux.ssh("other", "true")
    assert done.returncode == 255 and f"chmod 600 {elsewhere}/id" in mux.log(), (done, mux.log())


def test_H3_the_ssh_directory_may_be_replaced(make_mux, make_sshd):
    mux = make_mux(make_sshd())
    old = mux.ssh_dir.with_name("before")
    mux.ssh_dir.rename(old)
    shutil.copytree(old, mux.ssh_dir)
    mux.check_works()


def test_H3_broken_routes_do_not_end_the_helper(make_mux, make_sshd):
    """It reads them itself, to see which transports they have."""
    target = make_sshd()
    transport = ["socat", "-", "TCP:%h:%p"] if shutil.which("socat") else ["nc", "%h", "%p"]
    mux = make_mux(target, routes=routes_toml({"p": hop(target, transport=transport)}),
                   known_hosts=target.known_hosts())
    helper = peers.helper_of(mux.pid)
    mux.routes_path.write_text("[routes.p]\nhost = 5\n")
    mux.wait_log("must be a string")
    mux.check_works("p")
    assert helper and peers.helper_of(mux.pid) == helper, mux.log()


def test_H3_the_helper_ends_with_the_daemon(make_mux, make_sshd):
    mux = make_mux(make_sshd())
    helper = peers.helper_of(mux.pid)
    assert helper
    os.kill(mux.pid, signal.SIGKILL)
    mux.proc.wait()
    poll(lambda: not os.path.exists(f"/proc/{helper}"), 10, "the helper's end", 0.05)
    mux.ended()
    mux.start()
    helper = peers.helper_of(mux.pid)
    mux.stop()
    assert not os.path.exists(f"/proc/{helper}")


def test_H3_without_its_helper_the_daemon_serves_on(make_mux, make_sshd):
    target = make_sshd()
    pipe = shutil.which("socat") or shutil.which("nc")
    transport = [pipe, "-", "TCP:%h:%p"] if pipe and pipe.endswith("socat") else [pipe or "nc", "%h", "%p"]
    mux = make_mux(target, routes=routes_toml({"t": hop(target), "p": hop(target, transport=transport)}),
                   known_hosts=target.known_hosts())
    mux.check_works()
    os.kill(peers.helper_of(mux.pid), signal.SIGKILL)
    mux.wait_log("the helper that starts programs for the confined daemon has ended")
    mux.check_works()
    done = mux.ssh("p", "true")
    assert done.returncode == 255 and b"can't be run" in done.stderr, done


def test_H3_the_helper_is_not_for_people():
    done = subprocess.run([BINARY, "helper"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 64 and "the daemon runs this by itself" in done.stderr, done


def test_H3_private_keys_are_locked(make_mux, make_sshd):
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit != resource.RLIM_INFINITY and limit < 4 << 20:
        pytest.skip(f"only {limit} bytes may be locked")
    mux = make_mux(make_sshd())
    assert mux.memory("VmLck") >= 2 << 20


def test_H3_no_core_of_whoever_hears_secrets(make_mux, make_sshd):
    """Those of the daemon, its helper and of a client that is asked."""
    mux = make_mux(make_sshd())
    client = subprocess.Popen([BINARY, "connect", "t", "cat"], env=mux.environment(),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        client.stdin.write(b"x\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"x\n"
        for pid in (mux.pid, peers.helper_of(mux.pid), client.pid):
            limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"^Max core file size +0 +0 ", limits, re.M), (pid, limits)
    finally:
        client.stdin.close()
        client.wait(timeout=20)
        client.stdout.close()
