"""The small files of the driver role, read the way apt and unattended-upgrades read them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files


@pytest.mark.parametrize(
    ("version", "pinned"),
    [
        ("535.247.01-1~deb12u1", True),
        ("1:535.247.01-0ubuntu0.22.04.1", True),
        ("535.247.011-1", False),
        ("535.247x01-1", False),
        ("1.17.4-1", False),
    ],
)
def test_the_pin_means_one_upstream_version(version: str, pinned: bool) -> None:
    pin = re.search(r"^Pin: version /(.*)/$", driver_files.preferences("535.247.01"), re.MULTILINE)
    assert pin is not None
    assert bool(re.search(pin[1], version)) is pinned


@pytest.mark.needs("apt-cache", "dpkg-query")
def test_apt_takes_the_pin(tmp_path: Path) -> None:
    """With real apt: an installed package of this machine stands in for the driver."""
    show = ["dpkg-query", "--show", "--showformat=${Version}", "bash"]
    version = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    upstream = version.rsplit("-", 1)[0].split(":")[-1]
    text = re.sub("^Package: .*$", "Package: bash", driver_files.preferences(upstream), flags=re.MULTILINE)
    (tmp_path / "pins").write_text(text, encoding="utf-8")
    policy = ["apt-cache", "-o", f"Dir::Etc::Preferences={tmp_path}/pins", "policy", "bash"]
    shown = subprocess.run(policy, capture_output=True, text=True, check=True).stdout
    assert f"{version} 1001" in shown


@pytest.mark.parametrize(
    ("name", "excluded"),
    [
        ("nvidia-driver-535-server", True),
        ("libnvidia-compute-535-server", True),
        ("libcuda1", True),
        ("linux-modules-nvidia-535-server-5.15.0-91-generic", True),
        ("libnvcuvid1", True),
        ("linux-image-generic", False),
        ("nvidia-container-toolkit", False),
        ("libnvidia-container1", False),
        ("golang-nvidia-x", False),
        ("nvidia-raid-config", False),
    ],
)
def test_what_unattended_upgrades_leaves_alone(name: str, excluded: bool) -> None:
    expressions = re.findall(r'^    "(.*)";$', driver_files.unattended(), re.MULTILINE)
    assert any(re.match(expression, name) for expression in expressions) is excluded


@pytest.mark.needs("apt-config")
def test_apt_takes_the_expressions_as_they_are(tmp_path: Path) -> None:
    """With real apt: braces and backslashes in them are not its own."""
    (tmp_path / "apt.conf").write_text(driver_files.unattended())
    dump = ["apt-config", "-c", str(tmp_path / "apt.conf"), "dump", "Unattended-Upgrade::Package-Blacklist"]
    shown = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    read = re.findall(r'^Unattended-Upgrade::Package-Blacklist:: "(.*)";$', shown, re.MULTILINE)
    assert read == re.findall(r'^    "(.*)";$', driver_files.unattended(), re.MULTILINE)


def test_ours_are_the_files_that_removal_takes() -> None:
    assert {driver_files.PREFERENCES, driver_files.UNATTENDED, driver_files.SOURCES} <= set(driver_files.OURS)
    assert driver_files.CORDON_MARK not in driver_files.OURS  # the node must still be let in again
