"""scripts/check-layers notices what it is there for: each rule is broken once in a copy (H5)."""
import pathlib
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "scripts").mkdir()
    shutil.copy(TOP / "scripts/check-layers", tmp_path / "scripts")
    shutil.copytree(TOP / "src", tmp_path / "src")
    return tmp_path


def check(tree):
    return subprocess.run([tree / "scripts/check-layers"], capture_output=True, text=True)


def add(tree, name, text):
    path = tree / "src" / name
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_H5_the_layers_hold_as_they_are(tree):
    done = check(tree)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name, text, words", [
    ("base/text.h", '#include "ssh/conn.h"\n', "an include may only go down"),
    ("base/buf.h", '#include "base/wire.h"\n', "in a circle: base/buf.h, base/wire.h"),
    ("crypto/hash.c", '#include "crypto/kex.h"\n', "in a circle: crypto/hash, crypto/kex"),
    ("ssh/conn.c", "#include <sys/socket.h>\n", "a layer without I/O"),
    ("trust/text.c", '#include "base/log.h"\n', "trust logs"),
    ("mux/core/mux.c", "#ifdef _WIN32\n#endif\n", "_WIN32 outside src/os"),
    ("cli/text.c", "int x(char *a) { strcpy(a, a); }\n", "strcpy() is banned"),
], ids=["up", "header-circle", "file-circle", "io", "log", "system", "banned"])
def test_H5_a_broken_layer_is_noticed(tree, name, text, words):
    add(tree, name, text)
    done = check(tree)
    assert done.returncode == 1 and words in done.stdout, done.stdout
