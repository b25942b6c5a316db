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
    ],
)
def test_is_not_the_driver(name: str) -> None:
    assert not names.is_driver(name)
