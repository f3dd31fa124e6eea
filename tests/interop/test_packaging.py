# SPDX-License-Identifier: MIT
"""What is shipped for Windows (C6): the zip, its manifests, the completion for PowerShell."""
import hashlib
import json
import pathlib
import re
import subprocess
import zipfile

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
EXE = TOP / "build/mingw/ssh-mux.exe"


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
    and the manifests of scoop and winget name its hash."""
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
