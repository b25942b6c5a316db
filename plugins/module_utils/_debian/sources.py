# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read apt's source entries, in both of their formats, and find the one entry that must be added. Pure but for ``read``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ansible_collections.t9k.gpu.plugins.module_utils._debian.login import shown
from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<components>[^#]*)")


@dataclass(frozen=True)
class Entry:
    """One enabled source of binary packages."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str | None = None

    def to_dict(self) -> dict[str, object]:
        """Return it in the words of ``ansible.builtin.deb822_repository``."""
        fields: dict[str, object] = {
            "uris": list(self.uris),
            "suites": list(self.suites),
            "components": list(self.components),
        }
        return {**fields, "signed_by": self.signed_by} if self.signed_by else fields

    def plain(self) -> Entry:
        """Return it as everybody may see it: apt gets names and passwords from a file of their own."""
        return replace(self, uris=tuple(map(shown, self.uris)))

    def same_place(self, other: Entry) -> bool:
        """Compare everything but the key: ``deb822_repository`` stores a key given by address under a path of its own."""
        return (set(self.uris), set(self.suites), set(self.components)) == (
            set(other.uris),
            set(other.suites),
            set(other.components),
        )

    def stands_in(self, text: str | None) -> bool:
        """Tell whether a deb822 file has it."""
        return any(self.same_place(there) for there in parse(text or "", deb822=True))


def read(root: str, leave_out: Iterable[str]) -> tuple[Entry, ...]:
    """Return every enabled entry of ``/etc/apt`` below ``root``, but for those of the files ``leave_out``."""
    parts, ours = sorted(under(root, "/etc/apt/sources.list.d").glob("*")), {under(root, path) for path in leave_out}
    files = [under(root, "/etc/apt/sources.list"), *(part for part in parts if part not in ours)]
    return tuple(entry for path in files for entry in parse(read_text(path) or "", deb822=path.suffix == ".sources"))


def parse(text: str, deb822: bool) -> tuple[Entry, ...]:
    return tuple(_deb822(text) if deb822 else _one_line(text))


def _one_line(text: str) -> Iterator[Entry]:
    for line in text.splitlines():
        match = _ONE_LINE.match(line.strip())
        if match:
            key = re.search(r"signed-by=(\S+)", match["options"] or "")
            yield Entry((match["uri"],), (match["suite"],), tuple(match["components"].split()), key[1] if key else None)


def _deb822(text: str) -> Iterator[Entry]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = _fields(stanza)
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() in ("yes", "true", "1"):
            yield Entry(
                tuple(fields.get("uris", "").split()),
                tuple(fields.get("suites", "").split()),
                tuple(fields.get("components", "").split()),
                fields.get("signed-by") or None,
            )


def _fields(stanza: str) -> dict[str, str]:
    """Return the fields by name in lower case; continuation lines are joined to their field."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')}\n{line.strip()}".strip()
        elif ":" in line:
            name, _colon, value = line.partition(":")
            name = name.lower()
            fields[name] = value.strip()
    return fields


#: The parts of a release: as it came out, and what was mended since, which may lie on another mirror.
POCKETS = ("", "-updates", "-security")


def extra_components(entries: Iterable[Entry], codename: str, needed: Iterable[str]) -> dict[str, Entry]:
    """Return the entries that add the components the distribution's own sources lack, by the first pocket of each mirror.

    Each from the very mirror that the node has that pocket from: the release's own has each package once and for ever, so
    without -updates and -security no fix of the driver would ever be seen, and -security is often elsewhere. Empty if nothing
    lacks, or if there is no entry of this release to take the mirror from.
    """
    known, wanted = list(entries), list(needed)
    found: dict[str, Entry] = {}
    for pocket in POCKETS:
        suite = f"{codename}{pocket}"
        base = next((entry for entry in known if suite in entry.suites), None)
        lacking = tuple(name for name in wanted if not _has(known, suite, name))
        if base is None or not lacking:
            if base is None and not pocket:
                return {}
            continue
        first = next((each for each, entry in found.items() if set(entry.uris) == set(base.uris)), pocket)
        there = found.get(first, Entry(base.uris, (), (), base.signed_by))
        components = tuple(dict.fromkeys((*there.components, *lacking)))
        found[first] = Entry(there.uris, (*there.suites, suite), components, there.signed_by)
    return found


def _has(entries: Iterable[Entry], suite: str, component: str) -> bool:
    return any(suite in entry.suites and component in entry.components for entry in entries)
