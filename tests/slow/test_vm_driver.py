"""The driver's life on a machine with kernels of its own: Debian's, GRUB between them, dkms, an initramfs, a rival.

What is real and what is a stand-in: docs/lab.md, "Hosts with real kernels". Minutes, since every instruction is emulated where KVM is not
usable; ``./dev slow`` runs it. The tests follow each other: each state of the machine is a fixture that the next builds on.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slow.machines import GONE, GPU, Machine, machine


@pytest.fixture(scope="module", params=["debian-12", "debian-13"])
def bare(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with machine(f"vm-driver-{request.param[-2:]}", request.param) as up:
        yield up


def test_the_rival_has_the_gpus_of_a_bare_machine(bare: Machine) -> None:
    """From the initramfs on, as on any machine whose display drivers are in there."""
    assert bare.ask(f"readlink {GPU}/driver").endswith("/nouveau")
    assert bare.ask("uname -r") == bare.kernels()[0]
    assert "10de:20f1" in bare.ask("lspci -n -d 10de:")


@pytest.fixture(scope="module")
def installed(bare: Machine) -> Machine:
    before = bare.boot_id()
    done = bare.play(driver_gsp="disabled")
    assert done.returncode == 0, done.stdout[-6000:]
    assert bare.boot_id() != before
    return bare


def test_the_running_module_is_the_package_and_has_the_option(installed: Machine) -> None:
    assert installed.ask("cat /sys/module/nvidia/version") == installed.version
    assert installed.version in installed.ask("cat /proc/driver/nvidia/version")
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
    assert f"nvidia-current/{installed.version}, {with_headers}, x86_64: installed" in status
    assert without not in status


@pytest.fixture(scope="module")
def upgraded(installed: Machine) -> Machine:
    """Tomorrow's kernel is in the archive, an upgrade brings it, GRUB boots the newest, and nobody thinks of the driver."""
    installed.ask("echo 'deb [trusted=yes] file:/srv/kernels/next ./' >/etc/apt/sources.list.d/next.list")
    installed.ask(
        "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get upgrade --with-new-pkgs --no-install-recommends --yes"
    )
    installed.ask("grub-set-default 0")
    installed.reboot()
    return installed


def test_a_kernel_that_an_upgrade_brings_boots_into_a_working_driver(upgraded: Machine) -> None:
    assert upgraded.ask("uname -r") == upgraded.ask("cat /srv/kernels/next/release")
    assert upgraded.ask("cat /sys/module/nvidia/version") == upgraded.version
    assert upgraded.ask(f"readlink {GPU}/driver").endswith("/nvidia")
    assert len(upgraded.ask("nvidia-smi -L").splitlines()) == 2


def test_after_it_there_is_nothing_to_do(upgraded: Machine) -> None:
    done = upgraded.play(driver_gsp="disabled")
    assert done.returncode == 0, done.stdout[-6000:]
    assert "changed=0" in done.stdout.rpartition("PLAY RECAP")[2], done.stdout[-6000:]


@pytest.fixture(scope="module")
def other_next(upgraded: Machine) -> Machine:
    """GRUB's default changed to a kernel without headers; and a reboot is due, since the option was changed by hand."""
    upgraded.boot_next(upgraded.kernels()[1])
    upgraded.ask("rm /etc/modprobe.d/nvidia-gsp.conf; touch /boot/initrd.img-*")
    return upgraded


def test_the_role_refuses_to_boot_a_kernel_without_the_module(other_next: Machine) -> None:
    before = other_next.boot_id()
    done = other_next.play(driver_gsp="enabled")
    assert done.returncode != 0, done.stdout[-6000:]
    wanted = f"for the kernel that boots next, {other_next.kernels()[1]} (/boot/grub/grub.cfg). Found: no module of the driver"
    assert wanted in " ".join(done.stdout.split()), done.stdout[-6000:]
    assert other_next.boot_id() == before


@pytest.fixture(scope="module")
def other_kernel(other_next: Machine) -> Machine:
    other_next.reboot()
    return other_next


def test_what_it_refused_would_have_had_no_driver(other_kernel: Machine) -> None:
    assert other_kernel.ask("uname -r") == other_kernel.kernels()[1]
    assert "nvidia" not in other_kernel.ask("lsmod")
    assert other_kernel.ask("nvidia-smi >/dev/null; echo $?") == "9"


def test_the_driver_is_taken_away(other_kernel: Machine) -> None:
    done = other_kernel.play(driver_state="absent")
    assert done.returncode == 0, done.stdout[-6000:]
    assert other_kernel.ask(GONE) == ""
    # Below kernel/ is what came with the kernel, as nvidia-wmi-ec-backlight, which is a laptop's screen and no GPU.
    assert other_kernel.ask("find /lib/modules -name 'nvidia*.ko*' -not -path '*/kernel/*'") == ""
    assert other_kernel.ask("find /etc/modprobe.d -name '*nvidia*' -o -name '*t9k*'") == ""
