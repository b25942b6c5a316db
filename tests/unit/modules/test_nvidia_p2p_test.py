"""The module: build, build nothing again, check mode, refuse. nvidia-smi, nvcc and the test itself are a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.modules import nvidia_p2p_test as subject

FIXTURES = Path(__file__).parents[1] / "fixtures"
A100 = (FIXTURES / "a100-sxm4-x8/p2pBandwidthLatencyTest.txt").read_text()
H200 = (FIXTURES / "h200-sxm-580-open/p2pBandwidthLatencyTest.txt").read_text()
SMI = (FIXTURES / "h200-sxm-580-open/nvidia-smi-q.xml").read_text()
TOPOLOGY = (FIXTURES / "h200-sxm-580-open/nvidia-smi-topo-m.txt").read_text()
PROCESS = "<processes><process_info><pid>7</pid><type>C</type></process_info></processes>"


class Host:
    """A stand-in for the commands of a host: what each prints, and what was run."""

    def __init__(self, test: Result, smi: str = SMI, nvcc_rc: int = 0) -> None:
        self.test, self.smi, self.nvcc_rc, self.ran = test, smi, nvcc_rc, []  # type: ignore[var-annotated]

    def __call__(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        self.ran.append(argv[0] if argv[0] != "env" else "the test")
        if argv[0] == "env":
            assert argv[1] == "CUDA_DEVICE_ORDER=PCI_BUS_ID"
            return self.test
        if argv == ["nvcc", "--version"]:
            return Result(tuple(argv), 0, "Cuda compilation tools, release 12.4, V12.4.131", "")
        if argv[0] == "nvcc":
            if self.nvcc_rc == 0:
                Path(argv[argv.index("-o") + 1]).write_text("a program\n")
            return Result(tuple(argv), self.nvcc_rc, "", "nvcc fatal: Unsupported gpu architecture 'compute_90'")
        answers = {"-q": self.smi, "topo": TOPOLOGY, "--query-gpu=compute_cap": "9.0\n9.0\n"}
        return Result(tuple(argv), 0, answers[argv[1]], "")


def done(stdout: str, rc: int = 0, stderr: str = "") -> Result:
    return Result(("test",), rc, stdout, stderr)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "samples"
    folder = root / "Samples/5_Domain_Specific/p2pBandwidthLatencyTest"
    folder.mkdir(parents=True)
    (folder / "p2pBandwidthLatencyTest.cu").write_text("// a stand-in\n")
    (root / "Common").mkdir()
    (root / "Common/helper_cuda.h").write_text("// a stand-in\n")
    return root


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run the module's main on a ``Host`` and give back what it says."""

    @contextmanager
    def arguments(host: Host, params: dict[str, Any]) -> Iterator[None]:
        monkeypatch.setattr(subject, "runner", lambda module: host)
        with patch_module_args({"cache_dir": str(tmp_path / "cache"), **params}):
            yield

    def run(host: Host, **params: Any) -> dict[str, Any]:
        with arguments(host, params), pytest.raises(SystemExit):
            subject.main()
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    return run


def test_build_check_build_again(play: Any, source: Path, tmp_path: Path) -> None:
    host = Host(done(H200))
    checked = play(host, source=str(source), _ansible_check_mode=True)
    assert checked["changed"] is True and checked["p2p"]["verdict"] == "not_run"
    assert "the test" not in host.ran and not (tmp_path / "cache").exists()
    first = play(host, source=str(source))
    assert first["changed"] is True and first["p2p"]["verdict"] == "ok" and first["p2p"]["gpu_count"] == 1
    assert first["p2p"]["matrices"]["unidirectional_p2p_enabled_gb_per_s"] == [[3957.57]]
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.name.startswith("p2p_bandwidth_latency_test-cuda12.4-sm90-") and kept.stat().st_mode & 0o777 == 0o755
    assert first["p2p"]["program"] == str(kept)
    again = play(host, source=str(source))
    assert again["changed"] is False and again["p2p"]["verdict"] == "ok"
    assert play(host, source=str(source), _ansible_check_mode=True)["changed"] is False
    (source / "Samples/5_Domain_Specific/p2pBandwidthLatencyTest/p2pBandwidthLatencyTest.cu").write_text("// newer\n")
    assert play(host, source=str(source))["changed"] is True


def test_check_mode_before_the_sources_are_installed(play: Any) -> None:
    told = play(Host(done(H200)), source="/nowhere", _ansible_check_mode=True)
    assert told["changed"] is True and "nothing to build it with yet" in told["p2p"]["note"]


def test_prebuilt(play: Any, tmp_path: Path) -> None:
    binary = tmp_path / "p2p"
    binary.write_text("#!/bin/sh\n")
    host = Host(done(H200))
    told = play(host, binary=str(binary))
    assert told["changed"] is False and told["p2p"]["verdict"] == "ok"
    assert "nvcc" not in host.ran
    assert told["p2p"]["note"] == "one GPU: there is no pair to test"


