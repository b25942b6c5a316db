"""The driver's life on a machine with kernels of its own: two of Debian's, GRUB between them, dkms, an initramfs, a rival.

What is real and what is a stand-in: docs/lab.md, "Hosts with real kernels". Minutes, since every instruction is emulated where KVM is not
usable; ``./dev slow`` runs it. The tests follow each other: each state of the machine is a fixture that the next builds on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOST = "vm-driver"
LAB = "vm-driver"
SPEC = f"hosts:\n  - {{name: {HOST}, kind: vm, os: debian-12, gpus: a100-gsp}}\n"
VERSION = "535.261.03"
GPU = "/sys/bus/pci/devices/0000:18:00.0"


class Machine:
    def __init__(self, inventory: Path) -> None:
        self.inventory = inventory

    def ask(self, command: str) -> str:
        words = ["ansible", HOST, "-i", str(self.inventory), "-m", "ansible.builtin.shell", "-a", command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout.partition(">>\n")[2].strip()

    def play(self, **variables: str) -> subprocess.CompletedProcess[str]:
        words = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        command = ["ansible-playbook", "-i", str(self.inventory), "playbooks/driver.yml", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def reboot(self) -> None:
        words = ["ansible", HOST, "-i", str(self.inventory), "-m", "ansible.builtin.reboot", "-a", "reboot_timeout=900"]
        subprocess.run(words, check=True, capture_output=True)

    def kernels(self) -> tuple[str, str]:
        """(the one with headers, the one without)"""
        names = self.ask("ls /lib/modules").split()
        cloud = next(name for name in names if "cloud" in name)
        return next(name for name in names if name != cloud), cloud


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    spec = tmp_path_factory.mktemp("vm") / "lab.yml"
    spec.write_text(SPEC)
    lab = [sys.executable, "-m", "tests.lab.hosts"]
    subprocess.run([*lab, "down", "--name", LAB], check=True)
    subprocess.run([*lab, "up", "--name", LAB, "--spec", str(spec)], check=True)
    yield Machine(Path(os.environ["T9K_GPU_CACHE"]) / f"labs/{LAB}/inventory.yml")
    subprocess.run([*lab, "down", "--name", LAB], check=True)


def test_the_rival_has_the_gpus_of_a_bare_machine(bare: Machine) -> None:
    """From the initramfs on, as on any machine whose display drivers are in there."""
    assert bare.ask(f"readlink {GPU}/driver").endswith("/nouveau")
    assert bare.ask("uname -r") == bare.kernels()[0]
    assert "10de:20f1" in bare.ask("lspci -n -d 10de:")


@pytest.fixture(scope="module")
def installed(bare: Machine) -> Machine:
    before = bare.ask("cat /proc/sys/kernel/random/boot_id")
    done = bare.play(driver_gsp="disabled")
    assert done.returncode == 0, done.stdout[-6000:]
    assert bare.ask("cat /proc/sys/kernel/random/boot_id") != before
    return bare


def test_the_running_module_is_the_package_and_has_the_option(installed: Machine) -> None:
    assert installed.ask("cat /sys/module/nvidia/version") == VERSION
    assert VERSION in installed.ask("cat /proc/driver/nvidia/version")
    assert "EnableGpuFirmware: 0" in installed.ask("cat /proc/driver/nvidia/params").splitlines()
    assert "GPU Firmware" not in installed.ask("cat /proc/driver/nvidia/gpus/*/information")


def test_the_rival_is_blacklisted_in_the_initramfs_and_not_loaded(installed: Machine) -> None:
    for kernel in installed.kernels():
        assert "t9k-gpu-nouveau.conf" in installed.ask(f"lsinitramfs /boot/initrd.img-{kernel}"), kernel
    assert "nouveau" not in installed.ask("lsmod")
    assert installed.ask(f"readlink {GPU}/driver").endswith("/nvidia")


def test_the_daemon_holds_the_module(installed: Machine) -> None:
    assert int(installed.ask("cat /sys/module/nvidia/refcnt")) > len(
        installed.ask("ls /sys/module/nvidia/holders").split()
    )


def test_dkms_built_for_the_kernel_with_headers_alone(installed: Machine) -> None:
    with_headers, without = installed.kernels()
    status = installed.ask("dkms status")
    assert f"nvidia-current/{VERSION}, {with_headers}, x86_64: installed" in status
    assert without not in status


@pytest.fixture(scope="module")
def other_kernel(installed: Machine) -> Machine:
    """GRUB's default changed under a driver that was proven, as a kernel upgrade does it."""
    _with_headers, without = installed.kernels()
    entry = installed.ask(f'grep -o "gnulinux-{without}-advanced-[^\']*" /boot/grub/grub.cfg')
    installed.ask(f"grub-set-default 'gnulinux-advanced-{entry.rpartition('advanced-')[2]}>{entry}'")
    installed.reboot()
    return installed


def test_what_grub_boots_next_may_have_no_module(other_kernel: Machine) -> None:
    """What happens today: the driver was proven on the kernel that ran, and nobody looked at the one that boots."""
    assert other_kernel.ask("uname -r") == other_kernel.kernels()[1]
    assert "nvidia" not in other_kernel.ask("lsmod")
    assert other_kernel.ask("nvidia-smi >/dev/null; echo $?") == "9"


def test_the_driver_is_taken_away(other_kernel: Machine) -> None:
    done = other_kernel.play(driver_state="absent")
    assert done.returncode == 0, done.stdout[-6000:]
    assert (
        other_kernel.ask("dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\\n' | grep -c nvidia || true")
        == "0"
    )
    assert other_kernel.ask("find /lib/modules -name 'nvidia*.ko*'") == ""
    assert other_kernel.ask("find /etc/modprobe.d -name '*nvidia*' -o -name '*t9k*'") == ""
