#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_smi_facts
short_description: Every NVIDIA GPU of a node and its state as facts
version_added: 0.1.0
description:
  - Reads the GPUs from three sources and compares them, namely the PCI bus (C(/sys/bus/pci)), the loaded kernel module
    (C(/proc/driver/nvidia)) and one call of C(nvidia-smi -q -x).
  - Understands the XML of drivers 418 to 595 (schemas v10 to v13, and documents that name none). Units are part of the
    names, numbers are numbers, and a value that the driver does not have (C(N/A), C(Unknown Error), C(Requested
    functionality has been deprecated) and the like) is null.
  - A driver that is missing, not loaded, hung or at odds with its library, and a GPU that fell off the bus, are
    facts too (RV(ansible_facts.nvidia_smi.status) and RV(ansible_facts.nvidia_smi.message)), not failures of the
    module.
author:
  - t9k.gpu maintainers (@t9k)
options:
  topology:
    description:
      - Also read how GPUs and network cards are linked. This calls C(nvidia-smi topo -m) as well.
    type: bool
    default: false
  timeout_s:
    description:
      - Seconds after which C(nvidia-smi) counts as hung and is ended.
    type: int
    default: 30
  fail_on_fault:
    description:
      - Fail if RV(ansible_facts.nvidia_smi.faults) has an entry, with all of them in the message.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
  facts:
    support: full
    description: Action returns an C(ansible_facts) dictionary that will update existing host facts.
  platform:
    support: full
    platforms: posix
    description: Target OS/families that can be operated against.
notes:
  - Changes nothing. Root is not needed, except where the administrator has restricted C(/dev/nvidia*).
  - C(nvidia-smi) itself takes about a tenth of a second with persistence mode on, and seconds per GPU without it.
"""

EXAMPLES = r"""
- name: Read the GPUs
  t9k.gpu.nvidia_smi_facts:

- name: Show them
  ansible.builtin.debug:
    msg: "{{ item.product_name }} at {{ item.pci_address }}, {{ item.memory_total_mib }} MiB"
  loop: "{{ ansible_facts['nvidia_smi']['gpus'] }}"
  loop_control:
    label: "{{ item.index }}"

- name: Stop on a node whose GPUs are not all well
  t9k.gpu.nvidia_smi_facts:
    fail_on_fault: true

- name: Read the links between GPUs and network cards too
  t9k.gpu.nvidia_smi_facts:
    topology: true
  register: gpus

- name: Require NVLink between the first two GPUs
  ansible.builtin.assert:
    that: gpus.ansible_facts.nvidia_smi.topology.kinds[0][1] == 'nvlink'
