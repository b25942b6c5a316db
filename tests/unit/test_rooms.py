"""The rooms of ``module_utils``: who may know whom, and which facts stand in one place only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[2] / "plugins/module_utils"
HERE = "ansible_collections.t9k.gpu.plugins.module_utils."
#: Each room with the rooms it may open, besides itself and the shared hands.
OPENS: dict[str, set[str]] = {
    "_debian": set(),
    "_linux": set(),
    "_nvidia": set(),
    "_gsp": {"_linux", "_nvidia"},
    "_driver": {"_debian", "_linux", "_nvidia", "_gsp"},
    "_kube": set(),
    "_drain": {"_kube"},
    "_sharing": {"_kube"},
    "_operator": {"_kube", "_sharing", "_drain"},
    "_p2p": set(),
    "_report": {"_nvidia", "_p2p"},
    "_doctor": {"_linux", "_nvidia", "_driver", "_drain", "_kube", "_sharing"},
    "_fleet": {"_report", "_drain", "_kube"},
}
#: What looks like the name of a driver's package, such as nvidia-utils; a unit, a file or a command does not.
PACKAGE = re.compile(
    r"nvidia-(driver|dkms|headless|utils|kernel-|fabricmanager|open-kernel|tesla)|lib(nvidia|cuda|nvcuvid|nvoptix)[-\d]"
    r"|(modules|objects|signatures)-nvidia|xserver-xorg|firmware-nvidia"
)
SYSTEM = re.compile(r"\b\d\d\.04\b|\b(debian|ubuntu)-\d|bookworm|trixie|focal|jammy|noble")


def files(room: str) -> list[Path]:
    return sorted((UTILS / room).glob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The rooms that a file opens; the shared hands are files, not rooms."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(HERE):
            room = (node.module or "")[len(HERE) :].partition(".")[0]
            if (UTILS / room).is_dir():
                yield room


def strings(path: Path) -> Iterator[str]:
    """Every text in the code but docstrings."""
    tree = ast.parse(path.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def test_every_room_has_its_place() -> None:
    assert {path.parent.name for path in UTILS.glob("_*/*.py")} == set(OPENS)


@pytest.mark.parametrize("room", OPENS)
def test_a_room_opens_only_rooms_below_it(room: str) -> None:
    assert files(room)
    assert {other for path in files(room) for other in imported(path)} - {room} <= OPENS[room]


def test_no_file_leads_back_to_itself() -> None:
    """Not even by an import for types alone: who changes the one has to understand the other."""
    names = {path: ".".join(path.relative_to(UTILS).with_suffix("").parts) for path in UTILS.rglob("*.py")}
    left = {name: set(opened(path)) & set(names.values()) - {name} for path, name in names.items()}
    while free := {name for name, others in left.items() if not others}:
        left = {name: others - free for name, others in left.items() if name not in free}
    assert left == {}


def opened(path: Path) -> Iterator[str]:
    """Every file that a file imports, or imports from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and f"{node.module or ''}.".startswith(HERE):
            module = f"{node.module}."[len(HERE) :].rstrip(".")
            yield from (module, *(f"{module}.{alias.name}".lstrip(".") for alias in node.names))


@pytest.mark.parametrize("path", files("_debian") + files("_linux"), ids=lambda path: path.stem)
def test_the_system_s_rooms_know_no_driver(path: Path) -> None:
    assert [text for text in strings(path) if "nvidia" in text.lower() and PACKAGE.search(text)] == []
    assert not re.search(r"\bis_nvidia\b|driver_version", path.read_text())


@pytest.mark.parametrize("path", sorted(UTILS.glob("_driver/*.py")), ids=lambda path: path.stem)
def test_package_names_stand_in_one_file(path: Path) -> None:
    assert path.stem == "names" or [text for text in strings(path) if PACKAGE.search(text)] == []


def test_the_prefix_of_our_annotations_stands_in_one_file() -> None:
    named = {path.name for path in UTILS.rglob("*.py") for text in strings(path) if text.startswith("gpu.t9k.io/")}
    assert named == {"ours.py"}


@pytest.mark.parametrize("path", sorted(UTILS.rglob("*.py")), ids=lambda path: path.stem)
def test_no_code_lists_systems(path: Path) -> None:
    assert [text for text in strings(path) if SYSTEM.search(text)] == []
