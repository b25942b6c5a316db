"""Each chart from nothing to absent, and from the written guide's install to ours to absent: all objects of the cluster are compared.

The charts are the lab's own, or with ``T9K_GPU_CHARTS=FOLDER`` those packaged there (gpu-operator-VERSION.tgz), such as NVIDIA's. API
server, controllers and helm are real; the operator is the lab's (its sources stand in its head). About three minutes a chart.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.slow.operator_lab import ROOT, OperatorLab, Ran, operator_lab, packaged

HOSTS = {"cpu-1": ("debian-12", "none"), "gpu-1": ("ubuntu-like", "a40-x7"), "gpu-2": ("debian-12", "a100-gsp")}
SPACE = "/api/v1/namespaces/gpu-operator"
GIVEN = os.environ.get("T9K_GPU_CHARTS")
VERSIONS = (
    sorted(path.stem.rpartition("-")[2] for path in Path(GIVEN).glob("*.tgz")) if GIVEN else ["v22.9.2", "v26.7.0"]
)
MIRROR = {"gpu_operator_image_registry": "registry.example/mirror"}
#: What an operator that is uninstalled leaves on nodes, a real one too: its labels and those of the discoveries (NVIDIA/gpu-operator's
#: controller labels nodes only while it runs; node feature discovery's prune job has no kubelet here).
FOUND = ("feature.node.kubernetes.io/", "nvidia.com/gpu.", "nvidia.com/mig.")
OURS = ("nvidia.com/gpu.deploy.operands", "nvidia.com/device-plugin.config")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorLab]:
    folder = tmp_path_factory.mktemp("charts")
    with operator_lab("charts", HOSTS, folder, "{crds: [servicemonitor, queue]}") as found:
        (folder / "host_vars").mkdir()
        (folder / "host_vars/gpu-1.yml").write_text("gpu_sharing: common\n")
        (folder / "host_vars/gpu-2.yml").write_text("gpu_operator_operands: false\n")
        others(found)
        yield found


def others(lab: OperatorLab) -> None:
    """What others have in the cluster, some of it where the role works."""
    for name in ("gpu-operator", "t9k-monitoring", "t9k-system"):
        labels = {"pod-security.kubernetes.io/enforce": "privileged"}
        lab.api.create(
            "/api/v1/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        )
    for kind in ("ConfigMap", "Secret"):
        theirs = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "theirs"}}
        lab.api.create(f"{SPACE}/{kind.lower()}s", theirs)
    monitor = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {"name": "theirs"},
        "spec": {"endpoints": [{"port": "x"}], "selector": {}},
    }
    lab.api.create("/apis/monitoring.coreos.com/v1/namespaces/t9k-monitoring/servicemonitors", monitor)
    lab.api.patch("/api/v1/nodes/gpu-1", {"metadata": {"labels": {"team": "x"}}})


def chart(version: str, lab: OperatorLab) -> str:
    return str(Path(GIVEN) / f"gpu-operator-{version}.tgz") if GIVEN else str(packaged(version, lab.folder))


def asked(version: str, lab: OperatorLab) -> dict[str, Any]:
    return {
        "gpu_operator_chart": chart(version, lab),
        "gpu_operator_version": version,
        "gpu_operator_sharing": {"common": {"mode": "time_slicing", "replicas": 4}},
        "gpu_operator_service_monitor": {"by": "role"},
        "gpu_operator_queue": {"quota": {"nvidia.com/gpu.shared": 12}},
    }


def shown(version: str, what: str, *runs: Ran) -> None:
    print(f"\n{version} {what}: " + ", ".join(f"{run.requests} requests {run.seconds:.1f} s" for run in runs))


def same(lab: OperatorLab, before: dict[str, Any], left: frozenset[str] = frozenset()) -> None:
    """Nothing of ours is left, nothing of others is touched; the garbage collection has half a minute. ``left``: may have been left."""
    for _second in range(30):
        after = lab.objects()
        differ = {key for key in {*before, *after} if _plain(before.get(key)) != _plain(after.get(key))} - left
        if not differ:
            return
        time.sleep(1)
    raise AssertionError({key: (before.get(key), after.get(key)) for key in sorted(differ)})


def _plain(found: Any) -> Any:
    return (
        {k: v for k, v in found.items() if k in OURS or not k.startswith(FOUND)} if isinstance(found, dict) else found
    )


def removed(lab: OperatorLab, version: str, **more: Any) -> None:
    gone = {**asked(version, lab), "gpu_operator_state": "absent", "gpu_operator_crds_remove": True, **more}
    shown(version, "absent, again", *lab.works(**gone))


def pulled(lab: OperatorLab) -> set[str]:
    """What the cluster's pods ask for."""
    specs = [pod["spec"] for pod in lab.api.items(f"{SPACE}/pods")]
    found = {each["image"] for spec in specs for each in [*spec["containers"], *spec.get("initContainers", [])]}
    assert len(found) >= 5
    return found


