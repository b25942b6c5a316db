"""The lab's Debian: what its archive offers."""

from __future__ import annotations

from testinfra.host import Host

testinfra_hosts = ["ansible://lab-debian"]


def test_debian_offers_the_real_driver(host: Host) -> None:
    assert host.run("apt-get update").rc == 0
    policy = host.check_output("apt-cache policy nvidia-driver")
    assert "Candidate: 535." in policy
    assert host.file("/etc/os-release").contains("^ID=debian")
