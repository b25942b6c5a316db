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


def _in_pods(item: Object) -> Iterable[tuple[str, str]]:
    spec = item.get("spec") or {}
    template = ((spec.get("jobTemplate") or {}).get("spec") or spec).get("template") or {}
    pod = template.get("spec") or {}
    for group in ("initContainers", "containers"):
        for container in pod.get(group) or []:
            yield f"{item['kind']} {item['metadata']['name']}, {container['name']}", container["image"]


def _in_component(path: str, component: Any, everything: bool) -> Iterable[tuple[str, Object]]:
    if not isinstance(component, Mapping) or (component.get("enabled") is False and not everything):
        return
    if component.get("image") and component.get("repository"):
        yield path, component
    for key, value in component.items():
        yield from _in_component(f"{path}.{key}", value, everything)


def _in_policy(policy: Object, systems: Iterable[str], everything: bool) -> Iterable[tuple[str, str]]:
    sandbox = ((policy["spec"].get("sandboxWorkloads") or {}).get("enabled")) or everything
    for name, component in policy["spec"].items():
        if name in _SANDBOX and not sandbox:
            continue
        for path, found in _in_component(name, component, everything):
            if path == "driver":  # the operator adds the node's system to the driver's tag
                for system in systems:
                    yield f"ClusterPolicy {path} ({system})", f"{address(found)}-{system}"
            else:
                yield f"ClusterPolicy {path}", address(found)


#: Components that the operator uses only for virtual machines.
_SANDBOX = ("vgpuManager", "vgpuDeviceManager", "vfioManager", "sandboxDevicePlugin", "kataSandboxDevicePlugin",
            "kataManager", "ccManager")  # fmt: skip


def collect(objects: Iterable[Object], systems: Iterable[str] = (), everything: bool = False) -> dict[str, str]:
    """Return where each image is used → image."""
    found: dict[str, str] = {}
    for item in objects:
        if item["kind"] == "ClusterPolicy":
            found.update(_in_policy(item, tuple(systems), everything))
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
