"""The disks that virtual machines start from, made natively: no loop device, no emulation, nothing booted.

mmdebstrap makes the system, a chroot runs ``guest/setup.sh`` in it, ``mke2fs -d`` turns the folder into a file system. The EFI
system partition is an image of its own that holds shim and GRUB as Debian has them signed, and hands over to the root's own
/boot/grub/grub.cfg. Kept in the cache by a hash of all that goes in.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
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
FIRMWARE = Path("/usr/share/OVMF")
KERNELS = HERE / "guest/kernels.sh"
RELEASES = {"debian-12": "bookworm", "debian-13": "trixie", "ubuntu-like": "bookworm"}
#: The driver that ubuntu-like has pre-built modules of.
PREBUILT = "535.161.08"
ROOT_UUID = "5f2d8c7e-6f0e-4a0b-9d1c-7a3b6c1e9f10"
ROOT_LABEL = "lab-root"
SIZE = "8G"
KEPT_S = 3 * 24 * 3600.0
#: The last two: what the firmware loads, signed by Microsoft, and what that loads, signed by Debian.
TOOLS = (
    *("dkms", "gcc", "make", "libc6-dev", "zstd", "grub2-common", "grub-efi-amd64-bin", "adduser", "psmisc"),
    *("ccache", "shim-signed", "grub-efi-amd64-signed"),
)
SIGNED = {
    "usr/lib/shim/shimx64.efi.signed": "BOOT/BOOTX64.EFI",
    "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": "BOOT/grubx64.efi",
}
#: Keys that the firmware of a machine with Secure Boot has enrolled; their owner is a number of ours.
ENROLLED = ("usr/share/lab/boards.der", "usr/share/lab/mok.der")
OWNER = "0b6f1c2e-6a39-4f0e-8a8e-54396b2d6b01"
#: The kernel that is installed, and the package of the one that is not yet.
KERNELS_THERE = (
    re.compile(r"^\./boot/vmlinuz-(\S+(?<!cloud)-amd64)$", re.MULTILINE),
    re.compile(r"^\./srv/kernels/next/linux-image-(\d[^_]+)_", re.MULTILINE),
)
#: A shell in the system ($0), which sees this machine's processes and devices as long as it lasts.
CHROOT = (
    'mount --bind /proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" env --ignore-environment "$@" sh'
)
#: Where a file of guest/ goes.
PLACES = {
    "initramfs-hook": "etc/initramfs-tools/hooks/lab",
    "initramfs-script": "etc/initramfs-tools/scripts/init-premount/lab",
    "initramfs-modules": "etc/initramfs-tools/modules",
    "initramfs-conf": "etc/initramfs-tools/conf.d/lab",
    "lab-host.service": "etc/systemd/system/lab-host.service",
    "lab-network.service": "etc/systemd/system/lab-network.service",
    "grub": "etc/default/grub",
    "ccache.conf": "etc/ccache.conf",
    "kernel-hook": "etc/kernel/postinst.d/0-lab",
}


@dataclass(frozen=True)
class Image:
    """What a machine boots from; nothing writes to any of them. ``variables``: the firmware's, with Secure Boot on."""

    root: Path
    esp: Path
    variables: Path


def ensure(system: str) -> Image:
    """The image of a system; made where it is not there, by one process at a time."""
    release = RELEASES[system]
    base = {"packages": " ".join((*image.PACKAGES, *TOOLS)), "mirrors": " ".join(image.mirrors(release))}
    base_key = image.digest({"kernels": KERNELS.read_bytes(), **{key: value.encode() for key, value in base.items()}})
    inputs = {"base": base_key, "size": SIZE, "places": str((PLACES, SIGNED, ENROLLED))}
    with locked("vm-images"):
        tar = _base(release, cache() / "vm" / f"{release}-base-{base_key}.tar")
        files = content(system, _kernels(tar))
        key = image.digest({**files, **{name: value.encode() for name, value in inputs.items()}, **_guest()})
        folder = cache() / "vm" / f"{system}-{key}"
        if not folder.is_dir():
            say(f"making the disk of {system} (about a minute)")
            _make(tar, files, folder)
            _forget_older(folder)
    return at(folder)


def at(folder: Path) -> Image:
    return Image(folder / "root.img", folder / "esp.img", folder / "variables.fd")


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
        say(f"building {release} with its kernels by mmdebstrap (three minutes)")
        tar.parent.mkdir(parents=True, exist_ok=True)
        fresh = tar.with_suffix(".new.tar")
        words = ["--variant=apt", f"--keyring={machine.KEYRING}", f"--include={','.join((*image.PACKAGES, *TOOLS))}"]
        words += [f'--customize-hook=chroot "$1" sh <{shlex.quote(str(KERNELS))}', release, str(fresh)]
        machine.run([*machine.as_root(), "mmdebstrap", *words, *image.mirrors(release)])
        fresh.replace(tar)
    return tar


