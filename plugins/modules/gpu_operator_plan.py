#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_operator_plan
short_description: Read a cluster and plan what the NVIDIA GPU operator needs there
version_added: 0.1.0
description:
  - Reads everything about the GPU operator from the API server in a handful of list requests and compares it with what
    is wanted.
  - Returns the ordered steps between the two, each with its reason and what it disturbs. No step means that all is as
    wanted.
  - Changes nothing, ever. The role P(t9k.gpu.gpu_operator#role) carries the steps out.
  - Fails before any change, and names everything that stands in the way at once.
author: t9k.gpu maintainers (@t9k)
extends_documentation_fragment: [t9k.gpu.chart, t9k.gpu.kube]
attributes:
  check_mode:
    description: Only reads, in check mode or not.
    support: full
  diff_mode:
    description: In check mode, shows what the steps would change.
    support: full
options:
  state:
    description: Whether the operator should be there.
    type: str
    choices: [present, absent]
    default: present
  mode:
    description: V(helm) for a release of helm, V(manifests) for rendered objects that are applied and pruned.
    type: str
    choices: [helm, manifests]
    default: helm
  chart_username:
    description: The user of a private registry or repository, for the command in RV(helm).
    type: str
    default: ''
  chart_ca_file:
    description: The certificate authority of a private registry or repository; a file on the control host.
    type: str
    default: ''
  namespace:
    description: The operator's namespace.
    type: str
    default: gpu-operator
  release:
    description: The helm release's name.
    type: str
    default: gpu-operator
  pull_secrets:
    description: Names of the pull secrets that the images need.
    type: list
    elements: str
    default: []
  own_pull_secrets:
    description: Those of them that the role makes; the others must exist.
    type: list
    elements: str
    default: []
  sharing:
    description: Sharing config name to device plugin configuration, as M(t9k.gpu.gpu_sharing_config) takes it.
    type: dict
    default: {}
  service_monitor:
    description:
      - Who makes the ServiceMonitor (C(by), one of V(none), V(role) and V(chart)), its C(namespace), C(labels) and
        C(interval).
    type: dict
    default: {by: none}
  queue:
    description: The scheduler queue's C(name), C(namespace), C(quota), C(priority) and C(preemptible); empty for none.
    type: dict
    default: {}
  manifests:
    description: Further objects to apply.
    type: list
    elements: dict
    default: []
  nodes:
    description: All nodes of the inventory. Labels of other nodes are left alone.
    type: list
    elements: str
    default: []
  gpu_nodes:
    description: Nodes that are known to have GPUs. If none of them shows one, RV(waiting) says so.
    type: list
    elements: str
    default: []
  nodes_failed:
    description:
      - Nodes on which an earlier part of the run has failed. Their labels are left as they are, and they are not waited for.
    type: list
    elements: str
    default: []
  nodes_tolerated:
    description:
      - How many GPU nodes may be NotReady, unreachable, or cordoned and without their GPUs, as a number or a share of all such as V(5%),
        rounded down. Within it they are told of in RV(warnings_found), beyond it they are waited for.
    type: str
    default: 5%
  node_sharing:
    description: Node name to the name of its sharing config, or null.
    type: dict
    default: {}
  node_operands:
    description: Node name to whether the operator's pods may run there, or null.
    type: dict
    default: {}
  node_mig:
    description: Node name to the name of its MIG configuration, or null.
    type: dict
    default: {}
  crds_remove:
    description: With O(state=absent), also remove the CRDs that were applied here, and with them all their objects.
    type: bool
    default: false
  adopt:
    description:
      - Whether to take over an operator that no helm release owns (applied by hand), or a helm release of the same name and
        namespace that was not made here. Without it either is an error, and nothing is changed.
      - An operator of another release, another namespace or a GitOps tool is always an error.
    type: bool
    default: false
  interrupt:
    description:
      - Consent to steps by which running pods lose their GPUs, such as exchanged driver containers or a restarted MPS control daemon.
        Without it they are an error.
    type: bool
    default: false
  wait_timeout:
    description: After how many seconds a pending helm revision counts as left over.
    type: int
    default: 900
  drain:
    description:
      - How nodes would be emptied whose partitions change while pods hold their GPUs, C(force) and C(delete_emptydir_data) of
        M(t9k.gpu.gpu_mig_config). A pod that could not be evicted is a fault.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: What would have to be done
  t9k.gpu.gpu_operator_plan:
    chart: /srv/charts/gpu-operator-v26.7.0.tgz
    version: v26.7.0
    versions: "{{ __gpu_operator_versions }}"
  register: plan
"""

RETURN = r"""
steps:
  description:
    - What to do, in order, each step with its C(name), its C(reason), what it C(disturbs) (empty if nobody notices) and the
      C(data) that its task file needs.
  returned: success
  type: list
  elements: dict
  sample: [{name: crds, reason: clusterpolicies.nvidia.com is missing, disturbs: "", data: {}}]
summary:
  description: The steps, one line each.
  returned: success
  type: list
  elements: str
server_version:
  description: The API server's version.
  returned: success
  type: str
  sample: v1.36.2
inventory_wanted:
  description: In manifests mode, what the inventory says of a finished apply.
  returned: success
  type: dict
chart_values:
  description: The chart's values as they should be.
  returned: success
  type: dict
waiting:
  description: What is not ready yet. Empty on a working cluster.
  returned: success
  type: list
  elements: dict
waiting_for:
  description: The same, one line each.
  returned: success
  type: list
  elements: str
nodes_left_out:
  description: Nodes that are not waited for, each with the reason.
  returned: success
  type: dict
  sample: {gpu-07: "NotReady since 2026-01-01T00:00:00Z"}
expect:
  description: What readiness expects beside the objects themselves, for M(t9k.gpu.gpu_operator_readiness).
  returned: success
  type: dict
helm:
  description: Helm's version and the arguments that this chart needs with it. Empty if helm is not needed.
  returned: success
  type: dict
cluster_uid:
  description: The UID of the namespace C(kube-system), by which the tools that apply the plan know the cluster. Empty without steps.
  returned: success
  type: str
chart_description:
  description: What to write into the release's description.
  returned: success
  type: str
crd_version:
  description: The mark for CRDs of this chart.
  returned: success
  type: str
stuck_release:
  description: The secret of a helm revision that a broken-off helm left pending; empty if there is none.
  returned: success
  type: str
inventory:
  description: In manifests mode, the objects applied so far.
  returned: success
  type: list
  elements: dict
warnings_found:
  description: What the user should know.
  returned: success
  type: list
  elements: str
requests:
  description: How many requests were sent to the API server.
  returned: success
  type: int
"""

import dataclasses
import datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._command import runner
from ansible_collections.t9k.gpu.plugins.module_utils._drain.partition import holders
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect as kube_connect
from ansible_collections.t9k.gpu.plugins.module_utils._operator import disturbance, objects, preflight, rights
from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator import release as operator_release
from ansible_collections.t9k.gpu.plugins.module_utils._operator import state as operator_state
from ansible_collections.t9k.gpu.plugins.module_utils._operator.helm import (
    api_versions,
    ca_arguments,
    helm_facts,
    helm_faults,
    login_arguments,
    pull_arguments,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.owned import mig_changes, to_ask
from ansible_collections.t9k.gpu.plugins.module_utils._operator.reading import settled
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import ARGUMENT_SPEC, Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

NEEDS_HELM = {"chart", "adopt", "release", "manifests", "release_remove"}


#: Steps whose objects are rendered without the cluster's help.
RENDERED = {"adopt", "manifests"}


def fetching(params: dict[str, Any]) -> dict[str, Any]:
    """Return how the chart is fetched."""
    login = {"username": params["chart_username"], "ca_file": params["chart_ca_file"]}
    known = login_arguments(params["chart"], login)
    pull = pull_arguments(params["chart"], params["version"], bool(known))
    return {"login": known, "pull": [*pull, *(ca_arguments(login) if pull else [])], "template": []}


def refuse(faults: list[str]) -> None:
    """Raise one error that names all of them."""
    if not faults:
        return
    numbered = [f"{number}. {fault}" for number, fault in enumerate(faults, 1)]
    count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
    raise PlanRefusedError(f"{count}; nothing was changed.\n" + "\n".join(numbered))


class PlanRefusedError(Exception):
    """Carries all faults to the one place that fails; each of them was a GpuError's sentence."""


def line(step: Step) -> str:
    """Return a step as a person reads it."""
    return f"{step.name}: {step.reason}" + (f" ({step.disturbs})" if step.disturbs else "")


def result_of(state: operator_state.ClusterState, wanted: Wanted, steps: tuple[Step, ...]) -> dict[str, Any]:
    named = {f"{step.name} ({step.reason})": step for step in steps}
    before = {name: step.data["before"] for name, step in named.items() if step.data.get("before")}
    change = Change("gpu operator", before, {name: step.data.get("after") for name, step in named.items()})
    now = datetime.datetime.now(datetime.timezone.utc)
    release = state.release
    pending = release is not None and release.pending and preflight.stuck(release, wanted.stale_after_s, now)
    found = operator_plan.judgement(state, wanted)
    return {
        "changed": False,
        "steps": [step.to_dict() for step in steps],
        "summary": [line(step) for step in steps],
        "server_version": state.server_version,
        "diff": change.diff if steps else {},
        "chart_values": dict(wanted.values),
        "waiting": [each.to_dict() for each in found.waiting],
        "waiting_for": list(map(str, found.waiting)),
        "nodes_left_out": dict(found.out.nodes),
        "expect": wanted.expect.to_dict(),
        "chart_description": f"t9k.gpu {wanted.digest}".strip(),
        "crd_version": operator_release.crd_version(wanted),
        "stuck_release": release.secret if release is not None and pending else "",
        "inventory": state.inventory.get("objects") or [],
        "inventory_wanted": operator_release.inventory_wanted(wanted),
        "warnings_found": [*preflight.warnings(state, wanted), *found.notes],
    }


def run(module: AnsibleModule, params: dict[str, Any]) -> dict[str, Any]:
    wanted = Wanted.of(params)
    api = kube_connect.connect(params)
    wanted = dataclasses.replace(wanted, cluster_kinds=operator_state.cluster_kinds(api, wanted.unplaced))
    paths = [wanted.ref(item).path for item in wanted.objects]
    secrets = wanted.pull_secrets if wanted.pull_secrets or not wanted.present else None
    state = operator_state.read(api, operator_state.Query(wanted.namespace, wanted.release, tuple(paths), secrets))
    state = dataclasses.replace(state, settled=settled(api, to_ask(state, wanted)))
    faults = list(preflight.faults(state, wanted, datetime.datetime.now(datetime.timezone.utc)))
    steps: tuple[Step, ...] = ()
    if not faults:
        pods, faults = holders(api, mig_changes(state, wanted), params["drain"])
        state = dataclasses.replace(state, holders=pods)
        steps = operator_plan.plan(state, wanted)
    helm: dict[str, Any] = {}
    if {step.name for step in steps} & NEEDS_HELM:
        helm = {**helm_facts(runner(module), wanted.series), **fetching(params)}
        faults.extend(helm_faults(helm))
    faults.extend(disturbance.consent_faults(steps, wanted))
    if {step.name for step in steps} & RENDERED:
        helm["template"] = api_versions(api)
    if steps:
        faults.extend(rights.missing_rights(api, steps, wanted.namespace))
    refuse(faults)
    uid = kube_connect.cluster_uid(api) if steps else ""
    return {**result_of(state, wanted, steps), "helm": helm, "cluster_uid": uid, "requests": api.requests}


def argument_spec() -> dict[str, Any]:
    dicts = ("sharing", "queue", "node_sharing", "node_operands", "node_mig")
    return {
        **kube_connect.ARGUMENT_SPEC,
        **ARGUMENT_SPEC,
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "mode": {"type": "str", "choices": ["helm", "manifests"], "default": "helm"},
        "chart_username": {"type": "str", "default": ""},
        "chart_ca_file": {"type": "str", "default": ""},
        "namespace": {"type": "str", "default": "gpu-operator"},
        "release": {"type": "str", "default": "gpu-operator"},
        "pull_secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "own_pull_secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "service_monitor": {"type": "dict", "default": {"by": "none"}},
        "manifests": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "no_log": True,
        },  # what of it is hidden: objects.hide
        "nodes": {"type": "list", "elements": "str", "default": []},
        "gpu_nodes": {"type": "list", "elements": "str", "default": []},
        "nodes_failed": {"type": "list", "elements": "str", "default": []},
        "nodes_tolerated": {"type": "str", "default": "5%"},
        "crds_remove": {"type": "bool", "default": False},
        "adopt": {"type": "bool", "default": False},
        "interrupt": {"type": "bool", "default": False},
        "wait_timeout": {"type": "int", "default": 900},
        "drain": {"type": "dict", "default": {}},
        **{name: {"type": "dict", "default": {}} for name in dicts},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = dict(module.params)
    objects.hide(module)
    try:
        module.exit_json(**run(module, params))
    except (GpuError, PlanRefusedError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
