"""Who is away and whether one more may go, as tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.budget import Entry
from ansible_collections.t9k.gpu.plugins.module_utils._drain.holder import Holder
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

GPU = {"nvidia.com/gpu.present": "true"}
LIVE, DEAD = Entry(Holder("ann", "a", 1, 1), 100), Entry(Holder("bob", "b", 2, 2), 0)


def node(name: str, labels: dict[str, str] | None = None, away: str = "", **capacity: str) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "Unknown" if away == "silent" else "True"}
    spec = {"unschedulable": True} if away == "cordoned" else {}
    status = {"conditions": [ready], "capacity": capacity}
    return {"metadata": {"name": name, "labels": labels or {}, "annotations": {}}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("share", "total", "allowed"),
    [("1", 100, 1), ("5", 3, 5), ("25%", 12, 3), ("25%", 3, 1), ("100%", 7, 7), (" 2 ", 9, 2), ("99%", 2, 1)],
)
def test_limit(share: str, total: int, allowed: int) -> None:
    assert budget.limit(share, total) == allowed


@pytest.mark.parametrize("share", ["0", "0%", "101%", "-1", "some", "1.5", "%"])
def test_limit_that_makes_no_sense_is_refused(share: str) -> None:
    with pytest.raises(GpuError, match="a number of nodes, or a share"):
        budget.limit(share, 10)


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        (node("a"), False),
        (node("a", GPU), True),
        (node("a", {"feature.node.kubernetes.io/pci-10de.present": "true"}), True),
        (node("a", {"nvidia.com/gpu.present": "false"}), False),
        (node("a", {"nvidia.com/gpu.count": "0"}), False),
        (node("a", **{"nvidia.com/gpu": "0"}), True),
        (node("known"), True),
    ],
)
def test_gpu_nodes(found: dict[str, Any], counts: bool) -> None:
    assert bool(budget.gpu_nodes([found], {"known"})) is counts
    assert bool(budget.gpu_nodes([drain_node.counted(found)], {"known"})) is counts


@pytest.mark.parametrize("away", ["", "cordoned", "silent"])
def test_what_is_kept_of_a_large_node_counts_as_the_whole(away: str) -> None:
    found = node("a", GPU, away)
    found["metadata"]["annotations"] = {budget.FAILED: budget.failure("why"), "other": "x" * 4000}
    found["status"]["images"] = [{"names": ["r/i@sha256:" + "0" * 64]}] * 50
    kept = drain_node.counted(found)
    for judge in (budget.away, lambda each: budget.failed_since([each], 0)):
        assert judge(kept) == judge(found)
    assert len(json.dumps(kept)) < 600


def count(*nodes: dict[str, Any], ledger: dict[str, Entry] | None = None, share: str = "2") -> budget.Count:
    return budget.count(nodes, ledger or {}, "me", share, lambda entry: entry is LIVE)


@pytest.mark.parametrize(
    ("tally", "others", "stale", "room"),
    [
        pytest.param(count(node("me"), node("a")), [], (), True, id="none-away"),
        pytest.param(count(node("a", away="cordoned"), node("b", away="silent")), ["a", "b"], (), False, id="full"),
        pytest.param(
            count(node("me", away="cordoned"), node("a", away="silent")), ["a"], (), True, id="I-do-not-count"
        ),
        pytest.param(count(node("a"), ledger={"a": LIVE}), ["a"], (), True, id="promised"),
        pytest.param(count(node("a"), ledger={"a": DEAD}), [], ("a",), True, id="promise-of-the-dead"),
        pytest.param(count(node("a", away="cordoned"), ledger={"a": DEAD}), ["a"], (), True, id="dead-but-away"),
        pytest.param(count(ledger={"gone": LIVE}), ["gone"], (), True, id="promised-node-that-left-the-cluster"),
        pytest.param(count(node("me"), ledger={"me": LIVE}), [], (), True, id="my-own-promise"),
        pytest.param(
            count(node("a", away="silent"), ledger={"a": LIVE, "b": LIVE}), ["a", "b"], (), False, id="once-each"
        ),
    ],
)
def test_count(tally: budget.Count, others: list[str], stale: tuple[str, ...], room: bool) -> None:
    assert (sorted(tally.others), tally.stale, tally.room) == (others, stale, room)


def test_the_count_is_said_in_words() -> None:
    assert str(count(node("a", away="silent"))) == "1 GPU nodes are away, 2 may be: a (not Ready)"


@pytest.mark.parametrize("text", ["", "yes", "{}", "[]", '{"holder": {}, "until": 1}'])
def test_entry_that_nobody_can_read_still_counts(text: str) -> None:
    found = budget.entries({"data": {"a": text}})
    assert found["a"].holder.user == "somebody"


def test_entry_is_read_back_as_written() -> None:
    assert budget.entries({"data": {"a": LIVE.text()}}) == {"a": LIVE}
    assert budget.entries(None) == budget.entries({"data": None}) == {}


def test_failures_before_the_run_do_not_count() -> None:
    found = node("a")
    found["metadata"]["annotations"][budget.FAILED] = json.dumps({"at": 10.0, "reason": "why"})
    assert budget.failed_since([found, node("b")], 10.0) == {"a": "why"}
    assert budget.failed_since([found], 10.5) == {}
