"""The host without a GPU was left alone."""

from __future__ import annotations

from testinfra.host import Host

testinfra_hosts = ["ansible://debian-cpu"]


def test_nothing_was_written(host: Host) -> None:
    assert not host.file("/etc/modprobe.d/t9k-gpu-nouveau.conf").exists
    assert not host.file("/etc/apt/sources.list.d/t9k-gpu-driver.sources").exists


def test_nothing_was_installed(host: Host) -> None:
    assert not host.package("nvidia-kernel-dkms").is_installed
