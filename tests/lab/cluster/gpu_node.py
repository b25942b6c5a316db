"""What a GPU node shows for its hardware, its labels and the plugin's configuration. Pure.

These are the rules of NFD, the operator, GPU feature discovery, the device plugin and the MIG manager, as far as a
cluster's users can see them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

PCI_LABEL = "feature.node.kubernetes.io/pci-10de.present"
OPT_OUT = "nvidia.com/gpu.deploy.operands"
CONFIG_LABEL = "nvidia.com/device-plugin.config"
MIG_LABEL = "nvidia.com/mig.config"
MIG_STATE = "nvidia.com/mig.config.state"
DEPLOY = "nvidia.com/gpu.deploy."
#: Operands that go to every GPU node; mig-manager goes only where the GPU can do MIG.
DEPLOYED = (
    "container-toolkit",
    "dcgm",
    "dcgm-exporter",
    "device-plugin",
    "driver",
    "gpu-feature-discovery",
    "node-status-exporter",
    "operator-validator",
)
#: Those of nodes whose GPUs go to virtual machines (NVIDIA/gpu-operator v26.7.0, controllers/state_manager.go, gpuStateLabels).
FOR_MACHINES = ("sandbox-device-plugin", "sandbox-validator", "vfio-manager")
WORKLOAD = "nvidia.com/gpu.workload.config"
_MIG_PRODUCTS = re.compile(r"\b(A100|A30|H100|H200|B200|GH200)\b")


@dataclass(frozen=True)
class Hardware:
    """One node's GPUs, from its host's profile; the Node has them in an annotation."""

    count: int = 0
    product: str = ""
    memory_mib: int = 0
    architecture: str = ""

    @property
    def mig_capable(self) -> bool:
        return bool(_MIG_PRODUCTS.search(self.product.replace("-", " ")))

    @classmethod
    def of(cls, profile: Mapping[str, Any]) -> Hardware:
        return cls(
            profile["count"],
            profile.get("product_name", ""),
            profile.get("memory_mib", 0),
            profile.get("architecture", ""),
        )

    def told(self) -> str:
        """Return this as the annotation's text."""
        return json.dumps(asdict(self))

    @classmethod
    def heard(cls, text: str | None) -> Hardware:
        """Return what the annotation says; nothing where somebody else made the Node."""
        return cls(**json.loads(text)) if text else cls()


@dataclass(frozen=True)
class Sharing:
    """How the plugin shares each GPU."""

    replicas: int = 1
    rename: bool = False
    strategy: str = "none"


def sharing(config: str | None) -> Sharing:
    """What the device plugin makes of a config. Keys that it does not know are passed over, as the real one does."""
    document = yaml.safe_load(config) if config else None
    blocks = document.get("sharing") if isinstance(document, dict) else None
    for key, strategy in (("timeSlicing", "time-slicing"), ("mps", "mps")):
        block = (blocks or {}).get(key) or {}
        for resource in block.get("resources") or []:
            if resource.get("name") == "nvidia.com/gpu" and int(resource.get("replicas", 1)) > 1:
                return Sharing(int(resource["replicas"]), bool(block.get("renameByDefault")), strategy)
    return Sharing()


def mig_instances(name: str) -> tuple[str, int] | None:
    """Profile and instances a GPU of a MIG config like ``all-1g.10gb``; nothing for a name that is not known."""
    if name == "all-disabled":
        return "", 1
    found = re.fullmatch(r"all-((\d)g\.\d+gb)", name)
    return (found.group(1), {1: 7, 2: 3, 3: 2, 4: 1, 7: 1}.get(int(found.group(2)), 0)) if found else None


def resources(hardware: Hardware, shared: Sharing, mig: str = "", mig_strategy: str = "single") -> dict[str, int]:
    """What the device plugin advertises."""
    profile, instances = mig_instances(mig) or ("", 1)
    name = "nvidia.com/gpu"
    if profile and mig_strategy == "mixed":
        name = f"nvidia.com/mig-{profile}"
    suffix = ".shared" if shared.rename else ""
    return {name + suffix: hardware.count * instances * shared.replicas}


