"""From one driver to another on archives of the real shape: what the collection plans, in the hands of the real apt."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from node_builder import bare_node

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Transaction, catalogue, transaction
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import parse_status
from ansible_collections.t9k.gpu.plugins.module_utils._driver import back, former
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import find, leaving
from ansible_collections.t9k.gpu.plugins.module_utils._driver.names import apt_pattern, is_driver
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import Request, plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.version import driver_version
from tests.lab.archive import cuda, deb, ubuntu
from tests.lab.archive.deb import Package
from tests.lab.archive.private_apt import PrivateApt

pytestmark = pytest.mark.needs("apt-get")
TODAY, SPRING = "2026-09-15", "2024-05-20"
KERNELS = {TODAY: "5.15.0-190-generic", SPRING: "5.15.0-106-generic"}
SNAPSHOTS = ("2023-05-01", "2023-12-01")  # older versions, as a host with snapshots of the archive has them


class Node:
    """A machine whose driver is held, as the role leaves it."""

    def __init__(self, folder: Path, day: str) -> None:
        self.folder, self.kernel, self.step = folder, KERNELS[day], 0
        self.installed: dict[str, Package] = {"adduser": Package("adduser", "3.118")}
        days = [day, *(SNAPSHOTS if day == SPRING else ())]
        every = [p for each in days for p in ubuntu.moment(ubuntu.entries("jammy"), each)["updates"]]
        self.archive = {(p.name, p.version): p for p in every}
        self.cuda = {(p.name, p.version): p for p in cuda.packages(day)}

    def change(self, source: str, modules: str, version: str, build: str = "auto") -> Transaction:
        """Plan that driver, let apt simulate it, and be the machine after it. ``version`` may be a branch."""
        self.step += 1
        folder = self.folder / str(self.step)
        folder.mkdir()
        apt = PrivateApt(folder, self.installed.values(), filter(is_driver, self.installed))
        (folder / "preferences").write_text("".join(p.files.get(cuda.PIN, "") for p in self.installed.values()))
        apt.archive("jammy", {"updates": list(self.archive.values())})
        if source == "cuda":
            apt.flat(self.cuda.values())
        request = Request("ubuntu", "22.04", "jammy", self.kernel, version.partition(".")[0])
        more = {"kernel_modules": modules, "source": source, "module_build": build, "also": tuple(self.pins())}
        request = replace(request, version=version if "." in version else None, **more)  # type: ignore[arg-type]
        wanted = plan(request, catalogue(apt, apt_pattern(self.kernel)))
        there = parse_status((folder / "status").read_text())
        go = leaving(there, [package.partition("=")[0] for package in wanted.packages], wanted.driver_version)
        found = transaction(apt, [*wanted.install, *(f"{name}-" for name in go)])
        self._become(found)
        return found

    def _become(self, found: Transaction) -> None:
        for move in found.remove:
            del self.installed[move.name]
        for move in (*found.install, *found.upgrade, *found.downgrade):
            key = (move.name, move.after or "")
            self.installed[move.name] = self.archive.get(key) or self.cuda[key]

    def state(self) -> NodeState:
        folder = self.folder / "now"
        folder.mkdir(exist_ok=True)
        PrivateApt(folder, self.installed.values(), filter(is_driver, self.installed))
        packages = tuple(parse_status((folder / "status").read_text()))
        return replace(bare_node(), packages=packages, driver=find(packages))

    def go_back(self, before: NodeState, kept: dict[str, object]) -> Transaction:
        """From the kept files alone: there is no archive any more, and no apt source."""
        place = Path(driver_files.FORMER)
        place.mkdir()
        for spec in kept["packages"]:  # type: ignore[attr-defined]
            name, version = spec.partition(":")[0], spec.partition("=")[2]
            (place / f"{name}.deb").write_bytes(
                deb.build(self.archive.get((name, version)) or self.cuda[name, version])
            )
        files = {spec: f"{spec.partition(':')[0]}.deb" for spec in kept["packages"]}  # type: ignore[attr-defined]
        told = json.dumps({**kept["about"], "files": files})  # type: ignore[dict-item]
        now = self.state()
        now = replace(now, files={**now.files, driver_files.FORMER: told, driver_files.BEFORE: "{}"})
        assert former.previous(now) and former.known(now)
        alone = self.folder / "alone"
        alone.mkdir()
        apt = PrivateApt(alone, self.installed.values(), filter(is_driver, self.installed))
        (alone / "sources.list").write_text("")
        found = back.target(apt, now, former.known(now) or {})
        assert before.driver and (found.driver_version, found.kernel_modules) == (
            before.driver.driver_version,
            before.driver.kernel_modules,
        )
        self._become(found.transaction)
        return found.transaction

    def pins(self) -> list[str]:
        return [name for name in self.installed if name.startswith("nvidia-driver-pinning-")]

    def versions(self) -> set[str]:
        """Of everything that is of the driver's version."""
        own = [p.version for p in self.installed.values() if is_driver(p.name) and not p.name.startswith("linux-")]
        return {driver_version(version) or "" for version in own} - {"1.1.9"}  # libnvidia-egl-wayland1


