# SPDX-License-Identifier: MIT
"""What is shipped: the zip for Windows (C6), the completion for PowerShell, and packages (H1, H2).

scripts/packages-check makes the packages and installs them."""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import zipfile

import pytest

from peers import BINARY

TOP = pathlib.Path(__file__).resolve().parents[2]
# scripts/wine-check runs this when it has built the program.
EXE = pathlib.Path(os.environ.get("SMX_WINE_BUILD", TOP / "build/mingw")) / "ssh-mux.exe"


def package(out):
    done = subprocess.run(
        [TOP / "scripts/package-windows", "--exe", EXE, "--out", out, "--url", "https://x.test/r"],
        capture_output=True, text=True, timeout=100)
    if done.returncode == 75:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done
    return next(out.glob("*.zip"))


def test_C6_the_zip_is_whole_and_reproducible(tmp_path):
    """C6: the program needs no DLL beside it, licences are with it, two runs give the same bytes,
    what its pages link to is in it, and the manifests of scoop and winget name its hash."""
    if not EXE.is_file():
        pytest.skip("no ssh-mux.exe: scripts/wine-check builds it")
    first, second = (package(tmp_path / name) for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as z:
        names = set(z.namelist())
        assert z.read("ssh-mux.exe")[:2] == b"MZ"
        assert all(len(z.read(n)) > 100 for n in names)
        here = str(TOP).encode()
        assert not any(here in z.read(n) for n in names if n.endswith((".md", ".ps1", ".toml")))
        links = {os.path.normpath(os.path.join(os.path.dirname(n), target))
                 for n in names if n.endswith(".md")
                 for target in re.findall(r"\]\(([^)#\s:]+)[)#]", z.read(n).decode())}
    assert len(links) > 10 and links <= names, links - names
    assert {"ssh-mux.exe", "LICENSE.txt", "README.md", "verify.ps1", "completions/ssh-mux.ps1",
            "licences/OpenSSL.txt", "licences/libuv.txt", "licences/jansson.txt",
            "licences/tomlplusplus.txt", "licences/gcc-runtime.txt"} <= names
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    scoop = json.loads((tmp_path / "one/scoop/ssh-mux.json").read_text())
    assert scoop["architecture"]["64bit"]["hash"] == digest
    assert scoop["architecture"]["64bit"]["url"].endswith(first.name)
    winget = (tmp_path / "one/winget/ssh-mux.installer.yaml").read_text()
    assert f"InstallerSha256: {digest.upper()}\n" in winget


def test_B10_powershell_completes_the_same_words_as_bash():
    """B10: commands and options of the completion for PowerShell are those of bash's."""
    bash = (TOP / "packaging/completions/ssh-mux.bash").read_text()
    power = (TOP / "packaging/completions/ssh-mux.ps1").read_text()
    want = {n.strip(): set(o.split()) for n, o in
            re.findall(r'^\t([a-z-]+)\)\n\t\toptions="([^"]*)"', bash, re.M)}
    table = power.split("$options = @{")[1].split("\n    }")[0]
    have = {n: set(re.findall(r"'(--[a-z-]+)'", rest)) for n, rest in
            re.findall(r"'([a-z-]+)' *= @\((.*)\)", table)}
    assert want == have
    commands = power.split("[ordered]@{")[1].split("\n    }")[0]
    words = set(re.findall(r"^ *'([a-z-]+)' *=", commands, re.M))
    listed = re.search(r'_ssh_mux_words "\$cur" (install.*?)--help', bash, re.S)[1]
    assert words == set(listed.replace("\\", " ").split())


def test_C6_verify_names_rows_that_there_are():
    """C6: each check of verify.ps1 names its requirement, and its quotes and braces are even."""
    text = (TOP / "packaging/windows/verify.ps1").read_text()
    rows = re.findall(r"^\s*(?:Check|Report '(?:NOT RUN|PASS|FAIL)') '(\w+)' ", text, re.M)
    assert {"S6", "L1", "S4", "S3", "S1", "C6", "C7", "A4", "A5", "D2"} <= set(rows)
    code = "\n".join(re.sub(r"#.*", "", l) for l in text.splitlines())
    code = re.sub(r"'(?:[^'\n]|'')*'|\"(?:[^\"`\n]|`.)*\"", "''", code)
    for a, b in ("{}", "()", "[]"):
        assert code.count(a) == code.count(b), (a, code.count(a), code.count(b))


# ---- H1, H2: packages of other systems, and what people build with ------------------------------

VERSION = re.search(r"^project\(ssh-mux VERSION ([0-9.]+)", (TOP / "CMakeLists.txt").read_text(),
                    re.M)[1]


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """What scripts/package-recipes makes, which bash, ruby and nix have read if they are here."""
    out = tmp_path_factory.mktemp("recipes")
    done = subprocess.run([TOP / "scripts/package-recipes", "--url", "https://x.test/r"],
                          capture_output=True, text=True, timeout=100,
                          env={**os.environ, "SMX_PACKAGE_OUT": str(out)})
    assert done.returncode == 0, done
    return out


def build_packages(column):
    """Names of section [build] by the Debian name; column counts from 1, as scripts/deps does."""
    section = (TOP / "packaging/debian-packages.txt").read_text().split("[build]\n")[1]
    rows = [line.split() for line in section.split("\n[")[0].splitlines()
            if line.strip() and not line.startswith("#")]
    return {row[0]: row[column - 1] for row in rows if row[column - 1] != "-"}


def words(text, name):
    return set(re.search(rf"^{name}=\((.*?)\)", text, re.M | re.S)[1].replace("'", "").split())


def test_H1_the_version_is_in_one_place(recipes):
    """H1: the program, the changelog and every recipe have the version of CMakeLists.txt."""
    assert subprocess.run([BINARY, "--version"], capture_output=True, text=True).stdout \
        == f"ssh-mux {VERSION}\n"
    assert re.search(r"^## \[([0-9.]+)\]", (TOP / "CHANGELOG.md").read_text(), re.M)[1] == VERSION
    assert f"\npkgver={VERSION}\n" in (recipes / "arch/PKGBUILD").read_text()
    assert f"\tpkgver = {VERSION}\n" in (recipes / "arch/.SRCINFO").read_text()
    assert f'version "{VERSION}"\n' in (recipes / "homebrew/ssh-mux.rb").read_text()
    files = subprocess.run(["git", "-C", TOP, "ls-files", "packaging", "cmake"], capture_output=True,
                           text=True).stdout.split()
    assert not [f for f in files if VERSION in (TOP / f).read_text(errors="replace")]


def test_H1_recipes_depend_on_what_the_table_names(recipes):
    """H1: PKGBUILD, formula and flake list the packages of [build], and the source's hash."""
    arch = (recipes / "arch/PKGBUILD").read_text()
    pacman = set(build_packages(3).values()) - {"gcc"}
    assert words(arch, "depends") - {"gcc-libs", "glibc"} == {"openssl", "libuv", "jansson", "libseccomp"}
    assert words(arch, "depends") | words(arch, "makedepends") == pacman | {"gcc-libs", "glibc"}
    brew = (recipes / "homebrew/ssh-mux.rb").read_text()
    assert set(re.findall(r'depends_on "(\S+)"', brew)) == set(build_packages(4).values())
    nix = (TOP / "packaging/nix/package.nix").read_text()
    inputs = re.findall(r"[bB]uildInputs = \[ (.*) \]", nix)
    assert set(" ".join(inputs).split()) == set(build_packages(5).values())
    [source] = recipes.glob("*.tar.gz")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert digest in arch and digest in brew


def test_H1_the_packages_unit_is_what_install_writes():
    """H1: ssh-mux install writes the package's unit, but for its origin and the program's place."""
    unit = (TOP / "packaging/ssh-mux.service.in").read_text()
    made = next((TOP / "build").glob("*/generated/ssh-mux.service"), None)
    assert made is not None, "no build has made the unit"
    lines = made.read_text().splitlines()
    template = unit.splitlines()
    differ = [n for n, (a, b) in enumerate(zip(lines, template)) if a != b]
    assert len(lines) == len(template)
    assert [template[n] for n in differ] == ["# @ORIGIN@", "ExecStart=@COMMAND@"]
    assert re.fullmatch(r'ExecStart="/\S+/bin/ssh-mux" "daemon" "--foreground"', lines[differ[1]])
    # The program has the same text.
    program = pathlib.Path(BINARY).read_bytes()
    head, tail = unit.split("# @ORIGIN@\n")[1].split("ExecStart=@COMMAND@\n")
    assert head.encode() in program and tail.encode() in program


def test_H2_no_preset_makes_warnings_errors():
    """H2: a warning of a compiler to come stops nobody's build; ./check and CI ask for errors."""
    presets = json.loads((TOP / "CMakePresets.json").read_text())["configurePresets"]
    for preset in presets:
        values = preset.get("cacheVariables", {})
        assert values.get("SMX_WERROR", "$env{SMX_WERROR}") == "$env{SMX_WERROR}", preset
        assert "Werror" not in json.dumps(preset)
    for script in ("check", ".ci/run"):
        assert re.search(r"^export .*SMX_WERROR=", (TOP / script).read_text(), re.M), script


@pytest.mark.parametrize("flags, own", [
    ("", "2"),
    ("-O2 -Wp,-D_FORTIFY_SOURCE=3", None),  # Arch
    ("-O2 -Wp,-U_FORTIFY_SOURCE,-D_FORTIFY_SOURCE=3 -Wp,-D_GLIBCXX_ASSERTIONS", None),  # Fedora
    ("-g -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2", None),  # Debian
])
def test_H2_a_distributions_flags_count(tmp_path, flags, own):
    """H2: _FORTIFY_SOURCE is set by us only where the flags given have not chosen a level."""
    done = subprocess.run(
        ["cmake", "-S", TOP, "-B", tmp_path, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
         "-DSMX_TESTS=OFF"],
        env={**os.environ, "CFLAGS": flags, "CXXFLAGS": flags}, capture_output=True, text=True,
        timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    commands = json.loads((tmp_path / "compile_commands.json").read_text())
    assert commands
    for command in commands:
        found = re.findall(r" -D_FORTIFY_SOURCE=(\d)", command["command"].replace(flags or "\0", ""))
        assert found == ([own] if own else []), command["command"]
        assert " -Werror" not in command["command"]