def _kernels(tar: Path) -> tuple[str, str]:
    """(what the machine has, what an upgrade brings); kept beside the base, which is long to search."""
    kept = tar.with_suffix(".kernels")
    if not kept.exists():
        listed = machine.text(["tar", "--list", "--file", str(tar)])
        kept.write_text(" ".join(found for pattern in KERNELS_THERE for found in pattern.findall(listed)))
    old, new = kept.read_text().split()
    return old, new


def content(system: str, kernels: tuple[str, str]) -> dict[str, bytes]:
    """What the image has on top of the base, by path."""
    files = image.stand_ins("nvidia-smi", "nvidia-persistenced", "nvidia-modprobe")
    del files["etc/dpkg/dpkg.cfg.d/lab"]  # what dpkg has written must survive a power cut, as on any machine
    guest = _guest()
    files.update({place: guest[name] for name, place in PLACES.items()})
    for source in sorted((HERE / "hardware").iterdir()):
        files[f"usr/src/lab-hardware/{source.name}"] = source.read_bytes()
    files["etc/resolv.conf"] = b"nameserver 10.0.2.3\n"
    files["etc/fstab"] = f"UUID={ROOT_UUID} / ext4 errors=remount-ro 0 0\n".encode()
    if system == "ubuntu-like":
        return {**files, **_ubuntu(kernels)}
    release = RELEASES[system]
    files.update({f"srv/debian/{path}": data for path, data in packages.archive(release).items()})
    files["etc/apt/sources.list.d/driver.sources"] = packages.source(release).encode()
    return files


def _ubuntu(kernels: tuple[str, str]) -> dict[str, bytes]:
    """What makes the userland present itself as Ubuntu's, and the source of modules that are built with the image."""
    files = image.ubuntu(kernels[0])  # the other comes from /srv/kernels/next
    source = packages.driver_source(packages.FLAVOURS[0], PREBUILT)
    files.update({f"usr/src/lab-driver/{name}": text.encode() for name, text in source.items()})
    files["usr/lib/lab/prebuilt-in-place"] = (HERE / "guest/prebuilt").read_bytes()
    files["etc/apt/apt.conf.d/90lab"] = b'DPkg::Post-Invoke {"sh /usr/lib/lab/prebuilt-in-place";};\n'
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
        inside = [*sudo, "unshare", "--mount", "sh", "-c", CHROOT, str(root)]
        variables = [f"uuid={ROOT_UUID}", f"prebuilt={PREBUILT}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        machine.run([*inside, *variables], stdin=(HERE / "guest/setup.sh").read_bytes())
        disk = fresh / "root.img"
        machine.run(
            [*sudo, "mke2fs", "-q", "-t", "ext4", "-L", ROOT_LABEL, "-U", ROOT_UUID, "-d", str(root), str(disk), SIZE]
        )
        _make_esp(root, fresh)
        _make_variables(root, fresh)
        machine.run([*sudo, "rm", "-rf", str(root)])
        fresh.chmod(0o755)
        fresh.rename(folder)
    except BaseException:
        machine.run([*sudo, "rm", "-rf", str(fresh)], check=False)
        raise


def _make_esp(root: Path, folder: Path) -> None:
    """The EFI system partition, with the loaders that the system itself has."""
    esp, configuration = folder / "esp.img", folder / "grub.cfg"
    machine.run([shutil.which("mkfs.vfat") or "/usr/sbin/mkfs.vfat", "-C", str(esp), "8192"])
    machine.run(["mmd", "-i", str(esp), "::EFI", "::EFI/BOOT", "::EFI/debian"])
    configuration.write_text((HERE / "guest/esp.cfg").read_text().replace("@UUID@", ROOT_UUID))
    for source, place in {**{root / path: place for path, place in SIGNED.items()}, configuration: "debian"}.items():
        machine.run(["mcopy", "-i", str(esp), str(source), f"::EFI/{place}"])
    configuration.unlink()


def _make_variables(root: Path, folder: Path) -> None:
    """The firmware's memory as machines are delivered, and the keys that shim is told to accept."""
    words = [sys.executable, "-m", "virt.firmware.vars", "--input", str(FIRMWARE / "OVMF_VARS_4M.ms.fd")]
    for path in ENROLLED:
        words += ["--add-mok", OWNER, str(root / path)]
    machine.run([*words, "--output", str(folder / "variables.fd")])
