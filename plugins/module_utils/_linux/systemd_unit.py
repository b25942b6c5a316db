# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read a service unit from its files, and plan the drop-in that edits its command.

Nothing here runs a command: what systemd itself thinks is asked by the module and read by ``parse_show``.
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under
from ansible_collections.t9k.gpu.plugins.module_utils._linux.systemd_exec import Command, commands, edit, items

#: Where units lie, the first wins.
UNIT_PATHS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
)
DEFAULT_DROP_IN = "50-t9k-gpu.conf"
_HEADER = "# Managed by Ansible (t9k.gpu.systemd_unit_patch); edits made here are lost.\n"


def unit_name(name: str) -> str:
    """Return the name with its suffix; only services have a command."""
    full = name if re.search(r"\.[a-z]+$", name) else f"{name}.service"
    if not re.fullmatch(r"[A-Za-z0-9:_.\\@-]+\.service", full):
        raise GpuError("the name of a service unit", f"'{name}'", "unit", "name a unit that ends in .service")
    return full


def template_of(name: str) -> str | None:
    """Return ``a@.service`` for the instance ``a@b.service``."""
    match = re.fullmatch(r"([^@]+@)[^@]+(\.service)", name)
    return match[1] + match[2] if match else None


def distinct(names: list[str]) -> tuple[str, ...]:
    """Return each unit once; an instance is left to its template where both are named."""
    full = dict.fromkeys(unit_name(name) for name in names)
    return tuple(name for name in full if template_of(name) not in full)


@dataclass(frozen=True)
class Source:
    """One file and its text."""

    path: str
    text: str

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


def settings(text: str) -> tuple[tuple[str, str, str], ...]:
    """Return (section, key, value) in order: comments dropped, lines that end in a backslash joined."""
    found, section, pending = [], "", ""
    for raw in (*text.splitlines(), ""):
        line = raw.strip()
        if line[:1] in ("#", ";"):
            continue  # also between the parts of a continued line
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        line, pending = (pending + line).strip(), ""
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line:
            key, value = line.split("=", 1)
            found.append((section, key.strip(), value.strip()))
    return tuple(found)


@dataclass(frozen=True)
class Unit:
    """A unit as its files describe it. ``candidates``: every drop-in found, those that win first."""

    name: str
    fragment: Source
    candidates: tuple[Source, ...] = ()

    @property
    def masked(self) -> bool:
        return not self.fragment.text.strip()

    @property
    def drop_ins(self) -> tuple[Source, ...]:
        """Return those in effect: of one file name the first directory's, applied in the order of file names."""
        winners: dict[str, Source] = {}
        for source in self.candidates:
            winners.setdefault(source.name, source)
        return tuple(winners[name] for name in sorted(winners) if winners[name].text.strip())

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """Return all values of a list setting; an empty one forgets those before it."""
        found: list[str] = []
        for source in (self.fragment, *self.drop_ins):
            for where, name, value in settings(source.text):
                if (where, name) == (section, key):
                    found = [*found, value] if value else []
        return tuple(found)

    @property
    def commands(self) -> tuple[Command, ...]:
        return commands(self.values("Service", "ExecStart"), self.fragment.path)

    @property
    def enable_possible(self) -> bool:
        """Tell whether ``systemctl enable`` has something to do: a static unit has no [Install] section."""
        return any(self.values("Install", key) for key in ("WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also"))

    def text_of(self, path: str) -> str | None:
        return next((source.text for source in self.candidates if source.path == path), None)

    def without(self, path: str) -> Unit:
        return replace(self, candidates=tuple(source for source in self.candidates if source.path != path))

    def with_drop_in(self, path: str, text: str) -> Unit:
        """Return the unit with one file in /etc, which wins over the others of its name."""
        return replace(self, candidates=(Source(path, text), *self.without(path).candidates))

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "fragment": self.fragment.path,
            "drop_ins": [source.path for source in self.drop_ins],
            "exec_start": list(self.values("Service", "ExecStart")),
            "enable_possible": self.enable_possible,
            "masked": self.masked,
        }


def _drop_in_names(name: str) -> tuple[str, ...]:
    """Return the folders that hold drop-ins for a unit, most specific first: itself, template, dash prefixes, type."""
    template = template_of(name)
    stem = (template or name)[: -len(".service")]
    prefixes = [stem[: match.end()] for match in re.finditer("-", stem) if match.end() < len(stem)]
    names = (name, template, *(f"{prefix}.service" for prefix in reversed(prefixes)), "service")
    return tuple(f"{entry}.d" for entry in names if entry)


def _candidates(names: tuple[str, ...], root: str, more: tuple[str, ...]) -> tuple[Source, ...]:
    found: dict[Path, Source] = {}
    for name in names:
        for folder in (f"{base}/{name}" for base in UNIT_PATHS):
            for path in sorted(under(root, folder).glob("*.conf")):
                # /lib is /usr/lib on merged systems: one file must not count twice.
                found.setdefault(path.resolve(), Source(f"{folder}/{path.name}", read_text(path) or ""))
    for named in more:
        text = read_text(under(root, named))
        if text is not None:
            found.setdefault(under(root, named).resolve(), Source(named, text))
    return tuple(found.values())


def _fragment(name: str, root: str) -> tuple[str, Source] | None:
    """Return the unit's own name (a symbolic link is an alias) and its file."""
    for path in (f"{base}/{name}" for base in UNIT_PATHS):
        text = read_text(under(root, path))
        if text is not None:
            real = under(root, path).resolve()
            is_alias = real.name.endswith(".service") and template_of(name) != real.name
            return (real.name if is_alias else name), Source(path, text)
    return None


