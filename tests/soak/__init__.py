# SPDX-License-Identifier: MIT
"""Endurance: a daemon under the load of a working day, between real peers only (scripts/soak).

Users (users.py) open sessions, transfer and forward through every door; disturbers (disturbers.py)
kill clients and servers, re-exchange keys, reload, lock, stall the network and move the clock.
Every minute all of them pause for a moment, and what the daemon holds is compared with what has to
be there by the book that the users keep (model.py): not about so much, but exactly so much.
"""
