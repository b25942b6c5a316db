"""Five thousand nodes as large as real ones: what an unchanged run, waiting, and labels on all of them cost. About five minutes.

Seconds depend on what else the machine does, so they are printed; what is held to the limits below is the processor time of
ansible-playbook and all that it starts, its memory, and the number of requests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import memory, nodes
from tests.lab.cluster.api import Api
from tests.lab.state import Lab

ROOT = Path(__file__).resolve().parents[2]
COUNT, THREADS, SAMPLE = 5000, 8, 25
READ_S, LABEL_S, MOST_MIB = 6.0, 12.0, 300
HERE = {
    "hosts": "localhost",
    "gather_facts": False,
    "connection": "local",
    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
}
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


@dataclass(frozen=True)
class Measured:
    """Seconds by the clock and of the processors, the largest process in MiB, and what it says."""

    clock_s: float
    processor_s: float
    mib: int
    said: str

    def __str__(self) -> str:
        return f"{self.clock_s:.1f} s ({self.processor_s:.1f} s of processors), {self.mib} MiB"


def measured(argv: list[str], **more: Any) -> Measured:
    """Run it in a process of its own, since the maximum of memory never falls."""
    code = """
import json, resource, subprocess, sys, time
began = time.monotonic()
done = subprocess.run(json.loads(sys.argv[1]), capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
spent = [time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024]
print(json.dumps([*spent, done.returncode, done.stdout + done.stderr]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(argv)], capture_output=True, text=True, check=True, **more
    )
    clock_s, processor_s, mib, status, said = json.loads(done.stdout)
    assert status == 0, said
    return Measured(clock_s, processor_s, mib, said)


def asked(lab: Lab, place: int) -> list[tuple[str, str]]:
    """Verb and address of what this collection has asked since."""
    lines = (lab.folder / "audit.log").read_bytes()[place:].decode().splitlines()
    events = [event for event in map(json.loads, lines) if event["stage"] == "ResponseComplete"]
    return [(event["verb"], event["requestURI"]) for event in events if event["userAgent"] == "t9k.gpu"]


def alone(folder: Path, name: str, **options: Any) -> list[str]:
    """A play of one module."""
    play = {**HERE, "tasks": [{f"t9k.gpu.{name}": options}]}
    (folder / f"{name}.yml").write_text(json.dumps([play]))
    return ["ansible-playbook", "-v", "-i", "localhost,", str(folder / f"{name}.yml")]


def test_an_unchanged_run(lab: tuple[Lab, Path]) -> None:
    found, folder = lab
    place = (found.folder / "audit.log").stat().st_size
    ran = measured(playbook(found, folder), cwd=ROOT, env=environment(found))
    assert "changed=0" in ran.said
    requests = asked(found, place)
    print(f"\nunchanged run, {COUNT} nodes: {ran}, {len(requests)} requests")
    assert {verb for verb, _address in requests} <= {"get", "list"} and len(requests) <= 25
    assert ran.mib <= MOST_MIB and ran.processor_s <= READ_S


def test_waiting_lists_the_nodes_once_a_slice_and_then_watches(lab: tuple[Lab, Path]) -> None:
    found, folder = lab
    options = {"kubeconfig": str(found.kubeconfig), "timeout": 40, "fail_on_timeout": False}
    never = {"nfd": False, "sharing": {large(1)["metadata"]["name"]: "common"}}
    place = (found.folder / "audit.log").stat().st_size
    ran = measured(alone(folder, "gpu_operator_readiness", expect=never, **options), cwd=ROOT)
    of_nodes = [(verb, address) for verb, address in asked(found, place) if address.startswith("/api/v1/nodes")]
    lists, watches = ([verb for verb, _address in of_nodes].count(each) for each in ("list", "watch"))
    print(f"\nwaiting for a node among {COUNT}: {ran}, {lists} pages of nodes, {watches} watches")
    assert watches >= 3 and lists <= 4 * COUNT // 500  # two slices, the last look, and one to spare
    assert ran.mib <= MOST_MIB


def test_labels_on_all(lab: tuple[Lab, Path]) -> None:
    found, folder = lab
    wanted = {each["metadata"]["name"]: {"example.org/pool": "a"} for each in map(large, range(COUNT))}
    argv = alone(folder, "k8s_node_labels", kubeconfig=str(found.kubeconfig), nodes=wanted)
    for word, most in (("changed=1", LABEL_S), ("changed=0", READ_S)):
        ran = measured(argv, cwd=ROOT)
        print(f"\nlabels on {COUNT} nodes, {word}: {ran}")
        assert word in ran.said and ran.processor_s <= most
    others(found, folder, list(wanted))


def others(lab: Lab, folder: Path, names: list[str]) -> None:
    """The same by other means, on a sample: a kubectl a node, and a loop of kubernetes.core.k8s."""
    some, given = names[:SAMPLE], {"KUBECONFIG": str(lab.kubeconfig)}
    began = time.monotonic()
    for name in some:
        argv = ["kubectl", "label", "node", name, "example.org/pool=b", "--overwrite"]
        subprocess.run(argv, env={**environment(lab), **given}, capture_output=True, check=True)
    spent = time.monotonic() - began
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "{{ item }}", "labels": {"example.org/pool": "c"}}}
    task = {"kubernetes.core.k8s": {"kubeconfig": str(lab.kubeconfig), "definition": node}, "loop": some}
    play = {**HERE, "tasks": [task]}
    (folder / "loop.yml").write_text(json.dumps([play]))
    loop = measured(["ansible-playbook", "-i", "localhost,", str(folder / "loop.yml")], cwd=ROOT)
    scale = COUNT / SAMPLE
    print(f"\nby kubectl {spent * scale:.0f} s, by a loop {loop.clock_s * scale:.0f} s ({SAMPLE} nodes, scaled)")
