"""The plan's property: once a plan's steps are done, the next plan is empty."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from node_builder import bare_node, finished_node, package_plan, simulate

from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import Entry
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import plan as driver_plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted

V525 = "525.147.05"


def target(version: str = V525, packages: bool = True, **rest: object) -> Target:
    return Target(version, "proprietary", package_plan(version) if packages else None, **rest)  # type: ignore[arg-type]


wanted_states = st.builds(
    Wanted,
    hold=st.booleans(),
    pin=st.booleans(),
    unattended_exclusion=st.booleans(),
    blacklist=st.booleans(),
    persistence=st.booleans(),
    gsp=st.sampled_from(["auto", "enabled", "disabled"]),
    mig=st.booleans(),
    drain=st.sampled_from(["always", "never", "auto"]),
    state=st.just("present"),
)


def broken_off(state: NodeState) -> NodeState:
    """dpkg was killed between unpacking and configuring."""
    packages = tuple(replace(p, status="unpacked") if "nvidia" in p.name else p for p in state.packages)
    return replace(state, packages=packages)


whole = [bare_node(), finished_node("525.105.17"), finished_node(V525), finished_node("535.54.03")]
starts = st.sampled_from([*whole, *(broken_off(state) for state in whole[1:])])
MIRROR = Entry(("https://mirror.example",), ("jammy",), ("restricted",), "https://mirror.example/key")
SECURITY = replace(MIRROR, suites=("jammy-security",))
sources = st.sampled_from(
    [
        {},
        {driver_files.SOURCES: MIRROR},
        {driver_files.SOURCES: MIRROR, driver_files.SOURCES_OF["-security"]: SECURITY},
    ]
)


@given(start=starts, wanted=wanted_states, version=st.sampled_from(["525.105.17", V525, "535.54.03"]), source=sources)
def test_once_done_nothing_is_left(start: NodeState, wanted: Wanted, version: str, source: dict[str, Entry]) -> None:
    """plan(apply(plan(s, w)), w) = ∅"""
    in_place = start.driver is not None and start.driver.driver_version == version
    steps = driver_plan.plan(start, wanted, target(version, packages=not in_place, sources=source))
    after = simulate(start, steps)
    assert driver_plan.plan(after, wanted, target(version, packages=False, sources=source)) == ()


@given(start=starts, wanted=wanted_states)
def test_absent_once_done_nothing_is_left(start: NodeState, wanted: Wanted) -> None:
    absent = replace(wanted, state="absent")
    after = simulate(start, driver_plan.plan(start, absent, None))
    assert driver_plan.plan(after, absent, None) == ()
    assert not any(text for text in after.files.values())
