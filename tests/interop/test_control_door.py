# SPDX-License-Identifier: MIT
"""The control sockets (W2, B6): OpenSSH's clients with ssh-mux as the master of their connection,
beside the same calls with a real ControlMaster."""
import pytest

import masters
import peers
from conftest import Cleanup
from masters import Client, Master, client_config, shown, socket_of
from peers import Sshd, hop, routes_toml


@pytest.fixture(scope="module")
def both(keys):
    """(client of ssh-mux, client of ssh -M): neither could reach the server by itself."""
    c = Cleanup()
    try:
        sshd = c(Sshd(keys, "target", MaxSessions=300, AcceptEnv="GIVEN LC_*"))
        mux = c(peers.Mux(keys, routes=routes_toml({"t": hop(sshd, send_env=["GIVEN"])}),
                          known_hosts=sshd.known_hosts()))
        master = c(Master(sshd, keys, options=["-o", "SendEnv=GIVEN LC_*"]))
        config = client_config(master.dir / "lost", sshd)
        ours, real = Client(config, socket_of(mux)), Client(config, master.sock)
        ours.mux, ours.sshd, real.master = mux, sshd, master
        yield ours, real
        assert mux.alive(), mux.log()[-6000:]
    finally:
        c.run()


SAME = {
    "command": (["echo hi"], {}),
    "status": (["echo out; echo err >&2; exit 7"], {}),
    "nothing": (["true"], {}),
    "signal": (["kill -9 $$"], {}),
    "no such command": (["/no/such/program"], {}),
    "shell": ([], {"input": b"echo from the shell; exit 5\n"}),
    "input": (["cat; exit 3"], {"input": bytes(range(256)) * 1000}),
    "errors": (["cat >&2"], {"input": bytes(range(256)) * 1000}),
    "subsystem that is none": (["nosuch"], {"options": ["-s"]}),
    "no input": (["cat"], {"options": ["-n"]}),
    "long command": (["echo " + "x" * 100000 + " | wc -c"], {}),
}


@pytest.mark.parametrize("case", SAME)
def test_W2_the_same_as_a_real_master(both, case):
    args, kwargs = SAME[case]
    ours, real = (client.ssh(*args, **kwargs) for client in both)
    assert shown(ours) == shown(real)
    assert b"went directly" not in ours.stderr
