"""A lab cluster, the role's playbook against it, and everything that is in it: for the slow tests of the operator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.cluster import audit, memory
from tests.lab.cluster.api import Api
from tests.lab.state import Lab

ROOT = Path(__file__).resolve().parents[2]
#: Written by the control plane itself all the time, or derived from what is compared.
_NOISE = {
    "componentstatuses",
    "controllerrevisions",
    "endpoints",
    "endpointslices",
    "events",
    "leases",
    "nodes",
    "pods",
    "replicasets",
}
_READS = ("get", "list", "watch")
_VOLATILE = {"managedFields", "resourceVersion", "generation", "creationTimestamp"}


@dataclass(frozen=True)
class Ran:
    """One run of the playbook. ``requests``, and ``writes`` among them: those of everybody but the lab's own processes."""

    code: int
    said: str
    seconds: float
    requests: int
    writes: int

    @property
    def refused(self) -> bool:
        return self.code != 0


@dataclass(frozen=True)
class OperatorLab:
    lab: Lab
    folder: Path

    @property
    def api(self) -> Api:
        return Api(memory.read(self.lab)["ports"]["kube-apiserver"], self.lab.pki)

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.lab.bin}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.lab.kubeconfig)}

    def play(self, **variables: Any) -> Ran:
        given = {
            "gpu_kubeconfig": str(self.lab.kubeconfig),
            "gpu_operator_service_monitor": {"by": "none"},
            "gpu_operator_wait_timeout": 60,
            **variables,
        }
        argv = [
            "ansible-playbook",
            "-i",
            str(self.folder / "hosts"),
            "playbooks/gpu_operator.yml",
            "-e",
            json.dumps(given),
        ]
        place, began = audit.mark(self.lab), time.monotonic()
        done = subprocess.run(argv, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        spent, asked = time.monotonic() - began, audit.since(self.lab, place)
        writes = [each for each in asked if each.verb not in _READS and "accessreviews" not in each.resource]
        return Ran(
            done.returncode, done.stdout + done.stderr, spent, sum(asked.values()), sum(asked[each] for each in writes)
        )

    def works(self, **variables: Any) -> tuple[Ran, Ran]:
        """It does what is to be done, and the second time nothing."""
        first = self.play(**variables)
        assert first.code == 0, first.said
        again = self.play(**variables)
        assert again.code == 0 and "changed=0" in again.said, again.said
        return first, again

    def objects(self) -> dict[str, Any]:
        """Every object of the cluster as somebody wrote it: path → content without what the API server counts. Of nodes, the labels."""
        api, found = self.api, {}
        for base in self._versions(api):
            for resource in (api.get(base) or {"resources": []})["resources"]:
                if "list" not in resource["verbs"] or resource["name"] in _NOISE:
                    continue
                for item in api.items(f"{base}/{resource['name']}") or []:  # an empty list of some kinds is null
                    metadata = item["metadata"]
                    where = f"{base}/{metadata.get('namespace', '')}/{resource['name']}/{metadata['name']}"
                    kept = {key: value for key, value in metadata.items() if key not in _VOLATILE}
                    found[where] = {
                        **{k: v for k, v in item.items() if k not in ("status", "metadata")},
                        "metadata": kept,
                    }
        found.update({f"node {n['metadata']['name']}": n["metadata"]["labels"] for n in api.items("/api/v1/nodes")})
        return found

    @staticmethod
    def _versions(api: Api) -> list[str]:
        groups = (api.get("/apis") or {})["groups"]
        return ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]


@contextmanager
def operator_lab(
    name: str, hosts: dict[str, tuple[str, str]], folder: Path, extra: str = "true"
) -> Iterator[OperatorLab]:
    """Bring a cluster up: host → system and GPUs."""
    rows = "".join(f"  - {{name: {host}, os: {system}, gpus: {gpus}}}\n" for host, (system, gpus) in hosts.items())
    (folder / "lab.yml").write_text(f"cluster: {extra}\nhosts:\n{rows}")
    (folder / "hosts").write_text("\n".join(["[kube_node]", *hosts, "[all:vars]", "ansible_connection=local"]) + "\n")
    command = [sys.executable, "-m", "tests.lab.cluster"]
    subprocess.run([*command, "up", "--name", name, "--spec", str(folder / "lab.yml")], cwd=ROOT, check=True)
    try:
        yield OperatorLab(Lab(name), folder)
    finally:
        subprocess.run([*command, "down", "--name", name], cwd=ROOT, check=True)


def packaged(version: str, folder: Path) -> Path:
    """The lab's own chart."""
    argv = [sys.executable, "-m", "tests.lab.cluster", "chart", "--version", version, "--out", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True)
    return folder / f"gpu-operator-{version}.tgz"
