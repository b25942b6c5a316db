#!/usr/bin/python3
"""Stand-in for the hardware and for loading the driver, once per boot, before sshd.

Makes the host's own boot id, its PCI tree, and - where an NVIDIA kernel module package is installed and modprobe's
configuration lets it load - /proc/driver/nvidia and /sys/module/nvidia. The machine's own are hidden. `boot load` is the
part that loads the driver, which the fault module-late puts off.

Sources: /proc/driver/nvidia and the names in it, a capture (tests/unit/fixtures/h200-sxm-580-open); the PCI tree,
Documentation/ABI/testing/sysfs-bus-pci of Linux (physfn, virtfnN, sriov_*); the module's words on a GPU that has fallen
off the bus at boot, and that it has no device and no line in /proc then, a kernel log in NVIDIA/NVSentinel issue 155; that
it names itself there when it is loaded, a kernel log in NVIDIA/open-gpu-kernel-modules issue 421;
virtual functions from function 4 on, NVIDIA's vGPU user guide ("virtfn0 -> ../0000:41:00.4").
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import struct
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hardware
from hardware import STATE, Gpu

PCI = Path("/sys/bus/pci/devices")
MODULES, PROC, BUS = STATE / "sys-module", STATE / "proc-driver", STATE / "pci"
#: What the module says of a GPU that is on the bus and does not answer when the module is loaded.
OFF_BUS = (
    "NVRM: The NVIDIA GPU {gpu.address}",
    "               NVRM: (PCI ID: 10de:{device}) installed in this system has",
    "               NVRM: fallen off the bus and is not responding to commands.",
    "NVRM: The NVIDIA probe routine failed for 1 device(s).",
)
DEBIAN_MODULES = {  # kernel module package of Debian -> flavour
    "nvidia-kernel-dkms": "proprietary",
    "nvidia-kernel-source": "proprietary",
    "nvidia-open-kernel-dkms": "open",
    "nvidia-open-kernel-source": "open",
}


def main() -> None:
    if sys.argv[1:] == ["load"]:
        load(hardware.host())
        return
    fresh_boot_id()
    if hardware.FAULTS.is_dir():
        shutil.copytree(hardware.FAULTS, hardware.BOOTED_WITH)
    profile = hardware.host()
    bind(kernel_modules(), Path("/sys/module"))
    bind(write(PROC, {}), Path("/proc/driver"))
    bind_pci(pci_tree(profile))
    late = hardware.fault("module-late", at_boot=True)
    if late:  # dkms at boot, a slow board, udev that has much to do: the host is long up before its GPUs are
        # Not by systemd-run, which waits for the boot that waits for this; what a oneshot unit leaves behind lives on.
        subprocess.Popen(["sh", "-c", 'sleep "$1"; exec "$0" load', sys.argv[0], late[0]], start_new_session=True)
    else:
        load(profile)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def load(profile: dict[str, Any]) -> None:
    """Load nouveau or the NVIDIA driver into the trees that are there, as modprobe's configuration has it."""
    gpus, settings = hardware.gpus(profile), modprobe_settings()
    if not hardware.on_bus(profile):
        return
    if profile.get("nouveau", False) and "nouveau" not in settings["blacklist"]:
        write(MODULES / "nouveau", {"refcnt": "0\n", "initstate": "live\n"})
        take("nouveau", hardware.on_bus(profile), profile)
        return
    module = module_to_load(profile, settings)
    if module:
        for gpu in hardware.on_bus(profile):
            if hardware.struck("gpu-off-bus", gpu, at_boot=True):
                hardware.log(*(line.format(gpu=gpu, device=profile["pci_device_id"]) for line in OFF_BUS))
    if module and not gpus:
        hardware.log("NVRM: None of the NVIDIA devices were initialized.")  # and modprobe: No such device
    elif module:
        hardware.log(f"NVRM: loading {name_of(module)}")
        write(MODULES / "nvidia", {"version": f"{module['version']}\n", "refcnt": "0\n", "initstate": "live\n"})
        write(PROC, proc_driver(module, gpus, profile))
        take("nvidia", gpus, profile)
        hardware.MODULE.write_text(json.dumps(module))
        hardware.CUDA_DEVICES.write_text(hardware.cuda_devices(module, gpus, profile))
        # udev's part: the driver's appearance wants the persistence daemon
        run("systemctl", "start", "--no-block", "gpu-stand-in-device.service")


