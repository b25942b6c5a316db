"""A virtual machine of a slow test: brought up bare, asked over ssh, changed by the playbook, rebooted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

GPU = "/sys/bus/pci/devices/0000:18:00.0"
#: The newest driver of each release (``tests/lab/hosts/vm/packages.py``).
VERSIONS = {"debian-12": "535.261.03", "debian-13": "550.163.01", "ubuntu-like": "535.161.08"}
GONE = "dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\\n' | grep nvidia || true"


#: The stand-in of libcuda computes on the processor, which is emulated here: 120 s were not enough on a busy machine.
EMULATED = {"driver_compute_check": "false"}


class Machine:
    def __init__(self, name: str, system: str, inventory: Path) -> None:
        self.name, self.inventory, self.version = name, inventory, VERSIONS[system]

    def ask(self, command: str) -> str:
        words = ["ansible", self.name, "-i", str(self.inventory), "-m", "ansible.builtin.shell", "-a", command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout.partition(">>\n")[2].strip()

    def fails(self, command: str) -> str:
        """What a command says that must not succeed."""
        return self.ask(f"! {command} 2>&1")

    def play(self, **variables: str) -> subprocess.CompletedProcess[str]:
        started = time.monotonic()
        words = [word for name, value in {**EMULATED, **variables}.items() for word in ("-e", f"{name}={value}")]
        command = ["ansible-playbook", "-i", str(self.inventory), "playbooks/driver.yml", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(f"playbook {variables}: rc {done.returncode} after {time.monotonic() - started:.0f} s")
        return done

    def boot_id(self) -> str:
        return self.ask("cat /proc/sys/kernel/random/boot_id")

    def reboot(self) -> None:
        started = time.monotonic()
        words = [
            "ansible",
            self.name,
            "-i",
            str(self.inventory),
            "-m",
            "ansible.builtin.reboot",
            "-a",
            "reboot_timeout=900",
        ]
        subprocess.run(words, check=True, capture_output=True)
        print(f"reboot after {time.monotonic() - started:.0f} s")

    def boot_next(self, kernel: str) -> None:
        """GRUB's default from now on, as an administrator sets it."""
        entry = self.ask(f'grep -o "gnulinux-{kernel}-advanced-[^\']*" /boot/grub/grub.cfg')
        self.ask(f"grub-set-default 'gnulinux-advanced-{entry.rpartition('advanced-')[2]}>{entry}'")

    def kernels(self) -> tuple[str, str]:
        """(the one with headers, the one without)"""
        names = self.ask("ls /lib/modules").split()
        cloud = next(name for name in names if "cloud" in name)
        return next(name for name in names if name != cloud), cloud


@contextlib.contextmanager
def machine(name: str, system: str, **fields: str) -> Iterator[Machine]:
    """The machine while the test lasts. ``fields``: more of the lab's spec."""
    lab = [sys.executable, "-m", "tests.lab.hosts"]
    row = {"name": name, "kind": "vm", "os": system, "gpus": "a100-gsp", **fields}
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "lab.yml"
        spec.write_text(f"hosts: [{{{', '.join(f'{key}: {value}' for key, value in row.items())}}}]\n")
        subprocess.run([*lab, "down", "--name", name], check=True)
        try:
            subprocess.run([*lab, "up", "--name", name, "--spec", str(spec)], check=True)
            yield Machine(name, system, Path(os.environ["T9K_GPU_CACHE"]) / f"labs/{name}/inventory.yml")
        finally:
            subprocess.run([*lab, "down", "--name", name], check=True)
