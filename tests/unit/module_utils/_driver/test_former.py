"""What a change must keep of the former driver, and what is read of it again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from node_builder import bare_node, finished_node, package_plan

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Move, Transaction
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._driver import back, former, result
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import plan as driver_plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted

V525, V535 = "525.147.05", "535.54.03"
UTILS = f"nvidia-utils-525-server:amd64={V525}-0ubuntu1"
MOVES = Transaction(
    install=(Move("nvidia-utils-535-server", None, f"{V535}-0ubuntu1"),),
    upgrade=(Move("tools", "1", "2"),),
    remove=(Move("nvidia-utils-525-server", f"{V525}-0ubuntu1", None), Move("never-here", "1", None)),
)
FORMER = {"version": V525, "kernel_modules": "proprietary", "module_build": "dkms", "flavour": "server"}


def node(version: str = V525, record: object = None, begun: bool = True) -> NodeState:
    state = finished_node(version)
    tools = Package("tools", "all", "1", "install", "installed")
    text = record if isinstance(record, str) else json.dumps(record) if record else None
    return replace(
        state,
        packages=(*state.packages, tools),
        files={**state.files, driver_files.FORMER: text, driver_files.BEFORE: "{}" if begun and record else None},
    )


RECORD = {**FORMER, "family": ["x"], "files": {UTILS: "utils.deb"}}


def test_what_is_changed_or_removed_is_kept_whoevers_it_is() -> None:
    kept = former.to_keep(node(), Wanted(), MOVES)
    assert kept and kept["packages"] == [UTILS, "tools:all=1"]
    family = kept["about"].pop("family")
    assert kept["about"] == FORMER
    assert "nvidia-utils-525-server" in family and "tools" not in family


@pytest.mark.parametrize(
    ("state", "moves"),
    [
        (bare_node(), MOVES),
        (node(), Transaction(install=MOVES.install)),
        (
            node(record=RECORD),
            MOVES,
        ),  # from before a change without a proof: what is there now may be half of something
    ],
)
def test_nothing_to_keep(state: NodeState, moves: Transaction) -> None:
    assert former.to_keep(state, Wanted(), moves) is None


@pytest.mark.parametrize(("rollback", "kept"), [("auto", True), ("required", True), ("never", False)])
def test_the_step_says_what_to_keep(rollback: str, kept: bool) -> None:
    target = Target(V535, "proprietary", package_plan(V535), transaction=MOVES)
    steps = driver_plan.plan(node(), Wanted(drain="never", rollback=rollback), target)
    (data,) = (step.data["keep"] for step in steps if step.name == "install")
    assert bool(data) is kept


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (RECORD, FORMER),
        (None, None),
        ("{", None),
        ([], None),
        ({**RECORD, "files": {}}, None),
        ({"version": V525}, None),
    ],
)
def test_the_driver_that_is_kept(record: object, expected: object) -> None:
    assert former.previous(node(V535, record)) == expected


def test_what_was_kept_for_a_change_that_did_not_begin_is_kept_anew() -> None:
    """After a failed drain an administrator may have installed another driver."""
    state = node(V535, RECORD, begun=False)
    assert former.previous(state) is None
    assert former.to_keep(node(V525, RECORD, begun=False), Wanted(), MOVES) is not None


def test_a_second_attempt_goes_back_to_where_the_first_began() -> None:
    """Not to what the first one left."""
    told = result._previous(node(V535, RECORD), Wanted())
    assert told == FORMER
    assert (result._previous(node(V535), Wanted()) or {})["version"] == V535


def never(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
    raise AssertionError(argv)


def test_back_where_it_began_there_is_nothing_left_to_install() -> None:
    state = node(V525)
    record = {**RECORD, "family": [p.label for p in state.packages]}
    assert back.target(never, state, record) == Target(V525, "proprietary")


def test_the_plan_goes_back_where_it_is_asked_to() -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        asked.append(argv)
        return Result(tuple(argv), 0, "", "")

    system = {"ubuntu-22.04": {"branches": ["535"]}}
    told = result.make(run, node(V535, RECORD), Wanted(back=True, branch="550", drain="never"), system)
    assert told["target_version"] == V525
    (install,) = (step for step in told["steps"] if step["name"] == "install")
    assert f"{driver_files.FORMER}/utils.deb" in install["data"]["apt_get"]
    assert "nvidia-utils-535-server-" in install["data"]["apt_get"]  # came with the change
    assert install["data"]["keep"] is None and install["data"]["local"] is True
    assert {argv[0] for argv in asked} == {"apt-get"}
