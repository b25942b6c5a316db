"""Which packages make up a driver: a row for every system and source. Debian's rows are in test_packages_debian.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
from driver_catalogue import (
    C580,
    C590,
    C595,
    CUDA,
    DRIVER,
    FOCAL,
    HEADERS,
    LAB,
    MOVED,
    NOBLE,
    UBUNTU,
    V525,
    V525_NEW,
    V535,
    ask,
    cuda_suffixed,
    entry,
    names,
    prebuilt,
    ubuntu,
)

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import make_catalogue
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import Request, branches, plan
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError


@pytest.mark.parametrize("os_version", UBUNTU)
@pytest.mark.parametrize(
    ("branch", "more", "roots", "version", "build"),
    [
        ("525", {}, ["nvidia-driver-525-server", "nvidia-dkms-525-server"], "525.147.05", "dkms"),
        (
            "525",
            {"kernel_modules": "open"},
            ["nvidia-driver-525-server-open", "nvidia-dkms-525-server-open"],
            "525.147.05",
            "dkms",
        ),
        ("535", {"flavour": "desktop"}, ["nvidia-driver-535", "nvidia-dkms-535"], "535.183.01", "dkms"),
        (
            "535",
            {"module_build": "dkms"},
            ["nvidia-driver-535-server", "nvidia-dkms-535-server"],
            "535.183.01",
            "dkms",
        ),
    ],
)
def test_ubuntu_with_dkms(
    os_version: str, branch: str, more: dict[str, object], roots: list[str], version: str, build: str
) -> None:
    planned = plan(ask(branch, os_version, **more), LAB)
    release = FOCAL if os_version == "20.04" else NOBLE
    assert list(planned.roots) == [*roots, f"linux-headers-{release}"]
    assert (planned.driver_version, planned.module_build, planned.faults) == (version, build, ())
    assert all(f"={version}-" in package for package in planned.packages if "linux-headers" not in package)


def test_ubuntu_prebuilt_for_the_exact_kernel() -> None:
    planned = plan(ask("535"), LAB)
    assert planned.module_build == "prebuilt"
    assert planned.roots[-1] == f"linux-modules-nvidia-535-server-{FOCAL}"
    assert not {name for name in names(planned) if "dkms-535" in name and "no-dkms" not in name}
    assert f"linux-headers-{FOCAL}" not in names(planned)


def test_ubuntu_prebuilt_that_stand_for_dkms_keep_the_metapackage() -> None:
    """Where the modules' package provides nvidia-dkms, the metapackage does not bring dkms."""
    module = prebuilt("535", "-server", FOCAL, "535.183.01", provides=(("nvidia-dkms-535-server", "=", "535.183.01"),))
    planned = plan(ask("535"), make_catalogue([*ubuntu("535", "-server", V535), module]))
    assert planned.roots == ("nvidia-driver-535-server", module.name)
    assert "nvidia-dkms-535-server" not in names(planned)


@pytest.mark.parametrize(("libraries", "video"), [("compute", False), ("graphics", True)])
def test_the_same_libraries_with_prebuilt_modules_and_with_dkms(libraries: str, video: bool) -> None:
    built, dkms = (
        {name for name in names(plan(ask("535", libraries=libraries, module_build=build), LAB)) if name in LIBRARIES}
        for build in ("prebuilt", "dkms")
    )
    assert built == dkms
    assert {"libnvidia-compute-535-server", "nvidia-utils-535-server", "nvidia-compute-utils-535-server"} <= built
    assert ("libnvidia-encode-535-server" in built) is ("libnvidia-gl-535-server" in built) is video


LIBRARIES = {f"{stem}-535-server" for stem in DRIVER}
BOTH_BOUNDS = "nvidia-kernel-common-525-server (<= {0}-1), nvidia-kernel-common-525-server (>= {0})"


