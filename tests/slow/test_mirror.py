"""The playbook images.yml against a real registry with the real skopeo: every image of a chart, copied, found, put right. About a minute.

The registry plays both sides: skopeo is told (containers-registries.conf(5)) that the chart's registries are folders of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import registry as lab_registry
from tests.lab.cluster import tools
from tests.lab.registry import Registry

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Site:
    """A registry, the chart, and an environment in which skopeo knows both the registry and the way around the internet."""

    registry: Registry
    folder: Path
    environment: dict[str, str]

    @property
    def map(self) -> dict[str, str]:
        return dict(yaml.safe_load((self.folder / "images.yml").read_text()))

    def play(self, *more: str, **variables: Any) -> int:
        """Run the playbook; how many tasks and items changed something."""
        given = {
            "gpu_operator_chart": str(self.folder / "gpu-operator-v26.7.0.tgz"),
            "gpu_operator_image_registry": f"{self.registry.address}/mirror",
            "gpu_operator_mirror_file": str(self.folder / "images.yml"),
            **variables,
        }
        argv = ["ansible-playbook", "-i", "localhost,", "playbooks/images.yml", "-e", json.dumps(given), *more]
        done = subprocess.run(argv, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return len(re.findall(r"^changed: \[localhost\] => \(item=", done.stdout, re.MULTILINE))

    def skopeo(self, *argv: str) -> None:
        subprocess.run(["skopeo", *argv], env=self.environment, capture_output=True, check=True)

    def digest(self, target: str) -> str:
        """What the mirror has for an image of the map, by its own API; all its platforms must be there."""
        name, _, tag = target.removeprefix(f"{self.registry.address}/").rpartition(":")
        found = self.registry.ask(f"{name}/manifests/{tag}")
        if found is None:
            return ""
        platforms = [each["digest"] for each in json.loads(found[1])["manifests"]]
        assert len(platforms) == 2 and all(self.registry.ask(f"{name}/manifests/{each}") for each in platforms)
        return found[0]["docker-content-digest"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def trusting(folder: Path, registry: Registry) -> dict[str, str]:
    """A home in which skopeo trusts the registry's CA, as containers-certs.d(5) says."""
    settings = folder / "home/.config/containers"
    trusted = settings / "certs.d" / registry.address
    trusted.mkdir(parents=True)
    shutil.copy(registry.ca, trusted / "ca.crt")
    (settings / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    helm = tools.provision(("helm",))
    tools.link(helm, folder / "bin")
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "HOME": str(folder / "home"), "PATH": path}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert shutil.which("skopeo"), "this test copies with the real skopeo: apt-get install skopeo"
    folder = tmp_path_factory.mktemp("mirror")
    argv = [sys.executable, "-m", "tests.lab.cluster", "chart", "--version", "v26.7.0", "--out", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True)
    registry = Registry(folder, free_port())
    registry.start()
    yield Site(registry, folder, trusting(folder, registry))
    registry.stop()


def publish(site: Site) -> str:
    """Put an image under every name that the chart knows."""
    digest = lab_registry.image(site.folder / "image", "hello")
    sources = list(site.map)
    for source in sources:
        to = f"{site.registry.address}/upstream/{source}"
        site.skopeo("copy", "--all", "--preserve-digests", f"oci:{site.folder / 'image'}:latest", f"docker://{to}")
    rows = [f'[[registry]]\nprefix = "{host}"\nlocation = "{site.registry.address}/upstream/{host}"\n'
            for host in sorted({source.partition("/")[0] for source in sources})]  # fmt: skip
    (site.folder / "home/.config/containers/registries.conf").write_text("\n".join(rows))
    return digest


def test_every_image_is_brought_once_and_kept_right(site: Site) -> None:
    assert site.play() == 0
    wanted, images = publish(site), site.map
    assert len(images) >= 5 and all(target.startswith(f"{site.registry.address}/mirror/") for target in images.values())

    assert site.play("--check", gpu_operator_mirror_copy=True) == len(images)
    assert {site.digest(target) for target in images.values()} == {""}
    assert site.play(gpu_operator_mirror_copy=True) == len(images)
    assert {site.digest(target) for target in images.values()} == {wanted}
    assert site.play(gpu_operator_mirror_copy=True) == 0

    target = next(iter(images.values()))
    other = site.folder / "other"
    lab_registry.image(other, "somebody else's")
    site.skopeo("copy", "--all", f"oci:{other}:latest", f"docker://{target}")
    assert site.digest(target) != wanted
    assert site.play(gpu_operator_mirror_copy=True) == 1
    assert site.digest(target) == wanted
