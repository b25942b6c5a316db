"""What is inside the test packages: links to the lab's stand-ins, and texts where libraries and kernel modules would be.

The relations of the packages come from the table; nothing here decides what apt does. Paths are those of Ubuntu's packages:
``kernel/nvidia-535srv/nvidia.ko`` for pre-built modules, ``/usr/src/nvidia-srv-535.161.08`` for dkms.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

STAND_IN = "->/usr/lib/gpu-stand-in"
LIB = "usr/lib/x86_64-linux-gnu"

# From the package nvidia-compute-utils-535-server; tests/unit/fixtures/units holds the same of a real host.
PERSISTENCED = """\
[Unit]
Description=NVIDIA Persistence Daemon
Wants=syslog.target
StopWhenUnneeded=true
Before=systemd-backlight@backlight:nvidia_0.service

[Service]
Type=forking
ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --no-persistence-mode --verbose
ExecStopPost=/bin/rm -rf /var/run/nvidia-persistenced
"""
PERSISTENCED_USER = """\
#!/bin/sh
set -e
id nvidia-persistenced >/dev/null 2>&1 ||
    useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin nvidia-persistenced
[ ! -d /run/systemd/system ] || systemctl daemon-reload
"""
NO_NOUVEAU = "blacklist nouveau\nblacklist lbm-nouveau\nalias nouveau off\n"
AUTOINSTALL = "#!/bin/sh\nset -e\n[ ! -x /usr/sbin/dkms ] || /usr/sbin/dkms autoinstall\n"
DKMS_REMOVE = "#!/bin/sh\n/usr/sbin/dkms remove || true\n"
SERVICE = """\
[Unit]
Description={what} (stand-in)

[Service]
ExecStart={program}

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Contents:
    files: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)


def of_driver(
    stem: str, version: str, flavour: str, *, server: bool, firmware_inside: bool, daemon: str = "nvidia-compute-utils"
) -> Contents:
    """Of a package of a driver's source; ``stem`` is its name without branch and flavour, ``version`` the driver's.

    ``daemon`` is the stem of the package that brings the persistence daemon.
    """
    source = f"usr/src/nvidia-{'srv' if server else ''}{flavour}-{version}".replace("--", "-")
    if stem == "nvidia-utils":
        return Contents({"usr/bin/nvidia-smi": f"{STAND_IN}/nvidia-smi"})
    if stem == daemon:
        return Contents(
            {
                "usr/bin/nvidia-persistenced": f"{STAND_IN}/nvidia-persistenced",
                "lib/systemd/system/nvidia-persistenced.service": PERSISTENCED,
            },
            {"postinst": PERSISTENCED_USER},
        )
    if stem == "nvidia-kernel-common":
        settings = {"lib/modprobe.d/nvidia-graphics-drivers.conf": NO_NOUVEAU}
        return Contents({**settings, **_firmware(version)} if firmware_inside else settings)
    if stem == "nvidia-firmware":
        return Contents(_firmware(version))
    if stem == "nvidia-kernel-source":
        return Contents({f"{source}/stand-in.json": module(version, flavour)})
    if stem == "nvidia-dkms":
        name = source.removeprefix("usr/src/").removesuffix(f"-{version}")
        conf = f'PACKAGE_NAME="{name}"\nPACKAGE_VERSION="{version}"\n'
        return Contents({f"{source}/dkms.conf": conf}, {"postinst": AUTOINSTALL, "prerm": DKMS_REMOVE})
    return Contents(_library(stem, version)) if stem.startswith("libnvidia-") else Contents()


def _firmware(version: str) -> dict[str, str]:
    return {f"lib/firmware/nvidia/{version}/gsp_tu10x.bin": "stand-in\n"}


def _library(stem: str, version: str) -> dict[str, str]:
    files = {f"{LIB}/{stem}.so.{version}": "stand-in of a library\n"}
    if stem == "libnvidia-compute":
        files[f"{LIB}/libnvidia-ml.so.{version}"] = "stand-in of a library\n"
        files[f"{LIB}/libnvidia-ml.so.1"] = f"->libnvidia-ml.so.{version}"
        files[f"{LIB}/libcuda.so.{version}"] = f"{STAND_IN}/libcuda.so"
        files[f"{LIB}/libcuda.so.1"] = f"->libcuda.so.{version}"
    return files


def module(version: str, flavour: str) -> str:
    """The text in the place of nvidia.ko."""
    return json.dumps({"version": version, "flavour": "open" if flavour else "proprietary"}) + "\n"


def of_modules(family: str, flavour: str, version: str, release: str) -> Contents:
    folder = f"nvidia-{family.replace('-server', 'srv')}{flavour}"
    return Contents({f"lib/modules/{release}/kernel/{folder}/nvidia.ko": module(version, flavour)})


def of_headers(release: str) -> Contents:
    files = {
        f"usr/src/linux-headers-{release}/Makefile": "# stand-in\n",
        f"lib/modules/{release}/build": f"->/usr/src/linux-headers-{release}",
    }
    return Contents(files, {"postinst": AUTOINSTALL})


def of_kernel_modules(release: str) -> Contents:
    return Contents({f"lib/modules/{release}/kernel/README": "stand-in\n"})


def of_other(name: str) -> Contents:
    """Of a source that is neither the driver's nor the kernel's."""
    if name == "dkms":
        return Contents({"usr/sbin/dkms": f"{STAND_IN}/dkms"})
    if name.startswith("nvidia-fabricmanager"):
        service = SERVICE.format(what="NVIDIA fabric manager service", program="/usr/bin/nv-fabricmanager")
        program = "#!/bin/sh\n# stand-in: a process of this name\nwhile :; do sleep 3600; done\n"
        return Contents(
            {"lib/systemd/system/nvidia-fabricmanager.service": service, "usr/bin/nv-fabricmanager": program}
        )
    if name.startswith("nvidia-imex"):
        return Contents(
            {
                "lib/systemd/system/nvidia-imex.service": SERVICE.format(
                    what="NVIDIA IMEX service", program="/bin/sleep infinity"
                )
            }
        )
    return Contents()
