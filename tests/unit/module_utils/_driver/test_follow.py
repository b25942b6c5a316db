"""Kernel, modules and driver move together: what the collection plans on archives of the real shape, in the hands of the real apt."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from node_builder import bare_node

from ansible_collections.t9k.gpu.plugins.module_utils._debian import kernel
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import parse_simulation
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import parse_status
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import preflight
from ansible_collections.t9k.gpu.plugins.module_utils._driver import target as driver_target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import find, hold_set
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target, plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from tests.lab.archive import ubuntu
from tests.lab.archive.deb import Package
from tests.lab.archive.private_apt import PrivateApt

pytestmark = pytest.mark.needs("apt-get")
FIRST, NEXT_KERNEL, NEXT_DRIVER = "2024-05-05", "2024-05-20", "2024-07-01"
K106, K107, K113 = (f"5.15.0-{abi}-generic" for abi in (106, 107, 113))
FOLLOW = Wanted(kernel="follow", branch="535", kernel_modules="open")
META = "linux-modules-nvidia-535-server-open-generic"


def at(day: str) -> list[Package]:
    return ubuntu.moment(ubuntu.entries("jammy"), day)["updates"]


class Node:
    """A machine on Ubuntu's archive as it was on a day; what is of the driver and its kernel is held."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, kernel_release: str = K106) -> None:
        self.running = kernel_release
        self.ever: dict[tuple[str, str], Package] = {}
        self.installed: dict[str, Package] = {"adduser": Package("adduser", "3.118")}
        self.held: set[str] = set()
        monkeypatch.setattr(driver_target.debian_sources, "read", lambda _root, leave_out: ())
        self._apt = PrivateApt(folder, ())
        self.on(FIRST)
        self.take([f"linux-generic={self.version('linux-generic')}"])

    def on(self, day: str) -> Node:
        """Let time pass: apt sees that day's archive."""
        return self.offers(at(day))

    def offers(self, packages: Iterable[Package]) -> Node:
        """Let that be what apt sees."""
        self.archive = list(packages)
        self.ever.update({(p.name, p.version): p for p in self.archive})
        self._apt.archive("jammy", {"updates": self.archive})
        return self

    def version(self, name: str) -> str:
        return next(p.version for p in self.archive if p.name == name)

    def apt(self) -> PrivateApt:
        self._apt.has(self.installed.values(), self.held)
        return self._apt

    def state(self, apt: PrivateApt, ours: str | None = None) -> NodeState:
        packages = tuple(parse_status((apt.folder / "status").read_text()))
        bare = bare_node()
        system = replace(bare.system, kernel_release=self.running, apt_lists_mtime=time.time())
        files = {**bare.files, driver_files.HELD_KERNELS: ours}
        return replace(bare, system=system, packages=packages, driver=find(packages), files=files)

    def take(self, packages: list[str]) -> None:
        done = self.apt()(
            ["apt-get", "-s", "install", "--allow-change-held-packages", "--no-install-recommends", *packages]
        )
        assert done.ok, done.stdout + done.stderr
        found = parse_simulation(done.stdout)
        for move in found.remove:
            del self.installed[move.name]
        for move in (*found.install, *found.upgrade, *found.downgrade):
            self.installed[move.name] = self.ever[move.name, move.after or ""]

    def follow(self, wanted: Wanted = FOLLOW) -> Target:
        """Plan, do it in one transaction, hold what is to be held."""
        apt = self.apt()
        state = self.state(apt)
        target = driver_target.resolve(apt, state, wanted, {})
        if target.packages is not None:
            self.take(target.packages.arguments(target.leaving))
            self.held = set(hold_set(self.state(self.apt()).packages, self.running, kernels=True))
        return target

    def unattended(self) -> set[str]:
        """What a plain upgrade of everything would touch."""
        done = self.apt()(["apt-get", "-s", "dist-upgrade"])
        found = parse_simulation(done.stdout)
        return {move.name for move in (*found.install, *found.upgrade, *found.remove)}


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


