"""Each finding, injected into a node that is well; and that the page explains every code."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from node_builder import finished_node

from ansible_collections.t9k.gpu.plugins.module_utils._debian.security import Update
from ansible_collections.t9k.gpu.plugins.module_utils._doctor import findings
from ansible_collections.t9k.gpu.plugins.module_utils._doctor.seen import Seen
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import notes
from ansible_collections.t9k.gpu.plugins.module_utils._driver.next_boot import Kernels
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._linux.boot import NextKernel
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi

ROOT = Path(__file__).resolve().parents[4]
WELL = Seen(log="[1.0] NVRM: loading NVIDIA UNIX\n")
PLAN: dict[str, Any] = {"steps": [], "health": [], "warnings_found": []}


@pytest.fixture
def node(fixtures: Path) -> NodeState:
    """A finished node, with a GPU of the H200 host's in its nvidia-smi."""
    report = nvidia_smi.parse((fixtures / "h200-sxm-580-open/nvidia-smi-q.xml").read_text())
    node = finished_node("535.247.01")
    pci = tuple(replace(device, address=report.gpus[0].pci_address or "") for device in node.pci)
    return replace(node, smi=report, pci=pci)


def codes(node: NodeState, seen: Seen = WELL, plan: dict[str, Any] = PLAN) -> list[tuple[str, str]]:
    return [(fault.code, fault.severity) for fault in findings.findings(node, seen, plan)]


def test_a_node_that_is_well(node: NodeState) -> None:
    assert codes(node) == []


def loose(node: NodeState) -> NodeState:
    return replace(node, packages=tuple(replace(each, want="install") for each in node.packages))


def narrow(node: NodeState) -> NodeState:
    gpu = replace(node.smi.gpus[0], pcie_link_width_current=8, pcie_link_width_max=16)
    return replace(node, smi=replace(node.smi, gpus=(gpu,)))


def bound(node: NodeState) -> NodeState:
    return replace(node, pci=tuple(replace(each, driver="nouveau") for each in node.pci))


def unsigned(node: NodeState) -> NodeState:
    return replace(node, system=replace(node.system, secure_boot=True))


def keyed(node: NodeState) -> NodeState:
    return replace(node, system=replace(node.system, secure_boot=True, owner_key="/k", owner_key_enrolled=True))


def unlisted(node: NodeState) -> NodeState:
    return replace(node, system=replace(node.system, secure_boot=True, owner_key="/k", owner_key_enrolled=False))


def untold(node: NodeState) -> NodeState:
    return replace(node, system=replace(node.system, secure_boot=True, owner_key="/k"))


def excluded(node: NodeState) -> NodeState:
    return replace(loose(node), files={**node.files, driver_files.UNATTENDED: driver_files.unattended()})


def another_kernel(node: NodeState) -> NodeState:
    return replace(node, kernels=Kernels(NextKernel("6.1.0-30-amd64", "/boot"), without=("6.1.0-31-amd64",)))


def behind(node: NodeState) -> NodeState:
    return replace(node, security_updates=(Update("linux-image-generic", "1", "2"),))


UNHELD = ("packages_unheld", "warning")
INTO_THE_NODE = [
    (loose, {}, [UNHELD]),
    (loose, {"unattended": True}, [UNHELD, ("unattended_upgrades", "warning")]),
    (excluded, {"unattended": True}, [UNHELD]),
    (narrow, {}, [("pcie_width", "warning")]),
    (bound, {"rivals": ("nouveau",)}, [("rival_bound", "error")]),
    (unsigned, {}, [("secure_boot", "error")]),
    (keyed, {}, []),
    (unlisted, {}, [("secure_boot", "error")]),
    (untold, {}, []),
    (another_kernel, {}, [("kernel_without_module", "warning")]),
    (behind, {}, [("security_held_back", "warning")]),
]


@pytest.mark.parametrize(("change", "seen", "expected"), INTO_THE_NODE)
def test_in_the_driver_s_state(node: NodeState, change: Any, seen: dict[str, Any], expected: list[Any]) -> None:
    assert codes(change(node), replace(WELL, **seen)) == expected


