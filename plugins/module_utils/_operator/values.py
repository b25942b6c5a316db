# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the chart's values of what the role's variables say.

Three layers, the later wins: what the typed variables say, then image overrides, then the user's free values.
Dictionaries are merged key by key; anything else, lists too, is replaced as a whole.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Dict

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

Values = Dict[str, Any]
NFD = "node-feature-discovery"
_VERSION = re.compile(r"v?(?P<series>\d+\.\d+)\.(?P<patch>\d+)")


@dataclass(frozen=True)
class Typed:
    """What the typed variables say about the values, and ``free``, which wins over them."""

    driver: str = "host"
    #: Name of the ConfigMap with sharing configs; empty if nothing is shared.
    sharing_name: str = ""
    monitor: Mapping[str, Any] = field(default_factory=lambda: {"by": "none"})
    registry: str = ""
    #: Component → fields of its image.
    images: Mapping[str, Any] = field(default_factory=dict)
    pull_secrets: tuple[str, ...] = ()
    free: Mapping[str, Any] = field(default_factory=dict)


def merge(*layers: Mapping[str, Any]) -> Values:
    """Merge dictionaries deeply into a new one; the later layer wins."""
    result: Values = {}
    for layer in layers:
        for key, value in layer.items():
            before = result.get(key)
            if isinstance(value, Mapping):
                value = merge(before if isinstance(before, Mapping) else {}, value)
            result[key] = value
    return result


def nested(path: str, value: Any) -> Values:
    """Make {"a": {"b": 1}} of ``a.b`` and 1."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def plain(version: str) -> str:
    """Return the version without its ``v``: ``v22.9.2`` and ``22.9.2`` are the same."""
    return version.lstrip("v")


def numbers(version: str) -> tuple[int, ...]:
    """Read a version as numbers that compare."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def series_name(version: str, known: Mapping[str, Any], unchecked: bool = False) -> str:
    """Return the series of a chart version; GpuError for an unknown one, or with ``unchecked`` the series that comes nearest.

    The nearest is the latest that is older: a chart keeps its keys longer than it lacks them.
    """
    match = _VERSION.fullmatch(version)
    if match and match["series"] in known:
        return match["series"]
    if unchecked and match:
        older = [series for series in known if numbers(series) <= numbers(match["series"])]
        return max(older, key=numbers) if older else min(known, key=numbers)
    listed = ", ".join(f"v{series}.x" for series in known)
    raise GpuError(
        f"GPU operator chart {version}",
        f"a version that is not known here; known are {listed}",
        "gpu_operator_version",
        "choose one of them, or set gpu_operator_version_unchecked: true; then the nearest known one is taken for it",
    )


def _registry_layer(registry: str, series: Mapping[str, Any]) -> Values:
    """Put every component's repository behind one prefix; the path after the original registry's name stays."""
    prefix = registry.rstrip("/")
    found = [nested(f"{path}.repository", f"{prefix}/{folder}") for path, folder in series["repositories"].items()]
    nfd = series["nfd_repository"].partition("/")[2]
    return merge(*found, {NFD: {"image": {"repository": f"{prefix}/{nfd}"}}})


def _images_layer(images: Mapping[str, Any]) -> Values:
    """Override images by component; node-feature-discovery is a subchart and spells its image differently."""
    result: Values = {}
    for component, image in images.items():
        result = merge(result, {NFD: {"image": image}} if component == NFD else nested(component, image))
    return result


def _pull_secrets_layer(names: list[str], series: Mapping[str, Any]) -> Values:
    # Nested images (driver.manager, …) are pulled with their component's secrets.
    components = [path for path in series["repositories"] if "." not in path]
    found = [{component: {"imagePullSecrets": names}} for component in components]
    return merge(*found, {NFD: {"imagePullSecrets": [{"name": name} for name in names]}})


def _monitor_layer(monitor: Mapping[str, Any]) -> Values:
    wanted: Values = {"enabled": monitor["by"] == "chart"}
    if wanted["enabled"]:
        wanted.update(interval=monitor["interval"], additionalLabels=dict(monitor["labels"]))
    return {"dcgmExporter": {"serviceMonitor": wanted}}


def build(series: Mapping[str, Any], typed: Typed) -> Values:
    """Make the values file, as JSON-like data."""
    base: Values = {
        "driver": {"enabled": typed.driver == "operator"},
        "devicePlugin": {"config": {"name": typed.sharing_name}},
        # The role upgrades the CRDs itself, before the chart; the chart's own hook would do it a second time.
        "operator": {"upgradeCRD": False},
    }
    layers = [base, _monitor_layer(typed.monitor)]
    if typed.registry:
        layers.append(_registry_layer(typed.registry, series))
    if typed.pull_secrets:
        layers.append(_pull_secrets_layer(list(typed.pull_secrets), series))
    merged = merge(*layers, _images_layer(typed.images), typed.free)
    return dict(json.loads(json.dumps(merged)))


def uses_gpu_cluster(values: Mapping[str, Any]) -> bool:
    """Tell whether the chart makes a GPUCluster (DRA); since v26.7, and never by default."""
    return bool((values.get("gpuCluster") or {}).get("deployCR"))


def misspelt(given: Mapping[str, Any], chart: Mapping[str, Any], path: str = "") -> list[str]:
    """Name the keys that a chart does not have but nearly has. helm takes any key, and what it does not know has no effect.

    A chart need not list a key to know it, so one that resembles nothing is left alone; so is the subchart, whose own values are elsewhere.
    """
    found = []
    for key, value in given.items():
        known = chart.get(key)
        if key in chart:
            if isinstance(value, Mapping) and isinstance(known, Mapping) and known and key != NFD:
                found += misspelt(value, known, f"{path}{key}.")
            continue
        near = difflib.get_close_matches(str(key), [str(each) for each in chart], n=1, cutoff=0.8)
        found += [f"{path}{key} (did you mean {path}{near[0]}?)"] if near else []
    return found
