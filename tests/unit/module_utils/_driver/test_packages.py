"""Which packages make up a driver: a row for every system and source.

Debian's rows rest on captures of its metadata. Ubuntu's and NVIDIA's families are stand-ins, built below with the names
and dependencies published for them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian import apt as debian_apt
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import (
    Available,
    Catalogue,
    make_catalogue,
    parse_policy,
    parse_relations,
    parse_show,
)
from ansible_collections.t9k.gpu.plugins.module_utils._driver.names import apt_pattern
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import PackagePlan, Request, branches, plan
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

FOCAL = "5.4.0-155-generic"
NOBLE = "6.8.0-60-generic"
UBUNTU = {"20.04": "focal", "22.04": "jammy", "24.04": "noble", "26.04": "resolute"}


def entry(name: str, version: str, depends: str = "", **more: object) -> Available:
    return replace(Available(name, version, depends=parse_relations(depends)), **more)  # type: ignore[arg-type]


#: By the pages of nvidia-headless-no-dkms-535-server and nvidia-driver-535-server at packages.ubuntu.com.
HEADLESS = ("libnvidia-cfg1", "libnvidia-compute", "nvidia-compute-utils")
DRIVER = (
    *(
        "libnvidia-cfg1",
        "libnvidia-compute",
        "libnvidia-decode",
        "libnvidia-encode",
        "libnvidia-extra",
        "libnvidia-fbc1",
    ),
    *("libnvidia-gl", "nvidia-compute-utils", "nvidia-utils", "xserver-xorg-video-nvidia"),
)


def ubuntu(branch: str, suffix: str, version: str, **more: object) -> list[Available]:
    """One version of an Ubuntu family: libraries pinned exactly, dkms and kernel-common by a range."""
    upstream = version.partition("-")[0]
    s = f"{branch}{suffix}"
    ranged = "nvidia-{0} (<= {1}-1), nvidia-{0} (>= {1})"
    common, firmware = f"kernel-common-{s}", f"nvidia-firmware-{s}-{upstream}"
    found = [
        *(
            entry(f"{stem}-{s}", version, "libc6")
            for stem in DRIVER
            if stem not in ("nvidia-utils", "libnvidia-decode")
        ),
        entry(f"libnvidia-decode-{s}", version, f"libnvidia-compute-{s} (= {version})"),
        entry(f"nvidia-utils-{s}", version, f"libnvidia-compute-{s}"),
        entry(f"nvidia-{common}", version, f"{firmware}, kmod"),
        entry(firmware, version),
    ]
    for o in ("", "-open"):
        userland, headless = (", ".join(f"{stem}-{s} (= {version})" for stem in each) for each in (DRIVER, HEADLESS))
        kernel = ranged.format(common, upstream)
        found += [
            entry(f"nvidia-driver-{s}{o}", version, f"{userland}, {ranged.format(f'dkms-{s}{o}', upstream)}, {kernel}"),
            entry(f"nvidia-headless-no-dkms-{s}{o}", version, f"{headless}, {kernel}"),
            entry(f"nvidia-dkms-{s}{o}", version, f"dkms, {kernel}"),
        ]
    return [replace(e, **more) for e in found]  # type: ignore[arg-type]


def prebuilt(branch: str, suffix: str, release: str, upstream: str, **more: object) -> Available:
    """As of today's uploads: ``nvidia-kernel-common-595-server (>= 595.71.05)`` on packages.ubuntu.com, resolute's
    linux-modules-nvidia-595-server-nvidia; older uploads had an upper bound beside it (elementary/os#613)."""
    depends = f"linux-image-{release}, nvidia-kernel-common-{branch}{suffix} (>= {upstream})"
    return entry(f"linux-modules-nvidia-{branch}{suffix}-{release}", "5.4.0-155.172+1", depends, **more)


def transitional(name: str, version: str, onward: str) -> Available:
    return entry(name, version, onward, transitional=True)


V525, V525_NEW = "525.125.06-0ubuntu0.20.04.2", "525.147.05-0ubuntu0.20.04.1"
V535, V535_NOBLE, V580 = "535.183.01-0ubuntu0.20.04.1", "535.309.01-0ubuntu0.24.04.2", "580.95.05-0ubuntu0.24.04.2"
HEADERS = [entry(f"linux-headers-{release}", "1") for release in (FOCAL, NOBLE)]
LAB = make_catalogue(
    [
        *ubuntu("525", "-server", V525),
        *ubuntu("525", "-server", V525_NEW),
        *ubuntu("535", "-server", V535),
        *ubuntu("535", "", V535),
        prebuilt("535", "-server", FOCAL, "535.183.01"),
        entry("nvidia-fabricmanager-525", V525_NEW),
        entry("nvidia-fabricmanager-535", "535.54.03-0ubuntu0.20.04.1"),
        *HEADERS,
    ]
)
#: As focal and noble are today: the old name is there, at its old version, and leads to the next branch.
MOVED = make_catalogue(
    [
        transitional("nvidia-driver-525-server", V535_NOBLE, "nvidia-driver-535-server"),
        transitional("nvidia-driver-535-server", V535_NOBLE, "nvidia-driver-580-server"),
        *ubuntu("580", "-server", V580),
        *HEADERS,
    ]
)
CUDA_ORIGIN = ("https://mirror.example/compute/cuda/repos/ubuntu2404/x86_64  Packages",)
C580, C590, C595 = "580.105.08-0ubuntu1", "590.48.01-1ubuntu1", "595.91.07-1ubuntu1"


def cuda_suffixed(branch: str, version: str) -> list[Available]:
    userland = f"libnvidia-compute-{branch} (= {version})"
    found = [entry(f"libnvidia-compute-{branch}", version), entry(f"nvidia-utils-{branch}", version, userland)]
    for o in ("", "-open"):
        found += [
            entry(f"nvidia-headless-{branch}{o}", version, f"{userland}, nvidia-dkms-{branch}{o} (= {version})"),
            entry(f"nvidia-driver-{branch}{o}", version, f"nvidia-headless-{branch}{o} (= {version})"),
            entry(f"nvidia-dkms-{branch}{o}", version, "dkms"),
        ]
    return [replace(e, origins=CUDA_ORIGIN) for e in found]


def cuda_plain(version: str) -> list[Available]:
    found = [entry("libnvidia-compute", version), entry("nvidia-fabricmanager", version)]
    for o in ("", "-open"):
        depends = f"libnvidia-compute (= {version}), nvidia-dkms{o} (= {version})"
        found += [entry(f"nvidia-driver{o}", version, depends), entry(f"nvidia-dkms{o}", version, "dkms")]
    return [replace(e, origins=CUDA_ORIGIN) for e in found]


CUDA = make_catalogue(
    [
        *ubuntu("580", "", V580, origins=("http://mirror.example/ubuntu noble-updates/restricted amd64 Packages",)),
        *cuda_suffixed("580", C580),
        *cuda_plain(C590),
        *cuda_plain(C595),
        *HEADERS,
    ]
)
DEBIAN_CUDA = make_catalogue(
    [
        entry("nvidia-driver-cuda", "580.105.08-1", "libcuda1 (= 580.105.08-1)", origins=CUDA_ORIGIN),
        entry("nvidia-driver", "580.105.08-1", "libnvidia-gl (= 580.105.08-1)", origins=CUDA_ORIGIN),
        entry("libcuda1", "580.105.08-1", origins=CUDA_ORIGIN),
        entry("nvidia-kernel-open-dkms", "580.105.08-1", "dkms", origins=CUDA_ORIGIN),
        entry("linux-headers-6.1.0-50-amd64", "6.1.176-1"),
    ]
)


def ask(branch: str, os_version: str = "20.04", **more: object) -> Request:
    release = FOCAL if os_version == "20.04" else NOBLE
    base = Request("ubuntu", os_version, UBUNTU.get(os_version, ""), release, branch)
    return replace(base, **more)  # type: ignore[arg-type]


def names(planned: PackagePlan) -> set[str]:
    return {package.partition("=")[0] for package in planned.packages}


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


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (
            ("5.4.0.155.151", "5.4.0.160.156"),
            "linux-headers-generic=5.4.0.155.151",
        ),  # as the kernel's own metapackage is
        (("5.4.0.160.156",), "linux-headers-generic=5.4.0.160.156"),
        ((), None),
    ],
)
def test_the_next_kernel_finds_its_headers(offered: tuple[str, ...], chosen: str | None) -> None:
    """Without the metapackage an upgrade brings a kernel that dkms cannot build for."""
    offer = make_catalogue(
        [*ubuntu("525", "-server", V525), *HEADERS, *(entry("linux-headers-generic", v) for v in offered)]
    )
    request = ask("525", next_headers=(("linux-headers-generic", "5.4.0.155.151"),))
    assert [p for p in plan(request, offer).packages if "generic=5.4" in p] == ([chosen] if chosen else [])


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