"""

RETURN = r"""
ansible_facts:
  description: The facts, also to be had with C(register).
  returned: always
  type: complex
  contains:
    nvidia_smi:
      description: The GPUs of the node.
      returned: always
      type: complex
      contains:
        status:
          description:
            - V(ok), or what kept C(nvidia-smi) from answering in full, one of V(not_installed), V(driver_not_loaded),
              V(version_mismatch), V(no_devices), V(gpu_lost), V(timeout), V(malformed) and V(failed).
          returned: always
          type: str
          sample: ok
        message:
          description: What the status means and what to do about it.
          returned: always
          type: str
          sample: the driver answers.
        healthy:
          description: Whether RV(ansible_facts.nvidia_smi.faults) is empty.
          returned: always
          type: bool
        faults:
          description:
            - Everything a person must act on, one sentence each. These are a status other than V(ok), GPUs missing
              from the driver, uncorrected memory errors since the driver was loaded, memory to be retired or that could
              not be, a recovery action that the driver asks for, a change of the MIG mode that waits for a reset, and a GPU
              that is not yet, or not well, in its NVSwitch fabric.
          returned: always
          type: list
          elements: str
        health:
          description: The same faults with their parts apart.
          returned: always
          type: list
          elements: dict
          contains:
            code:
              description: A stable name of the kind of fault.
              type: str
              sample: row_remap_failure
            severity:
              description: V(error) where the driver or the GPU is not to be relied on, V(warning) where it works.
              type: str
              sample: error
            gpu:
              description: Which GPU, by C(index), C(pci_address) and C(uuid); null for a fault of the driver or the node.
              type: dict
            evidence:
              description: What was found.
              type: str
              sample: a memory row could not be remapped
            remedy:
              description: What to do about it.
              type: str
              sample: have the GPU replaced
            message:
              description: All of it in one sentence.
              type: str
        warnings:
          description: Lines that C(nvidia-smi) printed around its document.
          returned: always
          type: list
          elements: str
        driver_version:
          description: Version of the running driver.
          returned: always
          type: str
          sample: 580.159.04
        cuda_version:
          description: Newest version of CUDA that the driver supports.
          returned: always
          type: str
          sample: "13.0"
        library_version:
          description: Version of the installed library, where it differs from the kernel module's; null otherwise.
          returned: always
          type: str
        schema:
          description: Schema of the document, null if it names none.
          returned: always
          type: str
          sample: v13
        gpu_count:
          description: How many GPUs the driver shows.
          returned: always
          type: int
          sample: 1
        gpus:
          description:
            - The GPUs that the driver shows. Every key is there for every GPU, and is null where the driver has no
              value.
            - C(ecc_corrected_count) and C(ecc_uncorrected_count) count since the driver was loaded, the
              C(ecc_aggregate) ones over the life of the GPU.
            - C(gsp_enabled) tells whether the GSP firmware runs, by what the driver shows of it and not by its
              parameters.
          returned: always
          type: list
          elements: dict
          sample:
            - architecture: Hopper
              compute_mode: Default
              compute_process_count: 0
              ecc_aggregate_corrected_count: 0
              ecc_aggregate_uncorrected_count: 0
              ecc_corrected_count: 0
              ecc_enabled: true
              ecc_pending: true
              ecc_uncorrected_count: 0
              fabric_state: null
              fabric_status: null
              gsp_enabled: true
              gsp_firmware_version: 580.159.04
              index: 0
              lost: false
              memory_total_mib: 143771
              memory_used_mib: 0
              mig_devices: []
              mig_mode_current: false
              mig_mode_pending: false
              minor_number: 0
              numa_node: 0
              pci_address: "0000:00:06.0"
              pci_device_id: "2335"
              pcie_link_width_current: 16
              pcie_link_width_max: 16
              persistence_enabled: true
              power_draw_w: 133.87
              power_limit_w: 700.0
              process_count: 0
              product_name: NVIDIA H200
              recovery_action: None
              remapped_rows_failure: false
              remapped_rows_pending: false
              retired_pages_pending: null
              serial: "1650000000000"
              temperature_c: 41
              utilization_percent: 0
              uuid: GPU-00000000-0000-4000-8000-000000000001
              vbios_version: 96.00.A5.00.1A
              virtualization_mode: Pass-Through
        pci_gpus:
          description: The GPUs on the PCI bus, with the kernel driver that each is bound to.
          returned: always
          type: list
          elements: dict
          sample:
            - address: "0000:00:06.0"
              architecture: Hopper
              class_id: "030200"
              device_id: "2335"
              driver: nvidia
              numa_node: 0
              vendor_id: 10de
              virtual_function: false
        nvswitch_count:
          description: How many NVSwitch devices the PCI bus has; with one or more the fabric manager is needed.
          returned: always
          type: int
          sample: 0
        gpus_missing_from_driver:
          description: PCI addresses of GPUs that the bus has and C(nvidia-smi) does not show; virtual functions aside.
          returned: always
          type: list
          elements: str
          sample: []
        kernel_module:
          description: The kernel module as it is loaded now.
          returned: always
          type: dict
          contains:
            loaded:
              description: Whether it is loaded.
              returned: always
              type: bool
            version:
              description: Its version.
              returned: always
              type: str
              sample: 580.159.04
            kernel_modules:
              description: V(open) or V(proprietary).
              returned: always
              type: str
              sample: open
            flavour:
              description:
                - The name of RV(ansible_facts.nvidia_smi.kernel_module.kernel_modules) in 0.1.0.
                - Deprecated, and gone in 1.0.0. A flavour is V(server) or V(desktop) elsewhere in this collection.
              returned: always
              type: str
              sample: open
            params:
              description: Its parameters as C(/proc/driver/nvidia/params) has them, as text.
              returned: always
              type: dict
        topology:
          description:
            - The links between GPUs and network cards. C(links) has a row for each GPU, then for each network card, in
              C(nvidia-smi)'s words (C(NV12), C(PIX), C(SYS)); C(kinds) has the same matrix in the words C(nvlink),
              C(pcie_switch), C(host_bridge), C(numa), C(system) and C(self).
            - Null if O(topology=false), or if C(nvidia-smi) has no matrix to show, which is then a warning.
          returned: always
          type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import facts as nvidia_facts
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import pci as nvidia_pci
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import proc as nvidia_proc
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import topology as nvidia_topology


def read(run: Run, topology: bool, timeout_s: int, root: str = "/") -> tuple[dict[str, Any], list[str]]:
    """The facts, and warnings about what could not be read."""
    module = nvidia_proc.read(root)
    report = nvidia_smi.complete(nvidia_smi.query(run, timeout_s), module)
    facts = nvidia_facts.facts(nvidia_pci.scan(root), module, report)
    if topology and report.gpus:
        try:
            facts["topology"] = nvidia_topology.query(run, timeout_s).to_dict()
        except GpuError as error:
            return facts, [str(error)]
    return facts, []


def require_health(facts: dict[str, Any]) -> None:
    if facts["faults"]:
        raise GpuError(
            wanted="a driver that answers and GPUs without a fault",
            found=" ".join(facts["faults"]).rstrip("."),
            where="nvidia-smi -q -x, /sys/bus/pci/devices",
            next_step="mend what is listed, or leave fail_on_fault off to get the facts anyway",
        )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "topology": {"type": "bool", "default": False},
            "timeout_s": {"type": "int", "default": 30},
            "fail_on_fault": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    facts, warnings = read(runner(module), module.params["topology"], module.params["timeout_s"])
    for warning in warnings:
        module.warn(warning)
    try:
        if module.params["fail_on_fault"]:
            require_health(facts)
    except GpuError as error:
        module.fail_json(msg=str(error), ansible_facts={"nvidia_smi": facts})
    module.exit_json(changed=False, ansible_facts={"nvidia_smi": facts})


if __name__ == "__main__":
    main()
