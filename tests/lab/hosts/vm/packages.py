"""Debian's packages of the NVIDIA driver with a source inside that dkms builds in seconds.

Names, versions, relations and what each configures follow Debian 12's and 13's own packages (nvidia-graphics-drivers,
nvidia-open-gpu-kernel-modules, nvidia-support, glx-alternatives, nvidia-persistenced, nvidia-modprobe), read with apt-cache show and
from the unpacked files: dkms.conf, nvidia-modprobe.conf, nvidia-load.conf, the unit, the maintainer scripts. Debian hands
/etc/modprobe.d/nvidia.conf, the blacklist and /etc/modules-load.d/nvidia.conf out as alternatives once libcuda.so is there, and
triggers update-initramfs; here the support package brings the same files and the same trigger. The driver itself is
``driver/``, our own. Left out are dependencies on what is no driver (libc6, libgl1, …).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.lab.archive import repository
from tests.lab.archive.deb import Package

HERE = Path(__file__).resolve().parent
COMPONENTS = ("contrib", "non-free", "non-free-firmware")
#: What is not in non-free.
CONTRIB = (
    "nvidia-open",
    "nvidia-persistenced",
    "nvidia-modprobe",
    "nvidia-support",
    "nvidia-installer",
    "nvidia-kernel-common",
    "glx-",
    "update-glx",
)
STAND_IN = "->/usr/lib/gpu-stand-in"
LIB = "usr/lib/x86_64-linux-gnu"
#: Versions of each release, in the order of their age. Debian 12 had 535.247.01 before 535.261.03.
DRIVERS = {
    "bookworm": ("535.247.01-1~deb12u1", "535.261.03-1"),
    "trixie": ("550.163.01-2",),
}
#: Packages with a version of their own, and which: (persistenced, modprobe, the support packages).
OTHERS = {
    "bookworm": ("535.171.04-1~deb12u1", "535.161.07-1~deb12u1", "20220217+3~deb12u1"),
    "trixie": ("550.163.01-1", "570.133.07-1", "20240109+1"),
}
#: Packages without anything of use here, and the packages of the same version that each needs.
PLAIN = {
    "libnvidia-ptxjitcompiler1": (),
    "libnvidia-pkcs11-openssl3": (),
    "libglx-nvidia0": (),
    "libegl-nvidia0": (),
    "libgl1-nvidia-glvnd-glx": ("libglx-nvidia0",),
    "nvidia-egl-icd": ("libegl-nvidia0",),
    "nvidia-driver-libs": ("libgl1-nvidia-glvnd-glx", "nvidia-egl-icd"),
    "libnvcuvid1": ("libcuda1",),
    "libnvidia-encode1": ("libnvcuvid1",),
}
PARTS = ("modeset", "drm", "uvm")

PERSISTENCED = """\
[Unit]
Description=NVIDIA Persistence Daemon
Wants=syslog.target

[Service]
Type=forking
ExecStart=/usr/bin/nvidia-persistenced --user nvpd
ExecStopPost=/bin/rm -rf /var/run/nvidia-persistenced

[Install]
WantedBy=multi-user.target
"""
PERSISTENCED_POSTINST = """\
#!/bin/sh
set -e
getent passwd nvpd >/dev/null || adduser --system --group --home /var/run/nvpd/ --no-create-home nvpd
deb-systemd-helper enable nvidia-persistenced.service >/dev/null || true
systemctl daemon-reload || true
deb-systemd-invoke start nvidia-persistenced.service >/dev/null || true
"""
PERSISTENCED_PRERM = """\
#!/bin/sh
[ "$1" != remove ] || deb-systemd-invoke stop nvidia-persistenced.service >/dev/null || true
"""
PERSISTENCED_POSTRM = """\
#!/bin/sh
[ "$1" != purge ] || deb-systemd-helper purge nvidia-persistenced.service >/dev/null || true
"""
INITRAMFS = "#!/bin/sh\nset -e\ndpkg-trigger --no-await update-initramfs\n"


@dataclass(frozen=True)
class Modules:
    """One flavour of the kernel modules: the names that its packages have and give."""

    package: str  # nvidia-kernel, nvidia-open-kernel
    module: str  # nvidia-current, nvidia-current-open
    make: str  # what make is told besides the version


FLAVOURS = (
    Modules("nvidia-kernel", "nvidia-current", ""),
    Modules("nvidia-open-kernel", "nvidia-current-open", "OPEN_MODULES=1"),
)


def packages(release_name: str) -> list[Package]:
    """Everything in the repository of a release."""
    out = list(_unversioned(release_name))
    for version in DRIVERS[release_name]:
        out += [*_libraries(version), *(package for each in FLAVOURS for package in _kernel(each, version))]
    return [replace(package, component=_component(package.name), section="kernel") for package in out]


def _component(name: str) -> str:
    if name.startswith("firmware"):
        return "non-free-firmware"
    return "contrib" if name.startswith(CONTRIB) else "non-free"


def archive(name: str) -> dict[str, bytes]:
    """Every file of the repository, by its path below the archive's root."""
    head = {"Origin": "Debian", "Label": "Debian", "Date": "Sat, 01 Nov 2025 12:00:00 UTC"}
    return repository.pockets(name, head, {"": packages(name)}, COMPONENTS)


