"""nvidia-smi's documents: the real capture, those derived from it, and what comes of a change to one."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi

FOLDER = Path(__file__).parent / "fixtures"
CAPTURE = "h200-sxm-580-open"
DOCUMENTS = sorted(path.parent.name for path in FOLDER.glob("*/nvidia-smi-q.xml"))
H200 = (FOLDER / CAPTURE / "nvidia-smi-q.xml").read_text()


def load(name: str) -> nvidia_smi.SmiReport:
    return nvidia_smi.parse((FOLDER / name / "nvidia-smi-q.xml").read_text())


def answer(rc: int, stdout: str = "", stderr: str = "") -> nvidia_smi.SmiReport:
    return nvidia_smi.classify(Result(("nvidia-smi", "-q", "-x"), rc, stdout, stderr), 30)


def edited(*changes: tuple[str, str]) -> nvidia_smi.SmiReport:
    text = H200
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return nvidia_smi.parse(text)
