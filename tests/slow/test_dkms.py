"""Debian's real driver built by dkms for a real kernel: minutes of compiling, so ``./dev slow`` runs it, CI does not.

The lab's hosts are containers, which cannot load what is built; this proves that the packages the role installs do build.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

HOST = "dkms-debian"
SPEC = f"cluster: false\nhosts:\n  - {{name: {HOST}, os: debian-12, gpus: a100-gsp, components: all}}\n"


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    spec = tmp_path_factory.mktemp("dkms") / "lab.yml"
    spec.write_text(SPEC)
    lab = [sys.executable, "-m", "tests.lab.hosts"]
    subprocess.run([*lab, "up", "--name", "dkms", "--spec", str(spec)], check=True)
    yield Path(os.environ["T9K_GPU_CACHE"]) / "labs/dkms/inventory.yml"
    subprocess.run([*lab, "down", "--name", "dkms"], check=True)


def on_host(inventory: Path, command: str) -> str:
    words = ["ansible", HOST, "-i", str(inventory), "-o", "-m", "ansible.builtin.shell", "-a", command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_the_roles_packages_build_for_debians_kernel(inventory: Path) -> None:
    on_host(inventory, "apt-get update && apt-get install --yes --no-install-recommends linux-headers-amd64")
    variables = ["-e", yaml.safe_dump({"driver_headers": "ignore"}, default_flow_style=True).strip()]
    subprocess.run(["ansible-playbook", "-i", str(inventory), "playbooks/driver.yml", *variables], check=True)
    on_host(inventory, "dkms autoinstall --kernelver $(ls /usr/src | sed -n s/linux-headers-//p | grep amd64)")
    status = on_host(inventory, "dkms status")
    assert "nvidia-current/535." in status
    assert "installed" in status
    module = on_host(inventory, "find /lib/modules/*-amd64 -name 'nvidia-current.ko*' | xargs modinfo --field version")
    assert "535." in module
