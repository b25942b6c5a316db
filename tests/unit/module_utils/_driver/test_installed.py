"""Which driver dpkg has: from names and versions alone."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import InstalledDriver, find, leaving

KERNEL = "5.15.0-91-generic"


def installed(**versions: str) -> list[Package]:
    return [
        Package(name.replace("_", "-"), "amd64", version, "install", "installed") for name, version in versions.items()
    ]


def driver(**differences: object) -> InstalledDriver:
    values = {
        "driver_version": "535.247.01",
        "library_version": None,
        "kernel_modules": "proprietary",
        "module_build": "dkms",
        "kernel_releases": (),
        "server": False,
        "fabric_manager_version": None,
        **differences,
    }
    return InstalledDriver(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        ({}, None),
        ({"libnvidia_ml1": "535.247.01-1"}, None),
        ({"nvidia_kernel_dkms": "535.247.01-1~deb12u1", "libnvidia_ml1": "535.247.01-1~deb12u1"},
         driver(library_version="535.247.01")),
        ({"nvidia_open_kernel_dkms": "550.163.01-2"}, driver(driver_version="550.163.01", kernel_modules="open")),
        ({"nvidia_dkms_525_server": "525.147.05-0ubuntu0.22.04.1", "nvidia_fabricmanager_525": "525.147.05-0ubuntu0.22.04.1"},
         driver(driver_version="525.147.05", server=True, fabric_manager_version="525.147.05")),
        ({"nvidia_dkms_535_server_open": "535.54.03-0ubuntu1"},
         driver(driver_version="535.54.03", server=True, kernel_modules="open")),
        ({"linux_modules_nvidia_535_server_5.15.0_91_generic": "5.15.0-91.101", "libnvidia_compute_535_server": "535.54.03-0ubuntu1"},
         driver(driver_version="535.54.03", library_version="535.54.03", server=True, module_build="prebuilt",
                kernel_releases=(KERNEL,))),
        ({"nvidia_kernel_open_dkms": "570.86.15-1"}, driver(driver_version="570.86.15", kernel_modules="open")),
        ({"nvidia_tesla_535_kernel_dkms": "535.216.03-1~deb12u1"}, driver(driver_version="535.216.03")),
        ({"nvidia_dkms": "590.44.01-1ubuntu1"}, driver(driver_version="590.44.01")),
        ({"nvidia_dkms_open": "590.44.01-1ubuntu1"}, driver(driver_version="590.44.01", kernel_modules="open")),
    ],
)  # fmt: skip
def test_find(packages: dict[str, str], expected: InstalledDriver | None) -> None:
    assert find(installed(**packages)) == expected


def test_a_package_that_is_only_configured_away_is_no_driver() -> None:
    assert find([Package("nvidia-kernel-dkms", "amd64", "535.1-1", "deinstall", "config-files")]) is None


@pytest.mark.parametrize(
    ("build", "releases", "serves"),
    [("dkms", (), True), ("prebuilt", (KERNEL,), True), ("prebuilt", ("6.8.0-1",), False)],
)
def test_serves(build: str, releases: tuple[str, ...], serves: bool) -> None:
    assert driver(module_build=build, kernel_releases=releases).serves(KERNEL) is serves


@pytest.mark.parametrize(
    ("there", "coming", "expected"),
    [
        (["nvidia-dkms-525-server", "libnvidia-gl-525-server"], ["nvidia-dkms-525-server"], []),
        (["nvidia-dkms-525-server", "libnvidia-gl-525-server"], ["nvidia-dkms-535-server"],
         ["libnvidia-gl-525-server", "nvidia-dkms-525-server"]),
        (["nvidia-kernel-dkms", "libcuda1"], ["nvidia-open-kernel-dkms", "libcuda1"], ["nvidia-kernel-dkms"]),
        (["nvidia-dkms-535-server"], ["linux-modules-nvidia-535-server-5.15.0-91-generic"], ["nvidia-dkms-535-server"]),
        (["linux-modules-nvidia-535-server-5.15.0-90-generic"], ["linux-modules-nvidia-535-server-5.15.0-91-generic"], []),
        (["linux-modules-nvidia-535-server-5.15.0-90-generic"], ["linux-modules-nvidia-535-server-open-5.15.0-91-generic"],
         ["linux-modules-nvidia-535-server-5.15.0-90-generic"]),
        (["linux-modules-nvidia-535-server-5.15.0-90-generic"], ["nvidia-dkms-535-server"],
         ["linux-modules-nvidia-535-server-5.15.0-90-generic"]),
        (["nvidia-kernel-source-535-server-open", "nvidia-driver-535-server-open", "libnvidia-gl-535-server"],
         ["nvidia-headless-no-dkms-535-server", "nvidia-kernel-source-535-server"],
         ["nvidia-driver-535-server-open", "nvidia-kernel-source-535-server-open"]),
        (["nvidia-container-toolkit", "bash"], ["nvidia-dkms-535-server"], []),
    ],
)  # fmt: skip
def test_leaving(there: list[str], coming: list[str], expected: list[str]) -> None:
    packages = [Package(name, "amd64", "1", "hold", "installed") for name in there]
    assert leaving(packages, coming, "1.2.3") == tuple(expected)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("580.105.08", ("libnvidia-compute", "nvidia-dkms-open", "nvidia-driver-open")),
        ("590.48.01", ("nvidia-dkms-open", "nvidia-driver-open")),
    ],
)
def test_names_without_a_branch_leave_by_their_version(version: str, expected: tuple[str, ...]) -> None:
    """nvidia-modprobe is released apart and of another version; it is in the way of nothing."""
    there = installed(
        nvidia_dkms_open="590.48.01-1ubuntu1",
        nvidia_driver_open="590.48.01-1ubuntu1",
        libnvidia_compute="590.48.01-1ubuntu1",
        nvidia_modprobe="595.71.05-1ubuntu1",
    )
    coming = ["nvidia-dkms-580-open", "nvidia-kernel-source-580-open", "libnvidia-compute-580"]
    assert leaving(there, coming, version) == expected


@pytest.mark.parametrize(("kernel", "expected"), [("5.15.0-91-generic", "open"), ("5.15.0-88-generic", "proprietary")])
def test_of_several_pre_built_kinds_the_running_kernels_speak(kernel: str, expected: str) -> None:
    """An administrator has tried the open modules with the next kernel, and kept the other one to go back to."""
    both = installed(
        **{
            "linux-modules-nvidia-535-server-5.15.0-88-generic": "5.15.0-88.98",
            "linux-modules-nvidia-535-server-open-5.15.0-91-generic": "5.15.0-91.101",
            "libnvidia-compute-535-server": "535.161.08-0ubuntu1",
        }
    )
    for packages in (both, list(reversed(both))):
        found = find(packages, kernel)
        assert found is not None and (found.kernel_modules, found.driver_version) == (expected, "535.161.08")
