"""Read the table of facts: shapes of driver sources, and what was uploaded when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

FACTS = Path(__file__).resolve().parent / "facts"
POCKETS = ("updates", "security")


class TableError(ValueError):
    """The table says something that no archive can be made of."""


@dataclass(frozen=True)
class Upload:
    """One version of one family, and the pockets it went to on that day."""

    version: str
    date: str
    pockets: tuple[str, ...] = POCKETS
    leads_to: str = ""  # a family: every package of this upload is empty and depends on that family's
    said: str = "summary"  # where a transitional package says so: "summary" or "text", the part below it
    brings: tuple[str, ...] = ()  # older families whose names come along, leading to this one
    lacks: tuple[str, ...] = ()
    source: str = ""

    @property
    def upstream(self) -> str:
        return upstream(self.version)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Upload:
        known: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        upload = cls(**{**known, "date": str(row["date"])})
        if not re.fullmatch(r"20\d\d-\d\d-\d\d", upload.date) or upload.said not in ("summary", "text"):
            raise TableError(f"{upload.version}: date {upload.date}, said {upload.said}")
        return upload


@dataclass(frozen=True)
class Driver:
    """One family, such as 535-server, and all its uploads."""

    family: str
    shape: str
    modules: tuple[str, ...]
    uploads: tuple[Upload, ...]
    component: str = "restricted"

    @property
    def flavours(self) -> tuple[str, ...]:
        """The part of package names that tells the kernel modules apart."""
        return tuple({"proprietary": "", "open": "-open"}[each] for each in self.modules)


def upstream(version: str) -> str:
    """``535.161.08`` of ``535.161.08-0ubuntu2.22.04.1``."""
    return version.rpartition(":")[2].rpartition("-")[0] or version


@lru_cache(maxsize=None)
def read(name: str) -> dict[str, Any]:
    """One file of the table."""
    return yaml.safe_load((FACTS / f"{name}.yml").read_text())


def drivers(rows: Sequence[Mapping[str, Any]]) -> Iterator[Driver]:
    for row in rows:
        uploads = tuple(Upload.of(each) for each in row["uploads"])
        yield Driver(**{**row, "modules": tuple(row["modules"]), "uploads": uploads})


def shape(name: str) -> dict[str, dict[str, Any]]:
    """package name -> its facts, with what a shape takes over from another filled in."""
    found = read("families")[name]
    base = shape(found["like"]) if "like" in found else {}
    extra = found["packages"]
    return {package: {**base.get(package, {}), **extra.get(package, {})} for package in {**base, **extra}}
