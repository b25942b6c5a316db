"""Build the stand-in of libcuda.so.1 with this machine's compiler."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "stand_ins" / "cuda"
COMMAND = ("gcc", "-std=gnu11", "-O3", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden")


def sources() -> list[Path]:
    """All that the library is made of."""
    return sorted(SOURCES.glob("*.[ch]"))


def build(target: Path) -> Path:
    """The library at ``target``."""
    if shutil.which("gcc") is None:
        raise SystemExit(
            "lab: wanted: gcc for the stand-in of libcuda; found: none; next: apt-get install build-essential"
        )
    files = [str(path) for path in sources() if path.suffix == ".c"]
    subprocess.run([*COMMAND, "-Wl,-soname,libcuda.so.1", "-o", str(target), *files, "-ldl"], check=True)
    return target


def library() -> bytes:
    """The same bytes every time, so that a host's image is made anew only where the sources changed."""
    with tempfile.TemporaryDirectory() as folder:
        return build(Path(folder) / "libcuda.so").read_bytes()
