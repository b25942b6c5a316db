"""The lab's host with a driver: what speaks, and from where, after the reboot."""

from __future__ import annotations

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://lab-driver"]
FAULTS = "/var/lib/t9k-gpu-lab/faults"


def test_the_driver_comes_late_and_without_the_gpus_that_are_gone(host: Host) -> None:
    """Four were built in: one is off the bus, one is missing; two virtual functions are on the bus beside them."""
    host.check_output("timeout 60 sh -c 'until [ -e /proc/driver/nvidia/version ]; do sleep 0.2; done'")
    listed = host.check_output("nvidia-smi -L").splitlines()
    assert [line.partition(":")[0] for line in listed] == ["GPU 0", "GPU 1"]
    assert host.check_output("ls /proc/driver/nvidia/gpus").split() == ["0000:18:00.0", "0000:3b:00.0"]
    assert "fallen off the bus and is not responding to commands" in host.check_output("dmesg")
    assert host.check_output("readlink -f /sys/bus/pci/devices/0000:18:00.5/physfn").endswith("/0000:18:00.0")
    assert host.check_output(f"ls {FAULTS}").split() == ["gpu-missing", "gpu-off-bus", "module-late", "sriov"]


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("", 0, "<gsp_firmware_version>N/A</gsp_firmware_version>"),
        ("gpu-lost 1", 15, "GPU is lost"),
        ("smi no-devices", 6, "No devices were found"),
        ("smi malformed", 0, "<nvidia_smi_log>"),
    ],
)
def test_the_driver_speaks_after_the_reboot(host: Host, fault: str, status: int, said: str) -> None:
    name, _, value = fault.partition(" ")
    if fault:
        host.check_output(f"echo '{value}' > {FAULTS}/{name}")
    answer = host.run("nvidia-smi -q -x")
    host.check_output(f"rm -f {FAULTS}/smi {FAULTS}/gpu-lost")
    assert (answer.rc, said in answer.stdout) == (status, True)
    assert answer.stdout.rstrip().endswith("</nvidia_smi_log>") == (fault == "")


def test_loaded_module_and_persistence_are_the_packages(host: Host) -> None:
    assert host.file("/sys/module/nvidia/version").content_string.strip() == "525.147.05"
    assert host.file("/proc/driver/nvidia/params").contains("^EnableGpuFirmware: 0$")
    assert host.service("nvidia-persistenced").is_running
    assert "<persistence_mode>Disabled</persistence_mode>" in host.check_output("nvidia-smi -q -x")


def test_initramfs_was_really_rebuilt(host: Host) -> None:
    """update-initramfs works for the machine's kernel."""
    host.run_test("update-initramfs -u")
    assert "etc/modprobe.d/lab-gsp.conf" in host.check_output("lsinitramfs /boot/initrd.img-$(uname -r)")


ASK = "python3 -c 'import ctypes; print(ctypes.CDLL(\"libcuda.so.1\").cuInit(0))'"


@pytest.mark.parametrize(("fault", "answer"), [("", "0"), ("802", "802"), ("999 0000:18:00.0", "999"), ("719", "0")])
def test_cuda_answers_as_it_is_told(host: Host, fault: str, answer: str) -> None:
    host.run_test(f"mkdir -p /var/lib/t9k-gpu-lab/faults && echo '{fault}' > /var/lib/t9k-gpu-lab/faults/cuda")
    said = host.check_output(ASK)
    host.run_test("rm /var/lib/t9k-gpu-lab/faults/cuda")
    assert said == answer