def debian(fixtures: Path, suite: str) -> Catalogue:
    policy = parse_policy((fixtures / f"apt/{suite}-policy.txt").read_text(), "amd64")
    return make_catalogue(parse_show((fixtures / f"apt/{suite}-show.txt").read_text()), policy.candidates)


BOOKWORM = Request("debian", "12", "bookworm", "6.1.0-50-amd64", "535")
TRIXIE = Request("debian", "13", "trixie", "6.12.117+deb13-amd64", "550")
COMPUTE = ["nvidia-smi", "nvidia-persistenced", "libcuda1"]
GRAPHICS = [*COMPUTE, "nvidia-driver-libs", "libnvcuvid1", "libnvidia-encode1"]


@pytest.mark.parametrize(
    ("request_", "roots", "version"),
    [
        (BOOKWORM, [*GRAPHICS, "nvidia-kernel-dkms"], "535.261.03"),
        (replace(BOOKWORM, libraries="compute"), [*COMPUTE, "nvidia-kernel-dkms"], "535.261.03"),
        (replace(BOOKWORM, kernel_modules="open"), [*GRAPHICS, "nvidia-open-kernel-dkms"], "535.261.03"),
        (replace(BOOKWORM, flavour="desktop"), [*GRAPHICS, "nvidia-driver", "nvidia-kernel-dkms"], "535.261.03"),
        (
            replace(BOOKWORM, flavour="desktop", kernel_modules="open"),
            [*GRAPHICS, "nvidia-driver", "nvidia-open-kernel-dkms"],
            "535.261.03",
        ),
        (TRIXIE, [*GRAPHICS, "nvidia-kernel-dkms"], "550.163.01"),
        (replace(TRIXIE, kernel_modules="open"), [*GRAPHICS, "nvidia-open-kernel-dkms"], "550.163.01"),
        (replace(TRIXIE, flavour="desktop"), [*GRAPHICS, "nvidia-driver", "nvidia-kernel-dkms"], "550.163.01"),
        (
            replace(TRIXIE, branch="535", libraries="compute"),
            [
                "nvidia-tesla-535-smi",
                "nvidia-persistenced",
                "libnvidia-tesla-535-cuda1",
                "nvidia-tesla-535-kernel-dkms",
            ],
            "535.274.02",
        ),
    ],
)
def test_debian(fixtures: Path, request_: Request, roots: list[str], version: str) -> None:
    planned = plan(request_, debian(fixtures, request_.codename))
    assert list(planned.roots) == [*roots, f"linux-headers-{request_.kernel_release}"]
    assert (planned.driver_version, planned.module_build, planned.faults) == (version, "dkms", ())


