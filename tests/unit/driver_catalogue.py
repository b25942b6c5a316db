"""What archives offer, for the tests of packages: Ubuntu's and NVIDIA's families, with the names and dependencies published for them."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Available, make_catalogue, parse_relations
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import PackagePlan, Request

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


def ask(branch: str, os_version: str = "20.04", **more: object) -> Request:
    release = FOCAL if os_version == "20.04" else NOBLE
    base = Request("ubuntu", os_version, UBUNTU.get(os_version, ""), release, branch)
    return replace(base, **more)  # type: ignore[arg-type]


def names(planned: PackagePlan) -> set[str]:
    return {package.partition("=")[0] for package in planned.packages}
