# SPDX-License-Identifier: MIT
"""Completions of shells and man pages say what the program says, no more and no less (B10)."""
import functools
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from peers import BINARY, poll
from test_pty import Terminal

TOP = pathlib.Path(__file__).resolve().parents[2]
COMPLETIONS = TOP / "packaging" / "completions"
COMMON = {"--help", "--version"}
VALUES = {
    "--via": {"control", "tcp", "proxy"},
    "--color": {"always", "never", "auto"},
    "--log-level": {"error", "warn", "info", "debug"},
}

pytestmark = pytest.mark.core


def needs(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    return pytest.mark.skipif(bool(missing), reason="no " + ", ".join(missing))


# ---- what the program says ----------------------------------------------------------------------


@functools.lru_cache(None)
def help_of(*words):
    done = subprocess.run([BINARY, *words, "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done
    return done.stdout


def commands():
    part = help_of().split("commands:\n")[1].split("\n\n")[0]
    found = re.findall(r"^  ([a-z][a-z-]*) ", part, re.M)
    assert len(found) >= 15
    return found


def options_of(command):
    """The long options of a command, with whether they take a value."""
    found = re.findall(r"^ +(?:-\w, +)?(--[a-z][a-z-]*)(?:[ =]([A-Z][A-Z:]*))?(?= |$)",
                       help_of(command), re.M)
    assert COMMON <= {name for name, _ in found}, command
    return {name: bool(value) for name, value in found}


def compare(what, shown, expected):
    """Tells exactly what is missing, and what is there for nothing."""
    assert not expected - shown, f"{what} lacks {sorted(expected - shown)}"
    assert not shown - expected, f"{what} has {sorted(shown - expected)}, which ssh-mux has not"


@pytest.fixture
def routes(tmp_path):
    """An environment in which there are two routes, and the program is in PATH."""
    ssh_dir, run_dir, bin_dir = tmp_path / "ssh", tmp_path / "run", tmp_path / "bin"
    for path in (ssh_dir, run_dir, bin_dir):
        path.mkdir(mode=0o700)
    (bin_dir / "ssh-mux").symlink_to(pathlib.Path(BINARY).resolve())
    path = ssh_dir / "ssh-mux-routes.toml"
    path.write_text("".join(f'[routes."{name}"]\nhost = "h"\nuser = "u"\n'
                            for name in ("web", "db-1.x")))
    path.chmod(0o600)
    return {**os.environ, "SSH_MUX_SSH_DIR": str(ssh_dir), "XDG_RUNTIME_DIR": str(run_dir),
            "PATH": f"{bin_dir}:{os.environ['PATH']}", "LC_ALL": "C", "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}


# ---- bash ---------------------------------------------------------------------------------------


def in_bash(env, *words, cwd=None):
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c",
         f'source "{COMPLETIONS}/ssh-mux.bash"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
         '_ssh_mux; for word in "${COMPREPLY[@]}"; do printf "%s\\n" "$word"; done', "bash",
         "ssh-mux", *words], env=env, capture_output=True, text=True, timeout=20, cwd=cwd)
    assert done.returncode in (0, 1) and done.stderr == "", done
    return set(done.stdout.splitlines())


@needs("bash")
def test_B10_bash_knows_all_and_nothing_else(routes):
    """B10: every command and every long option of each, as --help has them."""
    compare("bash", in_bash(routes, ""), {*commands(), *COMMON})
    for command in commands():
        options = options_of(command)
        compare(f"bash: {command}", in_bash(routes, command, "--"), set(options))
        for option, has_value in options.items():
            values = in_bash(routes, command, option, "=", "")
            if option in VALUES:
                assert values == VALUES[option]
                assert in_bash(routes, command, option, "=", "a") <= VALUES[option]
                assert in_bash(routes, command, option, "") == VALUES[option]
            elif not has_value:
                assert not values & set().union(*VALUES.values()), (command, option)


@needs("bash")
def test_B10_bash_names_of_routes(routes, tmp_path):
    """B10: names of routes where one belongs; files after options that take one."""
    for command in ("connect", "proxy", "doctor"):
        assert in_bash(routes, command, "") == {"web", "db-1.x"}
        assert in_bash(routes, command, "w") == {"web"}
        assert in_bash(routes, command, "web", "") == set()
    assert in_bash(routes, "connect", "-t", "") == {"web", "db-1.x"}
    assert in_bash(routes, "doctor", "--port", "2222", "") == {"web", "db-1.x"}
    assert in_bash(routes, "status", "") == set()
    (tmp_path / "a file.toml").touch()
    assert in_bash(routes, "serve", "--config", "a", cwd=tmp_path) == {"a file.toml"}
    assert in_bash(routes, "nonsense", "--") == set()


@needs("bash")
def test_B10_completion_runs_nothing_of_the_file(routes, tmp_path):
    """B10: whatever stands in the routes file is text; one that is wrong or missing gives no names."""
    path = pathlib.Path(routes["SSH_MUX_SSH_DIR"]) / "ssh-mux-routes.toml"
    for text in (f'[routes."$(touch {tmp_path}/ran)"]\nhost = "h"\nuser = "u"\n',
                 f"[routes.x]\nhost = '`touch {tmp_path}/ran`'\nuser = 'u'\n", "[[[", ""):
        path.write_text(text)
        assert in_bash(routes, "connect", "") == set()
    path.unlink()
    assert in_bash(routes, "connect", "") == set()
    assert not (tmp_path / "ran").exists()


@needs("bash")
def test_B10_bash_at_a_terminal(routes):
    """B10: the Tab key itself, in an interactive bash."""
    t = Terminal(["bash", "--norc", "--noprofile", "-i"],
                 env={**routes, "PS1": "$ ", "BASH_SILENCE_DEPRECATION_WARNING": "1"})
    try:
        t.read_until(rb"\$ ")
        t.send(f'source "{COMPLETIONS}/ssh-mux.bash"; echo READ"Y"\n'.encode())
        t.read_until(rb"READY\r\n")
        for typed, line in ((b"ssh-mux unin\t", rb"ssh-mux uninstall "),
                            (b"ssh-mux setup-config --vi\tpr\t", rb"--via ?pr\x07?oxy"),
                            (b"ssh-mux setup-config --via=p\t", rb"--via=proxy"),
                            (b"ssh-mux connect we\t", rb"connect web ")):
            t.send(typed)
            t.read_until(line)
            t.send(b"\x15")  # Ctrl-U
    finally:
        t.close()


# ---- fish ---------------------------------------------------------------------------------------


def in_fish(env, line):
    done = subprocess.run(
        ["fish", "--no-config", "-c",
         f"source {COMPLETIONS}/ssh-mux.fish; complete -C $argv[1]", line],
        env=env, capture_output=True, text=True, timeout=40)
    assert done.returncode == 0 and done.stderr == "", done
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


@needs("fish")
def test_B10_fish_knows_all_and_nothing_else(routes):
    """B10: as for bash; and the syntax is right."""
    subprocess.run(["fish", "-n", COMPLETIONS / "ssh-mux.fish"], check=True, timeout=40)
    compare("fish", in_fish(routes, "ssh-mux "), set(commands()))
    for command in commands():
        options = options_of(command)
        compare(f"fish: {command}", in_fish(routes, f"ssh-mux {command} --"), set(options))
        for option in VALUES.keys() & options.keys():
            assert in_fish(routes, f"ssh-mux {command} {option} ") == VALUES[option]
    for command in ("connect", "proxy", "doctor"):
        assert in_fish(routes, f"ssh-mux {command} ") == {"web", "db-1.x"}
        assert in_fish(routes, f"ssh-mux {command} web ") == set()


# ---- zsh ----------------------------------------------------------------------------------------

# What the Tab key would show is written to a file: a listing on the terminal is left out by zsh
# when more was typed meanwhile.
ZSH_SETUP = r"""
PS1='> '; fpath=(%(completions)s $fpath); autoload -Uz compinit; compinit -u -D; bindkey -e
capture() {
	typeset -ga all; all=()
	compadd() {
		local -a found
		case " ${(j: :)@[1,(i)(-|--)]} " in *\ -[a-zA-Z12]#[OAD]\ *) builtin compadd "$@"; return ;; esac
		builtin compadd -A found "$@"
		all+=("${found[@]}")
		builtin compadd "$@"
	}
	_main_complete
	unfunction compadd
	compstate[insert]= compstate[list]=
	{ print -rl -- $all; print END } > %(out)s.new; mv %(out)s.new %(out)s
}
zle -C capture complete-word capture; bindkey '^I' capture; setopt extendedglob
print READ'Y'
"""


@needs("zsh")
def test_B10_zsh_knows_all_and_nothing_else(routes, tmp_path):
    """B10: as for bash, by the Tab key of an interactive zsh; and the syntax is right."""
    subprocess.run(["zsh", "-n", COMPLETIONS / "_ssh-mux"], check=True, timeout=40)
    setup, out = tmp_path / "setup", tmp_path / "out"
    setup.write_text(ZSH_SETUP % {"completions": COMPLETIONS, "out": out})
    t = Terminal(["zsh", "-f", "-i"], env=routes)

    def offered(line):
        t.send(b"\x15" + line.encode() + b"\t")
        poll(out.exists, 40, f"what {line!r} offers")
        words = out.read_text().splitlines()
        out.unlink()
        assert words.pop() == "END"
        return {word.rstrip("=") for word in words if word}

    try:
        t.send(f"source {setup}\r".encode())
        t.read_until(rb"READY\r\n", 40)
        compare("zsh", offered("ssh-mux "), set(commands()))
        for command in commands():
            options = options_of(command)
            compare(f"zsh: {command}", offered(f"ssh-mux {command} --"), set(options))
            for option in VALUES.keys() & options.keys():
                assert offered(f"ssh-mux {command} {option}=") == VALUES[option]
        for command in ("connect", "proxy", "doctor"):
            assert offered(f"ssh-mux {command} ") == {"web", "db-1.x"}
            assert not offered(f"ssh-mux {command} web ") & {"web", "db-1.x"}
    finally:
        t.close()


# ---- man pages ----------------------------------------------------------------------------------

PAGES = [TOP / "docs" / "man" / name for name in ("ssh-mux.1", "ssh-mux-routes.5")]


@needs("mandoc")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_B10_man_pages_are_sound(page):
    """B10: no warning of mandoc, and they can be read at 80 columns."""
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 0 and done.stdout == "", done.stdout
    done = subprocess.run(["mandoc", "-Tascii", page], capture_output=True, text=True, timeout=20)
    lines = re.sub(r".\x08", "", done.stdout).splitlines()
    assert len(lines) > 50 and max(map(len, lines)) <= 80


def sections(text):
    """{command: its part of the COMMANDS section}"""
    part = text.split("\n.Sh COMMANDS\n")[1].split("\n.Sh ")[0]
    pieces = re.split(r"^\.Ss (\S+)\n", part, flags=re.M)
    return dict(zip(pieces[1::2], pieces[2::2]))


def test_B10_man_page_has_every_command_and_option():
    """B10: ssh-mux(1) has a section for each command, with an entry for each long option."""
    text = PAGES[0].read_text()
    found = sections(text)
    compare("ssh-mux.1", set(found), set(commands()))
    for command, part in found.items():
        shown = {f"-{name}" for line in re.findall(r"^\.It (Fl .*)$", part, re.M)
                 for name in re.findall(r"(?<=\s)-[a-z][a-z-]*", line)}
        compare(f"ssh-mux.1: {command}", shown, set(options_of(command)) - COMMON)
        for option in VALUES.keys() & shown:
            for value in VALUES[option]:
                assert re.search(rf"\b{value}\b", part), (command, option, value)


def test_B10_R3_man_page_has_every_key():
    """B10, R3: ssh-mux-routes(5) has an entry for each key that the parser knows."""
    source = (TOP / "src" / "config" / "routes_keys.c").read_text()
    keys = set(re.findall(r'^\t\{ "(\w+)", KEY_', source, re.M))
    assert {"host", "identity", "pinentry"} <= keys
    shown = set(re.findall(r"^\.It Ic (\w+)", PAGES[1].read_text(), re.M))
    compare("ssh-mux-routes.5", shown, keys - {"routes"})


def test_B10_man_page_has_the_exit_codes():
    """B10: the exit codes of ssh-mux(1) are those of the program."""
    source = (TOP / "src" / "cli" / "cli.h").read_text()
    codes = set(re.findall(r"SMX_EXIT_\w+ = (\d+)", source))
    part = PAGES[0].read_text().split("\n.Sh EXIT STATUS\n")[1].split("\n.Sh ")[0]
    assert codes <= set(re.findall(r"^\.It (\d+)", part, re.M))
