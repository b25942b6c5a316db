"""A node's state in the form of the report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from node_builder import A40, KERNEL, STEMS, bare_node, finished_node

from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.summary import summary
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import Fault

V525 = "525.147.05"
FINISHED = finished_node(V525)


def with_gpus(*differences: dict[str, Any]) -> NodeState:
    gpus = tuple(replace(FINISHED.smi.gpus[0], index=index, **each) for index, each in enumerate(differences))
    return replace(FINISHED, smi=replace(FINISHED.smi, gpus=gpus))


def test_a_finished_node() -> None:
    found = summary(FINISHED, None, ())
    assert (found["os"], found["kernel"], found["problems"]) == ("Ubuntu 22.04", KERNEL, [])
    assert found["driver"] == {
        "installed_version": V525,
        "loaded_version": V525,
        "kernel_modules": "proprietary",
        "module_build": "dkms",
        "gsp_enabled": None,
        "persistence_enabled": True,
        "held_packages": sorted(f"{stem}-525-server" for stem in (*STEMS, "nvidia-dkms")),
        "reboot_pending": False,
        "reboot_reason": None,
        "boot_id": "the-boot",
    }
    assert [(gpu["index"], gpu["pci_address"]) for gpu in found["gpus"]] == [(0, A40.address)]


def test_a_bare_node_shows_its_gpus_by_address() -> None:
    fault = Fault("smi_not_installed", "error", "no driver", "install it")
    slice_of_it = replace(A40, address="0000:18:00.4", virtual_function=True)
    found = summary(replace(bare_node(), pci=(A40, slice_of_it)), None, (fault,))
    assert found["gpus"] == [{"pci_address": A40.address}]
    assert (found["problems"], found["health"]) == (["no driver. Next: install it."], [fault.to_dict()])
    missing = {"installed_version", "loaded_version", "kernel_modules", "module_build", "persistence_enabled"}
    assert {found["driver"][key] for key in missing} == {None}
    assert found["driver"]["held_packages"] == []


def test_holds_of_others_are_not_the_driver_s() -> None:
    others = (
        Package(name, "amd64", "1", "hold", "installed")
        for name in ("libcublas-12-4", "libnccl2", "nvidia-raid-config")
    )
    held = summary(replace(FINISHED, packages=(*FINISHED.packages, *others)), None, ())["driver"]["held_packages"]
    assert held == summary(FINISHED, None, ())["driver"]["held_packages"]


def test_a_pending_reboot() -> None:
    driver = summary(FINISHED, "another version is loaded", ())["driver"]
    assert (driver["reboot_pending"], driver["reboot_reason"]) == (True, "another version is loaded")


@pytest.mark.parametrize(
    ("values", "expected"),
    [([True, True], True), ([True, False], False), ([None, True], True), ([None, None], None), ([], None)],
)
def test_one_answer_for_all_gpus(values: list[bool | None], expected: bool | None) -> None:
    driver = summary(with_gpus(*({"persistence_enabled": value} for value in values)), None, ())["driver"]
    assert driver["persistence_enabled"] is expected


def test_gpus_that_do_not_tell_their_address_are_all_there() -> None:
    found = summary(with_gpus({"pci_address": None}, {"pci_address": None}), None, ())["gpus"]
    assert [gpu.get("index") for gpu in found] == [0, 1, None]


def test_the_loaded_modules_speak_before_the_installed_ones() -> None:
    state = replace(FINISHED, kernel_module=replace(FINISHED.kernel_module, kernel_modules="open"))
    assert summary(state, None, ())["driver"]["kernel_modules"] == "open"
