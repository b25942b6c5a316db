# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell every package name of the NVIDIA driver: what belongs to it, and how each source names a branch of it.

No other file knows a name. Three families: Ubuntu's (``nvidia-dkms-535-server``, ``linux-modules-nvidia-535-server-open-<abi>``), Debian's
(``nvidia-kernel-dkms``, ``nvidia-tesla-535-kernel-dkms``), and NVIDIA's own repository (``nvidia-kernel-open-dkms`` for Debian; from 590 on
``nvidia-dkms`` and ``nvidia-dkms-open``, without a branch).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: What belongs to the driver.
_DRIVER = re.compile(
    r"""
      (?:lib)?nvidia-.+
    | lib(?:cuda|cudadebugger|nvcuvid|nvoptix|xnvctrl)\d+(?:-.+)?
    | lib(?:gl|egl|gles|glx|gl1|gles1|gles2)-nvidia.*
    | linux-(?:modules|objects|signatures)-nvidia-.+
    | xserver-xorg-video-nvidia.*
    | firmware-nvidia-.+
    | cuda-drivers.*
    """,
    re.VERBOSE,
)
#: Names of that form that are released apart from the driver: the container runtime's tools, the CUDA toolkit,
#: nouveau's firmware.
_NOT_DRIVER = re.compile(
    r"""
      (?:lib)?nvidia-container.*
    | nvidia-(?:docker|cuda-(?!mps)|cudnn|cg-|fs|gds|nsight|openjdk|profiler|visual-profiler|opencl-dev|vaapi).*
    | lib.+-dev
    | firmware-nvidia-graphics
    """,
    re.VERBOSE,
)
#: The same as one anchored expression for apt, which walks all its packages once for each expression and takes an
#: unanchored glob for one that matches in the middle of names.
_APT = (
    "^(nvidia-|libnvidia-|lib(cuda|cudadebugger|nvcuvid|nvoptix|xnvctrl)[0-9]|lib(gl|egl|gles|glx|gl1)-nvidia"
    "|xserver-xorg-video-nvidia|firmware-nvidia-|cuda-drivers"
    "|linux-(modules|objects|signatures)-nvidia-(.*-)?{release}$|linux-headers-{release}$)"
)
#: The same as globs of apt's preferences, and as the beginnings that unattended-upgrades matches.
GLOBS = (
    "nvidia-*",
    "libnvidia-*",
    "libcuda1*",
    "libnvcuvid*",
    "libnvoptix*",
    "firmware-nvidia-gsp*",
    "linux-objects-nvidia-*",
    "linux-signatures-nvidia-*",
    "linux-modules-nvidia-*",
    "xserver-xorg-video-nvidia*",
)
#: What brings a kernel module, built on the host or pre-built for one kernel.
DKMS = re.compile(
    r"^nvidia(?:-tesla-\d+)?(?:-kernel|-open-kernel|-kernel-open)?-dkms(?:-(?P<branch>\d+))?(?P<server>-server)?(?P<open>-open)?$"
)
PREBUILT = re.compile(r"^linux-modules-nvidia-(?P<branch>\d+)(?P<server>-server)?(?P<open>-open)?-(?P<abi>\d.*)$")
#: Everything pre-built, Debian's and Ubuntu's signatures and objects too; ``release`` where it is for one kernel.
FOR_KERNEL = re.compile(r"linux-(?:modules|objects|signatures)-nvidia-.+?(?:-(?P<release>\d+\.\d+\.\d+-\d+-[a-z].*))?")
#: What carries the user space library that nvidia-smi compares with the loaded module.
LIBRARY = re.compile(r"^(libnvidia-compute-\d+(-server)?|libnvidia-compute|libnvidia-ml1)$")
FABRIC_MANAGER = re.compile(r"^nvidia-fabricmanager(-\d+)?$")
#: Ubuntu's packages of which there is one for open and one for proprietary kernel modules; the two conflict.
OF_KERNEL_MODULES = re.compile(
    r"^nvidia-(?:kernel-source|dkms|driver|headless|headless-no-dkms)-\d+(?:-server)?(?P<open>-open)?$"
)
BRANCH = re.compile(r"-(\d{3})(?=-|$)")
#: Every name that stands for a driver, for telling which branches a source has.
METAPACKAGE = re.compile(
    r"nvidia-(?:driver|headless|tesla)(?:-(?P<branch>\d{3}))?(?:-driver)?(?P<server>-server)?(?:-open)?"
)
#: The common files, by whose version a package of pre-built modules names its driver.
KERNEL_COMMON = "nvidia-kernel-common-"
#: The driver's only package that has a version of its own on Debian.
APART = "nvidia-persistenced"
#: What tells a version in NVIDIA's repository from the distribution's of the same name.
CUDA_ORIGIN = re.compile(r"/compute/cuda/repos/|developer\.download\.nvidia\.|/nvidia-driver-local-repo-|/cuda-repo-")


def is_driver(name: str) -> bool:
    """Tell whether a package of this name belongs to the driver, and so to what is held, moved and removed with it."""
    return bool(_DRIVER.fullmatch(name)) and not _NOT_DRIVER.fullmatch(name)


def apt_pattern(kernel_release: str) -> str:
    """Return the expression for apt that matches the driver's packages, and modules and headers of this kernel."""
    return _APT.format(release=re.sub(r"([.+])", r"\\\1", kernel_release))


