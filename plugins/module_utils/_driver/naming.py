# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How each source names the packages of a driver branch: data, and nothing else.

In the names ``{b}`` is the branch, ``{o}`` is ``-open`` for open kernel modules, ``{r}`` the kernel release.
Private: subject to change without notice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: The systems this collection knows, with the releases of each.
SUPPORTED = {"ubuntu": ("20.04", "22.04", "24.04", "26.04"), "debian": ("12", "13")}
#: Every name that stands for a driver, for telling which branches a source has.
DRIVER_NAME = re.compile(
    r"nvidia-(?:driver|headless|tesla)(?:-(?P<branch>\d{3}))?(?:-driver)?(?P<server>-server)?(?:-open)?"
)


@dataclass(frozen=True)
class Naming:
    """The packages of one branch in one source.

    ``driver``    carries the driver's version
    ``roots``     what is installed; everything else comes by dependency
    ``dkms``      the kernel modules' source with what builds it: one name for each flavour of the modules
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


UBUNTU_SERVER = _ubuntu("-server")
UBUNTU_DESKTOP = _ubuntu("")

_CUDA_DKMS = dict.fromkeys(("open", "proprietary"), "nvidia-dkms-{b}{o}")
#: NVIDIA's repository for Ubuntu up to branch 580. For servers without a desktop's libraries.
CUDA_UBUNTU_SERVER = Naming(
    "nvidia-headless-{b}{o}", ("nvidia-headless-{b}{o}", "nvidia-utils-{b}"), _CUDA_DKMS, "nvidia-fabricmanager-{b}"
)
CUDA_UBUNTU_DESKTOP = Naming("nvidia-driver-{b}{o}", ("nvidia-driver-{b}{o}",), _CUDA_DKMS, "nvidia-fabricmanager-{b}")
#: From 590 on the names lose the branch, so the version alone decides.
CUDA_UBUNTU_PLAIN = Naming(
    "nvidia-driver{o}",
    ("nvidia-driver{o}",),
    dict.fromkeys(("open", "proprietary"), "nvidia-dkms{o}"),
    "nvidia-fabricmanager",
)

_DEBIAN_DKMS = {"open": "nvidia-open-kernel-dkms", "proprietary": "nvidia-kernel-dkms"}
#: Debian has no metapackage for servers: this is its compute part without X.
DEBIAN_SERVER = Naming(
    "libcuda1", ("nvidia-smi", "nvidia-persistenced", "libcuda1"), _DEBIAN_DKMS, "nvidia-fabricmanager"
)
DEBIAN_DESKTOP = Naming("nvidia-driver", ("nvidia-driver",), _DEBIAN_DKMS, "nvidia-fabricmanager")
#: A second branch that Debian keeps beside its main one; proprietary kernel modules only.
_TESLA_DKMS = {"proprietary": "nvidia-tesla-{b}-kernel-dkms"}
DEBIAN_TESLA_SERVER = Naming(
    "libnvidia-tesla-{b}-cuda1",
    ("nvidia-tesla-{b}-smi", "nvidia-persistenced", "libnvidia-tesla-{b}-cuda1"),
    _TESLA_DKMS,
    "nvidia-fabricmanager-{b}",
)
DEBIAN_TESLA_DESKTOP = Naming(
    "nvidia-tesla-{b}-driver", ("nvidia-tesla-{b}-driver",), _TESLA_DKMS, "nvidia-fabricmanager-{b}"
)
_CUDA_DEBIAN_DKMS = {"open": "nvidia-kernel-open-dkms", "proprietary": "nvidia-kernel-dkms"}
CUDA_DEBIAN_SERVER = Naming("nvidia-driver-cuda", ("nvidia-driver-cuda",), _CUDA_DEBIAN_DKMS, "nvidia-fabricmanager")
CUDA_DEBIAN_DESKTOP = Naming("nvidia-driver", ("nvidia-driver",), _CUDA_DEBIAN_DKMS, "nvidia-fabricmanager")

#: (system, flavour): the distribution's own names, then those of NVIDIA's repository. The first that fits is taken.
DISTRIBUTION = {
    ("ubuntu", "server"): (UBUNTU_SERVER,),
    ("ubuntu", "desktop"): (UBUNTU_DESKTOP,),
    ("debian", "server"): (DEBIAN_SERVER, DEBIAN_TESLA_SERVER),
    ("debian", "desktop"): (DEBIAN_DESKTOP, DEBIAN_TESLA_DESKTOP),
}
CUDA = {
    ("ubuntu", "server"): (CUDA_UBUNTU_SERVER, CUDA_UBUNTU_DESKTOP, CUDA_UBUNTU_PLAIN),
    ("ubuntu", "desktop"): (CUDA_UBUNTU_DESKTOP, CUDA_UBUNTU_PLAIN),
    ("debian", "server"): (CUDA_DEBIAN_SERVER, CUDA_DEBIAN_DESKTOP),
    ("debian", "desktop"): (CUDA_DEBIAN_DESKTOP,),
}
#: What tells a version in NVIDIA's repository from the distribution's of the same name.
CUDA_ORIGIN = re.compile(r"/compute/cuda/repos/|developer\.download\.nvidia\.|/nvidia-driver-local-repo-|/cuda-repo-")


def namings(os_id: str, flavour: str, source: str) -> tuple[Naming, ...]:
    """In order of preference; a mirror or a folder may hold either kind."""
    key = (os_id, flavour)
    return {"distribution": DISTRIBUTION[key], "cuda": CUDA[key]}.get(source, (*DISTRIBUTION[key], *CUDA[key]))
