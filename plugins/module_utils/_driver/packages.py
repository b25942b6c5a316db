# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Choose the packages, and their versions, that make up the driver asked for: a pure function of request and catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Available, Catalogue, make_catalogue
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._driver.closure import closure
from ansible_collections.t9k.gpu.plugins.module_utils._driver.names import Naming
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.version import branch, driver_version


class NoSuchBranchError(GpuError):
    """Nothing on offer leads to the branch asked for: another may be tried."""


@dataclass(frozen=True)
class Request:
    """What is wanted, on which system."""

    os_id: str
    os_version: str
    codename: str
    kernel_release: str
    branch: str
    version: str | None = None
    flavour: str = "server"
    libraries: str = "graphics"
    kernel_modules: str = "proprietary"
    module_build: str = "auto"
    source: str = "distribution"
    fabric_manager: bool = False
    headers: str = "required"
    next_headers: tuple[
        tuple[str, str], ...
    ] = ()  # metapackages that bring the headers of the next kernel, and versions
    also: tuple[str, ...] = ()  # installed, and to move with the driver where they are on offer at its version


@dataclass(frozen=True)
class PackagePlan:
    """One transaction.

    ``packages``       every package of the driver's family, pinned: ``name=version``
    ``install``        the same as apt-get's arguments: the path of a .deb file where it comes from a folder
    ``roots``          the names that were chosen; the others follow from dependencies
    ``driver_version`` what ``nvidia-smi`` will say
    ``faults``         why this cannot be installed yet, each a whole sentence
    """

    packages: tuple[str, ...]
    install: tuple[str, ...]
    roots: tuple[str, ...]
    driver_version: str
    branch: str
    kernel_modules: str
    module_build: str
    warnings: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def arguments(self, leaving: Iterable[str]) -> list[str]:
        """Return the packages of the one transaction, for trying it and for doing it: those that come, those that go."""
        return [*self.install, *(f"{name}-" for name in leaving)]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as modules do; ``notes`` is the name that warnings had in 0.1.0."""
        return {**asdict(self), "notes": self.warnings}


def plan(request: Request, catalogue: Catalogue) -> PackagePlan:
    """Return the package set. GpuError where the request fits nothing on offer; what a host lacks is listed in ``faults``."""
    _refuse_system(request)
    offer = _of_source(request, catalogue)
    chosen = _driver(request, offer)
    request, naming, driver = chosen.request, chosen.naming, chosen.entry
    roots, build, more_warnings = _kernel_modules(chosen, offer)
    faults: list[str] = []
    if request.fabric_manager:
        roots += _fabric_manager(request, offer, naming, driver, faults)
    if build == "dkms":
        roots += _headers(request, offer, faults)
    family = closure([*roots, *_also(request, offer, driver, roots)], offer, driver_version(driver.version) or "")
    return PackagePlan(
        packages=tuple(f"{entry.name}={entry.version}" for entry in family),
        install=tuple(entry.path or f"{entry.name}={entry.version}" for entry in family),
        roots=tuple(entry.name for entry in roots),
        driver_version=driver_version(driver.version) or driver.version,
        branch=request.branch,
        kernel_modules=request.kernel_modules,
        module_build=build,
        warnings=(*chosen.warnings, *more_warnings),
        faults=tuple(faults),
    )


def _also(request: Request, offer: Catalogue, driver: Available, roots: list[Available]) -> Iterator[Available]:
    """Yield what else of the driver is installed: a library that stays behind would be of another version than the module."""
    version, named = driver_version(driver.version), {entry.name for entry in roots}
    for name in request.also:
        same = [e for e in offer.versions(name) if driver_version(e.version) == version and not e.transitional]
        if same and name not in named:
            yield same[0]


def _refuse_system(request: Request) -> None:
    if request.os_id not in names.DISTRIBUTIONS:
        raise GpuError(
            f"a system whose packages are known: {', '.join(names.DISTRIBUTIONS)}",
            f"{request.os_id} {request.os_version}",
            "/etc/os-release",
            "install one of these systems, or install the driver by hand",
        )


def _of_source(request: Request, catalogue: Catalogue) -> Catalogue:
    """Keep the versions of the source meant: the same name may be in the distribution and in NVIDIA's repository."""
    if request.source not in ("distribution", "cuda"):
        return catalogue
    wanted = request.source == "cuda"
    entries = [entry for found in catalogue.entries.values() for entry in found]
    if wanted and not any(_from_cuda(entry) for entry in entries):
        return catalogue  # the repository is there under an address of one's own
    kept = [e for e in entries if e.name.startswith("linux-") or not e.origins or _from_cuda(e) is wanted]
    there = {(entry.name, entry.version) for entry in kept}
    candidates = {name: v for name, v in catalogue.candidates.items() if (name, v) in there}
    return make_catalogue(kept, candidates)


