"""The module on nodes made of captures: it finds, counts, and writes nothing."""

from __future__ import annotations

from pathlib import Path

from node_tree import bare_debian, h200_node

from ansible_collections.t9k.gpu.plugins.modules import nvidia_doctor

PLAN = {"has_gpu": True, "steps": [], "health": [], "warnings_found": []}


def params(**plan: object) -> dict[str, object]:
    return {"node": "n1", "smi_timeout": 1, "plan": plan, "health": []}


def test_a_node_that_is_well_has_no_error(tmp_path: Path, fixtures: Path) -> None:
    tree = h200_node(tmp_path, fixtures)
    before = tree.snapshot()
    found = nvidia_doctor.look(tree.run, params(**PLAN), str(tmp_path))
    assert found["has_gpu"]
    assert (found["errors"], [each["code"] for each in found["findings"]]) == (0, ["log_unreadable"])
    assert tree.snapshot() == before


def test_what_another_module_found_is_told_too(tmp_path: Path, fixtures: Path) -> None:
    fault = {"code": "cuda_error", "severity": "error", "gpu": None, "evidence": "CUDA_ERROR_X", "remedy": "look"}
    tree = h200_node(tmp_path, fixtures)
    found = nvidia_doctor.look(tree.run, {**params(**PLAN), "health": [fault]}, str(tmp_path))
    assert (found["errors"], found["table"][0]) == (1, "n1  error    cuda_error  CUDA_ERROR_X. Next: look.")


def test_a_node_without_its_driver_has_one(tmp_path: Path, fixtures: Path) -> None:
    found = nvidia_doctor.look(bare_debian(tmp_path, fixtures).run, params(**PLAN), str(tmp_path))
    assert found["errors"] == 1
    assert found["table"][0].startswith("n1  error    smi_not_installed  ")


def test_a_host_without_a_gpu_has_none(tmp_path: Path) -> None:
    found = nvidia_doctor.look(lambda *_args: None, params(), str(tmp_path))  # type: ignore[arg-type,return-value]
    assert found == {"has_gpu": False, "findings": [], "errors": 0, "table": []}