def test_debian_pins_what_comes_by_a_provided_name(fixtures: Path) -> None:
    """firmware by a versioned provide of itself, the support files by a virtual name."""
    planned = plan(BOOKWORM, debian(fixtures, "bookworm"))
    assert {
        "firmware-nvidia-gsp=535.261.03-1",
        "nvidia-kernel-support=535.261.03-1",
        "libnvidia-ml1=535.261.03-1",
        "nvidia-modprobe=535.161.07-1~deb12u1",
        "nvidia-support=20220217+3~deb12u1",
    } <= set(planned.packages)
    assert not {name for name in names(planned) if "xorg" in name or "tesla" in name}


def test_debian_with_nvidias_repository() -> None:
    wanted = replace(BOOKWORM, branch="580", source="cuda", kernel_modules="open")
    planned = plan(wanted, DEBIAN_CUDA)
    assert planned.roots[:3] == ("nvidia-driver-cuda", "nvidia-driver", "nvidia-kernel-open-dkms")
    compute = plan(replace(wanted, libraries="compute"), DEBIAN_CUDA)
    assert compute.roots[:2] == ("nvidia-driver-cuda", "nvidia-kernel-open-dkms")
    assert "libcuda1=580.105.08-1" in planned.packages


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


def test_branches(fixtures: Path) -> None:
    assert branches(LAB) == ("525-server", "535", "535-server")
    assert branches(MOVED) == ("580-server",)
    assert branches(CUDA) == ("580", "590", "595")
    assert branches(debian(fixtures, "bookworm")) == ("535",)


