"""The disks that virtual machines start from, made natively: no loop device, no emulation, nothing booted.

mmdebstrap makes the system, a chroot runs ``guest/setup.sh`` in it, ``mke2fs -d`` turns the folder into a file system. The EFI
system partition is an image of its own that holds one GRUB, which hands over to the root's own /boot/grub/grub.cfg. Kept
in the cache by a hash of all that goes in.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab.hosts import image, machine
from tests.lab.hosts.vm import packages
from tests.lab.log import say
from tests.lab.state import cache, locked

HERE = Path(__file__).resolve().parent
RELEASES = {"debian-12": "bookworm", "debian-13": "trixie"}
ROOT_UUID = "5f2d8c7e-6f0e-4a0b-9d1c-7a3b6c1e9f10"
ROOT_LABEL = "lab-root"
SIZE = "8G"
KEPT_S = 3 * 24 * 3600.0
#: Two kernels; the headers of the second are there only while the image is made.
KERNELS = ("linux-image-amd64", "linux-image-cloud-amd64", "linux-headers-amd64", "linux-headers-cloud-amd64")
TOOLS = ("dkms", "gcc", "make", "libc6-dev", "zstd", "grub2-common", "grub-efi-amd64-bin", "adduser", "psmisc")
ESP_MODULES = "ext2 configfile normal echo test"
#: Where a file of guest/ goes.
PLACES = {
    "initramfs-hook": "etc/initramfs-tools/hooks/lab",
    "initramfs-script": "etc/initramfs-tools/scripts/init-premount/lab",
    "initramfs-modules": "etc/initramfs-tools/modules",
    "initramfs-conf": "etc/initramfs-tools/conf.d/lab",
    "lab-host.service": "etc/systemd/system/lab-host.service",
    "lab-network.service": "etc/systemd/system/lab-network.service",
    "grub": "etc/default/grub",
}


@dataclass(frozen=True)
class Image:
    """What a machine boots from; nothing writes to either."""

    root: Path
    esp: Path


def ensure(system: str) -> Image:
    """The image of a system; made where it is not there, by one process at a time."""
    release = RELEASES[system]
    base = {"packages": " ".join((*image.PACKAGES, *KERNELS, *TOOLS)), "mirrors": " ".join(image.mirrors(release))}
    base_key = image.digest({key: value.encode() for key, value in base.items()})
    files = content(system)
    inputs = {"base": base_key, "size": SIZE, "esp": ESP_MODULES, "places": str(PLACES)}
    key = image.digest({**files, **{name: value.encode() for name, value in inputs.items()}, **_guest()})
    folder = cache() / "vm" / f"{system}-{key}"
    with locked("vm-images"):
        if not folder.is_dir():
            tar = _base(release, cache() / "vm" / f"{system}-base-{base_key}.tar")
            say(f"making the disk of {system} (about a minute)")
            _make(tar, files, folder)
            _forget_older(folder)
    return at(folder)


def at(folder: Path) -> Image:
    return Image(folder / "root.img", folder / "esp.img")


def _forget_older(current: Path) -> None:
    """Images of recipes from days ago; other clones on this machine may be using younger ones."""
    for path in current.parent.iterdir():
        if path != current and path.stat().st_mtime < time.time() - KEPT_S:
            machine.run([*machine.as_root(), "rm", "-rf", str(path)])


def _guest() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((HERE / "guest").iterdir())}


def _base(release: str, tar: Path) -> Path:
    """Debian with its kernels, as a tar in the cache."""
    if not tar.exists():
        say(f"building {release} with two kernels by mmdebstrap (two minutes)")
        tar.parent.mkdir(parents=True, exist_ok=True)
        fresh = tar.with_suffix(".new.tar")
        include = ",".join((*image.PACKAGES, *KERNELS, *TOOLS))
        words = ["--variant=apt", f"--keyring={machine.KEYRING}", f"--include={include}", release, str(fresh)]
        machine.run([*machine.as_root(), "mmdebstrap", *words, *image.mirrors(release)])
        fresh.replace(tar)
    return tar


def content(system: str) -> dict[str, bytes]:
    """What the image has on top of the base, by path."""
    files = image.stand_ins("nvidia-smi", "nvidia-persistenced", "nvidia-modprobe")
    guest = _guest()
    files.update({place: guest[name] for name, place in PLACES.items()})
    for source in sorted((HERE / "hardware").iterdir()):
        files[f"usr/src/lab-hardware/{source.name}"] = source.read_bytes()
    files["etc/resolv.conf"] = b"nameserver 10.0.2.3\n"
    files["etc/fstab"] = f"UUID={ROOT_UUID} / ext4 errors=remount-ro 0 0\n".encode()
    release = RELEASES[system]
    files.update({f"srv/debian/{path}": data for path, data in packages.archive(release).items()})
    files["etc/apt/sources.list.d/driver.sources"] = packages.source(release).encode()
    return files


def _make(tar: Path, files: Mapping[str, bytes], folder: Path) -> None:
    """Everything in a folder that gets its name when it is complete."""
    fresh = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    root = fresh / "root"
    root.mkdir()
    sudo = machine.as_root()
    try:
        machine.run([*sudo, "tar", "--extract", "--file", str(tar), "--directory", str(root), "--exclude=./dev/*"])
        machine.run([*sudo, "tar", "--extract", "--directory", str(root), "--no-same-owner"], stdin=image.tar(files))
        chroot = [*sudo, "chroot", str(root), "env", f"uuid={ROOT_UUID}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh"]
        machine.run(chroot, stdin=(HERE / "guest/setup.sh").read_bytes())
        disk = fresh / "root.img"
        machine.run(
            [*sudo, "mke2fs", "-q", "-t", "ext4", "-L", ROOT_LABEL, "-U", ROOT_UUID, "-d", str(root), str(disk), SIZE]
        )
        machine.run([*sudo, "rm", "-rf", str(root)])
        _make_esp(fresh)
        fresh.chmod(0o755)
        fresh.rename(folder)
    except BaseException:
        machine.run([*sudo, "rm", "-rf", str(fresh)], check=False)
        raise


def _make_esp(folder: Path) -> None:
    loader, esp = folder / "BOOTX64.EFI", folder / "esp.img"
    words = ["--format=x86_64-efi", f"--output={loader}", f"--install-modules={ESP_MODULES}"]
    words += ["--fonts=", "--locales=", "--themes=", f"boot/grub/grub.cfg={HERE / 'guest/esp.cfg'}"]
    machine.run(["grub-mkstandalone", *words])
    machine.run([shutil.which("mkfs.vfat") or "/usr/sbin/mkfs.vfat", "-C", str(esp), "4096"])
    machine.run(["mmd", "-i", str(esp), "::EFI", "::EFI/BOOT"])
    machine.run(["mcopy", "-i", str(esp), str(loader), "::EFI/BOOT/BOOTX64.EFI"])
    loader.unlink()
