#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nvidia_driver_plan
short_description: Read a GPU node's driver state and plan the way to the wanted one
version_added: 0.1.0
description:
  - Reads the whole driver state of a node once, from files and one C(nvidia-smi) call, and returns the ordered steps that
    lead to the wanted state, each with its reason and what it disturbs.
  - Changes nothing, ever. Packages are looked up in apt's metadata only if they have to change; where a source is not
    configured yet, or the lists are older than a day, the metadata goes to a private folder that is removed afterwards.
  - In check mode the module reports C(changed) and a diff for what the steps would do, since the role does not enter
    the steps then.
  - The role P(t9k.gpu.driver#role) is this plan, applied. There is no module in ansible-core or another collection that reads and plans a
    driver as a whole; doing it task by task costs an execution per step on every run.
author:
  - t9k.gpu maintainers (@t9k)
extends_documentation_fragment: t9k.gpu.driver
options:
  state:
    description: Whether the node shall have the driver.
    type: str
    choices: [present, absent]
    default: present
  branch:
    description:
      - The driver branch, for example V(535). The distribution may resolve it to a newer one; the plan says so.
      - Not given, the installed branch is kept; without one, the first branch of O(supported_os) is taken that the sources
        have and that drives the node's GPUs.
    type: str
  version:
    description: An exact version, upstream (V(535.247.01)) or of the package. Takes precedence over O(branch).
    type: str
  kernel_modules:
    description:
      - Open or proprietary kernel modules.
      - V(auto) keeps what the wanted branch has installed; else it takes open ones where nothing else works (Blackwell) or where
        NVIDIA recommends them (Turing and newer from branch 560 on), and proprietary ones otherwise, by O(support).
    type: str
    choices: [auto, open, proprietary]
    default: auto
  kernel:
    description:
      - V(hold) takes the modules for the running kernel and leaves the kernel where it is.
      - V(follow) takes the metapackage of modules, and moves kernel, modules and driver together, within the branch, in one
        transaction of apt. With dkms the metapackage of headers comes along. apt is then asked on every run.
    type: str
    choices: [hold, follow]
    default: hold
    version_added: 0.2.0
  source:
    description: Where packages come from.
    type: dict
    suboptions:
      kind:
        description: The distribution, NVIDIA's CUDA repository, a mirror of either, or a directory of .deb files.
        type: str
        choices: [distribution, cuda, mirror, local]
        default: distribution
      uris:
        description: Addresses of the repository. Needed for V(cuda) and V(mirror).
        type: list
        elements: str
      suites:
        description: Suites of the repository; V(/) for a flat one. Needed for V(cuda) and V(mirror).
        type: list
        elements: str
      components:
        description: Components of the repository; none for a flat one.
        type: list
        elements: str
      signed_by:
        description: The key that signs the repository, as P(ansible.builtin.deb822_repository#module) takes it.
        type: str
      directory:
        description: A directory of .deb files on the node. Needed for V(local).
        type: path
  hold:
    description: Hold every package of the driver that is installed.
    type: bool
    default: true
  pin:
    description: Pin the driver's family to the wanted version in apt's preferences.
    type: bool
    default: false
  unattended_exclusion:
    description: Keep unattended-upgrades off the driver.
    type: bool
    default: false
  blacklist:
    description: Blacklist nouveau and nova_core.
    type: bool
    default: true
  persistence:
    description: Persistence mode shall be on.
    type: bool
    default: true
  gsp:
    description: GSP firmware, as in O(t9k.gpu.modprobe_gsp#module:mode).
    type: str
    choices: [auto, enabled, disabled]
    default: auto
  mig:
    description: MIG is wanted on this node, so GSP must stay on.
    type: bool
    default: false
  vgpu:
    description: vGPU is wanted on this node, so GSP must stay on.
    type: bool
    default: false
  fabric_manager:
    description: Install the fabric manager of the same version; V(auto) where the PCI bus shows an NVSwitch.
    type: str
    choices: [auto, present, absent]
    default: auto
  may_remove:
    description:
      - Names or globs of packages that are not the driver's and may be removed for it. An installation for which apt would remove any
        other is refused.
    type: list
    elements: str
    default: []
  reboot:
    description: Plan a reboot where one is needed, or only say that it is pending.
    type: str
    choices: [auto, never]
    default: auto
  drain:
    description: Drain the node before the first disturbing step; V(auto) if a kubelet lives on it.
    type: str
    choices: [auto, always, never]
    default: auto
  supported_os:
    description:
      - The table of supported systems, keyed C(ID-VERSION_ID) as in C(/etc/os-release).
      - Each has C(branches), the default ones in order of preference (or C(branch), one alone), and C(components), which its archive
        must offer.
    type: dict
    required: true
  support:
    description:
      - Which driver drives which GPU and how long a branch lives.
      - C(architectures), keyed by name, each with the C(first) and C(last) branch and the C(kernel_modules) that drive it, and the
        C(device_ids) where only some of an architecture are meant; C(open_recommended_from), a branch; C(branch_ends), the last
        month of each branch.
      - A driver that does not drive a GPU of the node is a fault; a branch past its end is a warning. Without the table nothing of it
        is known.
    type: dict
    default: {}
  smi_timeout:
    description: Seconds after which C(nvidia-smi) counts as hung.
    type: int
    default: 60
  gpus_expected:
    description:
      - How many GPUs the node must have. Another number on the PCI bus refuses a change, and another number of answering GPUs is
        a fault. V(0) expects as many as there are.
    type: int
    default: 0
  busy:
    description:
      - What to do about processes that have a GPU open and are no pod's, where a step disturbs. No drain ends them.
      - V(refuse) is a fault with their names; V(wait) begins the plan with the step C(busy), which waits for them; V(ignore) does not look.
    type: str
    choices: [refuse, wait, ignore]
    default: refuse
    version_added: 0.2.0
  rollback:
    description:
      - Whether what an installation replaces is to be kept on the node, so that a change that fails can be undone (C(keep) in the data
        of the step C(install)).
      - Where it cannot be had, neither from apt's cache nor from its sources, V(auto) warns, and V(required) is a fault.
    type: str
    choices: [auto, required, never]
    default: auto
    version_added: 0.2.0
  back:
    description:
      - Plan the way back to the driver that is kept in C(/var/lib/t9k-gpu/former), instead of the way to O(branch) or O(version).
      - Where nothing is kept the plan is the usual one.
    type: bool
    default: false
    version_added: 0.2.0
  after_change:
    description:
      - This reading is the proof of a change. It looks again every few seconds while all that is wrong may pass by itself, as while
        a driver starts, for O(ready_timeout) seconds.
    type: bool
    default: false
  ready_timeout:
    description: Seconds that the driver has to be ready after a change.
    type: int
    default: 300
attributes:
  check_mode:
    description: Reads only, in every mode.
    support: full
  diff_mode:
    description: In check mode, what the steps would change.
    support: full
"""

EXAMPLES = r"""
- name: What would it take to run driver 535 here?
  t9k.gpu.nvidia_driver_plan:
    branch: "535"
    supported_os:
      debian-12: {branch: "535", components: [contrib, non-free, non-free-firmware]}
  register: plan

- name: Say it
  ansible.builtin.debug:
    msg: "{{ plan.steps | map(attribute='reason') }}"
"""

RETURN = r"""
has_gpu:
  description: Whether the PCI bus shows an NVIDIA GPU. If not, nothing else was looked at.
  type: bool
  returned: always
steps:
  description: What leads to the wanted state, in order. Empty if nothing is to be done.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The kind of step.
      type: str
      sample: install
    reason:
      description: Why.
      type: str
      sample: driver 525.105.17 installed, 525.147.05 wanted
    disturbs:
      description: What running work loses by it, as a sentence; empty where nobody notices.
      type: str
      sample: GPU work on the node loses the library and the module under it
    data:
      description: What the step needs to be done.
      type: dict
faults:
  description: Why the wanted state cannot be had, all of them. With a fault there are no steps.
  type: list
  elements: str
  returned: always
warnings_found:
  description: What a person should know though it stops nothing.
  type: list
  elements: str
  returned: always
problems:
  description: What is wrong with the driver or a GPU as it runs now. The sentences of the errors in RV(health).
  type: list
  elements: str
  returned: always
health:
  description:
    - Every fault of the driver and its GPUs as it runs now, as P(t9k.gpu.nvidia_smi_facts#module) judges them, and what differs from
      what is wanted. Each is a dictionary as in RV(t9k.gpu.nvidia_smi_facts#module:ansible_facts.nvidia_smi.health).
    - Empty as long as a step, a reboot or a fault that stops everything is due.
  type: list
  elements: dict
  returned: always
failures:
  description:
    - Those of RV(problems) that fail the run and keep pods away. All of them, but hardware faults of single GPUs that were there
      before the change; where no change is under way, any such.
    - A driver that does not answer, that shows no sound GPU or that is not as wanted is always a failure.
  type: list
  elements: str
  returned: always
known_problems:
  description: Those of RV(problems) that are no RV(failures). They are in RV(warnings_found) too.
  type: list
  elements: str
  returned: always
waiting_for:
  description: The RV(failures), if all of them may pass by themselves.
  type: list
  elements: str
  returned: always
waited:
  description: For how many C(seconds) this reading waited, and C(for) what at last; null if it did not.
  type: dict
  returned: always
mended_by_going_back:
  description: Whether the former driver may be without these RV(failures).
  type: bool
  returned: always
before:
  description:
    - What the GPUs are before the steps, as the text of C(/var/lib/t9k-gpu/before.json), which the next readings compare with and
      excuse by until a proof holds. Null where nothing will be disturbed, or where the file is there.
  type: str
  returned: always
security_held_back:
  description: Security updates of the driver and its kernel that holds keep away, by the lists that apt fetched last.
  type: list
  elements: dict
  returned: always
  sample: [{name: linux-image-generic, installed: 5.15.0.106.106, offered: 5.15.0.113.113}]
reboot_pending:
  description: Why a reboot is still due; null if none is.
  type: str
  returned: always
target_version:
  description: The driver version the plan leads to.
  type: str
  returned: when there is a GPU and O(state=present)
previous:
  description: The version installed before, for going back; null without one.
  type: dict
  returned: always
history:
  description: The newest ten changes that the node remembers, as P(t9k.gpu.nvidia_driver_history#module) wrote them, the newest last.
  type: list
  elements: dict
  returned: always
node:
  description: The node's state, in the form of the report.
  type: dict
  returned: when there is a GPU
"""

import time
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._debian import login
from ansible_collections.t9k.gpu.plugins.module_utils._driver import result as driver_result
from ansible_collections.t9k.gpu.plugins.module_utils._driver import state as driver_state
from ansible_collections.t9k.gpu.plugins.module_utils._driver.support import Support
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import NODE_ARGUMENTS, Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._fleet import history as driver_history
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import holders

ARGUMENTS: dict[str, Any] = {
    **NODE_ARGUMENTS,
    "supported_os": {"type": "dict", "required": True},
    "support": {"type": "dict", "default": {}},
    "smi_timeout": {"type": "int", "default": 60},
    "after_change": {"type": "bool", "default": False},
    "ready_timeout": {"type": "int", "default": 300},
}
#: Where processes are looked for; tests have another place.
ROOT = "/"
#: Seconds between two looks.
EVERY_S = 5


def look(run: Run, params: dict[str, Any]) -> dict[str, Any] | None:
    """Read and plan once; None on a host that has no GPU, had none and should have none."""
    state = driver_state.read(run, params["smi_timeout"], expected=bool(params["gpus_expected"]))
    if state is None:
        return None
    support = Support.of(params["support"])
    wanted, at_work = Wanted.of(params), partial(holders.outside_pods, ROOT)
    return driver_result.make(run, state, wanted, params["supported_os"], support, params["after_change"], at_work)


def wait(run: Run, params: dict[str, Any]) -> dict[str, Any] | None:
    """Look again every few seconds while all that is wrong may pass by itself, until the deadline."""
    start, limit = time.monotonic(), params["ready_timeout"] if params["after_change"] else 0
    plan = look(run, params)
    awaited: list[str] = []
    while plan and plan["waiting_for"] and time.monotonic() - start + EVERY_S <= limit:
        awaited = plan["waiting_for"]
        time.sleep(EVERY_S)
        plan = look(run, params)
    waited = {"seconds": round(time.monotonic() - start), "for": awaited} if awaited else None
    return plan and {**plan, "waited": waited, "history": driver_history.read()}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    source = module.params["source"] or {}
    login.hide(module, [*(source.get("uris") or []), source.get("signed_by") or ""])
    try:
        plan = wait(runner(module), module.params)
    except GpuError as error:  # what is not even to be read, such as dpkg's database
        module.fail_json(msg=str(error))
    if plan is None:
        module.exit_json(changed=False, has_gpu=False, **driver_result.NOTHING)
    else:
        changed = module.check_mode and bool(plan["steps"])
        module.exit_json(changed=changed, has_gpu=True, **{**plan, "diff": plan["diff"] if module.check_mode else []})


if __name__ == "__main__":
    main()
