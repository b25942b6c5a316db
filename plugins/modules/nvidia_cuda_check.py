#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module C(t9k.gpu.nvidia_cuda_check)."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_cuda_check
author: t9k.gpu maintainers (@t9k)
version_added: 0.2.0
short_description: Prove that every GPU of a host computes
description:
  - Sends data to each GPU, runs a kernel on it, takes the result back and compares every byte. C(nvidia-smi) can look
    healthy while no CUDA program runs, as on an NVSwitch machine whose fabric is not up (CUDA error 802).
  - Needs nothing but the driver's C(libcuda.so.1). The kernel is PTX text that the driver compiles; neither the CUDA
    toolkit nor a Python package is used.
  - Each GPU is asked by a child process of its own, all at once and with a time limit, so that a driver that hangs or
    crashes does not take the module along. A child that cannot be killed is reported and left behind.
  - GPUs in MIG mode and GPUs on which processes compute are left alone, and the result says so.
options:
  timeout_s:
    description: Seconds that all GPUs together may take. A GPU that nothing holds open takes some seconds to start.
    type: int
    default: 120
  smi_timeout_s:
    description: Seconds after which C(nvidia-smi) counts as hung and is ended.
    type: int
    default: 30
  ready_timeout_s:
    description:
      - Seconds to go on trying while every fault is CUDA error 802, which is what a machine answers whose NVSwitch fabric
        is not up yet. With V(0) there is one try.
    type: int
    default: 0
  leave_alone:
    description: PCI addresses of GPUs to leave alone, such as those that are known to be broken.
    type: list
    elements: str
    default: []
  fail_on_fault:
    description: Fail if RV(faults) has an entry, with all of them in the message.
    type: bool
    default: true
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed.
    support: none
notes:
  - Changes nothing, so it does the same in check mode. It takes 128 MiB of a GPU's memory and about a second, and keeps
    no compiled kernel. Like every CUDA program it makes the driver load C(nvidia_uvm) where that is not loaded yet.
  - Root is not needed, except where the administrator has restricted C(/dev/nvidia*).
"""

EXAMPLES = r"""
- name: Every GPU computes
  t9k.gpu.nvidia_cuda_check:

- name: Only look
  t9k.gpu.nvidia_cuda_check:
    fail_on_fault: false
  register: compute

- name: Say which GPUs were left alone
  ansible.builtin.debug:
    msg: "{{ compute.gpus | selectattr('status', 'equalto', 'skipped') | map(attribute='message') }}"
"""

RETURN = r"""
proved:
  description: Whether at least one GPU computed rightly, and none failed.
  returned: always
  type: bool
faults:
  description: What a person must act on, one sentence for each GPU, or one for a driver that does not answer.
  returned: always
  type: list
  elements: str
health:
  description: The same faults with their parts apart, as M(t9k.gpu.nvidia_smi_facts) has them.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description:
        - V(cuda_error), V(cuda_wrong_result), V(cuda_timeout), V(cuda_crash), V(cuda_library) or V(cuda_other_gpu), or what
          M(t9k.gpu.nvidia_smi_facts) calls a driver that does not answer.
      type: str
      sample: cuda_error
    severity:
      description: Always V(error).
      type: str
      sample: error
    gpu:
      description: Which GPU, by C(index), C(pci_address) and C(uuid); null for a fault of the driver.
      type: dict
    evidence:
      description: What was found.
      type: str
      sample: CUDA_ERROR_SYSTEM_NOT_READY (802) from cuInit
    remedy:
      description: What to do about it.
      type: str
    message:
      description: All of it in one sentence.
      type: str
gpus:
  description:
    - One entry for each GPU that C(nvidia-smi) shows.
    - C(status) is V(ok), V(failed), V(timeout) or V(skipped), and C(message) says why and what to do.
    - C(error) is null, or the error that CUDA answered with, as C(call), C(number) and C(name).
    - C(seconds) is how long the check of this GPU took, null where it did not come to its end.
  returned: always
  type: list
  elements: dict
  sample:
    - error: null
      index: 0
      message: computed rightly in 0.8 s
      pci_address: "0000:00:06.0"
      product_name: NVIDIA H100 80GB HBM3
      seconds: 0.8
      status: ok
      uuid: GPU-00000000-0000-4000-8000-000000000001
"""

import time
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import cuda, cuda_child, cuda_kernel, holders
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, Fault

ARGUMENTS: dict[str, Any] = {
    "timeout_s": {"type": "int", "default": 120},
    "smi_timeout_s": {"type": "int", "default": 30},
    "ready_timeout_s": {"type": "int", "default": 0},
    "leave_alone": {"type": "list", "elements": "str", "default": []},
    "fail_on_fault": {"type": "bool", "default": True},
}
#: Between two tries, while the fabric comes up.
PAUSE_S = 5.0


def check(run: Run, params: dict[str, Any]) -> dict[str, Any]:
    """Return what the module returns; ask again while what is wrong may pass, until ``ready_timeout_s`` is over."""
    deadline = time.monotonic() + params["ready_timeout_s"]
    while True:
        report = nvidia_smi.query(run, params["smi_timeout_s"])
        checks = compute(report.gpus, set(params["leave_alone"]), params["timeout_s"])
        if not cuda.may_pass(checks) or time.monotonic() >= deadline:
            return result(report, checks)
        time.sleep(PAUSE_S)


def compute(gpus: tuple[Gpu, ...], aside: set[str], timeout_s: int) -> list[cuda.Check]:
    """Ask all GPUs that may be asked, at once."""
    reasons: dict[int, str | None] = {
        gpu.index: cuda.skip_reason(gpu, holders.computing(gpu.minor_number)) for gpu in gpus
    }
    reasons.update((gpu.index, "as asked") for gpu in gpus if gpu.pci_address in aside)
    asked = {str(gpu.index): partial(cuda_kernel.check, gpu.uuid or "") for gpu in gpus if not reasons[gpu.index]}
    outcomes = cuda_child.run(asked, timeout_s)
    return [
        cuda.skipped(gpu, reason) if reason else cuda.judge(gpu, outcomes[str(gpu.index)], timeout_s)
        for gpu, reason in ((gpu, reasons[gpu.index]) for gpu in gpus)
    ]


def result(report: nvidia_smi.SmiReport, checks: list[cuda.Check]) -> dict[str, Any]:
    faults = [each.fault for each in checks if each.fault]
    if not checks:
        evidence = f"{nvidia_smi.MEANINGS[report.status]} (found: {report.found or 'nothing'})"
        faults = [Fault(f"smi_{report.status}", ERROR, evidence, nvidia_smi.REMEDIES[report.status])]
    return {
        "proved": not faults and any(each.status == "ok" for each in checks),
        "faults": [str(fault) for fault in faults],
        "health": [fault.to_dict() for fault in faults],
        "gpus": [each.to_dict() for each in checks],
    }


def require(found: dict[str, Any]) -> None:
    if found["faults"]:
        raise GpuError(
            wanted="GPUs that compute rightly",
            found=" ".join(found["faults"]).rstrip("."),
            where="libcuda.so.1, nvidia-smi -q -x",
            next_step="mend what is listed, or leave fail_on_fault off to get the result anyway",
        )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    found = check(runner(module), module.params)
    try:
        if module.params["fail_on_fault"]:
            require(found)
    except GpuError as error:
        module.fail_json(msg=str(error), **found)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
