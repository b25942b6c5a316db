# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell whether the operands are what the present ClusterPolicy makes of them. A pure predicate.

After an upgrade the ClusterPolicy's state "ready" stands from before until the new operator's leader has reconciled, and every
DaemonSet of the old one is rolled out and well. What cannot be left over is what the operator writes from the ClusterPolicy into each
DaemonSet: the labels of ``spec.daemonsets.labels``, among them the chart's version, each component's image, its environment and its
pull secrets, and the ConfigMap of the device plugin's configs (NVIDIA/gpu-operator, controllers/object_controls.go, func DaemonSet and the
Transform functions; the same in v22.9.2 and v26.7.0).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator.images import address
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import Waiting
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState, Object

PLUGIN = "nvidia-device-plugin-daemonset"
DRIVER = "nvidia-driver-daemonset"

#: DaemonSet → the ClusterPolicy's component that asks for it, and what the component is without ``enabled``.
OPERANDS = {
    "gpu-feature-discovery": ("gfd", True),
    "nvidia-container-toolkit-daemonset": ("toolkit", True),
    "nvidia-dcgm": ("dcgm", False),
    "nvidia-dcgm-exporter": ("dcgmExporter", True),
    PLUGIN: ("devicePlugin", True),
    DRIVER: ("driver", True),
    "nvidia-mig-manager": ("migManager", True),
    "nvidia-node-status-exporter": ("nodeStatusExporter", False),
    "nvidia-operator-validator": ("validator", True),
}
#: Whose environment reaches the container as it is written; the toolkit's paths, say, become paths inside of it.
_ENV_AS_GIVEN = ("devicePlugin", "gfd", "dcgm", "migManager", "nodeStatusExporter")


def enabled(policy: Object | None, component: str, default: bool) -> bool:
    """Tell whether the ClusterPolicy asks for a component."""
    return bool(_section(policy, component).get("enabled", default))


def _section(policy: Object | None, component: str) -> Mapping[str, Any]:
    return ((policy or {}).get("spec") or {}).get(component) or {}


def of_policy(name: str, item: Object, policy: Object, component: str) -> Iterable[Waiting]:
    """Name what the operator has not carried from the ClusterPolicy into a DaemonSet yet; at most one thing."""
    pod = item["spec"]["template"]["spec"]
    for wanted, found in (
        *_labels(item, policy),
        *_image(name, pod, _section(policy, component)),
        *_environment(pod, component, _section(policy, component)),
        *_configs(pod, policy, component),
    ):
        yield Waiting("DaemonSet", name, wanted, found)
        return


def _labels(item: Object, policy: Object) -> Iterable[tuple[str, str]]:
    for key, value in (_section(policy, "daemonsets").get("labels") or {}).items():
        found = labels(item).get(key, "none")
        if found != str(value):
            yield f"label {key}={value} of the ClusterPolicy", found


def _containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(pod.get("containers") or []), *(pod.get("initContainers") or [])]


def _image(name: str, pod: Mapping[str, Any], section: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Compare the image. The driver's tag goes on with the node's kernel and system; without an image the operator has its own."""
    if not section.get("image"):
        return
    wanted, found = address(section), [each.get("image", "") for each in _containers(pod)]
    more = f"{wanted}-" if name.startswith(DRIVER) else wanted
    if not any(image == wanted or image.startswith(more) for image in found):
        yield f"image {wanted}", ", ".join(found)


def _environment(pod: Mapping[str, Any], component: str, section: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    present = [env for each in _containers(pod) for env in each.get("env") or []]
    for env in section.get("env") or []:
        found = [each.get("value") for each in present if each["name"] == env["name"]]
        if not found or (component in _ENV_AS_GIVEN and env.get("value") not in found):
            yield f"{env['name']}={env.get('value', '')} in its environment", ", ".join(map(str, found)) or "nothing"
    pulled = {each.get("name") for each in pod.get("imagePullSecrets") or []}
    for secret in section.get("imagePullSecrets") or []:
        if secret not in pulled:
            yield f"pull secret {secret}", ", ".join(sorted(map(str, pulled))) or "none"


def _configs(pod: Mapping[str, Any], policy: Object, component: str) -> Iterable[tuple[str, str]]:
    """Compare the ConfigMap that device plugin and feature discovery mount. None of theirs may be left when none is wanted."""
    if component not in ("devicePlugin", "gfd"):
        return
    wanted = (_section(policy, "devicePlugin").get("config") or {}).get("name") or ""
    found = {(volume.get("configMap") or {}).get("name") for volume in pod.get("volumes") or []} - {None}
    if wanted and wanted not in found:
        yield f"ConfigMap {wanted} mounted", ", ".join(sorted(map(str, found))) or "none"


def left_over(state: ClusterState) -> Iterable[Waiting]:
    """Name DaemonSets that the ClusterPolicy does not ask for any more."""
    for name, (component, default) in OPERANDS.items():
        if name in state.daemonsets and not enabled(state.policy, component, default):
            yield Waiting("DaemonSet", name, f"to be gone ({component} is switched off)", "still there")
