# SPDX-License-Identifier: MIT
"""U1, U2, U9, U10: a taste of scripts/chaos, which .ci/run runs for ten minutes."""
import subprocess

import pytest

from peers import BINARY, TOP


@pytest.mark.timeout(300)
def test_U10_chaos_for_twenty_seconds():
    """Hostile parties of every kind at once: one session on the same connection, and one behind a
    jump host, live and echo, and nothing is left. The machine is busy with other tests, so an echo
    has three seconds here."""
    done = subprocess.run(
        [TOP / "scripts/chaos", "--minutes", "0.34", "--only", "sanitizers", "--seed", "1",
         "--echo-max", "3", "--binary", BINARY], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-3000:]
    assert "chaos: nothing broke" in done.stdout
