#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: image_copy
short_description: Copy an image to another registry, unless it is there
version_added: 0.2.0
description:
  - Asks both registries for the image's manifest. Where they are the same to the byte, nothing is to be done.
  - Otherwise copies the image with all its platforms by C(skopeo), with the same digests, and asks again.
author: t9k.gpu maintainers (@t9k)
attributes:
  check_mode:
    description: Asks the registries and says whether it would copy.
    support: full
  diff_mode:
    description: Shows the digest that the target has.
    support: full
options:
  source:
    description: The image as it is named now, with its registry, and its tag or digest.
    type: str
    required: true
  target:
    description: The image as it is to be named.
    type: str
    required: true
requirements:
  - skopeo 1.6 or later
notes:
  - Credentials, certificates and mirrors are skopeo's own, C(skopeo login), containers-certs.d(5) and containers-registries.conf(5).
"""

EXAMPLES = r"""
- name: Bring the toolkit into the mirror
  t9k.gpu.image_copy:
    source: nvcr.io/nvidia/k8s/container-toolkit:v1.20.0
    target: registry.example/mirror/nvidia/k8s/container-toolkit:v1.20.0
"""

RETURN = r"""
digest:
  description: The digest of the manifest at the target; in check mode that of now, empty if it is not there.
  returned: success
  type: str
  sample: sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._operator import mirror


def bring(run: Run, source: str, target: str, check: bool) -> dict[str, Any]:
    pair = mirror.look(run, source, target)
    after = pair.found
    if not pair.same:
        after = f"the image of {source}" if check else mirror.copy(run, source, target)
    change = Change(target, pair.found + "\n", after + "\n")
    return {"changed": change.changed, "diff": change.diff, "digest": pair.found if check else after}


def main() -> None:
    module = AnsibleModule(
        argument_spec={"source": {"type": "str", "required": True}, "target": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    params = module.params
    try:
        module.exit_json(**bring(runner(module), params["source"], params["target"], module.check_mode))
    except GpuError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
