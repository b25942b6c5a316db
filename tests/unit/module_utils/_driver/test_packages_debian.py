"""Which packages make up a driver on Debian, by captures of its metadata; NVIDIA's repository for it is a stand-in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from driver_catalogue import CUDA_ORIGIN, entry, names

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import (
    Catalogue,
    make_catalogue,
    parse_policy,
    parse_show,
)
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import Request, branches, plan

DEBIAN_CUDA = make_catalogue(
    [
        entry("nvidia-driver-cuda", "580.105.08-1", "libcuda1 (= 580.105.08-1)", origins=CUDA_ORIGIN),
        entry("nvidia-driver", "580.105.08-1", "libnvidia-gl (= 580.105.08-1)", origins=CUDA_ORIGIN),
        entry("libcuda1", "580.105.08-1", origins=CUDA_ORIGIN),
        entry("nvidia-kernel-open-dkms", "580.105.08-1", "dkms", origins=CUDA_ORIGIN),
        entry("linux-headers-6.1.0-50-amd64", "6.1.176-1"),
    ]
)


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


def test_branches(fixtures: Path) -> None:
    assert branches(debian(fixtures, "bookworm")) == ("535",)
