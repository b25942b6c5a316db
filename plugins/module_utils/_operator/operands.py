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
from typing import TYPE_CHECKING, Any

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator.images import address
from ansible_collections.t9k.gpu.plugins.module_utils._operator.policy import enabled, section, uses_driver_crd
from ansible_collections.t9k.gpu.plugins.module_utils._operator.shapes import DRIVER, asked_for, driver_sets, table
from ansible_collections.t9k.gpu.plugins.module_utils._operator.waits import Waiting

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState, Object

#: Whose environment reaches the container as it is written; the toolkit's paths, say, become paths inside of it.
_ENV_AS_GIVEN = ("devicePlugin", "gfd", "dcgm", "migManager", "nodeStatusExporter")


def of_drivers(state: ClusterState) -> Iterable[Waiting]:
    """Look at the NVIDIADrivers: their own word, and whether their DaemonSets have the image that they ask for."""
    asked = state.gpu_clusters or (uses_driver_crd(state.policy) and enabled(state.policy, "driver", True))
    if not asked:
        return
    if not state.drivers and state.policy is not None:
        yield Waiting("NVIDIADriver", "*", "one to exist (driver.nvidiaDriverCRD is enabled)", "none")
    for driver in state.drivers:
        name, found = driver["metadata"]["name"], (driver.get("status") or {}).get("state") or "no state"
        if found != "ready":
            yield Waiting("NVIDIADriver", name, "state ready", why(found, driver.get("status") or {}))
        for each, item in driver_sets(state).items():
            owners = item["metadata"].get("ownerReferences") or []
            if any(owner["kind"] == "NVIDIADriver" and owner["name"] == name for owner in owners):
                for wanted, has in _image(DRIVER, item["spec"]["template"]["spec"], driver.get("spec") or {}):
                    yield Waiting("DaemonSet", each, wanted, has)


def why(state: str, status: Mapping[str, Any]) -> str:
    """Return what a custom resource says of itself: its state, and the condition that explains it."""
    bad = {"Error": "True", "Ready": "False"}
    conditions = [c for c in status.get("conditions") or [] if c.get("status", "True") == bad.get(c.get("type"))]
    told = [c["message"] for c in conditions if c.get("message")]
    return f"{state} ({told[0]})" if told else state


def of_policy(name: str, item: Object, policy: Object, component: str) -> Iterable[Waiting]:
    """Name what the operator has not carried from the ClusterPolicy into a DaemonSet yet; at most one thing."""
    pod = item["spec"]["template"]["spec"]
    for wanted, found in (
        *_labels(item, policy),
        *_image(name, pod, section(policy, component)),
        *_environment(pod, component, section(policy, component)),
        *_configs(pod, policy, component),
    ):
        yield Waiting("DaemonSet", name, wanted, found)
        return


def _labels(item: Object, policy: Object) -> Iterable[tuple[str, str]]:
    for key, value in (section(policy, "daemonsets").get("labels") or {}).items():
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
    wanted = (section(policy, "devicePlugin").get("config") or {}).get("name") or ""
    found = {(volume.get("configMap") or {}).get("name") for volume in pod.get("volumes") or []} - {None}
    if wanted and wanted not in found:
        yield f"ConfigMap {wanted} mounted", ", ".join(sorted(map(str, found))) or "none"


def left_over(state: ClusterState) -> Iterable[Waiting]:
    """Name DaemonSets that the ClusterPolicy does not ask for any more."""
    asked = asked_for(state)
    for name, operand in table(state).items():
        if name in state.daemonsets and name not in asked:
            yield Waiting("DaemonSet", name, f"to be gone ({operand.component} is switched off)", "still there")