@pytest.mark.parametrize(
    ("depends", "build"),
    [
        ("nvidia-kernel-common-525-server (>= 525.147.05)", "prebuilt"),
        ("nvidia-kernel-common-525-server (>= 525.85.12)", "dkms"),  # an older driver's, which apt would accept
        (BOTH_BOUNDS.format("525.147.05"), "prebuilt"),
        (BOTH_BOUNDS.format("525.85.12"), "dkms"),
        ("nvidia-kernel-common-525-server", "dkms"),  # says nothing of its driver
        (f"linux-image-{FOCAL}", "dkms"),
    ],
)
def test_the_lower_bound_tells_the_driver_of_prebuilt_modules(depends: str, build: str) -> None:
    module = entry(f"linux-modules-nvidia-525-server-{FOCAL}", "5.4.0-155.172", depends)
    planned = plan(ask("525"), make_catalogue([*ubuntu("525", "-server", V525_NEW), module, *HEADERS]))
    assert (planned.driver_version, planned.module_build) == ("525.147.05", build)


@pytest.mark.parametrize(
    ("os_version", "upstream", "reason"),
    [
        ("22.04", "535.183.01", f"there is no linux-modules-nvidia-535-server-{NOBLE}"),
        ("20.04", "535.54.03", f"linux-modules-nvidia-535-server-{FOCAL} is for another driver version"),
    ],
)
def test_ubuntu_prebuilt_for_something_else(os_version: str, upstream: str, reason: str) -> None:
    offer = make_catalogue([*ubuntu("535", "-server", V535), prebuilt("535", "-server", FOCAL, upstream), *HEADERS])
    planned = plan(ask("535", os_version), offer)
    assert planned.module_build == "dkms"
    assert planned.warnings == (f"kernel modules are built by dkms: {reason}",)
    with pytest.raises(GpuError, match=reason):
        plan(ask("535", os_version, module_build="prebuilt"), offer)


@pytest.mark.parametrize("version", ["525.125.06", V525])
def test_an_exact_version_pins_the_whole_family(version: str) -> None:
    planned = plan(ask("525", version=version), LAB)
    assert planned.driver_version == "525.125.06"
    assert set(planned.packages) == {
        f"{name}={V525}"
        for name in (
            "nvidia-driver-525-server",
            "nvidia-dkms-525-server",
            *(f"{stem}-525-server" for stem in DRIVER),
            "nvidia-kernel-common-525-server",
            "nvidia-firmware-525-server-525.125.06",
        )
    } | {f"linux-headers-{FOCAL}=1"}
    assert planned.install == planned.packages


@pytest.mark.parametrize("os_version", ["20.04", "24.04"])
@pytest.mark.parametrize(("branch", "steps"), [("525", 2), ("535", 1), ("580", 0)])
def test_transitional_packages_are_followed(os_version: str, branch: str, steps: int) -> None:
    planned = plan(ask(branch, os_version), MOVED)
    assert (planned.driver_version, planned.branch) == ("580.95.05", "580")
    assert planned.roots[0] == "nvidia-driver-580-server"
    assert sum("transitional" in note for note in planned.warnings) == steps


def test_a_transitional_package_is_not_the_version_in_its_name() -> None:
    with pytest.raises(GpuError, match="only leads to another branch"):
        plan(ask("535", "24.04", version="535.309.01"), MOVED)


def test_an_old_version_before_the_transition_is_still_found() -> None:
    old = "535.183.01-0ubuntu0.24.04.1"
    offer = make_catalogue([*[e for found in MOVED.entries.values() for e in found], *ubuntu("535", "-server", old)])
    assert plan(ask("535", "24.04"), offer).driver_version == "580.95.05"
    assert plan(ask("535", "24.04", version="535.183.01"), offer).driver_version == "535.183.01"


