#!/usr/bin/python3
"""Stand-in for nvidia-modprobe: loads the driver for who needs it and makes its device files.

From nvidia-modprobe's manual page and its source (NVIDIA/nvidia-modprobe, modprobe-utils): character major 195, a minor for
each GPU, 255 for nvidiactl; nvidia-uvm's major is the one in /proc/devices. NVIDIA's programs run it by themselves, so
nvidia-smi loads a driver that is installed and not loaded yet.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import hardware

GPUS = hardware.PROC / "gpus"


def make_node(name: str, major: int, minor: int) -> None:
    path = Path("/dev") / name
    if not path.exists():
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        path.chmod(0o666)


def main() -> int:
    if not GPUS.is_dir() and subprocess.run(["modprobe", "nvidia"], capture_output=True, check=False).returncode != 0:
        return 1
    for information in sorted(GPUS.glob("*/information")):
        minor = re.search(r"Device Minor:\s+(\d+)", information.read_text())
        if minor:
            make_node(f"nvidia{minor[1]}", 195, int(minor[1]))
    make_node("nvidiactl", 195, 255)
    profile, module = hardware.host(), hardware.loaded_module()
    if module:  # what the stand-in of libcuda.so.1 computes on
        hardware.STATE.mkdir(exist_ok=True)
        gpus = [gpu for gpu in hardware.gpus(profile) if hardware.bound(gpu)]
        hardware.CUDA_DEVICES.write_text(hardware.cuda_devices(module, gpus, profile))
    if "-u" in sys.argv[1:] and subprocess.run(["modprobe", "nvidia-uvm"], check=False).returncode == 0:
        major = re.search(r"^\s*(\d+) nvidia-uvm$", Path("/proc/devices").read_text(), re.MULTILINE)
        if major:
            make_node("nvidia-uvm", int(major[1]), 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
