"""Ask this machine's real apt about an archive, with a dpkg database of one's own and nothing installed or changed.

What apt would do on a host of such an archive, in a second, without the host.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from tests.lab.archive import repository, table
from tests.lab.archive.deb import Package

#: Ends as the address of NVIDIA's repository does, by which the collection knows it.
CUDA = "compute/cuda/repos/ubuntu2204"


class PrivateApt:
    """A ``run`` of the collection for which the machine is the one described."""

    def __init__(self, folder: Path, installed: Iterable[Package], held: Iterable[str] = ()) -> None:
        self.folder = folder
        for each in ("state/lists/partial", "cache/archives/partial"):
            (folder / each).mkdir(parents=True, exist_ok=True)
        self._sources: list[str] = []
        self.has(installed, held)
        (folder / "apt.conf").write_text(
            f'Dir::State "{folder}/state"; Dir::State::status "{folder}/status"; Dir::Cache "{folder}/cache";'
            f' Dir::Etc::sourcelist "{folder}/sources.list"; Dir::Etc::sourceparts "/dev/null"; APT::Sandbox::User "root";'
            f' Dir::Etc::preferences "{folder}/preferences"; Dir::Etc::preferencesparts "/dev/null"; APT::Architecture "amd64";'
        )

    def has(self, installed: Iterable[Package], held: Iterable[str] = ()) -> None:
        """Let this be what is installed from now on."""
        names = set(held)
        rows = [_status(package, "hold" if package.name in names else "install") for package in installed]
        (self.folder / "status").write_text("".join(rows))

    def archive(self, series: str, found: Mapping[str, list[Package]]) -> PrivateApt:
        """Let Ubuntu's archive be this moment of it."""
        built = repository.pockets(series, table.read(series)["release"], found)
        suites = [f"{series}-{pocket}" for pocket in found]
        lines = [f"deb [trusted=yes] file:{self.folder}/archive {s} {' '.join(repository.COMPONENTS)}" for s in suites]
        return self._serve("archive", built, lines)

    def flat(self, packages: Iterable[Package]) -> PrivateApt:
        """Let there be NVIDIA's repository too."""
        built = repository.flat(table.read("cuda")["release"], packages)
        return self._serve(CUDA, built, [f"deb [trusted=yes] file:{self.folder}/{CUDA} ./"])

    def _serve(self, name: str, built: Mapping[str, bytes], lines: list[str]) -> PrivateApt:
        for path, data in ((path, data) for path, data in built.items() if not path.endswith(".deb")):  # never fetched
            (self.folder / name / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name / path).write_bytes(data)
        self._sources = [line for line in self._sources if f"/{name} " not in line] + lines
        (self.folder / "sources.list").write_text("".join(f"{line}\n" for line in self._sources))
        updated = self(["apt-get", "-qq", "update"])
        if not updated.ok:
            raise AssertionError(updated.stderr)
        return self

    def __call__(self, argv: Sequence[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        environment = {**os.environ, "APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C"}
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
        return Result(tuple(argv), done.returncode, done.stdout, done.stderr)


def _status(package: Package, want: str) -> str:
    head, _, rest = package.control.partition("\n")
    return f"{head}\nStatus: {want} ok installed\n{rest}\n"
