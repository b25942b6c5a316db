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
  - The device plugin reads its config only when it starts, so the daemonsets that mount the ConfigMap are restarted
    when a config changed, also by the next run if this one is broken off.
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
  state:
    description:
      - Whether the ConfigMap should be there.
      - With V(absent), a ConfigMap that a daemonset still mounts is an error, since its pods could not start again.
    type: str
    choices: [present, absent]
    default: present
notes:
  - Needs the verbs V(get), V(create), V(patch) and V(delete) on V(configmaps), and V(list) and V(patch) on
    V(daemonsets), all in O(namespace).
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


def present(
    api: kube_connect.Api, place: sharing_configmap.Place, documents: dict[str, Any], check_mode: bool
) -> dict[str, Any]:
    found = api.get_or_none(place.config_map)
    users = consumers(api, place) if sharing_configmap.stale(found, documents) else []
    steps = sharing_configmap.plan(place, found, documents, users)
    if not check_mode:
        for step in steps:
            getattr(api, step.method)(step.path, step.body)
    before = None if found is None else found.get("data") or {}
    change = difference(place, before, sharing_configmap.data(documents, before or {}))
    return {
        "changed": bool(steps),
        "diff": change.diff,
        "restarted": users,
        "configs": {name: described(document) for name, document in documents.items()},
    }


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
    return {"changed": change.changed, "diff": change.diff, "restarted": []}


def consumers(api: kube_connect.Api, place: sharing_configmap.Place) -> list[str]:
    return sharing_configmap.consumers(api.list(place.daemonsets), place.name)


def run(module: AnsibleModule, params: dict[str, Any]) -> dict[str, Any]:
    place = sharing_configmap.Place(params["name"], params["namespace"])
    documents = sharing_documents.documents(params["configs"] or {})
    api = kube_connect.connect(params)
    if params["state"] == "absent":
        result = absent(api, place, module.check_mode)
    else:
        result = present(api, place, documents, module.check_mode)
    return {**result, "requests": api.requests}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **kube_connect.ARGUMENT_SPEC,
            "configs": {"type": "dict"},
            "name": {"type": "str", "default": "time-slicing-config"},
            "namespace": {"type": "str", "default": "gpu-operator"},
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
