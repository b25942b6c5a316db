"""One host through the branches: Ubuntu's packages, NVIDIA's with the branch in every name, those without, and back.

Each is one run of the playbook with its reboot and its proof; apt, dpkg and the renames of the packages are real. About three minutes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.faults import ground, runner
from tests.lab.hosts import ssh
from tests.lab.state import Lab

HOST = ground.host_name(0)
REPOSITORY = "/after/compute/cuda/repos/ubuntu2204/x86_64"
NVIDIAS = {
    "kind": "mirror",
    "uris": [f"http://127.0.0.1:8080{REPOSITORY}/"],
    "suites": ["/"],
    "signed_by": f"/srv/cuda{REPOSITORY}/lab.asc",
}
ALWAYS = {"driver_headers": "ignore", "driver_kernel_modules": "open"}
#: Branch, where it is from, and what of it must be installed.
WAY: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("535", {}, "nvidia-utils-535-server"),
    ("580", {"driver_source": NVIDIAS}, "nvidia-utils-580"),
    ("590", {"driver_source": NVIDIAS}, "nvidia-utils"),
    ("595", {"driver_source": NVIDIAS}, "nvidia-utils"),
    ("580", {"driver_source": NVIDIAS}, "nvidia-utils-580"),
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with ground.ground("branches", 1, host={"os": "ubuntu-like", "gpus": "h200-open"}) as found:
        yield found


def test_every_branch_takes_the_place_of_the_one_before(lab: Lab) -> None:
    for branch, source, package in WAY:
        ran, _seconds = runner.run(lab, HOST, {**ALWAYS, **source, "driver_branch": branch})
        assert ran.rc == 0, ran.output[-5000:]
        there = installed(lab)
        assert {package: branch} == {name: there[name] for name in there if name.startswith("nvidia-utils")}
        assert set(there.values()) == {branch}, there
        smi = "nvidia-smi --query-gpu=driver_version --format=csv,noheader"
        assert ssh.run(lab, HOST, f"{smi}; dpkg --audit").strip().partition(".")[0] == branch


def installed(lab: Lab) -> dict[str, str]:
    """The driver's packages and their branches; all of them are held."""
    shown = "dpkg-query --show --showformat '${db:Status-Abbrev}${Package} ${Version}\\n' '*nvidia*' | grep -v '^[pru]'"
    words = [line.split() for line in ssh.run(lab, HOST, shown).splitlines()]
    assert {state for state, _name, _version in words} == {"hi"}, json.dumps(words, indent=1)
    return {name: version.partition(".")[0] for _state, name, version in words if not name.startswith("linux-")}
