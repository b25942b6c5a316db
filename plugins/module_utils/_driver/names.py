# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell every package name of the NVIDIA driver: what belongs to it, and how each source names a branch of it.

No other file knows a name. Three families: Ubuntu's (``nvidia-dkms-535-server``, ``linux-modules-nvidia-535-server-open-<abi>``), Debian's
(``nvidia-kernel-dkms``, ``nvidia-tesla-535-kernel-dkms``), and NVIDIA's own repository (``nvidia-kernel-open-dkms`` for Debian; from 590 on
``nvidia-dkms`` and ``nvidia-dkms-open``, without a branch).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable

_B = r"(?:-tesla)?(?:-\d{3})?"  # a branch in a name, where there is one
_S = r"(?:-server)?(?:-open)?"
#: What belongs to the driver: a list, since others use the same prefixes. DGX OS (nvidia-raid-config, nvidia-crashdump,
#: nvidia-repo-keys and more, appendix "Installed Packages" of its user guide), the container toolkit, the CUDA toolkit and
#: its libraries, GPUDirect Storage (nvidia-fs) and nouveau's firmware are released apart and must stay when the driver goes.
#: Made from the binary packages of the sources nvidia-graphics-drivers-{525,535,590}[-server], fabric-manager-*, libnvidia-nscq-*
#: and linux-restricted-modules (packages.ubuntu.com), nvidia-graphics-drivers[-tesla-535] (packages.debian.org), and of the
#: driver in NVIDIA's repository.
PATTERNS = (
    rf"nvidia{_B}-(?:driver|headless|headless-no-dkms|dkms|open)(?:-\d{{3}})?{_S}",
    rf"nvidia{_B}-driver-(?:bin|libs|full|cuda|common)",
    rf"nvidia{_B}-(?:open-)?kernel-(?:dkms|source|support|open-dkms|common)(?:-\d{{3}})?{_S}",
    rf"nvidia-(?:utils|compute-utils|firmware|fabricmanager|fabricmanager-dev|imex|settings)(?:-\d{{3}})?{_S}(?:-[\d.]+)?",
    rf"nvidia{_B}-(?:alternative|smi|egl-icd|vulkan-icd|opencl-icd|vdpau-driver|legacy-check)(?:-any)?",
    r"nvidia-(?:egl|vulkan|opencl|suspend)-common|nvidia-(?:support|installer-cleanup|persistenced|modprobe|powerd|xconfig)",
    r"nvidia-(?:libopencl1|detect|cuda-mps)",
    r"libnvidia-(?!container|ml-dev)[a-z0-9-]+?(?:-\d{3})?(?:-server)?(?<!-dev)",
    r"lib(?:cuda|cudadebugger|nvcuvid|nvoptix|nvsdm|xnvctrl)\d*(?:-\d{3})?",
    r"lib(?:gl|egl|gles|glx|gl1|gles1|gles2)-nvidia.*",
    r"linux-(?:modules|objects|signatures)-nvidia-.+",
    r"xserver-xorg-video-nvidia.*",
    r"firmware-nvidia(?:-tesla)?(?:-\d{3})?-gsp(?:-[\d.]+)?",
    r"cuda-drivers.*",
)
_DRIVER = re.compile("|".join(PATTERNS))
#: Debian's source glx-alternatives (packages.debian.org), which switches between the libraries of drivers: installed by NVIDIA's,
#: dependent on nvidia-installer-cleanup, of no use without. It has versions of its own, so nothing of it is held.
_COMPANION = re.compile(r"glx-alternative-(?:nvidia|mesa)|glx-diversions|update-glx")
#: The same as one anchored expression for apt, which walks all its packages once for each expression and takes an
#: unanchored glob for one that matches in the middle of names.
_APT = (
    "^(nvidia-|libnvidia-|lib(cuda|cudadebugger|nvcuvid|nvoptix|xnvctrl)[0-9]|libnvsdm|lib(gl|egl|gles|glx|gl1)-nvidia"
    "|xserver-xorg-video-nvidia|firmware-nvidia-|cuda-drivers"
    "|linux-(modules|objects|signatures)-nvidia-(.*-)?{release}$|linux-headers-({headers})$)"
)
#: The same as globs of apt's preferences, which the pin's version narrows to the driver.
GLOBS = (
    "nvidia-*",
    "libnvidia-*",
    "libcuda1*",
    "libnvcuvid*",
    "libnvoptix*",
    "firmware-nvidia-gsp*",
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
#: What carries CUDA's driver library, under its names of Debian's.
CUDA_LIBRARY = re.compile(r"^lib(?:cuda1|nvidia-tesla-\d+-cuda1)$")
FABRIC_MANAGER = re.compile(r"^nvidia-fabricmanager(-\d+)?$")
#: Ubuntu's and NVIDIA's packages of which there is one for open and one for proprietary kernel modules; the two conflict.
OF_KERNEL_MODULES = re.compile(
    r"^nvidia-(?:kernel-source|dkms|driver|headless|headless-no-dkms)(?:-\d+)?(?:-server)?(?P<open>-open)?$"
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
    return bool(_DRIVER.fullmatch(name))


def goes_along(name: str) -> bool:
    """Tell whether a package came with the driver and may go with it, without being a part of it."""
    return is_driver(name) or bool(_COMPANION.fullmatch(name))


def apt_pattern(kernel_release: str, headers: Iterable[str] = ()) -> str:
    """Return the expression for apt that matches the driver's packages, modules and headers of this kernel, and ``headers`` besides."""
    release, *more = (
        re.sub(r"([.+])", r"\\\1", text)
        for text in (kernel_release, *(name[len("linux-headers-") :] for name in headers))
    )
    return _APT.format(release=release, headers="|".join([release, *more]))


#: What is wanted of a driver's user space: to compute; or graphics and video too, which pods may ask for as capabilities.
LIBRARIES = ("compute", "graphics")


@dataclass(frozen=True)
class Naming:
    """The packages of one branch in one source. In the names ``{b}`` is the branch, ``{o}`` is ``-open`` for open
    kernel modules, ``{r}`` the kernel release.

    ``driver``    carries the driver's version
    ``roots``     what is installed for compute and for graphics; everything else comes by dependency
    ``parts``     what must be there for each, however it came; takes the place of ``roots`` where these would bring dkms
                  beside pre-built modules, so that one set is installed either way
    ``dkms``      the kernel modules' source with what builds it, by the kind of kernel modules
    ``prebuilt``  modules built by the distribution for one kernel, where it has such
    """

    driver: str
    roots: dict[str, tuple[str, ...]]
    parts: dict[str, tuple[str, ...]]
    dkms: dict[str, str]
    fabric_manager: str
    prebuilt: str | None = None


def _both(compute: tuple[str, ...], graphics: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return dict(zip(LIBRARIES, (compute, graphics)))


#: What headless and driver metapackages of Ubuntu depend on, by packages.ubuntu.com (nvidia-headless-no-dkms-535-server,
#: nvidia-driver-535-server, nvidia-driver-595-server).
_UBUNTU_COMPUTE = (
    *("libnvidia-cfg1", "libnvidia-compute"),
    *("nvidia-compute-utils", "nvidia-kernel-common", "nvidia-utils"),
)
_UBUNTU_GRAPHICS = (
    *("libnvidia-decode", "libnvidia-encode", "libnvidia-extra", "libnvidia-fbc1", "libnvidia-gl"),
    "xserver-xorg-video-nvidia",
)


def _ubuntu(s: str) -> Naming:
    """Name Ubuntu's packages; ``s`` is ``-server`` or nothing."""
    compute = tuple(f"{stem}-{{b}}{s}" for stem in _UBUNTU_COMPUTE)
    graphics = (*compute, *(f"{stem}-{{b}}{s}" for stem in _UBUNTU_GRAPHICS))
    return Naming(
        driver=f"nvidia-driver-{{b}}{s}{{o}}",
        roots=_both(
            (f"nvidia-headless-no-dkms-{{b}}{s}{{o}}", f"nvidia-utils-{{b}}{s}"), (f"nvidia-driver-{{b}}{s}{{o}}",)
        ),
        parts=_both(compute, graphics),
        dkms=dict.fromkeys(("open", "proprietary"), f"nvidia-dkms-{{b}}{s}{{o}}"),
        fabric_manager="nvidia-fabricmanager-{b}",
        prebuilt=f"linux-modules-nvidia-{{b}}{s}{{o}}-{{r}}",
    )


#: NVIDIA's repository for Ubuntu up to branch 580.
_CUDA_UBUNTU = Naming(
    "nvidia-driver-{b}{o}",
    _both(("nvidia-headless-{b}{o}", "nvidia-utils-{b}"), ("nvidia-driver-{b}{o}",)),
    _both(
        ("libnvidia-compute-{b}", "nvidia-utils-{b}"), ("libnvidia-gl-{b}", "libnvidia-compute-{b}", "nvidia-utils-{b}")
    ),
    dict.fromkeys(("open", "proprietary"), "nvidia-dkms-{b}{o}"),
    "nvidia-fabricmanager-{b}",
)
#: From 590 on the names lose the branch, so the version alone decides; there is one metapackage for everything.
_CUDA_UBUNTU_PLAIN = Naming(
    "nvidia-driver{o}",
    _both(("nvidia-driver{o}",), ("nvidia-driver{o}",)),
    _both(("libnvidia-compute",), ("libnvidia-compute",)),
    dict.fromkeys(("open", "proprietary"), "nvidia-dkms{o}"),
    "nvidia-fabricmanager",
)


_DEBIAN_DKMS = {"open": "nvidia-open-kernel-dkms", "proprietary": "nvidia-kernel-dkms"}
#: Debian has no metapackage for servers: these are its parts without X. The tools are only recommended, so they are named.
_DEBIAN_COMPUTE = ("nvidia-smi", APART, "libcuda1")
_DEBIAN_GRAPHICS = (*_DEBIAN_COMPUTE, "nvidia-driver-libs", "libnvcuvid1", "libnvidia-encode1")
#: A second branch that Debian keeps beside its main one; proprietary kernel modules only.
_TESLA_DKMS = {"proprietary": "nvidia-tesla-{b}-kernel-dkms"}
_TESLA_COMPUTE = ("nvidia-tesla-{b}-smi", APART, "libnvidia-tesla-{b}-cuda1")
_TESLA_GRAPHICS = (
    *_TESLA_COMPUTE,
    *("nvidia-tesla-{b}-driver-libs", "libnvidia-tesla-{b}-nvcuvid1", "libnvidia-tesla-{b}-encode1"),
)


def _debian(desktop: bool) -> tuple[Naming, ...]:
    """Name Debian's two drivers; a desktop's graphics come with X."""
    graphics = (*_DEBIAN_GRAPHICS, *(("nvidia-driver",) if desktop else ()))
    tesla = (*_TESLA_GRAPHICS, *(("nvidia-tesla-{b}-driver",) if desktop else ()))
    main, second = _both(_DEBIAN_COMPUTE, graphics), _both(_TESLA_COMPUTE, tesla)
    return (
        Naming("libcuda1", main, main, _DEBIAN_DKMS, "nvidia-fabricmanager"),
        Naming("libnvidia-tesla-{b}-cuda1", second, second, _TESLA_DKMS, "nvidia-fabricmanager-{b}"),
    )


#: As NVIDIA's installation guide has it in its chapter on compute-only and desktop installation.
_CUDA_DEBIAN_SETS = _both(("nvidia-driver-cuda",), ("nvidia-driver-cuda", "nvidia-driver"))
_CUDA_DEBIAN = Naming(
    "nvidia-driver-cuda",
    _CUDA_DEBIAN_SETS,
    _CUDA_DEBIAN_SETS,
    {"open": "nvidia-kernel-open-dkms", "proprietary": "nvidia-kernel-dkms"},
    "nvidia-fabricmanager",
)

#: (distribution, flavour): its own names, then those of NVIDIA's repository for it, which has one family for both. The
#: first that fits is taken.
_DISTRIBUTION = {
    ("ubuntu", "server"): (_ubuntu("-server"),),
    ("ubuntu", "desktop"): (_ubuntu(""),),
    ("debian", "server"): _debian(desktop=False),
    ("debian", "desktop"): _debian(desktop=True),
}
_CUDA = {"ubuntu": (_CUDA_UBUNTU, _CUDA_UBUNTU_PLAIN), "debian": (_CUDA_DEBIAN,)}
#: The distributions whose names are known, by the ID of os-release. Which of their releases the role supports is its vars' word.
DISTRIBUTIONS = tuple(dict.fromkeys(distribution for distribution, _flavour in _DISTRIBUTION))


Fill = Callable[[str], str]


def filler(branch: str, kernel_modules: str, kernel_release: str) -> Fill:
    """Return what puts branch, kind of kernel modules and kernel into a name."""
    return lambda name: name.format(b=branch, o="-open" if kernel_modules == "open" else "", r=kernel_release)


def namings(os_id: str, flavour: str, source: str) -> tuple[Naming, ...]:
    """Return the namings that may fit, in order of preference; a mirror or a folder may hold either kind."""
    key = (os_id, flavour)
    own, cuda = _DISTRIBUTION[key], _CUDA[os_id]
    return {"distribution": own, "cuda": cuda}.get(source, (*own, *cuda))


def names_flavour(os_id: str, source: str) -> bool:
    """Tell whether package names say server or desktop: only those of Ubuntu's own archive do."""
    return os_id == "ubuntu" and source == "distribution"
