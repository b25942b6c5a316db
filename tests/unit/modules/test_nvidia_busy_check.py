"""The module on a /proc of a folder: idle, busy until the deadline, and work that ends meanwhile."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.modules import nvidia_busy_check


class Bench:
    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.capsys, self.now, self.ends_at = root, capsys, 0.0, 0.0
        (root / "proc/42/fd").mkdir(parents=True)
        (root / "proc/42/comm").write_text("train\n")
        (root / "proc/42/cgroup").write_text("0::/system.slice/job\n")
        monkeypatch.setattr(nvidia_busy_check, "ROOT", str(root))
        monkeypatch.setattr(nvidia_busy_check.time, "sleep", self.sleep)
        monkeypatch.setattr(nvidia_busy_check.time, "monotonic", lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.ends_at:
            shutil.rmtree(self.root / "proc/42", ignore_errors=True)

    def __call__(self, ends_at: float | None, **arguments: Any) -> dict[str, Any]:
        if ends_at is not None:
            (self.root / "proc/42/fd/3").symlink_to("/dev/nvidia0")
            self.ends_at = ends_at
        with patch_module_args(arguments), pytest.raises(SystemExit):
            nvidia_busy_check.main()
        found: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return found


@pytest.mark.parametrize(
    ("ends_at", "arguments", "waited", "failed"),
    [
        (None, {}, 0, False),
        (8, {}, 0, True),  # not waited for
        (8, {"timeout": 60}, 10, False),
        (99, {"timeout": 60}, 60, True),
        (8, {"timeout": 60, "_ansible_check_mode": True}, 0, True),
    ],
)
def test_waiting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    ends_at: float | None, arguments: dict[str, Any], waited: int, failed: bool,
) -> None:  # fmt: skip
    told = Bench(tmp_path, capsys, monkeypatch)(ends_at, **arguments)
    assert (told["waited"], told.get("failed", False)) == (waited, failed)
    if failed:
        assert "42 (train in /system.slice/job)" in told["msg"]
