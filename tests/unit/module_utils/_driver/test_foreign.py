"""A driver that no package owns: what is found, and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._driver.foreign import origin
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import KernelModule

KERNEL = "6.8.0-60-generic"
LOADED, ABSENT = KernelModule(True, "580.159.04", "open"), KernelModule(False)
CONTAINER, INSTALLER = "/run/nvidia/driver/usr/bin/nvidia-smi", "/usr/bin/nvidia-uninstall"
IMAGE, SMI = "/usr/local/nvidia/bin/nvidia-smi", "/usr/bin/nvidia-smi"
DEP = f"/lib/modules/{KERNEL}/modules.dep"
#: Seen on the H100 host whose driver no package owned.
CUDA = ("libcublas-12-4", "libnccl2", "libcudnn9-cuda-12", "nvidia-container-toolkit")


def package(name: str, status: str = "installed") -> Package:
    return Package(name, "amd64", "1", "install", status)


@pytest.mark.parametrize(
    ("paths", "packages", "module", "words"),
    [
        ([], [], ABSENT, None),
        ([], ["nvidia-dkms-580-server"], LOADED, None),
        ([SMI], ["nvidia-dkms-580-server"], LOADED, None),
        ([SMI], ["nvidia-kernel-dkms"], ABSENT, None),
        ([], CUDA, LOADED, ["loaded kernel module 580.159.04 that no package owns", "removed since the last boot"]),
        ([DEP], CUDA, LOADED, [f"from /lib/modules/{KERNEL}/updates/dkms/nvidia.ko.zst"]),
        ([IMAGE], CUDA, LOADED, ["that no package owns", "/usr/local/nvidia"]),
        ([IMAGE], [], ABSENT, ["provider of the image"]),
        ([SMI], [], ABSENT, ["/usr/bin/nvidia-smi"]),
        ([CONTAINER], [], LOADED, ["driver container"]),
        ([INSTALLER], ["nvidia-dkms-580-server"], LOADED, [".run installer"]),  # on top of packages: worse, not better
        ([], ["libnvidia-egl-wayland1"], LOADED, ["that no package owns"]),  # a desktop has it without a driver
        ([], ["libnvidia-compute-580-server"], LOADED, None),  # libraries of a driver whose modules were taken away
    ],
)
def test_origin(
    tmp_path: Path, paths: list[str], packages: list[str], module: KernelModule, words: list[str] | None
) -> None:
    for path in paths:
        place = tmp_path / path.lstrip("/")
        place.parent.mkdir(parents=True)
        place.write_text("kernel/video.ko:\nupdates/dkms/nvidia.ko.zst: kernel/video.ko\n")
    found = origin(str(tmp_path), [package(name) for name in packages], module, KERNEL)
    assert (found is None) is (words is None)
    assert all(word in str(found) for word in words or [])


@pytest.mark.parametrize(
    ("status", "foreign"),
    [("unpacked", False), ("half-installed", False), ("config-files", True), ("not-installed", True)],
)
def test_an_interrupted_installation_is_no_foreign_driver(tmp_path: Path, status: str, foreign: bool) -> None:
    """The module loaded is the former driver's, whose packages are gone already."""
    found = origin(str(tmp_path), [package("nvidia-dkms-580-server", status)], LOADED, KERNEL)
    assert (found is not None) is foreign