def bind(source: Path, target: Path) -> None:
    run("mount", "--bind", str(source), str(target))


def fresh_boot_id() -> None:
    """A container has the machine's boot id; a host that reboots has a new one."""
    STATE.mkdir(parents=True, exist_ok=True)
    path = STATE / "boot_id"
    path.write_text(f"{uuid.uuid4()}\n")
    bind(path, Path("/proc/sys/kernel/random/boot_id"))


def modprobe_settings() -> dict[str, Any]:
    """blacklisted names, options per module and the module that 'nvidia' really is, as modprobe itself reads them."""
    shown = subprocess.run(["modprobe", "--showconfig"], capture_output=True, text=True, check=False).stdout
    out: dict[str, Any] = {"blacklist": set(), "options": {}, "nvidia": "nvidia"}
    for line in shown.splitlines():
        words = line.split()
        if words[:1] == ["blacklist"] or (words[:1] == ["alias"] and words[2:] == ["off"]):
            out["blacklist"].add(words[1])
        elif words[:1] == ["options"]:
            out["options"].setdefault(words[1].replace("-", "_"), []).extend(words[2:])
        elif words[:2] == ["install", "nvidia"]:
            real = re.search(r"modprobe .*?-i ([\w-]+)", line)
            out["nvidia"] = real.group(1).replace("-", "_") if real else out["nvidia"]
    return out


def module_to_load(profile: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any] | None:
    found = built_module() or debian_module()
    if found is None or settings["blacklist"] & {"nvidia", settings["nvidia"]}:
        return None
    refused = hardware.fault("module-refused")
    if refused and {"any", found["version"]} & set(refused):
        return None
    params = dict(word.split("=", 1) for word in settings["options"].get(settings["nvidia"], []) if "=" in word)
    off = found["flavour"] == "proprietary" and params.get("NVreg_EnableGpuFirmware") == "0"
    return {**found, "params": params, "gsp": bool(profile.get("gsp_default", True)) and not off}


def built_module() -> dict[str, Any] | None:
    """The lab's test packages put a text where nvidia.ko would be; depmod prefers updates/."""
    modules = Path("/lib/modules") / platform.release()
    paths = [modules / "updates/dkms/nvidia.ko", *sorted(modules.glob("kernel/nvidia-*/nvidia.ko"))]
    return next((json.loads(path.read_text()) for path in paths if path.exists()), None)


def debian_module() -> dict[str, Any] | None:
    """Debian's real packages cannot be built for every kernel: what dpkg has installed counts as built."""
    argv = ["dpkg-query", "-W", "-f", "${binary:Package} ${db:Status-Status} ${Version}\n", *DEBIAN_MODULES]
    for line in subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines():
        name, status, version = line.split()[:3]
        if status == "installed":
            upstream = re.sub(r"^\d+:", "", version).rsplit("-", 1)[0]
            return {"version": upstream, "flavour": DEBIAN_MODULES[name.split(":")[0]]}
    return None


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def kernel_modules() -> Path:
    """/sys/module: links to the machine's entries, GPU drivers' own excepted."""
    machine = STATE / "machine-sys-module"
    machine.mkdir()
    MODULES.mkdir()
    bind(Path("/sys/module"), machine)
    for entry in machine.iterdir():
        if not entry.name.startswith(("nvidia", "nouveau", "nova")):
            (MODULES / entry.name).symlink_to(entry)
    return MODULES


def name_of(module: dict[str, Any]) -> str:
    """What the module calls itself, when it is loaded and in /proc."""
    kind = "Open Kernel Module for x86_64" if module["flavour"] == "open" else "x86_64 Kernel Module"
    return f"NVIDIA UNIX {kind}  {module['version']}  Release Build  (stand-in)"


def proc_driver(module: dict[str, Any], gpus: list[Gpu], profile: dict[str, Any]) -> dict[str, str]:
    """/proc/driver of a loaded module."""
    version = f"NVRM version: {name_of(module)}\n"
    params = hardware.capture(profile, "proc-driver-nvidia-params.txt")
    for name, value in module["params"].items():
        key = name.replace("NVreg_", "")
        params = re.sub(rf"(?m)^{re.escape(key)}: .*$", f"{key}: {value}", params)
    files = {"nvidia/version": version + "GCC version:  gcc version 12.2.0 (stand-in)\n", "nvidia/params": params}
    for gpu in gpus:
        files[f"nvidia/gpus/{gpu.address}/information"] = information(module, gpu, profile)
    return files


