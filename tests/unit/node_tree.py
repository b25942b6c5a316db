"""A node's file system in a folder, made from captures, and its nvidia-smi as a table: what ``_driver.state.read`` reads."""

from __future__ import annotations

import os
from pathlib import Path

from node_builder import STEMS

from ansible_collections.t9k.gpu.plugins.module_utils._command import NOT_FOUND, Result

HOUR = 3600.0
KERNEL = "6.8.0-60-generic"
H200 = "h200-sxm-580-open"
OS = {
    "debian-12": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
    "ubuntu-24.04": 'PRETTY_NAME="Ubuntu 24.04.2 LTS"\nID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n',
}
#: The family by the page of nvidia-driver-580-server-open at packages.ubuntu.com.
DRIVER = dict.fromkeys(
    ("nvidia-dkms-580-server-open", *(f"{stem}-580-server" for stem in STEMS)), "580.159.04-0ubuntu1"
)


class Tree:
    """``write`` gives every file one age unless told otherwise; ``run`` stands for the commands of the node."""

    def __init__(self, root: Path, fixtures: Path) -> None:
        self.root, self.fixtures = root, fixtures
        self.calls: list[list[str]] = []
        self.smi: str | None = None

    def write(self, path: str, content: str | bytes = "", time: float = HOUR) -> Path:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(place, (time, time))
        return place

    def plug(self, address: str, device: str, kind: str = "0x030200", driver: str | None = None) -> None:
        folder = f"/sys/bus/pci/devices/{address}"
        for name, text in {"vendor": "0x10de", "device": device, "class": kind, "numa_node": "0"}.items():
            self.write(f"{folder}/{name}", text + "\n")
        if driver:
            (self.root / folder[1:] / "driver").symlink_to(f"/nowhere/{driver}")

    def install(self, versions: dict[str, str], want: str = "hold") -> None:
        stanzas = (
            f"Package: {name}\nStatus: {want} ok installed\nArchitecture: amd64\nVersion: {version}\n"
            for name, version in versions.items()
        )
        self.write("/var/lib/dpkg/status", "\n".join(stanzas))

    def capture(self, name: str) -> str:
        return (self.fixtures / name).read_text()

    def run(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        """nvidia-smi answers with ``smi``, apt that it would purge nothing but what it is told; nothing else is there."""
        self.calls.append(argv)
        if argv[0] == "nvidia-smi" and self.smi is not None:
            return Result(tuple(argv), 0, self.smi, "")
        if argv[:4] == ["apt-get", "-s", "-q", "purge"]:
            return Result(tuple(argv), 0, "", "")
        return Result(tuple(argv), NOT_FOUND, "", f"{argv[0]}: not found")

    def snapshot(self) -> dict[str, tuple[float, bytes]]:
        files = (path for path in sorted(self.root.rglob("*")) if path.is_file())
        return {str(path): (path.stat().st_mtime, path.read_bytes()) for path in files}


def bare_debian(root: Path, fixtures: Path) -> Tree:
    """An A40 and no driver."""
    tree = Tree(root, fixtures)
    tree.write("/etc/os-release", OS["debian-12"])
    tree.write("/proc/sys/kernel/osrelease", "6.1.0-30-amd64\n")
    tree.write("/proc/sys/kernel/random/boot_id", "the-boot\n")
    tree.plug("0000:18:00.0", "0x2235")
    tree.install({"openssh-server": "1:9.2p1-2"}, want="install")
    return tree


def h200_node(root: Path, fixtures: Path, unit: str = "units/derived-debian.service") -> Tree:
    """The H200 host's own nvidia-smi and procfs, with the open driver's packages held and the daemon as ``unit`` has it."""
    tree = Tree(root, fixtures)
    tree.write("/etc/os-release", OS["ubuntu-24.04"])
    tree.write("/proc/sys/kernel/osrelease", f"{KERNEL}\n")
    tree.write("/proc/sys/kernel/random/boot_id", "the-boot\n")
    tree.plug("0000:00:06.0", "0x2335", driver="nvidia")
    tree.install(DRIVER)
    for name in ("version", "params"):
        tree.write(f"/proc/driver/nvidia/{name}", tree.capture(f"{H200}/proc-driver-nvidia-{name}.txt"))
    information = tree.capture(f"{H200}/proc-driver-nvidia-gpu-information.txt")
    tree.write("/proc/driver/nvidia/gpus/0000:00:06.0/information", information)
    tree.write("/lib/systemd/system/nvidia-persistenced.service", tree.capture(unit))
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "nvidia-persistenced.service").symlink_to("/lib/systemd/system/nvidia-persistenced.service")
    tree.smi = tree.capture(f"{H200}/nvidia-smi-q.xml")
    return tree
