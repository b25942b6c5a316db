"""Make the packages of NVIDIA's CUDA repository for Ubuntu from the table: branch 580 with its number in every name, 590 and later without.

It never loses a version, so a moment of it is everything up to that day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.lab.archive import contents, table
from tests.lab.archive.deb import Package
from tests.lab.archive.table import Upload
from tests.lab.archive.ubuntu import relations

MAINTAINER = "cudatools <cudatools@nvidia.com>"
#: Ubuntu's upper bound, which a revision such as -1ubuntu1 is above of: packages of 590 and later cannot have it.
UPPER = "(<= {u}-1)"
PIN = "etc/apt/preferences.d/nvidia-driver-pin"


def packages(day: str) -> list[Package]:
    """The repository on that day."""
    facts = table.read("cuda")
    out: list[Package] = []
    for upload in map(Upload.of, facts["uploads"]):
        if upload.date <= day:
            out += [*_driver(upload, facts), *_metas(upload, facts), *_fabric(upload, facts), *_pins(upload)]
    out += [_package(row["name"], row["version"], {}) for row in facts["others"] if str(row["date"]) <= day]
    return list({(each.name, each.version): each for each in out}.values())


def _package(name: str, version: str, fields: Mapping[str, str], **more: Any) -> Package:
    return Package(name, version, fields, component="", section="multiverse/devel", maintainer=MAINTAINER, **more)


def _branch(upload: Upload) -> str:
    return upload.version.partition(".")[0]


def _plain(upload: Upload, facts: Mapping[str, Any]) -> bool:
    return int(_branch(upload)) >= facts["first_plain"]


def _fill(template: str, upload: Upload, flavour: str, plain: bool) -> str:
    named = template.replace("-{s}", "" if plain else f"-{_branch(upload)}")
    return named.format(o=flavour, u=upload.upstream, v=upload.version, b=_branch(upload))


def _driver(upload: Upload, facts: Mapping[str, Any]) -> Iterator[Package]:
    plain, own = _plain(upload, facts), facts["shape"]
    base = table.shape(own["like"])
    shape = {name: {**base.get(name, {}), **own["packages"].get(name, {})} for name in {**base, **own["packages"]}}
    for template, rows in shape.items():
        if template in own["lacks"]:
            continue
        for flavour in ("", "-open") if "{o}" in template else ("",):
            name = _fill(template, upload, flavour, plain)
            wanted = {key: [each for each in rows[key] if not plain or UPPER not in each] for key in rows}
            listed = {key: [_fill(each, upload, flavour, plain) for each in wanted[key]] for key in rows}
            kept = {**rows, "family": [each for each in rows.get("family", ()) if each != name]}
            stem = template.partition("-{s}")[0]
            inside = contents.of_driver(
                stem, upload.upstream, flavour, server=False, firmware_inside=False, daemon="nvidia-persistenced"
            )
            fields = relations(kept, listed)
            yield _package(
                name, upload.version, fields, files=inside.files, scripts=inside.scripts, summary=rows["summary"]
            )


def _metas(upload: Upload, facts: Mapping[str, Any]) -> Iterator[Package]:
    for template, rows in facts["metas"]["after" if _plain(upload, facts) else "before"].items():
        listed = {key: [_fill(each, upload, "", False) for each in rows.get(key, ())] for key in rows}
        yield _package(_fill(template, upload, "", False), upload.version, relations({}, listed))


def _fabric(upload: Upload, facts: Mapping[str, Any]) -> Iterator[Package]:
    version = upload.version.replace("-0ubuntu1", "-1")
    for name in facts["fabric"]:
        inside = contents.of_other(name)
        yield _package(name, version, {}, files=inside.files, scripts=inside.scripts)


def _pins(upload: Upload) -> Iterator[Package]:
    """One for the branch, one for the version; each is a file of apt's preferences, and they exclude each other."""
    family = dict.fromkeys(("Provides", "Conflicts", "Replaces"), "nvidia-driver-pinning")
    for what, pattern in ((_branch(upload), f"{_branch(upload)}.*"), (upload.upstream, f"{upload.upstream}-*")):
        pin = f"Package: *nvidia* cuda-drivers* libnvsdm*\nPin: version {pattern}\nPin-Priority: 1000\n"
        yield _package(f"nvidia-driver-pinning-{what}", upload.upstream, family, files={PIN: pin})
