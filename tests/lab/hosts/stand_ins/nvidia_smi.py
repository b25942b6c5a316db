#!/usr/bin/python3
"""Stand-in for nvidia-smi: answers from a real capture, with this host's hardware and live state written over it.

Live are the versions of module and library, persistence, GSP and the faults that are switched on. It is not NVIDIA's
program and knows -q -x, -L, topo -m, --query-gpu, -pm 1 and the plain summary only.

Sources: the document, topo -m and -L, captures (tests/unit/fixtures/h200-sxm-580-open); exit statuses, "RETURN VALUE" of
NVIDIA's nvidia-smi(1); the message of a lost GPU, NVIDIA/dcgm-exporter issue 604 and xxd3vin/workspace issue 19 (older
drivers end it with "Unknown Error"), its end "GPU is lost" NVML's text of error 15; fabric states and their order,
NVIDIA/NVSentinel issue 883, In Progress until the fabric manager acts, NVIDIA/gpu-driver-container pull request 909, none
before Hopper, NVML's nvmlGpuFabricInfo_t; -pm, docs.nvidia.com/deploy/driver-persistence, "Persistence Mode (Legacy)" (a
property of the loaded driver, so it does not outlast a boot), exit status 4, "RETURN VALUE" again; row remapper fields,
the capture, and NVIDIA's "GPU Memory Error Management".
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import hardware
from hardware import STATE, Gpu

NOT_LOADED = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running.\n"
)
LOST = "Unable to determine the device handle for GPU{}: {}: GPU is lost.  Reboot the system to recover this GPU\n"


class EarlyAnswerError(Exception):
    """Text and exit status that end the program."""

    def __init__(self, said: str, status: int = 0) -> None:
        super().__init__(said)
        self.said, self.status = said, status


class Smi:
    def __init__(self) -> None:
        if hardware.MODPROBE.exists() and os.geteuid() == 0:  # as NVIDIA's library does before anything else
            subprocess.run([hardware.MODPROBE], check=False)
        self.profile = hardware.host()
        self.gpus = [gpu for gpu in hardware.gpus(self.profile) if hardware.bound(gpu)]
        self.module: dict[str, Any] = hardware.loaded_module() or {}
        self.persistence = "Enabled" if hardware.persistence() else "Disabled"

    def refuse(self) -> None:
        """The states in which the real program gives one message instead of an answer."""
        said = (hardware.fault("smi") or [""])[0]
        if said == "hang":
            time.sleep(10**6)
        library = hardware.library_version()
        if not self.module:
            raise EarlyAnswerError(NOT_LOADED, 9)
        if library != self.module["version"]:
            line = f"NVML library version: {'.'.join(str(library).split('.')[:2])}\n"
            raise EarlyAnswerError(f"Failed to initialize NVML: Driver/library version mismatch\n{line}", 18)
        if said == "no-devices" or not self.gpus:
            raise EarlyAnswerError("No devices were found\n", 6)
        for gpu in self.gpus:
            if hardware.struck("gpu-lost", gpu):
                raise EarlyAnswerError(LOST.format(gpu.index, bus_id(gpu)[4:]), 15)

    def report(self) -> str:
        """-q -x"""
        capture = hardware.capture(self.profile, "nvidia-smi-q.xml")
        head, rest = capture.split("\t<gpu id=", 1)
        block, tail = rest.split("\t</gpu>\n", 1)
        version = self.module["version"]
        cuda = hardware.cuda_version(version)
        head = fill(head, driver_version=version, cuda_version=cuda, attached_gpus=str(len(self.gpus)))
        if int(version.split(".")[0]) < 575:
            head = head.replace("nvsmi_device_v13.dtd", "nvsmi_device_v12.dtd")
            block = block.replace("Requested functionality has been deprecated", "Disabled")
        text = head + "".join(f"\t<gpu id={self.gpu_block(block, gpu)}\t</gpu>\n" for gpu in self.gpus) + tail
        return text[: len(text) // 2] if hardware.fault("smi") == ["malformed"] else text

    def gpu_block(self, block: str, gpu: Gpu) -> str:
        profile = self.profile
        mig = "Disabled" if profile.get("mig_capable") else "N/A"
        memory = int(profile["memory_mib"])
        domain, bus, rest = gpu.address.split(":")
        block = re.sub(r'^"[^"]*"', f'"{bus_id(gpu)}"', block)
        state, status = self.fabric()
        block = re.sub(r"(<fabric>\s*<state>)[^<]*(</state>\s*<status>)[^<]*", rf"\g<1>{state}\g<2>{status}", block)
        block = re.sub(r"(<total>)\d+ MiB", rf"\g<1>{memory} MiB", block, count=1)
        block = re.sub(r"(<free>)\d+ MiB", rf"\g<1>{memory - 616} MiB", block, count=1)
        return fill(
            block,
            product_name=profile["product_name"],
            product_architecture=profile["architecture"],
            persistence_mode=self.persistence,
            current_mig=mig,
            pending_mig=mig,
            serial=f"{1320000000000 + gpu.index}",
            uuid=gpu.uuid,
            minor_number=str(gpu.index),
            gsp_firmware_version=self.module["version"] if self.module["gsp"] else "N/A",
            virtualization_mode="None",
            pci_bus=bus.upper(),
            pci_device=rest.split(".")[0].upper(),
            pci_domain=domain,
            pci_device_id=f"{profile['pci_device_id'].upper()}10DE",
            pci_bus_id=bus_id(gpu),
            remapped_row_failure="Yes" if hardware.struck("row-remap-failure", gpu) else "No",
        )

    def fabric(self) -> tuple[str, str]:
        """State and status: no fabric without switches, In Progress until the fabric manager has done its work."""
        if not self.profile.get("nvswitches") or self.profile["architecture"] == "Ampere":
            return "N/A", "N/A"
        slow = hardware.fault("fabric-in-progress", at_boot=True)
        boot = time.time() - (STATE / "boot_id").stat().st_mtime
        manager = subprocess.run(["systemctl", "is-active", "--quiet", "nvidia-fabricmanager"], check=False)
        waits = slow and (slow[0] == "forever" or boot < float(slow[0]))
        return ("In Progress", "N/A") if waits or manager.returncode else ("Completed", "Success")

    def listing(self) -> str:
        """-L"""
        name = self.profile["product_name"]
        return "".join(f"GPU {gpu.index}: {name} (UUID: {gpu.uuid})\n" for gpu in self.gpus)

    def topology(self) -> str:
        """topo -m: NODE within a NUMA node, SYS across."""
        cpus = os.cpu_count() or 1
        names = [f"GPU{gpu.index}" for gpu in self.gpus]
        rows = ["\t\033[4m" + "\t".join([*names, "CPU Affinity", "NUMA Affinity", "GPU NUMA ID"]) + "\033[0m"]
        for gpu in self.gpus:
            links = [
                " X " if other == gpu else "NODE" if other.numa_node == gpu.numa_node else "SYS" for other in self.gpus
            ]
            rows.append("\t".join([f"GPU{gpu.index}", *links, f"0-{cpus - 1}", str(gpu.numa_node), "\tN/A"]))
        legend = hardware.capture(self.profile, "nvidia-smi-topo-m.txt").split("\n\n", 1)[1]
        return "\n".join(rows) + "\n\n" + legend

    def query(self, names: str, form: str) -> str:
        """--query-gpu=… --format=csv[,noheader][,nounits]"""
        unit = "" if "nounits" in form else " MiB"
        rows = [] if "noheader" in form else [", ".join(names.split(","))]
        for gpu in self.gpus:
            known = {
                "index": str(gpu.index),
                "count": str(len(self.gpus)),
                "name": self.profile["product_name"],
                "uuid": gpu.uuid,
                "gpu_uuid": gpu.uuid,
                "driver_version": self.module["version"],
                "persistence_mode": self.persistence,
                "memory.total": f"{self.profile['memory_mib']}{unit}",
                "memory.used": f"0{unit}",
                "pci.bus_id": bus_id(gpu),
                "gpu_bus_id": bus_id(gpu),
                "mig.mode.current": "Disabled" if self.profile.get("mig_capable") else "[N/A]",
                "gsp.mode.current": "Enabled" if self.module["gsp"] else "Disabled",
            }
            wanted = [name.strip() for name in names.split(",")]
            unknown = [name for name in wanted if name not in known]
            if unknown:
                raise EarlyAnswerError(f'Field "{unknown[0]}" is not a valid field to query.\n\n', 2)
            rows.append(", ".join(known[name] for name in wanted))
        return "\n".join(rows) + "\n"

    def keep_on(self) -> str:
        """-pm 1"""
        if os.geteuid() != 0:
            raise EarlyAnswerError("Unable to set persistence mode: Insufficient Permissions\n", 4)
        hardware.PERSISTENCE_SET.parent.mkdir(parents=True, exist_ok=True)
        hardware.PERSISTENCE_SET.touch()
        return "".join(f"Enabled persistence mode for GPU {bus_id(gpu)}.\n" for gpu in self.gpus) + "All done.\n"

    def summary(self) -> str:
        """Without arguments: the head of the real table and one line per GPU."""
        version, state = self.module["version"], "On" if self.persistence == "Enabled" else "Off"
        line = "+" + "-" * 79 + "+\n"
        head = f"NVIDIA-SMI {version}   Driver Version: {version}   CUDA Version: {hardware.cuda_version(version)}"
        rows = [f"| {head:<77} |\n", line, f"| {'GPU  Name                 Persistence-M | Bus-Id':<77} |\n", line]
        for gpu in self.gpus:
            row = f"{gpu.index:3}  {self.profile['product_name']:<26} {state:>8} | {bus_id(gpu)}"
            rows.append(f"| {row:<77} |\n")
        return line + "".join(rows) + line


def bus_id(gpu: Gpu) -> str:
    return f"0000{gpu.address.upper()}"


def fill(text: str, **fields: str) -> str:
    """The first element of each name gets the value."""
    for name, value in fields.items():
        text = re.sub(rf"(<{name}>)[^<]*(</{name}>)", rf"\g<1>{value}\g<2>", text, count=1)
    return text


def answer(arguments: Sequence[str]) -> str:
    smi = Smi()
    smi.refuse()
    if arguments and arguments[0].startswith("--query-gpu="):
        return smi.query(arguments[0].split("=", 1)[1], " ".join(arguments[1:]))
    known: dict[tuple[str, ...], Callable[[], str]] = {
        ("-q", "-x"): smi.report,
        ("-x", "-q"): smi.report,
        ("-L",): smi.listing,
        ("--list-gpus",): smi.listing,
        ("topo", "-m"): smi.topology,
        ("-pm", "1"): smi.keep_on,
        (): smi.summary,
    }
    if tuple(arguments) not in known:
        raise EarlyAnswerError(f"Invalid combination of input arguments (the stand-in knows {list(known)}).\n", 2)
    return known[tuple(arguments)]()


def main() -> int:
    try:
        sys.stdout.write(answer(sys.argv[1:]))
    except EarlyAnswerError as ending:
        sys.stdout.write(ending.said)
        return ending.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
