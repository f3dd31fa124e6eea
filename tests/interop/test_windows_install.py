# SPDX-License-Identifier: MIT
"""install, uninstall and the editors' wrappers of ssh-mux.exe (C6, C7), under wine."""
import fcntl
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import wine
from peers import free_port, poll

pytestmark = pytest.mark.core

# What Windows takes in a name, and shells and scripts make something of.
HARD = "a b & ^ (x'!)"
FOREIGN = HARD + " 한글 é 😀"
STARTUP = "drive_c/users/*/AppData/Roaming/Microsoft/Windows/Start Menu/Programs/Start[Uu]p"

ROUTE = '[routes.r0]\nhost = "192.0.2.1"\nuser = "me"\ndirect = true\n'

# An ssh that does what matters here: it asks by SSH_ASKPASS, and ends as it is told.
FAKE_SSH = r"""
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>
int wmain(int argc, wchar_t **argv)
{
	wchar_t ask[4096], line[8192];
	STARTUPINFOW si = { sizeof(si) };
	PROCESS_INFORMATION pi;
	DWORD code = 99;

	for (int i = 1; i < argc; i++) {
		printf("arg:");
		for (wchar_t *s = argv[i]; *s; s++)
			printf(*s < 0x80 ? "%c" : "<%x>", *s);
		printf("\n");
	}
	fflush(stdout);
	if (GetEnvironmentVariableW(L"SSH_ASKPASS", ask, 4096)) {
		for (wchar_t *s = ask; *s; s++)
			if (*s >= 0x80) {
				printf("not ASCII\n");
				return 98;
			}
		_snwprintf(line, 8192, L"\"%ls\" \"the code: \"", ask);
		if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &si, &pi))
			return 97;
		WaitForSingleObject(pi.hProcess, INFINITE);
		GetExitCodeProcess(pi.hProcess, &code);
		printf("askpass:%lu\n", code);
	}
	return 5;
}
"""


