# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell of a driver that no package owns, and where it came from.

NVIDIA's installer, a provider's image and a driver container leave a loaded module or an nvidia-smi of which dpkg knows nothing
(seen on an H100 host). Packages put beside it would mix two drivers, and the next boot would decide which module wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import KernelModule

#: What each place tells, the surest first. A driver container mounts its root below /run/nvidia/driver; Container-Optimized OS and
#: images made like it keep a driver below /home/kubernetes/bin/nvidia or /usr/local/nvidia.
_PLACES = (
    ("/run/nvidia/driver/usr/bin/nvidia-smi", "a driver container of the GPU Operator (/run/nvidia/driver is mounted)"),
    ("/usr/bin/nvidia-uninstall", "NVIDIA's .run installer (/usr/bin/nvidia-uninstall is there)"),
    ("/home/kubernetes/bin/nvidia/bin/nvidia-smi", "the provider of the image (/home/kubernetes/bin/nvidia)"),
    ("/usr/local/nvidia/bin/nvidia-smi", "the provider of the image (/usr/local/nvidia)"),
    ("/opt/nvidia/bin/nvidia-smi", "the provider of the image (/opt/nvidia)"),
    ("/usr/bin/nvidia-smi", "an installation that dpkg knows nothing of (/usr/bin/nvidia-smi)"),
)
#: These two are sure even where packages are there too: they would be put on top of each other.
_SURE = 2
_MODULE = re.compile(r"^(\S+/nvidia\.ko[.\w]*):", re.MULTILINE)


def origin(root: str, packages: Iterable[Package], module: KernelModule, kernel_release: str) -> str | None:
    """Name where the driver came from that no package owns; None where there is none, or packages own it."""
    found = [words for path, words in _PLACES[:_SURE] if under(root, path).exists()]
    if found:
        return found[0]
    if any(_brings_a_driver(package.name) for package in packages if package.present):
        return None
    places = [words for path, words in _PLACES[_SURE:] if under(root, path).exists()]
    if not module.loaded:
        return places[0] if places else None
    return "; ".join([*_module(root, module, kernel_release), *places[:1]])


def _brings_a_driver(name: str) -> bool:
    """Tell whether a package, half installed perhaps, accounts for a module or a library; others may be there without a driver."""
    return any(kind.match(name) for kind in (names.DKMS, names.FOR_KERNEL, names.LIBRARY, names.CUDA_LIBRARY))


def _module(root: str, module: KernelModule, kernel_release: str) -> Iterator[str]:
    version = f" {module.version}" if module.version else ""
    file = _MODULE.search(read_text(under(root, f"/lib/modules/{kernel_release}/modules.dep")) or "")
    if file:
        yield f"a loaded kernel module{version} that no package owns, from /lib/modules/{kernel_release}/{file[1]}"
    else:
        yield f"a loaded kernel module{version} that no package owns, and no file of it (removed since the last boot, perhaps)"
