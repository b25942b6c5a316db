"""Secure Boot on a virtual machine: OVMF starts shim, shim GRUB, GRUB Debian's kernel, each by its signature, and that signed modules.

The firmware was told beforehand to accept two keys of the lab's (``tests/lab/hosts/vm/image.py``): one the modules of the pretended
boards are signed with, and ``/usr/share/lab/mok.der``, which dkms does not know of until an administrator puts it where it looks.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.slow.machines import GPU, Machine, machine

SIGN = "/usr/lib/linux-kbuild-*/scripts/sign-file sha256"
MODULE = "/lib/modules/$(uname -r)/updates/lab/nouveau.ko"
#: Of the same name as the one that is enrolled, as dkms makes them.
ANOTHER = 'openssl req -new -x509 -newkey rsa:2048 -noenc -subj "/CN=t9k.gpu lab mok" -outform DER'


@pytest.fixture(scope="module")
def bare() -> Iterator[Machine]:
    with machine("vm-secure", "debian-12", secure_boot="true") as up:
        yield up


def test_every_stage_is_verified(bare: Machine) -> None:
    assert bare.ask("mokutil --sb-state") == "SecureBoot enabled"
    assert "[integrity]" in bare.ask("cat /sys/kernel/security/lockdown")
    assert "is already enrolled" in bare.fails("mokutil --test-key /usr/share/lab/mok.der")
    assert bare.ask(f"readlink {GPU}/driver").endswith("/nouveau")  # signed with the other key


def test_the_kernel_refuses_a_module_without_a_good_signature(bare: Machine) -> None:
    bare.ask("modprobe -r nouveau")
    bare.ask(f"cp {MODULE} /tmp/none.ko && strip --strip-debug /tmp/none.ko")
    assert "Key was rejected by service" in bare.fails("insmod /tmp/none.ko")
    bare.ask(f"cd /root && {ANOTHER} -keyout other.key -out other.der && cp /tmp/none.ko /tmp/other.ko")
    bare.ask(f"{SIGN} /root/other.key /root/other.der /tmp/other.ko")
    assert "Key was rejected by service" in bare.fails("insmod /tmp/other.ko")


@pytest.mark.parametrize(
    ("before", "found"),
    [
        ("true", "Found: no machine owner key (/var/lib/shim-signed/mok/MOK.der or /var/lib/dkms/mok.pub"),
        (
            "cp /root/other.key /var/lib/dkms/mok.key && cp /root/other.der /var/lib/dkms/mok.pub",
            "Found: its key is in neither of the lists of keys that count, MokListRT and db (/var/lib/dkms/mok.pub",
        ),
    ],
)
def test_the_role_refuses_before_anything_changes(bare: Machine, before: str, found: str) -> None:
    bare.ask(before)
    done = bare.play()
    assert done.returncode != 0
    assert found in " ".join(done.stdout.split()), done.stdout[-6000:]
    assert "changed=0" in done.stdout.rpartition("PLAY RECAP")[2], done.stdout[-6000:]


def test_with_an_enrolled_key_the_driver_loads(bare: Machine) -> None:
    bare.ask("cp /usr/share/lab/mok.key /var/lib/dkms/mok.key && cp /usr/share/lab/mok.der /var/lib/dkms/mok.pub")
    done = bare.play()
    assert done.returncode == 0, done.stdout[-6000:]
    assert bare.ask("cat /sys/module/nvidia/version") == bare.version
    assert bare.ask("modinfo --field signer nvidia-current") == "t9k.gpu lab mok"
    assert "[integrity]" in bare.ask("cat /sys/kernel/security/lockdown")


def test_before_a_reboot_the_module_must_be_one_that_the_kernel_takes(bare: Machine) -> None:
    """As after a build with a key that dkms made itself, of the same name as the one that is enrolled."""
    bare.ask(f"{SIGN} /root/other.key /root/other.der $(modinfo --field filename nvidia-current)")
    words = ["ansible", bare.name, "-i", str(bare.inventory), "-m", "t9k.gpu.nvidia_boot_check"]
    done = subprocess.run([*words, "-a", f"driver_version={bare.version}"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "it is signed by t9k.gpu lab mok with key" in done.stdout
    assert "which is not enrolled" in done.stdout
