"""The role driver in a box: its own task files, run by ansible, with every module that would touch a host or a cluster played.

What is played notes how it was called and gives the answers that a test lists for it, the last one again and again. Facts, order,
blocks and conditions are ansible's own, so what is tested here is what no table of the plan can show: what follows a failure. All
scenarios are hosts of one run, since starting ansible is what takes long.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROLE = Path(__file__).resolve().parents[2] / "roles/driver"
PLAYED = (
    *("t9k.gpu.nvidia_driver_plan", "t9k.gpu.nvidia_boot_check", "t9k.gpu.nvidia_cuda_check", "t9k.gpu.nvidia_busy_check"),
    *("t9k.gpu.apt_hold", "t9k.gpu.apt_keep", "t9k.gpu.apt_login"),
    *("t9k.gpu.modprobe_gsp", "t9k.gpu.systemd_unit_patch", "t9k.gpu.k8s_node_drain"),
    "t9k.gpu.nvidia_driver_history",
    *("ansible.builtin.command", "ansible.builtin.apt", "ansible.builtin.deb822_repository", "ansible.builtin.reboot"),
    "ansible.builtin.systemd_service",
)  # fmt: skip
#: A module that is a program of its own takes its parameters from a file (docs.ansible.com, "Non-native want JSON modules").
MODULE = """\
#!{python}
# WANT_JSON
import json, sys
from pathlib import Path
name, given = {name!r}, json.loads(Path(sys.argv[1]).read_text())
place = Path(given["_ansible_remote_tmp"]).parent
if place.name == "localhost":  # delegated: the node is a parameter
    place = place.parent / given["name"]
given = {{key: value for key, value in given.items() if not key.startswith("_ansible")}}
with (place / "calls").open("a") as calls:
    calls.write(json.dumps([name, given]) + "\\n")
answers = place / f"{{name}}.json"
left = json.loads(answers.read_text()) if answers.exists() else [{{}}]
answers.write_text(json.dumps(left[1:] or left))
print(json.dumps({{"changed": True, "rc": 0, "stdout": "", "stderr": "", **left[0]}}))
"""
ENDED = "ended"


def step(name: str, disturbs: str = "", **data: Any) -> dict[str, Any]:
    return {"name": name, "reason": f"the reason of {name}", "disturbs": disturbs, "data": data}


def plan(*steps: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """An answer of nvidia_driver_plan."""
    empty = ("faults", "warnings_found", "problems", "failures", "known_problems", "waiting_for", "health", "diff")
    nothing = dict.fromkeys(("before", "waited", "reboot_pending", "previous", "target_version"))
    node = {"driver": {}, "gpus": [{"index": 0}]}
    first = {"has_gpu": True, "mended_by_going_back": True, "node": node, "steps": list(steps)}
    return {**first, **{key: [] for key in empty}, **nothing, **more, "changed": False}


def failed(msg: str, **more: Any) -> dict[str, Any]:
    return {"failed": True, "msg": msg, **more}


@dataclass(frozen=True)
class Scenario:
    """``answers``: of each module, in the order of its calls. ``times``: how often the role runs, whatever became of it before."""

    answers: Mapping[str, Sequence[Mapping[str, Any]]]
    variables: Mapping[str, Any] = field(default_factory=dict)
    times: int = 1


@dataclass(frozen=True)
class Told:
    """What one host's role called, and what its runs failed with."""

    calls: tuple[tuple[str, dict[str, Any]], ...]

    @property
    def ended(self) -> list[str]:
        return [given["msg"] for name, given in self.calls if name == ENDED]

    @property
    def short(self) -> list[str]:
        """Each call in a few words: a command by its words, a module of the cluster by the state it asks for."""
        return [
            _short(name, given)
            for name, given in self.calls
            if name not in (ENDED, "nvidia_driver_plan", "nvidia_driver_history")
        ]


def _short(name: str, given: Mapping[str, Any]) -> str:
    if name == "command":
        return " ".join(given["argv"])
    return f"{name} {given['state']}" if given.get("state") else name


def run(place: Path, scenarios: Mapping[str, Scenario]) -> dict[str, Told]:
    """Run the role for all scenarios, each a host."""
    role = place / "roles/driver"
    shutil.copytree(ROLE, role)
    (role / "library").mkdir()
    for name in (*PLAYED, ENDED):
        short = name.rpartition(".")[2]
        (role / "library" / f"played_{short}.py").write_text(MODULE.format(python=sys.executable, name=short))
    played = re.compile(rf"\b({'|'.join(map(re.escape, PLAYED))}):")
    for path in role.glob("tasks/**/*.yml"):
        text = path.read_text().replace("/var/lib/t9k-gpu", f"{place}/{{{{ inventory_hostname }}}}/state")
        path.write_text(played.sub(lambda found: f"played_{found[1].rpartition('.')[2]}:", text))
    hosts = {name: _host(place / name, scenario) for name, scenario in scenarios.items()}
    local = {"ansible_connection": "ansible.builtin.local", "ansible_remote_tmp": f"{place}/localhost/tmp"}
    (place / "hosts.json").write_text(json.dumps({"all": {"hosts": {**hosts, "localhost": local}}}))
    times = max(scenario.times for scenario in scenarios.values())
    play = {
        "hosts": "all:!localhost",
        "gather_facts": False,
        "strategy": "free",
        "roles": [],
        "tasks": [_once(each) for each in range(times)],
    }
    (place / "play.yml").write_text(yaml.safe_dump([play]))
    ansible = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.json", "play.yml"]
    more = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_LIBRARY": str(role / "library"), "ANSIBLE_FORKS": "4"}
    done = subprocess.run(ansible, cwd=place, env={**os.environ, **more}, capture_output=True, text=True, check=False)
    (place / "output").write_text(done.stdout + done.stderr)
    return {name: Told(tuple(map(tuple, _calls(place / name)))) for name in scenarios}  # type: ignore[arg-type]


def _host(place: Path, scenario: Scenario) -> dict[str, Any]:
    (place / "tmp").mkdir(parents=True)
    for name, answers in scenario.answers.items():
        (place / f"{name}.json").write_text(json.dumps(list(answers)))
    # Played hosts are this one; a plan with a reboot is refused for them.
    here = {
        "ansible_connection": "ansible.builtin.local",
        "ansible_python_interpreter": sys.executable,
        "ansible_remote_tmp": str(place / "tmp"),
    }
    return {**here, "times": scenario.times, **scenario.variables}


def _once(number: int) -> dict[str, Any]:
    role = {"name": "Once", "include_role": {"name": "driver"}}
    ended = {"name": "Ended", f"played_{ENDED}": {"msg": "{{ ansible_failed_result.msg | default('no message') }}"}}
    return {"name": "One run", "when": f"times > {number}", "block": [role], "rescue": [ended]}


def _calls(place: Path) -> list[list[Any]]:
    path = place / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
