"""Commands on a lab's host as Ansible reaches it: the same address and key, whatever kind of host it is."""

from __future__ import annotations

import shlex

import yaml

from tests.lab.hosts import machine
from tests.lab.log import LabError
from tests.lab.state import Lab


def command(lab: Lab, host: str) -> list[str]:
    """Return the ssh command line that is still without what to run."""
    if not lab.inventory.exists():
        raise LabError(f"lab {lab.name}: no hosts; bring them up first")
    nodes = yaml.safe_load(lab.inventory.read_text())["all"]["children"]["kube_node"]
    if host not in nodes["hosts"]:
        raise LabError(f"lab {lab.name}: host: wanted one of {', '.join(nodes['hosts'])}, found {host!r}")
    known = {**nodes["vars"], **nodes["hosts"][host]}
    options = shlex.split(known["ansible_ssh_common_args"])
    key = ["-i", known["ansible_ssh_private_key_file"], "-o", "ConnectTimeout=10"]
    return ["ssh", *options, *key, "-p", str(known.get("ansible_port", 22)), f"root@{known['ansible_host']}"]


def run(lab: Lab, host: str, script: str) -> str:
    """Run a shell script there and return what it wrote; a failure is an error that has it."""
    return machine.text([*command(lab, host), script])
