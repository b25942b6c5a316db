"""What the plan is told of the kernels: which one boots next, which have no module of the driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._driver import next_boot

RUNNING, NEW = "6.1.0-30-amd64", "6.1.0-31-amd64"
MODULE = "updates/dkms/nvidia-current.ko"


@pytest.mark.parametrize(
    ("files", "headers", "without"),
    [
        ({RUNNING: MODULE, NEW: MODULE}, False, ()),
        ({RUNNING: MODULE, NEW: "modules.dep"}, False, (NEW,)),
        ({RUNNING: MODULE, NEW: "build/Makefile"}, True, (NEW,)),
        ({RUNNING: "updates/dkms/nvidia-current-uvm.ko", NEW: MODULE}, False, (RUNNING,)),
    ],
)
def test_kernels(tmp_path: Path, files: dict[str, str], headers: bool, without: tuple[str, ...]) -> None:
    for release, name in files.items():
        for path in (tmp_path / f"boot/vmlinuz-{release}", tmp_path / f"lib/modules/{release}" / name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    found = next_boot.kernels(RUNNING, str(tmp_path))
    assert (found.next.release, found.headers, found.without) == (NEW, headers, without)


def test_a_container_has_none_of_its_own(tmp_path: Path) -> None:
    """The module of the running kernel cannot be there: that is no finding."""
    assert next_boot.kernels(RUNNING, str(tmp_path)).without == ()
