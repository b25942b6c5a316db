"""Pre-built modules on a machine with kernels of its own: the hold keeps away the kernel that has none.

The machine presents itself as Ubuntu 22.04 with Ubuntu's archive of one day (docs/lab.md, "The archives"); its kernels are
Debian's under the names that Ubuntu's packages would give them, and the driver's modules were built with the image.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slow.machines import GPU, Machine, machine

UPGRADE = (
    "upgrade --with-new-pkgs --no-install-recommends --yes"  # what a kernel recommends is not in the lab's archive
)
WANTED = {"driver_version": "535.161.08", "driver_module_build": "prebuilt", "driver_persistence": "false"}


@pytest.fixture(scope="module")
def installed() -> Iterator[Machine]:
    with machine("vm-hold", "ubuntu-like") as up:
        up.ask(
            "rm -r /boot/*-cloud-* /lib/modules/*-cloud-* && update-grub"
        )  # it would be GRUB's first, and has no modules
        done = up.play(**WANTED)
        assert done.returncode == 0, done.stdout[-6000:]
        yield up


def test_the_pre_built_module_runs(installed: Machine) -> None:
    kernel = installed.ask("uname -r")
    assert installed.ask("cat /sys/module/nvidia/version") == installed.version
    assert f"/{kernel}/kernel/nvidia-535srv/nvidia.ko" in installed.ask("modinfo --field filename nvidia")
    assert installed.ask("dkms status") == ""
    assert "linux-image-generic" in installed.ask("apt-mark showhold").splitlines()


@pytest.fixture(scope="module")
def upgraded(installed: Machine) -> Machine:
    """Tomorrow's kernel is in the archive, everything is upgraded, and GRUB boots the newest."""
    installed.ask("echo 'deb [trusted=yes] file:/srv/kernels/next ./' >/etc/apt/sources.list.d/next.list")
    installed.ask(f"apt-get update && DEBIAN_FRONTEND=noninteractive apt-get {UPGRADE}")
    installed.ask("grub-set-default 0")
    return installed


def test_the_kernel_stays_away_and_the_driver_works_after_a_reboot(upgraded: Machine) -> None:
    kernel, coming = upgraded.ask("uname -r"), upgraded.ask("cat /srv/kernels/next/release")
    held = upgraded.ask("apt-mark showhold").split()
    without = (
        f"apt-mark unhold {' '.join(held)} >/dev/null && apt-get --simulate {UPGRADE} && apt-mark hold {' '.join(held)}"
    )
    assert f"Inst linux-image-{coming}" in upgraded.ask(without), "it is the hold that keeps it away"
    upgraded.reboot()
    assert upgraded.ask("uname -r") == kernel
    assert upgraded.ask("cat /sys/module/nvidia/version") == upgraded.version
    assert upgraded.ask(f"readlink {GPU}/driver").endswith("/nvidia")
    assert len(upgraded.ask("nvidia-smi -L").splitlines()) == 2