def load(name: str, root: str = "/", fragment: str | None = None, drop_ins: tuple[str, ...] = ()) -> Unit | None:
    """Return the unit from its files; None where it has none.

    ``fragment`` and ``drop_ins``: paths that systemd names, for those outside the usual folders (generators, control).
    """
    asked = unit_name(name)
    found = _fragment(asked, root) or _fragment(template_of(asked) or asked, root)
    if found is None and fragment and (text := read_text(under(root, fragment))) is not None:
        found = (asked, Source(fragment, text))
    if found is None:
        return None
    real = asked if template_of(asked) == found[0] else found[0]
    names = tuple(dict.fromkeys((*_drop_in_names(real)[:-1], *_drop_in_names(asked))))
    return Unit(real, found[1], _candidates(names, root, drop_ins))


@dataclass(frozen=True)
class DropInPlan:
    """What the drop-in must say (``text`` None: it must not be there) and what that does to the command."""

    path: str
    current: str | None
    text: str | None
    command_before: tuple[str, ...]
    command_after: tuple[str, ...]
    reason: str

    @property
    def changed(self) -> bool:
        return self.current != self.text


def _render(unit: Unit, wanted: tuple[str, ...]) -> str:
    lines = "".join(f"ExecStart={command}\n" for command in ("", *wanted))
    return f"{_HEADER}# Made from {unit.fragment.path}\n[Service]\n{lines}"


def _edited(base: Unit, remove: list[str], add: list[str], program: str | None) -> tuple[Command, ...]:
    removals, additions = items(remove, "remove"), items(add, "add")
    both = set(removals) & set(additions)
    if both:
        names = ", ".join(" ".join(word.raw for word in item) for item in sorted(both, key=str))
        raise GpuError("each argument either removed or added", f"{names} in both", "remove, add", "keep one of them")
    if additions and not any(command.runs(program) for command in base.commands):
        raise GpuError(
            f"a command of {base.name} to add arguments to",
            f"none that runs {program}" if program else "no ExecStart",
            base.fragment.path,
            "check the unit's name and the option program",
        )
    return tuple(edit(each, removals, additions) if each.runs(program) else each for each in base.commands)


def plan(
    unit: Unit,
    remove: list[str],
    add: list[str],
    drop_in: str = DEFAULT_DROP_IN,
    program: str | None = None,
) -> DropInPlan:
    """Return the drop-in for a unit, always computed from the unit without it; nothing to edit means no drop-in."""
    if not re.fullmatch(r"[^/\s]+\.conf", drop_in):
        raise GpuError("a drop-in's file name that ends in .conf", f"'{drop_in}'", "drop_in", "give a plain file name")
    path = f"{UNIT_PATHS[0]}/{unit.name}.d/{drop_in}"
    base = unit.without(path)
    vendor = tuple(command.text for command in base.commands)
    after = tuple(command.text for command in _edited(base, remove, add, program))
    before = tuple(command.text for command in unit.commands)
    text, reason = None, f"{base.fragment.path} and its other drop-ins already give the command wanted"
    if not remove and not add:
        reason = "no edit is wanted"
    if after != vendor:
        text, reason = _render(base, after), f"without this drop-in the command is {'; '.join(vendor) or 'missing'}"
        _must_win(base.with_drop_in(path, text), path, after)
    return DropInPlan(path, unit.text_of(path), text, before, after, reason)


def _must_win(unit: Unit, path: str, wanted: tuple[str, ...]) -> None:
    if tuple(command.text for command in unit.commands) == wanted:
        return
    name = path.rsplit("/", 1)[-1]
    command = ("Service", "ExecStart")
    later = [s.path for s in unit.drop_ins if s.name > name and command in {x[:2] for x in settings(s.text)}]
    raise GpuError(
        f"{path} to decide the command",
        "a drop-in that is read later sets ExecStart too",
        ", ".join(later),
        "remove ExecStart there, or give this one a name that sorts after it (option drop_in)",
    )


def vendor_edited(path: str, root: str = "/") -> bool | None:
    """Tell whether a packaged file differs from what dpkg unpacked; None where no package claims it."""
    names = {path.lstrip("/"), re.sub("^/usr/", "", path).lstrip("/"), f"usr{re.sub('^/usr/', '/', path)}"}
    try:
        content = under(root, path).read_bytes()
    except OSError:
        return None
    word = path.rsplit("/", 1)[-1].split("-")[0].split(".")[0]
    lists = sorted(under(root, "/var/lib/dpkg/info").glob("*.md5sums"), key=lambda p: (word not in p.name, p.name))
    for listed in lists:  # the package is most likely named like its unit: look there first
        for line in (read_text(listed) or "").splitlines():
            digest, _separator, name = line.partition("  ")
            if name in names:
                return _md5(content) != digest
    return None


def _md5(content: bytes) -> str:
    """Return dpkg's checksum. Python 3.9 and later can say that no secret hangs on it, which FIPS machines insist on."""
    if sys.version_info >= (3, 9):
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    return hashlib.md5(content).hexdigest()


def parse_show(text: str) -> dict[str, str]:
    """Return the properties that ``systemctl show`` prints; several ExecStart lines become one text."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        if separator:
            found[key] = f"{found[key]}\n{value}" if key in found else value
    return found


def loaded_argv(text: str) -> tuple[str, ...]:
    """Return the command lines in the ExecStart property that systemd shows."""
    return tuple(re.findall(r"argv\[\]=(.*?) ; (?:ignore_errors|flags)=", text))
