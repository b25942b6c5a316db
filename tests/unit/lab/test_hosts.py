"""The lab's hosts without a container: settings for this machine, free subnets, packages, inventory."""

from __future__ import annotations

import hashlib
import io
import ipaddress
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.lab.hosts import deb, inventory, lifecycle, machine, network, podman, ubuntu
from tests.lab.state import Lab

KERNEL = "5.15.0-89-generic"


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


def test_subnets_avoid_what_is_taken_and_are_the_same_again() -> None:
    first = network.candidates("demo", [], "10.90")
    assert network.candidates("demo", [], "10.90") == first
    again = network.candidates("demo", [first[0], ipaddress.IPv4Network("10.0.0.0/30")], "10.90")
    assert again[0] == first[1]
    assert network.candidates("demo", [ipaddress.IPv4Network("10.0.0.0/8")], "10.90") == []


def test_inventory_has_kubespray_s_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path))
    children = inventory.document(Lab("demo"), {"a": "10.90.0.10"})["all"]["children"]
    assert children["kube_node"]["hosts"] == {"a": {"ansible_host": "10.90.0.10"}}
    assert str(tmp_path) in children["kube_node"]["vars"]["ansible_ssh_private_key_file"]
    assert "gpu_nodes" not in children


def test_deb_is_an_ar_of_three_members_and_the_same_again() -> None:
    package = deb.Package("demo", "1.0-1", {"Depends": "kmod"}, {"usr/bin/demo": "#!/bin/sh\n", "usr/lib/l": "->l.1"})
    data = deb.build(package)
    assert data == deb.build(package)
    assert data.startswith(b"!<arch>\ndebian-binary")
    members = {name: data.index(name) for name in (b"control.tar.gz", b"data.tar.gz")}
    content = data[members[b"data.tar.gz"] + 60 :]
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        modes = {entry.name: (entry.mode, entry.linkname) for entry in archive if not entry.isdir()}
    assert modes == {"./usr/bin/demo": (0o755, ""), "./usr/lib/l": (0o644, "l.1")}


def test_repository_s_indices_tell_the_truth() -> None:
    files = deb.repository([deb.Package("demo", "1.0-1")], "jammy", {"Origin": "Ubuntu"})
    index = files["dists/jammy/restricted/binary-amd64/Packages"]
    assert f"SHA256: {hashlib.sha256(files['pool/demo_1.0-1_amd64.deb']).hexdigest()}" in index.decode()
    assert hashlib.sha256(index).hexdigest() in files["dists/jammy/Release"].decode()


PACKAGES = {(package.name, package.version): package for package in ubuntu.packages(KERNEL)}


def relations(package: deb.Package, field: str) -> list[str]:
    return [each.strip() for each in package.fields.get(field, "").split(",") if each.strip()]


def test_every_dependency_can_be_met_within_the_repository() -> None:
    provided = {name for name, _ in PACKAGES}
    provided |= {each.split()[0] for package in PACKAGES.values() for each in relations(package, "Provides")}
    needed = {each.split()[0] for package in PACKAGES.values() for each in relations(package, "Depends")}
    assert needed - provided == {"kmod", "passwd"}  # Debian's own


@pytest.mark.parametrize("driver", ubuntu.DRIVERS, ids=lambda driver: driver.version)
def test_exact_dependencies_name_versions_that_exist(driver: ubuntu.Driver) -> None:
    meta = PACKAGES[f"nvidia-driver-{driver.tail}", driver.version]
    exact = [each for each in relations(meta, "Depends") if "(= " in each]
    assert len(exact) > 9
    for each in exact:
        name, version = each.rstrip(")").split(" (= ")
        assert (name, version) in PACKAGES


def test_two_branches_exclude_each_other() -> None:
    for stem in ("nvidia-utils", "libnvidia-compute", "nvidia-kernel-common", "nvidia-compute-utils"):
        old, new = (PACKAGES[f"{stem}-{each.tail}", each.version] for each in ubuntu.DRIVERS[::3])
        assert stem in relations(old, "Conflicts")
        assert stem in relations(new, "Provides")


def test_prebuilt_modules_are_for_the_running_kernel_in_the_newer_branch_only() -> None:
    prebuilt = {name for name, _ in PACKAGES if name.startswith("linux-modules-nvidia-") and name.endswith(KERNEL)}
    assert prebuilt == {f"linux-modules-nvidia-535-server{flavour}-{KERNEL}" for flavour in ("", "-open")}


def test_transitional_package_only_depends_on_the_newer_branch() -> None:
    package = PACKAGES["nvidia-driver-515-server", "525.147.05-0ubuntu0.22.04.1"]
    assert relations(package, "Depends") == ["nvidia-driver-525-server (= 525.147.05-0ubuntu0.22.04.1)"]
    assert not package.files


@pytest.mark.parametrize(
    ("kernel", "flavour"),
    [
        ("5.15.0-89-generic", "generic"),
        ("6.1.0-18-amd64", "amd64"),
        ("6.6.87", "generic"),
        ("5.4.0-1-lowlatency-hwe", "lowlatency-hwe"),
    ],
)
def test_flavour_of_a_kernel(kernel: str, flavour: str) -> None:
    assert ubuntu.flavour_of(kernel) == flavour


def test_a_machine_without_podman_has_no_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scenario begins by taking down what an earlier one left, and ``up`` installs podman only after that."""
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "run", lambda argv, **_more: pytest.fail(str(argv)) if "podman" in argv else None)
    lifecycle.down(Lab("fresh"))
    assert lifecycle.status(Lab("fresh")) == []
