"""The lab's hosts are what docs/lab.md says, after a reboot and with nothing installed."""

from __future__ import annotations

import pytest
from testinfra.host import Host

GPUS = {"lab-ubuntu": ("0x2235", 7), "lab-driver": ("0x2235", 2), "lab-debian": ("0x20f1", 2)}


def name(host: Host) -> str:
    return host.check_output("hostname")


def test_systemd_runs_without_a_failed_unit(host: Host) -> None:
    assert host.check_output("systemctl is-system-running --wait") == "running"


def test_pci_tree_shows_the_gpus_and_nothing_else(host: Host) -> None:
    device, count = GPUS[name(host)]
    devices = host.check_output("cat /sys/bus/pci/devices/*/device").split()
    vendors = host.check_output("cat /sys/bus/pci/devices/*/vendor").split()
    assert (devices, set(vendors)) == ([device] * count, {"0x10de"})


def test_no_driver_is_there_before_one_is_installed(host: Host) -> None:
    if name(host) == "lab-driver":
        return
    assert not host.exists("nvidia-smi")
    assert not host.exists("nvidia-persistenced")
    assert not host.file("/proc/driver/nvidia").exists
    assert not host.file("/sys/module/nvidia").exists


def test_nouveau_is_bound_where_the_profile_says_so(host: Host) -> None:
    drivers = host.check_output("for d in /sys/bus/pci/devices/*; do readlink -f $d/driver; done").split()
    bound = {"lab-debian": "nouveau", "lab-driver": "nvidia", "lab-ubuntu": "driver"}[name(host)]
    assert {path.rpartition("/")[2] for path in drivers} == {bound}


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("", 0, "<gsp_firmware_version>N/A</gsp_firmware_version>"),
        ("gpu_lost", 15, "GPU is lost"),
        ("no_devices", 6, "No devices were found"),
        ("malformed", 0, "<nvidia_smi_log>"),
    ],
)
def test_the_driver_speaks_after_the_reboot(host: Host, fault: str, status: int, said: str) -> None:
    if name(host) != "lab-driver":
        return
    host.run_test(f"echo '{fault}' > /run/gpu-stand-in/fault")
    answer = host.run("nvidia-smi -q -x")
    host.run_test("rm /run/gpu-stand-in/fault")
    assert (answer.rc, said in answer.stdout) == (status, True)
    assert answer.stdout.rstrip().endswith("</nvidia_smi_log>") == (fault == "")


def test_loaded_module_and_persistence_are_the_packages(host: Host) -> None:
    if name(host) != "lab-driver":
        return
    assert host.file("/sys/module/nvidia/version").content_string.strip() == "525.147.05"
    assert host.file("/proc/driver/nvidia/params").contains("^EnableGpuFirmware: 0$")
    assert host.service("nvidia-persistenced").is_running
    assert "<persistence_mode>Disabled</persistence_mode>" in host.check_output("nvidia-smi -q -x")


def test_initramfs_was_really_rebuilt(host: Host) -> None:
    """update-initramfs works for the machine's kernel."""
    if name(host) != "lab-driver":
        return
    host.run_test("update-initramfs -u")
    assert "etc/modprobe.d/lab-gsp.conf" in host.check_output("lsinitramfs /boot/initrd.img-$(uname -r)")


def test_ubuntu_offers_both_versions_of_the_branch(host: Host) -> None:
    if name(host) != "lab-ubuntu":
        return
    host.run_test("apt-get update")
    policy = host.check_output("apt-cache policy nvidia-driver-525-server")
    assert "525.105.17-0ubuntu0.22.04.1" in policy
    assert "Candidate: 525.147.05-0ubuntu0.22.04.1" in policy
    assert host.system_info.distribution == "ubuntu"
    assert host.system_info.codename == "jammy"


def test_debian_offers_the_real_driver(host: Host) -> None:
    if name(host) != "lab-debian":
        return
    assert host.run("apt-get update").rc == 0
    policy = host.check_output("apt-cache policy nvidia-driver")
    assert "Candidate: 535." in policy
    assert host.file("/etc/os-release").contains("^ID=debian")
