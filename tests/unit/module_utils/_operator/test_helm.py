"""helm's versions, local charts and how remote ones are fetched."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._command import NOT_FOUND, Result
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._operator import helm

VERSIONS: list[tuple[int, str, bool, list[str], int]] = [
    (0, "v3.17.3\n", True, [], 0),
    (0, "v3.17.3\n", False, [], 0),
    (0, "v4.1.4\n", True, [], 0),
    (0, "v4.1.4\n", False, ["--server-side=false"], 0),
    (0, "v2.16.0\n", True, [], 1),
    (1, "", True, [], 1),
    (NOT_FOUND, "", True, [], 1),
]


@pytest.mark.parametrize(("rc", "stdout", "server_side", "arguments", "faults"), VERSIONS)
def test_versions(rc: int, stdout: str, server_side: bool, arguments: list[str], faults: int) -> None:
    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        assert argv == ["helm", "version", "--template", "{{.Version}}"]
        return Result(tuple(argv), rc, stdout, "")

    found = helm.helm_facts(run, {"server_side_apply": server_side})
    assert found["arguments"] == arguments
    assert len(helm.helm_faults(found)) == faults


PULLS = [
    ("/srv/chart", []),
    ("oci://r/c/gpu-operator", ["helm", "pull", "oci://r/c/gpu-operator", "--version", "v1"]),
    ("https://h/nvidia", ["helm", "pull", "gpu-operator", "--repo", "https://h/nvidia", "--version", "v1"]),
    ("https://h/gpu-operator-v1.tgz", ["helm", "pull", "https://h/gpu-operator-v1.tgz"]),
]


@pytest.mark.parametrize(("chart", "argv"), PULLS)
def test_pull(chart: str, argv: list[str]) -> None:
    assert helm.pull_arguments(chart, "v1") == argv


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    chart = tmp_path / "gpu-operator"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("name: gpu-operator\nversion: v26.7.0\n")
    (chart / "templates/a.yaml").write_text("a")
    return chart


def packed(folder: Path, name: str) -> str:
    file = folder.parent / name
    with tarfile.open(file, "w:gz") as archive:
        archive.add(folder, "gpu-operator")
    return str(file)


def test_local_charts(folder: Path) -> None:
    first = packed(folder, "a.tgz")
    assert helm.local_chart_version(str(folder)) == helm.local_chart_version(first) == "v26.7.0"
    (folder / "Chart.yaml").touch()
    assert helm.digest_of(first) == helm.digest_of(packed(folder, "b.tgz"))  # packed again, the same content
    before = helm.digest_of(str(folder))
    (folder / "templates/a.yaml").write_text("b")
    assert helm.digest_of(str(folder)) != before
    assert helm.digest_of("/nowhere") == ""


def test_what_is_no_chart(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_text("no archive")
    with pytest.raises(GpuError, match="Wanted: a helm chart"):
        helm.local_chart_version(str(tmp_path / "x.tgz"))
    with pytest.raises(GpuError):
        helm.local_chart_version(str(tmp_path))


def test_what_the_cluster_serves_is_told_to_helm() -> None:
    class Api:
        def get_or_none(self, path: str) -> Any:
            groups = [
                {"versions": [{"groupVersion": "apps/v1"}]},
                {"versions": [{"groupVersion": "resource.k8s.io/v1"}]},
            ]
            kinds = [{"name": "deviceclasses", "kind": "DeviceClass"}, {"name": "x/status", "kind": "X"}]
            return {"/apis": {"groups": groups}, "/apis/resource.k8s.io/v1": {"resources": kinds}}.get(path)

    assert helm.api_versions(Api()) == [
        "--api-versions=apps/v1",
        "--api-versions=resource.k8s.io/v1",
        "--api-versions=resource.k8s.io/v1/DeviceClass",
    ]
