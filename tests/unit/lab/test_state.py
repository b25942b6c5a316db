"""Where a lab's files lie, and what of them its cluster takes away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.cluster import memory
from tests.lab.log import LabError
from tests.lab.state import Lab, cache


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path))


def test_everything_lies_below_the_cache(tmp_path: Path) -> None:
    lab = Lab("demo")
    assert cache() == tmp_path
    files = (lab.kubeconfig, lab.inventory, lab.bin, lab.ssh_key, lab.pki, lab.logs, lab.archives("a"))
    assert all(tmp_path / "labs" / "demo" in file.parents for file in files)


@pytest.mark.parametrize("name", ["", "Demo", "a/b", "../a", "-a", "a-", "a" * 41])
def test_names_that_are_no_folder_are_refused(name: str) -> None:
    with pytest.raises(LabError, match=r"a lab's name: wanted .*found"):
        Lab(name)


def test_the_cluster_leaves_what_the_hosts_own() -> None:
    lab = Lab("demo")
    memory.write(lab, {"ports": {"etcd": 1}})
    assert memory.read(lab) == {"ports": {"etcd": 1}}
    for file in (lab.kubeconfig, lab.audit_log, lab.folder / "kubeconfig-ns-sa", lab.inventory):
        file.touch()
    memory.remove(lab)
    assert list(lab.folder.iterdir()) == [lab.inventory]
    lab.inventory.unlink()
    memory.remove(lab)
    assert not lab.folder.exists()
    assert memory.read(lab) == {}
