"""What is held so that no part of the driver moves alone."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import hold_set


def installed(*names: str, depends: str = "") -> tuple[Package, ...]:
    return tuple(Package(name, "amd64", "1", "install", "installed", depends=depends) for name in names)


DKMS = installed("nvidia-driver-525-server", "nvidia-dkms-525-server", "nvidia-container-toolkit", "bash")
KERNEL = (
    *installed("linux-image-5.4.0-155-generic", "linux-modules-5.4.0-155-generic", "linux-headers-5.4.0-155-generic"),
    *installed("linux-image-5.4.0-144-generic"),
    *installed("linux-image-generic", depends="linux-image-5.4.0-155-generic, linux-firmware"),
    *installed("linux-generic", depends="linux-image-generic (= 5.4.0.155.151), linux-headers-generic"),
    *installed("linux-firmware"),
)
PREBUILT = installed("nvidia-utils-525-server", "linux-modules-nvidia-525-server-5.4.0-155-generic")


@pytest.mark.parametrize(
    ("packages", "release", "expected"),
    [
        ((), "5.4.0-155-generic", ()),
        ((*DKMS, *KERNEL), "5.4.0-155-generic", ("nvidia-dkms-525-server", "nvidia-driver-525-server")),
        (
            (*PREBUILT, *KERNEL),
            "5.4.0-155-generic",
            (
                "linux-generic",
                "linux-headers-5.4.0-155-generic",
                "linux-image-5.4.0-155-generic",
                "linux-image-generic",
                "linux-modules-5.4.0-155-generic",
                "linux-modules-nvidia-525-server-5.4.0-155-generic",
                "nvidia-utils-525-server",
            ),
        ),
        (  # a release without an ABI number: a kernel that somebody else built
            installed("linux-modules-nvidia-525-6.18.45-lab", "linux-image-6.18.45-lab", "linux-image-6.18.44-lab"),
            "6.18.44-lab",
            ("linux-image-6.18.44-lab", "linux-image-6.18.45-lab", "linux-modules-nvidia-525-6.18.45-lab"),
        ),
        (  # a kernel newer than the running one is waiting for the reboot: both are held
            (*installed("linux-modules-nvidia-525-5.4.0-155-generic"), *KERNEL[:4]),
            "5.4.0-144-generic",
            (
                "linux-headers-5.4.0-155-generic",
                "linux-image-5.4.0-144-generic",
                "linux-image-5.4.0-155-generic",
                "linux-modules-5.4.0-155-generic",
                "linux-modules-nvidia-525-5.4.0-155-generic",
            ),
        ),
        (  # the metapackages have brought a newer kernel already, for which there are no modules
            (*installed("linux-modules-nvidia-525-5.4.0-144-generic", "linux-headers-5.4.0-155"), *KERNEL),
            "5.4.0-144-generic",
            (
                "linux-generic",
                "linux-image-5.4.0-144-generic",
                "linux-image-generic",
                "linux-modules-nvidia-525-5.4.0-144-generic",
            ),
        ),
        (
            (
                Package("nvidia-old", "amd64", "1", "deinstall", "config-files"),
                Package("nvidia-later", "amd64", None, "hold", "not-installed"),
                Package("libnvidia-compute-525", "amd64", "1", "install", "installed", "same"),
                Package("libnvidia-compute-525", "i386", "1", "install", "half-configured", "same"),
            ),
            "",
            ("libnvidia-compute-525:amd64", "libnvidia-compute-525:i386"),
        ),
    ],
)
def test_hold_set(packages: tuple[Package, ...], release: str, expected: tuple[str, ...]) -> None:
    assert hold_set(packages, release) == expected


def test_a_followed_kernel_is_held_with_dkms_too() -> None:
    without = hold_set((*DKMS, *KERNEL), "5.4.0-155-generic")
    followed = set(hold_set((*DKMS, *KERNEL), "5.4.0-155-generic", kernels=True)) - set(without)
    assert {"linux-generic", "linux-image-generic", "linux-image-5.4.0-155-generic"} <= followed