def _from_cuda(entry: Available) -> bool:
    return any(names.CUDA_ORIGIN.search(origin) for origin in entry.origins)


def _fill(template: str, request: Request) -> str:
    return names.filler(request.branch, request.kernel_modules, request.kernel_release)(template)


@dataclass(frozen=True)
class _Chosen:
    """The driver that a request comes to: a transitional package changes branch and flavour on the way."""

    request: Request
    naming: Naming
    entry: Available
    warnings: tuple[str, ...] = ()


def _driver(request: Request, offer: Catalogue) -> _Chosen:
    """Find the package that carries the driver's version, transitional packages followed to where they lead."""
    for naming in names.namings(request.os_id, request.flavour, request.source):
        name = _fill(naming.driver, request)
        found = [
            e for e in offer.versions(name) if _is_branch(e, name, request) and request.kernel_modules in naming.dkms
        ]
        fitting = [entry for entry in found if _is_version(entry, request.version)]
        if fitting and fitting[0].transitional:
            return _follow(request, offer, fitting[0])
        if fitting:
            return _Chosen(request, naming, fitting[0])
        if found and request.version:
            _refuse_version(request, name, found)
    raise NoSuchBranchError(
        f"the {request.flavour} driver of branch {request.branch} with {request.kernel_modules} kernel modules"
        f" from {request.source}",
        f"branches {', '.join(branches(offer)) or 'none at all'}",
        f"apt's metadata on {request.os_id} {request.os_version}",
        "ask for one of these, or set up the source that has it and refresh apt's lists",
    )


def _is_branch(entry: Available, name: str, request: Request) -> bool:
    """Judge a name with the branch in it by that, though it may lead elsewhere (transitional), one without by its version."""
    return request.branch in name or branch(entry.version) == request.branch


def _is_version(entry: Available, version: str | None) -> bool:
    """Tell whether it is the version asked for, which a transitional package never is: it keeps the old one in its own."""
    if version is None:
        return True
    return not entry.transitional and version in (entry.version, driver_version(entry.version))


def _refuse_version(request: Request, name: str, found: list[Available]) -> None:
    versions = ", ".join(e.version + (" (only leads to another branch)" if e.transitional else "") for e in found)
    raise GpuError(
        f"version {request.version} of {name}",
        f"versions {versions}",
        "apt's metadata",
        "ask for one of these, or add a source (a mirror or a snapshot of it) that still has the version",
    )


def _follow(request: Request, offer: Catalogue, entry: Available) -> _Chosen:
    for name, _relation, _version in (relation for group in entry.depends for relation in group):
        match = names.METAPACKAGE.fullmatch(name)
        if match and match["branch"] and match["branch"] != request.branch:
            onward = replace(request, branch=match["branch"], flavour="server" if match["server"] else "desktop")
            found = _driver(onward, offer)
            warning = f"{entry.name} is a transitional package and leads to {name}"
            return replace(found, warnings=(warning, *found.warnings))
    raise GpuError(
        f"the driver behind the transitional package {entry.name}",
        "no other branch among its dependencies",
        f"apt's metadata of version {entry.version}",
        "ask for another branch: " + ", ".join(branches(offer)),
    )


def branches(offer: Catalogue) -> tuple[str, ...]:
    """Return every branch on offer with its own driver, such as ``535`` and ``535-server``; transitional ones left out."""
    found = set()
    for name, entries in offer.entries.items():
        match = names.METAPACKAGE.fullmatch(name)
        if match:
            suffix = match["server"] or ""
            found |= {(match["branch"] or branch(e.version)) + suffix for e in entries if not e.transitional}
    return tuple(sorted(found))


