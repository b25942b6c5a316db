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


CGROUPS = {
    "100": "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0\n",
    "300": "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podab.slice/cri-containerd-1.scope\n",
    "400": "12:devices:/docker/0123\n1:name=systemd:/docker/0123\n0::/\n",
}


@pytest.fixture
def root(tmp_path: Path) -> str:
    for pid, (name, files) in PROCESSES.items():
        (tmp_path / "proc" / pid / "fd").mkdir(parents=True)
        (tmp_path / "proc" / pid / "comm").write_text(name + "\n")
        (tmp_path / "proc" / pid / "cgroup").write_text(CGROUPS.get(pid, "0::/\n"))
        for number, target in enumerate(files):
            (tmp_path / "proc" / pid / "fd" / str(number)).symlink_to(target)
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/600").mkdir()  # it ended while we looked
    return str(tmp_path)


@pytest.mark.parametrize(("minor", "expected"), [(0, ("100 (python3)",)), (1, ("300 (train)",)), (10, ()), (None, ())])
def test_computing(root: str, minor: int | None, expected: tuple[str, ...]) -> None:
    assert holders.computing(minor, root) == expected


def test_work_that_no_drain_ends(root: str) -> None:
    """Not a pod's, not the driver's own daemon, whose name the kernel cuts; control groups of both versions."""
    assert [str(process) for process in holders.outside_pods(root)] == [
        "100 (python3 in /system.slice/slurmstepd.scope/job_7/step_0/user/task_0)",
        "400 (starting in /docker/0123)",
    ]


@pytest.mark.parametrize(("path", "work"), [("/dev/nvidia0", True), ("/dev/nvidia-uvm", True), ("/dev/nvidiactl", False),
                                            ("/dev/nvidia-modeset", False), ("/tmp/dev/nvidia0", False)])  # fmt: skip
def test_which_devices_are_work(tmp_path: Path, path: str, work: bool) -> None:
    (tmp_path / "proc/7/fd").mkdir(parents=True)
    (tmp_path / "proc/7/fd/3").symlink_to(path)
    assert bool(holders.outside_pods(str(tmp_path))) is work
