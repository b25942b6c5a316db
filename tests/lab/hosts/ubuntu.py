"""The test packages of the host that presents itself as Ubuntu 22.04.

Names, versions and relations follow Ubuntu's server driver families, so that holds, pins, upgrades and changes of
branch are decisions of the real apt and dpkg. What the packages contain is a stand-in: links to the lab's own scripts,
and text files in the places of libraries and kernel modules that tell the stand-ins which version is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.lab.hosts.deb import Package

SUITE = "jammy-updates"
RELEASE = {
    "Origin": "Ubuntu",
    "Label": "Ubuntu",
    "Suite": SUITE,
    "Codename": "jammy",
    "Version": "22.04",
    "Date": "Fri, 01 Mar 2024 12:00:00 UTC",
}
OTHER_KERNEL = "5.15.0-91-generic"  # a newer kernel of Ubuntu's that the machine does not run
LIBRARIES = ("cfg1", "compute", "decode", "encode", "extra", "fbc1", "gl")
STAND_IN = "->/usr/lib/gpu-stand-in"
LIB = "usr/lib/x86_64-linux-gnu"


@dataclass(frozen=True)
class Driver:
    """One version of one branch."""

    branch: str
    upstream: str
    suffix: str  # of the package version, e.g. -0ubuntu0.22.04.1
    flavours: tuple[str, ...]  # "" proprietary, "-open"
    prebuilt: bool  # pre-built modules for the running kernel exist; for OTHER_KERNEL they always do
    firmware_package: bool
    replaces: str = ""  # older branch whose names became transitional

    @property
    def version(self) -> str:
        return self.upstream + self.suffix

    @property
    def tail(self) -> str:
        return f"{self.branch}-server"

    def family_range(self, name: str) -> str:
        """Ubuntu's way to bind dkms and kernel-common: any rebuild of the same driver version."""
        return f"{name} (<= {self.upstream}-1), {name} (>= {self.upstream})"


# The older branch has no pre-built modules for the running kernel: there dkms and headers are the way.
DRIVERS = (
    Driver("525", "525.105.17", "-0ubuntu0.22.04.1", ("",), prebuilt=False, firmware_package=False),
    Driver("525", "525.147.05", "-0ubuntu0.22.04.1", ("",), prebuilt=False, firmware_package=False, replaces="515"),
    Driver("535", "535.129.03", "-0ubuntu0.22.04.1", ("", "-open"), prebuilt=True, firmware_package=True),
    Driver("535", "535.161.08", "-0ubuntu2.22.04.1", ("", "-open"), prebuilt=True, firmware_package=True),
)

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
FABRIC_MANAGER = """\
[Unit]
Description=NVIDIA fabric manager service (stand-in)

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true

[Install]
WantedBy=multi-user.target
"""


def packages(kernel: str) -> list[Package]:
    """Everything in the repository for a machine that runs ``kernel``."""
    out = [*_kernels(kernel), _dkms()]
    for driver in DRIVERS:
        out += [*_libraries(driver), *_shared(driver), *_transitional(driver)]
        for flavour in driver.flavours:
            out += [*_modules(driver, flavour, kernel), *_metas(driver, flavour)]
    unique = {(package.name, package.version): package for package in out}
    return list(unique.values())


def flavour_of(kernel: str) -> str:
    """The last part of 5.15.0-91-generic, as Ubuntu's metapackages are named."""
    return "-".join(kernel.split("-")[2:]) or "generic"


def _family(stem: str, driver: Driver, tail: str = "", **fields: str) -> dict[str, str]:
    """Relations that keep two branches apart: each provides the family's name and conflicts with it."""
    return {"Provides": stem, "Conflicts": stem, "Replaces": stem, **fields}


def _libraries(driver: Driver) -> Iterator[Package]:
    exact = f"(= {driver.version})"
    yield Package(f"libnvidia-common-{driver.tail}", driver.version, _family("libnvidia-common", driver))
    for stem in LIBRARIES:
        needs = {"gl": f"libnvidia-common-{driver.tail} {exact}", "decode": f"libnvidia-compute-{driver.tail} {exact}"}
        fields = _family(f"libnvidia-{stem}", driver, Depends=needs.get(stem, ""))
        files = {f"{LIB}/libnvidia-{stem}.so.{driver.upstream}": "stand-in of a library\n"}
        if stem == "compute":
            fields["Provides"] += ", libcuda1, libcuda.so.1, libnvidia-ml1, libnvidia-ml.so.1"
            files[f"{LIB}/libnvidia-ml.so.{driver.upstream}"] = "stand-in of a library\n"
            files[f"{LIB}/libnvidia-ml.so.1"] = f"->libnvidia-ml.so.{driver.upstream}"
        yield Package(f"libnvidia-{stem}-{driver.tail}", driver.version, fields, files)


