# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make device plugin documents of typed sharing configs, and say what they must lead to."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.labels import value_fault
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.schema import GPU, Fault, faults, full_name

#: The node label that chooses a config, and those of the MIG manager.
CONFIG_LABEL = "nvidia.com/device-plugin.config"
MIG_LABEL = "nvidia.com/mig.config"
MIG_STATE_LABEL = "nvidia.com/mig.config.state"

_MODES = {"time_slicing": "timeSlicing", "mps": "mps", "none": None}
#: Key of the typed form → key of the document's sharing section (None: elsewhere).
_TYPED = {
    "mode": None,
    "replicas": None,
    "resource": None,
    "rename": "renameByDefault",
    "fail_requests_greater_than_one": "failRequestsGreaterThanOne",
    "mig_strategy": None,
}
_MIG_STATES = ("pending", "success", "failed", "rebooting")
_BARE_PROFILE = re.compile(r"\d+g\.\d+gb(\..*)?")

#: Every config: of a note of old, which did not say which, and of a ConfigMap that is new.
ALL = "*"


def documents(configs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return config name → document for the device plugin; GpuError that names each wrong key by its path."""
    found, wrong = {}, []
    for name, config in configs.items():
        name_fault = value_fault(name) or (None if name else "must not be empty")
        if name_fault:
            wrong.append(f"{name}: as the value of the node label {CONFIG_LABEL}: {name_fault}")
            continue
        document, problems = _document(config)
        wrong.extend(f"{name}.{path}: {message}" if path else f"{name}: {message}" for path, message in problems)
        found[name] = document
    if wrong:
        raise GpuError(
            "sharing configs that the device plugin understands",
            "; ".join(wrong),
            "the sharing configs",
            "correct them; nothing was sent",
        )
    return found


def _document(config: Any) -> tuple[dict[str, Any], list[Fault]]:
    if not isinstance(config, Mapping):
        return {}, [("", f"must be a map, found {config!r}")]
    if "raw" not in config:
        return _from_typed(dict(config))
    if len(config) > 1:
        others = ", ".join(sorted(map(str, set(config) - {"raw"})))
        return {}, [("raw", f"must be alone, found also {others}")]
    problems = faults(config["raw"])
    return ({} if problems else {"version": "v1", **config["raw"]}), problems


def _from_typed(config: dict[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Make the document of a typed config; faults carry the typed keys, since those are what the user wrote."""
    problems = _typed_key_faults(config)
    if problems:
        return {}, problems
    document: dict[str, Any] = {"version": "v1"}
    origin = {"flags.migStrategy": "mig_strategy"}
    if "mig_strategy" in config:
        document["flags"] = {"migStrategy": config["mig_strategy"]}
    section = _MODES[config["mode"]]
    if section:
        path = f"sharing.{section}"
        resource = {"name": config.get("resource", GPU)}
        if "replicas" in config:
            resource["replicas"] = config["replicas"]
        named = {there: config[here] for here, there in _TYPED.items() if there and here in config}
        document["sharing"] = {section: {"renameByDefault": True, **named, "resources": [resource]}}
        origin.update({f"{path}.{there}": here for here, there in _TYPED.items() if there})
        origin.update({f"{path}.resources[0].name": "resource", f"{path}.resources[0].replicas": "replicas"})
    return document, [(origin.get(where, where), message) for where, message in faults(document)]


def _typed_key_faults(config: dict[str, Any]) -> list[Fault]:
    problems = []
    for key in config:
        if key in _TYPED:
            continue
        same = [here for here, there in _TYPED.items() if there == key]
        near = same or difflib.get_close_matches(str(key), _TYPED, n=1)
        hint = f"did you mean {near[0]}?" if near else "write a whole document of the device plugin under 'raw'"
        problems.append((str(key), f"unknown key, {hint}"))
    if config.get("mode") not in list(_MODES):
        problems.append(("mode", f"must be one of {', '.join(_MODES)}, found {config.get('mode')!r}"))
    elif config["mode"] == "none":
        problems.extend((key, "has no meaning with mode none") for key in config if key not in ("mode", "mig_strategy"))
    return problems


def strategy(document: Mapping[str, Any]) -> str:
    """Return ``time-slicing``, ``mps`` or ``none``, as the node label ``nvidia.com/gpu.sharing-strategy`` says it."""
    sharing = document.get("sharing") or {}
    if "mps" in sharing:
        return "mps"
    return "time-slicing" if "timeSlicing" in sharing else "none"


def expected_resources(document: Mapping[str, Any], devices: int | Mapping[str, int]) -> dict[str, int]:
    """Return what a node with this config must have allocatable.

    ``devices``  how many GPUs it has (with MIG strategy ``single``: MIG devices), or resource → count for mixed MIG.
    A resource that sharing renamed away is not in the result; the kubelet may still show it with 0.
    """
    result = dict(devices) if isinstance(devices, Mapping) else {GPU: devices}
    for section in (document.get("sharing") or {}).values():
        for resource in section["resources"]:
            name = full_name(resource["name"])
            if name in result:
                shared = name + ".shared" if section.get("renameByDefault") else name
                result[shared] = result.pop(name) * resource["replicas"]
    return result


def mig_state(labels: Mapping[str, str]) -> str:
    """Return the MIG manager's word on a node: pending, success, failed, rebooting; absent, or unknown for any other.

    Right after a change of ``nvidia.com/mig.config`` the state is still that of the change before.
    """
    state = labels.get(MIG_STATE_LABEL)
    if state is None:
        return "absent"
    return state if state in _MIG_STATES else "unknown"


def mig_config_fault(value: Any, known: tuple[str, ...] = ()) -> str | None:
    """Say why ``value`` cannot name a MIG layout; ``known``: the names in the MIG manager's ConfigMap, if it was read."""
    if not isinstance(value, str) or not value:
        return f"must be the name of a MIG layout such as all-disabled, found {value!r}"
    fault = value_fault(value)
    if fault or value in known:
        return fault
    if _BARE_PROFILE.fullmatch(value):
        return f"{value!r} is a profile, not a layout, did you mean all-{value}?"
    if not known:
        return None
    near = difflib.get_close_matches(value, known, n=3)
    return f"no MIG layout named {value!r}" + (f" (near: {', '.join(near)})" if near else "")


def assignment_faults(
    sharing: Mapping[str, str], mig: Mapping[str, str], configs: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return what is wrong between nodes and configs.

    ``sharing``  node → config name; ``mig``  node → MIG layout; ``configs``  as ``documents`` gives them.
    """
    problems = []
    for node, name in sorted(sharing.items()):
        if name not in configs:
            near = difflib.get_close_matches(str(name), configs, n=1)
            hint = f", did you mean {near[0]}?" if near else f", there are {', '.join(sorted(configs)) or 'none'}"
            problems.append(f"{node}: no sharing config named {name!r}{hint}")
        elif strategy(configs[name]) == "mps" and mig.get(node, "all-disabled") != "all-disabled":
            problems.append(f"{node}: MPS ({name}) cannot share MIG devices ({mig[node]})")
    for node, value in sorted(mig.items()):
        fault = mig_config_fault(value)
        if fault:
            problems.append(f"{node}: {fault}")
    return problems
