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
    "everything": False,
}


class Helm:
    """Writes a chart when it pulls, and renders the values that it is given into a ClusterPolicy."""

    def __init__(self, missing: bool = False) -> None:
        self.missing = missing
        self.calls: list[list[str]] = []

    def __call__(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        self.calls.append(argv)
        if self.missing:
            return Result(tuple(argv), NOT_FOUND, "", "helm: not found")
        if argv[1] == "pull":
            Path(argv[-1], "gpu-operator-v26.7.0.tgz").touch()
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
])  # fmt: skip
def test_refuses(tmp_path: Path, helm: Helm, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(GpuError, match=sentence):
        gpu_operator_images.run_all(helm, {**OPTIONS, **options}, tmp_path)
