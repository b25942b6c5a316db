"""Debian 12 with the real packages: installed, held, configured for the module's real name, loaded after a reboot."""

from __future__ import annotations

import re

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://debian-gpu"]

PACKAGES = [
    "nvidia-kernel-dkms",
    "nvidia-smi",
    "nvidia-persistenced",
    "libcuda1",
    "libnvidia-ml1",
    "firmware-nvidia-gsp",
]


@pytest.mark.parametrize("name", PACKAGES)
def test_debians_own_package_is_installed_and_held(host: Host, name: str) -> None:
    listed = host.check_output(f"dpkg-query --show --showformat '${{db:Status-Abbrev}} ${{Version}}' {name}")
    assert listed.startswith("hi  535.")


def test_everything_of_the_driver_is_held_and_nothing_else(host: Host) -> None:
    names = host.check_output("dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\n'").splitlines()
    loose = [n for n in names if n.startswith("ii ") and n.split()[1].startswith(("nvidia-", "libnvidia-", "libcuda"))]
    foreign = [
        n for n in names if n.startswith("hi ") and not any(part in n for part in ("nvidia", "libcuda", "libnvcuvid"))
    ]
    assert (loose, foreign) == ([], [])


def test_the_option_is_written_for_the_modules_real_name(host: Host) -> None:
    assert (
        "options nvidia-current NVreg_EnableGpuFirmware=0"
        in host.file("/etc/modprobe.d/nvidia-gsp.conf").content_string
    )
    shown = host.check_output("modprobe --showconfig | grep -F NVreg_EnableGpuFirmware")
    assert shown.split() == ["options", "nvidia_current", "NVreg_EnableGpuFirmware=0"]


def test_nouveau_is_kept_off(host: Host) -> None:
    assert "blacklist nouveau" in host.check_output("modprobe --showconfig")


def test_persistence_needs_no_drop_in_here(host: Host) -> None:
    assert not host.file("/etc/systemd/system/nvidia-persistenced.service.d").exists
    assert host.service("nvidia-persistenced").is_enabled
    assert host.service("nvidia-persistenced").is_running


def test_loaded_module_is_the_package(host: Host) -> None:
    package = host.check_output("dpkg-query --show --showformat '${Version}' nvidia-kernel-dkms")
    assert package.split("-")[0] in host.file("/proc/driver/nvidia/version").content_string


def test_the_pin_names_the_version_and_apt_reads_it(host: Host) -> None:
    policy = host.check_output("apt-cache policy nvidia-kernel-dkms")
    assert "1001" in policy


def test_unattended_upgrades_would_leave_the_driver_alone(host: Host) -> None:
    """It takes each pattern for the beginning of a name, as ``re.match`` does."""
    patterns = re.findall(r'::Package-Blacklist:: "(.+)";', host.check_output("apt-config dump Unattended-Upgrade"))
    held = host.check_output("apt-mark showhold").split()
    assert len(held) > 10
    assert [name for name in held if not any(re.match(pattern, name.partition(":")[0]) for pattern in patterns)] == []
    assert not any(
        re.match(pattern, name) for pattern in patterns for name in ("openssh-server", "libc6", "linux-base")
    )
