# SPDX-License-Identifier: MIT
"""Everything hostile at once, and one session that must not notice (scripts/chaos).

actor.py      what an actor is: it does one thing after the other until it is told to stop
strangers.py  who has no key: rubbish, half-open connections, floods
members.py    who has a key and no manners: malformed messages, floods, kills in mid-transfer
endpoint.py   at the control endpoint: rubbish, clients that stop reading
servers.py    remotes and jump hosts that lie, dribble, hang and hang up
callers.py    who calls them through ssh-mux
killers.py    SIGKILL for commands, servers' processes and pinentries
echo.py       the session that must not notice: a process of its own, an echo every 200 ms
model.py      what has to be true when all is over
world.py      the real programs
run.py        phases, verdict
"""
