"""Which packages make up a driver on archives of the real shape (tests/lab/archive), read through the collection's own parser."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Catalogue, catalogue
from ansible_collections.t9k.gpu.plugins.module_utils._driver.names import apt_pattern
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import PackagePlan, Request, branches, plan
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from tests.lab.archive import shown

SPRING_2024, SUMMER_2024, TODAY = "2024-05-20", "2024-07-01", "2026-09-15"
GENERIC = {"2022-12-15": "5.15.0-56-generic", SPRING_2024: "5.15.0-106-generic", TODAY: "5.15.0-190-generic"}
JAMMY = Request("ubuntu", "22.04", "jammy", "", "535")
NOBLE = Request("ubuntu", "24.04", "noble", "6.8.0-139-generic", "580")


@lru_cache(maxsize=None)
def offer(series: str, day: str, release: str, cuda: str = "") -> Catalogue:
    places = [*shown.ubuntu_offers(series, day), *(shown.cuda_offers(cuda) if cuda else [])]
    return catalogue(shown.AptCache(places), apt_pattern(release))


def planned(
    day: str, branch: str, release: str = "", request: Request = JAMMY, cuda: str = "", **more: object
) -> PackagePlan:
    wanted = replace(request, branch=branch, kernel_release=release or request.kernel_release or GENERIC[day], **more)  # type: ignore[arg-type]
    return plan(wanted, offer(wanted.codename, day, wanted.kernel_release, cuda))


@pytest.mark.parametrize("modules", ["proprietary", "open"])
@pytest.mark.parametrize(
    ("day", "branch", "release", "version", "build"),
    [
        (SPRING_2024, "535", "5.15.0-106-generic", "535.161.08", "prebuilt"),
        (SPRING_2024, "535", "5.15.0-91-generic", "535.161.08", "dkms"),  # its modules are of 535.129.03
        (SPRING_2024, "535", "6.5.0-35-generic", "535.161.08", "prebuilt"),  # hwe
        (SPRING_2024, "535", "5.15.0-1061-aws", "535.161.08", "prebuilt"),
        (SUMMER_2024, "535", "5.15.0-106-generic", "535.183.01", "dkms"),  # the driver moved on, this ABI did not
        (SUMMER_2024, "535", "5.15.0-113-generic", "535.183.01", "prebuilt"),
        (TODAY, "535", "5.15.0-190-generic", "535.288.01", "prebuilt"),
        (TODAY, "580", "6.8.0-138-generic", "580.173.02", "prebuilt"),
    ],
)
def test_built_modules_are_taken_only_where_they_are_of_the_drivers_version(
    day: str, branch: str, release: str, version: str, build: str, modules: str
) -> None:
    found = planned(day, branch, release, kernel_modules=modules)
    assert (found.driver_version, found.module_build, found.faults) == (version, build, ())


@pytest.mark.parametrize(
    ("version", "build"),
    [(None, "dkms"), ("525.147.05", "dkms")],
)
def test_an_older_abi_has_modules_of_an_older_driver(version: str | None, build: str) -> None:
    """linux-modules-nvidia-525-server-5.15.0-69-generic wants 525.85.12 or newer, and is of 525.85.12."""
    found = planned(SPRING_2024, "525", "5.15.0-69-generic", version=version)
    assert (found.driver_version, found.module_build) == ("525.147.05", build)
    assert "is for another driver version" in found.warnings[0]


def test_the_same_abi_when_its_driver_was_the_newest() -> None:
    found = planned("2023-03-21", "525", "5.15.0-69-generic")
    assert (found.driver_version, found.module_build) == ("525.85.12", "prebuilt")


@pytest.mark.parametrize(
    ("branch", "flavour", "leads_to", "version"),
    [
        ("525", "desktop", ["nvidia-driver-535"], "535.288.01"),
        ("550", "server", ["nvidia-driver-570-server", "nvidia-driver-580-server"], "580.173.02"),
        ("570", "server", ["nvidia-driver-580-server"], "580.173.02"),
        ("590", "server", ["nvidia-driver-595-server"], "595.58.03"),
    ],
)
def test_transitional_branches_are_followed_however_they_say_so(
    branch: str, flavour: str, leads_to: list[str], version: str
) -> None:
    found = planned(TODAY, branch, flavour=flavour)
    assert [note.rpartition(" ")[2] for note in found.warnings if "transitional" in note] == leads_to
    assert found.driver_version == version
    assert all(f"-{branch}" not in package.partition("=")[0] for package in found.packages)


def test_a_branch_that_only_leads_on_is_not_on_offer() -> None:
    assert branches(offer("jammy", TODAY, GENERIC[TODAY])) == (
        *("525-server", "535", "535-server", "580", "580-server", "595", "595-server"),
    )


def test_the_pockets_differ_and_the_newer_upload_is_a_transition() -> None:
    """-security has 535-server leading to 580-server while -updates still has the driver: apt's candidate is the newer one."""
    found = planned("2026-06-15", "535", request=replace(NOBLE, kernel_release="6.8.0-1-generic"), headers="ignore")
    assert (found.branch, found.driver_version) == ("580", "580.159.03")
    stays = planned("2026-06-15", "535", request=replace(NOBLE, kernel_release="6.8.0-1-generic"), version="535.309.01")
    assert (stays.branch, stays.driver_version) == ("535", "535.309.01")


def test_libraries_of_580_bring_the_common_files_of_their_version() -> None:
    """They want nvidia-kernel-common-580-server-580.173.02, a name that only a Provides has."""
    found = planned(TODAY, "580")
    assert "nvidia-kernel-common-580-server=580.173.02-0ubuntu0.22.04.1" in found.packages
    assert "nvidia-firmware-580-server-580.173.02=580.173.02-0ubuntu0.22.04.1" in found.packages


@pytest.mark.parametrize(
    ("day", "branch", "version", "faults"),
    [(TODAY, "580", "580.173.02", 0), (TODAY, "535", "535.288.01", 0), (SUMMER_2024, "535", "535.183.01", 1)],
)
def test_fabric_manager_follows_by_version_not_by_revision(day: str, branch: str, version: str, faults: int) -> None:
    found = planned(day, branch, "5.15.0-113-generic" if day == SUMMER_2024 else "", fabric_manager=True)
    assert (found.driver_version, len(found.faults)) == (version, faults)


@pytest.mark.parametrize("modules", ["proprietary", "open"])
def test_cuda_580_and_590_side_by_side(modules: str) -> None:
    """Both are in one repository; the branch is in the names of the one and in the versions of the other."""
    tail = "-open" if modules == "open" else ""
    old = planned(TODAY, "580", request=NOBLE, cuda=TODAY, source="cuda", kernel_modules=modules, module_build="dkms")
    new = planned(TODAY, "590", request=NOBLE, cuda=TODAY, source="cuda", kernel_modules=modules)
    assert (old.driver_version, new.driver_version) == ("580.105.08", "590.48.01")
    assert f"nvidia-dkms-580{tail}=580.105.08-0ubuntu1" in old.packages
    assert f"nvidia-dkms{tail}=590.48.01-1ubuntu1" in new.packages
    assert "nvidia-driver-pinning-590=590.48.01" in new.packages
    apart = ("headers", "pinning")
    versions = {p.partition("=")[2] for p in new.packages if not any(word in p for word in apart)}
    assert versions == {"590.48.01-1ubuntu1"}


def test_a_branch_that_the_archive_never_had() -> None:
    with pytest.raises(GpuError, match="branches 525-server, 535, 535-server"):
        planned(SPRING_2024, "610")
