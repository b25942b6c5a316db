# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check a config document of the device plugin (version v1) against its schema, which is data here.

The plugin itself ignores a key it does not know and a ``rename``, ``devices`` or ``resources`` it does not support yet,
with no more than a line in its log; here each of them is a fault with its path.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable, Optional, Tuple

#: Where in the document, and what is wrong there.
Fault = Tuple[str, str]
Check = Callable[[Any], Optional[str]]

GPU = "nvidia.com/gpu"
_RESOURCE = re.compile(r"(nvidia\.com/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@dataclass(frozen=True)
class Section:
    """A map with known keys: each a check, a section, or a list of sections (``[Section]``)."""

    keys: dict[str, Any]
    required: tuple[str, ...] = ()


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, found {value!r}"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else f"must be text, found {value!r}"


def _one_of(*allowed: str) -> Check:
    return lambda value: None if value in allowed else f"must be one of {', '.join(allowed)}, found {value!r}"


def _strategies(value: Any) -> str | None:
    allowed = ("envvar", "volume-mounts", "cdi-annotations", "cdi-cri")
    given = value if isinstance(value, list) else [value]
    wrong = [entry for entry in given if entry not in allowed]
    return f"must be of {', '.join(allowed)}, found {wrong[0]!r}" if wrong else None


def _duration(value: Any) -> str | None:
    if isinstance(value, str) and re.fullmatch(r"infinite|([0-9.]+(ns|us|µs|ms|s|m|h))+", value):
        return None
    return f"must be a duration such as 60s, found {value!r}"


def _replicas(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2:
        return None
    return f"must be a whole number of at least 2, found {value!r} (no sharing: leave the section out, or mode none)"


def _resource(value: Any) -> str | None:
    if not isinstance(value, str) or not _RESOURCE.fullmatch(value) or len(full_name(value)) > 63:
        return f"must be a resource such as {GPU}, found {value!r}"
    if value.endswith(".shared"):
        return f"must be the resource before sharing, without '.shared', found {value!r}"
    return None


def _devices(value: Any) -> str | None:
    return None if value == "all" else "the device plugin ignores this and shares all devices, leave it out"


def _ignored(_value: Any) -> str | None:
    return "the device plugin ignores this, leave it out"


def _channels(value: Any) -> str | None:
    return None if value in ([], [0]) else f"must be [] or [0], found {value!r}"


def _replicated() -> Section:
    resource = {"name": _resource, "rename": _text, "devices": _devices, "replicas": _replicas}
    return Section(
        {
            "renameByDefault": _boolean,
            "failRequestsGreaterThanOne": _boolean,
            "resources": [Section(resource, ("name", "replicas"))],
        },
        ("resources",),
    )


_PLUGIN = Section(
    {
        "passDeviceSpecs": _boolean,
        "deviceListStrategy": _strategies,
        "deviceIDStrategy": _one_of("uuid", "index"),
        "cdiAnnotationPrefix": _text,
        "nvidiaCTKPath": _text,
        "containerDriverRoot": _text,
        "sharedDevicesAllocationPolicy": _one_of("distributed", "packed"),
    }
)
_GFD = Section(
    {
        "oneshot": _boolean,
        "noTimestamp": _boolean,
        "sleepInterval": _duration,
        "outputFile": _text,
        "machineTypeFile": _text,
    }
)
_FLAGS = Section(
    {
        "migStrategy": _one_of("none", "single", "mixed"),
        "failOnInitError": _boolean,
        "mpsRoot": _text,
        "nvidiaDriverRoot": _text,
        "nvidiaDevRoot": _text,
        "gdrcopyEnabled": _boolean,
        "gdsEnabled": _boolean,
        "mofedEnabled": _boolean,
        "useNodeFeatureAPI": _boolean,
        "deviceDiscoveryStrategy": _one_of("auto", "nvml", "tegra"),
        "plugin": _PLUGIN,
        "gfd": _GFD,
    }
)
DOCUMENT = Section(
    {
        "version": _one_of("v1"),
        "flags": _FLAGS,
        "sharing": Section({"timeSlicing": _replicated(), "mps": _replicated()}),
        "resources": _ignored,
        "imex": Section({"channelIDs": _channels, "required": _boolean}),
    }
)


def full_name(resource: str) -> str:
    return resource if "/" in resource else f"nvidia.com/{resource}"


def _plain(key: Any) -> str:
    return str(key).replace("_", "").replace("-", "").lower()


def _places(section: Section, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each key in plain spelling, and where it belongs."""
    for key, inner in section.keys.items():
        listed = isinstance(inner, list)
        where = f"{path}.{key}".lstrip(".")
        yield _plain(key), where
        below = inner[0] if listed else inner
        if isinstance(below, Section):
            yield from _places(below, where + ("[]" if listed else ""))


def _unknown(key: Any, section: Section, document: dict[str, Any]) -> str:
    for known in section.keys:
        if _plain(known) == _plain(key):
            return f"is spelled {known}"
    places = [where for plain, where in _places(DOCUMENT) if plain == _plain(key)]
    if places:
        sharing = document.get("sharing")
        uses_mps = isinstance(sharing, dict) and "mps" in sharing
        preferred = [where for where in places if (".mps" in where) == uses_mps]
        return f"belongs to {(preferred or places)[0]}"
    near = difflib.get_close_matches(str(key), section.keys, n=1)
    return f"unknown key, did you mean {near[0]}?" if near else f"unknown key, known here: {', '.join(section.keys)}"


def _walk(value: Any, schema: Any, path: str, document: dict[str, Any]) -> Iterator[Fault]:
    if isinstance(schema, Section):
        yield from _walk_section(value, schema, path, document)
    elif not isinstance(schema, list):
        message = schema(value)
        if message:
            yield path, message
    elif not isinstance(value, list) or not value:
        yield path, f"must be a list with at least one entry, found {value!r}"
    else:
        for number, item in enumerate(value):
            yield from _walk(item, schema[0], f"{path}[{number}]", document)


def _walk_section(value: Any, section: Section, path: str, document: dict[str, Any]) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield path, f"must be a map, found {value!r}"
        return
    for key, item in value.items():
        where = f"{path}.{key}".lstrip(".")
        if key in section.keys:
            yield from _walk(item, section.keys[key], where, document)
        else:
            yield where, _unknown(key, section, document)
    for key in section.required:
        if key not in value:
            yield f"{path}.{key}".lstrip("."), "is missing"


def _rules(document: dict[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with a document whose every key is right by itself."""
    sharing = document.get("sharing") or {}
    if len(sharing) > 1:
        yield "sharing", "timeSlicing and mps exclude each other"
    for kind, section in sharing.items():
        seen = set()
        for number, resource in enumerate(section["resources"]):
            path = f"sharing.{kind}.resources[{number}]"
            name = full_name(resource["name"])
            if name in seen:
                yield f"{path}.name", f"{name} is named twice"
            seen.add(name)
            if kind == "mps" and name != GPU:
                yield f"{path}.name", f"MPS shares {GPU} only, found {name}"
            shown = name + ".shared" if section.get("renameByDefault") else None
            if "rename" in resource and full_name(resource["rename"]) != shown:
                yield f"{path}.rename", "the device plugin ignores this, use renameByDefault"
    if "mps" in sharing and (document.get("flags") or {}).get("migStrategy") == "mixed":
        yield "flags.migStrategy", "MPS cannot share MIG devices, the device plugin refuses 'mixed' with it"


def faults(document: Any) -> list[Fault]:
    """Return all that is wrong with one config document; [] if the device plugin will do what it says."""
    found = list(_walk(document, DOCUMENT, "", document if isinstance(document, dict) else {}))
    return found or list(_rules(document))
