# SPDX-License-Identifier: MIT
"""Where PowerShell may not do what the script needs (A4), as on a computer whose administrator
restricts scripts: the question comes all the same, in a window of our own."""
from peers import poll, secret
from test_prompts import OK, Query, of_kind, scripted  # noqa: F401
from test_windows_prompt import (  # noqa: F401
    CODE, desktop, double, ended, make, shell)


def test_A4_a_window_of_our_own_where_powershell_is_restricted(shell, scripted):  # noqa: F811
    """A4, A5: the log says why, and it is not taken for a window that somebody closed."""
    server = scripted(rounds=[Query("", "", CODE), OK])
    mux, double_at = shell(server)
    double_at.plan(0, "restricted")
    client = mux.start_ssh("t", "x")
    desk = mux.desktop
    desk.type(desk.window(), "Return", text=secret("246810"))
    assert client.communicate(timeout=60)[0] == b"in\n"
    assert of_kind(server, "answers") == [("answers", ["246810"])]
    assert not double_at.asked() and mux.log().count("PowerShell can't ask here") == 1
    desk.gone()
    double_at.gone()


def test_A5_nobody_answers_that_window_either(shell, scripted):  # noqa: F811
    """A5: closed twice ends the login; PowerShell is asked for each question."""
    server = scripted(rounds=[Query("", "", CODE), Query("", "", CODE), OK])
    mux, double_at = shell(server)
    double_at.plan(0, "restricted")
    double_at.plan(1, "restricted")
    client = mux.start_ssh("t", "x")
    desk = mux.desktop
    first = desk.window()
    desk.type(first, "Escape")
    poll(lambda: first not in desk.windows(), 20, "the first window is gone")
    desk.type(desk.window(first), "Escape")
    err = ended(client)[1]
    assert client.returncode == 255 and "permission denied" in err.lower()
    desk.gone()
