# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""List the images that a rendered chart needs, and where each goes in a mirror. Pure.

Images are found in two places: in the pods of the chart's own workloads, and in the ClusterPolicy, whose components the
operator turns into DaemonSets later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Mapping

Object = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Pair:
    """One image: where it is used, its address now and in the mirror ("" without a mirror)."""

    where: str
    source: str
    target: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def address(component: Object) -> str:
    """Join repository, image and version as the operator does; a version may be a digest."""
    version = str(component.get("version") or "")
    joint = "@" if version.startswith("sha256:") else ":"
    repository = component.get("repository")
    name = f"{repository}/{component['image']}" if repository else str(component["image"])
    return name + (joint + version if version else "")


@dataclass(frozen=True)
class Nodes:
    """What the nodes are, as far as tags of images go on with it: their systems (``ubuntu22.04``), and for precompiled drivers their
    kernels."""

    systems: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()


def _in_pods(item: Object) -> Iterable[tuple[str, str]]:
    """Find the images of a workload's containers, and those that the operator is told of by its environment."""
    spec = item.get("spec") or {}
    template = ((spec.get("jobTemplate") or {}).get("spec") or spec).get("template") or {}
    pod = template.get("spec") or {}
    for group in ("initContainers", "containers"):
        for container in pod.get(group) or []:
            where = f"{item['kind']} {item['metadata']['name']}, {container['name']}"
            yield where, container["image"]
            for variable in container.get("env") or []:
                if variable["name"].endswith("_IMAGE") and variable.get("value"):
                    yield f"{where}, {variable['name']}", variable["value"]


def _in_component(path: str, component: Any, everything: bool) -> Iterable[tuple[str, Object]]:
    if not isinstance(component, Mapping) or (component.get("enabled") is False and not everything):
        return
    if component.get("image") and component.get("repository"):
        yield path, component
    for key, value in component.items():
        yield from _in_component(f"{path}.{key}", value, everything)


def _tags(component: Object, nodes: Nodes, precompiled: bool) -> Iterable[tuple[str, str]]:
    """Return the addresses that a component has on the nodes, each with what it goes on with; a digest goes on with nothing.

    Sources: NVIDIA/gpu-operator v26.7.0, controllers/object_controls.go, func resolveDriverTag (driver, gds, gdrcopy, vgpuManager), and
    api/nvidia/v1alpha1/nvidiadriver_types.go, func GetImagePath and GetPrecompiledImagePath.
    """
    plain = address(component)
    if "@sha256:" in plain:
        yield "", plain
        return
    kernels = nodes.kernels if precompiled else ("",)
    for kernel in kernels:
        for system in nodes.systems:
            end = "-".join(filter(None, (kernel, system)))
            yield end, f"{plain}-{end}"


def _in_config(config: Object, nodes: Nodes, everything: bool) -> Iterable[tuple[str, str]]:
    """Find the images of a ClusterPolicy's, a GPUCluster's or an NVIDIADriver's components."""
    kind, spec = config["kind"], config["spec"]
    sandbox = ((spec.get("sandboxWorkloads") or {}).get("enabled")) or everything
    components = (
        {"": {key: spec.get(key) for key in ("repository", "image", "version")}, **spec}
        if kind == "NVIDIADriver"
        else spec
    )
    for name, component in components.items():
        if name in _SANDBOX and not sandbox:
            continue
        if name == "driver" and component.get("useNvidiaDriverCRD") and not everything:
            continue  # what it says is not what the nodes pull: the NVIDIADrivers say that
        for path, found in _in_component(name, component, everything):
            where = f"{kind} {path}".rstrip()
            if path in _ON_SYSTEM:
                precompiled = path in ("", "driver") and bool((found if path else spec).get("usePrecompiled"))
                for end, image in _tags(found, nodes, precompiled):
                    yield f"{where} ({end})" if end else where, image
            else:
                yield where, address(found)


#: Whose tags go on with the node's system; "" is an NVIDIADriver itself.
_ON_SYSTEM = ("", "driver", "gds", "gdrcopy", "vgpuManager")
#: Components that the operator uses only for virtual machines.
_SANDBOX = ("vgpuManager", "vgpuDeviceManager", "vfioManager", "sandboxDevicePlugin", "kataSandboxDevicePlugin",
            "kataManager", "ccManager")  # fmt: skip
CONFIGS = ("ClusterPolicy", "GPUCluster", "NVIDIADriver")


def collect(objects: Iterable[Object], nodes: Nodes, everything: bool = False) -> dict[str, str]:
    """Return where each image is used → its address."""
    found: dict[str, str] = {}
    for item in objects:
        if item["kind"] in CONFIGS:
            name = item["metadata"]["name"]
            more = f" {name}" if item["kind"] == "NVIDIADriver" and name != "default" else ""
            found.update({where + more: image for where, image in _in_config(item, nodes, everything)})
        else:
            found.update(_in_pods(item))
    return found


def pairs(sources: Mapping[str, str], targets: Mapping[str, str]) -> tuple[Pair, ...]:
    """Return each image once, by the place where it is used first."""
    seen: dict[str, Pair] = {}
    for where, source in sorted(sources.items()):
        target = targets.get(where, "")
        seen.setdefault(source, Pair(where, source, target if target != source else ""))
    return tuple(sorted(seen.values(), key=lambda pair: pair.source))
