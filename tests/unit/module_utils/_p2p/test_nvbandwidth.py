"""Reading nvbandwidth's JSON. No real capture is at hand: the documents below are written after its source's output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._p2p import nvbandwidth
from ansible_collections.t9k.gpu.plugins.module_utils._p2p import samples as p2p
from ansible_collections.t9k.gpu.plugins.module_utils._p2p.evidence import Evidence
from ansible_collections.t9k.gpu.plugins.module_utils._p2p.judge import judge


def case(name: str, matrix: list[list[str]] | None, status: str = "Passed", **more: Any) -> dict[str, Any]:
    shown = {} if matrix is None else {"bandwidth_matrix": matrix, "sum": 1.5}
    return {"name": name, "status": status, **shown, **more}


def document(*cases: dict[str, Any], **more: Any) -> str:
    head = {"CUDA Runtime Version": 12080, "Driver Version": "580.159.04", "version": "v0.8", "git_version": "v0.8"}
    return json.dumps({"nvbandwidth": {**head, "testcases": list(cases), **more}}, indent=3)


WRITE = case(
    "device_to_device_memcpy_write_ce",
    [["N/A", "390.9"], ["391.2", "N/A"]],
    bandwidth_description="memcpy CE GPU(row) <- GPU(column) bandwidth (GB/s)",
)
READ = case("device_to_device_memcpy_read_ce", [["N/A", "380"], ["381", "N/A"]])
BOTH = case(
    "device_to_device_bidirectional_memcpy_write_ce",
    [["N/A", "1"], ["2", "N/A"], ["N/A", "3"], ["4", "N/A"], ["N/A", "700.5"], ["701", "N/A"]],
)


def test_two_gpus() -> None:
    gpus = ["0: NVIDIA H200 (00000000:0f:00):(host-a)", "1: NVIDIA H200 (00000000:2d:00)"]
    found = nvbandwidth.parse(document(WRITE, READ, BOTH, **{"GPU Device list": gpus}))
    assert (found.version, found.driver_version, found.cuda_runtime_version) == ("v0.8", "580.159.04", "12080")
    assert found.testcases[0].unit == "GB/s" and found.testcases[0].sum == 1.5
    assert found.devices[1] == p2p.Device(1, "NVIDIA H200", "0000:2d:00.0")
    report = found.to_report()
    assert report.matrices[p2p.UNIDIRECTIONAL_ON] == ((None, 390.9), (391.2, None))
    assert report.matrices[p2p.CONNECTIVITY] == ((1.0, 1.0), (1.0, 1.0))
    assert report.matrices[p2p.BIDIRECTIONAL_ON] == ((None, 700.5), (701.0, None))
    assert report.missing == () and report.errors == ()


def test_one_gpu_is_waived_not_missing() -> None:
    waived = [case(name, None, "Waived") for name in nvbandwidth.PEER_TO_PEER]
    report = nvbandwidth.parse(document(*waived)).to_report()
    assert report.matrices == {} and report.missing == () and report.errors == ()


def test_two_gpus_and_everything_waived_is_no_peer_access() -> None:
    waived = [case(name, None, "Waived") for name in nvbandwidth.PEER_TO_PEER]
    gpus = ["0: NVIDIA L4 (00000000:0f:00)", "1: NVIDIA L4 (00000000:2d:00)"]
    report = nvbandwidth.parse(document(*waived, **{"GPU Device list": gpus})).to_report()
    assert report.matrices == {p2p.CONNECTIVITY: ((1.0, 0.0), (0.0, 1.0))}
    found = judge(Evidence(report))
    assert (found.verdict, {reason.rule for reason in found.reasons}) == ("warn", {"no_peer_access"})


@pytest.mark.parametrize(
    ("status", "more", "errors"),
    [
        ("Error", {"error": "[CUDA_ERROR_INVALID_VALUE] in"}, ("%s: [CUDA_ERROR_INVALID_VALUE] in",)),
        ("Error", {}, ("%s: Error",)),
        ("Not Found", {}, ()),
    ],
)
def test_a_test_case_that_did_not_run(status: str, more: dict[str, Any], errors: tuple[str, ...]) -> None:
    name = "device_to_device_memcpy_write_ce"
    report = nvbandwidth.parse(document(case(name, None, status, **more), READ, BOTH)).to_report()
    assert report.missing == (p2p.UNIDIRECTIONAL_ON,)
    assert report.errors == tuple(error % name for error in errors)


def test_rows_of_one_value_are_no_stack() -> None:
    found = nvbandwidth.parse(document(case("device_local_copy", [["1994.2"]]), case("h2d", [["55.1", "54.9"]])))
    assert [testcase.matrix for testcase in found.testcases] == [((1994.2,),), ((55.1, 54.9),)]


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("", "no nvbandwidth JSON in the output: empty"),
        ("nvbandwidth: not found", "no nvbandwidth JSON in the output: nvbandwidth: not found"),
        ('{"nvbandwidth": {"testcases": [{"name": "x"}', "damaged or cut off"),
        ('{"other": 1}', "no nvbandwidth JSON"),
        (document(error="CUDA_ERROR_NO_DEVICE: no device"), "CUDA_ERROR_NO_DEVICE: no device"),
    ],
)
def test_errors(output: str, error: str) -> None:
    found = nvbandwidth.parse(output)
    assert error in str(found.error)
    assert found.to_report().errors and not found.to_report().complete


def test_text_around_the_document() -> None:
    assert nvbandwidth.parse("mpirun says hello\n" + document(WRITE) + "\nbye\n").testcases[0].name == WRITE["name"]


def test_a_real_h200(fixtures: Path) -> None:
    """One GPU: every test between GPUs is waived, and that is no error."""
    text = (fixtures / "h200-sxm-580-open/nvbandwidth.json").read_text()
    found = nvbandwidth.parse(text)
    assert found.devices == (p2p.Device(0, "NVIDIA H200", "0000:00:06.0"),)
    by_name = {test.name: test for test in found.testcases}
    assert by_name["host_to_device_memcpy_ce"].sum == pytest.approx(55.47, abs=0.01)
    assert by_name["device_to_device_memcpy_write_ce"].status == "Waived"
    assert found.to_report().errors == ()