def holds_gpus(pod: Mapping[str, Any]) -> bool:
    """Whether the device plugin has given the pod GPUs, or parts of them."""
    limits = [c.get("resources", {}).get("limits") or {} for c in pod["spec"]["containers"]]
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not ended and any(name.startswith("nvidia.com/") for found in limits for name in found)


def status_patch(status: Mapping[str, Any], wanted: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """What to change in capacity and allocatable. A resource that is gone stays as 0, as the kubelet leaves it."""
    patch: dict[str, dict[str, str]] = {}
    for field in ("capacity", "allocatable"):
        present = {k: v for k, v in status.get(field, {}).items() if k.startswith("nvidia.com/")}
        after = {**dict.fromkeys(present, "0"), **{name: str(count) for name, count in wanted.items()}}
        if after != present:
            patch[field] = after
    return patch


def nfd_labels(hardware: Hardware, node: Mapping[str, Any]) -> dict[str, str]:
    """What node feature discovery finds; every node has some."""
    info = node["status"]["nodeInfo"]
    system = "ubuntu" if info["osImage"].startswith("Ubuntu") else "debian"
    version = re.search(r"\d+(\.\d+)?", info["osImage"])
    labels = {
        "feature.node.kubernetes.io/system-os_release.VERSION_ID": version[0] if version else "",
        "feature.node.kubernetes.io/kernel-version.full": info["kernelVersion"],
        "feature.node.kubernetes.io/system-os_release.ID": system,
    }
    return {**labels, PCI_LABEL: "true"} if hardware.count else labels


def operator_labels(
    hardware: Hardware, labels: Mapping[str, str], workload: str = "container"
) -> dict[str, str | None]:
    """The operator's own labels; ``None`` takes one away. A value that somebody set stays."""
    if labels.get(PCI_LABEL) != "true":
        return {}
    operands = (*DEPLOYED, "mig-manager") if hardware.mig_capable else DEPLOYED
    if workload != "container":
        others: dict[str, str | None] = {DEPLOY + name: None for name in operands if DEPLOY + name in labels}
        mine = {DEPLOY + name: labels.get(DEPLOY + name, "true") for name in FOR_MACHINES}
        return {"nvidia.com/gpu.present": "true", **others, **mine}
    if labels.get(OPT_OUT) == "false":
        gone: dict[str, str | None] = {DEPLOY + name: None for name in operands if DEPLOY + name in labels}
        return {"nvidia.com/gpu.present": "true", **gone}
    return {"nvidia.com/gpu.present": "true", **{DEPLOY + name: labels.get(DEPLOY + name, "true") for name in operands}}


def discovery_labels(hardware: Hardware, shared: Sharing, mig: str, mig_strategy: str) -> dict[str, str]:
    """What GPU feature discovery adds."""
    profile, instances = mig_instances(mig) or ("", 1)
    product = hardware.product.replace(" ", "-")
    if profile and mig_strategy == "single":
        product += f"-MIG-{profile}"
    if shared.replicas > 1 and not shared.rename:
        product += "-SHARED"
    return {
        "nvidia.com/gpu.count": str(hardware.count * (instances if mig_strategy == "single" else 1)),
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.memory": str(hardware.memory_mib),
        "nvidia.com/gpu.family": hardware.architecture.lower(),
        "nvidia.com/gpu.replicas": str(shared.replicas),
        "nvidia.com/gpu.sharing-strategy": shared.strategy,
        "nvidia.com/mig.capable": str(hardware.mig_capable).lower(),
        "nvidia.com/mig.strategy": mig_strategy,
    }


#: What discovery adds, to be taken away again.
DISCOVERED = tuple(discovery_labels(Hardware(0), Sharing(), "", ""))


def label_patch(labels: Mapping[str, str], wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    """Only what differs."""
    return {key: value for key, value in wanted.items() if labels.get(key) != value}
