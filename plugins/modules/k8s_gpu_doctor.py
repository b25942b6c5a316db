#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module C(t9k.gpu.k8s_gpu_doctor)."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_gpu_doctor
author: t9k.gpu maintainers (@t9k)
version_added: 0.2.0
short_description: Find what is wrong with the GPU nodes of a cluster, by the cluster's word
description:
  - Reads the Nodes, the ledger of rollouts, ServiceMonitors and the device plugin's configs, and returns findings with code, severity,
    evidence and remedy, as M(t9k.gpu.nvidia_doctor) does for a host. Every code has a section in C(docs/doctor.md).
  - What may not be read, or a cluster that does not answer, is a finding and no failure.
extends_documentation_fragment: t9k.gpu.kube
options:
  gpus:
    description: How many GPUs the PCI bus of each node's host shows, by the name of the node. Other nodes are known by their labels.
    type: dict
    default: {}
  namespace:
    description: Where the ConfigMap V(t9k-gpu-rollout) is.
    type: str
    default: t9k-gpu
  operator_namespace:
    description: Where the GPU Operator and the device plugin's configs are.
    type: str
    default: gpu-operator
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed.
    support: none
notes:
  - Changes nothing, so it does the same in check mode.
  - Needs V(list) on V(nodes), V(get) on V(configmaps) in O(namespace) and O(operator_namespace), and V(list) on V(clusterpolicies) and
    V(servicemonitors).
"""

EXAMPLES = r"""
- name: Look at the cluster
  t9k.gpu.k8s_gpu_doctor:
    gpus: {gpu-01: 8, gpu-02: 8}
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
findings:
  description: Every finding, errors first, with C(node) (empty for the cluster) beside what M(t9k.gpu.nvidia_doctor) has.
  type: list
  elements: dict
  returned: always
errors:
  description: How many of RV(findings) are errors, by node.
  type: dict
  returned: always
table:
  description: RV(findings) as lines for the terminal.
  type: list
  elements: str
  returned: always
"""

import time
from collections import Counter
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._doctor import cluster as doctor_cluster
from ansible_collections.t9k.gpu.plugins.module_utils._doctor import cluster_findings
from ansible_collections.t9k.gpu.plugins.module_utils._drain import holder
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect as kube_connect
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR

OPTIONS: dict[str, Any] = {
    "gpus": {"type": "dict", "default": {}},
    "namespace": {"type": "str", "default": "t9k-gpu"},
    "operator_namespace": {"type": "str", "default": "gpu-operator"},
}


def read(params: dict[str, Any]) -> doctor_cluster.Cluster:
    try:
        api = kube_connect.connect(params)
        return doctor_cluster.read(api, params["namespace"], params["operator_namespace"])
    except GpuError as error:
        return doctor_cluster.unreadable(error)


def main() -> None:
    module = AnsibleModule(argument_spec={**kube_connect.ARGUMENT_SPEC, **OPTIONS}, supports_check_mode=True)
    gpus = {str(node): int(count) for node, count in module.params["gpus"].items()}
    found = cluster_findings.findings(
        read(module.params), gpus, lambda run, until: holder.lives(run, until, time.time())
    )
    module.exit_json(
        changed=False,
        findings=[{"node": node, **fault.to_dict()} for node, fault in found],
        errors=Counter(node for node, fault in found if fault.severity == ERROR),
        table=cluster_findings.table(found),
    )


if __name__ == "__main__":
    main()
