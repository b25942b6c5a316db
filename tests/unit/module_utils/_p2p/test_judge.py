"""The verdict on peer-to-peer measurements: a table of machines, each with one thing wrong, and a real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.module_utils._p2p import samples as p2p
from ansible_collections.t9k.gpu.plugins.module_utils._p2p.evidence import Evidence, Threshold, Verdict
from ansible_collections.t9k.gpu.plugins.module_utils._p2p.judge import judge

Values = dict[str, list[list[float]]]


def machine(count: int, link: str, one_way: float) -> tuple[Values, list[list[str]]]:
    """``count`` equal GPUs, all joined by ``link``."""

    def square(diagonal: float, other: float) -> list[list[float]]:
        return [[diagonal if i == j else other for j in range(count)] for i in range(count)]

    values = {name: square(2.3, 2.0) if name.endswith("_us") else square(2000.0, one_way) for name in p2p.NAMES}
    values[p2p.CONNECTIVITY] = square(1.0, 1.0)
    values[p2p.BIDIRECTIONAL_ON] = square(2000.0, 2 * one_way)
    values[p2p.UNIDIRECTIONAL_OFF] = values[p2p.BIDIRECTIONAL_OFF] = square(2000.0, 20.0)
    return values, [["X" if i == j else link for j in range(count)] for i in range(count)]


def verdict(values: Values, links: list[list[str]], **more: Any) -> Verdict:
    count = len(values[p2p.CONNECTIVITY])
    devices = tuple(p2p.Device(i, "NVIDIA H200", f"0000:{i:02x}:00.0") for i in range(count))
    report = p2p.Report(devices, {name: tuple(map(tuple, rows)) for name, rows in values.items()})
    return judge(Evidence(report, links, **more))


def set_to(name: str, value: float, *pairs: tuple[int, int]) -> Callable[[Values], None]:
    def change(values: Values) -> None:
        for i, j in pairs:
            values[name][i][j] = value

    return change


ALL = [(i, j) for i in range(8) for j in range(8) if i != j]
OF_GPU_3 = [(i, j) for i, j in ALL if 3 in (i, j)]
BETWEEN_2_AND_5 = [(2, 5), (5, 2)]

CASES = [
    # what is wrong, the change, verdict, rules, pairs
    ("nothing", lambda values: None, "ok", set(), set()),
    ("a bit of noise", set_to(p2p.UNIDIRECTIONAL_ON, 330.0, *BETWEEN_2_AND_5), "ok", set(), set()),
    (
        "one link slower",
        set_to(p2p.UNIDIRECTIONAL_ON, 250.0, *BETWEEN_2_AND_5),
        "warn",
        {"slow_pair"},
        {(2, 5), (5, 2)},
    ),
    (
        "one link much slower",
        set_to(p2p.UNIDIRECTIONAL_ON, 190.0, (2, 5), (5, 2)),
        "fail",
        {"slow_pair"},
        {(2, 5), (5, 2)},
    ),
    ("NVLink not used", set_to(p2p.UNIDIRECTIONAL_ON, 50.0, *ALL), "fail", {"nvlink_floor"}, set(ALL)),
    ("slow both ways at once", set_to(p2p.BIDIRECTIONAL_ON, 500.0, (0, 1)), "warn", {"slow_pair"}, {(0, 1)}),
    ("one GPU slow to all", set_to(p2p.UNIDIRECTIONAL_ON, 250.0, *OF_GPU_3), "warn", {"slow_pair"}, set(OF_GPU_3)),
    ("one direction", set_to(p2p.UNIDIRECTIONAL_ON, 300.0, (6, 7)), "warn", {"asymmetric"}, {(6, 7)}),
    ("NVLink without access", set_to(p2p.CONNECTIVITY, 0.0, (1, 0)), "fail", {"no_peer_access"}, {(1, 0)}),
    ("odd latency", set_to(p2p.GPU_LATENCY_ON, 40.0, (4, 5)), "warn", {"slow_latency"}, {(4, 5)}),
    ("slow memory", set_to(p2p.UNIDIRECTIONAL_OFF, 900.0, (4, 4)), "warn", {"slow_memory"}, {(4, 4)}),
]


@pytest.mark.parametrize(("name", "change", "word", "rules", "pairs"), CASES, ids=[case[0] for case in CASES])
def test_one_thing_wrong_with_eight_nvlinked_gpus(
    name: str, change: Callable[[Values], None], word: str, rules: set[str], pairs: set[tuple[int, int]]
) -> None:
    values, links = machine(8, "NV18", 390.0)
    values[p2p.UNIDIRECTIONAL_OFF] = [list(row) for row in values[p2p.UNIDIRECTIONAL_OFF]]
    change(values)
    found = verdict(values, links)
    assert found.verdict == word, found
    assert {reason.rule for reason in found.reasons} == rules
    assert {reason.pair for reason in found.reasons} == pairs
    for reason in found.reasons:
        assert reason.pair is not None and f"GPU {reason.pair[0]}" in reason.message
        assert reason.measured is not None and reason.expected is not None


@pytest.mark.parametrize(("required", "word"), [(False, "warn"), (True, "fail")])
def test_a_machine_without_any_peer_access_is_one_finding(required: bool, word: str) -> None:
    """Eight consumer cards are one sentence, not fifty-six."""
    values, links = machine(8, "SYS", 20.0)
    set_to(p2p.CONNECTIVITY, 0.0, *ALL)(values)
    found = verdict(values, links, require_peer_access=required)
    assert [(reason.rule, reason.pair) for reason in found.reasons] == [("no_peer_access", None)]
    assert found.verdict == word


def test_a_reason_names_pair_measured_and_expected() -> None:
    values, links = machine(8, "NV18", 390.0)
    set_to(p2p.UNIDIRECTIONAL_ON, 250.0, (2, 5))(values)
    (reason,) = (reason for reason in verdict(values, links).reasons if reason.rule == "slow_pair")
    assert reason.message == (
        "GPU 2 to GPU 5 (NV18): one-way bandwidth with peer access is 250.00 GB/s, expected at least 292.50 "
        "(75% of the 390.00 GB/s that equally connected pairs reach)"
    )
    assert (reason.measured, reason.expected, reason.matrix) == (250.0, 292.5, p2p.UNIDIRECTIONAL_ON)


def test_one_bad_gpu_of_three_does_not_set_the_standard() -> None:
    values, links = machine(3, "NV4", 50.0)
    pairs = [(0, 2), (2, 0), (1, 2), (2, 1)]
    set_to(p2p.UNIDIRECTIONAL_ON, 41.0 * 0.5, *pairs)(values)
    found = verdict(values, [[link.replace("NV4", "NV2") for link in row] for row in links])
    assert found.verdict == "fail"
    assert {reason.pair for reason in found.reasons} == set(pairs)


def test_pcie_pairs_are_not_measured_against_nvlink_pairs() -> None:
    values, links = machine(4, "NV4", 90.0)
    for i, j in [(0, 2), (0, 3), (1, 2), (1, 3)]:
        links[i][j] = links[j][i] = "SYS"
        set_to(p2p.UNIDIRECTIONAL_ON, 18.0, (i, j), (j, i))(values)
        set_to(p2p.BIDIRECTIONAL_ON, 30.0, (i, j), (j, i))(values)
    assert verdict(values, links).verdict == "ok"


def test_redirected_peer_traffic_points_at_acs_and_iommu() -> None:
    values, links = machine(4, "PIX", 6.0)
    found = verdict(values, links)
    assert found.verdict == "warn" and {reason.rule for reason in found.reasons} == {"redirected"}
    assert "ACS" in found.reasons[0].message


@pytest.mark.parametrize(("require", "word"), [(False, "warn"), (True, "fail")])
def test_pcie_without_peer_access(require: bool, word: str) -> None:
    values, links = machine(2, "PHB", 18.0)
    set_to(p2p.CONNECTIVITY, 0.0, (0, 1), (1, 0))(values)
    found = verdict(values, links, require_peer_access=require)
    assert found.verdict == word and "no equally connected pair has it" in found.reasons[0].message


@pytest.mark.parametrize(
    ("threshold", "word"),
    [
        (Threshold("H200", unidirectional_gb_per_s=380.0), "ok"),
        (Threshold("H200", unidirectional_gb_per_s=400.0), "fail"),
        (Threshold("H200", "nvlink", bidirectional_gb_per_s=800.0), "fail"),
        (Threshold("H200", "pcie", bidirectional_gb_per_s=800.0), "ok"),
        (Threshold("H200", gpu_latency_us=1.5), "fail"),
        (Threshold("H200", gpu_latency_us=2.5), "ok"),
        (Threshold("A100", unidirectional_gb_per_s=4000.0), "ok"),
    ],
)
def test_thresholds_of_a_model(threshold: Threshold, word: str) -> None:
    values, links = machine(2, "NV18", 390.0)
    assert verdict(values, links, thresholds=[threshold]).verdict == word


def test_one_gpu(fixtures: Path) -> None:
    report = p2p.parse((fixtures / "h200-sxm-580-open/p2pBandwidthLatencyTest.txt").read_text())
    found = judge(Evidence(report))
    assert (found.verdict, found.note, found.reasons) == ("ok", "one GPU: there is no pair to test", ())


def test_the_published_eight_gpus_are_ok_without_their_topology(fixtures: Path) -> None:
    report = p2p.parse((fixtures / "a100-sxm4-x8/p2pBandwidthLatencyTest.txt").read_text())
    assert judge(Evidence(report)).verdict == "ok"


def test_the_published_eight_gpus_fail_if_they_are_nvlinked(fixtures: Path) -> None:
    """A100-SXM4 boards have 12 NVLinks; these numbers are PCIe's. (The topology is derived: it was not published.)"""
    report = p2p.parse((fixtures / "a100-sxm4-x8/p2pBandwidthLatencyTest.txt").read_text())
    links = [["X" if i == j else "NV12" for j in range(8)] for i in range(8)]
    found = judge(Evidence(report, links))
    assert found.verdict == "fail" and len([r for r in found.reasons if r.rule == "nvlink_floor"]) == 56


