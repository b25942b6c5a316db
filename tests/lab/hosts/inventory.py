"""The lab's inventory, in the shape of Kubespray's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.state import Lab

SSH = (
    "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null "
    "-o LogLevel=ERROR -o IdentitiesOnly=yes -o GSSAPIAuthentication=no "
    "-o ControlMaster=auto -o ControlPersist=60s"
)


@dataclass(frozen=True)
class Address:
    """Where a host's sshd answers."""

    address: str
    port: int = 22

    def __str__(self) -> str:
        return self.address if self.port == 22 else f"{self.address}:{self.port}"

    def variables(self) -> dict[str, Any]:
        port = {} if self.port == 22 else {"ansible_port": self.port}
        return {"ansible_host": self.address, **port}


def document(lab: Lab, addresses: Mapping[str, Address]) -> dict[str, Any]:
    connection = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(lab.ssh_key),
        "ansible_ssh_common_args": f"{SSH} -o ControlPath={lab.control_sockets}/%h-%p",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    hosts = {name: address.variables() for name, address in addresses.items()}
    groups = {"kube_node": {"hosts": hosts, "vars": connection}, "kube_control_plane": {"hosts": {}}}
    return {"all": {"children": groups}}


def write(lab: Lab, addresses: Mapping[str, Address]) -> Path:
    text = yaml.safe_dump(document(lab, addresses), sort_keys=False, width=200)
    lab.inventory.write_text(f"# Written by tests.lab.hosts for the lab {lab.name!r}.\n---\n{text}")
    return lab.inventory
