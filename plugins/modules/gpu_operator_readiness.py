#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_operator_readiness
short_description: Wait until the NVIDIA GPU operator works, or say what blocks it
version_added: 0.1.0
description:
  - Decides from objects alone whether the operator works. It looks at its deployments, every daemonset that the
    ClusterPolicy asks for, the ClusterPolicy's state, the labels of node feature discovery and of GPU feature
    discovery, each GPU node's allocatable resources, MIG states, and the endpoints of dcgm-exporter.
  - The state C(ready) of the ClusterPolicy alone is not enough, since it says nothing about resources.
  - Tells what it waits for while it waits. After O(timeout), or at once where no waiting helps (a MIG configuration that failed), it
    fails and names the objects, the pods' conditions and the last warning events that block.
author: t9k.gpu maintainers (@t9k)
extends_documentation_fragment: t9k.gpu.kube
attributes:
  check_mode:
    description: Only reads, in check mode or not.
    support: full
options:
  state:
    description: With V(absent), waits until what the operator made is gone.
    type: str
    choices: [present, absent]
    default: present
  namespace:
    description: The operator's namespace.
    type: str
    default: gpu-operator
  expect:
    description:
      - What the chosen options lead one to expect. C(nfd) says whether the chart brings node feature discovery,
        C(gpu_nodes) are nodes known to have GPUs, C(gpu_cluster) says that the operator works by a GPUCluster, C(tolerated) is how many GPU
        nodes may be out of order, C(failed) are nodes that are not waited for, C(configs) is sharing config name to device plugin document,
        C(sharing) is node name to sharing config name, and C(mig) is node name to MIG configuration.
      - M(t9k.gpu.gpu_operator_plan) returns it.
    type: dict
    default: {}
  timeout:
    description:
      - How many seconds to wait without progress; while less is missing than ever before, the waiting goes on. V(0) looks once.
    type: int
    default: 900
  interval:
    description: How many seconds between two looks.
    type: float
    default: 2
  fail_on_timeout:
    description: Whether a timeout is an error. If not, RV(ready) says it.
    type: bool
    default: true
  already_waited:
    description:
      - Seconds waited before this call, only for the message. The action plugin of the same name waits in slices.
    type: int
    default: 0
notes:
  - Needs the verbs V(list) and V(watch) on V(nodes) (without V(watch) all of them are listed again and again), V(list) on
    V(clusterpolicies), and in O(namespace) on V(daemonsets), V(deployments) and
    V(endpointslices); for the reasons after a timeout also on V(pods) and V(events).
"""

EXAMPLES = r"""
- name: Wait until GPUs can be asked for
  t9k.gpu.gpu_operator_readiness:
    timeout: 600
"""

RETURN = r"""
ready:
  description: Whether nothing is waited for any more.
  returned: always
  type: bool
waiting:
  description: What is waited for.
  returned: always
  type: list
  elements: dict
  sample: [{kind: Node, name: gpu-01, wanted: "4 nvidia.com/gpu.shared from 1 GPUs", found: "0", final: false, missing: 1}]
summary:
  description: The same, one line each.
  returned: always
  type: list
  elements: str
notes:
  description: What is put up with, one line each.
  returned: success
  type: list
  elements: str
nodes_left_out:
  description: Nodes that are not waited for, each with the reason.
  returned: success
  type: dict
  sample: {gpu-07: "NotReady since 2026-01-01T00:00:00Z"}
waited_s:
  description: How long it took.
  returned: success
  type: float
listed_s:
  description: How long the list of all nodes took; afterwards only what changes of them is read.
  returned: success
  type: float
