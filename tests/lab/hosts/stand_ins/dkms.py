#!/usr/bin/python3
"""Stand-in for dkms on the host that presents itself as Ubuntu: 'builds' by copying a text to where nvidia.ko goes.

As with the real one nothing is built for a kernel whose headers are not installed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

SOURCES = Path("/usr/src")
MODULES = Path("/lib/modules")


def sources() -> list[Path]:
    """Installed driver sources that have a dkms.conf."""
    return [path for path in sorted(SOURCES.glob("nvidia-*")) if (path / "dkms.conf").exists()]


def autoinstall() -> None:
    for kernel in sorted(MODULES.iterdir()):
        if not (kernel / "build").exists():
            print(f"Module build for kernel {kernel.name} was skipped: its headers do not seem to be installed.")
            continue
        for source in sources():
            target = kernel / "updates/dkms/nvidia.ko"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / "stand-in.json", target)


def remove() -> None:
    for path in MODULES.glob("*/updates/dkms/nvidia.ko"):
        path.unlink()


def status() -> None:
    for path in sorted(MODULES.glob("*/updates/dkms/nvidia.ko")):
        for source in sources():
            name, version = source.name.rsplit("-", 1)
            print(f"{name}, {version}, {path.parents[2].name}, x86_64: installed")


if __name__ == "__main__":
    known = {"autoinstall": autoinstall, "remove": remove, "status": status}
    if sys.argv[1:2] and sys.argv[1] not in known:
        sys.exit(f"the stand-in of dkms knows {', '.join(known)}")
    known[(sys.argv[1:2] or ["status"])[0]]()