def _shared(driver: Driver) -> Iterator[Package]:
    """What the proprietary and the open flavour have in common."""
    exact, tail, version = f"(= {driver.version})", driver.tail, driver.version
    compute = f"libnvidia-compute-{tail} {exact}"
    yield Package(
        f"nvidia-utils-{tail}",
        version,
        _family("nvidia-utils", driver, Depends=compute),
        {"usr/bin/nvidia-smi": f"{STAND_IN}/nvidia-smi"},
    )
    yield Package(
        f"nvidia-compute-utils-{tail}",
        version,
        _family("nvidia-compute-utils", driver, Depends=f"libnvidia-cfg1-{tail} {exact}, {compute}, passwd"),
        {
            "usr/bin/nvidia-persistenced": f"{STAND_IN}/nvidia-persistenced",
            "lib/systemd/system/nvidia-persistenced.service": PERSISTENCED,
        },
        {"postinst": PERSISTENCED_USER},
    )
    yield from _kernel_common(driver)
    xorg = f"xserver-xorg-video-nvidia-{tail}"
    yield Package(xorg, version, _family("xserver-xorg-video-nvidia", driver, Depends=f"libnvidia-cfg1-{tail} {exact}"))
    yield Package(
        f"nvidia-fabricmanager-{driver.branch}",
        version.replace("-0ubuntu2", "-0ubuntu0"),
        _family("nvidia-fabricmanager", driver),
        {
            "lib/systemd/system/nvidia-fabricmanager.service": FABRIC_MANAGER,
            "usr/bin/nv-fabricmanager": "#!/bin/sh\necho 'stand-in of the fabric manager'\n",
        },
    )


def _kernel_common(driver: Driver) -> Iterator[Package]:
    """Modprobe's settings, with the firmware inside (525) or in a package named after the version (535)."""
    settings = {"lib/modprobe.d/nvidia-graphics-drivers.conf": NO_NOUVEAU}
    firmware = {f"lib/firmware/nvidia/{driver.upstream}/gsp_tu10x.bin": "stand-in\n"}
    needs = "kmod"
    if driver.firmware_package:
        name = f"nvidia-firmware-{driver.tail}-{driver.upstream}"
        yield Package(name, driver.version, {}, firmware)
        firmware, needs = {}, f"kmod, {name} (= {driver.version})"
    fields = _family("nvidia-kernel-common", driver, Depends=needs)
    yield Package(f"nvidia-kernel-common-{driver.tail}", driver.version, fields, {**settings, **firmware})


def _modules(driver: Driver, flavour: str, kernel: str) -> Iterator[Package]:
    """dkms and its source, and the pre-built modules with the metapackage that stands for dkms."""
    tail, exact = f"{driver.tail}{flavour}", f"(= {driver.version})"
    module = json.dumps({"version": driver.upstream, "flavour": "open" if flavour else "proprietary"}) + "\n"
    source = f"usr/src/nvidia-srv{flavour}-{driver.upstream}"
    common = driver.family_range(f"nvidia-kernel-common-{driver.tail}")
    yield Package(
        f"nvidia-kernel-source-{tail}",
        driver.version,
        _family("nvidia-kernel-source", driver),
        {f"{source}/stand-in.json": module},
    )
    yield Package(
        f"nvidia-dkms-{tail}",
        driver.version,
        {
            **_family("nvidia-dkms-kernel", driver),
            "Depends": f"nvidia-kernel-source-{tail} {exact}, {common}, dkms",
        },
        {f"{source}/dkms.conf": f'PACKAGE_NAME="nvidia-srv{flavour}"\nPACKAGE_VERSION="{driver.upstream}"\n'},
        {"postinst": AUTOINSTALL, "prerm": "#!/bin/sh\n/usr/sbin/dkms remove || true\n"},
    )
    kernels = {OTHER_KERNEL: "5.15.0-91.101"}
    if driver.prebuilt:
        kernels[kernel] = f"{_number(kernel)}.1"
    for release, version in kernels.items():
        pre = f"linux-modules-nvidia-{tail}-{release}"
        path = f"lib/modules/{release}/kernel/nvidia-{driver.branch}srv{flavour}/nvidia.ko"
        needs = f"linux-modules-{release}, {common}"
        yield Package(pre, f"{version}+{_order(driver)}", {"Depends": needs}, {path: module})
    yield from _module_metas(driver, flavour, kernel)