def _kernel_modules(chosen: _Chosen, offer: Catalogue) -> tuple[list[Available], str, list[str]]:
    """Return the roots, and whether the modules come built: only for the exact kernel and the exact driver."""
    request, naming = chosen.request, chosen.naming
    version = driver_version(chosen.entry.version) or ""
    roots = [_at(offer, _fill(name, request), version, request) for name in naming.roots[request.libraries]]
    if request.module_build != "dkms":
        module, reason = _prebuilt(request, offer, naming, version)
        if module:
            return _without_dkms(request, offer, naming, [*roots, module], version), "prebuilt", []
        if request.module_build == "prebuilt":
            raise GpuError(
                f"pre-built modules of driver {version} for kernel {request.kernel_release}",
                reason,
                "apt's metadata",
                "boot a kernel that has them, or set the module build to auto or dkms",
            )
        warnings = [f"kernel modules are built by dkms: {reason}"] if naming.prebuilt else []
    else:
        warnings = []
    return [*roots, _at(offer, _fill(naming.dkms[request.kernel_modules], request), version, request)], "dkms", warnings


def _prebuilt(request: Request, offer: Catalogue, naming: Naming, version: str) -> tuple[Available | None, str]:
    if not naming.prebuilt:
        return None, f"{request.os_id} and this source have no pre-built modules"
    name = _fill(naming.prebuilt, request)
    found = offer.versions(name)
    for entry in found:
        if _is_of(entry, version):
            return entry, ""
    return None, f"{name} is for another driver version" if found else f"there is no {name}"


def _is_of(module: Available, version: str) -> bool:
    """Tell whether pre-built modules are of this driver.

    Their own version is the kernel's. The driver's is the lower bound on the common files: the upper bound that older
    uploads had beside it is gone (linux-restricted-modules takes it away for the media), so apt would install any older one.
    """
    bounds = [r for group in module.depends for r in group if r[0].startswith(names.KERNEL_COMMON)]
    return any(relation == ">=" and driver_version(bound) == version for _name, relation, bound in bounds)


def _without_dkms(
    request: Request, offer: Catalogue, naming: Naming, roots: list[Available], version: str
) -> list[Available]:
    """Return the same libraries by their own names where the metapackage would bring dkms beside pre-built modules."""
    dkms = _fill(naming.dkms[request.kernel_modules], request)
    if not any(entry.name == dkms for entry in closure(roots, offer, version)):
        return roots
    return [
        *(_at(offer, _fill(name, request), version, request) for name in naming.parts[request.libraries]),
        roots[-1],
    ]


def _at(offer: Catalogue, name: str, version: str, request: Request) -> Available:
    """Return the package at the driver's version; one that is released apart from the driver at apt's candidate."""
    found = offer.versions(name)
    same = [entry for entry in found if driver_version(entry.version) == version]
    apart = [entry for entry in found if name == names.APART]
    if same or apart:
        return (same or apart)[0]
    raise GpuError(
        f"{name} of driver version {version}",
        f"versions {', '.join(entry.version for entry in found) or 'none'}",
        f"apt's metadata on {request.os_id} {request.os_version}",
        "refresh apt's lists, or ask for another branch, source or flavour of the kernel modules",
    )


def _fabric_manager(
    request: Request, offer: Catalogue, naming: Naming, driver: Available, faults: list[str]
) -> list[Available]:
    """Return the fabric manager, which refuses any driver but its own version."""
    name = _fill(naming.fabric_manager, request)
    version = driver_version(driver.version) or ""
    found = offer.versions(name)
    same = [entry for entry in found if driver_version(entry.version) == version]
    if not same:
        faults.append(
            str(
                GpuError(
                    f"{name} of exactly version {version}, for NVSwitch",
                    f"versions {', '.join(entry.version for entry in found) or 'none'}",
                    "apt's metadata",
                    "ask for a driver version that has it, or use NVIDIA's repository as the source",
                )
            )
        )
    return same[:1]


def _headers(request: Request, offer: Catalogue, faults: list[str]) -> list[Available]:
    """Return the headers of the running kernel, without which dkms builds nothing, and what brings those of the next one."""
    name = f"linux-headers-{request.kernel_release}"
    found = list(offer.versions(name))[:1]
    if not found and request.headers == "required":
        faults.append(
            str(
                GpuError(
                    f"{name}, to build the kernel modules",
                    "no such package",
                    "apt's metadata",
                    "boot a kernel of the distribution that apt still has headers for, or install its headers by hand"
                    " and set headers to ignore",
                )
            )
        )
    return [*found, *_next_headers(request, offer)]


def _next_headers(request: Request, offer: Catalogue) -> Iterator[Available]:
    """Yield the headers' metapackages, so that a kernel that an upgrade brings finds its headers: not newer than the kernel's own."""
    for name, version in request.next_headers:
        found = offer.versions(name)
        same = [entry for entry in found if entry.version == version]
        yield from (same or found)[:1]
