"""The lab's hosts are what docs/lab.md says, after a reboot."""

from __future__ import annotations

from testinfra.host import Host

GPUS = {"lab-ubuntu": ("0x2235", 7), "lab-driver": ("0x2235", 5), "lab-debian": ("0x20f1", 2)}


def name(host: Host) -> str:
    return host.check_output("hostname")


def test_systemd_runs_without_a_failed_unit(host: Host) -> None:
    assert host.check_output("systemctl is-system-running --wait") == "running"


def test_pci_tree_shows_the_gpus_and_nothing_else(host: Host) -> None:
    device, count = GPUS[name(host)]
    devices = host.check_output("cat /sys/bus/pci/devices/*/device").split()
    vendors = host.check_output("cat /sys/bus/pci/devices/*/vendor").split()
    assert (devices, set(vendors)) == ([device] * count, {"0x10de"})


def test_nouveau_is_bound_where_the_profile_says_so(host: Host) -> None:
    drivers = host.check_output("for d in /sys/bus/pci/devices/*; do readlink -f $d/driver; done").split()
    bound = {"lab-debian": {"nouveau"}, "lab-driver": {"nvidia", "driver"}, "lab-ubuntu": {"driver"}}[name(host)]
    assert {path.rpartition("/")[2] for path in drivers} == bound, (
        "a link that leads nowhere is a device without driver"
    )
