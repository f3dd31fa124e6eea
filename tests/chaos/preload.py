# SPDX-License-Identifier: MIT
"""A preloaded library that makes things fail, and the file by which it is told what."""
import os
import pathlib
import shutil
import struct
import subprocess

from peers import short_dir

HERE = pathlib.Path(__file__).resolve().parent


class Preload:
    """HERE/NAME.c, which maps the file that the variable names."""

    def __init__(self, name, variable, switch):
        self.dir = short_dir(name)
        self.variable = variable
        self.library = self.dir / f"{name}.so"
        subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-Wall", "-O1", "-g", "-shared",
                        "-fPIC", "-o", self.library, HERE / f"{name}.c", "-ldl"], check=True)
        self.path = self.dir / "switch"
        self.path.write_bytes(switch)

    def stop(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def environment(self, env, **more):
        # AddressSanitizer wants to stand first; what this one passes on goes to it all the same.
        options = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return {**env, "LD_PRELOAD": str(self.library), self.variable: str(self.path),
                "ASAN_OPTIONS": options, **more}

    def put(self, at, *numbers):
        with open(self.path, "r+b") as f:
            f.seek(at)
            f.write(struct.pack(f"{len(numbers)}I", *numbers))
