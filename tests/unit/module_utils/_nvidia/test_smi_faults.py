"""What nvidia-smi says when it fails, and every document that is none."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smi_documents import DOCUMENTS, FOLDER, H200, answer, edited, load

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import KernelModule

NOT_LOADED = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running.\n"
)
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\n"
NO_HANDLE = "Unable to determine the device handle for GPU"
FAULTS = [
    # exit status, standard output, standard error, status, a word of the message
    (127, "", "nvidia-smi: not found", "not_installed", "Install"),
    (12, "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.", "", "not_installed", "libnvidia-ml"),
    (9, NOT_LOADED, "", "driver_not_loaded", "modprobe"),
    (9, "", "", "driver_not_loaded", "modprobe"),
    (255, NOT_LOADED, "", "driver_not_loaded", "modprobe"),
    (18, MISMATCH + "NVML library version: 535.183\n", "", "version_mismatch", "Reboot"),
    (255, "", MISMATCH, "version_mismatch", "Reboot"),
    (6, "No devices were found\n", "", "no_devices", "lspci"),
    (0, "No devices were found\n", "", "no_devices", "lspci"),
    (15, NO_HANDLE + " 0000:09:00.0: GPU is lost.  Reboot the system\n", "", "gpu_lost", "0000:09:00.0"),
    (255, NO_HANDLE + "0000:07:00.0: Unknown Error\n", "", "gpu_lost", "0000:07:00.0"),
    (124, "", "", "timeout", "30 s"),
    (137, H200[:5000], "", "timeout", "30 s"),
    (0, "", "", "malformed", "no output"),
    (0, "hello\n", "", "malformed", "hello"),
    (0, H200[:9000], "", "malformed", "by hand"),
    (4, "Failed to initialize NVML: Insufficient Permissions\n", "", "failed", "exit status 4"),
    (255, "Failed to initialize NVML: Unknown Error\n", "", "failed", "exit status 255"),
    (3, H200, "", "failed", "exit status 3"),
    (15, H200, "", "gpu_lost", "reboot"),
]  # fmt: skip


@pytest.mark.parametrize(("rc", "stdout", "stderr", "status", "word"), FAULTS)
def test_fault(rc: int, stdout: str, stderr: str, status: str, word: str) -> None:
    report = answer(rc, stdout, stderr)
    assert report.status == status
    assert word in report.message
    assert report.message.startswith(f"{nvidia_smi.MEANINGS[status]}. {nvidia_smi.REMEDIES[status]}.")
    assert "\n" not in report.message
    assert len(report.message) < 900


def test_every_status_is_tested() -> None:
    assert {row[3] for row in FAULTS} | {"ok"} == set(nvidia_smi.MEANINGS)


def test_mismatch_names_the_library() -> None:
    report = answer(18, MISMATCH + "NVML library version: 535.183\n")
    assert report.library_version == "535.183"
    completed = nvidia_smi.complete(report, KernelModule(True, "525.147.05", "proprietary"))
    assert (completed.driver_version, completed.status) == ("525.147.05", "version_mismatch")


def test_a_damaged_inforom_is_a_warning() -> None:
    report = answer(14, H200 + "WARNING: infoROM is corrupted at gpu 0000:00:06.0\n")
    assert (report.status, len(report.gpus)) == ("ok", 1)
    assert report.warnings == ("WARNING: infoROM is corrupted at gpu 0000:00:06.0",)


def test_gpus_are_kept_when_nvidia_smi_fails_after_them() -> None:
    report = answer(255, H200, NO_HANDLE + " 0000:09:00.0: Unknown Error\n")
    assert (report.status, len(report.gpus)) == ("gpu_lost", 1)
    assert "0000:09:00.0" in report.message


def test_lost_gpu_is_named() -> None:
    assert "0000:19:00.0" in load("derived-h200-x2-gpu-lost-580").message


def test_no_gpu_in_the_document() -> None:
    report = nvidia_smi.parse("<nvidia_smi_log><attached_gpus>0</attached_gpus></nvidia_smi_log>")
    assert (report.status, report.gpus) == ("no_devices", ())


@pytest.mark.parametrize("end", range(0, len(H200), 500))
def test_truncated(end: int) -> None:
    assert nvidia_smi.parse(H200[:end]).status == "malformed"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_truncated(name: str) -> None:
    text = (FOLDER / name / "nvidia-smi-q.xml").read_text()
    assert {nvidia_smi.parse(text[:end]).status for end in range(0, len(text) - 20, 3001)} == {"malformed"}


BOMB = '<!DOCTYPE nvidia_smi_log [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "text",
    [
        f'<?xml version="1.0" ?>{BOMB}<nvidia_smi_log><driver_version>&b;</driver_version><gpu/></nvidia_smi_log>',
        '<!DOCTYPE nvidia_smi_log SYSTEM "file:///etc/passwd" [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        "<nvidia_smi_log><gpu><uuid>&a;</uuid></gpu></nvidia_smi_log>",
        f'<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">{BOMB}<nvidia_smi_log><gpu/></nvidia_smi_log>',
        "<nvidia_smi_log><gpu><uuid>&nbsp;</uuid></gpu></nvidia_smi_log>",
        "<nvidia_smi_log><gpu></nvidia_smi_log>",
        "<nvidia_smi_log/>",
        "<nvidia_smi_log>",
        "</nvidia_smi_log><nvidia_smi_log>",
        "<?xml?></nvidia_smi_log>",
        "<!DOCTYPE</nvidia_smi_log>",
        "<nvidia_smi_log><gpu/></nvidia_smi_log></nvidia_smi_log>",
        "\0\0\0",
        "\ud800<nvidia_smi_log>\ud800</nvidia_smi_log>\udfff<",
        "<html><nvidia_smi_log></nvidia_smi_log></html>",
    ],
)
def test_malformed(text: str) -> None:
    report = nvidia_smi.parse(text)
    assert report.gpus == ()
    assert report.status in ("malformed", "no_devices")
    assert "root:" not in json.dumps(report.to_dict())


def test_a_foreign_root_is_refused() -> None:
    assert nvidia_smi.parse("<?xml version='1.0'?><x><nvidia_smi_log></nvidia_smi_log>").status == "malformed"


@pytest.mark.parametrize("name", ["a & b <c>", "\x01\x02", "</process_info>", "\ud800"])
def test_a_process_may_be_named_anything(name: str) -> None:
    process = f"<processes><process_info><pid>1</pid><process_name>{name}</process_name></process_info>"
    assert edited(("<processes>", process)).gpus[0].process_count == 1


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(H200) - 1), st.integers(0, 200), st.text(max_size=30))
def test_any_damage_is_a_report(start: int, length: int, inserted: str) -> None:
    report = nvidia_smi.parse(H200[:start] + inserted + H200[start + length :])
    assert report.status in nvidia_smi.MEANINGS
    json.dumps(report.to_dict())


@settings(max_examples=150, deadline=None)
@given(st.integers(-3, 300), st.text(max_size=200), st.text(max_size=200))
def test_any_answer_is_a_report(rc: int, stdout: str, stderr: str) -> None:
    assert answer(rc, stdout, stderr).status in set(nvidia_smi.MEANINGS) - {"ok"}


def many(count: int) -> str:
    head, gpu, tail = (
        H200[: H200.index("<gpu ")],
        H200[H200.index("<gpu ") : H200.index("</gpu>") + 6],
        "</nvidia_smi_log>",
    )
    return head + gpu * count + tail


def test_sixteen_gpus_are_read_fast() -> None:
    text = many(16)
    assert len(text) > 400_000
    elapsed = []
    for _attempt in range(3):
        start = time.process_time()
        report = nvidia_smi.parse(text)
        elapsed.append(time.process_time() - start)
    assert len(report.gpus) == 16
    assert min(elapsed) < 0.1


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia_smi, "LARGEST", 100_000)
    assert nvidia_smi.parse(many(2)).status == "ok"
    assert nvidia_smi.parse(many(16)).status == "malformed"


@pytest.mark.parametrize(
    "text",
    [
        "x" * 5_000_000,
        "<nvidia_smi_log>" * 300_000,
        "<!DOCTYPE " * 300_000 + "</nvidia_smi_log>",
        "<nvidia_smi_log>" + "<process_name>" * 200_000 + "</nvidia_smi_log>",
        "<nvidia_smi_log>" + "<a>" * 200_000 + "</a>" * 200_000 + "</nvidia_smi_log>",
    ],
    ids=["text", "starts", "doctypes", "names", "deep"],
)
def test_huge_nonsense_is_refused_fast(text: str) -> None:
    start = time.process_time()
    assert nvidia_smi.parse(text).status in ("malformed", "no_devices")
    assert time.process_time() - start < 5
