"""Twelve nodes of a real API server, a budget of three, two controllers at once, one of them killed: counted from watch events."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import memory
from tests.lab.cluster.api import Api
from tests.lab.state import Lab

NODES = [f"fleet-{number:02}" for number in range(1, 13)]
BUDGET = 3
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Nodes without hosts: kwok plays their kubelets."""
    spec = tmp_path_factory.mktemp("fleet") / "lab.yml"
    hosts = "".join(f"  - {{name: {name}, os: ubuntu-like, gpus: a100-gsp}}\n" for name in NODES)
    spec.write_text(f"cluster: true\nhosts:\n{hosts}")
    command = [sys.executable, "-m", "tests.lab.cluster"]
    subprocess.run([*command, "up", "--name", "fleet", "--spec", str(spec)], check=True)
    yield Lab("fleet")
    subprocess.run([*command, "down", "--name", "fleet"], check=True)


def controller(lab: Lab, nodes: list[str], **faults: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.slow.rollout_controller", str(lab.kubeconfig), str(BUDGET), *nodes]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(argv, cwd=ROOT, env={**os.environ, **faults}, **pipes)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def most_away(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """A file that says how many nodes were away at a time, at most."""
    found = tmp_path / "most"
    path = {"PATH": f"{lab.bin}:{os.environ['PATH']}", "KUBECONFIG": str(lab.kubeconfig)}
    argv = [sys.executable, str(ROOT / "molecule/rollout/files/most_away.py"), str(found)]
    watch = subprocess.Popen(argv, env={**os.environ, **path}, start_new_session=True)
    yield found
    os.killpg(watch.pid, 15)


def left(lab: Lab) -> tuple[list[str], dict[str, str]]:
    """The nodes that are cordoned and the entries of the ledger."""
    api = Api(memory.read(lab)["ports"]["kube-apiserver"], lab.pki)
    cordoned = [node["metadata"]["name"] for node in api.items("/api/v1/nodes") if node["spec"].get("unschedulable")]
    ledger = api.get("/api/v1/namespaces/t9k-gpu/configmaps/t9k-gpu-rollout") or {}
    return cordoned, ledger.get("data") or {}


def ended(said: str, how: str) -> list[str]:
    """The nodes of which a controller said that they ended so."""
    return sorted(line.split()[0] for line in said.splitlines() if line.split()[1:2] == [how])


def failed(lab: Lab) -> list[str]:
    nodes = Api(memory.read(lab)["ports"]["kube-apiserver"], lab.pki).items("/api/v1/nodes")
    return [n["metadata"]["name"] for n in nodes if "gpu.t9k.io/failed" in n["metadata"].get("annotations", {})]


def test_two_controllers_keep_one_budget(lab: Lab, most_away: Path) -> None:
    began = time.monotonic()
    both = [controller(lab, NODES[:6]), controller(lab, NODES[6:])]
    said = [run.communicate(timeout=300)[0] for run in both]
    print(f"12 nodes, budget {BUDGET}: {time.monotonic() - began:.1f} s")
    assert sorted(ended(said[0], "done") + ended(said[1], "done")) == NODES, said
    assert most_away.read_text().strip() == str(BUDGET)
    assert left(lab) == ([], {})


def test_a_killed_controller_holds_nobody_up_and_its_next_run_ends_what_it_began(lab: Lab, most_away: Path) -> None:
    killed, other = controller(lab, NODES[:6]), controller(lab, NODES[6:])
    assert killed.stdout
    killed.stdout.readline()  # it is through with its first node, and others of its are away
    killed.kill()
    said = other.communicate(timeout=300)[0]
    assert ended(said, "done") == NODES[6:], said
    said = controller(lab, NODES[:6]).communicate(timeout=300)[0]
    assert ended(said, "done") == NODES[:6], said
    assert int(most_away.read_text()) <= BUDGET
    assert left(lab) == ([], {})


def test_a_failing_node_one_that_does_not_come_back_and_a_killed_controller(lab: Lab, most_away: Path) -> None:
    one = controller(lab, NODES[:6], FAILS=NODES[0], SILENT=NODES[1])
    killed = controller(lab, NODES[6:])
    assert killed.stdout
    killed.stdout.readline()
    killed.kill()
    said = one.communicate(timeout=300)[0]
    assert (ended(said, "failed"), ended(said, "stays"), ended(said, "done")) == ([NODES[0]], [NODES[1]], NODES[2:6]), (
        said
    )
    assert "has not reported since the host booted" in said
    cordoned, ledger = left(lab)
    assert NODES[1] in cordoned and NODES[0] not in cordoned
    assert set(cordoned) <= set(ledger) and set(cordoned) <= {NODES[1], *NODES[6:]}
    assert failed(lab) == [NODES[0]]
    again = [controller(lab, NODES[:6]), controller(lab, NODES[6:])]
    said = "".join(run.communicate(timeout=300)[0] for run in again)
    assert ended(said, "done") == NODES, said
    assert int(most_away.read_text()) <= BUDGET
    assert (left(lab), failed(lab)) == (([], {}), [])


def test_a_failure_stops_both_and_the_next_run_goes_on(lab: Lab, most_away: Path) -> None:
    """Every node fails, so that whichever is the first stops them; those that were begun by then are no more than the budget."""
    both = [controller(lab, part, FAILS=",".join(NODES), MAX_FAILURES="1") for part in (NODES[:6], NODES[6:])]
    said = [run.communicate(timeout=300)[0] for run in both]
    assert 1 <= len([*ended(said[0], "failed"), *ended(said[1], "failed")]) <= BUDGET, said
    for words in said:
        assert ended(words, "left") and "the rollout stopped, since fleet-" in words, said
    assert left(lab) == ([], {})
    again = "".join(controller(lab, part).communicate(timeout=300)[0] for part in (NODES[:6], NODES[6:]))
    assert ended(again, "done") == NODES, again
    assert (failed(lab), int(most_away.read_text()) <= BUDGET) == ([], True)
