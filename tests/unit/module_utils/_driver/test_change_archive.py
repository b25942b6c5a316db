"""From one driver to another on archives of the real shape: what the collection plans, in the hands of the real apt."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Transaction, catalogue, transaction
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import parse_status
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import leaving
from ansible_collections.t9k.gpu.plugins.module_utils._driver.names import apt_pattern, is_driver
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import Request, plan
from tests.lab.archive import cuda, shown, ubuntu
from tests.lab.archive.deb import Package
from tests.lab.archive.private_apt import PrivateApt

pytestmark = pytest.mark.skipif(
    not shutil.which("apt-get") or os.geteuid() != 0, reason="needs apt and root (in its own folder)"
)
DAY, KERNEL = "2026-09-15", "5.15.0-190-generic"
EVERY = {(p.name, p.version): p for p in [*(o.package for o in shown.ubuntu_offers("jammy", DAY)), *cuda.packages(DAY)]}


class Node:
    """A machine whose driver is held, as the role leaves it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.step = folder, 0
        self.installed: dict[str, Package] = {"adduser": Package("adduser", "3.118")}

    def change(self, source: str, branch: str, modules: str) -> Transaction:
        """Plan that driver, let apt simulate it, and be the machine after it."""
        self.step += 1
        folder = self.folder / str(self.step)
        folder.mkdir()
        apt = PrivateApt(folder, self.installed.values(), filter(is_driver, self.installed))
        apt.archive("jammy", {"updates": ubuntu.moment(ubuntu.entries("jammy"), DAY)["updates"]})
        if source == "cuda":
            apt.flat(cuda.packages(DAY))
        request = Request("ubuntu", "22.04", "jammy", KERNEL, branch, kernel_modules=modules, source=source)
        wanted = plan(request, catalogue(apt, apt_pattern(KERNEL)))
        there = parse_status((folder / "status").read_text())
        go = leaving(there, [package.partition("=")[0] for package in wanted.packages])
        found = transaction(apt, [*wanted.install, *(f"{name}-" for name in go)])
        for move in found.remove:
            del self.installed[move.name]
        for move in (*found.install, *found.upgrade, *found.downgrade):
            self.installed[move.name] = EVERY[move.name, move.after or ""]
        return found

    def branches(self) -> set[str]:
        """Of everything that is the driver's, by version."""
        return {
            p.version.partition(".")[0] for p in self.installed.values() if is_driver(p.name) and "linux" not in p.name
        }


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        ("distribution", [("535", "proprietary"), ("580", "proprietary"), ("595", "open"), ("580", "open"), ("535", "open")]),
        ("distribution", [("550", "open"), ("590", "open")]),  # names that lead to 580 and 595
        ("cuda", [("580", "open"), ("580", "proprietary"), ("590", "proprietary"), ("595", "proprietary")]),
        ("cuda", [("580", "open"), ("590", "open"), ("595", "open"), ("590", "open")]),
    ],
)  # fmt: skip
def test_a_held_driver_moves_in_one_transaction(tmp_path: Path, source: str, steps: list[tuple[str, str]]) -> None:
    node, onward = Node(tmp_path), {"550": "580", "590": "595"} if source == "distribution" else {}
    for branch, modules in steps:
        found = node.change(source, branch, modules)
        assert node.branches() <= {onward.get(branch, branch), "1:1"}, (branch, modules, found)
        assert [move.name for move in found.remove if not is_driver(move.name)] == []
        kinds = {
            name
            for name in node.installed
            if name.startswith(("nvidia-dkms", "linux-modules-nvidia", "nvidia-kernel-source"))
        }
        assert kinds
        assert all(("-open" in name) == (modules == "open") for name in kinds), kinds
