#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_operator_images
short_description: List every image that a version of the NVIDIA GPU operator's chart needs
version_added: 0.1.0
description:
  - Renders the chart and lists the images of its workloads and of the components of ClusterPolicy, GPUCluster and
    NVIDIADriver.
  - With O(image_registry), renders it a second time as the role would install it, so that each target is what the
    cluster is going to pull.
  - Needs helm, and no cluster.
author: t9k.gpu maintainers (@t9k)
extends_documentation_fragment: t9k.gpu.chart
attributes:
  check_mode:
    description: Changes nothing, in check mode or not.
    support: full
options:
  systems:
    description: Systems of the nodes, as the driver image's tag spells them.
    type: list
    elements: str
    default: []
  kernels:
    description: Kernels of the nodes, which the tags of precompiled drivers go on with.
    type: list
    elements: str
    default: []
  manifests:
    description: Further objects of the role; of these the NVIDIADrivers name images.
    type: list
    elements: dict
    default: []
  chart_username:
    description: The user of a private registry or repository.
    type: str
    default: ''
  chart_password:
    description: The password. It goes to helm's input.
    type: str
    default: ''
  chart_ca_file:
    description: The certificate authority of a private registry or repository.
    type: str
    default: ''
  everything:
    description: Also list components that are switched off.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Which images to mirror
  t9k.gpu.gpu_operator_images:
    chart: /srv/charts/gpu-operator-v26.7.0.tgz
    version: v26.7.0
    versions: "{{ __gpu_operator_versions }}"
    image_registry: registry.example/mirror
"""

RETURN = r"""
images:
  description: The images, each with where it is used, its C(source) and its C(target).
  returned: success
  type: list
  elements: dict
  sample:
    - where: ClusterPolicy toolkit
      source: "nvcr.io/nvidia/k8s/container-toolkit:v1.20.0"
      target: "registry.example/mirror/nvidia/k8s/container-toolkit:v1.20.0"
mirror:
  description: Source to target.
  returned: success
  type: dict
unmapped:
  description: Images that would still be pulled from elsewhere although there is an O(image_registry).
  returned: success
  type: list
  elements: str
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._operator import helm as operator_helm
from ansible_collections.t9k.gpu.plugins.module_utils._operator import images as operator_images
from ansible_collections.t9k.gpu.plugins.module_utils._operator import manifests as operator_manifests
from ansible_collections.t9k.gpu.plugins.module_utils._operator import values as operator_values
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import ARGUMENT_SPEC

TIME_LIMIT_S = 300


def helm(run: Run, argv: list[str], next_step: str, secret: str | None = None) -> str:
    """Run helm, with what must be in no command line on its input, and return what it prints."""
    result = run(argv, timeout_s=TIME_LIMIT_S, stdin=secret)
    if result.missing:
        step = "install helm 3 or 4 on the control host (the machine that runs ansible-playbook)"
        raise GpuError("helm 3 or 4", "no program helm in the PATH", " ".join(argv[:2]), step)
    if not result.ok:
        raise GpuError(
            "the chart rendered", result.stderr.strip() or f"exit status {result.rc}", " ".join(argv), next_step
        )
    return result.stdout


def fetch(run: Run, params: dict[str, Any], folder: Path) -> str:
    """Fetch the chart if it is remote, and return its local path."""
    login = {"username": params["chart_username"], "ca_file": params["chart_ca_file"]}
    known = operator_helm.login_arguments(params["chart"], login)
    pull = operator_helm.pull_arguments(params["chart"], params["version"], bool(known))
    if not pull:
        return str(params["chart"])
    step, files = "check the address, the user, the version and the way there", []
    if known:
        files = operator_helm.kept_in(str(folder))
        helm(run, [*known, *files], step, params["chart_password"])
    helm(run, [*pull, *operator_helm.ca_arguments(login), "--destination", str(folder), *files], step)
    return str(next(folder.glob("*.tgz")))


def listed(run: Run, params: dict[str, Any], chart: str, registry: str, folder: Path) -> dict[str, str]:
    """Render the chart and return where each image is used → image."""
    series = params["versions"][
        operator_values.series_name(params["version"], params["versions"], params["version_unchecked"])
    ]
    typed = operator_values.Typed(
        driver=params["driver"], registry=registry, images=params["images"], free=params["values"]
    )
    values = operator_values.build(series, typed)
    file = folder / "values.json"
    file.write_text(json.dumps(values), encoding="utf-8")
    argv = [
        "helm",
        "template",
        "gpu-operator",
        chart,
        "--namespace=gpu-operator",
        *operator_helm.WITHOUT_CLUSTER,
        f"--values={file}",
    ]
    text = helm(run, argv, "correct the values that helm names")
    nodes = operator_images.Nodes(tuple(params["systems"]), tuple(params["kernels"]))
    drivers = [each for each in params["manifests"] if each.get("kind") == "NVIDIADriver"]
    return operator_images.collect([*operator_manifests.documents(text), *drivers], nodes, params["everything"])


def without_kernels(params: dict[str, Any]) -> None:
    """Refuse precompiled drivers where nobody says for which kernels."""
    driver = params["values"].get("driver") or {}
    if driver.get("usePrecompiled") and not params["kernels"]:
        raise GpuError(
            "the kernels of the nodes, which the tags of precompiled drivers end with",
            "none",
            "gpu_operator_mirror_kernels",
            "name them as uname -r does, e.g. 5.15.0-130-generic",
        )


def run_all(run: Run, params: dict[str, Any], folder: Path) -> dict[str, Any]:
    """List the images as they are and as a mirror would have them."""
    chart = fetch(run, params, folder)
    without_kernels(params)
    sources = listed(run, params, chart, "", folder)
    registry = params["image_registry"].rstrip("/")
    targets = listed(run, params, chart, registry, folder) if registry else {}
    pairs = operator_images.pairs(sources, targets)
    return {
        "changed": False,
        "images": [pair.to_dict() for pair in pairs],
        "mirror": {pair.source: pair.target for pair in pairs if pair.target},
        "unmapped": [pair.source for pair in pairs if registry and not pair.target.startswith(f"{registry}/")],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENT_SPEC,
            "systems": {"type": "list", "elements": "str", "default": []},
            "kernels": {"type": "list", "elements": "str", "default": []},
            "manifests": {"type": "list", "elements": "dict", "default": []},
            "chart_username": {"type": "str", "default": ""},
            "chart_password": {"type": "str", "default": "", "no_log": True},
            "chart_ca_file": {"type": "str", "default": ""},
            "everything": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        with tempfile.TemporaryDirectory(prefix="t9k-images-") as folder:
            result = run_all(runner(module), module.params, Path(folder))
        module.exit_json(**result)
    except GpuError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
