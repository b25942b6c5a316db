"""The matrix: before and after every step of the driver role, what ends a run without a word.

The rows come from the role's own folder of steps, so a step that is new is in it. Where a first installation does not come to
a step, ``WAYS`` says what does; a step that no run comes to fails its cells, with the words of the run that was to come there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.faults import strike
from tests.lab.faults.ground import CONTAINER
from tests.lab.faults.runner import HOLDS, Holds
from tests.lab.faults.scenario import Point, Scenario

_TASKS = Path(__file__).resolve().parents[3] / "roles/driver/tasks/steps"
STEPS = tuple(sorted(path.stem for path in _TASKS.glob("*.yml")))
BOUNDARIES = ("before", "after")
STRIKES = {"controller killed": strike.controller_killed, "power cut": strike.power_cut}


@dataclass(frozen=True)
class Way:
    """Say how a run comes to a step: from what, and to what.

    ``installed``: the driver is there already. ``script``: what is done on the host before the run. ``holds``: what is true in the end.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    host: Mapping[str, Any] = field(default_factory=lambda: CONTAINER)
    installed: bool = False
    script: str = ""
    holds: Holds = field(default_factory=lambda: HOLDS)


#: A job that holds a GPU until somebody waits for it, as ansible's folder of the module that waits tells.
_JOB = (
    "touch /dev/nvidia0; exec 3< /dev/nvidia0; "
    "until ls -d /tmp/*nvidia_busy_check* /root/.ansible/tmp/*/*nvidia_busy_check* 2>/dev/null | grep -q .; do sleep 1; done"
)
_REPOSITORY = "/before/compute/cuda/repos/ubuntu2204/x86_64"
WAYS = {
    "busy": Way({"driver_busy": "wait"}, script=f"systemd-run sh -c '{_JOB}'"),
    "fabric": Way({"driver_branch": "535"}, {"os": "ubuntu-like", "gpus": "hgx-h200", "hardware": {"count": 2}}),
    "gsp": Way({"driver_gsp": "disabled"}),
    "remove": Way(
        {"driver_state": "absent"},
        installed=True,
        holds={
            "dpkg --audit": lambda said: said == "",
            "dpkg --get-selections 'nvidia-driver*' | wc -l": lambda said: said == "0",
            "ls -d /sys/module/nvidia /etc/modprobe.d/t9k* /var/lib/t9k-gpu/cordoned 2>/dev/null | wc -l": lambda said: (
                said == "0"
            ),
        },
    ),
    "repair": Way(
        installed=True,
        script="sed -i '/^Package: nvidia-utils-525-server$/,/^$/s/^Status: .*/Status: hold ok unpacked/' /var/lib/dpkg/status",
    ),
    "sources": Way(
        {
            "driver_source": {
                "kind": "mirror",
                "uris": [f"http://127.0.0.1:8080{_REPOSITORY}/"],
                "suites": ["/"],
                "signed_by": f"/srv/cuda{_REPOSITORY}/lab.asc",
            }
        },
    ),
}


def way(step: str) -> Way:
    return WAYS.get(step, Way())


def cells(step: str) -> tuple[Scenario, ...]:
    """Return the cells of one step."""
    variables = dict(way(step).variables)
    return tuple(
        Scenario(f"{name} {boundary} {step}", Point(boundary, step), struck, variables=variables)
        for boundary in BOUNDARIES
        for name, struck in STRIKES.items()
    )
