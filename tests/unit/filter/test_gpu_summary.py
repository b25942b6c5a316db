"""The terminal table: one row a node, worst first, safe for any text."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.t9k.gpu.plugins.filter.gpu_summary import FilterModule
from ansible_collections.t9k.gpu.plugins.module_utils._report.table import fit, width

gpu_summary = FilterModule().filters()["gpu_summary"]

GOOD: dict[str, Any] = {
    "name": "gpu01",
    "os": "Ubuntu 24.04",
    "driver": {
        "installed_version": "580.159.04",
        "loaded_version": "580.159.04",
        "kernel_modules": "open",
        "gsp_enabled": True,
        "persistence_enabled": True,
        "held_packages": ["nvidia-driver-580-server-open"],
        "reboot_pending": False,
    },
    "gpus": [{"product_name": "NVIDIA H200"}],
}


def test_the_table_of_the_documentation() -> None:
    assert gpu_summary([GOOD, {"name": "gpu02", "reachable": False}]).splitlines() == [
        "NODE   STATE        GPUS     DRIVER      MODULE  GSP  PERSIST  HELD  REBOOT  AWAY",
        "-----  -----------  -------  ----------  ------  ---  -------  ----  ------  ----",
        "gpu02  unreachable  -        -           -       -    -        -     -       -",
        "gpu01  ok           1x H200  580.159.04  open    on   on       1     no      -",
        "2 nodes: 1 unreachable, 1 ok; 1 GPU",
    ]


@pytest.mark.parametrize(
    ("extra", "state", "shown"),
    [
        ({}, "ok", "1x H200"),
        ({"problems": ["no licence"]}, "problem", "! gpu01: no licence"),
        ({"plan": {"steps": [{"name": "hold", "reason": "not held"}]}}, "changes", "1 changes"),
        ({"gpus": []}, "no GPU", "none"),
        ({"gpus": None}, "unknown", "1 unknown"),
        ({"reachable": False}, "unreachable", "1 unreachable"),
        ({"driver": {"reboot_pending": True, "reboot_reason": "new kernel"}}, "reboot", "reboot pending: new kernel"),
        ({"driver": {"installed_version": "535.1"}}, "ok", "535.1 (not loaded)"),
        ({"driver": {"installed_version": "535.1", "loaded_version": "525.2"}}, "ok", "525.2 loaded, 535.1 installed"),
        (
            {"gpus": [{"index": 3, "ecc_uncorrected_count": 2}]},
            "problem",
            "! gpu01: GPU 3: 2 uncorrected memory errors",
        ),
        (
            {"gpus": [{"recovery_action": "Reset"}]},
            "problem",
            "! gpu01: GPU 0: the driver asks for the recovery action Reset",
        ),
        ({"gpus": [{"recovery_action": "None"}, {}]}, "ok", "2x unknown GPU"),
        ({"gpus": [{"mig_mode_current": False, "mig_mode_pending": True}]}, "problem", "MIG mode change is pending"),
        ({"p2p": {"verdict": "fail", "reasons": [{"message": "0→1 slow"}]}}, "problem", "peer to peer: 0→1 slow"),
    ],
)
def test_states(extra: dict[str, Any], state: str, shown: str) -> None:
    text = gpu_summary([{**GOOD, **extra}])
    assert text.splitlines()[2].split("  ")[1].strip() == state
    assert shown in text


SICK = {"index": 1, "pci_address": "0000:18:00.0", "ecc_uncorrected_count": 2, "remapped_rows_failure": True}
ECC = {"code": "ecc_uncorrected", "evidence": "2 uncorrected memory errors", "gpu": {"pci_address": "0000:18:00.0"}}


def test_a_fault_told_twice_is_shown_once_and_hides_no_other() -> None:
    """Once by the role and once by the GPU's own facts; the second fault of the same GPU, which only the facts tell, stays."""
    notes = [line for line in gpu_summary([{**GOOD, "gpus": [SICK], "health": [ECC]}]).splitlines() if line[0] == "!"]
    assert [word for word in ("uncorrected", "remapped") for note in notes if word in note] == [
        "uncorrected",
        "remapped",
    ]
    elsewhere = {**ECC, "gpu": {"pci_address": "0000:af:00.0"}}
    assert gpu_summary([{**GOOD, "gpus": [SICK], "health": [elsewhere]}]).count("uncorrected") == 2


def test_one_gpu_without_persistence_shows_off() -> None:
    gpus = [{"persistence_enabled": True}, {"persistence_enabled": False}]
    assert "off" in gpu_summary([{"name": "a", "gpus": gpus}])


def test_control_characters_and_wide_names_keep_the_columns() -> None:
    text = gpu_summary([{**GOOD, "name": "\x1b[31mred\x07"}, {**GOOD, "name": "训练节点" * 12}])
    assert "\x1b" not in text and "\x07" not in text
    lines = text.splitlines()
    columns = {width(line[: line.index(" ok ")]) for line in lines[2:4]}
    assert len(columns) == 1
    assert "…" in text


@pytest.mark.parametrize(("text", "cells", "out"), [("abc", 5, "abc  "), ("abcdef", 4, "abc…"), ("训练节", 4, "训… ")])
def test_fit(text: str, cells: int, out: str) -> None:
    assert fit(text, cells) == out


def test_no_nodes() -> None:
    assert gpu_summary([]).splitlines()[-1] == "0 nodes: none; 0 GPUs"


@pytest.mark.parametrize("wrong", [None, "x", [1], {"name": "a"}])
def test_refuses_what_is_no_list_of_nodes(wrong: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="list of node facts"):
        gpu_summary(wrong)