@pytest.mark.parametrize(
    ("day", "source", "steps"),
    [
        (TODAY, "distribution", [("proprietary", "535"), ("proprietary", "580"), ("open", "595"), ("open", "580"), ("open", "535")]),
        (TODAY, "distribution", [("open", "550"), ("open", "590")]),  # names that lead to 580 and 595
        # from dkms to pre-built modules and back, between versions and within one
        (SPRING, "distribution", [("open", "535.129.03"), ("open", "535.161.08"), ("open", "535.129.03"), ("open", "535")]),
        (SPRING, "distribution", [("proprietary", "525.105.17"), ("proprietary", "525"), ("proprietary", "535"), ("proprietary", "525")]),
        (SPRING, "distribution", [("open", "535", "dkms"), ("open", "535", "prebuilt"), ("proprietary", "535", "dkms")]),
        # into names without the branch, between them, and back again
        (TODAY, "cuda", [("open", "580"), ("open", "590"), ("open", "595"), ("open", "590"), ("open", "580")]),
        (TODAY, "cuda", [("proprietary", "580"), ("proprietary", "595"), ("open", "595"), ("proprietary", "595"), ("proprietary", "580")]),
    ],
)  # fmt: skip
def test_a_held_driver_moves_in_one_transaction(
    tmp_path: Path, day: str, source: str, steps: list[tuple[str, ...]]
) -> None:
    node = Node(tmp_path, day)
    for modules, version, *build in steps:
        found = node.change(source, modules, version, *build)
        assert [move.name for move in found.remove if not is_driver(move.name)] == []
        kinds = {
            n for n in node.installed if n.startswith(("nvidia-dkms", "linux-modules-nvidia", "nvidia-kernel-source"))
        }
        assert kinds
        assert all(("-open" in name) == (modules == "open") for name in kinds), kinds
        assert node.pins() == ([f"nvidia-driver-pinning-{version}"] if source == "cuda" else [])
        assert len(node.versions()) == 1, node.versions()
        (there,) = node.versions()
        assert there.startswith(version) or version in ("550", "590"), there


DISTRIBUTION, CUDA = "distribution", "cuda"


@pytest.mark.parametrize(
    ("day", "first", "second"),
    [
        (SPRING, (DISTRIBUTION, "open", "535.129.03"), (DISTRIBUTION, "open", "535.161.08")),
        (SPRING, (DISTRIBUTION, "proprietary", "525"), (DISTRIBUTION, "open", "535")),
        (SPRING, (DISTRIBUTION, "open", "535", "dkms"), (DISTRIBUTION, "open", "535", "prebuilt")),
        (SPRING, (DISTRIBUTION, "open", "535", "prebuilt"), (DISTRIBUTION, "open", "535", "dkms")),
        (TODAY, (CUDA, "open", "580"), (CUDA, "open", "590")),  # into names without the branch
        (TODAY, (DISTRIBUTION, "open", "580"), (CUDA, "open", "590")),  # another source
        (TODAY, (CUDA, "proprietary", "580"), (DISTRIBUTION, "open", "595")),
    ],
)  # fmt: skip
def test_the_way_back_needs_no_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day: str, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    monkeypatch.setattr(driver_files, "FORMER", str(tmp_path / "former"))
    node = Node(tmp_path, day)
    node.change(*first)
    before = node.state()
    moves = node.change(*second)
    kept = former.to_keep(before, Wanted(), moves)
    assert kept
    after = {(p.name, p.version) for p in node.state().packages if is_driver(p.name)}
    undone = node.go_back(before, kept)
    there = {(p.name, p.version) for p in node.state().packages if is_driver(p.name)}
    assert there == {(p.name, p.version) for p in before.packages if is_driver(p.name)} != after
    assert [move.name for move in undone.remove if not is_driver(move.name)] == []


@pytest.mark.parametrize(
    ("pinned", "version", "expected"),
    [
        ("580", "580", "580"),
        ("580.105.08", "580", "580.105.08"),  # somebody's choice, and it fits
        ("580.95.05", "580", "580.95.05"),  # and it decides which driver of the branch comes
        ("580.95.05", "580.105.08", "580"),
        ("580", "590", "590"),
        ("580.105.08", "595.71.05", "595"),
    ],
)
def test_nvidias_own_pin_moves_along(tmp_path: Path, pinned: str, version: str, expected: str) -> None:
    """It draws apt to its version with a priority of 1000, downgrades included."""
    node = Node(tmp_path, TODAY)
    node.change("cuda", "open", pinned)
    pin = next(p for p in node.cuda.values() if p.name == f"nvidia-driver-pinning-{pinned}")
    node.installed = {n: p for n, p in node.installed.items() if "pinning" not in n} | {pin.name: pin}
    found = node.change("cuda", "open", version)
    assert node.pins() == [f"nvidia-driver-pinning-{expected}"]
    assert [move.name for move in found.remove if not is_driver(move.name)] == []
    assert {v.partition(".")[0] for v in node.versions()} == {version.partition(".")[0]}
