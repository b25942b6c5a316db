#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_node_drain
short_description: Empty a Kubernetes node for a change of its GPU driver, and let pods in again
version_added: 0.2.0
description:
  - With O(state=drained), looks at every pod of the node before anything is changed. If one of them cannot be evicted, that is
    one error with the names of all, and nothing is gone. Otherwise cordons the node, evicts through the Eviction API, asks again while
    a PodDisruptionBudget refuses, and waits until every pod is really gone.
  - A deadline that passes is a failure. It names the pods that are left with their owners, budgets and finalizers, and the node goes
    back to what it was.
  - Then sends the GPU Operator's operands away by the operator's own labels (V(nvidia.com/gpu.deploy.*)), since they hold the GPUs.
  - Notes all this in the annotation V(gpu.t9k.io/cordon) of the node. A cordon by anybody else is never undone, also not after
    an interrupted run. A tool at work on the node (the operator's upgrade controller, kured, NVSentinel) is respected and named.
  - With O(state=uncordoned), brings the operands back, waits until the node is Ready since the host's boot and offers as many GPUs as
    before, and uncordons it, if it was this module that cordoned it.
author: t9k.gpu maintainers (@t9k)
extends_documentation_fragment: [t9k.gpu.kube, t9k.gpu.drain]
attributes:
  check_mode:
    description: Looks at the node and its pods and says which would go; the API server is asked by evictions that are not carried out.
    support: full
  diff_mode:
    description: Shows the pods that go.
    support: full
options:
  name:
    description: The node's name in the cluster.
    type: str
    required: true
  state:
    description:
      - Whether the node shall be empty for a change, or take pods again.
      - V(failed) only notes O(reason) in the annotation V(gpu.t9k.io/failed), which O(max_failures) counts.
    type: str
    choices: [drained, uncordoned, failed]
    default: drained
  reason:
    description: Why, for whoever finds the node cordoned.
    type: str
    default: a change of the GPU driver
  boot_id:
    description:
      - The host's V(/proc/sys/kernel/random/boot_id). The node must report it, or it is refused, since it is another host's.
      - Without O(boot_id) and O(machine_id) the question is not asked.
    type: str
    default: ""
  machine_id:
    description: The host's V(/etc/machine-id), which counts where the kubelet has not reported since the host's boot.
    type: str
    default: ""
  mode:
    description:
      - V(all) evicts every pod, V(gpu_pods) only those that may hold a GPU.
      - A pod may hold one by a resource V(nvidia.com/*), a resource claim, the runtime class V(nvidia), or V(NVIDIA_VISIBLE_DEVICES).
    type: str
    choices: [all, gpu_pods]
    default: all
  ignore_daemonsets:
    description: Whether pods of DaemonSets stay where they are; otherwise they are a reason to refuse.
    type: bool
    default: true
  delete_emptydir_data:
    description: Whether pods with an emptyDir are evicted, which loses its data; otherwise they are a reason to refuse.
    type: bool
    default: false
  timeout:
    description: Seconds within which every pod must be gone, or (O(state=uncordoned)) the node back.
    type: int
    default: 900
  jobs_selector:
    description: Label selector of pods that may finish by themselves, while the node takes no others.
    type: str
    default: ""
  jobs_timeout:
    description: Seconds that they have for it. They are not evicted after that; the drain fails.
    type: int
    default: 3600
  max_unavailable:
    description:
      - How many GPU nodes may be away at a time, as a number or as a share such as V(25%). Without it, no budget is kept.
      - Away is a GPU node that is cordoned or not Ready, whoever took it. Everybody with this option keeps one budget together,
        by a ConfigMap in O(namespace) that is only written as it was read.
    type: str
    default: ""
  max_failures:
    description:
      - So many nodes may fail after this ansible-playbook began until no further node is begun, see RV(not_begun).
      - V(0) is any number.
    type: int
    default: 0
  proven:
    description:
      - With O(state=uncordoned), the node's GPUs were proven, so the taint V(gpu.t9k.io/unproven) is taken away, if its kubelet registered
        with it.
      - A node that was not drained before is waited for as well, until it is Ready since the host's boot.
    type: bool
    default: false
notes:
  - With O(max_unavailable), also needs V(list) on V(nodes), V(get) on V(namespaces), and V(get), V(create) and V(patch) on V(configmaps)
    in O(namespace).
  - Needs V(get) and V(patch) on V(nodes), V(list) on V(pods), V(create) on V(pods/eviction), V(get) on V(daemonsets.apps) and on
    V(poddisruptionbudgets.policy).
  - A static pod stays, since its kubelet makes it; so does a finished pod, which holds nothing.
"""

EXAMPLES = r"""
- name: Empty the node
  t9k.gpu.k8s_node_drain:
    name: gpu-01
    delete_emptydir_data: true
  delegate_to: localhost

- name: Let training jobs finish first, for four hours at most
  t9k.gpu.k8s_node_drain:
    name: gpu-01
    jobs_selector: app=training
    jobs_timeout: 14400
  delegate_to: localhost

- name: Let pods in again
  t9k.gpu.k8s_node_drain:
    name: gpu-01
    state: uncordoned
  delegate_to: localhost
"""

RETURN = r"""
pods:
  description: What became (in check mode, would become) of each pod, O(state=drained).
  returned: success
  type: list
  elements: dict
  contains:
    namespace: {description: Its namespace., type: str}
    name: {description: Its name., type: str}
    owner: {description: What makes it again., type: str}
    fate: {description: "V(goes), V(operand), V(finishes) or V(stays).", type: str}
    reason: {description: Why., type: str}
node:
  description: What the node is now, in words.
  returned: success
  type: str
  sample: takes pods
since:
  description: When the node was taken from pods, in seconds since 1970; an interrupted run may have done it. Null in check mode.
  returned: success, O(state=drained)
  type: float
away_s:
  description: How many seconds ago that was, now that pods are let in again; null where no run had taken it.
  returned: success, O(state=uncordoned)
  type: int
was_unproven:
  description: Whether the node had the taint V(gpu.t9k.io/unproven).
  returned: success, O(state=uncordoned)
  type: bool
not_begun:
  description: Whether it is not this node's fault. The rollout did not come to it, and it is as it was.
  returned: failure
  type: bool
given_back:
  description: Whether the node is what it was before.
  returned: failure
  type: bool
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget, claim, gate, holder, session
from ansible_collections.t9k.gpu.plugins.module_utils._drain import mark as drain_mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain.claim import Request
from ansible_collections.t9k.gpu.plugins.module_utils._drain.pods import STAYS, Verdict
from ansible_collections.t9k.gpu.plugins.module_utils._drain.rollout import NotBegun, Rules
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import ARGUMENT_SPEC as DRAIN_SPEC
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect as kube_connect

OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["drained", "uncordoned", "failed"], "default": "drained"},
    "reason": {"type": "str", "default": "a change of the GPU driver"},
    "boot_id": {"type": "str", "default": ""},
    "machine_id": {"type": "str", "default": ""},
    "mode": {"type": "str", "choices": ["all", "gpu_pods"], "default": "all"},
    "ignore_daemonsets": {"type": "bool", "default": True},
    "delete_emptydir_data": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 900},
    "jobs_selector": {"type": "str", "default": ""},
    "jobs_timeout": {"type": "int", "default": 3600},
    "max_unavailable": {"type": "str", "default": ""},
    "max_failures": {"type": "int", "default": 0},
    "proven": {"type": "bool", "default": False},
}


def rules_of(request: Request, params: dict[str, Any]) -> Rules:
    return Rules(
        params["max_unavailable"],
        params["max_failures"],
        holder.began(request.holder, time.time()),
        tuple(params["known_gpu_nodes"]),
        params["namespace"],
    )


def drain(api: kube_connect.Api, request: Request, params: dict[str, Any], check: bool) -> dict[str, Any]:
    wanted, jobs = Wanted.of(params), session.Jobs(params["jobs_selector"], params["jobs_timeout"])
    verdicts = session.preview(api, request, wanted, jobs)
    gone = [verdict for verdict in verdicts if verdict.fate != STAYS]
    resumed, since = False, None
    if not check:
        rules = rules_of(request, params)
        taken, gone = session.drain(api, request, wanted, jobs, params["timeout"], rules, params["budget_timeout"])
        resumed, since = taken.resumed, taken.mark.since
    change = Change(f"pods of {request.name}", _lines(gone), "")
    return {
        "changed": change.changed or not resumed,
        "diff": change.diff,
        "pods": session.describe([*gone, *(verdict for verdict in verdicts if verdict.fate == STAYS)]),
        "node": "would be drained" if check else "drained",
        "since": since,
    }


def _lines(verdicts: list[Verdict]) -> str:
    return "".join(f"{verdict} ({verdict.owner}): {verdict.reason}\n" for verdict in verdicts)


def readmit(api: kube_connect.Api, request: Request, params: dict[str, Any], check: bool) -> dict[str, Any]:
    before = claim.read(api, request.name)
    mark, unproven = drain_mark.of(before), gate.tainted(before)
    shut = "drained" if mark else "unproven" if unproven and params["proven"] else ""
    node = "would be let in again"
    if not (check and shut):
        rules = Rules() if check else rules_of(request, params)
        node = session.readmit(api, request, params["timeout"], rules, params["proven"])
    change = Change(f"node {request.name}", f"{shut or node}\n", f"{node}\n")
    away = round(time.time() - mark.since) if mark else None
    told: dict[str, Any] = {"node": node, "pods": [], "away_s": away, "was_unproven": unproven}
    return {"changed": change.changed, "diff": change.diff, **told}


def note_failure(api: kube_connect.Api, request: Request, _params: dict[str, Any], check: bool) -> dict[str, Any]:
    if not check:
        claim.note_failure(api, request.name, budget.failure(request.reason))
    return {"changed": True, "node": "failed", "pods": []}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**kube_connect.ARGUMENT_SPEC, **DRAIN_SPEC, **OPTIONS}, supports_check_mode=True
    )
    params = module.params
    request = Request(
        params["name"],
        holder.this_run(os.getppid()),
        params["reason"],
        boot_id=params["boot_id"].strip(),
        machine_id=params["machine_id"].strip(),
        hold_s=params["hold"],
    )
    act = {"drained": drain, "uncordoned": readmit, "failed": note_failure}[params["state"]]
    try:
        module.exit_json(**act(kube_connect.connect(params), request, params, module.check_mode))
    except NotBegun as reason:
        module.fail_json(msg=str(reason), given_back=True, not_begun=True)
    except session.DrainFailed as error:
        module.fail_json(msg=str(error), given_back=error.given_back, not_begun=False)
    except GpuError as error:
        module.fail_json(msg=str(error), given_back=True, not_begun=False)


if __name__ == "__main__":
    main()
