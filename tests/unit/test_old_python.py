"""Everything a node runs must load on the Python of Ubuntu 20.04, 3.8: no newer spelling where Python evaluates it.

Annotations are never evaluated (``from __future__ import annotations``); what is checked here is the rest.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
FILES = sorted([*PLUGINS.glob("module_utils/**/*.py"), *PLUGINS.glob("modules/*.py")])
#: Subscripting these is a TypeError before 3.9; the names of ``typing`` do.
BUILTIN = {"dict", "list", "tuple", "set", "frozenset", "type"}
NEWER = {"removeprefix", "removesuffix", "is_relative_to", "readlink", "with_stem", "usedforsecurity", "strict"}


def evaluated(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes outside annotations."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                yield from evaluated(child)


def too_new(source: str) -> list[str]:
    """The spellings that 3.8 does not run, as ``line: what``."""
    tree = ast.parse(source, feature_version=(3, 8))
    generic = BUILTIN | {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "collections.abc"
        for alias in node.names
    }
    found = []
    for node in evaluated(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in generic:
            found.append(f"{node.lineno}: {node.value.id}[…]")
        elif isinstance(node, ast.Attribute) and node.attr in NEWER and not _is_os(node):
            found.append(f"{node.lineno}: {node.attr}")
        elif isinstance(node, ast.Call):
            found += [f"{node.lineno}: {word.arg}=" for word in node.keywords if word.arg in NEWER]
    return found


def _is_os(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "os"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(x: dict[str, int]) -> list[str]: ...", []),
        ("x: dict[str, int] = {}", []),
        ("Pair = tuple[int, int]", ["1: tuple[…]"]),
        ("from typing import Tuple\nPair = Tuple[int, int]", []),
        ("from collections.abc import Mapping\nclass A(Mapping[str, int]): ...", ["2: Mapping[…]"]),
        ("import os\nos.readlink('x')", []),
        ("path.readlink()", ["1: readlink"]),
        ("zip(a, b, strict=True)", ["1: strict="]),
    ],
)
def test_what_counts_as_too_new(source: str, expected: list[str]) -> None:
    assert too_new(source) == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_runs_on_the_oldest_python(path: Path) -> None:
    #: The one call that asks for the version first.
    allowed = 1 if path.stem == "systemd_unit" else 0
    assert len(too_new(path.read_text())) == allowed


def test_there_are_files() -> None:
    assert {"module_utils/_driver/state.py", "modules/nvidia_driver_plan.py"} <= {
        str(path.relative_to(PLUGINS)) for path in FILES
    }
