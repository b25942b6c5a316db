"""Which driver a node shall run: decision tables, and when apt is asked at all and in which world."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from node_builder import A40, KERNEL, bare_node, finished_node, package_plan
from role_tables import role_support

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import (
    Available,
    Catalogue,
    Move,
    Transaction,
    make_catalogue,
)
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._debian.preview import stanza
from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import Entry
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._driver import target as driver_target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import InstalledDriver
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import NoSuchBranchError
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Source, Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.fabric import Fabric
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice

V525 = "525.147.05"
BARE, FINISHED = bare_node(), finished_node(V525)
NVSWITCH = PciDevice("0000:c1:00.0", "10de", "22a3", "068000")
CUDA = Source("cuda", ("https://mirror.internal/cuda/",), ("/",), (), "/key.asc")
CUDA_ENTRY = Entry(CUDA.uris, CUDA.suites, (), "/key.asc")
SUPPORTED = {"branch": "535"}
TABLE = role_support()


def gpus(*device_ids: str) -> NodeState:
    return replace(BARE, pci=tuple(replace(A40, device_id=each) for each in device_ids))


def with_driver(**fields: Any) -> NodeState:
    assert FINISHED.driver is not None
    return replace(FINISHED, driver=replace(FINISHED.driver, **fields))


@pytest.mark.parametrize(
    ("state", "wanted", "supported", "expected"),
    [
        (BARE, Wanted(), SUPPORTED, ["535"]),
        (BARE, Wanted(), {}, [""]),
        (FINISHED, Wanted(), SUPPORTED, ["525"]),
        (FINISHED, Wanted(branch="550"), SUPPORTED, ["550"]),
        (FINISHED, Wanted(branch="", version=""), SUPPORTED, ["525"]),
        (FINISHED, Wanted(branch="550", version="570.1.2"), SUPPORTED, ["570"]),
        (BARE, Wanted(version="1:535.247.01-1~deb12u1"), SUPPORTED, ["535"]),
        (BARE, Wanted(), {"branch": 580}, ["580"]),
        (BARE, Wanted(), {"branches": ["580", "535"]}, ["580", "535"]),
        (gpus("2901"), Wanted(), {"branches": ["535", "580"]}, ["580"]),  # Blackwell: 535 does not drive it
        (gpus("1db4"), Wanted(), {"branches": ["595", "580"]}, ["580"]),  # Volta: 595 does not any more
        (gpus("2901"), Wanted(), {"branches": ["535"]}, ["535"]),  # to be refused by name
    ],
)
def test_branches(state: NodeState, wanted: Wanted, supported: dict[str, Any], expected: list[str]) -> None:
    assert list(driver_target.branches(state, wanted, supported, TABLE)) == expected


@pytest.mark.parametrize(
    ("state", "asked", "branch", "expected"),
    [
        (BARE, "auto", "535", "proprietary"),
        (BARE, "auto", "560", "open"),
        (BARE, "open", "535", "open"),
        (BARE, "proprietary", "580", "proprietary"),
        (gpus("2901"), "auto", "535", "open"),  # Blackwell: nothing else works
        (gpus("2335"), "auto", "550", "proprietary"),  # Hopper
        (gpus("2342"), "auto", "550", "open"),  # Grace Hopper
        (gpus("1db4"), "auto", "580", "proprietary"),  # Volta: open ones do not drive it
        (gpus("2235", "1db4"), "auto", "580", "proprietary"),
        (gpus("0001"), "auto", "580", "proprietary"),  # not known: the modules that drive most
        (BARE, "auto", "", "proprietary"),
        (FINISHED, "auto", "525", "proprietary"),
        (with_driver(kernel_modules="open"), "auto", "525", "open"),  # kept
        (with_driver(kernel_modules="open"), "auto", "535", "proprietary"),  # another branch: chosen anew
    ],
)
def test_kernel_modules(state: NodeState, asked: str, branch: str, expected: str) -> None:
    assert driver_target.kernel_modules(state, Wanted(kernel_modules=asked), branch, TABLE) == expected


PREBUILT = {"module_build": "prebuilt", "kernel_releases": (KERNEL,)}
OTHER_KERNEL = {"module_build": "prebuilt", "kernel_releases": ("5.15.0-99-generic",)}
SWITCHED = {"pci": (A40, NVSWITCH)}


@pytest.mark.parametrize(
    ("state", "wanted", "branch", "modules", "expected"),
    [
        (BARE, Wanted(), "525", "proprietary", False),
        (FINISHED, Wanted(), "525", "proprietary", True),
        (FINISHED, Wanted(), "535", "proprietary", False),
        (FINISHED, Wanted(), "525", "open", False),
        (FINISHED, Wanted(version=V525), "525", "proprietary", True),
        (FINISHED, Wanted(version=f"{V525}-0ubuntu1"), "525", "proprietary", True),
        (FINISHED, Wanted(version=f"1:{V525}-0ubuntu1"), "525", "proprietary", True),
        (FINISHED, Wanted(version="525.105.17"), "525", "proprietary", False),
        (FINISHED, Wanted(version=f"9{V525}"), "525", "proprietary", False),
        (FINISHED, Wanted(module_build="prebuilt"), "525", "proprietary", False),
        (FINISHED, Wanted(module_build="dkms"), "525", "proprietary", True),
        (with_driver(**PREBUILT), Wanted(), "525", "proprietary", True),
        (with_driver(**OTHER_KERNEL), Wanted(), "525", "proprietary", False),
        (FINISHED, Wanted(flavour="desktop"), "525", "proprietary", False),
        (with_driver(server=False), Wanted(), "525", "proprietary", False),
        (with_driver(server=False), Wanted(flavour="desktop"), "525", "proprietary", True),
        (with_driver(server=False), Wanted(source=CUDA), "525", "proprietary", True),
        (FINISHED, Wanted(fabric_manager="present"), "525", "proprietary", False),
        (with_driver(fabric_manager_version=V525), Wanted(fabric_manager="present"), "525", "proprietary", True),
        (with_driver(fabric_manager_version="525.105.17"), Wanted(fabric_manager="present"), "525", "proprietary", False),
        (replace(FINISHED, **SWITCHED), Wanted(), "525", "proprietary", False),
        (replace(FINISHED, **SWITCHED), Wanted(fabric_manager="absent"), "525", "proprietary", True),
    ],
)  # fmt: skip
def test_satisfied(state: NodeState, wanted: Wanted, branch: str, modules: str, expected: bool) -> None:
    assert driver_target.satisfied(state.driver, state, wanted, branch, modules) is expected


def test_debian_has_no_server_family() -> None:
    state = with_driver(server=False)
    debian = replace(state, system=replace(state.system, os_id="debian"))
    assert driver_target.satisfied(debian.driver, debian, Wanted(), "525", "proprietary")


@pytest.mark.parametrize(
    ("asked", "pci", "expected"),
    [("auto", (A40,), False), ("auto", (A40, NVSWITCH), True), ("present", (A40,), True), ("absent", (A40, NVSWITCH), False)],
)  # fmt: skip
def test_wants_fabric_manager(asked: str, pci: tuple[PciDevice, ...], expected: bool) -> None:
    assert driver_target.wants_fabric_manager(replace(BARE, pci=pci), Wanted(fabric_manager=asked)) is expected


def test_nvlink_5_wants_fabric_manager_too() -> None:
    """Such a machine shows no NVSwitch on its PCI bus."""
    state = replace(BARE, fabric=Fabric("NVLink 5"))
    assert driver_target.wants_fabric_manager(state, Wanted()) is True


JAMMY = Entry(("http://mirror.internal/ubuntu",), ("jammy",), ("main",))


@pytest.mark.parametrize(
    ("source", "components", "expected"),
    [
        (Source(), ("restricted",), replace(JAMMY, components=("restricted",))),
        (Source(), ("main",), None),
        (Source(), (), None),
        (Source("local", directory="/srv/debs"), ("restricted",), None),
        (CUDA, ("restricted",), CUDA_ENTRY),
        (Source("mirror", ("http://m/",), ("jammy",), ("restricted",)), (), Entry(("http://m/",), ("jammy",), ("restricted",))),
    ],
)  # fmt: skip
def test_source_entry(
    monkeypatch: pytest.MonkeyPatch, source: Source, components: tuple[str, ...], expected: Entry | None
) -> None:
    monkeypatch.setattr(driver_target.debian_sources, "read", lambda _root, leave_out: (JAMMY,))
    found = driver_target.source_entry(BARE, Wanted(source=source), {"components": components})
    assert found == expected


class Apt:
    """apt in the place of ``_debian.apt``, ``_debian.preview`` and ``_driver.packages``: notes what is asked, offers one plan."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, version: str, **plan: Any) -> None:
        self.asked: list[str] = []
        self.requests: list[Any] = []
        self.headers: list[str] = []
        self.offered = replace(package_plan(version), **plan)
        target = driver_target
        monkeypatch.setattr(target.debian_apt, "catalogue", self._catalogue)
        monkeypatch.setattr(target.debian_apt, "local_catalogue", self._local)
        monkeypatch.setattr(target.debian_apt, "transaction", self._transaction)
        monkeypatch.setattr(target.driver_packages, "plan", self._plan)
        monkeypatch.setattr(target.debian_preview, "preview", self._preview)
        monkeypatch.setattr(target.debian_sources, "read", lambda _root, leave_out: ())

    def _catalogue(self, run: Any, pattern: str) -> Catalogue:
        self.asked.append("previewed" if run is self.previewing else "the node's own")
        assert names.apt_pattern(KERNEL, self.headers) == pattern
        return Catalogue()

    def _local(self, _run: Any, folder: str, host: Catalogue) -> Catalogue:
        self.asked.append(folder)
        return host

    def _transaction(self, _run: Any, packages: tuple[str, ...]) -> Transaction:
        self.asked.append("transaction")
        return Transaction(install=tuple(Move(name, None, "1") for name in packages))

    def _plan(self, request: Any, _offer: Catalogue) -> Any:
        self.requests.append(request)
        return self.offered

    @contextlib.contextmanager
    def _preview(self, _run: Any, entry: Entry | None, _own_file: str) -> Iterator[Any]:
        self.asked.append(f"preview of {entry.uris[0] if entry else 'what is there'}")
        yield self.previewing

    @staticmethod
    def previewing(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        raise AssertionError(argv)


def never(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
    raise AssertionError(argv)


def aged(state: NodeState, seconds: float | None, sources: str | None = None) -> NodeState:
    stamp = None if seconds is None else time.time() - seconds
    files = {**state.files, driver_files.SOURCES: sources}
    return replace(state, system=replace(state.system, apt_lists_mtime=stamp), files=files)


def test_a_node_that_has_its_driver_is_not_a_matter_for_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    apt = Apt(monkeypatch, "535.54.03")
    target = driver_target.resolve(never, FINISHED, Wanted(source=CUDA), SUPPORTED)
    assert (target.driver_version, target.kernel_modules, target.packages) == (V525, "proprietary", None)
    assert target.source == CUDA_ENTRY  # its file is kept right all the same
    assert apt.asked == []


def test_a_missing_library_is_mended_at_the_version_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    apt = Apt(monkeypatch, V525)
    lacking = replace(FINISHED, packages=tuple(p for p in FINISHED.packages if "nvidia-utils" not in p.name))
    target = driver_target.resolve(never, aged(lacking, FRESH), Wanted(), SUPPORTED)
    assert target.packages is not None and target.packages.install == apt.offered.install
    assert target.gaps == ("nvidia-utils-525-server is missing",)
    assert [request.version for request in apt.requests] == [V525]


def test_the_first_default_branch_that_the_sources_have(monkeypatch: pytest.MonkeyPatch) -> None:
    apt = Apt(monkeypatch, "535.54.03")

    def plan(request: Any, offer: Catalogue) -> Any:
        if request.branch == "580":
            raise NoSuchBranchError("branch 580", "branches 535", "apt", "ask for another")
        return apt._plan(request, offer)

    monkeypatch.setattr(driver_target.driver_packages, "plan", plan)
    target = driver_target.resolve(never, aged(BARE, FRESH), Wanted(), {"branches": ["580", "535"]}, TABLE)
    assert ([request.branch for request in apt.requests], target.driver_version) == (["535"], "535.54.03")
    with pytest.raises(NoSuchBranchError):
        driver_target.resolve(never, aged(BARE, FRESH), Wanted(branch="580"), {"branches": ["580", "535"]}, TABLE)


FRESH, STALE = 60, driver_target.LISTS_FRESH_S + 60
OWN = ["the node's own", "transaction"]
PREVIEWED = ["previewed", "transaction"]
HERE, THERE = "preview of what is there", f"preview of {CUDA.uris[0]}"


@pytest.mark.parametrize(
    ("age", "source", "own_file", "expected"),
    [
        (FRESH, Source(), None, OWN),
        (STALE, Source(), None, [HERE, *PREVIEWED]),
        (None, Source(), None, [HERE, *PREVIEWED]),
        (FRESH, CUDA, None, [THERE, *PREVIEWED]),
        (FRESH, CUDA, stanza(CUDA_ENTRY), OWN),  # the node's apt sees it already
        (FRESH, CUDA, stanza(replace(CUDA_ENTRY, signed_by="/etc/apt/keyrings/x.asc")), OWN),
        (STALE, CUDA, stanza(CUDA_ENTRY), [THERE, *PREVIEWED]),
        (FRESH, CUDA, stanza(JAMMY), [THERE, *PREVIEWED]),
        (FRESH, Source(), stanza(CUDA_ENTRY), [HERE, *PREVIEWED]),  # a source that is about to go
        (FRESH, Source("local", directory="/srv/debs"), None, ["the node's own", "/srv/debs", "transaction"]),
    ],
)
def test_a_preview_only_where_the_nodes_apt_cannot_know(
    monkeypatch: pytest.MonkeyPatch, age: float | None, source: Source, own_file: str | None, expected: list[str]
) -> None:
    apt = Apt(monkeypatch, "535.54.03")
    target = driver_target.resolve(never, aged(BARE, age, own_file), Wanted(source=source), SUPPORTED)
    assert apt.asked == expected
    assert (target.driver_version, target.packages) == ("535.54.03", apt.offered)
    assert len(target.transaction.install) == len(apt.offered.install)


def test_the_request_is_the_node_and_the_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    apt = Apt(monkeypatch, "535.54.03")
    wanted = Wanted(module_build="dkms", headers="ignore", fabric_manager="present", flavour="desktop")
    target = driver_target.resolve(never, aged(BARE, FRESH), wanted, {**SUPPORTED, "persistence_off": True})
    (request,) = apt.requests
    assert (request.os_id, request.os_version, request.codename, request.branch) == ("ubuntu", "22.04", "jammy", "535")
    assert (request.flavour, request.kernel_modules, request.module_build) == ("desktop", "proprietary", "dkms")
    assert (request.headers, request.fabric_manager, request.version) == ("ignore", True, None)
    assert target.vendor_persistence_off


META = Package(
    "linux-image-generic", "amd64", "5.15.0.106.106", "install", "installed", depends=f"linux-image-{KERNEL}"
)
META_HEADERS = replace(META, name="linux-headers-generic", depends=f"linux-headers-{KERNEL}")


def test_the_headers_of_the_kernels_metapackage_come_along(monkeypatch: pytest.MonkeyPatch) -> None:
    apt = Apt(monkeypatch, "535.54.03")
    apt.headers = ["linux-headers-generic"]
    driver_target.resolve(never, aged(replace(BARE, packages=(*BARE.packages, META)), FRESH), Wanted(), SUPPORTED)
    (request,) = apt.requests
    assert request.next_headers == (("linux-headers-generic", "5.15.0.106.106"),)


@pytest.mark.parametrize(
    ("kernels", "headers", "gaps"),
    [
        ((META,), "required", ("linux-headers-generic is missing, without which the next kernel has no module",)),
        ((META,), "ignore", ()),
        ((META, META_HEADERS), "required", ()),
        ((), "required", ()),
    ],
)
def test_a_driver_that_the_next_kernel_would_be_without_is_not_whole(
    monkeypatch: pytest.MonkeyPatch, kernels: tuple[Package, ...], headers: str, gaps: tuple[str, ...]
) -> None:
    Apt(monkeypatch, V525).headers = ["linux-headers-generic"]
    state = replace(FINISHED, packages=(*FINISHED.packages, *kernels))
    assert driver_target.resolve(never, aged(state, FRESH), Wanted(headers=headers), SUPPORTED).gaps == gaps


def test_packages_that_are_all_there_are_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a branch whose name leads to the one installed: only apt can tell that nothing is to be done."""
    Apt(monkeypatch, V525)
    target = driver_target.resolve(never, aged(FINISHED, FRESH), Wanted(branch="515"), SUPPORTED)
    assert (target.driver_version, target.packages) == (V525, None)


def test_a_plan_with_faults_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    apt = Apt(monkeypatch, "535.54.03", faults=("no headers",))
    target = driver_target.resolve(never, aged(BARE, FRESH), Wanted(), SUPPORTED)
    assert apt.asked == ["the node's own"]
    assert target.transaction == Transaction()
    assert target.packages is not None
    assert target.packages.faults == ("no headers",)


def test_the_driver_of_the_tests_is_what_it_seems() -> None:
    assert isinstance(FINISHED.driver, InstalledDriver)
    assert FINISHED.driver.server


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        (("http://mirror.internal/ubuntu jammy-updates/restricted amd64 Packages", "/var/lib/dpkg/status"), False),
        (("/var/lib/dpkg/status",), True),  # installed, and nowhere else any more
        ((), True),
    ],
)
def test_a_driver_that_cannot_be_gone_back_to(origins: tuple[str, ...], said: bool) -> None:
    state = finished_node("525.105.17")
    entries = [Available(p.name, str(p.version), origins=origins) for p in state.packages]
    notes = list(driver_target._no_way_back(state, make_catalogue(entries)))
    assert bool(notes) is said
    assert all("525.105.17 is no longer on offer" in note for note in notes)
    assert list(driver_target._no_way_back(bare_node(), make_catalogue([]))) == []


def test_no_way_back_is_said_before_anything_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed driver is not among what apt offers here, so the plan must warn."""
    Apt(monkeypatch, "535.54.03")
    target = driver_target.resolve(never, aged(FINISHED, FRESH), Wanted(branch="535"), SUPPORTED)
    assert target.packages is not None
    assert [note for note in target.packages.warnings if "could not be rolled back" in note]