def mapped(lab: OperatorLab, version: str) -> set[str]:
    """What the mirror is said to need."""
    given = {**asked(version, lab), **MIRROR, "gpu_operator_mirror_file": str(lab.folder / "images.yml")}
    argv = ["ansible-playbook", "-i", "localhost,", "playbooks/images.yml", "-e", json.dumps(given)]
    subprocess.run(argv, cwd=ROOT, env=lab.environment, capture_output=True, check=True)
    return set(yaml.safe_load((lab.folder / "images.yml").read_text()).values())


@pytest.mark.parametrize("version", VERSIONS)
def test_from_nothing_to_absent(lab: OperatorLab, version: str) -> None:
    before = lab.objects()
    shown(version, "install, again", *lab.works(**asked(version, lab), **MIRROR))
    node = lab.api.get("/api/v1/nodes/gpu-1") or {}
    assert node["status"]["allocatable"]["nvidia.com/gpu.shared"] == "28"
    assert pulled(lab) <= mapped(lab, version)
    removed(lab, version)
    same(lab, before)


def rendered(lab: OperatorLab, version: str, *more: str) -> list[dict[str, Any]]:
    argv = ["helm", "template", chart(version, lab), "--namespace=gpu-operator", "--set=driver.enabled=false", *more]
    text = subprocess.run(argv, env=lab.environment, capture_output=True, text=True, check=True).stdout
    return [each for each in yaml.safe_load_all(text) if each]


def by_hand(lab: OperatorLab, version: str) -> frozenset[str]:
    """Install as the written guide says; return the ends of addresses of what a removal of the release leaves: the chart's hooks, which
    ``helm template`` renders like the rest, and CRDs among its templates."""
    documents = rendered(lab, version, "--include-crds")
    kinds = [each for each in documents if each["kind"] == "CustomResourceDefinition"]
    # By the server, since kubectl's note of what it applied has no room for the largest; the rest by kubectl, which leaves out the
    # fields that older charts fill with null.
    _kubectl(lab, ["apply", "--server-side", "--force-conflicts", "--filename=-"], kinds)
    _kubectl(lab, ["wait", "--for=condition=Established", "--timeout=60s", "--filename=-"], kinds)
    _kubectl(lab, ["apply", "--namespace=gpu-operator", "--filename=-"], [x for x in documents if x not in kinds])
    left = [each for each in documents if "helm.sh/hook" in (each["metadata"].get("annotations") or {})]
    left += [each for each in rendered(lab, version) if each["kind"] == "CustomResourceDefinition"]
    return frozenset(f"{each['kind'].lower()}s/{each['metadata']['name']}" for each in left)


def _kubectl(lab: OperatorLab, argv: list[str], documents: list[dict[str, Any]]) -> None:
    told = yaml.safe_dump_all(documents)
    argv = ["kubectl", *argv]
    done = subprocess.run(argv, env=lab.environment, input=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def operator_pods(lab: OperatorLab) -> list[str]:
    pods = lab.api.items(f"{SPACE}/pods?labelSelector=app%3Dgpu-operator")
    return [pod["metadata"]["uid"] for pod in pods]


@pytest.mark.parametrize("version", VERSIONS)
def test_from_the_guides_install_to_ours(lab: OperatorLab, version: str) -> None:
    before = lab.objects()
    stays = by_hand(lab, version)
    wish = {**asked(version, lab), "gpu_operator_release": "release-name"}
    for _second in range(60):
        if operator_pods(lab):
            break
        time.sleep(1)
    pods = operator_pods(lab)
    refused = lab.play(**wish)
    assert refused.refused and "gpu_operator_adopt: true" in refused.said, refused.said
    assert refused.writes == 0
    shown(version, "adopted, again", *lab.works(**wish, gpu_operator_adopt=True))
    assert operator_pods(lab) == pods
    removed(lab, version, gpu_operator_release="release-name")
    left = frozenset(key for key in lab.objects() if any(key.endswith(f"/{each}") for each in stays))
    same(lab, before, left)
    for key in left:
        base, namespace, resource, name = key.rsplit("/", 3)
        lab.api.delete("/".join(filter(None, [base, f"namespaces/{namespace}" if namespace else "", resource, name])))
