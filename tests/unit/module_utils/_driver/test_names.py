"""What belongs to the driver, and what is released apart from it."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._driver import names


@pytest.mark.parametrize(
    "name",
    [
        "nvidia-driver-525-server",
        "nvidia-headless-no-dkms-535-server-open",
        "nvidia-fabricmanager-535",
        "nvidia-cuda-mps",
        "nvidia-fabricmanager",
        "libnvidia-compute-525-server",
        "libnvidia-nscq-535",
        "libcuda1",
        "libcuda1-340",
        "libcudadebugger1",
        "libnvcuvid1",
        "libegl-nvidia0",
        "libgl1-nvidia-glvnd-glx",
        "linux-modules-nvidia-525-server-5.4.0-155-generic",
        "linux-objects-nvidia-525-server-5.4.0-155-generic",
        "linux-signatures-nvidia-5.4.0-155-generic",
        "xserver-xorg-video-nvidia-525-server",
        "firmware-nvidia-gsp",
        "firmware-nvidia-tesla-535-gsp",
        "cuda-drivers-590",
        "nvidia-firmware-535-server-535.129.03",
        "nvidia-compute-utils-595-server",
        "nvidia-kernel-common-525-server",
        "nvidia-kernel-source-535-server-open",
        "nvidia-dkms-535-server-open",
        "nvidia-dkms-open",
        "nvidia-open",
        "nvidia-driver-cuda",
        "nvidia-kernel-open-dkms",
        "nvidia-open-kernel-dkms",
        "nvidia-tesla-535-kernel-dkms",
        "libnvidia-tesla-535-cuda1",
        "libnvidia-gl-580-server",
        "libnvidia-compute",
        "libnvsdm-580",
        "nvidia-imex-580",
        "nvidia-settings",
    ],
)
def test_is_the_driver(name: str) -> None:
    assert names.is_driver(name)


@pytest.mark.parametrize(
    "name",
    [
        "nvidia-container-toolkit",
        "libnvidia-container1",
        "libnvidia-container-tools",
        "nvidia-docker2",
        "nvidia-cuda-toolkit",
        "nvidia-cudnn",
        "nvidia-profiler",
        "libnvidia-ml-dev",
        "libcudart11.0",
        "firmware-nvidia-graphics",
        "boinc-client-nvidia-cuda",
        "linux-image-5.4.0-155-generic",
        "linux-nvidia",
        "nvidia",
        "bash",
        # DGX OS: the appendix "Installed Packages" of its user guide.
        "nvidia-raid-config",
        "nvidia-crashdump",
        "nvidia-repo-keys",
        "nvidia-acs-disable",
        "nvidia-kernel-defaults",
        "nvidia-mig-manager",
        "nvidia-mlnx-names",
        "nvidia-nvme-smartd",
        "nvidia-pci-bridge-power",
        "nvidia-redfish-config",
        "nvidia-relaxed-ordering-gpu",
        "nvidia-esm-hook-epilogue",
        "nvidia-fs-loader",
        # Seen held beside a driver.
        "libcublas-12-4",
        "libnccl2",
        "libcudnn9-cuda-12",
    ],
)
def test_is_not_the_driver(name: str) -> None:
    assert not names.is_driver(name)
