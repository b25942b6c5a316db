"""What is read from a node's files and its log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._command import NOT_FOUND, Result
from ansible_collections.t9k.gpu.plugins.module_utils._doctor import seen

BARE = seen.Seen()
AUTO = {"/usr/bin/unattended-upgrade": "", "/etc/apt/apt.conf.d/20auto": 'APT::Periodic::Unattended-Upgrade "1";\n'}
CONTAINERD = "[plugins]\n            SystemdCgroup = true\n"
FILES: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {}),
    (AUTO, {"unattended": True}),
    ({**AUTO, "/etc/apt/apt.conf.d/99off": 'APT::Periodic::Unattended-Upgrade "0";\n'}, {}),
    ({"/etc/apt/apt.conf.d/20auto": 'APT::Periodic::Unattended-Upgrade "1";\n'}, {}),  # it is not installed
    ({**AUTO, "/etc/apt/apt.conf.d/20auto": '// APT::Periodic::Unattended-Upgrade "1";\n'}, {}),
    ({"/sys/module/nouveau/refcnt": "0"}, {"rivals": ("nouveau",)}),
    ({"/etc/containerd/config.toml": CONTAINERD}, {"systemd_cgroups": "/etc/containerd/config.toml"}),
    ({"/etc/containerd/config.toml": "# SystemdCgroup = true\n"}, {}),
    ({"/etc/docker/daemon.json": '["native.cgroupdriver=systemd"]'}, {"systemd_cgroups": "/etc/docker/daemon.json"}),
    ({"/etc/cdi/nvidia.yaml": ""}, {"cdi": True}),
    ({"/dev/nvidia0": ""}, {"missing_links": ("/dev/char/195:0",)}),
    ({"/dev/nvidia0": "", "/dev/char/195:0": ""}, {}),
    ({"/dev/nvidia-caps/nvidia-cap1": ""}, {}),
]


def silent(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
    return Result(tuple(argv), NOT_FOUND, "", "")


@pytest.mark.parametrize(("files", "expected"), FILES)
def test_files(tmp_path: Path, files: dict[str, str], expected: dict[str, Any]) -> None:
    for path, text in files.items():
        place = tmp_path / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    assert seen.read(silent, str(tmp_path), lambda _path: os.makedev(195, 0)) == seen.Seen(**expected)


@pytest.mark.parametrize(
    ("answers", "log"),
    [
        ({"journalctl": "a", "dmesg": "b"}, "a"),
        ({"journalctl": "", "dmesg": "b"}, "b"),
        ({"dmesg": "b"}, "b"),
        ({}, None),
    ],
)
def test_the_journal_before_the_kernel_s_buffer(tmp_path: Path, answers: dict[str, str], log: str | None) -> None:
    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        there = argv[0] in answers
        return Result(tuple(argv), 0 if there else NOT_FOUND, answers.get(argv[0], ""), "")

    assert seen.read(run, str(tmp_path)).log == log
