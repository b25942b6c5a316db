"""Kubernetes' servers, kwok and an image registry, built from source as the Go tools of the modules below tests/lab/tools.

The registry (github.com/distribution/distribution) has a module of its own: one that changes makes only its own tools anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.lab.cluster.tools_packages import provide_go
from tests.lab.log import LabError, say
from tests.lab.state import cache, locked

MODULE = Path(__file__).resolve().parent.parent / "tools"
REGISTRY = MODULE / "registry"
#: Tool → its package and the Go module that it comes from.
PACKAGES = {
    "registry": ("github.com/distribution/distribution/v3/cmd/registry", "github.com/distribution/distribution/v3"),
    "kube-apiserver": ("k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes"),
    "kube-controller-manager": ("k8s.io/kubernetes/cmd/kube-controller-manager", "k8s.io/kubernetes"),
    "kube-scheduler": ("k8s.io/kubernetes/cmd/kube-scheduler", "k8s.io/kubernetes"),
    "kwok": ("sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok"),
}
_REPORT_EVERY_S = 20


def _folder(name: str) -> Path:
    return REGISTRY if name == "registry" else MODULE


def required(module: str, folder: Path = MODULE) -> str:
    """The version that go.mod requires of ``module``, e.g. v1.36.3."""
    found = re.search(rf"^\s*{re.escape(module)} (v\S+)", (folder / "go.mod").read_text(), re.MULTILINE)
    if not found:
        raise LabError(f"{folder}/go.mod does not require {module}")
    return found.group(1)


def kubernetes_version() -> tuple[int, ...]:
    return tuple(int(part) for part in required("k8s.io/kubernetes").lstrip("v").split("."))


def cached(name: str) -> Path:
    """Where the built tool lies: keyed by its version and by everything that it is built from."""
    folder, module = _folder(name), PACKAGES[name][1]
    sums = hashlib.sha256(b"".join((folder / file).read_bytes() for file in ("go.mod", "go.sum"))).hexdigest()[:12]
    title = module.removesuffix("/v3").rpartition("/")[2]
    return cache() / "bin" / f"{title}-{required(module, folder)}-{sums}" / name


def provide(name: str) -> Path:
    """The tool from the cache, or built into it; a second builder waits for the first."""
    target = cached(name)
    if target.exists():
        return target
    with locked("go-tools"):
        if not target.exists():
            _build(name, target)
    return target


def _build(name: str, target: Path) -> None:
    (package, module), folder = PACKAGES[name], _folder(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as work:
        output = Path(work, name)
        ldflags = f"-s -w -X k8s.io/component-base/version.gitVersion={required(module, folder)}"
        argv = [
            str(_go()),
            "build",
            "-v",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            ldflags,
            "-o",
            str(output),
            package,
        ]
        say(f"building {name} {required(module, folder)} from source (minutes, once)")
        began = time.monotonic()
        _run(argv, name, folder, Path(work, "log"))
        output.replace(target)
        say(f"built {name} in {time.monotonic() - began:.0f} s")


def _run(argv: list[str], name: str, folder: Path, log: Path) -> None:
    """Build, and say now and then how far it is."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    began = time.monotonic()
    with log.open("w") as output:
        build = subprocess.Popen(argv, cwd=folder, env=environment, stdout=output, stderr=output)
        try:
            while _still_runs(build):
                compiled = sum(1 for line in log.read_text().splitlines() if not line.startswith("go: "))
                say(f"building {name}: {compiled} packages compiled in {time.monotonic() - began:.0f} s")
        finally:
            if build.poll() is None:
                build.terminate()
                build.wait()
    if build.returncode:
        last = "\n".join(log.read_text().splitlines()[-15:])
        raise LabError(f"building {name} in {folder} failed with exit status {build.returncode}:\n{last}")


def _still_runs(build: subprocess.Popen[bytes]) -> bool:
    try:
        build.wait(_REPORT_EVERY_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _go() -> Path:
    """Go from the machine where it is new enough for go.mod, otherwise from its Python package."""
    wanted = re.search(r"^go (\d+)\.(\d+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert wanted
    on_path = shutil.which("go")
    if on_path:
        answer = subprocess.run(
            [on_path, "version"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        )
        found = re.search(r"go(\d+)\.(\d+)", answer.stdout)
        if found and tuple(map(int, found.groups())) >= tuple(map(int, wanted.groups())):
            return Path(on_path)
    return provide_go()
