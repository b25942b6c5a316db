# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Edit words of systemd command lines, the others' quoting kept."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

# A word is a run of escaped characters, quoted stretches and plain characters; systemd takes quotes anywhere in a word.
_WORD = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"'\\])+""")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_ESCAPED = re.compile(r"\\(x[0-9A-Fa-f]{2}|[0-7]{3}|.)", re.DOTALL)
_PREFIXES = "-@:+!|"


@dataclass(frozen=True)
class Word:
    """One word as it is written (``raw``) and as the program gets it (``value``); specifiers stay as they are."""

    raw: str
    value: str


def _escape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "x" and len(code) == 3:
        return chr(int(code[1:], 16))
    if len(code) == 3:
        return chr(int(code, 8))
    return _ESCAPES.get(code, code)


def _unquote(raw: str) -> str:
    inner = re.sub(r"""(?<!\\)"((?:\\.|[^"\\])*)"|(?<!\\)'((?:\\.|[^'\\])*)'""", lambda m: m[1] or m[2] or "", raw)
    return _ESCAPED.sub(_escape, inner)


def split(text: str, where: str) -> tuple[Word, ...]:
    """Return the words of one command line; an open quote is an error, as it is for systemd."""
    words, position = [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _WORD.match(text, position)
        # A word ends at white space or at the end: anything else is an open quote or a lone backslash.
        if match is None or not (match.end() == len(text) or text[match.end()].isspace()):
            raise GpuError(
                "a command line whose quotes are closed", f"'{text}'", where, "close the quote or escape the character"
            )
        words.append(Word(match[0], _unquote(match[0])))
        position = match.end()
    return tuple(words)


@dataclass(frozen=True)
class Command:
    """One command: its program word(s), never edited, and its arguments."""

    head: tuple[Word, ...]
    arguments: tuple[Word, ...]

    @property
    def program(self) -> str:
        return self.head[0].value.lstrip(_PREFIXES)

    @property
    def text(self) -> str:
        return " ".join(word.raw for word in (*self.head, *self.arguments))

    @property
    def argv(self) -> str:
        """Return it as systemd shows it: unquoted, the name that the program sees first."""
        name = self.head[1].value if len(self.head) > 1 else self.program
        return " ".join((name, *(word.value for word in self.arguments)))

    def runs(self, program: str | None) -> bool:
        """Tell whether this is the program meant: its path or its last part; None means any."""
        return program in (None, self.program, self.program.rsplit("/", 1)[-1])


def _command(words: tuple[Word, ...]) -> Command:
    path = words[0].value
    prefix = path[: len(path) - len(path.lstrip(_PREFIXES))]
    size = 2 if "@" in prefix else 1  # with @ the second word is the name that the program sees
    return Command(words[:size], words[size:])


def commands(lines: tuple[str, ...], where: str) -> tuple[Command, ...]:
    """Return the commands of several ``ExecStart=`` values; a lone ``;`` parts two commands in one value."""
    found: list[Command] = []
    for line in lines:
        part: list[Word] = []
        for word in (*split(line, where), Word(";", ";")):
            if word.raw != ";":
                part.append(word)
            elif part:
                found.append(_command(tuple(part)))
                part = []
    return tuple(found)


def _spellings(item: tuple[Word, ...]) -> tuple[tuple[str, ...], ...]:
    """Return every way to write an argument: ``--flag=value`` and ``--flag value`` mean the same to getopt."""
    values = tuple(word.value for word in item)
    if len(values) == 1 and re.match(r"--[^=]+=", values[0]):
        return (values, tuple(values[0].split("=", 1)))
    if len(values) == 2 and re.fullmatch(r"--[^=]+", values[0]):
        return (values, ("=".join(values),))
    return (values,)


def _find(arguments: tuple[Word, ...], item: tuple[Word, ...]) -> tuple[int, int] | None:
    """Find where the item stands among the arguments: first index and length."""
    for spelling in _spellings(item):
        size = len(spelling)
        for start in range(len(arguments) - size + 1):
            if tuple(word.value for word in arguments[start : start + size]) == spelling:
                return start, size
    return None


def items(texts: list[str], option: str) -> tuple[tuple[Word, ...], ...]:
    """Return what a user lists under ``remove`` or ``add``, as words."""
    parsed = []
    for text in texts:
        words = split(text, option)
        # systemd ends a line at a carriage return and a NUL too (read_line_full in its src/basic/fileio.c).
        broken = any(character != "\t" and unicodedata.category(character) == "Cc" for character in text)
        if not words or broken or any(word.raw == ";" for word in words):
            raise GpuError(
                "one argument as it is written in a unit file", repr(text), option, "give one argument for each item"
            )
        parsed.append(words)
    return tuple(parsed)


def edit(command: Command, remove: tuple[tuple[Word, ...], ...], add: tuple[tuple[Word, ...], ...]) -> Command:
    """Return the command without every occurrence of ``remove`` and with each of ``add`` that it lacks at its end."""
    arguments = command.arguments
    for item in remove:
        place = _find(arguments, item)
        while place:
            arguments = (*arguments[: place[0]], *arguments[sum(place) :])
            place = _find(arguments, item)
    for item in add:
        if _find(arguments, item) is None:
            arguments = (*arguments, *item)
    return Command(command.head, arguments)