def test_kernel_modules_and_driver_move_together_and_only_by_a_run_of_ours(node: Node) -> None:
    first = node.follow()
    assert (first.driver_version, node.installed[META].version) == ("535.161.08", "5.15.0-106.116+1")
    assert node.follow().packages is None

    node.on(NEXT_KERNEL)
    assert node.unattended() == set()
    moved = node.follow()
    assert moved.packages is not None
    assert (moved.driver_version, moved.packages.kernel_release, moved.packages.module_build) == (
        "535.161.08",
        K107,
        "prebuilt",
    )
    for name in (f"linux-image-{K107}", f"linux-modules-nvidia-535-server-open-{K107}", f"linux-headers-{K107}"):
        assert name in node.installed
    assert node.installed["linux-generic"].version == node.version("linux-generic")
    assert (
        f"linux-modules-nvidia-535-server-open-{K106}" in node.installed
    )  # of the same driver: it may be booted again
    assert {f"linux-image-{K106}", f"linux-image-{K107}", "linux-image-generic", META} <= node.held

    node.running = K107
    node.on(NEXT_DRIVER)
    assert node.unattended() == set()
    both = node.follow()
    assert both.packages is not None
    assert (both.driver_version, both.packages.kernel_release) == ("535.183.01", K113)
    own = {n: p.version for n, p in node.installed.items() if n.startswith(("libnvidia-", "nvidia-"))}
    assert {version.partition("-")[0] for version in own.values()} == {"535.183.01"}
    # those of the former driver would not fit the libraries, whichever kernel boots
    assert {n for n in node.installed if n.startswith("linux-modules-nvidia-535-server-open-5")} == {
        f"linux-modules-nvidia-535-server-open-{K113}"
    }
    node.running = K113
    assert node.follow().packages is None


def test_without_it_the_kernel_stays(node: Node) -> None:
    node.follow(replace(FOLLOW, kernel="hold"))
    node.on(NEXT_DRIVER)
    assert node.follow(replace(FOLLOW, kernel="hold")).packages is None
    assert node.unattended() == set()
    assert f"linux-image-{K113}" not in node.installed


@pytest.mark.parametrize("modules", ["proprietary", "open"])
def test_the_kernel_waits_for_its_modules(node: Node, modules: str) -> None:
    """A kernel that is published before its modules stays where it is, and what is there stays right."""
    wanted = replace(FOLLOW, kernel_modules=modules)
    node.follow(wanted)
    node.on(NEXT_KERNEL)
    before = {package.name: package for package in at(FIRST)}
    node.offers(before.get(p.name, p) if p.name.startswith("linux-modules-nvidia-") else p for p in node.archive)
    assert node.follow(wanted).packages is None
    assert f"linux-image-{K107}" not in node.installed


def test_a_driver_that_is_newer_than_the_modules_waits_for_them(node: Node) -> None:
    node.follow()
    node.on(NEXT_DRIVER)
    before = {package.name: package for package in at(NEXT_KERNEL)}
    node.offers(before.get(p.name, p) if p.name.startswith("linux-") else p for p in node.archive)
    target = node.follow()
    assert (target.driver_version, target.packages) == ("535.161.08", None)
    assert "Nothing is followed yet" in target.warnings[0]
    assert "535.161.08" in target.warnings[0]


def test_the_branch_is_not_left_by_itself(node: Node) -> None:
    """In 2026 the metapackages of branch 550 lead to 580; nobody asked for that."""
    node.on(NEXT_KERNEL)
    wanted = replace(FOLLOW, branch="550")
    node.follow(wanted)
    assert node.state(node.apt()).driver.branch == "550"  # type: ignore[union-attr]
    node.on("2026-09-15")
    target = node.follow(replace(wanted, branch=None))
    assert (target.packages, target.driver_version.partition(".")[0]) == (None, "550")
    assert "transitional" in target.warnings[0]


def test_a_version_that_the_modules_are_not_of(node: Node) -> None:
    node.on(NEXT_DRIVER).offers([*node.archive, *(p for p in at(NEXT_KERNEL) if "nvidia" in p.name)])
    with pytest.raises(
        driver_target.GpuError, match=r"leads to kernel 5\.15\.0-113-generic with modules of 535\.183\.01"
    ):
        node.follow(replace(FOLLOW, version="535.161.08"))


@pytest.mark.parametrize("build", ["prebuilt", "dkms"])
@pytest.mark.parametrize("day", [NEXT_KERNEL, NEXT_DRIVER])
@pytest.mark.parametrize(("rollback", "said", "refused"), [("auto", 1, 0), ("required", 0, 1), ("never", 0, 0)])
def test_a_kernel_that_no_way_back_takes_away(
    node: Node, day: str, build: str, rollback: str, said: int, refused: int
) -> None:
    """It stays installed and boots next, and pre-built modules of the former driver are for the former kernel; dkms builds for both."""
    wanted = replace(FOLLOW, module_build=build)
    node.follow(wanted)
    node.on(day)
    apt = node.apt()
    target = driver_target.resolve(apt, node.state(apt), replace(wanted, rollback=rollback), {})
    assert target.packages is not None
    coming = K107 if day == NEXT_KERNEL else K113
    notes = [note for note in target.packages.warnings if f"kernel {coming}" in note and "grub-reboot" in note]
    faults = [
        fault for fault in target.packages.faults if f"kernel {coming}" in fault and "driver_kernel: hold" in fault
    ]
    assert (len(notes), len(faults)) == ((said, refused) if build == "prebuilt" else (0, 0))


