# SPDX-License-Identifier: MIT
"""The fuzz targets, and where each one's things are: for scripts/fuzz and scripts/fuzz-coverage."""
import dataclasses
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FUZZ = ROOT / "tests" / "fuzz"
BUILD = ROOT / "build" / "fuzz"


@dataclasses.dataclass(frozen=True)
class Target:
    name: str

    @property
    def source(self):
        return FUZZ / f"fuzz_{self.name}.c"

    @property
    def seeds(self):
        """Committed inputs. There are always some."""
        return FUZZ / "corpus" / self.name

    @property
    def dictionary(self):
        """Its own, or the one that the line "// dictionary: NAME" of its source shares."""
        names = self.words("dictionary") or [self.name]
        return FUZZ / "dict" / f"{names[0]}.dict"

    @property
    def found(self):
        """Inputs that runs on this machine have found."""
        return BUILD / "new" / self.name

    @property
    def crashes(self):
        return BUILD / "crash"

    @property
    def fuzzes(self):
        """The files whose code it is for: the lines "// fuzzes: FILE..." of its source."""
        return self.words("fuzzes")

    def words(self, what):
        lines = self.source.read_text().splitlines()
        return [word for line in lines if line.startswith(f"// {what}: ")
                for word in line.split()[2:]]

    def program(self, preset="fuzz"):
        return ROOT / "build" / preset / "tests" / "fuzz" / f"fuzz_{self.name}"

    def shown(self, path):
        """A path as a person at the top of the repository types it."""
        return os.path.relpath(path, ROOT)


def named(names):
    """The targets of these names (fuzz_X is X), or all."""
    every = [Target(p.stem[len("fuzz_"):]) for p in sorted(FUZZ.glob("fuzz_*.c"))]
    known = {t.name: t for t in every}
    chosen = []
    for name in names:
        target = known.get(re.sub("^fuzz_", "", name))
        if not target:
            sys.exit(f"no fuzz target {name}; there are: {' '.join(known)}")
        chosen.append(target)
    return chosen or every


def build(preset):
    """Configures and builds the targets alone."""
    for command in (["cmake", "--preset", preset],
                    ["cmake", "--build", "--preset", preset, "--target", "fuzz_targets"]):
        r = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if r.returncode:
            sys.stderr.write(r.stdout[-6000:])
            sys.exit(f"{' '.join(command)} failed; what it needs: scripts/deps build fuzz")
