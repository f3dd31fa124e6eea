# SPDX-License-Identifier: MIT
"""scripts/fuzz keeps its count, resumes and reports crashes (H3): with targets that only act as
libFuzzer's programs do. The real ones are run by ./check with the same script."""
import pathlib
import shutil
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]

# Says what libFuzzer says, notes how it was called, and does what "how" tells.
PROGRAM = r"""#!/usr/bin/python3
import os, pathlib, re, sys
me = pathlib.Path(__file__)
options = dict(a[1:].split("=", 1) for a in sys.argv[1:] if a.startswith("-"))
with open(me.with_suffix(".calls"), "a") as calls:
    print(*sys.argv[1:], file=calls)
how = me.with_suffix(".how").read_text()
found = pathlib.Path([a for a in sys.argv[1:] if not a.startswith("-")][0])
(found / "input").write_bytes(b"x")
print("#700\tNEW cov: 1", flush=True)
if how == "killed":
    os.kill(os.getpid(), 9)
if how == "crash":
    pathlib.Path(options["artifact_prefix"] + "crash-1").write_bytes(b"boom")
else:
    print("Done 1000 runs in 1 second(s)")
print("stat::number_of_executed_units: 1000")
sys.exit(77 if how == "crash" else 0)
"""


@pytest.fixture
def tree(tmp_path):
    """A copy of the script with targets one and two."""
    for name in ("scripts/fuzz", "tests/fuzz/targets.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / name, tmp_path / name)
    programs = tmp_path / "build" / "fuzz" / "tests" / "fuzz"
    programs.mkdir(parents=True)
    for name in ("one", "two"):
        (tmp_path / "tests" / "fuzz" / f"fuzz_{name}.c").write_text("// fuzzes: src/x.c\n")
        (programs / f"fuzz_{name}").write_text(PROGRAM)
        (programs / f"fuzz_{name}").chmod(0o755)
        act(tmp_path, name, "well")
    return tmp_path


def act(tree, name, how):
    (tree / "build" / "fuzz" / "tests" / "fuzz" / f"fuzz_{name}.how").write_text(how)


def calls(tree, name):
    path = tree / "build" / "fuzz" / "tests" / "fuzz" / f"fuzz_{name}.calls"
    return path.read_text().splitlines() if path.exists() else []


def fuzz(tree, *args):
    return subprocess.run([sys.executable, tree / "scripts" / "fuzz", *args], text=True, timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True)


def executions(tree):
    """Of each target, as the table shows them."""
    r = fuzz(tree)
    assert r.returncode == 0, r.stderr
    rows = [line.split() for line in r.stdout.splitlines()]
    return {row[0]: int(row[1].replace(",", "")) for row in rows if row[0] in ("one", "two", "all")}


def test_H3_fuzz_counts_over_runs(tree):
    assert executions(tree) == {"one": 0, "two": 0, "all": 0}
    assert fuzz(tree, "--no-build", "--seconds", "1").returncode == 0
    r = fuzz(tree, "--no-build", "--seconds", "1", "fuzz_two")
    assert r.returncode == 0 and r.stdout.endswith("\n1 passed, 0 failed, 0 skipped\n"), r
    assert executions(tree) == {"one": 1000, "two": 2000, "all": 3000}
    # The next begins with what the last has found, which is not written to the seeds.
    assert len(calls(tree, "two")) == 2
    for call in calls(tree, "two"):
        inputs = [a for a in call.split() if not a.startswith("-")]
        assert inputs == [str(tree / d) for d in ("build/fuzz/new/two", "tests/fuzz/corpus/two")]
        assert "-max_total_time=1 " in call and "-dict=" not in call


def test_H3_fuzz_takes_a_dictionary(tree):
    words = tree / "tests" / "fuzz" / "dict" / "one.dict"
    words.parent.mkdir()
    words.write_text('"word"\n')
    assert fuzz(tree, "--no-build", "--seconds", "1").returncode == 0
    assert f"-dict={words}" in calls(tree, "one")[0]
    assert "-dict=" not in calls(tree, "two")[0]
    with open(tree / "tests" / "fuzz" / "fuzz_two.c", "a") as f:
        f.write("// dictionary: one\n")
    assert fuzz(tree, "--no-build", "--seconds", "1", "two").returncode == 0
    assert f"-dict={words}" in calls(tree, "two")[-1]


@pytest.mark.parametrize("how_long", [("--seconds", "1"), ("--hours", "0.0008")])
def test_H3_fuzz_reports_a_crash(tree, how_long):
    act(tree, "one", "crash")
    r = fuzz(tree, "--no-build", *how_long)
    assert r.returncode == 1
    assert "replay: build/fuzz/tests/fuzz/fuzz_one build/fuzz/crash/one-crash-1\n" in r.stdout
    assert r.stdout.endswith("\n1 passed, 1 failed, 0 skipped\n")
    assert (tree / "build/fuzz/crash/one-crash-1").read_bytes() == b"boom"
    # It is not run again to find the same, and what it did is counted.
    assert len(calls(tree, "one")) == 1 and executions(tree)["one"] == 1000


def test_H3_fuzz_notices_a_target_that_does_not_end(tree):
    """Killed (out of memory): there is no statistic, and no input to replay."""
    act(tree, "two", "killed")
    r = fuzz(tree, "--no-build", "--seconds", "1")
    assert r.returncode == 1 and "two: ended with -9; " in r.stdout, r.stdout
    assert executions(tree) == {"one": 1000, "two": 700, "all": 1700}


def test_H3_fuzz_takes_the_least_run_first(tree):
    ledger = tree / "build" / "fuzz" / "executions"
    ledger.write_text("one 5 500\ntwo 7 40\n")
    assert fuzz(tree, "--no-build", "--hours", "0.0003").returncode == 0
    assert not calls(tree, "one") and calls(tree, "two")
    assert executions(tree)["one"] == 5 and executions(tree)["two"] > 1000


def test_H3_fuzz_says_what_it_cannot_do(tree):
    r = fuzz(tree, "--no-build", "--seconds", "1", "three")
    assert r.returncode != 0 and "no fuzz target three; there are: one two" in r.stderr
    r = fuzz(tree, "--no-build", "--hours", "0")
    assert r.returncode == 2 and "above 0" in r.stderr
    act(tree, "one", "well")
    (tree / "build/fuzz/tests/fuzz/fuzz_one").unlink()
    r = fuzz(tree, "--no-build", "--seconds", "1", "one")
    assert r.returncode != 0 and "fuzz_one is not built" in r.stderr


def test_H3_every_target_says_what_it_is_for():
    """Files that exist, for scripts/fuzz-coverage; and each has seeds."""
    sys.path.insert(0, str(TOP / "tests" / "fuzz"))
    try:
        import targets
    finally:
        sys.path.pop(0)
    every = targets.named([])
    assert len(every) >= 33
    for target in every:
        assert target.fuzzes, target
        for name in target.fuzzes:
            assert (TOP / name).is_file(), (target, name)
        assert any(target.seeds.iterdir()), target
        assert target.dictionary.exists() or not target.words("dictionary"), target
    # A dictionary belongs to a target.
    used = {t.dictionary for t in every}
    assert set((TOP / "tests" / "fuzz").glob("dict/*")) <= used
