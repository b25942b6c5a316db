"""Every file and folder that a role writes says its mode.

Whose it is follows from who runs the task: root on a node, the user on the control host.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
WRITERS = [
    f"ansible.builtin.{name}" for name in ("copy", "template", "file", "lineinfile", "blockinfile", "deb822_repository")
]
SOURCES = "{{ item.name }}"  # of apt, by steps/sources.yml
MODES = {
    "/var/lib/t9k-gpu": "0755",
    "/var/lib/t9k-gpu/before.json": "0644",
    "/var/lib/t9k-gpu/cordoned": "0644",
    "/var/lib/t9k-gpu/rebooted": "0644",
    "{{ driver_plan_file }}": "0644",
    SOURCES: "0644",  # names and passwords are in a file of their own, by apt_login
    "{{ item.path }}": "0644",
    "{{ gpu_operator_mirror_file }}": "0644",
    "{{ __gpu_operator_folder.path }}/values.json": "0600",  # values may hold passwords
}


def tasks(found: list[dict[str, Any]] | None) -> Iterator[dict[str, Any]]:
    for task in found or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part))


def written() -> dict[str, set[str]]:
    modes: dict[str, set[str]] = {}
    for path in sorted(ROOT.glob("roles/*/tasks/**/*.yml")):
        for task in tasks(yaml.safe_load(path.read_text())):
            for writer in WRITERS:
                given = task.get(writer) or {"state": "absent"}
                if given.get("state") != "absent":
                    modes.setdefault(given.get("dest") or given.get("path") or given["name"], set()).add(
                        given.get("mode")
                    )
    return modes


def test_modes() -> None:
    assert written() == {path: {mode} for path, mode in MODES.items()}
