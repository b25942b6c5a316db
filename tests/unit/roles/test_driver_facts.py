"""No task of the role uses a fact of its own that no task sets: Ansible would tell when the task runs, which for a rollback is too late."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROLE = Path(__file__).resolve().parents[3] / "roles/driver"
FILES = sorted(ROLE.glob("tasks/**/*.yml"))
USED = re.compile(r"(?<![\w'])__driver_\w+")
SET = re.compile(r"^\s*(?:register: )?(__driver_\w+)(?::|$)", re.MULTILINE)


def test_every_fact_that_is_used_is_set() -> None:
    given = set(yaml.safe_load((ROLE / "vars/main.yml").read_text()))
    texts = [path.read_text() for path in [*FILES, ROLE / "vars/main.yml"]]
    made = {name for text in texts for name in SET.findall(text)}
    used = {name for text in texts for name in USED.findall(text)}
    assert used - made - given == set()


def test_what_a_rollback_tells_of_is_kept_before_it_begins() -> None:
    first = yaml.safe_load((ROLE / "tasks/rollback.yml").read_text())[0]
    kept = set(first["ansible.builtin.set_fact"])
    told = set(USED.findall((ROLE / "tasks/history.yml").read_text()))
    assert {"__driver_cause", "__driver_failed_at"} <= told
    assert {"__driver_cause", "__driver_failed_at", "__driver_went_back"} <= kept


def test_no_task_file_says_a_thing_twice() -> None:
    """Of two equal keys YAML keeps the last, and a merge can leave two."""
    for path in FILES:
        blocks = path.read_text().split("- name: ")
        for block in blocks:
            kept = re.findall(r"^ +(__driver_\w+): ", block, re.MULTILINE)
            assert len(kept) == len(set(kept)), path.name