# The plan in the hands of this machine's apt, with a repository and a dpkg database of its own.


def stanza(e: Available, *more: str) -> str:
    relations = (" | ".join(f"{n} ({o} {v})" if o else n for n, o, v in group) for group in e.depends)
    depends = ", ".join(r for r in relations if r == "dkms" or "nvidia" in r)
    lines = [f"Package: {e.name}", *more, f"Version: {e.version}", "Architecture: amd64", "Maintainer: a <a@b.c>"]
    lines += [f"Depends: {depends}"] if depends else []
    return "\n".join(
        [*lines, f"Filename: {e.name}_{e.version}.deb", "Size: 1000", "MD5sum: " + "0" * 32, "Description: x\n"]
    )


@pytest.mark.skipif(not shutil.which("apt-get") or os.geteuid() != 0, reason="needs apt and root (in its own folder)")
def test_a_downgrade_of_a_held_family_is_one_transaction_of_the_real_apt(tmp_path: Path) -> None:
    for folder in ("repository", "lists/partial", "cache/archives/partial"):
        (tmp_path / folder).mkdir(parents=True)
    new = ubuntu("525", "-server", V525_NEW)
    everything = [*ubuntu("525", "-server", V525), *new, entry("dkms", "3")]
    (tmp_path / "repository/Packages").write_text("\n".join(stanza(e) for e in everything))
    there = [entry("dkms", "3"), *(e for e in new if "-open" not in e.name and "headless" not in e.name)]
    (tmp_path / "status").write_text("\n".join(stanza(e, "Status: hold ok installed") for e in there))
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{tmp_path}/repository ./\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::State::Lists "{tmp_path}/lists"; Dir::State::status "{tmp_path}/status"; Dir::Cache "{tmp_path}/cache";'
        f' Dir::Etc::sourcelist "{tmp_path}/sources.list"; Dir::Etc::sourceparts "-"; APT::Sandbox::User "root";'
        f' Dir::Etc::preferences "-"; Dir::Etc::preferencesparts "-"; APT::Architecture "amd64";'
    )
    environment = {**os.environ, "APT_CONFIG": str(tmp_path / "apt.conf"), "LC_ALL": "C"}

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        done = subprocess.run(argv, capture_output=True, text=True, env=environment)
        return Result(tuple(argv), done.returncode, done.stdout, done.stderr)

    assert run(["apt-get", "-qq", "update"]).ok
    planned = plan(
        ask("525", version="525.125.06", headers="ignore"), debian_apt.catalogue(run, apt_pattern("5.4.0-1-none"))
    )
    with pytest.raises(GpuError, match="libnvidia-compute-525-server"):
        debian_apt.transaction(run, planned.packages[:1])  # the metapackage alone is not enough
    found = debian_apt.transaction(run, planned.packages)
    stems = (*DRIVER, "nvidia-dkms", "nvidia-driver", "nvidia-kernel-common")
    assert [move.name for move in found.downgrade] == sorted(f"{stem}-525-server" for stem in stems)
    assert set(found.held_changed) == {move.name for move in found.downgrade}
    assert (found.upgrade, found.remove) == ((), ())


def test_a_release_that_is_new_needs_no_code() -> None:
    """Which releases are supported is the role's vars' word; what is on offer decides here."""
    assert plan(ask("535", "28.04"), LAB).driver_version == "535.183.01"
