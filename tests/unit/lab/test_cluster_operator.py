"""When the stand-in's operator acts."""

from __future__ import annotations

from typing import Any

from tests.lab.cluster.operator_stand_in import LEASE_S, StandIn


def deployment(uid: str, generation: int) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "generation": generation}}


def test_a_new_pod_leads_when_the_lease_of_the_former_has_run_out() -> None:
    operator: Any = StandIn(None, {})  # type: ignore[arg-type]
    assert operator._leads(deployment("a", 1), 100.0)  # the first: nobody held a lease
    assert not operator._leads(deployment("a", 2), 101.0)
    assert not operator._leads(deployment("a", 2), 100.0 + LEASE_S)
    assert operator._leads(deployment("a", 2), 101.0 + LEASE_S)
    assert operator._leads(deployment("b", 1), 102.0 + LEASE_S)  # another installation
