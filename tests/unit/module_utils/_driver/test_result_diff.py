"""What ``--diff`` shows of a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from driver_results import TARGET, V525, make, purge
from node_builder import bare_node, finished_node

from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe


def diffs(plan: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {entry["before_header"][: -len(" (before)")]: (entry["before"], entry["after"]) for entry in plan["diff"]}


def test_the_diff_of_an_installation(resolve: Callable[[Any], None]) -> None:
    resolve(TARGET)
    found = diffs(make(bare_node()))
    assert list(found) == [modprobe.BLACKLIST_PATH, "packages", "hold", "initramfs", "reboot"]
    assert found[modprobe.BLACKLIST_PATH] == ("", modprobe.render_blacklist())
    assert found["packages"] == ("nvidia-dkms 1\nnvidia-utils-515 1\n", "libnvidia 2\nnvidia-dkms 2\nnvidia-utils 2\n")
    assert found["reboot"] == ("", "the new driver is loaded at boot\n")


def test_the_diff_of_a_removal() -> None:
    found = diffs(make(finished_node(V525), purge, state="absent"))
    before, after = found["packages"]
    assert f"nvidia-dkms-525-server {V525}-0ubuntu1" in before.splitlines()
    assert after == ""
    assert found[modprobe.BLACKLIST_PATH] == (modprobe.render_blacklist(), "")


def test_no_diff_has_a_password_of_a_source() -> None:
    finished = finished_node(V525)
    text = "Types: deb\nURIs: https://user:secret@mirror.example/\nSuites: jammy\nComponents: restricted\n"
    logins = "machine https://mirror.example/ login user password secret\n"
    files = {**finished.files, driver_files.SOURCES: text, driver_files.LOGINS: logins}
    plan = make(replace(finished, files=files))
    assert "https://mirror.example/" in str(plan["diff"]) and "secret" not in str(plan["diff"])


def test_the_diff_of_a_file_that_changes() -> None:
    finished = finished_node(V525)
    state = replace(finished, files={**finished.files, driver_files.PREFERENCES: "old\n"})
    assert diffs(make(state, pin=True)) == {driver_files.PREFERENCES: ("old\n", driver_files.preferences(V525))}
