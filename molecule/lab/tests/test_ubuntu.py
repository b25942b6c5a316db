"""The lab's Ubuntu: what its archive offers."""

from __future__ import annotations

from testinfra.host import Host

testinfra_hosts = ["ansible://lab-ubuntu"]


def test_ubuntu_offers_both_versions_of_the_branch(host: Host) -> None:
    host.run_test("apt-get update")
    policy = host.check_output("apt-cache policy nvidia-driver-525-server")
    assert "525.105.17-0ubuntu0.22.04.1" in policy
    assert "Candidate: 525.147.05-0ubuntu0.22.04.1" in policy
    assert host.system_info.distribution == "ubuntu"
    assert host.system_info.codename == "jammy"
