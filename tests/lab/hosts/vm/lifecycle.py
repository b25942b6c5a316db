"""Bring a lab's virtual machines up, cut their power, take them down."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.lab.hosts import image as containers
from tests.lab.hosts.vm import image, qemu
from tests.lab.log import say
from tests.lab.spec import Host
from tests.lab.state import Lab


def files_of(lab: Lab, host: str) -> qemu.Files:
    return qemu.Files(lab.machines / host)


def names(lab: Lab) -> list[str]:
    """Every virtual machine that the lab has, running or not."""
    return sorted(path.name for path in lab.machines.iterdir() if path.is_dir()) if lab.machines.is_dir() else []


def ensure(lab: Lab, host: Host, content: Mapping[str, bytes]) -> int:
    """The host as wanted and powered on; one that already is stays as it is. Returns its ssh port on the loopback."""
    disks = image.ensure(host.os)
    files, key = files_of(lab, host.name), _key(disks, host, content)
    port, stamp = files.folder / "port", files.folder / "key"
    if not stamp.exists() or stamp.read_text() != key:
        remove(lab, host.name)
        files.folder.mkdir(parents=True)
        qemu.overlay(disks, files.disk)
        shutil.copy(disks.variables if host.secure_boot else image.FIRMWARE / "OVMF_VARS_4M.fd", files.firmware)
        files.secure.touch() if host.secure_boot else None
        files.host.write_bytes(containers.tar({**content, "etc/hostname": f"{host.name}\n".encode()}))
        profile = {"lab": lab.name, "host": host.name, **host.profile()}
        files.boards.write_text(qemu.boards(profile))
        port.write_text(str(qemu.free_port(_ports(lab))))
        (files.folder / "image").write_text(str(disks.root.parent))
        stamp.write_text(key)
    power_on(lab, host.name)
    return int(port.read_text())


def is_ours(lab: Lab, host: str) -> bool:
    return files_of(lab, host).folder.is_dir()


def power_on(lab: Lab, host: str) -> None:
    """Nothing where the machine runs already."""
    files = files_of(lab, host)
    if qemu.running(files):
        return
    disks = image.at(Path((files.folder / "image").read_text()))
    accelerated = qemu.accelerated(disks)
    say(f"{lab.name}: {host} starts, {'with KVM' if accelerated else 'emulated'}")
    qemu.power_on(files, qemu.command(files, disks, int((files.folder / "port").read_text()), accelerated))


def power_cut(lab: Lab, host: str) -> None:
    qemu.power_cut(files_of(lab, host))


def remove(lab: Lab, host: str) -> None:
    """Nothing of the machine stays."""
    files = files_of(lab, host)
    power_cut(lab, host)
    shutil.rmtree(files.folder, ignore_errors=True)


def status(lab: Lab) -> list[tuple[str, str]]:
    return [(name, "running" if qemu.running(files_of(lab, name)) else "off") for name in names(lab)]


def _key(disks: image.Image, host: Host, content: Mapping[str, bytes]) -> str:
    made_from = f"{disks.root} {host}".encode() + b"".join(content.values())
    return hashlib.sha256(made_from).hexdigest()[:16]


def _ports(lab: Lab) -> list[int]:
    """Of all labs, since a machine that is off has its port still."""
    return [int(path.read_text()) for path in Path(lab.machines).parents[1].glob("*/machines/*/port")]
