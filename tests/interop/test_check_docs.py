# SPDX-License-Identifier: MIT
"""scripts/check-docs notices what goes stale (H4): each kind of mistake is made once."""
import importlib.machinery
import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = TOP / "scripts/check-docs"


@pytest.fixture(scope="module")
def checker():
    """The script as a module: it reads what `overlay` has in the place of a file."""
    loader = importlib.machinery.SourceFileLoader("check_docs", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_docs", loader))
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def found_with(checker, name, mistake):
    # Files of the source are found wherever they are.
    path = TOP / name if "/" in name or name.endswith(".md") else next((TOP / "src").rglob(name))
    checker.overlay[path] = mistake(path.read_text())
    try:
        return checker.check_all()
    finally:
        checker.overlay.clear()


def replaced(old, new):
    """A mistake: the first `old` becomes `new`."""
    def change(text):
        assert old in text, old
        return text.replace(old, new, 1)

    return change


def added(line):
    return lambda text: f"{text}\n{line}\n"


def one_row_flattened(text):
    """The lines of the first table after "## 9. Time" run together, as a formatter does it."""
    begin = text.index("|", text.index("## 9. Time"))
    end = text.index("\n\n", begin)
    return text[:begin] + text[begin:end].replace("\n", " ")[:110] + text[end:]


DESIGN, README, REQUIREMENTS = "docs/DESIGN.md", "README.md", "docs/REQUIREMENTS.md"
ROUTES = "docs/ROUTES.md"

MISTAKES = {
    # what is wrong: (file, the mistake, what is said)
    "a stale constant": (DESIGN, replaced("| 4 MiB | `SHARE_KEPT_MAX` |", "| 2 MiB | `SHARE_KEPT_MAX` |"),
                         "SHARE_KEPT_MAX is 4194304, not 2 MiB"),
    "a stale constant in a sentence": (DESIGN, replaced("(`SMX_BLOCK_LEN`, 528 KiB", "(`SMX_BLOCK_LEN`, 512 KiB"),
                                       "SMX_BLOCK_LEN is 540672, not 512 KiB"),
    "a stale time": (DESIGN, replaced("90 s<!-- const: LOGIN_TIMEOUT_MS", "60 s<!-- const: LOGIN_TIMEOUT_MS"),
                     "LOGIN_TIMEOUT_MS is 90000, not 60 s"),
    "a stale constant on the line before": (DESIGN, replaced("that move at most 16 KiB", "that move at most 8 KiB"),
                                            "BULK_LIGHT is 16384, not 8 KiB"),
    "a stale constant, its name on the next line": (DESIGN, replaced("none for less than 8 KiB\n", "none for less than 4 KiB\n"),
                                                    "FLOW_GRANT_LEAST is 8192, not 4 KiB"),
    "a stale constant and its name in brackets": (DESIGN, replaced("(256 MiB, `WIN", "(128 MiB, `WIN"),
                                                  "WINDOW_ALL_GROWN is 268435456, not 128 MiB"),
    "a stale limit of the control protocol": ("limits.h", replaced("LINE_MAX        8192", "LINE_MAX        4096"),
                                              "SMX_CONTROL_LINE_MAX is 4096, not 8192 bytes"),
    "a constant that is gone": (DESIGN, replaced("`LINK_TX_HIGH`", "`LINK_TX_LOW`"),
                                "there is no constant LINK_TX_LOW"),
    "a reference to no section": ("stdio.h", added("/* docs/DESIGN.md, section 99 */"), "has no section 99"),
    "a reference broken over lines": ("stdio.h", added("/*\n * see docs/DESIGN.md,\n * section 99\n */"),
                                      "has no section 99"),
    "a reference within a document": (DESIGN, added("Much of it is true (section 99)."), "there is no section 99 here"),
    "a reference to another document": ("stdio.h", added("/* DESIGN §6 */"), 'write "docs/DESIGN.md, section N"'),
    "a reference to a chapter of it": ("stdio.h", added('/* DESIGN "Never" */'), 'write "docs/DESIGN.md, section N"'),
    "a function that is gone": (DESIGN, replaced("`upstream_tick` in", "`upstream_tock` in"),
                                "no upstream_tock in mux/pool/upstream.c"),
    "a link to no heading": (README, added("[there](docs/ROUTES.md#nowhere)"), "no heading #nowhere in ROUTES.md"),
    "a link to no file": (README, added("[there](docs/NOWHERE.md)"), "no file docs/NOWHERE.md"),
    "a file that is gone": (DESIGN, added("It is in `mux/nowhere.c`."), "no file mux/nowhere.c"),
    "a file that is gone, in a comment": ("stdio.h", added("/* nowhere.h says why */"),
                                          "a comment names nowhere.h, which is not there"),
    "a test that is gone": ("docs/SECURITY.md", added("`unit/test_buf.c::no_such_test`"),
                            "there is no test unit/test_buf.c::no_such_test"),
    "a flattened table": (DESIGN, one_row_flattened, "cells that are no table"),
    "a table flattened behind a sentence": (DESIGN, added("The limits: | what | most | | - | - | | data | 1 |"),
                                            "a table flattened into text"),
    "a table without its second line": (README, replaced("|---|---|\n", ""), "cells that are no table"),
    "a row with a cell too many": (ROUTES, replaced("| `direct` | `false` |", "| `direct` | | `false` |"),
                                   "a row of 4 cells in a table of 3"),
    "an open code fence": (README, added("```"), "a code fence that is not closed"),
    "an id without a row": ("stdio.h", added("/* as L77 says */"), "L77: there is no such row"),
    "a test's id without a row": ("tests/unit/test_buf.c", added("static void u77_it(void **state)"),
                                  "there is no row U77"),
    "a row without a test": (REQUIREMENTS, replaced("## P: the pool\n", "- **L77** It sings.\n\n## P: the pool\n"),
                             "L77 has no test"),
    "a tested row that is listed as open": (REQUIREMENTS, replaced("| row | reason |\n|---|---|\n",
                                                                  "| row | reason |\n|---|---|\n| L1 | - |\n"),
                                            "L1 is listed as not tested, and"),
    "a listed row that is none": (REQUIREMENTS, replaced("| row | reason |\n|---|---|\n",
                                                         "| row | reason |\n|---|---|\n| L77 | - |\n"), "L77 is listed and has no row"),
    "an option that is gone": ("docs/GUIDE.md", added("Run `ssh-mux install --louder`."),
                               "--louder is no option of ssh-mux install"),
    "an option of another command": (README, added("    ssh-mux lock --via proxy"),
                                     "--via is no option of ssh-mux lock"),
    "a command that is gone": ("docs/GUIDE.md", added("Run `ssh-mux sing`."), "ssh-mux has no command sing"),
    "a help that the man page has not": ("stop.c", replaced("  -h, --help", "  -x, --louder  more\\n  -h, --help"),
                                         "stop lacks --louder"),
    "a help with a default that is not the code's": ("serve.c", replaced("(default: 600)", "(default: 900)"),
                                                     "SMX_DEFAULT_IDLE_TIMEOUT_S is 600, not 900"),
    "a help with a default that the man page has not": ("top.c", replaced("(default: 1)", "(default: 2)"),
                                                        "top --interval: the default is 2 by --help only"),
    "a man page with a default of its own": ("docs/man/ssh-mux.1", replaced("this, 600 by", "this, 900 by"),
                                             "install --timeout: the default is 600 by --help only"),
    "a help that is not that of the other command": ("src/cli/run/daemon.c", replaced("(default: 600)", "(default: 300)"),
                                                     "daemon --timeout: the default is 300 by --help only"),
    "a man page with more than the help": ("docs/man/ssh-mux.1", replaced(".It Fl -purge", ".It Fl -louder"),
                                           "uninstall has --louder, which ssh-mux has not"),
    "a completion that lacks an option": ("packaging/completions/_ssh-mux", lambda t: t.replace("--purge", "--purg"),
                                          "lacks --purge"),
    "a command with another text in a completion": ("stop.c", replaced('.summary = "', '.summary = "sing: '),
                                                    'stop is said to "sing: close all connections'),
    "a key that is undocumented": (ROUTES, lambda t: t.replace("`dead_after`", "`died_after`"),
                                   "the key dead_after is missing"),
    "a key that is gone": (ROUTES, replaced("jump_through = true", "jump_over = true"),
                         "the routes file has no key jump_over"),
    "a key in an example": ("docs/GUIDE.md", replaced('user = "deploy"', 'usr = "deploy"'),
                            "the routes file has no key usr"),
    "a stale figure": (README, lambda t: t.replace("0.93", "0.88"), "bench/RESULTS.md has no 0.88 for"),
    "a figure without a source": (README, replaced("| 0.93 |", "| 0.93 (0.99) |"), "0.99: say after this text where"),
    "a line that is too long": (README, added("long " * 30), "columns"),
    "a README that grows": (README, added("word\n" * 1000), "more than 1300 belong below docs/"),
}


def test_H4_the_documents_are_right():
    done = subprocess.run([SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert re.fullmatch(r"check-docs: \d+ documents are right\n", done.stdout)


@pytest.mark.parametrize("what", MISTAKES)
def test_H4_noticed(checker, what):
    """H4: the check fails, and says where and what."""
    name, mistake, said = MISTAKES[what]
    found = found_with(checker, name, mistake)
    assert any(said in line for line in found), found


def test_H4_a_figure_measured_anew(checker):
    """H4: new results make the README's old figure stale."""
    def change(text):
        line = next(x for x in text.splitlines() if "control socket: × ControlMaster's" in x)
        return text.replace(line, line.replace("0.93", "0.71"))

    found = found_with(checker, "bench/RESULTS.md", change)
    assert any(x.startswith("README.md: bench/RESULTS.md has no 0.93 for") for x in found), found
    assert checker.check_all() == []