def source(name: str) -> str:
    """An apt source of the release with all that a driver needs, so that nothing has to be added."""
    return f"Types: deb\nURIs: file:/srv/debian\nSuites: {name}\nComponents: {' '.join(COMPONENTS)}\nTrusted: yes\n"


def upstream(version: str) -> str:
    return version.rsplit("-", 1)[0]


def _unversioned(name: str) -> Iterator[Package]:
    persistenced, modprobe, support = OTHERS[name]
    yield Package(
        "nvidia-persistenced",
        persistenced,
        {"Depends": "libnvidia-cfg1 | libnvidia-cfg.so.1 | libnvidia-cfg1-any, adduser"},
        {
            "usr/bin/nvidia-persistenced": f"{STAND_IN}/nvidia-persistenced",
            "lib/systemd/system/nvidia-persistenced.service": PERSISTENCED,
        },
        {"postinst": PERSISTENCED_POSTINST, "prerm": PERSISTENCED_PRERM, "postrm": PERSISTENCED_POSTRM},
    )
    yield Package("nvidia-modprobe", modprobe, {}, {"usr/bin/nvidia-modprobe": f"{STAND_IN}/nvidia-modprobe"})
    for small in ("nvidia-support", "nvidia-installer-cleanup", "nvidia-kernel-common"):
        yield Package(small, support)
    glx = "1.2.2"
    yield Package("update-glx", glx)
    yield Package("glx-alternative-mesa", glx, {"Depends": f"update-glx (= {glx})"})
    cleanup = {"Pre-Depends": "nvidia-installer-cleanup"}
    yield Package("glx-diversions", glx, {**cleanup, "Depends": f"glx-alternative-mesa (= {glx})"})
    needs = f"update-glx (= {glx}), glx-diversions (= {glx}), glx-alternative-mesa"
    yield Package("glx-alternative-nvidia", glx, {"Depends": needs})


def _libraries(version: str) -> Iterator[Package]:
    exact, number = f"(= {version})", upstream(version)
    alternative = f"nvidia-alternative {exact}"
    yield Package("nvidia-legacy-check", version, {"Pre-Depends": "nvidia-installer-cleanup (>= 20151021)"})
    yield Package(
        "nvidia-alternative",
        version,
        {
            "Pre-Depends": "nvidia-legacy-check (>= 495)",
            "Depends": "glx-alternative-nvidia (>= 1.2)",
            "Provides": f"nvidia-alternative--kmod-alias, nvidia-alternative-{number}, nvidia-alternative-any",
        },
    )
    for name, needs in PLAIN.items():
        yield Package(name, version, {"Depends": ", ".join(f"{each} {exact}" for each in needs)})
    for name, soname in {"libnvidia-cfg1": "libnvidia-cfg", "libnvidia-ml1": "libnvidia-ml"}.items():
        provides = f"{soname}.so.1 (= {number})"
        yield Package(name, version, {"Depends": alternative, "Provides": provides}, _library(soname, number))
    yield Package(
        "libcuda1",
        version,
        {
            "Pre-Depends": "nvidia-legacy-check (>= 495)",
            "Depends": f"nvidia-support, {alternative}, libnvidia-ptxjitcompiler1 {exact}, libnvidia-pkcs11-openssl3 {exact}",
            "Provides": f"libcuda.so.1 (= {number}), libcuda1-any",
        },
        {**_library("libcuda", number), f"{LIB}/nvidia/current/libcuda.so.{number}": f"{STAND_IN}/libcuda.so"},
    )
    smi = {"usr/bin/nvidia-smi": f"{STAND_IN}/nvidia-smi"}
    yield Package("nvidia-smi", version, {"Depends": f"{alternative}, libnvidia-ml1 {exact}"}, smi)
    firmware = f"firmware-nvidia-gsp-{number}"
    yield Package(
        "firmware-nvidia-gsp",
        version,
        {"Provides": f"firmware-nvidia-gsp (= {number}), {firmware}", "Conflicts": firmware},
        {f"lib/firmware/nvidia/{number}/gsp_tu10x.bin": "stand-in\n"},
    )


