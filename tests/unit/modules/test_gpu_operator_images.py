"""The module with a helm that answers from a table: list, mirror, refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import operator_cluster as cluster
import pytest
import yaml

from ansible_collections.t9k.gpu.plugins.module_utils._command import NOT_FOUND, Result
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.modules import gpu_operator_images

OPTIONS: dict[str, Any] = {
    "chart": "oci://r/c/gpu-operator",
    "version": "v26.7.0",
    "version_unchecked": False,
    "versions": cluster.VERSIONS,
    "driver": "host",
    "values": {},
    "images": {},
    "image_registry": "",
    "systems": ["ubuntu22.04"],
    "kernels": [],
    "manifests": [],
    "chart_username": "",
    "chart_password": "",
    "chart_ca_file": "",
    "everything": False,
}


class Helm:
    """Writes a chart when it pulls, and renders the values that it is given into a ClusterPolicy."""

    def __init__(self, missing: bool = False) -> None:
        self.missing = missing
        self.calls: list[list[str]] = []
        self.inputs: list[str | None] = []

    def __call__(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        self.calls.append(argv)
        self.inputs.append(stdin)
        if self.missing:
            return Result(tuple(argv), NOT_FOUND, "", "helm: not found")
        if argv[1] in ("registry", "repo"):
            return Result(tuple(argv), 0, "", "")
        if argv[1] == "pull":
            Path(argv[argv.index("--destination") + 1], "gpu-operator-v26.7.0.tgz").touch()
            return Result(tuple(argv), 0, "", "")
        values = json.loads(Path(argv[-1].partition("=")[2]).read_text())
        toolkit = {"repository": "nvcr.io/nvidia/k8s", "image": "container-toolkit", "version": "v1",
                   **values.get("toolkit", {})}  # fmt: skip
        other = {"repository": "quay.io/x", "image": "unknown", "version": "v2"}
        spec = {"toolkit": toolkit, "unknown": other}
        policy = {"kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": spec}
        return Result(tuple(argv), 0, yaml.safe_dump(policy), "")


def test_list(tmp_path: Path) -> None:
    helm = Helm()
    found = gpu_operator_images.run_all(helm, OPTIONS, tmp_path)
    assert [image["source"] for image in found["images"]] == [
        "nvcr.io/nvidia/k8s/container-toolkit:v1",
        "quay.io/x/unknown:v2",
    ]
    assert (found["mirror"], found["unmapped"]) == ({}, [])
    assert [call[1] for call in helm.calls] == ["pull", "template"]


def test_mirror_names_what_is_not_covered(tmp_path: Path) -> None:
    found = gpu_operator_images.run_all(Helm(), {**OPTIONS, "image_registry": "m/x/"}, tmp_path)
    assert found["mirror"] == {"nvcr.io/nvidia/k8s/container-toolkit:v1": "m/x/nvidia/k8s/container-toolkit:v1"}
    assert found["unmapped"] == ["quay.io/x/unknown:v2"]


@pytest.mark.parametrize(("helm", "options", "sentence"), [
    (Helm(missing=True), {}, "install helm 3 or 4 on the control host"),
    (Helm(), {"version": "v99.1.0"}, "known are"),
    (Helm(), {"values": {"driver": {"usePrecompiled": True}}}, "gpu_operator_mirror_kernels"),
])  # fmt: skip
def test_refuses(tmp_path: Path, helm: Helm, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(GpuError, match=sentence):
        gpu_operator_images.run_all(helm, {**OPTIONS, **options}, tmp_path)


@pytest.mark.parametrize(("chart", "login", "pulled"), [
    ("oci://r/c/gpu-operator", ["registry", "login", "r"], "oci://r/c/gpu-operator"),
    ("https://charts.example/x", ["repo", "add", "t9k", "https://charts.example/x"], "t9k/gpu-operator"),
])  # fmt: skip
def test_a_private_chart(tmp_path: Path, chart: str, login: list[str], pulled: str) -> None:
    """The password is on the input only, and what helm keeps of it in the folder that goes."""
    helm = Helm()
    private = {"chart": chart, "chart_username": "u", "chart_password": "geheim", "chart_ca_file": "/ca.crt"}
    gpu_operator_images.run_all(helm, {**OPTIONS, **private}, tmp_path)
    first, second = helm.calls[:2]
    assert first[1 : 1 + len(login)] == login and helm.inputs[:2] == ["geheim", None]
    assert second[1:3] == ["pull", pulled]
    assert all(call[call.index("--ca-file") :][:2] == ["--ca-file", "/ca.crt"] for call in (first, second))
    assert all(f"{tmp_path}/registry.json" in call for call in (first, second))
    assert not any("geheim" in word for call in helm.calls for word in call)


def test_no_login_leaves_helm_its_own_files(tmp_path: Path) -> None:
    helm = Helm()
    gpu_operator_images.run_all(helm, OPTIONS, tmp_path)
    assert "--registry-config" not in helm.calls[0]
