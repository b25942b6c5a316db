#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_driver_packages_info
short_description: Which packages make up an NVIDIA driver on this system
version_added: 0.1.0
author: t9k.gpu maintainers (@t9k)
description:
  - Plans the package set of a driver for this system from apt's own metadata, and reports the driver version that would
    really be installed. Nothing is changed; apt's lists are taken as they are.
  - Transitional packages are followed to the branch they lead to.
  - Every package of the driver's family is given with its exact version, so that an upgrade or a downgrade of all of
    them is one transaction.
  - Pre-built kernel modules are chosen only where they exist for exactly the running kernel and this driver version.
    Otherwise the modules are built by dkms and the kernel's headers belong to the set.
extends_documentation_fragment: t9k.gpu.driver
options:
  branch:
    description: The driver branch, such as V(535).
    type: str
    required: true
  version:
    description:
      - The exact driver version (V(535.183.01)) or full package version. By default apt's candidate.
    type: str
  kernel_modules:
    description: NVIDIA's open or its proprietary kernel modules.
    type: str
    choices: [open, proprietary]
    default: proprietary
  source:
    description:
      - Where packages come from. V(distribution) and V(cuda) keep apart packages that have the same name in both.
        V(mirror) may hold either kind. V(local) is a folder of C(.deb) files.
    type: str
    choices: [distribution, cuda, mirror, local]
    default: distribution
  directory:
    description: The folder of O(source=local).
    type: path
  fabric_manager:
    description: Adds Fabric Manager of exactly the driver's version, which NVSwitch systems need.
    type: bool
    default: false
  transaction:
    description: Also simulate the installation and report what apt would install, move and remove.
    type: bool
    default: false
  recommends:
    description: Whether the simulated installation follows recommendations.
    type: bool
    default: false
  kernel_release:
    description: The kernel to plan for. By default the running one.
    type: str
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Changes nothing in any mode.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: What would branch 535 be here?
  t9k.gpu.nvidia_driver_packages_info:
    branch: "535"
  register: driver

- name: A downgrade, and what apt would do for it
  t9k.gpu.nvidia_driver_packages_info:
    branch: "525"
    version: 525.147.05
    transaction: true
"""

RETURN = r"""
plan:
  description: The package set.
  returned: success
  type: dict
  contains:
    packages:
      description: Every package of the driver's family with its version, those that were chosen first.
      type: list
      elements: str
      sample: ["nvidia-driver-525-server=525.147.05-0ubuntu0.20.04.1"]
    install:
      description: The same as arguments of C(apt-get install); paths where packages come from a folder.
      type: list
      elements: str
    roots:
      description: Names of the packages that were chosen; the others follow from their dependencies.
      type: list
      elements: str
    driver_version:
      description: The version that C(nvidia-smi) will show.
      type: str
      sample: 525.147.05
    branch:
      description: The branch that is really installed, after transitional packages.
      type: str
      sample: "525"
    kernel_modules:
      description: V(open) or V(proprietary).
      type: str
    module_build:
      description: V(prebuilt) or V(dkms).
      type: str
    kernel_release:
      description: The kernel that pre-built modules are for.
      type: str
    warnings:
      description: What a person should know though it stops nothing, such as a transitional package.
      type: list
      elements: str
    notes:
      description: The name of RV(plan.warnings) in 0.1.0. Deprecated, and gone in 1.0.0.
      type: list
      elements: str
    faults:
      description: Why the set cannot be installed on this host yet, each with what to do about it.
      type: list
      elements: str
branches:
  description: Every branch on offer, with C(-server) where it is Ubuntu's server family.
  returned: success
  type: list
  elements: str
  sample: ["535-server", "550-server"]
transaction:
  description: What apt would do.
  returned: with O(transaction=true) and no fault
  type: dict
  contains:
    install:
      description: New packages, each with C(name), C(before) and C(after).
      type: list
      elements: dict
    upgrade:
      description: Packages that move to a newer version.
      type: list
      elements: dict
    downgrade:
      description: Packages that move to an older version.
      type: list
      elements: dict
    remove:
      description: Packages that go.
      type: list
      elements: dict
    held_changed:
      description: Packages on hold that would change.
      type: list
      elements: str
    download_bytes:
      description: How much must be downloaded.
      type: int
"""

import os
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._debian import apt as debian_apt
from ansible_collections.t9k.gpu.plugins.module_utils._debian.os_release import read_os_release
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import Request, branches, plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import ARGUMENT_SPEC
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

if TYPE_CHECKING:
    from typing import Any


def request(params: dict[str, Any]) -> Request:
    system = read_os_release()
    asked = (*ARGUMENT_SPEC, "branch", "version", "kernel_modules", "source", "fabric_manager")
    return Request(
        os_id=system.get("ID", ""),
        os_version=system.get("VERSION_ID", ""),
        codename=system.get("VERSION_CODENAME", ""),
        kernel_release=params["kernel_release"] or os.uname().release,
        **{name: params[name] for name in asked},
    )


def answer(params: dict[str, Any], run: Run) -> dict[str, Any]:
    wanted = request(params)
    offer = debian_apt.catalogue(run, names.apt_pattern(wanted.kernel_release))
    if wanted.source == "local":
        offer = debian_apt.local_catalogue(run, params["directory"], offer)
    planned = plan(wanted, offer)
    found: dict[str, Any] = {"plan": planned.to_dict(), "branches": list(branches(offer))}
    if params["transaction"] and not planned.faults:
        found["transaction"] = debian_apt.transaction(run, planned.install, params["recommends"]).to_dict()
    return found


def argument_spec() -> dict[str, Any]:
    return {
        **ARGUMENT_SPEC,
        "branch": {"type": "str", "required": True},
        "version": {"type": "str"},
        "kernel_modules": {"type": "str", "choices": ["open", "proprietary"], "default": "proprietary"},
        "source": {"type": "str", "choices": ["distribution", "cuda", "mirror", "local"], "default": "distribution"},
        "directory": {"type": "path"},
        "fabric_manager": {"type": "bool", "default": False},
        "transaction": {"type": "bool", "default": False},
        "recommends": {"type": "bool", "default": False},
        "kernel_release": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_if=[("source", "local", ["directory"])],
        supports_check_mode=True,
    )
    try:
        found = answer(module.params, runner(module))
    except GpuError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