requests:
  description: How many requests were sent to the API server.
  returned: success
  type: int
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect as kube_connect
from ansible_collections.t9k.gpu.plugins.module_utils._operator import readiness
from ansible_collections.t9k.gpu.plugins.module_utils._operator.blocked import last_events, unready
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import Expect
from ansible_collections.t9k.gpu.plugins.module_utils._operator.reading import (
    Reader,
    read_workloads,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._operator.waits import Waiting
from ansible_collections.t9k.gpu.plugins.module_utils._operator.watched import Watched


class Looks:
    """Looks at the cluster again and again; at the nodes, which are most of what there is to read, only at what changed."""

    def __init__(self, api: kube_connect.Api, params: dict[str, Any]) -> None:
        self.api, self.params = api, params
        self.expect = Expect.of(params["expect"])
        self.nodes = Watched(api)

    def look(self) -> readiness.Judgement:
        """Look once. Where nodes may not be watched, those of before will do for as long as something is missing by them: all is
        ready only by fresh ones."""
        reader = Reader(self.api)
        workloads = read_workloads(reader, self.params["namespace"])
        if self.params["state"] == "absent":
            require_allowed(reader)
            gone = readiness.remaining(ClusterState(**workloads), self.params["namespace"])
            return readiness.Judgement(gone)
        found = self._judge(reader, workloads, self.nodes.read(reader, fresh=False))
        if not found.waiting and not self.nodes.current:
            found = self._judge(reader, workloads, self.nodes.read(reader))
        return found

    def _judge(self, reader: Reader, workloads: dict[str, Any], nodes: dict[str, Any]) -> readiness.Judgement:
        require_allowed(reader)
        return readiness.assess(ClusterState(nodes=nodes, **workloads), self.expect)


def require_allowed(reader: Reader) -> None:
    """Raise where a read was refused: what was not seen must not pass for nothing."""
    if reader.denied:
        where = f"API server {reader.api.server}"
        raise GpuError("to read the operator's objects", "; ".join(reader.denied), where, "see docs/rbac.md")


def reasons(api: kube_connect.Api, namespace: str) -> str:
    """Return what pods and events say; "" where reading them is not allowed."""
    reader = Reader(api)
    pods = unready(reader.listed(f"/api/v1/namespaces/{namespace}/pods"))
    events = last_events(reader.listed(f"/api/v1/namespaces/{namespace}/events"))
    parts = [("Pods", pods), ("Last warnings", events)]
    return "".join(f"\n{title}:\n  " + "\n  ".join(lines) for title, lines in parts if lines)


def hopeless(waiting: tuple[Waiting, ...]) -> bool:
    """Tell whether something will not come about however long one waits, such as a MIG configuration that failed."""
    return any(each.final for each in waiting)


def run(params: dict[str, Any]) -> dict[str, Any]:
    api = kube_connect.connect(params, known=params["already_waited"] > 0)
    start = time.monotonic()
    looks = Looks(api, params)
    found = looks.look()
    while found.waiting and not hopeless(found.waiting) and time.monotonic() - start < params["timeout"]:
        time.sleep(params["interval"])
        found = looks.look()
    if found.waiting and (params["fail_on_timeout"] or hopeless(found.waiting)):
        raise blocked(api, params, found)
    return {
        "changed": False,
        "ready": not found.waiting,
        "waiting": [each.to_dict() for each in found.waiting],
        "summary": list(map(str, found.waiting)),
        "notes": list(found.notes),
        "nodes_left_out": dict(found.out.nodes),
        "waited_s": round(time.monotonic() - start, 1),
        "listed_s": round(looks.nodes.listed_s, 1),
        "requests": api.requests,
    }


def blocked(api: kube_connect.Api, params: dict[str, Any], found: readiness.Judgement) -> GpuError:
    """Return the error that says what never came, and what pods and events say of it."""
    told = "\n  ".join(map(str, found.waiting))
    patience_s = params["already_waited"] + params["timeout"]
    return GpuError(
        f"a GPU operator in namespace {params['namespace']} that is {params['state']}",
        f"no progress within {patience_s} s; waiting for\n  {told}{reasons(api, params['namespace'])}\n",
        f"API server {api.server}",
        "act on what blocks, then run again",
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **kube_connect.ARGUMENT_SPEC,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "namespace": {"type": "str", "default": "gpu-operator"},
            "expect": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 900},
            "interval": {"type": "float", "default": 2},
            "already_waited": {"type": "int", "default": 0},
            "fail_on_timeout": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params))
    except GpuError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
