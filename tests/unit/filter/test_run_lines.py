"""What a run did, in words: the end of playbooks/site.yml."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.filter.run_lines import FilterModule, run_lines

STEP = {"name": "hold", "reason": "not held: libcuda1", "disturbs": "", "data": {}}
DONE: dict[str, Any] = {"has_gpu": True, "steps": [], "faults": []}
DUE = {**DONE, "steps": [STEP]}


def host(name: str = "a", **known: Any) -> dict[str, Any]:
    return {"inventory_hostname": name, **{f"__driver_{key}": value for key, value in known.items()}}


@pytest.mark.parametrize(
    ("known", "lines"),
    [
        (host(), ["a: not read: no answer"]),
        (host(plan={"unreachable": True, "msg": "no route"}), ["a: not read: no route"]),
        (host(plan={"has_gpu": False, "steps": []}), ["a: no NVIDIA GPU"]),
        (host(plan=DONE), ["a: nothing to be done"]),
        (host(plan=DONE, applied=DUE), ["a: done", "  hold: not held: libcuda1"]),
        (host(plan=DUE), ["a: not wanted here", "  hold: not held: libcuda1"]),
        (host(plan={**DONE, "faults": ["no room", "no key"]}), ["a: cannot be done", "  no room", "  no key"]),
        (host(plan=DUE, left="stopped"), ["a: left for the next run"]),
        (
            host(plan=DONE, applied=DUE, failed=["it broke.", "It is back."]),
            ["a: failed", "  hold: not held: libcuda1", "  it broke. It is back."],
        ),
        (host(plan={**DONE, "faults": ["\x1b[2Jgone"]}), ["a: cannot be done", "  ?[2Jgone"]),
    ],
)
def test_one_node(known: dict[str, Any], lines: list[str]) -> None:
    assert run_lines([known]) == lines


def test_a_look_is_not_called_a_deed() -> None:
    told = run_lines([{**host(plan=DUE), "__gpu_operator_first": {"steps": [STEP]}}], check=True)
    assert told == [
        "a: would be done",
        "  hold: not held: libcuda1",
        "cluster: would be done",
        "  hold: not held: libcuda1",
    ]


def test_nodes_of_which_the_same_is_said_share_their_lines() -> None:
    many = [host(f"n{at}", plan=DONE, applied=DUE) for at in range(10)]
    assert run_lines([*many, host("b", plan=DONE)]) == [
        "n0, n1, n2, n3, n4, n5, n6, n7 and 2 more: done",
        "  hold: not held: libcuda1",
        "b: nothing to be done",
    ]


@pytest.mark.parametrize(
    ("steps", "lines"),
    [([], ["cluster: nothing to be done"]), ([STEP], ["cluster: done", "  hold: not held: libcuda1"])],
)
def test_the_cluster_comes_last(steps: list[dict[str, Any]], lines: list[str]) -> None:
    hosts = [host("a", plan=DONE), {**host("b", plan=DONE), "__gpu_operator_first": {"steps": steps}}]
    assert run_lines(hosts) == ["a, b: nothing to be done", *lines]


@pytest.mark.parametrize(
    ("report", "check", "line"),
    [
        ({"html": "/srv/a.html"}, False, ["Report: /srv/a.html"]),
        ({"html": "/srv/a.html"}, True, []),
        ({"skipped": True}, False, []),
    ],
)
def test_where_the_page_is_where_one_was_written(report: dict[str, Any], check: bool, line: list[str]) -> None:
    hosts = [{**host(name, plan=DONE), "__gpu_report": report} for name in "ab"]
    assert run_lines(hosts, check=check) == ["a, b: nothing to be done", *line]


def test_the_filters_name() -> None:
    assert FilterModule().filters() == {"run_lines": run_lines}
