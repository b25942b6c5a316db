"""A host's power button and its console, for what happens to a machine that nobody asked.

Stopping without a second's grace is a power cut to what runs inside: nothing is flushed by it, nothing shuts down. What
the host wrote is in the machine's page cache, so files that a real disk would lose are not lost.
"""

from __future__ import annotations

from tests.lab.hosts import lifecycle, podman, ssh
from tests.lab.hosts.vm import lifecycle as virtual
from tests.lab.log import LabError
from tests.lab.state import Lab


def cut(lab: Lab, host: str) -> None:
    """A virtual machine's QEMU is told to quit: what the guest had not written to its disk yet is lost."""
    if virtual.is_ours(lab, host):
        virtual.power_cut(lab, host)
    else:
        podman.run("stop", "--time", "0", lifecycle.container_name(lab, host))


def on(lab: Lab, host: str) -> None:
    """Back again, with all that begins at boot."""
    if virtual.is_ours(lab, host):
        virtual.power_on(lab, host)
        ssh.wait(lab, host, lifecycle.WAIT_S["vm"])
        return
    podman.run("start", lifecycle.container_name(lab, host))
    ssh.wait(lab, host)


def console(lab: Lab, host: str, script: str) -> str:
    """A shell there that needs no network."""
    if virtual.is_ours(lab, host):
        raise LabError(
            f"host {host}: a virtual machine has no console but {virtual.files_of(lab, host).console}, to read"
        )
    return podman.text("exec", lifecycle.container_name(lab, host), "sh", "-c", script)
