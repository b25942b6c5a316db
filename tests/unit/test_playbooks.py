"""The playbooks' own words, where nothing on a host is needed to say them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
STEP = {"name": "hold", "reason": "not held: libcuda1"}
NODE = {"driver": {"loaded_version": "535.1"}, "gpus": [{"product_name": "NVIDIA A40"}]}
CHANGED: dict[str, Any] = {
    "__driver_plan": {"has_gpu": True, "steps": [], "faults": [], "node": NODE},
    "__driver_applied": {"steps": [STEP]},
    "__gpu_operator_first": {"steps": []},
    "__gpu_report": {"html": "/srv/report.html", "changed": True},
}


@pytest.mark.parametrize(
    ("words", "shows", "page"), [([], "json", ["Report: /srv/report.html"]), (["--check"], "yaml", [])]
)
def test_site_ends_with_the_fleet_the_deeds_and_the_page(
    tmp_path: Path, words: list[str], shows: str, page: list[str]
) -> None:
    """As the lines that they are, whichever way results are shown."""
    (tmp_path / "play.yml").write_text(yaml.safe_dump([yaml.safe_load((ROOT / "playbooks/site.yml").read_text())[-1]]))
    hosts = {"gpu01": CHANGED, "cpu01": {"__driver_plan": {"has_gpu": False, "steps": []}}}
    inventory = {"kube_node": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory, sort_keys=False))
    environment = {
        **os.environ,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": shows,
    }
    done = subprocess.run(
        ["ansible-playbook", "play.yml", "-i", "inventory.yml", *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = yaml.safe_load(done.stdout.partition("=> ")[2].partition("\nPLAY RECAP")[0])["msg"]
    said = told if shows == "json" else told.splitlines()
    assert [line.split()[:2] for line in said[:4]] == [
        ["NODE", "STATE"],
        ["-----", "------"],
        ["gpu01", "ok"],
        ["cpu01", "no"],
    ]
    assert said[4:] == [
        "2 nodes: 1 ok, 1 no GPU; 1 GPU",
        "gpu01: done",
        "  hold: not held: libcuda1",
        "cpu01: no NVIDIA GPU",
        "cluster: nothing to be done",
        *page,
    ]


ROLLOUTS = [
    # given with -e; the batches, canaries first, of six nodes of which one has nothing to do
    ({}, [["b", "a", "d", "e", "f"]]),
    ({"driver_canary": 2}, [["b", "a"], ["d", "e", "f"]]),
    ({"driver_canary": 1, "driver_serial": [1, 2, "100%"]}, [["b"], ["a"], ["d", "e"], ["f"]]),
]


@pytest.mark.parametrize(("given", "batches"), ROLLOUTS)
def test_a_rollout_begins_with_the_canaries_and_grows(
    tmp_path: Path, given: dict[str, Any], batches: list[list[str]]
) -> None:
    """The playbook's own plays, with a task that says in which batch it is."""
    plays = {play["name"]: play for play in yaml.safe_load((ROOT / "playbooks/driver.yml").read_text())}
    rollout = [play for name, play in plays.items() if name.startswith("Change the driver of the ")]
    say = {"ansible.builtin.debug": {"msg": "batch {{ ansible_play_batch | to_json }}"}, "run_once": True}
    for play in rollout:
        play.update(tasks=[say], strategy="linear")
    turns = {"ansible.builtin.set_fact": {"driver_turns": ["b", "a", "c", "d", "e", "f"]}}
    (tmp_path / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [turns]}, *rollout])
    )
    groups = {"all": {"hosts": dict.fromkeys("abcdef")}, "t9k_gpu_changes": {"hosts": dict.fromkeys("abdef")}}
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump(groups))
    done = subprocess.run(
        ["ansible-playbook", "play.yml", "-i", "inventory.yml", "--connection=local", "-e", json.dumps(given)],
        cwd=tmp_path, env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.findall(r'"msg": "batch (.*)"$', done.stdout, re.MULTILINE)
    assert [json.loads(each.replace('\\"', '"')) for each in said] == batches
