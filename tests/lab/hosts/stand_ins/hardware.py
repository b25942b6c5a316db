"""What the stand-ins share: the pretended hardware of this host and the driver that was 'loaded' at boot.

Runs inside a lab host, as /usr/lib/gpu-stand-in/hardware.py. Nothing here is NVIDIA software.

Sources: the form of a UUID, of a bus address and of /proc/driver/nvidia (version; "GPU Firmware:" where GSP runs, the line
absent where it does not), captures (tests/unit/fixtures/h200-sxm-580-open, a40-x7-525); GPUs numbered in the order of their bus
addresses, "index" of NVIDIA's nvidia-smi(1); the version in the library's file name, the files of Ubuntu's and
Debian's libnvidia-compute and libnvidia-ml1; a GPU that does not answer at boot, see boot.py; persistence,
nvidia-persistenced.c (see nvidia_persistenced.py); the CUDA version of a branch, "CUDA Toolkit and Corresponding
Driver Versions" in NVIDIA's CUDA release notes.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HOST = Path("/etc/gpu-stand-in/host.json")
CAPTURES = Path("/usr/lib/gpu-stand-in/captures")
STATE = Path("/run/gpu-stand-in")  # a tmpfs: empty at each boot
MODULE = STATE / "module.json"
#: A file a fault, named after it; its words are the fault's value. The table: tests/lab/faults/table.py.
FAULTS = Path("/var/lib/t9k-gpu-lab/faults")
#: What was in FAULTS when the host booted: a GPU that falls off the bus does not come back while the host is up.
BOOTED_WITH = STATE / "faults"
KERNEL_LOG = STATE / "kernel-log"
CUDA_DEVICES = STATE / "cuda"  # those of libcuda.so.1
PROC = Path("/proc/driver/nvidia")
MODPROBE = Path("/usr/lib/gpu-stand-in/nvidia-modprobe")  # in virtual machines only: a container loads nothing
PERSISTENCED_PID = Path("/run/nvidia-persistenced/nvidia-persistenced.pid")
PERSISTENCE_SET = Path("/run/gpu-stand-in-persistence")  # by nvidia-smi -pm 1; gone with the next boot
BUSES = ("18", "3b", "5e", "86", "af", "d8", "e1", "f1")
#: The first branch that has it -> CUDA; branches between bring nothing newer.
CUDA = {
    418: "10.1",
    440: "10.2",
    450: "11.0",
    455: "11.1",
    460: "11.2",
    465: "11.3",
    470: "11.4",
    495: "11.5",
    510: "11.6",
    515: "11.7",
    520: "11.8",
    525: "12.0",
    530: "12.1",
    535: "12.2",
    545: "12.3",
    550: "12.4",
    555: "12.5",
    560: "12.6",
    565: "12.7",
    570: "12.8",
    575: "12.9",
    580: "13.0",
    590: "13.1",
    595: "13.2",
}


@dataclass(frozen=True)
class Gpu:
    index: int
    slot: int  # its index while all GPUs are well
    address: str  # 0000:3b:00.0
    uuid: str
    numa_node: int


def host() -> dict[str, Any]:
    """The profile of this host (tests/lab/profiles.yml) with its name and the lab's."""
    return json.loads(HOST.read_text())


def fault(name: str, at_boot: bool = False) -> list[str] | None:
    """The words of a fault that is switched on, or was when the host booted; None where it is not."""
    try:
        return ((BOOTED_WITH if at_boot else FAULTS) / name).read_text().split()
    except FileNotFoundError:
        return None


def struck(name: str, gpu: Gpu, at_boot: bool = False) -> bool:
    """Whether the fault is this GPU's: its value is a number as nvidia-smi counts while all GPUs are well."""
    return str(gpu.slot) in (fault(name, at_boot) or [])