@pytest.mark.parametrize("follows", [True, False])
def test_headers_come_by_their_metapackage_where_dkms_builds(node: Node, follows: bool) -> None:
    for name in ("linux-generic", "linux-headers-generic", f"linux-headers-{K106}"):
        del node.installed[name]
    wanted = replace(FOLLOW, kernel="follow" if follows else "hold", module_build="dkms")
    node.follow(wanted)
    assert node.installed["linux-headers-generic"].version == "5.15.0.106.106"
    assert f"linux-headers-{K106}" in node.installed
    node.on(NEXT_KERNEL)
    assert (node.follow(wanted).packages is not None) is follows
    assert (f"linux-image-{K107}" in node.installed) is follows
    assert (f"linux-headers-{K107}" in node.installed) is follows


@pytest.mark.parametrize(
    ("held", "ours", "expected"),
    [
        ((), None, None),
        (("linux-image-generic",), "linux-image-generic\n", None),
        (("linux-image-generic",), None, "linux-image-generic held, and not by this collection"),
        ((f"linux-image-{K106}",), None, None),  # an old kernel may stay for ever
    ],
)
def test_others_holds_are_refused_not_released(
    node: Node, held: tuple[str, ...], ours: str | None, expected: str | None
) -> None:
    node.held = set(held)
    found = [str(fault) for fault in preflight.followed(node.state(node.apt(), ours), FOLLOW)]
    assert (found == []) if expected is None else expected in found[0]


def test_a_kernel_that_nothing_brings_cannot_be_followed(node: Node) -> None:
    for name in ("linux-generic", "linux-image-generic", "linux-headers-generic"):
        del node.installed[name]
    state = node.state(node.apt())
    assert ["none is installed for kernel" in str(each) for each in preflight.followed(state, FOLLOW)] == [True]
    assert list(preflight.followed(state, replace(FOLLOW, kernel="hold"))) == []


def test_the_steps_say_so_and_let_go_of_the_kernels_of_before(node: Node) -> None:
    node.follow()
    node.on(NEXT_KERNEL)
    apt = node.apt()
    state = node.state(apt, ours=f"linux-image-{K106}\nlinux-image-generic\n")
    steps = {s.name: s for s in plan(state, FOLLOW, driver_target.resolve(apt, state, FOLLOW, {}))}
    assert steps["install"].reason == f"driver 535.161.08 stays, and the kernel moves on to {K107}"
    assert steps["install"].data["release"] == [f"linux-image-{K106}", "linux-image-generic"]
    assert (steps["hold"].data, "reboot" in steps) == ({"state": "held", "kernels": True}, True)


def package(name: str, depends: str = "", version: str = "1") -> str:
    return (
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\nDepends: {depends}\n"
    )


@pytest.mark.parametrize(
    ("running", "there", "expected"),
    [
        (K106, {"generic": K106}, "generic"),
        (K106, {"virtual": K106}, "virtual"),
        ("6.5.0-35-generic", {"generic": K106, "generic-hwe-22.04": "6.5.0-41-generic"}, "generic-hwe-22.04"),
        ("6.5.0-35-generic", {"generic": K106, "generic-hwe-22.04": "6.8.0-45-generic"}, "generic-hwe-22.04"),
        ("5.15.0-1061-aws", {"generic": K106, "aws": "5.15.0-1061-aws"}, "aws"),
        ("6.8.0-45-generic-64k", {"generic": "6.8.0-45-generic"}, None),
        ("6.1.0-28-amd64", {"amd64": "6.1.0-28-amd64 (= 6.1.1-1)", "cloud-amd64": "6.1.0-28-cloud-amd64"}, "amd64"),
        ("6.12.57+deb13-cloud-amd64", {"cloud-amd64": "6.12.57+deb13-cloud-amd64 (= 6.12.57-1)"}, "cloud-amd64"),
        ("6.18.5-custom", {"amd64": "6.1.0-28-amd64"}, None),
        (K106, {}, None),
    ],
)
def test_the_line_of_the_running_kernel(running: str, there: dict[str, str], expected: str | None) -> None:
    rows = (package(f"linux-image-{name}", f"linux-image-{release}") for name, release in there.items())
    found = kernel.line(parse_status("\n".join(rows)), running)
    assert (found and found.name) == expected
