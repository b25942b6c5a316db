"""Make the packages of one Ubuntu series from the table, each with the days and pockets it was published in.

An archive is a moment: ``moment(entries, day)`` keeps, in each pocket, the newest version of each name uploaded by that day, as
Ubuntu's does. Older versions are in a snapshot alone, that is, in another moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tests.lab.archive import contents, table
from tests.lab.archive.contents import Contents
from tests.lab.archive.deb import Package
from tests.lab.archive.table import POCKETS, Driver, Upload

TRANSITIONAL = "Transitional package for upgrades."


@dataclass(frozen=True)
class Entry:
    """A package and where it was published, and since when."""

    package: Package
    date: str
    pockets: tuple[str, ...] = POCKETS
    family: str = ""  # of a driver: what its next upload does not build any more goes with the old one


def entries(series: str, releases: Mapping[str, str] | None = None) -> tuple[Entry, ...]:
    """Everything ever uploaded. ``releases``: kernel releases of the table that a test's own kernel stands in for."""
    return _entries(series, tuple(sorted((releases or {}).items())))


@lru_cache(maxsize=None)
def _entries(series: str, releases: tuple[tuple[str, str], ...]) -> tuple[Entry, ...]:
    facts = table.read(series)
    families = list(table.drivers(facts["drivers"]))
    out: list[Entry] = []
    for driver in families:
        for upload in driver.uploads:
            out += _driver(driver, upload)
    for row in facts["support"]:
        out += _support(row)
    for kernel in facts["kernels"]:
        out += _kernels(kernel, families, dict(releases))
    out += [
        Entry(_package(row["name"], row["version"], {}, contents.of_other(row["name"]), component=row["component"]), "")
        for row in facts["others"]
    ]
    return tuple(out)


def moment(every: Iterable[Entry], day: str) -> dict[str, list[Package]]:
    """pocket -> its packages on that day."""
    out: dict[str, dict[str, Entry]] = {pocket: {} for pocket in POCKETS}
    last: dict[tuple[str, str], str] = {}
    for entry in sorted((each for each in every if each.date <= day), key=lambda each: each.date):
        for pocket in entry.pockets:
            out[pocket][entry.package.name] = entry
            last[pocket, entry.family] = entry.date
    return {
        pocket: [each.package for each in found.values() if not each.family or each.date == last[pocket, each.family]]
        for pocket, found in out.items()
    }


def _package(name: str, version: str, fields: Mapping[str, str], inside: Contents, **more: Any) -> Package:
    return Package(name, version, fields, inside.files, inside.scripts, **more)


def _driver(driver: Driver, upload: Upload) -> Iterator[Entry]:
    facts = table.shape(driver.shape)
    for package in facts:
        for flavour in driver.flavours if "{o}" in package else ("",):
            name = _fill(package, driver.family, flavour, upload)
            if name in upload.lacks or (upload.leads_to and "{u}" in package):
                continue
            if upload.leads_to:
                onward = _fill(package, upload.leads_to, flavour, upload)
                summary, text = facts[package]["summary"], TRANSITIONAL
                summary += " (transitional package)" if upload.said == "summary" else ""
                yield _entry(driver, upload, _empty(name, upload.version, onward, summary, text))
                continue
            yield _entry(driver, upload, _full(driver, upload, package, flavour, facts[package]))
            for older in upload.brings:
                there = _fill(package, older, flavour, upload)
                yield _entry(driver, upload, _empty(there, upload.version, name, f"Transitional package for {name}"))


def _entry(driver: Driver, upload: Upload, package: Package) -> Entry:
    moved = Package(**{**package.__dict__, "component": driver.component})
    return Entry(moved, upload.date, upload.pockets, driver.family)


def _fill(template: str, family: str, flavour: str, upload: Upload) -> str:
    return template.format(s=family, o=flavour, u=upload.upstream, v=upload.version)


def _empty(name: str, version: str, onward: str, summary: str, text: str = "") -> Package:
    return Package(name, version, {"Depends": onward}, section="oldlibs", summary=summary, text=text)


def _full(driver: Driver, upload: Upload, package: str, flavour: str, facts: Mapping[str, Any]) -> Package:
    name = _fill(package, driver.family, flavour, upload)
    parts = {key: [_fill(each, driver.family, flavour, upload) for each in facts.get(key, ())] for key in facts}
    inside = contents.of_driver(
        package.partition("-{s}")[0],
        upload.upstream,
        flavour,
        server=driver.family.endswith("-server"),
        firmware_inside=driver.shape == "525",
    )
    return _package(name, upload.version, relations(facts, parts), inside, section="libs", summary=facts["summary"])


def relations(facts: Mapping[str, Any], parts: Mapping[str, list[str]]) -> dict[str, str]:
    """Control fields; a family name is provided, conflicted with and replaced."""
    family = list(facts.get("family", ()))
    rows = {
        "Depends": parts.get("depends", []),
        "Provides": [*family, *parts.get("provides", [])],
        "Conflicts": [*family, *parts.get("conflicts", [])],
        "Replaces": family,
    }
    return {key: ", ".join(value) for key, value in rows.items() if value}