@pytest.mark.parametrize("os_version", UBUNTU)
@pytest.mark.parametrize(
    ("branch", "more", "roots", "version"),
    [
        ("580", {"libraries": "compute"}, ["nvidia-headless-580", "nvidia-utils-580", "nvidia-dkms-580"], C580),
        ("580", {}, ["nvidia-driver-580", "nvidia-dkms-580"], C580),
        (
            "580",
            {"flavour": "desktop", "kernel_modules": "open"},
            ["nvidia-driver-580-open", "nvidia-dkms-580-open"],
            C580,
        ),
        ("590", {}, ["nvidia-driver", "nvidia-dkms"], C590),
        ("595", {"kernel_modules": "open"}, ["nvidia-driver-open", "nvidia-dkms-open"], C595),
        ("590", {"fabric_manager": True}, ["nvidia-driver", "nvidia-dkms", "nvidia-fabricmanager"], C590),
    ],
)
def test_cuda_repository(os_version: str, branch: str, more: dict[str, object], roots: list[str], version: str) -> None:
    planned = plan(ask(branch, os_version, source="cuda", **more), CUDA)
    assert list(planned.roots[:-1]) == roots
    assert {p.partition("=")[2] for p in planned.packages if "headers" not in p} == {version}


def test_the_same_name_in_two_sources() -> None:
    assert plan(ask("580", "24.04", flavour="desktop"), CUDA).driver_version == "580.95.05"
    assert plan(ask("580", "24.04", flavour="desktop", source="cuda"), CUDA).driver_version == "580.105.08"


@pytest.mark.parametrize(("branch", "first"), [("535", "nvidia-driver-535-server"), ("580", "nvidia-driver-580")])
def test_a_mirror_holds_either_kind(branch: str, first: str) -> None:
    offer = make_catalogue(
        [*ubuntu("535", "-server", V535), *[replace(e, origins=()) for e in cuda_suffixed("580", C580)]]
    )
    assert plan(ask(branch, source="mirror", headers="ignore"), offer).roots[0] == first


def test_a_folder_gives_paths() -> None:
    offer = make_catalogue([replace(e, path=f"/debs/{e.name}.deb") for e in ubuntu("535", "-server", V535)])
    planned = plan(ask("535", source="local", headers="ignore"), offer)
    assert planned.packages[0] == f"nvidia-driver-535-server={V535}"
    assert planned.install[0] == "/debs/nvidia-driver-535-server.deb"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ask("999"), "branches 525-server, 535, 535-server"),
        (ask("525", flavour="desktop"), "the desktop driver of branch 525"),
        (ask("525", version="525.60.13"), f"versions {V525_NEW}, {V525}"),
        (replace(ask("535"), os_id="fedora", os_version="41"), "Found: fedora 41"),
    ],
)
def test_refuses_and_says_what_there_is(request_: Request, words: str) -> None:
    with pytest.raises(GpuError, match=words):
        plan(request_, LAB)


def test_an_empty_catalogue() -> None:
    with pytest.raises(GpuError, match="branches none at all"):
        plan(ask("535"), make_catalogue([]))


def test_faults_are_listed_together() -> None:
    planned = plan(ask("535", module_build="dkms", fabric_manager=True, kernel_release="5.4.0-1-lab"), LAB)
    assert len(planned.faults) == 2
    assert "nvidia-fabricmanager-535 of exactly version 535.183.01" in planned.faults[0]
    assert "535.54.03-0ubuntu0.20.04.1" in planned.faults[0]
    assert "linux-headers-5.4.0-1-lab" in planned.faults[1]
    assert plan(ask("535", headers="ignore", kernel_release="5.4.0-1-lab"), LAB).faults == ()


def test_fabric_manager_of_the_same_version() -> None:
    assert f"nvidia-fabricmanager-525={V525_NEW}" in plan(ask("525", fabric_manager=True), LAB).packages
    assert plan(ask("525", version=V525, fabric_manager=True), LAB).faults != ()


def test_branches() -> None:
    assert branches(LAB) == ("525-server", "535", "535-server")
    assert branches(MOVED) == ("580-server",)
    assert branches(CUDA) == ("580", "590", "595")


def test_a_release_that_is_new_needs_no_code() -> None:
    """Which releases are supported is the role's vars' word; what is on offer decides here."""
    assert plan(ask("535", "28.04"), LAB).driver_version == "535.183.01"
