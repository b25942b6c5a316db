"""Commands on a lab's host as Ansible reaches it: the same address and key, whatever kind of host it is."""

from __future__ import annotations

import shlex
import time

import yaml

from tests.lab.hosts import machine
from tests.lab.log import LabError
from tests.lab.state import Lab

#: A connection of one's own that notices when the other side is gone: a shared one to a host without power never ends.
ALIVE = ("-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")
OWN = ("-o", "ControlPath=none", *ALIVE)


def command(lab: Lab, host: str) -> list[str]:
    """Return the ssh command line that is still without what to run."""
    if not lab.inventory.exists():
        raise LabError(f"lab {lab.name}: no hosts; bring them up first")
    nodes = yaml.safe_load(lab.inventory.read_text())["all"]["children"]["kube_node"]
    if host not in nodes["hosts"]:
        raise LabError(f"lab {lab.name}: host: wanted one of {', '.join(nodes['hosts'])}, found {host!r}")
    known = {**nodes["vars"], **nodes["hosts"][host]}
    options = [*OWN, *shlex.split(known["ansible_ssh_common_args"]), "-i", known["ansible_ssh_private_key_file"]]
    return ["ssh", *options, "-p", str(known.get("ansible_port", 22)), f"root@{known['ansible_host']}"]


def run(lab: Lab, host: str, script: str) -> str:
    """Run a shell script there and return what it wrote; a failure is an error that has it."""
    return machine.text([*command(lab, host), script])


def wait(lab: Lab, host: str, limit_s: float = 180) -> None:
    """Until the host lets root in and has booted, well or not."""
    until = time.monotonic() + limit_s
    while True:
        done = machine.run([*command(lab, host), "systemctl is-system-running --wait"], check=False)
        if done.stdout.strip() in (b"running", b"degraded"):
            return
        if time.monotonic() > until:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise LabError(f"host {host}: not back within {limit_s:.0f} s ({said})")
        time.sleep(0.5)