@pytest.fixture
def world(tmp_path):
    """A wine prefix's Startup folder for one test at a time."""
    if wine.WineMux.exe is None:
        pytest.skip("for ssh-mux.exe: scripts/wine-check")
    prefix = pathlib.Path(os.environ["WINEPREFIX"])
    with open(prefix / "install-test.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        w = World(tmp_path, prefix)
        try:
            yield w
        finally:
            w.call(w.exe, "stop")
            for script in w.scripts():
                script.unlink()


class World:
    def __init__(self, tmp_path, prefix):
        self.tmp, self.prefix, self.count = tmp_path, prefix, 0
        self.exe = tmp_path / "built.exe"
        shutil.copy(wine.WineMux.exe, self.exe)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("SSH_", "DISPLAY"))}
        self.env.update(LC_ALL="C.UTF-8", WINEDEBUG="-all",
                        WINEDLLOVERRIDES="mscoree,mshtml=")
        self.use(HARD)

    def use(self, name):
        """An SSH directory of this name, with a route."""
        self.ssh_dir = self.tmp / name
        self.ssh_dir.mkdir(mode=0o700)
        self.put("ssh-mux-routes.toml", ROUTE)
        self.env["SSH_MUX_SSH_DIR"] = wine.path(self.ssh_dir)

    def put(self, name, text):
        (self.ssh_dir / name).write_text(text)
        (self.ssh_dir / name).chmod(0o600)

    def scripts(self):
        return list(self.prefix.glob(STARTUP + "/ssh-mux.vbs"))

    def call(self, program, *args, timeout=100, **env):
        """Through files: what runs on in the background would keep a pipe open."""
        self.count += 1
        out, err = self.tmp / f"out{self.count}", self.tmp / f"err{self.count}"
        with open(out, "wb") as o, open(err, "wb") as e:
            done = subprocess.run(["wine", str(program), *args], env={**self.env, **env}, stdout=o,
                                  stderr=e, stdin=subprocess.DEVNULL, timeout=timeout)
        done.stdout, done.stderr = (p.read_text(errors="replace") for p in (out, err))
        return done

    def status(self):
        done = self.call(self.exe, "status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def daemon_pid(self):
        done = self.call(self.exe, "status")
        return int(done.stdout.split("process ")[1].split(",")[0]) if done.returncode == 0 else None


def install(world, *args, exe=None):
    done = world.call(exe or world.exe, "install", *args)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done


@pytest.mark.timeout(300)
def test_C6_C5_S8_install_from_logon_to_uninstall(world):
    """C6, C5, S8, D1, D3: install starts the daemon at once and from each logon on, from directories
    whose names mean something to scripts; run again it changes nothing; a new program takes the
    place of the one that runs; uninstall leaves what is the user's."""
    (world.tmp / "100%TEMP% r").mkdir(mode=0o700)
    routes = world.tmp / "100%TEMP% r" / "r.toml"
    (world.ssh_dir / "ssh-mux-routes.toml").rename(routes)
    world.put("id_ed25519.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43 + " me\n")
    port = free_port()
    options = ["-p", str(port), "--config", wine.path(routes)]

    done = install(world, *options)
    assert "started, process id" in done.stdout
    assert (world.ssh_dir / "ssh-mux.exe").read_bytes() == world.exe.read_bytes()
    [script] = world.scripts()
    first = world.daemon_pid()
    assert first

    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in world.ssh_dir.iterdir()
              if p.name != "ssh-mux.log"}
    done = install(world, *options)
    assert f"unchanged, process id {first}" in done.stdout
    assert before == {p.name: (p.stat().st_mtime_ns, p.read_bytes())
                      for p in world.ssh_dir.iterdir() if p.name != "ssh-mux.log"}

    # At logon. Wine's WshShell sets no variables and its Run expands none, so that is done here.
    assert world.call(world.exe, "stop").returncode == 0
    lines = script.read_text("ascii").splitlines()
    sets = [l for l in lines if ".Item(" in l]
    assert len(sets) == 2, "the SSH directory, and the path with percent signs"
    number = re.search(r'Item\("(SSH_MUX_ARG\d)"\)', sets[1])[1]
    at_logon = world.tmp / "at-logon.vbs"
    at_logon.write_text("\r\n".join(l for l in lines if l not in sets).replace(
        f"%{number}%", wine.path(routes)), "ascii")
    done = world.call("wscript", wine.path(at_logon))
    assert done.returncode == 0, done
    second = poll(world.daemon_pid, 30)
    assert second and second != first
    done = install(world, *options)
    assert f"unchanged, process id {second}" in done.stdout, "it is not taken for the service's"

    # Another one, while this one runs from the copy.
    newer = world.tmp / "newer.exe"
    newer.write_bytes(world.exe.read_bytes() + b"newer")
    done = install(world, *options, exe=newer)
    assert f"process id {second} ended" in done.stdout
    assert (world.ssh_dir / "ssh-mux.exe").read_bytes() == newer.read_bytes()
    assert world.daemon_pid() not in (None, first, second)

    # A daemon of other options is not the service's, and makes way.
    assert world.call(world.exe, "stop").returncode == 0
    world.put("ssh-mux-routes.toml", ROUTE)
    assert world.call(world.exe, "daemon", "-p", str(free_port())).returncode == 0
    by_hand = world.daemon_pid()
    done = install(world, *options, exe=newer)
    assert f"process id {by_hand} ended" in done.stdout
    assert not list(world.ssh_dir.glob("ssh-mux.exe.*"))

    done = world.call(world.exe, "uninstall")
    assert done.returncode == 0, done
    assert not world.scripts() and world.daemon_pid() is None
    assert {p.name for p in world.ssh_dir.iterdir()} == {
        "id_ed25519.pub", "ssh-mux-authorized-keys", "ssh-mux-host-key", "ssh-mux-host-key.pub",
        "ssh-mux-routes.toml", "ssh-mux.log"}


def test_C6_D3_names_beyond_ascii(world):
    """C6, D3: the script is ASCII for any name, each character beyond that as its code; the
    daemon is started in that directory, and uninstall finds all of it again."""
    world.use(FOREIGN)
    install(world, "-p", str(free_port()))
    [script] = world.scripts()
    # VBScript's expression, as far as it is used: literals and ChrW, joined by &.
    line = next(l for l in script.read_text("ascii").splitlines() if "SSH_MUX_SSH_DIR" in l)
    parts = re.findall(r'"((?:[^"]|"")*)"|ChrW\((\d+)\)', line.split(" = ", 1)[1])
    units = b"".join(t.replace('""', '"').encode("utf-16-le") if not n else
                     int(n).to_bytes(2, "little") for t, n in parts)
    assert units.decode("utf-16-le") == wine.path(world.ssh_dir)
    assert world.daemon_pid()
    assert world.call(world.exe, "uninstall").returncode == 0
    assert not world.scripts() and not (world.ssh_dir / "ssh-mux.exe").exists()


def test_C6_a_foreign_script_stays(world):
    """C6, C8: a file of that name which is not ours is neither replaced nor removed."""
    [folder] = world.prefix.glob(STARTUP)
    script = folder / "ssh-mux.vbs"
    script.write_text("' mine\r\n")
    script.chmod(0o600)
    done = world.call(world.exe, "install", "-p", str(free_port()))
    assert done.returncode != 0 and "was not made by ssh-mux" in done.stderr
    assert world.call(world.exe, "uninstall").returncode == 0
    assert script.read_text() == "' mine\n" or script.read_bytes() == b"' mine\r\n"


def test_C7_editor_asks_by_a_path_that_is_not_ascii(world):
    """C7: through cursor-ssh.cmd, ssh gets an SSH_ASKPASS of ASCII, which calls the editor's own
    with its question and gives its exit code back; arguments and exit code pass through."""
    compiler = shutil.which("x86_64-w64-mingw32-gcc")
    if not compiler:
        pytest.skip("no mingw-w64 to build the ssh of this test with")
    world.use("dev ssh & x")
    (world.tmp / "ssh.c").write_text(FAKE_SSH)
    subprocess.run([compiler, "-municode", "-o", world.tmp / "ssh.exe", world.tmp / "ssh.c"],
                   check=True)
    world.env["WINEPATH"] = wine.path(world.tmp)
    done = world.call(world.exe, "setup-config")
    assert done.returncode == 0, done.stderr
    wrapper = wine.path(world.ssh_dir / "cursor-ssh.cmd")
    assert f'set "remote.SSH.path" to: {wrapper}' in done.stdout
    (world.tmp / FOREIGN).mkdir()
    askpass = world.tmp / FOREIGN / "editor askpass.cmd"
    askpass.write_bytes(b"@echo off\r\necho answer to %1\r\nexit /b 3\r\n")
    editor = world.tmp / "editor.cmd"
    editor.write_bytes(f'@"{wrapper}" -T "a b" r0\r\n'.encode())

    done = world.call("cmd", "/c", wine.path(editor), SSH_ASKPASS=wine.path(askpass))
    assert done.stdout.split()[:4] == ["arg:-T", "arg:a", "b", "arg:r0"], done
    assert 'answer to "the code: "' in done.stdout and "askpass:3" in done.stdout, done
    assert done.returncode == 5
    # Without an askpass of the editor's there is none.
    done = world.call("cmd", "/c", wine.path(editor))
    assert "askpass" not in done.stdout and done.returncode == 5
    # Uninstall takes them away, but not what somebody else has put there.
    world.put("cursor-ssh.cmd", "@echo mine\n")
    assert world.call(world.exe, "uninstall").returncode == 0
    assert (world.ssh_dir / "cursor-ssh.cmd").exists()
    assert not (world.ssh_dir / "cursor-askpass.cmd").exists()
