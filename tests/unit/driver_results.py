"""What the driver's result is made of in tests: a transaction that apt is said to plan, and one call that puts it together."""

from __future__ import annotations

from typing import Any

from node_builder import package_plan

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result, Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Move, Transaction
from ansible_collections.t9k.gpu.plugins.module_utils._driver import result as driver_result
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.support import Support
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted

SUPPORTED = {"ubuntu-22.04": {"branch": "525"}}
V525 = "525.147.05"
MOVES = Transaction(
    install=(Move("nvidia-utils", None, "2"), Move("libnvidia", None, "2")),
    upgrade=(Move("nvidia-dkms", "1", "2"),),
    remove=(Move("nvidia-utils-515", "1", None),),
)
TARGET = Target(V525, "proprietary", package_plan(V525), transaction=MOVES)


def never(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
    raise AssertionError(argv)


def purge(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
    """apt takes what it is told and, as a stand-in for a package that depends on the driver, one more."""
    assert argv[:4] == ["apt-get", "-s", "-q", "purge"]
    taken = [word for word in argv if word.endswith("-server")]
    return Result(tuple(argv), 0, "".join(f"Purg {name} [1]\n" for name in (*taken, *depending)), "")


depending: list[str] = []


def make(node: NodeState, run: Run = never, support: Support | None = None, **wanted: Any) -> dict[str, Any]:
    return driver_result.make(run, node, Wanted(drain="never", **wanted), SUPPORTED, support or Support())
