# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read modprobe's configuration as modprobe reads it.

Facts, tried with kmod 30: files named ``*.conf`` of all directories are read in the byte order of their names; of one
name only the first directory's counts; the kernel's command line comes last. ``options`` of a module add up and the
kernel takes the last value of a parameter. Through ``install nvidia modprobe -i nvidia-current $CMDLINE_OPTS`` (Debian)
the options of ``nvidia`` are handed on *after* those of ``nvidia-current``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

#: Where the configuration lies, the first wins.
DIRECTORIES = (
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
)
COMMAND_LINE = "/proc/cmdline"
#: Ours, named so that no distribution's or installer's file has the name.
BLACKLIST_PATH = "/etc/modprobe.d/t9k-gpu-nouveau.conf"
#: Drivers that would take the GPU before NVIDIA's.
RIVALS = ("nouveau", "nova_core")
_HEADER = "# Managed by Ansible (t9k.gpu).\n"


def module_key(name: str) -> str:
    """Return the name for comparing: modprobe takes - and _ as the same character."""
    return name.replace("-", "_")


@dataclass(frozen=True)
class Line:
    """One configuration line: ``verb module rest``."""

    verb: str
    module: str
    rest: str
    path: str
    number: int

    @property
    def place(self) -> str:
        return f"{self.path}:{self.number}"


@dataclass(frozen=True)
class Setting:
    """One parameter that a line gives a module."""

    module: str
    option: str
    value: str
    path: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _physical(text: str) -> list[str]:
    """Split where kmod does: at line feeds alone (getline_wrapped in its libkmod/libkmod-util.c)."""
    return text[:-1].split("\n") if text.endswith("\n") else text.split("\n") if text else []


def logical_lines(text: str) -> Iterable[tuple[int, int, str]]:
    """Yield (first line, last line, text) with lines that end in a backslash joined; numbers from 1."""
    first, pending = 0, ""
    for number, raw in enumerate(_physical(text), 1):
        first = first or number
        if raw.endswith("\\"):
            pending += raw[:-1]
            continue
        yield first, number, pending + raw
        first, pending = 0, ""
    if pending:
        yield first, len(_physical(text)), pending


def parse(text: str, path: str) -> tuple[Line, ...]:
    """Return the lines that say something; comments, blanks and fragments are dropped."""
    found = []
    for number, _last, line in logical_lines(text):
        words = line.split(None, 2)
        if len(words) > 1 and not words[0].startswith("#"):
            found.append(Line(words[0], module_key(words[1]), words[2] if len(words) > 2 else "", path, number))
    return tuple(found)


def parse_command_line(text: str) -> tuple[Line, ...]:
    """Parse ``module.option=value`` and ``modprobe.blacklist=a,b`` of the kernel's command line."""
    found = []
    for word in text.split():
        match = re.fullmatch(r"([\w-]+)\.([\w-]+=.*)", word)
        if match and match[1] == "modprobe" and match[2].startswith("blacklist="):
            names = match[2].partition("=")[2].split(",")
            found += [Line("blacklist", module_key(name), "", COMMAND_LINE, 1) for name in names if name]
        elif match:
            found.append(Line("options", module_key(match[1]), match[2], COMMAND_LINE, 1))
    return tuple(found)


@dataclass(frozen=True)
class Config:
    """Every line in the order in which modprobe reads it."""

    lines: tuple[Line, ...]

    def settings(self, modules: Iterable[str], option: str) -> tuple[Setting, ...]:
        """Return what the modules' lines give one parameter, module after module, each in reading order: the last wins."""
        found = []
        for module in dict.fromkeys(modules):
            for line in self.lines:
                if line.verb == "options" and line.module == module_key(module):
                    values = [word.partition("=") for word in line.rest.replace('"', " ").split()]
                    found += [Setting(module, option, v, line.path, line.number) for k, _eq, v in values if k == option]
        return tuple(found)

    def blacklisted(self, module: str) -> Line | None:
        """Return the line that keeps a module from loading by itself: blacklist, ``alias … off``, ``install … /bin/false``."""
        for line in self.lines:
            off = (line.verb == "alias" and line.rest.strip() == "off") or (
                line.verb == "install" and re.fullmatch(r"(\S*/)?(true|false|:)", line.rest.strip())
            )
            if line.module == module_key(module) and (line.verb == "blacklist" or off):
                return line
        return None

    def real_name(self, module: str) -> str | None:
        """Return the module that an ``install`` line loads in this one's place, as Debian's packages do."""
        for line in self.lines:
            if line.verb == "install" and line.module == module_key(module):
                match = re.search(r"modprobe\s+(?:-\S+\s+)*(?:-i|--ignore-install)\s+(?:-\S+\s+)*([\w-]+)", line.rest)
                return match[1] if match else None
        return None


def load(root: str = "/") -> Config:
    """Return the whole configuration, from files only."""
    winners: dict[str, str] = {}
    for folder in DIRECTORIES:
        for path in under(root, folder).glob("*.conf"):
            winners.setdefault(path.name, f"{folder}/{path.name}")
    lines: list[Line] = []
    for name in sorted(winners, key=lambda each: each.encode()):
        lines += parse(read_text(under(root, winners[name])) or "", winners[name])
    return Config((*lines, *parse_command_line(read_text(under(root, COMMAND_LINE)) or "")))


def _stripped(text: str, modules: frozenset[str], option: str) -> str:
    """Return the text without one parameter; an ``options`` line that gives nothing else goes too."""
    source, kept = _physical(text), []
    for first, last, line in logical_lines(text):
        words = line.split()
        is_theirs = len(words) > 2 and words[0] == "options" and module_key(words[1]) in modules
        rest = [word for word in words if word.partition("=")[0].strip('"') != option]
        if not is_theirs or rest == words:
            kept += source[first - 1 : last]
        elif len(rest) > 2:
            kept.append(" ".join(rest))
    return "".join(f"{line}\n" for line in kept)


def with_option(text: str | None, modules: tuple[str, ...], option: str, value: str) -> str:
    """Return the file's text with ``options modules[0] option=value``; the other modules are its aliases. Other lines stay."""
    settings = Config(parse(text or "", "")).settings(modules, option)
    if text and settings and {(setting.module, setting.value) for setting in settings} == {(modules[0], value)}:
        return text
    kept = _stripped(text or _HEADER, frozenset(map(module_key, modules)), option)
    apart = "\n" if kept.endswith("\\\n") else ""  # a last line that goes on would swallow ours
    return f"{kept}{apart}options {modules[0]} {option}={value}\n"


def without_option(text: str | None, modules: tuple[str, ...], option: str) -> str | None:
    """Return the file's text without the parameter; None where nothing but comments would be left."""
    if text is None or not Config(parse(text, "")).settings(modules, option):
        return text
    kept = _stripped(text, frozenset(map(module_key, modules)), option)
    return kept if parse(kept, "") else None


def render_blacklist(modules: tuple[str, ...] = RIVALS) -> str:
    """Return our file that keeps other drivers off the GPU, for ``BLACKLIST_PATH``."""
    lines = [f"blacklist {module}" for module in modules]
    if "nouveau" in modules:
        lines.append("options nouveau modeset=0")
    return _HEADER + "".join(f"{line}\n" for line in lines)