def _support(row: Mapping[str, Any]) -> Iterator[Entry]:
    for upload in map(Upload.of, row["uploads"]):
        depends = ", ".join(_fill(each, "", "", upload) for each in row.get("depends", ()))
        fields = {"Depends": depends, **dict.fromkeys(("Provides", "Conflicts", "Replaces"), row["family"])}
        inside = contents.of_other(row["name"])
        yield Entry(_package(row["name"], upload.version, fields, inside, component="multiverse"), upload.date)


def _kernels(kernel: Mapping[str, Any], families: list[Driver], releases: Mapping[str, str]) -> Iterator[Entry]:
    for row in kernel["abis"]:
        abi = f"{row['abi']}-{kernel['flavour']}"
        release, date = releases.get(abi, abi), str(row["date"])
        for package in _kernel(kernel["metas"], row, release):
            yield Entry(package, date)
        for build in row["modules"]:
            for family, version in build["drivers"].items():
                driver = next((each for each in families if each.family == family), None)
                for flavour in driver.flavours if driver else ("",):
                    yield from _modules(kernel["metas"], build, release, driver, family, flavour, str(version))
    for row in kernel["moved"]:
        yield from _moved(kernel, row)


def _kernel(metas: list[str], row: Mapping[str, Any], release: str) -> Iterator[Package]:
    """One ABI of the kernel, as empty as a container needs it, and the metapackages that pointed at it."""
    version, meta = row["version"], row["meta"]
    main: dict[str, Any] = {"component": "main", "section": "kernel"}
    yield _package(f"linux-modules-{release}", version, {}, contents.of_kernel_modules(release), **main)
    yield Package(f"linux-image-{release}", version, {"Depends": f"linux-modules-{release}"}, **main)
    yield _package(f"linux-headers-{release}", version, {}, contents.of_headers(release), **main)
    for name in metas:
        both = f"linux-image-{name} (= {meta}), linux-headers-{name} (= {meta})"
        yield Package(f"linux-{name}", meta, {"Depends": both}, **main)
        for kind in ("image", "headers"):
            yield Package(f"linux-{kind}-{name}", meta, {"Depends": f"linux-{kind}-{release}"}, **main)


def _modules(
    metas: list[str],
    build: Mapping[str, Any],
    release: str,
    driver: Driver | None,
    family: str,
    flavour: str,
    version: str,
) -> Iterator[Entry]:
    """Pre-built modules of one driver for one ABI, and the metapackages that pointed at them.

    Today's uploads bind open modules to the driver's version on both sides, proprietary ones below only.
    """
    tail, lrm, date = f"{family}{flavour}", build["version"], str(build["date"])
    name, common = f"linux-modules-nvidia-{tail}-{release}", f"nvidia-kernel-common-{family}"
    image = f"linux-image-{release} | linux-image-unsigned-{release}"
    both = flavour or build.get("bounds") == "both"
    bounds = ([f"{common} (<= {version}-1)"] if both else []) + [f"{common} (>= {version})"]
    parts = [f"linux-signatures-nvidia-{release}", f"linux-objects-nvidia-{tail}-{release}"] if not flavour else []
    exact = [f"{each} (= {lrm})" for each in parts]
    inside = contents.of_modules(family, flavour, version, release)
    for part in parts:
        yield Entry(Package(part, lrm, section="kernel"), date)
    depends = {"Depends": ", ".join([image, *exact, *bounds])}
    yield Entry(_package(name, lrm, depends, inside, section="kernel"), date)
    uploaded = next((each.version for each in driver.uploads if each.upstream == version), "") if driver else ""
    for meta in metas if uploaded else ():
        fields = {
            "Depends": f"{name} (= {lrm}), {common} (>= {version})",
            "Provides": f"nvidia-dkms-{tail} (= {uploaded}), nvidia-prebuilt-kernel",
        }
        yield Entry(Package(f"linux-modules-nvidia-{tail}-{meta}", lrm, fields, section="kernel"), date)


def _moved(kernel: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[Entry]:
    """A branch's metapackages after the branch: empty, at the version of the build of that day."""
    date = str(row["date"])
    builds = [build for abi in kernel["abis"] for build in abi["modules"] if str(build["date"]) <= date]
    last = builds[-1]["version"] if builds else kernel["abis"][0]["modules"][0]["version"]
    for flavour in ("", "-open"):
        for meta in kernel["metas"]:
            name, onward = (f"linux-modules-nvidia-{row[end]}{flavour}-{meta}" for end in ("from", "to"))
            summary = f"Extra drivers for nvidia-{row['from']} for the {meta} flavour (dummy transitional package)"
            yield Entry(Package(name, f"{last}+1", {"Depends": onward}, section="oldlibs", summary=summary), date)
