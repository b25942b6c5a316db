# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what the loaded nvidia module says of itself in procfs and sysfs."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import normal_address

PROC = "/proc/driver/nvidia"
MODULE = "/sys/module/nvidia"

#: The main module's name on disk; Debian builds ``nvidia-current``, ``nvidia-tesla-535`` and such. Not the modules beside it.
MODULE_NAME = r"nvidia(?:-(?:current|tesla|legacy)(?:-(?!uvm|drm|modeset|peermem)\w+)*)?"
MODULE_FILE = re.compile(rf"{MODULE_NAME}\.ko[.\w]*")
_VERSION = re.compile(r"^NVRM version:.*?\s(\d+(?:\.\d+)+)(?:\s|$)", re.MULTILINE)


@dataclass(frozen=True)
class GpuInformation:
    """``/proc/driver/nvidia/gpus/<address>/information``. A GPU that nobody has opened yet has question marks in its
    UUID; then nothing is known of its firmware either."""

    model: str | None
    uuid: str | None
    firmware_version: str | None

    @property
    def gsp_enabled(self) -> bool | None:
        """Tell whether GSP runs: it shows the version of its firmware; without it the line is absent or says N/A."""
        if self.firmware_version is not None:
            return True
        return None if self.uuid is None else False


@dataclass(frozen=True)
class KernelModule:
    """The module ``nvidia`` as it is loaded now. ``kernel_modules``: open or proprietary."""

    loaded: bool
    version: str | None = None
    kernel_modules: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    gpus: dict[str, GpuInformation] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read(root: str = "/") -> KernelModule:
    """Return the loaded module; ``loaded`` is False where there is none."""
    version_file = read_text(under(root, f"{PROC}/version"))
    if version_file is None and not under(root, MODULE).is_dir():
        return KernelModule(loaded=False)
    version, kind = parse_version(version_file or "")
    if version is None:
        version = (read_text(under(root, f"{MODULE}/version")) or "").strip() or None
    params = parse_colon_lines(read_text(under(root, f"{PROC}/params")) or "")
    return KernelModule(True, version, kind, params, _read_gpus(root))


def parse_version(text: str) -> tuple[str | None, str | None]:
    """Return version and kind, open or proprietary, from ``/proc/driver/nvidia/version``."""
    found = _VERSION.search(text)
    if found is None:
        return None, None
    line = found.group(0)
    if "Open Kernel Module" in line:
        return found.group(1), "open"
    return found.group(1), "proprietary" if "Kernel Module" in line else None


def parse_colon_lines(text: str) -> dict[str, str]:
    """Parse ``Key: value`` lines; quotes around a value are dropped."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip().strip('"') for key, colon, value in pairs if colon and key.strip()}


def parse_information(text: str) -> GpuInformation:
    """Parse one GPU's ``information`` file."""
    lines = parse_colon_lines(text)
    known = {key: value for key, value in lines.items() if value and "?" not in value and value.upper() != "N/A"}
    return GpuInformation(known.get("Model"), known.get("GPU UUID"), known.get("GPU Firmware"))


def _read_gpus(root: str) -> dict[str, GpuInformation]:
    folder = under(root, f"{PROC}/gpus")
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    texts = ((name, read_text(folder / name / "information")) for name in names)
    return {normal_address(name) or name: parse_information(text) for name, text in texts if text is not None}
