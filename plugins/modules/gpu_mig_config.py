#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_mig_config
short_description: Change the MIG configuration of nodes whose GPUs pods hold
version_added: 0.2.0
description:
  - The MIG manager of the GPU Operator partitions idle GPUs only, and ends in C(failed) where a pod holds one. This module makes room
    for it, on some nodes at a time.
  - Each node is cordoned, the pods that may hold a GPU are evicted through the Eviction API, then its labels are changed. Once the MIG
    manager says C(success), pods are let in again. The operator's own pods are the MIG manager's matter.
  - A node that cannot be emptied is given back as it was, its labels unchanged, and no further node is begun. Where the MIG manager
    says C(failed), or nothing in time, the node stays cordoned and says why in the annotation V(gpu.t9k.io/failed); the next run goes
    on with it.
  - What it notes on a node, and how nodes that are away are counted, is as M(t9k.gpu.k8s_node_drain) does it.
author: t9k.gpu maintainers (@t9k)
extends_documentation_fragment: [t9k.gpu.kube, t9k.gpu.drain]
attributes:
  check_mode:
    description: Looks at the nodes' pods and says which would go; the API server is asked by evictions that are not carried out.
    support: full
  diff_mode:
    description: Shows the pods that go.
    support: full
options:
  nodes:
    description:
      - Node to label to value, as a dictionary; null takes a label away. A node without labels is one that a broken-off run has left,
        which is only waited for and let in again.
    type: dict
    required: true
  delete_emptydir_data:
    description: Whether pods with an emptyDir are evicted, which loses its data; otherwise they are a reason to refuse.
    type: bool
    default: true
  timeout:
    description: Seconds within which every pod must be gone.
    type: int
    default: 900
  manager_timeout:
    description: Seconds within which the MIG manager must have done its work.
    type: int
    default: 900
  max_unavailable:
    description:
      - How many GPU nodes may be away at a time, as a number or as a share such as V(25%), whoever took them. V("") keeps no budget.
    type: str
    default: "1"
notes:
  - Needs V(get), V(list) and V(patch) on V(nodes), V(list) on V(pods), V(create) on V(pods/eviction), V(get) on V(daemonsets.apps), on
    V(poddisruptionbudgets.policy) and on V(namespaces), and V(get), V(create) and V(patch) on V(configmaps) in O(namespace).
"""

EXAMPLES = r"""
- name: Seven instances of each GPU
  t9k.gpu.gpu_mig_config:
    nodes:
      gpu-01: {nvidia.com/mig.config: all-1g.10gb, nvidia.com/mig.config.state: null}
    max_unavailable: 25%
  delegate_to: localhost
"""

RETURN = r"""
pods:
  description: Node to the pods that went (in check mode, would go).
  returned: success
  type: dict
  sample: {gpu-01: [work/train-0]}
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget, claim, holder, session
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.claim import Request
from ansible_collections.t9k.gpu.plugins.module_utils._drain.partition import (
    REASON,
    Patience,
    partition,
    require_free,
    wanted_of,
)
from ansible_collections.t9k.gpu.plugins.module_utils._drain.pods import GOES, Verdict
from ansible_collections.t9k.gpu.plugins.module_utils._drain.rollout import Rules
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import ARGUMENT_SPEC as DRAIN_SPEC
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect as kube_connect

#: Nodes at work at once, whatever the budget allows.
MOST = 16
OPTIONS: dict[str, dict[str, Any]] = {
    "nodes": {"type": "dict", "required": True},
    "delete_emptydir_data": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 900},
    "manager_timeout": {"type": "int", "default": 900},
    "max_unavailable": {"type": "str", "default": "1"},
}


def at_once(api: kube_connect.Api, params: dict[str, Any]) -> int:
    """Return how many nodes are worth beginning at a time; who is away beside them is counted node by node."""
    if not params["max_unavailable"]:
        return MOST
    listed = api.list("/api/v1/nodes", limit=drain_node.PAGE, each=drain_node.counted)
    nodes = budget.gpu_nodes(listed, {*params["known_gpu_nodes"], *params["nodes"]})
    return min(MOST, budget.limit(params["max_unavailable"], len(nodes)))


def look(api: kube_connect.Api, requests: list[Request], wanted: Wanted) -> dict[str, list[Verdict]]:
    """Look at all nodes before the first is touched; raise where one of them cannot be emptied."""
    found = {}
    for request in requests:
        require_free(claim.read(api, request.name))
        verdicts = session.preview(api, request, wanted, session.Jobs())
        found[request.name] = [verdict for verdict in verdicts if verdict.fate == GOES]
    return found


def change_all(
    api: kube_connect.Api, requests: list[Request], wanted: Wanted, params: dict[str, Any]
) -> dict[str, list[Verdict]]:
    """Change the nodes, some at a time; after a failure no further one is begun, and what it says names those that are done."""
    known = tuple(params["known_gpu_nodes"])
    rules = Rules(params["max_unavailable"], since=time.time(), known=known, namespace=params["namespace"])
    patience = Patience(params["budget_timeout"], params["timeout"], params["manager_timeout"])
    done: dict[str, list[Verdict]] = {}

    def one(request: Request) -> None:
        labels = params["nodes"][request.name] or {}
        done[request.name] = partition(api, request, wanted, labels, rules, patience)

    try:
        kube_connect.in_parallel(one, requests, at_once(api, params))
    except GpuError as error:
        error.found += f"; {len(done)} of {len(requests)} nodes are done, the next run does the rest"
        raise
    return done


def run(params: dict[str, Any], check: bool) -> dict[str, Any]:
    me = holder.this_run(os.getppid())
    wanted = wanted_of(params)
    names = sorted(params["nodes"])
    requests = [Request(name, me, REASON, same_gpus=False, hold_s=params["hold"]) for name in names]
    api = kube_connect.connect(params, MOST)
    gone = look(api, requests, wanted)
    if not check:
        gone = change_all(api, requests, wanted, params)
    pods = {name: [str(verdict) for verdict in verdicts] for name, verdicts in gone.items()}
    change = Change("pods that hold GPUs", pods, {name: [] for name in pods})
    return {"changed": bool(requests), "diff": change.diff, "pods": pods}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**kube_connect.ARGUMENT_SPEC, **DRAIN_SPEC, **OPTIONS}, supports_check_mode=True
    )
    try:
        module.exit_json(**run(module.params, module.check_mode))
    except GpuError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
