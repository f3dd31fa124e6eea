# SPDX-License-Identifier: MIT
"""What we compute with secrets ourselves takes the same steps whatever they are (A16, B9)."""
import pathlib
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
PROBE = pathlib.Path(__file__).with_name("constant_time_probe.c")
CRYPTO = TOP / "src" / "crypto"


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O2", "-O3"])
def test_B9_sntrup761_no_branch_or_address_depends_on_secrets(tmp_path, compiler, level):
    """As machine code, since it is compilers that make branches of masks."""
    for program in (compiler, "valgrind"):
        if not shutil.which(program):
            pytest.skip(f"no {program}")
    probe = tmp_path / "probe"
    subprocess.run(
        [compiler, level, "-gdwarf-4", "-D_GNU_SOURCE", f"-I{TOP / 'src'}", "-o", probe, PROBE,
         CRYPTO / "sntrup761.c", CRYPTO / "sntrup761_ring.c", TOP / "src" / "base" / "mem.c",
         "-Wl,--wrap=sntrup_invert_3"],
        check=True)  # fmt: skip
    done = subprocess.run(["valgrind", "-q", "--error-exitcode=9", probe],
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]
