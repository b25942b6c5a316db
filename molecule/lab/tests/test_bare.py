"""The lab's hosts without a driver: nothing of one is there."""

from __future__ import annotations

from testinfra.host import Host

testinfra_hosts = ["ansible://lab-ubuntu", "ansible://lab-debian"]


def test_no_driver_is_there_before_one_is_installed(host: Host) -> None:
    assert not host.exists("nvidia-smi")
    assert not host.exists("nvidia-persistenced")
    assert not host.file("/proc/driver/nvidia").exists
    assert not host.file("/sys/module/nvidia").exists
