"""Who has a GPU open for computing, from made-up /proc/PID/fd links."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import holders

UVM, CTL = "/dev/nvidia-uvm", "/dev/nvidiactl"
PROCESSES = {
    "100": ("python3", [CTL, UVM, "/dev/nvidia0", "/dev/nvidia0"]),
    "200": ("nvidia-persiste", [CTL, "/dev/nvidia0", "/dev/nvidia1"]),
    "300": ("train", [CTL, UVM, "/dev/nvidia1", "socket:[1]"]),
    "400": ("starting", [CTL, UVM]),
    "500": ("sshd", []),
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> str:
    for pid, (name, files) in PROCESSES.items():
        (tmp_path / "proc" / pid / "fd").mkdir(parents=True)
        (tmp_path / "proc" / pid / "comm").write_text(name + "\n")
        for number, target in enumerate(files):
            (tmp_path / "proc" / pid / "fd" / str(number)).symlink_to(target)
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/600").mkdir()  # it ended while we looked
    return str(tmp_path)


@pytest.mark.parametrize(("minor", "expected"), [(0, ("100 (python3)",)), (1, ("300 (train)",)), (10, ()), (None, ())])
def test_computing(root: str, minor: int | None, expected: tuple[str, ...]) -> None:
    assert holders.computing(minor, root) == expected
