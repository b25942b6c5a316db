"""The GPU node once the whole job is done."""

from __future__ import annotations

from testinfra.host import Host

testinfra_hosts = ["ansible://site-a100"]


def test_the_driver_serves_every_gpu(host: Host) -> None:
    assert len(host.check_output("nvidia-smi -L").splitlines()) == 8


def test_no_trace_of_the_drain_is_left(host: Host) -> None:
    assert not host.file("/var/lib/t9k-gpu/cordoned").exists
