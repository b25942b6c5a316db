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


def controller(lab: Lab, nodes: list[str]) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.slow.rollout_controller", str(lab.kubeconfig), str(BUDGET), *nodes]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


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


def test_two_controllers_keep_one_budget(lab: Lab, most_away: Path) -> None:
    began = time.monotonic()
    both = [controller(lab, NODES[:6]), controller(lab, NODES[6:])]
    said = [run.communicate(timeout=300)[0] for run in both]
    print(f"12 nodes, budget {BUDGET}: {time.monotonic() - began:.1f} s")
    assert [run.returncode for run in both] == [0, 0], said
    assert most_away.read_text().strip() == str(BUDGET)
    assert left(lab) == ([], {})


def test_a_killed_controller_holds_nobody_up_and_its_next_run_ends_what_it_began(lab: Lab, most_away: Path) -> None:
    killed, other = controller(lab, NODES[:6]), controller(lab, NODES[6:])
    assert killed.stdout
    killed.stdout.readline()  # it is through with its first node, and others of its are away
    killed.kill()
    said = other.communicate(timeout=300)[0]
    assert other.returncode == 0, said
    again = controller(lab, NODES[:6])
    said = again.communicate(timeout=300)[0]
    assert again.returncode == 0, said
    assert int(most_away.read_text()) <= BUDGET
    assert left(lab) == ([], {})