def on_bus(profile: dict[str, Any]) -> list[Gpu]:
    """What is in the PCI tree."""
    return [gpu for gpu in fitted(profile) if not struck("gpu-missing", gpu, at_boot=True)]


def gpus(profile: dict[str, Any]) -> list[Gpu]:
    """What the driver has, numbered anew: a GPU that it could not start is no device of its."""
    there = [gpu for gpu in on_bus(profile) if not struck("gpu-off-bus", gpu, at_boot=True)]
    return [replace(gpu, index=index) for index, gpu in enumerate(there)]


def log(*lines: str) -> None:
    """Say it in the kernel's log, as the dmesg stand-in shows it."""
    with KERNEL_LOG.open("a") as file:
        file.writelines(map(line, lines))


def line(text: str) -> str:
    return f"[{time.clock_gettime(time.CLOCK_BOOTTIME):12.6f}] {text}\n"


def fitted(profile: dict[str, Any]) -> list[Gpu]:
    """What was built in."""
    count = int(profile["count"])
    return [
        Gpu(
            index=index,
            slot=index,
            address=f"0000:{BUSES[index % len(BUSES)]}:{index // len(BUSES):02x}.0",
            uuid=f"GPU-{uuid.uuid5(uuid.NAMESPACE_DNS, '{}.{}.{}'.format(index, profile['host'], profile['lab']))}",
            numa_node=0 if index < (count + 1) // 2 else 1,
        )
        for index in range(count)
    ]


def loaded_module() -> dict[str, Any] | None:
    """version, flavour and gsp of the module: as noted at boot in a container, as the kernel says in a virtual machine."""
    if MODULE.exists():
        return json.loads(MODULE.read_text())
    if not (PROC / "version").exists():
        return None
    words = re.search(r"UNIX (Open Kernel Module|\S+ Kernel Module).*?  (\S+)  ", (PROC / "version").read_text())
    flavour = "open" if words and words[1].startswith("Open") else "proprietary"
    gsp = any("GPU Firmware:" in path.read_text() for path in PROC.glob("gpus/*/information"))
    return {"version": words[2] if words else "", "flavour": flavour, "gsp": gsp}


def cuda_devices(module: dict[str, Any], gpus: list[Gpu], profile: dict[str, Any]) -> str:
    """What the stand-in of libcuda.so.1 has for devices; its head tells the form."""
    lines = [f"gpu {gpu.address} {gpu.uuid} {profile['product_name']}" for gpu in gpus]
    switches = ["switches"] if profile.get("nvswitches") else []
    return "\n".join([f"driver {module['version']}", *switches, *lines]) + "\n"


def bound(gpu: Gpu) -> bool:
    """Whether a virtual machine's driver has this GPU: one that another driver holds, or that fell off the bus, it does not."""
    return not MODPROBE.exists() or (PROC / "gpus" / gpu.address).exists()


def library_version() -> str | None:
    """Version in the file name of libnvidia-ml, where the real nvidia-smi gets its own from."""
    libraries = Path("/usr/lib/x86_64-linux-gnu")
    found = [*libraries.glob("libnvidia-ml.so.*.*"), *libraries.glob("nvidia/*/libnvidia-ml.so.*.*")]
    return found[0].name.partition(".so.")[2] if found else None


def persistence() -> bool:
    """Whether nvidia-smi switched it on, or the persistence daemon runs and was not told --no-persistence-mode."""
    if PERSISTENCE_SET.exists():
        return True
    try:
        arguments = Path(f"/proc/{PERSISTENCED_PID.read_text().strip()}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return False
    return any("persistenced" in each for each in arguments) and "--no-persistence-mode" not in arguments


def cuda_version(driver: str) -> str:
    """What nvidia-smi shows: the newest CUDA that the branch has."""
    return CUDA[max(branch for branch in CUDA if branch <= int(driver.split(".")[0]))]


def capture(profile: dict[str, Any], name: str) -> str:
    return (CAPTURES / profile["capture"] / name).read_text()
