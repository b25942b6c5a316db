#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module C(t9k.gpu.nvidia_doctor)."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_doctor
author: t9k.gpu maintainers (@t9k)
version_added: 0.2.0
short_description: Find what is wrong, or about to go wrong, with a GPU node
description:
  - Reads the driver's state, the kernel log of this boot and the files around them, and returns findings, each with code, severity,
    evidence and remedy. Every code has a section in C(docs/doctor.md).
  - Adds to what M(t9k.gpu.nvidia_driver_plan) knows, whose result it takes, since Xid messages, packages that may drift and the
    container runtime are no matter of the plan.
options:
  node:
    description: The name that the lines of RV(table) begin with.
    type: str
    default: this node
  plan:
    description: What M(t9k.gpu.nvidia_driver_plan) returned. Empty, the finding V(plan_failed) says that there is none.
    type: dict
    default: {}
  health:
    description: More faults to show, as M(t9k.gpu.nvidia_cuda_check) returns them.
    type: list
    elements: dict
    default: []
  smi_timeout:
    description: Seconds after which C(nvidia-smi) counts as hung.
    type: int
    default: 60
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed.
    support: none
notes:
  - Changes nothing, so it does the same in check mode.
"""

EXAMPLES = r"""
- name: Read and plan
  t9k.gpu.nvidia_driver_plan:
    supported_os: "{{ supported }}"
  register: plan

- name: Look at the node
  t9k.gpu.nvidia_doctor:
    node: "{{ inventory_hostname }}"
    plan: "{{ plan }}"
  register: doctor
"""

RETURN = r"""
has_gpu:
  description: Whether the PCI bus shows an NVIDIA GPU. If not, nothing else was looked at.
  type: bool
  returned: always
findings:
  description: Every finding, errors first, each with C(code), C(severity), C(gpu), C(evidence), C(remedy) and C(message).
  type: list
  elements: dict
  returned: always
errors:
  description: How many of RV(findings) are errors.
  type: int
  returned: always
table:
  description: RV(findings) as lines for the terminal.
  type: list
  elements: str
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._doctor import findings as doctor_findings
from ansible_collections.t9k.gpu.plugins.module_utils._doctor import seen as doctor_seen
from ansible_collections.t9k.gpu.plugins.module_utils._driver import state as driver_state
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR

ARGUMENTS: dict[str, Any] = {
    "node": {"type": "str", "default": "this node"},
    "plan": {"type": "dict", "default": {}},
    "health": {"type": "list", "elements": "dict", "default": []},
    "smi_timeout": {"type": "int", "default": 60},
}


def look(run: Run, params: dict[str, Any], root: str = "/") -> dict[str, Any]:
    """Return what the module returns. GPUs that the plan expects are missed even where the bus shows none."""
    state = driver_state.read(run, params["smi_timeout"], root, expected=bool(params["plan"].get("has_gpu")))
    if state is None:
        return {"has_gpu": False, "findings": [], "errors": 0, "table": []}
    found = doctor_findings.findings(state, doctor_seen.read(run, root), params["plan"], params["health"])
    return {
        "has_gpu": True,
        "findings": [fault.to_dict() for fault in found],
        "errors": sum(fault.severity == ERROR for fault in found),
        "table": doctor_findings.table(params["node"], found),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        found = look(runner(module), module.params)
    except GpuError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
