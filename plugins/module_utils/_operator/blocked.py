# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell why nothing gets ready: pods' conditions and events as sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_SHOWN_PODS = 5
_SHOWN_EVENTS = 5


def _containers(pod: Mapping[str, Any]) -> Iterable[str]:
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waits = (container.get("state") or {}).get("waiting") or {}
        if waits.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            yield f"container {container['name']} {waits['reason']}: {waits.get('message', '')}".rstrip(": ")


def _conditions(pod: Mapping[str, Any]) -> Iterable[str]:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("status") == "False" and condition.get("type") in ("PodScheduled", "Initialized", "Ready"):
            told = condition.get("message") or condition.get("reason") or "False"
            yield f"{condition['type']}: {told}"
            return


def unready(pods: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one sentence for each pod that is not ready, the most telling first."""
    found = []
    for pod in pods:
        conditions = (pod.get("status") or {}).get("conditions") or []
        if any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions):
            continue
        why = [*_containers(pod), *_conditions(pod)] or [(pod.get("status") or {}).get("phase", "no status")]
        node = (pod.get("spec") or {}).get("nodeName", "no node")
        found.append(f"Pod {pod['metadata']['name']} on {node}: {why[0]}")
    more = [f"and {len(found) - _SHOWN_PODS} more pods"] if len(found) > _SHOWN_PODS else []
    return [*found[:_SHOWN_PODS], *more]


def _when(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def last_events(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the latest warnings, oldest first, each kind of them once."""
    told: dict[str, str] = {}
    for event in sorted((e for e in events if e.get("type") != "Normal"), key=_when):
        about = event.get("involvedObject") or {}
        sentence = (
            f"{about.get('kind', '')} {about.get('name', '')}: {event.get('reason', '')}: {event.get('message', '')}"
        )
        told.pop(sentence, None)
        told[sentence] = _when(event)
    return [f"{when} {sentence}" for sentence, when in list(told.items())[-_SHOWN_EVENTS:]]