def information(module: dict[str, Any], gpu: Gpu, profile: dict[str, Any]) -> str:
    """The capture with this GPU's fields; the firmware line is there only while GSP runs."""
    fields = {
        "Model": profile["product_name"],
        "GPU UUID": gpu.uuid,
        "Bus Location": gpu.address,
        "Device Minor": str(gpu.index),
        "GPU Firmware": module["version"] if module["gsp"] else None,
    }
    lines = []
    for line in hardware.capture(profile, "proc-driver-nvidia-gpu-information.txt").splitlines():
        key, _, rest = line.partition(":")
        if key in fields and fields[key] is None:
            continue
        blank = rest[: len(rest) - len(rest.lstrip())]
        lines.append(f"{key}:{blank}{fields[key]}" if key in fields else line)
    return "\n".join(lines) + "\n"


def switches(profile: dict[str, Any]) -> list[str]:
    return [f"0000:c{index:x}:00.0" for index in range(int(profile.get("nvswitches", 0)))]


def pci_tree(profile: dict[str, Any]) -> Path:
    """One folder per device, as lspci and readers of sysfs want it."""
    write(BUS, {})
    device = int(profile.get("pci_device_id", "0"), 16)
    for gpu in hardware.on_bus(profile):
        pci_device(BUS / gpu.address, device, 0x030200, gpu.numa_node)
    for address in switches(profile):
        pci_device(BUS / address, 0x22A3, 0x068000, 0)
    functions = hardware.fault("sriov", at_boot=True)
    if functions:
        virtual_functions(hardware.on_bus(profile)[0], device, int(functions[0]))
    return BUS


def virtual_functions(gpu: Gpu, device: int, count: int) -> None:
    """The kernel's links between a physical function and its virtual ones, which begin at function 4."""
    slot = gpu.address.rpartition(":")[0]
    (BUS / gpu.address / "sriov_totalvfs").write_text(f"{max(count, 16)}\n")
    (BUS / gpu.address / "sriov_numvfs").write_text(f"{count}\n")
    for number in range(count):
        address = f"{slot}:{(4 + number) // 8:02x}.{(4 + number) % 8}"
        pci_device(BUS / address, device, 0x030200, gpu.numa_node)
        (BUS / address / "physfn").symlink_to(f"../{gpu.address}")
        (BUS / gpu.address / f"virtfn{number}").symlink_to(f"../{address}")


def take(driver: str, gpus: list[Gpu], profile: dict[str, Any]) -> None:
    """Bind the driver to its devices."""
    folder = write(STATE / "drivers" / driver, {})
    for address in (*(gpu.address for gpu in gpus), *switches(profile)):
        (BUS / address / "driver").symlink_to(folder)


def pci_device(folder: Path, device: int, class_id: int, numa_node: int) -> None:
    write(
        folder,
        {
            "vendor": "0x10de\n",
            "device": f"0x{device:04x}\n",
            "class": f"0x{class_id:06x}\n",
            "subsystem_vendor": "0x10de\n",
            "subsystem_device": "0x0000\n",
            "revision": "0xa1\n",
            "irq": "0\n",
            "numa_node": f"{numa_node}\n",
            "resource": "0x0000000000000000 0x0000000000000000 0x0000000000000000\n" * 13,
            "modalias": f"pci:v000010DEd{device:08X}sv000010DEsd00000000bc{class_id >> 16:02X}"
            f"sc{class_id >> 8 & 255:02X}i{class_id & 255:02X}\n",
        },
    )
    class_bytes = class_id.to_bytes(3, "little")
    header = struct.pack("<HHHHB3s", 0x10DE, device, 0, 0, 0xA1, class_bytes)
    (folder / "config").write_bytes(header.ljust(64, b"\0"))


def bind_pci(tree: Path) -> None:
    """Over /sys/bus/pci/devices; a machine without PCI gets a /sys/bus with one."""
    if PCI.is_dir():
        bind(tree, PCI)
        return
    machine, ours = STATE / "machine-sys-bus", STATE / "sys-bus"
    machine.mkdir()
    bind(Path("/sys/bus"), machine)
    (ours / "pci").mkdir(parents=True)
    (ours / "pci/devices").symlink_to(tree)
    for entry in machine.iterdir():
        (ours / entry.name).symlink_to(entry)
    bind(ours, Path("/sys/bus"))


if __name__ == "__main__":
    main()
