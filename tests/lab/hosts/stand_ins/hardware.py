"""What the stand-ins share: the pretended hardware of this host and the driver that was 'loaded' at boot.

Runs inside a lab host, as /usr/lib/gpu-stand-in/hardware.py. Nothing here is NVIDIA software.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = Path("/etc/gpu-stand-in/host.json")
CAPTURES = Path("/usr/lib/gpu-stand-in/captures")
STATE = Path("/run/gpu-stand-in")  # a tmpfs: empty at each boot
MODULE = STATE / "module.json"
FAULT = STATE / "fault"
PERSISTENCED_PID = Path("/run/nvidia-persistenced/nvidia-persistenced.pid")
BUSES = ("18", "3b", "5e", "86", "af", "d8", "e1", "f1")
CUDA = {"515": "11.7", "525": "12.0", "535": "12.2", "550": "12.4", "570": "12.8", "580": "13.0"}


@dataclass(frozen=True)
class Gpu:
    index: int
    address: str  # 0000:3b:00.0
    uuid: str
    numa_node: int


def host() -> dict[str, Any]:
    """The profile of this host (tests/lab/profiles.yml) with its name and the lab's."""
    return json.loads(HOST.read_text())


def gpus(profile: dict[str, Any]) -> list[Gpu]:
    count = int(profile["count"])
    return [
        Gpu(
            index=index,
            address=f"0000:{BUSES[index % len(BUSES)]}:{index // len(BUSES):02x}.0",
            uuid=f"GPU-{uuid.uuid5(uuid.NAMESPACE_DNS, '{}.{}.{}'.format(index, profile['host'], profile['lab']))}",
            numa_node=0 if index < (count + 1) // 2 else 1,
        )
        for index in range(count)
    ]


def loaded_module() -> dict[str, Any] | None:
    """version, flavour and gsp of the module 'loaded' at boot."""
    return json.loads(MODULE.read_text()) if MODULE.exists() else None


def library_version() -> str | None:
    """Version in the file name of libnvidia-ml, where the real nvidia-smi gets its own from."""
    libraries = Path("/usr/lib/x86_64-linux-gnu")
    found = [*libraries.glob("libnvidia-ml.so.*.*"), *libraries.glob("nvidia/*/libnvidia-ml.so.*.*")]
    return found[0].name.partition(".so.")[2] if found else None


def fault() -> str:
    """gpu_lost, hang, no_devices or malformed where a test asked for it."""
    return FAULT.read_text().strip() if FAULT.exists() else ""


def persistence() -> bool:
    """Whether the persistence daemon runs and was not told --no-persistence-mode."""
    try:
        arguments = Path(f"/proc/{PERSISTENCED_PID.read_text().strip()}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return False
    return any("persistenced" in each for each in arguments) and "--no-persistence-mode" not in arguments


def cuda_version(driver: str) -> str:
    return CUDA.get(driver.split(".")[0], "13.0")


def capture(profile: dict[str, Any], name: str) -> str:
    return (CAPTURES / profile["capture"] / name).read_text()
