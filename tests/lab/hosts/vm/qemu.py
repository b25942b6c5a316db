"""One virtual machine as a process: its command line, its power, and whether this machine's KVM is good for it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.hosts import machine
from tests.lab.hosts.stand_ins import hardware
from tests.lab.hosts.vm.image import FIRMWARE, Image
from tests.lab.log import LabError
from tests.lab.state import cache

ROOT = Path(__file__).resolve().parents[4]
PROGRAM = "qemu-system-x86_64"
#: No devices that a server's boot would only be slower for. Plain qemu64: OVMF 2022.11 does not start with five-level paging.
MACHINE = ("-M", "q35,sata=off,smbus=off,i8042=off,usb=off,vmport=off", "-smp", "1", "-m", "2048")
#: What edk2 wants of the machine for its variables to be out of the system's reach (OvmfPkg/README, "SMM support").
SECURE = (
    *("-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"),
    *("-global", "ICH9-LPC.disable_s3=1"),
)
NO_EXTRAS = ("-nodefaults", "-display", "none", "-vga", "none", "-device", "virtio-rng-pci")
EMULATED = ("-accel", "tcg,thread=multi", "-cpu", "qemu64,-svm")
WITH_KVM = ("-accel", "kvm", "-cpu", "host")
PROBE_S = 20.0
#: QEMU's own start on a busy machine.
STARTED_S = 20.0
BOARDS = "opt/t9k.gpu/boards"
THREE_D, NVSWITCH = "030200", "068000"


@dataclass(frozen=True)
class Files:
    """What one machine has on this one."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def firmware(self) -> Path:
        return self.folder / "firmware.fd"

    @property
    def secure(self) -> Path:
        """There where Secure Boot is on."""
        return self.folder / "secure-boot"

    @property
    def host(self) -> Path:
        return self.folder / "host.tar"

    @property
    def boards(self) -> Path:
        return self.folder / "boards"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    @property
    def pid(self) -> Path:
        """Of the keeper, who has QEMU as a child."""
        return self.folder / "pid"

    @property
    def qemu(self) -> Path:
        """Of QEMU, written by itself once it is set up."""
        return self.folder / "qemu.pid"

    @property
    def log(self) -> Path:
        """What QEMU and its keeper complain of."""
        return self.folder / "qemu.log"


def boards(profile: dict[str, Any]) -> str:
    """The PCI functions of a host, a line each, in the words of ``hardware/lab_gpus.c``."""
    rows = []
    for gpu in hardware.fitted(profile):
        _domain, bus, rest = gpu.address.split(":")
        gsp = int(profile.get("gsp_default", True))
        device = profile["pci_device_id"]
        rows.append(f"{bus} {rest.split('.')[0]} {device} {THREE_D} {gsp} {gpu.uuid} {profile['product_name']}")
    rows += [f"c{index:x} 0 22a3 {NVSWITCH} 0 - NVSwitch" for index in range(int(profile.get("nvswitches", 0)))]
    return "".join(f"{row}\n" for row in rows)


def command(files: Files, image: Image, port: int, accelerated: bool) -> list[str]:
    """QEMU's whole command line: UEFI, GRUB's partition, the root disk, the host's own files, a port of this machine's loopback."""
    words = [PROGRAM, *(WITH_KVM if accelerated else EMULATED), *MACHINE, *NO_EXTRAS]
    words += [*SECURE, *_firmware(files.firmware, ".secboot")] if files.secure.exists() else _firmware(files.firmware)
    words += _drives(image, files.disk)
    words += ["-drive", f"if=none,id=host,file={files.host},format=raw,readonly=on"]
    words += ["-device", "virtio-blk-pci,drive=host,serial=lab-host"]
    words += [
        "-netdev",
        f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device",
        "virtio-net-pci,netdev=net,romfile=",
    ]
    words += ["-fw_cfg", f"name={BOARDS},file={files.boards}"] if files.boards.stat().st_size else []
    words += ["-chardev", f"file,id=console,path={files.console},append=on", "-serial", "chardev:console"]
    return [*words, "-pidfile", str(files.qemu)]


def _firmware(variables: Path | None = None, kind: str = "") -> list[str]:
    drive = "if=pflash,format=raw"
    words = ["-drive", f"{drive},readonly=on,file={FIRMWARE / f'OVMF_CODE_4M{kind}.fd'}"]
    return words + (["-drive", f"{drive},file={variables}"] if variables else [])


def _drives(image: Image, disk: Path) -> list[str]:
    """The root is GRUB's first drive, the loader's partition what the firmware starts: it connects only what has a boot index."""
    words = ["-drive", f"if=none,id=root,file={disk},format=qcow2,cache=unsafe"]
    words += ["-device", "virtio-blk-pci,drive=root,serial=lab-root,bootindex=1"]
    words += ["-drive", f"if=none,id=esp,file={image.esp},format=raw,readonly=on"]
    return [*words, "-device", "virtio-blk-pci,drive=esp,serial=lab-esp,bootindex=0"]


def power_on(files: Files, argv: Sequence[str]) -> None:
    """Start the machine and its keeper, who stays."""
    files.qemu.unlink(missing_ok=True)
    keeper = [sys.executable, "-m", "tests.lab.hosts.vm.keeper", *argv]
    with files.log.open("wb") as log:
        process = subprocess.Popen(
            keeper, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    files.pid.write_text(str(process.pid))
    until = time.monotonic() + STARTED_S
    while not files.qemu.exists():
        if process.poll() is not None or time.monotonic() > until:
            process.terminate()
            raise LabError(f"{files.folder.name}: QEMU does not start: {files.log.read_text().strip()}")
        time.sleep(0.1)


def running(files: Files) -> bool:
    """Whether the process in the pid file is this very machine's keeper."""
    try:
        words = Path(f"/proc/{files.pid.read_text().strip()}/cmdline").read_bytes()
    except OSError:
        return False
    return str(files.disk).encode() in words


def power_cut(files: Files) -> None:
    """Take the power away: what the guest had not written to its disk yet is lost."""
    if not running(files):
        return
    os.kill(int(files.pid.read_text()), signal.SIGTERM)
    until = time.monotonic() + 20
    while running(files):
        if time.monotonic() > until:
            raise LabError(f"{files.folder.name}: its process {files.pid.read_text()} did not end within 20 s")
        time.sleep(0.1)


def free_port(taken: Iterable[int]) -> int:
    """A port of the loopback that nothing listens on and that no other machine of the lab has."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def accelerated(image: Image) -> bool:
    """Whether KVM boots a stock kernel here: asked once per machine boot and image, by a boot that says a line.

    /dev/kvm alone tells nothing: nested and paravirtual kinds have it and do not start a stock kernel.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer = cache() / "vm" / f"kvm-{boot}-{image.root.parent.name}"
    if not answer.exists():
        answer.write_text("yes" if _boots_with_kvm(image) else "no")
    return answer.read_text() == "yes"


def _boots_with_kvm(image: Image) -> bool:
    """OVMF and GRUB with KVM: the loader's line on the serial console within some seconds."""
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder) / "disk.qcow2"
        overlay(image, disk)
        words = [PROGRAM, *WITH_KVM, *MACHINE, *NO_EXTRAS, "-serial", "stdio", "-no-reboot"]
        words += [*_firmware(), *_drives(image, disk)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            said, _ = process.communicate(timeout=PROBE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    return b"Starting systemd-udevd" in said  # by the initramfs: firmware, loader and kernel are behind it


def overlay(image: Image, disk: Path) -> None:
    """A disk that writes beside the image."""
    machine.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image.root), "-F", "raw", str(disk)])
