#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_sharing_config
short_description: Check GPU sharing configs and keep them in the cluster
version_added: 0.1.0
description:
  - Checks the configs for time-slicing and MPS against what NVIDIA's device plugin understands, then keeps them in
    one ConfigMap, one key for each config.
  - The device plugin ignores silently what it does not understand. Here each such key is an error with its path, and
    nothing is sent.
  - The device plugin reads its config only when it starts, so where a config changed the pods of the daemonsets that mount the ConfigMap
    are restarted, on the nodes that use that config and on no others, some nodes at a time; also by the next run if this one is broken
    off.
  - The ClusterPolicy's C(devicePlugin.config) is not touched, since it belongs to the chart's values. Nodes choose
    their config by the label C(nvidia.com/device-plugin.config); see M(t9k.gpu.k8s_node_labels).
author: t9k.gpu maintainers (@t9k)
extends_documentation_fragment: t9k.gpu.kube
attributes:
  check_mode:
    description: Checks the configs, reads the ConfigMap and says what would change.
    support: full
  diff_mode:
    description: Shows the ConfigMap's data.
    support: full
options:
  configs:
    description:
      - Config name to config, as a dictionary. The name is what the node label chooses.
      - "A typed config has C(mode): C(time_slicing), C(mps) or C(none); C(replicas), a whole number of at
        least 2; and optionally C(rename) (V(true) by default, offers C(nvidia.com/gpu.shared) instead of more
        C(nvidia.com/gpu)), C(fail_requests_greater_than_one), C(resource) (C(nvidia.com/gpu) by default) and
        C(mig_strategy) (C(none), C(single) or C(mixed))."
      - A config with the one key C(raw) has a whole document of the device plugin below it, which is checked the
        same way.
      - Configs in the ConfigMap that are not named here are removed from it. Required with O(state=present).
    type: dict
  name:
    description: Name of the ConfigMap.
    type: str
    default: time-slicing-config
  namespace:
    description: Namespace of the GPU Operator.
    type: str
    default: gpu-operator
  max_unavailable:
    description:
      - On how many nodes pods are restarted at a time, as a number or as a share of the nodes that use a changed config, such as V(25%).
    type: str
    default: 25%
  timeout:
    description: Seconds within which the pods of such a batch must be Ready again.
    type: int
    default: 300
  state:
    description:
      - Whether the ConfigMap should be there.
      - With V(absent), a ConfigMap that a daemonset still mounts is an error, since its pods could not start again.
    type: str
    choices: [present, absent]
    default: present
notes:
  - Needs the verbs V(get), V(create), V(patch) and V(delete) on V(configmaps), V(list) on V(daemonsets), and V(list) and V(delete) on
    V(pods), all in O(namespace); and V(list) on V(nodes) and V(clusterpolicies).
"""

EXAMPLES = r"""
- name: Four pods share each GPU of the nodes with the config "common"
  t9k.gpu.gpu_sharing_config:
    configs:
      common: {mode: time_slicing, replicas: 4}
      whole: {mode: none}

- name: A document as NVIDIA's documentation has it
  t9k.gpu.gpu_sharing_config:
    configs:
      a100-40gb:
        raw:
          version: v1
          flags: {migStrategy: mixed}
          sharing:
            timeSlicing:
              renameByDefault: false
              resources:
                - {name: nvidia.com/mig-1g.5gb, replicas: 2}
"""

RETURN = r"""
configs:
  description: Config name to the document that the device plugin reads, its sharing strategy, and what one GPU becomes.
  returned: when O(state=present)
  type: dict
  sample:
    common:
      document: {version: v1}
      strategy: time-slicing
      per_gpu: {nvidia.com/gpu.shared: 4}
restarted:
  description: The daemonsets that were restarted (in check mode, would be).
  returned: success
  type: list
  elements: str
  sample: [nvidia-device-plugin-daemonset]
nodes:
  description: The nodes on which they were restarted.
  returned: success
  type: list
  elements: str
  sample: [gpu-01]
requests:
  description: How many requests were sent to the API server, repeated ones included.
  returned: success
  type: int
  sample: 1
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect as kube_connect
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import configmap as sharing_configmap
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import documents as sharing_documents
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.restart import Due, restart, users_of


