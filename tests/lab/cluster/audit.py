"""Which requests the API server got, from its audit log; those of the lab's own processes are not in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tests.lab.state import Lab


@dataclass(frozen=True, order=True)
class Request:
    """One kind of request: who, what, on which resource, and the answer's status."""

    user: str
    verb: str
    resource: str
    status: int


def mark(lab: Lab) -> int:
    """A place in the log, to count from."""
    return lab.audit_log.stat().st_size


def since(lab: Lab, place: int = 0) -> Counter[Request]:
    """The requests after ``place``, counted."""
    with lab.audit_log.open("rb") as log:
        log.seek(place)
        return count(line.decode() for line in log)


def count(lines: Iterable[str]) -> Counter[Request]:
    """The requests of a log's lines; a long watch is one request, however many stages it has."""
    found: Counter[Request] = Counter()
    for line in lines:
        event = json.loads(line)
        if event["stage"] != "ResponseComplete":
            continue
        target = event.get("objectRef")
        names = [target.get("resource", ""), target.get("subresource", "")] if target else [event["requestURI"]]
        status = event.get("responseStatus", {}).get("code", 0)
        found[Request(event["user"]["username"], event["verb"], "/".join(filter(None, names)), status)] += 1
    return found
