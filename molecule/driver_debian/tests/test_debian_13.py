"""Debian 13 with its real packages, 550: the same names, a newer apt, another initramfs-tools and Python."""

from __future__ import annotations

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://debian-13"]


def test_it_is_trixie(host: Host) -> None:
    assert host.system_info.codename == "trixie"


@pytest.mark.parametrize("name", ["nvidia-kernel-dkms", "nvidia-smi", "libcuda1", "firmware-nvidia-gsp"])
def test_debians_own_package_is_installed_and_held(host: Host, name: str) -> None:
    listed = host.check_output(f"dpkg-query --show --showformat '${{db:Status-Abbrev}} ${{Version}}' {name}")
    assert listed.startswith("hi  550.")


def test_loaded_module_is_the_package(host: Host) -> None:
    package = host.check_output("dpkg-query --show --showformat '${Version}' nvidia-kernel-dkms")
    assert package.split("-")[0] in host.file("/proc/driver/nvidia/version").content_string


def test_the_option_is_written_for_the_modules_real_name(host: Host) -> None:
    shown = host.check_output("modprobe --showconfig | grep -F NVreg_EnableGpuFirmware")
    assert shown.split() == ["options", "nvidia_current", "NVreg_EnableGpuFirmware=0"]


def test_persistence_is_on(host: Host) -> None:
    assert host.service("nvidia-persistenced").is_running
    assert "Enabled" in host.check_output("nvidia-smi -q -x | grep persistence_mode")
