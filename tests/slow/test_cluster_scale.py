"""Five thousand nodes as large as real ones: what an unchanged run and labels on all of them cost. About five minutes.

Seconds depend on the machine, so the test prints them and fails only beyond twice of the figures below; memory and the number of
requests do not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import memory, nodes
from tests.lab.cluster.api import Api
from tests.lab.state import Lab

ROOT = Path(__file__).resolve().parents[2]
COUNT, THREADS = 5000, 8
READ_S, LABEL_S, MOST_MIB = 6.0, 12.0, 300
PCI = {"feature.node.kubernetes.io/pci-10de.present": "true"}


def large(number: int) -> dict[str, Any]:
    """A node as kubelets and NFD leave it: 50 images with two names each, 60 labels, conditions, annotations, addresses."""
    node = nodes.manifest(
        nodes.Node(f"large-{number:04}.rack-{number % 97:02}.example.org", extra=True), "v1.36.2", 10250
    )
    metadata, status = node["metadata"], node["status"]
    metadata["labels"].update({f"feature.node.kubernetes.io/cpu-cpuid.FEATURE{i:02}": "true" for i in range(56)})
    metadata["annotations"].update({f"example.org/annotation-{i}": "x" * 120 for i in range(10)})
    name = "registry.example.org/project/some-component-{:02}"
    status["images"] = [
        {"names": [f"{name.format(i)}@sha256:{i:064x}", f"{name.format(i)}:v1.{i}.0"], "sizeBytes": 10**8 + i}
        for i in range(50)
    ]
    kinds = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
    quiet = {"status": "False", "reason": "KubeletHasSufficient", "message": "kubelet has sufficient of it available"}
    status["conditions"] += [{"type": kind, **quiet} for kind in kinds]
    return node


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Path]]:
    folder, found = tmp_path_factory.mktemp("scale"), Lab("scale")
    (folder / "lab.yml").write_text("cluster: true\nhosts:\n  - {name: gpu-1, os: ubuntu-like, gpus: a40-x7}\n")
    (folder / "hosts").write_text("[kube_node]\ngpu-1\n[all:vars]\nansible_connection=local\n")
    command = [sys.executable, "-m", "tests.lab.cluster"]
    subprocess.run([*command, "up", "--name", found.name, "--spec", str(folder / "lab.yml")], check=True)
    subprocess.run([*command, "chart", "--version", "v26.7.0", "--out", str(folder)], check=True)
    api = client(found)
    api.patch(
        "/api/v1/nodes/gpu-1", {"metadata": {"labels": PCI}}
    )  # without node feature discovery nobody else says so
    subprocess.run(playbook(found, folder), cwd=ROOT, env=environment(found), check=True)
    fill(found)
    yield found, folder
    subprocess.run([*command, "down", "--name", found.name], check=True)


def client(lab: Lab) -> Api:
    return Api(memory.read(lab)["ports"]["kube-apiserver"], lab.pki)


def fill(lab: Lab) -> None:
    def some(first: int) -> None:
        api = client(lab)
        for number in range(first, COUNT, THREADS):
            api.create("/api/v1/nodes", large(number))

    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(some, range(THREADS)))
    print(f"\n{COUNT} nodes of {len(json.dumps(large(1))) / 1024:.0f} KiB made in {time.monotonic() - began:.0f} s")


def playbook(lab: Lab, folder: Path) -> list[str]:
    given = {
        "gpu_kubeconfig": str(lab.kubeconfig),
        "gpu_operator_chart": str(folder / "gpu-operator-v26.7.0.tgz"),
        "gpu_operator_service_monitor": {"by": "none"},
        "gpu_operator_values": {"nfd": {"enabled": False}},  # its DaemonSet would make 5,000 pods
        "gpu_operator_wait_timeout": 120,
    }
    return ["ansible-playbook", "-i", str(folder / "hosts"), "playbooks/gpu_operator.yml", "-e", json.dumps(given)]


def environment(lab: Lab) -> dict[str, str]:
    return {**os.environ, "PATH": f"{lab.bin}:{os.environ['PATH']}"}


def measured(argv: list[str], **more: Any) -> tuple[float, int, str]:
    """Seconds, the largest process in MiB, and what it says; in a process of its own, since the maximum never falls."""
    code = """
import json, resource, subprocess, sys, time
began = time.monotonic()
done = subprocess.run(json.loads(sys.argv[1]), capture_output=True, text=True)
most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
print(json.dumps([time.monotonic() - began, most, done.returncode, done.stdout + done.stderr]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(argv)], capture_output=True, text=True, check=True, **more
    )
    seconds, mib, status, said = json.loads(done.stdout)
    assert status == 0, said
    return seconds, mib, said


def test_an_unchanged_run(lab: tuple[Lab, Path]) -> None:
    found, folder = lab
    before = (found.folder / "audit.log").stat().st_size
    seconds, mib, said = measured(playbook(found, folder), cwd=ROOT, env=environment(found))
    assert "changed=0" in said
    events = [json.loads(line) for line in (found.folder / "audit.log").read_bytes()[before:].decode().splitlines()]
    asked = [event for event in events if event["userAgent"] == "t9k.gpu" and event["stage"] == "ResponseComplete"]
    print(f"\nunchanged run, {COUNT} nodes: {seconds:.1f} s, {mib} MiB, {len(asked)} requests")
    assert {event["verb"] for event in asked} <= {"get", "list"} and len(asked) <= 25
    assert mib <= MOST_MIB and seconds <= 2 * READ_S


def test_labels_on_all(lab: tuple[Lab, Path]) -> None:
    found, folder = lab
    wanted = {each["metadata"]["name"]: {"example.org/pool": "a"} for each in map(large, range(COUNT))}
    (folder / "labels.yml").write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "connection": "local", "tasks": [
            {"t9k.gpu.k8s_node_labels": {"kubeconfig": str(found.kubeconfig), "nodes": wanted}}]}])
    )  # fmt: skip
    for word, most in (("changed=1", LABEL_S), ("changed=0", READ_S)):
        seconds, mib, said = measured(["ansible-playbook", "-i", "localhost,", str(folder / "labels.yml")], cwd=ROOT)
        print(f"\nlabels on {COUNT} nodes, {word}: {seconds:.1f} s, {mib} MiB")
        assert word in said and seconds <= 2 * most
