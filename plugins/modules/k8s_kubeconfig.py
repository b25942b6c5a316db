#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_kubeconfig
short_description: Write one kubeconfig that leads every tool to the same cluster
version_added: 0.2.0
description:
  - Resolves the connection options, the environment variables C(K8S_AUTH_*), E(KUBECONFIG), C(~/.kube/config) and a pod's
    ServiceAccount to one cluster, one user and one context, and writes them as a kubeconfig that only its owner can read.
  - Tools such as helm know nothing of C(K8S_AUTH_*); given this file they talk to the server that this collection's modules talk to.
  - Exec plugins and token files are kept as they are, so credentials that refresh go on doing so.
  - Asks the server that the file leads to for the UID of its namespace C(kube-system) and compares it with O(cluster_uid).
author: t9k.gpu maintainers (@t9k)
extends_documentation_fragment: t9k.gpu.kube
attributes:
  check_mode:
    description: Says whether the file would change.
    support: full
  diff_mode:
    description: The file holds credentials and is never shown.
    support: none
options:
  dest:
    description: Where to write the kubeconfig.
    type: path
    required: true
  cluster_uid:
    description: The UID of the namespace C(kube-system) of the cluster that is meant. Another cluster is an error.
    type: str
"""

EXAMPLES = r"""
- name: One kubeconfig for helm and all modules
  t9k.gpu.k8s_kubeconfig:
    dest: "{{ folder.path }}/kubeconfig"
"""

RETURN = r"""
server:
  description: The API server's address.
  returned: success
  type: str
  sample: https://10.0.0.1:6443
cluster_uid:
  description: The UID of the namespace C(kube-system), which tells clusters apart.
  returned: when not in check mode
  type: str
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text
from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect as kube_connect
from ansible_collections.t9k.gpu.plugins.module_utils._kube import kubeconfig as kube_kubeconfig


def write(dest: Path, text: str) -> None:
    """Write the file so that nobody else can read it, not even for a moment: mkstemp makes it so, and the move keeps it."""
    handle, temporary = tempfile.mkstemp(dir=dest.parent, prefix=".t9k-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    Path(temporary).replace(dest)


def run(module: AnsibleModule, params: dict[str, Any]) -> dict[str, Any]:
    """Write the file, then follow it to its cluster."""
    document = kube_kubeconfig.resolve(params, os.environ)
    server = document["clusters"][0]["cluster"]["server"]
    dest, text = Path(params["dest"]), json.dumps(document, indent=1) + "\n"
    changed = read_text(dest) != text
    if module.check_mode:
        return {"changed": changed, "server": server}
    if changed:
        write(dest, text)
    way = {"kubeconfig": str(dest), "request_timeout": params["request_timeout"]}
    uid = kube_connect.cluster_uid(kube_connect.connect(way))
    if params["cluster_uid"] and uid != params["cluster_uid"]:
        raise GpuError(
            f"the cluster whose kube-system has the UID {params['cluster_uid']}",
            f"one with {uid}",
            f"API server {server}",
            "give the connection as variables of the role, and take K8S_AUTH_* and KUBECONFIG out of the environment",
        )
    return {"changed": changed, "server": server, "cluster_uid": uid}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **kube_connect.ARGUMENT_SPEC,
            "dest": {"type": "path", "required": True},
            "cluster_uid": {"type": "str"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module, module.params))
    except GpuError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