def _library(soname: str, number: str) -> dict[str, str]:
    folder = f"{LIB}/nvidia/current"
    return {
        f"{folder}/{soname}.so.{number}": "stand-in of a library\n",
        f"{folder}/{soname}.so.1": f"->{soname}.so.{number}",
        f"{LIB}/{soname}.so.1": f"->nvidia/current/{soname}.so.1",
    }


def _kernel(modules: Modules, version: str) -> Iterator[Package]:
    """The dkms package with the source, and the support package with modprobe's configuration."""
    number, support = upstream(version), f"{modules.package}-support"
    firmware = f"firmware-nvidia-gsp (= {number}) | firmware-nvidia-gsp-{number}"
    place = f"usr/src/{modules.module}-{number}"
    yield Package(
        f"{modules.package}-dkms",
        version,
        {
            "Pre-Depends": "nvidia-installer-cleanup",
            "Depends": f"{firmware}, {support}--v1, dkms (>= 3.0.3-4~)",
            "Provides": f"{modules.package}-{number}, {modules.package}-dkms-any (= {number})",
        },
        {f"{place}/{name}": text for name, text in driver_source(modules, number).items()},
        _dkms_scripts(modules.module, number),
    )
    yield Package(
        support,
        version,
        {
            "Depends": f"nvidia-alternative-{number}, nvidia-kernel-common (>= 20151021), nvidia-modprobe (>= 535)",
            "Provides": f"{support}--v1, nvidia-kernel-support-any",
            "Conflicts": "nvidia-kernel-support-any",
            "Replaces": "nvidia-kernel-support-any",
        },
        {
            "etc/modprobe.d/nvidia.conf": modprobe_configuration(modules.module),
            "etc/modprobe.d/nvidia-blacklists-nouveau.conf": "blacklist nouveau\n",
            "etc/modules-load.d/nvidia.conf": "nvidia-drm\n",
        },
        {"postinst": INITRAMFS, "postrm": INITRAMFS},
    )


def driver_source(modules: Modules, number: str) -> dict[str, str]:
    """What dkms builds: the stand-ins' source and its dkms.conf."""
    files = {path.name: path.read_text() for path in sorted((HERE / "driver").iterdir())}
    files["board.h"] = (HERE / "hardware/board.h").read_text()
    built = ["nvidia", *(f"nvidia-{part}" for part in PARTS)]
    lines = [f'PACKAGE_NAME="{modules.module}"', f'PACKAGE_VERSION="{number}"', "AUTOINSTALL=yes", 'CLEAN="true"']
    make = f"make ${{parallel_jobs+-j$parallel_jobs}} modules KERNEL_UNAME=${{kernelver}} DRIVER_VERSION={number}"
    lines.append(f'MAKE[0]="{make} {modules.make}"')
    for index, name in enumerate(built):
        lines.append(f'BUILT_MODULE_NAME[{index}]="{name}"')
        lines.append(f'DEST_MODULE_NAME[{index}]="{name.replace("nvidia", modules.module, 1)}"')
        lines.append(f'DEST_MODULE_LOCATION[{index}]="/updates/dkms"')
    return {**files, "dkms.conf": "\n".join(lines) + "\n"}


def modprobe_configuration(module: str) -> str:
    """The names that programs use lead to the files' names; the bus's messages to the one driver that is chosen."""
    lines = [f"install nvidia modprobe -i {module} $CMDLINE_OPTS"]
    for part in PARTS:
        first = "nvidia-modeset" if part == "drm" else "nvidia"
        lines.append(f"install nvidia-{part} modprobe {first} ; modprobe -i {module}-{part} $CMDLINE_OPTS")
    lines.append("remove nvidia modprobe -r -i nvidia-drm nvidia-modeset nvidia-uvm nvidia")
    lines.append("remove nvidia-modeset modprobe -r -i nvidia-drm nvidia-modeset")
    lines.append("alias char-major-195* nvidia")
    lines += [f"alias pci:v000010DEd*sv*sd*bc03sc{subclass}i00* nvidia" for subclass in ("02", "00")]
    return "\n".join(lines) + "\n"


def _dkms_scripts(module: str, number: str) -> dict[str, str]:
    """What dh_dkms puts into a package."""
    configure = f'/usr/lib/dkms/common.postinst {module} {number} /usr/share/{module}-dkms "" "$2"'
    remove = f"dkms remove -m {module} -v {number} --all"
    return {
        "postinst": f'#!/bin/sh\nset -e\n[ "$1" != configure ] || {configure}\n',
        "prerm": f'#!/bin/sh\nset -e\n[ -z "$(dkms status -m {module} -v {number})" ] || {remove}\n',
    }
