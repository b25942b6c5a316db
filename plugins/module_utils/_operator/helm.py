# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find out which helm there is, what a chart needs with it, and what a local chart says of itself."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

try:
    from yaml import YAMLError
except ImportError:  # the client library needs PyYAML: without it nothing gets this far
    YAMLError = ValueError  # type: ignore[assignment,misc]

_TIME_LIMIT_S = 30
#: Helm's name for a private repository.
REPOSITORY = "t9k"
#: Groups whose kinds a chart may ask for one by one.
_ASKED_BY_KIND = ("resource.k8s.io", "monitoring.coreos.com")
#: What a chart is rendered with where there is no cluster to ask.
WITHOUT_CLUSTER = ("--api-versions=resource.k8s.io/v1/DeviceClass",)


def helm_facts(run: Run, series: Mapping[str, Any]) -> dict[str, Any]:
    """Ask helm its version: ``found`` is what it said, ``arguments`` what this chart needs with its ``major`` version."""
    result = run(["helm", "version", "--template", "{{.Version}}"], timeout_s=_TIME_LIMIT_S)
    if result.missing:
        return {"major": 0, "found": "no program helm in the PATH of the control host", "arguments": []}
    match = re.match(r"v(\d+)\.", result.stdout.strip())
    major = int(match[1]) if match else 0
    # Helm 4 applies on the server's side; charts of old have lists there that the server refuses.
    old = major >= 4 and not series.get("server_side_apply", True)
    found = result.stdout.strip() or result.stderr.strip() or f"exit status {result.rc}"
    return {"major": major, "found": found, "arguments": ["--server-side=false"] if old else []}


def api_versions(api: Any) -> list[str]:
    """Return the arguments that tell ``helm template`` what this cluster serves: alone it knows only what its own library has.

    A chart asks for a group's version, or for a kind in one: v26.7 for DeviceClass (NVIDIA/gpu-operator, templates/validations.yaml).
    """
    served = [
        version["groupVersion"]
        for group in (api.get_or_none("/apis") or {}).get("groups") or []
        for version in group["versions"]
    ]
    kinds = [
        f"{version}/{each['kind']}"
        for version in served
        if version.partition("/")[0] in _ASKED_BY_KIND
        for each in (api.get_or_none(f"/apis/{version}") or {}).get("resources") or []
        if "/" not in each["name"]
    ]
    return [f"--api-versions={name}" for name in sorted({*served, *kinds})]


def helm_faults(facts: Mapping[str, Any]) -> list[str]:
    if facts["major"] in (3, 4):
        return []
    step = "install helm 3 or 4 on the control host (the machine that runs ansible-playbook)"
    return [str(GpuError("helm 3 or 4", str(facts["found"]), "helm version", step))]


def _files_of(chart: str) -> dict[str, bytes]:
    path = Path(chart)
    if path.is_dir():
        return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}
    found = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            if file is not None:
                found[member.name] = file.read()
    return found


def digest_of(chart: str) -> str:
    """Return a fingerprint of a local chart's content, whatever its packaging; "" where there is none to read."""
    try:
        files = _files_of(chart)
    except (OSError, tarfile.TarError):
        return ""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(name.encode() + b"\0" + files[name])
    return total.hexdigest()[:16]


def is_remote(chart: str) -> bool:
    return chart.startswith(("oci://", "http://", "https://"))


def _chart_yaml(chart: str) -> str:
    path = Path(chart)
    if path.is_dir():
        return (path / "Chart.yaml").read_text(encoding="utf-8")
    with tarfile.open(path) as archive:
        names = [name for name in archive.getnames() if name.count("/") == 1 and name.endswith("/Chart.yaml")]
        file = archive.extractfile(names[0]) if names else None
        return file.read().decode() if file else ""


def local_chart_version(chart: str) -> str:
    """Return the version that a local chart gives itself; GpuError if it is no chart."""
    try:
        found = yaml_load(_chart_yaml(chart)) or {}
    except (OSError, tarfile.TarError, YAMLError) as error:
        raise GpuError("a helm chart", str(error), chart, "correct gpu_operator_chart") from error
    return str(found.get("version", ""))


def pull_arguments(chart: str, version: str, login: bool = False) -> list[str]:
    """Return the command that fetches a remote chart; [] for a local one. A web address without .tgz is a repository.

    ``login``: the repository is known to helm under a name of ours, with its user; ``--repo`` would want the password here.
    """
    if not is_remote(chart):
        return []
    if chart.startswith("oci://"):
        return ["helm", "pull", chart, "--version", version]
    if chart.endswith(".tgz"):
        return ["helm", "pull", chart]
    if login:
        return ["helm", "pull", f"{REPOSITORY}/gpu-operator", "--version", version]
    return ["helm", "pull", "gpu-operator", "--repo", chart, "--version", version]


def login_arguments(chart: str, login: Mapping[str, Any]) -> list[str]:
    """Return the command that makes a private registry or repository known, and takes the password from its input; [] if none is.

    Whoever runs it names files for what it keeps, so that nothing is left (``kept_in``).
    """
    if not login.get("username") or not is_remote(chart) or chart.endswith(".tgz"):
        return []
    who = ["--username", str(login["username"]), "--password-stdin"]
    if chart.startswith("oci://"):
        return ["helm", "registry", "login", chart[len("oci://") :].partition("/")[0], *who, *ca_arguments(login)]
    return ["helm", "repo", "add", REPOSITORY, chart, *who, *ca_arguments(login)]


def kept_in(folder: str) -> list[str]:
    """Return the arguments that keep a login in a folder of ours."""
    return ["--registry-config", f"{folder}/registry.json", "--repository-config", f"{folder}/repositories.yaml"]


def ca_arguments(login: Mapping[str, Any]) -> list[str]:
    """Return the argument that names the certificate authority of a private repository."""
    return ["--ca-file", str(login["ca_file"])] if login.get("ca_file") else []
