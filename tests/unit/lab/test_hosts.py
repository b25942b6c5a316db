"""The lab's hosts without a container: settings for this machine, free subnets, packages, inventory."""

from __future__ import annotations

import ipaddress
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import __main__ as cluster_main
from tests.lab.hosts import __main__ as hosts_main
from tests.lab.hosts import image, inventory, lifecycle, machine, network, podman
from tests.lab.log import LabError
from tests.lab.state import Lab


@pytest.mark.parametrize(
    ("systemd", "journal", "limits", "lines"),
    [
        (True, True, None, ['cgroup_manager = "systemd"', 'events_logger = "journald"']),
        (False, False, {"nofile": 20000}, ['cgroup_manager = "cgroupfs"', 'default_ulimits = ["nofile=20000:20000"]']),
    ],
)
def test_podman_settings_follow_the_machine(
    systemd: bool, journal: bool, limits: dict[str, int] | None, lines: list[str]
) -> None:
    text = podman.settings(systemd=systemd, journal=journal, limits=limits)
    assert set(lines) <= set(text.splitlines())
    assert ("default_ulimits" in text) == bool(limits)


LIMITS = "Max processes   {0}   {0}   processes\nMax open files   1024   {1}   files\n"


@pytest.mark.parametrize("user", [0, 1000], ids=["root", "ordinary user with sudo"])
@pytest.mark.parametrize(
    ("capabilities", "processes", "files", "wanted"),
    [
        ("000001ffffffffff", "unlimited", "1048576", None),
        ("000000fffeffffff", "unlimited", "20000", {"nofile": 20000, "nproc": "pid_max"}),
        ("0000000000000000", "900", "unlimited", {"nofile": 1 << 20, "nproc": 900}),
    ],
)
def test_limits_are_those_of_the_root_that_podman_runs_as(
    monkeypatch: pytest.MonkeyPatch, user: int, capabilities: str, processes: str, files: str, wanted: Any
) -> None:
    said = f"CapPrm:\t000001ffffffffff\nCapEff:\t{capabilities}\n{LIMITS.format(processes, files)}"
    asked: list[list[str]] = []
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(machine, "text", lambda argv: asked.append(argv) or said)
    pid_max = int(Path("/proc/sys/kernel/pid_max").read_text())
    assert podman.limits() == (wanted and {key: pid_max if n == "pid_max" else n for key, n in wanted.items()})
    assert ("sudo" in asked[0]) is (user != 0)


def test_an_ordinary_user_without_sudo_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine.shutil, "which", lambda _name: None)
    with pytest.raises(LabError, match="the lab wants root: be root, or install sudo and let this user use it"):
        podman.limits()


@pytest.mark.parametrize(
    "error", [LabError("podman is not there"), PermissionError(13, "Permission denied", "/srv/labs")]
)
def test_what_goes_wrong_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    """Both halves of the lab, which ./dev demo starts one after the other."""

    def fails(*_words: object) -> int:
        raise error

    for main, work in ((hosts_main, "command"), (cluster_main, "_run")):
        monkeypatch.setattr(main, work, fails)
        monkeypatch.setattr(main.sys, "argv", ["lab", "down", "--name", "demo"])
        assert main.main() == 1
        told = capsys.readouterr()
        assert str(error) in told.err + told.out


def test_subnets_avoid_what_is_taken_and_are_the_same_again() -> None:
    first = network.candidates("demo", [], "10.90")
    assert network.candidates("demo", [], "10.90") == first
    again = network.candidates("demo", [first[0], ipaddress.IPv4Network("10.0.0.0/30")], "10.90")
    assert again[0] == first[1]
    assert network.candidates("demo", [ipaddress.IPv4Network("10.0.0.0/8")], "10.90") == []


def test_inventory_has_kubespray_s_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path))
    addresses = {"a": inventory.Address("10.90.0.10"), "b": inventory.Address("127.0.0.1", 2201)}
    children = inventory.document(Lab("demo"), addresses)["all"]["children"]
    assert children["kube_node"]["hosts"] == {
        "a": {"ansible_host": "10.90.0.10"},
        "b": {"ansible_host": "127.0.0.1", "ansible_port": 2201},
    }
    assert str(tmp_path) in children["kube_node"]["vars"]["ansible_ssh_private_key_file"]
    assert "gpu_nodes" not in children


def test_a_machine_without_podman_has_no_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scenario begins by taking down what an earlier one left, and ``up`` installs podman only after that."""
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "run", lambda argv, **_more: pytest.fail(str(argv)) if "podman" in argv else None)
    lifecycle.down(Lab("fresh"))
    assert lifecycle.status(Lab("fresh")) == []


@pytest.mark.parametrize(
    ("release", "lines"),
    [
        ("bookworm", ["deb http://m/debian bookworm main", "deb http://s/debian bookworm-security main"]),
        ("trixie", ["deb http://m/debian trixie main", "deb http://s/debian trixie-security main"]),
    ],
)
def test_a_base_comes_from_this_machines_own_mirrors(
    release: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = (
        b"http://m/debian bookworm main Debian\nhttp://m/debian bookworm contrib Debian\n"
        b"http://s/debian bookworm-security main Debian-Security\nhttp://p/apt stable main Somebody\n"
    )
    answer = subprocess.CompletedProcess([], 0, shown, b"")
    monkeypatch.setattr(machine, "run", lambda _argv, **_more: answer)
    assert image.mirrors(release) == lines


def test_more_hosts_than_this_machine_has_inotify_for_are_refused(tmp_path: Path) -> None:
    limit = tmp_path / "max_user_instances"
    limit.write_text("128\n")
    machine.require_inotify(21, limit)
    with pytest.raises(LabError, match=r"wanted: 180 .* for 30 hosts; found: 128 .*sysctl -w fs.inotify"):
        machine.require_inotify(30, limit)