def present(api: kube_connect.Api, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    place, documents = place_of(params), sharing_documents.documents(params["configs"] or {})
    found = api.get_or_none(place.config_map)
    stale = sharing_configmap.stale(found, documents)
    due = to_restart(api, place, sharing_configmap.due(found, documents)) if stale else Due()
    noted = sharing_configmap.PENDING in ((found or {}).get("metadata", {}).get("annotations") or {})
    steps = list(sharing_configmap.plan(place, found, documents, bool(due.pods)))
    if not check_mode:
        for step in steps:
            getattr(api, step.method)(step.path, step.body)
        restart(api, place, due, params["max_unavailable"], params["timeout"])
        if due.pods or noted:
            settled = sharing_configmap.settle(place)
            getattr(api, settled.method)(settled.path, settled.body)
    before = None if found is None else found.get("data") or {}
    change = difference(place, before, sharing_configmap.data(documents, before or {}))
    return {
        "changed": bool(steps or due.pods or noted),
        "diff": change.diff,
        "restarted": list(due.daemonsets) if due.pods else [],
        "nodes": sorted(due.pods),
        "configs": {name: described(document) for name, document in documents.items()},
    }


def to_restart(api: kube_connect.Api, place: sharing_configmap.Place, names: frozenset[str]) -> Due:
    """Find the pods that have read one of the configs."""
    users = consumers(api, place)
    if not users or not names:
        return Due()
    policies = api.list("/apis/nvidia.com/v1/clusterpolicies")
    plugins = [((policy.get("spec") or {}).get("devicePlugin") or {}).get("config") or {} for policy in policies]
    default = next((config["default"] for config in plugins if config.get("default")), "")
    nodes = users_of(api.list("/api/v1/nodes", limit=500, metadata_only=True), names, default)
    pods = api.list(f"/api/v1/namespaces/{place.namespace}/pods")
    return Due.of(users, pods, nodes)


def place_of(params: dict[str, Any]) -> sharing_configmap.Place:
    return sharing_configmap.Place(params["name"], params["namespace"])


def difference(place: sharing_configmap.Place, before: dict[str, str] | None, after: dict[str, str] | None) -> Change:
    return Change(f"ConfigMap {place.name}", sharing_configmap.readable(before), sharing_configmap.readable(after))


def described(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "document": document,
        "strategy": sharing_documents.strategy(document),
        "per_gpu": sharing_documents.expected_resources(document, 1),
    }


def absent(api: kube_connect.Api, place: sharing_configmap.Place, check_mode: bool) -> dict[str, Any]:
    found = api.get_or_none(place.config_map)
    users = consumers(api, place) if found else []
    if users:
        raise GpuError(
            f"no ConfigMap {place.namespace}/{place.name}",
            f"still mounted by {', '.join(users)}",
            "the daemonsets' volumes",
            "clear devicePlugin.config in the ClusterPolicy first and let the operator follow",
        )
    if found and not check_mode:
        api.delete(place.config_map)
    change = difference(place, None if found is None else found.get("data") or {}, None)
    return {"changed": change.changed, "diff": change.diff, "restarted": [], "nodes": []}


def consumers(api: kube_connect.Api, place: sharing_configmap.Place) -> list[str]:
    return sharing_configmap.consumers(api.list(place.daemonsets), place.name)


def run(module: AnsibleModule, params: dict[str, Any]) -> dict[str, Any]:
    sharing_documents.documents(params["configs"] or {})  # what is wrong with them is said before any request
    api = kube_connect.connect(params)
    if params["state"] == "absent":
        result = absent(api, place_of(params), module.check_mode)
    else:
        result = present(api, params, module.check_mode)
    return {**result, "requests": api.requests}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **kube_connect.ARGUMENT_SPEC,
            "configs": {"type": "dict"},
            "name": {"type": "str", "default": "time-slicing-config"},
            "namespace": {"type": "str", "default": "gpu-operator"},
            "max_unavailable": {"type": "str", "default": "25%"},
            "timeout": {"type": "int", "default": 300},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["configs"])],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module, module.params))
    except GpuError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