def _module_metas(driver: Driver, flavour: str, kernel: str) -> Iterator[Package]:
    """linux-modules-nvidia-…-generic: the running kernel's first, then the newer kernel's."""
    tail = f"{driver.tail}{flavour}"
    targets = {"5.15.0.91.88": OTHER_KERNEL, **({"5.15.0.89.86": kernel} if driver.prebuilt else {})}
    for version, release in targets.items():
        fields = {
            "Depends": f"linux-modules-nvidia-{tail}-{release}, "
            + driver.family_range(f"nvidia-kernel-common-{driver.tail}"),
            "Provides": f"nvidia-dkms-{tail} (= {driver.version}), nvidia-prebuilt-kernel",
        }
        for name in {"generic", flavour_of(release)}:
            yield Package(f"linux-modules-nvidia-{tail}-{name}", f"{version}+{_order(driver)}", fields)


def _order(driver: Driver) -> int:
    """Rebuild number of the pre-built modules: 1 for a branch's first version."""
    return [each for each in DRIVERS if each.branch == driver.branch].index(driver) + 1


def _metas(driver: Driver, flavour: str) -> Iterator[Package]:
    tail, shared, exact = f"{driver.tail}{flavour}", driver.tail, f"(= {driver.version})"
    dkms = driver.family_range(f"nvidia-dkms-{tail}")
    common = driver.family_range(f"nvidia-kernel-common-{shared}")
    source = f"nvidia-kernel-source-{tail} {exact}"
    libraries = ", ".join(f"libnvidia-{stem}-{shared} {exact}" for stem in LIBRARIES)
    tools = f"nvidia-compute-utils-{shared} {exact}, nvidia-utils-{shared} {exact}"
    headless_libs = f"libnvidia-cfg1-{shared} {exact}, libnvidia-compute-{shared} {exact}"
    xorg = f"xserver-xorg-video-nvidia-{shared} {exact}"
    no_dkms = f"nvidia-headless-no-dkms-{tail}"
    yield Package(
        f"nvidia-driver-{tail}",
        driver.version,
        {
            "Depends": f"{libraries}, {dkms}, {common}, {source}, {tools}, {xorg}",
            "Provides": "nvidia-driver-binary",
            "Conflicts": "nvidia-driver-binary",
            "Description": f"NVIDIA {'Server ' if not flavour else '(open kernel) '}Driver metapackage",
        },
    )
    yield Package(
        no_dkms,
        driver.version,
        {"Depends": f"{headless_libs}, {common}, {source}, nvidia-compute-utils-{shared} {exact}"},
    )
    yield Package(f"nvidia-headless-{tail}", driver.version, {"Depends": f"{no_dkms} {exact}, {dkms}"})


def _transitional(driver: Driver) -> Iterator[Package]:
    """The older branch's names, empty and depending on this branch."""
    if not driver.replaces:
        return
    for stem in ("nvidia-driver", "nvidia-headless", "nvidia-utils", "nvidia-compute-utils", "nvidia-dkms"):
        yield Package(
            f"{stem}-{driver.replaces}-server",
            driver.version,
            {
                "Depends": f"{stem}-{driver.tail} (= {driver.version})",
                "Section": "restricted/oldlibs",
                "Description": f"Transitional package for {stem}-{driver.tail}",
            },
        )


def _dkms() -> Package:
    return Package("dkms", "2.8.7-2ubuntu2.2", {}, {"usr/sbin/dkms": f"{STAND_IN}/dkms"})


def _kernels(kernel: str) -> Iterator[Package]:
    """The running kernel's packages and a newer kernel's, as empty as a container needs them."""
    for release, version in {kernel: f"{_number(kernel)}.1", OTHER_KERNEL: "5.15.0-91.101"}.items():
        headers = {f"usr/src/linux-headers-{release}/Makefile": "# stand-in\n"}
        headers[f"lib/modules/{release}/build"] = f"->/usr/src/linux-headers-{release}"
        yield Package(f"linux-modules-{release}", version, {}, {f"lib/modules/{release}/kernel/README": "stand-in\n"})
        yield Package(f"linux-image-{release}", version, {"Depends": f"linux-modules-{release}"})
        yield Package(f"linux-headers-{release}", version, {}, headers, {"postinst": AUTOINSTALL})
    for version, release in {"5.15.0.89.86": kernel, "5.15.0.91.88": OTHER_KERNEL}.items():
        for name in {"generic", flavour_of(release)}:
            for kind in ("image", "headers"):
                yield Package(f"linux-{kind}-{name}", version, {"Depends": f"linux-{kind}-{release}"})


def _number(kernel: str) -> str:
    """5.15.0-89 of 5.15.0-89-generic."""
    return "-".join(kernel.split("-")[:2])
