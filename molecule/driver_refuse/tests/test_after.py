"""After a run that was killed and one that was not: the driver is whole."""

from __future__ import annotations

from testinfra.host import Host

testinfra_hosts = ["ansible://refuse-gpu"]


def test_dpkg_finds_nothing_amiss(host: Host) -> None:
    assert host.check_output("dpkg --audit") == ""


def test_all_gpus_are_driven(host: Host) -> None:
    assert len(host.check_output("nvidia-smi -L").splitlines()) == 7