LINK = {"systemd_cgroups": "/etc/containerd/config.toml", "missing_links": ("/dev/char/195:0",)}
AROUND = [
    ({"unattended": True}, []),  # all is held
    ({"log": None}, ["log_unreadable"]),
    ({"log": "NVRM: Xid (PCI:0000:00:06): 79, gone"}, ["xid_reboot"]),
    ({"log": "NVRM: Xid (PCI:0000:00:06): 95, x\nNVRM: Xid (PCI:0000:00:06): 119, y"}, ["xid_reset", "xid_reset"]),
    ({"rivals": ("nova_core",)}, ["rival_loaded"]),
    (LINK, ["daemon_reload"]),
    ({**LINK, "cdi": True}, []),
    ({**LINK, "missing_links": ()}, []),
    ({**LINK, "systemd_cgroups": None}, []),
]


@pytest.mark.parametrize(("seen", "expected"), AROUND)
def test_around_the_driver(node: NodeState, seen: dict[str, Any], expected: list[str]) -> None:
    assert [code for code, _severity in codes(node, replace(WELL, **seen))] == expected


SILENT = sorted(set(nvidia_smi.MEANINGS) - {"ok"})


@pytest.mark.parametrize("status", SILENT)
def test_of_nvidia_smi_that_does_not_answer_as_it_should(node: NodeState, status: str) -> None:
    assert codes(replace(node, smi=nvidia_smi.SmiReport(status))) == [(f"smi_{status}", "error")]


PLANS = [
    ({}, [("plan_failed", "error")]),
    ({"failed": True, "msg": "no answer"}, [("plan_failed", "error")]),
    ({**PLAN, "faults": ["Wanted: room."]}, [("plan_refused", "error")]),
    ({**PLAN, "steps": [{"name": "hold"}]}, [("drift", "warning")]),
    ({**PLAN, "reboot_pending": "a new kernel"}, [("reboot_pending", "warning")]),
    ({**PLAN, "warnings_found": ["support of branch 470 has ended"]}, [("plan_warning", "warning")]),
]


@pytest.mark.parametrize(("plan", "expected"), PLANS)
def test_of_the_plan(node: NodeState, plan: dict[str, Any], expected: list[Any]) -> None:
    assert codes(node, plan=plan) == expected


def test_what_plan_and_doctor_both_know_is_told_once_and_errors_come_first(node: NodeState) -> None:
    sick = replace(node, smi=replace(node.smi, gpus=(replace(node.smi.gpus[0], remapped_rows_failure=True),)))
    health = [fault.to_dict() for fault in findings.findings(sick, WELL, PLAN)]
    found = codes(loose(sick), plan={**PLAN, "health": health})
    assert found == [("row_remap_failure", "error"), UNHELD]


def test_what_the_plan_warns_of_is_no_second_finding(node: NodeState) -> None:
    sick = behind(another_kernel(node))
    said = [notes.without_module(sick), notes.kept_away(sick), "support of branch 470 has ended"]
    found = [code for code, _severity in codes(sick, plan={**PLAN, "warnings_found": said})]
    assert found == ["plan_warning", "kernel_without_module", "security_held_back"]


def known_codes() -> set[str]:
    """First arguments of every Fault that the doctor can show, from the code."""
    utils = ROOT / "plugins/module_utils"
    files = [*utils.glob("_doctor/*.py"), *(utils / f"_nvidia/{name}.py" for name in ("health", "fabric"))]
    files += [utils / f"_driver/{name}.py" for name in ("proof", "before")]
    calls = (node for path in files for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    firsts = [call.args[0] for call in calls if getattr(call.func, "id", "") == "Fault" and call.args]
    plain = {str(each.value) for each in firsts if isinstance(each, ast.Constant)}
    return plain | {f"smi_{status}" for status in SILENT}


def test_every_code_is_put_into_a_node_or_a_cluster_by_some_test() -> None:
    told = "".join(path.read_text() for path in (ROOT / "tests/unit").rglob("test_*.py"))
    by_name = known_codes() - {f"smi_{status}" for status in SILENT}
    assert by_name - set(re.findall(r"\w+", told)) == set()


def test_the_page_explains_every_code_and_no_other() -> None:
    page = (ROOT / "docs/doctor.md").read_text()
    own, shared = page.split("## What the proof knows too")
    explained = set(re.findall(r"^### `(\w+)`$", own, re.MULTILINE))
    rows = re.findall(r"^\| (`.+?`) \|", shared, re.MULTILINE)
    assert explained | {code for row in rows for code in re.findall(r"`(\w+)`", row)} == known_codes()
