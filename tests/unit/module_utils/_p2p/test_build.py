"""Finding, naming and building the peer-to-peer tests; the commands are a table, the files are real."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._p2p import build as subject

NAME = "p2pBandwidthLatencyTest"


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("// a stand-in\n")
    return root


def answering(rc: int = 0, stdout: str = "", stderr: str = ""):  # type: ignore[no-untyped-def]
    return lambda argv, timeout_s=None, stdin=None: Result(tuple(argv), rc, stdout, stderr)


@pytest.mark.parametrize(
    ("files", "below", "main", "include"),
    [
        # Debian's package, and the samples up to 12.5 (make) and from 12.8 on (CMake)
        ([f"Samples/5_Domain_Specific/{NAME}/{NAME}.cu", "Common/helper_cuda.h"], "", 0, "Common"),
        ([f"cpp/5_Domain_Specific/{NAME}/{NAME}.cu", "cpp/Common/helper_cuda.h"], "", 0, "cpp/Common"),
        # the toolkit's own samples up to 11
        ([f"1_Utilities/{NAME}/{NAME}.cu", "common/inc/helper_cuda.h"], "", 0, "common/inc"),
        # the test's own folder
        (
            [f"Samples/5_Domain_Specific/{NAME}/{NAME}.cu", "Common/helper_cuda.h"],
            f"Samples/5_Domain_Specific/{NAME}",
            0,
            "Common",
        ),
    ],
)
def test_find_source(tmp_path: Path, files: list[str], below: str, main: int, include: str) -> None:
    put(tmp_path, *files)
    found = subject.find_source(subject.SAMPLES, str(tmp_path / below))
    assert found.main.resolve() == (tmp_path / files[main]).resolve()
    assert found.include is not None and found.include.resolve() == (tmp_path / include).resolve()


@pytest.mark.parametrize(
    ("tool", "files", "words"),
    [
        (subject.SAMPLES, [], "p2pBandwidthLatencyTest.cu"),
        (subject.SAMPLES, [f"{NAME}.cu"], "helper_cuda.h"),
        (subject.NVBANDWIDTH, ["CMakeLists.txt"], "nvbandwidth.cpp"),
    ],
)
def test_source_is_not_there(tmp_path: Path, tool: str, files: list[str], words: str) -> None:
    with pytest.raises(GpuError, match=words):
        subject.find_source(tool, str(put(tmp_path, *files)))


@pytest.mark.parametrize(
    ("given", "said", "expected"),
    [
        (["9.0"], "", ("90",)),
        (["90", "8.0"], "", ("80", "90")),
        ([], "8.6\n8.6\n", ("86",)),
        ([], "12.0\n9.0\n", ("90", "120")),
    ],
)
def test_architectures(given: list[str], said: str, expected: tuple[str, ...]) -> None:
    assert subject.cuda_architectures(answering(stdout=said), given) == expected


@pytest.mark.parametrize(("given", "rc", "said"), [(["hopper"], 0, ""), ([], 9, "failed"), ([], 0, "Field not valid")])
def test_architectures_not_known(given: list[str], rc: int, said: str) -> None:
    with pytest.raises(GpuError, match="set cuda_architectures"):
        subject.cuda_architectures(answering(rc, said), given)


def test_nvcc_not_there() -> None:
    with pytest.raises(GpuError, match="no working nvcc"):
        subject.find_nvcc(answering(127), None)


def test_cache_is_keyed_by_cuda_version_architecture_and_source(tmp_path: Path) -> None:
    put(tmp_path, f"{NAME}.cu", "Common/helper_cuda.h")
    source = subject.find_source(subject.SAMPLES, str(tmp_path))
    names = {subject.cached(source, "12.4", ["90"], "/c"), subject.cached(source, "12.8", ["90"], "/c")}
    names |= {subject.cached(source, "12.4", ["80"], "/c"), subject.cached(source, "12.4", ["80", "90"], "/c")}
    (tmp_path / f"{NAME}.cu").write_text("// newer\n")
    names.add(subject.cached(source, "12.4", ["90"], "/c"))
    assert len(names) == 5


def test_the_commands(tmp_path: Path) -> None:
    put(tmp_path, f"{NAME}.cu", "Common/helper_cuda.h", "CMakeLists.txt", "nvbandwidth.cpp")
    samples = subject.find_source(subject.SAMPLES, str(tmp_path))
    assert subject.commands(samples, "nvcc", ["80", "90"], "/s") == [
        [
            "nvcc",
            "-O3",
            "-gencode=arch=compute_80,code=sm_80",
            "-gencode=arch=compute_90,code=sm_90",
            f"-I{tmp_path}/Common",
            "-o",
            f"/s/{NAME}",
            f"{tmp_path}/{NAME}.cu",
        ]
    ]
    configure, make = subject.commands(
        subject.find_source(subject.NVBANDWIDTH, str(tmp_path)), "/usr/local/cuda/bin/nvcc", ["80", "90"], "/s"
    )
    assert configure[:5] == ["cmake", "-S", str(tmp_path), "-B", "/s/out"]
    assert "-DCMAKE_CUDA_ARCHITECTURES=80;90" in configure and make[:2] == ["cmake", "--build"]


@pytest.mark.parametrize(
    ("rc", "word"), [(0, "no word"), (1, "fatal"), (124, "no end within 5 s"), (127, "no such program")]
)
def test_a_build_that_fails_leaves_nothing(tmp_path: Path, rc: int, word: str) -> None:
    put(tmp_path, f"{NAME}.cu", "Common/helper_cuda.h")
    source = subject.find_source(subject.SAMPLES, str(tmp_path))
    target = tmp_path / "cache/program"
    with pytest.raises(GpuError, match=word):
        subject.build(answering(rc, stderr="fatal" if rc == 1 else ""), source, "nvcc", ["90"], target, 5)
    assert list(target.parent.iterdir()) == []
