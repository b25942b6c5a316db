"""The lab's hosts are what docs/lab.md says, after a reboot and with nothing installed."""

from __future__ import annotations

from testinfra.host import Host

GPUS = {"lab-ubuntu": ("0x2235", 7), "lab-debian": ("0x20f1", 2)}


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
    assert not host.exists("nvidia-smi")
    assert not host.exists("nvidia-persistenced")
    assert not host.file("/proc/driver/nvidia").exists
    assert not host.file("/sys/module/nvidia").exists


def test_nouveau_is_bound_where_the_profile_says_so(host: Host) -> None:
    drivers = host.check_output("for d in /sys/bus/pci/devices/*; do readlink -f $d/driver; done").split()
    assert {path.rpartition("/")[2] for path in drivers} == ({"nouveau"} if name(host) == "lab-debian" else {"driver"})


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
