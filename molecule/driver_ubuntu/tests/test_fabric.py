"""The node with NVSwitches: fabric manager of the driver's version runs, and CUDA computes."""

from __future__ import annotations

from testinfra.host import Host

testinfra_hosts = ["ansible://ubuntu-hgx"]

ASK = "python3 -c 'import ctypes; print(ctypes.CDLL(\"libcuda.so.1\").cuInit(0))'"


def test_fabric_manager_is_of_the_driver_s_version_and_starts_at_boot(host: Host) -> None:
    assert host.package("nvidia-fabricmanager-535").version.startswith("535.129.03-")
    service = host.service("nvidia-fabricmanager")
    assert service.is_enabled
    assert service.is_running


def test_every_gpu_is_in_the_fabric(host: Host) -> None:
    assert host.check_output("nvidia-smi -q -x | grep -c '<state>Completed</state>'") == "2"


def test_without_fabric_manager_nothing_computes(host: Host) -> None:
    assert host.check_output(ASK) == "0"
    host.run_test("systemctl stop nvidia-fabricmanager")
    assert host.check_output(ASK) == "802"
    host.run_test("systemctl start nvidia-fabricmanager")