@pytest.mark.parametrize(
    ("smi", "params", "words"),
    [
        (SMI, {"binary": "/nowhere/p2p"}, ["no such file", "/nowhere/p2p"]),
        (SMI, {"source": "/nowhere"}, ["p2pBandwidthLatencyTest.cu", "no such folder", "nvidia-cuda-samples"]),
        ("NVIDIA-SMI has failed", {}, ["malformed", "repair the driver first"]),
        ("busy", {}, ["GPU 0: 1 processes", "force: true"]),
        ("mig", {}, ["GPU 0: in MIG mode"]),
    ],
)
def test_refuses(play: Any, tmp_path: Path, smi: str, params: dict[str, Any], words: list[str]) -> None:
    binary = tmp_path / "p2p"
    binary.write_text("")
    host = Host(done(H200), derived(smi))
    told = play(host, **({"binary": str(binary)} | params if "source" not in params else params))
    assert told["failed"] is True and all(word in told["msg"] for word in words)
    assert "the test" not in host.ran


def derived(smi: str) -> str:
    """The capture with a process, or with MIG on."""
    if smi == "busy":
        start, end = SMI.index("<processes>"), SMI.index("</processes>") + len("</processes>")
        return SMI[:start] + PROCESS + SMI[end:]
    return SMI.replace("<current_mig>Disabled", "<current_mig>Enabled") if smi == "mig" else smi


def test_force_runs_on_busy_gpus(play: Any, tmp_path: Path) -> None:
    binary = tmp_path / "p2p"
    binary.write_text("")
    assert play(Host(done(H200), derived("busy")), binary=str(binary), force=True)["p2p"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("result", "rule", "word"),
    [
        (done("Cuda failure p2p.cu:5: 'out of memory'\n", 1), "cuda_error", "out of memory"),
        (done(H200[:300], 124), "cuda_error", "no end within 9 s"),
        (done("", 127, "p2p: error while loading shared libraries: libcudart.so.12"), "cuda_error", "libcudart.so.12"),
        (done("", 139, "Segmentation fault"), "cuda_error", "exit status 139: Segmentation fault"),
        (done(H200[:500]), "incomplete", "cut off"),
        (done(""), "incomplete", "no measurement"),
    ],
)
def test_a_run_that_went_wrong_fails_the_task(play: Any, tmp_path: Path, result: Result, rule: str, word: str) -> None:
    binary = tmp_path / "p2p"
    binary.write_text("")
    told = play(Host(result), binary=str(binary), timeout=9)
    assert told["failed"] is True and word in told["msg"]
    assert told["p2p"]["verdict"] == "fail" and rule in {reason["rule"] for reason in told["p2p"]["reasons"]}
    assert play(Host(result), binary=str(binary), timeout=9, fail_on="never").get("failed") is None


def test_build_failure_shows_the_compiler(play: Any, source: Path, tmp_path: Path) -> None:
    told = play(Host(done(H200), nvcc_rc=1), source=str(source))
    assert told["failed"] is True and "Unsupported gpu architecture" in told["msg"]
    assert list((tmp_path / "cache").iterdir()) == []


def test_threshold_for_a_gpu_that_has_no_pairs(play: Any, tmp_path: Path) -> None:
    binary = tmp_path / "p2p"
    binary.write_text("")
    limits = [{"product_name": "H200", "unidirectional_gb_per_s": 9000}]
    assert play(Host(done(H200)), binary=str(binary), thresholds=limits)["p2p"]["verdict"] == "ok"


def test_a_test_that_sees_other_gpus_than_the_driver(play: Any, tmp_path: Path) -> None:
    """Eight GPUs in the output, one in nvidia-smi: judged by what was measured, without a topology."""
    binary = tmp_path / "p2p"
    binary.write_text("")
    assert play(Host(done(A100)), binary=str(binary))["p2p"]["verdict"] == "ok"


def test_nvbandwidth_of_one_gpu(play: Any, tmp_path: Path) -> None:
    binary = tmp_path / "nvbandwidth"
    binary.write_text("")
    waived = [{"name": name, "status": "Waived"} for name in subject.p2p_nvbandwidth.PEER_TO_PEER]
    output = json.dumps({"nvbandwidth": {"version": "v0.8", "testcases": waived}})
    told = play(Host(done(output)), binary=str(binary), tool="nvbandwidth")
    assert told["p2p"]["verdict"] == "ok" and told["p2p"]["devices"][0]["name"] == "NVIDIA H200"


def test_the_documentation_is_the_specification() -> None:
    documented = yaml.safe_load(subject.DOCUMENTATION)["options"]
    assert set(documented) == set(subject.SPEC)
    for name, option in subject.SPEC.items():
        assert {key: documented[name].get(key) for key in ("type", "default", "choices")} == {
            key: option.get(key) for key in ("type", "default", "choices")
        }, name
