"""Whose power is cut, and how: a container's by podman, a virtual machine's by its monitor."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.hosts import podman, power, ssh
from tests.lab.hosts.vm import lifecycle as vm
from tests.lab.log import LabError
from tests.lab.state import Lab


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was done; the host called vm-01 is a virtual machine."""
    seen: list[Any] = []
    monkeypatch.setattr(vm, "is_ours", lambda _lab, host: host == "vm-01")
    monkeypatch.setattr(vm, "power_cut", lambda _lab, host: seen.append(("quit", host)))
    monkeypatch.setattr(vm, "power_on", lambda _lab, host: seen.append(("qemu", host)))
    monkeypatch.setattr(podman, "run", lambda *argv: seen.append(argv))
    monkeypatch.setattr(ssh, "wait", lambda _lab, host, *_limit: seen.append(("wait", host)))
    return seen


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("a", [("stop", "--time", "0", "t9k-gpu-demo-a"), ("start", "t9k-gpu-demo-a"), ("wait", "a")]),
        ("vm-01", [("quit", "vm-01"), ("qemu", "vm-01"), ("wait", "vm-01")]),
    ],
)
def test_power_goes_and_comes_back(done: list[Any], host: str, wanted: list[Any]) -> None:
    power.cut(Lab("demo"), host)
    power.on(Lab("demo"), host)
    assert done == wanted


def test_a_virtual_machine_has_no_such_console(done: list[Any]) -> None:
    with pytest.raises(LabError, match="host vm-01: a virtual machine has no console"):
        power.console(Lab("demo"), "vm-01", "true")
    assert done == []
