"""When a scenario's point has come, and how a run is stopped there."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.faults import ground, matrix, strike
from tests.lab.faults.listen import listening
from tests.lab.faults.runner import Ended
from tests.lab.faults.scenario import Point, Scenario, Watch
from tests.lab.faults.scenarios import CLUSTER, MACHINE, QUICK, SLOW
from tests.lab.faults.strike import Victim
from tests.lab.state import Lab

ROLE = Path(__file__).parents[3] / "roles/driver/tasks"
TASKS = ["", "install", "install", "", "hold", "hold", "reboot", ""]


@pytest.mark.parametrize(
    ("point", "struck"),
    [
        (Point("before", "install"), [1]),
        (Point("in", "hold"), [4]),
        (Point("in", "install", task="number 2"), [2]),
        (Point("after", "install"), [3]),
        (Point("after", "reboot"), [7]),
        (Point("before", "drain"), []),
    ],
)
def test_the_point_comes_once(point: Point, struck: list[int]) -> None:
    watch = Watch(point)
    assert [at for at, step in enumerate(TASKS) if watch.sees(step, f"task number {at}")] == struck


@pytest.mark.parametrize("scenario", [*QUICK, *SLOW, *MACHINE, *CLUSTER], ids=lambda scenario: scenario.name)
def test_every_point_is_one_of_the_role_s(scenario: Scenario) -> None:
    point = scenario.point
    file = ROLE / "steps" / f"{point.step}.yml"
    assert point.when == "random" or (file.exists() and point.task in file.read_text())


def test_every_step_of_the_role_is_in_the_matrix_and_every_way_leads_to_one() -> None:
    there = sorted(path.stem for path in (ROLE / "steps").iterdir())
    cells = [(cell.point.step, cell.point.when, cell.strike) for step in matrix.STEPS for cell in matrix.cells(step)]
    strikes = (strike.controller_killed, strike.power_cut)
    assert cells == list(itertools.product(there, ("before", "after"), strikes))
    assert set(matrix.WAYS) <= set(there)


@pytest.mark.parametrize(
    ("recap", "changed"),
    [("h : ok=3 changed=0 unreachable=0", False), ("a : ok=3 changed=0\nb : ok=9 changed=12", True)],
)
def test_whether_a_run_changed_anything(recap: str, changed: bool) -> None:
    assert Ended(0, f"changed=9 says a task\nPLAY RECAP ***\n{recap}").changed is changed


@pytest.mark.parametrize(("worker", "name"), [(None, "x"), ("gw2", "x-gw2")])
def test_each_of_pytest_s_workers_has_a_lab_of_its_own(
    monkeypatch: pytest.MonkeyPatch, worker: str | None, name: str
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    if worker:
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    asked: list[str] = []
    monkeypatch.setattr(ground, "_lab", lambda part, *words: asked.append(f"{part} {words[0]} {words[2]}"))
    with ground.ground("x", 1, cluster=True) as lab:
        assert lab.name == name
    assert asked == [f"hosts up {name}", f"cluster up {name}", f"cluster down {name}", f"hosts down {name}"]


def test_a_controller_is_killed_with_all_that_it_has_begun(tmp_path: Path) -> None:
    """Ansible's workers lead sessions of their own, so the group of ansible-playbook is not all of it."""
    begun = tmp_path / "begun"
    script = f"setsid sh -c 'echo $$ > {begun}; exec sleep 60' & wait"
    run = subprocess.Popen(["sh", "-c", script], start_new_session=True, text=True)
    while not begun.exists() or not begun.read_text().strip():
        time.sleep(0.01)
    strike.controller_killed(Victim(Lab("none"), "localhost", run))
    assert run.wait(10) == -signal.SIGKILL
    stat, until = Path("/proc", begun.read_text().strip(), "stat"), time.monotonic() + 10
    while _lives(stat):  # the kernel takes a moment
        assert time.monotonic() < until
        time.sleep(0.01)


def _lives(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_stands_still_while_it_is_struck(tmp_path: Path, when: str) -> None:
    """A real ansible-playbook: what the step's only task writes is not there before it, and there after it."""
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps/one.yml").write_text(
        f"- ansible.builtin.copy: {{content: x, dest: '{tmp_path}/written', mode: '0600'}}\n"
    )
    (tmp_path / "play.yml").write_text(
        "- hosts: localhost\n  gather_facts: false\n  connection: local\n  tasks:\n"
        "    - ansible.builtin.include_tasks: steps/one.yml\n    - ansible.builtin.debug:\n"
    )
    seen: list[bool] = []
    scenario = Scenario("look", Point(when, "one"), lambda _victim: seen.append((tmp_path / "written").exists()))
    with listening(scenario) as listener:
        environment = {**os.environ, **listener.environment}
        process = subprocess.Popen(["ansible-playbook", str(tmp_path / "play.yml")], env=environment, text=True)
        listener.armed(Victim(Lab("none"), "localhost", process))
        assert process.wait(60) == 0
    assert seen == [when == "after"]
