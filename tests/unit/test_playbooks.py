"""The playbooks' own words, where nothing on a host is needed to say them."""

from __future__ import annotations

import os
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