@dataclass(frozen=True)
class Naming:
    """The packages of one branch in one source. In the names ``{b}`` is the branch, ``{o}`` is ``-open`` for open
    kernel modules, ``{r}`` the kernel release.

    ``driver``    carries the driver's version
    ``roots``     what is installed; everything else comes by dependency
    ``dkms``      the kernel modules' source with what builds it, by the kind of kernel modules
    ``prebuilt``  modules built by the distribution for one kernel, where it has such
    ``no_dkms``   what takes the place of ``roots`` with pre-built modules if ``roots`` would bring dkms all the same
    """

    driver: str
    roots: tuple[str, ...]
    dkms: dict[str, str]
    fabric_manager: str
    prebuilt: str | None = None
    no_dkms: tuple[str, ...] = ()


def _ubuntu(suffix: str) -> Naming:
    return Naming(
        driver=f"nvidia-driver-{{b}}{suffix}{{o}}",
        roots=(f"nvidia-driver-{{b}}{suffix}{{o}}",),
        dkms=dict.fromkeys(("open", "proprietary"), f"nvidia-dkms-{{b}}{suffix}{{o}}"),
        fabric_manager="nvidia-fabricmanager-{b}",
        prebuilt=f"linux-modules-nvidia-{{b}}{suffix}{{o}}-{{r}}",
        no_dkms=(f"nvidia-headless-no-dkms-{{b}}{suffix}{{o}}", f"nvidia-utils-{{b}}{suffix}"),
    )


_CUDA_DKMS = dict.fromkeys(("open", "proprietary"), "nvidia-dkms-{b}{o}")
#: NVIDIA's repository for Ubuntu up to branch 580. For servers without a desktop's libraries.
_CUDA_UBUNTU_SERVER = Naming(
    "nvidia-headless-{b}{o}", ("nvidia-headless-{b}{o}", "nvidia-utils-{b}"), _CUDA_DKMS, "nvidia-fabricmanager-{b}"
)
_CUDA_UBUNTU_DESKTOP = Naming("nvidia-driver-{b}{o}", ("nvidia-driver-{b}{o}",), _CUDA_DKMS, "nvidia-fabricmanager-{b}")
#: From 590 on the names lose the branch, so the version alone decides.
_CUDA_UBUNTU_PLAIN = Naming(
    "nvidia-driver{o}",
    ("nvidia-driver{o}",),
    dict.fromkeys(("open", "proprietary"), "nvidia-dkms{o}"),
    "nvidia-fabricmanager",
)

_DEBIAN_DKMS = {"open": "nvidia-open-kernel-dkms", "proprietary": "nvidia-kernel-dkms"}
#: Debian has no metapackage for servers: this is its compute part without X.
_DEBIAN_SERVER = Naming("libcuda1", ("nvidia-smi", APART, "libcuda1"), _DEBIAN_DKMS, "nvidia-fabricmanager")
_DEBIAN_DESKTOP = Naming("nvidia-driver", ("nvidia-driver",), _DEBIAN_DKMS, "nvidia-fabricmanager")
#: A second branch that Debian keeps beside its main one; proprietary kernel modules only.
_TESLA_DKMS = {"proprietary": "nvidia-tesla-{b}-kernel-dkms"}
_DEBIAN_TESLA_SERVER = Naming(
    "libnvidia-tesla-{b}-cuda1",
    ("nvidia-tesla-{b}-smi", APART, "libnvidia-tesla-{b}-cuda1"),
    _TESLA_DKMS,
    "nvidia-fabricmanager-{b}",
)
_DEBIAN_TESLA_DESKTOP = Naming(
    "nvidia-tesla-{b}-driver", ("nvidia-tesla-{b}-driver",), _TESLA_DKMS, "nvidia-fabricmanager-{b}"
)
_CUDA_DEBIAN_DKMS = {"open": "nvidia-kernel-open-dkms", "proprietary": "nvidia-kernel-dkms"}
_CUDA_DEBIAN_SERVER = Naming("nvidia-driver-cuda", ("nvidia-driver-cuda",), _CUDA_DEBIAN_DKMS, "nvidia-fabricmanager")
_CUDA_DEBIAN_DESKTOP = Naming("nvidia-driver", ("nvidia-driver",), _CUDA_DEBIAN_DKMS, "nvidia-fabricmanager")

#: (distribution, flavour): its own names, then those of NVIDIA's repository for it. The first that fits is taken.
_DISTRIBUTION = {
    ("ubuntu", "server"): (_ubuntu("-server"),),
    ("ubuntu", "desktop"): (_ubuntu(""),),
    ("debian", "server"): (_DEBIAN_SERVER, _DEBIAN_TESLA_SERVER),
    ("debian", "desktop"): (_DEBIAN_DESKTOP, _DEBIAN_TESLA_DESKTOP),
}
_CUDA = {
    ("ubuntu", "server"): (_CUDA_UBUNTU_SERVER, _CUDA_UBUNTU_DESKTOP, _CUDA_UBUNTU_PLAIN),
    ("ubuntu", "desktop"): (_CUDA_UBUNTU_DESKTOP, _CUDA_UBUNTU_PLAIN),
    ("debian", "server"): (_CUDA_DEBIAN_SERVER, _CUDA_DEBIAN_DESKTOP),
    ("debian", "desktop"): (_CUDA_DEBIAN_DESKTOP,),
}
#: The distributions whose names are known, by the ID of os-release. Which of their releases the role supports is its vars' word.
DISTRIBUTIONS = tuple(dict.fromkeys(distribution for distribution, _flavour in _DISTRIBUTION))


def namings(os_id: str, flavour: str, source: str) -> tuple[Naming, ...]:
    """Return the namings that may fit, in order of preference; a mirror or a folder may hold either kind."""
    key = (os_id, flavour)
    own, cuda = _DISTRIBUTION[key], _CUDA[key]
    return {"distribution": own, "cuda": cuda}.get(source, (*own, *cuda))


def names_flavour(os_id: str, source: str) -> bool:
    """Tell whether package names say server or desktop: only those of Ubuntu's own archive do."""
    return os_id == "ubuntu" and source == "distribution"