@pytest.mark.parametrize(
    ("report", "rule"),
    [
        (p2p.parse(""), "incomplete"),
        (p2p.parse("Cuda failure x.cu:1: 'unknown error'"), "cuda_error"),
        (p2p.Report((p2p.Device(0, "X", ""),), {}, (), (p2p.CONNECTIVITY,)), "incomplete"),
    ],
)
def test_no_measurement_is_no_pass(report: p2p.Report, rule: str) -> None:
    found = judge(Evidence(report))
    assert found.verdict == "fail" and found.reasons[0].rule == rule


def test_a_gpu_that_the_test_did_not_see() -> None:
    values, links = machine(3, "NV18", 390.0)
    (reason,) = verdict(values, links, gpu_count=4).reasons
    assert (reason.rule, reason.severity) == ("missing_gpu", "fail")
    assert reason.message == "nvidia-smi lists 4 GPUs, the test saw 3"


def test_no_cut_of_a_real_output_is_ok(fixtures: Path) -> None:
    text = (fixtures / "a100-sxm4-x8/p2pBandwidthLatencyTest.txt").read_text()
    for cut in range(0, text.rindex("2.44"), 211):
        assert judge(Evidence(p2p.parse(text[:cut]))).verdict == "fail", cut


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(min_value=2, max_value=9),
    noise=st.lists(st.floats(min_value=0.9, max_value=1.1), min_size=81, max_size=81),
    link=st.sampled_from(["NV18", "SYS", ""]),
)
def test_noise_alone_is_never_more_than_ok(count: int, noise: list[float], link: str) -> None:
    values, links = machine(count, link, 390.0)
    for name in (p2p.UNIDIRECTIONAL_ON, p2p.BIDIRECTIONAL_ON, p2p.GPU_LATENCY_ON):
        values[name] = [[cell * noise[9 * i + j] for j, cell in enumerate(row)] for i, row in enumerate(values[name])]
    assert verdict(values, links if link else []).verdict == "ok"


def test_to_dict_is_json_like() -> None:
    values, links = machine(2, "NV18", 100.0)
    told = verdict(values, links).to_dict()
    assert told["reasons"][0]["pair"] == [0, 1] and told["verdict"] == "fail"


def test_broken_topology_is_no_topology() -> None:
    values, _links = machine(4, "NV18", 390.0)
    assert verdict(values, [["X"]]).verdict == "ok"
    assert replace(verdict(values, []), note="").reasons == ()


@pytest.mark.parametrize(("link", "one_way", "found"), [
    ("NV18", 380.0, []), ("NV18", 281.0, ["warn"]), ("NV12", 200.0, []), ("SYS", 5.0, []), ("PIX", 20.0, []),
])  # fmt: skip
def test_a_machine_that_is_slow_everywhere(link: str, one_way: float, found: list[str]) -> None:
    """Its pairs are equals, so none is slow among them; an H200 of SXM has no PCIe path between GPUs to compare."""
    reasons = [each for each in verdict(*machine(8, link, one_way)).reasons if each.rule == "slow_machine"]
    assert [each.severity for each in reasons] == found
    assert all("all 56 pairs by NV18" in each.message and "NVIDIA H200" in each.message for each in reasons)
