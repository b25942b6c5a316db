"""How ``./dev test`` shares the tests out among the workers of pytest-xdist, so that none waits for the last scenario alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

#: Dearest first, in seconds on 2 cores: what takes longest begins first. A scenario that is not named comes before them.
SECONDS = {
    "test_scenario[driver_ubuntu]": 375,
    "test_scenario[drain]": 254,
    "test_scenario[driver_debian]": 187,
    "test_scenario[driver_refuse]": 170,
    "test_faults.py": 150,
    "test_scenario[rollout]": 132,
    "test_scenario[site]": 121,
    "test_scenario[gpu_operator]": 103,
    "test_scenario[lab]": 100,
    "test_sanity.py": 83,
    "test_scenario[gpu_operator_rbac]": 48,
    "test_lint.py": 20,
    "test_packaging.py": 20,
}
ALONE = ("test_scenarios.py", "test_lint.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file together, since they share its fixtures: pytest-xdist's own groups (3.8) do nothing under pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if Path(file).name in ALONE else file

    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the checks by their cost, before the unit tests."""
    items.sort(key=_cost, reverse=True)


def _cost(item: pytest.Item) -> int:
    if item.path.parent.name != "checks":
        return 0
    dearest = max(SECONDS.values()) + 1
    return SECONDS.get(item.name, SECONDS.get(item.path.name, dearest))
