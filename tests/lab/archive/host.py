"""The archives that a lab host which presents itself as Ubuntu 22.04 carries below /srv, and how apt is told of them.

``/srv/ubuntu`` is the archive of one day; ``/srv/snapshot/DAY/ubuntu`` are other days of it, as snapshot.ubuntu.com gives them: older
ones, configured, since a version that was replaced is nowhere else, and a later one, not configured, that a test switches
to when time shall have passed. ``/srv/cuda/…`` is NVIDIA's repository before and after branch 590, signed, served by the
host to itself over http (``lab-archive.service``), not configured.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.lab.archive import cuda, repository, table, ubuntu
from tests.lab.state import cache, locked

SERIES = "jammy"
TODAY = "2024-05-20"
EARLIER = ("2023-05-01", "2023-12-01", "2024-05-05")
LATER = "2024-07-01"
CUDA = {"before": "2025-11-30", "after": "2026-06-01"}
CUDA_PATH = "compute/cuda/repos/ubuntu2204/x86_64"
#: The ABI that the machine's own kernel stands in for: its packages are the best documented ones of the table.
STANDS_FOR = "5.15.0-106-generic"
#: The one that an upgrade brings on that day.
NEXT = "5.15.0-107-generic"


def files(kernel: str, following: str = NEXT) -> dict[str, bytes]:
    """Every file of all of them, by its path in the host. ``following``: what an upgrade brings after ``kernel``."""
    release, every = table.read(SERIES)["release"], ubuntu.entries(SERIES, {STANDS_FOR: kernel, NEXT: following})
    out: dict[str, bytes] = {"etc/apt/sources.list.d/ubuntu.sources": sources().encode()}
    for day in (TODAY, *EARLIER, LATER):
        built = repository.pockets(SERIES, release, ubuntu.moment(every, day))
        out.update({f"{place(day)}/{path}": data for path, data in built.items()})
    for when, day in CUDA.items():
        flat = signed(repository.flat(table.read("cuda")["release"], cuda.packages(day)))
        out.update({f"srv/cuda/{when}/{CUDA_PATH}/{path}": data for path, data in flat.items()})
    return out


def place(day: str) -> str:
    return "srv/ubuntu" if day == TODAY else f"srv/snapshot/{day}/ubuntu"


def sources() -> str:
    """deb822 of today's archive and of the earlier days."""
    suites = " ".join([SERIES, *(f"{SERIES}-{pocket}" for pocket in table.POCKETS)])
    components = " ".join(repository.COMPONENTS)
    return "\n".join(
        f"Types: deb\nURIs: file:/{place(day)}\nSuites: {suites}\nComponents: {components}\nTrusted: yes\n"
        for day in (TODAY, *EARLIER)
    )


def signed(built: dict[str, bytes]) -> dict[str, bytes]:
    """The repository with its signatures and the key they are made with. A signature has its time in it, so it is kept."""
    folder = cache() / "archive" / hashlib.sha256(built["Release"]).hexdigest()[:16]
    with locked("archive"):
        if not (folder / "lab.asc").exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "Release").write_bytes(built["Release"])
            (folder / "lab.asc").write_bytes(repository.sign(folder, cache() / "archive" / "gnupg"))
    return {**built, **{name: (folder / name).read_bytes() for name in ("InRelease", "Release.gpg", "lab.asc")}}


def write(folder: Path, kernel: str) -> None:
    """Put all of it below a folder of this machine, for whoever wants to look or to serve it."""
    for path, data in files(kernel).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
