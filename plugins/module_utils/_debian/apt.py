# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask apt what it has on offer, from its own metadata in three commands, and what a transaction of it would do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Tuple

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result, Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian.version import compare, sort_key
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

_RELATION = re.compile(r"(?P<name>[^\s:(]+)(?::\S+)?\s*(?:\((?P<relation>[<>=]+)\s*(?P<version>[^)\s]+)\s*\))?")
_INST = re.compile(r"Inst (?P<name>\S+)(?: \[(?P<before>[^\]]+)\])? \((?P<after>\S+) ")
_REMV = re.compile(r"(?:Remv|Purg) (?P<name>\S+)(?: \[(?P<before>[^\]]+)\])?")
_HELD = re.compile(r"^The following held packages will be changed:\n((?:  .*\n)+)", re.MULTILINE)

#: One alternative of a dependency: name, relation ("" for none), version.
Relation = Tuple[str, str, str]


@dataclass(frozen=True)
class Available:
    """One version of one package that can be installed."""

    name: str
    version: str
    architecture: str = "amd64"
    depends: tuple[tuple[Relation, ...], ...] = ()
    provides: tuple[Relation, ...] = ()
    transitional: bool = False
    origins: tuple[str, ...] = ()
    path: str | None = None
    installed_kib: int = 0  # what its files take once unpacked


@dataclass(frozen=True)
class Catalogue:
    """Every known version of every package in question, newest first, and apt's choice among them."""

    entries: Mapping[str, tuple[Available, ...]] = field(default_factory=dict)
    candidates: Mapping[str, str] = field(default_factory=dict)

    def versions(self, name: str) -> tuple[Available, ...]:
        """Return apt's candidate first, then the others from new to old."""
        chosen = self.candidates.get(name)
        return tuple(sorted(self.entries.get(name, ()), key=lambda entry: entry.version != chosen))

    def providers(self, name: str) -> list[Available]:
        """Return packages of any name that provide ``name``."""
        return [e for found in self.entries.values() for e in found if any(name == p[0] for p in e.provides)]


def make_catalogue(entries: Iterable[Available], candidates: Mapping[str, str] | None = None) -> Catalogue:
    """Group and sort; a package without a candidate given has its newest version as such."""
    grouped: dict[str, dict[str, Available]] = {}
    for entry in entries:
        grouped.setdefault(entry.name, {}).setdefault(entry.version, entry)
    ordered = {
        name: tuple(sorted(found.values(), key=lambda entry: sort_key(entry.version), reverse=True))
        for name, found in grouped.items()
    }
    newest = {name: found[0].version for name, found in ordered.items()}
    return Catalogue(ordered, {**newest, **(candidates or {})})


def catalogue(run: Run, pattern: str) -> Catalogue:
    """Return what apt knows of the packages whose names fit an expression."""
    native = _checked(run(["dpkg", "--print-architecture"], timeout_s=10)).stdout.strip()
    shown = _checked(run(["apt-cache", "show", pattern], timeout_s=120)).stdout
    policy = parse_policy(_checked(run(["apt-cache", "policy", pattern], timeout_s=120)).stdout, native)
    entries = [entry for entry in parse_show(shown) if entry.architecture in (native, "all")]
    placed = [replace(entry, origins=policy.origins.get((entry.name, entry.version), ())) for entry in entries]
    return make_catalogue(placed, policy.candidates)


def local_catalogue(run: Run, folder: str, host: Catalogue | None = None) -> Catalogue:
    """Return the packages of a folder of .deb files; ``host`` adds what apt has of the kernel's headers."""
    files = sorted(Path(folder).glob("*.deb"))
    if not files:
        raise GpuError(
            "a folder of .deb files", "none", folder, "copy the driver's packages with all their dependencies there"
        )
    entries = []
    for path in files:
        shown = _checked(run(["dpkg-deb", "--field", str(path)], timeout_s=30)).stdout
        entries += [replace(entry, path=str(path)) for entry in parse_show(shown)]
    headers = [e for name, found in (host or Catalogue()).entries.items() if name.startswith("linux-") for e in found]
    return make_catalogue([*entries, *headers])


def _checked(result: Result) -> Result:
    """Refuse a command that failed. apt-cache gives 100 where a pattern matches nothing, which is an answer as well."""
    if result.ok or (result.rc == 100 and result.argv[0] == "apt-cache"):
        return result
    raise GpuError(
        "an answer",
        f"exit status {result.rc}: {result.stderr.strip()[-300:]}",
        " ".join(result.argv),
        "run the command by hand on the host and mend what it says",
    )


def parse_show(text: str) -> list[Available]:
    """Parse the stanzas of ``apt-cache show`` or ``dpkg-deb --field``."""
    found = []
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
        if "Package" in fields and "Version" in fields:
            found.append(_available(fields))
    return found


def _available(fields: Mapping[str, str]) -> Available:
    """A transitional package may say so in its section alone, with the summary of the driver that it once was."""
    dependencies = ", ".join(fields[key] for key in ("Pre-Depends", "Depends") if fields.get(key))
    summary = fields.get("Description", fields.get("Description-en", ""))
    return Available(
        fields["Package"],
        fields["Version"],
        fields.get("Architecture", "all"),
        parse_relations(dependencies),
        tuple(alternatives[0] for alternatives in parse_relations(fields.get("Provides", ""))),
        "transitional" in summary.lower() or fields.get("Section", "").endswith("oldlibs"),
        installed_kib=int(fields.get("Installed-Size", "0")),
    )


def parse_relations(text: str) -> tuple[tuple[Relation, ...], ...]:
    """Parse ``a (>= 1) | b, c`` into alternatives within dependencies."""
    return tuple(
        tuple(
            (m["name"], m["relation"] or "", m["version"] or "")
            for m in map(_RELATION.match, map(str.strip, group))
            if m
        )
        for group in (part.split("|") for part in text.split(",") if part.strip())
    )


