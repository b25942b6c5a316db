#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_node_labels
short_description: Set and remove labels of many Kubernetes nodes at once
version_added: 0.1.0
description:
  - Brings the labels of any number of nodes to what is wanted, in one task instead of one per node.
  - Lists the nodes once, without their spec and status, and patches only nodes that differ, several at a time.
    If nothing differs, the list is the only request.
  - Touches only keys that O(nodes) names for a node or that O(owned_keys) names; all other labels stay as they are.
  - Checks the syntax of all labels and the names of all nodes before the first change.
author: t9k.gpu maintainers (@t9k)
extends_documentation_fragment: t9k.gpu.kube
attributes:
  check_mode:
    description: Only lists the nodes and says what would change.
    support: full
  diff_mode:
    description: Shows, for each node that changes, the labels that differ.
    support: full
options:
  nodes:
    description:
      - Node name to the labels that it should have, as a dictionary.
      - A value of V(null) removes the label.
      - "Booleans and numbers become the text that YAML means: V(false) is V(\"false\"), V(4) is V(\"4\").
        Quote numbers such as V(\"1.10\"), since YAML drops their last zero."
      - Nodes that are not named are left alone.
    type: dict
    required: true
  owned_keys:
    description:
      - Label keys that are managed here. A node in O(nodes) that does not ask for one of them loses it.
      - Keys that are not named here are removed only by V(null).
    type: list
    elements: str
    default: []
  concurrency:
    description: How many nodes are patched at the same time, from 1 to 64.
    type: int
    default: 8
notes:
  - Needs the verbs V(list) and V(patch) on V(nodes).
  - Answers 409, 429 and 5xx, and broken connections, are tried again with growing pauses.
    The pause that a C(Retry-After) header asks for is kept.
  - If a request fails in the end, the nodes patched so far stay patched and the next run does the rest.
"""

EXAMPLES = r"""
- name: Let two nodes share their GPUs and keep the operator off a third
  t9k.gpu.k8s_node_labels:
    nodes:
      gpu-01: {nvidia.com/device-plugin.config: common}
      gpu-02: {nvidia.com/device-plugin.config: common}
      gpu-03: {nvidia.com/gpu.deploy.operands: false}
    owned_keys:
      - nvidia.com/device-plugin.config
      - nvidia.com/gpu.deploy.operands

- name: Remove one label from one node
  t9k.gpu.k8s_node_labels:
    nodes:
      gpu-01: {nvidia.com/mig.config: null}
"""

RETURN = r"""
changed_nodes:
  description: The nodes whose labels changed (in check mode, would change).
  returned: success
  type: list
  elements: str
  sample: [gpu-01]
requests:
  description: How many requests were sent to the API server, repeated ones included.
  returned: success
  type: int
  sample: 2
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect as kube_connect
from ansible_collections.t9k.gpu.plugins.module_utils._kube import labels as kube_labels

NODES = "/api/v1/nodes"
#: Nodes a request.
PAGE = 2000


def patch_all(api: kube_connect.Api, patches: tuple[kube_labels.NodePatch, ...], concurrency: int) -> None:
    """Send the patches; a fault says how many of them are done."""
    done = []

    def send(patch: kube_labels.NodePatch) -> None:
        answer = api.merge_patch(f"{NODES}/{patch.node}", patch.body, metadata_only=True)
        refused = patch.refused_by(answer["metadata"].get("labels") or {})
        if refused:
            raise GpuError(
                f"node {patch.node} with {patch.after}",
                f"the API server accepted the patch but not {sorted(refused)}",
                f"API server {api.server}",
                "look for an admission webhook or policy that changes node labels",
            )
        done.append(patch.node)

    try:
        kube_connect.in_parallel(send, patches, concurrency)
    except GpuError as error:
        error.found += f"; {len(done)} of {len(patches)} nodes are patched, the next run does the rest"
        raise


def run(module: AnsibleModule, params: dict[str, Any]) -> dict[str, Any]:
    if not 1 <= params["concurrency"] <= 64:
        raise GpuError("concurrency from 1 to 64", str(params["concurrency"]), "the option 'concurrency'", "correct it")
    wanted = kube_labels.normalised(params["nodes"], params["owned_keys"])
    api = kube_connect.connect(params, params["concurrency"])
    listed = api.list(NODES, limit=PAGE, metadata_only=True, each=kube_labels.of_node)
    present = {node["name"]: node["labels"] for node in listed}
    kube_labels.require_known(wanted, present, api.server)
    patches = kube_labels.plan(wanted, params["owned_keys"], present)
    if not module.check_mode:
        patch_all(api, patches, params["concurrency"])
    change = Change("node labels", {p.node: p.before for p in patches}, {p.node: p.after for p in patches})
    return {
        "changed": change.changed,
        "diff": change.diff,
        "changed_nodes": [patch.node for patch in patches],
        "requests": api.requests,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **kube_connect.ARGUMENT_SPEC,
            "nodes": {"type": "dict", "required": True},
            "owned_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "concurrency": {"type": "int", "default": 8},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module, module.params))
    except GpuError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
