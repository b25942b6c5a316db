# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan which selections of dpkg change to hold or release packages, and write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Callable

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result, Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import ADMIN_DIR, Package
from ansible_collections.t9k.gpu.plugins.module_utils._debian.lock import run_unlocked
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import under

#: What dpkg goes back to when a hold is released, by the package's status; "unknown" lets it forget the entry.
_RELEASED = {"config-files": "deinstall", "not-installed": "unknown"}


@dataclass(frozen=True)
class Selection:
    """One package's selection before and after."""

    name: str
    architecture: str
    version: str | None
    installed: bool
    selection_before: str
    selection_after: str

    @property
    def changed(self) -> bool:
        return self.selection_before != self.selection_after

    @property
    def label(self) -> str:
        return f"{self.name}:{self.architecture}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def unknown_names(patterns: Iterable[str], packages: Sequence[Package]) -> list[str]:
    """Return the exact names that dpkg has no entry for."""
    return [p for p in patterns if not is_glob(p) and not any(_matches(p, package) for package in packages)]


def plan(
    patterns: Sequence[str],
    packages: Sequence[Package],
    state: str,
    others: Callable[[str], bool] | None = None,
    known: Sequence[Package] = (),
) -> tuple[Selection, ...]:
    """Return the selection of every package in question, changed or not.

    ``packages``  dpkg's database
    ``others``    which held packages besides are to be released, by their names
    ``known``     what apt knows of the names that dpkg does not
    """
    everything = [*packages, *known]
    _refuse_unmatched(patterns, everything)
    chosen = [package for package in everything if any(_covers(pattern, package) for pattern in patterns)]
    if state == "held":
        wanted = [_selection(package, "hold") for package in chosen]
    else:
        wanted = [_released(package) for package in chosen if package.held or package.present]
    if others is not None:
        taken = {package.spec for package in chosen}
        wanted += [_released(p) for p in packages if p.held and others(p.name) and p.spec not in taken]
    return tuple(sorted(wanted, key=lambda selection: selection.label))


def _matches(pattern: str, package: Package) -> bool:
    name, _colon, architecture = pattern.partition(":")
    return fnmatchcase(package.name, name) and fnmatchcase(package.architecture, architecture or "*")


def _covers(pattern: str, package: Package) -> bool:
    """Tell whether a pattern means a package: a glob what is there (or held for later), an exact name there or not."""
    return _matches(pattern, package) and (not is_glob(pattern) or package.present or package.held)


def _refuse_unmatched(patterns: Sequence[str], packages: Sequence[Package]) -> None:
    missing = [pattern for pattern in patterns if not any(_covers(pattern, package) for package in packages)]
    if missing:
        globs = [pattern for pattern in missing if is_glob(pattern)]
        names = [pattern for pattern in missing if not is_glob(pattern)]
        found = [
            *([f"no installed package matches {', '.join(globs)}"] if globs else []),
            *([f"neither dpkg nor apt knows {', '.join(names)}"] if names else []),
        ]
        raise GpuError(
            f"packages {', '.join(patterns)}",
            "; ".join(found),
            "dpkg's status file and apt-cache",
            "correct the spelling or the architecture, or install the packages (or `apt-get update`) first",
        )


def _selection(package: Package, after: str) -> Selection:
    return Selection(package.name, package.architecture, package.version, package.installed, package.want, after)


def _released(package: Package) -> Selection:
    return _selection(package, _RELEASED.get(package.status, "install") if package.held else package.want)


def lookup(run: Run, names: Sequence[str], root: str = "/") -> tuple[Package, ...]:
    """Return what apt knows of names that dpkg has no entry for: the newest version of each."""
    if not names:
        return ()
    result = run(["apt-cache", *_apt_root(root), "show", "--no-all-versions", *names], timeout_s=60)
    return tuple(
        Package(
            fields["Package"], fields["Architecture"], None, "unknown", "not-installed", fields.get("Multi-Arch", "no")
        )
        for fields in (_first_lines(stanza) for stanza in result.stdout.split("\n\n"))
        if "Package" in fields and "Architecture" in fields
    )


def _apt_root(root: str) -> list[str]:
    return [] if root == "/" else ["-o", f"Dir={root}", "-o", f"Dir::State::status={under(root, ADMIN_DIR)}/status"]


def _first_lines(stanza: str) -> dict[str, str]:
    return dict(re.findall(r"^(Package|Architecture|Multi-Arch): (\S+)", stanza, re.MULTILINE))


def apply(
    run: Run,
    selections: Sequence[Selection],
    known: Sequence[Package] = (),
    root: str = "/",
    lock_timeout_s: int = 60,
) -> None:
    """Write what changes in one transaction of dpkg; a name new to dpkg is made known to it first, as apt-mark does."""
    changed = [selection for selection in selections if selection.changed]
    if not changed:
        return
    program = ["dpkg", *([] if root == "/" else [f"--root={root}"])]
    names = {selection.label for selection in changed}
    new = "\n".join(_stanza(package) for package in known if package.spec in names)
    lines = "".join(f"{selection.label} {selection.selection_after}\n" for selection in changed)
    for argv, stdin in (([*program, "--merge-avail", "-"], new), ([*program, "--set-selections"], lines)):
        if stdin:
            _refuse_failure(run_unlocked(run, argv, stdin, root, lock_timeout_s))


def _stanza(package: Package) -> str:
    """Return the least that dpkg takes as an available package."""
    fields = {
        "Package": package.name,
        "Architecture": package.architecture,
        "Multi-Arch": package.multi_arch,
        "Maintainer": "unknown <unknown@localhost>",
        "Version": "0~",
        "Description": "selected before its installation",
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def _refuse_failure(result: Result) -> None:
    """Refuse what dpkg did not do. Its exit status is 0 even where it ignored a name, so its warning counts as well."""
    if not result.ok or "not in status nor available database" in result.stderr:
        raise GpuError(
            "selections written",
            f"exit status {result.rc}: {result.stderr.strip() or result.stdout.strip()}",
            " ".join(result.argv),
            "see the message of dpkg; `dpkg --audit` lists damage",
        )


def verify(selections: Sequence[Selection], packages: Sequence[Package]) -> None:
    """Read back: every selection is now what was planned."""
    now = {package.spec: package.want for package in packages}
    wrong = [s for s in selections if now.get(s.label, "unknown") != s.selection_after]
    if wrong:
        raise GpuError(
            f"{wrong[0].label} on {wrong[0].selection_after}",
            f"{now.get(wrong[0].label, 'unknown')} after dpkg had written it ({len(wrong)} packages so)",
            "dpkg's status file",
            "look for another program that changes selections at the same time, then run again",
        )


def as_diff(selections: Sequence[Selection]) -> tuple[dict[str, str], dict[str, str]]:
    """Return before and after, by package, of what changes."""
    changed = [s for s in selections if s.changed]
    return {s.label: s.selection_before for s in changed}, {s.label: s.selection_after for s in changed}
