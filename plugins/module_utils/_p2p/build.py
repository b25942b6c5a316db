# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build the peer-to-peer tests once, and find them again.

The samples' test is one source file that needs the samples' common headers: one nvcc call builds it from every layout
there has been, so their make and CMake files are not used. nvbandwidth is built by its own CMake file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result, Run
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

SAMPLES = "p2p_bandwidth_latency_test"
NVBANDWIDTH = "nvbandwidth"


_NAME = "p2pBandwidthLatencyTest"
#: Relative to the samples' root, newest layout first; the last two are what a person may point to directly.
_SOURCES = (
    f"cpp/5_Domain_Specific/{_NAME}/{_NAME}.cu",
    f"Samples/5_Domain_Specific/{_NAME}/{_NAME}.cu",
    f"Samples/{_NAME}/{_NAME}.cu",
    f"1_Utilities/{_NAME}/{_NAME}.cu",
    f"{_NAME}/{_NAME}.cu",
    f"{_NAME}.cu",
)
_INCLUDES = ("cpp/Common", "Common", "common/inc", "../Common", "../../Common", "../../../Common", "../../common/inc")
_PROGRAMS = ("nvcc", "/usr/local/cuda/bin/nvcc")


@dataclass(frozen=True)
class Source:
    """``main``: the file whose text decides whether an earlier build still fits."""

    tool: str
    folder: Path
    main: Path
    include: Path | None = None

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.main.read_bytes()).hexdigest()[:12]


def find_source(tool: str, folder: str) -> Source:
    """Find the test's source below ``folder``, in Debian's or any of the samples' own layouts."""
    root = Path(folder)
    if tool == NVBANDWIDTH:
        if (root / "CMakeLists.txt").is_file() and (root / "nvbandwidth.cpp").is_file():
            return Source(tool, root, root / "nvbandwidth.cpp")
        raise _no_source("CMakeLists.txt and nvbandwidth.cpp", folder, "https://github.com/NVIDIA/nvbandwidth")
    main = next((root / name for name in _SOURCES if (root / name).is_file()), None)
    headers = (root / name for name in _INCLUDES)
    include = next((path for path in headers if (path / "helper_cuda.h").is_file()), None)
    if main is None or include is None:
        missing = f"{_NAME}.cu" if main is None else "helper_cuda.h in a folder Common"
        raise _no_source(missing, folder, "https://github.com/NVIDIA/cuda-samples at the tag of the CUDA version")
    return Source(tool, root, main, include)


def _no_source(missing: str, folder: str, where: str) -> GpuError:
    return GpuError(
        wanted=f"the source of the peer-to-peer test ({missing})",
        found="no such file" if Path(folder).is_dir() else "no such folder",
        where=folder,
        next_step=f"install Debian's nvidia-cuda-samples, give source a copy of {where}, or give a built binary",
    )


def find_nvcc(run: Run, given: str | None) -> tuple[str, str]:
    """Find the compiler and its CUDA version (``12.4``)."""
    for program in [given] if given else _PROGRAMS:
        result = run([program, "--version"], timeout_s=60)
        release = re.search(r"release (\d+\.\d+)", result.stdout)
        if result.ok and release:
            return program, release.group(1)
    raise GpuError(
        wanted="the CUDA compiler nvcc",
        found="no working nvcc",
        where=given or ", ".join(_PROGRAMS),
        next_step="install the CUDA toolkit (Debian: nvidia-cuda-toolkit), name it with nvcc, or give a built binary",
    )


def cuda_architectures(run: Run, given: Sequence[str]) -> tuple[str, ...]:
    """Return architectures like ``("80", "90")``: given, or the compute capabilities that nvidia-smi reports."""
    said, heard, where = list(given), ", ".join(given), "cuda_architectures"
    if not given:
        result = run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], timeout_s=60)
        said = result.stdout.splitlines() if result.ok else []
        heard, where = (result.stdout + result.stderr).strip()[:200], " ".join(result.argv)
    found = {word.strip().replace(".", "") for word in said if re.fullmatch(r"\d{1,2}\.?\d", word.strip())}
    if not found or (given and len(found) != len(set(given))):
        raise GpuError(
            wanted="the GPUs' compute capabilities, to build for",
            found=heard or "nothing",
            where=where,
            next_step="set cuda_architectures, for example to ['90'] for Hopper",
        )
    return tuple(sorted(found, key=int))


def cached(source: Source, cuda_version: str, architectures: Sequence[str], cache_dir: str) -> Path:
    """Return where the program for this source, CUDA version and these GPUs is, or will be."""
    made_for = "-".join(f"sm{architecture}" for architecture in architectures)
    return Path(cache_dir) / f"{source.tool}-cuda{cuda_version}-{made_for}-{source.digest}"


def build(run: Run, source: Source, nvcc: str, architectures: Sequence[str], target: Path, timeout_s: int) -> None:
    """Build to ``target``: complete or not at all, since it is moved there when it is done."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as scratch:
        steps = commands(source, nvcc, architectures, scratch)
        for argv in steps:
            result = run(argv, timeout_s=timeout_s)
            if not result.ok:
                raise _build_failed(result, timeout_s)
        program = Path(scratch) / ("out/nvbandwidth" if source.tool == NVBANDWIDTH else _NAME)
        if not program.is_file():
            raise _build_failed(result, timeout_s)
        program.chmod(0o755)
        shutil.move(str(program), f"{target}.new")
        os.replace(f"{target}.new", target)  # noqa: PTH105 - atomic, on one file system


def commands(source: Source, nvcc: str, architectures: Sequence[str], scratch: str) -> list[list[str]]:
    """Return the build as argv lists."""
    if source.tool == NVBANDWIDTH:
        out = f"{scratch}/out"
        options = [f"-DCMAKE_CUDA_ARCHITECTURES={';'.join(architectures)}", f"-DCMAKE_CUDA_COMPILER={nvcc}"]
        options += ["-DCMAKE_BUILD_TYPE=Release"]
        return [["cmake", "-S", str(source.folder), "-B", out, *options], ["cmake", "--build", out, "--parallel", "4"]]
    code = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
    return [[nvcc, "-O3", *code, f"-I{source.include}", "-o", f"{scratch}/{_NAME}", str(source.main)]]


def _build_failed(result: Result, timeout_s: int) -> GpuError:
    said = "\n".join([*result.stdout.splitlines(), *result.stderr.splitlines()][-15:])
    why = f"no end within {timeout_s} s" if result.timed_out else "no such program" if result.missing else said
    return GpuError(
        wanted="the peer-to-peer test built",
        found=why or f"exit status {result.rc} and no word",
        where=" ".join(result.argv),
        next_step="use sources at the tag of the installed CUDA version (nvbandwidth needs cmake and Boost's "
        "program_options too), or give a built binary",
    )