@dataclass(frozen=True)
class Policy:
    candidates: Mapping[str, str]
    origins: Mapping[tuple[str, str], tuple[str, ...]]


def parse_policy(text: str, native: str) -> Policy:
    """Parse candidates, and the sources of every version. ``(none)`` is no candidate: pinned away or only virtual."""
    candidates: dict[str, str] = {}
    origins: dict[tuple[str, str], tuple[str, ...]] = {}
    name = version = ""
    for line in text.splitlines():
        words = line.replace("***", "   ", 1).split()
        if line and not line[0].isspace():
            package, _colon, architecture = line.rstrip(":").partition(":")
            name, version = (package if architecture in ("", native) else ""), ""
        elif not name or not words:
            continue
        elif words[0] == "Candidate:":
            candidates[name] = "" if words[1] == "(none)" else words[1]
        elif line.startswith(" " * 7) and version:
            origins[name, version] = (*origins.get((name, version), ()), " ".join(words[1:]))
        elif re.match(r" (\*\*\*|   ) \S", line):
            version = words[0]
    return Policy(candidates, origins)


@dataclass(frozen=True)
class Move:
    """One package that a transaction touches; None stands for not there."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Transaction:
    """What apt would do, each part sorted by name."""

    install: tuple[Move, ...] = ()
    upgrade: tuple[Move, ...] = ()
    downgrade: tuple[Move, ...] = ()
    remove: tuple[Move, ...] = ()
    held_changed: tuple[str, ...] = ()
    download_bytes: int = 0
    unpacked_kib: int = 0  # of what the catalogue knows

    def measured(self, offer: Catalogue) -> Transaction:
        """Return it with the room that what comes takes on disk, as far as the catalogue tells."""
        sizes = {(e.name, e.version): e.installed_kib for found in offer.entries.values() for e in found}
        coming = (*self.install, *self.upgrade, *self.downgrade)
        return replace(self, unpacked_kib=sum(sizes.get((move.name, move.after or ""), 0) for move in coming))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def install_arguments(packages: Sequence[str], recommends: bool = False) -> list[str]:
    """Return what follows ``apt-get`` to install packages: the one spelling for trying it and for doing it."""
    return [
        *("install", "--yes", "--allow-change-held-packages", "--allow-downgrades"),
        *([] if recommends else ["--no-install-recommends"]),
        *("--option", "DPkg::Lock::Timeout=300"),
        *("--option", "Dpkg::Options::=--force-confdef", "--option", "Dpkg::Options::=--force-confold"),
        *packages,
    ]


def purge_arguments(names: Sequence[str]) -> list[str]:
    """Return what follows ``apt-get`` to purge packages: the one spelling for trying it and for doing it."""
    return ["purge", "--yes", "--allow-change-held-packages", "--option", "DPkg::Lock::Timeout=300", *names]


def removal(run: Run, names: Sequence[str]) -> Transaction:
    """Ask apt what purging packages would do, the packages that depend on them included; nothing is changed."""
    simulated = run(["apt-get", "-s", "-q", *purge_arguments(names)], timeout_s=300)
    if not simulated.ok:
        raise _unsatisfied(simulated, names)
    return parse_simulation(simulated.stdout)


def transaction(run: Run, packages: Sequence[str], recommends: bool = False) -> Transaction:
    """Ask apt what installing ``packages`` (``name=version``, ``name-`` or paths) would do; nothing is changed or downloaded."""
    if not packages:
        return Transaction()
    arguments = install_arguments(packages, recommends)
    simulated = run(["apt-get", "-s", "-q", *arguments], timeout_s=300)
    if not simulated.ok:
        raise _unsatisfied(simulated, packages)
    sizes = run(["apt-get", "--print-uris", "-qq", *arguments], timeout_s=300)
    return parse_simulation(simulated.stdout, sizes.stdout if sizes.ok else "")


def parse_simulation(text: str, uris: str = "") -> Transaction:
    """Parse the lines of ``apt-get -s`` and of ``apt-get --print-uris``."""
    moves = [Move(m["name"], m["before"], m["after"]) for m in map(_INST.match, text.splitlines()) if m]
    removed = [Move(m["name"], m["before"], None) for m in map(_REMV.match, text.splitlines()) if m]
    held = _HELD.search(text)
    steps: dict[str, list[Move]] = {"install": [], "upgrade": [], "downgrade": [], "remove": removed}
    for move in moves:
        order = compare(move.after or "", move.before) if move.before else None
        steps["install" if order is None else "downgrade" if order < 0 else "upgrade"].append(move)
    install, upgrade, downgrade, remove = (tuple(sorted(found, key=lambda move: move.name)) for found in steps.values())
    return Transaction(
        install,
        upgrade,
        downgrade,
        remove,
        held_changed=tuple(sorted(held[1].split())) if held else (),
        download_bytes=sum(int(size) for size in re.findall(r"^'\S+' \S+ (\d+)", uris, re.MULTILINE)),
    )


def _unsatisfied(result: Result, packages: Sequence[str]) -> GpuError:
    unmet = re.findall(r"^ +\S+ : .*(?:\n {4,}.*)*", result.stdout, re.MULTILINE)
    errors = re.findall(r"^E: .*", result.stderr, re.MULTILINE)
    return GpuError(
        f"one apt transaction with {', '.join(packages[:3])}{' and more' if len(packages) > 3 else ''}",
        "; ".join(" ".join(line.split()) for line in [*unmet, *errors]) or f"exit status {result.rc}",
        " ".join(result.argv[:4]),
        "see which source or pin keeps a version away: `apt-cache policy` of the package named",
    )
