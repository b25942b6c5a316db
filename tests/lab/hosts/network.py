"""A podman network per lab, on a subnet that nothing here uses."""

from __future__ import annotations

import ipaddress
import json
import os
import zlib
from collections.abc import Iterable

from tests.lab.hosts import machine, podman
from tests.lab.log import LabError

Network = ipaddress.IPv4Network
FIRST_HOST = 10


def name_of(lab: str) -> str:
    return f"t9k-gpu-{lab}"


def ensure(lab: str, label: str) -> Network:
    """The lab's subnet; a lab of the same name gets the same one again where it is still free."""
    name = name_of(lab)
    if podman.exists("network", name):
        return Network(podman.inspect("network", name)["subnets"][0]["subnet"])
    refused = ""
    for subnet in candidates(lab, used()):
        argv = ["network", "create", "--disable-dns", "--label", label, "--subnet", str(subnet), name]
        done = podman.run(*argv, check=False)
        if done.returncode == 0:
            return subnet
        refused = done.stderr.decode().strip()  # another lab took it a moment ago
    raise LabError(f"no subnet could be made for the lab {lab}; the last answer was: {refused or 'none'}")


def candidates(lab: str, taken: Iterable[Network], prefix: str | None = None) -> list[Network]:
    """At most eight free /24 subnets below $T9K_GPU_LAB_NET (10.90), starting where the lab's name points to."""
    prefix = prefix or os.environ.get("T9K_GPU_LAB_NET", "10.90")
    start, taken = zlib.crc32(lab.encode()) % 256, list(taken)
    every = [Network(f"{prefix}.{(start + step) % 256}.0/24") for step in range(256)]
    return [subnet for subnet in every if not any(subnet.overlaps(other) for other in taken)][:8]


def used() -> list[Network]:
    """Subnets of podman's networks and of this machine's routes."""
    names = podman.text("network", "ls", "--format", "{{.Name}}").split()
    shown = json.loads(podman.text("network", "inspect", *names)) if names else []
    found = [entry["subnet"] for network in shown for entry in network.get("subnets") or []]
    routes = json.loads(machine.text(["ip", "-json", "-4", "route"]) or "[]")
    found += [route["dst"] for route in routes if route["dst"] != "default"]
    return [Network(each, strict=False) for each in found if ":" not in each]


def address(subnet: Network, index: int) -> str:
    return str(subnet[FIRST_HOST + index])
