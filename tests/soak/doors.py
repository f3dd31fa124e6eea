# SPDX-License-Identifier: MIT
"""The doors of the daemon, as command lines of real clients."""
import os
import shlex

import masters
from peers import SSH

DOORS = ("port", "proxy", "control", "connect")
SSH_DOORS = DOORS[:3]  # those that take ssh's own options


class Doors:
    def __init__(self, mux, server, directory):
        self.mux = mux
        # A client that can't reach the server by itself: what it gets, it has from the daemon.
        self.client_config = masters.client_config(directory / "client_config", server)
        self.env = {**os.environ, **mux.environment()}

    def ssh_options(self, door, route):
        """ssh's arguments before the command, host included."""
        if door == "control":
            return ["-F", str(self.client_config), "-o",
                    f"ControlPath={masters.socket_of(self.mux, route)}", "t"]
        options = ["-F", str(self.mux.config_path)]
        if door == "proxy":
            words = (str(self.mux.binary), "proxy", route)
            options += ["-o", "ProxyCommand=" + " ".join(map(shlex.quote, words))]
        return [*options, f"{route}@mux"]

    def argv(self, door, route, command, options=()):
        if door == "connect":
            return [str(self.mux.binary), "connect", route, command]
        before = self.ssh_options(door, route)
        return [SSH, *before[:-1], *options, before[-1], command]

    def sftp(self, door, route):
        before = self.ssh_options(door, route)
        return ["sftp", "-q", *before[:-1], "-b", "-", before[-1]]

    # With a command, which ends with its input: -N alone is not served at a control socket.
    def forward(self, door, route, port, target_port):
        before = self.ssh_options(door, route)
        return [SSH, *before[:-1], "-o", "ExitOnForwardFailure=yes", "-L",
                f"127.0.0.1:{port}:127.0.0.1:{target_port}", before[-1], "exec cat"]
